//! What goes wrong in a generated stream, and how often. Chances are in thousandths.

use super::SECOND;

#[derive(Clone, Debug)]
pub struct Profile {
    pub symbols: usize,
    /// Whether messages carry a receipt time, as live, or none, as in a bare recording.
    pub receipts: bool,
    pub start_ns: i64,
    /// Between one message and the next, over all symbols.
    pub mean_gap_ns: i64,
    /// A pause of 1 to 90 s.
    pub pause: u64,
    /// No time passes since the message before.
    pub tie: u64,
    /// The event's times are moved down to a half second, so that windows' edges are hit exactly.
    pub on_grid: u64,
    /// 1 to 59 s behind.
    pub late: u64,
    /// 60 to 200 s behind: out of the window.
    pub too_late: u64,
    /// A clock that is ahead: by up to 3 s, by the 1 s that is believed or just more, or (with receipts) by up to 500 s.
    pub ahead: u64,
    /// A receipt time before the last one.
    pub receipt_steps_back: u64,
    /// A backlog begins: the next 20 to 200 messages have waited 4 to 20 s before they were received.
    pub backlog: u64,
    pub malformed: u64,
    pub heartbeat: u64,
    /// Per trade: the price jumps by 0.4 to 2 %.
    pub jump: u64,
    pub one_sided: u64,
    pub crossed: u64,
    pub wide: u64,
    pub alias: u64,
    pub string_number: u64,
    /// A field given twice, an alias beside its canonical name, unknown fields, escapes in keys, odd spacing.
    pub odd_json: u64,
    /// An event without ts_recv, and one without ts_exchange (both: its receipt is its time).
    pub without_ts_recv: u64,
    pub without_ts_exchange: u64,
    /// An exchange clock ahead of the receiver's: the latency is negative.
    pub negative_latency: u64,
    /// So many of the names are in use.
    pub providers: usize,
    /// It does not say whose it is.
    pub unnamed: u64,
    /// It is from any provider, not from the one that mostly sends the symbol.
    pub stray: u64,
    /// Another provider is from now on the one that mostly sends the symbol.
    pub provider_change: u64,
    /// So many are in play at a time; how often another one comes into play.
    pub symbols_in_play: usize,
    pub symbol_change: u64,
    /// A trade that was told is told once more, as it was or a little changed.
    pub told_again: u64,
    /// The clock is brought to one of the limits after an event, 1 ns before or behind it.
    pub border: u64,
    pub limits_ns: Vec<i64>,
}

impl Profile {
    /// What a healthy feed looks like: in order, complete, well formed.
    pub fn calm() -> Self {
        Profile {
            symbols: 2,
            receipts: true,
            start_ns: 1_721_347_022 * SECOND,
            mean_gap_ns: 20_000_000,
            pause: 0,
            tie: 100,
            on_grid: 0,
            late: 0,
            too_late: 0,
            ahead: 0,
            receipt_steps_back: 0,
            backlog: 0,
            malformed: 0,
            heartbeat: 10,
            jump: 2,
            one_sided: 0,
            crossed: 0,
            wide: 20,
            alias: 0,
            string_number: 0,
            odd_json: 0,
            without_ts_recv: 0,
            without_ts_exchange: 0,
            negative_latency: 0,
            providers: 3,
            unnamed: 30,
            stray: 1_000,
            provider_change: 0,
            symbols_in_play: 2,
            symbol_change: 0,
            told_again: 0,
            border: 0,
            limits_ns: Vec::new(),
        }
    }

    /// A little of everything, with receipt times.
    pub fn live() -> Self {
        Profile {
            symbols: 4,
            symbols_in_play: 4,
            told_again: 10,
            pause: 2,
            tie: 150,
            on_grid: 100,
            late: 10,
            too_late: 3,
            ahead: 3,
            receipt_steps_back: 10,
            backlog: 1,
            malformed: 10,
            heartbeat: 20,
            jump: 10,
            one_sided: 50,
            crossed: 20,
            wide: 50,
            alias: 150,
            string_number: 150,
            odd_json: 50,
            without_ts_recv: 200,
            without_ts_exchange: 100,
            negative_latency: 10,
            ..Profile::calm()
        }
    }

    /// The same without receipt times.
    pub fn replay() -> Self {
        Profile { receipts: false, ..Profile::live() }
    }

    /// Most of it wrong: few events, long pauses, edges everywhere.
    pub fn hostile() -> Self {
        Profile {
            mean_gap_ns: 400_000_000,
            pause: 30,
            tie: 250,
            on_grid: 600,
            late: 120,
            too_late: 40,
            ahead: 20,
            receipt_steps_back: 80,
            backlog: 5,
            malformed: 150,
            heartbeat: 50,
            jump: 150,
            one_sided: 250,
            crossed: 100,
            wide: 150,
            alias: 500,
            string_number: 500,
            odd_json: 400,
            without_ts_recv: 400,
            without_ts_exchange: 300,
            negative_latency: 100,
            ..Profile::live()
        }
    }

    pub fn hostile_replay() -> Self {
        Profile { receipts: false, ..Profile::hostile() }
    }

    /// Thousands of trades in a window, as in a sweep through the book.
    pub fn storm() -> Self {
        Profile { symbols: 2, symbols_in_play: 2, mean_gap_ns: 3_000_000, tie: 500, pause: 0, ..Profile::live() }
    }

    /// Many providers for each symbol, more symbols than are in play, trades told again, limits met to the nanosecond.
    pub fn venues() -> Self {
        Profile {
            symbols: 10,
            symbols_in_play: 3,
            symbol_change: 30,
            providers: 24,
            unnamed: 80,
            stray: 200,
            provider_change: 40,
            told_again: 150,
            border: 120,
            limits_ns: vec![SECOND],
            mean_gap_ns: 60_000_000,
            ..Profile::live()
        }
    }

    pub fn venues_replay() -> Self {
        Profile { receipts: false, ahead: 0, ..Profile::venues() }
    }

    pub fn hostile_venues() -> Self {
        let Profile { symbols, symbols_in_play, symbol_change, providers, limits_ns, .. } = Profile::venues();
        Profile {
            symbols,
            symbols_in_play,
            symbol_change,
            providers,
            limits_ns,
            unnamed: 200,
            stray: 400,
            provider_change: 100,
            told_again: 250,
            border: 120,
            ..Profile::hostile()
        }
    }

    /// More providers than are told apart.
    pub fn crowd() -> Self {
        Profile { providers: 85, stray: 600, ..Profile::venues() }
    }

    pub fn all() -> Vec<(&'static str, Profile)> {
        vec![
            ("calm", Profile::calm()),
            ("live", Profile::live()),
            ("replay", Profile::replay()),
            ("hostile", Profile::hostile()),
            ("hostile replay", Profile::hostile_replay()),
            ("storm", Profile::storm()),
            ("venues", Profile::venues()),
            ("venues replay", Profile::venues_replay()),
            ("hostile venues", Profile::hostile_venues()),
            ("crowd", Profile::crowd()),
        ]
    }
}
