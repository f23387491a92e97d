//! C29: shard indexes. Real ones of zarr-python, and each way in which one can lie.

use super::documents::*;
use crate::zarr::{ArrayMeta, Endian, IndexFormat, IndexLocation, Layout, ShardIndex, ZarrError};

const ABSENT: u64 = u64::MAX;

fn format(entries: usize, location: IndexLocation) -> IndexFormat {
    IndexFormat { entries, endian: Endian::Little, checksums: 1, location }
}

/// An index as the specification lays it out, checksum included.
fn encode(entries: &[(u64, u64)]) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(|(offset, length)| [offset.to_le_bytes(), length.to_le_bytes()].concat()).collect();
    bytes.extend(crc32c_by_bits(&bytes).to_le_bytes());
    bytes
}

/// CRC-32C from its definition (reflected polynomial 0x82f63b78, all-ones before and after): not the crate under test.
fn crc32c_by_bits(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

fn reason(bytes: &[u8], format: &IndexFormat, object_size: Option<u64>) -> String {
    match ShardIndex::decode(bytes, format, object_size) {
        Err(ZarrError::ShardIndex(reason)) => reason,
        other => panic!("expected a corrupt index, found {other:?}"),
    }
}

#[test]
fn c29_index_at_the_end_of_a_real_shard() {
    let object = unhex(BYTE_SHARD);
    let Layout::Sharded(shard) = ArrayMeta::parse(BYTE_SHARDED.as_bytes()).expect("valid").layout() else { panic!("a shard") };
    let size = object.len() as u64;
    let start = shard.index.offset_in(size).expect("long enough") as usize;
    let index = ShardIndex::decode(&object[start..], &shard.index, Some(size)).expect("valid");
    assert_eq!(index.len(), 4);
    assert_eq!([0, 1, 2, 3].map(|chunk| index.get(chunk)), [Some((0, 4)), Some((4, 4)), None, None]);
    assert_eq!(index.data_end(), 8);
    assert_eq!(crc32c_by_bits(&object[start..object.len() - 4]).to_le_bytes(), object[object.len() - 4..]);
}

#[test]
fn c29_big_endian_index_at_the_start_of_a_transposed_shard() {
    let object = unhex(TRANSPOSED_SHARD);
    let meta = ArrayMeta::parse(TRANSPOSED_SHARDED.as_bytes()).expect("valid");
    let Layout::Sharded(shard) = meta.layout() else { panic!("a shard") };
    let index_len = shard.index.encoded_len() as usize;
    let index = ShardIndex::decode(&object[..index_len], &shard.index, Some(object.len() as u64)).expect("valid");
    // Every element of cell (1, 1) of arange(144).reshape(12, 12), found the way the planner and the decoder will.
    for (row, column) in (0..6u64).flat_map(|row| (0..6u64).map(move |column| (row, column))) {
        let (inner, within) = ([row / 2, column / 3], [row % 2, column % 3]);
        let (offset, length) = index.get(shard.entry(&inner).expect("in the shard")).expect("stored");
        assert_eq!(length, 12);
        // An encoded chunk is 3 columns of 2 rows.
        let at = (offset + 2 * (within[1] * 2 + within[0])) as usize;
        let element = u16::from_be_bytes([object[at], object[at + 1]]);
        assert_eq!(u64::from(element), (6 + row) * 12 + 6 + column);
    }
}

#[test]
fn c29_length_and_checksum() {
    let bytes = encode(&[(0, 10), (ABSENT, ABSENT)]);
    let format = format(2, IndexLocation::End);
    assert!(ShardIndex::decode(&bytes, &format, Some(46)).is_ok());
    assert!(reason(&bytes[1..], &format, None).contains("found 35 bytes, an index of 2 entries takes 36"));
    assert!(reason(&[&bytes[..], &[0]].concat(), &format, None).contains("37 bytes"));
    assert!(reason(&[], &format, None).contains("0 bytes"));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(reason(&flipped, &format, None).contains("CRC-32C"), "bit {bit}");
    }
    assert!(reason(&bytes, &format, Some(35)).contains("the object has 35 bytes"));
}

#[test]
fn c29_checksums_stack_or_are_left_out() {
    let bytes = encode(&[(0, 10)]);
    let plain = IndexFormat { checksums: 0, ..format(1, IndexLocation::End) };
    assert_eq!(ShardIndex::decode(&bytes[..16], &plain, None).expect("no checksum").get(0), Some((0, 10)));
    let twice = IndexFormat { checksums: 2, ..plain };
    let stacked = [&bytes[..], &crc32c_by_bits(&bytes).to_le_bytes()].concat();
    assert_eq!(ShardIndex::decode(&stacked, &twice, None).expect("two checksums").get(0), Some((0, 10)));
    assert!(reason(&[&bytes[..], &bytes[16..]].concat(), &twice, None).contains("CRC-32C"));
}

#[test]
fn c29_impossible_entries() {
    use IndexLocation::{End, Start};
    let len = 3 * 16 + 4;
    for (location, entry, size, words) in [
        (End, (5, ABSENT), None, "half empty"),
        (End, (ABSENT, 5), None, "half empty"),
        (End, (ABSENT, 0), None, "half empty"),
        (End, (0, 0), None, "length 0"),
        (End, (u64::MAX - 1, 2), None, "ends beyond 2^64"),
        (Start, (2, u64::MAX - 1), None, "overlaps the index"),
        (End, (100, 1), Some(100 + len), "within bytes 0..100"),
        (End, (0, 101), Some(100 + len), "within bytes 0..100"),
        (End, (u64::MAX - 1, 1), Some(100 + len), "within bytes 0..100"),
        (End, (1, u64::MAX - 1), Some(100 + len), "within bytes 0..100"),
        (Start, (len - 1, 2), Some(100 + len), "within bytes 52..152"),
        (Start, (len, 101), Some(100 + len), "within bytes 52..152"),
        (Start, (0, 1), None, "overlaps the index"),
    ] {
        let fine = (len, 1);
        let bytes = encode(&[fine, entry, (ABSENT, ABSENT)]);
        let reason = reason(&bytes, &format(3, location), size);
        assert!(reason.contains(words) && reason.contains("entry 1"), "{reason}");
    }
}

#[test]
fn c29_entries_may_touch_the_bounds_and_each_other() {
    let len = 2 * 16 + 4;
    let at_end = encode(&[(0, 100), (99, 1)]);
    assert!(ShardIndex::decode(&at_end, &format(2, IndexLocation::End), Some(100 + len)).is_ok());
    let at_start = encode(&[(len, 100), (len + 99, 1)]);
    assert!(ShardIndex::decode(&at_start, &format(2, IndexLocation::Start), Some(100 + len)).is_ok());
    // Without the object's size the data's end is left to the caller, who is told it.
    let index = ShardIndex::decode(&at_start, &format(2, IndexLocation::Start), None).expect("valid");
    assert_eq!(index.data_end(), len + 100);
}

#[test]
fn an_index_of_nothing() {
    let index = ShardIndex::empty(3);
    assert_eq!((index.len(), index.get(2), index.data_end()), (3, None, 0));
}
