//! The facade as a model checker sees it, and the mutants it must catch. Loom and shuttle have the same face: loom
//! explores small models whole and sees weak orderings; shuttle tries schedules of large ones, sequentially consistent.

#[cfg(loom)]
pub(crate) use loom as checker;
#[cfg(shuttle)]
pub(crate) use shuttle as checker;

#[cfg(shuttle)]
pub use super::cell::UnsafeCell;
#[cfg(loom)]
pub use loom::cell::UnsafeCell;

pub use checker::sync::Arc;
pub use checker::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use checker::sync::{Condvar, Mutex};
use std::time::Duration;

/// Whether the environment variable `LONGSHORE_MUTANT` chose this broken variant. Read once: one build serves every
/// mutant.
pub(crate) fn mutant(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("LONGSHORE_MUTANT").ok()).as_deref() == Some(name)
}

/// `Relaxed` if this mutant is chosen, else the ordering as written.
pub(crate) fn weaken(name: &str, order: Ordering) -> Ordering {
    if mutant(name) { Ordering::Relaxed } else { order }
}

/// `weaker` if this mutant is chosen, else the ordering as written.
pub(crate) fn weaken_to(name: &str, order: Ordering, weaker: Ordering) -> Ordering {
    if mutant(name) { weaker } else { order }
}

/// Destroys what is in a box and keeps its memory: whoever comes too late finds a destroyed value, whose use the model
/// reports, and not freed memory.
///
/// # Safety
/// As the real one.
pub(crate) unsafe fn destroy_box<T>(pointer: *mut T) {
    // SAFETY: the caller's promise.
    unsafe { std::ptr::drop_in_place(pointer) };
}

/// Time does not pass in a model: a timed wait times out at once, which a caller must bear at any moment anyway.
#[derive(Clone, Copy, Debug)]
pub struct Deadline;

impl Deadline {
    /// A deadline that has passed.
    #[must_use]
    pub fn after(_patience: Duration) -> Self {
        Self
    }

    /// No time is left.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

/// A futex made of the checker's mutex and condition variable: comparing and going to sleep are one step, as in the kernel.
#[derive(Debug)]
pub struct Futex {
    word: AtomicU32,
    bed: Mutex<()>,
    called: Condvar,
}

impl Futex {
    /// A word that holds `value`.
    #[must_use]
    pub fn new(value: u32) -> Self {
        Self { word: AtomicU32::new(value), bed: Mutex::new(()), called: Condvar::new() }
    }

    /// The word itself.
    pub fn word(&self) -> &AtomicU32 {
        &self.word
    }

    /// Sleeps while the word holds `expected`, until woken. May return for no reason.
    pub fn wait(&self, expected: u32) {
        let bed = self.bed.lock().unwrap();
        // Relaxed: the lock orders this look before or after a wake-up; what was published is acquired by the caller.
        if self.word.load(Ordering::Relaxed) == expected {
            drop(self.called.wait(bed).unwrap());
        }
    }

    /// Times out at once.
    pub fn wait_until(&self, _expected: u32, _deadline: &Deadline) -> bool {
        checker::thread::yield_now();
        false
    }

    /// Wakes one sleeper, if there is one.
    pub fn wake_one(&self) {
        let _bed = self.bed.lock().unwrap();
        self.called.notify_one();
    }

    /// Wakes every sleeper.
    pub fn wake_all(&self) {
        let _bed = self.bed.lock().unwrap();
        self.called.notify_all();
    }
}
