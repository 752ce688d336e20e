//! The embedded broker: core NATS for the demo and the tests, as a state machine without sockets or a clock.
//!
//! ```text
//!   handle_bytes(a, PUB) ──► decode ──► route ──► output of b, c ──► poll_roused: b, c ──► poll_output(b)
//! ```
//!
//! What it does is nats-server's core: INFO, CONNECT, PING, PUB, HPUB, SUB with wildcards and queue groups, UNSUB with a
//! maximum, `verbose`, `echo`, `no_responders`. What it does not have: accounts, credentials (any are let in), TLS,
//! clusters, JetStream, PINGs of its own. Where it is stricter: a subject must be valid, `pedantic` or not.
//!
//! Invariant: a connection's memory is one frame of input and [`BrokerLimits::output_bytes`] of output. A client that
//! lets more than that wait is cut off without a word, as nats-server does; the others don't notice.

use ahash::HashMap;
use proto_nats::{
    ClientOp, ConnectOptions, Decoded, Limits, Malformed, ProtocolError, ServerInfo, decode_client_op, encode,
    headers::encode_status, subject,
};

use crate::runtime::random::Random;

/// What clients may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerLimits {
    /// Clients at once.
    pub connections: usize,
    /// Subscriptions of all clients: each message is held against each of them.
    pub subscriptions: usize,
    /// Output that waits for a client. As much again may be on its way into the socket.
    pub output_bytes: usize,
    /// Header and payload of a message; nats-server's default.
    pub payload_bytes: usize,
}

impl Default for BrokerLimits {
    fn default() -> BrokerLimits {
        BrokerLimits { connections: 256, subscriptions: 4096, output_bytes: 8 << 20, payload_bytes: 1 << 20 }
    }
}

/// nats-server's default for a control line, CONNECT included.
const CONTROL_LINE_BYTES_MAX: usize = 4096;
/// A buffer that one burst has made larger than this is given back.
const KEPT_BYTES_MAX: usize = 256 << 10;
/// Clients tell by it what a server can do; this is one that has headers and no_responders.
const PROTOCOL_VERSION: &str = "2.10.0";
/// What a client gets that comes when [`Broker::is_full`].
pub const REFUSAL: &[u8] = b"-ERR 'maximum connections exceeded'\r\n";

/// A client; never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(u64);

/// What becomes of a client whose bytes were handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Open,
    /// It publishes faster than a subscriber takes it, who is close to being cut off: to be read again a little later.
    TooFast,
    /// Nothing more that it sends will be looked at.
    Ended,
}

/// What there is to write to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// The buffer holds it.
    Bytes,
    /// Nothing at present: [`Broker::poll_roused`] will say.
    Nothing,
    /// Nothing any more: the connection is to be closed.
    End,
}

/// Since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BrokerCounters {
    pub connections: u64,
    pub messages_in: u64,
    pub messages_out: u64,
    pub slow_consumers: u64,
    pub protocol_errors: u64,
}

pub struct Broker {
    info: ServerInfo,
    limits: BrokerLimits,
    connections: HashMap<ConnectionId, Connection>,
    /// In the order of their arrival.
    subscriptions: Vec<Subscription>,
    last_id: u64,
    /// Which member of a queue group gets the next message.
    random: Random,
    roused: Vec<ConnectionId>,
    /// Queue subscriptions that match the message being routed, by index.
    candidates: Vec<usize>,
    /// Someone was sent something and is close to being cut off.
    is_pressed: bool,
    pub counters: BrokerCounters,
}

struct Connection {
    state: State,
    client: Client,
    /// The beginning of a frame.
    unread: Vec<u8>,
    /// Before `unread` is this long there is no use in looking at it.
    unread_len_wanted: usize,
    output: Vec<u8>,
    /// Is in `Broker::roused`.
    is_roused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Told why; what is in its output is the last it gets.
    Closing,
    /// Told nothing.
    Cut,
}

/// What CONNECT says, as far as it matters here.
struct Client {
    verbose: bool,
    echo: bool,
    headers: bool,
    no_responders: bool,
}

struct Subscription {
    owner: ConnectionId,
    sid: Box<[u8]>,
    pattern: Box<[u8]>,
    queue_group: Option<Box<[u8]>>,
    delivered: u64,
    /// Ends with the delivery that makes `delivered` this.
    max: Option<u64>,
}

impl Subscription {
    fn is_used_up(&self) -> bool {
        self.max.is_some_and(|max| self.delivered >= max)
    }
}

/// A message on its way through.
#[derive(Clone, Copy)]
struct Publication<'a> {
    subject: &'a [u8],
    reply_to: Option<&'a [u8]>,
    headers: Option<&'a [u8]>,
    payload: &'a [u8],
}

impl Broker {
    /// `host` and `port` are what INFO says; `seed` decides which members of queue groups get what.
    pub fn new(host: &str, port: u16, limits: BrokerLimits, seed: u64) -> Broker {
        Broker {
            info: ServerInfo {
                server_id: format!("SENPAI{seed:016X}"),
                server_name: "senpai-embedded-broker".into(),
                version: PROTOCOL_VERSION.into(),
                proto: 1,
                host: host.into(),
                port,
                max_payload: limits.payload_bytes as u64,
                headers: true,
                ..ServerInfo::default()
            },
            limits,
            connections: HashMap::default(),
            subscriptions: Vec::new(),
            last_id: 0,
            random: Random::new(seed),
            roused: Vec::new(),
            candidates: Vec::new(),
            is_pressed: false,
            counters: BrokerCounters::default(),
        }
    }

    /// Further clients are to be sent [`REFUSAL`] and closed.
    pub fn is_full(&self) -> bool {
        self.connections.len() >= self.limits.connections
    }

    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    pub fn subscription_count(&self) -> usize {
        self.subscriptions.len()
    }

    /// A client has connected; its INFO is ready to be written.
    pub fn handle_connect(&mut self, client_ip: &str) -> ConnectionId {
        assert!(!self.is_full(), "whoever accepts asks first");
        self.last_id += 1;
        self.counters.connections += 1;
        let info = ServerInfo { client_id: self.last_id, client_ip: client_ip.into(), ..self.info.clone() };
        let mut output = Vec::new();
        encode::info(&mut output, &info.to_json());
        let connection = Connection {
            state: State::Open,
            // nats-server's defaults for one that does not say CONNECT, a person with telnet for instance.
            client: Client { verbose: true, echo: true, headers: false, no_responders: false },
            unread: Vec::new(),
            unread_len_wanted: 0,
            output,
            is_roused: false,
        };
        let id = ConnectionId(self.last_id);
        self.connections.insert(id, connection);
        self.rouse(id);
        id
    }

    /// A client's socket is closed, whoever did it.
    pub fn handle_disconnect(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
        self.subscriptions.retain(|subscription| subscription.owner != id);
    }

    /// A client has not taken what was written to it in time.
    pub fn handle_write_timeout(&mut self, id: ConnectionId) {
        self.cut(id);
    }

    /// A client has sent something.
    pub fn handle_bytes(&mut self, id: ConnectionId, bytes: &[u8]) -> Standing {
        let Some(connection) = self.connections.get_mut(&id) else { return Standing::Ended };
        self.is_pressed = false;
        if connection.unread.is_empty() {
            let used = self.handle_frames(id, bytes);
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.unread.extend_from_slice(&bytes[used..]);
            }
        } else {
            connection.unread.extend_from_slice(bytes);
            if connection.unread.len() >= connection.unread_len_wanted {
                // Lent out, as the frames in it change other connections, and this one.
                let mut unread = std::mem::take(&mut connection.unread);
                let used = self.handle_frames(id, &unread);
                unread.drain(..used);
                if unread.is_empty() && unread.capacity() > KEPT_BYTES_MAX {
                    unread = Vec::new();
                }
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.unread = unread;
                }
            }
        }
        let Some(connection) = self.connections.get_mut(&id) else { return Standing::Ended };
        if connection.state != State::Open {
            connection.unread = Vec::new();
            return Standing::Ended;
        }
        let frame_bytes_max = CONTROL_LINE_BYTES_MAX + self.limits.payload_bytes + 4;
        assert!(connection.unread.len() <= frame_bytes_max, "what is left is the beginning of one frame");
        if self.is_pressed { Standing::TooFast } else { Standing::Open }
    }

    /// Publishes from within the process. The subject must be valid.
    pub fn publish(&mut self, subject: &[u8], payload: &[u8]) {
        assert!(subject::is_valid_subject(subject), "a subject has no empty token, white space or wildcard");
        assert!(payload.len() <= self.limits.payload_bytes, "a payload fits the limit that INFO states");
        self.counters.messages_in += 1;
        self.route(None, Publication { subject, reply_to: None, headers: None, payload });
    }

    /// The next client for which there is something to be done. Each is named once until its output is asked for.
    pub fn poll_roused(&mut self) -> Option<ConnectionId> {
        self.roused.pop()
    }

    /// What there is to write; `buffer` is empty, and keeps its memory for the next time.
    pub fn poll_output(&mut self, id: ConnectionId, buffer: &mut Vec<u8>) -> Output {
        assert!(buffer.is_empty(), "the last output has been written");
        let Some(connection) = self.connections.get_mut(&id) else { return Output::End };
        connection.is_roused = false;
        if connection.output.is_empty() {
            return if connection.state == State::Open { Output::Nothing } else { Output::End };
        }
        if buffer.capacity() > KEPT_BYTES_MAX {
            *buffer = Vec::new();
        }
        std::mem::swap(&mut connection.output, buffer);
        Output::Bytes
    }

    /// It takes too long: what is being written to it is not worth waiting for.
    pub fn is_cut(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_none_or(|connection| connection.state == State::Cut)
    }

    /// Handles whole frames; returns the bytes they took.
    fn handle_frames(&mut self, id: ConnectionId, bytes: &[u8]) -> usize {
        let limits = Limits { control_line: CONTROL_LINE_BYTES_MAX, payload: self.limits.payload_bytes };
        let mut used = 0;
        while self.connections.get(&id).is_some_and(|connection| connection.state == State::Open) {
            match decode_client_op(&bytes[used..], &limits) {
                Ok(Decoded::Op { op, len }) => {
                    self.handle_op(id, op);
                    used += len;
                }
                Ok(Decoded::NeedMore { at_least }) => {
                    self.connection(id).unread_len_wanted = at_least;
                    break;
                }
                Ok(Decoded::Oversized { .. }) => self.close(id, "Maximum Payload Violation"),
                Err(ProtocolError::Client(malformed) | ProtocolError::Server(malformed)) => {
                    let message = match malformed {
                        Malformed::UnknownOperation => "Unknown Protocol Operation",
                        Malformed::ControlLineTooLong { .. } => "maximum control line exceeded",
                        _ => "Parser Error",
                    };
                    self.close(id, message);
                }
            }
        }
        used
    }

    fn handle_op(&mut self, id: ConnectionId, op: ClientOp<'_>) {
        match op {
            ClientOp::Connect(json) => match ConnectOptions::from_json(json) {
                Err(_) => self.close(id, "Parser Error"),
                Ok(options) if options.no_responders && !options.headers => {
                    self.close(id, "no responders requires headers support");
                }
                Ok(ConnectOptions { verbose, echo, headers, no_responders, .. }) => {
                    self.connection(id).client = Client { verbose, echo, headers, no_responders };
                    self.acknowledge(id);
                }
            },
            ClientOp::Ping => self.answer(id, encode::pong),
            ClientOp::Pong => {}
            ClientOp::Sub { subject, queue_group, sid } => self.subscribe(id, subject, queue_group, sid),
            ClientOp::Unsub { sid, max } => self.unsubscribe(id, sid, max),
            ClientOp::Pub { subject, reply_to, headers, payload } => {
                self.handle_publication(id, Publication { subject, reply_to, headers, payload });
            }
        }
    }

    fn subscribe(&mut self, id: ConnectionId, pattern: &[u8], queue_group: Option<&[u8]>, sid: &[u8]) {
        if !subject::is_valid_pattern(pattern) {
            return self.answer(id, |out| encode::err(out, "Invalid Subject"));
        }
        if self.subscriptions.len() >= self.limits.subscriptions {
            return self.answer(id, |out| encode::err(out, "maximum subscriptions exceeded"));
        }
        // A sid that is in use stays what it is.
        if !self.subscriptions.iter().any(|known| known.owner == id && *known.sid == *sid) {
            self.subscriptions.push(Subscription {
                owner: id,
                sid: sid.into(),
                pattern: pattern.into(),
                queue_group: queue_group.map(Into::into),
                delivered: 0,
                max: None,
            });
        }
        self.acknowledge(id);
    }

    fn unsubscribe(&mut self, id: ConnectionId, sid: &[u8], max: Option<u64>) {
        let index = self.subscriptions.iter().position(|known| known.owner == id && *known.sid == *sid);
        if let Some(index) = index {
            let subscription = &mut self.subscriptions[index];
            subscription.max = Some(max.unwrap_or(0));
            if subscription.is_used_up() {
                self.subscriptions.remove(index);
            }
        }
        self.acknowledge(id);
    }

    fn handle_publication(&mut self, id: ConnectionId, publication: Publication<'_>) {
        let client = &self.connection(id).client;
        let (may_have_headers, wants_to_know) = (client.headers, client.no_responders);
        if publication.headers.is_some() && !may_have_headers {
            return self.close(id, "message headers not supported");
        }
        if !subject::is_valid_subject(publication.subject) {
            return self.answer(id, |out| encode::err(out, "Invalid Publish Subject"));
        }
        if publication.reply_to.is_some_and(|reply_to| !subject::is_valid_subject(reply_to)) {
            return self.answer(id, |out| encode::err(out, "Invalid Reply Subject"));
        }
        self.acknowledge(id);
        self.counters.messages_in += 1;
        if !self.route(Some(id), publication)
            && wants_to_know
            && let Some(reply_to) = publication.reply_to
        {
            self.say_no_responders(id, reply_to);
        }
    }

    /// A 503 for the subscription of the client itself that waits for the reply.
    fn say_no_responders(&mut self, id: ConnectionId, reply_to: &[u8]) {
        let is_waiting = |known: &Subscription| known.owner == id && subject::matches(&known.pattern, reply_to);
        if let Some(index) = self.subscriptions.iter().position(is_waiting) {
            let mut status = Vec::new();
            encode_status(&mut status, 503, "", &[]);
            let publication = Publication { subject: reply_to, reply_to: None, headers: Some(&status), payload: b"" };
            self.deliver(index, publication);
            self.forget_ended();
        }
    }

    /// Delivers to every subscription that matches and one member of each queue group; says whether there was any.
    fn route(&mut self, from: Option<ConnectionId>, publication: Publication<'_>) -> bool {
        let unwanted = from.filter(|id| !self.connection(*id).client.echo);
        let mut deliveries = 0;
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        let mut any_ended = false;
        for index in 0..self.subscriptions.len() {
            let subscription = &self.subscriptions[index];
            if Some(subscription.owner) == unwanted || !subject::matches(&subscription.pattern, publication.subject) {
                continue;
            }
            match subscription.queue_group {
                Some(_) => candidates.push(index),
                None => {
                    deliveries += 1;
                    any_ended |= self.deliver(index, publication);
                }
            }
        }
        while let Some(&first) = candidates.first() {
            let group = self.subscriptions[first].queue_group.clone();
            let is_member = |index: &usize| self.subscriptions[*index].queue_group == group;
            let member_count = candidates.iter().filter(|index| is_member(index)).count();
            let turn = self.random.below(member_count as u64) as usize;
            let member =
                candidates.iter().copied().filter(|index| self.subscriptions[*index].queue_group == group).nth(turn);
            deliveries += 1;
            any_ended |= self.deliver(member.expect("the turn is below the count"), publication);
            candidates.retain(|index| self.subscriptions[*index].queue_group != group);
        }
        self.candidates = candidates;
        if any_ended {
            self.forget_ended();
        }
        deliveries > 0
    }

    /// Says whether a subscription or its owner came to its end with it. Subscriptions keep their places until
    /// [`Broker::forget_ended`].
    fn deliver(&mut self, index: usize, publication: Publication<'_>) -> bool {
        let Publication { subject, reply_to, headers, payload } = publication;
        let subscription = &mut self.subscriptions[index];
        let owner = subscription.owner;
        let connection = self.connections.get_mut(&owner).expect("a subscription ends with its connection");
        if connection.state != State::Open || subscription.is_used_up() {
            return true;
        }
        // A client that did not ask for headers gets the payload alone.
        let headers = headers.filter(|_| connection.client.headers);
        encode::msg(&mut connection.output, subject, &subscription.sid, reply_to, headers, payload);
        subscription.delivered += 1;
        let is_used_up = subscription.is_used_up();
        self.counters.messages_out += 1;
        self.rouse(owner);
        !self.within_bound(owner) || is_used_up
    }

    fn forget_ended(&mut self) {
        let connections = &self.connections;
        self.subscriptions.retain(|subscription| {
            let owner = connections.get(&subscription.owner);
            !subscription.is_used_up() && owner.is_some_and(|owner| owner.state == State::Open)
        });
    }

    fn connection(&mut self, id: ConnectionId) -> &mut Connection {
        self.connections.get_mut(&id).expect("an operation comes from a connection")
    }

    fn acknowledge(&mut self, id: ConnectionId) {
        if self.connection(id).client.verbose {
            self.answer(id, encode::ok);
        }
    }

    fn answer(&mut self, id: ConnectionId, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.connection(id).output);
        self.rouse(id);
        self.within_bound(id);
    }

    /// Cuts off a client that has let too much pile up.
    fn within_bound(&mut self, id: ConnectionId) -> bool {
        let waiting = self.connection(id).output.len();
        let bound = self.limits.output_bytes;
        self.is_pressed |= waiting > bound / 4 * 3;
        if waiting > bound {
            self.cut(id);
        }
        waiting <= bound
    }

    fn cut(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id)
            && connection.state != State::Cut
        {
            connection.state = State::Cut;
            connection.output = Vec::new();
            self.counters.slow_consumers += 1;
            self.rouse(id);
        }
    }

    /// Tells a client why, and hears no more of it. Its subscriptions end at once.
    fn close(&mut self, id: ConnectionId, message: &str) {
        self.answer(id, |out| encode::err(out, message));
        let connection = self.connection(id);
        if connection.state == State::Open {
            connection.state = State::Closing;
        }
        self.counters.protocol_errors += 1;
        self.forget_ended();
    }

    fn rouse(&mut self, id: ConnectionId) {
        let connection = self.connection(id);
        if !std::mem::replace(&mut connection.is_roused, true) {
            self.roused.push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BrokerLimits =
        BrokerLimits { connections: 8, subscriptions: 8, output_bytes: 4096, payload_bytes: 64 };
    const QUIET: &str = "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n";

    fn broker() -> Broker {
        Broker::new("127.0.0.1", 4222, LIMITS, 7)
    }

    /// Connects, and takes the INFO off.
    fn connect(broker: &mut Broker, hello: &str) -> ConnectionId {
        let id = broker.handle_connect("127.0.0.1");
        let info = output(broker, id);
        assert!(info.starts_with("INFO {") && info.ends_with("}\r\n") && info.contains("\"headers\":true"), "{info}");
        assert_eq!(broker.handle_bytes(id, hello.as_bytes()), Standing::Open);
        id
    }

    /// Everything there is to write, with `<end>` behind it where the connection is to be closed.
    fn output(broker: &mut Broker, id: ConnectionId) -> String {
        let mut all = String::new();
        let mut buffer = Vec::new();
        loop {
            match broker.poll_output(id, &mut buffer) {
                Output::Bytes => all.push_str(std::str::from_utf8(&buffer).unwrap()),
                Output::Nothing => return all,
                Output::End => return all + "<end>",
            }
            buffer.clear();
        }
    }

    /// One client says `hello` and then `input`, in one piece and cut at every byte: the answer is `expected`.
    fn check_after(hello: &str, input: &str, expected: &str) {
        for cut in 0..=input.len() {
            let mut broker = broker();
            let id = connect(&mut broker, hello);
            let (head, tail) = input.as_bytes().split_at(cut);
            broker.handle_bytes(id, head);
            broker.handle_bytes(id, tail);
            assert_eq!(output(&mut broker, id), expected, "{input:?} cut at {cut}");
        }
        let mut broker = broker();
        let id = connect(&mut broker, hello);
        for byte in input.as_bytes() {
            broker.handle_bytes(id, &[*byte]);
        }
        assert_eq!(output(&mut broker, id), expected, "{input:?} byte by byte");
    }

    fn check(input: &str, expected: &str) {
        check_after(QUIET, input, expected);
    }

    #[test]
    fn messages_come_back_to_who_asks_for_them() {
        check("PING\r\n", "PONG\r\n");
        check("ping\r\nPONG\r\nPING\r\n", "PONG\r\nPONG\r\n");
        check("SUB a 1\r\nPUB a 2\r\nhi\r\n", "MSG a 1 2\r\nhi\r\n");
        check("SUB a 1\r\nPUB a r 0\r\n\r\n", "MSG a 1 r 0\r\n\r\n");
        check("SUB a 1\r\nPUB a 8\r\nPING\r\n\r\n\r\n", "MSG a 1 8\r\nPING\r\n\r\n\r\n");
        check("SUB a.* x\r\nPUB a.b 1\r\n1\r\nPUB a 1\r\n2\r\nPUB a.b.c 1\r\n3\r\n", "MSG a.b x 1\r\n1\r\n");
        check("SUB a.> x\r\nPUB a 1\r\n1\r\nPUB a.b.c 1\r\n2\r\n", "MSG a.b.c x 1\r\n2\r\n");
        check("SUB a 1\r\nSUB > 2\r\nPUB a 1\r\n1\r\n", "MSG a 1 1\r\n1\r\nMSG a 2 1\r\n1\r\n");
        check("SUB a 1\r\nSUB b 1\r\nPUB b 1\r\n1\r\nPUB a 1\r\n2\r\n", "MSG a 1 1\r\n2\r\n");
        check("SUB a 1\r\nHPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    }

    #[test]
    fn unsubscribing() {
        check("SUB a 1\r\nUNSUB 1\r\nPUB a 1\r\n1\r\n", "");
        check("UNSUB 1\r\nPING\r\n", "PONG\r\n");
        let three = "PUB a 1\r\n1\r\nPUB a 1\r\n2\r\nPUB a 1\r\n3\r\n";
        check(&format!("SUB a 1\r\nUNSUB 1 2\r\n{three}"), "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n");
        let two = "PUB a 1\r\n2\r\nPUB a 1\r\n3\r\n";
        check(&format!("SUB a 1\r\nPUB a 1\r\n1\r\nUNSUB 1 2\r\n{two}"), "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n");
        check("SUB a 1\r\nPUB a 1\r\n1\r\nUNSUB 1 1\r\nPUB a 1\r\n2\r\n", "MSG a 1 1\r\n1\r\n");
        check("SUB a 1\r\nUNSUB 1 1\r\nPUB a 1\r\n1\r\nSUB a 1\r\nPUB a 1\r\n2\r\n", {
            "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n"
        });
    }

    #[test]
    fn a_request_that_nobody_hears_is_answered() {
        let no = "HMSG r 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n";
        check("SUB r 1\r\nPUB a r 1\r\n1\r\n", no);
        check("SUB r.* 1\r\nPUB a r.x 1\r\n1\r\n", "HMSG r.x 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
        check("SUB r 1\r\nPUB a 1\r\n1\r\n", "");
        check("PUB a r 1\r\n1\r\n", "");
        check("SUB r 1\r\nSUB a 2\r\nPUB a r 1\r\n1\r\n", "MSG a 2 r 1\r\n1\r\n");
        check("SUB r 1\r\nUNSUB 1 1\r\nPUB a r 1\r\n1\r\nPUB a r 1\r\n1\r\n", no);
        check_after("CONNECT {}\r\n", "SUB r 1\r\nPUB a r 1\r\n1\r\n", "");
    }

    #[test]
    fn verbose_pedantic_and_echo() {
        // As a person with telnet sees it.
        check_after("", "SUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n", "+OK\r\n+OK\r\nMSG a 1 2\r\nhi\r\nPONG\r\n");
        let connect = "CONNECT {\"verbose\":true,\"pedantic\":true}\r\n";
        check_after("", &format!("{connect}SUB a 1\r\nUNSUB 1\r\n"), "+OK\r\n+OK\r\n+OK\r\n");
        check_after("CONNECT {\"echo\":false}\r\n", "SUB a 1\r\nPUB a 1\r\n1\r\n", "");
        let mut broker = broker();
        let deaf = self::connect(&mut broker, "CONNECT {\"echo\":false}\r\nSUB a 1\r\n");
        let other = self::connect(&mut broker, &format!("{QUIET}SUB a 2\r\n"));
        broker.handle_bytes(deaf, b"PUB a 1\r\n1\r\n");
        assert_eq!((output(&mut broker, deaf), output(&mut broker, other)), ("".into(), "MSG a 2 1\r\n1\r\n".into()));
    }

    #[test]
    fn what_is_refused_and_what_ends_the_connection() {
        check("SUB a..b 1\r\nPING\r\n", "-ERR 'Invalid Subject'\r\nPONG\r\n");
        check("SUB a.>.b 1\r\nPING\r\n", "-ERR 'Invalid Subject'\r\nPONG\r\n");
        check("SUB > 1\r\nPUB a.* 1\r\n1\r\nPUB .a 1\r\n1\r\n", &"-ERR 'Invalid Publish Subject'\r\n".repeat(2));
        check("SUB > 1\r\nPUB a r.* 1\r\n1\r\n", "-ERR 'Invalid Reply Subject'\r\n");
        let nine: String = (0..9).map(|sid| format!("SUB a {sid}\r\n")).collect();
        check(&format!("{nine}PING\r\n"), "-ERR 'maximum subscriptions exceeded'\r\nPONG\r\n");

        let ends = |input: &str, message: &str| check(input, &format!("-ERR '{message}'\r\n<end>"));
        ends("GET / HTTP/1.1\r\nPING\r\n", "Unknown Protocol Operation");
        ends("PUB a x\r\nPING\r\n", "Parser Error");
        ends("PUB a 1\r\n12\r\nPING\r\n", "Parser Error");
        ends("CONNECT []\r\nPING\r\n", "Parser Error");
        ends("PUB a 65\r\nPING\r\n", "Maximum Payload Violation");
        ends("CONNECT {\"no_responders\":true}\r\n", "no responders requires headers support");
        ends("CONNECT {}\r\nHPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "message headers not supported");
        let mut broker = broker();
        let id = connect(&mut broker, QUIET);
        assert_eq!(broker.handle_bytes(id, format!("SUB {}", "a".repeat(4100)).as_bytes()), Standing::Ended);
        assert_eq!(output(&mut broker, id), "-ERR 'maximum control line exceeded'\r\n<end>");
        assert_eq!(broker.handle_bytes(id, b"PING\r\n"), Standing::Ended);
    }

    #[test]
    fn a_client_without_headers_gets_the_payload() {
        let mut broker = broker();
        let plain = connect(&mut broker, "CONNECT {}\r\nSUB a 1\r\n");
        let other = connect(&mut broker, QUIET);
        broker.handle_bytes(other, b"HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
        assert_eq!(output(&mut broker, plain), "MSG a 1 2\r\nhi\r\n");
    }

    #[test]
    fn a_queue_group_shares_and_everyone_else_gets_all() {
        let mut broker = broker();
        let members: Vec<_> = (0..3).map(|_| connect(&mut broker, &format!("{QUIET}SUB a.* q 1\r\n"))).collect();
        let wider = connect(&mut broker, &format!("{QUIET}SUB a.> q 1\r\nSUB > other 2\r\n"));
        let plain = connect(&mut broker, &format!("{QUIET}SUB a.b 1\r\n"));
        let publisher = connect(&mut broker, QUIET);
        let mut shares = [0; 4];
        for _ in 0..400 {
            broker.handle_bytes(publisher, b"PUB a.b 1\r\n1\r\n");
            let mut copies = 0;
            for (share, member) in shares.iter_mut().zip(members.iter().chain([&wider])) {
                let count = output(&mut broker, *member).matches("MSG a.b 1 ").count();
                *share += count;
                copies += count;
            }
            assert_eq!(copies, 1);
            assert_eq!(output(&mut broker, plain), "MSG a.b 1 1\r\n1\r\n");
        }
        assert!(shares.iter().all(|share| (60..140).contains(share)), "{shares:?}");
        assert_eq!(broker.counters.messages_in, 400);
        assert_eq!(broker.counters.messages_out, 1200);
        broker.handle_disconnect(members[0]);
        broker.handle_bytes(publisher, b"PUB a.b 1\r\n1\r\n");
        assert_eq!(broker.subscription_count(), 5);
    }

    #[test]
    fn a_slow_client_is_cut_off_and_the_others_go_on() {
        let mut broker = broker();
        let slow = connect(&mut broker, &format!("{QUIET}SUB a 1\r\nSUB a 2\r\n"));
        let quick = connect(&mut broker, &format!("{QUIET}SUB a 1\r\n"));
        let publisher = connect(&mut broker, QUIET);
        let frame = format!("PUB a 64\r\n{}\r\n", "x".repeat(64));
        let mut standings = Vec::new();
        for _ in 0..100 {
            standings.push(broker.handle_bytes(publisher, frame.as_bytes()));
            assert!(output(&mut broker, quick).starts_with("MSG a 1 64\r\n"));
        }
        assert_eq!(output(&mut broker, slow), "<end>");
        assert!(broker.is_cut(slow) && !broker.is_cut(quick));
        assert_eq!((broker.counters.slow_consumers, broker.subscription_count()), (1, 1));
        let pressed = standings.iter().filter(|standing| **standing == Standing::TooFast).count();
        assert!((5..10).contains(&pressed), "{pressed}");
        assert_eq!(standings.last(), Some(&Standing::Open));
        // Answers count, too.
        let pinging = connect(&mut broker, QUIET);
        let standing = broker.handle_bytes(pinging, "PING\r\n".repeat(1000).as_bytes());
        assert_eq!((standing, broker.is_cut(pinging)), (Standing::Ended, true));
    }

    #[test]
    fn publications_from_within_arrive_and_rouse_once() {
        let mut broker = broker();
        let id = connect(&mut broker, &format!("{QUIET}SUB md.> 1\r\n"));
        while broker.poll_roused().is_some() {}
        broker.publish(b"md.events.x", b"1");
        broker.publish(b"md.events.x", b"2");
        broker.publish(b"other", b"3");
        assert_eq!((broker.poll_roused(), broker.poll_roused()), (Some(id), None));
        assert_eq!(output(&mut broker, id), "MSG md.events.x 1 1\r\n1\r\nMSG md.events.x 1 1\r\n2\r\n");
        broker.publish(b"md.events.x", b"3");
        assert_eq!(broker.poll_roused(), Some(id));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let words: [&[u8]; 16] = [
            b"PUB a 1\r\nx\r\n",
            b"SUB > 1\r\n",
            b"SUB a q 2\r\n",
            b"UNSUB 1",
            b" 5\r\n",
            b"\r\n",
            b"PING\r\n",
            b"HPUB a r ",
            b"12 13\r\nNATS/1.0\r\n\r\n",
            b"CONNECT {}",
            b" ",
            b"a",
            b"PUB a r ",
            b"2\r\n..\r\n",
            b"\xff",
            b"SUB r 9\r\n",
        ];
        let mut random = Random::new(1);
        for seed in 0..2_000 {
            let mut broker = broker();
            let ids: Vec<_> = (0..4).map(|_| connect(&mut broker, QUIET)).collect();
            for _ in 0..40 {
                let pick = random.draw() as usize;
                let id = ids[pick % 4];
                broker.handle_bytes(id, words[pick / 4 % words.len()]);
                if pick.is_multiple_of(29) {
                    broker.handle_disconnect(id);
                }
            }
            for id in ids {
                let _ = output(&mut broker, id);
                broker.handle_disconnect(id);
            }
            assert_eq!((broker.subscription_count(), broker.connection_count()), (0, 0), "seed {seed}");
        }
    }
}
