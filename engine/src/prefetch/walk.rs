//! The prefetcher thread: admits samples, asks for their metadata in dependency order, and hands finished batches on.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use longshore_core::cache::{CacheOwner, CacheReader, CacheStats, Lookup, Request, WaiterId};
use longshore_core::epoch::{Epoch, EpochThread};
use longshore_core::inbox::Mailbox;
use longshore_core::ring::{Consumer, PopError};
use longshore_core::slot::Handle;
use longshore_core::watermark::Watermark;
use slab::Slab;

use super::batches::Batches;
use super::fetch::{Fetcher, Sink};
use super::sample::{SampleState, Step};
use super::values::{ChunkLayout, FetchError, Shard, ShardKey};
use super::work::{ShardRef, ToEngine};
use crate::array::{Array, hash_uri};
use crate::config::Field;
use crate::error::{Cause, Stage};
use crate::memory::Lease;
use crate::plan::geometry::{Window, for_each_cell};
use crate::plan::outside;
use crate::runtime::{Item, Pushed, Shared};
use crate::stats::CacheCounters;

/// One cache, seen from its owner's thread.
pub(crate) struct Cache<K, V> {
    pub(crate) owner: CacheOwner<K, V, FetchError>,
    pub(crate) reader: CacheReader<V, FetchError>,
}

/// What a prefetcher is made of.
pub(crate) struct PrefetcherParts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pushed: Consumer<Pushed>,
    pub(crate) engine: Arc<Mailbox<ToEngine>>,
    pub(crate) watermark: Arc<Watermark>,
    pub(crate) batches: Batches,
    pub(crate) fetcher: Fetcher,
    pub(crate) fields: Arc<[Field]>,
    pub(crate) arrays: Cache<Arc<str>, Arc<Array>>,
    pub(crate) shards: Cache<ShardKey, Arc<Shard>>,
    pub(crate) layouts: Cache<Arc<str>, ChunkLayout>,
    pub(crate) epoch: Epoch,
    pub(crate) needs_layouts: bool,
    /// The caches' tables.
    pub(crate) _tables: Lease,
}

/// The thread's state. See the module's head for what it does.
pub(crate) struct Prefetcher {
    parts: PrefetcherParts,
    epoch: EpochThread,
    samples: Slab<SampleState>,
    /// Samples that met a full cache, oldest first. While there are any, nobody younger is admitted.
    stalled: BinaryHeap<Reverse<(u64, usize)>>,
    /// Pushed, but no gate was free.
    held: Option<Pushed>,
    /// Answers to fetches made outside the caches.
    own_answers: Arc<Mailbox<OwnAnswer>>,
    retired: u64,
    ended: bool,
}

/// Why a step of a walk did not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CacheFull;

/// Answer to a fetch for one sample alone.
struct OwnAnswer {
    sample: usize,
    field: usize,
    value: Result<OwnValue, FetchError>,
}

enum OwnValue {
    Array(Arc<Array>),
    Shard { place: usize, shard: Arc<Shard> },
    Layout,
}

impl Prefetcher {
    pub(crate) fn new(parts: PrefetcherParts) -> Self {
        let own_answers = Arc::new(Mailbox::new(parts.shared.prefetch_bell.clone()));
        let epoch = parts.epoch.register();
        Self { parts, epoch, samples: Slab::new(), stalled: BinaryHeap::new(), held: None, own_answers, retired: 0, ended: false }
    }

    /// Runs until the loader closes.
    pub(crate) fn run(mut self) {
        loop {
            let ticket = self.parts.shared.prefetch_bell.listen();
            if self.parts.shared.is_closed() {
                return;
            }
            if !self.step() {
                self.parts.shared.prefetch_bell.wait(ticket);
            }
        }
    }

    /// Does what can be done now; false if that was nothing. Whatever changes that afterwards rings the thread's bell.
    pub(crate) fn step(&mut self) -> bool {
        let mut worked = self.take_answers();
        worked |= self.follow_watermark();
        worked |= self.retry_stalled();
        worked |= self.admit();
        self.publish_stats();
        worked
    }

    /// Requests that met a full cache.
    #[cfg(test)]
    pub(crate) fn saturated(&self) -> u64 {
        self.parts.arrays.owner.stats().saturated + self.parts.shards.owner.stats().saturated
    }

    /// Samples between admission and their end.
    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> usize {
        self.samples.len()
    }

    /// Lets every sample go on whose answer came.
    fn take_answers(&mut self) -> bool {
        let mut answered: Vec<(Handle, WaiterId, Step)> = Vec::new();
        self.parts.arrays.owner.drain_completed(|handle, waiter| answered.push((handle, waiter, Step::Arrays)));
        self.parts.shards.owner.drain_completed(|handle, waiter| answered.push((handle, waiter, Step::Shards)));
        self.parts.layouts.owner.drain_completed(|handle, waiter| answered.push((handle, waiter, Step::Layouts)));
        let own: Vec<OwnAnswer> = self.own_answers.take_all().collect();
        let worked = !answered.is_empty() || !own.is_empty();
        for &(handle, waiter, step) in &answered {
            self.cached_answer(handle, waiter.0 as usize, step);
        }
        for answer in own {
            self.own_answer(answer);
        }
        for (handle, _, step) in answered {
            self.forget_transient(handle, step);
        }
        worked
    }

    fn cached_answer(&mut self, handle: Handle, id: usize, step: Step) {
        let error = self.failure_of(handle, step);
        let sample = &mut self.samples[id];
        if let Some(error) = error {
            let field = sample.fields.iter().position(|field| field.waits_for(handle, step)).unwrap_or(0);
            sample.fail_fetch(field, &error);
        }
        self.answer_taken(id);
    }

    fn own_answer(&mut self, answer: OwnAnswer) {
        let sample = &mut self.samples[answer.sample];
        match answer.value {
            Ok(OwnValue::Array(array)) => sample.fields[answer.field].array = Some(array),
            Ok(OwnValue::Shard { place, shard }) => sample.fields[answer.field].shards[place].1 = Some(ShardRef::Own(shard)),
            Ok(OwnValue::Layout) => {}
            Err(error) => sample.fail_fetch(answer.field, &error),
        }
        self.answer_taken(answer.sample);
    }

    fn answer_taken(&mut self, id: usize) {
        let sample = &mut self.samples[id];
        sample.pending -= 1;
        let (batch, is_last) = (sample.place.batch, sample.pending == 0);
        self.parts.batches.fetch_ended(batch);
        if is_last {
            self.walk(id);
        }
    }

    /// What may succeed later must not stay: the next request fetches anew.
    fn forget_transient(&mut self, handle: Handle, step: Step) {
        let error = self.failure_of(handle, step);
        if !error.is_some_and(|error| error.is_transient()) {
            return;
        }
        match step {
            Step::Arrays => self.parts.arrays.owner.forget(handle),
            Step::Shards => self.parts.shards.owner.forget(handle),
            _ => self.parts.layouts.owner.forget(handle),
        }
    }

    fn follow_watermark(&mut self) -> bool {
        let watermark = self.parts.watermark.get();
        if watermark.get() == self.retired {
            return false;
        }
        self.retired = watermark.get();
        self.parts.batches.retire_below(watermark);
        true
    }

    fn retry_stalled(&mut self) -> bool {
        let mut worked = false;
        while let Some(Reverse((seq, id))) = self.stalled.pop() {
            // An answer may have moved the sample on meanwhile, or ended it.
            let Some(sample) = self.samples.get(id).filter(|sample| sample.seq.get() == seq && sample.is_stalled) else { continue };
            let before = sample.progress();
            self.walk(id);
            // Back among the stalled, having got nowhere: what stops the oldest stops everybody.
            if self.samples.get(id).is_some_and(|sample| sample.seq.get() == seq && sample.is_stalled && sample.progress() == before) {
                break;
            }
            worked = true;
        }
        worked
    }

    /// Takes what was pushed, as long as there is room for it.
    fn admit(&mut self) -> bool {
        let mut worked = false;
        while self.stalled.is_empty() && !self.ended {
            let pushed = match self.held.take().map_or_else(|| self.parts.pushed.try_pop(), Ok) {
                Ok(pushed) => pushed,
                Err(PopError::Empty) => break,
                Err(PopError::Closed) => {
                    self.seal();
                    self.tell_engine(ToEngine::End);
                    self.ended = true;
                    return true;
                }
            };
            match pushed.item {
                Item::Sample(_) => {
                    if let Err(pushed) = self.admit_sample(pushed) {
                        self.held = Some(pushed);
                        break;
                    }
                }
                Item::Seal => self.seal(),
                Item::SealAndMark => {
                    self.seal();
                    self.tell_engine(ToEngine::Mark);
                }
                Item::Drain(latch) => {
                    if self.samples.is_empty() {
                        self.tell_engine(ToEngine::Drain(latch));
                    } else {
                        // Nothing younger is admitted until the older samples are through.
                        self.held = Some(Pushed { item: Item::Drain(latch), ..pushed });
                        break;
                    }
                }
            }
            worked = true;
        }
        worked
    }

    fn admit_sample(&mut self, pushed: Pushed) -> Result<(), Pushed> {
        let Some(place) = self.parts.batches.admit() else { return Err(pushed) };
        let Item::Sample(origin) = pushed.item else { unreachable!("only samples are admitted") };
        let id = self.samples.insert(SampleState::new(pushed.seq, origin, place));
        self.walk(id);
        if self.parts.batches.is_full() {
            self.seal();
        }
        Ok(())
    }

    fn seal(&mut self) {
        if !self.parts.batches.has_partial() {
            return;
        }
        if let Some((ticket, ready)) = self.parts.batches.seal() {
            self.tell_engine(ToEngine::Batch(ticket));
            if ready {
                self.parts.shared.engine_bell.ring();
            }
        }
    }

    /// Takes a sample as far as it goes without waiting.
    fn walk(&mut self, id: usize) {
        self.samples[id].is_stalled = false;
        loop {
            let sample = &mut self.samples[id];
            if sample.error.is_some() && sample.pending == 0 {
                sample.step = Step::Done;
            }
            let asked = match sample.step {
                Step::Arrays => self.ask_arrays(id),
                Step::Shards => self.ask_shards(id),
                Step::Layouts => self.ask_layouts(id),
                Step::Done => return self.end(id),
            };
            let sample = &mut self.samples[id];
            if asked == Err(CacheFull) && sample.error.is_none() {
                sample.is_stalled = true;
                self.stalled.push(Reverse((sample.seq.get(), id)));
                return;
            }
            if sample.pending > 0 {
                return;
            }
            if sample.error.is_none() {
                self.next_step(id);
            }
        }
    }

    /// The step after one whose answers are all there.
    fn next_step(&mut self, id: usize) {
        let step = self.samples[id].step;
        if step == Step::Arrays {
            self.place_windows(id);
        }
        let sample = &mut self.samples[id];
        sample.step = match step {
            Step::Arrays => Step::Shards,
            Step::Shards if self.parts.needs_layouts => Step::Layouts,
            _ => Step::Done,
        };
        for field in &mut sample.fields {
            field.asked = 0;
        }
    }

    /// Takes the resolved arrays, checks the boxes against them and lists the shards they touch.
    fn place_windows(&mut self, id: usize) {
        for field in 0..self.samples[id].fields.len() {
            if let Err((stage, cause)) = self.place_window(id, field) {
                self.samples[id].fail(field, stage, None, cause);
            }
        }
    }

    fn place_window(&mut self, id: usize, field: usize) -> Result<(), (Stage, Cause)> {
        let guard = self.epoch.pin();
        let sample = &mut self.samples[id];
        let state = &mut sample.fields[field];
        if let Some(handle) = state.array_handle {
            state.array = match self.parts.arrays.reader.get(handle, &guard) {
                Lookup::Ready(array) => Some(array.clone()),
                Lookup::Failed(error) => return Err((error.stage, error.cause.clone())),
                Lookup::Pending | Lookup::Stale => None,
            };
        }
        // A pinned entry is neither pending nor stale once its answer was drained; closing is the only other way here.
        let array = state.array.clone().ok_or((Stage::Admission, Cause::Closed))?;
        let settings = &self.parts.fields[field];
        let constant = outside::value(settings.outside, &array.meta).map_err(|text| (Stage::Plan, Cause::Box(text)))?;
        let crop_box = &sample.origin.fields[field].crop_box;
        let window =
            Window::new(crop_box, &array.meta.shape, settings.outside, constant).map_err(|text| (Stage::Plan, Cause::Box(text)))?;
        if let Some(shards) = &array.shards
            && let Some(cells) = window.chunks(&array.meta.chunk_shape)
        {
            for_each_cell(&cells, |cell| state.shards.push((shards.number(cell), None)));
        }
        state.window = Some(window);
        Ok(())
    }

    fn ask_arrays(&mut self, id: usize) -> Result<(), CacheFull> {
        for field in 0..self.samples[id].fields.len() {
            let sample = &self.samples[id];
            if sample.fields[field].asked > 0 {
                continue;
            }
            let uri = sample.origin.fields[field].uri.clone();
            let fetcher = self.parts.fetcher.clone();
            match self.parts.arrays.owner.request(hash_uri(&uri), &uri, sample.place.batch, waiter(id)) {
                Request::Ready(handle) => self.samples[id].fields[field].array_handle = Some(handle),
                Request::Failed(handle) => {
                    self.samples[id].fields[field].array_handle = Some(handle);
                    self.fail_from_cache(id, field, handle, Step::Arrays);
                }
                Request::Pending(handle) => {
                    self.samples[id].fields[field].array_handle = Some(handle);
                    self.await_answer(id);
                }
                Request::Fetch(handle, completion) => {
                    self.samples[id].fields[field].array_handle = Some(handle);
                    self.await_answer(id);
                    fetcher.array(uri, completion);
                }
                Request::Saturated => {
                    self.may_go_alone(id)?;
                    self.await_answer(id);
                    fetcher.array(uri, self.own_sink(id, field, OwnValue::Array));
                }
            }
            self.samples[id].fields[field].asked = 1;
        }
        Ok(())
    }

    fn ask_shards(&mut self, id: usize) -> Result<(), CacheFull> {
        for field in 0..self.samples[id].fields.len() {
            while self.samples[id].fields[field].asked < self.samples[id].fields[field].shards.len() {
                self.ask_shard(id, field)?;
                self.samples[id].fields[field].asked += 1;
            }
        }
        Ok(())
    }

    fn ask_shard(&mut self, id: usize, field: usize) -> Result<(), CacheFull> {
        let sample = &self.samples[id];
        let state = &sample.fields[field];
        let place = state.asked;
        let number = state.shards[place].0;
        let array = state.array.clone().expect("shards are listed from the array");
        let key = ShardKey { uri: array.uri.clone(), number };
        let hash = ShardKey::hash(array.uri_hash, number);
        let fetcher = self.parts.fetcher.clone();
        let cell = |array: &Array| array.shards.as_ref().expect("shards are listed for sharded arrays").cell(number);
        match self.parts.shards.owner.request(hash, &key, sample.place.batch, waiter(id)) {
            Request::Ready(handle) => self.samples[id].fields[field].shards[place].1 = Some(ShardRef::Cached(handle)),
            Request::Failed(handle) => self.fail_from_cache(id, field, handle, Step::Shards),
            Request::Pending(handle) => {
                self.samples[id].fields[field].shards[place].1 = Some(ShardRef::Cached(handle));
                self.await_answer(id);
            }
            Request::Fetch(handle, completion) => {
                self.samples[id].fields[field].shards[place].1 = Some(ShardRef::Cached(handle));
                self.await_answer(id);
                let cell = cell(&array);
                fetcher.shard(array, &cell, completion);
            }
            Request::Saturated => {
                self.may_go_alone(id)?;
                self.await_answer(id);
                let cell = cell(&array);
                fetcher.shard(array, &cell, self.own_sink(id, field, move |shard| OwnValue::Shard { place, shard }));
            }
        }
        Ok(())
    }

    fn ask_layouts(&mut self, id: usize) -> Result<(), CacheFull> {
        for field in 0..self.samples[id].fields.len() {
            if self.samples[id].fields[field].asked > 0 {
                continue;
            }
            if let Some((shard, place)) = self.first_stored_chunk(id, field) {
                self.ask_layout(id, field, &shard, place)?;
            }
            self.samples[id].fields[field].asked = 1;
        }
        Ok(())
    }

    fn ask_layout(&mut self, id: usize, field: usize, shard: &Shard, place: (u64, u64)) -> Result<(), CacheFull> {
        let sample = &self.samples[id];
        let array = sample.fields[field].array.clone().expect("resolved in the first step");
        let fetcher = self.parts.fetcher.clone();
        match self.parts.layouts.owner.request(array.uri_hash, &array.uri, sample.place.batch, waiter(id)) {
            Request::Ready(_) => {}
            Request::Failed(handle) => self.fail_from_cache(id, field, handle, Step::Layouts),
            Request::Pending(_) => self.await_answer(id),
            Request::Fetch(_, completion) => {
                self.await_answer(id);
                fetcher.chunk_layout(array, shard, place, completion);
            }
            Request::Saturated => {
                self.may_go_alone(id)?;
                self.await_answer(id);
                fetcher.chunk_layout(array, shard, place, self.own_sink(id, field, |_| OwnValue::Layout));
            }
        }
        Ok(())
    }

    /// The first stored chunk that the window touches, where its array's chunks begin with a blosc header.
    fn first_stored_chunk(&self, id: usize, field: usize) -> Option<(Arc<Shard>, (u64, u64))> {
        let state = &self.samples[id].fields[field];
        let (array, window) = (state.array.as_ref()?, state.window.as_ref()?);
        let shards = array.shards.as_ref().filter(|_| array.starts_with_blosc_header())?;
        let chunks = window.chunks(&array.chunk_shape)?;
        let guard = self.epoch.pin();
        let mut found = None;
        for_each_cell(&chunks, |chunk| {
            if found.is_some() {
                return;
            }
            let number = shards.number(&array.cell_of(chunk));
            let at = state.shards.binary_search_by_key(&number, |shard| shard.0);
            let shard = match at.ok().and_then(|at| state.shards[at].1.as_ref()) {
                Some(ShardRef::Own(shard)) => Some(shard),
                Some(ShardRef::Cached(handle)) => match self.parts.shards.reader.get(*handle, &guard) {
                    Lookup::Ready(shard) => Some(shard),
                    _ => None,
                },
                None => None,
            };
            let place = |shard: &Arc<Shard>| shard.index.as_ref()?.get(shards.entry(chunk));
            found = shard.and_then(|shard| Some((shard.clone(), place(shard)?)));
        });
        found
    }

    /// Why an entry failed, if it did.
    fn failure_of(&self, handle: Handle, step: Step) -> Option<FetchError> {
        let guard = self.epoch.pin();
        match step {
            Step::Arrays => failure(&self.parts.arrays.reader.get(handle, &guard)),
            Step::Shards => failure(&self.parts.shards.reader.get(handle, &guard)),
            Step::Layouts | Step::Done => failure(&self.parts.layouts.reader.get(handle, &guard)),
        }
    }

    fn fail_from_cache(&mut self, id: usize, field: usize, handle: Handle, step: Step) {
        let error = self.failure_of(handle, step);
        let error = error.unwrap_or(FetchError { stage: Stage::Admission, object: None, cause: Cause::Closed });
        self.samples[id].fail_fetch(field, &error);
    }

    fn await_answer(&mut self, id: usize) {
        let sample = &mut self.samples[id];
        sample.pending += 1;
        let batch = sample.place.batch;
        self.parts.batches.fetch_began(batch);
    }

    /// Only the oldest unplanned batch may fetch past a full cache: what it waits for could never be evicted.
    fn may_go_alone(&self, id: usize) -> Result<(), CacheFull> {
        if self.samples[id].place.batch <= self.parts.watermark.get() { Ok(()) } else { Err(CacheFull) }
    }

    fn own_sink<V: Send + 'static>(&self, sample: usize, field: usize, wrap: impl FnOnce(V) -> OwnValue + Send + 'static) -> OwnSink<V> {
        OwnSink { answers: self.own_answers.clone(), sample, field, wrap: Some(Box::new(wrap)) }
    }

    fn end(&mut self, id: usize) {
        let sample = self.samples.remove(id);
        let place = sample.place;
        if sample.error.is_some() {
            self.parts.shared.counters.failed_samples.add(1);
        }
        if self.parts.batches.finish(place, sample.into_work()) {
            self.parts.shared.engine_bell.ring();
        }
    }

    fn tell_engine(&self, message: ToEngine) {
        // A closed mailbox: the engine is gone, and this thread will see the closed flag next.
        let _ = self.parts.engine.push(message);
    }

    fn publish_stats(&self) {
        let publish = |counters: &CacheCounters, stats: CacheStats| {
            counters.hits.set(stats.hits);
            counters.misses.set(stats.misses);
            counters.evictions.set(stats.evictions);
        };
        publish(&self.parts.shared.counters.cache[0], self.parts.arrays.owner.stats());
        publish(&self.parts.shared.counters.cache[1], self.parts.shards.owner.stats());
        publish(&self.parts.shared.counters.cache[2], self.parts.layouts.owner.stats());
    }
}

/// A sink for one sample alone; answers "cancelled" if it is dropped.
struct OwnSink<V> {
    answers: Arc<Mailbox<OwnAnswer>>,
    sample: usize,
    field: usize,
    wrap: Option<Box<dyn FnOnce(V) -> OwnValue + Send>>,
}

impl<V: Send + 'static> Sink<V> for OwnSink<V> {
    fn put(mut self, answer: Result<V, FetchError>) {
        if let Some(wrap) = self.wrap.take() {
            let _ = self.answers.push(OwnAnswer { sample: self.sample, field: self.field, value: answer.map(wrap) });
        }
    }
}

impl<V> Drop for OwnSink<V> {
    fn drop(&mut self) {
        if self.wrap.take().is_some() {
            let error = FetchError { stage: Stage::Admission, object: None, cause: Cause::Closed };
            let _ = self.answers.push(OwnAnswer { sample: self.sample, field: self.field, value: Err(error) });
        }
    }
}

fn waiter(id: usize) -> WaiterId {
    WaiterId(u32::try_from(id).expect("the lookahead is at most 2^24 samples"))
}

fn failure<V>(lookup: &Lookup<'_, V, FetchError>) -> Option<FetchError> {
    match lookup {
        Lookup::Failed(error) => Some((*error).clone()),
        _ => None,
    }
}
