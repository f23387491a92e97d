//! Decoding less than a chunk.

use super::*;

fn decode_part(decoder: &ChunkDecoder, encoded: &[u8], wanted: &[std::ops::Range<usize>]) -> (Vec<u8>, Coverage) {
    let mut out = vec![0xee; decoder.decoded_len()];
    let coverage = decoder.decode(encoded, &mut out, Some(wanted), &mut Scratch::default()).unwrap();
    (out, coverage)
}

/// Everything wanted is covered, and everything covered is right.
fn check(found: (Vec<u8>, Coverage), data: &[u8], wanted: &[std::ops::Range<usize>]) -> usize {
    let (out, coverage) = found;
    let ranges = match coverage {
        Coverage::Full => vec![0..data.len()],
        Coverage::Ranges(ranges) => ranges,
    };
    assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start), "sorted, disjoint: {ranges:?}");
    for want in wanted {
        assert!(ranges.iter().any(|range| range.start <= want.start && want.end <= range.end), "{want:?} of {ranges:?}");
    }
    for range in &ranges {
        assert!(out[range.clone()] == data[range.clone()], "{range:?}");
    }
    ranges.iter().map(ExactSizeIterator::len).sum()
}

#[test]
fn parts_of_every_chain_are_right() {
    let data = smooth(400_000, 2);
    let blosc_in_blocks =
        BytesToBytes::Blosc { compressor: BloscCompressor::Lz4, level: 5, shuffle: BloscShuffle::Byte, typesize: 3, blocksize: 10_000 };
    let chains: [&[BytesToBytes]; 7] = [&[], &[CRC], &[ZSTD], &[ZSTD, CRC], &[GZIP], &[blosc_in_blocks], &[CRC, ZSTD]];
    for codecs in chains {
        for endian in [Endian::Little, Endian::Big] {
            let mut chain = chain(codecs);
            chain.array_to_bytes = ArrayToBytes::Bytes(endian);
            let decoder = ChunkDecoder::compile(&chain, &[100_000], DataType::Float32, FillValue::from_ne_bytes(&[0; 4])).unwrap();
            let swapped: Vec<u8> = data.chunks_exact(4).flat_map(|u| u.iter().rev().copied()).collect();
            let expected = if endian == Endian::Little { &data } else { &swapped };
            let encoded = encode(codecs, &data);
            let wholly = decoder.can_decode_parts();
            for wanted in [vec![0..4], vec![8..100, 30_001..30_003], vec![199_996..200_000], vec![0..400_000], vec![]] {
                let covered = check(decode_part(&decoder, &encoded, &wanted), expected, &wanted);
                let last = wanted.last().map_or(0, |range| range.end);
                if wholly {
                    assert!(covered <= last + (128 << 10), "{codecs:?}: {covered} bytes for {wanted:?}");
                }
            }
            assert_eq!(wholly, !matches!(codecs.first(), Some(BytesToBytes::Gzip { .. } | BytesToBytes::Crc32c)));
        }
    }
}

/// What lies behind a prefix is not read: not even by a frame that is cut off there.
#[test]
fn a_zstd_prefix_stops_at_its_block() {
    let data = smooth(1 << 20, 2);
    let encoded = encode(&[ZSTD], &data);
    let decoder = bytes_decoder(&[ZSTD], data.len());
    let wanted = [0..100_000];
    check(decode_part(&decoder, &encoded, &wanted), &data, &wanted);
    let mut out = vec![0; data.len()];
    let half = &encoded[..encoded.len() / 2];
    assert!(decoder.decode(half, &mut out, Some(&wanted), &mut Scratch::default()).is_ok());
    let error = decoder.decode(half, &mut out, Some(&[900_000..900_001]), &mut Scratch::default()).unwrap_err();
    assert!(error.to_string().contains("truncated"), "{error}");
}

/// C32: a frame that says another length is refused even where only its beginning is wanted.
#[test]
fn c32_prefix_of_a_chunk_of_another_length() {
    let encoded = encode(&[ZSTD], &smooth(500_000, 2));
    let error = |len: usize| {
        let decoder = bytes_decoder(&[ZSTD], len);
        decoder.decode(&encoded, &mut vec![0; len], Some(&[0..10]), &mut Scratch::default()).unwrap_err()
    };
    assert_eq!(error(400_000), CodecError::Length { observed: 500_000, expected: 400_000 });
    assert_eq!(error(600_000), CodecError::Length { observed: 500_000, expected: 600_000 });
}
