//! The prefetch cache: a fixed table of slots, a key index that one owner keeps, values that anyone with a handle reads.
//!
//! ```text
//!  owner's own                                  shared
//!  index: hash -> slots -----.      .------- slot word   [generation | phase | last]    CacheReader::pin
//!  record: key, pins, waiters|      |        value       pointer, read under a guard    CacheReader::get
//!  wheel: lists by batch     '--> slot -->   next        link of the completed stack    Completion
//! ```
//!
//! | who | may |
//! |---|---|
//! | [`CacheOwner`], one thread | look up keys, claim slots, take completions, evict |
//! | [`CacheReader`], any thread | read the value of a handle, pin a handle to a batch |
//! | [`Completion`], one per fetch | publish the value or the error, once |
//!
//! Only the owner inserts, so one key has one fetch: whoever comes later finds the entry and waits (C05). Everybody else
//! lives on handles. A handle whose entry is gone is *stale*: never pending, never another key's value (C02).
//!
//! An entry may be evicted iff it is complete, its waiters have been told, and the newest batch that pinned it is below
//! the watermark (C08). Eviction is in the order of that batch, oldest first. It happens when room is needed, and it
//! gives room at once: a slot is reused without waiting for readers, because the value hangs off a pointer, says which
//! incarnation it belongs to, and is destroyed by the epoch. So no reader, however slow, can make a request fail (C11).
//!
//! Memory per slot beside key and value: 24 bytes shared; on the owner's side 16 for the record, 12 for the wheel, 16 for
//! the index; 8 in the value's box. Together 76, if neither key nor value has to be aligned further.

mod completion;
mod index;
mod owner;
mod prefetch;
mod reader;
mod table;
mod waiters;
mod wheel;

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;

pub use crate::slot::Handle;
pub use completion::{Cancelled, Completion};
pub use owner::CacheOwner;
pub use reader::CacheReader;

use crate::bell::Bell;
use crate::epoch::Epoch;
use crate::slot::MAX_GENERATION;
use crate::sync::Arc;
use crate::watermark::Watermark;
use table::Table;

/// Who is told when a pending entry completes. The number is the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub u32);

/// What a request answers.
#[must_use = "a fetch that nobody starts is cancelled when its completion drops"]
pub enum Request<V, E> {
    /// The value is there, and pinned to the batch.
    Ready(Handle),
    /// The fetch failed before, and the failure is cached. Pinned to the batch.
    Failed(Handle),
    /// Somebody's fetch is under way. Pinned to the batch; the waiter will be told, once.
    Pending(Handle),
    /// The caller starts the one fetch. Pinned to the batch; the waiter will be told, once.
    Fetch(Handle, Completion<V, E>),
    /// Every slot is pinned, pending, or has waiters to be told: nothing was changed. Drain the completed entries, or
    /// wait for the watermark, and ask again; [`CacheOwner::forget`] makes room at the expense of a younger batch.
    Saturated,
}

impl<V, E> std::fmt::Debug for Request<V, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready(handle) => f.debug_tuple("Ready").field(handle).finish(),
            Self::Failed(handle) => f.debug_tuple("Failed").field(handle).finish(),
            Self::Pending(handle) => f.debug_tuple("Pending").field(handle).finish(),
            Self::Fetch(handle, _) => f.debug_tuple("Fetch").field(handle).finish_non_exhaustive(),
            Self::Saturated => f.write_str("Saturated"),
        }
    }
}

/// What a handle yields.
#[derive(Debug)]
pub enum Lookup<'g, V, E> {
    /// The fetch is under way.
    Pending,
    /// The value.
    Ready(&'g V),
    /// Why there is none.
    Failed(&'g E),
    /// The entry is gone.
    Stale,
}

/// What a cache has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Requests that found their key, complete or pending.
    pub hits: u64,
    /// Requests that became a fetch.
    pub misses: u64,
    /// Entries evicted to make room.
    pub evictions: u64,
    /// Requests refused because nothing could be evicted.
    pub saturated: u64,
    /// Entries that hold a slot now.
    pub entries: usize,
    /// Slots, those whose generations ran out included.
    pub capacity: usize,
    /// Slots whose generations ran out.
    pub worn: usize,
}

/// The measures of a cache beyond its capacity. The defaults suit any cache; tests make them small.
#[derive(Clone, Copy, Debug)]
pub struct CacheConfig {
    /// Slots: 1 to 2^24.
    pub capacity: usize,
    /// Lists in the wheel, rounded up to a power of two: one per batch, so best more than batches are in flight.
    /// A smaller wheel is slower, not wrong.
    pub wheel: usize,
    /// The last generation that a slot uses before it rests for good.
    pub last_generation: u32,
}

impl CacheConfig {
    /// The defaults for so many slots.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, wheel: 1024, last_generation: MAX_GENERATION }
    }
}

/// A cache of `capacity` entries. `epoch` protects its readers, `watermark` says what may be evicted, and `bell` is rung
/// by the completion that finds nothing completed before it: its sleeper then calls [`CacheOwner::drain_completed`].
///
/// # Panics
/// If `capacity` is zero or exceeds 2^24.
#[must_use]
pub fn cache<K, V, E>(
    capacity: usize,
    epoch: &Epoch,
    watermark: Arc<Watermark>,
    bell: Arc<Bell>,
) -> (CacheOwner<K, V, E>, CacheReader<V, E>)
where
    K: Eq + Send,
    V: Send + Sync + 'static,
    E: From<Cancelled> + Send + Sync + 'static,
{
    cache_with(CacheConfig::new(capacity), epoch, watermark, bell)
}

/// The same with every measure given.
///
/// # Panics
/// If the capacity is zero or exceeds 2^24.
#[must_use]
pub fn cache_with<K, V, E>(
    config: CacheConfig,
    epoch: &Epoch,
    watermark: Arc<Watermark>,
    bell: Arc<Bell>,
) -> (CacheOwner<K, V, E>, CacheReader<V, E>)
where
    K: Eq + Send,
    V: Send + Sync + 'static,
    E: From<Cancelled> + Send + Sync + 'static,
{
    let capacity = config.capacity;
    assert!(capacity > 0 && capacity <= 1 << 24, "a cache holds 1 to 2^24 entries, {capacity} asked");
    let table = Arc::new(Table::new(capacity, epoch, bell, || E::from(Cancelled)));
    (CacheOwner::new(config, table.clone(), epoch, watermark), CacheReader::new(table))
}
