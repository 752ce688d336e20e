//! `replay`: recorded events through the engine as fast as it goes, what would have been published to standard output.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::config::Symbols;
use crate::engine::counters::{DropReason, OutputKind, Suppression};
use crate::engine::engine::Engine;
use crate::engine::input::subject::EventKind;
use crate::engine::receipt::Receipt;
use crate::engine::settings::EngineSettings;
use crate::engine::time::NANOS_PER_SECOND;
use crate::recording::line_faults::{Fault, FaultyLine, LineFaults};
use crate::recording::reader::{RecordReader, is_wanted};
use crate::runtime::clock::Clock;
use crate::runtime::log_text::plain;
use crate::runtime::progress::Progress;

/// Between two looks at how far it is.
const EVENTS_BETWEEN_LOOKS: u64 = 4096;

/// Replays `file` into `out`, with the lines that are wrong and a summary on `log`. With `strict` the first line that is
/// wrong is the end. An error is one line for the user.
pub fn replay(
    file: &Path,
    strict: bool,
    symbols: &Symbols,
    settings: EngineSettings,
    out: impl Write,
    mut log: impl Write,
) -> Result<(), String> {
    let mut replay = Replay {
        engine: Engine::new(settings).map_err(|no_memory| no_memory.to_string())?,
        out: BufWriter::with_capacity(1 << 16, out),
        outputs: [0; OutputKind::ALL.len()],
        events: 0,
        lines_skipped: 0,
    };
    let mut faults = LineFaults::new(file);
    let clock = Clock::start();
    let ended = replay.run(file, symbols, |faulty| {
        if strict {
            return Err(format!("{}: {faulty}", file.display()));
        }
        faults.note(&faulty, &mut log);
        Ok(())
    });
    // What was published up to an error is written as well.
    replay.engine.stop();
    let ended = ended.and(replay.write_outputs()).and(replay.out.flush().map_err(writing));
    faults.finish(&mut log);
    ended?;
    // The outputs are written, so a summary that cannot be is no error.
    let _ = writeln!(log, "{}", replay.summary(clock.elapsed_ns()));
    Ok(())
}

struct Replay<W: Write> {
    engine: Engine,
    out: BufWriter<W>,
    /// Records written, by kind.
    outputs: [u64; OutputKind::ALL.len()],
    /// Records of the symbols that are followed.
    events: u64,
    lines_skipped: u64,
}

impl<W: Write> Replay<W> {
    /// An error of `note_faulty` ends it.
    fn run(
        &mut self,
        file: &Path,
        symbols: &Symbols,
        mut note_faulty: impl FnMut(FaultyLine) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut reader = RecordReader::open(file)?;
        let mut progress = Progress::beside_results();
        // The next record may be of the same moment.
        self.engine.set_moment_open(true);
        loop {
            if self.events.is_multiple_of(EVENTS_BETWEEN_LOOKS) {
                progress.show(reader.done(), || format!("{} events", self.events));
            }
            let Some(record) = reader.next_record()? else { break };
            let record = match record {
                Ok(record) => record,
                Err(faulty) => {
                    self.lines_skipped += 1;
                    note_faulty(faulty)?;
                    continue;
                }
            };
            if !is_wanted(symbols, record.subject, self.engine.subject_prefix()) {
                continue;
            }
            self.events += 1;
            let receipt = record.ts.map_or(Receipt::Unrecorded, Receipt::At);
            if let Err(malformed) = self.engine.handle_event(record.subject.as_bytes(), record.payload, receipt) {
                let (line, shown) = (record.line, record.subject.to_owned());
                note_faulty(FaultyLine { line, fault: Fault::Malformed(malformed), shown })?;
            }
            self.write_outputs()?;
        }
        self.engine.finish();
        self.write_outputs()
    }

    fn write_outputs(&mut self) -> Result<(), String> {
        let out = &mut self.out;
        while let Some(message) = self.engine.poll_output() {
            self.outputs[message.topic.kind() as usize] += 1;
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

    fn summary(&self, elapsed_ns: u64) -> String {
        let counters = &self.engine.counters;
        let dropped = DropReason::ALL.map(|reason| {
            let count: u64 = EventKind::ALL.iter().map(|kind| counters.dropped(reason, *kind)).sum();
            format!("{} {count}", reason.name())
        });
        let suppressed = Suppression::ALL
            .map(|reason| format!("{} {}", reason.name(), counters.signals_suppressed[reason as usize]));
        let [snapshots, signals, alerts] = OutputKind::ALL.map(|kind| self.outputs[kind as usize]);
        let seconds = elapsed_ns as f64 / NANOS_PER_SECOND as f64;
        format!(
            "{} events, {snapshots} snapshots, {signals} signals, {alerts} alerts; dropped: {}; signals suppressed: {}; \
             timestamps rejected: {}, unreadable: {}; {} lines skipped; {seconds:.3} s, {:.0} events/s",
            self.events,
            dropped.join(", "),
            suppressed.join(", "),
            counters.timestamps_rejected.iter().sum::<u64>(),
            counters.timestamps_unreadable.iter().sum::<u64>(),
            self.lines_skipped,
            self.events as f64 / seconds.max(1e-9),
        )
    }
}

fn writing(error: io::Error) -> String {
    format!("cannot write the output: {}", plain(&error))
}
