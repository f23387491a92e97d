//! Shards inside a chunk, put together by hand.

use super::*;
use crate::zarr::{IndexLocation, Sharding};

/// Encodes `values` (u16, a C-ordered box of `shape`) as a shard of inner chunks of 2 x 3, each stored transposed and compressed.
/// Chunks in `missing` are left out.
fn shard(values: &[u16], shape: [usize; 2], missing: &[usize], location: IndexLocation, index_big: bool) -> Vec<u8> {
    let grid = [shape[0] / 2, shape[1] / 3];
    let index_len = grid[0] * grid[1] * 16 + 4;
    let (mut body, mut index) = (Vec::new(), Vec::new());
    let start = if location == IndexLocation::Start { index_len } else { 0 };
    for number in 0..grid[0] * grid[1] {
        let origin = [number / grid[1] * 2, number % grid[1] * 3];
        let at = |row: usize, column: usize| values[(origin[0] + row) * shape[1] + origin[1] + column];
        let transposed: Vec<u8> = (0..3).flat_map(|c| (0..2).map(move |r| (r, c))).flat_map(|(r, c)| at(r, c).to_le_bytes()).collect();
        let pair = if missing.contains(&number) {
            [u64::MAX; 2]
        } else {
            let encoded = encode(&[ZSTD], &transposed);
            let pair = [(start + body.len()) as u64, encoded.len() as u64];
            body.extend(encoded);
            pair
        };
        index.extend(pair.iter().flat_map(|word| if index_big { word.to_be_bytes() } else { word.to_le_bytes() }));
    }
    let index = encode(&[CRC], &index);
    if location == IndexLocation::Start { [index, body].concat() } else { [body, index].concat() }
}

fn sharding(location: IndexLocation, index_endian: Endian) -> Sharding {
    let mut codecs = chain(&[ZSTD]);
    codecs.array_to_array = vec![transpose(&[1, 0])];
    let mut index_codecs = chain(&[CRC]);
    index_codecs.array_to_bytes = ArrayToBytes::Bytes(index_endian);
    Sharding { chunk_shape: smallvec::smallvec![2, 3], codecs, index_codecs, index_location: location }
}

fn decoder(sharding: Sharding, shape: &[u64], around: &[BytesToBytes]) -> Result<ChunkDecoder, CodecError> {
    let chain =
        CodecChain { array_to_array: vec![], array_to_bytes: ArrayToBytes::Sharding(Box::new(sharding)), bytes_to_bytes: around.to_vec() };
    ChunkDecoder::compile(&chain, shape, DataType::UInt16, FillValue::from_ne_bytes(&0xabcd_u16.to_ne_bytes()))
}

fn values() -> Vec<u16> {
    (0..6 * 9).map(|i| i * 811).collect()
}

#[test]
fn c30_shards_inside_a_chunk() {
    let missing = [4, 8];
    let mut expected = values();
    for number in missing {
        for (row, column) in (0..2).flat_map(|r| (0..3).map(move |c| (number / 3 * 2 + r, number % 3 * 3 + c))) {
            // C31: what is not stored is the fill value.
            expected[row * 9 + column] = 0xabcd;
        }
    }
    let expected: Vec<u8> = expected.iter().flat_map(|v| v.to_ne_bytes()).collect();
    let mut scratch = Scratch::default();
    for location in [IndexLocation::Start, IndexLocation::End] {
        for (endian, big) in [(Endian::Little, false), (Endian::Big, true)] {
            for around in [&[][..], &[ZSTD], &[GZIP, CRC]] {
                let decoder = decoder(sharding(location, endian), &[6, 9], around).unwrap();
                let stored = encode(around, &shard(&values(), [6, 9], &missing, location, big));
                assert!(stored.len() <= decoder.max_encoded_len());
                assert!(!decoder.is_identity() && !decoder.can_decode_parts());
                assert_eq!(decode(&decoder, &stored, &mut scratch).unwrap(), expected, "{location:?} {endian:?} {around:?}");
            }
        }
    }
}

#[test]
fn c28_impossible_shards_are_refused() {
    let stored = shard(&values(), [6, 9], &[], IndexLocation::End, false);
    let decoder = decoder(sharding(IndexLocation::End, Endian::Little), &[6, 9], &[]).unwrap();
    let error = |bytes: &[u8]| super::decode(&decoder, bytes, &mut Scratch::default()).unwrap_err().to_string();
    assert!(error(&stored[..100]).contains("the index alone has 148"), "{}", error(&stored[..100]));
    let mut flipped = stored.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(error(&flipped).contains("index: crc32c"), "{}", error(&flipped));
    let index_at = stored.len() - 148;
    for (offset, length) in [(u64::MAX, 5), (5, u64::MAX), (stored.len() as u64, 1), (1 << 40, 1 << 40)] {
        let mut index = stored[index_at..stored.len() - 4].to_vec();
        index[32..48].copy_from_slice(&[offset.to_le_bytes(), length.to_le_bytes()].concat());
        let bad = [&stored[..index_at], &encode(&[CRC], &index)].concat();
        assert!(error(&bad).contains("inner chunk 2"), "{}", error(&bad));
    }
}

#[test]
fn c28_shards_that_do_not_fit_are_refused() {
    let fits = |change: fn(&mut Sharding), shape: &[u64]| {
        let mut sharding = sharding(IndexLocation::End, Endian::Little);
        change(&mut sharding);
        decoder(sharding, shape, &[]).map(|_| ()).map_err(|e| e.to_string())
    };
    assert_eq!(fits(|_| (), &[6, 9]), Ok(()));
    assert!(fits(|_| (), &[6, 10]).unwrap_err().contains("inner chunks of shape"));
    assert!(fits(|s| s.chunk_shape[0] = 0, &[6, 9]).unwrap_err().contains("inner chunks of shape"));
    assert!(fits(|s| s.index_codecs.bytes_to_bytes.push(ZSTD), &[6, 9]).unwrap_err().contains("index_codecs"));
    assert!(fits(|_| (), &[1 << 20, 9 << 20]).unwrap_err().contains("limit"));
    // A shard of a shard of a shard ... of one chunk each.
    let mut nested = sharding(IndexLocation::End, Endian::Little);
    for _ in 0..10 {
        let outer = sharding(IndexLocation::End, Endian::Little);
        let codecs =
            CodecChain { array_to_array: vec![], array_to_bytes: ArrayToBytes::Sharding(Box::new(nested)), bytes_to_bytes: vec![] };
        nested = Sharding { codecs, ..outer };
    }
    assert!(decoder(nested, &[2, 3], &[]).unwrap_err().to_string().contains("nested"));
}
