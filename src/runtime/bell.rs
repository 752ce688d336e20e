//! Wakes a shard that waits in `poll(2)`: for HTTP's sockets, and for other threads that have work for its executor. One
//! epoll holds all of it, and the shard polls its descriptor along with the NATS socket.
//!
//! ```text
//!   HTTP's sockets ──┐ edges
//!   ring() ──► event ┴──► epoll ──► poll(2) of the shard
//! ```
//!
//! It only wakes: what has happened to a socket the reactor finds out by itself, as soon as it has its turn. Edges, not
//! levels: a socket with bytes that are not read yet must not ring all that time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

pub struct Bell {
    epoll: OwnedFd,
    /// Never read: each write is an edge, and it takes centuries to fill the counter.
    event: OwnedFd,
}

impl Bell {
    pub fn new() -> io::Result<Bell> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let bell = Bell { epoll, event };
        bell.watch(&bell.event)?;
        // The event has room for a write: an edge that means nothing.
        bell.silence();
        Ok(bell)
    }

    /// Rings when `socket` gets bytes, room for writes or its end, until it is closed.
    pub fn watch(&self, socket: impl AsFd) -> io::Result<()> {
        let edges = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(0), edges)?)
    }

    /// From any thread.
    pub fn ring(&self) {
        // Can only fail when the counter is full, and then it has rung.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    /// Forgets that it has rung.
    pub fn silence(&self) {
        let mut edges = [const { std::mem::MaybeUninit::uninit() }; 64];
        // What is left over rings again.
        let _ = epoll::wait(&self.epoll, &mut edges, Some(&Timespec::default()));
    }
}

impl AsFd for Bell {
    /// Readable when it has rung.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    fn has_rung(bell: &Bell) -> bool {
        let mut awaited = [PollFd::new(bell, PollFlags::IN)];
        poll(&mut awaited, Some(&Timespec::default())).expect("it can be polled") == 1
    }

    #[test]
    fn it_rings_once_for_what_happens_and_not_for_what_lasts() {
        let bell = Bell::new().expect("descriptors are left");
        assert!(!has_rung(&bell));
        for _ in 0..2 {
            bell.ring();
            bell.ring();
            assert!(has_rung(&bell));
            bell.silence();
            assert!(!has_rung(&bell));
        }

        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut peer = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        let (socket, _) = listener.accept().expect("it was connected to");
        bell.watch(&socket).expect("a socket can be watched");
        bell.silence();
        for _ in 0..2 {
            peer.write_all(b"unread").expect("it is connected");
            assert!(has_rung(&bell));
            bell.silence();
            assert!(!has_rung(&bell), "the bytes are still there");
        }
        drop(peer);
        assert!(has_rung(&bell));
        bell.silence();
        drop(socket);
        assert!(!has_rung(&bell));
    }
}
