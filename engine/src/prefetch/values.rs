//! What the three caches hold.

use std::sync::Arc;

use longshore_core::cache::Cancelled;

use crate::error::{Cause, Stage};
use crate::memory::Lease;
use crate::store::{ObjectKey, StoreError};
use crate::zarr::{BloscHeader, ShardIndex};

/// One shard, resolved: where its chunks are, or that it is not stored at all.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) key: ObjectKey,
    /// `None`: there is no such object, every chunk of it is fill.
    pub(crate) index: Option<ShardIndex>,
    pub(crate) _lease: Lease,
}

/// What the header of an array's first stored chunk says; `None` for chunks that are no blosc containers.
#[derive(Clone, Debug)]
pub(crate) struct ChunkLayout {
    #[allow(dead_code, reason = "read by backends that ask for this stage; the host does not")]
    pub(crate) blosc: Option<BloscHeader>,
}

/// Key of a shard (by its number), or of a whole array (number `u64::MAX`).
#[derive(Clone, Debug)]
pub(crate) struct ShardKey {
    pub(crate) uri: Arc<str>,
    pub(crate) number: u64,
}

impl PartialEq for ShardKey {
    fn eq(&self, other: &Self) -> bool {
        // Keys are built from the array's own `Arc`: the text is compared only between arrays resolved twice.
        self.number == other.number && (Arc::ptr_eq(&self.uri, &other.uri) || self.uri == other.uri)
    }
}

impl Eq for ShardKey {}

impl ShardKey {
    /// Mixes the number into the array's hash; both halves of the product count.
    pub(crate) fn hash(uri_hash: u64, number: u64) -> u64 {
        let product = u128::from(uri_hash ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15)) * 0xD6E8_FEB8_6659_FD93;
        (product as u64) ^ (product >> 64) as u64
    }
}

/// Why a fetch failed: shared by every sample that waited for it.
#[derive(Clone, Debug)]
pub(crate) struct FetchError {
    pub(crate) stage: Stage,
    pub(crate) object: Option<String>,
    pub(crate) cause: Cause,
}

impl From<Cancelled> for FetchError {
    fn from(_: Cancelled) -> Self {
        Self { stage: Stage::Admission, object: None, cause: Cause::Closed }
    }
}

impl FetchError {
    /// Whether the same request may succeed later: such an answer must not stay in a cache.
    pub(crate) fn is_transient(&self) -> bool {
        match &self.cause {
            // A cancelled request says nothing about the object: another may come through, by a store that still lives.
            Cause::Store(error) => error.is_transient() || matches!(error, StoreError::Cancelled),
            Cause::Memory { .. } | Cause::Closed => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C38: found under random schedules: a request that a store gave up stayed cached as a failure for ever.
    #[test]
    fn c38_only_what_the_object_says_is_cached() {
        let error = |cause| FetchError { stage: Stage::ShardIndex, object: None, cause };
        for passing in [Cause::Store(StoreError::Transient("later".into())), Cause::Store(StoreError::Cancelled), Cause::Closed] {
            assert!(error(passing.clone()).is_transient(), "{passing:?}");
        }
        for lasting in [Cause::Store(StoreError::NotFound), Cause::Store(StoreError::Permanent("never".into()))] {
            assert!(!error(lasting.clone()).is_transient(), "{lasting:?}");
        }
    }
}
