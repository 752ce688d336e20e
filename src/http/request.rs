//! HTTP/1.1 requests out of bytes. No socket, no glommio, no clock.
//!
//! ```text
//!   GET /state/latest?symbol=BTC%2FUSD HTTP/1.1\r\n
//!   Host: localhost:8892\r\n
//!   \r\n                                            ◄── len_bytes counts up to here
//!   (Content-Length bytes of a body, not used)     ◄── body_len_bytes
//!   GET …                                           ◄── the next, pipelined
//! ```
//!
//! The invariant: where one request ends and the next begins is never guessed. Whatever two readers could understand
//! in two ways (two lengths, a length and a transfer coding) ends the connection (RFC 9112, section 6.3).

use httparse::Status;

use crate::http::response::{Ending, Response};

/// Longest request head, SPEC section 5; also the size of a connection's receive buffer.
pub(super) const HEAD_BYTES_MAX: usize = 8 << 10;
/// Header fields in a head. Browsers send about 20; 8 KiB would hold 2,000 empty ones.
const HEADERS_MAX: usize = 64;
/// Longest body that is read and discarded to keep the connection. No endpoint takes one.
const BODY_BYTES_MAX: u64 = 8 << 10;

/// What a responder gets to see: a GET or HEAD for this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Percent-decoded, beginning with `/`.
    pub path: String,
    /// Percent-decoded, in the order given.
    pub query: Vec<(String, String)>,
    /// The field `Last-Event-ID`: the last event that a reader has had of a stream that ended.
    pub last_event_id: Option<String>,
}

impl Request {
    /// The first of that name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name)?;
        Some(&found.1)
    }
}

/// Why a request has no other answer than this error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: u16,
    pub message: String,
}

impl Refusal {
    pub fn new(status: u16, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into() }
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Response {
        Response::error(refusal.status, &refusal.message)
    }
}

/// A whole head, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// What is asked for; or why a method is not served, or a target is invalid. Unlike the `Err` of [`decode_head`]
    /// that leaves the connection as it is.
    pub asked: Result<Request, Refusal>,
    /// False for HEAD: the answer ends before its body, whatever it is.
    pub wants_body: bool,
    /// Of HTTP/1.1, so that it understands chunks.
    pub is_http_1_1: bool,
    pub ending: Ending,
    /// Of the head itself, with its empty line.
    pub len_bytes: usize,
    /// Of the body behind it, to be discarded.
    pub body_len_bytes: usize,
}

/// Decodes the head at the front of `bytes`. `Ok(None)`: it is not all there yet. `Err`: the refusal after which the
/// connection must close, because it is unknown where the next request begins.
pub(super) fn decode_head(bytes: &[u8]) -> Result<Option<Head>, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    let window = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let len_bytes = match parsed.parse(window) {
        Ok(Status::Complete(len_bytes)) => len_bytes,
        Ok(Status::Partial) if window.len() == HEAD_BYTES_MAX => return Err(too_large()),
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(too_large()),
        Err(problem) => return Err(Refusal::new(400, format!("malformed request: {problem}"))),
    };
    let (method, target) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
    let is_http_1_1 = parsed.version == Some(1);
    let framing = decode_fields(is_http_1_1, parsed.headers)?;
    let asked = match method {
        "GET" | "HEAD" => decode_target(target, framing.last_event_id),
        _ => Err(Refusal::new(405, "only GET and HEAD are answered here")),
    };
    Ok(Some(Head {
        asked,
        wants_body: method != "HEAD",
        is_http_1_1,
        ending: framing.ending,
        len_bytes,
        body_len_bytes: framing.body_len_bytes,
    }))
}

fn too_large() -> Refusal {
    Refusal::new(431, format!("the request head is longer than {HEAD_BYTES_MAX} bytes or {HEADERS_MAX} fields"))
}

struct Framing {
    ending: Ending,
    body_len_bytes: usize,
    last_event_id: Option<String>,
}

/// A missing `Host` is let pass: there is one host here, and a hand-typed request does without.
fn decode_fields(is_http_1_1: bool, fields: &[httparse::Header<'_>]) -> Result<Framing, Refusal> {
    let malformed = |message| Err(Refusal::new(400, message));
    let mut length: Option<u64> = None;
    let mut last_event_id = None;
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
        } else if is("last-event-id") {
            last_event_id = String::from_utf8(field.value.to_vec()).ok();
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
        (None, true) => return Err(Refusal::new(501, "Transfer-Encoding is not supported")),
        (Some(length), false) if length > BODY_BYTES_MAX => {
            return Err(Refusal::new(413, format!("the request body is longer than {BODY_BYTES_MAX} bytes")));
        }
        (length, false) => length.unwrap_or(0) as usize,
    };
    // The client would wait for permission to send a body that no endpoint uses.
    if expects && body_len_bytes > 0 {
        return Err(Refusal::new(417, "no request here needs a body"));
    }
    let ending = match (close, is_http_1_1, keep_alive) {
        (true, _, _) | (false, false, false) => Ending::Close,
        (false, true, _) => Ending::KeepAlive,
        (false, false, true) => Ending::KeepAliveOldClient,
    };
    Ok(Framing { ending, body_len_bytes, last_event_id })
}

/// `/path?query`, or `http://host/path?query` as proxies send it (RFC 9112, section 3.2.2).
fn decode_target(target: &str, last_event_id: Option<String>) -> Result<Request, Refusal> {
    let malformed = |message| Refusal::new(400, message);
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
        percent_decode(text)
            .ok_or_else(|| malformed("the request target has an invalid percent escape or is not UTF-8"))
    };
    let query = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect::<Result<_, Refusal>>()?;
    Ok(Request { path: decode(path)?, query, last_event_id })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::random::Random;

    const NO_BODY: usize = 0;

    fn request(path: &str, query: &[(&str, &str)]) -> Request {
        let query = query.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Request { path: path.to_owned(), query, last_event_id: None }
    }

    /// Decodes `text`, and makes sure that no part of it is taken for a whole, and that what follows changes nothing.
    fn decode_in_parts(text: &str) -> Head {
        let bytes = text.as_bytes();
        let head = decode_head(bytes).expect("well-formed").expect("whole");
        for end in 0..head.len_bytes {
            assert_eq!(decode_head(&bytes[..end]), Ok(None), "cut at {end}: {text:?}");
        }
        let followed = [&bytes[..head.len_bytes], b"GET /next HTTP/1.1\r\n\r\n\0\xff"].concat();
        assert_eq!(decode_head(&followed), Ok(Some(head.clone())), "{text:?}");
        head
    }

    #[test]
    fn targets() {
        let check = |target: &str, path: &str, query: &[(&str, &str)]| {
            let head = decode_in_parts(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(head.asked, Ok(request(path, query)), "{target}");
            assert!(head.wants_body);
        };
        check("/", "/", &[]);
        check("/health", "/health", &[]);
        check("/health?", "/health", &[]);
        check("/state/latest?symbol=BTCUSDT", "/state/latest", &[("symbol", "BTCUSDT")]);
        check("/state/latest?symbol=BTC%2FUSD", "/state/latest", &[("symbol", "BTC/USD")]);
        check("/state/latest?symbol=BTC%2fUSD", "/state/latest", &[("symbol", "BTC/USD")]);
        check("/state/latest?symbol=BTC/USD", "/state/latest", &[("symbol", "BTC/USD")]);
        check("/s?a=1&b=2&a=3", "/s", &[("a", "1"), ("b", "2"), ("a", "3")]);
        check("/s?&&a=1&", "/s", &[("a", "1")]);
        check("/s?a", "/s", &[("a", "")]);
        check("/s?=1", "/s", &[("", "1")]);
        check("/s?a=b=c", "/s", &[("a", "b=c")]);
        check("/s?a=b?c", "/s", &[("a", "b?c")]);
        check("/s?%61=%C3%A4", "/s", &[("a", "ä")]);
        check("/s?a=1+1", "/s", &[("a", "1+1")]);
        check("/s?a=%2B%26%3D%25", "/s", &[("a", "+&=%")]);
        check("/%68ealth", "/health", &[]);
        check("//health", "//health", &[]);
        check("/../health", "/../health", &[]);
        check("http://localhost:8892/health?a=1", "/health", &[("a", "1")]);
        check("HTTP://localhost/health", "/health", &[]);
        check("http://localhost", "/", &[]);
        check("http://localhost?a=1", "/", &[("a", "1")]);
        check("https://localhost/", "/", &[]);
    }

    #[test]
    fn the_last_event_that_was_had() {
        let check = |fields: &str, expected: Option<&str>| {
            let head = decode_in_parts(&format!("GET /events HTTP/1.1\r\n{fields}\r\n"));
            assert_eq!(head.asked.expect("it is asked").last_event_id.as_deref(), expected, "{fields}");
        };
        check("", None);
        check("Last-Event-ID: 18ecb6-7\r\n", Some("18ecb6-7"));
        check("last-event-id:\r\n", Some(""));
    }

    #[test]
    fn the_first_of_a_repeated_parameter_wins() {
        let asked = request("/s", &[("symbol", "A"), ("symbol", "B"), ("empty", "")]);
        assert_eq!(asked.parameter("symbol"), Some("A"));
        assert_eq!(asked.parameter("empty"), Some(""));
        assert_eq!(asked.parameter("none"), None);
    }

    #[test]
    fn targets_that_mean_nothing_leave_the_connection_alone() {
        let check = |target: &str| {
            let head = decode_in_parts(&format!("GET {target} HTTP/1.1\r\n\r\n"));
            let status = head.asked.map_err(|refusal| refusal.status);
            assert_eq!((status, head.ending), (Err(400), Ending::KeepAlive), "{target}");
        };
        check("/s?a=%");
        check("/s?a=%4");
        check("/s?a=%zz");
        check("/s?a=%+1");
        check("/s?%zz=a");
        check("/s?a=%FF");
        check("/s?a=%C3");
        check("/%");
        check("/a#b");
        check("*");
        check("health");
        check("ftp://localhost/");
    }

    #[test]
    fn other_methods() {
        let check = |method: &str, expected: Result<&str, u16>, wants_body: bool| {
            let head = decode_in_parts(&format!("{method} /health HTTP/1.1\r\n\r\n"));
            let asked = head.asked.as_ref().map(|request| request.path.as_str()).map_err(|refusal| refusal.status);
            assert_eq!((asked, head.wants_body), (expected, wants_body), "{method}");
        };
        check("GET", Ok("/health"), true);
        check("HEAD", Ok("/health"), false);
        check("POST", Err(405), true);
        check("DELETE", Err(405), true);
        check("OPTIONS", Err(405), true);
        check("CONNECT", Err(405), true);
        check("get", Err(405), true);
        check("M-SEARCH", Err(405), true);
    }

    #[test]
    fn how_the_connection_goes_on() {
        use Ending::*;
        let check = |version: &str, fields: &str, expected: Ending| {
            let head = decode_in_parts(&format!("GET / {version}\r\n{fields}\r\n"));
            assert_eq!(head.ending, expected, "{version} {fields:?}");
        };
        check("HTTP/1.1", "", KeepAlive);
        check("HTTP/1.1", "Connection: keep-alive\r\n", KeepAlive);
        check("HTTP/1.1", "Connection: close\r\n", Close);
        check("HTTP/1.1", "connection:CLOSE\r\n", Close);
        check("HTTP/1.1", "Connection: upgrade , close\r\n", Close);
        check("HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n", Close);
        check("HTTP/1.1", "Connection: Upgrade\r\nUpgrade: h2c\r\n", KeepAlive);
        check("HTTP/1.1", "Connection: closed\r\n", KeepAlive);
        check("HTTP/1.0", "", Close);
        check("HTTP/1.0", "Connection: Keep-Alive\r\n", KeepAliveOldClient);
        check("HTTP/1.0", "Connection: keep-alive, close\r\n", Close);
    }

    #[test]
    fn bodies() {
        let check = |fields: &str, expected: Result<usize, u16>| {
            let text = format!("GET / HTTP/1.1\r\n{fields}\r\n");
            let decoded = decode_head(text.as_bytes()).map_err(|refusal| refusal.status);
            let found = decoded.map(|head| head.expect("whole").body_len_bytes);
            assert_eq!(found, expected, "{fields:?}");
        };
        check("", Ok(NO_BODY));
        check("Content-Length: 0\r\n", Ok(NO_BODY));
        check("content-length:7\r\n", Ok(7));
        check("Content-Length: 007\r\n", Ok(7));
        check("Content-Length: 8192\r\n", Ok(8192));
        check("Content-Length: 8193\r\n", Err(413));
        check("Content-Length: 99999999999999999999999999\r\n", Err(413));
        check("Content-Length: -1\r\n", Err(400));
        check("Content-Length: +1\r\n", Err(400));
        check("Content-Length: 0x1\r\n", Err(400));
        check("Content-Length: 1 1\r\n", Err(400));
        check("Content-Length: 1, 1\r\n", Err(400));
        check("Content-Length:\r\n", Err(400));
        // What two readers could understand in two ways.
        check("Content-Length: 1\r\nContent-Length: 1\r\n", Err(400));
        check("Content-Length: 1\r\nContent-Length: 2\r\n", Err(400));
        check("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", Err(400));
        check("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", Err(400));
        check("Transfer-Encoding: chunked\r\n", Err(501));
        check("Transfer-Encoding: identity\r\n", Err(501));
        check("Host: a\r\nHost: b\r\n", Err(400));
        check("Expect: 100-continue\r\nContent-Length: 1\r\n", Err(417));
        check("Expect: 100-continue\r\n", Ok(NO_BODY));
    }

    #[test]
    fn malformed_heads() {
        let check = |text: &[u8], status: u16| {
            let found = decode_head(text).map_err(|refusal| refusal.status);
            assert_eq!(found, Err(status), "{:?}", String::from_utf8_lossy(text));
            // However it is cut, it is never taken for something else.
            for end in 0..text.len() {
                let found = decode_head(&text[..end]).map_err(|refusal| refusal.status);
                assert!(matches!(found, Ok(None) | Err(400 | 431)), "cut at {end}: {found:?}");
            }
        };
        check(b"GET\r\n\r\n", 400);
        check(b"GET /\r\n\r\n", 400);
        check(b"GET / HTTP/2.0\r\n\r\n", 400);
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400);
        check(b"GET / HTTP/1.1 \r\n\r\n", 400);
        check(b"GET  / HTTP/1.1\r\n\r\n\x01", 400);
        check(b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400);
        check(b"GET / HTTP/1.1\r\nName : value\r\n\r\n", 400);
        check(b"GET / HTTP/1.1\r\n: value\r\n\r\n", 400);
        check(b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400);
        check(b"GET / HTTP/1.1\r\nA: b\0\r\n\r\n", 400);
        check(b"GET /\0 HTTP/1.1\r\n\r\n", 400);
        check(b"GET /\xff HTTP/1.1\r\n\r\n", 400);
        check(b"\x16\x03\x01\x02\x00\x01\x00", 400);
        check(b"\0", 400);
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1));
        check(many.as_bytes(), 431);
    }

    #[test]
    fn a_head_is_8_kib_at_most() {
        let of_len = |len: usize| {
            let frame = "GET / HTTP/1.1\r\nA: \r\n\r\n".len();
            format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(len - frame)).into_bytes()
        };
        let longest = decode_head(&of_len(HEAD_BYTES_MAX)).unwrap().unwrap();
        assert_eq!(longest.len_bytes, HEAD_BYTES_MAX);
        let status = |bytes: &[u8]| decode_head(bytes).map_err(|refusal| refusal.status);
        assert_eq!(status(&of_len(HEAD_BYTES_MAX + 1)), Err(431));
        assert_eq!(status(&of_len(HEAD_BYTES_MAX + 1)[..HEAD_BYTES_MAX]), Err(431));
        assert_eq!(status(&of_len(HEAD_BYTES_MAX + 1)[..HEAD_BYTES_MAX - 1]), Ok(None));
        assert_eq!(status(&[b"GET /".as_slice(), &[b'x'; HEAD_BYTES_MAX]].concat()), Err(431));
    }

    #[test]
    fn random_bytes_never_panic() {
        const PIECES: [&str; 20] = [
            "GET ",
            "HEAD ",
            "POST ",
            "/",
            "?",
            "a=",
            "%",
            "%2F",
            "&",
            " HTTP/1.1",
            " HTTP/1.0",
            "\r\n",
            "\r\n\r\n",
            "\n",
            "Content-Length: ",
            "7",
            "Transfer-Encoding: chunked",
            "Connection: close",
            "http://",
            "é",
        ];
        let mut whole_count = 0;
        for seed in 1..=20_000 {
            let mut random = Random::new(seed);
            let mut bytes = Vec::new();
            if random.below(2) == 0 {
                bytes.extend_from_slice(b"GET /?a=%2F HTTP/1.1\r\n");
            }
            for _ in 0..random.below(40) {
                match random.below(8) {
                    0 => bytes.push(random.below(256) as u8),
                    _ => bytes.extend_from_slice(PIECES[random.below(PIECES.len() as u64) as usize].as_bytes()),
                }
            }
            let whole = decode_head(&bytes);
            if let Ok(Some(head)) = &whole {
                whole_count += 1;
                assert!(head.len_bytes <= bytes.len(), "seed {seed}");
                assert_eq!(decode_head(&bytes[..head.len_bytes]), whole, "seed {seed}");
                assert_eq!(decode_head(&bytes[..head.len_bytes - 1]), Ok(None), "seed {seed}");
            }
        }
        assert!(whole_count > 500, "{whole_count} whole heads show nothing");
    }
}
