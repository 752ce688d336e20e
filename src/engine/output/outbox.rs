//! What waits to be published, as values, in the order in which it leaves: by moment, at one moment signals, alerts, snapshots.
//!
//! ```text
//!   signals    ring of SIGNALS_WAITING_MAX; when full the oldest is dropped and counted
//!   alerts     ring of ALERTS_WAITING_MAX, likewise
//!   snapshots  list through the slots:  first ═► entry ═► entry ═► entry ═► last
//!              newest[symbol] is the slot of the symbol's newest entry, which can leave the list from its middle
//! ```
//!
//! Outputs leave in the order of their moments; at one moment signals come before alerts and these before snapshots, and
//! each kind in the order in which it came. Moments never step back, so each of the three queues is sorted, and taking the
//! next output compares their heads.
//!
//! While the connection takes no messages (it is down, or its socket is full) a newer snapshot of a symbol takes the slot
//! of its unsent one and moves to the end of the order.

use std::collections::VecDeque;

use crate::engine::alerts::alert::Alert;
use crate::engine::alerts::ring::AlertRing;
use crate::engine::bounds::SIGNALS_WAITING_MAX;
use crate::engine::features::snapshot::Snapshot;
use crate::engine::memory::{NoMemory, Table};
use crate::engine::rules::momentum::Signal;
use crate::engine::state::symbol_table::SymbolId;
use crate::engine::time::UnixNanos;

/// No slot: the end of the list, or a symbol of which nothing waits.
const NONE: u32 = u32::MAX;

const SIGNALS: Table = Table::new("the signals that wait", "MAX_SYMBOLS");
const SNAPSHOTS: Table = Table::new("the snapshots that wait", "MAX_SYMBOLS");

pub struct Outbox {
    signals: VecDeque<(UnixNanos, SymbolId, u32, Signal)>,
    pub alerts: AlertRing,
    slots: Vec<Slot>,
    /// Ends of the list of those that wait.
    first: u32,
    last: u32,
    /// Slots of no entry, as a list through `next`.
    free: u32,
    newest: Vec<u32>,
    snapshot_count: usize,
    /// With so many snapshots waiting, newer ones take the slots of older ones.
    in_order_max: usize,
    is_stalled: bool,
}

struct Slot {
    moment: UnixNanos,
    symbol: SymbolId,
    /// Which symbol of the place: it may give that up meanwhile.
    generation: u32,
    previous: u32,
    next: u32,
    snapshot: Snapshot,
}

/// One message to publish.
pub enum Outgoing {
    /// Place and generation of its symbol.
    Signal(SymbolId, u32, Signal),
    Alert(Alert),
    /// Likewise.
    Features(SymbolId, u32, Snapshot),
}

impl Outbox {
    /// Room for what one step of the engine can add, which is a snapshot that is due for each symbol and that of the event,
    /// to what may be held back of the moment before, a snapshot for each symbol; and one more for each symbol.
    pub fn new(symbol_capacity: usize) -> Result<Self, NoMemory> {
        let in_order_max = symbol_capacity.saturating_mul(2).saturating_add(1);
        let mut newest = SNAPSHOTS.list(symbol_capacity)?;
        newest.resize(symbol_capacity, NONE);
        Ok(Outbox {
            signals: SIGNALS.ring(SIGNALS_WAITING_MAX)?,
            alerts: AlertRing::new()?,
            slots: SNAPSHOTS.list(in_order_max.saturating_add(symbol_capacity))?,
            first: NONE,
            last: NONE,
            free: NONE,
            newest,
            snapshot_count: 0,
            in_order_max,
            is_stalled: false,
        })
    }

    /// Says whether the oldest signal was dropped for it.
    pub fn push_signal(&mut self, moment: UnixNanos, symbol: SymbolId, generation: u32, signal: Signal) -> bool {
        debug_assert!(self.signals.back().is_none_or(|(last, ..)| *last <= moment), "moments do not step back");
        let full = self.signals.len() == SIGNALS_WAITING_MAX;
        if full {
            self.signals.pop_front();
        }
        self.signals.push_back((moment, symbol, generation, signal));
        full
    }

    #[inline]
    pub fn push_snapshot(&mut self, moment: UnixNanos, symbol: SymbolId, generation: u32, snapshot: Snapshot) {
        debug_assert!(self.last == NONE || self.slots[self.last as usize].moment <= moment, "moments do not step back");
        let newest = self.newest[symbol.0 as usize];
        let slot = if newest != NONE && (self.is_stalled || self.snapshot_count >= self.in_order_max) {
            self.unlink(newest);
            newest
        } else {
            self.take_free()
        };
        let entry = Slot { moment, symbol, generation, previous: self.last, next: NONE, snapshot };
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = entry,
            None => {
                assert!(self.slots.len() < self.slots.capacity(), "there is room for what `new` has counted");
                self.slots.push(entry);
            }
        }
        match self.last {
            NONE => self.first = slot,
            last => self.slots[last as usize].next = slot,
        }
        self.last = slot;
        self.newest[symbol.0 as usize] = slot;
        self.snapshot_count += 1;
    }

    /// A slot for a new entry: the free one that was used last, which is in the caches, or a new one.
    #[inline]
    fn take_free(&mut self) -> u32 {
        match self.free {
            NONE => self.slots.len() as u32,
            slot => {
                self.free = self.slots[slot as usize].next;
                slot
            }
        }
    }

    /// Takes an entry out of the list. Its slot is not yet free.
    #[inline]
    fn unlink(&mut self, slot: u32) {
        let Slot { previous, next, .. } = self.slots[slot as usize];
        match previous {
            NONE => self.first = next,
            previous => self.slots[previous as usize].next = next,
        }
        match next {
            NONE => self.last = previous,
            next => self.slots[next as usize].previous = previous,
        }
        self.snapshot_count -= 1;
    }

    /// Whether a snapshot of the symbol waits.
    pub fn has_snapshot(&self, symbol: SymbolId) -> bool {
        self.newest[symbol.0 as usize] != NONE
    }

    /// The symbol's place is another's from now on, and what waits leaves under the name that it had. Only while the connection
    /// takes nothing, where a newer one would take its slot, its last snapshot is given up; says whether it was.
    #[cold]
    pub fn leave_place(&mut self, symbol: SymbolId) -> bool {
        let newest = std::mem::replace(&mut self.newest[symbol.0 as usize], NONE);
        let is_given_up = newest != NONE && (self.is_stalled || self.snapshot_count >= self.in_order_max);
        if is_given_up {
            self.unlink(newest);
            self.release(newest);
        }
        is_given_up
    }

    /// A slot that is in no list any more is free.
    #[inline]
    fn release(&mut self, slot: u32) {
        self.slots[slot as usize].next = std::mem::replace(&mut self.free, slot);
    }

    /// The connection takes no messages for now: until the next is taken, newer snapshots take the slots of unsent ones.
    pub fn stall(&mut self) {
        self.is_stalled = true;
    }

    /// The next output, and its moment; alerts and snapshots from the moment `open` on stay, as a signal of that moment may
    /// still come before them.
    #[inline]
    pub fn pop(&mut self, open: UnixNanos) -> Option<(UnixNanos, Outgoing)> {
        self.is_stalled = false;
        let first = self.first;
        let snapshot_moment = match first {
            NONE => UnixNanos(i64::MAX),
            first => self.slots[first as usize].moment,
        };
        let alert_moment = self.alerts.next_moment();
        if let Some((moment, ..)) = self.signals.front()
            && *moment <= snapshot_moment.min(alert_moment)
        {
            return self
                .signals
                .pop_front()
                .map(|(moment, symbol, generation, signal)| (moment, Outgoing::Signal(symbol, generation, signal)));
        }
        if snapshot_moment.min(alert_moment) >= open {
            return None;
        }
        if alert_moment <= snapshot_moment {
            return self.alerts.pop().map(|(moment, alert)| (moment, Outgoing::Alert(alert)));
        }
        self.unlink(first);
        self.release(first);
        let Slot { moment, symbol, generation, snapshot, .. } = self.slots[first as usize];
        let newest = &mut self.newest[symbol.0 as usize];
        if *newest == first {
            *newest = NONE;
        }
        Some((moment, Outgoing::Features(symbol, generation, snapshot)))
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.signals.is_empty() && self.alerts.is_empty() && self.first == NONE
    }

    /// The clock was stepped: moments have other names from now on.
    pub fn handle_clock_step(&mut self, step_ns: i64) {
        self.signals.iter_mut().for_each(|(moment, ..)| *moment = moment.plus(step_ns));
        self.alerts.handle_clock_step(step_ns);
        self.slots.iter_mut().for_each(|slot| slot.moment = slot.moment.plus(step_ns));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::alerts::alert::{About, AlertKind, AlertState};
    use crate::engine::bounds::ALERTS_WAITING_MAX;
    use crate::engine::features::snapshot::Features;
    use crate::engine::random::Random;
    use crate::engine::state::cooldowns::Direction;
    use crate::engine::state::latency_window::LatencyPercentiles;
    use crate::engine::state::provider::ProviderId;
    use crate::engine::state::trade_window::TradeFeatures;

    const ALL: UnixNanos = UnixNanos(i64::MAX);

    /// A snapshot that is told from others by its `now`.
    fn snapshot(number: i64) -> Snapshot {
        let trades = TradeFeatures {
            vwap_short: None,
            vwap_long: None,
            count_short: 0,
            volume_short: 0.0,
            realized_vol_long: None,
        };
        let features = Features { best: None, trades, return_short: None, latency: LatencyPercentiles::default() };
        Snapshot {
            now: UnixNanos(number),
            provider: ProviderId::UNKNOWN,
            features,
            window_truncated: false,
            trade_age_ms: None,
            quote_age_ms: None,
        }
    }

    fn signal(direction: Direction, number: i64) -> Signal {
        Signal { direction, watermark: UnixNanos(number), price: 1.0, snapshot: snapshot(number) }
    }

    fn alert(number: i64) -> Alert {
        let (kind, state, about) = (AlertKind::Gap, AlertState::Firing, About::Process);
        Alert { ts: UnixNanos(number), kind, state, about, value: None, threshold: None }
    }

    /// Kind (0: signal, 1: alert, 2: snapshot), the symbol's generation and number; generations are unique in these tests.
    type Shown = (u8, u32, i64);

    fn shown((_, outgoing): (UnixNanos, Outgoing)) -> Shown {
        match outgoing {
            Outgoing::Signal(_, generation, signal) => (0, generation, signal.snapshot.now.0),
            Outgoing::Alert(alert) => (1, 0, alert.ts.0),
            Outgoing::Features(_, generation, snapshot) => (2, generation, snapshot.now.0),
        }
    }

    /// The outbox by its definition: a list of (moment, what), looked through from its start for everything.
    struct Naive {
        entries: Vec<(i64, Shown)>,
        symbol_capacity: usize,
        is_stalled: bool,
        alerts_dropped: u64,
    }

    impl Naive {
        fn push_alert(&mut self, moment: i64, number: i64) {
            let is_alert = |(_, (kind, ..)): &(i64, Shown)| *kind == 1;
            if self.entries.iter().filter(|entry| is_alert(entry)).count() == ALERTS_WAITING_MAX {
                let oldest = self.entries.iter().position(is_alert).unwrap();
                self.entries.remove(oldest);
                self.alerts_dropped += 1;
            }
            self.entries.push((moment, (1, 0, number)));
        }

        fn push_signal(&mut self, moment: i64, symbol: u32, number: i64) -> bool {
            let signals = self.entries.iter().filter(|(_, (kind, ..))| *kind == 0).count();
            if signals == SIGNALS_WAITING_MAX {
                let oldest = self.entries.iter().position(|(_, (kind, ..))| *kind == 0).unwrap();
                self.entries.remove(oldest);
            }
            self.entries.push((moment, (0, symbol, number)));
            signals == SIGNALS_WAITING_MAX
        }

        fn push_snapshot(&mut self, moment: i64, symbol: u32, number: i64) {
            let snapshots = self.entries.iter().filter(|(_, (kind, ..))| *kind == 2).count();
            if (self.is_stalled || snapshots > 2 * self.symbol_capacity)
                && let Some(older) = self.entries.iter().rposition(|(_, (kind, of, _))| *kind == 2 && *of == symbol)
            {
                self.entries.remove(older);
            }
            self.entries.push((moment, (2, symbol, number)));
        }

        fn leave_place(&mut self, symbol: u32) -> bool {
            let snapshots = self.entries.iter().filter(|(_, (kind, ..))| *kind == 2).count();
            let newest = self.entries.iter().rposition(|(_, (kind, of, _))| *kind == 2 && *of == symbol);
            let given_up = newest.filter(|_| self.is_stalled || snapshots > 2 * self.symbol_capacity);
            given_up.map(|index| self.entries.remove(index)).is_some()
        }

        fn pop(&mut self, open: i64) -> Option<Shown> {
            self.is_stalled = false;
            // Of equals `min_by_key` takes the first.
            let first =
                (0..self.entries.len()).min_by_key(|index| (self.entries[*index].0, self.entries[*index].1.0))?;
            let (moment, (kind, ..)) = self.entries[first];
            (kind == 0 || moment < open).then(|| self.entries.remove(first).1)
        }
    }

    fn run(seed: u64, symbol_capacity: usize, steps: usize) {
        let mut generator = Random::new(seed);
        let mut random = |end: u64| generator.below(end);
        let mut outbox = Outbox::new(symbol_capacity).expect("there is memory");
        let mut naive = Naive { entries: Vec::new(), symbol_capacity, is_stalled: false, alerts_dropped: 0 };
        let capacity = outbox.slots.capacity();
        // Of the symbols that have the places now.
        let mut places: Vec<u32> = (0..symbol_capacity as u32).collect();
        let mut name_count = symbol_capacity as u32;
        // How often one is taken for a hundred that are pushed changes from phase to phase.
        let (mut moment, mut pops, mut signals) = (0, 100, 10);
        for step in 0..steps as i64 {
            if random(500) == 0 {
                (pops, signals) = ([0, 20, 100, 1000][random(4) as usize], [1, 10, 80][random(3) as usize]);
            }
            moment += [0, 0, 1, 5][random(4) as usize];
            let place = random(symbol_capacity as u64) as usize;
            let symbol = places[place];
            if random(100) < 2 {
                let is_given_up = outbox.leave_place(SymbolId(place as u32));
                assert_eq!(is_given_up, naive.leave_place(symbol), "seed {seed}, step {step}");
                places[place] = name_count;
                name_count += 1;
            } else if random(100) < 3 {
                outbox.alerts.push(UnixNanos(moment), alert(step));
                naive.push_alert(moment, step);
                assert_eq!(outbox.alerts.take_dropped(), std::mem::take(&mut naive.alerts_dropped), "seed {seed}");
            } else if random(100) < signals {
                let was_full = outbox.push_signal(
                    UnixNanos(moment),
                    SymbolId(place as u32),
                    symbol,
                    signal(Direction::Long, step),
                );
                assert_eq!(was_full, naive.push_signal(moment, symbol, step), "seed {seed}");
            } else {
                outbox.push_snapshot(UnixNanos(moment), SymbolId(place as u32), symbol, snapshot(step));
                naive.push_snapshot(moment, symbol, step);
            }
            if random(20) == 0 {
                outbox.stall();
                naive.is_stalled = true;
            }
            if random(300) == 0 {
                let step_ns = random(2_000) as i64 - 1_000;
                moment += step_ns;
                outbox.handle_clock_step(step_ns);
                naive.entries.iter_mut().for_each(|(moment, _)| *moment += step_ns);
            }
            while random(1100) < pops {
                let open = if random(2) == 0 { i64::MAX } else { moment };
                assert_eq!(outbox.pop(UnixNanos(open)).map(shown), naive.pop(open), "seed {seed}, step {step}");
                if naive.entries.is_empty() {
                    break;
                }
            }
            let place = random(symbol_capacity as u64) as usize;
            let symbol = places[place];
            let waits = naive.entries.iter().any(|(_, (kind, of, _))| *kind == 2 && *of == symbol);
            assert_eq!(outbox.has_snapshot(SymbolId(place as u32)), waits, "seed {seed}, step {step}");
            assert_eq!(outbox.is_empty(), naive.entries.is_empty(), "seed {seed}, step {step}");
        }
        while let Some(expected) = naive.pop(i64::MAX) {
            assert_eq!(outbox.pop(ALL).map(shown), Some(expected), "seed {seed}, at the end");
        }
        assert!(outbox.is_empty() && outbox.pop(ALL).is_none());
        assert_eq!(outbox.slots.capacity(), capacity, "seed {seed}: it has grown");
    }

    #[test]
    fn agrees_with_the_definition() {
        for seed in 0..60 {
            for symbol_capacity in [1, 2, 3, 17, 200] {
                run(seed, symbol_capacity, 3_000);
            }
        }
    }

    /// More signals than there is room for, beside few snapshots.
    #[test]
    fn the_oldest_signal_goes() {
        let mut outbox = Outbox::new(1).expect("there is memory");
        outbox.push_snapshot(UnixNanos(0), SymbolId(0), 0, snapshot(-1));
        let count = SIGNALS_WAITING_MAX as i64;
        for number in 0..count + 3 {
            let has_gone = outbox.push_signal(UnixNanos(number), SymbolId(0), 0, signal(Direction::Short, number));
            assert_eq!(has_gone, number >= count);
        }
        let left: Vec<Shown> = std::iter::from_fn(|| outbox.pop(ALL).map(shown)).collect();
        let expected: Vec<Shown> = [(2, 0, -1)].into_iter().chain((3..count + 3).map(|n| (0, 0, n))).collect();
        assert_eq!(left, expected);
    }

    #[test]
    fn signals_first_at_one_moment_then_alerts_and_snapshots_once_it_is_over() {
        let mut outbox = Outbox::new(2).expect("there is memory");
        outbox.push_snapshot(UnixNanos(10), SymbolId(0), 0, snapshot(1));
        outbox.push_snapshot(UnixNanos(20), SymbolId(1), 1, snapshot(2));
        outbox.alerts.push(UnixNanos(20), alert(4));
        outbox.push_signal(UnixNanos(20), SymbolId(0), 0, signal(Direction::Long, 3));
        let mut pop = |open: i64| outbox.pop(UnixNanos(open)).map(shown);
        assert_eq!(pop(20), Some((2, 0, 1)));
        assert_eq!(pop(20), Some((0, 0, 3)));
        assert_eq!(pop(20), None, "another signal of this moment may come");
        assert_eq!(pop(21), Some((1, 0, 4)));
        assert_eq!(pop(21), Some((2, 1, 2)));
    }
}
