//! The alerts of one engine: knows which fire, and when it must look at something again.
//!
//! Where something happens (an event is refused, a snapshot is taken) the engine says so here; what an alert waits for (its cause
//! to be gone for 5 s, a provider to have been silent for long) has a deadline, and the engine comes back at that moment.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::engine::alerts::alert::{
    About, Alert, AlertKind, AlertSettings, AlertState, Involved, KINDS, ProviderName, SymbolName,
};
use crate::engine::alerts::board::{AlertBoard, Shared};
use crate::engine::alerts::edge::{Edge, RESOLVE_AFTER_NS};
use crate::engine::alerts::provider_watch::ProviderWatch;
use crate::engine::alerts::ring::AlertRing;
use crate::engine::alerts::senders::Senders;
use crate::engine::bounds::QUEUE_SHED_FILL;
use crate::engine::memory::{NoMemory, Table};
use crate::engine::state::provider::{NO_DEADLINE, ProviderId, ProviderLimits, Providers};
use crate::engine::state::symbol_names::SymbolNames;
use crate::engine::state::symbol_state::SymbolState;
use crate::engine::state::symbol_table::{SymbolId, SymbolTable};
use crate::engine::time::{NANOS_PER_MILLI, NANOS_PER_SECOND, UnixNanos};

/// The first kinds are about a symbol; the last of them of one moment.
const SYMBOL_KINDS: usize = 4;
const _: () = assert!(AlertKind::ProviderSwitch as usize + 1 == SYMBOL_KINDS);
/// Those that are judged by a symbol's figures.
pub const JUDGED: [AlertKind; 3] = [AlertKind::Latency, AlertKind::WindowTruncated, AlertKind::MixedProviders];
/// A symbol that fires is judged so often, also when nothing comes from it.
pub const JUDGE_NS: i64 = NANOS_PER_SECOND;
/// Of several cores each tells so often what it has heard, and the first one judges.
const TELL_NS: i64 = NANOS_PER_SECOND / 4;
/// In the place of a symbol: the process.
const PROCESS: u32 = u32::MAX;

const WATCHED: Table = Table::new("the alerts of symbols", "MAX_SYMBOLS");

/// The figures of a symbol that its alerts are judged by.
#[derive(Clone, Copy, Default)]
pub struct Figures {
    pub latency_p95_ms: Option<f64>,
    pub is_truncated: bool,
    /// Two providers that both have an event in the window.
    pub mixed: Option<[ProviderId; 2]>,
}

impl Figures {
    /// Whether the cause of an alert of this kind is there; false of a kind that is not judged by figures.
    #[inline]
    fn holds(&self, kind: AlertKind, settings: &AlertSettings) -> bool {
        match kind {
            AlertKind::Latency => self.latency_p95_ms.is_some_and(|p95_ms| settings.is_late(p95_ms)),
            AlertKind::WindowTruncated => self.is_truncated,
            AlertKind::MixedProviders => self.mixed.is_some(),
            _ => false,
        }
    }
}

/// How a symbol and its providers are written.
pub struct Names<'a> {
    pub symbol: &'a SymbolNames,
    /// Whose market the symbol is.
    pub own: ProviderId,
    pub providers: &'a Providers,
}

/// See the head of this file.
pub struct Alerts {
    board: Arc<AlertBoard>,
    core: usize,
    settings: AlertSettings,
    skew_max_ns: i64,
    /// Whether any alert of a symbol fires. Zeros until one does.
    is_firing: Vec<u8>,
    symbols: Vec<[Watched; SYMBOL_KINDS]>,
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

/// An alert of one kind about one subject.
#[derive(Clone, Copy)]
struct Watched {
    edge: Edge,
    /// Its number, while it fires.
    number: u64,
    /// Its timer's.
    due: UnixNanos,
}

const QUIET: Watched = Watched { edge: Edge::Quiet, number: 0, due: NO_DEADLINE };

/// When an alert that fires is looked at again. Outdated where the alert has another `due`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Timer {
    due: UnixNanos,
    kind: u8,
    symbol: u32,
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
        self.settings.is_late(latency_ns as f64 / NANOS_PER_MILLI as f64)
    }

    /// Whether such figures of the symbol, or alerts that it has, are a reason to [`judge`](Self::judge).
    #[inline]
    pub fn concerns(&self, id: SymbolId, figures: &Figures) -> bool {
        self.has_alerts(id) || JUDGED.iter().any(|kind| figures.holds(*kind, &self.settings))
    }

    /// A symbol's figures at `moment`, by which alerts of these kinds begin or end.
    #[cold]
    pub fn judge(
        &mut self,
        id: SymbolId,
        kinds: &[AlertKind],
        names: &Names<'_>,
        figures: &Figures,
        moment: UnixNanos,
        ring: &mut AlertRing,
    ) {
        for kind in kinds {
            self.judge_kind(*kind, id, names, figures, moment, ring);
        }
        self.renew_next();
    }

    /// The symbol has changed its provider.
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
        if self.watched(id)[kind as usize].edge.occur(moment) {
            let [to, from] = [to, from].map(|id| ProviderName::new(names.providers.name(id)));
            let about = About::Symbol(SymbolName::new(names.symbol.symbol()), Involved::Switched { to, from });
            let alert = Alert { ts: moment, kind, state: AlertState::Firing, about, value: None, threshold: None };
            self.fire(id, alert, moment.plus(RESOLVE_AFTER_NS), ring);
            self.renew_next();
        }
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
            self.symbols.resize(id.0 as usize + 1, [QUIET; SYMBOL_KINDS]);
        }
        self.senders.forget(id);
    }

    fn watched(&mut self, id: SymbolId) -> &mut [Watched; SYMBOL_KINDS] {
        &mut self.symbols[id.0 as usize]
    }

    /// An alert about a symbol, which is looked at again at `due`.
    fn fire(&mut self, id: SymbolId, alert: Alert, due: UnixNanos, ring: &mut AlertRing) {
        self.is_firing[id.0 as usize] |= 1 << alert.kind as u8;
        let number = self.tell(ring, |shared, ring| shared.fire(alert, alert.ts, ring));
        let watched = &mut self.watched(id)[alert.kind as usize];
        watched.number = number;
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
                    if self.symbols[symbol as usize][timer.kind as usize].due == timer.due {
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
        let resolves_at = self.watched(id)[kind as usize].edge.resolves_at().unwrap_or(NO_DEADLINE);
        if resolves_at <= moment {
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
            symbol => &mut self.symbols[symbol as usize][kind as usize],
        };
        watched.due = due;
        if self.timers.len() == self.timers.capacity() {
            let Alerts { timers, symbols, process, .. } = self;
            timers.retain(|Reverse(timer)| match timer.symbol {
                PROCESS => process[timer.kind as usize].due == timer.due,
                symbol => symbols[symbol as usize][timer.kind as usize].due == timer.due,
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
        for watched in self.symbols.iter_mut().flatten().chain(&mut self.process) {
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
