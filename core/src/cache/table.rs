//! What the owner, the readers and the completions of a cache share.
//!
//! Per slot: the word ([`crate::slot`]), a pointer to the payload, and a link of the completed stack.
//!
//! | field | written by | when |
//! |---|---|---|
//! | word | owner, pins, completion | as `slot` says |
//! | value | the completion's holder: null -> payload | before it publishes the phase |
//! | value | whoever retired the slot: payload -> null | after Retired, before the destruction is deferred |
//! | next | the completion's holder | after it published the phase, before it pushes the slot |
//! | next | the owner | when it has taken the stack: it turns the links round |
//!
//! The values lie in an array of their own: eight bytes are all that a reader needs of a slot.
//!
//! A reader goes by the payload, which carries its generation: if it is the handle's, that is the answer, whatever the
//! word says by now (the guard keeps the payload alive). Only a null or another generation sends it to the word.
//!
//! The completed stack is push-one / take-all, linked through the slots: it cannot overflow and allocates nothing. A
//! slot is on it at most once per incarnation, and is not reused before the owner has taken it off. When the owner
//! goes, the stack is closed; a completion that finds it closed takes its own value away again.
//!
//! | operation | ordering | pairs with |
//! |---|---|---|
//! | value: store | Release | a reader's load: the payload is whole |
//! | value: load | Acquire | the store; also the swap that made it null, after which the word shows Retired |
//! | value: swap(null) | AcqRel | the store, whose payload is taken; readers' loads |
//! | head: push | Release | take, close: the link, and all that the completer did |
//! | head: push that finds CLOSED | Acquire | close |
//! | head: take, close | Acquire, AcqRel | push |

use super::prefetch;
use crate::bell::Bell;
use crate::epoch::{Epoch, Guard};
use crate::slot::{Handle, Phase, Slot};
use crate::sync::{Arc, AtomicPtr, AtomicU32, Ordering, mutant, weaken};
use crossbeam_utils::CachePadded;
use std::ptr;

/// The end of the completed stack.
const END: u32 = u32::MAX;
/// The stack's head once the owner is gone.
const CLOSED: u32 = u32::MAX - 1;

/// A published outcome and the incarnation it belongs to. One enumeration, so that its tag and the generation share a
/// word.
pub(super) enum Payload<V, E> {
    Ready { generation: u32, value: V },
    Failed { generation: u32, error: E },
}

impl<V, E> Payload<V, E> {
    fn new(generation: u32, outcome: Result<V, E>) -> Self {
        match outcome {
            Ok(value) => Self::Ready { generation, value },
            Err(error) => Self::Failed { generation, error },
        }
    }

    #[inline(always)]
    fn generation(&self) -> u32 {
        match self {
            Self::Ready { generation, .. } | Self::Failed { generation, .. } => *generation,
        }
    }

    #[inline(always)]
    fn outcome(&self) -> Result<&V, &E> {
        match self {
            Self::Ready { value, .. } => Ok(value),
            Self::Failed { error, .. } => Err(error),
        }
    }
}

const _: () = assert!(size_of::<Payload<u64, u64>>() == 16);

/// [`Guard::defer_destroy`], with its contract, as a plain function.
unsafe fn defer_destroy<V: Send + 'static, E: Send + 'static>(guard: &Guard<'_>, unlinked: *mut Payload<V, E>) {
    // SAFETY: the caller keeps the contract.
    unsafe { guard.defer_destroy(unlinked) };
}

struct Cell {
    word: Slot,
    next: AtomicU32,
}

/// Payloads that no reader can find any more, and that some may still hold. It owns them: dropping it leaks them.
pub(super) struct Unlinked<V, E>(Vec<*mut Payload<V, E>>);

// SAFETY: it stands for the ownership of outcomes; see `Table`.
unsafe impl<V: Send, E: Send> Send for Unlinked<V, E> {}

impl<V, E> Unlinked<V, E> {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The shared half of a cache.
pub(super) struct Table<V, E> {
    cells: Box<[Cell]>,
    values: Box<[AtomicPtr<Payload<V, E>>]>,
    completed: CachePadded<AtomicU32>,
    bell: Arc<Bell>,
    pub(super) epoch: Epoch,
    /// Makes the error of a fetch that was dropped.
    pub(super) cancelled: fn() -> E,
    /// `Guard::defer_destroy` for this payload. A pointer, so that completions need no bounds to drop.
    destroy: unsafe fn(&Guard<'_>, *mut Payload<V, E>),
}

// SAFETY: the table owns payloads behind pointers. They are made on one thread, read by `&` on many and destroyed on
// any: `V` and `E` must be both `Send` and `Sync`.
unsafe impl<V: Send + Sync, E: Send + Sync> Send for Table<V, E> {}
// SAFETY: as above.
unsafe impl<V: Send + Sync, E: Send + Sync> Sync for Table<V, E> {}

impl<V, E> Table<V, E> {
    pub(super) fn new(capacity: usize, epoch: &Epoch, bell: Arc<Bell>, cancelled: fn() -> E) -> Self
    where
        V: Send + 'static,
        E: Send + 'static,
    {
        let cell = |_| Cell { word: Slot::new(), next: AtomicU32::new(END) };
        Self {
            cells: (0..capacity).map(cell).collect(),
            values: (0..capacity).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
            completed: CachePadded::new(AtomicU32::new(END)),
            bell,
            epoch: epoch.clone(),
            cancelled,
            destroy: defer_destroy::<V, E>,
        }
    }

    pub(super) fn slot(&self, slot: u32) -> &Slot {
        &self.cells[slot as usize].word
    }

    /// The slot of a handle, unless no slot has that number.
    pub(super) fn slot_of(&self, h: Handle) -> Option<&Slot> {
        self.cells.get(h.slot as usize).map(|cell| &cell.word)
    }

    /// Brings a slot's lines near.
    #[inline(always)]
    pub(super) fn prefetch(&self, slot: u32) {
        prefetch::line(&raw const self.cells[slot as usize]);
        prefetch::line(&raw const self.values[slot as usize]);
    }

    /// The outcome of the handle's incarnation, if it is published and not yet unlinked. The guard must be of this
    /// table's epoch, which the caller has asserted.
    #[inline]
    pub(super) fn published<'g>(&'g self, h: Handle, _guard: &'g Guard<'_>) -> Option<Result<&'g V, &'g E>> {
        // Acquire: pairs with the Release of the completion that stored it.
        let value = self.values.get(h.slot as usize)?;
        let payload = value.load(weaken("table-value-load-relaxed", Ordering::Acquire));
        // SAFETY: a payload is unlinked before its destruction is deferred, and the guard was alive before the load: it
        // is destroyed after the guard drops, or, if the cache goes before that, `Drop` below needs exclusive access
        // that the borrow of the table denies.
        let payload = unsafe { payload.as_ref() }?;
        (payload.generation() == h.generation || mutant("table-any-generation")).then(|| payload.outcome())
    }

    /// Publishes the outcome of a Loading slot and puts it on the completed stack. The completion's holder's.
    pub(super) fn complete(&self, h: Handle, outcome: Result<V, E>) {
        let cell = &self.cells[h.slot as usize];
        // Acquire: pairs with the Release of `close`.
        if self.completed.load(Ordering::Acquire) == CLOSED {
            cell.word.abandon();
            return; // the outcome is destroyed here
        }
        let phase = if outcome.is_ok() { Phase::Ready } else { Phase::Failed };
        let payload = Box::into_raw(Box::new(Payload::new(h.generation, outcome)));
        if mutant("table-publish-first") {
            cell.word.publish(phase);
        }
        // Release: pairs with the Acquire of readers. The slot holds null: it was emptied when it was retired.
        self.values[h.slot as usize].store(payload, weaken("table-value-store-relaxed", Ordering::Release));
        let too_early = mutant("table-push-first").then(|| self.push_completed(h.slot));
        if !mutant("table-publish-first") {
            cell.word.publish(phase);
        }
        match too_early.unwrap_or_else(|| self.push_completed(h.slot)) {
            Some(true) if !mutant("table-no-ring") => self.bell.ring(),
            Some(_) => {}
            None if mutant("table-no-take-back") => {}
            None => self.take_back(h),
        }
    }

    /// Answers whether the stack was empty, or `None` if the owner is gone.
    fn push_completed(&self, slot: u32) -> Option<bool> {
        // Acquire, here and on failure: pairs with the Release of `close`.
        let mut head = self.completed.load(Ordering::Acquire);
        while head != CLOSED {
            // Relaxed: the compare-exchange publishes it.
            self.cells[slot as usize].next.store(head, Ordering::Relaxed);
            // Release: pairs with the Acquire of the owner that takes the stack.
            let release = weaken("table-push-relaxed", Ordering::Release);
            match self.completed.compare_exchange(head, slot, release, Ordering::Acquire) {
                Ok(_) => return Some(head == END),
                Err(now) => head = now,
            }
        }
        None
    }

    /// The owner went between the publication and the push: whoever retires the slot, it or this, destroys the value.
    fn take_back(&self, h: Handle) {
        if self.slot(h.slot).retire_now(h.generation) {
            // Rare: a registration for one use is cheap enough.
            let thread = self.epoch.register();
            let guard = thread.pin();
            let mut unlinked = Unlinked::with_capacity(1);
            self.unlink(h.slot, &mut unlinked);
            self.destroy(&mut unlinked, &guard);
        }
    }

    /// Takes a slot's value away. For whoever retired the slot, once.
    pub(super) fn unlink(&self, slot: u32, unlinked: &mut Unlinked<V, E>) {
        // AcqRel: takes the payload that the completion released; pairs with readers' loads.
        let payload = self.values[slot as usize].swap(ptr::null_mut(), Ordering::AcqRel);
        debug_assert!(!payload.is_null());
        unlinked.0.push(payload);
    }

    /// Destroys what was unlinked once no guard can hold it.
    pub(super) fn destroy(&self, unlinked: &mut Unlinked<V, E>, guard: &Guard<'_>) {
        debug_assert_eq!(guard.identity(), self.epoch.identity());
        for payload in unlinked.0.drain(..) {
            // SAFETY: the payload came from `Box::into_raw` in `complete`, `unlink` took it from the only place where it
            // can be found, one thread retires a slot and so unlinks it, and readers hold guards of this epoch.
            unsafe { (self.destroy)(guard, payload) };
        }
        guard.flush();
    }

    /// Takes every completed slot and turns the links round: answers the oldest, from which [`Self::after`] leads to
    /// the newest.
    pub(super) fn take_completed(&self) -> Option<u32> {
        // Acquire: pairs with the Release of each push; all are read-modify-writes, so one release sequence holds them.
        let mut slot = self.completed.swap(END, weaken("table-take-relaxed", Ordering::Acquire));
        let mut newer = END;
        while slot != END {
            // Relaxed: taking the stack acquired the link, and it is the owner's until it claims the slot again, whose
            // hand-over publishes it.
            let link = &self.cells[slot as usize].next;
            let older = link.load(Ordering::Relaxed);
            link.store(newer, Ordering::Relaxed);
            (newer, slot) = (slot, older);
        }
        (newer != END).then_some(newer)
    }

    /// The slot completed after this one, of those that were taken together. The owner's.
    pub(super) fn after(&self, slot: u32) -> Option<u32> {
        // Relaxed: the owner wrote it.
        let newer = self.cells[slot as usize].next.load(Ordering::Relaxed);
        (newer != END).then_some(newer)
    }

    /// Whether a completed slot waits to be taken.
    pub(super) fn any_completed(&self) -> bool {
        // Relaxed: a hint; who acts on it takes the stack.
        self.completed.load(Ordering::Relaxed) != END
    }

    /// The owner goes: completions that come later destroy their own values.
    pub(super) fn close(&self) {
        // Release: pairs with the Acquire of completions. Acquire: the slots that were completed are about to be
        // retired.
        self.completed.swap(CLOSED, Ordering::AcqRel);
    }

    pub(super) fn capacity(&self) -> usize {
        self.cells.len()
    }
}

impl<V, E> Drop for Table<V, E> {
    fn drop(&mut self) {
        for value in &self.values {
            // Acquire: pairs with the completions; exclusive access makes it the last look.
            let payload = value.swap(ptr::null_mut(), Ordering::Acquire);
            if !payload.is_null() {
                // SAFETY: the payload came from `Box::into_raw`, was never unlinked, and no reader is left: each borrows
                // the table while it holds a reference.
                drop(unsafe { Box::from_raw(payload) });
            }
        }
    }
}
