//! C28: any bytes as a chunk yield an error or an answer.

use proptest::prelude::*;

use super::*;

const CHAINS: [&[BytesToBytes]; 9] = [&[], &[ZSTD], &[GZIP], &[BLOSC], &[CRC], &[BLOSC, ZSTD], &[CRC, ZSTD], &[ZSTD, GZIP], &[GZIP, BLOSC]];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn c28_mutated_chunks(
        (which, len) in (0..CHAINS.len(), 1_usize..200_000),
        mutations in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
        insert in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
    ) {
        let codecs = CHAINS[which];
        let decoder = bytes_decoder(codecs, len);
        let mut encoded = encode(codecs, &smooth(len, 2));
        for (at, value) in mutations {
            let at = at.index(encoded.len());
            encoded[at] = value;
        }
        if let Some((at, value)) = insert {
            encoded.insert(at.index(encoded.len()), value);
        }
        if let Some(cut) = cut {
            encoded.truncate(cut.index(encoded.len()));
        }
        let mut scratch = Scratch::default();
        let mut out = vec![0; len];
        let _ = decoder.decode(&encoded, &mut out, None, &mut scratch);
        let wanted = [0..1];
        let _ = decoder.decode(&encoded, &mut out, Some(&wanted), &mut scratch);
        // A scratch that has seen the worst still decodes well.
        let good = encode(codecs, &smooth(len, 2));
        prop_assert!(decode(&decoder, &good, &mut scratch).unwrap() == smooth(len, 2));
    }

    #[test]
    fn c28_random_chunks(which in 0..CHAINS.len(), bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let decoder = bytes_decoder(CHAINS[which], 1000);
        let _ = decode(&decoder, &bytes, &mut Scratch::default());
    }
}

/// A kilobyte that says it is a gigabyte: decoding stops at the grid's length, and nothing is allocated for the rest.
#[test]
fn c28_bombs_stop_at_the_limit() {
    let mut scratch = Scratch::default();
    let zeros = vec![0; 64 << 20];
    for codecs in [&[ZSTD][..], &[GZIP], &[BLOSC], &[GZIP, ZSTD], &[ZSTD, GZIP]] {
        let error = decode(&bytes_decoder(codecs, 1000), &encode(codecs, &zeros), &mut scratch).unwrap_err();
        let stopped = matches!(error, CodecError::Length { .. }) || error.to_string().contains("makes at most");
        assert!(stopped, "{codecs:?}: {error}");
    }
    assert!(scratch.stages.iter().all(|buffer| buffer.len() < 20_000), "buffers are sized by the grid");
}
