//! Which of a field's names has been taken so far, and what could not be read.

use crate::engine::input::field::{FIELDS, Field, RANKED, TICKER_RANK, UPPER_T};
use crate::engine::input::malformed::Malformed;

/// The rank of a field of which no value could be read.
const NEVER: u8 = u8::MAX;

/// By field.
pub(super) struct Found {
    /// The lowest rank whose value could be read.
    ranks: [u8; FIELDS],
    /// The ranks whose values could not be read, a bit each.
    unread: [u16; RANKED],
    /// A bit for each field: one of those says something all the same, as it is not null, nor `""` for a quote's price.
    wrong: u16,
    /// A bit for each field: the price that was taken has no decimal point, though this is a raw Databento record.
    without_point: u16,
}

impl Default for Found {
    fn default() -> Self {
        Found { ranks: [NEVER; FIELDS], unread: [0; RANKED], wrong: 0, without_point: 0 }
    }
}

impl Found {
    /// A value of `rank` can be read: whether it is to be taken.
    #[inline(always)]
    pub fn is_best(&mut self, field: Field, rank: u8) -> bool {
        let best = &mut self.ranks[field as usize];
        let is_best = rank <= *best;
        if is_best {
            *best = rank;
        }
        is_best
    }

    /// Whether a value of `rank` would be taken.
    #[inline]
    pub fn would_be_best(&self, field: Field, rank: u8) -> bool {
        rank <= self.ranks[field as usize]
    }

    /// The price of a raw Databento record that has been taken has a decimal point, or has none.
    pub fn note_point(&mut self, field: Field, has_point: bool) {
        let bit = 1 << field as u8;
        self.without_point = if has_point { self.without_point & !bit } else { self.without_point | bit };
    }

    /// A value that cannot be read, with which `payload` ends. False: the same name has been met before, and what that
    /// meant cannot be told.
    #[inline(never)]
    pub fn note_unread(&mut self, field: Field, rank: u8, payload: &[u8]) -> bool {
        let (field, rank) = match field {
            Field::SizeOrTicker => (Field::Size, TICKER_RANK),
            Field::TimeOrType => (Field::TsExchange, UPPER_T),
            _ => (field, rank),
        };
        let bit = 1 << rank;
        let is_repeated = self.ranks[field as usize] == rank || self.unread[field as usize] & bit != 0;
        self.unread[field as usize] |= bit;
        let says_nothing = payload.ends_with(b"null")
            || !matches!(field, Field::TsExchange | Field::TsRecv) && ends_with_text(payload, b"\"\"");
        self.wrong |= u16::from(!says_nothing) << field as u8;
        !is_repeated
    }

    #[inline]
    pub fn is_read(&self, field: Field) -> bool {
        self.ranks[field as usize] != NEVER
    }

    /// Whether one of its names was there, whatever its value.
    pub fn is_named(&self, field: Field) -> bool {
        self.is_read(field) || self.unread[field as usize] != 0
    }

    /// Whether it was said, but so that it cannot be read.
    #[inline]
    pub fn is_unreadable(&self, field: Field) -> bool {
        self.wrong != 0 && self.wrong & 1 << field as u8 != 0 && !self.is_read(field)
    }

    /// Whether any price that was taken has no decimal point, though this is a raw Databento record.
    #[inline]
    pub fn is_fixed_point(&self) -> bool {
        self.without_point != 0
    }

    /// What an event cannot do without: why it cannot be used, as `name`.
    #[inline]
    pub fn required(&self, field: Field, name: &'static str) -> Result<(), Malformed> {
        match self.is_read(field) && self.without_point & 1 << field as u8 == 0 {
            true => Ok(()),
            false => Err(self.fault(field, name)),
        }
    }

    #[cold]
    fn fault(&self, field: Field, name: &'static str) -> Malformed {
        match () {
            () if self.is_read(field) => Malformed::FixedPoint(name),
            () if self.is_named(field) => Malformed::Unreadable(name),
            () => Malformed::Missing(name),
        }
    }
}

/// Whether `payload` ends with the string `text`, which has its quotes. A quote with a backslash before it is none.
pub(super) fn ends_with_text(payload: &[u8], text: &[u8]) -> bool {
    payload.strip_suffix(text).is_some_and(|before| before.last() != Some(&b'\\'))
}
