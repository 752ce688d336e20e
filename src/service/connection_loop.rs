//! A shard's life: connects, serves the connection until its end, connects again.
//!
//! ```text
//!   read what is there ──► take a slice of messages ──► encode and send what they gave ──► drained? wait : again
//! ```
//!
//! Reads and writes are attempted at once, and waiting is done in `poll(2)`, on the NATS socket and on the [`Bell`]. To park
//! in glommio would cost 10 to 60 us more for each event that comes after a pause; so the reactor gets its turns from here:
//! when the bell rings, when somebody stands in line for one ([`Turns`]), and by the clock. Only a connection on which no
//! message has come for a second parks.
//! Until then the next message is expected, and what it will need is kept in the caches (see [`CacheWarmer`]).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proto_nats::connection::NOTICES_MAX;
use proto_nats::{Action, Cause, Connection, Next, Reason, ServerAddress, ServerPool, State, Subscription};

use crate::nats::connection_log::ConnectionLog;
use crate::nats::credentials::Access;
use crate::nats::failover::RefugeSearch;
use crate::nats::transport::Link;
use crate::runtime::bell::Bell;
use crate::runtime::blocking;
use crate::runtime::executor::give_way;
use crate::runtime::log_text::{plain, printable};
use crate::runtime::socket::{self, Stream};
use crate::runtime::stop::Stop;
use crate::runtime::timeout::{sleep, unless, within};
use crate::runtime::turns::Turns;
use crate::service::cache_warming::CacheWarmer;
use crate::service::shard::{ReadOutcome, Shard, TakeError};

/// The reactor (HTTP, the other tasks) gets its turn this often, however busy the socket is,
const TURN_NS: u64 = 1_000_000;
/// this often while somebody stands in line for one, and then each time that the queue is drained,
const WANTED_TURN_NS: u64 = 100_000;
/// or for this long after the bell has rung: what it has told of takes several turns (accept, read, write, close),
const ATTENTION_NS: u64 = 1_000_000;
/// and this often while there is nothing to do but more may come: for its timers.
const IDLE_TURN_NS: u64 = 10_000_000;
/// What the next event needs is in the caches for about so long; until it comes, that is renewed.
const WARMTH_NS: u64 = 1_000_000;
/// A connection on which no message has come for this long waits in the reactor, where waiting is free.
const REST_AFTER_NS: u64 = 1_000_000_000;
/// For so long at a time, so that a process that was stopped meanwhile can be told from one that had nothing to do.
const REST: Duration = Duration::from_millis(250);
/// For a name to be resolved, a server to answer and files to be read.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// nats-server's own `write_deadline`: a peer that takes nothing for so long takes nothing any more.
const WRITE_LIMIT_NS: u64 = 10_000_000_000;
/// Longer between two passes than any wait here: the process itself was stopped, or the machine.
const STALL_NS: u64 = 1_000_000_000;
/// Of the 5 s that a stop may take, the server gets this long to answer the drain.
const DRAIN_LIMIT_NS: u64 = 2_000_000_000;
/// A hung mount is no reason to wait.
const FILES_LIMIT: Duration = Duration::from_secs(5);

/// Runs a shard until `stop` is set. `turns` are those that it gives, `bell` what it is woken by.
pub async fn run(shard: Rc<RefCell<Shard>>, mut warmer: Box<CacheWarmer>, turns: Rc<Turns>, bell: &Bell, stop: Stop) {
    let (mut pool, clock, access) = {
        let shard = shard.borrow();
        // Cores and instances should not all try the same server first.
        let seed = shard.clock.now().0 as u64 ^ (shard.settings.ownership.core as u64) << 48;
        let access = shard.settings.access.clone();
        (ServerPool::new(access.servers().to_vec(), seed), shard.clock, access)
    };
    let mut was_ready = false;
    let mut connection_log = ConnectionLog::new(shard.borrow().settings.ownership.core);
    while !stop.is_set() {
        shard.borrow_mut().look_around();
        let server = match pool.next(clock.elapsed_ns()) {
            Next::Attempt(server) => server,
            Next::Wait { until_ns } => {
                let pause = Duration::from_nanos(until_ns.saturating_sub(clock.elapsed_ns()));
                unless(&stop, sleep(pause)).await;
                continue;
            }
        };
        let client_name = shard.borrow().settings.client_name.clone();
        let attempt = connect(access.clone(), server.clone(), client_name);
        let ended = match unless(&stop, within(CONNECT_LIMIT, attempt)).await {
            None => break,
            Some(None) => {
                let seconds = CONNECT_LIMIT.as_secs();
                let text = format!("no connection within {seconds} s: is the name's resolver slow, or a disk?");
                Ended { cause: Cause::Trouble, text: Some(text) }
            }
            Some(Some(Err(text))) => Ended { cause: Cause::Trouble, text: Some(text) },
            Some(Some(Ok((link, parked, settings)))) => {
                let connection = begin(&shard, settings);
                let mut service = Service {
                    shard: &shard,
                    link,
                    parked,
                    connection,
                    server: &server,
                    access: &access,
                    pool: &mut pool,
                    connection_log: &mut connection_log,
                    was_ready: &mut was_ready,
                    warmer: &mut warmer,
                    turns: &turns,
                    bell,
                    refuge_search: None,
                    stop: &stop,
                };
                service.serve().await
            }
        };
        pool.handle_closed(ended.cause, clock.elapsed_ns());
        let mut shard = shard.borrow_mut();
        shard.connection.is_connected = false;
        shard.connection.is_ready = false;
        shard.engine.stall_output();
        if let Some(text) = ended.text {
            shard.connection.trouble = Some(connection_log.trouble(&server, &text, clock.elapsed_ns()));
        }
    }
    shard.borrow_mut().give_up_outputs();
}

/// Why a connection is over.
struct Ended {
    cause: Cause,
    /// What to tell; nothing at an orderly stop.
    text: Option<String>,
}

/// Resolves and connects, and reads the files that a connection needs, off the reactor.
async fn connect(
    access: Arc<Access>,
    server: ServerAddress,
    client_name: String,
) -> Result<(Link, Stream, proto_nats::Settings), String> {
    let attempt = move || {
        let settings = access.connection_settings(&server, client_name)?;
        Ok::<_, String>((Link::connect(&server)?, settings))
    };
    let (link, settings) = blocking::run(attempt).await?;
    // Connecting by the reactor would resolve names on it.
    let duplicate = link.duplicate().map_err(|error| format!("cannot use the socket: {}", plain(&error)))?;
    Ok((link, socket::adopt(duplicate), settings))
}

fn begin(shard: &Rc<RefCell<Shard>>, settings: proto_nats::Settings) -> Connection {
    let mut shard = shard.borrow_mut();
    shard.begin_connection();
    let numbered = shard.settings.subjects.iter().zip(1..);
    let subscriptions = numbered.map(|(subject, sid)| Subscription::new(sid, subject, None)).collect();
    Connection::new(settings, subscriptions, shard.clock.elapsed_ns())
}

/// One connection at work.
struct Service<'a> {
    shard: &'a Rc<RefCell<Shard>>,
    link: Link,
    /// The same socket as the reactor knows it, for waiting only.
    parked: Stream,
    connection: Connection,
    server: &'a ServerAddress,
    access: &'a Arc<Access>,
    pool: &'a mut ServerPool,
    connection_log: &'a mut ConnectionLog,
    was_ready: &'a mut bool,
    warmer: &'a mut CacheWarmer,
    turns: &'a Turns,
    bell: &'a Bell,
    /// The server is about to go.
    refuge_search: Option<RefugeSearch>,
    stop: &'a Stop,
}

/// What the connection asks for.
enum Request {
    StartTls,
    End(Ended),
}

impl Service<'_> {
    /// Until the connection's end.
    async fn serve(&mut self) -> Ended {
        let (clock, busy_poll) = {
            let shard = self.shard.borrow();
            (shard.clock, shard.settings.busy_poll)
        };
        let mut last_turn_ns = clock.elapsed_ns();
        // When the bell has rung, until the first turn after it; when it rang last.
        let (mut has_rung, mut rung_ns) = (false, None);
        // When the socket was last looked at, if something else was done since.
        let mut unwatched_ns = None;
        let mut last_pass_ns = last_turn_ns;
        let mut warmed_ns = last_turn_ns;
        let mut is_paused = false;
        loop {
            let pass_ns = clock.elapsed_ns();
            if pass_ns - last_pass_ns > STALL_NS {
                self.connection.handle_reading_paused(last_pass_ns);
                is_paused = true;
            }
            last_pass_ns = pass_ns;
            if let Some(unwatched_ns) = unwatched_ns.replace(pass_ns) {
                self.shard.borrow_mut().read_gap.observe(pass_ns - unwatched_ns, 1);
            }
            // Before what comes next is given its moment.
            self.shard.borrow_mut().look_around();
            self.read(&mut is_paused);
            let is_drained = self.take_and_send();
            match self.handle_actions() {
                None => {}
                Some(Request::StartTls) => match self.start_tls().await {
                    Ok(()) => continue,
                    Err(text) => {
                        self.link.close();
                        return Ended { cause: Cause::Refused, text: Some(text) };
                    }
                },
                Some(Request::End(ended)) => {
                    let mut shard = self.shard.borrow_mut();
                    // Before the connection is ready nothing is to be said on it: not logged in, perhaps in clear text.
                    if self.stop.is_set() && ended.cause == Cause::Left && shard.connection.is_connected {
                        shard.finish_output(&mut self.link, self.connection.max_payload());
                    }
                    drop(shard);
                    self.link.close();
                    return ended;
                }
            }
            let now_ns = clock.elapsed_ns();
            if self.stop.is_set() && !matches!(self.connection.state(), State::Draining | State::Closed) {
                self.begin_drain(now_ns);
                continue;
            }
            if let Some(search) = &mut self.refuge_search
                && let Some(refuge) =
                    search.poll(self.pool, now_ns, || self.connection_log.no_refuge(self.server, now_ns))
            {
                self.refuge_search = None;
                self.pool.handle_refuge(refuge);
                self.shard.borrow_mut().connection.is_ready = false;
                self.begin_drain(now_ns);
                continue;
            }
            let turn_ns = match is_drained {
                true if has_rung || self.turns.is_wanted() => 0,
                true if rung_ns.is_some_and(|rung_ns| now_ns - rung_ns < ATTENTION_NS) => WANTED_TURN_NS,
                true if !busy_poll => IDLE_TURN_NS,
                false if self.turns.is_wanted() => WANTED_TURN_NS,
                _ => TURN_NS,
            };
            if now_ns - last_turn_ns >= turn_ns {
                {
                    let mut shard = self.shard.borrow_mut();
                    // Under a flood the queue may never be drained, and PINGs are due all the same.
                    self.connection.handle_time(now_ns, shard.wire.frames());
                }
                give_way().await;
                last_turn_ns = clock.elapsed_ns();
                has_rung = false;
                continue;
            }
            if !is_drained {
                continue;
            }
            let silence_ns = self.shard.borrow().silence_ns(now_ns);
            let is_silent = silence_ns > REST_AFTER_NS;
            if !is_silent && silence_ns.min(now_ns - warmed_ns) >= WARMTH_NS {
                warmed_ns = now_ns;
                self.warmer.run();
            }
            // The wait is a look as well; without any message there was nothing to do before it.
            unwatched_ns = None;
            if silence_ns <= now_ns - pass_ns {
                self.shard.borrow_mut().read_gap.observe(now_ns - pass_ns, 1);
            }
            if busy_poll {
                continue;
            }
            let (deadline_ns, for_writing) = {
                let shard = self.shard.borrow();
                let is_unsent = shard.wire.pending_bytes() > 0 || self.link.wants_write();
                (shard.next_deadline_ns(&self.connection), is_unsent)
            };
            let rest = Duration::from_nanos(deadline_ns.saturating_sub(now_ns)).min(REST);
            let is_resting = is_silent && self.connection.state() == State::Ready;
            if is_resting && !for_writing {
                unless(self.stop, within(rest, self.parked.readable())).await;
                last_turn_ns = clock.elapsed_ns();
                self.shard.borrow_mut().note_rest();
                continue;
            }
            let limit_ns = deadline_ns.saturating_sub(now_ns).min(turn_ns - (now_ns - last_turn_ns));
            let limit_ns = if is_silent { limit_ns } else { limit_ns.min(WARMTH_NS) };
            let limit = Duration::from_nanos(limit_ns);
            has_rung = self.link.wait_or_bell(for_writing, self.bell, limit);
            if has_rung {
                self.bell.silence();
                rung_ns = Some(clock.elapsed_ns());
            }
            self.shard.borrow_mut().note_rest();
        }
    }

    /// Reads what there is.
    fn read(&mut self, is_paused: &mut bool) {
        let mut shard = self.shard.borrow_mut();
        let outcome = shard.read(&mut self.link);
        let now_ns = shard.clock.elapsed_ns();
        match outcome {
            // The queue has room again: that ends a pause, whether or not anything has come since. A peer that
            // vanished meanwhile is found by its silence from here on.
            ReadOutcome::Some | ReadOutcome::Nothing => {
                if outcome == ReadOutcome::Some {
                    self.connection.note_received(now_ns);
                }
                if *is_paused {
                    *is_paused = false;
                    self.connection.handle_reading_resumed(now_ns);
                }
                if self.connection.state() == State::AwaitTls && self.link.is_secured() {
                    self.connection.handle_tls_started(now_ns, shard.wire.frames());
                }
            }
            ReadOutcome::QueueFull if !*is_paused => {
                *is_paused = true;
                self.connection.handle_reading_paused(now_ns);
            }
            ReadOutcome::QueueFull => {}
            ReadOutcome::Ended => {
                shard.finish_input(&mut self.link, &mut self.connection);
                self.connection.handle_end_of_stream(now_ns);
            }
        }
    }

    /// Takes a slice of messages and sends what it gave; says whether the queue is drained.
    fn take_and_send(&mut self) -> bool {
        let mut shard = self.shard.borrow_mut();
        let is_drained = match shard.take_slice(&mut self.connection) {
            Ok(is_drained) => is_drained,
            Err(error) => {
                self.connection.handle_unusable(match error {
                    TakeError::Protocol(error) => Reason::Malformed(error),
                    TakeError::QueueTooSmall => Reason::QueueTooSmall,
                    TakeError::AnswersUnread => Reason::AnswersUnread,
                });
                return true;
            }
        };
        let mut now_ns = shard.clock.elapsed_ns();
        let mut is_open = shard.wire.flush(&mut self.link, now_ns);
        // Only now: somebody waits for what has just gone out.
        if is_drained && is_open {
            shard.handle_time(&mut self.connection);
            now_ns = shard.clock.elapsed_ns();
            is_open = shard.wire.flush(&mut self.link, now_ns);
        }
        if !is_open {
            shard.finish_input(&mut self.link, &mut self.connection);
            self.connection.handle_end_of_stream(now_ns);
        }
        if let Some(since_ns) = shard.wire.stuck_since_ns()
            && now_ns - since_ns > WRITE_LIMIT_NS
        {
            self.connection.handle_unusable(Reason::TakesNothing { for_ns: now_ns - since_ns });
        }
        is_drained
    }

    fn begin_drain(&mut self, now_ns: u64) {
        let mut shard = self.shard.borrow_mut();
        self.connection.begin_drain(now_ns, DRAIN_LIMIT_NS, shard.wire.frames());
    }

    async fn start_tls(&mut self) -> Result<(), String> {
        if self.shard.borrow().queue.len_bytes() > 0 {
            self.connection.handle_unusable(Reason::DataBeforeTls);
            return Ok(());
        }
        let (access, server) = (self.access.clone(), self.server.clone());
        let session = blocking::run(move || access.tls_session(&server));
        match unless(self.stop, within(FILES_LIMIT, session)).await {
            // At a stop the connection is left as it is.
            None => {}
            Some(None) => return Err("the files that TLS needs could not be read in time".to_owned()),
            Some(Some(session)) => self.link.start_tls(session?),
        }
        Ok(())
    }

    /// Does what the connection asks for, as far as that can be done at once.
    fn handle_actions(&mut self) -> Option<Request> {
        for _ in 0..=NOTICES_MAX {
            let action = self.connection.poll_action()?;
            let mut shard = self.shard.borrow_mut();
            let now_ns = shard.clock.elapsed_ns();
            match action {
                Action::StartTls => return Some(Request::StartTls),
                Action::InfoReceived { secured } => {
                    self.pool.merge_discovered(&self.connection.info().connect_urls, secured);
                }
                Action::Ready { refused } => {
                    self.pool.handle_ready(now_ns);
                    shard.connection.is_connected = true;
                    shard.connection.reconnects += u64::from(*self.was_ready);
                    *self.was_ready = true;
                    shard.connection.is_ready = refused == 0;
                    let subjects: Vec<&str> =
                        self.connection.refused_subscriptions().map(|refused| refused.subject.as_str()).collect();
                    shard.connection.trouble = match (refused, subjects.first()) {
                        (0, _) => None,
                        (_, Some(first)) => Some(refusal(first)),
                        (_, None) => Some(format!(
                            "NATS has refused {refused} subscriptions and not said which: does it allow so many?"
                        )),
                    };
                    let info = self.connection.info();
                    let how = if self.connection.is_secured() { " through TLS" } else { "" };
                    let about = format!("{how} (server {} {})", printable(&info.server_name), printable(&info.version));
                    let refused = shard.connection.trouble.as_deref();
                    self.connection_log.connected(self.server, about, refused);
                    shard.encode_outputs(&self.connection);
                }
                Action::Confirmed => shard.connection.is_ready = self.connection.is_ready(),
                Action::LameDuck => {
                    self.connection_log.lame_duck(self.server);
                    self.pool.handle_lame_duck(now_ns);
                    self.refuge_search = Some(RefugeSearch::default());
                }
                Action::SubscriptionRefused { subject } => {
                    let trouble = refusal(&subject);
                    shard.warn(&trouble);
                    shard.connection.is_ready = self.connection.is_ready();
                    shard.connection.trouble = Some(trouble);
                }
                Action::Complaint(error) => shard.note_complaint(&error),
                Action::UnreadableInfo => shard.warn("NATS sent an INFO that is not a JSON object"),
                Action::DrainComplete { confirmed } => {
                    if !confirmed {
                        self.connection_log.unconfirmed_drain(self.server);
                    }
                    let text = (!self.stop.is_set()).then(|| "left, as it is about to shut down".to_owned());
                    return Some(Request::End(Ended { cause: Cause::Left, text }));
                }
                Action::Disconnect(reason) => {
                    if matches!(reason, Reason::ClosedAsSlowConsumer { .. }) {
                        shard.connection.slow_consumer_cuts += 1;
                    }
                    let ended = match self.link.trouble() {
                        Some(trouble) => Ended { cause: Cause::Refused, text: Some(trouble.to_owned()) },
                        None => Ended { cause: reason.cause(), text: Some(reason.to_string()) },
                    };
                    return Some(Request::End(ended));
                }
            }
        }
        None
    }
}

fn refusal(subject: &str) -> String {
    format!("NATS refuses the subscription to {}: grant this user that permission", printable(subject))
}
