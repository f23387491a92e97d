//! C22: no ring is lost, and what was done before a ring is seen after it.

use longshore_core::bell::Bell;
use longshore_core::sync::{Arc, AtomicU32, Ordering};
use loom_tests::{Payload, StartLine, explore};
use std::time::Duration;

/// C22. Threads: a ringer, the sleeper, which drew its ticket before. Asserted: it wakes, and sees what the ringer
/// did before the ring.
#[test]
fn bell_wakes_and_publishes() {
    explore(&["woken"], || {
        let (bell, payload) = (Arc::new(Bell::new()), Arc::new(Payload::new(0)));
        let line = StartLine::new();
        let ticket = bell.listen();
        let ringer = line.spawn({
            let (bell, payload) = (bell.clone(), payload.clone());
            move || {
                payload.set(1);
                bell.ring();
            }
        });
        line.cross();
        bell.wait(ticket);
        assert_eq!(payload.get(), 1);
        ringer.join().unwrap();
        "woken"
    });
}

/// C22. Threads: two ringers, which announce work by relaxed writes, the sleeper, which listens, looks and waits
/// until it has found both. Asserted: it ends.
#[test]
fn bell_misses_no_work() {
    explore(&["at once", "later"], || {
        let (bell, work) = (Arc::new(Bell::new()), Arc::new(AtomicU32::new(0)));
        let line = StartLine::new();
        let ringers: Vec<_> = (0..2)
            .map(|_| {
                let (bell, work) = (bell.clone(), work.clone());
                line.spawn(move || {
                    work.fetch_add(1, Ordering::Relaxed);
                    bell.ring();
                })
            })
            .collect();
        line.cross();
        let mut waits = 0;
        loop {
            let ticket = bell.listen();
            if work.load(Ordering::Relaxed) == 2 {
                break;
            }
            bell.wait(ticket);
            waits += 1;
        }
        ringers.into_iter().for_each(|ringer| ringer.join().unwrap());
        if waits == 0 { "at once" } else { "later" }
    });
}

/// C22. Threads: a ringer, the sleeper, whose timed wait ends at once and which then sleeps for good. Asserted: an
/// answer "rung" comes with the work, and the bell is fit for the next sleep.
#[test]
fn bell_timed_wait_races_a_ring() {
    explore(&["rung", "timed out"], || {
        let (bell, work) = (Arc::new(Bell::new()), Arc::new(AtomicU32::new(0)));
        let line = StartLine::new();
        let ticket = bell.listen();
        let ringer = line.spawn({
            let (bell, work) = (bell.clone(), work.clone());
            move || {
                work.store(1, Ordering::Relaxed);
                bell.ring();
            }
        });
        line.cross();
        let rung = bell.wait_timeout(ticket, Duration::ZERO);
        if rung {
            assert_eq!(work.load(Ordering::Relaxed), 1);
        }
        loop {
            let ticket = bell.listen();
            if work.load(Ordering::Relaxed) == 1 {
                break;
            }
            bell.wait(ticket);
        }
        ringer.join().unwrap();
        if rung { "rung" } else { "timed out" }
    });
}
