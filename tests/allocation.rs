//! After start nothing on the path of an event allocates: a recording runs once to warm up, goes on in time for a second
//! pass, and the second pass neither takes memory nor gives any back.
//!
//! ```text
//!   MSG frames ──► receive buffer ──► take_messages ──► engine ──► poll_output ──► PUB frames in a buffer that is there
//!                  └───────────────────────────── counted ─────────────────────────────────────┘
//! ```
// An allocator is an unsafe trait.
#![allow(unsafe_code)]

mod recording_files;

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};

use proto_nats::{ServerOp, encode};
use senpai_md_consumer::engine::counters::{DropReason, OutputKind};
use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::input::malformed::Malformed;
use senpai_md_consumer::engine::input::receive_buffer::ReceiveBuffer;
use senpai_md_consumer::engine::input::subject::EventKind;
use senpai_md_consumer::engine::intake::{Observer, take_messages};
use senpai_md_consumer::engine::ownership::Ownership;
use senpai_md_consumer::engine::receipt::Receipt;
use senpai_md_consumer::engine::settings::EngineSettings;
use senpai_md_consumer::engine::time::UnixNanos;
use senpai_md_consumer::recording::reader::RecordReader;
use senpai_md_consumer::recording::rebase::{event_time, rebase};

use recording_files::Recording;

/// The system's allocator, counting what a thread asks of it while that thread wants it counted.
struct Counting;

thread_local! {
    static IS_COUNTING: Cell<bool> = const { Cell::new(false) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static DEALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Where the first of them came from.
    static FIRST: RefCell<Option<Backtrace>> = const { RefCell::new(None) };
}

fn count(calls: &'static std::thread::LocalKey<Cell<u64>>) {
    if IS_COUNTING.get() {
        calls.set(calls.get() + 1);
        // The backtrace allocates itself.
        IS_COUNTING.set(false);
        FIRST.with_borrow_mut(|first| {
            first.get_or_insert_with(Backtrace::force_capture);
        });
        IS_COUNTING.set(true);
    }
}

// SAFETY: GlobalAlloc is an unsafe trait, and a counting allocator is the only way to see every allocation. All requests go
// to System unchanged, which keeps the trait's promises; counting touches only this thread's cells.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATIONS);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATIONS);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(&ALLOCATIONS);
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(&DEALLOCATIONS);
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Says how many allocations and deallocations `work` made on this thread.
fn counted(work: impl FnOnce()) -> (u64, u64) {
    ALLOCATIONS.set(0);
    DEALLOCATIONS.set(0);
    IS_COUNTING.set(true);
    work();
    IS_COUNTING.set(false);
    (ALLOCATIONS.get(), DEALLOCATIONS.get())
}

/// A recorded event: subject, payload, t.
type Recorded = (Vec<u8>, Vec<u8>, UnixNanos);

fn read(recording: &Recording) -> Vec<Recorded> {
    let mut reader = RecordReader::open(&recording.path).unwrap_or_else(|error| panic!("{error}"));
    let mut events: Vec<Recorded> = Vec::new();
    while let Some(record) = reader.next_record().unwrap_or_else(|error| panic!("{error}")) {
        let record = record.unwrap_or_else(|faulty| panic!("{}: {faulty}", recording.name));
        // One without a time comes when the one before it came.
        let t = event_time(record.payload).or(record.ts).or(events.last().map(|(_, _, t)| *t));
        events.extend(t.map(|t| (record.subject.as_bytes().to_vec(), record.payload.to_vec(), t)));
    }
    events
}

/// What arrives at a time: the frames of the events of the same few milliseconds, and when.
struct Arrivals {
    receipt: UnixNanos,
    frames: Vec<u8>,
}

/// Of the first symbol, which has its place also where there is a single one.
fn trade_subject(events: &[Recorded]) -> Vec<u8> {
    let subjects = events.iter().map(|(subject, ..)| subject.splitn(4, |byte| *byte == b'.').collect::<Vec<_>>());
    let symbol = subjects.filter_map(|parts| match parts[..] {
        [.., b"heartbeat", _] => None,
        [b"md", b"events", _, symbol] => Some(symbol),
        _ => None,
    });
    [b"md.events.trade.", { symbol }.next().expect("a recording has a symbol")].concat()
}

/// The recording as it would arrive, `shift` ns later than it did; with what else a connection brings.
fn arrivals(events: &[Recorded], shift: i64) -> Vec<Arrivals> {
    let mut all = Vec::new();
    let mut receipt = UnixNanos(0);
    let mut payload = Vec::new();
    let trade = &trade_subject(events);
    for (index, part) in events.chunks(7).enumerate() {
        let mut frames = Vec::new();
        for (subject, recorded, t) in part {
            payload.clear();
            rebase(recorded, shift, &mut payload);
            encode::msg(&mut frames, subject, b"1", None, None, &payload);
            receipt = receipt.max(t.plus(shift));
        }
        match index % 40 {
            5 => encode::ping(&mut frames),
            10 => encode::ok(&mut frames),
            // Malformed, of an unknown type, a heartbeat.
            15 => encode::msg(&mut frames, trade, b"1", None, None, b"{\"price\":1,"),
            20 => encode::msg(&mut frames, b"md.events.other.BTCUSDT", b"1", None, None, b"{}"),
            25 => {
                encode::msg(&mut frames, b"md.events.heartbeat.__system__", b"1", None, None, b"{\"provider\":\"x\"}")
            }
            30 => encode::msg(
                &mut frames,
                trade,
                b"1",
                Some(b"reply"),
                Some(b"NATS/1.0\r\n\r\n"),
                b"{\"p\":\"1\",\"q\":1e-3,\"ts\":978307200}",
            ),
            _ => {}
        }
        all.push(Arrivals { receipt, frames });
    }
    all
}

#[derive(Default)]
struct Seen {
    control: u64,
    malformed: u64,
}

impl Observer for Seen {
    fn control(&mut self, _: &ServerOp<'_>) {
        self.control += 1;
    }

    fn malformed(&mut self, _: &[u8], _: Malformed) {
        self.malformed += 1;
    }
}

/// The path of an event, with all that it needs.
struct Intake {
    engine: Engine,
    receive_buffer: ReceiveBuffer,
    encoded: Vec<u8>,
    seen: Seen,
    features: u64,
    signals: u64,
    alerts: u64,
}

impl Intake {
    fn new(symbols_max: usize, window_trades: usize) -> Self {
        let mut settings = EngineSettings { symbols_max, window_trades, ..EngineSettings::default() };
        settings.signal.return_threshold = 0.000_1;
        settings.signal.volume_threshold = 0.001;
        Intake {
            engine: Engine::new(settings).expect("there is memory"),
            receive_buffer: ReceiveBuffer::new(1 << 20).expect("there is memory"),
            encoded: Vec::with_capacity(1 << 20),
            seen: Seen::default(),
            features: 0,
            signals: 0,
            alerts: 0,
        }
    }

    fn take(&mut self, arrivals: &Arrivals) {
        // In two parts, as a socket may give them: a frame is cut.
        let (first, second) = arrivals.frames.split_at(arrivals.frames.len() / 2);
        for part in [first, second] {
            assert_eq!(self.receive_buffer.push(part), part.len());
            loop {
                let receipt = Receipt::At(arrivals.receipt);
                let Intake { engine, receive_buffer, seen, .. } = self;
                let round =
                    take_messages(engine, receive_buffer, Ownership::ALL, receipt, 5, seen).expect("frames are right");
                self.engine.counters.processing_latency.observe(1_000 + round.messages, round.messages);
                self.publish();
                if round.is_drained {
                    break;
                }
            }
        }
        if let Some(deadline) = self.engine.next_deadline()
            && deadline <= arrivals.receipt
        {
            self.engine.handle_time(arrivals.receipt);
            self.publish();
        }
    }

    fn publish(&mut self) {
        while let Some(message) = self.engine.poll_output() {
            *match message.topic.kind() {
                OutputKind::Features => &mut self.features,
                OutputKind::Signal => &mut self.signals,
                OutputKind::Alert => &mut self.alerts,
            } += 1;
            encode::publish(&mut self.encoded, message.subject, None, message.payload);
        }
        // The socket takes what there is.
        if self.encoded.len() > 1 << 19 {
            self.encoded.clear();
        }
    }

    /// Events, features and signals so far.
    fn totals(&self) -> [u64; 3] {
        [self.engine.counters.events_in_total(), self.features, self.signals]
    }
}

fn check(recording: &Recording, symbols_max: usize, window_trades: usize) {
    let (name, events) = (&recording.name, read(recording));
    let moments = || events.iter().map(|(_, _, t)| t.0);
    let length_ns = moments().max().unwrap() - moments().min().unwrap() + 1_000_000;
    let (warming, measured) = (arrivals(&events, 0), arrivals(&events, length_ns));
    let mut intake = Intake::new(symbols_max, window_trades);
    warming.iter().for_each(|arrivals| intake.take(arrivals));

    let before = intake.totals();
    let late_before = intake.engine.counters.dropped(DropReason::Late, EventKind::Trade);
    let counts = counted(|| measured.iter().for_each(|arrivals| intake.take(arrivals)));
    let first = FIRST.take().map_or(String::new(), |backtrace| format!(", the first of them here:\n{backtrace}"));
    assert_eq!(counts, (0, 0), "{name}: allocations and deallocations{first}");

    let [handled, features, signals] = [0, 1, 2].map(|index| intake.totals()[index] - before[index]);
    assert!(handled >= events.len() as u64, "{handled} of {} events", events.len());
    // Of what is not known it need not be so.
    let is_known = recording.least().snapshots > 0;
    assert!(!is_known || features > 20, "{name}: {features} snapshots");
    // With room for one symbol a short recording may have none: its other symbols moved.
    let gives_signals = is_known && (symbols_max > 1 || name.starts_with("generated-"));
    assert!(!gives_signals || signals > 0, "{name}: {signals} signals");
    let was_late = intake.engine.counters.dropped(DropReason::Late, EventKind::Trade) > late_before;
    let was_all_there = intake.seen.control > 0 && intake.seen.malformed > 0 && was_late;
    assert!(!is_known || was_all_there, "{name}: what else a connection brings, and late trades");
    println!("{name}: {handled} events, {features} snapshots, {signals} signals without an allocation");
}

#[test]
fn a_second_pass_allocates_nothing() {
    recording_files::all().iter().for_each(|recording| check(recording, 100, 100_000));
}

#[test]
fn nor_where_symbols_and_trades_find_no_room() {
    recording_files::all().iter().for_each(|recording| check(recording, 1, 300));
}

#[test]
fn allocations_are_seen() {
    let (mut vector, mut kept) = (Vec::with_capacity(4), None);
    assert_eq!(counted(|| vector.push(1u64)), (0, 0));
    assert_eq!(counted(|| vector.extend([2; 100])), (1, 0));
    assert_eq!(counted(|| kept = Some(Box::new(7))), (1, 0));
    assert_eq!(counted(|| kept = None), (0, 1));
    assert!(FIRST.take().is_some());
}
