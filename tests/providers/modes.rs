//! What a symbol is when several providers send it.

use senpai_md_consumer::engine::counters::DropReason;
use senpai_md_consumer::engine::receipt::Receipt;
use senpai_md_consumer::engine::settings::ProviderMode;
use senpai_md_consumer::engine::time::{NANOS_PER_SECOND, UnixNanos};
use serde_json::Value;

use crate::market::{Market, at};

/// Two flat venues, half a percent apart, under one symbol: the picture of the description (Binance and Bybit into one NATS).
fn two_flat_venues(market: &mut Market) {
    for index in 0..400 {
        let second = index as f64 * 0.1;
        market.quote(second, "binance", 99.99).trade(second, "binance", 100.0);
        market.quote(second + 0.05, "bybit", 100.49).trade(second + 0.05, "bybit", 100.5);
    }
}

#[test]
fn two_flat_venues_are_no_rise_and_no_fall() {
    let mut market = Market::primary(&[]);
    two_flat_venues(&mut market);
    assert_eq!(market.signals(), Vec::<&Value>::new());
    assert_eq!((market.dropped(DropReason::OtherProvider), market.engine.counters.events_in_total()), (800, 1_600));
    let document = market.document("X", 40.0);
    assert_eq!((&document["provider"], &document["features"]["return_10s"]), (&"binance".into(), &0.0.into()));

    let mut market = Market::of_mode(ProviderMode::Separate);
    two_flat_venues(&mut market);
    assert_eq!((market.signals().len(), market.dropped(DropReason::OtherProvider)), (0, 0));
    for (name, provider, mid) in [("X@binance", "binance", 100.0), ("X@bybit", "bybit", 100.5)] {
        let document = market.document(name, 40.0);
        assert_eq!((&document["symbol"], &document["provider"]), (&"X".into(), &provider.into()));
        assert!((document["features"]["mid"].as_f64().unwrap() - mid).abs() < 1e-9, "{document}");
        assert!(market.published.iter().any(|(subject, _)| *subject == format!("senpai.features.{name}")));
    }

    // As the original did: what is to be had by asking for it alone.
    let mut market = Market::of_mode(ProviderMode::Merged);
    two_flat_venues(&mut market);
    assert!(market.signals().len() > 1, "both directions");
    assert!(market.published.iter().all(|(_, document)| document.get("provider").is_none()));
}

/// `events` are second and provider of trades, whose price is their number; the provider and the price of the last trade that
/// the symbol has after them.
#[track_caller]
fn check_primary(listed: &[&str], events: &[(f64, &str)], provider: &str, price: usize, other: u64) {
    let mut market = Market::primary(listed);
    for (index, (second, provider)) in events.iter().enumerate() {
        market.trade(*second, provider, index as f64 + 1.0);
    }
    let last = events.last().expect("there is one").0;
    let document = market.document("X", last);
    assert_eq!(document["provider"].as_str().unwrap_or_default(), provider, "{document}");
    let state: Value = serde_json::from_slice(&market.engine.state_document("X").expect("it is known")).expect("JSON");
    assert_eq!(state["trade"]["price"].as_f64(), Some(price as f64), "{state}");
    assert_eq!(market.dropped(DropReason::OtherProvider), other);
}

#[test]
fn a_symbol_has_one_provider_at_a_time() {
    // Equals: the first that came, while it is heard.
    check_primary(&[], &[(0.0, "a"), (1.0, "b")], "a", 1, 1);
    check_primary(&[], &[(0.0, "a"), (30.0, "b")], "a", 1, 1);
    check_primary(&[], &[(0.0, "a"), (30.000_000_001, "b")], "b", 2, 0);
    check_primary(&[], &[(0.0, "a"), (20.0, "a"), (50.0, "b")], "a", 2, 1);
    // It has lost its place by then.
    check_primary(&[], &[(0.0, "a"), (31.0, "b"), (32.0, "a")], "b", 2, 1);
    // Listed ones: the first of those that are heard, at once.
    check_primary(&["b"], &[(0.0, "a"), (1.0, "b")], "b", 2, 0);
    check_primary(&["b"], &[(0.0, "a"), (1.0, "b"), (2.0, "a")], "b", 2, 1);
    check_primary(&["b"], &[(0.0, "b"), (30.0, "a")], "b", 1, 1);
    check_primary(&["b"], &[(0.0, "b"), (31.0, "a")], "a", 2, 0);
    check_primary(&["b"], &[(0.0, "b"), (31.0, "a"), (32.0, "b")], "b", 3, 0);
    check_primary(&["b", "c"], &[(0.0, "c"), (1.0, "b"), (2.0, "c")], "b", 2, 1);
    // The present one is heard no more, a better one than that which comes is.
    check_primary(&["b", "c"], &[(0.0, "b"), (10.0, "c"), (31.0, "a")], "b", 1, 2);
    check_primary(&["b", "c"], &[(0.0, "b"), (10.0, "c"), (31.0, "a"), (31.5, "c")], "c", 4, 2);
    check_primary(&["b", "c"], &[(0.0, "b"), (10.0, "c"), (40.1, "a")], "a", 3, 1);
    // One that was the symbol's own a while ago is remembered as heard.
    check_primary(&["b", "c"], &[(0.0, "c"), (1.0, "b"), (20.0, "b"), (31.0, "a")], "b", 3, 1);
    check_primary(&["b", "c"], &[(0.0, "b"), (31.0, "c"), (62.0, "a")], "a", 3, 0);
    // Without a name it goes with whoever is there, and is no sign of that one's life.
    check_primary(&[], &[(0.0, ""), (1.0, "")], "", 2, 0);
    check_primary(&[], &[(0.0, "a"), (1.0, "")], "a", 2, 0);
    check_primary(&[], &[(0.0, "a"), (20.0, ""), (31.0, "b")], "b", 3, 0);
    check_primary(&[], &[(0.0, ""), (1.0, "a"), (2.0, "b")], "a", 2, 1);
    // Names are told apart by case.
    check_primary(&["B"], &[(0.0, "a"), (1.0, "b")], "a", 1, 1);
}

#[test]
fn the_provider_stands_behind_the_symbol() {
    for (mode, provider, expected) in [
        (ProviderMode::Primary, "a", r#"{"symbol":"X","provider":"a","ts":"#),
        (ProviderMode::Primary, "", r#"{"symbol":"X","ts":"#),
        (ProviderMode::Merged, "a", r#"{"symbol":"X","ts":"#),
        (ProviderMode::Separate, "a", r#"{"symbol":"X","provider":"a","ts":"#),
        (ProviderMode::Separate, "", r#"{"symbol":"X","ts":"#),
    ] {
        let mut market = Market::of_mode(mode);
        let trade = format!(r#"{{"provider":"{provider}","price":1,"size":1}}"#);
        market.engine.handle_event(b"md.events.trade.X", trade.as_bytes(), Receipt::At(UnixNanos(at(0.0)))).unwrap();
        let snapshot = market.engine.poll_output().expect("a snapshot").payload.to_vec();
        let name = market.names()[0].to_owned();
        let document = market.engine.features_document(&name, UnixNanos(at(0.0))).expect("it is known");
        for text in [snapshot, document] {
            let text = String::from_utf8(text).expect("text");
            assert!(text.starts_with(expected), "{text}");
        }
    }
    let mut market = Market::primary(&[]);
    market.quote(0.0, "a", 99.99).trade(0.0, "a", 100.0).quote(10.0, "a", 100.99).trade(10.0, "a", 101.0);
    let signal = market.signals()[0].to_string();
    assert!(signal.contains(r#""provider":"a""#), "{signal}");
}

#[test]
fn a_switch_begins_the_market_anew_and_leaves_the_outputs_their_pace() {
    let mut market = Market::primary(&["b"]);
    // Enough for a signal of a, were it to go on.
    market.quote(0.0, "a", 99.99).trade(0.0, "a", 100.0).trade(10.0, "a", 100.1).quote(10.0, "a", 100.09);
    market.published.clear();
    // b's events are 4 h older: nothing of a is left that they could be late for.
    let quote = format!(
        r#"{{"provider":"b","ts_exchange":{},"bid":102.0,"ask":102.02}}"#,
        at(10.01) - 4 * 3600 * NANOS_PER_SECOND
    );
    market.event(at(10.01), "quote", "X", &quote);
    assert_eq!((market.dropped(DropReason::Late), market.dropped(DropReason::OtherProvider)), (0, 0));
    let document = market.document("X", 10.01);
    for null in ["trade_vwap_10s", "trade_vwap_60s", "return_10s", "realized_vol_60s"] {
        assert!(document["features"][null].is_null(), "{document}");
    }
    assert_eq!(document["trade_age_ms"], Value::Null);
    assert_eq!((&document["provider"], &document["features"]["mid"]), (&"b".into(), &102.01.into()));
    assert!(market.published.is_empty(), "the last snapshot was 10 ms ago: {:?}", market.published);
    market.engine.handle_time(UnixNanos(at(10.1)));
    let (_, document) = market.next_output().expect("the interval is over");
    assert_eq!(document["provider"], "b");
}

/// A switch cannot give the same signal twice within the cooldown.
#[test]
fn cooldowns_outlive_a_switch() {
    let long = |market: &mut Market, start: f64, provider: &str| {
        market.quote(start, provider, 99.99).trade(start, provider, 100.0);
        market.quote(start + 10.0, provider, 100.99).trade(start + 10.0, provider, 101.0);
    };
    let mut market = Market::new(|settings| {
        settings.providers.preferred = vec!["b".into()];
        settings.signal.cooldown = 60 * NANOS_PER_SECOND;
    });
    let longs = |market: &Market| market.signals().iter().filter(|signal| signal["direction"] == "long").count();
    long(&mut market, 0.0, "a");
    assert_eq!(longs(&market), 1);
    long(&mut market, 12.0, "b");
    assert_eq!(longs(&market), 1, "12 s after the other");
    long(&mut market, 71.0, "b");
    assert_eq!(longs(&market), 2);
}

#[test]
fn a_state_for_each_provider_has_a_name_that_a_subject_can_hold() {
    let check = |provider: &str, name: &str| {
        let mut market = Market::of_mode(ProviderMode::Separate);
        market.trade(0.0, provider, 100.0);
        assert_eq!(market.names(), [name]);
        assert_eq!(market.published[0].0, format!("senpai.features.{name}"));
    };
    check("binance", "X@binance");
    check("", "X@unknown");
    check("a b", "X@a_b");
    check("a*b>", "X@a_b_");
    check("a..b.", "X@a_.b_");
    check("é@x", "X@é@x");
    // Two names that become one: the first has it.
    let mut market = Market::of_mode(ProviderMode::Separate);
    market.trade(0.0, "a b", 100.0).trade(0.1, "a_b", 101.0).trade(60.0, "a_b", 102.0);
    assert_eq!((market.names(), market.dropped(DropReason::OtherProvider)), (vec!["X@a_b"], 2));
    // A symbol may have all its bytes, and its states' names are compared to their ends.
    let long = "x".repeat(128);
    let mut market = Market::of_mode(ProviderMode::Separate);
    for provider in ["p".repeat(64), "p".repeat(63) + "q"] {
        market.event(at(0.0), "trade", &long, &format!(r#"{{"provider":"{provider}","price":1,"size":1}}"#));
    }
    assert_eq!(market.names().len(), 2);
    // Signals are told apart by their ids.
    let mut market = Market::of_mode(ProviderMode::Separate);
    for provider in ["a", "b"] {
        market.quote(0.0, provider, 99.99).trade(0.0, provider, 100.0);
    }
    for provider in ["a", "b"] {
        market.quote(10.0, provider, 100.99).trade(10.0, provider, 101.0);
    }
    let ids: Vec<&str> = market.signals().iter().map(|signal| signal["id"].as_str().unwrap()).collect();
    let ns = at(10.0);
    assert_eq!(ids, [format!("X@a:momentum_10s:long:{ns}"), format!("X@b:momentum_10s:long:{ns}")]);
    assert!(market.signals().iter().all(|signal| signal["symbol"] == "X"));
}

/// An id is given once, also when event time goes back with another provider and comes to the same moment again.
#[test]
fn an_id_is_given_once_over_a_switch_there_and_back() {
    let mut market = Market::new(|settings| {
        settings.providers.preferred = vec!["b".into()];
        settings.signal.cooldown = NANOS_PER_SECOND;
        settings.signal.age_limits.event = i64::MAX;
    });
    let rise = |market: &mut Market, receipt: f64, provider: &str, t: f64| {
        for (kind, fields, behind) in [
            ("quote", r#""bid":100.99,"ask":101.01"#, 10.0),
            ("trade", r#""price":100,"size":5"#, 10.0),
            ("trade", r#""price":101,"size":5"#, 0.0),
        ] {
            let payload = format!(r#"{{"provider":"{provider}",{fields},"ts_recv":{}}}"#, at(t - behind));
            market.event(at(receipt), kind, "X", &payload);
        }
    };
    rise(&mut market, 100.0, "a", 60.0);
    rise(&mut market, 101.0, "b", 55.0);
    market.event(
        at(102.0),
        "trade",
        "X",
        &format!(r#"{{"provider":"b","price":101.1,"size":5,"ts_recv":{}}}"#, at(60.0)),
    );
    let ids: Vec<&str> = market.signals().iter().map(|signal| signal["id"].as_str().expect("text")).collect();
    assert_eq!(ids, [at(60.0), at(55.0)].map(|ns| format!("X:momentum_10s:long:{ns}")));
}

/// Records without any times stand at one moment, and the provider that came first is heard at it.
#[test]
fn without_any_times_the_first_provider_stays() {
    let mut market = Market::primary(&["c"]);
    for provider in ["a", "b", "a", "b", "c", "b", "a"] {
        let trade = format!(r#"{{"provider":"{provider}","price":1,"size":1}}"#);
        market.engine.handle_event(b"md.events.trade.X", trade.as_bytes(), Receipt::Unrecorded).unwrap();
    }
    assert_eq!(market.dropped(DropReason::OtherProvider), 4);
}

/// Providers that are not told apart may be several venues: they have no market, but in the mode that mixes them. Whichever field
/// says the name, with escapes or without.
#[test]
fn providers_that_are_not_told_apart_are_no_market() {
    let mut many = Market::primary(&[]);
    for index in 0..62 {
        many.event(at(0.0), "heartbeat", "x", &format!(r#"{{"provider":"p{index}"}}"#));
    }
    many.trade(0.0, "p61", 1.0).trade(1.0, "one more", 2.0);
    assert_eq!(
        (many.document("X", 1.0)["provider"].clone(), many.dropped(DropReason::OtherProvider)),
        ("p61".into(), 1)
    );
    for field in ["provider", "exchange", "venue", "source"] {
        for name in ["x".repeat(65), "\\u0078".repeat(65), "\\u0078".repeat(200)] {
            for (mode, dropped) in [(ProviderMode::Primary, 1), (ProviderMode::Separate, 1), (ProviderMode::Merged, 0)]
            {
                let mut market = Market::of_mode(mode);
                market.event(at(0.0), "trade", "X", &format!(r#"{{"{field}":"{name}","price":1,"size":1}}"#));
                assert_eq!(market.dropped(DropReason::OtherProvider), dropped, "{field} {name}");
                assert_eq!(market.names().len() as u64, 1 - dropped, "{field} {name}");
            }
        }
        let name = "x".repeat(64);
        let mut market = Market::primary(&[]);
        market.event(at(0.0), "trade", "X", &format!(r#"{{"{field}":"{name}","price":1,"size":1}}"#));
        assert_eq!(market.document("X", 0.0)["provider"], name);
    }
}
