//! Recordings: JSON Lines, a record a line, plain or gzip.
//!
//! `{"ts":RFC3339-or-ns (optional: local receipt),"subject":"md.events.trade.BTCUSDT","payload":{…}}`

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::number::decode_number;
use crate::engine::time::{UnixNanos, decode_nanos_number, decode_time_text};

/// Longest line that is read: a payload of NATS's largest recommended size and room for the rest.
const LINE_BYTES_MAX: u64 = 16 << 20;

pub struct Record<'a> {
    /// Local receipt, where it was recorded.
    pub ts: Option<UnixNanos>,
    pub subject: &'a str,
    /// The payload's JSON text, as it stands in the file.
    pub payload: &'a [u8],
}

/// A line that is no record: its number, counted from 1, and what is wrong with it.
#[derive(Debug)]
pub struct NoRecord {
    pub line: u64,
    pub cause: String,
}

impl std::fmt::Display for NoRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.cause)
    }
}

pub struct RecordReader {
    input: Box<dyn BufRead>,
    line: Vec<u8>,
    line_number: u64,
    subject: String,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(default, borrow)]
    ts: Option<&'a RawValue>,
    subject: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl RecordReader {
    /// Opens a recording; `-` is standard input. Gzip is told by its first bytes.
    pub fn open(path: &Path) -> io::Result<Self> {
        let raw: Box<dyn Read> =
            if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
        Self::new(raw)
    }

    pub fn new(raw: Box<dyn Read>) -> io::Result<Self> {
        let mut plain = BufReader::with_capacity(1 << 16, raw);
        let input: Box<dyn BufRead> = if plain.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        };
        Ok(RecordReader { input, line: Vec::new(), line_number: 0, subject: String::new() })
    }

    /// The next record, or what is wrong with the next line; `None` at the end. Empty lines are passed over.
    pub fn next_record(&mut self) -> io::Result<Option<Result<Record<'_>, NoRecord>>> {
        loop {
            self.line.clear();
            self.line_number += 1;
            let len = self.input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line)?;
            if len == 0 {
                return Ok(None);
            }
            if len as u64 == LINE_BYTES_MAX && self.line.last() != Some(&b'\n') {
                self.input.skip_until(b'\n')?;
                let cause = format!("longer than {LINE_BYTES_MAX} bytes");
                return Ok(Some(Err(NoRecord { line: self.line_number, cause })));
            }
            if !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        let line_number = self.line_number;
        let no_record = |cause: String| Ok(Some(Err(NoRecord { line: line_number, cause })));
        let line: Line<'_> = match serde_json::from_slice(&self.line) {
            Ok(line) => line,
            Err(error) => {
                return no_record(format!("not a record {{\"ts\",\"subject\",\"payload\"}}: {error}"));
            }
        };
        let ts = match line.ts.map(|raw| raw.get()) {
            None | Some("null") => None,
            Some(raw) => match decode_ts(raw) {
                Some(ts) => Some(ts),
                None => return no_record(format!("\"ts\" is {raw}, not an RFC 3339 string or ns since 1970")),
            },
        };
        self.subject.clear();
        self.subject.push_str(&line.subject);
        Ok(Some(Ok(Record { ts, subject: &self.subject, payload: line.payload.get().as_bytes() })))
    }
}

/// A number is nanoseconds, whatever its size and with quotes or without; only a payload's may be other units.
fn decode_ts(raw: &str) -> Option<UnixNanos> {
    let text = raw.trim_matches('"');
    match decode_number(text.as_bytes()) {
        Some((number, len)) if len == text.len() => decode_nanos_number(&number),
        _ => decode_time_text(text.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ts, subject and payload of a record, or what is wrong with the line.
    type Read = Result<(Option<i64>, String, String), String>;

    fn read(text: &str) -> Vec<Read> {
        let mut reader = RecordReader::new(Box::new(io::Cursor::new(text.to_owned()))).unwrap();
        let mut out = Vec::new();
        while let Some(record) = reader.next_record().unwrap() {
            out.push(match record {
                Ok(r) => Ok((r.ts.map(|t| t.0), r.subject.into(), String::from_utf8(r.payload.to_vec()).unwrap())),
                Err(error) => Err(error.to_string()),
            });
        }
        out
    }

    #[test]
    fn lines() {
        let text = "{\"subject\":\"a.b\",\"payload\":{\"x\": 1}}\n\n{\"payload\":[],\"ts\":1721347022605624000,\
                    \"subject\":\"c\",\"more\":2}\r\n{\"ts\":\"2024-07-18T23:57:02Z\",\"subject\":\"\\u0064\",\"payload\":1}";
        assert_eq!(
            read(text),
            [
                Ok((None, "a.b".into(), "{\"x\": 1}".into())),
                Ok((Some(1_721_347_022_605_624_000), "c".into(), "[]".into())),
                Ok((Some(1_721_347_022_000_000_000), "d".into(), "1".into())),
            ]
        );
    }

    #[test]
    fn receipt_times() {
        let check = |ts: &str, expected: i64| {
            let text = format!("{{\"ts\":{ts},\"subject\":\"a\",\"payload\":1}}");
            assert_eq!(read(&text), [Ok((Some(expected), "a".into(), "1".into()))], "{ts}");
        };
        check("\"2024-07-18T23:57:02.605624Z\"", 1_721_347_022_605_624_000);
        check("1721347022605624000", 1_721_347_022_605_624_000);
        check("\"1721347022605624000\"", 1_721_347_022_605_624_000);
        // Nanoseconds, small as they are.
        check("0", 0);
        check("1721347022", 1_721_347_022);
        check("1.721347022605624e18", 1_721_347_022_605_624_000);
    }

    #[test]
    fn what_is_no_record_is_said_with_its_line() {
        let found = read(
            "{\"subject\":\"a\",\"payload\":1}\nnonsense\n{\"ts\":\"yesterday\",\"subject\":\"a\",\"payload\":1}\n",
        );
        assert!(found[0].is_ok());
        assert!(found[1].as_ref().unwrap_err().starts_with("line 2: not a record"));
        assert!(found[2].as_ref().unwrap_err().starts_with("line 3: \"ts\" is \"yesterday\""));
    }
}
