//! Documents and shards as zarrs 0.23, the other Rust implementation, writes them.

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use zarrs::array::codec::{BytesCodec, Crc32cCodec, GzipCodec, ShardingCodecBuilder, TransposeCodec, TransposeOrder, ZstdCodec};
use zarrs::array::{ArrayBuilder, data_type};
use zarrs::filesystem::FilesystemStore;
use zarrs::metadata_ext::codec::sharding::ShardingIndexLocation;

use crate::zarr::*;

/// Elements of the test array: a different one everywhere.
fn element(row: u64, column: u64) -> u16 {
    (row * 100 + column) as u16
}

/// Has zarrs write `builder`'s array of 12x10, all but the cell at the origin, as `a` under `root`.
fn write(builder: &mut ArrayBuilder, root: &Path) -> ArrayMeta {
    let store = Arc::new(FilesystemStore::new(root).expect("a store"));
    let array = builder.build(store, "/a").expect("an array");
    array.store_metadata().expect("metadata written");
    for chunk in [[0, 1], [1, 0], [1, 1]] {
        let subset = array.chunk_subset(&chunk).expect("a cell of the grid");
        let (start, shape) = (subset.start().to_vec(), subset.shape().to_vec());
        let values: Vec<u16> = (0..shape[0])
            .flat_map(|row| (0..shape[1]).map(move |column| (row, column)))
            .map(|(r, c)| element(start[0] + r, start[1] + c))
            .collect();
        array.store_chunk(&chunk, values).expect("chunk written");
    }
    let document = std::fs::read(root.join("a/zarr.json")).expect("zarr.json");
    ArrayMeta::parse(&document).unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&document)))
}

fn new_array() -> ArrayBuilder {
    ArrayBuilder::new(vec![12, 10], vec![6, 8], data_type::uint16(), 7u16)
}

fn order(axes: &[usize]) -> Arc<TransposeCodec> {
    Arc::new(TransposeCodec::new(TransposeOrder::new(axes).expect("a permutation")))
}

fn extents(shape: &[u64]) -> Vec<NonZeroU64> {
    shape.iter().map(|&extent| NonZeroU64::new(extent).expect("non-zero")).collect()
}

/// Compares each inner chunk of every written cell with the elements it must hold, through index and strides alone:
/// the inner chain is `bytes` of `endian` after transposes that leave an inner chunk's axes in `axis_order`.
fn check_shards(meta: &ArrayMeta, root: &Path, axis_order: [usize; 2], endian: Endian) {
    let Layout::Sharded(shard) = meta.layout() else { panic!("a shard") };
    for cell in [[0u64, 1], [1, 0], [1, 1]] {
        let mut key = "a/".to_owned();
        meta.keys.write_key(&cell, &mut key);
        let object = std::fs::read(root.join(key)).expect("a shard where the key says");
        let size = object.len() as u64;
        let at = shard.index.offset_in(size).expect("long enough") as usize;
        let encoded = &object[at..at + shard.index.encoded_len() as usize];
        let index = ShardIndex::decode(encoded, &shard.index, Some(size)).expect("a sound index");
        for entry in 0..shard.index.entries as u64 {
            let inner = coordinates(entry, &shard.inner_per_shard).expect("an inner chunk");
            let origin = [0, 1].map(|d| cell[d] * meta.chunk_shape[d] + inner[d] * shard.inner_shape[d]);
            let (offset, length) = index.get(shard.entry(&inner).expect("in the shard")).expect("stored, for none is all fill");
            let (inner_shape, stored) = (&shard.inner_shape, &object[offset as usize..(offset + length) as usize]);
            for (position, pair) in stored.chunks_exact(2).enumerate() {
                let fast = inner_shape[axis_order[1]];
                let mut within = [0; 2];
                (within[axis_order[0]], within[axis_order[1]]) = (position as u64 / fast, position as u64 % fast);
                let found =
                    if endian == Endian::Big { u16::from_be_bytes([pair[0], pair[1]]) } else { u16::from_le_bytes([pair[0], pair[1]]) };
                assert_eq!(found, element(origin[0] + within[0], origin[1] + within[1]), "cell {cell:?}, inner {inner:?}, {within:?}");
            }
            assert_eq!(length, 2 * inner_shape[0] * inner_shape[1]);
        }
    }
}

#[test]
fn c29_c30_shards_of_zarrs() {
    let root = tempfile::tempdir().expect("a directory");
    let mut builder = new_array();
    let meta = write(builder.subchunk_shape(vec![3, 2]).array_to_bytes_codec(Arc::new(BytesCodec::little())), root.path());
    assert_eq!(meta.fill_value.as_ne_bytes(), 7u16.to_ne_bytes());
    check_shards(&meta, root.path(), [0, 1], Endian::Little);
}

#[test]
fn c29_c30_transposes_around_and_inside_shards_of_zarrs() {
    // 6x8 becomes 8x6 before the sharding, whose chunks of 4x3 are of the array 3x4; each is turned back within.
    let mut sharding = ShardingCodecBuilder::new(extents(&[4, 3]), &data_type::uint16());
    sharding
        .array_to_array_codecs(vec![order(&[1, 0])])
        .array_to_bytes_codec(Arc::new(BytesCodec::big()))
        .index_array_to_bytes_codec(Arc::new(BytesCodec::big()))
        .index_bytes_to_bytes_codecs(vec![Arc::new(Crc32cCodec::new()), Arc::new(Crc32cCodec::new())])
        .index_location(ShardingIndexLocation::Start);
    let root = tempfile::tempdir().expect("a directory");
    let meta = write(new_array().array_to_array_codecs(vec![order(&[1, 0])]).array_to_bytes_codec(sharding.build_arc()), root.path());
    let Layout::Sharded(shard) = meta.layout() else { panic!("a shard") };
    assert_eq!((&shard.inner_shape[..], &shard.inner_per_shard[..]), (&[3, 4][..], &[2, 2][..]));
    assert_eq!((shard.index.checksums, shard.index.endian, shard.index.location), (2, Endian::Big, IndexLocation::Start));
    assert_eq!(shard.inner_chain.encoded_axes(2)[..], [0, 1]);
    check_shards(&meta, root.path(), [0, 1], Endian::Big);
}

#[test]
fn c29_c30_transpose_before_sharding_of_zarrs() {
    let mut sharding = ShardingCodecBuilder::new(extents(&[2, 3]), &data_type::uint16());
    sharding.array_to_bytes_codec(Arc::new(BytesCodec::little()));
    let root = tempfile::tempdir().expect("a directory");
    let meta = write(new_array().array_to_array_codecs(vec![order(&[1, 0])]).array_to_bytes_codec(sharding.build_arc()), root.path());
    check_shards(&meta, root.path(), [1, 0], Endian::Little);
}

#[test]
fn c30_compressors_of_zarrs() {
    let root = tempfile::tempdir().expect("a directory");
    let mut builder = new_array();
    builder.bytes_to_bytes_codecs(vec![
        Arc::new(ZstdCodec::new(5, true)),
        Arc::new(GzipCodec::new(6).expect("a level")),
        Arc::new(Crc32cCodec::new()),
    ]);
    let meta = write(builder.dimension_names(["y", "x"].into()), root.path());
    let expected = [BytesToBytes::Zstd { level: 5, checksum: true }, BytesToBytes::Gzip { level: 6 }, BytesToBytes::Crc32c];
    assert_eq!(meta.codecs.bytes_to_bytes, expected);
    assert!(root.path().join("a/c/1/1").is_file());
}
