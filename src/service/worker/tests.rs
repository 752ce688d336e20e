//! A worker whose session is told what a server would: what leaves when, and what becomes of it.

use super::*;
use crate::config::NatsArgs;
use crate::engine::counters::Unpublished;
use crate::engine::receipt::Receipt;
use crate::engine::time::UnixNanos;
use crate::nats::session::Output;
use crate::service::shard::SLICE_FRAMES;
use crate::service::shard::tests::{connection, stream_settings};
use proto_nats::{
    Cause, ClientOp, ConnectionSettings, DecodeLimits, Decoded, ServerAddress, ServerError, ServerOp, decode_client_op,
    encode,
};
use std::io::Write;

fn worker() -> Worker {
    worker_reading(None)
}

/// Reads a stream, or core NATS.
fn worker_reading(stream: Option<StreamSettings>) -> Worker {
    let server = ServerAddress::parse("a").expect("it is an address");
    let access = Access::new(NatsArgs::open(server, "test")).expect("nothing is to be read");
    let engine = EngineSettings { publish_interval: Some(1_000), ..EngineSettings::default() };
    let settings = WorkerSettings {
        stream,
        engine,
        ownership: Ownership::ALL,
        queue_bytes: 64 << 10,
        busy_poll: false,
        access: Arc::new(access),
        client_name: "test".into(),
        subjects: Vec::new(),
    };
    let board = AlertBoard::new(settings.engine.alerts, 1).expect("there is memory");
    Worker::new(&settings, board, Clock::start()).expect("there is memory")
}

/// Of a session's clock: far enough apart that every attempt is due.
const ATTEMPT_NS: u64 = 100 * NANOS_PER_SECOND as u64;

/// The next connection, from its first byte to Ready; what the handshake has to send is sent.
fn connect(worker: &mut Worker, number: u64, max_payload: u64) {
    connect_at(worker, number, max_payload, ATTEMPT_NS);
}

/// As `connect`; what waits is published at `publish_ns`.
fn connect_at(worker: &mut Worker, number: u64, max_payload: u64, publish_ns: u64) {
    let now_ns = number * ATTEMPT_NS;
    let Worker { session, shard, .. } = worker;
    let Some(Output::Connect { id, .. }) = session.poll_output(now_ns) else { panic!("an attempt") };
    session.handle_connected(id, ConnectionSettings::default(), None, now_ns);
    let info = format!("{{\"max_payload\":{max_payload}}}");
    for op in [ServerOp::Info(info.as_bytes()), ServerOp::Pong] {
        session.attempt(id).expect("it is under way").handle_op(&op, now_ns);
    }
    assert!(matches!(session.poll_output(now_ns), Some(Output::Serve(_))));
    assert!(shard.begin_connection(&[]));
    session.handle_op(&ServerOp::Pong, now_ns);
    assert!(matches!(session.poll_output(now_ns), Some(Output::Ready)));
    let len = session.bytes_to_send().len();
    session.note_sent(len, now_ns);
    worker.publish(publish_ns);
}

fn lose_connection(worker: &mut Worker) {
    worker.session.handle_end_of_stream(None, 0);
    assert!(matches!(worker.session.poll_output(0), Some(Output::Close { .. })));
    assert_eq!(worker.session.trouble().expect("the end").trouble.cause(), Cause::Trouble);
    worker.shard.engine.stall_output();
}

fn quote(worker: &mut Worker, symbol: &str, bid: f64, moment: i64) {
    let subject = format!("md.events.quote.{symbol}");
    let payload = format!("{{\"bid\":{bid},\"ask\":100}}");
    let receipt = Receipt::At(UnixNanos(moment));
    worker.shard.engine.handle_event(subject.as_bytes(), payload.as_bytes(), receipt).expect("it is well-formed");
}

/// Subject and payload of each publication that is to be sent.
fn publications(frames: &[u8]) -> Vec<(String, Vec<u8>)> {
    let (mut at, mut publications) = (0, Vec::new());
    while let Ok(Decoded::Op { op, len }) = decode_client_op(&frames[at..], &DecodeLimits::default()) {
        at += len;
        if let ClientOp::Pub { subject, payload, .. } = op {
            publications.push((String::from_utf8(subject.to_vec()).expect("text"), payload.to_vec()));
        }
    }
    publications
}

/// Symbol and mid of each.
fn to_send(worker: &Worker) -> Vec<(String, f64)> {
    let shown = publications(worker.session.bytes_to_send()).into_iter().map(|(_, payload)| {
        let document: serde_json::Value = serde_json::from_slice(&payload).expect("it is JSON");
        let symbol = document["symbol"].as_str().expect("a symbol").to_owned();
        (symbol, document["features"]["mid"].as_f64().expect("a mid"))
    });
    shown.collect()
}

fn published(worker: &Worker) -> u64 {
    let engine = &worker.shard.engine;
    let of_symbols: u64 = engine.symbols().after(None).map(|(_, state)| state.features_published).sum();
    assert_eq!(engine.counters.features_published, of_symbols);
    of_symbols
}

fn dropped(worker: &Worker) -> [u64; 2] {
    [Unpublished::Features, Unpublished::Signal].map(|what| worker.shard.engine.counters.publish_dropped[what as usize])
}

#[test]
fn what_a_connection_did_not_take_goes_on_the_next_one_unless_something_newer_does() {
    let mut worker = worker();
    connect(&mut worker, 1, 1 << 20);
    quote(&mut worker, "A", 90.0, 1_000_000);
    quote(&mut worker, "B", 92.0, 1_000_000);
    worker.publish(ATTEMPT_NS);
    quote(&mut worker, "A", 94.0, 2_000_000);
    worker.publish(ATTEMPT_NS);
    let sent = [("A".into(), 95.0), ("B".into(), 96.0), ("A".into(), 97.0)];
    assert_eq!(to_send(&worker), sent);
    assert_eq!(published(&worker), 3);

    // Nothing of it was sent; B moves on while there is no connection.
    lose_connection(&mut worker);
    assert!(to_send(&worker).is_empty());
    quote(&mut worker, "B", 98.0, 3_000_000);
    worker.publish(ATTEMPT_NS);
    connect(&mut worker, 2, 1 << 20);
    assert_eq!(to_send(&worker), [("A".into(), 97.0), ("B".into(), 99.0)]);
    assert_eq!(published(&worker), 2, "what is to be sent");
    assert_eq!(dropped(&worker), [2, 0], "what was overtaken was given up");

    // The next server takes less: counted, not sent.
    lose_connection(&mut worker);
    connect(&mut worker, 3, 10);
    assert!(to_send(&worker).is_empty());
    assert_eq!((published(&worker), dropped(&worker)), (0, [4, 0]));
    let [trouble] = &worker.session.report(ATTEMPT_NS).publish_troubles[..] else { panic!("one trouble") };
    assert!(trouble.starts_with("NATS takes 10 bytes at most (its max_payload)"), "{trouble}");

    // There is no next server.
    quote(&mut worker, "A", 96.0, 4_000_000);
    quote(&mut worker, "B", 96.0, 4_000_000);
    worker.give_up_outputs();
    assert_eq!((published(&worker), dropped(&worker)), (0, [6, 0]));
}

#[test]
fn signals_that_could_not_be_sent_in_time_are_not_sent() {
    const AGE_MAX: i64 = 5 * NANOS_PER_SECOND;
    let mut worker = worker();
    connect(&mut worker, 1, 1 << 20);
    let start = worker.shard.clock.now().0;
    let event = |worker: &mut Worker, kind: &str, symbol: &str, payload: &str, moment: i64| {
        let subject = format!("md.events.{kind}.{symbol}");
        let receipt = Receipt::At(UnixNanos(moment));
        worker.shard.engine.handle_event(subject.as_bytes(), payload.as_bytes(), receipt).expect("well-formed");
    };
    let begin = |worker: &mut Worker, symbols: &[&str], moment: i64| {
        for symbol in symbols {
            event(worker, "quote", symbol, "{\"bid\":99.99,\"ask\":100.01}", moment);
            event(worker, "trade", symbol, "{\"price\":100,\"size\":2}", moment);
        }
    };
    let signal = |worker: &mut Worker, symbol: &str, moment: i64| {
        event(worker, "trade", symbol, "{\"price\":101,\"size\":2}", moment);
    };
    let signals = |worker: &Worker| -> Vec<String> {
        let subjects = publications(worker.session.bytes_to_send()).into_iter().map(|(subject, _)| subject);
        subjects.filter_map(|subject| Some(subject.strip_prefix("senpai.signals.")?.to_owned())).collect()
    };
    let expired = |worker: &Worker| worker.shard.engine.counters.publish_dropped[Unpublished::SignalExpired as usize];
    let elapsed = |worker: &Worker, moment: i64| worker.shard.clock.elapsed_at(UnixNanos(moment));
    let first = start + 100 * NANOS_PER_SECOND;

    // The socket takes nothing: A waits in the send buffer, and is taken back before B, a ns younger.
    begin(&mut worker, &["A", "B"], first - 10 * NANOS_PER_SECOND);
    signal(&mut worker, "A", first);
    signal(&mut worker, "B", first + 1);
    let now_ns = elapsed(&worker, first + 1);
    worker.publish(now_ns);
    assert_eq!(signals(&worker), ["A", "B"]);
    let expire = |worker: &mut Worker, moment: i64| {
        let Worker { shard, session, .. } = worker;
        outputs::expire(&mut shard.engine, session, shard.clock.elapsed_at(UnixNanos(moment)));
    };
    expire(&mut worker, first + AGE_MAX - 1);
    assert_eq!(signals(&worker), ["A", "B"]);
    expire(&mut worker, first + AGE_MAX);
    assert_eq!((signals(&worker), expired(&worker)), (vec!["B".into()], 1));
    expire(&mut worker, first + AGE_MAX + 1);
    assert_eq!((signals(&worker), expired(&worker)), (vec![], 2));

    // There is no connection: C and D were in the send buffer, E and F wait as values.
    let later = first + 100 * NANOS_PER_SECOND;
    begin(&mut worker, &["C", "D", "E", "F"], later - 10 * NANOS_PER_SECOND);
    signal(&mut worker, "C", later);
    signal(&mut worker, "D", later + 2);
    let now_ns = elapsed(&worker, later + 2);
    worker.publish(now_ns);
    lose_connection(&mut worker);
    signal(&mut worker, "E", later + 3);
    signal(&mut worker, "F", later + 5);
    let now_ns = elapsed(&worker, later + AGE_MAX + 1);
    connect_at(&mut worker, 4, 1 << 20, now_ns);
    assert_eq!((signals(&worker), expired(&worker)), (["D", "E", "F"].map(str::to_owned).into(), 3));
    lose_connection(&mut worker);
    begin(&mut worker, &["G"], later + 10 * NANOS_PER_SECOND);
    signal(&mut worker, "G", later + 20 * NANOS_PER_SECOND);
    let now_ns = elapsed(&worker, later + 20 * NANOS_PER_SECOND + AGE_MAX);
    connect_at(&mut worker, 5, 1 << 20, now_ns);
    assert_eq!((signals(&worker), expired(&worker)), (vec![], 7));
}

/// One read is one moment, however many slices it takes: a signal in the last of them leaves before the snapshots of
/// the first.
#[test]
fn snapshots_wait_for_the_signals_of_their_read() {
    let mut worker = worker();
    connect(&mut worker, 1, 1 << 20);
    let read = |worker: &mut Worker, moment: i64, events: &[(&str, &str)]| {
        let mut frames = Vec::new();
        for (subject, payload) in events {
            encode::msg(&mut frames, subject.as_bytes(), b"1", None, None, payload.as_bytes());
        }
        worker.shard.push_read(&frames, UnixNanos(moment));
        let mut published: Vec<Vec<String>> = Vec::new();
        loop {
            let is_drained = worker.take_slice().expect("it is well-formed");
            let frames = worker.session.bytes_to_send();
            published.push(publications(frames).into_iter().map(|(subject, _)| subject).collect());
            worker.session.note_sent(frames.len(), ATTEMPT_NS);
            if is_drained {
                return published;
            }
        }
    };
    let now = worker.shard.clock.now().0;
    let start =
        [("md.events.quote.A", "{\"bid\":99.99,\"ask\":100.01}"), ("md.events.trade.A", "{\"price\":100,\"size\":2}")];
    read(&mut worker, now, &start);
    let mut events = vec![("md.events.quote.B", "{\"bid\":1,\"ask\":2}"); SLICE_FRAMES as usize];
    events.push(("md.events.trade.A", "{\"price\":101,\"size\":2}"));
    let [.., first, last] = &read(&mut worker, now + 11 * NANOS_PER_SECOND, &events)[..] else { panic!("two slices") };
    assert_eq!(first[..], ["senpai.features.A"], "the snapshot that was due before");
    assert_eq!(last[..], ["senpai.signals.A", "senpai.features.B", "senpai.features.A"]);
    // At a stop nothing is held back.
    read(&mut worker, now + 12 * NANOS_PER_SECOND, &events[..1]);
    worker.shard.engine.set_moment_open(true);
    quote(&mut worker, "C", 1.0, now + 13 * NANOS_PER_SECOND);
    worker.give_up_outputs();
    assert_eq!(dropped(&worker), [1, 0]);
}

/// An alert about a provider, which is judged when its moment comes, is no exception.
#[test]
fn the_alerts_of_a_read_leave_before_its_snapshots() {
    let mut worker = worker();
    connect(&mut worker, 1, 1 << 20);
    let moment = worker.shard.clock.now();
    let ahead = format!(r#"{{"provider":"p","ts_recv":{},"bid":1,"ask":2}}"#, moment.0 + 60 * NANOS_PER_SECOND);
    let mut frames = Vec::new();
    encode::msg(&mut frames, b"md.events.quote.A", b"1", None, None, ahead.as_bytes());
    worker.shard.push_read(&frames, moment);
    assert!(worker.take_slice().expect("it is well-formed"));
    let subjects = publications(worker.session.bytes_to_send()).into_iter().map(|(subject, _)| subject);
    assert_eq!(subjects.collect::<Vec<_>>(), ["senpai.alerts", "senpai.features.A"]);
}

/// After a pause of the process the engine's time is old: the alert has the moment at which the cut is noticed.
#[test]
fn a_cut_is_told_at_the_moment_at_which_it_is_noticed() {
    let mut worker = worker();
    connect_at(&mut worker, 0, 1 << 20, 0);
    let before = worker.shard.clock.now();
    quote(&mut worker, "A", 90.0, before.0 - 60 * NANOS_PER_SECOND);
    worker.session.handle_op(&ServerOp::Err(b"Slow Consumer"), 0);
    worker.session.handle_end_of_stream(None, 0);
    while worker.session.slow_consumer_cuts() == 0 {
        assert!(worker.session.poll_output(0).is_some(), "it takes note of it");
    }
    worker.handle_time();
    let [alert] = worker.shard.engine.alert_board().firing_of_process()[..] else { panic!("it fires") };
    assert!(alert.ts >= before, "{alert:?}");
}

#[test]
fn alerts_wait_for_the_next_connection_each_of_them() {
    let mut worker = worker();
    connect(&mut worker, 1, 1 << 20);
    let sent = |worker: &Worker| -> Vec<String> {
        let kind = |payload: &[u8]| -> serde_json::Value { serde_json::from_slice(payload).expect("it is JSON") };
        let alerts = publications(worker.session.bytes_to_send());
        assert!(alerts.iter().all(|(subject, _)| subject == "senpai.alerts"));
        alerts.iter().map(|(_, payload)| kind(payload)["kind"].as_str().expect("a kind").to_owned()).collect()
    };
    worker.shard.engine.note_slow_consumer(1);
    worker.publish(ATTEMPT_NS);
    assert_eq!(sent(&worker), ["nats_slow_consumer"]);
    lose_connection(&mut worker);
    worker.shard.engine.note_backpressure(0.9);
    worker.publish(ATTEMPT_NS);
    connect(&mut worker, 2, 1 << 20);
    assert_eq!(sent(&worker), ["nats_slow_consumer", "backpressure"]);
    assert_eq!(worker.shard.engine.counters.publish_dropped, [0; Unpublished::ALL.len()]);
}

#[test]
fn only_messages_end_the_silence() {
    let mut worker = worker();
    connect(&mut worker, 1, 1 << 20);
    assert_eq!(worker.shard.silence_ns(5), u64::MAX);
    let take = |worker: &mut Worker, frames: &[u8]| {
        let moment = worker.shard.clock.now();
        worker.shard.push_read(frames, moment);
        assert!(matches!(worker.take_slice(), Ok(true)));
        worker.shard.silence_ns(u64::MAX - 1)
    };
    assert_eq!(take(&mut worker, b"PING\r\nINFO {}\r\n"), u64::MAX);
    let silence_ns = take(&mut worker, b"MSG md.events.heartbeat.A 1 2\r\n{}\r\n");
    assert!(silence_ns < u64::MAX);
    assert_eq!(take(&mut worker, b"PING\r\n"), silence_ns);
}

#[test]
fn refused_publications_are_counted_and_said() {
    let mut worker = worker();
    connect(&mut worker, 1, 1 << 20);
    quote(&mut worker, "A", 90.0, 1_000_000);
    worker.publish(ATTEMPT_NS);
    for subject in
        ["senpai.features.A", "senpai.features.NONE", "senpai.signals.A", "senpai.alerts", "senpai.alerts.A", ""]
    {
        let refusal = format!("Permissions Violation for Publish to \"{subject}\"");
        worker.session.handle_op(&ServerOp::Err(refusal.as_bytes()), ATTEMPT_NS);
        let Some(Output::Complaint(error)) = worker.session.poll_output(ATTEMPT_NS) else { panic!("a complaint") };
        let ServerError::PermissionsViolation { subject, .. } = error else { panic!("a refusal") };
        outputs::note_refused(&mut worker.shard.engine, &subject);
    }
    assert_eq!((published(&worker), dropped(&worker)), (0, [1, 1]), "the refused snapshot does not count as published");
    assert_eq!(worker.shard.engine.counters.publish_dropped[Unpublished::Alert as usize], 1);
    let report = worker.session.report(ATTEMPT_NS);
    assert!(report.is_ready && report.trouble.is_none());
    let [trouble] = &report.publish_troubles[..] else { panic!("one trouble: {report:?}") };
    assert!(trouble.starts_with("NATS refuses to take 6 subjects, "), "{trouble}");
    let later = worker.session.report(ATTEMPT_NS + 61 * NANOS_PER_SECOND as u64);
    assert!(later.publish_troubles.is_empty(), "the server says nothing when it grants a permission");
}

/// Also where frames are left, of a stream as well: what the socket still holds may be the server's reason.
#[test]
fn what_had_arrived_by_the_end_of_a_connection_is_taken() {
    for stream in [None, Some(stream_settings())] {
        let mut worker = worker_reading(stream);
        connect(&mut worker, 1, 1 << 20);
        let (mut transport, mut server, _) = connection();
        let pings = SLICE_FRAMES as usize + 10;
        let moment = worker.shard.clock.now();
        worker.shard.push_read("PING\r\n".repeat(pings).as_bytes(), moment);
        assert!(matches!(worker.take_slice(), Ok(false)));
        server.write_all(b"PING\r\n").expect("the socket takes it");
        drop(server);
        transport.wait(false, std::time::Duration::from_secs(60));
        worker.finish_input(&mut transport);
        let sent = String::from_utf8_lossy(worker.session.bytes_to_send()).matches("PONG\r\n").count();
        assert_eq!(sent, pings + 1);
    }
}

#[test]
fn only_many_messages_of_the_present_are_late_ones() {
    let late = ReaderReport {
        phase: Phase::Live,
        has_caught_up: true,
        pending: LATE_MESSAGES,
        lag_ns: Some(LATE_NS),
        ..ReaderReport::default()
    };
    assert!(is_late(&late));
    for report in [
        ReaderReport { pending: LATE_MESSAGES - 1, ..late },
        ReaderReport { lag_ns: Some(LATE_NS - 1), ..late },
        ReaderReport { lag_ns: None, ..late },
        ReaderReport { phase: Phase::CatchingUp, ..late },
        ReaderReport { phase: Phase::Preparing, ..late },
    ] {
        assert!(!is_late(&report), "{report:?}");
    }
    assert!(!worker().reads_late(u64::MAX), "core NATS");
}
