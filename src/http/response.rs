//! HTTP/1.1 responses into bytes. No socket, no glommio, no clock.
//!
//! ```text
//!   a body that is known             HTTP/1.1 200 OK\r\n … Content-Length: 2\r\n\r\n  {}
//!   one that is made on the way      HTTP/1.1 200 OK\r\n … Transfer-Encoding: chunked\r\n\r\n
//!                                    0000000e\r\n {"symbols":["A \r\n  …  0\r\n\r\n
//! ```

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;

/// The content type of documents.
pub(super) const JSON: &str = "application/json";

/// What a responder answers.
pub struct Response {
    /// As 200 or 404.
    pub status: u16,
    /// The header of that name.
    pub content_type: &'static str,
    /// Further fields of the head, each with its line end.
    pub fields: &'static str,
    /// What follows the head.
    pub body: Body,
}

/// What follows the head of a response.
pub enum Body {
    /// Known as a whole.
    Whole(Vec<u8>),
    /// Made while it is sent: the next part when the last is on its way, so that it may be of any length.
    Parts(Parts),
    /// Server-sent events, for as long as the peer reads them.
    Events(Box<dyn EventReader>),
}

/// The parts of a body, in order.
pub type Parts = Pin<Box<dyn Stream<Item = Vec<u8>>>>;

/// The content type of server-sent events.
pub const EVENT_STREAM: &str = "text/event-stream";
/// What an [`EventReader`] gives at once, unless a single event is larger.
pub const EVENTS_BYTES: usize = 32 << 10;

/// What one peer is sent of events, as they come and as fast as it reads. What it may miss is decided here.
pub trait EventReader {
    /// Ready: there is something to take.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Appends what there is, whole events up to about [`EVENTS_BYTES`]: one slice of work.
    fn take(&mut self, out: &mut Vec<u8>);
}

impl Response {
    /// `body` is one JSON document.
    pub fn json(status: u16, body: impl Into<Body>) -> Response {
        Response { status, content_type: JSON, fields: "", body: body.into() }
    }

    /// `{"error":"…"}`
    pub fn error(status: u16, message: &str) -> Response {
        let body = serde_json::json!({ "error": message });
        Response::json(status, body.to_string())
    }

    /// `content_type` with its charset, as in `text/html; charset=utf-8`.
    pub fn text(status: u16, content_type: &'static str, body: impl Into<Body>) -> Response {
        Response { status, content_type, fields: "", body: body.into() }
    }

    /// Events without an end.
    pub fn events(reader: impl EventReader + 'static) -> Response {
        Response { status: 200, content_type: EVENT_STREAM, fields: "", body: Body::Events(Box::new(reader)) }
    }

    /// With further fields of the head, each with its line end.
    pub fn with_fields(self, fields: &'static str) -> Response {
        Response { fields, ..self }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body::Whole(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        Body::Whole(text.into_bytes())
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Body {
        text.to_owned().into()
    }
}

impl From<Parts> for Body {
    fn from(parts: Parts) -> Body {
        Body::Parts(parts)
    }
}

/// How a reader finds the end of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Bytes(usize),
    /// In chunks ([`begin_chunk`]), which HTTP/1.0 does not know.
    Chunked,
    /// It is that of the connection.
    UntilClose,
}

/// Appends the status line and the header fields of a response, up to the empty line. For HEAD no body may follow.
pub(super) fn encode_head(
    status: u16,
    content_type: &str,
    fields: &str,
    length: Length,
    ending: Ending,
    out: &mut Vec<u8>,
) {
    use std::io::Write;
    let connection = match ending {
        Ending::KeepAlive => "",
        Ending::KeepAliveOldClient => "Connection: keep-alive\r\n",
        Ending::Close => "Connection: close\r\n",
    };
    let more = match status {
        // It must say what is allowed (RFC 9110, section 15.5.6), and that is the same everywhere.
        405 => "Allow: GET, HEAD\r\n",
        503 => "Retry-After: 1\r\n",
        _ => "",
    };
    let length = match length {
        Length::Bytes(count) => format!("Content-Length: {count}\r\n"),
        Length::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
        Length::UntilClose => String::new(),
    };
    let reason = reason(status);
    write!(
        out,
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\n{length}Cache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nServer: {SERVER}\r\n{fields}{more}{connection}\r\n",
    )
    .expect("a Vec takes every write");
}

/// What a response says that it comes from: `check` asks whether it is this service that has a port.
pub const SERVER: &str = env!("CARGO_PKG_NAME");

/// The size of a chunk, to be known at its end (RFC 9112, section 7.1).
const CHUNK_SIZE: &[u8; 10] = b"00000000\r\n";
/// The chunk that is the last.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Begins a chunk at the end of `out`, for bytes to be appended; returns where, for [`end_chunk`].
pub(super) fn begin_chunk(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(CHUNK_SIZE);
    out.len()
}

/// Ends the chunk whose bytes, one at least, begin at `start`.
pub(super) fn end_chunk(start: usize, out: &mut Vec<u8>) {
    let len = out.len() - start;
    assert!(len > 0, "an empty chunk would be the last");
    let size = format!("{len:08x}");
    out[start - CHUNK_SIZE.len()..][..size.len()].copy_from_slice(size.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        // The phrase may be empty (RFC 9112, section 4).
        _ => "",
    }
}

/// What becomes of the connection after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    KeepAlive,
    /// HTTP/1.0 closes unless the answer says otherwise.
    KeepAliveOldClient,
    Close,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses() {
        let check = |status: u16, fields: &str, length: Length, ending: Ending, expected: &str| {
            let mut bytes = b"before ".to_vec();
            encode_head(status, "application/json", fields, length, ending, &mut bytes);
            assert_eq!(String::from_utf8(bytes).unwrap(), format!("before HTTP/1.1 {expected}\r\n\r\n"));
        };
        check(
            200,
            "",
            Length::Bytes(2),
            Ending::KeepAlive,
            "200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nServer: senpai-md-consumer",
        );
        check(
            405,
            "",
            Length::Bytes(14),
            Ending::Close,
            "405 Method Not Allowed\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nServer: senpai-md-consumer\r\nAllow: GET, HEAD\r\nConnection: close",
        );
        check(
            503,
            "",
            Length::Chunked,
            Ending::KeepAlive,
            "503 Service Unavailable\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nServer: senpai-md-consumer\r\nRetry-After: 1",
        );
        check(
            299,
            "Content-Security-Policy: default-src 'none'\r\n",
            Length::UntilClose,
            Ending::KeepAliveOldClient,
            "299 \r\nContent-Type: application/json\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nServer: senpai-md-consumer\r\n\
             Content-Security-Policy: default-src 'none'\r\nConnection: keep-alive",
        );
        let refused = Response::error(400, "a \"b\"\n");
        assert!(matches!(refused.body, Body::Whole(body) if body == br#"{"error":"a \"b\"\n"}"#));
    }

    #[test]
    fn chunks() {
        let mut bytes = b"before ".to_vec();
        let start = begin_chunk(&mut bytes);
        bytes.extend_from_slice(&[b'x'; 0x1f]);
        end_chunk(start, &mut bytes);
        let expected = format!("before 0000001f\r\n{}\r\n", "x".repeat(0x1f));
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }
}
