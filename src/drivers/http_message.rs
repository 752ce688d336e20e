//! HTTP/1.1 messages: a request head out of bytes, a response into bytes. No socket, no glommio, no clock.
//!
//! ```text
//!   GET /state/latest?symbol=BTC%2FUSD HTTP/1.1\r\n
//!   Host: localhost:8892\r\n
//!   \r\n                                            ◄── len_bytes counts up to here
//!   (Content-Length bytes of a body nobody reads)   ◄── body_len_bytes
//!   GET …                                           ◄── the next, pipelined
//! ```
//!
//! The invariant: where one request ends and the next begins is never guessed. Whatever two readers could understand
//! in two ways (two lengths, a length and a transfer coding) ends the connection (RFC 9112, section 6.3).

use httparse::Status;

/// Longest request head, SPEC section 5; also the size of a connection's receive buffer.
pub const HEAD_BYTES_MAX: usize = 8 << 10;
/// Header fields in a head. Browsers send about 20; 8 KiB would hold 2,000 empty ones.
pub const HEADERS_MAX: usize = 64;
/// Longest body that is read and thrown away to keep the connection. No endpoint takes one.
pub const BODY_BYTES_MAX: u64 = 8 << 10;

/// What a responder gets to see: a GET or HEAD for this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Percent-decoded, beginning with `/`.
    pub path: String,
    /// Percent-decoded, in the order given.
    pub query: Vec<(String, String)>,
}

impl Request {
    /// The first of that name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name)?;
        Some(&found.1)
    }
}

/// What a responder answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

impl Response {
    /// `body` is one JSON document.
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Response {
        Response {
            status,
            content_type: "application/json",
            body: body.into(),
        }
    }

    /// `{"error":"…"}`
    pub fn error(status: u16, message: &str) -> Response {
        let body = serde_json::json!({ "error": message });
        Response::json(status, body.to_string())
    }

    /// `content_type` with its charset, as in `text/html; charset=utf-8`.
    pub fn text(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Response {
        Response {
            status,
            content_type,
            body: body.into(),
        }
    }

    /// Appends the status line and the header fields, up to the empty line. The body may follow as it is; for HEAD it
    /// must not.
    pub fn encode_head(&self, ending: Ending, out: &mut Vec<u8>) {
        use std::io::Write;
        let connection = match ending {
            Ending::KeepAlive => "",
            Ending::KeepAliveOldClient => "Connection: keep-alive\r\n",
            Ending::Close => "Connection: close\r\n",
        };
        // A 405 must say what is allowed (RFC 9110, section 15.5.6), and that is the same everywhere.
        let allow = match self.status {
            405 => "Allow: GET, HEAD\r\n",
            _ => "",
        };
        write!(
            out,
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n{allow}{connection}\r\n",
            self.status,
            reason(self.status),
            self.content_type,
            self.body.len(),
        )
        .expect("a Vec takes every write");
    }
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
        504 => "Gateway Timeout",
        // The phrase may be empty (RFC 9112, section 4).
        _ => "",
    }
}

/// What becomes of the connection after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    KeepAlive,
    /// HTTP/1.0 closes unless told otherwise, so it is told.
    KeepAliveOldClient,
    Close,
}

/// A whole head, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub asked: Asked,
    pub ending: Ending,
    /// Of the head itself, with its empty line.
    pub len_bytes: usize,
    /// Of the body behind it, to be thrown away.
    pub body_len_bytes: usize,
}

/// What a well-formed request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    Get(Request),
    /// As GET, but the answer ends before its body.
    Head(Request),
    /// Answered here, without the responder: another method, or a target that means nothing. The connection lives.
    Refused(Response),
}

/// Decodes the head at the front of `bytes`. `Ok(None)`: it is not all there yet. `Err`: the response after which the
/// connection must close, because nobody knows where the next request begins.
pub fn decode_head(bytes: &[u8]) -> Result<Option<Head>, Response> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    let window = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let len_bytes = match parsed.parse(window) {
        Ok(Status::Complete(len_bytes)) => len_bytes,
        Ok(Status::Partial) if window.len() == HEAD_BYTES_MAX => return Err(too_large()),
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(too_large()),
        Err(problem) => return Err(Response::error(400, &format!("malformed request: {problem}"))),
    };
    let (method, target) = (
        parsed.method.unwrap_or_default(),
        parsed.path.unwrap_or_default(),
    );
    let framing = decode_fields(parsed.version == Some(1), parsed.headers)?;
    let asked = match method {
        "GET" => decode_target(target).map(Asked::Get),
        "HEAD" => decode_target(target).map(Asked::Head),
        _ => Err(Response::error(405, "only GET and HEAD are answered here")),
    };
    Ok(Some(Head {
        asked: asked.unwrap_or_else(Asked::Refused),
        ending: framing.ending,
        len_bytes,
        body_len_bytes: framing.body_len_bytes,
    }))
}

fn too_large() -> Response {
    Response::error(
        431,
        &format!("the request head is longer than {HEAD_BYTES_MAX} bytes or {HEADERS_MAX} fields"),
    )
}

struct Framing {
    ending: Ending,
    body_len_bytes: usize,
}

/// A missing `Host` is let pass: there is one host here, and a hand-typed request does without.
fn decode_fields(is_http_1_1: bool, fields: &[httparse::Header<'_>]) -> Result<Framing, Response> {
    let malformed = |message| Err(Response::error(400, message));
    let mut length: Option<u64> = None;
    let mut has_coding = false;
    let mut expects = false;
    let (mut hosts, mut close, mut keep_alive) = (0, false, false);
    for field in fields {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let digits = field.value.trim_ascii();
            if length.is_some() {
                return malformed("Content-Length is there twice");
            }
            if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return malformed("Content-Length is not a number");
            }
            // Digits that overflow are a length all the same, and far over the limit.
            let text = std::str::from_utf8(digits).unwrap_or_default();
            length = Some(text.parse().unwrap_or(u64::MAX));
        } else if is("transfer-encoding") {
            has_coding = true;
        } else if is("expect") {
            expects = true;
        } else if is("host") {
            hosts += 1;
        } else if is("connection") {
            for token in field.value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
                close |= token.eq_ignore_ascii_case(b"close");
                keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        }
    }
    if hosts > 1 {
        return malformed("Host is there twice");
    }
    let body_len_bytes = match (length, has_coding) {
        (Some(_), true) => return malformed("Content-Length and Transfer-Encoding exclude each other"),
        (None, true) => return Err(Response::error(501, "Transfer-Encoding is not supported")),
        (Some(length), false) if length > BODY_BYTES_MAX => {
            let message = format!("the request body is longer than {BODY_BYTES_MAX} bytes");
            return Err(Response::error(413, &message));
        }
        (length, false) => length.unwrap_or(0) as usize,
    };
    // The client would wait for leave to send a body that nobody wants.
    if expects && body_len_bytes > 0 {
        return Err(Response::error(417, "no request here needs a body"));
    }
    let ending = match (close, is_http_1_1, keep_alive) {
        (true, _, _) | (false, false, false) => Ending::Close,
        (false, true, _) => Ending::KeepAlive,
        (false, false, true) => Ending::KeepAliveOldClient,
    };
    Ok(Framing {
        ending,
        body_len_bytes,
    })
}

/// `/path?query`, or `http://host/path?query` as proxies send it (RFC 9112, section 3.2.2).
fn decode_target(target: &str) -> Result<Request, Response> {
    let malformed = |message| Response::error(400, message);
    let scheme_len = ["http://", "https://"]
        .into_iter()
        .find(|scheme| {
            let start = target.as_bytes().get(..scheme.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
        })
        .map_or(0, str::len);
    let local = match scheme_len {
        0 => target,
        _ => {
            let rest = &target[scheme_len..];
            rest.find(['/', '?']).map_or("", |at| &rest[at..])
        }
    };
    let (path, query) = local.split_once('?').unwrap_or((local, ""));
    let path = match (path, scheme_len) {
        ("", 1..) => "/",
        _ if path.starts_with('/') => path,
        _ => return Err(malformed("the request target does not begin with /")),
    };
    if local.contains('#') {
        return Err(malformed("a request target has no fragment"));
    }
    let decode = |text| {
        percent_decode(text).ok_or_else(|| {
            malformed("the request target has an invalid percent escape or is not UTF-8")
        })
    };
    let query = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect::<Result<_, Response>>()?;
    Ok(Request {
        path: decode(path)?,
        query,
    })
}

/// RFC 3986. A `+` stays a `+`: it means a blank only in forms, and no symbol has a blank.
fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || (bytes.next()? as char).to_digit(16);
                (digit()? * 16 + digit()?) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}
