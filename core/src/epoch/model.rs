//! A stand-in for the collector under a model checker: it destroys what was deferred as soon as nobody is pinned.

use crate::sync::checker::sync::{Arc, Mutex};
use crate::sync::destroy_box;

type Deferred = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    pinned: usize,
    deferred: Vec<Deferred>,
}

struct Collector(Mutex<State>);

impl Drop for Collector {
    fn drop(&mut self) {
        let deferred = std::mem::take(&mut self.0.lock().unwrap().deferred);
        deferred.into_iter().for_each(|destroy| destroy());
    }
}

/// A domain of deferred destruction.
#[derive(Clone)]
pub struct Epoch(Arc<Collector>);

impl Default for Epoch {
    fn default() -> Self {
        Self::new()
    }
}

impl Epoch {
    /// A domain of its own.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Collector(Mutex::new(State::default()))))
    }

    /// Registers the calling thread.
    #[must_use]
    pub fn register(&self) -> EpochThread {
        EpochThread(self.clone())
    }

    pub(crate) fn identity(&self) -> *const u8 {
        Arc::as_ptr(&self.0).cast()
    }
}

/// A thread's registration with an [`Epoch`].
pub struct EpochThread(Epoch);

impl EpochThread {
    /// Protects what is looked up from now on until the guard drops.
    #[must_use]
    pub fn pin(&self) -> Guard<'_> {
        self.0.0.0.lock().unwrap().pinned += 1;
        Guard { epoch: &self.0 }
    }
}

/// Keeps what is looked up under it alive.
pub struct Guard<'t> {
    epoch: &'t Epoch,
}

impl Guard<'_> {
    pub(crate) fn identity(&self) -> *const u8 {
        self.epoch.identity()
    }

    /// Destroys the value at `unlinked` once nobody is pinned.
    ///
    /// # Safety
    /// As the real one.
    pub(crate) unsafe fn defer_destroy<T: Send + 'static>(&self, unlinked: *mut T) {
        struct Unlinked<T>(*mut T);
        // SAFETY: the pointer stands for the ownership of a `T: Send`.
        unsafe impl<T: Send> Send for Unlinked<T> {}
        let unlinked = Unlinked(unlinked);
        let destroy: Deferred = Box::new(move || {
            let unlinked: Unlinked<T> = unlinked;
            // SAFETY: the caller unlinked it, and every reader is gone.
            unsafe { destroy_box(unlinked.0) };
        });
        if crate::sync::mutant("epoch-destroy-at-once") {
            destroy();
        } else {
            self.epoch.0.0.lock().unwrap().deferred.push(destroy);
        }
    }

    /// Nothing to do: unpinning collects.
    pub fn flush(&self) {}
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let mut state = self.epoch.0.0.lock().unwrap();
        state.pinned -= 1;
        let due = if state.pinned == 0 { std::mem::take(&mut state.deferred) } else { Vec::new() };
        drop(state);
        due.into_iter().for_each(|destroy| destroy());
    }
}

/// The owner's registration, which moves with the owner.
pub(crate) struct OwnerThread(EpochThread);

impl OwnerThread {
    pub(crate) fn new(epoch: &Epoch) -> Self {
        Self(epoch.register())
    }

    pub(crate) fn pinned<R>(&mut self, f: impl FnOnce(&Guard<'_>) -> R) -> R {
        f(&self.0.pin())
    }
}
