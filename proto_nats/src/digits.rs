//! Digits, eight at a time: a word of text is a number after a few multiplications, without a loop.

/// Powers of ten.
pub const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
/// Each byte 1.
const ONES: u64 = u64::MAX / 255;
/// Each byte `0`.
pub const ZEROS: u64 = ONES * b'0' as u64;

/// The digits that eight bytes begin with: their value, and how many they are.
#[inline]
pub fn digits_of_eight(text: [u8; 8]) -> (u64, usize) {
    let digits = u64::from_le_bytes(text) ^ ZEROS;
    let count = not_digits(digits).trailing_zeros() / 8;
    // What is not theirs is shifted out, and zeros stand before them.
    let digits = digits.checked_shl(64 - 8 * count).unwrap_or(0);
    (value_of(digits), count as usize)
}

/// A bit for each byte that is more than 9. The lowest is right; above it, sums may carry.
#[inline]
pub fn not_digits(digits: u64) -> u64 {
    (digits | digits.wrapping_add(ONES * 0x76)) & (ONES << 7)
}

/// Of eight digits, the first in the lowest byte: by halves (four pairs, two fours, one number).
#[inline]
pub fn value_of(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
