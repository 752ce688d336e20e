//! What the scenarios have measured, printed when all of them are over.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::stage::Report;
use crate::support::nats_server::Release;

#[derive(Clone, Default)]
pub struct Table(Arc<Mutex<Vec<Row>>>);

struct Row {
    scenario: &'static str,
    release: Release,
    /// None while it runs, so in the end for what failed.
    outcome: Option<Result<Report, &'static str>>,
}

impl Table {
    pub fn begin(&self, scenario: &'static str, release: Release) {
        self.0.lock().unwrap().push(Row { scenario, release, outcome: None });
    }

    pub fn end(&self, scenario: &'static str, release: Release, outcome: Result<Report, &'static str>) {
        let mut rows = self.0.lock().unwrap();
        let row = rows.iter_mut().find(|row| row.scenario == scenario && row.release == release);
        row.expect("it has begun").outcome = Some(outcome);
    }

    /// In the order of names and releases.
    pub fn print(&self) {
        let mut rows = self.0.lock().unwrap();
        if rows.is_empty() {
            return;
        }
        rows.sort_by_key(|row| (row.scenario, row.release as u8));
        println!(
            "{:<28} {:<8} {:>22} {:>9} {:>9} {:>8} {:>5} {:>5}  note",
            "scenario", "server", "recovery ms", "published", "received", "unheard", "lost", "dupl."
        );
        for Row { scenario, release, outcome } in rows.iter() {
            print!("{scenario:<28} {:<8} ", release.to_string());
            match outcome {
                None => println!("FAILED"),
                Some(Err(reason)) => println!("n/a: {reason}"),
                Some(Ok(report)) => println!(
                    "{:>22} {:>9} {:>9} {:>8} {:>5} {:>5}  {}",
                    spread(&report.recoveries),
                    report.published,
                    report.received,
                    report.unheard,
                    report.lost,
                    report.duplicated,
                    report.note
                ),
            }
        }
        println!(
            "recovery: from the server being back to /ready 200 and an event received; several: median (p95, max).\n\
             published = received + unheard (the server said that nobody was subscribed) + lost (with the server)."
        );
    }
}

fn spread(recoveries: &[Duration]) -> String {
    let mut sorted: Vec<u128> = recoveries.iter().map(Duration::as_millis).collect();
    sorted.sort_unstable();
    let rank = |part: f64| sorted[((part * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1];
    match sorted.len() {
        0 => "-".to_owned(),
        1 => sorted[0].to_string(),
        _ => format!("{} ({}, {})", rank(0.5), rank(0.95), rank(1.0)),
    }
}
