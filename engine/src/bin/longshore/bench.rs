//! `longshore bench`: a scenario file, several runs, medians and spread.

use longshore::synthetic::positions::{Position, positions};
use longshore::synthetic::scenario::{OutputType, Scenario};
use longshore::synthetic::{dataset_root, ensure_dataset};
use longshore::{Builder, CropBox, Dtype, Loader, Sample};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::args::Bench;
use crate::drive::{Job, Outcome, drive};
use crate::failure::Failure;
use crate::measure::quantile;
use crate::progress;
use crate::report;
use crate::signal::Interrupt;
use crate::stream::tune;

pub fn run(arguments: &Bench, interrupt: &Interrupt) -> Result<(), Failure> {
    let scenario = Scenario::load(&arguments.scenario).map_err(Failure::Failed)?;
    let uris = data_set(&scenario, arguments)?;
    let samples = samples(&scenario, &uris)?;
    let mut outcomes = Vec::new();
    for run in 0..arguments.repeat.unwrap_or(scenario.repeats).max(1) {
        let outcome = one_run(&scenario, arguments, samples.clone(), interrupt)?;
        if !arguments.json {
            let waits = format!("{} waited at most", report::seconds(quantile(&outcome.waits_s, 1.0)));
            report::print(&format!("run {}: {}, {waits}", run + 1, report::throughput(&outcome)))?;
        }
        outcome.verdict()?;
        outcomes.push(outcome);
    }
    if arguments.json { report::print(&to_json(&scenario, &outcomes).to_string()) } else { print_table(&scenario, &outcomes) }
}

fn data_set(scenario: &Scenario, arguments: &Bench) -> Result<Vec<Arc<str>>, Failure> {
    let bar = progress::bar(None, "writing the data set");
    bar.set_message(dataset_root(scenario, &arguments.dir).display().to_string());
    let paths = ensure_dataset(scenario, &arguments.dir).map_err(Failure::Failed)?;
    bar.finish_and_clear();
    let uri = |path: &std::path::PathBuf| {
        path.to_str().map(Arc::from).ok_or_else(|| Failure::Failed(format!("{}: the path is no UTF-8", path.display())))
    };
    paths.iter().map(uri).collect()
}

/// All samples of a run, the warm-up's first: the same in every reader of the scenario.
fn samples(scenario: &Scenario, uris: &[Arc<str>]) -> Result<Vec<Sample>, Failure> {
    let batches = scenario.warmup_batches.saturating_add(scenario.n_batches);
    let sample = |position: Position| {
        let axes = position.start.iter().zip(&scenario.sample_shape).map(|(&start, &extent)| (start as i64, (start + extent) as i64));
        Ok(Sample::new(uris[position.array].clone(), CropBox::new(axes).map_err(Failure::Failed)?))
    };
    positions(scenario, batches.saturating_mul(scenario.samples_per_batch)).into_iter().map(sample).collect()
}

fn one_run(scenario: &Scenario, arguments: &Bench, samples: Vec<Sample>, interrupt: &Interrupt) -> Result<Outcome, Failure> {
    let total = (samples.len() / scenario.samples_per_batch) as u64;
    let job = Job {
        builder: builder(scenario, arguments)?,
        samples: Box::new(samples.into_iter()),
        total: Some(total),
        warmup: scenario.warmup_batches as u64,
        checksum: arguments.checksum,
        interrupt,
    };
    drive(job, |_, _| Ok(()))
}

fn builder(scenario: &Scenario, arguments: &Bench) -> Result<Builder, Failure> {
    let dtype = match scenario.dtype {
        OutputType::F32 => Dtype::F32,
    };
    let builder = Loader::builder()
        .crop(scenario.sample_shape.iter().copied(), dtype)
        .batch(scenario.samples_per_batch)
        .lookahead(scenario.lookahead_samples.max(scenario.samples_per_batch))
        .memory_budget(scenario.memory_bytes)
        .buffers(scenario.buffers)
        .threads(scenario.thread_count());
    tune(builder, &arguments.tuning)
}

fn median_of(outcomes: &[Outcome], value: impl Fn(&Outcome) -> f64) -> [f64; 3] {
    let mut values: Vec<f64> = outcomes.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    [quantile(&values, 0.5), quantile(&values, 0.0), quantile(&values, 1.0)]
}

fn samples_per_s(outcome: &Outcome) -> f64 {
    outcome.samples as f64 / outcome.seconds
}

fn cpu_s_per_gb(outcome: &Outcome) -> f64 {
    outcome.cpu_s / (outcome.out_bytes as f64 / 1e9)
}

fn to_json(scenario: &Scenario, outcomes: &[Outcome]) -> Value {
    let spread = |value: fn(&Outcome) -> f64| {
        let [median, min, max] = median_of(outcomes, value);
        json!({ "median": median, "min": min, "max": max })
    };
    json!({
        "scenario": scenario.name,
        "peer": "longshore",
        "version": env!("CARGO_PKG_VERSION"),
        "threads": scenario.thread_count(),
        "samples_per_s": spread(samples_per_s),
        "out_bytes_per_s": spread(|outcome| outcome.out_bytes as f64 / outcome.seconds),
        "first_batch_s": spread(|outcome| outcome.first_batch_s.unwrap_or(f64::NAN)),
        "cpu_s_per_gb": spread(cpu_s_per_gb),
        "pop_wait_p99_s": spread(|outcome| quantile(&outcome.waits_s, 0.99)),
        "runs": outcomes.iter().map(report::to_json).collect::<Vec<_>>(),
    })
}

fn print_table(scenario: &Scenario, outcomes: &[Outcome]) -> Result<(), Failure> {
    let row = |value: fn(&Outcome) -> f64, show: fn(f64) -> String| {
        let [median, min, max] = median_of(outcomes, value).map(show);
        format!("{median} (from {min} to {max})")
    };
    let rows = [
        ("scenario", format!("{}, {} runs", scenario.name, outcomes.len())),
        ("samples/s", row(samples_per_s, |value| format!("{value:.1}"))),
        ("out", row(|outcome| outcome.out_bytes as f64 / outcome.seconds, |value| format!("{}/s", report::bytes(value)))),
        ("first batch", row(|outcome| outcome.first_batch_s.unwrap_or(f64::NAN), report::seconds)),
        ("CPU per GB", row(cpu_s_per_gb, report::seconds)),
        ("wait p99", row(|outcome| quantile(&outcome.waits_s, 0.99), report::seconds)),
    ];
    report::print(&report::table(&rows))?;
    match outcomes.last() {
        Some(last) => report::print(&format!("\nlast run, warm-up included where it counts:\n{}", report::table(&report::rows(last)))),
        None => Ok(()),
    }
}
