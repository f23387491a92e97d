//! The facade as production code sees it.

pub use super::cell::UnsafeCell;
pub use std::sync::Arc;
pub use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Whether a deliberately broken variant is chosen: never outside the model checker.
#[inline(always)]
pub(crate) const fn mutant(_name: &str) -> bool {
    false
}

/// The ordering as written: only the model checker weakens one.
#[inline(always)]
pub(crate) const fn weaken(_mutant: &str, order: Ordering) -> Ordering {
    order
}

/// The same for an ordering of which the model checker takes away one half.
#[inline(always)]
pub(crate) const fn weaken_to(_mutant: &str, order: Ordering, _weaker: Ordering) -> Ordering {
    order
}

/// Destroys a box.
///
/// # Safety
/// `pointer` came from [`Box::into_raw`] or [`Box::leak`], and nobody uses it again.
pub(crate) unsafe fn destroy_box<T>(pointer: *mut T) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(pointer) });
}

/// The end of a timed wait.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// The moment `patience` from now; one that lies beyond what the clock can say never comes.
    #[must_use]
    pub fn after(patience: Duration) -> Self {
        Self(Instant::now().checked_add(patience))
    }

    /// The time left, or `None` for a deadline that never comes.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.0.map(|end| end.saturating_duration_since(Instant::now()))
    }
}

/// A 32-bit word that threads can sleep on while it keeps a value.
#[derive(Debug)]
pub struct Futex(AtomicU32);

impl Futex {
    /// A word that holds `value`.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    /// The word itself.
    #[inline(always)]
    pub fn word(&self) -> &AtomicU32 {
        &self.0
    }

    /// Sleeps while the word holds `expected`, until woken. May return for no reason.
    pub fn wait(&self, expected: u32) {
        atomic_wait::wait(&self.0, expected);
    }

    /// The same, but not beyond `deadline`. Answers false only if the deadline has passed.
    pub fn wait_until(&self, expected: u32, deadline: &Deadline) -> bool {
        match deadline.left() {
            None => atomic_wait::wait(&self.0, expected),
            Some(Duration::ZERO) => return false,
            Some(left) => wait_for(&self.0, expected, left),
        }
        true
    }

    /// Wakes one sleeper, if there is one.
    pub fn wake_one(&self) {
        atomic_wait::wake_one(&raw const self.0);
    }

    /// Wakes every sleeper.
    pub fn wake_all(&self) {
        atomic_wait::wake_all(&raw const self.0);
    }
}

/// Sleeps at most `left`. Private to the process, as `atomic_wait` is: a wake-up reaches only sleepers of its kind.
#[cfg(target_os = "linux")]
fn wait_for(word: &AtomicU32, expected: u32, left: Duration) {
    use rustix::thread::futex;
    match futex::Timespec::try_from(left) {
        // Woken, interrupted, timed out or the word differs: the caller looks again in every case.
        Ok(left) => drop(futex::wait(word, futex::Flags::PRIVATE, expected, Some(&left))),
        Err(_) => atomic_wait::wait(word, expected),
    }
}

/// Elsewhere no portable futex takes a timeout: naps of at most a millisecond stand in for it.
#[cfg(not(target_os = "linux"))]
fn wait_for(word: &AtomicU32, expected: u32, left: Duration) {
    // Acquire: pairs with the Release of whoever changed the word, as every look of a sleeper does.
    if word.load(Ordering::Acquire) == expected {
        std::thread::sleep(left.min(Duration::from_millis(1)));
    }
}
