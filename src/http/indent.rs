//! JSON indented for people, as it streams by: two spaces a level, as `serde_json` writes it.
//!
//! ```text
//!   {"a":[1,{}],"b":"x"}  ──►  {
//!                                "a": [
//!                                  1,
//!                                  {}
//!                                ],
//!                                "b": "x"
//!                              }
//! ```
//!
//! A document is never held as a whole: what is known of it is how deep it is, so its parts are indented one by one. Only
//! blanks outside of strings change.

use futures_lite::StreamExt;

use crate::http::response::{Body, JSON, Response};

/// The response with its document indented; one that is no JSON stays as it is.
pub(super) fn indented(response: Response) -> Response {
    if response.content_type != JSON {
        return response;
    }
    let mut indenter = Indenter::default();
    let body = match response.body {
        Body::Whole(bytes) => Body::Whole(indenter.indent(&bytes)),
        Body::Parts(parts) => Body::Parts(Box::pin(parts.map(move |part| indenter.indent(&part)))),
        events @ Body::Events(_) => events,
    };
    Response { body, ..response }
}

/// Where in a document the next byte is.
#[derive(Default)]
struct Indenter {
    depth: usize,
    place: Place,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Between,
    /// Behind a bracket that has opened: nothing is in it yet.
    Opened,
    InString,
    /// Behind a backslash.
    InEscape,
}

impl Indenter {
    /// The next part of the document.
    fn indent(&mut self, part: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 * part.len());
        for &byte in part {
            self.push(byte, &mut out);
        }
        out
    }

    fn push(&mut self, byte: u8, out: &mut Vec<u8>) {
        let before = self.place;
        self.place = match (before, byte) {
            (Place::InEscape, _) => Place::InString,
            (Place::InString, b'\\') => Place::InEscape,
            (Place::InString, b'"') => Place::Between,
            (Place::InString, _) => Place::InString,
            (_, b' ' | b'\t' | b'\n' | b'\r') => return,
            (_, b'"') => Place::InString,
            (_, b'{' | b'[') => Place::Opened,
            _ => Place::Between,
        };
        if matches!(before, Place::InString | Place::InEscape) {
            return out.push(byte);
        }
        if matches!(byte, b'}' | b']') {
            self.depth = self.depth.saturating_sub(1);
            if before != Place::Opened {
                self.begin_line(out);
            }
        } else if before == Place::Opened {
            self.begin_line(out);
        }
        out.push(byte);
        match byte {
            b'{' | b'[' => self.depth += 1,
            b',' => self.begin_line(out),
            b':' => out.push(b' '),
            _ => {}
        }
    }

    fn begin_line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.resize(out.len() + 2 * self.depth, b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As serde_json indents it, wherever its parts are cut.
    fn check(document: &str) {
        let value: serde_json::Value = serde_json::from_str(document).expect("JSON");
        let expected = serde_json::to_string_pretty(&value).expect("it has no special keys");
        for cut in 0..=document.len() {
            let (first, second) = document.as_bytes().split_at(cut);
            let mut indenter = Indenter::default();
            let indented = [indenter.indent(first), indenter.indent(second)].concat();
            assert_eq!(String::from_utf8_lossy(&indented), expected, "{document}, cut at {cut}");
        }
    }

    #[test]
    fn documents() {
        check("{}");
        check("[]");
        check("7");
        check(r#"{"error":"no such page"}"#);
        check(r#"{"a":[],"b":{},"c":[{}],"d":[[],[[1]]],"e":null}"#);
        check(r#"{"a":{"b":[1,-2.5,true],"c":"x"},"d":[{"e":1},{"f":2}]}"#);
        check(r#"["","a\"b","\\","\\\"",",:{}[]","{\"a\":1}","größe 株"]"#);
        check(" [ 1 , { \"a\" : \" b \" } ,\r\n\t2 ] ");
    }
}
