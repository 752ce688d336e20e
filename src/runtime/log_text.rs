//! Texts from peers and from the system, made fit for a log line.

use std::io;

/// Longer ones end in `…`.
const CHARS_MAX: usize = 120;

/// What a peer has sent, on one line: line ends and escape sequences would forge log lines or steer a terminal.
pub fn printable(text: &str) -> String {
    let escaped = text.escape_debug().to_string();
    match escaped.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &escaped[..end]),
        None => escaped,
    }
}

/// The system's text without its number.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_without_numbers() {
        assert_eq!(plain(&io::Error::from_raw_os_error(2)), "No such file or directory");
        assert_eq!(plain(&io::Error::other("as it is")), "as it is");
    }

    #[test]
    fn nothing_leaves_its_line() {
        assert_eq!(printable("md.events.trade.BTC-USD"), "md.events.trade.BTC-USD");
        assert_eq!(printable("a\n2026 ERROR \u{1b}[2J\u{9b}b"), "a\\n2026 ERROR \\u{1b}[2J\\u{9b}b");
        assert_eq!(printable(&"x".repeat(1000)).chars().count(), CHARS_MAX + 1);
    }
}
