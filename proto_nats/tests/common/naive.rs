//! The naive twins of both decoders: split the first line into words, look the verb up, count bytes. No attempt at
//! speed, and an error is just an error. The twins must agree with the real ones on every input.

use proto_nats::server_op::INFO_BYTES_MAX;
use proto_nats::{ClientOp, DecodeLimits, Decoded, Msg, ServerOp};

const SERVER_VERBS: [&str; 7] = ["MSG", "HMSG", "INFO", "PING", "PONG", "+OK", "-ERR"];
const CLIENT_VERBS: [&str; 7] = ["CONNECT", "PUB", "HPUB", "SUB", "UNSUB", "PING", "PONG"];

struct Line<'a> {
    verb: String,
    words: Vec<&'a [u8]>,
    /// Everything behind the verb, trimmed.
    text: &'a [u8],
    len: usize,
}

pub fn server_op<'a>(input: &'a [u8], limits: &DecodeLimits) -> Result<Decoded<'a, ServerOp<'a>>, ()> {
    let Some(line) = line(input, limits, &SERVER_VERBS)? else {
        return Ok(Decoded::NeedMore { at_least: input.len() + 1 });
    };
    let op = match (line.verb.as_str(), line.words.as_slice()) {
        ("MSG", [subject, sid, total]) => return message(input, limits, &line, subject, sid, None, None, total),
        ("MSG", [subject, sid, reply, total]) => {
            return message(input, limits, &line, subject, sid, Some(reply), None, total);
        }
        ("HMSG", [subject, sid, header, total]) => {
            return message(input, limits, &line, subject, sid, None, Some(header), total);
        }
        ("HMSG", [subject, sid, reply, header, total]) => {
            return message(input, limits, &line, subject, sid, Some(reply), Some(header), total);
        }
        ("INFO", _) => ServerOp::Info(line.text),
        ("PING", _) => ServerOp::Ping,
        ("PONG", _) => ServerOp::Pong,
        ("+OK", _) => ServerOp::Ok,
        ("-ERR", _) => {
            let text = line.text;
            let quoted = text.len() >= 2 && text.starts_with(b"'") && text.ends_with(b"'");
            ServerOp::Err(if quoted { &text[1..text.len() - 1] } else { text })
        }
        _ => return Err(()),
    };
    Ok(Decoded::Op { op, len: line.len })
}

pub fn client_op<'a>(input: &'a [u8], limits: &DecodeLimits) -> Result<Decoded<'a, ClientOp<'a>>, ()> {
    let Some(line) = line(input, limits, &CLIENT_VERBS)? else {
        return Ok(Decoded::NeedMore { at_least: input.len() + 1 });
    };
    let op = match (line.verb.as_str(), line.words.as_slice()) {
        ("PUB", [subject, total]) => return publication(input, limits, &line, subject, None, None, total),
        ("PUB", [subject, reply, total]) => {
            return publication(input, limits, &line, subject, Some(reply), None, total);
        }
        ("HPUB", [subject, header, total]) => {
            return publication(input, limits, &line, subject, None, Some(header), total);
        }
        ("HPUB", [subject, reply, header, total]) => {
            return publication(input, limits, &line, subject, Some(reply), Some(header), total);
        }
        ("SUB", [subject, sid]) => ClientOp::Sub { subject, queue_group: None, sid },
        ("SUB", [subject, group, sid]) => ClientOp::Sub { subject, queue_group: Some(group), sid },
        ("UNSUB", [sid]) => ClientOp::Unsub { sid, max: None },
        ("UNSUB", [sid, max]) => ClientOp::Unsub { sid, max: Some(number(max)?) },
        ("CONNECT", _) => ClientOp::Connect(line.text),
        ("PING", _) => ClientOp::Ping,
        ("PONG", _) => ClientOp::Pong,
        _ => return Err(()),
    };
    Ok(Decoded::Op { op, len: line.len })
}

#[allow(clippy::too_many_arguments)]
fn message<'a>(
    input: &'a [u8],
    limits: &DecodeLimits,
    line: &Line<'a>,
    subject: &'a [u8],
    sid: &[u8],
    reply_to: Option<&&'a [u8]>,
    header: Option<&&[u8]>,
    total: &[u8],
) -> Result<Decoded<'a, ServerOp<'a>>, ()> {
    let sid = number(sid)?;
    Ok(match body(input, limits, line, header.copied(), total)? {
        Body::Whole(headers, payload, len) => {
            let reply_to = reply_to.copied();
            Decoded::Op { op: ServerOp::Msg(Msg { subject, sid, reply_to, headers, payload }), len }
        }
        Body::NeedMore(at_least) => Decoded::NeedMore { at_least },
        Body::Oversized(skip) => Decoded::Oversized { subject, skip },
    })
}

fn publication<'a>(
    input: &'a [u8],
    limits: &DecodeLimits,
    line: &Line<'a>,
    subject: &'a [u8],
    reply_to: Option<&&'a [u8]>,
    header: Option<&&[u8]>,
    total: &[u8],
) -> Result<Decoded<'a, ClientOp<'a>>, ()> {
    Ok(match body(input, limits, line, header.copied(), total)? {
        Body::Whole(headers, payload, len) => {
            let reply_to = reply_to.copied();
            Decoded::Op { op: ClientOp::Pub { subject, reply_to, headers, payload }, len }
        }
        Body::NeedMore(at_least) => Decoded::NeedMore { at_least },
        Body::Oversized(skip) => Decoded::Oversized { subject, skip },
    })
}

enum Body<'a> {
    Whole(Option<&'a [u8]>, &'a [u8], usize),
    NeedMore(usize),
    Oversized(usize),
}

fn body<'a>(
    input: &'a [u8],
    limits: &DecodeLimits,
    line: &Line<'_>,
    header: Option<&[u8]>,
    total: &[u8],
) -> Result<Body<'a>, ()> {
    let header = header.map(number).transpose()?;
    let total = number(total)?;
    if total > i32::MAX as u64 || header.unwrap_or(0) > total {
        return Err(());
    }
    let total = total as usize;
    let len = line.len + total + 2;
    if total > limits.payload {
        Ok(Body::Oversized(len))
    } else if input.len() < len {
        Ok(Body::NeedMore(len))
    } else if !input[..len].ends_with(b"\r\n") || input[line.len..len].len() < 2 {
        Err(())
    } else {
        let body = &input[line.len..len - 2];
        let header_len = header.unwrap_or(0) as usize;
        Ok(Body::Whole(header.map(|_| &body[..header_len]), &body[header_len..], len))
    }
}

fn line<'a>(input: &'a [u8], limits: &DecodeLimits, verbs: &[&str]) -> Result<Option<Line<'a>>, ()> {
    let end = input.iter().position(|&byte| byte == b'\n');
    let text = &input[..end.unwrap_or(input.len())];
    let mut words: Vec<&[u8]> = text.split(|&byte| is_blank(byte)).collect();
    // Where the line has not ended, the last word may still grow.
    let verb = String::from_utf8_lossy(words.remove(0)).to_uppercase();
    let complete = end.is_some() || text.iter().any(|&byte| is_blank(byte));
    let fits = |known: &&&str| if complete { **known == verb } else { known.starts_with(&verb) };
    if !verbs.iter().any(|known| fits(&known)) {
        return Err(());
    }
    let long = verbs.contains(&"INFO") && "INFO".starts_with(&verb) && (!complete || verb == "INFO");
    let limit = if long { limits.control_line.max(INFO_BYTES_MAX) } else { limits.control_line };
    if text.len() > limit + 1 {
        return Err(());
    }
    let Some(end) = end else { return Ok(None) };
    words.retain(|word| !word.is_empty());
    let verb_len = text.iter().position(|&byte| is_blank(byte)).unwrap_or(text.len());
    Ok(Some(Line { verb, words, text: trim(&text[verb_len..]), len: end + 1 }))
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t' || byte == b'\r'
}

fn trim(text: &[u8]) -> &[u8] {
    let Some(start) = text.iter().position(|&byte| !is_blank(byte)) else { return &[] };
    let end = text.iter().rposition(|&byte| !is_blank(byte)).unwrap();
    &text[start..=end]
}

fn number(word: &[u8]) -> Result<u64, ()> {
    let text = std::str::from_utf8(word).map_err(drop)?;
    if text.is_empty() || !text.chars().all(|digit| digit.is_ascii_digit()) {
        return Err(());
    }
    text.parse().map_err(drop)
}
