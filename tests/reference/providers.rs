//! Whose events a symbol's state takes, and under which name it goes (SPEC section 1, "Providers").

use super::Settings;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProviderMode {
    #[default]
    Primary,
    Merged,
    Separate,
}

impl ProviderMode {
    pub const ALL: [ProviderMode; 3] = [ProviderMode::Primary, ProviderMode::Merged, ProviderMode::Separate];
}

/// What an event has whose provider is not named.
pub const UNKNOWN: &str = "unknown";

/// The name by which a provider is shown; `None` where it is not known.
pub fn known(provider: &str) -> Option<&str> {
    (provider != UNKNOWN).then_some(provider)
}

/// All whose names are not told apart. They may be several venues: only the mode that mixes venues has a market of them.
pub const OTHER: &str = "other";
const NAME_BYTES_MAX: usize = 64;
/// Beside `unknown` and `other`.
const TOLD_APART_MAX: usize = 62;

/// The names that are told apart: those listed, and then as they come.
pub struct Names(Vec<String>);

impl Names {
    pub fn new(listed: &[String]) -> Self {
        Names(listed.to_vec())
    }

    /// The name that an event's provider goes by.
    pub fn name(&mut self, provider: &str) -> String {
        if provider == UNKNOWN || provider == OTHER || self.0.iter().any(|name| name == provider) {
            return provider.to_owned();
        }
        if provider.len() > NAME_BYTES_MAX || self.0.len() == TOLD_APART_MAX {
            return OTHER.to_owned();
        }
        self.0.push(provider.to_owned());
        provider.to_owned()
    }
}

/// The name of the state that an event of the symbol goes to.
pub fn state_name(mode: ProviderMode, symbol: &str, provider: &str) -> String {
    if mode != ProviderMode::Separate {
        return symbol.to_owned();
    }
    let chars: Vec<char> = provider.chars().collect();
    // A point that would leave an empty token does not fit either.
    let leaves_nothing = |index: usize| chars[index] == '.' && chars.get(index + 1).is_none_or(|next| *next == '.');
    let fits = |(index, c): (usize, &char)| {
        !(c.is_whitespace() || c.is_control() || *c == '*' || *c == '>' || leaves_nothing(index))
    };
    let written = chars.iter().enumerate().map(|(index, c)| if fits((index, c)) { *c } else { '_' });
    format!("{symbol}@{}", written.collect::<String>())
}

/// What an event of a provider does to the symbol's primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: it is the primary's, or nobody knows whose it is.
    Stays,
    /// It is the first known provider: what there is of the symbol becomes its own.
    IsFirst,
    /// It takes over, and the state begins anew.
    TakesOver,
    /// It stays out.
    Refused,
}

/// When each provider was last heard for a symbol, in local time.
#[derive(Clone, Debug, Default)]
pub struct Heard(Vec<(String, i64)>);

impl Heard {
    pub fn hear(&mut self, provider: &str, local: i64) {
        self.0.retain(|(name, _)| name != provider);
        self.0.push((provider.to_owned(), local));
    }

    /// Those heard no longer ago than the time-out.
    fn present(&self, local: i64, settings: &Settings) -> Vec<&str> {
        let is_heard = |(_, heard): &&(String, i64)| local - heard <= settings.provider_timeout_ns;
        self.0.iter().filter(is_heard).map(|(name, _)| name.as_str()).collect()
    }

    /// Of `provider`, which has just been heard.
    pub fn claim(&self, provider: &str, primary: Option<&str>, local: i64, settings: &Settings) -> Claim {
        let rank = |name: &str| settings.providers.iter().position(|listed| listed == name);
        // Those not listed come after all of the list and are equals.
        let rank = |name: &str| rank(name).unwrap_or(settings.providers.len());
        if known(provider).is_none() || primary == Some(provider) {
            return Claim::Stays;
        }
        // A better one may have been heard, by a duplicate alone.
        let Some(primary) = primary else { return Claim::IsFirst };
        let present = self.present(local, settings);
        let is_kept = present.contains(&primary) && rank(provider) >= rank(primary);
        if is_kept || present.iter().any(|other| rank(other) < rank(provider)) {
            return Claim::Refused;
        }
        Claim::TakesOver
    }
}
