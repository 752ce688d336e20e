//! What each stage of an event's path costs, in ns and in instructions.
//!
//! ```text
//!   cargo bench --bench stages                 over the demo's market
//!   cargo bench --bench stages -- RECORDING    over a recording
//! ```
//!
//! A pass takes the whole input through one stage; passes of all stages take turns, and a stage's time is that of its
//! best pass, the one that nothing else disturbed. Instructions are counted by valgrind, which runs this program again
//! for one pass of each stage and writes the count at the end of each. What has no entry of its own is a difference: `apply` is handling less decoding,
//! `features` is handling with a snapshot for every event less handling without, `encode` is that again with the
//! snapshots taken out.
//!
//! `cargo test` runs it, too, without `--bench`: two short passes of each stage, which must come to what the input holds.

use std::hint::black_box;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use proto_nats::{Decoded, Limits, ServerOp, decode_server_op, encode};
use senpai_md_consumer::config::Symbols;
use senpai_md_consumer::engine::engine::{Engine, EngineSettings, Receipt};
use senpai_md_consumer::engine::input::decode::Decoder;
use senpai_md_consumer::engine::input::malformed::Malformed;
use senpai_md_consumer::engine::input::receive_buffer::Queue;
use senpai_md_consumer::engine::input::subject::{EventKind, split_subject};
use senpai_md_consumer::engine::intake::{Ownership, Witness, take_messages};
use senpai_md_consumer::engine::time::{NANOS_PER_SECOND, UnixNanos, encode_time};
use senpai_md_consumer::market::generator::Market;
use senpai_md_consumer::recording::looped_frames::Stream;
use senpai_md_consumer::runtime::random::Random;

const PREFIX: &str = "md.events";
const SEED: u64 = 1;
/// As one read of a busy socket gives, and a slice of the shard.
const READ_BYTES: usize = 64 << 10;
const SLICE_MESSAGES: u64 = 256;
/// Says to this program that valgrind runs it.
const COUNTING: &str = "--counting";

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
        // Whatever else is there is meant for other tests.
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

/// One line of measurement, an event's share.
#[derive(Clone)]
struct Figures {
    name: String,
    events: u64,
    ns: f64,
    instructions: Option<f64>,
}

fn print_table(figures: &[Figures]) {
    let of = |name: &str| figures.iter().find(|row| row.name == name).expect("a stage of that name").clone();
    let difference = |name: String, whole: &str, part: &str| {
        let (whole, part) = (of(whole), of(part));
        let instructions = whole.instructions.zip(part.instructions).map(|(whole, part)| whole - part);
        Figures { name, events: whole.events, ns: whole.ns - part.ns, instructions }
    };
    let mut rows = vec![of("frame")];
    rows.extend(KINDS.map(|kind| of(&format!("decode {}", kind.name()))));
    rows.extend(KINDS.map(|kind| {
        let name = kind.name();
        difference(format!("apply {name}"), &format!("handle {name}"), &format!("decode {name}"))
    }));
    rows.push(difference("rules, every condition asked".into(), "all, rules asked", "all, no snapshot"));
    rows.push(difference("features, a snapshot".into(), "all, snapshots left", "all, no snapshot"));
    rows.push(difference("encode, a snapshot".into(), "all, snapshots taken", "all, snapshots left"));
    rows.push(of("whole path, snapshots at 10 Hz"));

    println!("{:<36}{:>9}{:>9}{:>14}", "stage, an event", "events", "ns", "instructions");
    for Figures { name, events, ns, instructions } in rows {
        let instructions = instructions.map_or("-".into(), |count| format!("{count:.0}"));
        println!("{name:<36}{events:>9}{ns:>9.1}{instructions:>14}");
    }
    println!();
    println!("{:<36}{:>9}{:>9}{:>14}", "whole path, an event", "ns", "ns", "instructions");
    for [small, large] in [["window of 100 trades", "window of 10000 trades"], ["2 symbols", "10000 symbols"]] {
        let (few, many) = (of(small), of(large));
        let counts = few.instructions.zip(many.instructions);
        let instructions = counts.map_or("-".into(), |(few, many)| format!("x {:.2}", many / few));
        let ratio = format!("{:.0} = {:.0} x {:.2}", many.ns, few.ns, many.ns / few.ns);
        println!("{:<36}{ratio:>18}{instructions:>14}", format!("{large} : {small}"));
    }
}

const KINDS: [EventKind; 4] = [EventKind::Trade, EventKind::Quote, EventKind::Book, EventKind::Heartbeat];

struct Stage {
    name: String,
    work: Box<dyn Work>,
}

trait Work {
    /// In a pass.
    fn events(&self) -> u64;
    /// Brings state and input to where pass number `pass` begins; not measured.
    fn prepare(&mut self, pass: i64);
    /// Takes the input through; says how many events that were.
    fn run(&mut self) -> u64;
}

/// The ns of the best pass of each stage. They take turns, so that what else the machine does falls on all alike.
fn run(mut stages: Vec<Stage>, passes: usize) -> Vec<f64> {
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

/// By their names valgrind knows what to count: from the entry of this one
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
fn count_instructions(recording: Option<&Path>, stage_events: &[u64]) -> Result<Vec<u64>, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let out = directory.path().join("out");
    let mut out_file = std::ffi::OsString::from("--callgrind-out-file=");
    out_file.push(&out);
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--zero-before=stages::measured", "--dump-before=stages::is_measured"])
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
    for trades in [100, 10_000] {
        add(format!("window of {trades} trades"), Box::new(WholePath::window(trades, size.events as usize)));
    }
    for symbols in [2, 10_000] {
        add(format!("{symbols} symbols"), Box::new(WholePath::market(symbols, size.market_events)));
    }
    Ok(stages)
}

fn no_snapshots() -> EngineSettings {
    EngineSettings { publish_interval: None, symbols_max: 100, window_trades: 200_000, ..EngineSettings::default() }
}

/// Subjects and payloads of MSG frames.
struct Frames<'a>(&'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match decode_server_op(self.0, &Limits::default()) {
            Ok(Decoded::Op { op: ServerOp::Msg(message), len }) => {
                self.0 = &self.0[len..];
                Some((message.subject, message.payload))
            }
            _ => None,
        }
    }
}

/// Splits frames.
struct Framing {
    stream: Stream,
}

impl Work for Framing {
    fn events(&self) -> u64 {
        self.stream.event_count
    }

    fn prepare(&mut self, _: i64) {}

    fn run(&mut self) -> u64 {
        let split = Frames(&self.stream.bytes).map(|(subject, payload)| (subject.len(), payload.len()));
        split.map(black_box).count() as u64
    }
}

/// A stream with its frames already split.
struct Input {
    stream: Stream,
    events: Vec<(EventKind, Range<usize>, Range<usize>)>,
    /// Events of this type are what a pass takes through.
    kind: Option<EventKind>,
}

impl Input {
    fn new(stream: Stream, kind: Option<EventKind>) -> Input {
        let start = stream.bytes.as_ptr() as usize;
        let range = |bytes: &[u8]| {
            let from = bytes.as_ptr() as usize - start;
            from..from + bytes.len()
        };
        let events = Frames(&stream.bytes).map(|(subject, payload)| {
            let (kind, symbol) = split_subject(subject, PREFIX.as_bytes());
            (kind, range(symbol), range(payload))
        });
        let events = events.collect();
        Input { stream, events, kind }
    }

    fn count(&self) -> u64 {
        self.measured().count() as u64
    }

    fn all(&self) -> impl Iterator<Item = (EventKind, &[u8], &[u8])> {
        let bytes = &self.stream.bytes;
        self.events.iter().map(|(kind, symbol, payload)| (*kind, &bytes[symbol.clone()], &bytes[payload.clone()]))
    }

    fn measured(&self) -> impl Iterator<Item = (EventKind, &[u8], &[u8])> {
        self.all().filter(|(kind, ..)| self.kind.is_none_or(|wanted| wanted == *kind))
    }
}

/// Decodes payloads of one type.
struct Decoding {
    input: Input,
    decoder: Decoder,
}

impl Work for Decoding {
    fn events(&self) -> u64 {
        self.input.count()
    }

    fn prepare(&mut self, pass: i64) {
        self.input.stream.rebase(pass);
    }

    fn run(&mut self) -> u64 {
        let Decoding { input, decoder } = self;
        input.measured().filter(|(kind, _, payload)| black_box(decoder.decode(*kind, payload)).is_ok()).count() as u64
    }
}

/// The engine from split subject to outbox, or to the encoded output; with the windows that all the events before give.
struct Handling {
    input: Input,
    engine: Engine,
    takes_outputs: bool,
}

impl Handling {
    fn new(input: Input, settings: EngineSettings, takes_outputs: bool) -> Handling {
        Handling { input, engine: Engine::new(settings).expect("there is memory"), takes_outputs }
    }
}

impl Work for Handling {
    fn events(&self) -> u64 {
        self.input.count()
    }

    fn prepare(&mut self, pass: i64) {
        let Handling { input, engine, .. } = self;
        input.stream.rebase(2 * pass);
        for (kind, symbol, payload) in input.all() {
            engine.handle_split(kind, symbol, payload, Receipt::Unrecorded).expect("well-formed events");
        }
        input.stream.rebase(2 * pass + 1);
        while engine.poll_output().is_some() {}
        engine.stall_output();
    }

    fn run(&mut self) -> u64 {
        let Handling { input, engine, takes_outputs } = self;
        let mut handled = 0;
        for (kind, symbol, payload) in input.measured() {
            handled += u64::from(engine.handle_split(kind, symbol, payload, Receipt::Unrecorded).is_ok());
            while *takes_outputs && let Some(message) = engine.poll_output() {
                black_box(message.payload);
            }
        }
        handled
    }
}

/// All of it: queue, frames, engine, outputs as PUB frames.
struct WholePath {
    stream: Stream,
    engine: Engine,
    queue: Queue,
    wire: Vec<u8>,
    pass: i64,
    /// In a pass, once every symbol has had its first; `None`: as it comes.
    snapshots_expected: Option<u64>,
}

impl WholePath {
    fn new(stream: Stream, settings: EngineSettings) -> WholePath {
        let (queue, wire) = (Queue::new(4 * READ_BYTES).expect("there is memory"), Vec::with_capacity(4 * READ_BYTES));
        WholePath {
            stream,
            engine: Engine::new(settings).expect("there is memory"),
            queue,
            wire,
            pass: 0,
            snapshots_expected: None,
        }
    }

    /// Trades of one symbol, so many of them in 60 s. Every tenth gives a snapshot, however long that takes.
    fn window(trades: usize, events: usize) -> WholePath {
        let gap = 60 * NANOS_PER_SECOND / trades as i64;
        let mut random = Random::new(SEED);
        let stream = Stream::of((0..events).map(|index| trade("BTCUSDT", index as i64 * gap, &mut random)));
        WholePath::with_snapshots(stream, gap, 1)
    }

    /// Each symbol has an event a second, four quotes to a trade, and a snapshot for every tenth, however many symbols there
    /// are; they come in an order that no cache foresees.
    fn market(symbols: usize, events: usize) -> WholePath {
        let gap = NANOS_PER_SECOND / symbols as i64;
        let mut random = Random::new(SEED);
        let mut order: Vec<usize> = (0..symbols).collect();
        for index in (1..symbols).rev() {
            order.swap(index, random.below(index as u64 + 1) as usize);
        }
        let stream = Stream::of((0..events).map(|index| {
            let (symbol, t) = (format!("SYM{}", order[index % symbols]), index as i64 * gap);
            if (index / symbols).is_multiple_of(5) {
                trade(&symbol, t, &mut random)
            } else {
                quote(&symbol, t, &mut random)
            }
        }));
        WholePath::with_snapshots(stream, gap, symbols)
    }

    /// Events come every `gap` ns, of each symbol in turn.
    fn with_snapshots(stream: Stream, gap: i64, symbols: usize) -> WholePath {
        const SHARE: usize = 10;
        let publish_interval = Some(gap * (symbols * SHARE) as i64);
        let settings = EngineSettings { publish_interval, ..EngineSettings::default() };
        // Where there are fewer events to a symbol, its turn does not come in every pass.
        let is_each_pass = stream.event_count >= (symbols * SHARE) as u64;
        let snapshots_expected = is_each_pass.then_some(stream.event_count / SHARE as u64);
        WholePath { snapshots_expected, ..WholePath::new(stream, settings) }
    }
}

impl Work for WholePath {
    fn events(&self) -> u64 {
        self.stream.event_count
    }

    fn prepare(&mut self, pass: i64) {
        self.pass = pass;
        self.stream.rebase(pass);
    }

    fn run(&mut self) -> u64 {
        let WholePath { stream, engine, queue, wire, .. } = self;
        let (mut handled, mut published) = (0, 0);
        for part in stream.bytes.chunks(READ_BYTES) {
            assert_eq!(queue.push(part), part.len(), "the queue has room for a read");
            loop {
                let round =
                    take_messages(engine, queue, Ownership::ALL, Receipt::Unrecorded, SLICE_MESSAGES, &mut Nobody)
                        .expect("the frames are right");
                handled += round.messages;
                while let Some(message) = engine.poll_output() {
                    published += 1;
                    encode::publish(wire, message.subject, None, message.payload);
                }
                if wire.len() > 2 * READ_BYTES {
                    wire.clear();
                }
                if round.is_drained {
                    break;
                }
            }
        }
        if self.pass > 0
            && let Some(expected) = self.snapshots_expected
        {
            let range = expected * 9 / 10..=expected * 11 / 10 + 1;
            assert!(range.contains(&published), "{published} snapshots where {expected} were expected");
        }
        handled
    }
}

struct Nobody;

impl Witness for Nobody {
    fn control(&mut self, _: &ServerOp<'_>) {}

    fn malformed(&mut self, _: &[u8], malformed: Malformed) {
        panic!("the events are well-formed: {malformed}");
    }
}

fn trade(symbol: &str, t: i64, random: &mut Random) -> (String, String) {
    // Too little movement for signals, which would be more in the one market than in the other.
    let (price, size) = (random.below(100), 1 + random.below(5_000));
    let body = format!(
        r#""price":640{price:02}.5,"size":{}.{:03},"side":"buy","trade_id":"4217896584""#,
        size / 1000,
        size % 1000
    );
    (format!("{PREFIX}.trade.{symbol}"), payload("trade", symbol, t, &body, random))
}

fn quote(symbol: &str, t: i64, random: &mut Random) -> (String, String) {
    let price = random.below(100);
    let body = format!(r#""bid":640{price:02}.4,"bid_size":46.371,"ask":640{price:02}.5,"ask_size":0.095"#);
    (format!("{PREFIX}.quote.{symbol}"), payload("quote", symbol, t, &body, random))
}

fn payload(event_type: &str, symbol: &str, t: i64, body: &str, random: &mut Random) -> String {
    let ts_recv = UnixNanos(1_721_347_020 * NANOS_PER_SECOND + t);
    let ts_exchange = ts_recv.minus((2_000_000.0 + 8_000_000.0 * random.fraction()) as i64);
    let [ts_exchange, ts_recv] =
        [ts_exchange, ts_recv].map(|t| String::from_utf8(encode_time(t).into()).expect("text"));
    format!(
        r#"{{"event_type":"{event_type}","provider":"binance","symbol":"{symbol}","ts_exchange":"{ts_exchange}","ts_recv":"{ts_recv}",{body}}}"#
    )
}
