//! Handle to value: what a reader does, on any thread, per look-up.
//!
//! The floor is an array indexed by the handle, with a generation to compare: once with the value in the array, which
//! nobody can do who hands out references to values of any size and replaces them, and once with the value in a box of
//! its own, as ours.

use crate::bench::{Group, at_most, at_most_ns};
use crate::clock::{parallel, per_op};
use crate::keys::{Key, shuffled};
use crate::ours::{BATCH, Ours};
use longshore_core::cache::{Handle, Lookup};
use std::hint::black_box;
use std::rc::Rc;

struct Cell<B> {
    generation: u32,
    value: B,
}

/// Walks over `order` in batches, round and round, until `ops` look-ups were made.
#[inline(always)]
fn walk<T: Copy>(order: &[T], thread: usize, ops: usize, mut batch: impl FnMut(&[T]) -> u64) -> f64 {
    let batches: Vec<&[T]> = order.chunks_exact(BATCH).collect();
    let mut at = thread * batches.len() / 8;
    per_op(ops / BATCH * BATCH, || {
        for _ in 0..ops / BATCH {
            black_box(batch(batches[at % batches.len()]));
            at += 1;
        }
    })
}

struct Rig {
    ours: Ours<Key>,
    handles: Vec<Handle>,
}

fn rig(slots: usize) -> Rig {
    let mut ours = Ours::new(slots);
    let keys: Vec<Key> = (0..slots as u64).map(Key::new).collect();
    let loaded: Vec<Handle> = keys.iter().map(|key| ours.load(key.hash64(), key)).collect();
    Rig { ours, handles: shuffled(slots, 7).into_iter().map(|n| loaded[n as usize]).collect() }
}

fn floor<B: Sync + 'static>(slots: usize, threads: usize, make: fn(u64) -> B, read: fn(&B) -> u64) -> impl FnMut(usize) -> f64 {
    let cells: Vec<Cell<B>> = (0..slots as u64).map(|n| Cell { generation: 0, value: make(n) }).collect();
    let order: Vec<(u32, u32)> = shuffled(slots, 7).into_iter().map(|slot| (slot, 0)).collect();
    move |ops| {
        parallel(threads, |thread, barrier| {
            barrier.wait();
            walk(&order, thread, ops, |batch| {
                let value = |(slot, generation): &(u32, u32)| match cells.get(*slot as usize) {
                    Some(cell) if cell.generation == *generation => read(&cell.value),
                    _ => 0,
                };
                batch.iter().map(value).sum()
            })
        })
    }
}

/// One group per size and number of threads.
#[must_use]
pub fn groups() -> Vec<Group> {
    let mut groups = Vec::new();
    for slots in [64, 65_536] {
        let shared = Rc::new(std::cell::OnceCell::new());
        for threads in [1, 2, 8] {
            let mut group = Group::new(
                format!("handle/{slots}/{threads}"),
                format!("handle -> value, {slots} slots, {threads} threads"),
                400_000 / threads.min(4),
            );
            for held in [true, false] {
                let shared = shared.clone();
                let name = if held { "ours, guard per 32" } else { "ours, guard per look-up" };
                group.row(name, move || {
                    let rig: Rc<Rig> = shared.get_or_init(|| Rc::new(rig(slots))).clone();
                    move |ops| ours(&rig, threads, held, ops)
                });
            }
            group.row("floor: array + generation, value inside", move || floor(slots, threads, |n| n, |value| *value));
            group.row("floor: array + generation, value boxed", move || floor(slots, threads, Box::new, |value| **value));
            let limit = if slots == 64 { 2.5 } else { 4.0 };
            group.aim(format!("guard held: <= {limit} ns"), at_most_ns("ours, guard per 32", limit));
            group.aim(
                "guard held: <= 1.5 x floor, value boxed",
                at_most("ours, guard per 32", 1.5, "floor: array + generation, value boxed"),
            );
            group.aim(
                "guard held: <= 1.5 x floor, value inside",
                at_most("ours, guard per 32", 1.5, "floor: array + generation, value inside"),
            );
            groups.push(group);
        }
    }
    groups
}

fn ours(rig: &Rig, threads: usize, held: bool, ops: usize) -> f64 {
    let (reader, epoch, handles) = (&rig.ours.reader, &rig.ours.epoch, &rig.handles);
    let number = |lookup: Lookup<'_, u64, _>| match lookup {
        Lookup::Ready(value) => *value,
        _ => 0,
    };
    parallel(threads, |thread, barrier| {
        let registered = epoch.register();
        barrier.wait();
        if held {
            walk(handles, thread, ops, |batch| {
                let guard = registered.pin();
                batch.iter().fold(0, |sum, handle| number(reader.get(*handle, &guard)).wrapping_add(sum))
            })
        } else {
            walk(handles, thread, ops, |batch| {
                batch.iter().fold(0, |sum, handle| number(reader.get(*handle, &registered.pin())).wrapping_add(sum))
            })
        }
    })
}
