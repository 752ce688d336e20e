//! An engine whose events are received as they happen, and what it publishes.

use senpai_md_consumer::engine::counters::{DropReason, Topic};
use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::input::subject::EventKind;
use senpai_md_consumer::engine::receipt::Receipt;
use senpai_md_consumer::engine::settings::{EngineSettings, ProviderMode};
use senpai_md_consumer::engine::time::{NANOS_PER_SECOND, UnixNanos};
use serde_json::Value;

pub const START: i64 = 1_700_000_000 * NANOS_PER_SECOND;

pub fn at(seconds: f64) -> i64 {
    START + (seconds * 1e9).round() as i64
}

/// An engine, and what it has published: subject and document.
pub struct Market {
    pub engine: Engine,
    pub published: Vec<(String, Value)>,
}

impl Market {
    pub fn new(change: impl FnOnce(&mut EngineSettings)) -> Self {
        let mut settings = EngineSettings { symbols_max: 4, window_trades: 1_000, ..EngineSettings::default() };
        change(&mut settings);
        Market { engine: Engine::new(settings).expect("there is memory"), published: Vec::new() }
    }

    pub fn primary(listed: &[&str]) -> Self {
        Market::new(|settings| settings.providers.preferred = listed.iter().map(|name| (*name).to_owned()).collect())
    }

    pub fn of_mode(mode: ProviderMode) -> Self {
        Market::new(|settings| settings.providers.mode = mode)
    }

    /// Subject and payload of the next snapshot or signal; alerts are in `tests/alerts`.
    pub fn next_output(&mut self) -> Option<(String, Value)> {
        loop {
            let message = self.engine.poll_output()?;
            if message.topic != Topic::Alert {
                let subject = String::from_utf8(message.subject.to_vec()).expect("text");
                return Some((subject, serde_json::from_slice(message.payload).expect("JSON")));
            }
        }
    }

    pub fn event(&mut self, moment: i64, kind: &str, symbol: &str, payload: &str) {
        let subject = format!("md.events.{kind}.{symbol}");
        let receipt = Receipt::At(UnixNanos(moment));
        self.engine.handle_event(subject.as_bytes(), payload.as_bytes(), receipt).expect("it is well-formed");
        while let Some(output) = self.next_output() {
            self.published.push(output);
        }
    }

    /// A trade of X at `second`; no provider with `""`.
    pub fn trade(&mut self, second: f64, provider: &str, price: f64) -> &mut Self {
        self.event(at(second), "trade", "X", &format!(r#"{{"provider":"{provider}","price":{price},"size":5}}"#));
        self
    }

    pub fn quote(&mut self, second: f64, provider: &str, bid: f64) -> &mut Self {
        let payload = format!(r#"{{"provider":"{provider}","bid":{bid},"ask":{}}}"#, bid + 0.02);
        self.event(at(second), "quote", "X", &payload);
        self
    }

    pub fn document(&mut self, symbol: &str, second: f64) -> Value {
        let document = self.engine.features_document(symbol, UnixNanos(at(second))).expect("it is known");
        serde_json::from_slice(&document).expect("it is JSON")
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        EventKind::ALL.iter().map(|kind| self.engine.counters.dropped(reason, *kind)).sum()
    }

    pub fn signals(&self) -> Vec<&Value> {
        let signals = self.published.iter().filter(|(subject, _)| subject.starts_with("senpai.signals."));
        signals.map(|(_, document)| document).collect()
    }

    pub fn names(&self) -> Vec<&str> {
        self.engine.symbols().after(None).map(|(name, _)| name).collect()
    }
}
