//! The reply subject of a message that a consumer delivers. It says where the message stands, so its header needs no look.
//!
//! ```text
//!   $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<stored ns>.<pending>                     9 tokens
//!   $JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>. … .<pending>                                     11 tokens
//!   $JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>. … .<pending>.<random>                      12 and more
//! ```
//!
//! Source: ADR-15. With 9 or 11 tokens this is the same as counting from the right; a later server may add some there.

use std::ops::Range;

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

/// A longer start is not remembered: a stream's and a consumer's name of 255 bytes each, and some.
const START_BYTES_MAX: usize = 640;

/// What the acknowledgement subjects of a consumer begin with, up to the count of deliveries, which is always the same where
/// nothing is acknowledged: where that is known, only the numbers behind it are read.
#[derive(Debug)]
pub(crate) struct AckStart {
    bytes: Vec<u8>,
    stream: Range<usize>,
    consumer: Range<usize>,
    delivered: u64,
}

impl AckStart {
    /// Nothing is known yet; what is learned takes no more memory.
    pub fn new() -> AckStart {
        AckStart { bytes: Vec::with_capacity(START_BYTES_MAX), stream: 0..0, consumer: 0..0, delivered: 0 }
    }

    /// The same as [`Ack::parse`].
    #[inline]
    pub fn parse<'a>(&mut self, subject: &'a [u8]) -> Option<Ack<'a>> {
        self.parse_known(subject).or_else(|| self.learn(subject))
    }

    /// `None`: it begins otherwise, or is written otherwise.
    #[inline]
    fn parse_known<'a>(&self, subject: &'a [u8]) -> Option<Ack<'a>> {
        let mut rest = subject.strip_prefix(self.bytes.as_slice())?;
        let mut next = || {
            let (number, len) = leading_number(rest)?;
            rest = rest[len..].strip_prefix(b".")?;
            Some(number)
        };
        let (stream_sequence, consumer_sequence, stored_ns) = (next()?, next()?, next()?);
        let (pending, len) = leading_number(rest)?;
        let (stream, consumer) = (&subject[self.stream.clone()], &subject[self.consumer.clone()]);
        let delivered = self.delivered;
        let ack = Ack { stream, consumer, delivered, stream_sequence, consumer_sequence, stored_ns, pending };
        (len == rest.len() && !self.bytes.is_empty()).then_some(ack)
    }

    #[cold]
    fn learn<'a>(&mut self, subject: &'a [u8]) -> Option<Ack<'a>> {
        let ack = Ack::parse(subject)?;
        let place = |part: &[u8]| {
            let start = part.as_ptr() as usize - subject.as_ptr() as usize;
            start..start + part.len()
        };
        let (stream, consumer) = (place(ack.stream), place(ack.consumer));
        let numbers = &subject[consumer.end + 1..];
        let len = numbers.iter().position(|byte| *byte == b'.').map_or(0, |end| consumer.end + 1 + end + 1);
        if (1..=START_BYTES_MAX).contains(&len) {
            self.bytes.clear();
            self.bytes.extend_from_slice(&subject[..len]);
            (self.stream, self.consumer, self.delivered) = (stream, consumer, ack.delivered);
        }
        Some(ack)
    }
}

/// One to nineteen digits, which a `u64` holds in any case, and how many they are. No digit follows them.
#[inline]
fn leading_number(text: &[u8]) -> Option<(u64, usize)> {
    const DIGITS_MAX: usize = 19;
    let (mut value, mut len) = (0_u64, 0);
    while let Some(chunk) = text.get(len..).and_then(<[u8]>::first_chunk) {
        let (number, count) = digits_of_eight(*chunk);
        if len + count > DIGITS_MAX {
            return None;
        }
        value = value * TENS[count] + number;
        len += count;
        if count < 8 {
            return (len > 0).then_some((value, len));
        }
    }
    while let Some(digit) = text.get(len).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
        if len == DIGITS_MAX {
            return None;
        }
        value = value * 10 + u64::from(digit);
        len += 1;
    }
    (len > 0).then_some((value, len))
}

const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The digits that eight bytes begin with: their value, by halves (four pairs, two fours, one number), and how many they are.
#[inline]
fn digits_of_eight(text: [u8; 8]) -> (u64, usize) {
    const ONES: u64 = u64::MAX / 255;
    let digits = u64::from_le_bytes(text) ^ (ONES * 0x30);
    // The lowest bit set is that of the first byte that is more than 9; above it, sums may carry.
    let others = (digits | digits.wrapping_add(ONES * 0x76)) & (ONES << 7);
    let count = others.trailing_zeros() as usize / 8;
    // What is not theirs is shifted out, and zeros stand before them. The first digit stands in the lowest byte.
    let digits = digits.checked_shl(64 - 8 * count as u32).unwrap_or(0);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff, count)
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
        // Whatever came before it, what is remembered changes nothing.
        for before in
            ["$JS.ACK.MD.c-1.1.5.2.3.4", "$JS.ACK.hub.ACCOUNT.MD.c-1.1.5.2.3.4", "$JS.ACK.M.c.1.5.2.3.4", subject]
        {
            let mut start = AckStart::new();
            assert_eq!(start.parse(before.as_bytes()), Ack::parse(before.as_bytes()));
            for cut in (0..=subject.len()).rev() {
                let cut = &subject.as_bytes()[..cut];
                assert_eq!(start.parse(cut), Ack::parse(cut), "{} behind {before}", cut.escape_ascii());
            }
        }
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
    fn digits_eight_at_a_time_are_what_they_are_one_by_one() {
        for text in
            [*b"00000000", *b"99999999", *b"12345678", *b"87654321", *b"17959925", *b"1.2.3.45", *b"\xff1.\x80234a"]
        {
            for at in 0..8 {
                for byte in 0..=u8::MAX {
                    let mut text = text;
                    text[at] = byte;
                    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    let value = text[..count].iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
                    assert_eq!(digits_of_eight(text), (value, count), "{}", text.escape_ascii());
                }
            }
        }
    }

    /// What is known is not read again, and no more memory is taken.
    #[test]
    fn what_a_consumer_begins_with_is_remembered() {
        let mut start = AckStart::new();
        let place = start.bytes.as_ptr();
        for subject in
            ["$JS.ACK.MD.c-1.1.5.2.1795992563049841272.30", "$JS.ACK.hub.ACCOUNT.MD.c-1.1.5.2.1795992563049841272.30"]
        {
            assert_eq!(start.parse_known(subject.as_bytes()), None);
            assert_eq!(start.parse(subject.as_bytes()), Some(ACK));
            assert_eq!(start.parse_known(subject.as_bytes()), Some(ACK));
        }
        let long = format!("$JS.ACK.{}.c-1.1.5.2.3.4", "x".repeat(START_BYTES_MAX));
        assert!(start.parse(long.as_bytes()).is_some() && start.parse_known(long.as_bytes()).is_none());
        assert_eq!(start.bytes.as_ptr(), place);
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
