//! From a decoded chunk into the crops of the batch, cast to `f32` on the way.

use std::marker::PhantomData;

use longshore_benches::scenario::StoredType;

use crate::plan::Overlap;

/// The batch, written by many threads at once: each writes the boxes of its own chunks, which are disjoint within a crop.
#[derive(Clone, Copy)]
pub(crate) struct Output<'a> {
    start: *mut f32,
    len: usize,
    _batch: PhantomData<&'a mut [f32]>,
}

// SAFETY: threads write disjoint boxes only (see the type), and nobody reads before they are joined.
unsafe impl Send for Output<'_> {}

impl<'a> Output<'a> {
    pub(crate) fn new(batch: &'a mut [f32]) -> Self {
        Self { start: batch.as_mut_ptr(), len: batch.len(), _batch: PhantomData }
    }

    fn row(&mut self, at: usize, len: usize) -> &mut [f32] {
        assert!(at + len <= self.len, "a row behind the batch");
        // SAFETY: in bounds, checked above; rows of different chunks or crops never overlap.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), len) }
    }
}

/// Copies the overlap row by row.
pub(crate) fn scatter(
    decoded: &[u8],
    dtype: StoredType,
    chunk_shape: &[usize],
    overlap: &Overlap,
    mut output: Output<'_>,
    crop: usize,
    sample_shape: &[usize],
) {
    let (size, len) = (dtype.size(), overlap.extent[overlap.extent.len() - 1]);
    let base = crop * sample_shape.iter().product::<usize>();
    rows(overlap, |at| {
        let from = flat(&overlap.from, at, chunk_shape) * size;
        let source = &decoded[from..from + len * size];
        cast(source, dtype, output.row(base + flat(&overlap.to, at, sample_shape), len));
    });
}

/// Writes the fill value, zero, over the overlap.
pub(crate) fn fill(overlap: &Overlap, mut output: Output<'_>, crop: usize, sample_shape: &[usize]) {
    let base = crop * sample_shape.iter().product::<usize>();
    let len = overlap.extent[overlap.extent.len() - 1];
    rows(overlap, |at| output.row(base + flat(&overlap.to, at, sample_shape), len).fill(0.0));
}

/// Calls `visit` with the offset of every row of the overlap, all axes but the last.
fn rows(overlap: &Overlap, mut visit: impl FnMut(&[usize])) {
    let outer = &overlap.extent[..overlap.extent.len() - 1];
    let mut at = vec![0; outer.len()];
    loop {
        visit(&at);
        let Some(axis) = (0..outer.len()).rev().find(|axis| at[*axis] + 1 < outer[*axis]) else { return };
        at[axis] += 1;
        at[axis + 1..].fill(0);
    }
}

fn flat(base: &[usize], offset: &[usize], shape: &[usize]) -> usize {
    let offsets = offset.iter().chain([&0]);
    base.iter().zip(offsets).zip(shape).fold(0, |at, ((base, offset), extent)| at * extent + base + offset)
}

fn cast(source: &[u8], dtype: StoredType, row: &mut [f32]) {
    match dtype {
        StoredType::U8 => row.iter_mut().zip(source).for_each(|(to, from)| *to = f32::from(*from)),
        StoredType::U16 => each(source, row, |bytes| f32::from(u16::from_le_bytes(bytes))),
        StoredType::I16 => each(source, row, |bytes| f32::from(i16::from_le_bytes(bytes))),
        StoredType::F32 => each(source, row, f32::from_le_bytes),
    }
}

fn each<const N: usize>(source: &[u8], row: &mut [f32], convert: impl Fn([u8; N]) -> f32) {
    for (to, from) in row.iter_mut().zip(source.as_chunks::<N>().0) {
        *to = convert(*from);
    }
}
