//! The last so many fingerprints: hashes of what is to be known again.
//!
//! ```text
//!   fingerprint ──► table  (open addressing, half full at most)      is it there?
//!              └──► ring   (in order of arrival)                     the oldest goes when a new one comes
//! ```
//!
//! Turned down: a table that forgets by age without a ring (it keeps fewer than it says, or more).

use crate::engine::memory::{NoMemory, Table};

/// No fingerprint.
const FREE: u64 = 0;

/// See the head of this file.
pub(super) struct RecentSet {
    /// Twice as many slots as fingerprints, or more, a power of two; empty where nothing is remembered.
    slots: Vec<u64>,
    /// In the order of arrival, as a ring once it is full.
    order: Vec<u64>,
    oldest: usize,
    count_max: usize,
}

impl RecentSet {
    /// Remembers `count_max` fingerprints; none with 0. `table` is what an error names.
    pub fn new(table: Table, count_max: usize) -> Result<Self, NoMemory> {
        let slot_count = match count_max {
            0 => 0,
            count => count.saturating_mul(2).checked_next_power_of_two().ok_or(table.missing::<u64>(usize::MAX))?,
        };
        Ok(RecentSet { slots: table.zeros(slot_count)?, order: table.list(count_max)?, oldest: 0, count_max })
    }

    /// There is room for none.
    #[inline]
    pub fn remembers_none(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether the fingerprint is remembered. There must be room for one at least.
    pub fn contains(&self, fingerprint: u64) -> bool {
        let fingerprint = fingerprint.max(FREE + 1);
        self.slots[self.slot_of(fingerprint)] == fingerprint
    }

    /// Remembers the fingerprint; says whether it was remembered before. There must be room for one at least.
    #[inline]
    pub fn insert(&mut self, fingerprint: u64) -> bool {
        let fingerprint = fingerprint.max(FREE + 1);
        let slot = self.slot_of(fingerprint);
        if self.slots[slot] == fingerprint {
            return true;
        }
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

    /// The slot of a fingerprint, or the free one where it would be.
    #[inline]
    fn slot_of(&self, fingerprint: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = fingerprint as usize & mask;
        while self.slots[slot] != fingerprint && self.slots[slot] != FREE {
            slot = (slot + 1) & mask;
        }
        slot
    }

    /// Frees a fingerprint's slot, and moves those behind it up that would not be found any more.
    #[inline]
    fn remove(&mut self, fingerprint: u64) {
        let mask = self.slots.len() - 1;
        let mut free = self.slot_of(fingerprint);
        self.slots[free] = FREE;
        let mut slot = free;
        loop {
            slot = (slot + 1) & mask;
            let moved = self.slots[slot];
            if moved == FREE {
                break;
            }
            // From its first slot on it has passed the free one.
            let from_first = slot.wrapping_sub(moved as usize) & mask;
            if from_first >= slot.wrapping_sub(free) & mask {
                self.slots[free] = moved;
                self.slots[slot] = FREE;
                free = slot;
            }
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
        for (seed, capacity) in [1, 2, 3, 4, 7, 8, 100].into_iter().enumerate() {
            let mut random = Random::new(seed as u64);
            let mut set = RecentSet::new(FINGERPRINTS, capacity).expect("there is memory");
            let mut naive: VecDeque<u64> = VecDeque::new();
            for _ in 0..20_000 {
                // Few different low bits, so that slots collide and runs wrap around the end.
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
