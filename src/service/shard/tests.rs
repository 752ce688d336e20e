//! Being behind, how far the buffer opens up, and when a stream stored what it brings.

use super::*;
use std::io::Write;
use std::net::{TcpListener, TcpStream};

use proto_nats::jetstream::ReaderSettings;
use proto_nats::{ClientOp, Decoded, ServerAddress, decode_client_op, encode};

use crate::engine::time::encode_time;
use crate::nats::session::{Output, SessionSettings, StreamSettings};

const QUEUE_BYTES: usize = 8 << 20;

/// The two ends of a connection, and where it leads to.
pub fn connection() -> (Transport, TcpStream, ServerAddress) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let server = ServerAddress::parse(&listener.local_addr().expect("it is bound").to_string()).expect("an address");
    let socket = TcpStream::connect(server.endpoint()).expect("it listens");
    let transport = Transport::new(socket).expect("it is a socket");
    let (stream, _) = listener.accept().expect("it was connected to");
    (transport, stream, server)
}

/// A shard, the two ends of its connection, and a session that takes messages.
fn connected() -> (Shard, Transport, TcpStream, Session<Publication>) {
    let (transport, stream, server) = connection();
    let engine = EngineSettings { symbols_max: 4, window_trades: 100, ..EngineSettings::default() };
    let board = AlertBoard::new(engine.alerts, 1).expect("there is memory");
    let shard = Shard::new(engine, board, Ownership::ALL, QUEUE_BYTES, Clock::start()).expect("there is memory");
    let settings = SessionSettings {
        servers: vec![server],
        discovers: true,
        stream: None,
        subjects: vec!["md.events.>".into()],
        seed: None,
        drain_limit_ns: 1,
        write_limit_ns: u64::MAX,
    };
    let mut session = Session::new(settings).expect("there is memory");
    let Some(Output::Connect { id, .. }) = session.poll_output(0) else { panic!("it wants to connect") };
    session.handle_connected(id, proto_nats::ConnectionSettings::default(), None, 0);
    for op in [ServerOp::Info(b"{}"), ServerOp::Pong] {
        session.attempt(id).expect("it is under way").handle_op(&op, 0);
    }
    assert!(session.poll_output(0).is_some(), "the attempt serves");
    assert!(session.takes_messages());
    (shard, transport, stream, session)
}

/// What a session is to read of a stream.
pub fn stream_settings() -> StreamSettings {
    let reader = ReaderSettings {
        stream: "MD".into(),
        domain: None,
        filters: vec!["md.events.>".into()],
        subjects: vec!["md.events.>".into()],
        creates_stream: false,
        max_age_ns: 0,
        max_bytes: 0,
        rolling_window_ns: 60 * NANOS_PER_SECOND as u64,
        description: String::new(),
    };
    StreamSettings { reader, lag_max_ns: u64::MAX }
}

/// Reads until there is something, or the end.
fn read(shard: &mut Shard, transport: &mut Transport, session: &Session<Publication>) -> ReadOutcome {
    let start_ns = shard.clock.elapsed_ns();
    while shard.clock.elapsed_ns() - start_ns < 60 * NANOS_PER_SECOND as u64 {
        transport.wait(false, std::time::Duration::from_secs(1));
        let outcome = shard.read(transport, session);
        if outcome != ReadOutcome::Nothing {
            return outcome;
        }
    }
    panic!("nothing is read")
}

#[test]
fn what_is_left_in_the_socket_is_being_behind() {
    let (mut shard, mut transport, mut stream, mut session) = connected();
    assert!(shard.read(&mut transport, &session) == ReadOutcome::Nothing && !shard.is_behind(), "there is nothing");
    stream.write_all(b"PING\r\n").expect("the socket takes it");
    assert!(
        read(&mut shard, &mut transport, &session) == ReadOutcome::Some && !shard.is_behind(),
        "a few bytes are all"
    );
    assert!(shard.take_slice(&mut session).is_ok_and(|slice| slice.is_drained));

    // Twice what the buffer holds, in frames that no read brings as a whole.
    let frame = format!("MSG md.events.book_l2.A 1 {0}\r\n{1}\r\n", 2 * READ_BYTES, " ".repeat(2 * READ_BYTES));
    let count = 2 * QUEUE_BYTES as u64 / frame.len() as u64;
    let writing = std::thread::spawn(move || (0..count).try_for_each(|_| stream.write_all(frame.as_bytes())));
    while read(&mut shard, &mut transport, &session) != ReadOutcome::BufferFull {}
    assert!(shard.is_behind());
    let drained_ns = shard.drained_ns;
    let mut messages = 0;
    loop {
        let slice = shard.take_slice(&mut session).expect("it is the protocol");
        messages += slice.messages;
        if slice.is_drained {
            break;
        }
    }
    assert!(messages > 1 && shard.drained_ns == drained_ns, "what is left in the socket waits as well");
    loop {
        let outcome = read(&mut shard, &mut transport, &session);
        while let Ok(Slice { messages: more @ 1.., .. }) = shard.take_slice(&mut session) {
            messages += more;
        }
        if outcome == ReadOutcome::Ended && !shard.is_behind() {
            break;
        }
    }
    writing.join().expect("it does not panic").expect("all was read");
    assert!(messages == count && shard.drained_ns > drained_ns);
}

/// The session ends the connection by itself while messages wait in the buffer: they are taken all the same.
#[test]
fn what_had_arrived_by_the_end_is_taken() {
    let (mut shard, mut transport, mut stream, mut session) = connected();
    stream.write_all("MSG md.events.trade.A 1 2\r\n{}\r\n".repeat(3).as_bytes()).expect("the socket takes it");
    assert!(read(&mut shard, &mut transport, &session) == ReadOutcome::Some);
    session.handle_unusable(proto_nats::Reason::TakesNothing { for_ns: 1 });
    assert!(session.has_ended());
    assert!(shard.take_slice(&mut session).is_ok_and(|slice| slice.messages == 3 && slice.is_drained));
}

#[test]
fn the_buffer_opens_up_by_time_and_by_volume() {
    let (mut shard, ..) = connected();
    let start_ns = shard.drained_ns;
    assert_eq!(shard.opened_bytes(start_ns), 0);
    assert_eq!(shard.opened_bytes(start_ns + OPENING_NS / 4), QUEUE_BYTES / 4);
    assert_eq!(shard.opened_bytes(start_ns + 2 * OPENING_NS), QUEUE_BYTES);
    shard.bytes_read = OPENING_BYTES / 2;
    assert_eq!(shard.opened_bytes(start_ns), QUEUE_BYTES / 2);
    assert_eq!(shard.opened_bytes(start_ns + OPENING_NS / 4), QUEUE_BYTES / 2, "whichever is more");
    shard.bytes_read = 3 * OPENING_BYTES;
    assert_eq!(shard.opened_bytes(start_ns), QUEUE_BYTES);
    shard.note_idle();
    assert_eq!(shard.opened_bytes(shard.drained_ns), 0, "both begin anew");
    assert!(shard.begin_connection(&[]));
    assert_eq!(shard.opened_bytes(shard.drained_ns), 0);
}

/// A shard with a session that has caught up with a stream whose server's clock is this machine's, and the name of its consumer.
fn reading_a_stream() -> (Shard, Session<Publication>, String) {
    let engine = EngineSettings { symbols_max: 4, window_trades: 100, ..EngineSettings::default() };
    let board = AlertBoard::new(engine.alerts, 1).expect("there is memory");
    let mut shard = Shard::new(engine, board, Ownership::ALL, QUEUE_BYTES, Clock::start()).expect("there is memory");
    let settings = SessionSettings {
        servers: vec![ServerAddress::parse("server").expect("an address")],
        discovers: false,
        stream: Some(stream_settings()),
        subjects: Vec::new(),
        seed: Some(1),
        drain_limit_ns: 1,
        write_limit_ns: u64::MAX,
    };
    let mut session = Session::new(settings).expect("there is memory");
    let now_ns = shard.clock.elapsed_ns();
    let Some(Output::Connect { id, .. }) = session.poll_output(now_ns) else { panic!("it wants to connect") };
    session.handle_connected(id, proto_nats::ConnectionSettings::default(), None, now_ns);
    for op in [ServerOp::Info(b"{}"), ServerOp::Pong] {
        session.attempt(id).expect("it is under way").handle_op(&op, now_ns);
    }
    assert!(matches!(session.poll_output(now_ns), Some(Output::Serve(_))));
    session.handle_op(&ServerOp::Pong, now_ns);
    assert!(matches!(session.poll_output(now_ns), Some(Output::Ready)));
    let mut consumer = String::new();
    while !session.stream().is_some_and(StreamReader::has_caught_up) {
        let now_ns = shard.clock.elapsed_ns();
        session.ask_stream(shard.room_bytes(), now_ns);
        let now = String::from_utf8(encode_time(shard.clock.now()).into()).expect("text");
        let (asked, mut at, mut answers) = (session.bytes_to_send().to_vec(), 0, Vec::new());
        assert!(!asked.is_empty(), "it asks for something");
        session.note_sent(asked.len(), now_ns);
        while let Ok(Decoded::Op { op, len }) = decode_client_op(&asked[at..], &Default::default()) {
            at += len;
            let ClientOp::Pub { subject, reply_to: Some(reply_to), .. } = op else { continue };
            let tokens: Vec<&str> = std::str::from_utf8(subject).expect("text").split('.').collect();
            let answer = match tokens[2..] {
                ["STREAM", "INFO", _] => {
                    let state = r#"{"messages":0,"first_seq":1,"last_seq":0}"#;
                    format!(
                        r#"{{"config":{{"subjects":["md.events.>"]}},"created":"{now}","ts":"{now}","state":{state}}}"#
                    )
                }
                ["CONSUMER", "CREATE", _, name] => {
                    consumer = name.to_owned();
                    format!(r#"{{"created":"{now}","ts":"{now}","num_pending":0}}"#)
                }
                _ => continue,
            };
            encode::msg(&mut answers, reply_to, b"1", None, None, answer.as_bytes());
        }
        let moment = shard.clock.now();
        shard.push_read(&answers, moment);
        assert!(shard.take_slice(&mut session).is_ok_and(|slice| slice.is_drained));
        shard.follow_stream(&session, now_ns);
    }
    (shard, session, consumer)
}

/// What has come of a stream waits in the socket while whole frames are left: the buffer holds one read and what had begun.
#[test]
fn a_stream_is_read_when_what_was_read_is_taken() {
    let (mut shard, mut session, consumer) = reading_a_stream();
    let (mut transport, mut server, _) = connection();
    let (count, mut frames) = (20_000_u64, Vec::new());
    for sequence in 1..=count {
        let reply_to = format!("$JS.ACK.MD.{consumer}.1.{sequence}.{sequence}.{}.0", shard.clock.now().0);
        // Now and then one that no read brings as a whole.
        let payload =
            format!(r#"{{"bid":1,"ask":2{}}}"#, " ".repeat(if sequence % 5_000 == 0 { 2 * READ_BYTES } else { 0 }));
        encode::msg(&mut frames, b"md.events.quote.A", b"1", Some(reply_to.as_bytes()), None, payload.as_bytes());
    }
    assert!(frames.len() > 10 * READ_BYTES);
    let writing = std::thread::spawn(move || server.write_all(&frames));
    let mut events = 0;
    while events < count {
        let begun_bytes = shard.receive_buffer.len_bytes();
        assert!(read(&mut shard, &mut transport, &session) == ReadOutcome::Some);
        assert!(shard.receive_buffer.len_bytes() <= begun_bytes + READ_BYTES);
        loop {
            let slice = shard.take_slice(&mut session).expect("it is the protocol");
            events += slice.events;
            if slice.is_drained {
                break;
            }
            let left_bytes = shard.receive_buffer.len_bytes();
            let outcome = shard.read(&mut transport, &session);
            assert!(
                left_bytes == 0 || outcome == ReadOutcome::Nothing && shard.receive_buffer.len_bytes() == left_bytes
            );
        }
    }
    writing.join().expect("it does not panic").expect("all was read");
}

/// What a server stored while its clock was an hour ahead counts as of now: it must not stop the time of what comes behind it.
#[test]
fn a_message_stored_in_the_future_is_of_the_present() {
    const HOUR: i64 = 3_600 * NANOS_PER_SECOND;
    for ahead in [-HOUR, 0, HOUR] {
        let (mut shard, mut session, consumer) = reading_a_stream();
        let mut sequence = 0;
        let mut deliver = |shard: &mut Shard, stored: UnixNanos, payload: &str| {
            sequence += 1;
            let reply_to = format!("$JS.ACK.MD.{consumer}.1.{sequence}.{sequence}.{}.0", stored.0);
            let (mut frame, reply_to) = (Vec::new(), Some(reply_to.as_bytes()));
            encode::msg(&mut frame, b"md.events.quote.A", b"1", reply_to, None, payload.as_bytes());
            let moment = shard.clock.now();
            shard.push_read(&frame, moment);
            assert!(shard.take_slice(&mut session).is_ok_and(|slice| slice.events == 1), "it is the next one");
        };
        let now = shard.clock.now();
        deliver(&mut shard, now.plus(ahead), r#"{"bid":1,"ask":2}"#);
        // Half an hour ahead of what is stored now: not believed, as far as it is known what is now.
        let ts_recv = String::from_utf8(encode_time(now.plus(HOUR / 2)).into()).expect("text");
        deliver(&mut shard, now, &format!(r#"{{"bid":1,"ask":2,"ts_recv":"{ts_recv}"}}"#));
        let rejected: u64 = shard.engine.counters.timestamps_rejected.iter().sum();
        assert_eq!(rejected, 1, "{ahead}");
    }
}
