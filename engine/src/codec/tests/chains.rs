//! Whole chunks: byte order, transposes, lengths, checksums.

use super::*;

const CHAINS: &[&[BytesToBytes]] = &[
    &[],
    &[ZSTD],
    &[BytesToBytes::Zstd { level: 1, checksum: true }],
    &[GZIP],
    &[BLOSC],
    &[CRC],
    &[ZSTD, CRC],
    &[CRC, ZSTD],
    &[BLOSC, ZSTD],
    &[GZIP, CRC, ZSTD, CRC],
    &[BLOSC, GZIP, ZSTD],
    &[CRC, CRC],
    &[ZSTD, CRC, CRC, BLOSC],
];

#[test]
fn c30_every_chain_round_trips() {
    let mut scratch = Scratch::default();
    for len in [1, 3, 1000, 300_000] {
        for data in [noise(len, 4), smooth(len, 2)] {
            for codecs in CHAINS {
                let decoder = bytes_decoder(codecs, len);
                let encoded = encode(codecs, &data);
                assert!(encoded.len() <= decoder.max_encoded_len(), "{codecs:?}: {} of {len}", encoded.len());
                assert!(decode(&decoder, &encoded, &mut scratch).unwrap() == data, "{codecs:?}, {len} bytes");
                assert_eq!(decoder.is_identity(), codecs.is_empty());
            }
        }
    }
}

/// C32: a chunk that is longer or shorter than the grid says, for every codec, raw too; and one that is cut off.
#[test]
fn c32_wrong_lengths_and_truncation() {
    let mut scratch = Scratch::default();
    for codecs in CHAINS {
        let decoder = bytes_decoder(codecs, 5000);
        for len in [0, 1, 4999, 5001, 12_000] {
            if len == 0 && codecs.contains(&BLOSC) {
                continue;
            }
            let error = decode(&decoder, &encode(codecs, &smooth(len, 2)), &mut scratch).unwrap_err();
            match error {
                CodecError::Length { observed, expected } => {
                    let said = observed == len as u64 || observed == 5001 && len > 5001;
                    assert!(said && expected == 5000, "{codecs:?}: {observed} of {len}, {expected}");
                }
                // Only where a compressor stands between two others is the chunk's own length not known.
                error => assert!(codecs.len() > 1 && len > 5001, "{codecs:?}, {len} bytes: {error}"),
            }
        }
        let encoded = encode(codecs, &smooth(5000, 2));
        for cut in [1, 2, 5, encoded.len() / 2, encoded.len()] {
            let error = decode(&decoder, &encoded[..encoded.len() - cut], &mut scratch);
            assert!(error.is_err(), "{codecs:?}, cut by {cut}");
        }
        let mut longer = encoded.clone();
        longer.push(1);
        assert!(decode(&decoder, &longer, &mut scratch).is_err(), "{codecs:?}, one byte more");
    }
}

#[test]
fn c30_checksums_are_verified() {
    let mut scratch = Scratch::default();
    let checked: [&[BytesToBytes]; 5] = [&[CRC], &[ZSTD, CRC], &[CRC, ZSTD], &[GZIP], &[BytesToBytes::Zstd { level: 1, checksum: true }]];
    for codecs in checked {
        let decoder = bytes_decoder(codecs, 2000);
        let encoded = encode(codecs, &noise(2000, 5));
        for at in [60, 1000, encoded.len() - 1] {
            let mut bad = encoded.clone();
            bad[at] ^= 0x10;
            assert!(decode(&decoder, &bad, &mut scratch).is_err(), "{codecs:?}, byte {at}");
        }
    }
}

#[test]
fn c30_big_endian_of_every_type() {
    use DataType::*;
    let mut scratch = Scratch::default();
    for data_type in [Int16, UInt32, Int64, Float16, BFloat16, Float32, Float64, Complex64, Complex128] {
        let unit = data_type.swap_unit();
        for codecs in [&[][..], &[ZSTD], &[BLOSC]] {
            let mut chain = chain(codecs);
            chain.array_to_bytes = ArrayToBytes::Bytes(Endian::Big);
            let fill = FillValue::from_ne_bytes(&[0; 16][..data_type.size()]);
            let decoder = ChunkDecoder::compile(&chain, &[75], data_type, fill).unwrap();
            assert!(!decoder.is_identity());
            let native = noise(75 * data_type.size(), 6);
            let big: Vec<u8> = native.chunks_exact(unit).flat_map(|u| u.iter().rev().copied()).collect();
            let big = if cfg!(target_endian = "big") { native.clone() } else { big };
            assert!(decode(&decoder, &encode(codecs, &big), &mut scratch).unwrap() == native, "{data_type:?}");
        }
    }
    let mut chain = chain(&[]);
    chain.array_to_bytes = ArrayToBytes::Bytes(Endian::Big);
    let bytes = ChunkDecoder::compile(&chain, &[75], Int8, FillValue::from_ne_bytes(&[0])).unwrap();
    assert!(bytes.is_identity(), "one byte has no order");
}

/// numpy: `a.transpose(order)` of an array `a`, written in C order, is what `transpose` stores.
#[test]
fn c30_transposes_are_strides() {
    let shape = [3_u64, 4, 5];
    // What numpy.transpose(order) of strides (20, 5, 1), and then its C-ordered copy, have: by hand.
    let cases: [(&[&[usize]], [usize; 3]); 5] = [
        (&[], [20, 5, 1]),
        (&[&[2, 1, 0]], [1, 3, 12]),
        (&[&[1, 2, 0]], [1, 15, 3]),
        (&[&[2, 0, 1]], [4, 1, 12]),
        (&[&[1, 2, 0], &[2, 0, 1]], [20, 5, 1]),
    ];
    for (orders, strides) in cases {
        let mut chain = chain(&[]);
        chain.array_to_array = orders.iter().map(|order| transpose(order)).collect();
        let decoder = ChunkDecoder::compile(&chain, &shape, DataType::UInt16, FillValue::from_ne_bytes(&[0; 2])).unwrap();
        assert_eq!(decoder.strides(), strides, "{orders:?}");
        assert_eq!(decoder.decoded_len(), 120);
    }
}

#[test]
fn c30_refused_by_name() {
    let compile = |chain: &CodecChain, shape: &[u64]| {
        ChunkDecoder::compile(chain, shape, DataType::UInt16, FillValue::from_ne_bytes(&[0; 2])).unwrap_err().to_string()
    };
    let mut bad = chain(&[]);
    for order in [&[0, 0][..], &[0, 2], &[1]] {
        bad.array_to_array = vec![transpose(order)];
        assert!(compile(&bad, &[4, 4]).contains("transpose order"));
    }
    assert!(compile(&chain(&[]), &[1 << 40, 1 << 40]).contains("too many"));
    assert!(compile(&chain(&[]), &[1 << 62]).contains("too many"));
    assert!(compile(&chain(&[CRC; 9]), &[4]).contains("9 bytes-to-bytes codecs"));
    let wide = ChunkDecoder::compile(&chain(&[]), &[4], DataType::UInt32, FillValue::from_ne_bytes(&[0; 2]));
    assert!(wide.unwrap_err().to_string().contains("fill value of 2 bytes"));
}

#[test]
fn zstd_frames_in_a_row_and_skippable_frames() {
    let mut scratch = Scratch::default();
    let data = smooth(300_000, 2);
    let skippable = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], &[1, 2, 3]].concat();
    let parts = [skippable.clone(), zstd_frame(&data[..100_000], 3, true), skippable, zstd_frame(&data[100_000..], 1, false)];
    let decoder = bytes_decoder(&[ZSTD], data.len());
    assert!(decode(&decoder, &parts.concat(), &mut scratch).unwrap() == data);
    for end in [1, 99_999, 100_000, 100_001, 200_000] {
        let mut out = vec![0; data.len()];
        let wanted = 0..end;
        let coverage = decoder.decode(&parts.concat(), &mut out, Some(std::slice::from_ref(&wanted)), &mut scratch).unwrap();
        let Coverage::Ranges(ranges) = coverage else { panic!("a prefix of {end} is not all") };
        assert!(ranges[0].start == 0 && ranges[0].end >= end && out[..ranges[0].end] == data[..ranges[0].end]);
    }
}

#[test]
fn gzip_members_in_a_row_headers_and_padding() {
    let mut scratch = Scratch::default();
    let data = smooth(3000, 2);
    let mut named = flate2::GzBuilder::new().filename("a").comment("b").extra(vec![1, 2, 3]).write(Vec::new(), flate2::Compression::fast());
    named.write_all(&data[..1000]).unwrap();
    let mut encoded = named.finish().unwrap();
    encoded.extend(encode(&[GZIP], &data[1000..]));
    let decoder = bytes_decoder(&[GZIP], data.len());
    assert!(decode(&decoder, &encoded, &mut scratch).unwrap() == data);
    encoded.extend([0; 7]);
    assert!(decode(&decoder, &encoded, &mut scratch).unwrap() == data);
}
