//! Decimal numbers as JSON writes them: text in, sign, digits and exponent out.
//!
//! ```text
//!   - 6 3 9 4 3 . 9 e - 2        digits 639439, exponent_10 = -1 - 2
//! ```
//!
//! The digits stay exact as long as they fit (19 of them), so a timestamp in fractional seconds loses no nanosecond;
//! [`Number::to_f64`] is correctly rounded always.

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

impl Number<'_> {
    /// The nearest f64; infinite where the exponent is too large.
    #[inline]
    pub fn to_f64(&self) -> f64 {
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
/// JSON's grammar; leading zeros are let pass, as producers that pad numbers exist.
#[inline]
pub fn decode_number(input: &[u8]) -> Option<(Number<'_>, usize)> {
    let mut at = 0;
    let negative = input.first() == Some(&b'-');
    if negative {
        at = 1;
    }
    let mut digits: u64 = 0;
    let mut exponent_10: i32 = 0;
    let start = at;
    while let Some(digit) = digit_at(input, at) {
        digits = digits.wrapping_mul(10).wrapping_add(digit);
        at += 1;
    }
    let mut digit_count = at - start;
    if digit_count == 0 {
        return None;
    }
    if input.get(at) == Some(&b'.') {
        let fraction = at + 1;
        at = fraction;
        while let Some(digit) = digit_at(input, at) {
            digits = digits.wrapping_mul(10).wrapping_add(digit);
            at += 1;
        }
        if at == fraction {
            return None;
        }
        digit_count += at - fraction;
        exponent_10 = -((at - fraction) as i32);
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

/// A plain decimal of at most seven digits and what ends it, both within nine bytes, as most prices and sizes are:
/// eight bytes at a time. `None` says that it is something else, not that it is wrong.
///
/// ```text
///   6 3 9 4 3 . 9 ,      bytes; the point is at 5
///   6 3 9 4 3 9 , …      without the point: 6 digits, one of them a fraction
/// ```
#[inline(always)]
pub fn decode_short_decimal(input: &[u8]) -> Option<(f64, usize)> {
    let window: &[u8; 9] = input.first_chunk()?;
    let word = u64::from_le_bytes(*window.first_chunk()?);
    let whole_len = first_other(word);
    if whole_len == 0 || whole_len == 8 {
        return None;
    }
    let (digits, len, fraction_len) = if window[whole_len] == b'.' {
        let low = (1u64 << (8 * whole_len)) - 1;
        let rest = u64::from_le_bytes(*window.last_chunk()?);
        let joined = word & low | rest & !low;
        let len = first_other(joined);
        if len == 8 || len == whole_len {
            return None;
        }
        (joined, len, len - whole_len)
    } else {
        (word, whole_len, 0)
    };
    let end = len + usize::from(fraction_len > 0);
    if !matches!(window[end], b',' | b'}' | b']') {
        return None;
    }
    // The digits to the top, zeros below them; then pairs, fours and eights are joined in three multiplications.
    let digits = (digits & 0x0f0f_0f0f_0f0f_0f0f) << (64 - 8 * len);
    let pairs = digits.wrapping_mul(2561) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(6_553_601) >> 16;
    let eights = (fours & 0x0000_ffff_0000_ffff).wrapping_mul(42_949_672_960_001) >> 32;
    Some((eights as f64 / EXACT_POWERS[fraction_len], end))
}

/// Place of the first byte that is no digit; 8 when all are.
#[inline]
fn first_other(word: u64) -> usize {
    const ONE_BITS: u64 = u64::MAX / 255;
    // A digit becomes 0..9; 0x76 more sets the high bit of what is above, without a carry into the next byte.
    let values = word ^ (ONE_BITS * 0x30);
    let others = (((values & (ONE_BITS * 0x7f)) + ONE_BITS * 0x76) | values) & (ONE_BITS * 0x80);
    others.trailing_zeros() as usize / 8
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

    #[test]
    fn agrees_with_the_standard_library() {
        let cases = "0 1 63943.9 0.095 1e5 1E-5 1.5e+3 -2.25 123456789012345678901234567890 0.1234567890123456789012345 \
                     1e22 1e23 1e308 1e309 1e-400 5e-324 9007199254740993 0.000000000000000000000000000001 \
                     100000000000000000000000000.5 1721347022.605624123 179769313486231580793e289 000012.50 -0";
        for text in cases.split_whitespace() {
            let (number, len) = decode_number(text.as_bytes()).expect(text);
            assert_eq!(len, text.len(), "{text}");
            assert_eq!(number.to_f64(), text.parse::<f64>().unwrap(), "{text}");
        }
    }

    #[test]
    fn short_decimals_are_the_same_numbers() {
        let mut seed = 1u64;
        for _ in 0..200_000 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (digits, point) = ((seed >> 40) % 10_000_000, (seed >> 33) % 8);
            let text = format!("{digits}");
            let text = match text.len().checked_sub(point as usize) {
                Some(at) if at > 0 && point > 0 => format!("{}.{}", &text[..at], &text[at..]),
                _ => text,
            };
            for end in [",\"ask\":1", "}       ", "],[1,2]]", " ,       ", "e1,     ", "00000000"] {
                let input = format!("{text}{end}");
                if let Some((value, len)) = decode_short_decimal(input.as_bytes()) {
                    let (number, expected_len) = decode_number(input.as_bytes()).unwrap();
                    assert_eq!((value, len), (number.to_f64(), expected_len), "{input}");
                } else {
                    assert!(end.starts_with([' ', 'e', '0']) || text.len() >= 7, "{input}");
                }
            }
        }
        for other in ["", "1", "-1.5,    ", "1.,      ", ".5,      ", "1..2,    ", "12345678,", "x       "] {
            assert_eq!(decode_short_decimal(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn stops_where_the_number_stops() {
        for (text, len) in [("1,", 1), ("1.5}", 3), ("12 ", 2), ("1e5]", 3), ("-1.0\"", 4)] {
            assert_eq!(decode_number(text.as_bytes()).unwrap().1, len, "{text}");
        }
        for text in ["", "-", ".5", "1.", "1e", "1e+", "x", "+1", "NaN"] {
            assert!(decode_number(text.as_bytes()).is_none(), "{text}");
        }
    }
}
