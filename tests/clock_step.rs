//! The system's clock was wrong and is set right while events flow: the engine's lengths of time stay what they are,
//! so every output is the same as with a clock that was right all along.

#[allow(dead_code)]
#[path = "support/events.rs"]
mod events;
mod reference;

use events::{quote, trade};
use senpai_md_consumer::engine::counters::Topic;
use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::receipt::Receipt;
use senpai_md_consumer::engine::settings::EngineSettings;
use senpai_md_consumer::engine::time::{NANOS_PER_MILLI as MILLISECOND, UnixNanos};

const HOUR: i64 = 3_600_000 * MILLISECOND;
const START: i64 = 1_700_000_000_000 * MILLISECOND;

type Output = (Vec<u8>, Vec<u8>);

fn take_outputs(engine: &mut Engine, into: &mut Vec<Output>) {
    while let Some(message) = engine.poll_output() {
        // Their moments are those of the clock, wrong or right.
        if message.topic == Topic::Alert {
            continue;
        }
        into.push((message.subject.to_vec(), message.payload.to_vec()));
    }
}

/// Events 30 ms apart for `A` and `B`; the clock is wrong by `error_ns` until event 300, which lies within an interval
/// of snapshots that wait for its end.
fn outputs(error_ns: i64) -> Vec<Output> {
    let mut settings = EngineSettings { clock_skew_max: 30_000 * MILLISECOND, ..EngineSettings::default() };
    settings.signal.return_threshold = 0.0;
    settings.signal.age_limits.event = 10 * HOUR;
    let mut engine = Engine::new(settings).expect("there is memory");
    let mut outputs = Vec::new();
    let mut error_ns = error_ns;
    for index in 0..600 {
        let true_ns = START + index * 30 * MILLISECOND;
        if index == 300 {
            engine.handle_clock_step(-error_ns);
            error_ns = 0;
        }
        let symbol = if index % 3 == 0 { "A" } else { "B" };
        let (subject, payload) = match index % 2 {
            0 => trade(symbol, true_ns - MILLISECOND, 100.0 + index as f64 * 0.01),
            _ => quote(symbol, true_ns - MILLISECOND, 99.0, 99.1),
        };
        let receipt = Receipt::At(UnixNanos(true_ns + error_ns));
        engine.handle_event(subject.as_bytes(), &payload, receipt).expect("it is well-formed");
        take_outputs(&mut engine, &mut outputs);
        // Half-way to the next event time passes without one.
        engine.handle_time(UnixNanos(true_ns + error_ns + 15 * MILLISECOND));
        take_outputs(&mut engine, &mut outputs);
    }
    outputs
}

#[test]
fn outputs_do_not_depend_on_when_the_clock_was_set() {
    let right = outputs(0);
    assert!(right.len() > 250, "{} outputs", right.len());
    assert!(right.iter().any(|(subject, _)| subject.starts_with(b"senpai.signals.")));
    // A clock that is behind by more than the skew that is believed would reject the events' times.
    for error_ns in [HOUR, 5_000 * MILLISECOND, -5_000 * MILLISECOND] {
        assert!(outputs(error_ns) == right, "wrong by {error_ns} ns at first");
    }
}

#[test]
fn events_timed_by_a_clock_that_goes_back_are_not_held_against_those_to_come() {
    let mut engine = Engine::new(EngineSettings::default()).expect("there is memory");
    let event = |engine: &mut Engine, kind: &str, payload: &str, moment: i64| {
        let subject = format!("md.events.{kind}.A");
        let receipt = Receipt::At(UnixNanos(moment));
        engine.handle_event(subject.as_bytes(), payload.as_bytes(), receipt).expect("it is well-formed");
    };
    let features = |engine: &mut Engine, moment: i64| -> serde_json::Value {
        let document = engine.features_document("A", UnixNanos(moment)).expect("the symbol is known");
        serde_json::from_slice(&document).expect("it is JSON")
    };
    for index in 0..100 {
        event(&mut engine, "trade", r#"{"price":1,"size":1}"#, START + index);
        event(&mut engine, "quote", r#"{"bid":1,"ask":2}"#, START + index);
    }
    engine.handle_clock_step(-HOUR);
    let back = START - HOUR + 100;
    let known = features(&mut engine, back);
    assert_eq!(
        (&known["features"]["mid"], known["features"]["trade_count_10s"].as_u64()),
        (&serde_json::Value::Null, Some(0))
    );
    assert_eq!(engine.window_trade_count(), 0);
    event(&mut engine, "trade", r#"{"price":100,"size":2}"#, back + MILLISECOND);
    event(&mut engine, "quote", r#"{"bid":100,"ask":102}"#, back + MILLISECOND);
    let known = features(&mut engine, back + MILLISECOND);
    assert_eq!(
        (known["features"]["mid"].as_f64(), known["features"]["trade_vwap_10s"].as_f64()),
        (Some(101.0), Some(100.0))
    );
    assert!(known["ts"].as_str().is_some_and(|ts| ts.starts_with("2023-11-14T21:")), "{known}");
}

#[test]
fn the_last_signals_follow_the_clock() {
    let mut engine = Engine::new(EngineSettings::default()).expect("there is memory");
    let event = |engine: &mut Engine, kind: &str, payload: &str, second: i64| {
        let subject = format!("md.events.{kind}.A");
        let receipt = Receipt::At(UnixNanos(START + second * 1_000 * MILLISECOND));
        engine.handle_event(subject.as_bytes(), payload.as_bytes(), receipt).expect("it is well-formed");
    };
    event(&mut engine, "quote", r#"{"bid":99.99,"ask":100.01}"#, 0);
    event(&mut engine, "trade", r#"{"price":100,"size":2}"#, 0);
    event(&mut engine, "trade", r#"{"price":101,"size":2}"#, 10);
    let moments = |engine: &Engine| engine.latest_signals().map(|signal| signal.moment).collect::<Vec<_>>();
    let before = moments(&engine);
    assert_eq!(before.len(), 1);
    engine.handle_clock_step(-HOUR);
    assert_eq!(moments(&engine), [before[0].minus(HOUR)]);
}
