//! Transposes as strides: the order of a decoded buffer, in terms of the array's axes.

use super::CodecError;
use crate::zarr::{Axes, MAX_RANK, Transpose};

/// The layout of a chunk as it reaches the array-to-bytes codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Extent per encoded axis, elements: what the array-to-bytes codec sees, stored in C order.
    pub(super) encoded_shape: Axes<usize>,
    /// Stride per axis of the array, elements.
    pub(super) strides: Axes<usize>,
    /// Elements of the chunk.
    pub(super) elements: usize,
}

/// Composes `transposes` (in encoding order) over a chunk of `shape` (in the array's axis order).
pub(super) fn layout(shape: &[u64], transposes: &[Transpose]) -> Result<Layout, CodecError> {
    let rank = shape.len();
    if rank > MAX_RANK {
        return Err(CodecError::Unsupported(format!("chunk of rank {rank}, the limit is {MAX_RANK}")));
    }
    // axis_of[i] is the array's axis that encoded axis i walks along.
    let mut axis_of: Axes<usize> = (0..rank).collect();
    for transpose in transposes {
        check_permutation(&transpose.order, rank)?;
        axis_of = transpose.order.iter().map(|&i| axis_of[i]).collect();
    }
    let too_large = || CodecError::Unsupported(format!("chunk of shape {shape:?}: too many elements for this machine"));
    let mut strides: Axes<usize> = smallvec::smallvec![0; rank];
    let mut elements = 1_usize;
    for &axis in axis_of.iter().rev() {
        strides[axis] = elements;
        let extent = usize::try_from(shape[axis]).map_err(|_| too_large())?;
        elements = elements.checked_mul(extent).ok_or_else(too_large)?;
    }
    let encoded_shape = axis_of.iter().map(|&axis| shape[axis] as usize).collect();
    Ok(Layout { encoded_shape, strides, elements })
}

/// Strides of a C-ordered buffer of `shape`, elements.
pub(super) fn c_strides(shape: &[usize]) -> Axes<usize> {
    let mut strides: Axes<usize> = smallvec::smallvec![0; shape.len()];
    let mut next = 1;
    for (stride, extent) in strides.iter_mut().zip(shape).rev() {
        *stride = next;
        next *= extent;
    }
    strides
}

fn check_permutation(order: &[usize], rank: usize) -> Result<(), CodecError> {
    let mut seen: Axes<bool> = smallvec::smallvec![false; rank];
    let distinct = order.iter().all(|&axis| axis < rank && !std::mem::replace(&mut seen[axis], true));
    if order.len() == rank && distinct {
        return Ok(());
    }
    Err(CodecError::Unsupported(format!("transpose order {order:?} is no permutation of {rank} axes")))
}
