//! Streams batches and keeps account: the loop under `stream`, `bench` and `demo`.

use std::time::{Duration, Instant};

use longshore::{Batch, Builder, Error, Sample, Stats};
use xxhash_rust::xxh3::Xxh3;

use crate::failure::{self, Failure};
use crate::measure;
use crate::progress;
use crate::signal::Interrupt;
use crate::style::To;

/// Failed batches that are described; the others are counted.
const FAILURES_SHOWN: u64 = 5;

/// What is streamed, and what is asked about it.
pub struct Job<'a> {
    pub builder: Builder,
    pub samples: Box<dyn Iterator<Item = Sample>>,
    /// Batches expected, where that is known.
    pub total: Option<u64>,
    /// Batches before the clock starts.
    pub warmup: u64,
    /// Whether the bytes of the batches are summed up.
    pub checksum: bool,
    pub interrupt: &'a Interrupt,
}

/// What a run did. Counts and times are of the timed batches, `stats` of the whole run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub samples: u64,
    pub batches: u64,
    pub failed_batches: u64,
    pub failed_samples: u64,
    pub out_bytes: u64,
    pub seconds: f64,
    /// From the start of the loader to its first batch.
    pub first_batch_s: Option<f64>,
    pub cpu_s: f64,
    /// Time that the consumer waited for each batch, ascending.
    pub waits_s: Vec<f64>,
    /// XXH3-64 of the bytes of all batches, warm-up included: batch after batch, field after field.
    pub checksum: Option<u64>,
    pub stats: Stats,
    pub interrupted: bool,
}

/// Runs `job`, handing each batch to `sink` (with its number, warm-up included).
///
/// Failed batches are told on stderr and counted. Ends early, with what was done, after a signal.
pub fn drive(job: Job<'_>, mut sink: impl FnMut(u64, &Batch) -> Result<(), Failure>) -> Result<Outcome, Failure> {
    let begun = Instant::now();
    let mut clock = Clock { begun, cpu: measure::cpu_time() };
    let mut loader = job.builder.build()?;
    job.interrupt.closes(loader.closer());
    let bar = progress::bar(job.total, "batches");
    let mut outcome = Outcome::default();
    let mut hash = job.checksum.then(Xxh3::new);
    let mut number = 0;
    let mut batches = loader.batches(job.samples);
    loop {
        let asked = Instant::now();
        let Some(next) = batches.next() else { break };
        let waited = asked.elapsed();
        match next {
            Ok(batch) => {
                outcome.first_batch_s.get_or_insert_with(|| begun.elapsed().as_secs_f64());
                outcome.count(&batch, waited);
                hash.iter_mut().for_each(|hash| batch.tensors().iter().for_each(|tensor| hash.update(tensor.bytes())));
                sink(number, &batch)?;
            }
            Err(Error::Closed) if job.interrupt.was_asked() => {
                outcome.interrupted = true;
                break;
            }
            Err(error) => outcome.fail(&error)?,
        }
        bar.inc(1);
        number += 1;
        if number == job.warmup {
            outcome = outcome.warm();
            clock = Clock { begun: Instant::now(), cpu: measure::cpu_time() };
        }
    }
    drop(batches);
    outcome.seconds = clock.begun.elapsed().as_secs_f64();
    outcome.cpu_s = measure::cpu_time().saturating_sub(clock.cpu).as_secs_f64();
    bar.finish_and_clear();
    outcome.stats = loader.stats();
    outcome.checksum = hash.map(|hash| hash.digest());
    outcome.waits_s.sort_by(f64::total_cmp);
    Ok(outcome)
}

struct Clock {
    begun: Instant,
    cpu: Duration,
}

impl Outcome {
    fn count(&mut self, batch: &Batch, waited: Duration) {
        self.samples += batch.len() as u64;
        self.batches += 1;
        self.out_bytes += batch.tensors().iter().map(|tensor| tensor.bytes().len() as u64).sum::<u64>();
        self.waits_s.push(waited.as_secs_f64());
        let flagged = batch.rows().iter().filter_map(|row| row.error.as_ref());
        for error in flagged.chain(batch.skipped()) {
            if self.failed_samples < FAILURES_SHOWN {
                eprintln!("{} a sample failed\n{}", To::Stderr.doubtful("warning:"), failure::describe_sample(error));
            }
            self.failed_samples += 1;
        }
    }

    /// Tells a failed batch; gives up where no further batch can come.
    fn fail(&mut self, error: &Error) -> Result<(), Failure> {
        match error {
            Error::Batch { .. } | Error::Invalid(_) => {}
            other => return Err(Failure::Failed(failure::describe(other))),
        }
        if self.failed_batches < FAILURES_SHOWN {
            eprintln!("{} {}", To::Stderr.bad("error:"), failure::describe(error));
        }
        self.failed_batches += 1;
        if let Error::Batch { failed, .. } = error {
            self.failed_samples += *failed as u64;
        }
        Ok(())
    }

    /// The account at the end of the warm-up: what is timed starts from nothing, failures are kept.
    fn warm(self) -> Self {
        Self {
            first_batch_s: self.first_batch_s,
            failed_batches: self.failed_batches,
            failed_samples: self.failed_samples,
            ..Self::default()
        }
    }

    /// The failure that the whole run ends with, if any; what each batch suffered was told before.
    pub fn verdict(&self) -> Result<(), Failure> {
        if self.interrupted {
            return Err(Failure::Interrupted);
        }
        match self.failed_batches {
            0 => Ok(()),
            n if n > FAILURES_SHOWN => Err(Failure::Failed(format!("{n} batches failed, {FAILURES_SHOWN} are shown above"))),
            _ => Err(Failure::Told),
        }
    }
}
