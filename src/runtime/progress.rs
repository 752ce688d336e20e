//! How far work is that takes long, on a terminal: one line at the bottom that is drawn again, and erased at the end.
//!
//! ```text
//!    43 %, 1234567 events, 12 s to go
//! ```
//!
//! It goes the way of the log lines, which erase it before they are written; it never blocks, and where standard error is no
//! terminal, or the log is JSON, there is none.

use std::path::Path;

use crate::engine::time::NANOS_PER_SECOND;
use crate::runtime::clock::Clock;
use crate::runtime::logging;

/// Between two drawings: more often nobody reads it.
const INTERVAL_NS: u64 = NANOS_PER_SECOND as u64 / 4;

/// The progress of one piece of work. Dropping it erases the line.
pub struct Progress {
    clock: Clock,
    /// The first drawing waits as well: what is done by then needs none.
    due_ns: u64,
    is_drawn: bool,
}

impl Progress {
    /// Work that begins now.
    pub fn start() -> Progress {
        let due_ns = if logging::shows_progress() { INTERVAL_NS } else { u64::MAX };
        Progress { clock: Clock::start(), due_ns, is_drawn: false }
    }

    /// Work whose results go to standard output as they come: where that is a terminal, they show how far it is.
    pub fn beside_results() -> Progress {
        let progress = Progress::start();
        if logging::results_are_seen() { Progress { due_ns: u64::MAX, ..progress } } else { progress }
    }

    /// Work whose results go to a file; `-` is standard output.
    pub fn writing(file: &Path) -> Progress {
        if file == Path::new("-") { Progress::beside_results() } else { Progress::start() }
    }

    /// So much is done, of 1.0 (`None`: it has no known end); `what` says it in words. To be called each some thousand events:
    /// it reads the clock.
    pub fn show(&mut self, done: Option<f64>, what: impl FnOnce() -> String) {
        if self.due_ns == u64::MAX {
            return;
        }
        let elapsed_ns = self.clock.elapsed_ns();
        if elapsed_ns >= self.due_ns {
            self.due_ns = elapsed_ns + INTERVAL_NS;
            self.is_drawn = true;
            logging::draw_progress(&line(elapsed_ns as f64 / NANOS_PER_SECOND as f64, done, &what()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_drawn {
            logging::draw_progress("");
        }
    }
}

fn line(elapsed_s: f64, done: Option<f64>, what: &str) -> String {
    match done.map(|done| done.clamp(0.0, 1.0)).filter(|done| *done > 0.0) {
        None => format!("{what}, {}", length(elapsed_s)),
        Some(done) => {
            let left_s = elapsed_s * (1.0 - done) / done;
            format!("{:3.0} %, {what}, {} to go", (100.0 * done).floor(), length(left_s))
        }
    }
}

/// In words: `12 s`, `3 min 5 s`, `2 h 3 min`.
fn length(seconds: f64) -> String {
    match seconds.round() as u64 {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min {} s", s / 60, s % 60),
        s => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check = |elapsed_s, done, expected: &str| assert_eq!(line(elapsed_s, done, "7 events"), expected);
        check(3.2, None, "7 events, 3 s");
        check(3.2, Some(0.0), "7 events, 3 s");
        check(10.0, Some(0.25), " 25 %, 7 events, 30 s to go");
        check(10.0, Some(0.999), " 99 %, 7 events, 0 s to go");
        check(10.0, Some(1.5), "100 %, 7 events, 0 s to go");
        check(60.0, Some(0.25), " 25 %, 7 events, 3 min 0 s to go");
        check(3600.0, Some(0.25), " 25 %, 7 events, 3 h 0 min to go");
    }
}
