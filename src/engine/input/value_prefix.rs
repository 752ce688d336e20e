//! The bytes before a value, remembered to be compared with the next payload.

use crate::engine::input::words::window_at;

/// What stood before a value in an earlier message (punctuation, white space, the key in its quotes, the colon), in the
/// form in which it is compared: two words under a mask; of a long one also the last two, and those in the middle.
///
/// ```text
///   {"bid":  63943.9  ,"ask":  63944  }
///   └─────┘           └─────┘         ┘
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ValuePrefix {
    text: u128,
    mask: u128,
    /// Of one that is longer than sixteen bytes the last sixteen, which may overlap the first.
    last: u128,
    /// Of one that is longer than 32 bytes the seventeenth byte and the fifteen behind it.
    middle: u128,
    pub(super) len: u8,
}

impl ValuePrefix {
    /// A key of 40 bytes with its punctuation, and a few blanks.
    const BYTES_MAX: usize = 48;

    /// What no JSON text can match.
    pub const NONE: ValuePrefix = ValuePrefix { text: u128::MAX, mask: u128::MAX, last: 0, middle: 0, len: 0 };

    /// `None` for one that is too long to be remembered, or not ASCII: that must be seen by the check of UTF-8 each time.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let len = bytes.len();
        if !(1..=Self::BYTES_MAX).contains(&len) || !bytes.is_ascii() {
            return None;
        }
        let mask = u128::MAX >> (8 * 16usize.saturating_sub(len));
        let (text, middle) = (window_at(bytes, 0), window_at(bytes, 16));
        Some(ValuePrefix { text, mask, last: window_at(bytes, len.saturating_sub(16)), middle, len: len as u8 })
    }

    /// Whether `input` has it at `at`.
    #[inline(always)]
    pub(super) fn is_at(&self, input: &[u8], at: usize) -> bool {
        match input.get(at..at.wrapping_add(16)) {
            Some(bytes) => {
                let bytes = u128::from_le_bytes(*bytes.first_chunk().expect("sixteen bytes"));
                (bytes ^ self.text) & self.mask == 0 && (self.len <= 16 || self.is_more_at(input, at + 16))
            }
            None => self.is_in(input.get(at..).unwrap_or_default()),
        }
    }

    #[inline(never)]
    fn is_more_at(&self, input: &[u8], at: usize) -> bool {
        let len = self.len as usize - 16;
        match input.get(at..at + len) {
            // Whatever is not among the last sixteen bytes is among the first, or in the middle.
            Some(more) => {
                window_at(input, at + len - 16) == self.last && (len <= 16 || window_at(more, 0) == self.middle)
            }
            None => false,
        }
    }

    /// Whether a text of less than sixteen bytes starts with it.
    #[inline(always)]
    fn is_in(&self, rest: &[u8]) -> bool {
        // Mostly it is the end: one brace.
        let text = self.text.to_le_bytes();
        match rest {
            [byte] => self.len == 1 && *byte == text[0],
            _ => self.is_in_longer(rest),
        }
    }

    #[inline(never)]
    fn is_in_longer(&self, rest: &[u8]) -> bool {
        (1..16).contains(&self.len) && rest.starts_with(&self.text.to_le_bytes()[..self.len as usize])
    }
}
