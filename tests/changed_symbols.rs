//! The symbols that have changed since a moment, a page at a time: what /events is made of.

use std::collections::BTreeSet;

use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::receipt::Receipt;
use senpai_md_consumer::engine::settings::EngineSettings;
use senpai_md_consumer::engine::time::{NANOS_PER_SECOND, UnixNanos};
use serde_json::Value;

const SYMBOLS: usize = 1000;
const ALL: UnixNanos = UnixNanos(i64::MIN);

fn at(second: i64) -> UnixNanos {
    UnixNanos((1_700_000_000 + second) * NANOS_PER_SECOND)
}

fn quote(engine: &mut Engine, index: usize, second: i64) {
    let subject = format!("md.events.quote.S{index:04}");
    let payload = br#"{"bid":99,"ask":101}"#;
    engine.handle_event(subject.as_bytes(), payload, Receipt::At(at(second))).expect("it is well-formed");
}

/// Names of those that have changed since then, and the moment up to which they were looked for.
fn changed(engine: &mut Engine, since: UnixNanos) -> (Vec<String>, UnixNanos) {
    let (mut names, mut after, mut moment) = (Vec::new(), None::<Box<str>>, None);
    loop {
        let page = engine.updates(since, after.as_deref(), at(0));
        moment.get_or_insert(page.moment);
        assert!(page.updates.len() <= 16, "a page is one slice of work");
        for update in &page.updates {
            let document: Value = serde_json::from_slice(&update.document).expect("JSON");
            assert!(document["symbol"] == *update.name && document["state"] == *update.name, "{document}");
            assert_eq!(update.symbol_len, update.name.len());
        }
        names.extend(page.updates.into_iter().map(|update| update.name.into_string()));
        match page.looked_up_to {
            Some(last) => after = Some(last),
            None => return (names, moment.expect("there is a page")),
        }
    }
}

#[test]
fn each_change_is_found_once() {
    let settings = EngineSettings { symbols_max: SYMBOLS, window_trades: 100, ..EngineSettings::default() };
    let mut engine = Engine::new(settings).expect("there is memory");
    assert_eq!(changed(&mut engine, ALL).0, Vec::<String>::new());
    (0..SYMBOLS).for_each(|index| quote(&mut engine, index, 0));
    let (names, moment) = changed(&mut engine, ALL);
    let all: Vec<String> = (0..SYMBOLS).map(|index| format!("S{index:04}")).collect();
    assert_eq!((names, moment), (all.clone(), at(0)));
    // What comes at the very moment may have come after it.
    assert_eq!(changed(&mut engine, at(0)).0, all);
    engine.handle_time(at(1));
    let (names, since) = changed(&mut engine, at(1));
    assert_eq!((names, since), (Vec::new(), at(1)));
    // Received before the look and taken after it: it is found at the next one all the same.
    for (index, second) in [(7, 0), (999, 1), (0, 2), (500, 2)] {
        quote(&mut engine, index, second);
    }
    assert_eq!(changed(&mut engine, since).0, ["S0000", "S0007", "S0500", "S0999"]);
    assert_eq!(changed(&mut engine, at(2)).0, ["S0000", "S0500"]);
    // A moment that is ahead, as the clock was stepped back: nothing is missed.
    assert_eq!(changed(&mut engine, at(3)).0.len(), SYMBOLS);
}

#[test]
fn no_order_of_events_and_looks_misses_one() {
    let mut random = senpai_md_consumer::engine::random::Random::new(7);
    let settings = EngineSettings { symbols_max: SYMBOLS, window_trades: 100, ..EngineSettings::default() };
    let mut engine = Engine::new(settings).expect("there is memory");
    let (mut since, mut new) = (ALL, BTreeSet::new());
    let mut second = 0;
    for _ in 0..20_000 {
        second += i64::from(random.below(10) == 0);
        match random.below(50) {
            0 => {
                let (found, moment) = changed(&mut engine, since);
                let missed: Vec<&String> = new.iter().filter(|name| !found.contains(name)).collect();
                assert!(missed.is_empty(), "{missed:?}");
                (since, new) = (moment, BTreeSet::new());
            }
            1 => engine.handle_time(at(second)),
            _ => {
                let index = random.below(SYMBOLS as u64) as usize;
                quote(&mut engine, index, second - random.below(3) as i64);
                new.insert(format!("S{index:04}"));
            }
        }
    }
}
