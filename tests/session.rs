//! A session against servers of the embedded broker's router, in simulated time: no socket, no thread, no clock. The network
//! between them cuts, delays, stalls and mixes sizes by a seed; what is published is numbered, and each number is accounted
//! for. Longer than 500 lines: one world, and what it is put through.

mod seeds;

use std::collections::VecDeque;

use proto_nats::{ConnectionSettings, DecodeLimits, Decoded, ServerAddress, ServerOp, decode_server_op};
use senpai_md_consumer::broker::{Broker, BrokerLimits, ClientId, Output as BrokerOutput};
use senpai_md_consumer::engine::random::Random;
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
}

impl Server {
    fn start(seed: u64) -> Server {
        let mut broker = Broker::new("127.0.0.1", 4222, BrokerLimits::default(), seed);
        let watcher = broker.handle_connect("127.0.0.1");
        broker.handle_bytes(watcher, b"CONNECT {}\r\nSUB out.> 1\r\nPING\r\n");
        Server { broker, watcher, watched: Vec::new(), is_up: true, is_hung: false }
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
                let payload = std::str::from_utf8(message.payload).expect("text");
                numbers.push(payload.trim_start_matches('x').parse().expect("a number"));
            }
            at += len;
        }
        self.watched.drain(..at);
        numbers
    }
}

/// The session's connection: bytes under way, each piece with the time at which it is there.
struct Connection {
    server: usize,
    id: ClientId,
    to_server: VecDeque<(u64, Vec<u8>)>,
    to_client: VecDeque<(u64, Vec<u8>)>,
    /// Until then the client's socket takes nothing.
    stuck_until_ns: u64,
    /// Numbers that were published on it, in their order.
    published: Vec<u32>,
}

struct World {
    seed: u64,
    random: Random,
    now_ns: u64,
    servers: Vec<Server>,
    session: Session<u32>,
    connection: Option<Connection>,
    /// Bytes from the server that are no whole operation yet.
    input: Vec<u8>,
    /// Messages of the market that have come.
    events: u64,
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
            servers: addresses.collect(),
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
            input: Vec::new(),
            events: 0,
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
                Output::Connect(address) => self.connect(&address),
                Output::Ready => {
                    self.ready_count += 1;
                    let connection = self.connection.as_mut().expect("it is ready on one");
                    for publication in self.waiting.iter().flat_map(Unsent::iter) {
                        self.session.publish_again(&publication, self.now_ns);
                        connection.published.push(publication.about);
                    }
                    self.waiting.clear();
                }
                Output::Close(_) => self.close(),
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

    fn connect(&mut self, address: &ServerAddress) {
        assert!(self.connection.is_none(), "seed {}: one connection at a time", self.seed);
        let index: usize = address.host[1..].parse().expect("a number");
        let server = &mut self.servers[index];
        if !server.is_up {
            return self.session.handle_unreachable(Trouble::Connect(ConnectError::Refused), self.now_ns);
        }
        self.session.handle_connected(ConnectionSettings::default(), self.now_ns);
        self.input.clear();
        self.connection = Some(Connection {
            server: index,
            id: server.broker.handle_connect("127.0.0.1"),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            stuck_until_ns: 0,
            published: Vec::new(),
        });
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
        match self.random.below(12) {
            0 => {
                let Server { is_up, .. } = &mut self.servers[server];
                *is_up = !*is_up;
                if !*is_up && self.connection.as_ref().is_some_and(|connection| connection.server == server) {
                    self.session.handle_end_of_stream(self.now_ns);
                }
            }
            1 => self.servers[server].is_hung ^= true,
            2 if self.connection.is_some() => self.session.handle_end_of_stream(self.now_ns),
            3 => {
                if let Some(connection) = &mut self.connection {
                    connection.stuck_until_ns = self.now_ns + self.random.below(2 * WRITE_LIMIT_NS);
                }
            }
            _ => {}
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

    /// What is due arrives at the server, and it answers.
    fn serve(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        let Server { broker, is_up, is_hung, .. } = &mut self.servers[connection.server];
        if !*is_up || *is_hung {
            return;
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
        let server = connection.server;
        self.collect(server);
    }

    /// What is due arrives at the session.
    fn receive(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        while connection.to_client.front().is_some_and(|(due_ns, _)| *due_ns <= self.now_ns) {
            self.input.extend(connection.to_client.pop_front().expect("it is there").1);
            self.session.note_received(self.now_ns);
        }
        let mut at = 0;
        while let Decoded::Op { op, len } = decode_server_op(&self.input[at..], &DecodeLimits::default()).expect("NATS")
        {
            at += len;
            match op {
                ServerOp::Msg(_) if self.session.takes_messages() => self.events += 1,
                op => self.session.handle_op(&op, self.now_ns),
            }
        }
        self.input.drain(..at);
    }

    /// To the next moment at which anything happens: there is no look in between.
    fn step(&mut self, until_ns: u64) {
        self.receive();
        self.session.handle_time(self.now_ns);
        self.grant();
        self.send();
        self.serve();
        let connection = self.connection.iter();
        let arrivals = connection.clone().flat_map(|connection| {
            let is_answered = !self.servers[connection.server].is_hung;
            let to_server = connection.to_server.front().filter(|_| is_answered);
            [to_server, connection.to_client.front()].into_iter().flatten().map(|(due_ns, _)| *due_ns)
        });
        let is_unsent = !self.session.bytes_to_send().is_empty();
        let writable = connection.filter(|_| is_unsent).map(|connection| connection.stuck_until_ns);
        let next_ns = arrivals.chain(writable).chain(self.session.next_deadline()).min().unwrap_or(u64::MAX);
        self.now_ns = next_ns.max(self.now_ns + 1).min(until_ns.max(self.now_ns + 1));
    }

    fn run_until(&mut self, until_ns: u64) {
        while self.now_ns < until_ns {
            self.step(until_ns);
        }
    }
}

fn run(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..60 {
        world.disturb();
        world.publish();
        let pause_ns = [MILLISECOND, 50 * MILLISECOND, SECOND, 5 * SECOND][world.random.below(4) as usize];
        world.run_until(world.now_ns + pause_ns);
    }
    // All is well again, for longer than any backoff, silence and limit.
    world.servers.iter_mut().for_each(|server| (server.is_up, server.is_hung) = (true, false));
    if let Some(connection) = &mut world.connection {
        connection.stuck_until_ns = 0;
    }
    world.run_until(world.now_ns + 40 * SECOND);
    let report = world.session.report(world.now_ns);
    assert!(report.is_ready && report.trouble.is_none(), "seed {seed}: {report:?}");
    assert_eq!(report.reconnects + 1, u64::from(world.ready_count), "seed {seed}");

    // Events reach it, once each.
    let (before, server) = (world.events, world.connection.as_ref().expect("it is ready").server);
    world.servers[server].broker.publish(b"md.events.trade.A", b"{}");
    world.run_until(world.now_ns + SECOND);
    assert_eq!(world.events, before + 1, "seed {seed}");

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
    assert!(matches!(connecting.session.poll_output(0), Some(Output::Connect(_))));
    connecting.session.begin_stop(0);
    assert!(connecting.session.is_over());
    connecting.session.handle_connected(ConnectionSettings::default(), 1);
    assert!(connecting.session.is_over(), "a socket that comes too late changes nothing");
}

/// The server is asked to go: the session drains it only once another can be reached, and goes there first.
#[test]
fn a_lame_duck_is_left_for_a_server_that_can_be_reached() {
    let mut world = (0..).map(World::new).find(|world| world.servers.len() == 3).expect("some seed has three");
    world.run_until(world.now_ns + SECOND);
    let first = world.connection.as_ref().expect("it is connected").server;
    world.session.handle_op(&ServerOp::Info(br#"{"ldm":true,"max_payload":1048576}"#), world.now_ns);
    assert!(matches!(world.session.poll_output(world.now_ns), Some(Output::LameDuck)));
    let Some(Output::FindReachable(candidates)) = world.session.poll_output(world.now_ns) else { panic!("a search") };
    assert_eq!(candidates.len(), 2, "all but the one that goes");
    // None is: it stays, and asks again in 2 s.
    world.session.handle_reachable(None, world.now_ns);
    world.grant();
    assert_eq!(world.session.next_deadline(), Some(world.now_ns + 2 * SECOND));
    assert!(world.session.report(world.now_ns).is_ready);
    world.now_ns += 2 * SECOND;
    let Some(Output::FindReachable(candidates)) = world.session.poll_output(world.now_ns) else { panic!("a search") };
    world.publish();
    world.session.handle_reachable(Some(candidates[1].clone()), world.now_ns);
    world.run_until(world.now_ns + SECOND);
    let second = world.connection.as_ref().expect("it is connected").server;
    assert_eq!(format!("s{second}"), candidates[1].host);
    assert_ne!(second, first);
    assert!(world.session.report(world.now_ns).is_ready);
    assert!(world.lost.is_empty(), "the drain takes everything along");
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
    assert!(matches!(silent.session.poll_output(0), Some(Output::Connect(_))));
    silent.session.handle_connected(ConnectionSettings::default(), silent.now_ns);
    silent.session.handle_op(&lame_duck, silent.now_ns);
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
    world.session.handle_end_of_stream(world.now_ns);
    world.run_until(world.now_ns + SECOND);
    assert!(world.session.report(world.now_ns).is_ready);
    world.session.begin_stop(world.now_ns);
    world.session.handle_end_of_stream(world.now_ns);
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
    world.session.publish_frames(&vec![b'x'; 5 << 20], world.now_ns);
    world.session.handle_time(world.now_ns);
    world.grant();
    assert!(world.connection.is_some());
    for _ in 0..(4 << 20) / 6 + 1 {
        world.session.handle_op(&ServerOp::Ping, world.now_ns);
    }
    world.session.handle_time(world.now_ns);
    assert!(matches!(world.session.poll_output(world.now_ns), Some(Output::Close(_))));
    let trouble = world.session.trouble().expect("the answers").to_string();
    assert!(trouble.contains("does not read the answers"), "{trouble}");
}
