//! The embedded broker's sockets. A connection is one task that reads into the [`Broker`] and writes what that has for
//! it; a publication (of another connection, or by [`Hub::publish`] in the same process) wakes the tasks concerned.
//!
//! As with the HTTP responder, a task ends by itself and nothing cancels it from outside, a panic ends one connection
//! only, and when [`BrokerServer::serve`] returns every socket is shut down and no task of it is left.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use ahash::HashMap;
use futures_lite::{AsyncReadExt, AsyncWriteExt, FutureExt, future};

use crate::broker::client::ClientId;
use crate::broker::listen_error::ListenError;
use crate::broker::router::{Broker, BrokerLimits, Output, REFUSAL, Standing};
use crate::runtime::MachineError;
use crate::runtime::acceptor::{Arrival, Listener};
use crate::runtime::clock::Clock;
use crate::runtime::executor::{self, give_way};
use crate::runtime::log_limit::LogLimit;
use crate::runtime::socket::Stream;
use crate::runtime::stop::Stop;
use crate::runtime::task::{self, TaskGroup};
use crate::runtime::timeout::{sleep, unless, within};

/// What one read takes: large enough that a fast publisher costs few wake-ups, small enough that the others get their turn.
const READ_BYTES: usize = 64 << 10;
/// For a client to take one buffer of output; nats-server's `write_deadline`.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// From the last byte for a client to the close: a close with bytes unread would be a reset, which can overtake -ERR.
const LINGER: Duration = Duration::from_millis(500);
/// How long a client is not read that publishes faster than a subscriber reads; nats-server stalls producers by 2 to 5 ms.
const STALL: Duration = Duration::from_millis(5);
/// Ports that [`BrokerServer::bind_free`] tries.
const PORTS_TRIED: u16 = 100;

/// A bound port; [`serve`](BrokerServer::serve) makes it a broker.
#[derive(Debug)]
pub struct BrokerServer {
    listener: Listener,
    limits: BrokerLimits,
}

impl BrokerServer {
    /// Takes the port (0: any free one), for itself alone.
    pub fn bind(host: &str, port: u16) -> Result<BrokerServer, ListenError> {
        listen(host, port).map_err(|error| {
            let host = host.to_owned();
            match error.kind() {
                io::ErrorKind::AddrInUse => ListenError::Taken { host, port },
                io::ErrorKind::PermissionDenied => ListenError::NotAllowed { port },
                _ => ListenError::Failed { host, port, error },
            }
        })
    }

    /// Takes `port` or the next one that is free; the error is that none of `PORTS_TRIED` more is.
    pub fn bind_free(host: &str, port: u16) -> Result<BrokerServer, ListenError> {
        let last = port.saturating_add(PORTS_TRIED);
        for candidate in port..=last {
            match BrokerServer::bind(host, candidate) {
                Err(ListenError::Taken { .. }) => {}
                bound => return bound,
            }
        }
        Err(ListenError::AllTaken { host: host.to_owned(), first: port, last })
    }

    /// Other limits than the defaults, for the tests.
    pub fn with_limits(self, limits: BrokerLimits) -> BrokerServer {
        BrokerServer { limits, ..self }
    }

    /// With the port that was free, when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// As a client writes it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.local_addr())
    }

    /// The broker behind this port, for those on the same executor that publish into it.
    pub fn hub(&self, seed: u64) -> Hub {
        let address = self.local_addr();
        let broker = Broker::new(&address.ip().to_string(), address.port(), self.limits, seed);
        Hub(Rc::new(Inner { broker: RefCell::new(broker), wakers: RefCell::default() }))
    }

    /// Is a broker until `stop` is set. When it returns every connection is closed.
    pub async fn serve(self, hub: Hub, stop: Stop) {
        let mut acceptor = self.listener.accept_on_reactor("broker", Rc::default());
        let shared =
            Rc::new(Shared { hub, stop, tasks: Rc::default(), clock: Clock::start(), panics: LogLimit::default() });
        // No client is idle for the broker: a subscriber that is silent is at work.
        while let Some(arrival) = acceptor.next(&shared.stop, || false).await {
            match arrival {
                Arrival::Peer(stream) if !shared.hub.0.broker.borrow().is_full() => shared.admit(stream),
                Arrival::Peer(stream) | Arrival::WithoutDescriptor(stream) => reject(stream).await,
            }
        }
        shared.tasks.wait_until_empty().await;
    }

    /// Is a broker on a thread of its own, with a task beside it that may publish and should end at the stop. When the
    /// thread ends `on_end` is called with whether by a panic.
    pub fn spawn<B: Future<Output = ()> + 'static>(
        self,
        seed: u64,
        on_end: impl FnOnce(bool) + Send + 'static,
        beside: impl FnOnce(Hub, Stop) -> B + Send + 'static,
    ) -> Result<BrokerThread, MachineError> {
        let address = self.local_addr();
        let (life, ended) = async_channel::bounded::<()>(1);
        let work = move || async move {
            let (hub, stop) = (self.hub(seed), Stop::new());
            let serving = task::spawn(self.serve(hub.clone(), stop.clone()));
            let beside = task::spawn(beside(hub, stop.clone()));
            // Nothing is sent: it ends when the other side is dropped.
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
    /// Where it listens.
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
            log::error!("the broker ended in an internal error: please report the lines above as a bug");
        }
    }
}

fn listen(host: &str, port: u16) -> io::Result<BrokerServer> {
    let mut addresses = (host, port).to_socket_addrs()?;
    let address = addresses.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(BrokerServer { listener: Listener::bind(address)?, limits: BrokerLimits::default() })
}

/// The broker and the tasks that wait for it. Clones are the same one.
#[derive(Clone)]
pub struct Hub(Rc<Inner>);

struct Inner {
    broker: RefCell<Broker>,
    /// Each connection is one task, so it has one waker, whatever in it waits.
    wakers: RefCell<HashMap<ClientId, Waker>>,
}

impl Hub {
    /// Publishes from within the process. The subject must be valid.
    pub fn publish(&self, subject: &[u8], payload: &[u8]) {
        self.change(|broker| broker.publish(subject, payload));
    }

    /// Changes the broker and wakes the tasks that have output by it.
    fn change<T>(&self, change: impl FnOnce(&mut Broker) -> T) -> T {
        let mut broker = self.0.broker.borrow_mut();
        let changed = change(&mut broker);
        let mut wakers = self.0.wakers.borrow_mut();
        while let Some(id) = broker.poll_wakeup() {
            // Without one it is not waiting, and asks before it does.
            if let Some(waker) = wakers.remove(&id) {
                waker.wake();
            }
        }
        changed
    }

    /// Waits until `poll` has something; it is called again whenever the broker wakes this client.
    async fn wait<T>(&self, id: ClientId, mut poll: impl FnMut(&mut Broker) -> Option<T>) -> T {
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
struct Shared {
    hub: Hub,
    stop: Stop,
    tasks: Rc<TaskGroup>,
    clock: Clock,
    panics: LogLimit,
}

impl Shared {
    fn admit(self: &Rc<Self>, mut stream: Stream) {
        let ip = stream.peer_ip().map_or(String::new(), |ip| ip.to_string());
        let id = self.hub.change(|broker| broker.handle_connect(&ip));
        let shared = self.clone();
        self.tasks.spawn(async move {
            let Shared { hub, stop, clock, panics, .. } = &*shared;
            // A panic would take the executor with it.
            let served = AssertUnwindSafe(converse(hub, id, &mut stream)).catch_unwind();
            if let Some(Err(_)) = unless(stop, served).await
                && let Some(count) = panics.count(clock.elapsed_ns())
            {
                log::error!(count; "broker: a connection was closed by an internal error; the line before has its cause{count}");
            }
            stream.shutdown(Shutdown::Both);
            hub.change(|broker| broker.handle_disconnect(id));
            hub.0.wakers.borrow_mut().remove(&id);
        });
    }
}

/// Sends a peer over the limit its -ERR. Delays the others by [`LINGER`] at most.
async fn reject(mut stream: Stream) {
    let rejection = async {
        let _ = stream.write_all(REFUSAL).await;
        stream.shutdown(Shutdown::Write);
        while let Ok(1..) = stream.read(&mut [0; 4096]).await {
            give_way().await;
        }
    };
    within(LINGER, rejection).await;
    stream.shutdown(Shutdown::Both);
}

/// Both directions at once, until one of them ends.
async fn converse(hub: &Hub, id: ClientId, stream: &mut Stream) {
    let (mut reader, mut writer) = futures_lite::io::split(stream);
    let reading = async {
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(len @ 1..) = reader.read(&mut buffer).await {
            match hub.change(|broker| broker.handle_bytes(id, &buffer[..len])) {
                // What it sends after its end is read all the same, see `LINGER`.
                Standing::Open | Standing::Ended => give_way().await,
                Standing::TooFast => sleep(STALL).await,
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
        sleep(LINGER).await;
    };
    // Ends even a write that the client does not take.
    let cut = hub.wait(id, |broker| broker.is_cut(id).then_some(()));
    future::or(cut, future::or(reading, writing)).await;
}
