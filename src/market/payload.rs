//! A listing's events as the JSON that market-data-service publishes.

use crate::engine::random::Random;
use crate::engine::time::{NANOS_PER_MILLI, UnixNanos, encode_time};
use crate::market::listing::{Listing, POWERS};

const BOOK_LEVELS: usize = 10;
/// How often one side is hit while the level moves its way.
const MOVE_SIDE_SHARE: f64 = 0.85;

/// Where a level moves fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

/// A listing at a moment: what its events are made of.
pub(super) struct Moment<'a> {
    pub listing: &'a Listing,
    /// The price level of its asset.
    pub level: f64,
    /// The fast move that it is in.
    pub going: Option<Direction>,
    pub ts_recv: UnixNanos,
    pub random: &'a mut Random,
}

impl Moment<'_> {
    /// Appends a trade at the best price of the side that is hit.
    pub fn write_trade(mut self, trade_id: u64, payload: &mut Vec<u8>) {
        let (bid, ask) = self.best();
        let buy_share = match self.going {
            None => 0.5,
            Some(Direction::Up) => MOVE_SIDE_SHARE,
            Some(Direction::Down) => 1.0 - MOVE_SIDE_SHARE,
        };
        let is_buy = self.random.fraction() < buy_share;
        let size = self.size(if self.going.is_some() { 2.0 } else { 1.0 });
        self.begin("trade", payload)
            .decimal("price", if is_buy { ask } else { bid }, self.listing.price_decimals)
            .decimal("size", size, self.listing.size_decimals)
            .text("side", if is_buy { b"buy" } else { b"sell" })
            .text("trade_id", itoa::Buffer::new().format(trade_id).as_bytes())
            .end();
    }

    /// Appends the best bid and ask with their sizes.
    pub fn write_quote(mut self, payload: &mut Vec<u8>) {
        let (bid, ask) = self.best();
        // The side that is being taken has little left.
        let bid_size = self.size(if self.going == Some(Direction::Down) { 5.0 } else { 40.0 });
        let ask_size = self.size(if self.going == Some(Direction::Up) { 5.0 } else { 40.0 });
        self.begin("quote", payload)
            .decimal("bid", bid, self.listing.price_decimals)
            .decimal("bid_size", bid_size, self.listing.size_decimals)
            .decimal("ask", ask, self.listing.price_decimals)
            .decimal("ask_size", ask_size, self.listing.size_decimals)
            .end();
    }

    /// Appends a book of [`BOOK_LEVELS`] levels a side.
    pub fn write_book(mut self, payload: &mut Vec<u8>) {
        let (bid, ask) = self.best();
        let mut side = |best: i64, step: i64| -> [(i64, i64); BOOK_LEVELS] {
            let mut price = best;
            std::array::from_fn(|_| {
                let level = (price, self.size(20.0));
                price += step * (1 + self.random.below(self.listing.spread_ticks) as i64);
                level
            })
        };
        let (bids, asks) = (side(bid, -1), side(ask, 1));
        self.begin("book_l2", payload).levels("bids", &bids, self.listing).levels("asks", &asks, self.listing).end();
    }

    /// Best bid and ask in ticks.
    fn best(&mut self) -> (i64, i64) {
        let bid = (self.level * POWERS[self.listing.price_decimals as usize]) as i64;
        (bid, bid + 1 + self.random.below(self.listing.spread_ticks) as i64)
    }

    fn size(&mut self, factor: f64) -> i64 {
        // The mean of a cube is a quarter: most are small, a few are large.
        let fraction = self.random.fraction();
        1 + (4.0 * self.listing.size_units * factor * (fraction * fraction * fraction)) as i64
    }

    /// What all of a listing's events begin with.
    fn begin<'p>(&mut self, event_type: &str, payload: &'p mut Vec<u8>) -> Json<'p> {
        // Mostly near the usual, one in a hundred far from it.
        let spike = if self.random.fraction() < 0.01 { 20.0 } else { 1.0 };
        let fraction = self.random.fraction();
        let latency_ms = self.listing.latency_ms * (0.5 + 1.5 * (fraction * fraction)) * spike;
        let ts_exchange = self.ts_recv.0 - (latency_ms * NANOS_PER_MILLI as f64) as i64;
        let ts_exchange = UnixNanos(ts_exchange - ts_exchange.rem_euclid(self.listing.exchange_resolution));
        Json::new(payload, event_type, self.listing.provider)
            .text("symbol", self.listing.symbol.as_bytes())
            .text("ts_exchange", &encode_time(ts_exchange))
            .text("ts_recv", &encode_time(self.ts_recv))
    }
}

/// Appends a provider's heartbeat; `counter` counts those of all providers.
pub(super) fn write_heartbeat(provider: &str, now: UnixNanos, counter: u64, payload: &mut Vec<u8>) {
    let time = encode_time(now);
    Json::new(payload, "heartbeat", provider)
        .text("ts_exchange", &time)
        .text("ts_recv", &time)
        .decimal("counter", counter as i64, 0)
        .end();
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
}
