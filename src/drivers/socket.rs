//! The NATS socket, and the three ways to wait for it.
//!
//! Reads and writes are attempted at once (`recv` and `send` with MSG_DONTWAIT); glommio is asked only when there is
//! nothing to do for longer. Its park and wake cost some 60 us, where `poll(2)` costs 10: so a connection that was busy
//! a moment ago waits in `poll(2)` for at most a millisecond, giving the reactor its turn in between, and only an idle
//! one parks in the reactor, where waiting is free.

use std::io;
use std::net::TcpStream;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

pub struct Socket {
    stream: TcpStream,
    /// The same socket as the reactor knows it, for waiting only.
    parked: glommio::net::TcpStream,
}

/// What an attempt to read came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Attempt {
    Bytes(usize),
    WouldBlock,
    /// The peer has closed, orderly or not.
    Ended,
}

impl Socket {
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let descriptor = stream.try_clone()?.into_raw_fd();
        // SAFETY: the descriptor is open, a connected TCP socket, and owned by nobody else: it was just duplicated.
        // There is no safe way to hand a connected socket to glommio 0.9, and connecting by glommio would resolve
        // names on the reactor.
        let parked = unsafe { glommio::net::TcpStream::from_raw_fd(descriptor) };
        Ok(Socket { stream, parked })
    }

    #[inline]
    pub fn try_read(&self, place: &mut [u8]) -> Attempt {
        loop {
            return match recv(&self.stream, &mut *place, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => Attempt::Ended,
                Ok((_, len)) => Attempt::Bytes(len),
                Err(Errno::AGAIN) => Attempt::WouldBlock,
                Err(Errno::INTR) => continue,
                Err(_) => Attempt::Ended,
            };
        }
    }

    #[inline]
    pub fn try_write(&self, bytes: &[u8]) -> Attempt {
        loop {
            return match send(&self.stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(len) => Attempt::Bytes(len),
                Err(Errno::AGAIN) => Attempt::WouldBlock,
                Err(Errno::INTR) => continue,
                Err(_) => Attempt::Ended,
            };
        }
    }

    /// Blocks the core until the socket is ready or `limit` has passed: for waits of a millisecond at most.
    pub fn wait_briefly(&self, for_writing: bool, limit: Duration) {
        let interest = if for_writing { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let limit = Timespec { tv_sec: 0, tv_nsec: limit.subsec_nanos().into() };
        // An error or a signal is a wake-up like any other: the next attempt to read tells.
        let _ = poll(&mut [PollFd::new(&self.stream, interest)], Some(&limit));
    }

    /// Waits in the reactor until there is something to read.
    pub async fn wait_readable(&self) {
        let _ = self.parked.peek(&mut [0]).await;
    }

    /// Ends the connection in both directions, whoever still holds the descriptor.
    pub fn close(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}
