//! Another try for what failed in passing (C38).

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::counters::{StoreStats, add};
use super::timer::{Clock, DelayQueue, Fired};
use super::{CostModel, FetchDone, Now, ObjectKey, ReadDone, Span, Store, StoreError};
use crate::random::Random;

/// When to try again, and when to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Longest wait before the second try; it doubles with each further one.
    pub first_backoff: Duration,
    /// Longest wait before any try.
    pub max_backoff: Duration,
    /// No try begins later than this after the request.
    pub deadline: Duration,
}

impl Default for RetryPolicy {
    /// 50 ms, doubling up to 5 s, for at most 60 s.
    fn default() -> Self {
        let (first_backoff, max_backoff) = (Duration::from_millis(50), Duration::from_secs(5));
        Self { first_backoff, max_backoff, deadline: Duration::from_secs(60) }
    }
}

/// A store that tries again after transient errors.
///
/// The wait before try n + 1 is drawn evenly from the upper half of `min(max_backoff, first_backoff * 2^(n-1))`, so that
/// those who failed together do not come back together. Every other answer is passed on at once.
#[derive(Debug)]
pub struct Retry(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    // Goes first, as in `Latency`.
    queue: DelayQueue,
    inner: Arc<dyn Store>,
    policy: RetryPolicy,
    random: Random,
    retries: AtomicU64,
}

/// The tries that a request has had.
#[derive(Clone, Copy)]
struct Tries {
    failed: u32,
    begun: Duration,
}

impl Retry {
    /// Wraps `inner`. The same `seed` gives the same jitter.
    ///
    /// # Errors
    /// The thread of the delays could not be started.
    pub fn new(inner: Arc<dyn Store>, policy: RetryPolicy, seed: u64, clock: Clock) -> io::Result<Self> {
        let (queue, random) = (DelayQueue::new(clock)?, Random::new(seed));
        Ok(Self(Arc::new(Shared { queue, inner, policy, random, retries: AtomicU64::new(0) })))
    }
}

// Callbacks hold `Shared` weakly: the store below keeps them, and `Shared` keeps the store below.
impl Shared {
    fn fetch(self: &Arc<Self>, tries: Tries, key: ObjectKey, span: Span, limit: u64, done: FetchDone) {
        let (weak, same_key) = (Arc::downgrade(self), Arc::clone(&key));
        let answered = move |answer| match answer {
            Err(error @ StoreError::Transient(_)) => again(&weak, tries, error, move |go| match go {
                Ok((shared, tries)) => shared.fetch(tries, same_key, span, limit, done),
                Err(error) => done(Err(error)),
            }),
            answer => done(answer),
        };
        self.inner.fetch(key, span, limit, Box::new(answered));
    }

    fn read(self: &Arc<Self>, tries: Tries, key: ObjectKey, offset: u64, into: Vec<u8>, done: ReadDone) {
        let (weak, same_key) = (Arc::downgrade(self), Arc::clone(&key));
        let answered = move |buffer, answer| match answer {
            Err(error @ StoreError::Transient(_)) => again(&weak, tries, error, move |go| match go {
                Ok((shared, tries)) => shared.read(tries, same_key, offset, buffer, done),
                Err(error) => done(buffer, Err(error)),
            }),
            answer => done(buffer, answer),
        };
        self.inner.read(key, offset, into, Box::new(answered));
    }

    fn first_try(&self) -> Tries {
        Tries { failed: 0, begun: self.queue.now() }
    }

    /// How long to wait after one more failure; `None`: the deadline comes before the next try.
    fn backoff(&self, tries: Tries) -> Option<Duration> {
        let doubled = self.policy.first_backoff.saturating_mul(1_u32.checked_shl(tries.failed - 1).unwrap_or(u32::MAX));
        let delay = doubled.min(self.policy.max_backoff).mul_f64(0.5 + 0.5 * self.random.unit());
        let elapsed = self.queue.now().saturating_sub(tries.begun);
        (elapsed.saturating_add(delay) <= self.policy.deadline).then_some(delay)
    }

    fn exhausted(&self, error: &StoreError, tries: Tries) -> StoreError {
        let (words, deadline) = (error_words(error), self.policy.deadline);
        StoreError::Transient(format!("{words}; gave up after {} tries, the deadline is {deadline:?}", tries.failed).into())
    }
}

fn error_words(error: &StoreError) -> String {
    match error {
        StoreError::Transient(words) => words.to_string(),
        other => other.to_string(),
    }
}

/// Resumes a request that failed in passing: later, with what it needs to go again, or now, with the error to pass on.
fn again(
    weak: &Weak<Shared>,
    mut tries: Tries,
    error: StoreError,
    resume: impl FnOnce(Result<(&Arc<Shared>, Tries), StoreError>) + Send + 'static,
) {
    let Some(shared) = weak.upgrade() else { return resume(Err(StoreError::Cancelled)) };
    tries.failed = tries.failed.saturating_add(1);
    let Some(delay) = shared.backoff(tries) else { return resume(Err(shared.exhausted(&error, tries))) };
    let weak = Weak::clone(weak);
    let call = move |fired| match weak.upgrade().filter(|_| fired == Fired::Due) {
        Some(shared) => {
            add(&shared.retries, 1);
            resume(Ok((&shared, tries)));
        }
        None => resume(Err(StoreError::Cancelled)),
    };
    shared.queue.after(delay, Box::new(call));
}

/// Leaves transient errors to the waiting road, which tries again.
fn unless_transient(now: Now) -> Now {
    match now {
        Now::Done(Err(error)) if error.is_transient() => Now::WouldBlock,
        now => now,
    }
}

impl Store for Retry {
    fn fetch(&self, key: ObjectKey, span: Span, limit: u64, done: FetchDone) {
        self.0.fetch(self.0.first_try(), key, span, limit, done);
    }

    fn read(&self, key: ObjectKey, offset: u64, into: Vec<u8>, done: ReadDone) {
        self.0.read(self.0.first_try(), key, offset, into, done);
    }

    fn try_read_now(&self, key: &ObjectKey, offset: u64, into: &mut [u8]) -> Now {
        unless_transient(self.0.inner.try_read_now(key, offset, into))
    }

    fn try_read_whole_now(&self, key: &ObjectKey, limit: u64, into: &mut Vec<u8>) -> Now {
        unless_transient(self.0.inner.try_read_whole_now(key, limit, into))
    }

    fn size_now(&self, key: &ObjectKey) -> Option<Result<u64, StoreError>> {
        self.0.inner.size_now(key).filter(|size| !size.as_ref().is_err_and(StoreError::is_transient))
    }

    fn close(&self) {
        self.0.queue.cancel();
        self.0.inner.close();
    }

    fn cost(&self) -> CostModel {
        self.0.inner.cost()
    }

    fn stats(&self) -> StoreStats {
        let inner = self.0.inner.stats();
        // Relaxed: a counter.
        let retries = inner.retries + self.0.retries.load(Ordering::Relaxed);
        StoreStats { retries, in_flight: inner.in_flight + self.0.queue.len() as u64, ..inner }
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryStore;
    use super::super::timer::ManualClock;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn c38_the_wait_doubles_up_to_its_bound_with_jitter_in_its_upper_half() {
        let clock = ManualClock::new();
        let policy = RetryPolicy { first_backoff: 10 * MS, max_backoff: 80 * MS, deadline: 1000 * MS };
        let store = Retry::new(Arc::new(MemoryStore::new().unwrap()), policy, 1, Clock::Manual(Arc::clone(&clock))).unwrap();
        for (failed, longest) in [(1, 10), (2, 20), (3, 40), (4, 80), (5, 80), (40, 80), (u32::MAX, 80)] {
            let waits: Vec<_> =
                (0..200).map(|_| store.0.backoff(Tries { failed, begun: Duration::ZERO }).expect("before the deadline")).collect();
            assert!(waits.iter().all(|wait| (longest * MS / 2..=longest * MS).contains(wait)), "{failed}: {waits:?}");
            let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
            assert!(*most - *least > longest * MS / 4, "{failed}: jitter spreads them");
        }
        clock.advance(961 * MS);
        let late = Tries { failed: 4, begun: Duration::ZERO };
        assert_eq!(store.0.backoff(late), None, "40 ms at least do not fit any more");
        assert!(store.0.backoff(Tries { begun: 900 * MS, ..late }).is_some(), "the deadline counts from the request");
    }
}
