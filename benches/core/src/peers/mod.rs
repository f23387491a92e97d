//! The caches that core could have used, each behind the same few calls.
//!
//! Every peer hashes with the same XXH3 and answers a value by copy. Values are `u64`, which none of them has to
//! allocate: the cheapest that a peer can be. Where values must outlive their eviction, as in Longshore, a peer needs an
//! `Arc` per value; the miss section measures that too.

mod caches;
mod locked;
mod maps;

pub use caches::{Foyer, Moka, QuickCache};
pub use locked::{ShardedLru, ShardedMap};
pub use maps::{Dash, Papaya, PapayaHeld};

use crate::keys::Key;
use std::sync::Arc;

/// What a peer holds.
pub trait Value: Clone + Send + Sync + 'static {
    /// A value made of a number.
    fn make(n: u64) -> Self;
    /// That number.
    fn number(&self) -> u64;
}

impl Value for u64 {
    #[inline(always)]
    fn make(n: u64) -> Self {
        n
    }

    #[inline(always)]
    fn number(&self) -> u64 {
        *self
    }
}

impl Value for Arc<u64> {
    #[inline(always)]
    fn make(n: u64) -> Self {
        Self::new(n)
    }

    #[inline(always)]
    fn number(&self) -> u64 {
        **self
    }
}

/// A bounded concurrent cache.
pub trait Peer<V: Value>: Send + Sync + 'static {
    /// Its name in the tables.
    const NAME: &'static str;

    /// An empty one that holds `capacity` entries.
    fn new(capacity: usize) -> Self;

    /// A copy of the value of `key`.
    fn get(&self, key: &Key) -> Option<V>;

    /// Inserts, and evicts what no longer fits.
    fn put(&self, key: Key, value: V);

    /// How many of the keys are there, with whatever a batch of look-ups lets the peer share between them.
    #[inline]
    fn hits(&self, keys: &[Key]) -> u64 {
        keys.iter().map(|key| self.get(key).map_or(0, |_| 1)).sum()
    }
}

/// Calls a macro with each peer.
#[macro_export]
macro_rules! each_peer {
    ($with:ident) => {
        $with!(ShardedMap);
        $with!(ShardedLru);
        $with!(Dash);
        $with!(Papaya);
        $with!(QuickCache);
        $with!(Moka);
        $with!(Foyer);
    };
}
