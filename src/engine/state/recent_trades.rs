//! The last trades that had an id, so that one that is sent again is known (SPEC section 1, "Duplicates"): the fingerprints of
//! the last ones, in a [`RecentSet`].
//!
//! A fingerprint is a keyed 64-bit hash of symbol, provider, id, price, size and exchange time. A different trade is taken for
//! a duplicate where its fingerprint is one of those that are remembered: with the chance of their number / 2^64, for 65,536
//! of them 4e-15. Turned down: the trades themselves (ten times the memory, and what they are
//! compared by would still be hashed).

use std::hash::{BuildHasher, Hasher};

use crate::engine::input::event::Trade;
use crate::engine::input::unescape::unescape;
use crate::engine::input::words::has_byte;
use crate::engine::memory::{NoMemory, Table};
use crate::engine::state::provider::ProviderId;
use crate::engine::state::recent_set::RecentSet;
use crate::engine::time::UnixNanos;

const TRADES: Table = Table::new("the trades that are known again", "DEDUPLICATE_TRADES");
/// Longest id whose escapes are resolved before it is compared; a longer one is compared as it is spelled.
const ESCAPED_ID_BYTES_MAX: usize = 128;

/// The last trades that had an id: see the head of this file.
pub struct RecentTrades {
    fingerprints: RecentSet,
    hasher: ahash::RandomState,
}

impl RecentTrades {
    /// Remembers `trade_count_max` trades; none with 0.
    pub fn new(trade_count_max: usize) -> Result<Self, NoMemory> {
        let mut fingerprints = RecentSet::new(TRADES, trade_count_max)?;
        fingerprints.touch();
        Ok(RecentTrades { fingerprints, hasher: ahash::RandomState::new() })
    }

    /// Remembers the trade; says whether it was remembered before. One without an id, or with an empty one, never is. `symbol` is a hash of the symbol's name.
    #[inline]
    pub fn remember(
        &mut self,
        symbol: u64,
        provider: ProviderId,
        trade: &Trade<'_>,
        ts_exchange: Option<UnixNanos>,
    ) -> bool {
        if matches!(trade.trade_id, b"" | b"\"\"") || self.fingerprints.remembers_none() {
            return false;
        }
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(symbol);
        hasher.write_u64(trade.price.to_bits());
        hasher.write_u64(trade.size.to_bits());
        // Times before 1970 are not read.
        hasher.write_u64(ts_exchange.map_or(u64::MAX, |t| t.0 as u64));
        hash_id(&mut hasher, trade.trade_id);
        hasher.write_u8(provider.index() as u8);
        self.fingerprints.insert(hasher.finish())
    }
}

/// A number and its text are one id: what stands between the quotes counts, its escapes resolved.
#[inline]
fn hash_id(hasher: &mut impl Hasher, token: &[u8]) {
    let text = token.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(token);
    // The length is a part of the hash.
    if has_byte(text, b'\\') {
        let mut place = [0; ESCAPED_ID_BYTES_MAX];
        hasher.write(unescape(text, &mut place).unwrap_or(text));
    } else {
        hasher.write(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::input::event::Side;

    #[test]
    fn every_part_of_a_trade_tells_it_apart() {
        let mut trades = RecentTrades::new(100).expect("there is memory");
        let mut check = |(symbol, provider, id, price, size, ts): (u64, ProviderId, &str, f64, f64, Option<i64>),
                         known| {
            let trade = Trade { price, size, side: Side::Buy, trade_id: id.as_bytes() };
            let ts = ts.map(UnixNanos);
            assert_eq!(trades.remember(symbol, provider, &trade, ts), known, "{symbol} {id} {price} {size} {ts:?}");
        };
        const A: ProviderId = ProviderId::UNKNOWN;
        check((1, A, "7", 100.0, 2.0, Some(5)), false);
        check((1, A, "7", 100.0, 2.0, Some(5)), true);
        check((1, A, "\"7\"", 100.0, 2.0, Some(5)), true);
        check((1, A, r#""\u0037""#, 100.0, 2.0, Some(5)), true);
        check((2, A, "7", 100.0, 2.0, Some(5)), false);
        check((1, ProviderId::OTHER, "7", 100.0, 2.0, Some(5)), false);
        check((1, A, "8", 100.0, 2.0, Some(5)), false);
        check((1, A, "77", 100.0, 2.0, Some(5)), false);
        check((1, A, "7", 100.5, 2.0, Some(5)), false);
        check((1, A, "7", 100.0, 2.5, Some(5)), false);
        check((1, A, "7", 100.0, 2.0, Some(6)), false);
        check((1, A, "7", 100.0, 2.0, None), false);
        check((1, A, "7", 100.0, 2.0, None), true);
        check((1, A, "", 100.0, 2.0, Some(5)), false);
        check((1, A, "", 100.0, 2.0, Some(5)), false);
        let long = format!("\"{}\\n\"", "x".repeat(300));
        check((1, A, &long, 100.0, 2.0, Some(5)), false);
        check((1, A, &long, 100.0, 2.0, Some(5)), true);
    }

    #[test]
    fn without_room_nothing_is_remembered() {
        let mut trades = RecentTrades::new(0).expect("there is memory");
        let trade = Trade { price: 1.0, size: 1.0, side: Side::Buy, trade_id: b"1" };
        assert!(!trades.remember(1, ProviderId::UNKNOWN, &trade, None));
        assert!(!trades.remember(1, ProviderId::UNKNOWN, &trade, None));
        assert_eq!(RecentTrades::new(usize::MAX).err().map(|error| error.table), Some(TRADES));
    }
}
