//! Which events a state takes (SPEC section 1, "Duplicates" and "Providers"), and which symbols have a place. Here is what the
//! engine does when a rule of [`state`](crate::engine::state) has spoken.

use crate::engine::alerts::figures::Names;
use crate::engine::bounds::{SIGNALS_WAITING_MAX, STATE_NAME_BYTES_MAX};
use crate::engine::counters::{DropReason, Unpublished};
use crate::engine::engine::Engine;
use crate::engine::input::malformed::Malformed;
use crate::engine::input::subject::EventKind;
use crate::engine::state::primary_provider::ProviderMode;
use crate::engine::state::provider::ProviderId;
use crate::engine::state::symbol_names::SymbolNames;
use crate::engine::state::symbol_table::SymbolId;

impl Engine {
    /// A symbol's state of one provider, where each has its own.
    pub(super) fn find_state(&self, symbol: &[u8], provider: ProviderId) -> Option<SymbolId> {
        let suffix = self.providers.suffix(provider).as_bytes();
        let mut name = [0; STATE_NAME_BYTES_MAX];
        let (start, end) = name.get_mut(..symbol.len() + suffix.len())?.split_at_mut(symbol.len());
        start.copy_from_slice(symbol);
        end.copy_from_slice(suffix);
        self.symbols.find(&name[..symbol.len() + suffix.len()])
    }

    /// A trade that came before: a sign of its provider's life, and nothing else.
    #[cold]
    pub(super) fn note_duplicate(&mut self, known: Option<SymbolId>, provider: ProviderId) {
        self.counters.count_in(EventKind::Trade, provider);
        self.counters.count_dropped(EventKind::Trade, DropReason::Duplicate);
        self.note_heard(provider, None);
        let Some(id) = known else { return };
        let state = self.symbols.state_mut(id);
        if state.provider == provider {
            state.provider_heard = self.local;
        } else {
            self.primaries.note_heard(id, provider, self.local);
        }
    }

    /// Providers that are not told apart may be several venues, and one price of two venues is no market.
    #[cold]
    pub(super) fn drop_of_others(&mut self, kind: EventKind) -> Result<(), Malformed> {
        self.counters.count_in(kind, ProviderId::OTHER);
        self.counters.count_dropped(kind, DropReason::OtherProvider);
        Ok(())
    }

    /// Whether the symbol's state takes the provider's events. It may begin anew for that.
    #[inline]
    pub(super) fn accepts(&mut self, id: SymbolId, provider: ProviderId) -> bool {
        let state = self.symbols.state_mut(id);
        if state.provider == provider {
            state.provider_heard = self.local;
            return true;
        }
        match self.settings.providers.mode {
            ProviderMode::Merged => true,
            // Two providers whose names differ in what a subject cannot hold.
            ProviderMode::Separate => false,
            ProviderMode::Primary => provider == ProviderId::UNKNOWN || self.try_switch(id, provider),
        }
    }

    /// The symbol becomes the provider's, which is not its own yet, if it may; says whether it does.
    #[inline(never)]
    fn try_switch(&mut self, id: SymbolId, provider: ProviderId) -> bool {
        let local = self.local;
        let state = self.symbols.state_mut(id);
        let own = (state.provider, state.provider_heard);
        if own.0 != ProviderId::UNKNOWN {
            if !self.primaries.try_take_over(id, own, provider, local) {
                return false;
            }
            state.begin_anew(&mut self.trade_pool, &mut self.row_pool);
            self.note_switch(id, [provider, own.0]);
        }
        let state = self.symbols.state_mut(id);
        (state.provider, state.provider_heard) = (provider, local);
        true
    }

    /// Gives a symbol a place, whose name is valid: a free one, or that of the symbol that has been silent longest, if for long
    /// enough and with no snapshot still to be taken. `None` where there is neither, or no memory for its name.
    #[cold]
    pub(super) fn admit(&mut self, kind: EventKind, symbol: &[u8], provider: ProviderId) -> Option<SymbolId> {
        let Engine {
            settings,
            local,
            moment,
            symbols,
            providers,
            trade_pool,
            row_pool,
            idle_symbols,
            outbox,
            counters,
            alerts,
            ..
        } = self;
        let name = std::str::from_utf8(symbol).expect("a valid symbol is text");
        let mode = settings.providers.mode;
        let suffix = if mode == ProviderMode::Separate { providers.suffix(provider) } else { "" };
        let mut given_up = 0;
        let mut find_place = || {
            if !symbols.is_full() {
                let id = symbols.add(SymbolNames::new(name, suffix)?, trade_pool)?;
                settings.symbol_idle.into_iter().for_each(|_| idle_symbols.add(id, *local));
                return Some(id);
            }
            // What was published since needs the names of symbols that have gone no more; where too many wait, none goes.
            if outbox.is_empty() {
                symbols.forget_departed();
            } else if symbols.departed_count() >= SIGNALS_WAITING_MAX {
                return None;
            }
            let silent_since = local.minus(settings.symbol_idle?);
            let is_done = |id| !symbols.state(id).is_publication_pending;
            let id = idle_symbols.take(silent_since, |id| symbols.state(id).last_event, is_done)?;
            let (last_event, own) = (symbols.state(id).last_event, symbols.state(id).provider);
            let generation = symbols.names(id).generation;
            let is_replaced = SymbolNames::new(name, suffix)
                .is_some_and(|new_names| symbols.replace(id, new_names, trade_pool, row_pool));
            if !is_replaced {
                idle_symbols.add(id, last_event);
                return None;
            }
            if alerts.has_alerts(id) {
                let names = Names { symbol: symbols.names_of(id, generation), own, providers };
                alerts.resolve_all(id, &names, *moment, &mut outbox.alerts);
            }
            given_up = u64::from(outbox.leave_place(id));
            counters.symbols_evicted += 1;
            idle_symbols.add(id, *local);
            Some(id)
        };
        let id = find_place();
        self.count_unpublished(Unpublished::Features, given_up);
        self.count_dropped_alerts();
        let Some(id) = id else {
            self.counters.count_in(kind, provider);
            self.counters.count_dropped(kind, DropReason::SymbolLimit);
            self.note_symbol_limit();
            return None;
        };
        self.primaries.forget(id);
        self.alerts.admit(id);
        self.symbols.state_mut(id).provider = if mode == ProviderMode::Merged { ProviderId::UNKNOWN } else { provider };
        Some(id)
    }
}
