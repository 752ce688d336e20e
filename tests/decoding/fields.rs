//! Names and aliases, required and optional fields.

use senpai_md_consumer::engine::input::subject::EventKind::{self, Book, Heartbeat, Quote, Trade};

use crate::{check, with_required};

/// A field of SPEC's table: what its type says with the value `a`; `b` is another readable value.
#[track_caller]
fn check_names(kind: EventKind, canonical: &str, aliases: &[&str], (a, b): (&str, &str), expected: &str) {
    let payload = |fields: &[(&str, &str)]| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        with_required(kind, canonical, &fields.join(","))
    };
    for name in [canonical].iter().chain(aliases) {
        check(kind, payload(&[(name, a)]), expected);
        // A field given twice takes its last value, whatever the first was.
        check(kind, payload(&[(name, b), (name, a)]), expected);
        check(kind, payload(&[(name, "null"), (name, a)]), expected);
        check(kind, payload(&[(name, b), ("x", "1"), (name, b), (name, a)]), expected);
        // Names are case-sensitive and whole.
        check(
            kind,
            payload(&[(canonical, a), (&name.to_uppercase(), b), (&format!("{name}_"), b), (&name[1..], "{}")]),
            expected,
        );
    }
    for alias in aliases {
        check(kind, payload(&[(canonical, a), (alias, b)]), expected);
        check(kind, payload(&[(alias, b), (canonical, a)]), expected);
        check(kind, payload(&[(alias, b), (canonical, b), (alias, b), (canonical, a), (alias, b)]), expected);
    }
}

#[test]
fn names_and_aliases() {
    check_names(Trade, "price", &["p", "px"], ("7.5", "9"), "7.5 x 2");
    check_names(Trade, "size", &["qty", "quantity", "amount", "volume", "q"], ("7.5", "9"), "1 x 7.5");
    check_names(Trade, "side", &[], (r#""buy""#, r#""sell""#), "1 x 2 buy");
    check_names(Trade, "trade_id", &["id", "tid"], (r#""a7""#, "8"), r#"1 x 2 #"a7""#);
    check_names(Quote, "bid", &["bid_price", "bp"], ("7.5", "9"), "7.5 / 2");
    check_names(Quote, "ask", &["ask_price", "ap"], ("7.5", "9"), "1 / 7.5");
    check_names(Quote, "bid_size", &["bid_qty", "bs"], ("7.5", "9"), "1 x 7.5 / 2");
    check_names(Quote, "ask_size", &["ask_qty", "as"], ("7.5", "9"), "1 / 2 x 7.5");
    check_names(Book, "bids", &[], ("[[1,2]]", "[[3,4],[5,6]]"), "[1x2] / []");
    check_names(Book, "asks", &[], ("[[1,2]]", "[[3,4],[5,6]]"), "[] / [1x2]");
    for (kind, said) in [(Trade, "1 x 2"), (Quote, "1 / 2"), (Book, "[] / []"), (Heartbeat, "alive")] {
        let check_names = |canonical, aliases: &[&str], values, more: &str| {
            check_names(kind, canonical, aliases, values, &format!("{said} {more}"));
        };
        check_names("provider", &["source", "exchange", "venue"], (r#""a""#, r#""b""#), "from a");
        check_names("ts_exchange", &["exchange_ts", "ts_event", "timestamp", "ts"], ("5", "6"), "exchange 5000000000");
        check_names("ts_recv", &["recv_ts", "ts_receive", "received_at"], ("5", "6"), "recv 5000000000");
    }
    // A name means something in its own type of event only.
    check(Quote, r#"{"p":1,"price":1,"q":1,"bid":3,"ask":4,"bids":7}"#, "3 / 4");
    check(Trade, r#"{"bid":1,"bp":1,"as":"x","price":3,"size":4,"asks":[[]]}"#, "3 x 4");
    check(Book, r#"{"bid":1,"ask":2,"bids":[],"asks":[],"price":{},"size":[]}"#, "[] / []");
    check(Heartbeat, r#"{"bid":"x","price":"x","bids":3,"sequence":17}"#, "alive");
    // The payload's own type and symbol decide nothing.
    check(Trade, r#"{"event_type":"quote","symbol":"BTC/USD","price":3,"size":4}"#, "3 x 4");
    // The canonical name stands for the field also where its value is unreadable.
    check(Trade, r#"{"price":null,"p":3,"size":4}"#, r#"Unreadable("price")"#);
    check(Trade, r#"{"price":3,"size":4,"ts":5,"ts_exchange":"?"}"#, "3 x 4");
}

#[test]
fn required_fields() {
    check(Trade, "{}", r#"Missing("price")"#);
    check(Trade, r#"{"price":1}"#, r#"Missing("size")"#);
    check(Trade, r#"{"size":1}"#, r#"Missing("price")"#);
    check(Quote, "{}", r#"Missing("bid")"#);
    check(Quote, r#"{"bid":1}"#, r#"Missing("ask")"#);
    check(Book, "{}", r#"Missing("bids")"#);
    check(Book, r#"{"bids":[]}"#, r#"Missing("asks")"#);
    check(Heartbeat, "{}", "alive");
    check(EventKind::Unknown, r#"{"price":1,"size":2}"#, "Subject");
    let unreadable = [
        "null",
        "true",
        "false",
        "NaN",
        "Infinity",
        "-Infinity",
        "[]",
        "[1]",
        "{}",
        r#"{"a":1}"#,
        r#""""#,
        r#""abc""#,
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
        "0",
        "0.0",
        "-0",
        "0e9",
        r#""0""#,
        "1e309",
        "1e400",
        r#""1e999999999999999999999""#,
        "1e99999999999",
        "1e-400",
        "1e-99999999999",
        "-1e99999999999",
    ];
    for value in unreadable {
        for (kind, field) in [(Trade, "price"), (Trade, "size"), (Quote, "bid"), (Quote, "ask")] {
            let payload = with_required(kind, field, &format!("\"{field}\":{value}"));
            check(kind, payload, &format!("Unreadable(\"{field}\")"));
        }
    }
    for value in ["null", "true", "NaN", "1", "{}", r#""[]""#, r#"{"price":1,"size":2}"#] {
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
fn optional_fields() {
    for value in ["null", "true", "7", "[]", "{}", "NaN", r#""""#, r#""x""#, r#""buyer""#] {
        check(Trade, with_required(Trade, "", &format!("\"side\":{value}")), "1 x 2");
    }
    for side in ["buy", "BUY", "Buy", "b", "B"] {
        check(Trade, with_required(Trade, "", &format!("\"side\":\"{side}\"")), "1 x 2 buy");
    }
    for side in ["sell", "SELL", "sElL", "s", "S"] {
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
    for value in ["null", "true", "[]", "{}", "NaN", "-5", r#""yesterday""#, r#""""#] {
        let fields = format!("\"ts_recv\":{value},\"ts_exchange\":{value}");
        check(Trade, with_required(Trade, "", &fields), "1 x 2");
    }
}
