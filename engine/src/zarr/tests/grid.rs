//! The chunk grid and what a cell's object holds.

use super::documents::*;
use crate::zarr::{ArrayMeta, ArrayToBytes, IndexLocation, Layout, ShardLayout, cell_count, coordinates, linear_index};

fn parse(document: &str) -> ArrayMeta {
    ArrayMeta::parse(document.as_bytes()).expect("a document of zarr-python")
}

fn sharded(document: &str) -> ShardLayout {
    match parse(document).layout() {
        Layout::Sharded(shard) => shard,
        plain => panic!("{plain:?}"),
    }
}

#[test]
fn cells_cover_the_array() {
    assert_eq!(parse(SHARDED).grid_shape()[..], [2, 2, 3]);
    assert_eq!(parse(PLAIN).grid_shape()[..], [2, 3]);
    assert_eq!(cell_count(&[2, 2, 3]), Some(12));
    assert_eq!(cell_count(&[u64::MAX, 2]), None);
    assert_eq!(cell_count(&[u64::MAX, 2, 0]), Some(0));
}

#[test]
fn linear_indexes_are_row_major_and_checked() {
    let counts = [2, 3, 4];
    let row_major = (0..2).flat_map(|i| (0..3).flat_map(move |j| (0..4).map(move |k| [i, j, k])));
    for (expected, coords) in (0..24).zip(row_major) {
        assert_eq!(linear_index(&coords, &counts), Some(expected));
        assert_eq!(coordinates(expected, &counts).as_deref(), Some(&coords[..]));
    }
    assert_eq!(linear_index(&[0, 3, 0], &counts), None);
    assert_eq!(linear_index(&[0, 0], &counts), None);
    assert_eq!(linear_index(&[u64::MAX - 1, 1], &[u64::MAX, 2]), None);
    assert_eq!(linear_index(&[0, 0], &[2, 0]), None);
    assert_eq!(coordinates(24, &counts), None);
    assert_eq!(coordinates(0, &[2, 0]), None);
}

#[test]
fn plain_shards_are_read_chunk_by_chunk() {
    let shard = sharded(SHARDED);
    assert_eq!((&shard.inner_shape[..], &shard.inner_per_shard[..]), (&[32, 64, 64][..], &[2, 2, 2][..]));
    assert_eq!(shard.index.encoded_len(), 8 * 16 + 4);
    assert_eq!(shard.index.offset_in(1000), Some(868));
    assert_eq!(shard.index.offset_in(131), None);
    assert_eq!(shard.entry(&[1, 0, 1]), Some(5));
    assert_eq!(shard.entry(&[1, 0, 2]), None);
    assert_eq!(shard.entry(&[1, 0]), None);
    assert_eq!(shard.inner_chain.bytes_to_bytes.len(), 1);
}

#[test]
fn transposes_before_sharding_are_folded_in() {
    let shard = sharded(TRANSPOSED_SHARDED);
    // Encoded inner chunks are 3x2, of the array therefore 2x3; entries run over encoded (2, 3), so axis 0 of the array is fast.
    assert_eq!((&shard.inner_shape[..], &shard.inner_per_shard[..], &shard.entry_strides[..]), (&[2, 3][..], &[3, 2][..], &[1, 3][..]));
    assert_eq!(shard.inner_chain.array_to_array.len(), 1);
    assert_eq!(shard.index.location, IndexLocation::Start);
    assert_eq!(shard.index.offset_in(172), Some(0));
}

#[test]
fn three_axes_unpermute() {
    let bytes = r#"{"name":"bytes","configuration":{"endian":"little"}}"#;
    let codecs = format!(
        r#"[{{"name":"transpose","configuration":{{"order":[2,0,1]}}}},{{"name":"sharding_indexed","configuration":{{"chunk_shape":[5,3,2],"codecs":[{bytes}],"index_codecs":[{bytes}]}}}}]"#
    );
    let document = with(&with(&coded(&codecs), "[10,20]", "[10,20,30]"), "[5,8]", "[6,8,10]");
    let shard = sharded(&document);
    // The shard reaches the codec as (10, 6, 8): (2, 2, 4) inner chunks, entry strides (8, 4, 1) there.
    assert_eq!(shard.inner_shape[..], [3, 2, 5]);
    assert_eq!(shard.inner_per_shard[..], [2, 4, 2]);
    assert_eq!(shard.entry_strides[..], [4, 1, 8]);
}

#[test]
fn nested_shards_are_decoded_whole_within_the_outer() {
    let shard = sharded(NESTED);
    assert_eq!((&shard.inner_shape[..], &shard.inner_per_shard[..]), (&[4, 8][..], &[2, 1][..]));
    let ArrayToBytes::Sharding(inner) = &shard.inner_chain.array_to_bytes else { panic!("a shard in a shard") };
    let format = inner.index_format(&shard.inner_shape).expect("2x4 chunks of 2x2");
    assert_eq!((format.entries, format.encoded_len(), format.location), (8, 132, IndexLocation::Start));
    assert!(inner.index_format(&[4, 7]).is_err());
}

#[test]
fn codecs_after_sharding_make_one_chunk_of_the_shard() {
    let document = with(SHARDED, r#""index_location":"end"}}"#, r#""index_location":"end"}},{"name":"crc32c"}"#);
    assert_eq!(parse(&document).layout(), Layout::Plain { chunk_shape: [64, 128, 128].into_iter().collect() });
    assert!(matches!(parse(PLAIN).layout(), Layout::Plain { .. }));
}
