//! A small cache with all its ends, and what a reader sees of it.

use longshore_core::bell::Bell;
use longshore_core::cache::{CacheConfig, CacheOwner, CacheReader, Cancelled, Completion, Handle, Lookup, Request, WaiterId, cache_with};
use longshore_core::epoch::{Epoch, EpochThread};
use longshore_core::ordinal::BatchId;
use longshore_core::sync::Arc;
use longshore_core::watermark::Watermark;
use loom_tests::Payload;

pub(crate) const B: fn(u64) -> BatchId = BatchId::new;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault;

impl From<Cancelled> for Fault {
    fn from(_: Cancelled) -> Self {
        Self
    }
}

pub(crate) struct Rig {
    pub(crate) owner: CacheOwner<u64, Payload, Fault>,
    pub(crate) reader: CacheReader<Payload, Fault>,
    pub(crate) watermark: Arc<Watermark>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) epoch: Epoch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Pending,
    Ready(u32),
    Failed,
    Stale,
}

impl Rig {
    pub(crate) fn new(capacity: usize) -> Self {
        let (epoch, watermark, bell) = (Epoch::new(), Arc::new(Watermark::new()), Arc::new(Bell::new()));
        let config = CacheConfig { wheel: 2, ..CacheConfig::new(capacity) };
        let (owner, reader) = cache_with(config, &epoch, watermark.clone(), bell.clone());
        Self { owner, reader, watermark, bell, epoch }
    }

    pub(crate) fn fetch(&mut self, key: u64, batch: u64) -> (Handle, Completion<Payload, Fault>) {
        fetch(&mut self.owner, key, batch).expect("room")
    }

    /// An entry that may be evicted as soon as the watermark allows.
    pub(crate) fn settled(&mut self, key: u64, batch: u64) -> Handle {
        let (handle, completion) = self.fetch(key, batch);
        completion.complete(Payload::new(key as u32));
        self.owner.drain_completed(|_, _| {});
        handle
    }
}

pub(crate) fn fetch(owner: &mut CacheOwner<u64, Payload, Fault>, key: u64, batch: u64) -> Option<(Handle, Completion<Payload, Fault>)> {
    match owner.request(key, &key, B(batch), WaiterId(key as u32)) {
        Request::Fetch(handle, completion) => Some((handle, completion)),
        Request::Saturated => None,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn see(reader: &CacheReader<Payload, Fault>, epoch: &Epoch, handle: Handle) -> Seen {
    see_under(reader, &epoch.register(), handle)
}

/// The same on a thread that registered before: registrations add steps to explore.
pub(crate) fn see_under(reader: &CacheReader<Payload, Fault>, thread: &EpochThread, handle: Handle) -> Seen {
    let guard = thread.pin();
    match reader.get(handle, &guard) {
        Lookup::Pending => Seen::Pending,
        Lookup::Ready(value) => Seen::Ready(value.get()),
        Lookup::Failed(_) => Seen::Failed,
        Lookup::Stale => Seen::Stale,
    }
}
