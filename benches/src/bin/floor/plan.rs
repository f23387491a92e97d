//! Which chunks the crops of a batch touch.

use std::collections::HashMap;

use longshore_benches::positions::Position;
use longshore_benches::scenario::Scenario;

/// One chunk to decode, and the crops of the batch that want some of it.
pub(crate) struct Job {
    pub(crate) array: usize,
    pub(crate) chunk: Vec<u64>,
    pub(crate) crops: Vec<usize>,
}

/// The work of one batch, in crop order. With `distinct`, each chunk once.
pub(crate) fn jobs(scenario: &Scenario, crops: &[Position], distinct: bool) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut seen: HashMap<(usize, Vec<u64>), usize> = HashMap::new();
    for (number, crop) in crops.iter().enumerate() {
        for chunk in chunks_of(scenario, crop) {
            if distinct {
                let at = *seen.entry((crop.array, chunk.clone())).or_insert(jobs.len());
                if let Some(job) = jobs.get_mut(at) {
                    job.crops.push(number);
                    continue;
                }
            }
            jobs.push(Job { array: crop.array, chunk, crops: vec![number] });
        }
    }
    jobs
}

fn chunks_of(scenario: &Scenario, crop: &Position) -> Vec<Vec<u64>> {
    let mut out = vec![Vec::new()];
    for (axis, start) in crop.start.iter().enumerate() {
        let extent = scenario.arrays.chunk_shape[axis];
        let range = start / extent..=(start + scenario.sample_shape[axis] - 1) / extent;
        out = out.iter().flat_map(|head: &Vec<u64>| range.clone().map(move |index| [head.as_slice(), &[index]].concat())).collect();
    }
    out
}

/// Part of a chunk that one crop wants, per axis.
#[derive(Clone)]
pub(crate) struct Overlap {
    /// First element wanted, within the chunk.
    pub(crate) from: Vec<usize>,
    /// Where that stands within the crop.
    pub(crate) to: Vec<usize>,
    /// Extent.
    pub(crate) extent: Vec<usize>,
}

pub(crate) fn overlap(scenario: &Scenario, chunk: &[u64], crop: &Position) -> Overlap {
    let mut out = Overlap { from: Vec::new(), to: Vec::new(), extent: Vec::new() };
    for (axis, index) in chunk.iter().enumerate() {
        let (chunk_begin, chunk_extent) = (index * scenario.arrays.chunk_shape[axis], scenario.arrays.chunk_shape[axis]);
        let crop_begin = crop.start[axis];
        let begin = chunk_begin.max(crop_begin);
        let end = (chunk_begin + chunk_extent).min(crop_begin + scenario.sample_shape[axis]);
        out.from.push((begin - chunk_begin) as usize);
        out.to.push((begin - crop_begin) as usize);
        out.extent.push((end - begin) as usize);
    }
    out
}
