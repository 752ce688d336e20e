//! Percentiles of the exchange-to-receipt latency over the last 60 s.
//!
//! ```text
//!   row (8 buckets)  ──► strip in the pool:   total, totals [8]
//!   each bucket 2 % wide                      slot 0 [8]  slot 1 [8]  …  slot 11 [8]     a slot is 5 s of event time
//! ```
//!
//! Samples are first put on a list beside what every event of their symbol touches. As long as a whole window fits on the
//! list, quantiles are read off it; a longer one is counted into strips, and comes back to the list when it has become
//! short. So the many symbols of a wide market, whose memory is cold whenever it is their turn, touch little of it, and a
//! busy one's counts do not grow with its window.
//!
//! A sample is three increments; a quantile walks the totals of the rows in use (a bitmap names them); a slot that leaves
//! the window is subtracted. Counts are integers, so ranks are exact; the window ends up to 5 s early, as SPEC allows.

#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::engine::bounds::LATENCY_SLOTS;
use crate::engine::state::bucket_row_pool::{EMPTY_STRIP, NO_STRIP, StripPool};
use crate::engine::state::latency_buckets::{ROW_BUCKETS, ROWS_BOTH_SIGNS, bucket_middle_ms, bucket_of};
use crate::engine::time::{NANOS_PER_SECOND, UnixNanos};

const BITMAP_WORDS: usize = ROWS_BOTH_SIGNS.div_ceil(64);

/// Room on the list: two samples a second, over the longest window.
const LISTED_MAX: usize = 120;
const _: () = assert!(LISTED_MAX <= u8::MAX as usize);
/// A window that has come down to this many when a slot begins goes back to the list: what two samples a second leave,
/// and room for as many again as a slot of them has.
const RELISTED_MAX: usize = LISTED_MAX - LISTED_MAX / LATENCY_SLOTS;
/// Before every window, and not within a slot of any moment.
const NO_SLOT: i64 = i64::MIN / 2;
const NO_START: UnixNanos = UnixNanos(-60 * NANOS_PER_SECOND);

/// The latencies of one symbol; what a sample needs whichever it is comes last, beside the trades.
#[repr(C)]
pub struct LatencyWindow {
    rows_in_use: [u64; BITMAP_WORDS],
    /// The newest slot of which a sample found no strip.
    lost_slot: Option<i64>,
    /// Samples counted in each slot.
    slot_counts: [u32; LATENCY_SLOTS],
    /// Of each slot bit r % 64 for every row r that has a sample in it, so that emptying it leaves the other strips alone.
    slot_rows: [u64; LATENCY_SLOTS],
    strip_of_row: Box<[u32; ROWS_BOTH_SIGNS]>,
    /// The newest slot, counted from the epoch; the window holds it and the eleven before it.
    newest_slot: i64,
    /// When it began, and its place: most samples go into it.
    newest_start: UnixNanos,
    newest_place: u8,
    listed_count: u8,
    /// By place: how many of the list are of that slot.
    listed_in: [u8; LATENCY_SLOTS],
    /// Buckets of the samples that are not counted, slot after slot.
    listed: [u16; LISTED_MAX],
}

/// Median and 95th percentile, in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LatencyPercentiles {
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
}

impl LatencyWindow {
    /// Without a sample; `None` when there is no memory for it.
    pub fn new() -> Option<Self> {
        let mut strip_of_row = Vec::new();
        strip_of_row.try_reserve_exact(ROWS_BOTH_SIGNS).ok()?;
        strip_of_row.resize(ROWS_BOTH_SIGNS, NO_STRIP);
        Some(LatencyWindow {
            strip_of_row: strip_of_row.into_boxed_slice().try_into().ok()?,
            rows_in_use: [0; BITMAP_WORDS],
            slot_counts: [0; LATENCY_SLOTS],
            slot_rows: [0; LATENCY_SLOTS],
            newest_slot: NO_SLOT,
            newest_start: NO_START,
            newest_place: 0,
            listed_count: 0,
            listed_in: [0; LATENCY_SLOTS],
            listed: [0; LISTED_MAX],
            lost_slot: None,
        })
    }

    /// Takes in an event's latency at the event's `t`; `slot_ns` is the window's length over the number of slots.
    #[inline]
    pub fn push(&mut self, pool: &mut StripPool, t: UnixNanos, latency_ns: i64, slot_ns: i64) {
        let bucket = bucket_of(latency_ns);
        let is_newest = (0..slot_ns).contains(&t.since(self.newest_start));
        if !is_newest && !self.move_to(pool, t, slot_ns) {
            return self.push_late(pool, t.0.div_euclid(slot_ns), bucket);
        }
        if self.listed_count as usize == LISTED_MAX {
            self.count_listed(pool);
        }
        self.listed[self.listed_count as usize] = bucket as u16;
        self.listed_count += 1;
        self.listed_in[self.newest_place as usize] += 1;
    }

    /// Moves the window on to the slot of `t`; false where that is not newer than the newest.
    #[cold]
    fn move_to(&mut self, pool: &mut StripPool, t: UnixNanos, slot_ns: i64) -> bool {
        let slot = t.0.div_euclid(slot_ns);
        let is_newer = slot > self.newest_slot;
        if is_newer {
            self.advance_to(pool, slot);
            (self.newest_start, self.newest_place) = (UnixNanos(slot * slot_ns), place_of(slot) as u8);
        }
        is_newer
    }

    /// Takes in a sample of an older slot, unless that has left the window.
    #[cold]
    fn push_late(&mut self, pool: &mut StripPool, slot: i64, bucket: usize) {
        if slot <= self.newest_slot - LATENCY_SLOTS as i64 {
            return;
        }
        if self.is_counted() || self.listed_count as usize == LISTED_MAX {
            return self.count(pool, slot, &[bucket as u16]);
        }
        let up_to_slot = self.oldest_kept()..slot + 1;
        let at = up_to_slot.map(|slot| self.listed_in[place_of(slot)] as usize).sum();
        self.listed.copy_within(at..self.listed_count as usize, at + 1);
        self.listed[at] = bucket as u16;
        self.listed_count += 1;
        self.listed_in[place_of(slot)] += 1;
    }

    /// Some samples are in strips.
    #[inline]
    fn is_counted(&self) -> bool {
        self.slot_counts != [0; LATENCY_SLOTS]
    }

    /// The first slot of those that are kept.
    #[inline]
    fn oldest_kept(&self) -> i64 {
        self.newest_slot - (LATENCY_SLOTS as i64 - 1)
    }

    /// Counts what is on the list.
    fn count_listed(&mut self, pool: &mut StripPool) {
        let listed = self.listed;
        let mut left = &listed[..std::mem::take(&mut self.listed_count) as usize];
        let newest = std::mem::take(&mut self.listed_in[self.newest_place as usize]) as usize;
        if newest < left.len() {
            for slot in self.oldest_kept()..self.newest_slot {
                let (of_slot, newer) = left.split_at(std::mem::take(&mut self.listed_in[place_of(slot)]) as usize);
                self.count(pool, slot, of_slot);
                left = newer;
            }
        }
        self.count(pool, self.newest_slot, left);
    }

    /// Counts samples of one slot.
    #[inline]
    fn count(&mut self, pool: &mut StripPool, slot: i64, buckets: &[u16]) {
        let place = place_of(slot);
        let (mut counted, mut with_samples) = (0, 0);
        for bucket in buckets {
            let (row, column) = (*bucket as usize / ROW_BUCKETS, *bucket as usize % ROW_BUCKETS);
            if self.strip_of_row[row] == NO_STRIP && !self.open_row(pool, row) {
                self.lost_slot = self.lost_slot.max(Some(slot));
                continue;
            }
            let strip = &mut pool.strips[self.strip_of_row[row] as usize];
            strip.total += 1;
            strip.totals[column] += 1;
            strip.slots[place][column] += 1;
            counted += 1;
            with_samples |= 1 << (row % 64);
        }
        self.slot_counts[place] += counted;
        self.slot_rows[place] |= with_samples;
    }

    #[cold]
    fn open_row(&mut self, pool: &mut StripPool, row: usize) -> bool {
        let Some(strip) = pool.take() else { return false };
        self.strip_of_row[row] = strip;
        self.rows_in_use[row / 64] |= 1 << (row % 64);
        true
    }

    /// Slots that leave the window are emptied; rows that are empty then are given back.
    #[cold]
    fn advance_to(&mut self, pool: &mut StripPool, slot: i64) {
        let leaving = (slot - self.newest_slot).min(LATENCY_SLOTS as i64);
        let mut unlisted = 0;
        for place in (0..leaving).map(|step| place_of(slot - step)) {
            unlisted += std::mem::take(&mut self.listed_in[place]) as usize;
            self.slot_counts[place] = 0;
            let with_samples = std::mem::take(&mut self.slot_rows[place]);
            for row in rows(self.rows_in_use.map(|word| word & with_samples)) {
                let id = self.strip_of_row[row];
                let strip = &mut pool.strips[id as usize];
                for (total, count) in strip.totals.iter_mut().zip(std::mem::take(&mut strip.slots[place])) {
                    *total -= count;
                    strip.total -= count as u64;
                }
                if strip.total == 0 {
                    self.rows_in_use[row / 64] &= !(1 << (row % 64));
                    self.strip_of_row[row] = NO_STRIP;
                    pool.give_back(id);
                }
            }
        }
        self.listed.copy_within(unlisted..self.listed_count as usize, 0);
        self.listed_count -= unlisted as u8;
        self.newest_slot = slot;
        let counted: usize = self.slot_counts.iter().map(|count| *count as usize).sum();
        if counted > 0 && counted + self.listed_count as usize <= RELISTED_MAX {
            self.list_counted(pool);
        }
    }

    /// Puts what is counted back on the list, before what came after it in the same slot.
    fn list_counted(&mut self, pool: &mut StripPool) {
        let listed = self.listed;
        let mut left = &listed[..self.listed_count as usize];
        let mut len = 0;
        for slot in self.oldest_kept()..=self.newest_slot {
            let (place, start) = (place_of(slot), len);
            let with_samples = self.slot_rows[place];
            for row in rows(self.rows_in_use.map(|word| word & with_samples)) {
                let counts = &pool.strips[self.strip_of_row[row] as usize].slots[place];
                for (column, count) in counts.iter().enumerate() {
                    let end = len + *count as usize;
                    self.listed[len..end].fill((row * ROW_BUCKETS + column) as u16);
                    len = end;
                }
            }
            let (of_slot, newer) = left.split_at(self.listed_in[place] as usize);
            self.listed[len..len + of_slot.len()].copy_from_slice(of_slot);
            (len, left) = (len + of_slot.len(), newer);
            self.listed_in[place] = (len - start) as u8;
        }
        self.listed_count = len as u8;
        self.forget_counted(pool);
    }

    /// Gives all strips back, with what is counted in them; says how many.
    fn forget_counted(&mut self, pool: &mut StripPool) -> usize {
        let left_before = pool.left;
        for row in rows(std::mem::take(&mut self.rows_in_use)) {
            let id = std::mem::replace(&mut self.strip_of_row[row], NO_STRIP);
            pool.strips[id as usize] = EMPTY_STRIP;
            pool.give_back(id);
        }
        self.slot_counts = [0; LATENCY_SLOTS];
        self.slot_rows = [0; LATENCY_SLOTS];
        pool.left - left_before
    }

    /// Forgets everything.
    pub fn clear(&mut self, pool: &mut StripPool) {
        self.forget_counted(pool);
        (self.newest_slot, self.newest_start, self.newest_place) = (NO_SLOT, NO_START, 0);
        (self.listed_count, self.listed_in) = (0, [0; LATENCY_SLOTS]);
        self.lost_slot = None;
    }

    /// Few strips are left: where `now` has left the whole window behind, what is counted is given up. Says how many strips
    /// that were. Should `now` step back among it, its loss is said.
    pub fn release_outrun(&mut self, pool: &mut StripPool, now: UnixNanos, slot_ns: i64) -> usize {
        if !self.is_counted() || oldest_slot(now, slot_ns) <= self.newest_slot {
            return 0;
        }
        self.lost_slot = self.lost_slot.max(Some(self.newest_slot));
        self.forget_counted(pool)
    }

    /// Nearest-rank percentiles over the slots that lie wholly in the window ending at `now`, and the newest.
    pub fn percentiles(&mut self, pool: &mut StripPool, now: UnixNanos, slot_ns: i64) -> LatencyPercentiles {
        // `now` may be ahead of the newest sample: slots that it has outrun are left out.
        let first_kept = self.oldest_kept();
        let outrun = first_kept..oldest_slot(now, slot_ns).clamp(first_kept, self.newest_slot + 1);
        if !self.is_counted() {
            return self.of_listed(outrun.map(|slot| self.listed_in[place_of(slot)] as usize).sum());
        }
        self.count_listed(pool);
        self.of_counted(pool, outrun)
    }

    /// Over the list without its first samples.
    fn of_listed(&self, left_out: usize) -> LatencyPercentiles {
        let mut buckets = self.listed;
        let buckets = &mut buckets[left_out..self.listed_count as usize];
        if buckets.is_empty() {
            return LatencyPercentiles::default();
        }
        let [p50_rank, p95_rank] = ranks(buckets.len() as u64).map(|rank| rank as usize);
        let (below, p95, _) = buckets.select_nth_unstable(p95_rank - 1);
        let p95 = *p95;
        let p50 = if p50_rank == p95_rank { p95 } else { *below.select_nth_unstable(p50_rank - 1).1 };
        LatencyPercentiles {
            p50_ms: Some(bucket_middle_ms(p50 as usize)),
            p95_ms: Some(bucket_middle_ms(p95 as usize)),
        }
    }

    /// Over the strips without some slots.
    fn of_counted(&self, pool: &StripPool, outrun: Range<i64>) -> LatencyPercentiles {
        let samples_in = |place: usize| self.slot_counts[place] as u64;
        let samples: u64 = (0..LATENCY_SLOTS).map(samples_in).sum();
        let strip = |row: usize| &pool.strips[self.strip_of_row[row] as usize];
        if outrun.is_empty() {
            return self.ranked(samples, |row| strip(row).total, |row, column| strip(row).totals[column]);
        }
        let outrun = || outrun.clone().map(place_of);
        let samples = samples - outrun().map(samples_in).sum::<u64>();
        let outrun_rows = outrun().fold(0, |rows, place| rows | self.slot_rows[place]);
        let is_outrun = |row: usize| outrun_rows >> (row % 64) & 1 == 1;
        let count_at = |row: usize, column: usize| {
            let strip = strip(row);
            let left_out: u32 = if is_outrun(row) { outrun().map(|place| strip.slots[place][column]).sum() } else { 0 };
            strip.totals[column] - left_out
        };
        let count_in = |row: usize| {
            if is_outrun(row) {
                (0..ROW_BUCKETS).map(|column| count_at(row, column) as u64).sum()
            } else {
                strip(row).total
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
        'rows: for row in rows(self.rows_in_use) {
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

    /// Whether a sample of the window ending at `now` was lost for want of room.
    #[inline]
    pub fn is_truncated(&self, now: UnixNanos, slot_ns: i64) -> bool {
        self.lost_slot.is_some_and(|lost| lost >= oldest_slot(now, slot_ns))
    }
}

/// The first slot of the window that ends at `now`.
#[inline]
fn oldest_slot(now: UnixNanos, slot_ns: i64) -> i64 {
    now.0.div_euclid(slot_ns) - (LATENCY_SLOTS as i64 - 1)
}

/// Where a slot, counted from the epoch, is kept.
#[inline]
fn place_of(slot: i64) -> usize {
    slot.rem_euclid(LATENCY_SLOTS as i64) as usize
}

/// Nearest ranks ceil(q n) of median and 95th percentile, in integers.
#[inline]
fn ranks(samples: u64) -> [u64; 2] {
    [samples.div_ceil(2), (samples * 95).div_ceil(100)]
}

/// The set bits, in order.
fn rows(bitmap: [u64; BITMAP_WORDS]) -> impl Iterator<Item = usize> {
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
