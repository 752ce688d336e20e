//! A session against servers of the embedded broker's router, in simulated time: no socket, no thread, no clock. The network
//! between them cuts, delays, stalls and mixes sizes by a seed; servers stop, hang and announce that they go. What is published
//! is numbered, and so are the market's events; each number is accounted for. Longer than 500 lines: one world, and what it
//! is put through.

mod seeds;

use std::collections::VecDeque;

use proto_nats::{ConnectionSettings, DecodeLimits, Decoded, ServerAddress, ServerOp, decode_server_op};
use senpai_md_consumer::broker::{Broker, BrokerLimits, ClientId, Output as BrokerOutput};
use senpai_md_consumer::engine::random::Random;
use senpai_md_consumer::nats::attempt::ConnectionId;
use senpai_md_consumer::nats::error::{ConnectError, Trouble};
use senpai_md_consumer::nats::send_buffer::Unsent;
use senpai_md_consumer::nats::session::{Output, Session, SessionSettings};

const MILLISECOND: u64 = proto_nats::MILLISECOND_NS;
const SECOND: u64 = proto_nats::SECOND_NS;
const SUBJECTS: [&str; 2] = ["md.events.>", "more"];
const DRAIN_LIMIT_NS: u64 = 2 * SECOND;
const WRITE_LIMIT_NS: u64 = 10 * SECOND;
/// Of a piece of bytes, one way.
const LATENCY_MAX_NS: u64 = 20 * MILLISECOND;

/// A server, and a client of it that takes what the session publishes.
struct Server {
    broker: Broker,
    watcher: ClientId,
    watched: Vec<u8>,
    is_up: bool,
    /// The process is stopped: the kernel accepts, nothing answers.
    is_hung: bool,
    /// It has announced that it goes: it accepts no connection.
    is_lame: bool,
}

impl Server {
    fn start(seed: u64) -> Server {
        let mut broker = Broker::new("127.0.0.1", 4222, BrokerLimits::default(), seed);
        let watcher = broker.handle_connect("127.0.0.1");
        broker.handle_bytes(watcher, b"CONNECT {}\r\nSUB out.> 1\r\nPING\r\n");
        Server { broker, watcher, watched: Vec::new(), is_up: true, is_hung: false, is_lame: false }
    }

    /// The numbers that have come since the last call, in their order.
    fn delivered(&mut self) -> Vec<u32> {
        let mut buffer = Vec::new();
        while let BrokerOutput::Bytes = self.broker.poll_output(self.watcher, &mut buffer) {
            self.watched.append(&mut buffer);
        }
        let (mut at, mut numbers) = (0, Vec::new());
        while let Ok(Decoded::Op { op, len }) = decode_server_op(&self.watched[at..], &DecodeLimits::default()) {
            if let ServerOp::Msg(message) = op {
                numbers.push(number_of(message.payload));
            }
            at += len;
        }
        self.watched.drain(..at);
        numbers
    }
}

/// A connection of the session: bytes under way, each piece with the time at which it is there.
struct Connection {
    server: usize,
    id: ClientId,
    to_server: VecDeque<(u64, Vec<u8>)>,
    to_client: VecDeque<(u64, Vec<u8>)>,
    /// Until then the client's socket takes nothing.
    stuck_until_ns: u64,
    /// Numbers that were published on it, in their order.
    published: Vec<u32>,
    /// Bytes from the server that are no whole operation yet.
    input: Vec<u8>,
    /// Events that came before it serves.
    kept: Vec<u32>,
    /// Its server has said that it goes.
    is_told_lame: bool,
}

struct World {
    seed: u64,
    random: Random,
    now_ns: u64,
    servers: Vec<Server>,
    session: Session<u32>,
    /// The one that serves.
    connection: Option<Connection>,
    attempts: Vec<(ConnectionId, Connection)>,
    /// Events of the market, as they have come.
    events: Vec<u32>,
    last_event: u32,
    /// From then on events may come twice.
    overlap_at: Option<usize>,
    last_number: u32,
    /// What connections did not take, until the next one is ready.
    waiting: Vec<Unsent<u32>>,
    delivered: Vec<u32>,
    lost: Vec<u32>,
    ready_count: u32,
    is_flushed: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let servers: Vec<Server> = (0..1 + random.below(3)).map(Server::start).collect();
        let addresses = (0..servers.len()).map(|index| ServerAddress::parse(&format!("s{index}")).expect("an address"));
        let settings = SessionSettings {
            stream: None,
            servers: addresses.collect(),
            discovers: true,
            subjects: SUBJECTS.map(str::to_owned).to_vec(),
            seed: Some(seed),
            drain_limit_ns: DRAIN_LIMIT_NS,
            write_limit_ns: WRITE_LIMIT_NS,
        };
        World {
            seed,
            random,
            now_ns: SECOND,
            servers,
            session: Session::new(settings).expect("there is memory"),
            connection: None,
            attempts: Vec::new(),
            events: Vec::new(),
            last_event: 0,
            overlap_at: None,
            last_number: 0,
            waiting: Vec::new(),
            delivered: Vec::new(),
            lost: Vec::new(),
            ready_count: 0,
            is_flushed: false,
        }
    }

    /// Does what the session asks for.
    fn grant(&mut self) {
        for _ in 0..1_000 {
            let Some(output) = self.session.poll_output(self.now_ns) else { return };
            match output {
                Output::Connect { id, server } => self.connect(id, &server),
                Output::GiveUp { id, .. } => {
                    for (_, connection) in self.attempts.extract_if(.., |(other, _)| *other == id) {
                        self.servers[connection.server].broker.handle_disconnect(connection.id);
                    }
                }
                Output::Serve(id) => self.serve_with(id),
                Output::Overlap => self.overlap_at = Some(self.events.len()),
                Output::LameDuck => {}
                Output::NoOtherServer => {
                    let connection = self.connection.as_ref().expect("it stays with one");
                    assert!(connection.is_told_lame, "seed {}: nothing else is looked for", self.seed);
                }
                Output::Ready => {
                    self.ready_count += 1;
                    let connection = self.connection.as_mut().expect("it is ready on one");
                    for publication in self.waiting.iter().flat_map(Unsent::iter) {
                        self.session.publish_again(&publication, self.now_ns);
                        connection.published.push(publication.about);
                    }
                    self.waiting.clear();
                }
                Output::Close { .. } => self.close(),
                Output::Flush => {
                    // As the service does: at once, and the socket takes it.
                    self.connection.as_mut().expect("it is flushed").stuck_until_ns = 0;
                    while !self.session.bytes_to_send().is_empty() {
                        self.send();
                        self.connection.as_mut().expect("it is flushed").stuck_until_ns = 0;
                    }
                    self.is_flushed = true;
                    self.session.handle_flushed();
                }
                Output::DrainUnconfirmed => {}
                other => panic!("seed {}: {other:?} is not to come here", self.seed),
            }
        }
        panic!("seed {}: the session always wants something more", self.seed);
    }

    fn connect(&mut self, id: ConnectionId, address: &ServerAddress) {
        let index: usize = address.host[1..].parse().expect("a number");
        assert!(self.connection.as_ref().is_none_or(|connection| connection.server != index), "never the very server");
        let server = &mut self.servers[index];
        if !server.is_up || server.is_lame {
            let attempt = self.session.attempt(id).expect("it is asked for");
            return attempt.handle_failed(Trouble::Connect(ConnectError::Refused));
        }
        self.session.handle_connected(id, ConnectionSettings::default(), None, self.now_ns);
        let connection = Connection {
            server: index,
            id: server.broker.handle_connect("127.0.0.1"),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            stuck_until_ns: 0,
            published: Vec::new(),
            input: Vec::new(),
            kept: Vec::new(),
            is_told_lame: false,
        };
        self.attempts.push((id, connection));
    }

    /// The attempt's connection serves from now on.
    fn serve_with(&mut self, id: ConnectionId) {
        assert!(self.connection.is_none(), "seed {}: one connection serves", self.seed);
        let index = self.attempts.iter().position(|(other, _)| *other == id).expect("it is under way");
        let (_, mut connection) = self.attempts.remove(index);
        for event in std::mem::take(&mut connection.kept) {
            self.take_event(event);
        }
        self.connection = Some(connection);
    }

    /// As the service: what has come on the connection before is left out.
    fn take_event(&mut self, event: u32) {
        if self.overlap_at.is_none_or(|at| !self.events[at..].contains(&event)) {
            self.events.push(event);
        }
    }

    /// The market has an event, which every server of the cluster has for its clients.
    fn trade(&mut self) {
        self.last_event += 1;
        for server in self.servers.iter_mut().filter(|server| server.is_up) {
            server.broker.publish(b"md.events.trade.A", self.last_event.to_string().as_bytes());
        }
    }

    /// The session has left the connection. What was handed over whole arrives, or it is lost; all else waits.
    fn close(&mut self) {
        let mut connection = self.connection.take().expect("it is closed");
        let all_arrives = self.is_flushed || self.random.below(2) == 0;
        while let Some((_, bytes)) = connection.to_server.pop_front() {
            if all_arrives {
                self.servers[connection.server].broker.handle_bytes(connection.id, &bytes);
            }
        }
        self.collect(connection.server);
        self.servers[connection.server].broker.handle_disconnect(connection.id);
        let unsent = self.session.take_unsent();
        let kept: Vec<u32> = unsent.iter().map(|publication| publication.about).collect();
        let handed_over = &connection.published[..connection.published.len() - kept.len()];
        assert_eq!(&connection.published[handed_over.len()..], kept, "seed {}: the last ones are not sent", self.seed);
        for number in handed_over {
            if !self.delivered.contains(number) {
                assert!(!all_arrives, "seed {}: {number} was handed over and has not come", self.seed);
                self.lost.push(*number);
            }
        }
        self.waiting.push(unsent);
    }

    /// What the server's other client has got by now: never twice, never out of order.
    fn collect(&mut self, server: usize) {
        for number in self.servers[server].delivered() {
            let last = self.delivered.last().copied().unwrap_or(0);
            assert!(last < number, "seed {}: {number} comes after {last}", self.seed);
            self.delivered.push(number);
        }
    }

    /// The network's ways to fail.
    fn disturb(&mut self) {
        let server = self.random.below(self.servers.len() as u64) as usize;
        match self.random.below(13) {
            0 => {
                let Server { is_up, .. } = &mut self.servers[server];
                *is_up = !*is_up;
                if *is_up {
                    self.servers[server].is_lame = false;
                } else {
                    self.end(server);
                }
            }
            4 => self.announce_end(server),
            1 => self.servers[server].is_hung ^= true,
            2 if self.connection.is_some() => self.session.handle_end_of_stream(None, self.now_ns),
            3 => {
                if let Some(connection) = &mut self.connection {
                    connection.stuck_until_ns = self.now_ns + self.random.below(2 * WRITE_LIMIT_NS);
                }
            }
            _ => {}
        }
    }

    /// The connections to a server end.
    fn end(&mut self, server: usize) {
        if self.connection.as_ref().is_some_and(|connection| connection.server == server) {
            self.session.handle_end_of_stream(None, self.now_ns);
        }
        for (id, connection) in &self.attempts {
            if connection.server == server
                && let Some(attempt) = self.session.attempt(*id)
            {
                attempt.handle_end_of_stream(None, self.now_ns);
            }
        }
    }

    /// A server is about to go: it says so, and accepts nobody.
    fn announce_end(&mut self, server: usize) {
        self.servers[server].is_lame = true;
        let is_there = |connection: &&mut Connection| connection.server == server;
        let attempts = self.attempts.iter_mut().map(|(_, connection)| connection);
        for connection in self.connection.iter_mut().chain(attempts).filter(is_there) {
            connection.is_told_lame = true;
            let due_ns = connection.to_client.back().map_or(self.now_ns, |(due_ns, _)| *due_ns);
            connection.to_client.push_back((due_ns, b"INFO {\"ldm\":true,\"max_payload\":1048576}\r\n".to_vec()));
        }
    }

    fn publish(&mut self) {
        while self.session.takes_publications() && self.session.has_room() && self.random.below(4) > 0 {
            self.last_number += 1;
            let padding = "x".repeat(self.random.below(3_000) as usize);
            let payload = format!("{padding}{}", self.last_number);
            self.session.publish(b"out.A", payload.as_bytes(), self.last_number, self.now_ns);
            self.connection.as_mut().expect("it takes publications").published.push(self.last_number);
        }
    }

    /// From the session to the network, in pieces.
    fn send(&mut self) {
        while let Some(connection) = &mut self.connection
            && connection.stuck_until_ns <= self.now_ns
            && !self.session.bytes_to_send().is_empty()
        {
            let bytes = self.session.bytes_to_send();
            let len = 1 + self.random.below(bytes.len() as u64) as usize;
            connection.to_server.push_back((self.now_ns + self.random.below(LATENCY_MAX_NS), bytes[..len].to_vec()));
            self.session.note_sent(len, self.now_ns);
            if self.random.below(20) == 0 {
                connection.stuck_until_ns = self.now_ns + self.random.below(300 * MILLISECOND);
            }
        }
    }

    /// What attempts have to send.
    fn send_on_attempts(&mut self) {
        for (id, connection) in &mut self.attempts {
            if let Some(attempt) = self.session.attempt(*id)
                && !attempt.bytes_to_send().is_empty()
            {
                let len = 1 + self.random.below(attempt.bytes_to_send().len() as u64) as usize;
                let due_ns = self.now_ns + self.random.below(LATENCY_MAX_NS);
                connection.to_server.push_back((due_ns, attempt.bytes_to_send()[..len].to_vec()));
                attempt.note_sent(len);
            }
        }
    }

    /// What is due arrives at the servers, and they answer.
    fn serve(&mut self) {
        let attempts = self.attempts.iter_mut().map(|(_, connection)| connection);
        for connection in self.connection.iter_mut().chain(attempts) {
            let Server { broker, is_up, is_hung, .. } = &mut self.servers[connection.server];
            if !*is_up || *is_hung {
                continue;
            }
            while connection.to_server.front().is_some_and(|(due_ns, _)| *due_ns <= self.now_ns) {
                let (_, bytes) = connection.to_server.pop_front().expect("it is there");
                broker.handle_bytes(connection.id, &bytes);
            }
            let mut output = Vec::new();
            while let BrokerOutput::Bytes = broker.poll_output(connection.id, &mut output) {
                let due_ns = self.now_ns + self.random.below(LATENCY_MAX_NS);
                connection.to_client.push_back((due_ns, std::mem::take(&mut output)));
            }
        }
        if let Some(connection) = &self.connection {
            self.collect(connection.server);
        }
    }

    /// What is due arrives at the session.
    fn receive(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        while connection.to_client.front().is_some_and(|(due_ns, _)| *due_ns <= self.now_ns) {
            connection.input.extend(connection.to_client.pop_front().expect("it is there").1);
            self.session.note_received(self.now_ns);
        }
        let (mut at, mut events, input) = (0, Vec::new(), std::mem::take(&mut connection.input));
        while let Decoded::Op { op, len } = decode_server_op(&input[at..], &DecodeLimits::default()).expect("NATS") {
            at += len;
            match op {
                ServerOp::Msg(message) if self.session.takes_messages() => events.push(number_of(message.payload)),
                op => self.session.handle_op(&op, self.now_ns),
            }
        }
        connection.input = input[at..].to_vec();
        events.into_iter().for_each(|event| self.take_event(event));
    }

    /// What is due arrives at attempts, as far as they are read.
    fn receive_on_attempts(&mut self) {
        for (id, connection) in &mut self.attempts {
            let Some(attempt) = self.session.attempt(*id) else { continue };
            while attempt.is_read() && connection.to_client.front().is_some_and(|(due_ns, _)| *due_ns <= self.now_ns) {
                connection.input.extend(connection.to_client.pop_front().expect("it is there").1);
                attempt.note_received(self.now_ns);
                let (mut at, input) = (0, std::mem::take(&mut connection.input));
                while attempt.is_read()
                    && let Decoded::Op { op, len } =
                        decode_server_op(&input[at..], &DecodeLimits::default()).expect("NATS")
                {
                    at += len;
                    match op {
                        ServerOp::Msg(message) if attempt.is_subscribed() => {
                            connection.kept.push(number_of(message.payload));
                        }
                        op => attempt.handle_op(&op, self.now_ns),
                    }
                }
                connection.input = input[at..].to_vec();
            }
        }
    }

    /// To the next moment at which anything happens: there is no look in between.
    fn step(&mut self, until_ns: u64) {
        self.receive();
        self.receive_on_attempts();
        self.session.handle_time(self.now_ns);
        self.grant();
        self.send();
        self.send_on_attempts();
        self.serve();
        let mut next_ns = self.session.next_deadline().unwrap_or(u64::MAX);
        if let Some(connection) = &self.connection
            && !self.session.bytes_to_send().is_empty()
        {
            next_ns = next_ns.min(connection.stuck_until_ns);
        }
        for (id, connection) in &self.attempts {
            let attempt = self.session.attempt(*id);
            if attempt.as_ref().is_some_and(|attempt| !attempt.bytes_to_send().is_empty()) {
                next_ns = self.now_ns;
            }
            if attempt.is_some_and(|attempt| attempt.is_read()) {
                next_ns = next_ns.min(connection.to_client.front().map_or(u64::MAX, |(due_ns, _)| *due_ns));
            }
        }
        let attempts = self.attempts.iter().map(|(_, connection)| connection);
        for connection in self.connection.iter().chain(attempts) {
            let Server { is_up, is_hung, .. } = self.servers[connection.server];
            let to_server = connection.to_server.front().filter(|_| is_up && !is_hung);
            next_ns = next_ns.min(to_server.map_or(u64::MAX, |(due_ns, _)| *due_ns));
        }
        if let Some(connection) = &self.connection {
            next_ns = next_ns.min(connection.to_client.front().map_or(u64::MAX, |(due_ns, _)| *due_ns));
        }
        self.now_ns = next_ns.max(self.now_ns + 1).min(until_ns.max(self.now_ns + 1));
    }

    fn run_until(&mut self, until_ns: u64) {
        while self.now_ns < until_ns {
            self.step(until_ns);
        }
    }
}

/// Numbers may have something in front of them.
fn number_of(payload: &[u8]) -> u32 {
    std::str::from_utf8(payload).expect("text").trim_start_matches('x').parse().expect("a number")
}

fn run(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..60 {
        world.disturb();
        world.publish();
        world.trade();
        let pause_ns = [MILLISECOND, 50 * MILLISECOND, SECOND, 5 * SECOND][world.random.below(4) as usize];
        world.run_until(world.now_ns + pause_ns);
    }
    // All is well again, for longer than any backoff, silence and limit.
    for server in &mut world.servers {
        (server.is_up, server.is_hung, server.is_lame) = (true, false, false);
    }
    if let Some(connection) = &mut world.connection {
        connection.stuck_until_ns = 0;
    }
    world.run_until(world.now_ns + 40 * SECOND);
    let report = world.session.report(world.now_ns);
    assert!(report.is_ready && report.trouble.is_none(), "seed {seed}: {report:?}");
    assert_eq!(report.reconnects + 1, u64::from(world.ready_count), "seed {seed}");

    // Events reach it, once each and in their order.
    let before = world.events.len();
    world.trade();
    world.run_until(world.now_ns + SECOND);
    assert_eq!(world.events[before..], [world.last_event], "seed {seed}");
    assert!(world.events.is_sorted_by(|one, next| one < next), "seed {seed}: {:?}", world.events);

    world.publish();
    world.session.begin_stop(world.now_ns);
    let stopped_ns = world.now_ns;
    while !world.session.is_over() {
        assert!(world.now_ns - stopped_ns <= DRAIN_LIMIT_NS, "seed {seed}: the drain has a limit");
        world.step(u64::MAX);
    }
    assert!(world.is_flushed && world.connection.is_none(), "seed {seed}");
    assert!(world.session.poll_output(u64::MAX).is_none() && world.session.next_deadline().is_none());

    // Each number is in one place.
    let mut all: Vec<u32> = world.delivered.iter().chain(&world.lost).copied().collect();
    all.extend(world.waiting.iter().flat_map(Unsent::iter).map(|publication| publication.about));
    all.sort_unstable();
    assert_eq!(all, (1..=world.last_number).collect::<Vec<_>>(), "seed {seed}");
    world
}

#[test]
fn every_publication_is_accounted_for_and_the_session_finds_back() {
    let (mut published, mut lost, mut ready_count) = (0, 0, 0);
    for seed in 0..200 {
        let world = run(seed);
        published += u64::from(world.last_number);
        lost += world.lost.len();
        ready_count += world.ready_count;
    }
    println!("{published} publications on {ready_count} connections, {lost} lost under way");
    assert!(published > 5_000 && lost > 50 && ready_count > 600, "{published}, {lost}, {ready_count}: too tame");
}

#[test]
fn fresh_seeds() {
    for seed in seeds::fresh("session", 300) {
        run(seed);
    }
}

/// What a server does not answer is over within 10 s, and the next one is tried.
#[test]
fn a_silent_server_is_left() {
    let mut world = World::new(7);
    world.run_until(world.now_ns + SECOND);
    let server = world.connection.as_ref().expect("it is connected").server;
    world.servers[server].is_hung = true;
    let (hung_ns, mut left_ns) = (world.now_ns, 0);
    while world.session.report(world.now_ns).is_connected {
        left_ns = world.now_ns;
        world.step(u64::MAX);
    }
    assert!(left_ns - hung_ns < 10 * SECOND, "{} ms", (left_ns - hung_ns) / MILLISECOND);
    let trouble = world.session.trouble().expect("the silence").to_string();
    assert!(trouble.contains("the server is silent"), "{trouble}");
}

/// A stop has no connection to drain: it is over at once, whatever the session waits for.
#[test]
fn a_stop_without_a_connection_is_over_at_once() {
    let mut idle = World::new(1);
    idle.servers.iter_mut().for_each(|server| server.is_up = false);
    idle.run_until(idle.now_ns + 3 * SECOND);
    idle.session.begin_stop(idle.now_ns);
    assert!(idle.session.is_over() && idle.session.poll_output(idle.now_ns).is_none());

    let mut connecting = World::new(1);
    let Some(Output::Connect { id, .. }) = connecting.session.poll_output(0) else { panic!("an attempt") };
    connecting.session.begin_stop(0);
    assert!(connecting.session.is_over());
    connecting.session.handle_connected(id, ConnectionSettings::default(), None, 1);
    assert!(connecting.session.is_over(), "a socket that comes too late changes nothing");
}

/// A world of three servers that is connected to one.
fn three() -> (World, usize) {
    let mut world = (0..).map(World::new).find(|world| world.servers.len() == 3).expect("some seed has three");
    world.run_until(world.now_ns + SECOND);
    let first = world.connection.as_ref().expect("it is connected").server;
    (world, first)
}

/// Runs with an event each 5 ms until the connection is another one; says when that is.
fn trade_until_moved(world: &mut World, first: usize, limit_ns: u64) -> Option<u64> {
    let end_ns = world.now_ns + limit_ns;
    while world.now_ns < end_ns {
        world.trade();
        world.publish();
        world.run_until(world.now_ns + 5 * MILLISECOND);
        if world.connection.as_ref().is_some_and(|connection| connection.server != first) {
            return Some(world.now_ns);
        }
        assert!(world.session.report(world.now_ns).is_ready, "ready all the time");
    }
    None
}

/// The server is asked to go: it is drained once another one has confirmed the subscriptions. No event is lost or taken
/// twice, no output is lost; of two neighbours one hangs, or refuses connections.
#[test]
fn a_lame_duck_is_left_for_a_server_that_works() {
    for hung in [true, false] {
        let (mut world, first) = three();
        let bad = (first + 1) % 3;
        world.servers[bad].is_hung = hung;
        world.servers[bad].is_up = hung;
        world.announce_end(first);
        let start_ns = world.now_ns;
        let moved_ns = trade_until_moved(&mut world, first, 5 * SECOND).expect("the third one works");
        assert!(moved_ns - start_ns < SECOND, "{} ms", (moved_ns - start_ns) / MILLISECOND);
        for _ in 0..20 {
            world.trade();
            world.run_until(world.now_ns + 5 * MILLISECOND);
        }
        world.run_until(world.now_ns + SECOND);
        assert_eq!(world.connection.as_ref().expect("it is connected").server, (first + 2) % 3);
        assert_eq!(world.events, (1..=world.last_event).collect::<Vec<_>>());
        assert!(world.lost.is_empty(), "the drain takes everything along");
        let report = world.session.report(world.now_ns);
        assert!(report.is_ready && report.trouble.is_none() && report.reconnects == 1, "{report:?}");
    }
}

/// Much waits in the lame duck, so that its drain takes as long as it may: the connection in its place, which is not read
/// meanwhile, is not given up as silent.
#[test]
fn a_long_drain_keeps_the_successor() {
    let (mut world, first) = three();
    world.announce_end(first);
    world.run_until(world.now_ns + 20 * MILLISECOND);
    world.servers[first].is_hung = true;
    let begun_ns = world.now_ns;
    while world.connection.as_ref().is_none_or(|connection| connection.server == first) {
        // What the lame duck does not send any more the other one has for later.
        if world.now_ns > begun_ns + 200 * MILLISECOND {
            world.trade();
        }
        // Messages of before, a part of them after the other.
        world.session.note_received(world.now_ns);
        world.run_until(world.now_ns + 20 * MILLISECOND);
        assert!(world.now_ns < begun_ns + 12 * SECOND, "the drain has an end");
    }
    assert!(world.now_ns > begun_ns + 7 * SECOND, "the drain was short");
    world.run_until(world.now_ns + SECOND);
    assert_eq!(world.events, (1..=world.last_event).collect::<Vec<_>>());
    assert_eq!(world.session.report(world.now_ns).reconnects, 1);
}

/// Of several servers the first is slow to confirm, and the others are down: attempts at them go on, and none of that is
/// about a lame duck.
#[test]
fn attempts_in_reserve_are_no_search_for_another_server() {
    let (mut world, first) = three();
    world.end(first);
    for server in 0..3 {
        world.servers[server].is_up = server == first;
    }
    for is_connected in [false, true] {
        while world.connection.is_some() != is_connected {
            world.step(world.now_ns + MILLISECOND);
        }
    }
    // It has logged in; its confirmation does not come for a while.
    world.servers[first].is_hung = true;
    world.run_until(world.now_ns + 3 * SECOND);
    world.servers[first].is_hung = false;
    world.run_until(world.now_ns + SECOND);
    assert!(world.session.report(world.now_ns).is_ready);
}

/// One node after the other is restarted: the first one is well again when the last one goes.
#[test]
fn a_rolling_restart_costs_nothing() {
    let (mut world, first) = three();
    let mut at = first;
    for round in 0..6 {
        world.announce_end(at);
        let moved = trade_until_moved(&mut world, at, 5 * SECOND);
        assert!(moved.is_some(), "round {round}: it stays with {at}");
        world.run_until(world.now_ns + SECOND);
        world.servers[at].is_lame = false;
        at = world.connection.as_ref().expect("it is connected").server;
    }
    world.run_until(world.now_ns + SECOND);
    assert_eq!(world.events, (1..=world.last_event).collect::<Vec<_>>());
    assert!(world.lost.is_empty() && world.session.report(world.now_ns).is_ready);
}

/// Its first INFO says that it is about to go: it is used, as there is no other, and left as soon as there is one.
#[test]
fn a_server_that_goes_from_the_start_is_left() {
    let (mut world, first) = three();
    for server in 0..3 {
        world.servers[server].is_up = server == first;
    }
    world.end(first);
    while world.attempts.is_empty() {
        world.step(world.now_ns + MILLISECOND);
    }
    world.announce_end(first);
    world.run_until(world.now_ns + SECOND);
    assert_eq!(world.connection.as_ref().map(|connection| connection.server), Some(first), "it is used");
    world.servers[(first + 1) % 3].is_up = true;
    assert!(trade_until_moved(&mut world, first, 5 * SECOND).is_some());
}

/// All neighbours hang: the lame duck is kept for as long as it is there, and events go on.
#[test]
fn a_lame_duck_is_kept_where_no_neighbour_works() {
    let (mut world, first) = three();
    for server in 0..3 {
        world.servers[server].is_hung = server != first;
    }
    world.announce_end(first);
    assert_eq!(trade_until_moved(&mut world, first, 30 * SECOND), None);
    world.run_until(world.now_ns + SECOND);
    assert_eq!(world.events, (1..=world.last_event).collect::<Vec<_>>());
    // It goes, and one of the others is back.
    world.servers[(first + 1) % 3].is_hung = false;
    world.servers[first].is_up = false;
    world.end(first);
    world.run_until(world.now_ns + 2 * SECOND);
    assert_eq!(world.connection.as_ref().map(|connection| connection.server), Some((first + 1) % 3));
}

/// No deadline is due that nothing is done about: the loop around the session would spin.
#[test]
fn a_lame_duck_that_cannot_be_left_gives_no_deadline_that_is_over() {
    let lame_duck = ServerOp::Info(br#"{"ldm":true,"max_payload":1048576}"#);
    let check = |world: &mut World| {
        world.session.handle_time(world.now_ns);
        while world.session.poll_output(world.now_ns).is_some() {}
        let deadline_ns = world.session.next_deadline().expect("silence has a limit");
        assert!(deadline_ns > world.now_ns, "seed {}: due at {deadline_ns}, it is {}", world.seed, world.now_ns);
    };
    // Its first INFO says so, and nothing follows.
    let mut silent = World::new(1);
    let Some(Output::Connect { id, .. }) = silent.session.poll_output(0) else { panic!("an attempt") };
    silent.session.handle_connected(id, ConnectionSettings::default(), None, silent.now_ns);
    silent.session.attempt(id).expect("it is under way").handle_op(&lame_duck, silent.now_ns);
    check(&mut silent);
    // It says so, and does not answer the drain; or it says so during the drain.
    for is_before in [true, false] {
        let mut world = World::new(1);
        world.run_until(world.now_ns + SECOND);
        if is_before {
            world.session.handle_op(&lame_duck, world.now_ns);
        }
        world.session.begin_stop(world.now_ns);
        if !is_before {
            world.session.handle_op(&lame_duck, world.now_ns);
        }
        check(&mut world);
    }
}

/// What ended the last connection is not what an orderly stop ends with; a drain that is cut short is told.
#[test]
fn the_trouble_is_that_of_the_last_end() {
    let mut world = World::new(1);
    world.run_until(world.now_ns + SECOND);
    world.session.handle_end_of_stream(None, world.now_ns);
    world.run_until(world.now_ns + SECOND);
    assert!(world.session.report(world.now_ns).is_ready);
    world.session.begin_stop(world.now_ns);
    world.session.handle_end_of_stream(None, world.now_ns);
    world.grant();
    assert!(world.session.is_over());
    let trouble = world.session.trouble().expect("the drain was cut short").to_string();
    assert!(trouble.contains("the server closed the connection"), "{trouble}");

    let mut orderly = World::new(1);
    orderly.run_until(orderly.now_ns + SECOND);
    orderly.session.begin_stop(orderly.now_ns);
    orderly.run_until(orderly.now_ns + SECOND);
    assert!(orderly.session.is_over() && orderly.session.trouble().is_none());
}

/// More than a server may ask for in answers, in publications: no reason to leave it.
#[test]
fn large_publications_are_no_unread_answers() {
    let mut world = World::new(1);
    world.run_until(world.now_ns + SECOND);
    world.session.publish_frames(&vec![b'x'; 5 << 20], 0, world.now_ns);
    world.session.handle_time(world.now_ns);
    world.grant();
    assert!(world.connection.is_some());
    for _ in 0..(4 << 20) / 6 + 1 {
        world.session.handle_op(&ServerOp::Ping, world.now_ns);
    }
    world.session.handle_time(world.now_ns);
    assert!(matches!(world.session.poll_output(world.now_ns), Some(Output::Close { .. })));
    let trouble = world.session.trouble().expect("the answers").to_string();
    assert!(trouble.contains("does not read the answers"), "{trouble}");
}
