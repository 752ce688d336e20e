//! Books and their levels.

use senpai_md_consumer::engine::input::subject::EventKind::Book;

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
    check_side("[[1.5,0],[2,0.5]]", "[1.5x0 2x0.5]");
    check_side(r#"[["1.5","2"],["3" , "4"]]"#, "[1.5x2 3x4]");
    check_side(r#"[{"price":1,"size":2},{"size":"4","price":"3"}]"#, "[1x2 3x4]");
    check_side(r#"[[1,2],{"price":3,"size":4},["5",6]]"#, "[1x2 3x4 5x6]");
    check_side(r#"[{"price":1,"size":2,"orders":[{"a":1}],"id":"x"}]"#, "[1x2]");
    check_side(r#"[{"price":7,"price":1,"size":null,"size":2}]"#, "[1x2]");
    check_side(r#"[ [ 1 , 2 ] , { "price" : 3 , "size" : 4 } ]"#, "[1x2 3x4]");
    check_side("[[1,2,3],[4,5,\"x\",{},[6],null]]", "[1x2 4x5]");
    for level in [
        "[]",
        "[1]",
        "{}",
        r#"{"price":1}"#,
        r#"{"size":1}"#,
        r#"{"p":1,"q":2}"#,
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
    let side = |count: usize| {
        let levels: Vec<_> = (1..=count).map(|i| format!("[{i},{}]", i * 2)).collect();
        format!("[{}]", levels.join(","))
    };
    let first: Vec<_> = (1..=20).map(|i| format!("{i}x{}", i * 2)).collect();
    check_side(&side(20), &format!("[{}]", first.join(" ")));
    check_side(&side(21), &format!("[{} +1]", first.join(" ")));
    // Malformed beyond the levels that are kept is malformed all the same.
    check_side(&side(30).replace("[30,60]", "[30,-60]"), "unreadable");
}
