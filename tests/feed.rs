//! `feed`, as a process, against the embedded broker.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_nats::Subscriber;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_lite::StreamExt;
use proto_nats::{ClientOp, DecodeLimits, Decoded, decode_client_op};
use senpai_md_consumer::broker::server::{BrokerServer, BrokerThread};
use senpai_md_consumer::engine::time::UnixNanos;
use senpai_md_consumer::market::generator::Market;
use senpai_md_consumer::recording::rebase::event_time;
use socket2::{Domain, Socket, Type};

/// No test waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);
const SECOND: i64 = 1_000_000_000;
/// 2024-07-18, as the recordings have it.
const RECORDED: UnixNanos = UnixNanos(1_721_347_022 * SECOND);

type Event = (String, String);

/// The first events of a generated market.
fn events(count: usize) -> Vec<Event> {
    let mut market = Market::new(1, "md.events");
    let mut payload = Vec::new();
    let mut next = |_| {
        let subject = market.next_event(RECORDED, &mut payload).subject.to_owned();
        (subject, String::from_utf8(payload.clone()).unwrap())
    };
    (0..count).map(&mut next).collect()
}

fn lines(events: &[Event]) -> String {
    events.iter().map(|(subject, payload)| format!("{{\"subject\":\"{subject}\",\"payload\":{payload}}}\n")).collect()
}

struct Feed {
    broker: BrokerThread,
    directory: tempfile::TempDir,
}

impl Feed {
    fn new() -> Feed {
        let server = BrokerServer::bind("127.0.0.1", 0).expect("a free port");
        Feed { broker: server.spawn(1, |_| (), |_, _| async {}).unwrap(), directory: tempfile::tempdir().unwrap() }
    }

    fn command(&self, text: &str, arguments: &[&str]) -> Command {
        let file = self.directory.path().join("recording.jsonl");
        std::fs::write(&file, text).unwrap();
        command(&file, &self.broker.url(), arguments)
    }

    /// Feeds `text`, with what arrives at a subscriber: exactly `count` events.
    fn run(&self, text: &str, arguments: &[&str], count: usize) -> (Output, Vec<Event>) {
        let mut command = self.command(text, arguments);
        let mut output = None;
        let events = self.listen(async |mut all| {
            output = Some(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap());
            take(&mut all, count).await
        });
        (output.unwrap(), events)
    }

    /// Starts a feed and waits for its first event.
    fn start(&self, command: &mut Command) -> Running {
        self.listen(async |mut all| {
            let running = Running(command.spawn().unwrap());
            all.next().await.unwrap();
            running
        })
    }

    fn listen<T>(&self, test: impl AsyncFnOnce(Subscriber) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let within = tokio::time::timeout(PATIENCE, async {
                let client = async_nats::ConnectOptions::new().subscription_capacity(1 << 20);
                let client = client.connect(self.broker.url()).await.unwrap();
                let all = client.subscribe("md.>").await.unwrap();
                // A message to oneself comes back after the subscription has been taken.
                let mut own = client.subscribe("own").await.unwrap();
                client.publish("own", "".into()).await.unwrap();
                own.next().await.unwrap();
                test(all).await
            });
            within.await.expect("in time")
        })
    }
}

fn command(file: &Path, url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_senpai-md-consumer"));
    command.arg("feed").arg(file).args(arguments).env("NATS_URL", url).current_dir(file.parent().unwrap());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn take(all: &mut Subscriber, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        let message = all.next().await.expect("an event");
        events.push((message.subject.to_string(), String::from_utf8(message.payload.to_vec()).unwrap()));
    }
    if let Ok(more) = tokio::time::timeout(Duration::from_millis(50), all.next()).await {
        panic!("one too many: {more:?}");
    }
    events
}

fn check_success(output: &Output) -> String {
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    log
}

#[test]
fn all_events_arrive_in_order_as_they_are() {
    let feed = Feed::new();
    let sent = events(5_000);
    let (output, arrived) = feed.run(&lines(&sent), &["--speed", "max"], sent.len());
    assert!(arrived == sent);
    let log = check_success(&output);
    assert!(log.contains("5000 events in 1 pass; 0 lines skipped"), "{log}");
}

#[test]
fn gzip_is_read_as_such() {
    let feed = Feed::new();
    let sent = events(100);
    let file = feed.directory.path().join("recording.bin");
    let mut gzip = GzEncoder::new(std::fs::File::create(&file).unwrap(), Compression::default());
    gzip.write_all(lines(&sent).as_bytes()).unwrap();
    gzip.finish().unwrap();
    let mut command = command(&file, &feed.broker.url(), &["--speed", "max"]);
    let arrived = feed.listen(async |mut all| {
        check_success(&command.output().unwrap());
        take(&mut all, 100).await
    });
    assert!(arrived == sent);
}

#[test]
fn loops_count() {
    let feed = Feed::new();
    let sent = events(3_000);
    let (output, arrived) = feed.run(&lines(&sent), &["--speed", "max", "--loop", "3"], 3 * sent.len());
    assert!(arrived.chunks(sent.len()).all(|pass| pass == sent));
    let log = check_success(&output);
    assert!(log.contains("9000 events in 3 passes"), "{log}");
}

fn now() -> UnixNanos {
    UnixNanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64)
}

#[test]
fn rebased_passes_begin_now_and_go_on_where_the_last_ended() {
    let feed = Feed::new();
    let sent = events(1_000);
    let begin = now();
    let (output, arrived) = feed.run(&lines(&sent), &["--speed", "max", "--rebase", "--loop", "3"], 3 * sent.len());
    let times = |events: &[Event]| -> Vec<i64> {
        events.iter().map(|(_, payload)| event_time(payload.as_bytes()).unwrap().0).collect()
    };
    let (recorded, rebased) = (times(&sent), times(&arrived));
    assert!((begin.0..=now().0).contains(&rebased[0]), "{} of {}..{}", rebased[0], begin.0, now().0);
    for pass in rebased.chunks(sent.len()) {
        // To the microsecond, which is what the texts have.
        assert!(pass.iter().zip(&recorded).all(|(a, b)| ((a - pass[0]) - (b - recorded[0])).abs() <= 1_000));
    }
    let span = recorded[recorded.len() - 1] - recorded[0];
    for pass in 1..3 {
        let gap = rebased[pass * 1_000] - rebased[pass * 1_000 - 1];
        assert!((gap - span / 999).abs() < 10_000, "{gap} against {}", span / 999);
    }
    // Subjects and everything but the times are as they were.
    for ((subject, payload), (sent_subject, sent_payload)) in arrived.iter().zip(&sent) {
        assert_eq!((subject, payload.len()), (sent_subject, sent_payload.len()));
        let differing = payload.bytes().zip(sent_payload.bytes()).filter(|(a, b)| a != b).count();
        assert!(differing < 2 * 26, "{payload} {sent_payload}");
    }
    assert!(check_success(&output).contains("ahead of the clock"));
}

/// Events `offsets` ms apart, as numbers of ms.
fn timed(offsets_ms: &[i64]) -> String {
    let line =
        |offset| format!("{{\"subject\":\"md.x\",\"payload\":{{\"ts\":{}}}}}\n", RECORDED.0 / 1_000_000 + offset);
    offsets_ms.iter().map(line).collect()
}

#[test]
fn the_pace_is_the_recorded_one_times_the_speed() {
    let feed = Feed::new();
    let check = |arguments: &[&str], expected: &[u64]| {
        let mut command = feed.command(&timed(&[0, 200, 100, 200, 600]), arguments);
        let (mut running, arrivals) = feed.listen(async |mut all| {
            let running = Running(command.spawn().unwrap());
            let mut arrivals = Vec::new();
            while arrivals.len() < expected.len() {
                all.next().await.unwrap();
                arrivals.push(Instant::now());
            }
            (running, arrivals)
        });
        assert!(running.0.wait().unwrap().success());
        let found: Vec<_> = arrivals.iter().map(|at| at.duration_since(arrivals[0]).as_millis() as u64).collect();
        // A busy machine is late; nothing may be early, but the first may have arrived late.
        assert!(found.iter().zip(expected).all(|(f, e)| f + 60 >= *e && *f < e + 200), "{found:?} {expected:?}");
    };
    check(&[], &[0, 200, 200, 200, 600]);
    check(&["--speed", "2"], &[0, 100, 100, 100, 300]);
    check(&["--loop", "2"], &[0, 200, 200, 200, 600, 750, 950, 950, 950, 1350]);
}

#[test]
fn lines_that_cannot_be_published_are_said_and_skipped() {
    let feed = Feed::new();
    let long = "x".repeat(1 << 20);
    let text = format!(
        "nonsense\n{{\"subject\":\"md.*\",\"payload\":1}}\n{{\"subject\":\"md.a\",\"payload\":\"{long}\"}}\n\
         {{\"subject\":\"md.b\",\"payload\":{{\"x\": 1}}}}\n"
    );
    let (output, arrived) = feed.run(&text, &[], 1);
    assert_eq!(arrived, [("md.b".to_owned(), "{\"x\": 1}".to_owned())]);
    let log = check_success(&output);
    assert!(log.contains("line 1: no record: it is no JSON object"), "{log}");
    assert!(log.contains("line 2: cannot be sent: that is no subject to publish to (md.*)"), "{log}");
    assert!(log.contains("line 3: cannot be sent: its payload is more than the server takes (1048578 bytes"), "{log}");
    assert!(log.contains("3 lines skipped"), "{log}");
}

fn check_failure(output: &Output, expected: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    let last = error.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: ") && last.contains(expected), "{error}");
}

#[test]
fn what_fails_is_one_clear_line() {
    let feed = Feed::new();
    let missing = feed.directory.path().join("missing.jsonl");
    check_failure(&command(&missing, &feed.broker.url(), &[]).output().unwrap(), "cannot read");
    check_failure(&feed.command("", &["--loop", "0"]).output().unwrap(), "holds no record");
    let unpublishable = "{\"subject\":\"md.*\",\"payload\":1}";
    for loops in ["0", "1"] {
        check_failure(&feed.command(unpublishable, &["--loop", loops]).output().unwrap(), "holds nothing to play");
    }

    // A port without a listener, and one whose listener does not speak NATS.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = feed.directory.path().join("recording.jsonl");
    std::fs::write(&file, timed(&[0])).unwrap();
    let url = format!("nats://bob:hunter2@{closed}");
    let output = command(&file, &url, &[]).output().unwrap();
    check_failure(&output, &format!("nats://{closed}: connection refused"));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));

    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = http.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = http.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    check_failure(&command(&file, &address.to_string(), &[]).output().unwrap(), "no known NATS operation");
    answering.join().unwrap();

    // The first server that can be reached is taken.
    let urls = format!("nats://{closed},{}", feed.broker.url());
    check_success(&command(&file, &urls, &[]).output().unwrap());
}

/// Killed on failure.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn interrupt(process: &Child) {
    assert!(Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap().success());
}

#[test]
fn an_interrupt_is_a_good_end() {
    let feed = Feed::new();
    let mut running = feed.start(&mut feed.command(&timed(&[0, 60_000]), &["--loop", "0"]));
    let begin = Instant::now();
    interrupt(&running.0);
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_server_that_goes_away_is_waited_for_until_the_stop() {
    let mut feed = Feed::new();
    let mut running = feed.start(&mut feed.command(&timed(&[0, 100, 60_000]), &[]));
    // Another broker takes its place in the fixture; the one that feed is connected to ends.
    let other = BrokerServer::bind("127.0.0.1", 0).unwrap().spawn(1, |_| (), |_, _| async {}).unwrap();
    drop(std::mem::replace(&mut feed.broker, other));
    let mut log = BufReader::new(running.0.stderr.take().unwrap());
    let mut told = String::new();
    while !told.contains("closed the connection") {
        assert_ne!(log.read_line(&mut told).unwrap(), 0, "{told}");
    }
    interrupt(&running.0);
    log.read_to_string(&mut told).unwrap();
    assert_eq!(running.0.wait().unwrap().code(), Some(1), "{told}");
    let last = told.lines().last().unwrap();
    assert!(last.contains("stopped; ") && last.contains("events were not sent, or not confirmed"), "{told}");
}

/// What a connection's buffers hold is lost with it. Small ones, or a fast client has sent all before the last cut.
const RECEIVE_BUFFER_BYTES: usize = 64 << 10;

/// A NATS server that ends each connection after it has read so many bytes; the numbers that it has taken, in their order.
/// It ends after the last of them.
fn cutting(cuts: Vec<usize>) -> (std::net::SocketAddr, std::thread::JoinHandle<Vec<u64>>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // Those that it accepts have it from the listener.
    listener.set_recv_buffer_size(RECEIVE_BUFFER_BYTES).unwrap();
    listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(16).unwrap();
    let listener = TcpListener::from(listener);
    let address = listener.local_addr().unwrap();
    let taking = std::thread::spawn(move || {
        let mut taken = Vec::new();
        for cut in cuts {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let _ = stream.write_all(b"INFO {\"max_payload\":1048576}\r\n");
            let (mut bytes, mut unread, mut total) = ([0; 4096], Vec::new(), 0);
            // A client that has gone, in whichever way, is this connection's end.
            while total < cut
                && let Ok(len @ 1..) = stream.read(&mut bytes)
            {
                total += len;
                unread.extend_from_slice(&bytes[..len]);
                let mut at = 0;
                while let Ok(Decoded::Op { op, len }) = decode_client_op(&unread[at..], &DecodeLimits::default()) {
                    at += len;
                    match op {
                        ClientOp::Ping => drop(stream.write_all(b"PONG\r\n")),
                        ClientOp::Pub { payload, .. } => {
                            let value: serde_json::Value = serde_json::from_slice(payload).unwrap();
                            taken.push(value["n"].as_u64().unwrap());
                        }
                        _ => {}
                    }
                }
                unread.drain(..at);
            }
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        taken
    });
    (address, taking)
}

/// It connects again and goes on with the first frame that was not handed over whole; what may be lost is said, and is no
/// less than what is.
#[test]
fn a_connection_that_ends_is_replaced_and_what_may_be_lost_is_said() {
    // More than four sending buffers hold (4 MB each at most, with Linux's tcp_wmem): there is something left to send after
    // each cut.
    const EVENTS: u64 = 20_000;
    let text: String = (0..EVENTS)
        .map(|n| {
            format!(
                "{{\"subject\":\"md.events.trade.A\",\"payload\":{{\"n\":{n},\"pad\":\"{}\"}}}}\n",
                "x".repeat(1200)
            )
        })
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("recording.jsonl");
    std::fs::write(&file, text).unwrap();
    let (address, taking) = cutting(vec![100_000, 700_001, 300, 900_000, usize::MAX]);
    let output = command(&file, &format!("nats://{address}"), &["--speed", "max"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    // One that still waits for a connection has those that it waits for.
    while !taking.is_finished() {
        let _ = TcpStream::connect(address);
    }
    let taken = taking.join().unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(taken.is_sorted_by(|one, next| one < next), "none comes twice or out of order");
    let lost = EVENTS - taken.len() as u64;
    let words = told.lines().find(|line| line.contains("may be lost")).expect(&told);
    assert!(words.starts_with("connected again 4 times; up to "), "{words}");
    let maybe: u64 = words.split(' ').nth(6).unwrap().parse().expect(words);
    assert!((1..=maybe).contains(&lost), "{lost} are lost: {words}");
}

/// A server that greets with `start` and then sends `+OK` until its client has gone.
fn endless(start: &'static str) -> (std::net::SocketAddr, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sending = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(start.as_bytes());
        let begin = Instant::now();
        while stream.write_all(&b"+OK\r\n".repeat(10_000)).is_ok() {
            assert!(begin.elapsed() < PATIENCE, "it reads on and on");
        }
    });
    (address, sending)
}

/// Each is left at its first wrong word, however much it has to say, and the servers are tried in the order given.
#[test]
fn servers_that_refuse_are_left_at_once_in_the_order_given() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), timed(&[0])).unwrap();
    let refusal = "INFO {\"max_payload\":1048576}\r\n-ERR 'Authorization Violation'\r\n";
    let servers = [refusal, "INFO {\"max_payload\":1048576}\r\nJUNK\r\n", refusal, refusal].map(endless);
    let urls: Vec<String> = servers.iter().map(|(address, _)| format!("nats://{address}")).collect();
    let output = command(file.path(), &urls.join(","), &[]).output().unwrap();
    check_failure(&output, "no known NATS operation");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = error.lines().last().unwrap();
    let places: Vec<usize> = urls.iter().map(|url| told.find(url.as_str()).expect("each says why")).collect();
    assert!(places.is_sorted(), "{told}");
    servers.into_iter().for_each(|(_, sending)| sending.join().unwrap());
}

/// A batch of a looped recording is larger than what a server may ask for in answers.
#[test]
fn large_batches_are_not_taken_for_unread_answers() {
    let feed = Feed::new();
    let event = format!("{{\"subject\":\"md.events.trade.A\",\"payload\":\"{}\"}}\n", "x".repeat(6_000));
    let (output, events) = feed.run(&event.repeat(1_024), &["--loop", "2", "--speed", "max"], 2_048);
    check_success(&output);
    assert_eq!(events.len(), 2_048);
}
