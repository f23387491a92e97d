//! Regions, normalised for the kernels.

use crate::zarr::Axes;

/// One box of elements to move. Strides are in elements; a source stride of 0 repeats an element (edge policy).
#[derive(Clone, Debug)]
pub struct Region {
    /// Index of the first source element.
    pub source_start: usize,
    /// Index of the first destination element.
    pub target_start: usize,
    /// Per axis: extent, source stride, destination stride.
    pub axes: Axes<RegionAxis>,
}

/// One axis of a [`Region`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionAxis {
    /// Elements along the axis.
    pub extent: usize,
    /// Source elements between neighbours.
    pub source_stride: usize,
    /// Destination elements between neighbours.
    pub target_stride: usize,
}

impl RegionAxis {
    const POINT: Self = Self { extent: 1, source_stride: 1, target_stride: 1 };
}

/// The axes that a kernel walks by itself: planes, rows, and the elements of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) planes: RegionAxis,
    pub(super) rows: RegionAxis,
    pub(super) row: RegionAxis,
}

impl Grid {
    /// One element.
    pub(super) const POINT: Self = Self { planes: RegionAxis::POINT, rows: RegionAxis::POINT, row: RegionAxis::POINT };
}

impl Region {
    /// Index of the last source and target element, `None` where the region is empty.
    ///
    /// # Panics
    /// If an index overflows.
    pub(super) fn last(&self) -> Option<(usize, usize)> {
        let mut last = (self.source_start, self.target_start);
        for axis in &self.axes {
            let steps = axis.extent.checked_sub(1)?;
            let add = |at: usize, stride: usize| stride.checked_mul(steps).and_then(|far| at.checked_add(far));
            let next = add(last.0, axis.source_stride).zip(add(last.1, axis.target_stride));
            last = next.expect("the region's indices overflow");
        }
        Some(last)
    }

    /// Calls `kernel` with source index, target index and grid until the region is walked. The region is not empty.
    pub(super) fn walk(&self, mut kernel: impl FnMut(usize, usize, &Grid)) {
        let axes = merged(&self.axes);
        let (outer, inner) = axes.split_at(axes.len().saturating_sub(3));
        let at = |from_end: usize| inner.len().checked_sub(from_end).map_or(RegionAxis::POINT, |i| inner[i]);
        let grid = Grid { planes: at(3), rows: at(2), row: at(1) };
        let (mut source, mut target) = (self.source_start, self.target_start);
        let mut index: Axes<usize> = smallvec::smallvec![0; outer.len()];
        loop {
            kernel(source, target, &grid);
            let mut axis = outer.len();
            loop {
                if axis == 0 {
                    return;
                }
                axis -= 1;
                let RegionAxis { extent, source_stride, target_stride } = outer[axis];
                index[axis] += 1;
                if index[axis] < extent {
                    source += source_stride;
                    target += target_stride;
                    break;
                }
                index[axis] = 0;
                source -= source_stride * (extent - 1);
                target -= target_stride * (extent - 1);
            }
        }
    }
}

/// The axes with more than one element, in order of the target's strides, contiguous ones merged.
fn merged(axes: &[RegionAxis]) -> Axes<RegionAxis> {
    let mut sorted: Axes<RegionAxis> = axes.iter().copied().filter(|axis| axis.extent != 1).collect();
    sorted.sort_by_key(|axis| std::cmp::Reverse(axis.target_stride));
    let mut merged: Axes<RegionAxis> = Axes::new();
    for inner in sorted {
        match merged.last_mut() {
            Some(outer) if continues(outer, &inner) => *outer = RegionAxis { extent: outer.extent * inner.extent, ..inner },
            _ => merged.push(inner),
        }
    }
    merged
}

/// True when a step of `outer` goes on where the last element of `inner` stopped, on both sides.
fn continues(outer: &RegionAxis, inner: &RegionAxis) -> bool {
    outer.source_stride == inner.source_stride * inner.extent && outer.target_stride == inner.target_stride * inner.extent
}
