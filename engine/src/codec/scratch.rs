//! What one thread keeps from chunk to chunk.

use super::blosc::BlockBuffers;
use super::gzip::Inflater;
use super::zstd::ZstdContext;

/// Buffers and decompression contexts that one thread reuses from chunk to chunk.
///
/// Everything is made on first use and grows to what the largest chunk so far needed; after that decoding allocates nothing.
/// A zstd context is about 160 KiB, an inflate state about 40 KiB; blosc keeps up to three blocks.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) engines: Engines,
    /// Between two bytes-to-bytes stages, used in turn.
    pub(super) stages: [Vec<u8>; 2],
    /// For the inner chunks of a shard inside a chunk.
    pub(super) inner: Option<Box<Scratch>>,
    /// One decoded inner chunk.
    pub(super) inner_chunk: Vec<u8>,
}

/// The decompressors of one thread.
#[derive(Debug, Default)]
pub(super) struct Engines {
    pub(super) zstd: ZstdContext,
    pub(super) inflater: Inflater,
    pub(super) blosc: BlockBuffers,
}

/// The first `len` bytes of `buffer`, which grows if it must. Their content is whatever was there.
pub(super) fn at_least(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    &mut buffer[..len]
}
