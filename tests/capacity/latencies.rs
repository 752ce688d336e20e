//! The latencies of one symbol, and the room they find.
//!
//! 1. A window is twelve slots of event time; the newest is that of the newest sample. A sample is kept in its slot.
//! 2. A symbol's list has room for 120 samples. With the 121st all that is listed is counted. Late samples go to the list
//!    while nothing is counted and there is room, else they are counted at once.
//! 3. While something is counted, what is listed is counted whenever percentiles are asked for.
//! 4. A sample is counted in its row: eight buckets side by side, a bucket being a fiftieth of a power of two, or a single
//!    nanosecond below 64. A row with samples takes one from the pool. Where none is left the sample is lost, which is said until
//!    its slot leaves the window. Counting goes from the oldest slot to the newest.
//! 5. When a slot begins, those that leave the window are emptied. If 110 samples or less are left then, all are listed
//!    again: of a slot first what was counted, by value, then what was listed.
//! 6. A silent symbol whose window is over gives up what is counted, when it is asked.

use std::collections::BTreeSet;

use crate::reference::latency::nearest_rank;

const SLOTS: i64 = 12;
const LISTED_MAX: usize = 120;
const LISTED_AGAIN_MAX: usize = 110;

#[derive(Clone, Copy, Debug)]
struct Sample {
    slot: i64,
    latency_ns: i64,
    is_counted: bool,
}

#[derive(Debug, Default)]
pub struct Latencies {
    newest_slot: Option<i64>,
    /// By slot; in a slot in the order in which they came.
    samples: Vec<Sample>,
    lost_slot: Option<i64>,
}

/// The row of a sample. Rows of negative latencies mirror the others.
fn row(latency_ns: i64) -> i64 {
    let value = latency_ns.unsigned_abs();
    let bucket = if value < 64 {
        value
    } else {
        let octave = u64::from(value.ilog2());
        let start = 1 << octave;
        64 + (octave - 6) * 50 + (value - start) * 50 / start
    };
    let row = bucket as i64 / 8;
    if latency_ns < 0 { -1 - row } else { row }
}

impl Latencies {
    fn rows(&self) -> BTreeSet<i64> {
        self.samples.iter().filter(|sample| sample.is_counted).map(|sample| row(sample.latency_ns)).collect()
    }

    fn is_counted(&self) -> bool {
        self.samples.iter().any(|sample| sample.is_counted)
    }

    fn listed(&self) -> usize {
        self.samples.iter().filter(|sample| !sample.is_counted).count()
    }

    pub fn row_count(&self) -> usize {
        self.rows().len()
    }

    pub fn push(&mut self, rows_left: &mut usize, slot: i64, latency_ns: i64) {
        let newest = *self.newest_slot.get_or_insert(slot);
        if slot > newest {
            self.begin_slot(rows_left, slot);
        } else if slot <= newest - SLOTS {
            return;
        }
        let is_late = slot < newest;
        let place = self.samples.partition_point(|sample| sample.slot <= slot);
        if is_late && (self.is_counted() || self.listed() == LISTED_MAX) {
            self.samples.insert(place, Sample { slot, latency_ns, is_counted: false });
            return self.count_from(rows_left, place..place + 1);
        }
        if self.listed() == LISTED_MAX {
            self.count_all(rows_left);
        }
        let place = self.samples.partition_point(|sample| sample.slot <= slot);
        self.samples.insert(place, Sample { slot, latency_ns, is_counted: false });
    }

    fn begin_slot(&mut self, rows_left: &mut usize, slot: i64) {
        let rows_before = self.row_count();
        self.newest_slot = Some(slot);
        self.samples.retain(|sample| sample.slot > slot - SLOTS);
        if self.samples.len() <= LISTED_AGAIN_MAX {
            let by_value = |sample: &Sample| if sample.is_counted { sample.latency_ns } else { i64::MAX };
            self.samples.sort_by_key(|sample| (sample.slot, by_value(sample)));
            self.samples.iter_mut().for_each(|sample| sample.is_counted = false);
        }
        *rows_left += rows_before - self.row_count();
    }

    fn count_all(&mut self, rows_left: &mut usize) {
        self.count_from(rows_left, 0..self.samples.len());
    }

    /// Counts those of some samples that are listed, or loses them.
    fn count_from(&mut self, rows_left: &mut usize, range: std::ops::Range<usize>) {
        let mut rows = self.rows();
        let mut lost = Vec::new();
        for index in range {
            let sample = &mut self.samples[index];
            if sample.is_counted {
                continue;
            }
            if !rows.contains(&row(sample.latency_ns)) {
                if *rows_left == 0 {
                    self.lost_slot = self.lost_slot.max(Some(sample.slot));
                    lost.push(index);
                    continue;
                }
                *rows_left -= 1;
                rows.insert(row(sample.latency_ns));
            }
            sample.is_counted = true;
        }
        for index in lost.into_iter().rev() {
            self.samples.remove(index);
        }
    }

    /// Rule 6; says how many rows went.
    pub fn release(&mut self, rows_left: &mut usize, now_slot: i64) -> usize {
        let Some(newest) = self.newest_slot.filter(|newest| *newest <= now_slot - SLOTS) else { return 0 };
        let rows = self.row_count();
        if rows > 0 {
            self.lost_slot = self.lost_slot.max(Some(newest));
            self.samples.retain(|sample| !sample.is_counted);
            *rows_left += rows;
        }
        rows
    }

    /// As if none had ever come.
    pub fn clear(&mut self, rows_left: &mut usize) {
        *rows_left += self.row_count();
        *self = Latencies::default();
    }

    /// Median and 95th percentile in ms, and whether samples that they ask for were lost.
    pub fn percentiles(&mut self, rows_left: &mut usize, now_slot: i64) -> ([Option<f64>; 2], bool) {
        if self.is_counted() {
            self.count_all(rows_left);
        }
        let inside = |slot: i64| slot > now_slot - SLOTS;
        let samples = self.samples.iter().filter(|sample| inside(sample.slot));
        let mut latencies: Vec<i64> = samples.map(|sample| sample.latency_ns).collect();
        let percentiles = [nearest_rank(&mut latencies, 50), nearest_rank(&mut latencies, 95)];
        (percentiles, self.lost_slot.is_some_and(inside))
    }
}
