//! `blosc`: the container of c-blosc 1.x, parsed by ourselves.
//!
//! A container is a header of 16 bytes, then, unless it is *memcpyed*, the start of each block (u32, from the container's
//! start) and the blocks. A block is one stream, or `typesize` streams where it was *split*; a stream is its length (i32) and
//! its bytes, raw where that length is the decoded one. Shuffles were applied block by block, before the split.
//! Format: `README_CHUNK_FORMAT.rst` and `blosc_d` of c-blosc 1.21.

mod bitshuffle;
mod blocks;
mod blosclz;
mod lz4;
mod matches;
mod shuffle;
#[cfg(test)]
pub(super) mod tests;

pub(super) use blocks::{BlockBuffers, decode, decoded_len};

/// Name of the codec in errors.
const CODEC: &str = "blosc";
