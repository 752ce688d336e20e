//! A NATS client that only publishes, on blocking threads: for `feed`, which has nothing else to do.
//!
//! ```text
//!   publish(frames) ──► session ──► socket ──► server          the caller's thread
//!   PINGs, PONGs, the end, the next connection                 a thread of its own, between two batches
//! ```
//!
//! The one that holds the lock drives the session, so both see whole frames. When the connection ends it connects again, as
//! the service does: a frame that was not handed to the socket whole goes to the next connection. What was handed over
//! after the last PING that was answered may be lost, and is counted. Where a stream is to store it, nothing is lost: it is kept
//! until the stream has said so ([`StoredLedger`]).

use std::fmt;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use proto_nats::{ConnectionSettings, Operation, ServerAddress, ServerError};

use crate::engine::time::NANOS_PER_SECOND;
use crate::nats::blocking_session::{BlockingSession, ConnectFailure, LOOK_INTERVAL};
use crate::nats::credentials::Access;
use crate::nats::error::Complaint;
use crate::nats::publish_ledger::{Ledger, count_frames, not_taken};
use crate::nats::session::{Output, SessionSettings};
use crate::nats::stored_ledger::{Due, HEADER_BYTES_MAX, StoredLedger, StoredReport};
use crate::runtime::MachineError;
use crate::runtime::clock::Clock;

/// For the server to take some bytes, and for the last PONG: more than a busy server takes for what sockets hold.
const PATIENCE: Duration = Duration::from_secs(30);
/// At a stop, for the server to take what is on its way.
const STOP_LIMIT_NS: u64 = 2 * NANOS_PER_SECOND as u64;
/// Between two PINGs: what may be lost with a connection is what was sent in about so long.
const CONFIRM_INTERVAL_NS: u64 = NANOS_PER_SECOND as u64;
/// Longest wait of the thread that is not the caller's, which may hold up a batch for as long.
const IDLE_LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Why nothing more can be published.
#[derive(Debug)]
pub enum ClientError {
    /// There was no connection at all.
    Connect(ConnectFailure),
    /// The server refuses a publication, and would refuse all that come after it.
    Refused { server: String, error: ServerError },
    /// It was to stop while there was no connection, or none that takes anything; so many events were not sent or not
    /// confirmed.
    Stopped { unsent: u64, cause: String },
    /// A stream was to store it, and does not.
    NotStored { server: String, cause: String },
    /// The server has not confirmed that it has taken everything.
    Unconfirmed { server: String },
    /// A thread for the client could not be had.
    Machine(MachineError),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Connect(failure) => failure.fmt(f),
            ClientError::Refused { server, error } => write!(f, "{server}: {}", Complaint(error)),
            ClientError::Stopped { unsent, cause } => {
                write!(f, "stopped; {unsent} events were not sent, or not confirmed ({cause})")
            }
            ClientError::NotStored { server, cause } => write!(f, "{server}: {cause}"),
            ClientError::Unconfirmed { server } => {
                write!(f, "{server} has not confirmed within {} s", PATIENCE.as_secs())
            }
            ClientError::Machine(error) => error.fmt(f),
        }
    }
}

/// What became of the connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientReport {
    /// Connections that became ready after the first.
    pub reconnects: u64,
    /// Events that were handed to a connection which ended before the server had confirmed them.
    pub maybe_lost: u64,
    /// Where a stream is to store them: what it has said.
    pub stored: Option<StoredReport>,
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
    /// Connects to the first server that can be used; that each is tried once is enough to know that none is. With `stores` a
    /// stream is to store what is published.
    pub fn connect(access: &Arc<Access>, stores: bool, stopped: &AtomicBool) -> Result<BlockingClient, ClientError> {
        let mut driver = Driver::new(access, stores).map_err(ClientError::Connect)?;
        while !driver.sockets.session.takes_publications() {
            driver.sockets.check_connecting(stopped).map_err(ClientError::Connect)?;
            driver.drive();
            driver.sockets.wait(LOOK_INTERVAL);
        }
        driver.sockets.end_connecting();
        let server = driver.sockets.session.server().expect("it is connected").0.clone();
        let message_bytes_max = usize::try_from(driver.sockets.session.max_payload()).unwrap_or(usize::MAX);
        let payload_bytes_max = message_bytes_max.saturating_sub(if stores { HEADER_BYTES_MAX } else { 0 });
        let driver = Arc::new(Mutex::new(driver));
        let kept = driver.clone();
        let keep = move || {
            while lock(&kept).drive() {
                // The publishing thread has its turn.
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
        let stored = driver.stored.as_ref();
        ClientReport {
            reconnects: driver.sockets.session.report(0).reconnects,
            maybe_lost: stored.map_or(driver.ledger.maybe_lost, StoredLedger::unstored),
            stored: stored.map(StoredLedger::report),
        }
    }

    /// Hands whole PUB frames to the server, on as many connections as that takes. Without a connection it waits for one,
    /// until `stopped`.
    pub fn publish(&self, frames: &[u8], stopped: &AtomicBool) -> Result<(), ClientError> {
        let mut driver = lock(&self.driver);
        driver.publish(frames);
        self.send(&mut driver, stopped, |driver| driver.has_unsent() || driver.is_full())
    }

    /// Whether anything can be published. Without a connection it can, later.
    pub fn check(&self) -> Result<(), ClientError> {
        self.judge(&lock(&self.driver))
    }

    /// Waits until a server has taken everything; nothing can be published after it.
    pub fn finish(&self, stopped: &AtomicBool) -> Result<(), ClientError> {
        let mut driver = lock(&self.driver);
        self.send(&mut driver, stopped, |driver| driver.has_unsent() || driver.unconfirmed() > 0)?;
        let now_ns = driver.sockets.clock.elapsed_ns();
        driver.sockets.session.begin_stop(now_ns);
        while driver.drive() {
            driver.sockets.wait(LOOK_INTERVAL);
        }
        self.judge(&driver)
    }

    fn send(
        &self,
        driver: &mut Driver,
        stopped: &AtomicBool,
        has_more: impl Fn(&Driver) -> bool,
    ) -> Result<(), ClientError> {
        let mut stopped_ns = None;
        loop {
            driver.drive();
            self.judge(driver)?;
            if !has_more(driver) {
                return Ok(());
            }
            if stopped.load(Ordering::Relaxed) {
                let now_ns = driver.sockets.clock.elapsed_ns();
                let since_ns = *stopped_ns.get_or_insert(now_ns);
                if !driver.sockets.session.takes_publications() || now_ns - since_ns > STOP_LIMIT_NS {
                    let unsent = match &driver.stored {
                        Some(stored) => stored.unstored(),
                        None => driver.ledger.unsent() + driver.ledger.unconfirmed(),
                    };
                    let cause = driver.sockets.session.report(0).trouble;
                    let cause = cause.unwrap_or_else(|| "the server takes nothing".to_owned());
                    return Err(ClientError::Stopped { unsent, cause });
                }
            }
            driver.sockets.wait(LOOK_INTERVAL);
        }
    }

    fn judge(&self, driver: &Driver) -> Result<(), ClientError> {
        let server = self.server.to_string();
        match &driver.end {
            Some(End::Refused(error)) => Err(ClientError::Refused { server, error: error.clone() }),
            Some(End::NotStored(cause)) => Err(ClientError::NotStored { server, cause: cause.clone() }),
            Some(End::Drained { is_confirmed: false }) => Err(ClientError::Unconfirmed { server }),
            None | Some(End::Drained { is_confirmed: true }) => Ok(()),
        }
    }
}

impl Drop for BlockingClient {
    fn drop(&mut self) {
        let mut driver = lock(&self.driver);
        driver.end.get_or_insert(End::Drained { is_confirmed: false });
        driver.sockets.close();
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
    NotStored(String),
}

/// The session with what is published.
struct Driver {
    sockets: BlockingSession,
    /// Frames for the next connection.
    waiting: Vec<u8>,
    ledger: Ledger,
    /// Where a stream is to store what is published: this in the place of `waiting` and `ledger`.
    stored: Option<StoredLedger>,
    /// The server has not failed to answer the drain.
    is_confirmed: bool,
    end: Option<End>,
}

impl Driver {
    fn new(access: &Arc<Access>, stores: bool) -> Result<Driver, ConnectFailure> {
        // No two runs have one name: the clock tells those of a machine apart, and their processes those of a moment.
        let run = || format!("feed{:x}{:x}", Clock::start().now().0, process::id());
        let stored = stores.then(|| StoredLedger::new(run()));
        let settings = SessionSettings {
            servers: access.servers().to_vec(),
            discovers: access.discovers(),
            subjects: stored.iter().map(StoredLedger::inbox).collect(),
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
        Ok(Driver {
            sockets: BlockingSession::new(access, "feed", settings, adjust)?,
            waiting: Vec::new(),
            ledger: Ledger::default(),
            stored,
            is_confirmed: true,
            end: None,
        })
    }

    /// Frames on their way: on this connection, or with the next one.
    fn publish(&mut self, frames: &[u8]) {
        let BlockingSession { session, clock, .. } = &mut self.sockets;
        if let Some(stored) = &mut self.stored {
            let now_ns = clock.elapsed_ns();
            let frames = stored.push(frames, now_ns);
            if session.takes_publications() {
                session.publish_frames(&frames, (), now_ns);
            }
            return;
        }
        if session.takes_publications() {
            self.ledger.publish(count_frames(frames));
            session.publish_frames(frames, (), clock.elapsed_ns());
        } else {
            self.ledger.wait(count_frames(frames));
            self.waiting.extend_from_slice(frames);
        }
    }

    fn has_unsent(&self) -> bool {
        !self.waiting.is_empty() || self.sockets.has_unsent()
    }

    /// A stream has not stored as much as can be kept.
    fn is_full(&self) -> bool {
        self.stored.as_ref().is_some_and(StoredLedger::is_full)
    }

    /// What a stream has not stored.
    fn unconfirmed(&self) -> u64 {
        self.stored.as_ref().map_or(0, StoredLedger::unstored)
    }

    /// Publishes all that a stream has not stored.
    fn publish_again(&mut self) {
        let (Some(stored), now_ns) = (&mut self.stored, self.sockets.clock.elapsed_ns()) else { return };
        let frames = stored.frames(now_ns);
        if !frames.is_empty() {
            self.sockets.session.publish_frames(&frames, (), now_ns);
        }
    }

    /// Reads, answers, connects and sends what can be at this moment; false when it is over.
    fn drive(&mut self) -> bool {
        if self.end.is_some() {
            return false;
        }
        let (stored, now_ns) = (&mut self.stored, self.sockets.clock.elapsed_ns());
        // Nothing but a stream's answers is subscribed to.
        self.sockets.exchange(&mut |_, message| {
            stored.iter_mut().for_each(|stored| stored.handle_msg(message, now_ns));
        });
        if self.sockets.session.takes_publications() && !self.sockets.has_unsent() {
            match self.stored.as_ref().map(|stored| stored.poll(now_ns)) {
                Some(Due::Again) => self.publish_again(),
                Some(Due::Never(cause)) => self.end = Some(End::NotStored(cause)),
                Some(Due::Nothing) | None => {}
            }
        }
        // The drain's PONG may be the last thing that came.
        self.note_pings();
        while self.end.is_none()
            && let Some(output) = self.sockets.poll_output()
        {
            self.handle_output(output);
        }
        if self.sockets.session.is_over() {
            self.end.get_or_insert(End::Drained { is_confirmed: true });
        }
        self.note_pings();
        self.end.is_none()
    }

    /// Before anything more is published: what comes after a PING is not confirmed by it.
    fn note_pings(&mut self) {
        if let Some((sent, answered)) = self.sockets.session.pings() {
            self.ledger.note_pings(sent, answered);
        }
    }

    fn handle_output(&mut self, output: Output) {
        match output {
            Output::Ready => {
                self.note_pings();
                let frames = std::mem::take(&mut self.waiting);
                self.ledger.end_wait();
                if let Some(stored) = &mut self.stored {
                    stored.handle_connected(self.sockets.clock.elapsed_ns());
                    self.publish_again();
                } else if !frames.is_empty() {
                    self.publish(&frames);
                }
            }
            Output::Close { trouble, .. } => {
                let unsent = self.sockets.session.take_unsent();
                if self.stored.is_some() {
                    if trouble.is_some() && self.sockets.session.is_over() {
                        self.end = Some(End::Drained { is_confirmed: true });
                    }
                    return;
                }
                let before = std::mem::take(&mut self.waiting);
                self.waiting = not_taken(&unsent);
                self.ledger.close(count_frames(&self.waiting));
                self.waiting.extend(before);
                if trouble.is_some() && self.sockets.session.is_over() {
                    self.end = Some(End::Drained { is_confirmed: true });
                }
            }
            // What follows a refusal, the drain's end above all, does not make it good.
            Output::Complaint(error @ ServerError::PermissionsViolation { operation: Operation::Publish, .. }) => {
                self.end = Some(End::Refused(error));
            }
            Output::Complaint(error) => self.sockets.log_complaint(Complaint(&error)),
            Output::DrainUnconfirmed => self.is_confirmed = false,
            Output::Flush => self.end = Some(End::Drained { is_confirmed: self.is_confirmed }),
            _ => {}
        }
    }
}
