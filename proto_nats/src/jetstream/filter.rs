//! Patterns against patterns: what a consumer's filters take of what a stream holds.

use crate::subject;

/// Whether everything that `narrow` matches is matched by `wide`, too. Both are valid patterns.
pub fn covers(wide: &str, narrow: &str) -> bool {
    let (mut wide, mut narrow) = (wide.split('.'), narrow.split('.'));
    loop {
        match (wide.next(), narrow.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

/// Whether there is a subject that both match.
pub fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (Some(">"), Some(_)) | (Some(_), Some(">")) | (None, None) => return true,
            (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

/// One pattern that matches all that any of these does: the tokens that they begin with, and `>`.
pub fn common_cover(patterns: &[String]) -> String {
    let [first, rest @ ..] = patterns else { return ">".to_owned() };
    let mut shared: Vec<&str> = first.split('.').collect();
    for pattern in rest {
        let same = shared.iter().zip(pattern.split('.')).take_while(|(one, other)| *one == other).count();
        let is_same = same == shared.len() && same == pattern.split('.').count();
        if !is_same {
            // `>` stands for one token at least.
            shared.truncate(same.min(pattern.split('.').count() - 1).min(shared.len().saturating_sub(1)));
            shared.push(">");
        }
    }
    shared.join(".")
}

/// Whether one of the patterns takes a message of this subject.
pub fn takes(patterns: &[String], subject: &[u8]) -> bool {
    patterns.iter().any(|pattern| subject::matches(pattern.as_bytes(), subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every valid pattern of up to three tokens, and every subject of up to four.
    fn all() -> (Vec<String>, Vec<String>) {
        let (mut patterns, mut subjects) = (Vec::new(), Vec::new());
        let mut grown = vec![String::new()];
        for length in 1..=4 {
            grown = grown
                .iter()
                .flat_map(|start| {
                    ["a", "b", "*", ">"].map(|token| match start.as_str() {
                        "" => token.to_owned(),
                        start => format!("{start}.{token}"),
                    })
                })
                .collect();
            for text in &grown {
                if length <= 3 && subject::is_valid_pattern(text.as_bytes()) {
                    patterns.push(text.clone());
                }
                if subject::is_valid_subject(text.as_bytes()) {
                    subjects.push(text.clone());
                }
            }
        }
        (patterns, subjects)
    }

    #[test]
    fn patterns_agree_with_the_subjects_that_they_match() {
        let (patterns, subjects) = all();
        let matched = |pattern: &String| -> Vec<bool> {
            subjects.iter().map(|subject| subject::matches(pattern.as_bytes(), subject.as_bytes())).collect()
        };
        for one in &patterns {
            for other in &patterns {
                let (by_one, by_other) = (matched(one), matched(other));
                let mut both = by_one.iter().zip(&by_other);
                assert_eq!(overlap(one, other), both.clone().any(|(one, other)| *one && *other), "{one} {other}");
                // Two letters are not all tokens: `*` is not covered by `a` and `b`, which no pattern is both of.
                assert_eq!(covers(one, other), both.all(|(one, other)| *one || !other), "{one} {other}");
                let cover = common_cover(&[one.clone(), other.clone()]);
                assert!(covers(&cover, one) && covers(&cover, other), "{cover} of {one} {other}");
                assert!(subject::is_valid_pattern(cover.as_bytes()), "{cover} of {one} {other}");
            }
        }
    }

    #[test]
    fn covers_of_filters() {
        let check = |patterns: &[&str], expected: &str| {
            let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
            assert_eq!(common_cover(&patterns), expected);
        };
        check(&[], ">");
        check(&["md.events.>"], "md.events.>");
        check(&["md.events.trade.A", "md.events.quote.A"], "md.events.>");
        check(&["md.events.trade.A", "md.events.trade.B"], "md.events.trade.>");
        check(&["md.events.trade.A", "md.events.trade.A"], "md.events.trade.A");
        check(&["md.events.trade.A", "md.events.trade.A.B"], "md.events.trade.>");
        check(&["md.events.trade.A.B", "md.events.trade.A"], "md.events.trade.>");
        check(&["a", "b"], ">");
        check(&["md.a.x", "md.b.x", "md"], ">");
    }
}
