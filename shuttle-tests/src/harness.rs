//! Schedules, chances, marks, and values whose destruction is counted.
//!
//! All threads of an execution run in turn on the thread of their test. So what is the test's own, and no part of what is
//! tried, lies in `std`'s cells: shuttle does not see it and switches nowhere inside.

use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Schedules per test and scheduler, unless `SHUTTLE_ITERATIONS` says otherwise.
const ITERATIONS: usize = 1_000;

/// Fewer than this need not have seen every mark.
const ENOUGH: usize = 500;

/// Preemptions that the second scheduler places: most bugs need no more.
const PCT_DEPTH: usize = 3;

/// Where schedules begin, unless `SHUTTLE_RANDOM_SEED` says otherwise (shuttle reads that itself).
const SEED: u64 = 0x10_4965_0e5e;

/// Steps after which a thread that gets nowhere is taken for a spin.
const MAX_STEPS: usize = 200_000;

std::thread_local! {
    static MARKS: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
}

/// Runs `test` under random schedules and under PCT's, and demands that each mark of `expected` was reached and no other.
///
/// A failure prints its schedule. To run that one again, give it as `SHUTTLE_REPLAY` (and, where it is longer than an
/// argument may be, its file as `SHUTTLE_REPLAY_FILE`) to the same test.
///
/// # Panics
/// If an execution does, hangs or spins, or if a mark is missing or unexpected.
pub fn explore(expected: &[&'static str], test: impl Fn() + Send + Sync + 'static) {
    let test = Arc::new(test);
    MARKS.take();
    if let Some(schedule) = replayed() {
        let mut scheduler = ReplayScheduler::new_from_encoded(&schedule);
        scheduler.set_allow_incomplete();
        run(scheduler, test);
        return;
    }
    let iterations = std::env::var("SHUTTLE_ITERATIONS").map_or(ITERATIONS, |n| n.parse().expect("SHUTTLE_ITERATIONS is a number"));
    run(RandomScheduler::new_from_seed(SEED, iterations), test.clone());
    run(PctScheduler::new_from_seed(SEED, PCT_DEPTH, iterations), test);
    let (seen, expected) = (MARKS.take(), BTreeSet::from_iter(expected.iter().copied()));
    assert!(seen.is_subset(&expected), "unexpected marks: {seen:?}");
    assert!(iterations < ENOUGH || seen == expected, "marks that no schedule reached: {:?}", &expected - &seen);
}

fn replayed() -> Option<String> {
    let file = || std::fs::read_to_string(std::env::var_os("SHUTTLE_REPLAY_FILE")?).ok();
    std::env::var("SHUTTLE_REPLAY").ok().or_else(file)
}

fn run(scheduler: impl Scheduler + 'static, test: Arc<impl Fn() + Send + Sync + 'static>) {
    let mut config = Config::new();
    config.max_steps = MaxSteps::FailAfter(MAX_STEPS);
    config.silence_warnings = true; // that orderings are not modelled is known
    Runner::new(scheduler, config).run(move || test());
}

/// Remembers that an execution came by here.
pub fn mark(what: &'static str) {
    MARKS.with_borrow_mut(|marks| marks.insert(what));
}

/// A number below `end`, drawn with the schedule: a replay draws it again.
pub fn pick(end: usize) -> usize {
    thread_rng().gen_range(0..end)
}

/// True once in `times`, likewise.
pub fn toss(times: usize) -> bool {
    pick(times) == 0
}

/// Counts the values made and destroyed.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<(AtomicUsize, AtomicUsize)>);

impl Ledger {
    /// A value that carries `number`.
    #[must_use]
    pub fn value(&self, number: u64) -> Tracked {
        // Relaxed, here and below: one thread runs at a time.
        self.0.0.fetch_add(1, Ordering::Relaxed);
        Tracked { number, dead: AtomicBool::new(false), ledger: self.clone() }
    }

    /// Values that are alive.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.0.0.load(Ordering::Relaxed) - self.0.1.load(Ordering::Relaxed)
    }
}

/// A value that knows when it is destroyed.
#[derive(Debug)]
pub struct Tracked {
    number: u64,
    dead: AtomicBool,
    ledger: Ledger,
}

impl Tracked {
    /// Its number.
    ///
    /// # Panics
    /// If it was destroyed.
    #[must_use]
    pub fn number(&self) -> u64 {
        assert!(!self.dead.load(Ordering::Relaxed), "value {} is read after its destruction", self.number);
        self.number
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let was_dead = self.dead.swap(true, Ordering::Relaxed);
        assert!(!was_dead, "value {} is destroyed twice", self.number);
        self.ledger.0.1.fetch_add(1, Ordering::Relaxed);
    }
}
