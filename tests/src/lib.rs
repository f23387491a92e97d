//! What the integration tests share: arrays written by another implementation, whose elements are known by arithmetic.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use longshore::store::{Clock, FaultRule, Faults, LocalOptions, Retry, RetryPolicy, Store, StoreLayer, Stores};
use longshore::{CropBox, Sample};
use serde_json::{Value, json};
use zarrs::array::{Array, ArrayBytes, ArrayMetadata};
use zarrs::filesystem::FilesystemStore;
use zarrs::storage::ReadableWritableStorage;

/// A v3 array document of `uint16`, with the codecs given.
pub fn document(shape: &[u64], chunk: &[u64], codecs: Value) -> Value {
    json!({
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": codecs,
    })
}

/// Little-endian bytes, then `compressor`.
pub fn chain(compressor: Value) -> Value {
    let mut codecs = vec![json!({"name": "bytes", "configuration": {"endian": "little"}})];
    codecs.extend(compressor.as_array().cloned().unwrap_or_else(|| vec![compressor]));
    Value::Array(codecs)
}

/// Shards of inner chunks `inner`, compressed by `codecs`.
pub fn sharded(inner: &[u64], codecs: Value) -> Value {
    json!([{"name": "sharding_indexed", "configuration": {
        "chunk_shape": inner,
        "codecs": codecs,
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "index_location": "end",
    }}])
}

/// `zstd` of level 3.
pub fn zstd() -> Value {
    json!({"name": "zstd", "configuration": {"level": 3, "checksum": false}})
}

/// The element at a position: a hash of it, smooth enough to compress.
pub fn element(seed: u64, position: &[u64]) -> u16 {
    let mixed =
        position.iter().fold(seed.wrapping_mul(0x9E37_79B9), |hash, &p| (hash ^ p).wrapping_mul(0xD6E8_FEB8_6659_FD93).rotate_left(23));
    let smooth: u64 = position.iter().enumerate().map(|(axis, p)| p * (axis as u64 * 7 + 3)).sum();
    (smooth * 11 + (mixed & 31)) as u16
}

/// Writes an array with `zarrs`: each whole chunk of the grid whose coordinates `stored` accepts. Returns its path.
pub fn write_array(dir: &Path, name: &str, document: &Value, seed: u64, stored: impl Fn(&[u64]) -> bool) -> PathBuf {
    let path = dir.join(name);
    std::fs::create_dir_all(&path).expect("the folder can be made");
    let store: ReadableWritableStorage = Arc::new(FilesystemStore::new(dir).expect("the folder is there"));
    let metadata: ArrayMetadata = serde_json::from_value(document.clone()).expect("a valid document");
    let array = Array::new_with_metadata(store, &format!("/{name}"), metadata).expect("zarrs takes the document");
    array.store_metadata().expect("metadata can be written");
    let list =
        |key: &str| -> Vec<u64> { serde_json::from_value(document.pointer(key).expect("there").clone()).expect("a list of numbers") };
    let (shape, chunk) = (list("/shape"), list("/chunk_grid/configuration/chunk_shape"));
    let grid: Vec<u64> = shape.iter().zip(&chunk).map(|(s, c)| s.div_ceil(*c)).collect();
    for cell in positions(&grid) {
        if stored(&cell) {
            let bytes: Vec<u8> = positions(&chunk)
                .flat_map(|within| {
                    let at: Vec<u64> = within.iter().zip(&cell).zip(&chunk).map(|((w, c), n)| w + c * n).collect();
                    element(seed, &at).to_ne_bytes()
                })
                .collect();
            array.store_chunk(&cell, ArrayBytes::new_flen(bytes)).expect("a chunk can be written");
        }
    }
    path
}

/// All positions of a box of this shape, row-major.
pub fn positions(shape: &[u64]) -> impl Iterator<Item = Vec<u64>> + use<> {
    let shape = shape.to_vec();
    let count: u64 = shape.iter().product();
    (0..count).map(move |mut number| {
        let mut position = vec![0; shape.len()];
        for (p, &extent) in position.iter_mut().zip(&shape).rev() {
            *p = number % extent;
            number /= extent;
        }
        position
    })
}

/// A stack of stores in which `memory://data/NAME` is the array `NAME` under `dir`, failing by these rules.
/// With `retry`, transient errors are tried again so long.
pub fn memory_stores(dir: &Path, rules: Vec<FaultRule>, retry: Option<Duration>) -> Arc<Stores> {
    let layer: StoreLayer = Arc::new(move |store: Arc<dyn Store>| -> std::io::Result<Arc<dyn Store>> {
        let store: Arc<dyn Store> = Arc::new(Faults::new(store, rules.clone(), 1, Clock::Real)?);
        let Some(deadline) = retry else { return Ok(store) };
        let policy = RetryPolicy { first_backoff: Duration::from_millis(1), max_backoff: Duration::from_millis(5), deadline };
        Ok(Arc::new(Retry::new(store, policy, 1, Clock::Real)?))
    });
    let stores = Stores::new(LocalOptions::default(), Some(layer));
    let memory = stores.memory("data").expect("a memory store can be made");
    for file in files(dir) {
        let key = file.strip_prefix(dir).expect("below").to_str().expect("plain names").to_owned();
        memory.put(key, std::fs::read(&file).expect("readable"));
    }
    Arc::new(stores)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("readable").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A sample of `shape` elements from `start` on.
pub fn sample(uri: &Arc<str>, start: &[i64], shape: &[u64]) -> Sample {
    let axes = start.iter().zip(shape).map(|(&start, &extent)| (start, start + extent as i64));
    Sample::new(uri.clone(), CropBox::new(axes).expect("a valid box"))
}

/// What [`write_array`] stored in a box, `outside` where the array ends.
pub fn expected(seed: u64, array: &[u64], start: &[i64], shape: &[u64], outside: u16) -> Vec<u16> {
    let at = |position: Vec<u64>| -> u16 {
        let at: Option<Vec<u64>> =
            position.iter().zip(start).zip(array).map(|((&p, &s), &n)| u64::try_from(s + p as i64).ok().filter(|&at| at < n)).collect();
        at.map_or(outside, |at| element(seed, &at))
    };
    positions(shape).map(at).collect()
}

/// Deterministic starts within `0..=room` per axis.
pub fn starts(count: u64, room: &[u64]) -> Vec<Vec<i64>> {
    let start = |n: u64| {
        let axis =
            |(axis, &room): (usize, &u64)| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(axis as u32 * 13 + 7) % (room + 1)) as i64;
        room.iter().enumerate().map(axis).collect()
    };
    (0..count).map(start).collect()
}
