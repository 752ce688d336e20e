//! An engine that is told events and the time, and its alerts.

use senpai_md_consumer::engine::counters::OutputKind;
use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::receipt::Receipt;
use senpai_md_consumer::engine::settings::EngineSettings;
use senpai_md_consumer::engine::time::{NANOS_PER_MILLI, UnixNanos};
use serde_json::Value;

pub const MS: i64 = NANOS_PER_MILLI;
pub const SECOND: i64 = 1_000 * MS;
/// All moments here are counted from this one.
pub const START: i64 = 1_700_000_000 * SECOND;

/// Small, with the default limits.
pub fn settings() -> EngineSettings {
    EngineSettings { symbols_max: 64, window_trades: 10_000, ..EngineSettings::default() }
}

/// Kind, state, subject (symbol or provider, `-` for neither) and moment in ns from the start.
pub type Seen = (String, String, String, i64);

pub struct Stage {
    pub engine: Engine,
    /// All alerts so far.
    pub documents: Vec<Value>,
    looked_at: usize,
}

impl Stage {
    pub fn new(settings: EngineSettings) -> Stage {
        Stage::of(Engine::new(settings).expect("there is memory"))
    }

    pub fn of(engine: Engine) -> Stage {
        Stage { engine, documents: Vec::new(), looked_at: 0 }
    }

    /// An event at `moment`, the last one of what was read then.
    pub fn event(&mut self, subject: &str, payload: &str, moment: i64) {
        let receipt = Receipt::At(UnixNanos(START + moment));
        let _ = self.engine.handle_event(subject.as_bytes(), payload.as_bytes(), receipt);
        self.engine.set_moment_open(false);
        self.drain();
    }

    /// A trade of `provider` whose time is `age` before its receipt.
    pub fn trade(&mut self, symbol: &str, provider: &str, moment: i64, age: i64) {
        let t = START + moment - age;
        let payload = format!(r#"{{"provider":"{provider}","ts_recv":{t},"price":1,"size":1}}"#);
        self.event(&format!("md.events.trade.{symbol}"), &payload, moment);
    }

    /// A quote without any time, of no provider that is named.
    pub fn quote(&mut self, symbol: &str, moment: i64) {
        self.event(&format!("md.events.quote.{symbol}"), r#"{"bid":1,"ask":2}"#, moment);
    }

    pub fn heartbeat(&mut self, provider: &str, moment: i64) {
        let payload = format!(r#"{{"provider":"{provider}"}}"#);
        self.event(&format!("md.events.heartbeat.{provider}"), &payload, moment);
    }

    /// Time passes up to `moment`.
    pub fn pass(&mut self, moment: i64) {
        self.engine.handle_time(UnixNanos(START + moment));
        self.drain();
    }

    pub fn drain(&mut self) {
        while let Some(message) = self.engine.poll_output() {
            if message.topic.kind() == OutputKind::Alert {
                assert_eq!(message.subject, b"senpai.alerts");
                self.documents.push(serde_json::from_slice(message.payload).expect("it is JSON"));
            }
        }
    }

    /// How many alerts there are since `seen` was asked last.
    pub fn unseen(&self) -> usize {
        self.documents.len() - self.looked_at
    }

    /// The alerts since it was asked last.
    pub fn seen(&mut self) -> Vec<Seen> {
        let seen = self.documents[self.looked_at..].iter().map(seen).collect();
        self.looked_at = self.documents.len();
        seen
    }

    #[track_caller]
    pub fn expect(&mut self, expected: &[(&str, &str, &str, i64)]) {
        let expected: Vec<Seen> = expected
            .iter()
            .map(|(kind, state, about, at)| ((*kind).into(), (*state).into(), (*about).into(), *at))
            .collect();
        assert_eq!(self.seen(), expected);
    }
}

fn seen(document: &Value) -> Seen {
    let text = |field: &str| document[field].as_str().map(str::to_owned);
    let about = text("symbol").or(text("provider")).unwrap_or("-".into());
    (text("kind").expect("a kind"), text("state").expect("a state"), about, moment_of(&text("ts").expect("a time")))
}

/// In ns from the start, to the microsecond.
fn moment_of(text: &str) -> i64 {
    use senpai_md_consumer::engine::time::decode_time_text;
    decode_time_text(text.as_bytes()).expect("a time").0 - START
}
