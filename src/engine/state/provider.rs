//! Providers by number: names come with every event, metrics and states hold the number. Those that `PROVIDERS` lists have the
//! first numbers, in their order. And whether a provider's times are trusted.

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
    pub(super) const OTHER: ProviderId = ProviderId(1);

    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// Where `PROVIDERS` lists the provider, from 0 on; beyond the end of the list for one that it does not. `None`: it has no
    /// name of its own.
    pub(super) fn place_in_list(self) -> Option<usize> {
        (self.0 as usize).checked_sub(FIRST_NAMED)
    }
}

/// What is no provider's own name.
pub const NAMELESS: [&str; 2] = [UNKNOWN, OTHER];
/// Numbers before those of providers with names of their own.
const FIRST_NAMED: usize = NAMELESS.len();

/// How a provider is written: resolved once, when it is first seen.
struct ProviderNames {
    name: Box<str>,
    /// `,"provider":"…"`, for outputs; empty for events without a provider.
    field: Box<[u8]>,
    /// `@…`, what stands behind the symbol in the name of a state of its own.
    suffix: Box<str>,
}

/// The names of all providers seen so far, at most `PROVIDERS_MAX`.
pub struct Providers {
    names: Vec<ProviderNames>,
    /// The provider of the last event, which is mostly that of the next.
    last: ProviderId,
    /// Local time from which on each one's times are trusted.
    trusted_from: [UnixNanos; PROVIDERS_MAX],
}

impl ProviderNames {
    /// `None` when there is no memory for it.
    fn new(name: &str) -> Option<Self> {
        // A control character takes six bytes.
        let mut place = [0; 6 * PROVIDER_BYTES_MAX + 2];
        let mut rest = &mut place[..];
        serde_json::to_writer(&mut rest, name).expect("a provider's name fits, and text is always representable");
        let unused = rest.len();
        let json = std::str::from_utf8(&place[..place.len() - unused]).expect("JSON is text");
        let mut suffix = joined(&["@", name])?.into_string();
        let mut characters = name.chars().peekable();
        suffix.truncate(1);
        while let Some(character) = characters.next() {
            let leaves_empty_token = character == '.' && matches!(characters.peek(), None | Some('.'));
            let is_refused = character.is_whitespace() || character.is_control() || matches!(character, '*' | '>');
            suffix.push(if leaves_empty_token || is_refused { '_' } else { character });
        }
        Some(ProviderNames {
            name: joined(&[name])?,
            field: joined(&[",\"provider\":", json])?.into_boxed_bytes(),
            suffix: suffix.into_boxed_str(),
        })
    }
}

impl Providers {
    /// Those in `listed` have their numbers from the start.
    pub fn new(listed: &[String]) -> Self {
        let mut names = Vec::with_capacity(PROVIDERS_MAX);
        let mut unknown = ProviderNames::new(UNKNOWN).expect("there is memory at the start");
        unknown.field = Box::default();
        names.push(unknown);
        let named = [OTHER].into_iter().chain(listed.iter().map(String::as_str));
        names.extend(named.map(|name| ProviderNames::new(name).expect("there is memory at the start")));
        assert!(names.len() <= PROVIDERS_MAX, "the settings are checked");
        Providers { names, last: ProviderId::UNKNOWN, trusted_from: [UnixNanos(0); PROVIDERS_MAX] }
    }

    pub fn name(&self, id: ProviderId) -> &str {
        &self.names[id.index()].name
    }

    /// `,"provider":"…"`; empty for events without a provider.
    pub fn field(&self, id: ProviderId) -> &[u8] {
        &self.names[id.index()].field
    }

    /// `@…`: what tells the provider's state of a symbol from others'. What a subject cannot hold is `_` in it.
    pub fn suffix(&self, id: ProviderId) -> &str {
        &self.names[id.index()].suffix
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &str)> {
        self.names.iter().enumerate().map(|(index, names)| (index, &*names.name))
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
        if self.names[self.last.index()].name.as_bytes() == raw {
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
        if let Some(index) = self.names.iter().position(|known| *known.name == *name) {
            return ProviderId(index as u8);
        }
        if self.names.len() == PROVIDERS_MAX {
            return ProviderId::OTHER;
        }
        let Some(names) = ProviderNames::new(name) else { return ProviderId::OTHER };
        self.names.push(names);
        ProviderId((self.names.len() - 1) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let mut providers = Providers::new(&["first".into(), "second".into()]);
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
        assert_eq!(
            ["second", "first"].map(|name| providers.intern(name.as_bytes()).place_in_list()),
            [Some(1), Some(0)]
        );
        assert_eq!(ProviderId::OTHER.place_in_list(), None);
    }

    #[test]
    fn a_name_in_a_field_and_behind_a_symbol() {
        let mut providers = Providers::new(&[]);
        let mut check = |raw: &str, field: &str, suffix: &str| {
            let id = providers.intern(raw.as_bytes());
            assert_eq!(providers.field(id), field.as_bytes(), "{raw}");
            assert_eq!(providers.suffix(id), suffix, "{raw}");
            let subject = format!("senpai.features.A{suffix}");
            assert!(proto_nats::subject::is_valid_subject(subject.as_bytes()), "{subject}");
        };
        check("binance", r#","provider":"binance""#, "@binance");
        check("", "", "@unknown");
        check(&"x".repeat(33), r#","provider":"other""#, "@other");
        check("a b\\tc", r#","provider":"a b\tc""#, "@a_b_c");
        check(r#"a\"*>"#, r#","provider":"a\"*>""#, "@a\"__");
        check("a.b..c.", r#","provider":"a.b..c.""#, "@a.b_.c_");
        check(".", r#","provider":".""#, "@_");
        check("ü\\u0085@", ",\"provider\":\"ü\u{85}@\"", "@ü_@");
        let controls = "\\u0001".repeat(32);
        check(&controls, &format!(",\"provider\":\"{controls}\""), &format!("@{}", "_".repeat(32)));
    }
}
