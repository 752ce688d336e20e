//! A session and its sockets, on a thread that may block: what `feed`, `record` and `check` have in common.
//!
//! ```text
//!   loop {  exchange ──► messages, to the caller     poll_output ──► what the caller may want to know     wait  }
//! ```
//!
//! What the session asks for is done here; the caller is told all of it, and does what is its own: what is published again,
//! what a gap means. What there is to be said of the connections is said here as well.

use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto_nats::{
    ConnectionSettings, DecodeLimits, Decoded, Malformed, Msg, ProtocolError, Reason, ServerOp, decode_server_op,
};

use crate::engine::memory::NoMemory;
use crate::engine::time::UnixNanos;
use crate::nats::connection_log::ConnectionLog;
use crate::nats::credentials::Access;
use crate::nats::dialer::Dialer;
use crate::nats::error::{ServerTrouble, Trouble};
use crate::nats::session::{Output, Session, SessionSettings};
use crate::nats::transport::{self, Attempt, Transport};
use crate::runtime::clock::Clock;

/// Between two looks at the clock, where nothing arrives.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const READ_BYTES: usize = 64 << 10;
/// A few reads at most: a server may have no end of what it sends.
const READS_MAX: usize = 16;
/// Of an attempt at a successor, until it serves: messages that come meanwhile.
const KEPT_BYTES_MAX: usize = 4 << 20;
/// Asked for of a stream, beyond what has come.
const STREAM_BYTES_MAX: usize = 4 << 20;
/// nats-server's largest payload: it must fit into its `max_pending`.
const LIMITS: DecodeLimits = DecodeLimits { control_line: 64 << 10, payload: 64 << 20 };

/// Why there is no connection yet, and will be none.
#[derive(Debug)]
pub enum ConnectFailure {
    /// There is no memory for its buffers.
    NoMemory(NoMemory),
    /// Each server was tried once, and none can be used.
    NoServer(Vec<UnusableServer>),
    /// It was to stop before there was a connection.
    Stopped(String),
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectFailure::NoMemory(error) => error.fmt(f),
            ConnectFailure::NoServer(causes) => {
                let are_away = causes.iter().all(|server| server.is_away);
                let causes: Vec<String> = causes.iter().map(UnusableServer::to_string).collect();
                write!(f, "no NATS server can be used ({})", causes.join("; "))?;
                // Where one has answered, it is there, and its line says what it wants.
                if are_away { f.write_str("; start one, or set NATS_URL") } else { Ok(()) }
            }
            ConnectFailure::Stopped(cause) => write!(f, "stopped; there was no connection yet ({cause})"),
        }
    }
}

/// A server that cannot be used, and why.
#[derive(Debug)]
pub struct UnusableServer {
    /// Without credentials.
    server: String,
    cause: String,
    /// Nothing has answered there.
    is_away: bool,
}

impl fmt::Display for UnusableServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.server, self.cause)
    }
}

/// Takes a message that was subscribed to, with its receipt: the moment at which its last bytes were read, or at which the stream
/// stored it.
pub type TakeMessage<'a> = dyn FnMut(UnixNanos, &Msg<'_>) + 'a;

/// See the head of this file.
pub struct BlockingSession {
    /// What it decides; its outputs come from [`poll_output`](BlockingSession::poll_output) alone.
    pub session: Session<()>,
    /// That of the session.
    pub clock: Clock,
    dialer: Dialer,
    transport: Option<Transport>,
    log: ConnectionLog,
    /// Bytes from the server that are no whole frame yet.
    input: Vec<u8>,
    /// What one read may bring.
    place: Box<[u8]>,
    is_paused: bool,
    /// Until the first connection: those that were tried.
    unusable: Option<Vec<UnusableServer>>,
}

impl BlockingSession {
    /// A session that is about to connect for the first time. The servers show it as the client's name and `role`; `adjust` has
    /// the last word on each connection's settings.
    pub fn new(
        access: &Arc<Access>,
        role: &str,
        settings: SessionSettings,
        adjust: fn(&mut ConnectionSettings),
    ) -> Result<BlockingSession, ConnectFailure> {
        Ok(BlockingSession {
            session: Session::new(settings).map_err(ConnectFailure::NoMemory)?,
            clock: Clock::start(),
            dialer: Dialer::new(access.clone(), format!("{}-{role}", access.client_name()), KEPT_BYTES_MAX, adjust),
            transport: None,
            log: ConnectionLog::new(0),
            input: Vec::new(),
            place: vec![0; READ_BYTES].into(),
            is_paused: false,
            unusable: Some(Vec::new()),
        })
    }

    /// Before the first connection: whether it is over with trying. That each server is tried once is enough to know that
    /// none can be used.
    pub fn check_connecting(&mut self, stopped: &AtomicBool) -> Result<(), ConnectFailure> {
        if stopped.load(Ordering::Relaxed) {
            return Err(ConnectFailure::Stopped(self.session.report(0).trouble.unwrap_or_default()));
        }
        let server_count = self.session.server_count();
        match self.unusable.take_if(|causes| causes.len() >= server_count) {
            Some(causes) => Err(ConnectFailure::NoServer(causes)),
            None => Ok(()),
        }
    }

    /// There is a connection: from now on servers that cannot be used are tried again, and said. Those before it.
    pub fn end_connecting(&mut self) -> Vec<UnusableServer> {
        self.unusable.take().unwrap_or_default()
    }

    /// Moves the bytes of all sockets that can be moved at this moment, and lets the time pass.
    pub fn exchange(&mut self, take_message: &mut TakeMessage<'_>) {
        self.read(take_message);
        // What the socket takes comes before the judgement on how long it has taken nothing: the process may have slept.
        self.send(take_message);
        let now_ns = self.clock.elapsed_ns();
        self.session.handle_time(now_ns);
        self.log.handle_time(now_ns);
        self.session.ask_stream(STREAM_BYTES_MAX, now_ns);
        self.send(take_message);
        self.dialer.drive(&mut self.session, self.clock.elapsed_ns());
    }

    /// What the session asks for, or tells. What is about sockets is done, and what is for the log is said.
    pub fn poll_output(&mut self) -> Option<Output> {
        let now_ns = self.clock.elapsed_ns();
        let output = self.session.poll_output(now_ns)?;
        match &output {
            Output::Connect { id, server } => self.dialer.begin(*id, server.clone(), now_ns),
            Output::StartTls(id) => self.dialer.start_tls(*id, &mut self.session, now_ns),
            Output::GiveUp { id, trouble } => {
                self.dialer.give_up(*id);
                if let Some(about) = trouble
                    && !self.note_unusable(about)
                {
                    self.log.trouble(about, now_ns);
                }
            }
            Output::Serve(id) => match self.dialer.take(*id) {
                Some((transport, input)) => {
                    (self.transport, self.input) = (Some(transport), input);
                    // What was paused is the connection before it.
                    self.is_paused = false;
                }
                None => self.session.handle_failed(Trouble::Socket(ErrorKind::NotConnected.into())),
            },
            Output::Close { server, trouble } => {
                self.transport = None;
                match trouble {
                    Some(about) if self.session.is_over() => self.log.drain_cut_short(about),
                    Some(about) if !self.note_unusable(about) => self.log.ended(about, now_ns),
                    None if !self.session.is_over() => self.log.left(server, now_ns),
                    _ => {}
                }
            }
            Output::Untrusted { server, count } => self.log.untrusted(server, *count, now_ns),
            Output::UnreadableInfo => self.log.complaint("NATS sent an INFO that is not a JSON object", now_ns),
            Output::SubscriptionRefused
            | Output::Overlap
            | Output::Complaint(_)
            | Output::Flush
            | Output::Ready
            | Output::LameDuck
            | Output::NoOtherServer
            | Output::DrainUnconfirmed => {}
        }
        if let Some((server, info, is_secured)) = self.session.server() {
            match &output {
                // The first is the caller's to tell.
                Output::Ready if self.unusable.is_none() => {
                    self.log.connected(server, info, is_secured, self.session.trouble(), now_ns);
                }
                Output::LameDuck => self.log.lame_duck(server, now_ns),
                Output::NoOtherServer => self.log.no_other_server(server, now_ns),
                Output::DrainUnconfirmed => self.log.unconfirmed_drain(server),
                _ => {}
            }
        }
        Some(output)
    }

    /// A complaint of the server's that the caller has nothing to do about.
    pub fn log_complaint(&self, complaint: impl fmt::Display) {
        self.log.complaint(complaint, self.clock.elapsed_ns());
    }

    /// Something is on its way to the socket.
    pub fn has_unsent(&self) -> bool {
        !self.session.bytes_to_send().is_empty() || self.transport.as_ref().is_some_and(Transport::wants_write)
    }

    /// While nothing can be done with messages the socket is not read, so that the server keeps them.
    pub fn pause_reading(&mut self, is_paused: bool) {
        let now_ns = self.clock.elapsed_ns();
        match std::mem::replace(&mut self.is_paused, is_paused) {
            false if is_paused => self.session.handle_reading_paused(now_ns),
            true if !is_paused => self.session.handle_reading_resumed(now_ns),
            _ => {}
        }
    }

    /// The server has ended the connection, whatever is still to be read. While reading is paused nothing else tells.
    pub fn is_hung_up(&self) -> bool {
        self.transport.as_ref().is_some_and(Transport::is_hung_up)
    }

    /// Until a socket is ready, or it is time for another look at the clock.
    pub fn wait(&mut self, limit: Duration) {
        let (reading, writing) = (!self.is_paused, self.has_unsent());
        let mut awaited = Vec::new();
        awaited.extend(self.transport.as_ref().and_then(|transport| transport.interest(reading, writing)));
        self.dialer.interests(&mut self.session, &mut awaited);
        transport::wait(&mut awaited, limit.min(self.dialer.wait_max()));
    }

    /// Closes the connection, if there is one.
    pub fn close(&mut self) {
        if let Some(transport) = &mut self.transport {
            transport.close();
        }
    }

    /// Before the first connection: that this server cannot be used. False: there was one.
    fn note_unusable(&mut self, about: &ServerTrouble) -> bool {
        let Some(unusable) = &mut self.unusable else { return false };
        let server = about.server.to_string();
        unusable.retain(|other| other.server != server);
        let is_away = matches!(about.trouble, Trouble::Connect(_) | Trouble::ConnectTooSlow { .. });
        unusable.push(UnusableServer { server, cause: about.trouble.to_string(), is_away });
        true
    }

    fn send(&mut self, take_message: &mut TakeMessage<'_>) {
        let now_ns = self.clock.elapsed_ns();
        if let Some(transport) = &mut self.transport
            && !transport.send(&mut self.session, now_ns)
        {
            // What the server said before it closed is still to be read.
            self.read(take_message);
            self.handle_end();
        }
    }

    fn read(&mut self, take_message: &mut TakeMessage<'_>) {
        if self.is_paused {
            return;
        }
        // A connection that begins to serve may have brought messages before.
        if !self.input.is_empty() && !self.handle_input(take_message) {
            return;
        }
        for _ in 0..READS_MAX {
            let Some(transport) = &mut self.transport else { return };
            match transport.try_read(&mut self.place) {
                Attempt::Bytes(len) => {
                    self.session.note_received(self.clock.elapsed_ns());
                    self.input.extend_from_slice(&self.place[..len]);
                    if !self.handle_input(take_message) {
                        return;
                    }
                }
                Attempt::WouldBlock => return,
                Attempt::Ended => return self.handle_end(),
            }
        }
        self.session.note_left_unread(self.clock.elapsed_ns());
    }

    /// Hands on the whole operations of the input; what is left is the start of one. False: it is of no use.
    fn handle_input(&mut self, take_message: &mut TakeMessage<'_>) -> bool {
        let (now, now_ns) = (self.clock.now(), self.clock.elapsed_ns());
        let mut taken = 0;
        let error = loop {
            match decode_server_op(&self.input[taken..], &LIMITS) {
                Ok(Decoded::Op { op: ServerOp::Msg(message), len }) if self.session.takes_messages() => {
                    if self.session.stream().is_none() {
                        take_message(now, &message);
                    } else if let Some(delivery) = self.session.handle_stream_msg(&message, now_ns) {
                        take_message(UnixNanos(delivery.stored_ns as i64), &message);
                    }
                    taken += len;
                }
                Ok(Decoded::Op { op, len }) => {
                    self.session.handle_op(&op, now_ns);
                    taken += len;
                }
                Ok(Decoded::NeedMore { .. }) => {
                    self.input.drain(..taken);
                    return true;
                }
                // Longer than any message that a server takes.
                Ok(Decoded::Oversized { .. }) => break ProtocolError::Server(Malformed::UnknownOperation),
                Err(error) => break error,
            }
        };
        self.input.clear();
        self.session.handle_unusable(Reason::Malformed(error));
        false
    }

    fn handle_end(&mut self) {
        let error = self.transport.as_mut().and_then(Transport::take_trouble);
        self.session.handle_end_of_stream(error, self.clock.elapsed_ns());
    }
}
