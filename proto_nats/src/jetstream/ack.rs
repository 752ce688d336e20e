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

use crate::digits::{TENS, ZEROS, digits_of_eight, not_digits, value_of};

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

/// Where a message stands, by its acknowledgement subject: see [`Ack`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub stream_sequence: u64,
    pub consumer_sequence: u64,
    pub stored_ns: u64,
    pub pending: u64,
}

impl Ack<'_> {
    fn standing(&self) -> Standing {
        let Ack { stream_sequence, consumer_sequence, stored_ns, pending, .. } = *self;
        Standing { stream_sequence, consumer_sequence, stored_ns, pending }
    }
}

/// A longer start is not remembered: a stream's and a consumer's name of 255 bytes each, and some.
const START_BYTES_MAX: usize = 640;
/// What changes of a time within 100 ms, and the digits before that, which all times from 2001 to 2286 have.
const LATE_DIGITS: usize = 8;
const EARLY_DIGITS: usize = 11;

/// What the acknowledgement subjects of one consumer begin with, up to the count of deliveries, which is always the same where
/// nothing is acknowledged; and how the time began of the last one that was read whole. Where both are known, only the
/// other digits are read.
#[derive(Debug, Default)]
pub(crate) struct AckStart {
    bytes: Vec<u8>,
    early: [u8; EARLY_DIGITS],
    early_ns: u64,
}

impl AckStart {
    /// The same as [`Ack::parse`]; `None` as well where it is not of this consumer.
    #[inline]
    pub fn parse(&mut self, subject: &[u8], consumer: &[u8]) -> Option<Standing> {
        self.parse_known(subject).or_else(|| self.learn(subject, consumer))
    }

    /// `None`: it begins otherwise, or is written otherwise.
    #[inline]
    fn parse_known(&self, subject: &[u8]) -> Option<Standing> {
        if self.bytes.is_empty() {
            return None;
        }
        let rest = subject.strip_prefix(self.bytes.as_slice())?;
        let (stream_sequence, rest) = number_and_dot(rest)?;
        let (consumer_sequence, rest) = number_and_dot(rest)?;
        let (early, rest) = rest.split_first_chunk()?;
        let (late, rest) = rest.split_first_chunk()?;
        let (late_ns, LATE_DIGITS) = digits_of_eight(*late) else { return None };
        if *early != self.early {
            return None;
        }
        let pending = last_number(subject, rest.strip_prefix(b".")?.len())?;
        Some(Standing { stream_sequence, consumer_sequence, stored_ns: self.early_ns + late_ns, pending })
    }

    #[cold]
    fn learn(&mut self, subject: &[u8], consumer: &[u8]) -> Option<Standing> {
        let ack = Ack::parse(subject).filter(|ack| ack.consumer == consumer)?;
        // All is behind the consumer's name, which is a part of the subject.
        let consumer_end = ack.consumer.as_ptr_range().end as usize - subject.as_ptr() as usize;
        let mut dots = memchr_iter(b'.', subject).skip_while(|dot| *dot < consumer_end);
        let start_end = dots.nth(1)? + 1;
        let stored_at = dots.nth(1)? + 1;
        self.bytes.clear();
        let stored = subject[stored_at..].split(|byte| *byte == b'.').next()?;
        if start_end <= START_BYTES_MAX && stored.len() == EARLY_DIGITS + LATE_DIGITS {
            self.bytes.extend_from_slice(&subject[..start_end]);
            self.early.copy_from_slice(&stored[..EARLY_DIGITS]);
            self.early_ns = ack.stored_ns - ack.stored_ns % TENS[LATE_DIGITS];
        }
        Some(ack.standing())
    }
}

/// One to sixteen digits and the dot behind them: their value, and what follows. `None`: it is written otherwise.
#[inline]
fn number_and_dot(text: &[u8]) -> Option<(u64, &[u8])> {
    let (mut value, mut count) = digits_of_eight(*text.first_chunk()?);
    if count == 8 {
        let (low, low_count) = digits_of_eight(*text[8..].first_chunk()?);
        (value, count) = (value * TENS[low_count] + low, 8 + low_count);
    }
    (count > 0 && text.get(count) == Some(&b'.')).then(|| (value, &text[count + 1..]))
}

/// The last one to eight bytes of a text that has eight, if they are digits.
#[inline]
fn last_number(text: &[u8], count: usize) -> Option<u64> {
    // What stands before them is taken for zeros.
    let others = 8_usize.checked_sub(count).filter(|others| *others < 8)?;
    let digits = (u64::from_le_bytes(*text.last_chunk()?) ^ ZEROS) & (u64::MAX << (8 * others));
    (not_digits(digits) == 0).then(|| value_of(digits))
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

    fn standing(subject: &[u8], consumer: &str) -> Option<Standing> {
        Some(Ack::parse(subject).filter(|ack| ack.consumer == consumer.as_bytes())?.standing())
    }

    /// What may come of a text cut short: nothing, or the same with less of the last number.
    fn check(subject: &str, expected: Option<Ack<'_>>) {
        assert_eq!(Ack::parse(subject.as_bytes()), expected, "{subject}");
        // Whatever came before it, what is remembered changes nothing.
        for before in [
            "$JS.ACK.MD.c-1.1.5.2.3.4",
            "$JS.ACK.MD.c-1.1.5.2.1795992563049841272.4",
            "$JS.ACK.MD.c-1.1.5.2.1795992563149841272.4",
            "$JS.ACK.hub.ACCOUNT.MD.c-1.1.5.2.1795992563049841272.4",
            "$JS.ACK.M.c.1.5.2.1795992563049841272.4",
            subject,
        ] {
            for consumer in ["c-1", "c"] {
                let mut start = AckStart::default();
                assert_eq!(start.parse(before.as_bytes(), consumer.as_bytes()), standing(before.as_bytes(), consumer));
                for cut in (0..=subject.len()).rev() {
                    let cut = &subject.as_bytes()[..cut];
                    let found = start.parse(cut, consumer.as_bytes());
                    assert_eq!(found, standing(cut, consumer), "{} behind {before}", cut.escape_ascii());
                }
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

    /// What is known is not read again.
    #[test]
    fn what_a_consumer_begins_with_is_remembered() {
        let mut start = AckStart::default();
        for subject in
            ["$JS.ACK.MD.c-1.1.5.2.1795992563049841272.30", "$JS.ACK.hub.ACCOUNT.MD.c-1.1.5.2.1795992563049841272.30"]
        {
            assert_eq!(start.parse_known(subject.as_bytes()), None);
            assert_eq!(start.parse(subject.as_bytes(), b"c-1"), Some(ACK.standing()));
            assert_eq!(start.parse_known(subject.as_bytes()), Some(ACK.standing()));
        }
        // Of another consumer nothing is remembered.
        let mut start = AckStart::default();
        let subject = b"$JS.ACK.MD.c-1.1.5.2.1795992563049841272.30";
        assert_eq!((start.parse(subject, b"c-2"), start.parse_known(subject)), (None, None));
        let long = format!("$JS.ACK.{}.c-1.1.5.2.1795992563049841272.4", "x".repeat(START_BYTES_MAX));
        assert!(start.parse(long.as_bytes(), b"c-1").is_some() && start.parse_known(long.as_bytes()).is_none());
    }

    /// Numbers of every length, read as what is known and whole.
    #[test]
    fn numbers_of_every_length() {
        let numbers = (0..20).map(|len| 9_999_999_999_999_999_999_u64 / 10_u64.pow(len)).chain([0, 1_000, 10_000_000]);
        let numbers: Vec<u64> = numbers.collect();
        let mut start = AckStart::default();
        for (index, number) in numbers.iter().enumerate() {
            for other in &numbers {
                for zeros in ["", "0", "0000000"] {
                    let stored = 1_795_992_563_000_000_000 + index as u64 * 30_000_000;
                    let subject = format!("$JS.ACK.MD.c-1.1.{zeros}{number}.{other}.{stored}.{zeros}{number}");
                    assert_eq!(
                        start.parse(subject.as_bytes(), b"c-1"),
                        standing(subject.as_bytes(), "c-1"),
                        "{subject}"
                    );
                }
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
