//! What arrives, as lines of a recording, until a batch of them is taken; and what is left out of them.

use std::fmt;
use std::io::Write;

use proto_nats::Msg;

use super::BATCH_BYTES;
use crate::engine::time::UnixNanos;
use crate::recording::writer::{Kept, encode_record};
use crate::service::overlap::{NO_MEMORY, Overlap};

/// What arrives, in lines.
pub(super) struct Intake {
    pub lines: Vec<u8>,
    /// Events of `lines`.
    line_count: u64,
    /// All that were taken.
    pub events: u64,
    pub events_max: u64,
    pub altered: Altered,
    /// While two connections bring the same messages, and for a while after it.
    overlap: Option<Overlap>,
}

/// Events that are not in the recording as they came.
#[derive(Default)]
pub(super) struct Altered {
    on_one_line: u64,
    as_text: u64,
    /// Left out.
    without_subject: u64,
}

impl fmt::Display for Altered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Altered { on_one_line, as_text, without_subject } = self;
        if on_one_line + as_text + without_subject == 0 {
            return f.write_str("all as they came");
        }
        write!(
            f,
            "payloads put on one line: {on_one_line}, that are no JSON and were kept as a text: {as_text}; left out, as their \
             subject is not UTF-8: {without_subject}"
        )
    }
}

impl Intake {
    pub fn new(events_max: u64) -> Intake {
        Intake {
            lines: Vec::with_capacity(2 * BATCH_BYTES),
            line_count: 0,
            events: 0,
            events_max,
            altered: Altered::default(),
            overlap: None,
        }
    }

    pub fn is_full(&self) -> bool {
        self.events == self.events_max
    }

    pub fn take(&mut self, receipt: UnixNanos, message: &Msg<'_>) {
        if self.is_full() {
            return;
        }
        if let Some(overlap) = &mut self.overlap
            && overlap.is_repeated(message.subject, message.payload)
        {
            return;
        }
        match encode_record(receipt, message.subject, message.payload, &mut self.lines) {
            None => return self.altered.without_subject += 1,
            Some(Kept::AsItIs) => {}
            Some(Kept::OnOneLine) => self.altered.on_one_line += 1,
            Some(Kept::AsText) => self.altered.as_text += 1,
        }
        self.line_count += 1;
        self.events += 1;
    }

    pub fn take_batch(&mut self) -> Batch {
        let lines = std::mem::replace(&mut self.lines, Vec::with_capacity(2 * BATCH_BYTES));
        Batch { lines, events: std::mem::take(&mut self.line_count) }
    }

    /// What is taken from now on may come again from another server, and is left out there.
    pub fn begin_overlap(&mut self, log: &mut impl Write) {
        self.overlap = Overlap::begin();
        if self.overlap.is_none() {
            let _ = writeln!(log, "{NO_MEMORY}");
        }
    }

    /// The other server is the one that is read from here on.
    pub fn begin_comparing(&mut self, now_ns: u64) {
        match &mut self.overlap {
            Some(overlap) if overlap.is_remembering() => overlap.begin_comparing(now_ns),
            _ => self.overlap = None,
        }
    }

    /// The other server will bring nothing.
    pub fn cancel_overlap(&mut self) {
        if self.overlap.as_ref().is_some_and(Overlap::is_remembering) {
            self.overlap = None;
        }
    }

    /// An overlap whose time is over is ended, and told: from then on what comes twice was sent twice.
    pub fn end_overlap(&mut self, now_ns: u64, log: &mut impl Write) {
        if let Some(counts) = self.overlap.as_ref().and_then(|overlap| overlap.poll_over(now_ns)) {
            self.overlap = None;
            let _ = writeln!(log, "{counts}");
        }
    }
}

/// Lines on their way to the file.
pub(super) struct Batch {
    pub lines: Vec<u8>,
    pub events: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::overlap::REPEATS_NS;

    fn take(intake: &mut Intake, payload: &str) -> bool {
        let before = intake.events;
        let message =
            Msg { subject: b"md.events.trade.A", sid: 1, reply_to: None, headers: None, payload: payload.as_bytes() };
        intake.take(UnixNanos(1_760_000_000_000_000_000), &message);
        intake.events > before
    }

    /// A move to another server: what both bring is written once, and what is sent again after it as often as it is sent.
    #[test]
    fn an_overlap_ends() {
        let mut intake = Intake::new(u64::MAX);
        let mut log = Vec::new();
        intake.begin_overlap(&mut log);
        assert!(take(&mut intake, "1") && take(&mut intake, "2"));
        // While both are read it does not end.
        intake.end_overlap(u64::MAX, &mut log);
        let moved_ns = 7;
        intake.begin_comparing(moved_ns);
        assert!(!take(&mut intake, "1") && take(&mut intake, "1"), "the old one has brought one of them");
        intake.end_overlap(moved_ns + REPEATS_NS - 1, &mut log);
        assert_eq!(log, b"");
        intake.end_overlap(moved_ns + REPEATS_NS, &mut log);
        assert!(take(&mut intake, "2"), "a long time after the move that is another event");
        let log = String::from_utf8(log).expect("text");
        assert_eq!(log, "moved to another NATS server: 1 events came from both, and were taken once\n");
        intake.end_overlap(u64::MAX, &mut std::io::sink());
    }

    #[test]
    fn a_move_that_came_to_nothing_leaves_nothing_out() {
        let mut intake = Intake::new(u64::MAX);
        intake.begin_overlap(&mut std::io::sink());
        assert!(take(&mut intake, "1"));
        intake.cancel_overlap();
        intake.begin_comparing(1);
        assert!(take(&mut intake, "1"));
    }
}
