//! The whole cache: its owner, several readers, several completers and the planner that moves the watermark, each doing
//! what it draws; a plain model beside them says what each answer may be.
//!
//! - `oracle.rs`: what is known of every entry there ever was, and the judgement of each answer.
//! - `owner.rs`: requests, drains, forgets; single flight, waiters, eviction, room.
//! - `others.rs`: completers, readers, planner.

mod oracle;
mod others;
mod owner;

use longshore_core::bell::Bell;
use longshore_core::cache::{CacheConfig, Cancelled, Completion, cache_with};
use longshore_core::epoch::Epoch;
use longshore_core::watermark::Watermark;
use oracle::Oracle;
use others::{Completer, Planner, Reader};
use owner::Owner;
use shuttle::sync::mpsc::channel;
use shuttle::thread;
use shuttle_tests::{Ledger, Tracked, explore};
use std::sync::Arc;

/// The watermark's end: batches below are asked for.
const BATCHES: u64 = 6;
const READERS: usize = 2;
const COMPLETERS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Cancelled,
    Code(u64),
}

impl From<Cancelled> for Fault {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// What a handle yields, without the borrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Pending,
    Ready(u64),
    Failed(Fault),
    Stale,
}

/// A fetch on its way to a completer: the entry's number in the oracle's books.
struct Job {
    entry: usize,
    completion: Completion<Tracked, Fault>,
}

/// What all threads share.
#[derive(Clone)]
struct World {
    oracle: Arc<Oracle>,
    epoch: Epoch,
    watermark: Arc<Watermark>,
    bell: Arc<Bell>,
    ledger: Ledger,
}

/// One execution. Everything is destroyed at its end, once.
fn one_life(config: CacheConfig, operations: usize, hash: fn(u64) -> u64) {
    let (epoch, watermark, bell, ledger) = (Epoch::new(), Arc::new(Watermark::new()), Arc::new(Bell::new()), Ledger::default());
    let (owner, reader) = cache_with(config, &epoch, watermark.clone(), bell.clone());
    let world = World { oracle: Arc::default(), epoch, watermark, bell, ledger: ledger.clone() };
    let mut threads = Vec::new();
    let mut fetches = Vec::new();
    for _ in 0..COMPLETERS {
        let (jobs_in, jobs) = channel();
        let completer = Completer::new(world.clone(), jobs);
        threads.push(thread::spawn(move || completer.run()));
        fetches.push(jobs_in);
    }
    for _ in 0..READERS {
        let reading = Reader::new(world.clone(), reader.clone());
        threads.push(thread::spawn(move || reading.run()));
    }
    let planner = Planner::new(world.clone());
    threads.push(thread::spawn(move || planner.run()));
    Owner::new(world.clone(), owner, config, fetches, hash).run(operations);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    world.oracle.check_the_end(&reader, &world.epoch);
    drop((reader, world));
    assert_eq!(ledger.alive(), 0, "C03, C07: everything is destroyed");
}

fn spread(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

const MARKS: [&str; 14] = [
    "cancelled",
    "evicted",
    "failed",
    "forgotten while pending",
    "held over its end",
    "late completion",
    "pending",
    "pin refused",
    "ready",
    "room without an advance",
    "saturated",
    "shared a fetch",
    "slept",
    "stale",
];

/// C01, C02, C03, C05, C06, C07, C08, C09, C11, C22: nothing that any thread sees contradicts the model.
#[test]
fn cache_with_all_its_threads() {
    explore(&MARKS, || one_life(CacheConfig { wheel: 2, ..CacheConfig::new(2) }, 14, spread));
}

/// C11: likewise where every key has the same hash and there is more room.
#[test]
fn cache_with_colliding_hashes() {
    explore(&MARKS, || one_life(CacheConfig { wheel: 4, ..CacheConfig::new(3) }, 14, |_| 0));
}

/// C04: likewise where slots wear out after three lives.
#[test]
fn cache_with_slots_that_wear_out() {
    let config = CacheConfig { wheel: 2, last_generation: 2, ..CacheConfig::new(2) };
    explore(&[&MARKS[..], &["worn"]].concat(), move || one_life(config, 18, spread));
}
