//! How long an answer is waited for, and what follows where none comes.
//!
//! ```text
//!   CONSUMER.CREATE ── 3 s ──► STREAM.INFO ── answered ──► the same CONSUMER.CREATE ── 6 s ──► STREAM.INFO ── … 12 s
//! ```
//!
//! A request that was lost is found soon, and a server that has much to do is not given more of it:
//!
//! * An answer is waited for 3 s; twice and four times as long where the requests of that kind before it were not answered
//!   either. It is 3 s again when an answer has come within that, and on a new connection.
//! * A consumer is asked for again by its name, also on another connection: a server that has made it meanwhile, or that is
//!   about to, answers for that one and makes no other. Whichever answer comes first is taken.
//! * Before that the stream is looked at. nats-server does what a client asks for one by one, reading nothing else from the
//!   connection (`apiDispatch`), so that a look that is answered means that the consumer is made or was never asked for.
//!   Turned down: asking for the consumer at once, which counts the stream's messages once more for each request.
//!
//! Why: nats-server 2.9 goes through all of a file stream three times to make a consumer that filters it. A million messages
//! of 100,000 subjects take it 1 to 3 s on an idle machine and 10 to 17 s on a busy one.

use super::{Asked, Stage, StreamReader};
use crate::SECOND_NS;
use crate::jetstream::ANSWER_LIMIT_NS;
use crate::jetstream::report::ConsumerLoss;
use crate::jetstream::trouble::{Request, Trouble};

/// Of the longest wait, 12 s: none is of 15 s.
const DOUBLINGS_MAX: u32 = 2;
/// A consumer is asked for by one name for so long, then by another. What the server had made by then it deletes about now.
pub(super) const SAME_NAME_NS: u64 = 30 * SECOND_NS;

/// Requests of each kind that came to nothing, in a row.
#[derive(Debug, Default)]
pub(super) struct Patience([u32; 4]);

impl Patience {
    pub(super) fn limit_ns(&self, request: Request) -> u64 {
        // After one question about a consumer there is another consumer.
        let doublings = if request == Request::ConsumerInfo { 0 } else { self.0[request as usize] };
        ANSWER_LIMIT_NS << doublings.min(DOUBLINGS_MAX)
    }

    pub(super) fn note_answered(&mut self, asked: &Asked, now_ns: u64) {
        if now_ns < asked.at_ns.saturating_add(ANSWER_LIMIT_NS) {
            self.0[asked.request as usize] = 0;
        }
    }

    fn note_unanswered(&mut self, request: Request) {
        self.0[request as usize] = self.0[request as usize].saturating_add(1);
    }
}

impl StreamReader {
    /// The answer to the request under way has not come in time.
    pub(super) fn handle_overdue(&mut self, now_ns: u64) {
        let Some(request) = self.asked.as_ref().filter(|asked| now_ns >= asked.due_ns).map(|asked| asked.request)
        else {
            return;
        };
        // Where this user may not ask, or may not hear, it is not that the server takes long.
        if !matches!(self.trouble, Some(Trouble::NoPermission(..))) {
            self.patience.note_unanswered(request);
        }
        self.leave_request();
        match request {
            Request::ConsumerInfo => self.give_up(ConsumerLoss::Silent, now_ns),
            Request::ConsumerCreate => self.stage = Stage::Look,
            Request::StreamInfo | Request::StreamCreate => {}
        }
        self.fail(Trouble::NoAnswer(request), now_ns);
    }

    /// No answer is waited for any more. A consumer may be made all the same.
    pub(super) fn leave_request(&mut self) {
        let Some(asked) = self.asked.take() else { return };
        if asked.request == Request::ConsumerCreate {
            self.unanswered = Some(asked);
        }
    }

    /// No worse than by an answer that comes in time.
    pub(super) fn knows_time(&self) -> bool {
        self.present.error_ns() <= ANSWER_LIMIT_NS / 2
    }

    pub(super) fn forget_unanswered(&mut self) {
        if let Some(asked) = self.unanswered.take() {
            self.delete_consumer(asked.name);
        }
    }
}
