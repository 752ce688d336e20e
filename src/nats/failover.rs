//! Where to move to from a server in lame duck mode: to one that can be reached, or nowhere. Such a server goes on
//! serving for a while, so a connection that works is not given up for one that may be down, nor for the same server
//! under another name, which takes no new connections.

use async_channel::{Receiver, TryRecvError};
use proto_nats::{ServerAddress, ServerPool};

use crate::nats::transport::Link;
use crate::runtime::blocking;

/// Between two searches: another server may come back meanwhile, or become known.
const AGAIN_AFTER_NS: u64 = 2_000_000_000;

/// A search that goes on until it has found something.
#[derive(Default)]
pub struct RefugeSearch {
    underway: Option<Receiver<Option<ServerAddress>>>,
    not_before_ns: u64,
}

impl RefugeSearch {
    /// Goes on with it, without waiting; a server that has just been reached. Where there is none, `tell` says so.
    pub fn poll(&mut self, pool: &ServerPool, now_ns: u64, tell: impl FnOnce()) -> Option<ServerAddress> {
        let Some(underway) = &self.underway else {
            if now_ns >= self.not_before_ns {
                let refuges = pool.refuges(now_ns);
                // The error is that too much hangs already: later, then.
                self.underway =
                    blocking::begin(|| refuges.into_iter().find(|server| Link::connect(server).is_ok())).ok();
                self.not_before_ns = now_ns + AGAIN_AFTER_NS;
            }
            return None;
        };
        let found = match underway.try_recv() {
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Closed) => None,
            Ok(found) => found,
        };
        self.underway = None;
        self.not_before_ns = now_ns + AGAIN_AFTER_NS;
        if found.is_none() {
            tell();
        }
        found
    }
}
