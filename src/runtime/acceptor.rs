//! Listening sockets and the one accept loop, for HTTP and the broker.
//!
//! ```text
//!   pending connections ──► accept ──► Arrival ──► the server's own rules: serve it, make room for it, or reject it
//!                             ├─ out of descriptors ──► make room, or give up the spare descriptor ──► accept
//!                             └─ other errors ──► a log line a minute, a pause ──► accept
//! ```
//!
//! An acceptor takes its turns beside others: up to [`ARRIVALS_PER_TURN`] pending connections are one slice of work.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::time::Duration;

use glommio::net::TcpListener;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::engine::time::NANOS_PER_SECOND;
use crate::runtime::clock::Clock;
use crate::runtime::log_limit::LogLimit;
use crate::runtime::log_text::plain;
use crate::runtime::socket::Stream;
use crate::runtime::stop::Stop;
use crate::runtime::timeout::{sleep, unless};
use crate::runtime::turns::Turns;
use crate::runtime::unsafe_calls;

/// Pending connections that the kernel keeps for the accept loop, which is fast: more than come in one burst.
const BACKLOG: i32 = 1024;
/// Pending connections that are accepted in one turn, which takes some 10 us for each.
const ARRIVALS_PER_TURN: usize = 4;
/// After an error of `accept`. Most mean that descriptors or memory ran out, and would come back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Between two log lines about it: it may last.
const ACCEPT_LINES_NS: u64 = 60 * NANOS_PER_SECOND as u64;

/// A bound port. The kernel completes connections from here on; they are pending until they are accepted.
#[derive(Debug)]
pub struct Listener {
    listener: StdListener,
    /// The same socket, to ask whether a connection is pending, and to close it.
    control: StdListener,
    /// And once more: a descriptor to give up when no other is left.
    spare: StdListener,
    address: SocketAddr,
}

impl Listener {
    /// Takes the port for this process alone. Not glommio's own `bind`: that sets SO_REUSEPORT, and a second instance would
    /// silently take half of the requests. SO_REUSEADDR only lets a restarted service have its port back while old
    /// connections linger.
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = StdListener::from(socket);
        let (control, spare) = (listener.try_clone()?, listener.try_clone()?);
        let address = listener.local_addr()?;
        Ok(Listener { listener, control, spare, address })
    }

    /// With the port that was free, when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// For the connections that are accepted: bytes that the kernel keeps for a peer (it takes twice that).
    pub fn set_send_buffer_bytes(&self, bytes: usize) {
        // What is accepted inherits that. Without it the kernel's own bound holds.
        let _ = SockRef::from(&self.listener).set_send_buffer_size(bytes);
    }

    /// Puts the socket on this thread's reactor. `name` begins the log lines.
    pub fn accept_on_reactor(self, name: &'static str, turns: Rc<Turns>) -> Acceptor {
        let Listener { listener, control, spare, .. } = self;
        turns.watch(&listener);
        Acceptor {
            name,
            listener: unsafe_calls::listener_on_reactor(listener),
            control,
            spare: Some(spare),
            turns,
            left_in_turn: 1,
            clock: Clock::start(),
            errors: LogLimit::default(),
        }
    }
}

/// A connection that was accepted.
#[derive(Debug)]
pub enum Arrival {
    Peer(Stream),
    /// It has the last descriptor there was: to be rejected, so that the next one can be.
    WithoutDescriptor(Stream),
}

/// A listening socket on the reactor.
pub struct Acceptor {
    name: &'static str,
    listener: TcpListener,
    control: StdListener,
    spare: Option<StdListener>,
    turns: Rc<Turns>,
    /// Connections that may still be accepted in this turn.
    left_in_turn: usize,
    clock: Clock,
    errors: LogLimit,
}

impl Acceptor {
    /// Waits for the next connection, in a turn of its own or of a few. `None` once `stop` is set: the port is free then.
    /// `make_room` has an idle connection closed, whose descriptor is free soon, and returns whether there was one.
    pub async fn next(&mut self, stop: &Stop, make_room: impl Fn() -> bool) -> Option<Arrival> {
        loop {
            if self.left_in_turn == 0 {
                self.turns.next().await;
                self.left_in_turn = ARRIVALS_PER_TURN;
            }
            // What is waited for comes outside of a turn, so it ends this one.
            self.left_in_turn = if self.is_pending() { self.left_in_turn - 1 } else { 0 };
            match unless(stop, self.listener.accept()).await {
                Some(Ok(stream)) => {
                    let stream = Stream::of(stream);
                    stream.set_nodelay();
                    self.turns.watch(&stream);
                    return Some(if self.has_spare() {
                        Arrival::Peer(stream)
                    } else {
                        Arrival::WithoutDescriptor(stream)
                    });
                }
                Some(Err(error)) => self.handle_failed_accept(error.into(), stop, &make_room).await,
                None => break,
            }
        }
        // The ring may hold on to a descriptor that is closed until it gets to the cancelled accept; a shutdown works at
        // once.
        let _ = SockRef::from(&self.control).shutdown(Shutdown::Both);
        None
    }

    async fn handle_failed_accept(&mut self, error: io::Error, stop: &Stop, make_room: impl Fn() -> bool) {
        let errno = Errno::from_io_error(&error);
        // The peer has gone before it was accepted.
        if errno == Some(Errno::CONNABORTED) {
            return;
        }
        let is_out_of_descriptors = matches!(errno, Some(Errno::MFILE | Errno::NFILE));
        if let Some(count) = self.errors.count_within(self.clock.elapsed_ns(), ACCEPT_LINES_NS) {
            let (name, cause) = (self.name, plain(&error));
            let advice = match is_out_of_descriptors {
                true => "; raise the limit of open files (ulimit -n, LimitNOFILE)",
                false => "",
            };
            log::warn!(cause:% = cause, count; "{name}: a connection could not be accepted, trying again: {cause}{advice}{count}");
        }
        if is_out_of_descriptors && self.is_pending() && (make_room() || self.spare.take().is_some()) {
            return;
        }
        unless(stop, sleep(ACCEPT_PAUSE)).await;
    }

    /// Whether a connection is pending. (Without a free descriptor io_uring does not even look.)
    fn is_pending(&self) -> bool {
        let mut awaited = [PollFd::new(&self.control, PollFlags::IN)];
        matches!(poll(&mut awaited, Some(&Timespec::default())), Ok(1..))
    }

    /// Takes the spare descriptor back if it was given up; false: there is none to be had.
    fn has_spare(&mut self) -> bool {
        if self.spare.is_none() {
            self.spare = self.control.try_clone().ok();
        }
        self.spare.is_some()
    }
}
