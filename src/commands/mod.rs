//! The commands of the command line, one file each (`run`, `demo`, `feed`, `record`, `replay`, `generate`, `bench`, `check`):
//! what they read, run and print.
//! In: checked settings. Out: an exit, with one line of cause where it failed.
//! Invariant: what a command needs is reserved before it says that it works.
//! Imported by `main` alone.

pub mod bench;
pub mod check;
pub mod demo;
pub mod feed;
pub mod generate;
pub mod record;
pub mod replay;
pub mod run;
