//! One shard: an engine, its queue and its part of the symbols; [`crate::service::connection_loop`] runs it.
//!
//! ```text
//!   socket ── read ──► queue ── take_slice ──► engine ── encode_outputs ──► wire ── flush ──► socket
//! ```
//!
//! The queue takes what the socket has, so its fill says how far behind the engine is, and the shedding policy can act
//! on it. A short burst is better left with TCP and the server, which lose nothing: so the queue opens up over half a
//! second of being behind, and sheds only what half a second did not settle. (A server cuts a client off at 64 MiB or
//! ten seconds; to wait for that would lose trades.) When the queue is full the socket is not read and TCP pushes back.
//! Every event's receipt is the moment its bytes were read.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use proto_nats::connection::NOTICES_MAX;
use proto_nats::{Connection, Operation, ProtocolError, ServerError, ServerOp, encode};

use crate::engine::counters::{Histogram, OutputKind, READ_GAP_BOUNDS_NS};
use crate::engine::engine::{Engine, EngineSettings, Receipt};
use crate::engine::input::malformed::Malformed;
use crate::engine::input::receive_buffer::ReceiveBuffer;
use crate::engine::intake::{Observer, Ownership, take_messages};
use crate::engine::memory::{NoMemory, Table};
use crate::engine::state::symbol_names::{FEATURES_PREFIX, SIGNALS_PREFIX};
use crate::engine::time::UnixNanos;
use crate::nats::credentials::Access;
use crate::nats::send_buffer::{Wire, publications};
use crate::nats::transport::{Attempt, Link};
use crate::runtime::clock::Clock;
use crate::runtime::log_limit::LogLimit;
use crate::runtime::log_text::printable;
use crate::service::event_rate::Rate;

/// Bytes asked for in one read: what a busy socket has, small enough to stay in the second-level cache.
const READ_BYTES: usize = 256 << 10;
/// The time of being behind over which the queue opens up from one read to its whole capacity.
const OPENING_NS: u64 = 500_000_000;
/// Frames between two looks at socket, outputs and clock; each may give a notice.
const SLICE_FRAMES: u64 = 256;
const _: () = assert!(SLICE_FRAMES < NOTICES_MAX as u64);
/// Reads after the end of a connection: what a socket can hold by then is far less.
const LAST_READS_MAX: usize = 256;
/// At a stop, for the last outputs.
const FLUSH_LIMIT_NS: u64 = 1_000_000_000;
/// Between two waits for the socket to take more of them.
const FLUSH_WAIT: Duration = Duration::from_millis(1);
/// So long after the last refused publication all is well again: the server says nothing when it grants a permission.
const REFUSAL_LASTS_NS: u64 = 60_000_000_000;
/// Between two looks at the system's clock.
const CLOCK_INTERVAL_NS: u64 = 1_000_000_000;
/// Bytes in the outgoing buffer from which the peer is hostile: outputs wait as values long before, so these are answers
/// to its PINGs, which it does not read as fast as it asks.
const UNREAD_ANSWERS_MAX: usize = 4 << 20;

#[derive(Clone)]
pub struct ShardSettings {
    pub engine: EngineSettings,
    pub ownership: Ownership,
    pub queue_bytes: usize,
    pub busy_poll: bool,
    pub access: Arc<Access>,
    /// The access's own, numbered where there are several cores.
    pub client_name: String,
    pub subjects: Vec<String>,
}

/// How the connection is doing, for /health, /ready, /stats and /metrics.
#[derive(Clone, Debug, Default)]
pub struct ConnectionReport {
    pub is_connected: bool,
    pub is_ready: bool,
    /// Connections that became ready after the first.
    pub reconnects: u64,
    /// Ends of the stream that look like the server gave up on a slow consumer.
    pub slow_consumer_cuts: u64,
    /// Why there is no connection, or why it is not ready.
    pub trouble: Option<String>,
    /// That the server refuses publications, for as long as that is news.
    pub publish_trouble: Option<String>,
}

/// Everything one shard owns.
pub struct Shard {
    pub engine: Engine,
    pub queue: ReceiveBuffer,
    pub connection: ConnectionReport,
    pub rate: Rate,
    /// From one look at the socket to the next, where something was done in between.
    pub read_gap: Histogram,
    pub clock: Clock,
    pub settings: ShardSettings,
    pub wire: Wire,
    /// When the unread bytes were read: the end of each read in the stream of all bytes, and its moment.
    reads: VecDeque<(u64, UnixNanos)>,
    bytes_read: u64,
    /// When messages last came: PINGs are no reason to expect more of them.
    last_message_ns: Option<u64>,
    /// When the queue was last drained.
    drained_ns: u64,
    /// The bytes that were left then, of a frame that is not whole yet: they hold up nothing and are not behind.
    begun_bytes: usize,
    control: Vec<u8>,
    /// Publications that the last connection did not take whole; they go first on the next one that is ready.
    resend: Vec<u8>,
    malformed_lines: LogLimit,
    complaint_lines: LogLimit,
    /// When the server last refused a publication, on this connection.
    publish_refused_ns: Option<u64>,
    clock_checked_ns: u64,
}

/// Reads remembered; beyond them the newest ones are taken together, at the moment of the earlier.
const READS_MAX: usize = 1024;
const READS: Table = Table::new("the moments of reads", "CORES");

impl Shard {
    /// Reserves what its engine, its queue and its outputs need.
    pub fn new(settings: ShardSettings, clock: Clock) -> Result<Self, NoMemory> {
        let mut engine = Engine::new(settings.engine.clone())?;
        engine.stall_output();
        Ok(Shard {
            engine,
            queue: ReceiveBuffer::new(settings.queue_bytes)?,
            connection: ConnectionReport::default(),
            rate: Rate::new(clock.elapsed_ns()),
            read_gap: Histogram::new(&READ_GAP_BOUNDS_NS),
            clock,
            settings,
            wire: Wire::new()?,
            reads: READS.ring(READS_MAX)?,
            bytes_read: 0,
            last_message_ns: None,
            drained_ns: clock.elapsed_ns(),
            begun_bytes: 0,
            control: Vec::with_capacity(4096),
            resend: Vec::new(),
            malformed_lines: LogLimit::default(),
            complaint_lines: LogLimit::default(),
            publish_refused_ns: None,
            clock_checked_ns: clock.elapsed_ns(),
        })
    }

    /// A new connection begins with nothing unread, and with the publications that the last one did not take.
    pub fn begin_connection(&mut self) {
        let unsent = self.wire.take_unsent_publications();
        self.resend.extend_from_slice(&unsent);
        self.queue.clear();
        self.reads.clear();
        self.bytes_read = 0;
        self.begun_bytes = 0;
        self.forget_publish_trouble();
        self.note_rest();
    }

    fn forget_publish_trouble(&mut self) {
        self.publish_refused_ns = None;
        self.connection.publish_trouble = None;
    }

    /// How long no message has come, in ns; the longest time there is where none ever has.
    pub fn silence_ns(&self, now_ns: u64) -> u64 {
        self.last_message_ns.map_or(u64::MAX, |last| now_ns - last)
    }

    /// Time asleep is not time behind.
    pub fn note_rest(&mut self) {
        self.drained_ns = self.clock.elapsed_ns();
    }

    /// Once a second: follows the system's clock where that has stepped, and forgets a trouble that is over.
    pub fn look_around(&mut self) {
        let elapsed_ns = self.clock.elapsed_ns();
        if elapsed_ns - self.clock_checked_ns < CLOCK_INTERVAL_NS {
            return;
        }
        self.clock_checked_ns = elapsed_ns;
        if self.publish_refused_ns.is_some_and(|refused_ns| elapsed_ns - refused_ns > REFUSAL_LASTS_NS) {
            self.forget_publish_trouble();
        }
        if let Some(step_ns) = self.clock.correct() {
            // A line a second at most, as it is looked at so often.
            let (core, step_s) = (self.settings.ownership.core, step_ns as f64 / 1e9);
            log::warn!(core, step_s; "the system's clock has stepped by {step_s:.3} s: followed");
            self.engine.handle_clock_step(step_ns);
            self.reads.iter_mut().for_each(|(_, moment)| *moment = moment.plus(step_ns));
        }
    }

    /// Reads what the socket has, as far as the queue has room.
    pub fn read(&mut self, link: &mut Link) -> ReadOutcome {
        let mut outcome = ReadOutcome::Nothing;
        let behind_ns = (self.clock.elapsed_ns() - self.drained_ns).min(OPENING_NS);
        let opened = (self.queue.capacity() as u64 * behind_ns / OPENING_NS) as usize;
        loop {
            if self.queue.len_bytes() == self.queue.capacity() {
                return ReadOutcome::QueueFull;
            }
            let open = (READ_BYTES + opened + self.begun_bytes).saturating_sub(self.queue.len_bytes());
            let place = self.queue.room(READ_BYTES.min(open));
            let asked = place.len();
            if asked == 0 {
                return outcome;
            }
            match link.try_read(place) {
                Attempt::Bytes(len) => {
                    self.queue.fill(len);
                    self.bytes_read += len as u64;
                    let now = self.clock.now();
                    if self.reads.len() == READS_MAX {
                        self.reads.back_mut().expect("it is full").0 = self.bytes_read;
                    } else {
                        self.reads.push_back((self.bytes_read, now));
                    }
                    outcome = ReadOutcome::Some;
                    if len < asked {
                        return outcome;
                    }
                }
                Attempt::WouldBlock => return outcome,
                Attempt::Ended => return ReadOutcome::Ended,
            }
        }
    }

    /// Takes a slice of messages; says whether the queue is drained. The error ends the connection.
    pub fn take_slice(&mut self, connection: &mut Connection) -> Result<bool, TakeError> {
        let consumed = self.bytes_read - self.queue.len_bytes() as u64;
        while self.reads.front().is_some_and(|(end, _)| *end <= consumed) {
            self.reads.pop_front();
        }
        let read_at = self.reads.front().map_or_else(|| self.clock.now(), |(_, moment)| *moment);
        let now_ns = self.clock.elapsed_ns();
        let mut observer = Listener {
            connection,
            now_ns,
            out: &mut self.control,
            core: self.settings.ownership.core,
            malformed_lines: &self.malformed_lines,
        };
        let foreign_before = self.engine.counters.events_foreign;
        let round = take_messages(
            &mut self.engine,
            &mut self.queue,
            self.settings.ownership,
            Receipt::At(read_at),
            SLICE_FRAMES,
            &mut observer,
        )
        .map_err(TakeError::Protocol)?;
        // All messages of one read have one moment, and a slice may have taken a part of them.
        self.engine.set_moment_open(!round.is_drained);
        self.wire.frames().append(&mut self.control);
        self.begun_bytes = 0;
        if round.is_drained {
            self.drained_ns = now_ns;
            self.begun_bytes = self.queue.len_bytes();
            // The start of a frame may be left: it counts as read when its end is.
            self.reads.clear();
        }
        if round.messages > 0 {
            self.last_message_ns = Some(now_ns);
            self.encode_outputs(connection);
            let now = self.clock.now();
            let latency_ns = now.since(read_at).max(0) as u64;
            // Those of other shards are no events here.
            let events = round.messages - (self.engine.counters.events_foreign - foreign_before);
            self.engine.counters.processing_latency.observe(latency_ns, events);
            self.rate.count(self.clock.elapsed_at(now), events);
        }
        if round.is_drained && self.queue.len_bytes() == self.queue.capacity() {
            return Err(TakeError::QueueTooSmall);
        }
        if self.wire.len_bytes() > UNREAD_ANSWERS_MAX {
            return Err(TakeError::AnswersUnread);
        }
        Ok(round.is_drained)
    }

    /// The connection is over: what had arrived by then is still worth having, trades above all.
    pub fn finish_input(&mut self, link: &mut Link, connection: &mut Connection) {
        for _ in 0..LAST_READS_MAX {
            let outcome = self.read(link);
            while let Ok(false) = self.take_slice(connection) {}
            if !matches!(outcome, ReadOutcome::Some | ReadOutcome::QueueFull) {
                return;
            }
        }
    }

    /// The drain is over and the connection about to be closed: everything there is to publish is sent, for as long as
    /// the server takes it, up to a limit.
    pub fn finish_output(&mut self, link: &mut Link, max_payload: u64) {
        let start_ns = self.clock.elapsed_ns();
        self.engine.set_moment_open(false);
        while self.clock.elapsed_ns() - start_ns < FLUSH_LIMIT_NS {
            self.encode_while_room(max_payload);
            if !self.wire.flush(link, self.clock.elapsed_ns()) {
                break;
            }
            if self.wire.pending_bytes() == 0 && !link.wants_write() && !self.engine.has_output() {
                return;
            }
            link.wait(true, FLUSH_WAIT);
        }
    }

    /// There will be no further connection: what is still unsent is counted, and said.
    pub fn give_up_outputs(&mut self) {
        self.engine.set_moment_open(false);
        self.resend.extend_from_slice(&self.wire.take_unsent_publications());
        let mut given_up = [0u64; OutputKind::ALL.len()];
        for publication in publications(&self.resend) {
            let (kind, name) = output_of(publication.subject);
            self.engine.take_back_published(kind, name);
            given_up[kind as usize] += 1;
        }
        while let Some(message) = self.engine.poll_output() {
            given_up[message.kind as usize] += 1;
        }
        for kind in OutputKind::ALL {
            self.engine.count_unpublished(kind, given_up[kind as usize]);
        }
        let [snapshots, signals] = [OutputKind::Features, OutputKind::Signal].map(|kind| given_up[kind as usize]);
        if snapshots + signals > 0 {
            let core = self.settings.ownership.core;
            log::warn!(
                core, snapshots, signals;
                "{snapshots} snapshots and {signals} signals could not be published any more"
            );
        }
    }

    /// Moves messages onto the wire while there is a ready connection and room.
    pub fn encode_outputs(&mut self, connection: &Connection) {
        if !matches!(connection.state(), proto_nats::State::Ready | proto_nats::State::Draining) {
            return self.engine.stall_output();
        }
        if !self.resend.is_empty() {
            self.resend_unsent(connection.max_payload());
        }
        self.encode_while_room(connection.max_payload());
    }

    /// What the last connection did not take goes first, but for snapshots that a newer one of their symbol follows.
    fn resend_unsent(&mut self, max_payload: u64) {
        let unsent = std::mem::take(&mut self.resend);
        let newest: HashMap<&[u8], usize> =
            publications(&unsent).enumerate().map(|(index, publication)| (publication.subject, index)).collect();
        for (index, publication) in publications(&unsent).enumerate() {
            let (kind, name) = output_of(publication.subject);
            let has_newer = |id| self.engine.has_snapshot_waiting(id);
            let is_overtaken =
                newest[publication.subject] > index || self.engine.symbols().find(name).is_some_and(has_newer);
            if kind == OutputKind::Features && is_overtaken || publication.payload.len() as u64 > max_payload {
                self.engine.take_back_published(kind, name);
                self.engine.count_unpublished(kind, 1);
                continue;
            }
            encode::publish(self.wire.frames(), publication.subject, None, publication.payload);
        }
    }

    fn encode_while_room(&mut self, max_payload: u64) {
        while self.engine.has_output() {
            if !self.wire.has_room() {
                return self.engine.stall_output();
            }
            let Some(message) = self.engine.poll_output() else { return };
            let (kind, symbol) = (message.kind, message.symbol);
            if message.payload.len() as u64 > max_payload {
                self.engine.count_unpublished(kind, 1);
                continue;
            }
            encode::publish(self.wire.frames(), message.subject, None, message.payload);
            self.engine.count_published(kind, symbol);
        }
    }

    /// The server complains and the connection lives on. What it refuses to take is an output that nobody gets.
    pub fn note_complaint(&mut self, error: &ServerError) {
        let mut text = format!("NATS: {error}");
        if let ServerError::PermissionsViolation { operation: Operation::Publish, subject } = error {
            let (kind, name) = output_of(subject.as_bytes());
            // A server may name what it was never sent.
            if self.engine.take_back_published(kind, name) {
                self.engine.count_unpublished(kind, 1);
            }
            text.push_str(": grant it that permission");
            self.connection.publish_trouble = Some(text.clone());
            self.publish_refused_ns = Some(self.clock.elapsed_ns());
        }
        self.warn(&text);
    }

    /// Logs what the server has brought about, at most once a second: it may do so as often as it likes.
    pub fn warn(&mut self, text: &str) {
        if let Some(count) = self.complaint_lines.count(self.clock.elapsed_ns()) {
            let core = self.settings.ownership.core;
            log::warn!(core, count; "{text}{count}");
        }
    }

    /// When something is due without any event, in ns of the clock.
    pub fn next_deadline_ns(&self, connection: &Connection) -> u64 {
        let engine = self.engine.next_deadline().map(|moment| self.clock.elapsed_at(moment));
        let connection = connection.next_deadline();
        engine.unwrap_or(u64::MAX).min(connection.unwrap_or(u64::MAX))
    }

    /// Time has passed: snapshots and pings that are due.
    pub fn handle_time(&mut self, connection: &mut Connection) {
        self.engine.handle_time(self.clock.now());
        connection.handle_time(self.clock.elapsed_ns(), self.wire.frames());
        self.encode_outputs(connection);
    }
}

/// The kind and symbol of an output's subject.
fn output_of(subject: &[u8]) -> (OutputKind, &[u8]) {
    match subject.strip_prefix(FEATURES_PREFIX.as_bytes()) {
        Some(name) => (OutputKind::Features, name),
        None => (OutputKind::Signal, subject.strip_prefix(SIGNALS_PREFIX.as_bytes()).unwrap_or_default()),
    }
}

/// Why no more is taken off a connection.
pub enum TakeError {
    Protocol(ProtocolError),
    /// The queue is full and holds no whole frame.
    QueueTooSmall,
    /// The server asks and asks, and reads no answer.
    AnswersUnread,
}

#[derive(PartialEq, Eq)]
pub enum ReadOutcome {
    Nothing,
    Some,
    QueueFull,
    Ended,
}

/// Control operations go to the connection; malformed events to the log, at most one a second.
struct Listener<'a> {
    connection: &'a mut Connection,
    now_ns: u64,
    out: &'a mut Vec<u8>,
    core: u32,
    malformed_lines: &'a LogLimit,
}

impl Observer for Listener<'_> {
    fn control(&mut self, op: &ServerOp<'_>) {
        self.connection.handle_op(op, self.now_ns, self.out);
    }

    fn takes_messages(&self) -> bool {
        self.connection.takes_messages()
    }

    fn malformed(&mut self, subject: &[u8], malformed: Malformed) {
        if let Some(count) = self.malformed_lines.count(self.now_ns) {
            let core = self.core;
            let subject = printable(&String::from_utf8_lossy(subject));
            let field = match malformed {
                Malformed::Missing(field) | Malformed::Unreadable(field) => Some(field),
                _ => None,
            };
            log::warn!(
                core, subject:%, field, cause:% = malformed, count;
                "malformed event on {subject}: {malformed}{count}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NatsArgs;
    use proto_nats::ServerAddress;

    fn shard() -> Shard {
        let server = ServerAddress::parse("a").expect("it is an address");
        let access = Access::new(NatsArgs::open(server, "test")).expect("nothing is to be read");
        let engine = EngineSettings { publish_interval: Some(1_000), ..EngineSettings::default() };
        let settings = ShardSettings {
            engine,
            ownership: Ownership::ALL,
            queue_bytes: 64 << 10,
            busy_poll: false,
            access: Arc::new(access),
            client_name: "test".into(),
            subjects: Vec::new(),
        };
        Shard::new(settings, Clock::start()).expect("there is memory")
    }

    fn ready(max_payload: u64) -> Connection {
        let mut connection = Connection::new(proto_nats::Settings::default(), Vec::new(), 0);
        let info = format!("{{\"max_payload\":{max_payload}}}");
        for op in [ServerOp::Info(info.as_bytes()), ServerOp::Pong, ServerOp::Pong] {
            connection.handle_op(&op, 0, &mut Vec::new());
        }
        assert!(connection.is_ready());
        connection
    }

    fn quote(shard: &mut Shard, symbol: &str, bid: f64, moment: i64) {
        let subject = format!("md.events.quote.{symbol}");
        let payload = format!("{{\"bid\":{bid},\"ask\":100}}");
        let receipt = Receipt::At(UnixNanos(moment));
        shard.engine.handle_event(subject.as_bytes(), payload.as_bytes(), receipt).expect("it is well-formed");
    }

    /// Symbol and mid of each publication on the wire.
    fn on_the_wire(shard: &mut Shard) -> Vec<(String, f64)> {
        let shown = publications(shard.wire.frames()).map(|publication| {
            let document: serde_json::Value = serde_json::from_slice(publication.payload).expect("it is JSON");
            let symbol = document["symbol"].as_str().expect("a symbol").to_owned();
            (symbol, document["features"]["mid"].as_f64().expect("a mid"))
        });
        shown.collect()
    }

    fn published(shard: &Shard) -> u64 {
        let of_symbols: u64 = shard.engine.symbols().after(None).map(|(_, state)| state.features_published).sum();
        assert_eq!(shard.engine.counters.features_published, of_symbols);
        of_symbols
    }

    fn dropped(shard: &Shard) -> [u64; 2] {
        [OutputKind::Features, OutputKind::Signal].map(|kind| shard.engine.counters.publish_dropped[kind as usize])
    }

    #[test]
    fn what_a_connection_did_not_take_goes_on_the_next_one_unless_something_newer_does() {
        let mut shard = shard();
        quote(&mut shard, "A", 90.0, 1_000_000);
        quote(&mut shard, "B", 92.0, 1_000_000);
        shard.encode_outputs(&ready(1 << 20));
        quote(&mut shard, "A", 94.0, 2_000_000);
        shard.encode_outputs(&ready(1 << 20));
        let sent = [("A".into(), 95.0), ("B".into(), 96.0), ("A".into(), 97.0)];
        assert_eq!(on_the_wire(&mut shard), sent);
        assert_eq!(published(&shard), 3);

        // Nothing of it was sent; B moves on while there is no connection.
        shard.begin_connection();
        assert!(on_the_wire(&mut shard).is_empty());
        quote(&mut shard, "B", 98.0, 3_000_000);
        shard.encode_outputs(&ready(1 << 20));
        assert_eq!(on_the_wire(&mut shard), [("A".into(), 97.0), ("B".into(), 99.0)]);
        assert_eq!(published(&shard), 2, "what is on the wire");
        assert_eq!(dropped(&shard), [2, 0], "what was overtaken was given up");

        // The next server takes less: counted, not sent.
        shard.begin_connection();
        shard.encode_outputs(&ready(10));
        assert!(on_the_wire(&mut shard).is_empty());
        assert_eq!((published(&shard), dropped(&shard)), (0, [4, 0]));

        // There is no next server.
        quote(&mut shard, "A", 96.0, 4_000_000);
        quote(&mut shard, "B", 96.0, 4_000_000);
        shard.give_up_outputs();
        assert_eq!((published(&shard), dropped(&shard)), (0, [6, 0]));
    }

    /// One read is one moment, however many slices it takes: a signal in the last of them leaves before the snapshots of
    /// the first.
    #[test]
    fn snapshots_wait_for_the_signals_of_their_read() {
        let mut shard = shard();
        let mut connection = ready(1 << 20);
        let mut read = |shard: &mut Shard, moment: i64, events: &[(&str, &str)]| {
            let mut frames = Vec::new();
            for (subject, payload) in events {
                encode::msg(&mut frames, subject.as_bytes(), b"1", None, None, payload.as_bytes());
            }
            assert_eq!(shard.queue.push(&frames), frames.len());
            shard.bytes_read += frames.len() as u64;
            shard.reads.push_back((shard.bytes_read, UnixNanos(moment)));
            let mut published: Vec<Vec<String>> = Vec::new();
            loop {
                let is_drained = shard.take_slice(&mut connection).unwrap_or_else(|_| panic!("it is well-formed"));
                let subjects = publications(shard.wire.frames()).map(|publication| publication.subject.to_vec());
                published.push(subjects.map(|subject| String::from_utf8(subject).expect("text")).collect());
                shard.wire.frames().clear();
                if is_drained {
                    return published;
                }
            }
        };
        const SECOND: i64 = 1_000_000_000;
        let now = shard.clock.now().0;
        let start = [
            ("md.events.quote.A", "{\"bid\":99.99,\"ask\":100.01}"),
            ("md.events.trade.A", "{\"price\":100,\"size\":2}"),
        ];
        read(&mut shard, now, &start);
        let mut events = vec![("md.events.quote.B", "{\"bid\":1,\"ask\":2}"); SLICE_FRAMES as usize];
        events.push(("md.events.trade.A", "{\"price\":101,\"size\":2}"));
        let [.., first, last] = &read(&mut shard, now + 11 * SECOND, &events)[..] else { panic!("two slices") };
        assert_eq!(first[..], ["senpai.features.A"], "the snapshot that was due before");
        assert_eq!(last[..], ["senpai.signals.A", "senpai.features.B", "senpai.features.A"]);
        // At a stop nothing is held back.
        read(&mut shard, now + 12 * SECOND, &events[..1]);
        shard.engine.set_moment_open(true);
        quote(&mut shard, "C", 1.0, now + 13 * SECOND);
        shard.give_up_outputs();
        assert_eq!(dropped(&shard), [1, 0]);
    }

    #[test]
    fn only_messages_end_the_silence() {
        let mut shard = shard();
        let mut connection = ready(1 << 20);
        let mut take = |frames: &[u8]| {
            assert_eq!(shard.queue.push(frames), frames.len());
            shard.bytes_read += frames.len() as u64;
            assert!(matches!(shard.take_slice(&mut connection), Ok(true)));
            shard.last_message_ns
        };
        assert_eq!(take(b"PING\r\nINFO {}\r\n"), None);
        let came = take(b"MSG md.events.heartbeat.A 1 2\r\n{}\r\n");
        assert!(came.is_some());
        assert_eq!(take(b"PING\r\n"), came);
        let came_ns = came.expect("it came");
        assert_eq!(shard.silence_ns(came_ns + 5), 5);
    }

    #[test]
    fn refused_publications_are_counted_and_said() {
        let mut shard = shard();
        quote(&mut shard, "A", 90.0, 1_000_000);
        shard.encode_outputs(&ready(1 << 20));
        shard.connection.trouble = Some("something else".to_owned());
        for subject in ["senpai.features.A", "senpai.features.NONE", "senpai.signals.A", "else", ""] {
            let subject = subject.to_owned();
            shard.note_complaint(&ServerError::PermissionsViolation { operation: Operation::Publish, subject });
        }
        assert_eq!(
            (published(&shard), dropped(&shard)),
            (0, [1, 1]),
            "the refused snapshot does not count as published"
        );
        assert_eq!(shard.connection.trouble.as_deref(), Some("something else"), "that is another trouble");
        assert!(shard.connection.publish_trouble.as_deref().is_some_and(|trouble| trouble.contains("may not publish")));
    }
}
