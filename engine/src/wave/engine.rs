//! The engine's loop: what it takes in, and in which order it works.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use longshore_core::cache::{CacheReader, Lookup};
use longshore_core::epoch::{Epoch, EpochThread};
use longshore_core::gate::{GateAsker, GateState};
use longshore_core::inbox::Mailbox;
use longshore_core::ring::{Producer, PushError};
use longshore_core::watermark::Watermark;

use super::dispatch::Dispatch;
use super::render::{Rendered, Rendering};
use super::slots::WavePool;
use super::task::{Done, Task};
use super::window::{Ref, Window};
use super::workers::{TaskQueue, Workers};
use crate::array::Array;
use crate::batch::Storage;
use crate::config::{Builder, Field};
use crate::error::{Cause, SampleError, Stage};
use crate::plan::batch::{BatchPlan, FieldTypes, Needed, StoredAt, plan_batch};
use crate::prefetch::values::{FetchError, Shard};
use crate::prefetch::work::{ShardRef, Ticket, ToEngine};
use crate::runtime::{Delivery, Latch, Shared};
use crate::zarr::ZarrError;

/// What an engine is made of.
pub(crate) struct EngineParts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) builder: Builder,
    pub(crate) fields: Arc<[Field]>,
    pub(crate) tickets: Arc<Mailbox<ToEngine>>,
    pub(crate) gates: GateAsker,
    pub(crate) shards: CacheReader<Arc<Shard>, FetchError>,
    pub(crate) epoch: Epoch,
    pub(crate) watermark: Arc<Watermark>,
    pub(crate) ready: Producer<Delivery>,
    pub(crate) returns: Arc<Mailbox<Storage>>,
    pub(crate) done: Arc<Mailbox<Done>>,
    pub(crate) queue: Arc<TaskQueue<Task>>,
    pub(crate) workers: Workers<Task>,
    pub(crate) waves: WavePool,
    pub(crate) window: Window,
    pub(crate) storage: Vec<Storage>,
    pub(crate) types: FieldTypes,
    /// Needs planned ahead at most.
    pub(crate) max_refs: usize,
}

/// What leaves, in push order.
enum Outgoing {
    Batch,
    Mark,
    Drain(Arc<Latch>),
}

/// The engine thread's state.
pub(crate) struct Engine {
    shared: Arc<Shared>,
    tickets: Arc<Mailbox<ToEngine>>,
    gates: GateAsker,
    shards: CacheReader<Arc<Shard>, FetchError>,
    epoch: EpochThread,
    watermark: Arc<Watermark>,
    ready: Producer<Delivery>,
    done: Arc<Mailbox<Done>>,
    types: FieldTypes,
    max_refs: usize,
    /// Sealed, not planned.
    waiting: VecDeque<Ticket>,
    outgoing: VecDeque<Outgoing>,
    ended: bool,
    /// A delivery for which the ring had no room.
    held: Option<Delivery>,
    rendering: Rendering,
    dispatch: Dispatch,
    _workers: Workers<Task>,
}

impl Engine {
    pub(crate) fn new(parts: EngineParts) -> Self {
        let rendering = Rendering::new(parts.shared.clone(), &parts.builder, parts.fields, parts.returns, parts.storage);
        let dispatch = Dispatch::new(parts.queue, parts.waves, parts.window, &parts.builder);
        Self {
            shared: parts.shared,
            tickets: parts.tickets,
            gates: parts.gates,
            shards: parts.shards,
            epoch: parts.epoch.register(),
            watermark: parts.watermark,
            ready: parts.ready,
            done: parts.done,
            types: parts.types,
            max_refs: parts.max_refs,
            waiting: VecDeque::new(),
            outgoing: VecDeque::new(),
            ended: false,
            held: None,
            rendering,
            dispatch,
            _workers: parts.workers,
        }
    }

    /// Runs until the loader closes.
    pub(crate) fn run(mut self) {
        loop {
            let ticket = self.shared.engine_bell.listen();
            if self.shared.is_closed() {
                return;
            }
            if !self.step() {
                self.shared.engine_bell.wait(ticket);
            }
        }
    }

    /// Does what can be done now; false if that was nothing. Whatever changes that afterwards rings the thread's bell.
    pub(crate) fn step(&mut self) -> bool {
        let mut worked = self.take_done();
        worked |= self.take_tickets();
        worked |= self.rendering.take_returns();
        worked |= self.plan();
        worked |= self.activate();
        worked |= self.dispatch.submit();
        worked |= self.deliver();
        worked
    }

    fn take_done(&mut self) -> bool {
        let mut worked = false;
        for done in self.done.take_all() {
            worked = true;
            self.rendering.fail(done.failures);
            for &(batch, references) in &done.served {
                self.rendering.served(batch, references);
            }
            self.dispatch.task_done(done.wave, done.chunks, &self.rendering);
        }
        worked
    }

    fn take_tickets(&mut self) -> bool {
        let mut worked = false;
        for message in self.tickets.take_all() {
            worked = true;
            match message {
                ToEngine::Batch(ticket) => {
                    self.waiting.push_back(ticket);
                    self.outgoing.push_back(Outgoing::Batch);
                }
                ToEngine::Mark => self.outgoing.push_back(Outgoing::Mark),
                ToEngine::Drain(latch) => self.outgoing.push_back(Outgoing::Drain(latch)),
                ToEngine::End => self.ended = true,
            }
        }
        worked
    }

    /// Plans every batch whose metadata is there, in order, as far ahead as the window may reach.
    fn plan(&mut self) -> bool {
        let mut worked = false;
        while let Some(ticket) = self.waiting.front() {
            if self.dispatch.window.refs() >= self.max_refs && self.rendering.has_planned() {
                break;
            }
            match self.gates.poll(ticket.gate) {
                GateState::Pending => break,
                GateState::Ready | GateState::Failed => {}
                GateState::Stale => unreachable!("a gate is recycled only below the watermark"),
            }
            let ticket = self.waiting.pop_front().expect("there is a front");
            let begun = Instant::now();
            self.plan_ticket(ticket);
            self.shared.counters.plan_ns.add_time(begun.elapsed());
            worked = true;
        }
        worked
    }

    fn plan_ticket(&mut self, ticket: Ticket) {
        let id = ticket.id;
        // The prefetcher published the work and dropped its reference before the last token.
        let work = Arc::try_unwrap(ticket.work).ok().and_then(|cell| cell.into_inner()).expect("a ready gate's work is there");
        let guard = self.epoch.pin();
        let shard_of = |shard: &ShardRef| match shard {
            ShardRef::Own(shard) => Some(shard.clone()),
            ShardRef::Cached(handle) => match self.shards.get(*handle, &guard) {
                Lookup::Ready(shard) => Some(shard.clone()),
                Lookup::Pending | Lookup::Failed(_) | Lookup::Stale => None,
            },
        };
        let window = &mut self.dispatch.window;
        let (mut chunks, mut fills, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        let plan = plan_batch(id, work, &mut self.types, shard_of, |row, field, crop, coords, needed| match needed {
            Needed::Missing => fills.push((row, field, Some(coords.iter().copied().collect()))),
            Needed::Stored { len, at } => {
                let limit = crop.array.decoder.max_encoded_len() as u64;
                match len.filter(|&len| len > limit) {
                    Some(len) => refused.push((row, field, crop.array.clone(), at(), len, limit)),
                    None => chunks.push(window.refer(&crop.array, coords, at, Ref { batch: id.get(), row, field })),
                }
            }
        });
        drop(guard);
        let references = chunks.len();
        self.shared.counters.chunks_referenced.add((references + fills.len()) as u64);
        chunks.sort_unstable();
        chunks.dedup();
        let refused =
            refused.iter().map(|(row, field, array, at, len, limit)| (*row, too_long(&plan, *row, *field, array, at, *len, *limit)));
        let errors = refused.collect();
        tracing::debug!(batch = id.get(), references, chunks = chunks.len(), fills = fills.len(), "planned");
        self.rendering.planned(plan, chunks, references, fills, errors);
        self.watermark.advance_to(id.next());
        self.shared.prefetch_bell.ring();
    }

    /// Gives planned batches memory, in order, and hands their chunks to the dispatcher.
    fn activate(&mut self) -> bool {
        let mut worked = false;
        while let Some(activated) = self.rendering.activate(&self.types, &mut self.dispatch.window) {
            worked = true;
            self.shared.samples_started(activated.samples);
            if let Some(work) = activated.work {
                self.dispatch.enqueue(work, &self.rendering);
            }
        }
        worked
    }

    fn deliver(&mut self) -> bool {
        let mut worked = false;
        loop {
            if let Some(delivery) = self.held.take() {
                match self.ready.try_push(delivery) {
                    Ok(()) => worked = true,
                    Err(PushError::Full(delivery)) => {
                        self.held = Some(delivery);
                        return worked;
                    }
                    // The pop end is gone; so is the loader.
                    Err(PushError::Closed(_)) => return worked,
                }
            }
            match self.outgoing.front() {
                None => {
                    if self.ended && self.waiting.is_empty() {
                        self.ready.close();
                    }
                    return worked;
                }
                Some(Outgoing::Mark) => self.held = Some(Delivery::Mark),
                Some(Outgoing::Drain(latch)) => {
                    latch.open(&self.shared);
                    worked = true;
                }
                Some(Outgoing::Batch) => match self.rendering.take_rendered() {
                    None => return worked,
                    Some(Rendered::Dropped) => {}
                    Some(Rendered::Batch(batch)) => {
                        tracing::debug!(batch = batch.id(), rows = batch.len(), "rendered");
                        self.held = Some(Delivery::Batch(batch));
                    }
                    Some(Rendered::Failed(error)) => {
                        tracing::warn!(%error, "a batch failed");
                        self.held = Some(Delivery::Failed(error));
                    }
                },
            }
            self.outgoing.pop_front();
        }
    }
}

/// A stored chunk longer than its codecs can honestly make it: refused before it is read.
fn too_long(plan: &BatchPlan, row: u32, field: u16, array: &Array, at: &StoredAt, observed: u64, allowed: u64) -> Arc<SampleError> {
    let object = format!("{} at byte {}", array.relative(&at.key), at.offset);
    let limit = ZarrError::Limit { what: "the stored length of the chunk (bytes)", observed, allowed };
    plan.error(row, field, Stage::Plan, Some(object), Cause::Zarr(limit))
}
