//! Features over windows, and the latest of each kind.

use serde_json::json;

use crate::*;

#[test]
#[rustfmt::skip] // one case a line
fn windows_are_open_at_their_far_end() {
    let edge = [trade(0.0, 100.0, 1.0), trade(10.0, 110.0, 3.0)];
    check("trade_count_10s", &edge, 1.0);
    check("trade_volume_10s", &edge, 3.0);
    check("trade_vwap_10s", &edge, 110.0);
    check("trade_vwap_60s", &edge, 107.5);
    check("trade_count_10s", &[trade(0.000000001, 100.0, 1.0), trade(10.0, 110.0, 3.0)], 2.0);
    check("trade_vwap_60s", &[trade(0.0, 100.0, 1.0), trade(60.0, 110.0, 3.0)], 110.0);
    check("trade_vwap_60s", &[trade(0.0, 100.0, 1.0), quote(60.0, 1.0, 2.0)], None);
    check("trade_vwap_10s", &[trade(0.0, 100.0, 1.0), quote(10.0, 1.0, 2.0)], None);
    check("trade_count_10s", &[trade(0.0, 100.0, 1.0), quote(10.0, 1.0, 2.0)], 0.0);
    check("trade_volume_10s", &[quote(0.0, 1.0, 2.0)], 0.0);
    check("trade_volume_10s", &(0..10).map(|i| trade(f64::from(i), 5.0, 0.1)).collect::<Vec<_>>(), 1.0);
}

#[test]
#[rustfmt::skip] // one case a line
fn windows_are_capped_by_the_rolling_window() {
    let steps = [trade(0.0, 100.0, 1.0), trade(3.0, 110.0, 1.0), trade(5.0, 121.0, 2.0)];
    check_with(rolling(5), "trade_volume_10s", &steps, 3.0);
    check_with(rolling(5), "trade_vwap_60s", &steps, (110.0 + 242.0) / 3.0);
    check_with(rolling(5), "return_10s", &steps, 121.0 / 100.0 - 1.0);
    check_with(rolling(30), "trade_vwap_60s", &[trade(0.0, 100.0, 1.0), trade(30.0, 110.0, 1.0)], 110.0);
    check_with(rolling(90), "trade_vwap_60s", &[trade(0.0, 100.0, 1.0), trade(60.0, 110.0, 1.0)], 110.0);
    // Over 60 means 60, for lateness as well.
    let late = [quote(100.0, 1.0, 2.0), trade(39.9, 5.0, 1.0), trade(40.0, 6.0, 1.0)];
    for (seconds, count) in [(90, 1), (60, 1), (30, 2), (5, 2)] {
        assert_eq!(played(rolling(seconds), &late).counts().late["trade"], count, "{seconds}");
    }
    assert!(played(rolling(60), &late[..1]).counts().late.is_empty());
    check_with(rolling(3600), "return_10s", &late[..2], None);
    check_with(rolling(3600), "return_10s", &late, 0.0);
}

#[test]
#[rustfmt::skip] // one case a line
fn return_reaches_back_to_the_last_trade_before() {
    check("return_10s", &[trade(0.0, 100.0, 1.0), trade(9.9, 110.0, 1.0)], None);
    check("return_10s", &[trade(0.0, 100.0, 1.0), trade(10.0, 110.0, 1.0)], 0.1);
    check("return_10s", &[trade(0.0, 100.0, 1.0), trade(300.0, 110.0, 1.0)], 0.1);
    check("return_10s", &[trade(0.0, 100.0, 1.0), quote(300.0, 1.0, 2.0)], 0.0);
    check("return_10s", &[quote(0.0, 1.0, 2.0), trade(10.0, 5.0, 1.0)], None);
    // Of two trades at one moment the later arrival is the last.
    check("return_10s", &[trade(0.0, 50.0, 1.0), trade(0.0, 100.0, 1.0), trade(10.0, 99.0, 1.0), trade(10.0, 110.0, 1.0)], 0.1);
    // A trade that comes late takes its place in time, also as the one that p(now - 10 s) finds.
    check("return_10s", &[trade(0.0, 50.0, 1.0), trade(12.0, 110.0, 1.0), trade(2.0, 100.0, 1.0), trade(3.0, 1.0, 1.0)], 0.1);
}

#[test]
#[rustfmt::skip] // one case a line
fn volatility_is_of_log_returns_within_the_window() {
    let e = std::f64::consts::E;
    let double = |seconds: f64, power: i32| trade(seconds, e.powi(power), 1.0);
    // Returns 1 and -1: mean 0, variance 2 / 1.
    check("realized_vol_60s", &[double(0.0, 0), double(1.0, 1), double(2.0, 0)], 2.0_f64.sqrt());
    // Returns 1, 2, 3: variance 1.
    check("realized_vol_60s", &[double(0.0, 0), double(1.0, 1), double(2.0, 3), double(3.0, 6)], 1.0);
    check("realized_vol_60s", &[double(0.0, 0), double(1.0, 1)], None);
    check("realized_vol_60s", &[double(0.0, 0)], None);
    // The first trade has left, and with it the return to the second.
    check("realized_vol_60s", &[double(0.0, 0), double(10.0, 5), double(20.0, 6), double(60.0, 8)], 0.5_f64.sqrt());
    check("realized_vol_60s", &[double(0.0, 0), double(10.0, 5), double(60.0, 8)], None);
    // Out of order: by time the returns are 1 and -1.
    check("realized_vol_60s", &[double(0.0, 0), double(2.0, 0), double(1.0, 1)], 2.0_f64.sqrt());
    // Tied in time: by arrival.
    check("realized_vol_60s", &[double(0.0, 0), double(0.0, 1), double(0.0, 0)], 2.0_f64.sqrt());
}

#[test]
#[rustfmt::skip] // one case a line
fn market_is_the_newest_of_quote_and_book() {
    let b = |seconds, bid: f64, ask: f64| book(seconds, json!([[bid, 1], [0.5, 0]]), json!([{"price": ask, "size": 1}]));
    check("mid", &[trade(0.0, 5.0, 1.0)], None);
    check("mid", &[quote(0.0, 99.0, 101.0)], 100.0);
    check("spread_abs", &[quote(0.0, 99.0, 101.0)], 2.0);
    check("spread_bps", &[quote(0.0, 99.0, 101.0)], 200.0);
    check("spread_abs", &[quote(0.0, 101.0, 99.0)], -2.0);
    check("mid", &[quote(0.0, 99.0, 101.0), b(1.0, 9.0, 11.0)], 10.0);
    check("mid", &[b(1.0, 9.0, 11.0), quote(0.0, 99.0, 101.0)], 10.0);
    check("mid", &[b(1.0, 9.0, 11.0), quote(1.0, 99.0, 101.0)], 100.0);
    check("mid", &[quote(1.0, 99.0, 101.0), b(1.0, 9.0, 11.0)], 100.0);
    // A side that is withdrawn does not live on in what is older.
    check("mid", &[b(0.0, 9.0, 11.0), book(1.0, json!([]), json!([[7, 1]]))], None);
    check("mid", &[b(0.0, 9.0, 11.0), quote(1.0, 0.0, 12.0)], None);
    check("mid", &[b(0.0, 9.0, 11.0), quote(1.0, 0.0, 0.0), b(2.0, 8.0, 10.0)], 9.0);
    check("mid", &[quote(0.0, 9.0, 11.0), book(1.0, json!([[7, 0]]), json!([[8, 1]]))], None);
    check("mid", &[book(1.0, json!([]), json!([])), quote(1.0, 9.0, 11.0)], 10.0);
    check("mid", &[quote(1.0, 0.0, 11.0), b(1.0, 9.0, 11.0)], None);
    check("mid", &[book(1.0, json!([[7, 1]]), json!([]))], None);
    check("mid", &[book(5.0, json!([[7, 1]]), json!([])), b(4.0, 9.0, 11.0)], None);
    // The best levels, in any order, none of size 0.
    check("mid", &[book(1.0, json!([[7, 1], [9, 1], [10, 0]]), json!([[12, 1], [11, 1], [10.5, 0]]))], 10.0);
    check("mid", &[quote(1.0, 99.0, 101.0), quote(1.0, 9.0, 11.0), quote(0.5, 1.0, 2.0)], 10.0);
}

#[test]
#[rustfmt::skip] // one case a line
fn percentiles_are_of_the_nearest_rank() {
    let ranks = |n: i64, percent| nearest_rank(&mut (1..=n).map(|ms| ms * MILLISECOND).collect::<Vec<_>>(), percent);
    assert_eq!(ranks(0, 50), None);
    assert_eq!((ranks(1, 50), ranks(1, 95)), (Some(1.0), Some(1.0)));
    assert_eq!((ranks(2, 50), ranks(2, 95)), (Some(1.0), Some(2.0)));
    assert_eq!((ranks(3, 50), ranks(20, 95), ranks(21, 95)), (Some(2.0), Some(19.0), Some(20.0)));
    assert_eq!((ranks(100, 50), ranks(100, 95)), (Some(50.0), Some(95.0)));
    check("latency_ms_p50", &[delayed(0.0, 5.0), delayed(1.0, 1.5), delayed(2.0, 3.0)], 3.0);
    check("latency_ms_p95", &[delayed(0.0, 5.0), delayed(1.0, 1.5), delayed(2.0, 3.0)], 5.0);
    check("latency_ms_p95", &[delayed(0.0, 5.0), delayed(60.0, 1.5)], 1.5);
    check("latency_ms_p95", &[delayed(0.0, 5.0), quote(60.0, 1.0, 2.0)], None);
    check("latency_ms_p95", &[delayed(0.0, -5.0)], -5.0);
    check_with(rolling(20), "latency_ms_p95", &[delayed(0.0, 5.0), delayed(20.0, 1.5)], 1.5);
}

#[test]
#[rustfmt::skip] // one case a line
fn latency_is_accepted_over_any_window_from_55_to_60_s() {
    let steps: Vec<Step> = [(1.0, 40.0), (3.0, 30.0), (5.0, 20.0), (5.1, 10.0), (60.0, 10.0)].map(|(s, ms)| delayed(s, ms)).into();
    let window = played(Settings::default(), &steps).features("X").unwrap().latency.unwrap();
    let pairs: Vec<_> = window.latency_accept().iter().map(|p| p.map(|p| (p.p50_ms, p.p95_ms)).unwrap()).collect();
    assert_eq!(pairs, [(20.0, 40.0), (10.0, 30.0), (10.0, 20.0), (10.0, 10.0)]);
    let accepts = |p50: f64, p95: f64| window.accepts(Some(p50), Some(p95));
    assert!(accepts(20.0, 40.0) && accepts(20.2, 39.6) && accepts(10.0, 20.0) && accepts(10.0, 10.1));
    // From two different windows; 1.5 % off; the median of none; none is empty.
    assert!(!accepts(20.0, 30.0) && !accepts(20.3, 40.0) && !accepts(30.0, 40.0) && !window.accepts(None, None));
    // A sample that comes later, from earlier, does not reach back into a window already taken.
    let mut reference = played(Settings::default(), &steps);
    let window = reference.features("X").unwrap().latency.unwrap();
    reference.event(None, delayed(30.0, 9999.0).1, delayed(30.0, 9999.0).2.as_bytes());
    assert_eq!(window.percentiles().unwrap().p95_ms, 40.0);
}

#[test]
#[rustfmt::skip] // one case a line
fn late_events_change_no_window() {
    let late = [trade(0.0, 100.0, 1.0), quote(100.0, 1.0, 2.0), trade(39.999, 5.0, 1.0)];
    check("return_10s", &late, 0.0);
    check("trade_vwap_60s", &late, None);
    let reference = played(Settings::default(), &late);
    assert_eq!(reference.counts().late["trade"], 1);
    // It is still the latest trade, being newer than the one before.
    assert_eq!(reference.state("X").unwrap().trade.unwrap().price, 5.0);
    let older = [trade(50.0, 100.0, 1.0), quote(120.0, 1.0, 2.0), trade(49.0, 5.0, 1.0)];
    assert_eq!(played(Settings::default(), &older).state("X").unwrap().trade.unwrap().price, 100.0);
    // Just at the end of the window is not late: it answers for p(x), though it is in no window.
    let edge = [quote(100.0, 1.0, 2.0), trade(40.0, 5.0, 1.0)];
    check("return_10s", &edge, 0.0);
    assert!(played(Settings::default(), &edge).counts().late.is_empty());
    check("latency_ms_p50", &[quote(100.0, 1.0, 2.0), delayed(39.9, 5.0)], None);
}

#[test]
#[rustfmt::skip] // one case a line
fn latest_is_replaced_only_by_what_is_not_older() {
    let last_price = |steps: &[Step]| played(Settings::default(), steps).state("X").unwrap().trade.unwrap().price;
    assert_eq!(last_price(&[trade(1.0, 100.0, 1.0), trade(0.0, 99.0, 1.0)]), 100.0);
    assert_eq!(last_price(&[trade(1.0, 100.0, 1.0), trade(1.0, 99.0, 1.0)]), 99.0);
    let one_sided = [book(0.0, json!([[1, 1]]), json!([[2, 1]])), book(1.0, json!([[7, 1]]), json!([]))];
    assert_eq!(played(Settings::default(), &one_sided).state("X").unwrap().book.unwrap().bids, [(7.0, 1.0)]);
    assert!(played(Settings::default(), &one_sided).state("Y").is_none());
}
