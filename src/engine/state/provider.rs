//! Providers by number: names come with every event, metrics and states hold the number. And whether a provider's times are
//! trusted.

use crate::engine::bounds::{PROVIDER_BYTES_MAX, PROVIDERS_MAX};
use crate::engine::input::unescape::unescape;
use crate::engine::memory::joined;
use crate::engine::time::UnixNanos;

/// A provider's number, from 0 on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProviderId(u8);

/// The name of an event that names no provider.
const UNKNOWN: &str = "unknown";
/// The name for all providers beyond the bound, and those whose name is too long.
const OTHER: &str = "other";

impl ProviderId {
    pub const UNKNOWN: ProviderId = ProviderId(0);
    const OTHER: ProviderId = ProviderId(1);

    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The names of all providers seen so far, at most `PROVIDERS_MAX`.
pub struct Providers {
    names: Vec<Box<str>>,
    /// The provider of the last event, which is mostly that of the next.
    last: ProviderId,
    /// Local time from which on each one's times are trusted.
    trusted_from: [UnixNanos; PROVIDERS_MAX],
}

impl Default for Providers {
    fn default() -> Self {
        let mut names = Vec::with_capacity(PROVIDERS_MAX);
        names.extend([UNKNOWN.into(), OTHER.into()]);
        Providers { names, last: ProviderId::UNKNOWN, trusted_from: [UnixNanos(0); PROVIDERS_MAX] }
    }
}

impl Providers {
    pub fn name(&self, id: ProviderId) -> &str {
        &self.names[id.index()]
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &str)> {
        self.names.iter().enumerate().map(|(index, name)| (index, &**name))
    }

    /// Whether the provider's times are trusted at the moment `local`.
    #[inline]
    pub fn is_trusted(&self, id: ProviderId, local: UnixNanos) -> bool {
        self.trusted_from[id.index()] <= local
    }

    /// The provider's times are not trusted before `until`, a moment of local time.
    pub fn distrust(&mut self, id: ProviderId, until: UnixNanos) {
        self.trusted_from[id.index()] = until;
    }

    /// The clock was stepped: moments have other names from now on.
    pub fn handle_clock_step(&mut self, step_ns: i64) {
        self.trusted_from.iter_mut().for_each(|moment| *moment = moment.plus(step_ns));
    }

    /// The provider of an event, by the inside of its JSON string; new ones are taken in while there is room, and memory.
    #[inline]
    pub fn intern(&mut self, raw: &[u8]) -> ProviderId {
        if self.names[self.last.index()].as_bytes() == raw {
            return self.last;
        }
        if raw.is_empty() {
            return ProviderId::UNKNOWN;
        }
        self.last = self.find_or_add(raw);
        self.last
    }

    #[cold]
    fn find_or_add(&mut self, raw: &[u8]) -> ProviderId {
        let mut place = [0; PROVIDER_BYTES_MAX];
        let Some(name) = unescape(raw, &mut place).and_then(|name| std::str::from_utf8(name).ok()) else {
            return ProviderId::OTHER;
        };
        if let Some(index) = self.names.iter().position(|known| **known == *name) {
            return ProviderId(index as u8);
        }
        if self.names.len() == PROVIDERS_MAX {
            return ProviderId::OTHER;
        }
        let Some(name) = joined(&[name]) else { return ProviderId::OTHER };
        self.names.push(name);
        ProviderId((self.names.len() - 1) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let mut providers = Providers::default();
        assert_eq!(providers.intern(b""), ProviderId::UNKNOWN);
        let binance = providers.intern(b"binance");
        assert_eq!(providers.name(binance), "binance");
        assert_eq!(providers.intern(b"bin\\u0061nce"), binance);
        assert_eq!(providers.intern(&[b'x'; 100]), ProviderId::OTHER);
        for index in 0..1_000 {
            providers.intern(format!("provider-{index}").as_bytes());
        }
        assert_eq!(providers.intern(b"one-more"), ProviderId::OTHER);
        assert_eq!(providers.intern(b"binance"), binance);
        assert_eq!(providers.iter().count(), PROVIDERS_MAX);
    }
}
