//! Memory that is refused, one allocation after the other: at start it is an error, with a new symbol that symbol is not
//! taken in. Nothing aborts, and nothing is left half done.
// An allocator is an unsafe trait.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use proto_nats::ServerAddress;
use senpai_md_consumer::config::NatsArgs;
use senpai_md_consumer::engine::alerts::board::AlertBoard;
use senpai_md_consumer::engine::counters::DropReason;
use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::input::subject::EventKind;
use senpai_md_consumer::engine::memory::NoMemory;
use senpai_md_consumer::engine::ownership::Ownership;
use senpai_md_consumer::engine::receipt::Receipt;
use senpai_md_consumer::engine::settings::EngineSettings;
use senpai_md_consumer::engine::time::UnixNanos;
use senpai_md_consumer::nats::credentials::Access;
use senpai_md_consumer::runtime::clock::Clock;
use senpai_md_consumer::service::cache_warming::CacheWarmer;
use senpai_md_consumer::service::worker::{Worker, WorkerSettings};

/// The system's allocator, which refuses one allocation where a thread asks for that.
struct Refusing;

thread_local! {
    /// Allocations to be granted before the one that is refused; `None`: all are granted.
    static GRANTED: Cell<Option<usize>> = const { Cell::new(None) };
    /// Smaller ones are granted, and not counted.
    static BYTES_MIN: Cell<usize> = const { Cell::new(0) };
}

fn is_refused(bytes: usize) -> bool {
    match GRANTED.get() {
        Some(left) if bytes >= BYTES_MIN.get() => {
            GRANTED.set(left.checked_sub(1));
            left == 0
        }
        _ => false,
    }
}

// SAFETY: GlobalAlloc is an unsafe trait, and an allocator is the only way to refuse memory. What is granted is System's,
// what is refused is a null pointer, which the trait allows.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_refused(layout.size()) { std::ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_refused(layout.size()) { std::ptr::null_mut() } else { unsafe { System.alloc_zeroed(layout) } }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if is_refused(size) { std::ptr::null_mut() } else { unsafe { System.realloc(block, layout, size) } }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Refusing = Refusing;

/// The result of `work`, and whether one of its allocations, of `bytes_min` bytes or more, was refused: number `index`.
fn refusing<T>(index: usize, bytes_min: usize, work: impl FnOnce() -> T) -> (T, bool) {
    BYTES_MIN.set(bytes_min);
    GRANTED.set(Some(index));
    let result = work();
    (result, GRANTED.take().is_none())
}

/// Refuses each of its allocations of more than a page in turn; says how many there are.
fn check_each<T>(what: &str, mut make: impl FnMut() -> Result<T, NoMemory>) -> usize {
    let mut index = 0;
    loop {
        match refusing(index, 4097, &mut make) {
            (Ok(_), false) => return index,
            (Ok(_), true) => panic!("{what}: allocation {index} was refused, and it is made all the same"),
            (Err(no_memory), false) => panic!("{what}: nothing was refused: {no_memory}"),
            (Err(no_memory), true) => {
                assert!(no_memory.bytes > 0, "{what}: {no_memory}");
                assert!(no_memory.to_string().contains(no_memory.table.setting), "{what}: {no_memory}");
            }
        }
        index += 1;
    }
}

#[test]
fn every_table_that_cannot_be_had_is_an_error() {
    let settings = EngineSettings { symbols_max: 1_000, window_trades: 10_000, ..EngineSettings::default() };
    assert!(check_each("board", || AlertBoard::new(settings.alerts, 2)) >= 3, "quotas, the latest, what was heard");
    let board = AlertBoard::new(settings.alerts, 1).expect("there is memory");
    let tables = check_each("engine", || Engine::of_core(settings.clone(), board.clone(), 0));
    assert!(tables >= 11, "{tables} tables: symbols, trades, bucket rows, deadlines, outputs, alerts");

    let server = ServerAddress::parse("a").expect("it is an address");
    let access = Arc::new(Access::new(NatsArgs::open(server, "test")).expect("nothing is to be read"));
    let settings = WorkerSettings {
        stream: None,
        engine: settings,
        ownership: Ownership::ALL,
        queue_bytes: 64 << 10,
        busy_poll: false,
        access,
        client_name: "test".into(),
        subjects: Vec::new(),
    };
    let of_worker = check_each("worker", || Worker::new(&settings, board.clone(), Clock::start()));
    assert_eq!(of_worker, tables + 4, "and the queue, its reads, the send buffer and its marks");
    assert!(check_each("cache warmer", CacheWarmer::new) > 0);
}

#[test]
fn a_symbol_for_which_there_is_no_memory_is_not_taken_in_and_may_come_again() {
    let mut engine = Engine::new(EngineSettings::default()).expect("there is memory");
    let mut dropped = 0;
    let mut allocations = 0;
    for index in 0.. {
        let (symbols, trades) = (engine.symbols().len(), engine.window_trade_count());
        let receipt = Receipt::At(UnixNanos(1_700_000_000_000_000_000 + index as i64));
        let subject = format!("md.events.trade.SYMBOL\"{index}");
        let trade = || engine.handle_event(subject.as_bytes(), br#"{"price":1,"size":2}"#, receipt);
        let (taken, was_refused) = refusing(index, 0, trade);
        assert_eq!(taken, Ok(()), "it is an event like any other");
        if !was_refused {
            allocations = index;
            break;
        }
        dropped += 1;
        assert_eq!(engine.counters.dropped(DropReason::SymbolLimit, EventKind::Trade), dropped);
        assert_eq!((engine.symbols().len(), engine.window_trade_count()), (symbols, trades), "allocation {index}");
        let again = engine.handle_event(subject.as_bytes(), br#"{"price":1,"size":2}"#, receipt);
        assert_eq!(again, Ok(()));
        assert_eq!((engine.symbols().len(), engine.window_trade_count()), (symbols + 1, trades + 1));
        let name = format!("SYMBOL\"{index}");
        let document = engine.features_document(&name, UnixNanos(0)).expect("it is known now");
        let document: serde_json::Value = serde_json::from_slice(&document).expect("JSON");
        assert_eq!((&document["symbol"], &document["features"]["trade_count_10s"]), (&name.into(), &1.into()));
    }
    assert!(allocations >= 5, "{allocations}: names, subjects, rows of latencies");
}

#[test]
fn a_provider_for_whose_name_there_is_no_memory_is_another_one() {
    let mut engine = Engine::new(EngineSettings::default()).expect("there is memory");
    let mut heartbeat = |provider: &str, refuses: bool| {
        let payload = format!("{{\"provider\":\"{provider}\"}}");
        let handle = || engine.handle_event(b"md.events.heartbeat.x", payload.as_bytes(), Receipt::At(UnixNanos(1)));
        let (handled, was_refused) = refusing(if refuses { 0 } else { usize::MAX }, 0, handle);
        assert_eq!((handled, was_refused), (Ok(()), refuses));
        engine.providers().iter().map(|(_, name)| name.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(heartbeat("binance", true), ["unknown", "other"]);
    assert_eq!(heartbeat("binance", false), ["unknown", "other", "binance"]);
}
