//! The loops: one generic body, compiled per pair of types and per machine level.
//!
//! Rows are cast in lines of 64 output bytes, through a local array that the compiler keeps in registers. The last line of a
//! row overlaps the one before it, so a row has no scalar tail. Streaming stores write whole, aligned lines past the caches;
//! what is left at both ends of a row is stored as usual, since a line written both ways is read back from memory.

use std::mem::MaybeUninit;

use super::Affine;
use super::convert::{Cast, Element};
use super::region::Grid;

/// Bytes of a line, and of the cache's.
const LINE: usize = 64;

/// Moves the elements of a grid.
///
/// # Safety
/// `source` is readable and `target` writable at every index of the grid (strides count elements of the kernel's types), the
/// target's elements are nobody else's meanwhile, and the two do not overlap. The machine has the kernel's features.
pub(super) type Kernel = unsafe fn(source: *const u8, target: *mut u8, grid: &Grid, affine: &Affine, streaming: bool);

/// The kernels of one pair of types on this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernels {
    /// For grids whose row is contiguous on both sides.
    pub(super) contiguous: Kernel,
    /// For every grid.
    pub(super) strided: Kernel,
}

impl Kernels {
    /// Kernels that cast `S` to `T`.
    pub(super) fn cast<S: Element + Cast<T>, T: Element>() -> Self {
        let contiguous: Kernel = match Level::detect() {
            Level::Baseline => cast_contiguous::<S, T>,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => x86::cast_contiguous::<S, T>,
        };
        Self { contiguous, strided: cast_strided::<S, T> }
    }

    /// Kernels that scale `S` and cast to `T`.
    pub(super) fn scale<S: Element + Cast<f64>, T: Element>() -> Self
    where
        f64: Cast<T>,
    {
        let contiguous: Kernel = match Level::detect() {
            Level::Baseline => scale_contiguous::<S, T>,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => x86::scale_contiguous::<S, T>,
        };
        Self { contiguous, strided: scale_strided::<S, T> }
    }
}

/// What the machine can do.
enum Level {
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Level {
    fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            return Self::Avx2;
        }
        Self::Baseline
    }
}

#[inline(always)]
fn scaled<S: Cast<f64>, T>(affine: Affine) -> impl Fn(S) -> T + Copy
where
    f64: Cast<T>,
{
    move |x: S| (x.cast() * affine.scale + affine.offset).cast()
}

/// # Safety
/// See [`Kernel`].
unsafe fn cast_contiguous<S: Element + Cast<T>, T: Element>(s: *const u8, t: *mut u8, grid: &Grid, _: &Affine, streaming: bool) {
    // SAFETY: as for this function.
    unsafe { contiguous(s, t, grid, streaming, |x: S| -> T { x.cast() }) }
}

/// # Safety
/// See [`Kernel`].
unsafe fn scale_contiguous<S: Element + Cast<f64>, T: Element>(s: *const u8, t: *mut u8, grid: &Grid, affine: &Affine, streaming: bool)
where
    f64: Cast<T>,
{
    // SAFETY: as for this function.
    unsafe { contiguous(s, t, grid, streaming, scaled::<S, T>(*affine)) }
}

/// # Safety
/// See [`Kernel`].
unsafe fn cast_strided<S: Element + Cast<T>, T: Element>(s: *const u8, t: *mut u8, grid: &Grid, _: &Affine, _: bool) {
    // SAFETY: as for this function.
    unsafe { strided(s, t, grid, |x: S| -> T { x.cast() }) }
}

/// # Safety
/// See [`Kernel`].
unsafe fn scale_strided<S: Element + Cast<f64>, T: Element>(s: *const u8, t: *mut u8, grid: &Grid, affine: &Affine, _: bool)
where
    f64: Cast<T>,
{
    // SAFETY: as for this function.
    unsafe { strided(s, t, grid, scaled::<S, T>(*affine)) }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! The same bodies, compiled for AVX2.

    use super::{Affine, Cast, Element, Grid, scaled};

    /// # Safety
    /// See [`super::Kernel`].
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn cast_contiguous<S: Element + Cast<T>, T: Element>(
        s: *const u8,
        t: *mut u8,
        grid: &Grid,
        _: &Affine,
        streaming: bool,
    ) {
        // SAFETY: as for this function.
        unsafe { super::contiguous(s, t, grid, streaming, |x: S| -> T { x.cast() }) }
    }

    /// # Safety
    /// See [`super::Kernel`].
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn scale_contiguous<S: Element + Cast<f64>, T: Element>(
        s: *const u8,
        t: *mut u8,
        grid: &Grid,
        affine: &Affine,
        streaming: bool,
    ) where
        f64: Cast<T>,
    {
        // SAFETY: as for this function.
        unsafe { super::contiguous(s, t, grid, streaming, scaled::<S, T>(*affine)) }
    }
}

/// # Safety
/// See [`Kernel`]; rows are contiguous on both sides.
#[inline(always)]
unsafe fn contiguous<S: Element, T: Element>(source: *const u8, target: *mut u8, grid: &Grid, streaming: bool, op: impl Fn(S) -> T + Copy) {
    let len = grid.row.extent;
    for plane in 0..grid.planes.extent {
        for row in 0..grid.rows.extent {
            let from = plane * grid.planes.source_stride + row * grid.rows.source_stride;
            let to = plane * grid.planes.target_stride + row * grid.rows.target_stride;
            // SAFETY: the row is inside the grid; both types of bytes have alignment 1, and any bytes are valid for them.
            let (from, to) = unsafe {
                let from = std::slice::from_raw_parts(source.cast::<S::Bytes>().add(from), len);
                (from, std::slice::from_raw_parts_mut(target.cast::<MaybeUninit<T::Bytes>>().add(to), len))
            };
            if streaming { stream_row(from, to, op) } else { cast_row(from, to, op) }
        }
    }
}

/// # Safety
/// See [`Kernel`].
#[inline(always)]
unsafe fn strided<S: Element, T: Element>(source: *const u8, target: *mut u8, grid: &Grid, op: impl Fn(S) -> T + Copy) {
    let (source, target) = (source.cast::<S::Bytes>(), target.cast::<T::Bytes>());
    for plane in 0..grid.planes.extent {
        for row in 0..grid.rows.extent {
            let from = plane * grid.planes.source_stride + row * grid.rows.source_stride;
            let to = plane * grid.planes.target_stride + row * grid.rows.target_stride;
            for i in 0..grid.row.extent {
                // SAFETY: the element is inside the grid; both types of bytes have alignment 1.
                unsafe {
                    let x = S::from_bytes(*source.add(from + i * grid.row.source_stride));
                    *target.add(to + i * grid.row.target_stride) = op(x).to_bytes();
                }
            }
        }
    }
}

#[inline(always)]
fn cast_row<S: Element, T: Element>(from: &[S::Bytes], to: &mut [MaybeUninit<T::Bytes>], op: impl Fn(S) -> T + Copy) {
    match size_of::<T>() {
        1 => cast_lines::<S, T, 64>(from, to, op),
        2 => cast_lines::<S, T, 32>(from, to, op),
        4 => cast_lines::<S, T, 16>(from, to, op),
        16 => cast_lines::<S, T, 4>(from, to, op),
        _ => cast_lines::<S, T, 8>(from, to, op),
    }
}

/// Casts a row in lines of `N` elements.
#[inline(always)]
fn cast_lines<S: Element, T: Element, const N: usize>(from: &[S::Bytes], to: &mut [MaybeUninit<T::Bytes>], op: impl Fn(S) -> T + Copy) {
    let (lines, rest) = from.as_chunks::<N>();
    if lines.is_empty() {
        return cast_edge(from, to, op);
    }
    for (from, to) in lines.iter().zip(to.as_chunks_mut::<N>().0) {
        *to = line(from, op);
    }
    if rest.is_empty() {
        return;
    }
    // The last N elements once more: the sides do not overlap, so casting an element twice changes nothing.
    if let (Some(from), Some(to)) = (from.last_chunk::<N>(), to.last_chunk_mut::<N>()) {
        *to = line(from, op);
    }
}

/// Casts fewer elements than a line has: by fours, the last four overlapping, or one by one.
#[inline(always)]
fn cast_edge<S: Element, T: Element>(from: &[S::Bytes], to: &mut [MaybeUninit<T::Bytes>], op: impl Fn(S) -> T + Copy) {
    if let (Some(last_from), true) = (from.last_chunk::<4>(), from.len() >= 4) {
        for (from, to) in from.as_chunks::<4>().0.iter().zip(to.as_chunks_mut::<4>().0) {
            *to = line(from, op);
        }
        if let Some(to) = to.last_chunk_mut::<4>() {
            *to = line(last_from, op);
        }
        return;
    }
    for (from, to) in from.iter().zip(to) {
        to.write(op(S::from_bytes(*from)).to_bytes());
    }
}

#[inline(always)]
fn line<S: Element, T: Element, const N: usize>(from: &[S::Bytes; N], op: impl Fn(S) -> T) -> [MaybeUninit<T::Bytes>; N] {
    let mut line = [MaybeUninit::new(T::Bytes::default()); N];
    for (to, from) in line.iter_mut().zip(from) {
        *to = MaybeUninit::new(op(S::from_bytes(*from)).to_bytes());
    }
    line
}

#[inline(always)]
fn stream_row<S: Element, T: Element>(from: &[S::Bytes], to: &mut [MaybeUninit<T::Bytes>], op: impl Fn(S) -> T + Copy) {
    match size_of::<T>() {
        1 => stream_lines::<S, T, 64>(from, to, op),
        2 => stream_lines::<S, T, 32>(from, to, op),
        4 => stream_lines::<S, T, 16>(from, to, op),
        16 => stream_lines::<S, T, 4>(from, to, op),
        _ => stream_lines::<S, T, 8>(from, to, op),
    }
}

/// Casts a row, streaming the lines of `N` elements (64 bytes) that are aligned.
#[inline(always)]
fn stream_lines<S: Element, T: Element, const N: usize>(from: &[S::Bytes], to: &mut [MaybeUninit<T::Bytes>], op: impl Fn(S) -> T + Copy) {
    let past = to.as_ptr().addr() % LINE;
    let head = ((LINE - past) % LINE) / size_of::<T::Bytes>();
    // An element that straddles two lines (a target that is not aligned to its type) has no aligned line.
    if !past.is_multiple_of(size_of::<T::Bytes>()) || from.len() < head + N || size_of::<[T::Bytes; N]>() != LINE {
        return cast_lines::<S, T, N>(from, to, op);
    }
    let (head_from, from) = from.split_at(head);
    let (head_to, to) = to.split_at_mut(head);
    cast_edge(head_from, head_to, op);
    let (lines, tail_from) = from.as_chunks::<N>();
    let (targets, tail_to) = to.as_chunks_mut::<N>();
    for (from, to) in lines.iter().zip(targets) {
        store_line(line(from, op), to);
    }
    cast_edge(tail_from, tail_to, op);
}

/// Stores 64 bytes past the caches.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn store_line<B: Copy, const N: usize>(line: [MaybeUninit<B>; N], to: &mut [MaybeUninit<B>; N]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};
    assert!(size_of::<[B; N]>() == LINE && to.as_ptr().addr().is_multiple_of(LINE), "a line is 64 aligned bytes");
    let (from, to) = (line.as_ptr().cast::<__m128i>(), to.as_mut_ptr().cast::<__m128i>());
    for i in 0..LINE / 16 {
        // SAFETY: both sides have 64 bytes, the target is aligned, as asserted; SSE2 is part of x86-64.
        unsafe { _mm_stream_si128(to.add(i), _mm_loadu_si128(from.add(i))) };
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn store_line<B: Copy, const N: usize>(line: [MaybeUninit<B>; N], to: &mut [MaybeUninit<B>; N]) {
    *to = line;
}

/// Makes streaming stores of this thread visible before whatever it publishes next.
#[inline]
pub(super) fn fence_streaming() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

/// Writes one element everywhere.
///
/// # Safety
/// `target` is writable at every index of the grid, and nobody else's meanwhile.
pub(super) unsafe fn fill<T: Element>(value: T::Bytes, target: *mut u8, grid: &Grid) {
    let target = target.cast::<T::Bytes>();
    for plane in 0..grid.planes.extent {
        for row in 0..grid.rows.extent {
            let to = plane * grid.planes.target_stride + row * grid.rows.target_stride;
            if grid.row.target_stride == 1 {
                // SAFETY: the row is inside the grid; bytes have alignment 1.
                let row = unsafe { std::slice::from_raw_parts_mut(target.add(to).cast::<MaybeUninit<T::Bytes>>(), grid.row.extent) };
                row.fill(MaybeUninit::new(value));
            } else {
                for i in 0..grid.row.extent {
                    // SAFETY: the element is inside the grid.
                    unsafe { target.add(to + i * grid.row.target_stride).write(value) };
                }
            }
        }
    }
}
