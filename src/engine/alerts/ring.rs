//! Alerts that wait to be sent, in the order of their moments. When the ring is full the oldest is dropped and counted.

use std::collections::VecDeque;

use crate::engine::alerts::alert::Alert;
use crate::engine::bounds::ALERTS_WAITING_MAX;
use crate::engine::memory::{NoMemory, Table};
use crate::engine::time::UnixNanos;

const WAITING: Table = Table::new("the alerts that wait", "CORES");

/// See the head of this file.
pub struct AlertRing {
    waiting: VecDeque<(UnixNanos, Alert)>,
    /// The last ones, which `take_new` has not given.
    new: usize,
    dropped: u64,
}

impl AlertRing {
    pub fn new() -> Result<AlertRing, NoMemory> {
        Ok(AlertRing { waiting: WAITING.ring(ALERTS_WAITING_MAX)?, new: 0, dropped: 0 })
    }

    /// `moment` is where it stands among the outputs.
    pub fn push(&mut self, moment: UnixNanos, alert: Alert) {
        debug_assert!(self.waiting.back().is_none_or(|(last, _)| *last <= moment), "moments do not step back");
        if self.waiting.len() == ALERTS_WAITING_MAX {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        self.waiting.push_back((moment, alert));
        self.new += 1;
    }

    /// The moment of the next; the end of time where none waits.
    #[inline]
    pub fn next_moment(&self) -> UnixNanos {
        self.waiting.front().map_or(UnixNanos(i64::MAX), |(moment, _)| *moment)
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn pop(&mut self) -> Option<(UnixNanos, Alert)> {
        self.waiting.pop_front()
    }

    /// Those that have come since it was asked last and still wait, oldest first.
    pub fn take_new(&mut self) -> impl Iterator<Item = &Alert> {
        let new = std::mem::take(&mut self.new).min(self.waiting.len());
        self.waiting.range(self.waiting.len() - new..).map(|(_, alert)| alert)
    }

    /// How many were dropped since it was asked last.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// The clock was stepped: moments have other names from now on.
    pub fn handle_clock_step(&mut self, step_ns: i64) {
        self.waiting.iter_mut().for_each(|(moment, _)| *moment = moment.plus(step_ns));
    }
}
