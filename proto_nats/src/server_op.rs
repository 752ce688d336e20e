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

use crate::error::{Malformed, ProtocolError};
use crate::line::{Body, Extent, after_verb, is_blank, length, may_become, number, split_line, tokens, trim};

/// How much of one frame is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Control line, without its CR LF. INFO may be longer: [`INFO_BYTES_MAX`].
    pub control_line: usize,
    /// Header and payload together. A longer frame is [`Decoded::Oversized`].
    pub payload: usize,
}

impl Default for Limits {
    /// A control line of 64 KiB (nats-server's own `max_control_line` is 4 KiB), a payload of 8 MiB (1 MiB there, with
    /// a warning from 8 MiB on).
    fn default() -> Self {
        Limits { control_line: 64 << 10, payload: 8 << 20 }
    }
}

/// INFO lists every server of a cluster in `connect_urls`, so it outgrows a control line: 1 MiB holds 30,000 of them.
/// A larger `Limits::control_line` raises this bound, too.
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
    /// A well-formed frame longer than `Limits::payload`: to be counted and discarded, the stream goes on after it.
    Oversized {
        /// Of the message.
        subject: &'a [u8],
        /// The bytes of the whole frame, usually more than the input has by now.
        skip: usize,
    },
}

/// Decodes the frame at the start of `input`.
#[inline]
pub fn decode_server_op<'a>(input: &'a [u8], limits: &Limits) -> Result<Decoded<'a, ServerOp<'a>>, ProtocolError> {
    let decoded = match input {
        [b'M' | b'm', b'S' | b's', b'G' | b'g', blank, ..] if is_blank(*blank) => msg(input, limits),
        _ => other(input, limits),
    };
    decoded.map_err(ProtocolError::Server)
}

/// The hot path.
#[inline]
fn msg<'a>(input: &'a [u8], limits: &Limits) -> Result<Decoded<'a, ServerOp<'a>>, Malformed> {
    let Some((text, head_len)) = split_line(input, limits.control_line)? else {
        return Ok(Decoded::NeedMore { at_least: input.len() + 1 });
    };
    let ([subject, sid, third, fourth], count) = tokens::<4>(&text[4..], 3, "MSG")?;
    let (reply_to, total) = if count == 4 { (Some(third), fourth) } else { (None, third) };
    let sid = number(sid, "sid")?;
    let total = length(total, "payload length")?;
    Ok(match (Extent { head_len, header: 0, total }).body(input, limits.payload)? {
        Body::Whole { payload, len, .. } => {
            Decoded::Op { op: ServerOp::Msg(Msg { subject, sid, reply_to, headers: None, payload }), len }
        }
        Body::NeedMore { at_least } => Decoded::NeedMore { at_least },
        Body::Oversized { skip } => Decoded::Oversized { subject, skip },
    })
}

fn hmsg<'a>(
    input: &'a [u8],
    arguments: &'a [u8],
    head_len: usize,
    limits: &Limits,
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

fn other<'a>(input: &'a [u8], limits: &Limits) -> Result<Decoded<'a, ServerOp<'a>>, Malformed> {
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
