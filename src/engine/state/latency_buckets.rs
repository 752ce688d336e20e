//! Latencies by buckets, in the order of their values.
//!
//! Buckets are log-linear: fifty to each power of two, so a bucket's bounds a < b hold (b - a) / (a + b) < 1 % and its
//! harmonic middle 2ab / (a + b) is within 1 % of everything in it; below 64 ns each value has its own. Eight neighbours
//! make a row.

pub(super) const ROW_BUCKETS: usize = 8;
const LINEAR_BUCKETS: u64 = 64;
const BUCKETS_PER_OCTAVE: u64 = 50;
const FIRST_OCTAVE: u32 = 6;
/// Latencies from 2^53 ns (104 days) on share the last bucket.
const LAST_OCTAVE: u32 = 52;
const BUCKETS: usize =
    LINEAR_BUCKETS as usize + (LAST_OCTAVE - FIRST_OCTAVE + 1) as usize * BUCKETS_PER_OCTAVE as usize;
const ROWS: usize = BUCKETS.div_ceil(ROW_BUCKETS);
/// Negative latencies (clocks that disagree) mirror the positive ones below them.
pub(super) const ROWS_BOTH_SIGNS: usize = 2 * ROWS;

/// Buckets in the order of their values: the negative ones mirrored below the others.
#[inline]
pub(super) fn bucket_of(latency_ns: i64) -> usize {
    const ZERO: usize = ROWS * ROW_BUCKETS;
    let magnitude = magnitude_bucket(latency_ns.unsigned_abs());
    if latency_ns >= 0 { ZERO + magnitude } else { ZERO - 1 - magnitude }
}

#[inline]
fn magnitude_bucket(magnitude_ns: u64) -> usize {
    if magnitude_ns < LINEAR_BUCKETS {
        return magnitude_ns as usize;
    }
    let octave = magnitude_ns.ilog2();
    if octave > LAST_OCTAVE {
        return BUCKETS - 1;
    }
    let within = ((magnitude_ns - (1 << octave)) * BUCKETS_PER_OCTAVE) >> octave;
    (LINEAR_BUCKETS + (octave - FIRST_OCTAVE) as u64 * BUCKETS_PER_OCTAVE + within) as usize
}

#[inline]
pub(super) fn bucket_middle_ms(bucket: usize) -> f64 {
    const ZERO: usize = ROWS * ROW_BUCKETS;
    let (magnitude, sign) = if bucket >= ZERO { (bucket - ZERO, 1.0) } else { (ZERO - 1 - bucket, -1.0) };
    let magnitude = magnitude as u64;
    let middle_ns = if magnitude < LINEAR_BUCKETS {
        magnitude as f64
    } else {
        let (octave, within) =
            ((magnitude - LINEAR_BUCKETS) / BUCKETS_PER_OCTAVE, (magnitude - LINEAR_BUCKETS) % BUCKETS_PER_OCTAVE);
        let base = (1u64 << (octave + FIRST_OCTAVE as u64)) as f64;
        let low = base * (1.0 + within as f64 / BUCKETS_PER_OCTAVE as f64);
        let high = base * (1.0 + (within + 1) as f64 / BUCKETS_PER_OCTAVE as f64);
        2.0 * low * high / (low + high)
    };
    sign * middle_ns / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_within_one_percent_of_its_bucket() {
        let mut value = 0i64;
        while value < 1 << 52 {
            for latency in [value, -value, value + value / 97] {
                let middle_ns = bucket_middle_ms(bucket_of(latency)) * 1e6;
                let error = (middle_ns - latency as f64).abs();
                assert!(error <= 0.01 * latency.abs() as f64 + 1e-6, "{latency} {middle_ns}");
            }
            value += 1 + value / 331;
        }
        assert!(bucket_of(i64::MAX) < ROWS_BOTH_SIGNS * ROW_BUCKETS);
        assert!(bucket_of(i64::MIN) < ROWS_BOTH_SIGNS * ROW_BUCKETS);
    }

    #[test]
    fn buckets_keep_the_order_of_values() {
        let mut previous = 0;
        let mut value = -(1i64 << 54);
        while value < 1 << 54 {
            let bucket = bucket_of(value);
            assert!(bucket >= previous, "{value}");
            previous = bucket;
            value += 1 + value.abs() / 201;
        }
    }
}
