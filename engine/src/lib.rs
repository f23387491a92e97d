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
pub mod store;
pub mod zarr;
