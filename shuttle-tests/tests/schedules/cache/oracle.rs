//! What is known of every entry, and what may be seen of it. A lookup is no instant: it is judged by what was certain
//! when it began and by what was possible when it ended.

use super::{Fault, Seen};
use longshore_core::cache::{CacheReader, Handle, Lookup};
use longshore_core::epoch::{Epoch, EpochThread};
use shuttle_tests::{Tracked, mark};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One entry that there was.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) handle: Handle,
    pub(super) key: u64,
    /// The newest batch that it is pinned to for certain.
    pub(super) pinned: u64,
    /// The newest batch that any pin, successful or not, was begun for.
    pub(super) asked: u64,
    /// What its completion was told to publish; said before it was.
    pub(super) outcome: Option<Seen>,
    /// The completion's call has returned.
    pub(super) published: bool,
    /// Its waiters were told, or are being.
    pub(super) drained: bool,
    /// `forget` was called, or is being.
    pub(super) forgotten: bool,
    /// The owner's call that ended it has returned. Before that a reader may still find the value and another no more.
    pub(super) gone: bool,
    /// Somebody saw its outcome.
    complete: bool,
    /// Somebody could not pin it.
    retired: bool,
}

#[derive(Debug, Default)]
struct Books {
    entries: Vec<Entry>,
    /// The watermark is at least this, and at most that.
    mark_from: u64,
    mark_to: u64,
    /// The owner is being dropped.
    closing: bool,
}

/// The books, shared by all threads. Never held across a step of what is tried.
#[derive(Debug, Default)]
pub(super) struct Oracle(Mutex<Books>);

impl Oracle {
    fn books(&self) -> MutexGuard<'_, Books> {
        // A failure that poisons it is reported by itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self) -> usize {
        self.books().entries.len()
    }

    pub(super) fn entry(&self, entry: usize) -> Entry {
        self.books().entries[entry].clone()
    }

    /// A fetch was asked for: answers the entry's number.
    pub(super) fn born(&self, handle: Handle, key: u64, batch: u64) -> usize {
        let mut books = self.books();
        let used = books.entries.iter().any(|entry| entry.handle == handle);
        assert!(!used, "C04: {handle:?} was given out before");
        let (asked, pinned) = (batch, batch);
        books.entries.push(Entry {
            handle,
            key,
            pinned,
            asked,
            outcome: None,
            published: false,
            drained: false,
            forgotten: false,
            gone: false,
            complete: false,
            retired: false,
        });
        books.entries.len() - 1
    }

    pub(super) fn change(&self, entry: usize, change: impl FnOnce(&mut Entry)) {
        change(&mut self.books().entries[entry]);
    }

    /// Around the call that publishes.
    pub(super) fn publishing(&self, entry: usize, outcome: Seen, publish: impl FnOnce()) {
        self.change(entry, |entry| entry.outcome = Some(outcome));
        if self.closing() {
            mark("late completion");
        }
        publish();
        self.change(entry, |entry| entry.published = true);
    }

    /// Around the call that advances.
    pub(super) fn advancing(&self, to: u64, advance: impl FnOnce()) {
        let mark_to = self.books().mark_to.max(to);
        self.books().mark_to = mark_to;
        advance();
        let mark_from = self.books().mark_from.max(to);
        self.books().mark_from = mark_from;
    }

    /// The least and the greatest that the watermark can be.
    pub(super) fn marks(&self) -> (u64, u64) {
        let books = self.books();
        (books.mark_from, books.mark_to)
    }

    pub(super) fn close(&self) {
        self.books().closing = true;
    }

    pub(super) fn closing(&self) -> bool {
        self.books().closing
    }

    /// Looks an entry up and judges what is seen. Holds what it is for `hold`.
    pub(super) fn look(&self, reader: &CacheReader<Tracked, Fault>, thread: &EpochThread, entry: usize, hold: impl FnOnce()) -> Seen {
        let before = self.entry(entry);
        let guard = thread.pin();
        let lookup = reader.get(before.handle, &guard);
        let now = seen(&lookup);
        self.judge(entry, &before, now);
        if matches!(now, Seen::Ready(_) | Seen::Failed(_)) {
            hold();
            assert_eq!(seen(&lookup), now, "C03: changed under a guard");
            if self.entry(entry).gone {
                mark("held over its end");
            }
        }
        now
    }

    /// Pins an entry and judges the answer.
    pub(super) fn pin(&self, reader: &CacheReader<Tracked, Fault>, entry: usize, batch: u64) {
        self.change(entry, |entry| entry.asked = entry.asked.max(batch));
        let before = self.entry(entry);
        if reader.pin(before.handle, super::owner::batch_id(batch)) {
            assert!(!before.gone && !before.retired, "C02: pinned what is gone: {before:?}");
            self.change(entry, |entry| entry.pinned = entry.pinned.max(batch));
        } else {
            mark("pin refused");
            self.judge(entry, &before, Seen::Stale);
            self.change(entry, |entry| entry.retired = true);
        }
    }

    /// `now` was seen of what was `before` when the look began.
    pub(super) fn judge(&self, entry: usize, before: &Entry, now: Seen) {
        let mut books = self.books();
        let (mark_to, closing) = (books.mark_to, books.closing);
        let entry = &mut books.entries[entry];
        match now {
            Seen::Pending => {
                assert!(!before.published && !before.complete && !before.gone, "pending after its end: {entry:?}");
                mark("pending");
            }
            Seen::Ready(_) | Seen::Failed(_) => {
                assert_eq!(Some(now), entry.outcome, "C01, C02: not its own outcome: {entry:?}");
                assert!(!before.gone, "C02: back from its end: {entry:?}");
                entry.complete = true;
                mark(match now {
                    Seen::Ready(_) => "ready",
                    Seen::Failed(Fault::Cancelled) => "cancelled",
                    _ => "failed",
                });
            }
            Seen::Stale => {
                let evictable = entry.drained && before.pinned < mark_to;
                let dismissed = entry.drained && entry.forgotten;
                assert!(entry.outcome.is_some(), "C02: gone while it is pending: {entry:?}");
                assert!(closing || evictable || dismissed, "C08: gone below {mark_to}, and was {before:?}");
                mark("stale");
            }
        }
    }

    /// The owner and the completions are gone: so is every entry.
    pub(super) fn check_the_end(&self, reader: &CacheReader<Tracked, Fault>, epoch: &Epoch) {
        let thread = epoch.register();
        for entry in 0..self.count() {
            assert_eq!(self.look(reader, &thread, entry, || {}), Seen::Stale, "C07: {:?}", self.entry(entry));
        }
    }
}

pub(super) fn seen(lookup: &Lookup<'_, Tracked, Fault>) -> Seen {
    match lookup {
        Lookup::Pending => Seen::Pending,
        Lookup::Ready(value) => Seen::Ready(value.number()),
        Lookup::Failed(fault) => Seen::Failed(**fault),
        Lookup::Stale => Seen::Stale,
    }
}
