//! C22: every permit wakes whoever can take it; a close wakes everybody.

use longshore_core::semaphore::Semaphore;
use longshore_core::sync::Arc;
use loom_tests::{Payload, StartLine, explore};

/// C22. Threads: one that releases a permit, a worker that takes it. Asserted: it wakes, and sees what was done
/// before the release.
#[test]
fn semaphore_wakes_and_publishes() {
    explore(&["taken"], || {
        let (semaphore, payload) = (Arc::new(Semaphore::new(0)), Arc::new(Payload::new(0)));
        let line = StartLine::new();
        let worker = line.spawn({
            let (semaphore, payload) = (semaphore.clone(), payload.clone());
            move || {
                assert!(semaphore.acquire());
                payload.get()
            }
        });
        line.cross();
        payload.set(7);
        semaphore.release(1);
        assert_eq!(worker.join().unwrap(), 7);
        "taken"
    });
}

/// C22. Threads: two workers, one that releases a permit twice. Asserted: nobody sleeps on, and no permit is left.
#[test]
fn semaphore_two_workers_two_permits() {
    explore(&["both"], || {
        let semaphore = Arc::new(Semaphore::new(0));
        let line = StartLine::new();
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let semaphore = semaphore.clone();
                line.spawn(move || semaphore.acquire())
            })
            .collect();
        line.cross();
        semaphore.release(1);
        semaphore.release(1);
        assert!(workers.into_iter().all(|worker| worker.join().unwrap()));
        assert!(!semaphore.try_acquire());
        "both"
    });
}

/// C22. Threads: a worker, one that closes, one that releases a permit and then works itself. Asserted: one of the
/// two works, the other ends.
#[test]
fn semaphore_close_ends_the_rest() {
    explore(&["first worked", "second worked"], || {
        let semaphore = Arc::new(Semaphore::new(0));
        let line = StartLine::new();
        let worker = line.spawn({
            let semaphore = semaphore.clone();
            move || semaphore.acquire()
        });
        let closer = line.spawn({
            let semaphore = semaphore.clone();
            move || semaphore.close()
        });
        line.cross();
        semaphore.release(1);
        let here = semaphore.acquire();
        let there = worker.join().unwrap();
        closer.join().unwrap();
        assert!(here != there, "one permit");
        if there { "first worked" } else { "second worked" }
    });
}

/// C22. Threads: one that closes, a worker that is told so. Asserted: it sees what was done before the close.
#[test]
fn semaphore_close_publishes() {
    explore(&["ended"], || {
        let (semaphore, payload) = (Arc::new(Semaphore::new(0)), Arc::new(Payload::new(0)));
        let line = StartLine::new();
        let worker = line.spawn({
            let (semaphore, payload) = (semaphore.clone(), payload.clone());
            move || {
                assert!(!semaphore.acquire());
                payload.get()
            }
        });
        line.cross();
        payload.set(7);
        semaphore.close();
        assert_eq!(worker.join().unwrap(), 7);
        "ended"
    });
}
