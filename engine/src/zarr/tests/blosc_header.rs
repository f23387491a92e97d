//! C34: the header of a blosc container.

use super::documents::unhex;
use crate::zarr::{BloscExpectation, BloscFormat, BloscHeader, BloscShuffle, ZarrError};

/// First 16 bytes of containers that c-blosc 1.21 (numcodecs 0.16.6) wrote.
mod real {
    /// 20000 x `<u2`, zstd, shuffle.
    pub(super) const ZSTD_SHUFFLE: &str = "02019102409c00000080000047020000";
    /// 5000 x `<u4`, blosclz, shuffle.
    pub(super) const BLOSCLZ_SPLIT: &str = "02010104204e0000204e000001020000";
    /// 1000 x `u1` zeros, lz4, no shuffle.
    pub(super) const LZ4_BYTES: &str = "02012001e8030000e803000026000000";
    /// 100000 x `<u8`, lz4hc, shuffle.
    pub(super) const LZ4HC_WIDE: &str = "0201210800350c0000350c00e4130000";
    /// 20000 x `<u2`, zlib, shuffle.
    pub(super) const ZLIB: &str = "02016102409c0000409c00007f020000";
    /// 2500 random `<u2`, zstd, shuffle: stored as they are.
    pub(super) const MEMCPYED: &str = "02019302881300008813000098130000";
    /// 20000 x `<u2`, lz4 at level 0, shuffle: stored as they are.
    pub(super) const LEVEL_0: &str = "02012302409c000000200000509c0000";
}

fn expect(decoded_bytes: u64, max_substreams: u32) -> BloscExpectation {
    BloscExpectation { decoded_bytes: Some(decoded_bytes), stored_bytes: None, max_substreams }
}

fn parse(hex: &str, decoded_bytes: u64) -> BloscHeader {
    BloscHeader::parse(&unhex(hex), expect(decoded_bytes, 64)).expect("written by c-blosc")
}

#[test]
fn c34_headers_of_c_blosc() {
    let header = parse(real::ZSTD_SHUFFLE, 40_000);
    let expected = BloscHeader {
        format: BloscFormat::Zstd,
        shuffle: BloscShuffle::Byte,
        memcpyed: false,
        split: false,
        typesize: 2,
        nbytes: 40_000,
        blocksize: 32_768,
        cbytes: 583,
    };
    assert_eq!(header, expected);
    assert_eq!((header.nblocks(), header.substreams(), header.preamble_len()), (2, 2, 24));
    assert_eq!([0, 1].map(|block| header.block_len(block)), [32_768, 7232]);

    let header = parse(real::BLOSCLZ_SPLIT, 20_000);
    assert_eq!((header.format, header.split, header.nblocks(), header.substreams()), (BloscFormat::Blosclz, true, 1, 4));
    let header = parse(real::LZ4_BYTES, 1000);
    assert_eq!((header.format, header.shuffle, header.substreams()), (BloscFormat::Lz4, BloscShuffle::None, 1));
    let header = parse(real::LZ4HC_WIDE, 800_000);
    assert_eq!((header.format, header.blocksize, header.substreams()), (BloscFormat::Lz4, 800_000, 8));
    let header = parse(real::ZLIB, 40_000);
    assert_eq!((header.format, header.split, header.substreams()), (BloscFormat::Zlib, true, 2));
}

#[test]
fn c34_memcpyed_containers_have_no_blocks_to_undo() {
    for (hex, decoded) in [(real::MEMCPYED, 5000), (real::LEVEL_0, 40_000)] {
        let header = parse(hex, decoded);
        assert!(header.memcpyed);
        assert_eq!((header.shuffle, header.substreams(), header.preamble_len()), (BloscShuffle::None, 0, 16));
    }
}

#[test]
fn c34_splits_follow_c_blosc() {
    // A split container of 2 x u4: full blocks have a stream per byte, the short last one has one.
    let mut bytes = unhex(real::BLOSCLZ_SPLIT);
    bytes[8..12].copy_from_slice(&8192u32.to_le_bytes());
    let header = BloscHeader::parse(&bytes, expect(20_000, 64)).expect("blocks of 8192, 8192, 3616");
    assert_eq!((header.nblocks(), header.substreams()), (3, 4 + 4 + 1));
    assert_eq!([header.streams_of(8192), header.streams_of(3616)], [4, 1]);
    // Streams of fewer than 128 bytes, or elements of more than 16, are not split whatever the flag says.
    bytes[8..12].copy_from_slice(&508u32.to_le_bytes());
    assert!(!BloscHeader::parse(&bytes, expect(20_000, 64)).expect("127 elements a block").split);
    let mut wide = unhex(real::BLOSCLZ_SPLIT);
    wide[3] = 20;
    assert!(!BloscHeader::parse(&wide, expect(20_000, 64)).expect("20-byte elements").split);
    wide[3] = 3;
    assert!(BloscHeader::parse(&wide, expect(20_000, 64)).is_err(), "20000 bytes do not split by 3");
}

#[test]
fn c34_substreams_are_limited() {
    let parse = |max| BloscHeader::parse(&unhex(real::LZ4HC_WIDE), expect(800_000, max));
    assert!(parse(8).is_ok());
    assert_eq!(parse(7), Err(ZarrError::Limit { what: "number of substreams of a blosc chunk", observed: 8, allowed: 7 }));
}

#[test]
fn c34_contradictions_are_refused() {
    let good = unhex(real::ZSTD_SHUFFLE);
    let reason = |bytes: &[u8], expected: BloscExpectation| match BloscHeader::parse(bytes, expected) {
        Err(ZarrError::Header(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason(&good[..15], expect(40_000, 64)).contains("15 bytes"));
    assert!(reason(&good, expect(40_001, 64)).contains("the chunk grid says 40001"));
    let stored = BloscExpectation { stored_bytes: Some(582), ..expect(40_000, 64) };
    assert!(reason(&good, stored).contains("582 are stored"));
    assert!(BloscHeader::parse(&good, BloscExpectation { stored_bytes: Some(583), ..stored }).is_ok());
    for (at, patch, words) in [
        (0, vec![1], "container version 1"),
        (0, vec![3], "container version 3"),
        (1, vec![2], "stream version 2"),
        (2, vec![0xb1], "compressor format 5"),
        (2, vec![0x99], "reserved"),
        (2, vec![0x95], "byte and bit shuffle"),
        (3, vec![0], "element size 0"),
        (8, vec![0; 4], "block size 0"),
        (8, 40_001u32.to_le_bytes().to_vec(), "block size 40001"),
        (8, vec![0xff; 4], "block size 4294967295"),
        (12, 31u32.to_le_bytes().to_vec(), "take 32 bytes"),
        (12, vec![0; 4], "the container says 0"),
    ] {
        let mut bytes = good.clone();
        bytes[at..at + patch.len()].copy_from_slice(&patch);
        let reason = reason(&bytes, expect(40_000, 64));
        assert!(reason.contains(words), "{reason}");
    }
    let mut memcpyed = unhex(real::MEMCPYED);
    memcpyed[12] -= 1;
    assert!(reason(&memcpyed, expect(5000, 64)).contains("16 more"));
}
