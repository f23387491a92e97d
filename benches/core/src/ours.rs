//! Longshore's cache with what it needs around it.

use crate::keys::Key;
use longshore_core::bell::Bell;
use longshore_core::cache::{CacheConfig, CacheOwner, CacheReader, Cancelled, Handle, Request, WaiterId, cache_with};
use longshore_core::epoch::Epoch;
use longshore_core::ordinal::BatchId;
use longshore_core::watermark::Watermark;
use std::sync::Arc;

/// The error of a fetch.
#[derive(Debug)]
pub struct Fault;

impl From<Cancelled> for Fault {
    fn from(_: Cancelled) -> Self {
        Self
    }
}

/// What one batch asks for together.
pub const BATCH: usize = 32;

/// Ends the fetch, if that is what the request became. Answers whether it was a hit.
#[inline]
pub fn fetch(answer: Request<u64, Fault>, value: u64) -> bool {
    match answer {
        Request::Ready(_) | Request::Pending(_) => true,
        Request::Fetch(_, completion) => {
            completion.complete(value);
            false
        }
        other => panic!("{other:?}"),
    }
}

/// A cache whose owner runs on this thread.
pub struct Ours<K: Eq + Send> {
    /// The owner.
    pub owner: CacheOwner<K, u64, Fault>,
    /// A reader.
    pub reader: CacheReader<u64, Fault>,
    /// The watermark, moved by hand.
    pub watermark: Arc<Watermark>,
    /// What completions ring.
    pub bell: Arc<Bell>,
    /// What readers register with.
    pub epoch: Epoch,
    /// The batch that asks.
    pub batch: u64,
}

/// Where requests of one thing end: nobody waits for them here.
pub const NOBODY: WaiterId = WaiterId(0);

impl<K: Eq + Send + Clone> Ours<K> {
    /// An empty cache.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self::with(CacheConfig::new(capacity))
    }

    /// An empty cache of these measures.
    #[must_use]
    pub fn with(config: CacheConfig) -> Self {
        let (epoch, watermark, bell) = (Epoch::new(), Arc::new(Watermark::new()), Arc::new(Bell::new()));
        let (owner, reader) = cache_with(config, &epoch, watermark.clone(), bell.clone());
        Self { owner, reader, watermark, bell, epoch, batch: 0 }
    }

    /// The next batch begins, and everything before it is planned.
    #[inline]
    pub fn next_batch(&mut self) {
        self.batch += 1;
        self.watermark.advance_to(BatchId::new(self.batch));
    }

    /// Requests a key; if it has to be fetched, the fetch ends at once, and [`drain`](Self::drain) is due. Answers
    /// whether it was a hit.
    #[inline]
    pub fn ask(&mut self, hash: u64, key: &K) -> bool {
        fetch(self.owner.request(hash, key, BatchId::new(self.batch), NOBODY), hash)
    }

    /// Tells the waiters.
    #[inline]
    pub fn drain(&mut self) {
        self.owner.drain_completed(|_, _| {});
    }

    /// Loads a key and answers its handle.
    pub fn load(&mut self, hash: u64, key: &K) -> Handle {
        self.ask(hash, key);
        self.drain();
        match self.owner.request(hash, key, BatchId::new(self.batch), NOBODY) {
            Request::Ready(handle) => handle,
            other => panic!("{other:?}"),
        }
    }
}

impl Ours<Key> {
    /// A cache that holds all of these keys.
    #[must_use]
    pub fn filled(capacity: usize, keys: &[Key]) -> Self {
        let mut ours = Self::new(capacity);
        keys.iter().for_each(|key| _ = ours.load(key.hash64(), key));
        ours
    }
}
