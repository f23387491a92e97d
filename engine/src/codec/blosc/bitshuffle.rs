//! Undoing the bit shuffle: row `8 j + b` of the block holds bit `b` of byte `j` of every element, element 0 in the lowest bit.

use super::shuffle;
use crate::codec::scratch::at_least;

/// Undoes the bit shuffle of one block of elements of `typesize` bytes.
///
/// c-blosc shuffles a block only if its element count is a multiple of 8, and never the bytes behind the last whole element.
pub(super) fn undo(typesize: usize, shuffled: &[u8], out: &mut [u8], half: &mut Vec<u8>) {
    assert_eq!(shuffled.len(), out.len(), "a shuffle keeps lengths");
    let elements = shuffled.len() / typesize;
    if !elements.is_multiple_of(8) || elements == 0 {
        out.copy_from_slice(shuffled);
        return;
    }
    let whole = elements * typesize;
    out[whole..].copy_from_slice(&shuffled[whole..]);
    let (shuffled, out) = (&shuffled[..whole], &mut out[..whole]);
    if typesize == 1 {
        return rows_to_streams(elements, shuffled, out);
    }
    let half = at_least(half, whole);
    rows_to_streams(elements, shuffled, half);
    shuffle::undo(typesize, half, out);
}

/// Every eight rows of bits become one stream of bytes: one byte of every element, as the byte shuffle has it.
fn rows_to_streams(elements: usize, rows: &[u8], streams: &mut [u8]) {
    for (rows, stream) in rows.chunks_exact(elements).zip(streams.chunks_exact_mut(elements)) {
        // Interleaved, each u64 is an 8 x 8 square of bits: byte b holds bit b of eight neighbours.
        shuffle::undo(8, rows, stream);
        transpose_squares(stream);
    }
}

#[cfg(target_arch = "x86_64")]
fn transpose_squares(bytes: &mut [u8]) {
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has AVX2.
        unsafe { transpose_squares_avx2(bytes) }
    } else {
        transpose_each(bytes);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn transpose_squares(bytes: &mut [u8]) {
    transpose_each(bytes);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn transpose_squares_avx2(bytes: &mut [u8]) {
    transpose_each(bytes);
}

#[inline(always)]
fn transpose_each(bytes: &mut [u8]) {
    for square in bytes.as_chunks_mut::<8>().0 {
        *square = transpose(u64::from_le_bytes(*square)).to_le_bytes();
    }
}

/// Transposes 8 x 8 bits, by swapping off-diagonal blocks of 1, 2 and 4 bits (Hacker's Delight, 7-3).
#[inline(always)]
fn transpose(mut x: u64) -> u64 {
    let mut swap = |mask: u64, shift: u32| {
        let moved = (x ^ (x >> shift)) & mask;
        x ^= moved ^ (moved << shift);
    };
    swap(0x00aa_00aa_00aa_00aa, 7);
    swap(0x0000_cccc_0000_cccc, 14);
    swap(0x0000_0000_f0f0_f0f0, 28);
    x
}
