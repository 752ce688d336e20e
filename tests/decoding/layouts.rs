//! Order, spacing and punctuation of the fields.

use senpai_md_consumer::engine::input::decode::Decoder;
use senpai_md_consumer::engine::input::subject::EventKind::{Heartbeat, Trade};

use crate::{check, outcome};

#[test]
fn layouts() {
    let plain = r#"{"price":1.5,"size":2,"side":"buy","ts_recv":1700000005,"x":[1,{"y":null}],"provider":"a"}"#;
    let said = "1.5 x 2 buy from a recv 1700000005000000000";
    check(Trade, plain, said);
    check(Trade, plain.replace(':', ": ").replace(',', ", "), said);
    for space in [" ", "\n", "\r\n", "\t", " \n\t\r  ", "          "] {
        let mut spaced = String::from(space);
        let mut in_string = false;
        for c in plain.chars() {
            in_string ^= c == '"';
            let is_token = "{}[]:,".contains(c) && !in_string;
            spaced += &if is_token { format!("{space}{c}{space}") } else { c.to_string() };
        }
        check(Trade, &spaced, said);
        check(Trade, format!("\u{feff}{spaced}"), said);
        check(Trade, format!("{plain}{space}"), said);
    }
    for (space, expected) in
        [("\u{a0}", "Syntax"), ("\u{b}", "Syntax"), ("\0", "Syntax"), ("\u{feff}", "Syntax"), ("/**/", "Syntax")]
    {
        check(Trade, plain.replace(':', &format!(":{space}")), expected);
    }
    check(Trade, format!("\u{feff}\u{feff}{plain}"), "NotAnObject");
    for payload in
        ["", " ", "\u{feff}", "\0", "null", "1", "true", "[]", "[{}]", "\"{}\"", "x", "}", "\\{}", "price=1", "[1,2]"]
    {
        check(Trade, payload, "NotAnObject");
        check(Heartbeat, payload, "NotAnObject");
    }
    for rest in ["x", "{}", ",", "}", "\0", "1", "null", " {}", "\n[]", "\u{feff}", "//"] {
        check(Trade, format!("{plain}{rest}"), "TrailingBytes");
    }
    for bad in [
        "{",
        "{,}",
        "{\"price\"}",
        "{\"price\":}",
        "{\"price\":1,}",
        "{\"price\":1,,\"size\":2}",
        "{price:1}",
        "{'price':1}",
        "{1:2}",
        "{\"price\" 1}",
        "{\"price\"=1}",
        "{\"price\":1 \"size\":2}",
        "{\"price\":1;\"size\":2}",
        "{\"price\":1]",
        "{:1}",
        "{\"a\":01x}",
        "{\"a\":nul}",
        "{\"a\":nullx}",
        "{\"a\":True}",
        "{\"a\":None}",
        "{\"a\":nan}",
        "{\"a\":infinity}",
        "{\"a\":+Infinity}",
        "{\"a\":--Infinity}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\\"}",
        "{\"\\q\":1}",
        "{\"a\":[1,]}",
        "{\"a\":[,1]}",
        "{\"a\":[1 2]}",
        "{\"a\":[1}}",
        "{\"a\":{\"b\"}}",
        "{\"a\":{\"b\":1]}",
        "{\"a\":{b:1}}",
        "{\"a\":{\"b\":1,}}",
        "{\"a\":\u{1f600}}",
    ] {
        check(Heartbeat, bad, "Syntax");
        check(Heartbeat, format!("{{\"provider\":\"p\",\"ts\":1700000005,{}", &bad[1..]), "Syntax");
    }
    // What Python's json writes for a float that is none; nothing reads it, nothing trips over it.
    check(Heartbeat, r#"{"a":NaN,"b":[Infinity,-Infinity],"c":{"d":NaN}}"#, "alive");
}

/// Producers whose messages differ, in turn: more of them than layouts are remembered.
#[test]
fn layouts_in_turn() {
    let fields = [
        r#""price":1.5"#,
        r#""size":"2""#,
        r#""side":"sell""#,
        r#""provider":"a""#,
        r#""x":[{}]"#,
        r#""ts":1700000005"#,
    ];
    let orders = |count: usize| {
        (0..count).map(move |order| {
            let mut left = fields.to_vec();
            let mut number = order * 7;
            let fields: Vec<_> = (0..fields.len())
                .map(|_| {
                    let field = left.remove(number % left.len());
                    number = number / 2 + order;
                    field
                })
                .collect();
            // White space as Python puts it, or none; some fields are not there.
            let fields = &fields[..fields.len() - usize::from(order % 5 == 4 && !fields[5].contains("size"))];
            format!("{{{}}}", fields.join(if order % 3 == 0 { ", " } else { "," }))
        })
    };
    for count in [1, 2, 4, 5, 40] {
        let mut decoder = Decoder::default();
        for payload in (0..4).flat_map(|_| orders(count)) {
            let fresh = outcome(&mut Decoder::default(), Trade, payload.as_bytes());
            assert_eq!(outcome(&mut decoder, Trade, payload.as_bytes()), fresh, "{payload}");
            // What is malformed leaves nothing behind that would matter.
            let cut = &payload.as_bytes()[..payload.len() / 2];
            assert_eq!(outcome(&mut decoder, Trade, cut), outcome(&mut Decoder::default(), Trade, cut), "{payload}");
        }
    }
}
