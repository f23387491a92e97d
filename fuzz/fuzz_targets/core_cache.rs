//! The prefetch cache against a plain model (C01 to C08, C11): request one key or many, complete, fail, drop, drain, forget,
//! advance, pin, values that are held under a guard meanwhile, generations that wear out, hashes that collide; and then the owner
//! goes, with fetches out and a value held. Run under AddressSanitizer, so that a value destroyed early shows.
#![no_main]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use longshore_core::bell::Bell;
use longshore_core::cache::{CacheConfig, CacheOwner, CacheReader, Cancelled, Completion, Handle, Lookup, Request, WaiterId, cache_with};
use longshore_core::epoch::{Epoch, EpochThread};
use longshore_core::ordinal::BatchId;
use longshore_core::slot::MAX_GENERATION;
use longshore_core::watermark::Watermark;

/// Guards that may be held at once.
const GUARDS: usize = 3;

#[derive(Arbitrary, Debug)]
enum Op {
    /// A key, and how far above the watermark the batch is.
    Request(u8, u8),
    /// Several keys at once.
    RequestMany([u8; 6], u8),
    Complete(u8),
    Fail(u8),
    Cancel(u8),
    Drain,
    Advance(u8),
    Pin(u8, u8),
    Forget(u8),
    Collect,
    /// Holds the value of a handle under a guard during so many operations.
    Hold(u8, u8),
}

#[derive(Arbitrary, Debug)]
struct Input {
    capacity: u8,
    wheel: u8,
    /// Few generations, so that slots wear out; from 128 on, as many as there are.
    last_generation: u8,
    hash: u8,
    /// Held under a guard while the owner goes.
    held_at_the_end: u8,
    ops: Vec<Op>,
}

/// A value that counts its destruction, and says that it is dead.
struct Value {
    number: u64,
    dropped: Arc<AtomicU64>,
}

impl Drop for Value {
    fn drop(&mut self) {
        self.number = u64::MAX;
        // Relaxed: one thread.
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Pending,
    Ready(u64),
    Failed(Fault),
    Stale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Loading,
    Completed,
    Settled,
    Gone,
}

struct Entry {
    key: u8,
    handle: Handle,
    last: u64,
    stage: Stage,
    forgotten: bool,
    seen: Seen,
    waiters: Vec<u32>,
    completion: Option<Completion<Value, Fault>>,
}

struct Model {
    owner: CacheOwner<u8, Value, Fault>,
    reader: CacheReader<Value, Fault>,
    watermark: Arc<Watermark>,
    thread: EpochThread,
    dropped: Arc<AtomicU64>,
    hash: fn(u8) -> u64,
    /// Every handle ever given out.
    handles: HashSet<Handle>,
    mark: u64,
    entries: Vec<Entry>,
    /// Entries in the order of completion, not drained.
    completed: Vec<usize>,
    next_waiter: u32,
    values: u64,
}

fuzz_target!(|input: Input| {
    let capacity = usize::from(input.capacity % 8) + 1;
    let config = CacheConfig {
        wheel: usize::from(input.wheel % 8) + 1,
        last_generation: if input.last_generation < 128 { u32::from(input.last_generation % 8) } else { MAX_GENERATION },
        ..CacheConfig::new(capacity)
    };
    // All alike; alike in the table's tags; alike in ours; spread.
    let hashes: [fn(u8) -> u64; 4] =
        [|_| 0, |key| key.into(), |key| u64::from(key) << 57, |key| u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15)];
    let (epoch, watermark) = (Epoch::new(), Arc::new(Watermark::new()));
    let (owner, reader) = cache_with(config, &epoch, watermark.clone(), Arc::new(Bell::new()));
    let mut model = Model {
        owner,
        reader,
        watermark,
        thread: epoch.register(),
        dropped: Arc::default(),
        hash: hashes[usize::from(input.hash % 4)],
        handles: HashSet::new(),
        mark: 0,
        entries: Vec::new(),
        completed: Vec::new(),
        next_waiter: 0,
        values: 0,
    };
    let threads: Vec<EpochThread> = (0..GUARDS).map(|_| epoch.register()).collect();
    model.run(&threads, &mut input.ops.into_iter(), usize::MAX);
    let (dropped, values) = model.close(&threads[0], input.held_at_the_end);
    drop((threads, epoch));
    assert_eq!(dropped.load(Ordering::Relaxed), values, "everything is destroyed once");
});

impl Model {
    /// At most `count` operations, with one guard less where one is held around them.
    fn run(&mut self, threads: &[EpochThread], ops: &mut std::vec::IntoIter<Op>, count: usize) {
        for _ in 0..count {
            let Some(op) = ops.next() else { return };
            match (op, threads.split_first()) {
                (Op::Hold(which, count), Some((thread, rest))) => self.hold(which, count, thread, rest, ops),
                (op, _) => self.apply(op),
            }
            self.check();
        }
    }

    fn hold(&mut self, which: u8, count: u8, thread: &EpochThread, rest: &[EpochThread], ops: &mut std::vec::IntoIter<Op>) {
        let Some(index) = pick(self.entries.len(), which) else { return };
        let (reader, guard) = (self.reader.clone(), thread.pin());
        let held = reader.get(self.entries[index].handle, &guard);
        let expected = seen(&held);
        assert_eq!(expected, self.entries[index].seen);
        self.run(rest, ops, count.into());
        assert_eq!(seen(&held), expected, "changed under a guard");
    }

    /// The owner goes, then the completions that are out, half of them with a value. Answers what counts destructions, and how
    /// many there must be in the end.
    fn close(mut self, thread: &EpochThread, which: u8) -> (Arc<AtomicU64>, u64) {
        let Self { owner, reader, .. } = self;
        let guard = thread.pin();
        let held = pick(self.entries.len(), which).map(|index| (index, reader.get(self.entries[index].handle, &guard)));
        drop(owner);
        if let Some((index, held)) = &held {
            assert_eq!(seen(held), self.entries[*index].seen, "changed under a guard while the owner went");
        }
        for (number, entry) in self.entries.iter_mut().enumerate() {
            let Some(completion) = entry.completion.take() else { continue };
            if number % 2 == 0 {
                self.values += 1;
                completion.complete(Value { number: number as u64, dropped: self.dropped.clone() });
            }
        }
        for entry in &self.entries {
            assert_eq!(seen(&reader.get(entry.handle, &guard)), Seen::Stale, "the owner is gone");
            assert!(!reader.pin(entry.handle, BatchId::new(self.mark)), "the owner is gone");
        }
        (self.dropped, self.values)
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Request(key, ahead) => self.request(key % 16, self.mark + u64::from(ahead % 8)),
            Op::RequestMany(keys, ahead) => self.request_many(keys.map(|key| key % 16), self.mark + u64::from(ahead % 8)),
            Op::Complete(which) => self.end(which, |model, number, completion| {
                model.values += 1;
                completion.complete(Value { number, dropped: model.dropped.clone() });
                Seen::Ready(number)
            }),
            Op::Fail(which) => self.end(which, |_, number, completion| {
                completion.fail(Fault::Code(number));
                Seen::Failed(Fault::Code(number))
            }),
            Op::Cancel(which) => self.end(which, |_, _, completion| {
                drop(completion);
                Seen::Failed(Fault::Cancelled)
            }),
            Op::Drain => self.drain(),
            Op::Advance(by) => {
                self.mark += u64::from(by % 32);
                self.watermark.advance_to(BatchId::new(self.mark));
            }
            Op::Pin(which, ahead) => {
                if let Some(index) = pick(self.entries.len(), which) {
                    let (entry, batch) = (&mut self.entries[index], self.mark + u64::from(ahead % 8));
                    assert_eq!(self.reader.pin(entry.handle, BatchId::new(batch)), entry.stage != Stage::Gone);
                    entry.last = entry.last.max(batch);
                }
            }
            Op::Forget(which) => {
                if let Some(index) = pick(self.entries.len(), which) {
                    self.owner.forget(self.entries[index].handle);
                    self.entries[index].forgotten = true;
                    if self.entries[index].stage == Stage::Settled {
                        self.bury(index);
                    }
                }
            }
            Op::Collect => self.owner.collect(),
            Op::Hold(..) => {}
        }
    }

    fn request(&mut self, key: u8, batch: u64) {
        let waiter = self.waiter();
        let may = self.live() < self.room() || self.any_evictable();
        let answer = self.owner.request((self.hash)(key), &key, BatchId::new(batch), WaiterId(waiter));
        assert!(may || !matches!(answer, Request::Fetch(..)), "key {key} took a slot that nobody may lose");
        self.judge(key, answer, batch, waiter);
    }

    /// Answers as to one request after the other. Nothing that one of them pins can be evicted by a later one, since the batch
    /// is not below the mark; so judging them afterwards is as good.
    fn request_many(&mut self, keys: [u8; 6], batch: u64) {
        let waiter = self.waiter();
        let hashed: Vec<(u64, &u8)> = keys.iter().map(|key| ((self.hash)(*key), key)).collect();
        let mut answers = Vec::new();
        self.owner.request_many(&hashed, BatchId::new(batch), WaiterId(waiter), &mut answers);
        assert_eq!(answers.len(), keys.len());
        for (key, answer) in keys.into_iter().zip(answers) {
            self.judge(key, answer, batch, waiter);
        }
    }

    fn waiter(&mut self) -> u32 {
        self.next_waiter += 1;
        self.next_waiter - 1
    }

    fn judge(&mut self, key: u8, answer: Request<Value, Fault>, batch: u64, waiter: u32) {
        // What was evicted before this key was asked for may have been its own entry.
        self.bury_evicted();
        let found = self.entries.iter().position(|e| e.key == key && e.stage != Stage::Gone && !e.forgotten);
        if let Some(index) = found {
            return self.check_hit(index, answer, batch, waiter);
        }
        let Request::Fetch(handle, completion) = answer else {
            assert!(matches!(answer, Request::Saturated), "key {key} is new: {answer:?}");
            assert!(self.live() == self.room() && !self.any_evictable(), "key {key} was refused, and there was room");
            return;
        };
        assert!(self.handles.insert(handle), "{handle:?} was given out before");
        self.entries.push(Entry {
            key,
            handle,
            last: batch,
            stage: Stage::Loading,
            forgotten: false,
            seen: Seen::Pending,
            waiters: vec![waiter],
            completion: Some(completion),
        });
    }

    fn check_hit(&mut self, index: usize, answer: Request<Value, Fault>, batch: u64, waiter: u32) {
        let entry = &mut self.entries[index];
        entry.last = entry.last.max(batch);
        match (answer, entry.seen) {
            (Request::Ready(handle), Seen::Ready(_)) | (Request::Failed(handle), Seen::Failed(_)) => assert_eq!(handle, entry.handle),
            (Request::Pending(handle), Seen::Pending) => {
                assert_eq!(handle, entry.handle);
                entry.waiters.push(waiter);
            }
            (answer, seen) => panic!("key {}: {answer:?} of what is {seen:?}", entry.key),
        }
    }

    /// Finds what a request evicted, and whether it might.
    fn bury_evicted(&mut self) {
        for index in 0..self.entries.len() {
            if self.entries[index].stage != Stage::Gone && self.see(index) == Seen::Stale {
                let entry = &self.entries[index];
                assert!(entry.stage == Stage::Settled && entry.last < self.mark, "key {} was in use", entry.key);
                self.bury(index);
            }
        }
    }

    fn bury(&mut self, index: usize) {
        (self.entries[index].stage, self.entries[index].seen) = (Stage::Gone, Seen::Stale);
    }

    fn end(&mut self, which: u8, end: impl FnOnce(&mut Self, u64, Completion<Value, Fault>) -> Seen) {
        let loading: Vec<usize> = (0..self.entries.len()).filter(|&i| self.entries[i].completion.is_some()).collect();
        let Some(index) = pick(loading.len(), which).map(|which| loading[which]) else { return };
        let completion = self.entries[index].completion.take().expect("just filtered");
        let seen = end(self, index as u64, completion);
        (self.entries[index].seen, self.entries[index].stage) = (seen, Stage::Completed);
        self.completed.push(index);
    }

    fn drain(&mut self) {
        let mut expected = Vec::new();
        for index in std::mem::take(&mut self.completed) {
            let entry = &mut self.entries[index];
            expected.extend(entry.waiters.drain(..).map(|waiter| (entry.handle, waiter)));
            entry.stage = Stage::Settled;
            if entry.forgotten {
                self.bury(index);
            }
        }
        let mut told = Vec::new();
        self.owner.drain_completed(|handle, waiter| told.push((handle, waiter.0)));
        assert_eq!(told, expected);
    }

    fn live(&self) -> usize {
        self.entries.iter().filter(|e| e.stage != Stage::Gone).count()
    }

    /// Slots that are not worn.
    fn room(&self) -> usize {
        let stats = self.owner.stats();
        stats.capacity - stats.worn
    }

    fn any_evictable(&self) -> bool {
        self.entries.iter().any(|e| e.stage == Stage::Settled && e.last < self.mark)
    }

    fn see(&self, index: usize) -> Seen {
        seen(&self.reader.get(self.entries[index].handle, &self.thread.pin()))
    }

    /// Every handle ever given out yields what it should.
    fn check(&self) {
        for index in 0..self.entries.len() {
            assert_eq!(self.see(index), self.entries[index].seen, "key {}", self.entries[index].key);
        }
        assert_eq!(self.owner.stats().entries, self.live());
    }
}

fn seen(lookup: &Lookup<'_, Value, Fault>) -> Seen {
    match lookup {
        Lookup::Pending => Seen::Pending,
        Lookup::Ready(value) => Seen::Ready(value.number),
        Lookup::Failed(fault) => Seen::Failed(**fault),
        Lookup::Stale => Seen::Stale,
    }
}

fn pick(of: usize, which: u8) -> Option<usize> {
    usize::from(which).checked_rem(of)
}
