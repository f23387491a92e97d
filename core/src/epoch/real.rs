//! The collector as production code uses it.

use crate::sync::{destroy_box, mutant};
use crossbeam_epoch::{Collector, LocalHandle};
use std::sync::Arc;

/// A domain of deferred destruction, shared by the caches whose values are read under the same guards.
#[derive(Clone, Debug)]
pub struct Epoch {
    collector: Collector,
    /// Its address tells epochs apart. Not zero-sized: two allocations of nothing may share an address.
    identity: Arc<u8>,
}

impl Default for Epoch {
    fn default() -> Self {
        Self::new()
    }
}

impl Epoch {
    /// A domain of its own.
    #[must_use]
    pub fn new() -> Self {
        Self { collector: Collector::new(), identity: Arc::new(0) }
    }

    /// Registers the calling thread. Once per thread is enough; it allocates.
    #[must_use]
    pub fn register(&self) -> EpochThread {
        EpochThread { handle: self.collector.register(), epoch: self.clone() }
    }

    /// What a guard of this epoch carries.
    #[inline(always)]
    pub(crate) fn identity(&self) -> *const u8 {
        Arc::as_ptr(&self.identity)
    }
}

/// A thread's registration with an [`Epoch`]: neither `Send` nor `Sync`.
#[derive(Debug)]
pub struct EpochThread {
    handle: LocalHandle,
    epoch: Epoch,
}

impl EpochThread {
    /// Protects what is looked up from now on until the guard drops. Hold it for a look-up, not for I/O.
    #[inline]
    #[must_use]
    pub fn pin(&self) -> Guard<'_> {
        Guard { guard: self.handle.pin(), identity: self.epoch.identity(), _thread: std::marker::PhantomData }
    }
}

/// Keeps what is looked up under it alive.
pub struct Guard<'t> {
    guard: crossbeam_epoch::Guard,
    /// The epoch's address. Cannot dangle into another epoch's: the thread's registration, borrowed, keeps it.
    identity: *const u8,
    _thread: std::marker::PhantomData<&'t EpochThread>,
}

impl Guard<'_> {
    #[inline(always)]
    pub(crate) fn identity(&self) -> *const u8 {
        self.identity
    }

    /// Destroys the box at `unlinked` once every guard alive now is gone.
    ///
    /// # Safety
    /// `unlinked` came from `Box::into_raw`, no look-up that begins from now on can find it, it is deferred once, and
    /// every reader of it holds a guard of this epoch.
    pub(crate) unsafe fn defer_destroy<T: Send + 'static>(&self, unlinked: *mut T) {
        let unlinked = Unlinked(unlinked);
        if mutant("epoch-destroy-at-once") {
            // SAFETY: none, that is the mutant: a reader may hold it.
            unsafe { destroy_box(unlinked.0) };
            return;
        }
        // SAFETY: the closure owns the box and runs once, on any thread, after every guard that could reach it.
        unsafe {
            self.guard.defer_unchecked(move || {
                let unlinked: Unlinked<T> = unlinked;
                destroy_box(unlinked.0);
            });
        }
    }

    /// Hands deferred destructions of this thread to the collector and lets it run those whose time has come.
    pub fn flush(&self) {
        self.guard.flush();
    }
}

/// An unlinked box on its way to whichever thread collects.
struct Unlinked<T>(*mut T);

// SAFETY: the pointer stands for the ownership of a `T: Send`.
unsafe impl<T: Send> Send for Unlinked<T> {}

/// The owner's registration, which moves with the owner.
#[derive(Debug)]
pub(crate) struct OwnerThread(EpochThread);

// SAFETY: a `LocalHandle` is a pointer to the participant's record, which holds cells but nothing of the thread that
// made it, and every method here takes `&mut self` and drops its guard before it returns; so whichever thread owns the
// value uses the record alone, and moving the value orders one thread's use before the other's.
unsafe impl Send for OwnerThread {}

impl OwnerThread {
    pub(crate) fn new(epoch: &Epoch) -> Self {
        Self(epoch.register())
    }

    /// Runs `f` under a guard, which cannot leave it.
    pub(crate) fn pinned<R>(&mut self, f: impl FnOnce(&Guard<'_>) -> R) -> R {
        f(&self.0.pin())
    }
}
