//! Foreign bytes to checked values: `zarr.json`, chunk grid, chunk keys, shard index, chunk layout.
//!
//! Nothing in this room does I/O. Every function takes bytes and returns a checked value or an error
//! that says what was found, what is allowed, and where.

mod chain;
mod compressors;
mod decimal;
mod describe;
mod document;
mod dtype;
mod error;
mod fill;
mod grid;
mod index_format;
mod json;
mod keys;
mod layout;
mod limits;
mod metadata;
mod node;
mod shard_index;
#[cfg(test)]
mod tests;

pub use describe::describe_shape;
pub use dtype::DataType;
pub use error::ZarrError;
pub use grid::{Layout, ShardLayout, cell_count, coordinates, linear_index};
pub use index_format::IndexFormat;
pub use layout::{BLOSC_HEADER_BYTES, BloscExpectation, BloscFormat, BloscHeader};
pub use limits::{MAX_CHUNK_BYTES, MAX_CODECS, MAX_DOCUMENT_BYTES, MAX_DOCUMENT_VALUES, MAX_EXTENT, MAX_INDEX_ENTRIES, MAX_SHARDING_DEPTH};
pub use metadata::{
    ArrayMeta, ArrayToBytes, BloscCompressor, BloscShuffle, BytesToBytes, ChunkKeys, CodecChain, Endian, FillValue, IndexLocation,
    Separator, Sharding, Transpose,
};
pub use shard_index::ShardIndex;

/// Most axes an array may have. Boxes, strides and coordinates are sized by it.
pub const MAX_RANK: usize = 32;

/// Per-axis values: shapes, coordinates, strides. Inline up to rank 5.
pub type Axes<T> = smallvec::SmallVec<[T; 5]>;
