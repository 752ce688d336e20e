//! A NATS client that only publishes, on blocking threads: for `feed`, which has nothing else to do.
//!
//! ```text
//!   publish(frames) ──► session ──► socket ──► server          the caller's thread
//!   PINGs, PONGs, the end, the next connection                 a thread of its own, between two batches
//! ```
//!
//! The one that holds the lock drives the session, so both see whole frames. When the connection ends it connects again, as
//! the service does: a frame that was not handed to the socket whole goes to the next connection. What was handed over
//! after the last PING that was answered may be lost, and is counted.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use proto_nats::{
    ConnectionSettings, DecodeLimits, Decoded, Malformed, Operation, ProtocolError, Reason, ServerAddress, ServerError,
    decode_server_op,
};

use crate::engine::memory::NoMemory;
use crate::engine::time::NANOS_PER_SECOND;
use crate::nats::connection_log::ConnectionLog;
use crate::nats::credentials::Access;
use crate::nats::dialer::Dialer;
use crate::nats::error::{Complaint, ServerTrouble, Trouble};
use crate::nats::publish_ledger::{Ledger, count_frames, not_taken};
use crate::nats::session::{Output, Session, SessionSettings};
use crate::nats::transport::{self, Attempt, Transport};
use crate::runtime::MachineError;
use crate::runtime::clock::Clock;

/// For the server to take some bytes, and for the last PONG: more than a busy server takes for what sockets hold.
const PATIENCE: Duration = Duration::from_secs(30);
/// At a stop, for the server to take what is on its way.
const STOP_LIMIT_NS: u64 = 2 * NANOS_PER_SECOND as u64;
/// Between two PINGs: what may be lost with a connection is what was sent in about so long.
const CONFIRM_INTERVAL_NS: u64 = NANOS_PER_SECOND as u64;
/// Between two looks at the clock, where nothing arrives.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Longest wait of the thread that is not the caller's, which may hold up a batch for as long.
const IDLE_LOOK_INTERVAL: Duration = Duration::from_millis(5);
const READ_BYTES: usize = 16 << 10;
const READS_MAX: usize = 16;

/// Why nothing more can be published.
#[derive(Debug)]
pub enum ClientError {
    /// There is no memory for the client's buffers.
    NoMemory(NoMemory),
    /// None of the servers can be used.
    NoServer(Vec<UnusableServer>),
    /// The server refuses a publication, and would refuse all that come after it.
    Refused { server: String, error: ServerError },
    /// It was to stop while there was no connection, or none that takes anything; so many events were not sent or not
    /// confirmed.
    Stopped { unsent: u64, cause: String },
    /// The server has not confirmed that it has taken everything.
    Unconfirmed { server: String },
    /// A thread for the client could not be had.
    Machine(MachineError),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::NoMemory(error) => error.fmt(f),
            ClientError::NoServer(causes) => {
                let causes: Vec<String> = causes.iter().map(UnusableServer::to_string).collect();
                write!(f, "no NATS server can be used ({}); start one, or set NATS_URL", causes.join("; "))
            }
            ClientError::Refused { server, error } => write!(f, "{server}: {}", Complaint(error)),
            ClientError::Stopped { unsent, cause } => {
                write!(f, "stopped; {unsent} events were not sent, or not confirmed ({cause})")
            }
            ClientError::Unconfirmed { server } => {
                write!(f, "{server} has not confirmed within {} s", PATIENCE.as_secs())
            }
            ClientError::Machine(error) => error.fmt(f),
        }
    }
}

/// A server that cannot be used, and why.
#[derive(Debug)]
pub struct UnusableServer {
    /// Without credentials.
    server: String,
    cause: String,
}

impl fmt::Display for UnusableServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.server, self.cause)
    }
}

/// What became of the connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientReport {
    /// Connections that became ready after the first.
    pub reconnects: u64,
    /// Events that were handed to a connection which ended before the server had confirmed them.
    pub maybe_lost: u64,
}

/// A client that is logged in, or connects again. Dropping it closes the connection.
pub struct BlockingClient {
    driver: Arc<Mutex<Driver>>,
    /// Between two batches it keeps the connection.
    keeper: Option<JoinHandle<()>>,
    server: ServerAddress,
    payload_bytes_max: usize,
}

impl BlockingClient {
    /// Connects to the first server that can be used; that each is tried once is enough to know that none is.
    pub fn connect(access: &Arc<Access>, stopped: &AtomicBool) -> Result<BlockingClient, ClientError> {
        let mut driver = Driver::new(access).map_err(ClientError::NoMemory)?;
        while !driver.session.takes_publications() {
            if stopped.load(Ordering::Relaxed) {
                let cause = driver.session.report(0).trouble.unwrap_or_default();
                return Err(ClientError::Stopped { unsent: 0, cause });
            }
            if let Some(causes) = driver.unusable.take_if(|causes| causes.len() >= driver.server_count) {
                return Err(ClientError::NoServer(causes));
            }
            driver.drive();
            driver.wait(LOOK_INTERVAL);
        }
        driver.unusable = None;
        let server = driver.session.server().expect("it is connected").0.clone();
        let payload_bytes_max = usize::try_from(driver.session.max_payload()).unwrap_or(usize::MAX);
        let driver = Arc::new(Mutex::new(driver));
        let kept = driver.clone();
        let keep = move || {
            while lock(&kept).drive() {
                // Whoever publishes has its turn.
                std::thread::sleep(IDLE_LOOK_INTERVAL);
            }
        };
        let spawned = std::thread::Builder::new().name("nats-client".to_owned()).spawn(keep);
        let keeper = Some(spawned.map_err(|error| ClientError::Machine(MachineError::NoThread(error)))?);
        Ok(BlockingClient { driver, keeper, server, payload_bytes_max })
    }

    /// Where it connected first, without credentials.
    pub fn server(&self) -> &ServerAddress {
        &self.server
    }

    /// Header and payload of a message may be so long together, as that server said.
    pub fn payload_bytes_max(&self) -> usize {
        self.payload_bytes_max
    }

    /// What became of the connections so far.
    pub fn report(&self) -> ClientReport {
        let driver = lock(&self.driver);
        ClientReport { reconnects: driver.session.report(0).reconnects, maybe_lost: driver.ledger.maybe_lost }
    }

    /// Hands whole PUB frames to the server, on as many connections as that takes. Without a connection it waits for one,
    /// until `stopped`.
    pub fn publish(&self, frames: &[u8], stopped: &AtomicBool) -> Result<(), ClientError> {
        let mut driver = lock(&self.driver);
        driver.publish(frames);
        self.send(&mut driver, stopped)
    }

    /// Whether anything can be published. Without a connection it can, later.
    pub fn check(&self) -> Result<(), ClientError> {
        self.judge(&lock(&self.driver))
    }

    /// Waits until a server has taken everything; nothing can be published after it.
    pub fn finish(&self, stopped: &AtomicBool) -> Result<(), ClientError> {
        let mut driver = lock(&self.driver);
        self.send(&mut driver, stopped)?;
        let now_ns = driver.clock.elapsed_ns();
        driver.session.begin_stop(now_ns);
        while driver.drive() {
            driver.wait(LOOK_INTERVAL);
        }
        self.judge(&driver)
    }

    fn send(&self, driver: &mut Driver, stopped: &AtomicBool) -> Result<(), ClientError> {
        let mut stopped_ns = None;
        loop {
            driver.drive();
            self.judge(driver)?;
            if !driver.has_unsent() {
                return Ok(());
            }
            if stopped.load(Ordering::Relaxed) {
                let now_ns = driver.clock.elapsed_ns();
                let since_ns = *stopped_ns.get_or_insert(now_ns);
                if !driver.session.takes_publications() || now_ns - since_ns > STOP_LIMIT_NS {
                    let unsent = driver.ledger.unsent() + driver.ledger.unconfirmed();
                    let cause = driver.session.report(0).trouble;
                    let cause = cause.unwrap_or_else(|| "the server takes nothing".to_owned());
                    return Err(ClientError::Stopped { unsent, cause });
                }
            }
            driver.wait(LOOK_INTERVAL);
        }
    }

    fn judge(&self, driver: &Driver) -> Result<(), ClientError> {
        let server = self.server.to_string();
        match &driver.end {
            Some(End::Refused(error)) => Err(ClientError::Refused { server, error: error.clone() }),
            Some(End::Drained { is_confirmed: false }) => Err(ClientError::Unconfirmed { server }),
            None | Some(End::Drained { is_confirmed: true }) => Ok(()),
        }
    }
}

impl Drop for BlockingClient {
    fn drop(&mut self) {
        let mut driver = lock(&self.driver);
        driver.end.get_or_insert(End::Drained { is_confirmed: false });
        if let Some(transport) = &mut driver.transport {
            transport.close();
        }
        drop(driver);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

fn lock(driver: &Mutex<Driver>) -> MutexGuard<'_, Driver> {
    driver.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How it ended.
enum End {
    Drained { is_confirmed: bool },
    Refused(ServerError),
}

/// The session and its sockets.
struct Driver {
    session: Session<()>,
    dialer: Dialer,
    transport: Option<Transport>,
    clock: Clock,
    log: ConnectionLog,
    /// Bytes from the server that are no whole frame yet.
    input: Vec<u8>,
    /// Frames for the next connection.
    waiting: Vec<u8>,
    ledger: Ledger,
    /// Until the first connection: those that were tried.
    unusable: Option<Vec<UnusableServer>>,
    server_count: usize,
    /// The server has not failed to answer the drain.
    is_confirmed: bool,
    end: Option<End>,
}

impl Driver {
    fn new(access: &Arc<Access>) -> Result<Driver, NoMemory> {
        let settings = SessionSettings {
            servers: access.servers().to_vec(),
            discovers: access.discovers(),
            subjects: Vec::new(),
            stream: None,
            seed: None,
            drain_limit_ns: PATIENCE.as_nanos() as u64,
            write_limit_ns: PATIENCE.as_nanos() as u64,
        };
        let adjust = |settings: &mut ConnectionSettings| {
            // A PING waits behind what is unsent, so a server that takes its time is silent for as long.
            settings.silence_ns = PATIENCE.as_nanos() as u64 / 2;
            settings.ping_interval_ns = CONFIRM_INTERVAL_NS;
            settings.pings_outstanding_max = PATIENCE.as_secs() as u32;
        };
        let session = Session::new(settings)?;
        Ok(Driver {
            server_count: session.server_count(),
            session,
            dialer: Dialer::new(access.clone(), access.client_name().to_owned(), 0, adjust),
            transport: None,
            clock: Clock::start(),
            log: ConnectionLog::new(0),
            input: Vec::new(),
            waiting: Vec::new(),
            ledger: Ledger::default(),
            unusable: Some(Vec::new()),
            is_confirmed: true,
            end: None,
        })
    }

    /// Frames on their way: on this connection, or with the next one.
    fn publish(&mut self, frames: &[u8]) {
        if self.session.takes_publications() {
            self.ledger.publish(count_frames(frames));
            self.session.publish_frames(frames, (), self.clock.elapsed_ns());
        } else {
            self.ledger.wait(count_frames(frames));
            self.waiting.extend_from_slice(frames);
        }
    }

    fn has_unsent(&self) -> bool {
        !self.waiting.is_empty()
            || !self.session.bytes_to_send().is_empty()
            || self.transport.as_ref().is_some_and(Transport::wants_write)
    }

    /// Until a socket is ready, or it is time for another look at the clock.
    fn wait(&mut self, limit: Duration) {
        let for_writing =
            !self.session.bytes_to_send().is_empty() || self.transport.as_ref().is_some_and(Transport::wants_write);
        let mut awaited = Vec::new();
        awaited.extend(self.transport.as_ref().and_then(|transport| transport.interest(true, for_writing)));
        self.dialer.interests(&mut self.session, &mut awaited);
        transport::wait(&mut awaited, limit.min(self.dialer.wait_max()));
    }

    /// Reads, answers, connects and sends what can be at this moment; false when it is over.
    fn drive(&mut self) -> bool {
        if self.end.is_some() {
            return false;
        }
        self.exchange();
        // The drain's PONG may be the last thing that came.
        self.note_pings();
        let now_ns = self.clock.elapsed_ns();
        self.dialer.drive(&mut self.session, now_ns);
        while self.end.is_none()
            && let Some(output) = self.session.poll_output(now_ns)
        {
            self.grant(output, now_ns);
        }
        if self.session.is_over() {
            self.end.get_or_insert(End::Drained { is_confirmed: true });
        }
        self.note_pings();
        self.end.is_none()
    }

    /// Before the first connection: that this server cannot be used. False: there was one.
    fn note_unusable(&mut self, about: &ServerTrouble) -> bool {
        let Some(unusable) = &mut self.unusable else { return false };
        let server = about.server.to_string();
        unusable.retain(|other| other.server != server);
        unusable.push(UnusableServer { server, cause: about.trouble.to_string() });
        true
    }

    /// Before anything more is published: what comes after a PING is not confirmed by it.
    fn note_pings(&mut self) {
        if let Some((sent, answered)) = self.session.pings() {
            self.ledger.note_pings(sent, answered);
        }
    }

    fn grant(&mut self, output: Output, now_ns: u64) {
        match output {
            Output::Connect { id, server } => self.dialer.begin(id, server, now_ns),
            Output::StartTls(id) => self.dialer.start_tls(id, &mut self.session, now_ns),
            Output::GiveUp { id, trouble } => {
                self.dialer.give_up(id);
                if let Some(about) = trouble
                    && !self.note_unusable(&about)
                {
                    self.log.trouble(&about, now_ns);
                }
            }
            Output::Serve(id) => match self.dialer.take(id) {
                Some((transport, input)) => (self.transport, self.input) = (Some(transport), input),
                None => self.session.handle_failed(Trouble::Socket(std::io::ErrorKind::NotConnected.into())),
            },
            Output::Ready => {
                if self.unusable.is_none()
                    && let Some((server, info, is_secured)) = self.session.server()
                {
                    self.log.connected(server, info, is_secured, None, now_ns);
                }
                self.note_pings();
                let frames = std::mem::take(&mut self.waiting);
                self.ledger.end_wait();
                if !frames.is_empty() {
                    self.publish(&frames);
                }
            }
            Output::Close { trouble, .. } => {
                self.transport = None;
                let unsent = self.session.take_unsent();
                let before = std::mem::take(&mut self.waiting);
                self.waiting = not_taken(&unsent);
                self.ledger.close(count_frames(&self.waiting));
                self.waiting.extend(before);
                match trouble {
                    Some(about) if self.session.is_over() => {
                        self.log.drain_cut_short(&about);
                        self.end = Some(End::Drained { is_confirmed: true });
                    }
                    Some(about) if !self.note_unusable(&about) => self.log.ended(&about, now_ns),
                    _ => {}
                }
            }
            // What follows a refusal, the drain's end above all, does not make it good.
            Output::Complaint(error @ ServerError::PermissionsViolation { operation: Operation::Publish, .. }) => {
                self.end = Some(End::Refused(error));
            }
            Output::Complaint(error) => self.log.complaint(Complaint(&error), now_ns),
            Output::DrainUnconfirmed => self.is_confirmed = false,
            Output::Flush => self.end = Some(End::Drained { is_confirmed: self.is_confirmed }),
            Output::Overlap
            | Output::LameDuck
            | Output::NoOtherServer
            | Output::Untrusted { .. }
            | Output::SubscriptionRefused
            | Output::UnreadableInfo => {}
        }
    }

    /// Moves the bytes of both directions that can be moved at this moment.
    fn exchange(&mut self) {
        self.read();
        // What the socket takes comes before the judgement on how long it has taken nothing: the process may have slept.
        self.send();
        self.session.handle_time(self.clock.elapsed_ns());
        self.log.handle_time(self.clock.elapsed_ns());
        self.send();
    }

    fn send(&mut self) {
        let now_ns = self.clock.elapsed_ns();
        if let Some(transport) = &mut self.transport
            && !transport.send(&mut self.session, now_ns)
        {
            // What the server said before it closed is still to be read.
            self.read();
            self.handle_end();
        }
    }

    /// A few reads at most: a server may have no end of what it sends.
    fn read(&mut self) {
        let mut bytes = [0; READ_BYTES];
        for _ in 0..READS_MAX {
            let Some(transport) = &mut self.transport else { return };
            match transport.try_read(&mut bytes) {
                Attempt::Bytes(len) => {
                    self.input.extend_from_slice(&bytes[..len]);
                    if !handle_input(&mut self.session, &mut self.input, self.clock.elapsed_ns()) {
                        return;
                    }
                }
                Attempt::WouldBlock => break,
                Attempt::Ended => return self.handle_end(),
            }
        }
    }

    fn handle_end(&mut self) {
        let error = self.transport.as_mut().and_then(Transport::take_trouble);
        self.session.handle_end_of_stream(error, self.clock.elapsed_ns());
    }
}

/// Hands the whole operations of `input` to the session; what is left is the start of one. False: it is not NATS.
fn handle_input(session: &mut Session<()>, input: &mut Vec<u8>, now_ns: u64) -> bool {
    let mut taken = 0;
    let error = loop {
        match decode_server_op(&input[taken..], &DecodeLimits::default()) {
            Ok(Decoded::Op { op, len }) => {
                session.handle_op(&op, now_ns);
                taken += len;
            }
            Ok(Decoded::NeedMore { .. }) => {
                input.drain(..taken);
                return true;
            }
            // Nothing is subscribed to: a message, and a huge one, is no operation to send here.
            Ok(Decoded::Oversized { .. }) => break ProtocolError::Server(Malformed::UnknownOperation),
            Err(error) => break error,
        }
    };
    input.clear();
    session.handle_unusable(Reason::Malformed(error));
    false
}
