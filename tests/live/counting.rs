//! What is not used is counted: malformed, unknown, beyond a limit, too old, shed in a flood.

use serde_json::json;

use crate::reference::SECOND;
use crate::support::bus::Bus;
use crate::support::events::{Event, RISE_WARM_UP, book, event, heartbeat, now_ns, quote, rising_market, trade};
use crate::support::nats_server::NatsServer;
use crate::support::service::Service;

#[test]
fn what_cannot_be_used_is_counted_by_reason_and_type() {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &["--max-symbols", "2"]);
    let bus = Bus::connect(&server.url());
    let now = now_ns();
    let raw = |subject: &str, payload: &[u8]| (subject.to_owned(), payload.to_vec());
    let events = [
        trade("A", now, 100.0),
        trade("B", now, 100.0),
        // Malformed, in each type.
        raw("md.events.trade.A", b"{\"price\":1,\"size\":"),
        raw("md.events.trade.A", b""),
        event("trade", "A", json!({"price": -1, "size": 1})),
        event("trade", "A", json!({"price": 1, "size": 0})),
        event("trade", "A", json!({"price": "NaN", "size": 1})),
        event("quote", "A", json!({"bid": "x"})),
        event("quote", "A", json!([1, 2])),
        event("book_l2", "A", json!({"bids": [[1]], "asks": []})),
        raw("md.events.heartbeat.__system__", b"\xff\xfe"),
        // Subjects of no known type.
        event("funding", "A", json!({"rate": 1})),
        raw("md.events.trade", b"{\"price\":1,\"size\":1}"),
        // A third symbol, and a fourth.
        trade("C", now, 100.0),
        quote("C", now, 99.0, 101.0),
        book("D", now, 2),
        // A minute behind A's watermark and more.
        trade("A", now - 61 * SECOND, 50.0),
        // Times that cannot be read.
        event("quote", "A", json!({"provider": "test", "bid": 99, "ask": 101, "ts_recv": "soon", "ts": 0})),
        // From the future: taken at its receipt.
        trade("A", now + 3600 * SECOND, 200.0),
        heartbeat("__system__"),
    ];
    bus.publish(&events);
    let stats = service.wait_events_in(events.len());
    assert_eq!(stats["events_in"], events.len());

    let dropped =
        |reason: &str, kind: &str| service.metric("senpai_events_dropped_total", &[("reason", reason), ("type", kind)]);
    let expected = [
        ("malformed", "trade", 5.0),
        ("malformed", "quote", 2.0),
        ("malformed", "book_l2", 1.0),
        ("malformed", "heartbeat", 1.0),
        ("malformed", "unknown", 2.0),
        ("symbol_limit", "trade", 1.0),
        ("symbol_limit", "quote", 1.0),
        ("symbol_limit", "book_l2", 1.0),
        ("late", "trade", 1.0),
        ("backpressure", "trade", 0.0),
        ("backpressure", "quote", 0.0),
    ];
    for (reason, kind, count) in expected {
        assert_eq!(dropped(reason, kind), count, "{reason} {kind}");
    }
    let events_in = |kind: &str, provider: &str| {
        service.metric("senpai_events_in_total", &[("type", kind), ("provider", provider)])
    };
    assert_eq!(events_in("trade", "test"), 5.0);
    assert_eq!(events_in("trade", "unknown"), 5.0);
    assert_eq!(events_in("unknown", "unknown"), 2.0);
    assert_eq!(events_in("heartbeat", "__system__"), 1.0);
    assert_eq!(service.metric("senpai_timestamps_rejected_total", &[("provider", "test")]), 1.0);
    assert_eq!(service.metric("senpai_timestamps_unreadable_total", &[("provider", "test")]), 1.0);
    assert_eq!(service.metric("senpai_symbols", &[]), 2.0);
    assert_eq!(service.metric("senpai_window_trades", &[]), 3.0);

    assert_eq!(service.document("/health")["symbols"], json!(["A", "B"]));
    assert_eq!(service.get("/state/latest?symbol=C").0, 404);
    assert_eq!(service.document("/state/latest?symbol=A")["trade"]["price"], 200.0);
    assert!(service.log().contains("malformed event on md.events.trade.A"), "{}", service.log());
}

#[test]
fn a_backlog_gives_no_signals() {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &["--signal-return-threshold", "0"]);
    let bus = Bus::connect(&server.url());
    let market = rising_market("BTCUSDT", 1_000);
    bus.publish(&market);
    service.wait_events_in(market.len());
    let suppressed = service.metric("senpai_signals_suppressed_total", &[("reason", "stale")]);
    assert_eq!(suppressed, (1_000 - RISE_WARM_UP) as f64);
    assert_eq!(service.stats()["signals_emitted"], 0);
}

/// A flood through the smallest queue: books and quotes may go, trades never, and every event is accounted for.
#[test]
fn a_flood_costs_no_trade() {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &["--queue-bytes", "65536", "--features-pub-rate-hz", "0"]);
    let bus = Bus::connect(&server.url());
    let now = now_ns();
    let trade_count = 4_000;
    let mut events: Vec<Event> = Vec::new();
    for i in 0..trade_count {
        let t = now + i * 1_000;
        events.push(trade("BTCUSDT", t, 100.0));
        events.push(quote("BTCUSDT", t, 99.0, 101.0));
        // 9 KB: seven of them fill the queue.
        events.push(book("BTCUSDT", t, 500));
        if i % 10 == 0 {
            events.push(heartbeat("__system__"));
        }
    }
    bus.publish(&events);
    let stats = service.wait_events_in(events.len());
    assert_eq!(stats["events_in"], events.len(), "every event is accounted for");
    assert_eq!(stats["events_in_by_type"]["trade"], trade_count);
    for reason in ["malformed", "late", "symbol_limit"] {
        assert_eq!(stats["dropped"][reason], json!({}), "{reason}");
    }
    let shed = stats["dropped"]["backpressure"].as_object().expect("counts by type");
    assert!(shed.keys().all(|kind| ["quote", "book_l2", "heartbeat"].contains(&kind.as_str())), "{shed:?}");
    assert!(shed.get("book_l2").is_some(), "the flood was no flood: {shed:?}");
    // Not only counted: all of them are in the window.
    assert_eq!(service.metric("senpai_window_trades", &[]), trade_count as f64);
    assert_eq!((&stats["reconnects"], &stats["slow_consumer_cuts"]), (&0.into(), &0.into()));
    println!("a flood of {} events: {shed:?} shed, {trade_count} trades taken", events.len());
}

#[test]
fn counters_are_there_before_anything_is_counted() {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &[]);
    let (status, text) = service.get("/metrics");
    assert_eq!(status, 200);
    let is_there = |series: &str| {
        let mut lines = text.lines();
        assert!(lines.any(|line| line.strip_prefix(series).is_some_and(|rest| rest == " 0")), "{series}:\n{text}");
    };
    for kind in ["trade", "quote", "book_l2", "heartbeat", "unknown"] {
        for reason in ["malformed", "backpressure", "late", "symbol_limit"] {
            is_there(&format!("senpai_events_dropped_total{{reason=\"{reason}\",type=\"{kind}\"}}"));
        }
        is_there(&format!("senpai_events_in_total{{type=\"{kind}\",provider=\"unknown\"}}"));
    }
    for reason in ["stale", "stale_quote", "gap"] {
        is_there(&format!("senpai_signals_suppressed_total{{reason=\"{reason}\"}}"));
    }
    is_there("senpai_publish_dropped_total{kind=\"features\"}");
    is_there("senpai_publish_dropped_total{kind=\"signal\"}");
    is_there("senpai_nats_reconnects_total");
    is_there("senpai_log_lines_lost_total");
    assert!(text.contains("# TYPE senpai_read_gap_ms histogram"), "{text}");
    assert!(!text.contains("senpai_signals_emitted_total{"), "there is no symbol:\n{text}");

    // A symbol without signals has no line of them.
    let bus = Bus::connect(&server.url());
    bus.publish(&[trade("A", now_ns(), 100.0)]);
    service.wait_events_in(1);
    let (_, text) = service.get("/metrics");
    assert!(!text.contains("senpai_signals_emitted_total{"), "{text}");
    assert_eq!(service.get("/features?symbol=A").0, 200, "as SPEC names it too");
    assert_eq!(service.get("/features").0, 400);
}
