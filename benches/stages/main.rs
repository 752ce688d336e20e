//! What each stage of an event's path costs, in ns and in instructions.
//!
//! ```text
//!   cargo bench --bench stages                 over the demo's market
//!   cargo bench --bench stages -- RECORDING    over a recording
//! ```
//!
//! A pass takes the whole input through one stage; passes of all stages take turns, and a stage's time is that of its
//! best pass, the one that nothing else disturbed. Instructions are counted by valgrind, which runs this program again for one pass of
//! each stage and writes the count at the end of each. Some rows are differences: `apply` is handling less decoding,
//! `features` is handling with a snapshot for every event less handling without, `encode` is that again with the
//! snapshots taken out.
//!
//! `cargo test` runs it, too, without `--bench`: two short passes of each stage, which must come to what the input holds.

mod live_path;
mod measure;
mod parts;
mod table;
mod whole_path;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use senpai_md_consumer::config::Symbols;
use senpai_md_consumer::engine::input::decode::Decoder;
use senpai_md_consumer::engine::input::subject::EventKind;
use senpai_md_consumer::engine::settings::EngineSettings;
use senpai_md_consumer::engine::time::{NANOS_PER_SECOND, UnixNanos};
use senpai_md_consumer::market::generator::Market;
use senpai_md_consumer::recording::looped_frames::Stream;

use live_path::{LivePath, Source};
use measure::{COUNTING, Stage, Work, count_instructions, run};
use parts::{Decoding, Framing, Handling, Input};
use table::{Figures, print_table};
use whole_path::WholePath;

const PREFIX: &str = "md.events";
const SEED: u64 = 1;
/// Of a worker's reads: a socket that is behind, and one that is not.
const READ_BYTES: [usize; 2] = [64 << 10, 2 << 10];
const KINDS: [EventKind; 4] = [EventKind::Trade, EventKind::Quote, EventKind::Book, EventKind::Heartbeat];

/// How much is done.
#[derive(Clone, Copy)]
struct Size {
    /// Of a recording at most this many.
    events: u64,
    /// Of the market with many symbols.
    market_events: usize,
    passes: usize,
}

const FULL: Size = Size { events: 20_000, market_events: 100_000, passes: 20 };
const SMOKE: Size = Size { events: 2_000, market_events: 20_000, passes: 1 };

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    if !has("--bench") && !has(COUNTING) {
        // The arguments are meant for other tests.
        let stages = stages(None, SMOKE).expect("the generated market is always there");
        println!("{} stages, each came to what its input holds", run(stages, SMOKE.passes).len());
        return ExitCode::SUCCESS;
    }
    let recording = args.iter().find(|arg| !arg.starts_with("--")).map(PathBuf::from);
    match bench(recording.as_deref(), has(COUNTING)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(recording: Option<&Path>, is_counting: bool) -> Result<(), String> {
    let stages = stages(recording, FULL)?;
    if is_counting {
        run(stages, 1);
        return Ok(());
    }
    let names: Vec<String> = stages.iter().map(|stage| stage.name.clone()).collect();
    let events: Vec<u64> = stages.iter().map(|stage| stage.work.events()).collect();
    let times = run(stages, FULL.passes);
    let instructions = count_instructions(recording, &events);
    if let Err(cause) = &instructions {
        eprintln!("no instruction counts: {cause}");
    }
    let figures = (0..names.len()).map(|index| Figures {
        name: names[index].clone(),
        events: events[index],
        ns: times[index] / events[index] as f64,
        instructions: instructions.as_ref().ok().map(|counts| counts[index] as f64 / events[index] as f64),
    });
    print_table(&figures.collect::<Vec<_>>());
    Ok(())
}
/// The demo's market, from a moment that is always the same.
fn generated(count: u64) -> impl Iterator<Item = (String, String)> {
    let (mut market, mut payload) = (Market::new(SEED, PREFIX), Vec::new());
    (0..count).map(move |_| {
        let event = market.next_event(UnixNanos(1_721_347_022 * NANOS_PER_SECOND), &mut payload);
        (event.subject.to_owned(), String::from_utf8(payload.clone()).expect("it is JSON"))
    })
}

/// Every stage with its input and state.
fn stages(recording: Option<&Path>, size: Size) -> Result<Vec<Stage>, String> {
    let stream = match recording {
        Some(file) => Stream::load(file, &Symbols::default(), PREFIX, size.events, &mut std::io::stderr())?,
        None => Stream::of(generated(size.events)),
    };
    // What a recording has none of is made up: a stage without events has no cost to show.
    let heartbeat = r#"{"event_type":"heartbeat","provider":"binance","ts_exchange":"2024-07-18T23:57:02.605624Z","ts_recv":"2024-07-18T23:57:02.605624Z","counter":1}"#;
    let heartbeats = Stream::of((0..1_000).map(|_| (format!("{PREFIX}.heartbeat.binance"), heartbeat.to_owned())));
    let of_kind = |kind: EventKind| if kind == EventKind::Heartbeat { heartbeats.clone() } else { stream.clone() };

    let mut stages = Vec::new();
    let mut add = |name: String, work: Box<dyn Work>| stages.push(Stage { name, work });
    add("frame".into(), Box::new(Framing { stream: stream.clone() }));
    for kind in KINDS {
        let input = Input::new(of_kind(kind), Some(kind));
        add(format!("decode {}", kind.name()), Box::new(Decoding { input, decoder: Decoder::default() }));
    }
    for kind in KINDS {
        let input = Input::new(of_kind(kind), Some(kind));
        add(format!("handle {}", kind.name()), Box::new(Handling::new(input, no_snapshots(), false)));
    }
    let all = || Input::new(stream.clone(), None);
    add("all, no snapshot".into(), Box::new(Handling::new(all(), no_snapshots(), false)));
    let mut asked = no_snapshots();
    asked.signal.return_threshold = -1.0;
    asked.signal.spread_max_bps = f64::INFINITY;
    asked.signal.volume_threshold = f64::INFINITY;
    add("all, rules asked".into(), Box::new(Handling::new(all(), asked, false)));
    let each = EngineSettings { publish_interval: Some(1), ..no_snapshots() };
    add("all, snapshots left".into(), Box::new(Handling::new(all(), each.clone(), false)));
    add("all, snapshots taken".into(), Box::new(Handling::new(all(), each, true)));
    add("whole path, snapshots at 10 Hz".into(), Box::new(WholePath::new(stream.clone(), EngineSettings::default())));
    for read_bytes in READ_BYTES {
        for source in [Source::Core, Source::JetStream] {
            add(live_name(source, read_bytes), Box::new(LivePath::new(source, stream.clone(), read_bytes)));
        }
    }
    for trades in [100, 10_000] {
        add(format!("window of {trades} trades"), Box::new(WholePath::window(trades, size.events as usize)));
    }
    for symbols in [2, 10_000] {
        add(format!("{symbols} symbols"), Box::new(WholePath::market(symbols, size.market_events)));
    }
    Ok(stages)
}

fn live_name(source: Source, read_bytes: usize) -> String {
    let name = match source {
        Source::Core => "core NATS",
        Source::JetStream => "JetStream",
    };
    format!("{name}, reads of {} KiB", read_bytes >> 10)
}

fn no_snapshots() -> EngineSettings {
    EngineSettings { publish_interval: None, symbols_max: 100, window_trades: 200_000, ..EngineSettings::default() }
}
