//! Scenario files: which arrays a bench reads, how it samples them, how long it runs.
//!
//! Field names are those of damacy's scenario files where the meaning is the same, so that numbers compare.
//! This file needs `serde` and `serde_json` only.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// Most axes a scenario may have; positions draw one number per axis (see [`super::positions`]).
pub const MAX_RANK: usize = 31;

/// One scenario file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Name, also of the results.
    pub name: String,
    /// The data set. Scenarios with equal `arrays` and `seed` share one on disk.
    pub arrays: Arrays,
    /// Extent of a crop per axis, elements.
    pub sample_shape: Vec<u64>,
    /// Crops per batch.
    pub samples_per_batch: usize,
    /// Crops known to a reader before they are due.
    pub lookahead_samples: usize,
    /// Element type of the batch.
    pub dtype: OutputType,
    /// Batches timed.
    pub n_batches: usize,
    /// Batches read before the clock starts.
    pub warmup_batches: usize,
    /// Rounds of a comparison.
    pub repeats: usize,
    /// Seed of the data and of the positions.
    pub seed: u64,
    /// How crops are placed.
    pub sampling: Sampling,
    /// Memory that a reader may keep for reuse (its caches), bytes.
    pub memory_bytes: u64,
    /// Batches rendered or held at once; 2 suffice for a reader that hands each batch straight back.
    #[serde(default = "default_buffers")]
    pub buffers: usize,
    /// Threads that read and decode; 0 means one per core.
    pub threads: usize,
}

/// The arrays of a scenario. Element types and codecs cycle over the arrays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrays {
    /// How many.
    pub count: usize,
    /// Extent of each, elements per axis.
    pub shape: Vec<u64>,
    /// Element types: array `i` has `dtypes[i % len]`.
    pub dtypes: Vec<StoredType>,
    /// Extent of a chunk (of an inner chunk if sharded), elements per axis.
    pub chunk_shape: Vec<u64>,
    /// Extent of a shard, elements per axis; `null` for unsharded arrays.
    pub shard_shape: Option<Vec<u64>>,
    /// Compressors: array `i` has `codecs[i % len]`.
    pub codecs: Vec<Codec>,
    /// What the elements look like.
    pub pattern: Pattern,
}

/// Element type of a stored array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "self-explanatory")]
pub enum StoredType {
    U8,
    U16,
    I16,
    F32,
}

impl StoredType {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::F32 => 4,
        }
    }

    /// Name in `zarr.json`.
    pub fn zarr_name(self) -> &'static str {
        match self {
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::I16 => "int16",
            Self::F32 => "float32",
        }
    }
}

/// Element type of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "self-explanatory")]
pub enum OutputType {
    F32,
}

/// Compressor of the chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Codec {
    /// Plain little-endian bytes.
    None,
    /// `zstd`, without checksum.
    Zstd {
        /// Compression level.
        level: i32,
    },
    /// `blosc`: zstd inside, byte shuffle, block size chosen by c-blosc.
    Blosc {
        /// Compression level.
        level: u8,
    },
}

/// What the elements look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// Smooth structures and sensor noise: zstd 3 makes it about 1.7 times smaller (u16).
    Image,
    /// The same, but zero in about half of the volume, in regions larger than a chunk: many chunks are not stored.
    HalfZero,
}

/// How crops are placed; [`super::positions`] says exactly where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// Array and start uniform and independent.
    Random,
    /// Disjoint tiles of all arrays in random order, each once per pass.
    Tiles,
}

fn default_buffers() -> usize {
    2
}

impl Scenario {
    /// Reads and checks a scenario file.
    ///
    /// # Errors
    /// A sentence that names the file and the member that does not fit.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let scenario: Self = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        scenario.check().map_err(|reason| format!("{}: {reason}", path.display()))?;
        Ok(scenario)
    }

    /// Checks what the types do not: ranks, divisibility, non-empty lists.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self) -> Result<(), String> {
        let arrays = &self.arrays;
        let rank = arrays.shape.len();
        if rank == 0 || rank > MAX_RANK {
            return Err(format!("arrays.shape has {rank} axes; 1 to {MAX_RANK} are allowed"));
        }
        let mut shapes = vec![("arrays.chunk_shape", &arrays.chunk_shape), ("sample_shape", &self.sample_shape)];
        shapes.extend(arrays.shard_shape.iter().map(|shard| ("arrays.shard_shape", shard)));
        for (name, shape) in shapes {
            if shape.len() != rank || shape.contains(&0) {
                return Err(format!("{name} is {shape:?}; it must have {rank} axes, none of them 0"));
            }
        }
        if let Some(shard) = &arrays.shard_shape
            && shard.iter().zip(&arrays.chunk_shape).any(|(shard, chunk)| shard % chunk != 0)
        {
            return Err(format!("arrays.shard_shape {shard:?} is no multiple of arrays.chunk_shape {:?}", arrays.chunk_shape));
        }
        if self.sample_shape.iter().zip(&arrays.shape).any(|(sample, array)| sample > array) {
            return Err(format!("sample_shape {:?} is larger than arrays.shape {:?}", self.sample_shape, arrays.shape));
        }
        if arrays.count == 0 || arrays.dtypes.is_empty() || arrays.codecs.is_empty() {
            return Err("arrays.count, arrays.dtypes and arrays.codecs must not be empty".into());
        }
        if self.samples_per_batch == 0 || self.n_batches == 0 {
            return Err("samples_per_batch and n_batches must be at least 1".into());
        }
        Ok(())
    }

    /// Elements of one crop.
    pub fn sample_len(&self) -> usize {
        self.sample_shape.iter().product::<u64>() as usize
    }

    /// Bytes of one batch as delivered.
    pub fn batch_bytes(&self) -> usize {
        self.sample_len() * self.samples_per_batch * size_of::<f32>()
    }

    /// Threads to use: `threads`, or one per core.
    pub fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_file_loads_and_is_named_after_its_file() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/scenarios");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let scenario = Scenario::load(&path).unwrap();
            assert_eq!(path.file_stem().unwrap().to_str().unwrap(), scenario.name);
            seen += 1;
        }
        assert_eq!(seen, 10);
    }

    #[test]
    fn shapes_that_do_not_fit_are_named() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/scenarios/smoke.json");
        let mut scenario = Scenario::load(&path).unwrap();
        scenario.sample_shape[0] = scenario.arrays.shape[0] + 1;
        assert!(scenario.check().unwrap_err().contains("sample_shape"));
        scenario.sample_shape.pop();
        assert!(scenario.check().unwrap_err().contains("sample_shape"));
    }
}
