//! Inputs after public reports on market-data services, each of which once gave a wrong number or a wrong signal, with what comes
//! out of them: one line of the contract (SPEC sections 1 to 3) each, end to end.

use senpai_md_consumer::engine::counters::{DropReason, Suppression};
use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::input::subject::EventKind;
use senpai_md_consumer::engine::receipt::Receipt;
use senpai_md_consumer::engine::settings::{EngineSettings, ProviderMode};
use senpai_md_consumer::engine::time::{NANOS_PER_SECOND, UnixNanos};
use serde_json::{Value, json};

const START: i64 = 1_700_000_000 * NANOS_PER_SECOND;

fn at(seconds: f64) -> i64 {
    START + (seconds * 1e9).round() as i64
}

/// One symbol's market, received as it happens.
struct Market {
    engine: Engine,
    signals: Vec<Value>,
    malformed: u64,
}

impl Market {
    fn new() -> Self {
        Market::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut EngineSettings)) -> Self {
        let mut settings = EngineSettings { symbols_max: 4, window_trades: 10_000, ..EngineSettings::default() };
        change(&mut settings);
        let engine = Engine::new(settings).expect("there is memory");
        Market { engine, signals: Vec::new(), malformed: 0 }
    }

    /// An event of X, received at `second`.
    fn event(&mut self, second: f64, kind: &str, payload: Value) -> &mut Self {
        let subject = format!("md.events.{kind}.X");
        let receipt = Receipt::At(UnixNanos(at(second)));
        let taken = self.engine.handle_event(subject.as_bytes(), payload.to_string().as_bytes(), receipt);
        self.malformed += u64::from(taken.is_err());
        while let Some(message) = self.engine.poll_output() {
            if message.subject.starts_with(b"senpai.signals.") {
                self.signals.push(serde_json::from_slice(message.payload).expect("JSON"));
            }
        }
        self
    }

    fn trade(&mut self, second: f64, price: f64) -> &mut Self {
        self.event(second, "trade", json!({"price": price, "size": 5, "ts_exchange": at(second)}))
    }

    fn quote(&mut self, second: f64, bid: f64, ask: f64) -> &mut Self {
        self.event(second, "quote", json!({"bid": bid, "ask": ask, "ts_exchange": at(second)}))
    }

    fn features(&mut self, second: f64) -> Value {
        let document = self.engine.features_document("X", UnixNanos(at(second))).expect("it is known");
        serde_json::from_slice::<Value>(&document).expect("it is JSON")["features"].take()
    }

    fn directions(&self) -> Vec<&str> {
        self.signals.iter().map(|signal| signal["direction"].as_str().expect("text")).collect()
    }

    fn suppressed(&self, reason: Suppression) -> u64 {
        self.engine.counters.signals_suppressed[reason as usize]
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        EventKind::ALL.iter().map(|kind| self.engine.counters.dropped(reason, *kind)).sum()
    }
}

/// It turned a rise into a SHORT, and the 10 s features were blind for half a minute.
#[test]
fn a_trade_stamped_29_s_ahead() {
    let mut market = Market::new();
    market.quote(0.0, 100.99, 101.01).trade(0.0, 100.0);
    market.event(5.0, "trade", json!({"price": 102, "size": 5, "ts_exchange": at(34.0)}));
    market.trade(6.0, 100.4).trade(10.0, 101.0);
    assert_eq!(market.engine.counters.timestamps_rejected.iter().sum::<u64>(), 1);
    assert_eq!(market.features(10.0)["trade_count_10s"], 3, "that of 0 s has just left");
    assert_eq!(market.directions(), ["long"]);
}

#[test]
fn a_quote_that_is_55_minutes_old() {
    let mut market = Market::new();
    market.quote(0.0, 99.99, 100.01).trade(3_300.0, 100.0).trade(3_310.0, 101.0);
    assert_eq!((market.signals.len(), market.suppressed(Suppression::StaleQuote)), (0, 1));
}

#[test]
fn a_quote_that_was_withdrawn() {
    let mut market = Market::new();
    market.quote(0.0, 99.99, 100.01).trade(0.0, 100.0);
    market.event(1.0, "quote", json!({"bid": 0, "ask": 0})).trade(10.0, 101.0);
    assert_eq!((market.malformed, market.signals.len()), (0, 0));
    assert_eq!(market.features(10.0)["mid"], Value::Null);
}

#[test]
fn a_book_that_has_lost_its_asks() {
    let mut market = Market::new();
    market.quote(0.0, 99.99, 100.01).trade(0.0, 100.0);
    market.event(1.0, "book_l2", json!({"bids": [[99.99, 1]], "asks": []})).trade(10.0, 101.0);
    assert_eq!((market.malformed, market.signals.len()), (0, 0));
    assert_eq!(market.features(10.0)["spread_bps"], Value::Null);
}

#[test]
fn a_halt_of_55_minutes_and_a_trade_1_percent_higher() {
    let mut market = Market::new();
    market.trade(0.0, 100.0).quote(3_299.0, 100.99, 101.01).trade(3_300.0, 101.0);
    assert_eq!((market.signals.len(), market.suppressed(Suppression::Gap)), (0, 1));
}

/// The user's own picture: Binance and Bybit into one NATS, half a percent apart, both flat.
#[test]
fn two_venues_under_one_symbol() {
    let run = |mode: ProviderMode| {
        let mut market = Market::with(|settings| settings.providers.mode = mode);
        for index in 0..600 {
            let (second, venue) = (index as f64 * 0.1, index % 2);
            let (provider, price) = [("binance", 100.0), ("bybit", 100.5)][venue];
            let quote = json!({"provider": provider, "bid": price - 0.01, "ask": price + 0.01});
            market.event(second, "quote", quote);
            market.event(second, "trade", json!({"provider": provider, "price": price, "size": 5}));
        }
        market
    };
    let market = run(ProviderMode::Primary);
    assert_eq!((market.signals.len(), market.dropped(DropReason::OtherProvider)), (0, 600));
    assert_eq!(run(ProviderMode::Separate).signals.len(), 0);
    assert!(run(ProviderMode::Merged).signals.len() >= 10, "what merging two venues comes to");
}

#[test]
fn a_trade_that_is_sent_again_four_times() {
    let mut market = Market::new();
    let trade = json!({"trade_id": 7, "price": 101, "size": 0.3, "ts_exchange": at(10.0)});
    market.event(0.0, "trade", json!({"trade_id": 6, "price": 100, "size": 0.3})).quote(9.0, 100.99, 101.01);
    for _ in 0..5 {
        market.event(10.0, "trade", trade.clone());
    }
    assert_eq!((market.signals.len(), market.dropped(DropReason::Duplicate)), (0, 4));
    assert_eq!(market.features(10.0)["trade_volume_10s"], 0.3);
}

#[test]
fn a_size_beside_a_sequence_number_and_a_size_that_is_null() {
    let mut market = Market::new();
    market.event(0.0, "trade", json!({"p": 150.0, "s": 0.01, "q": 3_681_400}));
    assert_eq!(market.features(0.0)["trade_volume_10s"], 0.01);
    market.event(1.0, "trade", json!({"price": 150.0, "size": null, "quantity": 2}));
    assert_eq!(market.features(1.0)["trade_volume_10s"], 2.01);
    assert_eq!(market.malformed, 0);
}

#[test]
fn books_as_producers_send_them() {
    let mid = |payload: Value| {
        let mut market = Market::new();
        market.event(0.0, "book_l2", payload);
        if market.malformed > 0 { json!("malformed") } else { market.features(0.0)["mid"].take() }
    };
    // Levels of size 0 on top; worst first; each shape.
    assert_eq!(
        mid(json!({"bids": [[192_000, 0], [100_000, 1]], "asks": [[100_005, 0], [100_010, 1]]})),
        json!(100_005.0)
    );
    assert_eq!(mid(json!({"bids": [[0.40, 1], [0.50, 1]], "asks": [[0.60, 1], [0.55, 1]]})), json!(0.525));
    for level in [("price", "amount"), ("px", "sz"), ("price", "size"), ("p", "s")] {
        let side = |price: f64| json!([{level.0: price, level.1: 1}]);
        assert_eq!(mid(json!({"bids": side(102.5), "asks": side(103.5)})), json!(103.0), "{level:?}");
    }
    assert_eq!(mid(json!({"bids": {"102.5": "1"}, "asks": {"103.5": "1"}})), json!(103.0));
    let sides = json!({"bids": [["1", "1"]], "asks": [["2", "1"]]});
    for (name, value) in [("e", "depthUpdate"), ("type", "delta"), ("action", "update"), ("type", "l2update")] {
        let mut update = sides.clone();
        update[name] = json!(value);
        assert_eq!(mid(update), json!("malformed"), "{name} {value}");
    }
}

#[test]
fn times_as_producers_send_them() {
    let p50 = |name: &str, value: Value| {
        let mut market = Market::new();
        // Received by the producer 40 ms after the exchange.
        market.event(1.0, "trade", json!({"price": 1, "size": 1, "ts_exchange": at(0.0), name: value}));
        let unreadable: u64 = market.engine.counters.timestamps_unreadable.iter().sum();
        // To the percent of the contract.
        let p50 = market.features(1.0)["latency_ms_p50"].as_f64();
        (p50.map(|ms| if ms < 100.0 { ms.round() } else { (ms / 10.0).round() * 10.0 }), unreadable)
    };
    // 2023-11-14T22:13:20.04
    for (name, value) in [
        ("ts_recv", json!("2023-11-14T22:13:20.04+0000")),
        ("ts_recv", json!("2023-11-14 22:13:20.04 UTC")),
        ("receipt_timestamp", json!(1_700_000_000.04)),
        ("localTimestamp", json!(1_700_000_000_040_i64)),
    ] {
        assert_eq!(p50(name, value.clone()), (Some(40.0), 0), "{name} {value}");
    }
    assert_eq!(p50("ts_recv", json!("yesterday")), (Some(1_000.0), 1));
    // 1970 is no time: no ts of then, no latency of a hundred days.
    let mut market = Market::new();
    market.event(0.0, "trade", json!({"price": 1, "size": 1, "timestamp": 0}));
    assert_eq!(market.features(0.0)["latency_ms_p50"], Value::Null);
    let document = market.engine.features_document("X", UnixNanos(at(0.0))).expect("it is known");
    assert_eq!(serde_json::from_slice::<Value>(&document).unwrap()["ts"], "2023-11-14T22:13:20.000000Z");
    // Of another day.
    let mut market = Market::new();
    market.event(0.0, "trade", json!({"price": 1, "size": 1, "ts_exchange": at(-100.0 * 86_400.0)}));
    assert_eq!(market.features(0.0)["latency_ms_p50"], Value::Null);
}

#[test]
fn a_price_that_is_the_largest_integer() {
    let mut market = Market::new();
    market.quote(0.0, 99.99, 100.01).trade(0.0, 100.0);
    market.event(10.0, "trade", json!({"price": i64::MAX, "size": 5}));
    assert_eq!((market.malformed, market.signals.len()), (1, 0));
}

#[test]
fn a_symbol_of_77_characters() {
    let symbol = "X".repeat(77);
    let mut market = Market::new();
    let subject = format!("md.events.trade.{symbol}");
    let receipt = Receipt::At(UnixNanos(at(0.0)));
    assert!(market.engine.handle_event(subject.as_bytes(), br#"{"price":1,"size":1}"#, receipt).is_ok());
    assert!(market.engine.features_document(&symbol, UnixNanos(at(0.0))).is_some());
}

/// A local time without its offset: no signal is made of it, and no event of it is taken for fresh. (That the operator is told is
/// the alert `lag`.)
#[test]
fn times_that_are_four_hours_behind() {
    let mut market = Market::new();
    let behind = |second: f64| at(second - 4.0 * 3_600.0);
    market.event(0.0, "quote", json!({"bid": 99.99, "ask": 100.01, "ts_exchange": behind(0.0)}));
    for (second, price) in [(0.0, 100.0), (10.0, 101.0)] {
        market.event(second, "trade", json!({"price": price, "size": 5, "ts_exchange": behind(second)}));
    }
    assert_eq!((market.signals.len(), market.suppressed(Suppression::Stale)), (0, 1));
}
