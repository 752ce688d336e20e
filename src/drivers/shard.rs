//! One shard: an engine, its NATS connection and its part of the symbols, all on one executor.
//!
//! ```text
//!   read what is there ──► take a slice of messages ──► encode and send what they gave ──► drained? wait : again
//! ```
//!
//! The queue takes what the socket has, so its fill says how far behind the engine is, and the shedding policy can act
//! on it. A short burst is better left with TCP and the server, which lose nothing: so the queue opens up over half a
//! second of being behind, and sheds only what half a second did not settle. (A server cuts a client off at 64 MiB or
//! ten seconds; to wait for that would lose trades.) When the queue is full the socket is not read and TCP pushes back.
//! Every event's receipt is the moment its bytes were read.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{TcpStream, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

use futures_lite::FutureExt;
use glommio::timer::Timer;
use proto_nats::connection::NOTICES_MAX;
use proto_nats::{
    Action, ConnectOptions, Connection, Credentials, Next, Reason, ServerAddress, ServerOp, ServerPool, Subscription,
    encode,
};

use super::clock::Clock;
use super::rate::Rate;
use super::socket::{Attempt, Socket};
use super::stop::Stop;
use super::wire::Wire;
use crate::engine::engine::{Engine, EngineSettings, Receipt};
use crate::engine::intake::{Ownership, Witness, take_messages};
use crate::engine::json::Malformed;
use crate::engine::queue::Queue;
use crate::engine::time::UnixNanos;

/// Bytes asked for in one read: what a busy socket has, small enough to stay in the second-level cache.
const READ_BYTES: usize = 256 << 10;
/// The time of being behind over which the queue opens up from one read to its whole capacity.
const OPENING_NS: u64 = 500_000_000;
/// Messages between two looks at socket, outputs and clock.
const SLICE_MESSAGES: u64 = 256;
/// The reactor (HTTP, the other tasks) gets its turn this often, however busy the socket is.
const TURN_NS: u64 = 1_000_000;
/// glommio 0.9 goes to sleep with runnable tasks when its preemption timer has run out before it looks at them (the
/// thread was not scheduled in between): `run_task_queues` then says that nothing ran, which is taken for "nothing to
/// run". So a turn is never given away without a timer that ends such a sleep: this soon while there is work,
const LOST_TURN: Duration = Duration::from_millis(1);
/// and this soon when there is none, for the sake of the other tasks.
const LOST_TURN_IDLE_NS: u64 = 250_000_000;
/// A connection that has been silent for this long waits in the reactor.
const IDLE_AFTER_NS: u64 = 20_000_000;
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Reads after the end of a connection: what a socket can hold by then is far less.
const LAST_READS_MAX: usize = 256;
/// At a stop, for the last outputs.
const FLUSH_LIMIT_NS: u64 = 1_000_000_000;
/// Of the 5 s that a stop may take, the server gets this long to answer the drain.
const DRAIN_LIMIT_NS: u64 = 2_000_000_000;
const LOG_INTERVAL_NS: u64 = 1_000_000_000;

#[derive(Clone)]
pub struct ShardSettings {
    pub engine: EngineSettings,
    pub ownership: Ownership,
    pub queue_bytes: usize,
    pub busy_poll: bool,
    pub servers: Vec<ServerAddress>,
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
}

/// Everything one shard owns.
pub struct Shard {
    pub engine: Engine,
    pub queue: Queue,
    pub connection: ConnectionReport,
    pub rate: Rate,
    pub clock: Clock,
    settings: ShardSettings,
    wire: Wire,
    /// When the unread bytes were read: the end of each read in the stream of all bytes, and its moment.
    reads: VecDeque<(u64, UnixNanos)>,
    bytes_read: u64,
    /// When the queue was last drained.
    drained_ns: u64,
    control: Vec<u8>,
    /// Publications that the last connection did not take whole; they go first on the next one that is ready.
    resend: Vec<u8>,
    last_malformed_log_ns: Option<u64>,
}

/// Reads remembered; beyond them the newest ones are taken together, at the moment of the earlier.
const READS_MAX: usize = 1024;

impl Shard {
    pub fn new(settings: ShardSettings, clock: Clock) -> Self {
        let mut engine = Engine::new(settings.engine.clone());
        engine.stall_output();
        Shard {
            engine,
            queue: Queue::new(settings.queue_bytes),
            connection: ConnectionReport::default(),
            rate: Rate::new(clock.elapsed_ns()),
            clock,
            settings,
            wire: Wire::default(),
            reads: VecDeque::with_capacity(READS_MAX),
            bytes_read: 0,
            drained_ns: clock.elapsed_ns(),
            control: Vec::with_capacity(4096),
            resend: Vec::new(),
            last_malformed_log_ns: None,
        }
    }

    pub fn ownership(&self) -> Ownership {
        self.settings.ownership
    }

    /// Reads what the socket has, as far as the queue has room.
    fn read(&mut self, socket: &Socket) -> ReadOutcome {
        let mut outcome = ReadOutcome::Nothing;
        let behind_ns = (self.clock.elapsed_ns() - self.drained_ns).min(OPENING_NS);
        let opened = (self.queue.capacity() as u64 * behind_ns / OPENING_NS) as usize;
        loop {
            if self.queue.len_bytes() == self.queue.capacity() {
                return ReadOutcome::QueueFull;
            }
            let open = (READ_BYTES + opened).saturating_sub(self.queue.len_bytes());
            let place = self.queue.room(READ_BYTES.min(open));
            let asked = place.len();
            if asked == 0 {
                return outcome;
            }
            match socket.try_read(place) {
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

    /// Takes a slice of messages; says whether the queue is drained.
    fn take_slice(&mut self, connection: &mut Connection) -> Result<bool, proto_nats::ProtocolError> {
        let consumed = self.bytes_read - self.queue.len_bytes() as u64;
        while self.reads.front().is_some_and(|(end, _)| *end <= consumed) {
            self.reads.pop_front();
        }
        let read_at = self.reads.front().map_or_else(|| self.clock.now(), |(_, moment)| *moment);
        let now_ns = self.clock.elapsed_ns();
        let mut witness =
            Listener { connection, now_ns, out: &mut self.control, last_log_ns: &mut self.last_malformed_log_ns };
        let round = take_messages(
            &mut self.engine,
            &mut self.queue,
            self.settings.ownership,
            Receipt::At(read_at),
            SLICE_MESSAGES,
            &mut witness,
        )?;
        self.wire.frames().append(&mut self.control);
        if round.is_drained {
            self.drained_ns = now_ns;
            // The start of a frame may be left: it counts as read when its end is.
            self.reads.clear();
        }
        if round.messages > 0 {
            self.encode_outputs(connection);
            let now = self.clock.now();
            let latency_ns = now.since(read_at).max(0) as u64;
            self.engine.counters.processing_latency.observe(latency_ns, round.messages);
            self.rate.count(self.clock.elapsed_ns(), round.messages);
        }
        Ok(round.is_drained)
    }

    /// The connection is over: what had arrived by then is still worth having, trades above all.
    fn finish_input(&mut self, socket: &Socket, connection: &mut Connection) {
        for _ in 0..LAST_READS_MAX {
            let outcome = self.read(socket);
            while let Ok(false) = self.take_slice(connection) {}
            if !matches!(outcome, ReadOutcome::Some | ReadOutcome::QueueFull) {
                return;
            }
        }
    }

    /// The drain is over and the connection about to be closed: everything there is to publish is sent, for as long as
    /// the server takes it, up to a limit; the rest is counted.
    fn finish_output(&mut self, socket: &Socket, max_payload: u64) {
        let start_ns = self.clock.elapsed_ns();
        while self.clock.elapsed_ns() - start_ns < FLUSH_LIMIT_NS {
            self.encode_while_room(max_payload);
            if !self.wire.flush(socket) {
                break;
            }
            if self.wire.pending_bytes() == 0 && !self.engine.has_output() {
                return;
            }
            socket.wait_briefly(true, Duration::from_nanos(TURN_NS - 1));
        }
        while let Some(message) = self.engine.poll_output() {
            let kind = message.kind;
            self.engine.count_unpublished(kind);
        }
    }

    /// Moves messages onto the wire while there is a ready connection and room.
    fn encode_outputs(&mut self, connection: &Connection) {
        if !matches!(connection.state(), proto_nats::State::Ready | proto_nats::State::Draining) {
            return self.engine.stall_output();
        }
        self.wire.frames().append(&mut self.resend);
        self.encode_while_room(connection.max_payload());
    }

    fn encode_while_room(&mut self, max_payload: u64) {
        while self.engine.has_output() {
            if !self.wire.has_room() {
                return self.engine.stall_output();
            }
            let Some(message) = self.engine.poll_output() else { return };
            if message.payload.len() as u64 > max_payload {
                let kind = message.kind;
                self.engine.count_unpublished(kind);
                continue;
            }
            encode::publish(self.wire.frames(), message.subject, None, message.payload);
        }
    }

    /// When something is due without any event, in ns of the clock.
    fn next_deadline_ns(&self, connection: &Connection) -> u64 {
        let engine = self.engine.next_deadline().map(|moment| self.clock.elapsed_at(moment));
        let connection = connection.next_deadline();
        engine.unwrap_or(u64::MAX).min(connection.unwrap_or(u64::MAX))
    }

    /// Time has passed: snapshots and pings that are due.
    fn handle_time(&mut self, connection: &mut Connection) {
        self.engine.handle_time(self.clock.now());
        connection.handle_time(self.clock.elapsed_ns(), self.wire.frames());
        self.encode_outputs(connection);
    }
}

#[derive(PartialEq, Eq)]
enum ReadOutcome {
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
    last_log_ns: &'a mut Option<u64>,
}

impl Witness for Listener<'_> {
    fn control(&mut self, op: &ServerOp<'_>) {
        self.connection.handle_op(op, self.now_ns, self.out);
    }

    fn malformed(&mut self, subject: &[u8], malformed: Malformed) {
        if self.last_log_ns.is_none_or(|last| self.now_ns - last >= LOG_INTERVAL_NS) {
            *self.last_log_ns = Some(self.now_ns);
            log::warn!("malformed event on {}: {malformed}", String::from_utf8_lossy(subject));
        }
    }
}

/// Runs a shard until `stop` is set: connects, serves, reconnects.
pub async fn run(shard: Rc<RefCell<Shard>>, stop: Stop) {
    let (mut pool, clock) = {
        let shard = shard.borrow();
        // Cores and instances should not all try the same server first.
        let seed = shard.clock.now().0 as u64 ^ (shard.settings.ownership.core as u64) << 48;
        (ServerPool::new(shard.settings.servers.clone(), seed), shard.clock)
    };
    let mut was_ready = false;
    let mut last_trouble = None;
    while !stop.is_set() {
        let address = match pool.next(clock.elapsed_ns()) {
            Next::Attempt(address) => address,
            Next::Wait { until_ns } => {
                let pause = Duration::from_nanos(until_ns.saturating_sub(clock.elapsed_ns()));
                async {
                    Timer::new(pause).await;
                }
                .or(stop.wait())
                .await;
                continue;
            }
        };
        let name = format!("{}:{}", address.host, address.port);
        let connected = async { Some(connect(address.clone()).await) }.or(async {
            stop.wait().await;
            None
        });
        let ended = match connected.await {
            None => break,
            Some(Ok(socket)) => serve(&shard, &socket, &address, &mut pool, &mut was_ready, &stop).await,
            Some(Err(error)) => Ended { cause: proto_nats::Cause::Trouble, text: Some(error) },
        };
        pool.handle_closed(ended.cause, clock.elapsed_ns());
        let mut shard = shard.borrow_mut();
        shard.connection.is_connected = false;
        shard.connection.is_ready = false;
        shard.engine.stall_output();
        if let Some(text) = ended.text {
            let trouble = format!("NATS {name}: {text}");
            // The same trouble again is worth a line in the debug log only.
            let level = if last_trouble.as_ref() == Some(&trouble) { log::Level::Debug } else { log::Level::Warn };
            log::log!(level, "{trouble}; trying again");
            shard.connection.trouble = Some(trouble.clone());
            last_trouble = Some(trouble);
        }
        if was_ready && shard.connection.trouble.is_none() {
            last_trouble = None;
        }
    }
}

struct Ended {
    cause: proto_nats::Cause,
    /// What to tell; nothing at an orderly stop.
    text: Option<String>,
}

/// Resolves and connects, off the reactor.
async fn connect(address: ServerAddress) -> Result<Socket, String> {
    let attempt = move || -> Result<TcpStream, String> {
        let addresses = (address.host.as_str(), address.port)
            .to_socket_addrs()
            .map_err(|error| format!("the name cannot be resolved: {error}"))?;
        let mut last = "the name has no address".to_owned();
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
                Ok(stream) => return Ok(stream),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    last = "connection refused: is nats-server running there?".to_owned();
                }
                Err(error) => last = format!("cannot connect: {error}"),
            }
        }
        Err(last)
    };
    let stream = glommio::executor().spawn_blocking(attempt).await?;
    Socket::new(stream).map_err(|error| format!("cannot use the socket: {error}"))
}

/// Serves one connection until its end.
async fn serve(
    shard: &Rc<RefCell<Shard>>,
    socket: &Socket,
    address: &ServerAddress,
    pool: &mut ServerPool,
    was_ready: &mut bool,
    stop: &Stop,
) -> Ended {
    let (mut connection, clock, busy_poll) = {
        let mut shard = shard.borrow_mut();
        let settings = proto_nats::Settings {
            connect: ConnectOptions { name: shard.settings.client_name.clone(), ..ConnectOptions::default() },
            credentials: address.credentials.clone().unwrap_or(Credentials::None),
            ..proto_nats::Settings::default()
        };
        let numbered = shard.settings.subjects.iter().zip(1..);
        let subscriptions = numbered.map(|(subject, sid)| Subscription::new(sid, subject, None)).collect();
        let connection = Connection::new(settings, subscriptions, shard.clock.elapsed_ns());
        let unsent = shard.wire.take_unsent_publications();
        shard.resend.extend_from_slice(&unsent);
        shard.queue.clear();
        shard.reads.clear();
        shard.bytes_read = 0;
        shard.drained_ns = shard.clock.elapsed_ns();
        (connection, shard.clock, shard.settings.busy_poll)
    };
    let mut last_turn_ns = clock.elapsed_ns();
    let mut last_input_ns = last_turn_ns;
    let mut is_paused = false;
    let mut is_draining = false;
    loop {
        let drained = {
            let mut shard = shard.borrow_mut();
            match shard.read(socket) {
                // The queue has room again: that ends a pause, whether or not anything has come since. A peer that
                // vanished meanwhile is found by its silence from here on.
                outcome @ (ReadOutcome::Some | ReadOutcome::Nothing) => {
                    let now_ns = clock.elapsed_ns();
                    if outcome == ReadOutcome::Some {
                        last_input_ns = now_ns;
                        connection.note_received(now_ns);
                    }
                    if is_paused {
                        is_paused = false;
                        connection.handle_reading_resumed(now_ns);
                    }
                }
                ReadOutcome::QueueFull if !is_paused => {
                    is_paused = true;
                    connection.handle_reading_paused(clock.elapsed_ns());
                }
                ReadOutcome::QueueFull => {}
                ReadOutcome::Ended => {
                    shard.finish_input(socket, &mut connection);
                    connection.handle_end_of_stream(clock.elapsed_ns());
                }
            }
            match shard.take_slice(&mut connection) {
                Ok(drained) => {
                    if drained {
                        shard.handle_time(&mut connection);
                    }
                    if !shard.wire.flush(socket) {
                        shard.finish_input(socket, &mut connection);
                        connection.handle_end_of_stream(clock.elapsed_ns());
                    }
                    drained
                }
                Err(error) => {
                    connection.handle_malformed(error);
                    true
                }
            }
        };
        if let Some(ended) = handle_actions(shard, &mut connection, pool, was_ready) {
            if is_draining {
                shard.borrow_mut().finish_output(socket, connection.max_payload());
            }
            socket.close();
            return ended;
        }
        let now_ns = clock.elapsed_ns();
        if stop.is_set() && !is_draining {
            is_draining = true;
            let mut shard = shard.borrow_mut();
            connection.begin_drain(now_ns, DRAIN_LIMIT_NS, shard.wire.frames());
            continue;
        }
        if now_ns - last_turn_ns >= TURN_NS {
            give_turn().await;
            last_turn_ns = clock.elapsed_ns();
            continue;
        }
        if !drained || busy_poll {
            continue;
        }
        let (deadline_ns, for_writing) = {
            let shard = shard.borrow();
            (shard.next_deadline_ns(&connection), shard.wire.pending_bytes() > 0)
        };
        let until_deadline_ns = deadline_ns.saturating_sub(now_ns);
        if now_ns - last_input_ns < IDLE_AFTER_NS || for_writing || until_deadline_ns < TURN_NS || is_draining {
            let limit_ns = until_deadline_ns.min(TURN_NS - (now_ns - last_turn_ns));
            socket.wait_briefly(for_writing, Duration::from_nanos(limit_ns));
        } else {
            let timer = async {
                Timer::new(Duration::from_nanos(until_deadline_ns.min(LOST_TURN_IDLE_NS))).await;
            };
            socket.wait_readable().or(timer).or(stop.wait()).await;
            last_turn_ns = clock.elapsed_ns();
        }
        // Time asleep is not time behind.
        shard.borrow_mut().drained_ns = clock.elapsed_ns();
    }
}

/// Lets the reactor and the other tasks run.
async fn give_turn() {
    let lost = async {
        Timer::new(LOST_TURN).await;
    };
    glommio::executor().yield_task_queue_now().or(lost).await;
}

/// Does what the connection asks for; says when it is over.
fn handle_actions(
    shard: &Rc<RefCell<Shard>>,
    connection: &mut Connection,
    pool: &mut ServerPool,
    was_ready: &mut bool,
) -> Option<Ended> {
    for _ in 0..=NOTICES_MAX {
        let Some(action) = connection.poll_action() else { break };
        let mut shard = shard.borrow_mut();
        let now_ns = shard.clock.elapsed_ns();
        match action {
            Action::StartTls => {
                let text = "the server requires TLS, which this version does not speak".to_owned();
                return Some(Ended { cause: proto_nats::Cause::Refused, text: Some(text) });
            }
            Action::InfoReceived { secured } => {
                pool.merge_discovered(&connection.info().connect_urls, secured);
            }
            Action::Ready { refused } => {
                pool.handle_ready(now_ns);
                shard.connection.is_connected = true;
                shard.connection.reconnects += u64::from(*was_ready);
                *was_ready = true;
                shard.connection.is_ready = refused == 0;
                if refused == 0 {
                    shard.connection.trouble = None;
                }
                shard.encode_outputs(connection);
                let info = connection.info();
                log::info!("connected to NATS server {} {}, subscribed", info.server_name, info.version);
            }
            Action::Confirmed => shard.connection.is_ready = connection.is_ready(),
            Action::LameDuck => {
                log::warn!("the NATS server is about to shut down (lame duck)");
                if pool.handle_lame_duck(now_ns) {
                    let text = "moving away from a server that is shutting down".to_owned();
                    return Some(Ended { cause: proto_nats::Cause::Left, text: Some(text) });
                }
            }
            Action::SubscriptionRefused { subject } => {
                let trouble = format!("NATS refuses the subscription to {subject}: grant this user that permission");
                log::error!("{trouble}");
                shard.connection.is_ready = false;
                shard.connection.trouble = Some(trouble);
            }
            Action::Complaint(error) => log::warn!("NATS: {error}"),
            Action::UnreadableInfo => log::warn!("NATS sent an INFO that is not a JSON object"),
            Action::DrainComplete { confirmed } => {
                if !confirmed {
                    log::warn!("NATS did not confirm the drain in time");
                }
                return Some(Ended { cause: proto_nats::Cause::Left, text: None });
            }
            Action::Disconnect(reason) => {
                if matches!(reason, Reason::ClosedAsSlowConsumer { .. }) {
                    shard.connection.slow_consumer_cuts += 1;
                }
                return Some(Ended { cause: reason.cause(), text: Some(reason.to_string()) });
            }
        }
    }
    None
}
