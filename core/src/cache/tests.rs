use super::*;
use crate::epoch::EpochThread;
use crate::ordinal::BatchId;
use std::sync::atomic::{AtomicUsize, Ordering};

mod lifetimes;
mod model;
mod threads;

const B: fn(u64) -> BatchId = BatchId::new;

/// A value that counts its destruction and knows when it is dead.
#[derive(Debug)]
struct Tracked {
    number: u64,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.number = u64::MAX;
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Cancelled,
    Code(u64),
}

impl From<Cancelled> for Fault {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// What a handle yields, without the borrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Pending,
    Ready(u64),
    Failed(Fault),
    Stale,
}

struct Rig {
    owner: CacheOwner<u64, Tracked, Fault>,
    reader: CacheReader<Tracked, Fault>,
    watermark: Arc<Watermark>,
    bell: Arc<Bell>,
    thread: EpochThread,
    epoch: Epoch,
    dropped: Arc<AtomicUsize>,
    hash: fn(u64) -> u64,
}

fn spread(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Rig {
    fn new(capacity: usize) -> Self {
        Self::with(CacheConfig::new(capacity))
    }

    fn with(config: CacheConfig) -> Self {
        let (epoch, watermark, bell) = (Epoch::new(), Arc::new(Watermark::new()), Arc::new(Bell::new()));
        let (owner, reader) = cache_with(config, &epoch, watermark.clone(), bell.clone());
        let (thread, dropped) = (epoch.register(), Arc::new(AtomicUsize::new(0)));
        Self { owner, reader, watermark, bell, thread, epoch, dropped, hash: spread }
    }

    fn request(&mut self, key: u64, batch: u64, waiter: u32) -> Request<Tracked, Fault> {
        self.owner.request((self.hash)(key), &key, B(batch), WaiterId(waiter))
    }

    fn fetch(&mut self, key: u64, batch: u64) -> (Handle, Completion<Tracked, Fault>) {
        match self.request(key, batch, 0) {
            Request::Fetch(handle, completion) => (handle, completion),
            other => panic!("key {key}: {other:?}"),
        }
    }

    /// A key fetched, completed with its own number, and drained.
    fn load(&mut self, key: u64, batch: u64) -> Handle {
        let (handle, completion) = self.fetch(key, batch);
        completion.complete(self.value(key));
        self.drain();
        handle
    }

    fn value(&self, number: u64) -> Tracked {
        Tracked { number, dropped: self.dropped.clone() }
    }

    fn drain(&mut self) -> Vec<(Handle, u32)> {
        let mut told = Vec::new();
        self.owner.drain_completed(|handle, waiter| told.push((handle, waiter.0)));
        told
    }

    fn see(&self, handle: Handle) -> Seen {
        see(&self.reader, handle, &self.thread)
    }

    /// Lets the collector come round.
    fn collect(&mut self) {
        (0..8).for_each(|_| self.owner.collect());
    }

    fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Relaxed)
    }
}

fn see(reader: &CacheReader<Tracked, Fault>, handle: Handle, thread: &EpochThread) -> Seen {
    match reader.get(handle, &thread.pin()) {
        Lookup::Pending => Seen::Pending,
        Lookup::Ready(value) => Seen::Ready(value.number),
        Lookup::Failed(fault) => Seen::Failed(*fault),
        Lookup::Stale => Seen::Stale,
    }
}

#[test]
fn c01_evicting_one_entry_leaves_the_others_as_they_were() {
    let mut rig = Rig::new(4);
    let doomed = rig.load(0, 0);
    let kept = rig.load(1, 5);
    let (failed, completion) = rig.fetch(2, 5);
    completion.fail(Fault::Code(7));
    rig.drain();
    let (pending, completion) = rig.fetch(3, 0);
    rig.watermark.advance_to(B(1));
    let (newer, _c) = rig.fetch(4, 5);
    assert_eq!(newer.slot(), doomed.slot());
    let rest = [kept, failed, pending, newer].map(|handle| rig.see(handle));
    assert_eq!(rest, [Seen::Ready(1), Seen::Failed(Fault::Code(7)), Seen::Pending, Seen::Pending]);
    completion.complete(rig.value(3));
    assert_eq!(rig.see(pending), Seen::Ready(3));
}

#[test]
fn c01_forgetting_one_entry_leaves_the_others_and_refetches_it() {
    let mut rig = Rig::new(2);
    let kept = rig.load(1, 5);
    let (transient, completion) = rig.fetch(2, 5);
    completion.fail(Fault::Code(1));
    assert_eq!(rig.drain(), [(transient, 0)]);
    assert!(matches!(rig.request(2, 5, 0), Request::Failed(h) if h == transient), "a failure is cached");
    rig.owner.forget(transient);
    assert_eq!((rig.see(kept), rig.see(transient)), (Seen::Ready(1), Seen::Stale));
    let again = rig.load(2, 5);
    assert_eq!(again.slot(), transient.slot(), "its slot is free at once, pinned or not");
    assert_eq!((rig.see(kept), rig.see(transient), rig.see(again)), (Seen::Ready(1), Seen::Stale, Seen::Ready(2)));
    rig.owner.forget(transient); // stale: changes nothing
    assert_eq!(rig.see(again), Seen::Ready(2));
}

#[test]
fn forgetting_a_pending_entry_tells_its_waiters_and_then_frees_it() {
    for complete_first in [false, true] {
        let mut rig = Rig::new(1);
        let (handle, completion) = rig.fetch(1, 5);
        assert!(matches!(rig.request(1, 5, 1), Request::Pending(_)));
        let value = rig.value(1);
        if complete_first {
            completion.complete(value);
            rig.owner.forget(handle);
            assert_eq!(rig.see(handle), Seen::Ready(1), "its waiters have yet to look");
        } else {
            rig.owner.forget(handle);
            assert_eq!(rig.see(handle), Seen::Pending);
            assert!(matches!(rig.request(1, 5, 2), Request::Saturated), "the slot is still in use");
            completion.complete(value);
        }
        rig.owner.forget(handle);
        assert_eq!(rig.drain(), [(handle, 0), (handle, 1)]);
        assert_eq!(rig.see(handle), Seen::Stale);
        rig.load(1, 5);
        rig.watermark.advance_to(B(6));
        rig.load(2, 6);
    }
}

#[test]
fn c02_a_handle_whose_slot_was_reused_is_stale() {
    let mut rig = Rig::new(1);
    let old = rig.load(1, 0);
    rig.watermark.advance_to(B(1));
    let (new, completion) = rig.fetch(2, 1);
    assert_eq!((old.slot(), rig.see(old), rig.see(new)), (new.slot(), Seen::Stale, Seen::Pending));
    assert!(!rig.reader.pin(old, B(9)) && rig.reader.pin(new, B(2)));
    completion.complete(rig.value(2));
    assert_eq!((rig.see(old), rig.see(new)), (Seen::Stale, Seen::Ready(2)));
    assert!(!rig.reader.pin(old, B(9)));
    let nowhere = Handle { slot: 77, generation: 0 };
    assert_eq!(rig.see(nowhere), Seen::Stale);
    assert!(!rig.reader.pin(nowhere, B(0)));
}

#[test]
fn c04_generations_that_run_out_do_not_revive_old_handles() {
    let mut rig = Rig::with(CacheConfig { last_generation: 3, ..CacheConfig::new(2) });
    let mut handles = Vec::new();
    for key in 0..8 {
        rig.watermark.advance_to(B(key));
        handles.push(rig.load(key, key));
    }
    rig.watermark.advance_to(B(8));
    assert!(matches!(rig.request(8, 8, 0), Request::Saturated), "both slots are worn");
    assert!(handles.iter().all(|handle| rig.see(*handle) == Seen::Stale));
    let unique: std::collections::HashSet<_> = handles.iter().collect();
    assert_eq!(unique.len(), 8, "no handle was given out twice");
    assert_eq!((rig.owner.stats().worn, rig.owner.stats().entries), (2, 0));
}

#[test]
fn c05_requests_for_a_pending_key_make_one_fetch_and_each_waiter_is_told_once() {
    let mut rig = Rig::new(4);
    let (handle, completion) = rig.fetch(1, 0);
    for waiter in 1..5 {
        assert!(matches!(rig.request(1, u64::from(waiter), waiter), Request::Pending(h) if h == handle));
    }
    assert_eq!(rig.drain(), []);
    let ticket = rig.bell.listen();
    completion.complete(rig.value(1));
    rig.bell.wait(ticket); // would hang if nobody rang
    assert!(rig.owner.any_completed());
    assert!(matches!(rig.request(1, 9, 9), Request::Ready(h) if h == handle), "complete before it is drained");
    assert_eq!(rig.drain(), (0..5).map(|waiter| (handle, waiter)).collect::<Vec<_>>());
    assert!(!rig.owner.any_completed());
    assert_eq!(rig.drain(), []);
    assert_eq!((rig.owner.stats().hits, rig.owner.stats().misses), (5, 1));
}

#[test]
fn entries_are_told_in_the_order_of_completion_even_after_a_panic() {
    let mut rig = Rig::new(8);
    let fetches: Vec<_> = (0..4).map(|key| rig.fetch(key, 0)).collect();
    let handles: Vec<_> = fetches.iter().map(|(handle, _)| *handle).collect();
    fetches.into_iter().for_each(|(_, completion)| completion.fail(Fault::Code(0)));
    let mut told = Vec::new();
    let panicking = std::panic::AssertUnwindSafe(|| {
        rig.owner.drain_completed(|handle, _| {
            told.push(handle);
            assert!(told.len() != 2);
        });
    });
    assert!(std::panic::catch_unwind(panicking).is_err());
    told.extend(rig.drain().into_iter().map(|(handle, _)| handle));
    assert_eq!(told, handles);
}

#[test]
fn c06_a_dropped_completion_fails_the_entry_and_tells_its_waiters() {
    let mut rig = Rig::new(1);
    let (handle, completion) = rig.fetch(1, 0);
    assert!(matches!(rig.request(1, 0, 1), Request::Pending(_)));
    let ticket = rig.bell.listen();
    drop(completion);
    rig.bell.wait(ticket);
    assert_eq!(rig.see(handle), Seen::Failed(Fault::Cancelled));
    assert_eq!(rig.drain(), [(handle, 0), (handle, 1)]);
}

#[test]
fn c07_a_completion_after_the_owner_is_gone_destroys_its_value() {
    let mut rig = Rig::new(3);
    let ready = rig.load(0, 0);
    let (late, completion) = rig.fetch(1, 0);
    let (cancelled, dropped_late) = rig.fetch(2, 0);
    let value = rig.value(1);
    let Rig { owner, reader, thread, dropped, bell, epoch, .. } = rig;
    let ticket = bell.listen();
    drop(owner);
    assert_eq!(see(&reader, ready, &thread), Seen::Stale);
    assert_eq!(see(&reader, late, &thread), Seen::Pending);
    let before = dropped.load(Ordering::Relaxed);
    completion.complete(value);
    assert_eq!(dropped.load(Ordering::Relaxed), before + 1, "destroyed at once");
    drop(dropped_late);
    assert_eq!([late, cancelled].map(|handle| see(&reader, handle, &thread)), [Seen::Stale, Seen::Stale]);
    assert!(!bell.wait_timeout(ticket, std::time::Duration::ZERO), "nobody is there to be woken");
    assert!(!reader.pin(late, B(1)));
    drop((reader, thread, epoch));
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
}

#[test]
fn c08_a_hit_at_or_above_the_watermark_protects_again() {
    let mut rig = Rig::new(2);
    let (first, second) = (rig.load(0, 0), rig.load(1, 1));
    rig.watermark.advance_to(B(2));
    rig.owner.collect(); // both are among the dead by now
    assert!(matches!(rig.request(0, 2, 0), Request::Ready(h) if h == first));
    let third = rig.load(2, 2);
    assert_eq!([first, second, third].map(|handle| rig.see(handle)), [Seen::Ready(0), Seen::Stale, Seen::Ready(2)]);
    assert!(matches!(rig.request(3, 2, 0), Request::Saturated));
    assert!(rig.reader.pin(third, B(3)), "a reader's pin protects too");
    rig.watermark.advance_to(B(3));
    rig.load(3, 3);
    assert_eq!([first, third].map(|handle| rig.see(handle)), [Seen::Stale, Seen::Ready(2)]);
}

#[test]
fn c08_an_entry_at_the_watermark_stays() {
    let mut rig = Rig::new(1);
    let handle = rig.load(0, 4);
    rig.watermark.advance_to(B(4));
    assert!(matches!(rig.request(1, 4, 0), Request::Saturated), "its newest batch is not below the mark");
    rig.watermark.advance_to(B(5));
    rig.load(1, 5);
    assert_eq!(rig.see(handle), Seen::Stale);
}

#[test]
fn c09_what_completes_after_the_last_advance_is_evictable_without_another() {
    let mut rig = Rig::new(1);
    let (handle, completion) = rig.fetch(0, 3);
    rig.watermark.advance_to(B(10));
    assert!(matches!(rig.request(1, 10, 0), Request::Saturated), "its fetch is under way");
    completion.complete(rig.value(0));
    rig.drain();
    rig.load(1, 10);
    assert_eq!(rig.see(handle), Seen::Stale);
}

#[test]
fn c11_slow_readers_do_not_take_room() {
    let mut rig = Rig::new(4);
    let thread = rig.epoch.register();
    let _guard = thread.pin(); // a reader that was preempted while it held a guard
    for key in 0..10_000 {
        rig.watermark.advance_to(B(key));
        rig.load(key, key);
    }
    assert_eq!(rig.owner.stats().saturated, 0);
}

#[test]
fn c12_saturated_changes_nothing_and_is_issued_once_later() {
    let mut rig = Rig::new(1);
    let handle = rig.load(0, 0);
    let before = rig.owner.stats();
    for attempt in 1..4 {
        assert!(matches!(rig.request(1, 0, 0), Request::Saturated));
        assert_eq!(rig.owner.stats(), CacheStats { saturated: attempt, ..before });
    }
    assert_eq!(rig.see(handle), Seen::Ready(0));
    rig.watermark.advance_to(B(1));
    let (next, completion) = rig.fetch(1, 1);
    assert!(matches!(rig.request(1, 1, 1), Request::Pending(h) if h == next), "one fetch, though refused before");
    completion.complete(rig.value(1));
    assert_eq!(rig.drain(), [(next, 0), (next, 1)]);
}

#[test]
fn c12_the_oldest_batch_can_make_room_at_a_younger_ones_expense() {
    let mut rig = Rig::new(1);
    let younger = rig.load(9, 9);
    assert!(matches!(rig.request(0, 0, 0), Request::Saturated));
    rig.owner.forget(younger);
    rig.load(0, 0);
    assert_eq!(rig.see(younger), Seen::Stale, "and the younger batch asks again when its turn comes");
}

#[test]
#[should_panic(expected = "another epoch")]
fn a_guard_of_another_epoch_is_refused() {
    let mut rig = Rig::new(1);
    let handle = rig.load(0, 0);
    let thread = Epoch::new().register();
    let _ = rig.reader.get(handle, &thread.pin());
}

#[test]
fn the_owner_may_move_between_threads() {
    let rig = Rig::new(2);
    let dropped = rig.dropped.clone();
    let mut owner = rig.owner;
    for round in 0..4_u64 {
        rig.watermark.advance_to(B(round));
        let dropped = dropped.clone();
        owner = std::thread::spawn(move || {
            for key in [round * 2, round * 2 + 1] {
                match owner.request(spread(key), &key, B(round), WaiterId(0)) {
                    Request::Fetch(_, completion) => completion.complete(Tracked { number: key, dropped: dropped.clone() }),
                    other => panic!("{other:?}"),
                }
            }
            owner.drain_completed(|_, _| {});
            owner
        })
        .join()
        .unwrap();
    }
    assert_eq!(owner.stats().evictions, 6);
    drop((owner, rig.reader, rig.thread, rig.epoch));
    assert_eq!(dropped.load(Ordering::Relaxed), 8);
}
