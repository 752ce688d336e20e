//! Who sends which symbol at a time, and when: one provider of a symbol is mostly at the fore, others stray in; some symbols
//! are in play, others silent. The clock is now and then brought to exactly so long after an event as a rule's limit says.

use super::super::profile::Profile;
use super::Market;

pub(super) struct Presence {
    /// By symbol.
    fore: Vec<usize>,
    in_play: Vec<usize>,
    /// The last event of each symbol and provider, and its moment.
    last: Vec<((usize, Option<usize>), i64)>,
}

impl Presence {
    pub fn new(profile: &Profile) -> Self {
        Presence {
            fore: (0..profile.symbols).map(|symbol| symbol % profile.providers).collect(),
            in_play: (0..profile.symbols_in_play).collect(),
            last: Vec::new(),
        }
    }
}

impl Market {
    /// Moves the clock; says for which symbol the next event is, from which provider (`None`: it does not say), and whether
    /// it is of this very moment.
    pub(super) fn next_sender(&mut self) -> (usize, Option<usize>, bool) {
        let before = self.random.chance(self.profile.border).then(|| self.border()).flatten();
        if before.is_none() {
            self.pass_time();
        }
        if self.random.chance(self.profile.symbol_change) {
            let place = self.random.below(self.presence.in_play.len() as i64) as usize;
            self.presence.in_play[place] = self.random.below(self.profile.symbols as i64) as usize;
        }
        let in_play = &self.presence.in_play;
        let symbol = match before {
            None => in_play[self.random.below(in_play.len() as i64) as usize],
            // The event at the border is for the symbol that has been silent, or for one that may want its place.
            Some(silent) if self.random.chance(500) => silent,
            Some(_) => self.random.below(self.profile.symbols as i64) as usize,
        };
        if self.random.chance(self.profile.provider_change) {
            self.presence.fore[symbol] = self.random.below(self.profile.providers as i64) as usize;
        }
        let provider = match self.random.chance(self.profile.stray) {
            true => self.random.below(self.profile.providers as i64) as usize,
            false => self.presence.fore[symbol],
        };
        let provider = (!self.random.chance(self.profile.unnamed)).then_some(provider);
        self.presence.last.retain(|(sender, _)| *sender != (symbol, provider));
        self.presence.last.push(((symbol, provider), self.clock));
        // Without receipt times the events' own are the clock.
        let tells_clock = !self.profile.receipts && self.profile.border > 0 && self.random.chance(500);
        (symbol, provider, before.is_some() || tells_clock)
    }

    /// Moves the clock to a limit after a symbol's last event, or its last of a provider, or 1 ns before or behind it; says
    /// which symbol. `None`: no limit lies ahead.
    fn border(&mut self) -> Option<usize> {
        let of_provider = self.random.chance(500);
        let mut ahead = Vec::new();
        for (index, ((symbol, _), moment)) in self.presence.last.iter().enumerate() {
            let is_followed = self.presence.last[index + 1..].iter().any(|((other, _), _)| other == symbol);
            if of_provider || !is_followed {
                let limits = self.profile.limits_ns.iter().map(|limit| (*symbol, moment + limit));
                ahead.extend(limits.filter(|(_, border)| *border > self.clock));
            }
        }
        if ahead.is_empty() {
            return None;
        }
        ahead.sort_by_key(|(_, border)| *border);
        // Rather one that is near: the symbol that has been silent longest is among these.
        let [one, other] = [0; 2].map(|_| self.random.below(ahead.len() as i64) as usize);
        let (symbol, border) = ahead[one.min(other)];
        self.clock = border + self.random.between(-1, 1);
        Some(symbol)
    }
}
