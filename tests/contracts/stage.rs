//! A service that has seen a market: signals and alerts among what it has given.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::reference::SECOND;
use crate::support::bus::{Bus, Inbox};
use crate::support::events::{Event, RISE_FLAGS, RISE_WARM_UP, book, event, now_ns, quote, rising_market};
use crate::support::nats_server::NatsServer;
use crate::support::service::{self, Service};
use crate::support::{Killed, within};

/// Symbols of the generated market.
pub const MARKET_SYMBOLS: usize = 5;
const MARKET_EVENTS: usize = 3000;
const ALERT_FLAGS: [&str; 4] = ["--max-symbols", "8", "--alert-latency-p95-ms", "50"];

pub struct Stage {
    pub server: NatsServer,
    pub service: Service,
    pub bus: Bus,
    /// All that the service publishes.
    pub published: Inbox,
}

impl Stage {
    /// In this provider mode.
    pub fn start(mode: &str) -> Stage {
        let server = NatsServer::start();
        let flags = [&RISE_FLAGS[..], &ALERT_FLAGS[..], &["--provider-mode", mode]].concat();
        let service = Service::start_ready(&server.url(), &flags);
        let bus = Bus::connect(&server.url());
        let published = bus.subscribe("senpai.>");
        Stage { server, service, bus, published }
    }

    /// A generated market, one that gives signals, and events that alerts are about.
    pub fn play(&self) {
        self.bus.publish(&generated(MARKET_EVENTS));
        self.play_signals("RISE");
        self.play_alerts();
    }

    /// Signals for this symbol.
    pub fn play_signals(&self, symbol: &str) {
        self.bus.publish(&rising_market(symbol, RISE_WARM_UP + 5));
    }

    /// Events that alerts are about.
    pub fn play_alerts(&self) {
        let now = now_ns();
        let of = |provider: &str, t_ns: i64, id: &str| {
            event("trade", "A", json!({"provider": provider, "ts_recv": t_ns, "price": 1, "size": 1, "trade_id": id}))
        };
        let slow = event("trade", "A", json!({"ts_exchange": now - SECOND, "ts_recv": now, "price": 1, "size": 1}));
        let ahead = of("one", now + 3600 * SECOND, "8");
        let withdrawn = event("quote", "A", json!({"bid": null, "ask": 2, "ask_size": 3}));
        let malformed = event("trade", "A", json!({"price": 0}));
        self.bus.publish(&[
            of("one", now, "7"),
            of("two", now, "7"),
            slow,
            book("A", now, 25),
            withdrawn,
            ahead,
            malformed,
        ]);
        // Two symbols more than there are places for.
        self.bus.publish(&["B", "C", "D"].map(|symbol| quote(symbol, now, 1.0, 2.0)));
    }

    /// Subjects of each connection, from the server's own monitoring; all sorted.
    pub fn subscriptions(&self) -> Vec<Vec<String>> {
        let report = self.server.report("/connz?subs=1");
        let connections = report["connections"].as_array().expect("a list").iter();
        let subjects = |connection: &Value| {
            let listed = connection["subscriptions_list"].as_array().into_iter().flatten();
            let mut subjects: Vec<String> = listed.filter_map(|it| it.as_str().map(str::to_owned)).collect();
            subjects.sort();
            subjects
        };
        let mut all: Vec<Vec<String>> = connections.map(subjects).collect();
        all.sort();
        all
    }
}

/// The generated market's events, as they are recorded.
pub fn generated(count: usize) -> Vec<Event> {
    let recording = senpai_md_consumer::commands::generate::Recording {
        seed: 1,
        event_count: count as u64,
        symbol_count: MARKET_SYMBOLS,
    };
    let mut text = Vec::new();
    recording.write(&mut text, |_| Ok(())).expect("memory takes every write");
    let text = String::from_utf8(text).expect("it is JSON");
    let record = |line: &str| -> Event {
        let record: Value = serde_json::from_str(line).expect("a record a line");
        let subject = record["subject"].as_str().expect("it has a subject").to_owned();
        (subject, record["payload"].to_string().into_bytes())
    };
    text.lines().map(record).collect()
}

/// What a command has written to standard output and standard error; it must end with 0.
#[track_caller]
pub fn run(command: &mut Command, limit: Duration) -> String {
    let folder = tempfile::tempdir().expect("a directory for temporary files");
    let path = folder.path().join("said");
    let file = File::create(&path).expect("a file");
    let both = file.try_clone().expect("a second handle");
    let child = command.stdin(Stdio::null()).stdout(file).stderr(both).spawn();
    let mut process = Killed(child.unwrap_or_else(|error| panic!("{command:?}: {error}")));
    let said = || String::from_utf8_lossy(&std::fs::read(&path).expect("what it has said")).into_owned();
    let status = within(limit, &format!("{command:?}"), || process.0.try_wait().expect("a child").ok_or_else(said));
    assert!(status.success(), "{command:?}: {status}\n{}", said());
    said()
}

/// The service's binary, to be run in `folder`.
pub fn binary(folder: &tempfile::TempDir, arguments: &[&str]) -> Command {
    let mut command = service::command(folder);
    command.args(arguments);
    command
}
