//! A TCP connection to a NATS server, in clear text or through TLS, that never blocks but where it is told to wait.
//!
//! ```text
//!   clear text    try_read ◄──────────────────── recv         try_write ────────────────────► send
//!   TLS           try_read ◄── TlsSession ◄───── recv         try_write ──► TlsSession ─────► send
//! ```
//!
//! The protocol above it and the waiting below it are the same for both.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::nats::session::Session;
use crate::nats::tls_error::TlsError;
use crate::nats::tls_session::TlsSession;

/// A TCP connection that does not block, with TLS once it has begun.
pub struct Transport {
    stream: TcpStream,
    tls: Option<TlsSession>,
    /// What ended the connection, where it was no orderly end.
    error: Option<io::Error>,
}

/// What an attempt to read or write came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Attempt {
    Bytes(usize),
    WouldBlock,
    /// The peer has closed, orderly or not; [`Transport::take_trouble`] may know more.
    Ended,
}

impl Transport {
    /// Over a socket that is connected.
    pub fn new(stream: TcpStream) -> io::Result<Transport> {
        stream.set_nodelay(true)?;
        // Its own reads and writes never wait; those of a duplicate may.
        stream.set_nonblocking(false)?;
        Ok(Transport { stream, tls: None, error: None })
    }

    /// Everything from here on goes through TLS. The handshake runs in the attempts to read and write.
    pub fn start_tls(&mut self, session: TlsSession) {
        self.tls = Some(session);
    }

    /// The TLS handshake is through.
    pub fn is_secured(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.is_handshaking())
    }

    /// What ended the connection, where it was no orderly end: TLS, the network.
    pub fn take_trouble(&mut self) -> Option<StreamError> {
        let tls = self.tls.as_mut().and_then(TlsSession::take_error).map(StreamError::Tls);
        tls.or_else(|| self.error.take().map(StreamError::Network))
    }

    /// Reads into `place` what has arrived; does not wait.
    #[inline]
    pub fn try_read(&mut self, place: &mut [u8]) -> Attempt {
        let result = match &mut self.tls {
            None => Ready(&self.stream).read(place),
            Some(tls) => tls.read(place, &mut Ready(&self.stream)),
        };
        self.attempt(result)
    }

    /// Writes as much of `bytes` as the socket takes; does not wait.
    #[inline]
    pub fn try_write(&mut self, bytes: &[u8]) -> Attempt {
        let result = match &mut self.tls {
            None => Ready(&self.stream).write(bytes),
            Some(tls) => tls.write(bytes, &mut Ready(&self.stream)),
        };
        self.attempt(result)
    }

    /// The end of the stream is `Ok(0)` here, and none is asked for zero bytes.
    #[inline]
    fn attempt(&mut self, result: io::Result<usize>) -> Attempt {
        match result {
            Ok(0) => Attempt::Ended,
            Ok(len) => Attempt::Bytes(len),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Attempt::WouldBlock,
            Err(error) => {
                self.error.get_or_insert(error);
                Attempt::Ended
            }
        }
    }

    /// Sends what the session has, as far as the socket takes it; false when the connection is gone.
    #[inline]
    pub fn send<M: Copy>(&mut self, session: &mut Session<M>, now_ns: u64) -> bool {
        while !session.bytes_to_send().is_empty() {
            match self.try_write(session.bytes_to_send()) {
                Attempt::Bytes(len) => session.note_sent(len, now_ns),
                Attempt::WouldBlock => return true,
                Attempt::Ended => return false,
            }
        }
        self.flush()
    }

    /// Sends what TLS still has; false when the connection is gone.
    pub fn flush(&mut self) -> bool {
        match &mut self.tls {
            None => true,
            Some(tls) => tls.flush(&mut Ready(&self.stream)),
        }
    }

    /// TLS has something to send.
    pub fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(TlsSession::wants_write)
    }

    /// Blocks the thread until the socket is ready or `limit` has passed.
    pub fn wait(&self, for_writing: bool, limit: Duration) {
        wait(
            &mut [PollFd::new(
                &self.stream,
                PollFlags::IN | if for_writing { PollFlags::OUT } else { PollFlags::empty() },
            )],
            limit,
        );
    }

    /// What to poll for, if anything.
    pub fn interest(&self, reading: bool, writing: bool) -> Option<PollFd<'_>> {
        let read = if reading { PollFlags::IN } else { PollFlags::empty() };
        let write = if writing { PollFlags::OUT } else { PollFlags::empty() };
        (reading || writing).then(|| PollFd::new(&self.stream, read | write))
    }

    /// The peer has ended the connection, whatever is still to be read.
    pub fn is_hung_up(&self) -> bool {
        let mut awaited = [PollFd::new(&self.stream, PollFlags::RDHUP)];
        wait(&mut awaited, Duration::ZERO);
        !awaited[0].revents().is_empty()
    }

    /// The same socket again, for waiting elsewhere.
    pub fn duplicate(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// Ends the connection in both directions, even where a duplicate of the descriptor is still open.
    pub fn close(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close(&mut Ready(&self.stream));
        }
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

/// Blocks the thread until one of them is ready or `limit` has passed.
pub fn wait(awaited: &mut [PollFd<'_>], limit: Duration) {
    let limit = Timespec { tv_sec: limit.as_secs().min(i64::MAX as u64) as i64, tv_nsec: limit.subsec_nanos().into() };
    // An error or a signal is a wake-up like any other: the next attempt to read tells.
    let _ = poll(awaited, Some(&limit));
}

/// What ended a connection that was not closed in order.
#[derive(Debug)]
pub enum StreamError {
    Tls(TlsError),
    Network(io::Error),
}

/// The socket as it is this moment: an attempt never waits.
struct Ready<'a>(&'a TcpStream);

impl Read for Ready<'_> {
    #[inline]
    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        loop {
            match recv(self.0, &mut *place, RecvFlags::DONTWAIT) {
                Ok((_, len)) => return Ok(len),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Write for Ready<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match send(self.0, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(len) => return Ok(len),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
