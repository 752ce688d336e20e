//! Eight bytes at a time: a word holds the byte that stands first in its lowest eight bits.

/// 0x01 in every byte.
pub(super) const ONE_BITS: u64 = u64::MAX / 255;
/// 0x80 in every byte.
pub(super) const HIGH_BITS: u64 = ONE_BITS << 7;

/// The sixteen bytes from `at` on, the first one lowest; zeros stand for those beyond the end.
#[inline(always)]
pub(super) fn window_at(input: &[u8], at: usize) -> u128 {
    match input.get(at..at.wrapping_add(16)) {
        Some(bytes) => u128::from_le_bytes(*bytes.first_chunk().expect("sixteen bytes")),
        None => last_window_at(input, at),
    }
}

/// As [`window_at`], near the end.
#[inline]
fn last_window_at(input: &[u8], at: usize) -> u128 {
    let beyond = at.wrapping_add(16).wrapping_sub(input.len());
    match input.last_chunk() {
        Some(bytes) if beyond < 16 => u128::from_le_bytes(*bytes) >> (8 * beyond),
        _ => word_at(input, at) as u128 | (word_at(input, at.wrapping_add(8)) as u128) << 64,
    }
}

/// The eight bytes from `at` on, the first one lowest; zeros stand for those beyond the end.
#[inline(always)]
pub fn word_at(input: &[u8], at: usize) -> u64 {
    match input.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => last_word_at(input, at),
    }
}

#[inline]
fn last_word_at(input: &[u8], at: usize) -> u64 {
    let beyond = at.wrapping_add(8).wrapping_sub(input.len());
    match input.last_chunk() {
        Some(bytes) if beyond < 8 => u64::from_le_bytes(*bytes) >> (8 * beyond),
        _ => input.iter().skip(at).rev().fold(0, |word, byte| word << 8 | *byte as u64),
    }
}

/// Whether `byte` is among the bytes: as quick for eight to sixteen of them as for one.
#[inline]
pub fn has_byte(input: &[u8], byte: u8) -> bool {
    let is_in = |bytes: &[u8; 8]| {
        let others = u64::from_le_bytes(*bytes) ^ (ONE_BITS * byte as u64);
        others.wrapping_sub(ONE_BITS) & !others & HIGH_BITS != 0
    };
    match (input.first_chunk(), input.last_chunk()) {
        (Some(first), Some(last)) if input.len() <= 16 => is_in(first) || is_in(last),
        _ => input.contains(&byte),
    }
}

/// How many digits the word starts with; 8 when it is all digits.
#[inline(always)]
pub fn digits_in(word: u64) -> usize {
    // A digit becomes 0..9; 0x76 more sets the high bit of what is above. What is carried into the next byte changes
    // only bytes behind the first that is no digit.
    let values = word ^ (ONE_BITS * 0x30);
    let others = (values.wrapping_add(ONE_BITS * 0x76) | values) & HIGH_BITS;
    others.trailing_zeros() as usize / 8
}

/// The number that the word's first `len` bytes spell: 1 to 8 digits.
#[inline(always)]
pub fn join_digits(word: u64, len: usize) -> u64 {
    // The digits to the top, zeros below them; then pairs, fours and eights are joined in three multiplications.
    let digits = (word & 0x0f0f_0f0f_0f0f_0f0f).wrapping_shl(64 - 8 * len as u32);
    let pairs = digits.wrapping_mul(2561) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(6_553_601) >> 16;
    (fours & 0x0000_ffff_0000_ffff).wrapping_mul(42_949_672_960_001) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_wherever_it_stands() {
        for len in 0..40 {
            let mut input = vec![b'\\' + 1; len];
            input.iter_mut().step_by(3).for_each(|byte| *byte = b'\\' | 0x80);
            assert!(!has_byte(&input, b'\\'), "{len}");
            for place in 0..len {
                let before = std::mem::replace(&mut input[place], b'\\');
                assert!(has_byte(&input, b'\\'), "{place} of {len}");
                input[place] = before;
            }
        }
    }
}
