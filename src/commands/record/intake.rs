//! What arrives, as lines of a recording, until a batch of them is taken; and what is left out of them.

use std::fmt;

use proto_nats::Msg;

use super::BATCH_BYTES;
use crate::engine::time::UnixNanos;
use crate::recording::writer::{Kept, encode_record};
use crate::service::overlap::Overlap;

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
    pub overlap: Overlap,
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
            "{on_one_line} payloads were put on one line, {as_text} were not JSON and were kept as text, {without_subject} events \
             were left out as their subject is not UTF-8"
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
            overlap: Overlap::default(),
        }
    }

    pub fn is_full(&self) -> bool {
        self.events == self.events_max
    }

    pub fn take(&mut self, receipt: UnixNanos, message: &Msg<'_>) {
        if self.is_full() {
            return;
        }
        if self.overlap.is_repeated(message.subject, message.payload) {
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
        // The queue counts lines: what they lie in is to be no larger where the disk is slow.
        let mut lines = std::mem::replace(&mut self.lines, Vec::with_capacity(BATCH_BYTES));
        lines.shrink_to_fit();
        Batch { lines, events: std::mem::take(&mut self.line_count) }
    }
}

/// Lines on their way to the file.
pub(super) struct Batch {
    pub lines: Vec<u8>,
    pub events: u64,
}
