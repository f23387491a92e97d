//! `longshore demo`: a small data set, random crops from it, every byte checked against another implementation.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore::sampler::{RandomCrops, Volume};
use longshore::store::{LatencyModel, LatencyScope};
use longshore::synthetic::ensure_dataset;
use longshore::synthetic::scenario::{Arrays, Codec, OutputType, Pattern, Sampling, Scenario, StoredType};
use longshore::{Batch, Builder, Dtype, Loader};
use serde_json::json;
use zarrs::array::{Array, ArraySubset, ElementOwned};
use zarrs::filesystem::FilesystemStore;

use crate::args::Demo;
use crate::drive::{Job, Outcome, drive};
use crate::failure::Failure;
use crate::progress;
use crate::report;
use crate::signal::Interrupt;
use crate::style::To;

const ARRAYS: usize = 4;
const CROP: u64 = 48;
const BATCH: usize = 16;
const BATCHES: u64 = 64;
/// Batches whose every byte is compared with what `zarrs` reads: as many as keep the demo short.
const CHECKED_BATCHES: u64 = 16;
const SEED: u64 = 1;
/// A round trip to storage far away.
const SLOW: Duration = Duration::from_millis(50);

pub fn run(arguments: &Demo, interrupt: &Interrupt) -> Result<(), Failure> {
    let dir = arguments.dir.clone().unwrap_or_else(|| std::env::temp_dir().join("longshore-demo"));
    let scenario = scenario(arguments.size);
    let begun = Instant::now();
    let bar = progress::bar(None, "writing four arrays with zarrs");
    let paths = ensure_dataset(&scenario, &dir).map_err(Failure::Failed)?;
    bar.finish_and_clear();
    let written_s = begun.elapsed().as_secs_f64();
    let sampler = sampler(&paths, arguments.size)?;
    let timed = stream(&sampler, BATCHES, None, interrupt, |_, _| Ok(()))?;
    let slow = stream(&sampler, BATCHES, Some(LatencyModel::Constant(SLOW)), interrupt, |_, _| Ok(()))?;
    if slow.checksum != timed.checksum {
        return Err(Failure::Failed("the same crops have other bytes when metadata is slow".into()));
    }
    let readers =
        paths.iter().zip(&scenario.arrays.dtypes).map(|(path, stored)| Reader::open(path, *stored)).collect::<Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    let checked = stream(&sampler, CHECKED_BATCHES, None, interrupt, |_, batch| check(batch, &readers))?;
    let checked_s = begun.elapsed().as_secs_f64();
    if arguments.json {
        let json = json!({
            "write_s": written_s, "stream": report::to_json(&timed), "slow_metadata": report::to_json(&slow), "checked_samples": checked.samples, "checked_bytes": checked.out_bytes,
            "check_s": checked_s, "identical": true,
        });
        return report::print(&json.to_string());
    }
    let size = arguments.size;
    let mut rows = vec![
        ("data", format!("{ARRAYS} sharded arrays of {size}^3 (uint8, uint16, int16, float32; zstd, blosc) in {}", dir.display())),
        ("written", format!("with zarrs, {} to write or find", report::seconds(written_s))),
        ("crops", format!("{CROP}^3, anywhere in any array, cast to float32, in batches of {BATCH}")),
    ];
    rows.extend(report::rows(&timed));
    let first = report::seconds(slow.first_batch_s.unwrap_or(f64::NAN));
    rows.push(("far away", format!("{} with {SLOW:?} on each metadata request ({first} to the first batch)", report::throughput(&slow))));
    let checked = format!("{} samples, {}: identical to what zarrs reads", checked.samples, report::bytes(checked.out_bytes as f64));
    rows.push(("checked", To::Stdout.good(&checked)));
    report::print(&report::table(&rows))
}

fn scenario(size: u64) -> Scenario {
    let arrays = Arrays {
        count: ARRAYS,
        shape: vec![size; 3],
        dtypes: vec![StoredType::U8, StoredType::U16, StoredType::I16, StoredType::F32],
        chunk_shape: vec![32; 3],
        shard_shape: Some(vec![128; 3]),
        codecs: vec![Codec::Zstd { level: 3 }, Codec::Blosc { level: 3 }],
        pattern: Pattern::HalfZero,
    };
    Scenario {
        name: "demo".into(),
        arrays,
        sample_shape: vec![CROP; 3],
        samples_per_batch: BATCH,
        lookahead_samples: 256,
        dtype: OutputType::F32,
        n_batches: BATCHES as usize,
        warmup_batches: 0,
        repeats: 1,
        seed: SEED,
        sampling: Sampling::Random,
        memory_bytes: 512 << 20,
        buffers: 2,
        threads: 0,
    }
}

fn sampler(paths: &[PathBuf], size: u64) -> Result<RandomCrops, Failure> {
    let volume = |path: &PathBuf| {
        let uri = path.to_str().ok_or_else(|| Failure::Failed(format!("{}: the path is no UTF-8", path.display())))?;
        Ok(Volume::new(uri, [size; 3]))
    };
    let volumes = paths.iter().map(volume).collect::<Result<Vec<_>, Failure>>()?;
    RandomCrops::new(volumes, &[CROP; 3], SEED).map_err(Failure::Failed)
}

fn stream(
    sampler: &RandomCrops,
    batches: u64,
    metadata_latency: Option<LatencyModel>,
    interrupt: &Interrupt,
    sink: impl FnMut(u64, &Batch) -> Result<(), Failure>,
) -> Result<Outcome, Failure> {
    let sampler = sampler.clone();
    let samples = (0..batches * BATCH as u64).map(move |n| sampler.get(n));
    let mut builder: Builder = Loader::builder().crop([CROP; 3], Dtype::F32).batch(BATCH).lookahead(256).memory_budget(512 << 20);
    if let Some(model) = metadata_latency {
        builder = builder.latency(model, LatencyScope::Metadata);
    }
    let job = Job { builder, samples: Box::new(samples), total: Some(batches), warmup: 0, checksum: true, interrupt };
    let outcome = drive(job, sink)?;
    outcome.verdict()?;
    Ok(outcome)
}

/// The other implementation's view of one array.
struct Reader {
    uri: Arc<str>,
    stored: StoredType,
    array: Array<FilesystemStore>,
}

impl Reader {
    fn open(path: &PathBuf, stored: StoredType) -> Result<Self, Failure> {
        let store = FilesystemStore::new(path).map_err(|error| Failure::Failed(format!("{}: zarrs: {error}", path.display())))?;
        let array = Array::open(Arc::new(store), "/").map_err(|error| Failure::Failed(format!("{}: zarrs: {error}", path.display())))?;
        Ok(Self { uri: path.to_string_lossy().into(), stored, array })
    }

    /// A box as `f32`, each element converted as Rust's `as` does.
    fn read(&self, subset: &ArraySubset) -> Result<Vec<f32>, Failure> {
        match self.stored {
            StoredType::U8 => self.read_as::<u8>(subset, f32::from),
            StoredType::U16 => self.read_as::<u16>(subset, f32::from),
            StoredType::I16 => self.read_as::<i16>(subset, f32::from),
            StoredType::F32 => self.read_as::<f32>(subset, |value| value),
        }
    }

    fn read_as<T: ElementOwned>(&self, subset: &ArraySubset, cast: impl Fn(T) -> f32) -> Result<Vec<f32>, Failure> {
        let read = self.array.retrieve_array_subset::<Vec<T>>(subset);
        let read = read.map_err(|error| Failure::Failed(format!("{}: zarrs: {error}", self.uri)))?;
        Ok(read.into_iter().map(cast).collect())
    }
}

/// Compares every element of a batch, bit for bit.
fn check(batch: &Batch, readers: &[Reader]) -> Result<(), Failure> {
    for (number, row) in batch.rows().iter().enumerate() {
        let request = &row.origin.fields()[0];
        let reader = readers.iter().find(|reader| reader.uri == request.uri);
        let reader = reader.ok_or_else(|| Failure::Failed(format!("a row of {} which nobody asked for", request.uri)))?;
        let ranges: Vec<_> = request.crop_box.axes().iter().map(|&(start, end)| start as u64..end as u64).collect();
        let expected = reader.read(&ArraySubset::from(ranges))?;
        let found = batch.row::<f32>(number).map_err(|error| Failure::Failed(error.to_string()))?;
        let differs = expected.iter().zip(found).position(|(expected, found)| expected.to_bits() != found.to_bits());
        if expected.len() != found.len() || differs.is_some() {
            let place = differs.map_or("its length".to_owned(), |at| format!("element {at}: {} instead of {}", found[at], expected[at]));
            return Err(Failure::Failed(format!("{} {}: wrong bytes at {place}", request.uri, request.crop_box)));
        }
    }
    Ok(())
}
