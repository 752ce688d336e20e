//! A thousand symbols that change four times a second: what that costs the browser, and that nothing grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::chromium::Chromium;
use crate::support::bus::Bus;
use crate::support::events::{now_ns, quote, trade};
use crate::support::nats_server::NatsServer;
use crate::support::service::Service;
use crate::{check_clean, open};

const SYMBOLS: usize = 1000;
const CHANGES_A_SECOND: u32 = 4;
/// Rows that are elements: those that can be seen, and a few.
const ROWS_MIN: u64 = 20;
const ROWS_MAX: u64 = 80;
/// The heap may be this much larger, and a megabyte: what the engine of JavaScript keeps for itself comes and goes.
const GROWTH_MAX: f64 = 1.15;
/// Of a core.
const SCRIPTING_MAX: f64 = 0.3;

pub fn for_ten_seconds(chromium: &Chromium) {
    run(chromium, Duration::from_secs(10));
}

pub fn for_a_minute(chromium: &Chromium) {
    run(chromium, Duration::from_secs(60));
}

fn run(chromium: &Chromium, length: Duration) {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &[]);
    let bus = Bus::connect(&server.url());
    let is_over = Arc::new(AtomicBool::new(false));
    let market = {
        let is_over = is_over.clone();
        std::thread::spawn(move || {
            for round in 0.. {
                let now = now_ns();
                let price = 100.0 + f64::from(round % 50);
                let names = (0..SYMBOLS).map(|index| format!("SYM{index:04}"));
                let events: Vec<_> =
                    names.flat_map(|name| [quote(&name, now, price, price + 0.5), trade(&name, now, price)]).collect();
                bus.publish(&events);
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::sleep(Duration::from_secs(1) / CHANGES_A_SECOND);
            }
        })
    };
    let page = open(chromium, &service);
    page.until("document.getElementById('symbol-count').textContent === '1,000'");
    page.js(
        "[...document.querySelectorAll('thead button')].find((button) => button.textContent === 'Return %').click()",
    );
    page.js("location.hash = '#SYM0500'");
    page.until("document.getElementById('symbol-title').textContent === 'SYM0500'");
    let begin = (
        page.heap_bytes(),
        page.metric("Nodes"),
        page.metric("ScriptDuration"),
        page.metric("TaskDuration"),
        Instant::now(),
    );
    while begin.4.elapsed() < length {
        // As a reader would: up and down through the table.
        page.js("document.getElementById('scroll').scrollBy(0, 777)");
        page.until("new Promise((resolve) => setTimeout(() => resolve(true), 500))");
        page.js(
            "if (document.getElementById('scroll').scrollTop > 15000) document.getElementById('scroll').scrollTop = 0",
        );
    }
    let seconds = begin.4.elapsed().as_secs_f64();
    let scripting = (page.metric("ScriptDuration") - begin.2) / seconds;
    let all = (page.metric("TaskDuration") - begin.3) / seconds;
    // What has come and is not read yet, as on a busy machine, comes and goes; what has grown stays.
    let heap_max = begin.0 * GROWTH_MAX + 1e6;
    let mut heap = page.heap_bytes();
    for _ in 0..20 {
        if heap <= heap_max {
            break;
        }
        page.until("new Promise((resolve) => setTimeout(() => resolve(true), 500))");
        heap = page.heap_bytes();
    }
    let nodes = page.metric("Nodes");
    let rows = page.js("document.querySelectorAll('#scroll tbody tr').length");
    println!(
        "page: {SYMBOLS} symbols for {seconds:.0} s: scripting {:.1} % of a core, all of the page's thread {:.1} %; \
         heap {:.1} MB, then {:.1}; {rows} rows, {} nodes, then {nodes}",
        scripting * 100.0,
        all * 100.0,
        begin.0 / 1e6,
        heap / 1e6,
        begin.1,
    );
    // To the end it shows what comes.
    let rows_text = "document.querySelector('#scroll tbody').textContent";
    let before = page.js(rows_text).to_string();
    page.until(&format!("{rows_text} !== {before}"));
    assert_eq!(page.js("document.getElementById('troubles').textContent.includes('keep up')"), false);
    is_over.store(true, Ordering::Relaxed);
    market.join().expect("the market goes on to its end");
    let rows = rows.as_u64().expect("a number");
    assert!((ROWS_MIN..=ROWS_MAX).contains(&rows), "{rows} rows");
    assert!(heap <= heap_max, "the heap grows: {} bytes, then {heap}", begin.0);
    assert!(scripting < SCRIPTING_MAX, "scripting takes {scripting} of a core");
    check_clean(&page, &service);
}
