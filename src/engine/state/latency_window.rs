//! Percentiles of the exchange-to-receipt latency over the last 60 s of one symbol.
//!
//! ```text
//!   latency ──► bucket ──► list (up to 120 samples) ──► counts, in rows of the pool
//!                               ◄── a window that has become short comes back
//! ```
//!
//! Samples are first put on a list beside what every event of their symbol touches. As long as a whole window fits on the
//! list, quantiles are read off it; a longer one is counted, and comes back to the list when it has become short. So the
//! many symbols of a wide market, whose memory is cold whenever it is their turn, touch little of it, and a busy one's
//! counts do not grow with its window.
//!
//! The window moves on by slots of 5 s, each kept at a place of its own; so it ends up to 5 s early, as SPEC allows.

mod counts;
mod list;
#[cfg(test)]
mod tests;

use crate::engine::bounds::LATENCY_SLOTS;
use crate::engine::state::bucket_row_pool::BucketRowPool;
use crate::engine::state::latency_buckets::bucket_of;
use crate::engine::state::latency_window::counts::LatencyCounts;
use crate::engine::state::latency_window::list::{LISTED_MAX, LatencyList};
use crate::engine::time::{NANOS_PER_SECOND, UnixNanos};

/// A window that has come down to this many when a slot begins goes back to the list: what two samples a second leave,
/// and room for as many again as a slot of them has.
const RELISTED_MAX: usize = LISTED_MAX - LISTED_MAX / LATENCY_SLOTS;
/// Before every window, and not within a slot of any moment.
const NO_SLOT: i64 = i64::MIN / 2;
const NO_START: UnixNanos = UnixNanos(-60 * NANOS_PER_SECOND);

/// The latencies of one symbol. What every sample needs comes last, beside the trades.
#[repr(C)]
pub struct LatencyWindow {
    /// The newest slot of which a sample found no row in the pool.
    lost_slot: Option<i64>,
    counts: LatencyCounts,
    /// The newest slot, counted from the epoch; the window holds it and the eleven before it.
    newest_slot: i64,
    /// When it began, and its place: most samples go into it.
    newest_start: UnixNanos,
    newest_place: u8,
    /// Samples that are not counted.
    list: LatencyList,
}

/// Median and 95th percentile, in ms; `None` without a sample in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LatencyPercentiles {
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
}

impl LatencyWindow {
    /// Without a sample; `None` when there is no memory for it.
    pub fn new() -> Option<Self> {
        Some(LatencyWindow {
            lost_slot: None,
            counts: LatencyCounts::new()?,
            newest_slot: NO_SLOT,
            newest_start: NO_START,
            newest_place: 0,
            list: LatencyList::EMPTY,
        })
    }

    /// Takes in an event's latency at the event's `t`; `slot_ns` is the window's length over the number of slots.
    #[inline]
    pub fn push(&mut self, pool: &mut BucketRowPool, t: UnixNanos, latency_ns: i64, slot_ns: i64) {
        let bucket = bucket_of(latency_ns);
        let is_newest = (0..slot_ns).contains(&t.since(self.newest_start));
        if !is_newest && !self.move_to(pool, t, slot_ns) {
            return self.push_late(pool, t.0.div_euclid(slot_ns), bucket);
        }
        if self.list.is_full() {
            self.count_listed(pool);
        }
        self.list.push(self.newest_place as usize, bucket);
    }

    /// Moves the window on to the slot of `t`; false where that is not newer than the newest.
    #[cold]
    fn move_to(&mut self, pool: &mut BucketRowPool, t: UnixNanos, slot_ns: i64) -> bool {
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
    fn push_late(&mut self, pool: &mut BucketRowPool, slot: i64, bucket: usize) {
        if slot < self.oldest_kept() {
            return;
        }
        if self.counts.is_empty() && !self.list.is_full() {
            self.list.insert(self.oldest_kept(), slot, bucket);
        } else if !self.counts.add(pool, place_of(slot), &[bucket as u16]) {
            self.lost_slot = self.lost_slot.max(Some(slot));
        }
    }

    /// The first slot of those that are kept.
    #[inline]
    fn oldest_kept(&self) -> i64 {
        self.newest_slot - (LATENCY_SLOTS as i64 - 1)
    }

    /// Counts what is on the list.
    fn count_listed(&mut self, pool: &mut BucketRowPool) {
        let (oldest, newest) = (self.oldest_kept(), self.newest_slot);
        let LatencyWindow { list, counts, lost_slot, .. } = self;
        list.drain(oldest, newest, |slot, buckets| {
            if !counts.add(pool, place_of(slot), buckets) {
                *lost_slot = (*lost_slot).max(Some(slot));
            }
        });
    }

    /// Slots that leave the window are emptied; a window that has become short goes back to the list.
    #[cold]
    fn advance_to(&mut self, pool: &mut BucketRowPool, slot: i64) {
        let leaving = (slot - self.newest_slot).min(LATENCY_SLOTS as i64);
        let places = (0..leaving).map(|step| place_of(slot - step));
        places.clone().for_each(|place| self.counts.remove_slot(pool, place));
        self.list.remove_oldest(places);
        self.newest_slot = slot;
        let counted = self.counts.len();
        if counted > 0 && counted + self.list.len() <= RELISTED_MAX {
            let slots = self.oldest_kept()..=self.newest_slot;
            // What was counted came before what is on the list, slot by slot.
            self.list.merge(slots, |place, buckets, len| self.counts.fill(pool, place, buckets, len));
            self.counts.clear(pool);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self, pool: &mut BucketRowPool) {
        self.counts.clear(pool);
        (self.newest_slot, self.newest_start, self.newest_place) = (NO_SLOT, NO_START, 0);
        self.list = LatencyList::EMPTY;
        self.lost_slot = None;
    }

    /// For when few rows are left: where `now` has left the whole window behind, what is counted is given up. Says how
    /// many rows that were. Should `now` step back among it, `is_truncated` says so.
    pub fn release_outrun(&mut self, pool: &mut BucketRowPool, now: UnixNanos, slot_ns: i64) -> usize {
        if self.counts.is_empty() || oldest_slot(now, slot_ns) <= self.newest_slot {
            return 0;
        }
        self.lost_slot = self.lost_slot.max(Some(self.newest_slot));
        self.counts.clear(pool)
    }

    /// Nearest-rank percentiles over the slots that lie wholly in the window ending at `now`, and the newest.
    pub fn percentiles(&mut self, pool: &mut BucketRowPool, now: UnixNanos, slot_ns: i64) -> LatencyPercentiles {
        // `now` may be ahead of the newest sample: slots that it has outrun are left out.
        let first_kept = self.oldest_kept();
        let outrun = first_kept..oldest_slot(now, slot_ns).clamp(first_kept, self.newest_slot + 1);
        if self.counts.is_empty() {
            return self.list.percentiles(outrun.map(|slot| self.list.len_in(place_of(slot))).sum());
        }
        self.count_listed(pool);
        self.counts.percentiles(pool, outrun)
    }

    /// Whether a sample of the window ending at `now` was lost because the pool had no row left.
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
