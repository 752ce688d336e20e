//! The alerts about providers, judged on what all cores have heard: `lag`, `clock_skew` and `gap`. The first core has this watch.

use crate::engine::alerts::alert::{About, Alert, AlertKind, AlertSettings, AlertState};
use crate::engine::alerts::board::Shared;
use crate::engine::alerts::edge::Edge;
use crate::engine::alerts::ring::AlertRing;
use crate::engine::bounds::PROVIDERS_MAX;
use crate::engine::state::provider::{DISTRUST_NS, Heard, LAG_SPAN_NS, NEVER, NO_DEADLINE};
use crate::engine::time::{NANOS_PER_SECOND, UnixNanos};

/// While all events lag, the end of that is looked for so often: no event tells it.
const LOOK_NS: i64 = NANOS_PER_SECOND / 4;

/// An alert of one kind about one provider, with its number while it fires.
#[derive(Clone, Copy, Default)]
struct Watched {
    edge: Edge,
    number: u64,
}

/// See the head of this file. By the provider's place on the board.
pub(super) struct ProviderWatch {
    gap: [Watched; PROVIDERS_MAX],
    lag: [Watched; PROVIDERS_MAX],
    skew: [Watched; PROVIDERS_MAX],
    /// Up to when it has judged.
    judged: UnixNanos,
}

/// Where a look takes place.
struct Look<'a> {
    shared: &'a mut Shared,
    ring: &'a mut AlertRing,
    /// For which all is judged.
    ts: UnixNanos,
    /// Among the outputs of this core.
    moment: UnixNanos,
}

impl ProviderWatch {
    pub fn new() -> ProviderWatch {
        let quiet = [Watched::default(); PROVIDERS_MAX];
        ProviderWatch { gap: quiet, lag: quiet, skew: quiet, judged: NEVER }
    }

    /// Judges all providers for the last moment of which all cores have told, which is `moment` at most. Returns when to look
    /// again, if nothing comes before.
    pub fn look(
        &mut self,
        shared: &mut Shared,
        settings: &AlertSettings,
        skew_max_ns: i64,
        moment: UnixNanos,
        ring: &mut AlertRing,
    ) -> UnixNanos {
        let ts = moment.min(shared.told());
        if ts < self.judged {
            return NO_DEADLINE;
        }
        self.judged = ts;
        let mut next = NO_DEADLINE;
        let look = &mut Look { shared, ring, ts, moment };
        for place in 0..look.shared.provider_count() {
            let (name, heard) = look.shared.provider(place);
            let about = About::Provider(name);
            next = next
                .min(look.judge_gap(&mut self.gap[place], about, &heard, settings.gap))
                .min(look.judge_lag(&mut self.lag[place], about, &heard, settings.lag))
                .min(look.judge_skew(&mut self.skew[place], about, &heard, skew_max_ns));
        }
        next
    }

    /// The clock was stepped: moments have other names from now on.
    pub fn handle_clock_step(&mut self, step_ns: i64) {
        let all = self.gap.iter_mut().chain(&mut self.lag).chain(&mut self.skew);
        all.for_each(|watched| watched.edge.handle_clock_step(step_ns));
        if self.judged > NEVER {
            self.judged = self.judged.plus(step_ns);
        }
    }
}

fn seconds(ns: i64) -> f64 {
    ns as f64 / NANOS_PER_SECOND as f64
}

impl Look<'_> {
    /// No event at all for `limit`, whatever the reason: while NATS is away every provider that was heard has its gap, as SPEC says it
    /// of events and not of producers (an operator sees the cause in /health and /ready). They are no storm: 20 go out one by one, and
    /// one stands for the rest.
    fn judge_gap(&mut self, watched: &mut Watched, about: About, heard: &Heard, limit: i64) -> UnixNanos {
        if heard.last == NEVER || limit == i64::MAX {
            return NO_DEADLINE;
        }
        let silence = self.ts.since(heard.last);
        let (kind, threshold) = (AlertKind::Gap, Some(seconds(limit)));
        if silence >= limit {
            let fires = watched.edge.begin(self.ts);
            self.fire_if(fires, watched, Alert { value: Some(seconds(silence)), threshold, ..self.alert(kind, about) });
            // The event that ends it asks for a look.
            return NO_DEADLINE;
        }
        watched.edge.end(heard.resumed);
        self.resolve_if_over(watched, Alert { threshold, ..self.alert(kind, about) });
        heard.last.plus(limit).min(watched.edge.resolves_at().unwrap_or(NO_DEADLINE))
    }

    /// For 5 s all events have come more than `limit` after their time, and the last of them within these 5 s.
    fn judge_lag(&mut self, watched: &mut Watched, about: About, heard: &Heard, limit: i64) -> UnixNanos {
        if heard.last_lagging == NEVER {
            return NO_DEADLINE;
        }
        let anchor = heard.lag_anchor();
        let has_lagged = self.ts.since(heard.last_lagging) < LAG_SPAN_NS;
        let is_long_enough = self.ts.since(anchor) >= LAG_SPAN_NS;
        let (kind, threshold) = (AlertKind::Lag, Some(seconds(limit)));
        if has_lagged && is_long_enough {
            let fires = watched.edge.begin(self.ts);
            let value = Some(seconds(heard.lag_ns));
            self.fire_if(fires, watched, Alert { value, threshold, ..self.alert(kind, about) });
            return self.ts.plus(LOOK_NS);
        }
        // By a timely event, or for want of any that lags.
        watched.edge.end(if is_long_enough { heard.last_lagging.plus(LAG_SPAN_NS) } else { anchor });
        self.resolve_if_over(watched, Alert { threshold, ..self.alert(kind, about) });
        let may_begin = has_lagged && heard.last_lagging >= anchor;
        let begins = if may_begin { anchor.plus(LAG_SPAN_NS) } else { NO_DEADLINE };
        begins.min(watched.edge.resolves_at().unwrap_or(NO_DEADLINE))
    }

    /// A time was more than `limit` ahead of its receipt.
    fn judge_skew(&mut self, watched: &mut Watched, about: About, heard: &Heard, limit: i64) -> UnixNanos {
        if heard.last_rejected == NEVER {
            return NO_DEADLINE;
        }
        let (kind, threshold) = (AlertKind::ClockSkew, Some(seconds(limit)));
        if self.ts.since(heard.last_rejected) < DISTRUST_NS {
            let fires = watched.edge.occur(heard.last_rejected);
            let value = Some(seconds(heard.ahead_ns));
            self.fire_if(fires, watched, Alert { value, threshold, ..self.alert(kind, about) });
        }
        self.resolve_if_over(watched, Alert { threshold, ..self.alert(kind, about) });
        watched.edge.resolves_at().unwrap_or(NO_DEADLINE)
    }

    fn alert(&self, kind: AlertKind, about: About) -> Alert {
        Alert { ts: self.ts, kind, state: AlertState::Resolved, about, value: None, threshold: None }
    }

    fn fire_if(&mut self, fires: bool, watched: &mut Watched, alert: Alert) {
        if fires {
            watched.number = self.shared.fire(Alert { state: AlertState::Firing, ..alert }, self.moment, self.ring);
        }
    }

    fn resolve_if_over(&mut self, watched: &mut Watched, alert: Alert) {
        if watched.edge.resolve(self.ts) {
            self.shared.resolve(watched.number, alert, self.moment, self.ring);
        }
    }
}
