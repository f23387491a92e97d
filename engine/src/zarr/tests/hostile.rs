//! C28: any bytes yield an error or a value that keeps its promises. No panic, no overflow (tests run with overflow checks).

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::documents::ARRAYS;
use crate::zarr::*;

fn config(cases: u32) -> ProptestConfig {
    // One seed for all machines; a failure prints the smallest input it finds.
    ProptestConfig { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(2026), ..ProptestConfig::default() }
}

/// Pieces that documents are made of, and that parsers trip over.
const PIECES: [&str; 28] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\u0000",
    "\\",
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "18446744073709551615",
    "9223372036854775807",
    "4294967296",
    "0.5",
    "\"NaN\"",
    "\"0xffffffff\"",
    "\"transpose\"",
    "\"sharding_indexed\"",
    "\"crc32c\"",
    "{\"name\":\"crc32c\"}",
    "\"must_understand\":false",
    "[1,1,1]",
    "\"$serde_json::private::Number\"",
    "\u{fffd}",
];

#[derive(Clone, Debug)]
enum Mutation {
    Byte(usize, u8),
    Insert(usize, usize),
    Overwrite(usize, usize),
    Cut(usize, usize),
    Copy(usize, usize, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        (any::<usize>(), 0..PIECES.len()).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        (any::<usize>(), 0..PIECES.len()).prop_map(|(at, piece)| Mutation::Overwrite(at, piece)),
        (any::<usize>(), 0..40usize).prop_map(|(at, length)| Mutation::Cut(at, length)),
        (any::<usize>(), any::<usize>(), 0..200usize).prop_map(|(from, to, length)| Mutation::Copy(from, to, length)),
    ]
}

fn mutate(document: &mut Vec<u8>, mutation: &Mutation) {
    let place = |at: usize, document: &Vec<u8>| at % (document.len() + 1);
    match *mutation {
        Mutation::Byte(at, byte) => {
            let at = place(at, document);
            document.splice(at..document.len().min(at + 1), [byte]);
        }
        Mutation::Insert(at, piece) => {
            let at = place(at, document);
            document.splice(at..at, PIECES[piece].bytes());
        }
        Mutation::Overwrite(at, piece) => {
            let at = place(at, document);
            let end = document.len().min(at + PIECES[piece].len());
            document.splice(at..end, PIECES[piece].bytes());
        }
        Mutation::Cut(at, length) => {
            let at = place(at, document);
            document.drain(at..document.len().min(at + length));
        }
        Mutation::Copy(from, to, length) => {
            let (from, to) = (place(from, document), place(to, document));
            let piece = document[from..document.len().min(from + length)].to_vec();
            document.splice(to..to, piece);
        }
    }
}

/// What every accepted document promises to its users.
fn check_promises(meta: &ArrayMeta) {
    assert!((1..=MAX_RANK).contains(&meta.rank()) && meta.chunk_shape.len() == meta.rank());
    assert!(meta.chunk_shape.iter().all(|&extent| (1..=MAX_EXTENT).contains(&extent)));
    assert_eq!(meta.fill_value.as_ne_bytes().len(), meta.data_type.size());
    let cells = cell_count(&meta.grid_shape()).expect("the grid was counted");
    if let Some(last) = cells.checked_sub(1) {
        let coords = coordinates(last, &meta.grid_shape()).expect("the last cell");
        assert_eq!(linear_index(&coords, &meta.grid_shape()), Some(last));
        let mut key = String::new();
        meta.keys.write_key(&coords, &mut key);
        assert!(!key.is_empty());
    }
    let layout = meta.layout();
    let elements: u64 = layout.chunk_shape().iter().product();
    assert!(elements * meta.data_type.size() as u64 <= MAX_CHUNK_BYTES);
    if let Layout::Sharded(shard) = &layout {
        let last: Axes<u64> = shard.inner_per_shard.iter().map(|count| count - 1).collect();
        assert_eq!(shard.entry(&last), Some(shard.index.entries - 1));
        assert!(shard.index.encoded_len() <= MAX_INDEX_ENTRIES * 16 + 4 * MAX_CODECS as u64);
        shard.inner_chain.encoded_shape(&shard.inner_shape);
    }
    let _ = (layout.to_string(), meta.codecs.to_string(), meta.fill_value.describe(meta.data_type));
}

proptest! {
    #![proptest_config(config(4000))]

    #[test]
    fn c28_mutated_documents(which in 0..ARRAYS.len(), mutations in vec(mutation(), 1..8)) {
        let mut document = ARRAYS[which].as_bytes().to_vec();
        mutations.iter().for_each(|mutation| mutate(&mut document, mutation));
        if let Ok(meta) = ArrayMeta::parse(&document) {
            check_promises(&meta);
        }
    }

    #[test]
    fn c28_random_documents(bytes in vec(any::<u8>(), 0..300), pieces in vec(0..PIECES.len(), 0..60)) {
        let _ = ArrayMeta::parse(&bytes);
        let text: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
        let _ = ArrayMeta::parse(text.as_bytes());
    }

    #[test]
    fn c28_numbers_as_fill(digits in "-?[0-9]{1,30}(\\.[0-9]{1,40})?([eE][-+]?[0-9]{1,25})?", data_type in 0..DataType::ALL.len()) {
        let document = super::documents::typed(&format!("\"{}\"", DataType::ALL[data_type]), &digits);
        if let Ok(meta) = ArrayMeta::parse(document.as_bytes()) {
            check_promises(&meta);
        }
    }

    #[test]
    fn c28_random_indexes(
        words in vec(prop_oneof![any::<u64>(), 0..200u64, Just(u64::MAX), Just(u64::MAX - 1)], 0..40),
        checksums in 0..3u32,
        at_start in any::<bool>(),
        big in any::<bool>(),
        object_size in proptest::option::of(prop_oneof![0..400u64, any::<u64>()]),
        flip in proptest::option::of(any::<usize>()),
        entries in proptest::option::of(0..30usize),
    ) {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| if big { word.to_be_bytes() } else { word.to_le_bytes() }).collect();
        for _ in 0..checksums {
            bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        }
        if let Some(at) = flip.filter(|_| !bytes.is_empty()) {
            let at = at % bytes.len();
            bytes[at] ^= 1;
        }
        let format = IndexFormat {
            entries: entries.unwrap_or(words.len() / 2),
            endian: if big { Endian::Big } else { Endian::Little },
            checksums,
            location: if at_start { IndexLocation::Start } else { IndexLocation::End },
        };
        if let Ok(index) = ShardIndex::decode(&bytes, &format, object_size) {
            prop_assert_eq!(index.len(), format.entries);
            let index_start = object_size.map(|size| format.offset_in(size).expect("the object holds its index"));
            for (offset, length) in (0..index.len()).filter_map(|chunk| index.get(chunk)) {
                let end = offset.checked_add(length).expect("checked");
                prop_assert!(length > 0 && (!at_start || offset >= format.encoded_len()));
                prop_assert!(object_size.is_none_or(|size| end <= size));
                prop_assert!(at_start || index_start.is_none_or(|start| end <= start));
            }
        }
    }

    #[test]
    fn c28_random_blosc_headers(
        version in prop_oneof![Just(2u8), any::<u8>()],
        stream in prop_oneof![Just(1u8), any::<u8>()],
        flags in any::<u8>(),
        typesize in any::<u8>(),
        nbytes in prop_oneof![0..100_000u32, any::<u32>()],
        blocksize in prop_oneof![0..100_000u32, any::<u32>()],
        cbytes in prop_oneof![0..100_000u32, any::<u32>()],
        max_substreams in any::<u32>(),
    ) {
        let mut bytes = vec![version, stream, flags, typesize];
        [nbytes, blocksize, cbytes].iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        let expected = BloscExpectation { decoded_bytes: Some(nbytes.into()), stored_bytes: None, max_substreams };
        if let Ok(header) = BloscHeader::parse(&bytes, expected) {
            let last = header.nblocks() - 1;
            prop_assert!(header.block_len(last) > 0 && header.block_len(last) <= header.blocksize);
            prop_assert_eq!(u64::from(last) * u64::from(header.blocksize) + u64::from(header.block_len(last)), u64::from(nbytes));
            prop_assert!(header.substreams() <= max_substreams.into());
            prop_assert!(header.preamble_len() <= cbytes.into());
            prop_assert_eq!(header.block_len(0) % header.streams_of(header.block_len(0)), 0);
        }
    }
}
