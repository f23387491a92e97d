//! The cache and what it meets: three threads at one entry, the gate of the batch that waits for it, the collector.

use crate::rig::{B, Fault, Rig, Seen, fetch, see};
use longshore_core::bell::Bell;
use longshore_core::cache::{Lookup, Request, WaiterId};
use longshore_core::gate::{GateState, gate_table};
use longshore_core::sync::Arc;
use loom_tests::{Payload, StartLine, explore};

/// C01, C02, C03, C07. Threads: a fetcher that completes the entry, a reader, the owner, which drains it if it is there,
/// evicts it and uses its slot again. Asserted: the reader sees its own value, alive, or that it is pending or gone.
#[test]
fn cache_publication_eviction_and_reuse_meet_a_reader() {
    explore(&["pending", "its own", "stale"], || {
        let mut rig = Rig::new(1);
        let (handle, completion) = rig.fetch(1, 0);
        rig.watermark.advance_to(B(1));
        let line = StartLine::new();
        let fetcher = line.spawn(move || completion.complete(Payload::new(1)));
        let reading = line.spawn({
            let (reader, epoch) = (rig.reader.clone(), rig.epoch.clone());
            move || see(&reader, &epoch, handle)
        });
        line.cross();
        rig.owner.drain_completed(|_, _| {});
        let next = fetch(&mut rig.owner, 2, 1).map(|(next, completion)| {
            completion.complete(Payload::new(2));
            next
        });
        fetcher.join().unwrap();
        let seen = reading.join().unwrap();
        match next {
            Some(next) => {
                assert_eq!(see(&rig.reader, &rig.epoch, next), Seen::Ready(2));
                assert_eq!(see(&rig.reader, &rig.epoch, handle), Seen::Stale);
            }
            None => assert_eq!(see(&rig.reader, &rig.epoch, handle), Seen::Ready(1), "not drained: it keeps its slot"),
        }
        match seen {
            Seen::Pending => "pending",
            Seen::Ready(1) => "its own",
            Seen::Stale => "stale",
            _ => "wrong",
        }
    });
}

/// C02, C06. Threads: a fetcher that fails, a reader. Asserted: the reader sees the error whole, or that it is pending.
#[test]
fn cache_failure_meets_a_reader() {
    explore(&["pending", "failed"], || {
        let mut rig = Rig::new(1);
        let (handle, completion) = rig.fetch(1, 0);
        let line = StartLine::new();
        let fetcher = line.spawn(move || completion.fail(Fault));
        line.cross();
        let seen = see(&rig.reader, &rig.epoch, handle);
        fetcher.join().unwrap();
        assert_eq!(see(&rig.reader, &rig.epoch, handle), Seen::Failed);
        match seen {
            Seen::Pending => "pending",
            Seen::Failed => "failed",
            _ => "wrong",
        }
    });
}

/// C05. Threads: a fetcher that completes the entry, the owner, which asks for its key again once its waiter was told.
/// Asserted: the answer is there at once, or the second waiter would never be told.
#[test]
fn cache_told_means_complete() {
    explore(&["at once", "after a wait"], || {
        let mut rig = Rig::new(1);
        let (_, completion) = rig.fetch(1, 0);
        let line = StartLine::new();
        let fetcher = line.spawn(move || completion.complete(Payload::new(1)));
        line.cross();
        let (mut told, mut waits) = (0, 0);
        loop {
            let heard = rig.bell.listen();
            rig.owner.drain_completed(|_, _| told += 1);
            if told == 1 {
                break;
            }
            rig.bell.wait(heard);
            waits += 1;
        }
        assert!(matches!(rig.owner.request(1, &1, B(1), WaiterId(9)), Request::Ready(_)), "told too early");
        fetcher.join().unwrap();
        if waits == 0 { "at once" } else { "after a wait" }
    });
}

/// C05, C06. Threads: a fetcher that completes, one that is cancelled, the owner, which drains until both are told.
/// Asserted: each is told once, and each entry has its own outcome.
#[test]
fn cache_cancel_meets_a_completion() {
    explore(&["0 1", "1 0"], || {
        let mut rig = Rig::new(2);
        let line = StartLine::new();
        let (done, completion) = rig.fetch(0, 0);
        let fetcher = line.spawn(move || completion.complete(Payload::new(7)));
        let (cancelled, completion) = rig.fetch(1, 0);
        let canceller = line.spawn(move || drop(completion));
        line.cross();
        let mut told = Vec::new();
        while told.len() < 2 {
            let heard = rig.bell.listen();
            let before = told.len();
            rig.owner.drain_completed(|_, waiter| told.push(waiter.0));
            if told.len() == before {
                rig.bell.wait(heard);
            }
        }
        fetcher.join().unwrap();
        canceller.join().unwrap();
        let seen = [done, cancelled].map(|handle| see(&rig.reader, &rig.epoch, handle));
        assert_eq!(seen, [Seen::Ready(7), Seen::Failed]);
        match told[..] {
            [0, 1] => "0 1",
            [1, 0] => "1 0",
            _ => "wrong",
        }
    });
}

/// C08, C09. Threads: a planner that moves the watermark past the entry's batch, a reader that hits the entry for the next
/// batch, the owner, which looks for room. Asserted: the hit protects the entry or comes too late, never both or neither.
#[test]
fn cache_watermark_meets_a_hit_and_an_eviction() {
    explore(&["kept", "evicted"], || {
        let mut rig = Rig::new(1);
        let handle = rig.settled(1, 0);
        let line = StartLine::new();
        let planner = line.spawn({
            let watermark = rig.watermark.clone();
            move || watermark.advance_to(B(1))
        });
        let hit = line.spawn({
            let reader = rig.reader.clone();
            move || reader.pin(handle, B(1))
        });
        line.cross();
        let evicted = fetch(&mut rig.owner, 2, 1).is_some();
        assert!(planner.join().unwrap());
        let kept = hit.join().unwrap();
        assert!(kept != evicted, "both or neither");
        assert_eq!(see(&rig.reader, &rig.epoch, handle), if kept { Seen::Ready(1) } else { Seen::Stale });
        if kept { "kept" } else { "evicted" }
    });
}

/// C05, C14, C22. Threads: a fetcher that completes an entry, the prefetcher, which is told and drops the batch's last
/// token, the engine, which waits for the gate. Asserted: each is woken, and a ready gate means that the value can be read.
#[test]
fn cache_values_are_there_when_the_gate_is_ready() {
    explore(&["read"], || {
        let mut rig = Rig::new(1);
        let (handle, completion) = rig.fetch(1, 0);
        let (reader, epoch) = (rig.reader.clone(), rig.epoch.clone());
        let (mut gates, asker) = gate_table(1);
        let gate = gates.open().unwrap();
        let engine_bell = Arc::new(Bell::new());
        let line = StartLine::new();
        let fetcher = line.spawn(move || completion.complete(Payload::new(1)));
        let prefetcher = line.spawn({
            let engine_bell = engine_bell.clone();
            move || {
                let mut told = 0;
                while told == 0 {
                    let heard = rig.bell.listen();
                    rig.owner.drain_completed(|_, _| told += 1);
                    if told == 0 {
                        rig.bell.wait(heard);
                    }
                }
                if gates.arrive(gate) {
                    engine_bell.ring();
                }
                rig // kept: the owner's end would retire the entry
            }
        });
        line.cross();
        loop {
            let heard = engine_bell.listen();
            match asker.poll(gate) {
                GateState::Ready => break,
                GateState::Pending => engine_bell.wait(heard),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(see(&reader, &epoch, handle), Seen::Ready(1));
        fetcher.join().unwrap();
        drop(prefetcher.join().unwrap());
        "read"
    });
}

/// C03. Threads: a reader that looks twice under one guard, the owner, which forgets the entry and lets the collector run
/// as often as it takes. Asserted: the value is destroyed while the model runs, once nobody holds it, and never under the
/// reader's guard.
#[test]
fn cache_collector_waits_for_the_reader() {
    explore(&["nobody held it, destroyed", "held, destroyed later", "held, then destroyed", "missed, destroyed later"], || {
        let mut rig = Rig::new(1);
        let (handle, completion) = rig.fetch(1, 0);
        let (value, watch) = Payload::watched(1);
        completion.complete(value);
        rig.owner.drain_completed(|_, _| {});
        let line = StartLine::new();
        let reading = line.spawn({
            let (reader, epoch) = (rig.reader.clone(), rig.epoch.clone());
            move || {
                let thread = epoch.register();
                let guard = thread.pin();
                let Lookup::Ready(value) = reader.get(handle, &guard) else { return false };
                assert_eq!(value.get(), 1);
                loom::thread::yield_now();
                assert_eq!(value.get(), 1);
                true
            }
        });
        line.cross();
        rig.owner.forget(handle);
        rig.owner.collect();
        let at_once = watch.destroyed_by().is_some();
        let held = reading.join().unwrap();
        for _ in 0..3 {
            rig.owner.collect();
        }
        assert!(watch.destroyed_by().is_some(), "nobody is left to hold it");
        match (held, at_once) {
            (false, true) => "nobody held it, destroyed",
            (true, true) => "held, then destroyed",
            (true, false) => "held, destroyed later",
            (false, false) => "missed, destroyed later",
        }
    });
}
