//! Event time, local time and the schedule of snapshots.

use crate::*;

/// A quote of X, received so many seconds from the start.
fn feed(reference: &mut Reference, receipt: f64, payload: Value) -> Vec<Published> {
    reference.event(Some(at(receipt)), "md.events.quote.X", payload.to_string().as_bytes())
}

#[test]
#[rustfmt::skip] // one case a line
fn event_time_is_recv_then_exchange_then_receipt_and_never_far_ahead() {
    let t = |receipt: f64, recv: Option<f64>, exchange: Option<f64>| {
        let mut reference = Reference::new(Settings::default());
        let payload = json!({"bid": 1, "ask": 2, "ts_recv": recv.map(at), "ts_exchange": exchange.map(at), "venue": "vvv"});
        let published = feed(&mut reference, receipt, payload);
        let seconds = (reference.state("X").unwrap().quote.unwrap().t - START) as f64 / 1e9;
        let rejected = reference.counts().timestamps_rejected.get("vvv").copied().unwrap_or(0);
        (seconds, published[0].payload["features"]["latency_ms_p50"].as_f64(), rejected)
    };
    assert_eq!(t(9.0, Some(5.0), Some(4.5)), (5.0, Some(500.0), 0));
    assert_eq!(t(9.0, None, Some(4.5)), (4.5, Some(4500.0), 0));
    assert_eq!(t(9.0, Some(5.0), None), (5.0, None, 0));
    assert_eq!(t(9.0, None, None), (9.0, None, 0));
    assert_eq!(t(9.0, Some(10.0), Some(8.5)), (10.0, Some(1_500.0), 0));
    assert_eq!(t(9.0, Some(10.000000001), Some(8.5)), (9.0, Some(500.0), 1));
    assert_eq!(t(9.0, None, Some(40.0)), (9.0, None, 1));
    assert_eq!(t(9.0, Some(40.0), Some(50.0)), (9.0, None, 1));
    assert_eq!(t(9.0, Some(8.0), Some(50.0)), (8.0, Some(-42_000.0), 0));
}

#[test]
fn a_provider_that_was_ahead_takes_local_receipt_until_5_s_without_another() {
    let mut reference = Reference::new(Settings::default());
    // Receipt, provider and ts_recv; t, and how often the provider was rejected by then.
    for (receipt, provider, recv, t, rejected) in [
        (0.0, "aaa", -0.5, -0.5, 0),
        (1.0, "aaa", 2.0, 2.0, 0),
        (1.0, "aaa", 2.000000001, 1.0, 1),
        (1.0, "bbb", 0.5, 0.5, 0),
        (3.0, "aaa", 2.5, 3.0, 1),
        (5.999999999, "aaa", 5.5, 5.999999999, 1),
        (6.0, "aaa", 5.5, 5.5, 1),
        (7.0, "aaa", 100.0, 7.0, 2),
        (11.0, "aaa", 13.0, 11.0, 3),
        (12.0, "aaa", 11.5, 12.0, 3),
        (15.999999999, "aaa", 15.5, 15.999999999, 3),
        (16.0, "aaa", 15.5, 15.5, 3),
    ] {
        let payload = json!({"provider": provider, "price": 1, "size": 1, "ts_recv": at(recv)});
        let subject = format!("md.events.trade.{receipt}{provider}{recv}");
        reference.event(Some(at(receipt)), &subject, payload.to_string().as_bytes());
        let trade = reference.state(&subject["md.events.trade.".len()..]).unwrap().trade.unwrap();
        let counted = reference.counts().timestamps_rejected.get(provider).copied().unwrap_or(0);
        assert_eq!((trade.t, counted), (at(t), rejected), "{receipt} {provider} {recv}");
    }
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
    // Due before the next event, of any symbol; a malformed one changes nothing.
    check_schedule(&[(0.0, "A"), (0.05, "A"), (0.15, "B")], &[(0, "A", 0.0), (2, "A", 0.1), (2, "B", 0.15)]);
    check_schedule(&[(0.0, "A"), (0.05, "A"), (0.15, "-")], &[(0, "A", 0.0), (3, "A", 0.1)]);
    // The interval runs from the moment it was due.
    check_schedule(&[(0.0, "A"), (0.05, "A"), (0.15, "A"), (0.2, "A")], &[(0, "A", 0.0), (2, "A", 0.1), (3, "A", 0.2)]);
    // Due at the event's own moment: the event takes it along, and another symbol's event does not cause it.
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
