//! Names of fields, symbols and providers.

pub(super) const PRICE: [&str; 3] = ["price", "p", "px"];
pub(super) const SIZE: [&str; 9] = ["size", "qty", "quantity", "amount", "sz", "v", "s", "q", "volume"];
pub(super) const TRADE_ID: [&str; 5] = ["trade_id", "tradeId", "id", "tid", "i"];
pub(super) const BID: [&str; 9] =
    ["bid", "bid_price", "bidPrice", "best_bid", "best_bid_price", "bidPx", "bid_px", "bp", "b"];
pub(super) const ASK: [&str; 9] =
    ["ask", "ask_price", "askPrice", "best_ask", "best_ask_price", "askPx", "ask_px", "ap", "a"];
pub(super) const BID_SIZE: [&str; 13] = [
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
pub(super) const ASK_SIZE: [&str; 13] = [
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
pub(super) const TS_EXCHANGE: [&str; 9] =
    ["ts_exchange", "exchange_ts", "ts_event", "timestamp", "ts", "time", "T", "E", "t"];
pub(super) const TS_RECV: [&str; 8] = [
    "ts_recv",
    "recv_ts",
    "ts_receive",
    "received_at",
    "receipt_timestamp",
    "local_timestamp",
    "localTimestamp",
    "ts_init",
];

/// Two of them have what stands between a symbol and its provider.
pub(super) const SYMBOLS: [&str; 10] = [
    "BTCUSDT",
    "BTC-USD",
    "BRK.B",
    "ETH/USD",
    "1000SHIBUSDT",
    "SOL_USDC",
    "ÅL.OL",
    "md.events.trade.X",
    "BTC-USD@x",
    "@",
];

/// (name, least and greatest latency in ms). Some differ in what a subject cannot hold, some in case alone.
const PROVIDERS: [(&str, i64, i64); 24] = [
    ("binance", 1, 40),
    ("coinbase", 60, 300),
    ("alpaca", 200, 2500),
    ("Binance", 1, 40),
    ("a b", 1, 40),
    ("a_b", 1, 40),
    ("a\u{3000}b", 1, 40),
    ("a\tb", 1, 40),
    ("x@y", 1, 40),
    ("y", 1, 40),
    ("nasdaq.itch", 1, 40),
    ("a  ", 1, 40),
    ("unknown", 1, 40),
    ("42", 1, 40),
    ("Ä \"quoted\" \\ name/\u{7f}", 1, 40),
    ("\u{1f40b}", 1, 40),
    ("other", 1, 40),
    ("*", 1, 40),
    ("a.>", 1, 40),
    ("a..b.", 1, 40),
    ("a_.b_", 1, 40),
    ("a name of exactly 64 bytes, which is the longest that is kept, \u{e9}", 1, 40),
    ("\r\n\u{0} \u{85}", 1, 40),
    (
        "a provider whose name is longer than any symbol may be, and that says in it what it sends, from where, under \
         which licence, and since when, all of which is part of its name: 200 bytes and some more",
        1,
        40,
    ),
];

/// The one of this number.
pub(super) fn provider(index: usize) -> (&'static str, i64, i64) {
    // As many as one likes, all different.
    const LETTERS: &str = "thequickbrownfoxjumpsoverthelazydogpackmyboxwithfivedozenliquorjugs";
    match index.checked_sub(PROVIDERS.len()) {
        None => PROVIDERS[index],
        Some(more) => (&LETTERS[more..more + 5], 1, 40),
    }
}
