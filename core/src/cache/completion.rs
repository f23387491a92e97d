//! The completion: a move-only promise that a fetch ends.
//!
//! ```text
//! request -> Fetch(handle, completion) --- complete(value) ---> Ready
//!                                      \-- fail(error) -------> Failed
//!                                      \-- dropped -----------> Failed(Cancelled)
//! ```
//!
//! It is consumed by whatever ends it, so nothing can be published twice, and it cannot be lost without ending the
//! entry: no sample waits for a fetch that nobody will finish (C06). It keeps the table alive; if the owner is gone by
//! then, the value is destroyed and nothing else is touched (C07).

use super::table::Table;
use crate::slot::Handle;
use crate::sync::{Arc, mutant};
use std::fmt;

/// The error of a fetch whose completion was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fetch was cancelled before it finished")
    }
}

impl std::error::Error for Cancelled {}

/// The right and the duty to end one fetch.
#[must_use = "dropping a completion cancels the fetch"]
pub struct Completion<V, E> {
    table: Arc<Table<V, E>>,
    handle: Handle,
    ended: bool,
}

impl<V, E> Completion<V, E> {
    pub(super) fn new(table: Arc<Table<V, E>>, handle: Handle) -> Self {
        Self { table, handle, ended: false }
    }

    /// The entry that waits for this.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// Publishes the value.
    pub fn complete(self, value: V) {
        self.end(Ok(value));
    }

    /// Publishes the error. It is cached until it is evicted, or [forgotten](super::CacheOwner::forget).
    pub fn fail(self, error: E) {
        self.end(Err(error));
    }

    fn end(mut self, outcome: Result<V, E>) {
        self.ended = true;
        self.table.complete(self.handle, outcome);
    }
}

impl<V, E> Drop for Completion<V, E> {
    fn drop(&mut self) {
        if !self.ended && !mutant("completion-drop-silent") {
            let error = (self.table.cancelled)();
            self.table.complete(self.handle, Err(error));
        }
    }
}

impl<V, E> fmt::Debug for Completion<V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("handle", &self.handle).finish_non_exhaustive()
    }
}
