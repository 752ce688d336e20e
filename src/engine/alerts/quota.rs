//! More than 20 alerts of a kind in a second are one. The first go out one by one; those beyond are counted, and told as one at the
//! second's end.
//!
//! ```text
//!   second   since ──────────────────────────► since + 1 s: "57 in a second, 20 of them one by one"
//!   sent     ▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪ ·····················    the moments of the last 20 that went out
//! ```
//!
//! A second begins with the first alert after the one before it. The bound holds for any second of time, not only for these, as
//! one goes out only where the twentieth before it is a second old.
//!
//! The cores of a process follow a step of the clock one after the other, and are less than a second apart otherwise: a moment
//! that is a second or more ahead has its name from before the step, and is over.

use crate::engine::bounds::ALERTS_A_SECOND_MAX;
use crate::engine::time::{NANOS_PER_SECOND, UnixNanos};

/// Of one kind and state.
#[derive(Default)]
pub(super) struct Quota {
    /// When the last ones went out, a ring; fewer at the start.
    sent: [Option<UnixNanos>; ALERTS_A_SECOND_MAX],
    oldest: usize,
    second: Option<Second>,
}

/// A second with alerts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Second {
    since: UnixNanos,
    /// All of them.
    pub total: u32,
    /// Those that went out.
    pub sent: u32,
}

impl Second {
    pub fn end(&self) -> UnixNanos {
        self.since.plus(NANOS_PER_SECOND)
    }
}

impl Quota {
    /// Counts an alert; says whether it goes out. A second that is over must have been taken.
    pub fn count(&mut self, moment: UnixNanos) -> bool {
        let second = self.second.get_or_insert(Second { since: moment, total: 0, sent: 0 });
        second.total += 1;
        let oldest = &mut self.sent[self.oldest];
        let goes = oldest.is_none_or(|oldest| is_over(oldest, moment));
        if goes {
            *oldest = Some(moment);
            self.oldest = (self.oldest + 1) % ALERTS_A_SECOND_MAX;
            second.sent += 1;
        }
        goes
    }

    /// A second that is over by `moment`, if some of it did not go out; such alerts are told as one.
    pub fn take_over(&mut self, moment: UnixNanos) -> Option<Second> {
        let second = self.second.take_if(|second| is_over(second.since, moment))?;
        (second.sent < second.total).then_some(second)
    }

    /// When alerts that did not go out are to be told.
    pub fn due(&self) -> Option<UnixNanos> {
        self.second.filter(|second| second.sent < second.total).map(|second| second.end())
    }
}

/// Whether a second that began at `since` is over by `moment`.
fn is_over(since: UnixNanos, moment: UnixNanos) -> bool {
    moment.since(since).abs() >= NANOS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::random::Random;

    const SECOND: i64 = NANOS_PER_SECOND;
    const MAX: usize = ALERTS_A_SECOND_MAX;

    #[test]
    fn twenty_go_out_and_the_others_are_one() {
        for extra in [0, 1, 10_000] {
            let mut quota = Quota::default();
            let sent = (0..MAX + extra).filter(|index| quota.count(UnixNanos(*index as i64))).count();
            assert_eq!(sent, MAX);
            assert_eq!(quota.due(), (extra > 0).then_some(UnixNanos(SECOND)));
            assert_eq!(quota.take_over(UnixNanos(SECOND - 1)), None);
            let over = quota.take_over(UnixNanos(SECOND)).map(|second| (second.total, second.sent));
            assert_eq!(over, (extra > 0).then_some(((MAX + extra) as u32, MAX as u32)));
            assert_eq!((quota.take_over(UnixNanos(SECOND)), quota.due()), (None, None));
        }
    }

    #[test]
    fn after_a_step_of_the_clock_it_begins_anew() {
        for step in [-3600 * SECOND, -SECOND, 3600 * SECOND] {
            let mut quota = Quota::default();
            let start = 10_000 * SECOND;
            assert_eq!((0..MAX + 5).filter(|_| quota.count(UnixNanos(start))).count(), MAX);
            let moment = UnixNanos(start + step);
            let over = quota.take_over(moment).map(|second| (second.total, second.sent));
            assert_eq!(over, Some(((MAX + 5) as u32, MAX as u32)), "step of {step} ns");
            assert_eq!((0..MAX + 5).filter(|_| quota.count(moment)).count(), MAX, "step of {step} ns");
            assert_eq!(quota.due(), Some(moment.plus(SECOND)));
        }
        // A core that is half a second behind is in the same second.
        let mut quota = Quota::default();
        assert_eq!((0..MAX).filter(|_| quota.count(UnixNanos(SECOND))).count(), MAX);
        assert!(!quota.count(UnixNanos(SECOND / 2)));
        assert_eq!(quota.take_over(UnixNanos(SECOND / 2)), None);
    }

    #[test]
    fn no_second_of_time_has_more_and_none_is_lost() {
        let mut told_of_all = 0;
        for seed in 0..100 {
            let mut random = Random::new(seed);
            let (mut quota, mut moment) = (Quota::default(), 0);
            let (mut sent, mut told, mut count) = (Vec::new(), 0, 0);
            for _ in 0..1_000 {
                moment += [0, 1, SECOND / 60, SECOND / 40, SECOND / 20, SECOND / 3][random.below(6) as usize];
                told += quota.take_over(UnixNanos(moment)).map_or(0, |second| second.total - second.sent);
                count += 1;
                if quota.count(UnixNanos(moment)) {
                    sent.push(moment);
                }
            }
            told += quota.take_over(UnixNanos(moment + SECOND)).map_or(0, |second| second.total - second.sent);
            assert_eq!(sent.len() + told as usize, count, "seed {seed}");
            told_of_all += told;
            assert!(sent.windows(MAX + 1).all(|window| window[MAX] - window[0] >= SECOND), "seed {seed}");
        }
        assert!(told_of_all > 1_000, "{told_of_all} prove little");
    }
}
