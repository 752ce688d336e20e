//! The last so many fingerprints: hashes of what is to be known again.
//!
//! ```text
//!   fingerprint ──► buckets  (a cache line of eight; the next ones where it is full)   is it there?
//!              └──► ring     (in order of arrival)                                     the oldest goes when a new one comes
//! ```
//!
//! A bucket is looked through without a branch, so the processor goes on with the event while the line is still on its way.
//! Turned down: single slots (half of them free, so each second guess about the next one is wrong; twice the time), a table that
//! forgets by age without a ring (it keeps fewer than it says, or more).

use std::hint::black_box;

use crate::engine::memory::{NoMemory, Table};

/// No fingerprint.
const FREE: u64 = 0;
/// Slots of a bucket.
const BUCKET: usize = 8;
const BUCKET_BYTES: usize = 8 * BUCKET;
/// Of 65,536 fingerprints, and some.
const TOUCHED_BYTES_MAX: usize = 4 << 20;
const SMALLEST_PAGE_BYTES: usize = 4096;

/// See the head of this file.
pub(super) struct RecentSet {
    /// A power of two of buckets, at most two of five slots taken; empty where nothing is remembered.
    slots: Vec<u64>,
    /// Where the first bucket begins: at a cache line.
    first: usize,
    mask: usize,
    /// In the order of arrival, as a ring once it is full.
    order: Vec<u64>,
    oldest: usize,
    count_max: usize,
}

impl RecentSet {
    /// Remembers `count_max` fingerprints; none with 0. `table` is what an error names.
    pub fn new(table: Table, count_max: usize) -> Result<Self, NoMemory> {
        let too_many = table.missing::<u64>(usize::MAX);
        let slot_count = match count_max {
            0 => 0,
            count => (count.saturating_mul(5) / 2).max(BUCKET).checked_next_power_of_two().ok_or(too_many)?,
        };
        let slots: Vec<u64> = table.zeros(if count_max == 0 { 0 } else { slot_count + BUCKET - 1 })?;
        let first = slots.as_ptr().align_offset(BUCKET_BYTES).min(BUCKET - 1);
        let mask = (slot_count / BUCKET).saturating_sub(1);
        Ok(RecentSet { slots, first, mask, order: table.list(count_max)?, oldest: 0, count_max })
    }

    /// Touches its pages, so that the first fingerprints need not wait for them: 10 to 20 us each, where a machine is virtual.
    /// Not those of a large one, which may never be needed.
    pub fn touch(&mut self) {
        if size_of_val(self.slots.as_slice()) <= TOUCHED_BYTES_MAX {
            self.slots
                .iter_mut()
                .step_by(SMALLEST_PAGE_BYTES / size_of::<u64>())
                .for_each(|slot| *black_box(slot) = FREE);
        }
    }

    /// There is room for none.
    #[inline]
    pub fn remembers_none(&self) -> bool {
        self.count_max == 0
    }

    /// Whether the fingerprint is remembered. There must be room for one at least.
    pub fn contains(&self, fingerprint: u64) -> bool {
        let fingerprint = fingerprint.max(FREE + 1);
        let mut bucket = fingerprint as usize & self.mask;
        loop {
            if self.find(bucket, fingerprint).is_some() {
                return true;
            }
            if self.find(bucket, FREE).is_some() {
                return false;
            }
            bucket = self.next(bucket);
        }
    }

    /// Remembers the fingerprint; says whether it was remembered before. There must be room for one at least.
    #[inline]
    pub fn insert(&mut self, fingerprint: u64) -> bool {
        let fingerprint = fingerprint.max(FREE + 1);
        let mut bucket = fingerprint as usize & self.mask;
        let slot = loop {
            if self.find(bucket, fingerprint).is_some() {
                return true;
            }
            if let Some(slot) = self.find(bucket, FREE) {
                break slot;
            }
            bucket = self.next(bucket);
        };
        self.slots[slot] = fingerprint;
        if self.order.len() < self.count_max {
            self.order.push(fingerprint);
            return false;
        }
        let outdated = std::mem::replace(&mut self.order[self.oldest], fingerprint);
        self.oldest = if self.oldest + 1 == self.count_max { 0 } else { self.oldest + 1 };
        self.remove(outdated);
        false
    }

    /// The slot of a bucket that holds this.
    #[inline]
    fn find(&self, bucket: usize, sought: u64) -> Option<usize> {
        let start = self.first + bucket * BUCKET;
        let slots: &[u64; BUCKET] = self.slots[start..].first_chunk().expect("the last bucket is whole");
        let bits = slots.iter().enumerate().fold(0_u32, |bits, (at, slot)| bits | u32::from(*slot == sought) << at);
        (bits != 0).then(|| start + bits.trailing_zeros() as usize)
    }

    #[inline]
    fn next(&self, bucket: usize) -> usize {
        (bucket + 1) & self.mask
    }

    /// Frees the slot of a fingerprint that is there.
    #[inline]
    fn remove(&mut self, fingerprint: u64) {
        let mut bucket = fingerprint as usize & self.mask;
        let slot = loop {
            if let Some(slot) = self.find(bucket, fingerprint) {
                break slot;
            }
            bucket = self.next(bucket);
        };
        let was_full = self.find(bucket, FREE).is_none();
        self.slots[slot] = FREE;
        if was_full {
            self.fill(bucket, slot);
        }
    }

    /// A slot of a bucket that was full is free. A fingerprint that had to go further takes it, as it would not be found any
    /// more; so does another one its own slot, if that was in a full bucket as well.
    #[cold]
    fn fill(&mut self, mut bucket: usize, mut slot: usize) {
        let mut behind = self.next(bucket);
        while behind != bucket {
            let start = self.first + behind * BUCKET;
            let has_passed = |fingerprint: u64| {
                let from_first = behind.wrapping_sub(fingerprint as usize) & self.mask;
                fingerprint != FREE && from_first >= behind.wrapping_sub(bucket) & self.mask
            };
            let was_full = self.find(behind, FREE).is_none();
            if let Some(moved) = (start..start + BUCKET).find(|slot| has_passed(self.slots[*slot])) {
                self.slots[slot] = std::mem::replace(&mut self.slots[moved], FREE);
                (bucket, slot) = (behind, moved);
            }
            if !was_full {
                break;
            }
            behind = self.next(behind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::random::Random;
    use std::collections::VecDeque;

    const FINGERPRINTS: Table = Table::new("the fingerprints", "of a test");

    #[test]
    fn the_last_ones_are_known_and_no_others() {
        for (seed, capacity) in [1, 2, 3, 4, 7, 8, 20, 51, 100, 500].into_iter().enumerate() {
            let mut random = Random::new(seed as u64);
            let mut set = RecentSet::new(FINGERPRINTS, capacity).expect("there is memory");
            let mut naive: VecDeque<u64> = VecDeque::new();
            for _ in 0..20_000 {
                // Few different low bits, so that buckets are full and their runs wrap around the end.
                let low = random.below(3).wrapping_sub(1) & 0xff;
                let fingerprint = (1 + random.below(2 * capacity as u64)) << 8 | low;
                let is_known = naive.contains(&fingerprint);
                assert_eq!(set.contains(fingerprint), is_known, "capacity {capacity}");
                assert_eq!(set.insert(fingerprint), is_known, "capacity {capacity}");
                if !is_known {
                    naive.push_back(fingerprint);
                    if naive.len() > capacity {
                        naive.pop_front();
                    }
                }
            }
            assert_eq!(set.slots.iter().filter(|slot| **slot != FREE).count(), capacity);
        }
    }
}
