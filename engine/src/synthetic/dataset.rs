//! Writes the arrays of a scenario with the `zarrs` crate: a writer that shares no code with Longshore's reader.
//!
//! Elements are a pure function of `(seed, array, position)`: wandering smooth structures with objects cut out by a threshold,
//! plus noise that grows with the signal as a camera's does. Integer and IEEE `f32` arithmetic only, so every machine writes the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use zarrs::array::{Array, ArrayBytes, ArrayMetadata};
use zarrs::filesystem::FilesystemStore;
use zarrs::storage::ReadableWritableStorage;

use super::scenario::{Arrays, Codec, Pattern, Scenario, StoredType};
use crate::sampler::counter::mix;

/// Raised when the same recipe writes other bytes.
const GENERATOR_VERSION: u32 = 2;
const MARKER: &str = "recipe.json";

/// Makes sure that the arrays of `scenario` lie under `dir`, in a folder named by a hash of their recipe, and returns their paths.
///
/// A folder whose marker is missing (an interrupted run) is rebuilt. Uses one thread per core and, per thread, the memory of one shard.
///
/// # Errors
/// What could not be written, and why.
pub fn ensure_dataset(scenario: &Scenario, dir: &Path) -> Result<Vec<PathBuf>, String> {
    let root = dataset_root(scenario, dir);
    let paths: Vec<PathBuf> = (0..scenario.arrays.count).map(|i| root.join(format!("{i:04}"))).collect();
    let recipe = recipe(scenario);
    let marker = root.join(MARKER);
    if std::fs::read_to_string(&marker).is_ok_and(|found| found == recipe) {
        return Ok(paths);
    }
    if root.exists() {
        std::fs::remove_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    }
    std::fs::create_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    write_all(scenario, &root, &paths)?;
    // The marker comes last: a folder without it is incomplete.
    std::fs::write(&marker, recipe).map_err(|error| format!("{}: {error}", marker.display()))?;
    Ok(paths)
}

/// Folder of the data set of `scenario` under `dir`: `<hash of its recipe>`.
pub fn dataset_root(scenario: &Scenario, dir: &Path) -> PathBuf {
    let hash = recipe(scenario).bytes().fold(0, |hash: u64, byte| mix(hash ^ u64::from(byte)));
    dir.join(format!("{hash:016x}"))
}

fn recipe(scenario: &Scenario) -> String {
    json!({ "generator": GENERATOR_VERSION, "seed": scenario.seed, "arrays": scenario.arrays }).to_string()
}

type Store = dyn zarrs::storage::ReadableWritableStorageTraits;

fn write_all(scenario: &Scenario, root: &Path, paths: &[PathBuf]) -> Result<(), String> {
    let store: ReadableWritableStorage = Arc::new(FilesystemStore::new(root).map_err(|error| error.to_string())?);
    let arrays: Vec<Array<Store>> =
        paths.iter().enumerate().map(|(i, path)| create_array(&store, &scenario.arrays, i, path)).collect::<Result<_, _>>()?;
    let grid = grid_shape(&scenario.arrays);
    let cells: usize = grid.iter().product::<u64>() as usize;
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), String> {
        loop {
            // Relaxed: the counter only hands out numbers; the scope's join publishes the rest.
            let job = next.fetch_add(1, Ordering::Relaxed);
            if job >= cells * arrays.len() {
                return Ok(());
            }
            let (array, cell) = (job / cells, unravel((job % cells) as u64, &grid));
            write_cell(scenario, &arrays[array], array, &cell)?;
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..scenario.thread_count()).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a writer panicked".to_owned())?)
    })
}

fn create_array(store: &ReadableWritableStorage, arrays: &Arrays, i: usize, path: &Path) -> Result<Array<Store>, String> {
    let name = format!("/{}", path.file_name().unwrap_or_default().to_string_lossy());
    let metadata: ArrayMetadata = serde_json::from_value(document(arrays, i)).map_err(|error| error.to_string())?;
    let array = Array::new_with_metadata(store.clone(), &name, metadata).map_err(|error| error.to_string())?;
    array.store_metadata().map_err(|error| error.to_string())?;
    Ok(array)
}

/// `zarr.json` of array `i`.
fn document(arrays: &Arrays, i: usize) -> Value {
    let dtype = arrays.dtypes[i % arrays.dtypes.len()];
    let inner = codecs(arrays.codecs[i % arrays.codecs.len()], dtype);
    let (cell, codecs) = match &arrays.shard_shape {
        None => (&arrays.chunk_shape, inner),
        Some(shard) => (shard, sharding(&arrays.chunk_shape, &inner)),
    };
    json!({
        "zarr_format": 3,
        "node_type": "array",
        "shape": arrays.shape,
        "data_type": dtype.zarr_name(),
        "chunk_grid": { "name": "regular", "configuration": { "chunk_shape": cell } },
        "chunk_key_encoding": { "name": "default", "configuration": { "separator": "/" } },
        "fill_value": 0,
        "codecs": codecs,
    })
}

fn codecs(codec: Codec, dtype: StoredType) -> Value {
    let bytes = json!({ "name": "bytes", "configuration": { "endian": "little" } });
    match codec {
        Codec::None => json!([bytes]),
        Codec::Zstd { level } => json!([bytes, { "name": "zstd", "configuration": { "level": level, "checksum": false } }]),
        Codec::Blosc { level } => json!([bytes, { "name": "blosc", "configuration": {
            "cname": "zstd", "clevel": level, "shuffle": "shuffle", "typesize": dtype.size(), "blocksize": 0,
        } }]),
    }
}

fn sharding(chunk_shape: &[u64], inner: &Value) -> Value {
    json!([{ "name": "sharding_indexed", "configuration": {
        "chunk_shape": chunk_shape,
        "codecs": inner,
        "index_codecs": [{ "name": "bytes", "configuration": { "endian": "little" } }, { "name": "crc32c" }],
        "index_location": "end",
    } }])
}

fn write_cell(scenario: &Scenario, array: &Array<Store>, number: usize, cell: &[u64]) -> Result<(), String> {
    let extent = cell_shape(&scenario.arrays);
    let start: Vec<u64> = cell.iter().zip(extent).map(|(index, extent)| index * extent).collect();
    let dtype = scenario.arrays.dtypes[number % scenario.arrays.dtypes.len()];
    let texture = Texture::new(mix(scenario.seed ^ mix(number as u64)), scenario.arrays.pattern);
    let bytes = render(&texture, &scenario.arrays.shape, &start, extent, dtype);
    array.store_chunk(cell, ArrayBytes::new_flen(bytes)).map_err(|error| format!("array {number}, chunk {cell:?}: {error}"))
}

fn cell_shape(arrays: &Arrays) -> &[u64] {
    arrays.shard_shape.as_deref().unwrap_or(&arrays.chunk_shape)
}

fn grid_shape(arrays: &Arrays) -> Vec<u64> {
    arrays.shape.iter().zip(cell_shape(arrays)).map(|(shape, cell)| shape.div_ceil(*cell)).collect()
}

fn unravel(mut index: u64, shape: &[u64]) -> Vec<u64> {
    let mut out = vec![0; shape.len()];
    for axis in (0..shape.len()).rev() {
        out[axis] = index % shape[axis];
        index /= shape[axis];
    }
    out
}

/// Elements of the box at `start`, row-major, little-endian. The part of a border cell outside the array is rendered too.
fn render(texture: &Texture, shape: &[u64], start: &[u64], extent: &[u64], dtype: StoredType) -> Vec<u8> {
    let total: usize = extent.iter().product::<u64>() as usize;
    let mut out = Vec::with_capacity(total * dtype.size());
    let (row_axis, outer) = (extent.len() - 1, &extent[..extent.len() - 1]);
    let row_len = extent[row_axis] as usize;
    let fast: Vec<[f32; WAVES]> = (0..row_len as u64).map(|x| texture.waves(row_axis, start[row_axis] + x)).collect();
    let mut row = vec![0_u16; row_len];
    for index in 0..outer.iter().product::<u64>() {
        let at: Vec<u64> = unravel(index, outer).iter().zip(start).map(|(offset, start)| offset + start).collect();
        let row_number = at.iter().zip(shape).fold(0, |number, (at, extent)| number * extent + at);
        texture.fill_row(&at, row_number, start[row_axis], &fast, &mut row);
        push_row(&row, dtype, &mut out);
    }
    out
}

fn push_row(row: &[u16], dtype: StoredType, out: &mut Vec<u8>) {
    match dtype {
        StoredType::U8 => out.extend(row.iter().map(|value| (value / 8).min(255) as u8)),
        StoredType::U16 => out.extend(row.iter().flat_map(|value| value.to_le_bytes())),
        StoredType::I16 => out.extend(row.iter().flat_map(|value| signed(*value).to_le_bytes())),
        StoredType::F32 => out.extend(row.iter().flat_map(|value| (f32::from(*value) * 0.25).to_le_bytes())),
    }
}

/// Around zero as in computed tomography, but zero stays zero (it is the fill value).
fn signed(value: u16) -> i16 {
    if value == 0 { 0 } else { value as i16 - 1024 }
}

const WAVES: usize = 4;

/// The picture of one array.
struct Texture {
    seed: u64,
    pattern: Pattern,
}

impl Texture {
    fn new(seed: u64, pattern: Pattern) -> Self {
        Self { seed, pattern }
    }

    /// Values in [-1, 1] of the waves along one axis; a structure is the product over axes.
    fn waves(&self, axis: usize, at: u64) -> [f32; WAVES] {
        std::array::from_fn(|wave| {
            let bits = mix(self.seed ^ mix((axis * WAVES + wave) as u64 + 1));
            // Periods of about 260, 150, 75 and 40 elements, each shifted and stretched by up to a third.
            let period = [260.0, 150.0, 75.0, 40.0][wave] * (1.0 + (bits & 0xFFFF) as f32 / 196_608.0);
            parabolic_sine(at as f32 / period + ((bits >> 16) & 0xFFFF) as f32 / 65_536.0)
        })
    }

    /// Fills one row along the last axis. `row_number` numbers the rows of the whole array.
    fn fill_row(&self, at: &[u64], row_number: u64, first: u64, fast: &[[f32; WAVES]], row: &mut [u16]) {
        let mut slow = [1.0_f32; WAVES];
        for (axis, at) in at.iter().enumerate() {
            let waves = self.waves(axis, *at);
            slow.iter_mut().zip(waves).for_each(|(slow, wave)| *slow *= wave);
        }
        let row_key = mix(self.seed ^ mix(row_number ^ 0x6E6F_6973));
        for (x, (value, fast)) in row.iter_mut().zip(fast).enumerate() {
            let large = slow[0] * fast[0];
            if self.pattern == Pattern::HalfZero && large < 0.0 {
                *value = 0;
                continue;
            }
            let fine = slow[1] * fast[1] + slow[2] * fast[2] + 0.5 * slow[3] * fast[3];
            let object = if fine > 0.4 { 220.0 * (fine - 0.4) } else { 0.0 };
            let signal = 300.0 + 25.0 * large + 20.0 * fine + object;
            let position = first + x as u64;
            let noise = noise(mix(row_key.wrapping_add(position / 2)) >> (32 * (position & 1)));
            // Read noise of a camera plus a share of the signal, as photons do.
            *value = (signal + noise * (READ_NOISE + signal * SIGNAL_NOISE)).max(1.0) as u16;
        }
    }
}

const READ_NOISE: f32 = 14.0;
const SIGNAL_NOISE: f32 = 0.01;

/// Near-normal, zero mean, unit variance: the sum of four bytes.
fn noise(bits: u64) -> f32 {
    let sum = (bits & 0xFF) + ((bits >> 8) & 0xFF) + ((bits >> 16) & 0xFF) + ((bits >> 24) & 0xFF);
    (sum as f32 - 510.0) / 147.8
}

/// A sine of period 1 made of two parabolas: exact arithmetic, no mathematical library.
fn parabolic_sine(turns: f32) -> f32 {
    let phase = turns - turns.floor();
    let half = 2.0 * phase - if phase < 0.5 { 0.0 } else { 1.0 };
    let bump = 4.0 * half * (1.0 - half);
    if phase < 0.5 { bump } else { -bump }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(pattern: Pattern, dtypes: Vec<StoredType>) -> Scenario {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/scenarios/smoke.json");
        let mut scenario = Scenario::load(&path).unwrap();
        scenario.arrays.count = dtypes.len();
        scenario.arrays.shape = vec![20, 30, 40];
        scenario.arrays.chunk_shape = vec![5, 8, 10];
        scenario.arrays.shard_shape = Some(vec![10, 16, 20]);
        scenario.arrays.dtypes = dtypes;
        scenario.arrays.pattern = pattern;
        scenario.sample_shape = vec![4, 4, 4];
        scenario
    }

    #[test]
    fn what_is_written_reads_back_and_a_second_call_writes_nothing() {
        let dir = std::env::temp_dir().join(format!("longshore-dataset-{}", std::process::id()));
        let scenario = small(Pattern::Image, vec![StoredType::U16, StoredType::F32]);
        let paths = ensure_dataset(&scenario, &dir).unwrap();
        let store = Arc::new(FilesystemStore::new(&paths[0]).unwrap());
        let array = Array::open(store, "/").unwrap();
        let all: Vec<u16> = array.retrieve_array_subset(&array.subset_all()).unwrap();
        let texture = Texture::new(mix(scenario.seed ^ mix(0)), Pattern::Image);
        let expected = render(&texture, &[20, 30, 40], &[0, 0, 0], &[20, 30, 40], StoredType::U16);
        assert_eq!(all.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>(), expected);

        let stamp = |path: &Path| path.join("zarr.json").metadata().unwrap().modified().unwrap();
        let before = stamp(&paths[1]);
        assert_eq!(ensure_dataset(&scenario, &dir).unwrap(), paths);
        assert_eq!(stamp(&paths[1]), before);

        // An interrupted build leaves no marker and is done again.
        std::fs::remove_file(dataset_root(&scenario, &dir).join(MARKER)).unwrap();
        std::fs::remove_file(paths[1].join("zarr.json")).unwrap();
        ensure_dataset(&scenario, &dir).unwrap();
        assert!(paths[1].join("zarr.json").exists());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_changed_recipe_gets_another_folder() {
        let one = small(Pattern::Image, vec![StoredType::U16]);
        let mut two = one.clone();
        two.seed += 1;
        let dir = Path::new("anywhere");
        assert_ne!(dataset_root(&one, dir), dataset_root(&two, dir));
        // What only concerns the reader does not.
        two = one.clone();
        two.n_batches += 1;
        assert_eq!(dataset_root(&one, dir), dataset_root(&two, dir));
    }

    #[test]
    fn a_cell_renders_the_same_alone_and_inside_the_whole() {
        let texture = Texture::new(7, Pattern::HalfZero);
        let whole = render(&texture, &[8, 8, 16], &[0, 0, 0], &[8, 8, 16], StoredType::U8);
        let cell = render(&texture, &[8, 8, 16], &[4, 0, 5], &[2, 8, 7], StoredType::U8);
        for (i, value) in cell.iter().enumerate() {
            let at = unravel(i as u64, &[2, 8, 7]);
            assert_eq!(*value, whole[((at[0] + 4) * 128 + at[1] * 16 + at[2] + 5) as usize]);
        }
    }
}
