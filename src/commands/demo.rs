//! `demo`: broker, events and service in one process, with nothing installed.
//!
//! ```text
//!   executor "broker":  generated market ──► Hub ──┐                executors of the service
//!                                                  ├──► TCP ──► shard, HTTP: as in production
//!   thread "feed":      recording ──► TCP ─────────┘
//! ```

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto_nats::ServerAddress;

use crate::broker::BrokerLimits;
use crate::broker::server::{BrokerServer, BrokerThread, Hub};
use crate::commands::feed::feed;
use crate::commands::run::{Service, worker_settings};
use crate::config::{DemoArgs, FeedArgs, NatsArgs, Speed};
use crate::engine::input::subject::{EventKind, split_subject};
use crate::engine::time::NANOS_PER_SECOND;
use crate::http::server::HttpLimits;
use crate::market::generator::Market;
use crate::nats::credentials::Access;
use crate::recording::reader::RecordReader;
use crate::runtime::MachineError;
use crate::runtime::clock::Clock;
use crate::runtime::executor::give_way;
use crate::runtime::kernel;
use crate::runtime::stop::Stop;
use crate::runtime::timeout::{sleep, unless};

const BROKER_HOST: &str = "127.0.0.1";
/// Records that are looked at for symbols to show.
const RECORDS_LOOKED_AT: usize = 10_000;
/// A market that is this late (the process was stopped for a while) goes on from now.
const LATE_MAX_NS: i64 = NANOS_PER_SECOND;

/// Until SIGINT or SIGTERM. An error is one line for the user.
pub fn run(args: DemoArgs) -> Result<(), String> {
    let DemoArgs { file, seed, port, subjects, cores, engine, http, log } = args;
    let prefix = subjects.subject_prefix.clone();
    let candidates = match &file {
        Some(file) => symbols_of(file, &prefix)?,
        None => Market::symbols().map(str::to_owned).collect(),
    };
    let connections = HttpLimits::default().connections + BrokerLimits::default().connections;
    kernel::grant(cores.cores + 1, connections)?;
    let broker_server = BrokerServer::bind_free(BROKER_HOST, port)?;
    let server = ServerAddress::parse(&broker_server.url()).map_err(|error| error.to_string())?;
    let access = Access::new(NatsArgs::open(server.clone(), "senpai-demo")).map_err(|error| error.to_string())?;
    let shards = worker_settings(access, None, &subjects, &cores, &engine);
    // One that the service follows, if there is one.
    let is_followed = |symbol: &&String| {
        let is_asked_for = subjects.symbols.is_all() || subjects.symbols.0.contains(symbol);
        is_asked_for && shards[0].ownership.core_of(symbol.as_bytes()).is_some()
    };
    let symbol = candidates.iter().find(is_followed).or(candidates.first()).map_or("BTCUSDT", String::as_str);
    let service = Service::start(shards, &http)?;
    let on_end = service.watch("the broker");
    let broker = match &file {
        None => broker_server.spawn(seed, on_end, move |hub, stop| generate(seed, prefix, hub, stop))?,
        Some(_) => broker_server.spawn(seed, on_end, |_, _| async {})?,
    };
    let nats = NatsArgs::open(server, "senpai-demo-feed");
    let feed = |file| FeedArgs { file, speed: Speed::Times(1.0), rebase: true, loops: 0, jetstream: false, nats, log };
    let feeding = file.clone().map(|file| Feeding::start(feed(file))).transpose()?;
    let source = match &file {
        None => format!("a generated market (seed {seed})"),
        Some(file) => format!("{}, over and over, as if it happened now", file.display()),
    };
    let text = what_to_look_at(&source, port, &broker, service.address(), symbol);
    // Standard output may be closed.
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());

    // It handles the signals; everything else ends after it.
    let done = service.run();
    if done.is_err() {
        // The process ends at once: nothing more is waited for.
        std::mem::forget((feeding, broker));
    }
    done
}

/// Publishes the market as its events happen.
async fn generate(seed: u64, subject_prefix: String, hub: Hub, stop: Stop) {
    let clock = Clock::start();
    let mut market = Market::new(seed, &subject_prefix);
    let mut payload = Vec::new();
    let mut start = clock.now();
    while !stop.is_set() {
        let event = market.next_event(start, &mut payload);
        let early_ns = start.plus(event.offset).since(clock.now());
        if early_ns > 0 {
            unless(&stop, sleep(Duration::from_nanos(early_ns as u64))).await;
        }
        if early_ns < -LATE_MAX_NS {
            start = start.minus(early_ns);
        }
        hub.publish(event.subject.as_bytes(), &payload);
        give_way().await;
    }
}

/// The thread that plays a recording; ended when dropped.
struct Feeding {
    stopped: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Feeding {
    fn start(args: FeedArgs) -> Result<Feeding, String> {
        let stopped = Arc::new(AtomicBool::new(false));
        let watched = stopped.clone();
        // Its progress is not interesting here.
        let play = move || {
            let access = Access::new(args.nats.clone()).map(Arc::new).map_err(|error| error.to_string());
            let fed = access.and_then(|access| feed(&args, &access, &watched, io::sink()));
            if let Err(error) = fed {
                log::error!(cause:% = error; "the recording is not played any further, so no more events come; restart the demo: {error}");
            }
        };
        let thread = std::thread::Builder::new().name("feed".to_owned()).spawn(play);
        let thread = thread.map_err(MachineError::NoThread)?;
        Ok(Feeding { stopped, thread: Some(thread) })
    }
}

impl Drop for Feeding {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The symbols at the beginning of a recording, the busiest first.
fn symbols_of(file: &Path, subject_prefix: &str) -> Result<Vec<String>, String> {
    if file == Path::new("-") {
        return Err("demo --file wants a file: it is read twice, which standard input cannot be".to_owned());
    }
    let mut reader = RecordReader::open(file)?;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..RECORDS_LOOKED_AT {
        match reader.next_record()? {
            None => break,
            Some(Err(_)) => {}
            Some(Ok(record)) => {
                let (kind, symbol) = split_subject(record.subject.as_bytes(), subject_prefix.as_bytes());
                if !matches!(kind, EventKind::Heartbeat | EventKind::Unknown) {
                    *counts.entry(String::from_utf8_lossy(symbol).into_owned()).or_default() += 1;
                }
            }
        }
    }
    let mut symbols: Vec<(String, usize)> = counts.into_iter().collect();
    symbols.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    match symbols.is_empty() {
        true => Err(format!("{} holds no trades, quotes or books under {subject_prefix}", file.display())),
        false => Ok(symbols.into_iter().map(|(symbol, _)| symbol).collect()),
    }
}

fn what_to_look_at(source: &str, port_asked: u16, broker: &BrokerThread, http: SocketAddr, symbol: &str) -> String {
    let taken = match broker.address().port() {
        port if port_asked == 0 || port == port_asked => String::new(),
        port => format!(" (port {port_asked} is taken, so it is {port})"),
    };
    let (nats, port) = (broker.url(), broker.address().port());
    let http = reachable(http);
    let symbol = percent_encoded(symbol);
    format!(
        "\
The live page:  http://{http}/

A NATS broker on {nats}{taken}, {source}, and the service.
In another terminal:

  curl http://{http}/health
  curl http://{http}/stats
  curl \"http://{http}/state/latest?symbol={symbol}\"
  curl \"http://{http}/features/latest?symbol={symbol}\"
  curl http://{http}/metrics

Features and signals as they are published, with the nats command line tool, or with bash alone:

  nats --server {nats} sub 'senpai.>'
  bash -c 'exec 3<>/dev/tcp/{BROKER_HOST}/{port}; echo \"SUB senpai.signals.> 1\" >&3; cat <&3'

Ctrl-C ends it.

"
    )
}

/// Where a client on this machine finds a server that listens on every interface.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// For a query; quotes and `$` would also mean something to the shell.
fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => (byte as char).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_symbols_work_as_printed() {
        let check =
            |address: &str, expected: &str| assert_eq!(reachable(address.parse().unwrap()).to_string(), expected);
        check("0.0.0.0:8892", "127.0.0.1:8892");
        check("[::]:1", "[::1]:1");
        check("10.0.0.1:1", "10.0.0.1:1");
        assert_eq!(percent_encoded("BTC-USD"), "BTC-USD");
        assert_eq!(percent_encoded("BTC/USD$\"é"), "BTC%2FUSD%24%22%C3%A9");
    }
}
