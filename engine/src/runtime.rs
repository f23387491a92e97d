//! A loader's threads, and the queues between them and the user.
//!
//! ```text
//!  user            prefetcher           engine               workers            user
//!  push ──ring──▶  walks samples  ──▶   plans, waves   ──▶   read, decode,  ┐
//!                  (metadata I/O)       ◀── completions ──   scatter        │
//!                        ▲ watermark ───┘        └──ready ring──────────────┴──▶ pop
//!                                                ◀──batch memory returns─────── drop(Batch)
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use longshore_core::bell::Bell;
use longshore_core::ordinal::SampleSeq;
use longshore_core::ring::{Consumer, PopError, Producer, PushError as RingError, ring};

use crate::batch::Batch;
use crate::config::{Builder, Field};
use crate::error::{Error, PushError};
use crate::memory::Budget;
use crate::prefetch::Prefetcher;
use crate::sample::Sample;
use crate::start::Started;
use crate::stats::{Counters, Stats};
use crate::store::Stores;
use crate::wave::Engine;

/// What the pop end gets.
#[derive(Debug)]
pub(crate) enum Delivery {
    Batch(Batch),
    Failed(Error),
    /// Everything pushed before the mark is delivered.
    Mark,
}

/// What the push end sends.
#[derive(Debug)]
pub(crate) enum Item {
    Sample(Arc<Sample>),
    /// Ends the batch being filled.
    Seal,
    /// The same, and a mark behind it.
    SealAndMark,
    /// Opened once everything before it is delivered.
    Drain(Arc<Latch>),
}

/// An item with its ordinal (control items carry that of the next sample).
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) seq: SampleSeq,
    pub(crate) item: Item,
}

/// Control items that fit into the ring beside a full lookahead.
const CONTROL_ROOM: usize = 64;

/// Deliveries that wait in the ring; more wait in the engine.
const READY_ROOM: usize = 64;

/// What all threads of a loader see.
#[derive(Debug)]
pub(crate) struct Shared {
    closed: AtomicBool,
    /// Samples whose batch has begun to be rendered (or failed): they make room in the lookahead.
    started: AtomicU64,
    pub(crate) counters: Counters,
    pub(crate) budget: Budget,
    /// Whoever waits for room in the lookahead, or for a drain.
    pub(crate) push_bell: Arc<Bell>,
    pub(crate) pop_bell: Arc<Bell>,
    pub(crate) prefetch_bell: Arc<Bell>,
    pub(crate) engine_bell: Arc<Bell>,
}

impl Shared {
    pub(crate) fn new(budget: Budget) -> Self {
        let bell = || Arc::new(Bell::new());
        Self {
            closed: AtomicBool::new(false),
            started: AtomicU64::new(0),
            counters: Counters::default(),
            budget,
            push_bell: bell(),
            pop_bell: bell(),
            prefetch_bell: bell(),
            engine_bell: bell(),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release in `close`; whoever sees the flag sees what the closer did before.
        self.closed.load(Ordering::Acquire)
    }

    /// Sets the flag, then wakes everybody who could be waiting.
    pub(crate) fn close(&self) {
        // Release: pairs with `is_closed`. The rings come after, so no sleeper can miss the flag.
        self.closed.store(true, Ordering::Release);
        for bell in [&self.push_bell, &self.pop_bell, &self.prefetch_bell, &self.engine_bell] {
            bell.ring();
        }
    }

    /// These samples no longer count as lookahead.
    pub(crate) fn samples_started(&self, samples: u64) {
        // Release: pairs with the Acquire in `Intake::room`; a pusher that sees the room may use it.
        self.started.fetch_add(samples, Ordering::Release);
        self.push_bell.ring();
    }
}

/// Opened once; waited for by the push end.
#[derive(Debug, Default)]
pub(crate) struct Latch(AtomicBool);

impl Latch {
    pub(crate) fn open(&self, shared: &Shared) {
        // Release: pairs with `is_open`; what was delivered before is delivered for whoever sees it.
        self.0.store(true, Ordering::Release);
        shared.push_bell.ring();
    }

    pub(crate) fn is_open(&self) -> bool {
        // Acquire: see `open`.
        self.0.load(Ordering::Acquire)
    }
}

/// The push end's side of the lookahead.
pub(crate) struct Intake {
    ring: Producer<Pushed>,
    shared: Arc<Shared>,
    next: u64,
    lookahead: u64,
    finished: bool,
}

impl Intake {
    pub(crate) fn room(&self) -> usize {
        // Acquire: pairs with `Shared::samples_started`.
        let waiting = self.next - self.shared.started.load(Ordering::Acquire).min(self.next);
        self.lookahead.saturating_sub(waiting) as usize
    }

    /// Pushes; `wait` is how long for room: not at all, until then, or (`Some(None)`) for ever.
    pub(crate) fn push(&mut self, sample: Sample, wait: Option<Option<Instant>>) -> Result<SampleSeq, PushError> {
        loop {
            let ticket = self.shared.push_bell.listen();
            if self.finished || self.shared.is_closed() {
                return Err(PushError::Closed(sample));
            }
            if self.room() > 0 {
                return self.put(sample);
            }
            match wait {
                None => return Err(PushError::Full(sample)),
                Some(None) => self.shared.push_bell.wait(ticket),
                Some(Some(end)) => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(PushError::Full(sample));
                    }
                    self.shared.push_bell.wait_timeout(ticket, left);
                }
            }
        }
    }

    fn put(&mut self, sample: Sample) -> Result<SampleSeq, PushError> {
        let seq = SampleSeq::new(self.next);
        let unwrap = |pushed: Pushed| match pushed.item {
            Item::Sample(sample) => Arc::try_unwrap(sample).unwrap_or_else(|shared| (*shared).clone()),
            _ => unreachable!("a sample was pushed"),
        };
        match self.ring.try_push(Pushed { seq, item: Item::Sample(Arc::new(sample)) }) {
            Ok(()) => {}
            Err(RingError::Full(pushed)) => return Err(PushError::Full(unwrap(pushed))),
            Err(RingError::Closed(pushed)) => return Err(PushError::Closed(unwrap(pushed))),
        }
        self.next += 1;
        self.shared.counters.samples.add(1);
        Ok(seq)
    }

    /// Sends a control item, waiting for a place in the ring.
    pub(crate) fn control(&mut self, item: Item) -> Result<(), Error> {
        if self.finished {
            return Err(Error::Closed);
        }
        let mut pushed = Pushed { seq: SampleSeq::new(self.next), item };
        loop {
            let ticket = self.shared.push_bell.listen();
            if self.shared.is_closed() {
                return Err(Error::Closed);
            }
            match self.ring.try_push(pushed) {
                Ok(()) => return Ok(()),
                Err(RingError::Full(back)) => pushed = back,
                Err(RingError::Closed(_)) => return Err(Error::Closed),
            }
            self.shared.push_bell.wait(ticket);
        }
    }

    pub(crate) fn drain(&mut self) -> Result<(), Error> {
        let latch = Arc::new(Latch::default());
        self.control(Item::Drain(latch.clone()))?;
        loop {
            let ticket = self.shared.push_bell.listen();
            if latch.is_open() {
                return Ok(());
            }
            if self.shared.is_closed() {
                return Err(Error::Closed);
            }
            self.shared.push_bell.wait(ticket);
        }
    }

    pub(crate) fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.ring.close();
        }
    }
}

/// The pop end's side of the ready ring.
pub(crate) struct Outlet {
    ring: Consumer<Delivery>,
    shared: Arc<Shared>,
    finished: bool,
}

impl Outlet {
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Finished batches are delivered even from a closed loader.
    pub(crate) fn try_pop(&mut self) -> Result<Delivery, PopError> {
        let popped = self.ring.try_pop();
        match popped {
            Err(PopError::Closed) => self.finished = true,
            Err(PopError::Empty) if self.shared.is_closed() => return Err(PopError::Closed),
            _ => {}
        }
        popped
    }

    pub(crate) fn pop_blocking(&mut self) -> Result<Delivery, PopError> {
        self.wait_for(|bell, ticket| {
            bell.wait(ticket);
            true
        })
    }

    pub(crate) fn pop_timeout(&mut self, timeout: Duration) -> Result<Delivery, PopError> {
        let end = Instant::now() + timeout;
        self.wait_for(|bell, ticket| {
            let left = end.saturating_duration_since(Instant::now());
            !left.is_zero() && {
                bell.wait_timeout(ticket, left);
                true
            }
        })
    }

    fn wait_for(&mut self, wait: impl Fn(&Bell, longshore_core::bell::Ticket) -> bool) -> Result<Delivery, PopError> {
        let bell = self.shared.pop_bell.clone();
        loop {
            let ticket = bell.listen();
            match self.try_pop() {
                Err(PopError::Empty) => {
                    if !wait(&bell, ticket) {
                        return Err(PopError::Empty);
                    }
                }
                popped => return popped,
            }
        }
    }
}

/// A running loader. Dropping it closes it and waits for its threads.
#[derive(Debug)]
pub(crate) struct Runtime {
    shared: Arc<Shared>,
    fields: Arc<[Field]>,
    threads: Vec<JoinHandle<()>>,
    own_stores: Option<Arc<Stores>>,
}

/// Everything of a loader but its threads.
pub(crate) struct Wired {
    pub(crate) shared: Arc<Shared>,
    pub(crate) fields: Arc<[Field]>,
    pub(crate) intake: Intake,
    pub(crate) outlet: Outlet,
    pub(crate) started: Started,
}

impl Wired {
    /// Connects the parts of a loader.
    pub(crate) fn new(builder: &Builder) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new(crate::start::budget(builder)?));
        let fields: Arc<[Field]> = builder.fields.clone().into();
        let lookahead = builder.lookahead_samples();
        let (samples_in, samples_out) = ring(lookahead + CONTROL_ROOM, shared.prefetch_bell.clone(), shared.push_bell.clone());
        let (ready_in, ready_out) = ring(READY_ROOM, shared.pop_bell.clone(), shared.engine_bell.clone());
        let started = crate::start::build(builder, &shared, &fields, samples_out, ready_in)?;
        let intake = Intake { ring: samples_in, shared: shared.clone(), next: 0, lookahead: lookahead as u64, finished: false };
        let outlet = Outlet { ring: ready_out, shared: shared.clone(), finished: false };
        Ok(Self { shared, fields, intake, outlet, started })
    }
}

impl Runtime {
    pub(crate) fn start(builder: Builder) -> Result<(Self, Intake, Outlet), Error> {
        let Wired { shared, fields, intake, outlet, started } = Wired::new(&builder)?;
        let Started { prefetcher, engine, own_stores } = started;
        let mut runtime = Self { shared, fields, threads: Vec::new(), own_stores };
        // On an error `runtime` is dropped here: it closes, and joins what has been started.
        runtime.spawn("longshore-prefetch", move || Prefetcher::new(prefetcher).run())?;
        let pin = builder.pin_engine;
        runtime.spawn("longshore-engine", move || {
            if let Some(core) = pin {
                crate::start::pin_to(core);
            }
            Engine::new(engine).run();
        })?;
        Ok((runtime, intake, outlet))
    }

    /// Runs a thread; if it breaks, the loader closes instead of hanging.
    fn spawn(&mut self, name: &'static str, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let guard = CloseOnPanic(self.shared.clone());
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            let _guard = guard;
            tracing::debug_span!("longshore", thread = name).in_scope(body);
        });
        let thread = thread.map_err(|error| Error::Internal(format!("the thread {name} could not be started: {error}")))?;
        self.threads.push(thread);
        Ok(())
    }

    pub(crate) fn close(&self) {
        self.shared.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.shared.counters.snapshot(&self.shared.budget)
    }

    pub(crate) fn record_wait(&self, wait: Duration, delivery: &Delivery) {
        if !matches!(delivery, Delivery::Mark) {
            self.shared.counters.pop_wait.record(wait);
        }
    }

    /// Checks a sample against the loader's fields and puts its fields into the loader's order.
    pub(crate) fn check(&self, mut sample: Sample) -> Result<Sample, PushError> {
        match self.arrange(&mut sample) {
            Ok(()) => Ok(sample),
            Err(reason) => Err(PushError::Invalid { sample, reason }),
        }
    }

    fn arrange(&self, sample: &mut Sample) -> Result<(), String> {
        let fields = &mut sample.fields;
        if fields.len() != self.fields.len() {
            return Err(format!("the sample has {} fields, the loader has {}", fields.len(), self.fields.len()));
        }
        for (i, field) in self.fields.iter().enumerate() {
            let unnamed = self.fields.len() == 1 && (fields[0].name.is_empty() || field.name.is_empty());
            if !unnamed && fields[i].name != field.name {
                let at = fields.iter().position(|request| request.name == field.name);
                let at = at.filter(|&at| at > i).ok_or_else(|| format!("the sample has no field {:?}", field.name))?;
                fields.swap(i, at);
            }
            field.check_box(&fields[i].crop_box)?;
        }
        Ok(())
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.shared.close();
        for thread in self.threads.drain(..) {
            // A panic was reported by the thread's own hook, and closed the loader; there is nothing to add.
            let _ = thread.join();
        }
        if let Some(stores) = &self.own_stores {
            stores.close();
        }
    }
}

/// A thread that panics closes its loader instead of leaving others waiting.
pub(crate) struct CloseOnPanic(pub(crate) Arc<Shared>);

impl Drop for CloseOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a thread of the loader broke: the loader closes");
            self.0.close();
        }
    }
}
