//! Signals.

use crate::*;

/// The signals that the steps give, as (ts, direction, price); receipt is the step's own time plus `behind`.
fn signals(steps: &[Step], behind: Option<f64>) -> (Vec<(f64, String, f64)>, u64) {
    let mut reference = Reference::new(Settings::default());
    let mut log = Vec::new();
    for (seconds, subject, payload) in steps {
        let published = reference.event(behind.map(|behind| at(seconds + behind)), subject, payload.as_bytes());
        let snapshots_after_signals = published.iter().is_sorted_by_key(|p| p.subject.starts_with("senpai.features."));
        assert!(snapshots_after_signals || published.len() > 2);
        for message in published.iter().filter(|p| p.subject == "senpai.signals.X") {
            let direction = message.payload["direction"].as_str().unwrap().to_owned();
            log.push(((message.ts_ns - START) as f64 / 1e9, direction, message.payload["price"].as_f64().unwrap()));
        }
    }
    (log, reference.counts().signals_stale)
}

#[track_caller]
fn check_signals(steps: &[Step], expected: &[(f64, &str, f64)]) {
    let expected: Vec<_> =
        expected.iter().map(|(ts, direction, price)| (*ts, (*direction).to_owned(), *price)).collect();
    assert_eq!(signals(steps, None).0, expected);
    assert_eq!(signals(steps, Some(5.0)), (expected.clone(), 0), "5 s old is not stale");
    let (none, stale) = signals(steps, Some(5.001));
    assert!(none.is_empty() && (stale >= expected.len() as u64), "older is: {none:?} {stale}");
}

#[test]
#[rustfmt::skip] // one case a line
fn signals_need_every_condition() {
    let tight = quote(0.0, 999.5, 1000.5);
    let from = trade(0.0, 1000.0, 1.0);
    let (up, down) = (trade(10.0, 1004.0, 1.5), trade(10.0, 996.0, 1.5));
    check_signals(&[tight.clone(), from.clone(), up.clone()], &[(10.0, "long", 1004.0)]);
    check_signals(&[tight.clone(), from.clone(), down], &[(10.0, "short", 996.0)]);
    // The last condition may be met by a quote, a book, or time.
    check_signals(&[from.clone(), up.clone(), quote(11.0, 999.5, 1000.5)], &[(11.0, "long", 1004.0)]);
    check_signals(&[from.clone(), up.clone(), book(11.0, json!([[999.5, 1]]), json!([[1000.5, 1]]))], &[(11.0, "long", 1004.0)]);
    check_signals(&[tight.clone(), from.clone(), trade(9.0, 1004.0, 1.5), quote(10.0, 999.5, 1000.5)], &[(10.0, "long", 1004.0)]);
    // Nulls and missed conditions.
    check_signals(&[from.clone(), up.clone()], &[]);
    check_signals(&[tight.clone(), up.clone()], &[]);
    check_signals(&[tight.clone(), from.clone(), trade(10.0, 1004.0, 1.0)], &[]);
    check_signals(&[tight.clone(), from.clone(), trade(10.0, 1002.9, 1.5)], &[]);
    check_signals(&[quote(0.0, 999.0, 1001.0), from.clone(), up.clone()], &[]);
    check_signals(&[quote(0.0, 1000.5, 999.5), from.clone(), up.clone()], &[]);
    check_signals(&[quote(0.0, 1000.0, 1000.0), from.clone(), up.clone()], &[(10.0, "long", 1004.0)]);
}

#[test]
#[rustfmt::skip] // one case a line
fn signals_cool_down_by_direction() {
    let start = [quote(0.0, 999.5, 1000.5), trade(0.0, 1000.0, 1.0), trade(10.0, 1004.0, 1.5)];
    let then = |more: &[Step]| [start.as_slice(), more].concat();
    let first = (10.0, "long", 1004.0);
    check_signals(&then(&[trade(11.0, 1005.0, 1.5)]), &[first]);
    check_signals(&then(&[trade(19.999, 1012.0, 1.5)]), &[first]);
    check_signals(&then(&[trade(20.0, 1012.0, 1.5)]), &[first, (20.0, "long", 1012.0)]);
    check_signals(&then(&[trade(11.0, 990.0, 1.5)]), &[first, (11.0, "short", 990.0)]);
    check_signals(
        &then(&[trade(11.0, 990.0, 1.5), trade(20.5, 1012.0, 1.5)]),
        &[first, (11.0, "short", 990.0), (20.5, "long", 1012.0)],
    );
}

#[test]
#[rustfmt::skip] // one case a line
fn a_stale_signal_starts_no_cooldown() {
    let steps = [quote(0.0, 999.5, 1000.5), trade(0.0, 1000.0, 1.0), trade(10.0, 1004.0, 1.5), trade(11.0, 1004.0, 1.5)];
    let mut reference = Reference::new(Settings::default());
    let mut emitted = Vec::new();
    for ((_, subject, payload), receipt) in steps.iter().zip([0.0, 0.0, 15.5, 15.6]) {
        emitted.push(
            reference
                .event(Some(at(receipt)), subject, payload.as_bytes())
                .iter()
                .filter(|p| p.subject.contains("signals"))
                .count(),
        );
    }
    assert_eq!((emitted, reference.counts().signals_stale), (vec![0, 0, 0, 1], 1));
}
