//! What the alerts of a symbol are judged by, and how they write it.

use crate::engine::alerts::alert::{AlertKind, AlertSettings};
use crate::engine::state::provider::{ProviderId, Providers};
use crate::engine::state::symbol_names::SymbolNames;

/// The figures of a symbol that its alerts are judged by.
#[derive(Clone, Copy, Default)]
pub struct Figures {
    pub latency_p95_ms: Option<f64>,
    pub is_truncated: bool,
    /// Two providers that both have an event in the window.
    pub mixed: Option<[ProviderId; 2]>,
}

impl Figures {
    /// Whether the cause of an alert of this kind is there; false of a kind that is not judged by figures.
    #[inline]
    pub(super) fn holds(&self, kind: AlertKind, settings: &AlertSettings) -> bool {
        match kind {
            AlertKind::Latency => self.latency_p95_ms.is_some_and(|p95_ms| settings.is_late(p95_ms)),
            AlertKind::WindowTruncated => self.is_truncated,
            AlertKind::MixedProviders => self.mixed.is_some(),
            _ => false,
        }
    }
}

/// How a symbol and its providers are written.
pub struct Names<'a> {
    pub symbol: &'a SymbolNames,
    /// Whose market the symbol is.
    pub own: ProviderId,
    pub providers: &'a Providers,
}
