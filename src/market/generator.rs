//! A generated market for the demo: trades, quotes, books and heartbeats as market-data-service publishes them.
//!
//! ```text
//!   Move ──► Asset (one price level each) ──► Listing (symbol at a provider) ──► Event in order of ts_recv
//! ```
//!
//! Levels wander by a few basis points in ten seconds; now and then one moves by more than half a percent within
//! seconds, with more and larger trades on one side, which is what the signal rules look for. The first such move
//! starts 11 to 13 s after the start (`return_10s` needs ten), the second goes the other way.
//!
//! The same seed gives the same bytes for the same start: no clock, no randomness but splitmix64, prices and sizes as
//! integers, and no function whose last bit differs between machines.

use crate::engine::time::{UnixNanos, encode_time};
use crate::runtime::random::Random;

const MILLI: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MILLI;

/// Between two books of a listing: what recorded feeds of ten levels have.
const BOOK_INTERVAL: i64 = SECOND / 2;
const BOOK_LEVELS: i64 = 10;
const HEARTBEAT_INTERVAL: i64 = SECOND;
/// Of the events that are no books.
const TRADE_SHARE: f64 = 0.35;
/// How often one side is hit while the level moves its way.
const MOVE_SIDE_SHARE: f64 = 0.85;
/// Standard deviation of a level's wandering in one second: 3 bps in ten.
const WANDER_PER_SECOND: f64 = 0.000_1;
/// Beyond this a level's next move goes back, so that prices stay believable for days.
const DISTANCE_MAX: f64 = 0.02;

/// Where a price level wanders that several listings share.
struct Asset {
    level: f64,
    start_level: f64,
    at: i64,
}

/// A symbol at a provider.
struct Listing {
    symbol: &'static str,
    provider: &'static str,
    asset: usize,
    /// Prices are whole numbers of `10^-price_decimals`; that is the tick, too.
    price_decimals: u32,
    /// Widest usual spread.
    spread_ticks: u64,
    /// Sizes are whole numbers of `10^-size_decimals`, and about this many on average.
    size_decimals: u32,
    size_units: f64,
    /// Quotes and trades together.
    events_per_second: f64,
    /// From exchange to receipt.
    latency_ms: f64,
    /// Of the exchange's timestamps.
    exchange_resolution: i64,
}

const BTC: usize = 0;
const ETH: usize = 1;
const SOL: usize = 2;
const START_LEVELS: [f64; 3] = [64_000.0, 3_425.0, 172.0];

const LISTINGS: [Listing; 5] = [
    Listing {
        symbol: "BTCUSDT",
        provider: "binance",
        asset: BTC,
        price_decimals: 1,
        spread_ticks: 2,
        size_decimals: 3,
        size_units: 90.0,
        events_per_second: 110.0,
        latency_ms: 6.0,
        exchange_resolution: MILLI,
    },
    Listing {
        symbol: "ETHUSDT",
        provider: "binance",
        asset: ETH,
        price_decimals: 2,
        spread_ticks: 2,
        size_decimals: 3,
        size_units: 900.0,
        events_per_second: 90.0,
        latency_ms: 6.0,
        exchange_resolution: MILLI,
    },
    Listing {
        symbol: "SOLUSDT",
        provider: "binance",
        asset: SOL,
        price_decimals: 2,
        spread_ticks: 2,
        size_decimals: 0,
        size_units: 12.0,
        events_per_second: 60.0,
        latency_ms: 7.0,
        exchange_resolution: MILLI,
    },
    Listing {
        symbol: "BTC-USD",
        provider: "coinbase",
        asset: BTC,
        price_decimals: 2,
        spread_ticks: 40,
        size_decimals: 8,
        size_units: 7e6,
        events_per_second: 40.0,
        latency_ms: 45.0,
        exchange_resolution: 1_000,
    },
    Listing {
        symbol: "ETH-USD",
        provider: "coinbase",
        asset: ETH,
        price_decimals: 2,
        spread_ticks: 8,
        size_decimals: 8,
        size_units: 9e7,
        events_per_second: 30.0,
        latency_ms: 45.0,
        exchange_resolution: 1_000,
    },
];

const HEARTBEATS: [(&str, &str); 2] = [("__system__", "market-data-service"), ("coinbase", "coinbase")];

/// A level that goes somewhere fast.
struct Move {
    asset: usize,
    start: i64,
    end: i64,
    /// Relative to the level, from start to end.
    size: f64,
}

impl Move {
    fn is_on(&self, asset: usize, at: i64) -> bool {
        self.asset == asset && (self.start..self.end).contains(&at)
    }
}

/// What comes next at a place of the schedule.
#[derive(Clone, Copy)]
enum Due {
    TradeOrQuote(usize),
    Book(usize),
    Heartbeat(usize),
}

/// The market from its start on.
pub struct Market {
    random: Random,
    assets: [Asset; START_LEVELS.len()],
    /// The present one, or the next.
    a_move: Move,
    /// Each place with the time of its next event; ties go to the first.
    schedule: Vec<(i64, Due)>,
    subjects: Subjects,
    last_trade_id: u64,
    heartbeat_count: u64,
}

/// An event's time and place; the payload is in the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarketEvent<'a> {
    /// ns from the start to its receipt by market-data-service, and so its publication. Never less than the last.
    pub offset: i64,
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
    /// `subject_prefix` is `md.events`, or what the settings say.
    pub fn new(seed: u64, subject_prefix: &str) -> Market {
        let mut random = Random::new(seed);
        let mut schedule = Vec::new();
        for index in 0..LISTINGS.len() {
            schedule.push(((random.fraction() * 0.05 * SECOND as f64) as i64, Due::TradeOrQuote(index)));
            schedule.push(((random.fraction() * BOOK_INTERVAL as f64) as i64, Due::Book(index)));
        }
        for index in 0..HEARTBEATS.len() {
            schedule.push((0, Due::Heartbeat(index)));
        }
        let of_listings =
            |kind: &str| LISTINGS.iter().map(|l| format!("{subject_prefix}.{kind}.{}", l.symbol)).collect();
        let subjects = Subjects {
            trades: of_listings("trade"),
            quotes: of_listings("quote"),
            books: of_listings("book_l2"),
            heartbeats: HEARTBEATS.iter().map(|(name, _)| format!("{subject_prefix}.heartbeat.{name}")).collect(),
        };
        let assets = START_LEVELS.map(|level| Asset { level, start_level: level, at: 0 });
        let start = 11 * SECOND + (random.fraction() * 2.0 * SECOND as f64) as i64;
        let size = if random.fraction() < 0.5 { 0.006 } else { -0.006 };
        let a_move = Move { asset: BTC, start, end: start + 4 * SECOND, size };
        Market { random, assets, a_move, schedule, subjects, last_trade_id: 4_000_000_000, heartbeat_count: 0 }
    }

    /// The symbols that occur, the busiest first.
    pub fn symbols() -> impl Iterator<Item = &'static str> {
        LISTINGS.iter().map(|listing| listing.symbol)
    }

    /// The next event; `payload` is overwritten with its JSON. Its timestamps are those of a market that began at `start`.
    pub fn next_event(&mut self, start: UnixNanos, payload: &mut Vec<u8>) -> MarketEvent<'_> {
        let place = (0..self.schedule.len()).min_by_key(|place| self.schedule[*place].0).expect("a schedule");
        let (offset, due) = self.schedule[place];
        payload.clear();
        let (interval, subject) = match due {
            Due::TradeOrQuote(index) => {
                let listing = &LISTINGS[index];
                let going = self.settle(listing.asset, offset);
                let is_trade = self.random.fraction() < TRADE_SHARE;
                let subject = match is_trade {
                    true => {
                        self.write_trade(listing, start.plus(offset), going, payload);
                        &self.subjects.trades[index]
                    }
                    false => {
                        self.write_quote(listing, start.plus(offset), going, payload);
                        &self.subjects.quotes[index]
                    }
                };
                // A third of the gaps is the mean of a square: many short ones, bursts, and a few long ones.
                let busy = if going.is_some() { 3.0 } else { 1.0 };
                let gap = 3.0 * self.random.fraction().powi(2) / (listing.events_per_second * busy);
                ((gap * SECOND as f64) as i64, subject)
            }
            Due::Book(index) => {
                let listing = &LISTINGS[index];
                self.settle(listing.asset, offset);
                self.write_book(listing, start.plus(offset), payload);
                (BOOK_INTERVAL, &self.subjects.books[index])
            }
            Due::Heartbeat(index) => {
                let (_, provider) = HEARTBEATS[index];
                self.heartbeat_count += 1;
                let time = encode_time(start.plus(offset));
                Json::new(payload, "heartbeat", provider)
                    .text("ts_exchange", &time)
                    .text("ts_recv", &time)
                    .decimal("counter", self.heartbeat_count as i64, 0)
                    .end();
                (HEARTBEAT_INTERVAL, &self.subjects.heartbeats[index])
            }
        };
        self.schedule[place].0 = offset + interval;
        MarketEvent { offset, subject }
    }

    /// Brings a level up to `now`; says which way it moves fast, if it does.
    fn settle(&mut self, asset: usize, now: i64) -> Option<Direction> {
        if now >= self.a_move.end {
            self.plan_move(now);
        }
        let Asset { level, at, .. } = &mut self.assets[asset];
        let elapsed = (now - *at) as f64 / SECOND as f64;
        *level *= 1.0 + WANDER_PER_SECOND * elapsed.sqrt() * self.random.bell();
        let Move { start, end, size, .. } = self.a_move;
        if self.a_move.asset == asset {
            let moving = now.clamp(start, end) - (*at).clamp(start, end);
            *level *= 1.0 + size * moving as f64 / (end - start) as f64;
        }
        *at = now;
        let direction = if size > 0.0 { Direction::Up } else { Direction::Down };
        self.a_move.is_on(asset, now).then_some(direction)
    }

    /// The last one is over: another asset, some seconds later.
    fn plan_move(&mut self, now: i64) {
        // What is left of the last move for its own asset; the others have nothing of it.
        let last = self.a_move.asset;
        let Asset { level, at, .. } = &mut self.assets[last];
        let Move { start, end, size, .. } = self.a_move;
        let moving = end - (*at).clamp(start, end);
        *level *= 1.0 + size * moving as f64 / (end - start) as f64;
        *at = (*at).max(end);

        let asset = (last + 1 + self.random.below(START_LEVELS.len() as u64 - 1) as usize) % START_LEVELS.len();
        let start = now + 9 * SECOND + (self.random.fraction() * 8.0 * SECOND as f64) as i64;
        let Asset { level, start_level, .. } = self.assets[asset];
        let distance = level / start_level - 1.0;
        let goes_up = match distance.abs() > DISTANCE_MAX {
            true => distance < 0.0,
            // Turn and turn about.
            false => size < 0.0,
        };
        let extent = 0.005 + self.random.fraction() * 0.002;
        let length = 3 * SECOND + (self.random.fraction() * 2.0 * SECOND as f64) as i64;
        self.a_move = Move { asset, start, end: start + length, size: if goes_up { extent } else { -extent } };
    }

    /// Best bid and ask in ticks.
    fn best(&mut self, listing: &Listing) -> (i64, i64) {
        let ticks = self.assets[listing.asset].level * 10f64.powi(listing.price_decimals as i32);
        let bid = ticks as i64;
        (bid, bid + 1 + self.random.below(listing.spread_ticks) as i64)
    }

    fn size(&mut self, listing: &Listing, factor: f64) -> i64 {
        // The mean of a cube is a quarter: most are small, a few are large.
        1 + (4.0 * listing.size_units * factor * self.random.fraction().powi(3)) as i64
    }

    fn write_trade(&mut self, listing: &Listing, ts_recv: UnixNanos, going: Option<Direction>, payload: &mut Vec<u8>) {
        let (bid, ask) = self.best(listing);
        let buy_share = match going {
            None => 0.5,
            Some(Direction::Up) => MOVE_SIDE_SHARE,
            Some(Direction::Down) => 1.0 - MOVE_SIDE_SHARE,
        };
        let is_buy = self.random.fraction() < buy_share;
        let size = self.size(listing, if going.is_some() { 2.0 } else { 1.0 });
        self.last_trade_id += 1;
        let id = itoa::Buffer::new().format(self.last_trade_id).to_owned();
        self.begin("trade", listing, ts_recv, payload)
            .decimal("price", if is_buy { ask } else { bid }, listing.price_decimals)
            .decimal("size", size, listing.size_decimals)
            .text("side", if is_buy { b"buy" } else { b"sell" })
            .text("trade_id", id.as_bytes())
            .end();
    }

    fn write_quote(&mut self, listing: &Listing, ts_recv: UnixNanos, going: Option<Direction>, payload: &mut Vec<u8>) {
        let (bid, ask) = self.best(listing);
        // Who is on the side that is being taken has little left.
        let bid_size = self.size(listing, if going == Some(Direction::Down) { 5.0 } else { 40.0 });
        let ask_size = self.size(listing, if going == Some(Direction::Up) { 5.0 } else { 40.0 });
        self.begin("quote", listing, ts_recv, payload)
            .decimal("bid", bid, listing.price_decimals)
            .decimal("bid_size", bid_size, listing.size_decimals)
            .decimal("ask", ask, listing.price_decimals)
            .decimal("ask_size", ask_size, listing.size_decimals)
            .end();
    }

    fn write_book(&mut self, listing: &Listing, ts_recv: UnixNanos, payload: &mut Vec<u8>) {
        let (bid, ask) = self.best(listing);
        let mut side = |best: i64, step: i64| -> [(i64, i64); BOOK_LEVELS as usize] {
            let mut price = best;
            std::array::from_fn(|_| {
                let level = (price, self.size(listing, 20.0));
                price += step * (1 + self.random.below(listing.spread_ticks) as i64);
                level
            })
        };
        let (bids, asks) = (side(bid, -1), side(ask, 1));
        self.begin("book_l2", listing, ts_recv, payload)
            .levels("bids", &bids, listing)
            .levels("asks", &asks, listing)
            .end();
    }

    /// What all of a listing's events begin with.
    fn begin<'a>(
        &mut self,
        event_type: &str,
        listing: &Listing,
        ts_recv: UnixNanos,
        payload: &'a mut Vec<u8>,
    ) -> Json<'a> {
        // Mostly near the usual, one in a hundred far from it.
        let spike = if self.random.fraction() < 0.01 { 20.0 } else { 1.0 };
        let latency_ms = listing.latency_ms * (0.5 + 1.5 * self.random.fraction().powi(2)) * spike;
        let ts_exchange = ts_recv.0 - (latency_ms * MILLI as f64) as i64;
        let ts_exchange = UnixNanos(ts_exchange - ts_exchange.rem_euclid(listing.exchange_resolution));
        Json::new(payload, event_type, listing.provider)
            .text("symbol", listing.symbol.as_bytes())
            .text("ts_exchange", &encode_time(ts_exchange))
            .text("ts_recv", &encode_time(ts_recv))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// One payload, field by field; names and texts here need no escapes.
struct Json<'a>(&'a mut Vec<u8>);

impl<'a> Json<'a> {
    fn new(payload: &'a mut Vec<u8>, event_type: &str, provider: &str) -> Json<'a> {
        payload.push(b'{');
        Json(payload).text("event_type", event_type.as_bytes()).text("provider", provider.as_bytes())
    }

    fn name(&mut self, name: &str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn text(mut self, name: &str, text: &[u8]) -> Self {
        self.name(name);
        self.0.push(b'"');
        self.0.extend_from_slice(text);
        self.0.push(b'"');
        self
    }

    fn decimal(mut self, name: &str, units: i64, decimals: u32) -> Self {
        self.name(name);
        write_decimal(self.0, units, decimals);
        self
    }

    fn levels(mut self, name: &str, levels: &[(i64, i64)], listing: &Listing) -> Self {
        self.name(name);
        self.0.push(b'[');
        for (index, (price, size)) in levels.iter().enumerate() {
            self.0.extend_from_slice(if index == 0 { b"[" } else { b",[" });
            write_decimal(self.0, *price, listing.price_decimals);
            self.0.push(b',');
            write_decimal(self.0, *size, listing.size_decimals);
            self.0.push(b']');
        }
        self.0.push(b']');
        self
    }

    fn end(self) {
        self.0.push(b'}');
    }
}

/// `units * 10^-decimals`, without zeros at the end, as the recorded feeds write it.
fn write_decimal(out: &mut Vec<u8>, units: i64, decimals: u32) {
    let one = 10i64.pow(decimals);
    out.extend_from_slice(itoa::Buffer::new().format(units / one).as_bytes());
    let mut fraction = units % one;
    let mut unit = one;
    if fraction > 0 {
        out.push(b'.');
    }
    while fraction > 0 {
        unit /= 10;
        out.push(b'0' + (fraction / unit) as u8);
        fraction %= unit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::counters::OutputKind;
    use crate::engine::engine::{Engine, EngineSettings, Receipt};
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
        for (offset, subject, payload) in lines(3, 100_000).into_iter().take_while(|(offset, ..)| *offset < 60 * SECOND)
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

    #[test]
    fn decimals() {
        let check = |units, decimals, expected: &str| {
            let mut out = Vec::new();
            write_decimal(&mut out, units, decimals);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(639_439, 1, "63943.9");
        check(639_440, 1, "63944");
        check(1, 8, "0.00000001");
        check(100_000_050, 8, "1.0000005");
        check(12, 0, "12");
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
            if offset > seconds * SECOND {
                return signals;
            }
            let handled = engine.handle_event(subject.as_bytes(), &payload, Receipt::At(START.plus(offset)));
            assert_eq!(handled, Ok(()), "{subject} {}", payload.escape_ascii());
            while let Some(message) = engine.poll_output() {
                if message.kind == OutputKind::Signal {
                    let signal: serde_json::Value = serde_json::from_slice(message.payload).unwrap();
                    let direction = signal["direction"].as_str().unwrap().to_owned();
                    signals.entry(direction).or_default().push(offset as f64 / SECOND as f64);
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
        while market.next_event(START, &mut payload).offset < 3_600 * SECOND {
            for asset in &market.assets {
                assert!((asset.level / asset.start_level - 1.0).abs() < 0.05, "{} at {}", asset.level, asset.at);
            }
        }
    }
}
