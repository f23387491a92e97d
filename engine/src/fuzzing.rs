//! A door to the planner for its fuzz target: there under `cargo fuzz` only, and no promise to anybody.

use std::ops::Range;
use std::sync::Arc;

use longshore_core::ordinal::{BatchId, SampleSeq};

use crate::array::Array;
use crate::assemble::Region;
use crate::config::{Field, Outside};
use crate::memory::{Budget, Purpose};
use crate::plan::batch::{FieldTypes, Needed, StoredAt, plan_batch};
use crate::plan::geometry::{Window, for_each_cell};
use crate::plan::outside;
use crate::plan::reads::{Coalescing, Piece, coalesce};
use crate::prefetch::values::Shard;
use crate::prefetch::work::{FieldWork, SampleWork, ShardRef};
use crate::sample::{CropBox, Sample};
use crate::store::Store;
use crate::zarr::{ArrayMeta, ShardIndex};

/// A chunk that a crop needs.
#[derive(Debug)]
pub struct Need {
    /// Row of the batch.
    pub row: usize,
    /// The chunk's place in the grid.
    pub chunk: Vec<u64>,
    /// Object, offset and length; no length: the whole object. `None`: not stored.
    pub at: Option<(String, u64, Option<u64>)>,
    /// Elements of the decoded chunk that are wanted.
    pub needed: Range<usize>,
    /// What the chunk fills of the crop.
    pub regions: Vec<Region>,
}

/// A planned batch of one field.
#[derive(Debug)]
pub struct Plan {
    /// Chunks, row by row.
    pub needs: Vec<Need>,
    /// Per row: what lies outside the array and takes a constant.
    pub outside: Vec<Vec<Region>>,
}

/// Plans `boxes` of one array; `index_of` answers the index of the shard at a cell, `None` where it is not stored.
///
/// # Errors
/// A sentence, for what the prefetcher or the planner refuses.
pub fn plan(
    document: &[u8],
    store: Arc<dyn Store>,
    boxes: &[CropBox],
    policy: Outside,
    index_of: impl Fn(&[u64]) -> Option<ShardIndex>,
) -> Result<Plan, String> {
    let budget = Budget::new(1 << 40);
    let meta = ArrayMeta::parse(document).map_err(|error| error.to_string())?;
    let array = Array::new("fuzz".into(), store, String::new(), meta, &budget).map_err(|error| error.to_string())?;
    let array = Arc::new(array);
    let constant = outside::value(policy, &array.meta)?;
    let mut work = Vec::new();
    for (row, crop_box) in boxes.iter().enumerate() {
        let window = Window::new(crop_box, &array.meta.shape, policy, constant)?;
        let mut shards = Vec::new();
        // As the prefetcher lists them.
        if let Some(layout) = &array.shards
            && let Some(cells) = window.chunks(&array.meta.chunk_shape)
        {
            for_each_cell(&cells, |cell| {
                let _lease = budget.reserve(Purpose::Metadata, 1).expect("an ample budget");
                let shard = Shard { key: array.object_key(cell), index: index_of(cell), _lease };
                shards.push((layout.number(cell), ShardRef::Own(Arc::new(shard))));
            });
        }
        let fields = [FieldWork { array: array.clone(), window, shards }].into_iter().collect();
        let origin = Arc::new(Sample::new("fuzz", crop_box.clone()));
        work.push(SampleWork { seq: SampleSeq::new(row as u64), origin, fields: Ok(fields) });
    }
    let mut types = FieldTypes::new([Field::new("", [1])].into(), false);
    let shard_of = |shard: &ShardRef| match shard {
        ShardRef::Own(shard) => Some(shard.clone()),
        ShardRef::Cached(_) => None,
    };
    let mut needs = Vec::new();
    let plan = plan_batch(BatchId::ZERO, work, &mut types, shard_of, |row, _, crop, chunk, needed| {
        let strides = crop.array.decoder.strides();
        let mut regions = Vec::new();
        crop.window.regions(chunk, &crop.array.chunk_shape, strides, |region| regions.push(region.clone()));
        let place = |StoredAt { key, offset, len }| (key.to_string(), offset, len);
        let at = match needed {
            Needed::Missing => None,
            Needed::Stored { at, .. } => Some(place(at())),
        };
        let needed = crop.window.needed(chunk, &crop.array.chunk_shape, strides);
        needs.push(Need { row: row as usize, chunk: chunk.to_vec(), at, needed, regions });
    });
    if let Some(error) = plan.rows.iter().find_map(|row| row.error.as_ref()) {
        return Err(error.to_string());
    }
    let outside = (0..plan.rows.len() as u32).map(|row| {
        let window = &plan.crop(row, 0).window;
        let mut regions = Vec::new();
        if window.outside_value().is_some() {
            window.outside_regions(|region| regions.push(region.clone()));
        }
        regions
    });
    Ok(Plan { needs, outside: outside.collect() })
}

/// One read: object, span, and the numbers of the pieces in it.
pub type PlannedRead = (usize, Range<u64>, Vec<usize>);

/// Coalesces pieces of `(object, offset, length)`.
pub fn reads(pieces: &[(usize, u64, u64)], gap_bytes: u64, max_read_bytes: u64, max_chunks: usize) -> Vec<PlannedRead> {
    let piece = |(chunk, &(object, offset, len)): (usize, &(usize, u64, u64))| Piece { object, offset, len, chunk };
    let reads = coalesce(pieces.iter().enumerate().map(piece).collect(), Coalescing { gap_bytes, max_read_bytes, max_chunks });
    reads.into_iter().map(|read| (read.object, read.span, read.pieces.into_iter().map(|piece| piece.chunk).collect())).collect()
}
