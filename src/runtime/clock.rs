//! The only file that reads a clock.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::engine::time::{NANOS_PER_SECOND, UnixNanos};

/// A difference to the system's clock that is not corrected: the two are not read at one instant.
const DIFFERENCE_MAX_NS: i64 = NANOS_PER_SECOND / 20;
/// A difference to another machine's clock that is a step: its answers tell its time to within half a round trip.
const STEP_MIN_NS: i64 = NANOS_PER_SECOND;
/// Readings of both clocks of which the closest pair counts.
const READINGS: usize = 3;

/// Wall time that does not step by itself: the system's time at start, and from there on the time since boot, which
/// also counts the time that the machine has slept. The system slews both alike, so they part only by a step (an
/// operator, a late NTP, a leap second): then its holder corrects it, and moves the engine's times by as much, so that no
/// length of time changes.
#[derive(Clone, Copy)]
pub struct Clock {
    start_ns: u64,
    start_unix: i64,
}

impl Clock {
    /// Begins with the system's time.
    pub fn start() -> Self {
        let (start_ns, start_unix) = both();
        Clock { start_ns, start_unix }
    }

    /// The moment.
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

    /// Follows the system's clock where that has stepped; returns by how many ns.
    pub fn correct(&mut self) -> Option<i64> {
        let (boot_ns, system_unix) = both();
        self.correct_to(boot_ns, system_unix)
    }

    /// Follows another machine's clock: at `elapsed_ns` it is `moment`. Returns by how many ns that one has stepped; what lies
    /// below is taken over, and no step: the two are not read at one instant.
    pub fn follow(&mut self, moment: UnixNanos, elapsed_ns: u64) -> Option<i64> {
        let start_unix = moment.0.saturating_sub_unsigned(elapsed_ns);
        let step_ns = start_unix - std::mem::replace(&mut self.start_unix, start_unix);
        (step_ns.abs() > STEP_MIN_NS).then_some(step_ns)
    }

    fn correct_to(&mut self, boot_ns: u64, system_unix: i64) -> Option<i64> {
        let step_ns = system_unix - self.start_unix - (boot_ns - self.start_ns) as i64;
        (step_ns.abs() > DIFFERENCE_MAX_NS).then(|| {
            self.start_unix += step_ns;
            step_ns
        })
    }
}

/// The system's time, steps and all, for log lines: they are read beside other programs' lines.
pub(super) fn system_now() -> UnixNanos {
    UnixNanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i64)
}

/// The time since boot and the system's time, read as closely together as possible.
fn both() -> (u64, i64) {
    let reading = || {
        let before_ns = since_boot_ns();
        let system_unix = system_now().0;
        (since_boot_ns() - before_ns, (before_ns, system_unix))
    };
    let closest = (0..READINGS).map(|_| reading()).min_by_key(|(apart_ns, _)| *apart_ns);
    closest.expect("there are readings").1
}

#[inline]
fn since_boot_ns() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec as u64 * NANOS_PER_SECOND as u64 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_system_clock_is_followed_once_and_slewing_is_not() {
        let check = |step_ns: i64, followed: bool| {
            let mut clock = Clock::start();
            let (boot_ns, system_unix) = (clock.start_ns + 7, clock.start_unix + 7 + step_ns);
            assert_eq!(clock.correct_to(boot_ns, system_unix), followed.then_some(step_ns), "{step_ns}");
            assert_eq!(clock.correct_to(boot_ns, system_unix), None, "{step_ns}");
        };
        check(0, false);
        check(DIFFERENCE_MAX_NS, false);
        check(-DIFFERENCE_MAX_NS, false);
        check(128_000_000, true);
        check(-128_000_000, true);
        check(3_600 * NANOS_PER_SECOND, true);
        check(-3_600 * NANOS_PER_SECOND, true);
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
