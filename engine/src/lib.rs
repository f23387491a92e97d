//! Streams batches of n-D crops out of Zarr arrays into memory.
#![warn(missing_docs)]

pub mod assemble;
pub mod codec;
pub mod store;
pub mod zarr;
