//! One core's part of the market: its engine, the buffer of what the socket has brought, and when that came.
//!
//! ```text
//!   transport ── read ──► receive buffer ── take_slice ──► engine          control operations ──► session
//! ```
//!
//! The receive buffer takes what the socket has, so its fill says how far behind the engine is, and the shedding policy can
//! act on it. A short burst is better left with TCP and the server, which lose nothing: so the buffer opens up over half a
//! second of being behind, and sheds only what half a second did not settle. A server cuts a client off at 64 MiB or ten
//! seconds, and trades would be lost with it: so the buffer opens up with the bytes of the burst as well. Behind means
//! that whole frames are left in the buffer, or bytes in the socket. When the buffer is full the socket is not read and TCP
//! pushes back. Every event's receipt is the moment its bytes were read.
//!
//! Of a stream nothing is shed, no more is on its way than was asked for, and how far behind it is its reader knows. So the
//! socket is read when no whole frame is left, and no further than [`READ_BYTES`] behind a frame that has begun: usual frames are
//! taken from the second-level cache then, and not from a buffer that wanders through memory. (To read core NATS like that was
//! turned down, as nothing would tell of a burst in time.)

use std::collections::VecDeque;
use std::sync::Arc;

use proto_nats::connection::NOTICES_MAX;
use proto_nats::jetstream::{CLOCK_TOLERANCE_NS, Delivery, StreamReader};
use proto_nats::{Msg, Reason, ServerOp};

use crate::engine::alerts::board::AlertBoard;
use crate::engine::counters::{Histogram, READ_GAP_BOUNDS_NS};
use crate::engine::engine::Engine;
use crate::engine::input::malformed::Malformed;
use crate::engine::input::receive_buffer::ReceiveBuffer;
use crate::engine::intake::{Observer, take_messages};
use crate::engine::memory::{NoMemory, Table};
use crate::engine::ownership::Ownership;
use crate::engine::receipt::Receipt;
use crate::engine::settings::EngineSettings;
use crate::engine::time::{NANOS_PER_MILLI, NANOS_PER_SECOND, UnixNanos};
use crate::nats::session::Session;
use crate::nats::transport::{Attempt, Transport};
use crate::runtime::clock::Clock;
use crate::runtime::log_limit::LogLimit;
use crate::runtime::log_text::printable;
use crate::service::event_rate::Rate;
use crate::service::outputs::Publication;
use crate::service::overlap::{NO_MEMORY, Overlap};
use crate::service::unreadable_times::UnreadableTimes;

#[cfg(test)]
pub mod tests;

/// Bytes asked for in one read: what a busy socket has, small enough to stay in the second-level cache.
const READ_BYTES: usize = 256 << 10;
/// The time of being behind over which the buffer opens up from one read to its whole capacity,
const OPENING_NS: u64 = NANOS_PER_SECOND as u64 / 2;
/// or the bytes, whichever comes first: of a large burst a server holds 64 MiB, however short it is.
const OPENING_BYTES: u64 = 32 << 20;
/// For the same reason no more than this is asked of a stream at a time.
const WAITING_BYTES: usize = OPENING_BYTES as usize;
/// Frames between two looks at socket, outputs and clock; each may give a notice.
pub const SLICE_FRAMES: u64 = 256;
const _: () = assert!(SLICE_FRAMES < NOTICES_MAX as u64);
/// What a stream stored longer ago has arrived, in general: so late is the time that the engine is told, so that what is due by
/// time has seen all events up to its moment.
const SETTLE_NS: i64 = 2 * NANOS_PER_MILLI;
/// Within this second and the last.
const FLOOD_EVENTS: u64 = 100_000;
/// Between two looks at the system's clock.
const CLOCK_INTERVAL_NS: u64 = NANOS_PER_SECOND as u64;

/// Everything that belongs to one core but its session.
pub struct Shard {
    pub engine: Engine,
    /// What the connection has brought and the engine has not taken yet.
    pub receive_buffer: ReceiveBuffer,
    /// The engine's symbols; its `core` is named in log lines.
    pub ownership: Ownership,
    /// Gives the receipt of what is read.
    pub clock: Clock,
    /// The time that the engine is told, where that is not `clock`'s: the server's, of a stream.
    stream_clock: Option<Clock>,
    /// Events a second.
    pub rate: Rate,
    /// From one look at the socket to the next, where something was done in between.
    pub read_gap: Histogram,
    /// When the unread bytes were read: the end of each read in the stream of all bytes, and its moment.
    reads: VecDeque<(u64, UnixNanos)>,
    bytes_read: u64,
    /// When messages last came: PINGs are no reason to expect more of them.
    last_message_ns: Option<u64>,
    /// When the buffer was last drained, with nothing left unread in the socket; and `bytes_read` then.
    drained_ns: u64,
    drained_bytes: u64,
    /// The last read has left something in the socket, or may have, or found so much that it had waited.
    is_behind: bool,
    /// The bytes that were left then, of a frame that is not whole yet: they hold up nothing and are not behind.
    begun_bytes: usize,
    malformed_lines: LogLimit,
    /// While two connections bring the same messages, and for a while after it.
    overlap: Overlap,
    unreadable_times: UnreadableTimes,
    clock_checked_ns: u64,
}

/// Reads remembered; beyond them the newest ones are taken together, at the moment of the earlier.
const READS_MAX: usize = 1024;
const READS: Table = Table::new("the moments of reads", "CORES");

impl Shard {
    /// Reserves what its engine and its buffer need.
    pub fn new(
        settings: EngineSettings,
        board: Arc<AlertBoard>,
        ownership: Ownership,
        queue_bytes: usize,
        clock: Clock,
    ) -> Result<Self, NoMemory> {
        let mut engine = Engine::of_core(settings, board, ownership.core)?;
        engine.stall_output();
        Ok(Shard {
            engine,
            receive_buffer: ReceiveBuffer::new(queue_bytes)?,
            ownership,
            clock,
            stream_clock: None,
            rate: Rate::new(clock.elapsed_ns()),
            read_gap: Histogram::new(&READ_GAP_BOUNDS_NS),
            reads: READS.ring(READS_MAX)?,
            bytes_read: 0,
            last_message_ns: None,
            drained_ns: clock.elapsed_ns(),
            drained_bytes: 0,
            is_behind: false,
            begun_bytes: 0,
            malformed_lines: LogLimit::default(),
            overlap: Overlap::default(),
            unreadable_times: UnreadableTimes::default(),
            clock_checked_ns: clock.elapsed_ns(),
        })
    }

    /// A new connection begins, of which `input` was read before. False: that does not fit into the receive buffer.
    pub fn begin_connection(&mut self, input: &[u8]) -> bool {
        self.receive_buffer.clear();
        self.reads.clear();
        self.bytes_read = 0;
        self.begun_bytes = 0;
        self.is_behind = false;
        self.note_idle();
        self.overlap.begin_comparing(self.clock.elapsed_ns());
        let fits = self.receive_buffer.push(input) == input.len();
        if !input.is_empty() {
            self.note_read(input.len(), self.clock.now());
        }
        fits
    }

    /// What is taken from now on may come again on another connection, and is left out there.
    pub fn begin_overlap(&mut self) {
        if !self.overlap.begin() {
            let core = self.ownership.core;
            log::warn!(core; "{NO_MEMORY}");
        }
    }

    /// The other connection will bring nothing.
    pub fn cancel_overlap(&mut self) {
        self.overlap.cancel();
    }

    /// An overlap whose time is over is ended, and told.
    fn end_overlap(&mut self, now_ns: u64) {
        let Some(counts) = self.overlap.poll_over(now_ns) else { return };
        let (core, events) = (self.ownership.core, counts.repeated);
        let level = if counts.unknown == 0 { log::Level::Info } else { log::Level::Warn };
        log::log!(level, core, events; "{counts}");
    }

    /// How long no message has come, in ns; the longest time there is where none ever has.
    pub fn silence_ns(&self, now_ns: u64) -> u64 {
        self.last_message_ns.map_or(u64::MAX, |last| now_ns - last)
    }

    /// Events come by the hundred thousand: none is alone, and a core has better things to do than to be woken for nothing.
    pub fn is_flooded(&mut self, now_ns: u64) -> bool {
        self.rate.recent(now_ns) >= FLOOD_EVENTS
    }

    /// Time asleep is not time behind.
    pub fn note_idle(&mut self) {
        self.note_caught_up(self.clock.elapsed_ns());
    }

    fn note_caught_up(&mut self, now_ns: u64) {
        (self.drained_ns, self.drained_bytes) = (now_ns, self.bytes_read);
    }

    /// The last read has left bytes in the socket, or may have, or found so many that they had waited; and more of them may
    /// wait at the server.
    #[inline]
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Once a second: follows the system's clock where that has stepped, and says which providers' times cannot be read.
    pub fn check_clock(&mut self) {
        let elapsed_ns = self.clock.elapsed_ns();
        if elapsed_ns - self.clock_checked_ns < CLOCK_INTERVAL_NS {
            return;
        }
        self.clock_checked_ns = elapsed_ns;
        self.unreadable_times.report(&self.engine, self.ownership.core, elapsed_ns);
        if let Some(step_ns) = self.clock.correct() {
            // A line a second at most, as it is looked at so often.
            let (core, step_s) = (self.ownership.core, step_ns as f64 / NANOS_PER_SECOND as f64);
            log::warn!(core, step_s; "the system's clock has stepped by {step_s:.3} s: followed");
            if self.stream_clock.is_none() {
                self.engine.handle_clock_step(step_ns);
            }
            self.reads.iter_mut().for_each(|(_, moment)| *moment = moment.plus(step_ns));
        }
    }

    /// The time that the engine is told.
    #[inline]
    pub fn engine_clock(&self) -> &Clock {
        self.stream_clock.as_ref().unwrap_or(&self.clock)
    }

    /// Time passes. While the stream's past is read it does not.
    pub fn handle_time(&mut self, session: &Session<Publication>) {
        let now = self.engine_clock().now();
        match session.stream() {
            None => self.engine.handle_time(now),
            Some(_) if self.is_catching_up(session) => {}
            Some(_) => self.engine.handle_present(now),
        }
    }

    /// The stream's past is read: the engine's time stands still, and nothing of it is due.
    pub fn is_catching_up(&self, session: &Session<Publication>) -> bool {
        session.stream().is_some_and(|reader| !reader.has_caught_up()) && self.engine.is_past()
    }

    /// The engine's time is that of the stream's server, as soon as it is known. Returns by how many ns it has stepped; the first
    /// time that is the difference to this machine's.
    pub fn follow_stream(&mut self, session: &Session<Publication>, now_ns: u64) -> Option<i64> {
        let present_ns = session.stream()?.present(now_ns)?;
        let present = UnixNanos(i64::try_from(present_ns).ok()?);
        let step_ns = self.stream_clock.get_or_insert(self.clock).follow(present.minus(SETTLE_NS), now_ns);
        step_ns.into_iter().for_each(|step_ns| self.engine.handle_clock_step(step_ns));
        step_ns
    }

    /// So many bytes of a stream's frames there is room for, here or while they wait in the socket and at the server.
    pub fn room_bytes(&self) -> usize {
        (self.receive_buffer.capacity() - self.receive_buffer.len_bytes()).min(WAITING_BYTES)
    }

    /// The next read looks at the socket.
    pub fn is_reading(&self, session: &Session<Publication>) -> bool {
        session.stream().is_none() || self.receive_buffer.len_bytes() <= self.begun_bytes
    }

    /// Reads what the socket has, as far as the buffer is open.
    pub fn read(&mut self, transport: &mut Transport, session: &Session<Publication>) -> ReadOutcome {
        if !self.is_reading(session) {
            return ReadOutcome::Nothing;
        }
        let opened_bytes = match session.stream() {
            None => self.opened_bytes(self.clock.elapsed_ns()),
            Some(_) => 0,
        };
        let open_bytes = READ_BYTES + opened_bytes + self.begun_bytes;
        let bytes_before = self.bytes_read;
        let mut outcome = ReadOutcome::Nothing;
        let is_emptied = loop {
            if self.receive_buffer.len_bytes() == self.receive_buffer.capacity() {
                outcome = ReadOutcome::BufferFull;
                break false;
            }
            let open = open_bytes.saturating_sub(self.receive_buffer.len_bytes());
            let place = self.receive_buffer.room(READ_BYTES.min(open));
            let asked = place.len();
            if asked == 0 {
                break false;
            }
            match transport.try_read(place) {
                Attempt::Bytes(len) => {
                    self.receive_buffer.fill(len);
                    self.note_read(len, self.clock.now());
                    outcome = ReadOutcome::Some;
                    if len < asked {
                        break true;
                    }
                }
                Attempt::WouldBlock => break true,
                Attempt::Ended => {
                    outcome = ReadOutcome::Ended;
                    break true;
                }
            }
        };
        self.is_behind = !is_emptied || self.bytes_read - bytes_before >= READ_BYTES as u64;
        outcome
    }

    /// How far the buffer is open beyond one read.
    fn opened_bytes(&self, now_ns: u64) -> usize {
        let capacity = self.receive_buffer.capacity() as u64;
        let behind_ns = (now_ns - self.drained_ns).min(OPENING_NS);
        let behind_bytes = (self.bytes_read - self.drained_bytes).min(OPENING_BYTES);
        (capacity * behind_ns / OPENING_NS).max(capacity * behind_bytes / OPENING_BYTES) as usize
    }

    fn note_read(&mut self, len: usize, moment: UnixNanos) {
        self.bytes_read += len as u64;
        if self.reads.len() == READS_MAX {
            self.reads.back_mut().expect("it is full").0 = self.bytes_read;
        } else {
            self.reads.push_back((self.bytes_read, moment));
        }
    }

    /// As [`read`](Self::read) from a socket that has brought `bytes` at `moment`.
    #[cfg(test)]
    pub fn push_read(&mut self, bytes: &[u8], moment: UnixNanos) {
        assert_eq!(self.receive_buffer.push(bytes), bytes.len(), "there is room");
        self.note_read(bytes.len(), moment);
    }

    /// Takes a slice of messages; the session is handed what is none. The error ends the connection.
    pub fn take_slice(&mut self, session: &mut Session<Publication>) -> Result<Slice, Reason> {
        let consumed = self.bytes_read - self.receive_buffer.len_bytes() as u64;
        while self.reads.front().is_some_and(|(end, _)| *end <= consumed) {
            self.reads.pop_front();
        }
        let read_at = self.reads.front().map_or_else(|| self.clock.now(), |(_, moment)| *moment);
        let now_ns = self.clock.elapsed_ns();
        if !self.overlap.is_idle() {
            self.end_overlap(now_ns);
        }
        let present = self.engine_clock().now();
        let mut observer = Listener {
            session,
            now_ns,
            present,
            core: self.ownership.core,
            malformed_lines: &self.malformed_lines,
            overlap: &mut self.overlap,
        };
        let passed_over = |engine: &Engine| engine.counters.events_foreign + engine.counters.events_repeated;
        let passed_over_before = passed_over(&self.engine);
        // Only then anything is shed: it empties from here on.
        let nearly_full = self.receive_buffer.is_nearly_full(0).then(|| self.receive_buffer.fill_ratio());
        let round = take_messages(
            &mut self.engine,
            &mut self.receive_buffer,
            self.ownership,
            Receipt::At(read_at),
            SLICE_FRAMES,
            &mut observer,
        )
        .map_err(Reason::Malformed)?;
        if let Some(fill) = nearly_full.filter(|_| session.stream().is_none()) {
            self.engine.note_backpressure(fill);
        }
        // All messages of one read have one moment, and a slice may have taken a part of them.
        self.engine.set_moment_open(!round.is_drained);
        self.begun_bytes = 0;
        if round.is_drained {
            if !self.is_behind {
                self.note_caught_up(now_ns);
            }
            self.begun_bytes = self.receive_buffer.len_bytes();
            // The start of a frame may be left: it counts as read when its end is.
            self.reads.clear();
        }
        // Those of other shards are no events here, nor are those that were taken before.
        let events = round.messages - (passed_over(&self.engine) - passed_over_before);
        if round.messages > 0 {
            self.last_message_ns = Some(now_ns);
        }
        Ok(Slice { messages: round.messages, events, taken_ns: now_ns, read_at, is_drained: round.is_drained })
    }

    /// The buffer is full, and no frame in it is whole.
    pub fn is_stuck(&self) -> bool {
        self.begun_bytes == self.receive_buffer.capacity()
    }

    /// The outputs of a slice are encoded: so long it took since its messages were read.
    pub fn note_processed(&mut self, slice: &Slice) {
        let now = self.clock.now();
        let latency_ns = now.since(slice.read_at).max(0) as u64;
        self.engine.counters.processing_latency.observe(latency_ns, slice.events);
        self.rate.count(self.clock.elapsed_at(now), slice.events);
    }
}

/// Messages that were taken together.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    /// All of them.
    pub messages: u64,
    /// Those that are this shard's.
    pub events: u64,
    /// When they were taken, in ns of the clock.
    pub taken_ns: u64,
    /// When they were read.
    pub read_at: UnixNanos,
    /// No whole frame is left.
    pub is_drained: bool,
}

/// What a read of the socket has brought.
#[derive(PartialEq, Eq)]
pub enum ReadOutcome {
    /// The socket had no bytes, or was not looked at.
    Nothing,
    Some,
    /// Nothing is read before messages have been taken.
    BufferFull,
    /// The connection is over.
    Ended,
}

/// Control operations go to the session; malformed events to the log, at most one a second.
struct Listener<'a> {
    session: &'a mut Session<Publication>,
    now_ns: u64,
    /// The time of the stream's server.
    present: UnixNanos,
    core: u32,
    malformed_lines: &'a LogLimit,
    overlap: &'a mut Overlap,
}

impl Observer for Listener<'_> {
    fn control(&mut self, op: &ServerOp<'_>) {
        self.session.handle_op(op, self.now_ns);
    }

    fn takes_messages(&self) -> bool {
        self.session.takes_messages()
    }

    fn reads_stream(&self) -> bool {
        self.session.stream().is_some()
    }

    fn stored(&mut self, message: &Msg<'_>) -> Option<Receipt> {
        // The message that makes up for the rest is of the past, too.
        let is_past = !self.session.stream().is_some_and(StreamReader::has_caught_up);
        let Delivery { stored_ns, .. } = self.session.handle_stream_msg(message, self.now_ns)?;
        // What the server stored while its clock was wrong must not stop the time of what comes after it.
        let latest = self.present.plus(CLOCK_TOLERANCE_NS as i64);
        let stored = UnixNanos(i64::try_from(stored_ns).unwrap_or(i64::MAX)).min(latest);
        Some(Receipt::Stored { stored, present: self.present.max(stored), is_past })
    }

    fn expects_repeats(&self) -> bool {
        !self.overlap.is_idle()
    }

    fn is_repeated(&mut self, subject: &[u8], payload: &[u8]) -> bool {
        self.overlap.is_repeated(subject, payload)
    }

    fn malformed(&mut self, subject: &[u8], malformed: Malformed) {
        if let Some(count) = self.malformed_lines.count(self.now_ns) {
            let core = self.core;
            let subject = printable(&String::from_utf8_lossy(subject));
            let field = match malformed {
                Malformed::Missing(field) | Malformed::Unreadable(field) | Malformed::FixedPoint(field) => Some(field),
                _ => None,
            };
            log::warn!(
                core, subject:%, field, cause:% = malformed, count;
                "malformed event on {subject}: {malformed}{count}"
            );
        }
    }
}
