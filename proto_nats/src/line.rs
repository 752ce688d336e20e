//! Control lines: where they end, which tokens they have, which numbers those spell.
//!
//! ```text
//!   MSG   md.events.quote.BTCUSDT   1   230  CR LF
//!   └──────────────── text ─────────────────┘   └─ the line ends at LF; CR counts as white space
//! ```
//!
//! Reading is lenient: tokens are separated by any run of spaces, tabs and CRs, so a token never contains one of those
//! nor an LF, which is what [`encode`](crate::encode) asserts of the tokens it is given.

use crate::error::Malformed;
use memchr::{memchr, memchr3};

/// The longest message whose length is believed. nats-server keeps `max_payload` in an `int32`.
pub(crate) const FRAME_BYTES_MAX: usize = i32::MAX as usize;

/// The line at the start of `input`: its text without LF, and its length with it. `None`: it has no end yet.
#[inline]
pub(crate) fn split_line(input: &[u8], limit_bytes: usize) -> Result<Option<(&[u8], usize)>, Malformed> {
    // CR and LF don't count towards the limit.
    let window = &input[..input.len().min(limit_bytes.saturating_add(2))];
    match memchr(b'\n', window) {
        Some(end) => Ok(Some((&window[..end], end + 1))),
        None if input.len() <= limit_bytes.saturating_add(1) => Ok(None),
        None => Err(Malformed::ControlLineTooLong { limit_bytes }),
    }
}

#[inline]
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// `text` without the white space around it.
#[inline]
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_blank(*last)
    {
        text = rest;
    }
    text
}

/// Takes the next token off the front of `text`.
#[inline]
pub(crate) fn next_token<'a>(text: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut rest = *text;
    while let [first, tail @ ..] = rest
        && is_blank(*first)
    {
        rest = tail;
    }
    let end = memchr3(b' ', b'\t', b'\r', rest).unwrap_or(rest.len());
    let (token, rest) = rest.split_at(end);
    *text = rest;
    (!token.is_empty()).then_some(token)
}

/// Up to `N` tokens of `text`; more of them, or fewer than `at_least`, are refused.
#[inline]
pub(crate) fn tokens<'a, const N: usize>(
    mut text: &'a [u8],
    at_least: usize,
    operation: &'static str,
) -> Result<([&'a [u8]; N], usize), Malformed> {
    let mut found = [&text[..0]; N];
    let mut count = 0;
    while let Some(token) = next_token(&mut text) {
        if count == N {
            return Err(Malformed::ArgumentCount { operation });
        }
        found[count] = token;
        count += 1;
    }
    if count < at_least {
        return Err(Malformed::ArgumentCount { operation });
    }
    Ok((found, count))
}

/// A decimal number: digits only, no sign, leading zeros allowed.
#[inline]
pub(crate) fn number(token: &[u8], argument: &'static str) -> Result<u64, Malformed> {
    if token.is_empty() {
        return Err(Malformed::Number { argument });
    }
    let mut value: u64 = 0;
    for &byte in token {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(Malformed::Number { argument });
        }
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(u64::from(digit)))
            .ok_or(Malformed::Number { argument })?;
    }
    Ok(value)
}

/// A length in bytes, at most [`FRAME_BYTES_MAX`].
#[inline]
pub(crate) fn length(token: &[u8], argument: &'static str) -> Result<usize, Malformed> {
    match number(token, argument)? {
        value if value <= FRAME_BYTES_MAX as u64 => Ok(value as usize),
        _ => Err(Malformed::Number { argument }),
    }
}

/// The arguments if `text` is `verb` in any case, followed by white space or nothing.
#[inline]
pub(crate) fn after_verb<'a>(text: &'a [u8], verb: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(verb.len())?;
    (head.eq_ignore_ascii_case(verb) && rest.first().is_none_or(|&byte| is_blank(byte))).then_some(rest)
}

/// Whether an unfinished line can still become one that starts with `verb`.
pub(crate) fn may_become(partial: &[u8], verb: &[u8]) -> bool {
    let seen = partial.len().min(verb.len());
    partial[..seen].eq_ignore_ascii_case(&verb[..seen]) && partial.get(verb.len()).is_none_or(|&byte| is_blank(byte))
}

/// What a frame with a payload looks like once its control line is read.
///
/// ```text
///   ├─ head_len ─┤├──────── total ───────┤
///   HMSG a 1 12 17 CR LF  header  payload  CR LF
///                        ├ header ┤
/// ```
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    pub head_len: usize,
    pub header: usize,
    pub total: usize,
}

pub(crate) enum Body<'a> {
    Whole { header: &'a [u8], payload: &'a [u8], len: usize },
    NeedMore { at_least: usize },
    Oversized { skip: usize },
}

impl Extent {
    /// Checks `header <= total <= limit`, in that order, before a byte of the body is looked at.
    #[inline]
    pub(crate) fn body(self, input: &[u8], payload_limit: usize) -> Result<Body<'_>, Malformed> {
        let Extent { head_len, header, total } = self;
        if header > total {
            return Err(Malformed::HeaderBeyondTotal { header_bytes: header, total_bytes: total });
        }
        // Can't overflow: `total` is at most FRAME_BYTES_MAX and the head lies in memory.
        let len = head_len + total + 2;
        if total > payload_limit {
            return Ok(Body::Oversized { skip: len });
        }
        let Some(frame) = input.get(..len) else {
            return Ok(Body::NeedMore { at_least: len });
        };
        let (body, end) = frame[head_len..].split_at(total);
        if end != b"\r\n" {
            return Err(Malformed::PayloadNotTerminated);
        }
        let (header, payload) = body.split_at(header);
        Ok(Body::Whole { header, payload, len })
    }
}
