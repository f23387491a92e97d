//! Replies owed: exactly one per request, whatever happens on the way.
//!
//! Each reply is a move-only token. Sending consumes it; dropping it (a queue that is torn down, a thread that panicked)
//! answers [`StoreError::Cancelled`]. So no caller can wait for a request that nobody will answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::counters::Counters;
use super::{FetchDone, Fetched, ReadDone, StoreError};

/// The reply owed to one `fetch`.
pub(crate) struct FetchReply {
    done: Option<FetchDone>,
    counters: Arc<Counters>,
}

impl FetchReply {
    /// Takes on the duty to answer, and counts the request.
    pub(crate) fn new(done: FetchDone, counters: &Arc<Counters>) -> Self {
        counters.fetch_accepted();
        Self { done: Some(done), counters: Arc::clone(counters) }
    }

    /// Answers.
    pub(crate) fn send(mut self, answer: Result<Fetched, StoreError>) {
        self.finish(answer);
    }

    fn finish(&mut self, answer: Result<Fetched, StoreError>) {
        let Some(done) = self.done.take() else { return };
        self.counters.answered(answer.as_ref().map_or(0, |fetched| fetched.bytes.len()));
        shielded(|| done(answer));
    }
}

impl Drop for FetchReply {
    fn drop(&mut self) {
        self.finish(Err(StoreError::Cancelled));
    }
}

/// The reply owed to one `read`, with the caller's buffer.
pub(crate) struct ReadReply {
    done: Option<ReadDone>,
    /// The caller's buffer; it goes back with the answer.
    pub(crate) buffer: Vec<u8>,
    counters: Arc<Counters>,
}

impl ReadReply {
    /// Takes on the duty to answer, and counts the request.
    pub(crate) fn new(buffer: Vec<u8>, done: ReadDone, counters: &Arc<Counters>) -> Self {
        counters.read_accepted();
        Self { done: Some(done), buffer, counters: Arc::clone(counters) }
    }

    /// Answers, and returns the buffer.
    pub(crate) fn send(mut self, answer: Result<usize, StoreError>) {
        self.finish(answer);
    }

    fn finish(&mut self, answer: Result<usize, StoreError>) {
        let Some(done) = self.done.take() else { return };
        self.counters.answered(answer.as_ref().map_or(0, |bytes| *bytes));
        let buffer = std::mem::take(&mut self.buffer);
        shielded(|| done(buffer, answer));
    }
}

impl Drop for ReadReply {
    fn drop(&mut self) {
        self.finish(Err(StoreError::Cancelled));
    }
}

/// Runs a callback. One that panics is a defect of its owner, and must not take a thread of the store with it.
fn shielded(callback: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(callback)).is_err() {
        tracing::error!("a completion callback of a store panicked");
    }
}
