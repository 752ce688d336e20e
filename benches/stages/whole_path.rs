//! The whole path of an event: receive buffer, frames, engine, outputs as PUB frames.

use proto_nats::{ServerOp, encode};
use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::input::malformed::Malformed;
use senpai_md_consumer::engine::input::receive_buffer::ReceiveBuffer;
use senpai_md_consumer::engine::intake::{Observer, take_messages};
use senpai_md_consumer::engine::ownership::Ownership;
use senpai_md_consumer::engine::random::Random;
use senpai_md_consumer::engine::receipt::Receipt;
use senpai_md_consumer::engine::settings::EngineSettings;
use senpai_md_consumer::engine::time::{NANOS_PER_SECOND, UnixNanos, encode_time};
use senpai_md_consumer::recording::looped_frames::Stream;

use crate::measure::Work;
use crate::{PREFIX, SEED};

/// As one read of a busy socket gives, and a slice of the shard.
const READ_BYTES: usize = 64 << 10;
const SLICE_MESSAGES: u64 = 256;

/// All of it: receive buffer, frames, engine, outputs as PUB frames.
pub struct WholePath {
    stream: Stream,
    engine: Engine,
    receive_buffer: ReceiveBuffer,
    encoded: Vec<u8>,
    pass: i64,
    /// In a pass, once every symbol has had its first; `None`: as it comes.
    snapshots_expected: Option<u64>,
}

impl WholePath {
    pub fn new(stream: Stream, settings: EngineSettings) -> WholePath {
        let (receive_buffer, encoded) =
            (ReceiveBuffer::new(4 * READ_BYTES).expect("there is memory"), Vec::with_capacity(4 * READ_BYTES));
        WholePath {
            stream,
            engine: Engine::new(settings).expect("there is memory"),
            receive_buffer,
            encoded,
            pass: 0,
            snapshots_expected: None,
        }
    }

    /// Trades of one symbol, so many of them in 60 s. Every tenth gives a snapshot, however long that takes.
    pub fn window(trades: usize, events: usize) -> WholePath {
        let gap = 60 * NANOS_PER_SECOND / trades as i64;
        let mut random = Random::new(SEED);
        let stream = Stream::of((0..events).map(|index| trade("BTCUSDT", index as i64 * gap, &mut random)));
        WholePath::with_snapshots(stream, gap, 1)
    }

    /// Each symbol has an event a second, four quotes to a trade, and a snapshot for every tenth, however many symbols there
    /// are; they come in an order that no cache foresees.
    pub fn market(symbols: usize, events: usize) -> WholePath {
        let gap = NANOS_PER_SECOND / symbols as i64;
        let mut random = Random::new(SEED);
        let mut order: Vec<usize> = (0..symbols).collect();
        for index in (1..symbols).rev() {
            order.swap(index, random.below(index as u64 + 1) as usize);
        }
        let stream = Stream::of((0..events).map(|index| {
            let (symbol, t) = (format!("SYM{}", order[index % symbols]), index as i64 * gap);
            if (index / symbols).is_multiple_of(5) {
                trade(&symbol, t, &mut random)
            } else {
                quote(&symbol, t, &mut random)
            }
        }));
        WholePath::with_snapshots(stream, gap, symbols)
    }

    /// Events come every `gap` ns, of each symbol in turn.
    fn with_snapshots(stream: Stream, gap: i64, symbols: usize) -> WholePath {
        const SHARE: usize = 10;
        let publish_interval = Some(gap * (symbols * SHARE) as i64);
        let settings = EngineSettings { publish_interval, ..EngineSettings::default() };
        // Where there are fewer events to a symbol, its turn does not come in every pass.
        let is_each_pass = stream.event_count >= (symbols * SHARE) as u64;
        let snapshots_expected = is_each_pass.then_some(stream.event_count / SHARE as u64);
        WholePath { snapshots_expected, ..WholePath::new(stream, settings) }
    }
}

impl Work for WholePath {
    fn events(&self) -> u64 {
        self.stream.event_count
    }

    fn prepare(&mut self, pass: i64) {
        self.pass = pass;
        self.stream.rebase(pass);
    }

    fn run(&mut self) -> u64 {
        let WholePath { stream, engine, receive_buffer, encoded, .. } = self;
        let (mut handled, mut published) = (0, 0);
        for part in stream.bytes.chunks(READ_BYTES) {
            assert_eq!(receive_buffer.push(part), part.len(), "the receive buffer has room for a read");
            loop {
                let round = take_messages(
                    engine,
                    receive_buffer,
                    Ownership::ALL,
                    Receipt::Unrecorded,
                    SLICE_MESSAGES,
                    &mut NoneMalformed,
                )
                .expect("the frames are right");
                handled += round.messages;
                while let Some(message) = engine.poll_output() {
                    published += 1;
                    encode::publish(encoded, message.subject, None, message.payload);
                }
                if encoded.len() > 2 * READ_BYTES {
                    encoded.clear();
                }
                if round.is_drained {
                    break;
                }
            }
        }
        if self.pass > 0
            && let Some(expected) = self.snapshots_expected
        {
            let range = expected * 9 / 10..=expected * 11 / 10 + 1;
            assert!(range.contains(&published), "{published} snapshots where {expected} were expected");
        }
        handled
    }
}

/// The events are made to be taken.
struct NoneMalformed;

impl Observer for NoneMalformed {
    fn control(&mut self, _: &ServerOp<'_>) {}

    fn malformed(&mut self, _: &[u8], malformed: Malformed) {
        panic!("the events are well-formed: {malformed}");
    }
}

fn trade(symbol: &str, t: i64, random: &mut Random) -> (String, String) {
    // Too little movement for signals, which would be more in the one market than in the other.
    let (price, size) = (random.below(100), 1 + random.below(5_000));
    let body = format!(
        r#""price":640{price:02}.5,"size":{}.{:03},"side":"buy","trade_id":"4217896584""#,
        size / 1000,
        size % 1000
    );
    (format!("{PREFIX}.trade.{symbol}"), payload("trade", symbol, t, &body, random))
}

fn quote(symbol: &str, t: i64, random: &mut Random) -> (String, String) {
    let price = random.below(100);
    let body = format!(r#""bid":640{price:02}.4,"bid_size":46.371,"ask":640{price:02}.5,"ask_size":0.095"#);
    (format!("{PREFIX}.quote.{symbol}"), payload("quote", symbol, t, &body, random))
}

fn payload(event_type: &str, symbol: &str, t: i64, body: &str, random: &mut Random) -> String {
    let ts_recv = UnixNanos(1_721_347_020 * NANOS_PER_SECOND + t);
    let ts_exchange = ts_recv.minus((2_000_000.0 + 8_000_000.0 * random.fraction()) as i64);
    let [ts_exchange, ts_recv] =
        [ts_exchange, ts_recv].map(|t| String::from_utf8(encode_time(t).into()).expect("text"));
    format!(
        r#"{{"event_type":"{event_type}","provider":"binance","symbol":"{symbol}","ts_exchange":"{ts_exchange}","ts_recv":"{ts_recv}",{body}}}"#
    )
}
