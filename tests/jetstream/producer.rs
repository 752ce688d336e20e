//! Events on their way into the stream, each acknowledged or not.
//!
//! Each event is the only one of its symbol, so the symbols that the service knows are the events that it has applied. One
//! that was not acknowledged is not sent again (the next has another number): it may be in the stream or not.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::client::Client;
use crate::stage::LIMIT;
use crate::support::events::{now_ns, trade};

const BATCH: usize = 4;
/// Between two batches: the machine has other tests to run.
const PACE: Duration = Duration::from_millis(10);
/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(5);
/// For an acknowledgement: one that is lost with a leader never comes.
const STORED_LIMIT: Duration = Duration::from_secs(1);
/// Written at once, of events that are not acknowledged one by one.
const CHUNK_BYTES: usize = 64 << 10;

struct Shared {
    port: AtomicU16,
    /// Whether the stream has acknowledged it.
    events: Mutex<Vec<bool>>,
    is_over: AtomicBool,
}

/// A thread of its own from start to [`finish`](Producer::finish), over as many connections as it takes.
pub struct Producer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// The symbol of an event.
pub fn symbol(number: usize) -> String {
    format!("E{number}")
}

/// The event of a symbol.
pub fn number(symbol: &str) -> Option<usize> {
    symbol.strip_prefix('E').and_then(|number| number.parse().ok())
}

impl Producer {
    /// From the event of that number on.
    pub fn start(port: u16, first: usize) -> Producer {
        let events = Mutex::new(vec![false; first]);
        let shared = Arc::new(Shared { port: AtomicU16::new(port), events, is_over: AtomicBool::new(false) });
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || {
                while !shared.is_over.load(Ordering::Relaxed) {
                    // Servers come and go; what that costs is not acknowledged.
                    let _ = produce(&shared);
                    std::thread::sleep(RETRY);
                }
            }
        });
        Producer { shared, thread: Some(thread) }
    }

    /// Events that were acknowledged.
    pub fn stored_count(&self) -> usize {
        self.shared.events.lock().unwrap().iter().filter(|is_stored| **is_stored).count()
    }

    /// For each number whether the stream has acknowledged the event.
    pub fn finish(mut self) -> Vec<bool> {
        self.end();
        std::mem::take(&mut self.shared.events.lock().unwrap())
    }

    fn end(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the producer panicked");
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Every wait in it ends by the client's own limit.
fn produce(shared: &Shared) -> std::io::Result<()> {
    let mut client = Client::open(shared.port.load(Ordering::Relaxed), None, "_INBOX.stored.*")?;
    client.patience = STORED_LIMIT;
    while !shared.is_over.load(Ordering::Relaxed) {
        let first = {
            let mut events = shared.events.lock().unwrap();
            let first = events.len();
            events.extend([false; BATCH]);
            first
        };
        for number in first..first + BATCH {
            let (subject, payload) = trade(&symbol(number), now_ns(), 100.0);
            client.publish(&subject, &format!("_INBOX.stored.{number}"), &payload);
        }
        client.flush()?;
        for _ in 0..BATCH {
            let Some(message) = client.next()? else { continue };
            let answer: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
            let number = message.subject.rsplit('.').next().and_then(|number| number.parse::<usize>().ok());
            if let (true, Some(number)) = (answer["seq"].is_u64(), number) {
                shared.events.lock().unwrap()[number] = true;
            }
        }
        std::thread::sleep(PACE);
    }
    Ok(())
}

/// As many events as there are numbers, as fast as the server takes them; they have got there when this returns.
pub fn produce_at_once(port: u16, numbers: std::ops::Range<usize>) {
    let mut client = Client::open(port, None, "_INBOX.none").expect("a server");
    client.patience = LIMIT;
    let last = numbers.end - 1;
    for number in numbers {
        let (subject, payload) = trade(&symbol(number), now_ns(), 100.0);
        let reply_to = if number == last { "_INBOX.none" } else { "" };
        client.publish(&subject, reply_to, &payload);
        if client.unsent_bytes() > CHUNK_BYTES {
            client.flush().expect("the server takes it");
        }
    }
    client.flush().expect("the server takes it");
    let answer = client.next().expect("an acknowledgement").expect("no PONG");
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap_or_default();
    assert!(answer["seq"].is_u64(), "the last event is stored: {answer}");
}
