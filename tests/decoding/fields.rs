//! Required and optional fields, and the bounds of their values.

use senpai_md_consumer::engine::input::subject::EventKind::{self, Book, Heartbeat, Quote, Trade};

use crate::{check, with_required};

#[test]
fn required_fields() {
    check(Trade, "{}", r#"Missing("price")"#);
    check(Trade, r#"{"price":1}"#, r#"Missing("size")"#);
    check(Trade, r#"{"size":1}"#, r#"Missing("price")"#);
    check(Quote, "{}", r#"Missing("bid")"#);
    check(Book, "{}", r#"Missing("bids")"#);
    check(Book, r#"{"bids":[]}"#, r#"Missing("asks")"#);
    check(Heartbeat, "{}", "alive");
    check(EventKind::Unknown, r#"{"price":1,"size":2}"#, "Subject");
    let no_numbers = [
        "true",
        "false",
        "NaN",
        "Infinity",
        "-Infinity",
        "[]",
        "[1]",
        "{}",
        r#"{"a":1}"#,
        r#""abc""#,
        r#"" ""#,
        r#""1x""#,
        r#""1 2""#,
        r#""0x10""#,
        r#""1,5""#,
        r#""NaN""#,
        r#""inf""#,
        r#""Infinity""#,
        r#""-1""#,
        r#""--1""#,
        r#""+-1""#,
        r#""++1""#,
        r#"".""#,
        r#""+""#,
        r#""1e""#,
        r#""null""#,
        "-1",
        "-0.5",
        "-1e-300",
        "1e309",
        "1e400",
        r#""1e999999999999999999999""#,
        "1e99999999999",
        "-1e99999999999",
        "1e18",
        "9223372036854775807",
    ];
    for value in no_numbers {
        for (kind, field) in [(Trade, "price"), (Trade, "size"), (Quote, "bid"), (Quote, "ask")] {
            let payload = with_required(kind, field, &format!("\"{field}\":{value}"));
            check(kind, payload, &format!("Unreadable(\"{field}\")"));
        }
    }
    // In a trade nothing is as good as none; what it is in a quote is in `quotes`.
    for value in ["null", r#""""#, "0", "0.0", "-0", "0e9", r#""0""#, "1e-400", "1e-99999999999"] {
        for field in ["price", "size"] {
            let payload = with_required(Trade, field, &format!("\"{field}\":{value}"));
            check(Trade, payload, &format!("Unreadable(\"{field}\")"));
        }
    }
    for value in ["null", "true", "NaN", "1", r#""[]""#, r#"{"price":1,"size":2}"#] {
        for field in ["bids", "asks"] {
            check(
                Book,
                with_required(Book, field, &format!("\"{field}\":{value}")),
                &format!("Unreadable(\"{field}\")"),
            );
        }
    }
}

#[test]
fn bounds() {
    for (price, is_price) in [
        ("5e-324", true),
        ("999999999999999.8", true),
        ("1e15", false),
        ("999999999999999.99", false),
        ("-5e-324", false),
    ] {
        let said = |name: &str, said: String| if is_price { said } else { format!("Unreadable(\"{name}\")") };
        let shown = price.parse::<f64>().unwrap();
        check(Trade, format!("{{\"price\":{price},\"size\":2}}"), &said("price", format!("{shown} x 2")));
        check(Quote, format!("{{\"bid\":{price},\"ask\":2}}"), &said("bid", format!("{shown} / 2")));
        check(Quote, format!("{{\"bid\":1,\"ask\":{price}}}"), &said("ask", format!("1 / {shown}")));
        check(Book, format!("{{\"bids\":[[{price},1]],\"asks\":[]}}"), &said("bids", format!("[{shown}x1] / []")));
        check(Book, format!("{{\"bids\":[],\"asks\":{{\"{price}\":1}}}}"), &said("asks", format!("[] / [{shown}x1]")));
    }
    for (size, is_size) in [
        ("0.001", true),
        ("999999999999999870", true),
        ("1e18", false),
        ("999999999999999999.9", false),
        ("-0.001", false),
    ] {
        let value = size.parse::<f64>().unwrap();
        let shown = if is_size { format!(" x {value}") } else { String::new() };
        let said = |name: &str, said: String| if is_size { said } else { format!("Unreadable(\"{name}\")") };
        check(Trade, format!("{{\"price\":1,\"size\":{size}}}"), &said("size", format!("1{shown}")));
        check(Quote, format!("{{\"bid\":1,\"ask\":2,\"bid_size\":{size}}}"), &format!("1{shown} / 2"));
        check(Quote, format!("{{\"bid\":1,\"ask\":2,\"A\":{size}}}"), &format!("1 / 2{shown}"));
        let levels = said("bids", format!("[1x{value}] / []"));
        check(Book, format!("{{\"bids\":[[1,{size}]],\"asks\":[]}}"), &levels);
    }
}

#[test]
fn optional_fields() {
    for value in ["null", "true", "7", "[]", "{}", "NaN", r#""""#, r#""x""#, r#""buyers""#] {
        check(Trade, with_required(Trade, "", &format!("\"side\":{value}")), "1 x 2");
    }
    for side in ["buy", "BUY", "Buy", "b", "B", "buyer", "Buyer", "bid", "BID"] {
        check(Trade, with_required(Trade, "", &format!("\"side\":\"{side}\"")), "1 x 2 buy");
    }
    for side in ["sell", "SELL", "sElL", "s", "S", "seller", "SELLER", "a", "A", "ask", "Ask"] {
        check(Trade, with_required(Trade, "", &format!("\"side\":\"{side}\"")), "1 x 2 sell");
    }
    let long = format!("\"{}\"", "9".repeat(5_000));
    for id in [r#""""#, r#""a-b-c""#, "7", "5182005737", "-7", "1.50", "1e5", "123456789012345678901234567890", &long] {
        check(Trade, with_required(Trade, "", &format!("\"trade_id\":{id}")), &format!("1 x 2 #{id}"));
        check(Trade, with_required(Trade, "", &format!("\"trade_id\" : {id} ")), &format!("1 x 2 #{id}"));
    }
    for id in ["null", "true", "false", "[]", "[7]", "{}", r#"{"id":7}"#, "NaN", "-Infinity"] {
        check(Trade, with_required(Trade, "", &format!("\"trade_id\":{id}")), "1 x 2");
    }
    for provider in ["null", "7", "true", "[]", r#"{"name":"x"}"#, r#""""#] {
        check(Heartbeat, format!("{{\"provider\":{provider}}}"), "alive");
    }
    for (size, said) in [
        ("0", " x 0"),
        ("0.5", " x 0.5"),
        (r#""3""#, " x 3"),
        ("null", ""),
        ("-1", ""),
        ("NaN", ""),
        ("1e400", ""),
        ("[]", ""),
    ] {
        check(Quote, with_required(Quote, "", &format!("\"bid_size\":{size}")), &format!("1{said} / 2"));
        check(Quote, with_required(Quote, "", &format!("\"ask_size\":{size}")), &format!("1 / 2{said}"));
    }
    for value in ["true", "[]", "{}", "NaN", "-5", r#""yesterday""#, r#""""#, "0", "5", "1e30"] {
        let fields = format!("\"ts_recv\":{value},\"ts_exchange\":{value}");
        check(Trade, with_required(Trade, "", &fields), "1 x 2 time unreadable");
    }
    // Null says that there is none.
    check(Trade, with_required(Trade, "", r#""ts_recv":null,"ts_exchange":null"#), "1 x 2");
}
