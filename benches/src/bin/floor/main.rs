//! The floor under the peers: read, decode, scatter and cast exactly what is needed, on all cores, and nothing else.
//!
//! No lookahead, no cache but open files and shard indexes, no checks: what a reader can reach that reuses nothing.
//! `--distinct yes` decodes a chunk once per batch, however many of its crops want it; `--mmap yes` maps the shards instead of
//! reading them; `--parts no` decodes whole chunks where a part would do (blosc, raw).

mod blosc;
mod decode;
mod objects;
mod plan;
mod scatter;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use longshore_benches::peer::{Context, run};
use serde_json::json;

use crate::decode::Worker;
use crate::objects::Objects;
use crate::scatter::Output;

fn main() -> ExitCode {
    match floor() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("floor: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn floor() -> Result<(), String> {
    let context = Context::from_arguments()?;
    let yes = |name, default| context.flag(name, default) == "yes";
    let (distinct, mmap, parts) = (yes("distinct", "no"), yes("mmap", "no"), yes("parts", "yes"));
    let settings = json!({ "threads": context.threads, "distinct": distinct, "mmap": mmap, "parts": parts });
    let mut objects = Objects::new(&context, mmap);
    let mut workers: Vec<Worker> = (0..context.threads).map(|_| Worker::new(&context.scenario, parts)).collect();
    let name = if distinct { "floor-distinct" } else { "floor" };
    run(name, &settings, &context, |crops, out| {
        let jobs = plan::jobs(&context.scenario, crops, distinct);
        objects.prepare(&jobs)?;
        let (output, next) = (Output::new(out), AtomicUsize::new(0));
        let (objects, jobs, next) = (&objects, &jobs, &next);
        std::thread::scope(|scope| {
            let threads: Vec<_> = workers
                .iter_mut()
                .map(|worker| {
                    scope.spawn(move || -> Result<(), String> {
                        // Relaxed: the counter only hands out numbers; the scope's join publishes the batch.
                        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                            worker.run(job, crops, objects, output)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a worker panicked".to_owned())?)
        })
    })
}
