//! Attempts at servers, side by side: each a connection from its first byte until it has logged in.
//!
//! ```text
//!   poll ──► Connect ──► handle_connected ──► handle_op … ──► poll: LoggedIn, the first of them; GiveUp, the others
//!                   └──► handle_unreachable ────────────────► poll: GiveUp
//! ```
//!
//! Which server, and when, is the pool's; what follows from a login is the session's. The loop around the session owns the
//! sockets.

use std::net::IpAddr;
use std::sync::Arc;

use proto_nats::{
    Action, Cause, Connection, ConnectionSettings, ConnectionState, Merged, Next, Origin, Reason, ServerAddress,
    ServerError, ServerKey, ServerOp, ServerPool, Subscription,
};

use crate::nats::error::{ServerTrouble, Trouble};
use crate::nats::transport::StreamError;

/// Of an attempt: CONNECT, the subscriptions of all symbols that a setting may name, and PONGs that the server does not read.
const UNSENT_BYTES_MAX: usize = 4 << 20;

/// Names a connection of a session, from the attempt on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionId(u64);

/// One attempt.
#[derive(Debug)]
pub struct Attempt {
    pub(crate) id: ConnectionId,
    pub(crate) key: ServerKey,
    pub(crate) server: ServerAddress,
    /// Once the socket is open.
    pub(crate) connection: Option<Box<Connection>>,
    /// The socket's other end.
    peer: Option<IpAddr>,
    /// Bytes for the socket.
    pub(crate) out: Vec<u8>,
    /// Told by the loop: it ends the attempt once everything before it is told.
    failure: Option<Trouble>,
    /// What the network had against the connection that has ended.
    network_error: Option<std::io::Error>,
}

/// What an attempt asks for, or tells.
#[derive(Debug)]
pub(crate) enum AttemptEvent {
    StartTls,
    Complaint(ServerError),
    UnreadableInfo,
    /// So many servers are advertised that are not used.
    Untrusted {
        count: usize,
    },
    /// Every subscription is confirmed, but for so many.
    Confirmed {
        refused: usize,
    },
    Failed(Trouble),
}

impl Attempt {
    /// The socket is open, to `peer`.
    fn handle_connected(&mut self, connection: Connection, peer: Option<IpAddr>) {
        self.connection.get_or_insert_with(|| Box::new(connection));
        self.peer = peer;
    }

    /// One operation that the server has sent. Messages, which come once it is subscribed, are kept by the loop.
    pub fn handle_op(&mut self, op: &ServerOp<'_>, now_ns: u64) {
        if let Some(connection) = &mut self.connection {
            connection.handle_op(op, now_ns, &mut self.out);
            if self.out.len() > UNSENT_BYTES_MAX {
                connection.handle_unusable(Reason::AnswersUnread);
            }
        }
    }

    /// Bytes have arrived, whatever they are.
    pub fn note_received(&mut self, now_ns: u64) {
        if let Some(connection) = &mut self.connection {
            connection.note_received(now_ns);
        }
    }

    /// The TLS handshake that was asked for is through.
    pub fn handle_tls_started(&mut self, now_ns: u64) {
        if let Some(connection) = &mut self.connection {
            connection.handle_tls_started(now_ns, &mut self.out);
        }
    }

    /// Nothing can be done with what arrives.
    pub fn handle_unusable(&mut self, reason: Reason) {
        if let Some(connection) = &mut self.connection {
            connection.handle_unusable(reason);
        }
    }

    /// The stream has ended; `error`: not in order.
    pub fn handle_end_of_stream(&mut self, error: Option<StreamError>, now_ns: u64) {
        let Some(connection) = &mut self.connection else { return };
        match error {
            Some(StreamError::Tls(error)) => self.handle_failed(Trouble::Tls(error)),
            Some(StreamError::Network(error)) => {
                self.network_error.get_or_insert(error);
                connection.handle_end_of_stream(now_ns);
            }
            None => connection.handle_end_of_stream(now_ns),
        }
    }

    /// Something that the protocol does not know of has ended it: no socket, TLS, a file.
    pub fn handle_failed(&mut self, trouble: Trouble) {
        self.failure.get_or_insert(trouble);
    }

    /// TLS is asked for and its handshake is not through.
    pub fn awaits_tls(&self) -> bool {
        self.state() == Some(ConnectionState::AwaitTls)
    }

    /// What arrives is of use. Once its subscriptions are confirmed it is left in the socket until the connection serves.
    pub fn is_read(&self) -> bool {
        self.state().is_some_and(|state| state != ConnectionState::Ready)
    }

    /// Messages may come: they are to be kept for the time when the connection serves.
    pub fn is_subscribed(&self) -> bool {
        self.state().is_some_and(ConnectionState::is_subscribed)
    }

    /// Bytes for the socket.
    pub fn bytes_to_send(&self) -> &[u8] {
        &self.out
    }

    /// The socket has taken so many of them.
    pub fn note_sent(&mut self, len: usize) {
        self.out.drain(..len);
    }

    pub(crate) fn state(&self) -> Option<ConnectionState> {
        self.connection.as_ref().map(|connection| connection.state())
    }

    pub(crate) fn handle_time(&mut self, now_ns: u64) {
        if let Some(connection) = &mut self.connection {
            connection.handle_time(now_ns, &mut self.out);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.connection.as_ref().and_then(|connection| connection.next_deadline())
    }

    /// What has happened on the connection; the pool learns what concerns it.
    pub(crate) fn poll(&mut self, pool: &mut ServerPool, discovers: bool, now_ns: u64) -> Option<AttemptEvent> {
        while let Some(connection) = &mut self.connection
            && let Some(action) = connection.poll_action()
        {
            match action {
                Action::StartTls => return Some(AttemptEvent::StartTls),
                Action::InfoReceived { secured } if discovers => {
                    let merged = merge_discovered(pool, self.key, connection, self.peer, secured);
                    if merged.untrusted > 0 {
                        return Some(AttemptEvent::Untrusted { count: merged.untrusted });
                    }
                }
                Action::LameDuck => pool.handle_lame_duck(self.key, now_ns),
                Action::Ready { refused } => return Some(AttemptEvent::Confirmed { refused }),
                Action::Complaint(error) => return Some(AttemptEvent::Complaint(error)),
                Action::UnreadableInfo => return Some(AttemptEvent::UnreadableInfo),
                Action::Disconnect(reason) => {
                    return Some(AttemptEvent::Failed(Trouble::of_end(reason, self.network_error.take())));
                }
                Action::DrainComplete { .. }
                | Action::Confirmed
                | Action::SubscriptionRefused
                | Action::InfoReceived { .. } => {}
            }
        }
        self.failure.take().map(AttemptEvent::Failed)
    }

    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.peer
    }
}

/// Takes over what the newest INFO of `connection` advertises; says what became of it.
pub(crate) fn merge_discovered(
    pool: &mut ServerPool,
    key: ServerKey,
    connection: &Connection,
    peer: Option<IpAddr>,
    secured: bool,
) -> Merged {
    let origin =
        Origin { peer, secured, wants_tls: connection.wants_tls(), has_credentials: connection.has_credentials() };
    pool.merge_discovered(key, &connection.info().connect_urls, &origin)
}

/// All attempts that are under way, and the pool that they come from.
pub(crate) struct Attempts {
    /// Says which server is tried next, and when; the session reports to it how connections end.
    pub pool: ServerPool,
    /// Addresses that servers advertise are used as well.
    pub discovers: bool,
    subscriptions: Vec<Subscription>,
    under_way: Vec<Attempt>,
    next_id: u64,
    /// When the pool wants to be asked again.
    due_ns: Option<u64>,
}

/// What attempts are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need<'a> {
    /// Nothing: those under way are given up.
    None,
    /// A connection.
    Any,
    /// One that takes over where the connection that has logged in is never confirmed.
    Reserve,
    /// One to another server than that with this id, which may have several addresses.
    Other { than: &'a str },
}

/// What attempts ask for, or tell.
#[derive(Debug)]
pub(crate) enum AttemptsOutput {
    Connect {
        id: ConnectionId,
        server: ServerAddress,
    },
    StartTls(ConnectionId),
    Complaint(ServerError),
    UnreadableInfo,
    Untrusted {
        server: ServerAddress,
        count: usize,
    },
    /// Close its socket. Without a trouble, another one was first.
    GiveUp {
        id: ConnectionId,
        trouble: Option<Arc<ServerTrouble>>,
    },
    /// The first one; it is the session's now.
    LoggedIn(Attempt),
}

impl Attempts {
    /// None is under way. Each attempt will subscribe to `subjects`, with sids from 1.
    pub fn new(pool: ServerPool, subjects: &[String], discovers: bool) -> Attempts {
        let numbered = subjects.iter().zip(1..);
        Attempts {
            pool,
            discovers,
            subscriptions: numbered.map(|(subject, sid)| Subscription::new(sid, subject, None)).collect(),
            under_way: Vec::new(),
            next_id: 0,
            due_ns: None,
        }
    }

    /// `None` where that attempt is over, or its connection serves.
    pub fn find(&mut self, id: ConnectionId) -> Option<&mut Attempt> {
        self.under_way.iter_mut().find(|attempt| attempt.id == id)
    }

    /// No attempt is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Where attempts are under way.
    pub fn servers(&self) -> impl Iterator<Item = &ServerAddress> {
        self.under_way.iter().map(|attempt| &attempt.server)
    }

    /// The socket of an attempt is open, to `peer` where that is known. An attempt that is over is passed over.
    pub fn handle_connected(
        &mut self,
        id: ConnectionId,
        settings: ConnectionSettings,
        peer: Option<IpAddr>,
        now_ns: u64,
    ) {
        let subscriptions = self.subscriptions.clone();
        if let Some(attempt) = self.find(id) {
            attempt.handle_connected(Connection::new(settings, subscriptions, now_ns), peer);
        }
    }

    /// Time passes for each attempt: its login may be too late, a PING may be due.
    pub fn handle_time(&mut self, now_ns: u64) {
        self.under_way.iter_mut().for_each(|attempt| attempt.handle_time(now_ns));
    }

    /// When an attempt is due, or the next one may begin, in ns; `None` where only an event can change anything.
    pub fn next_deadline(&self) -> Option<u64> {
        self.under_way.iter().filter_map(Attempt::next_deadline).chain(self.due_ns).min()
    }

    /// What is to be done next.
    pub fn poll(&mut self, need: Need<'_>, now_ns: u64) -> Option<AttemptsOutput> {
        self.due_ns = None;
        if let Need::None = need {
            let attempt = self.under_way.pop()?;
            self.pool.handle_closed(attempt.key, Cause::Left, now_ns);
            return Some(AttemptsOutput::GiveUp { id: attempt.id, trouble: None });
        }
        for index in 0..self.under_way.len() {
            let attempt = &mut self.under_way[index];
            let id = attempt.id;
            match attempt.poll(&mut self.pool, self.discovers, now_ns) {
                Some(AttemptEvent::StartTls) => return Some(AttemptsOutput::StartTls(id)),
                Some(AttemptEvent::Complaint(error)) => return Some(AttemptsOutput::Complaint(error)),
                Some(AttemptEvent::UnreadableInfo) => return Some(AttemptsOutput::UnreadableInfo),
                Some(AttemptEvent::Untrusted { count }) => {
                    return Some(AttemptsOutput::Untrusted { server: attempt.server.clone(), count });
                }
                Some(AttemptEvent::Failed(trouble)) => {
                    let attempt = self.under_way.remove(index);
                    return Some(self.give_up(attempt, trouble, now_ns));
                }
                // Not before it is subscribed.
                Some(AttemptEvent::Confirmed { .. }) | None => {}
            }
            let Some(connection) = attempt.connection.as_ref().filter(|it| it.state() == ConnectionState::LoggedIn)
            else {
                continue;
            };
            let info = connection.info();
            match need {
                // It waits for its turn.
                Need::Reserve => continue,
                Need::Other { than } if info.lame_duck_mode || !than.is_empty() && info.server_id == than => {
                    let attempt = self.under_way.remove(index);
                    self.pool.handle_lame_duck(attempt.key, now_ns);
                    self.pool.handle_closed(attempt.key, Cause::Trouble, now_ns);
                    return Some(AttemptsOutput::GiveUp { id, trouble: None });
                }
                _ => return Some(AttemptsOutput::LoggedIn(self.under_way.remove(index))),
            }
        }
        match self.pool.next(now_ns) {
            Next::Attempt(key, server) => {
                let id = ConnectionId(self.next_id);
                self.next_id += 1;
                self.under_way.push(Attempt {
                    id,
                    key,
                    server: server.clone(),
                    connection: None,
                    peer: None,
                    out: Vec::new(),
                    failure: None,
                    network_error: None,
                });
                Some(AttemptsOutput::Connect { id, server })
            }
            Next::Wait { until_ns } => {
                self.due_ns = Some(until_ns);
                None
            }
            Next::Nothing => None,
        }
    }

    /// The attempt is over, and why.
    pub fn give_up(&mut self, attempt: Attempt, trouble: Trouble, now_ns: u64) -> AttemptsOutput {
        self.pool.handle_closed(attempt.key, trouble.cause(), now_ns);
        let trouble = Arc::new(ServerTrouble { server: attempt.server, trouble });
        AttemptsOutput::GiveUp { id: attempt.id, trouble: Some(trouble) }
    }
}
