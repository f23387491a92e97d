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
//! of the completed stack is in use and its waiters have not been told. Nothing stores the stage: an entry hangs in the
//! wheel or does not, and the record of one that is no longer indexed says Retired.

use super::completion::Completion;
use super::index::{Index, Search, Tag};
use super::prefetch;
use super::table::{Table, Unlinked};
use super::waiters::{WaiterList, Waiters};
use super::wheel::Wheel;
use super::{CacheConfig, CacheReader, CacheStats, Request, WaiterId};
use crate::epoch::{Epoch, OwnerThread};
use crate::ordinal::BatchId;
use crate::slot::{Handle, Phase, SlotWord};
use crate::sync::{Arc, mutant};
use crate::watermark::Watermark;

/// Requests looked up together: enough to overlap their misses, few enough for the line-fill buffers.
const BULK: usize = 16;

/// Values that go to the collector together, at most: its bag holds 64.
const MOST_DELIVERED: usize = 62;

/// What the owner keeps per slot that was ever used. The key stays until the slot is used again.
struct Record<K> {
    /// The slot's word as far as the owner knows it: a complete phase never changes again, and `last` is the newest
    /// batch for which the owner pinned the entry. See [`newest`]. Retired here says that the entry is no longer indexed.
    seen: SlotWord,
    tag: Tag,
    waiters: WaiterList,
    key: K,
}

/// The newest batch that pinned a slot. The owner's pins lie in its record: it alone evicts, so no other thread has to
/// see them, and a hit writes nothing shared. The pins of readers lie in the slot's word.
fn newest<K, V, E>(records: &[Record<K>], table: &Table<V, E>, slot: u32) -> BatchId {
    records[slot as usize].seen.last().max(table.slot(slot).load().last())
}

/// The end of a cache that requests, drains and evicts. It may move between threads, and one has it at a time.
pub struct CacheOwner<K, V, E> {
    table: Arc<Table<V, E>>,
    thread: OwnerThread,
    watermark: Arc<Watermark>,
    index: Index,
    /// Of the slots that were ever used, which are the first ones.
    records: Vec<Record<K>>,
    /// Slots that were used and are free again.
    free: Vec<u32>,
    wheel: Wheel,
    waiters: Waiters,
    /// The oldest of those that were completed, taken from the table, and not yet drained.
    completed: Option<u32>,
    last_generation: u32,
    /// Values on their way to the collector, which takes its time for each delivery.
    unlinked: Unlinked<V, E>,
    /// How many make a delivery.
    delivery: usize,
    stats: CacheStats,
}

impl<K, V, E> CacheOwner<K, V, E> {
    pub(super) fn new(config: CacheConfig, table: Arc<Table<V, E>>, epoch: &Epoch, watermark: Arc<Watermark>) -> Self {
        let capacity = config.capacity;
        // At most a sixteenth of what the cache may hold is kept beyond its time.
        let delivery = (capacity / 16).clamp(1, MOST_DELIVERED);
        Self {
            table,
            thread: OwnerThread::new(epoch),
            index: Index::new(capacity),
            records: Vec::with_capacity(capacity),
            free: Vec::new(),
            wheel: Wheel::new(capacity, config.wheel, watermark.get().get()),
            waiters: Waiters::default(),
            completed: None,
            last_generation: config.last_generation,
            unlinked: Unlinked::with_capacity(delivery),
            delivery,
            stats: CacheStats { capacity, ..CacheStats::default() },
            watermark,
        }
    }

    /// Asks for `key` on behalf of `batch`. See [`Request`] for the answers.
    #[inline]
    pub fn request(&mut self, hash: u64, key: &K, batch: BatchId, waiter: WaiterId) -> Request<V, E>
    where
        K: Eq + Clone,
    {
        self.request_with(hash, |other| other == key, || key.clone(), batch, waiter)
    }

    /// The same for a key that is borrowed in another form: `same` compares, `make` makes the key if it is new. Equal
    /// keys must come with equal hashes.
    #[inline]
    pub fn request_with(
        &mut self,
        hash: u64,
        same: impl Fn(&K) -> bool,
        make: impl FnOnce() -> K,
        batch: BatchId,
        waiter: WaiterId,
    ) -> Request<V, E> {
        self.request_tagged(Tag::new(hash), same, make, batch, waiter)
    }

    #[inline(always)]
    fn request_tagged(
        &mut self,
        tag: Tag,
        same: impl Fn(&K) -> bool,
        make: impl FnOnce() -> K,
        batch: BatchId,
        waiter: WaiterId,
    ) -> Request<V, E> {
        let mut search = self.index.begin(tag);
        if let Some(slot) = self.index.candidate(&mut search)
            && same(&self.records[slot as usize].key)
        {
            return self.hit(slot, batch, waiter);
        }
        self.request_further(tag, search, same, make, batch, waiter)
    }

    /// What a request does whose first candidate was not it: mostly a miss.
    #[inline(never)]
    fn request_further(
        &mut self,
        tag: Tag,
        mut search: Search,
        same: impl Fn(&K) -> bool,
        make: impl FnOnce() -> K,
        batch: BatchId,
        waiter: WaiterId,
    ) -> Request<V, E> {
        while let Some(slot) = self.index.next(&mut search) {
            if same(&self.records[slot as usize].key) {
                return self.hit(slot, batch, waiter);
            }
        }
        self.miss(tag, make, batch, waiter)
    }

    /// Many requests at once, their look-ups overlapped. Appends one answer per key to `answers`, in order, as
    /// [`request`](Self::request) would give them one after the other.
    pub fn request_many(&mut self, keys: &[(u64, &K)], batch: BatchId, waiter: WaiterId, answers: &mut Vec<Request<V, E>>)
    where
        K: Eq + Clone,
    {
        answers.reserve(keys.len());
        for keys in keys.chunks(BULK) {
            // First fetch what each look-up will need, one kind after the other: loads of a kind do not wait for one
            // another.
            let mut tags = [Tag::default(); BULK];
            for (tag, (hash, _)) in tags.iter_mut().zip(keys) {
                *tag = Tag::new(*hash);
                self.index.prefetch(*tag);
            }
            for tag in &tags[..keys.len()] {
                // The first entry with this tag is the one, or nearly always.
                if let Some(slot) = self.index.candidate(&mut self.index.begin(*tag)) {
                    prefetch::whole(&self.records[slot as usize]);
                }
            }
            for (tag, (_, key)) in tags.iter().zip(keys) {
                answers.push(self.request_tagged(*tag, |other| other == *key, || (*key).clone(), batch, waiter));
            }
        }
    }

    /// Tells, for every entry completed since the last call and in the order of completion, each waiter, once and in
    /// the order of asking. The entry's outcome can be read by its handle while `told` runs.
    pub fn drain_completed(&mut self, mut told: impl FnMut(Handle, WaiterId)) {
        self.completed = self.completed.or_else(|| self.table.take_completed());
        while let Some(slot) = self.completed {
            let record = &mut self.records[slot as usize];
            let handle = Handle { slot, generation: record.seen.generation() };
            // The entry leaves `completed` after its last waiter: if `told` panics, the next call goes on from there.
            while let Some(waiter) = self.waiters.pop(&mut record.waiters) {
                told(handle, waiter);
            }
            self.completed = self.table.after(slot);
            self.settle(slot);
        }
    }

    /// Whether [`drain_completed`](Self::drain_completed) has anything to tell.
    #[must_use]
    pub fn any_completed(&self) -> bool {
        self.completed.is_some() || self.table.any_completed()
    }

    /// Drops an entry that must not be cached: the next request for its key fetches again. Its handles are stale from
    /// now on, pinned or not, and its slot is free; no other entry is affected. An entry that is still pending, or whose
    /// waiters have not been told, keeps its slot until they have been. A stale handle changes nothing.
    pub fn forget(&mut self, h: Handle) {
        let Some(record) = self.records.get(h.slot as usize) else { return };
        if record.seen.generation() != h.generation {
            return;
        }
        if record.seen.phase() == Phase::Retired {
            return;
        }
        self.unindex(h.slot);
        if self.wheel.hangs(h.slot) {
            self.wheel.unlink(h.slot);
            self.discard_now(h.slot);
        }
    }

    /// Catches up with the watermark and lets the collector destroy what is due. Requests do this when they need room;
    /// a caller may when it is idle.
    pub fn collect(&mut self) {
        self.sweep_to(self.watermark.get());
        self.deliver();
    }

    /// What the cache has done.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        CacheStats { entries: self.records.len() - self.stats.worn - self.free.len(), ..self.stats }
    }

    /// Another end that reads.
    #[must_use]
    pub fn reader(&self) -> CacheReader<V, E> {
        CacheReader::new(self.table.clone())
    }

    #[inline(always)]
    fn hit(&mut self, slot: u32, batch: BatchId, waiter: WaiterId) -> Request<V, E> {
        self.stats.hits += 1;
        let record = &mut self.records[slot as usize];
        let handle = Handle { slot, generation: record.seen.generation() };
        let before = record.seen;
        record.seen = before.pinned_by(batch);
        if before.last().get() < self.wheel.swept() {
            self.revive(slot);
        }
        match before.phase() {
            Phase::Ready => Request::Ready(handle),
            Phase::Failed => Request::Failed(handle),
            _ => self.hit_loading(handle, waiter),
        }
    }

    /// The entry was pending when the owner last looked at its slot.
    #[cold]
    fn hit_loading(&mut self, handle: Handle, waiter: WaiterId) -> Request<V, E> {
        let phase = self.table.slot(handle.slot).load().phase();
        let record = &mut self.records[handle.slot as usize];
        match phase {
            Phase::Loading => {
                // It may complete at this moment; its waiters are told when the owner drains it: later.
                self.waiters.push(&mut record.waiters, waiter);
                return Request::Pending(handle);
            }
            Phase::Ready | Phase::Failed => {}
            Phase::Free | Phase::Retired => unreachable!("{handle:?} is indexed, and the owner alone retires"),
        }
        record.seen = SlotWord::new(handle.generation, phase, record.seen.last());
        if phase == Phase::Failed { Request::Failed(handle) } else { Request::Ready(handle) }
    }

    /// Puts an entry that was pinned anew back among the living.
    #[cold]
    fn revive(&mut self, slot: u32) {
        if self.wheel.is_dead(slot) {
            self.wheel.unlink(slot);
            self.wheel.place(slot, newest(&self.records, &self.table, slot).get());
        }
    }

    fn miss(&mut self, tag: Tag, make: impl FnOnce() -> K, batch: BatchId, waiter: WaiterId) -> Request<V, E> {
        let Some(slot) = self.vacant() else {
            self.stats.saturated += 1;
            return Request::Saturated;
        };
        let key = make(); // the caller's code: nothing has changed if it panics
        self.stats.misses += 1;
        let generation = self.table.slot(slot).claim(batch);
        let seen = SlotWord::new(generation, Phase::Loading, batch);
        let mut waiters = WaiterList::EMPTY;
        self.waiters.push(&mut waiters, waiter);
        self.index.insert(tag, slot);
        match self.records.get_mut(slot as usize) {
            Some(record) => {
                self.free.pop();
                (record.seen, record.tag, record.waiters) = (seen, tag, waiters);
                record.key = key; // drops the key of the entry before
            }
            None => self.records.push(Record { seen, tag, waiters, key }),
        }
        let handle = Handle { slot, generation };
        Request::Fetch(handle, Completion::new(self.table.clone(), handle))
    }

    /// A free slot, evicting if there is none: the last of `free`, or else the first that was never used.
    fn vacant(&mut self) -> Option<u32> {
        if self.free.is_empty() && self.records.len() == self.table.capacity() {
            self.evict();
        }
        let unused = self.records.len();
        self.free.last().copied().or_else(|| (unused < self.table.capacity()).then_some(unused as u32))
    }

    /// Evicts one entry, if any may be.
    fn evict(&mut self) {
        let watermark = self.watermark.get();
        loop {
            // Bounded: each turn evicts, or moves a slot that was pinned since to its bucket, or sweeps up to the mark.
            while let Some(slot) = self.wheel.first_dead() {
                self.prefetch_next_dead(slot);
                self.wheel.unlink(slot);
                let own = self.records[slot as usize].seen.last();
                let retired = if own < watermark { self.table.slot(slot).try_retire(watermark).is_ok() } else { false };
                if !retired {
                    self.wheel.place(slot, newest(&self.records, &self.table, slot).get());
                    continue;
                }
                self.unindex(slot);
                self.stats.evictions += 1;
                self.discard(slot);
                if !self.free.is_empty() {
                    return;
                }
            }
            if !self.sweep_to(watermark) {
                return;
            }
        }
    }

    /// Who is evicted after `slot` is known. Their lines are on their way while `slot` goes: the one after the next's
    /// own, and those that the next's lead to.
    fn prefetch_next_dead(&self, slot: u32) {
        let Some(next) = self.wheel.after(slot) else { return };
        self.index.prefetch(self.records[next as usize].tag);
        let Some(later) = self.wheel.after(next) else { return };
        self.wheel.prefetch(later);
        self.table.prefetch(later);
        prefetch::whole(&self.records[later as usize]);
    }

    fn sweep_to(&mut self, watermark: BatchId) -> bool {
        let (records, table) = (&self.records, &self.table);
        self.wheel.sweep(watermark.get(), |slot| newest(records, table, slot).get())
    }

    /// A completion was drained: the entry may be evicted from now on, or goes if it was forgotten meanwhile.
    fn settle(&mut self, slot: u32) {
        let record = &mut self.records[slot as usize];
        if record.seen.phase() == Phase::Retired {
            self.discard_now(slot);
            return;
        }
        let word = self.table.slot(slot).load();
        record.seen = SlotWord::new(word.generation(), word.phase(), record.seen.last());
        self.wheel.place(slot, word.last().max(record.seen.last()).get());
    }

    /// Discards an entry that is in no list and no longer indexed, pinned or not.
    fn discard_now(&mut self, slot: u32) {
        let retired = self.table.slot(slot).retire_now(self.records[slot as usize].seen.generation());
        debug_assert!(retired, "the owner alone retires");
        self.discard(slot);
    }

    /// Empties a retired slot.
    fn discard(&mut self, slot: u32) {
        self.table.unlink(slot, &mut self.unlinked);
        if self.unlinked.len() >= self.delivery {
            self.deliver();
        }
        if self.table.slot(slot).recycle(self.last_generation) {
            self.free.push(slot);
        } else {
            self.stats.worn += 1;
        }
    }

    fn unindex(&mut self, slot: u32) {
        let record = &mut self.records[slot as usize];
        record.seen = SlotWord::new(record.seen.generation(), Phase::Retired, record.seen.last());
        let indexed = self.index.remove(record.tag, slot);
        debug_assert!(indexed, "slot {slot} is not indexed");
    }

    /// Hands what was unlinked to the collector, which destroys what is due.
    fn deliver(&mut self) {
        let (table, unlinked) = (&self.table, &mut self.unlinked);
        self.thread.pinned(|guard| table.destroy(unlinked, guard));
    }
}

impl<K, V, E> Drop for CacheOwner<K, V, E> {
    /// Every handle becomes stale; completions that are out destroy their own values.
    fn drop(&mut self) {
        if mutant("owner-drop-open") {
            return;
        }
        self.table.close();
        for slot in 0..self.table.capacity() as u32 {
            if self.table.slot(slot).retire_now(self.table.slot(slot).load().generation()) {
                self.table.unlink(slot, &mut self.unlinked);
            }
        }
        self.deliver();
    }
}
