//! A shard's life: connects, serves the connection until its end, connects again.
//!
//! ```text
//!   read what is there ──► take a slice of messages ──► encode and send what they gave ──► drained? wait : again
//! ```
//!
//! What is to be done on a connection the session decides ([`Session`](crate::nats::session::Session)); here its wishes
//! are granted. Reads and writes are attempted at once, and waiting is done in `poll(2)`, on the NATS socket and on the [`Bell`]. To park
//! in glommio would cost 10 to 60 us more for each event that comes after a pause; so the reactor gets its turns from here:
//! when the bell rings, when a task waits for one ([`Turns`]), and by the clock. Only a connection on which no
//! message has come for a second parks.
//! Until then the next message is expected, and what it will need is kept in the caches (see [`CacheWarmer`]).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proto_nats::connection::NOTICES_MAX;
use proto_nats::{Operation, Reason, ServerAddress, ServerError};

use crate::engine::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use crate::nats::connection_log::ConnectionLog;
use crate::nats::credentials::Access;
use crate::nats::error::{Complaint, Trouble};
use crate::nats::reachability::ReachabilitySearch;
use crate::nats::session::Output;
use crate::nats::transport::Transport;
use crate::runtime::bell::Bell;
use crate::runtime::blocking;
use crate::runtime::executor::give_way;
use crate::runtime::socket::{self, Stream};
use crate::runtime::stop::Stop;
use crate::runtime::timeout::{sleep, unless, within};
use crate::runtime::turns::Turns;
use crate::service::cache_warming::CacheWarmer;
use crate::service::outputs;
use crate::service::shard::ReadOutcome;
use crate::service::worker::{Worker, WorkerSettings};

/// The reactor (HTTP, the other tasks) gets its turn this often, however busy the socket is,
const TURN_NS: u64 = NANOS_PER_MILLI as u64;
/// this often while other tasks wait for one, and then each time that the buffer is drained,
const WANTED_TURN_NS: u64 = NANOS_PER_MILLI as u64 / 10;
/// or for this long after the bell has rung: what it has told of takes several turns (accept, read, write, close),
const ATTENTION_NS: u64 = NANOS_PER_MILLI as u64;
/// and this often while there is nothing to do but more may come: for its timers.
const IDLE_TURN_NS: u64 = 10 * NANOS_PER_MILLI as u64;
/// What the next event needs is in the caches for about so long; until it comes, that is renewed.
const WARMTH_NS: u64 = NANOS_PER_MILLI as u64;
/// A connection on which no message has come for this long waits in the reactor, where waiting is free.
const IDLE_AFTER_NS: u64 = NANOS_PER_SECOND as u64;
/// For so long at a time, so that a process that was stopped meanwhile can be told from one that had nothing to do.
const IDLE_WAIT: Duration = Duration::from_millis(250);
/// For a name to be resolved, a server to answer and files to be read.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// Longer between two passes than any wait here: the process itself was stopped, or the machine.
const STALL_NS: u64 = NANOS_PER_SECOND as u64;
/// For the files that TLS needs: a hung mount is no reason to wait.
const FILES_LIMIT: Duration = Duration::from_secs(5);
/// At a stop, for the last outputs.
const FLUSH_LIMIT_NS: u64 = NANOS_PER_SECOND as u64;
/// Between two waits for the socket to take more of them.
const FLUSH_WAIT: Duration = Duration::from_millis(1);

/// Runs a worker until `stop` is set. `turns` are those that it gives, `bell` what it is woken by.
pub async fn run(
    worker: Rc<RefCell<Worker>>,
    settings: WorkerSettings,
    mut warmer: Box<CacheWarmer>,
    turns: Rc<Turns>,
    bell: &Bell,
    stop: Stop,
) {
    let clock = worker.borrow().shard.clock;
    let mut log = ConnectionLog::new(settings.ownership.core);
    loop {
        let output = {
            let mut worker = worker.borrow_mut();
            worker.shard.check_clock();
            if stop.is_set() {
                worker.session.begin_stop(clock.elapsed_ns());
            }
            worker.session.poll_output(clock.elapsed_ns())
        };
        let Some(Output::Connect(server)) = output else {
            let Some(due_ns) = worker.borrow().session.next_deadline() else { break };
            let pause = Duration::from_nanos(due_ns.saturating_sub(clock.elapsed_ns()));
            unless(&stop, sleep(pause)).await;
            continue;
        };
        let attempt = connect(settings.access.clone(), server, settings.client_name.clone());
        let Some(attempt) = unless(&stop, within(CONNECT_LIMIT, attempt)).await else { continue };
        match attempt.unwrap_or(Err(Trouble::ConnectTooSlow { seconds: CONNECT_LIMIT.as_secs() })) {
            Ok((transport, parked, connection_settings)) => {
                {
                    let mut worker = worker.borrow_mut();
                    worker.shard.begin_connection();
                    worker.session.handle_connected(connection_settings, clock.elapsed_ns());
                }
                let mut connection = ConnectionLoop {
                    worker: &worker,
                    settings: &settings,
                    transport,
                    parked,
                    log: &mut log,
                    warmer: &mut warmer,
                    turns: &turns,
                    bell,
                    reachability_search: None,
                    is_paused: false,
                    stop: &stop,
                };
                connection.serve().await;
            }
            Err(trouble) => worker.borrow_mut().session.handle_unreachable(trouble, clock.elapsed_ns()),
        }
        let mut worker = worker.borrow_mut();
        worker.shard.engine.stall_output();
        match worker.session.trouble() {
            Some(trouble) if worker.session.is_over() => log.drain_cut_short(trouble),
            Some(trouble) => log.trouble(trouble, clock.elapsed_ns()),
            None => {}
        }
    }
    worker.borrow_mut().give_up_outputs();
}

/// Resolves and connects, and reads the files that a connection needs, off the reactor.
async fn connect(
    access: Arc<Access>,
    server: ServerAddress,
    client_name: String,
) -> Result<(Transport, Stream, proto_nats::ConnectionSettings), Trouble> {
    let attempt = move || {
        let settings = access.connection_settings(&server, client_name).map_err(Trouble::Access)?;
        Ok::<_, Trouble>((Transport::connect(&server).map_err(Trouble::Connect)?, settings))
    };
    let (transport, settings) = blocking::run(attempt).await?;
    let parked = transport.duplicate().map(socket::adopt).map_err(Trouble::Socket)?;
    Ok((transport, parked, settings))
}

/// One connection at work.
struct ConnectionLoop<'a> {
    worker: &'a Rc<RefCell<Worker>>,
    settings: &'a WorkerSettings,
    transport: Transport,
    /// The same socket as the reactor knows it, for waiting only.
    parked: Stream,
    log: &'a mut ConnectionLog,
    warmer: &'a mut CacheWarmer,
    turns: &'a Turns,
    bell: &'a Bell,
    /// The server is about to go.
    reachability_search: Option<ReachabilitySearch>,
    /// The socket is not read.
    is_paused: bool,
    stop: &'a Stop,
}

/// What a connection's wishes came to.
enum Wish {
    None,
    StartTls(ServerAddress),
    Closed,
}

impl ConnectionLoop<'_> {
    /// Until the connection's end.
    async fn serve(&mut self) {
        let (clock, busy_poll) = (self.worker.borrow().shard.clock, self.settings.busy_poll);
        let mut last_turn_ns = clock.elapsed_ns();
        // When the bell has rung, until the first turn after it; when it rang last.
        let (mut has_rung, mut rung_ns) = (false, None);
        // When the socket was last looked at, if something else was done since.
        let mut unwatched_ns = None;
        let mut last_pass_ns = last_turn_ns;
        let mut warmed_ns = last_turn_ns;
        loop {
            let pass_ns = clock.elapsed_ns();
            let is_stalled = pass_ns - last_pass_ns > STALL_NS;
            if is_stalled {
                self.worker.borrow_mut().session.handle_reading_paused(last_pass_ns);
                self.is_paused = true;
            }
            last_pass_ns = pass_ns;
            if let Some(unwatched_ns) = unwatched_ns.replace(pass_ns) {
                self.worker.borrow_mut().shard.read_gap.observe(pass_ns - unwatched_ns, 1);
            }
            let is_drained = self.exchange();
            match self.grant_wishes() {
                Wish::None => {}
                Wish::StartTls(server) => {
                    self.start_tls(server).await;
                    continue;
                }
                Wish::Closed => return self.transport.close(),
            }
            let now_ns = clock.elapsed_ns();
            let turn_ns = match is_drained {
                true if has_rung || self.turns.is_wanted() => 0,
                true if rung_ns.is_some_and(|rung_ns| now_ns - rung_ns < ATTENTION_NS) => WANTED_TURN_NS,
                true if !busy_poll => IDLE_TURN_NS,
                false if self.turns.is_wanted() => WANTED_TURN_NS,
                _ => TURN_NS,
            };
            if now_ns - last_turn_ns >= turn_ns {
                // Under a flood the buffer may never be drained, and PINGs are due all the same.
                self.worker.borrow_mut().session.handle_time(now_ns);
                give_way().await;
                last_turn_ns = clock.elapsed_ns();
                has_rung = false;
                continue;
            }
            if !is_drained {
                continue;
            }
            let silence_ns = self.worker.borrow().shard.silence_ns(now_ns);
            let is_silent = silence_ns > IDLE_AFTER_NS;
            if !is_silent && silence_ns.min(now_ns - warmed_ns) >= WARMTH_NS {
                warmed_ns = now_ns;
                self.warmer.run();
            }
            // The wait is a look as well; without any message there was nothing to do before it.
            unwatched_ns = None;
            if silence_ns <= now_ns - pass_ns {
                self.worker.borrow_mut().shard.read_gap.observe(now_ns - pass_ns, 1);
            }
            if busy_poll {
                continue;
            }
            let (deadline_ns, for_writing, is_serving) = {
                let worker = self.worker.borrow();
                let is_unsent = !worker.session.bytes_to_send().is_empty() || self.transport.wants_write();
                (worker.next_deadline_ns(), is_unsent, worker.session.is_serving())
            };
            let left_ns = deadline_ns.saturating_sub(now_ns);
            if is_silent && is_serving && !for_writing {
                let limit = Duration::from_nanos(left_ns).min(IDLE_WAIT);
                unless(self.stop, within(limit, self.parked.readable())).await;
                last_turn_ns = clock.elapsed_ns();
            } else {
                let limit_ns = left_ns.min(turn_ns - (now_ns - last_turn_ns));
                let limit_ns = if is_silent { limit_ns } else { limit_ns.min(WARMTH_NS) };
                has_rung = self.transport.wait_or_bell(for_writing, self.bell, Duration::from_nanos(limit_ns));
                if has_rung {
                    self.bell.silence();
                    rung_ns = Some(clock.elapsed_ns());
                }
            }
            self.worker.borrow_mut().shard.note_idle();
        }
    }

    /// Reads what there is, takes a slice of messages and sends what it gave; says whether the buffer is drained.
    fn exchange(&mut self) -> bool {
        let mut worker = self.worker.borrow_mut();
        let clock = worker.shard.clock;
        // Before what comes next is given its moment.
        worker.shard.check_clock();
        if self.stop.is_set() {
            worker.session.begin_stop(clock.elapsed_ns());
        }
        self.is_paused = read(&mut worker, &mut self.transport, self.is_paused);
        let is_drained = match worker.take_slice() {
            Ok(is_drained) => is_drained,
            Err(reason) => {
                worker.session.handle_unusable(reason);
                return true;
            }
        };
        let mut is_open = self.transport.send(&mut worker.session, clock.elapsed_ns());
        // Only now: what has just gone out is waited for.
        if is_drained && is_open {
            worker.handle_time();
            is_open = self.transport.send(&mut worker.session, clock.elapsed_ns());
        }
        if !is_open {
            handle_end(&mut worker, &mut self.transport);
        }
        is_drained
    }

    /// Does what the session asks for, as far as that can be done at once.
    fn grant_wishes(&mut self) -> Wish {
        let mut worker = self.worker.borrow_mut();
        let worker = &mut *worker;
        let now_ns = worker.shard.clock.elapsed_ns();
        if let Some(search) = &self.reachability_search
            && let Some(found) = search.poll()
        {
            self.reachability_search = None;
            if let (None, Some((server, ..))) = (&found, worker.session.server()) {
                self.log.no_other_server(server, now_ns);
            }
            worker.session.handle_reachable(found, now_ns);
        }
        for _ in 0..=NOTICES_MAX {
            let Some(output) = worker.session.poll_output(now_ns) else { break };
            let server = worker.session.server();
            match output {
                Output::Close(_) => return Wish::Closed,
                Output::StartTls => {
                    if let Some((server, ..)) = server
                        && worker.shard.receive_buffer.len_bytes() == 0
                    {
                        return Wish::StartTls(server.clone());
                    }
                    worker.session.handle_unusable(Reason::DataBeforeTls);
                }
                Output::FindReachable(candidates) => {
                    self.reachability_search = ReachabilitySearch::begin(candidates);
                    if self.reachability_search.is_none() {
                        worker.session.handle_reachable(None, now_ns);
                    }
                }
                Output::Ready => {
                    if let Some((server, info, is_secured)) = server {
                        self.log.connected(server, info, is_secured, worker.session.trouble());
                    }
                    worker.publish(now_ns);
                }
                Output::LameDuck => server.into_iter().for_each(|(server, ..)| self.log.lame_duck(server)),
                Output::DrainUnconfirmed => {
                    server.into_iter().for_each(|(server, ..)| self.log.unconfirmed_drain(server));
                }
                Output::SubscriptionRefused => {
                    worker.session.trouble().into_iter().for_each(|trouble| self.log.complaint(trouble, now_ns));
                }
                Output::Complaint(error) => {
                    if let ServerError::PermissionsViolation { operation: Operation::Publish, subject } = &error {
                        outputs::note_refused(&mut worker.shard.engine, subject);
                    }
                    self.log.complaint(Complaint(&error), now_ns);
                }
                Output::UnreadableInfo => {
                    self.log.complaint("NATS sent an INFO that is not a JSON object", now_ns);
                }
                Output::Flush => {
                    flush(worker, &mut self.transport);
                    worker.session.handle_flushed();
                }
                Output::Connect(_) => unreachable!("a connection is closed before the next one"),
            }
        }
        Wish::None
    }

    async fn start_tls(&mut self, server: ServerAddress) {
        let access = self.settings.access.clone();
        let session = blocking::run(move || access.tls_session(&server).map_err(Trouble::Access));
        match unless(self.stop, within(FILES_LIMIT, session)).await {
            // At a stop the connection is left as it is.
            None => {}
            Some(Some(Ok(session))) => self.transport.start_tls(session),
            Some(Some(Err(trouble))) => self.worker.borrow_mut().session.handle_failed(trouble),
            Some(None) => self.worker.borrow_mut().session.handle_failed(Trouble::FilesTooSlow),
        }
    }
}

/// Reads what there is; says whether reading is paused now.
fn read(worker: &mut Worker, transport: &mut Transport, was_paused: bool) -> bool {
    let outcome = worker.shard.read(transport);
    let now_ns = worker.shard.clock.elapsed_ns();
    match outcome {
        // The buffer has room again: that ends a pause, whether or not anything has come since. A peer that
        // vanished meanwhile is found by its silence from here on.
        ReadOutcome::Some | ReadOutcome::Nothing => {
            if outcome == ReadOutcome::Some {
                worker.session.note_received(now_ns);
            }
            if was_paused {
                worker.session.handle_reading_resumed(now_ns);
            }
            if worker.session.awaits_tls() && transport.is_secured() {
                worker.session.handle_tls_started(now_ns);
            }
            false
        }
        ReadOutcome::BufferFull => {
            if !was_paused {
                worker.session.handle_reading_paused(now_ns);
            }
            true
        }
        ReadOutcome::Ended => {
            handle_end(worker, transport);
            was_paused
        }
    }
}

/// The socket is at its end, for reading or for writing.
fn handle_end(worker: &mut Worker, transport: &mut Transport) {
    worker.finish_input(transport);
    match transport.take_tls_error() {
        Some(error) => worker.session.handle_failed(Trouble::Tls(error)),
        None => worker.session.handle_end_of_stream(worker.shard.clock.elapsed_ns()),
    }
}

/// The drain is over and the connection about to be closed: everything there is to publish is sent, for as long as the
/// server takes it, up to a limit.
fn flush(worker: &mut Worker, transport: &mut Transport) {
    let clock = worker.shard.clock;
    let start_ns = clock.elapsed_ns();
    worker.shard.engine.set_moment_open(false);
    while clock.elapsed_ns() - start_ns < FLUSH_LIMIT_NS {
        worker.publish(clock.elapsed_ns());
        if !transport.send(&mut worker.session, clock.elapsed_ns()) {
            break;
        }
        let is_sent = worker.session.bytes_to_send().is_empty() && !transport.wants_write();
        if is_sent && !worker.shard.engine.has_output() {
            return;
        }
        transport.wait(true, FLUSH_WAIT);
    }
}
