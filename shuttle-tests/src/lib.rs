//! What the tests of `tests/schedules`, and those of the engine's prefetcher, have in common. Empty unless built with
//! `--cfg shuttle`; `run.sh` does that.
//!
//! Loom proves small models whole. Shuttle runs what is too large for that: the whole cache with all its threads at
//! once, under schedules that it draws at random, each of which can be run again. It runs atomics in one order, so it
//! says nothing of orderings: that is loom's part.

#[cfg(shuttle)]
mod harness;
#[cfg(shuttle)]
pub use harness::{Ledger, Tracked, explore, mark, pick, toss};
