//! A name in place: an alert outlives the symbol that it is about, and waits without memory of its own.

/// A text of at most `N` bytes.
#[derive(Clone, Copy)]
pub struct ShortText<const N: usize> {
    len: u8,
    bytes: [u8; N],
}

impl<const N: usize> ShortText<N> {
    /// The text, or what of it fits.
    pub fn new(text: &str) -> Self {
        const { assert!(N <= u8::MAX as usize) };
        let len = text.floor_char_boundary(N);
        let mut bytes = [0; N];
        bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        ShortText { len: len as u8, bytes }
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len as usize]).expect("it was made of text")
    }
}

impl<const N: usize> PartialEq for ShortText<N> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes[..self.len as usize] == other.bytes[..other.len as usize]
    }
}

impl<const N: usize> std::fmt::Debug for ShortText<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_kept_in_whole_characters() {
        let check = |text: &str, kept: &str| assert_eq!(ShortText::<5>::new(text).as_str(), kept);
        check("", "");
        check("abcde", "abcde");
        check("abcdef", "abcde");
        check("abcdé", "abcd");
        check("日本", "日");
    }
}
