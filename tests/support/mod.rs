//! What the tests over a real nats-server are made of: processes that end with their guard, an ordinary NATS client,
//! HTTP as a client sees it, and events to send. Everything waits for what it needs, up to [`PATIENCE`].
#![allow(dead_code)]

pub mod bus;
pub mod event_stream;
pub mod events;
pub mod http;
pub mod nats_server;
pub mod proxy;
pub mod seccomp;
pub mod service;

use std::fmt::Display;
use std::io::Write;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// No test waits this long for anything unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at something that is not announced.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until there is an answer. Without one in time it fails, with what was last in the way.
#[track_caller]
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Result<T, String>) -> T {
    within(PATIENCE, what, ask)
}

#[track_caller]
pub fn within<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(obstacle) if start.elapsed() > limit => panic!("{what}: not within {limit:?}: {obstacle}"),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// For `eventually`: the condition, and what to show while it does not hold.
pub fn holds(condition: bool, otherwise: impl Display) -> Result<(), String> {
    if condition { Ok(()) } else { Err(otherwise.to_string()) }
}

/// Whether `SENPAI_SKIP`, a comma list, names `what`: `scripts/test.sh` names there what this machine cannot have. It is said
/// which test is skipped for it, past the harness. Without it the test fails where `what` is missing.
pub fn is_skipped(test: &str, what: &str) -> bool {
    let list = std::env::var("SENPAI_SKIP").unwrap_or_default();
    let is_skipped = list.split(',').any(|name| name == what);
    if is_skipped {
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: there is no {what}");
    }
    is_skipped
}

/// A process that is killed when this is dropped.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Signals by name, as in `kill -TERM`.
pub fn send_signal(process: &Child, name: &str) {
    let command = format!("kill -{name} {}", process.id());
    let status = Command::new("sh").args(["-c", &command]).status().expect("a shell");
    assert!(status.success(), "{command}: {status}");
}
