//! What `ops/` holds: several machines, against a real nats-server with the very configuration that is there, and the
//! seccomp profile for containers.

#[path = "reference/mod.rs"]
mod reference;
#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use senpai_md_consumer::engine::ownership::fnv1a_32;
use serde_json::Value;
use support::bus::Bus;
use support::events::{Event, heartbeat, now_ns, quote, trade};
use support::nats_server::{NatsServer, Release};
use support::service::Service;
use support::{eventually, holds};

const CONFIGURATION: &str = include_str!("../ops/nats-server.conf");

/// Of every shape that one token can have.
fn symbols() -> Vec<String> {
    let made =
        (0..60).flat_map(|number| [format!("SYM{number}USDT"), format!("C{number}-USD"), format!("X{number}/USD")]);
    made.chain(["1000SHIBUSDT", "AAPL", "A"].map(str::to_owned)).collect()
}

/// A trade and a quote of each.
fn market(symbols: &[String]) -> Vec<Event> {
    let t = now_ns();
    let of_symbol = |symbol: &String| [trade(symbol, t, 100.0), quote(symbol, t, 99.0, 101.0)];
    symbols.iter().flat_map(of_symbol).collect()
}

fn followed(service: &Service) -> BTreeSet<String> {
    let health = service.document("/health");
    let symbols = health["symbols"].as_array().expect("a list").iter();
    symbols.map(|symbol| symbol.as_str().expect("text").to_owned()).collect()
}

fn partition(symbols: &[String], index: u32) -> BTreeSet<String> {
    symbols.iter().filter(|symbol| fnv1a_32(symbol.as_bytes()) % 2 == index).cloned().collect()
}

#[test]
fn the_server_parts_the_symbols_as_the_instances_would() {
    let symbols = symbols();
    let events = market(&symbols);

    let mapping = NatsServer::start_with(Release::Current, CONFIGURATION);
    let parted = [0, 1].map(|index| {
        let prefix = format!("md.part.{index}");
        Service::start_ready(&mapping.url(), &["--subject-prefix", &prefix])
    });
    Bus::connect(&mapping.url()).publish(&events);

    let plain = NatsServer::start();
    let parting = ["0/2", "1/2"].map(|shard| Service::start_ready(&plain.url(), &["--shard", shard]));
    Bus::connect(&plain.url()).publish(&events);

    for index in [0, 1] {
        let expected = partition(&symbols, index as u32);
        assert!(expected.len() > symbols.len() / 4, "a fair share: {} of {}", expected.len(), symbols.len());
        for services in [&parted, &parting] {
            let stats = services[index].wait_events_in(2 * expected.len());
            assert_eq!(stats["events_in"], 2 * expected.len());
            assert_eq!(followed(&services[index]), expected);
        }
        // The mapped instance never hears of the others' events; the other one hears and skips them.
        let foreign = |service: &Service| service.stats()["events_foreign"].as_u64().expect("a count");
        assert_eq!(foreign(&parted[index]), 0);
        let others = (events.len() - 2 * expected.len()) as u64;
        eventually("the others' events", || {
            let foreign = foreign(&parting[index]);
            holds(foreign == others, format!("{foreign} of {others}"))
        });
    }
}

#[test]
fn nothing_is_lost_between_the_partitions() {
    let server = NatsServer::start_with(Release::Current, CONFIGURATION);
    let parted = [0, 1].map(|index| {
        let prefix = format!("md.part.{index}");
        Service::start_ready(&server.url(), &["--subject-prefix", &prefix])
    });
    let dotted: Vec<String> = ["BRK.B", "BRK.A", "BF.B", "ES.Z4.CME", "RDS.A"].map(str::to_owned).into();
    let mut events = market(&dotted);
    let heartbeats = ["__system__", "binance", "coinbase"];
    events.extend(heartbeats.map(heartbeat));
    Bus::connect(&server.url()).publish(&events);
    eventually("every event at one of them", || {
        let taken: u64 = parted.iter().map(|service| service.stats()["events_in"].as_u64().expect("a count")).sum();
        holds(taken == events.len() as u64, format!("{taken} of {}", events.len()))
    });
    let followed = parted.each_ref().map(followed);
    assert!(followed[0].is_disjoint(&followed[1]), "{followed:?}");
    for symbol in &dotted {
        let first = symbol.split('.').next().expect("a token");
        let owner = fnv1a_32(first.as_bytes()) % 2;
        assert!(followed[owner as usize].contains(symbol), "{symbol} goes by {first}: {followed:?}");
    }
}

#[test]
fn the_cores_of_an_instance_share_its_partition() {
    let symbols = symbols();
    let server = NatsServer::start_with(Release::Current, CONFIGURATION);
    let flags = ["--subject-prefix", "md.part.1", "--shard", "1/2", "--cores", "2"];
    let service = Service::start_ready(&server.url(), &flags);
    Bus::connect(&server.url()).publish(&market(&symbols));
    let expected = partition(&symbols, 1);
    let stats = service.wait_events_in(2 * expected.len());
    assert_eq!(followed(&service), expected);
    let of_cores =
        stats["cores"].as_array().expect("a list").iter().map(|core| core["symbols"].as_u64().expect("a count"));
    let of_cores: Vec<u64> = of_cores.collect();
    assert!(of_cores.iter().all(|count| *count as usize > expected.len() / 4), "a fair share each: {of_cores:?}");
}

/// Docker's own profile with the three calls of io_uring, so that nothing else is granted than Docker grants.
#[test]
fn the_seccomp_profile_allows_io_uring() {
    let profile: Value = serde_json::from_str(include_str!("../ops/seccomp.json")).expect("JSON");
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let calls = profile["syscalls"].as_array().expect("a list").iter();
    let unconditional = calls.filter(|entry| {
        let is_empty = |field: &str| entry[field].as_object().is_none_or(|conditions| conditions.is_empty());
        let has_arguments = entry["args"].as_array().is_some_and(|arguments| !arguments.is_empty());
        entry["action"] == "SCMP_ACT_ALLOW" && is_empty("includes") && is_empty("excludes") && !has_arguments
    });
    let names: BTreeSet<&str> = unconditional
        .flat_map(|entry| entry["names"].as_array().expect("a list").iter().map(|name| name.as_str().expect("text")))
        .collect();
    for call in ["io_uring_setup", "io_uring_enter", "io_uring_register", "recvfrom", "sendto", "poll", "epoll_wait"] {
        assert!(names.contains(call), "{call} is not allowed");
    }
    for call in ["mount", "bpf", "ptrace", "init_module", "setns", "unshare", "perf_event_open", "userfaultfd"] {
        assert!(!names.contains(call), "{call} is allowed");
    }
}
