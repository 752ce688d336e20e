//! What the service takes off its queue: messages as large as that, and subjects that may not be published to.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::reference::SECOND;
use crate::support::bus::Bus;
use crate::support::events::{Event, now_ns, quote, trade};
use crate::support::eventually;
use crate::support::holds;
use crate::support::nats_server::NatsServer;
use crate::support::service::Service;

/// A message may be as large as the queue less its control line; what is larger is said with its size and the setting.
#[test]
fn messages_up_to_the_size_of_the_queue() {
    const QUEUE_BYTES: usize = 65_536;
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &["--queue-bytes", &QUEUE_BYTES.to_string()]);
    let bus = Bus::connect(&server.url());
    let padded = |(subject, mut payload): Event, bytes: usize| {
        payload.resize(bytes, b' ');
        (subject, payload)
    };
    let now = now_ns();
    let taken = [33_000, 50_000, QUEUE_BYTES - 4_096, QUEUE_BYTES - 100];
    let mut count = 0;
    for bytes in taken {
        for event in [trade("A", now, 100.0), quote("A", now, 99.0, 101.0)] {
            bus.publish(&[padded(event, bytes)]);
            count += 1;
            let stats = service.wait_events_in(count);
            for reason in ["malformed", "backpressure"] {
                assert_eq!(stats["dropped"][reason], json!({}), "{bytes} bytes: {reason}");
            }
        }
    }
    bus.publish(&[padded(trade("A", now, 100.0), QUEUE_BYTES), trade("A", now, 100.0)]);
    let stats = service.wait_events_in(count + 2);
    assert_eq!(stats["dropped"]["malformed"], json!({"trade": 1}));
    // `MSG md.events.trade.A 1 65536` and two line ends.
    let frame_bytes = QUEUE_BYTES + "MSG md.events.trade.A 1 65536\r\n\r\n".len();
    let said = format!(
        "malformed event on md.events.trade.A: the message has {frame_bytes} bytes with its control line, more than the \
         {QUEUE_BYTES} of QUEUE_BYTES"
    );
    eventually("the log line", || holds(service.log().contains(&said), service.log()));
    assert_eq!(service.metric("senpai_nats_reconnects_total", &[]), 0.0);
}

#[test]
fn wildcards_and_empty_tokens_become_no_symbols() {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &[]);
    let bus = Bus::connect(&server.url());
    let mut inbox = bus.subscribe("senpai.>");
    // A client that keeps to no rules, as async-nats would.
    let mut client = TcpStream::connect(("127.0.0.1", server.port())).expect("it listens");
    let symbols = ["*", ">", "A.*", "A.>", "*.A", "B*", "C>D", "E\u{a0}F", "G\u{85}"];
    let mut frames = b"CONNECT {\"verbose\":false}\r\n".to_vec();
    let payload = br#"{"price":1,"size":1,"provider":"nobody"}"#;
    for symbol in symbols {
        frames.extend_from_slice(format!("PUB md.events.trade.{symbol} {}\r\n", payload.len()).as_bytes());
        frames.extend_from_slice(payload);
        frames.extend_from_slice(b"\r\n");
    }
    frames.extend_from_slice(b"PING\r\n");
    client.write_all(&frames).expect("the server takes it");
    let mut answers = Vec::new();
    while !String::from_utf8_lossy(&answers).contains("PONG") {
        let mut part = [0; 4096];
        let len = client.read(&mut part).expect("the server answers");
        assert!(len > 0, "{}", String::from_utf8_lossy(&answers));
        answers.extend_from_slice(&part[..len]);
    }
    bus.publish(&[trade("GOOD", now_ns(), 100.0)]);
    let stats = service.wait_events_in(symbols.len() + 1);
    assert_eq!(stats["dropped"]["malformed"], json!({"trade": symbols.len()}));
    assert_eq!(service.document("/health")["symbols"], json!(["GOOD"]));
    let events_in =
        |provider: &str| service.metric("senpai_events_in_total", &[("type", "trade"), ("provider", provider)]);
    assert_eq!((events_in("nobody"), events_in("unknown")), (0.0, symbols.len() as f64));
    let messages = inbox.wait_until("a snapshot", |messages| !messages.is_empty());
    assert!(messages.iter().all(|message| message.subject == "senpai.features.GOOD"), "{messages:?}");
}

/// Over 60 s a rolling window means 60 s: the start says so once, and an event further behind is late.
#[test]
fn a_rolling_window_over_a_minute_is_a_minute() {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &["--rolling-window-seconds", "90", "--cores", "2"]);
    let said = "ROLLING_WINDOW_SECONDS is 90: it means 60";
    assert_eq!(service.log().matches(said).count(), 1, "{}", service.log());
    let bus = Bus::connect(&server.url());
    let now = now_ns();
    bus.publish(&[trade("A", now, 100.0), trade("A", now - 59 * SECOND, 1.0), trade("A", now - 61 * SECOND, 1.0)]);
    assert_eq!(service.wait_events_in(3)["dropped"]["late"], json!({"trade": 1}));
}
