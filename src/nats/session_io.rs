//! What a session is made from, what it asks of the loop around it, and what it reports.

use std::sync::Arc;

use proto_nats::jetstream::{ReaderReport, ReaderSettings};
use proto_nats::{ServerAddress, ServerError};

use crate::nats::attempt::ConnectionId;
use crate::nats::error::ServerTrouble;

/// What stays the same for the whole session. Times are in ns.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// Where to connect; not empty.
    pub servers: Vec<ServerAddress>,
    /// Servers that these advertise are used as well.
    pub discovers: bool,
    /// Subscribed to on every connection, with sids from 1. Where a stream is read, its inbox is, instead.
    pub subjects: Vec<String>,
    /// Messages come from this stream.
    pub stream: Option<StreamSettings>,
    /// Should differ between sessions, so that they do not all try the same server first; `None`: in the order given.
    pub seed: Option<u64>,
    /// For the server to answer a drain.
    pub drain_limit_ns: u64,
    /// nats-server's own `write_deadline`: a server that takes nothing for so long takes nothing any more.
    pub write_limit_ns: u64,
}

/// Which stream is read.
#[derive(Debug, Clone)]
pub struct StreamSettings {
    /// What of it, and since when.
    pub reader: ReaderSettings,
    /// What is read later than so long after it was stored, in ns, is not ready: `SIGNAL_MAX_AGE_SECONDS`.
    pub lag_max_ns: u64,
}

/// What the loop around the session is to do, or to tell.
#[derive(Debug)]
pub enum Output {
    /// Connect to this server; several such attempts may be under way. The answer is
    /// [`Session::handle_connected`](crate::nats::session::Session::handle_connected), or
    /// [`Attempt::handle_failed`](crate::nats::attempt::Attempt::handle_failed).
    Connect {
        /// Names the attempt, and the connection that it may become, for the whole session.
        id: ConnectionId,
        /// Where to.
        server: ServerAddress,
    },
    /// Start TLS on the attempt's socket. Bytes of clear text that lie unread are
    /// [`DataBeforeTls`](proto_nats::Reason::DataBeforeTls).
    StartTls(ConnectionId),
    /// The attempt is over: close its socket.
    GiveUp {
        /// That of its `Connect`.
        id: ConnectionId,
        /// Why it failed; `None` where it is not needed any more, as another one was first.
        trouble: Option<Arc<ServerTrouble>>,
    },
    /// The attempt is now the connection that serves: its socket, and what was read from it, take that place.
    Serve(ConnectionId),
    /// Another connection begins to bring what this one brings: messages that are taken from now on may come again on it.
    Overlap,
    /// Connected and subscribed; publications are taken from now on. The session's report says what was refused.
    Ready,
    /// The server is about to shut down: another one is looked for.
    LameDuck,
    /// There is none, or an attempt at one has failed: the lame duck is kept for now.
    NoOtherServer,
    /// A server advertises others that are not used, as they would be told our credentials: see
    /// [`proto_nats::discovery`].
    Untrusted {
        /// The one that advertises them.
        server: ServerAddress,
        /// How many they are, in its newest INFO.
        count: usize,
    },
    /// The server has refused a subscription: see [`Session::trouble`](crate::nats::session::Session::trouble).
    SubscriptionRefused,
    /// The server complains, of a publication that it refuses to take, too; the connection lives on.
    Complaint(ServerError),
    /// The server has sent an INFO that is no JSON object, and the connection lives on.
    UnreadableInfo,
    /// The server has not answered the drain in time; `Flush` or `Close` follows.
    DrainUnconfirmed,
    /// The drain is over, and with it the session: send what is left, then call [`Session::handle_flushed`](crate::nats::session::Session::handle_flushed).
    Flush,
    /// Close the socket of the connection that serves.
    Close {
        /// The server at its other end.
        server: ServerAddress,
        /// Why it ended; `None` where it was drained, at a stop or as another one takes its place.
        trouble: Option<Arc<ServerTrouble>>,
    },
}

/// How the session is doing.
#[derive(Clone, Debug, Default)]
pub struct SessionReport {
    /// A connection serves and its subscriptions were answered, with refusals or without.
    pub is_connected: bool,
    /// Connected, and every subscription confirmed.
    pub is_ready: bool,
    /// Connections that became ready after the first.
    pub reconnects: u64,
    /// Ends of the stream that look like the server gave up on a slow consumer.
    pub slow_consumer_cuts: u64,
    /// Why there is no connection, or why it is not ready.
    pub trouble: Option<String>,
    /// Why outputs reach no subscriber though the connection works.
    pub publish_troubles: Vec<String>,
    /// Where the reading of the stream stands; `None` where none is read.
    pub stream: Option<ReaderReport>,
}
