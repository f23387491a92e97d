//! Mixed: keys by Zipf 0.9, room for a quarter of them; look up, and on a miss insert and evict.

use crate::bench::{Group, at_most_best};
use crate::clock::per_op;
use crate::each_peer;
use crate::keys::{Key, Stream, zipf};
use crate::ours::{BATCH, Ours};
use crate::peers::*;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

const OURS: &str = "ours";
const STREAM: usize = 1 << 17;

/// One group per number of keys.
#[must_use]
pub fn groups() -> Vec<Group> {
    [8192, 131_072].into_iter().map(group).collect()
}

fn group(distinct: usize) -> Group {
    let title = format!("Zipf 0.9 over {distinct} keys, room for a quarter, get or insert + evict");
    let mut group = Group::new(format!("zipf/{distinct}"), title, 65_536);
    let stream = Stream::new(move || zipf(distinct, 0.9, STREAM, 11));
    let ours_stream = stream.clone();
    group.row(OURS, move || ours(ours_stream.keys(), distinct / 4));
    macro_rules! row {
        ($peer:ident) => {
            let counted = stream.clone();
            group.row(<$peer<Arc<u64>> as Peer<Arc<u64>>>::NAME, move || peer::<$peer<Arc<u64>>>(counted.keys(), distinct / 4));
        };
    }
    each_peer!(row);
    group.aim("faster than every peer", at_most_best(OURS, 1.0, |row| row != OURS));
    group
}

fn ours(stream: Rc<[Key]>, capacity: usize) -> impl FnMut(usize) -> f64 {
    let mut ours = Ours::new(capacity);
    let mut at = 0;
    let mut run = move |ops: usize| {
        per_op(ops / BATCH * BATCH, || {
            for _ in 0..ops / BATCH {
                ours.next_batch();
                // Within a batch a key may come twice: the second request finds the value, and its waiter is told too.
                stream[at..at + BATCH].iter().for_each(|key| _ = ours.ask(key.hash64(), key));
                ours.drain();
                at = (at + BATCH) % stream.len();
            }
        })
    };
    run(STREAM);
    run
}

fn peer<P: Peer<Arc<u64>>>(stream: Rc<[Key]>, capacity: usize) -> impl FnMut(usize) -> f64 {
    let peer = P::new(capacity);
    let mut at = 0;
    let mut run = move |ops: usize| {
        per_op(ops / BATCH * BATCH, || {
            for _ in 0..ops / BATCH {
                for key in &stream[at..at + BATCH] {
                    match peer.get(key) {
                        Some(value) => _ = black_box(value.number()),
                        None => peer.put(*key, Arc::make(at as u64)),
                    }
                }
                at = (at + BATCH) % stream.len();
            }
        })
    };
    run(STREAM);
    run
}
