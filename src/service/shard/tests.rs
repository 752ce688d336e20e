//! Being behind, and how far the buffer opens up.

use super::*;
use std::io::Write;
use std::net::{TcpListener, TcpStream};

use proto_nats::ServerAddress;

use crate::nats::session::{Output, SessionSettings};

const QUEUE_BYTES: usize = 8 << 20;

/// A shard, the two ends of its connection, and a session that takes messages.
fn connected() -> (Shard, Transport, TcpStream, Session<Publication>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let server = ServerAddress::parse(&listener.local_addr().expect("it is bound").to_string()).expect("an address");
    let socket = TcpStream::connect(server.endpoint()).expect("it listens");
    let transport = Transport::new(socket).expect("it is a socket");
    let (stream, _) = listener.accept().expect("it was connected to");
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

/// Reads until there is something, or the end.
fn read(shard: &mut Shard, transport: &mut Transport) -> ReadOutcome {
    loop {
        transport.wait(false, std::time::Duration::from_secs(1));
        let outcome = shard.read(transport);
        if outcome != ReadOutcome::Nothing {
            return outcome;
        }
    }
}

#[test]
fn what_is_left_in_the_socket_is_being_behind() {
    let (mut shard, mut transport, mut stream, mut session) = connected();
    assert!(shard.read(&mut transport) == ReadOutcome::Nothing && !shard.is_behind(), "there is nothing");
    stream.write_all(b"PING\r\n").expect("the socket takes it");
    assert!(read(&mut shard, &mut transport) == ReadOutcome::Some && !shard.is_behind(), "a few bytes are all");
    assert!(shard.take_slice(&mut session).is_ok_and(|slice| slice.is_drained));

    // Twice what the buffer holds, in frames that no read brings as a whole.
    let frame = format!("MSG md.events.book_l2.A 1 {0}\r\n{1}\r\n", 2 * READ_BYTES, " ".repeat(2 * READ_BYTES));
    let count = 2 * QUEUE_BYTES as u64 / frame.len() as u64;
    let writing = std::thread::spawn(move || (0..count).try_for_each(|_| stream.write_all(frame.as_bytes())));
    while read(&mut shard, &mut transport) != ReadOutcome::BufferFull {}
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
        let outcome = read(&mut shard, &mut transport);
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
    assert!(read(&mut shard, &mut transport) == ReadOutcome::Some);
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
