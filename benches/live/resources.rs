//! What the service takes when nothing happens, and how much memory with few and with many symbols.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proto_nats::encode;
use senpai_md_consumer::engine::random::Random;
use senpai_md_consumer::engine::time::{NANOS_PER_SECOND, UnixNanos, encode_time};

use super::client::Client;
use super::processes::{Consumer, NatsServer, Service, eventually};

const IDLE: Duration = Duration::from_secs(10);
const BATCH_BYTES: usize = 128 << 10;

pub fn resources(server: &NatsServer) {
    println!("\nIdle, subscribed, for {} s", IDLE.as_secs());
    let service = Service::start(server, &[]);
    let (start, cpu_before) = (Instant::now(), service.process().cpu_ns());
    std::thread::sleep(IDLE);
    let share = (service.process().cpu_ns() - cpu_before) as f64 / start.elapsed().as_nanos() as f64;
    println!("{:<36}{:>9.3} % of a core{:>9.1} MB", "no symbol", share * 100.0, service.process().resident_mb());
    drop(service);

    println!("\nResident memory with default settings, after a minute's events of every symbol");
    for (symbols, trades, quotes) in [(20, 1_000, 5_000), (10_000, 20, 40), (10_000, 100, 100)] {
        let service = Service::start(server, &[]);
        let events = publish_minute(server, symbols, trades, quotes);
        let stats = eventually("every event", || Some(service.stats()).filter(|stats| stats["events_in"] == events));
        let name = format!("{symbols} symbols, {trades} trades, {quotes} quotes each");
        println!(
            "{name:<46}{:>9.1} MB{:>12} trades in windows",
            service.process().resident_mb(),
            stats["window_trades"].to_string()
        );
    }
}

/// In turn, as fast as they go, with latencies as a feed over the internet has them: mostly 4 to 12 ms, one in a hundred up to
/// 200.
pub fn publish_minute(server: &NatsServer, symbols: usize, trades: usize, quotes: usize) -> u64 {
    let mut publisher = Client::connect(server.port).expect("the server takes clients");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_nanos() as i64;
    let count = symbols * (trades + quotes);
    let gap = 60 * NANOS_PER_SECOND / count as i64;
    let start = now - 60 * NANOS_PER_SECOND;
    let mut random = Random::new(1);
    let (mut batch, mut events) = (Vec::new(), 0_u64);
    let mut publish = |kind: &str, index: usize, body: &str| {
        let symbol = format!("SYM{:05}USDT", index % symbols);
        let ts_recv = UnixNanos(start + index as i64 * gap);
        let spike = if random.fraction() < 0.01 { 16.0 } else { 1.0 };
        let ts_exchange = ts_recv.minus(((4e6 + 8e6 * random.fraction().powi(2)) * spike) as i64);
        let [ts_exchange, ts_recv] = [ts_exchange, ts_recv].map(encode_time);
        let payload = format!(
            r#"{{"provider":"binance","ts_exchange":"{}","ts_recv":"{}",{body}}}"#,
            String::from_utf8_lossy(&ts_exchange),
            String::from_utf8_lossy(&ts_recv)
        );
        encode::publish(&mut batch, format!("md.events.{kind}.{symbol}").as_bytes(), None, payload.as_bytes());
        events += 1;
        if batch.len() > BATCH_BYTES {
            publisher.write(&batch).expect("the server takes them");
            batch.clear();
        }
    };
    let levels: Vec<String> = (0..20).map(|level| format!("[{}.5,1.25]", 64_000 - level)).collect();
    let levels = levels.join(",");
    for index in 0..symbols {
        publish("book_l2", index, &format!(r#""bids":[{levels}],"asks":[{levels}]"#));
    }
    for index in 0..count {
        // Trades and quotes evenly among each other.
        let turn = index / symbols;
        let is_trade = (turn + 1) * trades / (trades + quotes) > turn * trades / (trades + quotes);
        match is_trade {
            true => publish("trade", index, r#""price":64000.5,"size":0.25,"side":"buy","trade_id":"4217896584""#),
            false => publish("quote", index, r#""bid":64000.4,"ask":64000.5,"bid_size":1.5,"ask_size":2.5"#),
        }
    }
    publisher.write(&batch).expect("the server takes them");
    publisher.flush().expect("the server answers");
    events
}
