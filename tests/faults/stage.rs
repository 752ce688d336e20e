//! A scenario's stage: the service under test, a publisher that never pauses, and the accounts at the end.
//!
//! Every event that a server has accepted is received by the service, or unheard (the server said that there was no
//! subscriber), or lost. Lost may be only what the server had in its hands when the connection to the service broke: one
//! run of events between what came before the break and what came after it. Anything else fails the scenario.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::publisher::{Fate, Login, PACE, Published, Publisher, symbol};
use crate::support::nats_server::NatsServer;
use crate::support::service::Service;
use crate::support::{PATIENCE, eventually, holds, http, within};

/// How the service calls itself, so that the server's monitoring can be asked about it.
pub const NAME: &str = "under-test";
/// From a broken connection to /health telling of it; it is asked again and again.
const TOLD_LIMIT: Duration = Duration::from_secs(1);
/// A server that is back must be in use again by then.
pub const RECOVERY_LIMIT: Duration = Duration::from_secs(2);
const WATCH_INTERVAL: Duration = Duration::from_millis(50);
/// What the server had in its hands when it broke was accepted so shortly before.
const IN_HAND: Duration = Duration::from_secs(1);
/// Events of an untroubled connection, so that there is something to lose and to duplicate.
const BEFORE_AND_AFTER: u64 = 100;

pub struct Stage {
    pub service: Service,
    publisher: Option<Publisher>,
    breaks: Vec<Break>,
    http: Watch,
    /// The numbers of the events that have arrived, once the accounts are settled.
    pub received: BTreeSet<usize>,
}

/// From the fault to the recovery.
struct Break {
    from: Instant,
    until: Option<Instant>,
}

/// What may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    Nothing,
    /// What the server had in its hands.
    InHand,
}

/// What a scenario has measured.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub recoveries: Vec<Duration>,
    pub published: usize,
    pub received: usize,
    pub unheard: usize,
    pub lost: usize,
    pub duplicated: usize,
    /// The longest that an answer to /ready has taken.
    pub http_worst: Duration,
    pub note: String,
}

impl Stage {
    /// A service that is ready, and events that flow. Settings that matter to the scenario are in `flags`.
    pub fn start(nats_url: &str, publish_to: u16, login: Login, flags: &[&str]) -> Stage {
        Stage::start_at_pace(nats_url, publish_to, login, flags, PACE)
    }

    pub fn start_at_pace(nats_url: &str, publish_to: u16, login: Login, flags: &[&str], pace: Duration) -> Stage {
        let mut stage = Stage::begin(nats_url, flags);
        stage.service.wait_ready();
        stage.publisher = Some(Publisher::start(publish_to, login, pace));
        stage.wait_flow(BEFORE_AND_AFTER);
        stage
    }

    /// A service that may not be ready for a while, and no events yet.
    pub fn begin(nats_url: &str, flags: &[&str]) -> Stage {
        let flags = [&["--nats-name", NAME, "--max-symbols", "100000"], flags].concat();
        let service = Service::start(nats_url, &flags);
        let http = Watch::start(service.address());
        Stage { service, publisher: None, breaks: Vec::new(), http, received: BTreeSet::new() }
    }

    /// From now on events are published on that port.
    pub fn publish(&mut self, port: u16, login: Login) {
        self.publisher = Some(Publisher::start(port, login, PACE));
    }

    pub fn on(server: &NatsServer, flags: &[&str]) -> Stage {
        Stage::start(&server.url(), server.port(), Login::default(), flags)
    }

    /// Trades received so far.
    pub fn received_count(&self) -> u64 {
        self.service.stats()["events_in_by_type"]["trade"].as_u64().expect("a count")
    }

    pub fn reconnect_count(&self) -> u64 {
        self.service.stats()["reconnects"].as_u64().expect("a count")
    }

    /// /health without its thousands of symbols.
    pub fn health(&self) -> Value {
        let mut health = self.service.document("/health");
        health["symbols"].take();
        health
    }

    /// The scenario is about to break something.
    pub fn note_break(&mut self) {
        self.breaks.push(Break { from: Instant::now(), until: None });
    }

    /// /health and /ready tell that NATS is gone, by then.
    #[track_caller]
    pub fn wait_told(&self, limit: Duration) {
        within(limit, "/health tells of the loss", || {
            let health = self.health();
            holds(health["status"] == "degraded" && health["nats_connected"] == false, health)
        });
        let (status, body) = self.service.get("/ready");
        assert_eq!(status, 503, "{body}");
        assert_eq!(self.service.metric("senpai_nats_connected", &[]), 0.0);
    }

    #[track_caller]
    pub fn wait_lost(&self) {
        self.wait_told(TOLD_LIMIT);
    }

    /// Waits until more events than `before` are in.
    #[track_caller]
    pub fn wait_flow(&self, before: u64) {
        eventually("an event flows", || {
            let count = self.received_count();
            holds(count > before, format!("{count} received; the service's log:\n{}", self.service.log()))
        });
    }

    /// From `back` on until the service is ready on its `reconnects`-th new connection and an event has come in there.
    #[track_caller]
    pub fn wait_recovered(&mut self, back: Instant, reconnects: u64, limit: Duration) -> Duration {
        let stats = eventually("a new connection", || {
            let stats = self.service.stats();
            let count = stats["reconnects"].as_u64().expect("a count");
            holds(count >= reconnects, format!("{count} of {reconnects}; log:\n{}", self.service.log())).map(|()| stats)
        });
        self.service.wait_ready();
        self.wait_flow(stats["events_in_by_type"]["trade"].as_u64().expect("a count"));
        self.end_break(back, limit)
    }

    /// The recovery is over now.
    #[track_caller]
    pub fn end_break(&mut self, back: Instant, limit: Duration) -> Duration {
        let now = Instant::now();
        for a_break in &mut self.breaks {
            a_break.until.get_or_insert(now);
        }
        let took = now - back;
        assert!(took <= limit, "recovered only {took:?} after the server was back; the limit is {limit:?}");
        took
    }

    /// What a trouble must say, by then.
    #[track_caller]
    pub fn wait_trouble(&self, words: &[&str]) -> String {
        within(PATIENCE, &format!("/ready names the trouble {words:?}"), || {
            let (status, body) = self.service.get("/ready");
            let text = body.to_ascii_lowercase();
            let is_told = status == 503 && words.iter().all(|word| text.contains(&word.to_ascii_lowercase()));
            holds(is_told, format!("{status} {body}; log:\n{}", self.service.log())).map(|()| body)
        })
    }

    /// Ends the publishing and settles the accounts. `server`: the one that has lived through it all, if one has; then
    /// its own counters must agree.
    #[track_caller]
    pub fn settle(&mut self, recoveries: Vec<Duration>, loss: Loss, server: Option<&NatsServer>) -> Report {
        self.wait_flow(self.received_count() + BEFORE_AND_AFTER);
        let events = self.publisher.take().expect("there is a publisher").finish();
        let (service, breaks) = (&self.service, &self.breaks);
        let last = events.iter().rposition(|event| event.fate != Fate::Unknown).expect("events were published");
        assert_eq!(events[last].fate, Fate::Accepted, "the last event, {last}, finds the service subscribed");
        // One connection each: what comes before it has arrived by then.
        eventually("the last event", || {
            let (status, body) = service.get(&format!("/state/latest?symbol={}", symbol(last)));
            holds(status == 200, body)
        });

        let health = service.document("/health");
        let symbols = health["symbols"].as_array().expect("a list").iter();
        let received: BTreeSet<usize> = symbols.filter_map(|name| number(name.as_str().expect("a name"))).collect();
        let stats = service.stats();
        let arrivals = stats["events_in_by_type"]["trade"].as_u64().expect("a count") as usize;
        assert_eq!(stats["dropped"]["malformed"], serde_json::json!({}), "{stats}");

        let http_worst = self.http.worst();
        let mut report = Report { recoveries, received: received.len(), http_worst, ..Report::default() };
        report.duplicated = arrivals - received.len();
        let mut lost = Vec::new();
        for (index, event) in events.iter().enumerate() {
            match (event.fate, received.contains(&index)) {
                (_, true) | (Fate::Unknown, false) => {}
                (Fate::Unheard, false) => report.unheard += 1,
                (Fate::Accepted, false) => lost.push(index),
            }
            let is_known = event.fate != Fate::Unknown || received.contains(&index);
            report.published += usize::from(is_known);
            assert!(
                event.fate != Fate::Unheard || !received.contains(&index),
                "the server had no subscriber for event {index}, and the service has it"
            );
        }
        report.lost = lost.len();
        assert_eq!(report.published, report.received + report.unheard + report.lost, "every event is accounted for");
        assert_eq!(report.duplicated, 0, "{arrivals} arrivals of {} events", received.len());
        let unexplained = unexplained(&lost, &events, &received, breaks);
        assert!(
            unexplained.is_empty(),
            "lost without an explanation: {}\n{}",
            runs(&unexplained),
            surroundings(unexplained[0], &events, &received)
        );
        assert!(loss == Loss::InHand || lost.is_empty(), "lost, where nothing may be: {}", runs(&lost));
        if let Some(server) = server {
            let connections = server.connections_of(NAME, true);
            let sent: u64 = connections.iter().map(|c| c["out_msgs"].as_u64().unwrap()).sum();
            let unknown = events.iter().enumerate();
            let unknown = unknown.filter(|(index, event)| event.fate == Fate::Unknown && !received.contains(index));
            let least = report.received + report.lost;
            // While a server has not noticed that a connection is dead it sends to that one as well.
            let twice = if connections.len() > 1 { least } else { 0 };
            let range = least..=least + unknown.count() + twice;
            assert!(
                range.contains(&(sent as usize)),
                "the server says that it sent {sent} messages to the service; it should be {range:?}"
            );
        }
        self.received = received;
        report
    }
}

/// Asks /ready again and again: whatever happens on NATS, HTTP is answered.
struct Watch {
    worst: Arc<Mutex<Duration>>,
    /// Its drop ends the asking.
    _life: Sender<()>,
}

impl Watch {
    fn start(address: &str) -> Watch {
        let (address, worst) = (address.to_owned(), Arc::new(Mutex::new(Duration::ZERO)));
        let (life, end) = channel();
        std::thread::spawn({
            let worst = worst.clone();
            move || {
                while end.recv_timeout(WATCH_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    let asked = Instant::now();
                    // An error is the service's end, which others tell of.
                    if http::try_get(&address, "/ready").is_ok() {
                        let mut worst = worst.lock().unwrap();
                        *worst = worst.max(asked.elapsed());
                    }
                }
            }
        });
        Watch { worst, _life: life }
    }

    fn worst(&self) -> Duration {
        *self.worst.lock().unwrap()
    }
}

/// Of the publisher's own symbols.
fn number(name: &str) -> Option<usize> {
    name.strip_prefix('E').and_then(|number| number.parse().ok())
}

/// Of the lost events those that were in no server's hands. Lost events with nothing received between them are one run;
/// a break explains one run, if the run is near it and nothing came over the broken connection afterwards.
fn unexplained(lost: &[usize], events: &[Published], received: &BTreeSet<usize>, breaks: &[Break]) -> Vec<usize> {
    let mut breaks: Vec<&Break> = breaks.iter().collect();
    let mut unexplained = Vec::new();
    for run in lost.chunk_by(|one, next| received.range(one..next).next().is_none()) {
        let next_received = received.range(run[0]..).next();
        let explains = |a_break: &&Break| {
            let until = a_break.until.unwrap_or_else(Instant::now);
            let is_near = |index: &usize| events[*index].at + IN_HAND >= a_break.from && events[*index].at <= until;
            run.iter().all(is_near) && next_received.is_none_or(|next| events[*next].at >= a_break.from)
        };
        match breaks.iter().position(explains) {
            Some(position) => _ = breaks.remove(position),
            None => unexplained.extend_from_slice(run),
        }
    }
    unexplained
}

/// `3-7, 9`
fn runs(numbers: &[usize]) -> String {
    let mut text = String::new();
    let mut rest = numbers;
    while let Some(first) = rest.first() {
        let len = rest.iter().zip(*first..).take_while(|(number, expected)| **number == *expected).count();
        let comma = if text.is_empty() { "" } else { ", " };
        let _ =
            if len == 1 { write!(text, "{comma}{first}") } else { write!(text, "{comma}{first}-{}", first + len - 1) };
        rest = &rest[len..];
    }
    text
}

fn surroundings(index: usize, events: &[Published], received: &BTreeSet<usize>) -> String {
    let range = index.saturating_sub(8)..(index + 8).min(events.len());
    range
        .map(|number| format!("{number}: {:?}, received: {}\n", events[number].fate, received.contains(&number)))
        .collect()
}
