//! A subject and a payload in, an event out, by the tolerant rules of SPEC section 1.

use super::{json, time};
use serde_json::{Map, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Trade,
    Quote,
    Book,
    Heartbeat,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Trade => "trade",
            Kind::Quote => "quote",
            Kind::Book => "book_l2",
            Kind::Heartbeat => "heartbeat",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub provider: String,
    pub ts_exchange: Option<i64>,
    pub ts_recv: Option<i64>,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Trade { price: f64, size: f64, side: &'static str, trade_id: Option<String> },
    Quote { bid: f64, ask: f64, bid_size: Option<f64>, ask_size: Option<f64> },
    Book { bids: Vec<(f64, f64)>, asks: Vec<(f64, f64)> },
    Heartbeat,
}

/// `md.events.{kind}.{symbol}`; the symbol is everything after the third dot. `None`: fits none of the four.
pub fn subject(subject: &str) -> Option<(Kind, &str)> {
    let (kind, symbol) = subject.strip_prefix("md.events.")?.split_once('.')?;
    let kind = match kind {
        "trade" => Kind::Trade,
        "quote" => Kind::Quote,
        "book_l2" => Kind::Book,
        "heartbeat" => Kind::Heartbeat,
        _ => return None,
    };
    (!symbol.is_empty()).then_some((kind, symbol))
}

/// Text of at most 128 bytes whose `senpai.features.{symbol}` can be published to: no empty token, no blank, no control
/// character, no wildcard.
pub fn is_symbol(symbol: &str) -> bool {
    let is_token = |token: &str| {
        !token.is_empty() && !token.contains(|c: char| c.is_whitespace() || c.is_control() || "*>".contains(c))
    };
    symbol.len() <= 128 && symbol.split('.').all(is_token)
}

/// `None`: malformed.
pub fn event(kind: Kind, payload: &[u8]) -> Option<Event> {
    // Of a field given twice, serde_json's map keeps the last value.
    let text = json::strict(std::str::from_utf8(payload).ok()?);
    let Ok(Value::Object(fields)) = serde_json::from_str(&text) else {
        return None;
    };
    let field = |names: &[&str]| first(&fields, names);

    let body = match kind {
        Kind::Trade => Body::Trade {
            price: field(&["price", "p", "px"]).and_then(price)?,
            size: field(&["size", "qty", "quantity", "amount", "volume", "q"])
                .and_then(size)
                .filter(|size| *size > 0.0)?,
            side: field(&["side"]).map_or("unknown", side),
            trade_id: field(&["trade_id", "id", "tid"]).and_then(trade_id),
        },
        Kind::Quote => Body::Quote {
            bid: field(&["bid", "bid_price", "bp"]).and_then(price)?,
            ask: field(&["ask", "ask_price", "ap"]).and_then(price)?,
            bid_size: field(&["bid_size", "bid_qty", "bs"]).and_then(size),
            ask_size: field(&["ask_size", "ask_qty", "as"]).and_then(size),
        },
        Kind::Book => Body::Book { bids: field(&["bids"]).and_then(levels)?, asks: field(&["asks"]).and_then(levels)? },
        Kind::Heartbeat => Body::Heartbeat,
    };
    Some(Event {
        provider: field(&["provider", "source", "exchange", "venue"])
            .and_then(Value::as_str)
            .unwrap_or("unknown")
            .to_owned(),
        ts_exchange: field(&["ts_exchange", "exchange_ts", "ts_event", "timestamp", "ts"]).and_then(timestamp),
        ts_recv: field(&["ts_recv", "recv_ts", "ts_receive", "received_at"]).and_then(timestamp),
        body,
    })
}

/// The canonical name comes first, then the aliases in SPEC's order. The first that is there decides, readable or not.
fn first<'a>(fields: &'a Map<String, Value>, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| fields.get(*name))
}

/// A string of RFC 3339, or a number or numeric string of epoch s, ms, µs or ns.
pub fn timestamp(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => {
            time::parse_rfc3339(text).or_else(|| time::parse_epoch(&json::number(text.trim_matches(BLANKS))?))
        }
        // Through the shortest decimal text, so that 1721347022.605 is that and not the binary fraction beside it.
        Value::Number(number) => time::parse_epoch(&number.to_string()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => json::number(text.trim_matches(BLANKS))?.parse().ok(),
        _ => None,
    }
}

const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

fn price(value: &Value) -> Option<f64> {
    number(value).filter(|price| price.is_finite() && *price > 0.0)
}

fn size(value: &Value) -> Option<f64> {
    number(value).filter(|size| size.is_finite() && *size >= 0.0)
}

fn side(value: &Value) -> &'static str {
    match value.as_str().unwrap_or("").to_ascii_lowercase().as_str() {
        "buy" | "b" => "buy",
        "sell" | "s" => "sell",
        _ => "unknown",
    }
}

fn trade_id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn levels(value: &Value) -> Option<Vec<(f64, f64)>> {
    value.as_array()?.iter().map(level).collect()
}

/// `[price, size, …]` or `{"price":…, "size":…}`.
fn level(value: &Value) -> Option<(f64, f64)> {
    let (of_price, of_size) = match value {
        Value::Array(parts) => (parts.first()?, parts.get(1)?),
        Value::Object(fields) => (fields.get("price")?, fields.get("size")?),
        _ => return None,
    };
    Some((price(of_price)?, size(of_size)?))
}
