//! What the Rust peers share: arguments, the clock, the line of JSON that they print. `peers/common.py` is the same for Python.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};
use xxhash_rust::xxh3::Xxh3;

use crate::positions::{Position, positions};
use crate::scenario::Scenario;

/// A scenario, its data set and the crops to read.
#[derive(Debug)]
pub struct Context {
    /// The scenario.
    pub scenario: Scenario,
    /// Folder of each array.
    pub paths: Vec<PathBuf>,
    /// Crops of all batches, warm-up first.
    pub crops: Vec<Position>,
    /// Batches before the clock starts.
    pub warmup: usize,
    /// Threads to use.
    pub threads: usize,
    /// Bytes of cache to use.
    pub cache: u64,
    checksum: bool,
    flags: Vec<(String, String)>,
}

impl Context {
    /// Parses `SCENARIO DATA [--batches N] [--warmup N] [--threads N] [--cache BYTES] [--checksum] [--NAME VALUE]...`.
    ///
    /// # Errors
    /// What could not be understood or read.
    pub fn from_arguments() -> Result<Self, String> {
        let mut arguments = std::env::args().skip(1);
        let usage = "usage: SCENARIO.json DATA [--batches N] [--warmup N] [--threads N] [--cache BYTES] [--checksum] [--NAME VALUE]...";
        let (file, data) = arguments.next().zip(arguments.next()).ok_or(usage)?;
        let scenario = Scenario::load(file.as_ref())?;
        let mut checksum = false;
        let mut flags = Vec::new();
        while let Some(flag) = arguments.next() {
            let name = flag.strip_prefix("--").ok_or_else(|| format!("{flag}: {usage}"))?;
            if name == "checksum" {
                checksum = true;
            } else {
                flags.push((name.to_owned(), arguments.next().ok_or_else(|| format!("{flag} needs a value"))?));
            }
        }
        let paths = (0..scenario.arrays.count).map(|i| PathBuf::from(&data).join(format!("{i:04}"))).collect();
        let number = |name: &str, default: u64| -> Result<u64, String> {
            let given = flags.iter().find(|(flag, _)| flag == name);
            given.map_or(Ok(default), |(_, text)| text.parse().map_err(|_| format!("--{name} {text}: not a number")))
        };
        let warmup = number("warmup", scenario.warmup_batches as u64)? as usize;
        let timed = number("batches", scenario.n_batches as u64)? as usize;
        let threads = number("threads", scenario.thread_count() as u64)? as usize;
        let cache = number("cache", scenario.memory_bytes)?;
        let crops = positions(&scenario, (warmup + timed) * scenario.samples_per_batch);
        Ok(Self { scenario, paths, crops, warmup, threads, cache, checksum, flags })
    }

    /// Value of the flag `--name`, or `default`.
    pub fn flag(&self, name: &str, default: &str) -> String {
        self.flags.iter().find(|(flag, _)| flag == name).map_or(default, |(_, value)| value).to_owned()
    }
}

/// Reads all batches with `read(crops, out)`, measures, prints one JSON line.
///
/// # Errors
/// The first error of `read`.
pub fn run(
    peer: &str,
    settings: &Value,
    context: &Context,
    mut read: impl FnMut(&[Position], &mut [f32]) -> Result<(), String>,
) -> Result<(), String> {
    let batch = context.scenario.samples_per_batch;
    let mut out = vec![0.0; context.scenario.sample_len() * batch];
    let mut digest = context.checksum.then(Xxh3::new);
    let begin = Instant::now();
    let (mut first, mut start, mut cpu) = (None, begin, cpu_seconds());
    for (number, crops) in context.crops.chunks(batch).enumerate() {
        read(crops, &mut out)?;
        if let Some(digest) = &mut digest {
            digest.update(bytes_of(&out));
        }
        first.get_or_insert_with(|| begin.elapsed().as_secs_f64());
        if number + 1 == context.warmup.max(1) {
            (start, cpu) = (Instant::now(), cpu_seconds());
        }
    }
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let samples = context.crops.len() - context.warmup.max(1) * batch;
    let gigabytes = (samples * context.scenario.sample_len() * size_of::<f32>()) as f64 / 1e9;
    let line = json!({
        "peer": peer,
        "scenario": context.scenario.name,
        "settings": settings,
        "samples_per_s": samples as f64 / wall,
        "first_batch_s": first,
        "cpu_s": cpu,
        "cpu_s_per_gb": cpu / gigabytes,
        "peak_rss_bytes": peak_rss_bytes(),
        "checksum": digest.map(|digest| format!("{:016x}", digest.digest())),
    });
    println!("{line}");
    Ok(())
}

/// User and system time of this process so far, seconds.
pub fn cpu_seconds() -> f64 {
    let usage = usage();
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Largest resident set of this process so far, bytes.
pub fn peak_rss_bytes() -> u64 {
    usage().ru_maxrss as u64 * 1024
}

fn usage() -> libc::rusage {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is valid for one `rusage`, for which all zeroes is a value; the call fills it.
    unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    }
}

fn bytes_of(values: &[f32]) -> &[u8] {
    // SAFETY: any initialised f32 is four initialised bytes, and the length is that of the slice.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}
