//! The HTTP responder's sockets: takes the port, accepts, and decides who has a place. What a connection does is in
//! [`http_connection`](crate::http::connection).
//!
//! Everything that a peer can hold on to has a limit ([`Limits`]): the connections, the bytes of a head, the time for a
//! request, for an answer, for taking it, for saying nothing. A connection is one task that ends by itself: it races
//! its own futures against timers and flags, and nothing ever cancels it from outside (a cancelled glommio task leaks).
//! When [`HttpServer::serve`] returns, every socket is shut down and no task of it is left.
//!
//! Nothing waits for a place: when all are taken, the peer that has been silent for longest gives its own to the new one.
//! Only where every connection is being answered the new one is told so.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_lite::FutureExt;
use glommio::net::{TcpListener, TcpStream};
use glommio::timer::Timer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::SockRef;

use crate::http::connection::{Connection, Seat};
use crate::http::counts::{HttpCounts, Unserved};
pub use crate::http::request::Request;
pub use crate::http::response::Response;
use crate::runtime::acceptor::{ACCEPT_LINES_NS, ACCEPT_PAUSE, listen_alone};
use crate::runtime::clock::Clock;
use crate::runtime::log_limit::LogLimit;
use crate::runtime::log_text::plain;
use crate::runtime::stop::Stop;
use crate::runtime::timeout::{unless, within};
use crate::runtime::turns::Turns;

/// Of an answer that the kernel keeps for a peer (it takes twice that): what is not sent yet has no other bound there.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// Peers that are told at once that there is no place for them; more are closed without a word.
const TELLING_MAX: usize = 16;

/// Answers requests, on the executor that serves. May take its time (another core may know the answer), up to
/// [`Limits::respond`]; then the future is dropped, so it must bear that at any await.
pub trait Responder {
    fn respond(&self, request: Request) -> impl Future<Output = Response>;
}

/// What a peer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. For one more the one that has been silent for longest is closed; where none is, it is told
    /// 503: a client that is told can say so, one that waits in the backlog cannot tell a full service from a dead one.
    pub connections: usize,
    /// From the accept, or the first byte of a later request, to the end of the request: 408.
    pub request: Duration,
    /// From one response to the first byte of the next request; then the connection is closed without a word.
    pub idle: Duration,
    /// For the responder, and for each further part of its answer: 503, or the end.
    pub respond: Duration,
    /// For the peer to take the next piece of an answer (32 KiB at most).
    pub write: Duration,
    /// After a response that ends the connection: until the peer has closed its side too. Closing at once with bytes
    /// unread would send a reset, which can overtake the response (RFC 9112, section 9.6).
    pub linger: Duration,
    /// From the stop flag to the end of the requests that are being answered.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 256,
            request: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            respond: Duration::from_secs(5),
            write: Duration::from_secs(2),
            linger: Duration::from_millis(500),
            // The service has 5 s to end in, and more to do than this.
            drain: Duration::from_secs(1),
        }
    }
}

/// A bound port; [`serve`](HttpServer::serve) makes it answer.
#[derive(Debug)]
pub struct HttpServer {
    listener: StdListener,
    /// The same socket, to ask whether a peer waits, and to close it.
    door: StdListener,
    /// And once more: a descriptor to give up when no other is left.
    spare: StdListener,
    address: SocketAddr,
    limits: Limits,
}

impl HttpServer {
    /// Takes the port, for itself alone. Resolves `host` where it is a name, which blocks: to be called before the
    /// executors start. The error is one line that says what to do.
    pub fn bind(host: &str, port: u16) -> Result<HttpServer, String> {
        let address = resolve(host, port)?;
        let (listener, address) = listen_alone(address).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "HTTP_PORT {port} on {host} is taken by another process (ss -ltnp 'sport = :{port}' shows which): \
                 stop that one, or set another HTTP_PORT"
            ),
            io::ErrorKind::PermissionDenied => {
                format!("HTTP_PORT {port} is not allowed for this user: set one from 1024 up")
            }
            io::ErrorKind::AddrNotAvailable => format!(
                "HTTP_HOST {host} is no address of this machine: set 127.0.0.1, 0.0.0.0 or one that `ip address` shows"
            ),
            _ => format!("HTTP_HOST {host}, HTTP_PORT {port}: {error}"),
        })?;
        let again = || {
            listener.try_clone().map_err(|error| format!("HTTP_PORT {port} cannot be listened to: {}", plain(&error)))
        };
        let (door, spare) = (again()?, again()?);
        // What it accepts inherits that.
        let _ = SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER_BYTES);
        Ok(HttpServer { listener, door, spare, address, limits: Limits::default() })
    }

    pub fn with_limits(self, limits: Limits) -> HttpServer {
        HttpServer { limits, ..self }
    }

    /// With the port that was free, when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is set, in the task queue that this runs in. Then the port is free at once, requests being
    /// answered have `Limits::drain` to finish, and when it returns every connection is closed.
    pub async fn serve<R: Responder + 'static>(self, responder: Rc<R>, stop: Stop) {
        self.serve_beside(responder, stop, Rc::default(), Rc::default()).await;
    }

    /// As [`serve`](Self::serve), taking its turns beside others, and counting for others to see.
    pub async fn serve_beside<R: Responder + 'static>(
        self,
        responder: Rc<R>,
        stop: Stop,
        turns: Rc<Turns>,
        counts: Rc<HttpCounts>,
    ) {
        let HttpServer { listener, door, spare, limits, .. } = self;
        let house = Rc::new(House {
            responder,
            limits,
            stop,
            turns,
            counts,
            abort: Stop::new(),
            door,
            spare: RefCell::new(Some(spare)),
            seats: RefCell::default(),
            last_number: Cell::new(0),
            telling_count: Cell::new(0),
            open_count: Cell::new(0),
            on_empty: Cell::new(None),
            clock: Clock::start(),
            accept_errors: LogLimit::default(),
            panics: LogLimit::default(),
        });
        house.accept_until_stopped(listener).await;
        if within(limits.drain, house.is_empty()).await.is_none() {
            house.abort.set();
            house.is_empty().await;
        }
    }
}

/// The address to listen on. The error is one line: the setting is wrong.
pub fn resolve(host: &str, port: u16) -> Result<SocketAddr, String> {
    let what_to_do = "set 127.0.0.1, 0.0.0.0 or another address of this machine";
    let addresses: Vec<SocketAddr> = match (host, port).to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(format!("HTTP_HOST {host} cannot be resolved ({}): {what_to_do}", plain(&error))),
    };
    // `localhost` may be ::1 first; what people type into a browser or a scrape target is mostly 127.0.0.1.
    let ipv4 = addresses.iter().find(|address| address.is_ipv4());
    match ipv4.or(addresses.first()) {
        Some(address) => Ok(*address),
        None => Err(format!("HTTP_HOST {host} has no address: {what_to_do}")),
    }
}

/// What the accept loop and the connections share.
pub struct House<R> {
    pub responder: Rc<R>,
    pub limits: Limits,
    /// No further request is read.
    pub stop: Stop,
    pub turns: Rc<Turns>,
    pub counts: Rc<HttpCounts>,
    /// What is still going on after `Limits::drain` ends here.
    abort: Stop,
    door: StdListener,
    spare: RefCell<Option<StdListener>>,
    /// Of the connections that keep their places.
    seats: RefCell<Vec<Rc<Seat>>>,
    last_number: Cell<u64>,
    /// Peers that are told that there is no place for them.
    telling_count: Cell<usize>,
    /// All tasks.
    open_count: Cell<usize>,
    on_empty: Cell<Option<Waker>>,
    clock: Clock,
    accept_errors: LogLimit,
    panics: LogLimit,
}

/// A connection's place in the house, given back however it ends.
struct Place<R> {
    house: Rc<House<R>>,
    seat: Rc<Seat>,
}

impl<R> Place<R> {
    fn new(house: &Rc<House<R>>) -> Place<R> {
        house.open_count.set(house.open_count.get() + 1);
        let seat = Rc::new(Seat::default());
        house.note_waiting(&seat);
        Place { house: house.clone(), seat }
    }
}

impl<R> Drop for Place<R> {
    fn drop(&mut self) {
        self.house.seats.borrow_mut().retain(|seat| !Rc::ptr_eq(seat, &self.seat));
        let left = self.house.open_count.get() - 1;
        self.house.open_count.set(left);
        if left == 0
            && let Some(waker) = self.house.on_empty.take()
        {
            waker.wake();
        }
    }
}

impl<R> House<R> {
    /// From now on the connection waits for its peer.
    pub fn note_waiting(&self, seat: &Seat) {
        self.last_number.set(self.last_number.get() + 1);
        seat.waiting_since.set(Some(self.last_number.get()));
    }

    /// Has the connection that has been silent for longest leave; false when all are being answered. Its descriptor is
    /// free by the next turn.
    fn make_room(&self) -> bool {
        let mut seats = self.seats.borrow_mut();
        let silent = seats.iter().enumerate().filter_map(|(index, seat)| Some((seat.waiting_since.get()?, index)));
        let Some((_, index)) = silent.min() else { return false };
        seats.swap_remove(index).leave.set();
        self.counts.count(Unserved::Silent);
        true
    }

    /// A peer waits to be accepted. (Without a free descriptor io_uring does not even look.)
    fn is_knocked(&self) -> bool {
        let mut awaited = [PollFd::new(&self.door, PollFlags::IN)];
        matches!(poll(&mut awaited, Some(&Timespec::default())), Ok(1..))
    }

    /// Takes the spare descriptor back if it was given up; false: there is none to be had.
    fn has_spare(&self) -> bool {
        let mut spare = self.spare.borrow_mut();
        if spare.is_none() {
            *spare = self.door.try_clone().ok();
        }
        spare.is_some()
    }

    async fn is_empty(&self) {
        poll_fn(|cx| match self.open_count.get() {
            0 => Poll::Ready(()),
            _ => {
                self.on_empty.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

impl<R: Responder + 'static> House<R> {
    async fn accept_until_stopped(self: &Rc<Self>, listener: StdListener) {
        self.turns.watch(&listener);
        // SAFETY: `into_raw_fd` gives the descriptor away, and it is given here once. glommio has no safe way in.
        let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) };
        while let Some(accepted) = unless(&self.stop, listener.accept()).await {
            match accepted {
                Ok(stream) => self.receive(stream),
                Err(error) => self.handle_failed_accept(error.into()).await,
            }
            self.turns.next().await;
        }
        // The ring may hold on to a descriptor that is closed until it gets to the cancelled accept; a shutdown works
        // at once.
        let _ = SockRef::from(&self.door).shutdown(Shutdown::Both);
        self.seats.borrow().iter().for_each(|seat| seat.leave.set());
    }

    fn receive(self: &Rc<Self>, stream: TcpStream) {
        // Refused only when the peer is gone already; then reading says so.
        let _ = stream.set_nodelay(true);
        // SAFETY: the stream is borrowed for longer, and keeps its descriptor open.
        self.turns.watch(unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) });
        if !self.has_spare() {
            self.turn_away(stream, Unserved::Descriptors);
        } else if self.seats.borrow().len() < self.limits.connections || self.make_room() {
            self.admit(stream);
        } else {
            self.turn_away(stream, Unserved::Busy);
        }
    }

    async fn handle_failed_accept(&self, error: io::Error) {
        let errno = Errno::from_io_error(&error);
        if errno == Some(Errno::CONNABORTED) {
            return;
        }
        if let Some(count) = self.accept_errors.count_within(self.clock.elapsed_ns(), ACCEPT_LINES_NS) {
            log::warn!(cause:% = error, count; "http: accept fails, trying on: {error}{count}");
        }
        let is_out_of_descriptors = matches!(errno, Some(Errno::MFILE | Errno::NFILE));
        if is_out_of_descriptors && self.is_knocked() && (self.make_room() || self.spare.take().is_some()) {
            return;
        }
        unless(&self.stop, Timer::new(ACCEPT_PAUSE)).await;
    }

    fn admit(self: &Rc<Self>, mut stream: TcpStream) {
        let place = Place::new(self);
        self.seats.borrow_mut().push(place.seat.clone());
        let connection = async move {
            let house = &place.house;
            // A panic would take the executor with it, and the engine on it.
            let served = AssertUnwindSafe(Connection::new(house, &place.seat, &mut stream).serve()).catch_unwind();
            if let Some(Err(_)) = unless(&house.abort, served).await
                && let Some(count) = house.panics.count(house.clock.elapsed_ns())
            {
                log::error!(count; "http: a connection panicked and was closed{count}");
            }
            close(stream).await;
            drop(place);
        };
        glommio::spawn_local(connection).detach();
    }

    fn turn_away(self: &Rc<Self>, mut stream: TcpStream, reason: Unserved) {
        self.counts.count(reason);
        if self.telling_count.get() == TELLING_MAX {
            return;
        }
        self.telling_count.set(self.telling_count.get() + 1);
        let message = match reason {
            Unserved::Descriptors => "no file descriptor is left for another connection".to_owned(),
            _ => format!("all {} connections are being answered", self.limits.connections),
        };
        let place = Place::new(self);
        let telling = async move {
            let house = &place.house;
            let mut connection = Connection::new(house, &place.seat, &mut stream);
            unless(&house.stop, connection.tell(Response::error(503, &message))).await;
            close(stream).await;
            house.telling_count.set(house.telling_count.get() - 1);
            drop(place);
        };
        glommio::spawn_local(telling).detach();
    }
}

async fn close(stream: TcpStream) {
    // As for the listener: the FIN must not wait for the ring.
    let _ = stream.shutdown(Shutdown::Both).await;
}
