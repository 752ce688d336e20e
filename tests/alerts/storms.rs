//! Causes that come and go, and many at once: no storm of alerts.

use senpai_md_consumer::engine::alerts::alert::AlertSettings;
use senpai_md_consumer::engine::counters::Unpublished;
use senpai_md_consumer::engine::settings::EngineSettings;
use serde_json::{Value, json};

use crate::stage::{MS, SECOND, START, Stage, settings};

/// Firings of one kind and subject are never closer than a second.
fn check_rate(stage: &mut Stage, seed: u64) {
    let mut fired: std::collections::BTreeMap<(String, String, String), i64> = Default::default();
    let start = stage.documents.len() - stage.unseen();
    let providers: Vec<Value> = stage.documents[start..].iter().map(|alert| alert["provider"].clone()).collect();
    for ((kind, state, about, at), provider) in stage.seen().into_iter().zip(providers) {
        if state == "firing" {
            // Each provider may have a state of the symbol; a symbol that has changed its provider is one.
            let provider = if kind == "provider_switch" { String::new() } else { provider.to_string() };
            let before = fired.insert((kind.clone(), about.clone(), provider), at);
            assert!(
                before.is_none_or(|before| at - before >= SECOND),
                "seed {seed}: {kind} of {about} again within a second"
            );
        }
    }
}

#[test]
fn a_provider_that_stops_and_starts_ten_times_a_second_is_one_alert() {
    let alerts = AlertSettings { gap: 40 * MS, ..AlertSettings::default() };
    let mut stage = Stage::new(EngineSettings { alerts, ..settings() });
    for tenth in 0..600 {
        stage.trade("A", "p", tenth * 100 * MS, 0);
        stage.trade("A", "p", tenth * 100 * MS + 30 * MS, 0);
    }
    stage.expect(&[("gap", "firing", "p", 70 * MS)]);
    // It flows again without a pause.
    for index in 0..400 {
        stage.trade("A", "p", 60 * SECOND + index * 20 * MS, 0);
    }
    stage.expect(&[("gap", "resolved", "p", 65 * SECOND)]);
}

#[test]
fn a_queue_that_swings_around_its_limit_is_one_alert() {
    let mut stage = Stage::new(settings());
    for tenth in 0..600 {
        stage.quote("A", tenth * 100 * MS);
        if tenth % 2 == 0 {
            stage.engine.note_backpressure(0.93);
        }
    }
    stage.expect(&[("backpressure", "firing", "-", 0)]);
    assert_eq!((&stage.documents[0]["value"], &stage.documents[0]["threshold"]), (&json!(0.93), &json!(0.9)));
    stage.pass(64 * SECOND + 800 * MS);
    stage.expect(&[("backpressure", "resolved", "-", 64 * SECOND + 800 * MS)]);
    stage.engine.note_slow_consumer(3);
    stage.drain();
    stage.expect(&[("nats_slow_consumer", "firing", "-", 64 * SECOND + 800 * MS)]);
    assert_eq!((&stage.documents[2]["value"], &stage.documents[2]["severity"]), (&json!(3.0), &json!("critical")));
    stage.pass(69 * SECOND + 800 * MS);
    stage.expect(&[("nats_slow_consumer", "resolved", "-", 69 * SECOND + 800 * MS)]);
}

#[test]
fn ten_thousand_symbols_that_change_their_provider_at_once_are_twenty_alerts_and_one() {
    const COUNT: usize = 10_000;
    let mut stage = Stage::new(EngineSettings { symbols_max: COUNT, window_trades: 0, ..EngineSettings::default() });
    for (provider, moment) in [("first", 0), ("second", 31 * SECOND)] {
        for symbol in 0..COUNT {
            stage.trade(&format!("S{symbol}"), provider, moment, 0);
        }
    }
    let switches = |stage: &mut Stage, state: &str| -> Vec<(String, i64)> {
        let seen = stage.seen().into_iter().filter(|(kind, of, ..)| kind == "provider_switch" && of == state);
        seen.map(|(.., about, at)| (about, at)).collect()
    };
    let fired = switches(&mut stage, "firing");
    assert_eq!((fired.len(), fired[0].0.as_str()), (20, "S0"));
    stage.pass(32 * SECOND);
    assert_eq!(switches(&mut stage, "firing"), [("-".to_owned(), 32 * SECOND)]);
    let many = stage.documents.last().expect("one stands for the others");
    assert_eq!((&many["value"], &many["threshold"]), (&json!(COUNT as f64), &json!(20.0)));
    assert_eq!(
        (&many["symbol"], &many["provider"], &many["kind"]),
        (&json!(null), &json!(null), &json!("provider_switch"))
    );
    let board = stage.engine.alert_board().clone();
    let (firing, listed) = board.firing();
    assert!(firing >= COUNT as u64 && listed.len() == 100, "{firing}");
    stage.pass(36 * SECOND);
    stage.pass(37 * SECOND);
    let resolved = switches(&mut stage, "resolved");
    assert_eq!(resolved.len(), 21);
    assert_eq!(resolved.last(), Some(&("-".to_owned(), 37 * SECOND)));
    assert!(board.firing().0 <= 2, "the first provider's gap, and nothing of symbols");
    assert_eq!(stage.engine.counters.publish_dropped[Unpublished::Alert as usize], 0);
}

/// 15 alerts are over in the second in which 15 others begin.
#[test]
fn what_begins_and_what_is_over_share_the_twenty_of_a_second() {
    let mut stage = Stage::new(settings());
    let all = |stage: &mut Stage, symbols: std::ops::Range<usize>, provider: &str, moment: i64| {
        for symbol in symbols {
            stage.trade(&format!("S{symbol}"), provider, moment, 0);
        }
    };
    all(&mut stage, 0..30, "first", 0);
    for (symbols, moment) in [(0..15, 31 * SECOND), (15..30, 36 * SECOND)] {
        stage.heartbeat("first", moment);
        all(&mut stage, symbols, "second", moment);
    }
    stage.pass(36 * SECOND);
    let switches: Vec<_> = stage.seen().into_iter().filter(|(kind, ..)| kind == "provider_switch").collect();
    assert_eq!(switches.len(), 15 + 20, "{switches:?}");
    stage.pass(37 * SECOND);
    let many = stage.documents.last().expect("one stands for the others");
    assert_eq!((&many["value"], &many["state"], &many["symbol"]), (&json!(30.0), &json!("firing"), &json!(null)));
}

#[test]
fn a_stop_within_the_second_of_a_storm_tells_its_number() {
    let mut stage = Stage::new(settings());
    for (provider, moment) in [("first", 0), ("second", 31 * SECOND)] {
        for symbol in 0..30 {
            stage.trade(&format!("S{symbol}"), provider, moment, 0);
        }
    }
    stage.seen();
    stage.engine.stop();
    stage.drain();
    stage.expect(&[("provider_switch", "firing", "-", 31 * SECOND)]);
    assert_eq!(stage.documents.last().expect("it has come")["value"], 30.0);
    stage.engine.stop();
    stage.drain();
    stage.expect(&[]);
}

/// Everything at once, with seeds: rates hold, and what has fired resolves when all is quiet.
#[test]
fn whatever_happens_no_alert_fires_twice_within_a_second_and_all_resolve() {
    use senpai_md_consumer::engine::random::Random;
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let mut settings = EngineSettings { symbols_max: 3, window_trades: 40, ..EngineSettings::default() };
        settings.symbol_idle = Some([2 * SECOND, 5 * SECOND][random.below(2) as usize]);
        settings.providers.timeout = SECOND;
        settings.providers.mode = senpai_md_consumer::engine::settings::ProviderMode::ALL[random.below(3) as usize];
        settings.publish_interval = [None, Some(SECOND / 10), Some(3 * SECOND)][random.below(3) as usize];
        settings.alerts.gap = [SECOND / 5, 2 * SECOND, 15 * SECOND][random.below(3) as usize];
        let mut stage = Stage::new(settings);
        let mut moment = 0;
        for _ in 0..4_000 {
            moment += [0, MS, 20 * MS, 300 * MS, 3 * SECOND][[0, 1, 1, 1, 2, 2, 2, 3, 3, 4][random.below(10) as usize]];
            let symbol = ["A", "B", "C", "D", "E"][random.below(5) as usize];
            let provider = ["p", "q", "r"][random.below(3) as usize];
            let age = [0, 0, 8 * SECOND, -3 * SECOND][random.below(4) as usize];
            let (t, sent) = (START + moment - age, START + moment - age - [1, 3_000][random.below(2) as usize] * MS);
            let payload =
                format!(r#"{{"provider":"{provider}","ts_exchange":{sent},"ts_recv":{t},"price":1,"size":1}}"#);
            match random.below(20) {
                0 => stage.engine.note_backpressure(0.95),
                1 => stage.pass(moment),
                _ => stage.event(&format!("md.events.trade.{symbol}"), &payload, moment),
            }
        }
        check_rate(&mut stage, seed);
        // Quiet, but for what all providers say.
        for _ in 0..1_000 {
            moment += 100 * MS;
            for provider in ["p", "q", "r"] {
                stage.heartbeat(provider, moment);
            }
        }
        check_rate(&mut stage, seed);
        let (firing, listed) = stage.engine.alert_board().firing();
        assert_eq!(firing, 0, "seed {seed}: {listed:?}");
    }
}
