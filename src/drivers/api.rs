//! The HTTP endpoints (SPEC section 5): asks the shards, shows their answers.

use std::cell::Cell;
use std::rc::Rc;

use async_channel::{Sender, bounded};

use super::clock::Clock;
use super::documents;
use super::http_message::{Request, Response};
use super::http_server::Responder;
use super::query::{Detail, Query, ShardReport};
use crate::engine::intake::Ownership;

pub struct Api {
    pub shards: Vec<Sender<Query>>,
    /// Of any shard: all of them share instance and number of cores.
    pub ownership: Ownership,
    pub clock: Clock,
    /// Requests being answered, for the shard that shares the executor.
    pub requests: Rc<Cell<usize>>,
}

/// Counts a request for as long as it is being answered, however that ends.
struct Counted<'a>(&'a Cell<usize>);

impl<'a> Counted<'a> {
    fn new(requests: &'a Cell<usize>) -> Self {
        requests.set(requests.get() + 1);
        Counted(requests)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Responder for Api {
    async fn respond(&self, request: Request) -> Response {
        let _counted = Counted::new(&self.requests);
        match request.path.as_str() {
            "/health" => self.document(&documents::health(&self.reports(Detail::Symbols).await, self.uptime_seconds())),
            "/ready" => {
                let reports = self.reports(Detail::Totals).await;
                let status = if documents::is_ready(&reports) { 200 } else { 503 };
                Response::json(status, documents::ready(&reports).to_string())
            }
            "/stats" => self.document(&documents::stats(&self.reports(Detail::Totals).await, self.uptime_seconds())),
            "/metrics" => {
                let text = documents::metrics(&self.reports(Detail::Symbols).await);
                Response::text(200, documents::METRICS_TYPE, text)
            }
            "/state/latest" => self.symbol_document(&request, Query::State).await,
            "/features/latest" => self.symbol_document(&request, Query::Features).await,
            _ => Response::error(
                404,
                "no such page; there are /health, /ready, /metrics, /stats, /state/latest?symbol= and \
                 /features/latest?symbol=",
            ),
        }
    }
}

impl Api {
    fn document(&self, value: &serde_json::Value) -> Response {
        Response::json(200, value.to_string())
    }

    fn uptime_seconds(&self) -> f64 {
        self.clock.elapsed_ns() as f64 / 1e9
    }

    /// All shards are asked at once; each has its place, also one that has ended.
    async fn reports(&self, detail: Detail) -> Vec<ShardReport> {
        let mut answers = Vec::with_capacity(self.shards.len());
        for shard in &self.shards {
            let (reply, answer) = bounded(1);
            // Where nobody takes the question the answer's channel closes.
            let _ = shard.send(Query::Report(detail, reply)).await;
            answers.push(answer);
        }
        let mut reports = Vec::with_capacity(answers.len());
        for (core, answer) in (0..).zip(answers) {
            reports.push(answer.recv().await.unwrap_or_else(|_| ShardReport::missing(core)));
        }
        reports
    }

    async fn symbol_document(
        &self,
        request: &Request,
        query: fn(String, Sender<Option<Vec<u8>>>) -> Query,
    ) -> Response {
        let Some(symbol) = request.parameter("symbol").filter(|symbol| !symbol.is_empty()) else {
            return Response::error(400, &format!("say which symbol: {}?symbol=BTCUSDT", request.path));
        };
        let unknown =
            || Response::error(404, &format!("no event of the symbol {symbol} has arrived; /health lists the symbols"));
        let Some(core) = self.ownership.core_of(symbol.as_bytes()) else { return unknown() };
        let (reply, answer) = bounded(1);
        if self.shards[core as usize].send(query(symbol.to_owned(), reply)).await.is_err() {
            return Response::error(503, "the service is stopping");
        }
        match answer.recv().await {
            Ok(Some(document)) => Response::json(200, document),
            Ok(None) => unknown(),
            Err(_) => Response::error(503, "the service is stopping"),
        }
    }
}
