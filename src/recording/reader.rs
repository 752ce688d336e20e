//! Recordings: JSON Lines, a record a line, plain or gzip.
//!
//! ```text
//!   {"ts":RFC3339-or-number (optional: local receipt),"subject":"md.events.trade.BTCUSDT","payload":{…}}
//! ```
//!
//! A payload is not read here: its bytes go on as they stand in the line, to the decoder that judges those that come live.
//! All commands that read a recording read it here, so that they agree on what one is.

use std::borrow::Cow;
use std::cell::Cell;
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::rc::Rc;

use crate::config::Symbols;
use crate::engine::input::json::{Scanner, Value};
use crate::engine::input::subject::{EventKind, split_subject};
use crate::engine::input::unescape::unescaped;
use crate::engine::time::{UnixNanos, decode_time_number, decode_time_text};
use crate::recording::RecordingError;
use crate::recording::gzip_members::{GZIP_MAGIC, GzipMembers};
use crate::recording::line_faults::{Fault, FaultyLine};

/// Longest line that is read: nats-server's largest payload (it must fit into its `max_pending`), and the rest of a
/// record.
const LINE_BYTES_MAX: u64 = (64 << 20) + (64 << 10);
const BUFFER_BYTES: usize = 1 << 16;

/// One line of a recording.
pub struct Record<'a> {
    /// Counted from 1.
    pub line: u64,
    /// Local receipt, where it was recorded.
    pub ts: Option<UnixNanos>,
    /// Where it was published.
    pub subject: &'a str,
    /// The payload's bytes, as they stand in the file.
    pub payload: &'a [u8],
}

/// Reads a recording line by line.
pub struct RecordReader {
    file: String,
    input: Box<dyn BufRead>,
    line: Vec<u8>,
    line_number: u64,
    record_count: u64,
    subject: String,
    /// Of the file, compressed as it is: what was read, and all there is where that is known.
    read_bytes: Rc<Cell<u64>>,
    file_bytes: Option<u64>,
}

impl RecordReader {
    /// Opens a recording; `-` is standard input. Gzip is recognised by its first bytes.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let file = path.display().to_string();
        let opened = if path == Path::new("-") {
            Self::new(Box::new(io::stdin()), file.clone())
        } else {
            File::open(path).and_then(|raw| {
                let file_bytes = raw.metadata().ok().filter(Metadata::is_file).map(|metadata| metadata.len());
                Ok(RecordReader { file_bytes, ..Self::new(Box::new(raw), file.clone())? })
            })
        };
        opened.map_err(|cause| RecordingError::Unreadable { file, after_line: 0, cause })
    }

    /// How much of the file is read, of 1.0; `None` where its length is not known.
    pub fn done(&self) -> Option<f64> {
        self.file_bytes.map(|bytes| self.read_bytes.get() as f64 / bytes.max(1) as f64)
    }

    fn new(raw: Box<dyn Read>, file: String) -> io::Result<Self> {
        let read_bytes = Rc::new(Cell::new(0));
        let mut raw = Counted { raw, read_bytes: read_bytes.clone() };
        // A pipe may give a single byte at first.
        let mut start = Vec::new();
        raw.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut start)?;
        let is_gzip = start == GZIP_MAGIC;
        let plain = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(start).chain(raw));
        let input: Box<dyn BufRead> = if is_gzip {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, GzipMembers::of(plain)))
        } else {
            Box::new(plain)
        };
        let (line, subject) = (Vec::new(), String::new());
        Ok(RecordReader { file, input, line, line_number: 0, record_count: 0, subject, read_bytes, file_bytes: None })
    }

    /// The next record, or what is wrong with the next line; `None` at the end. Empty lines are passed over. The
    /// error: it cannot be read, or there was not one record.
    pub fn next_record(&mut self) -> Result<Option<Result<Record<'_>, FaultyLine>>, RecordingError> {
        let is_whole = match self.next_line() {
            Ok(Some(is_whole)) => is_whole,
            Ok(None) if self.record_count == 0 => return Err(RecordingError::NoRecord { file: self.file.clone() }),
            Ok(None) => return Ok(None),
            Err(cause) => {
                let (file, after_line) = (self.file.clone(), self.line_number - 1);
                return Err(RecordingError::Unreadable { file, after_line, cause });
            }
        };
        let parsed = if is_whole { parse_line(&self.line) } else { Err((Fault::TooLong, Cow::default())) };
        Ok(Some(match parsed {
            Ok(Line { ts, subject, payload }) => {
                self.record_count += 1;
                self.subject.clear();
                self.subject.push_str(&subject);
                Ok(Record { line: self.line_number, ts, subject: &self.subject, payload })
            }
            Err((fault, shown)) => Err(FaultyLine { line: self.line_number, fault, shown: shown.into_owned() }),
        }))
    }

    /// Reads the next line that is not empty; returns whether it is there as a whole. `None` at the end.
    fn next_line(&mut self) -> io::Result<Option<bool>> {
        loop {
            self.line.clear();
            self.line_number += 1;
            let len = self.input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line)?;
            if len == 0 {
                return Ok(None);
            }
            if len as u64 == LINE_BYTES_MAX && self.line.last() != Some(&b'\n') {
                self.input.skip_until(b'\n')?;
                return Ok(Some(false));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(true));
            }
        }
    }
}

/// Counts what is read.
struct Counted {
    raw: Box<dyn Read>,
    read_bytes: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.raw.read(buffer)?;
        self.read_bytes.set(self.read_bytes.get() + len as u64);
        Ok(len)
    }
}

struct Line<'a> {
    ts: Option<UnixNanos>,
    subject: Cow<'a, str>,
    payload: &'a [u8],
}

/// A record's fields, in any order; the last of several counts, others are passed over. The fault comes with the text that
/// shows it.
fn parse_line(line: &[u8]) -> Result<Line<'_>, (Fault, Cow<'_, str>)> {
    let fault = |fault: Fault| (fault, Cow::default());
    let mut scanner = Scanner::new(line);
    if !scanner.take(b'{') {
        return Err(fault(Fault::NotAnObject));
    }
    let (mut ts, mut subject, mut payload) = (None, None, None);
    let mut is_first = true;
    while !scanner.take(b'}') {
        if !is_first {
            scanner.expect(b',').map_err(|_| fault(Fault::Syntax))?;
        }
        is_first = false;
        let key = scanner.key().map_err(|_| fault(Fault::Syntax))?;
        scanner.peek();
        let start = scanner.position();
        scanner.skip_unread().map_err(|_| fault(Fault::Syntax))?;
        let value = scanner.bytes_since(start);
        let inside = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        let shown = || String::from_utf8_lossy(inside.unwrap_or(value));
        match unescaped(key, |key| [&b"ts"[..], b"subject", b"payload"].iter().position(|name| *name == key)) {
            Some(0) => ts = decode_ts(value).ok_or_else(|| (Fault::UnreadableTs, shown()))?,
            Some(1) => subject = Some(decode_subject(value).ok_or_else(|| (Fault::UnreadableSubject, shown()))?),
            Some(_) => payload = Some(value),
            None => {}
        }
    }
    if scanner.peek() != 0 || scanner.position() != line.len() {
        return Err(fault(Fault::TrailingBytes));
    }
    let subject = subject.ok_or(fault(Fault::Missing("subject")))?;
    let payload = payload.ok_or(fault(Fault::Missing("payload")))?;
    Ok(Line { ts, subject, payload })
}

/// A JSON string; strictly, as a character that is replaced would make it another subject.
fn decode_subject(value: &[u8]) -> Option<Cow<'_, str>> {
    match serde_json::from_slice(value) {
        Ok(text) => Some(Cow::Borrowed(text)),
        // With escapes in it.
        Err(_) => serde_json::from_slice(value).ok().map(Cow::Owned),
    }
}

/// `Some(None)` where it is null.
fn decode_ts(value: &[u8]) -> Option<Option<UnixNanos>> {
    let mut scanner = Scanner::new(value);
    let moment = match scanner.value().ok()? {
        Value::Text(text) => Some(unescaped(text, decode_time_text)?),
        Value::Number(number) => Some(decode_time_number(&number)?),
        Value::Other if value == b"null" => None,
        Value::Bool(_) | Value::Other => return None,
    };
    (scanner.position() == value.len()).then_some(moment)
}

/// Whether a service that follows `symbols` would have subscribed to this.
pub fn is_wanted(symbols: &Symbols, subject: &str, prefix: &[u8]) -> bool {
    let (kind, symbol) = split_subject(subject.as_bytes(), prefix);
    symbols.is_all() || kind == EventKind::Heartbeat || symbols.0.iter().any(|wanted| wanted.as_bytes() == symbol)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::runtime::log_text::printable;

    /// ts, subject and payload of a record, or what is wrong with the line.
    type ReadLine = Result<(Option<i64>, String, String), String>;

    fn read_bytes(bytes: &[u8]) -> Result<Vec<ReadLine>, String> {
        let raw = Cursor::new(bytes.to_vec());
        let mut reader = RecordReader::new(Box::new(raw), "file".into()).map_err(|error| error.to_string())?;
        let mut out = Vec::new();
        while let Some(record) = reader.next_record()? {
            out.push(match record {
                Ok(r) => Ok((r.ts.map(|t| t.0), r.subject.into(), String::from_utf8_lossy(r.payload).into_owned())),
                Err(faulty) => Err(faulty.to_string()),
            });
        }
        Ok(out)
    }

    fn read(text: &str) -> Vec<ReadLine> {
        read_bytes(text.as_bytes()).unwrap()
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
        let check = |ts: &str, expected: Option<i64>| {
            let text = format!("{{\"ts\":{ts},\"subject\":\"a\",\"payload\":1}}");
            assert_eq!(read(&text), [Ok((expected, "a".into(), "1".into()))], "{ts}");
        };
        check("\"2024-07-18T23:57:02.605624Z\"", Some(1_721_347_022_605_624_000));
        check("null", None);
        // Told apart by size, with quotes or without.
        for (digits, nanos) in [
            ("1721347022", 1_721_347_022_000_000_000),
            ("1721347022605", 1_721_347_022_605_000_000),
            ("1721347022605624", 1_721_347_022_605_624_000),
            ("1721347022605624123", 1_721_347_022_605_624_123),
            ("1721347022.605624123", 1_721_347_022_605_624_123),
            ("1.721347022605e12", 1_721_347_022_605_000_000),
            ("1721311200005", 1_721_311_200_005_000_000),
        ] {
            check(digits, Some(nanos));
            check(&format!("\"{digits}\""), Some(nanos));
            check(&format!("\" {digits} \""), Some(nanos));
            check(&format!(" +{digits} "), Some(nanos));
        }
    }

    /// All of them are taken live, so a recording holds them.
    #[test]
    fn payloads_as_they_stand() {
        let nested = format!("{{\"x\":{}{}}}", "[".repeat(128), "]".repeat(128));
        for payload in [
            "{}",
            "{ \"price\" : 0100.5 , \"size\" : .5 }",
            "{\"price\":1.,\"size\":+1,\"x\":NaN,\"y\":[-Infinity,Infinity]}",
            "{\"note\":\"a\tb\u{1}c\\\"}{\",\"price\":1}",
            "\u{feff}{\"price\":1}",
            "{\"größe\":\"株\"}",
            "{\"a\":{\"payload\":{\"ts\":1}},\"subject\":\"x\"}",
            &nested,
            // And what is malformed live is a malformed event here.
            "{\"price\":nope,\"size\":1}",
            "{\"a\":\"\\x\"}",
            "null",
            "nope",
            "\"text\"",
            "[1,2}",
        ] {
            for (before, after) in [("", ""), ("\"ts\":5,", ""), ("", ",\"ts\":5"), ("\"x\":[{}],\"payload\":1,", "")] {
                for space in ["", " "] {
                    let line = format!(
                        "{space}{{{before}\"subject\":{space}\"a\",\"payload\"{space}:{space}{payload}{space}{after}}}{space}"
                    );
                    let ts = (before.contains("ts") || !after.is_empty()).then_some(5_000_000_000);
                    let expected = [Ok((ts, "a".into(), payload.to_owned()))];
                    assert_eq!(read(&line), expected, "{line}");
                    let expected = [expected.clone(), expected].concat();
                    assert_eq!(read(&format!("{line}\n{line}\r\n")), expected, "{line}");
                }
            }
        }
        let line = [b"{\"subject\":\"a\",\"payload\":{\"x\":\"", &b"\xff"[..], b"\"}}"].concat();
        assert_eq!(read_bytes(&line).unwrap(), [Ok((None, "a".into(), "{\"x\":\"\u{fffd}\"}".into()))]);
    }

    #[test]
    fn what_is_no_record_is_said_with_line_field_and_cause() {
        let record = "{\"subject\":\"a\",\"payload\":1}\n";
        let check = |line: &str, cause: &str| {
            let found = read(&format!("{record}{line}\n{record}"));
            assert_eq!(found.len(), 3, "{line}");
            assert_eq!(found[1], Err(format!("line 2: no record: {cause}")), "{line}");
            assert!(found[0].is_ok() && found[2].is_ok(), "{line}");
        };
        for line in ["nonsense", "[]", "1", "\u{feff}\u{feff}{}", "\0"] {
            check(line, "it is no JSON object");
        }
        for line in [
            "{",
            "{\"subject\"",
            "{\"subject\":}",
            "{,}",
            "{\"a\":1,}",
            "{subject:1}",
            "{\"a\":1 \"b\":2}",
            "{\"subject\":\"a\",\"payload\":{\"price\":1}",
            "{\"subject\":\"a\",\"payload\":\"x}",
        ] {
            check(line, "it is not well-formed JSON");
        }
        check("{}", "the field \"subject\" is missing");
        check("{\"payload\":{},\"Subject\":\"a\"}", "the field \"subject\" is missing");
        check("{\"subject\":\"a\"}", "the field \"payload\" is missing");
        for subject in ["1", "null", "\"\\ud800\"", "\"a\tb\""] {
            let line = format!("{{\"subject\":{subject},\"payload\":1}}");
            let shown = printable(subject.trim_matches('"'));
            check(&line, &format!("the field \"subject\" is no JSON string ({shown})"));
        }
        for ts in ["\"yesterday\"", "true", "[1]", "-5", "1e30", "1x"] {
            let line = format!("{{\"ts\":{ts},\"subject\":\"a\",\"payload\":1}}");
            let cause = "the field \"ts\" is neither an RFC 3339 string nor a number since 1970";
            check(&line, &format!("{cause} ({})", ts.trim_matches('"')));
        }
        check("{\"subject\":\"a\",\"payload\":1}}", "something follows its JSON object");
        check("{\"subject\":\"a\",\"payload\":1}\0", "something follows its JSON object");
    }

    #[test]
    fn every_cut_is_no_record() {
        for payload in ["{\"price\":0100.5,\"x\":\"a\\\"\\\\\",\"y\":[NaN,{}]}", "\"text\"", "{\"größe\":1}"] {
            let line = format!(
                "{{\"ts\":\"2024-07-18T23:57:02Z\",\"subject\":\"md.\\u0061\",\"payload\":{payload},\"z\":null}}"
            );
            assert!(read(&line)[0].is_ok(), "{line}");
            for cut in 1..line.len() {
                match read_bytes(&line.as_bytes()[..cut]) {
                    Err(none) => assert_eq!(none, "file holds no record", "{cut} of {line}"),
                    Ok(found) => panic!("{cut} of {line}: {found:?}"),
                }
            }
        }
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn records(count: usize) -> String {
        (0..count).map(|number| format!("{{\"subject\":\"s{number}\",\"payload\":{{}}}}\n")).collect()
    }

    #[test]
    fn plain_and_gzip_in_every_dress() {
        let text = records(1_000);
        let expected = read(&text);
        assert_eq!(expected.len(), 1_000);
        let (first, second) = text.split_at(text.len() / 2);
        let zeros = vec![0; 100_000];
        let same: [Vec<u8>; 7] = [
            format!("\u{feff}{text}").into_bytes(),
            gzip(&text),
            gzip(&format!("\u{feff}{text}")),
            [gzip(first), gzip(second)].concat(),
            [gzip(&text), zeros.clone()].concat(),
            [gzip(first), zeros.clone(), gzip(""), gzip(second), zeros].concat(),
            text.trim_end().as_bytes().to_vec(),
        ];
        for bytes in same {
            assert_eq!(read_bytes(&bytes), Ok(expected.clone()), "{}", bytes[..10].escape_ascii());
            // A pipe may give a byte at a time.
            let bytewise = Bytewise(Cursor::new(bytes.clone()));
            let mut reader = RecordReader::new(Box::new(bytewise), "file".into()).unwrap();
            let mut count = 0;
            while let Some(record) = reader.next_record().unwrap() {
                assert!(record.is_ok());
                count += 1;
            }
            assert_eq!(count, 1_000);
        }
        let garbage = [gzip(&text), b"garbage".to_vec()].concat();
        assert_eq!(
            read_bytes(&garbage),
            Err("cannot read file after line 1000: other bytes follow its gzip data".into())
        );
    }

    struct Bytewise(Cursor<Vec<u8>>);

    impl Read for Bytewise {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = buffer.len().min(1);
            self.0.read(&mut buffer[..len])
        }
    }

    #[test]
    fn a_file_without_one_record_is_an_error() {
        let none = || Err("file holds no record".to_owned());
        for text in ["", "\n", "\n \r\n", "\u{feff}", "nonsense", "nonsense\n{}\n"] {
            assert_eq!(read_bytes(text.as_bytes()), none(), "{text:?}");
            assert_eq!(read_bytes(&gzip(text)), none(), "{text:?}");
        }
    }

    #[test]
    fn gzip_that_is_cut_off_says_so() {
        let whole = gzip(&records(200));
        for cut in 3..whole.len() {
            let error = read_bytes(&whole[..cut]).expect_err("it is cut off");
            assert!(error.ends_with("its gzip data is cut off"), "{cut} of {}: {error}", whole.len());
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_no_record() {
        let long = format!("{{\"subject\":\"a\",\"payload\":\"{}\"}}\n", "x".repeat(LINE_BYTES_MAX as usize));
        let found = read(&format!("{0}{long}{0}", records(1)));
        assert!(found[0].is_ok() && found[2].is_ok());
        assert_eq!(found[1], Err("line 2: no record: it is too long".into()));
    }
}
