//! The index of one shard: where each inner chunk stands in its object.

/// A checked shard index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardIndex {
    pub(crate) entries: Box<[(u64, u64)]>,
}

impl ShardIndex {
    /// Byte range `(offset, length)` of inner chunk `i` (row-major within the shard), `None` where it is not stored.
    pub fn get(&self, i: usize) -> Option<(u64, u64)> {
        let (offset, length) = self.entries[i];
        (offset != u64::MAX).then_some((offset, length))
    }

    /// Number of inner chunks of the shard, stored or not.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True for a shard of no chunks; no valid array has one.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
