//! Any bytes as the header of a blosc container (C28, C34): an error, or lengths that add up.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use longshore::zarr::{BloscExpectation, BloscHeader};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    decoded_bytes: Option<u64>,
    stored_bytes: Option<u64>,
    max_substreams: u32,
    container: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let expected =
        BloscExpectation { decoded_bytes: input.decoded_bytes, stored_bytes: input.stored_bytes, max_substreams: input.max_substreams };
    let Ok(header) = BloscHeader::parse(input.container, expected) else { return };
    assert!(expected.decoded_bytes.is_none_or(|decoded| decoded == u64::from(header.nbytes)));
    assert!(expected.stored_bytes.is_none_or(|stored| stored == u64::from(header.cbytes)));
    let last = header.nblocks() - 1;
    assert!((1..=header.blocksize).contains(&header.block_len(last)));
    assert_eq!(u64::from(last) * u64::from(header.blocksize) + u64::from(header.block_len(last)), u64::from(header.nbytes));
    assert!(header.substreams() <= input.max_substreams.into());
    assert!(header.preamble_len() <= header.cbytes.into());
    assert_eq!(header.block_len(0) % header.streams_of(header.block_len(0)), 0);
});
