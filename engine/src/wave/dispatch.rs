//! From needed chunks to tasks: what is read, what is scattered from kept chunks, and in which wave.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::render::{ActiveWork, Rendering};
use super::slots::{Load, Reserved, TaskOfWave, WavePool};
use super::task::{
    ActiveBatch, ChunkId, FillJob, FillTask, Kept, LoadJob, LoadTask, Outcome, ScatterJob, ScatterTask, Target, Targets, Task,
};
use super::window::{NEVER, Ref, State, Window};
use super::workers::TaskQueue;
use crate::codec::Coverage;
use crate::config::Builder;
use crate::plan::geometry::Crop;
use crate::plan::reads::{Coalescing, Piece, coalesce};
use crate::store::ObjectKey;
use crate::zarr::Axes;

/// Most chunks of one wave.
pub(crate) const MAX_CHUNKS_PER_WAVE: u64 = 512;

/// Kept chunks that one task scatters, and fills that one task makes: enough to be worth a hand-over.
const JOBS_PER_TASK: usize = 8;

/// Stored chunks of at least this many bytes whose stored bytes are their decoded bytes are read one by one, straight into place.
const DIRECT_BYTES: u64 = 16 << 10;

/// Owned by the engine thread.
pub(crate) struct Dispatch {
    queue: Arc<TaskQueue<Task>>,
    waves: WavePool,
    pub(crate) window: Window,
    max_read_bytes: Option<u64>,
    reuse: bool,
    pending: VecDeque<Pending>,
}

/// Work that waits for a wave.
enum Pending {
    Read(PlannedRead),
    Scatter(Vec<ScatterJob>),
    Fill(Arc<ActiveBatch>, Vec<FillJob>),
}

struct PlannedRead {
    key: ObjectKey,
    span: Option<Range<u64>>,
    chunks: Vec<(ChunkId, Targets)>,
}

impl Dispatch {
    pub(crate) fn new(queue: Arc<TaskQueue<Task>>, waves: WavePool, window: Window, builder: &Builder) -> Self {
        let (max_read_bytes, reuse) = (builder.max_read_bytes, builder.reuse);
        Self { queue, waves, window, max_read_bytes, reuse, pending: VecDeque::new() }
    }

    /// Takes the needs of a batch that has just become active.
    pub(crate) fn enqueue(&mut self, work: ActiveWork, rendering: &Rendering) {
        self.enqueue_fills(&work.batch, work.fills);
        self.enqueue_chunks(work.chunks, rendering);
    }

    fn enqueue_fills(&mut self, batch: &Arc<ActiveBatch>, fills: Vec<(u32, u16, Option<Axes<u64>>)>) {
        let mut fills = fills.into_iter().map(|(row, field, chunk)| FillJob { row, field, chunk }).peekable();
        while fills.peek().is_some() {
            let jobs = fills.by_ref().take(JOBS_PER_TASK).collect();
            self.pending.push_back(Pending::Fill(batch.clone(), jobs));
        }
    }

    /// Sorts chunks into those to be read and those that are there.
    fn enqueue_chunks(&mut self, chunks: Vec<ChunkId>, rendering: &Rendering) {
        let Some(newest) = rendering.newest_active() else { return };
        let mut reads = Reads::default();
        let mut scatters: Vec<ScatterJob> = Vec::new();
        for id in chunks {
            match &self.window.chunk(id).state {
                // Whoever loads it will look for needs when it is done.
                State::Loading => continue,
                State::Kept(kept) if self.covers(id, &kept.coverage, newest, rendering) => {
                    let kept = kept.clone();
                    let targets = self.take_targets(id, newest, rendering);
                    scatters.push(self.scatter_job(id, kept, targets));
                }
                State::Kept(_) => {
                    self.window.discard(id);
                    self.begin_read(id, newest, rendering, &mut reads);
                }
                State::Idle => self.begin_read(id, newest, rendering, &mut reads),
                State::Missing => {
                    for target in self.take_targets(id, newest, rendering) {
                        let job = FillJob { row: target.row, field: target.field, chunk: Some(self.window.chunk(id).coords.clone()) };
                        self.pending.push_back(Pending::Fill(target.batch, vec![job]));
                    }
                    self.window.release(id);
                }
            }
        }
        let mut scatters = scatters.into_iter().peekable();
        while scatters.peek().is_some() {
            self.pending.push_back(Pending::Scatter(scatters.by_ref().take(JOBS_PER_TASK).collect()));
        }
        self.enqueue_reads(reads);
    }

    fn begin_read(&mut self, id: ChunkId, newest: u64, rendering: &Rendering, reads: &mut Reads) {
        let targets = self.take_targets(id, newest, rendering);
        self.window.begin_load(id);
        let at = &self.window.chunk(id).at;
        match at.len {
            None => reads.whole.push(PlannedRead { key: at.key.clone(), span: None, chunks: vec![(id, targets)] }),
            Some(len) => {
                let next = reads.objects.len();
                let object = *reads.numbers.entry(at.key.clone()).or_insert(next);
                if object == next {
                    reads.objects.push(at.key.clone());
                }
                reads.pieces.push(Piece { object, offset: at.offset, len, chunk: (id, targets) });
            }
        }
    }

    fn enqueue_reads(&mut self, reads: Reads) {
        self.pending.extend(reads.whole.into_iter().map(Pending::Read));
        let Some(first) = reads.pieces.first() else { return };
        let array = &self.window.chunk(first.chunk.0).array;
        let mut limits = Coalescing::new(array.store.cost(), self.max_read_bytes, MAX_CHUNKS_PER_WAVE as usize);
        if array.decoder.is_identity() && array.decoder.decoded_len() as u64 >= DIRECT_BYTES {
            limits.max_chunks = 1;
        }
        for read in coalesce(reads.pieces, limits) {
            let chunks = read.pieces.into_iter().map(|piece| piece.chunk).collect();
            self.pending.push_back(Pending::Read(PlannedRead { key: reads.objects[read.object].clone(), span: Some(read.span), chunks }));
        }
    }

    fn take_targets(&mut self, id: ChunkId, newest: u64, rendering: &Rendering) -> Targets {
        let refs = self.window.take_refs(id, newest);
        let target = |need: Ref| {
            let batch = rendering.active_batch(need.batch).expect("needs of abandoned batches are forgotten").clone();
            Target { batch, row: need.row, field: need.field }
        };
        refs.into_iter().map(target).collect()
    }

    /// Starts as many waves as there are slots and work for.
    pub(crate) fn submit(&mut self) -> bool {
        let mut worked = false;
        while let Some(mut wave) = self.waves.reserve() {
            self.fill_wave(&mut wave);
            if wave.is_empty() {
                self.waves.roll_back(wave);
                break;
            }
            self.waves.commit(wave);
            worked = true;
        }
        worked
    }

    fn fill_wave(&mut self, wave: &mut Reserved) {
        while let Some(pending) = self.pending.front() {
            let Some(token) = self.waves.admit(wave, self.load_of(pending)) else { break };
            let pending = self.pending.pop_front().expect("there is a front");
            let task = self.task(token, pending);
            self.queue.push(task);
        }
    }

    fn load_of(&self, pending: &Pending) -> Load {
        match pending {
            Pending::Read(read) => {
                let decoded = |(id, _): &(ChunkId, Targets)| self.window.chunk(*id).array.decoder.decoded_len() as u64;
                let staged = |(id, _): &(ChunkId, Targets)| self.window.chunk(*id).array.decoder.max_encoded_len() as u64;
                let staged_bytes = match &read.span {
                    Some(span) => span.end - span.start,
                    None => read.chunks.iter().map(staged).sum(),
                };
                Load { staged_bytes, decoded_bytes: read.chunks.iter().map(decoded).sum(), chunks: read.chunks.len() as u64 }
            }
            Pending::Scatter(jobs) => Load { chunks: jobs.len() as u64, ..Load::default() },
            Pending::Fill(_, jobs) => Load { chunks: jobs.len() as u64, ..Load::default() },
        }
    }

    fn task(&mut self, wave: TaskOfWave, pending: Pending) -> Task {
        match pending {
            Pending::Fill(batch, jobs) => Task::Fill(FillTask { wave, batch, jobs }),
            Pending::Scatter(jobs) => Task::Scatter(ScatterTask { wave, jobs }),
            Pending::Read(read) => {
                let jobs = read.chunks.into_iter().map(|(id, targets)| self.load_job(id, targets)).collect();
                Task::Load(LoadTask { wave, key: read.key, span: read.span, jobs })
            }
        }
    }

    fn scatter_job(&mut self, id: ChunkId, kept: Arc<Kept>, targets: Targets) -> ScatterJob {
        let chunk = self.window.chunk(id);
        let (array, coords) = (chunk.array.clone(), chunk.coords.clone());
        self.window.begin_scatter(id);
        ScatterJob { chunk: id, array, coords, kept, targets }
    }

    fn load_job(&mut self, id: ChunkId, targets: Targets) -> LoadJob {
        let keep = if self.reuse { self.window.keep_buffer(id) } else { None };
        let chunk = self.window.chunk(id);
        // A chunk that is wanted again is decoded whole: needs that come up later would have it decoded again from the start.
        let in_parts = (keep.is_none() || self.window.next_use(id) == NEVER) && chunk.array.decoder.can_decode_parts();
        let wanted = in_parts.then(|| union(targets.iter().map(|target| self.needed(id, target.crop())).collect()));
        LoadJob { chunk: id, array: chunk.array.clone(), coords: chunk.coords.clone(), at: chunk.at.clone(), targets, keep, wanted }
    }

    /// Bytes of a decoded chunk that a crop needs.
    fn needed(&self, id: ChunkId, crop: &Crop) -> Range<usize> {
        let chunk = self.window.chunk(id);
        let array = &chunk.array;
        let elements = crop.window.needed(&chunk.coords, &array.chunk_shape, array.decoder.strides());
        let size = array.meta.data_type.size();
        elements.start * size..elements.end * size
    }

    /// Whether what is decoded of a chunk serves every need up to `newest`.
    fn covers(&self, id: ChunkId, coverage: &Coverage, newest: u64, rendering: &Rendering) -> bool {
        let Coverage::Ranges(ranges) = coverage else { return true };
        let mut needs = self.window.chunk(id).refs.iter().take_while(|need| need.batch <= newest);
        needs.all(|need| {
            let Some(plan) = rendering.plan_of(need.batch) else { return false };
            let needed = self.needed(id, plan.crop(need.row, need.field));
            ranges.iter().any(|range| range.start <= needed.start && needed.end <= range.end)
        })
    }

    /// A task is done: settles its chunks, and serves the needs that came up meanwhile.
    pub(crate) fn task_done(&mut self, wave: TaskOfWave, chunks: Vec<(ChunkId, Outcome)>, rendering: &Rendering) {
        self.waves.retire(wave);
        let newest = rendering.newest_active();
        let mut wanted = Vec::new();
        for (id, outcome) in chunks {
            self.window.settle(id, outcome);
            if newest.is_some_and(|newest| self.window.next_use(id) <= newest) {
                wanted.push(id);
            } else {
                self.window.release(id);
            }
        }
        if !wanted.is_empty() {
            self.enqueue_chunks(wanted, rendering);
        }
    }
}

/// What is to be read, collected chunk by chunk.
#[derive(Default)]
struct Reads {
    pieces: Vec<Piece<(ChunkId, Targets)>>,
    whole: Vec<PlannedRead>,
    objects: Vec<ObjectKey>,
    numbers: HashMap<ObjectKey, usize>,
}

/// Sorted, disjoint ranges that hold all of these.
fn union(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}
