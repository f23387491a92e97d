//! Decode chains: from the stored bytes of one chunk to its elements.
//!
//! A [`ChunkDecoder`] is compiled once per array and used by many threads, each with its own [`Scratch`].
//!
//! | stage | where | parts of a chunk |
//! |---|---|---|
//! | `transpose` | never moved in memory: it is the decoder's [`strides`](ChunkDecoder::strides) | |
//! | `bytes` | swapped in place when the stored order is not the machine's | yes |
//! | `sharding_indexed` inside a chunk | `shard`: inner chunks are decoded one by one and scattered | no |
//! | `zstd` | `zstd`: libzstd, a context per scratch | a prefix, to the end of a zstd block |
//! | `blosc` | `blosc`: our own parser of the container | the blosc blocks that are wanted |
//! | `gzip` | `gzip`: our own parser of the container, zlib-rs inflates | no |
//! | `crc32c` | `checksum`: always verified over everything that it covers | |
//!
//! The stage that is decoded last writes straight into the caller's buffer. The bytes are hostile: every length is checked
//! before it is used, no stage writes more than the stage after it can honestly need, and nothing is allocated by a length
//! that was read from the chunk.

mod blosc;
mod checksum;
mod coverage;
mod decoder;
mod error;
mod gzip;
mod scratch;
mod shard;
mod strides;
mod swap;
#[cfg(test)]
pub(crate) mod tests;
mod zstd;

pub use coverage::{Coverage, Wanted};
pub use decoder::ChunkDecoder;
pub use error::CodecError;
pub use scratch::Scratch;
