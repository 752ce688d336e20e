//! Latency percentiles where the engine's room and the system's clock are against them.

use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::receipt::Receipt;

use senpai_md_consumer::engine::settings::EngineSettings;
use senpai_md_consumer::engine::time::{NANOS_PER_MILLI as MILLISECOND, NANOS_PER_SECOND as SECOND, UnixNanos};
use serde_json::Value;

const MINUTE: i64 = 60 * SECOND;
const START: i64 = 1_700_000_000 * SECOND;

fn event(engine: &mut Engine, symbol: &str, payload: &str, moment: i64) {
    let subject = format!("md.events.trade.{symbol}");
    let receipt = Receipt::At(UnixNanos(moment));
    engine.handle_event(subject.as_bytes(), payload.as_bytes(), receipt).expect("it is well-formed");
    while engine.poll_output().is_some() {}
}

/// A trade that took `latency` to get here.
fn timed(engine: &mut Engine, symbol: &str, moment: i64, latency: i64) {
    let sent = moment - latency;
    let payload = format!(r#"{{"price":1,"size":1,"ts_exchange":{sent},"ts_recv":{moment}}}"#);
    event(engine, symbol, &payload, moment);
}

/// Median in ms, and whether the windows lack something.
fn median(engine: &mut Engine, symbol: &str, moment: i64) -> (Option<f64>, bool) {
    let document = engine.features_document(symbol, UnixNanos(moment)).expect("the symbol is known");
    let document: Value = serde_json::from_slice(&document).expect("it is JSON");
    (document["features"]["latency_ms_p50"].as_f64(), document["window_truncated"] == true)
}

fn is_about(found: Option<f64>, expected: f64) -> bool {
    found.is_some_and(|found| (found - expected).abs() <= 0.01 * expected)
}

/// Some events are timed by the clock that goes back, others not at all.
#[test]
fn a_clock_that_goes_back_leaves_no_latencies_of_its_own() {
    const UNTIMED: &str = r#"{"price":1,"size":1}"#;
    let mut engine = Engine::new(EngineSettings::default()).expect("there is memory");
    for index in 0..500 {
        timed(&mut engine, "A", START + index * MILLISECOND, 5 * MILLISECOND);
        event(&mut engine, "A", UNTIMED, START + index * MILLISECOND);
    }
    let end = START + SECOND;
    event(&mut engine, "A", UNTIMED, end);
    assert!(is_about(median(&mut engine, "A", end).0, 5.0));
    engine.handle_clock_step(-60 * MINUTE);
    let back = end - 60 * MINUTE;
    assert_eq!(median(&mut engine, "A", back), (None, false), "nothing that could not be replaced");
    for index in 1..500 {
        timed(&mut engine, "A", back + index * MILLISECOND, 50 * MILLISECOND);
    }
    let (found, is_truncated) = median(&mut engine, "A", back + SECOND);
    assert!(is_about(found, 50.0) && !is_truncated, "{found:?}");
}

/// A few symbols with latencies of every kind take all the room there is, and fall silent.
#[test]
fn room_that_silent_symbols_have_taken_comes_back() {
    let settings = EngineSettings { symbols_max: 12, ..EngineSettings::default() };
    let mut engine = Engine::new(settings).expect("there is memory");
    let steady = |engine: &mut Engine, start: i64| {
        for index in 0..1_000 {
            timed(engine, "STEADY", start + index * 10 * MILLISECOND, 3 * MILLISECOND + index);
        }
        median(engine, "STEADY", start + 10 * SECOND)
    };
    for symbol in 0..11 {
        let name = format!("WILD{symbol}");
        // From 8 ns to a day, in steps smaller than any bucket of eight is wide; and the same below zero.
        let mut latency = 8;
        while latency <= 24 * 60 * MINUTE {
            timed(&mut engine, &name, START + symbol, latency);
            timed(&mut engine, &name, START + symbol, -latency);
            latency += 1.max(latency / 16);
        }
    }
    let (_, is_truncated) = steady(&mut engine, START + SECOND);
    assert!(is_truncated, "the room is used up, and that is said");
    let (found, is_truncated) = steady(&mut engine, START + 2 * MINUTE);
    assert!(is_truncated || is_about(found, 3.0), "on the way");
    let (found, is_truncated) = steady(&mut engine, START + 4 * MINUTE);
    assert!(is_about(found, 3.0) && !is_truncated, "{found:?}");
}
