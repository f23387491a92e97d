//! The end of a cache that reads values by handle.

use super::Lookup;
use super::table::Table;
use crate::epoch::Guard;
use crate::ordinal::BatchId;
use crate::slot::{Handle, Phase};
use crate::sync::{Arc, mutant};

/// Reads what handles name. Any thread may have one; a handle is good for the cache that gave it.
pub struct CacheReader<V, E> {
    table: Arc<Table<V, E>>,
}

impl<V, E> Clone for CacheReader<V, E> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone() }
    }
}

impl<V, E> CacheReader<V, E> {
    pub(super) fn new(table: Arc<Table<V, E>>) -> Self {
        Self { table }
    }

    /// What the handle yields. The reference holds while the guard does, whatever is evicted meanwhile.
    ///
    /// # Panics
    /// If the guard belongs to another epoch than the cache.
    #[inline]
    #[must_use]
    pub fn get<'g>(&'g self, h: Handle, guard: &'g Guard<'_>) -> Lookup<'g, V, E> {
        assert!(guard.identity() == self.table.epoch.identity(), "the guard is of another epoch than the cache");
        match self.table.published(h, guard) {
            Some(Ok(value)) => Lookup::Ready(value),
            Some(Err(error)) => Lookup::Failed(error),
            None => self.unpublished(h, guard),
        }
    }

    /// The slow way: no payload of this incarnation was there a moment ago.
    #[cold]
    fn unpublished<'g>(&'g self, h: Handle, guard: &'g Guard<'_>) -> Lookup<'g, V, E> {
        let Some(slot) = self.table.slot_of(h) else { return Lookup::Stale };
        let word = slot.load();
        if word.generation() != h.generation {
            return Lookup::Stale;
        }
        match word.phase() {
            Phase::Loading => Lookup::Pending,
            Phase::Ready | Phase::Failed if !mutant("reader-no-second-look") => {
                // Published since the first look: the load of the word acquired the value. If it is gone again, then
                // because the entry was evicted meanwhile.
                match self.table.published(h, guard) {
                    Some(Ok(value)) => Lookup::Ready(value),
                    Some(Err(error)) => Lookup::Failed(error),
                    None => Lookup::Stale,
                }
            }
            _ => Lookup::Stale,
        }
    }

    /// Pins the entry to `batch`: it stays until the watermark passes that batch. Answers false if it is gone.
    #[must_use]
    pub fn pin(&self, h: Handle, batch: BatchId) -> bool {
        self.table.slot_of(h).is_some_and(|slot| slot.pin(h.generation, batch).is_some())
    }
}
