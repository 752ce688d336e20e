//! Percentiles of the exchange-to-receipt latency over the last 60 s.
//!
//! ```text
//!   row (8 buckets)  ──► strip in the pool:   total, totals [8]
//!   each bucket 2 % wide                      slot 0 [8]  slot 1 [8]  …  slot 11 [8]     a slot is 5 s of event time
//! ```
//!
//! Buckets are log-linear: fifty to each power of two, so a bucket's bounds a < b hold (b - a) / (a + b) < 1 % and its
//! harmonic middle 2ab / (a + b) is within 1 % of everything in it; below 64 ns each value has its own. A sample is
//! two increments; a quantile walks the totals of the rows in use (a bitmap names them); a slot that leaves the window is
//! subtracted. Counts are integers, so ranks are exact; the window ends up to 5 s early, as SPEC allows.

use super::bounds::LATENCY_SLOTS;
use super::time::UnixNanos;

const ROW_BUCKETS: usize = 8;
const LINEAR_BUCKETS: u64 = 64;
const BUCKETS_PER_OCTAVE: u64 = 50;
const FIRST_OCTAVE: u32 = 6;
/// Latencies from 2^53 ns (104 days) on share the last bucket.
const LAST_OCTAVE: u32 = 52;
const BUCKETS: usize =
    LINEAR_BUCKETS as usize + (LAST_OCTAVE - FIRST_OCTAVE + 1) as usize * BUCKETS_PER_OCTAVE as usize;
const ROWS: usize = BUCKETS.div_ceil(ROW_BUCKETS);
/// Negative latencies (clocks that disagree) mirror the positive ones below them.
const ROWS_BOTH_SIGNS: usize = 2 * ROWS;
const BITMAP_WORDS: usize = ROWS_BOTH_SIGNS.div_ceil(64);

type Counts = [u32; ROW_BUCKETS];

/// Aligned, so that a sample touches two cache lines of it, whichever its slot.
#[derive(Clone)]
#[repr(C, align(64))]
struct Strip {
    /// Over the whole row.
    total: u64,
    totals: Counts,
    slots: [Counts; LATENCY_SLOTS],
}

const EMPTY_STRIP: Strip = Strip { total: 0, totals: [0; ROW_BUCKETS], slots: [[0; ROW_BUCKETS]; LATENCY_SLOTS] };

/// All strips there will ever be.
pub struct StripPool {
    strips: Vec<Strip>,
    strip_capacity: usize,
    free: Vec<u32>,
}

impl StripPool {
    pub fn new(strip_capacity: usize) -> Self {
        StripPool {
            strips: Vec::with_capacity(strip_capacity),
            strip_capacity,
            free: Vec::with_capacity(strip_capacity),
        }
    }

    fn take(&mut self) -> Option<u32> {
        self.free.pop().or_else(|| {
            (self.strips.len() < self.strip_capacity).then(|| {
                self.strips.push(EMPTY_STRIP);
                (self.strips.len() - 1) as u32
            })
        })
    }
}

/// The latencies of one symbol; what a sample needs whichever it is comes last, beside the trades.
#[repr(C)]
pub struct LatencyWindow {
    rows_in_use: [u64; BITMAP_WORDS],
    /// Last moment a sample found no strip.
    lost: Option<UnixNanos>,
    /// Samples in each slot.
    slot_counts: [u32; LATENCY_SLOTS],
    /// Of each slot bit r % 64 for every row r that has a sample in it, so that emptying it leaves the other strips alone.
    slot_rows: [u64; LATENCY_SLOTS],
    strip_of_row: Box<[u32; ROWS_BOTH_SIGNS]>,
    /// The newest slot, counted from the epoch; the window holds it and the eleven before it.
    newest_slot: i64,
    /// When it began, and its place: most samples go into it.
    newest_start: UnixNanos,
    newest_index: usize,
}

/// Median and 95th percentile, in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LatencyPercentiles {
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
}

impl Default for LatencyWindow {
    fn default() -> Self {
        LatencyWindow {
            strip_of_row: Box::new([0; ROWS_BOTH_SIGNS]),
            rows_in_use: [0; BITMAP_WORDS],
            slot_counts: [0; LATENCY_SLOTS],
            slot_rows: [0; LATENCY_SLOTS],
            newest_slot: i64::MIN / 2,
            newest_start: UnixNanos(i64::MIN / 2),
            newest_index: 0,
            lost: None,
        }
    }
}

impl LatencyWindow {
    /// Counts an event's latency at the event's `t`; `slot_ns` is the window's length over the number of slots.
    #[inline]
    pub fn push(&mut self, pool: &mut StripPool, t: UnixNanos, latency_ns: i64, slot_ns: i64) {
        let slot_index = if (0..slot_ns).contains(&t.since(self.newest_start)) {
            self.newest_index
        } else {
            match self.find_slot(pool, t, slot_ns) {
                Some(index) => index,
                None => return,
            }
        };
        let bucket = bucket_of(latency_ns);
        let (row, column) = (bucket / ROW_BUCKETS, bucket % ROW_BUCKETS);
        if self.rows_in_use[row / 64] >> (row % 64) & 1 == 0 && !self.open_row(pool, row) {
            self.lost = Some(t);
            return;
        }
        let strip = &mut pool.strips[self.strip_of_row[row] as usize];
        strip.total += 1;
        strip.totals[column] += 1;
        strip.slots[slot_index][column] += 1;
        self.slot_counts[slot_index] += 1;
        self.slot_rows[slot_index] |= 1 << (row % 64);
    }

    /// The place of the slot of `t`, the window moved on to it where it is newer; `None` when it has left the window.
    #[cold]
    fn find_slot(&mut self, pool: &mut StripPool, t: UnixNanos, slot_ns: i64) -> Option<usize> {
        let slot = t.0.div_euclid(slot_ns);
        let index = slot.rem_euclid(LATENCY_SLOTS as i64) as usize;
        if slot > self.newest_slot {
            self.advance_to(pool, slot);
            (self.newest_start, self.newest_index) = (UnixNanos(slot * slot_ns), index);
        }
        (slot > self.newest_slot - LATENCY_SLOTS as i64).then_some(index)
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
        for step in 0..leaving {
            let index = (slot - step).rem_euclid(LATENCY_SLOTS as i64) as usize;
            self.slot_counts[index] = 0;
            let with_samples = std::mem::take(&mut self.slot_rows[index]);
            for row in rows(self.rows_in_use.map(|word| word & with_samples)) {
                let id = self.strip_of_row[row];
                let strip = &mut pool.strips[id as usize];
                for (total, count) in strip.totals.iter_mut().zip(std::mem::take(&mut strip.slots[index])) {
                    *total -= count;
                    strip.total -= count as u64;
                }
                if strip.total == 0 {
                    self.rows_in_use[row / 64] &= !(1 << (row % 64));
                    pool.free.push(id);
                }
            }
        }
        self.newest_slot = slot;
    }

    /// Nearest-rank percentiles over the slots that lie wholly in the window ending at `now`, and the newest.
    pub fn percentiles(&self, pool: &StripPool, now: UnixNanos, slot_ns: i64) -> LatencyPercentiles {
        let oldest_slot = now.0.div_euclid(slot_ns) - (LATENCY_SLOTS as i64 - 1);
        let first_kept = self.newest_slot - (LATENCY_SLOTS as i64 - 1);
        if oldest_slot <= first_kept {
            let samples: u64 = self.slot_counts.iter().map(|count| *count as u64).sum();
            let strip = |row: usize| &pool.strips[self.strip_of_row[row] as usize];
            return self.ranked(samples, |row| strip(row).total, |row, column| strip(row).totals[column] as u64);
        }
        // `now` is ahead of the newest sample: what it has outrun is left out.
        let inside = (oldest_slot..=self.newest_slot).map(|slot| slot.rem_euclid(LATENCY_SLOTS as i64) as usize);
        let samples = inside.clone().map(|index| self.slot_counts[index] as u64).sum();
        let count_at = |row: usize, column: usize| {
            let strip = &pool.strips[self.strip_of_row[row] as usize];
            inside.clone().map(|index| strip.slots[index][column] as u64).sum()
        };
        self.ranked(samples, |row| (0..ROW_BUCKETS).map(|column| count_at(row, column)).sum(), count_at)
    }

    fn ranked(
        &self,
        samples: u64,
        count_in: impl Fn(usize) -> u64,
        count_at: impl Fn(usize, usize) -> u64,
    ) -> LatencyPercentiles {
        if samples == 0 {
            return LatencyPercentiles::default();
        }
        // Nearest rank ceil(q n), in integers.
        let ranks = [samples.div_ceil(2), (samples * 95).div_ceil(100)];
        let mut found = [None; 2];
        let mut next = 0;
        let mut below = 0;
        'rows: for row in rows(self.rows_in_use) {
            let with_row = below + count_in(row);
            while ranks[next] <= with_row {
                let mut left = ranks[next] - below;
                let column = (0..ROW_BUCKETS).find(|column| {
                    let count = count_at(row, *column);
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
        self.lost.is_some_and(|lost| lost > now.minus(slot_ns * LATENCY_SLOTS as i64))
    }
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

/// Buckets in the order of their values: the negative ones mirrored below the others.
#[inline]
fn bucket_of(latency_ns: i64) -> usize {
    const ZERO: usize = ROWS * ROW_BUCKETS;
    let magnitude = magnitude_bucket(latency_ns.unsigned_abs());
    if latency_ns >= 0 { ZERO + magnitude } else { ZERO - 1 - magnitude }
}

#[inline]
fn magnitude_bucket(magnitude_ns: u64) -> usize {
    if magnitude_ns < LINEAR_BUCKETS {
        return magnitude_ns as usize;
    }
    let octave = magnitude_ns.ilog2();
    if octave > LAST_OCTAVE {
        return BUCKETS - 1;
    }
    let within = ((magnitude_ns - (1 << octave)) * BUCKETS_PER_OCTAVE) >> octave;
    (LINEAR_BUCKETS + (octave - FIRST_OCTAVE) as u64 * BUCKETS_PER_OCTAVE + within) as usize
}

#[inline]
fn bucket_middle_ms(bucket: usize) -> f64 {
    const ZERO: usize = ROWS * ROW_BUCKETS;
    let (magnitude, sign) = if bucket >= ZERO { (bucket - ZERO, 1.0) } else { (ZERO - 1 - bucket, -1.0) };
    let magnitude = magnitude as u64;
    let middle_ns = if magnitude < LINEAR_BUCKETS {
        magnitude as f64
    } else {
        let (octave, within) =
            ((magnitude - LINEAR_BUCKETS) / BUCKETS_PER_OCTAVE, (magnitude - LINEAR_BUCKETS) % BUCKETS_PER_OCTAVE);
        let base = (1u64 << (octave + FIRST_OCTAVE as u64)) as f64;
        let low = base * (1.0 + within as f64 / BUCKETS_PER_OCTAVE as f64);
        let high = base * (1.0 + (within + 1) as f64 / BUCKETS_PER_OCTAVE as f64);
        2.0 * low * high / (low + high)
    };
    sign * middle_ns / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_within_one_percent_of_its_bucket() {
        let mut value = 0i64;
        while value < 1 << 52 {
            for latency in [value, -value, value + value / 97] {
                let middle_ns = bucket_middle_ms(bucket_of(latency)) * 1e6;
                let error = (middle_ns - latency as f64).abs();
                assert!(error <= 0.01 * latency.abs() as f64 + 1e-6, "{latency} {middle_ns}");
            }
            value += 1 + value / 331;
        }
        assert!(bucket_of(i64::MAX) < ROWS_BOTH_SIGNS * ROW_BUCKETS);
        assert!(bucket_of(i64::MIN) < ROWS_BOTH_SIGNS * ROW_BUCKETS);
    }

    #[test]
    fn buckets_keep_the_order_of_values() {
        let mut previous = 0;
        let mut value = -(1i64 << 54);
        while value < 1 << 54 {
            let bucket = bucket_of(value);
            assert!(bucket >= previous, "{value}");
            previous = bucket;
            value += 1 + value.abs() / 201;
        }
    }

    #[test]
    fn agrees_with_a_sorted_list() {
        const SLOT: i64 = 5_000_000_000;
        let mut seed = 7u64;
        let mut random = move |bound: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % bound
        };
        let mut pool = StripPool::new(2_000);
        let mut window = LatencyWindow::default();
        let mut all: Vec<(i64, i64)> = Vec::new();
        let mut watermark = 1_700_000_000_000_000_000i64;
        for _ in 0..30_000 {
            watermark +=
                random(20_000_000) as i64 + if random(2_000) == 0 { random(200) as i64 * 1_000_000_000 } else { 0 };
            let t = watermark - random(3) as i64 * random(30_000_000_000) as i64;
            let latency = (random(1_000_000) as i64 - 1_000) << random(14);
            window.push(&mut pool, UnixNanos(t), latency, SLOT);
            all.push((t, latency));
            if random(50) == 0 {
                let now = watermark + random(3) as i64 * random(60_000_000_000) as i64;
                let oldest = (now / SLOT - 11) * SLOT;
                let kept_from = (watermark / SLOT - 11) * SLOT;
                let mut inside: Vec<i64> =
                    all.iter().filter(|(t, _)| *t >= oldest.max(kept_from)).map(|(_, latency)| *latency).collect();
                inside.sort();
                let found = window.percentiles(&pool, UnixNanos(now), SLOT);
                for (percent, found) in [(50, found.p50_ms), (95, found.p95_ms)] {
                    let expected =
                        (inside.len() * percent).div_ceil(100).checked_sub(1).map(|rank| inside[rank] as f64 / 1e6);
                    match (expected, found) {
                        (None, None) => {}
                        (Some(e), Some(f)) => assert!((e - f).abs() <= 0.0101 * e.abs() + 1e-12, "{e} {f}"),
                        other => panic!("{other:?}"),
                    }
                }
                all.retain(|(t, _)| *t >= kept_from);
            }
        }
        window.advance_to(&mut pool, i64::MAX / SLOT);
        assert_eq!(pool.free.len(), pool.strips.len(), "every strip is given back");
    }
}
