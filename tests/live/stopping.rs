//! SIGTERM: the end comes within 5 s, with exit 0, and what was received by then has had its effect.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::bus::{Bus, Inbox};
use crate::support::events::{Event, RISE_FLAGS, RISE_WARM_UP, rising_market};
use crate::support::nats_server::NatsServer;
use crate::support::service::Service;
use crate::support::{eventually, holds};

const LIMIT: Duration = Duration::from_secs(5);

/// The signals of a rising market are those of its trades after the warm-up, one each, in order, up to some trade.
fn check_signals(market: &[Event], inbox: &Inbox) {
    let prices = market[1 + RISE_WARM_UP..].iter().map(|(_, payload)| {
        let trade: serde_json::Value = serde_json::from_slice(payload).expect("JSON");
        trade["price"].clone()
    });
    for (index, (price, signal)) in prices.zip(inbox.iter()).enumerate() {
        assert_eq!(signal.payload["price"], price, "signal {index} of {}", inbox.len());
    }
}

/// All that the server had sent before it heard of the stop is still worked off.
#[test]
fn a_stop_behind_a_burst_loses_nothing() {
    let server = NatsServer::start();
    let mut service = Service::start_ready(&server.url(), &RISE_FLAGS);
    let bus = Bus::connect(&server.url());
    let mut inbox = bus.subscribe("senpai.signals.>");
    let market = rising_market("BTCUSDT", 10_000);
    bus.publish(&market);
    bus.round_trip();
    let (status, took) = service.terminate();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(took < LIMIT, "{took:?}");
    eventually("the last line of the log", || {
        let log = service.log();
        holds(log.lines().last().is_some_and(|line| line.ends_with("stopped")), log)
    });
    inbox.wait_for(10_000 - RISE_WARM_UP);
    check_signals(&market, &inbox);
    println!("stopped {took:?} after a burst of {} events, all of them worked off", market.len());
}

#[test]
fn a_stop_in_the_middle_of_events_flushes_what_was_emitted() {
    let server = NatsServer::start();
    let mut service = Service::start_ready(&server.url(), &RISE_FLAGS);
    let bus = Bus::connect(&server.url());
    let mut inbox = bus.subscribe("senpai.signals.>");
    let market = rising_market("BTCUSDT", 1_000_000);
    let is_over = AtomicBool::new(false);
    let (emitted, took) = std::thread::scope(|threads| {
        let publisher = Bus::connect(&server.url());
        let (market, is_over) = (&market, &is_over);
        // It ends with the scope also when an assertion fails.
        let _end = OnDrop(is_over);
        threads.spawn(move || {
            for part in market.chunks(100) {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                publisher.publish(part);
                publisher.round_trip();
            }
        });
        inbox.wait_for(2_000);
        let labels = [("symbol", "BTCUSDT"), ("direction", "long")];
        let emitted = service.metric("senpai_signals_emitted_total", &labels) as usize;
        let (status, took) = service.terminate();
        assert_eq!(status.code(), Some(0), "{status}\n{}", service.log());
        assert!(took < LIMIT, "{took:?}");
        (emitted, took)
    });
    inbox.wait_for(emitted);
    bus.round_trip();
    inbox.take_arrived();
    check_signals(&market, &inbox);
    println!("stopped within {took:?}; {emitted} signals counted before, {} received", inbox.len());
}

struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_stop_needs_no_server() {
    let server = NatsServer::stopped();
    let mut service = Service::start(&server.url(), &[]);
    let (status, took) = service.terminate();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(took < LIMIT, "{took:?}");
}
