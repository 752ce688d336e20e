//! From the engine's outbox to the session: what is encoded when, what is sent again, what is given up and counted.

use std::collections::HashMap;

use crate::engine::alerts::alert::ALERTS_SUBJECT;
use crate::engine::counters::{OutputKind, Topic, Unpublished};
use crate::engine::engine::{Engine, Message};
use crate::engine::state::symbol_names::{FEATURES_PREFIX, SIGNALS_PREFIX};
use crate::nats::session::Session;
use crate::runtime::clock::Clock;

/// What a publication is about.
#[derive(Clone, Copy, Debug)]
pub struct Publication {
    topic: Topic,
    /// When it was made, in ns of the clock.
    made_ns: u64,
}

impl Publication {
    /// A signal that is too old for anybody to act on it.
    fn is_expired(&self, age_max_ns: u64, now_ns: u64) -> bool {
        self.topic == Topic::Signal && now_ns.saturating_sub(self.made_ns) >= age_max_ns
    }
}

/// Moves messages into the session while it takes them and has room.
pub fn publish(engine: &mut Engine, session: &mut Session<Publication>, clock: &Clock, now_ns: u64) {
    if !session.takes_publications() {
        return engine.stall_output();
    }
    if session.has_unsent() {
        publish_again(engine, session, now_ns);
    }
    let (max_payload, age_max_ns) = (session.max_payload(), engine.signal_age_max() as u64);
    while engine.has_output() {
        if !session.has_room() {
            return engine.stall_output();
        }
        let Some(message) = engine.poll_output() else { return };
        let Message { topic, moment, subject, payload } = message;
        let about = Publication { topic, made_ns: clock.elapsed_at(moment) };
        let payload_len = payload.len() as u64;
        if about.is_expired(age_max_ns, now_ns) {
            engine.count_unpublished(Unpublished::SignalExpired, 1);
        } else if payload_len > max_payload {
            session.refusals.note_oversized(payload_len, max_payload, now_ns);
            engine.count_unpublished(topic.kind().into(), 1);
        } else {
            session.publish(subject, payload, about, now_ns);
            engine.count_published(topic);
        }
    }
}

/// What the last connection did not take goes first, but for snapshots that a newer one of their symbol follows, and signals
/// that are too old.
fn publish_again(engine: &mut Engine, session: &mut Session<Publication>, now_ns: u64) {
    let unsent = session.take_unsent();
    let snapshots = unsent.iter().enumerate().filter_map(|(index, publication)| match publication.about.topic {
        Topic::Features { .. } => Some((publication.about.topic, index)),
        Topic::Signal | Topic::Alert => None,
    });
    let newest: HashMap<_, usize> = snapshots.collect();
    let (max_payload, age_max_ns) = (session.max_payload(), engine.signal_age_max() as u64);
    for (index, publication) in unsent.iter().enumerate() {
        let about = publication.about;
        let is_overtaken = match about.topic {
            Topic::Features { .. } => newest[&about.topic] > index || engine.has_snapshot_waiting(about.topic),
            Topic::Signal | Topic::Alert => false,
        };
        let payload_len = publication.payload_len as u64;
        if about.is_expired(age_max_ns, now_ns) {
            engine.count_unpublished(Unpublished::SignalExpired, 1);
        } else if is_overtaken {
            take_back(engine, about);
        } else if payload_len > max_payload {
            session.refusals.note_oversized(payload_len, max_payload, now_ns);
            take_back(engine, about);
        } else {
            session.publish_again(&publication, now_ns);
        }
    }
}

/// Before the socket takes more: signals that have waited for it too long are taken back. Mostly it has taken everything before,
/// and this is one comparison.
#[inline]
pub fn expire(engine: &mut Engine, session: &mut Session<Publication>, now_ns: u64) {
    if !session.bytes_to_send().is_empty() {
        let age_max_ns = engine.signal_age_max() as u64;
        let expired = session.withdraw(|about| about.is_expired(age_max_ns, now_ns));
        engine.count_unpublished(Unpublished::SignalExpired, expired as u64);
    }
}

/// There will be no further connection: what is still unsent is counted. Returns how many of each kind that are.
pub fn give_up(engine: &mut Engine, session: &mut Session<Publication>) -> [u64; OutputKind::ALL.len()] {
    engine.stop();
    let mut given_up = [0u64; OutputKind::ALL.len()];
    for publication in session.take_unsent().iter() {
        take_back(engine, publication.about);
        given_up[publication.about.topic.kind() as usize] += 1;
    }
    while let Some(message) = engine.poll_output() {
        let kind = message.topic.kind();
        given_up[kind as usize] += 1;
        engine.count_unpublished(kind.into(), 1);
    }
    given_up
}

/// The server refuses to take a publication to `subject`: no subscriber gets it. A server may name what it was never sent.
pub fn note_refused(engine: &mut Engine, subject: &str) {
    let symbol = |prefix| engine.symbols().find(subject.strip_prefix(prefix)?.as_bytes());
    let topic = if let Some(symbol) = symbol(FEATURES_PREFIX) {
        Topic::Features { symbol, generation: engine.symbols().names(symbol).generation }
    } else if symbol(SIGNALS_PREFIX).is_some() {
        Topic::Signal
    } else if subject == ALERTS_SUBJECT {
        Topic::Alert
    } else {
        return;
    };
    engine.take_back_published(topic);
    engine.count_unpublished(topic.kind().into(), 1);
}

/// A publication that the session had taken reaches no subscriber after all.
fn take_back(engine: &mut Engine, about: Publication) {
    engine.take_back_published(about.topic);
    engine.count_unpublished(about.topic.kind().into(), 1);
}
