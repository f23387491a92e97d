//! What samplers draw from: an array, or several arrays that are cut at the same place.

use std::sync::Arc;

use crate::sample::{CropBox, FieldRequest, Sample};
use crate::zarr::{Axes, MAX_RANK};

/// One place to take crops from: an array and its shape, or one array per field (image and label), all of one shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    fields: Vec<(Arc<str>, Arc<str>)>,
    shape: Axes<u64>,
}

impl Volume {
    /// A single array of this shape (elements, stored axis order), for a loader with one field.
    pub fn new(uri: impl Into<Arc<str>>, shape: impl IntoIterator<Item = u64>) -> Self {
        Self { fields: vec![(Arc::from(""), uri.into())], shape: shape.into_iter().collect() }
    }

    /// One array per field, as `(field name, URI)`; each sample takes the same box of all of them.
    pub fn with_fields<N: Into<Arc<str>>, U: Into<Arc<str>>>(
        fields: impl IntoIterator<Item = (N, U)>,
        shape: impl IntoIterator<Item = u64>,
    ) -> Self {
        let fields = fields.into_iter().map(|(name, uri)| (name.into(), uri.into())).collect();
        Self { fields, shape: shape.into_iter().collect() }
    }

    /// Extent per axis, elements.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// URI of the first field, for messages.
    pub(super) fn name(&self) -> &str {
        self.fields.first().map_or("(no array)", |(_, uri)| uri)
    }

    pub(super) fn sample(&self, axes: Axes<(i64, i64)>) -> Option<Sample> {
        let crop_box = CropBox::new(axes).ok()?;
        let request =
            |(name, uri): &(Arc<str>, Arc<str>)| FieldRequest { name: name.clone(), uri: uri.clone(), crop_box: crop_box.clone() };
        Some(Sample::with_fields(self.fields.iter().map(request)))
    }

    /// The crop with an extent of 1 on each leading axis that it lacks; everything about it that cannot work is said here.
    pub(super) fn fit(&self, crop: &[u64]) -> Result<Axes<u64>, String> {
        let rank = self.shape.len();
        if self.fields.is_empty() {
            return Err("a volume needs at least one array".into());
        }
        if rank == 0 || rank > MAX_RANK || crop.is_empty() || crop.len() > rank {
            return Err(format!("{}: a crop of {} axes does not fit an array of {rank} axes", self.name(), crop.len()));
        }
        if let Some(axis) = crop.iter().position(|&extent| extent == 0 || extent > i64::MAX as u64 / 4) {
            return Err(format!("the crop's axis {axis} is {}, it must be 1 to 2^61", crop[axis]));
        }
        if let Some(axis) = self.shape.iter().position(|&extent| extent > i64::MAX as u64 / 4) {
            return Err(format!("{}: axis {axis} has {} elements, boxes reach up to 2^61", self.name(), self.shape[axis]));
        }
        let mut fitted = Axes::from_elem(1, rank - crop.len());
        fitted.extend_from_slice(crop);
        Ok(fitted)
    }
}
