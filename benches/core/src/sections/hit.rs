//! A hit by key: 64-byte keys, every look-up a hit, hashing included.
//!
//! Keys come from a stream in random order, read from front to back. Ours answers a handle pinned to the batch that
//! asks: "same batch" asks for what it has pinned before, "new batch" pins every entry it hits.

use crate::bench::{Group, at_most, at_most_best};
use crate::clock::{parallel, per_op};
use crate::each_peer;
use crate::keys::{Key, Stream, shuffled};
use crate::ours::{BATCH, NOBODY, Ours};
use crate::peers::*;
use longshore_core::cache::{Lookup, Request};
use longshore_core::ordinal::BatchId;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Our single look-up, whose entries the batch has pinned before.
pub const SAME: &str = "ours, same batch";
/// Our single look-up, which pins each entry anew.
pub const NEW: &str = "ours, new batch";
const MANY: &str = "ours, same batch, 32 at once";
const MANY_NEW: &str = "ours, new batch, 32 at once";
const BESIDE: &str = "ours, same batch, a reader beside";

/// Where a thread stands in the stream.
struct Cursor {
    at: usize,
}

impl Cursor {
    /// The next batch of the stream.
    #[inline(always)]
    fn next<'k>(&mut self, stream: &'k [Key]) -> &'k [Key] {
        if self.at + BATCH > stream.len() {
            self.at = 0;
        }
        self.at += BATCH;
        &stream[self.at - BATCH..self.at]
    }
}

/// One group per size and number of threads.
#[must_use]
pub fn groups() -> Vec<Group> {
    let mut groups = Vec::new();
    for entries in [4096, 65_536] {
        let stream = Stream::new(move || shuffled(entries, 3));
        for threads in [1, 2] {
            let title = format!("request-hit, 64-byte keys, {entries} entries, {threads} threads");
            let mut group = Group::new(format!("hit/{entries}/{threads}"), title, 65_536);
            if threads == 1 {
                for (name, many, new) in [(SAME, false, false), (NEW, false, true), (MANY, true, false), (MANY_NEW, true, true)] {
                    let stream = stream.clone();
                    group.row(name, move || ours(stream.keys(), entries, many, new));
                }
            } else {
                let stream = stream.clone();
                group.row(BESIDE, move || beside(stream.keys(), entries));
            }
            macro_rules! row {
                ($peer:ident) => {
                    let stream = stream.clone();
                    group.row(<$peer<u64> as Peer<u64>>::NAME, move || peer::<$peer<u64>>(stream.keys(), entries, threads));
                };
            }
            each_peer!(row);
            row!(PapayaHeld);
            let peer = |row: &str| !row.starts_with("ours");
            if threads == 1 {
                group.aim("same batch: no slower than the best peer", at_most_best(SAME, 1.0, peer));
                group.aim("new batch: no slower than the best peer", at_most_best(NEW, 1.0, peer));
                if entries == 65_536 {
                    group.aim("same batch: 32 at once <= 0.6 x single", at_most(MANY, 0.6, SAME));
                    group.aim("new batch: 32 at once <= 0.6 x single", at_most(MANY_NEW, 0.6, NEW));
                }
            } else {
                group.aim("no slower than the best peer", at_most_best(BESIDE, 1.0, peer));
            }
            groups.push(group);
        }
    }
    groups
}

#[inline(always)]
fn single(ours: &mut Ours<Key>, keys: &[Key]) -> u64 {
    let batch = BatchId::new(ours.batch);
    let slot = |key: &Key| match ours.owner.request(key.hash64(), key, batch, NOBODY) {
        Request::Ready(handle) => u64::from(handle.slot()),
        other => panic!("{other:?}"),
    };
    keys.iter().map(slot).sum()
}

fn ours(stream: Rc<[Key]>, entries: usize, many: bool, new: bool) -> impl FnMut(usize) -> f64 {
    let mut ours = Ours::filled(entries, &stream);
    let mut cursor = Cursor { at: 0 };
    let mut answers = Vec::with_capacity(BATCH);
    move |ops| {
        per_op(ops / BATCH * BATCH, || {
            for _ in 0..ops / BATCH {
                let keys = cursor.next(&stream);
                // Every batch in turn pins what it hits; a batch that came before has pinned all.
                ours.batch += u64::from(new);
                if many {
                    let asked: [(u64, &Key); BATCH] = std::array::from_fn(|n| (keys[n].hash64(), &keys[n]));
                    ours.owner.request_many(&asked, BatchId::new(ours.batch), NOBODY, &mut answers);
                    assert!(answers.drain(..).all(|answer| matches!(answer, Request::Ready(_))));
                } else {
                    black_box(single(&mut ours, keys));
                }
            }
        })
    }
}

/// The owner asks while another thread reads by handle: what two threads do with a cache that has one owner.
fn beside(stream: Rc<[Key]>, entries: usize) -> impl FnMut(usize) -> f64 {
    let mut ours = Ours::filled(entries, &stream);
    let handles: Vec<_> = stream.iter().map(|key| ours.load(key.hash64(), key)).collect();
    let mut cursor = Cursor { at: 0 };
    move |ops| {
        let (done, reader, epoch) = (AtomicBool::new(false), ours.reader.clone(), ours.epoch.clone());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let thread = epoch.register();
                let mut batches = handles.chunks_exact(BATCH).cycle();
                // Relaxed: a hint to stop.
                while !done.load(Ordering::Relaxed) {
                    let guard = thread.pin();
                    for handle in batches.next().expect("it cycles") {
                        assert!(matches!(reader.get(*handle, &guard), Lookup::Ready(_)));
                    }
                }
            });
            let time = per_op(ops / BATCH * BATCH, || {
                for _ in 0..ops / BATCH {
                    black_box(single(&mut ours, cursor.next(&stream)));
                }
            });
            // Relaxed: a hint to stop.
            done.store(true, Ordering::Relaxed);
            time
        })
    }
}

fn peer<P: Peer<u64>>(stream: Rc<[Key]>, entries: usize, threads: usize) -> impl FnMut(usize) -> f64 {
    // Room to spare, so that a peer whose shards are bounded one by one keeps every key.
    let peer = P::new(entries * 2);
    stream.iter().for_each(|key| peer.put(*key, key.hash64()));
    assert_eq!(peer.hits(&stream), stream.len() as u64, "{} lost keys", P::NAME);
    move |ops| {
        let stream: &[Key] = &stream;
        parallel(threads, |thread, barrier| {
            let mut cursor = Cursor { at: thread * stream.len() / 2 };
            barrier.wait();
            per_op(ops / BATCH * BATCH, || (0..ops / BATCH).for_each(|_| _ = black_box(peer.hits(cursor.next(stream)))))
        })
    }
}
