//! What about a layout is bad for reading crops, and what would be better.
//!
//! The numbers are rules of thumb: a request to network storage costs as much time as reading some hundred KiB, and a chunk that is
//! decoded whole for a corner of it wastes the rest.

use super::{Stored, chain, chunk_bytes};
use crate::zarr::{ArrayMeta, ArrayToBytes, BloscShuffle, BytesToBytes, Layout, describe_shape};

/// Chunks above this decode much that a crop does not need, bytes decoded.
const HUGE_CHUNK_BYTES: u64 = 8 << 20;
/// Chunks below this cost more in bookkeeping than in decoding, bytes decoded.
const TINY_CHUNK_BYTES: u64 = 16 << 10;
/// Objects below this cost more to ask for than to read, bytes decoded.
const TINY_OBJECT_BYTES: u64 = 256 << 10;
/// Objects that a file system or bucket has no trouble with.
const MANY_OBJECTS: u64 = 10_000;
/// An index above this is slow to fetch for a single crop, bytes.
const LARGE_INDEX_BYTES: u64 = 1 << 20;
/// A chunk this many times longer along one axis than along another is thin.
const THIN: u64 = 16;

pub(super) fn advise(meta: &ArrayMeta, layout: &Layout, stored: &Stored) -> Vec<String> {
    let rules = [chunk_size, thin_chunk, small_objects, large_index, codecs_around_shards, nested_shards, compressor, nothing_stored];
    rules.iter().filter_map(|rule| rule(meta, layout, stored)).collect()
}

fn chunk_size(meta: &ArrayMeta, layout: &Layout, _: &Stored) -> Option<String> {
    let (bytes, shape) = (chunk_bytes(meta, layout), describe_shape(layout.chunk_shape()));
    if bytes > HUGE_CHUNK_BYTES && !is_identity(meta, layout) {
        return Some(format!(
            "huge chunks: {shape} is {} decoded, and a crop that needs a corner of it decodes it all. Chunks of 64 KiB to 1 MiB suit crops",
            mib(bytes)
        ));
    }
    let chunks = meta.shape.iter().zip(layout.chunk_shape()).fold(1u64, |n, (extent, chunk)| n.saturating_mul(extent.div_ceil(*chunk)));
    (bytes < TINY_CHUNK_BYTES && chunks > MANY_OBJECTS)
        .then(|| format!("tiny chunks: {shape} is {bytes} bytes decoded, so that each costs more in bookkeeping than in decoding. Chunks of 64 KiB to 1 MiB suit crops"))
}

fn thin_chunk(meta: &ArrayMeta, layout: &Layout, _: &Stored) -> Option<String> {
    let chunk = layout.chunk_shape();
    // Axes along which the array itself is short say nothing.
    let long = |axis: &usize| meta.shape[*axis] > THIN;
    let (thinnest, widest) =
        ((0..chunk.len()).filter(long).min_by_key(|&axis| chunk[axis])?, (0..chunk.len()).filter(long).max_by_key(|&axis| chunk[axis])?);
    (chunk[widest] >= chunk[thinnest].saturating_mul(THIN)).then(|| {
        format!(
            "thin chunks: {} has {} elements along axis {thinnest} and {} along axis {widest}. A cubic crop touches many of them and \
             needs little of each; chunks of similar extents suit crops",
            describe_shape(chunk),
            chunk[thinnest],
            chunk[widest]
        )
    })
}

fn small_objects(meta: &ArrayMeta, layout: &Layout, stored: &Stored) -> Option<String> {
    let bytes = chunk_bytes(meta, layout);
    (matches!(layout, Layout::Plain { .. }) && bytes < TINY_OBJECT_BYTES && stored.cells > MANY_OBJECTS).then(|| {
        format!(
            "many small objects: {} of {} KiB at most. On network storage each costs a round trip; shards (sharding_indexed) of some \
             hundred chunks keep the chunks and save the objects",
            stored.cells,
            bytes.div_ceil(1024)
        )
    })
}

fn large_index(_: &ArrayMeta, layout: &Layout, _: &Stored) -> Option<String> {
    let Layout::Sharded(shard) = layout else { return None };
    let bytes = shard.index.encoded_len();
    (bytes > LARGE_INDEX_BYTES).then(|| {
        format!(
            "large shard indexes: {} for {} chunks, fetched before the first crop of a shard. Smaller shards or larger chunks make \
             them smaller",
            mib(bytes),
            shard.index.entries
        )
    })
}

fn codecs_around_shards(meta: &ArrayMeta, layout: &Layout, _: &Stored) -> Option<String> {
    let sharded = matches!(meta.codecs.array_to_bytes, ArrayToBytes::Sharding(_));
    (sharded && matches!(layout, Layout::Plain { .. })).then(|| {
        format!(
            "codecs after the sharding ({}) scramble the shard as a whole: it is read and decoded whole for each crop. Put them inside",
            meta.codecs.bytes_to_bytes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        )
    })
}

fn nested_shards(_: &ArrayMeta, layout: &Layout, _: &Stored) -> Option<String> {
    let Layout::Sharded(shard) = layout else { return None };
    matches!(shard.inner_chain.array_to_bytes, ArrayToBytes::Sharding(_))
        .then(|| "shards in shards: the inner shard is read and decoded whole. One level of sharding is enough".into())
}

fn compressor(meta: &ArrayMeta, layout: &Layout, _: &Stored) -> Option<String> {
    let size = meta.data_type.size();
    chain(meta, layout).bytes_to_bytes.iter().find_map(|codec| match codec {
        BytesToBytes::Gzip { .. } => Some("gzip decodes several times slower than zstd or blosc with lz4".to_owned()),
        BytesToBytes::Blosc { shuffle, typesize, .. } if *shuffle != BloscShuffle::None && *typesize != size => Some(format!(
            "blosc shuffles by {typesize} bytes, the elements have {size}: it compresses worse than it could. Set typesize to {size}"
        )),
        _ => None,
    })
}

fn nothing_stored(_: &ArrayMeta, _: &Layout, stored: &Stored) -> Option<String> {
    (stored.asked > 0 && stored.found == 0 && stored.failed == 0)
        .then(|| format!("none of the {} objects asked for is stored: crops hold the fill value", stored.asked))
}

/// Elements stored as they are: only what is needed is read, and large chunks do no harm.
fn is_identity(meta: &ArrayMeta, layout: &Layout) -> bool {
    let chain = chain(meta, layout);
    chain.bytes_to_bytes.is_empty() && matches!(chain.array_to_bytes, ArrayToBytes::Bytes(_))
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(shape: &str, chunk: &str, codecs: &str) -> Vec<String> {
        let document = format!(
            r#"{{"zarr_format": 3, "node_type": "array", "shape": {shape}, "data_type": "uint16", "fill_value": 0,
            "chunk_grid": {{"name": "regular", "configuration": {{"chunk_shape": {chunk}}}}},
            "chunk_key_encoding": {{"name": "default"}}, "codecs": {codecs}}}"#
        );
        let meta = ArrayMeta::parse(document.as_bytes()).unwrap();
        let cells = crate::zarr::cell_count(&meta.grid_shape()).unwrap();
        advise(&meta, &meta.layout(), &Stored { cells, asked: 10, found: 10, ..Stored::default() })
    }

    const BYTES: &str = r#"{"name": "bytes", "configuration": {"endian": "little"}}"#;
    const ZSTD: &str = r#"{"name": "zstd", "configuration": {"level": 3, "checksum": false}}"#;

    fn sharded(inner: &str, inner_codecs: &str, after: &str) -> String {
        format!(
            r#"[{{"name": "sharding_indexed", "configuration": {{"chunk_shape": {inner}, "codecs": [{inner_codecs}],
            "index_codecs": [{BYTES}, {{"name": "crc32c"}}], "index_location": "end"}}}}{after}]"#
        )
    }

    #[test]
    fn good_layouts_get_no_advice() {
        assert_eq!(advice("[512, 512, 512]", "[256, 256, 512]", &sharded("[32, 64, 64]", &format!("{BYTES}, {ZSTD}"), "")), [""; 0]);
        assert_eq!(advice("[512, 512, 512]", "[64, 64, 64]", &format!("[{BYTES}, {ZSTD}]")), [""; 0]);
        assert_eq!(advice("[512, 512, 512]", "[512, 512, 512]", &format!("[{BYTES}]")), [""; 0], "raw bytes are read in parts");
    }

    #[test]
    fn each_bad_layout_is_named() {
        let zstd = format!("[{BYTES}, {ZSTD}]");
        let blosc = format!(
            r#"[{BYTES}, {{"name": "blosc", "configuration": {{"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 4, "blocksize": 0}}}}]"#
        );
        let gzip = format!(r#"[{BYTES}, {{"name": "gzip", "configuration": {{"level": 5}}}}]"#);
        let cases = [
            ("huge chunks", advice("[1024, 1024, 1024]", "[256, 256, 256]", &zstd)),
            ("tiny chunks", advice("[1024, 1024, 1024]", "[8, 8, 8]", &zstd)),
            ("thin chunks", advice("[512, 1024, 1024]", "[1, 512, 512]", &zstd)),
            ("many small objects", advice("[2048, 2048, 2048]", "[32, 32, 32]", &zstd)),
            ("large shard indexes", advice("[4096, 4096, 4096]", "[2048, 2048, 2048]", &sharded("[32, 32, 32]", BYTES, ""))),
            ("after the sharding", advice("[128, 128, 128]", "[64, 64, 64]", &sharded("[32, 32, 32]", BYTES, &format!(", {ZSTD}")))),
            (
                "shards in shards",
                advice(
                    "[128, 128, 128]",
                    "[64, 64, 64]",
                    &sharded("[32, 32, 32]", sharded("[16, 16, 16]", BYTES, "").trim_matches(['[', ']']), ""),
                ),
            ),
            ("gzip", advice("[128, 128, 128]", "[64, 64, 64]", &gzip)),
            ("blosc shuffles by 4", advice("[128, 128, 128]", "[64, 64, 64]", &blosc)),
        ];
        for (expected, found) in cases {
            assert!(found.iter().any(|advice| advice.contains(expected)), "{expected}: {found:?}");
        }
    }

    #[test]
    fn an_empty_array_is_said_to_be_empty() {
        let document = format!(
            r#"{{"zarr_format": 3, "node_type": "array", "shape": [8], "data_type": "uint8", "fill_value": 0, "codecs": [{BYTES}],
            "chunk_grid": {{"name": "regular", "configuration": {{"chunk_shape": [8]}}}}, "chunk_key_encoding": {{"name": "default"}}}}"#
        );
        let meta = ArrayMeta::parse(document.as_bytes()).unwrap();
        let stored = Stored { cells: 1, asked: 1, ..Stored::default() };
        assert!(advise(&meta, &meta.layout(), &stored)[0].contains("fill value"));
    }
}
