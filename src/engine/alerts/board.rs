//! What the cores of a process share of their alerts: one about the process or a provider is one however many cores there are,
//! and the last ones and those that fire can be looked at. Each engine that is alone has a board of its own.
//!
//! ```text
//!   core 0  fire, resolve ──►┌ how many cores have it ┐        ┌ the 20 of a second ┐──► the ring of that core
//!   core 1  fire, resolve ──►└────────────────────────┘──► one └────────────────────┘──► the last 100
//!           heard, each 250 ms ──► providers by name ──► core 0 judges
//! ```
//!
//! The lock is held for microseconds. It is taken when an alert begins or ends, when providers are looked at (which an event of a
//! provider that was silent or begins to lag may ask for, and a deadline), and by HTTP; by no other event.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::alerts::alert::{About, Alert, AlertKind, AlertSettings, AlertState, KINDS, ProviderName};
use crate::engine::alerts::quota::{Quota, Second};
use crate::engine::alerts::ring::AlertRing;
use crate::engine::bounds::{ALERTS_A_SECOND_MAX, ALERTS_FIRING_LISTED_MAX, LATEST_MAX, PROVIDERS_MAX};
use crate::engine::memory::{NoMemory, Table};
use crate::engine::state::provider::{Heard, NO_DEADLINE, ProviderId, Providers};
use crate::engine::time::UnixNanos;

const BOARD: Table = Table::new("the alerts of all cores", "CORES");

/// See the head of this file.
pub struct AlertBoard {
    settings: AlertSettings,
    cores: usize,
    shared: Mutex<Shared>,
}

/// What is behind the lock.
pub(super) struct Shared {
    /// By kind, of those about the process.
    process: Vec<OfProcess>,
    /// By kind.
    quotas: Vec<Quota>,
    /// What went out, oldest first.
    latest: VecDeque<Alert>,
    /// All that went out since the start.
    sent: u64,
    /// Those that fire, with their numbers, which rise.
    firing: VecDeque<(u64, Alert)>,
    firing_count: u64,
    fired: [u64; KINDS],
    next_number: u64,
    providers: SharedProviders,
}

/// An alert about the process.
#[derive(Clone, Copy, Default)]
struct OfProcess {
    /// Those that have it.
    cores: u32,
    number: u64,
    firing: Option<Alert>,
}

/// What all cores have heard of the providers, by name.
struct SharedProviders {
    names: Vec<ProviderName>,
    /// A row for each core.
    heard: Vec<[Heard; PROVIDERS_MAX]>,
    /// Up to when each row is complete.
    told: Vec<UnixNanos>,
}

impl AlertBoard {
    /// For so many cores; reserves all that it needs.
    pub fn new(settings: AlertSettings, cores: usize) -> Result<Arc<AlertBoard>, NoMemory> {
        let mut providers =
            SharedProviders { names: BOARD.list(PROVIDERS_MAX)?, heard: BOARD.list(cores)?, told: BOARD.list(cores)? };
        providers.heard.resize(cores, [Heard::NEVER; PROVIDERS_MAX]);
        providers.told.resize(cores, UnixNanos(i64::MIN));
        let (mut process, mut quotas) = (BOARD.list(KINDS)?, BOARD.list(KINDS)?);
        process.resize(KINDS, OfProcess::default());
        quotas.resize_with(KINDS, Default::default);
        let shared = Shared {
            process,
            quotas,
            latest: BOARD.ring(LATEST_MAX)?,
            sent: 0,
            firing: BOARD.ring(ALERTS_FIRING_LISTED_MAX)?,
            firing_count: 0,
            fired: [0; KINDS],
            next_number: 0,
            providers,
        };
        Ok(Arc::new(AlertBoard { settings, cores, shared: Mutex::new(shared) }))
    }

    /// The limits in force.
    pub fn settings(&self) -> &AlertSettings {
        &self.settings
    }

    /// How many cores share it.
    pub(super) fn cores(&self) -> usize {
        self.cores
    }

    /// A panic of another core ends the process; until then what there is can be shown.
    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last ones that went out, newest first: those for which `is_wanted` holds, `limit` at most.
    pub fn latest(&self, limit: usize, is_wanted: impl Fn(&Alert) -> bool) -> Vec<Alert> {
        // Memory is asked for while no core has to wait for it.
        let mut latest = Vec::with_capacity(LATEST_MAX.min(limit));
        let shared = self.lock();
        latest.extend(shared.latest.iter().rev().filter(|alert| is_wanted(alert)).take(limit));
        latest
    }

    /// Those that went out after the first `seen` ones, oldest first, as far as they are among the last; and how many have
    /// gone out since the start.
    pub fn sent_after(&self, seen: u64) -> (Vec<Alert>, u64) {
        let mut alerts = Vec::with_capacity(LATEST_MAX);
        let shared = self.lock();
        let new = (shared.sent - seen).min(shared.latest.len() as u64) as usize;
        alerts.extend(shared.latest.iter().skip(shared.latest.len() - new));
        (alerts, shared.sent)
    }

    /// Those that fire: their number, and the last of them, newest first.
    pub fn firing(&self) -> (u64, Vec<Alert>) {
        let mut firing = Vec::with_capacity(ALERTS_FIRING_LISTED_MAX);
        let shared = self.lock();
        firing.extend(shared.firing.iter().rev().map(|(_, alert)| *alert));
        (shared.firing_count, firing)
    }

    /// Those about the process that fire.
    pub fn firing_of_process(&self) -> Vec<Alert> {
        let mut firing = Vec::with_capacity(KINDS);
        firing.extend(self.lock().process.iter().filter_map(|of_process| of_process.firing));
        firing
    }

    /// How many have fired since the start, by kind.
    pub fn fired(&self) -> [u64; KINDS] {
        self.lock().fired
    }
}

impl Shared {
    /// A cause has begun at a core, at `alert.ts`; it stands at `moment` among its outputs. Returns the alert's number.
    pub fn fire(&mut self, alert: Alert, moment: UnixNanos, ring: &mut AlertRing) -> u64 {
        let kind = alert.kind as usize;
        if alert.kind.is_of_process() {
            let of_process = &mut self.process[kind];
            of_process.cores += 1;
            if of_process.cores > 1 {
                return of_process.number;
            }
            (of_process.number, of_process.firing) = (self.next_number, Some(alert));
        }
        let number = self.next_number;
        self.next_number += 1;
        self.fired[kind] += 1;
        self.firing_count += 1;
        if self.firing.len() == ALERTS_FIRING_LISTED_MAX {
            self.firing.pop_front();
        }
        self.firing.push_back((number, alert));
        self.send(alert, moment, ring);
        number
    }

    /// The alert of that number is over at a core.
    pub fn resolve(&mut self, number: u64, alert: Alert, moment: UnixNanos, ring: &mut AlertRing) {
        if alert.kind.is_of_process() {
            let of_process = &mut self.process[alert.kind as usize];
            of_process.cores -= 1;
            if of_process.cores > 0 {
                return;
            }
            of_process.firing = None;
        }
        self.remove(number);
        self.send(alert, moment, ring);
    }

    /// The alert of that number is over, and nothing is said of it: another one takes its place.
    pub fn remove(&mut self, number: u64) {
        self.firing_count -= 1;
        if let Ok(index) = self.firing.binary_search_by_key(&number, |(number, _)| *number) {
            self.firing.remove(index);
        }
    }

    fn send(&mut self, alert: Alert, moment: UnixNanos, ring: &mut AlertRing) {
        if let Some(second) = self.quotas[alert.kind as usize].take_over(moment) {
            self.tell_second(alert.kind, &second, moment, ring);
        }
        if self.quotas[alert.kind as usize].count(alert.state, moment) {
            self.put_out(alert, moment, ring);
        }
    }

    fn put_out(&mut self, alert: Alert, moment: UnixNanos, ring: &mut AlertRing) {
        if self.latest.len() == LATEST_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(alert);
        self.sent += 1;
        ring.push(moment, alert);
    }

    /// A second in which there were more than went out: they are told as one.
    fn tell_second(&mut self, kind: AlertKind, second: &Second, moment: UnixNanos, ring: &mut AlertRing) {
        let [began, ended] = [AlertState::Firing, AlertState::Resolved].map(|state| second.total(state));
        let about = About::Many { began, ended, sent: second.sent() };
        let (value, threshold) = (Some(f64::from(began + ended)), Some(ALERTS_A_SECOND_MAX as f64));
        // It may not be over, or have its name from before a step of the clock.
        let ts = second.end().min(moment);
        self.put_out(Alert { ts, kind, state: second.state(), about, value, threshold }, moment, ring);
    }

    /// All seconds that `take` takes of the quotas.
    fn tell_seconds(&mut self, moment: UnixNanos, ring: &mut AlertRing, take: impl Fn(&mut Quota) -> Option<Second>) {
        for kind in AlertKind::ALL {
            if let Some(second) = take(&mut self.quotas[kind as usize]) {
                self.tell_second(kind, &second, moment, ring);
            }
        }
    }

    /// All seconds that are over by `moment`.
    pub fn end_seconds(&mut self, moment: UnixNanos, ring: &mut AlertRing) {
        self.tell_seconds(moment, ring, |quota| quota.take_over(moment));
    }

    /// No time will pass any more: also the seconds that are not over.
    pub fn end_present_seconds(&mut self, moment: UnixNanos, ring: &mut AlertRing) {
        self.tell_seconds(moment, ring, Quota::take_present);
    }

    /// When the next such second is over.
    pub fn seconds_due(&self) -> UnixNanos {
        self.quotas.iter().filter_map(Quota::due).min().unwrap_or(NO_DEADLINE)
    }

    /// A core tells what it has heard of its providers, complete up to `moment`.
    pub fn tell(&mut self, core: usize, providers: &Providers, moment: UnixNanos) {
        let SharedProviders { names, heard, told } = &mut self.providers;
        told[core] = moment;
        let row = &mut heard[core];
        *row = [Heard::NEVER; PROVIDERS_MAX];
        for (index, name) in providers.iter() {
            let name = ProviderName::new(name);
            let place = match names.iter().position(|known| *known == name) {
                Some(place) => place,
                None if names.len() < PROVIDERS_MAX => {
                    names.push(name);
                    names.len() - 1
                }
                // Each core tells as many apart as the board does; where they differ, the rest are one.
                None => ProviderId::OTHER.index(),
            };
            row[place].merge(providers.heard(index));
        }
    }

    /// Up to when all cores have told.
    pub fn told(&self) -> UnixNanos {
        *self.providers.told.iter().min().expect("there is a core")
    }

    /// How many providers are known; the first two are those of every engine.
    pub fn provider_count(&self) -> usize {
        self.providers.names.len()
    }

    /// A provider by its place: its name, and what all cores have heard of it.
    pub fn provider(&self, place: usize) -> (ProviderName, Heard) {
        let mut all = Heard::NEVER;
        self.providers.heard.iter().for_each(|row| all.merge(&row[place]));
        (self.providers.names[place], all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::alerts::alert::{Involved, SymbolName};
    use crate::engine::time::NANOS_PER_SECOND;

    fn alert(kind: AlertKind, state: AlertState, about: About, ts: i64) -> Alert {
        Alert { ts: UnixNanos(ts), kind, state, about, value: None, threshold: None }
    }

    fn symbol(name: &str, state: AlertState, ts: i64) -> Alert {
        alert(AlertKind::Latency, state, About::Symbol(SymbolName::new(name), Involved::Nobody), ts)
    }

    fn drain(ring: &mut AlertRing) -> Vec<Alert> {
        std::iter::from_fn(|| ring.pop()).map(|(_, alert)| alert).collect()
    }

    #[test]
    fn what_is_about_the_process_is_one_over_all_cores() {
        let board = AlertBoard::new(AlertSettings::default(), 3).expect("there is memory");
        let mut rings = [(); 3].map(|()| AlertRing::new().expect("there is memory"));
        let cut = |state, ts| alert(AlertKind::NatsSlowConsumer, state, About::Process, ts);
        let mut numbers = [0; 3];
        for (core, ring) in rings.iter_mut().enumerate() {
            let moment = UnixNanos(core as i64);
            numbers[core] = board.lock().fire(cut(AlertState::Firing, moment.0), moment, ring);
        }
        assert_eq!(rings.each_mut().map(|ring| drain(ring).len()), [1, 0, 0]);
        assert_eq!((board.firing().0, board.fired()[AlertKind::NatsSlowConsumer as usize]), (1, 1));
        assert_eq!(board.firing_of_process(), [cut(AlertState::Firing, 0)]);
        for core in [1, 0, 2] {
            let moment = UnixNanos(10);
            board.lock().resolve(numbers[core], cut(AlertState::Resolved, 10), moment, &mut rings[core]);
        }
        assert_eq!(rings.each_mut().map(|ring| drain(ring).len()), [0, 0, 1], "the last one is the end");
        assert_eq!((board.firing(), board.firing_of_process()), ((0, Vec::new()), Vec::new()));
        let latest: Vec<AlertState> = board.latest(5, |_| true).iter().map(|alert| alert.state).collect();
        assert_eq!(latest, [AlertState::Resolved, AlertState::Firing]);
    }

    #[test]
    fn ten_thousand_at_once_are_twenty_and_one_in_each_direction() {
        const COUNT: usize = 10_000;
        let board = AlertBoard::new(AlertSettings::default(), 1).expect("there is memory");
        let mut ring = AlertRing::new().expect("there is memory");
        let names: Vec<String> = (0..COUNT).map(|index| format!("S{index}")).collect();
        let fire = |name: &String| board.lock().fire(symbol(name, AlertState::Firing, 0), UnixNanos(0), &mut ring);
        let numbers: Vec<u64> = names.iter().map(fire).collect();
        assert_eq!(board.lock().seconds_due(), UnixNanos(NANOS_PER_SECOND));
        board.lock().end_seconds(UnixNanos(NANOS_PER_SECOND), &mut ring);
        let sent = drain(&mut ring);
        assert_eq!(sent.len(), ALERTS_A_SECOND_MAX + 1);
        assert_eq!(sent[0].symbol(), Some("S0"));
        let many = sent[ALERTS_A_SECOND_MAX];
        assert_eq!(
            (many.about, many.value),
            (About::Many { began: COUNT as u32, ended: 0, sent: 20 }, Some(COUNT as f64))
        );
        assert_eq!(many.ts, UnixNanos(NANOS_PER_SECOND));
        let (count, listed) = board.firing();
        assert_eq!((count, listed.len()), (COUNT as u64, ALERTS_FIRING_LISTED_MAX));
        assert_eq!((listed[0].symbol(), board.fired()[AlertKind::Latency as usize]), (Some("S9999"), COUNT as u64));

        let later = UnixNanos(10 * NANOS_PER_SECOND);
        for (number, name) in numbers.iter().zip(&names) {
            board.lock().resolve(*number, symbol(name, AlertState::Resolved, later.0), later, &mut ring);
        }
        assert_eq!(board.firing(), (0, Vec::new()));
        // The next one after the second tells it as well, before itself.
        let next = later.plus(NANOS_PER_SECOND);
        let number = board.lock().fire(symbol("S0", AlertState::Firing, next.0), next, &mut ring);
        board.lock().resolve(number, symbol("S0", AlertState::Resolved, next.0), next, &mut ring);
        let sent = drain(&mut ring);
        assert_eq!(sent.len(), ALERTS_A_SECOND_MAX + 3);
        let last: Vec<About> = sent[ALERTS_A_SECOND_MAX..].iter().map(|alert| alert.about).collect();
        assert_eq!(last[0], About::Many { began: 0, ended: COUNT as u32, sent: 20 });
        assert_eq!(board.latest(1_000, |_| true).len(), 2 * ALERTS_A_SECOND_MAX + 4);
        assert_eq!(board.latest(2, |alert| alert.symbol() == Some("S7")).len(), 2);
    }

    #[test]
    fn a_full_ring_drops_the_oldest_and_counts_it() {
        let board = AlertBoard::new(AlertSettings::default(), 1).expect("there is memory");
        let mut ring = AlertRing::new().expect("there is memory");
        let count = crate::engine::bounds::ALERTS_WAITING_MAX as i64;
        for number in 0..count + 3 {
            let moment = number * NANOS_PER_SECOND;
            board.lock().fire(symbol("A", AlertState::Firing, moment), UnixNanos(moment), &mut ring);
        }
        assert_eq!((ring.take_dropped(), ring.take_dropped()), (3, 0));
        let left: Vec<i64> = drain(&mut ring).iter().map(|alert| alert.ts.0 / NANOS_PER_SECOND).collect();
        assert_eq!(left, (3..count + 3).collect::<Vec<_>>());
        assert_eq!(board.latest(1_000, |_| true).len(), LATEST_MAX);
    }
}
