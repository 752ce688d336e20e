//! From the engine's outbox to the session: what is encoded when, what is sent again, what is given up and counted.

use std::collections::HashMap;

use crate::engine::counters::OutputKind;
use crate::engine::engine::Engine;
use crate::engine::state::symbol_names::{FEATURES_PREFIX, SIGNALS_PREFIX};
use crate::engine::state::symbol_table::SymbolId;
use crate::nats::session::Session;

/// What a publication is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Publication {
    pub kind: OutputKind,
    pub symbol: SymbolId,
}

/// Moves messages into the session while it takes them and has room.
pub fn publish(engine: &mut Engine, session: &mut Session<Publication>, now_ns: u64) {
    if !session.takes_publications() {
        return engine.stall_output();
    }
    if session.has_unsent() {
        publish_again(engine, session, now_ns);
    }
    let max_payload = session.max_payload();
    while engine.has_output() {
        if !session.has_room() {
            return engine.stall_output();
        }
        let Some(message) = engine.poll_output() else { return };
        let about = Publication { kind: message.kind, symbol: message.symbol };
        let payload_len = message.payload.len() as u64;
        if payload_len > max_payload {
            session.refusals.note_oversized(payload_len, max_payload, now_ns);
            engine.count_unpublished(about.kind, 1);
            continue;
        }
        session.publish(message.subject, message.payload, about, now_ns);
        engine.count_published(about.kind, about.symbol);
    }
}

/// What the last connection did not take goes first, but for snapshots that a newer one of their symbol follows.
fn publish_again(engine: &mut Engine, session: &mut Session<Publication>, now_ns: u64) {
    let unsent = session.take_unsent();
    let newest: HashMap<Publication, usize> =
        unsent.iter().enumerate().map(|(index, publication)| (publication.about, index)).collect();
    let max_payload = session.max_payload();
    for (index, publication) in unsent.iter().enumerate() {
        let about = publication.about;
        let is_overtaken =
            about.kind == OutputKind::Features && (newest[&about] > index || engine.has_snapshot_waiting(about.symbol));
        let payload_len = publication.payload_len as u64;
        if is_overtaken {
            take_back(engine, about);
        } else if payload_len > max_payload {
            session.refusals.note_oversized(payload_len, max_payload, now_ns);
            take_back(engine, about);
        } else {
            session.publish_again(&publication, now_ns);
        }
    }
}

/// There will be no further connection: what is still unsent is counted. Returns how many of each kind that are.
pub fn give_up(engine: &mut Engine, session: &mut Session<Publication>) -> [u64; OutputKind::ALL.len()] {
    engine.set_moment_open(false);
    let mut given_up = [0u64; OutputKind::ALL.len()];
    for publication in session.take_unsent().iter() {
        take_back(engine, publication.about);
        given_up[publication.about.kind as usize] += 1;
    }
    while let Some(message) = engine.poll_output() {
        let kind = message.kind;
        given_up[kind as usize] += 1;
        engine.count_unpublished(kind, 1);
    }
    given_up
}

/// The server refuses to take a publication to `subject`: no subscriber gets it. A server may name what it was never sent.
pub fn note_refused(engine: &mut Engine, subject: &str) {
    let (kind, name) = match subject.strip_prefix(FEATURES_PREFIX) {
        Some(name) => (OutputKind::Features, name),
        None => (OutputKind::Signal, subject.strip_prefix(SIGNALS_PREFIX).unwrap_or_default()),
    };
    if let Some(symbol) = engine.symbols().find(name.as_bytes()) {
        take_back(engine, Publication { kind, symbol });
    }
}

/// A publication that the session had taken reaches no subscriber after all.
fn take_back(engine: &mut Engine, about: Publication) {
    engine.take_back_published(about.kind, about.symbol);
    engine.count_unpublished(about.kind, 1);
}
