//! The planner on boxes x grids (C20, C31, C36): every voxel of every crop comes once, from the right element of the right
//! chunk or from outside; every chunk's place is the one its shard's index says; the reads hold each chunk's bytes once.
//! The oracle is one voxel at a time.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use longshore::assemble::{Region, RegionAxis};
use longshore::fuzzing::{Need, Plan, plan, reads};
use longshore::store::{CostModel, FetchDone, ObjectKey, ReadDone, Span, Store, StoreError, StoreStats};
use longshore::zarr::{Endian, IndexFormat, IndexLocation, ShardIndex};
use longshore::{CropBox, Outside};

/// Voxels of a crop at most: the oracle looks at each.
const MAX_VOXELS: u64 = 500;

#[derive(Arbitrary, Debug)]
struct Axis {
    size: u8,
    /// Multiplied in, so that some arrays are long.
    size_shift: u8,
    inner: u8,
    inner_per_shard: u8,
}

#[derive(Arbitrary, Debug)]
struct Row {
    starts: [Start; 4],
    extents: [u8; 4],
}

#[derive(Arbitrary, Debug)]
enum Start {
    Near(u8),
    Before(u8),
    FromTheEnd(i8),
    Least(u8),
    Most(u8),
}

#[derive(Arbitrary, Debug)]
struct Input {
    axes: [Axis; 4],
    rank: u8,
    sharded: bool,
    outside: u8,
    rows: Vec<Row>,
    /// Which shards, and which chunks in them, are not stored: by bits of a mixed number.
    missing: u8,
    gap_bytes: u16,
    max_read_bytes: u16,
    max_chunks: u8,
}

/// An array, as the oracle sees it.
struct Grid {
    shape: Vec<u64>,
    chunk: Vec<u64>,
    /// Chunks per shard; `None` for an array without shards.
    per_shard: Option<Vec<u64>>,
    missing: u8,
}

/// A store that is never asked.
#[derive(Debug)]
struct NoStore;

impl Store for NoStore {
    fn fetch(&self, _: ObjectKey, _: Span, _: u64, done: FetchDone) {
        done(Err(StoreError::NotFound));
    }

    fn read(&self, _: ObjectKey, _: u64, into: Vec<u8>, done: ReadDone) {
        done(into, Err(StoreError::NotFound));
    }

    fn cost(&self) -> CostModel {
        CostModel { gap_bytes: 0, max_read_bytes: u64::MAX, depth: 1 }
    }

    fn stats(&self) -> StoreStats {
        StoreStats::default()
    }
}

static STORE: LazyLock<Arc<NoStore>> = LazyLock::new(|| Arc::new(NoStore));

fuzz_target!(|input: Input| {
    let grid = Grid::new(&input);
    let boxes: Vec<CropBox> = input.rows.iter().take(5).map(|row| grid.crop_box(row)).collect();
    let policy = [Outside::Error, Outside::Fill, Outside::Edge, Outside::Constant(3.0)][usize::from(input.outside % 4)];
    let plan = match plan(grid.document().as_bytes(), STORE.clone(), &boxes, policy, |cell| grid.index(cell)) {
        Ok(plan) => plan,
        Err(reason) => {
            let leaves = boxes.iter().any(|crop_box| grid.leaves(crop_box));
            assert!(policy == Outside::Error && leaves, "refused: {reason}");
            return;
        }
    };
    for (row, crop_box) in boxes.iter().enumerate() {
        assert!(policy != Outside::Error || !grid.leaves(crop_box), "{crop_box} leaves {:?}", grid.shape);
        check_row(&grid, crop_box, policy == Outside::Edge, row, &plan);
    }
    plan.needs.iter().for_each(|need| check_place(&grid, need));
    check_reads(&plan, input.gap_bytes.into(), u64::from(input.max_read_bytes) + 1, usize::from(input.max_chunks) + 1);
});

impl Grid {
    fn new(input: &Input) -> Self {
        let axes = &input.axes[..usize::from(input.rank % 4) + 1];
        // One axis may be long; with more, the chunks would be too many to number, which is refused.
        let shift = |(number, axis): (usize, &Axis)| axis.size_shift % if number == 0 { 24 } else { 3 };
        let shape = axes.iter().enumerate().map(|at| (u64::from(at.1.size) + 1) << shift(at)).collect();
        let chunk = axes.iter().map(|axis| u64::from(axis.inner % 12) + 1).collect();
        let per_shard = input.sharded.then(|| axes.iter().map(|axis| u64::from(axis.inner_per_shard % 3) + 1).collect());
        Self { shape, chunk, per_shard, missing: input.missing }
    }

    fn document(&self) -> String {
        let (chunk, shape) = (&self.chunk, &self.shape);
        let bytes = r#"{"name":"bytes"}"#;
        let (outer, codec) = match &self.per_shard {
            None => (chunk.clone(), bytes.to_owned()),
            Some(per_shard) => {
                let index = r#"[{"name":"bytes","configuration":{"endian":"little"}}]"#;
                let sharding = format!(r#""chunk_shape":{chunk:?},"codecs":[{bytes}],"index_codecs":{index}"#);
                let outer = chunk.iter().zip(per_shard).map(|(chunk, count)| chunk * count).collect();
                (outer, format!(r#"{{"name":"sharding_indexed","configuration":{{{sharding}}}}}"#))
            }
        };
        format!(
            r#"{{"zarr_format":3,"node_type":"array","shape":{shape:?},"data_type":"uint8","fill_value":0,"codecs":[{codec}],
                "chunk_grid":{{"name":"regular","configuration":{{"chunk_shape":{outer:?}}}}},"chunk_key_encoding":{{"name":"default"}}}}"#
        )
    }

    /// A box that the row means, of no more voxels than the oracle can look at.
    fn crop_box(&self, row: &Row) -> CropBox {
        let mut room = MAX_VOXELS;
        let axes = self.shape.iter().zip(&row.starts).zip(&row.extents).map(|((&size, start), &extent)| {
            let extent = (u64::from(extent) + 1).min(room);
            room /= extent;
            let size = size as i64;
            let start = match *start {
                Start::Near(at) => i64::from(at),
                Start::Before(by) => -i64::from(by),
                Start::FromTheEnd(off) => size + i64::from(off),
                Start::Least(off) => i64::MIN + i64::from(off),
                Start::Most(off) => i64::MAX - 256 - i64::from(off),
            };
            (start, start + extent as i64)
        });
        CropBox::new(axes).expect("ends after its start")
    }

    fn leaves(&self, crop_box: &CropBox) -> bool {
        crop_box.axes().iter().zip(&self.shape).any(|(&(start, end), &size)| start < 0 || end > size as i64)
    }

    /// A number for a place, mixed well enough that neighbours differ.
    fn mixed(&self, place: &[u64]) -> u64 {
        place.iter().fold(u64::from(self.missing), |mix, &at| (mix ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
    }

    /// Where the chunks of a shard are: each of a length of its own, in an order of its own, some of them nowhere.
    fn places(&self, cell: &[u64]) -> Option<Vec<Option<(u64, u64)>>> {
        let mix = self.mixed(cell);
        if self.missing & 1 != 0 && mix.is_multiple_of(4) {
            return None;
        }
        let entries: u64 = self.per_shard.as_ref()?.iter().product();
        let mut places = vec![None; entries as usize];
        let mut offset = mix % 50;
        for turn in 0..entries {
            // Backwards in every other shard.
            let entry = if mix & 64 != 0 { entries - 1 - turn } else { turn };
            let of_entry = self.mixed(&[mix, entry]);
            if self.missing & 2 != 0 && of_entry.is_multiple_of(3) {
                continue;
            }
            let len = 1 + of_entry % 90;
            places[entry as usize] = Some((offset, len));
            offset += len + of_entry / 128 % 40;
        }
        Some(places)
    }

    fn index(&self, cell: &[u64]) -> Option<ShardIndex> {
        let places = self.places(cell)?;
        let words = places.iter().flat_map(|place| place.map_or([u64::MAX; 2], |(offset, len)| [offset, len]));
        let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        let format = IndexFormat { entries: places.len(), endian: Endian::Little, checksums: 0, location: IndexLocation::End };
        Some(ShardIndex::decode(&bytes, &format, None).expect("a sound index"))
    }
}

/// Every voxel once, from where it should come.
fn check_row(grid: &Grid, crop_box: &CropBox, edge: bool, row: usize, plan: &Plan) {
    let extents: Vec<u64> = crop_box.shape().collect();
    let mut written: Vec<bool> = vec![false; extents.iter().product::<u64>() as usize];
    let mut put = |region: &Region, check: &mut dyn FnMut(&[i128], usize)| {
        each_element(region, |target, source| {
            assert!(!std::mem::replace(&mut written[target], true), "voxel {target} of {crop_box} is written twice");
            check(&position(crop_box, &extents, target as u64), source);
        });
    };
    let inside = |at: &[i128]| at.iter().zip(&grid.shape).all(|(&at, &size)| (0..i128::from(size)).contains(&at));
    for region in &plan.outside[row] {
        put(region, &mut |at, _| assert!(!edge && !inside(at), "{at:?} is not outside {:?}", grid.shape));
    }
    let mut chunks = BTreeSet::new();
    for need in plan.needs.iter().filter(|need| need.row == row) {
        assert!(chunks.insert(need.chunk.clone()), "chunk {:?} is needed twice", need.chunk);
        assert!(!need.regions.is_empty(), "chunk {:?} is read for nothing", need.chunk);
        for region in &need.regions {
            put(region, &mut |at, source| {
                assert!(edge || inside(at));
                assert!(need.needed.contains(&source), "{source} is read, {:?} is said to be needed", need.needed);
                // The element that should come here, by its place in the array.
                let from = at.iter().zip(&grid.shape).map(|(&at, &size)| at.clamp(0, i128::from(size) - 1) as u64);
                let mut expected = 0;
                for ((from, &chunk), &cell) in from.zip(&grid.chunk).zip(&need.chunk) {
                    assert_eq!(from / chunk, cell, "the wrong chunk");
                    expected = expected * chunk + from % chunk;
                }
                assert_eq!(source as u64, expected, "the wrong element of chunk {:?}", need.chunk);
            });
        }
    }
    assert!(written.iter().all(|written| *written), "a voxel of {crop_box} is never written");
}

/// Where in the array a voxel of the crop lies.
fn position(crop_box: &CropBox, extents: &[u64], mut target: u64) -> Vec<i128> {
    let mut at = vec![0; extents.len()];
    for axis in (0..extents.len()).rev() {
        at[axis] = i128::from(crop_box.axes()[axis].0) + i128::from(target % extents[axis]);
        target /= extents[axis];
    }
    at
}

/// Target and source of every element of a region.
fn each_element(region: &Region, mut each: impl FnMut(usize, usize)) {
    fn walk(axes: &[RegionAxis], target: usize, source: usize, each: &mut dyn FnMut(usize, usize)) {
        let Some((axis, rest)) = axes.split_first() else { return each(target, source) };
        for i in 0..axis.extent {
            walk(rest, target + i * axis.target_stride, source + i * axis.source_stride, each);
        }
    }
    walk(&region.axes, region.target_start, region.source_start, &mut each);
}

/// The object and the bytes of a chunk, by what its shard's index says.
fn check_place(grid: &Grid, need: &Need) {
    let key = |cell: &[u64]| format!("c/{}", cell.iter().map(u64::to_string).collect::<Vec<_>>().join("/"));
    let Some(per_shard) = &grid.per_shard else {
        assert_eq!(need.at, Some((key(&need.chunk), 0, None)));
        return;
    };
    let cell: Vec<u64> = need.chunk.iter().zip(per_shard).map(|(at, count)| at / count).collect();
    let entry = need.chunk.iter().zip(per_shard).fold(0, |entry, (at, count)| entry * count + at % count);
    let place = grid.places(&cell).and_then(|places| places[entry as usize]);
    assert_eq!(need.at, place.map(|(offset, len)| (key(&cell), offset, Some(len))), "chunk {:?}", need.chunk);
}

/// Each chunk's bytes are in one read, and reads hold nothing else but gaps that are cheaper read than skipped.
fn check_reads(plan: &Plan, gap_bytes: u64, max_read_bytes: u64, max_chunks: usize) {
    let mut objects: BTreeMap<&str, usize> = BTreeMap::new();
    let mut pieces: Vec<(usize, u64, u64)> = Vec::new();
    let mut seen = BTreeSet::new();
    for need in &plan.needs {
        if let Some((key, offset, Some(len))) = &need.at
            && seen.insert(&need.chunk)
        {
            let next = objects.len();
            pieces.push((*objects.entry(key).or_insert(next), *offset, *len));
        }
    }
    let mut found = vec![false; pieces.len()];
    let mut last_of_object: BTreeMap<usize, Range<u64>> = BTreeMap::new();
    for (object, span, inside) in reads(&pieces, gap_bytes, max_read_bytes, max_chunks) {
        assert!((1..=max_chunks).contains(&inside.len()));
        assert!(span.end - span.start <= max_read_bytes || inside.len() == 1, "{span:?} is longer than {max_read_bytes}");
        let mut at = span.start;
        for &number in &inside {
            assert!(!std::mem::replace(&mut found[number], true), "piece {number} is read twice");
            let (of, offset, len) = pieces[number];
            assert!(of == object && span.start <= offset && offset + len <= span.end, "{:?} is not in {span:?}", pieces[number]);
            assert!(offset >= at && offset - at <= gap_bytes, "a gap of more than {gap_bytes} before {offset}, or no order");
            at = offset + len;
        }
        assert_eq!((pieces[inside[0]].1, at), (span.start, span.end), "more is read than wanted");
        if let Some(last) = last_of_object.insert(object, span.clone()) {
            assert!(last.end <= span.start, "reads of one object overlap or go back: {last:?}, {span:?}");
        }
    }
    assert!(found.iter().all(|found| *found), "a piece is in no read");
}
