//! When an alert fires and when it resolves. However often its cause comes and goes, it fires once, and resolves when the
//! cause has been gone for 5 s; so a subject fires no more than once in 5 s.
//!
//! ```text
//!            begin, occur                end
//!   Quiet ────────────────► Present ────────────► Gone(since) ── 5 s after since ──► Quiet
//!           fires              ▲                      │              resolves
//!                              └─────── begin ────────┘
//! ```
//!
//! A cause of one moment (`occur`) is gone as soon as it has been there.

use crate::engine::time::{NANOS_PER_SECOND, UnixNanos};

/// So long a cause must have been gone.
pub(super) const RESOLVE_AFTER_NS: i64 = 5 * NANOS_PER_SECOND;

/// An alert of one kind about one subject.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Edge {
    #[default]
    Quiet,
    /// The cause has been there since.
    Present(UnixNanos),
    /// It has been gone since.
    Gone(UnixNanos),
}

impl Edge {
    #[inline]
    pub fn is_firing(&self) -> bool {
        *self != Edge::Quiet
    }

    /// The cause is there at `moment`. Says whether the alert fires.
    pub fn begin(&mut self, moment: UnixNanos) -> bool {
        let fires = !self.is_firing();
        if !matches!(self, Edge::Present(_)) {
            *self = Edge::Present(moment);
        }
        fires
    }

    /// The cause has been gone since `since`.
    pub fn end(&mut self, since: UnixNanos) {
        if matches!(self, Edge::Present(_)) {
            *self = Edge::Gone(since);
        }
    }

    /// The cause was there for a moment. Says whether the alert fires.
    pub fn occur(&mut self, moment: UnixNanos) -> bool {
        let fires = !self.is_firing();
        *self = Edge::Gone(moment);
        fires
    }

    /// When it resolves, unless its cause comes back.
    pub fn resolves_at(&self) -> Option<UnixNanos> {
        match self {
            Edge::Gone(since) => Some(since.plus(RESOLVE_AFTER_NS)),
            _ => None,
        }
    }

    /// It is `moment`. Says whether the alert resolves.
    pub fn resolve(&mut self, moment: UnixNanos) -> bool {
        let resolves = self.resolves_at().is_some_and(|at| at <= moment);
        if resolves {
            *self = Edge::Quiet;
        }
        resolves
    }

    /// The clock was stepped: moments have other names from now on.
    pub fn handle_clock_step(&mut self, step_ns: i64) {
        if let Edge::Present(since) | Edge::Gone(since) = self {
            *since = since.plus(step_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::random::Random;

    const AFTER: i64 = RESOLVE_AFTER_NS;

    #[test]
    fn resolves_when_the_cause_has_been_gone_for_five_seconds() {
        let mut edge = Edge::default();
        assert!(edge.begin(UnixNanos(7)) && !edge.begin(UnixNanos(8)));
        assert_eq!((edge, edge.resolves_at()), (Edge::Present(UnixNanos(7)), None));
        assert!(!edge.resolve(UnixNanos(i64::MAX)), "its cause is there");
        edge.end(UnixNanos(10));
        edge.end(UnixNanos(11));
        assert!(!edge.resolve(UnixNanos(10 + AFTER - 1)));
        assert!(edge.resolve(UnixNanos(10 + AFTER)) && !edge.resolve(UnixNanos(10 + AFTER)));

        assert!(edge.occur(UnixNanos(20)) && !edge.occur(UnixNanos(30)));
        assert!(!edge.resolve(UnixNanos(30 + AFTER - 1)) && edge.resolve(UnixNanos(30 + AFTER)));
        edge.end(UnixNanos(50));
        assert_eq!(edge, Edge::Quiet, "what does not fire does not end");
    }

    /// By definition: of a cause that is seen at moments, the firing ones and the resolved ones.
    fn naive(seen: &[(i64, bool)]) -> Vec<(i64, bool)> {
        let (mut out, mut fires) = (Vec::new(), false);
        for (index, (moment, holds)) in seen.iter().enumerate() {
            let gone_since = || {
                let last_held = seen[..=index].iter().rposition(|(_, held)| *held).expect("it fired");
                seen[last_held + 1].0
            };
            if *holds && !fires {
                (fires, _) = (true, out.push((*moment, true)));
            } else if !holds && fires && moment - gone_since() >= AFTER {
                (fires, _) = (false, out.push((*moment, false)));
            }
        }
        out
    }

    #[test]
    fn agrees_with_its_definition() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let (mut moment, mut seen) = (0, Vec::new());
            let chance = 1 + random.below(9);
            for _ in 0..200 {
                moment += [1, AFTER / 10, AFTER / 2, AFTER - 1, AFTER][random.below(5) as usize];
                seen.push((moment, random.below(10) < chance));
            }
            let (mut edge, mut out) = (Edge::default(), Vec::new());
            for (moment, holds) in &seen {
                match holds {
                    true => {
                        if edge.begin(UnixNanos(*moment)) {
                            out.push((*moment, true));
                        }
                    }
                    false => {
                        edge.end(UnixNanos(*moment));
                        if edge.resolve(UnixNanos(*moment)) {
                            out.push((*moment, false));
                        }
                    }
                }
            }
            assert_eq!(out, naive(&seen), "seed {seed}");
            let firings: Vec<i64> = out.iter().filter(|(_, fires)| *fires).map(|(moment, _)| *moment).collect();
            assert!(firings.windows(2).all(|pair| pair[1] - pair[0] > AFTER), "seed {seed}");
        }
    }
}
