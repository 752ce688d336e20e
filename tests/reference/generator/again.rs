//! Trades that are told once more, as they were or with something about them changed.

use super::Market;
use super::names::{PRICE, SIZE, TRADE_ID, TS_RECV, provider};

/// A trade's numbers as they are written; what two messages of it have in common.
#[derive(Clone)]
pub(super) struct Told {
    pub symbol: usize,
    pub provider: Option<&'static str>,
    pub id: String,
    pub price: String,
    pub size: String,
    pub exchange: Option<String>,
}

/// So many are remembered, more than tests let the engine remember.
const TOLD_MAX: usize = 12;

impl Market {
    pub(super) fn remember(&mut self, told: Told) {
        if self.told.len() == TOLD_MAX {
            self.told.remove(0);
        }
        self.told.push(told);
    }

    /// The id of the trade in the making: mostly digits.
    pub(super) fn trade_id(&mut self) -> String {
        match self.random.draw() % 40 {
            0 => format!("T\"{}\"/\u{e9}\\\u{1f40b}", self.trade_id),
            1 => format!("{} ", self.trade_id),
            2 => String::new(),
            _ => self.trade_id.to_string(),
        }
    }

    /// As a number or as text, in one of the spellings of each.
    pub(super) fn id(&mut self, id: &str) -> String {
        let is_digits = !id.is_empty() && id.chars().all(|c| c.is_ascii_digit());
        if is_digits && self.random.chance(500) { id.to_owned() } else { self.string(id) }
    }

    /// Writes the fields of a trade that was told; says for which symbol.
    pub(super) fn tell_again(&mut self) -> usize {
        let at = self.random.below(self.told.len() as i64) as usize;
        let mut told = self.told[at].clone();
        let another = self.told[self.random.below(self.told.len() as i64) as usize].clone();
        let mut is_named = true;
        match self.random.draw() % 20 {
            0 => told.symbol = another.symbol,
            1 => told.provider = Some(provider(self.random.below(self.profile.providers as i64) as usize).0),
            2 => told.provider = None,
            3 => told.id = another.id,
            4 => told.price = another.price,
            5 => told.size = another.size,
            6 => told.exchange = another.exchange,
            7 => told.exchange = None,
            8 => told.id += ".0",
            9 => is_named = false,
            // The same trade in another spelling.
            10 => told.price = format!("\"{}\"", told.price.trim_matches('"')),
            11 => told.size = format!("\" {}\"", told.size.trim_matches('"')),
            _ => {}
        }
        let id = self.id(&told.id);
        self.field(&PRICE, told.price.clone());
        self.field(&SIZE, told.size.clone());
        match is_named {
            true => self.field(&TRADE_ID, id),
            false => self.plain("trade_id", "null"),
        }
        if let Some(name) = told.provider {
            self.provider(name);
        }
        if let Some(exchange) = &told.exchange {
            self.plain("ts_exchange", exchange);
        }
        if !self.random.chance(self.profile.without_ts_recv) {
            let moment = self.clock - self.random.between(0, 3_000_000);
            let text = self.timestamp(moment);
            self.field(&TS_RECV, text);
        }
        let symbol = told.symbol;
        // What is told once more may be told a third time.
        if is_named {
            self.remember(told);
        }
        symbol
    }
}
