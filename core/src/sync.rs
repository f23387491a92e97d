//! The one door to atomics, cells, shared pointers and futexes: std's, or loom's when the crate is built to be
//! model-checked (`--cfg loom`). No other module names `std::sync::atomic` or `UnsafeCell`.

#[cfg(not(loom))]
mod real;
#[cfg(not(loom))]
use real as imp;

#[cfg(loom)]
mod model;
#[cfg(loom)]
use model as imp;

pub use imp::{Arc, AtomicPtr, AtomicU32, AtomicU64, Deadline, Futex, Ordering, UnsafeCell};

pub(crate) use imp::{destroy_box, mutant, weaken, weaken_to};
