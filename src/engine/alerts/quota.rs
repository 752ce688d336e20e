//! More than 20 alerts of a kind in a second, firing and resolved together, are one. The first go out one by one; those beyond are
//! counted, and told as one at the second's end.
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

use crate::engine::alerts::alert::AlertState;
use crate::engine::bounds::ALERTS_A_SECOND_MAX;
use crate::engine::time::{NANOS_PER_SECOND, UnixNanos};

/// Of one kind.
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
    /// All of them, by state.
    total: [u32; 2],
    /// Those that did not go out, by state.
    held_back: [u32; 2],
}

impl Second {
    pub fn end(&self) -> UnixNanos {
        self.since.plus(NANOS_PER_SECOND)
    }

    /// All of that state.
    pub fn total(&self, state: AlertState) -> u32 {
        self.total[state as usize]
    }

    /// Those that went out, of both states.
    pub fn sent(&self) -> u32 {
        self.total.iter().sum::<u32>() - self.held_back.iter().sum::<u32>()
    }

    /// That of the one which stands for those that did not go out: where any of them began, it is one that begins.
    pub fn state(&self) -> AlertState {
        if self.held_back[AlertState::Firing as usize] > 0 { AlertState::Firing } else { AlertState::Resolved }
    }

    fn is_whole(&self) -> bool {
        self.held_back == [0; 2]
    }
}

impl Quota {
    /// Counts an alert; says whether it goes out. A second that is over must have been taken.
    pub fn count(&mut self, state: AlertState, moment: UnixNanos) -> bool {
        let second = self.second.get_or_insert(Second { since: moment, total: [0; 2], held_back: [0; 2] });
        second.total[state as usize] += 1;
        let oldest = &mut self.sent[self.oldest];
        let goes = oldest.is_none_or(|oldest| is_over(oldest, moment));
        if goes {
            *oldest = Some(moment);
            self.oldest = (self.oldest + 1) % ALERTS_A_SECOND_MAX;
        } else {
            second.held_back[state as usize] += 1;
        }
        goes
    }

    /// A second that is over by `moment`, if some of it did not go out; such alerts are told as one.
    pub fn take_over(&mut self, moment: UnixNanos) -> Option<Second> {
        let second = self.second.take_if(|second| is_over(second.since, moment))?;
        (!second.is_whole()).then_some(second)
    }

    /// The present second, if some of it did not go out, though it is not over: no more alerts will come.
    pub fn take_present(&mut self) -> Option<Second> {
        self.second.take().filter(|second| !second.is_whole())
    }

    /// When alerts that did not go out are to be told.
    pub fn due(&self) -> Option<UnixNanos> {
        self.second.filter(|second| !second.is_whole()).map(|second| second.end())
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
    const FIRING: AlertState = AlertState::Firing;
    const RESOLVED: AlertState = AlertState::Resolved;

    /// All of it, and how many went out.
    fn figures(second: Second) -> (u32, u32) {
        (second.total(FIRING) + second.total(RESOLVED), second.sent())
    }

    #[test]
    fn twenty_go_out_and_the_others_are_one() {
        for extra in [0, 1, 10_000] {
            let mut quota = Quota::default();
            let sent = (0..MAX + extra).filter(|index| quota.count(FIRING, UnixNanos(*index as i64))).count();
            assert_eq!(sent, MAX);
            assert_eq!(quota.due(), (extra > 0).then_some(UnixNanos(SECOND)));
            assert_eq!(quota.take_over(UnixNanos(SECOND - 1)), None);
            let over = quota.take_over(UnixNanos(SECOND)).map(figures);
            assert_eq!(over, (extra > 0).then_some(((MAX + extra) as u32, MAX as u32)));
            assert_eq!((quota.take_over(UnixNanos(SECOND)), quota.due()), (None, None));
        }
    }

    #[test]
    fn both_states_are_of_the_same_twenty() {
        // How many begin, how many are over after them, and of which state the one is that stands for the rest.
        for (began, ended, expected) in [
            (15, 5, None),
            (15, 6, Some(RESOLVED)),
            (20, 1, Some(RESOLVED)),
            (21, 0, Some(FIRING)),
            (21, 30, Some(FIRING)),
        ] {
            let mut quota = Quota::default();
            let states = [vec![FIRING; began], vec![RESOLVED; ended]].concat();
            let sent = states.iter().filter(|state| quota.count(**state, UnixNanos(7))).count();
            assert_eq!(sent, MAX, "{began}, {ended}");
            let second = quota.take_present();
            assert_eq!(second.map(|second| second.state()), expected, "{began}, {ended}");
            let totals = second.map(|second| [FIRING, RESOLVED].map(|state| second.total(state) as usize));
            assert_eq!(totals, expected.map(|_| [began, ended]));
            assert_eq!((quota.take_present(), quota.due()), (None, None));
            assert!(!quota.count(FIRING, UnixNanos(8)), "it is the same second of time");
        }
    }

    #[test]
    fn after_a_step_of_the_clock_it_begins_anew() {
        for step in [-3600 * SECOND, -SECOND, 3600 * SECOND] {
            let mut quota = Quota::default();
            let start = 10_000 * SECOND;
            assert_eq!((0..MAX + 5).filter(|_| quota.count(FIRING, UnixNanos(start))).count(), MAX);
            let moment = UnixNanos(start + step);
            let over = quota.take_over(moment).map(figures);
            assert_eq!(over, Some(((MAX + 5) as u32, MAX as u32)), "step of {step} ns");
            assert_eq!((0..MAX + 5).filter(|_| quota.count(FIRING, moment)).count(), MAX, "step of {step} ns");
            assert_eq!(quota.due(), Some(moment.plus(SECOND)));
        }
        // A core that is half a second behind is in the same second.
        let mut quota = Quota::default();
        assert_eq!((0..MAX).filter(|_| quota.count(FIRING, UnixNanos(SECOND))).count(), MAX);
        assert!(!quota.count(FIRING, UnixNanos(SECOND / 2)));
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
                told += quota.take_over(UnixNanos(moment)).map_or(0, |second| figures(second).0 - second.sent());
                count += 1;
                if quota.count([FIRING, RESOLVED][random.below(2) as usize], UnixNanos(moment)) {
                    sent.push(moment);
                }
            }
            told += quota.take_over(UnixNanos(moment + SECOND)).map_or(0, |second| figures(second).0 - second.sent());
            assert_eq!(sent.len() + told as usize, count, "seed {seed}");
            told_of_all += told;
            assert!(sent.windows(MAX + 1).all(|window| window[MAX] - window[0] >= SECOND), "seed {seed}");
        }
        assert!(told_of_all > 1_000, "{told_of_all} prove little");
    }
}
