//! Cast and scatter: from a decoded chunk into the rows of a batch, in one pass.

use crate::zarr::{Axes, DataType, FillValue};

/// Element type of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputType {
    /// The array's own type, bytes copied as they are.
    Native(DataType),
    /// Cast to half precision.
    F16,
    /// Cast to bfloat16.
    BF16,
    /// Cast to single precision.
    F32,
    /// Cast to double precision.
    F64,
}

/// `out = in * scale + offset`, computed in f64 and rounded once; integers of up to 53 bits are exact before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Multiplier.
    pub scale: f64,
    /// Added after.
    pub offset: f64,
}

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

/// Why two types have no cast.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("no cast from {from} to {to:?}: {why}")]
pub struct NoCast {
    /// Source type.
    pub from: &'static str,
    /// Output type.
    pub to: OutputType,
    /// Reason.
    pub why: &'static str,
}

/// Moves elements of one type into another, scaled on the way if asked.
#[derive(Clone, Debug)]
pub struct Caster {
    _private: (),
}

impl Caster {
    /// A caster from `from` to `to`.
    ///
    /// # Errors
    /// `NoCast` for complex sources with a real output, and for `Native` of another type or with `affine`.
    pub fn new(from: DataType, to: OutputType, affine: Option<Affine>) -> Result<Self, NoCast> {
        let _ = (to, affine);
        Err(NoCast { from: from.name(), to, why: "nothing yet" })
    }

    /// Bytes per output element.
    pub fn target_size(&self) -> usize {
        0
    }

    /// Moves one region.
    ///
    /// # Safety
    /// `target` points at `target_len` writable bytes that no other thread reads or writes within the region's own elements
    /// while this runs. Bounds of both sides are checked (panics on a region that leaves them: that is a planner bug).
    pub unsafe fn scatter(&self, source: &[u8], target: *mut u8, target_len: usize, region: &Region) {
        let _ = (source, target, target_len, region);
    }

    /// Writes `value` to every element of the region (its source side is ignored).
    ///
    /// # Safety
    /// As [`Self::scatter`].
    pub unsafe fn fill(&self, value: FillValue, target: *mut u8, target_len: usize, region: &Region) {
        let _ = (value, target, target_len, region);
    }
}
