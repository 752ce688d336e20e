//! A client's life with its servers, without a socket and without a clock: attempts at servers, one connection that serves,
//! what is to be sent and sent again, liveness, moves away from a lame duck, drain, report.
//!
//! ```text
//!   handle_connected, handle_op, handle_time …  ──► ┌─────────┐ ──► poll_output: Connect, StartTls, Serve, Ready, Close …
//!   publish, begin_stop                         ──► │ Session │ ──► unsent: bytes for the socket
//!   note_sent, note_received                    ──► └─────────┘ ──► next_deadline, report
//!
//!   attempts ── the first that logs in ──► serving ── its end ──► attempts …                     begin_stop: ──► over
//!
//!   lame duck:  serving ────────────────────────────── drain ─► closed
//!               attempts ──► successor: subscribes, 100 ms ───► serving
//! ```
//!
//! The loop around it owns the sockets: it does what the outputs ask for, reports what happened, and moves the bytes.
//! `M` says what a publication is about, so that one that was not sent can be judged before it is sent again.
//!
//! **A move is made before the old connection is left.** The successor is logged in and its subscriptions are confirmed; then
//! there are 100 ms for the servers of the cluster to learn of them (NATS confirms nothing of that); then the old
//! connection is drained. What both bring comes twice, and the loop takes it once, by its content. Turned down: to leave as
//! soon as another server can be reached (one that is hung can be), to read both at once (events out of order).
//!
//! Invariants:
//!
//! 1. Each [`Output::Connect`] ends with one [`Output::GiveUp`] or one [`Output::Serve`], each `Serve` with one
//!    [`Output::Close`].
//! 2. A publication is in one place: the send buffer, or among those that the connections before did not take.
//! 3. Once over, nothing comes out any more.

mod publications;
mod report;
mod serving;
mod stream;
mod successor;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use proto_nats::{
    Action, Cause, Connection, ConnectionSettings, ConnectionState, Operation, Reason, ServerError, ServerOp,
    ServerPool,
};

use crate::engine::memory::NoMemory;
use crate::engine::time::NANOS_PER_SECOND;
use crate::nats::attempt::{Attempt, Attempts, AttemptsOutput, ConnectionId, Need, merge_discovered};
use crate::nats::error::{ServerTrouble, Trouble};
use crate::nats::refusals::Refusals;
use crate::nats::send_buffer::{SendBuffer, Unsent};
use crate::nats::session::serving::{Serving, Stage, Successor};
use crate::nats::session::stream::Stream;
pub use crate::nats::session_io::{Output, SessionReport, SessionSettings, StreamSettings};
use crate::nats::transport::StreamError;

/// From the confirmation of a successor's subscriptions to the drain of the lame duck: within it the cluster's other servers
/// learn of them. More than a few round trips between them, less than what a socket and a server's buffer hold.
pub const MOVE_SETTLE_NS: u64 = NANOS_PER_SECOND as u64 / 10;

/// The longest drain of a lame duck that still sends: its successor is not read meanwhile, and its server would take it for a
/// slow consumer after 10 s.
const MOVE_DRAIN_MAX_NS: u64 = 8 * NANOS_PER_SECOND as u64;
/// After a search of so long it is said that no other server can be reached.
const NO_OTHER_AFTER_NS: u64 = 2 * NANOS_PER_SECOND as u64;
/// Bytes of answers to the server's PINGs from which it is hostile: it does not read them as fast as it asks.
const UNREAD_ANSWERS_MAX: usize = 4 << 20;

/// See the head of this file.
pub struct Session<M> {
    settings: SessionSettings,
    attempts: Attempts,
    serving: Option<Box<Serving>>,
    successor: Option<Box<Successor>>,
    /// Told before anything else.
    outputs: VecDeque<Output>,
    send_buffer: SendBuffer<M>,
    /// What the connections before this one did not take.
    unsent: Unsent<M>,
    is_stopping: bool,
    is_over: bool,
    /// Connections that became ready.
    ready_count: u64,
    slow_consumer_cuts: u64,
    trouble: Option<Arc<ServerTrouble>>,
    /// Outputs that this connection does not take.
    pub(crate) refusals: Refusals,
    stream: Option<Box<Stream>>,
}

impl<M: Copy> Session<M> {
    /// A session that is about to connect for the first time.
    pub fn new(settings: SessionSettings) -> Result<Self, NoMemory> {
        let pool = match settings.seed {
            Some(seed) => ServerPool::new(settings.servers.clone(), seed),
            None => ServerPool::in_order(settings.servers.clone()),
        };
        let stream = settings.stream.clone().map(|of| Box::new(Stream::new(of, settings.seed)));
        let inbox = stream.as_ref().map(|stream| vec![stream.reader.inbox()]);
        Ok(Session {
            attempts: Attempts::new(pool, inbox.as_ref().unwrap_or(&settings.subjects), settings.discovers),
            stream,
            settings,
            serving: None,
            successor: None,
            outputs: VecDeque::new(),
            send_buffer: SendBuffer::new()?,
            unsent: Unsent::default(),
            is_stopping: false,
            is_over: false,
            ready_count: 0,
            slow_consumer_cuts: 0,
            trouble: None,
            refusals: Refusals::default(),
        })
    }

    /// The socket of an attempt is open, to `peer`.
    pub fn handle_connected(
        &mut self,
        id: ConnectionId,
        mut settings: ConnectionSettings,
        peer: Option<IpAddr>,
        now_ns: u64,
    ) {
        settings.is_paced = self.stream.is_some();
        self.attempts.handle_connected(id, settings, peer, now_ns);
    }

    /// An attempt whose socket the loop reads and writes; `None` once it is over, or serves.
    pub fn attempt(&mut self, id: ConnectionId) -> Option<&mut Attempt> {
        match &mut self.successor {
            Some(successor) if successor.attempt.id == id => Some(&mut successor.attempt),
            _ => self.attempts.find(id),
        }
    }

    /// One operation that the server has sent on the connection that serves.
    pub fn handle_op(&mut self, op: &ServerOp<'_>, now_ns: u64) {
        if let Some(serving) = &mut self.serving {
            serving.connection.handle_op(op, now_ns, self.send_buffer.control_frames(now_ns));
        }
    }

    /// Bytes have arrived, whatever they are. Cheap enough for every read.
    #[inline]
    pub fn note_received(&mut self, now_ns: u64) {
        self.connection_mut().into_iter().for_each(|connection| connection.note_received(now_ns));
    }

    /// Bytes may have been left unread in the socket. Cheap enough for every read.
    #[inline]
    pub fn note_left_unread(&mut self, now_ns: u64) {
        self.connection_mut().into_iter().for_each(|connection| connection.note_left_unread(now_ns));
    }

    /// The socket is not read, as there is no room for more. Until it is again, silence means nothing.
    pub fn handle_reading_paused(&mut self, now_ns: u64) {
        self.connection_mut().into_iter().for_each(|connection| connection.handle_reading_paused(now_ns));
    }

    /// The socket is read again.
    pub fn handle_reading_resumed(&mut self, now_ns: u64) {
        self.connection_mut().into_iter().for_each(|connection| connection.handle_reading_resumed(now_ns));
    }

    /// Nothing can be done with what arrives.
    pub fn handle_unusable(&mut self, reason: Reason) {
        let Some(connection) = self.connection_mut() else { return };
        connection.handle_unusable(reason);
    }

    /// The stream has ended; `error`: not in order. What was read before must have been handled.
    pub fn handle_end_of_stream(&mut self, error: Option<StreamError>, now_ns: u64) {
        let Some(serving) = &mut self.serving else { return };
        match error {
            Some(StreamError::Tls(error)) => return self.handle_failed(Trouble::Tls(error)),
            Some(StreamError::Network(error)) => drop(serving.network_error.get_or_insert(error)),
            None => {}
        }
        serving.connection.handle_end_of_stream(now_ns);
    }

    /// Something that the protocol does not know of has ended the connection: TLS, a file.
    pub fn handle_failed(&mut self, trouble: Trouble) {
        if let Some(serving) = &mut self.serving {
            serving.failure.get_or_insert(trouble);
        }
    }

    /// All that could be sent at the end has been sent: see [`Output::Flush`].
    pub fn handle_flushed(&mut self) {
        if let Some(serving) = &mut self.serving
            && matches!(serving.stage, Stage::Flushing)
        {
            serving.stage = Stage::Flushed;
        }
    }

    /// Time passes. To be called at [`next_deadline`](Self::next_deadline) or soon after; more often does no harm.
    pub fn handle_time(&mut self, now_ns: u64) {
        if let Some(serving) = &mut self.serving {
            let stuck_ns = self.send_buffer.stuck_ns(now_ns);
            if stuck_ns > self.settings.write_limit_ns {
                serving.connection.handle_unusable(Reason::TakesNothing { for_ns: stuck_ns });
            }
            if self.send_buffer.control_bytes() > UNREAD_ANSWERS_MAX {
                serving.connection.handle_unusable(Reason::AnswersUnread);
            }
            // While the lame duck still sends what it has, it is not left; but its successor must not wait too long.
            if self.successor.is_some() && !self.is_stopping {
                serving.connection.extend_drain(self.settings.drain_limit_ns, MOVE_DRAIN_MAX_NS);
            }
            serving.connection.handle_time(now_ns, self.send_buffer.control_frames(now_ns));
            if self.stream.as_mut().is_some_and(|stream| stream.is_subscribing_due(now_ns)) {
                serving.connection.subscribe_refused_again(self.send_buffer.control_frames(now_ns));
            }
        }
        if let Some(successor) = &mut self.successor {
            successor.attempt.handle_time(now_ns);
        }
        self.attempts.handle_time(now_ns);
        if let Some(stream) = &mut self.stream {
            stream.reader.handle_time(now_ns);
        }
    }

    /// When [`handle_time`](Self::handle_time) and [`poll_output`](Self::poll_output) have something to do at the latest.
    pub fn next_deadline(&self) -> Option<u64> {
        let serving = self.serving.as_ref().and_then(|serving| serving.connection.next_deadline());
        let successor = self.successor.as_ref().and_then(|successor| match successor.drain_at_ns {
            Some(at_ns) if self.is_in_use() => Some(at_ns),
            Some(_) => None,
            None => successor.attempt.next_deadline(),
        });
        let stream = self.stream.as_ref().filter(|_| self.takes_publications());
        let stream = stream.and_then(|stream| stream.next_deadline());
        [serving, successor, self.attempts.next_deadline(), stream].into_iter().flatten().min()
    }

    /// The session is to end: at once where no connection serves, else after a drain.
    pub fn begin_stop(&mut self, now_ns: u64) {
        if std::mem::replace(&mut self.is_stopping, true) {
            return;
        }
        match &mut self.serving {
            None => self.is_over = true,
            Some(serving) => {
                let limit_ns = self.settings.drain_limit_ns;
                serving.connection.begin_drain(now_ns, limit_ns, self.send_buffer.control_frames(now_ns));
            }
        }
    }

    /// What is to be done next, or told; `None` for now there is nothing.
    pub fn poll_output(&mut self, now_ns: u64) -> Option<Output> {
        if self.is_over {
            return None;
        }
        let told = self.outputs.pop_front().or_else(|| self.poll_serving(now_ns));
        told.or_else(|| self.poll_successor(now_ns)).or_else(|| self.poll_attempts(now_ns))
    }

    fn poll_serving(&mut self, now_ns: u64) -> Option<Output> {
        let serving = self.serving.as_mut()?;
        while matches!(serving.stage, Stage::Serving)
            && let Some(action) = serving.connection.poll_action()
        {
            match action {
                Action::InfoReceived { secured } if self.attempts.discovers => {
                    let Serving { key, connection, peer, .. } = &**serving;
                    let merged = merge_discovered(&mut self.attempts.pool, *key, connection, *peer, secured);
                    if merged.untrusted > 0 {
                        return Some(Output::Untrusted { server: serving.server.clone(), count: merged.untrusted });
                    }
                }
                Action::Ready { .. } => return Some(self.note_ready(now_ns)),
                Action::LameDuck => {
                    self.attempts.pool.handle_lame_duck(serving.key, now_ns);
                    serving.lame_duck_ns = Some(now_ns);
                    return Some(Output::LameDuck);
                }
                Action::SubscriptionRefused => {
                    let refusals = Trouble::of_refusals(&serving.connection);
                    self.trouble = refusals.map(|trouble| serving.trouble(trouble));
                    return Some(Output::SubscriptionRefused);
                }
                Action::Complaint(error) => {
                    if let ServerError::PermissionsViolation { operation, subject } = &error {
                        if let Some(stream) = &mut self.stream {
                            stream.reader.handle_refusal(*operation, subject, now_ns);
                        }
                        if *operation == Operation::Publish && !subject.starts_with("$JS.") {
                            self.refusals.note_refused(subject, now_ns);
                        }
                    }
                    return Some(Output::Complaint(error));
                }
                Action::UnreadableInfo => return Some(Output::UnreadableInfo),
                Action::DrainComplete { confirmed } => {
                    serving.stage = Stage::Drained;
                    if !confirmed {
                        // What it had not sent by then may be lost, as with a slow consumer.
                        self.slow_consumer_cuts += u64::from(!self.is_stopping);
                        return Some(Output::DrainUnconfirmed);
                    }
                }
                Action::Disconnect(reason) => {
                    self.slow_consumer_cuts += u64::from(reason.is_slow_consumer_cut());
                    serving.stage = Stage::Failed(Trouble::of_end(reason, serving.network_error.take()));
                }
                Action::Confirmed if serving.connection.refused_count() == 0 => {
                    let is_over = |about: &mut Arc<ServerTrouble>| about.trouble.refused_count() > 0;
                    drop(self.trouble.take_if(is_over));
                }
                // TLS has been through since before the login.
                Action::Confirmed | Action::StartTls | Action::InfoReceived { .. } => {}
            }
        }
        if let Some(trouble) = serving.failure.take() {
            serving.stage = Stage::Failed(trouble);
        }
        match serving.stage {
            Stage::Serving | Stage::Flushing => None,
            // Before the connection is ready there is nothing to be said on it.
            Stage::Drained if self.is_stopping && serving.has_been_ready => {
                serving.stage = Stage::Flushing;
                // Also where a move was under way.
                serving.takes_publications = true;
                Some(Output::Flush)
            }
            Stage::Drained | Stage::Flushed | Stage::Failed(_) => Some(self.close(now_ns)),
        }
    }

    /// The connection that serves is ready, but for so many subscriptions.
    fn note_ready(&mut self, now_ns: u64) -> Output {
        let serving = self.serving.as_mut().expect("it is the one that serves");
        self.attempts.pool.handle_ready(serving.key, now_ns);
        self.ready_count += 1;
        (serving.has_been_ready, serving.takes_publications) = (true, true);
        if let Some(stream) = &mut self.stream {
            stream.reader.handle_connected(now_ns);
        }
        let refusals = Trouble::of_refusals(&serving.connection);
        self.trouble = refusals.map(|trouble| serving.trouble(trouble));
        Output::Ready
    }

    /// The connection that serves is over; the successor takes its place.
    fn close(&mut self, now_ns: u64) -> Output {
        let serving = *self.serving.take().expect("only a connection is closed");
        if let Some(stream) = &mut self.stream {
            stream.reader.handle_disconnected();
        }
        let Serving { key, server, stage, .. } = serving;
        let trouble = match stage {
            Stage::Failed(trouble) => Some(Arc::new(ServerTrouble { server: server.clone(), trouble })),
            _ => None,
        };
        let cause = trouble.as_ref().map_or(Cause::Left, |about| about.trouble.cause());
        self.attempts.pool.handle_closed(key, cause, now_ns);
        self.trouble.clone_from(&trouble);
        self.refusals.end_connection();
        self.send_buffer.take_unsent(&mut self.unsent);
        self.is_over = self.is_stopping;
        if let Some(successor) = self.successor.take() {
            let Successor { attempt, drain_at_ns } = *successor;
            let serve = self.serve(attempt, now_ns);
            self.outputs.push_back(serve);
            if drain_at_ns.is_some() {
                self.handle_reading_resumed(now_ns);
                let ready = self.note_ready(now_ns);
                self.outputs.push_back(ready);
            }
        }
        Output::Close { server, trouble }
    }

    /// A connection that is logged in is the one that serves.
    fn serve(&mut self, attempt: Attempt, now_ns: u64) -> Output {
        let (id, peer) = (attempt.id, attempt.peer());
        let Attempt { key, server, connection, out, .. } = attempt;
        let mut connection = connection.expect("it has logged in");
        let frames = self.send_buffer.control_frames(now_ns);
        frames.extend_from_slice(&out);
        connection.begin_subscribing(frames);
        // It may have said so before it was the one that serves.
        let is_lame_duck = connection.info().lame_duck_mode;
        if is_lame_duck {
            self.attempts.pool.handle_lame_duck(key, now_ns);
            self.outputs.push_back(Output::LameDuck);
        }
        self.serving = Some(Box::new(Serving {
            key,
            server,
            peer,
            connection,
            has_been_ready: false,
            takes_publications: false,
            lame_duck_ns: is_lame_duck.then_some(now_ns),
            is_told_alone: false,
            failure: None,
            network_error: None,
            stage: Stage::Serving,
        }));
        Output::Serve(id)
    }

    fn poll_attempts(&mut self, now_ns: u64) -> Option<Output> {
        let need = match (&self.serving, &self.successor) {
            _ if self.is_stopping => Need::None,
            (None, _) => Need::Any,
            (Some(serving), _) if !serving.has_been_ready => Need::Reserve,
            (Some(serving), None) if serving.lame_duck_ns.is_some() && self.is_in_use() => {
                Need::Other { than: &serving.connection.info().server_id }
            }
            _ => Need::None,
        };
        let is_moving = matches!(need, Need::Other { .. });
        if let Some(output) = self.attempts.poll(need, now_ns) {
            return Some(self.told(now_ns, |_| output));
        }
        match &mut self.serving {
            Some(serving) if is_moving && self.attempts.is_empty() && !serving.is_told_alone => {
                serving.is_told_alone = true;
                Some(Output::NoOtherServer)
            }
            _ => None,
        }
    }

    /// What attempts give, in the session's terms.
    fn told(&mut self, now_ns: u64, output: impl FnOnce(&mut Attempts) -> AttemptsOutput) -> Output {
        match output(&mut self.attempts) {
            AttemptsOutput::Connect { id, server } => Output::Connect { id, server },
            AttemptsOutput::StartTls(id) => Output::StartTls(id),
            AttemptsOutput::Complaint(error) => Output::Complaint(error),
            AttemptsOutput::UnreadableInfo => Output::UnreadableInfo,
            AttemptsOutput::Untrusted { server, count } => Output::Untrusted { server, count },
            AttemptsOutput::GiveUp { id, trouble } => {
                match &self.serving {
                    _ if trouble.is_none() => {}
                    None => self.trouble.clone_from(&trouble),
                    Some(serving) => {
                        // The others had their time as well.
                        let is_alone = |since_ns| self.attempts.is_empty() || now_ns - since_ns >= NO_OTHER_AFTER_NS;
                        if serving.lame_duck_ns.is_some_and(is_alone) {
                            self.outputs.push_back(Output::NoOtherServer);
                        }
                    }
                }
                Output::GiveUp { id, trouble }
            }
            AttemptsOutput::LoggedIn(attempt) if self.serving.is_none() => self.serve(attempt, now_ns),
            AttemptsOutput::LoggedIn(mut attempt) => {
                let connection = attempt.connection.as_mut().expect("it has logged in");
                connection.begin_subscribing(&mut attempt.out);
                self.successor = Some(Box::new(Successor { attempt, drain_at_ns: None }));
                Output::Overlap
            }
        }
    }

    /// The connection that serves has come to its end, and is about to be closed.
    pub fn has_ended(&self) -> bool {
        self.connection().is_some_and(|connection| connection.state() == ConnectionState::Closed)
    }

    /// A connection serves, and is neither being drained nor at its end.
    fn is_in_use(&self) -> bool {
        let in_use = |serving: &Serving| {
            matches!(serving.stage, Stage::Serving) && serving.connection.state() == ConnectionState::Ready
        };
        self.serving.as_deref().is_some_and(in_use)
    }

    #[inline]
    fn connection(&self) -> Option<&Connection> {
        self.serving.as_ref().map(|serving| &*serving.connection)
    }

    #[inline]
    fn connection_mut(&mut self) -> Option<&mut Connection> {
        self.serving.as_mut().map(|serving| &mut *serving.connection)
    }
}
