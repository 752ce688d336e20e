//! Seeded streams of market data with everything that goes wrong in real ones.
//!
//! The same seed, length and profile give the same bytes. Chances are in thousandths. What the streams stay away from: texts
//! on whose reading SPEC is silent (a number over f64's range, a provider's name that is empty), and invalid JSON inside
//! unknown fields.

mod again;
mod names;
mod presence;
mod spelling;

use self::again::Told;
use self::names::{ASK, ASK_SIZE, BID, BID_SIZE, PRICE, SIZE, SYMBOLS, TRADE_ID, TS_EXCHANGE, TS_RECV, provider};
use self::presence::Presence;
use super::profile::Profile;
use super::random::Random;
use super::{MILLISECOND, SECOND, time};

/// Receipt time, subject, payload.
pub type Message = (Option<i64>, String, Vec<u8>);

pub fn stream(seed: u64, events: usize, profile: Profile) -> Vec<Message> {
    let mut market = Market::new(seed, profile);
    (0..events).map(|_| market.message()).collect()
}

/// Of the first so many providers.
pub fn provider_names(count: usize) -> Vec<&'static str> {
    (0..count).map(|index| provider(index).0).collect()
}

struct Market {
    random: Random,
    profile: Profile,
    clock: i64,
    /// In hundredths, by symbol.
    prices: Vec<i64>,
    /// Of the payload in the making: name and JSON value, and whether it stands before the others of its name (0), behind
    /// them (2) or is the only one.
    fields: Vec<(String, String, u8)>,
    trade_id: u64,
    /// How long the messages have waited, and how many more will have.
    backlog: (i64, i64),
    presence: Presence,
    /// The exchange's time in the payload in the making, as it is written.
    exchange: Option<String>,
    /// The last trades with an id.
    told: Vec<Told>,
}

impl Market {
    fn new(seed: u64, profile: Profile) -> Self {
        assert!((1..=SYMBOLS.len()).contains(&profile.symbols));
        let mut random = Random::new(seed);
        let prices = (0..profile.symbols).map(|_| random.between(2_000, 7_000_000)).collect();
        Market {
            random,
            clock: profile.start_ns,
            presence: Presence::new(&profile),
            profile,
            prices,
            fields: Vec::new(),
            trade_id: 0,
            backlog: (0, 0),
            exchange: None,
            told: Vec::new(),
        }
    }

    fn message(&mut self) -> Message {
        let (index, sender, is_exact) = self.next_sender();
        let mut receipt = self.clock;
        if !is_exact && self.random.chance(self.profile.receipt_steps_back) {
            receipt -= self.random.between(1, 2 * SECOND);
        }
        let receipt = self.profile.receipts.then_some(receipt);
        self.fields.clear();
        if self.random.chance(self.profile.told_again) && !self.told.is_empty() {
            let symbol = self.tell_again();
            let payload = self.payload();
            return (receipt, format!("md.events.trade.{}", SYMBOLS[symbol]), payload);
        }
        let provider = sender.map(provider);
        if let Some((name, ..)) = provider {
            self.provider(name);
        }
        self.times(provider.unwrap_or(names::provider(0)), is_exact);
        if self.random.chance(self.profile.heartbeat) {
            let subject = format!("md.events.heartbeat.{}", self.random.pick(&["__system__", "binance", "alpaca.iex"]));
            let payload = self.payload();
            return (receipt, subject, payload);
        }
        let mut kind = match self.random.draw() % 10 {
            0..4 => "trade",
            4..8 => "quote",
            _ => "book_l2",
        };
        match kind {
            "trade" => self.trade(index, provider.map(|(name, ..)| name)),
            "quote" => self.quote(index),
            _ => self.book(index),
        }
        let mut symbol = SYMBOLS[index];
        let mut payload = self.payload();
        if self.random.chance(self.profile.malformed) {
            match self.random.draw() % 8 {
                0 => kind = self.random.pick(&["book", "trades", "Trade", "l2"]),
                1 => {
                    symbol = self
                        .random
                        .pick(&["", "*", ">", "A.*", "*.A", "A>", "A..B", ".A", "A.", "A B", "A\tB", "A\u{85}"]);
                }
                _ => payload = self.spoil(kind, payload),
            }
        }
        (receipt, format!("md.events.{kind}.{symbol}"), payload)
    }

    fn pass_time(&mut self) {
        if self.random.chance(self.profile.pause) {
            self.clock += self.random.between(SECOND, 90 * SECOND);
        } else if !self.random.chance(self.profile.tie) {
            self.clock += self.random.between(0, 2 * self.profile.mean_gap_ns);
        }
    }

    /// Its name under one of the names that a provider may stand under; one that is too long to be told apart under the
    /// first alone.
    fn provider(&mut self, name: &str) {
        let text = self.string(name);
        match (3..=32).contains(&name.len()) && name.contains(char::is_alphabetic) {
            true => self.field(&["provider", "exchange", "venue", "source"], text),
            false => self.plain("provider", &text),
        }
    }

    /// Where it is exact, the message is of this very moment.
    fn times(&mut self, (_, latency_min, latency_max): (&str, i64, i64), is_exact: bool) {
        self.exchange = None;
        if is_exact {
            return self.field(&TS_RECV, self.clock.to_string());
        }
        let mut recv = self.clock - self.random.between(0, 3_000_000);
        let mut latency = self.random.between(latency_min * MILLISECOND, latency_max * MILLISECOND);
        if self.random.chance(20) {
            latency *= 10;
        }
        if self.random.chance(self.profile.negative_latency) {
            latency = -latency;
        }
        if self.random.chance(self.profile.backlog) {
            self.backlog = (self.random.between(4 * SECOND, 20 * SECOND), self.random.between(20, 200));
        }
        if self.backlog.1 > 0 {
            self.backlog.1 -= 1;
            recv -= self.backlog.0;
        }
        if self.random.chance(self.profile.late) {
            recv -= self.random.between(SECOND, 59 * SECOND);
        } else if self.random.chance(self.profile.too_late) {
            recv -= self.random.between(60 * SECOND, 200 * SECOND);
        } else if self.random.chance(self.profile.ahead) {
            recv = self.clock
                + match (self.profile.receipts, self.random.draw() % 5) {
                    (false, _) => self.random.between(1, 3 * SECOND),
                    (true, 0) => SECOND,
                    (true, 1) => SECOND + 1,
                    (true, 2) => self.random.between(1, 3 * SECOND),
                    (true, 3) => self.random.between(29 * SECOND, 31 * SECOND),
                    (true, _) => self.random.between(31 * SECOND, 500 * SECOND),
                };
        }
        let mut exchange = recv - latency;
        if self.random.chance(self.profile.on_grid) {
            recv -= recv.rem_euclid(SECOND / 2);
            exchange -= exchange.rem_euclid(SECOND / 2);
        }
        let odd = self.profile.odd_json;
        if self.random.chance(odd / 10) {
            // About a day, to the nanosecond: beyond it is no latency.
            exchange = recv - 86_400 * SECOND + self.random.between(-1, 1);
        }
        if !self.random.chance(self.profile.without_ts_recv) {
            let text = if self.random.chance(odd / 10) { self.no_time() } else { self.timestamp(recv) };
            self.field(&TS_RECV, text);
        }
        if !self.random.chance(self.profile.without_ts_exchange) {
            let text = if self.random.chance(odd / 10) { self.no_time() } else { self.timestamp(exchange) };
            self.exchange = Some(text.clone());
            match self.random.chance(odd / 10) {
                true => self.plain("hd", &format!("{{\"rtype\":0,\"ts_event\":{text}}}")),
                false => self.field(&TS_EXCHANGE, text),
            }
        }
    }

    fn trade(&mut self, index: usize, provider: Option<&'static str>) {
        if self.random.chance(self.profile.jump) {
            let part = self.random.between(4, 20) * if self.random.chance(500) { 1 } else { -1 };
            self.prices[index] += self.prices[index] * part / 1000;
        } else {
            self.prices[index] += self.random.between(-2, 2);
        }
        self.prices[index] = self.prices[index].clamp(1_000, 9_000_000);
        let price = self.prices[index];
        let price = self.number(price, 2);
        self.field(&PRICE, price.clone());
        let size = self.size().max(1);
        let size = self.number(size, 5);
        self.field(&SIZE, size.clone());
        match self.random.draw() % 4 {
            0 => {}
            1 => self.plain("side", "\"buy\""),
            2 => self.plain("side", "\"SELL\""),
            _ => self.plain("side", "\"b\""),
        }
        self.trade_id += 1;
        if self.random.chance(self.profile.odd_json) {
            // Binance's: beside these `t` and `a` are numbers of trades, not times.
            let kind = self.random.pick(&["\"trade\"", "\"aggTrade\"", "\"other\"", "7"]);
            self.plain("e", kind);
            let number = (self.clock / SECOND + self.random.between(0, 100)).to_string();
            let name = self.random.pick(&["t", "a", "i"]);
            return self.plain(name, &number);
        }
        let id = self.trade_id();
        let told = Told { symbol: index, provider, id, price, size, exchange: self.exchange.clone() };
        let text = self.id(&told.id);
        self.field(&TRADE_ID, text);
        self.remember(told);
    }

    fn quote(&mut self, index: usize) {
        let (bid, ask) = self.bid_ask(index);
        for (price, names, size_names) in [(bid, &BID, &BID_SIZE), (ask, &ASK, &ASK_SIZE)] {
            let withdrawn = self.random.chance(self.profile.one_sided / 2);
            let text = match (withdrawn, self.random.draw() % 5) {
                // Not named at all.
                (true, 0) => continue,
                (true, 1) => "0".to_owned(),
                (true, 2) => "null".to_owned(),
                (true, 3) => "\"\"".to_owned(),
                (true, _) => "\"0.00\"".to_owned(),
                (false, _) => self.number(price, 2),
            };
            self.field(names, text);
            if self.random.chance(800) {
                let size = self.size();
                let text =
                    if self.random.chance(self.profile.odd_json) { "\"?\"".to_owned() } else { self.number(size, 5) };
                self.field(size_names, text);
            }
        }
    }

    fn book(&mut self, index: usize) {
        let (bid, ask) = self.bid_ask(index);
        let empty = self.random.chance(self.profile.one_sided).then(|| self.random.draw() % 3);
        let odd = self.profile.odd_json;
        let mut sides = Vec::new();
        for (names, best, step, emptied) in
            [(["bids", "bid", "b"], bid, -1, [0, 2]), (["asks", "ask", "a"], ask, 1, [1, 2])]
        {
            let depth =
                if empty.is_some_and(|which| emptied.contains(&which)) { 0 } else { self.random.between(1, 10) };
            let mut prices: Vec<i64> = (0..depth).map(|level| (best + step * level).max(1)).collect();
            if self.random.chance(odd) {
                for i in (1..prices.len()).rev() {
                    prices.swap(i, (self.random.draw() % (i as u64 + 1)) as usize);
                }
            }
            let is_map = self.random.chance(odd);
            let levels: Vec<String> =
                prices.into_iter().map(|price| if is_map { self.pair(price) } else { self.level(price) }).collect();
            let levels = levels.join(",");
            let text = if is_map { format!("{{{levels}}}") } else { format!("[{levels}]") };
            let name = if self.random.chance(self.profile.alias) { self.random.pick(&names) } else { names[0] };
            sides.push((name, text));
        }
        if self.random.chance(odd) {
            let inside: Vec<String> = sides.iter().map(|(name, text)| format!("\"{name}\":{text}")).collect();
            self.plain("book", &format!("{{\"ts\":1,{}}}", inside.join(",")));
            if self.random.chance(300) {
                // What stands at the top comes first.
                let (name, text) = sides.swap_remove((self.random.draw() % 2) as usize);
                self.plain(name, &text);
            }
        } else {
            for (name, text) in sides {
                self.plain(name, &text);
            }
        }
        if self.random.chance(odd / 4) {
            let marks = [
                ("type", "\"snapshot\""),
                ("type", "\"delta\""),
                ("action", "\"update\""),
                ("action", "\"partial\""),
                ("e", "\"depthUpdate\""),
                ("isSnapshot", "false"),
                ("is_snapshot", "true"),
                ("is_snapshot", "null"),
                ("T", "\"o\""),
                ("r", "true"),
            ];
            let (name, value) = marks[(self.random.draw() % marks.len() as u64) as usize];
            self.plain(name, value);
        }
    }

    /// A level of an object of sizes by price.
    fn pair(&mut self, price: i64) -> String {
        let size = if self.random.chance(20) { 0 } else { self.size() };
        let (price, size) = (self.number(price, 2), self.number(size, 5));
        format!("\"{}\":{size}", price.trim_matches('"'))
    }

    fn level(&mut self, price: i64) -> String {
        let size = if self.random.chance(20) { 0 } else { self.size() };
        let (price, size) = (self.number(price, 2), self.number(size, 5));
        if self.random.chance(self.profile.alias) {
            let (price_name, size_name) = (
                self.random.pick(&["price", "px", "p"]),
                self.random.pick(&["size", "amount", "qty", "quantity", "sz", "s"]),
            );
            return match self.random.draw() % 3 {
                0 => format!("{{\"price\":{price},\"size\":{size}}}"),
                1 => format!("{{\"orders\":[3,{{}}],\"{size_name}\":{size},\"{price_name}\":{price}}}"),
                // Names before them that cannot be read.
                _ => format!("{{\"s\":{size},\"p\":7,\"p\":{price},\"size\":null,\"price\":\"?\",\"qty\":true}}"),
            };
        }
        if self.random.chance(self.profile.odd_json) {
            return format!("[ {price} , {size}, 17, \"x\"]");
        }
        format!("[{price},{size}]")
    }

    fn bid_ask(&mut self, index: usize) -> (i64, i64) {
        let mid = self.prices[index];
        let bps =
            if self.random.chance(self.profile.wide) { self.random.between(10, 40) } else { self.random.between(0, 8) };
        let half = mid * bps / 20_000;
        if self.random.chance(self.profile.crossed) {
            (mid + half + 1, mid - half)
        } else {
            (mid - half, mid + half + 1)
        }
    }

    /// 0 to 3, in hundred-thousandths, small ones more often.
    fn size(&mut self) -> i64 {
        let most = 300_000 >> self.random.between(0, 12);
        self.random.between(0, most)
    }

    // The JSON.

    /// A field under its canonical name or one of its aliases.
    fn field(&mut self, names: &[&str], value: String) {
        if self.random.chance(self.profile.odd_json) {
            let bad = self.random.pick(&["null", "true", "[1]", "NaN", "{\"a\":1}"]);
            let first = (self.random.draw() % (names.len() as u64 - 1)) as usize;
            let later = first + 1 + (self.random.draw() % (names.len() - first - 1) as u64) as usize;
            let (first, later) = (names[first], names[later]);
            match self.random.draw() % 5 {
                // Last of two values. Both under the same name, the wrong one first.
                0 => {
                    self.staged(first, "[{\"no\":1},null]", 0);
                    return self.staged(first, &value, 2);
                }
                // The name that SPEC's table has first, wherever they stand.
                1 => {
                    self.plain(later, "\"7\"");
                    return self.plain(first, &value);
                }
                // The first that can be read.
                2 => {
                    self.plain(first, bad);
                    return self.plain(later, &value);
                }
                // What it said before is void.
                3 => {
                    self.plain(later, &value);
                    self.staged(first, "7", 0);
                    return self.staged(first, bad, 2);
                }
                _ => {}
            }
        }
        let alias = self.random.chance(self.profile.alias).then(|| self.random.pick(names));
        self.plain(alias.unwrap_or(names[0]), &value);
    }

    fn plain(&mut self, name: &str, value: &str) {
        self.staged(name, value, 1);
    }

    fn staged(&mut self, name: &str, value: &str, stage: u8) {
        self.fields.push((name.to_owned(), value.to_owned(), stage));
    }

    fn payload(&mut self) -> Vec<u8> {
        let odd = self.random.chance(self.profile.odd_json);
        if odd {
            self.plain("event_type", "\"nonsense\"");
            self.plain("symbol", "\"OTHER\\/SYMBOL \\u00e9 \\\"price\\\":1 \\\\\"");
            self.plain("raw", "{\"price\":-1,\"ts_recv\":[[[{\"a\":[]}]]],\"size\":{\"q\":\"}\"},\"e\":-1.5E-7}");
            self.plain("", "true");
            self.plain("n", "[NaN,{\"x\":-Infinity},.5,+1,1.,0100.5,\"a\tb\"]");
            self.plain("m", "Infinity");
        }
        // Any order, but of two values for one name the last stays the last.
        let mut fields = std::mem::take(&mut self.fields);
        for i in (1..fields.len()).rev() {
            fields.swap(i, (self.random.draw() % (i as u64 + 1)) as usize);
        }
        fields.sort_by_key(|(_, _, stage)| *stage);
        let (open, colon, comma, close) = if odd { ("\n { ", " :\t", "\r\n, ", " } \n") } else { ("{", ":", ",", "}") };
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value, _)| {
                // A key may be written with escapes.
                let escaped = odd && name.starts_with('p') && self.random.chance(200);
                let name = if escaped { format!("\\u0070{}", &name[1..]) } else { name.clone() };
                format!("\"{name}\"{colon}{value}")
            })
            .collect();
        format!("{open}{}{close}", fields.join(comma)).into_bytes()
    }

    /// The payload with something wrong in it that makes it malformed for this kind of event, or nearly so.
    fn spoil(&mut self, kind: &str, payload: Vec<u8>) -> Vec<u8> {
        match self.random.draw() % 6 {
            0 => {
                return payload[..self.random.between(0, payload.len() as i64 / 2) as usize].to_vec();
            }
            1 => return [payload.as_slice(), b" x"].concat(),
            2 => {
                return self
                    .random
                    .pick(&["", "null", "[]", "42", "\"{}\"", "{}", "{\"price\":1,}", "nope"])
                    .as_bytes()
                    .to_vec();
            }
            3 => return [b"[".as_slice(), &payload, b"]"].concat(),
            _ => {}
        }
        let bad = self.random.pick(&[
            "null",
            "0",
            "-1",
            "\"abc\"",
            "\"\"",
            "\"NaN\"",
            "\"inf\"",
            "[1]",
            "{}",
            "true",
            "NaN",
            "-Infinity",
            "+",
            ".",
        ]);
        let text = match kind {
            "trade" => match self.random.draw() % 3 {
                0 => format!("{{\"price\":{bad},\"size\":1}}"),
                1 => format!("{{\"price\":1.5,\"qty\":{bad}}}"),
                _ => format!("{{\"price\":{bad},\"p\":{bad},\"size\":1}}"),
            },
            "quote" => match self.random.draw() % 3 {
                0 => format!("{{\"bid\":{bad},\"ask\":101}}"),
                1 => format!("{{\"bid\":100,\"ask\":{bad}}}"),
                _ => "{\"bid\":100,\"bid_size\":1}".to_owned(),
            },
            _ => match self.random.draw() % 5 {
                0 => format!("{{\"bids\":[[{bad},1]],\"asks\":[]}}"),
                1 => "{\"bids\":[[100,1]],\"asks\":[[101]]}".to_owned(),
                2 => "{\"bids\":[[100,1]]}".to_owned(),
                3 => "{\"bids\":[],\"asks\":[[101,-1]]}".to_owned(),
                _ => "{\"bids\":[{\"price\":100,\"count\":1}],\"asks\":[]}".to_owned(),
            },
        };
        text.into_bytes()
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
