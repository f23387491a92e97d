//! Deterministic simulation: prefetcher, planner, waves and workers on one thread, over a store whose time is virtual.
//!
//! One seed decides everything: arrays, what of them is broken, samples, sizes of caches and waves, latencies, and whose turn it is at
//! each step. The actors are the loader's own, the code that its threads run; only their loops are taken over:
//!
//! ```text
//!   pusher ─▶ prefetcher ─▶ engine ─▶ workers ─▶ engine ─▶ popper          one of those who are awake takes a step
//!                  └──────── store ───────┘                                an answer comes when its time has come
//! ```
//!
//! An actor that found nothing to do sleeps until its bell rings, as its thread would. When everybody sleeps and no answer is due the
//! run is stuck, which no run may ever be: that is how a lost wake-up shows (C12, C13, C22). After each step the budget and the number
//! of batch buffers are checked (C41); each batch is compared with a plain model that knows every element by arithmetic (C14, C16,
//! C19-C21, C31, C32, C36, C39, C42); a drain must find nothing in flight (C25); a close, at any step, must wake everybody and free
//! every byte (C26).
//!
//! ```sh
//! cargo test -p longshore simulation                                                 # as in CI
//! LONGSHORE_SEEDS=1000000 cargo test --release -p longshore --lib simulation         # for longer
//! LONGSHORE_SEED=17 cargo test -p longshore --lib simulation -- --nocapture          # one run again, step by step
//! ```

mod actors;
mod dice;
mod model;
mod run;
mod store;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use run::{Run, Trace};

/// Runs of one test in CI, each some milliseconds.
const SEEDS: u64 = 1500;

/// Runs every seed from `first` on; a run that fails names its seed.
fn simulate(first: u64, closes: bool) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, count) = match number("LONGSHORE_SEED") {
        Some(seed) => (seed, 1),
        None => (first, number("LONGSHORE_SEEDS").unwrap_or(SEEDS)),
    };
    let mut sum = Trace::default();
    for seed in first..first + count {
        match catch_unwind(AssertUnwindSafe(|| Run::new(seed, closes).run(count == 1))) {
            Ok(trace) => sum.add(&trace),
            Err(panic) => {
                eprintln!("the run of seed {seed} failed; again: LONGSHORE_SEED={seed} cargo test -p longshore --lib simulation");
                resume_unwind(panic);
            }
        }
    }
    println!("{count} runs from seed {first} on: {sum:?}");
    if count > 100 {
        sum.assert_varied(closes);
    }
}

#[test]
fn c12_c13_c14_c19_c22_c25_every_run_comes_to_its_end() {
    simulate(0, false);
}

#[test]
fn c26_a_close_at_any_step_wakes_everybody_and_frees_everything() {
    simulate(1 << 32, true);
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..20 {
        let runs = [0, 1].map(|_| Run::new(seed, seed % 2 == 0).run(false));
        assert_eq!(runs[0], runs[1], "seed {seed}");
    }
}
