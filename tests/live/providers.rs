//! `PROVIDER_MODE` on the running service: over cores, in subjects, metrics and documents.

use serde_json::json;

use crate::support::bus::Bus;
use crate::support::events::{Event, event, now_ns};
use crate::support::nats_server::NatsServer;
use crate::support::service::Service;

const SYMBOLS: [&str; 8] = ["A", "B", "C", "D", "E", "F", "BRK.B", "BTC/USD"];

/// A trade of each symbol from each of two providers, at prices 100 and 200.
fn market() -> Vec<Event> {
    let now = now_ns();
    let trade = |symbol: &&str, provider: &str, price: f64| {
        event("trade", symbol, json!({"provider": provider, "ts_recv": now, "price": price, "size": 1.0}))
    };
    SYMBOLS.iter().flat_map(|symbol| [trade(symbol, "one", 100.0), trade(symbol, "an other", 200.0)]).collect()
}

#[test]
fn a_state_for_each_provider_over_two_cores() {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &["--cores", "2", "--provider-mode", "separate"]);
    let bus = Bus::connect(&server.url());
    let mut inbox = bus.subscribe("senpai.features.>");
    let events = market();
    bus.publish(&events);
    let stats = service.wait_events_in(events.len());
    assert_eq!(stats["symbols"], 2 * SYMBOLS.len());
    let mut names: Vec<String> =
        SYMBOLS.iter().flat_map(|symbol| [format!("{symbol}@one"), format!("{symbol}@an_other")]).collect();
    names.sort();
    assert_eq!(service.document("/health")["symbols"], json!(names));
    let of_cores: Vec<u64> =
        stats["cores"].as_array().unwrap().iter().map(|core| core["symbols"].as_u64().unwrap()).collect();
    assert!(
        of_cores.iter().all(|count| *count >= 2 && count % 2 == 0),
        "both states of a symbol are on one core: {of_cores:?}"
    );

    for symbol in SYMBOLS {
        for (suffix, provider, price) in [("@one", "one", 100.0), ("@an_other", "an other", 200.0)] {
            let name = format!("{symbol}{suffix}");
            let features = service.document(&format!("/features/latest?symbol={name}"));
            assert_eq!((&features["symbol"], &features["provider"]), (&json!(symbol), &json!(provider)));
            assert_eq!(service.document(&format!("/state/latest?symbol={name}"))["trade"]["price"], price);
            assert_eq!(service.metric("senpai_feature_publish_total", &[("symbol", &name)]), 1.0);
        }
        let (status, body) = service.get(&format!("/features/latest?symbol={symbol}"));
        assert_eq!(status, 404, "{body}");
        assert!(body.contains(&format!("{symbol}@an_other, {symbol}@one")), "{body}");
        let (status, body) = service.get(&format!("/features/latest?symbol={symbol}@none"));
        assert!(status == 404 && body.contains("no event of the symbol"), "{body}");
    }
    inbox.wait_until("features of all states", |messages| {
        names.iter().all(|name| messages.iter().any(|message| message.subject == format!("senpai.features.{name}")))
    });
}

#[test]
fn one_provider_at_a_time_unless_asked_otherwise() {
    let server = NatsServer::start();
    let bus = Bus::connect(&server.url());
    let events = market();
    let check = |flags: &[&str], dropped: usize, provider: serde_json::Value, price: f64| {
        let service = Service::start_ready(&server.url(), flags);
        bus.publish(&events);
        let stats = service.wait_events_in(events.len());
        assert_eq!(stats["symbols"], SYMBOLS.len());
        let shown = stats["dropped"]["other_provider"]["trade"].as_u64().unwrap_or_default();
        assert_eq!(shown as usize, dropped, "{flags:?}");
        let reason = [("reason", "other_provider"), ("type", "trade")];
        assert_eq!(service.metric("senpai_events_dropped_total", &reason), dropped as f64);
        for name in ["one", "an other"] {
            let labels = [("type", "trade"), ("provider", name)];
            assert_eq!(service.metric("senpai_events_in_total", &labels), SYMBOLS.len() as f64);
        }
        let features = service.document("/features?symbol=A");
        assert_eq!(features.get("provider").unwrap_or(&json!(null)), &provider, "{features}");
        assert_eq!(service.document("/state/latest?symbol=A")["trade"]["price"], price);
    };
    check(&["--cores", "2"], SYMBOLS.len(), json!("one"), 100.0);
    check(&["--providers", "an other"], 0, json!("an other"), 200.0);
    check(&["--provider-mode", "merged"], 0, json!(null), 200.0);
}
