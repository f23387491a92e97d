//! The bell: many ringers wake one sleeper, and no ring is lost.
//!
//! ```text
//! word = [sequence:31 | asleep:1]
//!
//!            ring: +2                                     ring: +2, then wake
//!          .---------.                                  .---------.
//!          v         |        wait: CAS t -> t | 1      v         |
//!      [ awake, s ] -'------------------------------> [ asleep, s ]
//!          ^                                                |
//!          '------ the sleeper: the word moved on, &= !1 <--'
//! ```
//!
//! The sleeper: `t = listen()`; look for work; if there is none, `wait(t)`; look again. A ring either precedes the
//! compare-exchange in the word's modification order, which then fails because the sequence moved, or follows it, sees
//! the asleep bit and wakes. There is no third case, so a ring after `listen` is never missed. Only the sleeper clears
//! the asleep bit: if ringers did, one could clear it for a later sleep and leave the sleeper spinning.
//!
//! The sequence wraps after 2^31 rings; a ring would be missed only if exactly that many fell between one `listen` and
//! its `wait`.
//!
//! | operation | ordering | pairs with |
//! |---|---|---|
//! | `ring`: fetch_add | Release | the Acquire of `listen` and of waking up: what was done before the ring is seen |
//! | `listen`: load | Acquire | `ring` |
//! | `wait`: compare-exchange | Acquire on failure | `ring`: the caller goes on to look for work |
//! | `wait`: clearing bit 0 | Acquire | `ring` |

use crate::sync::{Deadline, Futex, Ordering, mutant, weaken};
use std::time::Duration;

const ASLEEP: u32 = 1;
const ONE_RING: u32 = 2;

/// What many threads ring and one thread sleeps on.
#[derive(Debug)]
pub struct Bell {
    word: Futex,
}

/// What the sleeper heard last: proof that it listened before it looked for work.
#[derive(Clone, Copy, Debug)]
#[must_use = "a ticket does nothing until it is waited with"]
pub struct Ticket(u32);

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}

impl Bell {
    /// A bell that nobody has rung.
    #[must_use]
    pub fn new() -> Self {
        Self { word: Futex::new(0) }
    }

    /// Wakes the sleeper, or keeps it from falling asleep if it listened before this. Never blocks; costs one atomic
    /// addition while the sleeper is awake.
    #[inline]
    pub fn ring(&self) {
        // Release: pairs with the Acquire of `listen` and of `wait`.
        let before = self.word.word().fetch_add(ONE_RING, weaken("bell-ring-relaxed", Ordering::Release));
        if before & ASLEEP != 0 && !mutant("bell-no-wake") {
            self.word.wake_one();
        }
    }

    /// The sleeper's first step: whatever rings from now on ends the [`wait`](Self::wait) for this ticket.
    ///
    /// # Panics
    /// If another thread sleeps on this bell: a bell has one sleeper.
    #[inline]
    pub fn listen(&self) -> Ticket {
        // Acquire: pairs with the Release of `ring`; the work announced by the rings heard so far is visible.
        let heard = self.word.word().load(weaken("bell-listen-relaxed", Ordering::Acquire));
        assert!(heard & ASLEEP == 0, "a bell has one sleeper, and it is asleep");
        Ticket(heard)
    }

    /// Sleeps until the bell is rung after `ticket` was drawn; at once if it was already.
    pub fn wait(&self, ticket: Ticket) {
        if !self.fall_asleep(ticket) {
            return;
        }
        loop {
            self.word.wait(ticket.0 | ASLEEP);
            // Relaxed: `wake_up` acquires.
            if self.word.word().load(Ordering::Relaxed) != ticket.0 | ASLEEP {
                break;
            }
        }
        self.wake_up();
    }

    /// The same for at most `patience`. Answers whether the bell was rung.
    pub fn wait_timeout(&self, ticket: Ticket, patience: Duration) -> bool {
        if !self.fall_asleep(ticket) {
            return true;
        }
        let deadline = Deadline::after(patience);
        // Relaxed: `wake_up` acquires.
        while self.word.word().load(Ordering::Relaxed) == ticket.0 | ASLEEP {
            if !self.word.wait_until(ticket.0 | ASLEEP, &deadline) {
                break;
            }
        }
        // A ring that came together with the deadline counts.
        self.wake_up() != ticket.0 | ASLEEP
    }

    /// Sets the asleep bit unless the bell was rung since the ticket was drawn.
    fn fall_asleep(&self, ticket: Ticket) -> bool {
        // Relaxed on success: the value equals the ticket's, which `listen` acquired. Acquire on failure: pairs with
        // the Release of the ring that made it fail.
        let asleep = ticket.0 | ASLEEP;
        let acquire = weaken("bell-refuse-relaxed", Ordering::Acquire);
        self.word.word().compare_exchange(ticket.0, asleep, Ordering::Relaxed, acquire).is_ok()
    }

    /// Clears the asleep bit; answers the word as it was. Only the sleeper calls this.
    fn wake_up(&self) -> u32 {
        // Acquire: pairs with the Release of the rings that woke this thread.
        self.word.word().fetch_and(!ASLEEP, weaken("bell-wake-relaxed", Ordering::Acquire))
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn c22_a_ring_after_listening_is_never_missed() {
        let bell = Bell::new();
        let ticket = bell.listen();
        bell.ring();
        bell.wait(ticket); // would hang if the ring were lost
        let ticket = bell.listen();
        assert!(!bell.wait_timeout(ticket, Duration::from_millis(1)), "nobody rang");
        let ticket = bell.listen();
        bell.ring();
        assert!(bell.wait_timeout(ticket, Duration::from_secs(3600)));
    }

    #[test]
    fn c22_a_timed_sleeper_is_woken_by_a_ring() {
        let bell = Arc::new(Bell::new());
        let ticket = bell.listen();
        let ringer = std::thread::spawn({
            let bell = bell.clone();
            move || {
                // Ring a sleeper, not a wait that has yet to begin: the asleep bit says so.
                while bell.word.word().load(Ordering::Relaxed) & ASLEEP == 0 {
                    std::thread::yield_now();
                }
                bell.ring();
            }
        });
        assert!(bell.wait_timeout(ticket, Duration::from_secs(3600)));
        ringer.join().unwrap();
    }

    #[test]
    fn c22_many_ringers_leave_nothing_unseen() {
        const RINGERS: u64 = 4;
        const RINGS: u64 = 20_000;
        let bell = Arc::new(Bell::new());
        let work = Arc::new(AtomicU64::new(0));
        let ringers: Vec<_> = (0..RINGERS)
            .map(|_| {
                let (bell, work) = (bell.clone(), work.clone());
                std::thread::spawn(move || {
                    for _ in 0..RINGS {
                        work.fetch_add(1, Ordering::Relaxed);
                        bell.ring();
                    }
                })
            })
            .collect();
        loop {
            let ticket = bell.listen();
            if work.load(Ordering::Relaxed) == RINGERS * RINGS {
                break;
            }
            bell.wait(ticket);
        }
        ringers.into_iter().for_each(|ringer| ringer.join().unwrap());
    }

    #[test]
    fn a_second_sleeper_is_refused() {
        let bell = Arc::new(Bell::new());
        let ticket = bell.listen();
        assert!(bell.fall_asleep(ticket));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bell.listen())).is_err());
    }
}
