//! The endpoints of SPEC section 5 on the running service, with curl and with sockets that send what curl does not.
//! What the responder does with hostile and slow clients is in `tests/http`.

use std::process::Command;

use serde_json::Value;

use crate::support::bus::Bus;
use crate::support::events::{book, now_ns, quote, trade};
use crate::support::http::Connection;
use crate::support::nats_server::NatsServer;
use crate::support::service::Service;

/// A service that has seen a trade, a quote and a book of three symbols.
fn service_with_symbols(server: &NatsServer) -> Service {
    let service = Service::start_ready(&server.url(), &[]);
    let now = now_ns();
    let events: Vec<_> = ["BTCUSDT", "BTC/USD", "BRK.B"]
        .iter()
        .flat_map(|symbol| [trade(symbol, now, 100.0), quote(symbol, now, 99.0, 101.0), book(symbol, now, 3)])
        .collect();
    let bus = Bus::connect(&server.url());
    bus.publish(&events);
    service.wait_events_in(events.len());
    service
}

/// curl's standard output.
fn curl(args: &[&str]) -> String {
    // No configuration of the user's, no proxy.
    let output = Command::new("curl").args(["-q", "-sS", "--noproxy", "*", "-m", "20"]).args(args).output();
    let output = output.expect("curl is installed");
    assert!(output.status.success(), "curl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn every_endpoint_answers_curl() {
    let server = NatsServer::start();
    let service = service_with_symbols(&server);
    let url = |target: &str| format!("http://{}{target}", service.address());

    let health = json(&curl(&["-f", &url("/health")]));
    assert_eq!(health["status"], "ok");
    assert_eq!(health["nats_connected"], true);
    assert_eq!(health["symbols"], serde_json::json!(["BRK.B", "BTC/USD", "BTCUSDT"]));
    assert_eq!(health["symbol_count"], 3);
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert!(health["uptime_seconds"].as_f64() > Some(0.0), "{health}");

    curl(&["-f", &url("/ready")]);

    let stats = json(&curl(&["-f", &url("/stats")]));
    assert_eq!(stats["events_in"], 9);
    assert_eq!(stats["reconnects"], 0);
    for field in ["queue", "dropped", "events_per_second", "cores"] {
        assert!(!stats[field].is_null(), "/stats has no {field}: {stats}");
    }

    let metrics = curl(&["-f", &url("/metrics")]);
    for sample in [
        "senpai_nats_connected 1",
        "senpai_symbols 3",
        "# TYPE senpai_events_in_total counter",
        "# TYPE senpai_events_dropped_total counter",
        "# TYPE senpai_queue_fill_ratio gauge",
        "# TYPE senpai_processing_latency_ms histogram",
        "# TYPE senpai_feature_publish_total counter",
        "# TYPE senpai_nats_connected gauge",
        "# TYPE senpai_nats_reconnects_total counter",
        "# TYPE senpai_window_trades gauge",
        "# TYPE process_resident_memory_bytes gauge",
    ] {
        assert!(metrics.lines().any(|line| line == sample), "/metrics has no line {sample}:\n{metrics}");
    }

    // A symbol as it is typed, encoded by curl, and encoded by hand.
    for (symbol, target) in [
        ("BTCUSDT", "/features/latest?symbol=BTCUSDT"),
        ("BTC/USD", "/features/latest?symbol=BTC/USD"),
        ("BTC/USD", "/features/latest?symbol=BTC%2FUSD"),
        ("BRK.B", "/features/latest?symbol=BRK.B"),
    ] {
        let features = json(&curl(&["-f", &url(target)]));
        assert_eq!((&features["symbol"], &features["features"]["mid"]), (&symbol.into(), &100.0.into()), "{target}");
    }
    let state = json(&curl(&["-f", "-G", "--data-urlencode", "symbol=BTC/USD", &url("/state/latest")]));
    assert_eq!(state["symbol"], "BTC/USD");
    assert_eq!(state["trade"]["price"], 100.0);
    assert_eq!(state["quote"]["bid"], 99.0);
    assert_eq!(state["book"]["bids"].as_array().map(Vec::len), Some(3));
}

#[test]
fn curl_keeps_the_connection_and_asks_for_heads() {
    let server = NatsServer::start();
    let service = service_with_symbols(&server);
    let url = |target: &str| format!("http://{}{target}", service.address());
    let (health, state) = (url("/health"), url("/state/latest?symbol=BTCUSDT"));

    let written = curl(&["-w", "\n%{http_code} %{num_connects}\n", &health, &state, &url("/none")]);
    let codes: Vec<&str> = written.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(codes, ["200 1", "200 0", "404 0"], "one connection for three requests:\n{written}");

    let body = curl(&[&state]);
    let head = curl(&["-I", &state]).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{head}");
    assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{} bytes, {head}", body.len());
    assert!(head.ends_with("\r\n\r\n"), "HEAD has no body: {head}");
    // After HEAD the connection goes on with the next request.
    let written = curl(&["-I", "-w", "%{num_connects}\n", &state, &health]);
    assert!(written.ends_with("\r\n\r\n0\n"), "{written}");

    assert!(curl(&["--http1.0", "-i", &health]).to_ascii_lowercase().contains("\r\nconnection: close\r\n"));
}

#[test]
fn errors_say_what_was_wrong() {
    let server = NatsServer::start();
    let service = service_with_symbols(&server);
    let check = |flags: &[&str], target: &str, expected: &str| {
        let url = format!("http://{}{target}", service.address());
        let written = curl(&[&["-w", "\n%{http_code} %{content_type}", &url], flags].concat());
        let (body, code) = written.rsplit_once('\n').expect("two lines");
        assert_eq!(code, format!("{expected} application/json"), "{target}: {body}");
        assert!(json(body)["error"].is_string(), "{target}: {body}");
    };
    check(&[], "/state/latest", "400");
    check(&[], "/state/latest?symbol=", "400");
    check(&[], "/features/latest?other=1", "400");
    check(&[], "/state/latest?symbol=NONE", "404");
    check(&[], "/features/latest?symbol=btcusdt", "404");
    check(&[], "/nothing/here", "404");
    check(&["-d", "x=1"], "/health", "405");
    check(&["-X", "DELETE"], "/state/latest?symbol=BTCUSDT", "405");

    let refused = curl(&["-i", "-X", "PUT", &format!("http://{}/stats", service.address())]).to_ascii_lowercase();
    assert!(refused.contains("\r\nallow: get, head\r\n"), "{refused}");
}

#[test]
fn pretty_is_the_same_document_indented() {
    let server = NatsServer::start();
    let service = service_with_symbols(&server);
    for target in [
        "/health?",
        "/ready?",
        "/stats?",
        "/state/latest?symbol=BTC/USD&",
        "/features?symbol=BTCUSDT&",
        "/signals/latest?",
        "/alerts/latest?",
        "/none?",
    ] {
        let (status, pretty) = service.get(&format!("{target}pretty=1"));
        assert_eq!(status, if target == "/none?" { 404 } else { 200 }, "{target}: {pretty}");
        let fields = json(&pretty).as_object().expect("an object").len();
        let first_level = pretty.lines().filter(|line| line.starts_with("  \"") && line.contains("\": ")).count();
        assert_eq!(first_level, fields, "{target}: {pretty}");
        let (_, plain) = service.get(target);
        assert_eq!(plain.lines().count(), 1, "{target}: {plain}");
    }
}

#[test]
fn sockets_may_send_as_they_like() {
    let server = NatsServer::start();
    let service = service_with_symbols(&server);
    let open = || Connection::open(service.address()).expect("it listens");

    // Pipelined: all at once, answered in order.
    let mut connection = open();
    let targets = ["/state/latest?symbol=BTCUSDT", "/none", "/state/latest?symbol=BRK.B", "/health"];
    let requests: String = targets.iter().map(|target| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    connection.send(requests.as_bytes()).unwrap();
    let replies = targets.map(|_| connection.read_reply().expect("a reply"));
    assert_eq!(replies.each_ref().map(|reply| reply.status), [200, 404, 200, 200]);
    assert_eq!(json(&replies[0].body)["symbol"], "BTCUSDT");
    assert_eq!(json(&replies[2].body)["symbol"], "BRK.B");

    // Split: every byte a segment of its own, on the same connection.
    for byte in b"GET /state/latest?symbol=BTC%2FUSD HTTP/1.1\r\nHost: x\r\n\r\n" {
        connection.send(&[*byte]).unwrap();
    }
    let reply = connection.read_reply().expect("a reply");
    assert_eq!((reply.status, &json(&reply.body)["symbol"]), (200, &"BTC/USD".into()));

    // No HTTP at all: 400, and the end. The service goes on.
    let mut connection = open();
    connection.send(b"PUB md.events.trade.X 2\r\n{}\r\n\r\n").unwrap();
    let reply = connection.read_reply().expect("a reply");
    assert_eq!(reply.status, 400);
    assert!(json(&reply.body)["error"].is_string(), "{reply:?}");
    assert!(connection.is_at_end());
    assert_eq!(service.get("/ready").0, 200);
}
