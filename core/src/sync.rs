//! The one door to atomics, cells, shared pointers and futexes: std's, or a model checker's when the crate is built for
//! one (`--cfg loom`, `--cfg shuttle`). No other module names `std::sync::atomic` or `UnsafeCell`.

#[cfg(not(loom))]
mod cell;

#[cfg(not(any(loom, shuttle)))]
mod real;
#[cfg(not(any(loom, shuttle)))]
use real as imp;

#[cfg(any(loom, shuttle))]
mod model;
#[cfg(any(loom, shuttle))]
use model as imp;

pub use imp::{Arc, AtomicPtr, AtomicU32, AtomicU64, Deadline, Futex, Ordering, UnsafeCell};

pub(crate) use imp::{destroy_box, mutant, weaken, weaken_to};

/// The model checker that the crate is built for: what the collector's stand-in is made of.
#[cfg(all(any(loom, shuttle), not(crossbeam_loom)))]
pub(crate) use imp::checker;
