//! When it is safe to destroy what a reader may hold.
//!
//! A reader pins ([`EpochThread::pin`]) around each look-up, never around I/O. Whoever unlinks a value defers its
//! destruction, and it is destroyed once every guard that was alive at that moment is gone. The collector is a private
//! `crossbeam_epoch::Collector`: with the global one, a thread of some other library that sleeps while pinned would
//! hold our values. Under a model checker (`--cfg loom`, `--cfg shuttle`) a stand-in takes its place that destroys when nobody
//! is pinned; with `--cfg crossbeam_loom` besides, loom's models run the real one.
//!
//! Several caches may share one [`Epoch`]; a thread registers once. A guard works for the caches of its epoch only,
//! which each look-up asserts.

#[cfg(any(not(any(loom, shuttle)), crossbeam_loom))]
mod real;
#[cfg(any(not(any(loom, shuttle)), crossbeam_loom))]
use real as imp;

#[cfg(all(any(loom, shuttle), not(crossbeam_loom)))]
mod model;
#[cfg(all(any(loom, shuttle), not(crossbeam_loom)))]
use model as imp;

pub(crate) use imp::OwnerThread;
pub use imp::{Epoch, EpochThread, Guard};
