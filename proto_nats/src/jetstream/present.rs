//! The server's clock, by its answers.
//!
//! ```text
//!   sent ──────────── the server writes its time ──────────── received        offset = time - (sent + received) / 2
//!         at most half the round trip wrong, either way
//! ```
//!
//! Of the newest samples the one with the shortest round trip counts. Old ones leave, as clocks are set and drift.
//! What tells the time: `ts` of any answer (2.10 and later); `created` of a consumer just made (2.9, which has no `ts`).

use std::collections::VecDeque;

/// Of these the best counts: half a minute of looks at the stream.
const SAMPLES_MAX: usize = 8;

/// Clocks that are slewed part by less than this from the first sample to the last.
const DRIFT_MAX_NS: u64 = 250 * crate::MILLISECOND_NS;

/// From 2000 to 2200: what lies outside is no time.
const SANE_NS: std::ops::Range<u64> = 946_684_800 * crate::SECOND_NS..7_258_118_400 * crate::SECOND_NS;

#[derive(Debug, Default)]
pub struct Present {
    samples: VecDeque<Sample>,
    /// The next sample begins anew: another server may answer.
    is_stale: bool,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    round_trip_ns: u64,
    /// Unix ns of the server minus ours, which start anywhere.
    offset_ns: i128,
}

impl Present {
    /// The server wrote `server_ns` between these two moments of our clock.
    pub fn note_sample(&mut self, server_ns: u64, sent_ns: u64, received_ns: u64) {
        if !SANE_NS.contains(&server_ns) {
            return;
        }
        if std::mem::take(&mut self.is_stale) {
            self.samples.clear();
        }
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        let middle_ns = (i128::from(sent_ns) + i128::from(received_ns)) / 2;
        let round_trip_ns = received_ns.saturating_sub(sent_ns);
        let sample = Sample { round_trip_ns, offset_ns: i128::from(server_ns) - middle_ns };
        if self.best().is_some_and(|best| best.contradicts(&sample)) {
            self.samples.clear();
        }
        self.samples.push_back(sample);
    }

    /// What comes from now on may be another server's: its first answer replaces what is known.
    pub fn handle_moved(&mut self) {
        self.is_stale = true;
    }

    /// The server's Unix ns at a moment of our clock; `None`: not known yet.
    pub fn at(&self, now_ns: u64) -> Option<u64> {
        Some(u64::try_from(i128::from(now_ns) + self.best()?.offset_ns).unwrap_or(0))
    }

    /// What is known may be so wrong, either way.
    pub fn error_ns(&self) -> u64 {
        self.best().map_or(0, |best| best.round_trip_ns / 2)
    }

    fn best(&self) -> Option<&Sample> {
        self.samples.iter().min_by_key(|sample| sample.round_trip_ns)
    }
}

impl Sample {
    /// Both cannot be right, so the server's clock was set in between.
    fn contradicts(&self, other: &Sample) -> bool {
        let wrong_ns = self.round_trip_ns / 2 + other.round_trip_ns / 2;
        (self.offset_ns - other.offset_ns).unsigned_abs() > u128::from(wrong_ns.saturating_add(DRIFT_MAX_NS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SECOND_NS;

    /// Some moment of 2023.
    const T: u64 = 1_700_000_000 * SECOND_NS;

    #[test]
    fn the_shortest_round_trip_of_the_newest_counts() {
        let mut present = Present::default();
        assert_eq!(present.at(5), None);
        present.note_sample(T + 1_000, 100, 120);
        assert_eq!(present.at(110), Some(T + 1_000));
        // It was on its way for long: half of that it may be wrong.
        present.note_sample(T + 2_500, 200, 400);
        assert_eq!(present.at(110), Some(T + 1_000));
        present.note_sample(T + 1_101, 205, 207);
        assert_eq!(present.at(206), Some(T + 1_101));
        for _ in 0..SAMPLES_MAX {
            present.note_sample(T + 5_000, 500, 540);
        }
        assert_eq!(present.at(520), Some(T + 5_000));
    }

    #[test]
    fn a_clock_that_was_set_counts_from_then_on() {
        for (step_ns, is_followed) in [(300 * crate::MILLISECOND_NS, true), (200 * crate::MILLISECOND_NS, false)] {
            let mut present = Present::default();
            present.note_sample(T, 100, 102);
            // Twenty times as long on its way, and still it is certain.
            present.note_sample(T + step_ns, 200, 240);
            let expected = if is_followed { T + step_ns } else { T + 119 };
            assert_eq!(present.at(220), Some(expected), "{step_ns}");
        }
        // Half a second on its way says little.
        let mut present = Present::default();
        present.note_sample(T, 100, 102);
        present.note_sample(T + SECOND_NS / 2, 200, 200 + SECOND_NS);
        assert_eq!(present.at(101), Some(T));
    }

    #[test]
    fn another_server_has_another_clock() {
        let mut present = Present::default();
        present.note_sample(T + 1_000, 100, 101);
        present.handle_moved();
        assert_eq!(present.at(100), Some(T + 1_000), "better than nothing");
        present.note_sample(T + 9_000, 200, 300);
        assert_eq!(present.at(250), Some(T + 9_000));
    }

    #[test]
    fn odd_clocks_do_no_harm() {
        let mut present = Present::default();
        for no_time in [0, SANE_NS.start - 1, SANE_NS.end, u64::MAX] {
            present.note_sample(no_time, 0, 0);
            assert_eq!(present.at(0), None, "{no_time}");
        }
        present.note_sample(SANE_NS.start, u64::MAX, u64::MAX);
        assert_eq!(present.at(0), Some(0));
        present.handle_moved();
        present.note_sample(T, 10, 0);
        assert_eq!(present.at(SECOND_NS + 5), Some(T + SECOND_NS));
    }
}
