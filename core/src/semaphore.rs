//! A counting semaphore for a pool of workers, on one futex word.
//!
//! ```text
//! word = [closed:1 | sleepers:11 | permits:20]
//!
//! acquire   permits > 0               -> permits - 1, true          (also if closed: permits outlive the close)
//!           permits = 0, closed       -> false
//!           permits = 0               -> sleepers + 1, sleep while the word is unchanged, look again as a sleeper:
//!                                        permits > 0 -> permits - 1 and sleepers - 1 in one step
//! release n permits + n, then wake min(n, sleepers)
//! close     closed = 1, then wake all
//! ```
//!
//! Permits and sleepers share a word, so whoever releases sees every sleeper that has not seen the release: the
//! releaser's and the sleeper's read-modify-writes are ordered, and a sleeper whose word changed before it slept is
//! turned back by the futex. A permit taken by a passer-by sends the sleeper to sleep again, still counted.
//!
//! | operation | ordering | pairs with |
//! |---|---|---|
//! | release, close | Release | acquire: what was done before the release is seen by whoever takes the permit |
//! | acquire, when it takes | Acquire | release |
//!
//! Each loop ends because a failed compare-exchange means that another thread made progress.

use crate::sync::{Futex, Ordering, mutant, weaken};

const PERMIT_BITS: u32 = 20;
const ONE_SLEEPER: u32 = 1 << PERMIT_BITS;
const PERMITS: u32 = ONE_SLEEPER - 1;
const CLOSED: u32 = 1 << 31;
const SLEEPERS: u32 = CLOSED - 1 - PERMITS;

/// A counting semaphore that can be closed.
#[derive(Debug)]
pub struct Semaphore {
    word: Futex,
}

impl Semaphore {
    /// The greatest number of permits that can wait to be taken.
    pub const MAX_PERMITS: u32 = PERMITS;

    /// The greatest number of threads that can sleep at once.
    pub const MAX_SLEEPERS: u32 = SLEEPERS >> PERMIT_BITS;

    /// A semaphore with `permits`.
    ///
    /// # Panics
    /// If that exceeds [`Self::MAX_PERMITS`].
    #[must_use]
    pub fn new(permits: u32) -> Self {
        assert!(permits <= Self::MAX_PERMITS, "a semaphore holds at most {} permits", Self::MAX_PERMITS);
        Self { word: Futex::new(permits) }
    }

    /// Adds `n` permits and wakes up to `n` sleepers.
    ///
    /// # Panics
    /// If more than [`Self::MAX_PERMITS`] would wait to be taken.
    pub fn release(&self, n: u32) {
        let before = self.change(weaken("semaphore-release-relaxed", Ordering::Release), |word| {
            let permits = u64::from(word & PERMITS) + u64::from(n);
            assert!(permits <= u64::from(PERMITS), "a semaphore holds at most {PERMITS} permits, {permits} asked");
            Some(word + n)
        });
        let sleepers = before.map_or(0, |word| (word & SLEEPERS) >> PERMIT_BITS);
        if mutant("semaphore-no-wake") {
            return;
        }
        if n >= sleepers && sleepers > 1 {
            self.word.wake_all();
        } else {
            (0..n.min(sleepers)).for_each(|_| self.word.wake_one());
        }
    }

    /// Takes a permit if there is one.
    #[must_use]
    pub fn try_acquire(&self) -> bool {
        self.change(weaken("semaphore-acquire-relaxed", Ordering::Acquire), |word| (word & PERMITS > 0).then(|| word - 1)).is_some()
    }

    /// Takes a permit, sleeping until there is one. Answers false once the semaphore is closed and no permit is left.
    ///
    /// # Panics
    /// If more than [`Self::MAX_SLEEPERS`] threads would sleep.
    #[must_use]
    pub fn acquire(&self) -> bool {
        let mut counted = 0; // what this thread added to the word as a sleeper
        loop {
            // Relaxed: the compare-exchange below orders.
            let word = self.word.word().load(Ordering::Relaxed);
            let (next, answer) = if word & PERMITS > 0 {
                (word - 1 - counted, Some(true))
            } else if word & CLOSED != 0 {
                (word - counted, Some(false))
            } else if counted > 0 {
                self.word.wait(word);
                continue;
            } else {
                assert!(word & SLEEPERS != SLEEPERS, "at most {} threads sleep on a semaphore", Self::MAX_SLEEPERS);
                (word + ONE_SLEEPER, None)
            };
            // Acquire on success: pairs with the Release of `release`. Relaxed on failure: another look follows.
            let acquire = weaken("semaphore-acquire-relaxed", Ordering::Acquire);
            if self.word.word().compare_exchange(word, next, acquire, Ordering::Relaxed).is_ok() {
                match answer {
                    Some(answer) => return answer,
                    None => counted = ONE_SLEEPER,
                }
            }
        }
    }

    /// Wakes every sleeper for good: once the permits are taken, [`acquire`](Self::acquire) answers false.
    pub fn close(&self) {
        // Release: pairs with the Acquire of the acquirers that answer false.
        self.word.word().fetch_or(CLOSED, weaken("semaphore-close-relaxed", Ordering::Release));
        if !mutant("semaphore-close-no-wake") {
            self.word.wake_all();
        }
    }

    /// Whether the semaphore was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release of `close`.
        self.word.word().load(Ordering::Acquire) & CLOSED != 0
    }

    /// Changes the word by `step`, unless that answers `None`. Answers the word before.
    fn change(&self, success: Ordering, step: impl Fn(u32) -> Option<u32>) -> Option<u32> {
        // Relaxed: the compare-exchange orders, and checks that the word is still this one.
        let mut word = self.word.word().load(Ordering::Relaxed);
        loop {
            match self.word.word().compare_exchange(word, step(word)?, success, Ordering::Relaxed) {
                Ok(before) => return Some(before),
                Err(now) => word = now,
            }
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn permits_are_counted() {
        let semaphore = Semaphore::new(1);
        assert!(semaphore.try_acquire());
        assert!(!semaphore.try_acquire());
        semaphore.release(2);
        assert!(semaphore.acquire() && semaphore.acquire());
        assert!(!semaphore.try_acquire());
    }

    #[test]
    fn c22_close_wakes_every_worker_and_leaves_permits_takeable() {
        let semaphore = Arc::new(Semaphore::new(0));
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let semaphore = semaphore.clone();
                std::thread::spawn(move || {
                    let mut taken = 0;
                    while semaphore.acquire() {
                        taken += 1;
                    }
                    taken
                })
            })
            .collect();
        for _ in 0..10_000 {
            semaphore.release(3);
        }
        semaphore.close();
        assert_eq!(workers.into_iter().map(|worker| worker.join().unwrap()).sum::<u32>(), 30_000);
        assert!(semaphore.is_closed());
        assert_eq!(semaphore.word.word().load(Ordering::Relaxed), CLOSED, "no sleeper and no permit is left");
    }

    #[test]
    fn c22_a_slow_trickle_wakes_one_worker_each() {
        let semaphore = Arc::new(Semaphore::new(0));
        let taken = Arc::new(AtomicU64::new(0));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let (semaphore, taken) = (semaphore.clone(), taken.clone());
                std::thread::spawn(move || {
                    while semaphore.acquire() {
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for round in 1..=2_000 {
            semaphore.release(1);
            while taken.load(Ordering::Relaxed) < round {
                std::thread::yield_now(); // would never end if a wake-up were lost
            }
        }
        semaphore.close();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    }

    #[test]
    fn c18_too_many_permits_are_refused_and_change_nothing() {
        let semaphore = Semaphore::new(Semaphore::MAX_PERMITS);
        let release = std::panic::AssertUnwindSafe(|| semaphore.release(1));
        assert!(std::panic::catch_unwind(release).is_err());
        assert_eq!(semaphore.word.word().load(Ordering::Relaxed), PERMITS);
    }
}
