//! `feed`: plays a recording to NATS as market-data-service would.
//!
//! ```text
//!   pass 1   first ────── at ────────── last  gap        at: the record's `ts`, else `ts_recv`, else `ts_exchange`
//!   pass 2                                    first ────── at ────────── last
//! ```
//!
//! An event is due when as much time (divided by the speed) has gone by since the start of its pass as lies between the
//! first record's time and its own; records out of order or without a time go with the one before them. A rebased pass
//! moves all of its times by one constant, so that the first pass begins now and each further one where the last ended.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto_nats::{encode, subject::is_valid_subject};

use crate::config::{FeedArgs, Speed};
use crate::engine::time::{NANOS_PER_SECOND, UnixNanos};
use crate::nats::blocking_client::{BlockingClient, ClientError, ClientReport};
use crate::nats::credentials::Access;
use crate::nats::stored_ledger::StoredReport;
use crate::recording::line_faults::{Fault, FaultyLine, LineFaults};
use crate::recording::reader::{Record, RecordReader};
use crate::recording::rebase::{event_time, rebase};
use crate::runtime::clock::Clock;
use crate::runtime::log_text::printable;
use crate::runtime::logging::Report;
use crate::runtime::progress::Progress;
use crate::runtime::signals;

/// Frames are written in batches of this size, where they are not waited for.
const BATCH_BYTES: usize = 128 << 10;
/// Events due this soon go out with those before them: a sleep would last longer.
const NOW_NS: u64 = 50_000;
/// How long a wait goes on without a look at the stop flag.
const NAP: Duration = Duration::from_millis(50);
/// A recording that is played several times is kept in memory.
const TAPE_BYTES_MAX: usize = 4 << 30;
/// nats-server takes control lines up to 4 KiB.
const SUBJECT_BYTES_MAX: usize = 4000;
/// Between two passes whose records all have one time, or none.
const GAP_MIN_NS: i64 = 1_000;

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events published, in all passes.
    pub events: u64,
    /// Times that the recording was played to its end.
    pub passes: u64,
    /// Lines that are no record, or cannot be published.
    pub lines_skipped: u64,
}

/// As [`feed`], until SIGINT or SIGTERM at the latest; a second one ends it at once.
pub fn run(args: &FeedArgs, access: &Arc<Access>) -> Result<(), String> {
    let stopped = signals::stop_flag()?;
    feed(args, access, &stopped, Report::default()).map(drop)
}

/// Plays until the end, or until `stopped` is set, which is a good end, too. With `Ok` everything was handed to a server;
/// what it may not have taken is said.
pub fn feed(args: &FeedArgs, access: &Arc<Access>, stopped: &AtomicBool, log: impl Write) -> Result<Summary, String> {
    let FeedArgs { file, speed, rebase, loops, jetstream, .. } = args;
    // First the file: nothing is to be connected for a recording that is not there.
    let mut reader = RecordReader::open(file)?;
    let client = BlockingClient::connect(access, *jetstream, stopped).map_err(in_words)?;
    let clock = Clock::start();
    let mut player = Player {
        client: &client,
        clock,
        speed: *speed,
        rebases: *rebase,
        stopped,
        log,
        faults: LineFaults::new(file),
        pass: Pass::default(),
        batch: Vec::with_capacity(2 * BATCH_BYTES),
        payload: Vec::new(),
        summary: Summary::default(),
        progress: Progress::start(),
        read_done: None,
        events_in_all: None,
    };
    let _ = writeln!(player.log, "feeding {} to {}", file.display(), client.server());
    if *rebase && !matches!(speed, Speed::Times(speed) if *speed <= 1.0) {
        let _ = writeln!(player.log, "note: faster than recorded, the moved timestamps run ahead of the clock");
    }
    let read = player.play_all(&mut reader, *loops);
    let fed = read.and_then(|()| player.send()).and_then(|()| client.finish(stopped).map_err(in_words));
    drop(player.progress);
    player.faults.finish(&mut player.log);
    let ClientReport { reconnects, maybe_lost, stored } = client.report();
    let again = if reconnects == 1 { "once".to_owned() } else { format!("{reconnects} times") };
    if let Some(StoredReport { stream, stored, duplicates, sequence }) = &stored {
        if *stored > 0 {
            let _ = writeln!(
                player.log,
                "{stored} events are stored in the stream {}, up to sequence {sequence}; connected again {again}; {duplicates} \
                 were published again and stored once; {maybe_lost} are not known to be stored",
                printable(stream),
            );
        }
    } else if reconnects > 0 || maybe_lost > 0 {
        let _ = writeln!(
            player.log,
            "connected again {again}; up to {maybe_lost} events may be lost: a connection ended before the server \
             had confirmed them"
        );
    }
    fed.map_err(|error| match player.summary.events {
        0 => error,
        events => format!("after {events} events: {error}"),
    })?;
    if player.summary.events == 0 && !stopped.load(Ordering::Relaxed) {
        return Err(format!("{} holds nothing to play", file.display()));
    }

    let Summary { events, passes, lines_skipped } = player.summary;
    let seconds = clock.elapsed_ns() as f64 / NANOS_PER_SECOND as f64;
    let _ = writeln!(
        player.log,
        "{events} events in {passes} {}; {lines_skipped} lines skipped; {seconds:.3} s, {:.0} events/s",
        if passes == 1 { "pass" } else { "passes" },
        events as f64 / seconds.max(1e-9),
    );
    Ok(player.summary)
}

/// Every error of a command is one line for the user.
fn in_words(error: ClientError) -> String {
    error.to_string()
}

struct Player<'a, L> {
    client: &'a BlockingClient,
    clock: Clock,
    speed: Speed,
    rebases: bool,
    stopped: &'a AtomicBool,
    log: L,
    faults: LineFaults,
    pass: Pass,
    /// Frames to be written.
    batch: Vec<u8>,
    /// The rebased one.
    payload: Vec<u8>,
    summary: Summary,
    progress: Progress,
    /// Played as it is read: how much of the file is, of 1.0.
    read_done: Option<f64>,
    /// Played from memory: the events of all passes; `None` where there is no last one.
    events_in_all: Option<u64>,
}

/// One time through the recording.
#[derive(Clone, Copy, Default)]
struct Pass {
    /// From the first event that has a time on.
    begun: Option<Begun>,
    events: u64,
}

#[derive(Clone, Copy)]
struct Begun {
    first: UnixNanos,
    /// The largest time so far.
    last: UnixNanos,
    /// On the player's clock.
    start_ns: u64,
    /// From recorded to rebased time.
    shift: i64,
}

impl Pass {
    /// The pass after this one, which is over.
    fn next(&self, speed: Speed) -> Pass {
        let begun = self.begun.map(|begun| {
            let span = begun.last.since(begun.first);
            let gap = (span / self.events.saturating_sub(1).max(1) as i64).max(GAP_MIN_NS);
            let length = span.saturating_add(gap);
            Begun {
                last: begun.first,
                start_ns: begun.start_ns.saturating_add(at_speed(length, speed)),
                shift: begun.shift.saturating_add(length),
                ..begun
            }
        });
        Pass { begun, events: 0 }
    }
}

/// How long `recorded` ns take at a speed.
fn at_speed(recorded: i64, speed: Speed) -> u64 {
    match speed {
        Speed::Max => 0,
        Speed::Times(speed) => (recorded as f64 / speed) as u64,
    }
}

/// A recording in memory, as PUB frames.
#[derive(Default)]
struct Tape {
    frames: Vec<u8>,
    events: Vec<TapeEvent>,
}

struct TapeEvent {
    at: Option<UnixNanos>,
    frame: Range<usize>,
    subject_len: usize,
    payload_len: usize,
}

impl Tape {
    fn push(&mut self, at: Option<UnixNanos>, subject: &str, payload: &[u8]) -> Result<(), String> {
        // The frame's own text is far shorter than what is added here for it.
        let has_room = self.frames.try_reserve(subject.len() + payload.len() + 64).is_ok();
        if !has_room || self.events.try_reserve(1).is_err() {
            let megabytes = self.frames.len() / 1_000_000;
            return Err(format!(
                "a recording that is looped is kept in memory, and there is none beyond {megabytes} MB"
            ));
        }
        let start = self.frames.len();
        encode::publish(&mut self.frames, subject.as_bytes(), None, payload);
        let frame = start..self.frames.len();
        if frame.end > TAPE_BYTES_MAX {
            return Err(format!("a recording that is looped is kept in memory, and may have {TAPE_BYTES_MAX} bytes"));
        }
        self.events.push(TapeEvent { at, frame, subject_len: subject.len(), payload_len: payload.len() });
        Ok(())
    }

    fn subject(&self, event: &TapeEvent) -> &[u8] {
        let start = event.frame.start + b"PUB ".len();
        &self.frames[start..start + event.subject_len]
    }

    fn payload(&self, event: &TapeEvent) -> &[u8] {
        let end = event.frame.end - b"\r\n".len();
        &self.frames[end - event.payload_len..end]
    }
}

impl<L: Write> Player<'_, L> {
    fn play_all(&mut self, reader: &mut RecordReader, loops: u64) -> Result<(), String> {
        let needs_times = self.rebases || self.speed != Speed::Max;
        let mut tape = Tape::default();
        loop {
            let done = reader.done();
            if self.is_stopped() {
                break;
            }
            let Some(record) = reader.next_record()? else { break };
            let Record { ts, subject, payload, .. } = match self.usable(record) {
                Ok(record) => record,
                Err(faulty) => {
                    self.summary.lines_skipped += 1;
                    self.faults.note(&faulty, &mut self.log);
                    continue;
                }
            };
            let at = if needs_times { ts.or_else(|| event_time(payload)) } else { None };
            if loops == 1 {
                self.read_done = done;
                self.begin_event(at)?;
                self.push(subject.as_bytes(), payload)?;
            } else {
                tape.push(at, subject, payload)?;
            }
        }
        self.summary.passes = 1;
        if loops == 1 || self.is_stopped() {
            return Ok(());
        }
        self.events_in_all = (loops > 0).then(|| loops.saturating_mul(tape.events.len() as u64));
        self.play_tape(&tape)?;
        while self.summary.passes != loops && !self.is_stopped() && !tape.events.is_empty() {
            self.summary.passes += 1;
            self.pass = self.pass.next(self.speed);
            self.play_tape(&tape)?;
        }
        Ok(())
    }

    /// What cannot be published would end the connection, or be refused.
    fn usable<'r>(&self, record: Result<Record<'r>, FaultyLine>) -> Result<Record<'r>, FaultyLine> {
        let record = record?;
        let Record { line, subject, payload, .. } = record;
        if !is_valid_subject(subject.as_bytes()) || subject.len() > SUBJECT_BYTES_MAX {
            return Err(FaultyLine { line, fault: Fault::NOT_A_SUBJECT, shown: subject.to_owned() });
        }
        let (bytes, bytes_max) = (payload.len(), self.client.payload_bytes_max());
        if bytes > bytes_max {
            let shown = format!("{bytes} bytes for {subject}, {} takes {bytes_max}", self.client.server());
            return Err(FaultyLine { line, fault: Fault::PAYLOAD_TOO_LARGE, shown });
        }
        Ok(record)
    }

    fn play_tape(&mut self, tape: &Tape) -> Result<(), String> {
        // Nothing to wait for and nothing to change: whole batches as they lie in memory.
        if self.speed == Speed::Max && !self.rebases {
            for events in tape.events.chunks(1024) {
                if self.is_stopped() {
                    break;
                }
                let frames = events[0].frame.start..events[events.len() - 1].frame.end;
                self.client.publish(&tape.frames[frames], self.stopped).map_err(in_words)?;
                self.summary.events += events.len() as u64;
                self.show_progress();
            }
            return Ok(());
        }
        for event in &tape.events {
            if self.is_stopped() {
                break;
            }
            self.begin_event(event.at)?;
            self.push(tape.subject(event), tape.payload(event))?;
        }
        Ok(())
    }

    /// Waits until the event is due.
    fn begin_event(&mut self, at: Option<UnixNanos>) -> Result<(), String> {
        self.pass.events += 1;
        let Some(at) = at else { return Ok(()) };
        let clock = &self.clock;
        let begun = self.pass.begun.get_or_insert_with(|| Begun {
            first: at,
            last: at,
            start_ns: clock.elapsed_ns(),
            shift: clock.now().since(at),
        });
        begun.last = begun.last.max(at);
        if self.speed == Speed::Max {
            return Ok(());
        }
        let due_ns = begun.start_ns.saturating_add(at_speed(at.since(begun.first), self.speed));
        let mut elapsed_ns = self.clock.elapsed_ns();
        if elapsed_ns + NOW_NS < due_ns {
            self.send()?;
        }
        while elapsed_ns + NOW_NS < due_ns && !self.is_stopped() {
            std::thread::sleep(Duration::from_nanos(due_ns - elapsed_ns).min(NAP));
            self.client.check().map_err(in_words)?;
            self.show_progress();
            elapsed_ns = self.clock.elapsed_ns();
        }
        Ok(())
    }

    /// Puts the event into the batch.
    fn push(&mut self, subject: &[u8], payload: &[u8]) -> Result<(), String> {
        match self.pass.begun {
            Some(Begun { shift, .. }) if self.rebases => {
                self.payload.clear();
                rebase(payload, shift, &mut self.payload);
                encode::publish(&mut self.batch, subject, None, &self.payload);
            }
            _ => encode::publish(&mut self.batch, subject, None, payload),
        }
        self.summary.events += 1;
        if self.batch.len() >= BATCH_BYTES { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), String> {
        self.client.publish(&self.batch, self.stopped).map_err(in_words)?;
        self.batch.clear();
        self.show_progress();
        Ok(())
    }

    fn show_progress(&mut self) {
        let events = self.summary.events;
        let done = self.events_in_all.map(|all| events as f64 / all as f64).or(self.read_done);
        self.progress.show(done, || format!("{events} events"));
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}
