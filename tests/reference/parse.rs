//! A subject and a payload in, an event out, by the tolerant rules of SPEC section 1.

use super::json::{self, BLANKS, Value};
use super::{SECOND, time};

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
    /// A time was there, and could not be read under any of its names.
    pub timestamps_unreadable: bool,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Trade {
        price: f64,
        size: f64,
        side: &'static str,
        trade_id: Option<String>,
    },
    /// No bid: nobody bids.
    Quote {
        bid: Option<f64>,
        ask: Option<f64>,
        bid_size: Option<f64>,
        ask_size: Option<f64>,
    },
    /// (price, size), best first, none of size 0.
    Book {
        bids: Vec<(f64, f64)>,
        asks: Vec<(f64, f64)>,
    },
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
    let fields = json::parse(std::str::from_utf8(payload).ok()?)?;
    if !matches!(fields, Value::Object(_)) {
        return None;
    }
    let body = match kind {
        Kind::Trade => trade(&fields)?,
        Kind::Quote => quote(&fields)?,
        Kind::Book => book(&fields)?,
        Kind::Heartbeat => Body::Heartbeat,
    };
    let named_t = kind == Kind::Trade && fields.get("e").and_then(Value::as_text) == Some("trade");
    let sent = ["ts_exchange", "exchange_ts", "ts_event", "timestamp", "ts", "time", "T", "E", "t"];
    // `t` is the trade's number there.
    let sent = sent.iter().filter(|name| !(named_t && **name == "t")).map(|name| fields.get(name));
    let sent = sent.chain([fields.get("hd").and_then(|hd| hd.get("ts_event"))]);
    let received = [
        "ts_recv",
        "recv_ts",
        "ts_receive",
        "received_at",
        "receipt_timestamp",
        "local_timestamp",
        "localTimestamp",
        "ts_init",
    ];
    let (ts_exchange, no_exchange) = moment(sent.flatten());
    let (ts_recv, no_recv) = moment(received.iter().filter_map(|name| fields.get(name)));
    Some(Event {
        provider: provider(&fields).unwrap_or("unknown").to_owned(),
        ts_exchange,
        ts_recv,
        timestamps_unreadable: no_exchange || no_recv,
        body,
    })
}

/// What the first name says that can be read.
fn first<T>(fields: &Value, names: &[&str], read: impl Fn(&Value) -> Option<T>) -> Option<T> {
    names.iter().filter_map(|name| fields.get(name)).find_map(read)
}

fn provider(fields: &Value) -> Option<&str> {
    let is_name = |text: &&str| text.len() >= 3 && text.chars().any(char::is_alphabetic);
    let any = fields.get("provider").and_then(Value::as_text);
    let others = ["exchange", "venue", "source"].iter().filter_map(|name| fields.get(name)?.as_text()).find(is_name);
    any.or(others)
}

fn trade(fields: &Value) -> Option<Body> {
    let price = first(fields, &["price", "p", "px"], price)?;
    let size_before_ticker = first(fields, &["size", "qty", "quantity", "amount", "sz", "v"], size);
    let size_beside_ticker = fields.get("s").filter(|value| matches!(value, Value::Number(_))).and_then(size);
    let size = size_before_ticker.or(size_beside_ticker).or_else(|| first(fields, &["q", "volume"], size))?;
    let is_acceptable = is_no_fixed_point(fields, &price) && size > 0.0;
    is_acceptable.then(|| Body::Trade {
        price: price.value,
        size,
        side: side(fields).unwrap_or("unknown"),
        trade_id: trade_id(fields),
    })
}

fn side(fields: &Value) -> Option<&'static str> {
    let word = |value: &Value| match value.as_text()?.to_ascii_lowercase().as_str() {
        "buy" | "buyer" | "b" | "bid" => Some("buy"),
        "sell" | "seller" | "s" | "a" | "ask" => Some("sell"),
        _ => None,
    };
    let ticker_or_word = |value: &Value| match value.as_text()? {
        "Buy" => Some("buy"),
        "Sell" => Some("sell"),
        _ => None,
    };
    let buyer_made = |value: &Value| match value {
        Value::Bool(true) => Some("sell"),
        Value::Bool(false) => Some("buy"),
        _ => None,
    };
    let other = |side: &'static str| if side == "buy" { "sell" } else { "buy" };
    first(fields, &["side", "aggressor_side", "aggressor", "taker_side"], word)
        .or_else(|| first(fields, &["S"], ticker_or_word))
        .or_else(|| first(fields, &["maker_side", "makerSide"], word).map(other))
        .or_else(|| first(fields, &["is_buyer_maker", "m"], buyer_made))
}

fn trade_id(fields: &Value) -> Option<String> {
    let id = |value: &Value| match value {
        Value::Text(text) | Value::Number(text) => Some(text.clone()),
        _ => None,
    };
    let of_binance = match fields.get("e").and_then(Value::as_text) {
        Some("trade") => &["t"],
        Some("aggTrade") => &["a"],
        _ => &[] as &[&str],
    };
    first(fields, &[&["trade_id", "tradeId", "id", "tid", "i"], of_binance].concat(), id)
}

/// A side of a quote.
enum Best {
    NotNamed,
    /// Nobody bids, or asks.
    Nobody,
    Price(Price),
    Unreadable,
}

fn quote(fields: &Value) -> Option<Body> {
    let bid =
        best(fields, &["bid", "bid_price", "bidPrice", "best_bid", "best_bid_price", "bidPx", "bid_px", "bp", "b"]);
    let ask =
        best(fields, &["ask", "ask_price", "askPrice", "best_ask", "best_ask_price", "askPx", "ask_px", "ap", "a"]);
    if matches!((&bid, &ask), (Best::NotNamed, Best::NotNamed)) {
        return None;
    }
    let price_of = |best| match best {
        Best::NotNamed | Best::Nobody => Some(None),
        Best::Price(price) => is_no_fixed_point(fields, &price).then_some(Some(price.value)),
        Best::Unreadable => None,
    };
    let (bid, ask) = (price_of(bid)?, price_of(ask)?);
    let bid_sizes = [
        "bid_size",
        "bid_qty",
        "bidSize",
        "bidQty",
        "bidVolume",
        "bidAmount",
        "bid_amount",
        "bidSz",
        "bid_sz",
        "best_bid_size",
        "best_bid_quantity",
        "bs",
        "B",
    ];
    let ask_sizes = [
        "ask_size",
        "ask_qty",
        "askSize",
        "askQty",
        "askVolume",
        "askAmount",
        "ask_amount",
        "askSz",
        "ask_sz",
        "best_ask_size",
        "best_ask_quantity",
        "as",
        "A",
    ];
    Some(Body::Quote {
        bid,
        ask,
        bid_size: bid.and(first(fields, &bid_sizes, size)),
        ask_size: ask.and(first(fields, &ask_sizes, size)),
    })
}

fn best(fields: &Value, names: &[&str]) -> Best {
    let values: Vec<&Value> = names.iter().filter_map(|name| fields.get(name)).collect();
    for value in &values {
        if number(value) == Some(0.0) {
            return Best::Nobody;
        }
        if let Some(price) = price(value) {
            return Best::Price(price);
        }
    }
    let is_nothing = |value: &&Value| **value == Value::Null || **value == Value::Text(String::new());
    match values.iter().all(is_nothing) {
        true if values.is_empty() => Best::NotNamed,
        true => Best::Nobody,
        false => Best::Unreadable,
    }
}

fn book(fields: &Value) -> Option<Body> {
    let word = |name| fields.get(name).and_then(Value::as_text);
    let said_by_type = |name| matches!(word(name), Some("delta" | "update" | "l2update"));
    let no_snapshot = |name| fields.get(name) == Some(&Value::Bool(false));
    let is_update = word("e") == Some("depthUpdate")
        || said_by_type("type")
        || said_by_type("action")
        || no_snapshot("isSnapshot")
        || no_snapshot("is_snapshot")
        || (word("T") == Some("o") && fields.get("r") != Some(&Value::Bool(true)));
    if is_update {
        return None;
    }
    let side = |names: &[&str]| {
        let inside = fields.get("book").into_iter().flat_map(|book| names.iter().filter_map(|name| book.get(name)));
        let mut values = names.iter().filter_map(|name| fields.get(name)).chain(inside);
        let values = values.find(|value| matches!(value, Value::Array(_) | Value::Object(_)))?;
        let levels = levels(values)?;
        let is_readable = levels.iter().all(|(price, _)| is_no_fixed_point(fields, price));
        let levels = levels.iter().filter(|(_, size)| *size > 0.0).map(|(price, size)| (price.value, *size));
        is_readable.then(|| levels.collect::<Vec<_>>())
    };
    let (mut bids, mut asks) = (side(&["bids", "bid", "b"])?, side(&["asks", "ask", "a"])?);
    bids.sort_by(|one, other| other.0.total_cmp(&one.0));
    asks.sort_by(|one, other| one.0.total_cmp(&other.0));
    Some(Body::Book { bids, asks })
}

fn levels(side: &Value) -> Option<Vec<(Price, f64)>> {
    match side {
        Value::Array(levels) => levels.iter().map(level).collect(),
        Value::Object(levels) => {
            let level = |(key, value): &(String, Value)| Some((price(&Value::Text(key.clone()))?, size(value)?));
            levels.iter().map(level).collect()
        }
        _ => None,
    }
}

/// `[price, size, …]` or `{"price":…, "size":…}`.
fn level(value: &Value) -> Option<(Price, f64)> {
    match value {
        Value::Array(parts) => Some((price(parts.first()?)?, size(parts.get(1)?)?)),
        Value::Object(_) => Some((
            first(value, &["price", "px", "p"], price)?,
            first(value, &["size", "amount", "qty", "quantity", "sz", "s"], size)?,
        )),
        _ => None,
    }
}

/// What the first can be read as, and whether there were some but none that can. A null says that there is no time.
fn moment<'a>(values: impl Iterator<Item = &'a Value>) -> (Option<i64>, bool) {
    let values: Vec<&Value> = values.filter(|value| **value != Value::Null).collect();
    let moment = values.iter().find_map(|value| timestamp(value));
    (moment, moment.is_none() && !values.is_empty())
}

/// A time from 2000 to 2100.
pub fn timestamp(value: &Value) -> Option<i64> {
    let years = 946_684_800 * SECOND..4_133_980_800 * SECOND;
    any_timestamp(value).filter(|ns| years.contains(ns))
}

/// A string of RFC 3339, or a number or numeric string of epoch s, ms, µs or ns.
pub fn any_timestamp(value: &Value) -> Option<i64> {
    match value {
        Value::Text(text) => {
            let text = text.trim_matches(BLANKS);
            time::parse_rfc3339(text).or_else(|| time::parse_epoch(text))
        }
        Value::Number(text) => time::parse_epoch(text),
        _ => None,
    }
}

/// A number, or a string that is one, blanks around it.
fn number_text(value: &Value) -> Option<&str> {
    match value {
        Value::Number(text) => Some(text),
        Value::Text(text) => Some(text.trim_matches(BLANKS)).filter(|text| json::is_number(text)),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    number_text(value)?.parse().ok()
}

#[derive(Clone, Copy)]
struct Price {
    value: f64,
    has_point: bool,
}

fn price(value: &Value) -> Option<Price> {
    let has_point = number_text(value)?.contains('.');
    number(value).filter(|price| *price > 0.0 && *price < 1e15).map(|value| Price { value, has_point })
}

fn size(value: &Value) -> Option<f64> {
    number(value).filter(|size| *size >= 0.0 && *size < 1e18)
}

/// In a raw Databento record a price without a point is an integer of billionths.
fn is_no_fixed_point(fields: &Value, price: &Price) -> bool {
    price.has_point || !matches!(fields.get("hd"), Some(Value::Object(_)))
}
