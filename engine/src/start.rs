//! From a configuration to the parts of a running loader: how the memory budget is split, how large everything is.

use std::io;
use std::sync::Arc;

use longshore_core::cache::cache;
use longshore_core::epoch::Epoch;
use longshore_core::gate::gate_table;
use longshore_core::inbox::Mailbox;
use longshore_core::ring::{Consumer, Producer};
use longshore_core::watermark::Watermark;

use crate::backend::host::HostWorker;
use crate::batch::Storage;
use crate::config::{Builder, Field};
use crate::error::{ConfigError, Error};
use crate::memory::{AlignedBytes, Budget, Lease, Purpose, default_budget, usable_cores};
use crate::plan::batch::FieldTypes;
use crate::prefetch::fetch::Fetcher;
use crate::prefetch::{Batches, Cache, PrefetcherParts};
use crate::runtime::{Delivery, Pushed, Shared};
use crate::store::{Clock, Latency, LocalOptions, Retry, RetryPolicy, Store, StoreLayer, Stores};
use crate::wave::EngineParts;
use crate::wave::dispatch::MAX_CHUNKS_PER_WAVE;
use crate::wave::slots::{Limits, WavePool};
use crate::wave::window::Window;
use crate::wave::workers::{TaskQueue, Workers};

/// The two threads' parts.
pub(crate) struct Started {
    pub(crate) prefetcher: PrefetcherParts,
    pub(crate) engine: EngineParts,
    /// The stores, where the loader made them itself.
    pub(crate) own_stores: Option<Arc<Stores>>,
}

/// Least bytes beside the batch buffers: metadata, and a chunk in flight per thread.
const MIN_WORKING_BYTES: u64 = 4 << 20;

/// Waves in flight: two being worked on, two being read ahead.
const WAVES: usize = 4;

/// Rough weight of a cache slot with its key, bytes; core's README states the exact one.
const SLOT_BYTES: u64 = 160;

/// Rough weight of a planned need with its share of the chunk table, bytes.
const NEED_BYTES: u64 = 64;

/// Outputs larger than this (all buffers together) bypass the caches on their way out.
const STREAMING_BYTES: u64 = 4 << 20;

/// The budget, if the geometry fits into it.
pub(crate) fn budget(builder: &Builder) -> Result<Budget, ConfigError> {
    let total = builder.memory_budget.unwrap_or_else(default_budget);
    let batches = batch_bytes(builder)
        .and_then(|bytes| bytes.checked_mul(builder.buffers as u64))
        .ok_or_else(|| ConfigError("a batch of this crop has more bytes than any machine: lower batch or crop".into()))?;
    let needed = batches.saturating_add(MIN_WORKING_BYTES);
    if total < needed {
        return Err(ConfigError(format!(
            "memory_budget is {total} bytes; {} buffers of {} samples need {batches}, and metadata and staging at least {MIN_WORKING_BYTES}: \
             raise memory_budget to {needed} or more, or lower batch, buffers or crop",
            builder.buffers, builder.batch
        )));
    }
    Ok(Budget::new(total))
}

/// Bytes of one batch; a `Native` field counts one byte per element until its type is known.
fn batch_bytes(builder: &Builder) -> Option<u64> {
    builder.fields.iter().try_fold(0u64, |sum, field| sum.checked_add(field_bytes(field, builder.batch)?))
}

fn field_bytes(field: &Field, batch: usize) -> Option<u64> {
    let size = field.known_type().map_or(1, |data_type| data_type.size());
    (field.elements()? as u64).checked_mul(size as u64)?.checked_mul(batch as u64)
}

/// How the bytes beside the batch buffers are split.
struct Split {
    /// Metadata and staging.
    reserve: u64,
    decoded: u64,
    waves: Limits,
    cache_slots: u64,
    max_refs: usize,
}

impl Split {
    fn new(builder: &Builder, budget: &Budget) -> Self {
        let batches = batch_bytes(builder).unwrap_or(0).saturating_mul(builder.buffers as u64);
        let working = budget.total().saturating_sub(batches);
        // A sixteenth for metadata and staging; the rest may hold decoded chunks.
        let reserve = (working / 16).max(MIN_WORKING_BYTES / 2);
        let decoded = working.saturating_sub(reserve);
        let waves = Limits {
            staged_bytes: (reserve / 2 / WAVES as u64).clamp(256 << 10, 64 << 20),
            decoded_bytes: (decoded / 16).clamp(1 << 20, 16 << 20),
            chunks: MAX_CHUNKS_PER_WAVE,
        };
        let max_refs = (reserve / 8 / NEED_BYTES).clamp(1 << 12, 1 << 22) as usize;
        Self { reserve, decoded, waves, cache_slots: reserve / 8 / SLOT_BYTES, max_refs }
    }

    /// Slots of one cache that wants `wanted`, within its share.
    fn slots(&self, builder: &Builder, wanted: usize) -> usize {
        builder.cache_slots.unwrap_or((wanted as u64).min(self.cache_slots / 2).clamp(64, 1 << 20) as usize)
    }
}

pub(crate) fn build(
    builder: &Builder,
    shared: &Arc<Shared>,
    fields: &Arc<[Field]>,
    pushed: Consumer<Pushed>,
    ready: Producer<Delivery>,
) -> Result<Started, Error> {
    let split = Split::new(builder, &shared.budget);
    let stores = builder.io.stores.clone().unwrap_or_else(|| make_stores(builder));
    let lookahead = builder.lookahead_samples();
    let (epoch, watermark) = (Epoch::new(), Arc::new(Watermark::new()));
    let (gates, asker) = gate_table(lookahead + 2);
    let bell = || shared.prefetch_bell.clone();
    let wanted = (lookahead + 2 * builder.batch) * fields.len();
    let (array_slots, shard_slots) = (split.slots(builder, wanted.max(256)), split.slots(builder, wanted.saturating_mul(4).max(1024)));
    let tables = table_lease(shared, (array_slots * 2 + shard_slots) as u64 * SLOT_BYTES)?;
    let (arrays, array_reader) = cache(array_slots, &epoch, watermark.clone(), bell());
    let (shards, shard_reader) = cache(shard_slots, &epoch, watermark.clone(), bell());
    let (layouts, layout_reader) = cache(array_slots, &epoch, watermark.clone(), bell());
    let tickets = Arc::new(Mailbox::new(shared.engine_bell.clone()));
    let prefetcher = PrefetcherParts {
        shared: shared.clone(),
        pushed,
        engine: tickets.clone(),
        watermark: watermark.clone(),
        batches: Batches::new(gates, builder.batch),
        fetcher: Fetcher { stores: stores.clone(), budget: shared.budget.clone() },
        fields: fields.clone(),
        arrays: Cache { owner: arrays, reader: array_reader },
        shards: Cache { owner: shards, reader: shard_reader.clone() },
        layouts: Cache { owner: layouts, reader: layout_reader },
        epoch: epoch.clone(),
        needs_layouts: builder.probe_layouts,
        _tables: tables,
    };
    let queue = Arc::new(TaskQueue::new());
    let done = Arc::new(Mailbox::new(shared.engine_bell.clone()));
    let threads = builder.threads.unwrap_or_else(usable_cores);
    let storage = storage(builder, shared)?;
    let workers = Workers::start(queue.clone(), threads, |_| {
        let mut worker = HostWorker::new(shared.clone(), queue.clone(), done.clone());
        move |task| worker.run(task)
    });
    let workers = workers.map_err(|error| Error::Internal(format!("a worker thread could not be started: {error}")))?;
    let streams = batch_bytes(builder).is_none_or(|bytes| bytes.saturating_mul(builder.buffers as u64) > STREAMING_BYTES);
    let engine = EngineParts {
        shared: shared.clone(),
        builder: builder.clone(),
        fields: fields.clone(),
        tickets,
        gates: asker,
        shards: shard_reader,
        epoch,
        watermark,
        ready,
        returns: Arc::new(Mailbox::new(shared.engine_bell.clone())),
        done,
        queue,
        workers,
        waves: WavePool::new(WAVES, split.waves),
        window: Window::new(shared.budget.clone(), split.decoded, split.reserve),
        storage,
        types: FieldTypes::new(fields.clone(), streams),
        max_refs: split.max_refs,
    };
    Ok(Started { prefetcher, engine, own_stores: builder.io.stores.is_none().then_some(stores) })
}

fn table_lease(shared: &Shared, bytes: u64) -> Result<Lease, ConfigError> {
    let refused = || ConfigError(format!("memory_budget is {} bytes: {bytes} more are needed for metadata tables", shared.budget.total()));
    shared.budget.reserve(Purpose::Metadata, bytes).ok_or_else(refused)
}

/// Batch buffers, where every field's type is known beforehand; else they are made with the first batch.
fn storage(builder: &Builder, shared: &Shared) -> Result<Vec<Storage>, ConfigError> {
    if builder.fields.iter().any(|field| field.known_type().is_none()) {
        return Ok(Vec::new());
    }
    let buffer = |field: &Field| {
        let bytes = field_bytes(field, builder.batch).expect("the budget check added them up");
        AlignedBytes::new(&shared.budget, Purpose::Batches, bytes as usize)
    };
    let set = || builder.fields.iter().map(buffer).collect::<Option<Storage>>();
    let sets: Option<Vec<Storage>> = (0..builder.buffers).map(|_| set()).collect();
    sets.ok_or_else(|| ConfigError("the memory budget cannot hold the batch buffers: raise memory_budget".into()))
}

fn make_stores(builder: &Builder) -> Arc<Stores> {
    let mut local = LocalOptions { metadata: builder.io.metadata, ..LocalOptions::default() };
    if let Some(threads) = builder.io.io_threads {
        local.io_threads = threads;
    }
    let io = builder.io.clone();
    let layer: StoreLayer = Arc::new(move |store| layer(store, &io));
    Arc::new(Stores::new(local, Some(layer)))
}

/// Injected latency innermost, so that each retry pays it too.
fn layer(mut store: Arc<dyn Store>, io: &crate::config::Io) -> io::Result<Arc<dyn Store>> {
    if let Some((model, scope)) = &io.latency {
        store = Arc::new(Latency::new(store, *model, *scope, io.seed, Clock::Real)?);
    }
    if !io.retry_deadline.is_zero() {
        let policy = RetryPolicy { deadline: io.retry_deadline, ..RetryPolicy::default() };
        store = Arc::new(Retry::new(store, policy, io.seed, Clock::Real)?);
    }
    Ok(store)
}

/// Pins the calling thread to a core. A core that this process may not use is reported and left alone.
pub(crate) fn pin_to(core: usize) {
    #[cfg(target_os = "linux")]
    {
        let mut set = rustix::thread::CpuSet::new();
        let fits = core < rustix::thread::CpuSet::MAX_CPU;
        if fits {
            set.set(core);
        }
        if !fits || rustix::thread::sched_setaffinity(None, &set).is_err() {
            tracing::warn!(core, "the engine thread could not be pinned to this core");
        }
    }
    #[cfg(not(target_os = "linux"))]
    tracing::warn!(core, "pinning the engine thread is not supported on this system");
}
