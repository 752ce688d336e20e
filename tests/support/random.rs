//! Random choices that are the same for the same seed, for tests over generated input.
#![allow(dead_code)]

use senpai_md_consumer::engine::random::Random as Generator;

#[derive(Clone)]
pub struct Random(Generator);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(Generator::new(seed))
    }

    pub fn draw(&mut self) -> u64 {
        self.0.draw()
    }

    /// 0 to `end`, excluded.
    pub fn below(&mut self, end: i64) -> i64 {
        self.0.below(end as u64) as i64
    }

    /// `from` to `to`, both included.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below(to - from + 1)
    }

    pub fn chance(&mut self, thousandths: u64) -> bool {
        self.0.below(1000) < thousandths
    }

    pub fn one_in(&mut self, count: i64) -> bool {
        self.below(count) == 0
    }

    /// 0 to 1, 1 excluded.
    pub fn fraction(&mut self) -> f64 {
        self.0.fraction()
    }

    pub fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.0.below(choices.len() as u64) as usize]
    }
}
