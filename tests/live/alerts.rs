//! Alerts over a real nats-server, and the lists of the last ones.

use serde_json::{Value, json};

use crate::reference::SECOND;
use crate::support::bus::{Bus, Inbox, Message};
use crate::support::events::{
    Event, RISE_FLAGS, RISE_WARM_UP, book, event, heartbeat, now_ns, quote, rising_market, trade,
};
use crate::support::nats_server::NatsServer;
use crate::support::service::Service;
use crate::support::{eventually, holds};

/// Kind, state and subject of an alert.
fn shown(alert: &Value) -> (String, String, Option<String>) {
    let text = |field: &str| alert[field].as_str().map(str::to_owned);
    (text("kind").expect("a kind"), text("state").expect("a state"), text("symbol").or(text("provider")))
}

fn find<'a>(alerts: &'a [Message], kind: &str, state: &str) -> Option<&'a Value> {
    alerts.iter().map(|message| &message.payload).find(|alert| alert["kind"] == kind && alert["state"] == state)
}

#[track_caller]
fn wait_for(inbox: &mut Inbox, kind: &str, state: &str) -> Value {
    let alerts = inbox.wait_until(&format!("{kind}, {state}"), |alerts| find(alerts, kind, state).is_some());
    find(alerts, kind, state).expect("it has come").clone()
}

#[test]
fn causes_in_the_events_are_published_once_and_resolve() {
    let server = NatsServer::start();
    let flags = ["--max-symbols", "2", "--provider-mode", "merged", "--alert-latency-p95-ms", "50"];
    let service = Service::start_ready(&server.url(), &flags);
    let bus = Bus::connect(&server.url());
    let mut inbox = bus.subscribe("senpai.alerts");
    let now = now_ns();
    let other = |t: i64| event("trade", "A", json!({"provider": "other", "ts_recv": t, "price": 1, "size": 1}));
    let slow = event("trade", "B", json!({"ts_exchange": now - SECOND, "ts_recv": now, "price": 1, "size": 1}));
    bus.publish(&[trade("A", now, 1.0), other(now), slow, quote("C", now, 1.0, 2.0), quote("D", now, 1.0, 2.0)]);
    bus.publish(&[trade("A", now + 3600 * SECOND, 1.0)]);
    let expected =
        [("mixed_providers", Some("A")), ("latency", Some("B")), ("symbol_limit", None), ("clock_skew", Some("test"))];
    for (kind, about) in expected {
        let alert = wait_for(&mut inbox, kind, "firing");
        assert_eq!(shown(&alert).2.as_deref(), about, "{alert}");
        assert_eq!(service.metric("senpai_alerts_total", &[("kind", kind)]), 1.0);
    }
    let stats = service.stats();
    let firing: Vec<_> = stats["alerts"].as_array().expect("a list").iter().map(shown).collect();
    assert_eq!((firing.len(), &stats["alerts_firing"]), (4, &json!(4)), "{firing:?}");
    let health = service.document("/health");
    let trouble = health["troubles"].to_string();
    assert!(health["status"] == "degraded" && trouble.contains("MAX_SYMBOLS"), "{health}");

    // What was published is what is shown, newest first.
    for kind in ["symbol_limit", "clock_skew"] {
        wait_for(&mut inbox, kind, "resolved");
    }
    let published: Vec<Value> = inbox.take_arrived().iter().map(|message| message.payload.clone()).collect();
    let latest = service.document("/alerts/latest");
    let latest = latest["alerts"].as_array().expect("a list");
    assert!(latest.iter().rev().take(published.len()).eq(&published), "{latest:?}\n{published:?}");
    assert_eq!(published.len(), 6, "each once: {published:?}");
    let of_symbol = service.document("/alerts/latest?symbol=B");
    assert_eq!(of_symbol["alerts"].as_array().map(Vec::len), Some(1));
    assert_eq!(service.document("/alerts/latest?limit=2")["alerts"], json!(latest[..2]));
    for limit in ["0", "x", "-1", ""] {
        let (status, body) = service.get(&format!("/alerts/latest?limit={limit}"));
        assert_eq!(status, 400, "{limit}: {body}");
    }
    let health = service.document("/health");
    assert_eq!((&health["status"], &health["troubles"]), (&json!("ok"), &json!([])), "{health}");
}

#[test]
fn a_silent_and_a_late_provider_are_one_alert_over_two_cores() {
    let server = NatsServer::start();
    let flags = ["--cores", "2", "--alert-gap-seconds", "1", "--alert-lag-seconds", "2"];
    let service = Service::start_ready(&server.url(), &flags);
    let bus = Bus::connect(&server.url());
    let mut inbox = bus.subscribe("senpai.alerts");
    let mut symbols: Vec<String> = (0..20).map(|number| format!("SYM{number}USDT")).collect();
    bus.publish(&symbols.iter().map(|symbol| trade(symbol, now_ns(), 1.0)).collect::<Vec<Event>>());
    let alert = wait_for(&mut inbox, "gap", "firing");
    assert_eq!(
        (&alert["symbol"], &alert["provider"], &alert["threshold"]),
        (&Value::Null, &json!("test"), &json!(1.0))
    );
    // It is heard again, at one core or the other.
    eventually("the end of the gap", || {
        bus.publish(&[heartbeat("test")]);
        holds(find(inbox.take_arrived(), "gap", "resolved").is_some(), "not yet")
    });
    assert_eq!(service.metric("senpai_alerts_total", &[("kind", "gap")]), 1.0);
    symbols.truncate(7);
    eventually("the lag", || {
        let late: Vec<Event> = symbols.iter().map(|symbol| trade(symbol, now_ns() - 10 * SECOND, 1.0)).collect();
        bus.publish(&late);
        holds(find(inbox.take_arrived(), "lag", "firing").is_some(), "not yet")
    });
    let alert = wait_for(&mut inbox, "lag", "firing");
    assert!(alert["value"].as_f64().is_some_and(|seconds| (9.9..12.0).contains(&seconds)), "{alert}");
    wait_for(&mut inbox, "lag", "resolved");
    assert_eq!(service.metric("senpai_alerts_total", &[("kind", "lag")]), 1.0);
}

#[test]
fn a_switch_of_providers_is_published() {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &["--providers", "good,test", "--features-pub-rate-hz", "0"]);
    let bus = Bus::connect(&server.url());
    let mut inbox = bus.subscribe("senpai.alerts");
    let good = event("trade", "A", json!({"provider": "good", "ts_recv": now_ns(), "price": 1, "size": 1}));
    bus.publish(&[trade("A", now_ns(), 1.0), good]);
    let alert = wait_for(&mut inbox, "provider_switch", "firing");
    assert_eq!((&alert["symbol"], &alert["provider"]), (&json!("A"), &json!("good")));
    wait_for(&mut inbox, "provider_switch", "resolved");
    // A line of the log for each, written before it was published.
    let said =
        [("WARN", "firing: A: it is taken from provider good now"), ("INFO", "resolved: A: its provider has not")];
    for (level, text) in said {
        let text = format!("alert provider_switch {text}");
        eventually("the log line", || {
            let log = service.log();
            holds(log.lines().any(|line| line.contains(level) && line.contains(&text)), &log)
        });
    }
    assert_eq!(service.metric("senpai_alerts_total", &[("kind", "provider_switch")]), 1.0);
}

#[test]
fn what_fires_while_nats_is_away_is_published_when_it_is_back() {
    let mut server = NatsServer::start();
    let flags = ["--alert-gap-seconds", "1", "--nats-discover", "false"];
    let service = Service::start_ready(&server.url(), &flags);
    let bus = Bus::connect(&server.url());
    bus.publish(&[trade("A", now_ns(), 1.0)]);
    service.wait_events_in(1);
    server.kill();
    let alerts = eventually("the gap", || {
        let stats = service.stats();
        holds(stats["alerts_firing"] == 1, &stats["alerts"]).map(|()| stats["alerts"].clone())
    });
    server.start_again();
    // Whichever is there first: the last ones are shown in any case.
    let bus = Bus::connect(&server.url());
    let mut inbox = bus.subscribe("senpai.alerts");
    service.wait_ready();
    eventually("the end of the gap", || {
        bus.publish(&[heartbeat("test")]);
        holds(find(inbox.take_arrived(), "gap", "resolved").is_some(), "not yet")
    });
    assert_eq!(service.metric("senpai_publish_dropped_total", &[("kind", "alert")]), 0.0);
    let latest = service.document("/alerts/latest");
    assert_eq!(latest["alerts"][1], alerts[0], "{latest}");
    assert_eq!(latest["alerts"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_stop_within_a_second_of_a_storm_publishes_its_number() {
    let server = NatsServer::start();
    let mut service = Service::start_ready(&server.url(), &["--features-pub-rate-hz", "0"]);
    let bus = Bus::connect(&server.url());
    let mut inbox = bus.subscribe("senpai.alerts");
    let now = now_ns();
    let slow = json!({"ts_exchange": now - 3 * SECOND, "ts_recv": now, "price": 1, "size": 1});
    bus.publish(&(0..30).map(|index| event("trade", &format!("S{index}"), slow.clone())).collect::<Vec<Event>>());
    inbox.wait_for(20);
    service.terminate();
    let alerts = inbox.wait_until("the number", |alerts| alerts.len() > 20);
    let many: Vec<&Value> =
        alerts.iter().map(|alert| &alert.payload).filter(|alert| alert["symbol"].is_null()).collect();
    assert_eq!((many.len(), &many[0]["kind"], &many[0]["value"]), (1, &json!("latency"), &json!(30.0)));
}

/// A flood through the smallest queue.
#[test]
fn a_queue_that_is_nearly_full_is_one_alert() {
    let server = NatsServer::start();
    let flags = ["--queue-bytes", "65536", "--features-pub-rate-hz", "0"];
    let service = Service::start_ready(&server.url(), &flags);
    let bus = Bus::connect(&server.url());
    let mut inbox = bus.subscribe("senpai.alerts");
    let flood = vec![book("BTCUSDT", now_ns(), 500); 3_000];
    bus.publish(&flood);
    let alert = wait_for(&mut inbox, "backpressure", "firing");
    assert!(alert["value"].as_f64().is_some_and(|fill| (0.9..=1.0).contains(&fill)), "{alert}");
    assert_eq!((&alert["symbol"], &alert["threshold"]), (&Value::Null, &json!(0.9)));
    let alert = wait_for(&mut inbox, "backpressure", "resolved");
    assert!(alert["message"].as_str().is_some_and(|message| message.contains("90 %")), "{alert}");
    assert_eq!(service.metric("senpai_alerts_total", &[("kind", "backpressure")]), 1.0);
}

#[test]
fn nothing_since_the_start_is_a_trouble() {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &["--alert-gap-seconds", "1"]);
    eventually("the trouble", || {
        let health = service.document("/health");
        let trouble = health["troubles"].to_string();
        holds(health["status"] == "degraded" && trouble.contains("no event has come since the start"), &health)
    });
    assert_eq!(service.get("/ready").0, 200);
    Bus::connect(&server.url()).publish(&[heartbeat("test")]);
    service.wait_events_in(1);
    assert_eq!(service.document("/health")["status"], "ok");
}

#[test]
fn the_last_signals_are_shown_as_they_were_published() {
    let server = NatsServer::start();
    let flags = [&["--cores", "2"], &RISE_FLAGS[..]].concat();
    let service = Service::start_ready(&server.url(), &flags);
    let bus = Bus::connect(&server.url());
    let mut inbox = bus.subscribe("senpai.signals.>");
    assert_eq!(service.document("/signals/latest"), json!({"signals": []}));
    // 30 of each: of different cores, most likely.
    let mut published: Vec<Value> = Vec::new();
    for symbol in ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"] {
        bus.publish(&rising_market(symbol, RISE_WARM_UP + 30));
        let count = published.len() + 30;
        published = inbox.wait_for(count).iter().map(|message| message.payload.clone()).collect();
    }
    let of = |symbol: &str| -> Vec<Value> {
        published.iter().rev().filter(|signal| signal["symbol"] == symbol).cloned().collect()
    };
    let latest = service.document("/signals/latest");
    let latest = latest["signals"].as_array().expect("a list");
    assert_eq!(latest.len(), 100, "the last ones over all cores");
    assert_eq!(latest[..30], of("XRPUSDT"));
    assert_eq!(service.document("/signals/latest?symbol=SOLUSDT")["signals"], json!(of("SOLUSDT")));
    assert_eq!(service.document("/signals/latest?symbol=BTCUSDT&limit=3")["signals"], json!(of("BTCUSDT")[..3]));
    assert_eq!(service.document("/signals/latest?symbol=NONE"), json!({"signals": []}));
    assert_eq!(service.get("/signals/latest?limit=none").0, 400);
}

/// What to do about an alert stands at its end; of many at once the first are said, and the others counted soon.
#[test]
fn alerts_are_said_whole_and_those_that_are_not_are_counted() {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &["--alert-gap-seconds", "1"]);
    let bus = Bus::connect(&server.url());
    let of = |provider: usize| {
        let payload = json!({"provider": format!("p{provider}"), "price": 1.0, "size": 1.0});
        event("trade", &format!("S{provider}"), payload)
    };
    bus.publish(&(0..8).map(of).collect::<Vec<_>>());
    eventually("the others' number", || {
        let log = service.log();
        holds(log.contains("alert gap firing: 3 more, see /alerts/latest"), log)
    });
    let log = service.log();
    let said: Vec<&str> = log.lines().filter(|line| line.contains("alert gap firing: provider p")).collect();
    assert_eq!(said.len(), 5, "{log}");
    assert!(said.iter().all(|line| line.ends_with("whether it reaches NATS")), "{log}");
}
