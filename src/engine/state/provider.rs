//! Providers by number: names come with every event, metrics and states hold the number. Those that `PROVIDERS` lists have the
//! first numbers, in their order. And when each was heard, which says whether its times are trusted, and what its alerts are
//! judged by.

use crate::engine::bounds::{PROVIDER_BYTES_MAX, PROVIDERS_MAX};
use crate::engine::input::unescape::unescape;
use crate::engine::memory::joined;
use crate::engine::time::{NANOS_PER_SECOND, UnixNanos};

/// After a rejected time the provider's events take local receipt until so long without a further one.
pub const DISTRUST_NS: i64 = 5 * NANOS_PER_SECOND;
/// So long all events must have lagged for that to be an alert.
pub const LAG_SPAN_NS: i64 = 5 * NANOS_PER_SECOND;
/// A moment before every other: what has not been yet. Lengths of time from it are longer than any setting, and no overflow.
pub const NEVER: UnixNanos = UnixNanos(-(1 << 57));
/// No moment at all is as late.
pub const NO_DEADLINE: UnixNanos = UnixNanos(i64::MAX);

/// A provider's number, from 0 on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProviderId(u8);

/// The name of an event that names no provider.
const UNKNOWN: &str = "unknown";
/// The name for all providers beyond the bound, and those whose name is too long.
const OTHER: &str = "other";

impl ProviderId {
    pub const UNKNOWN: ProviderId = ProviderId(0);
    pub const OTHER: ProviderId = ProviderId(1);

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
    heard: [Heard; PROVIDERS_MAX],
}

/// When a provider was heard, in local time; [`NEVER`] where it was not. A cache line of its own for each.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct Heard {
    /// An event of any kind.
    pub last: UnixNanos,
    /// An event whose time was trusted and at most the limit before its receipt.
    pub last_timely: UnixNanos,
    /// An event whose time was too far ahead.
    pub last_rejected: UnixNanos,
    /// The first event after silence for as long as the limit; or of all.
    pub resumed: UnixNanos,
    /// The first event since the last timely one whose time was trusted and more than the limit before its receipt,
    pub first_lagging: UnixNanos,
    /// the last one,
    pub last_lagging: UnixNanos,
    /// and how long that was, in ns.
    pub lag_ns: i64,
    /// How far ahead the last rejected time was, in ns.
    pub ahead_ns: i64,
}

impl Heard {
    pub const NEVER: Heard = Heard {
        last: NEVER,
        last_timely: NEVER,
        last_rejected: NEVER,
        resumed: NEVER,
        first_lagging: NEVER,
        last_lagging: NEVER,
        lag_ns: 0,
        ahead_ns: 0,
    };

    /// Takes in what another core has heard of it.
    pub fn merge(&mut self, other: &Heard) {
        if other.last_lagging > self.last_lagging {
            self.lag_ns = other.lag_ns;
        }
        if other.last_rejected > self.last_rejected {
            self.ahead_ns = other.ahead_ns;
        }
        // What lagged before a timely event, at either of them, is over.
        let starts = [&*self, other].map(|heard| Some(heard.first_lagging).filter(|start| *start > heard.last_timely));
        self.first_lagging = starts.into_iter().flatten().min().unwrap_or(NEVER);
        self.last = self.last.max(other.last);
        self.last_timely = self.last_timely.max(other.last_timely);
        self.last_rejected = self.last_rejected.max(other.last_rejected);
        self.resumed = self.resumed.max(other.resumed);
        self.last_lagging = self.last_lagging.max(other.last_lagging);
    }

    #[cold]
    fn note_resumed(&mut self, local: UnixNanos) -> UnixNanos {
        self.resumed = local;
        local
    }

    /// The first of several that lag is the reason for a look, when they have for so long.
    #[cold]
    fn note_lagging(&mut self, local: UnixNanos, lag_ns: i64, is_resumed: bool) -> UnixNanos {
        let begins = self.last_lagging <= self.last_timely || local.since(self.last_lagging) >= LAG_SPAN_NS;
        if self.first_lagging <= self.last_timely {
            self.first_lagging = local;
        }
        (self.last_lagging, self.lag_ns) = (local, lag_ns);
        if is_resumed {
            self.note_resumed(local)
        } else if begins {
            local.max(self.lag_anchor().plus(LAG_SPAN_NS))
        } else {
            NO_DEADLINE
        }
    }

    /// Since when all events have lagged: the first of those that do, or the last timely one where that came later (at another
    /// core).
    pub fn lag_anchor(&self) -> UnixNanos {
        self.first_lagging.max(self.last_timely)
    }

    #[cold]
    fn lags_long(&self, local: UnixNanos) -> bool {
        local.since(self.first_lagging) >= LAG_SPAN_NS
    }

    fn handle_clock_step(&mut self, step_ns: i64) {
        let Heard { last, last_timely, last_rejected, resumed, first_lagging, last_lagging, .. } = self;
        for moment in [last, last_timely, last_rejected, resumed, first_lagging, last_lagging] {
            if *moment > NEVER {
                *moment = moment.plus(step_ns);
            }
        }
    }
}

/// Beyond which there are alerts about a provider, in ns.
#[derive(Clone, Copy, Debug)]
pub struct ProviderLimits {
    /// From an event's time to its receipt.
    pub lag: i64,
    /// From one event to the next.
    pub gap: i64,
}

/// A provider's part of the name of a state: what a subject cannot hold is `_`.
pub fn state_name(provider: &str) -> impl Iterator<Item = char> {
    let mut characters = provider.chars().peekable();
    std::iter::from_fn(move || {
        let character = characters.next()?;
        let leaves_empty_token = character == '.' && matches!(characters.peek(), None | Some('.'));
        let is_refused = character.is_whitespace() || character.is_control() || matches!(character, '*' | '>');
        Some(if leaves_empty_token || is_refused { '_' } else { character })
    })
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
        suffix.truncate(1);
        suffix.extend(state_name(name));
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
        Providers { names, last: ProviderId::UNKNOWN, heard: [Heard::NEVER; PROVIDERS_MAX] }
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

    /// When the provider was heard.
    pub fn heard(&self, index: usize) -> &Heard {
        &self.heard[index]
    }

    /// As if no provider had been heard yet.
    #[cold]
    pub fn forget_heard(&mut self) {
        self.heard = [Heard::NEVER; PROVIDERS_MAX];
    }

    /// Whether the provider's times are trusted at the moment `local`.
    #[inline]
    pub fn is_trusted(&self, id: ProviderId, local: UnixNanos) -> bool {
        local.since(self.heard[id.index()].last_rejected) >= DISTRUST_NS
    }

    /// A time of the provider was `ahead_ns` ahead of receipt at the moment `local`: its times are not trusted for a while.
    #[cold]
    pub fn note_rejected(&mut self, id: ProviderId, local: UnixNanos, ahead_ns: i64) {
        let heard = &mut self.heard[id.index()];
        (heard.last_rejected, heard.ahead_ns) = (local, ahead_ns);
    }

    /// An event of the provider was received at the moment `local`, `lag_ns` after its time; `None` where it states none that is
    /// trusted. Returns when the provider's alerts are to be judged, where that may be sooner for it.
    #[inline]
    pub fn note_event(
        &mut self,
        id: ProviderId,
        local: UnixNanos,
        lag_ns: Option<i64>,
        limits: &ProviderLimits,
    ) -> UnixNanos {
        let heard = &mut self.heard[id.index()];
        let is_resumed = local.since(heard.last) >= limits.gap;
        heard.last = local;
        match lag_ns {
            Some(lag_ns) if lag_ns > limits.lag => return heard.note_lagging(local, lag_ns, is_resumed),
            Some(_) => {
                let has_lagged_long = heard.first_lagging > heard.last_timely && heard.lags_long(local);
                heard.last_timely = local;
                if has_lagged_long {
                    return if is_resumed { heard.note_resumed(local) } else { local };
                }
            }
            None => {}
        }
        if is_resumed { heard.note_resumed(local) } else { NO_DEADLINE }
    }

    /// The clock was stepped: moments have other names from now on.
    pub fn handle_clock_step(&mut self, step_ns: i64) {
        self.heard.iter_mut().for_each(|heard| heard.handle_clock_step(step_ns));
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
        check(&"x".repeat(65), r#","provider":"other""#, "@other");
        check("a b\\tc", r#","provider":"a b\tc""#, "@a_b_c");
        check(r#"a\"*>"#, r#","provider":"a\"*>""#, "@a\"__");
        check("a.b..c.", r#","provider":"a.b..c.""#, "@a.b_.c_");
        check(".", r#","provider":".""#, "@_");
        check("ü\\u0085@", ",\"provider\":\"ü\u{85}@\"", "@ü_@");
        let controls = "\\u0001".repeat(32);
        check(&controls, &format!(",\"provider\":\"{controls}\""), &format!("@{}", "_".repeat(32)));
    }
}
