//! The HTTP endpoints (SPEC section 5): asks the shards, shows their answers.

use std::cmp::Reverse;
use std::rc::Rc;
use std::sync::Arc;

use async_channel::{Sender, bounded};
use prometheus::process_collector::ProcessCollector;

use crate::api::contract::openapi;
use crate::api::documents;
use crate::api::event_hub::READERS_MAX;
use crate::api::event_rounds::Events;
use crate::api::metrics;
use crate::api::page;
use crate::api::shard_reports::reports;
use crate::engine::alerts::board::AlertBoard;
use crate::engine::bounds::LATEST_MAX;
use crate::engine::ownership::Ownership;
use crate::engine::settings::ProviderMode;
use crate::engine::time::NANOS_PER_SECOND;
use crate::http::counts::HttpCounts;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::server::Responder;
use crate::runtime::clock::Clock;
use crate::runtime::turns::Turns;
use crate::service::requests::{ShardHandle, ShardRequest};

/// Answers HTTP's requests from the shards.
pub struct Api {
    shards: Vec<ShardHandle>,
    /// Of any shard: all of them share instance and number of cores.
    ownership: Ownership,
    provider_mode: ProviderMode,
    board: Arc<AlertBoard>,
    clock: Clock,
    counts: Rc<HttpCounts>,
    process: Rc<ProcessCollector>,
    events: Rc<Events>,
    openapi: String,
}

impl Responder for Api {
    async fn respond(&self, request: Request) -> Response {
        match request.path.as_str() {
            "/health" => {
                let reports = reports(&self.shards).await;
                Response::json(200, documents::health(&reports, &self.shards, &self.board, self.uptime_seconds()))
            }
            "/ready" => {
                let reports = reports(&self.shards).await;
                let status = if documents::is_ready(&reports) { 200 } else { 503 };
                Response::json(status, documents::ready(&reports).to_string())
            }
            "/stats" => {
                let reports = reports(&self.shards).await;
                Response::json(
                    200,
                    documents::stats(&reports, &self.board, &self.counts, self.uptime_seconds()).to_string(),
                )
            }
            "/metrics" => {
                let (reports, counts, process) =
                    (reports(&self.shards).await, self.counts.clone(), self.process.clone());
                let text = metrics::metrics(reports, &self.shards, self.board.fired(), counts, process);
                Response::text(200, metrics::CONTENT_TYPE, text)
            }
            "/state/latest" => self.symbol_document(&request, ShardRequest::State).await,
            "/features/latest" | "/features" => self.symbol_document(&request, ShardRequest::Features).await,
            "/signals/latest" => self.latest_signals(&request).await,
            "/alerts/latest" => self.latest_alerts(&request),
            "/events" => match self.events.join(symbol(&request), request.last_event_id.as_deref()) {
                Some(reader) => Response::events(reader),
                None => Response::error(503, &format!("all {READERS_MAX} event streams are taken")),
            },
            "/openapi.json" => Response::json(200, self.openapi.as_str()),
            path => page::file(path).unwrap_or_else(no_such_page),
        }
    }
}

fn no_such_page() -> Response {
    Response::error(
        404,
        "no such page; there are / (the live page), /events, /health, /ready, /metrics, /stats, /state/latest?symbol=, \
         /features/latest?symbol= (or /features?symbol=), /signals/latest, /alerts/latest and /openapi.json",
    )
}

impl Api {
    /// `shards` in the order of their cores. `counts` and `turns` are those of the HTTP server.
    pub fn new(
        shards: Vec<ShardHandle>,
        ownership: Ownership,
        provider_mode: ProviderMode,
        board: Arc<AlertBoard>,
        clock: Clock,
        counts: Rc<HttpCounts>,
        turns: Rc<Turns>,
    ) -> Api {
        let events = Events::new(shards.clone(), board.clone(), clock, turns);
        let process = Rc::new(ProcessCollector::for_self());
        Api { shards, ownership, provider_mode, board, clock, counts, process, events, openapi: openapi() }
    }

    fn uptime_seconds(&self) -> f64 {
        self.clock.elapsed_ns() as f64 / NANOS_PER_SECOND as f64
    }

    /// Of all cores together, those of the symbol that is asked for.
    async fn latest_signals(&self, request: &Request) -> Response {
        let limit = match limit(request) {
            Ok(limit) => limit,
            Err(refusal) => return refusal,
        };
        let mut signals = Vec::new();
        for shard in &self.shards {
            let (reply, answer) = bounded(1);
            shard.send(ShardRequest::Signals(0, reply)).await;
            // A shard that has ended has none any more.
            signals.extend(answer.recv().await.unwrap_or_default());
        }
        // Those of one core stay in their order.
        signals.sort_by_key(|signal| Reverse(signal.moment));
        signals.truncate(LATEST_MAX);
        let wanted = symbol(request);
        signals.retain(|signal| wanted.is_none_or(|wanted| signal.is_of(wanted)));
        let documents = signals.iter().take(limit).map(|signal| &signal.document[..]);
        Response::json(200, documents::list("signals", documents))
    }

    fn latest_alerts(&self, request: &Request) -> Response {
        let limit = match limit(request) {
            Ok(limit) => limit,
            Err(refusal) => return refusal,
        };
        let wanted = symbol(request);
        let alerts = self.board.latest(limit, |alert| wanted.is_none_or(|wanted| alert.is_of(wanted)));
        let documents = alerts.iter().map(|alert| {
            let mut document = Vec::new();
            alert.encode(&mut document);
            document
        });
        Response::json(200, documents::list("alerts", documents))
    }

    /// Where each provider has a state of its own, any core may have the one that is named: it is the symbol that cores share
    /// by, and where that ends in a name only its core knows.
    async fn symbol_document(
        &self,
        request: &Request,
        shard_request: fn(String, Sender<Option<Vec<u8>>>) -> ShardRequest,
    ) -> Response {
        let Some(symbol) = symbol(request) else {
            return Response::error(400, &format!("say which symbol: {}?symbol=BTCUSDT", request.path));
        };
        let owner = self.ownership.core_of(symbol.as_bytes()).map(|core| core as usize);
        let asked = match self.provider_mode {
            ProviderMode::Separate => 0..self.shards.len(),
            ProviderMode::Primary | ProviderMode::Merged => owner.map_or(0..0, |core| core..core + 1),
        };
        for core in asked {
            let (reply, answer) = bounded(1);
            if !self.shards[core].send(shard_request(symbol.to_owned(), reply)).await {
                return Response::error(503, "the service is stopping");
            }
            match answer.recv().await {
                Ok(Some(document)) => return Response::json(200, document),
                Ok(None) => {}
                Err(_) => return Response::error(503, "the service is stopping"),
            }
        }
        if self.provider_mode == ProviderMode::Separate
            && let Some(core) = owner
        {
            let (reply, answer) = bounded(1);
            self.shards[core].send(ShardRequest::States(symbol.to_owned(), reply)).await;
            let states = answer.recv().await.unwrap_or_default();
            if !states.is_empty() {
                let named = states.join(", ");
                return Response::error(
                    404,
                    &format!("each provider of {symbol} has a state of its own; say which: {named}"),
                );
            }
        }
        Response::error(404, &format!("no event of the symbol {symbol} has arrived; /health lists the symbols"))
    }
}

/// The symbol that is asked for.
fn symbol(request: &Request) -> Option<&str> {
    request.parameter("symbol").filter(|symbol| !symbol.is_empty())
}

/// How many are asked for at most.
fn limit(request: &Request) -> Result<usize, Response> {
    let Some(text) = request.parameter("limit") else { return Ok(LATEST_MAX) };
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // One that overflows is more than there are.
    match is_number.then(|| text.parse().unwrap_or(usize::MAX)) {
        Some(limit @ 1..) => Ok(limit),
        _ => Err(Response::error(400, &format!("limit is a whole number from 1 on: {}?limit=10", request.path))),
    }
}
