//! Messages of a stream count by the moment at which it stored them (SPEC section 9): who reads it late, in one go or from a
//! later start gives the same features for a moment, and the same signals, as who has read it all along.

mod seeds;

use std::collections::{BTreeSet, HashMap};

use senpai_md_consumer::engine::counters::{Suppression, Topic};
use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::random::Random;
use senpai_md_consumer::engine::receipt::Receipt;
use senpai_md_consumer::engine::settings::EngineSettings;
use senpai_md_consumer::engine::time::{NANOS_PER_MILLI as MILLISECOND, NANOS_PER_SECOND as SECOND, UnixNanos};
use senpai_md_consumer::market::generator::Market;

const START: i64 = 1_700_000_000 * SECOND;
/// What a reader reads before it goes live: the rolling window and a margin.
const WARM: i64 = 70 * SECOND;

struct Event {
    subject: String,
    payload: Vec<u8>,
    stored: i64,
}

/// A market as a stream holds it.
fn stream(seed: u64, seconds: i64) -> Vec<Event> {
    let mut market = Market::new(seed, "md.events");
    let mut random = Random::new(seed);
    let (mut events, mut stored, mut payload) = (Vec::new(), 0, Vec::new());
    loop {
        let event = market.next_event(UnixNanos(START), &mut payload);
        if event.offset > seconds * SECOND {
            return events;
        }
        // (No two at one moment: the snapshot of the second would wait for the next.)
        stored = (stored + 2).max(START + event.offset + random.below(5 * MILLISECOND as u64) as i64);
        events.push(Event { subject: event.subject.to_owned(), payload: payload.clone(), stored });
    }
}

/// A snapshot for each event, so that there are many moments to compare.
fn settings() -> EngineSettings {
    let mut settings = EngineSettings { publish_interval: Some(1), ..EngineSettings::default() };
    settings.signal.return_threshold = 0.001;
    settings.signal.volume_threshold = 0.0;
    settings.signal.spread_max_bps = 1e9;
    settings
}

/// By subject and `ts`.
type Snapshots = HashMap<(String, String), Vec<String>>;

/// What an engine has published.
#[derive(Default)]
struct Outputs {
    /// By subject and `ts`, with the payload.
    snapshots: Vec<((String, String), String)>,
    signals: Vec<String>,
    alerts: u64,
}

impl Outputs {
    fn take(&mut self, engine: &mut Engine) {
        let mut moment = UnixNanos(i64::MIN);
        while let Some(message) = engine.poll_output() {
            assert!(message.moment >= moment, "moments do not step back");
            moment = message.moment;
            let payload = String::from_utf8(message.payload.to_vec()).unwrap();
            let value: serde_json::Value = serde_json::from_str(&payload).unwrap();
            let text = |key: &str| value[key].as_str().unwrap().to_owned();
            match message.topic {
                Topic::Features { .. } => {
                    let subject = String::from_utf8(message.subject.to_vec()).unwrap();
                    self.snapshots.push(((subject, text("ts")), payload));
                }
                Topic::Signal => self.signals.push(text("id")),
                Topic::Alert => self.alerts += 1,
            }
        }
    }
}

/// Who has read it all along.
fn uninterrupted(events: &[Event]) -> (Snapshots, Vec<String>) {
    let mut engine = Engine::new(settings()).unwrap();
    let mut outputs = Outputs::default();
    for Event { subject, payload, stored } in events {
        let stored = UnixNanos(*stored);
        let receipt = Receipt::Stored { stored, present: stored, is_past: false };
        engine.handle_event(subject.as_bytes(), payload, receipt).unwrap();
        outputs.take(&mut engine);
    }
    let mut snapshots = Snapshots::new();
    outputs.snapshots.into_iter().for_each(|(at, payload)| snapshots.entry(at).or_default().push(payload));
    (snapshots, outputs.signals)
}

/// Each snapshot is one that the uninterrupted reader has for that moment.
#[track_caller]
fn check_snapshots(seed: u64, outputs: &Outputs, expected: &Snapshots) {
    assert!(outputs.snapshots.len() > 1000, "seed {seed}: {} snapshots", outputs.snapshots.len());
    for (at, payload) in &outputs.snapshots {
        let payloads = expected.get(at).unwrap_or_else(|| panic!("seed {seed}: nothing at {at:?}"));
        assert!(payloads.contains(payload), "seed {seed}, {at:?}:\n{payload}\n{payloads:?}");
    }
}

#[test]
fn who_reads_late_gives_the_same_fresh_seeds() {
    for seed in seeds::fresh("who_reads_late_gives_the_same_fresh_seeds", 12) {
        let events = stream(seed, 60);
        let (snapshots, signals) = uninterrupted(&events);
        assert!(signals.len() > 3, "seed {seed}: {} signals", signals.len());
        let mut random = Random::new(seed ^ 1);
        let mut engine = Engine::new(settings()).unwrap();
        let mut outputs = Outputs::default();
        let mut present = START;
        for Event { subject, payload, stored } in &events {
            // Up to a third of a second late, as often as not with others that were held up; time passes in between.
            let late = if random.below(200) == 0 { 300 * MILLISECOND } else { MILLISECOND };
            let arrives = (present + 2).max(stored + random.below(late as u64) as i64);
            while present + 20 * MILLISECOND < arrives {
                present += random.below(20 * MILLISECOND as u64) as i64;
                engine.handle_present(UnixNanos(present));
                outputs.take(&mut engine);
            }
            present = arrives;
            let receipt = Receipt::Stored { stored: UnixNanos(*stored), present: UnixNanos(present), is_past: false };
            engine.handle_event(subject.as_bytes(), payload, receipt).unwrap();
            outputs.take(&mut engine);
        }
        assert_eq!(outputs.signals, signals, "seed {seed}");
        check_snapshots(seed, &outputs, &snapshots);
    }
}

#[test]
fn who_starts_later_gives_the_same_fresh_seeds() {
    for seed in seeds::fresh("who_starts_later_gives_the_same_fresh_seeds", 8) {
        let events = stream(seed, 120);
        let (snapshots, signals) = uninterrupted(&events);
        let live = START + 100 * SECOND;
        let mut engine = Engine::new(settings()).unwrap();
        let mut outputs = Outputs::default();
        // The newest of each subject from before the window, then all that the window needs.
        let mut newest: HashMap<&str, &Event> = HashMap::new();
        events.iter().filter(|event| event.stored < live - WARM).for_each(|event| {
            newest.insert(&event.subject, event);
        });
        let mut begin: Vec<&Event> = newest.into_values().collect();
        begin.sort_by_key(|event| event.stored);
        let (past, present): (Vec<&Event>, Vec<&Event>) =
            events.iter().filter(|event| event.stored >= live - WARM).partition(|event| event.stored < live);
        for Event { subject, payload, stored } in begin.into_iter().chain(past) {
            let receipt = Receipt::Stored { stored: UnixNanos(*stored), present: UnixNanos(live), is_past: true };
            engine.handle_event(subject.as_bytes(), payload, receipt).unwrap();
            engine.set_moment_open(true);
            engine.set_moment_open(false);
        }
        assert!(!engine.has_output() && engine.is_past(), "seed {seed}: the past is silent");
        let suppressed = engine.counters.signals_suppressed;
        assert_eq!(suppressed.iter().sum::<u64>(), suppressed[Suppression::CatchingUp as usize], "seed {seed}");
        assert_eq!(engine.alert_board().firing().0, 0);
        engine.handle_present(UnixNanos(live));
        for Event { subject, payload, stored } in present {
            let stored = UnixNanos(*stored);
            let receipt = Receipt::Stored { stored, present: stored, is_past: false };
            engine.handle_event(subject.as_bytes(), payload, receipt).unwrap();
            outputs.take(&mut engine);
        }
        // What was signalled before is signalled by whoever ran then.
        let late: BTreeSet<&String> = signals.iter().filter(|id| watermark(id) >= live - 2 * SECOND).collect();
        let given: BTreeSet<&String> = outputs.signals.iter().collect();
        assert!(given.is_subset(&late), "seed {seed}: {given:?} {late:?}");
        let missing: Vec<_> = late.difference(&given).filter(|id| watermark(id) >= live).collect();
        assert!(missing.is_empty(), "seed {seed}: {missing:?}");
        check_snapshots(seed, &outputs, &snapshots);
    }
}

/// The last part of a signal's id.
fn watermark(id: &str) -> i64 {
    id.rsplit(':').next().unwrap().parse().unwrap()
}

fn momentum(engine: &mut Engine, present: i64, is_past: bool) {
    let event = |engine: &mut Engine, kind: &str, payload: String, stored: i64| {
        let receipt = Receipt::Stored { stored: UnixNanos(stored), present: UnixNanos(present.max(stored)), is_past };
        engine.handle_event(format!("md.events.{kind}.A").as_bytes(), payload.as_bytes(), receipt).unwrap();
    };
    for (ms, price) in [(0, 100.0), (10_500, 101.0)] {
        let t = START / MILLISECOND + ms;
        event(engine, "quote", format!(r#"{{"bid":99.9,"ask":100,"ts_recv":{t}}}"#), t * MILLISECOND);
        event(engine, "trade", format!(r#"{{"price":{price},"size":9,"ts_recv":{t}}}"#), t * MILLISECOND);
    }
}

/// Whether the engine gives the signal again a second after what it made of the first one.
fn gives_again(engine: &mut Engine) -> bool {
    let stored = UnixNanos(START + 11_500 * MILLISECOND);
    let receipt = Receipt::Stored { stored, present: stored, is_past: false };
    let trade = format!(r#"{{"price":101,"size":9,"ts_recv":{}}}"#, START / MILLISECOND + 11_500);
    engine.handle_event(b"md.events.trade.A", trade.as_bytes(), receipt).unwrap();
    engine.counters.signals_emitted != [0, 0]
}

#[test]
fn signals_of_the_past_start_their_cooldown() {
    let (end, late) = (START + 10_500 * MILLISECOND, START + 10_500 * MILLISECOND + 5 * SECOND + 1);
    for (present, is_past, reason) in [
        (end, true, Some(Suppression::CatchingUp)),
        // The other guards are not judged meanwhile.
        (late, true, Some(Suppression::CatchingUp)),
        (late, false, Some(Suppression::Stale)),
        (late - 1, false, None),
    ] {
        let mut engine = Engine::new(EngineSettings::default()).unwrap();
        momentum(&mut engine, present, is_past);
        let mut suppressed = [0; Suppression::ALL.len()];
        reason.into_iter().for_each(|reason| suppressed[reason as usize] = 1);
        assert_eq!(engine.counters.signals_suppressed, suppressed, "{reason:?}");
        assert_eq!(engine.counters.signals_emitted, [u64::from(reason.is_none()), 0], "{reason:?}");
        if reason.is_some() {
            assert!(!gives_again(&mut engine), "{reason:?}: its cooldown has begun");
        }
    }
    // With core NATS a stale one starts none.
    let mut engine = Engine::new(EngineSettings::default()).unwrap();
    for (ms, price, lag) in [(0, 100.0, 0), (10_500, 101.0, 5 * SECOND + 1)] {
        let t = START / MILLISECOND + ms;
        let receipt = Receipt::At(UnixNanos(t * MILLISECOND + lag));
        let (quote, trade) = (
            format!(r#"{{"bid":99.9,"ask":100,"ts_recv":{t}}}"#),
            format!(r#"{{"price":{price},"size":9,"ts_recv":{t}}}"#),
        );
        engine.handle_event(b"md.events.quote.A", quote.as_bytes(), receipt).unwrap();
        engine.handle_event(b"md.events.trade.A", trade.as_bytes(), receipt).unwrap();
    }
    assert_eq!(engine.counters.signals_suppressed[Suppression::Stale as usize], 1);
    assert!({
        let t = START / MILLISECOND + 15_600;
        let trade = format!(r#"{{"price":101,"size":9,"ts_recv":{t}}}"#);
        let receipt = Receipt::At(UnixNanos(t * MILLISECOND));
        engine.handle_event(b"md.events.trade.A", trade.as_bytes(), receipt).unwrap();
        engine.counters.signals_emitted == [1, 0]
    });
}

/// Lag is to the present, not to the moment at which the event was stored.
#[test]
fn what_is_read_late_lags() {
    for (present_ahead, is_past, fires) in [(0, false, 0), (60 * SECOND, false, 1), (60 * SECOND, true, 0)] {
        let mut engine = Engine::new(EngineSettings::default()).unwrap();
        for ms in (0..12_000).step_by(100) {
            let stored = UnixNanos(START + ms * MILLISECOND);
            let receipt = Receipt::Stored { stored, present: stored.plus(present_ahead), is_past };
            let trade = format!(r#"{{"price":1,"size":1,"provider":"p","ts_recv":{}}}"#, stored.0 / MILLISECOND);
            engine.handle_event(b"md.events.trade.A", trade.as_bytes(), receipt).unwrap();
        }
        let lag = senpai_md_consumer::engine::alerts::alert::AlertKind::Lag;
        assert_eq!(engine.alert_board().fired()[lag as usize], fires, "{present_ahead}, {is_past}");
    }
}
