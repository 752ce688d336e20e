//! Symbols shared out: over cores, over instances, by a list.

use std::collections::BTreeSet;

use crate::support::bus::Bus;
use crate::support::events::{Event, heartbeat, now_ns, quote, trade};
use crate::support::nats_server::NatsServer;
use crate::support::service::Service;

const SYMBOL_COUNT: usize = 50;

fn symbols() -> Vec<String> {
    (0..SYMBOL_COUNT).map(|number| format!("SYM{number}USDT")).collect()
}

/// Each symbol's price is its number.
fn market(rounds: usize) -> Vec<Event> {
    let start = now_ns();
    let mut events = Vec::new();
    for round in 0..rounds {
        for (number, symbol) in symbols().iter().enumerate() {
            let (t, price) = (start + round as i64 * 1_000, 1.0 + number as f64);
            events.push(trade(symbol, t, price));
            events.push(quote(symbol, t, price, price));
        }
        events.push(heartbeat("__system__"));
        events.push(heartbeat("binance"));
    }
    events
}

#[test]
fn two_cores_follow_every_symbol_between_them() {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &["--cores", "2"]);
    let bus = Bus::connect(&server.url());
    let mut inbox = bus.subscribe("senpai.features.>");
    let events = market(20);
    bus.publish(&events);

    let stats = service.wait_events_in(events.len());
    assert_eq!(stats["events_in"], events.len());
    assert_eq!(stats["events_in_by_type"]["heartbeat"], 40);
    // Each core hears everything and leaves the other's alone: what is foreign is no load.
    assert_eq!(stats["events_foreign"], events.len());
    assert_eq!(service.metric("senpai_processing_latency_ms_count", &[]), events.len() as f64);
    let of_cores: Vec<u64> =
        stats["cores"].as_array().unwrap().iter().map(|core| core["symbols"].as_u64().unwrap()).collect();
    assert_eq!((of_cores.len(), of_cores.iter().sum::<u64>()), (2, SYMBOL_COUNT as u64), "{of_cores:?}");
    assert!(of_cores.iter().all(|count| *count > 10), "a fair share each: {of_cores:?}");

    for (number, symbol) in symbols().iter().enumerate() {
        let price = 1.0 + number as f64;
        let features = service.document(&format!("/features/latest?symbol={symbol}"));
        assert_eq!((&features["symbol"], &features["features"]["mid"]), (&symbol.as_str().into(), &price.into()));
        assert_eq!(service.document(&format!("/state/latest?symbol={symbol}"))["trade"]["price"], price);
    }
    let mut published = BTreeSet::new();
    let mut looked_at = 0;
    inbox.wait_until("features of all symbols", |messages| {
        published.extend(messages[looked_at..].iter().map(|message| message.subject.clone()));
        looked_at = messages.len();
        published.len() == SYMBOL_COUNT
    });
    println!("two cores: {} events, {of_cores:?} symbols", events.len());
}

#[test]
fn two_instances_take_each_event_once() {
    let server = NatsServer::start();
    let halves = ["0/2", "1/2"].map(|shard| Service::start_ready(&server.url(), &["--shard", shard]));
    let bus = Bus::connect(&server.url());
    let events = market(20);
    bus.publish(&events);
    bus.round_trip();
    let stats = crate::support::eventually("both have heard everything", || {
        let stats = halves.each_ref().map(Service::stats);
        let heard = |stats: &serde_json::Value| {
            stats["events_in"].as_u64().unwrap() + stats["events_foreign"].as_u64().unwrap()
        };
        let heard = stats.each_ref().map(heard);
        crate::support::holds(heard == [events.len() as u64; 2], format!("{heard:?}")).map(|()| stats)
    });
    let sum = |field: &str| stats.iter().map(|stats| stats[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("events_in"), events.len() as u64);
    let heartbeats = stats.iter().map(|stats| stats["events_in_by_type"]["heartbeat"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(heartbeats, 40);
    for symbol in symbols() {
        let found = halves.each_ref().map(|half| half.get(&format!("/state/latest?symbol={symbol}")).0);
        assert!(found == [200, 404] || found == [404, 200], "{symbol}: {found:?}");
    }
}

#[test]
fn listed_symbols_are_all_that_is_subscribed_to() {
    let server = NatsServer::start();
    let flags = ["--symbols", "SYM3USDT,SYM7USDT,BRK.B", "--nats-name", "listed"];
    let service = Service::start_ready(&server.url(), &flags);
    let mut expected = vec!["md.events.heartbeat.>".to_owned()];
    for symbol in ["SYM3USDT", "SYM7USDT", "BRK.B"] {
        expected.extend(["trade", "quote", "book_l2"].map(|kind| format!("md.events.{kind}.{symbol}")));
    }
    expected.sort();
    assert_eq!(server.subscriptions_of("listed"), expected);

    let bus = Bus::connect(&server.url());
    let mut events = market(20);
    events.push(trade("BRK.B", now_ns(), 400.0));
    // The last of all: when it is there, everything is.
    events.push(trade("SYM3USDT", now_ns(), 1234.5));
    bus.publish(&events);
    // 20 rounds of a trade and a quote for two symbols and of two heartbeats, and the two at the end.
    let stats = service.wait_events_in(20 * (2 * 2 + 2) + 2);
    assert_eq!(service.document("/state/latest?symbol=SYM3USDT")["trade"]["price"], 1234.5);
    assert_eq!((&stats["events_in"], &stats["events_foreign"]), (&122.into(), &0.into()));
    assert_eq!(service.document("/health")["symbols"], serde_json::json!(["BRK.B", "SYM3USDT", "SYM7USDT"]));
    assert_eq!(service.get("/state/latest?symbol=SYM1USDT").0, 404);
}
