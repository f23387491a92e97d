//! One run: who acts next, until everything is delivered or the loader is closed.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use longshore_core::ring::PopError;

use super::actors::{Looper, Pool, Sleeper};
use super::dice::Dice;
use super::model::{Counts, Model, Rules};
use super::store::{SimStore, Time};
use super::world::{Codec, World};
use crate::backend::host::HostWorker;
use crate::batch::Batch;
use crate::config::{Builder, Dtype, Field, OnError, Outside};
use crate::error::PushError;
use crate::memory::{Lease, Purpose};
use crate::prefetch::Prefetcher;
use crate::runtime::{Delivery, Intake, Item, Latch, Outlet, Shared, Wired};
use crate::sample::{CropBox, FieldRequest, Sample};
use crate::store::{LocalOptions, Store, StoreLayer, Stores};
use crate::wave::Engine;
use crate::wave::slots::{Limits, WavePool};
use crate::wave::window::Window;

/// Steps after which a run is taken for a spin: hundreds of times what runs take on average.
const MAX_STEPS: u64 = 200_000;

/// What a run came to. Equal for equal seeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trace {
    steps: u64,
    /// Mixes every step: who, when, and whether there was work.
    hash: u64,
    counts: Counts,
    drains: u64,
    closed: u64,
    refused_pushes: u64,
    saturated: u64,
    decoded: u64,
    shared_chunks: u64,
}

impl Trace {
    pub(super) fn add(&mut self, other: &Self) {
        let (sum, more) = (&mut self.counts, &other.counts);
        sum.batches += more.batches;
        sum.failed_batches += more.failed_batches;
        sum.rows += more.rows;
        sum.failed_rows += more.failed_rows;
        sum.partial_batches += more.partial_batches;
        sum.marks += more.marks;
        self.steps += other.steps;
        self.hash ^= other.hash;
        self.drains += other.drains;
        self.closed += other.closed;
        self.refused_pushes += other.refused_pushes;
        self.saturated += other.saturated;
        self.decoded += other.decoded;
        self.shared_chunks += other.shared_chunks;
    }

    /// Many runs together have been everywhere.
    pub(super) fn assert_varied(&self, closes: bool) {
        let counts = &self.counts;
        let seen = [counts.batches, counts.failed_batches, counts.failed_rows, counts.partial_batches, counts.marks];
        assert!(seen.iter().all(|&count| count > 0), "{self:?}");
        let more = [self.drains, self.refused_pushes, self.saturated, self.decoded, self.shared_chunks];
        assert!(more.iter().all(|&count| count > 0) && (self.closed > 0) == closes, "{self:?}");
    }
}

/// What the user does at the push end.
enum Op {
    Push(Sample),
    Seal,
    Mark,
    Drain,
    Finish,
}

/// Whose turn it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Actor {
    Pusher,
    Popper,
    Prefetcher,
    Engine,
    Worker,
    Store,
}

/// The state of a run.
pub(super) struct Run {
    dice: Dice,
    now: Time,
    close_at: Option<u64>,
    shared: Arc<Shared>,
    store: Arc<SimStore>,
    prefetcher: Looper<Prefetcher>,
    engine: Looper<Engine>,
    pool: Pool,
    intake: Intake,
    pusher: Sleeper,
    script: VecDeque<Op>,
    drain: Option<Arc<Latch>>,
    outlet: Outlet,
    popper: Sleeper,
    held: VecDeque<Batch>,
    /// How often the user looks at what is ready rather than letting go of what it holds.
    eagerness: f64,
    ended: bool,
    model: Model,
    batch_bytes: u64,
    /// Distinct stored chunks of all samples, where each must be decoded exactly once.
    decodes: Option<u64>,
    /// Memory that the run takes away from the loader.
    squeeze: Option<Lease>,
    trace: Trace,
}

impl Run {
    pub(super) fn new(seed: u64, closes: bool) -> Self {
        let dice = Dice::new(seed);
        let rank = dice.roll(1..=3) as usize;
        let broken = *dice.pick(&[0.0, 0.0, 0.05, 0.3]);
        let world = Arc::new(World::new(&dice, rank, broken, closes));
        let is_short = dice.chance(0.1);
        let (builder, rules) = configure(&dice, rank, is_short);
        let store = Arc::new(SimStore::new(world.clone(), dice.split()));
        let served = store.clone();
        let layer: StoreLayer = Arc::new(move |_| Ok(served.clone()));
        let stores = Arc::new(Stores::new(LocalOptions::default(), Some(layer)));
        let builder = builder.stores(stores);
        let script = script(&dice, &builder, &world);
        let decodes = decodes(&builder, &world, &script, &rules).filter(|_| !is_short);

        let Wired { shared, intake, outlet, mut started, .. } = Wired::new(&builder).expect("the configuration is sound");
        let engine = &mut started.engine;
        if decodes.is_none() {
            engine.window = Window::new(shared.budget.clone(), *dice.pick(&[0, 300, 2000, 1 << 20]), 0);
        }
        engine.max_refs = *dice.pick(&[1, 20, 1 << 12]);
        // With a few bytes left, whatever needs memory may fail, and nothing else may happen.
        let squeeze = is_short.then(|| shared.budget.available() - dice.roll(0..=3000));
        let squeeze = squeeze.and_then(|bytes| shared.budget.reserve(Purpose::Metadata, bytes));
        let limits = Limits { staged_bytes: dice.roll(1..=4000), decoded_bytes: dice.roll(1..=4000), chunks: dice.roll(1..=20) };
        engine.waves = WavePool::new(dice.roll(1..=4) as usize, limits);
        let worker = |_| HostWorker::new(shared.clone(), engine.queue.clone(), engine.done.clone());
        let pool = Pool { queue: engine.queue.clone(), workers: (0..dice.roll(1..=3)).map(worker).collect() };
        let crop: u64 = builder.fields.iter().map(|field| field.crop.iter().product::<u64>() * 4).sum();
        Self {
            now: 0,
            close_at: closes.then(|| dice.roll(0..=600)),
            batch_bytes: crop * builder.batch as u64 * builder.buffers as u64,
            store,
            prefetcher: Looper::new(&shared.prefetch_bell.clone(), Prefetcher::new(started.prefetcher)),
            engine: Looper::new(&shared.engine_bell.clone(), Engine::new(started.engine)),
            pool,
            intake,
            pusher: Sleeper::new(&shared.push_bell),
            script,
            drain: None,
            outlet,
            popper: Sleeper::new(&shared.pop_bell),
            shared,
            held: VecDeque::new(),
            eagerness: *dice.pick(&[0.3, 0.7, 0.95]),
            ended: false,
            model: Model::new(world, rules),
            decodes,
            squeeze,
            trace: Trace::default(),
            dice,
        }
    }

    /// Lets the actors act until the end, and looks at what is left.
    pub(super) fn run(mut self, speaks: bool) -> Trace {
        while !self.is_over() {
            if self.close_at == Some(self.trace.steps) {
                self.close();
            }
            let Some(actor) = self.next_actor() else {
                // What will never be answered may hold everything up, until the loader closes.
                assert!(self.close_at.is_some_and(|at| at > self.trace.steps), "stuck at step {}: all sleep", self.trace.steps);
                self.close_at = Some(self.trace.steps);
                continue;
            };
            let worked = self.act(actor);
            if speaks {
                println!("step {} at {} ns: {actor:?} {}", self.trace.steps, self.now, if worked { "works" } else { "falls asleep" });
            }
            self.check();
            self.count(actor, worked);
        }
        self.end()
    }

    fn is_over(&self) -> bool {
        if self.shared.is_closed() {
            return self.ended && self.prefetcher.body.is_none() && self.engine.body.is_none();
        }
        self.ended && self.script.is_empty() && self.drain.is_none()
    }

    fn next_actor(&mut self) -> Option<Actor> {
        let mut able = Vec::new();
        let mut may = |actor, can: bool| able.extend(can.then_some(actor));
        may(Actor::Pusher, (!self.script.is_empty() || self.drain.is_some()) && self.pusher.is_awake());
        may(Actor::Popper, !self.held.is_empty() || (!self.ended && self.popper.is_awake()));
        may(Actor::Prefetcher, self.prefetcher.can_act());
        may(Actor::Engine, self.engine.can_act());
        may(Actor::Worker, self.pool.can_act());
        let due = self.store.next_due();
        may(Actor::Store, due.is_some_and(|due| due <= self.now));
        if able.is_empty() {
            // Time passes until the next answer.
            self.now = due?;
            return Some(Actor::Store);
        }
        Some(*self.dice.pick(&able))
    }

    fn act(&mut self, actor: Actor) -> bool {
        self.now += self.dice.roll(100..=50_000);
        self.store.set_now(self.now);
        match actor {
            Actor::Pusher => self.push(),
            Actor::Popper => self.pop(),
            Actor::Prefetcher => {
                let worked = self.prefetcher.act(&self.shared);
                self.trace.saturated = self.prefetcher.body.as_ref().map_or(self.trace.saturated, Prefetcher::saturated);
                worked
            }
            Actor::Engine => self.engine.act(&self.shared),
            Actor::Worker => {
                let worker = self.dice.roll(0..=self.pool.workers.len() as u64 - 1);
                self.pool.act(worker as usize);
                true
            }
            Actor::Store => {
                self.store.answer_next();
                true
            }
        }
    }

    fn push(&mut self) -> bool {
        let Self { pusher, intake, script, drain, model, shared, trace, .. } = self;
        let mut opened = false;
        let worked = pusher.turn(|| {
            if let Some(latch) = drain {
                opened = latch.is_open();
                if opened || shared.is_closed() {
                    *drain = None;
                }
                return drain.is_none();
            }
            match script.pop_front().expect("the pusher has something to do") {
                Op::Push(sample) => match intake.push(sample.clone(), None) {
                    Ok(seq) => {
                        assert_eq!(seq.get(), model.pushed(), "ordinals are dense");
                        model.push(sample);
                    }
                    Err(PushError::Full(_)) => {
                        trace.refused_pushes += 1;
                        script.push_front(Op::Push(sample));
                        return false;
                    }
                    Err(error) => assert!(shared.is_closed(), "{error}"),
                },
                Op::Seal => {
                    if intake.control(Item::Seal).is_ok() {
                        model.seal();
                    }
                }
                Op::Mark => {
                    if intake.control(Item::SealAndMark).is_ok() {
                        model.seal();
                        model.mark();
                    }
                }
                Op::Drain => {
                    let latch = Arc::new(Latch::default());
                    if intake.control(Item::Drain(latch.clone())).is_ok() {
                        *drain = Some(latch);
                    }
                }
                Op::Finish => {
                    intake.finish();
                    model.seal();
                }
            }
            true
        });
        if opened && !self.shared.is_closed() {
            self.check_drained();
        }
        worked
    }

    /// C25: a drain returns only when nothing is in flight.
    fn check_drained(&mut self) {
        self.trace.drains += 1;
        let prefetcher = self.prefetcher.body.as_ref().expect("it ends with the loader");
        assert_eq!(prefetcher.in_flight(), 0, "C25: samples are being resolved");
        assert_eq!(self.store.in_flight(), 0, "C25: requests are in flight");
        assert!(!self.pool.can_act(), "C25: tasks wait");
    }

    fn pop(&mut self) -> bool {
        let is_awake = !self.ended && self.popper.is_awake();
        if !self.held.is_empty() && (!is_awake || !self.dice.chance(self.eagerness)) {
            let at = self.dice.roll(0..=self.held.len() as u64 - 1);
            let batch = self.held.remove(at as usize).expect("held");
            self.model.check_bytes(&batch);
            return true;
        }
        let Self { popper, outlet, model, held, ended, shared, .. } = self;
        popper.turn(|| match outlet.try_pop() {
            Ok(delivery) => {
                model.take(&delivery);
                if let Delivery::Batch(batch) = delivery {
                    held.push_back(batch);
                }
                true
            }
            Err(PopError::Empty) => false,
            Err(PopError::Closed) => {
                assert!(outlet.is_finished() || shared.is_closed());
                *ended = true;
                true
            }
        })
    }

    /// C26: everybody who sleeps is woken.
    fn close(&mut self) {
        self.shared.close();
        self.trace.closed = 1;
        let awake = [self.pusher.is_awake(), self.popper.is_awake(), self.prefetcher.sleeper.is_awake(), self.engine.sleeper.is_awake()];
        assert_eq!(awake, [true; 4], "C26: a close wakes pusher, popper, prefetcher and engine");
    }

    fn check(&self) {
        let budget = &self.shared.budget;
        assert!(budget.used() <= budget.total(), "C41");
        assert!(budget.used_for(Purpose::Batches) <= self.batch_bytes, "C41: more batch buffers than configured");
        let counters = &self.shared.counters;
        assert!(counters.chunks_decoded.get() <= counters.chunks_referenced.get(), "C37: a chunk nobody needs was decoded");
    }

    fn count(&mut self, actor: Actor, worked: bool) {
        self.trace.steps += 1;
        assert!(self.trace.steps < MAX_STEPS, "a spin: {actor:?} was last");
        let event = self.now << 8 | (actor as u64) << 1 | u64::from(worked);
        self.trace.hash = (self.trace.hash ^ event).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
    }

    /// Everything was delivered, or the loader closed: what is left is freed.
    fn end(mut self) -> Trace {
        let counters = &self.shared.counters;
        self.trace.decoded = counters.chunks_decoded.get();
        self.trace.shared_chunks = counters.chunks_referenced.get() - counters.chunks_decoded.get();
        if self.trace.closed == 0 {
            assert!(self.model.is_settled(), "C19: something was never delivered");
            if let Some(decodes) = self.decodes {
                assert_eq!(self.trace.decoded, decodes, "C37: each chunk is decoded once");
            }
        }
        self.trace.counts = self.model.counts;
        let Self { shared, store, prefetcher, engine, pool, intake, outlet, held, squeeze, trace, .. } = self;
        shared.close();
        drop((prefetcher, engine, intake, outlet));
        store.close();
        drop((pool, held, store, squeeze));
        assert_eq!(shared.budget.used(), 0, "C26: memory is not given back");
        trace
    }
}

/// The loader of a run, and what the model must know of it.
fn configure(dice: &Dice, rank: usize, is_short: bool) -> (Builder, Rules) {
    let mut builder = Builder::default();
    let mut fields = Vec::new();
    for number in 0..dice.roll(1..=2) {
        let crop: Vec<u64> = (0..rank).map(|_| dice.roll(1..=6)).collect();
        let dtype = *dice.pick(&[Dtype::Native, Dtype::F32]);
        let outside = *dice.pick(&[Outside::Error, Outside::Fill, Outside::Constant(7.0), Outside::Edge]);
        builder = builder.field(Field::new(format!("field {number}"), crop).dtype(dtype).outside(outside));
        fields.push((dtype, outside));
    }
    let batch = dice.roll(1..=5) as usize;
    let on_error = *dice.pick(&[OnError::Fail, OnError::Fill, OnError::Skip]);
    let drop_last = dice.chance(0.2);
    let lookahead = dice.roll(batch as u64..=8 * batch as u64) as usize;
    builder = builder.batch(batch).on_error(on_error).drop_last(drop_last).lookahead(lookahead).buffers(dice.roll(1..=3) as usize);
    builder = builder.cache_slots(*dice.pick(&[1, 2, 5, 64])).reuse(dice.chance(0.8)).probe_layouts(dice.chance(0.2));
    if dice.chance(0.3) {
        builder = builder.max_read_bytes(dice.roll(1..=200));
    }
    // No threads: the run itself is every worker.
    builder = builder.memory_budget(8 << 20).threads(0);
    (builder, Rules { batch, on_error, drop_last, fields, is_short })
}

fn script(dice: &Dice, builder: &Builder, world: &World) -> VecDeque<Op> {
    let mut script = VecDeque::new();
    for _ in 0..dice.roll(0..=40) {
        match dice.roll(0..=19) {
            0 => script.push_back(Op::Seal),
            1 => script.push_back(Op::Mark),
            2 => script.push_back(Op::Drain),
            _ => {}
        }
        script.push_back(Op::Push(Sample::with_fields(builder.fields.iter().map(|field| request(dice, field, world)))));
    }
    script.push_back(Op::Finish);
    script
}

/// A box of one of the arrays; some reach outside.
fn request(dice: &Dice, field: &Field, world: &World) -> FieldRequest {
    let array = dice.pick(&world.arrays);
    let margin = if dice.chance(if field.outside == Outside::Error { 0.03 } else { 0.4 }) { 3 } else { 0 };
    let axis = |(&shape, &crop): (&u64, &u64)| {
        let room = shape.saturating_sub(crop) + 2 * margin;
        let start = dice.roll(0..=room) as i64 - margin as i64;
        (start, start + crop as i64)
    };
    let crop_box = CropBox::new(array.shape.iter().zip(&field.crop).map(axis)).expect("ends lie after starts");
    FieldRequest { name: field.name.clone(), uri: array.uri.clone(), crop_box }
}

/// How many chunks are decoded where each is decoded whole, kept, and needed by a batch that is rendered.
fn decodes(builder: &Builder, world: &World, script: &VecDeque<Op>, rules: &Rules) -> Option<u64> {
    let is_whole = world.arrays.iter().all(|array| array.codec == Codec::Crc32c);
    // An array whose metadata had to make room is another array when it comes back.
    let has_room = builder.cache_slots.is_some_and(|slots| slots >= 64);
    if !builder.reuse || rules.drop_last || !is_whole || !has_room || !world.faults.is_empty() {
        return None;
    }
    let mut chunks = BTreeSet::new();
    for op in script {
        let Op::Push(sample) = op else { continue };
        for (request, &(_, outside)) in sample.fields.iter().zip(&rules.fields) {
            let array = world.arrays.iter().find(|array| array.uri == request.uri).expect("samples name arrays of the world");
            array.crop(&request.crop_box, outside)?;
            chunks.extend(array.chunks_of(&request.crop_box, outside).into_iter().map(|chunk| (request.uri.clone(), chunk)));
        }
    }
    Some(chunks.len() as u64)
}
