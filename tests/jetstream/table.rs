//! What the scenarios have measured, printed when all of them are over.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::stage::Report;
use crate::support::nats_server::Release;

#[derive(Clone, Default)]
pub struct Table(Arc<Mutex<Vec<Row>>>);

struct Row {
    scenario: &'static str,
    release: u8,
    version: String,
    /// None while it runs, so in the end for what failed.
    outcome: Option<Result<Report, &'static str>>,
    took: Duration,
}

impl Table {
    pub fn begin(&self, scenario: &'static str, release: Release) {
        let (version, took) = (release.to_string(), Duration::ZERO);
        self.0.lock().unwrap().push(Row { scenario, release: release as u8, version, outcome: None, took });
    }

    pub fn end(&self, scenario: &'static str, release: Release, took: Duration, outcome: Result<Report, &'static str>) {
        let mut rows = self.0.lock().unwrap();
        let row = rows.iter_mut().find(|row| row.scenario == scenario && row.release == release as u8);
        let row = row.expect("it has begun");
        (row.took, row.outcome) = (took, Some(outcome));
    }

    /// In the order of names and releases.
    pub fn print(&self) {
        let mut rows = self.0.lock().unwrap();
        if rows.is_empty() {
            return;
        }
        rows.sort_by_key(|row| (row.scenario, row.release));
        println!(
            "{:<28} {:<8} {:>5} {:>16} {:>9} {:>8} {:>6} {:>5}  {:<14} note",
            "scenario", "server", "s", "recovery ms", "published", "applied", "missed", "twice", "told"
        );
        for Row { scenario, version, outcome, took, .. } in rows.iter() {
            print!("{scenario:<28} {version:<8} {:>5.1} ", took.as_secs_f64());
            match outcome {
                None => println!("FAILED"),
                Some(Err(reason)) => println!("n/a: {reason}"),
                Some(Ok(report)) => {
                    let recoveries: Vec<String> =
                        report.recoveries.iter().map(|took| took.as_millis().to_string()).collect();
                    let [missed, resets, consumers] = report.told;
                    println!(
                        "{:>16} {:>9} {:>8} {:>6} {:>5}  {:<14} {}",
                        recoveries.join(" "),
                        report.published,
                        report.applied,
                        report.missed,
                        report.twice,
                        format!("{missed}, {resets}, {consumers}"),
                        report.note
                    );
                }
            }
        }
        println!(
            "recovery: from the end of the fault to /ready 200 and another event.\n\
             published: events that the stream holds, or, where it lost some, that it had acknowledged.\n\
             told: what the service says: messages missed, streams made anew or gone back, consumers lost."
        );
    }
}
