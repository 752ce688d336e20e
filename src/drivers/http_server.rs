//! The HTTP responder's sockets: accepts, reads request heads, asks the [`Responder`], writes what it says.
//!
//! Everything that a peer can hold on to has a limit ([`Limits`]): the connections, the bytes of a head, the time for a
//! request, for an answer, for taking it, for saying nothing. A connection is one task that ends by itself: it races
//! its own futures against timers and the stop flag, and nothing ever cancels it from outside (a cancelled glommio task
//! leaks). When the server has stopped, all its sockets are closed.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt, FutureExt, future};
use glommio::net::{TcpListener, TcpStream};
use glommio::timer::Timer;
use socket2::{Domain, Protocol, Socket, Type};

pub use super::http_message::{Request, Response};
use super::http_message::{Asked, Ending, HEAD_BYTES_MAX, Head, decode_head};
use super::stop::{Stop, Stopped};

/// Answers requests, on the executor that serves. May take its time (another core may know the answer), up to
/// [`Limits::respond`]; then the future is dropped, so it must bear that at any await.
pub trait Responder {
    fn respond(&self, request: Request) -> impl Future<Output = Response>;
}

/// What a peer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. One more is told 503 and closed: that it is told beats waiting in the backlog for a free
    /// place, and a monitoring tool can tell it from a dead service.
    pub connections: usize,
    /// From the accept, or the first byte of a later request, to the end of the request: 408.
    pub request: Duration,
    /// From one response to the first byte of the next request; then the connection is closed without a word.
    pub idle: Duration,
    /// For the responder: 504.
    pub respond: Duration,
    /// For the peer to take a response.
    pub write: Duration,
    /// After a response that ends the connection: until the peer has closed its side too. Closing at once with bytes
    /// unread would send a reset, which can overtake the response.
    pub linger: Duration,
    /// From the stop flag to the end of requests that are being answered.
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
            // A quarter of the 5 s that the service has to end in.
            drain: Duration::from_millis(1250),
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
    /// Takes the port, for itself alone; before or on an executor. The error is one line that says what to do.
    pub fn bind(host: &str, port: u16) -> Result<HttpServer, String> {
        todo!("{host} {port}")
    }

    pub fn with_limits(self, limits: Limits) -> HttpServer {
        HttpServer { limits, ..self }
    }

    /// With the port that was free, when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is set; returns when every connection is closed, which is `Limits::drain` later at most.
    /// Tasks go to the task queue this runs in.
    pub async fn serve<R: Responder + 'static>(self, responder: Rc<R>, stop: Stop) {
        todo!()
    }
}
