//! A side of a book: a list of levels, each an array or an object, or an object of sizes by price.

use crate::engine::input::event::{BookSide, Level, PRICE_END, SIZE_END};
use crate::engine::input::json::{Scanner, number_in_text};
use crate::engine::input::malformed::Malformed;
use crate::engine::input::unescape::{unescape, unescaped};

/// The names of a level's price and size, in the order in which they are taken.
const PRICE: [&[u8]; 3] = [b"price", b"px", b"p"];
const SIZE: [&[u8]; 6] = [b"size", b"amount", b"qty", b"quantity", b"sz", b"s"];

/// What became of a side: its grammar is checked in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SideOutcome {
    Read,
    /// A level cannot be read.
    Unreadable,
    /// A price has no decimal point, though this is a raw Databento record.
    FixedPoint,
}

/// A level, or why there is none.
type LevelOutcome = Result<Level, SideOutcome>;

/// The levels of the bids (else of the asks) into `levels`; a value starts that is an array or an object. With `RAW`
/// prices must have a decimal point.
pub(super) fn decode_side<const BIDS: bool, const RAW: bool>(
    side: &mut Scanner<'_>,
    levels: &mut BookSide,
) -> Result<SideOutcome, Malformed> {
    levels.clear();
    // A copy, which stays in registers.
    let mut scanner = *side;
    let mut outcome = SideOutcome::Read;
    let mut take = |level: LevelOutcome| match level {
        // A level of size 0 is not there.
        Ok(level) if level.size > 0.0 => levels.push::<BIDS>(level),
        Ok(_) => {}
        Err(fault) => outcome = fault,
    };
    if scanner.peek() == b'{' {
        scanner.apart(|scanner| decode_map::<RAW>(scanner, &mut take))?;
        *side = scanner;
        return Ok(outcome);
    }
    scanner.expect(b'[')?;
    if !scanner.take(b']') {
        loop {
            take(match scanner.peek() {
                b'[' => decode_level_array::<RAW>(&mut scanner)?,
                b'{' => scanner.apart(decode_level_object::<RAW>)?,
                _ => {
                    scanner.apart(Scanner::value)?;
                    Err(SideOutcome::Unreadable)
                }
            });
            if !scanner.take(b',') {
                break;
            }
        }
        scanner.expect(b']')?;
    }
    *side = scanner;
    Ok(outcome)
}

/// `[price, size, …]`; what follows the two is let pass.
#[inline(always)]
fn decode_level_array<const RAW: bool>(scanner: &mut Scanner<'_>) -> Result<LevelOutcome, Malformed> {
    scanner.expect(b'[')?;
    if scanner.take(b']') {
        return Ok(Err(SideOutcome::Unreadable));
    }
    let start = scanner.position();
    let price = scanner.decimal()?;
    let has_point = !RAW || scanner.bytes_since(start).contains(&b'.');
    if !scanner.take(b',') {
        scanner.expect(b']')?;
        return Ok(Err(SideOutcome::Unreadable));
    }
    let size = scanner.decimal()?;
    if !scanner.take(b']') {
        scanner.apart(Scanner::end_array)?;
    }
    Ok(level_of(price, has_point, size))
}

/// `{"price":…,"size":…}` in any order, under any of their names, with any other fields.
#[inline(never)]
fn decode_level_object<const RAW: bool>(scanner: &mut Scanner<'_>) -> Result<LevelOutcome, Malformed> {
    scanner.expect(b'{')?;
    if scanner.take(b'}') {
        return Ok(Err(SideOutcome::Unreadable));
    }
    // The last value of each name.
    let mut prices = [(f64::NAN, true); PRICE.len()];
    let mut sizes = [f64::NAN; SIZE.len()];
    loop {
        let key = scanner.key()?;
        let mut place = [0; 16];
        let key = if key.contains(&b'\\') { unescape(key, &mut place).unwrap_or_default() } else { key };
        if let Some(index) = PRICE.iter().position(|name| *name == key) {
            let start = scanner.position();
            let price = scanner.decimal()?;
            prices[index] = (price, !RAW || scanner.bytes_since(start).contains(&b'.'));
        } else if let Some(index) = SIZE.iter().position(|name| *name == key) {
            sizes[index] = scanner.decimal()?;
        } else {
            scanner.value()?;
        }
        if !scanner.take(b',') {
            break;
        }
    }
    scanner.expect(b'}')?;
    let price = prices.into_iter().find(|(price, _)| is_price(*price));
    let size = sizes.into_iter().find(|size| is_size(*size));
    let (price, has_point) = price.unwrap_or((f64::NAN, true));
    Ok(level_of(price, has_point, size.unwrap_or(f64::NAN)))
}

/// `{"price":size,…}`: every pair is a level.
#[inline(never)]
fn decode_map<const RAW: bool>(
    scanner: &mut Scanner<'_>,
    take: &mut impl FnMut(LevelOutcome),
) -> Result<(), Malformed> {
    scanner.expect(b'{')?;
    if scanner.take(b'}') {
        return Ok(());
    }
    loop {
        let key = scanner.key()?;
        let (price, has_point) =
            unescaped(key, |key| Some((number_in_text(key)?, !RAW || key.contains(&b'.')))).unwrap_or((f64::NAN, true));
        let size = scanner.decimal()?;
        take(level_of(price, has_point, size));
        if !scanner.take(b',') {
            return scanner.expect(b'}');
        }
    }
}

#[inline]
fn level_of(price: f64, has_point: bool, size: f64) -> LevelOutcome {
    match (is_price(price) && is_size(size), has_point) {
        (true, true) => Ok(Level { price, size }),
        (true, false) => Err(SideOutcome::FixedPoint),
        (false, _) => Err(SideOutcome::Unreadable),
    }
}

#[inline]
fn is_price(value: f64) -> bool {
    value > 0.0 && value < PRICE_END
}

#[inline]
fn is_size(value: f64) -> bool {
    (0.0..SIZE_END).contains(&value)
}
