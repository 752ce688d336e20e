//! The JSON documents /health, /ready and /stats, and lists of others: made of the shards' reports when they are requested. `/health` lists all
//! symbols, and is made a page of symbols at a time, while it is sent.

use std::mem;

use proto_nats::jetstream::{Phase, ReaderReport};
use serde_json::{Map, Value, json};

use crate::api::part_by_part::PartByPart;
use crate::api::symbol_walk::SymbolWalk;
use crate::engine::alerts::alert::Alert;
use crate::engine::alerts::board::AlertBoard;
use crate::engine::counters::{DropReason, Suppression, Unpublished};
use crate::engine::input::subject::EventKind;
use crate::engine::time::NANOS_PER_SECOND;
use crate::http::counts::{HttpCounts, Unserved};
use crate::http::response::Parts;
use crate::service::report::ShardReport;
use crate::service::requests::ShardHandle;

pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// On every core.
pub fn is_connected(reports: &[ShardReport]) -> bool {
    reports.iter().all(|report| report.connection.is_connected)
}

/// Connected and subscribed, on every core.
pub fn is_ready(reports: &[ShardReport]) -> bool {
    reports.iter().all(|report| report.connection.is_ready)
}

fn troubles(reports: &[ShardReport]) -> Vec<&str> {
    let of_each = reports.iter().map(|report| &report.connection);
    let mut troubles: Vec<&str> =
        of_each.flat_map(|of| of.trouble.iter().chain(&of.publish_troubles)).map(String::as_str).collect();
    troubles.sort_unstable();
    troubles.dedup();
    troubles
}

/// `/ready`: whether every shard is ready, and what is wrong.
pub fn ready(reports: &[ShardReport]) -> Value {
    json!({ "ready": is_ready(reports), "troubles": troubles(reports) })
}

/// What is wrong with the process though it is ready: alerts that fire, and that nothing has come since the start.
fn troubles_of_process(reports: &[ShardReport], board: &AlertBoard, uptime_seconds: f64) -> Vec<String> {
    let mut troubles: Vec<String> = board.firing_of_process().iter().map(Alert::message).collect();
    let messages: u64 = reports.iter().map(|r| r.counters.events_in_total() + r.counters.events_foreign).sum();
    let gap_seconds = board.settings().gap as f64 / NANOS_PER_SECOND as f64;
    if messages == 0 && uptime_seconds >= gap_seconds {
        troubles.push(format!(
            "no event has come since the start {uptime_seconds:.0} s ago: see whether the producer runs, and publishes to \
             this NATS server under SUBJECT_PREFIX"
        ));
    }
    troubles
}

/// All that is wrong, one line each.
pub fn all_troubles(reports: &[ShardReport], board: &AlertBoard, uptime_seconds: f64) -> Vec<String> {
    let mut all: Vec<String> = troubles(reports).into_iter().map(str::to_owned).collect();
    all.extend(troubles_of_process(reports, board, uptime_seconds));
    all
}

/// `ok` or `degraded`.
pub fn status_word(reports: &[ShardReport], troubles: &[String]) -> &'static str {
    if is_ready(reports) && troubles.is_empty() { "ok" } else { "degraded" }
}

/// `{"name":[…]}`, of documents.
pub fn list(name: &str, documents: impl Iterator<Item = impl AsRef<[u8]>>) -> Vec<u8> {
    let mut out = format!("{{\"{name}\":[").into_bytes();
    for (index, document) in documents.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(document.as_ref());
    }
    out.extend_from_slice(b"]}");
    out
}

/// The list of symbols may be longer than it was in the reports; `symbol_count` is its length.
pub fn health(reports: &[ShardReport], shards: &[ShardHandle], board: &AlertBoard, uptime_seconds: f64) -> Parts {
    let troubles = all_troubles(reports, board, uptime_seconds);
    let status = status_word(reports, &troubles);
    let begin = format!(
        r#"{{"status":"{status}","troubles":{},"nats_connected":{},"symbols":["#,
        json!(troubles),
        is_connected(reports),
    );
    let end = format!(r#","uptime_seconds":{},"version":"{VERSION}"}}"#, json!(uptime_seconds));
    Health { begin, symbols: Some(SymbolWalk::new(shards)), symbol_count: 0, end }.in_parts()
}

struct Health {
    begin: String,
    /// `None` after the end.
    symbols: Option<SymbolWalk>,
    symbol_count: usize,
    end: String,
}

impl PartByPart for Health {
    async fn next(&mut self) -> Option<Vec<u8>> {
        let page = self.symbols.as_mut()?.next_page().await;
        let mut out = mem::take(&mut self.begin).into_bytes();
        for symbol in &page {
            if self.symbol_count > 0 {
                out.push(b',');
            }
            serde_json::to_writer(&mut out, &*symbol.name).expect("a Vec takes every write");
            self.symbol_count += 1;
        }
        if page.is_empty() {
            self.symbols = None;
            out.extend_from_slice(format!(r#"],"symbol_count":{}{}"#, self.symbol_count, self.end).as_bytes());
        }
        Some(out)
    }
}

fn dropped(reports: &[ShardReport]) -> Value {
    let by_reason = DropReason::ALL.map(|reason| {
        let by_kind: Map<String, Value> = EventKind::ALL
            .iter()
            .map(|kind| (*kind, reports.iter().map(|report| report.counters.dropped(reason, *kind)).sum::<u64>()))
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| (kind.name().to_owned(), count.into()))
            .collect();
        (reason.name().to_owned(), Value::Object(by_kind))
    });
    Value::Object(by_reason.into_iter().collect())
}

/// What is counted, summed up over the shards.
pub fn figures(reports: &[ShardReport]) -> Map<String, Value> {
    let sum = |figure: &dyn Fn(&ShardReport) -> u64| reports.iter().map(figure).sum::<u64>();
    let by_kind: Map<String, Value> = EventKind::ALL
        .iter()
        .map(|kind| (kind.name().to_owned(), sum(&|r| r.counters.events_in[*kind as usize].iter().sum()).into()))
        .collect();
    let publish_dropped: Map<String, Value> = Unpublished::ALL
        .iter()
        .map(|kind| (kind.name().to_owned(), sum(&|r| r.counters.publish_dropped[*kind as usize]).into()))
        .collect();
    let suppressed: Map<String, Value> = Suppression::ALL
        .iter()
        .map(|reason| (reason.name().to_owned(), sum(&|r| r.counters.signals_suppressed[*reason as usize]).into()))
        .collect();
    let rate = |pick: fn(&(f64, f64)) -> f64| reports.iter().map(|r| pick(&r.events_per_second)).sum::<f64>();
    let figures = json!({
        "queue": {
            "fill_ratio": fill_ratio(reports),
            "len_bytes": sum(&|r| r.queue_len_bytes as u64),
            "capacity_bytes": sum(&|r| r.queue_capacity_bytes as u64),
        },
        "dropped": dropped(reports),
        "events_per_second": { "1s": rate(|r| r.0), "60s": rate(|r| r.1) },
        "events_in": sum(&|r| r.counters.events_in_total()),
        "events_in_by_type": by_kind,
        "events_foreign": sum(&|r| r.counters.events_foreign),
        "events_repeated": sum(&|r| r.counters.events_repeated),
        "timestamps_rejected": sum(&|r| r.counters.timestamps_rejected.iter().sum()),
        "timestamps_unreadable": sum(&|r| r.counters.timestamps_unreadable.iter().sum()),
        "features_published": sum(&|r| r.counters.features_published),
        "signals_emitted": sum(&|r| r.counters.signals_emitted.iter().sum()),
        "signals_suppressed": suppressed,
        "publish_dropped": publish_dropped,
        "symbols": sum(&|r| r.symbol_count as u64),
        "symbols_evicted": sum(&|r| r.counters.symbols_evicted),
        "window_trades": sum(&|r| r.window_trade_count),
        "reconnects": sum(&|r| r.connection.reconnects),
        "slow_consumer_cuts": sum(&|r| r.connection.slow_consumer_cuts),
    });
    match figures {
        Value::Object(figures) => figures,
        _ => unreachable!("it is written as an object"),
    }
}

/// The fullest queue of all cores: the one that decides whether anything is shed.
pub fn fill_ratio(reports: &[ShardReport]) -> f64 {
    let running = reports.iter().filter(|r| r.queue_capacity_bytes > 0);
    let ratios = running.map(|r| r.queue_len_bytes as f64 / r.queue_capacity_bytes as f64);
    ratios.fold(0.0, f64::max)
}

/// `/stats`: the counters of all shards, summed up.
pub fn stats(reports: &[ShardReport], board: &AlertBoard, http: &HttpCounts, uptime_seconds: f64) -> Value {
    let mut stats = figures(reports);
    let (firing, alerts) = board.firing();
    stats.insert("alerts".into(), alerts.iter().map(document).collect());
    stats.insert("alerts_firing".into(), firing.into());
    let cores = reports.iter().map(|report| {
        let mut core = figures(std::slice::from_ref(report));
        core.insert("core".into(), report.core.into());
        core.insert("nats_connected".into(), report.connection.is_connected.into());
        core.insert("ready".into(), report.connection.is_ready.into());
        core.insert("jetstream".into(), report.connection.stream.as_ref().map(stream).into());
        Value::Object(core)
    });
    stats.insert("cores".into(), cores.collect());
    let unserved = Unserved::ALL.map(|reason| (reason.name().to_owned(), http.unserved(reason).into()));
    let unserved: Map<String, Value> = unserved.into_iter().collect();
    stats.insert("http".into(), json!({ "unserved": unserved }));
    stats.insert("nats_connected".into(), is_connected(reports).into());
    stats.insert("uptime_seconds".into(), uptime_seconds.into());
    Value::Object(stats)
}

/// Where the reading of a stream stands.
fn stream(report: &ReaderReport) -> Value {
    let phase = match report.phase {
        Phase::Offline => "offline",
        Phase::Preparing => "preparing",
        Phase::Newest => "newest",
        Phase::CatchingUp => "catching_up",
        Phase::Live => "live",
    };
    json!({
        "phase": phase,
        "caught_up": report.has_caught_up,
        "sequence": report.applied_sequence,
        "messages": report.applied_count,
        "pending": report.pending,
        "lag_seconds": report.lag_ns.map(|lag_ns| lag_ns as f64 / NANOS_PER_SECOND as f64),
        "missed": report.missed,
        "resets": report.resets,
        "consumers_lost": report.consumers_lost,
    })
}

/// Where the reading of the stream stands, of all cores together: that of the one which is least far, and the sums of what is
/// counted. `None`: events come over core NATS.
pub fn stream_of_all(reports: &[ShardReport]) -> Option<Value> {
    let each = || reports.iter().filter_map(|report| report.connection.stream.as_ref());
    let sum = |figure: fn(&ReaderReport) -> u64| each().map(figure).sum();
    let least = each().min_by_key(|report| report.phase as u8)?;
    // The age of what was read last is unknown where one core's is.
    let lag_ns = each().map(|report| report.lag_ns).reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b))).flatten();
    Some(stream(&ReaderReport {
        has_caught_up: each().all(|report| report.has_caught_up),
        applied_sequence: each().map(|report| report.applied_sequence).min().unwrap_or(0),
        applied_count: sum(|report| report.applied_count),
        pending: sum(|report| report.pending),
        lag_ns,
        missed: sum(|report| report.missed),
        resets: sum(|report| report.resets),
        consumers_lost: sum(|report| report.consumers_lost),
        ..*least
    }))
}

/// The JSON of an alert.
pub fn document(alert: &Alert) -> Value {
    let mut document = Vec::new();
    alert.encode(&mut document);
    serde_json::from_slice(&document).expect("it is JSON")
}
