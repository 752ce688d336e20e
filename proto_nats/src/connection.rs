//! One connection, from INFO to its end.
//!
//! Operations and the time go in; bytes for the socket and [`Action`]s for the driver come out. While
//! [`Connection::takes_messages`], MSG and HMSG need not pass through here: the driver hands them to the engine and tells
//! only [`Connection::note_received`]. Before that they end the connection: nothing is subscribed to yet.
//! Of several attempts side by side the driver subscribes on the one that it keeps ([`Connection::begin_subscribing`]).
//!
//! ```text
//!               INFO          handle_tls_started       PONG       begin_subscribing          PONG
//!   AwaitInfo ───┬──► AwaitTls ──────────┬──► AwaitPong ────► LoggedIn ────► AwaitConfirmation ────► Ready ────► Draining
//!                └──────── no TLS ───────┘        │                                  │                               │
//!                            sends: CONNECT, PING ┘                    SUB..., PING ─┘         UNSUB..., PING ───────┘
//!
//!   Draining ── PONG ──► Closed, and any ──► Closed
//!
//!   TLS first: AwaitTls ── handle_tls_started ──► AwaitInfo ── INFO ──► AwaitPong, and on as above
//! ```
//!
//! Invariants:
//!
//! 1. CONNECT, which holds the credentials, is written once, and never in clear text where TLS was asked for.
//! 2. Ready is said once, after the server has answered a PING that was sent behind every SUB.
//! 3. A state other than Closed always has a deadline, unless reading is paused: silence is noticed, whatever happens.
//! 4. Once Closed, nothing comes out any more.

mod liveness;

use crate::auth::Credentials;
pub use crate::connection_action::{Action, ConnectionState};
use crate::connection_settings::Tracked;
pub use crate::connection_settings::{ConnectionSettings, ERROR_EXPLAINS_END_NS, SLOW_CONSUMER_NS, Subscription, Tls};
use crate::encode;
use crate::info::ServerInfo;
use crate::reason::Reason;
use crate::server_error::{Operation, ServerError};
use crate::server_op::ServerOp;
use std::collections::VecDeque;

/// Notices that the driver has not fetched yet; more of them are dropped. What changes the state is never dropped.
pub const NOTICES_MAX: usize = 512;

/// One connection: see the head of this file.
#[derive(Debug)]
pub struct Connection {
    settings: ConnectionSettings,
    subscriptions: Vec<Tracked>,
    state: ConnectionState,
    info: ServerInfo,
    secured: bool,
    /// Refusals that named no subject, or none that is known.
    refused_unnamed: usize,
    lame_duck: bool,
    last_complaint: Option<(ServerError, u64)>,
    actions: VecDeque<Action>,

    /// Of the handshake, then of draining.
    limit_ns: u64,
    drain_begun_ns: u64,
    pings_sent: u64,
    pongs_received: u64,
    /// The PONG of this PING is the one that the state waits for.
    confirming_ping: u64,
    confirming_more: bool,

    /// SUBs have gone out.
    has_subscribed: bool,
    ping_due_ns: u64,
    pings_unanswered: u32,
    last_received_ns: u64,
    probe: Option<liveness::Probe>,
    /// Set while the driver does not read.
    paused_since_ns: Option<u64>,
    /// When bytes were last left unread in the socket.
    left_unread_ns: Option<u64>,
}

impl Connection {
    /// A connection whose socket has just been opened. With [`Tls::First`] its first action is to start TLS.
    pub fn new(settings: ConnectionSettings, subscriptions: Vec<Subscription>, now_ns: u64) -> Self {
        let is_tls_first = settings.tls == Tls::First;
        Connection {
            secured: false,
            state: if is_tls_first { ConnectionState::AwaitTls } else { ConnectionState::AwaitInfo },
            actions: is_tls_first.then_some(Action::StartTls).into_iter().collect(),
            limit_ns: now_ns.saturating_add(settings.handshake_limit_ns),
            settings,
            subscriptions: subscriptions.into_iter().map(Tracked::new).collect(),
            info: ServerInfo::default(),
            refused_unnamed: 0,
            lame_duck: false,
            last_complaint: None,
            drain_begun_ns: 0,
            pings_sent: 0,
            pongs_received: 0,
            confirming_ping: 0,
            confirming_more: false,
            has_subscribed: false,
            ping_due_ns: u64::MAX,
            pings_unanswered: 0,
            last_received_ns: now_ns,
            probe: None,
            paused_since_ns: None,
            left_unread_ns: None,
        }
    }

    /// Takes one operation in. Answers are appended to `out`.
    pub fn handle_op(&mut self, op: &ServerOp<'_>, now_ns: u64, out: &mut Vec<u8>) {
        self.note_received(now_ns);
        match (self.state, op) {
            (ConnectionState::Closed, _) => {}
            // nats-server sends nothing between INFO and TLS, so this was not sent by the server.
            (ConnectionState::AwaitTls, _) => self.disconnect(Reason::DataBeforeTls),
            (ConnectionState::AwaitInfo, ServerOp::Info(json)) => self.handle_first_info(json, out),
            (_, ServerOp::Info(json)) => match ServerInfo::from_json(json) {
                Ok(info) => self.handle_info(info),
                Err(_) => self.notice(Action::UnreadableInfo),
            },
            (_, ServerOp::Err(text)) => self.handle_error(ServerError::parse(text), now_ns),
            (state, ServerOp::Msg(_)) if !state.is_subscribed() => self.disconnect(Reason::UnaskedMessage),
            // Nothing else is due before INFO; if it never comes the time limit says so.
            (ConnectionState::AwaitInfo, _) => {}
            (_, ServerOp::Ping) => encode::pong(out),
            (_, ServerOp::Pong) => self.handle_pong(now_ns),
            (_, ServerOp::Msg(_) | ServerOp::Ok) => {}
        }
    }

    /// Bytes have arrived, whatever they are. Cheap enough for every read.
    #[inline]
    pub fn note_received(&mut self, now_ns: u64) {
        self.last_received_ns = self.last_received_ns.max(now_ns);
        self.probe = None;
    }

    /// The TLS handshake that [`Action::StartTls`] asked for is done.
    pub fn handle_tls_started(&mut self, now_ns: u64, out: &mut Vec<u8>) {
        if self.state == ConnectionState::AwaitTls {
            self.note_received(now_ns);
            self.secured = true;
            match self.settings.tls {
                Tls::First => self.state = ConnectionState::AwaitInfo,
                Tls::WhenAsked | Tls::Required => self.send_connect(out),
            }
        }
    }

    /// Time passes. To be called at [`next_deadline`](Self::next_deadline) or soon after; more often does no harm.
    pub fn handle_time(&mut self, now_ns: u64, out: &mut Vec<u8>) {
        if self.paused_since_ns.is_some() && self.state != ConnectionState::Draining {
            return;
        }
        match self.state {
            ConnectionState::Ready => {
                self.handle_silence(now_ns, out);
                self.handle_ping_due(now_ns, out);
            }
            _ if now_ns < self.limit_ns => {}
            ConnectionState::Draining => {
                self.state = ConnectionState::Closed;
                self.actions.push_back(Action::DrainComplete { confirmed: false });
            }
            state => self.disconnect(Reason::HandshakeTimeout { state }),
        }
    }

    /// When [`handle_time`](Self::handle_time) has something to do at the latest.
    pub fn next_deadline(&self) -> Option<u64> {
        match self.state {
            ConnectionState::Closed => None,
            ConnectionState::Draining => Some(self.limit_ns),
            _ if self.paused_since_ns.is_some() => None,
            ConnectionState::Ready => Some(self.ping_due_ns.min(self.silence_due_ns())),
            _ => Some(self.limit_ns),
        }
    }

    /// What is to be done, oldest first.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The driver has read less than there was, or may have been, in the socket: a server that has much to send may give up on
    /// a client that reads so slowly. Cheap enough for every read.
    #[inline]
    pub fn note_left_unread(&mut self, now_ns: u64) {
        self.left_unread_ns = Some(now_ns);
    }

    /// The driver stops reading because the queue is full. Until it resumes, silence means nothing.
    pub fn handle_reading_paused(&mut self, now_ns: u64) {
        self.paused_since_ns.get_or_insert(now_ns);
    }

    /// The driver reads again.
    pub fn handle_reading_resumed(&mut self, now_ns: u64) {
        let Some(since_ns) = self.paused_since_ns.take() else {
            return;
        };
        let length_ns = now_ns.saturating_sub(since_ns);
        self.note_left_unread(now_ns);
        self.note_received(now_ns);
        self.pings_unanswered = 0;
        match self.state {
            ConnectionState::Draining | ConnectionState::Closed => {}
            ConnectionState::Ready => self.ping_due_ns = self.ping_due_ns.saturating_add(length_ns),
            _ => self.limit_ns = self.limit_ns.saturating_add(length_ns),
        }
    }

    /// The stream has ended, orderly or not.
    pub fn handle_end_of_stream(&mut self, now_ns: u64) {
        let complaint = self.last_complaint.take();
        let complaint = complaint.filter(|(_, at_ns)| now_ns.saturating_sub(*at_ns) <= ERROR_EXPLAINS_END_NS);
        let complaint = complaint.map(|(error, _)| error);
        let left_unread_ns = self.paused_since_ns.map_or(self.left_unread_ns, |_| Some(now_ns));
        let is_near = |at_ns: u64| now_ns.saturating_sub(at_ns) <= SLOW_CONSUMER_NS;
        let was_behind = !self.settings.is_paced && self.takes_messages() && left_unread_ns.is_some_and(is_near);
        self.disconnect(match (self.state, complaint) {
            (ConnectionState::AwaitInfo, None) => Reason::ClosedBeforeInfo { secured: self.secured },
            (ConnectionState::AwaitTls | ConnectionState::AwaitPong | ConnectionState::LoggedIn, None) => {
                Reason::ClosedInHandshake { state: self.state }
            }
            (ConnectionState::AwaitConfirmation, None) if !was_behind => {
                Reason::ClosedInHandshake { state: self.state }
            }
            (_, after) => Reason::Closed { after, was_behind },
        });
    }

    /// The driver can do nothing with what arrives.
    pub fn handle_unusable(&mut self, reason: Reason) {
        self.disconnect(reason);
    }

    /// Logged in, and this connection is to be used: subscribes, and asks the server to say when it has.
    pub fn begin_subscribing(&mut self, out: &mut Vec<u8>) {
        if self.state == ConnectionState::LoggedIn {
            for tracked in &self.subscriptions {
                tracked.subscription.encode(out);
            }
            self.confirming_ping = self.send_ping(out);
            self.has_subscribed = true;
            self.state = ConnectionState::AwaitConfirmation;
        }
    }

    /// Subscribes to one more subject, now or as soon as the handshake is through.
    pub fn subscribe(&mut self, subscription: Subscription, out: &mut Vec<u8>) {
        match self.state {
            ConnectionState::AwaitConfirmation | ConnectionState::Ready => {
                subscription.encode(out);
                self.confirming_ping = self.send_ping(out);
                self.confirming_more = self.state == ConnectionState::Ready;
            }
            ConnectionState::Draining | ConnectionState::Closed => return,
            _ => {}
        }
        self.subscriptions.push(Tracked::new(subscription));
    }

    /// Asks again for what the server has refused: the user may have other permissions by now. [`Action::Confirmed`] follows,
    /// behind [`Action::SubscriptionRefused`] where that has not changed.
    pub fn subscribe_refused_again(&mut self, out: &mut Vec<u8>) {
        if self.state != ConnectionState::Ready || self.confirming_more || self.refused_count() == 0 {
            return;
        }
        // Which one was meant is not known then; one that is there already stays as it is.
        let is_unnamed = std::mem::take(&mut self.refused_unnamed) > 0;
        for tracked in self.subscriptions.iter_mut().filter(|tracked| is_unnamed || tracked.refused) {
            tracked.refused = false;
            tracked.subscription.encode(out);
        }
        self.confirming_ping = self.send_ping(out);
        self.confirming_more = true;
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, sid: u64, out: &mut Vec<u8>) {
        let before = self.subscriptions.len();
        self.subscriptions.retain(|tracked| tracked.subscription.sid != sid);
        let is_known = self.subscriptions.len() < before;
        if is_known && matches!(self.state, ConnectionState::AwaitConfirmation | ConnectionState::Ready) {
            encode::unsubscribe(out, sid, None);
        }
    }

    /// Ends every subscription and asks the server to say when everything before that has been sent.
    /// [`Action::DrainComplete`] follows within `limit_ns`; messages may come until then.
    pub fn begin_drain(&mut self, now_ns: u64, limit_ns: u64, out: &mut Vec<u8>) {
        match self.state {
            ConnectionState::AwaitConfirmation | ConnectionState::Ready => {
                for tracked in self.subscriptions.iter().filter(|tracked| !tracked.refused) {
                    encode::unsubscribe(out, tracked.subscription.sid, None);
                }
                self.confirming_ping = self.send_ping(out);
                self.drain_begun_ns = now_ns;
                self.limit_ns = now_ns.saturating_add(limit_ns);
                self.state = ConnectionState::Draining;
            }
            ConnectionState::Draining | ConnectionState::Closed => {}
            // Nothing was subscribed to yet, so there is nothing to wait for.
            _ => {
                self.state = ConnectionState::Closed;
                self.actions.push_back(Action::DrainComplete { confirmed: true });
            }
        }
    }

    /// While it drains and something has arrived within `limit_ns`, the drain goes on, up to `longest_ns` in all.
    pub fn extend_drain(&mut self, limit_ns: u64, longest_ns: u64) {
        if self.state == ConnectionState::Draining {
            let extended_ns = self.last_received_ns.saturating_add(limit_ns);
            let longest_ns = self.drain_begun_ns.saturating_add(longest_ns);
            self.limit_ns = self.limit_ns.max(extended_ns.min(longest_ns));
        }
    }

    /// Where it is.
    pub fn state(&self) -> ConnectionState {
        self.state
    }

    /// Something is or was subscribed to, so messages are what was asked for, also those that are found after the end.
    pub fn takes_messages(&self) -> bool {
        self.has_subscribed
    }

    /// Connected, and every subscription confirmed: what `/ready` tells.
    pub fn is_ready(&self) -> bool {
        self.state == ConnectionState::Ready && !self.confirming_more && self.refused_count() == 0
    }

    /// The newest INFO.
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// Everything from now on goes through TLS.
    pub fn is_secured(&self) -> bool {
        self.secured
    }

    /// TLS is asked for, by the settings or the server.
    pub fn wants_tls(&self) -> bool {
        self.secured || self.settings.tls != Tls::WhenAsked || self.info.tls_required
    }

    /// CONNECT has credentials.
    pub fn has_credentials(&self) -> bool {
        self.settings.credentials != Credentials::None
    }

    /// Header and payload of a publication may be so long together.
    pub fn max_payload(&self) -> u64 {
        self.info.max_payload
    }

    /// PINGs that were sent, and how many of them the server has answered.
    pub fn pings(&self) -> (u64, u64) {
        (self.pings_sent, self.pongs_received)
    }

    /// How many subscriptions the server has refused, also those that it has not named in words that are known.
    pub fn refused_count(&self) -> usize {
        (self.refused_subscriptions().count() + self.refused_unnamed).min(self.subscriptions.len())
    }

    /// The subscriptions that the server has refused, by name.
    pub fn refused_subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.iter().filter(|tracked| tracked.refused).map(|tracked| &tracked.subscription)
    }

    fn handle_first_info(&mut self, json: &[u8], out: &mut Vec<u8>) {
        let Ok(info) = ServerInfo::from_json(json) else {
            return self.disconnect(Reason::UnreadableInfo);
        };
        let offers_tls = info.tls_required || info.tls_available;
        let wants_tls = info.tls_required || self.settings.tls == Tls::Required;
        self.handle_info(info);
        if self.secured || !wants_tls {
            self.send_connect(out);
        } else if offers_tls {
            self.state = ConnectionState::AwaitTls;
            self.actions.push_back(Action::StartTls);
        } else {
            self.disconnect(Reason::TlsNotOffered);
        }
    }

    fn handle_info(&mut self, info: ServerInfo) {
        self.notice(Action::InfoReceived { secured: self.secured });
        if info.lame_duck_mode && !self.lame_duck {
            self.lame_duck = true;
            self.actions.push_back(Action::LameDuck);
        }
        self.info = info;
    }

    fn send_connect(&mut self, out: &mut Vec<u8>) {
        assert!(self.secured || self.settings.tls == Tls::WhenAsked, "credentials need the TLS that was asked for");
        let mut options = self.settings.connect.clone();
        options.tls_required = self.settings.tls != Tls::WhenAsked;
        self.settings.credentials.apply(&self.info, &mut options);
        encode::connect(out, &options);
        self.confirming_ping = self.send_ping(out);
        self.state = ConnectionState::AwaitPong;
    }

    fn handle_pong(&mut self, now_ns: u64) {
        // One without a PING of ours answers nothing.
        self.pongs_received = (self.pongs_received + 1).min(self.pings_sent);
        self.pings_unanswered = 0;
        if self.pongs_received < self.confirming_ping {
            return;
        }
        match self.state {
            ConnectionState::AwaitPong => self.state = ConnectionState::LoggedIn,
            ConnectionState::AwaitConfirmation => {
                self.state = ConnectionState::Ready;
                self.ping_due_ns = now_ns.saturating_add(self.settings.ping_interval_ns);
                self.actions.push_back(Action::Ready { refused: self.refused_count() });
            }
            ConnectionState::Ready if self.confirming_more => {
                self.confirming_more = false;
                self.notice(Action::Confirmed);
            }
            ConnectionState::Draining => {
                self.state = ConnectionState::Closed;
                self.actions.push_back(Action::DrainComplete { confirmed: true });
            }
            _ => {}
        }
    }

    fn handle_error(&mut self, error: ServerError, now_ns: u64) {
        // There is nothing to lose yet, and waiting for the end of the stream would only delay the next attempt.
        if !self.state.is_subscribed() && error.is_fatal() {
            let with_credentials = self.has_credentials();
            return self.disconnect(Reason::Refused { error, with_credentials });
        }
        match &error {
            ServerError::PermissionsViolation { operation: Operation::Subscribe, subject } if self.takes_messages() => {
                self.handle_refusal(&subject.clone(), error);
            }
            ServerError::MaxSubscriptions => self.handle_refusal("", error),
            _ => {
                self.notice(Action::Complaint(error.clone()));
                // The others would explain nothing.
                if error.is_fatal() {
                    self.last_complaint = Some((error, now_ns));
                }
            }
        }
    }

    /// Returns the number that this PING's PONG will have.
    fn send_ping(&mut self, out: &mut Vec<u8>) -> u64 {
        encode::ping(out);
        self.pings_sent += 1;
        self.pings_sent
    }

    /// From the first SUB on a refusal is about one of ours, whatever it is called there.
    fn handle_refusal(&mut self, subject: &str, error: ServerError) {
        let count_before = self.refused_count();
        let mut is_named = false;
        for tracked in self.subscriptions.iter_mut().filter(|tracked| tracked.subscription.subject == subject) {
            (tracked.refused, is_named) = (true, true);
        }
        if !is_named {
            self.refused_unnamed = (self.refused_unnamed + 1).min(self.subscriptions.len());
            self.notice(Action::Complaint(error));
        }
        // Until then Ready will tell.
        if self.state == ConnectionState::Ready && self.refused_count() > count_before {
            self.actions.push_back(Action::SubscriptionRefused);
        }
    }

    fn notice(&mut self, action: Action) {
        if self.actions.len() < NOTICES_MAX {
            self.actions.push_back(action);
        }
    }

    fn disconnect(&mut self, reason: Reason) {
        if self.state != ConnectionState::Closed {
            self.state = ConnectionState::Closed;
            self.actions.push_back(Action::Disconnect(reason.about(&self.settings.credentials)));
        }
    }
}
