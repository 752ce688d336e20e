//! The header block of an HMSG or HPUB.
//!
//! ```text
//!   NATS/1.0 503 No Responders␍␊     version, [status, [description]]
//!   Nats-Sequence: 42␍␊              fields, in order, names may repeat
//!   X-Long: first part␍␊
//!    second part␍␊                   a line that starts with white space continues the field above it
//!   ␍␊                               the blank line ends the block
//! ```
//!
//! Source: ADR-4. Bytes in, borrowed fields out; only a folded value is copied, to join its lines. Read: LF without CR,
//! white space around values, names in any case. Written: CR LF, one space behind the colon.

use crate::line::{is_blank, next_token, number, trim};
use memchr::memchr;
use std::borrow::Cow;
use std::fmt;

/// A header block that was checked once: iterating over it cannot fail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a> {
    /// `503`, `100` and so on: the server's own messages have one, most others don't.
    pub status: Option<u16>,
    /// The text behind the status; empty if there is none.
    pub description: &'a [u8],
    /// The lines behind the first, without the blank one.
    fields: &'a [u8],
}

/// Why a header block is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// It starts with something else than `NATS/1.`.
    Version,
    /// What follows the version is not a number.
    Status,
    /// A line with no colon, nothing before it, or white space in the name.
    Field,
    /// The blank line at the end is missing.
    Unterminated,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeaderError::Version => "the header block does not start with NATS/1.0",
            HeaderError::Status => "the header block's status is not a number",
            HeaderError::Field => "a header line is not of the form \"name: value\"",
            HeaderError::Unterminated => "the header block does not end with a blank line",
        })
    }
}

impl std::error::Error for HeaderError {}

/// Checks and splits `block`, as it came in [`Msg::headers`](crate::Msg::headers).
pub fn decode_headers(block: &[u8]) -> Result<Headers<'_>, HeaderError> {
    let (first, mut rest) = split_off_line(block).ok_or(HeaderError::Unterminated)?;
    let version = b"NATS/1.";
    match first.get(..version.len()) {
        Some(start) if start.eq_ignore_ascii_case(version) => {}
        _ => return Err(HeaderError::Version),
    }
    let mut first = first;
    next_token(&mut first);
    let status = match next_token(&mut first) {
        None => None,
        Some(token) => {
            let status = number(token, "status").ok().and_then(|status| u16::try_from(status).ok());
            Some(status.ok_or(HeaderError::Status)?)
        }
    };
    let description = trim(first);

    let fields = rest;
    let mut seen_one = false;
    loop {
        let at = fields.len() - rest.len();
        let (line, after) = split_off_line(rest).ok_or(HeaderError::Unterminated)?;
        if trim(line).is_empty() && !(seen_one && starts_folded(line)) {
            return Ok(Headers { status, description, fields: &fields[..at] });
        }
        if !(seen_one && starts_folded(line)) {
            let colon = memchr(b':', line).ok_or(HeaderError::Field)?;
            if colon == 0 || line[..colon].iter().any(|&byte| is_blank(byte)) {
                return Err(HeaderError::Field);
            }
            seen_one = true;
        }
        rest = after;
    }
}

impl<'a> Headers<'a> {
    /// Every field in order.
    pub fn iter(&self) -> Fields<'a> {
        Fields { rest: self.fields }
    }

    /// The first value of a name, which is compared without regard to case.
    pub fn value(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only: a value may be a token.
        let names: Vec<_> = self.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        let description = String::from_utf8_lossy(self.description);
        f.debug_struct("Headers")
            .field("status", &self.status)
            .field("description", &description)
            .field("names", &names)
            .finish()
    }
}

/// See [`Headers::iter`].
#[derive(Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], Cow<'a, [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let (line, mut rest) = split_off_line(self.rest)?;
        let colon = memchr(b':', line)?;
        let name = &line[..colon];
        let mut value = Cow::Borrowed(trim(&line[colon + 1..]));
        while let Some((line, after)) = split_off_line(rest)
            && starts_folded(line)
        {
            let value = value.to_mut();
            value.push(b' ');
            value.extend_from_slice(trim(line));
            rest = after;
        }
        self.rest = rest;
        Some((name, value))
    }
}

/// Appends a block of these fields. Names and values must not be able to forge a line, which is asserted.
pub fn encode_headers(out: &mut Vec<u8>, fields: &[(&[u8], &[u8])]) {
    out.extend_from_slice(b"NATS/1.0\r\n");
    encode_fields(out, fields);
}

/// Appends a block with a status, as a server sends it.
pub fn encode_status(out: &mut Vec<u8>, status: u16, description: &str, fields: &[(&[u8], &[u8])]) {
    assert!(is_one_line(description.as_bytes()), "a description is one line");
    out.extend_from_slice(b"NATS/1.0 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    if !description.is_empty() {
        out.push(b' ');
        out.extend_from_slice(description.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    encode_fields(out, fields);
}

fn encode_fields(out: &mut Vec<u8>, fields: &[(&[u8], &[u8])]) {
    for (name, value) in fields {
        let is_name = !name.is_empty() && !name.iter().any(|&byte| byte == b':' || byte == b'\n' || is_blank(byte));
        assert!(is_name, "a header's name is not empty and has no colon or white space");
        assert!(is_one_line(value), "a header's value is one line");
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn is_one_line(text: &[u8]) -> bool {
    !text.iter().any(|byte| matches!(byte, b'\r' | b'\n'))
}

fn starts_folded(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// The first line without its LF (its CR counts as white space and goes with `trim`), and what follows.
fn split_off_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', text)?;
    Some((&text[..end], &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(block: &str, status: Option<u16>, description: &str, fields: &[(&str, &str)]) {
        let headers = decode_headers(block.as_bytes()).unwrap_or_else(|error| panic!("{block:?}: {error}"));
        assert_eq!(headers.status, status, "{block:?}");
        assert_eq!(headers.description, description.as_bytes(), "{block:?}");
        let found: Vec<_> = headers
            .iter()
            .map(|(name, value)| {
                (String::from_utf8(name.to_vec()).unwrap(), String::from_utf8(value.to_vec()).unwrap())
            })
            .collect();
        let expected: Vec<_> = fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        assert_eq!(found, expected, "{block:?}");
        for cut in 0..block.len() {
            // A shorter block may be whole (the blank line came early), but never another status.
            if let Ok(shorter) = decode_headers(&block.as_bytes()[..cut]) {
                assert_eq!(shorter.status, status, "{block:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn reads() {
        check("NATS/1.0\r\n\r\n", None, "", &[]);
        check("NATS/1.0\r\nA: b\r\n\r\n", None, "", &[("A", "b")]);
        check("NATS/1.0\r\nA:b\r\nA:  c \r\n\r\n", None, "", &[("A", "b"), ("A", "c")]);
        check("NATS/1.0\r\nEmpty:\r\n\r\n", None, "", &[("Empty", "")]);
        check("NATS/1.0\r\nUrl: nats://a:1\r\n\r\n", None, "", &[("Url", "nats://a:1")]);
        check("nats/1.0\nA: b\n\n", None, "", &[("A", "b")]);
        check("NATS/1.0 503\r\n\r\n", Some(503), "", &[]);
        check("NATS/1.0 503 \r\n\r\n", Some(503), "", &[]);
        check("NATS/1.0   404\tNo  Messages\r\n\r\n", Some(404), "No  Messages", &[]);
        check(
            "NATS/1.0 100 FlowControl Request\r\nNats-Last-Consumer: 5\r\n\r\n",
            Some(100),
            "FlowControl Request",
            &[("Nats-Last-Consumer", "5")],
        );
        check("NATS/1.0\r\nA: one\r\n two\r\n\tthree\r\nB: c\r\n\r\n", None, "", &[("A", "one two three"), ("B", "c")]);
        check("NATS/1.0\r\nA: one\r\n \r\nB: c\r\n\r\n", None, "", &[("A", "one "), ("B", "c")]);
    }

    #[test]
    fn refuses() {
        let check = |block: &str, expected| assert_eq!(decode_headers(block.as_bytes()), Err(expected), "{block:?}");
        check("", HeaderError::Unterminated);
        check("NATS/1.0", HeaderError::Unterminated);
        check("NATS/1.0\r\n", HeaderError::Unterminated);
        check("NATS/1.0\r\nA: b\r\n", HeaderError::Unterminated);
        check("HTTP/1.1 200 OK\r\n\r\n", HeaderError::Version);
        check("NATS/2.0\r\n\r\n", HeaderError::Version);
        check("NATS/1.0 abc\r\n\r\n", HeaderError::Status);
        check("NATS/1.0 70000\r\n\r\n", HeaderError::Status);
        check("NATS/1.0\r\nno colon\r\n\r\n", HeaderError::Field);
        check("NATS/1.0\r\n: no name\r\n\r\n", HeaderError::Field);
        check("NATS/1.0\r\n folded: onto nothing\r\n\r\n", HeaderError::Field);
        check("NATS/1.0\r\nA b: c\r\n\r\n", HeaderError::Field);
    }

    #[test]
    fn finds_a_value_in_any_case() {
        let headers = decode_headers(b"NATS/1.0\r\nNats-Sequence: 7\r\nnats-sequence: 8\r\n\r\n").unwrap();
        assert_eq!(headers.value("NATS-SEQUENCE").as_deref(), Some(&b"7"[..]));
        assert_eq!(headers.value("Nats-Stream"), None);
    }

    #[test]
    fn writes_what_it_reads() {
        let mut out = Vec::new();
        encode_headers(&mut out, &[(b"Nats-TTL", b"5s"), (b"Empty", b"")]);
        assert_eq!(out, b"NATS/1.0\r\nNats-TTL: 5s\r\nEmpty: \r\n\r\n");
        let headers = decode_headers(&out).unwrap();
        assert_eq!(headers.value("nats-ttl").as_deref(), Some(&b"5s"[..]));
        assert_eq!(headers.value("empty").as_deref(), Some(&b""[..]));
        let mut out = Vec::new();
        encode_status(&mut out, 503, "", &[]);
        encode_status(&mut out, 404, "No Messages", &[(b"A", b"b")]);
        assert_eq!(out, b"NATS/1.0 503\r\n\r\nNATS/1.0 404 No Messages\r\nA: b\r\n\r\n");
    }

    #[test]
    #[should_panic(expected = "one line")]
    fn a_value_cannot_forge_a_field() {
        encode_headers(&mut Vec::new(), &[(b"A", b"b\r\nNats-Rollup: all")]);
    }

    #[test]
    fn debug_shows_names_only() {
        let headers = decode_headers(b"NATS/1.0\r\nToken: hunter2\r\n\r\n").unwrap();
        let shown = format!("{headers:?}");
        assert!(shown.contains("Token") && !shown.contains("hunter2"), "{shown}");
    }
}
