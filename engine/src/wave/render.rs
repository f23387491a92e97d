//! Batches between plan and delivery: which have memory, what they still wait for, how they end.

use std::collections::VecDeque;
use std::sync::Arc;

use longshore_core::inbox::Mailbox;
use longshore_core::ordinal::BatchId;

use super::task::{ActiveBatch, ChunkId, Failure};
use super::window::Window;
use crate::batch::{Batch, Row, Storage, Tensor};
use crate::config::{Builder, Field, OnError};
use crate::error::{Cause, Error, SampleError, Stage};
use crate::memory::{AlignedBytes, Purpose};
use crate::plan::batch::{BatchPlan, FieldTypes};
use crate::runtime::Shared;
use crate::zarr::{Axes, DataType};

/// A part of a row that takes fill values: row, field, and the chunk that is not stored.
pub(crate) type FillNeed = (u32, u16, Option<Axes<u64>>);

/// All batches that are planned and not delivered, oldest first.
pub(crate) struct Rendering {
    shared: Arc<Shared>,
    fields: Arc<[Field]>,
    policy: OnError,
    drop_last: bool,
    batch_size: usize,
    max_buffers: usize,
    returns: Arc<Mailbox<Storage>>,
    free: Vec<Storage>,
    /// Sets of buffers that exist.
    buffers: usize,
    batches: VecDeque<InRender>,
    /// Id of `batches[0]`.
    first: u64,
    /// How many of `batches` are active (or ended without being so).
    active: usize,
}

struct InRender {
    plan: Arc<BatchPlan>,
    chunks: Vec<ChunkId>,
    fills: Vec<FillNeed>,
    active: Option<Arc<ActiveBatch>>,
    /// References not yet served.
    remaining: usize,
    /// First error per failed row, sparse.
    errors: Vec<(u32, Arc<SampleError>)>,
    /// Why it ends without being rendered, if it does.
    abandoned: Option<Abandoned>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Abandoned {
    Failed,
    /// A partial batch, and those are not wanted.
    Unwanted,
}

/// A batch that left the queue of planned ones.
pub(crate) struct Activated {
    pub(crate) samples: u64,
    /// What is to be done for it; `None` if it is abandoned.
    pub(crate) work: Option<ActiveWork>,
}

pub(crate) struct ActiveWork {
    pub(crate) batch: Arc<ActiveBatch>,
    pub(crate) chunks: Vec<ChunkId>,
    pub(crate) fills: Vec<FillNeed>,
}

/// How a batch ended.
pub(crate) enum Rendered {
    Batch(Batch),
    Failed(Error),
    /// A partial last batch that was not wanted.
    Dropped,
}

impl Rendering {
    pub(crate) fn new(
        shared: Arc<Shared>,
        builder: &Builder,
        fields: Arc<[Field]>,
        returns: Arc<Mailbox<Storage>>,
        free: Vec<Storage>,
    ) -> Self {
        Self {
            shared,
            fields,
            policy: builder.on_error,
            drop_last: builder.drop_last,
            batch_size: builder.batch,
            max_buffers: builder.buffers,
            returns,
            buffers: free.len(),
            free,
            batches: VecDeque::new(),
            first: 0,
            active: 0,
        }
    }

    /// True if a planned batch waits for memory.
    pub(crate) fn has_planned(&self) -> bool {
        self.active < self.batches.len()
    }

    /// Newest batch that is active: needs up to it are served now.
    pub(crate) fn newest_active(&self) -> Option<u64> {
        (self.first + self.active as u64).checked_sub(1)
    }

    pub(crate) fn active_batch(&self, id: u64) -> Option<&Arc<ActiveBatch>> {
        self.batches.get(id.checked_sub(self.first)? as usize)?.active.as_ref()
    }

    pub(crate) fn plan_of(&self, id: u64) -> Option<&BatchPlan> {
        Some(&self.batches.get(id.checked_sub(self.first)? as usize)?.plan)
    }

    pub(crate) fn take_returns(&mut self) -> bool {
        let before = self.free.len();
        self.free.extend(self.returns.take_all());
        self.free.len() > before
    }

    /// Queues a planned batch: the distinct chunks it needs, how often it needs them, and what is filled.
    pub(crate) fn planned(
        &mut self,
        plan: BatchPlan,
        chunks: Vec<ChunkId>,
        references: usize,
        mut fills: Vec<FillNeed>,
        mut errors: Vec<(u32, Arc<SampleError>)>,
    ) {
        debug_assert_eq!(plan.id.get(), self.first + self.batches.len() as u64, "batches are planned in order");
        for (row, planned) in plan.rows.iter().enumerate() {
            if let Some(error) = &planned.error {
                errors.push((row as u32, error.clone()));
            }
            for (field, crop) in planned.crops.iter().enumerate() {
                if crop.window.outside_value().is_some() {
                    fills.push((row as u32, field as u16, None));
                }
            }
        }
        let (plan, remaining) = (Arc::new(plan), references + fills.len());
        self.batches.push_back(InRender { plan, chunks, fills, active: None, remaining, errors, abandoned: None });
    }

    /// Gives the oldest planned batch memory, if there is some, or ends it if it cannot become anything.
    pub(crate) fn activate(&mut self, types: &FieldTypes, window: &mut Window) -> Option<Activated> {
        let at = self.active;
        let batch = self.batches.get(at)?;
        let samples = batch.plan.rows.len() as u64;
        if self.drop_last && batch.plan.rows.len() < self.batch_size {
            return Some(self.abandon(at, Abandoned::Unwanted, window));
        }
        if !batch.errors.is_empty() && self.policy == OnError::Fail {
            return Some(self.abandon(at, Abandoned::Failed, window));
        }
        let storage = match self.storage(types, window) {
            Ok(storage) => storage?,
            Err(cause) => {
                let error = self.batches[at].plan.error(0, 0, Stage::Plan, None, cause);
                self.batches[at].errors.push((0, error));
                return Some(self.abandon(at, Abandoned::Failed, window));
            }
        };
        let types = self.element_types(types);
        let row_bytes = self.fields.iter().zip(&types).map(|(field, data_type)| elements(field) * data_type.size()).collect();
        let batch = &mut self.batches[at];
        let active = Arc::new(ActiveBatch { plan: batch.plan.clone(), buffers: storage, row_bytes, types });
        batch.active = Some(active.clone());
        let (chunks, fills) = (std::mem::take(&mut batch.chunks), std::mem::take(&mut batch.fills));
        self.active += 1;
        Some(Activated { samples, work: Some(ActiveWork { batch: active, chunks, fills }) })
    }

    /// Ends a batch that is not rendered; its needs are taken out of the window.
    fn abandon(&mut self, at: usize, why: Abandoned, window: &mut Window) -> Activated {
        let batch = &mut self.batches[at];
        batch.abandoned = Some(why);
        for chunk in std::mem::take(&mut batch.chunks) {
            window.forget_refs(chunk, batch.plan.id.get());
        }
        self.active += 1;
        Activated { samples: batch.plan.rows.len() as u64, work: None }
    }

    pub(crate) fn served(&mut self, id: BatchId, references: usize) {
        let batch = self.in_render(id);
        batch.remaining = batch.remaining.checked_sub(references).expect("a reference is served once");
    }

    pub(crate) fn fail(&mut self, failures: Vec<Failure>) {
        for failure in failures {
            self.in_render(failure.batch).errors.push((failure.row, failure.error));
        }
    }

    /// The oldest batch, if it is at its end.
    pub(crate) fn take_rendered(&mut self) -> Option<Rendered> {
        let front = self.batches.front()?;
        if front.abandoned.is_none() && (front.active.is_none() || front.remaining > 0) {
            return None;
        }
        let batch = self.batches.pop_front().expect("there is a front");
        self.first += 1;
        self.active -= 1;
        self.shared.counters.batches.add(1);
        Some(self.finish(batch))
    }

    fn finish(&mut self, mut batch: InRender) -> Rendered {
        batch.errors.sort_by_key(|(row, _)| *row);
        batch.errors.dedup_by_key(|(row, _)| *row);
        // Errors of the prefetcher's were counted there.
        let of_metadata = batch.plan.rows.iter().filter(|row| row.error.as_ref().is_some_and(|error| error.stage != Stage::Plan)).count();
        self.shared.counters.failed_samples.add(batch.errors.len().saturating_sub(of_metadata) as u64);
        // Every task dropped its reference before its completion was taken.
        let unshare = |active| Arc::try_unwrap(active).expect("nobody renders a batch whose references are all served");
        match batch.active.take().map(unshare) {
            None if batch.abandoned == Some(Abandoned::Unwanted) => Rendered::Dropped,
            Some(active) if batch.errors.is_empty() || self.policy != OnError::Fail => Rendered::Batch(self.assemble(&batch, active)),
            active => {
                self.free.extend(active.map(|active| active.buffers));
                let first = batch.errors[0].1.clone();
                Rendered::Failed(Error::Batch { batch: batch.plan.id.get(), first, failed: batch.errors.len() })
            }
        }
    }

    /// A batch for the user. Failed rows are filled or left out, by policy.
    fn assemble(&self, batch: &InRender, active: ActiveBatch) -> Batch {
        let ActiveBatch { mut buffers, row_bytes, types, .. } = active;
        let error_of = |row: usize| batch.errors.iter().find(|(failed, _)| *failed as usize == row).map(|(_, error)| error.clone());
        let (mut rows, mut skipped) = (Vec::with_capacity(batch.plan.rows.len()), Vec::new());
        for (index, planned) in batch.plan.rows.iter().enumerate() {
            let error = if batch.errors.is_empty() { None } else { error_of(index) };
            if let Some(error) = &error {
                if self.policy == OnError::Skip {
                    skipped.push(error.clone());
                    continue;
                }
                fill_row(planned, index, &mut buffers, &row_bytes);
            }
            move_row(index, rows.len(), &mut buffers, &row_bytes);
            rows.push(Row { sample: planned.seq, origin: planned.origin.clone(), error });
        }
        let tensor = |(((memory, field), &row_bytes), &data_type): (((AlignedBytes, &Field), &usize), &DataType)| {
            let shape = std::iter::once(rows.len()).chain(field.crop.iter().map(|&extent| extent as usize)).collect();
            Tensor { name: field.name.clone(), data_type, shape, bytes: rows.len() * row_bytes, memory: Some(memory) }
        };
        let tensors: Vec<Tensor> = buffers.into_iter().zip(self.fields.iter()).zip(&row_bytes).zip(&types).map(tensor).collect();
        self.shared.counters.out_bytes.add(tensors.iter().map(|tensor| tensor.bytes as u64).sum());
        Batch { id: batch.plan.id, rows, skipped, tensors, returns: self.returns.clone() }
    }

    fn element_types(&self, types: &FieldTypes) -> Vec<DataType> {
        (0..self.fields.len()).map(|field| types.of(field).expect("known once there is storage")).collect()
    }

    /// A set of buffers: a returned one, or a new one. `None` while all are out.
    fn storage(&mut self, types: &FieldTypes, window: &mut Window) -> Result<Option<Storage>, Cause> {
        if let Some(storage) = self.free.pop() {
            return Ok(Some(storage));
        }
        if self.buffers == self.max_buffers {
            return Ok(None);
        }
        match self.new_storage(types, window) {
            Ok(storage) => {
                self.buffers += 1;
                Ok(Some(storage))
            }
            // Those that there are will do: more may not fit where the arrays' own type turned out wide.
            Err(Cause::Memory { .. }) if self.buffers > 0 => {
                self.max_buffers = self.buffers;
                Ok(None)
            }
            Err(cause) => Err(cause),
        }
    }

    /// Batches come before what is kept on the chance of being used again.
    fn new_storage(&self, types: &FieldTypes, window: &mut Window) -> Result<Storage, Cause> {
        let mut storage = Vec::with_capacity(self.fields.len());
        for (index, field) in self.fields.iter().enumerate() {
            let unknown = || Cause::Box("no sample of the batch says what type the field has".into());
            let size = types.of(index).ok_or_else(unknown)?.size();
            let needed = elements(field).saturating_mul(size).saturating_mul(self.batch_size);
            window.make_room(needed as u64);
            let buffer = AlignedBytes::new(&self.shared.budget, Purpose::Batches, needed);
            let available = self.shared.budget.available();
            storage.push(buffer.ok_or(Cause::Memory { what: "a batch buffer", needed: needed as u64, available })?);
        }
        Ok(storage)
    }

    fn in_render(&mut self, id: BatchId) -> &mut InRender {
        let at = id.get() - self.first;
        &mut self.batches[at as usize]
    }
}

fn elements(field: &Field) -> usize {
    field.elements().expect("checked when the loader was built")
}

/// Fills a failed row with its array's fill value, or with zeros where its array is not known.
fn fill_row(planned: &crate::plan::batch::RowPlan, row: usize, buffers: &mut Storage, row_bytes: &[usize]) {
    for (field, (buffer, &len)) in buffers.iter_mut().zip(row_bytes).enumerate() {
        let bytes = &mut buffer.as_mut_slice()[row * len..][..len];
        match planned.crops.get(field) {
            // SAFETY: `bytes` is borrowed exclusively for the call.
            Some(crop) => unsafe {
                crop.caster.fill(crop.array.meta.fill_value, bytes.as_mut_ptr(), len, &crop.window.everything());
            },
            None => bytes.fill(0),
        }
    }
}

fn move_row(from: usize, to: usize, buffers: &mut Storage, row_bytes: &[usize]) {
    if from != to {
        for (buffer, &len) in buffers.iter_mut().zip(row_bytes) {
            buffer.as_mut_slice().copy_within(from * len..(from + 1) * len, to * len);
        }
    }
}
