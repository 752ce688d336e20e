//! Trades that came before.

use crate::*;

/// Which of the trades are taken for duplicates (`=`) where so many are remembered. A trade is its subject's symbol and its
/// payload.
#[track_caller]
fn check_remembering(most: usize, trades: &[(&str, Value)], expected: &str) {
    let mut reference = Reference::new(Settings { deduplicate_trades: most, ..merged() });
    let mut found = String::new();
    for (symbol, payload) in trades {
        let before = duplicates(&reference);
        reference.event(Some(START), &format!("md.events.trade.{symbol}"), payload.to_string().as_bytes());
        found.push(if duplicates(&reference) > before { '=' } else { '.' });
    }
    assert_eq!(found, expected, "{trades:?}");
    assert_eq!(reference.counts().events["trade"], trades.len() as u64, "they are events, too");
}

/// Whether the second of two trades is a duplicate of the first.
#[track_caller]
fn check_pair(first: Value, second: Value, expected: bool) {
    check_remembering(4, &[("X", first), ("X", second)], if expected { ".=" } else { ".." });
}

fn merged() -> Settings {
    Settings { provider_mode: ProviderMode::Merged, ..Settings::default() }
}

fn duplicates(reference: &Reference) -> u64 {
    reference.counts().duplicate.get("trade").copied().unwrap_or(0)
}

#[test]
#[rustfmt::skip] // one case a line
fn a_trade_is_known_by_symbol_provider_id_price_size_and_exchange_time() {
    let one = || json!({"price": 1.5, "size": 2, "id": 7, "provider": "aaa", "ts": 1_700_000_000});
    let but = |name: &str, value: Value| {
        let mut payload = one();
        payload[name] = value;
        payload
    };
    check_pair(one(), one(), true);
    check_pair(one(), but("ts_recv", json!(1_700_000_001)), true);
    check_pair(one(), but("side", json!("sell")), true);
    check_pair(one(), but("price", json!("1.50")), true);
    check_pair(one(), but("ts", json!("2023-11-14T22:13:20Z")), true);
    check_pair(one(), but("price", json!(1.6)), false);
    check_pair(one(), but("size", json!(2.5)), false);
    check_pair(one(), but("provider", json!("bbb")), false);
    check_pair(one(), but("provider", json!("AAA")), false);
    check_pair(one(), but("provider", Value::Null), false);
    check_pair(one(), but("ts", json!(1_700_000_000.000_001)), false);
    check_pair(one(), but("ts", Value::Null), false);
    check_pair(but("ts", Value::Null), but("ts", json!("soon")), true);
    check_pair(but("provider", Value::Null), but("provider", Value::Null), true);
    check_remembering(4, &[("X", one()), ("Y", one()), ("x", one()), ("Y", one())], "...=");

    // The id: a number and its text are one; the text is compared without its escapes.
    check_pair(one(), but("id", json!("7")), true);
    check_pair(one(), but("id", json!("8")), false);
    check_pair(one(), but("id", json!("7 ")), false);
    check_pair(one(), but("id", json!("07")), false);
    check_pair(but("id", json!("")), but("id", json!("")), false);
    check_pair(but("id", json!("T/é")), but("tid", json!("T/é")), false);
    check_pair(but("id", Value::Null), but("id", Value::Null), false);
    check_pair(but("id", json!([7])), but("id", json!([7])), false);
    let (plain, escaped) = (r#"{"p":1,"q":1,"id":"a/7"}"#, r#"{"q":"1","p":1.0,"tid":"\u0061\/\u0037"}"#);
    let mut reference = Reference::new(merged());
    reference.event(None, "md.events.trade.X", plain.as_bytes());
    reference.event(None, "md.events.trade.X", escaped.as_bytes());
    assert_eq!(duplicates(&reference), 1);
}

#[test]
#[rustfmt::skip] // one case a line
fn the_last_different_trades_are_remembered() {
    let all = |ids: &str| -> Vec<(&str, Value)> {
        ids.chars().map(|id| ("X", json!({"price": 1, "size": 1, "id": id.to_string()}))).collect()
    };
    let check = |most: usize, ids: &str, expected: &str| check_remembering(most, &all(ids), expected);
    check(0, "1111", "....");
    check(1, "112122", ".=...=");
    check(4, "12341234", "....====");
    check(4, "123451", "......");
    check(4, "123452", ".....=");
    // A duplicate is not remembered again: its place is that of the original.
    check(4, "1234151", "....=..");
    check(2, "1213", "..=.");
    check(2, "121312", "..=...");
    // One that was forgotten is remembered as a new one.
    check(2, "1231123", "....=..");
    // What is no trade with an id takes no place.
    let mut mixed = all("12");
    mixed.insert(1, ("X", json!({"price": 1, "size": 1})));
    mixed.insert(2, ("X", json!({"price": 1, "size": 0, "id": 3})));
    mixed.push(("X", json!({"price": 1, "size": 1, "id": 1})));
    let mut reference = Reference::new(Settings { deduplicate_trades: 2, ..merged() });
    for (symbol, payload) in mixed {
        reference.event(None, &format!("md.events.trade.{symbol}"), payload.to_string().as_bytes());
    }
    assert_eq!((duplicates(&reference), reference.counts().malformed["trade"]), (1, 1));
}

#[test]
fn a_duplicate_changes_nothing_but_local_time() {
    let mut reference = Reference::new(merged());
    let mut told = |receipt: f64, subject: &str, payload: Value| {
        let published = reference.event(Some(at(receipt)), subject, payload.to_string().as_bytes());
        let ts: Vec<f64> = published.iter().map(|p| (p.ts_ns - START) as f64 / 1e9).collect();
        (ts, reference.counts(), reference.state("X"))
    };
    let trade = |recv: f64| json!({"price": 1, "size": 1, "id": 7, "ts_recv": at(recv), "ts": "?", "provider": "aaa"});
    let (ts, first, state) = told(0.0, "md.events.trade.X", trade(0.0));
    assert_eq!((ts, first.timestamps_unreadable["aaa"]), (vec![0.0], 1));
    assert!(told(0.05, "md.events.quote.X", json!({"bid": 1, "ask": 2, "ts_recv": at(0.05)})).0.is_empty());
    // The snapshot that was due is taken, for its moment; the duplicate's own time, though far ahead, counts for nothing.
    let (ts, second, again) = told(0.2, "md.events.trade.X", trade(99.0));
    assert_eq!((ts, again.unwrap().trade), (vec![0.1], state.unwrap().trade));
    assert_eq!((second.timestamps_unreadable["aaa"], second.timestamps_rejected.get("aaa")), (1, None));
    assert_eq!((second.events["trade"], second.duplicate["trade"]), (2, 1));
    assert_eq!(second.events_in[&("trade".to_owned(), "aaa".to_owned())], 2);
    // Nor is the provider distrusted.
    let quote = json!({"bid": 1, "ask": 2, "ts_recv": at(0.1), "provider": "aaa"});
    let (ts, ..) = told(0.25, "md.events.quote.X", quote);
    assert_eq!(ts, [0.1]);
}

#[test]
fn a_duplicate_brings_no_symbol_in_though_its_original_found_no_place() {
    let mut reference = Reference::new(Settings { symbols_max: 1, symbol_idle_ns: SECOND, ..merged() });
    let trade = br#"{"price":1,"size":1,"id":7}"#;
    reference.event(Some(at(0.0)), "md.events.quote.A", br#"{"bid":1,"ask":2}"#);
    reference.event(Some(at(0.5)), "md.events.trade.X", trade);
    reference.event(Some(at(9.0)), "md.events.trade.X", trade);
    let counts = reference.counts();
    assert_eq!((counts.symbol_limit["trade"], counts.duplicate["trade"], counts.evicted), (1, 1, 0));
    assert_eq!(reference.symbols(), ["A"]);
}
