//! The mark only rises, publishes what it stands for, and no finish is lost.

use longshore_core::ordinal::BatchId;
use longshore_core::sync::Arc;
use longshore_core::watermark::{FinishRing, Watermark};
use loom_tests::{Payload, StartLine, explore};

/// C10. Threads: two that advance to 1 and to 2, one that looks twice. Asserted: what is seen never falls, and the
/// greater wins whatever the order.
#[test]
fn watermark_only_rises() {
    explore(&["0", "1", "2"], || {
        let watermark = Arc::new(Watermark::new());
        let line = StartLine::new();
        let threads: Vec<_> = (1..=2)
            .map(|n| {
                let watermark = watermark.clone();
                line.spawn(move || watermark.advance_to(BatchId::new(n)))
            })
            .collect();
        line.cross();
        let (first, second) = (watermark.get(), watermark.get());
        assert!(first <= second);
        let moved: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(moved[1], "nothing exceeds 2");
        assert_eq!(watermark.get(), BatchId::new(2));
        ["0", "1", "2"][first.get() as usize]
    });
}

/// C10. Threads: a planner that plans and advances, one that looks. Asserted: whoever sees the mark sees the plan.
#[test]
fn watermark_publishes() {
    explore(&["planned", "not yet"], || {
        let (watermark, plan) = (Arc::new(Watermark::new()), Arc::new(Payload::new(0)));
        let line = StartLine::new();
        let planner = line.spawn({
            let (watermark, plan) = (watermark.clone(), plan.clone());
            move || {
                plan.set(5);
                watermark.advance_to(BatchId::new(1))
            }
        });
        line.cross();
        let planned = watermark.get() == BatchId::new(1);
        if planned {
            assert_eq!(plan.get(), 5);
        }
        assert!(planner.join().unwrap());
        if planned { "planned" } else { "not yet" }
    });
}

/// C10. Threads: two that finish the neighbours 0 and 1. Asserted: one of them moves the mark over both.
#[test]
fn finish_ring_loses_no_finish() {
    explore(&["first moved", "second moved", "both moved"], || {
        let ring = Arc::new(FinishRing::new(2, Arc::new(Watermark::new())));
        let line = StartLine::new();
        let other = line.spawn({
            let ring = ring.clone();
            move || ring.finish(BatchId::new(1))
        });
        line.cross();
        let here = ring.finish(BatchId::new(0));
        let there = other.join().unwrap();
        assert_eq!(ring.watermark().get(), BatchId::new(2), "a finish was lost");
        match (here, there) {
            (true, false) => "first moved",
            (false, true) => "second moved",
            (true, true) => "both moved",
            (false, false) => "nobody moved",
        }
    });
}

/// C10. Threads: two that finish batches 1 and 2 of a ring of two cells, whose batch 0 is over. Asserted: the mark
/// passes both.
#[test]
fn finish_ring_goes_round() {
    explore(&["whole"], || {
        let ring = Arc::new(FinishRing::new(2, Arc::new(Watermark::new())));
        ring.finish(BatchId::new(0));
        let line = StartLine::new();
        let other = line.spawn({
            let ring = ring.clone();
            move || ring.finish(BatchId::new(2))
        });
        line.cross();
        ring.finish(BatchId::new(1));
        other.join().unwrap();
        assert_eq!(ring.watermark().get(), BatchId::new(3), "a finish was lost");
        "whole"
    });
}
