//! The engine against the independent naive reference: recordings (tests/recording_files) and seeded random streams, every snapshot and
//! every signal, in their order.
//!
//! Beside fixed seeds some fresh ones run each time (tests/seeds).

mod reference;
mod seeds;

use std::io::Write;

use reference::generator::stream;
use reference::profile::Profile;
use reference::random::Random;
use reference::recording;
use reference::recording_files::{self, Recording};
use reference::{MILLISECOND, Published, Reference, SECOND, Settings, compare, in_order};
use senpai_md_consumer::engine::counters::{DropReason, Suppression};
use senpai_md_consumer::engine::engine::{Engine, Receipt};
use senpai_md_consumer::engine::input::subject::EventKind;
use senpai_md_consumer::engine::settings::EngineSettings;
use senpai_md_consumer::engine::time::UnixNanos;

type Event = (Option<i64>, String, Vec<u8>);

fn reference_settings(settings: &EngineSettings) -> Settings {
    // Where there is none the setting is 0.
    let limit = |ns: i64| if ns == i64::MAX { 0 } else { ns };
    Settings {
        publish_interval_ns: settings.publish_interval.unwrap_or(0),
        rolling_window_ns: settings.rolling_window,
        return_threshold: settings.signal.return_threshold,
        volume_threshold: settings.signal.volume_threshold,
        spread_max_bps: settings.signal.spread_max_bps,
        cooldown_ns: settings.signal.cooldown,
        signal_max_age_ns: limit(settings.signal.age_limits.event),
        signal_max_quote_age_ns: limit(settings.signal.age_limits.quote),
        signal_max_gap_ns: limit(settings.signal.age_limits.gap),
        max_clock_skew_ns: settings.clock_skew_max,
    }
}

fn drain(engine: &mut Engine, out: &mut Vec<Published>) {
    while let Some(message) = engine.poll_output() {
        let subject = String::from_utf8(message.subject.to_vec()).unwrap();
        out.push(Published::new(&subject, serde_json::from_slice(message.payload).unwrap()));
    }
}

/// Runs both over `events`, the engine's outputs taken each `drained_each` events; says how many snapshots and signals
/// they agree on.
fn check(name: &str, events: &[Event], settings: EngineSettings, drained_each: usize) -> (usize, usize) {
    let mut reference = Reference::new(reference_settings(&settings));
    let mut engine = Engine::new(settings).expect("there is memory");
    let (mut expected, mut actual) = (Vec::new(), Vec::new());
    // The next event may be of the same moment.
    engine.set_moment_open(true);
    for (index, (receipt, subject, payload)) in events.iter().enumerate() {
        expected.extend(reference.event(*receipt, subject, payload));
        let receipt = receipt.map_or(Receipt::Unrecorded, |ns| Receipt::At(UnixNanos(ns)));
        let _ = engine.handle_event(subject.as_bytes(), payload, receipt);
        if index % drained_each == 0 {
            drain(&mut engine, &mut actual);
        }
    }
    expected.extend(reference.finish());
    engine.finish();
    drain(&mut engine, &mut actual);
    let expected = in_order(expected);
    let summary = compare(&expected, &actual).unwrap_or_else(|difference| panic!("{name}: {difference}"));
    assert!(summary.same_order, "{name}: the messages are those expected, in another order");

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
    assert_eq!(
        engine.counters.timestamps_unreadable.iter().sum::<u64>(),
        counts.timestamps_unreadable.values().sum::<u64>(),
        "{name}: unreadable times"
    );
    for reason in Suppression::ALL {
        let expected = counts.signals_suppressed.get(reason.name()).copied().unwrap_or(0);
        assert_eq!(engine.counters.signals_suppressed[reason as usize], expected, "{name}: {reason:?}");
    }
    (summary.snapshots, summary.signals)
}

/// Every recording, with the settings changed; says how many snapshots and signals each gives.
fn check_recordings(change: impl Fn(&Recording, &mut EngineSettings)) -> Vec<(&'static Recording, usize, usize)> {
    let check_recording = |recording: &'static Recording| {
        let mut settings = EngineSettings::default();
        change(recording, &mut settings);
        let (snapshots, signals) = check(&recording.name, &recording::read(recording), settings, 1);
        (recording, snapshots, signals)
    };
    recording_files::all().iter().map(check_recording).collect()
}

#[test]
fn recordings() {
    let change = |recording: &Recording, settings: &mut EngineSettings| {
        settings.signal.return_threshold = recording.least().return_threshold;
    };
    for (recording, snapshots, signals) in check_recordings(change) {
        let (name, least) = (&recording.name, recording.least());
        assert!(snapshots >= least.snapshots, "{name}: {snapshots} snapshots prove little");
        assert!(signals >= least.signals, "{name}: {signals} signals prove little");
    }
}

#[test]
fn recordings_with_short_windows() {
    check_recordings(|_, settings| {
        settings.rolling_window = 7_000_000_000;
        settings.publish_interval = Some(33_333_334);
    });
}

#[test]
fn seeded_streams() {
    let (mut snapshots, mut signals) = (0, 0);
    for (name, profile) in Profile::all() {
        for seed in 1..=12 {
            let settings = EngineSettings::default();
            let found = check(&format!("{name}, seed {seed}"), &stream(seed, 6_000, profile.clone()), settings, 1);
            snapshots += found.0;
            signals += found.1;
        }
    }
    assert!(snapshots > 10_000 && signals > 100, "{snapshots} snapshots, {signals} signals");
}

/// Over 60 s means 60 s, for what is late as well.
#[test]
fn a_rolling_window_over_a_minute() {
    let mut late = 0;
    for (name, profile) in [("hostile", Profile::hostile()), ("hostile replay", Profile::hostile_replay())] {
        for seconds in [61, 90, 200, 3600] {
            let settings = EngineSettings { rolling_window: seconds * SECOND, ..EngineSettings::default() };
            let events = stream(seconds as u64, 3_000, profile.clone());
            check(&format!("{name}, {seconds} s"), &events, settings.clone(), 1);
            let mut engine = Engine::new(settings).expect("there is memory");
            for (receipt, subject, payload) in &events {
                let receipt = receipt.map_or(Receipt::Unrecorded, |ns| Receipt::At(UnixNanos(ns)));
                let _ = engine.handle_event(subject.as_bytes(), payload, receipt);
            }
            late += engine.counters.dropped(DropReason::Late, EventKind::Trade);
        }
    }
    assert!(late > 100, "{late} late trades prove little");
}

/// Settings, stream and pace of a seed.
fn check_seed(seed: u64) -> (usize, usize) {
    let mut random = Random::new(seed);
    let profiles = Profile::all();
    let (name, profile) = &profiles[(random.draw() % profiles.len() as u64) as usize];
    let mut one_of = |choices: &[i64]| choices[(random.draw() % choices.len() as u64) as usize];
    let mut settings = EngineSettings {
        publish_interval: [None, Some(MILLISECOND), Some(33_333_334), Some(SECOND / 10), Some(5 * SECOND)]
            [one_of(&[0, 1, 2, 3, 3, 4]) as usize],
        rolling_window: one_of(&[1, 7, 10, 30, 60, 60, 60, 90, 3600]) * SECOND,
        clock_skew_max: one_of(&[0, 1, 30, 30]) * SECOND,
        ..EngineSettings::default()
    };
    settings.signal.return_threshold = one_of(&[0, 1, 3, 30, 30]) as f64 / 10_000.0;
    settings.signal.volume_threshold = one_of(&[0, 1, 1, 3]) as f64;
    settings.signal.spread_max_bps = one_of(&[5, 20, 20, 1000]) as f64;
    settings.signal.cooldown = one_of(&[0, 1, 10, 10]) * SECOND;
    let mut limit = |seconds: &[i64]| match one_of(seconds) {
        0 => i64::MAX,
        seconds => seconds * SECOND,
    };
    settings.signal.age_limits.event = limit(&[0, 1, 5, 5, 60]);
    settings.signal.age_limits.quote = limit(&[0, 1, 5, 30, 30]);
    settings.signal.age_limits.gap = limit(&[0, 1, 10, 60, 60]);
    // The outbox is as small as it can be where it is emptied after each event.
    let drained_each = one_of(&[1, 1, 2, 7]) as usize;
    settings.symbols_max = if drained_each == 1 { 8 } else { 1_000 };
    settings.window_trades = 20_000;
    let command = format!("{name}; SEED={seed} SEEDS=1 cargo test --test agreement fresh_seeds");
    check(&command, &stream(seed, 1_500, profile.clone()), settings, drained_each)
}

#[test]
fn fresh_seeds() {
    let (mut snapshots, mut signals) = (0, 0);
    for seed in seeds::fresh("agreement", 300) {
        let found = check_seed(seed);
        snapshots += found.0;
        signals += found.1;
    }
    let _ = writeln!(std::io::stderr(), "agreement: {snapshots} snapshots and {signals} signals agree");
}
