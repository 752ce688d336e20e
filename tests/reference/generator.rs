//! Seeded streams of market data with everything that goes wrong in real ones.
//!
//! The same seed, length and profile give the same bytes. Chances are in thousandths. What the streams stay away from: texts on whose
//! reading SPEC is silent (a number over f64's range), and invalid JSON inside unknown fields.

use super::profile::Profile;
use super::random::Random;
use super::{MILLISECOND, SECOND, time};

/// Receipt time, subject, payload.
pub type Message = (Option<i64>, String, Vec<u8>);

pub fn stream(seed: u64, events: usize, profile: Profile) -> Vec<Message> {
    let mut market = Market::new(seed, profile);
    (0..events).map(|_| market.message()).collect()
}

const SYMBOLS: [&str; 8] =
    ["BTCUSDT", "BTC-USD", "BRK.B", "ETH/USD", "1000SHIBUSDT", "SOL_USDC", "ÅL.OL", "md.events.trade.X"];
/// (name, least and greatest latency in ms).
const PROVIDERS: [(&str, i64, i64); 3] = [("binance", 1, 40), ("coinbase", 60, 300), ("alpaca", 200, 2500)];

struct Market {
    random: Random,
    profile: Profile,
    clock: i64,
    /// In hundredths, by symbol.
    prices: Vec<i64>,
    /// Of the payload in the making: name and JSON value.
    fields: Vec<(String, String)>,
    trade_id: u64,
    /// How long the messages have waited, and how many more will have.
    backlog: (i64, i64),
}

impl Market {
    fn new(seed: u64, profile: Profile) -> Self {
        assert!((1..=SYMBOLS.len()).contains(&profile.symbols));
        let mut random = Random::new(seed);
        let prices = (0..profile.symbols).map(|_| random.between(2_000, 7_000_000)).collect();
        Market { random, clock: profile.start_ns, profile, prices, fields: Vec::new(), trade_id: 0, backlog: (0, 0) }
    }

    fn message(&mut self) -> Message {
        self.pass_time();
        let mut receipt = self.clock;
        if self.random.chance(self.profile.receipt_steps_back) {
            receipt -= self.random.between(1, 2 * SECOND);
        }
        let receipt = self.profile.receipts.then_some(receipt);
        self.fields.clear();
        let provider = PROVIDERS[(self.random.draw() % 3) as usize];
        if !self.random.chance(30) {
            let text = quoted(provider.0);
            self.field(&["provider", "source", "exchange", "venue"], text);
        }
        self.times(provider);
        if self.random.chance(self.profile.heartbeat) {
            let subject = format!("md.events.heartbeat.{}", self.random.pick(&["__system__", "binance", "alpaca.iex"]));
            let payload = self.payload();
            return (receipt, subject, payload);
        }
        let index = (self.random.draw() % self.profile.symbols as u64) as usize;
        let mut kind = match self.random.draw() % 10 {
            0..4 => "trade",
            4..8 => "quote",
            _ => "book_l2",
        };
        match kind {
            "trade" => self.trade(index),
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

    fn times(&mut self, (_, latency_min, latency_max): (&str, i64, i64)) {
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
                + match (self.profile.receipts, self.random.draw() % 4) {
                    (false, _) => self.random.between(1, 3 * SECOND),
                    (true, 0) => 30 * SECOND,
                    (true, 1) => 30 * SECOND + 1,
                    (true, _) => self.random.between(31 * SECOND, 500 * SECOND),
                };
        }
        let mut exchange = recv - latency;
        if self.random.chance(self.profile.on_grid) {
            recv -= recv.rem_euclid(SECOND / 2);
            exchange -= exchange.rem_euclid(SECOND / 2);
        }
        if !self.random.chance(self.profile.without_ts_recv) {
            let text = self.timestamp(recv);
            self.field(&["ts_recv", "recv_ts", "ts_receive", "received_at"], text);
        }
        if !self.random.chance(self.profile.without_ts_exchange) {
            let text = self.timestamp(exchange);
            self.field(&["ts_exchange", "exchange_ts", "ts_event", "timestamp", "ts"], text);
        }
    }

    fn trade(&mut self, index: usize) {
        if self.random.chance(self.profile.jump) {
            let part = self.random.between(4, 20) * if self.random.chance(500) { 1 } else { -1 };
            self.prices[index] += self.prices[index] * part / 1000;
        } else {
            self.prices[index] += self.random.between(-2, 2);
        }
        self.prices[index] = self.prices[index].clamp(1_000, 9_000_000);
        let price = self.prices[index];
        let text = self.number(price, 2);
        self.field(&["price", "p", "px"], text);
        let size = self.size().max(1);
        let text = self.number(size, 5);
        self.field(&["size", "qty", "quantity", "amount", "volume", "q"], text);
        match self.random.draw() % 4 {
            0 => {}
            1 => self.plain("side", "\"buy\""),
            2 => self.plain("side", "\"SELL\""),
            _ => self.plain("side", "\"b\""),
        }
        self.trade_id += 1;
        let id = if self.random.chance(500) { format!("\"{}\"", self.trade_id) } else { self.trade_id.to_string() };
        self.field(&["trade_id", "id", "tid"], id);
    }

    fn quote(&mut self, index: usize) {
        let (bid, ask) = self.bid_ask(index);
        let (bid, ask) = (self.number(bid, 2), self.number(ask, 2));
        self.field(&["bid", "bid_price", "bp"], bid);
        self.field(&["ask", "ask_price", "ap"], ask);
        if self.random.chance(800) {
            let size = self.size();
            let text = self.number(size, 5);
            self.field(&["bid_size", "bid_qty", "bs"], text);
        }
        if self.random.chance(800) {
            let size = self.size();
            let text =
                if self.random.chance(self.profile.odd_json) { "\"?\"".to_owned() } else { self.number(size, 5) };
            self.field(&["ask_size", "ask_qty", "as"], text);
        }
    }

    fn book(&mut self, index: usize) {
        let (bid, ask) = self.bid_ask(index);
        let empty = self.random.chance(self.profile.one_sided).then(|| self.random.draw() % 3);
        for (side, best, step, emptied) in [("bids", bid, -1, [0, 2]), ("asks", ask, 1, [1, 2])] {
            let depth =
                if empty.is_some_and(|which| emptied.contains(&which)) { 0 } else { self.random.between(1, 10) };
            let levels: Vec<String> = (0..depth).map(|level| self.level((best + step * level).max(1))).collect();
            self.plain(side, &format!("[{}]", levels.join(",")));
        }
    }

    fn level(&mut self, price: i64) -> String {
        let size = if self.random.chance(20) { 0 } else { self.size() };
        let (price, size) = (self.number(price, 2), self.number(size, 5));
        if self.random.chance(self.profile.alias) {
            return match self.random.draw() % 2 {
                0 => format!("{{\"price\":{price},\"size\":{size}}}"),
                _ => format!("{{\"orders\":[3,{{}}],\"size\":{size},\"price\":{price}}}"),
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
            match self.random.draw() % 3 {
                // Last of two values. Both under the same name, the wrong one first.
                0 => {
                    self.plain(names[0], "[{\"no\":1},null]");
                    return self.plain(names[0], &value);
                }
                // The canonical name beats its alias wherever they stand.
                1 => {
                    let alias = names[1 + (self.random.draw() % (names.len() as u64 - 1)) as usize];
                    self.plain(alias, "\"7\"");
                    return self.plain(names[0], &value);
                }
                // Of two aliases the one that SPEC's table names first.
                _ if names.len() > 2 => {
                    self.plain(names[1], &value);
                    return self.plain(names[2], "7");
                }
                _ => {}
            }
        }
        let alias = self.random.chance(self.profile.alias).then(|| self.random.pick(names));
        self.plain(alias.unwrap_or(names[0]), &value);
    }

    fn plain(&mut self, name: &str, value: &str) {
        self.fields.push((name.to_owned(), value.to_owned()));
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
        fields.sort_by_key(|(_, value)| value != "[{\"no\":1},null]");
        let (open, colon, comma, close) = if odd { ("\n { ", " :\t", "\r\n, ", " } \n") } else { ("{", ":", ",", "}") };
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| {
                // A key may be written with escapes.
                let escaped = odd && name.starts_with('p') && self.random.chance(200);
                let name = if escaped { format!("\\u0070{}", &name[1..]) } else { name.clone() };
                format!("\"{name}\"{colon}{value}")
            })
            .collect();
        format!("{open}{}{close}", fields.join(comma)).into_bytes()
    }

    /// The payload with something wrong in it that makes it malformed for this kind of event.
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
                _ => format!("{{\"price\":{bad},\"p\":10,\"size\":1}}"),
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
                _ => "{\"bids\":[{\"price\":100,\"qty\":1}],\"asks\":[]}".to_owned(),
            },
        };
        text.into_bytes()
    }

    /// A decimal with its point so many digits from the right, as a number or a numeric string.
    fn number(&mut self, value: i64, decimals: u32) -> String {
        let unit = 10_i64.pow(decimals);
        let mut text = format!("{}.{:0width$}", value / unit, value % unit, width = decimals as usize);
        if self.random.chance(self.profile.odd_json) {
            text = match self.random.draw() % 8 {
                0 => format!("{text}000"),
                1 => format!("+{text}"),
                2 => format!("00{text}"),
                3 => text.strip_prefix('0').map_or(text.clone(), str::to_owned),
                4 => format!("{value}.e-{decimals}"),
                5 if self.random.chance(500) => return quoted(&format!(" {text}\t")),
                _ => format!("{value}e-{decimals}"),
            };
        }
        if self.random.chance(self.profile.string_number) { quoted(&text) } else { text }
    }

    /// One of the forms in which producers write a time. Those with coarse units cut it.
    fn timestamp(&mut self, ns: i64) -> String {
        if !self.random.chance(self.profile.alias) {
            return quoted(&time::format(ns));
        }
        let offset_text = |minutes: i64, sign: &str| {
            let local = time::format(ns + minutes * 60 * SECOND);
            format!("{}{sign}{:02}:{:02}", local.trim_end_matches('Z'), minutes.abs() / 60, minutes.abs() % 60)
        };
        let text = match self.random.draw() % 14 {
            12 => format!("+{}.", ns / 1_000),
            13 => return quoted(&format!(" 0{} ", ns / MILLISECOND)),
            0 => {
                return quoted(&format!("{}{:03}Z", time::format(ns).trim_end_matches('Z'), ns.rem_euclid(1000)));
            }
            1 => return quoted(&time::format(ns).replace('T', " ")),
            2 => return quoted(time::format(ns).trim_end_matches('Z')),
            3 => return quoted(&offset_text(330, "+")),
            4 => return quoted(&offset_text(-480, "-")),
            5 => return quoted(&format!("{}Z", &time::format(ns)[..19])),
            6 => return quoted(&format!("{}+00:00", &time::format(ns)[..23])),
            7 => (ns / SECOND).to_string(),
            8 => (ns / MILLISECOND).to_string(),
            9 => (ns / 1_000).to_string(),
            // Microseconds are what an f64 of seconds can hold.
            10 => format!("{}.{:06}", ns / SECOND, ns % SECOND / 1_000),
            _ => ns.to_string(),
        };
        if self.random.chance(self.profile.string_number) { quoted(&text) } else { text }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
