//! The latencies of one symbol as counts, in rows of the pool.
//!
//! A sample is three increments. A quantile walks the totals of the rows in use, which a bitmap names. A slot that leaves
//! the window is subtracted. Counts are integers, so ranks are exact.

use std::ops::Range;

use crate::engine::bounds::LATENCY_SLOTS;
use crate::engine::state::bucket_row_pool::{BucketRow, BucketRowPool, EMPTY_ROW, NO_ROW};
use crate::engine::state::latency_buckets::{ROW_BUCKETS, ROWS_BOTH_SIGNS, bucket_middle_ms};
use crate::engine::state::latency_window::{LatencyPercentiles, place_of, ranks};

const BITMAP_WORDS: usize = ROWS_BOTH_SIGNS.div_ceil(64);

#[repr(C)]
pub(super) struct LatencyCounts {
    rows_in_use: [u64; BITMAP_WORDS],
    /// Samples counted in each slot.
    slot_counts: [u32; LATENCY_SLOTS],
    /// Of each slot bit r % 64 for every row r that has a sample in it, so that emptying it leaves the other rows alone.
    slot_rows: [u64; LATENCY_SLOTS],
    /// The id in the pool of each row.
    row_ids: Box<[u32; ROWS_BOTH_SIGNS]>,
}

impl LatencyCounts {
    /// Without a sample; `None` when there is no memory for it.
    pub fn new() -> Option<Self> {
        let mut row_ids = Vec::new();
        row_ids.try_reserve_exact(ROWS_BOTH_SIGNS).ok()?;
        row_ids.resize(ROWS_BOTH_SIGNS, NO_ROW);
        Some(LatencyCounts {
            rows_in_use: [0; BITMAP_WORDS],
            slot_counts: [0; LATENCY_SLOTS],
            slot_rows: [0; LATENCY_SLOTS],
            row_ids: row_ids.into_boxed_slice().try_into().ok()?,
        })
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.slot_counts == [0; LATENCY_SLOTS]
    }

    /// Samples over all slots.
    pub fn len(&self) -> usize {
        self.slot_counts.iter().map(|count| *count as usize).sum()
    }

    #[inline]
    fn row<'p>(&self, pool: &'p BucketRowPool, row: usize) -> &'p BucketRow {
        &pool.rows[self.row_ids[row] as usize]
    }

    /// Counts samples of the slot that is kept at `place`; says whether the pool had a row for each.
    #[inline]
    pub fn add(&mut self, pool: &mut BucketRowPool, place: usize, buckets: &[u16]) -> bool {
        let (mut counted, mut with_samples) = (0, 0);
        for bucket in buckets {
            let (row, column) = (*bucket as usize / ROW_BUCKETS, *bucket as usize % ROW_BUCKETS);
            if self.row_ids[row] == NO_ROW && !self.open_row(pool, row) {
                continue;
            }
            let counts = &mut pool.rows[self.row_ids[row] as usize];
            counts.total += 1;
            counts.totals[column] += 1;
            counts.slots[place][column] += 1;
            counted += 1;
            with_samples |= 1 << (row % 64);
        }
        self.slot_counts[place] += counted;
        self.slot_rows[place] |= with_samples;
        counted as usize == buckets.len()
    }

    #[cold]
    fn open_row(&mut self, pool: &mut BucketRowPool, row: usize) -> bool {
        let Some(id) = pool.take() else { return false };
        self.row_ids[row] = id;
        self.rows_in_use[row / 64] |= 1 << (row % 64);
        true
    }

    /// Empties the slot that is kept at `place`; rows that are empty then go back to the pool.
    pub fn remove_slot(&mut self, pool: &mut BucketRowPool, place: usize) {
        self.slot_counts[place] = 0;
        let with_samples = std::mem::take(&mut self.slot_rows[place]);
        for row in set_bits(self.rows_in_use.map(|word| word & with_samples)) {
            let id = self.row_ids[row];
            let counts = &mut pool.rows[id as usize];
            for (total, count) in counts.totals.iter_mut().zip(std::mem::take(&mut counts.slots[place])) {
                *total -= count;
                counts.total -= count as u64;
            }
            if counts.total == 0 {
                self.rows_in_use[row / 64] &= !(1 << (row % 64));
                self.row_ids[row] = NO_ROW;
                pool.give_back(id);
            }
        }
    }

    /// Writes the samples of the slot kept at `place` into `buckets`, from index `len` on; says where they end.
    pub fn fill(&self, pool: &BucketRowPool, place: usize, buckets: &mut [u16], mut len: usize) -> usize {
        let with_samples = self.slot_rows[place];
        for row in set_bits(self.rows_in_use.map(|word| word & with_samples)) {
            for (column, count) in self.row(pool, row).slots[place].iter().enumerate() {
                let end = len + *count as usize;
                buckets[len..end].fill((row * ROW_BUCKETS + column) as u16);
                len = end;
            }
        }
        len
    }

    /// Gives all rows back, with what is counted in them; says how many.
    pub fn clear(&mut self, pool: &mut BucketRowPool) -> usize {
        let left_before = pool.left;
        for row in set_bits(std::mem::take(&mut self.rows_in_use)) {
            let id = std::mem::replace(&mut self.row_ids[row], NO_ROW);
            pool.rows[id as usize] = EMPTY_ROW;
            pool.give_back(id);
        }
        self.slot_counts = [0; LATENCY_SLOTS];
        self.slot_rows = [0; LATENCY_SLOTS];
        pool.left - left_before
    }

    /// Over all slots but those of `left_out`.
    pub fn percentiles(&self, pool: &BucketRowPool, left_out: Range<i64>) -> LatencyPercentiles {
        let samples_in = |place: usize| self.slot_counts[place] as u64;
        let samples: u64 = (0..LATENCY_SLOTS).map(samples_in).sum();
        let counts = |row: usize| self.row(pool, row);
        if left_out.is_empty() {
            return self.ranked(samples, |row| counts(row).total, |row, column| counts(row).totals[column]);
        }
        let places_out = || left_out.clone().map(place_of);
        let samples = samples - places_out().map(samples_in).sum::<u64>();
        let rows_out = places_out().fold(0, |rows, place| rows | self.slot_rows[place]);
        let is_reduced = |row: usize| rows_out >> (row % 64) & 1 == 1;
        let count_at = |row: usize, column: usize| {
            let counts = counts(row);
            let out: u32 =
                if is_reduced(row) { places_out().map(|place| counts.slots[place][column]).sum() } else { 0 };
            counts.totals[column] - out
        };
        let count_in = |row: usize| {
            if is_reduced(row) {
                (0..ROW_BUCKETS).map(|column| count_at(row, column) as u64).sum()
            } else {
                counts(row).total
            }
        };
        self.ranked(samples, count_in, count_at)
    }

    #[inline]
    fn ranked(
        &self,
        samples: u64,
        count_in: impl Fn(usize) -> u64,
        count_at: impl Fn(usize, usize) -> u32,
    ) -> LatencyPercentiles {
        if samples == 0 {
            return LatencyPercentiles::default();
        }
        let ranks = ranks(samples);
        let mut found = [None; 2];
        let mut next = 0;
        let mut below = 0;
        'rows: for row in set_bits(self.rows_in_use) {
            let with_row = below + count_in(row);
            while ranks[next] <= with_row {
                let mut left = ranks[next] - below;
                let column = (0..ROW_BUCKETS).find(|column| {
                    let count = count_at(row, *column) as u64;
                    let is_here = left <= count;
                    left -= count.min(left);
                    is_here
                });
                found[next] = column.map(|column| bucket_middle_ms(row * ROW_BUCKETS + column));
                next += 1;
                if next == ranks.len() {
                    break 'rows;
                }
            }
            below = with_row;
        }
        LatencyPercentiles { p50_ms: found[0], p95_ms: found[1] }
    }
}

/// The set bits, in order.
fn set_bits(bitmap: [u64; BITMAP_WORDS]) -> impl Iterator<Item = usize> {
    bitmap.into_iter().enumerate().flat_map(|(word_index, mut word)| {
        std::iter::from_fn(move || {
            (word != 0).then(|| {
                let bit = word.trailing_zeros() as usize;
                word &= word - 1;
                word_index * 64 + bit
            })
        })
    })
}
