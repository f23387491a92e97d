//! Whole caches.

use super::{Peer, Value};
use crate::keys::{Key, Xxh3};

/// `quick_cache::sync`.
pub struct QuickCache<V>(quick_cache::sync::Cache<Key, V, quick_cache::UnitWeighter, Xxh3>);

impl<V: Value> QuickCache<V> {
    /// Looks up; if nobody fetches the key, fetches it.
    #[inline]
    pub fn fetch(&self, key: &Key, value: impl FnOnce() -> V) {
        match self.0.get_value_or_guard(key, None) {
            quick_cache::sync::GuardResult::Guard(guard) => _ = guard.insert(value()),
            quick_cache::sync::GuardResult::Value(_) | quick_cache::sync::GuardResult::Timeout => {}
        }
    }
}

impl<V: Value> Peer<V> for QuickCache<V> {
    const NAME: &'static str = "quick_cache";

    fn new(capacity: usize) -> Self {
        let (weighter, lifecycle) = Default::default();
        Self(quick_cache::sync::Cache::with(capacity, capacity as u64, weighter, Xxh3::default(), lifecycle))
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<V> {
        self.0.get(key)
    }

    #[inline]
    fn put(&self, key: Key, value: V) {
        self.0.insert(key, value);
    }
}

/// `moka::sync`.
pub struct Moka<V: Value>(moka::sync::Cache<Key, V, Xxh3>);

impl<V: Value> Peer<V> for Moka<V> {
    const NAME: &'static str = "moka";

    fn new(capacity: usize) -> Self {
        let builder = moka::sync::Cache::builder().max_capacity(capacity as u64).initial_capacity(capacity);
        // LRU, as ours: TinyLFU would refuse most of what the miss section inserts.
        Self(builder.eviction_policy(moka::policy::EvictionPolicy::lru()).build_with_hasher(Xxh3::default()))
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<V> {
        self.0.get(key)
    }

    #[inline]
    fn put(&self, key: Key, value: V) {
        self.0.insert(key, value);
    }
}

/// `foyer-memory` with its S3-FIFO, the faster of its policies.
pub struct Foyer<V: Value>(foyer_memory::Cache<Key, V, Xxh3>);

impl<V: Value> Peer<V> for Foyer<V> {
    const NAME: &'static str = "foyer (s3fifo)";

    fn new(capacity: usize) -> Self {
        let builder = foyer_memory::CacheBuilder::new(capacity).with_shards(16).with_hash_builder(Xxh3::default());
        Self(builder.with_eviction_config(foyer_memory::S3FifoConfig::default()).build())
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<V> {
        self.0.get(key).map(|entry| entry.value().clone())
    }

    #[inline]
    fn put(&self, key: Key, value: V) {
        drop(self.0.insert(key, value));
    }
}
