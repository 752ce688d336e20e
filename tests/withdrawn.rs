//! The top of market while sides of it are withdrawn (SPEC section 2): in features, signals and the latest state.

use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::receipt::Receipt;

use senpai_md_consumer::engine::settings::EngineSettings;
use senpai_md_consumer::engine::time::{NANOS_PER_SECOND, UnixNanos};
use serde_json::{Value, json};

const START: i64 = 1_700_000_000;

const TWO_SIDED: &str = r#"quote {"bid":99.95,"ask":100.05}"#;
const TWO_SIDED_BOOK: &str = r#"book_l2 {"bids":[[99.9,1]],"asks":[[100.1,1]]}"#;

fn engine() -> Engine {
    Engine::new(EngineSettings { symbols_max: 4, window_trades: 100, ..EngineSettings::default() })
        .expect("there is memory")
}

/// Handles an event, `{type} {payload}`, of the symbol X.
fn handle(engine: &mut Engine, second: i64, event: &str) {
    let (kind, payload) = event.split_once(' ').expect("a type and a payload");
    let moment = UnixNanos((START + second) * NANOS_PER_SECOND);
    let subject = format!("md.events.{kind}.X");
    engine.handle_event(subject.as_bytes(), payload.as_bytes(), Receipt::At(moment)).expect("it is well-formed");
}

fn document(engine: &mut Engine) -> Value {
    let document = engine.features_document("X", UnixNanos(0)).expect("the symbol is known");
    serde_json::from_slice(&document).expect("it is JSON")
}

/// The mid after events a second apart.
#[track_caller]
fn check_mid(events: &[&str], expected: Option<f64>) {
    let mut engine = engine();
    for (second, event) in (0..).zip(events) {
        handle(&mut engine, second, event);
    }
    let features = &document(&mut engine)["features"];
    assert_eq!(features["mid"].as_f64(), expected, "{events:?}");
    for feature in ["spread_abs", "spread_bps"] {
        assert_eq!(features[feature].is_null(), expected.is_none(), "{feature} after {events:?}");
    }
}

#[test]
fn a_side_that_is_withdrawn_does_not_live_on() {
    check_mid(&[TWO_SIDED], Some(100.0));
    check_mid(&[TWO_SIDED_BOOK], Some(100.0));
    for withdrawn in [
        r#"quote {"bid":0,"ask":0}"#,
        r#"quote {"bid":null,"ask":101}"#,
        r#"quote {"bid":99}"#,
        r#"quote {"ask":"101","b":""}"#,
        r#"book_l2 {"bids":[[99,1]],"asks":[]}"#,
        r#"book_l2 {"bids":[],"asks":[[101,1]]}"#,
        r#"book_l2 {"bids":[[99,0]],"asks":[[101,1]]}"#,
        r#"book_l2 {"bids":{},"asks":{}}"#,
    ] {
        check_mid(&[withdrawn], None);
        check_mid(&[TWO_SIDED, withdrawn], None);
        check_mid(&[TWO_SIDED_BOOK, withdrawn], None);
        check_mid(&[TWO_SIDED, TWO_SIDED_BOOK, withdrawn], None);
        check_mid(&[withdrawn, TWO_SIDED], Some(100.0));
        check_mid(&[withdrawn, TWO_SIDED_BOOK], Some(100.0));
    }
    // An older one changes nothing.
    let old = format!(r#"quote {{"bid":0,"ask":0,"ts_recv":{}}}"#, START - 5);
    check_mid(&[TWO_SIDED, &old], Some(100.0));
    // Levels of size 0 on top, and the worst first.
    check_mid(&[r#"book_l2 {"bids":[[99,0],[98,1]],"asks":[[101,0],[102,1]]}"#], Some(100.0));
    check_mid(&[r#"book_l2 {"bids":[[0.4,1],[0.5,1]],"asks":[[0.6,1],[0.55,1]]}"#], Some(0.525));
}

/// A rise of 1 % gives a signal in a two-sided market and none in one that has been withdrawn.
#[test]
fn no_signal_on_a_withdrawn_market() {
    for (withdrawn, signals) in
        [(None, 1), (Some(r#"quote {"bid":0,"ask":0}"#), 0), (Some(r#"book_l2 {"b":[[1,1]],"a":[]}"#), 0)]
    {
        let mut engine = engine();
        handle(&mut engine, 0, TWO_SIDED);
        handle(&mut engine, 0, r#"trade {"price":100,"size":5}"#);
        if let Some(withdrawn) = withdrawn {
            handle(&mut engine, 1, withdrawn);
        }
        handle(&mut engine, 11, r#"trade {"price":101,"size":5}"#);
        assert_eq!(engine.counters.signals_emitted.iter().sum::<u64>(), signals, "{withdrawn:?}");
    }
}

#[test]
fn the_latest_state_shows_what_is_withdrawn() {
    let mut engine = engine();
    handle(&mut engine, 0, r#"quote {"bid":0,"bid_size":5,"ask":101,"ask_size":2}"#);
    handle(&mut engine, 1, r#"book_l2 {"bids":[[98,1],[99,2],[97,0]],"asks":{}}"#);
    let state: Value = serde_json::from_slice(&engine.state_document("X").expect("it is known")).expect("it is JSON");
    let quote = ["bid", "ask", "bid_size", "ask_size"].map(|name| state["quote"][name].clone());
    assert_eq!(quote, [json!(null), json!(101.0), json!(null), json!(2.0)]);
    assert_eq!(state["book"]["bids"], json!([[99.0, 2.0], [98.0, 1.0]]));
    assert_eq!((&state["book"]["asks"], &state["book"]["bid_levels"]), (&json!([]), &json!(2)));
}

/// Times that cannot be read count once an event, by provider, and a day is the longest latency.
#[test]
fn times() {
    let mut engine = engine();
    for (second, times, unreadable) in [
        (0, r#""ts_recv":"soon","ts":"later""#, 1),
        (1, r#""timestamp":0"#, 2),
        (2, r#""ts_recv":null"#, 2),
        (3, r#""ts_recv":"soon","received_at":1700000003"#, 2),
    ] {
        handle(&mut engine, second, &format!(r#"quote {{"bid":1,"ask":2,"provider":"abc",{times}}}"#));
        let counts = &engine.counters.timestamps_unreadable;
        assert_eq!(
            (counts.iter().sum::<u64>(), counts[engine.providers().iter().count() - 1]),
            (unreadable, unreadable)
        );
    }
    assert_eq!(document(&mut engine)["features"]["latency_ms_p50"], Value::Null);
    let recv = (START + 4) * NANOS_PER_SECOND;
    let day = 86_400 * NANOS_PER_SECOND;
    for (latency, expected) in [(day + 1, None), (-day - 1, None), (day, Some(86_400_000.0))] {
        let sent = recv - latency;
        handle(&mut engine, 4, &format!(r#"quote {{"bid":1,"ask":2,"ts_recv":{recv},"ts_exchange":{sent}}}"#));
        let p50 = document(&mut engine)["features"]["latency_ms_p50"].as_f64();
        let is_close =
            p50.zip(expected).is_none_or(|(found, expected): (f64, f64)| (found / expected - 1.0).abs() < 0.01);
        assert!(is_close && p50.is_some() == expected.is_some(), "{latency}: {p50:?}");
    }
}
