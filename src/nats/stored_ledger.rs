//! What a client has published to a stream, until the stream says that it has stored it.
//!
//! ```text
//!   push: HPUB subject inbox.17, Nats-Msg-Id: …-17 ──► server ──► {"stream":"MD_EVENTS","seq":4711} to inbox.17 ──► forgotten
//!                       └── kept; published again with the next connection, or when the first of them has waited for 5 s
//! ```
//!
//! A message that is published again has the id that it had, so that the stream stores it once (`Nats-Msg-Id`; JetStream's
//! default is to remember ids for two minutes).

use std::collections::VecDeque;

use proto_nats::{Decoded, Msg, decode_client_op, encode};
use serde::Deserialize;

use crate::engine::time::NANOS_PER_SECOND;
use crate::nats::publish_ledger::PUBLISHED;
use crate::runtime::log_text::printable;

/// Kept until they are stored, and those behind them; then nothing more is taken.
const KEPT_BYTES_MAX: usize = 4 << 20;
const KEPT_EVENTS_MAX: usize = 8192;
/// For the answer to the first that is kept.
const ANSWER_LIMIT_NS: u64 = 5 * NANOS_PER_SECOND as u64;
/// After it has said that it cannot for now.
const RETRY_NS: u64 = NANOS_PER_SECOND as u64 / 4;
/// Without anything stored: a restart and a new leader take less.
const GIVE_UP_NS: u64 = 30 * NANOS_PER_SECOND as u64;
/// JetStream's number for a message that the stream does not take: a limit with `discard: new`, or its disk.
const STORE_FAILED: u32 = 10077;
/// Of the header, with an id as long as it can be.
pub const HEADER_BYTES_MAX: usize = 128;

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// All of [`StoredLedger::frames`] is to be published again.
    Again,
    /// Nothing of it will be stored, for this reason.
    Never(String),
}

/// See the head of this file.
pub struct StoredLedger {
    /// `_INBOX.….`; a number follows.
    inbox: String,
    /// Of ids.
    run: String,
    /// Number of the first that is kept.
    first: u64,
    /// `None`: stored, and one before it is not.
    kept: VecDeque<Option<Box<[u8]>>>,
    kept_bytes: usize,
    kept_events: usize,
    /// Since when nothing has been stored, though something is kept.
    waiting_ns: u64,
    /// Since when the first that is kept waits for its answer.
    front_ns: u64,
    retry_at_ns: Option<u64>,
    failure: Option<String>,
    trouble: Option<String>,
    report: StoredReport,
}

/// What the stream has said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredReport {
    /// The stream's name.
    pub stream: String,
    /// Events that it has stored.
    pub stored: u64,
    /// Of these, those that it had stored before, when they were published first.
    pub duplicates: u64,
    /// The largest sequence.
    pub sequence: u64,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<AnswerError>,
}

#[derive(Deserialize)]
struct AnswerError {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

impl StoredLedger {
    /// `run` tells this run's ids from all others'.
    pub fn new(run: String) -> StoredLedger {
        StoredLedger {
            inbox: format!("_INBOX.{run}."),
            run,
            first: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            kept_events: 0,
            waiting_ns: 0,
            front_ns: 0,
            retry_at_ns: None,
            failure: None,
            trouble: None,
            report: StoredReport::default(),
        }
    }

    /// To be subscribed to.
    pub fn inbox(&self) -> String {
        format!("{}*", self.inbox)
    }

    /// PUB frames, which are whole, as they are to be published; they are kept.
    pub fn push(&mut self, frames: &[u8], now_ns: u64) -> Vec<u8> {
        let (mut at, mut out) = (0, Vec::with_capacity(2 * frames.len()));
        if self.kept.is_empty() {
            (self.waiting_ns, self.front_ns) = (now_ns, now_ns);
        }
        while let Ok(Decoded::Op { op: proto_nats::ClientOp::Pub { subject, payload, .. }, len }) =
            decode_client_op(&frames[at..], &PUBLISHED)
        {
            at += len;
            let number = self.first + self.kept.len() as u64;
            let reply_to = format!("{}{number}", self.inbox);
            let header = format!("NATS/1.0\r\nNats-Msg-Id: {}-{number}\r\n\r\n", self.run);
            let start = out.len();
            encode::publish_with_headers(&mut out, subject, Some(reply_to.as_bytes()), header.as_bytes(), payload);
            let frame: Box<[u8]> = out[start..].into();
            self.kept_bytes += frame.len();
            self.kept_events += 1;
            self.kept.push_back(Some(frame));
        }
        assert_eq!(at, frames.len(), "what is published is whole PUB frames");
        out
    }

    /// Nothing more is to be published for now.
    pub fn is_full(&self) -> bool {
        self.kept_bytes >= KEPT_BYTES_MAX || self.kept.len() >= KEPT_EVENTS_MAX
    }

    /// Events that are not stored, as far as is known.
    pub fn unstored(&self) -> u64 {
        self.kept_events as u64
    }

    /// All that is not stored, in its order.
    pub fn frames(&mut self, now_ns: u64) -> Vec<u8> {
        (self.front_ns, self.retry_at_ns) = (now_ns, None);
        self.kept.iter().flatten().flat_map(|frame| frame.iter().copied()).collect()
    }

    /// A message has come.
    pub fn handle_msg(&mut self, msg: &Msg<'_>, now_ns: u64) {
        let number = msg.subject.strip_prefix(self.inbox.as_bytes());
        let number = number.and_then(|number| std::str::from_utf8(number).ok()?.parse::<u64>().ok());
        let Some(index) = number.and_then(|number| number.checked_sub(self.first)) else { return };
        let Some(place @ Some(_)) = self.kept.get_mut(index as usize) else { return };
        // No responders.
        if msg.headers.is_some_and(|headers| headers.starts_with(b"NATS/1.0 503")) {
            let subject = subject_of(place.as_deref().unwrap_or_default());
            let failure = format!(
                "no stream takes {subject}, or JetStream is off; mend it with: nats-server -js, and nats stream add MD_EVENTS \
                 --subjects '{}' --storage file --retention limits --discard old --max-age 10m --max-bytes 1GB --defaults",
                family(&subject)
            );
            return self.handle_unavailable(failure, now_ns);
        }
        match serde_json::from_slice::<Answer>(msg.payload) {
            Ok(Answer { error: Some(error), .. }) => {
                let description = printable(&error.description);
                match error.code {
                    503 if error.err_code != STORE_FAILED => {
                        self.handle_unavailable(format!("the stream cannot store for now: {description}"), now_ns)
                    }
                    _ => self.failure = Some(format!("the stream does not store it: {description} ({})", error.code)),
                }
            }
            Ok(Answer { stream, seq, duplicate, error: None }) if !stream.is_empty() => {
                let frame = place.take().unwrap_or_default();
                self.kept_bytes -= frame.len();
                self.kept_events -= 1;
                while let Some(None) = self.kept.front() {
                    self.kept.pop_front();
                    self.first += 1;
                    self.front_ns = now_ns;
                }
                self.waiting_ns = now_ns;
                self.trouble = None;
                self.report.stored += 1;
                self.report.duplicates += u64::from(duplicate);
                self.report.sequence = self.report.sequence.max(seq);
                self.report.stream = stream;
            }
            _ => self.failure = Some("the answer to what was published is none of JetStream's".to_owned()),
        }
    }

    /// Where something was stored before, servers restart and leaders change.
    fn handle_unavailable(&mut self, trouble: String, now_ns: u64) {
        if self.report.stored == 0 {
            self.failure.get_or_insert(trouble);
        } else {
            self.retry_at_ns.get_or_insert(now_ns + RETRY_NS);
            self.trouble = Some(trouble);
        }
    }

    /// There is a connection again: the time without one does not count.
    pub fn handle_connected(&mut self, now_ns: u64) {
        (self.waiting_ns, self.front_ns, self.retry_at_ns) = (now_ns, now_ns, None);
    }

    /// Time passes while there is a connection.
    pub fn poll(&self, now_ns: u64) -> Due {
        if let Some(failure) = &self.failure {
            return Due::Never(failure.clone());
        }
        if self.kept.is_empty() {
            return Due::Nothing;
        }
        if now_ns.saturating_sub(self.waiting_ns) > GIVE_UP_NS {
            let seconds = GIVE_UP_NS / NANOS_PER_SECOND as u64;
            let trouble = self.trouble.as_deref().unwrap_or("the server does not answer");
            return Due::Never(format!("nothing was stored for {seconds} s: {trouble}"));
        }
        let is_overdue = now_ns.saturating_sub(self.front_ns) > ANSWER_LIMIT_NS;
        if is_overdue || self.retry_at_ns.is_some_and(|at_ns| at_ns <= now_ns) { Due::Again } else { Due::Nothing }
    }

    /// What the stream has said so far.
    pub fn report(&self) -> StoredReport {
        self.report.clone()
    }
}

/// All subjects that begin as this one does, without its type and its symbol.
fn family(subject: &str) -> String {
    match subject.rsplitn(3, '.').nth(2) {
        Some(prefix) => format!("{prefix}.>"),
        None => subject.to_owned(),
    }
}

fn subject_of(frame: &[u8]) -> String {
    let subject = frame.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    printable(&String::from_utf8_lossy(subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(range: std::ops::Range<u64>) -> Vec<u8> {
        let mut frames = Vec::new();
        range
            .for_each(|number| encode::publish(&mut frames, b"md.events.trade.A", None, number.to_string().as_bytes()));
        frames
    }

    fn answer(ledger: &mut StoredLedger, number: u64, payload: &str, headers: Option<&[u8]>, now_ns: u64) {
        let subject = format!("_INBOX.run.{number}");
        let payload = payload.as_bytes();
        ledger.handle_msg(&Msg { subject: subject.as_bytes(), sid: 1, reply_to: None, headers, payload }, now_ns);
    }

    const STORED: &str = r#"{"stream":"S","seq":7}"#;
    const NOBODY: Option<&[u8]> = Some(b"NATS/1.0 503\r\n\r\n");

    #[test]
    fn what_is_not_stored_is_published_again_in_its_order_with_its_id() {
        let mut ledger = StoredLedger::new("run".to_owned());
        let sent = ledger.push(&frames(0..3), 0);
        let text = String::from_utf8(sent.clone()).unwrap();
        assert!(text.starts_with("HPUB md.events.trade.A _INBOX.run.0 "), "{text}");
        assert!(text.contains("\r\nNats-Msg-Id: run-2\r\n\r\n2\r\n"), "{text}");
        assert_eq!(ledger.frames(1), sent);
        answer(&mut ledger, 1, STORED, None, 2);
        assert_eq!((ledger.unstored(), ledger.report().sequence), (2, 7));
        let again = String::from_utf8(ledger.frames(3)).unwrap();
        assert!(again.contains("run-0") && !again.contains("run-1") && again.contains("run-2"), "{again}");
        // Late answers, odd ones.
        for number in [1, 3, 99] {
            answer(&mut ledger, number, STORED, None, 4);
        }
        assert_eq!((ledger.unstored(), ledger.report().stored), (2, 1));
        answer(&mut ledger, 2, r#"{"stream":"S","seq":6,"duplicate":true}"#, None, 4);
        answer(&mut ledger, 0, STORED, None, 4);
        assert_eq!((ledger.unstored(), ledger.poll(u64::MAX)), (0, Due::Nothing));
        let (stream, stored, duplicates, sequence) = ("S".to_owned(), 3, 1, 7);
        assert_eq!(ledger.report(), StoredReport { stream, stored, duplicates, sequence });
        ledger.push(&frames(3..4), 5);
        assert!(String::from_utf8(ledger.frames(5)).unwrap().contains("run-3"));
    }

    #[test]
    fn silence_refusals_and_the_end_of_patience() {
        const S: u64 = NANOS_PER_SECOND as u64;
        // Nothing was ever stored: nobody there means that there is no stream.
        let mut ledger = StoredLedger::new("run".to_owned());
        ledger.push(&frames(0..1), 0);
        answer(&mut ledger, 0, "", NOBODY, 1);
        let Due::Never(why) = ledger.poll(1) else { panic!("it is not tried again") };
        assert!(why.starts_with("no stream takes md.events.trade.A, or JetStream is off; "), "{why}");
        assert!(why.contains("--subjects 'md.events.>'"), "{why}");
        // Later it may be a leader that changes.
        let mut ledger = StoredLedger::new("run".to_owned());
        ledger.push(&frames(0..2), 0);
        answer(&mut ledger, 0, STORED, None, S);
        for refusal in [("", NOBODY), (r#"{"error":{"code":503,"description":"no leader"}}"#, None)] {
            answer(&mut ledger, 1, refusal.0, refusal.1, S);
            assert_eq!((ledger.poll(S), ledger.poll(S + RETRY_NS)), (Due::Nothing, Due::Again));
            assert!(!ledger.frames(S).is_empty());
            assert_eq!(ledger.poll(S + RETRY_NS), Due::Nothing);
        }
        assert_eq!((ledger.poll(6 * S), ledger.poll(6 * S + 1)), (Due::Nothing, Due::Again));
        ledger.frames(20 * S);
        assert_eq!(ledger.poll(25 * S), Due::Nothing);
        assert_eq!(ledger.poll(31 * S), Due::Again);
        let Due::Never(why) = ledger.poll(31 * S + 1) else { panic!("patience ends") };
        assert_eq!(why, "nothing was stored for 30 s: the stream cannot store for now: no leader");
        // A minute without a connection.
        ledger.handle_connected(100 * S);
        assert_eq!(ledger.poll(100 * S), Due::Nothing);
        for (payload, words) in [
            (r#"{"error":{"code":400,"description":"message size exceeds maximum"}}"#, "exceeds maximum (400)"),
            (r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}"#, "exceeded (503)"),
            ("no JSON", "none of JetStream's"),
            ("{}", "none of JetStream's"),
        ] {
            answer(&mut ledger, 1, payload, None, 101 * S);
            assert!(matches!(ledger.poll(101 * S), Due::Never(why) if why.contains(words)));
        }
    }

    #[test]
    fn it_takes_no_more_than_it_can_keep() {
        let mut ledger = StoredLedger::new("run".to_owned());
        ledger.push(&frames(0..KEPT_EVENTS_MAX as u64 - 1), 0);
        assert!(!ledger.is_full());
        ledger.push(&frames(0..1), 0);
        assert!(ledger.is_full());
        // What was stored behind one that is not takes its place all the same.
        answer(&mut ledger, 5, STORED, None, 1);
        assert!(ledger.is_full());
        answer(&mut ledger, 0, STORED, None, 1);
        assert!(!ledger.is_full());
    }

    /// One answer is lost while all goes on: it is published again after its time, however many come behind it.
    #[test]
    fn an_answer_that_does_not_come_is_missed_while_others_come() {
        const S: u64 = NANOS_PER_SECOND as u64;
        let mut ledger = StoredLedger::new("run".to_owned());
        ledger.push(&frames(0..1), 0);
        for number in 1..=50 {
            let now_ns = number * S / 10;
            assert_eq!(ledger.poll(now_ns), Due::Nothing);
            ledger.push(&frames(number..number + 1), now_ns);
            answer(&mut ledger, number, STORED, None, now_ns);
        }
        assert_eq!(ledger.poll(5 * S + 1), Due::Again);
        let again = String::from_utf8(ledger.frames(5 * S + 1)).unwrap();
        assert!(again.contains("run-0\r\n") && !again.contains("run-1\r\n"), "{again}");
        assert_eq!((ledger.poll(10 * S + 1), ledger.poll(10 * S + 2)), (Due::Nothing, Due::Again));
    }
}
