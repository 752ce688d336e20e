//! `generate`: the demo's market as a recording.
//!
//! A file is written under another name in the same folder, and takes its place when it is whole: an error, a full disk
//! or ctrl-C leaves what was there before. A device or a pipe has no whole, and is written as it is.
//!
//! The market begins at [`START`], whatever the time of day is, so that a seed's bytes are the same for ever.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::Ordering;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::config::GenerateArgs;
use crate::engine::time::{NANOS_PER_SECOND, UnixNanos, encode_time};
use crate::market::generator::Market;
use crate::runtime::log_text::plain;
use crate::runtime::logging::Report;
use crate::runtime::progress::Progress;
use crate::runtime::signals;

/// 2026-01-01T00:00:00Z
pub const START: UnixNanos = UnixNanos(1_767_225_600 * NANOS_PER_SECOND);
const SUBJECT_PREFIX: &str = "md.events";
/// From market-data-service's publication to local receipt, which is a record's `ts`.
const TRANSIT_NS: i64 = 200_000;
const BUFFER_BYTES: usize = 1 << 16;
/// Between two looks at the clock and the stop flag.
const EVENTS_BETWEEN_LOOKS: u64 = 4096;

/// Which recording.
#[derive(Debug, Clone, Copy)]
pub struct Recording {
    /// The same seed gives the same market.
    pub seed: u64,
    /// Its length.
    pub event_count: u64,
    /// Listings that are traded.
    pub symbol_count: usize,
}

/// Writes the recording that is asked for; `.gz` by the file's name. The error is one line.
pub fn run(args: &GenerateArgs) -> Result<(), String> {
    let stopped = signals::stop_flag()?;
    let GenerateArgs { file, seed, events, symbols, .. } = args;
    let recording = Recording { seed: *seed, event_count: *events, symbol_count: *symbols };
    let to_stdout = file.as_path() == Path::new("-");
    let mut progress = Progress::writing(file);
    let mut look = |event_count| match stopped.load(Ordering::Relaxed) {
        true => Err(io::Error::other("stopped before it was whole")),
        false => {
            progress.show(Some(event_count as f64 / *events as f64), || format!("{event_count} events"));
            Ok(())
        }
    };
    let written = match to_stdout {
        true => recording.write(&mut io::stdout().lock(), &mut look),
        false if file.extension().is_some_and(|extension| extension == "gz") => replace(file, |out| {
            let mut gzip = GzEncoder::new(out, Compression::default());
            let length_ns = recording.write(&mut gzip, &mut look)?;
            gzip.finish()?;
            Ok(length_ns)
        }),
        false => replace(file, |out| recording.write(out, &mut look)),
    };
    drop(progress);
    let length_ns = written.map_err(|error| format!("cannot write {}: {}", file.display(), plain(&error)))?;
    let seconds = length_ns as f64 / NANOS_PER_SECOND as f64;
    let _ = writeln!(Report::default(), "{events} events, {seconds:.1} s of {symbols} symbols, seed {seed}");
    Ok(())
}

impl Recording {
    /// Its lines; says how many ns there are between its begin and its last event. Now and then `look` is told how many
    /// events are written; its error is the end.
    pub fn write(&self, out: &mut dyn Write, mut look: impl FnMut(u64) -> io::Result<()>) -> io::Result<i64> {
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
        let mut market = Market::with_symbols(self.seed, SUBJECT_PREFIX, self.symbol_count);
        let (mut payload, mut length_ns) = (Vec::new(), 0);
        for event_count in 0..self.event_count {
            if event_count % EVENTS_BETWEEN_LOOKS == 0 {
                look(event_count)?;
            }
            let event = market.next_event(START, &mut payload);
            length_ns = event.offset;
            // Subjects here hold nothing that JSON escapes.
            for part in [
                b"{\"ts\":\"",
                &encode_time(START.plus(event.offset + TRANSIT_NS))[..],
                b"\",\"subject\":\"",
                event.subject.as_bytes(),
                b"\",\"payload\":",
                &payload,
                b"}\n",
            ] {
                out.write_all(part)?;
            }
        }
        // What is dropped with an error is not tried again.
        out.flush()?;
        Ok(length_ns)
    }
}

/// Writes a file that takes its place when it is whole.
fn replace<T>(file: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> io::Result<T> {
    // A symbolic link stays, and the file it points to is replaced.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let before = match fs::metadata(&file) {
        Ok(metadata) if metadata.is_dir() => return Err(ErrorKind::IsADirectory.into()),
        Ok(metadata) => {
            // One that may not be written is not to be replaced, either.
            let mut present = OpenOptions::new().write(true).open(&file)?;
            if !metadata.is_file() {
                return write(&mut present);
            }
            Some(metadata)
        }
        Err(_) => None,
    };
    let mut name = file.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = file.with_file_name(name);
    let written = (|| {
        let mut out = File::create_new(&part)?;
        let written = write(&mut out)?;
        if let Some(before) = before {
            out.set_permissions(before.permissions())?;
        }
        out.sync_all()?;
        fs::rename(&part, &file)?;
        Ok(written)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}
