//! The finish ring: several threads finish batches in any order, and one waits for the mark to come to the end.

use longshore_core::bell::Bell;
use longshore_core::ordinal::BatchId;
use longshore_core::watermark::{FinishRing, Watermark};
use shuttle::thread;
use shuttle_tests::{explore, mark, pick, toss};
use std::sync::Arc;

const THREADS: u64 = 3;
const BATCHES: u64 = 12;

/// C10, C22: no finish is lost, the mark never passes what is unfinished, and who waits for it is woken.
#[test]
fn finish_ring_with_several_finishers() {
    explore(&["moved over several", "moved nothing", "slept"], || {
        let (watermark, bell) = (Arc::new(Watermark::new()), Arc::new(Bell::new()));
        let ring = Arc::new(FinishRing::new(BATCHES as usize, watermark.clone()));
        let begun = Arc::new(std::sync::Mutex::new(vec![false; BATCHES as usize]));
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (ring, bell, begun) = (ring.clone(), bell.clone(), begun.clone());
                let mut mine: Vec<u64> = (thread..BATCHES).step_by(THREADS as usize).collect();
                thread::spawn(move || {
                    while !mine.is_empty() {
                        let batch = mine.remove(if toss(2) { 0 } else { pick(mine.len()) });
                        begun.lock().unwrap()[batch as usize] = true;
                        let before = ring.watermark().get().get();
                        if ring.finish(BatchId::new(batch)) {
                            if ring.watermark().get().get() > before + 1 {
                                mark("moved over several");
                            }
                            bell.ring();
                        } else {
                            mark("moved nothing");
                        }
                    }
                })
            })
            .collect();
        let mut seen = 0;
        while seen < BATCHES {
            let ticket = bell.listen();
            let now = watermark.get().get();
            assert!(now >= seen, "the mark went back");
            assert!(begun.lock().unwrap()[..now as usize].iter().all(|begun| *begun), "the mark passed what is unfinished");
            if now < BATCHES && now == seen {
                mark("slept");
                bell.wait(ticket);
            }
            seen = now;
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
