//! Numbers that look random and are the same for the same seed, on every machine: splitmix64 (Steele, Lea and Flood,
//! "Fast splittable pseudorandom number generators", 2014). For the generated market and the embedded broker.

/// A sequence of numbers: see the head of this file.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed, from its start.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number, of all 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to 1, 1 excluded.
    pub fn fraction(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// 0 to `end`, excluded; for ends so small that modulo is fair enough.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    /// Mean 0, standard deviation 1: a sum of twelve uniform numbers, which needs no logarithm.
    pub fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.fraction()).sum::<f64>() - 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_splitmix64() {
        // The reference implementation's first numbers for the seed 1234567.
        let mut random = Random::new(1_234_567);
        assert_eq!([random.draw(), random.draw()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn spread() {
        let mut random = Random::new(1);
        let values: Vec<f64> = (0..100_000).map(|_| random.bell()).collect();
        let mean = values.iter().sum::<f64>() / 1e5;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        assert!((0..1000).all(|_| random.below(3) < 3 && (0.0..1.0).contains(&random.fraction())));
    }
}
