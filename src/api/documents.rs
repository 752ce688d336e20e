//! /health, /ready and /stats as JSON, /metrics as Prometheus text: made of the shards' reports when they are asked for.
//! What has a line for every symbol is made a page of symbols at a time, while it is sent.

use std::collections::BTreeMap;
use std::mem;
use std::rc::Rc;

use futures_lite::stream;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder, TextEncoder};
use serde_json::{Map, Value, json};

use crate::api::prometheus_text::MetricType::{Counter, Gauge};
use crate::api::prometheus_text::{begin_family, histogram, sample, single};
use crate::api::symbol_walk::SymbolWalk;
use crate::engine::counters::{DropReason, OutputKind};
use crate::engine::input::subject::EventKind;
use crate::engine::state::cooldowns::Direction;
use crate::http::counts::{HttpCounts, Unserved};
use crate::http::response::Parts;
use crate::runtime::logging;
use crate::service::report::ShardReport;
use crate::service::requests::ShardHandle;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn is_connected(reports: &[ShardReport]) -> bool {
    reports.iter().all(|report| report.connection.is_connected)
}

/// Connected and subscribed, on every core.
pub fn is_ready(reports: &[ShardReport]) -> bool {
    reports.iter().all(|report| report.connection.is_ready)
}

fn troubles(reports: &[ShardReport]) -> Vec<&str> {
    let of_each = reports.iter().flat_map(|report| [&report.connection.trouble, &report.connection.publish_trouble]);
    let mut troubles: Vec<&str> = of_each.filter_map(Option::as_deref).collect();
    troubles.sort_unstable();
    troubles.dedup();
    troubles
}

/// `/ready`: whether every shard is ready, and what is wrong.
pub fn ready(reports: &[ShardReport]) -> Value {
    json!({ "ready": is_ready(reports), "troubles": troubles(reports) })
}

/// The list of symbols may be longer than it was in the reports; `symbol_count` is its length.
pub fn health(reports: &[ShardReport], shards: &[ShardHandle], uptime_seconds: f64) -> Parts {
    let troubles = troubles(reports);
    let status = if is_ready(reports) && troubles.is_empty() { "ok" } else { "degraded" };
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

/// A document that is made part by part.
trait PartByPart: Sized + 'static {
    async fn next(&mut self) -> Option<Vec<u8>>;

    fn in_parts(self) -> Parts {
        Box::pin(stream::unfold(self, |mut document| async move { Some((document.next().await?, document)) }))
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

fn figures(reports: &[ShardReport]) -> Map<String, Value> {
    let sum = |figure: &dyn Fn(&ShardReport) -> u64| reports.iter().map(figure).sum::<u64>();
    let by_kind: Map<String, Value> = EventKind::ALL
        .iter()
        .map(|kind| (kind.name().to_owned(), sum(&|r| r.counters.events_in[*kind as usize].iter().sum()).into()))
        .collect();
    let publish_dropped: Map<String, Value> = OutputKind::ALL
        .iter()
        .map(|kind| (kind.name().to_owned(), sum(&|r| r.counters.publish_dropped[*kind as usize]).into()))
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
        "timestamps_rejected": sum(&|r| r.counters.timestamps_rejected.iter().sum()),
        "features_published": sum(&|r| r.counters.features_published),
        "signals_emitted": sum(&|r| r.counters.signals_emitted.iter().sum()),
        "signals_suppressed": { "stale": sum(&|r| r.counters.signals_suppressed_stale) },
        "publish_dropped": publish_dropped,
        "symbols": sum(&|r| r.symbol_count as u64),
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
fn fill_ratio(reports: &[ShardReport]) -> f64 {
    let running = reports.iter().filter(|r| r.queue_capacity_bytes > 0);
    let ratios = running.map(|r| r.queue_len_bytes as f64 / r.queue_capacity_bytes as f64);
    ratios.fold(0.0, f64::max)
}

/// `/stats`: the counters of all shards, summed up.
pub fn stats(reports: &[ShardReport], http: &HttpCounts, uptime_seconds: f64) -> Value {
    let mut stats = figures(reports);
    let cores = reports.iter().map(|report| {
        let mut core = figures(std::slice::from_ref(report));
        core.insert("core".into(), report.core.into());
        core.insert("nats_connected".into(), report.connection.is_connected.into());
        core.insert("ready".into(), report.connection.is_ready.into());
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

/// Content type of [`metrics`].
pub const METRICS_TYPE: &str = prometheus::TEXT_FORMAT;

/// The counters of all labels are there, with 0 where nothing has been counted; those with a label for the symbol only for
/// symbols of which something has been.
pub fn metrics(
    reports: Vec<ShardReport>,
    shards: &[ShardHandle],
    http: Rc<HttpCounts>,
    process: Rc<ProcessCollector>,
) -> Parts {
    let shards = shards.to_vec();
    Metrics { reports, shards, http, process, stage: Stage::Totals }.in_parts()
}

struct Metrics {
    reports: Vec<ShardReport>,
    shards: Vec<ShardHandle>,
    http: Rc<HttpCounts>,
    process: Rc<ProcessCollector>,
    stage: Stage,
}

/// What comes next.
enum Stage {
    Totals,
    Process,
    Published(SymbolWalk),
    Signals(SymbolWalk),
    End,
}

const PUBLISHED: &str = "senpai_feature_publish_total";
const SIGNALS: &str = "senpai_signals_emitted_total";

impl PartByPart for Metrics {
    async fn next(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(16 << 10);
        match &mut self.stage {
            Stage::Totals => {
                totals(&self.reports, &self.http, &mut out);
                self.stage = Stage::Process;
            }
            Stage::Process => {
                let families = self.process.collect();
                TextEncoder::new().encode(&families, &mut out).expect("its families have names and samples");
                begin_family(PUBLISHED, Counter, "Feature snapshots published.", &mut out);
                self.stage = Stage::Published(SymbolWalk::new(&self.shards));
            }
            Stage::Published(symbols) => {
                let page = symbols.next_page().await;
                for symbol in page.iter().filter(|symbol| symbol.features_published > 0) {
                    sample(PUBLISHED, &[("symbol", &symbol.name)], symbol.features_published, &mut out);
                }
                if page.is_empty() {
                    begin_family(SIGNALS, Counter, "Signals emitted.", &mut out);
                    let has_signals = self.reports.iter().any(|report| report.counters.signals_emitted != [0, 0]);
                    self.stage = match has_signals {
                        true => Stage::Signals(SymbolWalk::new(&self.shards)),
                        false => Stage::End,
                    };
                }
            }
            Stage::Signals(symbols) => {
                let page = symbols.next_page().await;
                for symbol in page.iter().filter(|symbol| symbol.signals_emitted != [0, 0]) {
                    for direction in Direction::ALL {
                        let labels = [("symbol", &*symbol.name), ("direction", direction.name())];
                        sample(SIGNALS, &labels, symbol.signals_emitted[direction as usize], &mut out);
                    }
                }
                if page.is_empty() {
                    self.stage = Stage::End;
                }
            }
            Stage::End => return None,
        }
        Some(out)
    }
}

/// What does not have a line for each symbol.
fn totals(reports: &[ShardReport], http: &HttpCounts, out: &mut Vec<u8>) {
    let sum = |figure: &dyn Fn(&ShardReport) -> u64| reports.iter().map(figure).sum::<u64>();
    // Each core has its own numbers for the providers.
    let mut providers: BTreeMap<&str, ([u64; EventKind::ALL.len()], u64)> = BTreeMap::new();
    for report in reports {
        for (index, name) in report.providers.iter().enumerate() {
            let (events, rejected) = providers.entry(name).or_default();
            EventKind::ALL.iter().for_each(|kind| {
                events[*kind as usize] += report.counters.events_in[*kind as usize][index];
            });
            *rejected += report.counters.timestamps_rejected[index];
        }
    }

    let name = "senpai_events_in_total";
    begin_family(name, Counter, "Events received.", out);
    for kind in EventKind::ALL {
        for (provider, (events, _)) in &providers {
            sample(name, &[("type", kind.name()), ("provider", provider)], events[kind as usize], out);
        }
    }
    let name = "senpai_events_dropped_total";
    begin_family(name, Counter, "Events not used, or not wholly.", out);
    for reason in DropReason::ALL {
        for kind in EventKind::ALL {
            let count = sum(&|report| report.counters.dropped(reason, kind));
            sample(name, &[("reason", reason.name()), ("type", kind.name())], count, out);
        }
    }
    let name = "senpai_timestamps_rejected_total";
    begin_family(name, Counter, "Event times too far ahead of local receipt.", out);
    for (provider, (_, rejected)) in &providers {
        sample(name, &[("provider", provider)], rejected, out);
    }
    let name = "senpai_signals_suppressed_total";
    begin_family(name, Counter, "Signals not emitted.", out);
    sample(name, &[("reason", "stale")], sum(&|report| report.counters.signals_suppressed_stale), out);
    let name = "senpai_publish_dropped_total";
    begin_family(name, Counter, "Outputs that were given up unsent, or that the server refused.", out);
    for kind in OutputKind::ALL {
        let count = sum(&|report| report.counters.publish_dropped[kind as usize]);
        sample(name, &[("kind", kind.name())], count, out);
    }
    let name = "senpai_http_unserved_total";
    begin_family(name, Counter, "Peers of HTTP that were not served, or not to the end.", out);
    for reason in Unserved::ALL {
        sample(name, &[("reason", reason.name())], http.unserved(reason), out);
    }
    let mut counter = |name, help, count: u64| single(name, Counter, help, count, out);
    counter(
        "senpai_nats_reconnects_total",
        "Connections made ready again after a loss.",
        sum(&|report| report.connection.reconnects),
    );
    counter(
        "senpai_nats_slow_consumer_cuts_total",
        "Ends of the connection that look like the server gave up on a slow consumer.",
        sum(&|report| report.connection.slow_consumer_cuts),
    );
    counter("senpai_log_lines_lost_total", "Log lines that standard error did not take.", logging::lines_lost());

    let mut gauge = |name, help, value: f64| single(name, Gauge, help, value, out);
    gauge("senpai_queue_fill_ratio", "Fill of the queue between socket and engine, 0..1.", fill_ratio(reports));
    gauge("senpai_nats_connected", "1 when every core has its NATS connection.", f64::from(is_connected(reports)));
    gauge("senpai_symbols", "Symbols tracked.", sum(&|report| report.symbol_count as u64) as f64);
    gauge("senpai_window_trades", "Trades held in the windows.", sum(&|report| report.window_trade_count) as f64);
    let name = "senpai_build_info";
    begin_family(name, Gauge, "Always 1; the label tells the version.", out);
    sample(name, &[("version", VERSION)], 1, out);

    histogram(
        "senpai_processing_latency_ms",
        "From an event's bytes being read to its outputs being in the outgoing buffer, in ms.",
        reports.iter().map(|report| &report.counters.processing_latency),
        out,
    );
    histogram(
        "senpai_read_gap_ms",
        "From one look at the NATS socket to the next while there was work, in ms: what an event may wait unread.",
        reports.iter().filter_map(|report| report.read_gap.as_ref()),
        out,
    );
}
