//! What the engine says to its alerts, and when it comes back to them. The alerts themselves are in
//! [`alerts`](crate::engine::alerts).

use std::sync::Arc;

use crate::engine::alerts::alert::{About, Alert, AlertKind, StreamTrouble};
use crate::engine::alerts::board::AlertBoard;
use crate::engine::alerts::figures::{Figures, Names};
use crate::engine::bounds::QUEUE_SHED_FILL;
use crate::engine::counters::Unpublished;
use crate::engine::engine::Engine;
use crate::engine::input::event::Origin;
use crate::engine::input::subject::EventKind;
use crate::engine::receipt::Receipt;
use crate::engine::state::provider::ProviderId;
use crate::engine::state::symbol_table::SymbolId;
use crate::engine::time::{NANOS_PER_SECOND, UnixNanos};

impl Engine {
    /// The alerts of the process.
    pub fn alert_board(&self) -> &Arc<AlertBoard> {
        self.alerts.board()
    }

    /// The alerts that have come since it was asked last and still wait to be published: for the log.
    #[inline]
    pub fn take_new_alerts(&mut self) -> impl Iterator<Item = &Alert> {
        self.outbox.alerts.take_new()
    }

    /// The queue between socket and engine is nearly full; `fill` is from 0 to 1.
    #[cold]
    pub fn note_backpressure(&mut self, fill: f64) {
        self.occur(AlertKind::Backpressure, Some(fill), Some(QUEUE_SHED_FILL));
    }

    /// The server has cut the connection, as it does with a consumer that is too slow; how often by now.
    #[cold]
    pub fn note_slow_consumer(&mut self, cuts: u64) {
        self.occur(AlertKind::NatsSlowConsumer, Some(cuts as f64), None);
    }

    /// Something is wrong with the reading of the stream. `value`: messages that were missed, or seconds that it is behind.
    #[cold]
    pub fn note_stream_trouble(&mut self, trouble: StreamTrouble, value: Option<f64>) {
        let threshold =
            (trouble == StreamTrouble::Behind).then(|| self.settings.alerts.lag as f64 / NANOS_PER_SECOND as f64);
        self.occur_with(AlertKind::Jetstream, About::Stream(trouble), value, threshold);
    }

    /// An event was dropped because its symbol found no place.
    pub(super) fn note_symbol_limit(&mut self) {
        let (symbols, places) = (self.symbols.len() as f64, self.settings.symbols_max as f64);
        self.occur(AlertKind::SymbolLimit, Some(symbols), Some(places));
    }

    fn occur(&mut self, kind: AlertKind, value: Option<f64>, threshold: Option<f64>) {
        self.occur_with(kind, About::Process, value, threshold);
    }

    fn occur_with(&mut self, kind: AlertKind, about: About, value: Option<f64>, threshold: Option<f64>) {
        if !self.is_past {
            self.alerts.occur(kind, about, value, threshold, self.moment, &mut self.outbox.alerts);
            self.count_dropped_alerts();
        }
    }

    /// Without receipt times the largest stated one is the time. Before there is one, the time at which a provider was heard is not
    /// known.
    #[inline]
    pub(super) fn move_to_stated(&mut self, origin: &Origin<'_>) {
        let Some(stated) = origin.stated_time() else { return };
        if self.local == UnixNanos(0) {
            self.providers.forget_heard();
        }
        self.move_local(stated);
    }

    /// An event of the provider has come, so long after its time; `None` where it states none that is trusted.
    #[inline]
    pub(super) fn note_heard(&mut self, provider: ProviderId, lag_ns: Option<i64>) {
        // Of the past it is known when, otherwise it is heard now.
        let moment = if self.is_past { self.local } else { self.moment };
        let look_at = self.providers.note_event(provider, moment, lag_ns, &self.alerts.provider_limits());
        self.alerts.look_at_providers_by(look_at);
    }

    /// A heartbeat that another shard owns and counts: here it is a sign of its provider's life, and nothing else.
    #[cold]
    pub fn hear_foreign(&mut self, payload: &[u8], receipt: Receipt) {
        let Ok((origin, _)) = self.decoder.decode(EventKind::Heartbeat, payload) else { return };
        self.move_to(receipt, &origin);
        let provider = self.providers.intern(origin.provider);
        self.note_heard(provider, None);
    }

    /// An event's time was too far ahead of its receipt.
    #[cold]
    pub(super) fn note_rejected_time(&mut self, provider: ProviderId, origin: &Origin<'_>) {
        let ahead_ns = origin.stated_time().map_or(0, |stated| stated.since(self.local));
        if self.providers.is_trusted(provider, self.local) {
            self.alerts.look_at_providers_by(self.moment);
        }
        self.providers.note_rejected(provider, self.local, ahead_ns);
    }

    /// A state that all providers share has taken an event of this one.
    #[inline]
    pub(super) fn note_accepted(&mut self, id: SymbolId, provider: ProviderId, t: UnixNanos, now: UnixNanos) {
        let may_be_mixed = provider != ProviderId::UNKNOWN && self.alerts.senders.note(id, provider, t);
        if may_be_mixed
            && !self.alerts.is_firing(id, AlertKind::MixedProviders)
            && let mixed @ Some(_) = self.alerts.senders.mixed(id, now, self.lengths.long)
        {
            let figures = Figures { mixed, ..Figures::default() };
            self.judge(id, AlertKind::MixedProviders, &figures);
        }
    }

    /// The symbol is another provider's from now on.
    #[cold]
    pub(super) fn note_switch(&mut self, id: SymbolId, to_and_from: [ProviderId; 2]) {
        if self.is_past {
            return;
        }
        let names = Names { symbol: self.symbols.names(id), own: to_and_from[0], providers: &self.providers };
        self.alerts.switch(id, &names, to_and_from, self.moment, &mut self.outbox.alerts);
        self.count_dropped_alerts();
    }

    /// A window can lack something only by an event that finds a pool empty.
    #[cold]
    pub(super) fn judge_room(&mut self, id: SymbolId, now: UnixNanos) {
        let state = self.symbols.state(id);
        let is_truncated =
            state.trades.is_truncated(now, self.lengths) || state.latency.is_truncated(now, self.slot_ns);
        if is_truncated && !self.alerts.is_firing(id, AlertKind::WindowTruncated) {
            let figures = Figures { is_truncated, ..Figures::default() };
            self.judge(id, AlertKind::WindowTruncated, &figures);
        }
    }

    #[cold]
    fn judge(&mut self, id: SymbolId, kind: AlertKind, figures: &Figures) {
        if self.is_past {
            return;
        }
        let own = self.symbols.state(id).provider;
        let names = Names { symbol: self.symbols.names(id), own, providers: &self.providers };
        self.alerts.judge(id, kind, &names, figures, self.moment, &mut self.outbox.alerts);
        self.count_dropped_alerts();
    }

    /// What the alerts have to do next; up to `until` nothing else happens.
    pub(super) fn handle_due_alerts(&mut self, until: UnixNanos) {
        let Engine { moment, symbols, providers, trade_pool, row_pool, lengths, slot_ns, alerts, outbox, .. } = self;
        // Of several cores' seconds the soonest may be over at a core that is ahead: moments do not step back there.
        *moment = alerts.next_deadline().max(*moment);
        let moment = *moment;
        alerts.handle_due(moment, until, symbols, providers, &mut outbox.alerts, |senders, id, state, kind| {
            let now = state.now(moment);
            state.trades.advance(trade_pool, now, *lengths);
            // Percentiles may take rows of their pool: they are asked for where they are needed.
            let latency_p95_ms = match kind {
                AlertKind::Latency => state.latency.percentiles(row_pool, now, *slot_ns).p95_ms,
                _ => None,
            };
            Figures {
                latency_p95_ms,
                is_truncated: state.trades.is_truncated(now, *lengths) || state.latency.is_truncated(now, *slot_ns),
                mixed: senders.mixed(id, now, lengths.long),
            }
        });
        self.count_dropped_alerts();
    }

    /// Those that found no room among the outputs that wait.
    pub(super) fn count_dropped_alerts(&mut self) {
        let dropped = self.outbox.alerts.take_dropped();
        self.count_unpublished(Unpublished::Alert, dropped);
    }
}
