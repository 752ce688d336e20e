//! What producers write instead of JSON, as JSON (SPEC section 1): numbers as other languages print them, and bare words
//! for floats that are none, which are values that cannot be read, as null is.

/// The text with every such value replaced; what is neither stays, for the JSON parser to refuse.
pub fn strict(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let end = string_end(rest);
            // Raw control characters are let pass.
            for c in rest[..end].chars() {
                match c {
                    '\0'..' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
                    _ => out.push(c),
                }
            }
            rest = &rest[end..];
        } else if "{}[]:, \t\r\n".contains(first) {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let end = rest.find(|c| "{}[]:,\" \t\r\n".contains(c)).unwrap_or(rest.len());
            match &rest[..end] {
                "NaN" | "Infinity" | "-Infinity" => out.push_str("null"),
                word => out.push_str(&number(word).unwrap_or(word.to_owned())),
            }
            rest = &rest[end..];
        }
    }
    out
}

/// Behind the closing quote, or the end of the text.
fn string_end(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A decimal number as JSON writes it: no plus sign, no leading zeros, digits on both sides of a point.
pub fn number(text: &str) -> Option<String> {
    let (sign, magnitude) = match text.strip_prefix('-') {
        Some(magnitude) => ("-", magnitude),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match magnitude.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (magnitude, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let are_digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let is_number = are_digits(whole)
        && are_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            !digits.is_empty() && are_digits(digits)
        });
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let exponent = exponent.map_or(String::new(), |exponent| format!("e{exponent}"));
    is_number.then(|| format!("{sign}{whole}{point}{fraction}{exponent}"))
}
