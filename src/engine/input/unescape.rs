//! Escapes of JSON strings.

/// Longest text of a field that is still read when it has escapes in it.
pub const ESCAPED_TEXT_BYTES_MAX: usize = 128;

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
