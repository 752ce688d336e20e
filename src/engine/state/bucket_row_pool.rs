//! Counts of latencies, a row of buckets each, from one pool for all symbols.
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
pub(super) struct BucketRow {
    /// Over all buckets and slots.
    pub total: u64,
    /// Of each bucket over all slots.
    pub totals: Counts,
    pub slots: [Counts; LATENCY_SLOTS],
}

/// The id of no row.
pub(super) const NO_ROW: u32 = u32::MAX;

pub(super) const EMPTY_ROW: BucketRow =
    BucketRow { total: 0, totals: [0; ROW_BUCKETS], slots: [[0; ROW_BUCKETS]; LATENCY_SLOTS] };

const ROWS: Table = Table::new("the counts of latencies", "MAX_SYMBOLS");

/// All rows there will ever be.
pub struct BucketRowPool {
    /// Those that have been in use; the others' memory is reserved and untouched.
    pub(super) rows: Vec<BucketRow>,
    /// Those of `rows` that are in use no more.
    pub(super) free: Vec<u32>,
    pub(super) left: usize,
    /// From here on symbols that receive nothing are asked for theirs.
    low: usize,
}

impl BucketRowPool {
    pub fn new(row_capacity: usize) -> Result<Self, NoMemory> {
        let (rows, free) = (ROWS.list(row_capacity)?, ROWS.list(row_capacity)?);
        Ok(BucketRowPool { rows, free, left: row_capacity, low: row_capacity / POOL_LOW_PART })
    }

    /// Few rows are left.
    #[inline]
    pub fn is_low(&self) -> bool {
        self.left <= self.low
    }

    /// The id of an empty row; `None` when none is left.
    pub(super) fn take(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        Some(self.free.pop().unwrap_or_else(|| {
            self.rows.push(EMPTY_ROW);
            (self.rows.len() - 1) as u32
        }))
    }

    /// Takes back an emptied row.
    pub(super) fn give_back(&mut self, id: u32) {
        self.free.push(id);
        self.left += 1;
    }
}
