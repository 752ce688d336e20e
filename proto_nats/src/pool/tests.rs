//! Of the pool of servers.

use super::*;
use crate::auth::Credentials;
use crate::url::parse_servers;

fn pool(list: &str, seed: u64) -> ServerPool {
    ServerPool::new(parse_servers(list).unwrap(), seed)
}

/// The next attempt, whose end is not waited for where `now_ns` is late enough.
fn attempt(pool: &mut ServerPool, now_ns: u64) -> (ServerKey, String) {
    match pool.next(now_ns) {
        Next::Attempt(key, address) => (key, address.to_string()),
        other => panic!("at {now_ns}: {other:?}"),
    }
}

/// An attempt that ends at once.
fn fail(pool: &mut ServerPool, cause: Cause, now_ns: u64) -> String {
    let (key, shown) = attempt(pool, now_ns);
    pool.handle_closed(key, cause, now_ns);
    shown
}

fn wait_ns(pool: &mut ServerPool, now_ns: u64) -> u64 {
    match pool.next(now_ns) {
        Next::Wait { until_ns } => until_ns - now_ns,
        other => panic!("at {now_ns}: {other:?}"),
    }
}

fn urls(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// Of a connection in clear text, without credentials.
const CLEAR: Origin = Origin { peer: None, secured: false, wants_tls: false, has_credentials: false };
const SECURED: Origin = Origin { peer: None, secured: true, wants_tls: true, has_credentials: true };

#[test]
fn the_first_attempt_is_at_once_and_later_ones_wait_longer_and_longer() {
    for seed in 0..100 {
        let mut pool = pool("a", seed);
        let mut now_ns = 1_000;
        for whole_ms in [50, 100, 200, 400, 800, 1_000, 1_000, 1_000] {
            fail(&mut pool, Cause::Trouble, now_ns);
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
    let (key, _) = attempt(&mut pool, u64::MAX);
    pool.handle_lame_duck(key, u64::MAX);
    pool.handle_closed(key, Cause::Trouble, u64::MAX);
    attempt(&mut pool, u64::MAX);
}

#[test]
fn a_refused_login_waits_longer_and_does_not_spin() {
    let mut pool = pool("a", 3);
    let mut now_ns = 0;
    let mut attempts = 0;
    while now_ns < 60 * SECOND_NS {
        fail(&mut pool, Cause::Refused, now_ns);
        attempts += 1;
        let wait_ns = wait_ns(&mut pool, now_ns);
        assert!(wait_ns <= BACKOFF_AUTHENTICATION_LAST_NS);
        now_ns += wait_ns;
    }
    assert!((7..=16).contains(&attempts), "{attempts} attempts in a minute");
}

#[test]
fn a_good_connection_is_replaced_at_once_and_a_short_one_is_not() {
    let mut pool = pool("a", 3);
    let (key, _) = attempt(&mut pool, 0);
    pool.handle_ready(key, 10);
    let mut now_ns = 10 + STABLE_NS;
    pool.handle_closed(key, Cause::Trouble, now_ns);
    // It lets us in and ends the connection, again and again.
    for whole_ms in [50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
        attempt(&mut pool, now_ns);
        pool.handle_ready(key, now_ns);
        now_ns += STABLE_NS - 1;
        pool.handle_closed(key, Cause::Trouble, now_ns);
        let wait_ns = wait_ns(&mut pool, now_ns);
        let whole_ns = whole_ms * MILLISECOND_NS;
        assert!((whole_ns / 2..=whole_ns).contains(&wait_ns), "{wait_ns} of {whole_ns}");
        now_ns += wait_ns;
    }
    // It was away: then this is another life of it.
    fail(&mut pool, Cause::Trouble, now_ns);
    now_ns += BACKOFF_FIRST_NS;
    attempt(&mut pool, now_ns);
    pool.handle_ready(key, now_ns);
    pool.handle_closed(key, Cause::Trouble, now_ns);
    assert!(wait_ns(&mut pool, now_ns) <= BACKOFF_FIRST_NS);
}

#[test]
fn every_server_is_tried_before_any_is_tried_again() {
    let mut pool = pool("a,b,c,d", 5);
    let mut tried: Vec<_> = (0..4).map(|_| fail(&mut pool, Cause::Trouble, 0)).collect();
    tried.sort();
    assert_eq!(tried, ["nats://a:4222", "nats://b:4222", "nats://c:4222", "nats://d:4222"]);
    assert!(wait_ns(&mut pool, 0) <= BACKOFF_FIRST_NS);
}

#[test]
fn one_refusing_server_does_not_keep_us_from_the_others() {
    let mut pool = pool("a,b", 5);
    let first = fail(&mut pool, Cause::Refused, 0);
    assert_ne!(first, fail(&mut pool, Cause::Trouble, 0));
}

#[test]
fn a_mute_server_does_not_keep_us_from_the_others() {
    let mut pool = pool("a,b,c", 5);
    let (first, first_shown) = attempt(&mut pool, 0);
    assert_eq!(wait_ns(&mut pool, 1), ATTEMPT_SPACING_NS - 1);
    let (second, second_shown) = attempt(&mut pool, ATTEMPT_SPACING_NS);
    assert_ne!(first_shown, second_shown);
    // The first fails: the second is still given its time. The second fails: the third is tried at once.
    pool.handle_closed(first, Cause::Trouble, ATTEMPT_SPACING_NS + 1);
    assert_eq!(wait_ns(&mut pool, ATTEMPT_SPACING_NS + 1), ATTEMPT_SPACING_NS - 1);
    pool.handle_closed(second, Cause::Trouble, ATTEMPT_SPACING_NS + 1);
    let (third, _) = attempt(&mut pool, ATTEMPT_SPACING_NS + 1);
    // It works; the others are left alone, and are no failures.
    pool.handle_ready(third, ATTEMPT_SPACING_NS + 2);
    assert_eq!(pool.next(2 * SECOND_NS), Next::Attempt(first, ServerAddress::parse(&first_shown).unwrap()));
    pool.handle_closed(first, Cause::Left, 2 * SECOND_NS);
    assert!(matches!(pool.next(2 * SECOND_NS), Next::Attempt(..)));
}

/// The bound on attempts side by side, and who is never kept out by it.
#[test]
fn mute_servers_that_were_advertised_do_not_keep_us_from_the_configured_one() {
    for count in [0, 10, 256, 20_000] {
        let mut pool = pool("a,b", 9);
        let (a, shown) = attempt(&mut pool, 0);
        pool.handle_ready(a, 0);
        let mute: Vec<_> = (0..count).map(|index| format!("10.{}.{}.1:1", index / 256, index % 256)).collect();
        pool.merge_discovered(a, &mute, &CLEAR);
        let mut now_ns = 10 * SECOND_NS;
        pool.handle_closed(a, Cause::Trouble, now_ns);
        // Both are away; what is advertised never answers, for 5 s each.
        let (mut under_way, mut last_ns, mut gap_max_ns) = (Vec::new(), now_ns, 0);
        while now_ns < 60 * SECOND_NS {
            while let Some((key, end_ns)) = under_way.first().copied()
                && end_ns <= now_ns
            {
                pool.handle_closed(key, Cause::Trouble, now_ns);
                under_way.remove(0);
            }
            match pool.next(now_ns) {
                Next::Attempt(key, address) if address.to_string() == shown => {
                    (last_ns, gap_max_ns) = (now_ns, gap_max_ns.max(now_ns - last_ns));
                    pool.handle_closed(key, Cause::Trouble, now_ns);
                }
                Next::Attempt(key, address) if address.host.len() == 1 => {
                    pool.handle_closed(key, Cause::Trouble, now_ns)
                }
                Next::Attempt(key, _) => under_way.push((key, now_ns + 5 * SECOND_NS)),
                _ => now_ns += MILLISECOND_NS,
            }
            assert!(under_way.len() <= DISCOVERED_ATTEMPTS_MAX);
        }
        assert!(gap_max_ns < 3 * SECOND_NS / 2, "{count} advertised: {} ms", gap_max_ns / MILLISECOND_NS);
        assert!(now_ns - last_ns < 3 * SECOND_NS / 2);
        // 64 are kept, 8 at a time take 5 s each and three attempts: given up after two minutes.
        assert!(pool.addresses().count() <= 2 + DISCOVERED_MAX);
    }
}

#[test]
fn what_was_advertised_and_never_worked_is_given_up() {
    let mut pool = pool("a", 9);
    let (a, _) = attempt(&mut pool, 0);
    pool.handle_ready(a, 0);
    pool.merge_discovered(a, &urls(&["b:1", "c:1"]), &CLEAR);
    for now_ns in (1..).map(|step| step * SECOND_NS).take(20) {
        while let Next::Attempt(key, address) = pool.next(now_ns) {
            if address.host == "c" {
                pool.handle_ready(key, now_ns);
            }
            pool.handle_closed(key, Cause::Trouble, now_ns);
        }
    }
    let shown: Vec<_> = pool.addresses().map(ToString::to_string).collect();
    assert_eq!(shown, ["nats://a:4222", "nats://c:1"], "one that has worked may be back");
}

#[test]
fn the_last_good_server_is_first_and_configured_ones_before_discovered_ones() {
    let mut pool = pool("a,b", 5);
    let (first, first_shown) = attempt(&mut pool, 0);
    pool.handle_ready(first, 0);
    pool.merge_discovered(first, &urls(&["z:1"]), &CLEAR);
    pool.handle_closed(first, Cause::Trouble, 5 * SECOND_NS);
    assert_eq!(fail(&mut pool, Cause::Refused, 5 * SECOND_NS), first_shown);
    let other = if first_shown == "nats://a:4222" { "nats://b:4222" } else { "nats://a:4222" };
    assert_eq!(fail(&mut pool, Cause::Refused, 5 * SECOND_NS), other);
    let (z, shown) = attempt(&mut pool, 5 * SECOND_NS + UNPROVEN_SPACING_NS);
    assert_eq!(shown, "nats://z:1");
    pool.handle_ready(z, 5 * SECOND_NS);
    pool.handle_closed(z, Cause::Trouble, 10 * SECOND_NS);
    assert_eq!(fail(&mut pool, Cause::Trouble, 10 * SECOND_NS), "nats://z:1");
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
    let (a, _) = attempt(&mut pool, 0);
    pool.handle_ready(a, 0);
    let merged = |added, removed, ignored| Merged { added, removed, ignored, untrusted: 0 };
    assert_eq!(pool.merge_discovered(a, &urls(&["a:4222", "b:1", "[::1]:2", "x:y"]), &CLEAR), merged(2, 0, 1));
    assert_eq!(pool.merge_discovered(a, &urls(&["a:4222", "b:1", "[::1]:2"]), &CLEAR), merged(0, 0, 0));
    assert_eq!(pool.merge_discovered(a, &urls(&["c:1", "b:1"]), &CLEAR), merged(1, 1, 0));
    assert_eq!(pool.merge_discovered(a, &[], &CLEAR), merged(0, 0, 0));
    let shown = |pool: &ServerPool| pool.addresses().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(&pool), ["nats://a:4222", "nats://b:1", "nats://c:1"]);
    assert!(pool.addresses().all(|address| matches!(address.credentials, Some(Credentials::UserPassword { .. }))));
    // The configured one goes away, a discovered one takes over, and stays although it is not listed.
    pool.handle_closed(a, Cause::Refused, 0);
    let (b, second) = attempt(&mut pool, UNPROVEN_SPACING_NS);
    assert_eq!(pool.merge_discovered(b, &urls(&["z:1"]), &CLEAR), merged(1, 1, 0));
    assert!(shown(&pool).contains(&second));
    // One that is not in the pool any more tells nothing.
    pool.handle_closed(b, Cause::Trouble, 0);
    pool.handle_closed(a, Cause::Trouble, 0);
    pool.merge_discovered(a, &urls(&["z:1"]), &CLEAR);
    assert_eq!(shown(&pool), ["nats://a:4222", "nats://z:1"]);
    assert_eq!(pool.merge_discovered(b, &urls(&["y:1"]), &CLEAR), Merged::default());
}

#[test]
fn a_flood_of_addresses_is_cut_off() {
    let mut pool = pool("a", 1);
    let (a, _) = attempt(&mut pool, 0);
    let flood: Vec<_> = (0..10_000).map(|index| format!("h{index}:1")).collect();
    let merged = pool.merge_discovered(a, &flood, &CLEAR);
    assert_eq!((merged.added, merged.ignored), (DISCOVERED_MAX, 10_000 - DISCOVERED_MAX));
    assert_eq!(pool.addresses().count(), 1 + DISCOVERED_MAX);
}

#[test]
fn credentials_stay_where_they_are_trusted() {
    let mut pool = pool("nats://bob:pw@10.0.0.1", 1);
    let (key, _) = attempt(&mut pool, 0);
    let list = urls(&["10.0.0.2:1", "192.0.2.1:1", "evil.example:1"]);
    let origin = Origin { has_credentials: true, ..CLEAR };
    let merged = pool.merge_discovered(key, &list, &origin);
    assert_eq!(merged, Merged { added: 1, untrusted: 2, ..Merged::default() });
    assert_eq!(pool.merge_discovered(key, &list, &SECURED), Merged { added: 2, ..Merged::default() });
    let in_clear: Vec<_> = pool.addresses().filter(|address| !address.tls).map(|address| &*address.host).collect();
    assert_eq!(in_clear, ["10.0.0.1", "10.0.0.2"], "what was added through TLS is only talked to through TLS");
}

#[test]
fn certificates_of_discovered_servers() {
    let mut pool = pool("tls://seed.example", 1);
    let (key, _) = attempt(&mut pool, 0);
    let name = |pool: &ServerPool, host: &str| {
        let address = pool.addresses().find(|address| address.host == host).unwrap();
        assert!(address.tls);
        address.certificate_name().to_string()
    };
    let in_clear = Origin { secured: false, ..SECURED };
    let list = urls(&["n2.example:1", "10.0.0.1:1"]);
    for (origin, expected) in [(in_clear, "seed.example"), (SECURED, "n2.example"), (in_clear, "n2.example")] {
        pool.merge_discovered(key, &list, &origin);
        assert_eq!(name(&pool, "n2.example"), expected);
        assert_eq!(name(&pool, "10.0.0.1"), "seed.example");
    }
}

#[test]
fn a_lame_duck_is_never_left_for_itself() {
    let mut three = pool("a,b,c", 7);
    let refused = fail(&mut three, Cause::Refused, 0);
    let failed = fail(&mut three, Cause::Trouble, 0);
    let (last, last_shown) = attempt(&mut three, 0);
    three.handle_ready(last, 0);
    three.handle_lame_duck(last, 5 * SECOND_NS);
    // What has failed, or refused us, may be well again.
    let mut tried: Vec<String> = (0..2).map(|_| fail(&mut three, Cause::Trouble, 20 * SECOND_NS)).collect();
    tried.sort();
    let mut others = [refused, failed];
    others.sort();
    assert_eq!(tried, others, "not {last_shown}");
    assert!(matches!(three.next(20 * SECOND_NS), Next::Wait { .. }));

    let mut one = pool("a", 2);
    let (key, _) = attempt(&mut one, 0);
    one.handle_ready(key, 0);
    one.handle_lame_duck(key, 0);
    assert_eq!(one.next(0), Next::Nothing);
    assert_eq!(one.next(2 * LAME_DUCK_NS), Next::Nothing, "never the very server");
    one.handle_closed(key, Cause::Trouble, 0);
    assert!(wait_ns(&mut one, 0) <= BACKOFF_FIRST_NS, "it may be back, and there is no other");
}

/// One node after the other is restarted: the first one is back when the second one goes.
#[test]
fn a_server_that_was_a_lame_duck_is_gone_back_to() {
    let mut two = pool("a,b", 2);
    let (a, a_shown) = attempt(&mut two, 0);
    two.handle_ready(a, 0);
    two.handle_lame_duck(a, 5 * SECOND_NS);
    let (b, _) = attempt(&mut two, 5 * SECOND_NS);
    two.handle_ready(b, 5 * SECOND_NS);
    two.handle_closed(a, Cause::Left, 6 * SECOND_NS);
    two.handle_lame_duck(b, 12 * SECOND_NS);
    assert_eq!(attempt(&mut two, 12 * SECOND_NS).1, a_shown);
}

#[test]
fn new_addresses_all_the_time_do_not_keep_us_busy() {
    let mut pool = pool("a", 9);
    let (a, _) = attempt(&mut pool, 0);
    pool.handle_ready(a, 0);
    let mut attempts = 0;
    for now_ms in 1..=10_000u64 {
        let urls = [format!("127.0.0.1:{now_ms}"), format!("127.0.0.2:{now_ms}")];
        pool.merge_discovered(a, &urls, &CLEAR);
        while let Next::Attempt(key, _) = pool.next(now_ms * MILLISECOND_NS) {
            attempts += 1;
            pool.handle_closed(key, Cause::Trouble, now_ms * MILLISECOND_NS);
        }
    }
    assert!((100..=200).contains(&attempts), "{attempts} in 10 s");
}

/// Two are left by one after the other: the one whose time has come first is not gone back to at once.
#[test]
fn lame_ducks_are_tried_last() {
    let mut two = pool("a,b", 2);
    let (first, first_shown) = attempt(&mut two, 0);
    two.handle_ready(first, 0);
    two.handle_lame_duck(first, 5 * SECOND_NS);
    two.handle_closed(first, Cause::Left, 5 * SECOND_NS);
    let second_shown = fail(&mut two, Cause::Trouble, 5 * SECOND_NS);
    assert_ne!(first_shown, second_shown);
    assert_eq!(attempt(&mut two, 5 * SECOND_NS).1, first_shown, "it is tried while the other backs off");
}
