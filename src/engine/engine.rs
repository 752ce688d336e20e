//! The engine: events and time in, messages out. It reads no clock and owns no socket, so that live, replay and
//! simulation run the same code and give the same outputs.
//!
//! For each event, in this order (see SPEC sections 1 to 3):
//!
//! 1. the payload is decoded and the symbol found; a malformed event ends here and has changed nothing;
//! 2. local time moves on, and snapshots that were due before it are taken, each for its own moment;
//! 3. a trade that came before ends here; the event's t is settled; one of a provider that is not the symbol's ends here
//!    ([`admission`](crate::engine::admission) decides that, and which symbols have a place);
//! 4. the symbol's watermark moves, latest values and windows take the event in;
//! 5. the rules are evaluated, then the snapshot is taken or remembered for the end of its interval.
//!
//! Snapshots are due in the order of the publications before them, as the interval is one constant; so a FIFO of
//! deadlines is sorted. A snapshot due at the very moment of an event waits for that event.
//!
//! An output's moment is a local time: an event's, or an interval's end; where receipts are a stream's, its server's present.
//! In which order outputs leave the [`outbox`](crate::engine::output::outbox) decides.

use std::sync::Arc;

use crate::engine::alerts::alert::ALERTS_SUBJECT;
use crate::engine::alerts::board::AlertBoard;
use crate::engine::alerts::watch::Alerts;
use crate::engine::bounds::{LATENCY_ROWS_PER_SYMBOL, LATENCY_SLOTS, ROLLING_WINDOW_MAX_NS, SHORT_WINDOW_NS};
use crate::engine::counters::{Counters, DropReason, Topic};
use crate::engine::deadlines::DeadlineQueue;
use crate::engine::event_time::EventTime;
use crate::engine::features::snapshot::Snapshot;
use crate::engine::idle_memory::ReleaseRound;
use crate::engine::input::decode::Decoder;
use crate::engine::input::event::Body;
use crate::engine::input::malformed::Malformed;
use crate::engine::input::subject::{EventKind, is_valid_symbol, split_subject};
use crate::engine::memory::NoMemory;
use crate::engine::output::encode::{encode_signal, encode_snapshot};
use crate::engine::output::latest_signals::LatestSignals;
use crate::engine::output::outbox::{Outbox, Outgoing};
use crate::engine::receipt::Receipt;
use crate::engine::settings::EngineSettings;
use crate::engine::state::bucket_row_pool::BucketRowPool;
use crate::engine::state::given_signals::GivenSignals;
use crate::engine::state::idle_symbols::IdleSymbols;
use crate::engine::state::primary_provider::{PrimaryProviders, ProviderMode};
use crate::engine::state::provider::{NO_DEADLINE, ProviderId, Providers};
use crate::engine::state::recent_trades::RecentTrades;
use crate::engine::state::symbol_state::Arrival;
use crate::engine::state::symbol_table::{SymbolId, SymbolTable};
use crate::engine::state::trade_pool::TradePool;
use crate::engine::state::trade_window::WindowLengths;
use crate::engine::time::UnixNanos;

/// The engine: see the head of this file.
pub struct Engine {
    pub(super) settings: EngineSettings,
    pub(super) lengths: WindowLengths,
    pub(super) slot_ns: i64,
    pub(super) local: UnixNanos,
    /// The moment of outputs, which never steps back: local time or, where receipts are a stream's, its server's time.
    pub(super) moment: UnixNanos,
    /// The last event was one of the past: see [`Receipt::Stored`].
    pub(super) is_past: bool,
    pub(super) symbols: SymbolTable,
    pub(super) providers: Providers,
    pub(super) trade_pool: TradePool,
    pub(super) row_pool: BucketRowPool,
    pub(super) recent_trades: RecentTrades,
    pub(super) primaries: PrimaryProviders,
    pub(super) idle_symbols: IdleSymbols,
    pub(super) release_round: ReleaseRound,
    pub(super) deadlines: DeadlineQueue,
    pub(super) outbox: Outbox,
    pub(super) alerts: Alerts,
    pub(super) given_signals: GivenSignals,
    pub(super) latest_signals: LatestSignals,
    /// More events of the present moment may come: its snapshots wait, as signals of one moment leave before snapshots.
    is_moment_open: bool,
    /// Since the start.
    pub counters: Counters,
    pub(super) decoder: Decoder,
    payload: Vec<u8>,
}

/// A message to publish.
pub struct Message<'a> {
    /// What it is about.
    pub topic: Topic,
    /// When it was made, in local time; where receipts are a stream's, in its server's.
    pub moment: UnixNanos,
    /// Where it is published.
    pub subject: &'a [u8],
    /// Its JSON.
    pub payload: &'a [u8],
}

impl Engine {
    /// Reserves all the memory that it will need, except for the names of symbols. The error says which table found none.
    pub fn new(settings: EngineSettings) -> Result<Self, NoMemory> {
        let board = AlertBoard::new(settings.alerts, 1)?;
        Self::of_core(settings, board, 0)
    }

    /// The engine of a core of several, which share the board of their alerts and its limits, whatever `settings` say; the first
    /// one is 0.
    pub fn of_core(settings: EngineSettings, board: Arc<AlertBoard>, core: u32) -> Result<Self, NoMemory> {
        let signal = settings.signal.apart_from_ties();
        let settings = EngineSettings { alerts: *board.settings(), signal, ..settings };
        let symbols = settings.symbols_max;
        let rows = symbols.saturating_mul(LATENCY_ROWS_PER_SYMBOL).saturating_add(settings.latency_rows_spare);
        let long = settings.rolling_window.min(ROLLING_WINDOW_MAX_NS);
        let short = settings.rolling_window.min(SHORT_WINDOW_NS);
        let is_merged = settings.providers.mode == ProviderMode::Merged;
        Ok(Engine {
            lengths: WindowLengths { long, short },
            slot_ns: (long / LATENCY_SLOTS as i64).max(1),
            local: UnixNanos(0),
            moment: UnixNanos(0),
            is_past: false,
            symbols: SymbolTable::new(symbols)?,
            providers: Providers::new(&settings.providers.preferred),
            trade_pool: TradePool::new(settings.window_trades, symbols)?,
            row_pool: BucketRowPool::new(rows)?,
            recent_trades: RecentTrades::new(settings.deduplicate_trades)?,
            primaries: PrimaryProviders::new(&settings.providers, symbols)?,
            idle_symbols: IdleSymbols::new(if settings.symbol_idle.is_some() { symbols } else { 0 })?,
            release_round: ReleaseRound::default(),
            deadlines: DeadlineQueue::new(symbols)?,
            outbox: Outbox::new(symbols)?,
            alerts: Alerts::new(board, core, symbols, settings.clock_skew_max, is_merged)?,
            given_signals: GivenSignals::new()?,
            latest_signals: LatestSignals::new()?,
            is_moment_open: false,
            counters: Counters::default(),
            decoder: Decoder::default(),
            payload: Vec::with_capacity(4096),
            settings,
        })
    }

    /// See [`EngineSettings::subject_prefix`].
    #[inline]
    pub fn subject_prefix(&self) -> &[u8] {
        self.settings.subject_prefix.as_bytes()
    }

    /// Handles one event. The error says why it was malformed, for the log.
    #[inline]
    pub fn handle_event(&mut self, subject: &[u8], payload: &[u8], receipt: Receipt) -> Result<(), Malformed> {
        let (kind, symbol) = split_subject(subject, self.subject_prefix());
        self.handle_split(kind, symbol, payload, receipt)
    }

    /// The same for an event whose subject has been split.
    pub fn handle_split(
        &mut self,
        kind: EventKind,
        symbol: &[u8],
        payload: &[u8],
        receipt: Receipt,
    ) -> Result<(), Malformed> {
        // Read where it was written: a copy would cost each event thirty moves.
        let decoded = self.decoder.decode(kind, payload);
        let (origin, body) = match &decoded {
            Ok((origin, body)) => (origin, body),
            Err(malformed) => return self.refuse(kind, *malformed),
        };
        let symbol_hash = self.symbols.hash(symbol);
        let is_separate = self.settings.providers.mode == ProviderMode::Separate;
        let mut known = if is_separate { None } else { self.symbols.find_hashed(symbol_hash, symbol) };
        if known.is_none() && kind != EventKind::Heartbeat && !is_valid_symbol(symbol) {
            return self.refuse(kind, Malformed::Symbol);
        }
        self.move_to(receipt, origin);
        let provider = self.providers.intern(origin.provider);
        if is_separate {
            known = self.find_state(symbol, provider);
        }
        if let Body::Trade(trade) = body
            && self.recent_trades.remember(symbol_hash, provider, trade, origin.ts_exchange)
        {
            self.note_duplicate(known, provider);
            return Ok(());
        }
        if origin.is_time_unreadable {
            self.counters.timestamps_unreadable[provider.index()] += 1;
        }
        let is_trusted = self.providers.is_trusted(provider, self.local);
        let EventTime { t, latency_ns, lag_ns, is_rejected } =
            EventTime::settle(origin, self.local, self.settings.clock_skew_max, is_trusted);
        if is_rejected {
            self.counters.timestamps_rejected[provider.index()] += 1;
            self.note_rejected_time(provider, origin);
        }
        let lag_ns = match receipt {
            Receipt::At(_) => lag_ns,
            // Nothing is known to lag.
            Receipt::Unrecorded | Receipt::Stored { is_past: true, .. } => None,
            Receipt::Stored { present, .. } => lag_ns.map(|lag_ns| lag_ns.saturating_add(present.since(self.local))),
        };
        self.note_heard(provider, lag_ns);
        if kind == EventKind::Heartbeat {
            self.counters.count_in(kind, provider);
            return Ok(());
        }
        if provider == ProviderId::OTHER && self.settings.providers.mode != ProviderMode::Merged {
            return self.drop_of_others(kind);
        }
        let id = match known {
            Some(id) => id,
            None => match self.admit(kind, symbol, provider) {
                Some(id) => id,
                None => return Ok(()),
            },
        };
        self.counters.count_in(kind, provider);
        if !self.accepts(id, provider) {
            self.counters.count_dropped(kind, DropReason::OtherProvider);
            return Ok(());
        }

        let state = self.symbols.state_mut(id);
        let is_late = state.observe(t, self.local, self.lengths.long);
        let arrival = Arrival { t, provider, ts_exchange: origin.ts_exchange, ts_recv: origin.ts_recv };
        match body {
            Body::Trade(trade) => {
                state.apply_trade(arrival, trade);
                if !is_late {
                    state.trades.push(&mut self.trade_pool, t, trade.price, trade.size);
                }
            }
            Body::Quote(quote) => state.apply_quote(arrival, *quote),
            Body::Book => state.apply_book(arrival, &self.decoder.book),
            Body::Heartbeat => unreachable!("heartbeats end above"),
        }
        if is_late {
            self.counters.count_dropped(kind, DropReason::Late);
        } else if let Some(latency_ns) = latency_ns {
            state.latency.push(&mut self.row_pool, t, latency_ns, self.slot_ns);
            if self.alerts.is_slow(latency_ns) {
                self.alerts.note_slow(id, self.moment, self.moment.plus(self.lengths.long));
            }
        }
        let now = state.now(self.local);
        if self.settings.providers.mode == ProviderMode::Merged && !is_late {
            self.note_accepted(id, provider, t, now);
        }
        let state = self.symbols.state_mut(id);
        state.trades.advance(&self.trade_pool, now, self.lengths);
        state.trades.forget(&mut self.trade_pool, state.watermark(), self.lengths);

        self.evaluate_rules(id, now, t, &receipt);
        self.publish_or_wait(id, now);
        if self.trade_pool.is_low() || self.row_pool.is_low() {
            self.judge_room(id, now);
            let (trade_pool, row_pool) = (&mut self.trade_pool, &mut self.row_pool);
            let (lengths, slot_ns) = (self.lengths, self.slot_ns);
            self.release_round.advance(&mut self.symbols, trade_pool, row_pool, self.local, lengths, slot_ns);
        }
        Ok(())
    }

    /// Counts an event that was dropped undecoded because the receive buffer was nearly full.
    #[inline]
    pub fn shed(&mut self, kind: EventKind) {
        self.counters.count_unread(kind, DropReason::Backpressure);
    }

    /// Counts a malformed event, and returns why it is one.
    #[cold]
    pub fn refuse(&mut self, kind: EventKind, malformed: Malformed) -> Result<(), Malformed> {
        self.counters.count_unread(kind, DropReason::Malformed);
        Err(malformed)
    }

    pub(super) fn snapshot(&mut self, id: SymbolId, now: UnixNanos) -> Snapshot {
        let state = self.symbols.state_mut(id);
        Snapshot::of(state, now, &self.trade_pool, &mut self.row_pool, self.lengths, self.slot_ns)
    }

    /// Takes the snapshot if the symbol's interval is over, else leaves it for the interval's end.
    #[inline]
    fn publish_or_wait(&mut self, id: SymbolId, now: UnixNanos) {
        if self.is_past {
            return;
        }
        let Some(interval) = self.settings.publish_interval else { return };
        let state = self.symbols.state_mut(id);
        if state.last_publication.is_some_and(|last| self.moment.since(last) < interval) {
            state.is_publication_pending = true;
            return;
        }
        self.publish(id, now, self.moment, interval);
    }

    /// Takes a snapshot for `now`, which leaves at `moment`; its interval runs from there on.
    fn publish(&mut self, id: SymbolId, now: UnixNanos, moment: UnixNanos, interval: i64) {
        let snapshot = self.snapshot(id, now);
        self.outbox.push_snapshot(moment, id, self.symbols.names(id).generation, snapshot);
        let state = self.symbols.state_mut(id);
        state.last_publication = Some(moment);
        state.is_publication_pending = false;
        self.deadlines.push(moment.plus(interval), id, &self.symbols, interval);
    }

    /// Local time moves to `moment`, never back; snapshots due before it are taken.
    #[inline]
    pub(super) fn move_local(&mut self, moment: UnixNanos) {
        if moment > self.local {
            self.publish_due(moment.minus(1));
            self.local = moment;
            self.moment = self.moment.max(moment);
        }
    }

    /// Takes the snapshots that are due at `moment` or before and judges alerts, each for its own moment. Of the past nothing is.
    #[inline(always)]
    pub(super) fn publish_due(&mut self, moment: UnixNanos) {
        if self.is_past {
            return;
        }
        while self.deadlines.next_deadline().is_some_and(|deadline| deadline <= moment)
            || self.alerts.next_deadline() <= moment
        {
            self.take_next_due(moment);
        }
    }

    /// Up to `until` nothing happens but what is due.
    #[inline(never)]
    fn take_next_due(&mut self, until: UnixNanos) {
        let snapshot_due = self.deadlines.next_deadline().unwrap_or(NO_DEADLINE);
        if self.alerts.next_deadline() < snapshot_due {
            return self.handle_due_alerts(until);
        }
        let Some((deadline, id)) = self.deadlines.pop() else { return };
        self.moment = self.moment.max(deadline);
        let Some(interval) = self.settings.publish_interval else { return };
        let state = self.symbols.state_mut(id);
        if state.is_interval_end(deadline, interval) && state.is_publication_pending {
            let now = state.now(deadline);
            state.trades.advance(&self.trade_pool, now, self.lengths);
            self.publish(id, now, deadline, interval);
        }
    }

    /// Time passes without an event: what is due at `moment` or before is published.
    pub fn handle_time(&mut self, moment: UnixNanos) {
        self.handle_present(moment);
        self.local = self.local.max(moment);
    }

    /// The same where receipts are a stream's: the next event may have been stored before `moment`, and counts as of then.
    pub fn handle_present(&mut self, moment: UnixNanos) {
        self.is_past = false;
        self.publish_due(moment);
        self.moment = self.moment.max(moment);
    }

    /// The soonest moment at which something may be due: a snapshot, or a look at what alerts are about.
    #[inline]
    pub fn next_deadline(&self) -> Option<UnixNanos> {
        let alerts = Some(self.alerts.next_deadline()).filter(|deadline| *deadline != NO_DEADLINE);
        [self.deadlines.next_deadline(), alerts].into_iter().flatten().min()
    }

    /// The input has ended: every snapshot that waits for its interval's end is taken, for that moment, and alerts that wait for
    /// their second's end are told. Other alerts need time that does not pass any more.
    pub fn finish(&mut self) {
        self.set_moment_open(false);
        while let Some(deadline) =
            [self.deadlines.next_deadline(), self.alerts.seconds_due()].into_iter().flatten().min()
        {
            self.handle_time(deadline);
        }
    }

    /// No more events come, and no time passes: what is due at the present moment is taken, and alerts that wait for their
    /// second's end are told.
    pub fn stop(&mut self) {
        self.set_moment_open(false);
        self.alerts.end_present_seconds(self.moment, &mut self.outbox.alerts);
        self.count_dropped_alerts();
    }

    /// Something waits to be published, if only for the end of the present moment.
    #[inline]
    pub fn has_output(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Whether more events of the present moment may come. Until they have, its snapshots are held back: at one moment
    /// signals leave first. When they have, what is due at that moment is taken: its alerts leave before its snapshots.
    pub fn set_moment_open(&mut self, is_open: bool) {
        self.is_moment_open = is_open;
        if !is_open {
            self.publish_due(self.moment);
        }
    }

    /// The next message to publish, in the order of moments.
    pub fn poll_output(&mut self) -> Option<Message<'_>> {
        let open = if self.is_moment_open { self.moment } else { UnixNanos(i64::MAX) };
        let (moment, outgoing) = self.outbox.pop(open)?;
        self.payload.clear();
        let (topic, subject) = match outgoing {
            Outgoing::Signal(id, generation, signal) => {
                let names = self.symbols.names_of(id, generation);
                encode_signal(&mut self.payload, names, &self.providers, &signal);
                (Topic::Signal, &*names.signals_subject)
            }
            Outgoing::Alert(alert) => {
                alert.encode(&mut self.payload);
                (Topic::Alert, ALERTS_SUBJECT.as_bytes())
            }
            Outgoing::Features(symbol, generation, snapshot) => {
                let names = self.symbols.names_of(symbol, generation);
                encode_snapshot(&mut self.payload, names, &self.providers, &snapshot);
                (Topic::Features { symbol, generation }, &*names.features_subject)
            }
        };
        Some(Message { topic, moment, subject, payload: &self.payload })
    }

    /// All symbols with their states.
    pub fn symbols(&self) -> &SymbolTable {
        &self.symbols
    }

    /// All providers seen so far.
    pub fn providers(&self) -> &Providers {
        &self.providers
    }

    /// Trades held in all windows.
    pub fn window_trade_count(&self) -> u64 {
        self.trade_pool.trade_count()
    }

    /// A snapshot of the symbol for `moment` of local time, or for local time itself where that is later.
    pub(super) fn snapshot_at(&mut self, id: SymbolId, moment: UnixNanos) -> Snapshot {
        let state = self.symbols.state_mut(id);
        let now = state.now(self.local.max(moment));
        state.trades.advance(&self.trade_pool, now, self.lengths);
        self.snapshot(id, now)
    }
}
