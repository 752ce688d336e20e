//! `latency`, `window_truncated`, `mixed_providers`, `provider_switch`, `symbol_limit`.

use senpai_md_consumer::engine::alerts::alert::AlertKind;
use senpai_md_consumer::engine::settings::{EngineSettings, ProviderMode};
use senpai_md_consumer::engine::time::UnixNanos;
use serde_json::json;

use crate::stage::{MS, SECOND, START, Stage, settings};

/// A trade that took so long from the exchange.
fn slow(stage: &mut Stage, symbol: &str, moment: i64, latency_ms: i64) {
    let (sent, received) = (START + moment - latency_ms * MS, START + moment);
    let payload = format!(r#"{{"ts_exchange":{sent},"ts_recv":{received},"price":1,"size":1}}"#);
    stage.event(&format!("md.events.trade.{symbol}"), &payload, moment);
}

#[test]
fn latency_above_the_limit_until_it_has_been_gone_for_five_seconds() {
    for publish_interval in [Some(SECOND / 10), None, Some(1_000 * SECOND)] {
        let mut stage = Stage::new(EngineSettings { publish_interval, ..settings() });
        // Buckets are a percent wide.
        for index in 0..20 {
            slow(&mut stage, "A", index * 100 * MS, 980);
        }
        stage.pass(2 * SECOND);
        stage.expect(&[]);
        // A window of its own, as the rank of a quantile goes by the number.
        for index in 0..20 {
            slow(&mut stage, "B", 3 * SECOND + index * 100 * MS, 1_020);
        }
        stage.expect(&[("latency", "firing", "B", 3 * SECOND)]);
        let document = &stage.documents[0];
        assert!(document["value"].as_f64().is_some_and(|p95_ms| (1_005.0..1_035.0).contains(&p95_ms)), "{document}");
        assert_eq!((&document["symbol"], &document["threshold"]), (&json!("B"), &json!(1_000.0)));
        // It falls silent: the window has left the latencies behind after a minute, 5 s early at most.
        stage.pass(70 * SECOND);
        let seen: Vec<_> = stage.seen().into_iter().filter(|(kind, ..)| kind == "latency").collect();
        let [(_, state, symbol, at)] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!((state.as_str(), symbol.as_str()), ("resolved", "B"));
        assert!((60 * SECOND..=71 * SECOND).contains(at), "{at}");
        assert_eq!(stage.documents.last().map(|document| document["value"].clone()), Some(json!(null)));
    }
}

/// Few are above the limit until the others have left the window.
#[test]
fn a_percentile_that_rises_while_nothing_comes_is_an_alert() {
    for publish_interval in [Some(SECOND / 10), None, Some(1_000 * SECOND)] {
        let mut stage = Stage::new(EngineSettings { publish_interval, ..settings() });
        for index in 0..100 {
            slow(&mut stage, "A", index * 10 * MS, 10);
        }
        for index in 0..3 {
            slow(&mut stage, "A", 30 * SECOND + index * MS, 3_000);
        }
        stage.pass(54 * SECOND);
        let latency = |stage: &mut Stage| -> Vec<(String, i64)> {
            let seen = stage.seen().into_iter().filter(|(kind, ..)| kind == "latency");
            seen.map(|(_, state, _, at)| (state, at)).collect()
        };
        assert_eq!(latency(&mut stage), []);
        stage.pass(100 * SECOND);
        let [(firing, began), (resolved, ended)] = &latency(&mut stage)[..] else { panic!("both, once") };
        assert_eq!((firing.as_str(), resolved.as_str()), ("firing", "resolved"));
        // A minute after the first ones, and after the last ones and 5 s: the window may end 5 s early, and is looked at once a second.
        assert!((55 * SECOND..=62 * SECOND).contains(began), "{began}");
        assert!((90 * SECOND..=97 * SECOND).contains(ended), "{ended}");
        // Nothing is looked at any more, but for the end of an interval.
        assert!(stage.engine.next_deadline().is_none_or(|next| next >= UnixNanos(START + 1_000 * SECOND)));
    }
}

#[test]
fn a_window_that_lacks_trades_is_an_alert() {
    let mut stage = Stage::new(EngineSettings { window_trades: 0, symbols_max: 1, ..settings() });
    let mut fired_at = None;
    for index in 0..100 {
        stage.trade("A", "p", index * 100 * MS, 0);
        if fired_at.is_none() && !stage.documents.is_empty() {
            fired_at = Some(index * 100 * MS);
        }
    }
    stage.expect(&[("window_truncated", "firing", "A", fired_at.expect("there is no room"))]);
    assert_eq!((&stage.documents[0]["value"], &stage.documents[0]["provider"]), (&json!(null), &json!(null)));
    stage.pass(90 * SECOND);
    let seen: Vec<_> = stage.seen().into_iter().filter(|(kind, ..)| kind == "window_truncated").collect();
    assert!(matches!(&seen[..], [(_, state, _, at)] if state == "resolved" && *at <= 81 * SECOND), "{seen:?}");
}

#[test]
fn a_symbol_without_a_place_is_an_alert_of_the_process() {
    let mut stage = Stage::new(EngineSettings { symbols_max: 1, symbol_idle: None, ..settings() });
    stage.quote("A", 0);
    stage.quote("B", SECOND);
    stage.quote("C", 2 * SECOND);
    stage.expect(&[("symbol_limit", "firing", "-", SECOND)]);
    assert_eq!((&stage.documents[0]["value"], &stage.documents[0]["threshold"]), (&json!(1.0), &json!(1.0)));
    for second in 3..7 {
        stage.quote("A", second * SECOND);
        stage.expect(&[]);
    }
    stage.pass(7 * SECOND);
    stage.expect(&[("symbol_limit", "resolved", "-", 7 * SECOND)]);
}

fn with_mode(mode: ProviderMode) -> Stage {
    let mut settings = settings();
    settings.providers.mode = mode;
    Stage::new(settings)
}

#[test]
fn a_switch_of_providers_is_an_alert_with_both() {
    let mut stage = with_mode(ProviderMode::Primary);
    stage.event("md.events.quote.A", r#"{"bid":1,"ask":2}"#, 0);
    stage.trade("A", "first", SECOND, 0);
    stage.expect(&[]);
    for second in 2..=31 {
        stage.trade("A", "second", second * SECOND, 0);
    }
    let gaps = |seen: Vec<crate::stage::Seen>| -> Vec<crate::stage::Seen> {
        seen.into_iter().filter(|(kind, ..)| kind != "gap").collect()
    };
    assert_eq!(gaps(stage.seen()), []);
    stage.trade("A", "second", 31 * SECOND + 1_000, 0);
    let switched = ("provider_switch".to_owned(), "firing".to_owned(), "A".to_owned(), 31 * SECOND + 1_000);
    assert_eq!(gaps(stage.seen()), [switched]);
    let document = stage.documents.last().expect("it fired");
    assert_eq!((&document["symbol"], &document["provider"]), (&json!("A"), &json!("second")));
    let message = document["message"].as_str().expect("text");
    assert!(message.contains("provider second") && message.contains("from first"), "{message}");
    stage.pass(36 * SECOND + 1_000);
    let resolved = ("provider_switch".to_owned(), "resolved".to_owned(), "A".to_owned(), 36 * SECOND + 1_000);
    assert_eq!(gaps(stage.seen()), [resolved]);
}

/// Who has it to and fro: the last alert tells which provider is in force, and no two are less than a second apart.
#[test]
fn a_further_switch_is_a_further_alert_at_most_once_a_second() {
    let mut settings = settings();
    settings.providers.preferred = vec!["first".into()];
    settings.providers.timeout = 300 * MS;
    settings.alerts.gap = i64::MAX;
    let mut stage = Stage::new(settings);
    let switches = |stage: &mut Stage| -> Vec<(String, String, i64)> {
        let before = stage.documents.len() - stage.unseen();
        let seen = stage.seen();
        let provider = |index: usize| stage.documents[before + index]["provider"].as_str().expect("text").to_owned();
        let of = |(index, (_, state, _, at)): (usize, crate::stage::Seen)| (state, provider(index), at);
        seen.into_iter().enumerate().map(of).collect()
    };
    let expected = |of: &[(&str, &str, i64)]| -> Vec<(String, String, i64)> {
        of.iter().map(|(state, provider, at)| ((*state).into(), (*provider).into(), *at)).collect()
    };
    stage.trade("A", "second", 0, 0);
    stage.trade("A", "first", SECOND, 0);
    stage.trade("A", "second", 1_400 * MS, 0);
    stage.pass(2 * SECOND - 1_000);
    assert_eq!(switches(&mut stage), expected(&[("firing", "first", SECOND)]));
    stage.pass(2 * SECOND);
    assert_eq!(switches(&mut stage), expected(&[("firing", "second", 2 * SECOND)]));
    let message = stage.documents[1]["message"].as_str().expect("text");
    assert!(message.contains("from provider second now") && message.contains("no longer from first"), "{message}");
    assert_eq!(stage.engine.alert_board().firing().0, 1, "one takes the other's place");
    stage.trade("A", "first", 3_500 * MS, 0);
    assert_eq!(switches(&mut stage), expected(&[("firing", "first", 3_500 * MS)]));
    // Back before the second is over: what was told is right.
    stage.trade("A", "second", 3_900 * MS, 0);
    stage.trade("A", "first", 4_200 * MS, 0);
    stage.pass(9_200 * MS - 1_000);
    assert_eq!(switches(&mut stage), []);
    stage.pass(9_200 * MS);
    assert_eq!(switches(&mut stage), expected(&[("resolved", "first", 9_200 * MS)]));
    let board = stage.engine.alert_board();
    assert_eq!((board.firing().0, board.fired()[AlertKind::ProviderSwitch as usize]), (0, 3));
    assert_eq!(stage.engine.next_deadline(), None);
}

#[test]
fn two_providers_in_one_market_are_an_alert_while_both_are_in_the_window() {
    let mut stage = with_mode(ProviderMode::Merged);
    let mixed = |stage: &mut Stage| -> Vec<(String, String, i64)> {
        let seen = stage.seen().into_iter().filter(|(kind, ..)| kind == "mixed_providers");
        seen.map(|(_, state, symbol, at)| (state, symbol, at)).collect()
    };
    stage.trade("A", "first", 0, 0);
    stage.quote("A", SECOND);
    stage.trade("B", "second", SECOND, 0);
    assert_eq!(mixed(&mut stage), [], "an event without a provider is nobody's");
    stage.trade("A", "second", 2 * SECOND, 0);
    assert_eq!(mixed(&mut stage), [("firing".into(), "A".into(), 2 * SECOND)]);
    let document = stage.documents.last().expect("it fired");
    let message = document["message"].as_str().expect("text").to_owned();
    assert!(message.contains("first") && message.contains("second"), "{message}");
    for second in 3..70 {
        stage.trade("A", "second", second * SECOND, 0);
    }
    // The other's has left the window at 60 s, which is seen with the event at that moment.
    assert_eq!(mixed(&mut stage), [("resolved".into(), "A".into(), 65 * SECOND)]);
    // Late ones are in no window.
    stage.trade("A", "first", 70 * SECOND, 62 * SECOND);
    assert_eq!(mixed(&mut stage), []);
}

/// The windows are cleared when the clock goes back, and with them who sent what they held.
#[test]
fn providers_from_before_a_step_back_are_not_in_the_window() {
    const HOUR: i64 = 3600 * SECOND;
    let mut stage = with_mode(ProviderMode::Merged);
    let quote = |stage: &mut Stage, provider: &str, moment: i64| {
        let payload = format!(r#"{{"provider":"{provider}","bid":1,"ask":2}}"#);
        stage.event("md.events.quote.A", &payload, moment);
    };
    quote(&mut stage, "first", 0);
    quote(&mut stage, "second", SECOND);
    stage.expect(&[("mixed_providers", "firing", "A", SECOND)]);
    stage.engine.handle_clock_step(-HOUR);
    for second in 2..12 {
        quote(&mut stage, "second", second * SECOND - HOUR);
    }
    stage.expect(&[("mixed_providers", "resolved", "A", 7 * SECOND - HOUR)]);
}

#[test]
fn a_symbol_that_gives_up_its_place_takes_its_alerts_with_it() {
    let settings = EngineSettings { symbols_max: 1, symbol_idle: Some(10 * SECOND), ..settings() };
    let mut stage = Stage::new(settings);
    for index in 0..10 {
        slow(&mut stage, "A", index * 100 * MS, 3_000);
    }
    stage.pass(12 * SECOND);
    stage.expect(&[("latency", "firing", "A", 0)]);
    slow(&mut stage, "B", 12 * SECOND, 3_000);
    stage.expect(&[("latency", "resolved", "A", 12 * SECOND), ("latency", "firing", "B", 12 * SECOND)]);
    let board = stage.engine.alert_board();
    assert_eq!(board.firing().0, 1);
    stage.pass(100 * SECOND);
    let of_b: Vec<_> = stage.seen().into_iter().filter(|(kind, ..)| kind == "latency").collect();
    assert!(matches!(&of_b[..], [(_, state, symbol, _)] if state == "resolved" && symbol == "B"), "{of_b:?}");
}

#[test]
fn a_state_of_one_provider_says_whose_it_is() {
    let mut stage = with_mode(ProviderMode::Separate);
    for index in 0..10 {
        let (sent, received) = (START + index * MS - 3_000 * MS, START + index * MS);
        let payload = format!(r#"{{"provider":"p q","ts_exchange":{sent},"ts_recv":{received},"price":1,"size":1}}"#);
        stage.event("md.events.trade.A", &payload, index * MS);
    }
    stage.expect(&[("latency", "firing", "A", 0)]);
    assert_eq!(stage.documents[0]["provider"], "p q");
}
