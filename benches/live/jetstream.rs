//! The service reading a stream, in turns with a bare async-nats pull consumer that throws the messages away (or answers
//! them, where latency is measured), on the same server. `benches/jetstream.sh` runs it.
//!
//! ```text
//!   a minute of a market ──► stream on nats-server ──┬──► senpai-md-consumer
//!                                                    └──► this program again: async-nats, pulls without acknowledgements
//! ```

use std::path::Path;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::{self, stream};
use futures_lite::StreamExt;
use senpai_md_consumer::recording::looped_frames::Stream;
use tokio::runtime::{Builder, Runtime};

use super::flood;
use super::latency::{Probe, Route, SNAPSHOT_BYTES};
use super::processes::{Consumer, JETSTREAM, NatsServer, Puller, Service, eventually};
use super::resources::publish_minute;

const ROUNDS: usize = 3;
const FLOOD_ROUNDS: usize = 5;
const FLOOD_EVENTS: u64 = 1_200_000;
const STREAM: &str = "MD_EVENTS";
/// A minute of 20,000 events a second.
const SYMBOLS: usize = 100;
const TRADES: usize = 6_000;
const QUOTES: usize = 6_000;
/// The most that async-nats asks for at a time: with its default of 200 it is slower.
const BATCH: usize = 10_000;
/// A count is written after so many messages, and when nothing waits.
const COUNT_EVERY: u64 = 50_000;
/// Where not all is taken, nothing more comes when nothing has come for this long: a busy server stores first, then delivers.
const SILENCE: Duration = Duration::from_secs(10);
/// Ten times what a stream is meant for, and less than this server can store and deliver on two cores. Half of it as well.
const FLOOD_PER_SECOND: u64 = 200_000;
const LATENCY_TRADES: usize = 600;
const LATENCY_GAP: Duration = Duration::from_millis(10);

/// Of what is published faster than it is stored, nats-server drops what is more than 10,000 messages, or what this says.
const CONFIGURATION: &str =
    "jetstream { store_dir: store, max_mem: 8GB, max_file: 8GB, max_buffered_msgs: 10000000, max_buffered_size: 4GB }";
const SERVICE: Route =
    Route { name: "service", prefix: "md.events", answers: "senpai.features", symbol: "S", answers_by_symbol: true };
const BARE: Route =
    Route { name: "bare async-nats", prefix: "bare", answers: "answered", symbol: "B", answers_by_symbol: false };

/// `market`: of the other floods.
pub fn jetstream(binary: &Path, market: &mut Stream) {
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let configuration = directory.path().join("configuration");
    std::fs::write(&configuration, CONFIGURATION).expect("a file");
    let server = NatsServer::start_with(binary, &["-c", configuration.to_str().expect("a path that is text")]);
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    catch_up(&server, &runtime);
    latency(&server, &runtime);
    flood(&server, &runtime, market);
}

/// Empty, whatever it held.
fn make_stream(server: &NatsServer, runtime: &Runtime, subjects: &[&str]) {
    runtime.block_on(async {
        let client = async_nats::connect(server.url()).await.expect("the server takes clients");
        let context = jetstream::new(client);
        let _ = context.delete_stream(STREAM).await;
        let config = stream::Config {
            name: STREAM.to_owned(),
            subjects: subjects.iter().map(|subject| (*subject).to_owned()).collect(),
            storage: stream::StorageType::Memory,
            ..stream::Config::default()
        };
        context.create_stream(config).await.expect("the server makes it");
    });
}

fn stored(server: &NatsServer, runtime: &Runtime) -> u64 {
    runtime.block_on(async {
        let client = async_nats::connect(server.url()).await.expect("the server takes clients");
        let mut stream = jetstream::new(client).get_stream(STREAM).await.expect("it is there");
        stream.info().await.expect("the server answers").state.messages
    })
}

/// From a process's start to all of the minute being read; the service is ready then, too.
fn catch_up(server: &NatsServer, runtime: &Runtime) {
    println!("\nCatching up with a minute of 20,000 events a second, from the start of the process on");
    println!("{:<24}{:>12}{:>10}{:>14}{:>12}", "", "events", "s", "events/s", "ready s");
    let mut rates: [Vec<f64>; 2] = Default::default();
    for _ in 0..ROUNDS {
        // What is older than a window and 10 s is not read, so it is always fresh.
        make_stream(server, runtime, &["md.events.>"]);
        let events = publish_minute(server, SYMBOLS, TRADES, QUOTES);
        eventually("all is stored", || (stored(server, runtime) == events).then_some(()));
        let begun = Instant::now();
        let service = Service::start(server, &[JETSTREAM]);
        let ready = begun.elapsed();
        eventually("all is read", || (service.events() >= events).then_some(()));
        rates[0].push(row("service", events, begun.elapsed(), Some(ready)));
        drop(service);
        let begun = Instant::now();
        let bare = Puller::start(server, "md.events.>");
        eventually("all is read", || (bare.events() >= events).then_some(()));
        rates[1].push(row("bare async-nats", events, begun.elapsed(), None));
    }
    let [ours, bare] = rates.map(median);
    println!("service / bare: {:.2} times as fast", ours / bare);
}

fn row(name: &str, events: u64, took: Duration, ready: Option<Duration>) -> f64 {
    let rate = events as f64 / took.as_secs_f64();
    let ready = ready.map_or("-".to_owned(), |ready| format!("{:.2}", ready.as_secs_f64()));
    println!("{name:<24}{events:>12}{:>10.2}{rate:>14.0}{ready:>12}", took.as_secs_f64());
    rate
}

/// From a trade's publication to the snapshot, or to the answer of as many bytes.
fn latency(server: &NatsServer, runtime: &Runtime) {
    println!("\nLatency through the stream, us from trade to snapshot or answer, one each some 20 ms");
    println!("{:<24}{:>8}{:>10}{:>10}{:>10}", "", "trades", "p50", "p90", "p99");
    make_stream(server, runtime, &["md.events.>", "bare.>"]);
    let _service = Service::start(server, &[JETSTREAM]);
    let _bare = Puller::start(server, "bare.>");
    let mut probe = Probe::start(server, 20, &[BARE.answers]);
    let mut measured = Vec::new();
    for _ in 0..ROUNDS {
        probe.measure(&[BARE, SERVICE], LATENCY_TRADES, LATENCY_GAP, &mut measured);
    }
    let mut medians = Vec::new();
    for (route, mut times) in measured {
        times.sort_unstable();
        let us = |q: f64| times[((times.len() as f64 * q).ceil() as usize).saturating_sub(1)] as f64 / 1e3;
        println!("{:<24}{:>8}{:>10.1}{:>10.1}{:>10.1}", route.name, times.len(), us(0.5), us(0.9), us(0.99));
        medians.push(us(0.5));
    }
    println!("service - bare: {:.1} us at the median", medians[1] - medians[0]);
}

/// A service that is ready, and the market of the other floods through the server, which stores it in either case. As fast as
/// it goes, core NATS brings the events evenly, and the stream first few of them, then those that have become late, in small
/// pieces.
fn flood(server: &NatsServer, runtime: &Runtime, market: &mut Stream) {
    let passes = FLOOD_EVENTS.div_ceil(market.event_count);
    for per_second in [u64::MAX, FLOOD_PER_SECOND, FLOOD_PER_SECOND / 2] {
        let rate =
            if per_second == u64::MAX { "as fast as they go".to_owned() } else { format!("{per_second} a second") };
        println!("\nFlood, {rate}: CPU ns an event");
        println!("{:<24}{:>12}{:>14}{:>14}", "", "taken", "taken/s", "CPU ns/event");
        let mut costs: [Vec<f64>; 2] = Default::default();
        for _ in 0..FLOOD_ROUNDS {
            for (cost, (name, flags)) in costs.iter_mut().zip([("core", &[][..]), ("JetStream", &[JETSTREAM][..])]) {
                make_stream(server, runtime, &["md.events.>"]);
                let service = Service::start(server, flags);
                let flood = flood::run(server, &service, market, passes, per_second, SILENCE);
                cost.push(flood.cpu_ns as f64 / flood.events as f64);
                let cost = cost.last().expect("it was measured");
                println!("{name:<24}{:>12}{:>14.0}{cost:>14.0}", flood.events, flood.per_second());
            }
        }
        let [core, stream] = costs.map(median);
        println!("JetStream / core: {:.2} times the CPU", stream / core);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What the bare consumer's process does until it is killed: what is on `filter` is pulled, counted, and answered where it
/// is not the market's.
pub fn pull(port: u16, filter: &str) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ended: Result<(), async_nats::Error> = runtime.block_on(async {
        let client = async_nats::connect(format!("nats://127.0.0.1:{port}")).await?;
        let stream = jetstream::new(client.clone()).get_stream(STREAM).await?;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::None,
            filter_subject: filter.to_owned(),
            memory_storage: true,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await?;
        let mut messages = consumer.stream().max_messages_per_batch(BATCH).messages().await?;
        let is_answered = filter == format!("{}.>", BARE.prefix);
        println!("ready");
        let mut count = 0;
        while let Some(message) = messages.next().await {
            let message = message?;
            count += 1;
            if is_answered {
                client.publish(BARE.answers, vec![b'x'; SNAPSHOT_BYTES].into()).await?;
            } else if count % COUNT_EVERY == 0 || message.info()?.pending == 0 {
                println!("{count}");
            }
        }
        Ok(())
    });
    if let Err(error) = ended {
        eprintln!("the bare consumer: {error}");
    }
}
