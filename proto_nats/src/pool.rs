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
//! **Certificates of discovered servers.** INFO comes before TLS does, so whoever sits on the wire can add servers to
//! `connect_urls`; one with a valid certificate for its own name would then be sent our password. A host name learned in
//! clear text, and any IP address, must therefore have a certificate for the name of the server that told us about it.

use crate::url::ServerAddress;

const MILLISECOND_NS: u64 = 1_000_000;
const SECOND_NS: u64 = 1_000 * MILLISECOND_NS;

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
    /// A pool of at least one server. The seed should differ between instances, so that they spread over a cluster.
    pub fn new(addresses: Vec<ServerAddress>, seed: u64) -> Self {
        assert!(!addresses.is_empty(), "a pool has a server");
        let mut random = Random(seed);
        let mut servers: Vec<Server> = Vec::new();
        for address in addresses {
            if !servers.iter().any(|server| server.address.is_same_endpoint(&address)) {
                servers.push(Server::new(address, true));
            }
        }
        for end in (1..servers.len()).rev() {
            servers.swap(end, random.below(end as u64 + 1) as usize);
        }
        ServerPool { servers, current: None, preferred: None, attempts: 0, random }
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

/// SplitMix64: small, seeded, good enough to spread clients.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Credentials;
    use crate::url::parse_servers;

    fn pool(list: &str, seed: u64) -> ServerPool {
        ServerPool::new(parse_servers(list).unwrap(), seed)
    }

    fn attempt(pool: &mut ServerPool, now_ns: u64) -> String {
        match pool.next(now_ns) {
            Next::Attempt(address) => address.to_string(),
            Next::Wait { until_ns } => panic!("at {now_ns}: wait until {until_ns}"),
        }
    }

    fn wait_ns(pool: &mut ServerPool, now_ns: u64) -> u64 {
        match pool.next(now_ns) {
            Next::Attempt(address) => panic!("at {now_ns}: {address}"),
            Next::Wait { until_ns } => until_ns - now_ns,
        }
    }

    fn candidates(pool: &ServerPool, now_ns: u64) -> Vec<String> {
        pool.failover_candidates(now_ns).iter().map(ToString::to_string).collect()
    }

    fn urls(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_first_attempt_is_at_once_and_later_ones_wait_longer_and_longer() {
        for seed in 0..100 {
            let mut pool = pool("a", seed);
            let mut now_ns = 1_000;
            for whole_ms in [50, 100, 200, 400, 800, 1_000, 1_000, 1_000] {
                attempt(&mut pool, now_ns);
                pool.handle_closed(Cause::Trouble, now_ns);
                let wait_ns = wait_ns(&mut pool, now_ns);
                let whole_ns = whole_ms * MILLISECOND_NS;
                assert!((whole_ns / 2..=whole_ns).contains(&wait_ns), "seed {seed}: {wait_ns} of {whole_ns}");
                now_ns += wait_ns;
            }
        }
    }

    #[test]
    fn backoff_never_overflows() {
        for count in [0, 1, 2, 63, 64, 65, u32::MAX] {
            for random in [0, 1, u64::MAX] {
                assert!(backoff_ns(count, BACKOFF_FIRST_NS, BACKOFF_LAST_NS, random) <= BACKOFF_LAST_NS);
            }
        }
        let mut pool = pool("a", 1);
        attempt(&mut pool, u64::MAX);
        pool.handle_closed(Cause::Trouble, u64::MAX);
        pool.handle_lame_duck(u64::MAX);
        attempt(&mut pool, u64::MAX);
    }

    #[test]
    fn a_refused_login_waits_longer_and_does_not_spin() {
        let mut pool = pool("a", 3);
        let mut now_ns = 0;
        let mut attempts = 0;
        while now_ns < 60 * SECOND_NS {
            attempt(&mut pool, now_ns);
            attempts += 1;
            pool.handle_closed(Cause::Refused, now_ns);
            let wait_ns = wait_ns(&mut pool, now_ns);
            assert!(wait_ns <= BACKOFF_AUTHENTICATION_LAST_NS);
            now_ns += wait_ns;
        }
        assert!((7..=16).contains(&attempts), "{attempts} attempts in a minute");
    }

    #[test]
    fn a_good_connection_is_replaced_at_once_and_a_short_one_is_not() {
        let mut pool = pool("a", 3);
        attempt(&mut pool, 0);
        pool.handle_ready(10);
        pool.handle_closed(Cause::Trouble, 10 + STABLE_NS);
        attempt(&mut pool, 10 + STABLE_NS);
        pool.handle_ready(20 + STABLE_NS);
        pool.handle_closed(Cause::Trouble, 30 + STABLE_NS);
        assert!(wait_ns(&mut pool, 30 + STABLE_NS) >= BACKOFF_FIRST_NS / 2);
    }

    #[test]
    fn every_server_is_tried_before_any_is_tried_again() {
        let mut pool = pool("a,b,c,d", 5);
        let mut tried: Vec<_> = (0..4)
            .map(|_| {
                let tried = attempt(&mut pool, 0);
                pool.handle_closed(Cause::Trouble, 0);
                tried
            })
            .collect();
        tried.sort();
        assert_eq!(tried, ["nats://a:4222", "nats://b:4222", "nats://c:4222", "nats://d:4222"]);
        assert!(wait_ns(&mut pool, 0) <= BACKOFF_FIRST_NS);
    }

    #[test]
    fn one_refusing_server_does_not_keep_us_from_the_others() {
        let mut pool = pool("a,b", 5);
        let first = attempt(&mut pool, 0);
        pool.handle_closed(Cause::Refused, 0);
        let second = attempt(&mut pool, 0);
        assert_ne!(first, second);
    }

    #[test]
    fn the_order_depends_on_the_seed_alone() {
        let order = |seed| {
            let pool = pool("a,b,c,d,e", seed);
            pool.addresses().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(order(1), order(1));
        let firsts: std::collections::BTreeSet<_> = (0..50).map(|seed| order(seed).remove(0)).collect();
        assert_eq!(firsts.len(), 5);
    }

    #[test]
    fn an_address_given_twice_is_one_server() {
        assert_eq!(pool("a,A:4222,nats://a,b", 1).addresses().count(), 2);
    }

    #[test]
    fn discovered_servers_come_and_go() {
        let mut pool = pool("nats://bob:pw@a", 1);
        assert_eq!(pool.merge_discovered(&urls(&["b:1"]), false), Merged::default(), "nobody said so");
        attempt(&mut pool, 0);
        let merged = |added, removed, ignored| Merged { added, removed, ignored };
        assert_eq!(pool.merge_discovered(&urls(&["a:4222", "b:1", "[::1]:2", "x:y"]), false), merged(2, 0, 1));
        assert_eq!(pool.merge_discovered(&urls(&["a:4222", "b:1", "[::1]:2"]), false), merged(0, 0, 0));
        assert_eq!(pool.merge_discovered(&urls(&["c:1", "b:1"]), false), merged(1, 1, 0));
        assert_eq!(pool.merge_discovered(&[], false), merged(0, 0, 0));
        let shown: Vec<_> = pool.addresses().map(ToString::to_string).collect();
        assert_eq!(shown, ["nats://a:4222", "nats://b:1", "nats://c:1"]);
        assert!(pool.addresses().all(|address| matches!(address.credentials, Some(Credentials::UserPassword { .. }))));
        // The configured one goes away, a discovered one takes over, and stays although it is not listed.
        pool.handle_closed(Cause::Trouble, 0);
        let second = attempt(&mut pool, 0);
        assert_eq!(pool.merge_discovered(&urls(&["z:1"]), false), merged(1, 1, 0));
        assert_eq!(pool.current().unwrap().to_string(), second);
    }

    #[test]
    fn a_flood_of_addresses_is_cut_off() {
        let mut pool = pool("a", 1);
        attempt(&mut pool, 0);
        let flood: Vec<_> = (0..10_000).map(|index| format!("h{index}:1")).collect();
        let merged = pool.merge_discovered(&flood, false);
        assert_eq!((merged.added, merged.ignored), (SERVERS_MAX - 1, 10_000 - SERVERS_MAX + 1));
        assert_eq!(pool.addresses().count(), SERVERS_MAX);
    }

    #[test]
    fn certificates_of_discovered_servers() {
        let mut pool = pool("tls://seed.example", 1);
        attempt(&mut pool, 0);
        let name = |pool: &ServerPool, host: &str| {
            let address = pool.addresses().find(|address| address.host == host).unwrap();
            assert!(address.tls);
            address.certificate_name().to_string()
        };
        pool.merge_discovered(&urls(&["n2.example:1", "10.0.0.1:1"]), false);
        assert_eq!(name(&pool, "n2.example"), "seed.example");
        assert_eq!(name(&pool, "10.0.0.1"), "seed.example");
        pool.merge_discovered(&urls(&["n2.example:1", "10.0.0.1:1"]), true);
        assert_eq!(name(&pool, "n2.example"), "n2.example");
        assert_eq!(name(&pool, "10.0.0.1"), "seed.example");
        pool.merge_discovered(&urls(&["n2.example:1", "10.0.0.1:1"]), false);
        assert_eq!(name(&pool, "n2.example"), "n2.example");
    }

    #[test]
    fn a_lame_duck_is_left_for_a_server_that_can_be_reached() {
        let mut two = pool("a,b", 2);
        let first = attempt(&mut two, 0);
        two.handle_ready(0);
        assert_eq!(candidates(&two, 5 * SECOND_NS).len(), 2);
        two.handle_lame_duck(5 * SECOND_NS);
        assert_ne!(candidates(&two, 5 * SECOND_NS), [first.as_str()]);
        assert_eq!(candidates(&two, 5 * SECOND_NS).len(), 1);
        two.handle_closed(Cause::Left, 5 * SECOND_NS);
        let second = attempt(&mut two, 6 * SECOND_NS);
        assert_ne!(second, first);
        // It is down: the lame one, which may be back, is tried while that backs off.
        two.handle_closed(Cause::Trouble, 6 * SECOND_NS);
        assert_eq!(attempt(&mut two, 6 * SECOND_NS), first);
        two.handle_ready(6 * SECOND_NS);
        // The one that has failed may be back as well; whoever has seen that it is, goes there at once.
        two.handle_lame_duck(9 * SECOND_NS);
        assert_eq!(candidates(&two, 9 * SECOND_NS), [second.as_str()]);
        two.prefer(two.failover_candidates(9 * SECOND_NS).remove(0));
        two.handle_closed(Cause::Left, 9 * SECOND_NS);
        assert_eq!(attempt(&mut two, 9 * SECOND_NS), second);
        // Once.
        two.handle_closed(Cause::Trouble, 9 * SECOND_NS);
        assert_eq!(attempt(&mut two, 9 * SECOND_NS), first);

        let mut one = pool("a", 2);
        attempt(&mut one, 0);
        one.handle_lame_duck(0);
        assert!(candidates(&one, 0).is_empty());
        one.handle_closed(Cause::Left, 0);
        assert!(wait_ns(&mut one, 0) <= BACKOFF_FIRST_NS);
    }

    #[test]
    fn a_candidate_is_where_the_next_attempt_would_be_and_has_not_refused_the_login() {
        let mut three = pool("a,b,c", 7);
        let refused = attempt(&mut three, 0);
        three.handle_closed(Cause::Refused, 0);
        let failed = attempt(&mut three, 0);
        three.handle_closed(Cause::Trouble, 0);
        let last = attempt(&mut three, 0);
        three.handle_ready(0);
        assert_eq!(
            candidates(&three, 100 * MILLISECOND_NS),
            [failed.as_str(), last.as_str()],
            "{refused} has refused the login"
        );
        three.handle_lame_duck(100 * MILLISECOND_NS);
        assert_eq!(candidates(&three, 100 * MILLISECOND_NS), [failed.as_str()]);
        // One that is not in the pool any more changes nothing.
        three.prefer(ServerAddress::parse("elsewhere").unwrap());
        three.handle_closed(Cause::Left, 100 * MILLISECOND_NS);
        assert_eq!(attempt(&mut three, 100 * MILLISECOND_NS), failed);
    }
}
