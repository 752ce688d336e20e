//! Trades that come twice.

use senpai_md_consumer::engine::counters::DropReason;

use crate::market::{Market, at};

/// Trades of X as payloads, all received at once; how many of them are duplicates.
#[track_caller]
fn check_duplicates(remembered: usize, payloads: &[&str], expected: u64) {
    let mut market = Market::new(|settings| settings.deduplicate_trades = remembered);
    for payload in payloads {
        market.event(at(0.0), "trade", "X", payload);
    }
    assert_eq!(market.dropped(DropReason::Duplicate), expected, "{payloads:?}");
    let events = payloads.len() as u64;
    assert_eq!(market.engine.counters.events_in_total(), events);
    let document = market.document("X", 0.0);
    let others = market.dropped(DropReason::OtherProvider);
    assert_eq!(document["features"]["trade_count_10s"], events - expected - others, "{payloads:?}");
}

#[test]
fn a_trade_that_comes_again_changes_nothing() {
    const ONE: &str = r#"{"provider":"a","ts_exchange":1700000000,"price":100,"size":2,"trade_id":7}"#;
    check_duplicates(9, &[ONE, ONE, ONE, ONE], 3);
    check_duplicates(0, &[ONE, ONE], 0);
    for other in [
        r#"{"provider":"a","ts_exchange":1700000000,"price":100,"size":2,"trade_id":8}"#,
        r#"{"provider":"a","ts_exchange":1700000000,"price":101,"size":2,"trade_id":7}"#,
        r#"{"provider":"a","ts_exchange":1700000000,"price":100,"size":3,"trade_id":7}"#,
        r#"{"provider":"a","ts_exchange":1700000000.001,"price":100,"size":2,"trade_id":7}"#,
        r#"{"provider":"a","price":100,"size":2,"trade_id":7}"#,
        r#"{"provider":"b","ts_exchange":1700000000,"price":100,"size":2,"trade_id":7}"#,
        r#"{"provider":"a","ts_exchange":1700000000,"price":100,"size":2,"trade_id":null}"#,
        r#"{"provider":"a","ts_exchange":1700000000,"price":100,"size":2}"#,
    ] {
        check_duplicates(9, &[ONE, other], 0);
    }
    for same in [
        r#"{"provider":"a","ts_exchange":"2023-11-14T22:13:20Z","ts_recv":1700000000.5,"price":100.0,"size":"2","trade_id":7}"#,
        r#"{"trade_id":"7","provider":"a","ts_exchange":1700000000000,"price":1e2,"size":2.00,"side":"sell"}"#,
        r#"{"tid":"\u0037","exchange":"a","provider":"\u0061","time":1700000000,"px":"100","sz":"2"}"#,
    ] {
        check_duplicates(9, &[ONE, same], 1);
    }
    // An empty id is none.
    const EMPTY_ID: &str = r#"{"provider":"a","ts_exchange":1700000000,"price":100,"size":2,"trade_id":""}"#;
    check_duplicates(9, &[EMPTY_ID, EMPTY_ID], 0);
    const WITHOUT_ID: &str = r#"{"provider":"a","ts_exchange":1700000000,"price":100,"size":2}"#;
    check_duplicates(9, &[WITHOUT_ID, WITHOUT_ID], 0);
    let id_of = |id: usize| format!(r#"{{"price":100,"size":2,"trade_id":{id}}}"#);
    let ids = |ids: &[usize]| ids.iter().map(|id| id_of(*id)).collect::<Vec<_>>();
    let check = |remembered, list: &[usize], expected| {
        let payloads = ids(list);
        check_duplicates(remembered, &payloads.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    };
    // So many are remembered, and one that comes again is no newer for that.
    check(3, &[1, 2, 3, 1], 1);
    check(3, &[1, 2, 3, 4, 1], 0);
    check(3, &[1, 2, 3, 1, 4, 1], 1);
    check(1, &[1, 2, 1, 1], 1);
}

/// A feed that sends its last trades again after a reconnect made its volume fourfold, and a signal of it.
#[test]
fn trades_sent_again_after_a_reconnect_are_no_volume() {
    let mut market = Market::new(|_| {});
    let trade = |market: &mut Market, second: f64, price: f64, id: u32| {
        let payload =
            format!(r#"{{"provider":"a","price":{price},"size":0.4,"trade_id":{id},"ts_exchange":{}}}"#, at(second));
        market.event(at(second), "trade", "X", &payload);
        payload
    };
    market.quote(0.0, "a", 99.99);
    trade(&mut market, 0.0, 100.0, 1);
    let again = trade(&mut market, 10.5, 101.0, 2);
    (0..4).for_each(|_| market.event(at(10.6), "trade", "X", &again));
    let document = market.document("X", 10.6);
    assert_eq!((&document["features"]["trade_count_10s"], market.signals().len()), (&1.into(), 0));
    assert_eq!(market.dropped(DropReason::Duplicate), 4);
}

/// A duplicate is its provider's sign of life, and nothing else of it is looked at.
#[test]
fn a_duplicate_keeps_its_provider_heard() {
    let payload =
        |provider: &str, id: u32| format!(r#"{{"provider":"{provider}","price":1,"size":1,"trade_id":{id}}}"#);
    let mut market = Market::primary(&["b"]);
    market.event(at(0.0), "trade", "X", &payload("a", 1));
    market.event(at(20.0), "trade", "X", &payload("a", 1));
    market.event(at(40.0), "trade", "X", &payload("c", 2));
    assert_eq!(market.dropped(DropReason::OtherProvider), 1, "a was heard 20 s ago");
    let mut market = Market::primary(&["b"]);
    market.event(at(0.0), "trade", "X", &payload("b", 1));
    market.event(at(31.0), "trade", "X", &payload("a", 2));
    market.event(at(32.0), "trade", "X", &payload("b", 1));
    assert_eq!(market.document("X", 32.0)["provider"], "a", "a duplicate takes nothing over");
    market.event(at(63.0), "trade", "X", &payload("c", 3));
    assert_eq!(market.dropped(DropReason::OtherProvider), 0);
    // Of a time that would not be believed, or cannot be read, nothing is counted.
    let mut market = Market::primary(&[]);
    let ahead =
        format!(r#"{{"provider":"a","ts_exchange":{},"price":1,"size":1,"trade_id":1,"ts_recv":"?"}}"#, at(9.0));
    (0..3).for_each(|_| market.event(at(0.0), "trade", "X", &ahead));
    assert_eq!(market.engine.counters.timestamps_rejected.iter().sum::<u64>(), 1);
}
