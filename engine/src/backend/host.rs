//! The host backend: each worker takes a read to its end while the bytes are warm. Read, decode, cast and scatter in one task.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use longshore_core::inbox::Mailbox;

use crate::array::Array;
use crate::codec::{Coverage, Scratch};
use crate::error::{Cause, Stage};
use crate::memory::{AlignedBytes, Budget, Purpose};
use crate::runtime::{CloseOnPanic, Shared};
use crate::store::{Now, Span, StoreError};
use crate::wave::task::{Done, Failure, FillTask, Kept, LoadJob, LoadTask, Outcome, ScatterTask, Staged, Target, Targets, Task};
use crate::wave::workers::TaskQueue;
use crate::zarr::Axes;

/// One worker's state.
pub(crate) struct HostWorker {
    shared: Arc<Shared>,
    queue: Arc<TaskQueue<Task>>,
    done: Arc<Mailbox<Done>>,
    /// Stored bytes of the read at hand. Reads that wait have memory of their own.
    staging: Staged,
    scratch: Scratch,
    decoded: Option<AlignedBytes>,
    _close_on_panic: CloseOnPanic,
}

/// Memory that a chunk is decoded into: at least as long as the chunk.
struct Output {
    bytes: AlignedBytes,
    /// Whether the chunk stays there; else the memory is the worker's own.
    keeps: bool,
}

impl HostWorker {
    pub(crate) fn new(shared: Arc<Shared>, queue: Arc<TaskQueue<Task>>, done: Arc<Mailbox<Done>>) -> Self {
        let guard = CloseOnPanic(shared.clone());
        Self { shared, queue, done, staging: Staged::default(), scratch: Scratch::default(), decoded: None, _close_on_panic: guard }
    }

    pub(crate) fn run(&mut self, task: Task) {
        if self.shared.is_closed() {
            return;
        }
        match task {
            Task::Load(task) => self.load(task),
            Task::Arrived(task, staged, answer) => drop(self.arrived(task, staged, answer)),
            Task::Scatter(task) => self.scatter(task),
            Task::Fill(task) => self.fill(task),
        }
    }

    fn load(&mut self, mut task: LoadTask) {
        let Some(span) = task.span.clone() else { return self.load_whole(task) };
        if let [job] = &mut task.jobs[..]
            && job.array.decoder.is_identity()
            && job.at.len == Some(job.array.decoder.decoded_len() as u64)
        {
            return self.load_identity(task);
        }
        let Some(mut staged) = self.own_staging(span.end - span.start) else {
            return self.fail_task(task, Stage::Read, |budget| no_memory("a read", span.end - span.start, budget));
        };
        let begun = Instant::now();
        match task.jobs[0].array.store.try_read_now(&task.key, span.start, &mut staged.bytes) {
            Now::Done(answer) => {
                self.shared.counters.read_ns.add_time(begun.elapsed());
                self.shared.counters.read_ops_inline.add(1);
                self.staging = self.arrived(task, staged, answer);
            }
            Now::WouldBlock => {
                self.staging = staged;
                self.read_later(task, span);
            }
        }
    }

    /// Asks the store for the bytes; the task comes back to the pool with them.
    fn read_later(&self, task: LoadTask, span: Range<u64>) {
        let len = span.end - span.start;
        let Some(lease) = self.shared.budget.reserve(Purpose::Staging, len) else {
            return self.fail_task(task, Stage::Read, |budget| no_memory("a read", len, budget));
        };
        let (store, key, queue) = (task.jobs[0].array.store.clone(), task.key.clone(), self.queue.clone());
        let done = move |bytes, answer| queue.push_urgent(Task::Arrived(task, Staged { bytes, lease: Some(lease) }, answer));
        store.read(key, span.start, vec![0; len as usize], Box::new(done));
    }

    /// A whole object: its length is learned with its bytes.
    fn load_whole(&mut self, task: LoadTask) {
        let job = &task.jobs[0];
        let limit = job.array.decoder.max_encoded_len() as u64;
        // Reserved for the largest honest object: what is read is never longer.
        let Some(mut staged) = self.own_staging(limit) else {
            return self.fail_task(task, Stage::Read, |budget| no_memory("a read", limit, budget));
        };
        let begun = Instant::now();
        match job.array.store.try_read_whole_now(&task.key, limit, &mut staged.bytes) {
            Now::Done(answer) => {
                self.shared.counters.read_ns.add_time(begun.elapsed());
                self.shared.counters.read_ops_inline.add(1);
                self.staging = self.arrived(task, staged, answer);
            }
            Now::WouldBlock => {
                self.staging = staged;
                let (store, key, queue) = (job.array.store.clone(), task.key.clone(), self.queue.clone());
                let done = move |answer: Result<crate::store::Fetched, StoreError>| {
                    let (bytes, answer) = match answer {
                        Ok(fetched) => {
                            let len = fetched.bytes.len();
                            (fetched.bytes, Ok(len))
                        }
                        Err(error) => (Vec::new(), Err(error)),
                    };
                    queue.push_urgent(Task::Arrived(task, Staged { bytes, lease: None }, answer));
                };
                store.fetch(key, Span::Whole, limit, Box::new(done));
            }
        }
    }

    /// Stored bytes that are the decoded bytes: read where they stay, and only what is wanted.
    fn load_identity(&mut self, mut task: LoadTask) {
        let job = &mut task.jobs[0];
        let len = job.array.decoder.decoded_len();
        let wanted = match &job.wanted {
            Some(ranges) if !ranges.is_empty() => ranges[0].start..ranges[ranges.len() - 1].end,
            _ => 0..len,
        };
        let Some(mut output) = self.output(job.keep.take(), len) else {
            return self.fail_task(task, Stage::Read, |budget| no_memory("a chunk", len as u64, budget));
        };
        let job = &mut task.jobs[0];
        let begun = Instant::now();
        let offset = job.at.offset + wanted.start as u64;
        match job.array.store.try_read_now(&task.key, offset, &mut output.bytes.as_mut_slice()[wanted.clone()]) {
            Now::Done(answer) => {
                self.shared.counters.read_ns.add_time(begun.elapsed());
                self.shared.counters.read_ops_inline.add(1);
                self.shared.counters.read_ops.add(1);
                let mut done = Done::new(task.wave);
                let job = task.jobs.pop().expect("one job");
                self.identity_read(&mut done, job, output, wanted, answer);
                self.finish(done);
            }
            Now::WouldBlock => {
                job.keep = self.settle(output);
                let span = task.span.clone().expect("chunks of shards have a span");
                self.read_later(task, span);
            }
        }
    }

    fn identity_read(&mut self, done: &mut Done, job: LoadJob, output: Output, wanted: Range<usize>, answer: Result<usize, StoreError>) {
        let (expected, len) = (wanted.len() as u64, job.array.decoder.decoded_len());
        let cause = match answer {
            Ok(read) if read as u64 == expected => {
                self.shared.counters.read_bytes.add(expected);
                let coverage = if wanted.len() == len { Coverage::Full } else { Coverage::Ranges(vec![wanted]) };
                return self.decoded(done, job, output, coverage);
            }
            Ok(read) => Cause::Short { offset: job.at.offset + wanted.start as u64, observed: read as u64, expected },
            Err(error) => error.into(),
        };
        let keep = self.settle(output);
        self.fail_job(done, &job, Stage::Read, cause, keep);
    }

    /// Bytes are here: decode and scatter every chunk in them. Hands the staging memory back.
    fn arrived(&mut self, task: LoadTask, staged: Staged, answer: Result<usize, StoreError>) -> Staged {
        self.shared.counters.read_ops.add(1);
        let read = match answer {
            Ok(read) => read,
            Err(StoreError::NotFound) if task.span.is_none() => {
                self.missing(task);
                return staged;
            }
            Err(error) => {
                self.fail_task(task, Stage::Read, |_| error.clone().into());
                return staged;
            }
        };
        self.shared.counters.read_bytes.add(read as u64);
        let start = task.span.as_ref().map_or(0, |span| span.start);
        let mut done = Done::new(task.wave);
        for mut job in task.jobs {
            let begin = (job.at.offset - start) as usize;
            let expected = job.at.len.map_or(read - begin.min(read), |len| len as usize);
            match staged.bytes[..read].get(begin..).and_then(|rest| rest.get(..expected)) {
                Some(encoded) => self.decode(&mut done, job, encoded),
                None => {
                    let observed = read.saturating_sub(begin) as u64;
                    let cause = Cause::Short { offset: job.at.offset, observed, expected: expected as u64 };
                    let keep = job.keep.take();
                    self.fail_job(&mut done, &job, Stage::Read, cause, keep);
                }
            }
        }
        self.finish(done);
        staged
    }

    fn decode(&mut self, done: &mut Done, mut job: LoadJob, encoded: &[u8]) {
        let len = job.array.decoder.decoded_len();
        let Some(mut output) = self.output(job.keep.take(), len) else {
            let cause = no_memory("a decoded chunk", len as u64, &self.shared.budget);
            return self.fail_job(done, &job, Stage::Decode, cause, None);
        };
        let begun = Instant::now();
        let decoder = &job.array.decoder;
        let decoded = decoder.decode(encoded, &mut output.bytes.as_mut_slice()[..len], job.wanted.as_deref(), &mut self.scratch);
        self.shared.counters.decode_ns.add_time(begun.elapsed());
        match decoded {
            Ok(coverage) => self.decoded(done, job, output, coverage),
            Err(error) => {
                let keep = self.settle(output);
                self.fail_job(done, &job, Stage::Decode, error.into(), keep);
            }
        }
    }

    /// A chunk is decoded: scatter it, and keep it if that was asked for.
    fn decoded(&mut self, done: &mut Done, job: LoadJob, output: Output, coverage: Coverage) {
        let len = job.array.decoder.decoded_len();
        self.shared.counters.chunks_decoded.add(1);
        self.shared.counters.decoded_bytes.add(covered_bytes(&coverage, len));
        self.scatter_to(done, &output.bytes.as_slice()[..len], &job.array, &job.coords, &job.targets);
        let outcome = match self.settle(output) {
            Some(bytes) => Outcome::Kept(Kept { bytes, coverage }),
            None => Outcome::Dropped,
        };
        done.chunks.push((job.chunk, outcome));
    }

    fn missing(&mut self, task: LoadTask) {
        let mut done = Done::new(task.wave);
        for job in task.jobs {
            for target in &job.targets {
                self.fill_chunk(target, &job.coords);
                done.serve(target.batch.plan.id, 1);
            }
            self.shared.counters.chunks_filled.add(job.targets.len() as u64);
            done.chunks.push((job.chunk, Outcome::Missing));
        }
        self.finish(done);
    }

    fn scatter(&mut self, task: ScatterTask) {
        let mut done = Done::new(task.wave);
        for job in task.jobs {
            self.scatter_to(&mut done, job.kept.bytes.as_slice(), &job.array, &job.coords, &job.targets);
            self.shared.counters.chunks_reused.add(job.targets.len() as u64);
            done.chunks.push((job.chunk, Outcome::Scattered));
        }
        self.finish(done);
    }

    fn scatter_to(&self, done: &mut Done, source: &[u8], array: &Array, coords: &Axes<u64>, targets: &Targets) {
        let begun = Instant::now();
        for target in targets {
            let crop = target.crop();
            let (start, len) = target.batch.row(target.row, target.field);
            crop.window.regions(coords, &array.chunk_shape, array.decoder.strides(), |region| {
                // SAFETY: `start` is valid for `len` bytes while `target.batch` lives. Chunks tile the array, so the regions of two
                // chunks of one crop are disjoint; a chunk's region of a crop is handed out once; nobody reads the row before all
                // its references are served.
                unsafe { crop.caster.scatter(source, start, len, region) }
            });
            done.serve(target.batch.plan.id, 1);
        }
        self.shared.counters.assemble_ns.add_time(begun.elapsed());
    }

    fn fill(&mut self, task: FillTask) {
        let begun = Instant::now();
        let mut done = Done::new(task.wave);
        let count = task.jobs.len();
        for job in &task.jobs {
            let target = Target { batch: task.batch.clone(), row: job.row, field: job.field };
            match &job.chunk {
                Some(coords) => {
                    self.fill_chunk(&target, coords);
                    self.shared.counters.chunks_filled.add(1);
                }
                None => fill_outside(&target),
            }
        }
        done.serve(task.batch.plan.id, count);
        drop(task.batch);
        self.shared.counters.assemble_ns.add_time(begun.elapsed());
        self.finish(done);
    }

    fn fill_chunk(&self, target: &Target, coords: &Axes<u64>) {
        let crop = target.crop();
        let (start, len) = target.batch.row(target.row, target.field);
        let array = &crop.array;
        crop.window.regions(coords, &array.chunk_shape, array.decoder.strides(), |region| {
            // SAFETY: as in `scatter_to`: the region of a chunk that is not stored belongs to this task alone.
            unsafe { crop.caster.fill(array.meta.fill_value, start, len, region) }
        });
    }

    fn fail_task(&self, task: LoadTask, stage: Stage, cause: impl Fn(&Budget) -> Cause) {
        let mut done = Done::new(task.wave);
        for mut job in task.jobs {
            let keep = job.keep.take();
            self.fail_job(&mut done, &job, stage, cause(&self.shared.budget), keep);
        }
        self.finish(done);
    }

    fn fail_job(&self, done: &mut Done, job: &LoadJob, stage: Stage, cause: Cause, keep: Option<AlignedBytes>) {
        let object = format!("{} at byte {}", job.array.relative(&job.at.key), job.at.offset);
        for target in &job.targets {
            let plan = &target.batch.plan;
            let error = plan.error(target.row, target.field, stage, Some(object.clone()), cause.clone());
            done.failures.push(Failure { batch: plan.id, row: target.row, error });
            done.serve(plan.id, 1);
        }
        done.chunks.push((job.chunk, Outcome::Failed(keep)));
    }

    /// Hands the completion over. Every reference to a batch is gone by now, so the engine may take the batch's memory back.
    fn finish(&self, done: Done) {
        // A closed mailbox: the engine is gone, and with it whoever would want to know.
        let _ = self.done.push(done);
    }

    /// This worker's staging buffer, of exactly `len` bytes; `None` where the budget has no room.
    fn own_staging(&mut self, len: u64) -> Option<Staged> {
        let len = usize::try_from(len).ok()?;
        let mut staged = std::mem::take(&mut self.staging);
        if staged.bytes.capacity() < len {
            staged = Staged::default();
            // A little more than asked for, so that a buffer soon fits every read.
            let capacity = len.checked_next_power_of_two().filter(|&capacity| capacity - len < len / 2).unwrap_or(len);
            staged.lease = Some(self.shared.budget.reserve(Purpose::Staging, capacity as u64)?);
            staged.bytes = Vec::with_capacity(capacity);
        }
        staged.bytes.resize(len, 0);
        Some(staged)
    }

    /// Where a job decodes into: the buffer it keeps, or this worker's own. `None` where the budget has no room.
    fn output(&mut self, keep: Option<AlignedBytes>, len: usize) -> Option<Output> {
        if let Some(bytes) = keep {
            return Some(Output { bytes, keeps: true });
        }
        let bytes = match self.decoded.take() {
            Some(bytes) if bytes.len() >= len => bytes,
            _ => AlignedBytes::new(&self.shared.budget, Purpose::Staging, len)?,
        };
        Some(Output { bytes, keeps: false })
    }

    /// The buffer of a chunk that stays; the worker's own goes back to the worker.
    fn settle(&mut self, output: Output) -> Option<AlignedBytes> {
        if output.keeps {
            return Some(output.bytes);
        }
        self.decoded = Some(output.bytes);
        None
    }
}

fn no_memory(what: &'static str, needed: u64, budget: &Budget) -> Cause {
    Cause::Memory { what, needed, available: budget.available() }
}

/// Writes the outside value to the part of a crop that lies outside its array.
fn fill_outside(target: &Target) {
    let crop = target.crop();
    let (start, len) = target.batch.row(target.row, target.field);
    let Some(value) = crop.window.outside_value() else { return };
    crop.window.outside_regions(|region| {
        // SAFETY: as in `scatter_to`: these regions are disjoint from those of every chunk.
        unsafe { crop.caster.fill(value, start, len, region) }
    });
}

fn covered_bytes(coverage: &Coverage, len: usize) -> u64 {
    match coverage {
        Coverage::Full => len as u64,
        Coverage::Ranges(ranges) => ranges.iter().map(|range| range.len() as u64).sum(),
    }
}
