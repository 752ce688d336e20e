//! A client's life with its servers, without a socket and without a clock: which server to connect to, one connection's
//! protocol, what is to be sent and sent again, liveness, lame duck, drain, report.
//!
//! ```text
//!   handle_connected, handle_op, handle_time …  ──► ┌─────────┐ ──► poll_output: Connect, StartTls, Ready, Close …
//!   publish, begin_stop                         ──► │ Session │ ──► unsent: bytes for the socket
//!   note_sent, note_received                    ──► └─────────┘ ──► next_deadline, report
//!
//!   Idle ──► Connecting ──► Connected ──► Idle …                     begin_stop: ──► Over
//! ```
//!
//! The loop around it owns the socket: it does what the outputs ask for, reports what happened, and moves the bytes.
//! `M` says what a publication is about, so that one that was not sent can be judged before it is sent again.
//!
//! Invariants:
//!
//! 1. Each [`Output::Connect`] is answered by [`handle_connected`](Session::handle_connected) or
//!    [`handle_unreachable`](Session::handle_unreachable), each connection is ended by [`Output::Close`], in turns.
//! 2. A publication is in one place: the send buffer, or among those that the connections before did not take.
//! 3. Once over, nothing comes out any more.

use proto_nats::{
    Action, Cause, Connection, ConnectionSettings, ConnectionState, Next, Operation, Reason, ServerAddress,
    ServerError, ServerInfo, ServerOp, ServerPool, Subscription,
};

use crate::engine::memory::NoMemory;
use crate::engine::time::NANOS_PER_SECOND;
use crate::nats::error::{Complaint, ServerTrouble, Trouble};
use crate::nats::send_buffer::{Publication, SendBuffer, Unsent};
pub use crate::nats::session_io::{Output, SessionReport, SessionSettings};

/// Between two searches for a server to move to: one may come back meanwhile, or become known.
const FAILOVER_INTERVAL_NS: u64 = 2 * NANOS_PER_SECOND as u64;
/// So long after the last refused publication all is well again: the server says nothing when it grants a permission.
const REFUSAL_LASTS_NS: u64 = 60 * NANOS_PER_SECOND as u64;
/// Bytes of answers to the server's PINGs from which it is hostile: it does not read them as fast as it asks.
const UNREAD_ANSWERS_MAX: usize = 4 << 20;

/// See the head of this file.
pub struct Session<M> {
    settings: SessionSettings,
    pool: ServerPool,
    phase: Phase,
    send_buffer: SendBuffer<M>,
    /// What the connections before this one did not take.
    unsent: Unsent<M>,
    is_stopping: bool,
    /// Connections that became ready.
    ready_count: u64,
    slow_consumer_cuts: u64,
    trouble: Option<ServerTrouble>,
    /// The last one on this connection, and when.
    refused_publication: Option<(ServerError, u64)>,
}

enum Phase {
    /// Until it is time for the next attempt.
    Idle {
        until_ns: u64,
    },
    Connecting(ServerAddress),
    Connected(Box<Connected>),
    Over,
}

struct Connected {
    server: ServerAddress,
    connection: Connection,
    /// Publications are taken: it has been ready, and is not closed.
    takes_publications: bool,
    /// Told by the loop: it ends the connection once everything before it is told.
    failure: Option<Trouble>,
    /// The search for another server, where this one is a lame duck.
    failover: Option<Failover>,
    stage: Stage,
}

/// How far a connection's end is.
enum Stage {
    Serving,
    Drained,
    /// The loop sends the last bytes.
    Flushing,
    Flushed,
    Failed(Trouble),
}

enum Failover {
    Due { at_ns: u64 },
    Searching,
}

impl<M: Copy> Session<M> {
    /// A session that is about to connect for the first time.
    pub fn new(settings: SessionSettings) -> Result<Self, NoMemory> {
        Ok(Session {
            pool: match settings.seed {
                Some(seed) => ServerPool::new(settings.servers.clone(), seed),
                None => ServerPool::in_order(settings.servers.clone()),
            },
            settings,
            phase: Phase::Idle { until_ns: 0 },
            send_buffer: SendBuffer::new()?,
            unsent: Unsent::default(),
            is_stopping: false,
            ready_count: 0,
            slow_consumer_cuts: 0,
            trouble: None,
            refused_publication: None,
        })
    }

    /// The socket to the server of the last [`Output::Connect`] is open.
    pub fn handle_connected(&mut self, settings: ConnectionSettings, now_ns: u64) {
        let Phase::Connecting(server) = &self.phase else { return };
        let numbered = self.settings.subjects.iter().zip(1..);
        let subscriptions = numbered.map(|(subject, sid)| Subscription::new(sid, subject, None)).collect();
        self.phase = Phase::Connected(Box::new(Connected {
            server: server.clone(),
            connection: Connection::new(settings, subscriptions, now_ns),
            takes_publications: false,
            failure: None,
            failover: None,
            stage: Stage::Serving,
        }));
    }

    /// There is no connection to the server of the last [`Output::Connect`].
    pub fn handle_unreachable(&mut self, trouble: Trouble, now_ns: u64) {
        if let Phase::Connecting(server) = &self.phase {
            let server = server.clone();
            self.end(&server, Some(trouble), now_ns);
        }
    }

    /// The TLS handshake that [`Output::StartTls`] asked for is through.
    pub fn handle_tls_started(&mut self, now_ns: u64) {
        if let Phase::Connected(connected) = &mut self.phase {
            connected.connection.handle_tls_started(now_ns, self.send_buffer.control_frames(now_ns));
        }
    }

    /// The answer to [`Output::FindReachable`].
    pub fn handle_reachable(&mut self, found: Option<ServerAddress>, now_ns: u64) {
        let Phase::Connected(connected) = &mut self.phase else { return };
        match found {
            Some(server) => {
                connected.failover = None;
                self.pool.prefer(server);
                let limit_ns = self.settings.drain_limit_ns;
                connected.connection.begin_drain(now_ns, limit_ns, self.send_buffer.control_frames(now_ns));
            }
            None => connected.failover = Some(Failover::Due { at_ns: now_ns + FAILOVER_INTERVAL_NS }),
        }
    }

    /// One operation that the server has sent.
    pub fn handle_op(&mut self, op: &ServerOp<'_>, now_ns: u64) {
        if let Phase::Connected(connected) = &mut self.phase {
            connected.connection.handle_op(op, now_ns, self.send_buffer.control_frames(now_ns));
        }
    }

    /// Bytes have arrived, whatever they are. Cheap enough for every read.
    #[inline]
    pub fn note_received(&mut self, now_ns: u64) {
        if let Phase::Connected(connected) = &mut self.phase {
            connected.connection.note_received(now_ns);
        }
    }

    /// The socket is not read, as there is no room for more. Until it is again, silence means nothing.
    pub fn handle_reading_paused(&mut self, now_ns: u64) {
        if let Phase::Connected(connected) = &mut self.phase {
            connected.connection.handle_reading_paused(now_ns);
        }
    }

    /// The socket is read again.
    pub fn handle_reading_resumed(&mut self, now_ns: u64) {
        if let Phase::Connected(connected) = &mut self.phase {
            connected.connection.handle_reading_resumed(now_ns);
        }
    }

    /// Nothing can be done with what arrives.
    pub fn handle_unusable(&mut self, reason: Reason) {
        if let Phase::Connected(connected) = &mut self.phase {
            connected.connection.handle_unusable(reason);
        }
    }

    /// The stream has ended, orderly or not. What was read before must have been handled.
    pub fn handle_end_of_stream(&mut self, now_ns: u64) {
        if let Phase::Connected(connected) = &mut self.phase {
            connected.connection.handle_end_of_stream(now_ns);
        }
    }

    /// Something that the protocol does not know of has ended the connection: TLS, a file.
    pub fn handle_failed(&mut self, trouble: Trouble) {
        if let Phase::Connected(connected) = &mut self.phase {
            connected.failure.get_or_insert(trouble);
        }
    }

    /// All that could be sent at the end has been sent: see [`Output::Flush`].
    pub fn handle_flushed(&mut self) {
        if let Phase::Connected(connected) = &mut self.phase
            && matches!(connected.stage, Stage::Flushing)
        {
            connected.stage = Stage::Flushed;
        }
    }

    /// Time passes. To be called at [`next_deadline`](Self::next_deadline) or soon after; more often does no harm.
    pub fn handle_time(&mut self, now_ns: u64) {
        let Phase::Connected(connected) = &mut self.phase else { return };
        let stuck_ns = self.send_buffer.stuck_ns(now_ns);
        if stuck_ns > self.settings.write_limit_ns {
            connected.connection.handle_unusable(Reason::TakesNothing { for_ns: stuck_ns });
        }
        if self.send_buffer.control_bytes() > UNREAD_ANSWERS_MAX {
            connected.connection.handle_unusable(Reason::AnswersUnread);
        }
        connected.connection.handle_time(now_ns, self.send_buffer.control_frames(now_ns));
    }

    /// When [`handle_time`](Self::handle_time) and [`poll_output`](Self::poll_output) have something to do at the latest.
    pub fn next_deadline(&self) -> Option<u64> {
        match &self.phase {
            Phase::Idle { until_ns } => Some(*until_ns),
            Phase::Connecting(_) | Phase::Over => None,
            Phase::Connected(connected) => {
                let failover_ns = match connected.failover {
                    Some(Failover::Due { at_ns }) if connected.is_serving() => Some(at_ns),
                    _ => None,
                };
                [connected.connection.next_deadline(), failover_ns].into_iter().flatten().min()
            }
        }
    }

    /// The session is to end: at once where there is no connection, else after a drain.
    pub fn begin_stop(&mut self, now_ns: u64) {
        if std::mem::replace(&mut self.is_stopping, true) {
            return;
        }
        match &mut self.phase {
            Phase::Idle { .. } | Phase::Connecting(_) => self.phase = Phase::Over,
            Phase::Connected(connected) => {
                let limit_ns = self.settings.drain_limit_ns;
                connected.connection.begin_drain(now_ns, limit_ns, self.send_buffer.control_frames(now_ns));
            }
            Phase::Over => {}
        }
    }

    /// What is to be done next, or told; `None` for now there is nothing.
    pub fn poll_output(&mut self, now_ns: u64) -> Option<Output> {
        match &mut self.phase {
            Phase::Idle { until_ns } => match self.pool.next(now_ns) {
                Next::Attempt(server) => {
                    self.phase = Phase::Connecting(server.clone());
                    Some(Output::Connect(server))
                }
                Next::Wait { until_ns: later_ns } => {
                    *until_ns = later_ns;
                    None
                }
            },
            Phase::Connecting(_) | Phase::Over => None,
            Phase::Connected(_) => self.poll_connected(now_ns),
        }
    }

    fn poll_connected(&mut self, now_ns: u64) -> Option<Output> {
        let Phase::Connected(connected) = &mut self.phase else { return None };
        while matches!(connected.stage, Stage::Serving)
            && let Some(action) = connected.connection.poll_action()
        {
            match action {
                Action::StartTls => return Some(Output::StartTls),
                Action::InfoReceived { secured } => {
                    self.pool.merge_discovered(&connected.connection.info().connect_urls, secured);
                }
                Action::Ready { refused } => {
                    self.pool.handle_ready(now_ns);
                    self.ready_count += 1;
                    connected.takes_publications = true;
                    let first = connected.connection.refused_subscriptions().next();
                    let trouble = match (refused, first) {
                        (0, _) => None,
                        (_, Some(first)) => Some(Trouble::SubscriptionRefused { subject: first.subject.clone() }),
                        (count, None) => Some(Trouble::SubscriptionsRefused { count }),
                    };
                    self.trouble = trouble.map(|trouble| connected.trouble(trouble));
                    return Some(Output::Ready);
                }
                Action::Confirmed => {}
                Action::LameDuck => {
                    self.pool.handle_lame_duck(now_ns);
                    connected.failover = Some(Failover::Due { at_ns: now_ns });
                    return Some(Output::LameDuck);
                }
                Action::SubscriptionRefused { subject } => {
                    self.trouble = Some(connected.trouble(Trouble::SubscriptionRefused { subject }));
                    return Some(Output::SubscriptionRefused);
                }
                Action::Complaint(error) => {
                    if let ServerError::PermissionsViolation { operation: Operation::Publish, .. } = &error {
                        self.refused_publication = Some((error.clone(), now_ns));
                    }
                    return Some(Output::Complaint(error));
                }
                Action::UnreadableInfo => return Some(Output::UnreadableInfo),
                Action::DrainComplete { confirmed } => {
                    connected.stage = Stage::Drained;
                    if !confirmed {
                        return Some(Output::DrainUnconfirmed);
                    }
                }
                Action::Disconnect(reason) => {
                    self.slow_consumer_cuts += u64::from(matches!(reason, Reason::ClosedAsSlowConsumer { .. }));
                    connected.stage = Stage::Failed(Trouble::Ended(reason));
                }
            }
        }
        if let Some(trouble) = connected.failure.take() {
            connected.stage = Stage::Failed(trouble);
        }
        match &mut connected.stage {
            Stage::Serving => match connected.failover {
                Some(Failover::Due { at_ns }) if at_ns <= now_ns && connected.is_serving() => {
                    connected.failover = Some(Failover::Searching);
                    Some(Output::FindReachable(self.pool.failover_candidates(now_ns)))
                }
                _ => None,
            },
            // Before the connection is ready nothing is to be said on it: not logged in, perhaps in clear text.
            Stage::Drained if self.is_stopping && connected.takes_publications => {
                connected.stage = Stage::Flushing;
                Some(Output::Flush)
            }
            Stage::Flushing => None,
            Stage::Drained | Stage::Flushed | Stage::Failed(_) => Some(self.close(now_ns)),
        }
    }

    fn close(&mut self, now_ns: u64) -> Output {
        let Phase::Connected(connected) = std::mem::replace(&mut self.phase, Phase::Over) else {
            unreachable!("only a connection is closed")
        };
        let trouble = match connected.stage {
            Stage::Failed(trouble) => Some(trouble),
            _ if self.is_stopping => None,
            _ => Some(Trouble::LeftLameDuck),
        };
        let server = connected.server;
        self.end(&server, trouble, now_ns);
        Output::Close(server)
    }

    /// The connection, or the attempt at one, is over.
    fn end(&mut self, server: &ServerAddress, trouble: Option<Trouble>, now_ns: u64) {
        self.pool.handle_closed(trouble.as_ref().map_or(Cause::Left, Trouble::cause), now_ns);
        self.trouble = trouble.map(|trouble| ServerTrouble { server: server.clone(), trouble });
        self.refused_publication = None;
        self.send_buffer.take_unsent(&mut self.unsent);
        self.phase = if self.is_stopping { Phase::Over } else { Phase::Idle { until_ns: now_ns } };
    }

    /// The session has been stopped, and nothing is left of it but what was not sent.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Connected, logged in, subscribed, and not about to leave.
    #[inline]
    pub fn is_serving(&self) -> bool {
        self.connection().is_some_and(|connection| connection.state() == ConnectionState::Ready)
    }

    /// TLS is asked for and its handshake is not through.
    #[inline]
    pub fn awaits_tls(&self) -> bool {
        self.connection().is_some_and(|connection| connection.state() == ConnectionState::AwaitTls)
    }

    /// Something is subscribed to, so messages are what was asked for. Others are for [`handle_op`](Self::handle_op).
    #[inline]
    pub fn takes_messages(&self) -> bool {
        self.connection().is_some_and(Connection::takes_messages)
    }

    /// Publications are taken: from [`Output::Ready`] until the connection is closed.
    #[inline]
    pub fn takes_publications(&self) -> bool {
        matches!(&self.phase, Phase::Connected(connected) if connected.takes_publications)
    }

    /// Another publication is to be encoded now; otherwise they should wait as values, where newer ones replace older.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.send_buffer.has_room()
    }

    /// Publishes; to be called while [`takes_publications`](Self::takes_publications), with a payload of
    /// [`max_payload`](Self::max_payload) bytes at most.
    #[inline]
    pub fn publish(&mut self, subject: &[u8], payload: &[u8], about: M, now_ns: u64) {
        self.send_buffer.publish(subject, payload, about, now_ns);
    }

    /// Publishes what an earlier connection did not take.
    pub fn publish_again(&mut self, publication: &Publication<'_, M>, now_ns: u64) {
        self.send_buffer.publish_again(publication, now_ns);
    }

    /// Publishes frames that are never sent again.
    pub fn publish_frames(&mut self, frames: &[u8], now_ns: u64) {
        self.send_buffer.publish_frames(frames, now_ns);
    }

    /// What the connections before this one did not take; it is the caller's to judge now.
    pub fn take_unsent(&mut self) -> Unsent<M> {
        std::mem::take(&mut self.unsent)
    }

    /// Connections before this one have left publications unsent.
    #[inline]
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Bytes for the socket.
    #[inline]
    pub fn bytes_to_send(&self) -> &[u8] {
        self.send_buffer.unsent()
    }

    /// The socket has taken so many of [`bytes_to_send`](Self::bytes_to_send).
    #[inline]
    pub fn note_sent(&mut self, len: usize, now_ns: u64) {
        self.send_buffer.note_sent(len, now_ns);
    }

    /// Header and payload of a publication may be so long together.
    #[inline]
    pub fn max_payload(&self) -> u64 {
        self.connection().map_or(0, Connection::max_payload)
    }

    /// Of the server of this connection: its address, its last INFO, and whether everything goes through TLS.
    pub fn server(&self) -> Option<(&ServerAddress, &ServerInfo, bool)> {
        match &self.phase {
            Phase::Connected(connected) => {
                let connection = &connected.connection;
                Some((&connected.server, connection.info(), connection.is_secured()))
            }
            _ => None,
        }
    }

    /// Why there is no connection, or why it is not ready, or why the last one ended.
    pub fn trouble(&self) -> Option<&ServerTrouble> {
        self.trouble.as_ref()
    }

    /// How it is doing.
    pub fn report(&self, now_ns: u64) -> SessionReport {
        let refusal = self.refused_publication.as_ref();
        let refusal = refusal.filter(|(_, at_ns)| now_ns.saturating_sub(*at_ns) <= REFUSAL_LASTS_NS);
        SessionReport {
            is_connected: self.takes_publications(),
            is_ready: self.connection().is_some_and(Connection::is_ready),
            reconnects: self.ready_count.saturating_sub(1),
            slow_consumer_cuts: self.slow_consumer_cuts,
            trouble: self.trouble.as_ref().map(ToString::to_string),
            publish_trouble: refusal.map(|(error, _)| Complaint(error).to_string()),
        }
    }

    #[inline]
    fn connection(&self) -> Option<&Connection> {
        if let Phase::Connected(connected) = &self.phase { Some(&connected.connection) } else { None }
    }
}

impl Connected {
    /// Ready, and not about to end: another server may be looked for.
    fn is_serving(&self) -> bool {
        matches!(self.stage, Stage::Serving) && self.connection.state() == ConnectionState::Ready
    }

    fn trouble(&self, trouble: Trouble) -> ServerTrouble {
        ServerTrouble { server: self.server.clone(), trouble }
    }
}
