//! C30: chunk keys, as zarr-python and the specification spell them.

use crate::zarr::{ChunkKeys, Separator};

#[test]
fn c30_chunk_keys() {
    let key = |keys: ChunkKeys, coords: &[u64]| {
        let mut out = "array/".to_owned();
        keys.write_key(coords, &mut out);
        out
    };
    // The examples of the specification's pages on both encodings.
    assert_eq!(key(ChunkKeys::Default(Separator::Slash), &[1, 23, 45]), "array/c/1/23/45");
    assert_eq!(key(ChunkKeys::Default(Separator::Dot), &[1, 23, 45]), "array/c.1.23.45");
    assert_eq!(key(ChunkKeys::V2(Separator::Dot), &[1, 23, 45]), "array/1.23.45");
    assert_eq!(key(ChunkKeys::V2(Separator::Slash), &[1, 23, 45]), "array/1/23/45");
    assert_eq!(key(ChunkKeys::V2(Separator::Dot), &[0]), "array/0");
    assert_eq!(key(ChunkKeys::Default(Separator::Slash), &[0, u64::MAX]), format!("array/c/0/{}", u64::MAX));
}
