//! Symbols that are silent while others want their places.

use crate::*;

/// Two places, an idle limit of 10 s, a snapshot with each event.
fn two_places() -> Settings {
    Settings {
        symbols_max: 2,
        symbol_idle_ns: 10 * SECOND,
        publish_interval_ns: 1,
        provider_mode: ProviderMode::Merged,
        ..Settings::default()
    }
}

/// Quotes by (receipt, symbol); the symbols there are at the end, how many were dropped and how many gave up their place.
#[track_caller]
fn check_places(settings: Settings, steps: &[(f64, &str)], symbols: &[&str], dropped: u64, evicted: u64) {
    let mut reference = Reference::new(settings);
    for (receipt, symbol) in steps {
        reference.event(Some(at(*receipt)), &format!("md.events.quote.{symbol}"), br#"{"bid":1,"ask":2}"#);
    }
    let counts = reference.counts();
    assert_eq!(reference.symbols(), symbols, "{steps:?}");
    let of_quotes = counts.symbol_limit.get("quote").copied().unwrap_or(0);
    assert_eq!((of_quotes, counts.evicted), (dropped, evicted), "{steps:?}");
    assert_eq!(counts.events["quote"], steps.len() as u64, "{steps:?}");
}

#[test]
#[rustfmt::skip] // one case a line
fn the_symbol_that_has_been_silent_longest_gives_up_its_place() {
    let check = |steps: &[(f64, &str)], symbols: &[&str], dropped, evicted| check_places(two_places(), steps, symbols, dropped, evicted);
    check(&[(0.0, "A"), (99.0, "B")], &["A", "B"], 0, 0);
    check(&[(0.0, "A"), (5.0, "B"), (9.999999999, "C")], &["A", "B"], 1, 0);
    check(&[(0.0, "A"), (5.0, "B"), (10.0, "C")], &["B", "C"], 0, 1);
    check(&[(0.0, "A"), (5.0, "B"), (8.0, "A"), (15.0, "C")], &["A", "C"], 0, 1);
    check(&[(0.0, "A"), (5.0, "B"), (8.0, "A"), (14.999999999, "C")], &["A", "B"], 1, 0);
    // Of those silent since one moment the one with the first place.
    check(&[(0.0, "B"), (0.0, "A"), (10.0, "C")], &["A", "C"], 0, 1);
    check(&[(0.0, "B"), (0.0, "A"), (0.0, "B"), (10.0, "C")], &["A", "C"], 0, 1);
    check(&[(0.0, "A"), (1.0, "B"), (11.0, "C"), (11.0, "B"), (21.0, "D")], &["B", "D"], 0, 2);
    // Only where the table is full, one for one, and not for a symbol that has its place.
    check(&[(0.0, "A"), (0.0, "B"), (50.0, "B"), (50.0, "C"), (50.0, "A")], &["B", "C"], 1, 1);
    check(&[(0.0, "A"), (0.0, "B"), (50.0, "A"), (50.0, "B")], &["A", "B"], 0, 0);
    // What was dropped made no symbol speak.
    check(&[(0.0, "A"), (0.0, "B"), (9.0, "C"), (10.0, "C"), (10.0, "D")], &["C", "D"], 1, 2);
    let never = Settings { symbol_idle_ns: 0, ..two_places() };
    check_places(never, &[(0.0, "A"), (0.0, "B"), (9_999.0, "C")], &["A", "B"], 1, 0);
}

#[test]
#[rustfmt::skip] // one case a line
fn a_symbol_speaks_with_what_is_accepted() {
    let trade = |t: f64| json!({"price": 1, "size": 1, "id": 7, "ts_recv": at(t), "provider": "aaa"});
    let quote = |t: f64, provider: &str| json!({"bid": 1, "ask": 2, "ts_recv": at(t), "provider": provider});
    // A was there first; is it the one that goes when C comes?
    let goes = |more: (&str, Value)| {
        let settings = Settings { provider_mode: ProviderMode::Primary, ..two_places() };
        let mut reference = Reference::new(settings);
        let mut step = |receipt: f64, subject: &str, payload: &Value| {
            reference.event(Some(at(receipt)), subject, payload.to_string().as_bytes());
        };
        step(0.0, "md.events.trade.A", &trade(0.0));
        step(1.0, "md.events.quote.B", &quote(1.0, "aaa"));
        step(9.0, more.0, &more.1);
        step(11.0, "md.events.quote.C", &quote(11.0, "aaa"));
        assert_eq!(reference.counts().evicted, 1);
        reference.state("A").is_none()
    };
    assert!(!goes(("md.events.quote.A", quote(9.0, "aaa"))));
    assert!(!goes(("md.events.quote.A", quote(-99.0, "aaa"))), "a late one is accepted");
    assert!(!goes(("md.events.quote.A", json!({"bid": 1, "ask": 2}))), "of whomever");
    assert!(goes(("md.events.trade.A", trade(9.0))), "a duplicate");
    assert!(goes(("md.events.quote.A", quote(9.0, "bbb"))), "of another provider");
    assert!(goes(("md.events.quote.A", json!({"bid": "x"}))), "malformed");
    assert!(goes(("md.events.heartbeat.A", json!({}))));
}

#[test]
fn everything_of_a_symbol_goes_with_its_place() {
    let settings = Settings { symbols_max: 1, provider_mode: ProviderMode::Primary, ..two_places() };
    let mut reference = Reference::new(settings);
    let mut play = |receipt: f64, symbol: &str, t: f64, provider: &str| {
        let payload = json!({"price": 1, "size": 1, "ts_recv": at(t), "provider": provider});
        let subject = format!("md.events.trade.{symbol}");
        reference.event(Some(at(receipt)), &subject, payload.to_string().as_bytes())
    };
    play(0.0, "A", 0.0, "aaa");
    play(0.0, "A", 0.0, "aaa");
    play(20.0, "B", 20.0, "aaa");
    // It comes back with an older time and another provider, as if it had never been there.
    let published = play(30.0, "A", -100.0, "bbb");
    assert_eq!(published[0].payload["features"]["trade_count_10s"], 1);
    assert_eq!(published[0].payload["provider"], "bbb");
    let counts = reference.counts();
    assert_eq!((counts.evicted, counts.late.len(), counts.provider_switches.len()), (2, 0, 0));
}

#[test]
fn a_symbol_with_a_snapshot_to_come_keeps_its_place() {
    let settings = Settings { publish_interval_ns: 15 * SECOND, ..two_places() };
    // A was told twice: its second snapshot is due at 15.
    check_places(settings.clone(), &[(0.0, "A"), (1.0, "A"), (2.0, "B"), (12.0, "C")], &["A", "C"], 0, 1);
    check_places(settings.clone(), &[(0.0, "A"), (1.0, "A"), (2.0, "B"), (11.5, "C")], &["A", "B"], 1, 0);
    // Due at this very moment it is still to come.
    check_places(settings.clone(), &[(0.0, "A"), (1.0, "A"), (6.0, "B"), (15.0, "C")], &["A", "B"], 1, 0);
    check_places(settings, &[(0.0, "A"), (1.0, "A"), (6.0, "B"), (15.000000001, "C")], &["B", "C"], 0, 1);
}

#[test]
fn places_are_of_states_in_the_mode_separate() {
    let settings = Settings { provider_mode: ProviderMode::Separate, ..two_places() };
    let mut reference = Reference::new(settings);
    for (receipt, provider) in [(0.0, "aaa"), (1.0, "bbb"), (2.0, "ccc"), (10.0, "ccc"), (10.0, "ddd")] {
        let payload = json!({"bid": 1, "ask": 2, "provider": provider}).to_string();
        reference.event(Some(at(receipt)), "md.events.quote.X", payload.as_bytes());
    }
    assert_eq!(reference.symbols(), ["X@bbb", "X@ccc"]);
    assert_eq!((reference.counts().symbol_limit["quote"], reference.counts().evicted), (2, 1));
}
