//! # A stream, read in order: an ordered pull consumer without a socket and without a clock
//!
//! ```text
//!   handle_connected, handle_disconnected ──► ┌──────────────┐ ──► handle_msg: Some(Delivery): apply this message
//!   handle_msg (all that comes to the inbox)  │ StreamReader │ ──► poll_request: publications for the server
//!   handle_refusal, handle_time, note_room ─► └──────────────┘ ──► poll_notice, report, trouble, present
//!
//!               STREAM.INFO        CONSUMER.CREATE                            MSG.NEXT …, STREAM.INFO every 4 s
//!   Offline ──► Look ──┬──► CreateConsumer ───────────────────────► Reading ──┐
//!                 ▲    └──► CreateStream ──► Look        ▲   newest of each   │
//!                 │                                      └───── is applied ───┤
//!                 └─────────── the consumer is lost, the stream is another ───┘
//! ```
//!
//! The driver subscribes to [`StreamReader::inbox`] and hands over every message of that subscription, in order.
//!
//! Invariants:
//!
//! 1. What is applied has ascending stream sequences, until the stream itself has gone back: nothing is applied twice.
//! 2. What the stream holds behind the last message applied is applied next, whatever happened to connection, server, leader
//!    or consumer. What it no longer holds is counted and told.
//! 3. While there is a connection there is a deadline: no wait is without an end, and none is longer than 15 s before
//!    something else is tried.
//! 4. What was asked for and has not come is never more than the room that the driver told.
//! 5. A message's way allocates nothing.
//!
//! ## Design, and what was turned down
//!
//! * **A consumer is thrown away at the least doubt** and another one made, with another name: its place is known here, so
//!   nothing is lost by that. Turned down: `CONSUMER.RESET` (2.14), `CONSUMER.INFO` to mend it (each doubt its own way out).
//! * **The new one starts at the last message applied, not behind it.** That message comes again and is not applied; but is
//!   it stored at another moment, then the stream has lost its end and taken other messages since, which would otherwise be
//!   passed over in silence. Turned down: the next sequence, as ADR-17 has it.
//!   Where it is not there any more, what follows is looked for by time. Turned down: by time always (clocks of servers that
//!   take turns in leading differ).
//! * **A stream that has gone back** goes on behind the moment at which the last message applied was stored: what it still
//!   holds from before was applied, what came since was not. **One made anew** (another `created`) is read from its first
//!   message on. Turned down: a warm start for both (it would apply what was applied, or lose what came in between).
//! * **Warm start in two consumers**: `last_per_subject` until the first message of the window, then `by_start_time`. The
//!   first ends by time as well as by `pending` 0, as it goes on with what is published meanwhile.
//! * **Several filters and a start time do not go together**: nats-server passes over the first messages then (issue 6076;
//!   seen with 2.10.26, 2.12.8 and 2.15.1). A consumer without filters is made to say at which sequence that time is, and the
//!   one that is read starts there.
//! * **One request at a time, and pulls beside it.** An answer is for the request whose token its subject ends with; all
//!   others are late. Turned down: a table of requests under way.
//! * **A slow server is not asked to do the same work again**: see `reader/patience`. An answer is waited for 3 s, then 6 s,
//!   then 12 s; a consumer that no answer came for is asked for again by its name, when a look at the stream has been answered.
//!   And a server before 2.10 need not filter where the stream takes nothing else. Turned down: another consumer each time.
//! * **Gaps by stream sequence** where all of the stream is read. Of those behind the last look the next one tells (within 4 s,
//!   or when the API answers again), as the stream may have been made to take other subjects; then a part of it is read from
//!   there on. Where a part is, sequences jump anyway, and what was lost is told by the stream's first sequence (at most so
//!   many) and by the consumer's own count.
//! * **A loss that repeats itself at the same place** (a message that is too long for the driver's buffer) is passed over the
//!   second time, as it would come to the same for ever.
//!
//! Known limits. A stream that goes back under a consumer that lives on, and grows past it again before the next look, is not
//! noticed (a consumer in memory goes with its server, so that this takes more than one failure). Bytes that a consumer had
//! on its way when it was given up come on top of the room. What is missed where a part of the stream is read is an upper
//! bound: so it is while the connection was away, and where the stream holds less than a second. What the stream lost when it
//! went back is not counted. A stream that took other subjects once and does not any more is taken for one that never did: what it
//! still holds of them tells missed when it is passed over.
//!
//! | file | job |
//! |---|---|
//! | [`reader`] | the state machine, and when a silent consumer is given up; `reader/requests`: what is asked for; `reader/answers`: what the API answers; `reader/deliveries`: messages and statuses, what is lost among them and that another consumer brings it; `reader/patience`: answers that do not come; `reader/standing`: how far it is |
//! | `pulls` | what was asked for, and what there is room for |
//! | `settings` | what it is made with |
//! | `request`, [`answer`] | the API's JSON, both ways |
//! | [`ack`], [`status`] | what comes with each message; what comes instead of one |
//! | [`present`](StreamReader::present) | the server's clock |
//! | [`time`], [`filter`] | RFC 3339; patterns against patterns |
//! | [`trouble`], [`report`] | why it does not work and what mends it; what happened, and where it stands |

pub mod ack;
pub mod answer;
pub mod filter;
mod present;
mod pulls;
pub mod reader;
pub mod report;
mod request;
mod settings;
pub mod status;
pub mod time;
pub mod trouble;

use crate::MILLISECOND_NS;
use crate::SECOND_NS;
pub use answer::{ApiError, Retention};
pub use reader::{Delivery, Publication, StreamReader};
pub use report::{ConsumerLoss, Notice, Phase, ReaderReport};
pub use settings::{NAME_BYTES_MAX, ReaderSettings, is_valid_name};
pub use trouble::{Request, Trouble};

/// What is read before the rolling window begins, so that what fills it is whole.
pub const START_MARGIN_NS: u64 = 10 * SECOND_NS;
/// Caught up is also who applies what was stored so short a time ago, while more comes all the time.
pub const CAUGHT_UP_WITHIN_NS: u64 = 250 * MILLISECOND_NS;
/// What was stored so far ahead of the server's present was stored while its clock was wrong.
pub const CLOCK_TOLERANCE_NS: u64 = SECOND_NS;
/// For the server to answer a request, at first.
pub const ANSWER_LIMIT_NS: u64 = 3 * SECOND_NS;
/// From one look at the stream to the next: two of them, and an answer that is lost, are within 15 s.
pub const LOOK_INTERVAL_NS: u64 = 4 * SECOND_NS;
/// Where a part of the stream is read, at least so many looks while it holds a message: see `StreamReader::look_interval_ns`.
const LOOKS_WHILE_HELD: u64 = 4;
/// No more often than this, however little the stream holds.
const LOOK_INTERVAL_MIN_NS: u64 = 250 * MILLISECOND_NS;
/// An idle consumer says so often that it lives.
pub const HEARTBEAT_NS: u64 = 2 * SECOND_NS;
/// Nothing for so long, two heartbeats and some: something is wrong.
pub const SILENCE_NS: u64 = 5 * SECOND_NS;
/// The first wait after a request that failed; the next are twice as long each.
pub const RETRY_FIRST_NS: u64 = 250 * MILLISECOND_NS;
/// The longest.
pub const RETRY_LAST_NS: u64 = 4 * SECOND_NS;
/// Where only a new consumer tells the server's time, one is made so often.
pub const RENEW_INTERVAL_NS: u64 = 600 * SECOND_NS;
/// At first, where the last one was so long in coming that the time is not known well; each further wait is twice as long.
const RENEW_FIRST_NS: u64 = 10 * SECOND_NS;
/// From one consumer that seemed to be stalled to the next, at first and at last, while nothing comes of it.
const STALL_FIRST_NS: u64 = 4 * SECOND_NS;
const STALL_LAST_NS: u64 = 300 * SECOND_NS;

/// Where a consumer starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The newest message of each subject.
    NewestOfEach,
    /// What was stored from this moment on, in Unix ns.
    Since(u64),
    /// From this sequence on.
    From(u64),
    /// All.
    First,
    /// The last message applied, to see whether it is still the same; what follows is new.
    At { sequence: u64, stored_ns: u64 },
}
