//! What comes: phases of symbols that burst, trickle, are late, are new, fall silent, and of clocks that are set.
//!
//! Producers' times follow a true clock; the local one is wrong by an error that changes when it is set.

use crate::reference::random::Random;
use crate::reference::{MILLISECOND, SECOND};

const START: i64 = 1_721_347_020 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Body {
    Trade { price: f64, size: f64 },
    Quote { bid: f64, ask: f64 },
    Book { bid: f64, ask: f64 },
    Heartbeat,
}

impl Body {
    pub fn kind(self) -> &'static str {
        match self {
            Body::Trade { .. } => "trade",
            Body::Quote { .. } => "quote",
            Body::Book { .. } => "book_l2",
            Body::Heartbeat => "heartbeat",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub symbol: String,
    pub body: Body,
    pub ts_recv: Option<i64>,
    pub ts_exchange: Option<i64>,
    pub provider: Option<String>,
}

impl Event {
    /// Subject and payload.
    pub fn encode(&self) -> (String, String) {
        let mut fields = match self.body {
            Body::Trade { price, size } => format!(r#""price":{price},"size":{size}"#),
            Body::Quote { bid, ask } => format!(r#""bid":{bid},"ask":{ask}"#),
            Body::Book { bid, ask } => format!(r#""bids":[[{bid},1]],"asks":[[{ask},1]]"#),
            Body::Heartbeat => r#""counter":1"#.to_owned(),
        };
        for (name, moment) in [("ts_recv", self.ts_recv), ("ts_exchange", self.ts_exchange)] {
            if let Some(moment) = moment {
                fields += &format!(r#","{name}":{moment}"#);
            }
        }
        if let Some(provider) = &self.provider {
            fields += &format!(r#","provider":"{provider}""#);
        }
        (format!("md.events.{}.{}", self.body.kind(), self.symbol), format!("{{{fields}}}"))
    }
}

#[derive(Debug)]
pub enum Step {
    /// Received at the local time; `None` in a recording without receipt times.
    Event(Option<i64>, Event),
    Malformed(i64),
    /// Local time passes.
    Time(i64),
    /// Local time was wrong by so much, and is right from now on.
    Clock(i64),
}

/// What an event says of its times.
#[derive(Clone, Copy, Debug)]
enum Times {
    Both,
    Receipt,
    Exchange,
    Neither,
}

#[derive(Clone, Debug)]
struct Phase {
    events_left: i64,
    symbol: usize,
    /// Symbols from `symbol` on that take turns.
    symbols: usize,
    gap_max: i64,
    /// Times are on a grid of half seconds, so that windows' edges are hit.
    is_on_grid: bool,
    late_thousandths: u64,
    trade_thousandths: u64,
    times: Times,
    /// Latencies of every magnitude and sign, else about 3 ms.
    is_wild: bool,
}

pub struct Market {
    random: Random,
    symbols: Vec<String>,
    providers: i64,
    has_receipts: bool,
    window: i64,
    burst: i64,
    truth: i64,
    error: i64,
    price: f64,
    phase: Phase,
}

impl Market {
    /// Bursts are of at most `burst` events.
    pub fn new(mut random: Random, symbols: usize, window: i64, burst: i64) -> Self {
        let phase = Phase {
            events_left: 0,
            symbol: 0,
            symbols: 1,
            gap_max: 0,
            is_on_grid: false,
            late_thousandths: 0,
            trade_thousandths: 0,
            times: Times::Both,
            is_wild: false,
        };
        Market {
            providers: *random.pick(&[&1, &3, &100]),
            has_receipts: !random.chance(200),
            symbols: (0..symbols).map(|number| format!("S{number}")).collect(),
            window,
            burst,
            truth: START + random.between(0, 60 * SECOND),
            error: if random.chance(300) { random.between(-40 * SECOND, 40 * SECOND) } else { 0 },
            price: 100.0,
            phase,
            random,
        }
    }

    pub fn local(&self) -> i64 {
        self.truth + self.error
    }

    pub fn step(&mut self) -> Step {
        if self.phase.events_left > 0 {
            return self.event();
        }
        match self.random.between(0, 11) {
            0..4 => self.burst(),
            4..7 => self.trickle(),
            7 => self.newcomer(),
            8 | 9 => {
                self.truth += match self.random.between(0, 3) {
                    0 => self.random.between(0, SECOND),
                    1 => self.window,
                    2 => self.random.between(0, self.window),
                    _ => self.random.between(self.window, 3 * self.window),
                };
                if self.has_receipts {
                    return Step::Time(self.local());
                }
            }
            _ if self.has_receipts => {
                let size = *self.random.pick(&[&1, &MILLISECOND, &SECOND, &(31 * SECOND), &(61 * SECOND)]);
                let step = self.random.between(-size, size);
                if (self.error + step).abs() < 600 * SECOND {
                    self.error += step;
                    return Step::Clock(step);
                }
            }
            _ => {}
        }
        self.step()
    }

    fn burst(&mut self) {
        let late_thousandths = *self.random.pick(&[&0, &0, &30, &300, &1000]);
        self.phase = Phase {
            events_left: self.random.between(1, if late_thousandths == 1000 { 60 } else { self.burst }),
            symbol: self.any_symbol(),
            symbols: 1,
            gap_max: *self.random.pick(&[&0, &1_000, &MILLISECOND, &(20 * MILLISECOND), &(400 * MILLISECOND)]),
            is_on_grid: self.random.chance(50),
            late_thousandths,
            trade_thousandths: *self.random.pick(&[&300, &950, &1000]),
            times: self.times(),
            is_wild: self.random.chance(400),
        };
    }

    fn trickle(&mut self) {
        self.phase = Phase {
            events_left: self.random.between(1, 150),
            symbol: self.any_symbol(),
            symbols: *self.random.pick(&[&1, &1, &2, &8]),
            gap_max: *self.random.pick(&[&500, &1_000, &1_600, &2_000]) * MILLISECOND / 60 * (self.window / SECOND),
            is_on_grid: self.random.chance(200),
            late_thousandths: *self.random.pick(&[&0, &100]),
            trade_thousandths: *self.random.pick(&[&300, &950]),
            times: self.times(),
            is_wild: self.random.chance(200),
        };
    }

    /// A single event of one of those seldom seen.
    fn newcomer(&mut self) {
        self.phase = Phase {
            events_left: 1,
            symbol: self.symbols.len() - 1 - self.any_symbol() / 2,
            symbols: 1,
            gap_max: MILLISECOND,
            is_on_grid: false,
            late_thousandths: 0,
            trade_thousandths: 300,
            times: self.times(),
            is_wild: false,
        };
    }

    /// The first ones more often.
    fn any_symbol(&mut self) -> usize {
        let last = self.symbols.len() as i64 - 1;
        self.random.between(0, last).min(self.random.between(0, last)) as usize
    }

    fn times(&mut self) -> Times {
        match self.random.between(0, 9) {
            0..6 => Times::Both,
            6 => Times::Receipt,
            7 => Times::Exchange,
            _ => Times::Neither,
        }
    }

    fn event(&mut self) -> Step {
        let phase = self.phase.clone();
        self.phase.events_left -= 1;
        self.truth += if phase.is_on_grid {
            const GRID: i64 = SECOND / 2;
            (-self.truth).rem_euclid(GRID) + self.random.between(0, 1) * GRID
        } else {
            self.random.between(0, phase.gap_max)
        };
        let receipt = self.has_receipts.then(|| self.local());
        if receipt.is_some() && self.random.chance(5) {
            return Step::Malformed(self.local());
        }
        let symbol = (phase.symbol + self.random.between(0, phase.symbols as i64 - 1) as usize) % self.symbols.len();
        let provider = self.random.between(0, self.providers);
        let event = Event {
            symbol: self.symbols[symbol].clone(),
            body: self.body(phase.trade_thousandths),
            ts_recv: None,
            ts_exchange: None,
            provider: match provider {
                0 => None,
                99 => Some(
                    "a provider whose name is longer than any that is kept, which are of 64 bytes at most".to_owned(),
                ),
                _ => Some(format!("p{provider}")),
            },
        };
        let t = self.event_time(&phase);
        let sent = t - self.latency(phase.is_wild);
        let (ts_recv, ts_exchange) = match phase.times {
            Times::Both => (Some(t), Some(sent)),
            Times::Receipt => (Some(t), None),
            Times::Exchange => (None, Some(t)),
            Times::Neither => (None, None),
        };
        Step::Event(receipt, Event { ts_recv, ts_exchange, ..event })
    }

    fn event_time(&mut self, phase: &Phase) -> i64 {
        if !self.random.chance(phase.late_thousandths) {
            let delay = if phase.is_on_grid { 0 } else { self.random.between(0, 2 * MILLISECOND) };
            return self.truth - delay;
        }
        self.truth
            - match self.random.between(0, 9) {
                0 => self.window,
                1 => self.window.min(10 * SECOND),
                2 => self.window + self.random.between(0, self.window),
                3..6 => self.random.between(0, 50 * MILLISECOND),
                _ => self.random.between(0, self.window),
            }
    }

    fn latency(&mut self, is_wild: bool) -> i64 {
        if !is_wild {
            return 3 * MILLISECOND + self.random.between(0, 100_000);
        }
        let magnitude = self.random.between(0, 44);
        let latency = self.random.between(0, 1 << magnitude);
        if self.random.chance(200) { -latency } else { latency }
    }

    fn body(&mut self, trade_thousandths: u64) -> Body {
        self.price = (self.price * 100.0 + self.random.between(-20, 20) as f64).max(100.0).round() / 100.0;
        let price = self.price;
        if self.random.chance(trade_thousandths) {
            return Body::Trade { price, size: self.random.between(1, 5_000) as f64 / 1_000.0 };
        }
        let (bid, ask) = (price - 0.01, price + 0.01 * self.random.between(0, 3) as f64);
        match self.random.between(0, 9) {
            0 => Body::Heartbeat,
            1..6 => Body::Quote { bid, ask },
            _ => Body::Book { bid, ask },
        }
    }
}
