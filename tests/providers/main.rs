//! What a symbol is when several providers send it, trades that come twice, and symbols that fall silent (SPEC section 1,
//! "Duplicates", "Providers", and the end of "Event time"): a table of cases for each rule, at the borders of its bounds.

mod duplicates;
mod idle;
mod market;
mod modes;
