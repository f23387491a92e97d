//! From a resolved batch to its crops, and from crops to the chunks they need.

use std::sync::Arc;

use longshore_core::ordinal::{BatchId, SampleSeq};
use smallvec::SmallVec;

use crate::array::Array;
use crate::assemble::{Caster, OutputType};
use crate::config::{Dtype, Field};
use crate::error::{Cause, SampleError, Stage};
use crate::plan::geometry::{Crop, for_each_cell};
use crate::prefetch::values::Shard;
use crate::prefetch::work::{FieldWork, SampleWork, ShardRef};
use crate::sample::Sample;
use crate::store::ObjectKey;
use crate::zarr::{Axes, DataType};

/// A planned batch: its rows, in push order.
#[derive(Debug)]
pub(crate) struct BatchPlan {
    pub(crate) id: BatchId,
    pub(crate) rows: Vec<RowPlan>,
}

/// One row.
#[derive(Debug)]
pub(crate) struct RowPlan {
    pub(crate) seq: SampleSeq,
    pub(crate) origin: Arc<Sample>,
    /// One per field, in the loader's order; empty where the sample failed.
    pub(crate) crops: SmallVec<[Crop; 1]>,
    pub(crate) error: Option<Arc<SampleError>>,
}

impl BatchPlan {
    pub(crate) fn crop(&self, row: u32, field: u16) -> &Crop {
        &self.rows[row as usize].crops[field as usize]
    }

    /// An error of one field of one row.
    pub(crate) fn error(&self, row: u32, field: u16, stage: Stage, object: Option<String>, cause: Cause) -> Arc<SampleError> {
        let row = &self.rows[row as usize];
        let request = &row.origin.fields[field as usize];
        Arc::new(SampleError {
            sample: row.seq,
            field: request.name.clone(),
            uri: request.uri.clone(),
            crop_box: request.crop_box.clone(),
            stage,
            object,
            cause,
        })
    }
}

/// Element types of a loader's fields, and the casts into them. The first array decides a `Native` field's type.
#[derive(Debug)]
pub(crate) struct FieldTypes {
    fields: Arc<[Field]>,
    types: Vec<Option<DataType>>,
    casters: Vec<Vec<(DataType, Arc<Caster>)>>,
    streaming: bool,
}

impl FieldTypes {
    pub(crate) fn new(fields: Arc<[Field]>, streaming: bool) -> Self {
        let types = fields.iter().map(Field::known_type).collect();
        let casters = fields.iter().map(|_| Vec::new()).collect();
        Self { fields, types, casters, streaming }
    }

    /// Type of a field's elements in the batch, once it is known.
    pub(crate) fn of(&self, field: usize) -> Option<DataType> {
        self.types[field]
    }

    fn caster(&mut self, field: usize, from: DataType) -> Result<Arc<Caster>, Cause> {
        if let Some((_, caster)) = self.casters[field].iter().find(|(known, _)| *known == from) {
            return Ok(caster.clone());
        }
        let settings = &self.fields[field];
        let to = match settings.dtype {
            Dtype::Native => OutputType::Native(self.types[field].unwrap_or(from)),
            Dtype::F16 => OutputType::F16,
            Dtype::BF16 => OutputType::BF16,
            Dtype::F32 => OutputType::F32,
            Dtype::F64 => OutputType::F64,
        };
        let caster = Arc::new(Caster::new(from, to, settings.affine)?.with_streaming(self.streaming));
        self.types[field].get_or_insert(from);
        self.casters[field].push((from, caster.clone()));
        Ok(caster)
    }
}

/// Where a chunk's stored bytes are.
#[derive(Clone, Debug)]
pub(crate) struct StoredAt {
    pub(crate) key: ObjectKey,
    pub(crate) offset: u64,
    /// `None`: the whole object, of a length that is learned when it is read.
    pub(crate) len: Option<u64>,
}

/// One chunk that a crop needs.
pub(crate) enum Needed<'a> {
    /// It may be stored: its length, if that is known, and where.
    Stored { len: Option<u64>, at: &'a dyn Fn() -> StoredAt },
    /// It is not: fill.
    Missing,
}

/// Plans a batch: `shard_of` looks a resolved shard up, `each` is called for every chunk of every crop with its row and field.
pub(crate) fn plan_batch(
    id: BatchId,
    work: Vec<SampleWork>,
    types: &mut FieldTypes,
    shard_of: impl Fn(&ShardRef) -> Option<Arc<Shard>>,
    mut each: impl FnMut(u32, u16, &Crop, &[u64], Needed<'_>),
) -> BatchPlan {
    let mut plan = BatchPlan { id, rows: Vec::with_capacity(work.len()) };
    for sample in work {
        let row = plan.rows.len() as u32;
        plan.rows.push(RowPlan { seq: sample.seq, origin: sample.origin, crops: SmallVec::new(), error: None });
        match sample.fields {
            Ok(fields) => {
                let planned = plan_row(&fields, types, &shard_of);
                match planned {
                    Ok(resolved) => {
                        for (field, (crop, shards)) in resolved.into_iter().enumerate() {
                            needs(&crop, &shards, |chunk, needed| each(row, field as u16, &crop, chunk, needed));
                            plan.rows[row as usize].crops.push(crop);
                        }
                    }
                    Err((field, cause)) => {
                        let error = plan.error(row, field, Stage::Plan, None, cause);
                        plan.rows[row as usize].error = Some(error);
                    }
                }
            }
            Err(error) => plan.rows[row as usize].error = Some(error),
        }
    }
    plan
}

type ResolvedShards = Vec<(u64, Arc<Shard>)>;

fn plan_row(
    fields: &[FieldWork],
    types: &mut FieldTypes,
    shard_of: &impl Fn(&ShardRef) -> Option<Arc<Shard>>,
) -> Result<Vec<(Crop, ResolvedShards)>, (u16, Cause)> {
    let mut planned = Vec::with_capacity(fields.len());
    for (index, field) in fields.iter().enumerate() {
        let fail = |cause: Cause| (index as u16, cause);
        let caster = types.caster(index, field.array.meta.data_type).map_err(fail)?;
        let resolve = |(number, shard): &(u64, ShardRef)| Some((*number, shard_of(shard)?));
        // Pinned until this batch is planned, so only closing can take one away.
        let shards: Option<ResolvedShards> = field.shards.iter().map(resolve).collect();
        let shards = shards.ok_or(fail(Cause::Closed))?;
        planned.push((Crop { array: field.array.clone(), caster, window: field.window.clone() }, shards));
    }
    Ok(planned)
}

/// Calls `each` with every chunk that the crop needs.
fn needs(crop: &Crop, shards: &[(u64, Arc<Shard>)], mut each: impl FnMut(&[u64], Needed<'_>)) {
    let array: &Array = &crop.array;
    let Some(chunks) = crop.window.chunks(&array.chunk_shape) else { return };
    let Some(layout) = &array.shards else {
        for_each_cell(&chunks, |chunk| {
            each(chunk, Needed::Stored { len: None, at: &|| StoredAt { key: array.object_key(chunk), offset: 0, len: None } })
        });
        return;
    };
    // Neighbours mostly share a shard: remember the last.
    let mut last: Option<(Axes<u64>, &Shard)> = None;
    for_each_cell(&chunks, |chunk| {
        let cell = array.cell_of(chunk);
        let shard = match &last {
            Some((known, shard)) if *known == cell => *shard,
            _ => {
                let at = shards.binary_search_by_key(&layout.number(&cell), |shard| shard.0);
                let shard: &Shard = &shards[at.expect("the prefetcher lists every shard that the window touches")].1;
                last = Some((cell, shard));
                shard
            }
        };
        let entry = shard.index.as_ref().and_then(|index| index.get(layout.entry(chunk)));
        match entry {
            None => each(chunk, Needed::Missing),
            Some((offset, len)) => {
                let at = || StoredAt { key: shard.key.clone(), offset, len: Some(len) };
                each(chunk, Needed::Stored { len: Some(len), at: &at });
            }
        }
    });
}
