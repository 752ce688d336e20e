//! The connection that serves, and the one that is to take its place.

use std::net::IpAddr;
use std::sync::Arc;

use proto_nats::{Connection, ServerAddress, ServerKey};

use crate::nats::attempt::Attempt;
use crate::nats::error::{ServerTrouble, Trouble};

/// The connection that is used, from its login on.
pub(super) struct Serving {
    pub(super) key: ServerKey,
    pub(super) server: ServerAddress,
    pub(super) peer: Option<IpAddr>,
    pub(super) connection: Box<Connection>,
    pub(super) has_been_ready: bool,
    pub(super) takes_publications: bool,
    /// Since then it is known that the server is about to go.
    pub(super) lame_duck_ns: Option<u64>,
    /// It was told that there is no other server.
    pub(super) is_told_alone: bool,
    /// Told by the loop: it ends the connection once everything before it is told.
    pub(super) failure: Option<Trouble>,
    /// What the network had against the connection that has ended.
    pub(super) network_error: Option<std::io::Error>,
    pub(super) stage: Stage,
}

/// How far a connection's end is.
pub(super) enum Stage {
    Serving,
    Drained,
    /// The loop sends the last bytes.
    Flushing,
    Flushed,
    Failed(Trouble),
}

/// The connection that is to serve in the lame duck's place.
pub(super) struct Successor {
    pub(super) attempt: Attempt,
    /// Its subscriptions are confirmed, and then the lame duck is drained.
    pub(super) drain_at_ns: Option<u64>,
}

impl Serving {
    /// A trouble with this server.
    pub(super) fn trouble(&self, trouble: Trouble) -> Arc<ServerTrouble> {
        Arc::new(ServerTrouble { server: self.server.clone(), trouble })
    }
}
