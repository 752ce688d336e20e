//! Both directions, written strictly: capitals, single spaces, CR LF. Each function appends one frame to `out`.
//!
//! Tokens must be valid already (they come from a decoder, or were checked with [`subject`](crate::subject) when the
//! settings were read); a token with white space in it would forge a second operation, so that is asserted.

use crate::connect::ConnectOptions;

/// `CONNECT {...}`
pub fn connect(out: &mut Vec<u8>, options: &ConnectOptions) {
    out.extend_from_slice(b"CONNECT ");
    options.write_json(out);
    out.extend_from_slice(b"\r\n");
}

/// `PING`
pub fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PING\r\n");
}

/// `PONG`
pub fn pong(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PONG\r\n");
}

/// `PUB <subject> [reply_to] <bytes>`
pub fn publish(out: &mut Vec<u8>, subject: &[u8], reply_to: Option<&[u8]>, payload: &[u8]) {
    out.extend_from_slice(b"PUB ");
    token(out, subject);
    optional_token(out, reply_to);
    number(out, payload.len() as u64);
    body(out, b"", payload);
}

/// `HPUB <subject> [reply_to] <header bytes> <total bytes>`; `headers` is a whole block, `NATS/1.0...\r\n\r\n`.
pub fn publish_with_headers(
    out: &mut Vec<u8>,
    subject: &[u8],
    reply_to: Option<&[u8]>,
    headers: &[u8],
    payload: &[u8],
) {
    out.extend_from_slice(b"HPUB ");
    token(out, subject);
    optional_token(out, reply_to);
    number(out, headers.len() as u64);
    number(out, (headers.len() + payload.len()) as u64);
    body(out, headers, payload);
}

/// `SUB <subject> [queue_group] <sid>`
pub fn subscribe(out: &mut Vec<u8>, subject: &[u8], queue_group: Option<&[u8]>, sid: u64) {
    out.extend_from_slice(b"SUB ");
    token(out, subject);
    optional_token(out, queue_group);
    number(out, sid);
    out.extend_from_slice(b"\r\n");
}

/// `UNSUB <sid> [max_msgs]`
pub fn unsubscribe(out: &mut Vec<u8>, sid: u64, max: Option<u64>) {
    out.extend_from_slice(b"UNSUB");
    number(out, sid);
    if let Some(max) = max {
        number(out, max);
    }
    out.extend_from_slice(b"\r\n");
}

/// `INFO {...}`; `json` is one line, for instance of [`ServerInfo::to_json`](crate::ServerInfo::to_json).
pub fn info(out: &mut Vec<u8>, json: &[u8]) {
    assert!(!json.contains(&b'\n'), "INFO is one line");
    out.extend_from_slice(b"INFO ");
    out.extend_from_slice(json);
    out.extend_from_slice(b"\r\n");
}

/// `MSG <subject> <sid> [reply_to] <bytes>`, or `HMSG <subject> <sid> [reply_to] <header bytes> <total bytes>`
pub fn msg(
    out: &mut Vec<u8>,
    subject: &[u8],
    sid: &[u8],
    reply_to: Option<&[u8]>,
    headers: Option<&[u8]>,
    payload: &[u8],
) {
    out.extend_from_slice(if headers.is_some() { b"HMSG " } else { b"MSG " });
    token(out, subject);
    optional_token(out, Some(sid));
    optional_token(out, reply_to);
    if let Some(headers) = headers {
        number(out, headers.len() as u64);
    }
    let headers = headers.unwrap_or_default();
    number(out, (headers.len() + payload.len()) as u64);
    body(out, headers, payload);
}

/// `+OK`
pub fn ok(out: &mut Vec<u8>) {
    out.extend_from_slice(b"+OK\r\n");
}

/// `-ERR '<message>'`
pub fn err(out: &mut Vec<u8>, message: &str) {
    assert!(!message.contains('\n'), "-ERR is one line");
    out.extend_from_slice(b"-ERR '");
    out.extend_from_slice(message.as_bytes());
    out.extend_from_slice(b"'\r\n");
}

#[inline]
fn token(out: &mut Vec<u8>, token: &[u8]) {
    // No early exit: over a few dozen bytes the straight loop is the faster one, as it vectorises.
    let blank = token.iter().fold(false, |blank, &byte| blank | matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    assert!(!blank && !token.is_empty(), "a token is not empty and has no white space");
    out.extend_from_slice(token);
}

#[inline]
fn optional_token(out: &mut Vec<u8>, text: Option<&[u8]>) {
    if let Some(text) = text {
        out.push(b' ');
        token(out, text);
    }
}

#[inline]
fn number(out: &mut Vec<u8>, value: u64) {
    out.push(b' ');
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[inline]
fn body(out: &mut Vec<u8>, headers: &[u8], payload: &[u8]) {
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: &str, encode: impl Fn(&mut Vec<u8>)) {
        let mut out = b"before".to_vec();
        encode(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("before{expected}"));
    }

    #[test]
    fn what_a_client_writes() {
        check("PING\r\n", ping);
        check("PONG\r\n", pong);
        check("PUB a.b 5\r\nhello\r\n", |out| publish(out, b"a.b", None, b"hello"));
        check("PUB a.b r 0\r\n\r\n", |out| publish(out, b"a.b", Some(b"r"), b""));
        check("HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", |out| {
            publish_with_headers(out, b"a", None, b"NATS/1.0\r\n\r\n", b"hi");
        });
        check("HPUB a r 12 12\r\nNATS/1.0\r\n\r\n\r\n", |out| {
            publish_with_headers(out, b"a", Some(b"r"), b"NATS/1.0\r\n\r\n", b"");
        });
        check("SUB a.> 7\r\n", |out| subscribe(out, b"a.>", None, 7));
        check("SUB a.* q 18446744073709551615\r\n", |out| subscribe(out, b"a.*", Some(b"q"), u64::MAX));
        check("UNSUB 7\r\n", |out| unsubscribe(out, 7, None));
        check("UNSUB 7 10\r\n", |out| unsubscribe(out, 7, Some(10)));
    }

    #[test]
    fn what_a_server_writes() {
        check("INFO {}\r\n", |out| info(out, b"{}"));
        check("MSG a x1 5\r\nhello\r\n", |out| msg(out, b"a", b"x1", None, None, b"hello"));
        check("MSG a 1 r 0\r\n\r\n", |out| msg(out, b"a", b"1", Some(b"r"), None, b""));
        check("HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", |out| {
            msg(out, b"a", b"1", None, Some(b"NATS/1.0\r\n\r\n"), b"hi");
        });
        check("+OK\r\n", ok);
        check("-ERR 'Stale Connection'\r\n", |out| err(out, "Stale Connection"));
    }

    #[test]
    fn a_token_cannot_forge_an_operation() {
        for bad in ["", " ", "a b", "a\tb", "a\rb", "a\n", "a\r\nPUB b 0\r\n"] {
            let bytes = bad.as_bytes();
            let forge = [
                std::panic::catch_unwind(|| publish(&mut Vec::new(), bytes, None, b"")),
                std::panic::catch_unwind(|| publish(&mut Vec::new(), b"a", Some(bytes), b"")),
                std::panic::catch_unwind(|| subscribe(&mut Vec::new(), b"a", Some(bytes), 1)),
                std::panic::catch_unwind(|| msg(&mut Vec::new(), b"a", bytes, None, None, b"")),
            ];
            assert!(forge.iter().all(Result::is_err), "{bad:?}");
        }
    }
}
