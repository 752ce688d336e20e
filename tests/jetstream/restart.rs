//! The service is killed and starts again while the market goes on, beside one that is not interrupted. What both publish
//! is what the naive twin computes from all that the stream holds, with the moments of storing as receipts.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::Operator;
use crate::market::{self, Market};
use crate::reference::SECOND;
use crate::stage::{FLAGS, LIMIT, Report, server};
use crate::support::bus::Bus;
use crate::support::events::{now_ns, quote, trade};
use crate::support::nats_server::Release;
use crate::support::service::Service;
use crate::support::{holds, within};

/// Longer than what a start reads: the window of 5 s and 10 s more.
const BEFORE: Duration = Duration::from_secs(18);
/// More than a cycle of the market.
const AFTER: Duration = Duration::from_secs(14);
/// What was on its way when the service was killed.
const SLACK_NS: i64 = SECOND;
/// A snapshot of the past that is caught up with is older than this.
const PAST_NS: i64 = 5 * SECOND;

pub fn against_an_uninterrupted_run(release: Release) -> Result<Report, &'static str> {
    let server = server(release);
    let operator = Operator::new(server.port());
    operator.make_stream(&json!({}));
    let flags = [&FLAGS[..], &market::FLAGS].concat();
    let start = || Service::start(&server.url(), &flags);
    let (uninterrupted, interrupted) = (start(), start());
    uninterrupted.wait_ready();
    interrupted.wait_ready();
    let bus = Bus::connect(&server.url());
    let mut inbox = bus.subscribe("senpai.>");
    bus.round_trip();
    let market = Market::start(server.port(), 0);
    market.pass(BEFORE);

    drop(interrupted);
    let killed_ns = now_ns();
    let received_before = inbox.take_arrived().len();
    let started = Instant::now();
    let restarted = start();
    restarted.wait_ready();
    let (ready_after, ready_ns) = (started.elapsed(), now_ns());
    market.pass(AFTER);
    drop(market);

    let messages = operator.messages();
    let count = messages.len() as u64;
    let wait = |service: &Service, least: u64| {
        within(LIMIT, "the last event is applied", || {
            let stats = service.stats();
            let stream = &stats["cores"][0]["jetstream"];
            let is_done = stream["sequence"] == count && stats["events_in"].as_u64() >= Some(least);
            holds(is_done, stream)
        });
        service.stats()
    };
    let stats = wait(&uninterrupted, count);
    assert_eq!((&stats["events_in"], &stats["signals_suppressed"]["catching_up"]), (&count.into(), &0.into()));
    let stats = wait(&restarted, 1);
    let applied = stats["events_in"].as_u64().expect("a count") as usize;
    let catching_up = stats["signals_suppressed"]["catching_up"].as_u64().expect("a count");
    assert!(catching_up > 0, "the past that was read had signals: {}", stats["signals_suppressed"]);
    assert!(stats["features_published"].as_u64() > Some(0), "{stats}");
    bus.round_trip();
    let received = inbox.take_arrived();

    let expected = market::signals(&messages);
    let counts = market::check_signals(received, &expected);
    for (id, (stored_ns, _)) in &expected {
        let both = *stored_ns < killed_ns - SLACK_NS || *stored_ns > ready_ns + SLACK_NS;
        let came = counts.get(id).copied().unwrap_or(0);
        assert!(if both { came == 2 } else { came == 1 || came == 2 }, "{id} came {came} times");
    }
    for message in &received[received_before..] {
        let ts = message.payload["ts"].as_str().and_then(crate::reference::time::parse_rfc3339).expect("a time");
        assert!(ts > killed_ns - PAST_NS, "of the past that is caught up with nothing is published: {message:?}");
    }
    let snapshots = market::check_snapshots(received, &messages);
    assert!(
        snapshots > 1_000 && expected.len() > 20,
        "{snapshots} snapshots and {} signals prove little",
        expected.len()
    );
    let note = format!(
        "{snapshots} snapshots and {} signals agree; ready after {} ms, {catching_up} signals of the past",
        expected.len(),
        ready_after.as_millis()
    );
    Ok(Report { published: count as usize, applied, note, ..Report::default() })
}

/// The newest event of all has given a signal: whoever starts after it has it from the past, and gives it no more.
pub fn signal_of_the_last_event(release: Release) -> Result<Report, &'static str> {
    let server = server(release);
    let operator = Operator::new(server.port());
    operator.make_stream(&json!({}));
    let flags = [&FLAGS[..], &["--signal-volume-threshold", "0"]].concat();
    let start = || Service::start_ready(&server.url(), &flags);
    let service = start();
    let bus = Bus::connect(&server.url());
    let mut inbox = bus.subscribe("senpai.signals.>");
    bus.round_trip();
    let (now_ns, before_ns) = (now_ns(), now_ns() - 11 * SECOND);
    let symbol = "BTCUSDT";
    bus.publish(&[trade(symbol, before_ns, 100.0), quote(symbol, now_ns, 101.0, 101.01), trade(symbol, now_ns, 101.0)]);
    inbox.wait_for(1);
    drop(service);
    let restarted = start();
    let stats = restarted.stats();
    assert_eq!(stats["signals_suppressed"]["catching_up"], 1, "{stats}");
    bus.round_trip();
    assert!(inbox.take_arrived().len() <= 1, "it is given once");
    let count = operator.messages().len();
    Ok(Report { published: count, applied: count, ..Report::default() })
}
