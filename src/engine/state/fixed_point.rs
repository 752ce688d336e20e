//! Sums without drift, however often a window adds and subtracts.
//!
//! A term (a positive f64) is turned into a fixed-point integer by a function of the term alone, so what is subtracted
//! when a trade leaves is bit for bit what was added when it came; the sum of an empty window is 0, always.
//!
//! ```text
//!   i128:  sign | 24 bits headroom for 2^24 terms | 68 bits of range | 34 bits below the smallest term | quantum
//! ```
//!
//! A term between `smallest` and `smallest * 2^68` is represented to 2^-35 (3e-11) of itself or better. Any other term
//! is only counted: while `extremes > 0` the sum is not used and the window is walked instead.

/// A fixed-point sum of positive terms, whose quantum is `2^QUANTUM_LOG2`.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct FixedSum<const QUANTUM_LOG2: i32> {
    quanta: i128,
    extremes: u32,
}

/// Sizes: exact from 2^-30 (9e-10) to 2^38 (2.7e11) units.
pub type SizeSum = FixedSum<-64>;
/// Price times size: exact from 2^-32 (2.3e-10) to 2^36 (6.9e10) of the quote currency.
pub type NotionalSum = FixedSum<-66>;

const MANTISSA_BITS: i32 = 52;
const EXPONENT_BIAS: i32 = 1023;
const PRECISION_BITS: i32 = 34;
const RANGE_BITS: i32 = 68;

impl<const QUANTUM_LOG2: i32> FixedSum<QUANTUM_LOG2> {
    /// The term in quanta; `None` outside the range.
    #[inline]
    fn quanta_of(term: f64) -> Option<i128> {
        let bits = term.to_bits();
        let exponent = (bits >> MANTISSA_BITS) as i32 - EXPONENT_BIAS;
        let above_smallest = exponent - (QUANTUM_LOG2 + PRECISION_BITS);
        if !(0..RANGE_BITS).contains(&above_smallest) {
            return None;
        }
        let mantissa = (bits & ((1 << MANTISSA_BITS) - 1)) | 1 << MANTISSA_BITS;
        let shift = above_smallest + PRECISION_BITS - MANTISSA_BITS;
        Some(if shift >= 0 { (mantissa as i128) << shift } else { (mantissa >> -shift) as i128 })
    }

    #[inline]
    pub fn add(&mut self, term: f64) {
        match Self::quanta_of(term) {
            Some(quanta) => self.quanta += quanta,
            None => self.extremes += 1,
        }
    }

    #[inline]
    pub fn subtract(&mut self, term: f64) {
        match Self::quanta_of(term) {
            Some(quanta) => self.quanta -= quanta,
            None => self.extremes -= 1,
        }
    }

    /// The sum, unless a term in it lies outside the range.
    #[inline]
    pub fn value(&self) -> Option<f64> {
        (self.extremes == 0).then(|| self.quanta as f64 * power_of_two(QUANTUM_LOG2))
    }
}

const fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + EXPONENT_BIAS) as u64) << MANTISSA_BITS)
}

/// A log return in units of 2^-60, or [`EXTREME_RETURN`]. Ticks of 1e-8 of the price are kept to 1e-10 of themselves.
pub type ReturnQuanta = i64;

/// Marks a return of 6.25 % or more between two trades, which the sums do not hold.
pub const EXTREME_RETURN: ReturnQuanta = i64::MIN;

const RETURN_QUANTUM_LOG2: i32 = -60;
const RETURN_LIMIT: f64 = 1.0 / 16.0;

/// ln(price / previous). Of close prices as ln(1 + (price - previous) / previous): their difference is exact, their
/// quotient is not. Of distant ones as a difference of logarithms, which neither overflows nor cancels.
#[inline]
pub fn log_return(previous: f64, price: f64) -> f64 {
    if price == previous {
        return 0.0;
    }
    let change = (price - previous) / previous;
    if change.abs() < 0.5 { change.ln_1p() } else { price.ln() - previous.ln() }
}

/// sum(value x weight) / sum(weight) of finite positive terms, of which neither the products nor the sums need fit
/// into an f64: exponents are kept apart, and the largest becomes the scale.
pub fn weighted_mean(terms: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let products = terms.clone().map(|(value, weight)| {
        let ((value, value_log2), (weight, weight_log2)) = (split_exponent(value), split_exponent(weight));
        (value * weight, value_log2 + weight_log2)
    });
    let (product, product_log2) = sum_scaled(products);
    let (weight, weight_log2) = sum_scaled(terms.map(|(_, weight)| split_exponent(weight)));
    // In two steps, as the power alone may not fit where the mean does.
    let log2 = product_log2 - weight_log2;
    product / weight * 2f64.powi(log2 / 2) * 2f64.powi(log2 - log2 / 2)
}

/// The sum of `mantissa * 2^exponent`, in the same form.
fn sum_scaled(terms: impl Iterator<Item = (f64, i32)> + Clone) -> (f64, i32) {
    let largest = terms.clone().map(|(_, log2)| log2).max().unwrap_or(0);
    (terms.map(|(mantissa, log2)| mantissa * 2f64.powi(log2 - largest)).sum(), largest)
}

/// A finite positive number as a mantissa in 1..2 and an exponent of two.
fn split_exponent(value: f64) -> (f64, i32) {
    // A subnormal number is made a normal one first.
    let (value, shift) = if value < f64::MIN_POSITIVE { (value * power_of_two(64), 64) } else { (value, 0) };
    let exponent = (value.to_bits() >> MANTISSA_BITS) as i32 - EXPONENT_BIAS;
    let mantissa =
        f64::from_bits(value.to_bits() & ((1 << MANTISSA_BITS) - 1) | (EXPONENT_BIAS as u64) << MANTISSA_BITS);
    (mantissa, exponent - shift)
}

#[inline]
pub fn return_quanta(previous: f64, price: f64) -> ReturnQuanta {
    let value = log_return(previous, price);
    if value.abs() < RETURN_LIMIT { (value * power_of_two(-RETURN_QUANTUM_LOG2)) as i64 } else { EXTREME_RETURN }
}

/// Sums of returns and of their squares. Squares stay under 2^112, and the carries of the 128-bit sum are counted, so that
/// an overflow is always noticed.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct ReturnSums {
    sum: i128,
    squares: u128,
    squares_carries: i32,
    extremes: u32,
    count: u32,
}

impl ReturnSums {
    #[inline]
    pub fn add(&mut self, quanta: ReturnQuanta) {
        self.count += 1;
        if quanta == EXTREME_RETURN {
            self.extremes += 1;
            return;
        }
        self.sum += quanta as i128;
        let (squares, carry) = self.squares.overflowing_add((quanta as i128 * quanta as i128) as u128);
        self.squares = squares;
        self.squares_carries += carry as i32;
    }

    #[inline]
    pub fn subtract(&mut self, quanta: ReturnQuanta) {
        self.count -= 1;
        if quanta == EXTREME_RETURN {
            self.extremes -= 1;
            return;
        }
        self.sum -= quanta as i128;
        let (squares, borrow) = self.squares.overflowing_sub((quanta as i128 * quanta as i128) as u128);
        self.squares = squares;
        self.squares_carries -= borrow as i32;
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// Sample standard deviation (n - 1) of the returns; `None` when a sum cannot be used. Needs `count() >= 2`.
    ///
    /// With k = floor(sum / n) and r = sum - k n, the sum of squared deviations is
    /// squares - k^2 n - 2 k r - r^2 / n; all but the last are integers, so nothing cancels that is not equal.
    pub fn sample_deviation(&self) -> Option<f64> {
        let n = self.count as i128;
        if self.extremes > 0 || self.squares_carries != 0 || self.squares >= 1 << 126 {
            return None;
        }
        let k = self.sum.div_euclid(n);
        let rest = self.sum - k * n;
        let whole = self.squares as i128 - k * k * n - 2 * k * rest;
        let deviations = whole as f64 - (rest as f64) * (rest as f64) / n as f64;
        Some((deviations.max(0.0) / (n - 1) as f64).sqrt() * power_of_two(RETURN_QUANTUM_LOG2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_goes_without_a_trace() {
        let terms = [1e-9, 0.1, 3.0, 63943.9 * 0.003, 1e10, 2.6e11];
        let mut sum = SizeSum::default();
        for _ in 0..1000 {
            terms.iter().for_each(|term| sum.add(*term));
            terms.iter().rev().for_each(|term| sum.subtract(*term));
        }
        assert_eq!(sum, SizeSum::default());
    }

    #[test]
    fn terms_are_kept_to_1e_10_of_themselves() {
        let mut term = 1e-9;
        while term < 2e11 {
            let mut sum = SizeSum::default();
            sum.add(term);
            let error = (sum.value().unwrap() - term).abs() / term;
            assert!(error < 1e-10, "{term}: {error}");
            term *= 1.37;
        }
    }

    #[test]
    fn extremes_are_never_summed() {
        for extreme in [1e-300, 1e-12, 1e12, 1e300, f64::INFINITY] {
            let mut sum = SizeSum::default();
            sum.add(1.0);
            sum.add(extreme);
            assert_eq!(sum.value(), None, "{extreme}");
            sum.subtract(extreme);
            assert_eq!(sum.value(), Some(1.0), "{extreme}");
        }
    }

    #[test]
    fn means_of_terms_that_do_not_fit() {
        let check = |terms: &[(f64, f64)], expected: f64| {
            let actual = weighted_mean(terms.iter().copied());
            assert!((actual - expected).abs() <= 1e-14 * expected, "{terms:?}: {actual} {expected}");
        };
        check(&[(3.0, 1.0), (5.0, 3.0)], 4.5);
        check(&[(1e300, 1e300), (3e300, 1e300)], 2e300);
        check(&[(1e-300, 1e-300), (3e-300, 1e-300)], 2e-300);
        check(&[(1e300, 1e-300), (1e-300, 1e300)], 2e-300);
        check(&[(f64::MAX, f64::MAX), (f64::MAX, f64::MAX)], f64::MAX);
        check(&[(5e-324, 5e-324), (5e-324, 1e300)], 5e-324);
    }

    #[test]
    fn returns_between_distant_prices() {
        for (previous, price, expected) in [
            (1.0, 2.0, 2f64.ln()),
            (1e-300, 1e300, 600.0 * 10f64.ln()),
            (1e300, 1e-300, -600.0 * 10f64.ln()),
            (1e10, 1.0, -10.0 * 10f64.ln()),
            (3.0, 2.0, (2.0f64 / 3.0).ln()),
        ] {
            let actual = log_return(previous, price);
            assert!((actual - expected).abs() <= 1e-13 * expected.abs(), "{previous} {price}: {actual} {expected}");
        }
    }

    #[test]
    fn deviation_of_nearly_equal_returns() {
        // A price that grows by 1 % a trade, give or take 1e-7: the squares are 10^10 times their spread.
        let mut sums = ReturnSums::default();
        let values: Vec<f64> = (0..1000).map(|i| 0.01 + 1e-7 * ((i * 37 % 101) as f64 - 50.0)).collect();
        values.iter().for_each(|value| sums.add((value * power_of_two(60)) as i64));
        let mean = values.iter().sum::<f64>() / 1000.0;
        let expected = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / 999.0).sqrt();
        let actual = sums.sample_deviation().unwrap();
        assert!((actual - expected).abs() / expected < 1e-9, "{actual} {expected}");
    }
}
