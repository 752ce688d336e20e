//! What is traded: the demo's five listings, and made-up ones beyond them.
//!
//! | place | symbol | at | events a second |
//! |---|---|---|---|
//! | 0 to 4 | BTCUSDT, ETHUSDT, SOLUSDT, BTC-USD, ETH-USD | binance, coinbase | 110 to 30 |
//! | `n` from 5 on | ALT`n`USDT, ALT`n`-USD, ALT`n`/USD | binance, coinbase, kraken | 150 / (n + 1), at least one in 20 s |
//!
//! A listing is the same with every seed and beside however many others.

use std::borrow::Cow;

use crate::engine::random::Random;
use crate::engine::time::NANOS_PER_MILLI;

/// Between two books of a busy listing: what recorded feeds of ten levels have.
const BOOK_INTERVAL_SECONDS: f64 = 0.5;
/// Of a quiet listing's trades and quotes, so many come between two books.
const EVENTS_PER_BOOK: f64 = 10.0;
/// A made-up listing's trades and quotes fall off with its place, as those of real markets do.
const MADE_UP_RATE: f64 = 150.0;
const MADE_UP_RATE_MIN: f64 = 0.05;
/// What a trade of a made-up listing is worth, on average.
const MADE_UP_TRADE_VALUE: f64 = 500.0;

/// A symbol at a provider.
#[derive(Clone)]
pub(super) struct Listing {
    pub symbol: Cow<'static, str>,
    pub provider: &'static str,
    /// Whose price level it has: a place in the market's list.
    pub asset: usize,
    /// Prices are whole numbers of `10^-price_decimals`; that is the tick, too.
    pub price_decimals: u32,
    /// Widest usual spread.
    pub spread_ticks: u64,
    /// Sizes are whole numbers of `10^-size_decimals`, and about this many on average.
    pub size_decimals: u32,
    pub size_units: f64,
    /// Quotes and trades together.
    pub events_per_second: f64,
    /// From exchange to receipt.
    pub latency_ms: f64,
    /// Of the exchange's timestamps.
    pub exchange_resolution: i64,
}

/// Place of the asset in [`START_LEVELS`]; its family has the first move.
pub(super) const BTC: usize = 0;
const ETH: usize = 1;
const SOL: usize = 2;
/// Of the assets that the listings below share, each of which leads a family, see [`family`].
pub(super) const START_LEVELS: [f64; 3] = [64_000.0, 3_425.0, 172.0];

/// The demo's, the busiest first.
pub(super) static LISTINGS: [Listing; 5] = [
    Listing {
        symbol: Cow::Borrowed("BTCUSDT"),
        provider: "binance",
        asset: BTC,
        price_decimals: 1,
        spread_ticks: 2,
        size_decimals: 3,
        size_units: 90.0,
        events_per_second: 110.0,
        latency_ms: 6.0,
        exchange_resolution: NANOS_PER_MILLI,
    },
    Listing {
        symbol: Cow::Borrowed("ETHUSDT"),
        provider: "binance",
        asset: ETH,
        price_decimals: 2,
        spread_ticks: 2,
        size_decimals: 3,
        size_units: 900.0,
        events_per_second: 90.0,
        latency_ms: 6.0,
        exchange_resolution: NANOS_PER_MILLI,
    },
    Listing {
        symbol: Cow::Borrowed("SOLUSDT"),
        provider: "binance",
        asset: SOL,
        price_decimals: 2,
        spread_ticks: 2,
        size_decimals: 0,
        size_units: 12.0,
        events_per_second: 60.0,
        latency_ms: 7.0,
        exchange_resolution: NANOS_PER_MILLI,
    },
    Listing {
        symbol: Cow::Borrowed("BTC-USD"),
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
        symbol: Cow::Borrowed("ETH-USD"),
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

/// Assets of one family move together when one moves fast: a market's moves are seldom a single symbol's.
pub(super) fn family(asset: usize) -> usize {
    asset % START_LEVELS.len()
}

/// The listing at a place beyond the demo's, and the level at which its asset starts. The asset's place is the next one.
pub(super) fn made_up(place: usize) -> (Listing, f64) {
    let asset = START_LEVELS.len() + place - LISTINGS.len();
    let mut random = Random::new(place as u64);
    // Four to five digits, so that a tick is 0.2 to 2 basis points.
    let ticks = 5_000 + random.below(45_000);
    let price_decimals = 1 + random.below(5) as u32;
    let start_level = ticks as f64 / POWERS[price_decimals as usize];
    let size_decimals = if start_level < 50.0 { 0 } else { 3 };
    let (symbol, provider, latency_ms, exchange_resolution) = match place % 3 {
        0 => (format!("ALT{place}USDT"), "binance", 6.0, NANOS_PER_MILLI),
        1 => (format!("ALT{place}-USD"), "coinbase", 45.0, 1_000),
        _ => (format!("ALT{place}/USD"), "kraken", 30.0, 1_000),
    };
    let listing = Listing {
        symbol: Cow::Owned(symbol),
        provider,
        asset,
        price_decimals,
        spread_ticks: 3,
        size_decimals,
        size_units: MADE_UP_TRADE_VALUE / start_level * POWERS[size_decimals as usize],
        events_per_second: (MADE_UP_RATE / (place + 1) as f64).max(MADE_UP_RATE_MIN),
        latency_ms,
        exchange_resolution,
    };
    (listing, start_level)
}

/// Of ten, exactly; `powi` may differ between machines.
pub(super) const POWERS: [f64; 9] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8];

impl Listing {
    /// Between two books.
    pub fn book_interval_seconds(&self) -> f64 {
        BOOK_INTERVAL_SECONDS.max(EVENTS_PER_BOOK / self.events_per_second)
    }
}
