//! A forward-only JSON scanner over one payload: no tree, no allocation, every step bounds-checked.
//!
//! The grammar is RFC 8259's, with three mercies for real producers: a UTF-8 byte order mark before the document, the
//! bare words `NaN`, `Infinity` and `-Infinity` that Python's json writes (values that no field can read), and raw
//! control characters inside strings.

use super::bounds::JSON_DEPTH_MAX;
use super::number::{Number, decode_number, decode_short_decimal};
use super::time::{TimeDecoder, UnixNanos, decode_time_number};

const ONE_BITS: u64 = u64::MAX / 255;
const HIGH_BITS: u64 = ONE_BITS << 7;

/// Why a payload is no event; the text goes into the log line about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    NotUtf8,
    NotAnObject,
    Syntax,
    TooDeep,
    TrailingBytes,
    Missing(&'static str),
    Unreadable(&'static str),
    Subject,
    Symbol,
    TooLarge,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("the payload is not UTF-8"),
            Self::NotAnObject => f.write_str("the payload is not a JSON object"),
            Self::Syntax => f.write_str("the payload is not well-formed JSON"),
            Self::TooDeep => write!(f, "the payload nests deeper than {JSON_DEPTH_MAX} levels"),
            Self::TrailingBytes => f.write_str("bytes follow the payload's JSON object"),
            Self::Missing(field) => write!(f, "the required field \"{field}\" is missing"),
            Self::Unreadable(field) => write!(f, "the required field \"{field}\" has a value that cannot be used"),
            Self::Subject => f.write_str("the subject is none of trade, quote, book_l2 and heartbeat with a symbol"),
            Self::Symbol => f.write_str("the subject's symbol is too long or not text"),
            Self::TooLarge => f.write_str("the message is larger than the queue can hold"),
        }
    }
}

/// A value as far as a field needs to know it; nested ones have been skipped.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// The bytes between the quotes, escapes not resolved.
    Text(&'a [u8]),
    Number(Number<'a>),
    /// null, true, false, a nested value, NaN: nothing a field of ours could use.
    Other,
}

/// A key with its quotes and colon, as it is compared with the bytes that come: two words under a mask.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExpectedKey {
    text: u128,
    mask: u128,
    len: u8,
}

impl ExpectedKey {
    const BYTES_MAX: usize = 16;

    /// `None` for a key that is too long to be expected.
    pub fn new(key: &[u8]) -> Option<Self> {
        let len = key.len() + 3;
        // A key that is not ASCII must be seen by the check of UTF-8 each time.
        if len > Self::BYTES_MAX || !key.is_ascii() {
            return None;
        }
        let mut text = [0; Self::BYTES_MAX];
        text[0] = b'"';
        text[1..=key.len()].copy_from_slice(key);
        text[len - 2..len].copy_from_slice(b"\":");
        let mask = u128::MAX >> (8 * (Self::BYTES_MAX - len));
        Some(ExpectedKey { text: u128::from_le_bytes(text), mask, len: len as u8 })
    }

    /// Whether `bytes` start with it. An empty expectation matches nothing.
    #[inline(always)]
    fn matches(&self, bytes: &[u8]) -> bool {
        match bytes.first_chunk::<{ Self::BYTES_MAX }>() {
            Some(chunk) => (u128::from_le_bytes(*chunk) ^ self.text) & self.mask == 0 && self.len > 0,
            None => self.len > 0 && bytes.starts_with(&self.text.to_le_bytes()[..self.len as usize]),
        }
    }
}

pub struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// All bytes of all strings, or-ed: its high bits tell whether any was not ASCII.
    string_bits: u64,
}

impl<'a> Scanner<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        let at = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Scanner { bytes, at, string_bits: 0 }
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
            _ => self.peek_past_space(),
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
        let found = self.peek() == expected;
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
        if self.peek() != 0 || self.at != self.bytes.len() {
            return Err(Malformed::TrailingBytes);
        }
        if self.string_bits & HIGH_BITS != 0 && std::str::from_utf8(self.bytes).is_err() {
            return Err(Malformed::NotUtf8);
        }
        Ok(())
    }

    /// A string's inside, escapes not resolved but checked.
    #[inline(always)]
    pub fn string(&mut self) -> Result<&'a [u8], Malformed> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            self.skip_plain();
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(byte) => {
                    self.string_bits |= *byte as u64;
                    self.at += 1;
                }
                None => return Err(Malformed::Syntax),
            }
        }
        let text = &self.bytes[start..self.at];
        self.at += 1;
        Ok(text)
    }

    /// Moves on to the next quote or backslash, or to less than eight bytes before the end: eight bytes at a time, by
    /// the zero-byte test of Mycroft (`x - 0x01..01 & !x & 0x80..80`, whose lowest bit set is exact).
    #[inline(always)]
    fn skip_plain(&mut self) {
        while let Some(chunk) = self.bytes[self.at..].first_chunk::<8>() {
            let word = u64::from_le_bytes(*chunk);
            let quotes = word ^ (ONE_BITS * b'"' as u64);
            let backslashes = word ^ (ONE_BITS * b'\\' as u64);
            let found = (quotes.wrapping_sub(ONE_BITS) & !quotes | backslashes.wrapping_sub(ONE_BITS) & !backslashes)
                & HIGH_BITS;
            // Bytes behind the end of the string count as well: a false alarm costs a check, nothing else.
            self.string_bits |= word;
            if found != 0 {
                self.at += found.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
    }

    /// Takes the bytes that `expected` names, if they are next, past white space.
    #[inline(always)]
    pub fn take_key(&mut self, expected: &ExpectedKey) -> bool {
        self.peek();
        let is_next = expected.matches(&self.bytes[self.at..]);
        self.at += if is_next { expected.len as usize } else { 0 };
        is_next
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

    /// A string's inside; `None` for any other value.
    #[inline(always)]
    pub fn text(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        if self.peek() == b'"' {
            return self.string().map(Some);
        }
        self.value().map(|_| None)
    }

    /// A number, or a string that is one; `None` for any other value.
    #[inline(always)]
    pub fn decimal(&mut self) -> Result<Option<f64>, Malformed> {
        if self.peek() != b'"'
            && let Some((value, len)) = decode_short_decimal(&self.bytes[self.at..])
        {
            self.at += len;
            return Ok(Some(value));
        }
        Ok(match self.value()? {
            Value::Number(number) => Some(number.to_f64()),
            Value::Text(text) => number_in_text(text).map(|number| number.to_f64()),
            Value::Other => None,
        })
    }

    /// A moment in any of its forms; `None` for any other value.
    #[inline(always)]
    pub fn time(&mut self, decoder: &mut TimeDecoder) -> Result<Option<UnixNanos>, Malformed> {
        if self.peek() == b'"'
            && let Some(chunk) = self.bytes[self.at + 1..].first_chunk()
            && let Some(moment) = decoder.decode_same_minute(chunk)
        {
            self.at += 1 + chunk.len();
            return Ok(Some(moment));
        }
        Ok(match self.value()? {
            Value::Text(text) => decoder.decode_text(text),
            Value::Number(number) => decode_time_number(&number),
            Value::Other => None,
        })
    }

    /// The next value, nested ones skipped.
    #[inline(never)]
    pub fn value(&mut self) -> Result<Value<'a>, Malformed> {
        match self.peek() {
            b'"' => Ok(Value::Text(self.string()?)),
            b'0'..=b'9' | b'-' => self.number(),
            b'{' | b'[' => {
                self.skip_nested()?;
                Ok(Value::Other)
            }
            _ => {
                self.word()?;
                Ok(Value::Other)
            }
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

    fn word(&mut self) -> Result<(), Malformed> {
        let rest = &self.bytes[self.at..];
        for word in [b"null".as_slice(), b"true", b"false", b"NaN", b"Infinity"] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(());
            }
        }
        Err(Malformed::Syntax)
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

/// Strings may hold what other languages print: white space around, a plus sign.
fn number_in_text(text: &[u8]) -> Option<Number<'_>> {
    let text = text.trim_ascii();
    let text = text.strip_prefix(b"+").unwrap_or(text);
    match decode_number(text) {
        Some((number, len)) if len == text.len() => Some(number),
        _ => None,
    }
}

/// Resolves the escapes of a string's inside into `place`; `None` when it does not fit. Lone surrogates become U+FFFD.
pub fn unescape<'p>(text: &[u8], place: &'p mut [u8]) -> Option<&'p [u8]> {
    let mut len = 0;
    let mut put = |bytes: &[u8]| -> Option<()> {
        place.get_mut(len..len + bytes.len())?.copy_from_slice(bytes);
        len += bytes.len();
        Some(())
    };
    let unit_at = |at: usize| -> Option<u32> {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut at = 0;
    while at < text.len() {
        if text[at] != b'\\' {
            put(&text[at..at + 1])?;
            at += 1;
            continue;
        }
        let simple = match text.get(at + 1)? {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut code = unit_at(at)?;
                at += 6;
                if let (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) = (code, unit_at(at)) {
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    at += 6;
                }
                let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                put(character.encode_utf8(&mut [0; 4]).as_bytes())?;
                continue;
            }
            other => *other,
        };
        put(&[simple])?;
        at += 2;
    }
    Some(&place[..len])
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

    #[test]
    fn unescapes() {
        let check = |text: &str, expected: &str| {
            assert_eq!(unescape(text.as_bytes(), &mut [0; 64]), Some(expected.as_bytes()), "{text}");
        };
        check("plain", "plain");
        check("pr\\u0069ce", "price");
        check("\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\u{8}\u{c}\n\r\t");
        check("\\ud83d\\ude00", "😀");
        check("\\ud83dx", "\u{fffd}x");
        assert_eq!(unescape(b"abc", &mut [0; 2]), None);
    }
}
