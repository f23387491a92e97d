//! The caster: a pair of types, bound to its kernels.

use super::convert::{Brain, Cast, Element, Flag, Half};
use super::kernel::{self, Kernels};
use super::region::Grid;
use super::{Affine, NoCast, OutputType, Region};
use crate::zarr::{DataType, FillValue};

/// Moves elements of one type into another, scaled on the way if asked.
///
/// A value that the output type can hold comes out exactly; any other is rounded to nearest even in one step, beyond the
/// range it is infinite. `bool` becomes 0 or 1. A NaN keeps its sign and the upper bits of its payload and becomes quiet;
/// where both types are the same without an [`Affine`], bytes are copied as they are.
#[derive(Clone, Debug)]
pub struct Caster {
    kernels: Kernels,
    affine: Affine,
    source_size: usize,
    target_size: usize,
    streaming: bool,
}

impl Caster {
    /// A caster from `from` to `to`.
    ///
    /// # Errors
    /// `NoCast` for complex sources with a real output, and for `Native` of another type or with `affine`.
    pub fn new(from: DataType, to: OutputType, affine: Option<Affine>) -> Result<Self, NoCast> {
        let refused = |why| NoCast { from: from.name(), to, why };
        let kernels = match to {
            OutputType::Native(same) if same != from => return Err(refused("Native keeps the array's own type")),
            OutputType::Native(_) if affine.is_some() => return Err(refused("scaling needs a floating-point output")),
            OutputType::Native(_) => Some(copy_kernels(from.size())),
            OutputType::F16 => kernels_to::<Half>(from, DataType::Float16, affine.is_some()),
            OutputType::BF16 => kernels_to::<Brain>(from, DataType::BFloat16, affine.is_some()),
            OutputType::F32 => kernels_to::<f32>(from, DataType::Float32, affine.is_some()),
            OutputType::F64 => kernels_to::<f64>(from, DataType::Float64, affine.is_some()),
        };
        Ok(Self {
            kernels: kernels.ok_or_else(|| refused("a complex number has no real value; ask for its own type"))?,
            affine: affine.unwrap_or(Affine { scale: 1.0, offset: 0.0 }),
            source_size: from.size(),
            target_size: to.size(),
            streaming: false,
        })
    }

    /// Stores whole cache lines past the caches, where rows are long enough to have some.
    ///
    /// Worth it where a batch is much larger than the last-level cache and is not read soon by the same core.
    #[must_use]
    pub fn with_streaming(mut self, streaming: bool) -> Self {
        self.streaming = streaming;
        self
    }

    /// Bytes per output element.
    pub fn target_size(&self) -> usize {
        self.target_size
    }

    /// Moves one region.
    ///
    /// # Safety
    /// `target` points at `target_len` writable bytes that no other thread reads or writes within the region's own elements
    /// while this runs. Bounds of both sides are checked (panics on a region that leaves them: that is a planner bug).
    pub unsafe fn scatter(&self, source: &[u8], target: *mut u8, target_len: usize, region: &Region) {
        let Some((last_source, last_target)) = region.last() else { return };
        assert_inside("source", last_source, source.len() / self.source_size);
        assert_inside("target", last_target, target_len / self.target_size);
        region.walk(|from, to, grid| {
            let contiguous = grid.row.source_stride == 1 && grid.row.target_stride == 1;
            let kernel = if contiguous { self.kernels.contiguous } else { self.kernels.strided };
            // SAFETY: every index of the region is at most the last one, which is inside on both sides; the target's elements
            // are ours (this function's contract), so they are no part of the borrowed source. The kernels were chosen for
            // these sizes and this machine.
            unsafe {
                let source = source.as_ptr().add(from * self.source_size);
                kernel(source, target.add(to * self.target_size), grid, &self.affine, self.streaming);
            }
        });
        if self.streaming {
            kernel::fence_streaming();
        }
    }

    /// Writes `value`, cast like any element, to every element of the region (its source side is ignored).
    ///
    /// # Safety
    /// As [`Self::scatter`].
    ///
    /// # Panics
    /// If `value` is not one element of the source type.
    pub unsafe fn fill(&self, value: FillValue, target: *mut u8, target_len: usize, region: &Region) {
        let mut region = region.clone();
        region.source_start = 0;
        region.axes.iter_mut().for_each(|axis| axis.source_stride = 0);
        let Some((_, last_target)) = region.last() else { return };
        assert_inside("target", last_target, target_len / self.target_size);
        let element = self.cast_one(value);
        region.walk(|_, to, grid| {
            // SAFETY: every index of the region is inside the target and ours, as for `scatter`.
            unsafe { fill_grid(&element[..self.target_size], target.add(to * self.target_size), grid) }
        });
    }

    /// One element, cast; the first `target_size` bytes count.
    fn cast_one(&self, value: FillValue) -> [u8; 16] {
        let bytes = value.as_ne_bytes();
        assert_eq!(bytes.len(), self.source_size, "the fill value is one element of the array");
        let mut element = [0; 16];
        // SAFETY: one element on both sides; `element` has room for the largest.
        unsafe { (self.kernels.strided)(bytes.as_ptr(), element.as_mut_ptr(), &Grid::POINT, &self.affine, false) };
        element
    }
}

fn assert_inside(side: &str, last: usize, len: usize) {
    assert!(last < len, "the region's last {side} element is {last}, there are {len}");
}

/// # Safety
/// As [`kernel::fill`], for elements of `element.len()` bytes.
unsafe fn fill_grid(element: &[u8], target: *mut u8, grid: &Grid) {
    // SAFETY: as for this function.
    unsafe {
        if let Ok(value) = element.try_into() {
            kernel::fill::<u8>(value, target, grid);
        } else if let Ok(value) = element.try_into() {
            kernel::fill::<u16>(value, target, grid);
        } else if let Ok(value) = element.try_into() {
            kernel::fill::<u32>(value, target, grid);
        } else if let Ok(value) = element.try_into() {
            kernel::fill::<u64>(value, target, grid);
        } else if let Ok(value) = element.try_into() {
            kernel::fill::<u128>(value, target, grid);
        }
    }
}

/// Copies words; a copy changes no bits, so floats go as integers.
fn copy_kernels(size: usize) -> Kernels {
    match size {
        1 => Kernels::cast::<u8, u8>(),
        2 => Kernels::cast::<u16, u16>(),
        4 => Kernels::cast::<u32, u32>(),
        8 => Kernels::cast::<u64, u64>(),
        _ => Kernels::cast::<u128, u128>(),
    }
}

/// Kernels from any real type to `T`, which is `own`; `None` for complex types.
fn kernels_to<T: Element>(from: DataType, own: DataType, scaled: bool) -> Option<Kernels>
where
    Flag: Cast<T>,
    Half: Cast<T>,
    Brain: Cast<T>,
    u8: Cast<T>,
    u16: Cast<T>,
    u32: Cast<T>,
    u64: Cast<T>,
    i8: Cast<T>,
    i16: Cast<T>,
    i32: Cast<T>,
    i64: Cast<T>,
    f32: Cast<T>,
    f64: Cast<T>,
{
    if from == own && !scaled {
        return Some(copy_kernels(from.size()));
    }
    Some(match from {
        DataType::Bool => kernels_of::<Flag, T>(scaled),
        DataType::Int8 => kernels_of::<i8, T>(scaled),
        DataType::Int16 => kernels_of::<i16, T>(scaled),
        DataType::Int32 => kernels_of::<i32, T>(scaled),
        DataType::Int64 => kernels_of::<i64, T>(scaled),
        DataType::UInt8 => kernels_of::<u8, T>(scaled),
        DataType::UInt16 => kernels_of::<u16, T>(scaled),
        DataType::UInt32 => kernels_of::<u32, T>(scaled),
        DataType::UInt64 => kernels_of::<u64, T>(scaled),
        DataType::Float16 => kernels_of::<Half, T>(scaled),
        DataType::BFloat16 => kernels_of::<Brain, T>(scaled),
        DataType::Float32 => kernels_of::<f32, T>(scaled),
        DataType::Float64 => kernels_of::<f64, T>(scaled),
        DataType::Complex64 | DataType::Complex128 => return None,
    })
}

fn kernels_of<S: Element + Cast<T> + Cast<f64>, T: Element>(scaled: bool) -> Kernels
where
    f64: Cast<T>,
{
    if scaled { Kernels::scale::<S, T>() } else { Kernels::cast::<S, T>() }
}
