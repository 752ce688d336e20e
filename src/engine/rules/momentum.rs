//! The long and short rules (SPEC section 3).

use crate::engine::features::snapshot::Snapshot;
use crate::engine::rules::guards::Ages;
use crate::engine::state::best_prices::BestPrices;
use crate::engine::state::cooldowns::Direction;
use crate::engine::time::UnixNanos;

/// The rule's name in a signal: price momentum over 10 s, confirmed by volume, in a tight market.
pub const RULE: &str = "momentum_10s";

/// Thresholds and times of the rules.
#[derive(Clone, Copy, Debug)]
pub struct SignalSettings {
    /// Of the return over 10 s, as a fraction: above it long, below its negative short.
    pub return_threshold: f64,
    /// The size traded in 10 s must be above it.
    pub volume_threshold: f64,
    /// The spread must be below it.
    pub spread_max_bps: f64,
    /// ns of event time in which a direction is not signalled again.
    pub cooldown: i64,
    /// Beyond one of them there is no signal.
    pub age_limits: Ages,
}

/// The direction in which all conditions hold, each of them strict. Null satisfies no condition; a crossed market gives no
/// signal. The volume is computed last: it is the only figure that may cost a walk over the window.
#[inline]
pub fn direction(
    settings: &SignalSettings,
    return_short: Option<f64>,
    best: Option<BestPrices>,
    volume_short: impl FnOnce() -> f64,
) -> Option<Direction> {
    let return_short = return_short?;
    let direction = if return_short > settings.return_threshold {
        Direction::Long
    } else if return_short < -settings.return_threshold {
        Direction::Short
    } else {
        return None;
    };
    let best = best?;
    let holds =
        !best.is_crossed() && best.spread_bps() < settings.spread_max_bps && volume_short() > settings.volume_threshold;
    holds.then_some(direction)
}

/// A signal as it waits to be sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signal {
    pub direction: Direction,
    /// The symbol's when it was given: its id ends with it.
    pub watermark: UnixNanos,
    /// The newest trade's price.
    pub price: f64,
    pub snapshot: Snapshot,
}
