//! Where bytes come from. A store answers each request by itself: no head-of-line, no listing, no HEAD.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

#[cfg(test)]
mod conformance;
mod counters;
mod descriptors;
mod faults;
mod latency;
mod local;
mod memory;
mod pool;
mod reply;
mod retry;
mod span;
mod stores;
mod sys;
mod timer;
mod uri;
#[cfg(target_os = "linux")]
mod uring;

pub use counters::StoreStats;
pub use faults::{Fault, FaultOn, FaultRule, FaultWhen, Faults};
pub use latency::{Latency, LatencyModel, LatencyScope};
pub use local::{LocalOptions, LocalStore, MetadataIo};
pub use memory::MemoryStore;
pub use retry::{Retry, RetryPolicy};
pub use stores::{OpenError, StoreLayer, Stores};
pub use timer::{Call, Clock, DelayQueue, Fired, ManualClock};
pub use uri::{Location, Scheme, UriError, join_key, resolve};

/// Name of an object within its store: `/`-separated, no `.` or `..` segment, no leading `/`.
/// Built by this library from a checked prefix and integers, so it cannot escape the store's root.
pub type ObjectKey = Arc<str>;

/// Which bytes of an object a metadata request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// All of it.
    Whole,
    /// `length` bytes from `offset` on.
    Range {
        /// First byte.
        offset: u64,
        /// Number of bytes.
        length: u64,
    },
    /// The last `length` bytes; the answer is shorter when the object is.
    Suffix {
        /// Number of bytes.
        length: u64,
    },
}

/// Answer of a metadata request.
#[derive(Debug)]
pub struct Fetched {
    /// The bytes, fewer than asked for when the object ends before.
    pub bytes: Vec<u8>,
    /// Size of the whole object where the store learned it with the answer.
    pub object_size: Option<u64>,
}

/// Why a request failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No such object: a normal answer (missing chunk, missing shard).
    #[error("not found")]
    NotFound,
    /// May pass by itself: time-outs, throttling, resets, interrupted calls. Worth a retry; never cached.
    #[error("{0} (transient)")]
    Transient(Arc<str>),
    /// Will not pass: permission, a directory in a file's place, invalid requests, I/O errors of the medium.
    #[error("{0}")]
    Permanent(Arc<str>),
    /// The object (or the span asked for) is larger than the request allows.
    #[error("object of {observed} bytes, the limit here is {allowed}")]
    TooLarge {
        /// Size of the object.
        observed: u64,
        /// Limit of the request.
        allowed: u64,
    },
    /// The loader is closing.
    #[error("cancelled: the loader is closing")]
    Cancelled,
}

impl StoreError {
    /// Whether a retry may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }
}

/// Called once with the answer of a metadata request, on a thread of the store. Must not block.
pub type FetchDone = Box<dyn FnOnce(Result<Fetched, StoreError>) + Send>;

/// Called once with the buffer handed in and the outcome of a bulk read: how many bytes arrived from its start
/// (fewer than its length: the object ended there). Runs on a thread of the store and must not block.
pub type ReadDone = Box<dyn FnOnce(Vec<u8>, Result<usize, StoreError>) + Send>;

/// Answer of [`Store::try_read_now`].
#[derive(Debug)]
pub enum Now {
    /// Done without blocking: bytes read (fewer than asked: the object ends there), or the error.
    Done(Result<usize, StoreError>),
    /// Not answerable without blocking: use [`Store::read`].
    WouldBlock,
}

/// What requests cost, for the planner's coalescing and the loader's depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostModel {
    /// A gap of fewer bytes than this between two reads is cheaper read than skipped.
    pub gap_bytes: u64,
    /// Largest single read worth making.
    pub max_read_bytes: u64,
    /// Requests in flight that keep the store busy.
    pub depth: usize,
}

/// A source of objects. All calls return at once; answers come by callback, exactly once each, in any order.
/// Dropping the store cancels what is in flight: every callback outstanding is called with `Cancelled`.
pub trait Store: Send + Sync + fmt::Debug {
    /// Reads metadata. Objects (or spans) larger than `limit` bytes answer `TooLarge` before anything is allocated.
    fn fetch(&self, key: ObjectKey, span: Span, limit: u64, done: FetchDone);

    /// Reads `into.len()` bytes at `offset`; `into` comes back with the answer.
    fn read(&self, key: ObjectKey, offset: u64, into: Vec<u8>, done: ReadDone);

    /// Reads at once if that needs no waiting (bytes in the page cache, memory).
    fn try_read_now(&self, key: &ObjectKey, offset: u64, into: &mut [u8]) -> Now {
        let _ = (key, offset, into);
        Now::WouldBlock
    }

    /// Size of an object if that is known without waiting.
    fn size_now(&self, key: &ObjectKey) -> Option<Result<u64, StoreError>> {
        let _ = key;
        None
    }

    /// Reads a whole object at once if that needs no waiting. `into` is replaced by the object's bytes (its capacity is
    /// reused); after any other answer than `Done(Ok(_))` its contents are unspecified. An object of more than `limit`
    /// bytes answers `TooLarge`. Spares the reader of unsharded chunks the separate question for the size.
    fn try_read_whole_now(&self, key: &ObjectKey, limit: u64, into: &mut Vec<u8>) -> Now {
        let _ = (key, limit, into);
        Now::WouldBlock
    }

    /// Answers what waits without being worked on (delays, retries) with `Cancelled`, now and from now on. A loader closes
    /// the stores it made; what the system is already reading ends by itself.
    fn close(&self) {}

    /// What requests cost here.
    fn cost(&self) -> CostModel;

    /// What this store has done so far.
    fn stats(&self) -> StoreStats;
}
