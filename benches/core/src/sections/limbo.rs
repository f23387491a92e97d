//! Whether readers that hold guards cost the cache its hits: eight of them on two cores, preempted while pinned, delay
//! the destruction of values. Where the slots wait for that too, a bounded cache runs out of them.

use crate::bench::Group;
use crate::keys::{Key, Stream, zipf};
use crate::ours::{BATCH, NOBODY, Ours};
use longshore_core::cache::{Handle, Lookup, Request};
use longshore_core::ordinal::BatchId;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

const DISTINCT: usize = 8192;
const STREAM: usize = 1 << 17;

/// The group: its numbers are hit rates.
#[must_use]
pub fn groups() -> Vec<Group> {
    let mut group = Group::new("limbo", "hit rate (Zipf 0.9 over 8192 keys, room for a quarter) while readers hold guards", STREAM);
    group.unit = "% hits";
    let stream = Stream::new(|| zipf(DISTINCT, 0.9, STREAM, 13));
    for readers in [0, 8] {
        let stream = stream.clone();
        group.row(format!("{readers} readers"), move || {
            let stream = stream.keys();
            move |ops| hit_rate(&stream[..ops.min(STREAM)], readers)
        });
    }
    group.aim("8 readers cost no hits (>= 0.99 x)", |results| {
        let ratio = results.ratio("8 readers", "0 readers");
        (format!("{ratio:.4} x"), ratio >= 0.99)
    });
    vec![group]
}

/// Asks for the whole stream; a request that is refused for lack of room counts as a miss.
fn hit_rate(stream: &[Key], readers: usize) -> f64 {
    let mut ours = Ours::new(DISTINCT / 4);
    let (done, latest) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..readers {
            let (done, latest, reader, epoch) = (&done, &latest, ours.reader.clone(), ours.epoch.clone());
            scope.spawn(move || {
                let thread = epoch.register();
                // Relaxed: a hint to stop.
                while !done.load(Ordering::Relaxed) {
                    let handles: Vec<Handle> = latest.lock().expect("poisoned").clone();
                    let guard = thread.pin();
                    // Long enough that the scheduler takes the core away under the guard.
                    for _ in 0..1000 {
                        for handle in &handles {
                            std::hint::black_box(matches!(reader.get(*handle, &guard), Lookup::Ready(_)));
                        }
                    }
                }
            });
        }
        let mut hits = 0;
        for batch in stream.chunks(BATCH) {
            ours.next_batch();
            let mut handles = Vec::new();
            for key in batch {
                match ours.owner.request(key.hash64(), key, BatchId::new(ours.batch), NOBODY) {
                    Request::Ready(handle) | Request::Pending(handle) => {
                        hits += 1;
                        handles.push(handle);
                    }
                    Request::Fetch(_, completion) => completion.complete(1),
                    Request::Saturated => {}
                    Request::Failed(_) => unreachable!("nothing fails here"),
                }
            }
            ours.drain();
            *latest.lock().expect("poisoned") = handles;
        }
        // Relaxed: a hint to stop.
        done.store(true, Ordering::Relaxed);
        100.0 * f64::from(hits) / stream.len() as f64
    })
}
