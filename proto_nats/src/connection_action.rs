//! Where a connection is, and what it asks of its driver.

use crate::reason::Reason;
use crate::server_error::ServerError;

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionState {
    /// The server speaks first, but for TLS.
    AwaitInfo,
    /// The driver is asked to start TLS.
    AwaitTls,
    /// CONNECT and PING are out.
    AwaitPong,
    /// CONNECT is accepted. Nothing is subscribed to before [`Connection::begin_subscribing`](crate::Connection::begin_subscribing).
    LoggedIn,
    /// Every SUB and a PING are out.
    AwaitConfirmation,
    /// Connected and subscribed.
    Ready,
    /// Every UNSUB and a PING are out; messages still come.
    Draining,
    /// Over.
    Closed,
}

impl ConnectionState {
    /// SUBs are out, so messages are what was asked for.
    #[inline]
    pub fn is_subscribed(self) -> bool {
        matches!(self, ConnectionState::AwaitConfirmation | ConnectionState::Ready | ConnectionState::Draining)
    }
}

/// What the driver is asked to do, or should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start TLS on this socket, then call [`Connection::handle_tls_started`](crate::Connection::handle_tls_started). A TLS server is silent until the client
    /// speaks, so bytes that have arrived behind the INFO are not its: [`Reason::DataBeforeTls`].
    StartTls,
    /// INFO came, see [`Connection::info`](crate::Connection::info); the pool wants its `connect_urls`.
    InfoReceived {
        /// It came through TLS.
        secured: bool,
    },
    /// Connected and subscribed.
    Ready {
        /// Subscriptions that the server has refused: with one of them missing the service is not ready.
        refused: usize,
    },
    /// A subscription made while Ready has been confirmed.
    Confirmed,
    /// The server is about to go: move to another one, or read on if there is none.
    LameDuck,
    /// The server has refused one more subscription since Ready, see [`Connection::refused_subscriptions`](crate::Connection::refused_subscriptions); the rest lives on.
    SubscriptionRefused,
    /// The server complains about something else; the connection lives on for as long as the socket does.
    Complaint(ServerError),
    /// INFO that is no JSON object, on a connection that is otherwise fine.
    UnreadableInfo,
    /// Draining is over: flush what is left and close.
    DrainComplete {
        /// The server has confirmed it; otherwise the time was up.
        confirmed: bool,
    },
    /// Close the socket.
    Disconnect(Reason),
}
