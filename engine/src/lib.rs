//! Streams batches of n-D crops out of Zarr arrays into memory.
#![warn(missing_docs)]

mod array;
mod backend;
mod batch;
mod config;
mod error;
mod loader;
mod memory;
mod plan;
mod prefetch;
mod runtime;
mod sample;
mod start;
mod stats;
mod wave;

pub mod assemble;
pub mod codec;
pub mod inspect;
pub mod npy;
pub mod sampler;
pub mod samples_file;
pub mod store;
#[cfg(feature = "cli")]
pub mod synthetic;
pub mod zarr;

pub use batch::{Batch, Element, Row, Tensor, WrongType};
pub use config::{Builder, Dtype, Field, OnError, Outside};
pub use error::{Cause, ConfigError, Error, PushError, SampleError, Stage};
pub use loader::{Batches, Closer, Loader, PopEnd, Popped, PushEnd};
pub use longshore_core::ordinal::SampleSeq;
pub use sample::{CropBox, FieldRequest, Sample};
pub use stats::{CachePhase, StageTimes, Stats, WaitTimes};
