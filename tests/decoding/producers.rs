//! What real producers send, one message of each as their documentation has it, with the values moved to one market.
//! The README's recipes name them.

use senpai_md_consumer::engine::input::subject::EventKind::{Book, Quote, Trade};

use crate::check;

#[test]
fn cryptofeed() {
    // `to_dict()` of its types, as its backends write them.
    check(
        Trade,
        r#"{"exchange":"COINBASE","symbol":"BTC-USD","side":"sell","amount":0.0031,"price":63943.9,"id":"682918713","type":null,"timestamp":1721347022.605624,"receipt_timestamp":1721347022.6501274}"#,
        r#"63943.9 x 0.0031 sell #"682918713" from COINBASE exchange 1721347022605624000 recv 1721347022650127400"#,
    );
    check(
        Quote,
        r#"{"exchange":"COINBASE","symbol":"BTC-USD","bid":"63943.90","ask":"63944.00","timestamp":1721347022.605624,"receipt_timestamp":1721347022.65}"#,
        "63943.9 / 63944 from COINBASE exchange 1721347022605624000 recv 1721347022650000000",
    );
    check(
        Book,
        r#"{"exchange":"COINBASE","symbol":"BTC-USD","book":{"bid":{"63943.8":"1.5","63943.9":"0.2"},"ask":{"63944.0":"0.5","63944.1":"0"}},"delta":null,"timestamp":1721347022.605624,"receipt_timestamp":1721347022.65}"#,
        "[63943.9x0.2 63943.8x1.5] / [63944x0.5] from COINBASE exchange 1721347022605624000 recv 1721347022650000000",
    );
    check(
        Book,
        r#"{"exchange":"COINBASE","symbol":"BTC-USD","delta":{"bid":[["63943.8","0"]],"ask":[]},"timestamp":1721347022.6}"#,
        r#"Missing("bids")"#,
    );
}

#[test]
fn ccxt() {
    check(
        Trade,
        r#"{"info":{"a":26129,"p":"1.1","q":"7"},"id":"12345-67890:09876/54321","timestamp":1721347022605,"datetime":"2024-07-18T23:57:02.605Z","symbol":"ETH/BTC","order":null,"type":null,"side":"buy","takerOrMaker":null,"price":0.06917684,"amount":1.5,"cost":0.10376526,"fee":{"cost":0.0015,"currency":"ETH"}}"#,
        r#"0.06917684 x 1.5 buy #"12345-67890:09876/54321" exchange 1721347022605000000"#,
    );
    check(
        Quote,
        r#"{"symbol":"ETH/BTC","timestamp":1721347022605,"datetime":"2024-07-18T23:57:02.605Z","high":0.07,"low":0.06,"bid":0.0691,"bidVolume":12.5,"ask":0.0692,"askVolume":null,"vwap":null,"open":0.068,"close":0.0691,"last":0.0691,"baseVolume":1000,"quoteVolume":70,"info":{}}"#,
        "0.0691 x 12.5 / 0.0692 exchange 1721347022605000000",
    );
    check(
        Book,
        r#"{"bids":[[0.0691,12.5],[0.069,3]],"asks":[[0.0692,1]],"symbol":"ETH/BTC","timestamp":1721347022605,"datetime":"2024-07-18T23:57:02.605Z","nonce":1499280391811876}"#,
        "[0.0691x12.5 0.069x3] / [0.0692x1] exchange 1721347022605000000",
    );
}

#[test]
fn alpaca() {
    check(
        Trade,
        r#"{"T":"t","i":96921,"S":"AAPL","x":"D","p":126.55,"s":1,"t":"2021-02-22T15:51:44.208123456Z","c":["@","I"],"z":"C"}"#,
        "126.55 x 1 #96921 exchange 1614009104208123456",
    );
    check(
        Quote,
        r#"{"T":"q","S":"AMD","bx":"U","bp":87.66,"bs":1,"ax":"Q","ap":87.68,"as":4,"c":["R"],"z":"C","t":"2021-02-22T15:51:45.335689322Z"}"#,
        "87.66 x 1 / 87.68 x 4 exchange 1614009105335689322",
    );
    // Halted: nobody bids or asks.
    check(
        Quote,
        r#"{"T":"q","S":"AMD","bx":" ","bp":0,"bs":0,"ax":" ","ap":0,"as":0,"c":["R"],"z":"C","t":"2021-02-22T15:51:45.3Z"}"#,
        "- / - exchange 1614009105300000000",
    );
    check(
        Book,
        r#"{"T":"o","S":"BTC/USD","t":"2024-07-18T23:57:02.6Z","b":[{"p":63943.9,"s":0.2}],"a":[{"p":63944,"s":0.5},{"p":63945,"s":1}],"r":true}"#,
        "[63943.9x0.2] / [63944x0.5 63945x1] exchange 1721347022600000000",
    );
    check(Book, r#"{"T":"o","S":"BTC/USD","t":"2024-07-18T23:57:02.6Z","b":[],"a":[{"p":63944,"s":0}]}"#, "Update");
}

#[test]
fn binance() {
    check(
        Trade,
        r#"{"e":"trade","E":1721347022606,"s":"BTCUSDT","t":4217896584,"p":"63943.90","q":"0.00300","T":1721347022605,"m":true,"M":true}"#,
        "63943.9 x 0.003 sell #4217896584 exchange 1721347022605000000",
    );
    check(
        Trade,
        r#"{"e":"aggTrade","E":1721347022606,"s":"BTCUSDT","a":2417896584,"p":"63943.90","q":"0.00300","f":100,"l":105,"T":1721347022605,"m":false,"M":true}"#,
        "63943.9 x 0.003 buy #2417896584 exchange 1721347022605000000",
    );
    check(
        Quote,
        r#"{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}"#,
        "25.3519 x 31.21 / 25.3652 x 40.66",
    );
    check(
        Quote,
        r#"{"e":"bookTicker","u":400900217,"E":1568014460893,"T":1568014460891,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}"#,
        "25.3519 x 31.21 / 25.3652 x 40.66 exchange 1568014460891000000",
    );
    // Partial depth.
    check(
        Book,
        r#"{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"],["0.0027","0.00000000"]]}"#,
        "[0.0024x10] / [0.0026x100]",
    );
    check(
        Book,
        r#"{"e":"depthUpdate","E":1672515782136,"s":"BNBBTC","U":157,"u":160,"b":[["0.0024","10"]],"a":[["0.0026","100"]]}"#,
        "Update",
    );
}

#[test]
fn bybit() {
    check(
        Trade,
        r#"{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false}"#,
        r#"16578.5 x 0.001 buy #"20f43950-d8dd-5b31-9112-a178eb6023af" exchange 1672304486865000000"#,
    );
    check(
        Book,
        r#"{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1672304484978,"s":"BTCUSDT","b":[["16493.50","0.006"],["16493.00","0.100"]],"a":[["16611.00","0.029"]],"u":18521288,"seq":7961638724,"cts":1672304484976}"#,
        "[16493.5x0.006 16493x0.1] / [16611x0.029] exchange 1672304484978000000",
    );
    check(Book, r#"{"type":"delta","ts":1672304484978,"s":"BTCUSDT","b":[],"a":[["16611.00","0"]]}"#, "Update");
}

#[test]
fn okx() {
    check(
        Trade,
        r#"{"instId":"BTC-USDT","tradeId":"130639474","px":"42219.9","sz":"0.12060306","side":"buy","ts":"1721347022605","count":"3"}"#,
        r#"42219.9 x 0.12060306 buy #"130639474" exchange 1721347022605000000"#,
    );
    check(
        Quote,
        r#"{"instType":"SPOT","instId":"BTC-USDT","last":"42219.9","askPx":"42220","askSz":"1.2","bidPx":"42219.8","bidSz":"0.5","ts":"1721347022605"}"#,
        "42219.8 x 0.5 / 42220 x 1.2 exchange 1721347022605000000",
    );
    check(
        Book,
        r#"{"action":"snapshot","asks":[["8476.98","415","0","13"],["8477","7","0","2"]],"bids":[["8476.97","256","0","12"]],"ts":"1721347022605","checksum":-855196043}"#,
        "[8476.97x256] / [8476.98x415 8477x7] exchange 1721347022605000000",
    );
    check(Book, r#"{"action":"update","asks":[],"bids":[["8476.97","0","0","0"]],"ts":"1721347022605"}"#, "Update");
}

#[test]
fn kraken() {
    check(
        Trade,
        r#"{"symbol":"MATIC/USD","side":"sell","price":0.5117,"qty":40.0,"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}"#,
        "0.5117 x 40 sell #4665906 exchange 1695628177708706000",
    );
    check(
        Quote,
        r#"{"symbol":"ALGO/USD","bid":0.10025,"bid_qty":740.0,"ask":0.10036,"ask_qty":1361.44813783,"last":0.10035,"volume":997038.98383185,"vwap":0.10148,"low":0.09979,"high":0.10285,"change":-0.00017,"change_pct":-0.17}"#,
        "0.10025 x 740 / 0.10036 x 1361.44813783",
    );
    check(
        Book,
        r#"{"type":"snapshot","symbol":"MATIC/USD","bids":[{"price":0.5666,"qty":4831.75496356},{"price":0.5665,"qty":6658.2}],"asks":[{"price":0.5668,"qty":4410.79769741}],"checksum":2439117997}"#,
        "[0.5666x4831.75496356 0.5665x6658.2] / [0.5668x4410.79769741]",
    );
    check(
        Book,
        r#"{"type":"update","symbol":"MATIC/USD","bids":[{"price":0.5657,"qty":1098.3}],"asks":[],"checksum":2114181697,"timestamp":"2023-10-06T17:35:55.440295Z"}"#,
        "Update",
    );
}

#[test]
fn tardis() {
    let times = r#""timestamp":"2019-10-23T10:32:49.669Z","localTimestamp":"2019-10-23T10:32:49.740Z""#;
    let said = "from bitmex exchange 1571826769669000000 recv 1571826769740000000";
    check(
        Trade,
        format!(
            r#"{{"type":"trade","symbol":"XBTUSD","exchange":"bitmex","id":"282a0445-0e3a","price":7996,"amount":50,"side":"sell",{times}}}"#
        ),
        &format!(r#"7996 x 50 sell #"282a0445-0e3a" {said}"#),
    );
    check(
        Quote,
        format!(
            r#"{{"type":"book_ticker","symbol":"XBTUSD","exchange":"bitmex","askAmount":30,"askPrice":7996.5,"bidPrice":7996,"bidAmount":50,{times}}}"#
        ),
        &format!("7996 x 50 / 7996.5 x 30 {said}"),
    );
    let sides = r#""bids":[{"price":7633.5,"amount":1906067}],"asks":[{"price":7634,"amount":1467849},{"price":7634.5,"amount":0}]"#;
    check(
        Book,
        format!(
            r#"{{"type":"book_snapshot","symbol":"XBTUSD","exchange":"bitmex","name":"book_snapshot_2_50ms","depth":2,"interval":50,{sides},{times}}}"#
        ),
        &format!("[7633.5x1906067] / [7634x1467849] {said}"),
    );
    for (is_snapshot, expected) in
        [("true", format!("[7633.5x1906067] / [7634x1467849] {said}")), ("false", "Update".into())]
    {
        let payload = format!(
            r#"{{"type":"book_change","symbol":"XBTUSD","exchange":"bitmex","isSnapshot":{is_snapshot},{sides},{times}}}"#
        );
        check(Book, payload, &expected);
    }
}

#[test]
fn databento() {
    let record = |price: &str| {
        format!(
            r#"{{"ts_recv":"1609160400099150057","hd":{{"ts_event":"1609160400098821953","rtype":0,"publisher_id":1,"instrument_id":5482}},"action":"T","side":"A","depth":0,"price":"{price}","size":5,"flags":129,"ts_in_delta":"19251","sequence":1170380}}"#
        )
    };
    check(Trade, record("3720.250000000"), "3720.25 x 5 sell exchange 1609160400098821953 recv 1609160400099150057");
    check(Trade, record("3720250000000"), r#"FixedPoint("price")"#);
    // As pretty_ts writes times.
    check(
        Trade,
        r#"{"ts_recv":"2020-12-28T13:00:00.099150057Z","hd":{"ts_event":"2020-12-28T13:00:00.098821953Z","rtype":0,"publisher_id":1,"instrument_id":5482},"action":"T","side":"N","depth":0,"price":"3720.250000000","size":5}"#,
        "3720.25 x 5 exchange 1609160400098821953 recv 1609160400099150057",
    );
}
