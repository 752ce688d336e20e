//! `gap`, `lag` and `clock_skew`.

use senpai_md_consumer::engine::alerts::alert::AlertSettings;
use senpai_md_consumer::engine::receipt::Receipt;
use serde_json::json;

use crate::stage::{MS, SECOND, START, Stage, settings};

const US: i64 = 1_000;

#[test]
fn a_gap_begins_exactly_after_its_seconds_and_resolves_five_after_the_next_event() {
    let mut stage = Stage::new(settings());
    stage.trade("A", "p", 0, 0);
    stage.trade("A", "p", SECOND, 0);
    stage.pass(16 * SECOND - US);
    stage.expect(&[]);
    // An event at the very moment ends the silence before it is a gap.
    stage.trade("A", "p", 16 * SECOND, 0);
    stage.pass(31 * SECOND - US);
    stage.expect(&[]);
    stage.pass(31 * SECOND);
    stage.expect(&[("gap", "firing", "p", 31 * SECOND)]);
    let document = &stage.documents[0];
    assert_eq!((&document["value"], &document["threshold"]), (&json!(15.0), &json!(15.0)));
    assert_eq!((&document["symbol"], &document["provider"]), (&json!(null), &json!("p")));
    stage.pass(100 * SECOND);
    stage.expect(&[]);
    stage.trade("A", "p", 100 * SECOND + MS, 0);
    stage.pass(105 * SECOND + MS - US);
    stage.expect(&[]);
    stage.pass(105 * SECOND + MS);
    stage.expect(&[("gap", "resolved", "p", 105 * SECOND + MS)]);
    // One event was the end of one gap and the begin of another.
    stage.pass(200 * SECOND);
    stage.expect(&[("gap", "firing", "p", 115 * SECOND + MS)]);
}

/// In a replay nothing tells the time but the next event, however late that is.
#[test]
fn over_a_long_silence_it_has_the_moment_at_which_it_began() {
    let mut stage = Stage::new(settings());
    stage.trade("A", "p", 0, 0);
    stage.heartbeat("q", 3600 * 24 * 365 * 5 * SECOND);
    stage.expect(&[("gap", "firing", "p", 15 * SECOND)]);
}

#[test]
fn heartbeats_duplicates_and_events_that_are_not_used_are_signs_of_life() {
    let mut stage = Stage::new(settings());
    stage.heartbeat("system", 0);
    let trade = r#"{"provider":"p","trade_id":7,"price":1,"size":1}"#;
    for second in 0..8 {
        // The same trade over and over, one of another provider, one of no symbol's place.
        stage.event("md.events.trade.A", trade, second * 5 * SECOND);
        stage.trade("A", "q", second * 5 * SECOND, 0);
    }
    stage.expect(&[("gap", "firing", "system", 15 * SECOND)]);
    stage.pass(50 * SECOND);
    stage.expect(&[("gap", "firing", "p", 50 * SECOND), ("gap", "firing", "q", 50 * SECOND)]);
}

#[test]
fn events_without_a_provider_are_one_that_is_unknown() {
    let mut stage = Stage::new(settings());
    stage.pass(100 * SECOND);
    stage.expect(&[]);
    stage.quote("A", 100 * SECOND);
    stage.pass(200 * SECOND);
    stage.expect(&[("gap", "firing", "unknown", 115 * SECOND)]);
}

#[test]
fn alerts_that_are_off_do_not_fire() {
    let alerts = AlertSettings { latency_p95_ms: f64::INFINITY, lag: i64::MAX, gap: i64::MAX };
    let mut stage = Stage::new(senpai_md_consumer::engine::settings::EngineSettings { alerts, ..settings() });
    for second in 0..30 {
        stage.trade("A", "p", second * SECOND, 3600 * SECOND);
    }
    stage.pass(1_000 * SECOND);
    stage.expect(&[]);
}

/// Events of `p`: moment and age.
fn lag(events: &[(i64, i64)], until: i64) -> Vec<(String, i64)> {
    let mut stage = Stage::new(settings());
    for (moment, age) in events {
        stage.trade("A", "p", *moment, *age);
    }
    stage.pass(until);
    stage.seen().into_iter().filter(|(kind, ..)| kind == "lag").map(|(_, state, _, at)| (state, at)).collect()
}

#[test]
fn a_lag_is_five_seconds_of_events_that_all_lag() {
    let check = |events: &[(i64, i64)], until: i64, expected: &[(&str, i64)]| {
        let expected: Vec<(String, i64)> = expected.iter().map(|(state, at)| ((*state).to_owned(), *at)).collect();
        assert_eq!(lag(events, until), expected, "{events:?}");
    };
    let (late, limit) = (5 * SECOND + 1, 5 * SECOND);
    // From the first one on; an age that is just the limit is none that lags.
    check(&[(0, late), (4 * SECOND, late)], 5 * SECOND - US, &[]);
    check(&[(0, late), (4 * SECOND, late)], 5 * SECOND, &[("firing", 5 * SECOND)]);
    check(&[(0, limit), (4 * SECOND, limit), (8 * SECOND, limit)], 12 * SECOND, &[]);
    // From the first one after a timely one on.
    let events = [(0, late), (3 * SECOND, 0), (4 * SECOND, late), (7 * SECOND, late)];
    check(&events, 9 * SECOND - US, &[]);
    check(&events, 9 * SECOND, &[("firing", 9 * SECOND)]);
    // There must be one within the last 5 s. One alone, after a pause, has not lagged for 5 s.
    check(&[(0, late)], 100 * SECOND, &[]);
    check(&[(0, 0), (60 * SECOND, late)], 100 * SECOND, &[]);
    check(&[(0, 0), (60 * SECOND, late), (60 * SECOND + MS, 0), (66 * SECOND, late)], 100 * SECOND, &[]);
    check(&[(0, late), (10 * SECOND, late)], 11 * SECOND, &[("firing", 10 * SECOND)]);
    // It ends with a timely one, or when no event lags any more, and resolves 5 s later.
    let begun = [(0, 0), (60 * SECOND, late), (64 * SECOND, late)];
    let silent = [("firing", 65 * SECOND), ("resolved", 74 * SECOND)];
    check(&begun, 74 * SECOND, &silent);
    check(&begun, 74 * SECOND - US, &silent[..1]);
    // Exactly, whatever comes after it.
    let mut timely = vec![(0, 0), (60 * SECOND, late), (64 * SECOND, late), (66 * SECOND + MS, 0)];
    timely.extend((1..400).map(|index| (66 * SECOND + MS + index * 10 * MS, 0)));
    check(&timely, 71 * SECOND + MS, &[("firing", 65 * SECOND), ("resolved", 71 * SECOND + MS)]);
    check(&timely, 71 * SECOND + MS - US, &[("firing", 65 * SECOND)]);
    // Timely ones between those that lag: no backlog.
    let mixed: Vec<(i64, i64)> =
        (0..200).map(|index| (index * 100 * MS, if index % 20 == 0 { 0 } else { late })).collect();
    check(&mixed, 20 * SECOND, &[]);
}

#[test]
fn a_lag_says_how_long_and_events_without_a_time_do_not_count() {
    let mut stage = Stage::new(settings());
    for second in 0..8 {
        stage.trade("A", "p", second * SECOND, 3600 * SECOND);
        let untimed = r#"{"provider":"p","price":1,"size":1}"#;
        stage.event("md.events.trade.A", untimed, second * SECOND + MS);
    }
    stage.expect(&[("lag", "firing", "p", 5 * SECOND)]);
    assert_eq!((&stage.documents[0]["value"], &stage.documents[0]["threshold"]), (&json!(3600.0), &json!(5.0)));
}

#[test]
fn without_receipt_times_nothing_lags_and_gaps_go_by_the_largest_time() {
    let mut stage = Stage::new(settings());
    for second in 0..20i64 {
        let payload = |provider: &str, back: i64| {
            format!(r#"{{"provider":"{provider}","ts_recv":{},"price":1,"size":1}}"#, START + (second - back) * SECOND)
        };
        for (provider, back) in [("p", 0), ("q", 30)] {
            let receipt = Receipt::Unrecorded;
            let _ = stage.engine.handle_event(b"md.events.trade.A", payload(provider, back).as_bytes(), receipt);
        }
    }
    let last = format!(r#"{{"provider":"r","ts_recv":{},"price":1,"size":1}}"#, START + 100 * SECOND);
    let _ = stage.engine.handle_event(b"md.events.trade.B", last.as_bytes(), Receipt::Unrecorded);
    stage.drain();
    stage.expect(&[("gap", "firing", "p", 34 * SECOND), ("gap", "firing", "q", 34 * SECOND)]);
}

/// A recording without receipt times may begin with events without any.
#[test]
fn what_was_heard_before_any_time_was_known_has_no_time() {
    let mut stage = Stage::new(settings());
    let mut event = |payload: String| {
        let _ = stage.engine.handle_event(b"md.events.heartbeat.x", payload.as_bytes(), Receipt::Unrecorded);
    };
    event(r#"{"provider":"early"}"#.to_owned());
    event(format!(r#"{{"provider":"p","ts_recv":{START}}}"#));
    event(format!(r#"{{"provider":"p","ts_recv":{}}}"#, START + 14 * SECOND));
    event(format!(r#"{{"provider":"q","ts_recv":{}}}"#, START + 30 * SECOND));
    stage.drain();
    stage.expect(&[("gap", "firing", "p", 29 * SECOND)]);
}

#[test]
fn a_clock_that_is_ahead_is_an_alert_until_five_seconds_after_the_last_rejection() {
    let mut stage = Stage::new(settings());
    stage.trade("A", "p", 0, -SECOND);
    stage.pass(MS);
    stage.expect(&[]);
    stage.trade("A", "p", SECOND, -SECOND - 1);
    stage.pass(SECOND + MS);
    stage.expect(&[("clock_skew", "firing", "p", SECOND)]);
    assert_eq!(stage.documents[0]["threshold"], json!(1.0));
    stage.trade("A", "p", 4 * SECOND, -10 * SECOND);
    stage.trade("A", "p", 6 * SECOND, 0);
    stage.pass(9 * SECOND - US);
    stage.expect(&[]);
    stage.pass(9 * SECOND);
    stage.expect(&[("clock_skew", "resolved", "p", 9 * SECOND)]);
    stage.trade("A", "p", 9 * SECOND, -10 * SECOND);
    stage.pass(9 * SECOND);
    stage.expect(&[("clock_skew", "firing", "p", 9 * SECOND)]);
    assert_eq!(stage.documents[2]["value"], json!(10.0));
}

#[test]
fn a_step_of_the_clock_changes_no_length_of_time() {
    const HOUR: i64 = 3600 * SECOND;
    for step in [HOUR, -HOUR] {
        let mut stage = Stage::new(settings());
        stage.trade("A", "p", 0, 0);
        stage.pass(10 * SECOND);
        stage.engine.handle_clock_step(step);
        stage.pass(15 * SECOND + step - US);
        stage.expect(&[]);
        stage.pass(15 * SECOND + step);
        stage.expect(&[("gap", "firing", "p", 15 * SECOND + step)]);
        stage.trade("A", "p", 20 * SECOND + step, 0);
        stage.pass(21 * SECOND + step);
        stage.engine.handle_clock_step(-step);
        stage.pass(25 * SECOND - US);
        stage.expect(&[]);
        stage.pass(25 * SECOND);
        stage.expect(&[("gap", "resolved", "p", 25 * SECOND)]);
    }
}

/// However often the time is told between the events, as a live service does.
#[test]
fn the_same_events_give_the_same_alerts_whenever_the_time_is_told() {
    let run = |tick: i64| {
        let mut stage = Stage::new(settings());
        let mut now = 0;
        let mut at = |stage: &mut Stage, moment: i64| {
            while tick > 0 && now + tick < moment {
                now += tick;
                stage.pass(now);
            }
            now = moment;
        };
        for index in 0..400i64 {
            let moment = index * 137 * MS + if index > 200 { 40 * SECOND } else { 0 };
            at(&mut stage, moment);
            let age = if index % 150 > 70 { 9 * SECOND } else { 0 };
            let age = if index % 90 == 7 { -9 * SECOND } else { age };
            stage.trade(["A", "B"][index as usize % 2], ["p", "q"][(index / 3) as usize % 2], moment, age);
        }
        stage.engine.finish();
        stage.drain();
        stage.documents
    };
    let expected = run(0);
    assert!(expected.len() > 10, "{} alerts prove little", expected.len());
    for tick in [7 * MS + 1, 333 * MS, SECOND] {
        assert_eq!(run(tick), expected, "told each {tick} ns");
    }
}
