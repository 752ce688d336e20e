//! The long and short rules (SPEC section 3).

use crate::engine::features::snapshot::{BestPrices, Snapshot};
use crate::engine::time::UnixNanos;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Direction {
    Long,
    Short,
}

impl Direction {
    pub const ALL: [Direction; 2] = [Self::Long, Self::Short];

    pub fn name(self) -> &'static str {
        match self {
            Self::Long => "long",
            Self::Short => "short",
        }
    }
}

/// The rule's name in a signal: price momentum over 10 s, confirmed by volume, in a tight market.
pub const RULE: &str = "momentum_10s";

/// Thresholds and times of the rules.
#[derive(Clone, Copy, Debug)]
pub struct SignalSettings {
    pub return_threshold: f64,
    pub volume_threshold: f64,
    pub spread_max_bps: f64,
    /// ns of event time in which a direction is not signalled again.
    pub cooldown: i64,
    /// ns behind its receipt from which an event gives no signal.
    pub age_max: i64,
}

/// The direction that the conditions give, each of them strict. Null satisfies none; a crossed market gives none.
/// The volume is asked for last: it is the only one that may cost something.
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

/// When each direction was last signalled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cooldowns {
    last: [Option<UnixNanos>; 2],
}

impl Cooldowns {
    #[inline]
    pub fn is_cooling(&self, direction: Direction, now: UnixNanos, cooldown: i64) -> bool {
        self.last[direction as usize].is_some_and(|last| now.since(last) < cooldown)
    }

    pub fn start(&mut self, direction: Direction, now: UnixNanos) {
        self.last[direction as usize] = Some(now);
    }
}

/// A signal as it waits to be sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signal {
    pub direction: Direction,
    /// The newest trade's price.
    pub price: f64,
    pub snapshot: Snapshot,
}
