//! Byte order: swaps units in place.

/// Reverses the bytes of every unit. A tail shorter than a unit stays as it is; a unit of 1 (or an odd one) changes nothing.
pub(super) fn swap_units(bytes: &mut [u8], unit: usize) {
    match unit {
        2 => bytes.as_chunks_mut::<2>().0.iter_mut().for_each(|b| *b = u16::from_ne_bytes(*b).swap_bytes().to_ne_bytes()),
        4 => bytes.as_chunks_mut::<4>().0.iter_mut().for_each(|b| *b = u32::from_ne_bytes(*b).swap_bytes().to_ne_bytes()),
        8 => bytes.as_chunks_mut::<8>().0.iter_mut().for_each(|b| *b = u64::from_ne_bytes(*b).swap_bytes().to_ne_bytes()),
        _ => debug_assert_eq!(unit, 1, "no data type has this unit"),
    }
}
