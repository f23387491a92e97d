//! Against c-blosc: every compressor, shuffle, type size and length; and hostile containers.

use std::ffi::CString;
use std::ops::Range;

use proptest::prelude::*;

use super::{bitshuffle, decode, decoded_len, shuffle};
use crate::codec::scratch::Engines;
use crate::codec::tests::{noise, smooth};
use crate::codec::{CodecError, Coverage};

const COMPRESSORS: [&str; 6] = ["blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"];

/// A container made by c-blosc.
pub(in crate::codec) fn compress(name: &str, level: i32, filter: i32, typesize: usize, blocksize: usize, data: &[u8]) -> Vec<u8> {
    let name = CString::new(name).unwrap();
    let mut container = vec![0; data.len() + 16];
    // SAFETY: both buffers are valid for the lengths given.
    let made = unsafe {
        blosc_src::blosc_compress_ctx(
            level,
            filter,
            typesize,
            data.len(),
            data.as_ptr().cast(),
            container.as_mut_ptr().cast(),
            container.len(),
            name.as_ptr(),
            blocksize,
            1,
        )
    };
    assert!(made > 0, "c-blosc makes a container of {} bytes", data.len());
    container.truncate(made as usize);
    container
}

fn check(container: &[u8], data: &[u8], engines: &mut Engines, what: impl Fn() -> String) {
    assert_eq!(decoded_len(container).unwrap(), data.len(), "{}", what());
    let mut out = vec![0xee; data.len()];
    let coverage = decode(container, &mut out, None, engines).unwrap_or_else(|e| panic!("{}: {e}", what()));
    assert_eq!(coverage, Coverage::Full);
    assert!(out == data, "{}", what());
}

/// The flags of a container: 0x01 shuffle, 0x02 memcpyed, 0x04 bit shuffle, 0x10 not split.
fn flags(container: &[u8]) -> u8 {
    container[2]
}

#[test]
fn c33_differential() {
    let mut engines = Engines::default();
    let (mut memcpyed, mut split, mut partial) = (0, 0, 0);
    for name in COMPRESSORS {
        for filter in 0..=2 {
            for typesize in [1, 2, 3, 4, 6, 7, 8, 12, 16, 17, 255] {
                for len in [1, 7, 64, 127, 128, 129, 849, 1698, 4096, 10_000, 40_001, 66_000] {
                    for blocksize in [0, 256, 4096] {
                        let data = if (len + typesize) % 5 == 0 { noise(len, len as u64) } else { smooth(len, typesize) };
                        let container = compress(name, 5, filter, typesize, blocksize, &data);
                        let is_memcpyed = flags(&container) & 2 != 0;
                        memcpyed += usize::from(is_memcpyed);
                        split += usize::from(!is_memcpyed && flags(&container) & 0x10 == 0);
                        let block = u32::from_le_bytes([container[8], container[9], container[10], container[11]]) as usize;
                        partial += usize::from(!is_memcpyed && len % block != 0);
                        check(&container, &data, &mut engines, || {
                            format!("{name}, filter {filter}, typesize {typesize}, {len} bytes in blocks of {blocksize}")
                        });
                    }
                }
            }
        }
    }
    assert!(memcpyed > 100 && split > 100 && partial > 100, "all kinds of container: {memcpyed} {split} {partial}");
}

#[test]
fn c33_memcpyed_payload_at_byte_16() {
    let data = noise(5000, 1);
    let container = compress("zstd", 5, 1, 2, 0, &data);
    assert_eq!((flags(&container) & 3, container.len()), (3, 5016), "memcpyed, with the shuffle flag still set");
    check(&container, &data, &mut Engines::default(), || "memcpyed".into());
}

/// Compressible blocks, then a last one that is neither compressible nor whole: it is raw, and shuffled on its own length.
#[test]
fn c33_raw_last_partial_block() {
    for filter in [0, 1, 2] {
        let mut data = vec![7; 16384 * 3];
        data.extend(noise(1698, 2));
        let container = compress("zstd", 5, filter, 2, 16384, &data);
        let start = u32::from_le_bytes(container[16 + 12..][..4].try_into().unwrap()) as usize;
        let length = u32::from_le_bytes(container[start..][..4].try_into().unwrap());
        assert_eq!(length, 1698, "the last block is raw");
        check(&container, &data, &mut Engines::default(), || format!("raw last block, filter {filter}"));
    }
}

#[test]
fn c33_block_sizes_may_differ_between_chunks() {
    let data = smooth(60_000, 4);
    let mut engines = Engines::default();
    for blocksize in [1024, 60_000, 4096, 333, 0] {
        check(&compress("lz4", 5, 1, 4, blocksize, &data), &data, &mut engines, || format!("blocks of {blocksize}"));
    }
}

#[test]
fn c33_partial_decode_touches_wanted_blocks_only() {
    let data = smooth(40_000, 2);
    let container = compress("zstd", 3, 1, 2, 4096, &data);
    let wanted = [0..10, 4090..4100, 12_300..12_301, 39_999..40_000];
    let mut out = vec![0xee; data.len()];
    let coverage = decode(&container, &mut out, Some(&wanted), &mut Engines::default()).unwrap();
    let covered = [0..8192, 12_288..16_384, 36_864..40_000];
    assert_eq!(coverage, Coverage::Ranges(covered.to_vec()));
    for (i, (&found, &expected)) in out.iter().zip(&data).enumerate() {
        let inside = covered.iter().any(|range: &Range<usize>| range.contains(&i));
        assert_eq!(found, if inside { expected } else { 0xee }, "byte {i}");
    }
}

#[test]
fn c32_length_other_than_the_grid() {
    for (name, data) in [("zstd", smooth(5000, 2)), ("zstd", noise(5000, 3))] {
        let container = compress(name, 3, 1, 2, 0, &data);
        for expected in [4999, 5001] {
            let error = decode(&container, &mut vec![0; expected], None, &mut Engines::default()).unwrap_err();
            assert_eq!(error, CodecError::Length { observed: 5000, expected: expected as u64 });
        }
        let error = decode(&container[..container.len() - 1], &mut [0; 5000], None, &mut Engines::default()).unwrap_err();
        assert!(error.to_string().contains(&format!("a container of {} bytes", container.len())), "{error}");
    }
}

/// The shuffles by their definitions, for lengths around every vector width.
#[test]
fn c33_shuffles_by_definition() {
    let mut half = Vec::new();
    for typesize in [1, 2, 3, 4, 8, 16, 33] {
        for elements in (0..70).chain([128, 256, 264, 1000]) {
            for extra in [0, typesize - 1] {
                let shuffled = noise(elements * typesize + extra, elements as u64);
                let mut found = vec![0; shuffled.len()];
                shuffle::undo(typesize, &shuffled, &mut found);
                let byte = |i: usize| {
                    let whole = i < elements * typesize;
                    if whole { shuffled[i % typesize * elements + i / typesize] } else { shuffled[i] }
                };
                assert!(found.iter().enumerate().all(|(i, &b)| b == byte(i)), "byte shuffle, {elements} of {typesize}");
                bitshuffle::undo(typesize, &shuffled, &mut found, &mut half);
                let bit = |i: usize, b: usize| {
                    let at = (i % typesize * 8 + b) * (elements / 8) + i / typesize / 8;
                    shuffled[at] >> (i / typesize % 8) & 1
                };
                let unshuffled = |i: usize| (0..8).map(|b| bit(i, b) << b).sum::<u8>();
                let expected = |i: usize| {
                    if elements % 8 != 0 || i >= elements * typesize { shuffled[i] } else { unshuffled(i) }
                };
                assert!(found.iter().enumerate().all(|(i, &b)| b == expected(i)), "bit shuffle, {elements} of {typesize}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// C28: whatever is done to a container, decoding answers.
    #[test]
    fn c28_mutated_containers(
        (compressor, filter, typesize, len) in (0_usize..6, 0_i32..3, 1_usize..20, 1_usize..3000),
        mutations in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        in_header in any::<bool>(),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let data = smooth(len, typesize);
        let mut container = compress(COMPRESSORS[compressor], 5, filter, typesize, 256, &data);
        let range = if in_header { container.len().min(40) } else { container.len() };
        for (at, value) in mutations {
            container[at.index(range)] = value;
        }
        if let Some(cut) = cut {
            container.truncate(cut.index(container.len()));
            // The length in the header would catch that at once.
            if container.len() >= 16 {
                let len = (container.len() as u32).to_le_bytes();
                container[12..16].copy_from_slice(&len);
            }
        }
        let mut engines = Engines::default();
        let mut out = vec![0; len];
        let _ = decode(&container, &mut out, None, &mut engines);
        let middle = len / 2..len / 2 + 1;
        let _ = decode(&container, &mut out, Some(std::slice::from_ref(&middle)), &mut engines);
        // The header may now say another length.
        if let Ok(said) = decoded_len(&container) && said < 1 << 20 {
            let _ = decode(&container, &mut vec![0; said], None, &mut engines);
        }
    }
}
