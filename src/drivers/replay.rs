//! `replay`: recorded events through the engine as fast as it goes, what would have been published to standard output.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::clock::Clock;
use super::recording::RecordReader;
use crate::config::Symbols;
use crate::engine::counters::DropReason;
use crate::engine::engine::{Engine, EngineSettings, Receipt};
use crate::engine::subject::{EventKind, split_subject};

/// What a replay came to.
pub struct Summary {
    pub events: u64,
    pub lines_skipped: u64,
    pub snapshots: u64,
    pub signals: u64,
}

/// Replays `file` into `out`, with problems and a summary on `log`. An error is one line for the user.
pub fn replay(
    file: &Path,
    strict: bool,
    symbols: &Symbols,
    settings: EngineSettings,
    out: impl Write,
    mut log: impl Write,
) -> Result<Summary, String> {
    let reading = |error: io::Error| format!("cannot read {}: {error}", file.display());
    let mut reader = RecordReader::open(file).map_err(reading)?;
    let mut engine = Engine::new(settings).map_err(|no_memory| no_memory.to_string())?;
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let mut summary = Summary { events: 0, lines_skipped: 0, snapshots: 0, signals: 0 };
    let clock = Clock::start();
    while let Some(record) = reader.next_record().map_err(reading)? {
        let record = match record {
            Ok(record) => record,
            Err(no_record) if strict => return Err(format!("{}: {no_record}", file.display())),
            Err(no_record) => {
                summary.lines_skipped += 1;
                let _ = writeln!(log, "{}: {no_record}; skipped", file.display());
                continue;
            }
        };
        if !is_wanted(symbols, record.subject, engine.subject_prefix()) {
            continue;
        }
        summary.events += 1;
        let receipt = record.ts.map_or(Receipt::Unrecorded, Receipt::At);
        // Malformed events are counted, and shown in the summary.
        let _ = engine.handle_event(record.subject.as_bytes(), record.payload, receipt);
        write_outputs(&mut engine, &mut out, &mut summary)?;
    }
    engine.finish();
    write_outputs(&mut engine, &mut out, &mut summary)?;
    out.flush().map_err(writing)?;

    let seconds = clock.elapsed_ns() as f64 / 1e9;
    let dropped = DropReason::ALL.map(|reason| {
        let count: u64 = EventKind::ALL.iter().map(|kind| engine.counters.dropped(reason, *kind)).sum();
        format!("{} {count}", reason.name())
    });
    let _ = writeln!(
        log,
        "{} events, {} snapshots, {} signals; dropped: {}; {} lines skipped; {seconds:.3} s, {:.0} events/s",
        summary.events,
        summary.snapshots,
        summary.signals,
        dropped.join(", "),
        summary.lines_skipped,
        summary.events as f64 / seconds.max(1e-9),
    );
    Ok(summary)
}

/// Whether a service that follows `symbols` would have subscribed to this.
pub fn is_wanted(symbols: &Symbols, subject: &str, prefix: &[u8]) -> bool {
    let (kind, symbol) = split_subject(subject.as_bytes(), prefix);
    symbols.is_all() || kind == EventKind::Heartbeat || symbols.0.iter().any(|wanted| wanted.as_bytes() == symbol)
}

fn write_outputs(engine: &mut Engine, out: &mut impl Write, summary: &mut Summary) -> Result<(), String> {
    use crate::engine::counters::OutputKind;
    while let Some(message) = engine.poll_output() {
        match message.kind {
            OutputKind::Features => summary.snapshots += 1,
            OutputKind::Signal => summary.signals += 1,
        }
        // Subjects hold a symbol, which may hold what JSON escapes.
        let subject = std::str::from_utf8(message.subject).expect("symbols are text");
        out.write_all(b"{\"subject\":")
            .and_then(|()| serde_json::to_writer(&mut *out, subject).map_err(io::Error::from))
            .and_then(|()| out.write_all(b",\"payload\":"))
            .and_then(|()| out.write_all(message.payload))
            .and_then(|()| out.write_all(b"}\n"))
            .map_err(writing)?;
    }
    Ok(())
}

fn writing(error: io::Error) -> String {
    format!("cannot write the output: {error}")
}
