//! Times and instructions of stages.

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Says to this program that valgrind runs it.
pub const COUNTING: &str = "--counting";

pub struct Stage {
    pub name: String,
    pub work: Box<dyn Work>,
}

pub trait Work {
    /// In a pass.
    fn events(&self) -> u64;
    /// Brings state and input to where pass number `pass` begins; not measured.
    fn prepare(&mut self, pass: i64);
    /// Takes the input through; says how many events that were.
    fn run(&mut self) -> u64;
}

/// The ns of the best pass of each stage. They take turns, so that what else the machine does falls on all alike.
pub fn run(mut stages: Vec<Stage>, passes: usize) -> Vec<f64> {
    let mut best = vec![f64::INFINITY; stages.len()];
    // The first pass warms up; valgrind counts it too, and is asked for the last.
    for pass in 0..=passes {
        for (stage, best) in stages.iter_mut().zip(&mut best) {
            stage.work.prepare(pass as i64);
            let start = Instant::now();
            let events = measured(stage.work.as_mut());
            let time = start.elapsed().as_nanos() as f64;
            assert_eq!(events, stage.work.events(), "{} takes every event", stage.name);
            if pass > 0 {
                *best = best.min(time);
            }
        }
    }
    best
}

/// valgrind counts from the entry of this function, which it finds by its name,
#[inline(never)]
fn measured(work: &mut dyn Work) -> u64 {
    let events = black_box(work.run());
    is_measured(events)
}

/// to the entry of this one.
#[inline(never)]
fn is_measured(events: u64) -> u64 {
    black_box(events)
}

/// Runs this program again, under valgrind: instructions of the last pass of each stage.
pub fn count_instructions(recording: Option<&Path>, stage_events: &[u64]) -> Result<Vec<u64>, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let out = directory.path().join("out");
    let mut out_file = std::ffi::OsString::from("--callgrind-out-file=");
    out_file.push(&out);
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let status = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--zero-before=stages::measure::measured",
            "--dump-before=stages::measure::is_measured",
        ])
        .arg(out_file)
        .arg(program)
        .arg(COUNTING)
        .args(recording)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("valgrind does not start ({error}): install it, it counts them"))?;
    if !status.success() {
        return Err(format!("valgrind has ended with {status}"));
    }
    // Dumps are numbered from 1: a warm-up of each stage, then a pass of each.
    let counts = (0..stage_events.len()).map(|index| {
        let dump = out.with_extension((stage_events.len() + index + 1).to_string());
        let text = std::fs::read_to_string(&dump).map_err(|error| format!("{}: {error}", dump.display()))?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        total.and_then(|total| total.trim().parse().ok()).ok_or_else(|| "a dump of valgrind's has no totals".into())
    });
    counts.collect()
}
