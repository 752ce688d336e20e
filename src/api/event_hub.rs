//! What readers of /events are sent, held once for all of them: the newest document of each symbol, the last signals and
//! alerts, the newest status. Each reader has its place in that, and nothing of its own that could grow.
//!
//! ```text
//!   updates    … 17 BTCUSDT   21 ETHUSDT   22 BTCUSDT ──► 17 is superseded: those readers that had not taken it have lost it
//!                   ▲ a reader that is slow    ▲ one that has taken all
//!   outputs    signal 5, alert 6, signal 7     the last 100 of each; their numbers are the ids of the events
//! ```
//!
//! In: what the rounds (`event_rounds`) have found. Out: whole events as text. Updates, signals and alerts that a reader does not
//! get are counted for it, and it is told. No socket, no clock, no shard.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::Write;
use std::rc::Rc;
use std::task::Waker;

use crate::engine::alerts::alert::Alert;
use crate::engine::bounds::LATEST_MAX;
use crate::engine::published::LatestSignal;
use crate::engine::symbol_documents::SymbolUpdate;
use crate::http::response::EVENTS_BYTES;

#[cfg(test)]
mod tests;

/// Readers at once, SPEC section 5: a quarter of the connections.
pub const READERS_MAX: usize = 64;
/// Of all documents that are held; beyond it the oldest is given up. 20,000 symbols fit.
const HELD_BYTES_MAX: usize = 16 << 20;
/// What a held document takes beside itself.
const HELD_OVERHEAD_BYTES: usize = 128;

/// What is given one by one, and not superseded by newer ones.
pub enum Output {
    Signal(LatestSignal),
    Alert(Alert),
}

struct Held {
    number: u64,
    document: Vec<u8>,
}

/// Which events a reader wants.
enum Wanted {
    /// All; those up to this update it has had.
    All { update: u64 },
    /// Those of a symbol: the states of it whose newest document it has not had.
    Of { symbol: Box<str>, states: Vec<Rc<str>> },
}

struct Reader {
    number: u64,
    wanted: Wanted,
    /// The last signal or alert that it has had; `None`: it gets those that come from the next look on.
    output: Option<u64>,
    status: u64,
    has_begun: bool,
    updates_lost: u64,
    outputs_lost: u64,
    waker: Option<Waker>,
}

/// See the head of this file.
pub struct Hub {
    /// Of this process: with it an event's id is told from those of a process before.
    instance: String,
    held: HashMap<Rc<str>, Held>,
    /// By the numbers of their documents, which rise.
    order: BTreeMap<u64, Rc<str>>,
    held_bytes: usize,
    last_update: u64,
    /// Signals, and alerts; oldest first.
    outputs: [VecDeque<(u64, Output)>; 2],
    /// As many have been given since the start.
    last_output: u64,
    status: Vec<u8>,
    status_number: u64,
    readers: Vec<Reader>,
    last_reader: u64,
}

impl Hub {
    /// Of a process with this name, which no other process of the service has had: without a blank or `-`.
    pub fn new(instance: String) -> Hub {
        Hub {
            instance,
            held: HashMap::new(),
            order: BTreeMap::new(),
            held_bytes: 0,
            last_update: 0,
            outputs: Default::default(),
            last_output: 0,
            status: Vec::new(),
            status_number: 0,
            readers: Vec::new(),
            last_reader: 0,
        }
    }

    /// The name of the process.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    pub fn reader_count(&self) -> usize {
        self.readers.len()
    }

    /// A new reader: of a symbol, or of all. `last_event_id` is that of the last event it has had: what has come since is given
    /// it, as far as it is still there. Of a process that has ended: what this one has given. `None`: there are
    /// [`READERS_MAX`].
    pub fn join(&mut self, symbol: Option<&str>, last_event_id: Option<&str>) -> Option<u64> {
        if self.readers.len() == READERS_MAX {
            return None;
        }
        self.last_reader += 1;
        let output = last_event_id.map(|id| self.output_of(id).unwrap_or(0));
        let outputs_lost = output.map_or(0, |output| {
            let held = self.outputs.iter().flatten().filter(|(number, _)| *number > output).count() as u64;
            self.last_output - output - held
        });
        let wanted = match symbol {
            None => Wanted::All { update: self.last_update },
            Some(symbol) => Wanted::Of { symbol: symbol.into(), states: Vec::new() },
        };
        let (number, status) = (self.last_reader, 0);
        let (has_begun, updates_lost, waker) = (false, 0, None);
        self.readers.push(Reader { number, wanted, output, status, has_begun, updates_lost, outputs_lost, waker });
        Some(number)
    }

    /// The number in an id of this process.
    fn output_of(&self, id: &str) -> Option<u64> {
        let number = id.trim().strip_prefix(&self.instance)?.strip_prefix('-')?.parse().ok()?;
        (number <= self.last_output).then_some(number)
    }

    /// The reader is gone. Without a reader no documents are held.
    pub fn leave(&mut self, number: u64) {
        self.readers.retain(|reader| reader.number != number);
        if self.readers.is_empty() {
            (self.held, self.order, self.held_bytes) = Default::default();
            self.status = Vec::new();
        }
    }

    /// A symbol has changed.
    pub fn update(&mut self, update: SymbolUpdate) {
        self.last_update += 1;
        let SymbolUpdate { name, symbol_len, document } = update;
        let name = match self.held.get_key_value(&*name) {
            Some((name, _)) => name.clone(),
            None => Rc::from(name),
        };
        self.held_bytes += document.len() + name.len() + HELD_OVERHEAD_BYTES;
        let superseded = self.held.insert(name.clone(), Held { number: self.last_update, document });
        if let Some(superseded) = &superseded {
            self.held_bytes -= superseded.document.len() + name.len() + HELD_OVERHEAD_BYTES;
            self.order.remove(&superseded.number);
        }
        for reader in &mut self.readers {
            match &mut reader.wanted {
                Wanted::All { update } => {
                    reader.updates_lost += u64::from(superseded.as_ref().is_some_and(|old| old.number > *update));
                }
                Wanted::Of { symbol, states } if **symbol == *name || **symbol == name[..symbol_len] => {
                    match states.contains(&name) {
                        true => reader.updates_lost += 1,
                        false => states.push(name.clone()),
                    }
                }
                Wanted::Of { .. } => {}
            }
        }
        self.order.insert(self.last_update, name);
        while self.held_bytes > HELD_BYTES_MAX && self.order.len() > 1 {
            self.give_up_oldest(true);
        }
    }

    fn give_up_oldest(&mut self, is_loss: bool) {
        let Some((number, name)) = self.order.pop_first() else { return };
        if let Some(held) = self.held.remove(&name) {
            self.held_bytes -= held.document.len() + name.len() + HELD_OVERHEAD_BYTES;
        }
        for reader in &mut self.readers {
            let is_waiting = match &mut reader.wanted {
                Wanted::All { update } => *update < number,
                Wanted::Of { states, .. } => {
                    let count = states.len();
                    states.retain(|state| *state != name);
                    states.len() < count
                }
            };
            reader.updates_lost += u64::from(is_loss && is_waiting);
        }
    }

    /// The number of the next update.
    pub fn next_update(&self) -> u64 {
        self.last_update + 1
    }

    /// All symbols have been looked at since the update of that number: others are gone.
    pub fn forget_before(&mut self, number: u64) {
        while self.order.first_key_value().is_some_and(|(first, _)| *first < number) {
            self.give_up_oldest(false);
        }
    }

    /// So many signals or alerts were given that are not known any more.
    pub fn note_missed(&mut self, count: u64) {
        self.last_output += count;
        self.readers
            .iter_mut()
            .for_each(|reader| reader.outputs_lost += if reader.output.is_some() { count } else { 0 });
    }

    /// A signal or an alert was given.
    pub fn give(&mut self, output: Output) {
        self.last_output += 1;
        let outputs = match output {
            Output::Signal(_) => &mut self.outputs[0],
            Output::Alert(_) => &mut self.outputs[1],
        };
        if outputs.len() == LATEST_MAX
            && let Some((number, oldest)) = outputs.pop_front()
        {
            for reader in &mut self.readers {
                let is_waiting = reader.output.is_some_and(|had| had < number) && reader.wanted.is_for(&oldest);
                reader.outputs_lost += u64::from(is_waiting);
            }
        }
        outputs.push_back((self.last_output, output));
    }

    /// All signals and alerts up to now have been given.
    pub fn end_look(&mut self) {
        let last_output = self.last_output;
        self.readers.iter_mut().for_each(|reader| _ = reader.output.get_or_insert(last_output));
    }

    /// The state of the service, as JSON.
    pub fn set_status(&mut self, document: &[u8]) {
        self.status_number += 1;
        self.status.clear();
        put_event(&mut self.status, "status", document);
    }

    /// Wakes the readers for which there is something.
    pub fn wake(&mut self) {
        for index in 0..self.readers.len() {
            if self.has_events(&self.readers[index])
                && let Some(waker) = self.readers[index].waker.take()
            {
                waker.wake();
            }
        }
    }

    fn has_events(&self, reader: &Reader) -> bool {
        let has_updates = match &reader.wanted {
            Wanted::All { update } => self.order.last_key_value().is_some_and(|(last, _)| last > update),
            Wanted::Of { states, .. } => !states.is_empty(),
        };
        let newest = self.outputs.iter().filter_map(|outputs| Some(outputs.back()?.0)).max().unwrap_or(0);
        let has_outputs = reader.output.is_some_and(|had| had < newest);
        !reader.has_begun || has_updates || has_outputs || self.has_status(reader)
    }

    fn has_status(&self, reader: &Reader) -> bool {
        reader.status < self.status_number && !self.status.is_empty()
    }

    /// Whether there is something to [`take`](Self::take); where not, the waker is woken when there is.
    pub fn is_ready(&mut self, number: u64, waker: &Waker) -> bool {
        let Some(index) = self.readers.iter().position(|reader| reader.number == number) else { return true };
        let is_ready = self.has_events(&self.readers[index]);
        self.readers[index].waker = (!is_ready).then(|| waker.clone());
        is_ready
    }

    /// Appends what there is for the reader, whole events up to about [`EVENTS_BYTES`]: signals and alerts, the status, how much
    /// was lost, updates.
    pub fn take(&mut self, number: u64, out: &mut Vec<u8>) {
        let Some(index) = self.readers.iter().position(|reader| reader.number == number) else { return };
        let mut reader = self.readers.swap_remove(index);
        let end = out.len() + EVENTS_BYTES;
        if !reader.has_begun {
            reader.has_begun = true;
            out.extend_from_slice(b"retry: 1000\n\n");
        }
        self.take_outputs(&mut reader, out, end);
        if self.has_status(&reader) {
            reader.status = self.status_number;
            // Who has left goes on from there, also where no signal or alert was for it.
            if let Some(had) = reader.output {
                self.put_id(had, out);
            }
            out.extend_from_slice(&self.status);
        }
        if reader.updates_lost + reader.outputs_lost > 0 {
            let lost =
                format!(r#"{{"features":{},"signals_and_alerts":{}}}"#, reader.updates_lost, reader.outputs_lost);
            put_event(out, "lost", lost.as_bytes());
            (reader.updates_lost, reader.outputs_lost) = (0, 0);
        }
        match &mut reader.wanted {
            Wanted::All { update } => {
                for (number, name) in self.order.range(*update + 1..) {
                    if out.len() >= end {
                        break;
                    }
                    put_event(out, "features", &self.held[name].document);
                    *update = *number;
                }
            }
            Wanted::Of { states, .. } => {
                while out.len() < end
                    && let Some(name) = states.pop()
                {
                    put_event(out, "features", &self.held[&name].document);
                }
            }
        }
        self.readers.push(reader);
    }

    fn put_id(&self, number: u64, out: &mut Vec<u8>) {
        writeln!(out, "id: {}-{number}", self.instance).expect("a Vec takes every write");
    }

    fn take_outputs(&self, reader: &mut Reader, out: &mut Vec<u8>, end: usize) {
        let Some(had) = &mut reader.output else { return };
        let mut document = Vec::new();
        let [signals, alerts] = &self.outputs;
        let new = |of: &VecDeque<(u64, Output)>, had: u64| of.partition_point(|(number, _)| *number <= had);
        let mut signals = signals.range(new(signals, *had)..).peekable();
        let mut alerts = alerts.range(new(alerts, *had)..).peekable();
        while out.len() < end {
            let is_signal = match (signals.peek(), alerts.peek()) {
                (Some((signal, _)), Some((alert, _))) => signal < alert,
                (signal, _) => signal.is_some(),
            };
            let Some((number, output)) = (if is_signal { signals.next() } else { alerts.next() }) else { return };
            *had = *number;
            if reader.wanted.is_for(output) {
                self.put_id(*number, out);
                match output {
                    Output::Signal(signal) => put_event(out, "signal", &signal.document),
                    Output::Alert(alert) => {
                        document.clear();
                        alert.encode(&mut document);
                        put_event(out, "alert", &document);
                    }
                }
            }
        }
    }
}

impl Wanted {
    fn is_for(&self, output: &Output) -> bool {
        match (self, output) {
            (Wanted::All { .. }, _) => true,
            (Wanted::Of { symbol, .. }, Output::Signal(signal)) => signal.is_of(symbol),
            // What is about no symbol is for all.
            (Wanted::Of { symbol, .. }, Output::Alert(alert)) => alert.symbol().is_none() || alert.is_of(symbol),
        }
    }
}

/// An event whose data is one line.
fn put_event(out: &mut Vec<u8>, name: &str, document: &[u8]) {
    for part in [b"event: ", name.as_bytes(), b"\ndata: ", document, b"\n\n"] {
        out.extend_from_slice(part);
    }
}
