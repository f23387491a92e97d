//! Any bytes as `zarr.json`: an error, or a value that keeps its promises (C28).
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore::codec::ChunkDecoder;
use longshore::zarr::{ArrayMeta, Layout, MAX_CHUNK_BYTES, MAX_EXTENT, MAX_RANK, cell_count, coordinates, linear_index};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(meta) = ArrayMeta::parse(bytes) {
        check(&meta);
    }
});

fn check(meta: &ArrayMeta) {
    assert!((1..=MAX_RANK).contains(&meta.rank()) && meta.chunk_shape.len() == meta.rank());
    assert!(meta.chunk_shape.iter().all(|&extent| (1..=MAX_EXTENT).contains(&extent)));
    assert_eq!(meta.fill_value.as_ne_bytes().len(), meta.data_type.size());
    let grid = meta.grid_shape();
    let cells = cell_count(&grid).expect("the grid was counted");
    if let Some(last) = cells.checked_sub(1) {
        let at = coordinates(last, &grid).expect("the last cell");
        assert_eq!(linear_index(&at, &grid), Some(last));
        let mut key = String::new();
        meta.keys.write_key(&at, &mut key);
        assert!(!key.is_empty());
    }
    let layout = meta.layout();
    let decoded = layout.chunk_shape().iter().product::<u64>() * meta.data_type.size() as u64;
    assert!(decoded <= MAX_CHUNK_BYTES);
    let chain = match &layout {
        Layout::Sharded(shard) => {
            let last: Vec<u64> = shard.inner_per_shard.iter().map(|count| count - 1).collect();
            assert_eq!(shard.entry(&last), Some(shard.index.entries - 1));
            &shard.inner_chain
        }
        Layout::Plain { .. } => &meta.codecs,
    };
    if let Ok(decoder) = ChunkDecoder::compile(chain, layout.chunk_shape(), meta.data_type, meta.fill_value) {
        assert_eq!(decoder.decoded_len() as u64, decoded);
        assert_eq!(decoder.strides().len(), meta.rank());
    }
    let _ = (layout.to_string(), meta.codecs.to_string(), meta.fill_value.describe(meta.data_type));
}
