//! /health, /ready and /stats as JSON, /metrics as Prometheus text: made of the shards' reports when somebody asks.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};
use serde_json::{Map, Value, json};
use smallvec::{SmallVec, smallvec};

use super::logging;
use super::query::ShardReport;
use crate::engine::counters::{DropReason, LATENCY_BOUNDS_NS, OutputKind};
use crate::engine::signal::Direction;
use crate::engine::subject::EventKind;

pub const VERSION: &str = env!("CARGO_PKG_VERSION");

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

pub fn health(reports: &[ShardReport], uptime_seconds: f64) -> Value {
    let mut symbols: Vec<&str> =
        reports.iter().flat_map(|report| &report.symbols).map(|symbol| symbol.name.as_str()).collect();
    symbols.sort_unstable();
    json!({
        "status": if is_ready(reports) && troubles(reports).is_empty() { "ok" } else { "degraded" },
        "nats_connected": is_connected(reports),
        "symbol_count": symbols.len(),
        "symbols": symbols,
        "uptime_seconds": uptime_seconds,
        "version": VERSION,
        "troubles": troubles(reports),
    })
}

pub fn ready(reports: &[ShardReport]) -> Value {
    json!({ "ready": is_ready(reports), "troubles": troubles(reports) })
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
        "features_published": sum(&|r| r.features_published),
        "signals_emitted": sum(&|r| r.signals_emitted),
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

pub fn stats(reports: &[ShardReport], uptime_seconds: f64) -> Value {
    let mut stats = figures(reports);
    let cores = reports.iter().map(|report| {
        let mut core = figures(std::slice::from_ref(report));
        core.insert("core".into(), report.core.into());
        core.insert("nats_connected".into(), report.connection.is_connected.into());
        core.insert("ready".into(), report.connection.is_ready.into());
        Value::Object(core)
    });
    stats.insert("cores".into(), cores.collect());
    stats.insert("nats_connected".into(), is_connected(reports).into());
    stats.insert("uptime_seconds".into(), uptime_seconds.into());
    Value::Object(stats)
}

/// Content type of [`metrics`].
pub const METRICS_TYPE: &str = prometheus::TEXT_FORMAT;

/// Label values by name; counts of the same labels over all cores are one sample.
type Samples = BTreeMap<SmallVec<[String; 2]>, u64>;

pub fn metrics(reports: &[ShardReport]) -> Vec<u8> {
    let mut families = ProcessCollector::for_self().collect();
    let mut events_in = Samples::new();
    let mut events_dropped = Samples::new();
    let mut rejected = Samples::new();
    let mut published = Samples::new();
    let mut signals = Samples::new();
    let mut publish_dropped = Samples::new();
    for report in reports {
        let counters = &report.counters;
        for kind in EventKind::ALL {
            for (provider, count) in report.providers.iter().zip(counters.events_in[kind as usize]) {
                if count > 0 {
                    *events_in.entry(smallvec![kind.name().into(), provider.clone()]).or_default() += count;
                }
            }
            for reason in DropReason::ALL {
                let count = counters.dropped(reason, kind);
                *events_dropped.entry(smallvec![reason.name().into(), kind.name().into()]).or_default() += count;
            }
        }
        for (provider, count) in report.providers.iter().zip(counters.timestamps_rejected) {
            if count > 0 {
                *rejected.entry(smallvec![provider.clone()]).or_default() += count;
            }
        }
        for symbol in &report.symbols {
            *published.entry(smallvec![symbol.name.clone()]).or_default() += symbol.features_published;
            for direction in Direction::ALL {
                let count = symbol.signals_emitted[direction as usize];
                if count > 0 {
                    *signals.entry(smallvec![symbol.name.clone(), direction.name().into()]).or_default() += count;
                }
            }
        }
        for kind in OutputKind::ALL {
            *publish_dropped.entry(smallvec![kind.name().into()]).or_default() +=
                counters.publish_dropped[kind as usize];
        }
    }
    let sum = |figure: &dyn Fn(&ShardReport) -> u64| reports.iter().map(figure).sum::<u64>();
    let one = |count: u64| Samples::from([(SmallVec::new(), count)]);
    let stale = Samples::from([(smallvec!["stale".into()], sum(&|r| r.counters.signals_suppressed_stale))]);
    families.extend([
        counter("senpai_events_in_total", "Events received.", &["type", "provider"], events_in),
        counter("senpai_events_dropped_total", "Events not used, or not wholly.", &["reason", "type"], events_dropped),
        counter(
            "senpai_timestamps_rejected_total",
            "Event times too far ahead of local receipt.",
            &["provider"],
            rejected,
        ),
        counter("senpai_feature_publish_total", "Feature snapshots published.", &["symbol"], published),
        counter("senpai_signals_emitted_total", "Signals emitted.", &["symbol", "direction"], signals),
        counter("senpai_signals_suppressed_total", "Signals not emitted.", &["reason"], stale),
        counter("senpai_publish_dropped_total", "Outputs that were given up unsent.", &["kind"], publish_dropped),
        counter(
            "senpai_nats_reconnects_total",
            "Connections made ready again after a loss.",
            &[],
            one(sum(&|r| r.connection.reconnects)),
        ),
        counter(
            "senpai_nats_slow_consumer_cuts_total",
            "Ends of the connection that look like the server gave up on a slow consumer.",
            &[],
            one(sum(&|r| r.connection.slow_consumer_cuts)),
        ),
        counter(
            "senpai_log_lines_lost_total",
            "Log lines that standard error did not take.",
            &[],
            one(logging::lines_lost()),
        ),
        gauge(
            "senpai_queue_fill_ratio",
            "Fill of the queue between socket and engine, 0..1.",
            &[],
            fill_ratio(reports),
        ),
        gauge(
            "senpai_nats_connected",
            "1 when every core has its NATS connection.",
            &[],
            is_connected(reports) as u8 as f64,
        ),
        gauge("senpai_symbols", "Symbols tracked.", &[], sum(&|r| r.symbol_count as u64) as f64),
        gauge("senpai_window_trades", "Trades held in the windows.", &[], sum(&|r| r.window_trade_count) as f64),
        gauge("senpai_build_info", "Always 1; the label tells the version.", &[("version", VERSION)], 1.0),
        processing_latency(reports),
    ]);
    families.sort_by(|a, b| a.name().cmp(b.name()));
    // A family without samples is not text that Prometheus expects.
    families.retain(|family| !family.get_metric().is_empty());
    let mut text = Vec::new();
    TextEncoder::new().encode(&families, &mut text).expect("families with names and samples can be written");
    text
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.into());
    family.set_help(help.into());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.into());
    pair.set_value(value.into());
    pair
}

fn counter(name: &str, help: &str, labels: &[&str], samples: Samples) -> MetricFamily {
    let metrics = samples.into_iter().map(|(values, count)| {
        let mut metric =
            Metric::from_label(labels.iter().zip(&values).map(|(name, value)| label(name, value)).collect());
        let mut counter = Counter::default();
        counter.set_value(count as f64);
        metric.set_counter(counter);
        metric
    });
    family(name, help, MetricType::COUNTER, metrics.collect())
}

fn gauge(name: &str, help: &str, labels: &[(&str, &str)], value: f64) -> MetricFamily {
    let mut metric = Metric::from_label(labels.iter().map(|(name, value)| label(name, value)).collect());
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    metric.set_gauge(gauge);
    family(name, help, MetricType::GAUGE, vec![metric])
}

fn processing_latency(reports: &[ShardReport]) -> MetricFamily {
    let mut histogram = Histogram::default();
    let mut cumulative = 0;
    let count_in =
        |bucket: usize| -> u64 { reports.iter().map(|r| r.counters.processing_latency.counts[bucket]).sum() };
    let buckets = LATENCY_BOUNDS_NS.iter().enumerate().map(|(index, bound_ns)| {
        cumulative += count_in(index);
        let mut bucket = Bucket::default();
        bucket.set_cumulative_count(cumulative);
        bucket.set_upper_bound(*bound_ns as f64 / 1e6);
        bucket
    });
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(cumulative + count_in(LATENCY_BOUNDS_NS.len()));
    histogram.set_sample_sum(reports.iter().map(|r| r.counters.processing_latency.sum_ns).sum::<u64>() as f64 / 1e6);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    family(
        "senpai_processing_latency_ms",
        "From an event's bytes being read to its outputs being in the outgoing buffer, in ms.",
        MetricType::HISTOGRAM,
        vec![metric],
    )
}
