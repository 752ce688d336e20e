//! The latency percentiles, exact, and the set of values that SPEC's tolerance allows.
//!
//! The window is `(now - 60 s, now]`, but may "end up to 5 s early": any cut from 60 s to 55 s back is acceptable, the same for both percentiles,
//! and each of them may then err by 1 %.
//!
//! ```text
//!        now-60s      now-55s                          now
//!   ────────(────────────]───────────────────────────────]──►  t
//!            any cut here │◄──────── always inside ──────►│
//! ```

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

#[derive(Clone, Copy, Debug)]
pub struct LatencySample {
    pub t: i64,
    /// How many samples came before. With it a window that is looked at later can leave out what came after it.
    pub arrival: usize,
    pub latency_ns: i64,
}

/// All samples of a symbol, by (t, arrival).
pub type Samples = Rc<RefCell<Vec<LatencySample>>>;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    pub p50_ms: f64,
    pub p95_ms: f64,
}

/// The samples as they were when a snapshot was taken.
#[derive(Clone)]
pub struct LatencyWindow {
    samples: Samples,
    arrived: usize,
    now: i64,
    length: i64,
}

impl LatencyWindow {
    const EARLY_NS: i64 = 5 * super::SECOND;

    pub fn new(samples: &Samples, now: i64, length: i64) -> Self {
        LatencyWindow { samples: samples.clone(), arrived: samples.borrow().len(), now, length }
    }

    /// The percentiles of the full window.
    pub fn percentiles(&self) -> Option<Percentiles> {
        self.percentiles_after(self.now - self.length)
    }

    /// Every distinct acceptable pair, before the 1 %.
    pub fn latency_accept(&self) -> Vec<Option<Percentiles>> {
        let mut accept: Vec<Option<Percentiles>> = Vec::new();
        for cut in self.cuts() {
            let percentiles = self.percentiles_after(cut);
            if !accept.contains(&percentiles) {
                accept.push(percentiles);
            }
        }
        accept
    }

    pub fn accepts(&self, p50_ms: Option<f64>, p95_ms: Option<f64>) -> bool {
        let fits = |cut: i64| match (self.percentiles_after(cut), p50_ms, p95_ms) {
            (None, None, None) => true,
            (Some(exact), Some(p50), Some(p95)) => {
                within_one_percent(exact.p50_ms, p50) && within_one_percent(exact.p95_ms, p95)
            }
            _ => false,
        };
        // One fitting cut is enough, in whatever order they are tried: a coarse pass finds most of them quickly.
        let cuts = self.cuts();
        fits(cuts[0]) || cuts.iter().step_by(50).any(|cut| fits(*cut)) || cuts.iter().any(|cut| fits(*cut))
    }

    /// The window's start can lie anywhere in the 5 s, but its content changes only at the samples.
    fn cuts(&self) -> Vec<i64> {
        let start = self.now - self.length;
        let latest_cut = start + Self::EARLY_NS.min(self.length);
        let mut cuts = vec![start];
        cuts.extend(self.samples_after(start).iter().map(|sample| sample.t).filter(|t| *t <= latest_cut));
        cuts.dedup();
        cuts
    }

    fn percentiles_after(&self, cut: i64) -> Option<Percentiles> {
        let mut latencies: Vec<i64> = self.samples_after(cut).iter().map(|sample| sample.latency_ns).collect();
        Some(Percentiles { p50_ms: nearest_rank(&mut latencies, 50)?, p95_ms: nearest_rank(&mut latencies, 95)? })
    }

    /// The samples with cut < t <= now that had arrived by then.
    fn samples_after(&self, cut: i64) -> Vec<LatencySample> {
        let samples = self.samples.borrow();
        let from = samples.partition_point(|sample| sample.t <= cut);
        let to = samples.partition_point(|sample| sample.t <= self.now).max(from);
        samples[from..to].iter().copied().filter(|sample| sample.arrival < self.arrived).collect()
    }
}

impl fmt::Debug for LatencyWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LatencyWindow {{ now: {}, exact: {:?} }}", self.now, self.percentiles())
    }
}

/// The value of rank ceil(percent / 100 * n), counted from 1, in ms.
pub fn nearest_rank(latencies_ns: &mut [i64], percent: usize) -> Option<f64> {
    if latencies_ns.is_empty() {
        return None;
    }
    let rank = (latencies_ns.len() * percent).div_ceil(100);
    let (_, value, _) = latencies_ns.select_nth_unstable(rank - 1);
    Some(*value as f64 / 1e6)
}

/// One nanosecond is allowed on top: it is the resolution of the inputs.
fn within_one_percent(exact: f64, actual: f64) -> bool {
    (actual - exact).abs() <= 0.01 * exact.abs() + 1e-6
}
