//! Comparing, generated streams and recordings.

use crate::*;

fn run(messages: &[generator::Message]) -> (Vec<Published>, Reference) {
    run_with(Settings { provider_mode: ProviderMode::Merged, ..Settings::default() }, messages)
}

fn run_with(settings: Settings, messages: &[generator::Message]) -> (Vec<Published>, Reference) {
    let mut reference = Reference::new(settings);
    let mut published = Vec::new();
    for (receipt, subject, payload) in messages {
        published.extend(reference.event(*receipt, subject, payload));
    }
    published.extend(reference.finish());
    (published, reference)
}

#[test]
#[rustfmt::skip] // one case a line
fn compare_sees_every_difference() {
    let (expected, _) = run(&generator::stream(1, 3_000, Profile::live()));
    let summary = compare(&expected, &expected).unwrap();
    assert!(summary.same_order && summary.signals > 3 && summary.snapshots > 100 && summary.worst_error == 0.0, "{summary:?}");
    let is_whole = |p: &Published| reference::FEATURES.iter().all(|feature| p.payload["features"][feature].as_f64().is_some_and(|value| value.abs() > 1e-3));
    let index = expected.iter().rposition(|p| p.subject.starts_with("senpai.signals.") && is_whole(p)).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut actual = expected.clone();
        change(&mut actual[index].payload);
        compare(&expected, &actual)
    };
    let scaled = |name: &'static str, factor: f64| {
        changed(&|payload| payload["features"][name] = json!(payload["features"][name].as_f64().unwrap() * factor))
    };
    for feature in reference::FEATURES {
        assert!(changed(&|payload| payload["features"][feature] = Value::Null).unwrap_err().contains(feature));
        let slightly = match feature {
            _ if feature.starts_with("latency") => 1e6,
            // Of these 1e-12 is let pass, whatever they are.
            "return_10s" | "realized_vol_60s" => 1.001,
            _ => 1.0 + 2e-9,
        };
        let difference = scaled(feature, slightly);
        assert!(difference.as_ref().is_err_and(|text| text.contains(feature)), "{feature}: {difference:?}");
        let in_tolerance = if feature.starts_with("latency") { 1.009 } else { 1.0 + 1e-10 };
        assert!(scaled(feature, in_tolerance).is_ok(), "{feature}");
    }
    assert!(changed(&|payload| payload["ts"] = json!("2024-07-18T23:57:02.605624Z")).unwrap_err().contains("ts:"));
    assert!(changed(&|payload| payload["direction"] = json!("up")).unwrap_err().contains("direction"));
    assert!(changed(&|payload| payload["price"] = json!(1)).unwrap_err().contains("price"));
    assert!(changed(&|payload| payload["more"] = json!(1)).unwrap_err().contains("more"));
    for name in ["id", "symbol", "rule", "trade_age_ms", "quote_age_ms"] {
        assert!(changed(&|payload| payload[name] = json!("another")).unwrap_err().contains(name));
    }
    assert!(compare(&expected, &expected[..expected.len() - 1]).unwrap_err().contains("missing"));
    assert!(compare(&expected[1..], &expected).is_err());
    let mut swapped = expected.clone();
    let other = swapped.iter().position(|p| p.subject != swapped[0].subject).unwrap();
    swapped.swap(other - 1, other);
    assert!(!compare(&expected, &swapped).unwrap().same_order);
}

#[test]
#[rustfmt::skip] // one case a line
fn streams_are_the_same_for_a_seed_and_hold_every_trouble() {
    let stream = generator::stream(7, 4_000, Profile::hostile());
    assert_eq!(stream, generator::stream(7, 4_000, Profile::hostile()));
    assert_ne!(stream, generator::stream(8, 4_000, Profile::hostile()));
    for (name, profile) in Profile::all() {
        let calm = name == "calm";
        let (receipts, total) = (profile.receipts, if name == "storm" { 40_000 } else { 10_000 });
        let (published, reference) = run(&generator::stream(4, total, profile));
        let counts = reference.counts();
        let all = |by: &std::collections::BTreeMap<String, u64>| by.values().sum::<u64>();
        let signals = published.iter().filter(|p| p.subject.starts_with("senpai.signals.")).count();
        eprintln!("{name}: {signals} signals of {} messages, {counts:?}", published.len());
        assert_eq!(all(&counts.events) + all(&counts.malformed), total as u64);
        assert!(signals > 3 && published.len() > 200, "{name}");
        assert_eq!(all(&counts.malformed) == 0, calm, "{name}");
        assert_eq!(all(&counts.late) == 0, calm, "{name}");
        assert_eq!(all(&counts.timestamps_rejected) == 0, calm || !receipts, "{name}");
        if calm || !receipts {
            assert_eq!(counts.signals_suppressed.get("stale"), None, "{name}");
        } else if name != "storm" {
            assert!(counts.signals_suppressed.contains_key("stale"), "{name}");
        }
        for feature in reference::FEATURES {
            let nulls = published.iter().filter(|p| p.payload["features"][feature].is_null()).count();
            assert!(nulls < published.len(), "{name}: {feature} always null");
        }
    }
}

type Change = fn(&mut Settings);

/// Small limits, so that all of them matter.
fn venue_settings(mode: ProviderMode) -> Settings {
    Settings {
        provider_mode: mode,
        providers: ["binance", "x@y", "a b"].map(str::to_owned).to_vec(),
        provider_timeout_ns: 2 * SECOND,
        symbol_idle_ns: 3 * SECOND,
        symbols_max: if mode == ProviderMode::Separate { 5 } else { 4 },
        deduplicate_trades: 4,
        ..Settings::default()
    }
}

/// Each limit is met: with one that is a little less, or a little more, something else comes out.
#[test]
fn streams_of_several_venues_meet_every_limit() {
    let sum = |by: &std::collections::BTreeMap<String, u64>| by.values().sum::<u64>();
    let profiles = [
        ("venues", Profile::venues()),
        ("venues replay", Profile::venues_replay()),
        ("hostile venues", Profile::hostile_venues()),
    ];
    let changes: [(&str, Change); 6] = [
        ("less idle", |settings| settings.symbol_idle_ns -= 1),
        ("more idle", |settings| settings.symbol_idle_ns += 1),
        ("less patient", |settings| settings.provider_timeout_ns -= 1),
        ("more patient", |settings| settings.provider_timeout_ns += 1),
        ("fewer remembered", |settings| settings.deduplicate_trades -= 1),
        ("more remembered", |settings| settings.deduplicate_trades += 1),
    ];
    for mode in ProviderMode::ALL {
        for (name, profile) in &profiles {
            let settings = venue_settings(mode);
            let profile = Profile { limits_ns: vec![2 * SECOND, 3 * SECOND], ..profile.clone() };
            let mut without_effect: Vec<_> = changes.to_vec();
            // One seed shows most of it, another one what is rare.
            for seed in 1..=40 {
                let events = generator::stream(seed, 2_500, profile.clone());
                let counts = run_with(settings.clone(), &events).1.counts();
                let found = [&counts.duplicate, &counts.other_provider, &counts.symbol_limit].map(sum);
                let (evicted, switches) = (counts.evicted, sum(&counts.provider_switches));
                let shown = format!("{mode:?}, {name}: {found:?}, {evicted} evicted, {switches} switches");
                assert!(found[0] > 20 && evicted > 20, "{shown}");
                // Of many states one has nearly always been silent for long enough.
                assert!(found[2] > 0 || mode == ProviderMode::Separate, "{shown}");
                assert_eq!(found[1] > 5, mode != ProviderMode::Merged, "{shown}");
                assert_eq!(switches > 20, mode == ProviderMode::Primary, "{shown}");
                without_effect.retain(|(_, change)| {
                    let mut settings = settings.clone();
                    change(&mut settings);
                    run_with(settings, &events).1.counts() == counts
                });
                let expected = if mode == ProviderMode::Primary { 0 } else { 2 };
                if without_effect.len() == expected {
                    break;
                }
            }
            let names: Vec<&str> = without_effect.iter().map(|(name, _)| *name).collect();
            let expected: &[&str] = if mode == ProviderMode::Primary { &[] } else { &["less patient", "more patient"] };
            assert_eq!(names, expected, "{mode:?}, {name}: changes that show nowhere");
        }
    }
}

#[test]
fn recordings_are_replayed_in_reasonable_time() {
    for recording in reference::recording_files::all() {
        let events = reference::recording::read(recording);
        let (published, reference) = run(&events);
        let (name, counts) = (&recording.name, reference.counts());
        let counted = |kind: &str| counts.events.get(kind).copied().unwrap_or(0);
        let all = |by: &std::collections::BTreeMap<String, u64>| by.values().sum::<u64>();
        assert_eq!(all(&counts.events) + all(&counts.malformed), events.len() as u64, "{name}");
        assert!(published.len() >= recording.least().snapshots, "{name}: {}", published.len());
        if !published.is_empty() {
            assert!(compare(&published, &published).unwrap().same_order, "{name}");
        }
        if name == "binance-usdm-480s.jsonl.gz" {
            assert_eq!((counted("trade"), counted("quote"), counted("book_l2")), (24_356, 99_588, 1_808));
            assert!(counts.malformed.is_empty() && counts.late.is_empty());
            assert_eq!(reference.symbols(), ["BTCUSDT", "ETHUSDT"]);
        }
        if name.starts_with("generated-") {
            let of_kind = |kind: &str| events.iter().filter(|event| event.1.split('.').nth(2) == Some(kind)).count();
            for kind in ["trade", "quote", "book_l2"] {
                assert_eq!(counted(kind), of_kind(kind) as u64, "{name}: {kind}");
            }
            assert!(counts.malformed.is_empty() && counts.late.is_empty(), "{name}");
        }
    }
}
