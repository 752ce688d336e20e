//! What an alert is. Its words are in [`words`](super::words).

use crate::engine::alerts::short_text::ShortText;
use crate::engine::bounds::{PROVIDER_BYTES_MAX, SYMBOL_BYTES_MAX};
use crate::engine::state::provider::state_name;
use crate::engine::time::{NANOS_PER_MILLI, NANOS_PER_SECOND, UnixNanos};

/// Where all alerts are published.
pub const ALERTS_SUBJECT: &str = "senpai.alerts";

/// A symbol's name, kept with its alert.
pub type SymbolName = ShortText<SYMBOL_BYTES_MAX>;
/// A provider's name, kept with its alert.
pub type ProviderName = ShortText<PROVIDER_BYTES_MAX>;

/// Limits beyond which there is an alert.
#[derive(Clone, Copy, Debug)]
pub struct AlertSettings {
    /// `ALERT_LATENCY_P95_MS`; infinite where that alert is off.
    pub latency_p95_ms: f64,
    /// `ALERT_LAG_SECONDS` in ns; `i64::MAX` where that alert is off.
    pub lag: i64,
    /// `ALERT_GAP_SECONDS` in ns; `i64::MAX` where that alert is off.
    pub gap: i64,
}

impl AlertSettings {
    /// Whether a latency in ms is above the limit of its percentile.
    #[inline]
    pub fn is_late(&self, latency_ms: f64) -> bool {
        latency_ms > self.latency_p95_ms
    }

    /// The same limit in whole ns; `i64::MAX` where that alert is off.
    pub fn latency_max_ns(&self) -> i64 {
        (self.latency_p95_ms * NANOS_PER_MILLI as f64) as i64
    }
}

impl Default for AlertSettings {
    fn default() -> Self {
        AlertSettings { latency_p95_ms: 1000.0, lag: 5 * NANOS_PER_SECOND, gap: 15 * NANOS_PER_SECOND }
    }
}

/// What an alert warns of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum AlertKind {
    /// A symbol's 95th percentile of latency is above the limit.
    Latency,
    /// A symbol's windows lack what there was no room for.
    WindowTruncated,
    /// Two providers make one market of a symbol.
    MixedProviders,
    /// A symbol has another provider, and begins anew.
    ProviderSwitch,
    /// Event times that reach too far ahead of receipt: local receipt takes their place.
    ClockSkew,
    /// All events of a provider come long after their time.
    Lag,
    /// Nothing has come from a provider for long.
    Gap,
    /// A new symbol found no place.
    SymbolLimit,
    /// The queue between socket and engine is nearly full.
    Backpressure,
    /// The server has cut the connection, as it does with a consumer that is too slow.
    NatsSlowConsumer,
    /// The stream is not read, has lost something, is another one, or is read late.
    Jetstream,
}

/// Kinds of alerts.
pub const KINDS: usize = AlertKind::ALL.len();

impl AlertKind {
    /// In the order of the tables of counts.
    pub const ALL: [AlertKind; 11] = [
        Self::Latency,
        Self::WindowTruncated,
        Self::MixedProviders,
        Self::ProviderSwitch,
        Self::ClockSkew,
        Self::Lag,
        Self::Gap,
        Self::SymbolLimit,
        Self::Backpressure,
        Self::NatsSlowConsumer,
        Self::Jetstream,
    ];

    /// As alerts and metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::WindowTruncated => "window_truncated",
            Self::MixedProviders => "mixed_providers",
            Self::ProviderSwitch => "provider_switch",
            Self::ClockSkew => "clock_skew",
            Self::Lag => "lag",
            Self::Gap => "gap",
            Self::SymbolLimit => "symbol_limit",
            Self::Backpressure => "backpressure",
            Self::NatsSlowConsumer => "nats_slow_consumer",
            Self::Jetstream => "jetstream",
        }
    }

    /// Critical is what may have cost trades.
    pub fn severity(self) -> &'static str {
        match self {
            Self::NatsSlowConsumer | Self::Jetstream => "critical",
            _ => "warning",
        }
    }

    /// Whether it is about the process, and none of its symbols or providers.
    pub fn is_of_process(self) -> bool {
        matches!(self, Self::SymbolLimit | Self::Backpressure | Self::NatsSlowConsumer | Self::Jetstream)
    }
}

/// Whether it begins or is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum AlertState {
    /// The cause has begun.
    Firing,
    /// The cause has been gone for 5 s.
    Resolved,
}

impl AlertState {
    /// As alerts name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// What an alert is about.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum About {
    /// The process.
    Process,
    /// The stream that it reads, and what is wrong with that.
    Stream(StreamTrouble),
    /// A symbol.
    Symbol(SymbolName, Involved),
    /// A provider.
    Provider(ProviderName),
    /// More of a kind than go out one by one: `value` is the number of all in that second.
    Many {
        /// Those that began.
        began: u32,
        /// Those that were over.
        ended: u32,
        /// Those of both that went out one by one.
        sent: u32,
    },
}

/// What is wrong with the reading of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamTrouble {
    /// There is nothing to read from: `/ready` says why.
    Unreadable,
    /// It no longer holds what comes next: so many messages are lost.
    Missed,
    /// It was made anew, or has lost its newest messages.
    Replaced,
    /// The server's consumer was lost, and another one is made.
    ConsumerLost,
    /// What is read is old: so many seconds.
    Behind,
}

/// The providers that an alert about a symbol names.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Involved {
    /// None.
    Nobody,
    /// The one whose state it is.
    Own(ProviderName),
    /// The one that the symbol has now, and the one it had.
    Switched {
        /// Now.
        to: ProviderName,
        /// Before.
        from: ProviderName,
    },
    /// Two at once.
    Both([ProviderName; 2]),
}

/// An alert as it waits to be sent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Alert {
    /// Engine time.
    pub ts: UnixNanos,
    /// What it warns of.
    pub kind: AlertKind,
    /// Whether it begins or is over.
    pub state: AlertState,
    /// Whom or what.
    pub about: About,
    /// What was measured: ms of latency, seconds of a provider's alerts, fill of the queue from 0 to 1, symbols, cuts. `None` where
    /// nothing is.
    pub value: Option<f64>,
    /// The limit that it is beyond.
    pub threshold: Option<f64>,
}

impl Alert {
    /// The symbol that it is about.
    pub fn symbol(&self) -> Option<&str> {
        match &self.about {
            About::Symbol(symbol, _) => Some(symbol.as_str()),
            _ => None,
        }
    }

    /// Whether it is about the symbol of that name or, where each provider has a state of its own, about the state of that name.
    pub fn is_of(&self, name: &str) -> bool {
        let About::Symbol(symbol, involved) = &self.about else { return false };
        let Some(rest) = name.strip_prefix(symbol.as_str()) else { return false };
        match involved {
            Involved::Own(provider) => {
                rest.is_empty()
                    || rest.strip_prefix('@').is_some_and(|rest| rest.chars().eq(state_name(provider.as_str())))
            }
            _ => rest.is_empty(),
        }
    }

    /// The provider that it is about.
    pub fn provider(&self) -> Option<&str> {
        match &self.about {
            About::Provider(provider)
            | About::Symbol(_, Involved::Own(provider) | Involved::Switched { to: provider, .. }) => {
                Some(provider.as_str())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_of_its_symbol_and_of_its_state() {
        let (symbol, name) = (SymbolName::new("BTC@X"), ProviderName::new);
        let of = |about: About, name: &str| {
            let (kind, state) = (AlertKind::Latency, AlertState::Firing);
            Alert { ts: UnixNanos(0), kind, state, about, value: None, threshold: None }.is_of(name)
        };
        let own = About::Symbol(symbol, Involved::Own(name("a b.")));
        for (asked, is_of) in
            [("BTC@X", true), ("BTC@X@a_b_", true), ("BTC@X@a b.", false), ("BTC", false), ("", false)]
        {
            assert_eq!(of(own, asked), is_of, "{asked}");
        }
        let both = About::Symbol(symbol, Involved::Both([name("a"), name("b")]));
        assert!(of(both, "BTC@X") && !of(both, "BTC@X@a"));
        assert!(!of(About::Provider(name("a")), "a") && !of(About::Process, ""));
    }
}
