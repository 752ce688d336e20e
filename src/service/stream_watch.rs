//! What a worker tells of the stream that it reads: a line in the log for what happened and for how far it is, and alerts.

use proto_nats::jetstream::{Notice, ReaderReport};

use crate::engine::alerts::alert::StreamTrouble;
use crate::engine::engine::Engine;
use crate::engine::time::NANOS_PER_SECOND;
use crate::nats::session::Session;
use crate::nats::stream_words;
use crate::runtime::log_limit::LogLimit;
use crate::service::outputs::Publication;

/// Between two lines on how far it has caught up.
const PROGRESS_NS: u64 = 3 * NANOS_PER_SECOND as u64;
/// Between two looks at what is wrong for a while. Less than an alert takes to resolve.
const LOOK_NS: u64 = NANOS_PER_SECOND as u64;
/// Lines that may come one after another; then one in each [`EARNED_NS`]. As many kinds of things can happen at once.
const BURST: u32 = 12;
const EARNED_NS: u64 = 8 * NANOS_PER_SECOND as u64;

/// One for each shard. Times are ns of the clock.
#[derive(Debug)]
pub struct StreamWatch {
    core: u32,
    lines: LogLimit,
    progress_due_ns: u64,
    look_due_ns: u64,
}

impl StreamWatch {
    /// `core` is named in every line.
    pub fn new(core: u32) -> StreamWatch {
        StreamWatch { core, lines: LogLimit::new(BURST, EARNED_NS), progress_due_ns: 0, look_due_ns: 0 }
    }

    /// Tells what has happened since, and looks at what lasts.
    pub fn look(&mut self, engine: &mut Engine, session: &mut Session<Publication>, now_ns: u64) {
        while let Some(notice) = session.poll_stream_notice() {
            self.tell(&notice, engine, session, now_ns);
        }
        if now_ns < self.look_due_ns {
            return;
        }
        self.look_due_ns = now_ns + LOOK_NS;
        let Some(reader) = session.stream() else { return };
        let report = reader.report(now_ns);
        if reader.trouble().is_some() {
            engine.note_stream_trouble(StreamTrouble::Unreadable, None);
        } else if let Some(lag_ns) = report.lag_ns.filter(|_| report.has_caught_up)
            && lag_ns > engine.alert_board().settings().lag as u64
        {
            engine.note_stream_trouble(StreamTrouble::Behind, Some(lag_ns as f64 / NANOS_PER_SECOND as f64));
        }
        let ReaderReport { has_caught_up, applied_count, .. } = report;
        if !has_caught_up && applied_count > 0 && now_ns >= self.progress_due_ns {
            self.progress_due_ns = now_ns + PROGRESS_NS;
            let (core, stream) = (self.core, &reader.settings().stream);
            log::info!(core; "JetStream stream {stream}: catching up, {}", stream_words::progress(&report));
        }
    }

    /// The clock that counts is another than was thought.
    pub fn tell_step(&self, step_ns: i64, now_ns: u64) {
        if let Some(count) = self.lines.count_within(now_ns, 0) {
            let (core, step_s) = (self.core, step_ns as f64 / NANOS_PER_SECOND as f64);
            log::warn!(
                core, step_s, count;
                "the clock of the stream's server has moved by {step_s:+.3} s against what was known of it, or against this machine's; its time \
                 is used{count}"
            );
        }
    }

    fn tell(&self, notice: &Notice, engine: &mut Engine, session: &Session<Publication>, now_ns: u64) {
        match notice {
            Notice::StreamMadeAnew | Notice::StreamWentBack { .. } => {
                engine.note_stream_trouble(StreamTrouble::Replaced, None);
            }
            Notice::Missed(count) => engine.note_stream_trouble(StreamTrouble::Missed, Some(*count as f64)),
            Notice::ConsumerLost(loss) if !stream_words::is_routine(*loss) => {
                engine.note_stream_trouble(StreamTrouble::ConsumerLost, None);
            }
            Notice::Trouble(_) => engine.note_stream_trouble(StreamTrouble::Unreadable, None),
            Notice::ConsumerLost(_)
            | Notice::StreamCreated
            | Notice::SubjectsMissing(_)
            | Notice::CaughtUp
            | Notice::TroubleOver => {}
        }
        let Some(reader) = session.stream() else { return };
        let (level, line) = stream_words::notice(notice, reader);
        // What an operator waits for is said, however much else has happened.
        let is_awaited = matches!(notice, Notice::CaughtUp | Notice::TroubleOver);
        let core = self.core;
        if is_awaited {
            log::info!(core; "{line}");
        } else if let Some(count) = self.lines.count_within(now_ns, 0) {
            log::log!(level, core, count; "{line}{count}");
        }
    }
}
