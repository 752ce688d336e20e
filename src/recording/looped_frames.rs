//! Events as the bytes that nats-server would send, to be gone through over and over: for `bench` and the benchmarks.
//!
//! Each pass moves the timestamps on by the length of the whole, as if it went on for ever: the payloads' `ts_exchange`
//! and `ts_recv` are rewritten in the bytes between passes.

use std::collections::TryReserveError;
use std::io::Write;
use std::path::Path;

use proto_nats::encode;
use proto_nats::subject::is_valid_subject;

use crate::config::Symbols;
use crate::engine::time::{NANOS_PER_SECOND, TIME_TEXT_BYTES, UnixNanos, decode_time_text, encode_time};
use crate::recording::RecordingError;
use crate::recording::line_faults::{Fault, FaultyLine, LineFaults};
use crate::recording::reader::{Record, RecordReader, is_wanted};

/// What a MSG has beside its subject and payload: a verb, a sid, a length, line ends.
const FRAME_BYTES_MAX: usize = 64;

/// A recording as frames, and how to move its times on.
#[derive(Clone, Default)]
pub struct Stream {
    /// MSG frames.
    pub bytes: Vec<u8>,
    /// Frames in `bytes`.
    pub event_count: u64,
    /// Places of timestamps in `bytes`, and the moments they stand for.
    times: Vec<(usize, UnixNanos)>,
    /// From the first moment to just after the last.
    length_ns: i64,
}

impl Stream {
    /// The recording's events of `symbols`, `events_max` of them at most; lines that are no event are reported on `log`.
    pub fn load(
        file: &Path,
        symbols: &Symbols,
        subject_prefix: &str,
        events_max: u64,
        log: &mut impl Write,
    ) -> Result<Self, RecordingError> {
        let mut stream = Stream::default();
        let mut faults = LineFaults::new(file);
        let loaded = stream.load_from(&mut RecordReader::open(file)?, symbols, subject_prefix, events_max, |faulty| {
            faults.note(&faulty, log);
        });
        faults.finish(log);
        loaded?;
        Ok(stream.with_times()?)
    }

    fn load_from(
        &mut self,
        reader: &mut RecordReader,
        symbols: &Symbols,
        subject_prefix: &str,
        events_max: u64,
        mut note_faulty: impl FnMut(FaultyLine),
    ) -> Result<(), RecordingError> {
        while self.event_count < events_max
            && let Some(record) = reader.next_record()?
        {
            match record {
                Ok(record) if !is_wanted(symbols, record.subject, subject_prefix.as_bytes()) => {}
                Ok(record) if is_valid_subject(record.subject.as_bytes()) => {
                    self.push(record.subject, record.payload)?;
                }
                Ok(Record { line, subject, .. }) => {
                    note_faulty(FaultyLine { line, fault: Fault::NOT_A_SUBJECT, shown: subject.to_owned() });
                }
                Err(faulty) => note_faulty(faulty),
            }
        }
        Ok(())
    }

    /// Subjects and payloads.
    pub fn of(events: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut stream = Stream::default();
        for (subject, payload) in events {
            stream.push(&subject, payload.as_bytes()).expect("there is memory");
        }
        stream.with_times().expect("there is memory")
    }

    /// The same again, for another core.
    pub fn try_clone(&self) -> Result<Stream, RecordingError> {
        let mut stream = Stream { event_count: self.event_count, length_ns: self.length_ns, ..Stream::default() };
        stream.bytes.try_reserve_exact(self.bytes.len())?;
        stream.bytes.extend_from_slice(&self.bytes);
        stream.times.try_reserve_exact(self.times.len())?;
        stream.times.extend_from_slice(&self.times);
        Ok(stream)
    }

    fn push(&mut self, subject: &str, payload: &[u8]) -> Result<(), TryReserveError> {
        self.bytes.try_reserve(subject.len() + payload.len() + FRAME_BYTES_MAX)?;
        encode::msg(&mut self.bytes, subject.as_bytes(), b"1", None, None, payload);
        self.event_count += 1;
        Ok(())
    }

    /// Finds the timestamps that `rebase` writes.
    fn with_times(mut self) -> Result<Self, TryReserveError> {
        for key in ["\"ts_exchange\":\"", "\"ts_recv\":\""] {
            for at in memchr::memmem::find_iter(&self.bytes, key) {
                let start = at + key.len();
                let text = self.bytes.get(start..start + TIME_TEXT_BYTES).unwrap_or_default();
                if let Some(moment) = decode_time_text(text)
                    && encode_time(moment) == text
                {
                    self.times.try_reserve(1)?;
                    self.times.push((start, moment));
                }
            }
        }
        let moments = || self.times.iter().map(|(_, moment)| *moment);
        if let (Some(first), Some(last)) = (moments().min(), moments().max()) {
            self.length_ns = last.since(first) + NANOS_PER_SECOND / 1_000;
        }
        Ok(self)
    }

    /// Writes the timestamps of pass number `pass`.
    pub fn rebase(&mut self, pass: i64) {
        for (start, moment) in &self.times {
            let text = encode_time(moment.plus(pass * self.length_ns));
            self.bytes[*start..*start + TIME_TEXT_BYTES].copy_from_slice(&text);
        }
    }
}
