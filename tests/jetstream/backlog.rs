//! Events that have waited in the stream, few and many.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Client, Operator};
use crate::market::{self, Market};
use crate::producer::{produce_at_once, symbol};
use crate::reference::SECOND;
use crate::stage::{FLAGS, LIMIT, Report, Stage, account, held, server};
use crate::support::bus::{Bus, Message};
use crate::support::events::{now_ns, quote, trade};
use crate::support::nats_server::Release;
use crate::support::proxy::{Plan, Proxy};
use crate::support::service::Service;
use crate::support::{holds, within};

/// Signals of older events are not given.
const SIGNAL_MAX_AGE: Duration = Duration::from_secs(2);
const AWAY: Duration = Duration::from_secs(7);

/// The service stands still for a while: what waited is applied, and gives no signals; but those of an uninterrupted
/// service afterwards, as their cooldowns have begun.
pub fn events_that_waited(release: Release) -> Result<Report, &'static str> {
    let server = server(release);
    let operator = Operator::new(server.port());
    operator.make_stream(&json!({}));
    let flags = [&FLAGS[..], &market::FLAGS[..6], &["--signal-max-age-seconds", "2"]].concat();
    let service = Service::start_ready(&server.url(), &flags);
    let bus = Bus::connect(&server.url());
    let mut inbox = bus.subscribe("senpai.signals.>");
    bus.round_trip();

    // 50 s of a rising price that are published at once, up to a moment that is old already.
    let mut client = Client::open(server.port(), None, "_INBOX.none").expect("a server");
    let end_ns = now_ns() - 2 * SIGNAL_MAX_AGE.as_nanos() as i64;
    for step in 0..500 {
        let (t, price) = (end_ns - (500 - step) * SECOND / 10, 100.0 + step as f64 * 0.1);
        for (subject, payload) in [quote("OLD", t, price - 0.01, price + 0.01), trade("OLD", t, price)] {
            client.publish(&subject, "", &payload);
        }
    }
    client.flush().expect("the server takes it");
    let stats = service.wait_events_in(1_000);
    assert!(stats["signals_suppressed"]["stale"].as_u64() > Some(10), "{}", stats["signals_suppressed"]);
    assert_eq!(stats["signals_emitted"], 0, "{stats}");

    let market = Market::start(server.port(), 0);
    let is_of_market = |message: &Message| message.subject.starts_with("senpai.signals.S");
    inbox.wait_until("signals", |messages| messages.iter().any(is_of_market));
    let stale_before = service.stats()["signals_suppressed"]["stale"].as_u64().expect("a count");
    service.signal("STOP");
    market.pass(AWAY);
    bus.round_trip();
    let before = inbox.take_arrived().len();
    let back_ns = now_ns();
    service.signal("CONT");
    let back = Instant::now();
    within(LIMIT, "what has waited is applied", || {
        let stream = service.stats()["cores"][0]["jetstream"].take();
        holds(stream["pending"] == 0, stream)
    });
    let recovery = back.elapsed();
    inbox.wait_until("signals again", |messages| messages.len() > before + 2);
    drop(market);

    let messages = operator.messages();
    within(LIMIT, "the last event is applied", || {
        let stream = service.stats()["cores"][0]["jetstream"].take();
        holds(stream["sequence"] == messages.len(), stream)
    });
    bus.round_trip();
    let received = inbox.take_arrived();
    let stats = service.stats();
    let stale = stats["signals_suppressed"]["stale"].as_u64().expect("a count") - stale_before;
    assert!(stale > 0, "some of what waited would have given signals: {stats}");
    for message in &received[before..] {
        let watermark: i64 = message.payload["id"].as_str().and_then(|id| id.rsplit(':').next()?.parse().ok()).unwrap();
        let oldest = back_ns - SIGNAL_MAX_AGE.as_nanos() as i64;
        assert!(watermark >= oldest, "an old signal went out as fresh: {}", message.payload);
    }
    assert!(received.iter().all(is_of_market), "none of OLD");
    // The twin is told that nothing is old.
    let market_messages: Vec<_> = messages.into_iter().filter(|message| !message.subject.ends_with(".OLD")).collect();
    market::check_signals(received, &market::signals(&market_messages));
    let applied = stats["events_in"].as_u64().expect("a count") as usize;
    let published = market_messages.len() + 1_000;
    assert_eq!(applied, published);
    let note = format!("{stale} signals were stale; {} went out later", received.len() - before);
    Ok(Report { recoveries: vec![recovery], published, applied, note, ..Report::default() })
}

/// What comes waits on its way, longer than is allowed.
pub fn behind(release: Release) -> Result<Report, &'static str> {
    const COUNT: usize = 20_000;
    let server = server(release);
    Operator::new(server.port()).make_stream(&json!({}));
    let proxy = Proxy::start(server.port(), 1);
    proxy.plan(Plan::Delay(Duration::from_millis(60)));
    let limits = ["--signal-max-age-seconds", "0.5", "--alert-lag-seconds", "0.5", "--queue-bytes", "1048576"];
    let stage = Stage::begin(&proxy.url(), server.port(), &limits);
    stage.service.wait_ready();
    produce_at_once(server.port(), 0..COUNT);
    stage.wait_trouble(&["MD_EVENTS", "behind by", "messages wait"]);
    stage.wait_alert("was stored");
    assert!(stage.service.metric("senpai_jetstream_pending", &[]) >= 0.0);
    within(LIMIT * 2, "all is applied", || {
        let stream = stage.jetstream();
        holds(stream["messages"] == COUNT && stream["pending"] == 0, stream)
    });
    let back = Instant::now();
    stage.service.wait_ready();
    Ok(account(&[&stage.service], &held(&stage.operator), vec![back.elapsed()]))
}

pub fn catch_up_100_000(release: Release) -> Result<Report, &'static str> {
    catch_up(release, 1, 100_000)
}

/// More than there are symbols: rounds of 100,000.
pub fn catch_up_1_000_000(release: Release) -> Result<Report, &'static str> {
    catch_up(release, 10, 100_000)
}

/// Faster than the engine: nothing is shed, though the queue is small; and the server is killed meanwhile.
fn catch_up(release: Release, rounds: usize, symbols: usize) -> Result<Report, &'static str> {
    let mut server = server(release);
    let operator = Operator::new(server.port());
    operator.make_stream(&json!({ "storage": "file" }));
    for _ in 0..rounds {
        produce_at_once(server.port(), 0..symbols);
    }
    // As an operator does it: all of it is on disk, and the kill below is of a server that only reads.
    server.terminate();
    server.start_again();
    let count = rounds * symbols;
    let begun = Instant::now();
    let flags = [&FLAGS[..], &["--queue-bytes", "1048576", "--window-trades", "2000000"]].concat();
    let service = Service::start(&server.url(), &flags);
    let applied = || service.stats()["events_in"].as_u64().expect("a count") as usize;
    within(LIMIT, "it reads", || holds(applied() > 0, service.log()));
    server.kill();
    let at_kill = applied();
    assert!(at_kill < count, "it was killed while it was read");
    let back = server.start_again();
    within(LIMIT * (1 + rounds as u32 * 3), "all is applied", || {
        let at = applied();
        holds(
            at >= count,
            format!("{at} of {count}; {}; log:\n{}", service.stats()["cores"][0]["jetstream"], service.log()),
        )
    });
    service.wait_ready();
    let took = begun.elapsed();
    let stats = service.stats();
    assert_eq!(stats["events_in"], count, "none twice");
    assert_eq!(stats["dropped"]["backpressure"], json!({}), "nothing is shed");
    let stream = &stats["cores"][0]["jetstream"];
    assert_eq!((&stream["missed"], &stream["messages"]), (&json!(0), &json!(count)), "{stream}");
    assert_eq!(stats["symbols"], symbols);
    for number in [0, symbols / 2, symbols - 1] {
        let (status, body) = service.get(&format!("/state/latest?symbol={}", symbol(number)));
        assert_eq!(status, 200, "{body}");
    }
    Ok(Report {
        recoveries: vec![back.elapsed()],
        published: count,
        applied: count,
        told: [0, 0, stream["consumers_lost"].as_u64().expect("a count")],
        note: format!("killed when {at_kill} were read; {:.1} s from start to ready", took.as_secs_f64()),
        ..Report::default()
    })
}
