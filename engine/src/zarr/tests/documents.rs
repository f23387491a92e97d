//! Documents as zarr-python 3.1.6 writes them (`zarr.create_array`), whitespace taken out.

/// `uint16`, chunks of 5x8, no compressor.
pub(super) const PLAIN: &str = r#"{"shape":[10,20],"data_type":"uint16","chunk_grid":{"name":"regular","configuration":{"chunk_shape":[5,8]}},"chunk_key_encoding":{"name":"default","configuration":{"separator":"/"}},"fill_value":7,"codecs":[{"name":"bytes","configuration":{"endian":"little"}}],"attributes":{},"zarr_format":3,"node_type":"array","storage_transformers":[]}"#;

/// Shards of 64x128x128 with chunks of 32x64x64, zstd.
pub(super) const SHARDED: &str = r#"{"shape":[100,200,300],"data_type":"uint16","chunk_grid":{"name":"regular","configuration":{"chunk_shape":[64,128,128]}},"chunk_key_encoding":{"name":"default","configuration":{"separator":"/"}},"fill_value":0,"codecs":[{"name":"sharding_indexed","configuration":{"chunk_shape":[32,64,64],"codecs":[{"name":"bytes","configuration":{"endian":"little"}},{"name":"zstd","configuration":{"level":3,"checksum":true}}],"index_codecs":[{"name":"bytes","configuration":{"endian":"little"}},{"name":"crc32c"}],"index_location":"end"}}],"attributes":{"a":{"b":[1,2,{"c":null}]}},"dimension_names":["z","y",null],"zarr_format":3,"node_type":"array","storage_transformers":[]}"#;

/// `v2` keys, blosc(lz4, bit shuffle), fill NaN.
pub(super) const BLOSC_V2_KEYS: &str = r#"{"shape":[10,20],"data_type":"float32","chunk_grid":{"name":"regular","configuration":{"chunk_shape":[5,8]}},"chunk_key_encoding":{"name":"v2","configuration":{"separator":"."}},"fill_value":"NaN","codecs":[{"name":"bytes","configuration":{"endian":"little"}},{"name":"blosc","configuration":{"typesize":4,"cname":"lz4","clevel":5,"shuffle":"bitshuffle","blocksize":0}}],"attributes":{},"zarr_format":3,"node_type":"array","storage_transformers":[]}"#;

/// transpose(2, 0, 1), big-endian `int32`, gzip, crc32c.
pub(super) const TRANSPOSED: &str = r#"{"shape":[10,20,30],"data_type":"int32","chunk_grid":{"name":"regular","configuration":{"chunk_shape":[5,8,6]}},"chunk_key_encoding":{"name":"default","configuration":{"separator":"/"}},"fill_value":-1,"codecs":[{"name":"transpose","configuration":{"order":[2,0,1]}},{"name":"bytes","configuration":{"endian":"big"}},{"name":"gzip","configuration":{"level":1}},{"name":"crc32c"}],"attributes":{},"zarr_format":3,"node_type":"array","storage_transformers":[]}"#;

/// Shards of 8x8 that hold shards of 4x8 that hold chunks of 2x2; both indexes at the start.
pub(super) const NESTED: &str = r#"{"shape":[8,8],"data_type":"uint16","chunk_grid":{"name":"regular","configuration":{"chunk_shape":[8,8]}},"chunk_key_encoding":{"name":"default","configuration":{"separator":"/"}},"fill_value":0,"codecs":[{"name":"sharding_indexed","configuration":{"chunk_shape":[4,8],"codecs":[{"name":"sharding_indexed","configuration":{"chunk_shape":[2,2],"codecs":[{"name":"bytes","configuration":{"endian":"little"}},{"name":"zstd","configuration":{"level":0,"checksum":false}}],"index_codecs":[{"name":"bytes","configuration":{"endian":"little"}},{"name":"crc32c"}],"index_location":"start"}}],"index_codecs":[{"name":"bytes","configuration":{"endian":"little"}},{"name":"crc32c"}],"index_location":"start"}}],"attributes":{},"zarr_format":3,"node_type":"array","storage_transformers":[]}"#;

/// A transpose before the sharding; all big-endian, index at the start. Chunk `c/1/1` of `arange(144)` is [`TRANSPOSED_SHARD`].
pub(super) const TRANSPOSED_SHARDED: &str = r#"{"shape":[12,12],"data_type":"uint16","chunk_grid":{"name":"regular","configuration":{"chunk_shape":[6,6]}},"chunk_key_encoding":{"name":"default","configuration":{"separator":"/"}},"fill_value":0,"codecs":[{"name":"transpose","configuration":{"order":[1,0]}},{"name":"sharding_indexed","configuration":{"chunk_shape":[3,2],"codecs":[{"name":"bytes","configuration":{"endian":"big"}}],"index_codecs":[{"name":"bytes","configuration":{"endian":"big"}},{"name":"crc32c"}],"index_location":"start"}}],"attributes":{},"zarr_format":3,"node_type":"array","storage_transformers":[]}"#;

/// Object `c/1/1` that zarr-python wrote for `numpy.arange(144).reshape(12, 12)` into [`TRANSPOSED_SHARDED`].
pub(super) const TRANSPOSED_SHARD: &str = "0000000000000064000000000000000c000000000000007c000000000000000c0000000000000094000000000000000c0000000000000070000000000000000c0000000000000088000000000000000c00000000000000a0000000000000000cdca5dec2004e005a004f005b0050005c0051005d0052005e0053005f00660072006700730068007400690075006a0076006b0077007e008a007f008b0080008c0081008d0082008e0083008f";

/// `uint8` shards of 4x4 with chunks of 2x2, index at the end.
pub(super) const BYTE_SHARDED: &str = r#"{"shape":[4,4],"data_type":"uint8","chunk_grid":{"name":"regular","configuration":{"chunk_shape":[4,4]}},"chunk_key_encoding":{"name":"default","configuration":{"separator":"/"}},"fill_value":0,"codecs":[{"name":"sharding_indexed","configuration":{"chunk_shape":[2,2],"codecs":[{"name":"bytes"}],"index_codecs":[{"name":"bytes","configuration":{"endian":"little"}},{"name":"crc32c"}],"index_location":"end"}}],"attributes":{},"zarr_format":3,"node_type":"array","storage_transformers":[]}"#;

/// Object `c/0/0` that zarr-python wrote into [`BYTE_SHARDED`] after `a[0:2, :] = 5`: two chunks stored, two not.
pub(super) const BYTE_SHARD: &str = "05050505050505050000000000000000040000000000000004000000000000000400000000000000ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff23579290";

/// A group with consolidated metadata.
pub(super) const GROUP: &str = r#"{"attributes":{},"zarr_format":3,"consolidated_metadata":{"kind":"inline","must_understand":false,"metadata":{}},"node_type":"group"}"#;

/// A `.zarray` of Zarr v2.
pub(super) const V2: &str = r#"{"shape":[4],"chunks":[2],"dtype":"<u2","fill_value":0,"order":"C","filters":null,"dimension_separator":".","compressor":{"id":"zstd","level":0},"zarr_format":2}"#;

/// All that are arrays of v3.
pub(super) const ARRAYS: [&str; 7] = [PLAIN, SHARDED, BLOSC_V2_KEYS, TRANSPOSED, NESTED, TRANSPOSED_SHARDED, BYTE_SHARDED];

/// [`PLAIN`] with one member's value (or, given whole, any text in it) replaced; the text must occur.
pub(super) fn with(document: &str, old: &str, new: &str) -> String {
    assert!(document.contains(old), "{old} is not in {document}");
    document.replace(old, new)
}

/// [`PLAIN`] with another element type and fill value, both as JSON.
pub(super) fn typed(data_type: &str, fill_value: &str) -> String {
    let document = with(PLAIN, r#""data_type":"uint16""#, &format!(r#""data_type":{data_type}"#));
    with(&document, r#""fill_value":7"#, &format!(r#""fill_value":{fill_value}"#))
}

/// [`PLAIN`] with other codecs, as JSON.
pub(super) fn coded(codecs: &str) -> String {
    with(PLAIN, r#"[{"name":"bytes","configuration":{"endian":"little"}}]"#, codecs)
}

/// Bytes of a hexadecimal text.
pub(super) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hexadecimal digits")).collect()
}
