//! Gates: one word per batch that answers "has everything this batch waits for happened, and did none of it fail?"
//!
//! ```text
//! word = [error:1 | generation:32 | pending:31]
//!
//!                     open                     arrive / fail, pending 1 -> 0
//!   [ free, g, 0 ] ----------> [ g, pending n ] -----------------------------> [ g, 0: Ready or Failed ]
//!         ^                      |    ^                                               |
//!         |                      '----' add, arrive, fail, set_error                  |
//!         '------------------ recycle: g + 1, by the owner, after release ------------'
//! ```
//!
//! Pending counts *tokens*. [`GateOwner::open`] hands the opener one, its own hold; a token is added only by somebody
//! who holds one, so pending cannot rise from 0 and "0" is final. The error bit is set in the very step that drops the
//! token of what failed: nobody sees the token gone and the gate clean (C15). The generation sits in the same word, so
//! that one load also answers whether a handle outlived its batch, and no step of a stale handle can touch the gate of
//! another batch: each step is a compare-exchange that checks generation and count before it changes anything (C17,
//! C18), in every build.
//!
//! Nobody touches a gate after dropping his own token, except through a handle, which then finds it stale. Recycling is
//! the owner's alone. A release that comes while tokens are out is remembered, and done once they are gone.
//!
//! | operation | ordering | pairs with |
//! |---|---|---|
//! | arrive, fail: compare-exchange | AcqRel | `poll`, and the arrival that ends the count: it has seen all others |
//! | set_error, add | Release | `poll`; continues the release sequence |
//! | poll: load | Acquire | every arrival: all are read-modify-writes, so one release sequence holds them |
//! | open, recycle: store | Release | `poll`; the handle's hand-over publishes it to everybody else |
//!
//! A compare-exchange fails only if another thread's step succeeded, so the loops are lock-free.

use crate::sync::{Arc, AtomicU64, Ordering, mutant, weaken, weaken_to};
use crossbeam_utils::CachePadded;
use std::collections::VecDeque;

const PENDING_BITS: u32 = 31;
const PENDING: u64 = (1 << PENDING_BITS) - 1;
const ERROR: u64 = 1 << 63;

const _: () = assert!(1 + u32::BITS + PENDING_BITS == u64::BITS);

/// The most tokens that a gate can count.
pub const MAX_PENDING: u32 = PENDING as u32;

/// Names one batch's gate. A handle that outlived its batch is stale, never another batch's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GateHandle {
    slot: u32,
    generation: u32,
}

const _: () = assert!(size_of::<GateHandle>() == 8);

/// What a gate answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateState {
    /// Tokens are out.
    Pending,
    /// Every token is gone and nothing failed. Final.
    Ready,
    /// Every token is gone and something failed. Final.
    Failed,
    /// The gate was released; the handle's batch is over.
    Stale,
}

/// A gate's word, taken apart.
#[derive(Clone, Copy)]
struct GateWord(u64);

impl GateWord {
    fn new(generation: u32, pending: u32) -> Self {
        Self(u64::from(generation) << PENDING_BITS | u64::from(pending))
    }

    fn generation(self) -> u32 {
        (self.0 >> PENDING_BITS) as u32 // the cast drops the error bit, which lies just above
    }

    fn pending(self) -> u32 {
        (self.0 & PENDING) as u32
    }

    fn failed(self) -> bool {
        self.0 & ERROR != 0
    }
}

struct Gates {
    words: Box<[CachePadded<AtomicU64>]>,
}

impl Gates {
    fn word(&self, h: GateHandle) -> &AtomicU64 {
        &self.words[h.slot as usize]
    }

    /// Changes the word by `step`, which sees a word of the right generation with pending > 0. Answers it afterwards.
    #[inline]
    #[track_caller]
    fn change(&self, h: GateHandle, order: Ordering, step: impl Fn(GateWord) -> u64) -> GateWord {
        // Relaxed: the compare-exchange orders, and checks that the word is still this one.
        let mut word = self.word(h).load(Ordering::Relaxed);
        loop {
            let now = GateWord(word);
            assert!(now.generation() == h.generation, "{h:?} is used after its gate was recycled");
            assert!(now.pending() > 0, "{h:?} is used after its last token was dropped");
            let next = step(now);
            if order == Ordering::Release && mutant("gate-change-store") {
                // The mutant forgets what happened since the load.
                self.word(h).store(next, order);
                return GateWord(next);
            }
            match self.word(h).compare_exchange(word, next, order, Ordering::Relaxed) {
                Ok(_) => return GateWord(next),
                Err(other) => word = other,
            }
        }
    }

    #[track_caller]
    fn add(&self, h: GateHandle, n: u32) {
        // Release: continues the release sequence of the arrivals so far.
        self.change(h, Ordering::Release, |word| {
            let room = MAX_PENDING - word.pending();
            assert!(n <= room, "{h:?} counts at most {MAX_PENDING} tokens, {n} more than {} asked", word.pending());
            word.0 + u64::from(n)
        });
    }

    /// Drops a token, with `mark` set in the same step. Answers whether it was the last.
    #[inline]
    #[track_caller]
    fn drop_token(&self, h: GateHandle, mark: u64) -> bool {
        // AcqRel. Release: pairs with the Acquire of `poll`. Acquire: who drops the last token has seen what all
        // others did, and may act on it.
        let order = weaken_to("gate-arrive-no-acquire", Ordering::AcqRel, Ordering::Release);
        let order = weaken_to("gate-arrive-no-release", order, Ordering::Acquire);
        if mark != 0 && mutant("gate-error-after-token") {
            let last = self.change(h, order, |word| word.0 - 1).pending() == 0;
            self.word(h).fetch_or(mark, Ordering::Release);
            return last;
        }
        self.change(h, order, |word| (word.0 | mark) - 1).pending() == 0
    }

    #[track_caller]
    fn set_error(&self, h: GateHandle) {
        // Release: pairs with the Acquire of `poll`.
        self.change(h, Ordering::Release, |word| word.0 | ERROR);
    }

    fn poll(&self, h: GateHandle) -> GateState {
        // Acquire: pairs with the Release of every arrival.
        let word = GateWord(self.word(h).load(weaken("gate-poll-relaxed", Ordering::Acquire)));
        match (word.generation() == h.generation, word.pending(), word.failed()) {
            (false, ..) => GateState::Stale,
            (true, 0, false) => GateState::Ready,
            (true, 0, true) => GateState::Failed,
            (true, ..) => GateState::Pending,
        }
    }
}

/// A table of `capacity` gates: the end that opens and recycles, and one that asks.
///
/// # Panics
/// If `capacity` is zero or exceeds 2^24.
#[must_use]
pub fn gate_table(capacity: usize) -> (GateOwner, GateAsker) {
    assert!(capacity > 0 && capacity <= 1 << 24, "a gate table holds 1 to 2^24 gates, {capacity} asked");
    let words = (0..capacity).map(|_| CachePadded::new(AtomicU64::new(0))).collect();
    let gates = Arc::new(Gates { words });
    let owner = GateOwner {
        gates: gates.clone(),
        free: (0..capacity as u32).collect(),
        released: vec![false; capacity].into_boxed_slice(),
        deferred: Vec::with_capacity(capacity),
    };
    (owner, GateAsker { gates })
}

/// The end that opens gates and recycles them. One thread has it.
pub struct GateOwner {
    gates: Arc<Gates>,
    /// Gates nobody refers to; first in, first out, so that generations wear evenly.
    free: VecDeque<u32>,
    /// Per gate: whether it was released while tokens were out.
    released: Box<[bool]>,
    /// Those gates.
    deferred: Vec<GateHandle>,
}

impl GateOwner {
    /// Opens a gate with one token, the caller's own hold: drop it last, once every other token has been added.
    /// `None` if every gate is taken.
    pub fn open(&mut self) -> Option<GateHandle> {
        if self.free.is_empty() {
            self.reclaim();
        }
        let slot = self.free.pop_front()?;
        let word = &self.gates.words[slot as usize];
        // Relaxed: only the owner writes a free gate.
        let generation = GateWord(word.load(Ordering::Relaxed)).generation();
        // Release: pairs with `poll`. Nobody else knows this generation before the handle is handed over.
        word.store(GateWord::new(generation, 1).0, Ordering::Release);
        Some(GateHandle { slot, generation })
    }

    /// Adds `n` tokens. The caller holds one.
    ///
    /// # Panics
    /// If no token is out, or more than [`MAX_PENDING`] would be; the gate is unchanged then.
    #[track_caller]
    pub fn add(&mut self, h: GateHandle, n: u32) {
        self.gates.add(h, n);
    }

    /// Drops a token. Answers whether it was the last: then the caller rings whoever waits for the batch.
    ///
    /// # Panics
    /// If no token is out; the gate is unchanged then.
    #[track_caller]
    #[must_use = "whoever drops the last token wakes those who wait"]
    pub fn arrive(&mut self, h: GateHandle) -> bool {
        let last = self.gates.drop_token(h, 0);
        self.after_drop(h, last)
    }

    /// Drops the token of something that failed: the batch has failed once it is done.
    ///
    /// # Panics
    /// As [`Self::arrive`].
    #[track_caller]
    #[must_use = "whoever drops the last token wakes those who wait"]
    pub fn fail(&mut self, h: GateHandle) -> bool {
        let last = self.gates.drop_token(h, ERROR);
        self.after_drop(h, last)
    }

    /// Marks the batch as failed and keeps the token. To cancel a batch, do this and let the counts drain.
    ///
    /// # Panics
    /// If no token is out.
    #[track_caller]
    pub fn set_error(&mut self, h: GateHandle) {
        self.gates.set_error(h);
    }

    /// What the gate says.
    #[must_use]
    pub fn poll(&self, h: GateHandle) -> GateState {
        self.gates.poll(h)
    }

    /// Gives the gate back: nobody will ask for this batch any more. Recycles it at once if no token is out, else as
    /// soon as a gate is needed after the last is gone.
    ///
    /// # Panics
    /// If it was released before.
    #[track_caller]
    pub fn release(&mut self, h: GateHandle) {
        let state = self.gates.poll(h);
        let released = self.released[h.slot as usize];
        assert!(state != GateState::Stale && !released, "{h:?} is released twice");
        if state == GateState::Pending && !mutant("gate-release-early") {
            self.released[h.slot as usize] = true;
            self.deferred.push(h);
        } else {
            self.recycle(h);
        }
    }

    /// Gates that can be opened right now, those included whose early release has become due.
    pub fn available(&mut self) -> usize {
        self.reclaim();
        self.free.len()
    }

    /// Another end that asks.
    #[must_use]
    pub fn asker(&self) -> GateAsker {
        GateAsker { gates: self.gates.clone() }
    }

    /// An end that drops tokens from other threads.
    #[must_use]
    pub fn arriver(&self) -> GateArriver {
        GateArriver { gates: self.gates.clone() }
    }

    /// Recycles a gate whose early release became due with the token just dropped.
    fn after_drop(&mut self, h: GateHandle, last: bool) -> bool {
        if last && self.released[h.slot as usize] {
            self.deferred.retain(|other| *other != h);
            self.recycle(h);
        }
        last
    }

    /// Does the early releases that have become due. Bounded by the number of gates.
    fn reclaim(&mut self) {
        let mut index = 0;
        while let Some(h) = self.deferred.get(index).copied() {
            if self.gates.poll(h) == GateState::Pending {
                index += 1;
            } else {
                self.deferred.swap_remove(index);
                self.recycle(h);
            }
        }
    }

    fn recycle(&mut self, h: GateHandle) {
        self.released[h.slot as usize] = false;
        let next = if mutant("gate-recycle-same-generation") { Some(h.generation) } else { h.generation.checked_add(1) };
        match next {
            Some(next) => {
                // Release: pairs with `poll`, whose handle is stale from here on.
                self.gates.word(h).store(GateWord::new(next, 0).0, Ordering::Release);
                self.free.push_back(h.slot);
            }
            // 2^32 batches went through this gate: it rests, answering as its last batch did.
            None => self.released[h.slot as usize] = true,
        }
    }
}

/// The end that asks. Any thread may.
#[derive(Clone)]
pub struct GateAsker {
    gates: Arc<Gates>,
}

impl GateAsker {
    /// What the gate says: one load.
    #[must_use]
    pub fn poll(&self, h: GateHandle) -> GateState {
        self.gates.poll(h)
    }

    /// An end that drops tokens.
    #[must_use]
    pub fn arriver(&self) -> GateArriver {
        GateArriver { gates: self.gates.clone() }
    }
}

/// The end that drops tokens which were handed to other threads.
#[derive(Clone)]
pub struct GateArriver {
    gates: Arc<Gates>,
}

impl GateArriver {
    /// Drops a token. Answers whether it was the last: then the caller rings whoever waits for the batch.
    ///
    /// # Panics
    /// If no token is out; the gate is unchanged then.
    #[inline]
    #[track_caller]
    #[must_use = "whoever drops the last token wakes those who wait"]
    pub fn arrive(&self, h: GateHandle) -> bool {
        self.gates.drop_token(h, 0)
    }

    /// Drops the token of something that failed.
    ///
    /// # Panics
    /// As [`Self::arrive`].
    #[track_caller]
    #[must_use = "whoever drops the last token wakes those who wait"]
    pub fn fail(&self, h: GateHandle) -> bool {
        self.gates.drop_token(h, ERROR)
    }

    /// Marks the batch as failed and keeps the token.
    ///
    /// # Panics
    /// If no token is out.
    #[track_caller]
    pub fn set_error(&self, h: GateHandle) {
        self.gates.set_error(h);
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
