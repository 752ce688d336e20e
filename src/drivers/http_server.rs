//! The HTTP responder's sockets: accepts, reads request heads, asks the [`Responder`], writes what it says.
//!
//! Everything that a peer can hold on to has a limit ([`Limits`]): the connections, the bytes of a head, the time for a
//! request, for an answer, for taking it, for saying nothing. A connection is one task that ends by itself: it races
//! its own futures against timers and the stop flag, and nothing ever cancels it from outside (a cancelled glommio task
//! leaks). When [`HttpServer::serve`] returns, every socket is shut down and no task of it is left.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt, FutureExt, future};
use glommio::net::{TcpListener, TcpStream};
use glommio::timer::Timer;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::clock::Clock;
use super::executor::give_way;
use super::http_message::{Ending, HEAD_BYTES_MAX, Head, decode_head};
pub use super::http_message::{Request, Response};
use super::log_limit::LogLimit;
use super::race::{unless, within};
use super::stop::{Stop, Stopped};
use super::text::plain;

/// Connections that the kernel keeps for the accept loop; a scrape and a few dashboards arrive at once, not more.
const BACKLOG: i32 = 256;
/// A body up to this goes out together with its head, in one segment train; a longer one by itself, uncopied.
const COALESCED_BODY_BYTES_MAX: usize = 16 << 10;
/// After an error of `accept`. Most mean that descriptors or memory ran out, and would come back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
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
    /// Connections at once. One more is told 503 and closed: a client that is told can say so, one that waits in the
    /// backlog cannot tell a full service from a dead one.
    pub connections: usize,
    /// From the accept, or the first byte of a later request, to the end of the request: 408.
    pub request: Duration,
    /// From one response to the first byte of the next request; then the connection is closed without a word.
    pub idle: Duration,
    /// For the responder: 503.
    pub respond: Duration,
    /// For the peer to take a whole response.
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
            write: Duration::from_secs(10),
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
        Ok(HttpServer { listener, address, limits: Limits::default() })
    }

    pub fn with_limits(self, limits: Limits) -> HttpServer {
        HttpServer { limits, ..self }
    }

    /// With the port that was free, when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The port again, to see whether somebody knocks.
    pub fn listener(&self) -> io::Result<StdListener> {
        self.listener.try_clone()
    }

    /// Answers until `stop` is set, in the task queue that this runs in. Then the port is free at once, requests being
    /// answered have `Limits::drain` to finish, and when it returns every connection is closed.
    pub async fn serve<R: Responder + 'static>(self, responder: Rc<R>, stop: Stop) {
        let HttpServer { listener, limits, .. } = self;
        let house = Rc::new(House {
            responder,
            limits,
            stop,
            abort: Stop::new(),
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
struct House<R> {
    responder: Rc<R>,
    limits: Limits,
    /// No further request is read.
    stop: Stop,
    /// What is still going on after `Limits::drain` ends here.
    abort: Stop,
    open_count: Cell<usize>,
    on_empty: Cell<Option<Waker>>,
    clock: Clock,
    accept_errors: LogLimit,
    panics: LogLimit,
}

/// A connection's place in the house, given back however it ends.
struct Place<R>(Rc<House<R>>);

impl<R> Drop for Place<R> {
    fn drop(&mut self) {
        let left = self.0.open_count.get() - 1;
        self.0.open_count.set(left);
        if left == 0
            && let Some(waker) = self.0.on_empty.take()
        {
            waker.wake();
        }
    }
}

impl<R: Responder + 'static> House<R> {
    async fn accept_until_stopped(self: &Rc<Self>, listener: StdListener) {
        let closer = listener.try_clone();
        // SAFETY: `into_raw_fd` gives the descriptor away, and it is given here once. glommio has no safe way in.
        let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) };
        while let Some(accepted) = unless(&self.stop, listener.accept()).await {
            match accepted {
                Ok(stream) => {
                    // Refused only when the peer is gone already; then reading says so.
                    let _ = stream.set_nodelay(true);
                    match self.open_count.get() < self.limits.connections {
                        true => self.admit(stream),
                        // Here and not in a task of its own, so that refusals need no bound: while the house is full
                        // there is nothing better to do, and further peers wait in the backlog.
                        false => drop(unless(&self.stop, self.turn_away(stream)).await),
                    }
                }
                Err(error) => {
                    let now_ns = self.clock.elapsed_ns();
                    if let Some(count) = self.accept_errors.count_within(now_ns, ACCEPT_LINES_NS) {
                        log::warn!(cause:% = error, count; "http: accept fails, trying on: {error}{count}");
                    }
                    unless(&self.stop, Timer::new(ACCEPT_PAUSE)).await;
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

    fn admit(self: &Rc<Self>, mut stream: TcpStream) {
        self.open_count.set(self.open_count.get() + 1);
        let place = Place(self.clone());
        let connection = async move {
            let house = &place.0;
            // A panic would take the executor with it, and the engine on it.
            let served = AssertUnwindSafe(Connection::new(house, &mut stream).serve()).catch_unwind();
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

    async fn turn_away(self: &Rc<Self>, mut stream: TcpStream) {
        let message = format!("all {} connections are in use", self.limits.connections);
        let mut connection = Connection::new(self, &mut stream);
        if connection.write(&Response::error(503, &message), true, Ending::Close).await {
            connection.linger().await;
        }
        let _ = stream.shutdown(Shutdown::Both).await;
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

/// One peer. Its memory is a head's worth of receive buffer, and a response on its way out.
struct Connection<'a, R> {
    house: &'a House<R>,
    stream: &'a mut TcpStream,
    /// The first `unread_len` bytes are not used yet.
    receive: Box<[u8]>,
    unread_len: usize,
    transmit: Vec<u8>,
    /// Of what is read at present: the idle time, then the request.
    deadline: Timer,
    stopped: Stopped,
}

/// Why there is no further request.
enum End {
    Silent,
    Told(Response),
}

enum Event {
    Bytes,
    EndOfStream,
    Broken,
    TimedOut,
    Stopped,
}

impl<'a, R: Responder> Connection<'a, R> {
    fn new(house: &'a House<R>, stream: &'a mut TcpStream) -> Self {
        Connection {
            house,
            stream,
            receive: vec![0; HEAD_BYTES_MAX].into(),
            unread_len: 0,
            transmit: Vec::new(),
            deadline: Timer::new(house.limits.request),
            stopped: house.stop.wait(),
        }
    }

    async fn serve(mut self) {
        loop {
            let head = match self.next_request().await {
                Ok(head) => head,
                Err(End::Silent) => return,
                Err(End::Told(response)) => {
                    if self.write(&response, true, Ending::Close).await {
                        self.linger().await;
                    }
                    return;
                }
            };
            let response = match head.asked {
                Ok(request) => self.answer(request).await,
                Err(response) => response,
            };
            let ending = if self.house.stop.is_set() { Ending::Close } else { head.ending };
            if !self.write(&response, head.wants_body, ending).await {
                return;
            }
            if ending == Ending::Close {
                return self.linger().await;
            }
            // Pipelined requests must not keep the engine waiting.
            give_way().await;
            if self.unread_len > 0 {
                self.deadline = Timer::new(self.house.limits.request);
            } else {
                self.deadline = Timer::new(self.house.limits.idle);
                match self.fill().await {
                    Event::Bytes => self.deadline = Timer::new(self.house.limits.request),
                    _ => return,
                }
            }
        }
    }

    /// Reads one request, head and body, up to the deadline.
    async fn next_request(&mut self) -> Result<Head, End> {
        let head = loop {
            match decode_head(&self.receive[..self.unread_len]) {
                Ok(Some(head)) => break head,
                Ok(None) => self.fill_request().await?,
                Err(response) => return Err(End::Told(response)),
            }
        };
        self.consume(head.len_bytes);
        let mut body_left = head.body_len_bytes;
        loop {
            let discarded = body_left.min(self.unread_len);
            self.consume(discarded);
            body_left -= discarded;
            if body_left == 0 {
                return Ok(head);
            }
            self.fill_request().await?;
        }
    }

    async fn fill_request(&mut self) -> Result<(), End> {
        match self.fill().await {
            Event::Bytes => Ok(()),
            // A peer that has only closed its sending side may still want to know.
            Event::EndOfStream if self.unread_len > 0 => {
                Err(End::Told(Response::error(400, "the request ends in the middle")))
            }
            Event::TimedOut => {
                let seconds = self.house.limits.request.as_secs_f64();
                let message = format!("the request was not complete within {seconds} s");
                Err(End::Told(Response::error(408, &message)))
            }
            Event::EndOfStream | Event::Broken | Event::Stopped => Err(End::Silent),
        }
    }

    /// Reads once.
    async fn fill(&mut self) -> Event {
        let Connection { stream, receive, unread_len, deadline, stopped, .. } = self;
        let room = &mut receive[*unread_len..];
        assert!(!room.is_empty(), "a full buffer is a head or an error, never waited on");
        let read = async {
            match stream.read(room).await {
                Ok(0) => Event::EndOfStream,
                Ok(len) => {
                    *unread_len += len;
                    Event::Bytes
                }
                Err(_) => Event::Broken,
            }
        };
        let timed_out = async {
            deadline.await;
            Event::TimedOut
        };
        let stopped = async {
            stopped.await;
            Event::Stopped
        };
        future::or(stopped, future::or(read, timed_out)).await
    }

    fn consume(&mut self, len: usize) {
        self.receive.copy_within(len..self.unread_len, 0);
        self.unread_len -= len;
    }

    async fn answer(&self, request: Request) -> Response {
        let answer = async { self.house.responder.respond(request).await };
        match within(self.house.limits.respond, AssertUnwindSafe(answer).catch_unwind()).await {
            Some(Ok(response)) => response,
            Some(Err(_)) => Response::error(500, "the answer failed; the log says more"),
            None => Response::error(503, "no answer in time"),
        }
    }

    /// False: the peer is gone, or takes too long.
    async fn write(&mut self, response: &Response, wants_body: bool, ending: Ending) -> bool {
        let Connection { stream, transmit, .. } = self;
        transmit.clear();
        response.encode_head(ending, transmit);
        let body: &[u8] = if wants_body { &response.body } else { b"" };
        let separate = match body.len() <= COALESCED_BODY_BYTES_MAX {
            true => {
                transmit.extend_from_slice(body);
                b""
            }
            false => body,
        };
        let written = async {
            stream.write_all(transmit).await?;
            stream.write_all(separate).await
        };
        matches!(within(self.house.limits.write, written).await, Some(Ok(())))
    }

    /// Says the end, and reads what the peer still sends until it says so too.
    async fn linger(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write).await;
        let Connection { stream, receive, .. } = self;
        let rest = async {
            while let Ok(1..) = stream.read(receive).await {
                give_way().await;
            }
        };
        within(self.house.limits.linger, rest).await;
    }
}
