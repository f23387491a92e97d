//! What eviction costs beside many entries that may not go, and how it grows with those that were pinned anew.

use crate::bench::{Group, at_most};
use crate::clock::per_op;
use crate::keys::Random;
use crate::ours::{NOBODY, Ours};
use longshore_core::cache::{CacheConfig, Handle, Request};
use longshore_core::ordinal::BatchId;

/// A batch that no watermark here reaches, and still within the wheel: batches are hung in turn as far ahead as the
/// wheel is wide, and those beyond are met once per turn of it.
const FAR: u64 = WHEEL as u64 - 1;
const WHEEL: usize = 1 << 22;

/// The two groups.
#[must_use]
pub fn groups() -> Vec<Group> {
    vec![beside_pinned(), repinned()]
}

/// A cache full of entries pinned to a far batch, with room for one more.
fn crowded(pinned: usize) -> Ours<u64> {
    let mut ours = Ours::with(CacheConfig { wheel: WHEEL, ..CacheConfig::new(pinned + 1) });
    ours.batch = FAR;
    (0..pinned as u64).for_each(|key| _ = ours.ask(spread(key), &key));
    ours.drain();
    ours.batch = 0;
    ours
}

fn spread(key: u64) -> u64 {
    Random(key).draw()
}

/// Two keys take turns in the one slot that is not pinned: always the same memory, so what is left is the work.
fn beside_pinned() -> Group {
    let mut group = Group::new("evict/pinned", "miss + complete + evict one, beside entries that are pinned", 20_000);
    // No multiples of a large power of two: the lines of the one slot would fall into one set of the cache.
    for pinned in [1_003, 64_003, 1_000_003] {
        group.row(format!("{pinned} pinned"), move || {
            let mut ours = crowded(pinned);
            let mut turn = 0;
            move |ops| {
                per_op(ops, || {
                    for _ in 0..ops {
                        ours.next_batch();
                        turn ^= 1;
                        let key = u64::MAX - turn;
                        assert!(!ours.ask(spread(key), &key));
                        ours.drain();
                    }
                })
            }
        });
    }
    group.aim("1 M pinned cost what 1 k do (<= 1.3 x)", at_most("1000003 pinned", 1.3, "1003 pinned"));
    group.aim("64 k pinned cost what 1 k do (<= 1.3 x)", at_most("64003 pinned", 1.3, "1003 pinned"));
    group
}

/// Each batch pins some entries anew; the sweep that follows meets each of them once.
fn repinned() -> Group {
    let mut group = Group::new("evict/repinned", "the same, each batch pinning some of 64 k entries anew by handle: per batch", 2_000);
    for pinned in [0_usize, 512, 8192] {
        group.row(format!("{pinned} pinned anew"), move || {
            let mut ours: Ours<u64> = Ours::with(CacheConfig { wheel: WHEEL, ..CacheConfig::new((1 << 16) + 1) });
            let keys = 0..1_u64 << 16;
            keys.clone().for_each(|key| _ = ours.ask(spread(key), &key));
            ours.drain();
            let ready = |request| match request {
                Request::Ready(handle) => handle,
                other => panic!("{other:?}"),
            };
            let far = BatchId::new(FAR);
            let handles: Vec<Handle> = keys.map(|key| ready(ours.owner.request(spread(key), &key, BatchId::ZERO, NOBODY))).collect();
            // All but a few are out of the way.
            handles[pinned..].iter().for_each(|handle| assert!(ours.reader.pin(*handle, far)));
            let mut turn = 0;
            move |ops| {
                // Fewer batches when each does more.
                let batches = (ops / (1 + pinned / 16)).max(20);
                per_op(batches, || {
                    for _ in 0..batches {
                        let next = BatchId::new(ours.batch + 1);
                        handles[..pinned].iter().for_each(|handle| assert!(ours.reader.pin(*handle, next)));
                        ours.next_batch();
                        turn ^= 1;
                        let key = u64::MAX - turn;
                        assert!(!ours.ask(spread(key), &key));
                        ours.drain();
                    }
                })
            }
        });
    }
    group.aim("16 times as many pinned anew cost 16 times as much (<= 20 x)", |results| {
        let base = results.median("0 pinned anew");
        let (few, many) = (results.median("512 pinned anew") - base, results.median("8192 pinned anew") - base);
        (format!("{:.1} x; {:.1} ns per entry pinned and swept", many / few, many / 8192.0), many <= 20.0 * few)
    });
    group
}
