//! C30, parse side: what is read, and what is refused by name.

use super::documents::*;
use crate::zarr::*;

fn parse(document: &str) -> ArrayMeta {
    ArrayMeta::parse(document.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{document}"))
}

/// The error of a document that must be refused as `Unsupported`.
fn unsupported(document: &str) -> String {
    match ArrayMeta::parse(document.as_bytes()) {
        Err(ZarrError::Unsupported(reason)) => reason,
        other => panic!("expected a refusal, found {other:?}\n{document}"),
    }
}

fn malformed(document: &str) -> String {
    match ArrayMeta::parse(document.as_bytes()) {
        Err(ZarrError::Malformed(reason)) => reason,
        other => panic!("expected malformed, found {other:?}\n{document}"),
    }
}

fn limit(document: &str) -> (&'static str, u64, u64) {
    match ArrayMeta::parse(document.as_bytes()) {
        Err(ZarrError::Limit { what, observed, allowed }) => (what, observed, allowed),
        other => panic!("expected a limit, found {other:?}\n{document}"),
    }
}

fn axes<T: Copy>(values: &[T]) -> Axes<T> {
    values.iter().copied().collect()
}

#[test]
fn c30_plain_array_of_zarr_python() {
    let meta = parse(PLAIN);
    assert_eq!(meta.shape[..], [10, 20]);
    assert_eq!(meta.data_type, DataType::UInt16);
    assert_eq!(meta.fill_value.as_ne_bytes(), 7u16.to_ne_bytes());
    assert_eq!(meta.chunk_shape[..], [5, 8]);
    assert_eq!(meta.keys, ChunkKeys::Default(Separator::Slash));
    let chain = CodecChain { array_to_array: vec![], array_to_bytes: ArrayToBytes::Bytes(Endian::Little), bytes_to_bytes: vec![] };
    assert_eq!(meta.codecs, chain);
}

#[test]
fn c30_sharded_array_of_zarr_python() {
    let meta = parse(SHARDED);
    let bytes = ArrayToBytes::Bytes(Endian::Little);
    let chain = |codec| CodecChain { array_to_array: vec![], array_to_bytes: bytes.clone(), bytes_to_bytes: vec![codec] };
    let sharding = Sharding {
        chunk_shape: axes(&[32, 64, 64]),
        codecs: chain(BytesToBytes::Zstd { level: 3, checksum: true }),
        index_codecs: chain(BytesToBytes::Crc32c),
        index_location: IndexLocation::End,
    };
    assert_eq!(meta.codecs.array_to_bytes, ArrayToBytes::Sharding(Box::new(sharding)));
}

#[test]
fn c30_blosc_and_v2_keys_of_zarr_python() {
    let meta = parse(BLOSC_V2_KEYS);
    assert_eq!(meta.keys, ChunkKeys::V2(Separator::Dot));
    let blosc = BytesToBytes::Blosc { compressor: BloscCompressor::Lz4, level: 5, shuffle: BloscShuffle::Bit, typesize: 4, blocksize: 0 };
    assert_eq!(meta.codecs.bytes_to_bytes, [blosc]);
    assert_eq!(meta.fill_value.as_ne_bytes(), 0x7fc0_0000u32.to_ne_bytes());
}

#[test]
fn c30_transpose_big_endian_gzip_crc_of_zarr_python() {
    let meta = parse(TRANSPOSED);
    assert_eq!(meta.codecs.array_to_array, [Transpose { order: axes(&[2, 0, 1]) }]);
    assert_eq!(meta.codecs.array_to_bytes, ArrayToBytes::Bytes(Endian::Big));
    assert_eq!(meta.codecs.bytes_to_bytes, [BytesToBytes::Gzip { level: 1 }, BytesToBytes::Crc32c]);
    // numpy: ones((5, 8, 6)).transpose(2, 0, 1).shape
    assert_eq!(meta.codecs.encoded_shape(&meta.chunk_shape)[..], [6, 5, 8]);
}

#[test]
fn c30_transposes_compose_in_encoding_order() {
    let codecs = r#"[{"name":"transpose","configuration":{"order":[1,2,0]}},{"name":"transpose","configuration":{"order":[0,2,1]}},{"name":"bytes","configuration":{"endian":"little"}}]"#;
    let document = with(&coded(codecs), "[10,20]", "[10,20,30]");
    let meta = parse(&with(&document, "[5,8]", "[2,3,4]"));
    // numpy: ones((2, 3, 4)).transpose(1, 2, 0).transpose(0, 2, 1).shape == (3, 2, 4)
    assert_eq!(meta.codecs.encoded_shape(&[2, 3, 4])[..], [3, 2, 4]);
    assert_eq!(meta.codecs.encoded_axes(3)[..], [1, 0, 2]);
}

#[test]
fn c30_names_stand_for_extensions_without_configuration() {
    let document = with(PLAIN, r#"{"name":"default","configuration":{"separator":"/"}}"#, r#""default""#);
    assert_eq!(parse(&document).keys, ChunkKeys::Default(Separator::Slash));
    let document = with(PLAIN, r#"{"name":"default","configuration":{"separator":"/"}}"#, r#"{"name":"v2"}"#);
    assert_eq!(parse(&document).keys, ChunkKeys::V2(Separator::Dot));
    let document = with(PLAIN, r#""separator":"/""#, r#""separator":".""#);
    assert_eq!(parse(&document).keys, ChunkKeys::Default(Separator::Dot));
    let document = with(&coded(r#"["bytes","crc32c"]"#), "uint16", "uint8");
    assert_eq!(parse(&document).codecs.bytes_to_bytes, [BytesToBytes::Crc32c]);
    assert_eq!(parse(&typed(r#"{"name":"int8","configuration":{}}"#, "-128")).data_type, DataType::Int8);
}

#[test]
fn c30_configurations_of_older_writers() {
    let coded_as = |codec: &str| coded(&format!(r#"[{{"name":"bytes","configuration":{{"endian":"little"}}}},{codec}]"#));
    let zstd = coded_as(r#"{"name":"zstd","configuration":{"level":-5}}"#);
    assert_eq!(parse(&zstd).codecs.bytes_to_bytes, [BytesToBytes::Zstd { level: -5, checksum: false }]);
    let blosc = coded_as(r#"{"name":"blosc","configuration":{"cname":"zstd","clevel":1,"shuffle":"noshuffle","blocksize":0}}"#);
    assert!(matches!(parse(&blosc).codecs.bytes_to_bytes[..], [BytesToBytes::Blosc { shuffle: BloscShuffle::None, .. }]));
    let blosc = coded_as(r#"{"name":"blosc","configuration":{"cname":"zstd","clevel":1,"shuffle":"shuffle","blocksize":0}}"#);
    assert!(malformed(&blosc).contains("typesize"));
}

#[test]
fn c30_unknown_things_are_refused_by_name() {
    let bytes = r#"{"name":"bytes","configuration":{"endian":"little"}}"#;
    for (document, names) in [
        (typed(r#""r16""#, "[0,0]"), vec!["data_type", "`r16`"]),
        (typed(r#"{"name":"numpy.datetime64","configuration":{"unit":"s"}}"#, "0"), vec!["`numpy.datetime64`"]),
        (typed(r#"{"name":"uint16","configuration":{"unit":"s"}}"#, "0"), vec!["`unit`", "data_type"]),
        (with(PLAIN, "regular", "rectilinear"), vec!["chunk_grid", "`rectilinear`"]),
        (with(PLAIN, r#""chunk_shape":[5,8]"#, r#""chunk_shape":[5,8],"offset":[0,0]"#), vec!["`offset`", "chunk_grid.configuration"]),
        (with(PLAIN, r#""name":"default""#, r#""name":"morton""#), vec!["chunk_key_encoding", "`morton`"]),
        (with(PLAIN, r#""separator":"/""#, r#""prefix":"/""#), vec!["`prefix`", "chunk_key_encoding.configuration"]),
        (coded(r#"["numcodecs.zlib"]"#), vec!["codec", "`numcodecs.zlib`", "codecs[0]"]),
        (coded(&format!(r#"[{bytes},{{"name":"zstd","configuration":{{"level":1,"dictionary":"x"}}}}]"#)), vec!["`dictionary`"]),
        (coded(&format!(r#"[{bytes},{{"name":"crc32c","configuration":{{"seed":1}}}}]"#)), vec!["`seed`", "codecs[1].configuration"]),
        (coded(&format!(r#"[{{"name":"transpose","configuration":{{"order":"F"}}}},{bytes}]"#)), vec!["order", "string"]),
        (coded(r#"[{"name":"bytes","configuration":{"endian":"little"},"version":2}]"#), vec!["`version`", "codecs[0]"]),
        (
            with(PLAIN, r#""storage_transformers":[]"#, r#""storage_transformers":[{"name":"rot13"}]"#),
            vec!["storage transformer", "`rot13`"],
        ),
        (with(PLAIN, r#""attributes":{}"#, r#""mask":{"name":"m"}"#), vec!["`mask`"]),
        (with(PLAIN, r#""attributes":{}"#, r#""mask":{"must_understand":true}"#), vec!["`mask`"]),
        (with(PLAIN, r#""attributes":{}"#, r#""mask":3"#), vec!["`mask`"]),
        (with(PLAIN, "[10,20]", "[]"), vec!["shape", "rank 0"]),
    ] {
        let reason = unsupported(&document);
        assert!(names.iter().all(|name| reason.contains(name)), "{reason} does not name {names:?}");
    }
}

#[test]
fn c30_what_need_not_be_understood_is_passed_over() {
    let ignorable = r#"{"must_understand":false,"metadata":{"deep":[1,{"x":"y"}]}}"#;
    parse(&with(PLAIN, r#""attributes":{}"#, &format!(r#""attributes":{{}},"consolidated":{ignorable}"#)));
    parse(&with(PLAIN, r#""storage_transformers":[]"#, r#""storage_transformers":[{"name":"rot13","must_understand":false}]"#));
    let codecs = r#"[{"name":"bytes","configuration":{"endian":"little"}},{"name":"hint","must_understand":false}]"#;
    assert!(parse(&coded(codecs)).codecs.bytes_to_bytes.is_empty());
    // A known codec is understood or refused, whatever the mark says.
    let codecs = r#"[{"name":"bytes","configuration":{"endian":"middle"},"must_understand":false}]"#;
    assert!(malformed(&coded(codecs)).contains("`middle`"));
    // The specification has no such mark for these.
    unsupported(&typed(r#"{"name":"r8","must_understand":false}"#, "[0]"));
    unsupported(&with(PLAIN, r#""name":"regular""#, r#""must_understand":false,"name":"sparse""#));
}

#[test]
fn c30_codec_order_is_checked() {
    let [bytes, zstd, transpose] = [
        r#"{"name":"bytes","configuration":{"endian":"little"}}"#,
        r#"{"name":"zstd","configuration":{"level":1,"checksum":false}}"#,
        r#"{"name":"transpose","configuration":{"order":[1,0]}}"#,
    ];
    for (codecs, words) in [
        (vec![], "no array-to-bytes codec"),
        (vec![transpose], "no array-to-bytes codec"),
        (vec![zstd, bytes], "codecs[0]: `zstd` (bytes to bytes) stands before"),
        (vec![bytes, transpose], "codecs[1]: `transpose` (array to array) stands after"),
        (vec![bytes, bytes], "codecs[1]: `bytes` (array to bytes) stands after"),
    ] {
        let reason = malformed(&coded(&format!("[{}]", codecs.join(","))));
        assert!(reason.contains(words), "{reason}");
    }
}

#[test]
fn c30_groups_and_v2_are_no_arrays() {
    for (document, word) in [(GROUP, "group"), (V2, "v2"), (&with(PLAIN, r#""zarr_format":3"#, r#""zarr_format":4"#), "4")] {
        match ArrayMeta::parse(document.as_bytes()) {
            Err(ZarrError::NotAnArray(reason)) => assert!(reason.contains(word), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn c30_malformed_values_are_refused_with_their_place() {
    let bytes = r#"{"name":"bytes","configuration":{"endian":"little"}}"#;
    let sharded = |old, new| with(SHARDED, old, new);
    for (document, words) in [
        (with(PLAIN, "[10,20]", "[10,-1]"), vec!["shape[1]", "`-1`"]),
        (with(PLAIN, "[10,20]", "[10,2.0]"), vec!["shape[1]", "`2.0`"]),
        (with(PLAIN, "[10,20]", "[10,9223372036854775808]"), vec!["shape[1]", "9223372036854775807"]),
        (with(PLAIN, "[5,8]", "[5,0]"), vec!["chunk_grid.configuration.chunk_shape[1]", "`0`"]),
        (with(PLAIN, "[5,8]", "[5]"), vec!["chunk_shape", "2 extents"]),
        (with(PLAIN, r#""zarr_format":3"#, r#""zarr_format":3.0"#), vec!["zarr_format", "`3.0`"]),
        (with(PLAIN, r#""zarr_format":3"#, r#""zarr_format":"3""#), vec!["zarr_format"]),
        (with(PLAIN, r#","zarr_format":3"#, ""), vec!["no member `zarr_format`"]),
        (with(PLAIN, r#""fill_value":7,"#, ""), vec!["no member `fill_value`"]),
        (with(PLAIN, r#""node_type":"array""#, r#""node_type":"table""#), vec!["node_type", "`table`"]),
        (with(PLAIN, r#""separator":"/""#, r#""separator":"-""#), vec!["chunk_key_encoding.configuration.separator", "`-`"]),
        (with(PLAIN, r#""attributes":{}"#, r#""attributes":[]"#), vec!["attributes"]),
        (with(PLAIN, r#""attributes":{}"#, r#""dimension_names":["x"]"#), vec!["dimension_names"]),
        (with(PLAIN, r#""fill_value":7"#, r#""fill_value":7,"fill_value":7"#), vec!["two members", "`fill_value`"]),
        (with(PLAIN, r#""endian":"little""#, r#""endian":"little","endian":"big""#), vec!["two members", "`endian`"]),
        (coded(r#"["bytes"]"#), vec!["codecs[0]", "endian", "uint16"]),
        (coded(&format!(r#"[{{"name":"transpose","configuration":{{"order":[0,0]}}}},{bytes}]"#)), vec!["permutation"]),
        (coded(&format!(r#"[{{"name":"transpose","configuration":{{"order":[0]}}}},{bytes}]"#)), vec!["permutation"]),
        (coded(&format!(r#"[{bytes},{{"name":"gzip","configuration":{{"level":10}}}}]"#)), vec!["codecs[1].configuration.level", "`10`"]),
        (sharded("[32,64,64]", "[32,64,60]"), vec!["codecs[0].configuration.chunk_shape", "do not divide"]),
        (sharded("[32,64,64]", "[32,64]"), vec!["do not divide"]),
        (sharded(r#""index_location":"end""#, r#""index_location":"middle""#), vec!["index_location", "`middle`"]),
        (PLAIN[..PLAIN.len() - 1].to_owned(), vec!["EOF"]),
        (format!("{PLAIN}x"), vec!["trailing"]),
        ("[]".to_owned(), vec!["an object"]),
    ] {
        let reason = malformed(&document);
        assert!(words.iter().all(|word| reason.contains(word)), "{reason} has not all of {words:?}");
    }
}

#[test]
fn c28_a_number_is_no_object_and_an_object_no_number() {
    // The spelling under which serde_json passes numbers around; with a plain `Value` this reads as the number 7.
    let forged = r#"{"$serde_json::private::Number":"7"}"#;
    let escaped = r#"{"\u0024serde_json::private::Number":"7"}"#;
    for object in [forged, escaped] {
        assert!(malformed(&with(PLAIN, r#""fill_value":7"#, &format!(r#""fill_value":{object}"#))).contains("reserved"));
    }
    for number in ["07", "+7", "7.", ".7", "0x7", "7e", "NaN", "-"] {
        malformed(&with(PLAIN, r#""fill_value":7"#, &format!(r#""fill_value":{number}"#)));
    }
}

#[test]
fn c30_index_codecs_have_a_fixed_length() {
    let crc = r#"{"name":"crc32c"}"#;
    let zstd = r#"{"name":"zstd","configuration":{"level":1,"checksum":false}}"#;
    assert!(unsupported(&with(SHARDED, crc, zstd)).contains("`zstd`"));
    let transpose = r#"{"name":"transpose","configuration":{"order":[3,2,1,0]}},{"name":"bytes","configuration":{"endian":"little"}},{"name":"crc32c"}"#;
    let reason = unsupported(&with(SHARDED, &format!(r#"{{"name":"bytes","configuration":{{"endian":"little"}}}},{crc}"#), transpose));
    assert!(reason.contains("`transpose`"), "{reason}");
    assert!(
        malformed(&with(SHARDED, r#""index_codecs":[{"name":"bytes","configuration":{"endian":"little"}}"#, r#""index_codecs":["bytes""#))
            .contains("endian")
    );
    let no_crc = parse(&with(SHARDED, &format!(",{crc}"), ""));
    let Layout::Sharded(shard) = no_crc.layout() else { panic!("a shard") };
    assert_eq!((shard.index.checksums, shard.index.encoded_len()), (0, 8 * 16));
}

#[test]
fn c28_limits_come_before_memory() {
    let chunk = |shape: &str| with(PLAIN, "[5,8]", shape);
    assert_eq!(limit(&chunk("[65536,65536]")), ("size of a chunk, bytes decoded", 1 << 33, MAX_CHUNK_BYTES));
    assert_eq!(limit(&chunk("[4294967296,4294967296]")).1, u64::MAX);
    assert_eq!(parse(&chunk("[32768,65536]")).layout().chunk_shape(), [32768, 65536]);
    assert_eq!(limit(&with(SHARDED, "[64,128,128]", "[3200,6400,6400000]")).0, "number of inner chunks in a shard");
    // A shard may be larger than a chunk: only what is decoded at once counts.
    assert!(matches!(parse(&with(SHARDED, "[64,128,128]", "[3200,6400,6400]")).layout(), Layout::Sharded(_)));
    let huge = with(&with(PLAIN, "[10,20]", "[9223372036854775807,9223372036854775807]"), "[5,8]", "[1,1]");
    assert_eq!(limit(&huge).0, "number of cells of the chunk grid");
    let empty = with(PLAIN, "[10,20]", "[9223372036854775807,0]");
    assert_eq!(parse(&empty).grid_shape()[1], 0);
    let rank = |n: usize| with(PLAIN, "[10,20]", &format!("[{}]", vec!["1"; n].join(",")));
    assert_eq!(limit(&rank(33)), ("rank of the array", 33, 32));
    assert_eq!(parse(&with(&rank(32), "[5,8]", &format!("[{}]", vec!["1"; 32].join(",")))).rank(), 32);
    let codecs = vec![r#"{"name":"bytes","configuration":{"endian":"little"}}"#; 33].join(",");
    assert_eq!(limit(&coded(&format!("[{codecs}]"))).0, "number of codecs in a chain");
    assert_eq!(limit(&coded(&format!("[{}0]", "0,".repeat(1 << 16)))).0, "number of JSON values in zarr.json");
    malformed(&coded(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))));
    let long = with(PLAIN, r#""attributes":{}"#, &format!(r#""attributes":{{"a":"{}"}}"#, "x".repeat(MAX_DOCUMENT_BYTES as usize)));
    assert_eq!(limit(&long).0, "length of zarr.json, bytes");
}

#[test]
fn c28_nesting_of_sharding_is_bounded() {
    let bytes = r#"{"name":"bytes","configuration":{"endian":"little"}}"#;
    let nest = |depth: usize| {
        (0..depth).fold(bytes.to_owned(), |inner, _| {
            format!(r#"{{"name":"sharding_indexed","configuration":{{"chunk_shape":[5,8],"codecs":[{inner}],"index_codecs":[{bytes}]}}}}"#)
        })
    };
    parse(&coded(&format!("[{}]", nest(MAX_SHARDING_DEPTH))));
    let (what, observed, allowed) = limit(&coded(&format!("[{}]", nest(MAX_SHARDING_DEPTH + 1))));
    assert_eq!((what, observed, allowed), ("nesting of sharding", 9, 8));
}

#[test]
fn describes_itself_in_words() {
    let meta = parse(SHARDED);
    assert_eq!(
        meta.codecs.to_string(),
        "shards of 32x64x64 chunks(bytes(little) > zstd(level 3, checksum)), index at the end(bytes(little) > crc32c)"
    );
    assert_eq!(meta.layout().to_string(), "2x2x2 chunks of 32x64x64, index of 8 entries, 132 bytes at the end");
    assert_eq!(parse(TRANSPOSED).codecs.to_string(), "transpose(2, 0, 1) > bytes(big) > gzip(level 1) > crc32c");
    assert_eq!(parse(BLOSC_V2_KEYS).codecs.to_string(), "bytes(little) > blosc(lz4 level 5, bit shuffle of 4 bytes)");
    assert_eq!(parse(BLOSC_V2_KEYS).keys.to_string(), "0.1");
    assert_eq!(parse(&typed(r#""complex64""#, r#"[1.5,-2]"#)).fill_value.describe(DataType::Complex64), "1.5-2i");
    assert_eq!(parse(TRANSPOSED).fill_value.describe(DataType::Int32), "-1");
}
