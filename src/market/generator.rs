//! A generated market: trades, quotes, books and heartbeats as market-data-service publishes them.
//!
//! ```text
//!   price_levels: move ──► level of an asset ──► listing: symbol at a provider ──► payload: event in order of ts_recv
//! ```
//!
//! Levels wander by a few basis points in ten seconds; now and then a family of them moves by more than half a percent
//! within seconds, with more and larger trades on one side, which is what the signal rules look for. The first such move
//! starts 11 to 13 s after the start (`return_10s` needs ten), the second goes the other way.
//!
//! The same seed and number of symbols give the same bytes for the same start: no clock, no randomness but splitmix64,
//! prices and sizes as integers, and no function whose last bit differs between machines.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::engine::random::Random;
use crate::engine::time::{NANOS_PER_SECOND, UnixNanos};
use crate::market::listing::{LISTINGS, Listing, START_LEVELS, made_up};
use crate::market::payload::{Direction, Moment, write_heartbeat};
use crate::market::price_levels::PriceLevels;

const HEARTBEAT_INTERVAL: i64 = NANOS_PER_SECOND;
const HEARTBEATS: [(&str, &str); 2] = [("__system__", "market-data-service"), ("coinbase", "coinbase")];
/// Of the events that are no books.
const TRADE_SHARE: f64 = 0.35;
/// All busy listings have had an event by then, and a quiet one within its usual gap.
const START_SECONDS: f64 = 0.05;

/// What comes next at a place of the schedule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    TradeOrQuote(usize),
    Book(usize),
    Heartbeat(usize),
}

/// The market from its start on.
pub struct Market {
    random: Random,
    listings: Vec<Listing>,
    levels: PriceLevels,
    /// The next event of each place: its time, the place (of equal times the first goes first) and what it is.
    schedule: BinaryHeap<Reverse<(i64, usize, Due)>>,
    subjects: Subjects,
    last_trade_id: u64,
    heartbeat_count: u64,
}

/// An event's time and place; the payload is in the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarketEvent<'a> {
    /// ns from the start to its receipt by market-data-service, and so its publication. Never less than the last.
    pub offset: i64,
    /// With its type and symbol.
    pub subject: &'a str,
}

/// Every subject there is, made once.
struct Subjects {
    trades: Vec<String>,
    quotes: Vec<String>,
    books: Vec<String>,
    heartbeats: Vec<String>,
}

impl Market {
    /// The demo's five symbols. `subject_prefix` is `md.events`, or what the settings say.
    pub fn new(seed: u64, subject_prefix: &str) -> Market {
        Market::with_symbols(seed, subject_prefix, LISTINGS.len())
    }

    /// As [`new`](Self::new), with the first `symbol_count` symbols: the demo's, and beyond them made-up ones, each quieter
    /// than the one before it.
    pub fn with_symbols(seed: u64, subject_prefix: &str, symbol_count: usize) -> Market {
        let mut start_levels = START_LEVELS.to_vec();
        let mut listings: Vec<Listing> = LISTINGS.iter().take(symbol_count).cloned().collect();
        for (listing, level) in (LISTINGS.len()..symbol_count).map(made_up) {
            listings.push(listing);
            start_levels.push(level);
        }
        let mut random = Random::new(seed);
        let mut schedule = BinaryHeap::new();
        let mut place = 0..;
        let mut push = |at: f64, due| schedule.push(Reverse((at as i64, place.next().expect("no end"), due)));
        for (index, listing) in listings.iter().enumerate() {
            let first = START_SECONDS.max(1.0 / listing.events_per_second);
            push(random.fraction() * first * NANOS_PER_SECOND as f64, Due::TradeOrQuote(index));
            push(random.fraction() * (listing.book_interval_seconds() * NANOS_PER_SECOND as f64), Due::Book(index));
        }
        for index in 0..HEARTBEATS.len() {
            push(0.0, Due::Heartbeat(index));
        }
        let of_listings =
            |kind: &str| listings.iter().map(|l| format!("{subject_prefix}.{kind}.{}", l.symbol)).collect();
        let subjects = Subjects {
            trades: of_listings("trade"),
            quotes: of_listings("quote"),
            books: of_listings("book_l2"),
            heartbeats: HEARTBEATS.iter().map(|(name, _)| format!("{subject_prefix}.heartbeat.{name}")).collect(),
        };
        let family_count = listings.len().min(START_LEVELS.len());
        let levels = PriceLevels::new(start_levels.into_iter(), family_count, &mut random);
        let (last_trade_id, heartbeat_count) = (4_000_000_000, 0);
        Market { random, listings, levels, schedule, subjects, last_trade_id, heartbeat_count }
    }

    /// The demo's symbols, the busiest first.
    pub fn symbols() -> impl Iterator<Item = &'static str> {
        LISTINGS.iter().map(|listing| &*listing.symbol)
    }

    /// The next event; `payload` is overwritten with its JSON. Its timestamps are those of a market that began at `start`.
    pub fn next_event(&mut self, start: UnixNanos, payload: &mut Vec<u8>) -> MarketEvent<'_> {
        let Reverse((offset, place, due)) = self.schedule.pop().expect("each place has a next event");
        let now = start.plus(offset);
        payload.clear();
        let (interval, subject) = match due {
            Due::TradeOrQuote(index) => {
                let going = self.levels.advance(self.listings[index].asset, offset, &mut self.random);
                let is_trade = self.random.fraction() < TRADE_SHARE;
                let subject = match is_trade {
                    true => {
                        self.last_trade_id += 1;
                        let trade_id = self.last_trade_id;
                        self.moment(index, now, going).write_trade(trade_id, payload);
                        &self.subjects.trades[index]
                    }
                    false => {
                        self.moment(index, now, going).write_quote(payload);
                        &self.subjects.quotes[index]
                    }
                };
                // A third of the gaps is the mean of a square: many short ones, bursts, and a few long ones.
                let busy = if going.is_some() { 3.0 } else { 1.0 };
                let fraction = self.random.fraction();
                let gap = 3.0 * (fraction * fraction) / (self.listings[index].events_per_second * busy);
                ((gap * NANOS_PER_SECOND as f64) as i64, subject)
            }
            Due::Book(index) => {
                self.levels.advance(self.listings[index].asset, offset, &mut self.random);
                self.moment(index, now, None).write_book(payload);
                (
                    (self.listings[index].book_interval_seconds() * NANOS_PER_SECOND as f64) as i64,
                    &self.subjects.books[index],
                )
            }
            Due::Heartbeat(index) => {
                self.heartbeat_count += 1;
                write_heartbeat(HEARTBEATS[index].1, now, self.heartbeat_count, payload);
                (HEARTBEAT_INTERVAL, &self.subjects.heartbeats[index])
            }
        };
        self.schedule.push(Reverse((offset + interval, place, due)));
        MarketEvent { offset, subject }
    }

    fn moment(&mut self, index: usize, ts_recv: UnixNanos, going: Option<Direction>) -> Moment<'_> {
        let listing = &self.listings[index];
        Moment { listing, level: self.levels.level(listing.asset), going, ts_recv, random: &mut self.random }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::counters::OutputKind;
    use crate::engine::engine::Engine;
    use crate::engine::receipt::Receipt;
    use crate::engine::settings::EngineSettings;
    use std::collections::BTreeMap;

    const START: UnixNanos = UnixNanos(1_721_347_022_605_624_000);

    fn lines(seed: u64, count: usize) -> Vec<(i64, String, String)> {
        let mut market = Market::new(seed, "md.events");
        let mut payload = Vec::new();
        let mut next = |_| {
            let event = market.next_event(START, &mut payload);
            let (offset, subject) = (event.offset, event.subject.to_owned());
            (offset, subject, String::from_utf8(payload.clone()).unwrap())
        };
        (0..count).map(&mut next).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(lines(1, 5_000), lines(1, 5_000));
        assert_ne!(lines(1, 100), lines(2, 100));
    }

    #[test]
    fn events_are_in_order_and_of_every_kind_at_a_believable_rate() {
        let mut counts = BTreeMap::new();
        let mut last = 0;
        let mut event_count = 0;
        for (offset, subject, payload) in
            lines(3, 100_000).into_iter().take_while(|(offset, ..)| *offset < 60 * NANOS_PER_SECOND)
        {
            assert!(offset >= last);
            last = offset;
            event_count += 1;
            let value: serde_json::Value = serde_json::from_str(&payload).unwrap_or_else(|e| panic!("{payload}: {e}"));
            let ts_recv = crate::engine::time::decode_time_text(value["ts_recv"].as_str().unwrap().as_bytes());
            assert_eq!(ts_recv.unwrap().0 / 1000, START.plus(offset).0 / 1000);
            *counts.entry(subject).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 3 * LISTINGS.len() + HEARTBEATS.len(), "{counts:?}");
        assert!((60 * 250..60 * 700).contains(&event_count), "{event_count} in a minute");
        assert_eq!(counts["md.events.heartbeat.__system__"], 60);
    }

    /// Times of the signals, by direction.
    fn signals(seed: u64, seconds: i64) -> BTreeMap<String, Vec<f64>> {
        let mut engine = Engine::new(EngineSettings { symbols_max: 16, window_trades: 200_000, ..Default::default() })
            .expect("there is memory");
        let mut market = Market::new(seed, "md.events");
        let mut payload = Vec::new();
        let mut signals: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        loop {
            let MarketEvent { offset, subject } = market.next_event(START, &mut payload);
            if offset > seconds * NANOS_PER_SECOND {
                return signals;
            }
            let handled = engine.handle_event(subject.as_bytes(), &payload, Receipt::At(START.plus(offset)));
            assert_eq!(handled, Ok(()), "{subject} {}", payload.escape_ascii());
            while let Some(message) = engine.poll_output() {
                if message.topic.kind() == OutputKind::Signal {
                    let signal: serde_json::Value = serde_json::from_slice(message.payload).unwrap();
                    let direction = signal["direction"].as_str().unwrap().to_owned();
                    signals.entry(direction).or_default().push(offset as f64 / NANOS_PER_SECOND as f64);
                }
            }
        }
    }

    #[test]
    fn both_signals_occur_within_the_first_minute_and_neither_all_the_time() {
        for seed in 0..20 {
            let signals = signals(seed, 60);
            let first = signals.values().flatten().copied().fold(f64::MAX, f64::min);
            assert_eq!(signals.len(), 2, "seed {seed}: {signals:?}");
            assert!((11.0..20.0).contains(&first), "seed {seed}: {signals:?}");
            assert!(signals.values().map(Vec::len).sum::<usize>() < 30, "seed {seed}: {signals:?}");
        }
    }

    #[test]
    fn prices_stay_believable_for_an_hour() {
        let mut market = Market::new(5, "md.events");
        let mut payload = Vec::new();
        while market.next_event(START, &mut payload).offset < 3_600 * NANOS_PER_SECOND {
            for distance in market.levels.distances() {
                assert!(distance.abs() < 0.05, "{distance}");
            }
        }
    }
}
