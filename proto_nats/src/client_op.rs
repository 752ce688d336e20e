//! What a client sends, for the embedded broker and for tests.
//!
//! ```text
//!   CONNECT {"verbose":false,...}␍␊
//!   PUB <subject> [reply_to] <payload bytes>␍␊ payload ␍␊
//!   HPUB <subject> [reply_to] <header bytes> <header and payload bytes>␍␊ header payload ␍␊
//!   SUB <subject> [queue_group] <sid>␍␊   UNSUB <sid> [max_msgs]␍␊   PING␍␊   PONG␍␊
//! ```

use crate::error::{Malformed, ProtocolError};
use crate::line::{Body, Extent, after_verb, length, may_become, number, split_line, tokens, trim};
use crate::server_op::{DecodeLimits, Decoded, before_lf};

/// One operation of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientOp<'a> {
    /// The JSON text.
    Connect(&'a [u8]),
    /// PUB or HPUB.
    Pub {
        /// Where to.
        subject: &'a [u8],
        /// Where an answer is expected.
        reply_to: Option<&'a [u8]>,
        /// The raw header block.
        headers: Option<&'a [u8]>,
        /// Without headers.
        payload: &'a [u8],
    },
    /// SUB.
    Sub {
        /// May hold wildcards.
        subject: &'a [u8],
        /// Each message goes to one member of the group.
        queue_group: Option<&'a [u8]>,
        /// Any token: it need not be a number.
        sid: &'a [u8],
    },
    /// UNSUB.
    Unsub {
        /// As in SUB.
        sid: &'a [u8],
        /// After that many messages since SUB; none: now.
        max: Option<u64>,
    },
    /// To be answered with PONG.
    Ping,
    /// The answer to the oldest unanswered PING.
    Pong,
}

/// Decodes the frame at the start of `input`.
pub fn decode_client_op<'a>(
    input: &'a [u8],
    limits: &DecodeLimits,
) -> Result<Decoded<'a, ClientOp<'a>>, ProtocolError> {
    decode(input, limits).map_err(ProtocolError::Client)
}

fn decode<'a>(input: &'a [u8], limits: &DecodeLimits) -> Result<Decoded<'a, ClientOp<'a>>, Malformed> {
    const VERBS: [&[u8]; 7] = [b"CONNECT", b"PUB", b"HPUB", b"SUB", b"UNSUB", b"PING", b"PONG"];
    if !VERBS.iter().any(|verb| may_become(before_lf(input), verb)) {
        return Err(Malformed::UnknownOperation);
    }
    let Some((text, len)) = split_line(input, limits.control_line)? else {
        return Ok(Decoded::NeedMore { at_least: input.len() + 1 });
    };
    let op = if let Some(arguments) = after_verb(text, b"PUB") {
        let ([subject, second, third], count) = tokens::<3>(arguments, 2, "PUB")?;
        let (reply_to, total) = if count == 3 { (Some(second), third) } else { (None, second) };
        let total = length(total, "payload length")?;
        return publication(input, Extent { head_len: len, header: 0, total }, limits, subject, reply_to, false);
    } else if let Some(arguments) = after_verb(text, b"HPUB") {
        let ([subject, second, third, fourth], count) = tokens::<4>(arguments, 3, "HPUB")?;
        let (reply_to, header, total) = if count == 4 { (Some(second), third, fourth) } else { (None, second, third) };
        let header = length(header, "header length")?;
        let total = length(total, "total length")?;
        return publication(input, Extent { head_len: len, header, total }, limits, subject, reply_to, true);
    } else if let Some(arguments) = after_verb(text, b"SUB") {
        let ([subject, second, third], count) = tokens::<3>(arguments, 2, "SUB")?;
        let (queue_group, sid) = if count == 3 { (Some(second), third) } else { (None, second) };
        ClientOp::Sub { subject, queue_group, sid }
    } else if let Some(arguments) = after_verb(text, b"UNSUB") {
        let ([sid, max], count) = tokens::<2>(arguments, 1, "UNSUB")?;
        let max = if count == 2 { Some(number(max, "max_msgs")?) } else { None };
        ClientOp::Unsub { sid, max }
    } else if let Some(json) = after_verb(text, b"CONNECT") {
        ClientOp::Connect(trim(json))
    } else if after_verb(text, b"PING").is_some() {
        ClientOp::Ping
    } else if after_verb(text, b"PONG").is_some() {
        ClientOp::Pong
    } else {
        // A verb cut short by the line's end.
        return Err(Malformed::UnknownOperation);
    };
    Ok(Decoded::Op { op, len })
}

fn publication<'a>(
    input: &'a [u8],
    extent: Extent,
    limits: &DecodeLimits,
    subject: &'a [u8],
    reply_to: Option<&'a [u8]>,
    with_headers: bool,
) -> Result<Decoded<'a, ClientOp<'a>>, Malformed> {
    Ok(match extent.body(input, limits.payload)? {
        Body::Whole { header, payload, len } => {
            let headers = with_headers.then_some(header);
            Decoded::Op { op: ClientOp::Pub { subject, reply_to, headers, payload }, len }
        }
        Body::NeedMore { at_least } => Decoded::NeedMore { at_least },
        Body::Oversized { skip } => Decoded::Oversized { subject, skip },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DecodeLimits = DecodeLimits { control_line: 64, payload: 32 };

    fn check(input: &str, expected: ClientOp<'_>) {
        let bytes = input.as_bytes();
        let expected = Ok(Decoded::Op { op: expected, len: bytes.len() });
        assert_eq!(decode_client_op(bytes, &LIMITS), expected, "{input:?}");
        assert_eq!(decode_client_op(format!("{input}!!").as_bytes(), &LIMITS), expected, "{input:?} and more");
        for cut in 0..bytes.len() {
            match decode_client_op(&bytes[..cut], &LIMITS) {
                Ok(Decoded::NeedMore { at_least }) if at_least > cut && at_least <= bytes.len() => {}
                other => panic!("{input:?} cut at {cut}: {other:?}"),
            }
        }
    }

    fn check_error(input: &str, expected: Malformed) {
        let expected = Err(ProtocolError::Client(expected));
        assert_eq!(decode_client_op(input.as_bytes(), &LIMITS), expected, "{input:?}");
        for cut in 0..input.len() {
            match decode_client_op(&input.as_bytes()[..cut], &LIMITS) {
                Ok(Decoded::NeedMore { at_least }) if at_least > cut => {}
                other => assert_eq!(other, expected, "{input:?} cut at {cut}"),
            }
        }
    }

    #[test]
    fn publications() {
        let check = |input: &str, reply_to: Option<&str>, headers: Option<&str>, payload: &str| {
            let (reply_to, headers) = (reply_to.map(str::as_bytes), headers.map(str::as_bytes));
            check(input, ClientOp::Pub { subject: b"a.b", reply_to, headers, payload: payload.as_bytes() });
        };
        let block = "NATS/1.0\r\n\r\n";
        check("PUB a.b 5\r\nhello\r\n", None, None, "hello");
        check("pub\ta.b  0 \r\n\r\n", None, None, "");
        check("PUB a.b r 2\r\n\r\n\r\n", Some("r"), None, "\r\n");
        check("PUB a.b 7 2\r\nhi\r\n", Some("7"), None, "hi");
        check("HPUB a.b 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", None, Some(block), "hi");
        check("HPUB a.b r 12 12\r\nNATS/1.0\r\n\r\n\r\n", Some("r"), Some(block), "");
    }

    #[test]
    fn everything_else() {
        check("CONNECT {\"verbose\": true}\r\n", ClientOp::Connect(b"{\"verbose\": true}"));
        check("connect\t{}\n", ClientOp::Connect(b"{}"));
        check("SUB a.> 1\r\n", ClientOp::Sub { subject: b"a.>", queue_group: None, sid: b"1" });
        check("sub  a  q\t1x \r\n", ClientOp::Sub { subject: b"a", queue_group: Some(b"q"), sid: b"1x" });
        check("UNSUB abc\r\n", ClientOp::Unsub { sid: b"abc", max: None });
        check("UNSUB 1 5\r\n", ClientOp::Unsub { sid: b"1", max: Some(5) });
        check("PING\r\n", ClientOp::Ping);
        check("pong\r\n", ClientOp::Pong);
    }

    #[test]
    fn errors() {
        let count = |operation| Malformed::ArgumentCount { operation };
        let number = |argument| Malformed::Number { argument };
        check_error("GET / HTTP/1.1\r\n", Malformed::UnknownOperation);
        check_error("MSG a 1 1\r\nx\r\n", Malformed::UnknownOperation);
        check_error("CONN\r\n", Malformed::UnknownOperation);
        check_error("PUBS a 1\r\n", Malformed::UnknownOperation);
        check_error("PUB\r\n", count("PUB"));
        check_error("PUB a\r\n", count("PUB"));
        check_error("PUB a b 1 2\r\n", count("PUB"));
        check_error("HPUB a 1\r\n", count("HPUB"));
        check_error("SUB a\r\n", count("SUB"));
        check_error("SUB a b c d\r\n", count("SUB"));
        check_error("UNSUB\r\n", count("UNSUB"));
        check_error("UNSUB a 1 2\r\n", count("UNSUB"));
        check_error("UNSUB a x\r\n", number("max_msgs"));
        check_error("PUB a x\r\n", number("payload length"));
        check_error("HPUB a x 1\r\n", number("header length"));
        check_error("HPUB a 3 2\r\n", Malformed::HeaderBeyondTotal { header_bytes: 3, total_bytes: 2 });
        check_error("PUB a 1\r\nxyz", Malformed::PayloadNotTerminated);
        check_error(&format!("SUB {}", "a".repeat(62)), Malformed::ControlLineTooLong { limit_bytes: 64 });
    }

    #[test]
    fn a_publication_beyond_the_limit_can_be_skipped() {
        let expected = Ok(Decoded::Oversized { subject: &b"a"[..], skip: 10 + 33 + 2 });
        assert_eq!(decode_client_op(b"PUB a 33\r\nx", &LIMITS), expected);
    }
}
