//! The cache against a plain model, on sequences of operations.

use super::*;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// A key, and how far above the watermark the batch is.
    Request(u64, u64),
    Complete(usize),
    Fail(usize),
    Cancel(usize),
    Drain,
    Advance(u64),
    Pin(usize, u64),
    Forget(usize),
    Collect,
}

fn op(keys: u64, orderly: bool) -> impl Strategy<Value = Op> {
    let rest = if orderly { 0 } else { 1 };
    prop_oneof![
        8 => (0..keys, 0..6_u64).prop_map(|(key, ahead)| Op::Request(key, ahead)),
        3 * rest + 1 => any::<usize>().prop_map(Op::Complete),
        rest + 1 => any::<usize>().prop_map(Op::Fail),
        rest + 1 => any::<usize>().prop_map(Op::Cancel),
        2 => Just(Op::Drain),
        2 => prop_oneof![9 => 0..3_u64, 1 => 0..40_u64].prop_map(Op::Advance),
        rest => (any::<usize>(), 0..9_u64).prop_map(|(entry, ahead)| Op::Pin(entry, ahead)),
        rest + 1 => any::<usize>().prop_map(Op::Forget),
        1 => Just(Op::Collect),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Loading,
    Completed,
    Settled,
    Gone,
}

struct Entry {
    key: u64,
    handle: Handle,
    last: u64,
    stage: Stage,
    forgotten: bool,
    seen: Seen,
    waiters: Vec<u32>,
    completion: Option<Completion<Tracked, Fault>>,
}

struct Model {
    rig: Rig,
    capacity: usize,
    mark: u64,
    entries: Vec<Entry>,
    /// Entries in the order of completion, not drained.
    completed: Vec<usize>,
    next: u32,
    values: usize,
    /// Fetches end at once, so that the order of eviction is exact.
    orderly: bool,
}

impl Model {
    fn new(config: CacheConfig, hash: fn(u64) -> u64, orderly: bool) -> Self {
        let mut rig = Rig::with(config);
        rig.hash = hash;
        Self { rig, capacity: config.capacity, mark: 0, entries: Vec::new(), completed: Vec::new(), next: 0, values: 0, orderly }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Request(key, ahead) => self.request(key, self.mark + ahead),
            Op::Complete(which) => self.end(which, |model, number, completion| {
                model.values += 1;
                completion.complete(model.rig.value(number));
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
                self.mark += by;
                self.rig.watermark.advance_to(B(self.mark));
            }
            Op::Pin(which, ahead) => {
                if let Some(index) = pick(self.entries.len(), which) {
                    let (entry, batch) = (&mut self.entries[index], self.mark + ahead);
                    let alive = entry.stage != Stage::Gone;
                    assert_eq!(self.rig.reader.pin(entry.handle, B(batch)), alive);
                    entry.last = entry.last.max(batch);
                }
            }
            Op::Forget(which) => {
                if let Some(index) = pick(self.entries.len(), which) {
                    let entry = &mut self.entries[index];
                    self.rig.owner.forget(entry.handle);
                    entry.forgotten = true;
                    if entry.stage == Stage::Settled {
                        (entry.stage, entry.seen) = (Stage::Gone, Seen::Stale);
                    }
                }
            }
            Op::Collect => self.rig.owner.collect(),
        }
    }

    fn request(&mut self, key: u64, batch: u64) {
        let waiter = self.next;
        self.next += 1;
        let found = self.entries.iter_mut().find(|e| e.key == key && e.stage != Stage::Gone && !e.forgotten);
        let answer = self.rig.owner.request((self.rig.hash)(key), &key, B(batch), WaiterId(waiter));
        if let Some(entry) = found {
            entry.last = entry.last.max(batch);
            match (answer, entry.seen) {
                (Request::Ready(h), Seen::Ready(_)) | (Request::Failed(h), Seen::Failed(_)) => {
                    assert_eq!(h, entry.handle);
                }
                (Request::Pending(h), Seen::Pending) => {
                    assert_eq!(h, entry.handle);
                    entry.waiters.push(waiter);
                }
                (answer, seen) => panic!("key {key}: {answer:?} of what is {seen:?}"),
            }
            return;
        }
        let live = self.entries.iter().filter(|e| e.stage != Stage::Gone).count();
        let evictable = |e: &Entry| e.stage == Stage::Settled && e.last < self.mark;
        // C11: no request fails while a free or evictable slot exists; and C08: none succeeds without.
        let room = live < self.capacity || self.entries.iter().any(evictable);
        let Request::Fetch(handle, completion) = answer else {
            assert!(!room && matches!(answer, Request::Saturated), "key {key}: {answer:?} with {live} live");
            return;
        };
        assert!(room, "key {key} took a slot that nobody may lose");
        if live == self.capacity {
            self.evict();
        }
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
        if self.orderly {
            self.apply(Op::Complete(0));
            self.drain();
        }
    }

    /// The cache evicted one entry: finds which, and whether it might.
    fn evict(&mut self) {
        let oldest = self.entries.iter().filter(|e| e.stage == Stage::Settled).map(|e| e.last).min();
        let rig = &self.rig;
        let mut gone = self.entries.iter_mut().filter(|e| e.stage != Stage::Gone && rig.see(e.handle) == Seen::Stale);
        let entry = gone.next().expect("one entry made room");
        assert!(entry.stage == Stage::Settled && entry.last < self.mark, "key {} was in use", entry.key);
        assert!(!self.orderly || Some(entry.last) == oldest, "an older entry was left");
        (entry.stage, entry.seen) = (Stage::Gone, Seen::Stale);
        assert!(gone.next().is_none(), "one was enough");
    }

    fn end(&mut self, which: usize, end: impl FnOnce(&mut Self, u64, Completion<Tracked, Fault>) -> Seen) {
        let loading: Vec<usize> = (0..self.entries.len()).filter(|i| self.entries[*i].completion.is_some()).collect();
        let Some(which) = pick(loading.len(), which) else { return };
        let index = loading[which];
        let completion = self.entries[index].completion.take().expect("just filtered");
        let seen = end(self, index as u64, completion);
        (self.entries[index].seen, self.entries[index].stage) = (seen, Stage::Completed);
        self.completed.push(index);
    }

    fn drain(&mut self) {
        let mut expected = Vec::new();
        for index in self.completed.drain(..) {
            let entry = &mut self.entries[index];
            expected.extend(entry.waiters.drain(..).map(|waiter| (entry.handle, waiter)));
            entry.stage = Stage::Settled;
            if entry.forgotten {
                (entry.stage, entry.seen) = (Stage::Gone, Seen::Stale);
            }
        }
        assert_eq!(self.rig.drain(), expected);
    }

    /// Every handle ever given out yields what it should.
    fn check(&self) {
        for entry in &self.entries {
            assert_eq!(self.rig.see(entry.handle), entry.seen, "key {}", entry.key);
        }
        let live = self.entries.iter().filter(|e| e.stage != Stage::Gone).count();
        assert_eq!(self.rig.owner.stats().entries, live);
    }

    /// Everything is destroyed once.
    fn end_all(self) {
        let Rig { owner, reader, thread, epoch, dropped, .. } = self.rig;
        drop(owner);
        drop(self.entries); // completions that come too late
        drop((reader, thread, epoch));
        assert_eq!(dropped.load(Ordering::Relaxed), self.values);
    }
}

fn pick(of: usize, which: usize) -> Option<usize> {
    which.checked_rem(of)
}

fn run(config: CacheConfig, hash: fn(u64) -> u64, orderly: bool, ops: Vec<Op>) {
    let mut model = Model::new(config, hash, orderly);
    for op in ops {
        model.apply(op);
        model.check();
    }
    model.end_all();
}

fn fixed(seed: u64) -> ProptestConfig {
    ProptestConfig { cases: 200, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Default::default() }
}

fn config(capacity: usize, wheel: usize) -> CacheConfig {
    CacheConfig { wheel, ..CacheConfig::new(capacity) }
}

proptest! {
    #![proptest_config(fixed(1))]

    #[test]
    fn c01_c02_c08_the_cache_is_the_model(
        capacity in 1..9_usize,
        wheel in 1..9_usize,
        ops in prop::collection::vec(op(12, false), 1..300),
    ) {
        run(config(capacity, wheel), spread, false, ops);
    }

    #[test]
    fn c11_any_load_factor_with_hashes_that_collide(
        capacity in 1..17_usize,
        hash in 0..4_usize,
        ops in prop::collection::vec(op(24, false), 1..300),
    ) {
        // All alike; alike in the table's tags; alike in ours; alike in the position.
        let hash: fn(u64) -> u64 = [|_| 0, |k| k, |k| k << 57 | k & 1, |k| k << 24][hash];
        run(config(capacity, 4), hash, false, ops);
    }

    #[test]
    fn c08_the_order_of_eviction_is_that_of_the_newest_batch(
        capacity in 1..9_usize,
        wheel in 1..9_usize,
        ops in prop::collection::vec(op(16, true), 1..300),
    ) {
        run(config(capacity, wheel), spread, true, ops);
    }

    #[test]
    fn requests_in_bulk_answer_as_one_by_one(
        capacity in 1..40_usize,
        rounds in prop::collection::vec((prop::collection::vec(0..30_u64, 0..40), 0..3_u64), 1..20),
        collide in any::<bool>(),
    ) {
        let hash: fn(u64) -> u64 = if collide { |k| k << 60 } else { spread };
        let (mut bulk, mut single) = (Rig::new(capacity), Rig::new(capacity));
        (bulk.hash, single.hash) = (hash, hash);
        let mut mark = 0;
        for (keys, ahead) in rounds {
            let asked: Vec<(u64, &u64)> = keys.iter().map(|key| (hash(*key), key)).collect();
            let mut answers = Vec::new();
            bulk.owner.request_many(&asked, B(mark + ahead), WaiterId(1), &mut answers);
            prop_assert_eq!(answers.len(), keys.len());
            let expected: Vec<_> = keys.iter().map(|key| single.request(*key, mark + ahead, 1)).collect();
            for ((answer, expected), key) in answers.into_iter().zip(expected).zip(&keys) {
                prop_assert_eq!(format!("{answer:?}"), format!("{expected:?}"));
                if let (Request::Fetch(_, a), Request::Fetch(_, b)) = (answer, expected) {
                    let value = bulk.value(*key);
                    a.complete(value);
                    let value = single.value(*key);
                    b.complete(value);
                }
            }
            prop_assert_eq!(bulk.drain(), single.drain());
            prop_assert_eq!(bulk.owner.stats(), single.owner.stats());
            mark += 1;
            bulk.watermark.advance_to(B(mark));
            single.watermark.advance_to(B(mark));
        }
    }
}
