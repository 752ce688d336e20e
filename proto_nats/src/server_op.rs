//! What a server sends, split into frames that borrow from the receive buffer.
//!
//! ```text
//!   INFO {"server_id":...}␍␊
//!   MSG <subject> <sid> [reply_to] <payload bytes>␍␊ payload ␍␊
//!   HMSG <subject> <sid> [reply_to] <header bytes> <header and payload bytes>␍␊ header payload ␍␊
//!   PING␍␊   PONG␍␊   +OK␍␊   -ERR 'text'␍␊
//! ```
//!
//! Source: the NATS client protocol reference, and ADR-4 for HMSG. Only the control line is scanned; the payload is
//! taken by its length and checked to end in CR LF, so its size costs nothing.

use crate::digits::digits_of_eight;
use crate::error::{Malformed, ProtocolError};
use crate::line::{Body, Extent, after_verb, is_blank, length, may_become, number, split_line, tokens, trim};

/// How much of one frame is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Control line, without its CR LF. INFO may be longer: [`INFO_BYTES_MAX`].
    pub control_line: usize,
    /// Header and payload together. A longer frame is [`Decoded::Oversized`].
    pub payload: usize,
}

impl Default for DecodeLimits {
    /// A control line of 64 KiB (nats-server's own `max_control_line` is 4 KiB), a payload of 8 MiB (1 MiB there, with
    /// a warning from 8 MiB on).
    fn default() -> Self {
        DecodeLimits { control_line: 64 << 10, payload: 8 << 20 }
    }
}

/// INFO lists every server of a cluster in `connect_urls`, so it outgrows a control line: 1 MiB holds 30,000 of them.
/// A larger `DecodeLimits::control_line` raises this bound, too.
pub const INFO_BYTES_MAX: usize = 1 << 20;

/// A message as delivered to a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Msg<'a> {
    /// Where it was published.
    pub subject: &'a [u8],
    /// The subscription it was delivered for.
    pub sid: u64,
    /// Where an answer is expected.
    pub reply_to: Option<&'a [u8]>,
    /// The raw header block, `NATS/1.0...\r\n\r\n`, for [`headers`](crate::headers).
    pub headers: Option<&'a [u8]>,
    /// Without headers, without the closing CR LF.
    pub payload: &'a [u8],
}

/// One operation of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerOp<'a> {
    /// The JSON text, for [`ServerInfo`](crate::ServerInfo).
    Info(&'a [u8]),
    /// MSG or HMSG.
    Msg(Msg<'a>),
    /// To be answered with PONG.
    Ping,
    /// The answer to the oldest unanswered PING.
    Pong,
    /// Only with `verbose`.
    Ok,
    /// The text without its quotes, for [`ServerError`](crate::ServerError).
    Err(&'a [u8]),
}

/// What the start of an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded<'a, T> {
    /// A whole frame.
    Op {
        /// The frame.
        op: T,
        /// The bytes it takes of the input.
        len: usize,
    },
    /// The beginning of a frame.
    NeedMore {
        /// Total bytes of input before it is worth trying again: more than there are now, never more than the frame
        /// has, and exactly those once the control line is complete.
        at_least: usize,
    },
    /// A well-formed frame longer than `DecodeLimits::payload`: to be counted and discarded, the stream goes on after it.
    Oversized {
        /// Of the message.
        subject: &'a [u8],
        /// The bytes of the whole frame, usually more than the input has by now.
        skip: usize,
    },
}

/// Decodes the frame at the start of `input`.
#[inline]
pub fn decode_server_op<'a>(
    input: &'a [u8],
    limits: &DecodeLimits,
) -> Result<Decoded<'a, ServerOp<'a>>, ProtocolError> {
    let decoded = match input {
        [b'M' | b'm', b'S' | b's', b'G' | b'g', blank, ..] if is_blank(*blank) => msg(input, limits),
        _ => other(input, limits),
    };
    decoded.map_err(ProtocolError::Server)
}

/// The hot path.
#[inline]
fn msg<'a>(input: &'a [u8], limits: &DecodeLimits) -> Result<Decoded<'a, ServerOp<'a>>, Malformed> {
    let (Arguments { subject, sid, reply_to, total }, head_len) = match usual_head(input) {
        Some((arguments, head_len)) if head_len <= limits.control_line => (arguments, head_len),
        _ => match head(input, limits)? {
            Some(head) => head,
            None => return Ok(Decoded::NeedMore { at_least: input.len() + 1 }),
        },
    };
    Ok(match (Extent { head_len, header: 0, total }).body(input, limits.payload)? {
        Body::Whole { payload, len, .. } => {
            Decoded::Op { op: ServerOp::Msg(Msg { subject, sid, reply_to, headers: None, payload }), len }
        }
        Body::NeedMore { at_least } => Decoded::NeedMore { at_least },
        Body::Oversized { skip } => Decoded::Oversized { subject, skip },
    })
}

/// Of MSG.
struct Arguments<'a> {
    subject: &'a [u8],
    sid: u64,
    reply_to: Option<&'a [u8]>,
    total: usize,
}

/// Behind `MSG `.
const SUBJECT_AT: usize = 4;

/// `MSG <subject> <sid> [reply_to] <payload bytes>␍␊`, exactly as nats-server writes it, and its length. Anything else, also
/// one that may go on beyond `input` or whose reply begins with a digit, is for [`head`].
#[inline]
fn usual_head(input: &[u8]) -> Option<(Arguments<'_>, usize)> {
    let subject_end = visible_end(input, SUBJECT_AT)?;
    let subject = &input[SUBJECT_AT..subject_end];
    // Nineteen digits fit a u64; nine are below FRAME_BYTES_MAX.
    let (sid, sid_end) = digits(input, subject_end + 1, 19)?;
    let (reply_to, (total, total_end)) = match digits(input, sid_end + 1, 9) {
        Some(total) => (None, total),
        None => {
            let (reply_end, total, total_end) = reply_and_total(input, sid_end + 1)?;
            (Some(&input[sid_end + 1..reply_end]), (total, total_end))
        }
    };
    let is_usual = !subject.is_empty()
        && input[subject_end] == b' '
        && input[sid_end] == b' '
        && input[total_end..].starts_with(b"\r\n");
    is_usual.then_some((Arguments { subject, sid, reply_to, total: total as usize }, total_end + 2))
}

/// A reply begins at `at`: where it ends, one to seven digits behind it, and where they end. `None`: it is written otherwise.
#[inline(never)]
fn reply_and_total(input: &[u8], at: usize) -> Option<(usize, u64, usize)> {
    let reply_end = visible_end(input, visible_blocks_end(input, at))?;
    let (total, digits) = digits_of_eight(*input.get(reply_end + 1..)?.first_chunk()?);
    let is_usual = reply_end > at && input[reply_end] == b' ' && (1..8).contains(&digits);
    is_usual.then_some((reply_end, total, reply_end + 1 + digits))
}

/// The first byte from `at` on that is white space or a control character: eight bytes at a time, by Mycroft's test for
/// a byte that is less (`x - 0x21..21 & !x & 0x80..80`, whose lowest bit set is exact).
#[inline]
fn visible_end(input: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    loop {
        let word = u64::from_le_bytes(*input.get(at..)?.first_chunk()?);
        let found = word.wrapping_sub(ONES * 0x21) & !word & (ONES << 7);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
}

/// The end of the blocks of 32 bytes from `at` on that have neither: an acknowledgement subject has two or three.
#[inline]
fn visible_blocks_end(input: &[u8], mut at: usize) -> usize {
    let visible = |block: &[u8; 32]| block.iter().fold(true, |visible, byte| visible & (*byte > b' '));
    while input.get(at..).and_then(<[u8]>::first_chunk).is_some_and(visible) {
        at += 32;
    }
    at
}

/// One to `digits_max` digits from `at` on, and where they end, which is inside `input`.
#[inline]
fn digits(input: &[u8], at: usize, digits_max: usize) -> Option<(u64, usize)> {
    let rest = input.get(at..)?;
    let mut value = 0;
    for (count, byte) in rest.iter().take(digits_max + 1).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return (count > 0).then_some((value, at + count));
        }
        // Wraps around only where there are more digits than are taken.
        value = u64::wrapping_add(u64::wrapping_mul(value, 10), u64::from(digit));
    }
    None
}

/// The control line, however it is written; `None`: it has no end yet.
#[inline(never)]
fn head<'a>(input: &'a [u8], limits: &DecodeLimits) -> Result<Option<(Arguments<'a>, usize)>, Malformed> {
    let Some((text, head_len)) = split_line(input, limits.control_line)? else {
        return Ok(None);
    };
    Ok(Some((arguments(&text[4..])?, head_len)))
}

fn arguments(text: &[u8]) -> Result<Arguments<'_>, Malformed> {
    let ([subject, sid, third, fourth], count) = tokens::<4>(text, 3, "MSG")?;
    let (reply_to, total) = if count == 4 { (Some(third), fourth) } else { (None, third) };
    Ok(Arguments { subject, sid: number(sid, "sid")?, reply_to, total: length(total, "payload length")? })
}

fn hmsg<'a>(
    input: &'a [u8],
    arguments: &'a [u8],
    head_len: usize,
    limits: &DecodeLimits,
) -> Result<Decoded<'a, ServerOp<'a>>, Malformed> {
    let ([subject, sid, third, fourth, fifth], count) = tokens::<5>(arguments, 4, "HMSG")?;
    let (reply_to, header, total) = if count == 5 { (Some(third), fourth, fifth) } else { (None, third, fourth) };
    let sid = number(sid, "sid")?;
    let header = length(header, "header length")?;
    let total = length(total, "total length")?;
    Ok(match (Extent { head_len, header, total }).body(input, limits.payload)? {
        Body::Whole { header, payload, len } => {
            Decoded::Op { op: ServerOp::Msg(Msg { subject, sid, reply_to, headers: Some(header), payload }), len }
        }
        Body::NeedMore { at_least } => Decoded::NeedMore { at_least },
        Body::Oversized { skip } => Decoded::Oversized { subject, skip },
    })
}

fn other<'a>(input: &'a [u8], limits: &DecodeLimits) -> Result<Decoded<'a, ServerOp<'a>>, Malformed> {
    const VERBS: [&[u8]; 7] = [b"MSG", b"HMSG", b"INFO", b"PING", b"PONG", b"+OK", b"-ERR"];
    // Said as early as it is known: a TLS or HTTP server never sends the LF that would end this line.
    if !VERBS.iter().any(|verb| may_become(before_lf(input), verb)) {
        return Err(Malformed::UnknownOperation);
    }
    let line_limit = match may_become(input, b"INFO") {
        true => limits.control_line.max(INFO_BYTES_MAX),
        false => limits.control_line,
    };
    let Some((text, len)) = split_line(input, line_limit)? else {
        return Ok(Decoded::NeedMore { at_least: input.len() + 1 });
    };
    let op = if let Some(arguments) = after_verb(text, b"HMSG") {
        return hmsg(input, arguments, len, limits);
    } else if let Some(json) = after_verb(text, b"INFO") {
        ServerOp::Info(trim(json))
    } else if after_verb(text, b"PING").is_some() {
        ServerOp::Ping
    } else if after_verb(text, b"PONG").is_some() {
        ServerOp::Pong
    } else if after_verb(text, b"+OK").is_some() {
        ServerOp::Ok
    } else if let Some(message) = after_verb(text, b"-ERR") {
        ServerOp::Err(unquote(trim(message)))
    } else {
        // A bare "MSG", or a verb cut short by the line's end.
        return Err(match after_verb(text, b"MSG") {
            Some(_) => Malformed::ArgumentCount { operation: "MSG" },
            None => Malformed::UnknownOperation,
        });
    };
    Ok(Decoded::Op { op, len })
}

/// The first few bytes of the line, enough to tell a verb.
pub(crate) fn before_lf(input: &[u8]) -> &[u8] {
    let start = &input[..input.len().min(8)];
    let end = start.iter().position(|&byte| byte == b'\n').unwrap_or(start.len());
    &start[..end]
}

fn unquote(text: &[u8]) -> &[u8] {
    match text {
        [b'\'', inner @ .., b'\''] => inner,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DecodeLimits = DecodeLimits { control_line: 64, payload: 32 };

    fn shown(input: &[u8]) -> String {
        input.escape_ascii().to_string()
    }

    fn check(input: &[u8], expected: ServerOp<'_>) {
        let expected = Ok(Decoded::Op { op: expected, len: input.len() });
        assert_eq!(decode_server_op(input, &LIMITS), expected, "{}", shown(input));
        let followed = [input, b"\xff\xff"].concat();
        assert_eq!(decode_server_op(&followed, &LIMITS), expected, "{} and more", shown(input));
        for cut in 0..input.len() {
            match decode_server_op(&input[..cut], &LIMITS) {
                Ok(Decoded::NeedMore { at_least }) if at_least > cut && at_least <= input.len() => {}
                other => panic!("{} cut at {cut}: {other:?}", shown(input)),
            }
        }
    }

    fn check_error(input: &[u8], expected: Malformed) {
        let expected = Err(ProtocolError::Server(expected));
        assert_eq!(decode_server_op(input, &LIMITS), expected, "{}", shown(input));
        for cut in 0..input.len() {
            match decode_server_op(&input[..cut], &LIMITS) {
                Ok(Decoded::NeedMore { at_least }) if at_least > cut => {}
                other => assert_eq!(other, expected, "{} cut at {cut}", shown(input)),
            }
        }
    }

    fn msg<'a>(subject: &'a str, sid: u64, payload: &'a str) -> Msg<'a> {
        Msg { subject: subject.as_bytes(), sid, reply_to: None, headers: None, payload: payload.as_bytes() }
    }

    #[test]
    fn messages() {
        let check = |input: &str, expected: Msg<'_>| check(input.as_bytes(), ServerOp::Msg(expected));
        let with_reply = |msg, reply_to: &'static str| Msg { reply_to: Some(reply_to.as_bytes()), ..msg };
        check("MSG a.b 1 5\r\nhello\r\n", msg("a.b", 1, "hello"));
        check("MSG a 18446744073709551615 0\r\n\r\n", msg("a", u64::MAX, ""));
        check("MSG a 1 2\r\n\r\n\r\n", msg("a", 1, "\r\n"));
        check("MSG a 1 14\r\nMSG b 1 1\r\nx\r\n\r\n", msg("a", 1, "MSG b 1 1\r\nx\r\n"));
        check("MSG a 1 reply 5\r\nhello\r\n", with_reply(msg("a", 1, "hello"), "reply"));
        check("MSG a 1 7 5\r\nhello\r\n", with_reply(msg("a", 1, "hello"), "7"));
        check("MSG a 1 7.x 5\r\nhello\r\n", with_reply(msg("a", 1, "hello"), "7.x"));
        check(
            "MSG a 1 $JS.ACK.S.c.1.5.2.17.0 5\r\nhello\r\n",
            with_reply(msg("a", 1, "hello"), "$JS.ACK.S.c.1.5.2.17.0"),
        );
        check("MSG a 1 r\t5\r\nhello\r\n", with_reply(msg("a", 1, "hello"), "r"));
        check("MSG a 1 r  5 \r\nhello\r\n", with_reply(msg("a", 1, "hello"), "r"));
        check("MSG a 1  r 5\r\nhello\r\n", with_reply(msg("a", 1, "hello"), "r"));
        check("MSG a 1 r\u{1}r 5\r\nhello\r\n", with_reply(msg("a", 1, "hello"), "r\u{1}r"));
        check("msg a 1 5\r\nhello\r\n", msg("a", 1, "hello"));
        check("MsG\ta\t1\t5\r\nhello\r\n", msg("a", 1, "hello"));
        check("MSG   a  \t 1    5  \r\nhello\r\n", msg("a", 1, "hello"));
        check("MSG a 1 005\r\nhello\r\n", msg("a", 1, "hello"));
        check("MSG a 1 5\nhello\r\n", msg("a", 1, "hello"));
        check("MSG é.日本 1 3\r\n日\r\n", msg("é.日本", 1, "日"));
        check("MSG a 1 32\r\n01234567890123456789012345678901\r\n", msg("a", 1, "01234567890123456789012345678901"));
    }

    #[test]
    fn messages_with_headers() {
        let check = |input: &str, headers: &str, expected: Msg<'_>| {
            check(input.as_bytes(), ServerOp::Msg(Msg { headers: Some(headers.as_bytes()), ..expected }));
        };
        check("HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "NATS/1.0\r\n\r\n", msg("a", 1, "hi"));
        check("HMSG a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", "NATS/1.0 503\r\n\r\n", msg("a", 1, ""));
        let reply = Msg { reply_to: Some(b"r"), ..msg("a", 1, "hi") };
        check("hmsg a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "NATS/1.0\r\n\r\n", reply);
        check("HMSG\ta  1 0 2\r\nhi\r\n", "", msg("a", 1, "hi"));
    }

    #[test]
    fn everything_else() {
        check(b"PING\r\n", ServerOp::Ping);
        check(b"ping  \r\n", ServerOp::Ping);
        check(b"PONG\r\n", ServerOp::Pong);
        check(b"Pong\n", ServerOp::Pong);
        check(b"+OK\r\n", ServerOp::Ok);
        check(b"+ok\r\n", ServerOp::Ok);
        check(b"-ERR 'Stale Connection'\r\n", ServerOp::Err(b"Stale Connection"));
        check(b"-err   \t'It's'  \r\n", ServerOp::Err(b"It's"));
        check(b"-ERR no quotes\r\n", ServerOp::Err(b"no quotes"));
        check(b"-ERR\r\n", ServerOp::Err(b""));
        check(b"-ERR '\r\n", ServerOp::Err(b"'"));
        check(b"INFO {\"a\": 1} \r\n", ServerOp::Info(b"{\"a\": 1}"));
        check(b"info\t{}\r\n", ServerOp::Info(b"{}"));
        check(b"INFO\r\n", ServerOp::Info(b""));
    }

    #[test]
    fn errors() {
        let number = |argument| Malformed::Number { argument };
        check_error(b"\r\n", Malformed::UnknownOperation);
        check_error(b"PUB a 1\r\nx\r\n", Malformed::UnknownOperation);
        check_error(b"HTTP/1.1 400 Bad Request\r\n", Malformed::UnknownOperation);
        check_error(b"\x15\x03\x01\x00\x02\x02\x28", Malformed::UnknownOperation);
        check_error(b"PINGO\r\n", Malformed::UnknownOperation);
        check_error(b"PIN\r\n", Malformed::UnknownOperation);
        check_error(b" PING\r\n", Malformed::UnknownOperation);
        check_error(b"MSG\r\n", Malformed::ArgumentCount { operation: "MSG" });
        check_error(b"MSG a 1\r\n", Malformed::ArgumentCount { operation: "MSG" });
        check_error(b"MSG a 1 r \r\n", number("payload length"));
        check_error(b"MSG a 1 r x\r\n", number("payload length"));
        check_error(b"MSG a 1 r 2 3\r\n", Malformed::ArgumentCount { operation: "MSG" });
        check_error(b"HMSG a 1 2\r\n", Malformed::ArgumentCount { operation: "HMSG" });
        check_error(b"HMSG a 1 r 2 3 4\r\n", Malformed::ArgumentCount { operation: "HMSG" });
        check_error(b"MSG a x 1\r\n", number("sid"));
        check_error(b"MSG a 18446744073709551616 1\r\n", number("sid"));
        check_error(b"MSG a 1 -1\r\n", number("payload length"));
        check_error(b"MSG a 1 +1\r\n", number("payload length"));
        check_error(b"MSG a 1 1e3\r\n", number("payload length"));
        check_error(b"MSG a 1 2147483648\r\n", number("payload length"));
        check_error(b"MSG a 1 99999999999999999999999\r\n", number("payload length"));
        check_error(b"HMSG a 1 x 2\r\n", number("header length"));
        check_error(b"HMSG a 1 2 x\r\n", number("total length"));
        check_error(b"HMSG a 1 3 2\r\n", Malformed::HeaderBeyondTotal { header_bytes: 3, total_bytes: 2 });
        check_error(b"HMSG a 1 99 98\r\n", Malformed::HeaderBeyondTotal { header_bytes: 99, total_bytes: 98 });
        check_error(b"MSG a 1 2\r\nhello\r\n", Malformed::PayloadNotTerminated);
        check_error(b"MSG a 1 5\r\nhello\n\n", Malformed::PayloadNotTerminated);
        check_error(b"MSG a 1 0\r\nMSG", Malformed::PayloadNotTerminated);
    }

    #[test]
    fn the_control_line_is_bounded_whether_or_not_it_ends() {
        let too_long = Malformed::ControlLineTooLong { limit_bytes: 64 };
        let line = |bytes: usize| [b"MSG ".to_vec(), vec![b'a'; bytes - 8], b" 1 1".to_vec()].concat();
        check(&[line(64), b"\r\nx\r\n".to_vec()].concat(), ServerOp::Msg(msg(&"a".repeat(56), 1, "x")));
        check_error(&[line(66), b"\r\nx\r\n".to_vec()].concat(), too_long);
        check_error(&line(66), too_long);
        check_error(&[b"-ERR ".to_vec(), vec![b'x'; 61]].concat(), too_long);
    }

    #[test]
    fn info_may_be_long_but_not_endless() {
        let long = [b"INFO ".to_vec(), vec![b' '; INFO_BYTES_MAX - 7], b"{}\r\n".to_vec()].concat();
        let expected = Ok(Decoded::Op { op: ServerOp::Info(b"{}"), len: long.len() });
        assert_eq!(decode_server_op(&long, &LIMITS), expected);
        let endless = [b"INFO ".to_vec(), vec![b' '; INFO_BYTES_MAX]].concat();
        let too_long = Malformed::ControlLineTooLong { limit_bytes: INFO_BYTES_MAX };
        assert_eq!(decode_server_op(&endless, &LIMITS), Err(ProtocolError::Server(too_long)));
    }

    #[test]
    fn what_is_still_missing_is_known_from_the_control_line_on() {
        let check = |input: &str, expected| {
            let decoded = decode_server_op(input.as_bytes(), &LIMITS);
            assert_eq!(decoded, Ok(Decoded::NeedMore { at_least: expected }), "{input:?}");
        };
        check("", 1);
        check("M", 2);
        check("MSG a 1 5\r", 11);
        check("MSG a 1 5\r\n", 18);
        check("MSG a 1 5\r\nhello\r", 18);
        check("HMSG a 1 12 14\r\nNATS", 32);
    }

    #[test]
    fn a_frame_beyond_the_limit_can_be_skipped() {
        let check = |input: &str, skip| {
            let expected = Ok(Decoded::Oversized { subject: b"a.b", skip });
            assert_eq!(decode_server_op(input.as_bytes(), &LIMITS), expected, "{input:?}");
        };
        check("MSG a.b 1 33\r\n", 14 + 33 + 2);
        check("MSG a.b 1 r 33\r\nxyz", 16 + 33 + 2);
        check("HMSG a.b 1 12 33\r\n", 18 + 33 + 2);
        check("MSG a.b 1 2147483647\r\n", 22 + 2147483647 + 2);
        let mut stream = [b"MSG a.b 1 40\r\n".to_vec(), vec![b'x'; 40], b"\r\nPING\r\n".to_vec()].concat();
        match decode_server_op(&stream, &LIMITS) {
            Ok(Decoded::Oversized { skip, .. }) => stream.drain(..skip),
            other => panic!("{other:?}"),
        };
        assert_eq!(decode_server_op(&stream, &LIMITS), Ok(Decoded::Op { op: ServerOp::Ping, len: 6 }));
    }
}
