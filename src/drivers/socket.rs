//! The NATS socket of a shard, and the ways to wait for it.
//!
//! Reads and writes are attempted at once; glommio is asked only when there is nothing to do for longer. Its park and
//! wake cost some 60 us, where `poll(2)` costs 10: so a connection that was busy a moment ago waits in `poll(2)` for at
//! most a millisecond, giving the reactor its turn in between, and only an idle one parks in the reactor, where waiting
//! is free.

use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};

use super::link::Link;

pub struct Socket {
    pub link: Link,
    /// The same socket as the reactor knows it, for waiting only.
    parked: glommio::net::TcpStream,
}

impl Socket {
    pub fn new(link: Link) -> io::Result<Self> {
        let descriptor = link.duplicate()?.into_raw_fd();
        // SAFETY: the descriptor is open, a connected TCP socket, and owned by nobody else: it was just duplicated.
        // There is no safe way to hand a connected socket to glommio 0.9, and connecting by glommio would resolve
        // names on the reactor.
        let parked = unsafe { glommio::net::TcpStream::from_raw_fd(descriptor) };
        Ok(Socket { link, parked })
    }

    /// Waits in the reactor until there is something to read.
    pub async fn wait_readable(&self) {
        let _ = self.parked.peek(&mut [0]).await;
    }
}
