//! The HTTP responder's sockets: accepts, reads request heads, asks the [`Responder`], writes what it says.
//!
//! Everything that a peer can hold on to has a limit ([`Limits`]): the connections, the bytes of a head and of answers,
//! the time for a request, for an answer, for taking it, for saying nothing. When all places are taken, a newcomer gets
//! the one that has been silent longest, so peers that say nothing keep nobody out. A connection is one task that ends
//! by itself: it races its own futures against timers and flags, and nothing ever cancels it from outside (a cancelled
//! glommio task leaks). When [`HttpServer::serve`] returns, every socket is shut down and no task of it is left.

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::FutureExt;
use glommio::net::{TcpListener, TcpStream};
use glommio::timer::Timer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_user_timeout;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::clock::Clock;
use super::executor::give_way;
use super::http_connection::Connection;
pub use super::http_message::{Request, Response};
use super::http_places::{Admission, Place, Places};
pub use super::http_places::{Closed, HttpCounters};
use super::log_limit::LogLimit;
use super::race::{unless, within};
use super::stop::Stop;
use super::text::plain;

/// Connections that the kernel keeps for the accept loop; a scrape and a few dashboards arrive at once, not more.
const BACKLOG: i32 = 256;
/// What the kernel holds of an answer; it doubles this. Left to itself it takes up to 4 MiB a connection.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// How long the kernel tries to hand over what a closed connection has left.
const ORPHAN_MS: u32 = 10_000;
/// After an error of `accept`. Most mean that descriptors or memory ran out, and would come back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Peers that are closed between two such pauses, when there is no descriptor for them.
const CLOSED_AT_ONCE_MAX: usize = 64;
/// Between two lines about it: it may last.
pub const ACCEPT_LINES_NS: u64 = 60_000_000_000;

/// Answers requests, on the executor that serves. May take its time (another core may know the answer), up to
/// [`Limits::respond`]; then the future is dropped, so it must bear that at any await.
pub trait Responder {
    fn respond(&self, request: Request) -> impl Future<Output = Response>;
}

/// What a peer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. For one more the one is closed whose peer has owed a request longest; when none does, the
    /// new one is told 503 and closed: a client that is told can say so, one that waits in the backlog cannot tell a
    /// full service from a dead one.
    pub connections: usize,
    /// Of all answers over 16 KiB that are being made or written: 503, and may be asked for again.
    pub in_flight_bytes: usize,
    /// From the accept, or the first byte of a later request, to the end of the request: 408.
    pub request: Duration,
    /// From one response to the first byte of the next request; then the connection is closed without a word.
    pub idle: Duration,
    /// For the responder: 503.
    pub respond: Duration,
    /// For the peer to take a whole response; then the connection is closed.
    pub write: Duration,
    /// For the peer to take any byte of it; likewise.
    pub stall: Duration,
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
            in_flight_bytes: 16 << 20,
            request: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            respond: Duration::from_secs(5),
            write: Duration::from_secs(10),
            stall: Duration::from_secs(2),
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
    address: SocketAddr,
    limits: Limits,
    counters: Arc<HttpCounters>,
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
        let is_set_up = SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER_BYTES);
        // Connections have what their listener has.
        is_set_up
            .and_then(|()| Ok(set_tcp_user_timeout(&listener, ORPHAN_MS)?))
            .map_err(|error| format!("HTTP_HOST {host}, HTTP_PORT {port}: {error}"))?;
        Ok(HttpServer { listener, address, limits: Limits::default(), counters: Arc::default() })
    }

    pub fn with_limits(self, limits: Limits) -> HttpServer {
        HttpServer { limits, ..self }
    }

    /// With the port that was free, when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    pub fn counters(&self) -> Arc<HttpCounters> {
        self.counters.clone()
    }

    /// The port again, to see whether somebody knocks.
    pub fn listener(&self) -> io::Result<StdListener> {
        self.listener.try_clone()
    }

    /// Answers until `stop` is set, in the task queue that this runs in. Then the port is free at once, requests being
    /// answered have `Limits::drain` to finish, and when it returns every connection is closed.
    pub async fn serve<R: Responder + 'static>(self, responder: Rc<R>, stop: Stop) {
        let HttpServer { listener, limits, counters, .. } = self;
        let house = Rc::new(House {
            responder,
            limits,
            stop,
            abort: Stop::new(),
            places: Places::new(limits.connections, limits.in_flight_bytes, counters),
            clock: Clock::start(),
            accept_errors: LogLimit::default(),
            panics: LogLimit::default(),
        });
        house.accept_until_stopped(listener).await;
        if within(limits.drain, house.places.are_empty()).await.is_none() {
            house.abort.set();
            house.places.are_empty().await;
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

/// Not glommio's own `bind`: that sets SO_REUSEPORT, and a second instance would silently take half of the requests.
/// SO_REUSEADDR only lets a restarted service have its port back while old connections linger.
pub fn listen_alone(address: SocketAddr) -> io::Result<(StdListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = StdListener::from(socket);
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// What the accept loop and the connections share.
pub(super) struct House<R> {
    pub responder: Rc<R>,
    pub limits: Limits,
    /// No further request is read.
    pub stop: Stop,
    /// What is still going on after `Limits::drain` ends here.
    abort: Stop,
    pub places: Rc<Places>,
    clock: Clock,
    accept_errors: LogLimit,
    panics: LogLimit,
}

impl<R: Responder + 'static> House<R> {
    async fn accept_until_stopped(self: &Rc<Self>, listener: StdListener) {
        let closer = listener.try_clone();
        let mut spare = Spare::open();
        // SAFETY: `into_raw_fd` gives the descriptor away, and it is given here once. glommio has no safe way in.
        let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) };
        // Nothing in here waits for a peer: all the others wait behind it.
        while let Some(accepted) = unless(&self.stop, listener.accept()).await {
            match accepted {
                Ok(stream) => self.admit(stream),
                Err(error) => {
                    let now_ns = self.clock.elapsed_ns();
                    if let Some(count) = self.accept_errors.count_within(now_ns, ACCEPT_LINES_NS) {
                        log::warn!(cause:% = error, count; "http: accept fails, trying on: {error}{count}");
                    }
                    let is_met = match &closer {
                        Ok(listener) => self.meet_shortage(&error.into(), listener, &mut spare),
                        Err(_) => false,
                    };
                    if !is_met {
                        unless(&self.stop, Timer::new(ACCEPT_PAUSE)).await;
                    }
                }
            }
            give_way().await;
        }
        // The ring may hold on to a descriptor that is closed until it gets to the cancelled accept; a shutdown works
        // at once.
        if let Ok(closer) = closer {
            let _ = SockRef::from(&closer).shutdown(Shutdown::Both);
        }
    }

    /// After an error of `accept`. True: the next try may work at once.
    fn meet_shortage(&self, error: &io::Error, listener: &StdListener, spare: &mut Spare) -> bool {
        let is_shortage =
            [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()));
        if !is_shortage || !is_knocked(listener) {
            return false;
        }
        // A silent connection's descriptor serves as well as its place.
        if self.places.make_room() {
            return true;
        }
        for _ in 0..CLOSED_AT_ONCE_MAX {
            if !spare.close_next(listener) {
                break;
            }
            self.places.counters.count(Closed::Descriptors);
        }
        false
    }

    fn admit(self: &Rc<Self>, stream: TcpStream) {
        // Refused only when the peer is gone already; then reading says so.
        let _ = stream.set_nodelay(true);
        match self.places.admit() {
            Admission::Seated(place) => self.attend(stream, place, false),
            Admission::TurnedAway(place) => self.attend(stream, place, true),
            Admission::None => {}
        }
    }

    fn attend(self: &Rc<Self>, mut stream: TcpStream, place: Place, is_turned_away: bool) {
        let house = self.clone();
        let connection = async move {
            let connection = Connection::new(&house, &place, &mut stream);
            let served = async move {
                match is_turned_away {
                    true => connection.turn_away().await,
                    false => connection.serve().await,
                }
            };
            // A panic would take the executor with it, and the engine on it.
            let served = AssertUnwindSafe(served).catch_unwind();
            if let Some(Err(_)) = unless(&house.abort, served).await
                && let Some(count) = house.panics.count(house.clock.elapsed_ns())
            {
                log::error!(count; "http: a connection panicked and was closed{count}");
            }
            // As for the listener: the FIN must not wait for the ring.
            let _ = stream.shutdown(Shutdown::Both).await;
            drop(stream);
            drop(place);
        };
        glommio::spawn_local(connection).detach();
    }
}

/// A descriptor kept for the case that there are no others: with it a peer can be taken out of the backlog and closed,
/// instead of hanging there.
struct Spare(Option<File>);

impl Spare {
    fn open() -> Spare {
        Spare(File::open("/dev/null").ok())
    }

    /// False: nobody waits, or the spare descriptor is lost to others.
    fn close_next(&mut self, listener: &StdListener) -> bool {
        self.0 = None;
        let is_closed = is_knocked(listener) && listener.accept().is_ok();
        *self = Spare::open();
        is_closed
    }
}

/// Whether `accept` would find a peer.
fn is_knocked(listener: &StdListener) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&at_once)) == Ok(1)
}
