//! Books and their levels, in any order and shape; updates are refused.

use senpai_md_consumer::engine::input::subject::EventKind::Book;
use senpai_md_consumer::engine::random::Random;

use crate::check;

#[test]
fn books() {
    let check_side = |levels: &str, expected: &str| {
        let (bids, asks) = match expected.strip_prefix('[') {
            Some(_) => (format!("{expected} / [9x9]"), format!("[9x9] / {expected}")),
            None => (r#"Unreadable("bids")"#.into(), r#"Unreadable("asks")"#.into()),
        };
        check(Book, format!("{{\"bids\":{levels},\"asks\":[[9,9]]}}"), &bids);
        check(Book, format!("{{\"asks\":[[9,9]],\"bids\":{levels}}}"), &bids);
        check(Book, format!("{{\"asks\":{levels},\"bids\":[[9,9]]}}"), &asks);
        check(Book, format!("{{\"bids\":[[9,9]],\"symbol\":\"X\",\"asks\" : {levels} }}"), &asks);
    };
    check_side("[]", "[]");
    check_side("[ ]", "[]");
    check_side("[[1,2]]", "[1x2]");
    // A level of size 0 is not there.
    check_side("[[1.5,0],[2,0.5]]", "[2x0.5]");
    check_side(r#"[[1.5,"0"],[2,0.0],[3,-0],{"price":4,"size":0}]"#, "[]");
    check_side(r#"[["1.5","2"]]"#, "[1.5x2]");
    check_side(r#"[{"size":"4","price":"3"}]"#, "[3x4]");
    check_side(r#"[{"price":1,"size":2,"orders":[{"a":1}],"id":"x"}]"#, "[1x2]");
    check_side(r#"[{"price":7,"price":1,"size":null,"size":2}]"#, "[1x2]");
    check_side(r#"[ [ 1 , 2 ] , { "price" : 1 , "size" : 4 } ]"#, "[1x2 1x4]");
    check_side("[[1,2,3],[1,5,\"x\",{},[6],null]]", "[1x2 1x5]");
    for price in ["price", "px", "p"] {
        for size in ["size", "amount", "qty", "quantity", "sz", "s"] {
            check_side(&format!(r#"[{{"{price}":"1","{size}":"2"}}]"#), "[1x2]");
            check_side(&format!(r#"[{{"{size}":2,"{price}":1,"p":1,"s":9,"{size}":2}}]"#), "[1x2]");
        }
    }
    check_side(r#"[{"price":null,"px":"x","p":1,"size":-1,"s":2}]"#, "[1x2]");
    check_side(r#"[{"price":5,"price":null,"px":1,"size":2}]"#, "[1x2]");
    check_side(r#"{"1.5":"2"}"#, "[1.5x2]");
    check_side(r#"{ "1.5" : 2 , " 2 " : 0 }"#, "[1.5x2]");
    check_side(r#"{"\u0031":2}"#, "[1x2]");
    check_side("{}", "[]");
    for bad in [r#"{"x":1}"#, r#"{"1":"x"}"#, r#"{"1":-1}"#, r#"{"0":1}"#, r#"{"":1}"#, r#"{"1":[1]}"#] {
        check_side(bad, "unreadable");
    }
    for bad in [r#"{"1":2,}"#, r#"{"1" 2}"#, r#"{1:2}"#, r#"{"1":2]"#] {
        check(Book, format!("{{\"bids\":{bad},\"asks\":[]}}"), "Syntax");
    }
    for level in [
        "[]",
        "[1]",
        "{}",
        r#"{"price":1}"#,
        r#"{"size":1}"#,
        r#"{"p":1,"q":2}"#,
        r#"{"price":0,"size":0}"#,
        "[1e15,1]",
        "[1,1e18]",
        "null",
        "1",
        r#""1x2""#,
        "true",
        "NaN",
        "[null,1]",
        "[1,null]",
        "[0,1]",
        "[-1,1]",
        "[1,-1]",
        "[1,-1e-9]",
        "[1e400,1]",
        "[1,1e400]",
        "[NaN,1]",
        "[1,Infinity]",
        "[[1],2]",
        "[1,[2]]",
        r#"["x",1]"#,
        r#"{"price":"x","size":1}"#,
        r#"{"price":1,"size":-1}"#,
        r#"{"price":1,"size":2,"price":null}"#,
    ] {
        check_side(&format!("[{level}]"), "unreadable");
        check_side(&format!("[[1,2],{level},[3,4]]"), "unreadable");
    }
    for levels in [
        "[[1,2],]",
        "[,[1,2]]",
        "[[1,2][3,4]]",
        "[[1,2]",
        "[[1,2}]",
        "[[1 2]]",
        "[[1,2],{\"price\":1,\"size\":2]]",
        "[[1,]]",
        "[{\"price\" 1}]",
    ] {
        check(Book, format!("{{\"bids\":{levels},\"asks\":[]}}"), "Syntax");
        check(Book, format!("{{\"asks\":{levels},\"bids\":[]}}"), "Syntax");
    }
    // A side given twice is its last value, also where that is shorter, empty or nothing.
    check(Book, r#"{"bids":[[1,2],[3,4]],"asks":[],"bids":[[5,6]]}"#, "[5x6] / []");
    check(Book, r#"{"bids":[[1,2],[3,4]],"asks":[],"bids":[]}"#, "[] / []");
    check(Book, r#"{"bids":[[1,2],[3,4]],"asks":[],"bids":null}"#, r#"Unreadable("bids")"#);
    // The side that is taken decides, and not one that is passed over.
    check(Book, r#"{"bids":[[1,2]],"b":[[0,0]],"asks":[]}"#, "[1x2] / []");
    check(Book, r#"{"b":[[0,0]],"bids":[[1,2]],"asks":[]}"#, "[1x2] / []");
    check(Book, r#"{"b":[[1,2]],"bids":[[0,0]],"asks":[]}"#, r#"Unreadable("bids")"#);
    check(Book, r#"{"bid":100.5,"b":[[1,2]],"ask":101,"a":[]}"#, "[1x2] / []");
    // Best first, whatever their order; those of one price in the order of the message.
    let side = |prices: &[usize]| {
        let levels: Vec<_> =
            prices.iter().enumerate().map(|(place, price)| format!("[{price},{}]", place + 1)).collect();
        format!("[{}]", levels.join(","))
    };
    check(Book, r#"{"bids":[[1,1],[3,3],[2,2]],"asks":[[2,2],[3,3],[1,1]]}"#, "[3x3 2x2 1x1] / [1x1 2x2 3x3]");
    check(Book, format!("{{\"bids\":{},\"asks\":[]}}", side(&[1, 2, 1, 2])), "[2x2 2x4 1x1 1x3] / []");
    check(Book, format!("{{\"asks\":{},\"bids\":[]}}", side(&[2, 1, 2, 1])), "[] / [1x2 1x4 2x1 2x3]");
    let mut random = Random::new(1);
    for count in [19, 20, 21, 22, 40, 41, 200] {
        for _ in 0..20 {
            let prices: Vec<usize> = (0..count).map(|_| 1 + random.below(60) as usize).collect();
            let mut sorted: Vec<(usize, usize)> = prices.iter().copied().zip(1..).collect();
            let shown = |sorted: &[(usize, usize)]| {
                let kept: Vec<_> = sorted.iter().take(20).map(|(price, size)| format!("{price}x{size}")).collect();
                let more = if count > 20 { format!(" +{}", count - 20) } else { String::new() };
                format!("[{}{more}]", kept.join(" "))
            };
            sorted.sort_by_key(|(price, _)| *price);
            let asks = shown(&sorted);
            sorted.sort_by_key(|(price, _)| std::cmp::Reverse(*price));
            let side = side(&prices);
            check(Book, format!("{{\"bids\":{side},\"asks\":{side}}}"), &format!("{} / {asks}", shown(&sorted)));
        }
    }
    // White space anywhere, and more values than two.
    for level in [
        "[1.5,2.25]",
        "[1.5, 2.25]",
        "[ 1.5 ,\t2.25 ]",
        "[1.5,2.25,3]",
        "[ 1.5, 2.25 , [{}], \"x\" ]",
        "[\"1.5\", \"2.25\" ]",
    ] {
        check(
            Book,
            format!("{{\"bids\":[{level}],\"asks\": [ {level} , {level}]}}"),
            "[1.5x2.25] / [1.5x2.25 1.5x2.25]",
        );
        check(Book, format!("{{\"bids\":[{level}"), "Syntax");
    }
    // Malformed beyond the levels that are kept is malformed all the same.
    check_side(&side(&[9; 30]).replace("[9,30]", "[9,-30]"), "unreadable");
}

#[test]
fn books_inside_an_object() {
    check(Book, r#"{"book":{"bids":[[1,2]],"asks":[[3,4]]}}"#, "[1x2] / [3x4]");
    check(
        Book,
        r#"{"book":{"b":{"1":2},"a":[{"p":3,"s":4}]},"ts":1700000005}"#,
        "[1x2] / [3x4] exchange 1700000005000000000",
    );
    // What stands at the top is taken first.
    check(Book, r#"{"book":{"bids":[[1,2]],"asks":[[3,4]]},"b":[[5,6]]}"#, "[5x6] / [3x4]");
    check(Book, r#"{"b":[[5,6]],"book":{"bids":[[1,2]],"asks":[[3,4]]}}"#, "[5x6] / [3x4]");
    check(Book, r#"{"bids":null,"book":{"bids":[[1,2]],"asks":[[3,4]]}}"#, "[1x2] / [3x4]");
    check(Book, r#"{"bids":[[5,6]],"bids":null,"book":{"bids":[[1,2]],"asks":[[3,4]]}}"#, "[1x2] / [3x4]");
    // Of what is given twice the last.
    check(Book, r#"{"book":{"bids":[[1,2]],"asks":[],"bids":[[3,4]]}}"#, "[3x4] / []");
    check(Book, r#"{"book":{"bids":[[1,2]],"asks":[],"bids":null,"b":[[3,4]]}}"#, "[3x4] / []");
    check(Book, r#"{"book":{"bids":[[1,2]],"asks":[]},"book":{"bids":[[3,4]],"asks":[]}}"#, "[3x4] / []");
    check(Book, r#"{"book":{"bids":[[1,2]],"asks":[]},"book":{"asks":[]}}"#, r#"Missing("bids")"#);
    check(Book, r#"{"book":{"bids":[[1,2]],"asks":[]},"book":null}"#, r#"Missing("bids")"#);
    check(Book, r#"{"book":7,"book":{"bids":[[1,2]],"asks":[]}}"#, "[1x2] / []");
    check(Book, r#"{"book":{"bids":7,"asks":[]}}"#, r#"Unreadable("bids")"#);
    check(Book, r#"{"book":[[1,2]],"bids":[],"asks":[]}"#, "[] / []");
    check(Book, r#"{"book":{},"bids":[],"asks":[]}"#, "[] / []");
    check(Book, r#"{"book":{"bids":[[1,2]],"asks":[]]}"#, "Syntax");
    // No other name means anything in it.
    check(Book, r#"{"book":{"bids":[],"asks":[],"ts":1700000005,"type":"delta","provider":"xyz"}}"#, "[] / []");
}

#[test]
fn updates_are_refused() {
    let sides = r#""bids":[[1,2]],"asks":[[3,4]]"#;
    let is_update = |fields: &str, is_update: bool| {
        let expected = if is_update { "Update" } else { "[1x2] / [3x4]" };
        check(Book, format!("{{{fields},{sides}}}"), expected);
        check(Book, format!("{{{sides},{fields}}}"), expected);
    };
    is_update(r#""e":"depthUpdate""#, true);
    is_update(r#""e":"depth""#, false);
    is_update(r#""e":"depthUpdate","e":"snapshot""#, false);
    for name in ["type", "action"] {
        for update in ["delta", "update", "l2update"] {
            is_update(&format!(r#""{name}":"{update}""#), true);
            is_update(&format!(r#""{name}":"{update}","is_snapshot":true"#), true);
            is_update(&format!(r#""{name}":"{update}","{name}":"snapshot""#), false);
            is_update(&format!(r#""x":{{"{name}":"{update}"}}"#), false);
        }
        for other in [r#""snapshot""#, r#""partial""#, r#""Update""#, "null", "7", "[\"delta\"]"] {
            is_update(&format!(r#""{name}":{other}"#), false);
        }
    }
    for name in ["isSnapshot", "is_snapshot"] {
        is_update(&format!(r#""{name}":false"#), true);
        is_update(&format!(r#""{name}":true"#), false);
        is_update(&format!(r#""{name}":false,"{name}":true"#), false);
        for other in ["null", "0", r#""false""#] {
            is_update(&format!(r#""{name}":{other}"#), false);
        }
    }
    check(Book, format!(r#"{{"T":"o",{sides}}}"#), "Update");
    check(Book, format!(r#"{{"T":"o","r":false,{sides}}}"#), "Update");
    check(Book, format!(r#"{{{sides},"r":true,"T":"o"}}"#), "[1x2] / [3x4] time unreadable");
    check(Book, format!(r#"{{{sides},"T":"x"}}"#), "[1x2] / [3x4] time unreadable");
    check(Book, format!(r#"{{{sides},"T":1700000005}}"#), "[1x2] / [3x4] exchange 1700000005000000000");
    check(Book, format!(r#"{{{sides},"T":"o","T":1700000005}}"#), "[1x2] / [3x4] exchange 1700000005000000000");
    check(Book, format!(r#"{{{sides},"T":1700000005,"T":"o"}}"#), "Update");
}
