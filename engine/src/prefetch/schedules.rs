//! The prefetcher under random schedules (`shuttle-tests/run.sh`): its thread, a user, an engine, and a store that answers
//! from threads of its own, in any order, sometimes with a fault.
//!
//! - `store.rs`: the arrays, what each sample must come to, the store.
//! - `threads.rs`: user and engine, and the judgement of each batch.
//!
//! A lost wake-up shows as a deadlock. Everything is given back at the end: the budget says so.

mod store;
mod threads;

use std::sync::Arc;

use longshore_core::cache::cache;
use longshore_core::epoch::Epoch;
use longshore_core::gate::gate_table;
use longshore_core::inbox::Mailbox;
use longshore_core::ring::ring;
use longshore_core::watermark::Watermark;
use shuttle::thread;
use shuttle_tests::{explore, mark, pick, toss};

use super::fetch::Fetcher;
use super::{Batches, Cache, Prefetcher, PrefetcherParts};
use crate::config::Field;
use crate::memory::{Budget, Purpose};
use crate::runtime::Shared;
use crate::store::{Scheme, Stores};
use store::{Answerer, FakeStore};
use threads::{Engine, User};

/// Store threads.
const ANSWERERS: usize = 2;

/// How one execution is drawn.
#[derive(Clone, Copy)]
struct Draw {
    fields: usize,
    /// Slots of each cache.
    slots: usize,
    gates: usize,
    /// One answer in so many is a fault, until the drain.
    faults: Option<usize>,
    may_close: bool,
}

/// One execution: everything is built, runs to its end or is closed at some moment, and is gone.
fn one_loader(draw: Draw) {
    let budget = Budget::new(1 << 20);
    let shared = Arc::new(Shared::new(budget.clone()));
    let probes = toss(2);
    let (store, answerers) = FakeStore::new(ANSWERERS, draw.faults);
    let scheme = Scheme::Memory(store::NAME.into());
    let stores = Arc::new(Stores::of(scheme, store.clone()));
    let (epoch, watermark) = (Epoch::new(), Arc::new(Watermark::new()));
    let (gates, asker) = gate_table(draw.gates);
    let (samples_in, samples_out) = ring(3, shared.prefetch_bell.clone(), shared.push_bell.clone());
    let tickets = Arc::new(Mailbox::new(shared.engine_bell.clone()));
    let bell = || shared.prefetch_bell.clone();
    let (arrays, array_reader) = cache(draw.slots, &epoch, watermark.clone(), bell());
    let (shards, shard_reader) = cache(draw.slots, &epoch, watermark.clone(), bell());
    let (layouts, layout_reader) = cache(draw.slots, &epoch, watermark.clone(), bell());
    let parts = PrefetcherParts {
        shared: shared.clone(),
        pushed: samples_out,
        engine: tickets.clone(),
        watermark: watermark.clone(),
        batches: Batches::new(gates, threads::BATCH),
        fetcher: Fetcher { stores, budget: budget.clone() },
        fields: (0..draw.fields).map(|_| Field::new("", [store::CROP])).collect(),
        arrays: Cache { owner: arrays, reader: array_reader },
        shards: Cache { owner: shards, reader: shard_reader.clone() },
        layouts: Cache { owner: layouts, reader: layout_reader },
        epoch: epoch.clone(),
        needs_layouts: probes,
        _tables: budget.reserve(Purpose::Metadata, 1).expect("an empty budget"),
    };
    let prefetcher = thread::spawn(move || Prefetcher::new(parts).run());
    let answerers: Vec<_> = answerers.into_iter().map(|answerer: Answerer| thread::spawn(move || answerer.run())).collect();
    let user = User::new(shared.clone(), samples_in, store.clone(), draw.fields);
    let engine = Engine::new(shared.clone(), tickets, asker, shard_reader, epoch, watermark, store.clone(), probes);
    let engine = thread::spawn(move || engine.run());
    let user = thread::spawn(move || user.run());
    if draw.may_close && toss(2) {
        (0..pick(200)).for_each(|_| thread::yield_now());
        mark("closed early");
        shared.close();
    }
    let pushed = user.join().expect("the user");
    let delivered = engine.join().expect("the engine");
    assert!(delivered <= pushed);
    if !draw.may_close {
        assert_eq!(delivered, pushed, "C19: every sample is in a batch");
    }
    shared.close();
    prefetcher.join().expect("C26: the prefetcher ends");
    store.stop();
    answerers.into_iter().for_each(|answerer| answerer.join().expect("the store's threads"));
    if draw.slots > 8 && draw.faults.is_none() {
        assert!(store.most_fetches() <= 1, "C05: one object, two fetches");
    }
    drop(shared);
    assert_eq!(budget.used(), 0, "C26: something is left in the budget");
}

const MARKS: [&str; 8] = [
    "drained",
    "failed: admission",
    "failed: array metadata",
    "failed: chunk layout",
    "failed: plan",
    "failed: shard index",
    "missing shard",
    "resolved",
];

/// C05, C14, C16, C19, C20, C22, C25: with room for everything, each object is fetched once.
#[test]
fn c05_prefetcher_with_room() {
    let marks: Vec<_> = MARKS.into_iter().filter(|mark| *mark != "failed: admission").collect();
    explore(&marks, || one_loader(Draw { fields: 1, slots: 64, gates: 8, faults: None, may_close: false }));
}

/// C12, C13: caches of one slot and one gate; samples of two fields wait at their cursors or fetch for themselves.
#[test]
fn c12_prefetcher_without_room() {
    let marks: Vec<_> = MARKS.into_iter().filter(|mark| *mark != "failed: admission").chain(["went alone"]).collect();
    explore(&marks, || one_loader(Draw { fields: 2, slots: 1, gates: 1 + pick(2), faults: None, may_close: false }));
}

/// C06, C38: answers that fail, are cancelled or never come; after a drain the same samples resolve.
#[test]
fn c38_prefetcher_with_faults() {
    let draw = || Draw { fields: 1 + pick(2), slots: 1 + pick(3), gates: 2, faults: Some(4), may_close: false };
    explore(&[&MARKS[..], &["fault passed on", "went alone"]].concat(), move || one_loader(draw()));
}

/// C07, C26: closed at any moment, with fetches in flight and samples on their way.
#[test]
fn c26_prefetcher_closed_at_any_moment() {
    let draw = || Draw { fields: 1 + pick(2), slots: 1 + pick(3), gates: 2, faults: Some(8), may_close: true };
    let more = ["closed early", "fault passed on", "late answer", "refused", "went alone"];
    explore(&[&MARKS[..], &more].concat(), move || one_loader(draw()));
}
