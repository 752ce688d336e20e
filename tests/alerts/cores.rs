//! Several engines of one process: what is about the process or a provider is one alert, judged over all of them.

use std::sync::Arc;

use senpai_md_consumer::engine::alerts::alert::{AlertKind, AlertSettings};
use senpai_md_consumer::engine::alerts::board::AlertBoard;
use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::settings::EngineSettings;
use senpai_md_consumer::engine::time::UnixNanos;

use crate::stage::{MS, SECOND, Seen, Stage, settings};

const TICK: i64 = 250 * MS;

struct Cores {
    cores: Vec<Stage>,
    board: Arc<AlertBoard>,
    now: i64,
}

impl Cores {
    fn new(count: u32, settings: &EngineSettings) -> Cores {
        let board = AlertBoard::new(settings.alerts, count as usize).expect("there is memory");
        let engine = |core| Engine::of_core(settings.clone(), board.clone(), core).expect("there is memory");
        Cores { cores: (0..count).map(|core| Stage::of(engine(core))).collect(), board, now: 0 }
    }

    /// Time passes on all cores, as it is told each of them.
    fn pass(&mut self, until: i64) {
        while self.now < until {
            self.now = until.min(self.now + 50 * MS);
            self.cores.iter_mut().for_each(|core| core.pass(self.now));
        }
    }

    /// The alerts of each core since it was asked last.
    fn seen(&mut self) -> Vec<Vec<Seen>> {
        self.cores.iter_mut().map(Stage::seen).collect()
    }
}

#[test]
fn a_provider_is_silent_when_no_core_hears_it() {
    let mut cores = Cores::new(3, &settings());
    for second in 0..60 {
        cores.pass(second * SECOND);
        // Core 0 hears it once; core 1 now and then.
        if second == 0 {
            cores.cores[0].trade("A", "p", 0, 0);
        }
        if second % 10 == 0 && second <= 40 {
            cores.cores[1].trade("B", "p", second * SECOND, 0);
        }
    }
    let seen = cores.seen();
    assert!(seen[1].is_empty() && seen[2].is_empty(), "the first core tells");
    let [(kind, state, provider, at)] = &seen[0][..] else { panic!("{seen:?}") };
    assert_eq!((kind.as_str(), state.as_str(), provider.as_str()), ("gap", "firing", "p"));
    assert!((55 * SECOND..=55 * SECOND + 2 * TICK).contains(at), "{at}");
    // Another core hears it again.
    cores.cores[2].heartbeat("p", 60 * SECOND);
    cores.pass(64 * SECOND + 900 * MS);
    assert!(cores.seen().iter().all(Vec::is_empty));
    cores.pass(66 * SECOND);
    let seen = cores.seen();
    assert!(matches!(&seen[0][..], [(kind, state, ..)] if kind == "gap" && state == "resolved"), "{seen:?}");
    assert_eq!((cores.board.firing().0, cores.board.fired()[AlertKind::Gap as usize]), (0, 1));
}

/// A core that has much to do is behind: what it has not told yet is not taken for silence.
#[test]
fn a_core_that_is_behind_makes_no_gap() {
    let mut cores = Cores::new(2, &settings());
    cores.pass(SECOND);
    cores.cores[1].trade("B", "p", SECOND, 0);
    cores.pass(2 * SECOND);
    for tenth in 20..300 {
        cores.cores[0].pass(tenth * 100 * MS);
    }
    assert_eq!(cores.cores[0].seen(), []);
    cores.cores[1].trade("B", "p", 29 * SECOND, 0);
    cores.now = 30 * SECOND;
    cores.pass(40 * SECOND);
    assert_eq!(cores.cores[0].seen(), [], "it was heard at 29 s");
    cores.pass(50 * SECOND);
    assert_eq!(cores.cores[0].seen().len(), 1);
}

#[test]
fn a_provider_lags_when_it_does_at_all_cores() {
    let run = |age_at_second: i64| {
        let mut cores = Cores::new(2, &settings());
        for tenth in 0..100 {
            cores.pass(tenth * 100 * MS);
            cores.cores[0].trade("A", "p", tenth * 100 * MS, 9 * SECOND);
            cores.cores[1].trade("B", "p", tenth * 100 * MS, age_at_second);
        }
        cores.seen()
    };
    assert!(run(0).iter().all(Vec::is_empty), "one of them has timely events");
    let seen = run(9 * SECOND);
    assert!(matches!(&seen[0][..], [(kind, ..)] if kind == "lag"), "{seen:?}");
    assert!(seen[1].is_empty());
}

#[test]
fn what_is_about_the_process_is_one() {
    let limit = EngineSettings { symbols_max: 1, symbol_idle: None, ..settings() };
    let mut cores = Cores::new(4, &limit);
    for (index, core) in cores.cores.iter_mut().enumerate() {
        let moment = index as i64 * MS;
        core.quote("A", moment);
        core.quote("B", moment);
        core.engine.note_backpressure(0.95);
        core.trade("A", "p", moment, -9 * SECOND);
        core.drain();
    }
    cores.pass(20 * SECOND);
    let mut all: Vec<(String, String)> =
        cores.seen().into_iter().flatten().map(|(kind, state, ..)| (kind, state)).collect();
    all.retain(|(kind, _)| kind != "gap");
    all.sort();
    let expected = ["backpressure", "clock_skew", "symbol_limit"]
        .iter()
        .flat_map(|kind| ["firing", "resolved"].map(|state| ((*kind).to_owned(), state.to_owned())));
    assert_eq!(all, expected.collect::<Vec<_>>());
}

/// The second of one core's alerts is over at another, which is ahead and has had alerts since.
#[test]
fn moments_do_not_step_back_at_a_core_that_is_ahead() {
    let alerts = AlertSettings { latency_p95_ms: 0.5, ..AlertSettings::default() };
    let mut cores = Cores::new(2, &EngineSettings { alerts, ..settings() });
    let [behind, ahead] = &mut cores.cores[..] else { panic!("two cores") };
    for symbol in 0..30 {
        let (sent, received) = (crate::stage::START, crate::stage::START + MS);
        let payload = format!(r#"{{"ts_exchange":{sent},"ts_recv":{received},"price":1,"size":1}}"#);
        behind.event(&format!("md.events.trade.S{symbol}"), &payload, SECOND);
    }
    behind.pass(1_600 * MS);
    ahead.pass(2_100 * MS);
    ahead.engine.note_backpressure(0.95);
    // They wait together.
    ahead.engine.handle_time(UnixNanos(crate::stage::START + 2_200 * MS));
    ahead.drain();
    ahead.expect(&[("backpressure", "firing", "-", 2_100 * MS), ("latency", "firing", "-", 2 * SECOND)]);
    assert_eq!(behind.seen().len(), 20);
}

/// The cores follow a step of the clock one after the other, whichever is first.
#[test]
fn a_step_of_the_clock_holds_no_alerts_back() {
    const HOUR: i64 = 3600 * SECOND;
    let alerts = AlertSettings { latency_p95_ms: 0.5, ..AlertSettings::default() };
    for [first, last] in [[0, 1], [1, 0]] {
        let mut cores = Cores::new(2, &EngineSettings { alerts, ..settings() });
        let fire = |core: &mut Stage, name: &str, moment: i64| {
            let received = crate::stage::START + moment;
            let payload = format!(r#"{{"ts_exchange":{},"ts_recv":{received},"price":1,"size":1}}"#, received - MS);
            core.event(&format!("md.events.trade.{name}"), &payload, moment);
        };
        for symbol in 0..30 {
            fire(&mut cores.cores[last], &format!("S{symbol}"), SECOND);
        }
        cores.cores[first].pass(SECOND);
        cores.cores[first].engine.handle_clock_step(-HOUR);
        fire(&mut cores.cores[first], "A", 2 * SECOND - HOUR);
        fire(&mut cores.cores[last], "B", 2 * SECOND);
        cores.cores[last].engine.handle_clock_step(-HOUR);
        cores.cores[last].pass(2_100 * MS - HOUR);
        fire(&mut cores.cores[last], "C", 2_200 * MS - HOUR);
        let all: Vec<String> = cores.seen().into_iter().flatten().map(|(.., about, _)| about).collect();
        let count = |name: &str| all.iter().filter(|about| *about == name).count();
        assert_eq!(["-", "A", "B", "C"].map(count), [1; 4], "{all:?}");
    }
}

#[test]
fn twenty_a_second_are_those_of_all_cores() {
    let alerts = AlertSettings { latency_p95_ms: 0.5, ..AlertSettings::default() };
    let mut cores = Cores::new(2, &EngineSettings { alerts, ..settings() });
    for symbol in 0..30 {
        for (core, name) in [(0, "L"), (1, "R")] {
            let payload = format!(
                r#"{{"ts_exchange":{},"ts_recv":{},"price":1,"size":1}}"#,
                crate::stage::START,
                crate::stage::START + MS
            );
            cores.cores[core].event(&format!("md.events.trade.{name}{symbol}"), &payload, MS);
        }
    }
    cores.pass(2 * SECOND);
    let all: Vec<Seen> = cores.seen().into_iter().flatten().filter(|(kind, ..)| kind == "latency").collect();
    assert_eq!(all.len(), 21, "{all:?}");
    let many = cores.cores.iter().flat_map(|core| &core.documents).find(|document| document["symbol"].is_null());
    assert_eq!(many.expect("one stands for the others")["value"], 60.0);
}
