//! Several providers for one symbol.

use crate::*;

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// It went into the state as that stood.
    Taken,
    /// Its provider took over.
    Switch,
    Refused,
}
use Outcome::{Refused, Switch, Taken};

fn primary(listed: &[&str]) -> Settings {
    Settings {
        provider_mode: ProviderMode::Primary,
        providers: listed.iter().map(|name| (*name).to_owned()).collect(),
        provider_timeout_ns: 10 * SECOND,
        ..Settings::default()
    }
}

fn counted(by: &std::collections::BTreeMap<String, u64>) -> u64 {
    by.values().sum()
}

/// A quote of X; without a provider where that is `?`.
fn quote_of(provider: &str, t: f64) -> Value {
    let mut payload = json!({"bid": 1, "ask": 2, "ts_recv": at(t)});
    if provider != "?" {
        payload["provider"] = json!(provider);
    }
    payload
}

/// Quotes of X by (receipt, provider), and what comes of each, with a time-out of 10 s.
#[track_caller]
fn check_primary(listed: &[&str], steps: &[(f64, &str, Outcome)]) {
    let mut reference = Reference::new(primary(listed));
    for (receipt, provider, expected) in steps {
        let before = reference.counts();
        let payload = quote_of(provider, *receipt).to_string();
        reference.event(Some(at(*receipt)), "md.events.quote.X", payload.as_bytes());
        let after = reference.counts();
        let outcome = if counted(&after.other_provider) > counted(&before.other_provider) {
            Refused
        } else if counted(&after.provider_switches) > counted(&before.provider_switches) {
            Switch
        } else {
            Taken
        };
        assert_eq!(outcome, *expected, "{listed:?}: {provider} at {receipt} of {steps:?}");
    }
    assert_eq!(reference.counts().events["quote"], steps.len() as u64);
}

#[test]
#[rustfmt::skip] // one case a line
fn the_primary_is_the_first_of_those_heard() {
    // Not listed they are equals: the present one stays while it is heard, to the nanosecond.
    check_primary(&[], &[(0.0, "a", Taken), (1.0, "b", Refused), (2.0, "a", Taken), (12.0, "b", Refused), (12.000000001, "b", Switch), (12.1, "a", Refused)]);
    check_primary(&["z"], &[(0.0, "b", Taken), (1.0, "a", Refused), (10.000000001, "a", Switch), (11.0, "b", Refused), (20.0, "c", Refused)]);
    check_primary(&[], &[(0.0, "a", Taken), (99.0, "a", Taken), (109.0, "b", Refused), (109.5, "b", Switch), (200.0, "a", Switch)]);
    // A better one takes over at once, and is followed by one that is worse only when it is not heard any more.
    check_primary(&["a"], &[(0.0, "b", Taken), (1.0, "a", Switch), (2.0, "b", Refused), (11.0, "b", Refused), (11.000000001, "b", Switch), (12.0, "a", Switch)]);
    check_primary(&["a", "b"], &[(0.0, "c", Taken), (1.0, "b", Switch), (2.0, "a", Switch), (3.0, "b", Refused), (4.0, "c", Refused)]);
    // The one in between is heard, though its events are refused: it comes before the last.
    check_primary(&["a", "b"], &[(0.0, "a", Taken), (8.0, "b", Refused), (11.0, "c", Refused), (11.0, "b", Switch), (12.0, "c", Refused)]);
    check_primary(&["a", "b"], &[(0.0, "a", Taken), (8.0, "b", Refused), (18.0, "c", Refused), (18.000000001, "c", Switch)]);
    check_primary(&["a", "b", "c"], &[(0.0, "a", Taken), (2.0, "c", Refused), (11.0, "b", Switch), (11.5, "c", Refused), (12.0, "a", Switch)]);
    // A primary that is heard no more is not followed by itself.
    check_primary(&["a"], &[(0.0, "a", Taken), (50.0, "a", Taken), (51.0, "b", Refused)]);
    // Even where a better one is heard by then, which has not been taken yet: that takes an event of its own.
    check_primary(&["a", "b"], &[(0.0, "b", Taken), (5.0, "b", Taken), (6.0, "a", Switch), (17.0, "b", Switch)]);
    // Names are compared as they are.
    check_primary(&["A"], &[(0.0, "a", Taken), (1.0, "A", Switch), (2.0, "a", Refused), (3.0, " A", Refused), (4.0, "", Refused)]);
    check_primary(&[""], &[(0.0, "a", Taken), (1.0, "", Switch)]);
}

#[test]
#[rustfmt::skip] // one case a line
fn an_event_without_a_provider_goes_with_whoever_is_primary() {
    check_primary(&[], &[(0.0, "?", Taken), (1.0, "?", Taken), (2.0, "b", Taken), (3.0, "?", Taken), (4.0, "c", Refused)]);
    // It says nothing about whether the primary is heard.
    check_primary(&[], &[(0.0, "a", Taken), (9.0, "?", Taken), (10.0, "b", Refused), (10.1, "?", Taken), (10.2, "b", Switch), (99.0, "?", Taken)]);
    check_primary(&["a"], &[(0.0, "?", Taken), (1.0, "b", Taken), (2.0, "a", Switch), (3.0, "?", Taken)]);
    // One that calls itself so is not known either.
    check_primary(&[], &[(0.0, "unknown", Taken), (1.0, "b", Taken), (2.0, "unknown", Taken)]);
}

/// Events by (receipt, subject, payload), then a quote of b at 11: does b, which is not listed, take over from a?
#[track_caller]
fn check_heard(steps: &[(f64, &str, Value)], takes_over: bool) {
    let mut reference = Reference::new(primary(&[]));
    for (receipt, subject, payload) in steps {
        reference.event(Some(at(*receipt)), subject, payload.to_string().as_bytes());
    }
    reference.event(Some(at(11.0)), "md.events.quote.X", quote_of("b", 11.0).to_string().as_bytes());
    assert_eq!(reference.counts().provider_switches.contains_key("X"), takes_over, "{steps:?}");
}

#[test]
#[rustfmt::skip] // one case a line
fn a_provider_is_heard_by_what_can_be_decoded() {
    let trade = || json!({"provider": "a", "price": 1, "size": 1, "id": 7, "ts_recv": at(0.0)});
    let first = (0.0, "md.events.trade.X", trade());
    let then = |subject: &'static str, payload: Value| [first.clone(), (5.0, subject, payload)];
    check_heard(std::slice::from_ref(&first), true);
    check_heard(&then("md.events.quote.X", quote_of("a", 5.0)), false);
    check_heard(&then("md.events.book_l2.X", json!({"provider": "a", "bids": [], "asks": []})), false);
    check_heard(&then("md.events.trade.X", json!({"venue": "a", "provider": "a", "price": 1, "size": 1})), false);
    // A duplicate, and a late one. It is local receipt that counts, also for what is not believed.
    check_heard(&then("md.events.trade.X", trade()), false);
    check_heard(&then("md.events.quote.X", quote_of("a", -200.0)), false);
    check_heard(&then("md.events.quote.X", quote_of("a", 500.0)), false);
    // Malformed, without a provider, of another symbol, a heartbeat.
    check_heard(&then("md.events.quote.X", json!({"provider": "a", "bid": "x"})), true);
    check_heard(&then("md.events.quote.X", quote_of("?", 5.0)), true);
    check_heard(&then("md.events.quote.Y", quote_of("a", 5.0)), true);
    check_heard(&then("md.events.heartbeat.X", json!({"provider": "a"})), true);
    check_heard(&then("md.events.heartbeat.a", json!({"provider": "a"})), true);
}

#[test]
fn a_duplicate_of_another_provider_takes_nothing_over() {
    let mut reference = Reference::new(primary(&[]));
    let trade = |provider: &str| json!({"provider": provider, "price": 1, "size": 1, "id": 7}).to_string();
    let mut play = |receipt: f64, provider: &str| {
        reference.event(Some(at(receipt)), "md.events.trade.X", trade(provider).as_bytes());
        let counts = reference.counts();
        [&counts.other_provider, &counts.duplicate, &counts.provider_switches].map(counted)
    };
    assert_eq!(play(0.0, "a"), [0, 0, 0]);
    assert_eq!(play(1.0, "b"), [1, 0, 0], "refused, and remembered");
    assert_eq!(play(50.0, "b"), [1, 1, 0]);
    assert_eq!(play(50.0, "a"), [1, 2, 0]);
    assert_eq!(play(60.0, "c"), [2, 2, 0], "a was heard");
    assert_eq!(play(60.1, "d"), [2, 2, 1]);
}

/// Steps are (receipt, subject, payload, provider).
fn play(reference: &mut Reference, receipt: f64, kind: &str, mut payload: Value, provider: &str) -> Vec<Published> {
    if provider != "?" {
        payload["provider"] = json!(provider);
    }
    reference.event(Some(at(receipt)), &format!("md.events.{kind}.X"), payload.to_string().as_bytes())
}

#[test]
fn at_a_switch_the_state_begins_anew() {
    let mut reference = Reference::new(Settings { publish_interval_ns: 1, ..primary(&["b"]) });
    let trade = |t: f64, price: f64| json!({"price": price, "size": 1, "ts_recv": at(t), "ts": at(t - 0.25)});
    play(&mut reference, 0.0, "trade", trade(0.0, 5.0), "a");
    play(&mut reference, 20.0, "quote", json!({"bid": 1, "ask": 3, "ts_recv": at(20.0)}), "a");
    play(&mut reference, 20.0, "book_l2", json!({"bids": [[1, 1]], "asks": [], "ts_recv": at(20.0)}), "a");
    // b's time lies far behind: nothing is late, as the watermark is b's own.
    let published = play(&mut reference, 21.0, "trade", trade(-100.0, 7.0), "b").pop().unwrap();
    let features = &published.payload["features"];
    assert_eq!((published.ts_ns, &published.payload["provider"]), (at(-100.0), &json!("b")));
    assert_eq!((&features["trade_count_10s"], &features["trade_vwap_60s"]), (&json!(1), &json!(7.0)));
    assert_eq!((&features["mid"], &features["return_10s"]), (&Value::Null, &Value::Null));
    assert_eq!((&features["latency_ms_p95"], &published.payload["quote_age_ms"]), (&json!(250.0), &Value::Null));
    let state = reference.state("X").unwrap();
    assert_eq!((state.trade.unwrap().price, state.quote, state.book), (7.0, None, None));
    assert!(reference.counts().late.is_empty());
    // What is refused is not judged late, but its time is.
    play(&mut reference, 21.5, "quote", json!({"bid": 1, "ask": 2, "ts_recv": at(-999.0), "ts": "?"}), "a");
    play(&mut reference, 21.5, "quote", json!({"bid": 1, "ask": 2, "ts_recv": at(99.0)}), "a");
    let counts = reference.counts();
    assert_eq!((counts.other_provider["quote"], counts.late.len()), (2, 0));
    assert_eq!((counts.timestamps_unreadable["a"], counts.timestamps_rejected["a"]), (1, 1));
    // Distrust has begun with it.
    play(&mut reference, 35.0, "quote", json!({"bid": 1, "ask": 2, "ts_recv": at(34.0)}), "a");
    assert_eq!(reference.state("X").unwrap().quote.unwrap().t, at(34.0));
    play(&mut reference, 36.0, "trade", trade(500.0, 7.0), "b");
    play(&mut reference, 40.0, "trade", trade(39.0, 8.0), "b");
    assert_eq!(reference.state("X").unwrap().trade.unwrap().t, at(40.0));
}

#[test]
fn the_first_known_provider_finds_the_state_of_the_unknown_ones() {
    let mut reference = Reference::new(Settings { publish_interval_ns: 1, ..primary(&[]) });
    let trade = |t: f64| json!({"price": 1, "size": 1, "ts_recv": at(t)});
    let first = play(&mut reference, 0.0, "trade", trade(0.0), "?");
    assert_eq!(first[0].payload.get("provider"), None);
    let second = play(&mut reference, 1.0, "trade", trade(1.0), "a");
    assert_eq!(second[0].payload["features"]["trade_count_10s"], 2);
    assert_eq!((&second[0].payload["provider"], reference.counts().provider_switches.len()), (&json!("a"), 0));
    assert_eq!(play(&mut reference, 2.0, "trade", trade(2.0), "?")[0].payload["provider"], "a");
}

#[test]
fn a_switch_keeps_to_the_rate() {
    let mut reference = Reference::new(primary(&["b"]));
    let mut log = Vec::new();
    for (receipt, provider) in [(0.0, "a"), (0.02, "a"), (0.05, "b"), (0.12, "b"), (0.3, "c"), (0.35, "b")] {
        log.extend(play(&mut reference, receipt, "quote", quote_of(provider, receipt), provider));
    }
    log.extend(reference.finish());
    let seen: Vec<_> =
        log.iter().map(|p| ((p.moment_ns - START) as f64 / 1e9, p.payload["provider"].as_str().unwrap())).collect();
    // The snapshot of 0.1 waited when b took over: it is of b. So is that of 0.2, which the refused event finds due.
    assert_eq!(seen, [(0.0, "a"), (0.1, "b"), (0.2, "b"), (0.35, "b")]);
}

#[test]
fn a_pending_snapshot_is_of_the_primary_at_its_moment() {
    let mut reference = Reference::new(primary(&["b"]));
    let mut seen = Vec::new();
    for (receipt, provider) in [(0.0, "a"), (0.05, "a"), (0.2, "b")] {
        let published = play(&mut reference, receipt, "quote", quote_of(provider, receipt), provider);
        seen.extend(published.iter().map(|p| (p.moment_ns, p.payload["provider"].as_str().unwrap().to_owned())));
    }
    assert_eq!(seen, [(at(0.0), "a"), (at(0.1), "a"), (at(0.2), "b")].map(|(at, name)| (at, name.to_owned())));
}

/// A signal of a at 10 s of its time; then b takes over, whose own rise is at `t`: does it signal as well?
fn signals_again(cooldown_ns: i64, t: f64) -> bool {
    let mut reference = Reference::new(Settings { cooldown_ns, signal_max_age_ns: 0, ..primary(&["b"]) });
    let mut count = |receipt: f64, provider: &str, t: f64| {
        let quote = json!({"bid": 999.5, "ask": 1000.5, "ts_recv": at(t)});
        let trade = |t: f64, price: f64| json!({"price": price, "size": 2, "ts_recv": at(t)});
        let mut published = play(&mut reference, receipt, "trade", trade(t - 10.0, 1000.0), provider);
        published.extend(play(&mut reference, receipt, "quote", quote, provider));
        published.extend(play(&mut reference, receipt, "trade", trade(t, 1004.0), provider));
        let signals: Vec<_> = published.into_iter().filter(|p| p.subject == "senpai.signals.X").collect();
        assert!(signals.iter().all(|signal| signal.payload["provider"] == provider), "{signals:?}");
        signals.len()
    };
    assert_eq!(count(30.0, "a", 10.0), 1);
    count(30.0, "b", t) == 1
}

#[test]
#[rustfmt::skip] // one case a line
fn cooldowns_outlast_a_switch() {
    for (t, expected) in [(10.0, false), (0.0, true), (0.000000001, false), (5.0, false), (19.999999999, false), (20.0, true), (25.0, true)] {
        assert_eq!(signals_again(10 * SECOND, t), expected, "{t}");
    }
    for (t, expected) in [(10.0, false), (9.999999999, true), (10.000000001, true)] {
        assert_eq!(signals_again(0, t), expected, "{t}");
    }
}

#[test]
fn merged_takes_everything_and_names_nobody() {
    let mut reference = Reference::new(Settings { provider_mode: ProviderMode::Merged, ..primary(&["a"]) });
    for (receipt, provider) in [(0.0, "a"), (1.0, "b"), (2.0, "?"), (3.0, "c")] {
        let trade = json!({"price": 1, "size": 1, "ts_recv": at(receipt)});
        let published = play(&mut reference, receipt, "trade", trade, provider);
        assert_eq!(published[0].payload.get("provider"), None);
    }
    let features = reference.features("X").unwrap().payload;
    assert_eq!((features["features"]["trade_count_10s"].as_u64(), features.get("provider")), (Some(4), None));
    assert!(reference.counts().other_provider.is_empty() && reference.counts().provider_switches.is_empty());
}

#[test]
fn separate_has_a_state_for_each_symbol_and_provider() {
    let mut reference =
        Reference::new(Settings { publish_interval_ns: 1, provider_mode: ProviderMode::Separate, ..primary(&["a"]) });
    let mut receipt = 10.0;
    let rise = |provider: &str| {
        let trade = |t: f64, price: f64| ("trade", json!({"price": price, "size": 2, "ts_recv": at(t)}));
        let quote = ("quote", json!({"bid": 999.5, "ask": 1000.5, "ts_recv": at(10.0)}));
        let steps = [trade(0.0, 1000.0), quote, trade(10.0, 1004.0)];
        steps.map(|(kind, payload)| (kind, payload, provider.to_owned()))
    };
    for (provider, name) in [("a", Some("a")), ("b c", Some("b c")), ("?", None)] {
        let mut published = Vec::new();
        for (kind, payload, provider) in rise(provider) {
            receipt += 0.1;
            published = play(&mut reference, receipt, kind, payload, &provider);
        }
        let state = format!("X@{}", name.unwrap_or("unknown").replace(' ', "_"));
        let (signal, features) = (&published[0], &published[1]);
        assert_eq!(signal.subject, format!("senpai.signals.{state}"));
        assert_eq!(features.subject, format!("senpai.features.{state}"));
        assert_eq!(signal.payload["id"], format!("{state}:momentum_10s:long:{}", at(10.0)));
        for document in [&signal.payload, &features.payload, &reference.features(&state).unwrap().payload] {
            assert_eq!(
                (document["symbol"].as_str(), document.get("provider")),
                (Some("X"), name.map(Value::from).as_ref())
            );
            assert_eq!(document["features"]["trade_volume_10s"], 2.0);
        }
    }
    assert_eq!(reference.symbols(), ["X@a", "X@b_c", "X@unknown"]);
    assert!(reference.features("X").is_none());
}

#[test]
#[rustfmt::skip] // one case a line
fn what_a_subject_cannot_hold_is_written_differently() {
    let name = |provider: &str| state_name(ProviderMode::Separate, "BRK.B", provider);
    assert_eq!(name("binance"), "BRK.B@binance");
    assert_eq!(name("a b\tc\u{a0}d\u{3000}e\u{2028}f"), "BRK.B@a_b_c_d_e_f");
    assert_eq!(name("\0\r\n\u{7f}\u{85}"), "BRK.B@_____");
    assert_eq!(name("x@y.z/\u{1f40b}\"\\é"), "BRK.B@x@y.z/\u{1f40b}\"\\é");
    assert_eq!(name(""), "BRK.B@");
    assert_eq!(name("*a*.>.b>"), "BRK.B@_a_._.b_");
    // A point that would leave an empty token.
    assert_eq!(name("a.b"), "BRK.B@a.b");
    assert_eq!(name(".a"), "BRK.B@.a");
    assert_eq!(name("a."), "BRK.B@a_");
    assert_eq!(name("."), "BRK.B@_");
    assert_eq!(name("..a..b.."), "BRK.B@_.a_.b__");
    assert_eq!(name("a. .b"), "BRK.B@a._.b");
    for mode in [ProviderMode::Primary, ProviderMode::Merged] {
        assert_eq!(state_name(mode, "BRK.B", "a b"), "BRK.B");
    }
}

#[test]
fn of_two_with_one_name_the_first_owns_it() {
    let mut reference = Reference::new(Settings { provider_mode: ProviderMode::Separate, ..primary(&["a\tb"]) });
    let mut play = |receipt: f64, symbol: &str, provider: &str| {
        let payload = quote_of(provider, receipt).to_string();
        reference.event(Some(at(receipt)), &format!("md.events.quote.{symbol}"), payload.as_bytes());
        (reference.counts().other_provider.get("quote").copied().unwrap_or(0), reference.symbols().len())
    };
    assert_eq!(play(0.0, "X", "a b"), (0, 1));
    assert_eq!(play(0.1, "X", "a_b"), (1, 1));
    assert_eq!(play(99.0, "X", "a\tb"), (2, 1), "for ever, whatever its rank");
    assert_eq!(play(99.0, "X", "a b"), (2, 1));
    assert_eq!(play(99.0, "Y", "a_b"), (2, 2));
    assert_eq!(play(99.0, "Y", "a b"), (3, 2));
    // The name may be another symbol's.
    assert_eq!(play(99.0, "X", "c@d"), (3, 3));
    assert_eq!(play(99.0, "X@c", "d"), (4, 3));
}

/// The providers of quotes by the name that they are counted under.
fn counted_as(listed: &[&str], providers: &[String]) -> Vec<(String, u64)> {
    let mut reference = Reference::new(Settings { provider_mode: ProviderMode::Separate, ..primary(listed) });
    for provider in providers {
        reference.event(Some(START), "md.events.quote.X", quote_of(provider, 0.0).to_string().as_bytes());
    }
    reference.counts().events_in.into_iter().map(|((_, provider), count)| (provider, count)).collect()
}

#[test]
fn names_too_long_or_too_many_are_one_provider() {
    let (fits, long, longer) = ("é".repeat(32), "x".repeat(65), "y".repeat(200));
    let names = [&fits, &long, &longer, "other", "?"].map(str::to_owned);
    let expected = [("other", 3), ("unknown", 1), (&*fits, 1)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!(counted_as(&[], &names), expected);

    let many: Vec<String> = (0..70).map(|index| format!("v{index:02}")).collect();
    let named = |listed: &[&str]| {
        let counts = counted_as(listed, &many);
        assert_eq!((counts.len(), counts[0].clone()), (63, ("other".to_owned(), 8)));
        counts.into_iter().skip(1).map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(named(&[]), many[..62]);
    // Those listed have their places before they come.
    assert_eq!(named(&["v69", "v68"]), [&many[..60], &many[68..]].concat());

    // It may be several venues, and has no market.
    check_primary(&[], &[(0.0, "a", Taken), (1.0, &long, Refused), (2.0, "other", Refused), (100.0, &longer, Refused)]);
}
