//! The end of a cache that one thread has: keys, claims, completions, eviction.
//!
//! ```text
//! stage of a slot, as the owner sees it
//!
//!   Free --- request, Fetch ---> Loading --- drained ---> Settled (hangs in the wheel, may be evicted)
//!    ^                              |                        |
//!    |                            forget                     | evict, forget
//!    |                              v                        |
//!    '------- drained --------- Doomed                       |
//!    '-------------------------------------------------------'
//! ```
//!
//! A slot stays Loading here until its completion was drained, even if the shared word says Ready: until then its link
//! of the completed stack is in use and its waiters have not been told.

use super::completion::Completion;
use super::table::Table;
use super::waiters::{WaiterList, Waiters};
use super::wheel::Wheel;
use super::{CacheConfig, CacheReader, CacheStats, Request, WaiterId};
use crate::epoch::{Epoch, OwnerThread};
use crate::ordinal::BatchId;
use crate::slot::{Handle, Phase, SlotWord};
use crate::sync::{Arc, mutant};
use crate::watermark::Watermark;
use hashbrown::HashTable;

/// Requests looked up together: enough to overlap their misses, few enough for the line-fill buffers.
const BULK: usize = 16;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Free,
    Loading,
    Doomed,
    Settled,
}

/// What the owner keeps per slot.
struct Record {
    hash: u64,
    generation: u32,
    stage: Stage,
    waiters: WaiterList,
}

/// An index entry. It is there as long as the entry's incarnation is indexed, and it remembers enough of the slot's word
/// that a further hit of the same batch needs nothing else.
struct Bucket<K> {
    handle: Handle,
    /// Bits of the hash that the table does not use for its own tags: a guess at the entry without looking at the key.
    tag: u32,
    /// The slot's phase when it was last looked at; it never changes again once it is Ready or Failed.
    phase: Phase,
    /// A batch that the entry is pinned to: the slot's `last` is this or newer.
    last: BatchId,
    key: K,
}

fn tag(hash: u64) -> u32 {
    (hash >> 24) as u32
}

/// Pins an indexed entry. Answers its slot's word as it was before.
fn pin<V, E>(table: &Table<V, E>, h: Handle, batch: BatchId) -> SlotWord {
    let before = table.slot(h.slot).pin(h.generation, batch);
    before.unwrap_or_else(|| unreachable!("{h:?} is indexed, and the owner alone retires"))
}

/// The answer to a request that found a complete entry.
fn answer<V, E>(phase: Phase, h: Handle) -> Request<V, E> {
    if phase == Phase::Failed { Request::Failed(h) } else { Request::Ready(h) }
}

/// The end of a cache that requests, drains and evicts. It may move between threads, and one has it at a time.
pub struct CacheOwner<K, V, E> {
    table: Arc<Table<V, E>>,
    thread: OwnerThread,
    watermark: Arc<Watermark>,
    index: HashTable<Bucket<K>>,
    records: Box<[Record]>,
    free: Vec<u32>,
    wheel: Wheel,
    waiters: Waiters,
    /// Completed and not yet drained, newest first.
    completed: Vec<u32>,
    last_generation: u32,
    /// Something was unlinked since the collector was last told to look.
    unflushed: bool,
    stats: CacheStats,
}

impl<K, V, E> CacheOwner<K, V, E> {
    pub(super) fn new(config: CacheConfig, table: Arc<Table<V, E>>, epoch: &Epoch, watermark: Arc<Watermark>) -> Self {
        let capacity = config.capacity;
        let record = |_| Record { hash: 0, generation: 0, stage: Stage::Free, waiters: WaiterList::EMPTY };
        Self {
            table,
            thread: OwnerThread::new(epoch),
            // Some slack, so that removals leave few tombstones. Should these pile up nevertheless, the index doubles once
            // and from then on cleans them out in place.
            index: HashTable::with_capacity(capacity + capacity / 4),
            records: (0..capacity).map(record).collect(),
            free: (0..capacity as u32).rev().collect(),
            wheel: Wheel::new(capacity, config.wheel, watermark.get().get()),
            waiters: Waiters::default(),
            completed: Vec::with_capacity(capacity),
            last_generation: config.last_generation,
            unflushed: false,
            stats: CacheStats { capacity, ..CacheStats::default() },
            watermark,
        }
    }

    /// Asks for `key` on behalf of `batch`. See [`Request`] for the answers.
    pub fn request(&mut self, hash: u64, key: &K, batch: BatchId, waiter: WaiterId) -> Request<V, E>
    where
        K: Eq + Clone,
    {
        self.request_with(hash, |other| other == key, || key.clone(), batch, waiter)
    }

    /// The same for a key that is borrowed in another form: `same` compares, `make` makes the key if it is new. Equal
    /// keys must come with equal hashes.
    pub fn request_with(
        &mut self,
        hash: u64,
        same: impl Fn(&K) -> bool,
        make: impl FnOnce() -> K,
        batch: BatchId,
        waiter: WaiterId,
    ) -> Request<V, E> {
        match self.index.find_mut(hash, |bucket| same(&bucket.key)) {
            Some(bucket) => {
                let handle = bucket.handle;
                self.stats.hits += 1;
                if bucket.last < batch || bucket.phase == Phase::Loading {
                    let before = pin(&self.table, handle, batch);
                    (bucket.phase, bucket.last) = (before.phase(), before.last().max(batch));
                    if before.last().get() < self.wheel.swept() {
                        self.revive(handle.slot);
                    }
                    if before.phase() == Phase::Loading {
                        // It may complete at this moment; its waiters are told when the owner drains it: later.
                        self.waiters.push(&mut self.records[handle.slot as usize].waiters, waiter);
                        return Request::Pending(handle);
                    }
                    return answer(before.phase(), handle);
                }
                answer(bucket.phase, handle)
            }
            None => self.miss(hash, make, batch, waiter),
        }
    }

    /// Many requests at once, their look-ups overlapped. Appends one answer per key to `answers`, in order, as
    /// [`request`](Self::request) would give them one after the other.
    pub fn request_many(&mut self, keys: &[(u64, &K)], batch: BatchId, waiter: WaiterId, answers: &mut Vec<Request<V, E>>)
    where
        K: Eq + Clone,
    {
        answers.reserve(keys.len());
        for keys in keys.chunks(BULK) {
            // First fetch what each look-up will need: these loads do not wait for one another.
            for (hash, _) in keys {
                let tag = tag(*hash);
                if let Some(bucket) = self.index.find(*hash, |bucket| bucket.tag == tag) {
                    prefetch_whole(bucket);
                    if bucket.last < batch || bucket.phase == Phase::Loading {
                        self.table.prefetch(bucket.handle.slot);
                    }
                }
            }
            answers.extend(keys.iter().map(|(hash, key)| self.request(*hash, key, batch, waiter)));
        }
    }

    /// Tells, for every entry completed since the last call and in the order of completion, each waiter, once and in
    /// the order of asking. The entry's outcome can be read by its handle while `told` runs.
    pub fn drain_completed(&mut self, mut told: impl FnMut(Handle, WaiterId)) {
        if self.completed.is_empty() {
            self.table.take_completed(&mut self.completed);
        }
        while let Some(&slot) = self.completed.last() {
            let record = &mut self.records[slot as usize];
            let handle = Handle { slot, generation: record.generation };
            // The entry leaves `completed` after its last waiter: if `told` panics, the next call goes on from there.
            while let Some(waiter) = self.waiters.pop(&mut record.waiters) {
                told(handle, waiter);
            }
            self.completed.pop();
            self.settle(slot);
        }
        self.flush();
    }

    /// Whether [`drain_completed`](Self::drain_completed) has anything to tell.
    #[must_use]
    pub fn any_completed(&self) -> bool {
        !self.completed.is_empty() || self.table.any_completed()
    }

    /// Drops an entry that must not be cached: the next request for its key fetches again. Its handles are stale from
    /// now on, pinned or not, and its slot is free; no other entry is affected. An entry that is still pending, or whose
    /// waiters have not been told, keeps its slot until they have been. A stale handle changes nothing.
    pub fn forget(&mut self, h: Handle) {
        let Some(record) = self.records.get(h.slot as usize) else { return };
        if record.generation != h.generation {
            return;
        }
        match record.stage {
            Stage::Free | Stage::Doomed => {}
            Stage::Loading => {
                self.unindex(h.slot);
                self.records[h.slot as usize].stage = Stage::Doomed;
            }
            Stage::Settled => {
                self.unindex(h.slot);
                self.wheel.unlink(h.slot);
                self.discard_now(h.slot);
            }
        }
        self.flush();
    }

    /// Catches up with the watermark and lets the collector destroy what is due. Requests do this when they need room;
    /// a caller may when it is idle.
    pub fn collect(&mut self) {
        self.sweep();
        self.thread.pinned(|guard| guard.flush());
    }

    /// What the cache has done.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        CacheStats { entries: self.stats.capacity - self.stats.worn - self.free.len(), ..self.stats }
    }

    /// Another end that reads.
    #[must_use]
    pub fn reader(&self) -> CacheReader<V, E> {
        CacheReader::new(self.table.clone())
    }

    /// Puts an entry that was pinned anew back among the living.
    fn revive(&mut self, slot: u32) {
        if self.records[slot as usize].stage == Stage::Settled && self.wheel.is_dead(slot) {
            self.wheel.unlink(slot);
            self.wheel.place(slot, self.table.slot(slot).load().last().get());
        }
    }

    fn miss(&mut self, hash: u64, make: impl FnOnce() -> K, batch: BatchId, waiter: WaiterId) -> Request<V, E> {
        if self.free.is_empty() {
            self.evict();
        }
        let Some(&slot) = self.free.last() else {
            self.stats.saturated += 1;
            return Request::Saturated;
        };
        let key = make(); // the caller's code: nothing has changed if it panics
        self.free.pop();
        self.stats.misses += 1;
        let generation = self.table.slot(slot).claim(batch);
        let mut waiters = WaiterList::EMPTY;
        self.waiters.push(&mut waiters, waiter);
        self.records[slot as usize] = Record { hash, generation, stage: Stage::Loading, waiters };
        let records = &self.records;
        let handle = Handle { slot, generation };
        let bucket = Bucket { handle, tag: tag(hash), phase: Phase::Loading, last: batch, key };
        self.index.insert_unique(hash, bucket, |bucket| records[bucket.handle.slot as usize].hash);
        Request::Fetch(handle, Completion::new(self.table.clone(), handle))
    }

    /// Evicts one entry, if any may be.
    fn evict(&mut self) {
        let watermark = self.watermark.get();
        loop {
            // Bounded: each turn evicts, or moves a slot that was pinned since to its bucket, or sweeps up to the mark.
            while let Some(slot) = self.wheel.first_dead() {
                self.wheel.unlink(slot);
                match self.table.slot(slot).try_retire(watermark) {
                    Ok(()) => {
                        self.unindex(slot);
                        self.stats.evictions += 1;
                        self.discard(slot);
                        if !self.free.is_empty() {
                            return;
                        }
                    }
                    Err(pinned) => self.wheel.place(slot, pinned.last().get()),
                }
            }
            if !self.sweep_to(watermark) {
                return;
            }
        }
    }

    fn sweep(&mut self) {
        self.sweep_to(self.watermark.get());
    }

    fn sweep_to(&mut self, watermark: BatchId) -> bool {
        let table = &self.table;
        self.wheel.sweep(watermark.get(), |slot| table.slot(slot).load().last().get())
    }

    /// A completion was drained: the entry may be evicted from now on, or goes if it was forgotten meanwhile.
    fn settle(&mut self, slot: u32) {
        let record = &mut self.records[slot as usize];
        if record.stage == Stage::Doomed {
            self.discard_now(slot);
        } else {
            record.stage = Stage::Settled;
            self.wheel.place(slot, self.table.slot(slot).load().last().get());
        }
    }

    /// Discards an entry that is in no list and no longer indexed, pinned or not.
    fn discard_now(&mut self, slot: u32) {
        let retired = self.table.slot(slot).retire_now(self.records[slot as usize].generation);
        debug_assert!(retired, "the owner alone retires");
        self.discard(slot);
    }

    /// Empties a retired slot.
    fn discard(&mut self, slot: u32) {
        let table = &self.table;
        self.thread.pinned(|guard| table.unlink(slot, guard));
        self.unflushed = true;
        self.records[slot as usize].stage = Stage::Free;
        if table.slot(slot).recycle(self.last_generation) {
            self.free.push(slot);
        } else {
            self.stats.worn += 1;
        }
    }

    fn unindex(&mut self, slot: u32) {
        let hash = self.records[slot as usize].hash;
        match self.index.find_entry(hash, |bucket| bucket.handle.slot == slot) {
            Ok(entry) => drop(entry.remove()),
            Err(_) => debug_assert!(false, "slot {slot} is not indexed"),
        }
    }

    /// Lets the collector destroy what is due, if there is anything new.
    fn flush(&mut self) {
        if std::mem::take(&mut self.unflushed) {
            self.thread.pinned(|guard| guard.flush());
        }
    }
}

impl<K, V, E> Drop for CacheOwner<K, V, E> {
    /// Every handle becomes stale; completions that are out destroy their own values.
    fn drop(&mut self) {
        if mutant("owner-drop-open") {
            return;
        }
        self.table.close();
        let table = &self.table;
        self.thread.pinned(|guard| {
            for slot in 0..table.capacity() as u32 {
                if table.slot(slot).retire_now(table.slot(slot).load().generation()) {
                    table.unlink(slot, guard);
                }
            }
            guard.flush();
        });
    }
}

/// Brings the first line of `what` near.
#[inline(always)]
pub(super) fn prefetch<T>(what: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching is a hint that reads nothing and takes any address; every x86-64 has it.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(what.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = what;
}

/// The same for each of its lines, up to four.
#[inline(always)]
fn prefetch_whole<T>(what: &T) {
    let first = std::ptr::from_ref(what).cast::<u8>();
    for offset in (0..size_of::<T>().min(256)).step_by(64) {
        prefetch(first.wrapping_add(offset));
    }
    prefetch(first.wrapping_add(size_of::<T>().clamp(1, 256) - 1));
}
