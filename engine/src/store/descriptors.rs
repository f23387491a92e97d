//! Open files, kept open within a bound.
//!
//! A set-associative table: a key's hash names a set of up to 16 slots. Finding an open file takes no lock and no
//! allocation: one tag scan, one `fetch_add`. Everything else (opening, evicting) happens under the set's own lock, which
//! is never held over a system call.
//!
//! **The slot word** is `[state:2 | leases:30]`. Rules:
//! 1. `Slot::file` may be read by whoever holds a lease that found the state `OPEN`.
//! 2. `Slot::file` may be written by the one who moved the word from `EMPTY | 0 leases` or `OPEN | 0 leases` to `BUSY`,
//!    until he moves it on.
//! 3. A lease taken in another state than `OPEN` is given back at once and reads nothing.
//!
//! | transition | who | operation | ordering |
//! |---|---|---|---|
//! | take a lease | anyone | `fetch_add(1)` | Acquire: sees the file that `publish` wrote |
//! | give it back | its holder | `fetch_sub(1)` | Release: its reads come before the next write |
//! | `EMPTY`, `OPEN` -> `BUSY` | the set's lock holder | compare-exchange at 0 leases | Acquire: after all reads of the old file |
//! | `BUSY` -> `OPEN` | who made it `BUSY` | `fetch_add` | Release |
//! | `BUSY` -> `EMPTY` | the same | `fetch_sub` | Release |
//!
//! Stray leases of rule 3 come and go in any state, hence only read-modify-writes.
//!
//! *Single flight.* Who misses looks for a [`Flight`] of the key under the set's lock: there is one, then he waits for it;
//! there is none, then he starts it, having reserved (and if need be emptied) a slot first, so that the bound holds while
//! files are being opened. A failed open fails those who waited for it and leaves nothing behind. When all slots of a set
//! are leased, the file is opened for its readers only, and closed after them: so the bound is the capacity plus the
//! threads that read at one time.

use std::cell::UnsafeCell;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, TryLockError};

use super::counters::{Counters, add};
use super::pool::lock;
use super::{ObjectKey, StoreError};

/// Slots of a set. Their tags fill one cache line.
const WAYS: usize = 16;
/// How often a reader waits for flights that end without an answer before it opens a file for itself.
const MAX_FLIGHTS: usize = 3;

const EMPTY: u32 = 0;
const BUSY: u32 = 1 << 30;
const OPEN: u32 = 2 << 30;
const STATE: u32 = 3 << 30;

/// An open object.
#[derive(Debug)]
pub(crate) struct OpenFile {
    key: ObjectKey,
    /// The descriptor.
    pub(crate) fd: OwnedFd,
    /// Size when it was opened, bytes.
    pub(crate) size: u64,
    /// Set once the file system said that it cannot read without waiting. Relaxed: a hint, it guards nothing.
    pub(crate) always_blocks: AtomicBool,
    counters: Arc<Counters>,
}

impl OpenFile {
    /// Wraps a descriptor that was just opened, and counts it.
    pub(crate) fn new(key: &ObjectKey, (fd, size): (OwnedFd, u64), counters: &Arc<Counters>) -> Self {
        add(&counters.opens, 1);
        add(&counters.open_files, 1);
        Self { key: Arc::clone(key), fd, size, always_blocks: AtomicBool::new(false), counters: Arc::clone(counters) }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        add(&self.counters.closes, 1);
        // Relaxed: a counter.
        self.counters.open_files.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to use an open file; it stays open until the lease is dropped.
pub(crate) enum Lease<'a> {
    Cached(Cached<'a>),
    Private(Arc<OpenFile>),
}

impl Deref for Lease<'_> {
    type Target = OpenFile;

    fn deref(&self) -> &OpenFile {
        match self {
            Self::Cached(cached) => cached.file(),
            Self::Private(file) => file,
        }
    }
}

/// A lease of a slot that was `OPEN` when it was taken.
pub(crate) struct Cached<'a>(&'a Slot);

impl Cached<'_> {
    fn file(&self) -> &OpenFile {
        // SAFETY: this lease found the slot OPEN and is still counted in its word, so nobody writes `file` (rule 2).
        let file = unsafe { &*self.0.file.get() };
        file.as_ref().expect("an open slot has a file")
    }
}

impl Drop for Cached<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

struct Slot {
    word: AtomicU32,
    /// Used since the hand last came by. Relaxed: it guides eviction and guards nothing.
    used: AtomicBool,
    file: UnsafeCell<Option<OpenFile>>,
}

// SAFETY: `file` is the only part that is not Sync by itself; the rules of the module head give it either one writer or
// only readers, and its transitions order them.
unsafe impl Sync for Slot {}

impl Slot {
    fn new() -> Self {
        Self { word: AtomicU32::new(EMPTY), used: AtomicBool::new(false), file: UnsafeCell::new(None) }
    }

    fn lease(&self) -> Option<Cached<'_>> {
        // Acquire: pairs with `publish`.
        if self.word.fetch_add(1, Ordering::Acquire) & STATE == OPEN {
            return Some(Cached(self));
        }
        self.give_back();
        None
    }

    fn give_back(&self) {
        // Release: pairs with the Acquire of `reserve`.
        self.word.fetch_sub(1, Ordering::Release);
    }

    /// Makes the slot `BUSY` if it is in `state` and nobody leases it.
    fn reserve(&self, state: u32) -> bool {
        // Acquire: pairs with `give_back`; Relaxed on failure, nothing is read then.
        self.word.compare_exchange(state, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
}

/// A slot that the holder alone may fill. Dropped unfilled, it becomes empty.
struct Reserved<'a> {
    set: &'a Set,
    way: usize,
}

impl<'a> Reserved<'a> {
    fn slot(&self) -> &'a Slot {
        &self.set.slots[self.way]
    }

    /// Takes the old file out.
    fn take(&self) -> Option<OpenFile> {
        // Relaxed: tags are hints, a lease checks the key itself.
        self.set.tags[self.way].store(0, Ordering::Relaxed);
        // SAFETY: the slot is BUSY by this token's reservation (rule 2), and `self` is its only user.
        unsafe { (*self.slot().file.get()).take() }
    }

    /// Fills the slot and answers `leases` leases of it.
    fn publish(self, file: OpenFile, tag: u32, leases: u32) -> impl Iterator<Item = Cached<'a>> {
        let slot = self.slot();
        // SAFETY: as in `take`.
        unsafe { *slot.file.get() = Some(file) };
        // Relaxed, twice: hints.
        slot.used.store(true, Ordering::Relaxed);
        self.set.tags[self.way].store(tag, Ordering::Relaxed);
        // Release: pairs with the Acquire of `lease`.
        slot.word.fetch_add(OPEN - BUSY + leases, Ordering::Release);
        std::mem::forget(self);
        (0..leases).map(move |_| Cached(slot))
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire of the next `reserve`.
        self.slot().word.fetch_sub(BUSY - EMPTY, Ordering::Release);
    }
}

#[repr(align(64))]
struct Set {
    /// Part of the hash of each slot's key, 0 where there is none. Hints, hence Relaxed everywhere.
    tags: [AtomicU32; WAYS],
    slots: [Slot; WAYS],
    slow: Mutex<Slow>,
}

/// What only the holder of a set's lock touches.
struct Slow {
    hand: usize,
    flights: Vec<Arc<Flight>>,
}

/// One open in progress.
struct Flight {
    key: ObjectKey,
    state: Mutex<FlightState>,
    landed: Condvar,
}

#[derive(Default)]
struct FlightState {
    waiters: u32,
    outcome: Option<Outcome>,
}

/// How a flight ended, for each of its waiters.
#[derive(Clone)]
enum Outcome {
    /// In this way of the set, one lease taken for each waiter already.
    Cached(usize),
    Private(Arc<OpenFile>),
    Failed(StoreError),
    /// Not opened, and nothing learned (the opener may not wait): try again.
    Abandoned,
}

/// The flight of a thread that opens a file for everybody. Dropped without landing, it lands abandoned.
struct Leader<'a> {
    set: &'a Set,
    flight: Arc<Flight>,
    reserved: Option<Reserved<'a>>,
    tag: u32,
    landed: bool,
}

impl<'a> Leader<'a> {
    /// Ends the flight: publishes the file, wakes who waits, and answers the leader's own lease.
    fn land(mut self, opened: Result<OpenFile, StoreError>) -> Result<Lease<'a>, StoreError> {
        let reserved = self.reserved.take();
        self.landed = true;
        let mut slow = lock(&self.set.slow);
        let mut state = lock(&self.flight.state);
        slow.flights.retain(|other| !Arc::ptr_eq(other, &self.flight));
        let (outcome, own) = match (opened, reserved) {
            (Ok(file), Some(reserved)) => {
                let way = reserved.way;
                let mut leases = reserved.publish(file, self.tag, 1 + state.waiters);
                let own = leases.next().expect("one lease at least");
                // The others belong to the waiters, who pick them up by the outcome.
                leases.for_each(std::mem::forget);
                (Outcome::Cached(way), Ok(Lease::Cached(own)))
            }
            (Ok(file), None) => {
                let file = Arc::new(file);
                (Outcome::Private(Arc::clone(&file)), Ok(Lease::Private(file)))
            }
            (Err(error), _) => (Outcome::Failed(error.clone()), Err(error)),
        };
        state.outcome = Some(outcome);
        self.flight.landed.notify_all();
        drop((slow, state));
        own
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        let mut slow = lock(&self.set.slow);
        let mut state = lock(&self.flight.state);
        slow.flights.retain(|other| !Arc::ptr_eq(other, &self.flight));
        state.outcome = Some(Outcome::Abandoned);
        self.flight.landed.notify_all();
    }
}

/// What a reader that found no open file does next.
enum Miss<'a> {
    /// Another one opened it in between.
    Hit(Cached<'a>),
    /// Open it, for everybody; then close the file that had to go.
    Lead(Leader<'a>, Option<OpenFile>),
    /// Wait for the one who opens it.
    Follow(Arc<Flight>),
}

/// The open files of a store.
pub(crate) struct DescriptorCache {
    sets: Box<[Set]>,
    ways: usize,
}

impl DescriptorCache {
    /// A cache that keeps at most `capacity` files open (at least 1; above 16 rounded down to a multiple of 16).
    pub(crate) fn new(capacity: usize) -> Self {
        let ways = capacity.clamp(1, WAYS);
        Self { sets: (0..(capacity / WAYS).max(1)).map(|_| Set::new()).collect(), ways }
    }

    /// Most files that stay open.
    pub(crate) fn capacity(&self) -> usize {
        self.sets.len() * self.ways
    }

    /// The file, if it is open. Takes no lock.
    pub(crate) fn get(&self, key: &ObjectKey) -> Option<Lease<'_>> {
        let (set, tag) = self.place(key);
        set.find(key, tag).map(Lease::Cached)
    }

    /// The file, opened by `open` if need be; waits if another thread is opening it.
    pub(crate) fn get_or_open(&self, key: &ObjectKey, open: impl Fn() -> Result<OpenFile, StoreError>) -> Result<Lease<'_>, StoreError> {
        let (set, tag) = self.place(key);
        for _ in 0..MAX_FLIGHTS {
            if let Some(cached) = set.find(key, tag) {
                return Ok(Lease::Cached(cached));
            }
            let miss = set.miss(&mut lock(&set.slow), self.ways, key, tag);
            match miss {
                Miss::Hit(cached) => return Ok(Lease::Cached(cached)),
                Miss::Lead(leader, evicted) => {
                    drop(evicted);
                    return leader.land(open());
                }
                Miss::Follow(flight) => match flight.wait() {
                    Outcome::Cached(way) => return Ok(Lease::Cached(Cached(&set.slots[way]))),
                    Outcome::Private(file) => return Ok(Lease::Private(file)),
                    Outcome::Failed(error) => return Err(error),
                    Outcome::Abandoned => {}
                },
            }
        }
        Ok(Lease::Private(Arc::new(open()?)))
    }

    /// As [`Self::get_or_open`] with an `open` that answers `None` instead of waiting; waits for nobody.
    #[inline]
    pub(crate) fn try_get_or_open(
        &self,
        key: &ObjectKey,
        open: impl FnOnce() -> Result<Option<OpenFile>, StoreError>,
    ) -> Result<Option<Lease<'_>>, StoreError> {
        let (set, tag) = self.place(key);
        match set.find(key, tag) {
            Some(cached) => Ok(Some(Lease::Cached(cached))),
            None => self.try_open(set, tag, key, open),
        }
    }

    #[cold]
    fn try_open<'a>(
        &'a self,
        set: &'a Set,
        tag: u32,
        key: &ObjectKey,
        open: impl FnOnce() -> Result<Option<OpenFile>, StoreError>,
    ) -> Result<Option<Lease<'a>>, StoreError> {
        let miss = {
            let mut slow = match set.slow.try_lock() {
                Ok(slow) => slow,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return Ok(None),
            };
            if slow.flights.iter().any(|flight| flight.key == *key) {
                return Ok(None);
            }
            set.miss(&mut slow, self.ways, key, tag)
        };
        match miss {
            Miss::Hit(cached) => Ok(Some(Lease::Cached(cached))),
            Miss::Lead(leader, evicted) => {
                drop(evicted);
                match open().transpose() {
                    Some(opened) => leader.land(opened).map(Some),
                    None => Ok(None),
                }
            }
            Miss::Follow(_) => Ok(None),
        }
    }

    /// Keeps a file that is open anyway, if there is room without closing another; else closes it.
    pub(crate) fn offer(&self, file: OpenFile) {
        let (set, tag) = self.place(&file.key);
        let slow = lock(&set.slow);
        if set.find(&file.key, tag).is_none()
            && !slow.flights.iter().any(|flight| flight.key == file.key)
            && let Some(way) = (0..self.ways).find(|way| set.slots[*way].reserve(EMPTY))
        {
            let reserved = Reserved { set, way };
            drop(reserved.publish(file, tag, 0));
        }
        // A file that was not kept is closed here, after the lock (declared later, dropped earlier).
    }

    /// Forgets a file that the file system says is no longer good, unless somebody is reading it.
    pub(crate) fn forget(&self, key: &ObjectKey) {
        let (set, tag) = self.place(key);
        let slow = lock(&set.slow);
        let stale = (0..self.ways).find_map(|way| set.evict_if(way, key, tag));
        drop(slow);
        drop(stale);
    }

    #[inline]
    fn place(&self, key: &ObjectKey) -> (&Set, u32) {
        let hash = xxhash_rust::xxh3::xxh3_64(key.as_bytes());
        let set = (hash >> 32) as usize % self.sets.len();
        (&self.sets[set], hash as u32 | 1)
    }
}

impl Set {
    fn new() -> Self {
        Self {
            tags: [const { AtomicU32::new(0) }; WAYS],
            slots: std::array::from_fn(|_| Slot::new()),
            slow: Mutex::new(Slow { hand: 0, flights: Vec::new() }),
        }
    }

    #[inline]
    fn find(&self, key: &ObjectKey, tag: u32) -> Option<Cached<'_>> {
        self.tags.iter().zip(&self.slots).find_map(|(its_tag, slot)| {
            // Relaxed: a hint; the lease synchronises, and the key decides.
            if its_tag.load(Ordering::Relaxed) != tag {
                return None;
            }
            let cached = slot.lease().filter(|cached| cached.file().key == *key)?;
            // Relaxed: a hint. Read first: most of the time the line need not be written.
            if !slot.used.load(Ordering::Relaxed) {
                slot.used.store(true, Ordering::Relaxed);
            }
            Some(cached)
        })
    }

    fn miss(&self, slow: &mut Slow, ways: usize, key: &ObjectKey, tag: u32) -> Miss<'_> {
        if let Some(cached) = self.find(key, tag) {
            return Miss::Hit(cached);
        }
        if let Some(flight) = slow.flights.iter().find(|flight| flight.key == *key) {
            // Landing takes the set's lock, which we hold: this flight is in the air and will count us.
            lock(&flight.state).waiters += 1;
            return Miss::Follow(Arc::clone(flight));
        }
        let reserved = self.make_room(slow, ways);
        let evicted = reserved.as_ref().and_then(Reserved::take);
        let flight = Arc::new(Flight { key: Arc::clone(key), state: Mutex::default(), landed: Condvar::new() });
        slow.flights.push(Arc::clone(&flight));
        Miss::Lead(Leader { set: self, flight, reserved, tag, landed: false }, evicted)
    }

    /// Reserves an empty slot, or the first one the hand finds unused since it last came by (CLOCK).
    fn make_room(&self, slow: &mut Slow, ways: usize) -> Option<Reserved<'_>> {
        if let Some(way) = (0..ways).find(|way| self.slots[*way].reserve(EMPTY)) {
            return Some(Reserved { set: self, way });
        }
        for _ in 0..2 * ways {
            let way = slow.hand % ways;
            slow.hand = (way + 1) % ways;
            // Relaxed: a hint.
            if !self.slots[way].used.swap(false, Ordering::Relaxed) && self.slots[way].reserve(OPEN) {
                return Some(Reserved { set: self, way });
            }
        }
        None
    }

    /// Takes the file of `way` out if it is `key`'s and nobody leases it. Called under the set's lock.
    fn evict_if(&self, way: usize, key: &ObjectKey, tag: u32) -> Option<OpenFile> {
        // Relaxed: a hint; under the lock nobody else fills slots, and the key decides.
        if self.tags[way].load(Ordering::Relaxed) != tag || self.slots[way].lease()?.file().key != *key {
            return None;
        }
        if !self.slots[way].reserve(OPEN) {
            return None;
        }
        Reserved { set: self, way }.take()
    }
}

impl Flight {
    fn wait(&self) -> Outcome {
        let mut state = lock(&self.state);
        loop {
            if let Some(outcome) = &state.outcome {
                return outcome.clone();
            }
            state = self.landed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl std::fmt::Debug for DescriptorCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DescriptorCache").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
