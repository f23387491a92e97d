//! Which bytes of a chunk are wanted, and which are there.

use std::ops::Range;

/// Half-open byte ranges of the decoded chunk (as laid out by [`ChunkDecoder::strides`](super::ChunkDecoder::strides)) that
/// somebody needs: sorted, disjoint, non-empty, in bounds.
pub type Wanted<'a> = &'a [Range<usize>];

/// Which bytes of the output buffer hold decoded data after a decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// All of them.
    Full,
    /// These ranges only: sorted, disjoint; they include everything that was wanted.
    Ranges(Vec<Range<usize>>),
}

impl Coverage {
    /// `Full` where the ranges are all of `len` bytes.
    pub(super) fn of(ranges: Vec<Range<usize>>, len: usize) -> Self {
        if matches!(ranges.as_slice(), [all] if *all == (0..len)) { Self::Full } else { Self::Ranges(ranges) }
    }
}

/// Appends `next`, which begins no earlier than the ranges already there, joining what touches.
pub(super) fn push_range(ranges: &mut Vec<Range<usize>>, next: Range<usize>) {
    match ranges.last_mut() {
        Some(last) if next.start <= last.end => last.end = last.end.max(next.end),
        _ => ranges.push(next),
    }
}

/// The wanted ranges grown to whole units of `unit` bytes (a divisor of `len`), so that every unit can be byte-swapped.
pub(super) fn grow_to_units(wanted: Wanted<'_>, unit: usize, len: usize) -> Vec<Range<usize>> {
    let mut grown = Vec::with_capacity(wanted.len());
    for range in wanted {
        let start = range.start - range.start % unit;
        let end = range.end.div_ceil(unit).saturating_mul(unit).min(len);
        push_range(&mut grown, start..end);
    }
    grown
}
