//! The clock that gives receipts was set: lengths of time stay what they are.

use crate::engine::engine::Engine;
use crate::engine::state::symbol_table::SymbolId;

impl Engine {
    /// The machine's clock was stepped by `step_ns`: all local moments are shifted by it, so that the times waited and still
    /// to be waited stay the same. Event times are the producer's and stay as they are.
    pub fn handle_clock_step(&mut self, step_ns: i64) {
        self.local = self.local.plus(step_ns);
        self.moment = self.moment.plus(step_ns);
        let (trade_pool, row_pool) = (&mut self.trade_pool, &mut self.row_pool);
        for (index, state) in self.symbols.states_mut(..).enumerate() {
            let watermark = state.watermark();
            state.handle_clock_step(step_ns, trade_pool, row_pool);
            // Its state is cleared: what the windows hold no longer has no senders.
            if state.watermark() != watermark {
                self.alerts.senders.forget(SymbolId(index as u32));
            }
        }
        self.providers.handle_clock_step(step_ns);
        self.primaries.handle_clock_step(step_ns);
        self.idle_symbols.handle_clock_step(step_ns);
        self.release_round.handle_clock_step(step_ns);
        self.deadlines.handle_clock_step(step_ns);
        self.outbox.handle_clock_step(step_ns);
        self.latest_signals.handle_clock_step(step_ns);
        self.alerts.handle_clock_step(step_ns);
    }
}
