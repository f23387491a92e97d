//! Hints to the memory system.

/// Brings the line at `what` near.
#[inline(always)]
pub(super) fn line<T>(what: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching is a hint that reads nothing and takes any address; every x86-64 has it.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(what.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = what;
}

/// The same for each line of `what`, up to four.
#[inline(always)]
pub(super) fn whole<T>(what: &T) {
    let first = std::ptr::from_ref(what).cast::<u8>();
    for offset in (0..size_of::<T>().min(256)).step_by(64) {
        line(first.wrapping_add(offset));
    }
    line(first.wrapping_add(size_of::<T>().clamp(1, 256) - 1));
}
