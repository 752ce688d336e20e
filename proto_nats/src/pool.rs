//! Which server to try next, and when.
//!
//! Addresses from the settings and from servers' `connect_urls` go in, and how each attempt ended; out comes "this one,
//! now" or "not before then". Time is an argument, the order is shuffled by a seed: the same inputs, the same choices.
//!
//! ```text
//!   next ──► Attempt(server) ──► handle_ready ──► handle_closed(cause)
//!     │            └──────────────────────────────► handle_closed(cause)
//!     ├────► Attempt(another), 250 ms later, while the first has not answered
//!     └────► Wait(until)
//! ```
//!
//! **Side by side.** A server that does not answer keeps nobody from the others: the next one is tried 250 ms after the
//! newest attempt began (RFC 8305 says so of a name's addresses), or as soon as that has failed. The caller keeps the first
//! that logs in and ends the others.
//!
//! **Whom first.** The server that worked last, then the configured ones, then discovered ones; among equals the one that was
//! tried longest ago. As each has a backoff of its own, the first ones come again in between. Discovered servers have a
//! bound in the pool and one on attempts under way, and one that has never worked is given up after a few attempts: a
//! server may advertise what it likes.
//!
//! **Backoff.** The first attempt is at once; failures in a row wait 50 ms, 100 ms, ... up to 1 s (half of it fixed, half
//! random), so that a server that is back is found within a second; a refused login waits 1 s, 2 s, ... up to 10 s. A server
//! that lets us in and ends the connection within [`STABLE_NS`], again and again, without having been away in between, waits
//! up to 10 s, too.
//!
//! **Certificates of discovered servers.** INFO comes before TLS does, so an attacker in the network can add servers to
//! `connect_urls`; one with a valid certificate for its own name would then be sent our password. A host name learned in
//! clear text, and any IP address, must therefore have a certificate for the name of the server that told us about it.
//! Without TLS, [`discovery`](crate::discovery) says which of them are used at all.

use crate::MILLISECOND_NS;
use crate::SECOND_NS;
use crate::discovery::Origin;
use crate::random::Random;
use crate::url::ServerAddress;

/// The first wait after a failure.
pub const BACKOFF_FIRST_NS: u64 = 50 * MILLISECOND_NS;
/// The longest wait between two attempts at one server that cannot be reached.
pub const BACKOFF_LAST_NS: u64 = SECOND_NS;
/// The first wait after a refused login.
pub const BACKOFF_AUTHENTICATION_FIRST_NS: u64 = SECOND_NS;
/// The longest wait after a refused login.
pub const BACKOFF_AUTHENTICATION_LAST_NS: u64 = 10 * SECOND_NS;
/// The longest wait after connections that ended soon after they were ready.
pub const BACKOFF_SHORT_LIVED_LAST_NS: u64 = 10 * SECOND_NS;
/// A connection that was ready for so long was a good one.
pub const STABLE_NS: u64 = 2 * SECOND_NS;
/// How long a server in lame duck mode is avoided while there are others: its default grace period.
pub const LAME_DUCK_NS: u64 = 120 * SECOND_NS;
/// From one attempt to the next, while neither has failed: the Connection Attempt Delay of RFC 8305.
pub const ATTEMPT_SPACING_NS: u64 = 250 * MILLISECOND_NS;
/// From one attempt to the next one at a discovered server that has never worked.
pub const UNPROVEN_SPACING_NS: u64 = 50 * MILLISECOND_NS;
/// Attempts under way at the same time, each with a socket.
pub const ATTEMPTS_MAX: usize = 16;
/// Of these, at discovered servers.
pub const DISCOVERED_ATTEMPTS_MAX: usize = 8;
/// More than a cluster needs to be found again; what INFO lists beyond that is ignored and counted.
pub const DISCOVERED_MAX: usize = 64;
/// Attempts at a discovered server that has never worked, before it is given up. A server that works may list it again.
pub const DISCOVERED_FAILURES_MAX: u32 = 3;

/// The servers of one cluster.
#[derive(Debug)]
pub struct ServerPool {
    servers: Vec<Server>,
    /// Of the next server that joins.
    next_key: u64,
    attempts: u64,
    /// No attempt before then: the newest one has not failed yet.
    newest: Option<(ServerKey, u64)>,
    /// When the newest attempt was begun, whatever has become of it.
    begun_ns: Option<u64>,
    /// The server that was ready last.
    last_good: Option<ServerKey>,
    random: Random,
}

/// Names a server for as long as it is in the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerKey(u64);

#[derive(Debug)]
struct Server {
    key: ServerKey,
    address: ServerAddress,
    /// From the settings: never forgotten.
    configured: bool,
    /// An attempt at it has begun, or there is a connection.
    under_way: bool,
    /// A connection was ready.
    has_worked: bool,
    failures: u32,
    refusals: u32,
    /// Connections in a row that ended soon after they were ready.
    short_lives: u32,
    not_before_ns: u64,
    lame_until_ns: u64,
    /// Among equals, the one that was tried longest ago goes first.
    last_attempt: u64,
    ready_since_ns: Option<u64>,
}

/// What [`ServerPool::next`] advises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Connect to this one now.
    Attempt(ServerKey, ServerAddress),
    /// Ask again at this time.
    Wait {
        /// In the clock of the other arguments.
        until_ns: u64,
    },
    /// Ask again when an attempt has ended, or other servers have become known.
    Nothing,
}

/// Why a connection, or an attempt at one, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No connection, no handshake, an end of the stream, silence.
    Trouble,
    /// The server does not want these credentials.
    Refused,
    /// We left, for a better server; or another one was ready first.
    Left,
}

/// What became of a list of discovered servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Merged {
    /// New to the pool.
    pub added: usize,
    /// Discovered earlier, and no longer listed.
    pub removed: usize,
    /// Unreadable, or beyond [`DISCOVERED_MAX`].
    pub ignored: usize,
    /// Not to be told our credentials: see [`discovery`](crate::discovery).
    pub untrusted: usize,
}

impl ServerPool {
    /// A pool of at least one server, tried in the order given at first.
    pub fn in_order(addresses: Vec<ServerAddress>) -> Self {
        assert!(!addresses.is_empty(), "a pool has a server");
        let mut pool = ServerPool {
            servers: Vec::new(),
            next_key: 0,
            attempts: 0,
            newest: None,
            begun_ns: None,
            last_good: None,
            random: Random(0),
        };
        for address in addresses {
            if !pool.servers.iter().any(|server| server.address.is_same_endpoint(&address)) {
                pool.add(address, true, 0);
            }
        }
        pool
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

    /// The server to connect to, or when to ask again. Each attempt that it returns must be ended by
    /// [`handle_closed`](Self::handle_closed).
    pub fn next(&mut self, now_ns: u64) -> Next {
        let under_way = |discovered: bool| {
            self.servers.iter().filter(|server| server.under_way && (!discovered || !server.configured)).count()
        };
        if under_way(false) >= ATTEMPTS_MAX {
            return Next::Nothing;
        }
        let is_full = under_way(true) >= DISCOVERED_ATTEMPTS_MAX;
        let last_good = self.last_good;
        let candidates = self.servers.iter_mut().filter(|server| !server.under_way && (server.configured || !is_full));
        let Some(server) = candidates.min_by_key(|server| server.order(last_good, now_ns)) else {
            return Next::Nothing;
        };
        let spaced_ns = self.newest.map_or(0, |(_, begun_ns)| begun_ns.saturating_add(ATTEMPT_SPACING_NS));
        // Failures at once would let a server that advertises new addresses all the time keep us busy.
        let unproven_ns = self.begun_ns.map_or(0, |begun_ns| begun_ns.saturating_add(UNPROVEN_SPACING_NS));
        let is_proven = server.configured || server.has_worked;
        let due_ns = server.not_before_ns.max(spaced_ns).max(if is_proven { 0 } else { unproven_ns });
        if due_ns > now_ns {
            return Next::Wait { until_ns: due_ns };
        }
        self.attempts += 1;
        server.last_attempt = self.attempts;
        server.under_way = true;
        self.newest = Some((server.key, now_ns));
        self.begun_ns = Some(now_ns);
        Next::Attempt(server.key, server.address.clone())
    }

    /// The attempt led to a ready connection.
    pub fn handle_ready(&mut self, key: ServerKey, now_ns: u64) {
        if let Some(server) = self.server_mut(key) {
            server.ready_since_ns = Some(now_ns);
            server.has_worked = true;
            server.refusals = 0;
            server.failures = 0;
            self.last_good = Some(key);
        }
        self.handle_answer(key);
    }

    /// The attempt failed or the connection ended.
    pub fn handle_closed(&mut self, key: ServerKey, cause: Cause, now_ns: u64) {
        // Drawn always, so that the choices depend on the number of calls alone.
        let random = self.random.next();
        self.handle_answer(key);
        let Some(server) = self.server_mut(key) else {
            return;
        };
        server.under_way = false;
        let ready_since_ns = server.ready_since_ns.take();
        let wait_ns = match (cause, ready_since_ns) {
            (Cause::Refused, _) => {
                server.refusals = server.refusals.saturating_add(1);
                let (first_ns, last_ns) = (BACKOFF_AUTHENTICATION_FIRST_NS, BACKOFF_AUTHENTICATION_LAST_NS);
                backoff_ns(server.refusals, first_ns, last_ns, random)
            }
            (_, Some(since_ns)) if now_ns.saturating_sub(since_ns) >= STABLE_NS => {
                server.short_lives = 0;
                0
            }
            // Also a server that is left as soon as it is ready must not be hammered.
            (_, Some(_)) => {
                server.short_lives = server.short_lives.saturating_add(1);
                backoff_ns(server.short_lives, BACKOFF_FIRST_NS, BACKOFF_SHORT_LIVED_LAST_NS, random)
            }
            (Cause::Left, None) => 0,
            (Cause::Trouble, None) => {
                server.failures = server.failures.saturating_add(1);
                // It was away: when it is back it begins anew.
                server.short_lives = 0;
                backoff_ns(server.failures, BACKOFF_FIRST_NS, BACKOFF_LAST_NS, random)
            }
        };
        server.not_before_ns = now_ns.saturating_add(wait_ns);
        let is_given_up =
            !server.configured && !server.has_worked && server.failures + server.refusals >= DISCOVERED_FAILURES_MAX;
        if is_given_up {
            self.servers.retain(|server| server.key != key);
        }
    }

    /// The server said that it is about to go.
    pub fn handle_lame_duck(&mut self, key: ServerKey, now_ns: u64) {
        if let Some(server) = self.server_mut(key) {
            server.lame_until_ns = now_ns.saturating_add(LAME_DUCK_NS);
        }
    }

    /// Takes over the `connect_urls` of a server that there is a connection to: adds what is new, forgets what was
    /// discovered earlier and is listed no more. They inherit scheme and credentials of that server.
    pub fn merge_discovered(&mut self, key: ServerKey, urls: &[String], origin: &Origin) -> Merged {
        let mut merged = Merged::default();
        let Some(teller) = self.server_mut(key).map(|server| server.address.clone()) else {
            return merged;
        };
        // An empty list comes from a server that has been told not to advertise, not from an empty cluster.
        if urls.is_empty() {
            return merged;
        }
        let mut listed: Vec<ServerAddress> = Vec::new();
        // Where the list is too long, each client takes another part of it.
        let start = if urls.len() > DISCOVERED_MAX { self.random.below(urls.len() as u64) as usize } else { 0 };
        for url in urls[start..].iter().chain(&urls[..start]) {
            match ServerAddress::parse(url) {
                _ if listed.len() >= DISCOVERED_MAX => merged.ignored += 1,
                Err(_) => merged.ignored += 1,
                Ok(address) if self.configured(&address) => listed.push(address),
                Ok(address) if !origin.trusts(&teller, &address) => merged.untrusted += 1,
                Ok(address) => listed.push(address),
            }
        }
        let before = self.servers.len();
        self.servers.retain(|server| {
            let is_listed = || listed.iter().any(|address| address.is_same_endpoint(&server.address));
            server.configured || server.under_way || is_listed()
        });
        merged.removed = before - self.servers.len();
        let mut discovered = self.servers.iter().filter(|server| !server.configured).count();
        for mut address in listed {
            address.tls = teller.tls || origin.wants_tls;
            address.credentials = teller.credentials.clone();
            let pinned = address.is_ip() || !origin.secured;
            address.certificate_name = pinned.then(|| teller.certificate_name().to_string());
            match self.servers.iter_mut().find(|server| server.address.is_same_endpoint(&address)) {
                Some(server) if server.configured => {}
                Some(server) => {
                    // What has been confirmed through TLS is not taken back by a list in clear text.
                    if origin.secured {
                        server.address.certificate_name = address.certificate_name;
                    }
                }
                None if discovered >= DISCOVERED_MAX => merged.ignored += 1,
                None => {
                    // Behind a random one of those that have not been tried yet.
                    let last_attempt = self.random.below(self.attempts + 1);
                    self.add(address, false, last_attempt);
                    discovered += 1;
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

    fn add(&mut self, address: ServerAddress, configured: bool, last_attempt: u64) {
        let key = ServerKey(self.next_key);
        self.next_key += 1;
        self.servers.push(Server::new(key, address, configured, last_attempt));
    }

    /// The newest attempt need not be waited for any more.
    fn handle_answer(&mut self, key: ServerKey) {
        self.newest = self.newest.filter(|(newest, _)| *newest != key);
    }

    fn configured(&self, address: &ServerAddress) -> bool {
        self.servers.iter().any(|server| server.configured && server.address.is_same_endpoint(address))
    }

    fn server_mut(&mut self, key: ServerKey) -> Option<&mut Server> {
        self.servers.iter_mut().find(|server| server.key == key)
    }
}

impl Server {
    fn new(key: ServerKey, address: ServerAddress, configured: bool, last_attempt: u64) -> Self {
        Server {
            key,
            address,
            configured,
            under_way: false,
            has_worked: false,
            failures: 0,
            refusals: 0,
            short_lives: 0,
            not_before_ns: 0,
            lame_until_ns: 0,
            last_attempt,
            ready_since_ns: None,
        }
    }

    /// The smallest is tried next: what is due first, lame ducks last, then by how likely it is to work.
    fn order(&self, last_good: Option<ServerKey>, now_ns: u64) -> (u64, bool, u8, u64) {
        let rank = match self {
            _ if last_good == Some(self.key) => 0,
            Server { configured: true, .. } => 1,
            Server { has_worked: true, .. } => 2,
            _ => 3,
        };
        (self.not_before_ns.max(now_ns), self.lame_until_ns > now_ns, rank, self.last_attempt)
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
