//! What the scenarios have measured, printed when all of them are over.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::stage::Report;
use crate::support::nats_server::Release;

/// So many recoveries get a line of their own.
const DISTRIBUTION_FROM: usize = 20;

#[derive(Clone, Default)]
pub struct Table(Arc<Mutex<Vec<Row>>>);

struct Row {
    scenario: &'static str,
    release: u8,
    version: String,
    /// None while it runs, so in the end for what failed.
    outcome: Option<Result<Report, &'static str>>,
}

impl Table {
    pub fn begin(&self, scenario: &'static str, release: Release) {
        let version = release.to_string();
        self.0.lock().unwrap().push(Row { scenario, release: release as u8, version, outcome: None });
    }

    pub fn end(&self, scenario: &'static str, release: Release, outcome: Result<Report, &'static str>) {
        let mut rows = self.0.lock().unwrap();
        let row = rows.iter_mut().find(|row| row.scenario == scenario && row.release == release as u8);
        row.expect("it has begun").outcome = Some(outcome);
    }

    /// In the order of names and releases.
    pub fn print(&self) {
        let mut rows = self.0.lock().unwrap();
        if rows.is_empty() {
            return;
        }
        rows.sort_by_key(|row| (row.scenario, row.release));
        println!(
            "{:<28} {:<8} {:>22} {:>9} {:>9} {:>8} {:>5} {:>5} {:>7}  note",
            "scenario", "server", "recovery ms", "published", "received", "unheard", "lost", "dupl.", "http ms"
        );
        for Row { scenario, version, outcome, .. } in rows.iter() {
            print!("{scenario:<28} {version:<8} ");
            match outcome {
                None => println!("FAILED"),
                Some(Err(reason)) => println!("n/a: {reason}"),
                Some(Ok(report)) => println!(
                    "{:>22} {:>9} {:>9} {:>8} {:>5} {:>5} {:>7}  {}",
                    spread(&report.recoveries),
                    report.published,
                    report.received,
                    report.unheard,
                    report.lost,
                    report.duplicated,
                    report.http_worst.as_millis(),
                    report.note
                ),
            }
        }
        for Row { scenario, version, outcome, .. } in rows.iter() {
            if let Some(Ok(report)) = outcome
                && report.recoveries.len() >= DISTRIBUTION_FROM
            {
                println!("{scenario:<28} {version:<8} {}", distribution(&report.recoveries));
            }
        }
        println!(
            "recovery: from the server being back to /ready 200 and an event received; several: median (p95, max).\n\
             published = received + unheard (the server said that there was no subscriber) + lost (with the server).\n\
             http: the longest that /ready took to answer, asked 20 times a second all the while."
        );
    }
}

fn spread(recoveries: &[Duration]) -> String {
    match recoveries.len() {
        0 => "-".to_owned(),
        1 => recoveries[0].as_millis().to_string(),
        _ => {
            let ms = quantiles(recoveries, &[0.5, 0.95, 1.0]);
            format!("{} ({}, {})", ms[0], ms[1], ms[2])
        }
    }
}

fn distribution(recoveries: &[Duration]) -> String {
    let parts = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0];
    let quantiles = parts.iter().zip(quantiles(recoveries, &parts));
    let texts: Vec<String> = quantiles.map(|(part, ms)| format!("{:.0} %: {ms}", part * 100.0)).collect();
    format!("{} recoveries, ms: {}", recoveries.len(), texts.join(", "))
}

/// By nearest rank, in ms.
fn quantiles(recoveries: &[Duration], parts: &[f64]) -> Vec<u128> {
    let mut sorted: Vec<u128> = recoveries.iter().map(Duration::as_millis).collect();
    sorted.sort_unstable();
    let rank = |part: &f64| ((part * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
    parts.iter().map(|part| sorted[rank(part) - 1]).collect()
}
