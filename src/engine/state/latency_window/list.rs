//! The latencies of one symbol as a short list of buckets, slot after slot, oldest slot first.

use crate::engine::bounds::LATENCY_SLOTS;
use crate::engine::state::latency_buckets::bucket_middle_ms;
use crate::engine::state::latency_window::{LatencyPercentiles, place_of, ranks};

/// Capacity: two samples a second, over the longest window.
pub(super) const LISTED_MAX: usize = 120;
const _: () = assert!(LISTED_MAX <= u8::MAX as usize);

#[repr(C)]
pub(super) struct LatencyList {
    len: u8,
    /// By place: how many samples are of that slot.
    len_in: [u8; LATENCY_SLOTS],
    buckets: [u16; LISTED_MAX],
}

impl LatencyList {
    pub const EMPTY: LatencyList = LatencyList { len: 0, len_in: [0; LATENCY_SLOTS], buckets: [0; LISTED_MAX] };

    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    pub fn is_full(&self) -> bool {
        self.len as usize == LISTED_MAX
    }

    /// Samples of the slot that is kept at `place`.
    #[inline]
    pub fn len_in(&self, place: usize) -> usize {
        self.len_in[place] as usize
    }

    /// Appends a sample of the newest slot. The list must not be full.
    #[inline]
    pub fn push(&mut self, place: usize, bucket: usize) {
        self.buckets[self.len as usize] = bucket as u16;
        self.len += 1;
        self.len_in[place] += 1;
    }

    /// Inserts a sample behind all others of `slot`. The list must not be full.
    pub fn insert(&mut self, oldest_slot: i64, slot: i64, bucket: usize) {
        let at = (oldest_slot..slot + 1).map(|slot| self.len_in(place_of(slot))).sum();
        self.buckets.copy_within(at..self.len as usize, at + 1);
        self.buckets[at] = bucket as u16;
        self.len += 1;
        self.len_in[place_of(slot)] += 1;
    }

    /// Removes the samples of the oldest slots, which are kept at `places`.
    pub fn remove_oldest(&mut self, places: impl Iterator<Item = usize>) {
        let removed: usize = places.map(|place| std::mem::take(&mut self.len_in[place]) as usize).sum();
        self.buckets.copy_within(removed..self.len as usize, 0);
        self.len -= removed as u8;
    }

    /// Empties the list; calls `use_slot` with each slot and its samples.
    #[inline]
    pub fn drain(&mut self, oldest_slot: i64, newest_slot: i64, mut use_slot: impl FnMut(i64, &[u16])) {
        let buckets = self.buckets;
        let mut left = &buckets[..std::mem::take(&mut self.len) as usize];
        // Mostly all of them are of the newest slot.
        let newest = std::mem::take(&mut self.len_in[place_of(newest_slot)]) as usize;
        if newest < left.len() {
            for slot in oldest_slot..newest_slot {
                let (of_slot, newer) = left.split_at(std::mem::take(&mut self.len_in[place_of(slot)]) as usize);
                use_slot(slot, of_slot);
                left = newer;
            }
        }
        use_slot(newest_slot, left);
    }

    /// Puts samples before those of the same slot: `fill` appends those of a place to the buffer from an index on, and
    /// says where they end. All together must not be more than the list holds.
    pub fn merge(&mut self, slots: impl Iterator<Item = i64>, fill: impl Fn(usize, &mut [u16], usize) -> usize) {
        let buckets = self.buckets;
        let mut left = &buckets[..self.len()];
        let mut len = 0;
        for slot in slots {
            let (place, start) = (place_of(slot), len);
            len = fill(place, &mut self.buckets, len);
            let (of_slot, newer) = left.split_at(self.len_in(place));
            self.buckets[len..len + of_slot.len()].copy_from_slice(of_slot);
            (len, left) = (len + of_slot.len(), newer);
            self.len_in[place] = (len - start) as u8;
        }
        self.len = len as u8;
    }

    /// Over the list without its first samples.
    pub fn percentiles(&self, left_out: usize) -> LatencyPercentiles {
        let mut buckets = self.buckets;
        let buckets = &mut buckets[left_out..self.len()];
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
}
