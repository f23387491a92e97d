//! Decoding one chunk: blosc beside c-blosc, zstd beside bare libzstd, and parts of chunks.

use std::ffi::CString;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use longshore::codec::{ChunkDecoder, Scratch};
use longshore::zarr::{ArrayToBytes, BloscCompressor, BloscShuffle, BytesToBytes, CodecChain, DataType, Endian, FillValue};

const LEN: usize = 256 << 10;

/// Elements of `typesize` bytes whose low byte is noise of four bits and whose others are smooth: images.
fn image(len: usize, typesize: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 60) as u8
    };
    (0..len).map(|i| if i % typesize == 0 { noise().wrapping_add((i / 700) as u8) } else { (i / 50_000) as u8 }).collect()
}

fn decoder(codec: BytesToBytes, len: usize) -> ChunkDecoder {
    let chain = CodecChain { array_to_array: vec![], array_to_bytes: ArrayToBytes::Bytes(Endian::Little), bytes_to_bytes: vec![codec] };
    ChunkDecoder::compile(&chain, &[len as u64], DataType::UInt8, FillValue::from_ne_bytes(&[0])).expect("a chain")
}

fn container(name: &str, filter: i32, typesize: usize, data: &[u8]) -> Vec<u8> {
    let name = CString::new(name).expect("no NUL");
    let mut out = vec![0; data.len() + 16];
    let (source, target) = (data.as_ptr().cast(), out.as_mut_ptr().cast());
    // SAFETY: both buffers are valid for the lengths given.
    let made = unsafe { blosc_src::blosc_compress_ctx(5, filter, typesize, data.len(), source, target, out.len(), name.as_ptr(), 0, 1) };
    out.truncate(usize::try_from(made).expect("c-blosc compresses"));
    out
}

fn blosc(c: &mut Criterion) {
    let mut out = vec![0; LEN];
    let mut scratch = Scratch::default();
    for name in ["lz4", "zstd", "blosclz", "snappy", "zlib"] {
        for (filter, filter_name) in [(1, "shuffle"), (2, "bitshuffle")] {
            for typesize in [2, 4, 8] {
                if typesize != 2 && name != "lz4" {
                    continue;
                }
                let data = image(LEN, typesize);
                let stored = container(name, filter, typesize, &data);
                let codec =
                    BytesToBytes::Blosc { compressor: BloscCompressor::Lz4, level: 5, shuffle: BloscShuffle::Byte, typesize, blocksize: 0 };
                let decoder = decoder(codec, LEN);
                let mut group = c.benchmark_group(format!("blosc {name} {filter_name} {typesize}"));
                group.throughput(Throughput::Bytes(LEN as u64)).sample_size(20);
                group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(700));
                group.bench_function("ours", |b| {
                    b.iter(|| decoder.decode(black_box(&stored), &mut out, None, &mut scratch).expect("decodes"))
                });
                group.bench_function("c-blosc", |b| {
                    let source = stored.as_ptr().cast();
                    // SAFETY: both buffers are valid for the lengths given.
                    b.iter(|| unsafe { blosc_src::blosc_decompress_ctx(black_box(source), out.as_mut_ptr().cast(), LEN, 1) })
                });
            }
        }
    }
}

fn zstd(c: &mut Criterion) {
    let mut scratch = Scratch::default();
    for (name, len) in [("256 KiB", LEN), ("2 MiB", 2 << 20)] {
        let data = image(len, 2);
        let mut out = vec![0; len];
        let mut stored = vec![0; zstd_safe::compress_bound(len)];
        let made = zstd_safe::compress(&mut stored[..], &data, 3).expect("compresses");
        stored.truncate(made);
        let decoder = decoder(BytesToBytes::Zstd { level: 3, checksum: false }, len);
        let mut group = c.benchmark_group(format!("zstd {name}"));
        group.throughput(Throughput::Bytes(len as u64)).sample_size(20);
        group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(700));
        let mut context = zstd_safe::DCtx::create();
        group.bench_function("bare ZSTD_decompressDCtx", |b| {
            b.iter(|| context.decompress(&mut out[..], black_box(&stored)).expect("decodes"))
        });
        group.bench_function("whole", |b| b.iter(|| decoder.decode(black_box(&stored), &mut out, None, &mut scratch).expect("decodes")));
        for (part, end) in [("3/4", len / 4 * 3 - 1), ("half", len / 2), ("1/8", len / 8)] {
            let wanted = 0..end;
            let wanted = std::slice::from_ref(&wanted);
            group.bench_function(format!("prefix of {part}"), |b| {
                b.iter(|| decoder.decode(black_box(&stored), &mut out, Some(wanted), &mut scratch).expect("decodes"))
            });
        }
    }
}

criterion_group!(benches, blosc, zstd);
criterion_main!(benches);
