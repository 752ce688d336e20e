//! `bench`: how fast this machine is. The recording as the bytes that nats-server would send goes through the receive buffer,
//! protocol, decoding, engine and outputs, over and over; nothing but the socket is missing.
//!
//! Each pass moves the recording's timestamps on, as if it went on for ever, outside the measurement. The cost of an event
//! is the time of a pass over its events. Single events are timed in passes of their own, every other one, as reading the
//! clock twice costs about as much as a tenth of an event; that cost is measured and taken off. Their times are counted in
//! a histogram, which does not grow, to a thousandth of each.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use proto_nats::encode;
use serde_json::json;

use crate::config::Symbols;
use crate::engine::counters::OutputKind;
use crate::engine::engine::Engine;
use crate::engine::input::receive_buffer::ReceiveBuffer;
use crate::engine::intake::{MalformedCount, take_messages};
use crate::engine::memory::NoMemory;
use crate::engine::ownership::Ownership;
use crate::engine::receipt::Receipt;
use crate::engine::settings::EngineSettings;
use crate::engine::time::NANOS_PER_SECOND;
use crate::recording::looped_frames::Stream;
use crate::runtime::MachineError;
use crate::runtime::clock::Clock;
use crate::runtime::progress::Progress;

/// Bytes given to the receive buffer at once, as one read of a busy socket gives.
const READ_BYTES: usize = 64 << 10;
const SLICE_MESSAGES: u64 = 256;
/// Between two looks at whether the threads have ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Digits of a single event's time that are kept: it is known to a thousandth of itself.
const TIME_DIGITS: u8 = 3;
/// Longest time of a single event that is kept; longer ones count as this.
const TIME_NS_MAX: u64 = 60 * NANOS_PER_SECOND as u64;

/// Whether the process has so many cores; a thread beyond them would count as a core that is not there. The error is one
/// line about the setting.
pub fn check_cores(cores: usize) -> Result<(), String> {
    match std::thread::available_parallelism() {
        Ok(most) if cores > most.get() => {
            let most = most.get();
            Err(format!("CORES is {cores}, accepted for bench is a number from 1 to {most}, the cores that it may use"))
        }
        _ => Ok(()),
    }
}

/// Runs the bench on `cores` threads; the report is one JSON line. Lines of the recording that are no events are reported
/// on `log`.
pub fn bench(
    file: &Path,
    duration_ns: i64,
    cores: usize,
    symbols: &Symbols,
    queue_bytes: usize,
    settings: EngineSettings,
    mut log: impl Write,
) -> Result<String, String> {
    let stream = Stream::load(file, symbols, &settings.subject_prefix, u64::MAX, &mut log)?;
    if stream.event_count == 0 {
        return Err(format!("{} holds no events to run", file.display()));
    }
    let reserve = |_| {
        let no_memory = |no_memory: NoMemory| no_memory.to_string();
        let engine = Engine::new(settings.clone()).map_err(no_memory)?;
        let receive_buffer = ReceiveBuffer::new(queue_bytes.max(4 * READ_BYTES)).map_err(no_memory)?;
        Ok((stream.try_clone()?, engine, receive_buffer))
    };
    let reserved = (0..cores).map(reserve).collect::<Result<Vec<_>, String>>()?;
    let is_stopped = &AtomicBool::new(false);
    let results: Vec<Measured> = std::thread::scope(|scope| {
        let start = |(stream, engine, receive_buffer)| {
            let run = move || measure(stream, duration_ns as u64, engine, receive_buffer, is_stopped);
            std::thread::Builder::new().spawn_scoped(scope, run)
        };
        let threads: Vec<_> = reserved.into_iter().map(start).collect::<Result<_, _>>().map_err(|error| {
            // Those that run are waited for.
            is_stopped.store(true, Ordering::Relaxed);
            MachineError::NoThread(error)
        })?;
        let (clock, mut progress) = (Clock::start(), Progress::start());
        while threads.iter().any(|thread| !thread.is_finished()) {
            std::thread::sleep(LOOK_INTERVAL);
            // Preparing each pass takes time as well, and is not counted.
            progress.show(Some(clock.elapsed_ns() as f64 / duration_ns as f64), || format!("{cores} cores"));
        }
        drop(progress);
        threads
            .into_iter()
            .map(|thread| {
                thread.join().map_err(|_| {
                    "a bench thread ended in an internal error: please report the lines above as a bug".to_owned()
                })
            })
            .collect::<Result<_, String>>()
    })?;
    let sum = |figure: fn(&Measured) -> u64| results.iter().map(figure).sum::<u64>();
    let mut singles_ns = new_histogram();
    results.iter().for_each(|result| singles_ns.add(&result.singles_ns).expect("all have the same bounds"));
    let (events, busy_ns) = (sum(|r| r.events), sum(|r| r.busy_ns));
    let report = json!({
        "events": events,
        "published": sum(|r| r.published),
        "signals": sum(|r| r.signals),
        "ns_per_event": busy_ns as f64 / events as f64,
        "p50_ns": singles_ns.value_at_quantile(0.5),
        "p99_ns": singles_ns.value_at_quantile(0.99),
        "max_ns": singles_ns.max(),
        "events_per_second": events as f64 * cores as f64 / busy_ns as f64 * NANOS_PER_SECOND as f64,
        "malformed": sum(|r| r.malformed),
        "cores": cores,
        "bytes_per_event": stream.bytes.len() as f64 / stream.event_count as f64,
    });
    Ok(report.to_string())
}

/// What a thread has measured. Counts are those of the passes that `busy_ns` is the time of.
struct Measured {
    events: u64,
    busy_ns: u64,
    published: u64,
    signals: u64,
    malformed: u64,
    singles_ns: Histogram<u64>,
}

fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_max(TIME_NS_MAX, TIME_DIGITS).expect("these are bounds that it takes")
}

fn measure(
    mut stream: Stream,
    duration_ns: u64,
    mut engine: Engine,
    mut receive_buffer: ReceiveBuffer,
    is_stopped: &AtomicBool,
) -> Measured {
    let clock = Clock::start();
    let mut encoded = Vec::with_capacity(4 * READ_BYTES);
    let mut measured =
        Measured { events: 0, busy_ns: 0, published: 0, signals: 0, malformed: 0, singles_ns: new_histogram() };
    let clock_cost_ns = clock_cost_ns(&clock);
    let mut pass = 0;
    let mut spent_ns = 0;
    // The first pass warms up: symbols, windows and pages come to be.
    while (pass < 3 || spent_ns < duration_ns) && !is_stopped.load(Ordering::Relaxed) {
        stream.rebase(pass);
        let start_ns = clock.elapsed_ns();
        let is_timed_singly = pass % 2 == 0;
        let slice = if is_timed_singly { 1 } else { SLICE_MESSAGES };
        let mut observer = MalformedCount::default();
        let mut outputs = [0; OutputKind::ALL.len()];
        for mut part in stream.bytes.chunks(READ_BYTES) {
            // The receive buffer may hold the beginning of a message that is nearly as large as itself.
            while !part.is_empty() {
                let taken = receive_buffer.push(part);
                assert!(taken > 0, "a receive buffer that is drained has room: no message in it is larger than itself");
                part = &part[taken..];
                loop {
                    let before_ns = if is_timed_singly { clock.elapsed_ns() } else { 0 };
                    let round = take_messages(
                        &mut engine,
                        &mut receive_buffer,
                        Ownership::ALL,
                        Receipt::Unrecorded,
                        slice,
                        &mut observer,
                    )
                    .expect("the bench writes the protocol right");
                    publish(&mut engine, &mut encoded, &mut outputs);
                    if is_timed_singly && pass > 0 && round.messages == 1 {
                        measured
                            .singles_ns
                            .saturating_record((clock.elapsed_ns() - before_ns).saturating_sub(clock_cost_ns));
                    }
                    if round.is_drained {
                        break;
                    }
                }
            }
        }
        let pass_ns = clock.elapsed_ns() - start_ns;
        spent_ns += pass_ns;
        if !is_timed_singly {
            measured.events += stream.event_count;
            measured.busy_ns += pass_ns;
            measured.published += outputs[OutputKind::Features as usize];
            measured.signals += outputs[OutputKind::Signal as usize];
            measured.malformed += observer.malformed;
        }
        pass += 1;
    }
    measured
}

/// Encodes what there is to publish, as PUB frames into a buffer that is thrown away when it is full.
#[inline]
fn publish(engine: &mut Engine, encoded: &mut Vec<u8>, outputs: &mut [u64; OutputKind::ALL.len()]) {
    while let Some(message) = engine.poll_output() {
        outputs[message.topic.kind() as usize] += 1;
        encode::publish(encoded, message.subject, None, message.payload);
        if encoded.len() > 2 * READ_BYTES {
            encoded.clear();
        }
    }
}

/// What reading the clock twice takes, at least.
fn clock_cost_ns(clock: &Clock) -> u64 {
    let between = || {
        let before_ns = clock.elapsed_ns();
        clock.elapsed_ns() - before_ns
    };
    (0..1_000).map(|_| between()).min().unwrap_or(0)
}
