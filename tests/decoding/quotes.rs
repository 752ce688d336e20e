//! Quotes of which a side, or both, have been withdrawn.

use senpai_md_consumer::engine::input::subject::EventKind::Quote;

use crate::check;

#[test]
fn withdrawn() {
    for nothing in ["0", "0.0", "-0", "0e9", r#""0""#, r#"" 0.00 ""#, "null", r#""""#, "1e-400"] {
        check(Quote, format!(r#"{{"bid":{nothing},"ask":2}}"#), "- / 2");
        check(Quote, format!(r#"{{"bid":1,"ask":{nothing}}}"#), "1 / -");
        check(Quote, format!(r#"{{"bid":{nothing},"ask":{nothing}}}"#), "- / -");
        check(Quote, format!(r#"{{"bid":{nothing}}}"#), "- / -");
        check(Quote, format!(r#"{{"a":{nothing}}}"#), "- / -");
        // Whatever its size.
        check(Quote, format!(r#"{{"bid":{nothing},"bid_size":5,"ask":2,"ask_size":3}}"#), "- / 2 x 3");
        check(Quote, format!(r#"{{"bid":1,"bid_size":5,"ask":{nothing},"as":3}}"#), "1 x 5 / -");
    }
    check(Quote, r#"{"bid":1,"bid_size":5}"#, "1 x 5 / -");
    check(Quote, r#"{"ask":2,"ask_size":5,"bid_size":7}"#, "- / 2 x 5");
    check(Quote, r#"{"bid":1,"bid_size":0,"ask":2,"ask_size":"0"}"#, "1 x 0 / 2 x 0");
}

#[test]
fn zero_is_a_value_and_null_is_none() {
    check(Quote, r#"{"bid":0,"bid_price":1,"ask":2}"#, "- / 2");
    check(Quote, r#"{"bid_price":1,"bid":0,"ask":2}"#, "- / 2");
    check(Quote, r#"{"bid":null,"bid_price":1,"ask":2}"#, "1 / 2");
    check(Quote, r#"{"bid":"","b":"0","ask":2}"#, "- / 2");
    check(Quote, r#"{"bid":1,"bid":0,"ask":2}"#, "- / 2");
    check(Quote, r#"{"bid":1,"bid":null,"ask":2}"#, "- / 2");
    check(Quote, r#"{"bid":1,"bid":null,"b":3,"ask":2}"#, "3 / 2");
}

#[test]
fn neither_or_no_price() {
    check(Quote, r#"{"bid_size":1,"ask_size":2}"#, r#"Missing("bid")"#);
    check(Quote, r#"{"bids":1,"asks":2,"price":3}"#, r#"Missing("bid")"#);
    check(Quote, r#"{"bid":"x","ask":2}"#, r#"Unreadable("bid")"#);
    check(Quote, r#"{"bid":"x"}"#, r#"Unreadable("bid")"#);
    check(Quote, r#"{"bid":null,"b":"x","ask":2}"#, r#"Unreadable("bid")"#);
    check(Quote, r#"{"bid":"x","b":null,"ask":2}"#, r#"Unreadable("bid")"#);
    check(Quote, r#"{"bid":"x","bid":null,"ask":2}"#, "- / 2");
    check(Quote, r#"{"bid":null,"bid":"x","ask":2}"#, r#"Unreadable("bid")"#);
    check(Quote, r#"{"bid":"x","b":3,"ask":2}"#, "3 / 2");
    check(Quote, r#"{"bid":1,"ask":NaN}"#, r#"Unreadable("ask")"#);
    check(Quote, r#"{"bid":1,"a":[[2,3]]}"#, r#"Unreadable("ask")"#);
}
