//! Input that is out of order: a clear error that names array, object and reason, an exit code, and no hang.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::arrays::{create, document, write};
use crate::command::{Ended, longshore};

/// All commands that read an array, on the array `name`.
fn readers(folder: &Path, name: &str) -> [Ended; 3] {
    [
        longshore(folder, &["inspect", name]),
        longshore(folder, &["crop", name, "--box", "0:8,0:8,0:8", "-o", "c.npy"]),
        longshore(folder, &["stream", "--uri", name, "--random", "4", "--crop", "8,8,8"]),
    ]
}

/// Asserts that no command reads an array of this `zarr.json`, and that each says why.
fn refused(text: &str, facts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("a")).unwrap();
    fs::write(folder.path().join("a/zarr.json"), text).unwrap();
    for ended in readers(folder.path(), "a") {
        ended.failed(1, &[&["a", "zarr.json"], facts].concat());
    }
    assert!(!folder.path().join("c.npy").exists());
}

fn with(pointer: &str, value: Value) -> String {
    let mut document = document();
    *document.pointer_mut(pointer).expect("the document has it") = value;
    document.to_string()
}

#[test]
fn what_is_no_array_is_refused() {
    refused("{\"zarr_format\": 3, \"node_type\": \"group\"}", &["group"]);
    refused("{\"zarr_format\": 2, \"shape\": [4]}", &["v2"]);
    refused("hello, I am a text file", &["malformed"]);
    refused("{\"zarr_format\": 3, \"node_type\": \"array\", \"shape\": [20,", &["malformed"]);
    refused("", &["malformed"]);
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    refused(&with("/data_type", json!("float8_e4m3")), &["float8_e4m3"]);
    refused(&with("/codecs/0/configuration/codecs/1", json!({ "name": "zfp" })), &["zfp"]);
    refused(&with("/chunk_grid/name", json!("rectilinear")), &["rectilinear"]);
}

#[test]
fn absurd_shapes_are_refused_before_memory_is_taken() {
    refused(&with("/shape", json!([u64::MAX, u64::MAX, u64::MAX])), &["shape"]);
    refused(&with("/shape", json!([-1, 2, 3])), &["shape"]);
    refused(&with("/chunk_grid/configuration/chunk_shape", json!([0, 16, 20])), &["chunk_shape"]);
    let huge = with("/chunk_grid/configuration/chunk_shape", json!([1_u64 << 40, 1_u64 << 20, 40]));
    refused(&huge, &[]);
}

#[test]
fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for ended in readers(folder.path(), "missing") {
        ended.failed(1, &["missing", "zarr.json", "not found"]);
    }
    // A folder of something else, and an array of Zarr v2.
    fs::create_dir(folder.path().join("photos")).unwrap();
    fs::write(folder.path().join("photos/.zarray"), "{\"zarr_format\": 2}").unwrap();
    for ended in readers(folder.path(), "photos") {
        ended.failed(1, &["photos", "zarr.json", "not found", "v2"]);
    }
    longshore(folder.path(), &["stream", "--samples", "none.jsonl", "--crop", "4"]).failed(1, &["none.jsonl"]);
    longshore(folder.path(), &["bench", "none.json"]).failed(1, &["none.json"]);
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    // A folder in a file's place cannot be read by root either.
    fs::create_dir_all(folder.path().join("a/zarr.json")).unwrap();
    for ended in readers(folder.path(), "a") {
        ended.failed(1, &["a", "zarr.json"]);
    }
    write(folder.path(), "b");
    fs::remove_file(shard(folder.path(), "b")).unwrap();
    fs::create_dir(shard(folder.path(), "b")).unwrap();
    damaged(folder.path(), "b", &["c/0/0/0"]);
}

#[cfg(unix)]
#[test]
fn a_forbidden_file_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a");
    let path = shard(folder.path(), "a");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&path).is_ok() {
        eprintln!("this user may read everything: nothing to test");
        return;
    }
    damaged(folder.path(), "a", &["c/0/0/0", "ermission"]);
}

fn shard(folder: &Path, name: &str) -> PathBuf {
    folder.join(name).join("c/0/0/0")
}

/// Asserts that a crop of the first shard fails and says why, and that a stream fails with it.
fn damaged(folder: &Path, name: &str, facts: &[&str]) {
    let crop = longshore(folder, &["crop", name, "--box", "0:8,0:8,0:8", "-o", "c.npy"]);
    crop.failed(1, &[&[name, "sample", "[0..8, 0..8, 0..8]"], facts].concat());
    assert!(!folder.join("c.npy").exists());
    let stream = longshore(folder, &["stream", "--uri", name, "--tiles", "--crop", "8,8,8", "--batch", "64", "--json"]);
    stream.failed(1, &[&["batch 0 failed"], facts].concat());
    assert_eq!(stream.json()["failed_batches"].as_u64(), Some(1));
}

/// C32: a shard that ends early is an error that names it.
#[test]
fn c32_a_truncated_shard_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (name, left) in [("a", 9), ("b", 0)] {
        write(folder.path(), name);
        let path = shard(folder.path(), name);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..left]).unwrap();
        damaged(folder.path(), name, &["c/0/0/0", "shard index"]);
        longshore(folder.path(), &["inspect", name]).failed(1, &[]);
    }
}

/// C29: an index with a wrong checksum, or with an entry beyond the object, is refused.
#[test]
fn c29_corrupt_indexes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "crc");
    let path = shard(folder.path(), "crc");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    damaged(folder.path(), "crc", &["c/0/0/0", "shard index", "CRC-32C"]);
    let inspected = longshore(folder.path(), &["inspect", "crc"]);
    assert!(inspected.code == Some(1) && inspected.stdout.contains("c/0/0/0"), "{inspected:#?}");

    write(folder.path(), "past");
    let path = shard(folder.path(), "past");
    let mut bytes = fs::read(&path).unwrap();
    // 2 x 2 x 2 inner chunks: 8 entries of offset and length, then the checksum over them.
    let index = bytes.len() - (8 * 16 + 4);
    let far = (bytes.len() as u64).to_le_bytes();
    bytes[index..index + 8].copy_from_slice(&far);
    let sum = crc32c::crc32c(&bytes[index..index + 8 * 16]).to_le_bytes();
    let end = bytes.len() - 4;
    bytes[end..].copy_from_slice(&sum);
    fs::write(&path, &bytes).unwrap();
    damaged(folder.path(), "past", &["c/0/0/0", "shard index"]);
}

/// A chunk whose bytes are no zstd frame.
#[test]
fn a_corrupt_chunk_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a");
    let path = shard(folder.path(), "a");
    let mut bytes = fs::read(&path).unwrap();
    let chunks = bytes.len() - (8 * 16 + 4);
    bytes[..chunks].fill(0xAA);
    fs::write(&path, &bytes).unwrap();
    damaged(folder.path(), "a", &["c/0/0/0", "zstd", "decode"]);
}

#[test]
fn boxes_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a");
    let crop = |bounds: &str| longshore(folder.path(), &["crop", "a", "--box", bounds, "-o", "c.npy"]);
    crop("0:8,0:8,39:47").failed(1, &["a", "39..47", "40", "--outside"]);
    crop("-1:8,0:8,0:8").failed(1, &["-1..8"]);
    crop("0:8,0:8").failed(1, &["a", "2", "3"]);
    crop("0:1,0:1,0:1,0:8").failed(1, &["a", "4", "3"]);
    crop("8:8,0:8,0:8").failed(2, &["8..8"]);
    crop("0:9223372036854775807,0:9223372036854775807,0:8").failed(2, &["memory"]);
    let stream = |shape: &str| longshore(folder.path(), &["stream", "--uri", "a", "--random", "4", "--crop", shape]);
    stream("21,8,8").failed(1, &["a", "axis 0"]);
    stream("1,1,1,8").failed(1, &["a", "4 axes"]);
}

#[test]
fn a_samples_file_is_checked_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a");
    let good = "{\"uri\": \"a\", \"box\": [[0,2],[0,2],[0,2]]}\n";
    let stream = |text: &str| {
        fs::write(folder.path().join("s.jsonl"), text).unwrap();
        longshore(folder.path(), &["stream", "--samples", "s.jsonl", "--crop", "2,2,2", "--batch", "2", "--json"])
    };
    let ended = stream(&[good, good, "nonsense\n", good].concat());
    ended.failed(1, &["s.jsonl", "line 3"]);
    assert_eq!(ended.json()["samples"].as_u64(), Some(2), "what came before is delivered");
    stream("").failed(1, &["s.jsonl", "no sample"]);
    stream("{\"uri\": \"a\"}\n").failed(1, &["line 1", "box"]);
    // A box that is not of the crop's shape.
    stream(&good.replace("[0,2]]", "[0,3]]")).failed(1, &["3"]);
}

#[test]
fn usage_errors_exit_with_2() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a");
    let stream = |more: &[&str]| longshore(folder.path(), &[&["stream", "--uri", "a"], more].concat());
    stream(&["--random", "4", "--crop", "8,8,8", "--batch", "0"]).failed(2, &["--batch", "at least 1"]);
    stream(&["--random", "4", "--crop", "8,0,8"]).failed(2, &["--crop", "at least 1"]);
    stream(&["--random", "4"]).failed(2, &["--crop"]);
    stream(&["--crop", "8,8,8"]).failed(2, &["--random"]);
    stream(&["--random", "4", "--tiles", "--crop", "8,8,8"]).failed(2, &["--tiles"]);
    stream(&["--random", "4", "--crop", "8,8,8", "--latency", "soon"]).failed(2, &["latency"]);
    stream(&["--random", "4", "--crop", "8,8,8", "--batch", "16", "--lookahead", "4"]).failed(2, &["lookahead", "16"]);
    longshore(folder.path(), &["stream", "--crop", "8"]).failed(2, &["--samples"]);
    longshore(folder.path(), &["unload"]).failed(2, &["unload"]);
}

/// C41: a budget that cannot work is refused before anything is streamed, and what would work is said.
#[test]
fn c41_a_budget_too_small_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a");
    let ended =
        longshore(folder.path(), &["stream", "--uri", "a", "--random", "4", "--crop", "8,8,8", "--dtype", "f32", "--memory", "1000"]);
    ended.failed(2, &["memory"]);
}

#[test]
fn an_unwritable_target_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a");
    longshore(folder.path(), &["crop", "a", "--box", "0:8,0:8,0:8", "-o", "none/c.npy"]).failed(1, &["none/c.npy"]);
    fs::write(folder.path().join("file"), "").unwrap();
    longshore(folder.path(), &["stream", "--uri", "a", "--random", "4", "--crop", "8,8,8", "--out", "file"]).failed(1, &["file"]);
    create(folder.path(), "b", document());
}
