//! Seeds that are fresh each time, for the tests that hold something against its twin. `SEEDS` says how many there are,
//! `SEED` which is the first; both are printed, and a failure says its seed:
//!
//! ```sh
//! SEEDS=10000 cargo test --release --test agreement fresh_seeds -- --nocapture
//! SEED=1234 SEEDS=1 cargo test --test agreement fresh_seeds
//! ```

use std::io::Write;

/// The seeds of the test `name`, `count` of them where `SEEDS` does not say otherwise.
pub fn fresh(name: &str, count: u64) -> impl Iterator<Item = u64> {
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
    let first = number_from("SEED").unwrap_or_else(|| now().as_nanos() as u64);
    let count = number_from("SEEDS").unwrap_or(count);
    // Past the harness, which would keep it to itself where all is well.
    let _ = writeln!(std::io::stderr(), "{name}: SEED={first} SEEDS={count}");
    (0..count).map(move |index| first.wrapping_add(index))
}

fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}, accepted is a whole number")))
}
