//! Events per second over the last second and the last minute, counted in seconds of the local clock.

use crate::engine::time::NANOS_PER_SECOND;

const SECOND_NS: u64 = NANOS_PER_SECOND as u64;
const SECONDS: usize = 64;

/// Counts of the last 64 seconds, a slot each.
pub struct Rate {
    counts: [u64; SECONDS],
    second: u64,
    first_second: u64,
}

impl Rate {
    /// `elapsed_ns` here and below: ns of the local clock.
    pub fn new(elapsed_ns: u64) -> Self {
        let second = elapsed_ns / SECOND_NS;
        Rate { counts: [0; SECONDS], second, first_second: second }
    }

    /// `events` have been taken at that time.
    #[inline]
    pub fn count(&mut self, elapsed_ns: u64, events: u64) {
        self.advance(elapsed_ns);
        self.counts[self.second as usize % SECONDS] += events;
    }

    #[inline]
    fn advance(&mut self, elapsed_ns: u64) {
        let second = elapsed_ns / SECOND_NS;
        while self.second < second {
            if second - self.second > SECONDS as u64 {
                self.second = second - SECONDS as u64;
            }
            self.second += 1;
            self.counts[self.second as usize % SECONDS] = 0;
        }
    }

    /// Within this second and the one before it.
    #[inline]
    pub fn recent(&mut self, elapsed_ns: u64) -> u64 {
        self.advance(elapsed_ns);
        [0, 1].map(|back| self.counts[self.second.wrapping_sub(back) as usize % SECONDS]).iter().sum()
    }

    /// Per second, over the last whole second and the last whole `60` (or as many as there were).
    pub fn per_second(&mut self, elapsed_ns: u64) -> (f64, f64) {
        self.advance(elapsed_ns);
        let whole = (self.second - self.first_second).min(60);
        let over = |seconds: u64| -> f64 {
            let sum: u64 = (1..=seconds).map(|back| self.counts[(self.second - back) as usize % SECONDS]).sum();
            if seconds == 0 { 0.0 } else { sum as f64 / seconds as f64 }
        };
        (over(whole.min(1)), over(whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_whole_seconds() {
        const S: u64 = SECOND_NS;
        let mut rate = Rate::new(5 * S);
        rate.count(5 * S, 10);
        rate.count(5 * S + 1, 10);
        assert_eq!((rate.per_second(6 * S), rate.recent(6 * S)), ((20.0, 20.0), 20));
        rate.count(6 * S, 40);
        assert_eq!([6, 7, 8].map(|second| rate.recent(second * S)), [60, 40, 0]);
        let mut rate = Rate::new(0);
        rate.count(0, 3);
        assert_eq!(rate.recent(1), 3);
        let mut rate = Rate::new(5 * S);
        rate.count(5 * S, 20);
        rate.count(6 * S, 40);
        assert_eq!(rate.per_second(7 * S + 5), (40.0, 30.0));
        assert_eq!(rate.per_second(15 * S), (0.0, 6.0));
        assert_eq!(rate.per_second(500 * S), (0.0, 0.0));
    }
}
