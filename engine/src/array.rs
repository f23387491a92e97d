//! An opened array: its checked metadata, where it lives, and how its chunks decode.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::codec::ChunkDecoder;
use crate::error::Cause;
use crate::memory::{Budget, Lease, Purpose};
use crate::store::{ObjectKey, Store};
use crate::zarr::{ArrayMeta, Axes, BytesToBytes, Layout, ShardLayout, ZarrError, cell_count, coordinates};

/// One array, resolved. Shared by everything that reads it.
#[derive(Debug)]
pub(crate) struct Array {
    pub(crate) uri: Arc<str>,
    pub(crate) uri_hash: u64,
    pub(crate) store: Arc<dyn Store>,
    prefix: String,
    pub(crate) meta: ArrayMeta,
    /// Extent of the smallest unit that is read and decoded by itself, elements: the inner chunk, or the only one.
    pub(crate) chunk_shape: Axes<u64>,
    /// Chunks per axis.
    pub(crate) chunk_grid: Axes<u64>,
    pub(crate) shards: Option<Shards>,
    pub(crate) decoder: ChunkDecoder,
    _lease: Lease,
}

/// How the chunks of a sharded array are grouped.
#[derive(Debug)]
pub(crate) struct Shards {
    /// Shards per axis.
    pub(crate) grid: Axes<u64>,
    pub(crate) layout: ShardLayout,
}

/// What an array's metadata weighs beside its variable parts, bytes; an honest upper bound is not needed, only a stable one.
const ARRAY_BYTES: u64 = 2048;

impl Array {
    /// Checks the document's geometry and compiles its decoder.
    pub(crate) fn new(uri: Arc<str>, store: Arc<dyn Store>, prefix: String, meta: ArrayMeta, budget: &Budget) -> Result<Self, Cause> {
        let (chunk_shape, chain, shard_layout) = match meta.layout() {
            Layout::Plain { chunk_shape } => (chunk_shape, meta.codecs.clone(), None),
            Layout::Sharded(layout) => (layout.inner_shape.clone(), layout.inner_chain.clone(), Some(layout)),
        };
        let decoder = ChunkDecoder::compile(&chain, &chunk_shape, meta.data_type, meta.fill_value)?;
        let chunk_grid: Axes<u64> = meta.shape.iter().zip(&chunk_shape).map(|(&extent, &chunk)| extent.div_ceil(chunk)).collect();
        if cell_count(&chunk_grid).is_none() {
            return Err(ZarrError::Limit { what: "number of chunks", observed: u64::MAX, allowed: u64::MAX - 1 }.into());
        }
        let shards = shard_layout.map(|layout| Shards { grid: meta.grid_shape(), layout });
        let bytes = ARRAY_BYTES + uri.len() as u64;
        let lease = budget.reserve(Purpose::Metadata, bytes).ok_or(Cause::Memory {
            what: "array metadata",
            needed: bytes,
            available: budget.available(),
        })?;
        Ok(Self { uri_hash: hash_uri(&uri), uri, store, prefix, meta, chunk_shape, chunk_grid, shards, decoder, _lease: lease })
    }

    /// Key of the object that holds a grid cell: a chunk, or a shard.
    pub(crate) fn object_key(&self, cell: &[u64]) -> ObjectKey {
        let mut key = String::with_capacity(self.prefix.len() + 8 + 4 * cell.len());
        if !self.prefix.is_empty() {
            key.push_str(&self.prefix);
            key.push('/');
        }
        self.meta.keys.write_key(cell, &mut key);
        key.into()
    }

    /// The part of a key that a user knows: without the array's own prefix.
    pub(crate) fn relative<'k>(&self, key: &'k str) -> &'k str {
        key.strip_prefix(self.prefix.as_str()).map_or(key, |rest| rest.trim_start_matches('/'))
    }

    /// Shard (or grid cell) that holds a chunk.
    pub(crate) fn cell_of(&self, chunk: &[u64]) -> Axes<u64> {
        match &self.shards {
            Some(shards) => chunk.iter().zip(&shards.layout.inner_per_shard).map(|(c, n)| c / n).collect(),
            None => chunk.iter().copied().collect(),
        }
    }

    /// True if every stored chunk begins with a blosc header.
    pub(crate) fn starts_with_blosc_header(&self) -> bool {
        let chain = self.shards.as_ref().map_or(&self.meta.codecs, |shards| &shards.layout.inner_chain);
        matches!(chain.bytes_to_bytes.last(), Some(BytesToBytes::Blosc { .. }))
    }

    /// Row-major number of a chunk in the whole array; [`Self::new`] checked that it fits.
    pub(crate) fn chunk_number(&self, chunk: &[u64]) -> u64 {
        row_major(chunk, &self.chunk_grid)
    }
}

impl Shards {
    /// Place of a chunk in its shard's index.
    pub(crate) fn entry(&self, chunk: &[u64]) -> usize {
        let within: Axes<u64> = chunk.iter().zip(&self.layout.inner_per_shard).map(|(c, n)| c % n).collect();
        self.layout.entry(&within).expect("a remainder by the chunks per shard lies within the shard")
    }

    /// Row-major number of a shard in the whole array.
    pub(crate) fn number(&self, cell: &[u64]) -> u64 {
        row_major(cell, &self.grid)
    }

    /// The shard of a number: the inverse of [`Self::number`].
    pub(crate) fn cell(&self, number: u64) -> Axes<u64> {
        coordinates(number, &self.grid).expect("numbers come from cells of this grid")
    }
}

fn row_major(coordinates: &[u64], grid: &[u64]) -> u64 {
    coordinates.iter().zip(grid).fold(0, |number, (c, n)| number * n + c)
}

/// Hash of an array's key.
pub(crate) fn hash_uri(uri: &str) -> u64 {
    xxh3_64(uri.as_bytes())
}
