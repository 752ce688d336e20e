//! What is to be published: errands first, then one request at a time, then pulls as there is room.

use super::patience::SAME_NAME_NS;
use super::{Asked, NO_TOKEN, Stage, StreamReader};
use crate::jetstream::filter::{common_cover, covers};
use crate::jetstream::pulls::Pulls;
use crate::jetstream::request::{self, Filters};
use crate::jetstream::trouble::Request;
use crate::jetstream::{HEARTBEAT_NS, Start};

/// Of a consumer's name, before its number: 71 random bits. The name comes with each message, so it is not longer.
const NAME_PREFIX_CHARS: usize = 12;

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) subject: String,
    pub(super) reply_to: String,
    pub(super) payload: Vec<u8>,
}

/// What is to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publication<'a> {
    /// Where.
    pub subject: &'a str,
    /// Where the answer comes to.
    pub reply_to: Option<&'a str>,
    /// JSON, or nothing.
    pub payload: &'a [u8],
}

impl StreamReader {
    /// What is to be published next. To be asked until there is nothing more, after every call of a `handle_` function and
    /// when there is more room.
    pub fn poll_request(&mut self, now_ns: u64) -> Option<Publication<'_>> {
        if self.stage == Stage::Offline || !(self.errand() || self.ask(now_ns) || self.pull(now_ns)) {
            return None;
        }
        let Outgoing { subject, reply_to, payload } = &self.out;
        Some(Publication { subject, reply_to: Some(reply_to.as_str()).filter(|text| !text.is_empty()), payload })
    }

    fn errand(&mut self) -> bool {
        if let Some(subject) = self.to_answer.pop_front() {
            self.out = Outgoing { subject, ..Outgoing::default() };
        } else if let Some(name) = self.to_delete.pop_front() {
            self.prepare(self.api.consumer("DELETE", &name), NO_TOKEN, Vec::new());
        } else {
            return false;
        }
        true
    }

    fn ask(&mut self, now_ns: u64) -> bool {
        let is_asked_about = self.consumer.as_ref().is_some_and(|consumer| consumer.is_asked_about);
        let request = match self.stage {
            _ if self.asked.is_some() => return false,
            Stage::Reading if is_asked_about => Request::ConsumerInfo,
            Stage::Reading if now_ns >= self.look_due_ns => Request::StreamInfo,
            Stage::Reading => return false,
            _ if now_ns < self.retry_at_ns => return false,
            Stage::Look => Request::StreamInfo,
            Stage::CreateStream => Request::StreamCreate,
            Stage::CreateConsumer => Request::ConsumerCreate,
            Stage::Offline => return false,
        };
        if request == Request::ConsumerCreate && self.ask_again(now_ns) {
            return true;
        }
        self.token += 1;
        // Of a request under way for a consumer, its name.
        let name = match (&self.consumer, request) {
            (Some(consumer), Request::ConsumerInfo) => consumer.name.clone(),
            _ => format!("{}-{}", &self.nuid[..NAME_PREFIX_CHARS], self.token),
        };
        let (subject, payload) = match request {
            Request::StreamInfo => (self.api.stream_info(), Vec::new()),
            Request::StreamCreate => (self.api.stream_create(), request::stream_config(&self.settings)),
            Request::ConsumerInfo => (self.api.consumer("INFO", &name), Vec::new()),
            Request::ConsumerCreate => (self.api.consumer("CREATE", &name), self.consumer_wanted(&name)),
        };
        if let Some(consumer) = &mut self.consumer
            && request == Request::ConsumerInfo
        {
            consumer.is_asked_about = false;
        }
        let seen_sequence = self.consumer.as_ref().map_or(0, |consumer| consumer.seen_sequence);
        let applied_sequence = self.applied_sequence;
        let due_ns = now_ns.saturating_add(self.patience.limit_ns(request));
        let token = self.token;
        self.prepare(subject, token, payload.clone());
        self.asked = Some(Asked {
            request,
            token,
            at_ns: now_ns,
            due_ns,
            is_repeated: false,
            applied_sequence,
            seen_sequence,
            settled: self.settled.unwrap_or(0),
            jumped: self.jumped,
            name,
            payload,
        });
        true
    }

    /// A consumer that no answer came for is still what is wanted: it is asked for again, by the same name. A server that
    /// has made it, or is about to, does not make another.
    fn ask_again(&mut self, now_ns: u64) -> bool {
        let Some(asked) = &self.unanswered else { return false };
        if now_ns >= asked.at_ns.saturating_add(SAME_NAME_NS) || asked.payload != self.consumer_wanted(&asked.name) {
            self.forget_unanswered();
            return false;
        }
        let due_ns = now_ns.saturating_add(self.patience.limit_ns(Request::ConsumerCreate));
        let asked = Asked { due_ns, is_repeated: true, ..self.unanswered.take().expect("it is there") };
        self.prepare(self.api.consumer("CREATE", &asked.name), asked.token, asked.payload.clone());
        self.asked = Some(asked);
        true
    }

    fn consumer_wanted(&self, name: &str) -> Vec<u8> {
        let cover = common_cover(&self.settings.filters);
        let filters = match self.settings.filters.as_slice() {
            _ if self.is_finding_start() || self.goes_without_filter() => Filters::All,
            [_, _, ..] if !self.uses_cover => Filters::Several(&self.settings.filters),
            _ => Filters::One(&cover),
        };
        request::consumer_create(&self.settings, name, self.start, filters)
    }

    /// A server before 2.10 looks through all of a file stream to count what a filter takes, for seconds where there are many
    /// subjects; without a filter it makes the consumer at once. So there is none where the stream takes nothing else. (The
    /// newest of each subject cannot be had without one; and messages deleted from within the stream, which it then does not
    /// count right, are why it is not so with every stream.)
    fn goes_without_filter(&self) -> bool {
        let Some(stream) = self.stream.as_ref().filter(|_| self.start != Start::NewestOfEach) else { return false };
        let is_asked_for = |subject: &String| self.settings.filters.iter().any(|filter| covers(filter, subject));
        let takes_nothing_else = !stream.subjects.is_empty() && stream.subjects.iter().all(is_asked_for);
        stream.server_ns.is_none() && stream.deleted == 0 && takes_nothing_else
    }

    fn pull(&mut self, now_ns: u64) -> bool {
        let Some(request) = self.pulls.next(now_ns).filter(|_| self.stage == Stage::Reading) else { return false };
        let heartbeat_ns = Pulls::heartbeat_ns(&request, HEARTBEAT_NS.min(self.look_interval_ns(now_ns)));
        let Some(consumer) = &mut self.consumer else { return false };
        self.token += 1;
        self.pulls.note_asked(self.token, &request, now_ns);
        consumer.heard_ns = consumer.heard_ns.max(self.pulls.oldest_ns().unwrap_or(now_ns));
        let subject = self.api.consumer("MSG.NEXT", &consumer.name);
        let payload = request::next(&request, heartbeat_ns);
        self.prepare(subject, self.token, payload);
        true
    }

    fn prepare(&mut self, subject: String, token: u64, payload: Vec<u8>) {
        self.out = Outgoing { subject, reply_to: format!("{}{token}", self.inbox), payload };
    }
}
