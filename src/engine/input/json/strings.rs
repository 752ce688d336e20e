//! Strings: their end is found eight bytes at a time, and their escapes are checked, not resolved.

use crate::engine::input::json::Scanner;
use crate::engine::input::malformed::Malformed;
use crate::engine::input::words::{HIGH_BITS, ONE_BITS, word_at};

impl<'a> Scanner<'a> {
    /// A string's inside, escapes not resolved but checked.
    #[inline(always)]
    pub fn string(&mut self) -> Result<&'a [u8], Malformed> {
        self.expect(b'"')?;
        let start = self.at;
        self.skip_plain();
        if self.bytes.get(self.at) != Some(&b'"') {
            self.apart(Self::skip_to_quote)?;
        }
        let text = &self.bytes[start..self.at];
        self.at += 1;
        Ok(text)
    }

    /// Moves on to the closing quote.
    #[inline(never)]
    pub(super) fn skip_to_quote(&mut self) -> Result<(), Malformed> {
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => return Ok(()),
                Some(b'\\') => self.escape()?,
                _ => return Err(Malformed::Syntax),
            }
            self.skip_plain();
        }
    }

    /// Moves on to the next quote or backslash, or to the end: eight bytes at a time.
    #[inline(always)]
    pub(super) fn skip_plain(&mut self) {
        while let Some(chunk) = self.bytes[self.at..].first_chunk::<8>() {
            let word = u64::from_le_bytes(*chunk);
            // Bytes behind the end of the string count as well: a false alarm costs a check, nothing else.
            self.string_bits |= word;
            let found = quotes_and_backslashes(word);
            if found != 0 {
                self.at += found.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        self.apart(Self::skip_plain_at_end);
    }

    /// The same where less than eight bytes are left.
    #[inline(never)]
    fn skip_plain_at_end(&mut self) {
        let word = word_at(self.bytes, self.at);
        self.string_bits |= word;
        let len = quotes_and_backslashes(word).trailing_zeros() as usize / 8;
        self.at = self.bytes.len().min(self.at + len);
    }

    #[cold]
    fn escape(&mut self) -> Result<(), Malformed> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 2..self.at + 6).ok_or(Malformed::Syntax)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(Malformed::Syntax);
                }
                self.at += 6;
            }
            _ => return Err(Malformed::Syntax),
        }
        Ok(())
    }
}

/// Its lowest bit set is the high bit of the first quote or backslash of a word; 0 where there is none. It is the zero-byte
/// test of Mycroft (`x - 0x01..01 & !x & 0x80..80`).
#[inline(always)]
fn quotes_and_backslashes(word: u64) -> u64 {
    let quotes = word ^ (ONE_BITS * b'"' as u64);
    let backslashes = word ^ (ONE_BITS * b'\\' as u64);
    (quotes.wrapping_sub(ONE_BITS) & !quotes | backslashes.wrapping_sub(ONE_BITS) & !backslashes) & HIGH_BITS
}
