//! What a user asks for: boxes out of arrays.

use std::fmt;
use std::sync::Arc;

use crate::zarr::{Axes, MAX_RANK};

/// A half-open box in an array's stored axis order. Starts may be negative and ends may lie beyond the array
/// where the field's [`Outside`](crate::Outside) policy allows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CropBox {
    axes: Axes<(i64, i64)>,
}

impl CropBox {
    /// A box from `(start, end)` per axis.
    ///
    /// # Errors
    /// A sentence, for a box of no axes or too many, or with an end that is not after its start.
    pub fn new(axes: impl IntoIterator<Item = (i64, i64)>) -> Result<Self, String> {
        let axes: Axes<(i64, i64)> = axes.into_iter().collect();
        if axes.is_empty() || axes.len() > MAX_RANK {
            return Err(format!("a box has 1 to {MAX_RANK} axes, this one has {}", axes.len()));
        }
        for (axis, &(start, end)) in axes.iter().enumerate() {
            if end <= start || end.checked_sub(start).is_none() {
                return Err(format!("axis {axis} of the box is {start}..{end}: the end must lie after the start"));
            }
        }
        Ok(Self { axes })
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.axes.len()
    }

    /// `(start, end)` per axis.
    pub fn axes(&self) -> &[(i64, i64)] {
        &self.axes
    }

    /// Extent per axis, elements.
    pub fn shape(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.axes.iter().map(|&(start, end)| end.abs_diff(start))
    }
}

impl fmt::Display for CropBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, (start, end)) in self.axes.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{start}..{end}")?;
        }
        f.write_str("]")
    }
}

/// One field of a sample: a box of one array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequest {
    /// The field's name; empty where the loader has only one.
    pub name: Arc<str>,
    /// Where the array is: a path, or a `file://` URI. Share one `Arc` among the samples of one array.
    pub uri: Arc<str>,
    /// Which part of it.
    pub crop_box: CropBox,
}

/// One request: a box per field. It becomes one row of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub(crate) fields: smallvec::SmallVec<[FieldRequest; 1]>,
}

impl Sample {
    /// A sample for a loader with one field.
    pub fn new(uri: impl Into<Arc<str>>, crop_box: CropBox) -> Self {
        Self { fields: smallvec::smallvec![FieldRequest { name: Arc::from(""), uri: uri.into(), crop_box }] }
    }

    /// A sample of several named fields, in any order.
    pub fn with_fields(fields: impl IntoIterator<Item = FieldRequest>) -> Self {
        Self { fields: fields.into_iter().collect() }
    }

    /// The fields, in the order given (in a batch: in the loader's order).
    pub fn fields(&self) -> &[FieldRequest] {
        &self.fields
    }
}
