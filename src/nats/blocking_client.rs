//! A NATS connection that only publishes, on a blocking thread: for `feed`, which has nothing else to do.
//!
//! The caller writes; a thread answers PINGs, so that the server keeps the connection however long the caller takes
//! between two batches. Whoever holds the lock drives the connection, so both see whole frames.

use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use proto_nats::{
    Action, Connection, Decoded, Limits, Malformed, ProtocolError, Reason, ServerAddress, ServerError, State,
    decode_server_op,
};

use crate::nats::credentials::Access;
use crate::nats::transport::{Attempt, Link, wait_readable};
use crate::runtime::MachineError;
use crate::runtime::clock::Clock;
use crate::runtime::log_limit::LogLimit;
use crate::runtime::log_text::plain;

/// For the server to take some bytes, and for the last PONG: more than a busy server takes for what sockets hold.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the clock, where nothing arrives.
const NAP: Duration = Duration::from_millis(50);
const READ_BYTES: usize = 16 << 10;

pub struct Publisher {
    line: Arc<Mutex<Line>>,
    /// The socket again, to wait for it without the lock.
    socket: std::net::TcpStream,
    listening: Option<JoinHandle<()>>,
    /// Where it is connected to, without credentials.
    pub server: String,
    /// Header and payload of a message, as the server says.
    pub payload_bytes_max: usize,
}

impl Publisher {
    /// Connects to the first server that can be reached. The error is one line with what each of them said.
    pub fn connect(access: &Access) -> Result<Publisher, String> {
        let mut causes = Vec::new();
        for server in access.servers() {
            match Publisher::connect_to(server, access) {
                Ok(publisher) => return Ok(publisher),
                Err(cause) => causes.push(format!("{server}: {cause}")),
            }
        }
        Err(format!("no NATS server can be used ({}); start one, or set NATS_URL", causes.join("; ")))
    }

    fn connect_to(server: &ServerAddress, access: &Access) -> Result<Publisher, String> {
        let mut settings = access.connection_settings(server, access.client_name().to_owned())?;
        // A PING waits behind what is unsent, so a server that takes its time is silent for as long.
        settings.silence_ns = PATIENCE.as_nanos() as u64 / 2;
        let clock = Clock::start();
        let mut line = Line {
            connection: Connection::new(settings, Vec::new(), clock.elapsed_ns()),
            link: Link::connect(server)?,
            clock,
            input: Vec::new(),
            output: Vec::new(),
            progress: Progress::Connecting,
            complaints: LogLimit::default(),
        };
        while line.progress == Progress::Connecting {
            line.drive();
            if line.progress == Progress::WantsTls {
                line.link.start_tls(access.tls_session(server)?);
                line.progress = Progress::Connecting;
                continue;
            }
            if line.progress == Progress::Connecting {
                line.link.wait(line.has_unsent(), NAP);
            }
        }
        line.check()?;
        let socket = line.link.duplicate().map_err(|error| plain(&error))?;
        let payload_bytes_max = usize::try_from(line.connection.max_payload()).unwrap_or(usize::MAX);
        let line = Arc::new(Mutex::new(line));
        let listening = std::thread::Builder::new().name("publisher".to_owned()).spawn({
            let (line, socket) = (line.clone(), socket.try_clone().map_err(|error| plain(&error))?);
            move || {
                while lock(&line).drive() {
                    wait_readable(&socket, NAP);
                }
            }
        });
        let listening = listening.map_err(MachineError::NoThread)?;
        Ok(Publisher { line, socket, listening: Some(listening), server: server.to_string(), payload_bytes_max })
    }

    /// Writes whole PUB frames. The error is what ended the connection.
    pub fn publish(&self, frames: &[u8]) -> Result<(), String> {
        let mut line = lock(&self.line);
        line.output.extend_from_slice(frames);
        let mut waiting_since_ns = line.clock.elapsed_ns();
        loop {
            let before = line.output.len();
            line.drive();
            self.judge(&line)?;
            if !line.has_unsent() {
                return Ok(());
            }
            let now_ns = line.clock.elapsed_ns();
            if line.output.len() < before {
                waiting_since_ns = now_ns;
            } else if now_ns - waiting_since_ns > PATIENCE.as_nanos() as u64 {
                return Err(format!("{} has taken nothing for {} s", self.server, PATIENCE.as_secs()));
            }
            line.link.wait(true, NAP);
        }
    }

    /// Whether the connection lives. The error is what ended it.
    pub fn check(&self) -> Result<(), String> {
        self.judge(&lock(&self.line))
    }

    /// Waits until the server has taken everything; nothing can be published after it.
    pub fn finish(&self) -> Result<(), String> {
        let mut line = lock(&self.line);
        let now_ns = line.clock.elapsed_ns();
        let Line { connection, output, .. } = &mut *line;
        connection.begin_drain(now_ns, PATIENCE.as_nanos() as u64, output);
        while line.progress == Progress::Ready {
            line.drive();
            if line.has_unsent() {
                line.link.wait(true, NAP);
                continue;
            }
            drop(line);
            wait_readable(&self.socket, NAP);
            line = lock(&self.line);
        }
        match line.progress {
            Progress::Drained { confirmed: false } => {
                Err(format!("{} has not confirmed within {} s", self.server, PATIENCE.as_secs()))
            }
            _ => self.judge(&line),
        }
    }

    fn judge(&self, line: &Line) -> Result<(), String> {
        line.check().map_err(|cause| format!("the connection to {} is lost: {cause}", self.server))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        lock(&self.line).link.close();
        // Whatever the other thread waits for, it is over.
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, PartialEq)]
enum Progress {
    Connecting,
    WantsTls,
    Ready,
    Drained {
        confirmed: bool,
    },
    /// For the user.
    Over(String),
}

/// The connection and its socket.
struct Line {
    link: Link,
    connection: Connection,
    clock: Clock,
    /// Bytes from the server that are no whole frame yet.
    input: Vec<u8>,
    /// Whole frames that are not sent yet; the first may be sent in part.
    output: Vec<u8>,
    progress: Progress,
    complaints: LogLimit,
}

impl Line {
    fn check(&self) -> Result<(), String> {
        match &self.progress {
            Progress::Over(cause) => Err(cause.clone()),
            _ => Ok(()),
        }
    }

    fn has_unsent(&self) -> bool {
        !self.output.is_empty() || self.link.wants_write()
    }

    /// Reads, answers and sends what can be at this moment; false when the connection is over.
    fn drive(&mut self) -> bool {
        if matches!(self.progress, Progress::Over(_) | Progress::Drained { .. }) {
            return false;
        }
        self.read();
        self.connection.handle_time(self.clock.elapsed_ns(), &mut self.output);
        self.write();
        while let Some(action) = self.connection.poll_action() {
            self.progress = match action {
                Action::StartTls if self.input.is_empty() => Progress::WantsTls,
                Action::StartTls => {
                    self.connection.handle_unusable(Reason::DataBeforeTls);
                    continue;
                }
                Action::Ready { .. } => Progress::Ready,
                Action::DrainComplete { confirmed } => Progress::Drained { confirmed },
                Action::Disconnect(reason) => {
                    Progress::Over(self.link.trouble().map_or_else(|| reason.to_string(), str::to_owned))
                }
                // Nothing of what comes after it would arrive.
                Action::Complaint(error @ ServerError::PermissionsViolation { .. }) => {
                    Progress::Over(error.to_string())
                }
                Action::Complaint(error) => {
                    if let Some(count) = self.complaints.count(self.clock.elapsed_ns()) {
                        log::warn!(count; "NATS: {error}{count}");
                    }
                    continue;
                }
                _ => continue,
            };
            // What follows a refusal, the drain's end above all, does not make it good.
            if matches!(self.progress, Progress::Over(_)) {
                break;
            }
        }
        !matches!(self.progress, Progress::Over(_) | Progress::Drained { .. })
    }

    fn read(&mut self) {
        let mut bytes = [0; READ_BYTES];
        loop {
            match self.link.try_read(&mut bytes) {
                Attempt::Bytes(len) => self.input.extend_from_slice(&bytes[..len]),
                Attempt::WouldBlock => break,
                Attempt::Ended => {
                    self.handle_input();
                    return self.connection.handle_end_of_stream(self.clock.elapsed_ns());
                }
            }
            self.handle_input();
            if self.connection.state() == State::Closed {
                return;
            }
        }
        if self.connection.state() == State::AwaitTls && self.link.is_secured() {
            self.connection.handle_tls_started(self.clock.elapsed_ns(), &mut self.output);
        }
    }

    fn handle_input(&mut self) {
        let mut taken = 0;
        loop {
            match decode_server_op(&self.input[taken..], &Limits::default()) {
                Ok(Decoded::Op { op, len }) => {
                    self.connection.handle_op(&op, self.clock.elapsed_ns(), &mut self.output);
                    taken += len;
                }
                Ok(Decoded::NeedMore { .. }) => break,
                // Nothing is subscribed to: a message, and a huge one, is no operation to send here.
                Ok(Decoded::Oversized { .. }) => {
                    let error = ProtocolError::Server(Malformed::UnknownOperation);
                    return self.connection.handle_unusable(Reason::Malformed(error));
                }
                Err(error) => return self.connection.handle_unusable(Reason::Malformed(error)),
            }
        }
        self.input.drain(..taken);
    }

    fn write(&mut self) {
        let mut sent = 0;
        while sent < self.output.len() {
            match self.link.try_write(&self.output[sent..]) {
                Attempt::Bytes(len) => sent += len,
                Attempt::WouldBlock => break,
                Attempt::Ended => return self.handle_broken(),
            }
        }
        self.output.drain(..sent);
        if !self.link.flush() {
            self.handle_broken();
        }
    }

    /// A write has failed: what the server said before it closed is still to be read.
    fn handle_broken(&mut self) {
        self.read();
        self.connection.handle_end_of_stream(self.clock.elapsed_ns());
    }
}
