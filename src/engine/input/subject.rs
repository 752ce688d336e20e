//! What an event is about: type and symbol, from the subject alone (SPEC section 1).
//!
//! ```text
//!   md.events.trade.BRK.B
//!   └ prefix ┘└type┘└ symbol: everything after the next dot
//! ```

use crate::engine::bounds::SYMBOL_BYTES_MAX;

/// The four types of events, and one for subjects that name none of them. The order is the row order of every table of
/// counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum EventKind {
    /// `trade`
    Trade,
    /// `quote`
    Quote,
    /// `book_l2`
    Book,
    /// `heartbeat`
    Heartbeat,
    /// None of these.
    Unknown,
}

impl EventKind {
    /// In the order of the tables of counts.
    pub const ALL: [EventKind; 5] = [Self::Trade, Self::Quote, Self::Book, Self::Heartbeat, Self::Unknown];

    /// The name in subjects and metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trade => "trade",
            Self::Quote => "quote",
            Self::Book => "book_l2",
            Self::Heartbeat => "heartbeat",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the event may be dropped when the queue is nearly full: a newer quote or book makes up for a lost one,
    /// nothing makes up for a trade.
    #[inline]
    pub fn is_sheddable(self) -> bool {
        matches!(self, Self::Quote | Self::Book | Self::Heartbeat)
    }
}

/// Splits a subject after `prefix` (`md.events`). What fits none of the four is `Unknown`, with an empty symbol.
#[inline]
pub fn split_subject<'a>(subject: &'a [u8], prefix: &[u8]) -> (EventKind, &'a [u8]) {
    const UNKNOWN: (EventKind, &[u8]) = (EventKind::Unknown, b"");
    let Some(rest) = subject.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(b".")) else {
        return UNKNOWN;
    };
    let (kind, symbol) = match rest {
        [b't', b'r', b'a', b'd', b'e', b'.', symbol @ ..] => (EventKind::Trade, symbol),
        [b'q', b'u', b'o', b't', b'e', b'.', symbol @ ..] => (EventKind::Quote, symbol),
        [b'b', b'o', b'o', b'k', b'_', b'l', b'2', b'.', symbol @ ..] => (EventKind::Book, symbol),
        [b'h', b'e', b'a', b'r', b't', b'b', b'e', b'a', b't', b'.', symbol @ ..] => (EventKind::Heartbeat, symbol),
        _ => return UNKNOWN,
    };
    if symbol.is_empty() { UNKNOWN } else { (kind, symbol) }
}

/// Whether a symbol can be kept: at most `SYMBOL_BYTES_MAX` long, UTF-8, and valid as the end of the subjects that are
/// published for it. So it has no empty token, no white space, no control character and no `*` or `>`, also not within a
/// token, where NATS would allow them.
pub fn is_valid_symbol(symbol: &[u8]) -> bool {
    symbol.len() <= SYMBOL_BYTES_MAX
        && std::str::from_utf8(symbol).is_ok_and(|symbol| {
            symbol.split('.').all(|token| !token.is_empty())
                && !symbol.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '*' | '>'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        let check = |subject: &str, kind, symbol: &str| {
            assert_eq!(split_subject(subject.as_bytes(), b"md.events"), (kind, symbol.as_bytes()), "{subject}");
        };
        check("md.events.trade.BTCUSDT", EventKind::Trade, "BTCUSDT");
        check("md.events.trade.BRK.B", EventKind::Trade, "BRK.B");
        check("md.events.quote.BTC/USD", EventKind::Quote, "BTC/USD");
        check("md.events.book_l2.BTC-USDT", EventKind::Book, "BTC-USDT");
        check("md.events.heartbeat.__system__", EventKind::Heartbeat, "__system__");
        check("md.events.trade.", EventKind::Unknown, "");
        check("md.events.trade", EventKind::Unknown, "");
        check("md.events.trades.X", EventKind::Unknown, "");
        check("md.eventstrade.X", EventKind::Unknown, "");
        check("md.events", EventKind::Unknown, "");
        check("", EventKind::Unknown, "");
    }

    #[test]
    fn symbols_that_can_be_published_for() {
        let check = |symbol: &[u8], expected: bool| {
            assert_eq!(is_valid_symbol(symbol), expected, "{}", symbol.escape_ascii());
            let subject = [b"senpai.features.", symbol].concat();
            assert!(!expected || proto_nats::subject::is_valid_subject(&subject), "{}", subject.escape_ascii());
        };
        let long = "x".repeat(SYMBOL_BYTES_MAX);
        for good in
            ["BTCUSDT", "BRK.B", "BTC/USD", "BTC-USDT", "1000SHIBUSDT", "ÅL.OL", "^GSPC", "$X", "株", "a.b.c", &long]
        {
            check(good.as_bytes(), true);
        }
        for bad in [
            "",
            "*",
            ">",
            "A.*",
            "*.A",
            "A.>",
            "A*",
            "A>B",
            ".",
            ".A",
            "A.",
            "A..B",
            "A B",
            " A",
            "A\t",
            "A\r\n",
            "A\0",
            "\u{7f}",
            "A\u{85}",
            "\u{9b}2J",
            "A\u{a0}B",
            "A\u{2028}",
            &format!("{long}x"),
        ] {
            check(bad.as_bytes(), false);
        }
        for bad in [&b"\xff"[..], b"A\xc3", b"\xed\xa0\x80", b"\xc0\xae"] {
            check(bad, false);
        }
    }
}
