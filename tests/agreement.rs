//! The engine against the independent naive reference: recorded data and seeded random streams, every snapshot and
//! every signal.

mod reference;

use reference::generator::{Profile, stream};
use reference::{Published, Reference, Settings, compare, recording};
use senpai_md_consumer::engine::counters::DropReason;
use senpai_md_consumer::engine::engine::{Engine, EngineSettings, Receipt};
use senpai_md_consumer::engine::subject::EventKind;
use senpai_md_consumer::engine::time::UnixNanos;

type Event = (Option<i64>, String, Vec<u8>);

fn reference_settings(settings: &EngineSettings) -> Settings {
    Settings {
        publish_interval_ns: settings.publish_interval.unwrap_or(0),
        rolling_window_ns: settings.rolling_window,
        return_threshold: settings.signal.return_threshold,
        volume_threshold: settings.signal.volume_threshold,
        spread_max_bps: settings.signal.spread_max_bps,
        cooldown_ns: settings.signal.cooldown,
        signal_max_age_ns: settings.signal.age_max,
        max_clock_skew_ns: settings.clock_skew_max,
    }
}

fn drain(engine: &mut Engine, out: &mut Vec<Published>) {
    while let Some(message) = engine.poll_output() {
        let subject = String::from_utf8(message.subject.to_vec()).unwrap();
        out.push(Published::new(&subject, serde_json::from_slice(message.payload).unwrap()));
    }
}

/// Runs both over `events`; says how many snapshots and signals they agree on.
fn check(name: &str, events: &[Event], settings: EngineSettings) -> (usize, usize) {
    let mut reference = Reference::new(reference_settings(&settings));
    let mut engine = Engine::new(settings).expect("there is memory");
    let (mut expected, mut actual) = (Vec::new(), Vec::new());
    for (receipt, subject, payload) in events {
        expected.extend(reference.event(*receipt, subject, payload));
        let receipt = receipt.map_or(Receipt::Unrecorded, |ns| Receipt::At(UnixNanos(ns)));
        let _ = engine.handle_event(subject.as_bytes(), payload, receipt);
        drain(&mut engine, &mut actual);
    }
    expected.extend(reference.finish());
    engine.finish();
    drain(&mut engine, &mut actual);
    let summary = compare(&expected, &actual).unwrap_or_else(|difference| panic!("{name}: {difference}"));

    let counts = reference.counts();
    for kind in EventKind::ALL {
        let of = |map: &std::collections::BTreeMap<String, u64>| map.get(kind.name()).copied().unwrap_or(0);
        let malformed = engine.counters.dropped(DropReason::Malformed, kind);
        assert_eq!(malformed, of(&counts.malformed), "{name}: malformed {kind:?}");
        assert_eq!(engine.counters.dropped(DropReason::Late, kind), of(&counts.late), "{name}: late {kind:?}");
        let received: u64 = engine.counters.events_in[kind as usize].iter().sum();
        assert_eq!(received - malformed, of(&counts.events), "{name}: events {kind:?}");
    }
    assert_eq!(
        engine.counters.timestamps_rejected.iter().sum::<u64>(),
        counts.timestamps_rejected.values().sum::<u64>()
    );
    assert_eq!(engine.counters.signals_suppressed_stale, counts.signals_stale, "{name}: stale");
    (summary.snapshots, summary.signals)
}

fn check_recording(file: &str, change: impl FnOnce(&mut EngineSettings)) -> (usize, usize) {
    let mut settings = EngineSettings::default();
    change(&mut settings);
    check(file, &recording::read(file), settings)
}

#[test]
fn binance_250s() {
    let (snapshots, _) = check_recording("binance-usdm-250s.jsonl.gz", |_| ());
    assert!(snapshots > 4_000, "{snapshots} snapshots");
}

#[test]
fn binance_480s_with_sensitive_rules() {
    let (_, signals) = check_recording("binance-usdm-480s.jsonl.gz", |settings| {
        settings.signal.return_threshold = 0.0003;
    });
    assert!(signals > 5, "{signals} signals");
}

#[test]
fn binance_250s_with_short_windows() {
    check_recording("binance-usdm-250s.jsonl.gz", |settings| {
        settings.rolling_window = 7_000_000_000;
        settings.publish_interval = Some(33_333_334);
    });
}

#[test]
fn coinbase() {
    let (snapshots, _) =
        check_recording("coinbase-24s.jsonl.gz", |settings| settings.signal.return_threshold = 0.00001);
    assert!(snapshots > 100, "{snapshots} snapshots");
}

#[test]
fn seeded_streams() {
    let (mut snapshots, mut signals) = (0, 0);
    for (name, profile) in Profile::all() {
        for seed in 1..=12 {
            let settings = EngineSettings::default();
            let found = check(&format!("{name}, seed {seed}"), &stream(seed, 6_000, profile.clone()), settings);
            snapshots += found.0;
            signals += found.1;
        }
    }
    assert!(snapshots > 10_000 && signals > 100, "{snapshots} snapshots, {signals} signals");
}
