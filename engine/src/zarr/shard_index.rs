//! The index of one shard: where each inner chunk stands in its object.

use std::ops::Range;

use super::index_format::{CHECKSUM_BYTES, ENTRY_BYTES, IndexFormat};
use super::{Endian, IndexLocation, ZarrError};

/// Offset and length of an inner chunk that is not stored.
const ABSENT: u64 = u64::MAX;

/// A checked shard index. Takes 16 bytes of memory per inner chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardIndex {
    pub(crate) entries: Box<[(u64, u64)]>,
}

impl ShardIndex {
    /// Decodes an index from exactly its encoded bytes, and checks every entry against `object_size` where that is known.
    ///
    /// What it yields is safe to read: ranges that do not overflow, are not empty, lie within the object and do not touch the
    /// index. With `object_size` unknown the upper end stays unchecked; [`Self::data_end`] says what it must be at least.
    ///
    /// # Errors
    /// `ShardIndex` for a wrong length, a wrong checksum, or an impossible entry, which it names.
    pub fn decode(bytes: &[u8], format: &IndexFormat, object_size: Option<u64>) -> Result<Self, ZarrError> {
        let data = data_range(format, object_size)?;
        let pairs = check_envelope(bytes, format)?;
        let entries: Box<[(u64, u64)]> = match format.endian {
            Endian::Little => read_pairs(pairs, u64::from_le_bytes),
            Endian::Big => read_pairs(pairs, u64::from_be_bytes),
        };
        match entries.iter().position(|&entry| !is_possible(entry, &data)) {
            None => Ok(Self { entries }),
            Some(chunk) => Err(ZarrError::ShardIndex(describe_fault(chunk, entries[chunk], &data, object_size))),
        }
    }

    /// An index of `entries` chunks of which none is stored: that of a shard without an object.
    pub fn empty(entries: usize) -> Self {
        Self { entries: vec![(ABSENT, ABSENT); entries].into_boxed_slice() }
    }

    /// Byte range `(offset, length)` of inner chunk `i` (row-major within the shard), `None` where it is not stored.
    ///
    /// # Panics
    /// If `i` is not below [`Self::len`].
    pub fn get(&self, i: usize) -> Option<(u64, u64)> {
        let (offset, length) = self.entries[i];
        (offset != ABSENT).then_some((offset, length))
    }

    /// Number of inner chunks of the shard, stored or not.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True for a shard of no chunks; no valid array has one.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// End of the last stored chunk, bytes from the object's start; 0 where none is stored.
    pub fn data_end(&self) -> u64 {
        let ends = self.entries.iter().filter(|entry| entry.0 != ABSENT).map(|&(offset, length)| offset.saturating_add(length));
        ends.max().unwrap_or(0)
    }
}

/// Where chunks may stand in an object: not in its index, not beyond its end.
fn data_range(format: &IndexFormat, object_size: Option<u64>) -> Result<Range<u64>, ZarrError> {
    let index_len = format.encoded_len();
    let end = match object_size {
        None => u64::MAX,
        Some(size) if size < index_len => {
            let reason = format!("the object has {size} bytes, its index of {} entries alone takes {index_len}", format.entries);
            return Err(ZarrError::ShardIndex(reason));
        }
        Some(size) => size,
    };
    Ok(match (format.location, object_size) {
        (IndexLocation::Start, _) => index_len..end,
        (IndexLocation::End, Some(size)) => 0..size - index_len,
        (IndexLocation::End, None) => 0..end,
    })
}

/// Checks length and checksums; yields the pairs.
fn check_envelope<'a>(bytes: &'a [u8], format: &IndexFormat) -> Result<&'a [u8], ZarrError> {
    if bytes.len() as u64 != format.encoded_len() {
        let (found, entries, expected) = (bytes.len(), format.entries, format.encoded_len());
        return Err(ZarrError::ShardIndex(format!("found {found} bytes, an index of {entries} entries takes {expected}")));
    }
    let mut covered = bytes;
    for _ in 0..format.checksums {
        let Some((before, stored)) = covered.split_last_chunk::<{ CHECKSUM_BYTES as usize }>() else {
            return Err(ZarrError::ShardIndex("no room for a checksum".to_owned()));
        };
        let (stored, computed) = (u32::from_le_bytes(*stored), crc32c::crc32c(before));
        if stored != computed {
            return Err(ZarrError::ShardIndex(format!(
                "CRC-32C is stored as {stored:#010x}, the {} bytes give {computed:#010x}",
                before.len()
            )));
        }
        covered = before;
    }
    Ok(covered)
}

fn read_pairs(bytes: &[u8], word: impl Fn([u8; 8]) -> u64) -> Box<[(u64, u64)]> {
    let (pairs, _) = bytes.as_chunks::<{ ENTRY_BYTES as usize }>();
    let read = |pair: &[u8; ENTRY_BYTES as usize]| {
        let [o0, o1, o2, o3, o4, o5, o6, o7, l0, l1, l2, l3, l4, l5, l6, l7] = *pair;
        (word([o0, o1, o2, o3, o4, o5, o6, o7]), word([l0, l1, l2, l3, l4, l5, l6, l7]))
    };
    pairs.iter().map(read).collect()
}

/// Whether an entry is absent as a whole or a non-empty range within `data`.
fn is_possible((offset, length): (u64, u64), data: &Range<u64>) -> bool {
    if offset == ABSENT || length == ABSENT {
        return offset == length;
    }
    // `length <= end - offset` cannot overflow where `offset <= end`.
    length != 0 && offset >= data.start && offset <= data.end && length <= data.end - offset
}

/// Says what is wrong with an entry that is not possible.
fn describe_fault(chunk: usize, (offset, length): (u64, u64), data: &Range<u64>, object_size: Option<u64>) -> String {
    let entry = format!("entry {chunk} (offset {offset}, length {length})");
    if offset == ABSENT || length == ABSENT {
        return format!("{entry} is half empty: only one of its two words is 2^64 - 1");
    }
    if length == 0 {
        return format!("{entry} is of length 0; a chunk that is not stored has both words 2^64 - 1");
    }
    match object_size {
        Some(size) => {
            format!("{entry} is not within bytes {}..{} of the object, which has {size}: chunks stand there only", data.start, data.end)
        }
        None if offset < data.start => format!("{entry} overlaps the index, which takes the first {} bytes", data.start),
        None => format!("{entry} ends beyond 2^64"),
    }
}
