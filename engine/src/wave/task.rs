//! What the engine hands to workers, and what comes back.

use std::ops::Range;
use std::sync::Arc;

use longshore_core::ordinal::BatchId;
use smallvec::SmallVec;

use super::slots::TaskOfWave;
use crate::array::Array;
use crate::codec::Coverage;
use crate::error::SampleError;
use crate::memory::{AlignedBytes, Lease};
use crate::plan::batch::{BatchPlan, StoredAt};
use crate::plan::geometry::Crop;
use crate::store::{ObjectKey, StoreError};
use crate::zarr::{Axes, DataType};

/// A chunk in the engine's table.
pub(crate) type ChunkId = usize;

/// A batch that is being rendered: its plan, and the memory that workers write rows into.
#[derive(Debug)]
pub(crate) struct ActiveBatch {
    pub(crate) plan: Arc<BatchPlan>,
    pub(crate) buffers: Vec<AlignedBytes>,
    /// Bytes of one row, per field.
    pub(crate) row_bytes: Vec<usize>,
    /// Element type, per field.
    pub(crate) types: Vec<DataType>,
}

impl ActiveBatch {
    /// Where a row's field begins, and its length in bytes.
    pub(crate) fn row(&self, row: u32, field: u16) -> (*mut u8, usize) {
        let len = self.row_bytes[field as usize];
        let at = row as usize * len;
        assert!(at + len <= self.buffers[field as usize].len(), "row {row} lies within its buffer");
        // SAFETY: within the allocation, by the assertion.
        (unsafe { self.buffers[field as usize].start().as_ptr().add(at) }, len)
    }
}

/// One crop that takes part of a chunk.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) batch: Arc<ActiveBatch>,
    pub(crate) row: u32,
    pub(crate) field: u16,
}

impl Target {
    pub(crate) fn crop(&self) -> &Crop {
        self.batch.plan.crop(self.row, self.field)
    }
}

pub(crate) type Targets = SmallVec<[Target; 2]>;

/// Work for a worker.
#[derive(Debug)]
pub(crate) enum Task {
    /// Read, decode, scatter.
    Load(LoadTask),
    /// Bytes that were waited for: decode, scatter.
    Arrived(LoadTask, Staged, Result<usize, StoreError>),
    /// Scatter chunks that are decoded.
    Scatter(ScatterTask),
    /// Write fill values.
    Fill(FillTask),
}

/// Stored bytes on their way, under a lease (none where the store allocated them).
#[derive(Debug, Default)]
pub(crate) struct Staged {
    pub(crate) bytes: Vec<u8>,
    pub(crate) lease: Option<Lease>,
}

/// One read and the chunks in it.
#[derive(Debug)]
pub(crate) struct LoadTask {
    pub(crate) wave: TaskOfWave,
    pub(crate) key: ObjectKey,
    /// `None`: the whole object, which then is one chunk.
    pub(crate) span: Option<Range<u64>>,
    pub(crate) jobs: Vec<LoadJob>,
}

/// One chunk to read and decode.
#[derive(Debug)]
pub(crate) struct LoadJob {
    pub(crate) chunk: ChunkId,
    pub(crate) array: Arc<Array>,
    pub(crate) coords: Axes<u64>,
    pub(crate) at: StoredAt,
    pub(crate) targets: Targets,
    /// Where to decode into, for a chunk that is wanted again.
    pub(crate) keep: Option<AlignedBytes>,
    /// Bytes of the decoded chunk that anybody wants; `None`: all.
    pub(crate) wanted: Option<Vec<Range<usize>>>,
}

/// Decoded chunks to scatter.
#[derive(Debug)]
pub(crate) struct ScatterTask {
    pub(crate) wave: TaskOfWave,
    pub(crate) jobs: Vec<ScatterJob>,
}

#[derive(Debug)]
pub(crate) struct ScatterJob {
    pub(crate) chunk: ChunkId,
    pub(crate) array: Arc<Array>,
    pub(crate) coords: Axes<u64>,
    pub(crate) kept: Arc<Kept>,
    pub(crate) targets: Targets,
}

/// A decoded chunk that stays.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) bytes: AlignedBytes,
    pub(crate) coverage: Coverage,
}

/// Parts of rows that take fill values.
#[derive(Debug)]
pub(crate) struct FillTask {
    pub(crate) wave: TaskOfWave,
    pub(crate) batch: Arc<ActiveBatch>,
    pub(crate) jobs: Vec<FillJob>,
}

#[derive(Debug)]
pub(crate) struct FillJob {
    pub(crate) row: u32,
    pub(crate) field: u16,
    /// The chunk that is not stored; `None`: the part of the crop outside the array.
    pub(crate) chunk: Option<Axes<u64>>,
}

/// What became of a chunk.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Decoded and scattered; not kept.
    Dropped,
    /// Decoded, scattered and kept.
    Kept(Kept),
    /// There is no such object.
    Missing,
    /// A kept chunk was scattered.
    Scattered,
    /// Could not be had; its buffer comes back.
    Failed(Option<AlignedBytes>),
}

/// A finished task.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) wave: TaskOfWave,
    pub(crate) chunks: Vec<(ChunkId, Outcome)>,
    /// How many chunk references of which batch are served (or have failed).
    pub(crate) served: SmallVec<[(BatchId, usize); 2]>,
    pub(crate) failures: Vec<Failure>,
}

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) batch: BatchId,
    pub(crate) row: u32,
    pub(crate) error: Arc<SampleError>,
}

impl Done {
    pub(crate) fn new(wave: TaskOfWave) -> Self {
        Self { wave, chunks: Vec::new(), served: SmallVec::new(), failures: Vec::new() }
    }

    pub(crate) fn serve(&mut self, batch: BatchId, references: usize) {
        match self.served.iter_mut().find(|(known, _)| *known == batch) {
            Some((_, count)) => *count += references,
            None => self.served.push((batch, references)),
        }
    }
}
