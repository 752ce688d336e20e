//! `record`: what arrives over NATS, as a recording.
//!
//! ```text
//!   socket ──► session ──► lines, a batch at a time ──► queue, bounded ──► file, flushed each second
//!   (this thread)                                                            (a thread of its own)
//! ```
//!
//! The receipt of an event is the moment at which it was read. While the disk takes less than arrives the socket is not read, so
//! that TCP pushes back and the server keeps what is to come; where it gives up on that, as on any other end of a connection,
//! the gap is said, and counted in the summary. What both servers bring of a move is written once.

mod intake;

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::config::RecordArgs;
use crate::engine::time::NANOS_PER_SECOND;
use crate::nats::blocking_session::{BlockingSession, LOOK_INTERVAL};
use crate::nats::credentials::Access;
use crate::nats::error::Complaint;
use crate::nats::session::{Output, SessionSettings};
use crate::recording::writer::RecordFile;
use crate::runtime::MachineError;
use crate::runtime::clock::Clock;
use crate::runtime::log_text::plain;
use crate::runtime::logging::Report;
use crate::runtime::progress::Progress;
use crate::runtime::signals;
use crate::service::overlap::NO_MEMORY;
use intake::{Batch, Intake};

/// Lines are handed to the file's thread when there are so many bytes of them,
const BATCH_BYTES: usize = 256 << 10;
/// or after so long.
const BATCH_INTERVAL_NS: u64 = NANOS_PER_SECOND as u64 / 5;
/// Of lines that wait for the disk; then the socket is not read.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// SPEC section 8: a kill leaves a file that can be read up to the last second.
const FLUSH_INTERVAL: Duration = Duration::from_millis(700);
/// While the socket is not read, between two looks at the queue.
const FULL_LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// Between two looks at the system's clock, which may have stepped.
const CLOCK_INTERVAL_NS: u64 = NANOS_PER_SECOND as u64;
/// As in the service: for the server to answer the drain, and its own `write_deadline`.
const DRAIN_LIMIT_NS: u64 = 2 * NANOS_PER_SECOND as u64;
const WRITE_LIMIT_NS: u64 = 10 * NANOS_PER_SECOND as u64;

/// As [`record`], until SIGINT or SIGTERM at the latest; a second one ends it at once.
pub fn run(args: &RecordArgs, access: &Arc<Access>) -> Result<(), String> {
    let stopped = signals::stop_flag()?;
    record(args, access, &stopped, Report::default())
}

/// Records until the limits, or until `stopped` is set, which is a good end, too. The error is one line; what was written before
/// it can be read.
pub fn record(
    args: &RecordArgs,
    access: &Arc<Access>,
    stopped: &AtomicBool,
    mut log: impl Write,
) -> Result<(), String> {
    let path = &args.file;
    // First the file: nothing is to be connected for one that cannot be written.
    let file = RecordFile::create(path).map_err(|error| creating(path, &error))?;
    let subjects = match &args.subjects[..] {
        [] => vec![format!("{}.>", args.subject_prefix)],
        subjects => subjects.to_vec(),
    };
    let mut intake = Intake::new(args.events.unwrap_or(u64::MAX));
    let mut sockets = match connect(access, subjects.clone(), &mut intake, stopped) {
        Ok(sockets) => sockets,
        Err(error) => {
            discard(path);
            return Err(error);
        }
    };
    let server = sockets.session.server().map(|(server, ..)| server.endpoint()).unwrap_or_default();
    let _ = writeln!(log, "recording {} from NATS {server} to {}", subjects.join(", "), path.display());

    let writer = FileThread::start(file).map_err(|error| error.to_string())?;
    let mut recorder = Recorder {
        intake,
        gaps: Gaps::default(),
        begun_ns: sockets.clock.elapsed_ns(),
        progress: Progress::writing(path),
        log,
    };
    let ended = recorder.run(&mut sockets, &writer, args.duration_ns, stopped);
    drop(recorder.progress);
    let seconds = (sockets.clock.elapsed_ns() - recorder.begun_ns) as f64 / NANOS_PER_SECOND as f64;
    recorder.gaps.slow_consumer_cuts = sockets.session.slow_consumer_cuts();
    sockets.close();
    let written = writer.finish();
    let Intake { altered, .. } = &recorder.intake;
    let rate = written.events as f64 / seconds.max(1e-9);
    let _ = writeln!(
        recorder.log,
        "{} events, {} bytes in {}, {seconds:.3} s, {rate:.0} events/s; {altered}; {}",
        written.events,
        written.bytes,
        path.display(),
        recorder.gaps,
    );
    match written.error {
        Some(error) => Err(format!(
            "cannot write {}: {}; it ends after {} events, {} more have arrived",
            path.display(),
            plain(&error),
            written.events,
            recorder.intake.events - written.events,
        )),
        None => ended,
    }
}

fn creating(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AlreadyExists => {
            format!(
                "{} is there already, and is not overwritten: name another file, or remove that one",
                path.display()
            )
        }
        _ => format!("cannot write {}: {}", path.display(), plain(error)),
    }
}

/// Nothing was recorded: an empty file would stand in the way of the next attempt.
fn discard(path: &Path) {
    if path != Path::new("-") && path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0) {
        let _ = fs::remove_file(path);
    }
}

/// The first connection. That each server is tried once is enough to know that none can be used.
fn connect(
    access: &Arc<Access>,
    subjects: Vec<String>,
    intake: &mut Intake,
    stopped: &AtomicBool,
) -> Result<BlockingSession, String> {
    let settings = SessionSettings {
        servers: access.servers().to_vec(),
        discovers: access.discovers(),
        subjects,
        stream: None,
        seed: None,
        drain_limit_ns: DRAIN_LIMIT_NS,
        write_limit_ns: WRITE_LIMIT_NS,
    };
    let mut sockets =
        BlockingSession::new(access, "record", settings, |_| {}).map_err(|failure| failure.to_string())?;
    while !sockets.session.takes_publications() {
        sockets.check_connecting(stopped).map_err(|failure| failure.to_string())?;
        sockets.exchange(&mut |receipt, message| intake.take(receipt, message));
        while sockets.poll_output().is_some() {}
        sockets.wait(LOOK_INTERVAL);
    }
    sockets.end_connecting();
    match sockets.session.trouble() {
        None => Ok(sockets),
        Some(refused) => Err(refused.to_string()),
    }
}

struct Recorder<L> {
    intake: Intake,
    gaps: Gaps,
    /// On the session's clock.
    begun_ns: u64,
    progress: Progress,
    log: L,
}

impl<L: Write> Recorder<L> {
    fn run(
        &mut self,
        sockets: &mut BlockingSession,
        writer: &FileThread,
        duration_ns: Option<i64>,
        stopped: &AtomicBool,
    ) -> Result<(), String> {
        let end_ns = duration_ns.map_or(u64::MAX, |duration_ns| self.begun_ns + duration_ns as u64);
        let mut clock_due_ns = self.begun_ns + CLOCK_INTERVAL_NS;
        let mut sent_ns = self.begun_ns;
        let ended = loop {
            let now_ns = sockets.clock.elapsed_ns();
            if stopped.load(Ordering::Relaxed) || now_ns >= end_ns {
                // What the server has sent by then still comes.
                sockets.session.begin_stop(now_ns);
            }
            if now_ns >= clock_due_ns {
                clock_due_ns = now_ns + CLOCK_INTERVAL_NS;
                sockets.clock.correct();
            }
            let intake = &mut self.intake;
            sockets.exchange(&mut |receipt, message| intake.take(receipt, message));
            if let Err(refused) = self.handle_outputs(sockets) {
                break Err(refused);
            }
            if sockets.session.is_over() || self.intake.is_full() || writer.has_failed() {
                break Ok(());
            }
            let now_ns = sockets.clock.elapsed_ns();
            if let Some(counts) = self.intake.overlap.poll_over(now_ns) {
                let _ = writeln!(self.log, "{counts}");
            }
            if self.intake.lines.len() >= BATCH_BYTES || now_ns - sent_ns >= BATCH_INTERVAL_NS {
                sent_ns = now_ns;
                writer.send(self.intake.take_batch());
                self.show_progress(now_ns, duration_ns);
            }
            let is_full = writer.queued_bytes() >= QUEUE_BYTES_MAX;
            sockets.pause_reading(is_full);
            // What is in the socket is still taken once there is room, and the end is told then; the gap has begun.
            if is_full && sockets.is_hung_up() {
                self.gaps.begin(now_ns);
            }
            sockets.wait(if is_full { FULL_LOOK_INTERVAL } else { LOOK_INTERVAL });
        };
        writer.send(self.intake.take_batch());
        ended
    }

    /// The error: the server refuses what is to be recorded.
    fn handle_outputs(&mut self, sockets: &mut BlockingSession) -> Result<(), String> {
        while let Some(output) = sockets.poll_output() {
            let now_ns = sockets.clock.elapsed_ns();
            match output {
                Output::Overlap if !self.intake.overlap.begin() => {
                    let _ = writeln!(self.log, "{NO_MEMORY}");
                }
                Output::GiveUp { .. } if !sockets.session.has_successor() => self.intake.overlap.cancel(),
                Output::Serve(_) => self.intake.overlap.begin_comparing(now_ns),
                Output::Close { trouble: Some(_), .. } if !sockets.session.is_over() => self.gaps.begin(now_ns),
                Output::Ready => {
                    if let Some(seconds) = self.gaps.end(now_ns) {
                        let _ = writeln!(
                            self.log,
                            "nothing was recorded for {seconds:.3} s: events published meanwhile are missing, and those that \
                             the server had not delivered yet"
                        );
                    }
                }
                Output::SubscriptionRefused => {
                    if let Some(refused) = sockets.session.trouble() {
                        return Err(refused.to_string());
                    }
                }
                Output::Complaint(error) => sockets.log_complaint(Complaint(&error)),
                Output::Flush => sockets.session.handle_flushed(),
                _ => {}
            }
        }
        Ok(())
    }

    fn show_progress(&mut self, now_ns: u64, duration_ns: Option<i64>) {
        let (events, limit) = (self.intake.events, self.intake.events_max);
        let of_time = duration_ns.map(|duration_ns| (now_ns - self.begun_ns) as f64 / duration_ns as f64);
        let of_events = (limit < u64::MAX).then(|| events as f64 / limit as f64);
        let done = of_time.into_iter().chain(of_events).reduce(f64::max);
        self.progress.show(done, || format!("{events} events"));
    }
}

/// Times without a connection.
#[derive(Default)]
struct Gaps {
    begun_ns: Option<u64>,
    count: u64,
    seconds: f64,
    slow_consumer_cuts: u64,
}

impl Gaps {
    fn begin(&mut self, now_ns: u64) {
        self.begun_ns.get_or_insert(now_ns);
    }

    /// How long it was, in seconds; `None` where there was none.
    fn end(&mut self, now_ns: u64) -> Option<f64> {
        let seconds = (now_ns - self.begun_ns.take()?) as f64 / NANOS_PER_SECOND as f64;
        self.count += 1;
        self.seconds += seconds;
        Some(seconds)
    }
}

impl fmt::Display for Gaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gaps { begun_ns, count, seconds, slow_consumer_cuts } = self;
        match (count, begun_ns) {
            (0, None) => f.write_str("no gaps")?,
            (0, Some(_)) => f.write_str("a gap at the end")?,
            (count, None) => write!(f, "gaps: {count}, of {seconds:.3} s together")?,
            (count, Some(_)) => write!(f, "gaps: {count}, of {seconds:.3} s together, and one at the end")?,
        }
        match slow_consumer_cuts {
            0 => Ok(()),
            cuts => write!(f, "; cut as a slow consumer: {cuts}, and events may be lost with each"),
        }
    }
}

/// Writes batches in their order.
struct FileThread {
    batches: Sender<Batch>,
    /// Of lines that are not in the file yet.
    queued_bytes: Arc<AtomicUsize>,
    thread: JoinHandle<Written>,
}

/// What is in the file, and can be read.
struct Written {
    events: u64,
    bytes: u64,
    error: Option<io::Error>,
}

impl FileThread {
    fn start(mut file: RecordFile) -> Result<FileThread, MachineError> {
        let (batches, queue) = channel();
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let kept = queued_bytes.clone();
        let write = move || {
            let error = write_all(&mut file, &queue, &kept).err();
            Written { events: file.event_count(), bytes: file.len_bytes(), error }
        };
        let thread = std::thread::Builder::new().name("recording".to_owned()).spawn(write);
        Ok(FileThread { batches, queued_bytes, thread: thread.map_err(MachineError::NoThread)? })
    }

    fn send(&self, batch: Batch) {
        if batch.lines.is_empty() {
            return;
        }
        self.queued_bytes.fetch_add(batch.lines.len(), Ordering::Relaxed);
        // After an error nothing takes it, and that is told at the end.
        let _ = self.batches.send(batch);
    }

    fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::Relaxed)
    }

    /// It has ended before the last batch: nothing more is written.
    fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    fn finish(self) -> Written {
        let FileThread { batches, thread, .. } = self;
        drop(batches);
        thread.join().unwrap_or_else(|_| Written {
            events: 0,
            bytes: 0,
            error: Some(io::Error::other(
                "its thread ended in an internal error: please report the lines above as a bug",
            )),
        })
    }
}

/// Until no more batches can come.
fn write_all(file: &mut RecordFile, queue: &Receiver<Batch>, queued_bytes: &AtomicUsize) -> io::Result<()> {
    let clock = Clock::start();
    let mut flushed_ns = 0;
    loop {
        let since_flush = Duration::from_nanos(clock.elapsed_ns() - flushed_ns);
        match queue.recv_timeout(FLUSH_INTERVAL.saturating_sub(since_flush)) {
            Ok(batch) => {
                file.write(&batch.lines, batch.events)?;
                queued_bytes.fetch_sub(batch.lines.len(), Ordering::Relaxed);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return file.finish(),
        }
        if clock.elapsed_ns() - flushed_ns >= FLUSH_INTERVAL.as_nanos() as u64 {
            file.flush()?;
            flushed_ns = clock.elapsed_ns();
        }
    }
}
