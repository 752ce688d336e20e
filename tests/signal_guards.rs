//! What a signal says of its sources, and when one is not given though the conditions hold (SPEC section 3): each guard at its
//! borders.

use senpai_md_consumer::engine::counters::Topic;
use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::receipt::Receipt;

use senpai_md_consumer::engine::settings::EngineSettings;
use senpai_md_consumer::engine::time::{NANOS_PER_SECOND, UnixNanos};
use serde_json::{Value, json};

const START: i64 = 1_700_000_000 * NANOS_PER_SECOND;

fn at(seconds: f64) -> i64 {
    START + (seconds * 1e9).round() as i64
}

/// One symbol, its signals and its snapshots as text, in their order.
struct Market {
    engine: Engine,
    signals: Vec<String>,
    snapshots: Vec<String>,
}

impl Market {
    fn new(change: impl FnOnce(&mut EngineSettings)) -> Self {
        let mut settings = EngineSettings { symbols_max: 4, window_trades: 1_000, ..EngineSettings::default() };
        change(&mut settings);
        let engine = Engine::new(settings).expect("there is memory");
        Market { engine, signals: Vec::new(), snapshots: Vec::new() }
    }

    fn take(&mut self, kind: &str, symbol: &str, payload: &str, receipt: Receipt) {
        let subject = format!("md.events.{kind}.{symbol}");
        self.engine.handle_event(subject.as_bytes(), payload.as_bytes(), receipt).expect("it is well-formed");
        while let Some(message) = self.engine.poll_output() {
            let text = String::from_utf8(message.payload.to_vec()).expect("it is text");
            match message.topic {
                Topic::Signal => self.signals.push(text),
                Topic::Features { .. } => self.snapshots.push(text),
                Topic::Alert => {}
            }
        }
    }

    /// An event of X that is received as it happens, at `second`.
    fn event(&mut self, second: f64, kind: &str, payload: &str) -> &mut Self {
        self.take(kind, "X", payload, Receipt::At(UnixNanos(at(second))));
        self
    }

    fn quote(&mut self, second: f64) -> &mut Self {
        self.event(second, "quote", r#"{"bid":99.99,"ask":100.01}"#)
    }

    fn trade(&mut self, second: f64, price: f64) -> &mut Self {
        self.event(second, "trade", &format!(r#"{{"price":{price},"size":5}}"#))
    }

    fn document(&mut self, second: f64) -> Value {
        let document = self.engine.features_document("X", UnixNanos(at(second))).expect("it is known");
        serde_json::from_slice(&document).expect("it is JSON")
    }
}

fn parsed(texts: &[String]) -> Vec<Value> {
    texts.iter().map(|text| serde_json::from_str(text).expect("it is JSON")).collect()
}

/// The keys of an output in the order in which they stand; those of its features aside.
fn keys(text: &str) -> Vec<&str> {
    let (head, rest) = text.split_once("{\"mid\":").expect("it has features");
    let (_, tail) = rest.split_once('}').expect("they end");
    let ends = [head, tail].into_iter().flat_map(|part| part.match_indices("\":").map(move |(end, _)| &part[..end]));
    ends.map(|until| &until[until.rfind('"').expect("a key is in quotes") + 1..]).collect()
}

#[test]
fn keys_stand_in_the_order_of_the_contract() {
    let mut market = Market::new(|_| {});
    market.quote(0.0).trade(0.0, 100.0).trade(10.0, 101.0);
    assert_eq!(
        keys(&market.signals[0]),
        ["id", "symbol", "ts", "direction", "rule", "price", "features", "trade_age_ms", "quote_age_ms"]
    );
    let of_snapshot = ["symbol", "ts", "features", "window_truncated", "trade_age_ms", "quote_age_ms"];
    assert_eq!(keys(&market.snapshots[0]), of_snapshot);
    let document = market.engine.features_document("X", UnixNanos(at(11.0))).expect("it is known");
    assert_eq!(keys(std::str::from_utf8(&document).expect("it is text")), of_snapshot);
}

#[test]
fn ages_are_those_at_ts_in_whole_milliseconds_rounded_down() {
    let mut market = Market::new(|_| {});
    let mut check = |second: f64, event: Option<(&str, String)>, trade: Value, quote: Value| {
        if let Some((kind, payload)) = &event {
            market.event(second, kind, payload);
        }
        let document = market.document(second);
        assert_eq!((&document["trade_age_ms"], &document["quote_age_ms"]), (&trade, &quote), "{second} {event:?}");
    };
    let timed = |fields: &str, second: f64| format!(r#"{{{fields},"ts_recv":{}}}"#, at(second));
    let trade = |second: f64| Some(("trade", timed(r#""price":1,"size":1"#, second)));
    let quote = |second: f64| Some(("quote", timed(r#""bid":1,"ask":2"#, second)));
    let book = |second: f64| Some(("book_l2", timed(r#""bids":[[1,1]],"asks":[[2,1]]"#, second)));
    check(0.0, trade(0.0), json!(0), json!(null));
    check(0.000_999_999, None, json!(0), json!(null));
    check(0.001, None, json!(1), json!(null));
    check(1.0, quote(1.0), json!(1_000), json!(0));
    check(1.5, trade(1.4), json!(0), json!(400));
    // The engine's now is the symbol's: 1.4, and what has passed since it was there.
    check(1.6, None, json!(100), json!(500));
    // The newest of quote and book, whatever came last; the latest trade stays the latest.
    check(2.0, book(1.9), json!(500), json!(0));
    check(2.0, quote(1.8), json!(500), json!(0));
    check(2.0, trade(1.3), json!(500), json!(0));
    check(2.0, quote(1.95), json!(550), json!(0));
    // A withdrawn one is the top of market, too, and has no mid.
    check(3.0, Some(("quote", timed(r#""bid":0,"ask":0"#, 3.0))), json!(1_600), json!(0));
    check(4.0, Some(("book_l2", timed(r#""bids":[],"asks":[]"#, 4.0))), json!(2_600), json!(0));
    check(4_000.0, None, json!(3_998_600), json!(3_996_000));

    let mut quoted = Market::new(|_| {});
    quoted.quote(0.0);
    assert_eq!(quoted.document(0.25)["trade_age_ms"], Value::Null);
    assert_eq!(quoted.document(0.25)["quote_age_ms"], 250);
    // Beside an age for which a trade is too old for every window.
    quoted.quote(100.0).event(100.0, "trade", &timed(r#""price":1,"size":1"#, 10.0));
    assert_eq!(quoted.document(100.0)["trade_age_ms"], 90_000);
}

#[test]
fn ids_are_made_of_symbol_rule_direction_and_watermark() {
    for (symbol, subject_symbol) in [("X", "X"), ("BTC/USD", "BTC/USD"), (r#"A"B\"#, r#"A"B\"#), ("ÅL.OL", "ÅL.OL")] {
        for (price, direction) in [(101.0, "long"), (99.0, "short")] {
            let mut market = Market::new(|_| {});
            let mut event = |second: f64, kind: &str, payload: &str| {
                market.take(kind, subject_symbol, payload, Receipt::At(UnixNanos(at(second) + 7)));
            };
            event(0.0, "quote", r#"{"bid":99.99,"ask":100.01}"#);
            event(0.0, "trade", r#"{"price":100,"size":5}"#);
            event(10.0, "trade", &format!(r#"{{"price":{price},"size":5}}"#));
            let signals = parsed(&market.signals);
            assert_eq!(signals.len(), 1);
            let id = format!("{symbol}:momentum_10s:{direction}:{}", at(10.0) + 7);
            assert_eq!((&signals[0]["id"], &signals[0]["symbol"]), (&json!(id), &json!(symbol)));
        }
    }
}

/// Without a cooldown, events that do not move the watermark would give an id again.
#[test]
fn an_id_is_given_once() {
    let mut market = Market::new(|settings| settings.signal.cooldown = 0);
    market.quote(0.0).trade(0.0, 100.0).trade(10.0, 101.0);
    let at_10 = format!(r#"{{"bid":99.99,"ask":100.01,"ts_recv":{}}}"#, at(10.0));
    market.event(10.0, "quote", &at_10).event(10.5, "quote", &at_10).event(12.0, "quote", &at_10);
    assert_eq!(market.signals.len(), 1, "{:?}", market.signals);
    assert_eq!(market.engine.counters.signals_emitted, [1, 0]);
    market.event(12.0, "quote", &format!(r#"{{"bid":99.99,"ask":100.01,"ts_recv":{}}}"#, at(10.0) + 1));
    let ids: Vec<Value> = parsed(&market.signals).iter().map(|signal| signal["id"].clone()).collect();
    assert_eq!(ids, [at(10.0), at(10.0) + 1].map(|ns| json!(format!("X:momentum_10s:long:{ns}"))));
    // The other direction has ids of its own.
    let down = format!(r#"{{"price":99,"size":5,"ts_recv":{}}}"#, at(10.0) + 1);
    market.event(12.0, "trade", &down).event(12.1, "quote", &at_10);
    assert_eq!(market.engine.counters.signals_emitted, [2, 1]);
}

/// A symbol that gives up its place and comes back with the same events: without age limits nothing else holds them back.
#[test]
fn an_id_is_given_once_to_a_symbol_that_comes_back() {
    let mut market = Market::new(|settings| {
        (settings.symbols_max, settings.symbol_idle) = (1, Some(NANOS_PER_SECOND));
        settings.signal.cooldown = 0;
        let of = &mut settings.signal.age_limits;
        (of.event, of.quote, of.gap) = (i64::MAX, i64::MAX, i64::MAX);
    });
    for (second, symbol) in [(10.0, "X"), (20.0, "Y"), (30.0, "X")] {
        for (kind, fields, t) in [
            ("quote", r#""bid":99.99,"ask":100.01"#, 0.0),
            ("trade", r#""price":100,"size":5"#, 0.0),
            ("trade", r#""price":101,"size":5"#, 10.0),
        ] {
            let payload = format!(r#"{{{fields},"ts_recv":{}}}"#, at(t));
            market.take(kind, symbol, &payload, Receipt::At(UnixNanos(at(second))));
        }
    }
    assert_eq!(market.engine.counters.symbols_evicted, 2);
    let ids: Vec<Value> = parsed(&market.signals).iter().map(|signal| signal["id"].clone()).collect();
    assert_eq!(ids, ["X", "Y"].map(|symbol| json!(format!("{symbol}:momentum_10s:long:{}", at(10.0)))));
}

/// Signals given, and those suppressed by reason, in the order of the guards.
fn counts(market: &Market) -> [u64; 4] {
    let [_, stale, stale_quote, gap] = market.engine.counters.signals_suppressed;
    [market.engine.counters.signals_emitted.iter().sum(), stale, stale_quote, gap]
}

/// A trade at 100 at second `from`, a quote at `quoted`, and a trade at 101 at `to`, each received `behind` later.
#[track_caller]
fn check_rise(limits: [i64; 3], [from, quoted, to]: [f64; 3], behind: f64, expected: [u64; 4]) {
    let limit = |seconds: i64| if seconds == 0 { i64::MAX } else { seconds * NANOS_PER_SECOND };
    let mut market = Market::new(|settings| {
        let of = &mut settings.signal.age_limits;
        [of.event, of.quote, of.gap] = limits.map(limit);
    });
    let mut events = [
        (from, "trade", r#""price":100,"size":5"#),
        (quoted, "quote", r#""bid":99.99,"ask":100.01"#),
        (to, "trade", r#""price":101,"size":5"#),
    ];
    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (second, kind, fields) in events {
        market.event(second + behind, kind, &format!(r#"{{{fields},"ts_recv":{}}}"#, at(second)));
    }
    assert_eq!(counts(&market), expected, "{limits:?} {from} {quoted} {to} {behind}");
}

#[test]
fn each_guard_at_its_border() {
    let of = EngineSettings::default().signal.age_limits;
    let default = [of.event, of.quote, of.gap].map(|ns| ns / NANOS_PER_SECOND);
    assert_eq!(default, [5, 30, 60]);
    let fresh = [0.0, 0.0, 10.0];
    check_rise(default, fresh, 0.0, [1, 0, 0, 0]);
    // stale
    check_rise(default, fresh, 5.0, [1, 0, 0, 0]);
    check_rise(default, fresh, 5.000_000_001, [0, 1, 0, 0]);
    check_rise([1, 30, 60], fresh, 1.1, [0, 1, 0, 0]);
    check_rise([0, 30, 60], fresh, 100_000.0, [1, 0, 0, 0]);
    // stale_quote
    check_rise(default, [30.0, 10.0, 40.0], 0.0, [1, 0, 0, 0]);
    check_rise(default, [30.0, 9.999_999_999, 40.0], 0.0, [0, 0, 1, 0]);
    check_rise([5, 0, 60], [3_300.0, 0.0, 3_310.0], 0.0, [1, 0, 0, 0]);
    // gap
    check_rise(default, [0.0, 69.0, 70.0], 0.0, [1, 0, 0, 0]);
    check_rise(default, [0.0, 69.0, 70.000_000_001], 0.0, [0, 0, 0, 1]);
    check_rise(default, [0.0, 3_299.0, 3_300.0], 0.0, [0, 0, 0, 1]);
    check_rise([5, 30, 0], [0.0, 3_299.0, 3_300.0], 0.0, [1, 0, 0, 0]);
    // The first in the order counts, alone.
    check_rise(default, [0.0, 0.0, 3_300.0], 6.0, [0, 1, 0, 0]);
    check_rise(default, [0.0, 0.0, 3_300.0], 0.0, [0, 0, 1, 0]);
    check_rise([0, 0, 60], [0.0, 0.0, 3_300.0], 6.0, [0, 0, 0, 1]);
    check_rise([0, 0, 0], [0.0, 0.0, 3_300.0], 6.0, [1, 0, 0, 0]);
}

/// The quote's age is that of the top of market: a book's, where that is newer.
#[test]
fn a_fresh_book_beside_an_old_quote_is_a_fresh_market() {
    let mut market = Market::new(|_| {});
    market.quote(0.0).trade(35.0, 100.0).event(40.0, "book_l2", r#"{"bids":[[99.99,1]],"asks":[[100.01,1]]}"#);
    market.trade(45.0, 101.0);
    assert_eq!(counts(&market), [1, 0, 0, 0]);
}

/// The gap is that of the window as it is: a rolling window of 5 s is one of the short features, too.
#[test]
fn a_gap_before_a_shortened_window() {
    for (to, expected) in [(65.0, [1, 0, 0, 0]), (65.000_000_001, [0, 0, 0, 1])] {
        let mut market = Market::new(|settings| settings.rolling_window = 5 * NANOS_PER_SECOND);
        market.trade(0.0, 100.0).quote(60.0).trade(to, 101.0);
        assert_eq!(counts(&market), expected, "{to}");
    }
}

/// A suppressed signal starts no cooldown; within one nothing is counted.
#[test]
fn suppressed_signals_and_the_cooldown() {
    let mut market = Market::new(|_| {});
    market.quote(0.0).trade(30.0, 100.0).trade(40.0, 101.0).trade(40.5, 101.0);
    assert_eq!(counts(&market), [0, 0, 2, 0]);
    market.quote(41.0);
    assert_eq!(counts(&market), [1, 0, 2, 0], "as soon as the quote is fresh");
    let stale = format!(r#"{{"price":102,"size":5,"ts_recv":{}}}"#, at(41.5));
    market.trade(41.2, 101.0).event(50.0, "trade", &stale);
    assert_eq!(counts(&market), [1, 0, 2, 0], "within the cooldown");
}

/// What a crossed market or a missed condition gives is no signal, and none that was suppressed.
#[test]
fn without_the_conditions_nothing_is_counted() {
    for (quote, price) in [
        (r#"{"bid":100.01,"ask":99.99}"#, 101.0),
        (r#"{"bid":99,"ask":101}"#, 101.0),
        (r#"{"bid":0,"ask":0}"#, 101.0),
        (r#"{"bid":99.99,"ask":100.01}"#, 100.2),
    ] {
        let mut market = Market::new(|_| {});
        market.event(0.0, "quote", quote).trade(0.0, 100.0).trade(3_300.0, price);
        assert_eq!(counts(&market), [0, 0, 0, 0], "{quote} {price}");
    }
}

/// A replay without receipt times has no backlog; the other guards hold.
#[test]
fn without_receipt_times_nothing_is_stale() {
    for (last, expected) in [(10.0, [1, 0, 0, 0]), (3_300.0, [0, 0, 1, 0])] {
        let mut market = Market::new(|_| {});
        for (second, kind, fields) in [
            (0.0, "quote", r#""bid":99.99,"ask":100.01"#),
            (0.0, "trade", r#""price":100,"size":5"#),
            (last, "trade", r#""price":101,"size":5"#),
        ] {
            market.take(kind, "X", &format!(r#"{{{fields},"ts_recv":{}}}"#, at(second)), Receipt::Unrecorded);
        }
        assert_eq!(counts(&market), expected, "{last}");
    }
}
