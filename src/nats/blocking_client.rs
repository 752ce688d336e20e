//! A NATS connection that only publishes, on a blocking thread: for `feed`, which has nothing else to do.
//!
//! The caller writes; a thread answers PINGs, so that the server keeps the connection however long the caller takes
//! between two batches. The one that holds the lock drives the session, so both see whole frames. There is one connection:
//! what it has taken before it broke is not known, so its end is the end.

use std::fmt;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use proto_nats::{
    DecodeLimits, Decoded, Malformed, Operation, ProtocolError, Reason, ServerAddress, ServerError, decode_server_op,
};

use crate::engine::memory::NoMemory;
use crate::nats::credentials::Access;
use crate::nats::error::{Complaint, Trouble};
use crate::nats::session::{Output, Session, SessionSettings};
use crate::nats::transport::{Attempt, Transport, wait_readable};
use crate::runtime::MachineError;
use crate::runtime::clock::Clock;
use crate::runtime::log_limit::LogLimit;

/// For the server to take some bytes, and for the last PONG: more than a busy server takes for what sockets hold.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the clock, where nothing arrives.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const READ_BYTES: usize = 16 << 10;
const READS_MAX: usize = 16;

/// Why nothing more can be published.
#[derive(Debug)]
pub enum ClientError {
    /// There is no memory for the client's buffers.
    NoMemory(NoMemory),
    /// None of the servers can be used.
    NoServer(Vec<UnusableServer>),
    /// The connection is over, or the server refuses a publication, and nothing of what comes after it would arrive.
    Lost { server: String, cause: String },
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
            ClientError::Lost { server, cause } => write!(f, "the connection to {server} is lost: {cause}"),
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

/// A connection that is logged in. Dropping it closes it.
pub struct BlockingClient {
    driver: Arc<Mutex<Driver>>,
    /// The socket again, to wait for it without the lock.
    socket: TcpStream,
    listening: Option<JoinHandle<()>>,
    server: ServerAddress,
    payload_bytes_max: usize,
}

impl BlockingClient {
    /// Connects to the first server that can be used; each is tried once.
    pub fn connect(access: &Access) -> Result<BlockingClient, ClientError> {
        let mut driver = Driver::new(access).map_err(ClientError::NoMemory)?;
        let mut causes = Vec::new();
        let (server, socket) = loop {
            match driver.connect(access) {
                Ok(connected) => break connected,
                Err(cause) => causes.push(cause),
            }
            if causes.len() == access.servers().len() {
                return Err(ClientError::NoServer(causes));
            }
        };
        let payload_bytes_max = usize::try_from(driver.session.max_payload()).unwrap_or(usize::MAX);
        let driver = Arc::new(Mutex::new(driver));
        let spawned = socket.try_clone().and_then(|socket| {
            let driver = driver.clone();
            let listen = move || {
                while lock(&driver).drive() {
                    wait_readable(&socket, LOOK_INTERVAL);
                }
            };
            std::thread::Builder::new().name("nats-client".to_owned()).spawn(listen)
        });
        let listening = Some(spawned.map_err(|error| ClientError::Machine(MachineError::NoThread(error)))?);
        Ok(BlockingClient { driver, socket, listening, server, payload_bytes_max })
    }

    /// Where it is connected to, without credentials.
    pub fn server(&self) -> &ServerAddress {
        &self.server
    }

    /// Header and payload of a message may be so long together, as the server says.
    pub fn payload_bytes_max(&self) -> usize {
        self.payload_bytes_max
    }

    /// Writes whole PUB frames. The error is what ended the connection.
    pub fn publish(&self, frames: &[u8]) -> Result<(), ClientError> {
        let mut driver = lock(&self.driver);
        let now_ns = driver.clock.elapsed_ns();
        driver.session.publish_frames(frames, now_ns);
        loop {
            driver.drive();
            self.judge(&driver)?;
            if !driver.has_unsent() {
                return Ok(());
            }
            driver.wait();
        }
    }

    /// Whether the connection lives. The error is what ended it.
    pub fn check(&self) -> Result<(), ClientError> {
        self.judge(&lock(&self.driver))
    }

    /// Waits until the server has taken everything; nothing can be published after it.
    pub fn finish(&self) -> Result<(), ClientError> {
        let mut driver = lock(&self.driver);
        let now_ns = driver.clock.elapsed_ns();
        driver.session.begin_stop(now_ns);
        while driver.drive() {
            if driver.has_unsent() {
                driver.wait();
                continue;
            }
            drop(driver);
            wait_readable(&self.socket, LOOK_INTERVAL);
            driver = lock(&self.driver);
        }
        self.judge(&driver)
    }

    fn judge(&self, driver: &Driver) -> Result<(), ClientError> {
        let server = self.server.to_string();
        match &driver.end {
            None | Some(End::Drained { is_confirmed: true }) => Ok(()),
            Some(End::Drained { is_confirmed: false }) => Err(ClientError::Unconfirmed { server }),
            Some(End::Lost(cause)) => Err(ClientError::Lost { server, cause: cause.clone() }),
        }
    }
}

impl Drop for BlockingClient {
    fn drop(&mut self) {
        if let Some(transport) = &mut lock(&self.driver).transport {
            transport.close();
        }
        // Whatever the other thread waits for, it is over.
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

fn lock(driver: &Mutex<Driver>) -> MutexGuard<'_, Driver> {
    driver.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the connection ended.
enum End {
    Drained { is_confirmed: bool },
    Lost(String),
}

/// The session and its socket.
struct Driver {
    session: Session<()>,
    transport: Option<Transport>,
    clock: Clock,
    /// Bytes from the server that are no whole frame yet.
    input: Vec<u8>,
    /// The server has not failed to answer the drain.
    is_confirmed: bool,
    end: Option<End>,
    complaint_lines: LogLimit,
}

impl Driver {
    fn new(access: &Access) -> Result<Driver, NoMemory> {
        let settings = SessionSettings {
            servers: access.servers().to_vec(),
            subjects: Vec::new(),
            seed: None,
            drain_limit_ns: PATIENCE.as_nanos() as u64,
            write_limit_ns: PATIENCE.as_nanos() as u64,
        };
        Ok(Driver {
            session: Session::new(settings)?,
            transport: None,
            clock: Clock::start(),
            input: Vec::new(),
            is_confirmed: true,
            end: None,
            complaint_lines: LogLimit::default(),
        })
    }

    /// Connects to the next server, and waits until it is ready.
    fn connect(&mut self, access: &Access) -> Result<(ServerAddress, TcpStream), UnusableServer> {
        let server = self.next_server();
        self.open(&server, access);
        while self.transport.is_some() {
            self.exchange();
            match self.session.poll_output(self.clock.elapsed_ns()) {
                Some(Output::StartTls) => self.start_tls(&server, access),
                Some(Output::Ready) => match self.transport.as_ref().map(Transport::duplicate) {
                    Some(Ok(socket)) => return Ok((server, socket)),
                    Some(Err(error)) => self.session.handle_failed(Trouble::Socket(error)),
                    None => {}
                },
                Some(Output::Close(_)) => self.transport = None,
                Some(Output::Complaint(error)) => self.complain(&error),
                Some(_) => {}
                None => self.wait(),
            }
        }
        let cause = self.session.trouble().map(|trouble| trouble.trouble.to_string()).unwrap_or_default();
        Err(UnusableServer { server: server.to_string(), cause })
    }

    /// The server that is tried next. The first attempt at each is due at once.
    fn next_server(&mut self) -> ServerAddress {
        loop {
            let now_ns = self.clock.elapsed_ns();
            if let Some(Output::Connect(server)) = self.session.poll_output(now_ns) {
                return server;
            }
            let due_ns = self.session.next_deadline().unwrap_or(now_ns);
            std::thread::sleep(Duration::from_nanos(due_ns.saturating_sub(now_ns)));
        }
    }

    fn open(&mut self, server: &ServerAddress, access: &Access) {
        let settings = access.connection_settings(server, access.client_name().to_owned()).map_err(Trouble::Access);
        let opened = settings.and_then(|settings| {
            let transport = Transport::connect(server).map_err(Trouble::Connect)?;
            Ok((transport, settings))
        });
        let now_ns = self.clock.elapsed_ns();
        match opened {
            Ok((transport, mut settings)) => {
                // A PING waits behind what is unsent, so a server that takes its time is silent for as long.
                settings.silence_ns = PATIENCE.as_nanos() as u64 / 2;
                self.input.clear();
                self.transport = Some(transport);
                self.session.handle_connected(settings, now_ns);
            }
            Err(trouble) => self.session.handle_unreachable(trouble, now_ns),
        }
    }

    fn start_tls(&mut self, server: &ServerAddress, access: &Access) {
        let Some(transport) = &mut self.transport else { return };
        if !self.input.is_empty() {
            return self.session.handle_unusable(Reason::DataBeforeTls);
        }
        match access.tls_session(server) {
            Ok(tls) => transport.start_tls(tls),
            Err(error) => self.session.handle_failed(Trouble::Access(error)),
        }
    }

    fn has_unsent(&self) -> bool {
        !self.session.bytes_to_send().is_empty() || self.transport.as_ref().is_some_and(Transport::wants_write)
    }

    /// Until the socket is ready, or it is time for another look at the clock.
    fn wait(&self) {
        if let Some(transport) = &self.transport {
            transport.wait(self.has_unsent(), LOOK_INTERVAL);
        }
    }

    /// Reads, answers and sends what can be at this moment; false when the connection is over.
    fn drive(&mut self) -> bool {
        while self.end.is_none() {
            self.exchange();
            let Some(output) = self.session.poll_output(self.clock.elapsed_ns()) else { return true };
            match output {
                // What follows a refusal, the drain's end above all, does not make it good.
                Output::Complaint(error @ ServerError::PermissionsViolation { operation: Operation::Publish, .. }) => {
                    self.end = Some(End::Lost(error.to_string()));
                }
                Output::Complaint(error) => self.complain(&error),
                Output::DrainUnconfirmed => self.is_confirmed = false,
                Output::Flush => self.end = Some(End::Drained { is_confirmed: self.is_confirmed }),
                Output::Close(_) => {
                    let cause = self.session.trouble().map(|trouble| trouble.trouble.to_string());
                    self.end = Some(End::Lost(cause.unwrap_or_default()));
                }
                _ => {}
            }
        }
        false
    }

    /// Moves the bytes of both directions that can be moved at this moment.
    fn exchange(&mut self) {
        self.read();
        // What the socket takes comes before the judgement on how long it has taken nothing: the process may have slept.
        self.send();
        self.session.handle_time(self.clock.elapsed_ns());
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
        let is_secured = self.transport.as_ref().is_some_and(Transport::is_secured);
        if self.session.awaits_tls() && is_secured {
            self.session.handle_tls_started(self.clock.elapsed_ns());
        }
    }

    fn handle_end(&mut self) {
        match self.transport.as_mut().and_then(Transport::take_tls_error) {
            Some(error) => self.session.handle_failed(Trouble::Tls(error)),
            None => self.session.handle_end_of_stream(self.clock.elapsed_ns()),
        }
    }

    fn complain(&self, error: &ServerError) {
        if let Some(count) = self.complaint_lines.count(self.clock.elapsed_ns()) {
            let complaint = Complaint(error);
            log::warn!(count; "{complaint}{count}");
        }
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
