//! The word of a slot: pins against eviction, pins against publication.

use longshore_core::ordinal::BatchId;
use longshore_core::slot::{Phase, Slot};
use longshore_core::sync::Arc;
use loom_tests::{Payload, StartLine, explore};

const B: fn(u64) -> BatchId = BatchId::new;

/// C08. Threads: one that pins to a batch above the watermark, the owner, which evicts. Asserted: pin beats eviction
/// or eviction beats pin; never both, never neither.
#[test]
fn slot_pin_or_evict() {
    explore(&["pinned", "evicted"], || {
        let slot = Arc::new(Slot::new());
        let generation = slot.claim(B(0));
        slot.publish(Phase::Ready);
        let line = StartLine::new();
        let pinner = line.spawn({
            let slot = slot.clone();
            move || slot.pin(generation, B(5)).is_some()
        });
        line.cross();
        let evicted = slot.try_retire(B(1)).is_ok();
        let pinned = pinner.join().unwrap();
        assert_eq!(slot.load().phase(), if evicted { Phase::Retired } else { Phase::Ready });
        match (pinned, evicted) {
            (true, false) => "pinned",
            (false, true) => "evicted",
            _ => "both or neither",
        }
    });
}

/// C02. Threads: one that pins an incarnation, the owner, which evicts it and claims and publishes the next.
/// Asserted: a pin that comes too late changes nothing and says so.
#[test]
fn slot_stale_pin_misses_the_next_life() {
    explore(&["pinned the old", "too late"], || {
        let slot = Arc::new(Slot::new());
        let generation = slot.claim(B(0));
        slot.publish(Phase::Ready);
        let line = StartLine::new();
        let pinner = line.spawn({
            let slot = slot.clone();
            move || slot.pin(generation, B(5)).is_some()
        });
        line.cross();
        let evicted = slot.try_retire(B(1)).is_ok();
        if evicted {
            assert!(slot.recycle(u32::MAX));
            let next = slot.claim(B(2));
            slot.publish(Phase::Ready);
            assert_ne!(next, generation);
        }
        let pinned = pinner.join().unwrap();
        assert!(pinned != evicted);
        if evicted {
            assert_eq!(slot.load().last(), B(2), "the new incarnation is as its owner left it");
        }
        if pinned { "pinned the old" } else { "too late" }
    });
}

/// C08. Threads: one that pins, the completion, which writes a value and publishes. Asserted: neither is lost, and a
/// pin that says Ready has the value.
#[test]
fn slot_pin_meets_publication() {
    explore(&["pinned loading", "pinned ready"], || {
        let (slot, value) = (Arc::new(Slot::new()), Arc::new(Payload::new(0)));
        let generation = slot.claim(B(0));
        let line = StartLine::new();
        let pinner = line.spawn({
            let (slot, value) = (slot.clone(), value.clone());
            move || {
                let phase = slot.pin(generation, B(5)).unwrap().phase();
                if phase == Phase::Ready {
                    assert_eq!(value.get(), 3);
                }
                phase
            }
        });
        line.cross();
        value.set(3);
        slot.publish(Phase::Ready);
        let phase = pinner.join().unwrap();
        let word = slot.load();
        assert_eq!((word.phase(), word.last()), (Phase::Ready, B(5)), "a pin or the publication was lost");
        if phase == Phase::Ready { "pinned ready" } else { "pinned loading" }
    });
}

/// C08. Threads: one whose pin is covered already and writes nothing, the completion. Asserted: a pin that says Ready
/// has the value all the same.
#[test]
fn slot_covered_pin_sees_the_value() {
    explore(&["pinned loading", "pinned ready"], || {
        let (slot, value) = (Arc::new(Slot::new()), Arc::new(Payload::new(0)));
        let generation = slot.claim(B(9));
        let line = StartLine::new();
        let pinner = line.spawn({
            let (slot, value) = (slot.clone(), value.clone());
            move || match slot.pin(generation, B(5)).unwrap().phase() {
                Phase::Ready => {
                    assert_eq!(value.get(), 3);
                    "pinned ready"
                }
                _ => "pinned loading",
            }
        });
        line.cross();
        value.set(3);
        slot.publish(Phase::Ready);
        let pinned = pinner.join().unwrap();
        assert_eq!(slot.load().last(), B(9));
        pinned
    });
}

/// C08. Threads: two that pin to different batches. Asserted: the greater stays.
#[test]
fn slot_pins_add_up() {
    explore(&["greatest"], || {
        let slot = Arc::new(Slot::new());
        let generation = slot.claim(B(0));
        let line = StartLine::new();
        let pinner = line.spawn({
            let slot = slot.clone();
            move || slot.pin(generation, B(5)).is_some()
        });
        line.cross();
        assert!(slot.pin(generation, B(4)).is_some());
        assert!(pinner.join().unwrap());
        assert_eq!(slot.load().last(), B(5));
        "greatest"
    });
}
