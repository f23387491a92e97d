//! What the prefetcher hands to the engine: batches whose metadata is resolved.

use std::sync::{Arc, OnceLock};

use longshore_core::gate::GateHandle;
use longshore_core::ordinal::{BatchId, SampleSeq};
use longshore_core::slot::Handle;
use smallvec::SmallVec;

use crate::array::Array;
use crate::error::SampleError;
use crate::plan::geometry::Window;
use crate::prefetch::values::Shard;
use crate::runtime::Latch;
use crate::sample::Sample;

/// A sealed batch. Its work may be read once its gate says that nothing is pending.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) id: BatchId,
    pub(crate) gate: GateHandle,
    pub(crate) work: Arc<OnceLock<Vec<SampleWork>>>,
}

/// Messages to the engine, in push order.
#[derive(Debug)]
pub(crate) enum ToEngine {
    Batch(Ticket),
    /// Goes through to the pop end, behind every batch before it.
    Mark,
    /// Opened once every batch before it is delivered.
    Drain(Arc<Latch>),
    /// No batch will follow.
    End,
}

/// One terminal sample: resolved, or failed.
#[derive(Debug)]
pub(crate) struct SampleWork {
    pub(crate) seq: SampleSeq,
    pub(crate) origin: Arc<Sample>,
    /// One per field, in the loader's order.
    pub(crate) fields: Result<SmallVec<[FieldWork; 1]>, Arc<SampleError>>,
}

/// One resolved field of a sample.
#[derive(Debug)]
pub(crate) struct FieldWork {
    pub(crate) array: Arc<Array>,
    pub(crate) window: Window,
    /// Every shard the window touches, by number, ascending; empty for arrays without shards.
    pub(crate) shards: Vec<(u64, ShardRef)>,
}

/// Where a resolved shard index is.
#[derive(Debug)]
pub(crate) enum ShardRef {
    /// In the cache, pinned by the batch until the watermark passes it.
    Cached(Handle),
    /// With the sample alone: the cache was full of younger pins.
    Own(Arc<Shard>),
}
