//! What a reader of a stream is made with.

/// What stays the same for as long as the reader lives. Times are in ns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderSettings {
    /// The stream's name: see [`is_valid_name`].
    pub stream: String,
    /// The JetStream domain, where it is not the server's own: a name, too.
    pub domain: Option<String>,
    /// What is read of the stream: patterns that do not overlap, at least one.
    pub filters: Vec<String>,
    /// What a stream takes that is made here, or that an operator is told to make.
    pub subjects: Vec<String>,
    /// The stream is made where it is missing.
    pub creates_stream: bool,
    /// Of a stream that is made: messages leave it when they are so old.
    pub max_age_ns: u64,
    /// Of a stream that is made: the oldest messages leave it when it holds more.
    pub max_bytes: u64,
    /// How far back the windows reach that are rebuilt at the start. Reading begins [`START_MARGIN_NS`](super::START_MARGIN_NS) before.
    pub rolling_window_ns: u64,
    /// Shown by `nats consumer info`.
    pub description: String,
}

/// Whether a stream, a consumer or a domain may be called that: one token of a subject, and no path.
pub fn is_valid_name(name: &str) -> bool {
    let is_odd = |byte: u8| matches!(byte, b'.' | b'*' | b'>' | b'/' | b'\\' | 0x7f) || byte <= b' ';
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.bytes().any(is_odd)
}

/// The server's own bound.
pub const NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["MD_EVENTS", "a", "é", "a-b", &"x".repeat(NAME_BYTES_MAX)] {
            assert!(is_valid_name(name), "{name}");
        }
        for name in ["", "a.b", "a b", "*", "a>", "a/b", "a\\b", "a\n", "a\x7f", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert!(!is_valid_name(name), "{name:?}");
        }
    }
}
