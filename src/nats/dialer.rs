//! The sockets of attempts: from a server's address to a connection that has logged in, or more.
//!
//! ```text
//!   begin ──► a thread reads files and resolves the name ──► connects, an address each 250 ms ──► open: bytes move
//!                                                              (RFC 8305; the first one is kept)     │
//!   take ◄── the socket, and what was read from it and is not handled ───────────────────────────────┘
//! ```
//!
//! Nothing here waits: [`Dialer::drive`] does what can be done at this moment, and [`Dialer::interests`] says what to poll for.
//! Work on a thread is looked for every few milliseconds.

use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use async_channel::{Receiver, TryRecvError};
use proto_nats::pool::ATTEMPT_SPACING_NS;
use proto_nats::{ConnectionSettings, DecodeLimits, Decoded, Reason, ServerAddress, ServerOp, decode_server_op};
use rustix::event::{PollFd, PollFlags};
use socket2::{Domain, Protocol, Socket, Type};

use crate::engine::time::NANOS_PER_SECOND;
use crate::nats::attempt::{Attempt, ConnectionId};
use crate::nats::credentials::Access;
use crate::nats::error::{ConnectError, Trouble};
use crate::nats::session::Session;
use crate::nats::tls_session::TlsSession;
use crate::nats::transport::{Attempt as Io, Transport};
use crate::runtime::MachineError;
use crate::runtime::blocking;

/// For a name to be resolved, files to be read and a server to accept.
const CONNECT_LIMIT_NS: u64 = 15 * NANOS_PER_SECOND as u64;
/// For each address of a name; a server on another continent needs a tenth of it.
const ADDRESS_LIMIT_NS: u64 = 2 * NANOS_PER_SECOND as u64;
/// For the files that TLS needs: a hung mount is no reason to wait. Less than the handshake has in all.
const FILES_LIMIT_NS: u64 = 4 * NANOS_PER_SECOND as u64;
/// Between two looks at work on a thread.
const THREAD_LOOK: Duration = Duration::from_millis(2);
const READ_BYTES: usize = 16 << 10;
/// Servers whose failures are remembered.
const FAILURES_MAX: usize = 256;
/// Of one attempt, before the others have their turn.
const READS_MAX: usize = 64;

/// All attempts' sockets.
pub struct Dialer {
    access: Arc<Access>,
    client_name: String,
    adjust: fn(&mut ConnectionSettings),
    /// Kept of an attempt until it serves, where messages come before the confirmation of its subscriptions.
    input_bytes_max: usize,
    dials: Vec<Dial>,
    /// By server: attempts in a row that ended after a connect. The next one begins with another address of the name.
    failures: HashMap<String, usize>,
}

struct Dial {
    id: ConnectionId,
    server: ServerAddress,
    begun_ns: u64,
    stage: Stage,
}

enum Stage {
    Preparing(Job<Prepared>),
    Connecting(Connecting),
    Open(Box<Open>),
    /// Told to the attempt, which is given up next.
    Over,
}

/// Work on a thread. Without a receiver it has not begun: all threads are at work.
type Job<T> = Option<Receiver<Result<T, Trouble>>>;

/// What the thread finds out.
struct Prepared {
    settings: ConnectionSettings,
    addresses: VecDeque<SocketAddr>,
}

struct Connecting {
    settings: Box<ConnectionSettings>,
    addresses: VecDeque<SocketAddr>,
    /// With the time at which each was begun.
    sockets: Vec<(TcpStream, u64)>,
    last: ConnectError,
}

struct Open {
    transport: Transport,
    input: Input,
    /// TLS was asked for then; its files are being read.
    tls: Option<(u64, Job<TlsSession>)>,
}

/// What was read and is not handled yet: whole messages that are kept, then the rest.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    kept_bytes: usize,
}

impl Dialer {
    /// `adjust` has the last word on each connection's settings. `input_bytes_max` of an attempt are kept for its time.
    pub fn new(
        access: Arc<Access>,
        client_name: String,
        input_bytes_max: usize,
        adjust: fn(&mut ConnectionSettings),
    ) -> Dialer {
        Dialer { access, client_name, adjust, input_bytes_max, dials: Vec::new(), failures: HashMap::new() }
    }

    /// Nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.dials.is_empty()
    }

    /// The socket of an attempt is asked for.
    pub fn begin(&mut self, id: ConnectionId, server: ServerAddress, now_ns: u64) {
        self.dials.push(Dial { id, server, begun_ns: now_ns, stage: Stage::Preparing(None) });
    }

    /// TLS is asked for on an attempt's socket.
    pub fn start_tls<M: Copy>(&mut self, id: ConnectionId, session: &mut Session<M>, now_ns: u64) {
        let (Some(dial), Some(attempt)) = (self.dials.iter_mut().find(|dial| dial.id == id), session.attempt(id))
        else {
            return;
        };
        let Stage::Open(open) = &mut dial.stage else { return };
        if !open.input.bytes.is_empty() {
            return attempt.handle_unusable(Reason::DataBeforeTls);
        }
        open.tls = Some((now_ns, None));
    }

    /// The attempt serves: its socket and what was read from it. `None`: there is no such attempt.
    pub fn take(&mut self, id: ConnectionId) -> Option<(Transport, Vec<u8>)> {
        let dial = self.remove(id)?;
        self.failures.remove(&dial.server.endpoint());
        match dial.stage {
            Stage::Open(open) => Some((open.transport, open.input.bytes)),
            _ => None,
        }
    }

    fn remove(&mut self, id: ConnectionId) -> Option<Dial> {
        let index = self.dials.iter().position(|dial| dial.id == id)?;
        Some(self.dials.remove(index))
    }

    /// The attempt is over.
    pub fn give_up(&mut self, id: ConnectionId) {
        if let Some(Dial { server, stage: Stage::Open(mut open), .. }) = self.remove(id) {
            open.transport.close();
            if self.failures.len() >= FAILURES_MAX {
                self.failures.clear();
            }
            *self.failures.entry(server.endpoint()).or_default() += 1;
        }
    }

    /// Does what can be done at this moment.
    pub fn drive<M: Copy>(&mut self, session: &mut Session<M>, now_ns: u64) {
        for index in 0..self.dials.len() {
            let dial = &mut self.dials[index];
            if let Stage::Preparing(_) | Stage::Connecting(_) = dial.stage
                && now_ns.saturating_sub(dial.begun_ns) > CONNECT_LIMIT_NS
            {
                let seconds = CONNECT_LIMIT_NS / NANOS_PER_SECOND as u64;
                dial.fail(session, Trouble::ConnectTooSlow { seconds });
            }
            match &mut dial.stage {
                Stage::Preparing(job) => match prepared(job, &self.access, &self.client_name, &dial.server) {
                    None => {}
                    Some(Ok(Prepared { mut settings, mut addresses })) => {
                        (self.adjust)(&mut settings);
                        let failures = self.failures.get(&dial.server.endpoint()).copied().unwrap_or(0);
                        addresses.rotate_left(failures % addresses.len().max(1));
                        let (settings, last) = (Box::new(settings), ConnectError::NoAddress);
                        dial.stage = Stage::Connecting(Connecting { settings, addresses, sockets: Vec::new(), last });
                        dial.connect(session, now_ns);
                    }
                    Some(Err(trouble)) => dial.fail(session, trouble),
                },
                Stage::Connecting(_) => dial.connect(session, now_ns),
                // One that is about to serve is the session's already.
                Stage::Open(open) => {
                    if let Some(attempt) = session.attempt(dial.id) {
                        open.start_tls(attempt, &self.access, &dial.server, now_ns);
                        open.exchange(attempt, self.input_bytes_max, now_ns);
                    }
                }
                Stage::Over => {}
            }
        }
    }

    /// What to poll for is added to `interests`.
    pub fn interests<'a, M: Copy>(&'a self, session: &mut Session<M>, interests: &mut impl Extend<PollFd<'a>>) {
        for dial in &self.dials {
            match &dial.stage {
                Stage::Preparing(_) | Stage::Over => {}
                Stage::Connecting(connecting) => {
                    interests.extend(connecting.sockets.iter().map(|(socket, _)| PollFd::new(socket, PollFlags::OUT)));
                }
                Stage::Open(open) => {
                    let attempt = session.attempt(dial.id);
                    let is_read = attempt.as_ref().is_some_and(|attempt| attempt.is_read());
                    let is_unsent = attempt.is_some_and(|attempt| !attempt.bytes_to_send().is_empty());
                    interests.extend(open.transport.interest(is_read, is_unsent || open.transport.wants_write()));
                }
            }
        }
    }

    /// How long a wait may be: threads do not wake anyone, and addresses have their time.
    pub fn wait_max(&self) -> Duration {
        let waits_for_thread = |dial: &Dial| match &dial.stage {
            Stage::Preparing(_) => true,
            Stage::Open(open) => open.tls.is_some(),
            _ => false,
        };
        let is_connecting = |dial: &Dial| matches!(dial.stage, Stage::Connecting(_));
        match &self.dials {
            dials if dials.iter().any(waits_for_thread) => THREAD_LOOK,
            dials if dials.iter().any(is_connecting) => Duration::from_nanos(ATTEMPT_SPACING_NS / 10),
            _ => Duration::MAX,
        }
    }
}

/// What is needed for a connection to `server`, once that is known.
fn prepared(
    job: &mut Job<Prepared>,
    access: &Arc<Access>,
    client_name: &str,
    server: &ServerAddress,
) -> Option<Result<Prepared, Trouble>> {
    let prepare = |access: &Access, name: String, server: &ServerAddress| {
        let settings = access.connection_settings(server, name).map_err(Trouble::Access)?;
        let addresses = (server.host.as_str(), server.port).to_socket_addrs();
        let addresses = addresses.map_err(|error| Trouble::Connect(ConnectError::Unresolved(error)))?.collect();
        Ok(Prepared { settings, addresses })
    };
    // Nothing to wait for: threads that hang elsewhere are no reason to.
    if server.host.parse::<IpAddr>().is_ok() && !access.reads_files() {
        return Some(prepare(access, client_name.to_owned(), server));
    }
    poll_job(job, || {
        let (access, name, server) = (access.clone(), client_name.to_owned(), server.clone());
        move || prepare(&access, name, &server)
    })
}

/// What the thread has found out, if it has; begins it where there is none yet and one is free.
fn poll_job<T, W>(job: &mut Job<T>, work: impl FnOnce() -> W) -> Option<Result<T, Trouble>>
where
    T: Send + 'static,
    W: FnOnce() -> Result<T, Trouble> + Send + 'static,
{
    let Some(receiver) = job else {
        return match blocking::begin(work()) {
            Ok(begun) => {
                *job = Some(begun);
                None
            }
            // They end, and there is time.
            Err(MachineError::BlockingWorkHangs { .. }) => None,
            Err(error) => Some(Err(Trouble::Machine(error))),
        };
    };
    match receiver.try_recv() {
        Ok(result) => Some(result),
        Err(TryRecvError::Empty) => None,
        Err(TryRecvError::Closed) => Some(Err(Trouble::Machine(MachineError::BlockingWorkPanicked))),
    }
}

impl Dial {
    fn fail<M: Copy>(&mut self, session: &mut Session<M>, trouble: Trouble) {
        self.stage = Stage::Over;
        if let Some(attempt) = session.attempt(self.id) {
            attempt.handle_failed(trouble);
        }
    }

    /// Looks at the sockets that are being connected, and begins another where it is time.
    fn connect<M: Copy>(&mut self, session: &mut Session<M>, now_ns: u64) {
        let Stage::Connecting(connecting) = &mut self.stage else { return };
        if let Some(stream) = connecting.poll(now_ns) {
            let settings = (*connecting.settings).clone();
            let peer = stream.peer_addr().ok().map(|address| address.ip());
            match Transport::new(stream) {
                Ok(transport) => {
                    self.stage = Stage::Open(Box::new(Open { transport, input: Input::default(), tls: None }));
                    session.handle_connected(self.id, settings, peer, now_ns);
                }
                Err(error) => self.fail(session, Trouble::Socket(error)),
            }
        } else if connecting.sockets.is_empty() && connecting.addresses.is_empty() {
            let last = std::mem::replace(&mut connecting.last, ConnectError::NoAddress);
            self.fail(session, Trouble::Connect(last));
        }
    }
}

impl Connecting {
    /// The first socket that is connected.
    fn poll(&mut self, now_ns: u64) -> Option<TcpStream> {
        let mut index = 0;
        while index < self.sockets.len() {
            let (socket, begun_ns) = &self.sockets[index];
            let error = match (socket.take_error(), socket.peer_addr()) {
                (Ok(None), Ok(_)) => return Some(self.sockets.remove(index).0),
                (Ok(None), Err(_)) if now_ns.saturating_sub(*begun_ns) < ADDRESS_LIMIT_NS => {
                    index += 1;
                    continue;
                }
                (Ok(None), Err(_)) => ErrorKind::TimedOut.into(),
                (Ok(Some(error)) | Err(error), _) => error,
            };
            self.last = ConnectError::of(error, ADDRESS_LIMIT_NS / NANOS_PER_SECOND as u64);
            self.sockets.remove(index);
        }
        let spaced_ns = self.sockets.last().map_or(0, |(_, begun_ns)| begun_ns + ATTEMPT_SPACING_NS);
        while now_ns >= spaced_ns
            && let Some(address) = self.addresses.pop_front()
        {
            match begin_connect(&address) {
                Ok(socket) => {
                    self.sockets.push((socket, now_ns));
                    break;
                }
                Err(error) => self.last = ConnectError::of(error, 0),
            }
        }
        None
    }
}

/// A socket on its way to `address`.
fn begin_connect(address: &SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&(*address).into()) {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => Err(error),
        _ => Ok(socket.into()),
    }
}

impl Open {
    /// Where TLS was asked for: starts it as soon as its files are read.
    fn start_tls(&mut self, attempt: &mut Attempt, access: &Arc<Access>, server: &ServerAddress, now_ns: u64) {
        let Some((asked_ns, job)) = &mut self.tls else { return };
        let read = poll_job(job, || {
            let (access, server) = (access.clone(), server.clone());
            move || access.tls_session(&server).map_err(Trouble::Access)
        });
        match read {
            None if now_ns.saturating_sub(*asked_ns) < FILES_LIMIT_NS => return,
            None => attempt.handle_failed(Trouble::FilesTooSlow),
            Some(Err(trouble)) => attempt.handle_failed(trouble),
            Some(Ok(session)) => self.transport.start_tls(session),
        }
        self.tls = None;
    }

    /// Moves the bytes of both directions that can be moved at this moment. Nothing is to be moved before TLS has started.
    fn exchange(&mut self, attempt: &mut Attempt, input_bytes_max: usize, now_ns: u64) {
        if self.tls.is_some() {
            return;
        }
        // Not read for now, but its end is seen.
        if !attempt.is_read() && self.transport.is_hung_up() {
            return attempt.handle_end_of_stream(None, now_ns);
        }
        if !self.send(attempt) {
            self.read(attempt, input_bytes_max, now_ns);
            return self.handle_end(attempt, now_ns);
        }
        if !self.read(attempt, input_bytes_max, now_ns) {
            return self.handle_end(attempt, now_ns);
        }
        if attempt.awaits_tls() && self.transport.is_secured() {
            attempt.handle_tls_started(now_ns);
        }
        if !self.send(attempt) {
            self.handle_end(attempt, now_ns);
        }
    }

    fn handle_end(&mut self, attempt: &mut Attempt, now_ns: u64) {
        attempt.handle_end_of_stream(self.transport.take_trouble(), now_ns);
    }

    /// False when the connection is gone.
    fn send(&mut self, attempt: &mut Attempt) -> bool {
        while !attempt.bytes_to_send().is_empty() {
            match self.transport.try_write(attempt.bytes_to_send()) {
                Io::Bytes(len) => attempt.note_sent(len),
                Io::WouldBlock => return true,
                Io::Ended => return false,
            }
        }
        self.transport.flush()
    }

    /// False when the connection is gone.
    fn read(&mut self, attempt: &mut Attempt, input_bytes_max: usize, now_ns: u64) -> bool {
        for _ in 0..READS_MAX {
            if !attempt.is_read() {
                break;
            }
            let bytes = &mut self.input.bytes;
            let len = bytes.len();
            bytes.resize(len + READ_BYTES, 0);
            let outcome = self.transport.try_read(&mut bytes[len..]);
            bytes.truncate(len + if let Io::Bytes(read) = outcome { read } else { 0 });
            match outcome {
                Io::Bytes(_) => {
                    attempt.note_received(now_ns);
                    self.input.take(attempt, input_bytes_max, now_ns);
                }
                Io::WouldBlock => break,
                Io::Ended => return false,
            }
        }
        true
    }
}

impl Input {
    /// Hands the whole operations to the attempt; messages are kept.
    fn take(&mut self, attempt: &mut Attempt, bytes_max: usize, now_ns: u64) {
        let mut at = self.kept_bytes;
        let unusable = loop {
            if !attempt.is_read() {
                break None;
            }
            match decode_server_op(&self.bytes[at..], &DecodeLimits::default()) {
                Ok(Decoded::Op { op: ServerOp::Msg(_), len }) if attempt.is_subscribed() => {
                    // Behind what is kept, in the place of the operations before it.
                    self.bytes.copy_within(at..at + len, self.kept_bytes);
                    self.kept_bytes += len;
                    at += len;
                    if self.kept_bytes > bytes_max {
                        break Some(Reason::QueueTooSmall);
                    }
                }
                Ok(Decoded::Op { op, len }) => {
                    attempt.handle_op(&op, now_ns);
                    at += len;
                }
                Ok(Decoded::NeedMore { .. }) if attempt.is_subscribed() && self.bytes.len() > bytes_max => {
                    break Some(Reason::QueueTooSmall);
                }
                Ok(Decoded::NeedMore { .. }) => break None,
                Ok(Decoded::Oversized { .. }) if attempt.is_subscribed() => break Some(Reason::QueueTooSmall),
                Ok(Decoded::Oversized { .. }) => break Some(Reason::UnaskedMessage),
                Err(error) => break Some(Reason::Malformed(error)),
            }
        };
        self.bytes.drain(self.kept_bytes..at);
        if let Some(reason) = unusable {
            attempt.handle_unusable(reason);
        }
    }
}
