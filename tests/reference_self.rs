//! The reference itself, proved by cases small enough to compute by hand.

mod reference;

use reference::generator::{self, Profile};
use reference::latency::nearest_rank;
use reference::{Published, Reference, SECOND, Settings, compare, parse, time};
use serde_json::{Value, json};

/// Where the clock of the cases stands at second 0.
const START: i64 = 1_721_347_200 * SECOND;

fn at(seconds: f64) -> i64 {
    START + (seconds * 1e9).round() as i64
}

type Step = (f64, &'static str, String);

fn event(seconds: f64, subject: &'static str, mut payload: Value) -> Step {
    payload["ts_recv"] = json!(at(seconds));
    (seconds, subject, payload.to_string())
}

fn trade(seconds: f64, price: f64, size: f64) -> Step {
    event(seconds, "md.events.trade.X", json!({"price": price, "size": size}))
}

fn quote(seconds: f64, bid: f64, ask: f64) -> Step {
    event(seconds, "md.events.quote.X", json!({"bid": bid, "ask": ask}))
}

fn book(seconds: f64, bids: Value, asks: Value) -> Step {
    event(seconds, "md.events.book_l2.X", json!({"bids": bids, "asks": asks}))
}

/// A quote that took so many milliseconds.
fn delayed(seconds: f64, latency_ms: f64) -> Step {
    let sent = at(seconds) - (latency_ms * 1e6) as i64;
    event(seconds, "md.events.quote.X", json!({"bid": 1, "ask": 1, "ts_exchange": sent}))
}

fn played(settings: Settings, steps: &[Step]) -> Reference {
    let mut reference = Reference::new(settings);
    for (_, subject, payload) in steps {
        reference.event(None, subject, payload.as_bytes());
    }
    reference
}

/// A feature of symbol X after the steps, for the moment of the last one. `None`: null.
#[track_caller]
fn check(feature: &str, steps: &[Step], expected: impl Into<Option<f64>>) {
    check_with(Settings::default(), feature, steps, expected);
}

#[track_caller]
fn check_with(settings: Settings, feature: &str, steps: &[Step], expected: impl Into<Option<f64>>) {
    let document = played(settings, steps).features("X").expect("symbol X").payload;
    let (actual, expected) = (document["features"][feature].as_f64(), expected.into());
    let equal = match (actual, expected) {
        (Some(actual), Some(expected)) => (actual - expected).abs() <= 1e-12 * expected.abs(),
        (actual, expected) => actual == expected,
    };
    assert!(equal, "{feature}: expected {expected:?}, actual {actual:?}");
}

fn rolling(seconds: i64) -> Settings {
    Settings { rolling_window_ns: seconds * SECOND, ..Settings::default() }
}

#[test]
#[rustfmt::skip] // one case a line
fn windows_are_open_at_their_far_end() {
    let edge = [trade(0.0, 100.0, 1.0), trade(10.0, 110.0, 3.0)];
    check("trade_count_10s", &edge, 1.0);
    check("trade_volume_10s", &edge, 3.0);
    check("trade_vwap_10s", &edge, 110.0);
    check("trade_vwap_60s", &edge, 107.5);
    check("trade_count_10s", &[trade(0.000000001, 100.0, 1.0), trade(10.0, 110.0, 3.0)], 2.0);
    check("trade_vwap_60s", &[trade(0.0, 100.0, 1.0), trade(60.0, 110.0, 3.0)], 110.0);
    check("trade_vwap_60s", &[trade(0.0, 100.0, 1.0), quote(60.0, 1.0, 2.0)], None);
    check("trade_vwap_10s", &[trade(0.0, 100.0, 1.0), quote(10.0, 1.0, 2.0)], None);
    check("trade_count_10s", &[trade(0.0, 100.0, 1.0), quote(10.0, 1.0, 2.0)], 0.0);
    check("trade_volume_10s", &[quote(0.0, 1.0, 2.0)], 0.0);
    check("trade_volume_10s", &(0..10).map(|i| trade(f64::from(i), 5.0, 0.1)).collect::<Vec<_>>(), 1.0);
}

#[test]
#[rustfmt::skip] // one case a line
fn windows_are_capped_by_the_rolling_window() {
    let steps = [trade(0.0, 100.0, 1.0), trade(3.0, 110.0, 1.0), trade(5.0, 121.0, 2.0)];
    check_with(rolling(5), "trade_volume_10s", &steps, 3.0);
    check_with(rolling(5), "trade_vwap_60s", &steps, (110.0 + 242.0) / 3.0);
    check_with(rolling(5), "return_10s", &steps, 121.0 / 100.0 - 1.0);
    check_with(rolling(30), "trade_vwap_60s", &[trade(0.0, 100.0, 1.0), trade(30.0, 110.0, 1.0)], 110.0);
    check_with(rolling(90), "trade_vwap_60s", &[trade(0.0, 100.0, 1.0), trade(60.0, 110.0, 1.0)], 110.0);
    // Over 60 means 60, for lateness as well.
    let late = [quote(100.0, 1.0, 2.0), trade(39.9, 5.0, 1.0), trade(40.0, 6.0, 1.0)];
    for (seconds, count) in [(90, 1), (60, 1), (30, 2), (5, 2)] {
        assert_eq!(played(rolling(seconds), &late).counts().late["trade"], count, "{seconds}");
    }
    assert!(played(rolling(60), &late[..1]).counts().late.is_empty());
    check_with(rolling(3600), "return_10s", &late[..2], None);
    check_with(rolling(3600), "return_10s", &late, 0.0);
}

#[test]
#[rustfmt::skip] // one case a line
fn return_reaches_back_to_the_last_trade_before() {
    check("return_10s", &[trade(0.0, 100.0, 1.0), trade(9.9, 110.0, 1.0)], None);
    check("return_10s", &[trade(0.0, 100.0, 1.0), trade(10.0, 110.0, 1.0)], 0.1);
    check("return_10s", &[trade(0.0, 100.0, 1.0), trade(300.0, 110.0, 1.0)], 0.1);
    check("return_10s", &[trade(0.0, 100.0, 1.0), quote(300.0, 1.0, 2.0)], 0.0);
    check("return_10s", &[quote(0.0, 1.0, 2.0), trade(10.0, 5.0, 1.0)], None);
    // Of two trades at one moment the later arrival is the last.
    check("return_10s", &[trade(0.0, 50.0, 1.0), trade(0.0, 100.0, 1.0), trade(10.0, 99.0, 1.0), trade(10.0, 110.0, 1.0)], 0.1);
    // A trade that comes late takes its place in time, also as the one that p(now - 10 s) finds.
    check("return_10s", &[trade(0.0, 50.0, 1.0), trade(12.0, 110.0, 1.0), trade(2.0, 100.0, 1.0), trade(3.0, 1.0, 1.0)], 0.1);
}

#[test]
#[rustfmt::skip] // one case a line
fn volatility_is_of_log_returns_within_the_window() {
    let e = std::f64::consts::E;
    let double = |seconds: f64, power: i32| trade(seconds, e.powi(power), 1.0);
    // Returns 1 and -1: mean 0, variance 2 / 1.
    check("realized_vol_60s", &[double(0.0, 0), double(1.0, 1), double(2.0, 0)], 2.0_f64.sqrt());
    // Returns 1, 2, 3: variance 1.
    check("realized_vol_60s", &[double(0.0, 0), double(1.0, 1), double(2.0, 3), double(3.0, 6)], 1.0);
    check("realized_vol_60s", &[double(0.0, 0), double(1.0, 1)], None);
    check("realized_vol_60s", &[double(0.0, 0)], None);
    // The first trade has left, and with it the return to the second.
    check("realized_vol_60s", &[double(0.0, 0), double(10.0, 5), double(20.0, 6), double(60.0, 8)], 0.5_f64.sqrt());
    check("realized_vol_60s", &[double(0.0, 0), double(10.0, 5), double(60.0, 8)], None);
    // Out of order: by time the returns are 1 and -1.
    check("realized_vol_60s", &[double(0.0, 0), double(2.0, 0), double(1.0, 1)], 2.0_f64.sqrt());
    // Tied in time: by arrival.
    check("realized_vol_60s", &[double(0.0, 0), double(0.0, 1), double(0.0, 0)], 2.0_f64.sqrt());
}

#[test]
#[rustfmt::skip] // one case a line
fn market_is_the_newer_of_quote_and_two_sided_book() {
    let b = |seconds, bid: f64, ask: f64| book(seconds, json!([[bid, 1], [0.5, 0]]), json!([{"price": ask, "size": 1}]));
    check("mid", &[trade(0.0, 5.0, 1.0)], None);
    check("mid", &[quote(0.0, 99.0, 101.0)], 100.0);
    check("spread_abs", &[quote(0.0, 99.0, 101.0)], 2.0);
    check("spread_bps", &[quote(0.0, 99.0, 101.0)], 200.0);
    check("spread_abs", &[quote(0.0, 101.0, 99.0)], -2.0);
    check("mid", &[quote(0.0, 99.0, 101.0), b(1.0, 9.0, 11.0)], 10.0);
    check("mid", &[b(1.0, 9.0, 11.0), quote(0.0, 99.0, 101.0)], 10.0);
    check("mid", &[b(1.0, 9.0, 11.0), quote(1.0, 99.0, 101.0)], 100.0);
    check("mid", &[quote(1.0, 99.0, 101.0), b(1.0, 9.0, 11.0)], 100.0);
    check("mid", &[b(0.0, 9.0, 11.0), book(1.0, json!([]), json!([[7, 1]]))], 10.0);
    check("mid", &[book(1.0, json!([[7, 1]]), json!([]))], None);
    // A one-sided book does not stand in the way of an older two-sided one.
    check("mid", &[book(5.0, json!([[7, 1]]), json!([])), b(4.0, 9.0, 11.0)], 10.0);
    check("mid", &[quote(1.0, 99.0, 101.0), quote(1.0, 9.0, 11.0), quote(0.5, 1.0, 2.0)], 10.0);
}

#[test]
#[rustfmt::skip] // one case a line
fn percentiles_are_of_the_nearest_rank() {
    let ranks = |n: i64, percent| nearest_rank(&mut (1..=n).map(|ms| ms * 1_000_000).collect::<Vec<_>>(), percent);
    assert_eq!(ranks(0, 50), None);
    assert_eq!((ranks(1, 50), ranks(1, 95)), (Some(1.0), Some(1.0)));
    assert_eq!((ranks(2, 50), ranks(2, 95)), (Some(1.0), Some(2.0)));
    assert_eq!((ranks(3, 50), ranks(20, 95), ranks(21, 95)), (Some(2.0), Some(19.0), Some(20.0)));
    assert_eq!((ranks(100, 50), ranks(100, 95)), (Some(50.0), Some(95.0)));
    check("latency_ms_p50", &[delayed(0.0, 5.0), delayed(1.0, 1.5), delayed(2.0, 3.0)], 3.0);
    check("latency_ms_p95", &[delayed(0.0, 5.0), delayed(1.0, 1.5), delayed(2.0, 3.0)], 5.0);
    check("latency_ms_p95", &[delayed(0.0, 5.0), delayed(60.0, 1.5)], 1.5);
    check("latency_ms_p95", &[delayed(0.0, 5.0), quote(60.0, 1.0, 2.0)], None);
    check("latency_ms_p95", &[delayed(0.0, -5.0)], -5.0);
    check_with(rolling(20), "latency_ms_p95", &[delayed(0.0, 5.0), delayed(20.0, 1.5)], 1.5);
}

#[test]
#[rustfmt::skip] // one case a line
fn latency_is_accepted_over_any_window_from_55_to_60_s() {
    let steps: Vec<Step> = [(1.0, 40.0), (3.0, 30.0), (5.0, 20.0), (5.1, 10.0), (60.0, 10.0)].map(|(s, ms)| delayed(s, ms)).into();
    let window = played(Settings::default(), &steps).features("X").unwrap().latency.unwrap();
    let pairs: Vec<_> = window.latency_accept().iter().map(|p| p.map(|p| (p.p50_ms, p.p95_ms)).unwrap()).collect();
    assert_eq!(pairs, [(20.0, 40.0), (10.0, 30.0), (10.0, 20.0), (10.0, 10.0)]);
    let accepts = |p50: f64, p95: f64| window.accepts(Some(p50), Some(p95));
    assert!(accepts(20.0, 40.0) && accepts(20.2, 39.6) && accepts(10.0, 20.0) && accepts(10.0, 10.1));
    // From two different windows; 1.5 % off; the median of none; none is empty.
    assert!(!accepts(20.0, 30.0) && !accepts(20.3, 40.0) && !accepts(30.0, 40.0) && !window.accepts(None, None));
    // A sample that comes later, from earlier, does not reach back into a window already taken.
    let mut reference = played(Settings::default(), &steps);
    let window = reference.features("X").unwrap().latency.unwrap();
    reference.event(None, delayed(30.0, 9999.0).1, delayed(30.0, 9999.0).2.as_bytes());
    assert_eq!(window.percentiles().unwrap().p95_ms, 40.0);
}

#[test]
#[rustfmt::skip] // one case a line
fn late_events_change_no_window() {
    let late = [trade(0.0, 100.0, 1.0), quote(100.0, 1.0, 2.0), trade(39.999, 5.0, 1.0)];
    check("return_10s", &late, 0.0);
    check("trade_vwap_60s", &late, None);
    let reference = played(Settings::default(), &late);
    assert_eq!(reference.counts().late["trade"], 1);
    // It is still the latest trade, being newer than the one before.
    assert_eq!(reference.state("X").unwrap().trade.unwrap().price, 5.0);
    let older = [trade(50.0, 100.0, 1.0), quote(120.0, 1.0, 2.0), trade(49.0, 5.0, 1.0)];
    assert_eq!(played(Settings::default(), &older).state("X").unwrap().trade.unwrap().price, 100.0);
    // Just at the end of the window is not late: it answers for p(x), though it is in no window.
    let edge = [quote(100.0, 1.0, 2.0), trade(40.0, 5.0, 1.0)];
    check("return_10s", &edge, 0.0);
    assert!(played(Settings::default(), &edge).counts().late.is_empty());
    check("latency_ms_p50", &[quote(100.0, 1.0, 2.0), delayed(39.9, 5.0)], None);
}

#[test]
#[rustfmt::skip] // one case a line
fn latest_is_replaced_only_by_what_is_not_older() {
    let last_price = |steps: &[Step]| played(Settings::default(), steps).state("X").unwrap().trade.unwrap().price;
    assert_eq!(last_price(&[trade(1.0, 100.0, 1.0), trade(0.0, 99.0, 1.0)]), 100.0);
    assert_eq!(last_price(&[trade(1.0, 100.0, 1.0), trade(1.0, 99.0, 1.0)]), 99.0);
    let one_sided = [book(0.0, json!([[1, 1]]), json!([[2, 1]])), book(1.0, json!([[7, 1]]), json!([]))];
    assert_eq!(played(Settings::default(), &one_sided).state("X").unwrap().book.unwrap().bids, [(7.0, 1.0)]);
    assert!(played(Settings::default(), &one_sided).state("Y").is_none());
}

fn count_of(subject: &str, payload: &str) -> (u64, u64) {
    let mut reference = Reference::new(Settings::default());
    reference.event(None, subject, payload.as_bytes());
    let counts = reference.counts();
    (counts.events.values().sum(), counts.malformed.values().sum())
}

#[test]
#[rustfmt::skip] // one case a line
fn payloads_are_read_tolerantly() {
    let price_and_size = |payload: &str| match parse::event(parse::Kind::Trade, payload.as_bytes())?.body {
        parse::Body::Trade { price, size, .. } => Some((price, size)),
        _ => None,
    };
    let good = Some((2.5, 4.0));
    for payload in [
        r#"{"price":2.5,"size":4}"#,
        r#" {"size":"4","price":"2.5","x":{"price":[1,{"size":9}]}} "#,
        r#"{"p":2.5,"q":4}"#,
        r#"{"px":"25e-1","amount":4.0}"#,
        r#"{"price":1,"size":4,"price":2.5}"#,
        r#"{"p":1,"price":2.5,"qty":9,"size":4}"#,
        r#"{"px":1,"p":2.5,"q":9,"volume":9,"amount":9,"quantity":9,"qty":4}"#,
        r#"{"q":9,"volume":4,"price":2.5}"#,
        r#"{"\u0070rice":2.5,"size":4}"#,
        r#"{"price":+2.5,"size":4.}"#,
        r#"{"price":002.50,"size":"+4"}"#,
        r#"{"price":" 2.5 ","size":"04.","x":[NaN,-Infinity,.5,"NaN"],"y":Infinity}"#,
        r#"{"price":.25e1,"size":4.e0}"#,
    ] {
        assert_eq!(price_and_size(payload), good, "{payload}");
    }
    for payload in [
        r#"{"price":2.5}"#,
        r#"{"size":4}"#,
        r#"{"price":2.5,"size":0}"#,
        r#"{"price":2.5,"size":-4}"#,
        r#"{"price":0,"size":4}"#,
        r#"{"price":"NaN","size":4}"#,
        r#"{"price":"inf","size":4}"#,
        r#"{"price":NaN,"size":4}"#,
        r#"{"price":2.5,"size":-Infinity}"#,
        r#"{"price":++2.5,"size":4}"#,
        r#"{"price":.,"size":4}"#,
        r#"{"price":"2 .5","size":4}"#,
        r#"{"price":true,"size":4}"#,
        // The canonical name wins, also when it can't be read.
        r#"{"price":null,"p":2.5,"size":4}"#,
        r#"{"price":2.5,"price":null,"size":4}"#,
        r#"{"price":2.5,"size":4"#,
        r#"{"price":2.5,"size":4}}"#,
        r#"[{"price":2.5,"size":4}]"#,
        "",
    ] {
        assert_eq!(price_and_size(payload), None, "{payload}");
    }

    let event = |kind, payload: &str| parse::event(kind, payload.as_bytes()).unwrap();
    let provider = |payload: &str| event(parse::Kind::Heartbeat, payload).provider;
    assert_eq!(provider("{}"), "unknown");
    assert_eq!(provider(r#"{"provider":7}"#), "unknown");
    assert_eq!(provider(r#"{"venue":"v","exchange":"e"}"#), "e");
    assert_eq!(provider(r#"{"venue":"v","source":"s","provider":"p"}"#), "p");
    let recv = |payload: &str| event(parse::Kind::Heartbeat, payload).ts_recv;
    assert_eq!(recv(r#"{"received_at":3,"ts_receive":2}"#), Some(2 * SECOND));
    assert_eq!(recv(r#"{"ts_recv":"soon","recv_ts":2}"#), None);
    let sent = |payload: &str| event(parse::Kind::Heartbeat, payload).ts_exchange;
    assert_eq!(sent(r#"{"ts":4,"timestamp":3}"#), Some(3 * SECOND));
    assert_eq!(sent(r#"{"ts":4,"timestamp":3,"ts_event":2,"exchange_ts":1}"#), Some(SECOND));

    let side_and_id = |payload: &str| match event(parse::Kind::Trade, payload).body {
        parse::Body::Trade { side, trade_id, .. } => (side, trade_id),
        _ => unreachable!(),
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(side_and_id(r#"{"price":1,"size":1,"side":"S","tid":7}"#), ("sell", text("7")));
    assert_eq!(side_and_id(r#"{"price":1,"size":1,"side":"Buy","id":"x","tid":7}"#), ("buy", text("x")));
    assert_eq!(side_and_id(r#"{"price":1,"size":1,"side":1,"id":[]}"#), ("unknown", None));

    let quote = |payload: &str| match parse::event(parse::Kind::Quote, payload.as_bytes())?.body {
        parse::Body::Quote { bid, ask, bid_size, ask_size } => Some((bid, ask, bid_size, ask_size)),
        _ => None,
    };
    assert_eq!(quote(r#"{"bp":1,"ap":"2","bs":0,"as":"-1"}"#), Some((1.0, 2.0, Some(0.0), None)));
    assert_eq!(quote(r#"{"bid_price":1,"ask_price":2,"bid_qty":3,"ask_qty":4}"#), Some((1.0, 2.0, Some(3.0), Some(4.0))));
    assert_eq!(quote(r#"{"bid":1}"#), None);
    assert_eq!(quote(r#"{"bid":1,"ask":0}"#), None);

    let bids = |bids: &str| match parse::event(parse::Kind::Book, format!("{{\"asks\":[],\"bids\":{bids}}}").as_bytes())?.body {
        parse::Body::Book { bids, .. } => Some(bids),
        _ => None,
    };
    assert_eq!(bids("[]"), Some(vec![]));
    assert_eq!(bids(r#"[["2",0,"more"],{"size":"3","x":1,"price":1}]"#), Some(vec![(2.0, 0.0), (1.0, 3.0)]));
    for bad in ["null", "{}", "[1]", "[[1]]", "[[0,1]]", "[[1,-1]]", r#"[{"price":1}]"#, "[[1,1],null]"] {
        assert_eq!(bids(bad), None, "{bad}");
    }
}

#[test]
#[rustfmt::skip] // one case a line
fn subjects_name_type_and_symbol() {
    let symbol = |text| parse::subject(text).map(|(kind, symbol)| (kind.name(), symbol));
    assert_eq!(symbol("md.events.trade.BRK.B"), Some(("trade", "BRK.B")));
    assert_eq!(symbol("md.events.quote.BTC/USD"), Some(("quote", "BTC/USD")));
    assert_eq!(symbol("md.events.book_l2.X"), Some(("book_l2", "X")));
    assert_eq!(symbol("md.events.heartbeat.__system__"), Some(("heartbeat", "__system__")));
    for bad in ["md.events.trade.", "md.events.trade", "md.events.book.X", "md.event.trade.X", "MD.events.trade.X", ""] {
        assert_eq!(symbol(bad), None, "{bad}");
    }
    let quote = r#"{"bid":1,"ask":2}"#;
    for good in ["X", "BRK.B", "BTC/USD", "ÅL.OL"] {
        assert_eq!(count_of(&format!("md.events.quote.{good}"), quote), (1, 0), "{good}");
    }
    for bad in ["*", ">", "A.*", "*.A", "A>B", "A..B", ".A", "A.", "A B", "A\n", "A\u{85}", &"x".repeat(129)] {
        assert_eq!(count_of(&format!("md.events.quote.{bad}"), quote), (0, 1), "{bad}");
    }
    assert_eq!(count_of("md.events.heartbeat.x", "{}"), (1, 0));
    assert_eq!(count_of("md.events.heartbeat.x", "null"), (0, 1));
    assert_eq!(count_of("md.events.heartbeat.", "{}"), (0, 1));
    let mut reference = Reference::new(Settings::default());
    reference.event(None, "md.events.heartbeat.x", b"{}");
    reference.event(None, "md.events.trade.", br#"{"price":1,"size":1}"#);
    assert_eq!(reference.counts().malformed["unknown"], 1);
    assert!(reference.symbols().is_empty());
}

#[test]
fn timestamps_are_told_apart() {
    let parsed = |value: Value| parse::timestamp(&value);
    let t = 1_721_347_022_605_624_000;
    for good in [
        json!("2024-07-18T23:57:02.605624Z"),
        json!("2024-07-18 23:57:02.605624"),
        json!("2024-07-19T05:27:02.605624000+05:30"),
        json!("2024-07-18T15:57:02.605624-08:00"),
        json!(1721347022.605624),
        json!(1721347022605.624),
        json!(1721347022605624_u64),
        json!(1721347022605624000_u64),
        json!("1721347022.605624"),
        json!("1721347022605624000"),
        json!("1.721347022605624e9"),
    ] {
        assert_eq!(parsed(good.clone()), Some(t), "{good}");
    }
    assert_eq!(parsed(json!("1721347022605")), Some(1_721_347_022_605_000_000));
    assert_eq!(parsed(json!(1721347022)), Some(1_721_347_022_000_000_000));
    assert_eq!(parsed(json!("2024-07-18T23:57:02Z")), Some(1_721_347_022_000_000_000));
    assert_eq!(parsed(json!("2024-07-18T23:57:02.000000001Z")), Some(1_721_347_022_000_000_001));
    assert_eq!(parsed(json!("2024-02-29T00:00:00Z")), Some(1_709_164_800 * SECOND));
    assert_eq!(parsed(json!("2016-12-31T23:59:60Z")), Some(1_483_228_800 * SECOND));
    assert_eq!(parsed(json!("1969-12-31T23:59:59.5Z")), Some(-SECOND / 2));
    assert_eq!(parsed(json!(0)), Some(0));
    assert_eq!(parsed(json!(99_999_999_999_i64)), None); // Seconds of the year 5138: too far for i64 nanoseconds.
    assert_eq!(parsed(json!(100_000_000_000_i64)), Some(100_000_000 * SECOND));
    assert_eq!(parsed(json!(99_999_999_999_999_i64)), None);
    assert_eq!(parsed(json!(100_000_000_000_000_i64)), Some(100_000_000 * SECOND));
    assert_eq!(parsed(json!(99_999_999_999_999_999_i64)), None);
    assert_eq!(parsed(json!(100_000_000_000_000_000_i64)), Some(100_000_000 * SECOND));
    for bad in [
        json!("2023-02-29T00:00:00Z"),
        json!("2024-13-01T00:00:00Z"),
        json!("2024-07-18"),
        json!("2024-07-18T24:00:00Z"),
        json!("2024-07-18T23:57:02.Z"),
        json!("2024-07-18T23:57:02.0123456789Z"),
        json!("2024-07-18T23:57:02+0530"),
        json!("2024-07-18T23:57:02 Z"),
        json!("now"),
        json!(""),
        json!(null),
        json!([1]),
    ] {
        assert_eq!(parsed(bad.clone()), None, "{bad}");
    }
    assert_eq!(time::format(t), "2024-07-18T23:57:02.605624Z");
    assert_eq!(time::format(t + 999), "2024-07-18T23:57:02.605624Z");
    assert_eq!(time::format(951_782_400 * SECOND), "2000-02-29T00:00:00.000000Z");
    assert_eq!(time::format(-1), "1969-12-31T23:59:59.999999Z");
}

/// A quote of X, received so many seconds from the start.
fn feed(reference: &mut Reference, receipt: f64, payload: Value) -> Vec<Published> {
    reference.event(Some(at(receipt)), "md.events.quote.X", payload.to_string().as_bytes())
}

#[test]
#[rustfmt::skip] // one case a line
fn event_time_is_recv_then_exchange_then_receipt_and_never_far_ahead() {
    let t = |receipt: f64, recv: Option<f64>, exchange: Option<f64>| {
        let mut reference = Reference::new(Settings::default());
        let payload = json!({"bid": 1, "ask": 2, "ts_recv": recv.map(at), "ts_exchange": exchange.map(at), "venue": "v"});
        let published = feed(&mut reference, receipt, payload);
        let seconds = (reference.state("X").unwrap().quote.unwrap().t - START) as f64 / 1e9;
        let rejected = reference.counts().timestamps_rejected.get("v").copied().unwrap_or(0);
        (seconds, published[0].payload["features"]["latency_ms_p50"].as_f64(), rejected)
    };
    assert_eq!(t(9.0, Some(5.0), Some(4.5)), (5.0, Some(500.0), 0));
    assert_eq!(t(9.0, None, Some(4.5)), (4.5, Some(4500.0), 0));
    assert_eq!(t(9.0, Some(5.0), None), (5.0, None, 0));
    assert_eq!(t(9.0, None, None), (9.0, None, 0));
    assert_eq!(t(9.0, Some(39.0), Some(8.5)), (39.0, Some(30_500.0), 0));
    assert_eq!(t(9.0, Some(39.000000001), Some(8.5)), (9.0, Some(500.0), 1));
    assert_eq!(t(9.0, None, Some(40.0)), (9.0, None, 1));
    assert_eq!(t(9.0, Some(40.0), Some(50.0)), (9.0, None, 1));
    assert_eq!(t(9.0, Some(8.0), Some(50.0)), (8.0, Some(-42_000.0), 0));
}

#[test]
#[rustfmt::skip] // one case a line
fn now_moves_on_with_local_time() {
    let mut reference = Reference::new(Settings::default());
    let now = |reference: &Reference| (reference.features("X").unwrap().ts_ns - START) as f64 / 1e9;
    feed(&mut reference, 10.0, json!({"bid": 1, "ask": 2, "ts_recv": at(9.0)}));
    assert_eq!(now(&reference), 9.0);
    // Not newer: the watermark has not moved, but a second has passed.
    feed(&mut reference, 11.0, json!({"bid": 1, "ask": 2, "ts_recv": at(9.0)}));
    assert_eq!(now(&reference), 10.0);
    // Newer, though behind the `now` before.
    feed(&mut reference, 12.0, json!({"bid": 1, "ask": 2, "ts_recv": at(9.5)}));
    assert_eq!(now(&reference), 9.5);
    // Local time does not step back.
    feed(&mut reference, 3.0, json!({"bid": 1, "ask": 2, "ts_recv": at(9.2)}));
    assert_eq!(now(&reference), 9.5);
    reference.advance(at(20.0));
    assert_eq!(now(&reference), 17.5);
    // Heartbeats move it too; malformed events change nothing.
    reference.event(Some(at(22.0)), "md.events.heartbeat.x", b"{}");
    assert_eq!(now(&reference), 19.5);
    reference.event(Some(at(23.0)), "md.events.quote.X", b"?");
    reference.event(Some(at(23.0)), "md.events.quote.X..", br#"{"bid":1,"ask":2}"#);
    reference.event(Some(at(23.0)), "md.events.else.X", b"{}");
    assert_eq!(now(&reference), 19.5);
}

/// Feeds quotes by (receipt, symbol; `-`: a malformed message) at 10 Hz, finishes at the end, and lists the snapshots as (number of the step that caused it, symbol, ts).
fn schedule(steps: &[(f64, &str)]) -> Vec<(usize, String, f64)> {
    let mut reference = Reference::new(Settings::default());
    let mut log = Vec::new();
    let mut note = |step: usize, published: Vec<Published>| {
        for message in published {
            let symbol = message.subject.strip_prefix("senpai.features.").unwrap().to_owned();
            log.push((step, symbol, (message.ts_ns - START) as f64 / 1e9));
        }
    };
    for (step, (receipt, symbol)) in steps.iter().enumerate() {
        let receipt = at(*receipt);
        let published = match *symbol {
            "advance" => reference.advance(receipt),
            "-" => reference.event(Some(receipt), "md.events.quote.A", b"?"),
            _ => reference.event(Some(receipt), &format!("md.events.quote.{symbol}"), br#"{"bid":1,"ask":2}"#),
        };
        note(step, published);
    }
    note(steps.len(), reference.finish());
    log
}

#[track_caller]
fn check_schedule(steps: &[(f64, &str)], expected: &[(usize, &str, f64)]) {
    let expected: Vec<_> = expected.iter().map(|(step, symbol, ts)| (*step, (*symbol).to_owned(), *ts)).collect();
    assert_eq!(schedule(steps), expected);
}

#[test]
#[rustfmt::skip] // one case a line
fn snapshots_keep_to_the_rate_and_withhold_nothing() {
    check_schedule(&[(0.0, "A")], &[(0, "A", 0.0)]);
    check_schedule(&[(0.0, "A"), (0.1, "A")], &[(0, "A", 0.0), (1, "A", 0.1)]);
    check_schedule(&[(0.0, "A"), (0.05, "A"), (0.07, "A")], &[(0, "A", 0.0), (3, "A", 0.1)]);
    // Due before the next event, whosever it is; a malformed one changes nothing.
    check_schedule(&[(0.0, "A"), (0.05, "A"), (0.15, "B")], &[(0, "A", 0.0), (2, "A", 0.1), (2, "B", 0.15)]);
    check_schedule(&[(0.0, "A"), (0.05, "A"), (0.15, "-")], &[(0, "A", 0.0), (3, "A", 0.1)]);
    // The interval runs from the moment it was due.
    check_schedule(&[(0.0, "A"), (0.05, "A"), (0.15, "A"), (0.2, "A")], &[(0, "A", 0.0), (2, "A", 0.1), (3, "A", 0.2)]);
    // Due at the event's own moment: the event takes it along, and a stranger's event does not set it off.
    check_schedule(&[(0.0, "A"), (0.05, "A"), (0.1, "A")], &[(0, "A", 0.0), (2, "A", 0.1)]);
    check_schedule(&[(0.0, "A"), (0.05, "A"), (0.1, "B"), (0.1, "A")], &[(0, "A", 0.0), (2, "B", 0.1), (3, "A", 0.1)]);
    check_schedule(&[(0.0, "A"), (0.05, "A"), (0.1, "B")], &[(0, "A", 0.0), (2, "B", 0.1), (3, "A", 0.1)]);
    check_schedule(&[(0.0, "A"), (0.05, "A"), (0.1, "advance")], &[(0, "A", 0.0), (2, "A", 0.1)]);
    check_schedule(&[(0.0, "A"), (0.05, "A"), (0.099, "advance")], &[(0, "A", 0.0), (3, "A", 0.1)]);
    // Due together: in the order of the publications before. Else in the order of time.
    let (b, a) = ((0, "B", 0.0), (1, "A", 0.0));
    check_schedule(&[(0.0, "B"), (0.0, "A"), (0.01, "A"), (0.02, "B"), (5.0, "advance")], &[b, a, (4, "B", 0.1), (4, "A", 0.1)]);
    let (b, a) = ((0, "B", 0.0), (1, "A", 0.01));
    check_schedule(&[(0.0, "B"), (0.01, "A"), (0.02, "A"), (0.03, "B"), (5.0, "advance")], &[b, a, (4, "B", 0.1), (4, "A", 0.11)]);
}

#[test]
#[rustfmt::skip] // one case a line
fn a_pending_snapshot_is_computed_for_its_moment() {
    let mut reference = Reference::new(Settings::default());
    let mut play = |step: Step, receipt: f64| reference.event(Some(at(receipt)), step.1, step.2.as_bytes());
    play(trade(-10.05, 100.0, 1.0), 0.0);
    play(trade(0.0, 110.0, 1.0), 0.0);
    play(trade(0.02, 120.0, 1.0), 0.05);
    // Due at 0.1, 0.05 after the watermark came to 0.02: now is 0.07. The next event is not in it.
    let published = play(trade(0.2, 999.0, 1.0), 0.25);
    assert_eq!(published[0].ts_ns, at(0.07));
    assert_eq!(published[0].payload["features"]["trade_count_10s"], 2);
    assert_eq!(published[0].payload["features"]["return_10s"].as_f64(), Some(120.0 / 100.0 - 1.0));
    assert_eq!(published[1].ts_ns, at(0.2));
    let off = Settings { publish_interval_ns: 0, ..Settings::default() };
    assert!(Reference::new(off).event(None, "md.events.quote.X", br#"{"bid":1,"ask":2}"#).is_empty());
    assert_eq!([10.0, 3.0, 0.5, 0.0].map(Settings::interval_ns), [100_000_000, 333_333_334, 2_000_000_000, 0]);
}

#[test]
#[rustfmt::skip] // one case a line
fn messages_leave_in_the_order_of_their_moments() {
    let steps = [quote(0.0, 999.5, 1000.5), trade(0.0, 1000.0, 1.0), quote(9.0, 999.5, 1000.5), quote(9.05, 999.5, 1000.5),
                 event(10.0, "md.events.quote.Y", json!({"bid": 1, "ask": 2})), trade(10.0, 1004.0, 1.5)];
    let mut reference = Reference::new(Settings::default());
    let mut published: Vec<_> = steps.iter().flat_map(|(_, subject, payload)| reference.event(None, subject, payload.as_bytes())).collect();
    published.extend(reference.finish());
    let shown: Vec<_> = reference::in_order(published).iter().map(|p| (p.subject[7..].to_owned(), (p.moment_ns - START) as f64 / 1e9)).collect();
    let expected = [("features.X", 0.0), ("features.X", 0.1), ("features.X", 9.0), ("features.X", 9.1),
                    ("signals.X", 10.0), ("features.Y", 10.0), ("features.X", 10.0)];
    assert_eq!(shown, expected.map(|(subject, at)| (subject.to_owned(), at)));
}

/// The signals that the steps give, as (ts, direction, price); receipt is the step's own time plus `behind`.
fn signals(steps: &[Step], behind: Option<f64>) -> (Vec<(f64, String, f64)>, u64) {
    let mut reference = Reference::new(Settings::default());
    let mut log = Vec::new();
    for (seconds, subject, payload) in steps {
        let published = reference.event(behind.map(|behind| at(seconds + behind)), subject, payload.as_bytes());
        let snapshots_after_signals = published.iter().is_sorted_by_key(|p| p.subject.starts_with("senpai.features."));
        assert!(snapshots_after_signals || published.len() > 2);
        for message in published.iter().filter(|p| p.subject == "senpai.signals.X") {
            let direction = message.payload["direction"].as_str().unwrap().to_owned();
            log.push(((message.ts_ns - START) as f64 / 1e9, direction, message.payload["price"].as_f64().unwrap()));
        }
    }
    (log, reference.counts().signals_stale)
}

#[track_caller]
fn check_signals(steps: &[Step], expected: &[(f64, &str, f64)]) {
    let expected: Vec<_> =
        expected.iter().map(|(ts, direction, price)| (*ts, (*direction).to_owned(), *price)).collect();
    assert_eq!(signals(steps, None).0, expected);
    assert_eq!(signals(steps, Some(5.0)), (expected.clone(), 0), "5 s old is not stale");
    let (none, stale) = signals(steps, Some(5.001));
    assert!(none.is_empty() && (stale >= expected.len() as u64), "older is: {none:?} {stale}");
}

#[test]
#[rustfmt::skip] // one case a line
fn signals_need_every_condition() {
    let tight = quote(0.0, 999.5, 1000.5);
    let from = trade(0.0, 1000.0, 1.0);
    let (up, down) = (trade(10.0, 1004.0, 1.5), trade(10.0, 996.0, 1.5));
    check_signals(&[tight.clone(), from.clone(), up.clone()], &[(10.0, "long", 1004.0)]);
    check_signals(&[tight.clone(), from.clone(), down], &[(10.0, "short", 996.0)]);
    // The last condition may be met by a quote, a book, or time.
    check_signals(&[from.clone(), up.clone(), quote(11.0, 999.5, 1000.5)], &[(11.0, "long", 1004.0)]);
    check_signals(&[from.clone(), up.clone(), book(11.0, json!([[999.5, 1]]), json!([[1000.5, 1]]))], &[(11.0, "long", 1004.0)]);
    check_signals(&[tight.clone(), from.clone(), trade(9.0, 1004.0, 1.5), quote(10.0, 999.5, 1000.5)], &[(10.0, "long", 1004.0)]);
    // Nulls and missed conditions.
    check_signals(&[from.clone(), up.clone()], &[]);
    check_signals(&[tight.clone(), up.clone()], &[]);
    check_signals(&[tight.clone(), from.clone(), trade(10.0, 1004.0, 1.0)], &[]);
    check_signals(&[tight.clone(), from.clone(), trade(10.0, 1002.9, 1.5)], &[]);
    check_signals(&[quote(0.0, 999.0, 1001.0), from.clone(), up.clone()], &[]);
    check_signals(&[quote(0.0, 1000.5, 999.5), from.clone(), up.clone()], &[]);
    check_signals(&[quote(0.0, 1000.0, 1000.0), from.clone(), up.clone()], &[(10.0, "long", 1004.0)]);
}

#[test]
#[rustfmt::skip] // one case a line
fn signals_cool_down_by_direction() {
    let start = [quote(0.0, 999.5, 1000.5), trade(0.0, 1000.0, 1.0), trade(10.0, 1004.0, 1.5)];
    let then = |more: &[Step]| [start.as_slice(), more].concat();
    let first = (10.0, "long", 1004.0);
    check_signals(&then(&[trade(11.0, 1005.0, 1.5)]), &[first]);
    check_signals(&then(&[trade(19.999, 1012.0, 1.5)]), &[first]);
    check_signals(&then(&[trade(20.0, 1012.0, 1.5)]), &[first, (20.0, "long", 1012.0)]);
    check_signals(&then(&[trade(11.0, 990.0, 1.5)]), &[first, (11.0, "short", 990.0)]);
    check_signals(
        &then(&[trade(11.0, 990.0, 1.5), trade(20.5, 1012.0, 1.5)]),
        &[first, (11.0, "short", 990.0), (20.5, "long", 1012.0)],
    );
}

#[test]
#[rustfmt::skip] // one case a line
fn a_stale_signal_starts_no_cooldown() {
    let steps = [quote(0.0, 999.5, 1000.5), trade(0.0, 1000.0, 1.0), trade(10.0, 1004.0, 1.5), trade(11.0, 1004.0, 1.5)];
    let mut reference = Reference::new(Settings::default());
    let mut emitted = Vec::new();
    for ((_, subject, payload), receipt) in steps.iter().zip([0.0, 0.0, 15.5, 15.6]) {
        emitted.push(
            reference
                .event(Some(at(receipt)), subject, payload.as_bytes())
                .iter()
                .filter(|p| p.subject.contains("signals"))
                .count(),
        );
    }
    assert_eq!((emitted, reference.counts().signals_stale), (vec![0, 0, 0, 1], 1));
}

fn run(messages: &[generator::Message]) -> (Vec<Published>, Reference) {
    let mut reference = Reference::new(Settings::default());
    let mut published = Vec::new();
    for (receipt, subject, payload) in messages {
        published.extend(reference.event(*receipt, subject, payload));
    }
    published.extend(reference.finish());
    (published, reference)
}

#[test]
#[rustfmt::skip] // one case a line
fn compare_sees_every_difference() {
    let (expected, _) = run(&generator::stream(1, 3_000, Profile::live()));
    let summary = compare(&expected, &expected).unwrap();
    assert!(summary.same_order && summary.signals > 3 && summary.snapshots > 100 && summary.worst_error == 0.0, "{summary:?}");
    let index = expected.iter().rposition(|p| p.subject.starts_with("senpai.signals.")).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut actual = expected.clone();
        change(&mut actual[index].payload);
        compare(&expected, &actual)
    };
    let scaled = |name: &'static str, factor: f64| {
        changed(&|payload| payload["features"][name] = json!(payload["features"][name].as_f64().unwrap() * factor))
    };
    for feature in reference::FEATURES {
        assert!(changed(&|payload| payload["features"][feature] = Value::Null).unwrap_err().contains(feature));
        let slightly = if feature.starts_with("latency") { 1.2 } else { 1.0 + 2e-9 };
        assert!(scaled(feature, slightly).unwrap_err().contains(feature));
        let in_tolerance = if feature.starts_with("latency") { 1.009 } else { 1.0 + 1e-10 };
        assert!(scaled(feature, in_tolerance).is_ok(), "{feature}");
    }
    assert!(changed(&|payload| payload["ts"] = json!("2024-07-18T23:57:02.605624Z")).unwrap_err().contains("ts:"));
    assert!(changed(&|payload| payload["direction"] = json!("up")).unwrap_err().contains("direction"));
    assert!(changed(&|payload| payload["price"] = json!(1)).unwrap_err().contains("price"));
    assert!(changed(&|payload| payload["more"] = json!(1)).unwrap_err().contains("more"));
    assert!(changed(&|payload| payload["rule"] = json!("another")).is_ok());
    assert!(compare(&expected, &expected[..expected.len() - 1]).unwrap_err().contains("missing"));
    assert!(compare(&expected[1..], &expected).is_err());
    let mut swapped = expected.clone();
    let other = swapped.iter().position(|p| p.subject != swapped[0].subject).unwrap();
    swapped.swap(other - 1, other);
    assert!(!compare(&expected, &swapped).unwrap().same_order);
}

#[test]
#[rustfmt::skip] // one case a line
fn streams_are_the_same_for_a_seed_and_hold_every_trouble() {
    let stream = generator::stream(7, 4_000, Profile::hostile());
    assert_eq!(stream, generator::stream(7, 4_000, Profile::hostile()));
    assert_ne!(stream, generator::stream(8, 4_000, Profile::hostile()));
    for (name, profile) in Profile::all() {
        let calm = name == "calm";
        let (receipts, total) = (profile.receipts, if name == "storm" { 40_000 } else { 10_000 });
        let (published, reference) = run(&generator::stream(4, total, profile));
        let counts = reference.counts();
        let all = |by: &std::collections::BTreeMap<String, u64>| by.values().sum::<u64>();
        let signals = published.iter().filter(|p| p.subject.starts_with("senpai.signals.")).count();
        eprintln!("{name}: {signals} signals of {} messages, {counts:?}", published.len());
        assert_eq!(all(&counts.events) + all(&counts.malformed), total as u64);
        assert!(signals > 3 && published.len() > 200, "{name}");
        assert_eq!(all(&counts.malformed) == 0, calm, "{name}");
        assert_eq!(all(&counts.late) == 0, calm, "{name}");
        assert_eq!(all(&counts.timestamps_rejected) == 0, calm || !receipts, "{name}");
        if calm || !receipts {
            assert_eq!(counts.signals_stale, 0, "{name}");
        } else if name != "storm" {
            assert!(counts.signals_stale > 0, "{name}");
        }
        for feature in reference::FEATURES {
            let nulls = published.iter().filter(|p| p.payload["features"][feature].is_null()).count();
            assert!(nulls < published.len(), "{name}: {feature} always null");
        }
    }
}

#[test]
fn recordings_are_replayed_in_reasonable_time() {
    for recording in reference::recording_files::all() {
        let events = reference::recording::read(recording);
        let (published, reference) = run(&events);
        let (name, counts) = (&recording.name, reference.counts());
        let counted = |kind: &str| counts.events.get(kind).copied().unwrap_or(0);
        let all = |by: &std::collections::BTreeMap<String, u64>| by.values().sum::<u64>();
        assert_eq!(all(&counts.events) + all(&counts.malformed), events.len() as u64, "{name}");
        assert!(published.len() >= recording.least().snapshots, "{name}: {}", published.len());
        if !published.is_empty() {
            assert!(compare(&published, &published).unwrap().same_order, "{name}");
        }
        if name == "binance-usdm-480s.jsonl.gz" {
            assert_eq!((counted("trade"), counted("quote"), counted("book_l2")), (24_356, 99_588, 1_808));
            assert!(counts.malformed.is_empty() && counts.late.is_empty());
            assert_eq!(reference.symbols(), ["BTCUSDT", "ETHUSDT"]);
        }
        if name.starts_with("generated-") {
            let of_kind = |kind: &str| events.iter().filter(|event| event.1.split('.').nth(2) == Some(kind)).count();
            for kind in ["trade", "quote", "book_l2"] {
                assert_eq!(counted(kind), of_kind(kind) as u64, "{name}: {kind}");
            }
            assert!(counts.malformed.is_empty() && counts.late.is_empty(), "{name}");
        }
    }
}
