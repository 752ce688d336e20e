//! The names of a field: the first, from left to right, whose value can be read, and of a name given twice its last value.

use senpai_md_consumer::engine::input::subject::EventKind::{self, Book, Heartbeat, Quote, Trade};

use crate::{check, with_required};

/// A field of SPEC's table with its names in their order: what its type says with the value `a`, and with none that can be
/// read. `b` is another readable value, `bad` are some that are none.
struct Case<'a> {
    kind: EventKind,
    names: &'a [&'a str],
    values: (&'a str, &'a str),
    bad: &'a [&'a str],
    with_a: &'a str,
    without: &'a str,
}

impl Case<'_> {
    #[track_caller]
    fn check_fields(&self, fields: &[(&str, &str)], expected: &str) {
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        check(self.kind, with_required(self.kind, self.names[0], &fields.join(",")), expected);
    }

    #[track_caller]
    fn check_names(&self) {
        let (a, b) = self.values;
        let (with_a, without) = (self.with_a, self.without);
        for (place, &name) in self.names.iter().enumerate() {
            self.check_fields(&[(name, a)], with_a);
            // A field given twice takes its last value, whatever the first was.
            self.check_fields(&[(name, b), (name, a)], with_a);
            self.check_fields(&[(name, b), ("x", "1"), (name, b), (name, a)], with_a);
            for &bad in self.bad {
                self.check_fields(&[(name, bad), (name, a)], with_a);
                self.check_fields(&[(name, bad)], without);
                self.check_fields(&[(name, a), (name, bad)], without);
                self.check_fields(&[(name, bad), (name, a), (name, bad), (name, bad)], without);
            }
            // Names are case-sensitive and whole.
            let upper = if name.len() > 1 { name.to_uppercase() } else { "x".into() };
            self.check_fields(&[(name, a), (&upper, b), (&format!("{name}_"), b), (&name[1..], "{}")], with_a);
            for &later in &self.names[place + 1..] {
                self.check_fields(&[(name, a), (later, b)], with_a);
                self.check_fields(&[(later, b), (name, a)], with_a);
                self.check_fields(&[(later, b), (name, b), (later, b), (name, a), (later, b)], with_a);
                for &bad in self.bad {
                    self.check_fields(&[(name, bad), (later, a)], with_a);
                    self.check_fields(&[(later, a), (name, bad)], with_a);
                    self.check_fields(&[(name, a), (later, bad)], with_a);
                    self.check_fields(&[(later, bad), (name, bad)], without);
                    // The last value cannot be read: the names behind are asked again.
                    self.check_fields(&[(later, a), (name, b), (name, bad)], with_a);
                    self.check_fields(&[(name, b), (later, a), (name, bad)], with_a);
                    self.check_fields(&[(later, b), (name, b), (later, a), (name, bad)], with_a);
                    self.check_fields(&[(later, a), (later, bad), (name, a)], with_a);
                    self.check_fields(&[(later, a), (name, b), (name, bad), (later, bad)], without);
                }
            }
        }
    }
}

const NO_NUMBERS: &[&str] = &["true", "[1]", r#"{"a":1}"#, r#""x""#, "-1", "NaN", "1e18"];
const NO_SIZES: &[&str] = &["null", "true", r#""x""#, "-1", r#""""#, "1e18"];
const NO_SIDES: &[&str] = &["null", "true", "7", "[]", r#""x""#];
const NO_IDS: &[&str] = &["null", "true", "[7]", "{}", "NaN", "-Infinity"];
const NO_LISTS: &[&str] = &["null", "7", r#""x""#, "true"];
const NO_TIMES: &[&str] =
    &["0", "5", r#""soon""#, r#""""#, "true", "[]", "NaN", "-1700000005", "4133980800", "946684799"];

#[test]
#[rustfmt::skip] // one field a line
fn names_of_trades() {
    let trade = |names, values, bad, with_a, without| {
        Case { kind: Trade, names, values, bad, with_a, without }.check_names();
    };
    trade(&["price", "p", "px"], ("7.5", "9"), &["null", "0", r#""""#, "true", "[1]", "-1", "1e15"], "7.5 x 2", r#"Unreadable("price")"#);
    trade(&["size", "qty", "quantity", "amount", "sz", "v", "s", "q", "volume"], ("7.5", "9"), NO_SIZES, "1 x 7.5", r#"Unreadable("size")"#);
    trade(&["side", "aggressor_side", "aggressor", "taker_side", "S"], (r#""Buy""#, r#""Sell""#), NO_SIDES, "1 x 2 buy", "1 x 2");
    trade(&["maker_side", "makerSide"], (r#""sell""#, r#""buy""#), NO_SIDES, "1 x 2 buy", "1 x 2");
    trade(&["is_buyer_maker", "m"], ("true", "false"), &["null", "1", r#""true""#, "[]"], "1 x 2 sell", "1 x 2");
    trade(&["trade_id", "tradeId", "id", "tid", "i"], (r#""a7""#, "8"), NO_IDS, r#"1 x 2 #"a7""#, "1 x 2");
}

#[test]
fn names_of_quotes() {
    let quote = |names, bad, with_a, without| {
        Case { kind: Quote, names, values: ("7.5", "9"), bad, with_a, without }.check_names()
    };
    let bid = ["bid", "bid_price", "bidPrice", "best_bid", "best_bid_price", "bidPx", "bid_px", "bp", "b"];
    quote(&bid, NO_NUMBERS, "7.5 / 2", r#"Unreadable("bid")"#);
    let ask = ["ask", "ask_price", "askPrice", "best_ask", "best_ask_price", "askPx", "ask_px", "ap", "a"];
    quote(&ask, NO_NUMBERS, "1 / 7.5", r#"Unreadable("ask")"#);
    let bid_size = [
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
    quote(&bid_size, NO_SIZES, "1 x 7.5 / 2", "1 / 2");
    let ask_size = [
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
    quote(&ask_size, NO_SIZES, "1 / 2 x 7.5", "1 / 2");
}

#[test]
fn names_of_books() {
    let book = |names, with_a, without| {
        Case { kind: Book, names, values: ("[[1,2]]", "[[3,4],[2,6]]"), bad: NO_LISTS, with_a, without }.check_names();
    };
    book(&["bids", "bid", "b"], "[1x2] / []", r#"Unreadable("bids")"#);
    book(&["asks", "ask", "a"], "[] / [1x2]", r#"Unreadable("asks")"#);
}

#[test]
fn names_of_every_event() {
    for (kind, said) in [(Trade, "1 x 2"), (Quote, "1 / 2"), (Book, "[] / []"), (Heartbeat, "alive")] {
        let check_names = |names: &[&str], values, bad, with_a: &str, without: &str| {
            let (with_a, without) = (&*format!("{said}{with_a}"), &*format!("{said}{without}"));
            Case { kind, names, values, bad, with_a, without }.check_names();
        };
        let providers = ["provider", "exchange", "venue", "source"];
        check_names(&providers, (r#""abc""#, r#""xyz""#), &["null", "7", "[]"], " from abc", "");
        check_names(&providers[1..], (r#""abc""#, r#""xyz""#), &[r#""ab""#, r#""123""#, r#""""#], " from abc", "");
        let times = ["ts_exchange", "exchange_ts", "ts_event", "timestamp", "ts", "time", "T", "E", "t"];
        let values = ("1700000005", "1700000006");
        check_names(&times, values, NO_TIMES, " exchange 1700000005000000000", " time unreadable");
        check_names(&times, values, &["null"], " exchange 1700000005000000000", "");
        let times = [
            "ts_recv",
            "recv_ts",
            "ts_receive",
            "received_at",
            "receipt_timestamp",
            "local_timestamp",
            "localTimestamp",
            "ts_init",
        ];
        check_names(&times, values, NO_TIMES, " recv 1700000005000000000", " time unreadable");
        check_names(&times, values, &["null"], " recv 1700000005000000000", "");
    }
    // A name means something in its own type of event only.
    check(Quote, r#"{"p":1,"price":1,"q":1,"bid":3,"ask":4,"bids":7}"#, "3 / 4");
    check(Trade, r#"{"bid":1,"bp":1,"as":"x","price":3,"size":4,"asks":[[]]}"#, "3 x 4");
    check(Book, r#"{"bid_price":1,"ap":2,"bids":[],"asks":[],"price":{},"size":[]}"#, "[] / []");
    check(Heartbeat, r#"{"bid":"x","price":"x","bids":3,"sequence":17}"#, "alive");
    // The payload's own type and symbol decide nothing.
    check(Trade, r#"{"event_type":"quote","symbol":"BTC/USD","price":3,"size":4}"#, "3 x 4");
}

#[test]
fn the_first_that_can_be_read() {
    check(Trade, r#"{"price":1,"size":null,"quantity":2}"#, "1 x 2");
    check(Trade, r#"{"price":null,"p":3,"size":4}"#, "3 x 4");
    check(Trade, r#"{"price":0,"p":3,"size":4}"#, "3 x 4");
    // A size of 0 is a size, and no trade.
    check(Trade, r#"{"price":3,"size":0,"qty":4}"#, r#"Unreadable("size")"#);
    check(Trade, r#"{"price":3,"size":4,"ts":1700000005,"ts_exchange":"?"}"#, "3 x 4 exchange 1700000005000000000");
    check(
        Trade,
        r#"{"price":3,"size":4,"ts":1700000005,"ts_recv":"?"}"#,
        "3 x 4 exchange 1700000005000000000 time unreadable",
    );
    // A sequence number, and the size.
    check(Trade, r#"{"price":3,"q":3681400,"s":0.01}"#, "3 x 0.01");
    check(Trade, r#"{"price":3,"q":4,"s":"0.01"}"#, "3 x 4");
    check(Trade, r#"{"price":3,"s":"BTCUSDT"}"#, r#"Unreadable("size")"#);
    check(Trade, r#"{"price":3,"s":5,"s":"A","q":4}"#, "3 x 4");
    // `S` is a ticker but for these two.
    for (ticker, said) in [("Buy", " buy"), ("Sell", " sell"), ("buy", ""), ("SELL", ""), ("B", ""), ("AAPL", "")] {
        check(Trade, format!(r#"{{"price":3,"size":4,"S":"{ticker}"}}"#), &format!("3 x 4{said}"));
    }
    check(Trade, r#"{"price":3,"size":4,"S":"AAPL","m":false}"#, "3 x 4 buy");
    check(Trade, r#"{"price":3,"size":4,"maker_side":"BID"}"#, "3 x 4 sell");
    check(Trade, r#"{"price":3,"size":4,"side":"N","maker_side":"buy","m":false}"#, "3 x 4 sell");
    // `t` and `a`, by what `e` says.
    let number = r#""price":3,"size":4,"t":1700000005,"a":7"#;
    check(Trade, format!("{{{number}}}"), "3 x 4 exchange 1700000005000000000");
    check(Trade, format!(r#"{{{number},"e":"trade"}}"#), "3 x 4 #1700000005");
    check(
        Trade,
        format!(r#"{{"e":"trade",{number},"E":1700000006}}"#),
        "3 x 4 #1700000005 exchange 1700000006000000000",
    );
    check(Trade, format!(r#"{{{number},"e":"aggTrade"}}"#), "3 x 4 #7 exchange 1700000005000000000");
    check(Trade, format!(r#"{{{number},"e":"trade","i":9}}"#), "3 x 4 #9");
    check(Trade, format!(r#"{{{number},"e":"aggTrade","id":"x"}}"#), r#"3 x 4 #"x" exchange 1700000005000000000"#);
    check(Trade, format!(r#"{{{number},"e":"trade","e":"other"}}"#), "3 x 4 exchange 1700000005000000000");
    check(Trade, r#"{"price":3,"size":4,"e":"trade","t":null}"#, "3 x 4");
    check(Trade, r#"{"price":3,"size":4,"T":"t","t":"2023-11-14T22:13:25Z"}"#, "3 x 4 exchange 1700000005000000000");
    check(Trade, r#"{"price":3,"size":4,"T":"t"}"#, "3 x 4 time unreadable");
    check(Quote, r#"{"e":"trade","bid":1,"ask":2,"t":1700000005}"#, "1 / 2 exchange 1700000005000000000");
    // Codes of providers.
    check(Heartbeat, r#"{"provider":"x"}"#, "alive from x");
    check(Heartbeat, r#"{"exchange":"Z","venue":"XNAS"}"#, "alive from XNAS");
    check(Heartbeat, r#"{"exchange":"12345","venue":"V1"}"#, "alive");
    check(Heartbeat, r#"{"exchange":"\u0031\u0032\u0033","source":"\u00e9\u00e9"}"#, r"alive from \u00e9\u00e9");
    check(Heartbeat, r#"{"exchange":"ab","source":"éé"}"#, "alive from éé");
}

#[test]
fn raw_databento_records() {
    let header = r#""hd":{"ts_event":"1700000005000000000","rtype":0,"publisher_id":1}"#;
    let said = "3.5 x 4 exchange 1700000005000000000";
    check(Trade, format!(r#"{{{header},"price":"3.500000000","size":4}}"#), said);
    check(Trade, format!(r#"{{"price":"3.500000000","size":4,{header}}}"#), said);
    check(Trade, format!(r#"{{"price":"3500000000","size":4,{header}}}"#), r#"FixedPoint("price")"#);
    check(Trade, format!(r#"{{{header},"price":3500000000,"size":4}}"#), r#"FixedPoint("price")"#);
    check(Trade, format!(r#"{{{header},"price":35e-1,"size":4}}"#), r#"FixedPoint("price")"#);
    check(
        Trade,
        format!(r#"{{{header},"ts_recv":1700000006,"ts_event":1700000007,"price":3.5,"size":4}}"#),
        "3.5 x 4 exchange 1700000007000000000 recv 1700000006000000000",
    );
    check(
        Trade,
        format!(r#"{{{header},"t":1700000007,"price":3.5,"size":4}}"#),
        "3.5 x 4 exchange 1700000007000000000",
    );
    check(Trade, r#"{"price":3.5,"size":4,"hd":{"ts_event":"x"}}"#, "3.5 x 4 time unreadable");
    check(Trade, r#"{"price":3.5,"size":4,"hd":{"ts_event":1700000005,"ts_event":null}}"#, "3.5 x 4");
    check(Trade, r#"{"price":3.5,"size":4,"hd":{}}"#, "3.5 x 4");
    check(Quote, format!(r#"{{{header},"bid":1.0,"ask":2}}"#), r#"FixedPoint("ask")"#);
    check(Quote, format!(r#"{{{header},"bid":1.0,"ask":0}}"#), "1 / - exchange 1700000005000000000");
    check(Book, format!(r#"{{{header},"bids":[[1.5,2]],"asks":[]}}"#), "[1.5x2] / [] exchange 1700000005000000000");
    check(Book, format!(r#"{{{header},"bids":[[1,2]],"asks":[]}}"#), r#"FixedPoint("bids")"#);
    check(Book, format!(r#"{{{header},"bids":[],"asks":[{{"px":"1","sz":2}}]}}"#), r#"FixedPoint("asks")"#);
    check(Book, format!(r#"{{{header},"bids":[],"asks":{{"1":2}}}}"#), r#"FixedPoint("asks")"#);
    check(Heartbeat, format!("{{{header}}}"), "alive exchange 1700000005000000000");
    // The last `hd` counts, and only an object.
    check(Trade, r#"{"price":3,"size":4,"hd":null}"#, "3 x 4");
    check(Trade, format!(r#"{{"price":3,"size":4,{header},"hd":7}}"#), "3 x 4");
    check(Trade, format!(r#"{{"price":3,"size":4,"hd":7,{header}}}"#), r#"FixedPoint("price")"#);
    check(Trade, r#"{"price":3.5,"size":4,"hd":{"ts_event":1700000005},"hd":{"x":1}}"#, "3.5 x 4");
    check(Trade, r#"{"price":3,"size":4,"hd":{"a":1]}"#, "Syntax");
}
