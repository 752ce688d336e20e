//! `/metrics`: all metrics of SPEC section 6 as Prometheus text, made of the shards' reports when they are requested. What has
//! a line for every symbol is made a page of symbols at a time, while it is sent.

use std::collections::BTreeMap;
use std::rc::Rc;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder, TextEncoder};

use crate::api::documents::{VERSION, fill_ratio, is_connected};
use crate::api::part_by_part::PartByPart;
use crate::api::prometheus_text::MetricType::{Counter, Gauge};
use crate::api::prometheus_text::{begin_family, histogram, sample, single};
use crate::api::symbol_walk::SymbolWalk;
use crate::engine::alerts::alert::{AlertKind, KINDS};
use crate::engine::counters::{DropReason, Suppression, Unpublished};
use crate::engine::input::subject::EventKind;
use crate::engine::state::cooldowns::Direction;
use crate::engine::time::NANOS_PER_SECOND;
use crate::http::counts::{HttpCounts, Unserved};
use crate::http::response::Parts;
use crate::runtime::logging;
use crate::service::report::ShardReport;
use crate::service::requests::ShardHandle;

/// Content type of [`metrics`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The counters of all labels are there, with 0 where nothing has been counted; those with a label for the symbol only for
/// symbols of which something has been. `alerts_fired` are those of the process, by kind.
pub fn metrics(
    reports: Vec<ShardReport>,
    shards: &[ShardHandle],
    alerts_fired: [u64; KINDS],
    http: Rc<HttpCounts>,
    process: Rc<ProcessCollector>,
) -> Parts {
    let shards = shards.to_vec();
    Metrics { reports, shards, alerts_fired, http, process, stage: Stage::Totals }.in_parts()
}

struct Metrics {
    reports: Vec<ShardReport>,
    shards: Vec<ShardHandle>,
    alerts_fired: [u64; KINDS],
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
                totals(&self.reports, &self.alerts_fired, &self.http, &mut out);
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
fn totals(reports: &[ShardReport], alerts_fired: &[u64; KINDS], http: &HttpCounts, out: &mut Vec<u8>) {
    let sum = |figure: &dyn Fn(&ShardReport) -> u64| reports.iter().map(figure).sum::<u64>();
    // Each core has its own numbers for the providers.
    let mut providers: BTreeMap<&str, ([u64; EventKind::ALL.len()], u64, u64)> = BTreeMap::new();
    for report in reports {
        for (index, name) in report.providers.iter().enumerate() {
            let (events, rejected, unreadable) = providers.entry(name).or_default();
            EventKind::ALL.iter().for_each(|kind| {
                events[*kind as usize] += report.counters.events_in[*kind as usize][index];
            });
            *rejected += report.counters.timestamps_rejected[index];
            *unreadable += report.counters.timestamps_unreadable[index];
        }
    }

    let name = "senpai_events_in_total";
    begin_family(name, Counter, "Events received.", out);
    for kind in EventKind::ALL {
        for (provider, (events, ..)) in &providers {
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
    for (provider, (_, rejected, _)) in &providers {
        sample(name, &[("provider", provider)], rejected, out);
    }
    let name = "senpai_timestamps_unreadable_total";
    begin_family(name, Counter, "Events with a time that could not be read under any of its names.", out);
    for (provider, (.., unreadable)) in &providers {
        sample(name, &[("provider", provider)], unreadable, out);
    }
    let name = "senpai_signals_suppressed_total";
    begin_family(name, Counter, "Signals not given though their conditions held.", out);
    for reason in Suppression::ALL {
        let count = sum(&|report| report.counters.signals_suppressed[reason as usize]);
        sample(name, &[("reason", reason.name())], count, out);
    }
    let name = "senpai_alerts_total";
    begin_family(name, Counter, "Alerts that have fired.", out);
    for kind in AlertKind::ALL {
        sample(name, &[("kind", kind.name())], alerts_fired[kind as usize], out);
    }
    let name = "senpai_publish_dropped_total";
    begin_family(
        name,
        Counter,
        "Outputs that were given up unsent, or that the server refused; signals that were too old to be sent.",
        out,
    );
    for kind in Unpublished::ALL {
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
    counter(
        "senpai_symbols_evicted_total",
        "Idle symbols that gave up their places for new ones.",
        sum(&|report| report.counters.symbols_evicted),
    );
    let streams = || reports.iter().filter_map(|report| report.connection.stream.as_ref());
    counter(
        "senpai_jetstream_resets_total",
        "Streams that went back or were made anew.",
        streams().map(|stream| stream.resets).sum(),
    );
    counter(
        "senpai_jetstream_missed_total",
        "Messages, at most, that the stream no longer held when they were to be read.",
        streams().map(|stream| stream.missed).sum(),
    );
    counter("senpai_log_lines_lost_total", "Log lines that standard error did not take.", logging::lines_lost());

    let mut gauge = |name, help, value: f64| single(name, Gauge, help, value, out);
    gauge("senpai_queue_fill_ratio", "Fill of the queue between socket and engine, 0..1.", fill_ratio(reports));
    gauge("senpai_nats_connected", "1 when every core has its NATS connection.", f64::from(is_connected(reports)));
    let pending: u64 = streams().map(|stream| stream.pending).sum();
    gauge("senpai_jetstream_pending", "Messages of the stream that wait to be read.", pending as f64);
    let lag_ns = streams().filter_map(|stream| stream.lag_ns).max().unwrap_or(0);
    let lag_seconds = lag_ns as f64 / NANOS_PER_SECOND as f64;
    gauge("senpai_jetstream_lag_seconds", "Age of what was read last while more waits.", lag_seconds);
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
