//! Any bytes as a chunk of any chain (C28): an error, or the same answer however often and in whatever parts it is asked.
//!
//! Input, as `make_corpus.py` writes it:
//!
//! | byte | what |
//! |---|---|
//! | 0 | number of bytes-to-bytes codecs, mod 4 |
//! | 1 to 3 | which ones, in encoding order, mod 4: zstd, blosc, gzip, crc32c |
//! | 4 | data type, mod 15 |
//! | 5 | bit 0 big endian; bits 1, 2 transposes; bit 3 a shard inside the chunk; bit 4 a crc32c that is encoded last is made to match |
//! | 6, 7 | extents of axes 0 and 1, minus 1, mod 64; axis 2 has 3 elements |
//! | from 8 | the chunk as stored |
#![no_main]

use std::cell::RefCell;
use std::ops::Range;

use libfuzzer_sys::fuzz_target;
use longshore::codec::{ChunkDecoder, Coverage, Scratch};
use longshore::zarr::{
    ArrayToBytes, Axes, BloscCompressor, BloscShuffle, BytesToBytes, CodecChain, DataType, Endian, FillValue, IndexLocation, Sharding,
    Transpose,
};

const HEADER: usize = 8;

thread_local! {
    /// Used from input to input: one that has seen the worst must decode as a new one does.
    static USED: RefCell<Scratch> = RefCell::default();
}

fuzz_target!(|input: &[u8]| {
    let Some((header, chunk)) = input.split_first_chunk::<HEADER>() else { return };
    let (chain, shape, data_type) = read_header(header);
    let fill = FillValue::from_ne_bytes(&vec![1; data_type.size()]);
    let decoder = ChunkDecoder::compile(&chain, &shape, data_type, fill).expect("every chain of the table is supported");
    let mut stored = chunk.to_vec();
    if header[5] & 16 != 0 && chain.bytes_to_bytes.last() == Some(&BytesToBytes::Crc32c) {
        stored.extend(crc32c::crc32c(&stored).to_le_bytes());
    }
    check(&decoder, &stored);
});

fn read_header(header: &[u8; HEADER]) -> (CodecChain, [u64; 3], DataType) {
    let count = usize::from(header[0] % 4);
    let bytes_to_bytes: Vec<_> = header[1..=count].iter().map(|&kind| codec(kind)).collect();
    let data_type = DataType::ALL[usize::from(header[4]) % DataType::ALL.len()];
    let flags = header[5];
    let endian = if flags & 1 != 0 { Endian::Big } else { Endian::Little };
    let array_to_array: Vec<_> = match (flags >> 1) & 3 {
        0 => vec![],
        1 => vec![transpose([2, 1, 0])],
        2 => vec![transpose([1, 2, 0])],
        _ => vec![transpose([1, 0, 2]), transpose([2, 0, 1])],
    };
    let shape = [u64::from(header[6] % 64) + 1, u64::from(header[7] % 64) + 1, 3];
    let bytes = |codecs: &[BytesToBytes]| CodecChain {
        array_to_array: vec![],
        array_to_bytes: ArrayToBytes::Bytes(endian),
        bytes_to_bytes: codecs.to_vec(),
    };
    let array_to_bytes = if flags & 8 == 0 {
        ArrayToBytes::Bytes(endian)
    } else {
        // One inner chunk per index along the last of the axes that reach the codec: at most 64 in all.
        let mut inner: Axes<u64> = shape.into_iter().collect();
        for transpose in &array_to_array {
            inner = transpose.encoded_shape(&inner);
        }
        inner[2] = 1;
        ArrayToBytes::Sharding(Box::new(Sharding {
            chunk_shape: inner,
            codecs: bytes(&bytes_to_bytes),
            index_codecs: CodecChain { bytes_to_bytes: vec![], ..bytes(&[]) },
            index_location: if flags & 32 != 0 { IndexLocation::Start } else { IndexLocation::End },
        }))
    };
    (CodecChain { array_to_array, array_to_bytes, bytes_to_bytes }, shape, data_type)
}

fn transpose(order: [usize; 3]) -> Transpose {
    Transpose { order: order.into_iter().collect() }
}

fn codec(kind: u8) -> BytesToBytes {
    match kind % 4 {
        0 => BytesToBytes::Zstd { level: 1, checksum: false },
        1 => BytesToBytes::Blosc { compressor: BloscCompressor::Lz4, level: 5, shuffle: BloscShuffle::Byte, typesize: 2, blocksize: 0 },
        2 => BytesToBytes::Gzip { level: 1 },
        _ => BytesToBytes::Crc32c,
    }
}

fn check(decoder: &ChunkDecoder, stored: &[u8]) {
    let len = decoder.decoded_len();
    let (mut out, mut again) = (vec![0x5a; len], vec![0xa5; len]);
    let first = decoder.decode(stored, &mut out, None, &mut Scratch::default());
    USED.with_borrow_mut(|scratch| {
        let second = decoder.decode(stored, &mut again, None, scratch);
        assert_eq!(first.is_ok(), second.is_ok(), "{first:?}, then {second:?}");
        if let Ok(coverage) = &first {
            assert_eq!(coverage, &Coverage::Full);
            assert!(out == again, "unwritten output, or a scratch that remembers");
        }
        for wanted in parts(len) {
            let mut part = vec![0x33; len];
            match decoder.decode(stored, &mut part, Some(&wanted), scratch) {
                Ok(coverage) => check_part(&coverage, &wanted, &part, first.is_ok().then_some(&out)),
                Err(error) => assert!(first.is_err(), "the whole is decoded, {wanted:?} is not: {error}"),
            }
        }
    });
}

/// What is wanted is covered, and what is covered is what the whole chunk says.
fn check_part(coverage: &Coverage, wanted: &[Range<usize>], part: &[u8], whole: Option<&Vec<u8>>) {
    let covered = match coverage {
        Coverage::Full => vec![0..part.len()],
        Coverage::Ranges(ranges) => ranges.clone(),
    };
    assert!(covered.windows(2).all(|pair| pair[0].end <= pair[1].start), "not sorted: {covered:?}");
    for range in wanted {
        assert!(covered.iter().any(|covered| covered.start <= range.start && range.end <= covered.end), "{range:?} is not covered");
    }
    if let Some(whole) = whole {
        assert!(covered.into_iter().all(|range| part[range.clone()] == whole[range]), "a part differs from the whole");
    }
}

/// A first byte, a middle, and the first and last quarter.
fn parts(len: usize) -> [Vec<Range<usize>>; 3] {
    let quarter = (len / 4).max(1);
    let ends = if len > 2 * quarter { vec![0..quarter, len - quarter..len] } else { vec![0..len] };
    [vec![0..1], vec![len / 2..(len / 2 + quarter).min(len)], ends]
}
