//! A forward-only JSON scanner over one payload: no tree, no allocation, every step bounds-checked.
//!
//! The grammar is RFC 8259's, with mercies for real producers: a UTF-8 byte order mark before the document, the bare
//! words `NaN`, `Infinity` and `-Infinity` that Python's json writes (values that no field can read), numbers as other
//! languages print them (`.5`, `1.`, `+1`, `007`), and raw control characters inside strings.

use crate::engine::bounds::{JSON_DEPTH_MAX, SYMBOL_BYTES_MAX};
use crate::engine::input::number::{Number, decode_number, decode_plain_decimal};
use crate::engine::time::{TimeDecoder, UnixNanos, decode_time_number};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

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
    /// A whole message with its control line, and what the queue holds.
    TooLarge {
        frame_bytes: usize,
        queue_bytes: usize,
    },
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
            Self::Symbol => write!(
                f,
                "the subject's symbol is longer than {SYMBOL_BYTES_MAX} bytes, not UTF-8, or has an empty token, a blank, \
                 a control character, * or > in it"
            ),
            Self::TooLarge { frame_bytes, queue_bytes } => write!(
                f,
                "the message has {frame_bytes} bytes with its control line, more than the {queue_bytes} of QUEUE_BYTES"
            ),
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

/// What led to a value in an earlier message (punctuation, white space, the key in its quotes, the colon), as it is
/// compared with the bytes that come: two words under a mask, and the rest of a long one.
///
/// ```text
///   {"bid":  63943.9  ,"ask":  63944  }
///   └─────┘           └─────┘         ┘
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Lead {
    text: u128,
    mask: u128,
    /// The seventeenth byte and those behind it.
    more: [u8; Lead::MORE_BYTES_MAX],
    len: u8,
}

impl Lead {
    /// A key of 40 bytes with its punctuation, and a few blanks.
    const BYTES_MAX: usize = 48;
    const MORE_BYTES_MAX: usize = Self::BYTES_MAX - 16;

    /// What no JSON text can match.
    pub const NONE: Lead = Lead { text: u128::MAX, mask: u128::MAX, more: [0; Self::MORE_BYTES_MAX], len: 0 };

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
        Some(Lead { text: u128::from_le_bytes(*text), mask, more: *more, len: len as u8 })
    }

    /// Whether `input` has it at `at`.
    #[inline(always)]
    fn is_at(&self, input: &[u8], at: usize) -> bool {
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

#[derive(Clone, Copy)]
pub struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// All bytes of all strings, or-ed: its high bits tell whether any was not ASCII.
    string_bits: u64,
}

impl<'a> Scanner<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        let at = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        Scanner { bytes, at, string_bits: 0 }
    }

    /// Takes a step that is not inlined on a copy, so that the scanner itself has no address and stays in registers.
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
        if self.at != self.bytes.len() && (self.peek() != 0 || self.at != self.bytes.len()) {
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
    fn skip_to_quote(&mut self) -> Result<(), Malformed> {
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => return Ok(()),
                Some(b'\\') => self.escape()?,
                Some(byte) => {
                    self.string_bits |= *byte as u64;
                    self.at += 1;
                }
                None => return Err(Malformed::Syntax),
            }
            self.skip_plain();
        }
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

    /// Takes the bytes of `lead`, if they are next.
    #[inline(always)]
    pub fn take_lead(&mut self, lead: &Lead) -> bool {
        let is_next = lead.is_at(self.bytes, self.at);
        if is_next {
            self.at += lead.len as usize;
        }
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

    /// Any value, of which nothing is wanted.
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

    #[inline(never)]
    fn any_decimal(&mut self) -> Result<f64, Malformed> {
        if self.bytes.get(self.at) == Some(&b'"')
            && let Some((value, end)) = decode_plain_decimal(self.bytes, self.at + 1)
            && self.bytes.get(end) == Some(&b'"')
        {
            self.at = end + 1;
            return Ok(value);
        }
        Ok(match self.value()? {
            Value::Number(number) => number.to_f64(),
            Value::Text(text) => number_in_text(text).unwrap_or(f64::NAN),
            Value::Other => f64::NAN,
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
            Value::Number(number) => decode_time_number(&number),
            Value::Other => None,
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

    /// Moves past the next value as it stands, without a look at its grammar: the decoder that gets it judges that. It ends
    /// with the bracket or quote that closes it, a bare word before what follows it. A byte order mark may precede it.
    pub fn skip_unread(&mut self) -> Result<(), Malformed> {
        self.peek();
        if self.bytes[self.at..].starts_with(BYTE_ORDER_MARK) {
            self.at += BYTE_ORDER_MARK.len();
        }
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

    /// From the opening quote to behind the closing one; what follows a backslash is passed over, whatever it is.
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

/// Strings may have white space around the number.
fn number_in_text(text: &[u8]) -> Option<f64> {
    unescaped(text, |text| {
        let text = text.trim_ascii();
        match decode_number(text) {
            Some((number, len)) if len == text.len() => Some(number.to_f64()),
            _ => None,
        }
    })
}

/// Longest text of a field that is still read when it has escapes in it.
const ESCAPED_TEXT_BYTES_MAX: usize = 128;

/// What `read` makes of a string, given its inside; escapes are resolved first, where there are any.
#[inline]
pub fn unescaped<T>(text: &[u8], read: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
    if !text.contains(&b'\\') {
        return read(text);
    }
    read(unescape(text, &mut [0; ESCAPED_TEXT_BYTES_MAX])?)
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
