//! How the index of a shard is encoded: a fixed number of bytes at one end of the object.

use super::limits::MAX_INDEX_ENTRIES;
use super::{ArrayToBytes, BytesToBytes, CodecChain, Endian, IndexLocation, Sharding, ZarrError};

/// Bytes of one index entry: offset and length, `u64` each.
pub(crate) const ENTRY_BYTES: u64 = 16;

/// Bytes that one `crc32c` codec appends.
pub(crate) const CHECKSUM_BYTES: u64 = 4;

/// The encoding of a shard index: `entries` pairs of `u64`, then `checksums` CRC-32C of all before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IndexFormat {
    /// Number of inner chunks of a shard, stored or not.
    pub entries: usize,
    /// Byte order of the pairs.
    pub endian: Endian,
    /// How many `crc32c` codecs follow; 1 as a rule.
    pub checksums: u32,
    /// The end of the object at which the index stands.
    pub location: IndexLocation,
}

impl IndexFormat {
    /// Length of the encoded index, bytes.
    pub const fn encoded_len(&self) -> u64 {
        self.entries as u64 * ENTRY_BYTES + self.checksums as u64 * CHECKSUM_BYTES
    }

    /// Offset of the index in an object of `object_size` bytes; `None` where the object is shorter than its index.
    pub fn offset_in(&self, object_size: u64) -> Option<u64> {
        let free = object_size.checked_sub(self.encoded_len())?;
        Some(match self.location {
            IndexLocation::Start => 0,
            IndexLocation::End => free,
        })
    }

    /// Number of entries for these inner chunks per shard, within the limit.
    pub(crate) fn entries_of(chunks_per_shard: &[u64]) -> Result<usize, ZarrError> {
        let product = chunks_per_shard.iter().try_fold(1u64, |product, &count| product.checked_mul(count)).unwrap_or(u64::MAX);
        match usize::try_from(product) {
            Ok(entries) if product <= MAX_INDEX_ENTRIES => Ok(entries),
            _ => Err(ZarrError::Limit { what: "number of inner chunks in a shard", observed: product, allowed: MAX_INDEX_ENTRIES }),
        }
    }

    /// Says, in words, what a chain has that a shard index must not have, or that is not read in one.
    pub(crate) fn check(chain: &CodecChain) -> Result<(Endian, u32), String> {
        if !chain.array_to_array.is_empty() {
            return Err("`transpose` in the codecs of a shard index".to_owned());
        }
        let ArrayToBytes::Bytes(endian) = chain.array_to_bytes else {
            return Err("`sharding_indexed` in the codecs of a shard index".to_owned());
        };
        match chain.bytes_to_bytes.iter().find(|&&codec| codec != BytesToBytes::Crc32c) {
            Some(codec) => Err(format!("`{}` in the codecs of a shard index, whose length must be known beforehand", codec.name())),
            None => Ok((endian, chain.bytes_to_bytes.len() as u32)),
        }
    }
}

impl Sharding {
    /// Encoding of the index of shards of `shard_shape` (elements, in the axis order that reaches this codec).
    ///
    /// # Errors
    /// For a shape that the inner chunks do not divide, too many of them, or index codecs of no fixed length;
    /// a parsed array has none of these for the shape that its chain hands to this codec.
    pub fn index_format(&self, shard_shape: &[u64]) -> Result<IndexFormat, ZarrError> {
        let counts = self.chunks_per_shard(shard_shape).map_err(ZarrError::Malformed)?;
        let entries = IndexFormat::entries_of(&counts)?;
        let (endian, checksums) = IndexFormat::check(&self.index_codecs).map_err(ZarrError::Unsupported)?;
        Ok(IndexFormat { entries, endian, checksums, location: self.index_location })
    }
}
