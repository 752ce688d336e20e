//! Decimal numbers as JSON and other languages write them: text in, sign, digits and exponent out.
//!
//! ```text
//!   - 6 3 9 4 3 . 9 e - 2        digits 639439, exponent_10 = -1 - 2
//! ```
//!
//! The digits stay exact as long as they fit (19 of them), so a timestamp in fractional seconds loses no nanosecond;
//! [`Number::to_f64`] is correctly rounded always.
use crate::engine::input::words::{digits_in, join_digits, window_at, word_at};

/// A decimal number: `digits * 10^exponent_10`, with its text for the rare case that the digits do not fit.
#[derive(Clone, Copy, Debug)]
pub struct Number<'a> {
    text: &'a [u8],
    pub negative: bool,
    pub digits: u64,
    pub exponent_10: i32,
    /// Digits beyond the nineteenth were left out of `digits`.
    pub truncated: bool,
}

/// Powers of ten that an f64 holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Powers of ten that a u64 holds.
pub const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

impl Number<'_> {
    /// The nearest f64; infinite where the exponent is too large.
    #[inline]
    pub fn to_f64(self) -> f64 {
        // Clinger's fast path: both operands exact, so one correctly rounded operation gives the correct result.
        if self.digits <= 1 << 53 && !self.truncated && (-22..=22).contains(&self.exponent_10) {
            let digits = self.digits as f64;
            let magnitude = if self.exponent_10 < 0 {
                digits / EXACT_POWERS[-self.exponent_10 as usize]
            } else {
                digits * EXACT_POWERS[self.exponent_10 as usize]
            };
            return if self.negative { -magnitude } else { magnitude };
        }
        self.to_f64_slow()
    }

    #[cold]
    fn to_f64_slow(self) -> f64 {
        std::str::from_utf8(self.text).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
    }
}

/// The number at the start of `input` and its length in bytes; `None` where there is none.
/// JSON's grammar, and what producers write beyond it: leading zeros, a plus sign, a point without digits on one side.
#[inline]
pub fn decode_number(input: &[u8]) -> Option<(Number<'_>, usize)> {
    let negative = input.first() == Some(&b'-');
    let start = usize::from(negative || input.first() == Some(&b'+'));
    let (mut digits, mut at) = take_digits(input, start, 0);
    let mut digit_count = at - start;
    let mut exponent_10: i32 = 0;
    if input.get(at) == Some(&b'.') {
        let fraction = at + 1;
        (digits, at) = take_digits(input, fraction, digits);
        digit_count += at - fraction;
        exponent_10 = -((at - fraction) as i32);
    }
    if digit_count == 0 {
        return None;
    }
    let mut truncated = false;
    if digit_count > 19 {
        (digits, exponent_10, truncated) = first_nineteen(&input[start..at]);
    }
    if let Some(b'e' | b'E') = input.get(at) {
        let mut exponent_at = at + 1;
        let exponent_negative = input.get(exponent_at) == Some(&b'-');
        if let Some(b'+' | b'-') = input.get(exponent_at) {
            exponent_at += 1;
        }
        let first = exponent_at;
        let mut exponent: i32 = 0;
        while let Some(digit) = digit_at(input, exponent_at) {
            exponent = exponent.saturating_mul(10).saturating_add(digit as i32).min(1_000_000);
            exponent_at += 1;
        }
        if exponent_at == first {
            return None;
        }
        exponent_10 = exponent_10.saturating_add(if exponent_negative { -exponent } else { exponent });
        at = exponent_at;
    }
    Some((Number { text: &input[..at], negative, digits, exponent_10, truncated }, at))
}

/// A plain decimal of at most fourteen digits, seven of them before the point, as nearly all prices and sizes are: its
/// value and where it ends. `None` says that it is something else, not that it is wrong.
///
/// ```text
///   6 3 9 4 3 . 9 ,      bytes; the point is at 5
///   6 3 9 4 3 9 , …      without the point: 6 digits, one of them a fraction
/// ```
#[inline(always)]
pub fn decode_plain_decimal(input: &[u8], at: usize) -> Option<(f64, usize)> {
    let window = window_at(input, at);
    let word = window as u64;
    let whole_len = digits_in(word);
    if whole_len == 0 || whole_len == 8 {
        return None;
    }
    match (word >> (8 * whole_len)) as u8 {
        b'.' => {}
        b'e' | b'E' => return None,
        _ => return Some((join_digits(word, whole_len) as i64 as f64, at + whole_len)),
    }
    let whole = (1u64 << (8 * whole_len)) - 1;
    let joined = word & whole | (window >> 8) as u64 & !whole;
    let len = digits_in(joined);
    if len == whole_len {
        return None;
    }
    let (digits, len) =
        if len < 8 { (join_digits(joined, len), len) } else { join_more(joined, (window >> 72) as u64)? };
    let end = at + len + 1;
    if let Some(b'e' | b'E') = input.get(end) {
        return None;
    }
    // Both are exact, so the quotient is the nearest f64.
    Some((digits as i64 as f64 / EXACT_POWERS[len - whole_len], end))
}

/// The number that the eight digits of `word` and those that `rest` starts with spell, and how many there are; `None`
/// when there may be more than `rest` holds.
#[inline]
fn join_more(word: u64, rest: u64) -> Option<(u64, usize)> {
    let rest_len = digits_in(rest);
    match rest_len {
        0 => Some((join_digits(word, 8), 8)),
        1..7 => Some((join_digits(word, 8) * POWERS[rest_len] + join_digits(rest, rest_len), 8 + rest_len)),
        _ => None,
    }
}

/// Appends the digits from `at` on to `digits`, which wraps around after nineteen; says where they end.
#[inline]
fn take_digits(input: &[u8], mut at: usize, mut digits: u64) -> (u64, usize) {
    loop {
        let word = word_at(input, at);
        let len = digits_in(word);
        if len == 0 {
            return (digits, at);
        }
        digits = digits.wrapping_mul(POWERS[len]).wrapping_add(join_digits(word, len));
        at += len;
        if len < 8 {
            return (digits, at);
        }
    }
}

#[inline]
fn digit_at(input: &[u8], at: usize) -> Option<u64> {
    let digit = input.get(at)?.wrapping_sub(b'0');
    (digit < 10).then_some(digit as u64)
}

/// The first nineteen significant digits of a long number, its exponent, and whether any other digit was left out.
#[cold]
fn first_nineteen(text: &[u8]) -> (u64, i32, bool) {
    let (mut digits, mut taken, mut exponent_10, mut truncated, mut in_fraction) = (0u64, 0, 0i32, false, false);
    for &byte in text {
        if byte == b'.' {
            in_fraction = true;
            continue;
        }
        let digit = (byte - b'0') as u64;
        if taken < 19 {
            digits = digits * 10 + digit;
            taken += usize::from(digits > 0);
            exponent_10 = exponent_10.saturating_sub(in_fraction as i32);
        } else {
            truncated |= digit != 0;
            exponent_10 = exponent_10.saturating_add(!in_fraction as i32);
        }
    }
    (digits, exponent_10, truncated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::random::Random;

    #[test]
    fn agrees_with_the_standard_library() {
        let cases = "0 1 63943.9 0.095 1e5 1E-5 1.5e+3 -2.25 123456789012345678901234567890 0.1234567890123456789012345 \
                     1e22 1e23 1e308 1e309 1e-400 5e-324 9007199254740993 0.000000000000000000000000000001 \
                     100000000000000000000000000.5 1721347022.605624123 179769313486231580793e289 000012.50 -0 \
                     .5 -.5 +.5 1. 1.e5 -1.E-5 +1 +0 0100.5 +12345678901234567890123. .1234567890123456789012345";
        for text in cases.split_whitespace() {
            let (number, len) = decode_number(text.as_bytes()).expect(text);
            assert_eq!(len, text.len(), "{text}");
            assert_eq!(number.to_f64(), text.parse::<f64>().unwrap(), "{text}");
        }
    }

    #[test]
    fn plain_decimals_are_the_same_numbers() {
        let mut random = Random::new(1);
        for _ in 0..300_000 {
            let (digits, len, point) = (random.draw() >> 8, 1 + random.below(18) as usize, random.below(18) as usize);
            let mut text = format!("{digits:020}")[..len].to_owned();
            if (1..len).contains(&point) {
                text.insert(point, '.');
            }
            let is_plain = text.find('.').unwrap_or(len) < 8 && len < 15;
            for (end, may_follow) in [("", true), (",\"ask\":1", true), (" , ", true), ("\"", true), ("e1,", false)] {
                let input = format!("x{text}{end}");
                let expected = (is_plain && may_follow).then(|| (text.parse::<f64>().unwrap(), 1 + text.len()));
                assert_eq!(decode_plain_decimal(input.as_bytes(), 1), expected, "{input}");
                let (number, len) = decode_number(&input.as_bytes()[1..]).unwrap();
                let whole = if may_follow { text.clone() } else { format!("{text}e1") };
                assert_eq!((number.to_f64(), len), (whole.parse::<f64>().unwrap(), whole.len()), "{input}");
            }
        }
        for other in ["", "-1.5", "1.", ".5", "1..2", "x", "\u{ff}1", "1.e5"] {
            assert_eq!(decode_plain_decimal(other.as_bytes(), 0), None, "{other}");
        }
    }

    #[test]
    fn stops_where_the_number_stops() {
        for (text, len) in [("1,", 1), ("1.5}", 3), ("12 ", 2), ("1e5]", 3), ("-1.0\"", 4)] {
            assert_eq!(decode_number(text.as_bytes()).unwrap().1, len, "{text}");
        }
        for text in ["", "-", "+", ".", "-.", "+.e1", "1e", "1e+", ".5e", "x", "++1", "+-1", "--1", "NaN", "inf", "e5"]
        {
            assert!(decode_number(text.as_bytes()).is_none(), "{text}");
        }
    }

    /// Every text of up to six of a number's characters: a number where the standard library reads one, to the same value;
    /// and its beginning where the text goes on.
    #[test]
    fn every_short_text_and_every_cut() {
        let characters = b"05.+-e";
        for count in 1..=6u32 {
            for mut number in 0..characters.len().pow(count) {
                let mut text = Vec::new();
                for _ in 0..count {
                    text.push(characters[number % characters.len()]);
                    number /= characters.len();
                }
                let text = std::str::from_utf8(&text).unwrap();
                // The longest beginning that is one; `1e` is none, as nothing may follow a number but its end.
                let expected: Option<f64> = text.parse().ok();
                match decode_number(text.as_bytes()) {
                    Some((number, len)) => {
                        let read = text[..len].parse::<f64>().ok();
                        assert_eq!(Some(number.to_f64().to_bits()), read.map(f64::to_bits), "{text}");
                        assert!(expected.is_none() || len == text.len(), "{text}");
                    }
                    None => assert_eq!(expected, None, "{text}"),
                }
            }
        }
    }
}
