//! What is said of the reading of a stream: why it is not ready, and what happened to it. Why a stream cannot be read, and which
//! command mends that, is worded in the crate `proto_nats` (`jetstream::trouble`).

use std::fmt::Write;

use log::Level;
use proto_nats::jetstream::{ConsumerLoss, Notice, Phase, ReaderReport, StreamReader, Trouble};

use crate::engine::time::NANOS_PER_SECOND;

/// Subjects named in a line; more are counted.
const SUBJECTS_MAX: usize = 5;

/// Why it is not ready, or how far it is.
pub fn trouble(reader: &StreamReader, now_ns: u64) -> String {
    let stream = &reader.settings().stream;
    if let Some(trouble) = reader.trouble() {
        return format!("stream {stream}: {trouble}{}", remedy(reader));
    }
    let report = reader.report(now_ns);
    match report.phase {
        Phase::Offline => format!("stream {stream}: not connected"),
        Phase::Preparing if !report.has_caught_up => format!("stream {stream}: it is being looked for"),
        Phase::Preparing => format!("stream {stream}: another consumer is being made"),
        Phase::Newest => {
            format!("stream {stream}: reading the newest message of each subject, {}", progress(&report))
        }
        Phase::CatchingUp => format!("stream {stream}: catching up, {}", progress(&report)),
        Phase::Live => match report.lag_ns {
            Some(lag_ns) => {
                let (lag_s, pending) = (lag_ns as f64 / NANOS_PER_SECOND as f64, report.pending);
                format!("stream {stream}: behind by {lag_s:.1} s, {pending} messages wait")
            }
            None => format!("stream {stream}: nothing has been read yet, {} messages wait", report.pending),
        },
    }
}

/// How far it has caught up.
pub fn progress(report: &ReaderReport) -> String {
    let ReaderReport { applied_count, pending, .. } = report;
    let all = applied_count.saturating_add(*pending);
    let percent = applied_count.saturating_mul(100).checked_div(all).unwrap_or(0);
    format!("{applied_count} messages read and {pending} to go ({percent} %)")
}

/// A line about what happened.
pub fn notice(notice: &Notice, reader: &StreamReader) -> (Level, String) {
    let stream = &reader.settings().stream;
    let start = format!("JetStream stream {stream}: ");
    let (level, text) = match notice {
        Notice::StreamCreated => (Level::Info, "it was missing and has been made (JETSTREAM_CREATE_STREAM)".to_owned()),
        Notice::SubjectsMissing(subjects) => {
            let shown: Vec<_> = subjects.iter().take(SUBJECTS_MAX).map(|name| name.escape_debug().to_string()).collect();
            let mut text = format!("it does not take {}", shown.join(", "));
            if subjects.len() > shown.len() {
                let _ = write!(text, " and {} more", subjects.len() - shown.len());
            }
            (Level::Warn, text + ": no such event will come; add them with: nats stream edit --subjects")
        }
        Notice::StreamMadeAnew => (
            Level::Error,
            "it was deleted and made anew. It is read from its first message on; messages that only the old one held are lost"
                .to_owned(),
        ),
        Notice::StreamWentBack { applied, last } => {
            let last = match last {
                Some(last) => format!("its last message is {last}"),
                None => "it has another message there".to_owned(),
            };
            (
                Level::Error,
                format!(
                    "it went back: message {applied} has been read, and {last}. What it stored after the last message that was \
                     read is read; what it lost is lost"
                ),
            )
        }
        Notice::ConsumerLost(loss) => {
            let level = if is_routine(*loss) { Level::Info } else { Level::Warn };
            (level, format!("{}: another consumer goes on where it stood", lost(*loss)))
        }
        Notice::Missed(count) => (
            Level::Error,
            format!(
                "{count} messages at most are missed: the stream no longer holds what comes next, or could not deliver it. Let it \
                 keep more (max_age, max_bytes)"
            ),
        ),
        Notice::CaughtUp => (Level::Info, "caught up: features, signals and alerts are published from now on".to_owned()),
        Notice::Trouble(trouble) => (Level::Error, format!("it is not read: {trouble}{}", remedy(reader))),
        Notice::TroubleOver => (Level::Info, "it is read again".to_owned()),
    };
    (level, start + &text)
}

/// As it happens now and then, and means nothing.
pub fn is_routine(loss: ConsumerLoss) -> bool {
    matches!(loss, ConsumerLoss::Renewed | ConsumerLoss::Quiet)
}

fn lost(loss: ConsumerLoss) -> &'static str {
    match loss {
        ConsumerLoss::Gone => "the consumer is gone from the server (deleted, or its server restarted)",
        ConsumerLoss::MessagesLost => "messages did not arrive",
        ConsumerLoss::Silent => "the consumer sent neither messages nor heartbeats",
        ConsumerLoss::AheadOfStream => "the consumer is past the end of the stream",
        ConsumerLoss::Stalled => "the consumer delivers nothing, though the stream has more for it",
        ConsumerLoss::Quiet => "nothing has come for some time, while the stream grew",
        ConsumerLoss::Misplaced => "the last message that was read is not in its place any more",
        ConsumerLoss::LeaderChanged => "another server leads the stream",
        ConsumerLoss::PullsRefused => "the server does not take the consumer's pull requests",
        ConsumerLoss::Renewed => "the consumer is renewed, to learn the server's time",
    }
}

fn remedy(reader: &StreamReader) -> String {
    match reader.trouble().and_then(|trouble| trouble.remedy(reader.settings())) {
        Some(remedy) if reader.trouble() == Some(&Trouble::NoStream) => {
            format!("; set JETSTREAM_CREATE_STREAM=true, or mend it with: {remedy}")
        }
        Some(remedy) => format!("; mend it with: {remedy}"),
        None => "; it is tried again all the time".to_owned(),
    }
}
