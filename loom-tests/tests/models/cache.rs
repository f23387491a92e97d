//! The cache: completions, readers, evictions and the owner's end, in pairs.

use crate::rig::{B, Rig, Seen, fetch, see, see_under};
use longshore_core::cache::{Lookup, Request, WaiterId};
use loom_tests::{Payload, StartLine, explore};

/// C02. Threads: a fetcher that completes the entry, a reader. Asserted: a handle of a fetch under way is pending or
/// ready with its whole value, never stale.
#[test]
fn cache_publication_meets_a_reader() {
    explore(&["pending", "ready"], || {
        let mut rig = Rig::new(1);
        let (handle, completion) = rig.fetch(1, 0);
        let line = StartLine::new();
        let fetcher = line.spawn(move || completion.complete(Payload::new(1)));
        line.cross();
        let seen = see(&rig.reader, &rig.epoch, handle);
        fetcher.join().unwrap();
        assert_eq!(see(&rig.reader, &rig.epoch, handle), Seen::Ready(1));
        match seen {
            Seen::Pending => "pending",
            Seen::Ready(1) => "ready",
            _ => "wrong",
        }
    });
}

/// C05, C22. Threads: two fetchers that complete an entry each, the owner, which sleeps until both are told.
/// Asserted: it wakes, tells each waiter once, and the values are there by then.
#[test]
fn cache_completions_wake_the_owner() {
    explore(&["0 1", "1 0"], || {
        let mut rig = Rig::new(2);
        let line = StartLine::new();
        let fetchers: Vec<_> = (0..2)
            .map(|key| {
                let (_, completion) = rig.fetch(key, 0);
                line.spawn(move || completion.complete(Payload::new(key as u32)))
            })
            .collect();
        line.cross();
        let mut told = Vec::new();
        while told.len() < 2 {
            let ticket = rig.bell.listen();
            let before = told.len();
            let (reader, epoch) = (&rig.reader, &rig.epoch);
            rig.owner.drain_completed(|handle, waiter| {
                assert_eq!(see(reader, epoch, handle), Seen::Ready(waiter.0));
                told.push(waiter.0);
            });
            if told.len() == before {
                rig.bell.wait(ticket);
            }
        }
        fetchers.into_iter().for_each(|fetcher| fetcher.join().unwrap());
        match told[..] {
            [0, 1] => "0 1",
            [1, 0] => "1 0",
            _ => "wrong",
        }
    });
}

/// C06, C22. Threads: a fetcher that drops its completion, the owner, which sleeps until its waiter is told.
/// Asserted: it wakes, once, and the entry has failed.
#[test]
fn cache_dropped_completion_wakes_the_owner() {
    explore(&["cancelled"], || {
        let mut rig = Rig::new(1);
        let (handle, completion) = rig.fetch(1, 0);
        let line = StartLine::new();
        let fetcher = line.spawn(move || drop(completion));
        line.cross();
        let mut told = 0;
        while told == 0 {
            let ticket = rig.bell.listen();
            rig.owner.drain_completed(|_, _| told += 1);
            if told == 0 {
                rig.bell.wait(ticket);
            }
        }
        fetcher.join().unwrap();
        assert_eq!((told, see(&rig.reader, &rig.epoch, handle)), (1, Seen::Failed));
        "cancelled"
    });
}

/// C05. Threads: a fetcher that completes the entry, the owner, which asks for the same key meanwhile. Asserted: the
/// second request has the value or its waiter is told, one of the two.
#[test]
fn cache_late_request_is_answered_or_told() {
    explore(&["ready", "told"], || {
        let mut rig = Rig::new(1);
        let (_, completion) = rig.fetch(1, 0);
        let line = StartLine::new();
        let fetcher = line.spawn(move || completion.complete(Payload::new(1)));
        line.cross();
        let pending = match rig.owner.request(1, &1, B(1), WaiterId(9)) {
            Request::Pending(_) => true,
            Request::Ready(_) => false,
            other => panic!("{other:?}"),
        };
        fetcher.join().unwrap();
        let mut told = Vec::new();
        rig.owner.drain_completed(|_, waiter| told.push(waiter.0));
        assert_eq!(told, if pending { vec![1, 9] } else { vec![1] });
        if pending { "told" } else { "ready" }
    });
}

/// C01, C02, C03. Threads: a reader, the owner, which evicts the entry and uses its slot for another. Asserted: the
/// reader sees its own value, alive, or that it is stale; never the next one's.
#[test]
fn cache_reader_meets_eviction_and_reuse() {
    explore(&["its own", "stale"], || {
        let mut rig = Rig::new(1);
        let handle = rig.settled(1, 0);
        rig.watermark.advance_to(B(1));
        let line = StartLine::new();
        let reading = line.spawn({
            let (reader, epoch) = (rig.reader.clone(), rig.epoch.clone());
            move || see(&reader, &epoch, handle)
        });
        line.cross();
        let (next, completion) = rig.fetch(2, 1);
        completion.complete(Payload::new(2));
        let seen = reading.join().unwrap();
        assert_eq!(see(&rig.reader, &rig.epoch, handle), Seen::Stale);
        assert_eq!(see(&rig.reader, &rig.epoch, next), Seen::Ready(2));
        match seen {
            Seen::Ready(1) => "its own",
            Seen::Stale => "stale",
            _ => "wrong",
        }
    });
}

/// C03. Threads: a reader that looks twice under one guard, the owner, which forgets the entry. Asserted: the value
/// that is held outlives its eviction, and is destroyed once.
#[test]
fn cache_held_value_outlives_its_eviction() {
    explore(&["held", "gone before"], || {
        let mut rig = Rig::new(1);
        let handle = rig.settled(1, 0);
        let line = StartLine::new();
        let reading = line.spawn({
            let (reader, epoch) = (rig.reader.clone(), rig.epoch.clone());
            move || {
                let thread = epoch.register();
                let guard = thread.pin();
                let Lookup::Ready(value) = reader.get(handle, &guard) else { return "gone before" };
                assert_eq!(value.get(), 1);
                loom::thread::yield_now();
                assert_eq!(value.get(), 1);
                "held"
            }
        });
        line.cross();
        rig.owner.forget(handle);
        let held = reading.join().unwrap();
        assert_eq!(see(&rig.reader, &rig.epoch, handle), Seen::Stale);
        held
    });
}

/// C08. Threads: one that pins the entry, the owner, which looks for room. Asserted: the pinned entry stays and the
/// request is refused, or the entry goes and the pin says so.
#[test]
fn cache_pin_meets_eviction() {
    explore(&["pinned", "evicted"], || {
        let mut rig = Rig::new(1);
        let handle = rig.settled(1, 0);
        rig.watermark.advance_to(B(1));
        let line = StartLine::new();
        let pinner = line.spawn({
            let reader = rig.reader.clone();
            move || reader.pin(handle, B(5))
        });
        line.cross();
        let evicted = fetch(&mut rig.owner, 2, 1).is_some();
        let pinned = pinner.join().unwrap();
        assert!(pinned != evicted, "both or neither");
        assert_eq!(see(&rig.reader, &rig.epoch, handle), if pinned { Seen::Ready(1) } else { Seen::Stale });
        if pinned { "pinned" } else { "evicted" }
    });
}

/// C08. Threads: a planner that pins the entry to the next batch and then moves the watermark past this one, the
/// owner, which looks for room. Asserted: the entry stays.
#[test]
fn cache_watermark_moves_behind_a_pin() {
    explore(&["refused"], || {
        let mut rig = Rig::new(1);
        let handle = rig.settled(1, 0);
        let line = StartLine::new();
        let planner = line.spawn({
            let (reader, watermark) = (rig.reader.clone(), rig.watermark.clone());
            move || {
                assert!(reader.pin(handle, B(1)));
                watermark.advance_to(B(1))
            }
        });
        line.cross();
        let refused = fetch(&mut rig.owner, 2, 1).is_none();
        assert!(planner.join().unwrap());
        assert_eq!(see(&rig.reader, &rig.epoch, handle), Seen::Ready(1));
        if refused { "refused" } else { "evicted what was pinned" }
    });
}

/// C12, C22. Threads: a planner that moves the watermark and rings, the owner, whose request is refused until then.
/// Asserted: it wakes, and the request succeeds.
#[test]
fn cache_watermark_wakes_who_was_refused() {
    explore(&["at once", "after a wait"], || {
        let mut rig = Rig::new(1);
        rig.settled(1, 0);
        let line = StartLine::new();
        let planner = line.spawn({
            let (watermark, bell) = (rig.watermark.clone(), rig.bell.clone());
            move || {
                if watermark.advance_to(B(1)) {
                    bell.ring();
                }
            }
        });
        line.cross();
        let mut waits = 0;
        let (_, completion) = loop {
            let ticket = rig.bell.listen();
            match fetch(&mut rig.owner, 2, 1) {
                Some(fetch) => break fetch,
                None => rig.bell.wait(ticket),
            }
            waits += 1;
        };
        drop(completion);
        planner.join().unwrap();
        if waits == 0 { "at once" } else { "after a wait" }
    });
}

/// C01, C07. Threads: a fetcher that completes the entry, the owner, which forgets it. Asserted: its waiter is told,
/// once, then it is gone, and its slot serves the next.
#[test]
fn cache_forgotten_while_completing() {
    explore(&["told at once", "told later"], || {
        let mut rig = Rig::new(1);
        let (handle, completion) = rig.fetch(1, 5);
        let line = StartLine::new();
        let fetcher = line.spawn(move || completion.complete(Payload::new(1)));
        line.cross();
        rig.owner.forget(handle);
        let mut told = 0;
        rig.owner.drain_completed(|_, _| told += 1);
        let at_once = told == 1;
        fetcher.join().unwrap();
        rig.owner.drain_completed(|_, _| told += 1);
        assert_eq!((told, see(&rig.reader, &rig.epoch, handle)), (1, Seen::Stale));
        assert!(fetch(&mut rig.owner, 1, 5).is_some(), "fetched again");
        if at_once { "told at once" } else { "told later" }
    });
}

/// C07. Threads: a fetcher that completes the entry, the owner, which goes and looks at the entry afterwards. Asserted: the
/// value is destroyed, once, by one of the two; the entry ends stale, whoever was faster.
#[test]
fn cache_owner_goes_while_a_completion_comes() {
    explore(&["stale", "its own", "pending"], || {
        let mut rig = Rig::new(1);
        let (handle, completion) = rig.fetch(1, 0);
        let Rig { owner, reader, epoch, .. } = rig;
        let thread = epoch.register();
        let line = StartLine::new();
        let fetcher = line.spawn(move || completion.complete(Payload::new(1)));
        line.cross();
        drop(owner);
        let seen = see_under(&reader, &thread, handle);
        fetcher.join().unwrap();
        assert_eq!(see_under(&reader, &thread, handle), Seen::Stale, "neither end took the value away");
        end_of(seen)
    });
}

/// C03, C07. Threads: the same, and a reader that looks meanwhile. Asserted: it sees its own value, alive, or that it is
/// pending or gone. With the real collector that is half a million runs at bound 1: the stand-in alone explores it.
#[test]
#[cfg_attr(crossbeam_loom, ignore = "minutes with the real collector")]
fn cache_owner_goes_under_a_reader() {
    explore(&["stale", "its own", "pending"], || {
        let mut rig = Rig::new(1);
        let (handle, completion) = rig.fetch(1, 0);
        let Rig { owner, reader, epoch, .. } = rig;
        let line = StartLine::new();
        let fetcher = line.spawn(move || completion.complete(Payload::new(1)));
        let reading = line.spawn({
            let (reader, epoch) = (reader.clone(), epoch.clone());
            move || see(&reader, &epoch, handle)
        });
        line.cross();
        drop(owner);
        fetcher.join().unwrap();
        let seen = reading.join().unwrap();
        assert_eq!(see(&reader, &epoch, handle), Seen::Stale, "neither end took the value away");
        end_of(seen)
    });
}

fn end_of(seen: Seen) -> &'static str {
    match seen {
        Seen::Stale => "stale",
        Seen::Ready(1) => "its own",
        Seen::Pending => "pending",
        _ => "wrong",
    }
}
