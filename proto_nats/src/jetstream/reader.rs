//! The state machine: see the head of this room.

mod answers;
mod deliveries;
mod patience;
mod requests;
mod standing;

use std::collections::VecDeque;

use super::ack::AckStart;
use super::answer::StreamAnswer;
use super::present::Present;
use super::pulls::Pulls;
use super::report::{ConsumerLoss, Notice};
use super::request::Api;
use super::settings::{ReaderSettings, is_valid_name};
use super::trouble::{Request, Trouble};
use super::{
    LOOK_INTERVAL_MIN_NS, LOOK_INTERVAL_NS, LOOKS_WHILE_HELD, RENEW_FIRST_NS, RENEW_INTERVAL_NS, RETRY_FIRST_NS,
    RETRY_LAST_NS, SILENCE_NS, START_MARGIN_NS, Start,
};
use crate::random::Random;
use crate::server_error::Operation;
use crate::subject::is_valid_pattern;
use patience::Patience;
use requests::Outgoing;
pub use requests::Publication;

/// Notices that the driver has not fetched yet; the oldest are dropped.
const NOTICES_MAX: usize = 64;
/// Consumers to be deleted, answers to be given: more than can come together.
const ERRANDS_MAX: usize = 8;
/// The token of requests whose answer does not matter.
const NO_TOKEN: u64 = 0;

/// Reads one stream. See the head of this room.
#[derive(Debug)]
pub struct StreamReader {
    settings: ReaderSettings,
    api: Api,
    /// `_INBOX.<nuid>.`, and the names of consumers begin as the nuid does.
    inbox: String,
    nuid: String,
    random: Random,
    stage: Stage,
    /// Of the newest request.
    token: u64,
    asked: Option<Asked>,
    patience: Patience,
    /// A consumer that was asked for and that no answer came for: it may be there, or be being made.
    unanswered: Option<Asked>,
    /// Requests in a row that came to nothing.
    failures: u32,
    /// No request before then, but for pulls.
    retry_at_ns: u64,
    look_due_ns: u64,

    start: Start,
    /// Where the window begins, in Unix ns of the server.
    start_moment_ns: Option<u64>,
    /// Something of the window has been applied.
    is_warm: bool,
    applied_sequence: u64,
    applied_ns: u64,
    /// Nothing that was stored so early is applied: it was, before the stream went back.
    applied_until_ns: u64,
    /// Up to here every sequence is applied, passed over as not asked for, or counted as missed. `None`: not known yet.
    settled: Option<u64>,
    /// Sequences that were passed over since the last look was asked for, and what was settled then. Where a part is read the
    /// next look tells whether the stream still held them. Where all is, those are here that the last look had not seen: the
    /// next one tells whether the stream takes anything else by now.
    jumped: u64,
    settled_at_look: u64,
    /// Messages that the consumer had sent and that did not come, as it said when it had nothing more: told with the next one.
    lost_untold: u64,
    /// A message behind this one was lost once.
    lost_behind: Option<u64>,

    stream: Option<StreamAnswer>,
    /// The stream's last one at the beginning, and whether it had gaps then.
    beginning: Option<Beginning>,
    /// All that the stream takes is asked for, as far as the last look saw, so its sequences have no gaps of their own.
    reads_all: bool,
    /// The consumer has no filter, so that all of it is brought whatever the stream takes.
    takes_all: bool,
    /// Several filters are one for this server, and what they do not take is passed over here.
    uses_cover: bool,
    picks: bool,
    missing_subjects: Vec<String>,
    may_delete: bool,

    consumer: Option<Consumer>,
    /// When the last one before it was heard.
    left_ns: Option<u64>,
    pending: u64,
    /// When it was last known that nothing waits, if nothing was applied since.
    idle_ns: Option<u64>,
    /// Messages that consumers brought, applied or not; and how it stood at the last look.
    deliveries: u64,
    last_look: Option<Looked>,
    stall_wait_ns: u64,
    stall_not_before_ns: u64,
    renew_wait_ns: u64,

    pulls: Pulls,
    present: Present,
    has_caught_up: bool,
    trouble: Option<Trouble>,
    notices: VecDeque<Notice>,
    to_delete: VecDeque<String>,
    to_answer: VecDeque<String>,
    applied_count: u64,
    resets: u64,
    consumers_lost: u64,
    missed: u64,
    skipped: u64,
    out: Outgoing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Offline,
    Look,
    CreateStream,
    CreateConsumer,
    Reading,
}

/// A request under way.
#[derive(Debug)]
struct Asked {
    request: Request,
    token: u64,
    /// When it was asked for first, and until when an answer is waited for.
    at_ns: u64,
    due_ns: u64,
    /// Not for the first time: a consumer may be older than this request.
    is_repeated: bool,
    /// As of that moment; the stream cannot be behind this, if it is the same.
    applied_sequence: u64,
    /// The same of what the consumer has looked through.
    seen_sequence: u64,
    /// What had been settled and passed over by then.
    settled: u64,
    jumped: u64,
    /// Of a consumer that is being made, with what it is to be.
    name: String,
    payload: Vec<u8>,
}

#[derive(Debug)]
struct Consumer {
    name: String,
    ack_start: AckStart,
    made_ns: u64,
    /// Messages that it has delivered.
    sequence: u64,
    /// Stream sequence of the last of them, and how far it said that it has looked.
    stream_sequence: u64,
    seen_sequence: u64,
    heard_ns: u64,
    /// It has delivered something or said that it has nothing.
    has_been_heard: bool,
    /// It was silent for too long once: CONSUMER.INFO asks about it.
    is_doubted: bool,
    is_asked_about: bool,
}

#[derive(Debug, Clone, Copy)]
struct Beginning {
    last_sequence: u64,
    has_gaps: bool,
}

#[derive(Debug, Clone, Copy)]
struct Looked {
    at_ns: u64,
    last_sequence: u64,
    deliveries: u64,
}

/// A message is to be applied: it is the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Where it stands in the stream.
    pub sequence: u64,
    /// When the stream stored it, in Unix ns: its receipt.
    pub stored_ns: u64,
}

impl StreamReader {
    /// A reader that waits for a connection. The seed must differ between all that read at the same servers.
    pub fn new(settings: ReaderSettings, seed: u64) -> StreamReader {
        assert!(is_valid_name(&settings.stream), "a stream's name is one token");
        assert!(settings.domain.as_deref().is_none_or(is_valid_name), "a domain is one token");
        assert!(!settings.filters.is_empty(), "something is read");
        let patterns = settings.filters.iter().chain(&settings.subjects);
        assert!(patterns.into_iter().all(|pattern| is_valid_pattern(pattern.as_bytes())), "filters are patterns");
        let mut random = Random(seed);
        let alphabet = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let nuid: String = (0..22).map(|_| char::from(alphabet[random.below(62) as usize])).collect();
        StreamReader {
            api: Api::new(&settings),
            settings,
            inbox: format!("_INBOX.{nuid}."),
            nuid,
            random,
            stage: Stage::Offline,
            token: NO_TOKEN,
            asked: None,
            patience: Patience::default(),
            unanswered: None,
            failures: 0,
            retry_at_ns: 0,
            look_due_ns: 0,
            start: Start::NewestOfEach,
            start_moment_ns: None,
            is_warm: false,
            applied_sequence: 0,
            applied_ns: 0,
            applied_until_ns: 0,
            settled: None,
            jumped: 0,
            settled_at_look: 0,
            lost_untold: 0,
            lost_behind: None,
            stream: None,
            beginning: None,
            reads_all: false,
            takes_all: false,
            uses_cover: false,
            picks: false,
            missing_subjects: Vec::new(),
            may_delete: true,
            consumer: None,
            left_ns: None,
            pending: 0,
            idle_ns: None,
            deliveries: 0,
            last_look: None,
            stall_wait_ns: 0,
            stall_not_before_ns: 0,
            renew_wait_ns: RENEW_FIRST_NS,
            pulls: Pulls::new(),
            present: Present::default(),
            has_caught_up: false,
            trouble: None,
            notices: VecDeque::with_capacity(NOTICES_MAX),
            to_delete: VecDeque::new(),
            to_answer: VecDeque::new(),
            applied_count: 0,
            resets: 0,
            consumers_lost: 0,
            missed: 0,
            skipped: 0,
            out: Outgoing::default(),
        }
    }

    /// What is to be subscribed to on every connection, by one subscription.
    pub fn inbox(&self) -> String {
        format!("{}*", self.inbox)
    }

    /// There is a connection, and the server has confirmed the subscription to the inbox.
    pub fn handle_connected(&mut self, now_ns: u64) {
        self.handle_disconnected();
        self.stage = Stage::Look;
        self.failures = 0;
        self.patience = Patience::default();
        self.retry_at_ns = now_ns;
        self.may_delete = true;
        // The filters may be known to this server.
        (self.uses_cover, self.picks) = (false, false);
        self.present.handle_moved();
    }

    /// The connection has ended; what it brought has been handled. Requests and pulls are gone with it.
    pub fn handle_disconnected(&mut self) {
        self.leave_consumer();
        self.leave_request();
        self.to_answer.clear();
        self.stage = Stage::Offline;
    }

    /// So many bytes of frames there is room for, as of now, before the server has to hold back what was asked for. Cheap enough for
    /// every read.
    #[inline]
    pub fn note_room(&mut self, bytes: usize) {
        self.pulls.note_room(bytes);
    }

    /// The server has refused to let this user publish or subscribe to `subject`.
    pub fn handle_refusal(&mut self, operation: Operation, subject: &str, now_ns: u64) {
        let is_ours = match operation {
            Operation::Publish => self.api.is_asked_at(subject),
            Operation::Subscribe => subject.starts_with(&self.inbox),
        };
        if !is_ours || self.stage == Stage::Offline {
            return;
        }
        // The server deletes it by itself, a little later.
        if subject.contains(".CONSUMER.DELETE.") {
            self.may_delete = false;
            return;
        }
        if subject.contains(".MSG.NEXT.") || subject.contains(".CONSUMER.INFO.") {
            self.give_up(ConsumerLoss::PullsRefused, now_ns);
        }
        self.fail(Trouble::NoPermission(operation, subject.to_owned()), now_ns);
    }

    /// Time passes. To be called at [`next_deadline`](Self::next_deadline) or soon after, when what has arrived by then has
    /// been handled; more often does no harm.
    pub fn handle_time(&mut self, now_ns: u64) {
        if self.stage == Stage::Offline {
            return;
        }
        self.pulls.handle_time(now_ns);
        self.handle_overdue(now_ns);
        if self.silence_due_ns().is_some_and(|due_ns| now_ns >= due_ns) {
            let consumer = self.consumer.as_mut().expect("it is silent");
            if std::mem::replace(&mut consumer.is_doubted, true) {
                self.give_up(ConsumerLoss::Silent, now_ns);
            } else {
                consumer.is_asked_about = true;
                consumer.heard_ns = now_ns;
            }
        }
        if self.renewal_due_ns().is_some_and(|due_ns| now_ns >= due_ns) {
            self.renew_wait_ns = (self.renew_wait_ns * 2).min(RENEW_INTERVAL_NS);
            self.give_up(ConsumerLoss::Renewed, now_ns);
        }
    }

    /// When [`handle_time`](Self::handle_time) and [`poll_request`](Self::poll_request) have something to do at the latest.
    /// `None`: there is no connection.
    pub fn next_deadline(&self, now_ns: u64) -> Option<u64> {
        let request = match (&self.asked, self.stage) {
            (_, Stage::Offline) => return None,
            (Some(asked), _) => asked.due_ns,
            (None, Stage::Reading) => self.look_due_ns,
            (None, _) => self.retry_at_ns,
        };
        let pulls = self.pulls.next_deadline(now_ns).filter(|_| self.stage == Stage::Reading);
        [Some(request), pulls, self.silence_due_ns(), self.renewal_due_ns()].into_iter().flatten().min()
    }

    fn silence_due_ns(&self) -> Option<u64> {
        let (consumer, asked_ns) = (self.consumer.as_ref()?, self.pulls.oldest_ns()?);
        Some(consumer.heard_ns.max(asked_ns).saturating_add(SILENCE_NS))
    }

    fn renewal_due_ns(&self) -> Option<u64> {
        let tells_time = self.stream.as_ref().is_some_and(|stream| stream.server_ns.is_some());
        let consumer = self.consumer.as_ref().filter(|_| !tells_time && self.has_caught_up)?;
        let interval_ns = if self.knows_time() { RENEW_INTERVAL_NS } else { self.renew_wait_ns };
        Some(consumer.made_ns.saturating_add(interval_ns))
    }

    /// What happened, oldest first.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Why the stream is not read, while that is so.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// What it was made with: what [`Trouble::remedy`] wants to know.
    pub fn settings(&self) -> &ReaderSettings {
        &self.settings
    }

    /// The server's time at a moment of the driver's clock, in Unix ns. `None`: not known yet.
    #[inline]
    pub fn present(&self, now_ns: u64) -> Option<u64> {
        self.present.at(now_ns)
    }

    /// It has caught up once, since when messages are of the present.
    #[inline]
    pub fn has_caught_up(&self) -> bool {
        self.has_caught_up
    }

    /// Up to here nothing is wanted of the stream any more.
    fn passed_sequence(&self) -> u64 {
        self.applied_sequence.max(self.settled.unwrap_or(0))
    }

    fn notice(&mut self, notice: Notice) {
        if self.notices.len() == NOTICES_MAX {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
    }

    /// A request came to nothing: again, a little later each time.
    fn fail(&mut self, trouble: Trouble, now_ns: u64) {
        self.asked = None;
        self.back_off(now_ns);
        self.look_due_ns = self.retry_at_ns;
        // A server that refuses a request does not answer it either.
        let is_known = matches!((&trouble, &self.trouble), (Trouble::NoAnswer(_), Some(Trouble::NoPermission(..))));
        if !is_known && self.trouble.as_ref() != Some(&trouble) {
            self.notice(Notice::Trouble(trouble.clone()));
            self.trouble = Some(trouble);
        }
    }

    fn end_trouble(&mut self) {
        if self.trouble.take().is_some() {
            self.notice(Notice::TroubleOver);
        }
    }

    fn back_off(&mut self, now_ns: u64) {
        let wait_ns = (RETRY_FIRST_NS << self.failures.min(10)).min(RETRY_LAST_NS);
        self.failures = self.failures.saturating_add(1);
        self.retry_at_ns = now_ns.saturating_add(wait_ns / 2 + self.random.below(wait_ns / 2));
    }

    /// The consumer is no good any more. What follows is a look at the stream.
    fn give_up(&mut self, loss: ConsumerLoss, now_ns: u64) {
        let Some(consumer) = &self.consumer else { return };
        self.retry_at_ns = now_ns;
        if !consumer.has_been_heard {
            self.back_off(now_ns);
        }
        self.consumers_lost += 1;
        self.notice(Notice::ConsumerLost(loss));
        self.leave_consumer();
        self.asked = None;
        self.stage = Stage::Look;
    }

    /// Its place is known, so that another one takes over from there.
    fn leave_consumer(&mut self) {
        self.pulls.forget();
        self.last_look = None;
        if let Some(consumer) = self.consumer.take() {
            self.left_ns = Some(consumer.heard_ns);
            self.delete_consumer(consumer.name);
        }
    }

    fn delete_consumer(&mut self, name: String) {
        if self.may_delete && self.to_delete.len() < ERRANDS_MAX {
            self.to_delete.push_back(name);
        }
    }

    /// The newest messages of all subjects are applied: on with the window.
    fn begin_window(&mut self, now_ns: u64) {
        self.start = Start::Since(self.start_moment_ns.unwrap_or(0));
        self.leave_consumer();
        self.asked = None;
        self.stage = Stage::CreateConsumer;
        self.retry_at_ns = now_ns;
    }

    /// Where the window begins, by the server's clock; `false`: that is not known.
    fn choose_start_moment(&mut self, now_ns: u64) -> bool {
        if self.start == Start::NewestOfEach && (self.start_moment_ns.is_none() || self.applied_count == 0) {
            let back_ns = self.settings.rolling_window_ns.saturating_add(START_MARGIN_NS);
            // Rather too much of the stream than too little, where the server's time is not known well.
            let back_ns = back_ns.saturating_add(self.present.error_ns());
            self.start_moment_ns = self.present(now_ns).map(|present_ns| present_ns.saturating_sub(back_ns));
        }
        self.start != Start::NewestOfEach || self.start_moment_ns.is_some()
    }

    /// The consumer to be made is to say at which sequence the start moment is.
    fn is_finding_start(&self) -> bool {
        matches!(self.start, Start::Since(_)) && self.settings.filters.len() > 1 && !self.uses_cover
    }

    fn schedule_look(&mut self, now_ns: u64) {
        self.look_due_ns = now_ns.saturating_add(self.look_interval_ns(now_ns));
    }

    /// Where a part of the stream is read, it is known of what the consumer has passed over that it was not for us if the
    /// next look finds that it was still there. So looks, and heartbeats, come several times while the stream holds a message.
    fn look_interval_ns(&self, now_ns: u64) -> u64 {
        let Some(stream) = self.stream.as_ref().filter(|_| !self.reads_all) else { return LOOK_INTERVAL_NS };
        let present_ns = self.present(now_ns).unwrap_or(0);
        let held_ns = stream.first_ns.map(|first_ns| present_ns.saturating_sub(first_ns));
        let held_ns = [held_ns, stream.max_age_ns].into_iter().flatten().min();
        let interval_ns = held_ns.map_or(LOOK_INTERVAL_NS, |held_ns| held_ns / LOOKS_WHILE_HELD);
        interval_ns.clamp(LOOK_INTERVAL_MIN_NS, LOOK_INTERVAL_NS)
    }
}
