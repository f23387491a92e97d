//! C24: how long a sample that is pushed into an idle loader waits until it is worked on.
//!
//!     cargo run --release -p longshore-benches --bin admission
//!
//! From just before the push to the moment the store is asked for the `zarr.json` of the sample's array, each sample of an array that
//! is new. The loader sleeps before each push. Beside it, in the same run, the floor: from `unpark` to a parked thread running.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use longshore::store::{CostModel, FetchDone, LocalOptions, Now, ObjectKey, ReadDone, Span, Store, StoreLayer, StoreStats, Stores};
use longshore::{CropBox, Dtype, Loader, Sample};

const ROUNDS: usize = 5000;
/// Long enough that every thread of the loader sleeps.
const IDLE: Duration = Duration::from_micros(500);
const AIM: Duration = Duration::from_micros(200);
const METADATA: &str = r#"{"zarr_format":3,"node_type":"array","shape":[8],"data_type":"uint8","fill_value":0,
    "chunk_grid":{"name":"regular","configuration":{"chunk_shape":[8]}},
    "chunk_key_encoding":{"name":"default"},"codecs":[{"name":"bytes"}]}"#;

/// The time of one event, written by another thread.
#[derive(Debug)]
struct Stamp {
    origin: Instant,
    /// Nanoseconds since `origin`; 0 before the event.
    at: AtomicU64,
}

impl Stamp {
    fn new() -> Self {
        Self { origin: Instant::now(), at: AtomicU64::new(0) }
    }

    /// Keeps the first event after a `take`.
    fn set(&self) {
        let now = self.origin.elapsed().as_nanos() as u64;
        // Relaxed: the number is all there is.
        let _ = self.at.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// When the event was. It has been: whoever asks was woken by what came after it.
    fn take(&self) -> Duration {
        Duration::from_nanos(self.at.swap(0, Ordering::Relaxed))
    }
}

/// Says when metadata is asked for.
#[derive(Debug)]
struct Clocked {
    inner: Arc<dyn Store>,
    stamp: Arc<Stamp>,
}

impl Store for Clocked {
    fn fetch(&self, key: ObjectKey, span: Span, limit: u64, done: FetchDone) {
        self.stamp.set();
        self.inner.fetch(key, span, limit, done);
    }

    fn read(&self, key: ObjectKey, offset: u64, into: Vec<u8>, done: ReadDone) {
        self.inner.read(key, offset, into, done);
    }

    fn try_read_whole_now(&self, key: &ObjectKey, limit: u64, into: &mut Vec<u8>) -> Now {
        self.inner.try_read_whole_now(key, limit, into)
    }

    fn cost(&self) -> CostModel {
        self.inner.cost()
    }

    fn stats(&self) -> StoreStats {
        self.inner.stats()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    report("push to the first request", admissions()?);
    report("floor: unpark to running", wake_ups());
    println!("aim: p99 below {AIM:?}");
    Ok(())
}

fn admissions() -> Result<Vec<Duration>, Box<dyn Error>> {
    let stamp = Arc::new(Stamp::new());
    let clocked = stamp.clone();
    let layer: StoreLayer = Arc::new(move |inner| Ok(Arc::new(Clocked { inner, stamp: clocked.clone() })));
    let stores = Arc::new(Stores::new(LocalOptions::default(), Some(layer)));
    let objects = stores.memory("bench")?;
    for array in 0..ROUNDS {
        objects.put(format!("{array}/zarr.json"), METADATA.as_bytes());
    }
    let mut loader = Loader::builder().crop([8], Dtype::Native).batch(1).stores(stores).build()?;
    let mut waits = Vec::with_capacity(ROUNDS);
    for array in 0..ROUNDS {
        let sample = Sample::new(format!("memory://bench/{array}"), CropBox::new([(0, 8)])?);
        std::thread::sleep(IDLE);
        let pushed = stamp.origin.elapsed();
        loader.push(sample)?;
        drop(loader.pop()?);
        waits.push(stamp.take() - pushed);
    }
    Ok(waits)
}

fn wake_ups() -> Vec<Duration> {
    let stamp = Arc::new(Stamp::new());
    let woken = stamp.clone();
    let caller = std::thread::current();
    let thread = std::thread::spawn(move || {
        for _ in 0..ROUNDS {
            std::thread::park();
            woken.set();
            caller.unpark();
        }
    });
    let wait = |_| {
        std::thread::sleep(IDLE);
        let called = stamp.origin.elapsed();
        thread.thread().unpark();
        std::thread::park();
        stamp.take() - called
    };
    let waits = (0..ROUNDS).map(wait).collect();
    // It ends with the last round; a spurious wake-up of `park` only ends it sooner.
    let _ = thread.join();
    waits
}

fn report(what: &str, mut waits: Vec<Duration>) {
    waits.sort_unstable();
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize];
    println!("{what}: p50 {:?}, p90 {:?}, p99 {:?}, max {:?} of {}", at(0.5), at(0.9), at(0.99), at(1.0), waits.len());
}
