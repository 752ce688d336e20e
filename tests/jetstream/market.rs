//! A market that goes on: prices, quotes and times of their own for a few symbols, and what must be published of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use crate::client::{Client, Stored};
use crate::reference::{MILLISECOND, Published, Reference, SECOND, Settings, compare, parse, time};
use crate::stage::LIMIT;
use crate::support::bus::Message;
use crate::support::events::{event, now_ns};
use crate::support::{holds, within};

/// From one trade of a symbol to its next.
const STEP: Duration = Duration::from_millis(25);
/// A price rises at the beginning of each cycle, and stands for the rest of it.
const CYCLE_NS: i64 = 12 * SECOND;
/// The cycles of two symbols begin so far apart.
const APART_NS: i64 = 3 * SECOND / 2;
const SYMBOLS: i64 = 8;
/// Of trades to one quote.
const QUOTE_EVERY: i64 = 5;

/// What the market is read with, and the twin's settings for that.
pub const FLAGS: [&str; 8] = [
    "--rolling-window-seconds",
    "5",
    "--signal-cooldown-seconds",
    "2",
    "--features-pub-rate-hz",
    "20",
    "--signal-max-age-seconds",
    "60",
];

pub fn settings() -> Settings {
    Settings {
        // The moments of snapshots are the service's own.
        publish_interval_ns: 0,
        rolling_window_ns: 5 * SECOND,
        cooldown_ns: 2 * SECOND,
        signal_max_age_ns: 60 * SECOND,
        ..Settings::default()
    }
}

pub struct Market {
    is_over: Arc<AtomicBool>,
    /// The time of the last round that the server has taken, by the host's clock.
    published_ns: Arc<AtomicI64>,
    thread: Option<JoinHandle<()>>,
}

impl Market {
    /// Its events have times of a clock that is `shift_ns` before the host's.
    pub fn start(port: u16, shift_ns: i64) -> Market {
        let (is_over, published_ns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
        let mut client = Client::open(port, None, "_INBOX.none").expect("a server");
        let thread = std::thread::spawn({
            let (is_over, published_ns) = (is_over.clone(), published_ns.clone());
            move || {
                let begun_ns = now_ns() + shift_ns;
                let mut round = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let round_ns = now_ns();
                    for symbol in 0..SYMBOLS {
                        publish(&mut client, symbol, now_ns() + shift_ns, begun_ns, round);
                    }
                    client.flush().expect("the server takes it");
                    published_ns.store(round_ns, Ordering::Relaxed);
                    round += 1;
                    std::thread::sleep(STEP);
                }
            }
        });
        Market { is_over, published_ns, thread: Some(thread) }
    }

    /// Until events have been published that are so much later than now.
    #[track_caller]
    pub fn pass(&self, time: Duration) {
        let end_ns = now_ns() + time.as_nanos() as i64;
        within(time + LIMIT, "the market goes on", || {
            let at_ns = self.published_ns.load(Ordering::Relaxed);
            holds(at_ns >= end_ns, format!("{:?} are left", Duration::from_nanos((end_ns - at_ns).max(0) as u64)))
        });
    }
}

impl Drop for Market {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the market's server went away");
        }
    }
}

fn publish(client: &mut Client, symbol: i64, t: i64, begun_ns: i64, round: i64) {
    let cycles = (t - begun_ns + CYCLE_NS - symbol * APART_NS) / CYCLE_NS;
    let price = 100.0 * 1.005_f64.powi(cycles as i32) + (round % 7) as f64 * 0.01;
    let name = format!("S{symbol}");
    let (subject, payload) = if round % QUOTE_EVERY == 0 {
        event("quote", &name, json!({"provider": "test", "ts_recv": t, "bid": price - 0.01, "ask": price + 0.01}))
    } else {
        let sent = t - (1 + round % 11) * MILLISECOND;
        let size = 1.0 + (round % 5) as f64 / 4.0;
        event(
            "trade",
            &name,
            json!({"provider": "test", "ts_recv": t, "ts_exchange": sent, "price": price, "size": size, "side": "buy"}),
        )
    };
    client.publish(&subject, "", &payload);
}

/// The signals of an uninterrupted service, by id, with the moments at which their events were stored.
pub fn signals(messages: &[Stored]) -> BTreeMap<String, (i64, Published)> {
    let mut reference = Reference::new(settings());
    let mut signals = BTreeMap::new();
    for message in messages {
        for signal in reference.event(Some(message.stored_ns), &message.subject, &message.payload) {
            let id = signal.payload["id"].as_str().expect("an id").to_owned();
            signals.insert(id, (message.stored_ns, signal));
        }
    }
    signals
}

/// Each signal is one that an uninterrupted service gives. How often each came.
#[track_caller]
pub fn check_signals(received: &[Message], expected: &BTreeMap<String, (i64, Published)>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for message in received.iter().filter(|message| message.subject.starts_with("senpai.signals.")) {
        let id = message.payload["id"].as_str().expect("an id").to_owned();
        let Some((_, signal)) = expected.get(&id) else {
            panic!("no uninterrupted service gives {}", message.payload);
        };
        let actual = Published::new(&message.subject, message.payload.clone());
        compare(std::slice::from_ref(signal), &[actual]).unwrap_or_else(|difference| panic!("{id}: {difference}"));
        *counts.entry(id).or_default() += 1;
    }
    counts
}

/// Each snapshot has the features of an uninterrupted service for its `ts`, to the bit: after which event it was taken is
/// told by its ages, as no two trades (or quotes) of a symbol have the same. Returns how many there are.
#[track_caller]
pub fn check_snapshots(received: &[Message], messages: &[Stored]) -> usize {
    let mut count = 0;
    for symbol in (0..SYMBOLS).map(|symbol| format!("S{symbol}")) {
        let subject = format!("senpai.features.{symbol}");
        let snapshots = received.iter().filter(|message| message.subject == subject);
        let snapshots: Vec<Published> =
            snapshots.map(|message| Published::new(&subject, message.payload.clone())).collect();
        let mut events: Vec<(&Stored, bool, i64)> = Vec::new();
        for message in messages {
            let (kind, name) = parse::subject(&message.subject).expect("an event's subject");
            if name == symbol {
                let t = parse::event(kind, &message.payload).and_then(|event| event.ts_recv).expect("a time");
                events.push((message, message.subject.contains(".trade."), t));
            }
        }
        let mut by_state: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (index, snapshot) in snapshots.iter().enumerate() {
            by_state.entry(state_of(snapshot, &events)).or_default().insert(index);
        }
        let mut reference = Reference::new(settings());
        for (position, (message, ..)) in events.iter().enumerate() {
            reference.event(Some(message.stored_ns), &message.subject, &message.payload);
            for &index in by_state.get(&position).into_iter().flatten() {
                let snapshot = &snapshots[index];
                let expected = reference.features_at(&symbol, snapshot.ts_ns).expect("it has had events");
                compare(&[expected], std::slice::from_ref(snapshot)).unwrap_or_else(|difference| {
                    let after = time::format(message.stored_ns);
                    panic!("{}, after the event stored at {after}: {difference}", snapshot.payload)
                });
                count += 1;
            }
        }
    }
    count
}

/// Which event was the last one before the snapshot.
#[track_caller]
fn state_of(snapshot: &Published, events: &[(&Stored, bool, i64)]) -> usize {
    let newest = |field: &str, wants_trade: bool| {
        let age_ms = snapshot.payload[field].as_i64()?;
        let has_age = |(_, is_trade, t): &(&Stored, bool, i64)| {
            *is_trade == wants_trade && (snapshot.ts_ns - t).div_euclid(MILLISECOND) == age_ms
        };
        let found = events.iter().rposition(has_age);
        Some(found.unwrap_or_else(|| panic!("{field} of {} is that of no event", snapshot.payload)))
    };
    let newest = [newest("trade_age_ms", true), newest("quote_age_ms", false)].into_iter().flatten().max();
    newest.unwrap_or_else(|| panic!("{} is of no event", snapshot.payload))
}
