//! The search for a server to move to, off the executor: which of several can be reached. A server in lame duck mode goes on
//! serving for a while, so a connection that works is not given up for a server that may be down, nor for the same server
//! under another name, which takes no new connections.

use async_channel::{Receiver, TryRecvError};
use proto_nats::ServerAddress;

use crate::nats::transport::Transport;
use crate::runtime::blocking;

/// A search that is going on.
pub struct ReachabilitySearch(Receiver<Option<ServerAddress>>);

impl ReachabilitySearch {
    /// Tries the candidates one after the other. `None`: there is no thread for it.
    pub fn begin(candidates: Vec<ServerAddress>) -> Option<ReachabilitySearch> {
        let search = || candidates.into_iter().find(|server| Transport::connect(server).is_ok());
        blocking::begin(search).ok().map(ReachabilitySearch)
    }

    /// The first server that was reached, or `None` where there is none, once that is known.
    pub fn poll(&self) -> Option<Option<ServerAddress>> {
        match self.0.try_recv() {
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(None),
            Ok(found) => Some(found),
        }
    }
}
