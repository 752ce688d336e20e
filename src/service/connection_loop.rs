//! A shard's life: connects, serves the connection until its end, connects again; while it moves to another server, both.
//!
//! ```text
//!   read what is there ──► take a slice of messages ──► encode and send what they gave ──► drained? wait : again
//! ```
//!
//! What is to be done the session decides ([`Session`](crate::nats::session::Session)); here its wishes are granted. Sockets of
//! attempts are the [`Dialer`]'s. Reads and writes are attempted at once, and waiting is done in `poll(2)`, on the NATS socket and on the [`Bell`]. To park
//! in glommio would cost 10 to 60 us more for each event that comes after a pause; so the reactor gets its turns from here:
//! when the bell rings, when a task waits for one ([`Turns`]; soon, or where it is for work of many slices now and then), and by the clock. Only a connection on which no
//! message has come for a second parks, or for 20 ms where a stream is read late.
//! Until then the next message is expected, and what it will need is kept in the caches (see [`CacheWarmer`]). Only what a stream
//! brings late is neither expected so soon nor taken in pieces as small as it comes: it gathers in the socket for some milliseconds.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use proto_nats::connection::NOTICES_MAX;
use proto_nats::{Operation, ServerAddress, ServerError};
use rustix::event::{PollFd, PollFlags};
use smallvec::SmallVec;

use crate::engine::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use crate::nats::attempt::ConnectionId;
use crate::nats::connection_log::ConnectionLog;
use crate::nats::dialer::Dialer;
use crate::nats::error::{Complaint, ServerTrouble, Trouble};
use crate::nats::session::Output;
use crate::nats::transport::{self, Transport};
use crate::runtime::bell::Bell;
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
/// this often while other tasks wait for one, and where it is not for work of many slices each time that the buffer is drained,
const WANTED_TURN_NS: u64 = NANOS_PER_MILLI as u64 / 10;
/// or for this long after the bell has rung: what it has told of takes several turns (accept, read, write, close),
const ATTENTION_NS: u64 = NANOS_PER_MILLI as u64;
/// and this often while there is nothing to do but more may come: for its timers.
const IDLE_TURN_NS: u64 = 10 * NANOS_PER_MILLI as u64;
/// What the next event needs is in the caches for about so long; until it comes, that is renewed, unless events come in a flood or
/// late.
const WARMTH_NS: u64 = NANOS_PER_MILLI as u64;
/// What a stream brings late gathers in the socket for so long: each wake-up costs as much as some hundred events, and a busy
/// server brings them in pieces of two hundred.
const GATHERING_NS: u64 = 5 * NANOS_PER_MILLI as u64;
/// But for no longer than this many ns for a byte of the queue: no more is asked for than that holds (half of it in
/// small ones), so that half a gigabyte a second can come in any case.
const GATHERING_NS_PER_BYTE: u64 = 1;
/// A connection on which no message has come for this long waits in the reactor, where waiting is free.
const IDLE_AFTER_NS: u64 = NANOS_PER_SECOND as u64;
/// The same where the next one is late in any case.
const LATE_IDLE_AFTER_NS: u64 = 20 * NANOS_PER_MILLI as u64;
/// For so long at a time, so that a process that was stopped meanwhile can be told from one that had nothing to do.
const IDLE_WAIT: Duration = Duration::from_millis(250);
/// Longer between two passes than any wait here: the process itself was stopped, or the machine.
const STALL_NS: u64 = NANOS_PER_SECOND as u64;
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
    let dialer = Dialer::new(settings.access.clone(), settings.client_name.clone(), settings.queue_bytes / 2, |_| {});
    let mut connection_loop = ConnectionLoop {
        worker: &worker,
        log: ConnectionLog::new(settings.ownership.core),
        settings: &settings,
        dialer,
        serving: None,
        warmer: &mut warmer,
        turns: &turns,
        bell,
        is_paused: false,
        stop: &stop,
    };
    while !worker.borrow().session.is_over() {
        match connection_loop.serving {
            Some(_) => connection_loop.serve().await,
            None => connection_loop.connect().await,
        }
    }
    worker.borrow_mut().give_up_outputs();
}

/// A worker with its sockets.
struct ConnectionLoop<'a> {
    worker: &'a Rc<RefCell<Worker>>,
    settings: &'a WorkerSettings,
    dialer: Dialer,
    serving: Option<Socket>,
    log: ConnectionLog,
    warmer: &'a mut CacheWarmer,
    turns: &'a Turns,
    bell: &'a Bell,
    /// The socket is not read.
    is_paused: bool,
    stop: &'a Stop,
}

/// Of the connection that serves.
struct Socket {
    transport: Transport,
    /// The same socket as the reactor knows it, for waiting only.
    parked: Stream,
}

impl ConnectionLoop<'_> {
    /// No connection serves: until one does, or the session is over.
    async fn connect(&mut self) {
        let clock = self.worker.borrow().shard.clock;
        let mut rung_ns = None;
        loop {
            let now_ns = clock.elapsed_ns();
            let due_ns = {
                let mut worker = self.worker.borrow_mut();
                worker.shard.check_clock();
                if self.stop.is_set() {
                    worker.session.begin_stop(now_ns);
                }
                // Alerts are about this as well: that nothing comes, that the server has cut the connection.
                worker.handle_time();
                self.dialer.drive(&mut worker.session, now_ns);
                self.grant_wishes(&mut worker);
                if self.serving.is_some() || worker.session.is_over() {
                    return;
                }
                self.log.next_deadline().unwrap_or(u64::MAX).min(worker.next_deadline_ns())
            };
            let left_ns = match due_ns {
                u64::MAX => IDLE_TURN_NS,
                due_ns => due_ns.saturating_sub(clock.elapsed_ns()),
            };
            if self.dialer.is_empty() {
                // Where something is due all the time, the others have their turn all the same.
                unless(self.stop, sleep(Duration::from_nanos(left_ns.max(WANTED_TURN_NS)))).await;
                continue;
            }
            let is_attended = rung_ns.is_some_and(|rung_ns| now_ns - rung_ns < ATTENTION_NS);
            let turn_ns = if is_attended { WANTED_TURN_NS } else { IDLE_TURN_NS };
            if self.wait(true, false, Duration::from_nanos(left_ns.min(turn_ns))) {
                rung_ns = Some(clock.elapsed_ns());
            }
            give_way().await;
        }
    }

    /// Until the connection's end.
    async fn serve(&mut self) {
        let (clock, busy_poll) = (self.worker.borrow().shard.clock, self.settings.busy_poll);
        self.is_paused = false;
        let mut last_turn_ns = clock.elapsed_ns();
        // When the bell has rung, until the first turn after it; when it rang last.
        let (mut has_rung, mut rung_ns) = (false, None);
        // When the socket was last looked at, if something else was done since.
        let mut unwatched_ns = None;
        let mut last_pass_ns = last_turn_ns;
        let mut warmed_ns = last_turn_ns;
        let gathering_ns = GATHERING_NS.min(GATHERING_NS_PER_BYTE * self.settings.queue_bytes as u64);
        loop {
            let pass_ns = clock.elapsed_ns();
            let is_stalled = pass_ns - last_pass_ns > STALL_NS;
            if is_stalled {
                self.worker.borrow_mut().session.handle_reading_paused(last_pass_ns);
                self.is_paused = true;
            }
            last_pass_ns = pass_ns;
            if self.worker.borrow().is_reading()
                && let Some(unwatched_ns) = unwatched_ns.replace(pass_ns)
            {
                self.worker.borrow_mut().shard.read_gap.observe(pass_ns - unwatched_ns, 1);
            }
            let Some(is_drained) = self.exchange() else { return };
            let now_ns = clock.elapsed_ns();
            let turn_ns = match is_drained {
                true if has_rung || self.turns.is_wanted_at_once() => 0,
                _ if self.turns.is_wanted() => WANTED_TURN_NS,
                true if rung_ns.is_some_and(|rung_ns| now_ns - rung_ns < ATTENTION_NS) => WANTED_TURN_NS,
                true if !busy_poll => IDLE_TURN_NS,
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
            let reads_late = self.worker.borrow().reads_late(now_ns);
            let is_silent = silence_ns > if reads_late { LATE_IDLE_AFTER_NS } else { IDLE_AFTER_NS };
            let is_kept_warm = !is_silent && !reads_late && !self.worker.borrow_mut().shard.is_flooded(now_ns);
            if is_kept_warm && silence_ns.min(now_ns - warmed_ns) >= WARMTH_NS {
                warmed_ns = now_ns;
                self.warmer.run();
            }
            // Without any message there was nothing to do before the wait.
            let has_taken = silence_ns <= now_ns - pass_ns;
            // Silent although it has taken some: the process was stopped in between.
            let is_gathering = reads_late && has_taken && !is_silent && self.dialer.is_empty();
            if !is_gathering {
                // The wait is a look as well.
                if let Some(unwatched_ns) = unwatched_ns.take().filter(|_| has_taken) {
                    self.worker.borrow_mut().shard.read_gap.observe(now_ns - unwatched_ns, 1);
                }
            }
            if busy_poll {
                continue;
            }
            let Some(Socket { transport, parked }) = &self.serving else { return };
            let (deadline_ns, for_writing, is_serving) = {
                let worker = self.worker.borrow();
                let is_unsent = !worker.session.bytes_to_send().is_empty() || transport.wants_write();
                (worker.next_deadline_ns(), is_unsent, worker.session.is_serving())
            };
            let left_ns = deadline_ns.saturating_sub(now_ns);
            if is_silent && is_serving && left_ns > 0 && !for_writing && self.dialer.is_empty() {
                let limit = Duration::from_nanos(left_ns).min(IDLE_WAIT);
                unless(self.stop, within(limit, parked.readable())).await;
                last_turn_ns = clock.elapsed_ns();
            } else {
                let limit_ns = left_ns.min(turn_ns - (now_ns - last_turn_ns));
                let limit_ns = match (is_gathering, is_kept_warm) {
                    (true, _) => limit_ns.min(gathering_ns),
                    (_, true) => limit_ns.min(WARMTH_NS),
                    _ => limit_ns,
                };
                has_rung = self.wait(!is_gathering, for_writing, Duration::from_nanos(limit_ns));
                if has_rung {
                    rung_ns = Some(clock.elapsed_ns());
                }
            }
            self.worker.borrow_mut().shard.note_idle();
        }
    }

    /// Blocks the thread until a socket is ready, the bell rings or `limit` has passed; says whether the bell has rung. Not
    /// `for_reading`: what comes on the connection that serves, its end as well, ends no wait.
    fn wait(&self, for_reading: bool, for_writing: bool, mut limit: Duration) -> bool {
        let serving = self.serving.as_ref().and_then(|socket| socket.transport.interest(for_reading, for_writing));
        // Where nothing is dialled, this allocates nothing.
        let mut awaited = SmallVec::<[_; 2]>::new();
        awaited.push(PollFd::new(self.bell, PollFlags::IN));
        awaited.extend(serving);
        if !self.dialer.is_empty() {
            self.dialer.interests(&mut self.worker.borrow_mut().session, &mut awaited);
            limit = limit.min(self.dialer.wait_max());
        }
        transport::wait(&mut awaited, limit);
        let has_rung = !awaited[0].revents().is_empty();
        if has_rung {
            self.bell.silence();
        }
        has_rung
    }

    /// Reads what there is, takes a slice of messages, sends what it gave and does what the session asks for. Says whether
    /// nothing is left to read or take; `None`: no connection serves any more.
    fn exchange(&mut self) -> Option<bool> {
        let mut worker = self.worker.borrow_mut();
        let Socket { transport, .. } = self.serving.as_mut()?;
        let clock = worker.shard.clock;
        // Before what comes next is given its moment.
        worker.shard.check_clock();
        if self.stop.is_set() {
            worker.session.begin_stop(clock.elapsed_ns());
        }
        worker.expire_outputs();
        self.is_paused = read(&mut worker, transport, self.is_paused);
        let is_drained = match worker.take_slice() {
            Ok(is_drained) => {
                let mut is_open = transport.send(&mut worker.session, clock.elapsed_ns());
                // Only now: what has just gone out is waited for.
                if is_drained && is_open {
                    worker.handle_time();
                    is_open = transport.send(&mut worker.session, clock.elapsed_ns());
                }
                if !is_open {
                    handle_end(&mut worker, transport);
                } else if worker.session.has_ended() {
                    // The session has ended the connection by itself.
                    worker.finish_input(transport);
                }
                is_drained
            }
            Err(reason) => {
                worker.session.handle_unusable(reason);
                true
            }
        };
        if !self.dialer.is_empty() {
            self.dialer.drive(&mut worker.session, clock.elapsed_ns());
        }
        self.grant_wishes(&mut worker);
        let is_idle = is_drained && !worker.shard.is_behind();
        self.serving.is_some().then_some(is_idle)
    }

    /// Does what the session asks for, as far as that can be done at once.
    fn grant_wishes(&mut self, worker: &mut Worker) {
        let now_ns = worker.shard.clock.elapsed_ns();
        self.log.handle_time(now_ns);
        for _ in 0..=NOTICES_MAX {
            let Some(output) = worker.session.poll_output(now_ns) else { break };
            let server = worker.session.server();
            match output {
                Output::Connect { id, server } => self.dialer.begin(id, server, now_ns),
                Output::StartTls(id) => self.dialer.start_tls(id, &mut worker.session, now_ns),
                Output::GiveUp { id, trouble } => {
                    self.dialer.give_up(id);
                    if !worker.session.has_successor() {
                        worker.shard.cancel_overlap();
                    }
                    trouble.into_iter().for_each(|trouble| self.log.trouble(&trouble, now_ns));
                }
                Output::Serve(id) => self.begin_serving(id, worker),
                // What a stream brings twice its reader takes once.
                Output::Overlap if worker.session.stream().is_some() => {}
                Output::Overlap => worker.shard.begin_overlap(),
                Output::Close { server, trouble } => return self.close(worker, &server, trouble.as_deref()),
                Output::Ready => {
                    if let Some((server, info, is_secured)) = server {
                        self.log.connected(server, info, is_secured, worker.session.trouble(), now_ns);
                    }
                    worker.publish(now_ns);
                }
                Output::LameDuck => server.into_iter().for_each(|(server, ..)| self.log.lame_duck(server, now_ns)),
                Output::NoOtherServer => {
                    server.into_iter().for_each(|(server, ..)| self.log.no_other_server(server, now_ns));
                }
                Output::Untrusted { server, count } => self.log.untrusted(&server, count, now_ns),
                Output::DrainUnconfirmed => {
                    server.into_iter().for_each(|(server, ..)| self.log.unconfirmed_drain(server));
                }
                Output::SubscriptionRefused => {
                    worker.session.trouble().into_iter().for_each(|trouble| self.log.refused(trouble, now_ns));
                }
                Output::Complaint(error) => {
                    // Of refused publications the session keeps account, and the worker has a line a minute.
                    match &error {
                        ServerError::PermissionsViolation { operation: Operation::Publish, subject } => {
                            outputs::note_refused(&mut worker.shard.engine, subject);
                        }
                        _ => self.log.complaint(Complaint(&error), now_ns),
                    }
                }
                Output::UnreadableInfo => {
                    self.log.complaint("NATS sent an INFO that is not a JSON object", now_ns);
                }
                Output::Flush => {
                    if let Some(socket) = &mut self.serving {
                        flush(worker, &mut socket.transport);
                    }
                    worker.session.handle_flushed();
                }
            }
        }
    }

    /// The attempt's socket is the one that is read and written from now on.
    fn begin_serving(&mut self, id: ConnectionId, worker: &mut Worker) {
        let Some((transport, input)) = self.dialer.take(id) else {
            return worker.session.handle_failed(Trouble::Socket(ErrorKind::NotConnected.into()));
        };
        if !worker.shard.begin_connection(&input) {
            worker.session.handle_unusable(proto_nats::Reason::QueueTooSmall);
        }
        match transport.duplicate() {
            Ok(duplicate) => self.serving = Some(Socket { transport, parked: socket::adopt(duplicate) }),
            Err(error) => worker.session.handle_failed(Trouble::Socket(error)),
        }
    }

    fn close(&mut self, worker: &mut Worker, server: &ServerAddress, trouble: Option<&ServerTrouble>) {
        if let Some(mut socket) = self.serving.take() {
            socket.transport.close();
        }
        worker.shard.engine.stall_output();
        let now_ns = worker.shard.clock.elapsed_ns();
        match trouble {
            Some(trouble) if worker.session.is_over() => self.log.drain_cut_short(trouble),
            Some(trouble) => self.log.ended(trouble, now_ns),
            None if worker.session.is_over() => {}
            None => self.log.left(server, now_ns),
        }
    }
}

/// Reads what there is; says whether reading is paused now.
fn read(worker: &mut Worker, transport: &mut Transport, was_paused: bool) -> bool {
    let outcome = worker.read(transport);
    let now_ns = worker.shard.clock.elapsed_ns();
    match outcome {
        // The buffer has room again, or has some soon: that ends a pause, whether or not anything has come since. A peer that
        // vanished meanwhile is found by its silence from here on.
        ReadOutcome::Some | ReadOutcome::Nothing => {
            if outcome == ReadOutcome::Some {
                worker.session.note_received(now_ns);
            }
            if was_paused {
                worker.session.handle_reading_resumed(now_ns);
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
    let error = transport.take_trouble();
    worker.session.handle_end_of_stream(error, worker.shard.clock.elapsed_ns());
}

/// The drain is over and the connection about to be closed: everything there is to publish is sent, for as long as the
/// server takes it, up to a limit.
fn flush(worker: &mut Worker, transport: &mut Transport) {
    let clock = worker.shard.clock;
    let start_ns = clock.elapsed_ns();
    worker.shard.engine.stop();
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
