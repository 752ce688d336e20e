//! The only file that reads a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::engine::time::UnixNanos;

/// Wall time that does not step: the system's time at start, and from there on the monotonic clock. A step of the
/// system clock (NTP, an operator) therefore moves no window; slewing is followed.
#[derive(Clone, Copy)]
pub struct Clock {
    start: Instant,
    start_unix: i64,
}

impl Clock {
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { start: Instant::now(), start_unix: since_epoch.as_nanos() as i64 }
    }

    #[inline]
    pub fn now(&self) -> UnixNanos {
        UnixNanos(self.start_unix + self.elapsed_ns() as i64)
    }

    /// ns since `start`, for measuring lengths of time.
    #[inline]
    pub fn elapsed_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// The same scale as `elapsed_ns`, for a moment of `now`; 0 for moments before the start.
    #[inline]
    pub fn elapsed_at(&self, moment: UnixNanos) -> u64 {
        (moment.0 - self.start_unix).max(0) as u64
    }
}
