//! Arrays that `zarr-python` wrote, read crop by crop, against the bytes it wrote them from.
//!
//! The arrays come from `python/make_arrays.py`, run by the Python in `LONGSHORE_PYTHON` (default: `python3`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use longshore::{CropBox, Dtype, Loader, OnError, Sample};
use serde_json::Value;

struct Written {
    uri: Arc<str>,
    name: String,
    shape: Vec<u64>,
    /// Elements, C order, native bytes.
    raw: Vec<u8>,
    size: usize,
}

fn written() -> (tempfile::TempDir, Vec<Written>) {
    let dir = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/make_arrays.py");
    let python = std::env::var("LONGSHORE_PYTHON").unwrap_or_else(|_| "python3".into());
    let status = Command::new(&python).arg(&script).arg(dir.path()).status();
    let status = status.unwrap_or_else(|error| panic!("{python} cannot be run ({error}): set LONGSHORE_PYTHON, see README"));
    assert!(status.success(), "{} failed: is zarr installed for {python}? See tests/python/requirements.txt", script.display());
    let manifest: Vec<Value> = serde_json::from_slice(&std::fs::read(dir.path().join("manifest.json")).unwrap()).unwrap();
    let arrays = manifest.iter().map(|entry| {
        let name = entry["name"].as_str().unwrap().to_owned();
        let shape: Vec<u64> = serde_json::from_value(entry["shape"].clone()).unwrap();
        let raw = std::fs::read(dir.path().join(format!("{name}.raw"))).unwrap();
        let size = raw.len() / shape.iter().product::<u64>() as usize;
        let path: PathBuf = dir.path().join(&name);
        Written { uri: path.to_str().unwrap().into(), name, shape, raw, size }
    });
    let arrays = arrays.collect();
    (dir, arrays)
}

/// The bytes of a box, copied element by element.
fn crop_of(array: &Written, start: &[u64], shape: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for position in longshore_tests::positions(shape) {
        let at = position.iter().zip(start).zip(&array.shape).fold(0, |at, ((p, s), n)| at * n + p + s) as usize;
        bytes.extend_from_slice(&array.raw[at * array.size..][..array.size]);
    }
    bytes
}

/// The whole array, and boxes of about half its extent at the corners and in the middle.
fn boxes(shape: &[u64]) -> Vec<(Vec<u64>, Vec<u64>)> {
    let half: Vec<u64> = shape.iter().map(|n| n / 2 + 1).collect();
    let far: Vec<u64> = shape.iter().zip(&half).map(|(n, h)| n - h).collect();
    let middle: Vec<u64> = far.iter().map(|f| f / 2).collect();
    vec![(vec![0; shape.len()], shape.to_vec()), (vec![0; shape.len()], half.clone()), (middle, half.clone()), (far, half)]
}

fn crop_box(start: &[u64], shape: &[u64]) -> CropBox {
    CropBox::new(start.iter().zip(shape).map(|(&s, &n)| (s as i64, (s + n) as i64))).unwrap()
}

/// C30, C31, C33, C34, C35: every codec, layout, key spelling, byte order, type and fill value that `zarr-python` writes.
#[test]
fn c30_every_array_of_zarr_python_reads_byte_for_byte() {
    let (_dir, arrays) = written();
    assert!(arrays.len() > 150, "only {} arrays were written", arrays.len());
    for probe in [false, true] {
        for array in &arrays {
            for (start, shape) in boxes(&array.shape) {
                let builder = Loader::builder().crop(shape.clone(), Dtype::Native).batch(1).memory_budget(64 << 20).threads(2);
                let mut loader = builder.probe_layouts(probe).build().unwrap();
                let sample = Sample::new(array.uri.clone(), crop_box(&start, &shape));
                let batch = loader.batches([sample]).next().unwrap().unwrap_or_else(|error| panic!("{}: {error}", array.name));
                assert!(batch.bytes() == crop_of(array, &start, &shape), "{}: wrong bytes in {start:?} + {shape:?}", array.name);
            }
        }
    }
}

/// C20, C31: an array nothing of which is stored.
#[test]
fn c20_nothing_stored_is_fill() {
    let (_dir, arrays) = written();
    let array = arrays.iter().find(|array| array.name == "nothing-stored").unwrap();
    let mut loader = Loader::builder().crop([4, 4, 4], Dtype::Native).batch(2).on_error(OnError::Fail).build().unwrap();
    let samples = (0..4).map(|i| Sample::new(array.uri.clone(), crop_box(&[i, i, i], &[4, 4, 4])));
    for batch in loader.batches(samples) {
        assert!(batch.unwrap().as_slice::<u16>().unwrap().iter().all(|&value| value == 42));
    }
    let stats = loader.stats();
    assert_eq!((stats.chunks_decoded, stats.read_ops), (0, 0));
}
