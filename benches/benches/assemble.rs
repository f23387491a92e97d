//! Cast and scatter: one chunk of 32 x 64 x 64 elements into a batch of 128^3 crops that is far larger than the caches.
//!
//! `aligned` rows start on a cache line; `shifted` rows start 27 elements behind one, as most crops make them. `dram` walks
//! through 128 MiB of chunks, `l2` casts the same one again and again. Two threads work on halves of the batch.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use longshore::assemble::{Caster, OutputType, Region, RegionAxis};
use longshore::zarr::DataType;

const CHUNK: [usize; 3] = [32, 64, 64];
const CROP: usize = 128;
const CROPS: usize = 16;

/// Places of one chunk in the batch, one after another.
fn regions(shift: usize) -> Vec<Region> {
    let row = CHUNK[2] - shift;
    let axis = |extent, source_stride, target_stride| RegionAxis { extent, source_stride, target_stride };
    let mut regions = Vec::new();
    for crop in 0..CROPS {
        for (z, y, x) in (0..4).flat_map(|z| (0..2).flat_map(move |y| (0..2).map(move |x| (z, y, x)))) {
            let at = ((crop * CROP + z * 32) * CROP + y * 64) * CROP + x * 64;
            regions.push(Region {
                source_start: shift,
                target_start: at + shift,
                axes: [axis(32, 64 * 64, CROP * CROP), axis(64, 64, CROP), axis(row, 1, 1)].into_iter().collect(),
            });
        }
    }
    regions
}

/// Time for `iterations` walks over the batch, by `threads` that share its crops.
fn walk(caster: &Caster, source: &[u8], regions: &[Region], target: &mut [u8], threads: usize, iterations: u64) -> Duration {
    let chunk_len = CHUNK.iter().product::<usize>() * source_size(source);
    let barrier = Barrier::new(threads + 1);
    let (base, len) = (target.as_mut_ptr(), target.len());
    struct Shared(*mut u8);
    // SAFETY: each thread writes regions of its own.
    unsafe impl Sync for Shared {}
    let shared = &Shared(base);
    std::thread::scope(|scope| {
        let workers: Vec<_> = regions
            .chunks(regions.len() / threads)
            .enumerate()
            .map(|(worker, mine)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let chunks = source.len() / chunk_len;
                    barrier.wait();
                    for iteration in 0..iterations as usize {
                        for (i, region) in mine.iter().enumerate() {
                            let chunk = (iteration * mine.len() + i + worker * chunks / 2) % chunks;
                            let source = &source[chunk * chunk_len..][..chunk_len];
                            // SAFETY: the target has room for the batch; no two regions share an element.
                            unsafe { caster.scatter(black_box(source), shared.0, len, region) };
                        }
                    }
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        for worker in workers {
            worker.join().expect("no worker panics");
        }
        start.elapsed()
    })
}

/// Bytes per element are told by the length: `l2` sources are one chunk, `dram` sources 128 MiB.
fn source_size(source: &[u8]) -> usize {
    let elements: usize = CHUNK.iter().product();
    if source.len() < 16 << 20 { source.len() / elements } else { 2 }
}

fn scatter(c: &mut Criterion) {
    let elements: usize = CHUNK.iter().product();
    let cases = [
        (DataType::UInt16, OutputType::F32),
        (DataType::UInt16, OutputType::BF16),
        (DataType::UInt8, OutputType::F32),
        (DataType::Float16, OutputType::F32),
        (DataType::Float32, OutputType::F32),
        (DataType::Float32, OutputType::BF16),
        (DataType::UInt16, OutputType::Native(DataType::UInt16)),
    ];
    for (from, to) in cases {
        let bytes = CROPS * CROP.pow(3) * to.size();
        let mut target = vec![1_u8; bytes + 64];
        let start = (64 - target.as_ptr().addr() % 64) % 64;
        let target = &mut target[start..start + bytes];
        let mut group = c.benchmark_group(format!("scatter {}->{to:?}", from.name()));
        group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(1200));
        let mut sources = vec![("l2", vec![3_u8; elements * from.size()])];
        if from.size() == 2 {
            sources.push(("dram", vec![3_u8; 128 << 20]));
        }
        for (place, source) in &sources {
            for (name, shift) in [("aligned", 0), ("shifted", 27)] {
                let regions = regions(shift);
                let written = regions.len() * CHUNK[0] * CHUNK[1] * (CHUNK[2] - shift) * to.size();
                group.throughput(Throughput::Bytes(written as u64));
                for threads in [1, 2] {
                    for streaming in [false, true] {
                        let caster = Caster::new(from, to, None).expect("a cast").with_streaming(streaming);
                        let how = if streaming { "streaming" } else { "plain" };
                        let id = BenchmarkId::new(format!("{place} {name} {threads}t"), how);
                        group.bench_function(id, |b| b.iter_custom(|n| walk(&caster, source, &regions, target, threads, n)));
                    }
                }
            }
        }
    }
}

criterion_group!(benches, scatter);
criterion_main!(benches);
