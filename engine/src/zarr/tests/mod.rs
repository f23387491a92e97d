//! Tests of this room. Documents were written by zarr-python 3.1.6 or zarrs 0.23, headers by c-blosc 1.21 (numcodecs 0.16.6),
//! expected values come from there, from the specification, or from arithmetic.

mod blosc_header;
mod documents;
mod fill;
mod grid;
mod hostile;
mod keys;
mod metadata;
mod shard_index;
#[cfg(feature = "cli")]
// The independent writer comes with the command.
#[cfg(feature = "cli")]
mod zarrs_writes;
