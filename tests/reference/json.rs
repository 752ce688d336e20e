//! JSON as SPEC section 1 takes it, numbers kept as they were written: as other languages print them, too, and bare words
//! for floats that are none.

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// Its text.
    Number(String),
    /// `NaN`, `Infinity`, `-Infinity`.
    NoNumber,
    Text(String),
    Array(Vec<Value>),
    /// In the order of the payload, every value of a name that is given twice.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// A field's value; of several the last.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let Value::Object(fields) = self else { return None };
        fields.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub fn as_text(&self) -> Option<&str> {
        let Value::Text(text) = self else { return None };
        Some(text)
    }
}

/// The one value that `text` is. `None`: it is none.
pub fn parse(text: &str) -> Option<Value> {
    let (value, rest) = value(text.trim_start_matches(BLANKS), 0)?;
    rest.trim_start_matches(BLANKS).is_empty().then_some(value)
}

pub const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];
/// Of what is nested in the object at the top.
const DEPTH_MAX: usize = 128;

/// The value at the head of `text`, and what follows it.
fn value(text: &str, depth: usize) -> Option<(Value, &str)> {
    match text.chars().next()? {
        '"' => string(text).map(|(text, rest)| (Value::Text(text), rest)),
        '[' | '{' if depth > DEPTH_MAX => None,
        '[' => {
            let mut items = Vec::new();
            let rest = list(&text[1..], ']', |text| {
                let (item, rest) = value(text, depth + 1)?;
                items.push(item);
                Some(rest)
            })?;
            Some((Value::Array(items), rest))
        }
        '{' => {
            let mut fields = Vec::new();
            let rest = list(&text[1..], '}', |text| {
                let (name, rest) = string(text)?;
                let rest = rest.trim_start_matches(BLANKS).strip_prefix(':')?;
                let (value, rest) = value(rest.trim_start_matches(BLANKS), depth + 1)?;
                fields.push((name, value));
                Some(rest)
            })?;
            Some((Value::Object(fields), rest))
        }
        _ => {
            let end = text.find(|c| BLANKS.contains(&c) || "{}[]:,\"".contains(c)).unwrap_or(text.len());
            let (word, rest) = text.split_at(end);
            let value = match word {
                "null" => Value::Null,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "NaN" | "Infinity" | "-Infinity" => Value::NoNumber,
                _ => is_number(word).then(|| Value::Number(word.to_owned()))?,
            };
            Some((value, rest))
        }
    }
}

/// What stands between an opening bracket and `close`, separated by commas; what follows.
fn list<'a>(text: &'a str, close: char, mut item: impl FnMut(&'a str) -> Option<&'a str>) -> Option<&'a str> {
    let mut rest = text.trim_start_matches(BLANKS);
    if let Some(rest) = rest.strip_prefix(close) {
        return Some(rest);
    }
    loop {
        rest = item(rest)?.trim_start_matches(BLANKS);
        match rest.strip_prefix(close) {
            Some(rest) => return Some(rest),
            None => rest = rest.strip_prefix(',')?.trim_start_matches(BLANKS),
        }
    }
}

/// The string at the head of `text`, its escapes resolved. Raw control characters are let pass.
fn string(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('"')?;
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => {
                let raw = &text[..at];
                let strict: String =
                    raw.chars().map(|c| if c < ' ' { format!("\\u{:04x}", c as u32) } else { c.to_string() }).collect();
                return Some((serde_json::from_str(&format!("\"{strict}\"")).ok()?, &text[at + 1..]));
            }
            _ => {}
        }
    }
    None
}

/// Digits with at most one point among, before or behind them; a sign and an exponent may be there.
pub fn is_number(text: &str) -> bool {
    let magnitude = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match magnitude.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.strip_prefix(['+', '-']).unwrap_or(exponent)),
        None => (magnitude, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let are_digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    are_digits(whole)
        && are_digits(fraction)
        && are_digits(exponent)
        && !(whole.is_empty() && fraction.is_empty())
        && !exponent.is_empty()
}
