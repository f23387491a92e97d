//! Concurrent maps, bounded from outside by a queue of their keys: first in, first out.

use super::{Peer, Value};
use crate::keys::{Key, Xxh3};
use std::collections::VecDeque;
use std::sync::Mutex;

/// The keys in the order of insertion.
struct Order {
    keys: Mutex<VecDeque<Key>>,
    capacity: usize,
}

impl Order {
    fn new(capacity: usize) -> Self {
        Self { keys: Mutex::new(VecDeque::with_capacity(capacity + 1)), capacity }
    }

    /// Adds a key; answers the one that has to go.
    fn push(&self, key: Key) -> Option<Key> {
        let mut keys = self.keys.lock().expect("the order is poisoned");
        keys.push_back(key);
        if keys.len() > self.capacity { keys.pop_front() } else { None }
    }
}

/// `dashmap`.
pub struct Dash<V> {
    map: dashmap::DashMap<Key, V, Xxh3>,
    order: Order,
}

impl<V: Value> Peer<V> for Dash<V> {
    const NAME: &'static str = "dashmap";

    fn new(capacity: usize) -> Self {
        Self { map: dashmap::DashMap::with_capacity_and_hasher(capacity, Xxh3::default()), order: Order::new(capacity) }
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<V> {
        self.map.get(key).map(|value| value.clone())
    }

    #[inline]
    fn put(&self, key: Key, value: V) {
        if self.map.insert(key, value).is_none()
            && let Some(oldest) = self.order.push(key)
        {
            self.map.remove(&oldest);
        }
    }
}

/// `papaya`.
pub struct Papaya<V> {
    map: papaya::HashMap<Key, V, Xxh3>,
    order: Order,
}

impl<V: Value> Peer<V> for Papaya<V> {
    const NAME: &'static str = "papaya";

    fn new(capacity: usize) -> Self {
        Self { map: papaya::HashMap::with_capacity_and_hasher(capacity, Xxh3::default()), order: Order::new(capacity) }
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<V> {
        self.map.pin().get(key).cloned()
    }

    #[inline]
    fn put(&self, key: Key, value: V) {
        let map = self.map.pin();
        if map.insert(key, value).is_none()
            && let Some(oldest) = self.order.push(key)
        {
            map.remove(&oldest);
        }
    }
}

/// `papaya` with one guard for each batch of look-ups.
pub struct PapayaHeld<V>(Papaya<V>);

impl<V: Value> Peer<V> for PapayaHeld<V> {
    const NAME: &'static str = "papaya, one guard per 32";

    fn new(capacity: usize) -> Self {
        Self(Peer::new(capacity))
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<V> {
        self.0.get(key)
    }

    #[inline]
    fn put(&self, key: Key, value: V) {
        self.0.put(key, value);
    }

    #[inline]
    fn hits(&self, keys: &[Key]) -> u64 {
        let map = self.0.map.pin();
        keys.iter().map(|key| map.get(key).map_or(0, |_| 1)).sum()
    }
}
