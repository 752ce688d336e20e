//! The alerts of one engine: knows which fire, and when it must look at something again.
//!
//! Where something happens (an event is refused, one comes late) the engine says so here; what an alert waits for (its cause
//! to be gone for 5 s, a provider to have been silent for long) has a deadline, and the engine comes back at that moment.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::engine::alerts::alert::{
    About, Alert, AlertKind, AlertSettings, AlertState, Involved, KINDS, ProviderName, SymbolName,
};
use crate::engine::alerts::board::{AlertBoard, Shared};
use crate::engine::alerts::figures::{Figures, Names};
use crate::engine::alerts::provider_watch::ProviderWatch;
use crate::engine::alerts::ring::AlertRing;
use crate::engine::alerts::senders::Senders;
use crate::engine::alerts::watched::{NOTHING, OfSymbol, PROCESS, QUIET, SYMBOL_KINDS, Timer, Watched};
use crate::engine::bounds::QUEUE_SHED_FILL;
use crate::engine::memory::{NoMemory, Table};
use crate::engine::state::provider::{NO_DEADLINE, ProviderId, ProviderLimits, Providers};
use crate::engine::state::symbol_state::SymbolState;
use crate::engine::state::symbol_table::{SymbolId, SymbolTable};
use crate::engine::time::{NANOS_PER_SECOND, UnixNanos};

/// Those that are judged by a symbol's figures.
const JUDGED: [AlertKind; 3] = [AlertKind::Latency, AlertKind::WindowTruncated, AlertKind::MixedProviders];
/// So often a symbol is judged that fires, or whose percentile may rise; also when nothing comes from it.
const JUDGE_NS: i64 = NANOS_PER_SECOND;
/// No alert of a kind about a subject fires again sooner.
const REFIRE_NS: i64 = NANOS_PER_SECOND;
/// Of several cores each tells so often what it has heard, and the first one judges.
const TELL_NS: i64 = NANOS_PER_SECOND / 4;

const WATCHED: Table = Table::new("the alerts of symbols", "MAX_SYMBOLS");

/// See the head of this file.
pub struct Alerts {
    board: Arc<AlertBoard>,
    core: usize,
    settings: AlertSettings,
    /// The limit of the percentile of latency, in whole ns.
    latency_max_ns: i64,
    skew_max_ns: i64,
    /// Which alerts of a symbol fire, a bit for each kind. Zeros until one does.
    is_firing: Vec<u8>,
    symbols: Vec<OfSymbol>,
    /// Where several providers make one market of a symbol.
    pub senders: Senders,
    /// By kind; of those about the process.
    process: [Watched; KINDS],
    /// One for each alert that fires, and those of symbols that were forgotten.
    timers: BinaryHeap<Reverse<Timer>>,
    providers: ProviderWatch,
    next_look: UnixNanos,
    /// When more alerts than go out one by one are told as one.
    next_second: UnixNanos,
    /// The soonest of all.
    next: UnixNanos,
}

impl Alerts {
    /// Of the engine of a core of those that share the board; `is_merged`: several providers make one market of a symbol.
    /// Reserves all that it needs.
    pub fn new(
        board: Arc<AlertBoard>,
        core: u32,
        symbols_max: usize,
        skew_max_ns: i64,
        is_merged: bool,
    ) -> Result<Alerts, NoMemory> {
        let timers = symbols_max.saturating_mul(SYMBOL_KINDS).saturating_add(KINDS);
        let settings = *board.settings();
        let next_look = if board.cores() > 1 { UnixNanos(0) } else { NO_DEADLINE };
        Ok(Alerts {
            core: core as usize,
            settings,
            latency_max_ns: settings.latency_max_ns(),
            skew_max_ns,
            is_firing: WATCHED.zeros(symbols_max)?,
            symbols: WATCHED.list(symbols_max)?,
            senders: Senders::new(if is_merged { symbols_max } else { 0 })?,
            process: [QUIET; KINDS],
            timers: BinaryHeap::from(WATCHED.list(timers)?),
            providers: ProviderWatch::new(),
            next_look,
            next_second: NO_DEADLINE,
            next: next_look,
            board,
        })
    }

    /// What this engine shares with others of its process.
    pub fn board(&self) -> &Arc<AlertBoard> {
        &self.board
    }

    /// Of the alerts about providers.
    #[inline]
    pub fn provider_limits(&self) -> ProviderLimits {
        ProviderLimits { lag: self.settings.lag, gap: self.settings.gap }
    }

    /// The soonest moment at which something must be looked at; the end of time where nothing must.
    #[inline]
    pub fn next_deadline(&self) -> UnixNanos {
        self.next
    }

    /// The soonest such moment for more alerts than go out one by one, which are told as one.
    pub fn seconds_due(&self) -> Option<UnixNanos> {
        (self.next_second != NO_DEADLINE).then_some(self.next_second)
    }

    /// The providers are to be looked at by this moment.
    #[inline]
    pub fn look_at_providers_by(&mut self, moment: UnixNanos) {
        if moment < self.next_look {
            self.next_look = moment;
            self.next = self.next.min(moment);
        }
    }

    /// Whether a latency is above the limit of its percentile.
    #[inline]
    pub fn is_slow(&self, latency_ns: i64) -> bool {
        latency_ns > self.latency_max_ns
    }

    /// A latency above the limit is in the symbol's window, up to the moment `until` at the latest. From `moment` on the symbol's
    /// percentile is judged once a second, as it may rise by what leaves the window.
    #[cold]
    pub fn note_slow(&mut self, id: SymbolId, moment: UnixNanos, until: UnixNanos) {
        let of_symbol = &mut self.symbols[id.0 as usize];
        of_symbol.slow_until = until;
        if of_symbol.by_kind[AlertKind::Latency as usize].due == NO_DEADLINE {
            self.set_timer(AlertKind::Latency, id.0, moment);
            self.renew_next();
        }
    }

    /// A symbol's figures at `moment`, by which an alert of that kind begins.
    #[cold]
    pub fn judge(
        &mut self,
        id: SymbolId,
        kind: AlertKind,
        names: &Names<'_>,
        figures: &Figures,
        moment: UnixNanos,
        ring: &mut AlertRing,
    ) {
        self.judge_kind(kind, id, names, figures, moment, ring);
        self.renew_next();
    }

    /// The symbol has changed its provider. That is a new alert each time, but within a second only where the provider is still
    /// another one at its end: the last one that fired tells which is in force.
    #[cold]
    pub fn switch(
        &mut self,
        id: SymbolId,
        names: &Names<'_>,
        [to, from]: [ProviderId; 2],
        moment: UnixNanos,
        ring: &mut AlertRing,
    ) {
        let kind = AlertKind::ProviderSwitch;
        let is_new = self.watched(id)[kind as usize].edge.occur(moment);
        let may_fire_at = self.symbols[id.0 as usize].told.1.plus(REFIRE_NS);
        if is_new || may_fire_at <= moment {
            self.fire_switch(id, names, [to, from], moment, ring);
        } else {
            self.set_timer(kind, id.0, may_fire_at);
        }
        self.renew_next();
    }

    fn fire_switch(
        &mut self,
        id: SymbolId,
        names: &Names<'_>,
        [to, from]: [ProviderId; 2],
        moment: UnixNanos,
        ring: &mut AlertRing,
    ) {
        self.symbols[id.0 as usize].told = (to, moment);
        let [to, from] = [to, from].map(|id| ProviderName::new(names.providers.name(id)));
        let about = About::Symbol(SymbolName::new(names.symbol.symbol()), Involved::Switched { to, from });
        let kind = AlertKind::ProviderSwitch;
        let alert = Alert { ts: moment, kind, state: AlertState::Firing, about, value: None, threshold: None };
        let due = self.watched(id)[kind as usize].edge.resolves_at().expect("a switch is over at once");
        self.fire(id, alert, due, ring);
    }

    /// The symbol gives up its place: what alerts are about it are over.
    #[cold]
    pub fn resolve_all(&mut self, id: SymbolId, names: &Names<'_>, moment: UnixNanos, ring: &mut AlertRing) {
        let figures = Figures::default();
        for kind in &AlertKind::ALL[..SYMBOL_KINDS] {
            if self.watched(id)[*kind as usize].edge.is_firing() {
                self.resolve(*kind, id, names, &figures, moment, ring);
            }
        }
        self.renew_next();
    }

    /// Whether an alert of this kind about the symbol fires.
    pub fn is_firing(&self, id: SymbolId, kind: AlertKind) -> bool {
        self.is_firing[id.0 as usize] & 1 << kind as u8 != 0
    }

    /// Whether any alert about the symbol fires.
    pub fn has_alerts(&self, id: SymbolId) -> bool {
        self.is_firing[id.0 as usize] != 0
    }

    /// The symbol has been given a place, which may have been another's. The tables grow with each new one, so that no event has
    /// to fill them for all.
    pub fn admit(&mut self, id: SymbolId) {
        if self.symbols.len() <= id.0 as usize {
            self.symbols.resize(id.0 as usize + 1, NOTHING);
        }
        self.symbols[id.0 as usize] = NOTHING;
        self.senders.forget(id);
    }

    fn watched(&mut self, id: SymbolId) -> &mut [Watched; SYMBOL_KINDS] {
        &mut self.symbols[id.0 as usize].by_kind
    }

    /// An alert about a symbol, which is looked at again at `due`. It may fire already: then it takes the place of what it was.
    fn fire(&mut self, id: SymbolId, alert: Alert, due: UnixNanos, ring: &mut AlertRing) {
        let kind = alert.kind as usize;
        let former = self.is_firing(id, alert.kind).then_some(self.watched(id)[kind].number);
        self.is_firing[id.0 as usize] |= 1 << alert.kind as u8;
        self.watched(id)[kind].number = self.tell(ring, |shared, ring| {
            former.into_iter().for_each(|number| shared.remove(number));
            shared.fire(alert, alert.ts, ring)
        });
        self.set_timer(alert.kind, id.0, due);
    }

    fn judge_kind(
        &mut self,
        kind: AlertKind,
        id: SymbolId,
        names: &Names<'_>,
        figures: &Figures,
        moment: UnixNanos,
        ring: &mut AlertRing,
    ) {
        let holds = figures.holds(kind, &self.settings);
        let edge = &mut self.watched(id)[kind as usize].edge;
        if !holds {
            edge.end(moment);
        } else if edge.begin(moment) {
            let alert = self.of_symbol(kind, names, figures, moment);
            self.fire(id, alert, moment.plus(JUDGE_NS), ring);
        }
    }

    /// A cause of one moment that is about the process.
    #[cold]
    pub fn occur(
        &mut self,
        kind: AlertKind,
        about: About,
        value: Option<f64>,
        threshold: Option<f64>,
        moment: UnixNanos,
        ring: &mut AlertRing,
    ) {
        let watched = &mut self.process[kind as usize];
        if !watched.edge.occur(moment) {
            return;
        }
        let alert = Alert { ts: moment, kind, state: AlertState::Firing, about, value, threshold };
        let number = self.tell(ring, |shared, ring| shared.fire(alert, moment, ring));
        self.process[kind as usize].number = number;
        let due = self.process[kind as usize].edge.resolves_at().expect("it is gone already");
        self.set_timer(kind, PROCESS, due);
        self.renew_next();
    }

    /// What is due at `moment`, which is the next deadline; nothing else happens up to `until`. `figures` computes those of a
    /// symbol that alerts of a kind are judged by.
    #[inline(never)]
    pub fn handle_due(
        &mut self,
        moment: UnixNanos,
        until: UnixNanos,
        symbols: &mut SymbolTable,
        providers: &Providers,
        ring: &mut AlertRing,
        mut figures: impl FnMut(&Senders, SymbolId, &mut SymbolState, AlertKind) -> Figures,
    ) {
        while let Some(Reverse(timer)) = self.timers.peek().copied()
            && timer.due <= moment
        {
            self.timers.pop();
            match timer.symbol {
                PROCESS => self.handle_process_timer(timer, moment, ring),
                symbol => {
                    let id = SymbolId(symbol);
                    if self.watched(id)[timer.kind as usize].due == timer.due {
                        let kind = AlertKind::ALL[timer.kind as usize];
                        let figures = figures(&self.senders, id, symbols.state_mut(id), kind);
                        let names = Names { symbol: symbols.names(id), own: symbols.state(id).provider, providers };
                        self.handle_symbol_timer(timer, id, &names, &figures, moment, ring);
                    }
                }
            }
        }
        if self.next_look <= moment {
            self.look_at_providers(moment, until, providers, ring);
        }
        if self.next_second <= moment {
            self.next_second = NO_DEADLINE;
            self.tell(ring, |shared, ring| shared.end_seconds(moment, ring));
        }
        self.renew_next();
    }

    /// No time will pass any more: more alerts than go out one by one are told as one though their second is not over.
    pub fn end_present_seconds(&mut self, moment: UnixNanos, ring: &mut AlertRing) {
        self.tell(ring, |shared, ring| shared.end_present_seconds(moment, ring));
    }

    fn handle_process_timer(&mut self, timer: Timer, moment: UnixNanos, ring: &mut AlertRing) {
        let watched = &mut self.process[timer.kind as usize];
        if let Some(at) = watched.edge.resolves_at().filter(|at| *at > moment) {
            return self.set_timer(AlertKind::ALL[timer.kind as usize], PROCESS, at);
        }
        watched.edge.resolve(moment);
        let (number, kind) = (watched.number, AlertKind::ALL[timer.kind as usize]);
        let threshold = match kind {
            AlertKind::SymbolLimit => Some(self.is_firing.len() as f64),
            AlertKind::Backpressure => Some(QUEUE_SHED_FILL),
            _ => None,
        };
        let about = About::Process;
        let alert = Alert { ts: moment, kind, state: AlertState::Resolved, about, value: None, threshold };
        self.tell(ring, |shared, ring| shared.resolve(number, alert, moment, ring));
    }

    fn handle_symbol_timer(
        &mut self,
        timer: Timer,
        id: SymbolId,
        names: &Names<'_>,
        figures: &Figures,
        moment: UnixNanos,
        ring: &mut AlertRing,
    ) {
        let kind = AlertKind::ALL[timer.kind as usize];
        let mut judged_at = NO_DEADLINE;
        if JUDGED.contains(&kind) {
            self.judge_kind(kind, id, names, figures, moment, ring);
            judged_at = moment.plus(JUDGE_NS);
        }
        let OfSymbol { slow_until, told: (told, _), .. } = self.symbols[id.0 as usize];
        if kind == AlertKind::ProviderSwitch && told != names.own {
            return self.fire_switch(id, names, [names.own, told], moment, ring);
        }
        let edge = self.watched(id)[kind as usize].edge;
        let resolves_at = edge.resolves_at().unwrap_or(NO_DEADLINE);
        if !edge.is_firing() {
            // Only a latency is waited for.
            self.set_timer(kind, id.0, if moment < slow_until { judged_at } else { NO_DEADLINE });
        } else if resolves_at <= moment {
            self.resolve(kind, id, names, figures, moment, ring);
        } else {
            self.set_timer(kind, id.0, judged_at.min(resolves_at));
        }
    }

    fn resolve(
        &mut self,
        kind: AlertKind,
        id: SymbolId,
        names: &Names<'_>,
        figures: &Figures,
        moment: UnixNanos,
        ring: &mut AlertRing,
    ) {
        self.is_firing[id.0 as usize] &= !(1 << kind as u8);
        let number = std::mem::replace(&mut self.watched(id)[kind as usize], QUIET).number;
        let alert = Alert { state: AlertState::Resolved, ..self.of_symbol(kind, names, figures, moment) };
        self.tell(ring, |shared, ring| shared.resolve(number, alert, moment, ring));
        // Fewer than one in twenty may be above the limit yet.
        if kind == AlertKind::Latency && moment < self.symbols[id.0 as usize].slow_until {
            self.set_timer(kind, id.0, moment.plus(JUDGE_NS));
        }
    }

    fn of_symbol(&self, kind: AlertKind, names: &Names<'_>, figures: &Figures, moment: UnixNanos) -> Alert {
        let (value, threshold) = match kind {
            AlertKind::Latency => (figures.latency_p95_ms, Some(self.settings.latency_p95_ms)),
            _ => (None, None),
        };
        let name = |id| ProviderName::new(names.providers.name(id));
        let involved = match (kind, figures.mixed) {
            (AlertKind::MixedProviders, Some(both)) => Involved::Both(both.map(name)),
            (AlertKind::ProviderSwitch, _) => Involved::Own(name(names.own)),
            // Where each provider has a state of its own, it is this one's.
            _ if names.symbol.symbol().len() < names.symbol.name.len() => Involved::Own(name(names.own)),
            _ => Involved::Nobody,
        };
        let about = About::Symbol(SymbolName::new(names.symbol.symbol()), involved);
        Alert { ts: moment, kind, state: AlertState::Firing, about, value, threshold }
    }

    fn look_at_providers(&mut self, moment: UnixNanos, until: UnixNanos, providers: &Providers, ring: &mut AlertRing) {
        let Alerts { board, core, settings, skew_max_ns, providers: watch, .. } = self;
        let mut shared = board.lock();
        shared.tell(*core, providers, moment);
        let mut next = NO_DEADLINE;
        if *core == 0 {
            next = watch.look(&mut shared, settings, *skew_max_ns, moment, ring);
            self.next_second = self.next_second.min(shared.seconds_due());
        }
        // With several cores nobody is told by an event what the others have heard.
        self.next_look = if board.cores() > 1 { until.plus(TELL_NS) } else { next };
    }

    /// Tells the board; what that has to tell later is remembered.
    fn tell<T>(&mut self, ring: &mut AlertRing, tell: impl FnOnce(&mut Shared, &mut AlertRing) -> T) -> T {
        let mut shared = self.board.lock();
        let told = tell(&mut shared, ring);
        self.next_second = self.next_second.min(shared.seconds_due());
        told
    }

    fn set_timer(&mut self, kind: AlertKind, symbol: u32, due: UnixNanos) {
        let watched = match symbol {
            PROCESS => &mut self.process[kind as usize],
            symbol => &mut self.symbols[symbol as usize].by_kind[kind as usize],
        };
        watched.due = due;
        if due == NO_DEADLINE {
            return;
        }
        if self.timers.len() == self.timers.capacity() {
            let Alerts { timers, symbols, process, .. } = self;
            timers.retain(|Reverse(timer)| match timer.symbol {
                PROCESS => process[timer.kind as usize].due == timer.due,
                symbol => symbols[symbol as usize].by_kind[timer.kind as usize].due == timer.due,
            });
        }
        self.timers.push(Reverse(Timer { due, kind: kind as u8, symbol }));
    }

    fn renew_next(&mut self) {
        let timer = self.timers.peek().map_or(NO_DEADLINE, |Reverse(timer)| timer.due);
        self.next = timer.min(self.next_look).min(self.next_second);
    }

    /// The clock was stepped: moments have other names from now on.
    pub fn handle_clock_step(&mut self, step_ns: i64) {
        let step = |moment: &mut UnixNanos| {
            if *moment != NO_DEADLINE {
                *moment = moment.plus(step_ns);
            }
        };
        for of_symbol in &mut self.symbols {
            step(&mut of_symbol.slow_until);
            step(&mut of_symbol.told.1);
        }
        let of_symbols = self.symbols.iter_mut().flat_map(|of_symbol| &mut of_symbol.by_kind);
        for watched in of_symbols.chain(&mut self.process) {
            watched.edge.handle_clock_step(step_ns);
            step(&mut watched.due);
        }
        let mut timers = std::mem::take(&mut self.timers).into_vec();
        timers.iter_mut().for_each(|Reverse(timer)| step(&mut timer.due));
        self.timers = BinaryHeap::from(timers);
        step(&mut self.next_look);
        step(&mut self.next_second);
        self.providers.handle_clock_step(step_ns);
        self.renew_next();
    }
}
