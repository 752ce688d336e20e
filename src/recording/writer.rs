//! A recording as it is written: events to lines, lines to a file, plain or gzip by the file's name.
//!
//! ```text
//!   {"ts":1721347022605624123,"subject":"md.events.trade.BTCUSDT","payload":{…}}
//! ```
//!
//! `ts` is the receipt in ns. A payload goes into its line byte for byte where the reader would find it there again; else the line
//! says as much of it as a line can ([`Kept`]), and what was malformed live is malformed in a replay.
//!
//! The file is whole at each [`flush`](RecordFile::flush), whatever ends the process after it: a gzip file is a row of
//! members, each written when it is complete. An error takes back what was not written whole.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::engine::input::json::Scanner;
use crate::engine::time::UnixNanos;

/// Of compressed bytes that wait for their member's end; then it ends before its time.
const MEMBER_BYTES_MAX: usize = 8 << 20;

/// How much of a payload its line has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// All bytes, but blanks around them.
    AsItIs,
    /// It has line breaks: they are blanks now, and `\n` in strings. It means the same.
    OnOneLine,
    /// It is no JSON, or nothing: its text, as a JSON string. It is malformed as it was before.
    AsText,
}

/// Appends the line of an event. `None`: the subject is not UTF-8, so that no line can have it.
pub fn encode_record(receipt: UnixNanos, subject: &[u8], payload: &[u8], out: &mut Vec<u8>) -> Option<Kept> {
    let subject = std::str::from_utf8(subject).ok()?;
    out.extend_from_slice(b"{\"ts\":");
    out.extend_from_slice(itoa::Buffer::new().format(receipt.0).as_bytes());
    out.extend_from_slice(b",\"subject\":");
    serde_json::to_writer(&mut *out, subject).expect("a Vec takes every write");
    out.extend_from_slice(b",\"payload\":");
    let kept = if !is_one_value(payload) {
        serde_json::to_writer(&mut *out, &*String::from_utf8_lossy(payload)).expect("a Vec takes every write");
        Kept::AsText
    } else if memchr::memchr(b'\n', payload).is_none() {
        out.extend_from_slice(payload);
        Kept::AsItIs
    } else {
        put_on_one_line(payload.trim_ascii(), out)
    };
    out.extend_from_slice(b"}\n");
    Some(kept)
}

/// Whether the reader finds all of it in a line, as it goes by brackets and quotes.
fn is_one_value(payload: &[u8]) -> bool {
    let mut scanner = Scanner::starting_at(payload, 0);
    scanner.skip_unread().is_ok() && scanner.peek() == 0 && scanner.position() == payload.len()
}

fn put_on_one_line(payload: &[u8], out: &mut Vec<u8>) -> Kept {
    let (mut is_in_string, mut is_escaped, mut kept) = (false, false, Kept::AsItIs);
    for &byte in payload {
        match byte {
            b'\n' => {
                kept = Kept::OnOneLine;
                out.extend_from_slice(if is_in_string { b"\\n" } else { b" " });
            }
            _ => out.push(byte),
        }
        (is_in_string, is_escaped) = match byte {
            b'"' if !is_escaped => (!is_in_string, false),
            b'\\' => (is_in_string, is_in_string && !is_escaped),
            _ => (is_in_string, false),
        };
    }
    kept
}

/// A recording that grows.
pub struct RecordFile {
    file: File,
    /// It was not there before, and holds nothing else; no pipe or device, nor standard output.
    is_new: bool,
    /// The member that is not complete yet.
    gzip: Option<GzEncoder<Vec<u8>>>,
    /// Events of that member.
    member_events: u64,
    /// Of the file, written whole: bytes and events.
    whole_bytes: u64,
    whole_events: u64,
}

impl RecordFile {
    /// A file that is not there yet; `-` is standard output. A pipe or a device may be there.
    pub fn create(path: &Path) -> io::Result<RecordFile> {
        let (file, is_new) = if path == Path::new("-") {
            (File::from(io::stdout().as_fd().try_clone_to_owned()?), false)
        } else {
            match File::create_new(path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && is_special(path) => {
                    (OpenOptions::new().write(true).open(path)?, false)
                }
                created => (created?, true),
            }
        };
        let gzip = path.extension().is_some_and(|extension| extension == "gz").then(new_member);
        Ok(RecordFile { file, is_new, gzip, member_events: 0, whole_bytes: 0, whole_events: 0 })
    }

    /// Appends whole lines, of so many events.
    pub fn write(&mut self, lines: &[u8], events: u64) -> io::Result<()> {
        let Some(gzip) = &mut self.gzip else { return self.append(lines, events) };
        gzip.write_all(lines)?;
        self.member_events += events;
        if gzip.get_ref().len() >= MEMBER_BYTES_MAX { self.flush() } else { Ok(()) }
    }

    /// What was written before can be read from now on, whatever happens.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.member_events == 0 {
            return Ok(());
        }
        let Some(gzip) = &mut self.gzip else { return Ok(()) };
        let member = std::mem::replace(gzip, new_member()).finish()?;
        let events = std::mem::take(&mut self.member_events);
        self.append(&member, events)
    }

    /// The last of it is written, and on the disk.
    pub fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        if self.is_new { self.file.sync_all() } else { Ok(()) }
    }

    /// Bytes of the file that can be read.
    pub fn len_bytes(&self) -> u64 {
        self.whole_bytes
    }

    /// Events in them.
    pub fn event_count(&self) -> u64 {
        self.whole_events
    }

    fn append(&mut self, bytes: &[u8], events: u64) -> io::Result<()> {
        let (written, outcome) = self.write_some(bytes);
        let (kept, kept_events) = match &outcome {
            Ok(()) => (written, events),
            // The lines that are whole; a member that is not is of no use.
            Err(_) if self.gzip.is_none() => {
                let lines = &bytes[..written];
                let kept = memchr::memrchr(b'\n', lines).map_or(0, |last| last + 1);
                (kept, memchr::memchr_iter(b'\n', lines).count() as u64)
            }
            Err(_) => (0, 0),
        };
        self.whole_bytes += kept as u64;
        self.whole_events += kept_events;
        if outcome.is_err() && self.is_new {
            let _ = self.file.set_len(self.whole_bytes);
        }
        outcome
    }

    /// How many of `bytes` are in the file; all of them, or there is an error.
    fn write_some(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < bytes.len() {
            match self.file.write(&bytes[written..]) {
                Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
                Ok(len) => written += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }
}

fn new_member() -> GzEncoder<Vec<u8>> {
    // It has to keep up with a flood.
    GzEncoder::new(Vec::new(), Compression::fast())
}

fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::reader::RecordReader;

    const RECEIPT: UnixNanos = UnixNanos(1_721_347_022_605_624_123);

    /// What the reader finds of it again.
    fn read_back(subject: &[u8], payload: &[u8]) -> Option<(Kept, String, Vec<u8>)> {
        let mut out = Vec::new();
        let kept = encode_record(RECEIPT, subject, payload, &mut out)?;
        assert_eq!(memchr::memchr_iter(b'\n', &out).count(), 1, "{}", out.escape_ascii());
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("one.jsonl");
        std::fs::write(&path, &out).expect("a file");
        let mut reader = RecordReader::open(&path).expect("it is there");
        let record = reader.next_record().expect("it can be read").expect("there is one").expect("it is one");
        assert_eq!(record.ts, Some(RECEIPT));
        Some((kept, record.subject.to_owned(), record.payload.to_owned()))
    }

    #[test]
    fn payloads() {
        let check = |payload: &[u8], kept: Kept, expected: &[u8]| {
            let found = read_back(b"a", payload).expect("the subject is text");
            let shown = payload.escape_ascii().to_string();
            assert_eq!(
                (found.0, found.2.escape_ascii().to_string()),
                (kept, expected.escape_ascii().to_string()),
                "{shown}"
            );
        };
        for whole in [
            &b"{}"[..],
            b"{ \"price\" : 0100.5 , \"size\" : .5 }",
            b"{\"x\":NaN,\"y\":[-Infinity,Infinity]}",
            b"{\"note\":\"a\tb\x01c\\\"}{\",\"price\":1}",
            b"{\"a\":\"\xff\"}",
            b"nope",
            b"null",
            b"-5",
            b"\"text\"",
            b"[1,2]",
            b"{\"a\":\"\r\"}",
        ] {
            check(whole, Kept::AsItIs, whole);
        }
        check(b" {} \r\n", Kept::AsItIs, b"{}");
        check(
            b"{\n  \"a\": \"b\\\"\\\\\",\n  \"c\": 1\n}\n",
            Kept::OnOneLine,
            b"{   \"a\": \"b\\\"\\\\\",   \"c\": 1 }",
        );
        check(b"{\"a\":\"b\nc\"}", Kept::OnOneLine, b"{\"a\":\"b\\nc\"}");
        for (none, text) in [
            (&b""[..], &b"\"\""[..]),
            (b" ", b"\" \""),
            (b"\n", b"\"\\n\""),
            (b"{\"a\":", b"\"{\\\"a\\\":\""),
            (b"{}{}", b"\"{}{}\""),
            (b"{} x", b"\"{} x\""),
            (b"a,b", b"\"a,b\""),
            (b"}", b"\"}\""),
            (b"\"open", b"\"\\\"open\""),
            (b"a \"b\" c", b"\"a \\\"b\\\" c\""),
            (b"\x80", b"\"\xef\xbf\xbd\""),
        ] {
            let found = read_back(b"a", none).expect("the subject is text");
            assert!(found.0 == Kept::AsText || found.2 == none, "{}: {}", none.escape_ascii(), found.2.escape_ascii());
            if found.0 == Kept::AsText {
                assert_eq!(found.2.escape_ascii().to_string(), text.escape_ascii().to_string());
            }
        }
    }

    /// Whatever a payload is, its line can be read, and what is kept as it is comes back byte for byte.
    #[test]
    fn every_cut_and_every_byte() {
        let payload = b"{\"price\":1.5,\n\"x\":[\"a\\\"\n\\\\\",{}],\"y\":null}";
        let mut payloads: Vec<Vec<u8>> = (0..payload.len()).map(|cut| payload[..cut].to_vec()).collect();
        for at in 0..payload.len() {
            for byte in [b'"', b'\\', b'{', b'}', b',', b'\n', 0, 0xff, b' '] {
                let mut changed = payload.to_vec();
                changed[at] = byte;
                payloads.push(changed);
            }
        }
        for payload in payloads {
            let (kept, _, found) = read_back(b"a", &payload).expect("the subject is text");
            if kept == Kept::AsItIs {
                assert_eq!(found, payload.trim_ascii(), "{}", payload.escape_ascii());
            }
        }
    }

    #[test]
    fn subjects() {
        let check = |subject: &[u8], expected: Option<&str>| {
            let found = read_back(subject, b"{}");
            assert_eq!(found.map(|(_, subject, _)| subject).as_deref(), expected);
        };
        check(b"md.events.trade.BTC/USD", Some("md.events.trade.BTC/USD"));
        check(b"a.\"\\.b", Some("a.\"\\.b"));
        check("a.größe".as_bytes(), Some("a.größe"));
        check(b"a.\xff", None);
    }
}
