//! Best bid and ask of a symbol, with mid and spread.

/// Best bid and ask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BestPrices {
    pub bid: f64,
    pub ask: f64,
}

impl BestPrices {
    /// `None` where a side is missing.
    #[inline]
    pub fn of(bid: Option<f64>, ask: Option<f64>) -> Option<Self> {
        Some(BestPrices { bid: bid?, ask: ask? })
    }

    /// (bid + ask) / 2.
    #[inline]
    pub fn mid(self) -> f64 {
        (self.bid + self.ask) / 2.0
    }

    /// ask - bid; negative when the market is crossed.
    #[inline]
    pub fn spread_abs(self) -> f64 {
        self.ask - self.bid
    }

    /// The spread in basis points of mid.
    #[inline]
    pub fn spread_bps(self) -> f64 {
        self.spread_abs() / self.mid() * 10_000.0
    }

    #[inline]
    pub fn is_crossed(self) -> bool {
        self.bid > self.ask
    }
}
