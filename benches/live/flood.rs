//! As many events as one publisher gets through the server: how many are taken, at what CPU time, and how HTTP answers
//! meanwhile. The timestamps go on from pass to pass, so that the windows work as on the recorded days.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proto_nats::{DecodeLimits, Decoded, ServerOp, decode_server_op, encode};
use senpai_md_consumer::engine::time::NANOS_PER_SECOND;
use senpai_md_consumer::recording::looped_frames::Stream;

use super::client::Client;
use super::processes::{Consumer, NatsServer, Peer, Service, get};

const ROUNDS: usize = 3;
/// About this many events in a flood: some seconds.
const EVENTS: u64 = 5_000_000;
const BATCH_BYTES: usize = 128 << 10;
/// Where there is a rate: some hundred events, a millisecond's or less.
const PACED_BATCH_BYTES: usize = 32 << 10;
/// Nothing more comes when nothing has come for this long.
const SILENCE: Duration = Duration::from_millis(700);
/// How many are taken by now is asked so seldom, as the answers are a part of the CPU time: half a millisecond each.
const ASKED_EVERY: Duration = Duration::from_millis(250);
/// Between two requests.
const HTTP_INTERVAL: Duration = Duration::from_millis(20);

/// `base`: another version of the service.
pub fn flood(server: &NatsServer, peer: Option<&Path>, base: Option<&Path>, stream: &mut Stream) {
    let passes = (EVENTS / stream.event_count).max(1);
    println!("\nFlood: {} events, {} bytes each, from one publisher", passes * stream.event_count, {
        stream.bytes.len() as u64 / stream.event_count
    });
    println!(
        "{:<24}{:>14}{:>9}{:>9}{:>8}{:>7}{:>13}{:>13}",
        "", "published/s", "taken %", "trades", "shed %", "cuts", "CPU ns/event", "CPU s/s"
    );
    for _ in 0..ROUNDS {
        for flags in [&[][..], &["--cores", "2"][..]] {
            let service = Service::start(server, flags);
            let name = ["service", "service --cores 2"][flags.len() / 2];
            let flood = run(server, &service, stream, passes, u64::MAX, SILENCE);
            print_service(name, &service, stream, passes, &flood);
        }
        if let Some(base) = base {
            let base = Service::start_binary(base, server, &[]);
            let flood = run(server, &base, stream, passes, u64::MAX, SILENCE);
            print_service("base", &base, stream, passes, &flood);
        }
        if let Some(peer) = peer {
            let peer = Peer::start(peer, server, "md.events");
            let flood = run(server, &peer, stream, passes, u64::MAX, SILENCE);
            flood.print("peer", passes * stream.event_count, "-", "-", "-");
        }
    }
}

pub fn http(server: &NatsServer, stream: &mut Stream) {
    let passes = (EVENTS / stream.event_count).max(1);
    println!("\nHTTP while flooded: /metrics and /features/latest in turn, a request every 20 ms, a connection each");
    println!("{:<24}{:>10}{:>10}{:>10}{:>10}", "", "requests", "p50 ms", "p99 ms", "max ms");
    for _ in 0..ROUNDS {
        let service = Service::start(server, &[]);
        let (is_over, symbol) = (AtomicBool::new(false), symbol(stream));
        let (flood, times) = std::thread::scope(|scope| {
            let asking = scope.spawn(|| ask(service.address(), &symbol, &is_over));
            let flood = run(server, &service, stream, passes, u64::MAX, SILENCE);
            is_over.store(true, Ordering::Relaxed);
            (flood, asking.join().expect("every request is answered"))
        });
        let ms = |q: f64| times[((times.len() as f64 * q).ceil() as usize).saturating_sub(1)].as_secs_f64() * 1e3;
        println!("{:<24}{:>10}{:>10.2}{:>10.2}{:>10.2}", "service", times.len(), ms(0.5), ms(0.99), ms(1.0));
        print_service("the flood meanwhile", &service, stream, passes, &flood);
    }
}

/// What came of it.
pub struct Flood {
    publishing: Duration,
    /// Of the consumer's process, with all its threads.
    pub cpu_ns: u64,
    /// Taken.
    pub events: u64,
    busy: Duration,
}

impl Flood {
    /// Taken a second, up to the last.
    pub fn per_second(&self) -> f64 {
        self.events as f64 / self.busy.as_secs_f64()
    }

    fn print(&self, name: &str, published: u64, trades: &str, shed: &str, cuts: &str) {
        println!(
            "{name:<24}{:>14.0}{:>9.2}{trades:>9}{shed:>8}{cuts:>7}{:>13.0}{:>13.2}",
            published as f64 / self.publishing.as_secs_f64(),
            self.events as f64 / published as f64 * 100.0,
            self.cpu_ns as f64 / self.events as f64,
            self.cpu_ns as f64 / self.busy.as_nanos() as f64,
        );
    }
}

fn print_service(name: &str, service: &Service, stream: &Stream, passes: u64, flood: &Flood) {
    let stats = service.stats();
    let trades = passes * frames(stream).filter(|(subject, _)| subject.starts_with(b"md.events.trade.")).count() as u64;
    let taken = stats["events_in_by_type"]["trade"].as_u64().expect("a count");
    let trades = if taken == trades { "all".to_owned() } else { format!("-{}", trades - taken) };
    let shed = stats["dropped"]["backpressure"].as_object().expect("counts");
    let shed: u64 = shed.values().filter_map(serde_json::Value::as_u64).sum();
    let shed = format!("{:.2}", shed as f64 / flood.events as f64 * 100.0);
    let published = passes * stream.event_count;
    flood.print(name, published, &trades, &shed, &stats["slow_consumer_cuts"].to_string());
}

/// Publishes so many passes, so many events a second; as fast as they go with `u64::MAX`. All that is taken has been when there
/// are as many events, or when nothing has come for `silence`.
pub fn run(
    server: &NatsServer,
    consumer: &impl Consumer,
    stream: &mut Stream,
    passes: u64,
    per_second: u64,
    silence: Duration,
) -> Flood {
    let batch_bytes = if per_second == u64::MAX { BATCH_BYTES } else { PACED_BATCH_BYTES };
    let mut publisher = Client::connect(server.port).expect("the server takes clients");
    let mut batch = Vec::with_capacity(2 * BATCH_BYTES);
    let (start, cpu_before) = (Instant::now(), consumer.process().cpu_ns());
    let mut published = 0;
    for pass in 0..passes {
        stream.rebase(pass as i64);
        for (subject, payload) in frames(stream) {
            encode::publish(&mut batch, subject, None, payload);
            published += 1;
            if batch.len() >= batch_bytes {
                publisher.write(&batch).expect("the server takes them");
                batch.clear();
                let due = Duration::from_nanos(published * NANOS_PER_SECOND as u64 / per_second);
                std::thread::sleep(due.saturating_sub(start.elapsed()));
            }
        }
    }
    publisher.write(&batch).expect("the server takes them");
    publisher.flush().expect("the server answers");
    let publishing = start.elapsed();
    let (mut events, mut last, mut busy) = (consumer.events(), Instant::now(), start.elapsed());
    while events < passes * stream.event_count && last.elapsed() < silence {
        std::thread::sleep(ASKED_EVERY);
        let now = consumer.events();
        if now != events {
            (events, last, busy) = (now, Instant::now(), start.elapsed());
        }
    }
    Flood { publishing, cpu_ns: consumer.process().cpu_ns() - cpu_before, events, busy }
}

/// Subjects and payloads.
fn frames(stream: &Stream) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = &stream.bytes[..];
    std::iter::from_fn(move || match decode_server_op(rest, &DecodeLimits::default()) {
        Ok(Decoded::Op { op: ServerOp::Msg(message), len }) => {
            rest = &rest[len..];
            Some((message.subject, message.payload))
        }
        _ => None,
    })
}

/// The first that is traded.
fn symbol(stream: &Stream) -> String {
    let mut traded = frames(stream).filter_map(|(subject, _)| subject.strip_prefix(b"md.events.trade."));
    String::from_utf8_lossy(traded.next().expect("the recording has trades")).into_owned()
}

/// How long each request took, sorted.
fn ask(address: &str, symbol: &str, is_over: &AtomicBool) -> Vec<Duration> {
    let targets = ["/metrics".to_owned(), format!("/features/latest?symbol={symbol}")];
    let begin = Instant::now();
    // The symbol must be there before the first request for it.
    std::thread::sleep(Duration::from_millis(100));
    let mut times = Vec::new();
    for (number, target) in (5u32..).zip(targets.iter().cycle()) {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep((HTTP_INTERVAL * number).saturating_sub(begin.elapsed()));
        let start = Instant::now();
        let (status, body) = get(address, target).expect("the service answers");
        times.push(start.elapsed());
        assert_eq!(status, 200, "{target}: {body}");
    }
    times.sort_unstable();
    times
}
