//! t(event), the time at which an event counts, and its latency (SPEC section 1, "Event time"). A time too far ahead of local
//! receipt is not believed, nor is any other of its provider for some seconds: a clock at the edge of what is believed would
//! else have its times jump to and fro. What a symbol makes of t (watermark, `now`, late events) is in
//! [`symbol_state`](crate::engine::state::symbol_state).

use crate::engine::input::event::Origin;
use crate::engine::time::{NANOS_PER_SECOND, UnixNanos};

/// A day: what lies further apart is no latency, but another day's time.
const LATENCY_MAX_NS: u64 = 24 * 3600 * NANOS_PER_SECOND as u64;

/// When an event counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EventTime {
    pub t: UnixNanos,
    /// From the exchange to receipt, where both are known and no more than a day apart.
    pub latency_ns: Option<i64>,
    /// From the time it states to its local receipt, where it states one that is trusted.
    pub lag_ns: Option<i64>,
    /// The stated time was too far ahead: local receipt took its place.
    pub is_rejected: bool,
}

impl EventTime {
    /// `local` is the event's local receipt; a stated time more than `skew_max_ns` ahead of it is rejected. Without
    /// `is_trusted` any other is left unused as well.
    #[inline]
    pub fn settle(origin: &Origin<'_>, local: UnixNanos, skew_max_ns: i64, is_trusted: bool) -> EventTime {
        let stated = origin.stated_time();
        let t = stated.unwrap_or(local);
        let is_rejected = t.since(local) > skew_max_ns;
        if is_rejected || !is_trusted {
            // Local receipt is the receipt for the latency, too; a time that far ahead is no time of sending.
            let sent = origin.ts_exchange.filter(|sent| sent.since(local) <= skew_max_ns);
            return EventTime { t: local, latency_ns: latency(sent, local), lag_ns: None, is_rejected };
        }
        let received = origin.ts_recv.unwrap_or(local);
        let lag_ns = stated.map(|stated| local.since(stated));
        EventTime { t, latency_ns: latency(origin.ts_exchange, received), lag_ns, is_rejected: false }
    }
}

#[inline]
fn latency(sent: Option<UnixNanos>, received: UnixNanos) -> Option<i64> {
    sent.map(|sent| received.since(sent)).filter(|latency_ns| latency_ns.unsigned_abs() <= LATENCY_MAX_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipt_by_the_producer_then_the_exchange_then_local_receipt() {
        const LOCAL: i64 = 1_000;
        const SKEW_MAX: i64 = 10;
        let settle = |ts_exchange: Option<i64>, ts_recv: Option<i64>, is_trusted| {
            let [ts_exchange, ts_recv] = [ts_exchange, ts_recv].map(|ns| ns.map(UnixNanos));
            let origin = Origin { ts_exchange, ts_recv, ..Origin::default() };
            EventTime::settle(&origin, UnixNanos(LOCAL), SKEW_MAX, is_trusted)
        };
        let check =
            |ts_exchange: Option<i64>, ts_recv: Option<i64>, t: i64, latency_ns: Option<i64>, is_rejected: bool| {
                let is_stated = ts_exchange.or(ts_recv).is_some() && !is_rejected;
                let lag_ns = is_stated.then_some(LOCAL - t);
                let expected = EventTime { t: UnixNanos(t), latency_ns, lag_ns, is_rejected };
                assert_eq!(settle(ts_exchange, ts_recv, true), expected, "{ts_exchange:?}, {ts_recv:?}");
            };
        check(None, None, 1_000, None, false);
        check(None, Some(900), 900, None, false);
        check(Some(800), None, 800, Some(200), false);
        check(Some(800), Some(900), 900, Some(100), false);
        check(Some(950), Some(900), 900, Some(-50), false);
        check(None, Some(1_010), 1_010, None, false);
        check(None, Some(1_011), 1_000, None, true);
        check(Some(1_011), None, 1_000, None, true);
        check(Some(800), Some(1_011), 1_000, Some(200), true);
        check(Some(1_011), Some(1_011), 1_000, None, true);
        check(Some(1_011), Some(900), 900, Some(-111), false);
        let day = LATENCY_MAX_NS as i64;
        check(Some(900 - day), Some(900), 900, Some(day), false);
        check(Some(899 - day), Some(900), 900, None, false);
        check(Some(900 + day), Some(900), 900, Some(-day), false);
        check(Some(901 + day), Some(900), 900, None, false);
        check(Some(999 - day), Some(1_011), 1_000, None, true);

        // While the provider is not trusted.
        let check = |ts_exchange: Option<i64>, ts_recv: Option<i64>, latency_ns: Option<i64>, is_rejected| {
            let expected = EventTime { t: UnixNanos(LOCAL), latency_ns, lag_ns: None, is_rejected };
            assert_eq!(settle(ts_exchange, ts_recv, false), expected, "{ts_exchange:?}, {ts_recv:?}");
        };
        check(None, None, None, false);
        check(None, Some(900), None, false);
        check(Some(800), None, Some(200), false);
        check(Some(800), Some(900), Some(200), false);
        check(Some(1_010), Some(900), Some(-10), false);
        check(Some(1_011), Some(900), None, false);
        check(Some(800), Some(1_010), Some(200), false);
        check(Some(800), Some(1_011), Some(200), true);
        check(Some(999 - day), Some(900), None, false);
    }
}
