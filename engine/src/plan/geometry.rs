//! How a crop falls onto an array's chunks, and where each piece of it goes.

use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::array::Array;
use crate::assemble::{Caster, Region, RegionAxis};
use crate::config::Outside;
use crate::sample::CropBox;
use crate::zarr::{Axes, FillValue};

/// One field of one row: a box of an array that fits it, and how its elements become the batch's.
#[derive(Clone, Debug)]
pub(crate) struct Crop {
    pub(crate) array: Arc<Array>,
    pub(crate) caster: Arc<Caster>,
    pub(crate) window: Window,
}

/// A checked box on an array.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Window {
    axes: Axes<WindowAxis>,
    edge: bool,
    /// Value of elements outside the array, where the policy fills them.
    outside: Option<FillValue>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct WindowAxis {
    start: i64,
    extent: u64,
    /// Extent of the array.
    size: u64,
    /// Elements between neighbours in the crop.
    target_stride: usize,
}

/// A run of crop elements along one axis: `target..target+len` from `source` on, repeating it if `step` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    target: u64,
    source: u64,
    len: u64,
    step: u64,
}

impl Window {
    /// Checks a box against an array's shape. The crop's extents equal the box's, by the checks on push.
    ///
    /// # Errors
    /// A sentence saying which axis leaves the array and by how much.
    pub(crate) fn new(crop_box: &CropBox, shape: &[u64], outside: Outside, constant: Option<FillValue>) -> Result<Self, String> {
        if crop_box.rank() != shape.len() {
            return Err(format!("the box has {} axes, the array has {} (shape {shape:?})", crop_box.rank(), shape.len()));
        }
        let mut axes: Axes<WindowAxis> = SmallVec::with_capacity(shape.len());
        for (axis, (&(start, end), &size)) in crop_box.axes().iter().zip(shape).enumerate() {
            let extent = end.abs_diff(start);
            let inside = start >= 0 && end as u64 <= size;
            if !inside && outside == Outside::Error {
                return Err(format!(
                    "axis {axis} of the box is {start}..{end}, the array has 0..{size}: move the box, or set the field's outside policy"
                ));
            }
            if size == 0 && outside == Outside::Edge {
                return Err(format!("axis {axis} of the array has no elements whose edge could be repeated"));
            }
            axes.push(WindowAxis { start, extent, size, target_stride: 0 });
        }
        let mut stride = 1;
        for axis in axes.iter_mut().rev() {
            axis.target_stride = stride;
            stride *= axis.extent as usize; // the crop's product was checked when the field was built
        }
        Ok(Self { axes, edge: outside == Outside::Edge, outside: constant })
    }

    /// Chunks per axis that hold elements of the crop; `None` if no chunk does.
    pub(crate) fn chunks(&self, chunk_shape: &[u64]) -> Option<Axes<Range<u64>>> {
        let ranges: Option<Axes<Range<u64>>> =
            self.axes.iter().zip(chunk_shape).map(|(axis, &chunk)| axis.chunks(chunk, self.edge)).collect();
        ranges
    }

    /// Calls `each` with every region that the chunk at `chunk` fills in. `source_strides`: of the decoded chunk, elements.
    pub(crate) fn regions(&self, chunk: &[u64], chunk_shape: &[u64], source_strides: &[usize], mut each: impl FnMut(&Region)) {
        let mut segments: Axes<SmallVec<[Segment; 3]>> = SmallVec::with_capacity(self.axes.len());
        for ((axis, &c), &extent) in self.axes.iter().zip(chunk).zip(chunk_shape) {
            let found = axis.segments(c * extent..(c + 1).saturating_mul(extent).min(axis.size), self.edge);
            if found.is_empty() {
                return;
            }
            segments.push(found);
        }
        let counts: Axes<Range<u64>> = segments.iter().map(|s| 0..s.len() as u64).collect();
        let mut region = Region { source_start: 0, target_start: 0, axes: SmallVec::new() };
        for_each_cell(&counts, |pick| {
            region.axes.clear();
            (region.source_start, region.target_start) = (0, 0);
            for (i, axis) in self.axes.iter().enumerate() {
                let segment = segments[i][pick[i] as usize];
                region.source_start += segment.source as usize * source_strides[i];
                region.target_start += segment.target as usize * axis.target_stride;
                region.axes.push(RegionAxis {
                    extent: segment.len as usize,
                    source_stride: segment.step as usize * source_strides[i],
                    target_stride: axis.target_stride,
                });
            }
            each(&region);
        });
    }

    /// Smallest range of elements of the decoded chunk that holds everything the crop needs of it.
    pub(crate) fn needed(&self, chunk: &[u64], chunk_shape: &[u64], source_strides: &[usize]) -> Range<usize> {
        let (mut first, mut last) = (0, 0);
        for (i, axis) in self.axes.iter().enumerate() {
            let begin = chunk[i] * chunk_shape[i];
            let end = (begin + chunk_shape[i]).min(axis.size);
            let Some(needed) = axis.needed(begin..end, self.edge) else { return 0..0 };
            first += (needed.start - begin) as usize * source_strides[i];
            last += (needed.end - 1 - begin) as usize * source_strides[i];
        }
        first..last + 1
    }

    /// The value for elements outside the array, and whether there can be any.
    pub(crate) fn outside_value(&self) -> Option<FillValue> {
        self.outside.filter(|_| !self.edge && self.axes.iter().any(|axis| !axis.is_inside()))
    }

    /// Calls `each` with disjoint regions that together are the part of the crop outside the array.
    pub(crate) fn outside_regions(&self, mut each: impl FnMut(&Region)) {
        for (split, axis) in self.axes.iter().enumerate() {
            let inside = axis.inside_target();
            for slab in [0..inside.start, inside.end..axis.extent] {
                if !slab.is_empty() {
                    self.slab(split, slab, &mut each);
                }
            }
        }
    }

    /// Every element of the crop, as one region.
    pub(crate) fn everything(&self) -> Region {
        let axes =
            self.axes.iter().map(|axis| RegionAxis { extent: axis.extent as usize, source_stride: 0, target_stride: axis.target_stride });
        Region { source_start: 0, target_start: 0, axes: axes.collect() }
    }

    /// The region of `slab` along `split`, of the inside along earlier axes and of everything along later ones.
    fn slab(&self, split: usize, slab: Range<u64>, each: &mut impl FnMut(&Region)) {
        let mut region = Region { source_start: 0, target_start: 0, axes: SmallVec::new() };
        for (i, axis) in self.axes.iter().enumerate() {
            let run = match i.cmp(&split) {
                std::cmp::Ordering::Less => axis.inside_target(),
                std::cmp::Ordering::Equal => slab.clone(),
                std::cmp::Ordering::Greater => 0..axis.extent,
            };
            if run.is_empty() {
                return;
            }
            region.target_start += run.start as usize * axis.target_stride;
            let extent = (run.end - run.start) as usize;
            region.axes.push(RegionAxis { extent, source_stride: 0, target_stride: axis.target_stride });
        }
        each(&region);
    }
}

impl WindowAxis {
    fn is_inside(&self) -> bool {
        self.inside_target() == (0..self.extent)
    }

    /// Elements before the array's first one.
    fn before(&self) -> u64 {
        (self.start.min(0).unsigned_abs()).min(self.extent)
    }

    /// Crop positions that fall inside the array; an empty range where none does.
    fn inside_target(&self) -> Range<u64> {
        let begin = self.before();
        // Wide enough for every i64 start and u64 size.
        let end = (i128::from(self.size) - i128::from(self.start)).clamp(i128::from(begin), i128::from(self.extent)) as u64;
        begin..end
    }

    /// Array positions that fall inside the crop.
    fn inside_source(&self) -> Range<u64> {
        let target = self.inside_target();
        let position = |t: u64| (i128::from(self.start) + i128::from(t)).max(0) as u64;
        position(target.start)..position(target.start) + (target.end - target.start)
    }

    /// Array positions that the crop reads, edges repeated or not; `None` for none.
    fn reads(&self, edge: bool) -> Option<Range<u64>> {
        let inside = self.inside_source();
        if !inside.is_empty() {
            return Some(inside);
        }
        // Wholly outside: the nearest element.
        edge.then(|| if self.start < 0 { 0..1 } else { self.size - 1..self.size })
    }

    fn chunks(&self, chunk: u64, edge: bool) -> Option<Range<u64>> {
        let reads = self.reads(edge)?;
        Some(reads.start / chunk..(reads.end - 1) / chunk + 1)
    }

    /// Array positions within `chunk` that the crop reads.
    fn needed(&self, chunk: Range<u64>, edge: bool) -> Option<Range<u64>> {
        let reads = self.reads(edge)?;
        let range = reads.start.max(chunk.start)..reads.end.min(chunk.end);
        (!range.is_empty()).then_some(range)
    }

    /// Runs of crop positions that come out of `chunk` (array positions).
    fn segments(&self, chunk: Range<u64>, edge: bool) -> SmallVec<[Segment; 3]> {
        let mut segments = SmallVec::new();
        let target = self.inside_target();
        if edge && target.start > 0 && chunk.contains(&0) {
            segments.push(Segment { target: 0, source: 0, len: target.start, step: 0 });
        }
        let source = self.inside_source();
        let shared = source.start.max(chunk.start)..source.end.min(chunk.end);
        if !shared.is_empty() {
            let len = shared.end - shared.start;
            segments.push(Segment {
                target: target.start + (shared.start - source.start),
                source: shared.start - chunk.start,
                len,
                step: 1,
            });
        }
        if edge && target.end < self.extent && chunk.contains(&(self.size - 1)) {
            segments.push(Segment { target: target.end, source: self.size - 1 - chunk.start, len: self.extent - target.end, step: 0 });
        }
        segments
    }
}

/// Calls `each` with every cell of a box of coordinates, row-major.
pub(crate) fn for_each_cell(ranges: &[Range<u64>], mut each: impl FnMut(&[u64])) {
    if ranges.iter().any(Range::is_empty) {
        return;
    }
    let mut cell: Axes<u64> = ranges.iter().map(|range| range.start).collect();
    loop {
        each(&cell);
        let mut axis = ranges.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            cell[axis] += 1;
            if cell[axis] < ranges[axis].end {
                break;
            }
            cell[axis] = ranges[axis].start;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(boxes: &[(i64, i64)], shape: &[u64], outside: Outside) -> Window {
        let constant = (outside == Outside::Fill).then(|| FillValue::from_ne_bytes(&[7]));
        Window::new(&CropBox::new(boxes.iter().copied()).unwrap(), shape, outside, constant).unwrap()
    }

    fn c_strides(shape: &[u64]) -> Vec<usize> {
        let mut strides = vec![1; shape.len()];
        for i in (0..shape.len().saturating_sub(1)).rev() {
            strides[i] = strides[i + 1] * shape[i + 1] as usize;
        }
        strides
    }

    /// What each crop element should read: its array position, or `None` outside. Plain arithmetic, one element at a time.
    fn expected(boxes: &[(i64, i64)], shape: &[u64], edge: bool) -> Vec<Option<Vec<u64>>> {
        let ranges: Vec<Range<u64>> = boxes.iter().map(|&(a, b)| 0..b.abs_diff(a)).collect();
        let mut all = Vec::new();
        for_each_cell(&ranges, |cell| {
            let position = cell.iter().zip(boxes).zip(shape).map(|((&t, &(start, _)), &size)| {
                let at = start + t as i64;
                if edge { Some(at.clamp(0, size as i64 - 1) as u64) } else { (0..size as i64).contains(&at).then_some(at as u64) }
            });
            all.push(position.collect());
        });
        all
    }

    /// Every element of the crop is written exactly once, with the right element of the right chunk.
    fn check(boxes: &[(i64, i64)], shape: &[u64], chunk: &[u64], outside: Outside) {
        let window = window(boxes, shape, outside);
        let strides = c_strides(chunk);
        let expected = expected(boxes, shape, outside == Outside::Edge);
        let mut written: Vec<Option<Option<Vec<u64>>>> = vec![None; expected.len()];
        let mut put = |region: &Region, value: &dyn Fn(usize) -> Option<Vec<u64>>| {
            let ranges: Vec<Range<u64>> = region.axes.iter().map(|axis| 0..axis.extent as u64).collect();
            for_each_cell(&ranges, |cell| {
                let sum = |start: usize, stride: &dyn Fn(&RegionAxis) -> usize| {
                    cell.iter().zip(&region.axes).fold(start, |at, (&c, axis)| at + c as usize * stride(axis))
                };
                let target = sum(region.target_start, &|axis| axis.target_stride);
                let source = sum(region.source_start, &|axis| axis.source_stride);
                assert!(written[target].is_none(), "element {target} is written twice");
                written[target] = Some(value(source));
            });
        };
        if outside == Outside::Fill {
            window.outside_regions(|region| put(region, &|_| None));
        }
        if let Some(chunks) = window.chunks(chunk) {
            for_each_cell(&chunks, |c| {
                let needed = window.needed(c, chunk, &strides);
                window.regions(c, chunk, &strides, |region| {
                    put(region, &|source| {
                        assert!(needed.contains(&source), "{source} is read, {needed:?} is said to be needed");
                        let mut rest = source;
                        let within = strides.iter().map(|&stride| {
                            let at = rest / stride;
                            rest %= stride;
                            at as u64
                        });
                        Some(within.zip(c).zip(chunk).map(|((w, &c), &extent)| c * extent + w).collect())
                    });
                });
            });
        }
        for (i, (written, expected)) in written.iter().zip(&expected).enumerate() {
            assert_eq!(written.as_ref(), Some(expected), "element {i} of {boxes:?} on {shape:?} in chunks of {chunk:?}");
        }
    }

    #[test]
    fn a_crop_inside_crosses_chunks() {
        check(&[(3, 9), (1, 2)], &[10, 4], &[4, 3], Outside::Error);
    }

    #[test]
    fn a_crop_around_the_array_is_filled_or_repeated() {
        check(&[(-3, 15), (-1, 6)], &[10, 4], &[4, 3], Outside::Fill);
        check(&[(-3, 15), (-1, 6)], &[10, 4], &[4, 3], Outside::Edge);
    }

    #[test]
    fn a_crop_beside_the_array_reads_the_nearest_or_nothing() {
        check(&[(-9, -4)], &[10], &[4], Outside::Edge);
        check(&[(12, 14)], &[10], &[4], Outside::Edge);
        check(&[(12, 14)], &[10], &[4], Outside::Fill);
        assert!(window(&[(12, 14)], &[10], Outside::Fill).chunks(&[4]).is_none());
    }

    #[test]
    fn extreme_boxes_do_not_overflow() {
        for (start, end) in [(i64::MIN, i64::MIN + 4), (i64::MAX - 4, i64::MAX)] {
            let window = window(&[(start, end)], &[10], Outside::Edge);
            assert_eq!(window.chunks(&[4]).unwrap().len(), 1);
        }
    }

    #[test]
    fn a_box_that_leaves_the_array_is_refused() {
        let crop_box = CropBox::new([(0, 4), (2, 6)]).unwrap();
        let error = Window::new(&crop_box, &[8, 5], Outside::Error, None).unwrap_err();
        assert!(error.contains("axis 1") && error.contains("2..6") && error.contains("0..5"), "{error}");
        let error = Window::new(&crop_box, &[8], Outside::Fill, None).unwrap_err();
        assert!(error.contains("2 axes") && error.contains("has 1"), "{error}");
    }

    proptest! {
        #[test]
        fn every_element_of_a_crop_is_written_once_and_right(
            axes in prop::collection::vec((-6i64..14, 1i64..9, 1u64..12, 1u64..6), 1..4),
            edge in any::<bool>(),
        ) {
            let boxes: Vec<(i64, i64)> = axes.iter().map(|&(start, extent, ..)| (start, start + extent)).collect();
            let shape: Vec<u64> = axes.iter().map(|axis| axis.2).collect();
            let chunk: Vec<u64> = axes.iter().map(|axis| axis.3).collect();
            check(&boxes, &shape, &chunk, if edge { Outside::Edge } else { Outside::Fill });
        }
    }
}
