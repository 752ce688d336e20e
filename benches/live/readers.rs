//! From a trade's publication to its symbol's snapshot, with and without readers of /events, while 1,000 symbols change four
//! times a second: what ten open pages cost whoever acts on snapshots.
//!
//! Phases with and without readers take turns. Readers share the machine with the service, so beside the time itself stands what
//! the service's own loop did: the gaps between two looks at its socket (`senpai_read_gap_ms`), its CPU time, and how long it
//! was ready to run and had no core.
//!
//! The pages of a desk have machines of their own. So here they have cores of their own, and all that is measured has the first one
//! (`benches/readers.sh` sees to that).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proto_nats::encode;
use tempfile::TempDir;

use super::client::Client;
use super::latency::{Probe, Route};
use super::processes::{Consumer, NatsServer, Service, eventually};
use super::scrapes::{make_known, symbol};

/// Many and short, so that what else the machine does falls on both kinds alike.
const ROUNDS: usize = 12;
const TRADES: usize = 400;
const PAGE_ROUNDS: usize = 3;
const PAGE_TRADES: usize = 2_000;
/// For ten browsers on a busy machine.
const OPENING_LIMIT: Duration = Duration::from_secs(120);
const SETTLING: Duration = Duration::from_secs(15);
const READING: Duration = Duration::from_millis(500);
const GAP: Duration = Duration::from_millis(5);
const READERS: usize = 10;
const SYMBOLS: usize = 1_000;
const CHANGES_PER_SECOND: usize = 4;
/// At 10 Hz a symbol may come back after 100 ms.
const PROBED: usize = 30;
/// What is published at once.
const BATCH: usize = 40;
const ROUTE: Route = Route {
    name: "service",
    prefix: "md.events",
    answers: "senpai.features",
    symbol: "PROBE.",
    answers_by_symbol: true,
};

/// What one kind of phase has measured.
#[derive(Default)]
struct Phases {
    times: Vec<u64>,
    /// Of each phase, as one in which the machine was busy elsewhere says little.
    p99s: Vec<u64>,
    /// Of each bound, gaps up to it.
    gaps: Vec<(f64, f64)>,
    cpu_ns: u64,
    waiting_ns: u64,
    length: Duration,
}

/// Who reads.
enum Readers<'a> {
    /// Ten sockets, which are read and no more.
    Sockets,
    /// Ten pages, each in a browser of its own, which these words start.
    Pages { browser: &'a [&'a str] },
}

pub fn readers(server: &NatsServer) {
    measure(server, &Readers::Sockets);
}

pub fn pages(server: &NatsServer, browser: &[&str]) {
    measure(server, &Readers::Pages { browser });
}

impl Readers<'_> {
    fn name(&self) -> &'static str {
        match self {
            Readers::Sockets => "sockets",
            Readers::Pages { .. } => "pages",
        }
    }

    /// Rounds with and without them, and trades in a phase: pages take seconds to open.
    fn size(&self) -> (usize, usize) {
        match self {
            Readers::Sockets => (ROUNDS, TRADES),
            Readers::Pages { .. } => (PAGE_ROUNDS, PAGE_TRADES),
        }
    }
}

fn measure(server: &NatsServer, readers: &Readers<'_>) {
    println!(
        "\n{READERS} {}: us from trade to snapshot, {SYMBOLS} symbols that change {CHANGES_PER_SECOND} times a second",
        readers.name()
    );
    let (rounds, trades) = readers.size();
    let service = Service::start(server, &[]);
    let events = make_known(server, SYMBOLS);
    eventually("every symbol", || (service.events() == events).then_some(()));
    let mut probe = Probe::of(server, PROBED, &["senpai.features.PROBE.*"]);
    let is_over = AtomicBool::new(false);
    let bytes = AtomicU64::new(0);
    let mut phases = [Phases::default(), Phases::default()];
    std::thread::scope(|scope| {
        scope.spawn(|| change(server, &is_over));
        // The first one warms up and does not count.
        for round in 0..=2 * rounds {
            let is_read = round % 2 == 1;
            let count = if is_read { READERS } else { 0 };
            let (mut streams, mut pages): (Vec<TcpStream>, Vec<Page>) = (Vec::new(), Vec::new());
            match readers {
                Readers::Sockets => streams.extend((0..count).map(|_| open(&service))),
                Readers::Pages { browser } => pages.extend((0..count).map(|_| Page::open(browser, service.address()))),
            }
            wait_for_readers(&service, count);
            if !pages.is_empty() {
                // A browser that has just been started has much to do that is over when it has settled.
                std::thread::sleep(SETTLING);
            }
            std::thread::scope(|threads| {
                streams.iter().for_each(|stream| drop(threads.spawn(|| read(stream, &bytes))));
                if is_read {
                    // What has come for them while they opened keeps all cores for a moment.
                    std::thread::sleep(READING);
                }
                let before = (gaps(&service), service.process().cpu_ns(), service.process().waiting_ns());
                let start = Instant::now();
                let mut times = Vec::with_capacity(trades);
                for trade in 0..trades {
                    std::thread::sleep(GAP);
                    times.push(probe.time_trade(&ROUTE, &format!("PROBE.{}", trade % PROBED)));
                }
                if round > 0 {
                    let phase = &mut phases[usize::from(is_read)];
                    times.sort_unstable();
                    phase.p99s.push(times[trades * 99 / 100 - 1]);
                    phase.times.append(&mut times);
                    phase.cpu_ns += service.process().cpu_ns() - before.1;
                    phase.waiting_ns += service.process().waiting_ns() - before.2;
                    phase.length += start.elapsed();
                    phase.add_gaps(&before.0, &gaps(&service));
                }
                streams.iter().for_each(|stream| _ = stream.shutdown(std::net::Shutdown::Both));
            });
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let [without, with] = &mut phases;
    println!(
        "{:<14}{:>8}{:>8}{:>8}{:>9}{:>14}{:>15}{:>10}{:>16}{:>12}",
        "", "p50", "p90", "p99", "max", "median of p99", "gaps > 1 ms /s", "CPU s/s", "no core, ms/s", "read, MB/s"
    );
    let read = bytes.load(Ordering::Relaxed) as f64 / 1e6 / with.length.as_secs_f64();
    let p99 = [without.print("none", 0.0), with.print(&format!("{READERS} {}", readers.name()), read)];
    let all = [&without, &with].map(|phases| phases.times[phases.times.len() * 99 / 100] as f64);
    println!(
        "With them p99 is {:.2} times that without, and the median of the phases' p99 {:.2} times",
        all[1] / all[0],
        p99[1] / p99[0]
    );
}

impl Phases {
    fn add_gaps(&mut self, before: &[(f64, f64)], after: &[(f64, f64)]) {
        let new = before.iter().zip(after).map(|((bound, before), (_, after))| (*bound, after - before));
        match self.gaps.is_empty() {
            true => self.gaps = new.collect(),
            false => self.gaps.iter_mut().zip(new).for_each(|(sum, (_, new))| sum.1 += new),
        }
    }

    /// Returns the median of the phases' p99.
    fn print(&mut self, name: &str, mb_per_second: f64) -> f64 {
        self.times.sort_unstable();
        self.p99s.sort_unstable();
        let median = self.p99s[self.p99s.len() / 2] as f64 / 1e3;
        let us = |q: f64| self.times[((self.times.len() as f64 * q).ceil() as usize).saturating_sub(1)] as f64 / 1e3;
        let seconds = self.length.as_secs_f64();
        let all = self.gaps.last().map_or(0.0, |(_, all)| *all);
        let short = self.gaps.iter().rfind(|(bound, _)| *bound <= 1.0).map_or(0.0, |(_, short)| *short);
        println!(
            "{name:<14}{:>8.0}{:>8.0}{:>8.0}{:>9.0}{median:>14.0}{:>15}{:>10.3}{:>16.2}{:>12.1}",
            us(0.5),
            us(0.9),
            us(0.99),
            us(1.0),
            format!("{:.1}", (all - short) / seconds),
            self.cpu_ns as f64 / 1e9 / seconds,
            self.waiting_ns as f64 / 1e6 / seconds,
            mb_per_second,
        );
        median
    }
}

/// Bounds in ms and how many gaps were up to each, of all cores.
fn gaps(service: &Service) -> Vec<(f64, f64)> {
    let (_, text) = service.get("/metrics").expect("the service answers");
    let buckets = text.lines().filter_map(|line| line.strip_prefix("senpai_read_gap_ms_bucket{le=\""));
    let bucket = |rest: &str| {
        let (bound, count) = rest.split_once("\"} ")?;
        Some((bound.parse().unwrap_or(f64::INFINITY), count.parse().ok()?))
    };
    buckets.filter_map(bucket).collect()
}

/// Quotes of all symbols, until it is over.
fn change(server: &NatsServer, is_over: &AtomicBool) {
    let mut publisher = Client::connect(server.port).expect("the server takes clients");
    let pause = Duration::from_secs(1) * BATCH as u32 / (SYMBOLS * CHANGES_PER_SECOND) as u32;
    let start = Instant::now();
    for batch in 1u32.. {
        let mut frames = Vec::new();
        for index in 0..BATCH {
            let number = (batch as usize * BATCH + index) % SYMBOLS;
            let payload = format!(r#"{{"provider":"binance","bid":64000.{},"ask":64001.5}}"#, batch % 10);
            let subject = format!("md.events.quote.{}", symbol(number));
            encode::publish(&mut frames, subject.as_bytes(), None, payload.as_bytes());
        }
        publisher.write(&frames).expect("the server takes them");
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep((pause * batch).saturating_sub(start.elapsed()));
    }
}

/// A browser with the service's page, killed when dropped.
struct Page {
    child: Child,
    _profile: TempDir,
}

impl Page {
    fn open(browser: &[&str], address: &str) -> Page {
        let profile = tempfile::tempdir().expect("a directory for temporary files");
        let child = Command::new(browser[0])
            .args(&browser[1..])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--window-size=1600,1060",
            ])
            // It stays open until it is killed.
            .arg("--remote-debugging-port=0")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("http://{address}/"))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the browser starts");
        Page { child, _profile: profile }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Its helpers are of its group.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.child.id())]).status();
        let _ = self.child.wait();
    }
}

/// Until /events tells of so many readers, and one more who asks.
fn wait_for_readers(service: &Service, count: usize) {
    let mut lines = BufReader::new(open(service)).lines().map(|line| line.expect("the stream goes on"));
    let begun = Instant::now();
    let is_told = |line: &String| {
        let (_, rest) = line.split_once("\"event_readers\":").unwrap_or_default();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        rest[..digits].parse().is_ok_and(|told: usize| told == count + 1)
    };
    let told = lines.find(|line| {
        assert!(begun.elapsed() < OPENING_LIMIT, "{count} readers: not within {OPENING_LIMIT:?}");
        is_told(line)
    });
    assert!(told.is_some(), "{count} readers: the stream has ended before it told of them");
}

fn open(service: &Service) -> TcpStream {
    let mut stream = TcpStream::connect(service.address()).expect("it listens");
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: bench\r\n\r\n").expect("it takes a request");
    stream
}

/// As a page does, but for what it does with them.
fn read(mut stream: &TcpStream, bytes: &AtomicU64) {
    let mut place = vec![0; 64 << 10];
    while let Ok(len @ 1..) = stream.read(&mut place) {
        bytes.fetch_add(len as u64, Ordering::Relaxed);
    }
}
