//! Keeps warm the code that the next event will need.
//!
//! A shard that waits loses its caches to whatever else runs on the machine, and the event that ends the wait pays for
//! every line of code on its way: some 400 of them, 20 us where the code has gone from the last cache, 3 us where it has
//! not. So while a shard waits, a made-up trade goes that way now and then through a small engine of its own, from frame
//! to encoded snapshot. Nothing of it leaves, and nothing of it reaches the shard's own engine.
//!
//! Turned down: prefetching the code, which needs unsafe and gains less; asking the shard's own engine for a snapshot
//! that is thrown away, which leaves the decoder and the windows cold; a busy poll, which takes a core (and is an option).

use proto_nats::encode;

use crate::engine::engine::Engine;
use crate::engine::receipt::Receipt;

use crate::engine::input::receive_buffer::ReceiveBuffer;
use crate::engine::intake::{MalformedCount, take_messages};
use crate::engine::memory::NoMemory;
use crate::engine::ownership::Ownership;
use crate::engine::settings::EngineSettings;
use crate::engine::time::{NANOS_PER_MILLI, NANOS_PER_SECOND, UnixNanos, encode_time};

/// Many times the frame.
const RECEIVE_BUFFER_BYTES: usize = 16 << 10;
/// The made-up time between two trades: about what passes, so that it lasts for centuries.
const STEP_NS: i64 = NANOS_PER_MILLI;
/// Trades in a window: as few as a quiet symbol has.
const WINDOW_TRADES: usize = 60;
const START: UnixNanos = UnixNanos(1_700_000_000 * NANOS_PER_SECOND);
const LATENCY_NS: i64 = 3 * NANOS_PER_MILLI;

/// A small engine with a made-up trade: see the head of this file.
pub struct CacheWarmer {
    engine: Engine,
    receive_buffer: ReceiveBuffer,
    frame: Vec<u8>,
    /// Where its two timestamps stand.
    times: [usize; 2],
    now: UnixNanos,
    encoded: Vec<u8>,
}

impl CacheWarmer {
    /// Reserves all that it needs.
    pub fn new() -> Result<Self, NoMemory> {
        let settings = EngineSettings {
            symbols_max: 1,
            window_trades: 2 * WINDOW_TRADES,
            rolling_window: WINDOW_TRADES as i64 * STEP_NS,
            // Few, as these need to be in the caches for nothing.
            deduplicate_trades: WINDOW_TRADES,
            // A snapshot each time.
            publish_interval: Some(STEP_NS),
            ..EngineSettings::default()
        };
        let time = String::from_utf8_lossy(&encode_time(START)).into_owned();
        let payload = format!(
            r#"{{"event_type":"trade","provider":"none","symbol":"WARM","ts_exchange":"{time}","ts_recv":"{time}","price":64000.5,"size":0.25,"side":"buy","trade_id":"1"}}"#
        );
        let frame = format!("MSG {}.trade.WARM 1 {}\r\n{payload}\r\n", settings.subject_prefix, payload.len());
        let times = [frame.find(&time), frame.rfind(&time)].map(|at| at.expect("it was just put in"));
        Ok(CacheWarmer {
            engine: Engine::new(settings)?,
            receive_buffer: ReceiveBuffer::new(RECEIVE_BUFFER_BYTES)?,
            frame: frame.into_bytes(),
            times,
            now: START,
            encoded: Vec::with_capacity(4096),
        })
    }

    /// One trade; the snapshot that it gives, as a frame.
    pub fn run(&mut self) -> &[u8] {
        self.now = self.now.plus(STEP_NS);
        for (at, moment) in self.times.into_iter().zip([self.now.minus(LATENCY_NS), self.now]) {
            let time = encode_time(moment);
            self.frame[at..at + time.len()].copy_from_slice(&time);
        }
        let taken = self.receive_buffer.push(&self.frame);
        debug_assert_eq!(taken, self.frame.len(), "the receive buffer has room for a frame");
        let (receipt, observer) = (Receipt::At(self.now), &mut MalformedCount::default());
        let round = take_messages(&mut self.engine, &mut self.receive_buffer, Ownership::ALL, receipt, 2, observer);
        debug_assert!(round.is_ok_and(|round| round.is_drained) && observer.malformed == 0);
        self.encoded.clear();
        while let Some(message) = self.engine.poll_output() {
            encode::publish(&mut self.encoded, message.subject, None, message.payload);
        }
        &self.encoded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto_nats::{ClientOp, DecodeLimits, Decoded, decode_client_op};
    use serde_json::Value;

    #[test]
    fn every_run_goes_all_the_way_and_keeps_no_more_than_a_window() {
        let mut warmer = CacheWarmer::new().expect("there is memory");
        for index in 1..=10_000u64 {
            let frame = warmer.run();
            let Ok(Decoded::Op { op: ClientOp::Pub { payload, .. }, .. }) =
                decode_client_op(frame, &DecodeLimits::default())
            else {
                panic!("a snapshot")
            };
            let document: Value = serde_json::from_slice(payload).expect("it is JSON");
            let features = &document["features"];
            assert_eq!(features["trade_count_10s"], index.min(WINDOW_TRADES as u64), "{document}");
            assert!(features["latency_ms_p50"].as_f64().is_some_and(|ms| (ms - 3.0).abs() < 0.1), "{document}");
            assert_eq!(document["window_truncated"], false);
        }
        assert!(warmer.engine.window_trade_count() <= WINDOW_TRADES as u64 + 1);
    }
}
