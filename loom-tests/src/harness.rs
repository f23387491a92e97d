//! Start line, census, payload.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread::ThreadId;
use std::collections::BTreeSet;
use std::sync::Mutex;

/// An atomic that every thread of a model changes first, so that loom sees them race from then on.
#[derive(Clone)]
pub struct StartLine(Arc<AtomicU32>);

impl StartLine {
    /// A start line nobody has crossed.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(AtomicU32::new(0)))
    }

    /// Runs `body` on a thread of its own that crosses the line first.
    pub fn spawn<R: 'static>(&self, body: impl FnOnce() -> R + 'static) -> loom::thread::JoinHandle<R> {
        let line = self.clone();
        loom::thread::spawn(move || {
            line.cross();
            body()
        })
    }

    /// Crosses the line, for the thread that the model began with.
    pub fn cross(&self) {
        // Relaxed: the line must order nothing, or it would hide what the protocols fail to order.
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Default for StartLine {
    fn default() -> Self {
        Self::new()
    }
}

/// Explores every interleaving of `model` within the bounds, and demands that its outcomes are exactly those expected.
///
/// # Panics
/// If a run fails, or an outcome is missing or unexpected.
pub fn explore(expected: &[&'static str], model: impl Fn() -> &'static str + Send + Sync + 'static) {
    let seen = std::sync::Arc::new(Mutex::new(BTreeSet::new()));
    let runs = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (census, count) = (seen.clone(), runs.clone());
    loom::model(move || {
        let outcome = model();
        census.lock().unwrap().insert(outcome);
        // Relaxed: loom runs one thread at a time.
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    let expected: BTreeSet<_> = expected.iter().copied().collect();
    assert_eq!(*seen.lock().unwrap(), expected, "the census of outcomes");
    // Libtest names a test's thread after the test; `counts.sh` collects these lines.
    println!("explored {} {}", std::thread::current().name().unwrap_or("?"), runs.load(std::sync::atomic::Ordering::Relaxed));
}

/// Data that a protocol hands over: reading or destroying it without a happens-before edge is reported by loom.
#[derive(Debug)]
pub struct Payload {
    number: UnsafeCell<u32>,
    watch: Watch,
}

// SAFETY: sharing it is what the models try: loom reports every access that a protocol fails to order.
unsafe impl Sync for Payload {}

/// What a destroyed payload holds.
const DEAD: u32 = u32::MAX;

impl Payload {
    /// A payload that holds `number`.
    #[must_use]
    pub fn new(number: u32) -> Self {
        Self::watched(number).0
    }

    /// A payload, and what tells who destroyed it.
    #[must_use]
    pub fn watched(number: u32) -> (Self, Watch) {
        let watch = Watch::default();
        (Self { number: UnsafeCell::new(number), watch: watch.clone() }, watch)
    }

    /// Changes the number.
    pub fn set(&self, number: u32) {
        // SAFETY: loom reports any access that is not ordered with this one.
        self.number.with_mut(|cell| unsafe { *cell = number });
    }

    /// The number.
    ///
    /// # Panics
    /// If the payload was destroyed.
    #[must_use]
    pub fn get(&self) -> u32 {
        // SAFETY: loom reports any change that is not ordered with this read.
        let number = self.number.with(|cell| unsafe { *cell });
        assert_ne!(number, DEAD, "read after its destruction");
        number
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        assert_ne!(self.get(), DEAD, "destroyed twice");
        self.set(DEAD);
        *self.watch.0.lock().unwrap() = Some(loom::thread::current().id());
    }
}

/// Tells which thread destroyed a payload. Outside the model: looking orders nothing.
#[derive(Clone, Debug, Default)]
pub struct Watch(std::sync::Arc<Mutex<Option<ThreadId>>>);

impl Watch {
    /// The thread that destroyed the payload, if one did by now.
    #[must_use]
    pub fn destroyed_by(&self) -> Option<ThreadId> {
        *self.0.lock().unwrap()
    }
}
