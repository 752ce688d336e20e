//! From a trade's publication to its symbol's snapshot, with and without scrapes, with few and with many symbols.
//!
//! Phases with and without scrapes take turns, so that whatever else the machine does falls on both alike. Five times a
//! second /metrics, /health and /stats are asked for, one after the other, each on a connection of its own.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proto_nats::encode;

use super::client::Client;
use super::latency::{Probe, Route};
use super::processes::{Consumer, NatsServer, Service, eventually, get};

const ROUNDS: usize = 4;
const TRADES: usize = 1_000;
const GAP: Duration = Duration::from_millis(3);
const SCRAPES_PER_SECOND: u32 = 5;
const TARGETS: [&str; 3] = ["/metrics", "/health", "/stats"];
const ROUTE: Route =
    Route { name: "service", prefix: "md.events", answers: "senpai.features", symbol: "", answers_by_symbol: true };

/// Of the service and, where it is given, of another binary of it.
pub fn scrapes(server: &NatsServer, base: Option<&Path>) {
    println!("\nScrapes: us from trade to snapshot, without and with {SCRAPES_PER_SECOND} a second of {TARGETS:?}");
    println!(
        "{:<10}{:>9}{:>9}{:>8}{:>8}{:>8}{:>10}{:>8}{:>8}{:>9}{:>14}{:>11}",
        "", "symbols", "", "p50", "p90", "p99", "with: p50", "p90", "p99", "p99 x", "a scrape, ms", "CPU s/s"
    );
    for symbols in [2, 10_000, 50_000] {
        measure("service", Path::new(env!("CARGO_BIN_EXE_senpai-md-consumer")), server, symbols);
        if let Some(base) = base {
            measure("base", base, server, symbols);
        }
    }
}

fn measure(name: &str, binary: &Path, server: &NatsServer, symbols: usize) {
    // Each trade gives a snapshot at once.
    let flags = ["--max-symbols", &symbols.to_string(), "--features-pub-rate-hz", "1000"];
    let service = Service::start_binary(binary, server, &flags);
    let events = make_known(server, symbols);
    eventually("every symbol", || (service.events() == events).then_some(()));
    let mut probe = Probe::start(server, 1, &[]);
    let (mut without, mut with, mut scrapes, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), [0.0; 2]);
    for round in 0..2 * ROUNDS {
        let is_over = AtomicBool::new(false);
        let is_scraped = round % 2 == 1;
        let (start, cpu_before) = (Instant::now(), service.process().cpu_ns());
        std::thread::scope(|scope| {
            let scraping = is_scraped.then(|| scope.spawn(|| scrape(service.address(), &is_over)));
            let times = if is_scraped { &mut with } else { &mut without };
            for trade in 0..TRADES {
                std::thread::sleep(GAP);
                // Far apart, as the names of a real list are for a table.
                times.push(probe.time_trade(&ROUTE, &symbol((round * TRADES + trade) * 7_919 % symbols)));
            }
            is_over.store(true, Ordering::Relaxed);
            if let Some(scraping) = scraping {
                scrapes.extend(scraping.join().expect("every scrape is answered"));
            }
        });
        let busy = (service.process().cpu_ns() - cpu_before) as f64 / start.elapsed().as_nanos() as f64;
        cpu[usize::from(is_scraped)] += busy / ROUNDS as f64;
    }
    for times in [&mut without, &mut with, &mut scrapes] {
        times.sort_unstable();
    }
    let us = |times: &[u64], q: f64| times[((times.len() as f64 * q).ceil() as usize).saturating_sub(1)] as f64 / 1e3;
    println!(
        "{name:<10}{symbols:>9}{:>9}{:>8.0}{:>8.0}{:>8.0}{:>10.0}{:>8.0}{:>8.0}{:>9.2}{:>14.1}{:>6.2}{:>5.2}",
        "",
        us(&without, 0.5),
        us(&without, 0.9),
        us(&without, 0.99),
        us(&with, 0.5),
        us(&with, 0.9),
        us(&with, 0.99),
        us(&with, 0.99) / us(&without, 0.99),
        us(&scrapes, 0.5) / 1e3,
        cpu[0],
        cpu[1],
    );
}

pub fn symbol(number: usize) -> String {
    format!("SYM{number:06}USDT")
}

/// A quote of each; says how many events that were.
pub fn make_known(server: &NatsServer, symbols: usize) -> u64 {
    let mut publisher = Client::connect(server.port).expect("the server takes clients");
    let mut batch = Vec::new();
    for number in 0..symbols {
        let subject = format!("md.events.quote.{}", symbol(number));
        encode::publish(&mut batch, subject.as_bytes(), None, br#"{"provider":"binance","bid":64000.4,"ask":64000.5}"#);
    }
    publisher.write(&batch).expect("the server takes them");
    publisher.flush().expect("the server answers");
    symbols as u64
}

/// How long each document took, in ns.
fn scrape(address: &str, is_over: &AtomicBool) -> Vec<u64> {
    let begin = Instant::now();
    let mut times = Vec::new();
    for number in 1u32.. {
        for target in TARGETS {
            let start = Instant::now();
            let (status, _) = get(address, target).expect("the service answers");
            assert_eq!(status, 200, "{target}");
            times.push(start.elapsed().as_nanos() as u64);
        }
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep((Duration::from_secs(1) / SCRAPES_PER_SECOND * number).saturating_sub(begin.elapsed()));
    }
    times
}
