//! Which time an event gets (SPEC section 1, "Event time"), at the borders of what is believed: events of providers whose clocks
//! are ahead, by the `ts` and the latency that /state and /features show.

use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::receipt::Receipt;

use senpai_md_consumer::engine::settings::EngineSettings;
use senpai_md_consumer::engine::time::{NANOS_PER_SECOND, UnixNanos};

const START: i64 = 1_700_000_000 * NANOS_PER_SECOND;

fn at(seconds: f64) -> i64 {
    START + (seconds * 1e9).round() as i64
}

fn engine(skew_seconds: i64) -> Engine {
    let clock_skew_max = skew_seconds * NANOS_PER_SECOND;
    Engine::new(EngineSettings { symbols_max: 64, window_trades: 100, clock_skew_max, ..EngineSettings::default() })
        .expect("there is memory")
}

fn rejected(engine: &Engine, provider: &str) -> u64 {
    let index = engine.providers().iter().find(|(_, name)| *name == provider).map(|(index, _)| index);
    index.map_or(0, |index| engine.counters.timestamps_rejected[index])
}

/// Hands over a trade of a symbol of its own; says its t, in seconds.
fn take(engine: &mut Engine, symbol: usize, receipt: Option<f64>, provider: &str, times: &str) -> f64 {
    let receipt = receipt.map_or(Receipt::Unrecorded, |seconds| Receipt::At(UnixNanos(at(seconds))));
    let payload = format!(r#"{{"provider":"{provider}","price":1,"size":1{times}}}"#);
    let subject = format!("md.events.trade.S{symbol}");
    engine.handle_event(subject.as_bytes(), payload.as_bytes(), receipt).expect("it is well-formed");
    let symbols = engine.symbols();
    let id = symbols.find(format!("S{symbol}").as_bytes()).expect("it is known");
    let (arrival, _) = symbols.state(id).trade.expect("it has a trade");
    (arrival.t.0 - START) as f64 / 1e9
}

/// Receipt, provider, `ts_recv`; the t that the event gets, and how many of the provider's times were rejected by then.
type Case = (f64, &'static str, Option<f64>, f64, u64);

#[track_caller]
fn check(skew_seconds: i64, cases: &[Case]) {
    let mut engine = engine(skew_seconds);
    for (index, (receipt, provider, recv, t, count)) in cases.iter().enumerate() {
        let times = recv.map_or(String::new(), |recv| format!(r#","ts_recv":{}"#, at(recv)));
        let found = take(&mut engine, index, Some(*receipt), provider, &times);
        assert_eq!((found, rejected(&engine, provider)), (*t, *count), "case {index}: {receipt} {provider} {recv:?}");
    }
}

#[test]
fn a_second_ahead_is_believed_and_more_is_not() {
    let default = EngineSettings::default().clock_skew_max / NANOS_PER_SECOND;
    check(default, &[(10.0, "aaa", Some(11.0), 11.0, 0)]);
    check(default, &[(10.0, "aaa", Some(11.000_000_001), 10.0, 1)]);
    check(default, &[(10.0, "aaa", Some(39.0), 10.0, 1)]);
    check(0, &[(10.0, "aaa", Some(10.0), 10.0, 0), (10.0, "aaa", Some(10.000_000_001), 10.0, 1)]);
    check(30, &[(10.0, "aaa", Some(40.0), 40.0, 0), (10.0, "aaa", Some(40.000_000_001), 10.0, 1)]);
}

#[test]
fn a_provider_that_was_ahead_takes_local_receipt_until_5_s_without_another() {
    check(
        1,
        &[
            (9.0, "aaa", Some(8.5), 8.5, 0),
            (10.0, "aaa", Some(12.0), 10.0, 1),
            // What it says next is not used, believable or not; what others say is.
            (10.5, "aaa", Some(10.0), 10.5, 1),
            (10.5, "aaa", Some(11.5), 10.5, 1),
            (10.5, "bbb", Some(11.5), 11.5, 0),
            (10.5, "unknown", Some(10.0), 10.0, 0),
            (12.0, "aaa", None, 12.0, 1),
            (14.999_999_999, "aaa", Some(14.0), 14.999_999_999, 1),
            (15.0, "aaa", Some(14.5), 14.5, 1),
            // Each further one begins the 5 s anew.
            (20.0, "aaa", Some(30.0), 20.0, 2),
            (24.999_999_999, "aaa", Some(25.999_999_999), 24.999_999_999, 2),
            (24.999_999_999, "aaa", Some(26.0), 24.999_999_999, 3),
            (29.999_999_998, "aaa", Some(29.0), 29.999_999_998, 3),
            (29.999_999_999, "aaa", Some(29.0), 29.0, 3),
            // Receipts do not step back: this one counts as received with the last.
            (15.0, "aaa", Some(30.9), 30.9, 3),
        ],
    );
}

/// A clock that is now just under, now just over what is believed: t never steps back, where it would by a second.
#[test]
fn times_at_the_edge_do_not_jump() {
    let mut engine = engine(1);
    let mut last = f64::MIN;
    for index in 0..1_000 {
        let receipt = index as f64 * 0.01;
        let recv = receipt + if index % 3 == 2 { 1.1 } else { 0.95 };
        let t = take(&mut engine, 0, Some(receipt), "aaa", &format!(r#","ts_recv":{}"#, at(recv)));
        assert!(index < 3 || t >= last, "event {index}: {t} after {last}");
        last = if index < 2 { f64::MIN } else { t };
    }
    assert_eq!(rejected(&engine, "aaa"), 333);
}

#[test]
fn what_is_not_believed_is_no_receipt_for_a_latency() {
    // Rounded to 20 ms: a percentile may err by 1 %.
    let p50 = |events: &[(f64, &str, Option<f64>)]| {
        let mut engine = engine(1);
        let last = events.len() - 1;
        for (index, (receipt, recv, exchange)) in events.iter().enumerate() {
            let exchange = exchange.map_or(String::new(), |sent| format!(r#","ts_exchange":{}"#, at(sent)));
            let times = format!(r#"{recv}{exchange}"#);
            take(&mut engine, if index == last { 1 } else { 0 }, Some(*receipt), "aaa", &times);
        }
        let document = engine.features_document("S1", UnixNanos(0)).expect("it is known");
        let document: serde_json::Value = serde_json::from_slice(&document).expect("it is JSON");
        document["features"]["latency_ms_p50"].as_f64().map(|ms| (ms / 20.0).round() as i64 * 20)
    };
    let recv = |seconds: f64| format!(r#","ts_recv":{}"#, at(seconds));
    let (ahead, fine) = (recv(12.0), recv(9.5));
    assert_eq!(p50(&[(10.0, &fine, Some(9.4))]), Some(100));
    assert_eq!(p50(&[(10.0, &recv(11.0), Some(10.0))]), Some(1_000));
    assert_eq!(p50(&[(10.0, &ahead, Some(9.4))]), Some(600));
    assert_eq!(p50(&[(10.0, &ahead, Some(12.0))]), None);
    assert_eq!(p50(&[(10.0, "", Some(12.0))]), None);
    // Of the events after it local receipt is the receipt.
    assert_eq!(p50(&[(9.0, &ahead, None), (10.0, &fine, Some(9.4))]), Some(600));
    assert_eq!(p50(&[(9.0, &ahead, None), (13.99, &fine, Some(9.49))]), Some(4_500));
    assert_eq!(p50(&[(9.0, &ahead, None), (14.0, &fine, Some(9.4))]), Some(100));
}

/// Every event counts, a heartbeat and one of a symbol without a place, too; a malformed one changes nothing.
#[test]
fn any_event_says_that_a_clock_is_ahead() {
    let mut engine = engine(1);
    let mut hand_over = |subject: &str, fields: &str| {
        let payload = format!(r#"{{"provider":"aaa",{fields}"ts_recv":{}}}"#, at(20.0));
        let _ = engine.handle_event(subject.as_bytes(), payload.as_bytes(), Receipt::At(UnixNanos(at(10.0))));
        rejected(&engine, "aaa")
    };
    assert_eq!(hand_over("md.events.trade.A", r#""price":0,"size":1,"#), 0);
    assert_eq!(hand_over("md.events.heartbeat.aaa", ""), 1);
    assert_eq!(hand_over("md.events.quote.A", r#""bid":1,"ask":2,"#), 2);
    assert_eq!(hand_over("md.events.book_l2.A", r#""bids":[],"asks":[],"#), 3);
    assert_eq!(take(&mut engine, 0, Some(11.0), "aaa", &format!(r#","ts_recv":{}"#, at(10.5))), 11.0);
}

#[test]
fn without_receipt_times_the_clock_is_the_largest_t_and_nothing_is_rejected() {
    let mut engine = engine(1);
    for (index, recv, t) in [(0, 10.0, 10.0), (1, 500.0, 500.0), (2, 20.0, 20.0), (3, 100_000.0, 100_000.0)] {
        assert_eq!(take(&mut engine, index, None, "aaa", &format!(r#","ts_recv":{}"#, at(recv))), t);
    }
    assert_eq!(take(&mut engine, 4, None, "aaa", ""), 100_000.0);
    assert_eq!(rejected(&engine, "aaa"), 0);
}

/// The machine's clock was an hour behind: times are rejected, and 5 s after it was set they are believed, as lengths of time
/// stay what they are.
#[test]
fn a_step_of_the_clock_leaves_the_5_s_as_long_as_they_are() {
    for step in [3_600.0, -3_600.0] {
        let mut engine = engine(1);
        let times = |seconds: f64| format!(r#","ts_recv":{}"#, at(seconds));
        assert_eq!(take(&mut engine, 0, Some(10.0), "aaa", &times(20.0)), 10.0);
        engine.handle_clock_step((step * 1e9) as i64);
        assert_eq!(take(&mut engine, 1, Some(step + 14.9), "aaa", &times(step + 14.0)), step + 14.9);
        assert_eq!(take(&mut engine, 2, Some(step + 15.0), "aaa", &times(step + 14.0)), step + 14.0);
    }
}
