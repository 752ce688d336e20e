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
pub fn matches(mut pattern: &[u8], mut subject: &[u8]) -> bool {
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
