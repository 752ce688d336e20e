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
use crate::server_op::{Decoded, Limits, before_lf};

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
pub fn decode_client_op<'a>(input: &'a [u8], limits: &Limits) -> Result<Decoded<'a, ClientOp<'a>>, ProtocolError> {
    decode(input, limits).map_err(ProtocolError::Client)
}

fn decode<'a>(input: &'a [u8], limits: &Limits) -> Result<Decoded<'a, ClientOp<'a>>, Malformed> {
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
    limits: &Limits,
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
