//! Price levels: where each asset stands, and the fast moves of a family of assets.
//!
//! In: the time since the start, and the market's random numbers. Out: a level, and the direction of a fast move.
//! Levels wander by a few basis points in ten seconds; one family at a time moves by more than half a percent in seconds.

use crate::engine::random::Random;
use crate::engine::time::NANOS_PER_SECOND;
use crate::market::listing::{BTC, START_LEVELS, family};
use crate::market::payload::Direction;

/// Standard deviation of a level's wandering in one second: 3 bps in ten.
const WANDER_PER_SECOND: f64 = 0.000_1;
/// Beyond this a family's next move goes back, so that prices stay believable for days.
const DISTANCE_MAX: f64 = 0.02;

/// The levels of all assets, and the fast move that is on or comes next.
pub(super) struct PriceLevels {
    assets: Vec<Asset>,
    /// Families that have listings.
    family_count: usize,
    /// The present one, or the next.
    a_move: Move,
}

/// Where a price level wanders that several listings may share.
struct Asset {
    level: f64,
    start_level: f64,
    /// When it had that level, ns from the start.
    at: i64,
}

/// A family's levels go somewhere fast.
struct Move {
    family: usize,
    /// In ns from the market's start.
    start: i64,
    end: i64,
    /// Relative to the level, from start to end.
    size: f64,
}

impl PriceLevels {
    /// `start_levels` are those of the assets in their order; the first `family_count` families have listings.
    pub fn new(start_levels: impl Iterator<Item = f64>, family_count: usize, random: &mut Random) -> PriceLevels {
        let assets = start_levels.map(|level| Asset { level, start_level: level, at: 0 }).collect();
        let start = 11 * NANOS_PER_SECOND + (random.fraction() * 2.0 * NANOS_PER_SECOND as f64) as i64;
        let size = if random.fraction() < 0.5 { 0.006 } else { -0.006 };
        let a_move = Move { family: BTC, start, end: start + 4 * NANOS_PER_SECOND, size };
        PriceLevels { assets, family_count, a_move }
    }

    /// As of the last [`advance`](Self::advance).
    pub fn level(&self, asset: usize) -> f64 {
        self.assets[asset].level
    }

    /// Brings a level up to `now`, ns from the start; says which way it moves fast, if it does.
    pub fn advance(&mut self, asset: usize, now: i64, random: &mut Random) -> Option<Direction> {
        if now >= self.a_move.end {
            self.plan_move(now, random);
        }
        let Asset { level, at, .. } = &mut self.assets[asset];
        let elapsed = (now - *at) as f64 / NANOS_PER_SECOND as f64;
        *level *= 1.0 + WANDER_PER_SECOND * elapsed.sqrt() * random.bell();
        let is_moved = self.a_move.family == family(asset);
        if is_moved {
            self.a_move.apply(level, *at, now);
        }
        *at = now;
        let Move { start, end, size, .. } = self.a_move;
        let direction = if size > 0.0 { Direction::Up } else { Direction::Down };
        (is_moved && (start..end).contains(&now)).then_some(direction)
    }

    /// The last one is over: another family, some seconds later.
    fn plan_move(&mut self, now: i64, random: &mut Random) {
        // What is left of the last move for its own family; the others have nothing of it.
        let Move { family: last, end, size, .. } = self.a_move;
        for Asset { level, at, .. } in self.assets.iter_mut().skip(last).step_by(START_LEVELS.len()) {
            self.a_move.apply(level, *at, end);
            *at = (*at).max(end);
        }

        // One that has listings; where there are several, not the same one again.
        let others = (self.family_count as u64 - 1).max(1);
        let family = (last + 1 + random.below(others) as usize) % self.family_count;
        let start = now + 9 * NANOS_PER_SECOND + (random.fraction() * 8.0 * NANOS_PER_SECOND as f64) as i64;
        let distance = self.assets[family].distance();
        let goes_up = match distance.abs() > DISTANCE_MAX {
            true => distance < 0.0,
            // The other way than the last one.
            false => size < 0.0,
        };
        let extent = 0.005 + random.fraction() * 0.002;
        let length = 3 * NANOS_PER_SECOND + (random.fraction() * 2.0 * NANOS_PER_SECOND as f64) as i64;
        self.a_move = Move { family, start, end: start + length, size: if goes_up { extent } else { -extent } };
    }

    /// How far each asset is from its start level, as a share of that.
    #[cfg(test)]
    pub fn distances(&self) -> impl Iterator<Item = f64> {
        self.assets.iter().map(Asset::distance)
    }
}

impl Asset {
    fn distance(&self) -> f64 {
        self.level / self.start_level - 1.0
    }
}

impl Move {
    /// Its share between `from` and `to`.
    fn apply(&self, level: &mut f64, from: i64, to: i64) {
        let Move { start, end, size, .. } = *self;
        let moving = to.clamp(start, end) - from.clamp(start, end);
        *level *= 1.0 + size * moving as f64 / (end - start) as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_counts_from_its_start_to_its_end() {
        let a_move = Move { family: BTC, start: 100, end: 200, size: 0.01 };
        let check = |from, to, expected: f64| {
            let mut level = 1000.0;
            a_move.apply(&mut level, from, to);
            assert!((level - expected).abs() < 1e-9, "{from} to {to}: {level}");
        };
        check(0, 100, 1000.0);
        check(0, 150, 1005.0);
        check(150, 300, 1005.0);
        check(0, 300, 1010.0);
        check(200, 300, 1000.0);
    }

    #[test]
    fn the_first_move_is_that_of_bitcoin_and_the_next_goes_the_other_way() {
        for seed in 0..20 {
            let mut random = Random::new(seed);
            let mut levels = PriceLevels::new(START_LEVELS.into_iter(), START_LEVELS.len(), &mut random);
            let (first, end) = (levels.a_move.size, levels.a_move.end);
            assert_eq!(levels.advance(BTC, levels.a_move.start - 1, &mut random), None, "seed {seed}");
            let expected = if first > 0.0 { Direction::Up } else { Direction::Down };
            assert_eq!(levels.advance(BTC, end - 1, &mut random), Some(expected), "seed {seed}");
            assert_eq!(levels.advance(BTC, end, &mut random), None, "seed {seed}");
            assert!(levels.a_move.family != BTC && levels.a_move.size * first < 0.0, "seed {seed}");
        }
    }
}
