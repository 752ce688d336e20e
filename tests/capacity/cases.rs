//! Small cases to be read, each the first of its kind. Engine and twin agree on everything that is said in them.

use crate::market::{Body, Step};
use crate::model::Settings;
use crate::reference::{MILLISECOND, SECOND};
use crate::{Pair, event_at};

const START: i64 = 1_721_347_020 * SECOND;
const CHUNK: i64 = 31;
const QUOTE: Body = Body::Quote { bid: 1.0, ask: 2.0 };
const BOOK: Body = Body::Book { bid: 1.0, ask: 2.0 };

fn trade(price: f64) -> Body {
    Body::Trade { price, size: 1.0 }
}

fn settings(symbols_max: usize, window_trades: usize) -> Settings {
    Settings {
        symbols_max,
        window_trades,
        rows_spare: 4096,
        publish_interval: Some(SECOND / 10),
        rolling_window: 60 * SECOND,
        clock_skew_max: SECOND,
    }
}

impl Pair {
    #[track_caller]
    fn event(&mut self, symbol: &str, moment: i64, body: Body) {
        self.take(&event_at(moment, symbol, body, 3 * MILLISECOND));
    }

    /// A trade of `t` that arrives at `moment`.
    #[track_caller]
    fn late(&mut self, symbol: &str, moment: i64, t: i64, price: f64) {
        let Step::Event(_, event) = event_at(t, symbol, trade(price), 3 * MILLISECOND) else { unreachable!() };
        self.take(&Step::Event(Some(moment), event));
    }

    #[track_caller]
    fn trades(&mut self, symbol: &str, start: i64, count: i64, gap: i64) {
        for index in 0..count {
            self.event(symbol, start + index * gap, trade(100.0 + index as f64));
        }
    }

    /// Whether the symbol's windows lack something, as both say.
    #[track_caller]
    fn lacks(&mut self, symbol: &str, moment: i64) -> bool {
        self.ask(symbol, moment).expect("the symbol is known")
    }
}

/// As it was first seen: 3,000 trades of A, one quote of B.
#[test]
fn a_new_symbol_when_the_pool_is_full() {
    let mut pair = Pair::new(settings(3, 31));
    pair.trades("A", START, 3_000, 10 * MILLISECOND);
    let end = START + 30 * SECOND;
    assert!(pair.lacks("A", end) && pair.twin.shared_left == 0);
    pair.event("B", end, QUOTE);
    assert!(!pair.lacks("B", end), "which is none of B's business");
}

/// A chunk's worth of trades is each symbol's own, however full the pool is.
#[test]
fn each_symbol_has_room_of_its_own() {
    for window_trades in [1, 31, 62] {
        for symbols_max in 1..=4 {
            for first in [trade(1.0), QUOTE, BOOK] {
                let mut pair = Pair::new(settings(symbols_max, window_trades));
                let names = &["A", "B", "C", "D"][..symbols_max];
                pair.trades("A", START, 200, MILLISECOND);
                for name in &names[1..] {
                    pair.event(name, START + SECOND, first);
                    pair.trades(name, START + SECOND, CHUNK - 1, MILLISECOND);
                    assert!(!pair.lacks(name, START + 2 * SECOND), "{name}");
                    pair.trades(name, START + 2 * SECOND, 2, MILLISECOND);
                    assert!(pair.lacks(name, START + 3 * SECOND), "{name} holds no more than its own");
                }
                pair.event("E", START + 3 * SECOND, first);
                assert_eq!(pair.ask("E", START + 3 * SECOND), None);
            }
        }
    }
}

/// Set back, the clock makes what it has timed worthless; the room of all that comes back at once.
#[test]
fn a_step_of_the_clock_when_the_pool_is_full() {
    let mut pair = Pair::new(settings(3, 62));
    pair.trades("A", START, 100, MILLISECOND);
    pair.trades("B", START + SECOND, 40, MILLISECOND);
    pair.take(&Step::Clock(-3600 * SECOND));
    assert!(pair.twin.is_empty() && pair.twin.trade_count() == 0);
    let back = START + 2 * SECOND - 3600 * SECOND;
    pair.event("C", back, QUOTE);
    pair.trades("B", back, 3 * CHUNK, MILLISECOND);
    assert!(!pair.lacks("B", back + SECOND) && pair.twin.shared_left == 0, "B has its own chunk and both shared ones");
    pair.trades("A", back, CHUNK, MILLISECOND);
    pair.trades("C", back, CHUNK, MILLISECOND);
    assert!(!pair.lacks("A", back + SECOND) && !pair.lacks("C", back + SECOND));
}

#[test]
fn late_trades_when_the_pool_is_full() {
    for window_trades in [1, 62] {
        for lateness in [0, 1, 2, 14, 15, 16, 30, 31, 45, 61, 62, 92, 93, 94] {
            let mut pair = Pair::new(settings(2, window_trades));
            pair.event("B", START, QUOTE);
            pair.trades("A", START, 120, 2 * MILLISECOND);
            let end = START + 120 * 2 * MILLISECOND;
            // Between two trades, at a trade's moment, and a flock of them at one moment.
            for (offset, count) in [(-MILLISECOND, 1), (0, 1), (-MILLISECOND, 70)] {
                for _ in 0..count {
                    pair.late("A", end, end - lateness * 2 * MILLISECOND + offset, 7.0);
                }
                assert!(pair.lacks("A", end));
            }
            pair.event("B", end, trade(1.0));
        }
    }
}

#[test]
fn a_chunk_full_of_one_moment() {
    let mut pair = Pair::new(settings(2, 1));
    // B has the shared chunk.
    pair.trades("B", START, CHUNK + 1, 1);
    pair.trades("A", START + SECOND, CHUNK, 0);
    assert!(!pair.lacks("A", START + SECOND));
    pair.late("A", START + SECOND, START + SECOND - 1, 7.0);
    assert!(pair.lacks("A", START + SECOND), "what would be the oldest finds no room");
    pair.trades("A", START + SECOND, 100, 0);
    pair.event("A", START + SECOND + 1, trade(9.0));
    pair.late("A", START + SECOND + 1, START + SECOND, 7.0);
    assert!(pair.lacks("A", START + 61 * SECOND - 1));
    pair.event("A", START + 61 * SECOND, QUOTE);
    assert!(!pair.lacks("A", START + 61 * SECOND), "they have left, and p(now - 10 s) is known");
}

/// A trade is given up, then room is found for one that is older: that one must not answer for p(now - 10 s).
#[test]
fn a_late_trade_older_than_one_given_up() {
    let mut pair = Pair::new(settings(2, 1));
    pair.trades("B", START - 4_500 * MILLISECOND, CHUNK + 1, 1);
    pair.event("A", START, trade(50.0));
    pair.trades("A", START + 55 * SECOND, CHUNK, MILLISECOND);
    // B's trades leave, and the shared chunk is there again.
    pair.event("B", START + 56 * SECOND, QUOTE);
    assert_eq!(pair.twin.shared_left, 1);
    pair.late("A", START + 56 * SECOND, START - SECOND, 200.0);
    assert!(pair.lacks("A", START + 60 * SECOND + MILLISECOND), "the trade of START would be p(now - 10 s)");
}

/// Room that a symbol holds when it falls silent is there for the others once its window is over, with features or
/// without.
#[test]
fn chunks_of_a_silent_symbol() {
    for publish_interval in [None, Some(SECOND / 10)] {
        let mut pair = Pair::new(Settings { publish_interval, ..settings(3, 5_000) });
        pair.trades("A", START, 6_000, MILLISECOND);
        assert!(pair.lacks("A", START + 6 * SECOND) && pair.twin.shared_left == 0);
        let after = START + 70 * SECOND;
        pair.trades("B", after, 2_000, 10 * MILLISECOND);
        assert!(!pair.lacks("B", after + 20 * SECOND), "A has left it what it needs");
        // What A still knows is its newest trade.
        assert!(!pair.lacks("A", after + 20 * SECOND));
        pair.event("A", after + 20 * SECOND, trade(1.0));
        assert!(!pair.lacks("A", after + 20 * SECOND));
    }
}

/// Of those chunks' trades an event that sets `now` back may have been in need: that is said.
#[test]
fn a_silent_symbol_whose_past_comes_back() {
    let mut pair = Pair::new(settings(2, 62));
    pair.trades("A", START, 3 * CHUNK, MILLISECOND);
    // One event ends the round in which symbols are asked, the next begins another.
    pair.event("B", START + 70 * SECOND, QUOTE);
    pair.event("B", START + 70 * SECOND, QUOTE);
    assert!(!pair.lacks("A", START + 70 * SECOND) && pair.twin.shared_left == 2);
    // It was not silent: this was long on its way.
    pair.late("A", START + 71 * SECOND, START + SECOND, 7.0);
    assert!(pair.lacks("A", START + 71 * SECOND));
}

/// Likewise for the bucket rows of latencies.
#[test]
fn rows_of_a_silent_symbol() {
    for publish_interval in [None, Some(SECOND / 10)] {
        let mut pair = Pair::new(Settings { publish_interval, rows_spare: 0, ..settings(2, 1_000) });
        for index in 0..400 {
            let latency = 8 << (index % 40);
            pair.take(&event_at(START + index, "A", QUOTE, if index % 80 < 40 { latency } else { -latency }));
        }
        assert!(pair.lacks("A", START + SECOND) && pair.twin.rows_left == 0);
        let after = START + 70 * SECOND;
        for index in 0..400 {
            pair.take(&event_at(after + index, "B", QUOTE, 3 * MILLISECOND));
        }
        assert!(!pair.lacks("B", after + SECOND), "A has left it what it needs");
    }
}
