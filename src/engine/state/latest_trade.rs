//! The latest trade of a symbol, as it is shown.

use serde_json::value::RawValue;

use crate::engine::bounds::TRADE_ID_BYTES_MAX;
use crate::engine::input::event::{Side, Trade};

#[derive(Clone, Copy, Debug)]
pub struct LatestTrade {
    pub price: f64,
    pub size: f64,
    pub side: Side,
    trade_id: [u8; TRADE_ID_BYTES_MAX],
    trade_id_len: u8,
}

impl LatestTrade {
    pub fn new(trade: &Trade<'_>) -> Self {
        let kept = if trade.trade_id.len() <= TRADE_ID_BYTES_MAX { trade.trade_id } else { b"" };
        let mut trade_id = [0; TRADE_ID_BYTES_MAX];
        trade_id[..kept.len()].copy_from_slice(kept);
        LatestTrade { price: trade.price, size: trade.size, side: trade.side, trade_id, trade_id_len: kept.len() as u8 }
    }

    /// The id's JSON token; `null` when there was none, one too long to keep, or one that the decoder let pass though
    /// JSON has no such token (a padded number, a raw control character).
    pub fn trade_id(&self) -> &[u8] {
        let token = &self.trade_id[..self.trade_id_len as usize];
        if serde_json::from_slice::<&RawValue>(token).is_ok() { token } else { b"null" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trade_id_is_a_json_token() {
        let check = |trade_id: &str, expected: &str| {
            let trade = Trade { price: 1.0, size: 1.0, side: Side::Buy, trade_id: trade_id.as_bytes() };
            assert_eq!(LatestTrade::new(&trade).trade_id(), expected.as_bytes(), "{trade_id}");
        };
        check("", "null");
        check("7", "7");
        check("123456789012345678901234567890", "123456789012345678901234567890");
        check(r#""a\"\u0041""#, r#""a\"\u0041""#);
        check(&format!("\"{}\"", "x".repeat(46)), &format!("\"{}\"", "x".repeat(46)));
        check(&format!("\"{}\"", "x".repeat(47)), "null");
        check("007", "null");
        check("\"a\nb\"", "null");
    }
}
