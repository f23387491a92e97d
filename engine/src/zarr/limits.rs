//! What a foreign document may ask for at most. Each limit is checked before memory is taken.

/// Largest `zarr.json` that is read, bytes. Attributes are skipped, not kept, but they count.
pub const MAX_DOCUMENT_BYTES: u64 = 16 << 20;

/// Most JSON values kept of one document (attributes and ignorable members are skipped and count only by name).
pub const MAX_DOCUMENT_VALUES: usize = 1 << 16;

/// Largest extent of one axis, elements: of an array, a grid cell or an inner chunk. The end of the last cell of an array
/// then still fits `u64`, and any coordinate fits `i64`.
pub const MAX_EXTENT: u64 = i64::MAX as u64;

/// Largest unit that is decoded whole, bytes decoded: an inner chunk of a shard, or a grid cell that is no plain shard.
pub const MAX_CHUNK_BYTES: u64 = 4 << 30;

/// Most inner chunks in one shard; an index entry takes 16 bytes of memory.
pub const MAX_INDEX_ENTRIES: u64 = 1 << 24;

/// Most codecs in one chain.
pub const MAX_CODECS: usize = 32;

/// Most `sharding_indexed` codecs inside one another.
pub const MAX_SHARDING_DEPTH: usize = 8;
