//! Subjects: tokens separated by dots. In a pattern `*` stands for one token and a final `>` for one or more.
//!
//! Stricter than nats-server without `pedantic`, on purpose: control characters and DEL are refused as well as white
//! space. `*` and `>` are wildcards only as whole tokens: `a*.b>` is a literal subject, as it is for the server.

use memchr::memchr;

/// Whether something can be published here.
pub fn is_valid_subject(subject: &[u8]) -> bool {
    is_well_formed(subject) && subject.split(|&byte| byte == b'.').all(|token| token != b"*" && token != b">")
}

/// Whether this can be subscribed to.
pub fn is_valid_pattern(pattern: &[u8]) -> bool {
    let mut tokens = pattern.split(|&byte| byte == b'.');
    // `any` stops right behind the first `>`, and nothing may follow that.
    is_well_formed(pattern) && (!tokens.any(|token| token == b">") || tokens.next().is_none())
}

fn is_well_formed(subject: &[u8]) -> bool {
    subject.split(|&byte| byte == b'.').all(|token| !token.is_empty())
        && subject.iter().all(|&byte| byte > b' ' && byte != 0x7f)
}

/// Whether a message published to `subject` is delivered to a subscription of `pattern`. Both are taken as valid.
pub fn matches(pattern: &[u8], subject: &[u8]) -> bool {
    if memchr(b'*', pattern).is_some() {
        return matches_by_token(pattern, subject);
    }
    match pattern.strip_suffix(b">") {
        Some(start) if start.is_empty() || start.ends_with(b".") => {
            subject.len() > start.len() && subject.starts_with(start)
        }
        _ => pattern == subject,
    }
}

fn matches_by_token(mut pattern: &[u8], mut subject: &[u8]) -> bool {
    loop {
        let (wanted, pattern_rest) = split_token(pattern);
        let (token, subject_rest) = split_token(subject);
        if wanted == b">" && pattern_rest.is_none() {
            return !token.is_empty();
        }
        if wanted != token && (wanted != b"*" || token.is_empty()) {
            return false;
        }
        match (pattern_rest, subject_rest) {
            (Some(wanted), Some(rest)) => (pattern, subject) = (wanted, rest),
            (None, None) => return true,
            _ => return false,
        }
    }
}

fn split_token(subject: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr(b'.', subject) {
        Some(dot) => (&subject[..dot], Some(&subject[dot + 1..])),
        None => (subject, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validity() {
        let check = |text: &str, as_subject: bool, as_pattern: bool| {
            assert_eq!(is_valid_subject(text.as_bytes()), as_subject, "{text:?} as a subject");
            assert_eq!(is_valid_pattern(text.as_bytes()), as_pattern, "{text:?} as a pattern");
        };
        check("a", true, true);
        check("md.events.trade.BRK.B", true, true);
        check("md.events.trade.BTC/USD", true, true);
        check("$JS.API.INFO", true, true);
        check("_INBOX.é", true, true);
        check("a*.b>", true, true);
        check("*", false, true);
        check(">", false, true);
        check("a.*.b", false, true);
        check("a.*.>", false, true);
        check("a.>.b", false, false);
        check(">.>", false, false);
        for bad in ["", ".", ".a", "a.", "a..b", "a b", "a\tb", "a\r\n", "a\0", "a\x7f", " "] {
            check(bad, false, false);
        }
    }

    /// Token by token, as the documentation tells it.
    fn naive(pattern: &[&str], subject: &[&str]) -> bool {
        match (pattern, subject) {
            ([], []) => true,
            ([">"], [_, ..]) => true,
            (["*", pattern @ ..], [_, subject @ ..]) => naive(pattern, subject),
            ([wanted, pattern @ ..], [token, subject @ ..]) if wanted == token => naive(pattern, subject),
            _ => false,
        }
    }

    #[test]
    fn matching() {
        let check = |pattern: &str, subject: &str, expected| {
            assert_eq!(matches(pattern.as_bytes(), subject.as_bytes()), expected, "{pattern} {subject}");
        };
        check("a.b", "a.b", true);
        check("a.b", "a.c", false);
        check("a.b", "a", false);
        check("a", "a.b", false);
        check("*", "a", true);
        check("*", "a.b", false);
        check("a.*", "a.b", true);
        check("*.b", "a.b", true);
        check(">", "a", true);
        check(">", "a.b.c", true);
        check("a.>", "a.b.c", true);
        check("a.>", "a", false);
        check("a.*.>", "a.b", false);
        check("a.*.>", "a.b.c", true);
        check("a*", "ab", false);
        check("a*", "a*", true);
        check("md.events.>", "md.events.trade.BRK.B", true);
    }

    #[test]
    fn matching_agrees_with_its_naive_twin_on_every_short_pair() {
        let tokens = ["a", "b", "*", ">", "a>"];
        let mut all: Vec<Vec<&str>> = vec![vec![]];
        let mut from = 0;
        for _ in 0..4 {
            let until = all.len();
            for index in from..until {
                all.extend(tokens.map(|token| [all[index].as_slice(), &[token]].concat()));
            }
            from = until;
        }
        let joined: Vec<_> = all.iter().map(|tokens| tokens.join(".")).collect();
        for (pattern, pattern_text) in all.iter().zip(&joined) {
            for (subject, subject_text) in all.iter().zip(&joined) {
                if is_valid_pattern(pattern_text.as_bytes()) && is_valid_subject(subject_text.as_bytes()) {
                    let expected = naive(pattern, subject);
                    let found = matches(pattern_text.as_bytes(), subject_text.as_bytes());
                    assert_eq!(found, expected, "{pattern_text} {subject_text}");
                }
            }
        }
    }
}
