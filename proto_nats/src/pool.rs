//! Which server to try next, and when.
//!
//! Addresses from the settings and from servers' `connect_urls` go in, and how each attempt ended; out comes "this one,
//! now" or "not before then". Time is an argument, the order is shuffled by a seed: the same inputs, the same choices.
//!
//! ```text
//!   next ──► Attempt(address) ──► handle_ready ──► handle_closed(cause) ──► next ...
//!     │                      └──────────────────► handle_closed(cause) ──┘
//!     └────► Wait(until)
//! ```
//!
//! Each server has its own backoff. The first attempt is at once; failures in a row wait 50 ms, 100 ms, ... up to 1 s
//! (half of it fixed, half random), so that a server that is back is found within a second; a refused login waits 1 s,
//! 2 s, ... up to 10 s. A connection that was ready for less than [`STABLE_NS`] counts as a failure, too: a server that
//! accepts and drops us must not be hammered.
//!
//! **Certificates of discovered servers.** INFO comes before TLS does, so an attacker in the network can add servers to
//! `connect_urls`; one with a valid certificate for its own name would then be sent our password. A host name learned in
//! clear text, and any IP address, must therefore have a certificate for the name of the server that told us about it.

use crate::MILLISECOND_NS;
use crate::SECOND_NS;
use crate::random::Random;
use crate::url::ServerAddress;

/// The first wait after a failure.
pub const BACKOFF_FIRST_NS: u64 = 50 * MILLISECOND_NS;
/// The longest wait between two attempts at one server.
pub const BACKOFF_LAST_NS: u64 = SECOND_NS;
/// The first wait after a refused login.
pub const BACKOFF_AUTHENTICATION_FIRST_NS: u64 = SECOND_NS;
/// The longest wait after a refused login.
pub const BACKOFF_AUTHENTICATION_LAST_NS: u64 = 10 * SECOND_NS;
/// A connection that was ready for so long was a good one.
pub const STABLE_NS: u64 = 2 * SECOND_NS;
/// How long a server in lame duck mode is avoided while there are others: its default grace period.
pub const LAME_DUCK_NS: u64 = 120 * SECOND_NS;
/// More servers than any NATS cluster has; what INFO lists beyond that is ignored and counted.
pub const SERVERS_MAX: usize = 256;

/// The servers of one cluster.
#[derive(Debug)]
pub struct ServerPool {
    servers: Vec<Server>,
    /// The one that `next` chose last.
    current: Option<usize>,
    /// The next attempt is at this one, whatever its backoff: it has just been reached.
    preferred: Option<ServerAddress>,
    attempts: u64,
    random: Random,
}

#[derive(Debug)]
struct Server {
    address: ServerAddress,
    /// From the settings: never forgotten.
    configured: bool,
    failures: u32,
    refusals: u32,
    not_before_ns: u64,
    lame_until_ns: u64,
    /// Among those that may be tried, the one that was tried longest ago goes first.
    last_attempt: u64,
    ready_since_ns: Option<u64>,
}

/// What [`ServerPool::next`] advises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Connect to this one now.
    Attempt(ServerAddress),
    /// Ask again at this time.
    Wait {
        /// In the clock of the other arguments.
        until_ns: u64,
    },
}

/// Why a connection, or an attempt at one, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No connection, no handshake, an end of the stream, silence.
    Trouble,
    /// The server does not want these credentials.
    Refused,
    /// We left, for a better server.
    Left,
}

/// What became of a list of discovered servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Merged {
    /// New to the pool.
    pub added: usize,
    /// Discovered earlier, and no longer listed.
    pub removed: usize,
    /// Unreadable, or beyond [`SERVERS_MAX`].
    pub ignored: usize,
}

impl ServerPool {
    /// A pool of at least one server, tried in the order given at first.
    pub fn in_order(addresses: Vec<ServerAddress>) -> Self {
        assert!(!addresses.is_empty(), "a pool has a server");
        let mut servers: Vec<Server> = Vec::new();
        for address in addresses {
            if !servers.iter().any(|server| server.address.is_same_endpoint(&address)) {
                servers.push(Server::new(address, true));
            }
        }
        ServerPool { servers, current: None, preferred: None, attempts: 0, random: Random(0) }
    }

    /// As [`in_order`](Self::in_order), in an order of its own. The seed should differ between instances, so that they
    /// spread over a cluster.
    pub fn new(addresses: Vec<ServerAddress>, seed: u64) -> Self {
        let mut pool = ServerPool { random: Random(seed), ..ServerPool::in_order(addresses) };
        for end in (1..pool.servers.len()).rev() {
            pool.servers.swap(end, pool.random.below(end as u64 + 1) as usize);
        }
        pool
    }

    /// The server to connect to, or when to ask again. Each attempt that it returns must be answered by
    /// [`handle_closed`](Self::handle_closed) before the next call.
    pub fn next(&mut self, now_ns: u64) -> Next {
        let preferred = self.preferred.take();
        let is_preferred =
            |server: &Server| preferred.as_ref().is_some_and(|address| address.is_same_endpoint(&server.address));
        // Of those that may be tried, lame ducks last; one may be back while all others still fail.
        let candidates = self.servers.iter_mut().enumerate();
        let (index, server) = candidates
            .min_by_key(|(_, server)| (!is_preferred(server), server.order(now_ns)))
            .expect("a pool has a server");
        if server.not_before_ns > now_ns && !is_preferred(server) {
            return Next::Wait { until_ns: server.not_before_ns };
        }
        self.attempts += 1;
        server.last_attempt = self.attempts;
        self.current = Some(index);
        Next::Attempt(server.address.clone())
    }

    /// The attempt led to a ready connection.
    pub fn handle_ready(&mut self, now_ns: u64) {
        if let Some(server) = self.current_mut() {
            server.ready_since_ns = Some(now_ns);
            server.refusals = 0;
        }
    }

    /// The attempt failed or the connection ended.
    pub fn handle_closed(&mut self, cause: Cause, now_ns: u64) {
        // Drawn always, so that the choices depend on the number of calls alone.
        let random = self.random.next();
        let Some(server) = self.current_mut() else {
            return;
        };
        let ready_since_ns = server.ready_since_ns.take();
        let wait_ns = match cause {
            // Also a server that is left as soon as it is ready must not be hammered.
            Cause::Trouble | Cause::Left
                if ready_since_ns.is_some_and(|since_ns| now_ns.saturating_sub(since_ns) >= STABLE_NS) =>
            {
                server.failures = 0;
                0
            }
            Cause::Trouble | Cause::Left => {
                server.failures = server.failures.saturating_add(1);
                backoff_ns(server.failures, BACKOFF_FIRST_NS, BACKOFF_LAST_NS, random)
            }
            Cause::Refused => {
                server.refusals = server.refusals.saturating_add(1);
                let (first_ns, last_ns) = (BACKOFF_AUTHENTICATION_FIRST_NS, BACKOFF_AUTHENTICATION_LAST_NS);
                backoff_ns(server.refusals, first_ns, last_ns, random)
            }
        };
        server.not_before_ns = now_ns.saturating_add(wait_ns);
    }

    /// The current server said that it is about to go.
    pub fn handle_lame_duck(&mut self, now_ns: u64) {
        if let Some(server) = self.current_mut() {
            server.lame_until_ns = now_ns.saturating_add(LAME_DUCK_NS);
        }
    }

    /// The servers to move to from one in lame duck mode, in the order in which they would be tried. Check first that one can
    /// be reached: a connection that works is not given up for a server that may be down, nor for the same server under
    /// another name.
    pub fn failover_candidates(&self, now_ns: u64) -> Vec<ServerAddress> {
        let is_candidate = |server: &&Server| server.lame_until_ns <= now_ns && server.refusals == 0;
        let mut candidates: Vec<&Server> = self.servers.iter().filter(is_candidate).collect();
        candidates.sort_by_key(|server| server.order(now_ns));
        candidates.into_iter().map(|server| server.address.clone()).collect()
    }

    /// One of the [`failover_candidates`](Self::failover_candidates) can be reached: the next attempt is at it.
    pub fn prefer(&mut self, address: ServerAddress) {
        self.preferred = Some(address);
    }

    /// Takes over `connect_urls`: adds what is new, forgets what was discovered earlier and is listed no more.
    /// They inherit scheme and credentials of the current server. `secured`: the list came through TLS.
    pub fn merge_discovered(&mut self, urls: &[String], secured: bool) -> Merged {
        let mut merged = Merged::default();
        let Some(current) = self.current else {
            return merged;
        };
        let origin = self.servers[current].address.clone();

        let mut listed = Vec::new();
        for url in urls {
            match ServerAddress::parse(url) {
                Ok(address) if listed.len() < SERVERS_MAX => listed.push(address),
                _ => merged.ignored += 1,
            }
        }
        // An empty list comes from a server that has been told not to advertise, not from an empty cluster.
        if !listed.is_empty() {
            let before = self.servers.len();
            let mut index = 0;
            self.servers.retain(|server| {
                index += 1;
                server.configured
                    || index - 1 == current
                    || listed.iter().any(|address| address.is_same_endpoint(&server.address))
            });
            merged.removed = before - self.servers.len();
            let moved = self.servers.iter().position(|server| server.address.is_same_endpoint(&origin));
            self.current = Some(moved.expect("the current server stays"));
        }
        for mut address in listed {
            address.tls = origin.tls;
            address.credentials = origin.credentials.clone();
            let pinned = address.is_ip() || !secured;
            address.certificate_name = pinned.then(|| origin.certificate_name().to_string());
            let is_full = self.servers.len() >= SERVERS_MAX;
            match self.servers.iter_mut().find(|server| server.address.is_same_endpoint(&address)) {
                Some(server) if server.configured => {}
                Some(server) => {
                    // What has been confirmed through TLS is not taken back by a list in clear text.
                    if secured {
                        server.address.certificate_name = address.certificate_name;
                    }
                }
                None if is_full => merged.ignored += 1,
                None => {
                    // Behind a random one of those that have not been tried yet.
                    let mut server = Server::new(address, false);
                    server.last_attempt = self.random.below(self.attempts + 1);
                    self.servers.push(server);
                    merged.added += 1;
                }
            }
        }
        merged
    }

    /// Every address, those of the settings and the discovered ones.
    pub fn addresses(&self) -> impl Iterator<Item = &ServerAddress> {
        self.servers.iter().map(|server| &server.address)
    }

    /// The server of the last attempt.
    pub fn current(&self) -> Option<&ServerAddress> {
        self.current.map(|index| &self.servers[index].address)
    }

    fn current_mut(&mut self) -> Option<&mut Server> {
        self.current.map(|index| &mut self.servers[index])
    }
}

impl Server {
    fn new(address: ServerAddress, configured: bool) -> Self {
        Server {
            address,
            configured,
            failures: 0,
            refusals: 0,
            not_before_ns: 0,
            lame_until_ns: 0,
            last_attempt: 0,
            ready_since_ns: None,
        }
    }

    /// The smallest is tried next.
    fn order(&self, now_ns: u64) -> (u64, bool, u64) {
        (self.not_before_ns.max(now_ns), self.lame_until_ns > now_ns, self.last_attempt)
    }
}

/// `first * 2^(count - 1)`, at most `last`; between one half and the whole of that.
fn backoff_ns(count: u32, first_ns: u64, last_ns: u64, random: u64) -> u64 {
    let doublings = (count.max(1) - 1).min(16);
    let whole_ns = (first_ns << doublings).min(last_ns);
    whole_ns / 2 + random % (whole_ns / 2 + 1)
}

#[cfg(test)]
mod tests;
