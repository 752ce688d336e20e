//! An alert as JSON, and what it says to people: what happened, to what, what follows and what to do.

use std::fmt::{self, Write};

use crate::engine::alerts::alert::{About, Alert, AlertKind, AlertState, Involved, StreamTrouble};
use crate::engine::time::encode_time;

impl Alert {
    /// Appends `{"ts","kind","severity","state","symbol","provider","message","value","threshold"}`. Nothing is allocated where `out`
    /// has room.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"ts\":\"");
        out.extend_from_slice(&encode_time(self.ts));
        for (name, value) in [
            ("\",\"kind\":\"", self.kind.name()),
            ("\",\"severity\":\"", self.kind.severity()),
            ("\",\"state\":\"", self.state.name()),
        ] {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value.as_bytes());
        }
        out.push(b'"');
        for (name, value) in [(",\"symbol\":", self.symbol()), (",\"provider\":", self.provider())] {
            out.extend_from_slice(name.as_bytes());
            put_text(out, value);
        }
        out.extend_from_slice(b",\"message\":\"");
        self.say(&mut Escaped(out)).expect("memory takes every write");
        out.push(b'"');
        for (name, value) in [(",\"value\":", self.value), (",\"threshold\":", self.threshold)] {
            out.extend_from_slice(name.as_bytes());
            match value.filter(|value| value.is_finite()) {
                Some(value) => out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes()),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b'}');
    }

    /// What it says to people.
    pub fn message(&self) -> String {
        let mut message = String::new();
        self.say(&mut message).expect("memory takes every write");
        message
    }

    fn say(&self, out: &mut impl Write) -> fmt::Result {
        let (value, limit) = (self.value.unwrap_or_default(), self.threshold.unwrap_or_default());
        match &self.about {
            About::Stream(trouble) if self.state == AlertState::Firing => say_of_stream(out, *trouble, value, limit),
            About::Process | About::Stream(_) => self.say_of_process(out, value, limit),
            About::Symbol(symbol, involved) => {
                write!(out, "{}: ", symbol.as_str())?;
                self.say_of_symbol(out, involved, value, limit)
            }
            About::Provider(provider) => {
                write!(out, "provider {}: ", provider.as_str())?;
                self.say_of_provider(out, value, limit)
            }
            About::Many { began, ended, sent } => write!(
                out,
                "within one second {began} alerts of the kind {} began and {ended} were over: {sent} of them were sent one by \
                 one, this stands for the others. Look for one cause of them all",
                self.kind.name()
            ),
        }
    }

    fn say_of_symbol(&self, out: &mut impl Write, involved: &Involved, value: f64, limit: f64) -> fmt::Result {
        match (self.kind, self.state) {
            (AlertKind::ProviderSwitch, AlertState::Firing) => match involved {
                Involved::Switched { to, from } => write!(
                    out,
                    "it is taken from provider {} now and no longer from {}, which was not heard any more or comes later in \
                     PROVIDERS: its windows begin anew, so that its features are null until they have filled",
                    to.as_str(),
                    from.as_str()
                ),
                _ => out.write_str("it has another provider, and its windows begin anew"),
            },
            (AlertKind::ProviderSwitch, AlertState::Resolved) => out.write_str("its provider has not changed for 5 s"),
            (AlertKind::MixedProviders, AlertState::Firing) => match involved {
                Involved::Both([one, other]) => write!(
                    out,
                    "providers {} and {} both send it, and PROVIDER_MODE=merged makes one market of them, whose prices are \
                     those of neither. Use primary or separate, or let one of them send",
                    one.as_str(),
                    other.as_str()
                ),
                _ => out.write_str("several providers send it, and PROVIDER_MODE=merged makes one market of them"),
            },
            (AlertKind::MixedProviders, AlertState::Resolved) => {
                out.write_str("for 5 s its windows have held the events of no more than one provider")
            }
            (AlertKind::Latency, AlertState::Firing) => write!(
                out,
                "one event in twenty takes {} ms or more from the exchange to its receipt, and the limit is {limit} ms: \
                 its features and signals are that late. Look for a backlog at the producer or in the network, or a clock \
                 that is wrong",
                rounded_ms(value)
            ),
            (AlertKind::Latency, AlertState::Resolved) => {
                write!(out, "the 95th percentile of its latency has not been above {limit} ms for 5 s")
            }
            (_, AlertState::Firing) => out.write_str(
                "there is no room for all its trades or latencies of the window, and the oldest were given up: its features \
                 are computed without them, and its snapshots say window_truncated. Raise WINDOW_TRADES, or follow fewer \
                 symbols",
            ),
            (_, AlertState::Resolved) => out.write_str("its windows have lacked nothing for 5 s"),
        }
    }

    fn say_of_provider(&self, out: &mut impl Write, value: f64, limit: f64) -> fmt::Result {
        let (value, limit) = (Seconds(value), Seconds(limit));
        match (self.kind, self.state) {
            (AlertKind::Lag, AlertState::Firing) => write!(
                out,
                "for 5 s every event has come more than {limit} after its time, the last one {value} after it: features \
                 and signals are that late. It is a backlog at the producer or in NATS, or a clock or time zone that is wrong"
            ),
            (AlertKind::Lag, AlertState::Resolved) => {
                write!(out, "for 5 s its events have not all come more than {limit} after their time")
            }
            (AlertKind::ClockSkew, AlertState::Firing) => write!(
                out,
                "the time of an event was {value} ahead of its receipt, and {limit} are believed: its events take the time \
                 of their receipt until 5 s without another. Compare the producer's clock with this machine's (NTP)"
            ),
            (AlertKind::ClockSkew, AlertState::Resolved) => out.write_str(
                "no time of an event has been too far ahead of its receipt for 5 s: its times are believed again",
            ),
            (_, AlertState::Firing) => write!(
                out,
                "no event and no heartbeat has come for {value}, and the limit is {limit}: what is known of its symbols grows \
                 old. See whether the producer runs, and whether it reaches NATS"
            ),
            (_, AlertState::Resolved) => write!(out, "it has been heard for 5 s without a gap of {limit}"),
        }
    }

    fn say_of_process(&self, out: &mut impl Write, value: f64, limit: f64) -> fmt::Result {
        match (self.kind, self.state) {
            (AlertKind::SymbolLimit, AlertState::Firing) => write!(
                out,
                "all {limit} places for symbols are taken (MAX_SYMBOLS), and the events of a further one were dropped. Raise \
                 MAX_SYMBOLS, or name those to follow (SYMBOLS)"
            ),
            (AlertKind::SymbolLimit, AlertState::Resolved) => {
                out.write_str("no event has been dropped for want of a place for its symbol for 5 s")
            }
            (AlertKind::Backpressure, AlertState::Firing) => write!(
                out,
                "the queue between NATS and the engine is {:.0} % full: from {:.0} % on quotes, books and heartbeats are dropped, \
                 trades are not. More comes than is worked off: use more CORES, follow fewer SYMBOLS, or raise QUEUE_BYTES if it \
                 is only a burst",
                value * 100.0,
                limit * 100.0
            ),
            (AlertKind::Backpressure, AlertState::Resolved) => {
                write!(out, "the queue has been under {:.0} % for 5 s, and no event was dropped for it", limit * 100.0)
            }
            (AlertKind::Jetstream, _) => out.write_str("nothing has been wrong with the reading of the stream for 5 s"),
            (_, AlertState::Firing) => out.write_str(
                "the NATS server has ended the connection as it does with a consumer that reads too slowly: what it still held \
                 for this service is lost, trades too. It connects again by itself. Use more CORES or follow fewer SYMBOLS, or \
                 raise the server's max_pending and write_deadline",
            ),
            (_, AlertState::Resolved) => out.write_str(
                "the NATS server has not ended the connection of a slow consumer for 5 s; what was lost stays lost",
            ),
        }
    }
}

fn say_of_stream(out: &mut impl Write, trouble: StreamTrouble, value: f64, limit: f64) -> fmt::Result {
    match trouble {
        StreamTrouble::Unreadable => out.write_str(
            "the stream of JetStream is not read, so that nothing comes in: /ready and the log say why, and what mends it. It is \
             tried again all the time",
        ),
        StreamTrouble::Missed => write!(
            out,
            "the stream no longer holds what comes next, or could not deliver it: {value} messages at most will not be seen, \
             trades too. Let the stream keep more (max_age, max_bytes), or see why this service was away for so long"
        ),
        StreamTrouble::Replaced => out.write_str(
            "the stream was made anew or has lost its newest messages: what it holds now is read, and what was lost stays \
             lost. See whether it was restored from an older copy, or its server has lost its memory or its disk",
        ),
        StreamTrouble::ConsumerLost => out.write_str(
            "the consumer on the server was lost and another one is made, which goes on where it stood, if the stream is still the \
             same: the log says how it was lost, and whether messages are; see whether servers restart, or consumers or streams \
             are deleted",
        ),
        StreamTrouble::Behind => write!(
            out,
            "what is read was stored {value:.1} s ago, and the limit is {limit} s: features and signals are that late. More comes \
             than is worked off, or the service was away: use more CORES or follow fewer SYMBOLS if it stays so"
        ),
    }
}

/// A length of time in seconds, as people read it: in ms below one second, else in seconds, to the ms.
struct Seconds(f64);

impl fmt::Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = rounded_ms(self.0 * 1000.0);
        if ms < 1000.0 { write!(out, "{ms} ms") } else { write!(out, "{} s", ms / 1000.0) }
    }
}

/// Whole ms, below ten of them to a hundredth.
fn rounded_ms(ms: f64) -> f64 {
    if ms < 10.0 { (ms * 100.0).round() / 100.0 } else { ms.round() }
}

fn put_text(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => {
            out.push(b'"');
            Escaped(out).write_str(text).expect("memory takes every write");
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

/// The inside of a JSON string.
struct Escaped<'a>(&'a mut Vec<u8>);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', byte]),
                0..0x20 => {
                    let digit = |value: u8| b"0123456789abcdef"[value as usize];
                    self.0.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
                }
                _ => self.0.push(byte),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::alerts::alert::{Involved, ProviderName, SymbolName};
    use crate::engine::time::UnixNanos;
    use serde_json::{Value, json};

    fn document(kind: AlertKind, state: AlertState, about: About, value: Option<f64>, threshold: Option<f64>) -> Value {
        let mut out = Vec::new();
        Alert { ts: UnixNanos(1_700_000_000_123_456_789), kind, state, about, value, threshold }.encode(&mut out);
        serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)))
    }

    fn about(kind: AlertKind) -> About {
        let name = ProviderName::new;
        match kind {
            AlertKind::Latency => About::Symbol(SymbolName::new("BTCUSDT"), Involved::Nobody),
            AlertKind::WindowTruncated => About::Symbol(SymbolName::new("BTCUSDT"), Involved::Own(name("a"))),
            AlertKind::MixedProviders => {
                About::Symbol(SymbolName::new("BTCUSDT"), Involved::Both([name("one"), name("two")]))
            }
            AlertKind::ProviderSwitch => {
                About::Symbol(SymbolName::new("BTCUSDT"), Involved::Switched { to: name("new"), from: name("old") })
            }
            AlertKind::ClockSkew | AlertKind::Lag | AlertKind::Gap => About::Provider(ProviderName::new("binance")),
            AlertKind::Jetstream => About::Stream(StreamTrouble::Missed),
            _ => About::Process,
        }
    }

    #[test]
    fn every_kind_says_in_each_state_what_it_is_about() {
        let mut messages = std::collections::BTreeSet::new();
        for kind in AlertKind::ALL {
            for state in [AlertState::Firing, AlertState::Resolved] {
                let document = document(kind, state, about(kind), Some(1532.5), Some(1000.0));
                let keys: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
                let mut expected =
                    ["ts", "kind", "severity", "state", "symbol", "provider", "message", "value", "threshold"];
                expected.sort_unstable();
                assert_eq!(keys, expected, "serde_json sorts them");
                assert_eq!((&document["kind"], &document["state"]), (&json!(kind.name()), &json!(state.name())));
                assert_eq!(document["ts"], "2023-11-14T22:13:20.123456Z");
                assert_eq!((&document["value"], &document["threshold"]), (&json!(1532.5), &json!(1000.0)));
                let (symbol, provider) = match about(kind) {
                    About::Symbol(_, Involved::Own(_)) => (json!("BTCUSDT"), json!("a")),
                    About::Symbol(_, Involved::Switched { .. }) => (json!("BTCUSDT"), json!("new")),
                    About::Symbol(..) => (json!("BTCUSDT"), Value::Null),
                    About::Provider(_) => (Value::Null, json!("binance")),
                    _ => (Value::Null, Value::Null),
                };
                assert_eq!((&document["symbol"], &document["provider"]), (&symbol, &provider));
                let message = document["message"].as_str().unwrap().to_owned();
                assert!(message.contains(symbol.as_str().or(provider.as_str()).unwrap_or_default()), "{message}");
                assert!(!message.ends_with('.') && messages.insert(message.clone()), "{message}");
            }
        }
    }

    #[test]
    fn each_trouble_with_a_stream_has_its_words() {
        let troubles = [
            (StreamTrouble::Unreadable, None, "is not read"),
            (StreamTrouble::Missed, Some(7.0), "7 messages at most"),
            (StreamTrouble::Replaced, None, "made anew"),
            (StreamTrouble::ConsumerLost, None, "the consumer on the server was lost"),
            (StreamTrouble::Behind, Some(12.34), "12.3 s ago, and the limit is 5 s"),
        ];
        for (trouble, value, words) in troubles {
            let document = document(AlertKind::Jetstream, AlertState::Firing, About::Stream(trouble), value, Some(5.0));
            assert!(document["message"].as_str().unwrap().contains(words), "{document}");
            assert_eq!(document["severity"], "critical");
        }
    }

    #[test]
    fn the_order_of_the_fields_and_nulls() {
        let mut out = Vec::new();
        Alert {
            ts: UnixNanos(1_700_000_000_000_000_000),
            kind: AlertKind::SymbolLimit,
            state: AlertState::Resolved,
            about: About::Process,
            value: None,
            threshold: Some(f64::INFINITY),
        }
        .encode(&mut out);
        let text = String::from_utf8(out).unwrap();
        let start = r#"{"ts":"2023-11-14T22:13:20.000000Z","kind":"symbol_limit","severity":"warning","state":"resolved","symbol":null,"provider":null,"message":""#;
        assert!(text.starts_with(start) && text.ends_with(r#"","value":null,"threshold":null}"#), "{text}");
    }

    #[test]
    fn names_hold_what_json_escapes() {
        let name = "a\"b\\c\u{1}\nd/é";
        let about = About::Provider(ProviderName::new(name));
        let document = document(AlertKind::Gap, AlertState::Firing, about, Some(15.0), Some(15.0));
        assert_eq!(document["provider"], name);
        assert!(document["message"].as_str().unwrap().starts_with(&format!("provider {name}: no event")));
    }

    #[test]
    fn lengths_of_time_are_in_ms_below_a_second() {
        let check = |kind: AlertKind, value: f64, limit: f64, expected: [&str; 2]| {
            let document = document(kind, AlertState::Firing, about(kind), Some(value), Some(limit));
            let message = document["message"].as_str().unwrap();
            assert!(expected.iter().all(|part| message.contains(part)), "{message}");
        };
        check(AlertKind::Gap, 0.04, 0.04, ["has come for 40 ms,", "the limit is 40 ms:"]);
        check(AlertKind::Gap, 15.0, 15.0, ["has come for 15 s,", "the limit is 15 s:"]);
        check(AlertKind::Gap, 0.9999, 0.5, ["has come for 1 s,", "the limit is 500 ms:"]);
        check(AlertKind::Lag, 1.2345678, 0.25, ["more than 250 ms after", "the last one 1.235 s after"]);
        check(AlertKind::Lag, 3600.0, 5.0, ["more than 5 s after", "the last one 3600 s after"]);
        check(AlertKind::ClockSkew, 0.0021234, 0.002, ["was 2.12 ms ahead", "and 2 ms are believed"]);
        check(AlertKind::ClockSkew, 0.0, 0.0, ["was 0 ms ahead", "and 0 ms are believed"]);
        check(AlertKind::Latency, 1532.5, 1000.0, ["takes 1533 ms or", "the limit is 1000 ms:"]);
        check(AlertKind::Latency, 0.6123, 0.5, ["takes 0.61 ms or", "the limit is 0.5 ms:"]);
    }

    #[test]
    fn many_are_one_with_their_number() {
        let about = About::Many { began: 9_990, ended: 10, sent: 20 };
        let document = document(AlertKind::Latency, AlertState::Firing, about, Some(10_000.0), Some(20.0));
        assert_eq!((&document["symbol"], &document["value"]), (&Value::Null, &json!(10_000.0)));
        let message = document["message"].as_str().unwrap();
        assert!(
            message.starts_with("within one second 9990 alerts of the kind latency began and 10 were over: 20 of them"),
            "{message}"
        );
    }
}
