//! The bytes before a value, remembered to be compared with the next payload.

/// What stood before a value in an earlier message (punctuation, white space, the key in its quotes, the colon), in the
/// form in which it is compared: two words under a mask, and the rest of a long one.
///
/// ```text
///   {"bid":  63943.9  ,"ask":  63944  }
///   └─────┘           └─────┘         ┘
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ValuePrefix {
    text: u128,
    mask: u128,
    /// The seventeenth byte and those behind it.
    more: [u8; ValuePrefix::MORE_BYTES_MAX],
    pub(super) len: u8,
}

impl ValuePrefix {
    /// A key of 40 bytes with its punctuation, and a few blanks.
    const BYTES_MAX: usize = 48;
    const MORE_BYTES_MAX: usize = Self::BYTES_MAX - 16;

    /// What no JSON text can match.
    pub const NONE: ValuePrefix =
        ValuePrefix { text: u128::MAX, mask: u128::MAX, more: [0; Self::MORE_BYTES_MAX], len: 0 };

    /// `None` for one that is too long to be remembered, or not ASCII: that must be seen by the check of UTF-8 each time.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let len = bytes.len();
        if !(1..=Self::BYTES_MAX).contains(&len) || !bytes.is_ascii() {
            return None;
        }
        let mut text = [0; Self::BYTES_MAX];
        text[..len].copy_from_slice(bytes);
        let (text, more) = (text.first_chunk()?, text.last_chunk()?);
        let mask = u128::MAX >> (8 * 16usize.saturating_sub(len));
        Some(ValuePrefix { text: u128::from_le_bytes(*text), mask, more: *more, len: len as u8 })
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
        input[at..].starts_with(&self.more[..self.len as usize - 16])
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
