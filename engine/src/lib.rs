//! Streams batches of n-D crops out of Zarr arrays into memory.
//!
//! ```no_run
//! use longshore::sampler::{RandomCrops, Volume};
//! use longshore::{Dtype, Loader};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let volumes = [Volume::new("data/a.zarr", [512, 512, 512])];
//! let samples = RandomCrops::new(volumes, &[64, 64, 64], 7)?;
//! let mut loader = Loader::builder().crop([64, 64, 64], Dtype::F32).batch(16).build()?;
//! for batch in loader.batches(samples.iter_from(0).take(10_000)) {
//!     let batch = batch?; // an error here is one failed batch; the next call goes on
//!     let voxels: &[f32] = batch.as_slice()?; // [16, 64, 64, 64]
//!     assert_eq!(voxels.len(), batch.shape().iter().product::<usize>());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - [`Loader`] is the whole: push samples, pop batches; [`Loader::batches`] does both. [`Loader::split`] gives each end to a thread.
//! - [`Sample`] asks for one box per [`Field`]; [`Batch`] answers with one contiguous [`Tensor`] per field, rows in push order.
//! - [`Builder::memory_budget`] is the one number to set. Caches, waves and read sizes follow from it and from the lookahead.
//! - [`Error`] and [`SampleError`] name sample, URI, box, stage and cause; [`OnError`] says what a bad sample does to its batch.
//!
//! How it works inside stands at the head of the modules `prefetch`, `plan`, `wave` and `backend`, and in `longshore-core`.
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
mod random;
mod runtime;
mod sample;
#[cfg(test)]
mod simulation;
mod start;
mod stats;
mod wave;

pub mod assemble;
pub mod codec;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
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
