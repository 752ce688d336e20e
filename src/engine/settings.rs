//! What an engine is built with; where each comes from is in `config`.

use crate::engine::alerts::alert::AlertSettings;
use crate::engine::bounds::{LATENCY_ROWS_SPARE, ROLLING_WINDOW_MAX_NS};
use crate::engine::rules::guards::Ages;
use crate::engine::rules::momentum::SignalSettings;
pub use crate::engine::state::primary_provider::{ProviderMode, ProviderSettings};
use crate::engine::time::NANOS_PER_SECOND;

/// The settings of an engine. Lengths of time are in ns.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// The subject tokens before the type of the event, `md.events`.
    pub subject_prefix: String,
    /// Symbols with a state; events of further ones are dropped.
    pub symbols_max: usize,
    /// Trades that all windows together hold, beside the first chunk of each symbol.
    pub window_trades: usize,
    /// Bucket rows beside those for each symbol.
    pub latency_rows_spare: usize,
    /// From one snapshot of a symbol to the next; `None` turns features off.
    pub publish_interval: Option<i64>,
    /// More than [`ROLLING_WINDOW_MAX_NS`] counts as that.
    pub rolling_window: i64,
    /// An event whose time is further ahead of local time gets local time instead, as do its provider's events after it.
    pub clock_skew_max: i64,
    /// Trades with ids that are remembered, so that one that comes again is known; 0 for none.
    pub deduplicate_trades: usize,
    /// What a symbol is when several providers send it.
    pub providers: ProviderSettings,
    /// A symbol that has been silent for so long gives up its place to a new one where there is no other; `None` for never.
    pub symbol_idle: Option<i64>,
    /// Thresholds and guards of the signals.
    pub signal: SignalSettings,
    /// Limits of the alerts.
    pub alerts: AlertSettings,
}

impl Default for EngineSettings {
    fn default() -> Self {
        EngineSettings {
            subject_prefix: "md.events".into(),
            symbols_max: 10_000,
            window_trades: 1_000_000,
            latency_rows_spare: LATENCY_ROWS_SPARE,
            publish_interval: Some(NANOS_PER_SECOND / 10),
            rolling_window: ROLLING_WINDOW_MAX_NS,
            clock_skew_max: NANOS_PER_SECOND,
            deduplicate_trades: 65_536,
            providers: ProviderSettings {
                mode: ProviderMode::Primary,
                preferred: Vec::new(),
                timeout: 30 * NANOS_PER_SECOND,
            },
            symbol_idle: Some(3600 * NANOS_PER_SECOND),
            signal: SignalSettings {
                return_threshold: 0.003,
                volume_threshold: 1.0,
                spread_max_bps: 20.0,
                cooldown: 10 * NANOS_PER_SECOND,
                age_limits: Ages {
                    event: 5 * NANOS_PER_SECOND,
                    quote: 30 * NANOS_PER_SECOND,
                    gap: 60 * NANOS_PER_SECOND,
                },
            },
            alerts: AlertSettings::default(),
        }
    }
}
