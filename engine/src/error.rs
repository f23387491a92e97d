//! What can go wrong, in words a user can act on: what, where, observed, allowed, what to change.

use std::fmt;
use std::sync::Arc;

use longshore_core::ordinal::SampleSeq;
use thiserror::Error;

use crate::assemble::NoCast;
use crate::codec::CodecError;
use crate::sample::{CropBox, Sample};
use crate::store::StoreError;
use crate::zarr::ZarrError;

/// Why [`Loader::builder`](crate::Loader::builder) refused a configuration.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ConfigError(pub(crate) String);

/// Where on its way a sample failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Before any I/O: the URI or the box.
    Admission,
    /// Reading or checking `zarr.json`.
    ArrayMetadata,
    /// Reading or checking the index of a shard.
    ShardIndex,
    /// Probing the header of a chunk.
    ChunkLayout,
    /// Turning the box into chunks and reads.
    Plan,
    /// Reading the bytes of a chunk.
    Read,
    /// Decoding a chunk.
    Decode,
}

impl Stage {
    /// The stage in words, as error messages spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admission => "admission",
            Self::ArrayMetadata => "array metadata",
            Self::ShardIndex => "shard index",
            Self::ChunkLayout => "chunk layout",
            Self::Plan => "plan",
            Self::Read => "read",
            Self::Decode => "decode",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What went wrong with one sample.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Cause {
    /// The store could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The array's documents were refused.
    #[error(transparent)]
    Zarr(#[from] ZarrError),
    /// A chunk was refused.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The array's type has no cast to the field's type.
    #[error(transparent)]
    NoCast(#[from] NoCast),
    /// The URI names no store this build has.
    #[error("{0}")]
    Uri(String),
    /// The box does not fit the array.
    #[error("{0}")]
    Box(String),
    /// An object ended before the bytes its index promises.
    #[error("the object ends early: {observed} of {expected} bytes at offset {offset}")]
    Short {
        /// Where the read began, bytes from the object's start.
        offset: u64,
        /// Bytes there.
        observed: u64,
        /// Bytes promised.
        expected: u64,
    },
    /// The memory budget cannot hold what the sample needs.
    #[error("{what} needs {needed} bytes, the memory budget leaves {available}: raise memory_budget")]
    Memory {
        /// What the bytes are for.
        what: &'static str,
        /// Bytes needed.
        needed: u64,
        /// Bytes that are left for it.
        available: u64,
    },
    /// The loader was closed before the sample was done.
    #[error("the loader was closed")]
    Closed,
}

/// One failed sample, with everything that names it.
#[derive(Clone, Debug, Error)]
pub struct SampleError {
    /// Which sample, in push order.
    pub sample: SampleSeq,
    /// Field whose box failed.
    pub field: Arc<str>,
    /// The array's URI, as pushed.
    pub uri: Arc<str>,
    /// The box asked for.
    pub crop_box: CropBox,
    /// Where on its way.
    pub stage: Stage,
    /// Object within the array (`zarr.json`, `c/0/1`) and offset, where one is to blame.
    pub object: Option<String>,
    /// What went wrong.
    #[source]
    pub cause: Cause,
}

impl fmt::Display for SampleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sample {} of {} {}: {}", self.sample, self.uri, self.crop_box, self.stage)?;
        if let Some(object) = &self.object {
            write!(f, ": {object}")?;
        }
        write!(f, ": {}", self.cause)
    }
}

/// Why a push did not take a sample. The sample comes back.
#[derive(Debug, Error)]
pub enum PushError {
    /// The lookahead is full: pop a batch, or use a blocking push.
    #[error("the lookahead is full")]
    Full(Sample),
    /// The loader is closed or finished.
    #[error("the loader is closed")]
    Closed(Sample),
    /// The sample does not fit the loader; the text says what was found and what is allowed.
    #[error("{reason}")]
    Invalid {
        /// The sample.
        sample: Sample,
        /// What does not fit.
        reason: String,
    },
}

/// What a loader's pop end or iterator reports instead of a batch.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A batch was given up because of this sample (policy `Fail`). The loader goes on with the next batch.
    #[error("batch {batch} failed: {first}{}", others(*.failed))]
    Batch {
        /// Which batch.
        batch: u64,
        /// The first failed sample, in row order.
        first: Arc<SampleError>,
        /// How many samples of the batch failed.
        failed: usize,
    },
    /// A sample handed to [`Loader::batches`](crate::Loader::batches) does not fit the loader.
    #[error("{0}")]
    Invalid(String),
    /// The loader was closed.
    #[error("the loader is closed")]
    Closed,
    /// A thread of the loader could not be started, or broke.
    #[error("{0}")]
    Internal(String),
}

fn others(failed: usize) -> String {
    if failed > 1 { format!(" (and {} more samples)", failed - 1) } else { String::new() }
}
