//! What a symbol's state says at a moment, as one snapshot.
//! In: a symbol's state and a moment. Out: figures, or null where there is nothing to tell.
//! Invariant: no figure is made from what is too old or too little.
//! Imports `state`.

pub mod snapshot;
