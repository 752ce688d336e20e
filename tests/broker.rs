//! The embedded broker under an ordinary client: the async-nats crate, over real sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, HeaderMap, RequestErrorKind, Subscriber};
use futures_lite::StreamExt;
use senpai_md_consumer::broker::BrokerLimits;
use senpai_md_consumer::broker::server::{BrokerServer, BrokerThread};
use senpai_md_consumer::runtime::timeout::sleep;

/// No test waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long something is waited for that must not come.
const SILENCE: Duration = Duration::from_millis(100);

fn broker() -> BrokerThread {
    broker_with(BrokerLimits::default())
}

fn broker_with(limits: BrokerLimits) -> BrokerThread {
    let server = BrokerServer::bind("127.0.0.1", 0).expect("a free port").with_limits(limits);
    server.spawn(1, |_| (), |_, _| async {}).expect("an executor")
}

/// Runs `test` with a broker that is stopped afterwards, whatever happens.
fn run(test: impl AsyncFnOnce(&BrokerThread)) {
    run_with(broker(), test);
}

fn run_with(broker: BrokerThread, test: impl AsyncFnOnce(&BrokerThread)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test(&broker)).await.expect("in time") });
    runtime.shutdown_timeout(Duration::from_secs(1));
}

async fn client(broker: &BrokerThread) -> Client {
    async_nats::connect(broker.url()).await.expect("a broker")
}

/// With the broker knowing of it.
async fn subscribe(client: &Client, pattern: &'static str) -> Subscriber {
    let subscriber = client.subscribe(pattern).await.unwrap();
    client.flush().await.unwrap();
    round_trip(client).await;
    subscriber
}

/// async-nats's `flush` hands bytes to the socket; a message to oneself shows that the broker has taken what came before.
async fn round_trip(client: &Client) {
    let inbox = client.new_inbox();
    let mut subscriber = client.subscribe(inbox.clone()).await.unwrap();
    client.publish(inbox, "".into()).await.unwrap();
    subscriber.next().await.expect("a message to oneself");
}

async fn next(subscriber: &mut Subscriber) -> (String, Vec<u8>) {
    let message = subscriber.next().await.expect("a message");
    (message.subject.to_string(), message.payload.to_vec())
}

async fn expect_silence(subscriber: &mut Subscriber) {
    if let Ok(message) = tokio::time::timeout(SILENCE, subscriber.next()).await {
        panic!("{message:?}");
    }
}

#[test]
fn two_clients_and_wildcards() {
    run(async |broker| {
        let (reader, writer) = (client(broker).await, client(broker).await);
        let mut one = subscribe(&reader, "md.events.trade.BTCUSDT").await;
        let mut star = subscribe(&reader, "md.events.*.BTCUSDT").await;
        let mut rest = subscribe(&reader, "md.>").await;
        for subject in ["md.events.trade.BTCUSDT", "md.events.quote.BTCUSDT", "md.other", "other.md"] {
            writer.publish(subject, subject.into()).await.unwrap();
        }
        writer.publish("md.end", vec![b'x'; 1 << 20].into()).await.unwrap();
        for expected in ["md.events.trade.BTCUSDT", "md.events.quote.BTCUSDT", "md.other"] {
            assert_eq!(next(&mut rest).await, (expected.to_owned(), expected.as_bytes().to_vec()));
        }
        assert_eq!(next(&mut rest).await.1.len(), 1 << 20, "a payload of the largest size");
        assert_eq!(next(&mut star).await.0, "md.events.trade.BTCUSDT");
        assert_eq!(next(&mut star).await.0, "md.events.quote.BTCUSDT");
        assert_eq!(next(&mut one).await.0, "md.events.trade.BTCUSDT");
        expect_silence(&mut one).await;
        expect_silence(&mut star).await;
    });
}

#[test]
fn many_messages_arrive_whole_and_in_order() {
    run(async |broker| {
        let (reader, writer) = (client(broker).await, client(broker).await);
        let mut all = subscribe(&reader, "md.>").await;
        const COUNT: usize = 50_000;
        let writing = tokio::spawn(async move {
            for index in 0..COUNT {
                let payload = format!("{index}{}", "\r\nPUB x 1".repeat(index % 50));
                writer.publish(format!("md.{index}"), payload.into()).await.unwrap();
            }
            writer.flush().await.unwrap();
        });
        for index in 0..COUNT {
            let (subject, payload) = next(&mut all).await;
            assert_eq!(subject, format!("md.{index}"));
            assert_eq!(payload.len(), index.to_string().len() + 9 * (index % 50), "{index}");
        }
        writing.await.unwrap();
    });
}

#[test]
fn queue_groups_share_among_connections() {
    run(async |broker| {
        let (first, second, writer) = (client(broker).await, client(broker).await, client(broker).await);
        let mut members = Vec::new();
        for member in [&first, &second] {
            members.push(member.queue_subscribe("md.>", "workers".into()).await.unwrap());
            round_trip(member).await;
        }
        let mut all = subscribe(&writer, "md.>").await;
        for _ in 0..100 {
            writer.publish("md.x", "1".into()).await.unwrap();
        }
        for _ in 0..100 {
            next(&mut all).await;
        }
        let mut shares = [0; 2];
        for (share, member) in shares.iter_mut().zip(&mut members) {
            while tokio::time::timeout(SILENCE, member.next()).await.is_ok() {
                *share += 1;
            }
        }
        assert_eq!(shares[0] + shares[1], 100);
        assert!(shares.iter().all(|share| *share > 20), "{shares:?}");
    });
}

#[test]
fn unsubscribe_after_and_at_once() {
    run(async |broker| {
        let client = client(broker).await;
        let mut three = client.subscribe("a").await.unwrap();
        three.unsubscribe_after(3).await.unwrap();
        let mut gone = client.subscribe("a").await.unwrap();
        gone.unsubscribe().await.unwrap();
        let mut all = subscribe(&client, "a").await;
        for _ in 0..5 {
            client.publish("a", "1".into()).await.unwrap();
        }
        for _ in 0..5 {
            next(&mut all).await;
        }
        assert!(gone.next().await.is_none());
        for _ in 0..3 {
            next(&mut three).await;
        }
        assert!(three.next().await.is_none(), "ended by itself");
    });
}

#[test]
fn headers_and_requests() {
    run(async |broker| {
        let (service, asker) = (client(broker).await, client(broker).await);
        let mut requests = subscribe(&service, "echo").await;
        let answering = tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let reply_to = request.reply.expect("a request has a reply subject");
                let headers = request.headers.unwrap_or_default();
                service.publish_with_headers(reply_to, headers, request.payload).await.unwrap();
            }
        });
        let answer = asker.request("echo", "hello".into()).await.unwrap();
        assert_eq!(&answer.payload[..], b"hello");
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Test", "one");
        headers.append("Nats-Test", "two");
        let answer = asker.request_with_headers("echo", headers.clone(), "".into()).await.unwrap();
        assert_eq!(answer.headers, Some(headers));
        let unanswered = asker.request("unheard", "".into()).await.unwrap_err();
        assert_eq!(unanswered.kind(), RequestErrorKind::NoResponders);
        answering.abort();
    });
}

#[test]
fn any_credentials_are_let_in() {
    run(async |broker| {
        let options = ConnectOptions::with_user_and_password("bob".into(), "hunter2".into());
        let client = options.connect(broker.url()).await.unwrap();
        let info = client.server_info();
        assert_eq!((info.max_payload, info.headers, info.port), (1 << 20, true, broker.address().port()));
        round_trip(&client).await;
    });
}

/// A client by hand.
fn raw(broker: &BrokerThread, hello: &str) -> TcpStream {
    let mut stream = TcpStream::connect(broker.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"CONNECT {\"verbose\":false}\r\n").unwrap();
    stream.write_all(hello.as_bytes()).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"PONG\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        seen.extend_from_slice(&byte);
    }
    stream
}

fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("an end of the stream, no reset");
    all
}

#[test]
fn a_slow_client_is_cut_off_while_others_go_on() {
    let limits = BrokerLimits { output_bytes: 1 << 20, ..BrokerLimits::default() };
    run_with(broker_with(limits), async |broker| {
        let mut slow = raw(broker, "SUB md.> 1\r\n");
        let (reader, writer) = (client(broker).await, client(broker).await);
        let mut all = subscribe(&reader, "md.>").await;
        let payload = vec![b'x'; 64 << 10];
        // Far more than both sockets' buffers and the bound hold.
        const COUNT: usize = 400;
        for _ in 0..COUNT {
            writer.publish("md.x", payload.clone().into()).await.unwrap();
            assert_eq!(next(&mut all).await.1.len(), payload.len());
        }
        let mut got = Vec::new();
        let end = slow.read_to_end(&mut got);
        assert!(got.len() < COUNT * payload.len() / 2, "{} bytes, then {end:?}", got.len());
        assert!(!got.windows(4).any(|window| window == b"-ERR"));
    });
}

#[test]
fn violations_end_the_connection_after_saying_why() {
    let broker = broker();
    let check = |input: &str, expected: &str| {
        let mut stream = raw(&broker, "");
        stream.write_all(input.as_bytes()).unwrap();
        assert_eq!(read_all(&mut stream).escape_ascii().to_string(), expected, "{input:?}");
    };
    check("GET / HTTP/1.1\r\nHost: x\r\n\r\n", r"-ERR \'Unknown Protocol Operation\'\r\n");
    check("PUB a 2000000\r\nmore and more", r"-ERR \'Maximum Payload Violation\'\r\n");
    check(
        "PUB a..b 1\r\n1\r\nnonsense\r\n",
        &[r"-ERR \'Invalid Publish Subject\'\r\n", r"-ERR \'Unknown Protocol Operation\'\r\n"].concat(),
    );
}

#[test]
fn more_clients_than_allowed_are_rejected() {
    let broker = broker_with(BrokerLimits { connections: 2, ..BrokerLimits::default() });
    let first = raw(&broker, "");
    let _second = raw(&broker, "");
    let mut third = TcpStream::connect(broker.address()).unwrap();
    third.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(read_all(&mut third), b"-ERR 'maximum connections exceeded'\r\n");
    drop(first);
    // Its place is free as soon as the broker has seen the end.
    let again = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        let mut stream = TcpStream::connect(broker.address()).unwrap();
        let mut start = [0; 4];
        stream.read_exact(&mut start).is_ok() && &start == b"INFO"
    });
    assert!(again);
}

#[test]
fn the_port_is_its_own_and_free_again_after_the_end() {
    let broker = broker();
    let mut client = raw(&broker, "");
    let port = broker.address().port();
    let error = BrokerServer::bind("127.0.0.1", port).unwrap_err().to_string();
    assert!(error.contains(&port.to_string()) && error.contains("taken"), "{error}");
    let next = BrokerServer::bind_free("127.0.0.1", port).unwrap();
    assert!(next.local_addr().port() > port);
    drop(broker);
    assert_eq!(read_all(&mut client), b"");
    assert_eq!(BrokerServer::bind_free("127.0.0.1", port).unwrap().local_addr().port(), port);
}

#[test]
fn publications_from_within_reach_clients() {
    let server = BrokerServer::bind("127.0.0.1", 0).unwrap();
    let thread = server.spawn(
        1,
        |_| (),
        |hub, stop| async move {
            while !stop.is_set() {
                hub.publish(b"md.tick", b"{}");
                sleep(Duration::from_millis(1)).await;
            }
        },
    );
    run_with(thread.unwrap(), async |broker| {
        let client = client(broker).await;
        let mut all = subscribe(&client, "md.>").await;
        for _ in 0..20 {
            assert_eq!(next(&mut all).await, ("md.tick".to_owned(), b"{}".to_vec()));
        }
    });
}
