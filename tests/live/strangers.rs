//! Peers that are not the server that they seem to be, and servers that refuse in unusual words.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use crate::support::nats_server::{NatsServer, Release};
use crate::support::service::Service;
use crate::support::{PATIENCE, eventually, holds};

const EVENT: &str = r#"{"price":1.5,"size":2}"#;
/// Connections that get the same bytes, one after another.
const ATTEMPTS: usize = 2;

/// Sends `bytes` on each connection at once and waits for its end.
fn stranger(listener: TcpListener, bytes: String) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for _ in 0..ATTEMPTS {
            let (mut stream, _) = listener.accept().expect("the service connects");
            stream.set_read_timeout(Some(PATIENCE)).expect("it can have a limit");
            stream.write_all(bytes.as_bytes()).expect("the service takes it");
            let mut said = Vec::new();
            // A reset is an end like any other.
            let _ = stream.read_to_end(&mut said);
            assert!(!said.starts_with(b"CONNECT"), "{}", said.escape_ascii());
        }
    })
}

#[test]
fn what_comes_before_the_subscriptions_is_no_event() {
    let msg = format!("MSG md.events.trade.EVIL 1 {}\r\n{EVENT}\r\n", EVENT.len());
    let hmsg = format!("HMSG md.events.trade.EVIL 1 12 {}\r\nNATS/1.0\r\n\r\n{EVENT}\r\n", 12 + EVENT.len());
    let info = "INFO {\"tls_required\":true,\"max_payload\":1048576}\r\n";
    let asked_for_tls = "where TLS had to start";
    let no_tls = "in clear text where TLS should start";
    let unasked = "before anything was subscribed to";
    let cases: [(&str, String, &[&str], &str); 6] = [
        ("tls", format!("{info}{msg}"), &[], asked_for_tls),
        ("nats", format!("{info}{hmsg}"), &[], asked_for_tls),
        ("tls", msg.clone(), &[], unasked),
        ("nats", hmsg, &[], unasked),
        // Larger than what is ever taken, so that only its head is seen.
        ("nats", "MSG md.events.trade.EVIL 1 9000000\r\n{".to_owned(), &[], unasked),
        ("tls", msg, &["--nats-tls-first", "true"], no_tls),
    ];
    for (scheme, bytes, flags, reason) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("{scheme}://{}", listener.local_addr().expect("it is bound"));
        let stranger = stranger(listener, bytes.clone());
        let service = Service::start(&url, flags);
        stranger.join().expect("every connection ended without CONNECT");
        eventually("the log says why", || holds(service.log().contains(reason), service.log()));
        let (status, body) = service.get("/state/latest?symbol=EVIL");
        assert_eq!(status, 404, "{bytes:?}: {body}");
        assert_eq!(service.stats()["events_in"], 0, "{bytes:?}");
    }
}

/// A server as far as the handshake goes, on one connection.
fn shake_hands(listener: &TcpListener) -> (BufReader<TcpStream>, TcpStream) {
    let (stream, _) = listener.accept().expect("the service connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("it can have a limit");
    let mut writer = stream.try_clone().expect("a socket can be duplicated");
    let mut reader = BufReader::new(stream);
    writer.write_all(b"INFO {\"max_payload\":1048576}\r\n").expect("the service reads");
    // Behind CONNECT, and behind the subscriptions.
    for _ in 0..2 {
        wait_for(&mut reader, "PING");
        writer.write_all(b"PONG\r\n").expect("the service reads");
    }
    (reader, writer)
}

fn wait_for(reader: &mut impl BufRead, operation: &str) {
    let mut line = String::new();
    while line.trim_end() != operation {
        line.clear();
        let len = reader.read_line(&mut line).expect("the service speaks");
        assert!(len > 0, "the service left, and has not said {operation}");
    }
}

#[test]
fn refusals_without_end_fill_no_log_and_are_believed() {
    const REFUSALS: usize = 50_000;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("nats://{}", listener.local_addr().expect("it is bound"));
    let service = Service::start(&url, &[]);
    let (mut reader, mut writer) = shake_hands(&listener);
    service.wait_ready();
    let refusal = "-ERR 'Permissions Violation for Subscription to \"some.other\"'\r\nINFO [\r\n";
    writer.write_all(refusal.repeat(REFUSALS).as_bytes()).expect("the service reads");
    writer.write_all(b"PING\r\n").expect("the service reads");
    wait_for(&mut reader, "PONG");
    let (status, body) = service.get("/ready");
    assert!(
        status == 503 && body.contains("of this service's subscriptions"),
        "it can only be about its own: {status} {body}"
    );
    let lines = service.log().lines().count();
    assert!(lines < 20, "{lines} lines for {REFUSALS} refusals:\n{}", service.log());
}

/// nats-server quotes subjects as Go's `%q` does.
#[test]
fn refused_subjects_with_quotes_are_told() {
    let permissions = "authorization { users: [ { user: service, password: secret, permissions: { \
                       subscribe: { allow: \"other.>\" } } } ] }";
    for release in [Release::Current, Release::Old] {
        if release.is_skipped("refused_subjects_with_quotes_are_told, its second half") {
            continue;
        }
        let server = NatsServer::start_with(release, permissions);
        let url = format!("nats://service:secret@127.0.0.1:{}", server.port());
        for symbol in ["A\"B", "A\\B", "Ä", "\u{ad}"] {
            let service = Service::start(&url, &["--symbols", symbol]);
            eventually("/ready tells of the refusal", || {
                let (status, body) = service.get("/ready");
                holds(status == 503 && body.contains("refuse"), format!("{status} {body}"))
            });
            // And it stays so when the handshake is through.
            eventually("the connection", || {
                let health = service.document("/health");
                holds(health["nats_connected"] == true, health)
            });
            let (status, body) = service.get("/ready");
            assert_eq!(status, 503, "{symbol:?}: {body}");
            assert_eq!(service.document("/health")["status"], "degraded", "{symbol:?}");
        }
    }
}
