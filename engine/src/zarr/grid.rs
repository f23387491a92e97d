//! The chunk grid: which cells there are, what one cell's object holds, and where its inner chunks are listed.

use super::index_format::IndexFormat;
use super::{ArrayMeta, ArrayToBytes, Axes, CodecChain};

/// What the object of one grid cell holds. All axes are those of the array, whatever transposes stand in the chain.
#[derive(Clone, Debug, PartialEq)]
pub enum Layout {
    /// One chunk, decoded whole by the array's chain.
    Plain {
        /// Extent of the chunk, elements.
        chunk_shape: Axes<u64>,
    },
    /// Inner chunks that can be read one by one, found through the index.
    Sharded(ShardLayout),
}

/// A shard whose inner chunks are the units of reading and decoding.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardLayout {
    /// Extent of one inner chunk, elements.
    pub inner_shape: Axes<u64>,
    /// Inner chunks per shard along each axis.
    pub inner_per_shard: Axes<u64>,
    /// Index entries between neighbours along each axis; see [`Self::entry`].
    pub entry_strides: Axes<u64>,
    /// How the index is encoded, and where it stands.
    pub index: IndexFormat,
    /// Codecs of one inner chunk of `inner_shape`; transposes from before the sharding are folded in.
    pub inner_chain: CodecChain,
}

impl ShardLayout {
    /// Index entry of the inner chunk at `coords` within its shard (one per axis of the array).
    /// `None` where they leave the shard or are not one per axis.
    pub fn entry(&self, coords: &[u64]) -> Option<usize> {
        if coords.len() != self.inner_per_shard.len() || coords.iter().zip(&self.inner_per_shard).any(|(coord, count)| coord >= count) {
            return None;
        }
        // Below the number of entries, which is a `usize`: neither step can overflow.
        Some(coords.iter().zip(&self.entry_strides).map(|(coord, stride)| coord * stride).sum::<u64>() as usize)
    }
}

impl Layout {
    /// Extent of what is decoded whole: the chunk, or the inner chunk of a shard; elements.
    pub fn chunk_shape(&self) -> &[u64] {
        match self {
            Self::Plain { chunk_shape } => chunk_shape,
            Self::Sharded(shard) => &shard.inner_shape,
        }
    }
}

impl ArrayMeta {
    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Grid cells along each axis; 0 along an axis of extent 0.
    pub fn grid_shape(&self) -> Axes<u64> {
        self.shape.iter().zip(&self.chunk_shape).map(|(&extent, &chunk)| extent.div_ceil(chunk)).collect()
    }

    /// How one grid cell's object is to be read.
    ///
    /// `Sharded` where the chain is `sharding_indexed` with at most transposes before it. Codecs after the sharding
    /// scramble the object as a whole: it is then `Plain`, as is (within an inner chunk) a shard in a shard.
    pub fn layout(&self) -> Layout {
        match self.shard_layout() {
            Some(shard) => Layout::Sharded(shard),
            None => Layout::Plain { chunk_shape: self.chunk_shape.clone() },
        }
    }

    fn shard_layout(&self) -> Option<ShardLayout> {
        let ArrayToBytes::Sharding(sharding) = &self.codecs.array_to_bytes else {
            return None;
        };
        if !self.codecs.bytes_to_bytes.is_empty() {
            return None;
        }
        let encoded_axes = self.codecs.encoded_axes(self.rank());
        let encoded_shape = self.codecs.encoded_shape(&self.chunk_shape);
        // Both hold for every parsed array. One put together by hand may fall through, and its decoder then says why.
        let counts = sharding.chunks_per_shard(&encoded_shape).ok()?;
        let index = sharding.index_format(&encoded_shape).ok()?;
        let unpermute = |encoded: &[u64]| {
            let mut decoded = Axes::from_elem(0, encoded.len());
            encoded_axes.iter().zip(encoded).for_each(|(&axis, &value)| decoded[axis] = value);
            decoded
        };
        let mut inner_chain = sharding.codecs.clone();
        inner_chain.array_to_array.splice(0..0, self.codecs.array_to_array.iter().cloned());
        Some(ShardLayout {
            inner_shape: unpermute(&sharding.chunk_shape),
            inner_per_shard: unpermute(&counts),
            entry_strides: unpermute(&row_major_strides(&counts)),
            index,
            inner_chain,
        })
    }
}

/// Strides of a row-major order over `counts` (whose product fits `u64`).
fn row_major_strides(counts: &[u64]) -> Axes<u64> {
    let mut strides = Axes::from_elem(1, counts.len());
    for axis in (1..counts.len()).rev() {
        strides[axis - 1] = strides[axis] * counts[axis];
    }
    strides
}

/// Number of cells of a grid of `counts` per axis; `None` where it does not fit `u64`.
pub fn cell_count(counts: &[u64]) -> Option<u64> {
    if counts.contains(&0) {
        return Some(0);
    }
    counts.iter().try_fold(1u64, |product, &count| product.checked_mul(count))
}

/// Row-major number of the cell at `coords` in a grid of `counts` per axis (the last axis runs fastest);
/// `None` where ranks differ, `coords` leave the grid, or the number does not fit.
pub fn linear_index(coords: &[u64], counts: &[u64]) -> Option<u64> {
    if coords.len() != counts.len() {
        return None;
    }
    coords.iter().zip(counts).try_fold(0u64, |index, (&coord, &count)| match coord < count {
        true => index.checked_mul(count)?.checked_add(coord),
        false => None,
    })
}

/// Coordinates of cell `index` in row-major order, the inverse of [`linear_index`]; `None` where the grid has no such cell.
pub fn coordinates(mut index: u64, counts: &[u64]) -> Option<Axes<u64>> {
    let mut coords = Axes::from_elem(0, counts.len());
    for (coord, &count) in coords.iter_mut().zip(counts).rev() {
        *coord = index.checked_rem(count)?;
        index /= count;
    }
    (index == 0).then_some(coords)
}
