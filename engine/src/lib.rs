//! Streams batches of n-D crops out of Zarr arrays into memory.
#![warn(missing_docs)]

mod batch;
mod config;
mod error;
mod loader;
mod memory;
mod sample;
mod stats;

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
