//! Numbers that look random and are the same for the same seed: splitmix64 (Steele, Lea and Flood, 2014). They spread the
//! attempts of many clients, and choose the inputs of the tests.

#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `end`, excluded.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
