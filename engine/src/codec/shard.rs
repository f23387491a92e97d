//! `sharding_indexed` inside a chunk: the general path, for shards within shards and shards under another codec.
//!
//! A shard that is a grid cell by itself never comes here: the planner reads its index and its inner chunks one by one.

use super::scratch::at_least;
use super::strides::{Layout, c_strides};
use super::{ChunkDecoder, CodecError, Scratch};
use crate::zarr::{ArrayToBytes, Axes, BytesToBytes, CodecChain, DataType, FillValue, IndexLocation, Sharding};

const CODEC: &str = "sharding_indexed";

/// Most inner chunks that a shard inside a chunk may have: its index is decoded into memory.
const MAX_INNER_CHUNKS: usize = 1 << 20;

/// Decodes one shard from memory.
#[derive(Debug)]
pub(super) struct ShardDecoder {
    inner: ChunkDecoder,
    index: ChunkDecoder,
    index_len: usize,
    location: IndexLocation,
    /// Inner chunks per axis of the shard.
    grid: Axes<usize>,
    chunk_shape: Axes<usize>,
    /// Strides of the shard's own buffer, elements.
    strides: Axes<usize>,
    element: FillValue,
}

impl ShardDecoder {
    /// Compiles `sharding` for shards of `outer.encoded_shape`.
    pub(super) fn compile(
        sharding: &Sharding,
        outer: &Layout,
        data_type: DataType,
        fill_value: FillValue,
        depth: usize,
    ) -> Result<Self, CodecError> {
        let grid = inner_grid(&outer.encoded_shape, &sharding.chunk_shape)?;
        let count = grid.iter().try_fold(1_usize, |n, &g| n.checked_mul(g)).filter(|&n| n <= MAX_INNER_CHUNKS);
        let Some(count) = count else {
            let reason = format!("a shard inside a chunk with {grid:?} inner chunks, the limit is {MAX_INNER_CHUNKS} in all");
            return Err(CodecError::Unsupported(reason));
        };
        let inner = ChunkDecoder::compile_at(&sharding.codecs, &sharding.chunk_shape, data_type, fill_value, depth + 1)?;
        let index_len = fixed_index_len(&sharding.index_codecs, count)?;
        let mut index_shape: Axes<u64> = grid.iter().map(|&g| g as u64).collect();
        index_shape.push(2);
        let all_ones = FillValue::from_ne_bytes(&[0xff; 8]);
        let index = ChunkDecoder::compile_at(&sharding.index_codecs, &index_shape, DataType::UInt64, all_ones, depth + 1)?;
        Ok(Self {
            inner,
            index,
            index_len,
            location: sharding.index_location,
            grid,
            chunk_shape: sharding.chunk_shape.iter().map(|&extent| extent as usize).collect(),
            strides: c_strides(&outer.encoded_shape),
            element: fill_value,
        })
    }

    /// Largest length that a shard can honestly have, bytes: every inner chunk at its largest, the index, and room to align.
    pub(super) fn max_encoded(&self) -> usize {
        let chunks = self.count().saturating_mul(self.inner.max_encoded_len().saturating_add(64));
        chunks.saturating_add(self.index_len).saturating_add(4096)
    }

    fn count(&self) -> usize {
        self.grid.iter().product()
    }

    /// Decodes the shard `encoded` into `out`, in C order of the shard's own axes.
    pub(super) fn decode(&self, encoded: &[u8], out: &mut [u8], scratch: &mut Scratch) -> Result<(), CodecError> {
        let mut inner_scratch = scratch.inner.take().unwrap_or_default();
        let mut chunk = std::mem::take(&mut scratch.inner_chunk);
        let result = self.decode_chunks(encoded, out, &mut chunk, &mut inner_scratch);
        scratch.inner = Some(inner_scratch);
        scratch.inner_chunk = chunk;
        result
    }

    fn decode_chunks(&self, encoded: &[u8], out: &mut [u8], chunk: &mut Vec<u8>, scratch: &mut Scratch) -> Result<(), CodecError> {
        let entries = self.decode_index(encoded, scratch)?;
        let chunk = at_least(chunk, self.inner.decoded_len());
        let mut cell: Axes<usize> = smallvec::smallvec![0; self.grid.len()];
        for (number, &(offset, length)) in entries.iter().enumerate() {
            match stored_range(offset, length, encoded.len()) {
                Ok(None) => chunk.chunks_exact_mut(self.element_size()).for_each(|e| e.copy_from_slice(self.element.as_ne_bytes())),
                Ok(Some(range)) => {
                    let decoded = self.inner.decode(&encoded[range], chunk, None, scratch);
                    decoded.map_err(|e| CodecError::corrupt(CODEC, format!("inner chunk {number}: {e}")))?;
                }
                Err(reason) => return Err(CodecError::corrupt(CODEC, format!("inner chunk {number}: {reason}"))),
            }
            self.place(chunk, out, &cell);
            advance(&mut cell, &self.grid);
        }
        Ok(())
    }

    /// Offset and length per inner chunk, in C order of the grid.
    fn decode_index(&self, encoded: &[u8], scratch: &mut Scratch) -> Result<Vec<(u64, u64)>, CodecError> {
        let short = || CodecError::corrupt(CODEC, format!("{} bytes stored, the index alone has {}", encoded.len(), self.index_len));
        let start = match self.location {
            IndexLocation::Start => 0,
            IndexLocation::End => encoded.len().checked_sub(self.index_len).ok_or_else(short)?,
        };
        let stored = encoded.get(start..start + self.index_len).ok_or_else(short)?;
        let mut raw = vec![0; self.index.decoded_len()];
        let decoded = self.index.decode(stored, &mut raw, None, scratch);
        decoded.map_err(|e| CodecError::corrupt(CODEC, format!("index: {e}")))?;
        let word = |i: usize| raw.as_chunks::<8>().0.get(i).map_or(u64::MAX, |b| u64::from_ne_bytes(*b));
        let strides = self.index.strides();
        let (pair_stride, cell_strides) = strides.split_last().unwrap_or((&1, &[]));
        let mut cell: Axes<usize> = smallvec::smallvec![0; self.grid.len()];
        let mut entries = Vec::with_capacity(self.count());
        for _ in 0..self.count() {
            let at: usize = cell.iter().zip(cell_strides).map(|(c, s)| c * s).sum();
            entries.push((word(at), word(at + pair_stride)));
            advance(&mut cell, &self.grid);
        }
        Ok(entries)
    }

    fn element_size(&self) -> usize {
        self.element.as_ne_bytes().len()
    }

    /// Copies one inner chunk to its place in the shard's buffer, undoing the inner chunk's own transposes.
    fn place(&self, chunk: &[u8], out: &mut [u8], cell: &[usize]) {
        let size = self.element_size();
        let rank = cell.len();
        let origin: usize = (0..rank).map(|a| cell[a] * self.chunk_shape[a] * self.strides[a]).sum();
        let from = self.inner.strides();
        let (row, rows) = self.chunk_shape.split_last().map_or((1, &[][..]), |(last, rest)| (*last, rest));
        let step = from.last().copied().unwrap_or(1);
        let mut index: Axes<usize> = smallvec::smallvec![0; rows.len()];
        for _ in 0..rows.iter().product() {
            let source: usize = index.iter().zip(from).map(|(i, s)| i * s).sum();
            let target: usize = origin + index.iter().zip(&self.strides).map(|(i, s)| i * s).sum::<usize>();
            if step == 1 {
                out[target * size..][..row * size].copy_from_slice(&chunk[source * size..][..row * size]);
            } else {
                for i in 0..row {
                    out[(target + i) * size..][..size].copy_from_slice(&chunk[(source + i * step) * size..][..size]);
                }
            }
            advance(&mut index, rows);
        }
    }
}

/// Inner chunks per axis.
fn inner_grid(shard: &[usize], chunk: &[u64]) -> Result<Axes<usize>, CodecError> {
    let divides = |(&s, &c): (&usize, &u64)| c != 0 && (s as u64).is_multiple_of(c);
    if shard.len() != chunk.len() || !shard.iter().zip(chunk).all(divides) {
        return Err(CodecError::Unsupported(format!("inner chunks of shape {chunk:?} in a shard of shape {shard:?}")));
    }
    Ok(shard.iter().zip(chunk).map(|(&s, &c)| s / c as usize).collect())
}

/// Length of an index of `count` inner chunks, encoded: known only for codecs that do not compress.
fn fixed_index_len(codecs: &CodecChain, count: usize) -> Result<usize, CodecError> {
    let fixed = matches!(codecs.array_to_bytes, ArrayToBytes::Bytes(_));
    let checksums = codecs.bytes_to_bytes.iter().filter(|codec| matches!(codec, BytesToBytes::Crc32c)).count();
    if !fixed || checksums != codecs.bytes_to_bytes.len() {
        return Err(CodecError::Unsupported("index_codecs whose encoded size is not fixed".into()));
    }
    Ok(count * 16 + checksums * super::checksum::SUFFIX)
}

/// Where an inner chunk stands in a shard of `len` bytes; `None` where it is not stored.
fn stored_range(offset: u64, length: u64, len: usize) -> Result<Option<std::ops::Range<usize>>, String> {
    if offset == u64::MAX && length == u64::MAX {
        return Ok(None);
    }
    match offset.checked_add(length) {
        Some(end) if end <= len as u64 => Ok(Some(offset as usize..end as usize)),
        _ => Err(format!("{length} bytes at offset {offset} of a shard of {len} bytes")),
    }
}

/// The next index in C order.
fn advance(index: &mut [usize], extents: &[usize]) {
    for (i, &extent) in index.iter_mut().zip(extents).rev() {
        *i += 1;
        if *i < extent {
            return;
        }
        *i = 0;
    }
}
