//! Whole blosc containers against c-blosc (C28, C33): what it made decodes to what went in; what was damaged since is an error
//! or decodes to what c-blosc reads; a part of it is that part of the whole.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use longshore::codec::{ChunkDecoder, Coverage, Scratch};
use longshore::zarr::{ArrayToBytes, BloscCompressor, BloscShuffle, BytesToBytes, CodecChain, DataType, Endian, FillValue};

/// Decoded bytes at most: two blocks of the sizes that c-blosc chooses by itself.
const MAX_BYTES: usize = 1 << 17;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    kind: Kind,
    /// Bytes changed in the container: where, and by what.
    damage: Vec<(u16, u8)>,
    cut: u8,
    /// What is asked for beside the whole, in 256ths.
    part: (u8, u8),
    bytes: &'a [u8],
}

#[derive(Arbitrary, Debug)]
enum Kind {
    /// The bytes are a container.
    Raw,
    /// The bytes are data, so many times over; c-blosc makes the container.
    Made { compressor: u8, level: u8, filter: u8, typesize: u8, blocksize: u16, times: u8 },
}

thread_local! {
    /// Used from input to input: one that has seen the worst must decode as a new one does.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

fuzz_target!(|input: Input<'_>| {
    let (mut container, data) = match input.kind {
        Kind::Raw => (input.bytes.to_vec(), None),
        Kind::Made { compressor, level, filter, typesize, blocksize, times } => {
            let data = input.bytes.repeat(usize::from(times) + 1);
            if data.is_empty() || data.len() > MAX_BYTES {
                return;
            }
            (compress(compressor, level, filter, typesize, blocksize, &data), Some(data))
        }
    };
    let intact = input.damage.is_empty() && input.cut == 0;
    damage(&mut container, &input.damage, input.cut);
    let Some(said) = container.get(4..8).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")) as usize) else { return };
    if said == 0 || said > MAX_BYTES {
        return;
    }
    let decoder = decoder(said);
    let mut out = vec![0x5a; said];
    let decoded = SCRATCH.with_borrow_mut(|scratch| decoder.decode(&container, &mut out, None, scratch));
    match (&decoded, data) {
        (Ok(coverage), data) => {
            assert_eq!(coverage, &Coverage::Full);
            assert!(out == decompress(&container, said), "c-blosc reads other bytes");
            if let Some(data) = data.filter(|_| intact) {
                assert!(out == data, "not what went in");
            }
        }
        (Err(error), Some(_)) if intact => panic!("made by c-blosc, and refused: {error}"),
        (Err(_), _) => {}
    }
    check_part(&decoder, &container, input.part, decoded.is_ok().then_some(&out));
});

fn damage(container: &mut Vec<u8>, damage: &[(u16, u8)], cut: u8) {
    for &(at, by) in damage {
        if let Some(at) = usize::from(at).checked_rem(container.len()) {
            container[at] ^= by;
        }
    }
    container.truncate(container.len().saturating_sub(cut.into()));
}

fn decoder(len: usize) -> ChunkDecoder {
    // What the document says of the compressor is not what decides: the container's own header is.
    let said = BytesToBytes::Blosc { compressor: BloscCompressor::Lz4, level: 5, shuffle: BloscShuffle::Byte, typesize: 2, blocksize: 0 };
    let chain = CodecChain { array_to_array: vec![], array_to_bytes: ArrayToBytes::Bytes(Endian::Little), bytes_to_bytes: vec![said] };
    ChunkDecoder::compile(&chain, &[len as u64], DataType::UInt8, FillValue::from_ne_bytes(&[0])).expect("a supported chain")
}

/// A part covers what is wanted, and says what the whole says. If the whole is no container, a part may still be one.
fn check_part(decoder: &ChunkDecoder, container: &[u8], (first, len): (u8, u8), whole: Option<&Vec<u8>>) {
    let size = decoder.decoded_len();
    let start = usize::from(first) * (size - 1) / 255;
    let wanted = start..(start + 1 + usize::from(len) * size / 256).min(size);
    let mut part = vec![0x33; size];
    let decoded = SCRATCH.with_borrow_mut(|scratch| decoder.decode(container, &mut part, Some(std::slice::from_ref(&wanted)), scratch));
    let covered = match (decoded, whole) {
        (Ok(Coverage::Full), _) => vec![0..size],
        (Ok(Coverage::Ranges(ranges)), _) => ranges,
        (Err(error), Some(_)) => panic!("the whole is decoded, {wanted:?} is not: {error}"),
        (Err(_), None) => return,
    };
    assert!(covered.iter().any(|range| range.start <= wanted.start && wanted.end <= range.end), "{wanted:?} is not in {covered:?}");
    if let Some(whole) = whole {
        assert!(covered.into_iter().all(|range| part[range.clone()] == whole[range]), "a part differs from the whole");
    }
}

fn compress(compressor: u8, level: u8, filter: u8, typesize: u8, blocksize: u16, data: &[u8]) -> Vec<u8> {
    let name = [c"blosclz", c"lz4", c"lz4hc", c"snappy", c"zlib", c"zstd"][usize::from(compressor) % 6];
    let mut container = vec![0; data.len() + 16];
    // SAFETY: both buffers are valid for the lengths given, and the name ends with a zero.
    let made = unsafe {
        blosc_src::blosc_compress_ctx(
            (level % 10).into(),
            (filter % 3).into(),
            typesize.max(1).into(),
            data.len(),
            data.as_ptr().cast(),
            container.as_mut_ptr().cast(),
            container.len(),
            name.as_ptr(),
            blocksize.into(),
            1,
        )
    };
    assert!(made > 0, "c-blosc makes a container of {} bytes", data.len());
    container.truncate(made as usize);
    container
}

/// What c-blosc reads. Asked only about containers that we could decode: of others it may read beyond the end.
fn decompress(container: &[u8], len: usize) -> Vec<u8> {
    let mut said = 0;
    // SAFETY: the container is valid for its length.
    let valid = unsafe { blosc_src::blosc_cbuffer_validate(container.as_ptr().cast(), container.len(), &mut said) };
    assert!(valid >= 0 && said == len, "c-blosc refuses the container, we read it");
    let mut out = vec![0xa5; len];
    // SAFETY: c-blosc accepted the container's lengths, and the output is as long as it says.
    let read = unsafe { blosc_src::blosc_decompress_ctx(container.as_ptr().cast(), out.as_mut_ptr().cast(), len, 1) };
    assert_eq!(read, len as i32, "c-blosc cannot read the container, we can");
    out
}
