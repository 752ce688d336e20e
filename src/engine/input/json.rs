//! A forward-only JSON scanner over one payload: no tree, no allocation, every step bounds-checked.
//!
//! The grammar is RFC 8259's, with exceptions for real producers: a UTF-8 byte order mark before the document, the bare
//! words `NaN`, `Infinity` and `-Infinity` that Python's json writes (values that no field can read), numbers as other
//! languages print them (`.5`, `1.`, `+1`, `007`), and raw control characters inside strings.

mod strings;
mod unread;

use crate::engine::bounds::JSON_DEPTH_MAX;
use crate::engine::input::malformed::Malformed;
use crate::engine::input::number::{Number, decode_number, decode_plain_decimal};
use crate::engine::input::unescape::unescaped;
use crate::engine::input::value_prefix::ValuePrefix;
use crate::engine::input::words::HIGH_BITS;
use crate::engine::time::{TimeDecoder, UnixNanos};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// A value as fields need it; nested ones have been skipped.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// The bytes between the quotes, escapes not resolved.
    Text(&'a [u8]),
    Number(Number<'a>),
    Bool(bool),
    /// null, a nested value, NaN: nothing that a field uses.
    Other,
}
/// A position in a payload.
#[derive(Clone, Copy)]
pub struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// All bytes of all strings, or-ed: its high bits tell whether any was not ASCII.
    string_bits: u64,
}

impl<'a> Scanner<'a> {
    /// At the document, behind the byte order mark that may precede it.
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut scanner = Scanner::starting_at(bytes, 0);
        scanner.skip_mark();
        scanner
    }

    /// Moves past a byte order mark.
    pub fn skip_mark(&mut self) {
        if self.bytes[self.at..].starts_with(BYTE_ORDER_MARK) {
            self.at += BYTE_ORDER_MARK.len();
        }
    }

    /// Within a document.
    pub fn starting_at(bytes: &'a [u8], at: usize) -> Self {
        Scanner { bytes, at, string_bits: 0 }
    }

    /// Runs `step`, which is not inlined, on a copy, so that the scanner has no address and stays in registers.
    #[inline(always)]
    pub fn apart<T>(&mut self, step: impl FnOnce(&mut Self) -> T) -> T {
        let mut copy = *self;
        let result = step(&mut copy);
        *self = copy;
        result
    }

    #[inline]
    pub fn position(&self) -> usize {
        self.at
    }

    #[inline]
    pub fn bytes_since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// The next byte that is not white space; 0 at the end, which no grammar rule accepts.
    #[inline(always)]
    pub fn peek(&mut self) -> u8 {
        match self.bytes.get(self.at) {
            Some(&byte) if byte > b' ' => byte,
            _ => self.apart(Self::peek_past_space),
        }
    }

    #[inline(never)]
    fn peek_past_space(&mut self) -> u8 {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
            self.at += 1;
        }
        0
    }

    /// Takes `expected`, past white space; says whether it was there.
    #[inline(always)]
    pub fn take(&mut self, expected: u8) -> bool {
        match self.bytes.get(self.at) {
            Some(&byte) if byte == expected => {
                self.at += 1;
                true
            }
            Some(&byte) if byte > b' ' => false,
            _ => self.apart(|scanner| scanner.take_past_space(expected)),
        }
    }

    #[inline(never)]
    fn take_past_space(&mut self, expected: u8) -> bool {
        let found = self.peek_past_space() == expected;
        self.at += found as usize;
        found
    }

    #[inline]
    pub fn expect(&mut self, expected: u8) -> Result<(), Malformed> {
        if self.take(expected) { Ok(()) } else { Err(Malformed::Syntax) }
    }

    /// Only white space may be left, and all strings must have been UTF-8. Outside of strings the grammar has let
    /// nothing pass that is not ASCII.
    #[inline]
    pub fn expect_end(&mut self) -> Result<(), Malformed> {
        if self.at != self.bytes.len() && (self.peek() != 0 || self.at != self.bytes.len()) {
            return Err(Malformed::TrailingBytes);
        }
        if self.string_bits & HIGH_BITS != 0 && std::str::from_utf8(self.bytes).is_err() {
            return Err(Malformed::NotUtf8);
        }
        Ok(())
    }

    /// Everything up to here: it ends with the value that has just been scanned.
    pub fn bytes_behind(&self) -> &'a [u8] {
        &self.bytes[..self.at]
    }

    /// Takes the bytes of `prefix`, if they are next.
    #[inline(always)]
    pub fn take_prefix(&mut self, prefix: &ValuePrefix) -> bool {
        let is_next = prefix.is_at(self.bytes, self.at);
        if is_next {
            self.at += prefix.len as usize;
        }
        is_next
    }

    /// Skips a value.
    #[inline(always)]
    pub fn skip(&mut self) -> Result<(), Malformed> {
        if self.bytes.get(self.at) == Some(&b'"') {
            self.at += 1;
            self.skip_plain();
            if self.bytes.get(self.at) == Some(&b'"') {
                self.at += 1;
                return Ok(());
            }
            return self.apart(|scanner| {
                scanner.skip_to_quote()?;
                scanner.at += 1;
                Ok(())
            });
        }
        self.apart(Self::value)?;
        Ok(())
    }

    /// A string's inside; `None` for any other value.
    #[inline(always)]
    pub fn text(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        if self.bytes.get(self.at) == Some(&b'"') {
            return self.string().map(Some);
        }
        Ok(match self.apart(Self::value)? {
            Value::Text(text) => Some(text),
            _ => None,
        })
    }

    /// `true` or `false`; `None` for any other value.
    pub fn boolean(&mut self) -> Result<Option<bool>, Malformed> {
        Ok(match self.apart(Self::value)? {
            Value::Bool(value) => Some(value),
            _ => None,
        })
    }

    /// A number, or a string that is one; NaN for any other value.
    #[inline(always)]
    pub fn decimal(&mut self) -> Result<f64, Malformed> {
        match decode_plain_decimal(self.bytes, self.at) {
            Some((value, end)) => {
                self.at = end;
                Ok(value)
            }
            None => self.apart(Self::any_decimal),
        }
    }

    /// As [`Scanner::decimal`], for what is seldom a plain one.
    #[inline(never)]
    pub fn any_decimal(&mut self) -> Result<f64, Malformed> {
        if self.peek() == b'"' {
            if let Some((value, end)) = decode_plain_decimal(self.bytes, self.at + 1)
                && self.bytes.get(end) == Some(&b'"')
            {
                self.at = end + 1;
                return Ok(value);
            }
        } else if let Some((value, end)) = decode_plain_decimal(self.bytes, self.at) {
            // White space was before it.
            self.at = end;
            return Ok(value);
        }
        Ok(match self.value()? {
            Value::Number(number) => number.to_f64(),
            Value::Text(text) => number_in_text(text).unwrap_or(f64::NAN),
            Value::Bool(_) | Value::Other => f64::NAN,
        })
    }

    /// The token of a string or a number, which can be an id; nothing for any other value.
    #[inline(always)]
    pub fn id(&mut self) -> Result<&'a [u8], Malformed> {
        if self.bytes.get(self.at) == Some(&b'"') {
            let start = self.at;
            self.skip()?;
            return Ok(self.bytes_since(start));
        }
        self.apart(Self::any_id)
    }

    /// As [`Scanner::id`], for what is seldom a string.
    #[inline(never)]
    pub fn any_id(&mut self) -> Result<&'a [u8], Malformed> {
        self.peek();
        let start = self.at;
        Ok(match self.value()? {
            Value::Text(_) | Value::Number(_) => self.bytes_since(start),
            Value::Bool(_) | Value::Other => b"",
        })
    }

    /// A moment in any of its forms; `None` for any other value.
    #[inline(always)]
    pub fn time(&mut self, decoder: &mut TimeDecoder) -> Result<Option<UnixNanos>, Malformed> {
        if let Some((moment, end)) = decoder.decode_same_minute(self.bytes, self.at) {
            self.at = end;
            return Ok(Some(moment));
        }
        self.apart(|scanner| scanner.any_time(decoder))
    }

    #[inline(never)]
    fn any_time(&mut self, decoder: &mut TimeDecoder) -> Result<Option<UnixNanos>, Malformed> {
        Ok(match self.value()? {
            Value::Text(text) => unescaped(text, |text| decoder.decode_text(text)),
            Value::Number(number) => decoder.decode_number(&number),
            Value::Bool(_) | Value::Other => None,
        })
    }

    /// The next value, nested ones skipped.
    #[inline(never)]
    pub fn value(&mut self) -> Result<Value<'a>, Malformed> {
        match self.peek() {
            b'"' => Ok(Value::Text(self.string()?)),
            b'0'..=b'9' | b'-' | b'+' | b'.' => self.number(),
            b'{' | b'[' => {
                self.skip_nested()?;
                Ok(Value::Other)
            }
            _ => self.word(),
        }
    }

    #[inline]
    fn number(&mut self) -> Result<Value<'a>, Malformed> {
        let rest = &self.bytes[self.at..];
        if let Some((number, len)) = decode_number(rest) {
            self.at += len;
            return Ok(Value::Number(number));
        }
        if rest.starts_with(b"-Infinity") {
            self.at += 9;
            return Ok(Value::Other);
        }
        Err(Malformed::Syntax)
    }

    fn word(&mut self) -> Result<Value<'a>, Malformed> {
        let rest = &self.bytes[self.at..];
        let words = [
            (b"null".as_slice(), Value::Other),
            (b"true", Value::Bool(true)),
            (b"false", Value::Bool(false)),
            (b"NaN", Value::Other),
            (b"Infinity", Value::Other),
        ];
        for (word, value) in words {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(Malformed::Syntax)
    }

    /// Skips the rest of an array behind one of its elements.
    #[inline(never)]
    pub fn end_array(&mut self) -> Result<(), Malformed> {
        while self.take(b',') {
            self.value()?;
        }
        self.expect(b']')
    }

    /// Skips an object or array of any content, checking its grammar; one bit a level says which of the two it is.
    fn skip_nested(&mut self) -> Result<(), Malformed> {
        let (mut depth, mut is_object) = (0u32, 0u128);
        loop {
            // Here a value starts.
            match self.peek() {
                open @ (b'{' | b'[') => {
                    if depth == JSON_DEPTH_MAX {
                        return Err(Malformed::TooDeep);
                    }
                    self.at += 1;
                    depth += 1;
                    is_object = is_object << 1 | (open == b'{') as u128;
                    if !self.take(if open == b'{' { b'}' } else { b']' }) {
                        if open == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                    depth -= 1;
                    is_object >>= 1;
                }
                _ => {
                    self.value()?;
                }
            }
            // Here a value has ended; close what ends with it.
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let in_object = is_object & 1 == 1;
                if self.take(b',') {
                    if in_object {
                        self.key()?;
                    }
                    break;
                }
                self.expect(if in_object { b'}' } else { b']' })?;
                depth -= 1;
                is_object >>= 1;
            }
        }
    }

    /// A key and its colon.
    #[inline]
    pub fn key(&mut self) -> Result<&'a [u8], Malformed> {
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }
}

/// A number in a string, which may have white space around it.
pub(super) fn number_in_text(text: &[u8]) -> Option<f64> {
    unescaped(text, |text| {
        let text = text.trim_ascii();
        match decode_number(text) {
            Some((number, len)) if len == text.len() => Some(number.to_f64()),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skips(text: &str) -> bool {
        let mut scanner = Scanner::new(text.as_bytes());
        scanner.value().is_ok() && scanner.expect_end().is_ok()
    }

    #[test]
    fn grammar() {
        let good = [
            "{}",
            "[]",
            "[[],{}]",
            " { \"a\" : [ 1 , 2 ] , \"b\" : { } } ",
            "[1,\"x\\n\\u0041\",null,true,false,-1.5e3]",
            "\"\"",
            "NaN",
            "[-Infinity,Infinity]",
            "{\"a\":{\"b\":{\"c\":[[[1]]]}}}",
            "\u{feff}[1]",
        ];
        for text in good {
            assert!(skips(text), "{text}");
            for cut in 1..text.len() {
                if text.is_char_boundary(cut) && text.trim_start_matches('\u{feff}').len() > 4 && cut > 3 {
                    let _ = skips(&text[..cut]);
                }
            }
        }
        let bad = [
            "",
            "{",
            "}",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "[1 2]",
            "{\"a\":1,}",
            "nul",
            "\"\\x\"",
            "\"\\u12g4\"",
            "[1}",
            "{\"a\":1]",
            "[1]]",
            "\"abc",
            "01x",
            "+Infinity",
            ".",
            "-",
            "[,1]",
            "{,}",
            "\u{0}",
        ];
        for text in bad {
            assert!(!skips(text), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(skips(&nested(128)));
        assert!(!skips(&nested(129)));
        assert!(!skips(&"[".repeat(1_000_000)));
        assert!(!skips(&"{\"a\":".repeat(200_000)));
    }
}
