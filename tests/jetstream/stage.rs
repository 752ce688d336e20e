//! A scenario's stage: the service under test, a producer that does not pause, and the accounts at the end.
//!
//! Where the stream has kept everything, it is the truth: its subjects are the events, and the service has applied each of
//! them once. Where it lost something by the scenario's doing, the events that it had acknowledged are.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Operator, STREAM};
use crate::producer::{Producer, number, produce_at_once, symbol};
use crate::support::nats_server::{NatsServer, Release};
use crate::support::service::Service;
use crate::support::{holds, within};

/// Nothing takes so long that works.
pub const LIMIT: Duration = Duration::from_secs(20);
/// What a look at the stream finds is found by then.
pub const NOTICED_LIMIT: Duration = Duration::from_secs(15);
/// Events of an untroubled stream, so that there is something to lose and to apply twice.
const BEFORE_AND_AFTER: u64 = 100;
pub const FLAGS: [&str; 5] = ["--use-jetstream=true", "--nats-name", "under-test", "--max-symbols", "100000"];

pub struct Stage {
    pub service: Service,
    pub operator: Operator,
    producer: Option<Producer>,
    produced: Vec<bool>,
    recoveries: Vec<Duration>,
}

/// What the stream has done to its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// It holds all that it has ever held.
    Kept,
    /// It has lost some, which the service may have applied before.
    Lost,
}

/// What a scenario has measured.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub recoveries: Vec<Duration>,
    pub published: usize,
    pub applied: usize,
    pub missed: usize,
    pub twice: usize,
    /// What the service says: messages missed, streams that were others, consumers lost.
    pub told: [u64; 3],
    pub note: String,
}

/// With JetStream; its files are gone with it.
pub fn server(release: Release) -> NatsServer {
    NatsServer::start_with(release, JETSTREAM)
}

pub const JETSTREAM: &str = "jetstream { store_dir: \"store\", max_mem: 4GB, max_file: 4GB }";

impl Stage {
    /// The stream is made; the service is ready and events flow.
    pub fn on(server: &NatsServer, stream: &Value) -> Stage {
        Operator::new(server.port()).make_stream(stream);
        Stage::start(&server.url(), server.port(), &[])
    }

    /// The stream is there already.
    pub fn start(nats_url: &str, publish_to: u16, flags: &[&str]) -> Stage {
        let mut stage = Stage::begin(nats_url, publish_to, flags);
        stage.service.wait_ready();
        stage.produce();
        stage.wait_flow(BEFORE_AND_AFTER);
        stage
    }

    /// A service that may not be ready for a while, and no events yet.
    pub fn begin(nats_url: &str, publish_to: u16, flags: &[&str]) -> Stage {
        let service = Service::start(nats_url, &[&FLAGS, flags].concat());
        let operator = Operator::new(publish_to);
        Stage { service, operator, producer: None, produced: Vec::new(), recoveries: Vec::new() }
    }

    pub fn produce(&mut self) {
        self.producer = Some(Producer::start(self.operator.port, self.produced.len()));
    }

    /// So many at once, while the producer pauses.
    pub fn produce_at_once(&mut self, count: usize) {
        assert!(self.producer.is_none(), "the producer pauses");
        let first = self.produced.len();
        produce_at_once(self.operator.port, first..first + count);
        self.produced.resize(first + count, true);
    }

    pub fn pause(&mut self) {
        let producer = self.producer.take().expect("it produces");
        let before = std::mem::take(&mut self.produced);
        self.produced = producer.finish();
        for (number, is_stored) in before.into_iter().enumerate() {
            self.produced[number] = is_stored;
        }
    }

    pub fn stored_count(&self) -> usize {
        let before = self.produced.iter().filter(|is_stored| **is_stored).count();
        before + self.producer.as_ref().map_or(0, Producer::stored_count)
    }

    pub fn events_in(&self) -> u64 {
        self.service.stats()["events_in"].as_u64().expect("a count")
    }

    /// Of the first core.
    pub fn jetstream(&self) -> Value {
        self.service.stats()["cores"][0]["jetstream"].take()
    }

    /// Waits until more events than `before` are in.
    #[track_caller]
    pub fn wait_flow(&self, before: u64) {
        within(LIMIT, "an event flows", || {
            let count = self.events_in();
            holds(count > before, format!("{count} are in; log:\n{}", self.service.log()))
        });
    }

    /// From `back` on until the service is ready and another event is in.
    #[track_caller]
    pub fn wait_recovered(&mut self, back: Instant) {
        self.service.wait_ready();
        self.wait_flow(self.events_in());
        self.recoveries.push(back.elapsed());
    }

    /// What /ready must say with its 503, by then. Case does not matter.
    #[track_caller]
    pub fn wait_trouble(&self, words: &[&str]) -> String {
        within(LIMIT, &format!("/ready is 503 with {words:?}"), || {
            let (status, body) = self.service.get("/ready");
            let text = body.to_ascii_lowercase();
            let is_told = status == 503 && words.iter().all(|word| text.contains(&word.to_ascii_lowercase()));
            holds(is_told, format!("{status} {body}; log:\n{}", self.service.log())).map(|()| body)
        })
    }

    /// An alert of the kind `jetstream` that says this has fired.
    #[track_caller]
    pub fn wait_alert(&self, words: &str) {
        within(LIMIT, &format!("an alert with {words:?}"), || {
            let alerts = self.service.document("/alerts/latest");
            let is_it = |alert: &Value| {
                let message = alert["message"].as_str().unwrap_or_default();
                alert["kind"] == "jetstream" && alert["state"] == "firing" && message.contains(words)
            };
            let is_there = alerts["alerts"].as_array().expect("a list").iter().any(is_it);
            holds(is_there, format!("{alerts}; log:\n{}", self.service.log()))
        });
    }

    #[track_caller]
    pub fn wait_log(&self, limit: Duration, words: &str) {
        within(limit, &format!("the log says {words:?}"), || {
            let log = self.service.log();
            holds(log.contains(words), log)
        });
    }

    /// Ends the producing and settles the accounts.
    #[track_caller]
    pub fn settle(&mut self, stream: Stream) -> Report {
        if self.producer.is_some() {
            self.wait_flow(self.events_in() + BEFORE_AND_AFTER);
            self.pause();
        }
        let last = self.produced.iter().rposition(|is_stored| *is_stored).expect("events were stored");
        within(LIMIT, &format!("event {last}, the last one that the stream has"), || {
            let (status, body) = self.service.get(&format!("/state/latest?symbol={}", symbol(last)));
            holds(status == 200, format!("{body}; {}; log:\n{}", self.jetstream(), self.service.log()))
        });
        let stored: BTreeSet<usize> =
            self.produced.iter().enumerate().filter(|(_, stored)| **stored).map(|(number, _)| number).collect();
        let truth = match stream {
            Stream::Kept => held(&self.operator),
            Stream::Lost => stored.clone(),
        };
        // What is behind the last one acknowledged.
        if stream == Stream::Kept {
            assert!(stored.is_subset(&truth), "the stream has lost what it had acknowledged");
            within(LIMIT, "all that the stream holds is applied", || {
                let at = self.events_in() as usize;
                holds(at >= truth.len(), format!("{at} of {}; {}", truth.len(), self.jetstream()))
            });
        }
        let report = account(&[&self.service], &truth, std::mem::take(&mut self.recoveries));
        if stream == Stream::Kept {
            assert_eq!((report.missed, report.twice), (0, 0), "{report:?}; log:\n{}", self.service.log());
            assert_eq!(report.told[0], 0, "nothing is said to be missed: {report:?}");
        }
        report
    }
}

/// The events that the stream holds, each once.
#[track_caller]
pub fn held(operator: &Operator) -> BTreeSet<usize> {
    let info = operator.info(&json!({ "subjects_filter": ">" }));
    let subjects = info["state"]["subjects"].as_object().cloned().unwrap_or_default();
    let messages = info["state"]["messages"].as_u64().expect("a count");
    assert_eq!(subjects.len() as u64, messages, "{STREAM}: a subject is one event");
    subjects.keys().filter_map(|subject| number(subject.rsplit('.').next()?)).collect()
}

/// What these services have applied, against what there was.
#[track_caller]
pub fn account(services: &[&Service], truth: &BTreeSet<usize>, recoveries: Vec<Duration>) -> Report {
    let mut report = Report { recoveries, published: truth.len(), ..Report::default() };
    let mut applied = BTreeSet::new();
    let mut arrivals = 0;
    for service in services {
        let stats = service.stats();
        arrivals += stats["events_in"].as_u64().expect("a count") as usize;
        for reason in ["malformed", "backpressure", "late", "symbol_limit"] {
            assert_eq!(stats["dropped"][reason], json!({}), "dropped: {reason}");
        }
        assert_eq!(stats["timestamps_rejected"], 0, "{stats}");
        for core in stats["cores"].as_array().expect("a list") {
            for (total, name) in report.told.iter_mut().zip(["missed", "resets", "consumers_lost"]) {
                *total += core["jetstream"][name].as_u64().expect("a count");
            }
        }
        let health = service.document("/health");
        let symbols = health["symbols"].as_array().expect("a list").iter();
        applied.extend(symbols.filter_map(|name| number(name.as_str().expect("a name"))));
    }
    report.applied = applied.len();
    report.missed = truth.difference(&applied).count();
    report.twice = arrivals - applied.len();
    assert_eq!(report.twice, 0, "{arrivals} events in, of {} that differ: {report:?}", applied.len());
    report
}
