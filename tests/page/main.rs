//! The live page in a headless Chromium, over the service's binary and a real nats-server.
//!
//! ```text
//!   test ── async-nats ──► nats-server ──► senpai-md-consumer ──► /events, /state/latest ──► page in Chromium
//!     └─────────────────────────── DevTools protocol ─────────────────────────────────────────┘
//! ```
//!
//! Chromium and axe-core are found by `scripts/browser.sh`; where `SENPAI_SKIP` names one of them, what needs it is skipped.
//! Each test ends with a look at what the browser has to complain of, and at where it has sent requests.

#[path = "../reference/mod.rs"]
mod reference;
#[path = "../support/mod.rs"]
mod support;

mod barriers;
mod chromium;
mod many_symbols;
mod outages;
mod symbols;

use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Trial};

use chromium::{Chromium, Page};
use support::is_skipped;
use support::service::Service;

type Test = fn(&Chromium);

const TESTS: &[(&str, Test)] = &[
    ("values_are_those_of_the_service", symbols::values_are_those_of_the_service),
    ("sorting_and_filtering", symbols::sorting_and_filtering),
    ("signals_and_a_symbols_address", symbols::signals_and_a_symbols_address),
    ("names_are_text", symbols::names_are_text),
    ("service_killed_and_back", outages::service_killed_and_back),
    ("troubles_come_first", outages::troubles_come_first),
    ("no_barriers", barriers::no_barriers),
    ("how_far_a_stream_is_read", outages::how_far_a_stream_is_read),
    ("thousand_symbols", many_symbols::for_ten_seconds),
];
/// With `--ignored`, as `scripts/test.sh --long` has it.
const LONG_TESTS: &[(&str, Test)] = &[("thousand_symbols_for_a_minute", many_symbols::for_a_minute)];

fn main() -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    // They share the browser.
    arguments.test_threads = Some(1);
    let shared = Arc::new(Mutex::new(None));
    let trial = |(name, test): &(&'static str, Test)| {
        let (name, test, shared) = (*name, *test, shared.clone());
        Trial::test(name, move || {
            if !is_skipped(name, "chromium") {
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                test(shared.get_or_insert_with(Chromium::start));
            }
            Ok(())
        })
    };
    let mut trials: Vec<Trial> = TESTS.iter().map(trial).collect();
    trials.extend(LONG_TESTS.iter().map(|test| trial(test).with_ignored_flag(true)));
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The browser ends before this process does.
    shared.lock().unwrap_or_else(PoisonError::into_inner).take();
    conclusion.exit_code()
}

/// The service's page, once it is connected.
#[track_caller]
fn open<'a>(chromium: &'a Chromium, service: &Service) -> Page<'a> {
    let page = chromium.open(&format!("http://{}/", service.address()));
    page.until("document.body?.dataset.link === 'open'");
    page
}

/// Nothing went wrong, and nothing was asked for elsewhere.
#[track_caller]
fn check_clean(page: &Page<'_>, service: &Service) {
    assert_eq!(page.problems(), Vec::<String>::new());
    assert_eq!(page.requests_elsewhere(&format!("http://{}/", service.address())), Vec::<String>::new());
}
