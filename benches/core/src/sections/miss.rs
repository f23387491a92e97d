//! A miss from end to end, at capacity: every key is new, so each insertion evicts.
//!
//! Ours is the whole cycle: request (miss, evict, claim), complete, drain, in batches of 32, the watermark behind them.
//! A peer's is insert and evict alone, without the look-up that found the key missing. Our values live in boxes that the
//! epoch destroys; a peer's `u64` needs no allocation, its `Arc<u64>` needs one, as ours.

use crate::bench::{Group, at_most_best};
use crate::clock::per_op;
use crate::each_peer;
use crate::keys::{Key, Stream, shuffled};
use crate::ours::{BATCH, NOBODY, Ours, fetch};
use crate::peers::*;
use longshore_core::ordinal::BatchId;
use std::rc::Rc;
use std::sync::Arc;

const OURS: &str = "ours: request, complete, drain, evict";
const MANY: &str = "ours, 32 requests at once";

/// What of the peers does the same as ours: look up, promise to fetch, keep the promise. It is not in the aims, which
/// are about insert + evict alone.
const SINGLE_FLIGHT: &str = "(quick_cache, single flight, Arc)";

/// One group per size.
#[must_use]
pub fn groups() -> Vec<Group> {
    [4096, 65_536].into_iter().map(group).collect()
}

fn group(capacity: usize) -> Group {
    let title = format!("miss + complete + evict, 64-byte keys, {capacity} entries");
    let mut group = Group::new(format!("miss/{capacity}"), title, 65_536);
    // Four times as many as fit: by the time a key comes round again it is long gone.
    let stream = Stream::new(move || shuffled(capacity * 4, 5));
    for (name, many) in [(OURS, false), (MANY, true)] {
        let stream = stream.clone();
        group.row(name, move || ours(stream.keys(), capacity, many));
    }
    macro_rules! row {
        ($peer:ident) => {
            let plain = stream.clone();
            group.row(<$peer<u64> as Peer<u64>>::NAME, move || peer::<u64, $peer<u64>>(plain.keys(), capacity));
            let counted = stream.clone();
            let name = format!("{}, Arc values", <$peer<u64> as Peer<u64>>::NAME);
            group.row(name, move || peer::<Arc<u64>, $peer<Arc<u64>>>(counted.keys(), capacity));
        };
    }
    each_peer!(row);
    group.row(SINGLE_FLIGHT, move || single_flight(stream.keys(), capacity));
    group.aim("faster than every peer, Arc values", at_most_best(OURS, 1.0, |row| row.ends_with("Arc values")));
    group.aim("faster than every peer, plain values", at_most_best(OURS, 1.0, |row| !row.starts_with("ours") && !row.starts_with('(')));
    group
}

fn ours(stream: Rc<[Key]>, capacity: usize, many: bool) -> impl FnMut(usize) -> f64 {
    let mut ours = Ours::new(capacity);
    let mut answers = Vec::with_capacity(BATCH);
    let mut at = 0;
    let mut run = move |ops: usize| {
        per_op(ops / BATCH * BATCH, || {
            for _ in 0..ops / BATCH {
                ours.next_batch();
                let keys = &stream[at..at + BATCH];
                let hits = if many {
                    let asked: [(u64, &Key); BATCH] = std::array::from_fn(|n| (keys[n].hash64(), &keys[n]));
                    ours.owner.request_many(&asked, BatchId::new(ours.batch), NOBODY, &mut answers);
                    answers.drain(..).map(|answer| usize::from(fetch(answer, 1))).sum::<usize>()
                } else {
                    keys.iter().map(|key| usize::from(ours.ask(key.hash64(), key))).sum()
                };
                assert_eq!(hits, 0);
                ours.drain();
                at = (at + BATCH) % stream.len();
            }
        })
    };
    run(capacity * 2);
    run
}

fn peer<V: Value, P: Peer<V>>(stream: Rc<[Key]>, capacity: usize) -> impl FnMut(usize) -> f64 {
    let peer = P::new(capacity);
    let mut at = 0;
    let mut run = move |ops: usize| {
        per_op(ops / BATCH * BATCH, || {
            for _ in 0..ops / BATCH {
                for key in &stream[at..at + BATCH] {
                    peer.put(*key, V::make(at as u64));
                }
                at = (at + BATCH) % stream.len();
            }
        })
    };
    run(capacity * 2);
    run
}

fn single_flight(stream: Rc<[Key]>, capacity: usize) -> impl FnMut(usize) -> f64 {
    let peer: QuickCache<Arc<u64>> = Peer::new(capacity);
    let mut at = 0;
    let mut run = move |ops: usize| {
        per_op(ops / BATCH * BATCH, || {
            for _ in 0..ops / BATCH {
                stream[at..at + BATCH].iter().for_each(|key| peer.fetch(key, || Arc::make(at as u64)));
                at = (at + BATCH) % stream.len();
            }
        })
    };
    run(capacity * 2);
    run
}
