//! Of the pool of servers.

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
    assert_eq!(pool.merge_discovered(&urls(&["b:1"]), false), Merged::default(), "there is no current server");
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
    // The one that has failed may be back as well; where it was seen to be, it is tried at once.
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
