//! The same job as one would write it with the usual crates: tokio, async-nats, serde_json, chrono, `VecDeque`s. It
//! subscribes, keeps windows, computes the eleven features and publishes them at 10 Hz a symbol. No HTTP, no signals, no
//! alerts, no late events, no aliases, no bounds: it has less to do than the service that it is compared with.
//!
//! ```text
//!   peer run NATS_URL SUBJECT_PREFIX    until SIGTERM; a line with the events so far whenever that has changed
//!   peer memory RECORDING SECONDS       subjects and payloads in memory through the same code; one line of JSON
//! ```

mod event;
mod symbol;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use flate2::bufread::MultiGzDecoder;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;

use event::{Event, Heartbeat, Quote, Trade};
use symbol::{Snapshot, Symbol};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const PUBLISH_INTERVAL: Duration = Duration::from_millis(100);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run", url, prefix] => run(url, prefix).await,
        ["memory", file, seconds] => memory(file, seconds.parse()?),
        _ => Err("usage: peer run NATS_URL SUBJECT_PREFIX | peer memory RECORDING SECONDS".into()),
    }
}

#[derive(Default)]
struct Market {
    symbols: HashMap<String, Symbol>,
    malformed: u64,
}

impl Market {
    /// Takes an event in; a snapshot when one is due.
    fn handle(
        &mut self,
        subject: &str,
        prefix: &str,
        payload: &[u8],
        clock: impl Fn() -> Duration,
    ) -> Option<Snapshot> {
        let (kind, name) = subject.strip_prefix(prefix)?.strip_prefix('.')?.split_once('.')?;
        let event = match kind {
            "trade" => serde_json::from_slice::<Trade>(payload).map(Event::Trade),
            "quote" => serde_json::from_slice::<Quote>(payload).map(Event::Quote),
            "book_l2" => serde_json::from_slice(payload).map(Event::Book),
            "heartbeat" => serde_json::from_slice::<Heartbeat>(payload).map(|_| Event::Heartbeat),
            _ => return None,
        };
        let event = match event {
            Ok(Event::Heartbeat) => return None,
            Ok(event) => event,
            Err(_) => {
                self.malformed += 1;
                return None;
            }
        };
        if !self.symbols.contains_key(name) {
            self.symbols.insert(name.to_owned(), Symbol::default());
        }
        let symbol = self.symbols.get_mut(name)?;
        symbol.apply(event);
        let now = clock();
        if symbol.last_publication.is_some_and(|last| now.saturating_sub(last) < PUBLISH_INTERVAL) {
            symbol.is_pending = true;
            return None;
        }
        symbol.last_publication = Some(now);
        symbol.is_pending = false;
        Some(symbol.snapshot(name))
    }

    /// Snapshots whose interval has ended.
    fn due(&mut self, now: Duration) -> Vec<(String, Snapshot)> {
        let is_due = |symbol: &Symbol| {
            symbol.is_pending && symbol.last_publication.is_none_or(|last| now.saturating_sub(last) >= PUBLISH_INTERVAL)
        };
        let due = self.symbols.iter_mut().filter(|(_, symbol)| is_due(symbol));
        due.map(|(name, symbol)| {
            symbol.last_publication = Some(now);
            symbol.is_pending = false;
            (name.clone(), symbol.snapshot(name))
        })
        .collect()
    }
}

async fn run(url: &str, prefix: &str) -> Result<(), Failure> {
    let client = async_nats::connect(url).await?;
    let mut events = client.subscribe(format!("{prefix}.>")).await?;
    client.flush().await?;
    println!("ready");
    let start = Instant::now();
    let mut market = Market::default();
    let (mut count, mut told) = (0u64, 0);
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    loop {
        tokio::select! {
            message = events.next() => {
                let Some(message) = message else { return Err("the connection is gone".into()) };
                count += 1;
                if let Some(snapshot) = market.handle(&message.subject, prefix, &message.payload, || start.elapsed()) {
                    let subject = format!("senpai.features.{}", snapshot.symbol);
                    client.publish(subject, serde_json::to_vec(&snapshot)?.into()).await?;
                }
            }
            _ = tick.tick() => {
                for (name, snapshot) in market.due(start.elapsed()) {
                    client.publish(format!("senpai.features.{name}"), serde_json::to_vec(&snapshot)?.into()).await?;
                }
                if count != told {
                    told = count;
                    println!("{count}");
                }
            }
            _ = terminated.recv() => return Ok(()),
        }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    subject: String,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// As the service's `bench`: each pass moves the timestamps on; that and the reading are not measured.
fn memory(file: &str, seconds: u64) -> Result<(), Failure> {
    const PREFIX: &str = "md.events";
    let mut plain = BufReader::new(File::open(file)?);
    let input: Box<dyn Read> = if plain.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        Box::new(MultiGzDecoder::new(plain))
    } else {
        Box::new(plain)
    };
    let mut recorded = Vec::new();
    for line in BufReader::new(input).lines() {
        let line = line?;
        let Line { subject, payload } = serde_json::from_str(&line)?;
        recorded.push((subject, payload.get().as_bytes().to_vec()));
    }
    let moments = || recorded.iter().filter_map(|(_, payload)| Some(time_of(payload, "\"ts_recv\":\"")?.1));
    let (Some(first), Some(last)) = (moments().min(), moments().max()) else {
        return Err("the recording has no receipt times".into());
    };
    let length = last - first + chrono::TimeDelta::milliseconds(1);
    let mut market = Market::default();
    let (mut busy, mut events, mut published, mut pass) = (Duration::ZERO, 0u64, 0u64, 0);
    while pass < 2 || busy < Duration::from_secs(seconds) {
        // The clock of the snapshots is the events' own, as in a replay.
        let clocks: Vec<Duration> = recorded
            .iter()
            .scan(Duration::ZERO, |clock, (_, payload)| {
                let since = time_of(payload, "\"ts_recv\":\"").map(|(_, t)| (t - first).to_std().unwrap_or_default());
                *clock = since.unwrap_or(*clock).max(*clock);
                Some(*clock)
            })
            .collect();
        let start = Instant::now();
        for ((subject, payload), clock) in recorded.iter().zip(&clocks) {
            if let Some(snapshot) = market.handle(subject, PREFIX, payload, || *clock) {
                let subject = format!("senpai.features.{}", snapshot.symbol);
                std::hint::black_box((subject, serde_json::to_vec(&snapshot)?));
                published += u64::from(pass > 0);
            }
        }
        // The first pass warms up.
        if pass > 0 {
            busy += start.elapsed();
            events += recorded.len() as u64;
        }
        for (_, payload) in &mut recorded {
            for key in ["\"ts_exchange\":\"", "\"ts_recv\":\""] {
                if let Some((at, moment)) = time_of(payload, key) {
                    let text = (moment + length).format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
                    payload[at..at + text.len()].copy_from_slice(text.as_bytes());
                }
            }
        }
        pass += 1;
    }
    let ns = busy.as_nanos() as f64 / events as f64;
    let malformed = market.malformed;
    println!("{{\"events\":{events},\"published\":{published},\"malformed\":{malformed},\"ns_per_event\":{ns}}}");
    Ok(())
}

/// Where the text of a time stands, and the time.
fn time_of(payload: &[u8], key: &str) -> Option<(usize, DateTime<Utc>)> {
    const TEXT_BYTES: usize = "2024-07-18T23:57:02.605624Z".len();
    let at = payload.windows(key.len()).position(|window| window == key.as_bytes())? + key.len();
    let text = std::str::from_utf8(payload.get(at..at + TEXT_BYTES)?).ok()?;
    Some((at, text.parse().ok()?))
}
