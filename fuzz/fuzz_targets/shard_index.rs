//! Any bytes as a shard index, in any format (C28, C29): what is accepted is safe to read.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use longshore::zarr::{Endian, IndexFormat, IndexLocation, ShardIndex};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// Added to the entries that fit the bytes, so that lengths mostly match.
    entries_off: Option<i8>,
    big: bool,
    at_start: bool,
    checksums: u8,
    /// Whether the checksums are made to match.
    signed: bool,
    object_size: Option<u64>,
    pairs: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let checksums = u32::from(input.checksums % 4);
    let mut bytes = input.pairs.to_vec();
    if input.signed {
        bytes.truncate(bytes.len() / 16 * 16);
        for _ in 0..checksums {
            bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        }
    }
    let entries = (input.pairs.len() / 16).saturating_add_signed(input.entries_off.unwrap_or(0).into());
    let format = IndexFormat {
        entries,
        endian: if input.big { Endian::Big } else { Endian::Little },
        checksums,
        location: if input.at_start { IndexLocation::Start } else { IndexLocation::End },
    };
    let Ok(index) = ShardIndex::decode(&bytes, &format, input.object_size) else { return };
    assert_eq!(index.len(), entries);
    let place = input.object_size.map(|size| format.offset_in(size).expect("the object holds its index"));
    for (offset, length) in (0..index.len()).filter_map(|chunk| index.get(chunk)) {
        let end = offset.checked_add(length).expect("a range");
        assert!(length > 0 && end <= index.data_end());
        assert!(input.object_size.is_none_or(|size| end <= size), "beyond the object");
        match input.at_start {
            true => assert!(offset >= format.encoded_len(), "in the index"),
            false => assert!(place.is_none_or(|place| end <= place), "in the index"),
        }
    }
});
