//! Chains against other implementations' encoders, and hostile bytes.

#![allow(clippy::single_range_in_vec_init, reason = "wanted bytes are ranges")]

mod chains;
mod hostile;
mod parts;
mod shards;

use std::io::Write;

use super::{ChunkDecoder, CodecError, Coverage, Scratch};
use crate::zarr::{ArrayToBytes, BloscCompressor, BloscShuffle, BytesToBytes, CodecChain, DataType, Endian, FillValue, Transpose};

pub(super) const ZSTD: BytesToBytes = BytesToBytes::Zstd { level: 3, checksum: false };
pub(super) const GZIP: BytesToBytes = BytesToBytes::Gzip { level: 5 };
pub(super) const CRC: BytesToBytes = BytesToBytes::Crc32c;
pub(super) const BLOSC: BytesToBytes =
    BytesToBytes::Blosc { compressor: BloscCompressor::Lz4, level: 5, shuffle: BloscShuffle::Byte, typesize: 2, blocksize: 0 };

/// Bytes that nothing compresses (splitmix64).
pub(super) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(len).collect()
}

/// Bytes like an image of elements of `typesize` bytes: the low byte wanders, the others hardly change.
pub(super) fn smooth(len: usize, typesize: usize) -> Vec<u8> {
    let steps = noise(len, 77);
    let mut level = 0_u8;
    let byte = |i: usize| {
        if i.is_multiple_of(typesize) {
            level = level.wrapping_add(steps[i] & 3);
            level
        } else {
            (i / 5000) as u8
        }
    };
    (0..len).map(byte).collect()
}

pub(super) fn chain(bytes_to_bytes: &[BytesToBytes]) -> CodecChain {
    CodecChain { array_to_array: vec![], array_to_bytes: ArrayToBytes::Bytes(Endian::Little), bytes_to_bytes: bytes_to_bytes.to_vec() }
}

/// A decoder of `len` bytes.
pub(super) fn bytes_decoder(bytes_to_bytes: &[BytesToBytes], len: usize) -> ChunkDecoder {
    ChunkDecoder::compile(&chain(bytes_to_bytes), &[len as u64], DataType::UInt8, FillValue::from_ne_bytes(&[0])).unwrap()
}

/// Encodes with the codecs of other implementations.
pub(super) fn encode(codecs: &[BytesToBytes], data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    for codec in codecs {
        bytes = match codec {
            BytesToBytes::Zstd { level, checksum } => zstd_frame(&bytes, *level, *checksum),
            BytesToBytes::Gzip { level } => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(*level as u32));
                encoder.write_all(&bytes).unwrap();
                encoder.finish().unwrap()
            }
            BytesToBytes::Blosc { blocksize, typesize, .. } => super::blosc::tests::compress("lz4", 5, 1, *typesize, *blocksize, &bytes),
            BytesToBytes::Crc32c => {
                let crc = crc32c_by_bits(&bytes);
                bytes.extend(crc.to_le_bytes());
                bytes
            }
        };
    }
    bytes
}

pub(super) fn zstd_frame(data: &[u8], level: i32, checksum: bool) -> Vec<u8> {
    let mut context = zstd_safe::CCtx::create();
    context.set_parameter(zstd_safe::CParameter::CompressionLevel(level)).unwrap();
    context.set_parameter(zstd_safe::CParameter::ChecksumFlag(checksum)).unwrap();
    let mut frame = vec![0; zstd_safe::compress_bound(data.len())];
    let len = context.compress2(&mut frame[..], data).unwrap();
    frame.truncate(len);
    frame
}

/// CRC-32C by its definition: reflected polynomial 0x82f63b78, initial and final xor all ones.
fn crc32c_by_bits(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ byte as u32, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 }))
}

pub(super) fn decode(decoder: &ChunkDecoder, encoded: &[u8], scratch: &mut Scratch) -> Result<Vec<u8>, CodecError> {
    let mut out = vec![0xee; decoder.decoded_len()];
    let coverage = decoder.decode(encoded, &mut out, None, scratch)?;
    assert_eq!(coverage, Coverage::Full);
    Ok(out)
}

/// A transpose of `order`.
pub(super) fn transpose(order: &[usize]) -> Transpose {
    Transpose { order: order.iter().copied().collect() }
}
