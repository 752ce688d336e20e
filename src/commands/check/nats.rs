//! What `check` finds out of NATS: connection, login, TLS, permissions, events.
//!
//! Permissions to publish are found out without publishing. nats-server judges a message in this order: may this user publish to
//! its subject? Is its reply subject one that clients may use? `_R_.` is not (the server's own answers have it), so a message with
//! such a reply is refused in any case and delivered to nobody, and the refusal says which of the two it was:
//!
//! ```text
//!   PUB senpai.signals.A _R_.check 0   ──►  -ERR 'Permissions Violation for Publish to "senpai.signals.A"'       not permitted
//!                                      ──►  -ERR 'Permissions Violation for Publish with Reply of "_R_.check"'   permitted
//! ```
//!
//! Where neither comes the server is another one, and has taken an empty message: then no other subject is tried.

use std::io::{self, Write};
use std::sync::atomic::AtomicBool;

use proto_nats::{Msg, Operation, ServerError, encode};

use crate::commands::check::{Level, Lines};
use crate::config::SubjectArgs;
use crate::engine::time::NANOS_PER_SECOND;
use crate::nats::blocking_session::{BlockingSession, ConnectFailure, LOOK_INTERVAL};
use crate::nats::session::{Output, SessionSettings, StreamSettings};
use crate::runtime::log_text::printable;
use crate::service::worker::WorkerSettings;

/// Under that a server is likely to refuse outputs; its default is 1 MiB.
const PAYLOAD_BYTES_WANTED: u64 = 1024;
/// SPEC section 8: whether events are seen within it.
const EVENTS_LIMIT_NS: u64 = 5 * NANOS_PER_SECOND as u64;
/// For the server to refuse a publication.
const ANSWER_LIMIT_NS: u64 = 2 * NANOS_PER_SECOND as u64;
/// A reply subject that no client may use.
const RESERVED_REPLY: &str = "_R_.check";
/// In the place of a symbol, where none is followed by name.
const ANY_SYMBOL: &str = "CHECK";

/// Connects as the service would, with all subscriptions of its shards. Says whether that could be done.
pub fn look<W: Write>(lines: &mut Lines<W>, shards: &[WorkerSettings], subjects: &SubjectArgs) -> io::Result<bool> {
    let mut subscriptions: Vec<String> = shards.iter().flat_map(|shard| shard.subjects.clone()).collect();
    // A stream's messages come to an inbox.
    let reads_stream = shards[0].stream.is_some();
    if reads_stream {
        subscriptions.clear();
    }
    subscriptions.sort_unstable();
    subscriptions.dedup();
    let mut visit = match Visit::connect(shards, subscriptions.clone(), None) {
        Ok(visit) => visit,
        Err(ConnectFailure::NoServer(causes)) => {
            causes.iter().try_for_each(|cause| lines.say(Level::Fail, "NATS", &cause.to_string()))?;
            return Ok(false);
        }
        Err(failure) => {
            lines.say(Level::Fail, "NATS", &failure.to_string())?;
            return Ok(false);
        }
    };
    for unusable in visit.sockets.end_connecting() {
        lines.say(Level::Warn, "NATS", &format!("{unusable} (another server is used)"))?;
    }
    if let Some((server, info, is_secured)) = visit.sockets.session.server() {
        let how = if is_secured { " through TLS" } else { "" };
        let (name, version) = (printable(&info.server_name), printable(&info.version));
        lines.say(Level::Ok, "NATS", &format!("connected to {}{how} (server {name} {version})", server.endpoint()))?;
        if info.max_payload < PAYLOAD_BYTES_WANTED {
            let found = format!(
                "it takes messages of {} bytes at most (max_payload), and outputs that are longer are not sent (a snapshot has \
                 some 400 bytes, an alert some 600): raise it to {PAYLOAD_BYTES_WANTED} at least",
                info.max_payload
            );
            lines.say(Level::Warn, "NATS", &found)?;
        }
    }
    let named = match &subscriptions[..] {
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        [] => "nothing".to_owned(),
    };
    let is_subscribed = match visit.sockets.session.trouble() {
        None if reads_stream => false,
        None => {
            lines.say(Level::Ok, "subscribe", &format!("{named}, permitted"))?;
            true
        }
        Some(trouble) => {
            lines.say(Level::Fail, "subscribe", &trouble.to_string())?;
            false
        }
    };

    let symbol = subjects.symbols.0.first().map_or(ANY_SYMBOL, String::as_str);
    let outputs = [format!("senpai.features.{symbol}"), format!("senpai.signals.{symbol}"), "senpai.alerts".to_owned()];
    let mut refused = Vec::new();
    let mut is_known = true;
    for subject in &outputs {
        match visit.may_publish(subject) {
            Some(true) => {}
            Some(false) => refused.push(subject.as_str()),
            None => {
                is_known = false;
                break;
            }
        }
    }
    match (is_known, &refused[..]) {
        (true, []) => lines.say(Level::Ok, "publish", &format!("{}, permitted", outputs.join(", ")))?,
        (_, [_, ..]) => {
            let found =
                format!("the server refuses {}: grant this user permission to publish to senpai.>", refused.join(", "));
            lines.say(Level::Fail, "publish", &found)?;
        }
        (false, []) => {
            let found =
                "this server does not tell whether senpai.> may be published to: see /health once the service runs";
            lines.say(Level::Warn, "publish", found)?;
        }
    }

    if is_subscribed {
        visit.wait(EVENTS_LIMIT_NS, |visit| visit.first_event.is_some());
        match &visit.first_event {
            Some((subject, after_ns)) => {
                let seconds = *after_ns as f64 / NANOS_PER_SECOND as f64;
                lines.say(Level::Ok, "events", &format!("the first came after {seconds:.1} s, on {subject}"))?;
            }
            None => {
                let seconds = EVENTS_LIMIT_NS / NANOS_PER_SECOND as u64;
                let found = format!(
                    "none came on {named} within {seconds} s: does the producer run, and publish to this server? Is \
                     SUBJECT_PREFIX what its subjects begin with?"
                );
                lines.say(Level::Warn, "events", &found)?;
            }
        }
    }
    Ok(true)
}

/// A connection, and what came on it.
pub(super) struct Visit {
    pub(super) sockets: BlockingSession,
    /// When it was ready, on the session's clock.
    since_ns: u64,
    /// Its subject, and how long after the beginning it came.
    pub(super) first_event: Option<(String, u64)>,
    /// What the server has refused of what was published: the subjects that it names.
    refused: Vec<String>,
}

impl Visit {
    /// To the first server that can be used, for `subjects` or for a stream.
    pub(super) fn connect(
        shards: &[WorkerSettings],
        subjects: Vec<String>,
        stream: Option<StreamSettings>,
    ) -> Result<Visit, ConnectFailure> {
        let access = &shards[0].access;
        let settings = SessionSettings {
            servers: access.servers().to_vec(),
            discovers: false,
            subjects,
            stream,
            seed: None,
            drain_limit_ns: ANSWER_LIMIT_NS,
            write_limit_ns: EVENTS_LIMIT_NS,
        };
        let sockets = BlockingSession::new(access, "check", settings, |_| {})?;
        let mut visit = Visit { sockets, since_ns: 0, first_event: None, refused: Vec::new() };
        // A signal ends the process, so there is nothing to stop for.
        let stopped = AtomicBool::new(false);
        while !visit.sockets.session.takes_publications() {
            visit.sockets.check_connecting(&stopped)?;
            visit.drive();
        }
        visit.since_ns = visit.sockets.clock.elapsed_ns();
        Ok(visit)
    }

    fn drive(&mut self) {
        let Visit { sockets, since_ns, first_event, refused } = self;
        let now_ns = sockets.clock.elapsed_ns();
        sockets.exchange(&mut |_, message: &Msg<'_>| {
            first_event.get_or_insert_with(|| {
                (printable(&String::from_utf8_lossy(message.subject)), now_ns.saturating_sub(*since_ns))
            });
        });
        while let Some(output) = sockets.poll_output() {
            if let Output::Complaint(ServerError::PermissionsViolation { operation: Operation::Publish, subject }) =
                output
            {
                refused.push(subject);
            }
        }
        sockets.wait(LOOK_INTERVAL);
    }

    /// Until `is_enough`, or for so long.
    pub(super) fn wait(&mut self, limit_ns: u64, is_enough: impl Fn(&Visit) -> bool) {
        let begun_ns = self.sockets.clock.elapsed_ns();
        while !is_enough(self) && self.sockets.clock.elapsed_ns() - begun_ns < limit_ns {
            self.drive();
        }
    }

    /// `None`: the server does not say.
    fn may_publish(&mut self, subject: &str) -> Option<bool> {
        self.refused.clear();
        let mut frame = Vec::new();
        encode::publish(&mut frame, subject.as_bytes(), Some(RESERVED_REPLY.as_bytes()), b"");
        let now_ns = self.sockets.clock.elapsed_ns();
        self.sockets.session.publish_frames(&frame, (), now_ns);
        self.wait(ANSWER_LIMIT_NS, |visit| !visit.refused.is_empty());
        self.refused.first().map(|refused| refused == RESERVED_REPLY)
    }
}
