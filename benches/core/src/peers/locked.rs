//! What one writes oneself: shards, each behind a mutex. The hash is computed once.

use super::{Peer, Value};
use crate::keys::{Key, Xxh3};
use crossbeam_utils::CachePadded;
use hashbrown::HashTable;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard};

const SHARDS: usize = 16;

struct Sharded<S>([CachePadded<Mutex<S>>; SHARDS]);

impl<S> Sharded<S> {
    fn new(shard: impl Fn() -> S) -> Self {
        Self(std::array::from_fn(|_| CachePadded::new(Mutex::new(shard()))))
    }

    /// The shard of a hash: by bits that the tables inside do not look at.
    #[inline(always)]
    fn lock(&self, hash: u64) -> MutexGuard<'_, S> {
        self.0[(hash >> 40) as usize % SHARDS].lock().expect("a shard is poisoned")
    }
}

/// `Mutex` over a `hashbrown` table; evicts in the order of insertion.
pub struct ShardedMap<V> {
    shards: Sharded<MapShard<V>>,
    capacity: usize,
}

struct MapShard<V> {
    table: HashTable<(Key, V)>,
    order: VecDeque<Key>,
}

impl<V: Value> Peer<V> for ShardedMap<V> {
    const NAME: &'static str = "sharded mutex + hashbrown";

    fn new(capacity: usize) -> Self {
        let capacity = capacity / SHARDS;
        let shard = || MapShard { table: HashTable::with_capacity(capacity), order: VecDeque::with_capacity(capacity + 1) };
        Self { shards: Sharded::new(shard), capacity }
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<V> {
        let hash = key.hash64();
        self.shards.lock(hash).table.find(hash, |(other, _)| other == key).map(|(_, value)| value.clone())
    }

    #[inline]
    fn put(&self, key: Key, value: V) {
        let hash = key.hash64();
        let shard = &mut *self.shards.lock(hash);
        if let Some(entry) = shard.table.find_mut(hash, |(other, _)| *other == key) {
            entry.1 = value;
            return;
        }
        if shard.order.len() == self.capacity
            && let Some(oldest) = shard.order.pop_front()
            && let Ok(entry) = shard.table.find_entry(oldest.hash64(), |(other, _)| *other == oldest)
        {
            entry.remove();
        }
        shard.table.insert_unique(hash, (key, value), |(key, _)| key.hash64());
        shard.order.push_back(key);
    }
}

/// `Mutex` over the `lru` crate.
pub struct ShardedLru<V> {
    shards: Sharded<lru::LruCache<Key, V, Xxh3>>,
}

impl<V: Value> Peer<V> for ShardedLru<V> {
    const NAME: &'static str = "sharded mutex + lru";

    fn new(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity / SHARDS).expect("at least one entry per shard");
        Self { shards: Sharded::new(|| lru::LruCache::with_hasher(capacity, Xxh3::default())) }
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<V> {
        self.shards.lock(key.hash64()).get(key).cloned()
    }

    #[inline]
    fn put(&self, key: Key, value: V) {
        self.shards.lock(key.hash64()).put(key, value);
    }
}
