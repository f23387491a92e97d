//! Arrays for the tests, written with `zarrs`, and the little of NumPy's format that reads what the command wrote.

use std::path::Path;
use std::sync::Arc;

use zarrs::array::{Array, ArrayMetadata, ArraySubset};
use zarrs::filesystem::FilesystemStore;

/// Shape of the arrays of [`write`].
pub const SHAPE: [u64; 3] = [20, 30, 40];

/// `zarr.json` of a sharded uint16 array with zstd; cases replace parts of it.
pub fn document() -> serde_json::Value {
    serde_json::json!({
        "zarr_format": 3,
        "node_type": "array",
        "shape": SHAPE,
        "data_type": "uint16",
        "chunk_grid": { "name": "regular", "configuration": { "chunk_shape": [10, 16, 20] } },
        "chunk_key_encoding": { "name": "default", "configuration": { "separator": "/" } },
        "fill_value": 7,
        "codecs": [{ "name": "sharding_indexed", "configuration": {
            "chunk_shape": [5, 8, 10],
            "codecs": [
                { "name": "bytes", "configuration": { "endian": "little" } },
                { "name": "zstd", "configuration": { "level": 1, "checksum": false } },
            ],
            "index_codecs": [{ "name": "bytes", "configuration": { "endian": "little" } }, { "name": "crc32c" }],
            "index_location": "end",
        } }],
    })
}

/// Element at row-major number `i`: all distinct, never the fill value, and compressible.
pub fn element(i: u64) -> u16 {
    100 + i as u16
}

/// Writes a whole array called `name` into `folder`.
pub fn write(folder: &Path, name: &str) {
    let array = create(folder, name, document());
    let elements: Vec<u16> = (0..SHAPE.iter().product()).map(element).collect();
    array.store_array_subset(&array.subset_all(), &elements).unwrap();
}

/// Writes the metadata of an array only.
pub fn create(folder: &Path, name: &str, document: serde_json::Value) -> Array<FilesystemStore> {
    let metadata: ArrayMetadata = serde_json::from_value(document).unwrap();
    let store = Arc::new(FilesystemStore::new(folder).unwrap());
    let array = Array::new_with_metadata(store, &format!("/{name}"), metadata).unwrap();
    array.store_metadata().unwrap();
    array
}

/// What `zarrs` reads.
pub fn read(folder: &Path, name: &str, axes: &[(i64, i64)]) -> Vec<u16> {
    let array = Array::open(Arc::new(FilesystemStore::new(folder).unwrap()), &format!("/{name}")).unwrap();
    let ranges: Vec<_> = axes.iter().map(|&(start, end)| start as u64..end as u64).collect();
    array.retrieve_array_subset(&ArraySubset::from(ranges)).unwrap()
}

/// Header and bytes of a `.npy` file of version 1.0.
pub fn npy(path: &Path) -> (String, Vec<u8>) {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    (String::from_utf8(bytes[10..end].to_vec()).unwrap(), bytes[end..].to_vec())
}

pub fn le_bytes(elements: &[u16]) -> Vec<u8> {
    elements.iter().flat_map(|element| element.to_le_bytes()).collect()
}
