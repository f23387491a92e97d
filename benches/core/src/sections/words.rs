//! The small words: watermark, gate, bell.

use crate::bench::{Group, at_most, at_most_ns};
use crate::clock::per_op;
use crate::ours::Ours;
use longshore_core::bell::Bell;
use longshore_core::gate::gate_table;
use longshore_core::ordinal::BatchId;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

/// Batches that arrive at one gate.
const TOKENS: usize = 1000;

/// The three groups.
#[must_use]
pub fn groups() -> Vec<Group> {
    vec![watermark(), gate(), bell()]
}

fn watermark() -> Group {
    let mut group = Group::new("watermark", "advance_watermark, with entries in the cache", 200_000);
    for entries in [1000, 1_000_000] {
        group.row(format!("{entries} entries"), move || {
            let mut ours: Ours<u64> = Ours::new(entries);
            (0..entries as u64).for_each(|key| _ = ours.ask(key.wrapping_mul(0x9e37_79b9_7f4a_7c15), &key));
            ours.drain();
            let mut mark = 0;
            move |ops| {
                per_op(ops, || {
                    for _ in 0..ops {
                        mark += 1;
                        black_box(ours.watermark.advance_to(BatchId::new(mark)));
                    }
                })
            }
        });
    }
    group.aim("<= 10 ns", at_most_ns("1000000 entries", 10.0));
    group.aim("1 M entries cost what 1 k do (<= 1.15 x)", at_most("1000000 entries", 1.15, "1000 entries"));
    group
}

fn gate() -> Group {
    let mut group = Group::new("gate", "gate: arrive, nobody else about", 200_000);
    group.row("arrive", || {
        let (mut owner, asker) = gate_table(4);
        let arriver = asker.arriver();
        move |ops| {
            let rounds = ops / TOKENS;
            let mut total = 0.0;
            for _ in 0..rounds {
                let gate = owner.open().expect("a gate is free");
                owner.add(gate, TOKENS as u32);
                total += per_op(TOKENS, || (0..TOKENS).for_each(|_| assert!(!arriver.arrive(black_box(gate)))));
                assert!(owner.arrive(gate));
                owner.release(gate);
            }
            total / rounds as f64
        }
    });
    group.row("floor: fetch_sub", floor);
    group.row("floor: load, compare-exchange", || {
        let word = AtomicU64::new(0);
        move |ops| {
            // AcqRel, Relaxed: as the gate's.
            let step = || {
                let now = word.load(Ordering::Relaxed);
                word.compare_exchange(now, now.wrapping_sub(1), Ordering::AcqRel, Ordering::Relaxed)
            };
            per_op(ops, || (0..ops).for_each(|_| _ = black_box(step())))
        }
    });
    group.aim("<= 3 ns", at_most_ns("arrive", 3.0));
    group.aim("<= 1.25 x a bare compare-exchange", at_most("arrive", 1.25, "floor: load, compare-exchange"));
    group
}

fn bell() -> Group {
    let mut group = Group::new("bell", "bell: ring while the sleeper is awake", 200_000);
    group.row("ring", || {
        let bell = Bell::new();
        move |ops| per_op(ops, || (0..ops).for_each(|_| black_box(&bell).ring()))
    });
    group.row("floor: fetch_sub", floor);
    group.aim("<= 3 ns", at_most_ns("ring", 3.0));
    group.aim("<= 1.25 x a bare fetch_sub", at_most("ring", 1.25, "floor: fetch_sub"));
    group
}

fn floor() -> impl FnMut(usize) -> f64 {
    let word = AtomicU64::new(0);
    // Release: as an arrival's and a ring's.
    move |ops| per_op(ops, || (0..ops).for_each(|_| _ = black_box(word.fetch_sub(1, Ordering::Release))))
}
