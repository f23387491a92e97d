//! The semaphore: a pool of workers, several threads that bring work, and a close.

use longshore_core::semaphore::Semaphore;
use shuttle::thread;
use shuttle_tests::{explore, mark, pick, toss};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const WORKERS: u32 = 3;
const EACH: u32 = 3;

/// C22: every permit is taken once, whoever sleeps; a close ends those who find none.
#[test]
fn semaphore_with_a_pool_of_workers() {
    explore(&["closed", "fair shares", "refused"], || {
        let semaphore = Arc::new(Semaphore::new(0));
        // Relaxed, everywhere: one thread runs at a time.
        let (released, taken) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        // Either each worker takes its share, and a lost wake-up leaves one asleep for ever; or all go on to the close.
        let until_closed = toss(2);
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                let (semaphore, taken, released) = (semaphore.clone(), taken.clone(), released.clone());
                thread::spawn(move || {
                    for _ in 0..if until_closed { u32::MAX } else { EACH } {
                        if !semaphore.acquire() {
                            mark("refused");
                            return;
                        }
                        let taken = taken.fetch_add(1, Ordering::Relaxed) + 1;
                        assert!(taken <= released.load(Ordering::Relaxed), "more permits taken than there were");
                    }
                })
            })
            .collect();
        let bringers: Vec<_> = [EACH, WORKERS * EACH - EACH]
            .into_iter()
            .map(|mut left| {
                let (semaphore, released) = (semaphore.clone(), released.clone());
                thread::spawn(move || {
                    while left > 0 {
                        let now = 1 + pick(left.min(4) as usize) as u32;
                        released.fetch_add(now, Ordering::Relaxed);
                        semaphore.release(now);
                        left -= now;
                    }
                })
            })
            .collect();
        bringers.into_iter().for_each(|bringer| bringer.join().unwrap());
        if until_closed {
            semaphore.close();
            mark("closed");
        }
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(taken.load(Ordering::Relaxed), WORKERS * EACH, "permits left, and nobody to take them");
        if !until_closed {
            assert!(!semaphore.try_acquire());
            mark("fair shares");
        }
    });
}
