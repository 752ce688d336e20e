//! The long and short rules (SPEC section 3).

use crate::engine::features::snapshot::Snapshot;
use crate::engine::rules::guards::Ages;
use crate::engine::state::best_prices::BestPrices;
use crate::engine::state::cooldowns::Direction;
use crate::engine::time::UnixNanos;

/// The rule's name in a signal: price momentum over 10 s, confirmed by volume, in a tight market.
pub const RULE: &str = "momentum_10s";

/// Figures are exact to this much of their value (SPEC section 2), so one that is no farther from its threshold is on it and not
/// beyond it. A tie in decimals comes to either side in doubles: 997 / 1000 - 1 is -0.0030000000000000027.
const TIE: f64 = 1e-9;

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

impl SignalSettings {
    /// The same with thresholds that what is on one of these is not beyond, as far as figures are exact: what
    /// [`direction`] takes.
    pub fn apart_from_ties(self) -> SignalSettings {
        SignalSettings {
            return_threshold: self.return_threshold * (1.0 + TIE),
            volume_threshold: self.volume_threshold * (1.0 + TIE),
            spread_max_bps: self.spread_max_bps * (1.0 - TIE),
            ..self
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is on its threshold in decimals is not beyond it, on whichever side the doubles are.
    #[test]
    fn ties_are_not_beyond() {
        let limits = Ages { event: i64::MAX, quote: i64::MAX, gap: i64::MAX };
        let check =
            |(before, price): (f64, f64), (bid, ask): (f64, f64), sizes: &[f64], expected: Option<Direction>| {
                let settings = SignalSettings {
                    return_threshold: 0.003,
                    volume_threshold: 0.7,
                    spread_max_bps: 20.0,
                    cooldown: 0,
                    age_limits: limits,
                };
                let market = Some(BestPrices { bid, ask });
                let found = direction(&settings.apart_from_ties(), Some((price - before) / before), market, || {
                    sizes.iter().sum()
                });
                assert_eq!(found, expected, "{before} to {price}, {bid} {ask}, {sizes:?}");
            };
        let (tight, enough) = ((99.99, 100.01), &[1.0][..]);
        for (before, price) in [(1000.0, 997.0), (100.0, 99.7), (65000.0, 64805.0), (1000.0, 1003.0), (100.0, 100.3)] {
            check((before, price), tight, enough, None);
        }
        check((1000.0, 996.99), tight, enough, Some(Direction::Short));
        check((1000.0, 1003.01), tight, enough, Some(Direction::Long));
        let rise = (100.0, 101.0);
        for market in [(99.9, 100.1), (0.999, 1.001), (49.95, 50.05), (999.0, 1001.0)] {
            check(rise, market, enough, None);
        }
        check(rise, (99.9001, 100.1), enough, Some(Direction::Long));
        check(rise, tight, &[0.1; 7], None);
        check(rise, tight, &[0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 1e-8], Some(Direction::Long));
    }
}
