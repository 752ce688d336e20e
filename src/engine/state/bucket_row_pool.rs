//! The counts of latencies, a row of buckets each, from one pool for all symbols.
//!
//! ```text
//!   row (8 buckets)    total, totals [8]
//!                      slot 0 [8]  slot 1 [8]  …  slot 11 [8]     a slot is 5 s of event time
//! ```

use crate::engine::bounds::{LATENCY_SLOTS, POOL_LOW_PART};
use crate::engine::memory::{NoMemory, Table};
use crate::engine::state::latency_buckets::ROW_BUCKETS;

pub(super) type Counts = [u32; ROW_BUCKETS];

/// Aligned, so that a sample touches two cache lines of it, whichever its slot.
#[derive(Clone)]
#[repr(C, align(64))]
pub(super) struct Strip {
    /// Over the whole row.
    pub total: u64,
    pub totals: Counts,
    pub slots: [Counts; LATENCY_SLOTS],
}

/// Of a row without samples.
pub(super) const NO_STRIP: u32 = u32::MAX;

pub(super) const EMPTY_STRIP: Strip =
    Strip { total: 0, totals: [0; ROW_BUCKETS], slots: [[0; ROW_BUCKETS]; LATENCY_SLOTS] };

const STRIPS: Table = Table::new("the counts of latencies", "MAX_SYMBOLS");

/// All strips there will ever be.
pub struct StripPool {
    /// Those that have been in use; the others' memory is there as well, and untouched.
    pub(super) strips: Vec<Strip>,
    /// Those of `strips` that are in use no more.
    pub(super) free: Vec<u32>,
    pub(super) left: usize,
    /// With no more of them left, silent symbols are asked for theirs.
    low: usize,
}

impl StripPool {
    pub fn new(strip_capacity: usize) -> Result<Self, NoMemory> {
        let (strips, free) = (STRIPS.list(strip_capacity)?, STRIPS.list(strip_capacity)?);
        Ok(StripPool { strips, free, left: strip_capacity, low: strip_capacity / POOL_LOW_PART })
    }

    /// Few strips are left.
    #[inline]
    pub fn is_low(&self) -> bool {
        self.left <= self.low
    }

    pub(super) fn take(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        Some(self.free.pop().unwrap_or_else(|| {
            self.strips.push(EMPTY_STRIP);
            (self.strips.len() - 1) as u32
        }))
    }

    /// Takes back an emptied strip.
    pub(super) fn give_back(&mut self, id: u32) {
        self.free.push(id);
        self.left += 1;
    }
}
