//! The way of a log line to standard error. The code that logs never waits for it and never fails with it.
//!
//! ```text
//!   any thread ── push ──► queue, bounded ──► thread "log" ──► standard error, which may block or fail
//!                  └ full: lost ──┐                └ fails: lost ──┐
//!                                 └──► counted; reported by one line, in their place, once writing works again
//! ```
//!
//! A line is written by one `write(2)` of at most [`LINE_BYTES_MAX`] bytes, which a pipe takes whole or not at all: so a
//! line is not cut when the process ends in the middle of a write, nor mixed with another process's lines.
//!
//! Turned down: making descriptor 2 a pipe that a thread drains. It would catch what is printed past this module, but
//! nothing here prints past it, and the message of an abort (a stack overflow, no memory) would be lost in that pipe.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};

use crate::engine::time::UnixNanos;
use crate::runtime::clock::system_now;
use crate::runtime::log_text::plain;

/// Longest line, with its end: `PIPE_BUF`, up to which a pipe takes a write whole.
pub const LINE_BYTES_MAX: usize = 4096;
/// Lines that wait for standard error, with what keeping them costs: some two thousand.
const QUEUE_BYTES_MAX: usize = 256 << 10;

/// Back to the line's start, and erase it: before a line where progress is drawn on a terminal.
pub const ERASE_LINE: &str = "\r\x1b[K";

/// Clones are the same sink.
#[derive(Clone)]
pub struct Sink(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    on_pushed: Condvar,
    on_settled: Condvar,
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Entry>,
    len_bytes: usize,
    /// Entries that were ever queued, and those of them that the thread is done with.
    queued: u64,
    settled: u64,
    lost: u64,
}

enum Entry {
    Line(String),
    /// Here lines found no room. Two never follow each other, so they are bounded like the lines.
    Gap(Gap),
}

/// Lines lost in a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Gap {
    pub lines: u64,
    /// When the first of them was lost.
    pub since: UnixNanos,
    pub cause: String,
}

impl Queue {
    fn push(&mut self, line: String) {
        let bytes = line.len() + size_of::<Entry>();
        if self.len_bytes + bytes <= QUEUE_BYTES_MAX {
            self.len_bytes += bytes;
            self.queued += 1;
            self.entries.push_back(Entry::Line(line));
            return;
        }
        self.lost += 1;
        match self.entries.back_mut() {
            Some(Entry::Gap(gap)) => gap.lines += 1,
            _ => {
                self.queued += 1;
                let gap = Gap { lines: 1, since: system_now(), cause: "it was not read".to_owned() };
                self.entries.push_back(Entry::Gap(gap));
            }
        }
    }

    fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front();
        if let Some(Entry::Line(line)) = &entry {
            self.len_bytes -= line.len() + size_of::<Entry>();
        }
        entry
    }
}

impl Sink {
    /// Starts the thread that writes each line by `write`. `gap_line` makes the line that reports lost ones.
    pub fn start(
        write: impl FnMut(&str) -> io::Result<()> + Send + 'static,
        gap_line: fn(&Gap) -> String,
    ) -> io::Result<Sink> {
        let queue = Mutex::new(Queue::default());
        let sink = Sink(Arc::new(Shared { queue, on_pushed: Condvar::new(), on_settled: Condvar::new() }));
        let mut writer = Writer { sink: sink.clone(), write, gap_line, unreported: None, is_failing: false };
        std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.run())?;
        Ok(sink)
    }

    /// Hands over a line with its line end. Waits for nothing but other threads that push.
    pub fn push(&self, line: String) {
        self.queue().push(line);
        self.0.on_pushed.notify_one();
    }

    /// Waits until all that was pushed so far is written or lost, up to `limit`; false when that was not enough.
    pub fn flush(&self, limit: Duration) -> bool {
        let queue = self.queue();
        let queued = queue.queued;
        let waited = self.0.on_settled.wait_timeout_while(queue, limit, |queue| queue.settled < queued);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Since the start.
    pub fn lines_lost(&self) -> u64 {
        self.queue().lost
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's side.
struct Writer<W> {
    sink: Sink,
    write: W,
    gap_line: fn(&Gap) -> String,
    /// Lost, and not reported yet.
    unreported: Option<Gap>,
    /// The last attempt failed. The next line is the next attempt, so a full disk costs one system call a line.
    is_failing: bool,
}

impl<W: FnMut(&str) -> io::Result<()>> Writer<W> {
    fn run(&mut self) {
        loop {
            let mut queue = self.sink.queue();
            let entry = loop {
                match queue.pop() {
                    Some(entry) => break entry,
                    None => queue = self.sink.0.on_pushed.wait(queue).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(queue);
            match entry {
                Entry::Gap(gap) => {
                    self.note(gap);
                    if !self.is_failing {
                        self.is_failing = self.write_gap().is_err();
                    }
                }
                Entry::Line(line) => {
                    let written = self.write_gap().and_then(|()| (self.write)(&line));
                    self.is_failing = written.is_err();
                    if let Err(error) = written {
                        self.sink.queue().lost += 1;
                        self.note(Gap { lines: 1, since: system_now(), cause: plain(&error) });
                    }
                }
            }
            self.sink.queue().settled += 1;
            self.sink.0.on_settled.notify_all();
        }
    }

    fn note(&mut self, gap: Gap) {
        self.unreported = Some(match self.unreported.take() {
            None => gap,
            Some(earlier) => Gap { lines: earlier.lines + gap.lines, since: earlier.since, cause: gap.cause },
        });
    }

    fn write_gap(&mut self) -> io::Result<()> {
        if let Some(gap) = &self.unreported {
            (self.write)(&(self.gap_line)(gap))?;
            self.unreported = None;
        }
        Ok(())
    }
}

/// Standard error, past the standard library's lock: an abort's message must not wait for a write that is stuck.
#[derive(Default)]
pub struct StandardError {
    /// The last write took a part of a line (a disk that is full takes what still fits).
    is_cut: bool,
    /// What was written last is a progress line, which has no end.
    is_drawn: bool,
}

impl StandardError {
    /// Writes a line, for as long as that takes.
    pub fn write(&mut self, line: &str) -> io::Result<()> {
        let stderr = io::stderr();
        let before = match (self.is_cut, self.is_drawn) {
            (true, _) => "\n",
            (false, true) => ERASE_LINE,
            (false, false) => "",
        };
        self.is_drawn = !line.ends_with('\n');
        let line = if before.is_empty() { Cow::from(line) } else { Cow::from(format!("{before}{line}")) };
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match rustix::io::write(&stderr, rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => {
                    rest = &rest[len..];
                    self.is_cut = !rest.is_empty();
                }
                Err(Errno::INTR) => {}
                // Made non-blocking by another process that has it as well.
                Err(Errno::AGAIN) => {
                    retry_on_intr(|| poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], None))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A sink whose every write waits for a verdict; and what was asked to be written.
    fn judged() -> (Sink, Sender<io::Result<()>>, Receiver<String>) {
        let (verdict, verdicts) = channel();
        let (asked, asks) = channel();
        let write = move |line: &str| {
            let _ = asked.send(line.to_owned());
            verdicts.recv().unwrap_or(Ok(()))
        };
        let gap_line = |gap: &Gap| format!("{} lost: {}\n", gap.lines, gap.cause);
        (Sink::start(write, gap_line).expect("a thread can be started"), verdict, asks)
    }

    fn full_disk() -> io::Result<()> {
        Err(io::Error::from_raw_os_error(28))
    }

    #[test]
    fn lines_are_written_in_order() {
        let (sink, verdict, asked) = judged();
        drop(verdict);
        for index in 0..1000 {
            sink.push(format!("{index}\n"));
        }
        assert!(sink.flush(PATIENCE));
        assert_eq!(asked.try_iter().collect::<Vec<_>>(), (0..1000).map(|i| format!("{i}\n")).collect::<Vec<_>>());
        assert_eq!(sink.lines_lost(), 0);
    }

    #[test]
    fn a_writer_that_is_stuck_blocks_no_logging_and_the_gap_is_reported_in_its_place() {
        let (sink, verdict, asked) = judged();
        let line = |index: usize| format!("{index} {}\n", "x".repeat(1000));
        sink.push(line(0));
        assert_eq!(asked.recv_timeout(PATIENCE), Ok(line(0)));
        // It is stuck with that one; the rest waits, as far as there is room.
        for index in 1..1000 {
            sink.push(line(index));
        }
        assert!(!sink.flush(Duration::ZERO));
        let lost = sink.lines_lost() as usize;
        assert!((700..800).contains(&lost), "{lost}");

        drop(verdict);
        assert!(sink.flush(PATIENCE));
        let kept: Vec<String> = asked.iter().take(999 - lost + 1).collect();
        assert_eq!(kept[..999 - lost], (1..1000 - lost).map(line).collect::<Vec<_>>());
        assert_eq!(kept[999 - lost], format!("{lost} lost: it was not read\n"));
        sink.push(line(1000));
        assert_eq!(asked.recv_timeout(PATIENCE), Ok(line(1000)));
        assert_eq!(sink.lines_lost() as usize, lost, "counted once");
    }

    #[test]
    fn what_fails_is_lost_and_reported_with_the_next_line_that_works() {
        let (sink, verdict, asked) = judged();
        let push = |line: &str, outcomes: Vec<io::Result<()>>, expected: &[&str]| {
            outcomes.into_iter().for_each(|outcome| verdict.send(outcome).expect("it is waited for"));
            sink.push(line.to_owned());
            assert!(sink.flush(PATIENCE));
            assert_eq!(asked.try_iter().collect::<Vec<_>>(), expected);
            sink.lines_lost()
        };
        assert_eq!(push("a\n", vec![full_disk()], &["a\n"]), 1);
        let first = "1 lost: No space left on device\n";
        assert_eq!(push("b\n", vec![full_disk()], &[first]), 2);
        let both = "2 lost: No space left on device\n";
        // The notice is written, the line behind it is not.
        assert_eq!(push("c\n", vec![Ok(()), full_disk()], &[both, "c\n"]), 3);
        assert_eq!(push("d\n", vec![Ok(()), Ok(())], &[first, "d\n"]), 3);
        assert_eq!(push("e\n", vec![Ok(())], &["e\n"]), 3);
    }
}
