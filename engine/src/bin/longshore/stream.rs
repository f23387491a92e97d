//! `longshore stream`: the main job.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use longshore::store::{LatencyModel, LatencyScope};
use longshore::zarr::DataType;
use longshore::{Batch, Builder, Loader, Tensor, npy};

use crate::args::{Delayed, Stream, Tuning};
use crate::drive::{Job, drive};
use crate::failure::{self, Failure};
use crate::report;
use crate::signal::Interrupt;
use crate::source::Source;
use crate::style::To;

pub fn run(arguments: &Stream, interrupt: &Interrupt) -> Result<(), Failure> {
    let source = Source::new(arguments)?;
    let mut builder = Loader::builder().batch(arguments.batch).drop_last(arguments.drop_last).on_error(arguments.on_error.into());
    builder = source.fields.into_iter().fold(builder, Builder::field);
    builder = tune(builder, &arguments.tuning)?;
    if let Some(folder) = &arguments.out {
        std::fs::create_dir_all(folder).map_err(|error| failure::io(folder.display(), &error))?;
    }
    let batch = arguments.batch as u64;
    let total = source.total.map(|samples| if arguments.drop_last { samples / batch } else { samples.div_ceil(batch) });
    let job = Job { builder, samples: source.samples, total, warmup: 0, checksum: !arguments.no_checksum, interrupt };
    let mut told = false;
    let outcome = drive(job, |number, batch| {
        let Some(folder) = &arguments.out else { return Ok(()) };
        if !told && batch.tensors().iter().any(|tensor| tensor.data_type() == DataType::BFloat16) {
            note_bfloat16();
            told = true;
        }
        write_batch(folder, number, batch)
    })?;
    report::print_stream(&outcome, arguments.json)?;
    source.broken.check()?;
    outcome.verdict()
}

/// NumPy has no name for bfloat16.
pub fn note_bfloat16() {
    eprintln!("{} NumPy knows no bfloat16: its bits are written as uint16", To::Stderr.doubtful("note:"));
}

/// Applies what the command line says about resources.
pub fn tune(mut builder: Builder, tuning: &Tuning) -> Result<Builder, Failure> {
    if let Some(samples) = tuning.lookahead {
        builder = builder.lookahead(samples);
    }
    if let Some(threads) = tuning.threads {
        builder = builder.threads(threads);
    }
    if let Some(bytes) = tuning.memory {
        builder = builder.memory_budget(bytes);
    }
    if let Some(buffers) = tuning.buffers {
        builder = builder.buffers(buffers);
    }
    if let Some(text) = &tuning.latency {
        let model: LatencyModel = text.parse().map_err(|error| Failure::Usage(format!("--latency: {error}")))?;
        builder = builder.latency(model, scope(tuning.latency_on));
    }
    Ok(builder.reuse(!tuning.no_reuse))
}

fn scope(delayed: Delayed) -> LatencyScope {
    match delayed {
        Delayed::Metadata => LatencyScope::Metadata,
        Delayed::All => LatencyScope::All,
    }
}

fn write_batch(folder: &Path, number: u64, batch: &Batch) -> Result<(), Failure> {
    let single = batch.tensors().len() == 1;
    for tensor in batch.tensors() {
        let name = if single { format!("batch-{number:06}.npy") } else { format!("batch-{number:06}.{}.npy", tensor.name()) };
        write_tensor(&folder.join(name), tensor, tensor.shape())?;
    }
    Ok(())
}

/// Writes a tensor under a temporary name first: a file of this name is whole.
pub fn write_tensor(path: &Path, tensor: &Tensor, shape: &[usize]) -> Result<(), Failure> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".part");
    let partial = PathBuf::from(partial);
    let write = || {
        let mut file = BufWriter::new(File::create(&partial)?);
        npy::write(&mut file, tensor.data_type(), shape, tensor.bytes())?;
        file.flush()?;
        std::fs::rename(&partial, path)
    };
    write().map_err(|error| {
        // What is left of it is of no use; that it cannot be removed either is not worth a second message.
        let _ = std::fs::remove_file(&partial);
        failure::io(path.display(), &error)
    })
}
