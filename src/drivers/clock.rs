//! The only file that reads a clock.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::engine::time::UnixNanos;

/// A difference to the system's clock that is left alone: slewing, and the two not being read at one instant.
const DIFFERENCE_MAX_NS: i64 = 1_000_000_000;

/// Wall time that does not step by itself: the system's time at start, and from there on the time since boot, which
/// also counts the time that the machine has slept. Where the two part by more than a second (an operator, a late NTP),
/// whoever holds the clock corrects it, and tells the engine by how much, so that no length of time is changed by it.
#[derive(Clone, Copy)]
pub struct Clock {
    start_ns: u64,
    start_unix: i64,
}

impl Clock {
    pub fn start() -> Self {
        Clock { start_ns: since_boot_ns(), start_unix: system_unix() }
    }

    #[inline]
    pub fn now(&self) -> UnixNanos {
        UnixNanos(self.start_unix + self.elapsed_ns() as i64)
    }

    /// ns since `start`, for measuring lengths of time.
    #[inline]
    pub fn elapsed_ns(&self) -> u64 {
        since_boot_ns() - self.start_ns
    }

    /// The same scale as `elapsed_ns`, for a moment of `now`; 0 for moments before the start.
    #[inline]
    pub fn elapsed_at(&self, moment: UnixNanos) -> u64 {
        (moment.0 - self.start_unix).max(0) as u64
    }

    /// Follows the system's clock where that has stepped; says by how many ns.
    pub fn correct(&mut self) -> Option<i64> {
        self.correct_to(system_unix())
    }

    fn correct_to(&mut self, system_unix: i64) -> Option<i64> {
        let step_ns = system_unix - self.now().0;
        (step_ns.abs() > DIFFERENCE_MAX_NS).then(|| {
            self.start_unix += step_ns;
            step_ns
        })
    }
}

fn system_unix() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i64
}

#[inline]
fn since_boot_ns() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_system_clock_is_followed_once_and_slewing_is_not() {
        let check = |step_ns: i64, followed: bool| {
            let mut clock = Clock::start();
            let stepped = clock.now().0 + step_ns;
            let by_ns = clock.correct_to(stepped);
            // The time that this test takes between two lines lies in between.
            assert_eq!(by_ns.is_some(), followed, "{step_ns}");
            assert_eq!(clock.correct_to(clock.now().0), None, "{step_ns}");
            if followed {
                assert!((by_ns.unwrap() - step_ns).abs() < DIFFERENCE_MAX_NS, "{step_ns}: {by_ns:?}");
            }
        };
        check(0, false);
        check(500_000_000, false);
        check(-500_000_000, false);
        check(3_600_000_000_000, true);
        check(-3_600_000_000_000, true);
    }

    #[test]
    fn moments_and_lengths_are_on_one_scale() {
        let clock = Clock::start();
        let moment = clock.now();
        assert!(clock.elapsed_at(moment) <= clock.elapsed_ns());
        assert_eq!(clock.elapsed_at(moment.plus(7)) - clock.elapsed_at(moment), 7);
        assert_eq!(clock.elapsed_at(UnixNanos(0)), 0);
    }
}
