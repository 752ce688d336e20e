//! What one core works with: a shard and its session with NATS, and the few calls in which the two meet.

use std::sync::Arc;

use proto_nats::Reason;
use proto_nats::jetstream::{Phase, ReaderReport};

use crate::engine::alerts::alert::{AlertKind, AlertState, KINDS};
use crate::engine::alerts::board::AlertBoard;
use crate::engine::counters::OutputKind;
use crate::engine::memory::NoMemory;
use crate::engine::ownership::Ownership;
use crate::engine::settings::EngineSettings;
use crate::engine::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use crate::nats::credentials::Access;
use crate::nats::refusals::Line;
use crate::nats::session::{Session, SessionSettings, StreamSettings};
use crate::nats::transport::Transport;
use crate::runtime::clock::Clock;
use crate::runtime::log_limit::{Count, LogLimit};
use crate::runtime::log_text::one_line;
use crate::service::outputs::{self, Publication};
use crate::service::shard::{ReadOutcome, Shard};
use crate::service::stream_watch::StreamWatch;

#[cfg(test)]
mod tests;

/// Of the 5 s that a stop may take, the server gets this long to answer the drain.
const DRAIN_LIMIT_NS: u64 = 2 * NANOS_PER_SECOND as u64;
/// nats-server's own `write_deadline`.
const WRITE_LIMIT_NS: u64 = 10 * NANOS_PER_SECOND as u64;
/// So many messages that wait in a stream for so long are late. The time is twenty times that for which more of them may gather
/// then; of fewer messages nothing gathers, and a clock that is wrong makes nothing late by itself.
const LATE_NS: u64 = 100 * NANOS_PER_MILLI as u64;
const LATE_MESSAGES: u64 = 1_000;
/// Reads after the end of a connection: what a socket can hold by then is far less.
const LAST_READS_MAX: usize = 256;

/// What a core runs with.
#[derive(Clone)]
pub struct WorkerSettings {
    /// With this core's part of `WINDOW_TRADES`.
    pub engine: EngineSettings,
    /// Which of the symbols that arrive this core takes.
    pub ownership: Ownership,
    /// Capacity of the receive buffer: `QUEUE_BYTES`.
    pub queue_bytes: usize,
    /// Spin instead of sleeping while the socket has nothing: `BUSY_POLL`.
    pub busy_poll: bool,
    /// The servers, and how to log in; all cores have the same.
    pub access: Arc<Access>,
    /// The access's own, numbered where there are several cores.
    pub client_name: String,
    /// Subscribed to, wildcards among them.
    pub subjects: Vec<String>,
    /// Where events come from a stream: which one.
    pub stream: Option<StreamSettings>,
}

/// A core's shard with its NATS session.
pub struct Worker {
    /// What arrives goes into it.
    pub shard: Shard,
    /// Takes the shard's outputs, and the operations among what arrives that are no messages.
    pub session: Session<Publication>,
    /// Those that the alerts know of.
    slow_consumer_cuts: u64,
    /// By kind and state: firing, resolved.
    alert_lines: [[LogLimit; 2]; KINDS],
    /// Alerts wait for the line that counts them.
    has_uncounted_alerts: bool,
    stream_watch: StreamWatch,
}

impl Worker {
    /// Reserves what the shard and its outputs need. `board` is that of all cores.
    pub fn new(settings: &WorkerSettings, board: Arc<AlertBoard>, clock: Clock) -> Result<Worker, NoMemory> {
        let WorkerSettings { engine, ownership, queue_bytes, access, subjects, stream, .. } = settings;
        let session = SessionSettings {
            servers: access.servers().to_vec(),
            discovers: access.discovers(),
            subjects: subjects.clone(),
            stream: stream.clone(),
            seed: Some(clock.now().0 as u64 ^ (ownership.core as u64) << 48),
            drain_limit_ns: DRAIN_LIMIT_NS,
            write_limit_ns: WRITE_LIMIT_NS,
        };
        Ok(Worker {
            shard: Shard::new(engine.clone(), board, *ownership, *queue_bytes, clock)?,
            session: Session::new(session)?,
            slow_consumer_cuts: 0,
            alert_lines: Default::default(),
            has_uncounted_alerts: false,
            stream_watch: StreamWatch::new(ownership.core),
        })
    }

    /// Reads what the socket has, as far as the buffer is open; that some may be left is for the session to remember.
    pub fn read(&mut self, transport: &mut Transport) -> ReadOutcome {
        let outcome = self.shard.read(transport, &self.session);
        if self.shard.is_behind() {
            self.session.note_left_unread(self.shard.clock.elapsed_ns());
        }
        outcome
    }

    /// The next [`read`](Self::read) looks at the socket.
    pub fn is_reading(&self) -> bool {
        self.shard.is_reading(&self.session)
    }

    /// Takes a slice of messages and encodes what it gave; says whether the receive buffer is drained.
    pub fn take_slice(&mut self) -> Result<bool, Reason> {
        let slice = self.shard.take_slice(&mut self.session)?;
        // Once it is drained time passes, and that is done then.
        if !slice.is_drained && self.session.stream().is_some() {
            self.handle_stream(slice.taken_ns);
        }
        if slice.messages > 0 {
            self.publish(slice.taken_ns);
            self.shard.note_processed(&slice);
        }
        if slice.is_drained && self.shard.is_stuck() {
            return Err(Reason::QueueTooSmall);
        }
        Ok(slice.is_drained)
    }

    /// Time has passed: snapshots, alerts and PINGs that are due.
    pub fn handle_time(&mut self) {
        let now_ns = self.shard.clock.elapsed_ns();
        self.shard.handle_time(&self.session);
        let cuts = self.session.slow_consumer_cuts();
        if cuts > self.slow_consumer_cuts {
            self.slow_consumer_cuts = cuts;
            self.shard.engine.note_slow_consumer(cuts);
        }
        self.session.handle_time(now_ns);
        if self.session.stream().is_some() {
            self.handle_stream(now_ns);
        }
        self.publish(now_ns);
    }

    /// What has come of the stream is told, and more is asked for.
    fn handle_stream(&mut self, now_ns: u64) {
        if let Some(step_ns) = self.shard.follow_stream(&self.session, now_ns) {
            self.stream_watch.tell_step(step_ns, now_ns);
        }
        self.stream_watch.look(&mut self.shard.engine, &mut self.session, now_ns);
        self.session.ask_stream(self.shard.room_bytes(), now_ns);
    }

    /// Encodes what the engine has, as far as the session takes it.
    pub fn publish(&mut self, now_ns: u64) {
        self.log_alerts(now_ns);
        let clock = *self.shard.engine_clock();
        outputs::publish(&mut self.shard.engine, &mut self.session, &clock, now_ns);
        while let Some(Line { trouble, count }) = self.session.refusals.poll_line(now_ns) {
            let core = self.shard.ownership.core;
            log::warn!(core, count; "{trouble}; outputs that reached no subscriber since the last such line: {count}");
        }
    }

    /// An operator without a subscriber is to see them too. Before they are published, as they are looked at where they wait.
    fn log_alerts(&mut self, now_ns: u64) {
        let core = self.shard.ownership.core;
        let level = |state: AlertState| match state {
            AlertState::Firing => log::Level::Warn,
            AlertState::Resolved => log::Level::Info,
        };
        for alert in self.shard.engine.take_new_alerts() {
            // A few at once, as each is about something else.
            let Some(count) = self.alert_lines[alert.kind as usize][alert.state as usize].count_within(now_ns, 0)
            else {
                self.has_uncounted_alerts = true;
                continue;
            };
            let (kind, state, message) = (alert.kind.name(), alert.state.name(), one_line(&alert.message()));
            log::log!(level(alert.state), core, kind, count; "alert {kind} {state}: {message}{count}");
        }
        if !self.has_uncounted_alerts {
            return;
        }
        self.has_uncounted_alerts = false;
        for kind in AlertKind::ALL {
            for state in [AlertState::Firing, AlertState::Resolved] {
                let limit = &self.alert_lines[kind as usize][state as usize];
                if limit.unlogged() > 0 && limit.has_line(now_ns, 0) {
                    let (kind, Count(count)) = (kind.name(), limit.take(now_ns));
                    let state_name = state.name();
                    log::log!(level(state), core, kind, count; "alert {kind} {state_name}: {count} more, see /alerts/latest");
                }
                self.has_uncounted_alerts |= limit.unlogged() > 0;
            }
        }
    }

    /// Before the socket is offered what there is to send.
    #[inline]
    pub fn expire_outputs(&mut self) {
        outputs::expire(&mut self.shard.engine, &mut self.session, self.shard.clock.elapsed_ns());
    }

    /// The connection is over: what had arrived by then is still worth having, trades above all.
    pub fn finish_input(&mut self, transport: &mut Transport) {
        // A stream's socket is looked at when what was read before is taken.
        while let Ok(false) = self.take_slice() {}
        for _ in 0..LAST_READS_MAX {
            let outcome = self.read(transport);
            while let Ok(false) = self.take_slice() {}
            if outcome != ReadOutcome::Some && !self.shard.is_behind() {
                return;
            }
        }
    }

    /// The session is over: what is still unsent is counted, and said.
    pub fn give_up_outputs(&mut self) {
        let given_up = outputs::give_up(&mut self.shard.engine, &mut self.session);
        let [snapshots, signals, alerts] = OutputKind::ALL.map(|kind| given_up[kind as usize]);
        if snapshots + signals + alerts > 0 {
            let core = self.shard.ownership.core;
            log::warn!(
                core, snapshots, signals, alerts;
                "{snapshots} snapshots, {signals} signals and {alerts} alerts could not be published any more"
            );
        }
    }

    /// The stream's present is read, and so late that nothing depends on the next milliseconds.
    pub fn reads_late(&self, now_ns: u64) -> bool {
        self.session.stream().is_some_and(|reader| is_late(&reader.report(now_ns)))
    }

    /// When something is due without any event, in ns of the clock.
    pub fn next_deadline_ns(&self) -> u64 {
        let engine = self.shard.engine.next_deadline().filter(|_| !self.shard.is_catching_up(&self.session));
        let engine = engine.map(|moment| self.shard.engine_clock().elapsed_at(moment));
        engine.unwrap_or(u64::MAX).min(self.session.next_deadline().unwrap_or(u64::MAX))
    }
}

fn is_late(report: &ReaderReport) -> bool {
    let has_late_ones = report.pending >= LATE_MESSAGES && report.lag_ns.is_some_and(|lag_ns| lag_ns >= LATE_NS);
    report.phase == Phase::Live && has_late_ones
}
