//! Symbols that fall silent.

use senpai_md_consumer::engine::counters::{DropReason, Unpublished};
use senpai_md_consumer::engine::receipt::Receipt;
use senpai_md_consumer::engine::time::{NANOS_PER_SECOND, UnixNanos};

use crate::market::{Market, at};

#[test]
fn a_symbol_that_has_fallen_silent_gives_up_its_place() {
    let trade = |market: &mut Market, second: f64, symbol: &str| {
        market.event(at(second), "trade", symbol, r#"{"price":1,"size":1}"#);
    };
    let full = |idle: Option<i64>| {
        let mut market = Market::new(|settings| settings.symbol_idle = idle);
        for (second, symbol) in [(0.0, "A"), (1.0, "B"), (2.0, "C"), (3.0, "D"), (4.0, "A")] {
            trade(&mut market, second, symbol);
        }
        market
    };
    let check = |idle: Option<i64>, events: &[(f64, &str)], names: &[&str], refused: u64| {
        let mut market = full(idle);
        events.iter().for_each(|(second, symbol)| trade(&mut market, *second, symbol));
        assert_eq!(market.names(), names, "{events:?}");
        assert_eq!(market.dropped(DropReason::SymbolLimit), refused, "{events:?}");
        let evicted = events.len() as u64 - refused;
        assert_eq!(market.engine.counters.symbols_evicted, evicted, "{events:?}");
    };
    let hour = Some(3600 * NANOS_PER_SECOND);
    // The longest silent first, to the nanosecond; A has had an event since.
    check(hour, &[(3_600.999_999_999, "E")], &["A", "B", "C", "D"], 1);
    check(hour, &[(3601.0, "E")], &["A", "C", "D", "E"], 0);
    check(hour, &[(3601.0, "E"), (3601.5, "F")], &["A", "C", "D", "E"], 1);
    check(hour, &[(3602.0, "E"), (3602.0, "F"), (3602.0, "G")], &["A", "D", "E", "F"], 1);
    check(hour, &[(9000.0, "E"), (9000.0, "F"), (9000.0, "G"), (9000.0, "H")], &["E", "F", "G", "H"], 0);
    check(None, &[(1e6, "E")], &["A", "B", "C", "D"], 1);
    // One that comes back is a new one.
    let mut market = full(hour);
    trade(&mut market, 4000.0, "E");
    trade(&mut market, 8000.0, "B");
    assert_eq!(market.document("B", 8000.0)["features"]["trade_count_10s"], 1);
    assert!(market.engine.features_document("C", UnixNanos(at(8000.0))).is_none());
    // What is dropped is no event of the symbol: B's provider has gone, and another's events do not keep it.
    let mut market = full(hour);
    let other = r#"{"provider":"other one","price":1,"size":1}"#;
    let own = r#"{"provider":"own","price":1,"size":1,"trade_id":1}"#;
    market.event(at(5.0), "trade", "B", own);
    market.event(at(6.0), "trade", "B", other);
    market.event(at(7.0), "trade", "B", own);
    trade(&mut market, 3605.0, "E");
    assert_eq!(market.names(), ["A", "B", "D", "E"], "C, silent since 2 s");
    trade(&mut market, 3605.0, "F");
    trade(&mut market, 3605.0, "G");
    trade(&mut market, 3605.0, "H");
    assert_eq!(market.names(), ["E", "F", "G", "H"], "D, A, and B since 5 s");
}

/// What waits of a symbol leaves under its own name, also when its place is another's by then: so it does not matter how often the
/// engine is asked for what is due.
#[test]
fn outputs_of_a_symbol_outlive_its_place() {
    let trade = |market: &mut Market, second: f64, symbol: &str| {
        let subject = format!("md.events.trade.{symbol}");
        let receipt = Receipt::At(UnixNanos(at(second)));
        market.engine.handle_event(subject.as_bytes(), br#"{"price":1,"size":1}"#, receipt).expect("it is well-formed");
    };
    let left = |market: &mut Market| -> Vec<String> {
        let subject = |message: senpai_md_consumer::engine::engine::Message<'_>| message.subject.to_vec();
        let subjects = std::iter::from_fn(|| market.engine.poll_output().map(subject));
        subjects.map(|subject| String::from_utf8(subject).expect("text").replace("senpai.features.", "")).collect()
    };
    let new = || Market::new(|settings| (settings.symbols_max, settings.symbol_idle) = (1, Some(NANOS_PER_SECOND)));
    for polls in [false, true] {
        let (mut market, mut seen) = (new(), Vec::new());
        for (second, symbol) in [(0.0, "A"), (0.05, "A"), (10.0, "B"), (10.05, "B"), (20.0, "C")] {
            if polls {
                market.engine.handle_time(UnixNanos(at(second) - 1));
                seen.extend(left(&mut market));
            }
            trade(&mut market, second, symbol);
            seen.extend(left(&mut market));
        }
        assert_eq!((seen, market.names()), (["A", "A", "B", "B", "C"].map(str::to_owned).into(), vec!["C"]));
        assert_eq!(market.dropped(DropReason::SymbolLimit), 0);
    }
    // While the connection takes nothing, what waits of a symbol that has gone is given up, and counted.
    let mut market = new();
    trade(&mut market, 0.0, "A");
    market.engine.stall_output();
    trade(&mut market, 10.0, "B");
    assert_eq!(left(&mut market), ["B"]);
    assert_eq!(market.engine.counters.publish_dropped[Unpublished::Features as usize], 1);
}

/// A snapshot that is still to be taken keeps the place.
#[test]
fn a_symbol_whose_interval_runs_keeps_its_place() {
    let mut market = Market::new(|settings| {
        (settings.symbols_max, settings.symbol_idle) = (1, Some(NANOS_PER_SECOND));
        settings.publish_interval = Some(5 * NANOS_PER_SECOND);
    });
    market.event(at(0.0), "trade", "A", r#"{"price":1,"size":1}"#);
    market.event(at(1.0), "trade", "A", r#"{"price":2,"size":1}"#);
    market.event(at(4.0), "trade", "B", r#"{"price":1,"size":1}"#);
    assert_eq!((market.names(), market.dropped(DropReason::SymbolLimit)), (vec!["A"], 1));
    market.event(at(5.1), "trade", "B", r#"{"price":1,"size":1}"#);
    assert_eq!(market.names(), ["B"]);
    assert_eq!(market.published.iter().filter(|(subject, _)| subject.ends_with(".A")).count(), 2);
}

/// Names of symbols that have gone are kept for what waits, and no longer: a churn of symbols takes no memory.
#[test]
fn names_of_symbols_that_have_gone_are_bounded() {
    let mut market = Market::new(|settings| (settings.symbols_max, settings.symbol_idle) = (1, Some(NANOS_PER_SECOND)));
    let churn = |market: &mut Market, names: std::ops::Range<usize>, is_published: bool| {
        for name in names {
            let (subject, second) = (format!("md.events.trade.S{name}"), name as f64 * 2.0);
            let receipt = Receipt::At(UnixNanos(at(second)));
            market.engine.handle_event(subject.as_bytes(), br#"{"price":1,"size":1}"#, receipt).expect("well-formed");
            // As the service does: while there is something.
            while is_published && market.engine.has_output() {
                market.engine.poll_output().expect("it is there");
            }
            market.engine.stall_output();
        }
        market.engine.symbols().departed_count()
    };
    assert!(churn(&mut market, 0..10_000, true) <= 1);
    let kept = churn(&mut market, 10_000..20_000, false);
    assert!(kept <= 4096 && market.dropped(DropReason::SymbolLimit) > 0, "{kept}");
    assert!(churn(&mut market, 20_000..30_000, true) <= 1);
}
