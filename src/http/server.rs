//! The HTTP responder: takes the port, accepts, and decides which connections are served. What a connection does is in
//! `connection`.
//!
//! Everything that a peer can hold on to has a limit ([`HttpLimits`]): the connections, the bytes of a head, the time for a
//! request, for an answer, for taking it, for being idle. A connection is one task that ends by itself: it waits for
//! its own futures together with timers and flags, and nothing ever cancels it from outside. When [`HttpServer::serve`] returns, every
//! socket is shut down and no task of it is left.
//!
//! No peer waits for a slot: when all are taken, the connection that has waited for its peer for longest is closed for
//! the new one. Only where every connection is being answered the new one is rejected.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::FutureExt;

use crate::http::connection::{HttpConnection, Slot};
use crate::http::counts::{HttpCounts, Unserved};
use crate::http::listen_error::ListenError;
pub use crate::http::request::Request;
pub use crate::http::response::Response;
use crate::runtime::acceptor::{Arrival, Listener};
use crate::runtime::clock::Clock;
use crate::runtime::log_limit::LogLimit;
use crate::runtime::socket::Stream;
use crate::runtime::stop::Stop;
use crate::runtime::task::TaskGroup;
use crate::runtime::timeout::{unless, within};
use crate::runtime::turns::Turns;

/// Of an answer that the kernel keeps for a peer (it takes twice that): what is not sent yet has no other bound there.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// Peers that are being rejected at once; more are closed without an answer.
const REJECTIONS_MAX: usize = 16;

/// Answers requests, on the executor that serves. It may wait (for another core's answer) up to [`HttpLimits::respond`]; then
/// the future is dropped, which it must allow at any await.
pub trait Responder {
    /// The answer to a request whose path and method HTTP allows.
    fn respond(&self, request: Request) -> impl Future<Output = Response>;
}

/// What a peer may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections at once. For one more the one that has been silent for longest is closed; where none is, the new one
    /// gets 503: a client that waits in the backlog instead could not tell a full service from a dead one.
    pub connections: usize,
    /// From the accept, or the first byte of a later request, to the end of the request: 408.
    pub request: Duration,
    /// From one response to the first byte of the next request; then the connection is closed without an answer.
    pub idle: Duration,
    /// For the responder, and for each further part of its answer: 503, or the end.
    pub respond: Duration,
    /// For the peer to read the next piece of an answer (32 KiB at most).
    pub write: Duration,
    /// For a reader of events to take the next piece: it loses events meanwhile, and is told. Then it is closed.
    pub event: Duration,
    /// After a response that ends the connection: until the peer has closed its side too. Closing at once with bytes
    /// unread would send a reset, which can overtake the response (RFC 9112, section 9.6).
    pub linger: Duration,
    /// From the stop flag to the end of the requests that are being answered.
    pub drain: Duration,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits {
            connections: 256,
            request: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            respond: Duration::from_secs(5),
            write: Duration::from_secs(2),
            event: Duration::from_secs(30),
            linger: Duration::from_millis(500),
            // The service has 5 s to end in, and more to do than this.
            drain: Duration::from_secs(1),
        }
    }
}

/// A bound port; [`serve`](HttpServer::serve) makes it answer.
#[derive(Debug)]
pub struct HttpServer {
    listener: Listener,
    limits: HttpLimits,
}

impl HttpServer {
    /// Takes the port, for itself alone. Resolves `host` where it is a name, which blocks: to be called before the
    /// executors start.
    pub fn bind(host: &str, port: u16) -> Result<HttpServer, ListenError> {
        let address = resolve(host, port)?;
        let listener = Listener::bind(address).map_err(|error| {
            let host = host.to_owned();
            match error.kind() {
                io::ErrorKind::AddrInUse => ListenError::Taken { host, port },
                io::ErrorKind::PermissionDenied => ListenError::NotAllowed { port },
                io::ErrorKind::AddrNotAvailable => ListenError::NotHere { host },
                _ => ListenError::Failed { host, port, error },
            }
        })?;
        listener.set_send_buffer_bytes(SEND_BUFFER_BYTES);
        Ok(HttpServer { listener, limits: HttpLimits::default() })
    }

    /// Other limits than the defaults, for the tests.
    pub fn with_limits(self, limits: HttpLimits) -> HttpServer {
        HttpServer { limits, ..self }
    }

    /// With the port that was free, when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Answers until `stop` is set, taking its `turns` beside others and counting in `counts` for others to see. After the
    /// stop the port is free at once, requests being answered have [`HttpLimits::drain`] to finish, and when it returns every
    /// connection is closed.
    pub async fn serve<R: Responder + 'static>(
        self,
        responder: Rc<R>,
        stop: Stop,
        turns: Rc<Turns>,
        counts: Rc<HttpCounts>,
    ) {
        let HttpServer { listener, limits } = self;
        let mut acceptor = listener.accept_on_reactor("http", turns.clone());
        let shared = Rc::new(Shared {
            responder,
            limits,
            stop,
            turns,
            counts,
            abort: Stop::new(),
            slots: RefCell::default(),
            last_number: Cell::new(0),
            rejection_count: Cell::new(0),
            tasks: Rc::default(),
            clock: Clock::start(),
            panics: LogLimit::default(),
        });
        while let Some(arrival) = acceptor.next(&shared.stop, || shared.make_room()).await {
            shared.handle_arrival(arrival);
        }
        shared.slots.borrow().iter().for_each(|slot| slot.leave.set());
        if within(limits.drain, shared.tasks.wait_until_empty()).await.is_none() {
            shared.abort.set();
            shared.tasks.wait_until_empty().await;
        }
    }
}

/// The address to listen on. The error is that of the setting.
pub fn resolve(host: &str, port: u16) -> Result<SocketAddr, ListenError> {
    let addresses: Vec<SocketAddr> = match (host, port).to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(ListenError::Unresolved { host: host.to_owned(), error }),
    };
    // `localhost` may be ::1 first; what operators type into a browser or a scrape target is mostly 127.0.0.1.
    let ipv4 = addresses.iter().find(|address| address.is_ipv4());
    match ipv4.or(addresses.first()) {
        Some(address) => Ok(*address),
        None => Err(ListenError::NoAddress { host: host.to_owned() }),
    }
}

/// What the accept loop and the connections share.
pub(super) struct Shared<R> {
    pub responder: Rc<R>,
    pub limits: HttpLimits,
    /// No further request is read.
    pub stop: Stop,
    pub turns: Rc<Turns>,
    pub counts: Rc<HttpCounts>,
    /// What is still going on after [`HttpLimits::drain`] ends here.
    abort: Stop,
    /// Of the connections that are served, but for those that are to leave.
    slots: RefCell<Vec<Rc<Slot>>>,
    last_number: Cell<u64>,
    rejection_count: Cell<usize>,
    tasks: Rc<TaskGroup>,
    clock: Clock,
    panics: LogLimit,
}

impl<R> Shared<R> {
    /// From now on the connection waits for its peer.
    pub fn note_waiting(&self, slot: &Slot) {
        self.last_number.set(self.last_number.get() + 1);
        slot.waiting_since.set(Some(self.last_number.get()));
    }

    /// Closes the connection that has waited for its peer for longest; false when all are being answered. Its descriptor
    /// is free by the next turn.
    fn make_room(&self) -> bool {
        let mut slots = self.slots.borrow_mut();
        let waiting = slots.iter().enumerate().filter_map(|(index, slot)| Some((slot.waiting_since.get()?, index)));
        let Some((_, index)) = waiting.min() else { return false };
        slots.swap_remove(index).leave.set();
        self.counts.count(Unserved::Silent);
        true
    }
}

impl<R: Responder + 'static> Shared<R> {
    fn handle_arrival(self: &Rc<Self>, arrival: Arrival) {
        match arrival {
            Arrival::WithoutDescriptor(stream) => self.reject(stream, Unserved::Descriptors),
            Arrival::Peer(stream) if self.slots.borrow().len() < self.limits.connections || self.make_room() => {
                self.admit(stream);
            }
            Arrival::Peer(stream) => self.reject(stream, Unserved::Busy),
        }
    }

    fn admit(self: &Rc<Self>, mut stream: Stream) {
        let (shared, slot) = (self.clone(), Rc::new(Slot::default()));
        self.note_waiting(&slot);
        self.slots.borrow_mut().push(slot.clone());
        self.tasks.spawn(async move {
            // A panic would take the executor with it, and the engine on it.
            let served = AssertUnwindSafe(HttpConnection::new(&shared, &slot, &mut stream).serve()).catch_unwind();
            if let Some(Err(_)) = unless(&shared.abort, served).await
                && let Some(count) = shared.panics.count(shared.clock.elapsed_ns())
            {
                log::error!(count; "http: a connection was closed by an internal error; the line before has its cause{count}");
            }
            stream.shutdown(Shutdown::Both);
            shared.slots.borrow_mut().retain(|other| !Rc::ptr_eq(other, &slot));
        });
    }

    fn reject(self: &Rc<Self>, mut stream: Stream, reason: Unserved) {
        self.counts.count(reason);
        if self.rejection_count.get() == REJECTIONS_MAX {
            return;
        }
        self.rejection_count.set(self.rejection_count.get() + 1);
        let message = match reason {
            Unserved::Descriptors => "no file descriptor is left for another connection".to_owned(),
            _ => format!("all {} connections are being answered", self.limits.connections),
        };
        let shared = self.clone();
        self.tasks.spawn(async move {
            let slot = Slot::default();
            let mut connection = HttpConnection::new(&shared, &slot, &mut stream);
            unless(&shared.stop, connection.end_with(Response::error(503, &message))).await;
            stream.shutdown(Shutdown::Both);
            shared.rejection_count.set(shared.rejection_count.get() - 1);
        });
    }
}
