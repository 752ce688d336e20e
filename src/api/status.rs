//! The `status` events: how the service is, once a second. Its figures are named as those of /stats.

use serde_json::{Value, json};

use crate::api::documents::{self, VERSION};
use crate::engine::alerts::board::AlertBoard;
use crate::engine::counters::Histogram;
use crate::engine::time::{NANOS_PER_SECOND, encode_time};
use crate::runtime::clock::Clock;
use crate::service::report::ShardReport;

/// Alerts that fire, as a status lists them; `alerts_firing` is their number.
const ALERTS_LISTED_MAX: usize = 20;

/// Makes them one after another.
pub struct StatusMaker {
    instance: String,
    /// What the last one was made of: latencies are those of the events since then.
    processing_latency: Option<Histogram>,
}

impl StatusMaker {
    /// `instance` names the process.
    pub fn new(instance: String) -> StatusMaker {
        StatusMaker { instance, processing_latency: None }
    }

    /// The next one.
    pub fn status(&mut self, reports: &[ShardReport], board: &AlertBoard, clock: &Clock, readers: usize) -> String {
        let uptime_seconds = clock.elapsed_ns() as f64 / NANOS_PER_SECOND as f64;
        let troubles = documents::all_troubles(reports, board, uptime_seconds);
        let mut status = documents::figures(reports);
        let (firing, mut alerts) = board.firing();
        alerts.truncate(ALERTS_LISTED_MAX);
        let latency = self.latency_since_last(reports);
        let percentile = |q| latency.as_ref().and_then(|latency| latency.quantile_ns(q)).map(|ns| ns / 1e6);
        let now = encode_time(clock.now());
        let more = json!({
            "instance": self.instance,
            "version": VERSION,
            "ts": std::str::from_utf8(&now).expect("a time is ASCII"),
            "uptime_seconds": uptime_seconds,
            "status": documents::status_word(reports, &troubles),
            "troubles": troubles,
            "nats_connected": documents::is_connected(reports),
            "ready": documents::is_ready(reports),
            "jetstream": documents::stream_of_all(reports),
            "alerts_firing": firing,
            "alerts": alerts.iter().map(documents::document).collect::<Vec<Value>>(),
            "processing_latency_ms": { "p50": percentile(0.5), "p95": percentile(0.95), "p99": percentile(0.99) },
            "event_readers": readers,
        });
        if let Value::Object(more) = more {
            status.extend(more);
        }
        Value::Object(status).to_string()
    }

    fn latency_since_last(&mut self, reports: &[ShardReport]) -> Option<Histogram> {
        let all = Histogram::sum(reports.iter().map(|report| &report.counters.processing_latency))?;
        let before = self.processing_latency.replace(all.clone());
        before.map(|before| all.since(&before))
    }
}
