//! Counters of a loader: what it did, how long it took, what it holds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::memory::{Budget, Purpose};

/// A snapshot. All counts are since the loader was built.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Samples pushed.
    pub samples: u64,
    /// Batches delivered or reported as failed.
    pub batches: u64,
    /// Samples that failed.
    pub failed_samples: u64,
    /// Bytes of delivered batches.
    pub out_bytes: u64,
    /// Bytes read of chunks.
    pub read_bytes: u64,
    /// Reads of chunks (coalesced ones count once).
    pub read_ops: u64,
    /// Reads that were answered from memory at once, without waiting.
    pub read_ops_inline: u64,
    /// Chunks decoded.
    pub chunks_decoded: u64,
    /// Chunks that crops needed, once per crop; those not decoded were decoded for another crop, or are fill.
    pub chunks_referenced: u64,
    /// Chunk references answered by fill values.
    pub chunks_filled: u64,
    /// Chunk references answered from kept chunks.
    pub chunks_reused: u64,
    /// Decoded bytes.
    pub decoded_bytes: u64,
    /// Metadata requests answered from the caches and fetched, per phase.
    pub metadata: [CachePhase; 3],
    /// Time that threads spent, by stage, summed over threads.
    pub stage: StageTimes,
    /// How long the pop end waited for each batch.
    pub pop_wait: WaitTimes,
    /// Bytes reserved of the memory budget now.
    pub memory_used: u64,
    /// Most bytes ever reserved.
    pub memory_peak: u64,
    /// The budget.
    pub memory_budget: u64,
    /// Of `memory_used`: batch buffers.
    pub memory_batches: u64,
    /// Of `memory_used`: compressed bytes and decode scratch.
    pub memory_staging: u64,
    /// Of `memory_used`: decoded chunks kept for later batches.
    pub memory_decoded: u64,
    /// Of `memory_used`: metadata caches.
    pub memory_metadata: u64,
}

/// One metadata cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CachePhase {
    /// `array`, `shard`, `layout`.
    pub phase: &'static str,
    /// Requests answered by an entry that was there (or under way).
    pub hits: u64,
    /// Requests that started a fetch.
    pub misses: u64,
    /// Entries evicted.
    pub evictions: u64,
}

/// Seconds by stage, summed over threads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StageTimes {
    /// Planning.
    pub plan_s: f64,
    /// Reading chunks on decode threads (waits for slow storage are not in it).
    pub read_s: f64,
    /// Decoding.
    pub decode_s: f64,
    /// Casting and scattering.
    pub assemble_s: f64,
}

/// Distribution of waits, from logarithmic buckets (4 per octave: values are right within 10 %).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WaitTimes {
    /// Waits counted.
    pub count: u64,
    /// Median, seconds.
    pub p50_s: f64,
    /// 99th percentile, seconds.
    pub p99_s: f64,
    /// Longest, seconds.
    pub max_s: f64,
    /// Sum, seconds.
    pub total_s: f64,
}

/// The live counters behind [`Stats`]; all Relaxed: they publish nothing.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) samples: Counter,
    pub(crate) batches: Counter,
    pub(crate) failed_samples: Counter,
    pub(crate) out_bytes: Counter,
    pub(crate) read_bytes: Counter,
    pub(crate) read_ops: Counter,
    pub(crate) read_ops_inline: Counter,
    pub(crate) chunks_decoded: Counter,
    pub(crate) chunks_referenced: Counter,
    pub(crate) chunks_filled: Counter,
    pub(crate) chunks_reused: Counter,
    pub(crate) decoded_bytes: Counter,
    pub(crate) cache: [CacheCounters; 3],
    pub(crate) plan_ns: Counter,
    pub(crate) read_ns: Counter,
    pub(crate) decode_ns: Counter,
    pub(crate) assemble_ns: Counter,
    pub(crate) pop_wait: WaitHistogram,
}

#[derive(Debug, Default)]
pub(crate) struct CacheCounters {
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) evictions: Counter,
}

/// One statistic.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        // Relaxed: a statistic; nothing is published through it.
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        // Relaxed: as above.
        self.0.store(n, Ordering::Relaxed);
    }

    pub(crate) fn max(&self, n: u64) {
        // Relaxed: as above.
        self.0.fetch_max(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        // Relaxed: as above.
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add_time(&self, time: Duration) {
        self.add(time.as_nanos() as u64);
    }
}

impl Counters {
    pub(crate) fn snapshot(&self, budget: &Budget) -> Stats {
        let seconds = |counter: &Counter| counter.get() as f64 / 1e9;
        let phase = |i: usize, phase: &'static str| CachePhase {
            phase,
            hits: self.cache[i].hits.get(),
            misses: self.cache[i].misses.get(),
            evictions: self.cache[i].evictions.get(),
        };
        Stats {
            samples: self.samples.get(),
            batches: self.batches.get(),
            failed_samples: self.failed_samples.get(),
            out_bytes: self.out_bytes.get(),
            read_bytes: self.read_bytes.get(),
            read_ops: self.read_ops.get(),
            read_ops_inline: self.read_ops_inline.get(),
            chunks_decoded: self.chunks_decoded.get(),
            chunks_referenced: self.chunks_referenced.get(),
            chunks_filled: self.chunks_filled.get(),
            chunks_reused: self.chunks_reused.get(),
            decoded_bytes: self.decoded_bytes.get(),
            metadata: [phase(0, "array"), phase(1, "shard"), phase(2, "layout")],
            stage: StageTimes {
                plan_s: seconds(&self.plan_ns),
                read_s: seconds(&self.read_ns),
                decode_s: seconds(&self.decode_ns),
                assemble_s: seconds(&self.assemble_ns),
            },
            pop_wait: self.pop_wait.snapshot(),
            memory_used: budget.used(),
            memory_peak: budget.peak(),
            memory_budget: budget.total(),
            memory_batches: budget.used_for(Purpose::Batches),
            memory_staging: budget.used_for(Purpose::Staging),
            memory_decoded: budget.used_for(Purpose::Decoded),
            memory_metadata: budget.used_for(Purpose::Metadata),
        }
    }
}

const BUCKETS_PER_OCTAVE: u32 = 4;
const BUCKETS: usize = 64 * BUCKETS_PER_OCTAVE as usize;

/// Waits in logarithmic buckets of nanoseconds.
#[derive(Debug)]
pub(crate) struct WaitHistogram {
    buckets: Box<[Counter]>,
    max_ns: Counter,
    total_ns: Counter,
}

impl Default for WaitHistogram {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| Counter::default()).collect(), max_ns: Counter::default(), total_ns: Counter::default() }
    }
}

impl WaitHistogram {
    pub(crate) fn record(&self, wait: Duration) {
        let ns = wait.as_nanos().min(u128::from(u64::MAX)) as u64;
        self.buckets[bucket_of(ns)].add(1);
        self.max_ns.max(ns);
        self.total_ns.add(ns);
    }

    fn snapshot(&self) -> WaitTimes {
        let counts: Vec<u64> = self.buckets.iter().map(Counter::get).collect();
        let count: u64 = counts.iter().sum();
        let max_s = self.max_ns.get() as f64 / 1e9;
        let quantile = |q: f64| {
            let rank = ((count as f64 * q).ceil() as u64).max(1);
            let mut seen = 0;
            let bucket = counts.iter().position(|&n| {
                seen += n;
                seen >= rank
            });
            bucket.map_or(0.0, |bucket| (middle_of(bucket) / 1e9).min(max_s))
        };
        WaitTimes { count, p50_s: quantile(0.5), p99_s: quantile(0.99), max_s, total_s: self.total_ns.get() as f64 / 1e9 }
    }
}

/// Bucket `4 * log2(ns)`, linear within an octave.
fn bucket_of(ns: u64) -> usize {
    let octave = 63 - (ns | 1).leading_zeros();
    let within = if octave >= 2 { (ns >> (octave - 2)) & 3 } else { 0 };
    (octave * BUCKETS_PER_OCTAVE) as usize + within as usize
}

fn middle_of(bucket: usize) -> f64 {
    let octave = (bucket / BUCKETS_PER_OCTAVE as usize) as i32;
    let within = (bucket % BUCKETS_PER_OCTAVE as usize) as f64;
    2f64.powi(octave) * (1.0 + (within + 0.5) / f64::from(BUCKETS_PER_OCTAVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_a_bucket() {
        let histogram = WaitHistogram::default();
        for ms in 1..=100 {
            histogram.record(Duration::from_millis(ms));
        }
        let times = histogram.snapshot();
        assert_eq!(times.count, 100);
        assert!((times.p50_s - 0.050).abs() < 0.006, "{times:?}");
        assert!((times.p99_s - 0.099).abs() < 0.012, "{times:?}");
        assert!((times.max_s - 0.1).abs() < 1e-9);
    }

    #[test]
    fn every_wait_has_a_bucket() {
        for ns in [0, 1, 2, 3, 4, 1000, u64::MAX] {
            assert!(bucket_of(ns) < BUCKETS);
        }
    }
}
