//! The embedded broker: core NATS for the demo and the tests, as a state machine without sockets or a clock.
//!
//! ```text
//!   handle_bytes(a, PUB) ──► decode ──► route ──► output of b, c ──► poll_wakeup: b, c ──► poll_output(b)
//! ```
//!
//! What it does is nats-server's core: INFO, CONNECT, PING, PUB, HPUB, SUB with wildcards and queue groups, UNSUB with a
//! maximum, `verbose`, `echo`, `no_responders`. What it does not have: accounts, credentials (any are let in), TLS,
//! clusters, JetStream, PINGs of its own. Where it is stricter: a subject must be valid, `pedantic` or not.
//!
//! Invariant: a client's memory is one frame of input and [`BrokerLimits::output_bytes`] of output. A client that
//! lets more than that wait is cut off without an -ERR, as nats-server does; the others are not delayed.

use ahash::HashMap;
use proto_nats::{
    ClientOp, ConnectOptions, DecodeLimits, Decoded, Malformed, ProtocolError, ServerInfo, decode_client_op, encode,
    headers::encode_status, subject,
};

use crate::broker::client::{Client, ClientId, ClientOptions, State};
use crate::broker::subscriptions::Subscriptions;

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
/// Clients conclude from it what a server can do; this is one that has headers and no_responders.
const PROTOCOL_VERSION: &str = "2.10.0";
/// What a client gets that is rejected.
pub const REFUSAL: &[u8] = b"-ERR 'maximum connections exceeded'\r\n";

/// How a client stands after its bytes were handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Open,
    /// It publishes faster than a subscriber reads, which is close to being cut off: to be read again a little later.
    TooFast,
    /// Nothing more that it sends will be looked at.
    Ended,
}

/// What there is to write to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// The buffer holds it.
    Bytes,
    /// Nothing at present; [`Broker::poll_wakeup`] names the client when there is.
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

/// The broker: see the head of this file.
pub struct Broker {
    info: ServerInfo,
    limits: BrokerLimits,
    clients: HashMap<ClientId, Client>,
    subscriptions: Subscriptions,
    last_id: u64,
    woken: Vec<ClientId>,
    /// Subscriptions that get the message that is being routed, by index.
    selected: Vec<usize>,
    /// A client was sent something and is close to being cut off.
    is_near_bound: bool,
    /// Since the start.
    pub counters: BrokerCounters,
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
            clients: HashMap::default(),
            subscriptions: Subscriptions::new(seed),
            last_id: 0,
            woken: Vec::new(),
            selected: Vec::new(),
            is_near_bound: false,
            counters: BrokerCounters::default(),
        }
    }

    /// Further clients are to be rejected.
    pub fn is_full(&self) -> bool {
        self.clients.len() >= self.limits.connections
    }

    /// A client has connected; its INFO is ready to be written.
    pub fn handle_connect(&mut self, client_ip: &str) -> ClientId {
        assert!(!self.is_full(), "a client is accepted only where there is room for it");
        self.last_id += 1;
        self.counters.connections += 1;
        let info = ServerInfo { client_id: self.last_id, client_ip: client_ip.into(), ..self.info.clone() };
        let mut output = Vec::new();
        encode::info(&mut output, &info.to_json());
        let id = ClientId(self.last_id);
        self.clients.insert(id, Client::new(output));
        self.wake(id);
        id
    }

    /// A client's socket is closed, by either side.
    pub fn handle_disconnect(&mut self, id: ClientId) {
        self.clients.remove(&id);
        self.subscriptions.retain(|subscription| subscription.owner != id);
    }

    /// A client has not taken what was written to it in time.
    pub fn handle_write_timeout(&mut self, id: ClientId) {
        self.cut(id);
    }

    /// A client has sent something.
    pub fn handle_bytes(&mut self, id: ClientId, bytes: &[u8]) -> Standing {
        let Some(client) = self.clients.get_mut(&id) else { return Standing::Ended };
        self.is_near_bound = false;
        if client.unread.is_empty() {
            let used = self.handle_frames(id, bytes);
            if let Some(client) = self.clients.get_mut(&id) {
                client.unread.extend_from_slice(&bytes[used..]);
            }
        } else {
            client.unread.extend_from_slice(bytes);
            if client.unread.len() >= client.unread_len_wanted {
                // Lent out, as the frames in it change other clients, and this one.
                let mut unread = std::mem::take(&mut client.unread);
                let used = self.handle_frames(id, &unread);
                unread.drain(..used);
                if unread.is_empty() && unread.capacity() > KEPT_BYTES_MAX {
                    unread = Vec::new();
                }
                if let Some(client) = self.clients.get_mut(&id) {
                    client.unread = unread;
                }
            }
        }
        let Some(client) = self.clients.get_mut(&id) else { return Standing::Ended };
        if client.state != State::Open {
            client.unread = Vec::new();
            return Standing::Ended;
        }
        let frame_bytes_max = CONTROL_LINE_BYTES_MAX + self.limits.payload_bytes + 4;
        assert!(client.unread.len() <= frame_bytes_max, "what is left is the beginning of one frame");
        if self.is_near_bound { Standing::TooFast } else { Standing::Open }
    }

    /// Publishes from within the process. The subject must be valid.
    pub fn publish(&mut self, subject: &[u8], payload: &[u8]) {
        assert!(subject::is_valid_subject(subject), "a subject has no empty token, white space or wildcard");
        assert!(payload.len() <= self.limits.payload_bytes, "a payload fits the limit that INFO states");
        self.counters.messages_in += 1;
        self.route(None, Publication { subject, reply_to: None, headers: None, payload });
    }

    /// The next client for which there is something to be done. Each is named once until its output is asked for.
    pub fn poll_wakeup(&mut self) -> Option<ClientId> {
        self.woken.pop()
    }

    /// What there is to write; `buffer` is empty, and keeps its memory for the next time.
    pub fn poll_output(&mut self, id: ClientId, buffer: &mut Vec<u8>) -> Output {
        assert!(buffer.is_empty(), "the last output has been written");
        let Some(client) = self.clients.get_mut(&id) else { return Output::End };
        client.is_woken = false;
        if client.output.is_empty() {
            return if client.state == State::Open { Output::Nothing } else { Output::End };
        }
        if buffer.capacity() > KEPT_BYTES_MAX {
            *buffer = Vec::new();
        }
        std::mem::swap(&mut client.output, buffer);
        Output::Bytes
    }

    /// It reads too slowly: what is being written to it is given up.
    pub fn is_cut(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_none_or(|client| client.state == State::Cut)
    }

    /// Handles whole frames; returns the bytes they took.
    fn handle_frames(&mut self, id: ClientId, bytes: &[u8]) -> usize {
        let limits = DecodeLimits { control_line: CONTROL_LINE_BYTES_MAX, payload: self.limits.payload_bytes };
        let mut used = 0;
        while self.clients.get(&id).is_some_and(|client| client.state == State::Open) {
            match decode_client_op(&bytes[used..], &limits) {
                Ok(Decoded::Op { op, len }) => {
                    self.handle_op(id, op);
                    used += len;
                }
                Ok(Decoded::NeedMore { at_least }) => {
                    self.client(id).unread_len_wanted = at_least;
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

    fn handle_op(&mut self, id: ClientId, op: ClientOp<'_>) {
        match op {
            ClientOp::Connect(json) => match ConnectOptions::from_json(json) {
                Err(_) => self.close(id, "Parser Error"),
                Ok(options) if options.no_responders && !options.headers => {
                    self.close(id, "no responders requires headers support");
                }
                Ok(options) => {
                    self.client(id).options = options.into();
                    self.acknowledge(id);
                }
            },
            ClientOp::Ping => self.answer(id, encode::pong),
            ClientOp::Pong => {}
            ClientOp::Sub { subject, queue_group, sid } => self.subscribe(id, subject, queue_group, sid),
            ClientOp::Unsub { sid, max } => {
                self.subscriptions.end_after(id, sid, max);
                self.acknowledge(id);
            }
            ClientOp::Pub { subject, reply_to, headers, payload } => {
                self.handle_publication(id, Publication { subject, reply_to, headers, payload });
            }
        }
    }

    fn subscribe(&mut self, id: ClientId, pattern: &[u8], queue_group: Option<&[u8]>, sid: &[u8]) {
        if !subject::is_valid_pattern(pattern) {
            return self.answer(id, |out| encode::err(out, "Invalid Subject"));
        }
        if self.subscriptions.count() >= self.limits.subscriptions {
            return self.answer(id, |out| encode::err(out, "maximum subscriptions exceeded"));
        }
        self.subscriptions.add(id, sid, pattern, queue_group);
        self.acknowledge(id);
    }

    fn handle_publication(&mut self, id: ClientId, publication: Publication<'_>) {
        let ClientOptions { headers: may_have_headers, no_responders: wants_to_know, .. } = self.client(id).options;
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
            self.send_no_responders(id, reply_to);
        }
    }

    /// A 503 for the subscription of the client itself that waits for the reply.
    fn send_no_responders(&mut self, id: ClientId, reply_to: &[u8]) {
        if let Some(index) = self.subscriptions.find(id, reply_to) {
            let mut status = Vec::new();
            encode_status(&mut status, 503, "", &[]);
            let publication = Publication { subject: reply_to, reply_to: None, headers: Some(&status), payload: b"" };
            self.deliver(index, publication);
            self.forget_ended();
        }
    }

    /// Delivers to every subscription that gets the message; returns whether there was any.
    fn route(&mut self, from: Option<ClientId>, publication: Publication<'_>) -> bool {
        let without = from.filter(|id| !self.client(*id).options.echo);
        let mut selected = std::mem::take(&mut self.selected);
        selected.clear();
        self.subscriptions.select(publication.subject, without, &mut selected);
        let mut any_ended = false;
        for index in &selected {
            any_ended |= self.deliver(*index, publication);
        }
        self.selected = selected;
        if any_ended {
            self.forget_ended();
        }
        !self.selected.is_empty()
    }

    /// Says whether a subscription or its owner came to its end with it. Subscriptions keep their places until
    /// [`Broker::forget_ended`].
    fn deliver(&mut self, index: usize, publication: Publication<'_>) -> bool {
        let Publication { subject, reply_to, headers, payload } = publication;
        let subscription = self.subscriptions.at(index);
        let owner = subscription.owner;
        let client = self.clients.get_mut(&owner).expect("a subscription ends with its client");
        if client.state != State::Open || subscription.is_used_up() {
            return true;
        }
        // A client that did not ask for headers gets the payload alone.
        let headers = headers.filter(|_| client.options.headers);
        encode::msg(&mut client.output, subject, &subscription.sid, reply_to, headers, payload);
        subscription.count_delivery();
        let is_used_up = subscription.is_used_up();
        self.counters.messages_out += 1;
        self.wake(owner);
        !self.within_bound(owner) || is_used_up
    }

    fn forget_ended(&mut self) {
        let clients = &self.clients;
        self.subscriptions.retain(|subscription| {
            let owner = clients.get(&subscription.owner);
            !subscription.is_used_up() && owner.is_some_and(|owner| owner.state == State::Open)
        });
    }

    fn client(&mut self, id: ClientId) -> &mut Client {
        self.clients.get_mut(&id).expect("an operation comes from a client that is there")
    }

    fn acknowledge(&mut self, id: ClientId) {
        if self.client(id).options.verbose {
            self.answer(id, encode::ok);
        }
    }

    fn answer(&mut self, id: ClientId, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.client(id).output);
        self.wake(id);
        self.within_bound(id);
    }

    /// Cuts off a client that has let too much pile up.
    fn within_bound(&mut self, id: ClientId) -> bool {
        let waiting = self.client(id).output.len();
        let bound = self.limits.output_bytes;
        self.is_near_bound |= waiting > bound / 4 * 3;
        if waiting > bound {
            self.cut(id);
        }
        waiting <= bound
    }

    fn cut(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id)
            && client.state != State::Cut
        {
            client.state = State::Cut;
            client.output = Vec::new();
            self.counters.slow_consumers += 1;
            self.wake(id);
        }
    }

    /// Sends a client the reason, and ignores what it sends from now on. Its subscriptions end at once.
    fn close(&mut self, id: ClientId, message: &str) {
        self.answer(id, |out| encode::err(out, message));
        let client = self.client(id);
        if client.state == State::Open {
            client.state = State::Closing;
        }
        self.counters.protocol_errors += 1;
        self.forget_ended();
    }

    fn wake(&mut self, id: ClientId) {
        let client = self.client(id);
        if !std::mem::replace(&mut client.is_woken, true) {
            self.woken.push(id);
        }
    }
}

#[cfg(test)]
mod tests;
