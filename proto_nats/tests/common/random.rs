//! Seeded random choices, so that a failure is repeated by its seed. The numbers are those of the crate.
#![allow(dead_code)] // Each test file uses its own part of this.

#[path = "../../src/random.rs"]
mod splitmix64;

pub struct Random(splitmix64::Random);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(splitmix64::Random(seed))
    }

    pub fn next(&mut self) -> u64 {
        self.0.next()
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0.below(end as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}
