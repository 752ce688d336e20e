//! `bench` needs as much memory for an hour as for a second.
// An allocator is an unsafe trait.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use senpai_md_consumer::commands::bench::bench;
use senpai_md_consumer::config::Symbols;
use senpai_md_consumer::engine::settings::EngineSettings;
use serde_json::Value;

/// The system's allocator, which keeps count of what is taken.
struct Counting;

static TAKEN: AtomicUsize = AtomicUsize::new(0);
static MOST_TAKEN: AtomicUsize = AtomicUsize::new(0);

fn count(size: usize) {
    let taken = TAKEN.fetch_add(size, Ordering::Relaxed) + size;
    MOST_TAKEN.fetch_max(taken, Ordering::Relaxed);
}

// SAFETY: GlobalAlloc is an unsafe trait, and a counting allocator is the only way to see every allocation. All requests go
// to System unchanged, which keeps the trait's promises.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn it_does_not_grow() {
    let folder = tempfile::tempdir().expect("a directory for temporary files");
    let file = folder.path().join("recording");
    let event = "{\"subject\":\"md.events.quote.A\",\"payload\":{\"bid\":1,\"ask\":2}}\n";
    std::fs::write(&file, event.repeat(500)).expect("room");
    let settings = || EngineSettings { symbols_max: 10, window_trades: 1_000, ..EngineSettings::default() };
    let run = |duration_ns| {
        MOST_TAKEN.store(TAKEN.load(Ordering::Relaxed), Ordering::Relaxed);
        let before = TAKEN.load(Ordering::Relaxed);
        let report = bench(&file, duration_ns, 1, &Symbols::default(), 1 << 20, settings(), std::io::sink());
        let report: Value = serde_json::from_str(&report.expect("it runs")).expect("JSON");
        (report["events"].as_u64().expect("a count"), MOST_TAKEN.load(Ordering::Relaxed) - before)
    };
    let (few_events, few_bytes) = run(50_000_000);
    let (many_events, many_bytes) = run(2_000_000_000);
    assert!(many_events > 5 * few_events, "{few_events} events, then {many_events}");
    // Buffers grow to the largest that is put into them at once, which on a busy machine is later; a byte an event would be megabytes.
    let room = few_bytes + (512 << 10);
    assert!(many_bytes < room, "{few_bytes} bytes for {few_events} events, {many_bytes} for {many_events}");
}
