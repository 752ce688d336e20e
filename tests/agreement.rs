//! The engine against the independent naive reference: recordings (tests/recording_files) and seeded random streams, every snapshot and
//! every signal, in their order, and every count; in each `PROVIDER_MODE`.
//!
//! Beside fixed seeds some fresh ones run each time (tests/seeds).

mod reference;
mod seeds;

use std::collections::BTreeMap;
use std::io::Write;

use reference::generator::{provider_names, stream};
use reference::profile::Profile;
use reference::providers;
use reference::random::Random;
use reference::recording;
use reference::recording_files::{self, Recording};
use reference::{Counts, MILLISECOND, Published, Reference, SECOND, Settings, compare, has_keys_in_order, in_order};
use senpai_md_consumer::engine::counters::{DropReason, Suppression};
use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::input::subject::EventKind;
use senpai_md_consumer::engine::receipt::Receipt;
use senpai_md_consumer::engine::settings::{EngineSettings, ProviderMode, ProviderSettings};
use senpai_md_consumer::engine::time::UnixNanos;

type Event = (Option<i64>, String, Vec<u8>);

/// More than any stream has symbols and providers of them.
const PLACES_ENOUGH: usize = 1_000;

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
        deduplicate_trades: settings.deduplicate_trades,
        provider_mode: match settings.providers.mode {
            ProviderMode::Primary => providers::ProviderMode::Primary,
            ProviderMode::Merged => providers::ProviderMode::Merged,
            ProviderMode::Separate => providers::ProviderMode::Separate,
        },
        providers: settings.providers.preferred.clone(),
        provider_timeout_ns: settings.providers.timeout,
        symbols_max: settings.symbols_max,
        symbol_idle_ns: settings.symbol_idle.unwrap_or(0),
    }
}

fn drain(engine: &mut Engine, out: &mut Vec<Published>) {
    while let Some(message) = engine.poll_output() {
        let subject = String::from_utf8(message.subject.to_vec()).unwrap();
        // The reference has no alerts: tests/alerts has theirs.
        if subject == "senpai.alerts" {
            continue;
        }
        assert!(has_keys_in_order(message.payload), "{subject}: {}", message.payload.escape_ascii());
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

    compare_counts(name, &reference.counts(), &engine);
    (summary.snapshots, summary.signals)
}

fn compare_counts(name: &str, expected: &Counts, engine: &Engine) {
    let counters = &engine.counters;
    let sparse = |counts: &[u64]| -> BTreeMap<String, u64> {
        engine
            .providers()
            .iter()
            .map(|(index, name)| (name.to_owned(), counts[index]))
            .filter(|(_, n)| *n > 0)
            .collect()
    };
    let mut events_in = BTreeMap::new();
    for kind in EventKind::ALL {
        let mut by_provider = sparse(&counters.events_in[kind as usize]);
        // Whose a malformed event is nobody knows.
        if let Some(unknown) = by_provider.get_mut(providers::UNKNOWN) {
            *unknown -= counters.dropped(DropReason::Malformed, kind);
        }
        let counts = by_provider.into_iter().filter(|(_, count)| *count > 0);
        events_in.extend(counts.map(|(provider, count)| ((kind.name().to_owned(), provider), count)));
    }
    let missing: Vec<_> = expected.events_in.iter().filter(|(key, count)| events_in.get(key) != Some(count)).collect();
    let unexpected: Vec<_> =
        events_in.iter().filter(|(key, count)| expected.events_in.get(key) != Some(count)).collect();
    assert_eq!(missing, unexpected, "{name}: events in");
    for (reason, expected) in [
        (DropReason::Malformed, &expected.malformed),
        (DropReason::Late, &expected.late),
        (DropReason::Duplicate, &expected.duplicate),
        (DropReason::OtherProvider, &expected.other_provider),
        (DropReason::SymbolLimit, &expected.symbol_limit),
    ] {
        let dropped = EventKind::ALL.map(|kind| (kind.name().to_owned(), counters.dropped(reason, kind)));
        let dropped: BTreeMap<String, u64> = dropped.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(&dropped, expected, "{name}: {reason:?}");
    }
    assert_eq!(counters.symbols_evicted, expected.evicted, "{name}: evicted");
    assert_eq!(sparse(&counters.timestamps_rejected), expected.timestamps_rejected, "{name}: rejected times");
    assert_eq!(sparse(&counters.timestamps_unreadable), expected.timestamps_unreadable, "{name}: unreadable times");
    for reason in Suppression::ALL {
        let expected = expected.signals_suppressed.get(reason.name()).copied().unwrap_or(0);
        assert_eq!(counters.signals_suppressed[reason as usize], expected, "{name}: {reason:?}");
    }
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
fn recordings_with_a_state_for_each_provider() {
    check_recordings(|_, settings| settings.providers.mode = ProviderMode::Separate);
}

#[test]
fn seeded_streams() {
    for mode in ProviderMode::ALL {
        let (mut snapshots, mut signals) = (0, 0);
        for (name, profile) in Profile::all() {
            for seed in 1..=4 {
                let mut settings = EngineSettings::default();
                settings.providers.mode = mode;
                let name = format!("{mode:?}, {name}, seed {seed}");
                let found = check(&name, &stream(seed, 6_000, profile.clone()), settings, 1);
                snapshots += found.0;
                signals += found.1;
            }
        }
        assert!(snapshots > 10_000 && signals > 100, "{mode:?}: {snapshots} snapshots, {signals} signals");
    }
}

/// Over 60 s means 60 s, for what is late as well.
#[test]
fn a_rolling_window_over_a_minute() {
    let mut late = 0;
    for (name, profile) in [("hostile", Profile::hostile()), ("hostile replay", Profile::hostile_replay())] {
        for seconds in [61, 90, 200, 3600] {
            let mut settings = EngineSettings { rolling_window: seconds * SECOND, ..EngineSettings::default() };
            settings.providers.mode = ProviderMode::Merged;
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
fn check_seed(mode: ProviderMode, seed: u64) -> (usize, usize) {
    let mut random = Random::new(seed);
    let mut profiles = Profile::all();
    let (name, mut profile) = profiles.swap_remove((random.draw() % profiles.len() as u64) as usize);
    let listed = some_listed(&mut random, &provider_names(profile.providers));
    let mut one_of = |choices: &[i64]| choices[(random.draw() % choices.len() as u64) as usize];
    let (timeout, idle) = (one_of(&[0, 1, 4, 30, 60]) * SECOND / 2, one_of(&[0, 1, 2, 6, 60]) * SECOND / 2);
    profile.limits_ns = vec![timeout, idle];
    let mut settings = EngineSettings {
        publish_interval: [None, Some(MILLISECOND), Some(33_333_334), Some(SECOND / 10), Some(5 * SECOND)]
            [one_of(&[0, 1, 2, 3, 3, 4]) as usize],
        rolling_window: one_of(&[1, 7, 10, 30, 60, 60, 60, 90, 3600]) * SECOND,
        clock_skew_max: one_of(&[0, 1, 30, 30]) * SECOND,
        deduplicate_trades: one_of(&[0, 1, 2, 4, 4, 4, 8, 65_536]) as usize,
        providers: ProviderSettings { mode, preferred: listed, timeout },
        symbol_idle: Some(idle).filter(|idle| *idle > 0),
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
    // The outbox is as small as it can be, and symbols give up their places, where it is emptied after each event.
    let drained_each = one_of(&[1, 1, 1, 2, 7]) as usize;
    settings.symbols_max = if drained_each == 1 { one_of(&[1, 2, 4, 4, 8, 12, 200]) as usize } else { PLACES_ENOUGH };
    settings.window_trades = 20_000;
    let test = format!("fresh_seeds_{}", mode.name());
    let command = format!("{name}; SEED={seed} SEEDS=1 cargo test --test agreement {test}");
    check(&command, &stream(seed, 1_000, profile), settings, drained_each)
}

/// Some of the names that `PROVIDERS` can list, in any order.
fn some_listed(random: &mut Random, names: &[&str]) -> Vec<String> {
    let can_be_listed =
        |name: &&&str| name.trim() == **name && (1..=32).contains(&name.len()) && !["unknown", "other"].contains(*name);
    let mut names: Vec<String> = names.iter().filter(can_be_listed).map(|name| (*name).to_owned()).collect();
    let count = [0, 0, 1, 2, 3, 62][random.below(6) as usize];
    (0..count.min(names.len())).map(|_| names.swap_remove(random.below(names.len() as i64) as usize)).collect()
}

fn check_fresh_seeds(mode: ProviderMode) {
    let (mut snapshots, mut signals) = (0, 0);
    let name = format!("agreement_{}", mode.name());
    for seed in seeds::fresh(&name, 200) {
        let found = check_seed(mode, seed);
        snapshots += found.0;
        signals += found.1;
    }
    let _ = writeln!(std::io::stderr(), "{name}: {snapshots} snapshots and {signals} signals agree");
}

#[test]
fn fresh_seeds_primary() {
    check_fresh_seeds(ProviderMode::Primary);
}

#[test]
fn fresh_seeds_merged() {
    check_fresh_seeds(ProviderMode::Merged);
}

#[test]
fn fresh_seeds_separate() {
    check_fresh_seeds(ProviderMode::Separate);
}
