//! Completers, readers, planner.

use super::owner::batch_id;
use super::{BATCHES, Fault, Job, Seen, World};
use longshore_core::cache::CacheReader;
use shuttle::sync::mpsc::Receiver;
use shuttle::thread;
use shuttle_tests::{Tracked, pick, toss};

/// Looks and pins of one reader.
const LOOKS: usize = 10;

/// Ends fetches, in an order of its own: each with a value, an error, or not at all.
pub(super) struct Completer {
    world: World,
    jobs: Receiver<Job>,
}

impl Completer {
    pub(super) fn new(world: World, jobs: Receiver<Job>) -> Self {
        Self { world, jobs }
    }

    pub(super) fn run(self) {
        let mut waiting: Vec<Job> = Vec::new();
        while let Some(job) = self.jobs.try_recv().ok().or_else(|| waiting.is_empty().then(|| self.jobs.recv().ok()).flatten()) {
            waiting.push(job);
            while !waiting.is_empty() && toss(2) {
                self.end(waiting.swap_remove(pick(waiting.len())));
            }
            if !waiting.is_empty() {
                thread::yield_now();
                self.end(waiting.swap_remove(pick(waiting.len())));
            }
        }
    }

    fn end(&self, Job { entry, completion }: Job) {
        let (oracle, number) = (&self.world.oracle, entry as u64);
        match pick(4) {
            0 => oracle.publishing(entry, Seen::Failed(Fault::Code(number)), || completion.fail(Fault::Code(number))),
            1 => oracle.publishing(entry, Seen::Failed(Fault::Cancelled), || drop(completion)),
            _ => {
                let value = self.world.ledger.value(number);
                oracle.publishing(entry, Seen::Ready(number), || completion.complete(value));
            }
        }
    }
}

/// Looks at handles old and new, holds what it finds, and pins.
pub(super) struct Reader {
    world: World,
    cache: CacheReader<Tracked, Fault>,
}

impl Reader {
    pub(super) fn new(world: World, cache: CacheReader<Tracked, Fault>) -> Self {
        Self { world, cache }
    }

    pub(super) fn run(self) {
        let thread = self.world.epoch.register();
        let mut mark_before = 0;
        for _ in 0..LOOKS {
            let known = self.world.oracle.count();
            if known == 0 {
                thread::yield_now();
                continue;
            }
            // Mostly the newest: the old are stale for ever.
            let entry = known - 1 - pick(known.min(3));
            let hold = || (0..pick(4)).for_each(|_| thread::yield_now());
            match pick(3) {
                0 => self.world.oracle.pin(&self.cache, entry, pick(BATCHES as usize) as u64),
                _ => _ = self.world.oracle.look(&self.cache, &thread, entry, hold),
            }
            let (from, _) = self.world.oracle.marks();
            let mark = self.world.watermark.get().get();
            let (_, to) = self.world.oracle.marks();
            assert!(from.max(mark_before) <= mark && mark <= to, "C10: the watermark is {mark}");
            mark_before = mark;
        }
    }
}

/// Moves the watermark to its end and rings, so that who was refused for want of room asks again.
pub(super) struct Planner {
    world: World,
}

impl Planner {
    pub(super) fn new(world: World) -> Self {
        Self { world }
    }

    pub(super) fn run(self) {
        let mut mark = 0;
        while mark < BATCHES {
            (0..pick(6)).for_each(|_| thread::yield_now());
            mark = (mark + 1 + pick(2) as u64).min(BATCHES);
            self.world.oracle.advancing(mark, || {
                if self.world.watermark.advance_to(batch_id(mark)) {
                    self.world.bell.ring();
                }
            });
        }
        // A repeated advance, and a lower one, change nothing.
        assert!(!self.world.watermark.advance_to(batch_id(pick(BATCHES as usize + 1) as u64)));
    }
}
