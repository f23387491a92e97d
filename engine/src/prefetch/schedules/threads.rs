//! The user, who pushes what it draws, and an engine that plans each batch in turn and judges it.

use std::collections::VecDeque;
use std::sync::Arc;

use longshore_core::cache::{CacheReader, Lookup};
use longshore_core::epoch::{Epoch, EpochThread};
use longshore_core::gate::{GateAsker, GateState};
use longshore_core::inbox::Mailbox;
use longshore_core::ordinal::SampleSeq;
use longshore_core::ring::Producer;
use longshore_core::watermark::Watermark;
use shuttle_tests::{mark, pick, toss};

use super::store::{CROP, EXTENT, FakeStore, KINDS, Kind, NAME};
use crate::config::Outside;
use crate::error::{SampleError, Stage};
use crate::plan::geometry::Window;
use crate::prefetch::values::{FetchError, Shard};
use crate::prefetch::work::{FieldWork, SampleWork, ShardRef, Ticket, ToEngine};
use crate::runtime::{Item, Latch, Pushed, Shared};
use crate::sample::{CropBox, FieldRequest, Sample};

/// Samples per batch.
pub(super) const BATCH: usize = 2;

/// Samples before the drain, and after it.
const SAMPLES: usize = 4;

/// Pushes samples and seals, drains, pushes again without faults, and closes.
pub(super) struct User {
    shared: Arc<Shared>,
    ring: Producer<Pushed>,
    store: Arc<FakeStore>,
    fields: usize,
    pushed: u64,
}

impl User {
    pub(super) fn new(shared: Arc<Shared>, ring: Producer<Pushed>, store: Arc<FakeStore>, fields: usize) -> Self {
        Self { shared, ring, store, fields, pushed: 0 }
    }

    /// Answers how many samples were accepted.
    pub(super) fn run(mut self) -> u64 {
        if self.push_some() && self.drain() {
            self.store.end_faults();
            self.push_some();
        }
        if self.shared.is_closed() {
            self.store.closing();
        }
        self.pushed
    }

    fn push_some(&mut self) -> bool {
        (0..SAMPLES).all(|_| {
            let sealed = match pick(8) {
                0 => self.send(Item::Seal),
                1 => self.send(Item::SealAndMark),
                _ => true,
            };
            let sample = Arc::new(self.draw());
            sealed && self.send(Item::Sample(sample))
        })
    }

    fn drain(&mut self) -> bool {
        let latch = Arc::new(Latch::default());
        if !self.send(Item::SealAndMark) || !self.send(Item::Drain(latch.clone())) {
            return false;
        }
        loop {
            let ticket = self.shared.push_bell.listen();
            if latch.is_open() {
                mark("drained");
                return true;
            }
            if self.shared.is_closed() {
                return false;
            }
            self.shared.push_bell.wait(ticket);
        }
    }

    fn send(&mut self, item: Item) -> bool {
        let is_sample = matches!(item, Item::Sample(_));
        let accepted = self.ring.push_blocking(Pushed { seq: SampleSeq::new(self.pushed), item }).is_ok();
        if !accepted {
            mark("refused");
        }
        self.pushed += u64::from(accepted && is_sample);
        accepted
    }

    fn draw(&self) -> Sample {
        let field = |_| {
            // Mostly sound.
            let (name, _) = KINDS[if toss(4) { pick(KINDS.len()) } else { pick(3) }];
            let start = if toss(8) { -1 + 14 * pick(2) as i64 } else { pick((EXTENT - CROP as i64 + 1) as usize) as i64 };
            let crop_box = CropBox::new([(start, start + CROP as i64)]).expect("a box");
            FieldRequest { name: "".into(), uri: format!("memory://{NAME}/{name}").into(), crop_box }
        };
        Sample::with_fields((0..self.fields).map(field))
    }
}

/// Plans each batch once its gate says so, in order.
pub(super) struct Engine {
    shared: Arc<Shared>,
    tickets: Arc<Mailbox<ToEngine>>,
    gates: GateAsker,
    shards: CacheReader<Arc<Shard>, FetchError>,
    thread: EpochThread,
    watermark: Arc<Watermark>,
    store: Arc<FakeStore>,
    probes: bool,
    waiting: VecDeque<ToEngine>,
    batches: u64,
    samples: u64,
}

impl Engine {
    pub(super) fn new(
        shared: Arc<Shared>,
        tickets: Arc<Mailbox<ToEngine>>,
        gates: GateAsker,
        shards: CacheReader<Arc<Shard>, FetchError>,
        epoch: Epoch,
        watermark: Arc<Watermark>,
        store: Arc<FakeStore>,
        probes: bool,
    ) -> Self {
        let thread = epoch.register();
        Self { shared, tickets, gates, shards, thread, watermark, store, probes, waiting: VecDeque::new(), batches: 0, samples: 0 }
    }

    /// Answers how many samples came in batches.
    pub(super) fn run(mut self) -> u64 {
        loop {
            let ticket = self.shared.engine_bell.listen();
            if self.shared.is_closed() {
                return self.samples;
            }
            self.waiting.extend(self.tickets.take_all());
            match self.waiting.front() {
                None => self.shared.engine_bell.wait(ticket),
                Some(ToEngine::Batch(batch)) if self.gates.poll(batch.gate) == GateState::Pending => {
                    self.shared.engine_bell.wait(ticket);
                }
                Some(_) => {
                    let message = self.waiting.pop_front().expect("there is a front");
                    if self.handle(message) {
                        return self.samples;
                    }
                }
            }
        }
    }

    /// Answers whether it was the last.
    fn handle(&mut self, message: ToEngine) -> bool {
        match message {
            ToEngine::Batch(ticket) => self.plan(ticket),
            ToEngine::Mark => {}
            ToEngine::Drain(latch) => {
                assert_eq!(self.store.in_flight(), 0, "C25: drained, and a fetch is in flight");
                latch.open(&self.shared);
            }
            ToEngine::End => {
                assert!(self.waiting.is_empty(), "something came after the end");
                return true;
            }
        }
        false
    }

    fn plan(&mut self, ticket: Ticket) {
        assert_eq!(ticket.id.get(), self.batches, "C19: batches are dense");
        let state = self.gates.poll(ticket.gate);
        let work = Arc::try_unwrap(ticket.work).ok().and_then(|cell| cell.into_inner());
        let work = work.expect("C14: the gate is ready, the work is not there");
        assert!((1..=BATCH).contains(&work.len()));
        let failed = work.iter().filter(|sample| sample.fields.is_err()).count();
        let expected = if failed > 0 { GateState::Failed } else { GateState::Ready };
        assert_eq!(state, expected, "C15, C16: {failed} samples failed");
        for sample in work {
            assert_eq!(sample.seq.get(), self.samples, "C19: samples in push order");
            self.samples += 1;
            self.judge(&sample);
        }
        self.batches += 1;
        self.watermark.advance_to(ticket.id.next());
        self.shared.prefetch_bell.ring();
    }

    fn judge(&self, sample: &SampleWork) {
        let expected: Vec<(Kind, i64, Option<Stage>)> = sample.origin.fields.iter().map(|field| self.expectation(field)).collect();
        match &sample.fields {
            Ok(fields) => {
                assert_eq!(fields.len(), expected.len());
                for ((field, (kind, start, failure)), request) in fields.iter().zip(&expected).zip(&sample.origin.fields) {
                    assert_eq!(*failure, None, "resolved, though it cannot be: {request:?}");
                    self.judge_field(field, *kind, *start, request);
                }
                mark("resolved");
            }
            Err(error) => self.judge_error(error, sample, &expected),
        }
    }

    fn expectation(&self, field: &FieldRequest) -> (Kind, i64, Option<Stage>) {
        let name = field.uri.rsplit('/').next().expect("a name");
        let (_, kind) = KINDS.into_iter().find(|(known, _)| *known == name).expect("an array of ours");
        let start = field.crop_box.axes()[0].0;
        (kind, start, kind.failure(start, self.probes))
    }

    /// Every shard that the box touches is there: in the cache, pinned, or with the sample.
    fn judge_field(&self, field: &FieldWork, kind: Kind, start: i64, request: &FieldRequest) {
        assert_eq!(field.array.uri, request.uri);
        let window = Window::new(&request.crop_box, &[EXTENT as u64], Outside::Error, None).expect("it was resolved");
        assert_eq!(field.window, window);
        let numbers: Vec<u64> = field.shards.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, kind.shards(start), "C13, C20: the shards of {request:?}");
        let guard = self.thread.pin();
        for (number, shard) in &field.shards {
            let shard: &Shard = match shard {
                ShardRef::Own(shard) => {
                    mark("went alone");
                    shard
                }
                ShardRef::Cached(handle) => match self.shards.get(*handle, &guard) {
                    Lookup::Ready(shard) => shard,
                    other => panic!("C08: a shard that this batch pins is {other:?}"),
                },
            };
            assert!(shard.key.ends_with(&format!("/c/{number}")), "C02: {} for shard {number}", shard.key);
            assert_eq!(shard.index.is_some(), kind.is_stored(*number));
            if shard.index.is_none() {
                mark("missing shard");
            }
        }
    }

    fn judge_error(&self, error: &Arc<SampleError>, sample: &SampleWork, expected: &[(Kind, i64, Option<Stage>)]) {
        assert_eq!(error.sample, sample.seq, "C39");
        let named = sample.origin.fields.iter().position(|field| field.uri == error.uri && field.crop_box == error.crop_box);
        let named = named.expect("C39: the error names a field of the sample");
        let honest = expected[named].2 == Some(error.stage) || expected.iter().any(|(.., failure)| *failure == Some(error.stage));
        if !honest {
            let faulted = sample.origin.fields.iter().any(|field| self.store.is_faulted(field.uri.rsplit('/').next().expect("a name")));
            assert!(faulted, "C38: {error:?}, and no answer was a fault");
            mark("fault passed on");
        }
        mark(match error.stage {
            Stage::Admission => "failed: admission",
            Stage::ArrayMetadata => "failed: array metadata",
            Stage::ShardIndex => "failed: shard index",
            Stage::ChunkLayout => "failed: chunk layout",
            Stage::Plan => "failed: plan",
            stage => panic!("no stage of the prefetcher: {stage:?}"),
        });
    }
}
