//! From a trade's publication to its symbol's snapshot, over a real server, at rates that load neither.
//!
//! ```text
//!   probe ──► nats-server ──► echo, service or peer ──► nats-server ──► probe
//! ```
//!
//! The echo is a process that answers at once, from a blocking socket, unread, with as many bytes as a snapshot has: what
//! the two ways through the server cost any process. (A thread of the probe's own would be some 10 us faster: it shares
//! its memory with the probe, and so much of the caches.) Trades for all of them take turns, so that whatever else the
//! machine does falls on all alike; the longer each has slept, the colder it is, so what is given is how often its own
//! turn comes. Each trade gives a snapshot at once: there are enough symbols for that, and no more, as it is not their
//! first trades that are measured.

use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proto_nats::encode;
use senpai_md_consumer::engine::time::{UnixNanos, encode_time};

use super::client::Client;
use super::processes::{Echo, NatsServer, Peer, Service};

const ROUNDS: usize = 3;
/// At 10 Hz a symbol may come back after 100 ms.
const SYMBOL_MS: u64 = 120;
/// That of a symbol without quotes.
pub const SNAPSHOT_BYTES: usize = 360;

/// Where trades go and snapshots come from.
#[derive(Clone, Copy)]
pub struct Route {
    pub name: &'static str,
    pub prefix: &'static str,
    pub answers: &'static str,
    pub symbol: &'static str,
    /// The symbol stands behind that; else there is one subject for all.
    pub answers_by_symbol: bool,
}

const ECHO: Route =
    Route { name: "bare server hops", prefix: "echo", answers: "echoed", symbol: "E", answers_by_symbol: false };
const SERVICE: Route =
    Route { name: "service", prefix: "service", answers: "senpai.features", symbol: "S", answers_by_symbol: true };
const BUSY: Route = Route {
    name: "service --busy-poll",
    prefix: "busy",
    answers: "senpai.features",
    symbol: "B",
    answers_by_symbol: true,
};
const BASE: Route =
    Route { name: "base", prefix: "base", answers: "senpai.features", symbol: "O", answers_by_symbol: true };
const PEER: Route =
    Route { name: "peer", prefix: "peer", answers: "senpai.features", symbol: "P", answers_by_symbol: true };

/// `base`: another version of the service.
pub fn latency(server: &NatsServer, peer: Option<&Path>, base: Option<&Path>) {
    for (gap_ms, trades) in [(5, 1_500), (50, 300), (150, 100)] {
        let gap = Duration::from_millis(gap_ms);
        println!("\nLatency, us from trade to snapshot, each has one some {gap_ms} ms after its last");
        println!("{:<24}{:>8}{:>10}{:>10}{:>10}", "", "trades", "p50", "p90", "p99");
        let _echo = Echo::start(server);
        let mut probe = Probe::start(server, 1 + SYMBOL_MS.div_ceil(gap_ms) as usize, &[ECHO.answers]);
        let mut measured: Vec<(Route, Vec<u64>)> = Vec::new();
        for _ in 0..ROUNDS {
            let service = Service::start(server, &["--subject-prefix", SERVICE.prefix]);
            let base = base.map(|base| Service::start_binary(base, server, &["--subject-prefix", BASE.prefix]));
            let peer = peer.map(|peer| Peer::start(peer, server, PEER.prefix));
            let others = [base.as_ref().map(|_| BASE), peer.as_ref().map(|_| PEER)];
            let routes: Vec<Route> = [ECHO, SERVICE].into_iter().chain(others.into_iter().flatten()).collect();
            probe.measure(&routes, trades, gap, &mut measured);
            drop((service, base, peer));
            // It takes a core for itself, so the others are not to run beside it.
            let _busy = Service::start(server, &["--subject-prefix", BUSY.prefix, "--busy-poll"]);
            probe.measure(&[BUSY], trades, gap, &mut measured);
        }
        for (route, mut times) in measured {
            times.sort_unstable();
            let us = |q: f64| times[((times.len() as f64 * q).ceil() as usize).saturating_sub(1)] as f64 / 1e3;
            println!("{:<24}{:>8}{:>10.1}{:>10.1}{:>10.1}", route.name, times.len(), us(0.5), us(0.9), us(0.99));
        }
    }
}

/// What the echo's process does, until the server ends.
pub fn echo(port: u16) {
    let mut client = Client::connect(port).expect("the server takes clients");
    client.subscribe(&format!("{}.>", ECHO.prefix)).expect("the server takes subscriptions");
    println!("ready");
    let mut stream = client.into_stream();
    stream.set_read_timeout(None).expect("a socket can wait");
    let mut answer = Vec::new();
    encode::publish(&mut answer, ECHO.answers.as_bytes(), None, &[b'x'; SNAPSHOT_BYTES]);
    const PING: &[u8] = b"PING\r\n";
    let mut place = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut place) {
        let read = &place[..len];
        let message = read.strip_prefix(PING).unwrap_or(read);
        if message.len() < len || message.ends_with(PING) {
            stream.write_all(b"PONG\r\n").expect("the server takes answers");
        }
        if message.starts_with(b"MSG ") && stream.write_all(&answer).is_err() {
            break;
        }
    }
}

pub struct Probe {
    client: Client,
    symbols: usize,
    trades: usize,
}

impl Probe {
    /// `more`: what is answered on beside the snapshots.
    pub fn start(server: &NatsServer, symbols: usize, more: &[&str]) -> Probe {
        Probe::of(server, symbols, &[&["senpai.features.>"], more].concat())
    }

    /// `subjects`: what is answered on.
    pub fn of(server: &NatsServer, symbols: usize, subjects: &[&str]) -> Probe {
        let mut client = Client::connect(server.port).expect("the server takes clients");
        for subject in subjects {
            client.subscribe(subject).expect("the server takes subscriptions");
        }
        Probe { client, symbols, trades: 0 }
    }

    pub fn measure(&mut self, routes: &[Route], trades: usize, gap: Duration, measured: &mut Vec<(Route, Vec<u64>)>) {
        let pause = gap / routes.len() as u32;
        for index in 0..trades {
            self.trades += 1;
            for route in routes {
                std::thread::sleep(pause);
                let symbol = format!("{}{}", route.symbol, self.trades % self.symbols);
                let ns = self.time_trade(route, &symbol);
                // The first trades of a process find cold caches and windows that do not exist yet.
                if index >= trades / 10 {
                    match measured.iter_mut().find(|(other, _)| other.name == route.name) {
                        Some((_, times)) => times.push(ns),
                        None => measured.push((*route, vec![ns])),
                    }
                }
            }
        }
    }

    pub fn time_trade(&mut self, route: &Route, symbol: &str) -> u64 {
        let now = UnixNanos(SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_nanos() as i64);
        let [ts_exchange, ts_recv] = [now.minus(3_000_000), now].map(encode_time);
        let payload = format!(
            r#"{{"event_type":"trade","provider":"binance","symbol":"{symbol}","ts_exchange":"{}","ts_recv":"{}","price":64000.{},"size":0.25,"side":"buy","trade_id":"4217896584"}}"#,
            String::from_utf8_lossy(&ts_exchange),
            String::from_utf8_lossy(&ts_recv),
            self.trades % 10,
        );
        let subject = format!("{}.trade.{symbol}", route.prefix);
        let expected =
            if route.answers_by_symbol { format!("{}.{symbol}", route.answers) } else { route.answers.to_owned() };
        let start = Instant::now();
        self.client.publish(&subject, payload.as_bytes()).expect("the server takes it");
        loop {
            let message = self.client.next_message().unwrap_or_else(|error| panic!("no {expected}: {error}"));
            if message.subject == expected.as_bytes() {
                return start.elapsed().as_nanos() as u64;
            }
        }
    }
}
