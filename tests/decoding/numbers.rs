//! Numbers in every form.

use senpai_md_consumer::engine::input::subject::EventKind::{Book, Heartbeat, Trade};

use crate::check;

#[test]
fn numbers() {
    let check_number = |text: &str, expected: f64| {
        for value in [
            text.to_owned(),
            format!("\"{text}\""),
            format!("\" {text}\\t\"").replace("\\t", "\t"),
            format!("\"+{text}\""),
        ] {
            for after in ["", " ", ",\"x\":1", " ,\"longer\":\"name\"", "\n"] {
                let payload = format!("{{\"size\":2,\"price\":{value}{after}}}");
                let said = if expected < 1e15 { format!("{expected} x 2") } else { r#"Unreadable("price")"#.into() };
                check(Trade, &payload, &said);
            }
        }
    };
    for text in [
        "1",
        "7",
        "10",
        "63943.9",
        "0.095",
        "0.1",
        "123456",
        "1234567",
        "12345678",
        "123456.7",
        "1234567.8",
        "0.1234567",
        "0.12345678",
        "9007199254740993",
        "123456789012345678901234567890",
        "0.1234567890123456789012345",
        "1e5",
        "1E5",
        "1e+5",
        "1.5e-7",
        "15e22",
        "1e23",
        "1e308",
        "1.7976931348623157e308",
        "5e-324",
        "2.2250738585072011e-308",
        "0.000000000000000000000000000001",
        "100000000000000000000000.5",
        "1e0000000000000000005",
        "0.5e00",
    ] {
        check_number(text, text.parse().unwrap());
    }
    // Producers that pad numbers exist.
    check_number("007.50", 7.5);
    check_number(&format!("{}1", "0".repeat(10_000)), 1.0);
    check_number(&format!("1{}e-5000", "0".repeat(5_000)), 1.0);
    check_number(&format!("0.{}1e5001", "0".repeat(5_000)), 1.0);
    // As other languages print them, bare or in quotes, for a price and for unknown fields.
    for text in [".5", "1.", "1.e5", ".5e1", "0100.5", "00.5", "12345678.", ".123456789012345678901234567890"] {
        check_number(text, text.parse().unwrap());
        for signed in [format!("+{text}"), text.to_owned()] {
            check(
                Trade,
                format!("{{\"size\":2,\"price\":{signed}}}"),
                &format!("{} x 2", text.parse::<f64>().unwrap()),
            );
            check(Heartbeat, format!("{{\"x\":[{signed},-{text}],\"y\":{signed}}}"), "alive");
        }
        let levels = format!("[[{text},+{text}],{{\"price\":+{text},\"size\":{text}}}]");
        let value: f64 = text.parse().unwrap();
        let said = format!("[{value}x{value} {value}x{value}] / []");
        check(Book, format!("{{\"bids\":{levels},\"asks\":[]}}"), &said);
    }
    check(
        Heartbeat,
        r#"{"ts_recv":+1721347022.,"ts":"+1721347022"}"#,
        "alive exchange 1721347022000000000 recv 1721347022000000000",
    );
    check(Trade, r#"{"price":1,"size":2,"trade_id":+7}"#, "1 x 2 #+7");
    for number in [
        "++1",
        "+-1",
        "-+1",
        "+",
        ".",
        "-.",
        "+.",
        ".e5",
        "1e",
        "1e+",
        "-",
        "--1",
        "0x10",
        "1_000",
        "1,5x",
        "1..2",
        "1.2.3",
        "1e5.5",
        "+ 1",
        "+Infinity",
        "+NaN",
        "١",
    ] {
        check(Trade, format!("{{\"size\":2,\"price\":{number}}}"), "Syntax");
    }
}
