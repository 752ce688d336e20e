//! The embedded broker's sockets. A connection is one task that reads into the [`Broker`] and writes what that has for
//! it; whoever publishes (another connection, or [`Hub::publish`] in the same process) wakes the tasks concerned.
//!
//! As with the HTTP responder, a task ends by itself and nothing cancels it from outside, a panic ends one connection
//! only, and when [`BrokerServer::serve`] returns every socket is shut down and no task of it is left.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use ahash::HashMap;
use futures_lite::{AsyncReadExt, AsyncWriteExt, FutureExt, future};
use glommio::net::{TcpListener, TcpStream};
use glommio::timer::Timer;
use socket2::SockRef;

use crate::broker::router::{Broker, BrokerCounters, BrokerLimits, ConnectionId, Output, REFUSAL, Standing};
use crate::runtime::acceptor::{ACCEPT_LINES_NS, ACCEPT_PAUSE, listen_alone};
use crate::runtime::clock::Clock;
use crate::runtime::executor::{self, give_way};
use crate::runtime::log_limit::LogLimit;
use crate::runtime::log_text::plain;
use crate::runtime::stop::Stop;
use crate::runtime::timeout::{unless, within};

/// What one read takes: large enough that a fast publisher costs few wake-ups, small enough that others get their turn.
const READ_BYTES: usize = 64 << 10;
/// For a client to take one buffer of output; nats-server's `write_deadline`.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// From the last byte for a client to the close: a close with bytes unread would be a reset, which can overtake -ERR.
const LINGER: Duration = Duration::from_millis(500);
/// How long a client is not read whose messages someone cannot take; nats-server stalls producers by 2 to 5 ms.
const STALL: Duration = Duration::from_millis(5);
/// Ports that [`BrokerServer::bind_free`] tries.
const PORTS_TRIED: u16 = 100;

/// A bound port; [`serve`](BrokerServer::serve) makes it a broker.
#[derive(Debug)]
pub struct BrokerServer {
    listener: StdListener,
    address: SocketAddr,
    limits: BrokerLimits,
}

impl BrokerServer {
    /// Takes the port (0: any free one), for itself alone. The error is one line that says what to do.
    pub fn bind(host: &str, port: u16) -> Result<BrokerServer, String> {
        listen(host, port).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => format!("port {port} on {host} is taken: stop what runs there, or use another"),
            io::ErrorKind::PermissionDenied => {
                format!("port {port} is not allowed for this user: use one from 1024 up")
            }
            _ => format!("the broker cannot listen on {host}, port {port}: {}", plain(&error)),
        })
    }

    /// Takes `port` or the next one that is free.
    pub fn bind_free(host: &str, port: u16) -> Result<BrokerServer, String> {
        for candidate in port..=port.saturating_add(PORTS_TRIED) {
            match listen(host, candidate) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(_) => return BrokerServer::bind(host, candidate),
                Ok(server) => return Ok(server),
            }
        }
        Err(format!("the ports {port} to {} on {host} are all taken", port.saturating_add(PORTS_TRIED)))
    }

    pub fn with_limits(self, limits: BrokerLimits) -> BrokerServer {
        BrokerServer { limits, ..self }
    }

    /// With the port that was free, when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// As a client writes it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// The broker behind this port, for those on the same executor that publish into it.
    pub fn hub(&self, seed: u64) -> Hub {
        let broker = Broker::new(&self.address.ip().to_string(), self.address.port(), self.limits, seed);
        Hub(Rc::new(Inner { broker: RefCell::new(broker), wakers: RefCell::default() }))
    }

    /// Is a broker until `stop` is set. When it returns every connection is closed.
    pub async fn serve(self, hub: Hub, stop: Stop) {
        let house = Rc::new(House {
            hub,
            stop,
            open_count: Cell::new(0),
            emptied: Stop::new(),
            clock: Clock::start(),
            accept_errors: LogLimit::default(),
            panics: LogLimit::default(),
        });
        house.accept_until_stopped(self.listener).await;
        if house.open_count.get() > 0 {
            house.emptied.wait().await;
        }
    }

    /// Is a broker on a thread of its own, with a task beside it that may publish and should end at the stop. When the
    /// thread ends `on_end` is told whether by a panic.
    pub fn spawn<B: Future<Output = ()> + 'static>(
        self,
        seed: u64,
        on_end: impl FnOnce(bool) + Send + 'static,
        beside: impl FnOnce(Hub, Stop) -> B + Send + 'static,
    ) -> Result<BrokerThread, String> {
        let address = self.address;
        let (life, ended) = async_channel::bounded::<()>(1);
        let work = move || async move {
            let (hub, stop) = (self.hub(seed), Stop::new());
            let serving = glommio::spawn_local(self.serve(hub.clone(), stop.clone()));
            let beside = glommio::spawn_local(beside(hub, stop.clone()));
            // Nobody sends: it ends when the other side is dropped.
            let _ = ended.recv().await;
            stop.set();
            beside.await;
            serving.await;
        };
        let thread = executor::start("broker", on_end, work)?.begin();
        Ok(BrokerThread { address, life: Some(life), thread: Some(thread) })
    }
}

/// A broker on a thread of its own. Dropping it closes its connections and waits for its end.
pub struct BrokerThread {
    address: SocketAddr,
    /// Dropping it is the stop signal.
    life: Option<async_channel::Sender<()>>,
    thread: Option<JoinHandle<Option<()>>>,
}

impl BrokerThread {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As a client writes it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }
}

impl Drop for BrokerThread {
    fn drop(&mut self) {
        self.life = None;
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            log::error!("the broker has ended in error: please report the lines above as a bug");
        }
    }
}

fn listen(host: &str, port: u16) -> io::Result<BrokerServer> {
    let mut addresses = (host, port).to_socket_addrs()?;
    let address = addresses.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let (listener, address) = listen_alone(address)?;
    Ok(BrokerServer { listener, address, limits: BrokerLimits::default() })
}

/// The broker and who waits for it. Clones are the same one.
#[derive(Clone)]
pub struct Hub(Rc<Inner>);

struct Inner {
    broker: RefCell<Broker>,
    /// Each connection is one task, so it has one waker, whatever in it waits.
    wakers: RefCell<HashMap<ConnectionId, Waker>>,
}

impl Hub {
    /// Publishes from within the process. The subject must be valid.
    pub fn publish(&self, subject: &[u8], payload: &[u8]) {
        self.change(|broker| broker.publish(subject, payload));
    }

    pub fn counters(&self) -> BrokerCounters {
        self.0.broker.borrow().counters
    }

    pub fn connection_count(&self) -> usize {
        self.0.broker.borrow().connection_count()
    }

    pub fn subscription_count(&self) -> usize {
        self.0.broker.borrow().subscription_count()
    }

    /// Changes the broker and wakes whom that concerns.
    fn change<T>(&self, change: impl FnOnce(&mut Broker) -> T) -> T {
        let mut broker = self.0.broker.borrow_mut();
        let changed = change(&mut broker);
        let mut wakers = self.0.wakers.borrow_mut();
        while let Some(id) = broker.poll_roused() {
            // Without one it is not waiting, and asks before it does.
            if let Some(waker) = wakers.remove(&id) {
                waker.wake();
            }
        }
        changed
    }

    /// Waits until `poll` has something, asking again whenever the broker has news for this connection.
    async fn wait<T>(&self, id: ConnectionId, mut poll: impl FnMut(&mut Broker) -> Option<T>) -> T {
        poll_fn(|cx| match poll(&mut self.0.broker.borrow_mut()) {
            Some(found) => Poll::Ready(found),
            None => {
                self.0.wakers.borrow_mut().insert(id, cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

/// What the accept loop and the connections share.
struct House {
    hub: Hub,
    stop: Stop,
    open_count: Cell<usize>,
    /// Set when the last connection has ended after `stop`.
    emptied: Stop,
    clock: Clock,
    accept_errors: LogLimit,
    panics: LogLimit,
}

/// A connection's place in the house and in the broker, given back however it ends.
struct Place {
    house: Rc<House>,
    id: ConnectionId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let House { hub, stop, open_count, emptied, .. } = &*self.house;
        hub.change(|broker| broker.handle_disconnect(self.id));
        hub.0.wakers.borrow_mut().remove(&self.id);
        open_count.set(open_count.get() - 1);
        if open_count.get() == 0 && stop.is_set() {
            emptied.set();
        }
    }
}

impl House {
    async fn accept_until_stopped(self: &Rc<Self>, listener: StdListener) {
        let closer = listener.try_clone();
        // SAFETY: `into_raw_fd` gives the descriptor away, and it is given here once. glommio has no safe way in.
        let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) };
        while let Some(accepted) = unless(&self.stop, listener.accept()).await {
            match accepted {
                Ok(stream) => {
                    // Refused only when the peer is gone already; then reading says so.
                    let _ = stream.set_nodelay(true);
                    let is_full = self.hub.0.broker.borrow().is_full();
                    match is_full {
                        false => self.admit(stream),
                        true => turn_away(stream).await,
                    }
                }
                Err(error) => {
                    let now_ns = self.clock.elapsed_ns();
                    if let Some(count) = self.accept_errors.count_within(now_ns, ACCEPT_LINES_NS) {
                        log::warn!(cause:% = error, count; "broker: accept fails, trying on: {error}{count}");
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
        let ip = stream.peer_addr().map_or(String::new(), |peer| peer.ip().to_string());
        let id = self.hub.change(|broker| broker.handle_connect(&ip));
        self.open_count.set(self.open_count.get() + 1);
        let place = Place { house: self.clone(), id };
        let connection = async move {
            let house = &place.house;
            // A panic would take the executor with it.
            let served = AssertUnwindSafe(converse(&house.hub, id, &mut stream)).catch_unwind();
            if let Some(Err(_)) = unless(&house.stop, served).await
                && let Some(count) = house.panics.count(house.clock.elapsed_ns())
            {
                log::error!(count; "broker: a connection panicked and was closed{count}");
            }
            // The FIN must not wait for the ring.
            let _ = stream.shutdown(Shutdown::Both).await;
            drop(stream);
            drop(place);
        };
        glommio::spawn_local(connection).detach();
    }
}

/// The most that a peer over the limit can hold up the others is `LINGER`.
async fn turn_away(mut stream: TcpStream) {
    let told = async {
        let _ = stream.write_all(REFUSAL).await;
        let _ = stream.shutdown(Shutdown::Write).await;
        while let Ok(1..) = stream.read(&mut [0; 4096]).await {
            give_way().await;
        }
    };
    within(LINGER, told).await;
    let _ = stream.shutdown(Shutdown::Both).await;
}

/// Both directions at once, until one of them ends.
async fn converse(hub: &Hub, id: ConnectionId, stream: &mut TcpStream) {
    let (mut reader, mut writer) = futures_lite::io::split(stream);
    let reading = async {
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(len @ 1..) = reader.read(&mut buffer).await {
            match hub.change(|broker| broker.handle_bytes(id, &buffer[..len])) {
                // What it sends after its end is read all the same, see `LINGER`.
                Standing::Open | Standing::Ended => give_way().await,
                Standing::TooFast => {
                    Timer::new(STALL).await;
                }
            }
        }
    };
    let writing = async {
        let mut buffer = Vec::new();
        loop {
            let output = hub.wait(id, |broker| match broker.poll_output(id, &mut buffer) {
                Output::Nothing => None,
                output => Some(output),
            });
            if output.await == Output::End {
                break;
            }
            match within(WRITE_MAX, writer.write_all(&buffer)).await {
                Some(Ok(())) => buffer.clear(),
                Some(Err(_)) => return,
                None => hub.change(|broker| broker.handle_write_timeout(id)),
            }
        }
        let _ = writer.close().await;
        Timer::new(LINGER).await;
    };
    // Ends even a write that the client does not take.
    let cut = hub.wait(id, |broker| broker.is_cut(id).then_some(()));
    future::or(cut, future::or(reading, writing)).await;
}
