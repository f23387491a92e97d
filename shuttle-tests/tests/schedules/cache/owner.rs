//! The owner's thread: what it does, and its own model of what is cached.

use super::{BATCHES, Fault, Job, Seen, World};
use longshore_core::cache::{CacheConfig, CacheOwner, CacheReader, Completion, Handle, Request, WaiterId};
use longshore_core::epoch::EpochThread;
use longshore_core::ordinal::BatchId;
use shuttle::sync::mpsc::Sender;
use shuttle_tests::{Tracked, mark, pick, toss};

pub(super) fn batch_id(batch: u64) -> BatchId {
    BatchId::new(batch)
}

/// An entry that holds a slot.
struct Live {
    entry: usize,
    /// Not told yet, in the order of asking.
    waiters: Vec<u32>,
}

pub(super) struct Owner {
    world: World,
    cache: CacheOwner<u64, Tracked, Fault>,
    reader: CacheReader<Tracked, Fault>,
    thread: EpochThread,
    config: CacheConfig,
    fetches: Vec<Sender<Job>>,
    hash: fn(u64) -> u64,
    live: Vec<Live>,
    next_waiter: u32,
}

impl Owner {
    pub(super) fn new(
        world: World,
        cache: CacheOwner<u64, Tracked, Fault>,
        config: CacheConfig,
        fetches: Vec<Sender<Job>>,
        hash: fn(u64) -> u64,
    ) -> Self {
        let (reader, thread) = (cache.reader(), world.epoch.register());
        Self { world, cache, reader, thread, config, fetches, hash, live: Vec::new(), next_waiter: 0 }
    }

    pub(super) fn run(mut self, operations: usize) {
        let keys = self.config.capacity + 2;
        for _ in 0..operations {
            match pick(10) {
                0..=4 => self.request_until_answered(pick(keys) as u64),
                5 => _ = self.drain(),
                6 if !self.live.is_empty() => self.forget(),
                7 => self.cache.collect(),
                8 => self.sleep(),
                _ => self.look(),
            }
        }
        if toss(3) {
            // With completions out, readers reading and pins coming.
            self.world.oracle.close();
            drop(self.cache);
            return;
        }
        self.finish();
        self.world.oracle.close();
    }

    /// Every fetch ends, every waiter is told, and then every slot can be had.
    fn finish(&mut self) {
        while self.live.iter().any(|live| !self.world.oracle.entry(live.entry).drained) {
            self.sleep();
        }
        while self.world.watermark.get() < batch_id(BATCHES) {
            let ticket = self.world.bell.listen();
            if self.world.watermark.get() < batch_id(BATCHES) {
                self.world.bell.wait(ticket);
            }
        }
        let worn = self.cache.stats().worn;
        for key in 0..self.config.capacity - worn {
            // C09: the mark moves no more. A slot may wear out on the way.
            let refused = !self.request(1_000 + key as u64, BATCHES);
            assert!(!refused || self.cache.stats().worn > worn, "C09, C11: no room, and nothing is wanted any more");
            mark("room without an advance");
        }
        while self.live.iter().any(|live| !self.world.oracle.entry(live.entry).drained) {
            self.sleep();
        }
    }

    fn request_until_answered(&mut self, key: u64) {
        // Of what is not planned yet; towards the end nothing is.
        let from = self.world.oracle.marks().0.min(BATCHES - 1);
        let batch = from + pick((BATCHES - from).min(3) as usize) as u64;
        while !self.request(key, batch) {
            mark("saturated");
            if self.cache.stats().worn == self.config.capacity {
                mark("worn");
                return;
            }
            self.sleep();
        }
    }

    /// Answers false if there was no room.
    fn request(&mut self, key: u64, batch: u64) -> bool {
        let waiter = self.next_waiter;
        self.next_waiter += 1;
        let found = self.live.iter().position(|live| {
            let entry = self.world.oracle.entry(live.entry);
            entry.key == key && !entry.forgotten
        });
        let Some(at) = found else { return self.request_new(key, batch, waiter) };
        let entry = self.live[at].entry;
        self.world.oracle.change(entry, |entry| entry.asked = entry.asked.max(batch));
        let before = self.world.oracle.entry(entry);
        match self.cache.request((self.hash)(key), &key, batch_id(batch), WaiterId(waiter)) {
            Request::Pending(handle) => {
                assert_eq!(handle, before.handle);
                // A reader may have seen the value already: it is there before the phase that requests go by.
                assert!(!before.published, "C05: to be told of what was complete: {before:?}");
                self.live[at].waiters.push(waiter);
                mark("shared a fetch");
            }
            Request::Ready(handle) => {
                assert_eq!(handle, before.handle);
                self.world.oracle.judge(entry, &before, Seen::Ready(entry as u64));
            }
            Request::Failed(handle) => {
                assert_eq!(handle, before.handle);
                let outcome = self.world.oracle.entry(entry).outcome.expect("C02: failed before it was told to");
                assert!(matches!(outcome, Seen::Failed(_)), "C01: it is {outcome:?}");
            }
            answer => panic!("C05, C08: key {key} is {before:?}, the answer is {answer:?}"),
        }
        self.world.oracle.change(entry, |entry| entry.pinned = entry.pinned.max(batch));
        true
    }

    fn request_new(&mut self, key: u64, batch: u64, waiter: u32) -> bool {
        let mark_from = self.world.oracle.marks().0;
        match self.cache.request((self.hash)(key), &key, batch_id(batch), WaiterId(waiter)) {
            Request::Fetch(handle, completion) => {
                self.bury_evicted();
                self.begin(handle, key, batch, waiter, completion);
                true
            }
            Request::Saturated => {
                self.bury_evicted();
                self.check_saturated(mark_from);
                false
            }
            answer => panic!("C05: key {key} is not cached, the answer is {answer:?}"),
        }
    }

    fn begin(&mut self, handle: Handle, key: u64, batch: u64, waiter: u32, completion: Completion<Tracked, Fault>) {
        assert_eq!(completion.handle(), handle);
        let reused = self.live.iter().find(|live| self.world.oracle.entry(live.entry).handle.slot() == handle.slot());
        assert!(reused.is_none(), "C01: slot {} is taken", handle.slot());
        let entry = self.world.oracle.born(handle, key, batch);
        self.live.push(Live { entry, waiters: vec![waiter] });
        let to = &self.fetches[pick(self.fetches.len())];
        to.send(Job { entry, completion }).expect("completers stay as long as there is a sender");
    }

    /// Finds what a request evicted; the oracle judges whether it might.
    fn bury_evicted(&mut self) {
        self.live.retain(|live| {
            let stays = self.world.oracle.look(&self.reader, &self.thread, live.entry, || {}) != Seen::Stale;
            if !stays {
                self.world.oracle.change(live.entry, |entry| entry.gone = true);
                mark("evicted");
            }
            stays
        });
    }

    /// Refused: then each slot is worn or in use, and nothing could have been evicted from `mark_from` on.
    fn check_saturated(&self, mark_from: u64) {
        let stats = self.cache.stats();
        assert_eq!(self.live.len() + stats.worn, self.config.capacity, "C11: refused, and a slot was free");
        for live in &self.live {
            let entry = self.world.oracle.entry(live.entry);
            assert!(!entry.drained || entry.asked >= mark_from, "C11: refused, and this could go below {mark_from}: {entry:?}");
        }
    }

    /// Tells the waiters of what has completed; answers whether there was anything.
    fn drain(&mut self) -> bool {
        let due: Vec<usize> = self.live.iter().map(|live| live.entry).filter(|&entry| self.is_due(entry)).collect();
        let mut told: Vec<(Handle, u32)> = Vec::new();
        let (oracle, reader, thread, live) = (&self.world.oracle, &self.reader, &self.thread, &self.live);
        self.cache.drain_completed(|handle, waiter| {
            let entry = live.iter().map(|live| live.entry).find(|&entry| oracle.entry(entry).handle == handle);
            let seen = oracle.look(reader, thread, entry.expect("told of what is not there"), || {});
            assert!(matches!(seen, Seen::Ready(_) | Seen::Failed(_)), "told that {seen:?} is complete");
            // From the first waiter on: nothing is settled before the call has begun.
            oracle.change(entry.expect("found above"), |entry| entry.drained = true);
            told.push((handle, waiter.0));
        });
        self.check_told(&told);
        for entry in due {
            assert!(self.world.oracle.entry(entry).drained, "C22: {:?} completed before the call, and was not told", entry);
        }
        self.live.retain(|live| {
            let entry = self.world.oracle.entry(live.entry);
            let ends = entry.drained && entry.forgotten;
            if ends {
                self.world.oracle.change(live.entry, |entry| entry.gone = true);
            }
            !ends
        });
        !told.is_empty()
    }

    fn is_due(&self, entry: usize) -> bool {
        let entry = self.world.oracle.entry(entry);
        entry.published && !entry.drained
    }

    /// C05: the waiters of each entry told, all of them, in order, once.
    fn check_told(&mut self, told: &[(Handle, u32)]) {
        for of_one in told.chunk_by(|a, b| a.0 == b.0) {
            let handle = of_one[0].0;
            let live = self.live.iter_mut().find(|live| self.world.oracle.entry(live.entry).handle == handle);
            let live = live.expect("looked up above");
            let waiters: Vec<u32> = of_one.iter().map(|(_, waiter)| *waiter).collect();
            assert_eq!(waiters, std::mem::take(&mut live.waiters), "C05: the waiters of {handle:?}");
        }
    }

    fn forget(&mut self) {
        let at = pick(self.live.len());
        let entry = self.live[at].entry;
        self.world.oracle.change(entry, |entry| entry.forgotten = true);
        let before = self.world.oracle.entry(entry);
        self.cache.forget(before.handle);
        if before.drained {
            self.live.remove(at);
            self.world.oracle.change(entry, |entry| entry.gone = true);
            let seen = self.world.oracle.look(&self.reader, &self.thread, entry, || {});
            assert_eq!(seen, Seen::Stale, "forgotten");
        } else {
            mark("forgotten while pending");
        }
    }

    fn look(&self) {
        if let Some(known) = self.world.oracle.count().checked_sub(1) {
            self.world.oracle.look(&self.reader, &self.thread, pick(known + 1), || {});
        }
    }

    /// Waits for a completion or for the watermark. Hangs, which shuttle reports, if a ring is lost.
    fn sleep(&mut self) {
        let ticket = self.world.bell.listen();
        let waits_for_mark = self.world.watermark.get() < batch_id(BATCHES);
        let waits_for_fetch = self.live.iter().any(|live| !self.world.oracle.entry(live.entry).drained);
        if !self.drain() && (waits_for_mark || waits_for_fetch) {
            mark("slept");
            self.world.bell.wait(ticket);
            self.drain();
        }
    }
}
