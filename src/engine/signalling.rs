//! When a signal is given (SPEC section 3): the rules hold, no cooldown runs, its id was not given before, and no guard speaks. The
//! rules themselves are in [`rules`](crate::engine::rules).

use crate::engine::counters::{Suppression, Unpublished};
use crate::engine::engine::Engine;
use crate::engine::receipt::Receipt;
use crate::engine::rules::guards::{Ages, suppression};
use crate::engine::rules::momentum::{Signal, direction};
use crate::engine::state::symbol_table::SymbolId;
use crate::engine::time::UnixNanos;

impl Engine {
    /// An event of the symbol has been taken in: the rules are asked at its `now`. `t` and `receipt` are the event's: how long
    /// after its time it came is asked only where a signal may come of it.
    #[inline]
    pub(super) fn evaluate_rules(&mut self, id: SymbolId, now: UnixNanos, t: UnixNanos, receipt: &Receipt) {
        let state = self.symbols.state(id);
        let direction = direction(&self.settings.signal, state.trades.return_short(), state.best_prices(), || {
            state.trades.volume_short(&self.trade_pool)
        });
        let Some(direction) = direction else { return };
        let watermark = state.watermark();
        if state.cooldowns.is_cooling(direction, now, self.settings.signal.cooldown) {
            return;
        }
        let fingerprint = self.given_signals.fingerprint(&self.symbols.names(id).name, direction, watermark);
        if self.given_signals.contains(fingerprint) {
            return;
        }
        let (top_t, _) = state.top_of_market().expect("a spread needs a market");
        let event_age = match *receipt {
            Receipt::At(_) => self.local.since(t),
            Receipt::Unrecorded => 0,
            Receipt::Stored { present, .. } => present.since(t),
        };
        let ages = Ages { event: event_age, quote: now.since(top_t), gap: state.trades.gap(&self.trade_pool) };
        let guard = || suppression(&ages, &self.settings.signal.age_limits);
        if let Some(reason) = if self.is_past { Some(Suppression::CatchingUp) } else { guard() } {
            self.counters.signals_suppressed[reason as usize] += 1;
            // Who has read the stream in time has given it.
            if reason == Suppression::CatchingUp
                || reason == Suppression::Stale && matches!(receipt, Receipt::Stored { .. })
            {
                self.symbols.state_mut(id).cooldowns.start(direction, now);
                self.given_signals.insert(fingerprint);
            }
            return;
        }
        let price = state.trades.newest_price().expect("a return needs a trade");
        let snapshot = self.snapshot(id, now);
        let state = self.symbols.state_mut(id);
        state.cooldowns.start(direction, now);
        self.given_signals.insert(fingerprint);
        state.signals_emitted[direction as usize] += 1;
        self.counters.signals_emitted[direction as usize] += 1;
        let signal = Signal { direction, watermark, price, snapshot };
        self.latest_signals.push(self.moment, self.symbols.names(id), &self.providers, &signal);
        if self.outbox.push_signal(self.moment, id, self.symbols.names(id).generation, signal) {
            self.count_unpublished(Unpublished::Signal, 1);
        }
    }
}
