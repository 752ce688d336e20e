//! Trades that came before (SPEC section 1, "Duplicates"): a list of the last different ones, searched from end to end.

/// What makes two trades the same one.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// As text, its escapes resolved: a number and its text are one.
    pub trade_id: String,
    pub symbol: String,
    pub provider: String,
    pub price: f64,
    pub size: f64,
    pub ts_exchange: Option<i64>,
}

pub struct Duplicates {
    /// The oldest first.
    remembered: Vec<Told>,
    /// 0: none is looked for.
    most: usize,
}

impl Duplicates {
    pub fn new(most: usize) -> Self {
        Duplicates { remembered: Vec::new(), most }
    }

    /// Whether the trade came before; one that did not is remembered. A duplicate keeps the original's place.
    pub fn is_duplicate(&mut self, trade: Told) -> bool {
        if self.remembered.contains(&trade) {
            return true;
        }
        self.remembered.push(trade);
        if self.remembered.len() > self.most {
            self.remembered.remove(0);
        }
        false
    }
}
