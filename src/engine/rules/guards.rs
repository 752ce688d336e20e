//! Why a signal is not given though its conditions hold: what they were computed from is too old to be acted upon (SPEC
//! section 3). A signal that is suppressed starts no cooldown, so that the first one after the trouble is given.

/// Why a signal was not given though its conditions held; in the order in which the guards are judged: the first that holds is
/// counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Suppression {
    /// It is one of the past, given by who read the stream in time: it starts its cooldown (SPEC section 9).
    CatchingUp,
    /// The event was received long after its time: a backlog.
    Stale,
    /// The top of market is old: the spread may be another by now.
    StaleQuote,
    /// The price 10 s ago is that of a trade long before: a halt, or a session's start.
    Gap,
}

impl Suppression {
    /// In the order of the tables of counts.
    pub const ALL: [Suppression; 4] = [Self::CatchingUp, Self::Stale, Self::StaleQuote, Self::Gap];

    /// As metrics and /stats name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CatchingUp => "catching_up",
            Self::Stale => "stale",
            Self::StaleQuote => "stale_quote",
            Self::Gap => "gap",
        }
    }
}

/// How old what a signal is made from is, or may be, in ns; as a limit `i64::MAX` is none.
#[derive(Clone, Copy, Debug)]
pub struct Ages {
    /// From the event's time to its local receipt.
    pub event: i64,
    /// Of the top of market.
    pub quote: i64,
    /// From the trade that answers for p(now - 10 s) to that moment.
    pub gap: i64,
}

/// The first guard that holds, but for [`CatchingUp`](Suppression::CatchingUp), which no age tells.
pub fn suppression(found: &Ages, limits: &Ages) -> Option<Suppression> {
    let holds = |guard: &Suppression| match guard {
        Suppression::CatchingUp => false,
        Suppression::Stale => found.event > limits.event,
        Suppression::StaleQuote => found.quote > limits.quote,
        Suppression::Gap => found.gap > limits.gap,
    };
    Suppression::ALL.into_iter().find(holds)
}
