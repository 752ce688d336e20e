//! `bench`: what this machine takes. The recording as the bytes that nats-server would send goes through queue,
//! protocol, decoding, engine and outputs, over and over; nothing but the socket is missing.
//!
//! Each pass moves the recording's timestamps on, as if it went on for ever, outside the measurement. The cost of an event
//! is the time of a pass over its events. Single events are timed in passes of their own, every other one, as reading the
//! clock twice costs about as much as a tenth of an event; that cost is measured and taken off.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use proto_nats::encode;
use serde_json::json;

use super::clock::Clock;
use super::kernel::why_no_thread;
use super::stream::Stream;
use crate::config::Symbols;
use crate::engine::counters::OutputKind;
use crate::engine::engine::{Engine, EngineSettings, Receipt};
use crate::engine::intake::{Ownership, Unwitnessed, take_messages};
use crate::engine::memory::NoMemory;
use crate::engine::queue::Queue;

/// Bytes given to the queue at once, as one read of a busy socket gives.
const READ_BYTES: usize = 64 << 10;
const SLICE_MESSAGES: u64 = 256;

/// Runs the bench on `cores` threads; the report is one JSON line.
pub fn bench(
    file: &Path,
    duration_ns: i64,
    cores: usize,
    symbols: &Symbols,
    queue_bytes: usize,
    settings: EngineSettings,
) -> Result<String, String> {
    let stream = Stream::load(file, symbols, &settings.subject_prefix, u64::MAX)?;
    if stream.event_count == 0 {
        return Err(format!("{} holds no events to run", file.display()));
    }
    let reserve = |_| {
        let queue = Queue::new(queue_bytes.max(4 * READ_BYTES))?;
        Ok((stream.clone(), Engine::new(settings.clone())?, queue))
    };
    let reserved = (0..cores).map(reserve).collect::<Result<Vec<_>, NoMemory>>();
    let reserved = reserved.map_err(|no_memory| no_memory.to_string())?;
    let is_stopped = &AtomicBool::new(false);
    let results: Vec<Measured> = std::thread::scope(|scope| {
        let start = |(stream, engine, queue)| {
            let run = move || measure(stream, duration_ns as u64, engine, queue, is_stopped);
            std::thread::Builder::new().spawn_scoped(scope, run)
        };
        let threads = reserved.into_iter().map(start).collect::<Result<Vec<_>, _>>().map_err(|error| {
            // Those that run would else be waited for.
            is_stopped.store(true, Ordering::Relaxed);
            why_no_thread(&error)
        })?;
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a bench thread has ended in error".to_owned()))
            .collect::<Result<_, String>>()
    })?;
    let sum = |figure: fn(&Measured) -> u64| results.iter().map(figure).sum::<u64>();
    let mut singles: Vec<u32> = results.iter().flat_map(|result| result.singles_ns.iter().copied()).collect();
    singles.sort_unstable();
    let percentile = |q: f64| singles.get(((singles.len() as f64 * q).ceil() as usize).saturating_sub(1)).copied();
    let (events, busy_ns) = (sum(|r| r.events), sum(|r| r.busy_ns));
    let report = json!({
        "events": events,
        "published": sum(|r| r.published),
        "signals": sum(|r| r.signals),
        "ns_per_event": busy_ns as f64 / events as f64,
        "p50_ns": percentile(0.5),
        "p99_ns": percentile(0.99),
        "max_ns": singles.last(),
        "events_per_second": events as f64 * cores as f64 / busy_ns as f64 * 1e9,
        "malformed": sum(|r| r.malformed),
        "cores": cores,
        "bytes_per_event": stream.bytes.len() as f64 / stream.event_count as f64,
    });
    Ok(report.to_string())
}

#[derive(Default)]
struct Measured {
    events: u64,
    busy_ns: u64,
    published: u64,
    signals: u64,
    malformed: u64,
    singles_ns: Vec<u32>,
}

fn measure(
    mut stream: Stream,
    duration_ns: u64,
    mut engine: Engine,
    mut queue: Queue,
    is_stopped: &AtomicBool,
) -> Measured {
    let clock = Clock::start();
    let mut wire = Vec::with_capacity(4 * READ_BYTES);
    let mut measured = Measured::default();
    let mut witness = Unwitnessed::default();
    let clock_cost_ns = clock_cost_ns(&clock);
    let mut pass = 0;
    let mut spent_ns = 0;
    // The first pass warms up: symbols, windows and pages come to be.
    while (pass < 3 || spent_ns < duration_ns) && !is_stopped.load(Ordering::Relaxed) {
        stream.rebase(pass);
        let start_ns = clock.elapsed_ns();
        let is_timed_singly = pass % 2 == 0;
        let mut outputs = (0, 0);
        for part in stream.bytes.chunks(READ_BYTES) {
            let taken = queue.push(part);
            assert_eq!(taken, part.len(), "the queue has room for a read");
            loop {
                let before_ns = if is_timed_singly { clock.elapsed_ns() } else { 0 };
                let slice = if is_timed_singly { 1 } else { SLICE_MESSAGES };
                let round =
                    take_messages(&mut engine, &mut queue, Ownership::ALL, Receipt::Unrecorded, slice, &mut witness)
                        .expect("the bench writes the protocol right");
                publish(&mut engine, &mut wire, &mut outputs);
                if is_timed_singly && pass > 0 && round.messages == 1 {
                    let single_ns = (clock.elapsed_ns() - before_ns).saturating_sub(clock_cost_ns);
                    measured.singles_ns.push(single_ns.min(u32::MAX as u64) as u32);
                }
                if round.is_drained {
                    break;
                }
            }
        }
        let pass_ns = clock.elapsed_ns() - start_ns;
        spent_ns += pass_ns;
        if !is_timed_singly {
            measured.events += stream.event_count;
            measured.busy_ns += pass_ns;
            measured.published += outputs.0;
            measured.signals += outputs.1;
        }
        pass += 1;
    }
    measured.malformed = witness.malformed;
    measured
}

/// Encodes what there is to publish, as PUB frames into a buffer that is thrown away when it is full.
#[inline]
fn publish(engine: &mut Engine, wire: &mut Vec<u8>, outputs: &mut (u64, u64)) {
    while let Some(message) = engine.poll_output() {
        match message.kind {
            OutputKind::Features => outputs.0 += 1,
            OutputKind::Signal => outputs.1 += 1,
        }
        encode::publish(wire, message.subject, None, message.payload);
        if wire.len() > 2 * READ_BYTES {
            wire.clear();
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
