//! The arrays of a run, written down by the formats' own words, and what of them is broken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::dice::Dice;
use crate::config::Outside;
use crate::sample::CropBox;

/// How an object misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Every request fails for good.
    Permanent,
    /// The first requests fail in passing.
    Transient(u32),
    /// The object ends early.
    Truncated(usize),
    /// No request is ever answered.
    Never,
}

/// One array of 16-bit elements.
#[derive(Debug)]
pub(super) struct SimArray {
    pub(super) uri: Arc<str>,
    prefix: String,
    pub(super) shape: Vec<u64>,
    chunk: Vec<u64>,
    shard: Option<Vec<u64>>,
    fill: u16,
    salt: u64,
    big_endian: bool,
    pub(super) codec: Codec,
    index_at_start: bool,
    index_has_checksum: bool,
    /// Chunks that are not stored.
    missing: BTreeSet<Vec<u64>>,
}

/// What follows the `bytes` codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    None,
    Crc32c,
    Zstd,
}

/// Everything that is stored, and the faults of it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) arrays: Vec<SimArray>,
    pub(super) objects: BTreeMap<String, Arc<[u8]>>,
    pub(super) faults: BTreeMap<String, Fault>,
}

impl World {
    /// Arrays of `rank` axes. `broken`: probability of a fault, per object; `hangs`: whether requests may stay unanswered.
    pub(super) fn new(dice: &Dice, rank: usize, broken: f64, hangs: bool) -> Self {
        let arrays: Vec<SimArray> = (0..dice.roll(1..=5)).map(|number| SimArray::new(dice, number, rank)).collect();
        let mut objects = BTreeMap::new();
        arrays.iter().for_each(|array| array.write(&mut objects));
        let mut faults = BTreeMap::new();
        for (key, bytes) in &objects {
            if dice.chance(broken) {
                let fault = match dice.roll(0..=9) {
                    0..=2 => Fault::Permanent,
                    3..=6 => Fault::Transient(dice.roll(1..=3) as u32),
                    7 if hangs => Fault::Never,
                    // An index read out of the wrong place looks like an index: only a checksum tells.
                    _ if arrays.iter().any(|array| array.hides_truncation(key)) => Fault::Permanent,
                    _ => Fault::Truncated(dice.roll(0..=bytes.len() as u64 - 1) as usize),
                };
                faults.insert(key.clone(), fault);
            }
        }
        Self { arrays, objects, faults }
    }
}

impl SimArray {
    fn new(dice: &Dice, number: u64, rank: usize) -> Self {
        let axes = |range: std::ops::RangeInclusive<u64>| (0..rank).map(|_| dice.roll(range.clone())).collect::<Vec<u64>>();
        let (shape, chunk) = (axes(1..=14), axes(1..=5));
        let shard = dice.chance(0.7).then(|| chunk.iter().map(|extent| extent * dice.roll(1..=3)).collect());
        let prefix = format!("a{number}");
        let mut array = Self {
            uri: format!("memory://simulation/{prefix}").into(),
            prefix,
            shape,
            chunk,
            shard,
            fill: dice.roll(0..=u16::MAX.into()) as u16,
            salt: dice.roll(0..=u32::MAX.into()),
            big_endian: dice.chance(0.3),
            codec: *dice.pick(&[Codec::None, Codec::Crc32c, Codec::Zstd]),
            index_at_start: dice.chance(0.3),
            index_has_checksum: dice.chance(0.5),
            missing: BTreeSet::new(),
        };
        let holes = *dice.pick(&[0.0, 0.2, 0.9]);
        let chunks = grid(&array.shape, &array.chunk);
        array.missing = cells(&chunks).into_iter().filter(|_| dice.chance(holes)).collect();
        array
    }

    /// The element at a place within the shape.
    pub(super) fn element(&self, at: &[u64]) -> u16 {
        if self.missing.contains(&cell_of(at, &self.chunk)) {
            return self.fill;
        }
        let linear = at.iter().zip(&self.shape).fold(0, |sum, (&at, &extent)| sum * extent + at);
        (self.salt + 37 * linear) as u16
    }

    /// Elements of a box in C order; `None` where the policy refuses it.
    pub(super) fn crop(&self, crop_box: &CropBox, outside: Outside) -> Option<Vec<u16>> {
        let element = |at: Vec<i64>| {
            let clamped = self.clamp(&at);
            match outside {
                _ if is_same(&clamped, &at) => Some(self.element(&clamped)),
                Outside::Edge => Some(self.element(&clamped)),
                Outside::Fill => Some(self.fill),
                Outside::Constant(value) => Some(value as u16),
                Outside::Error => None,
            }
        };
        places(crop_box).into_iter().map(element).collect()
    }

    /// Objects that a box needs bytes of, `zarr.json` included.
    pub(super) fn objects_of(&self, crop_box: &CropBox, outside: Outside) -> BTreeSet<String> {
        let cell = self.shard.as_ref().unwrap_or(&self.chunk);
        let keys = self.needed(crop_box, outside).map(|at| self.key(&cell_of(&at, cell)));
        keys.chain([self.document_key()]).collect()
    }

    /// Places within the shape that a box needs.
    fn needed(&self, crop_box: &CropBox, outside: Outside) -> impl Iterator<Item = Vec<u64>> {
        places(crop_box).into_iter().filter_map(move |at| {
            let clamped = self.clamp(&at);
            (outside == Outside::Edge || is_same(&clamped, &at)).then_some(clamped)
        })
    }

    /// Chunks that a box needs and that are stored.
    pub(super) fn chunks_of(&self, crop_box: &CropBox, outside: Outside) -> BTreeSet<Vec<u64>> {
        let chunks = self.needed(crop_box, outside).map(|at| cell_of(&at, &self.chunk));
        chunks.filter(|chunk| !self.missing.contains(chunk)).collect()
    }

    /// Whether the object may lose its end without a trace: a shard with its index there, and no checksum in it.
    fn hides_truncation(&self, key: &str) -> bool {
        let is_shard = self.shard.is_some() && key.starts_with(&format!("{}/c/", self.prefix));
        is_shard && !self.index_at_start && !self.index_has_checksum
    }

    pub(super) fn document_key(&self) -> String {
        format!("{}/zarr.json", self.prefix)
    }

    fn clamp(&self, at: &[i64]) -> Vec<u64> {
        at.iter().zip(&self.shape).map(|(&at, &extent)| at.clamp(0, extent as i64 - 1) as u64).collect()
    }

    fn key(&self, cell: &[u64]) -> String {
        let numbers: Vec<String> = cell.iter().map(u64::to_string).collect();
        format!("{}/c/{}", self.prefix, numbers.join("/"))
    }

    fn write(&self, objects: &mut BTreeMap<String, Arc<[u8]>>) {
        objects.insert(self.document_key(), self.document().into_bytes().into());
        let Some(shard) = &self.shard else {
            for chunk in cells(&grid(&self.shape, &self.chunk)) {
                if !self.missing.contains(&chunk) {
                    objects.insert(self.key(&chunk), self.encode(&chunk).into());
                }
            }
            return;
        };
        for cell in cells(&grid(&self.shape, shard)) {
            if let Some(bytes) = self.encode_shard(&cell, shard) {
                objects.insert(self.key(&cell), bytes.into());
            }
        }
    }

    /// The chunks of a shard, and its index; `None` if it stores none.
    fn encode_shard(&self, cell: &[u64], shard: &[u64]) -> Option<Vec<u8>> {
        let inner = grid(shard, &self.chunk);
        let count: u64 = inner.iter().product();
        let index_len = 16 * count as usize + if self.index_has_checksum { 4 } else { 0 };
        let (mut body, mut index) = (Vec::new(), Vec::new());
        let start = if self.index_at_start { index_len as u64 } else { 0 };
        let all = grid(&self.shape, &self.chunk);
        for within in cells(&inner) {
            let chunk: Vec<u64> = within.iter().zip(cell).zip(&inner).map(|((&within, &cell), &inner)| cell * inner + within).collect();
            let stored = chunk.iter().zip(&all).all(|(chunk, all)| chunk < all) && !self.missing.contains(&chunk);
            let (offset, len) = if stored {
                let bytes = self.encode(&chunk);
                let offset = start + body.len() as u64;
                body.extend_from_slice(&bytes);
                (offset, bytes.len() as u64)
            } else {
                (u64::MAX, u64::MAX)
            };
            index.extend_from_slice(&offset.to_le_bytes());
            index.extend_from_slice(&len.to_le_bytes());
        }
        if body.is_empty() {
            return None;
        }
        if self.index_has_checksum {
            index.extend_from_slice(&crc32c::crc32c(&index).to_le_bytes());
        }
        Some(if self.index_at_start { [index, body].concat() } else { [body, index].concat() })
    }

    fn encode(&self, chunk: &[u64]) -> Vec<u8> {
        let element = |within: Vec<u64>| {
            let at: Vec<u64> =
                within.iter().zip(chunk).zip(&self.chunk).map(|((&within, &chunk), &extent)| chunk * extent + within).collect();
            let is_inside = at.iter().zip(&self.shape).all(|(at, extent)| at < extent);
            let element = if is_inside { self.element(&at) } else { self.fill };
            if self.big_endian { element.to_be_bytes() } else { element.to_le_bytes() }
        };
        let mut bytes: Vec<u8> = cells(&self.chunk).into_iter().flat_map(element).collect();
        match self.codec {
            Codec::None => bytes,
            Codec::Crc32c => {
                bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
                bytes
            }
            Codec::Zstd => {
                let mut frame = vec![0; zstd_safe::compress_bound(bytes.len())];
                let len = zstd_safe::compress(&mut frame[..], &bytes, 1).expect("the bound is room enough");
                frame.truncate(len);
                frame
            }
        }
    }

    fn document(&self) -> String {
        let endian = if self.big_endian { "big" } else { "little" };
        let mut codecs = format!(r#"{{"name":"bytes","configuration":{{"endian":"{endian}"}}}}"#);
        codecs += match self.codec {
            Codec::None => "",
            Codec::Crc32c => r#",{"name":"crc32c"}"#,
            Codec::Zstd => r#",{"name":"zstd","configuration":{"level":1,"checksum":false}}"#,
        };
        if self.shard.is_some() {
            let checksum = if self.index_has_checksum { r#",{"name":"crc32c"}"# } else { "" };
            let location = if self.index_at_start { "start" } else { "end" };
            let index_codecs = format!(r#"{{"name":"bytes","configuration":{{"endian":"little"}}}}{checksum}"#);
            codecs = format!(
                r#"{{"name":"sharding_indexed","configuration":{{"chunk_shape":{:?},"codecs":[{codecs}],"index_codecs":[{index_codecs}],"index_location":"{location}"}}}}"#,
                self.chunk
            );
        }
        format!(
            r#"{{"zarr_format":3,"node_type":"array","shape":{:?},"data_type":"uint16","fill_value":{},"chunk_grid":{{"name":"regular","configuration":{{"chunk_shape":{:?}}}}},"chunk_key_encoding":{{"name":"default"}},"codecs":[{codecs}]}}"#,
            self.shape,
            self.fill,
            self.shard.as_ref().unwrap_or(&self.chunk),
        )
    }
}

/// Cells that cover `shape`.
fn grid(shape: &[u64], cell: &[u64]) -> Vec<u64> {
    shape.iter().zip(cell).map(|(shape, cell)| shape.div_ceil(*cell)).collect()
}

fn cell_of(at: &[u64], cell: &[u64]) -> Vec<u64> {
    at.iter().zip(cell).map(|(at, cell)| at / cell).collect()
}

/// Every place of a box of this shape, in C order.
fn cells(shape: &[u64]) -> Vec<Vec<u64>> {
    let mut all = vec![Vec::new()];
    for &extent in shape {
        all = all.into_iter().flat_map(|head| (0..extent).map(move |at| [head.as_slice(), &[at]].concat())).collect();
    }
    all
}

/// Whether clamping changed nothing: the place lies inside.
fn is_same(clamped: &[u64], at: &[i64]) -> bool {
    clamped.iter().zip(at).all(|(&clamped, &at)| i64::try_from(clamped) == Ok(at))
}

/// Every place of a box, in C order.
fn places(crop_box: &CropBox) -> Vec<Vec<i64>> {
    let shape: Vec<u64> = crop_box.shape().collect();
    let shift = |at: Vec<u64>| at.iter().zip(crop_box.axes()).map(|(&at, &(start, _))| start + at as i64).collect();
    cells(&shape).into_iter().map(shift).collect()
}
