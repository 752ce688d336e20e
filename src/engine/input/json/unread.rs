//! Values skipped without checking their grammar.

use crate::engine::input::json::Scanner;
use crate::engine::input::malformed::Malformed;

impl Scanner<'_> {
    /// Moves past the next value without checking its grammar, which the decoder does later. A value ends with the bracket
    /// or quote that closes it, a bare word before the next delimiter. A byte order mark may precede it.
    pub fn skip_unread(&mut self) -> Result<(), Malformed> {
        self.peek();
        self.skip_mark();
        match self.peek() {
            b'"' => self.skip_text_unread(),
            b'{' | b'[' => self.skip_brackets_unread(),
            _ => {
                let word = &self.bytes[self.at..];
                let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n');
                let len = word.iter().position(is_end).unwrap_or(word.len());
                self.at += len;
                if len > 0 { Ok(()) } else { Err(Malformed::Syntax) }
            }
        }
    }

    fn skip_brackets_unread(&mut self) -> Result<(), Malformed> {
        let mut depth = 0u32;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.skip_text_unread()?;
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
                None => return Err(Malformed::Syntax),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// From the opening quote to behind the closing one; the byte after a backslash is skipped.
    fn skip_text_unread(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        loop {
            self.skip_plain();
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') if self.at + 1 < self.bytes.len() => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(Malformed::Syntax),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn values_are_passed_over_as_they_stand() {
        let check = |text: &str, expected: Option<&str>| {
            let mut scanner = Scanner::new(text.as_bytes());
            let passed = scanner.skip_unread().is_ok().then(|| &text[..scanner.position()]);
            assert_eq!(passed, expected, "{text}");
        };
        for value in [
            "{}",
            "[]",
            "{\"a\":[1,{\"b\":\"}]\"}]}",
            "[NaN,.5,+1,0100.5]",
            "{\"a\":nope,1]",
            "\"x\\\"y\\q\t\"",
            "1",
            "-1.e5",
            "nope",
            "{\"\\\\\":1}",
            "\u{feff}{\"a\":1}",
            "  {\"a\":\n1}",
            "\u{feff} 7",
        ] {
            check(value, Some(value));
            for after in [",\"ts\":1}", "}", " }", "\r\n"] {
                check(&format!("{value}{after}"), Some(value));
            }
            // Cut anywhere it has no end, unless it is a bare word, which ends wherever it does.
            let is_word = !value.contains(['{', '[', '"']);
            for cut in (0..value.len()).filter(|cut| value.is_char_boundary(*cut)) {
                let word = value[..cut].trim_start_matches(['\u{feff}', ' ']);
                check(&value[..cut], (is_word && !word.is_empty()).then_some(&value[..cut]));
            }
        }
        let deep = "[".repeat(1_000_000);
        check(&deep, None);
        let closed = format!("{deep}{}", "]".repeat(1_000_000));
        check(&closed, Some(&closed));
        for none in ["", " ", ",", "}", "]", "\u{feff}", "\"", "\"\\", "\"\\\""] {
            check(none, None);
        }
    }
}
