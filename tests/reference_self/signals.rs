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
    (log, suppressed(&reference, "stale"))
}

fn suppressed(reference: &Reference, reason: &str) -> u64 {
    reference.counts().signals_suppressed.get(reason).copied().unwrap_or(0)
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
    assert_eq!((emitted, suppressed(&reference, "stale")), (vec![0, 0, 0, 1], 1));
}

/// Signals, and how many were suppressed as stale, for an old quote and over a gap.
#[track_caller]
fn check_guards(settings: Settings, steps: &[Step], behind: f64, expected: [u64; 4]) {
    let mut reference = Reference::new(settings);
    let mut signals = 0;
    for (seconds, subject, payload) in steps {
        let published = reference.event(Some(at(seconds + behind)), subject, payload.as_bytes());
        signals += published.iter().filter(|p| p.subject.contains("signals")).count() as u64;
    }
    let suppressed = ["stale", "stale_quote", "gap"].map(|reason| suppressed(&reference, reason));
    assert_eq!([signals, suppressed[0], suppressed[1], suppressed[2]], expected, "{steps:?}");
}

#[test]
#[rustfmt::skip] // one case a line
fn old_quotes_and_gaps_suppress_a_signal() {
    let rise = |from: f64, quoted: f64, to: f64| {
        let mut steps = vec![trade(from, 1000.0, 1.0), quote(quoted, 999.5, 1000.5), trade(to, 1004.0, 1.5)];
        steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        steps
    };
    let limits = |age: i64, quote: i64, gap: i64| Settings {
        signal_max_age_ns: age * SECOND, signal_max_quote_age_ns: quote * SECOND, signal_max_gap_ns: gap * SECOND, ..Settings::default()
    };
    let by_default = Settings::default;
    check_guards(by_default(), &rise(30.0, 10.0, 40.0), 0.0, [1, 0, 0, 0]);
    check_guards(by_default(), &rise(30.0, 9.999999999, 40.0), 0.0, [0, 0, 1, 0]);
    check_guards(by_default(), &rise(0.0, 69.0, 70.0), 0.0, [1, 0, 0, 0]);
    check_guards(by_default(), &rise(0.0, 69.0, 70.000000001), 0.0, [0, 0, 0, 1]);
    check_guards(by_default(), &rise(0.0, 0.0, 3_300.0), 6.0, [0, 1, 0, 0]);
    check_guards(by_default(), &rise(0.0, 0.0, 3_300.0), 0.0, [0, 0, 1, 0]);
    check_guards(limits(0, 0, 60), &rise(0.0, 0.0, 3_300.0), 6.0, [0, 0, 0, 1]);
    check_guards(limits(0, 0, 0), &rise(0.0, 0.0, 3_300.0), 6.0, [1, 0, 0, 0]);
}
