//! The reply subject of a message that a consumer delivers. It says where the message stands, so its header needs no look.
//!
//! ```text
//!   $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<stored ns>.<pending>                     9 tokens
//!   $JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>. … .<pending>                                     11 tokens
//!   $JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>. … .<pending>.<random>                      12 and more
//! ```
//!
//! Source: ADR-15. With 9 or 11 tokens this is the same as counting from the right; a later server may add some there.

use memchr::memchr_iter;

/// See the head of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The stream's name.
    pub stream: &'a [u8],
    /// The consumer's name.
    pub consumer: &'a [u8],
    /// How often this message was delivered: 1, as nothing is delivered twice without acknowledgements.
    pub delivered: u64,
    /// Where it stands in the stream, from 1.
    pub stream_sequence: u64,
    /// Its number among the messages that this consumer has delivered, from 1.
    pub consumer_sequence: u64,
    /// When the stream stored it, in Unix ns.
    pub stored_ns: u64,
    /// What the consumer had still to deliver behind it.
    pub pending: u64,
}

/// Of the longest known form; more is the server's business.
const TOKENS_MAX: usize = 12;

impl<'a> Ack<'a> {
    /// `None`: that is no acknowledgement subject.
    #[inline]
    pub fn parse(subject: &'a [u8]) -> Option<Ack<'a>> {
        let text = subject.strip_prefix(b"$JS.ACK.")?;
        let mut ends = [0; TOKENS_MAX];
        let mut count = 0;
        for dot in memchr_iter(b'.', text).chain([text.len()]).take(TOKENS_MAX) {
            ends[count] = dot;
            count += 1;
        }
        // Without the first two.
        let first = match count {
            7 => 0,
            9.. => 2,
            _ => return None,
        };
        let token = |index: usize| {
            let start = if first + index == 0 { 0 } else { ends[first + index - 1] + 1 };
            &text[start..ends[first + index]]
        };
        let (stream, consumer) = (token(0), token(1));
        if stream.is_empty() || consumer.is_empty() {
            return None;
        }
        Some(Ack {
            stream,
            consumer,
            delivered: number(token(2))?,
            stream_sequence: number(token(3))?,
            consumer_sequence: number(token(4))?,
            stored_ns: number(token(5))?,
            pending: number(token(6))?,
        })
    }
}

/// Digits only, and no more than a `u64` holds.
#[inline]
fn number(token: &[u8]) -> Option<u64> {
    if token.is_empty() || token.len() > 20 {
        return None;
    }
    token.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { value.checked_mul(10)?.checked_add(u64::from(digit)) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: Ack<'static> = Ack {
        stream: b"MD",
        consumer: b"c-1",
        delivered: 1,
        stream_sequence: 5,
        consumer_sequence: 2,
        stored_ns: 1_795_992_563_049_841_272,
        pending: 30,
    };

    /// What may come of a text cut short: nothing, or the same with less of the last number.
    fn check(subject: &str, expected: Option<Ack<'_>>) {
        assert_eq!(Ack::parse(subject.as_bytes()), expected, "{subject}");
        for cut in 0..subject.len() {
            if let Some(shorter) = Ack::parse(&subject.as_bytes()[..cut])
                && let Some(expected) = expected
                && subject[..cut].split('.').count() == subject.split('.').count()
            {
                assert_eq!(Ack { pending: expected.pending, ..shorter }, expected, "{subject} cut at {cut}");
            }
        }
    }

    #[test]
    fn subjects() {
        check("$JS.ACK.MD.c-1.1.5.2.1795992563049841272.30", Some(ACK));
        check("$JS.ACK.hub.ACCOUNT.MD.c-1.1.5.2.1795992563049841272.30", Some(ACK));
        check("$JS.ACK._.ACCOUNT.MD.c-1.1.5.2.1795992563049841272.30.x7", Some(ACK));
        check("$JS.ACK._.ACCOUNT.MD.c-1.1.5.2.1795992563049841272.30.x7.and.more", Some(ACK));
        check(
            "$JS.ACK.MD.c-1.1.18446744073709551615.18446744073709551615.18446744073709551615.18446744073709551615",
            Some(Ack {
                stream_sequence: u64::MAX,
                consumer_sequence: u64::MAX,
                stored_ns: u64::MAX,
                pending: u64::MAX,
                ..ACK
            }),
        );
        for bad in [
            "",
            "$JS.ACK",
            "$JS.ACK.",
            "$JS.ACK.MD.c-1.1.5.2.1795992563049841272",
            "$JS.ACK.hub.MD.c-1.1.5.2.1795992563049841272.30",
            "$js.ack.MD.c-1.1.5.2.1795992563049841272.30",
            "$JS.API.MD.c-1.1.5.2.1795992563049841272.30",
            "$JS.ACK.MD.c-1.1.5.2.1795992563049841272.",
            "$JS.ACK..c-1.1.5.2.1795992563049841272.30",
            "$JS.ACK.MD..1.5.2.1795992563049841272.30",
            "$JS.ACK.MD.c-1.1.-5.2.1795992563049841272.30",
            "$JS.ACK.MD.c-1.1.+5.2.1795992563049841272.30",
            "$JS.ACK.MD.c-1.1.5.2.1795992563049841272.30x",
            "$JS.ACK.MD.c-1.1.18446744073709551616.2.1795992563049841272.30",
            "$JS.ACK.MD.c-1.1.00000000000000000000005.2.1795992563049841272.30",
            "$JS.ACK.........",
        ] {
            check(bad, None);
        }
    }
}
