//! Coalescing and interleaving: from the stored places of chunks to the reads that fetch them.

use std::collections::VecDeque;
use std::ops::Range;

use crate::store::CostModel;

/// A stored chunk that is to be read. `T` is whatever the caller wants to find again.
#[derive(Clone, Debug)]
pub(crate) struct Piece<T> {
    /// Object, as a number: equal for equal objects, dense, in order of first use.
    pub(crate) object: usize,
    /// First byte in the object.
    pub(crate) offset: u64,
    /// Stored length, bytes.
    pub(crate) len: u64,
    /// The chunk.
    pub(crate) chunk: T,
}

/// One read: a span of one object, and the chunks inside it.
#[derive(Clone, Debug)]
pub(crate) struct Read<T> {
    pub(crate) object: usize,
    pub(crate) span: Range<u64>,
    pub(crate) pieces: Vec<Piece<T>>,
}

/// Limits of one coalesced read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coalescing {
    /// Gaps up to this many bytes are read over.
    pub(crate) gap_bytes: u64,
    /// A read grows no further than this; one chunk alone may be larger.
    pub(crate) max_read_bytes: u64,
    /// Most chunks of one read.
    pub(crate) max_chunks: usize,
}

impl Coalescing {
    pub(crate) fn new(cost: CostModel, max_read_bytes: Option<u64>, max_chunks: usize) -> Self {
        let max_read_bytes = max_read_bytes.map_or(cost.max_read_bytes, |limit| limit.min(cost.max_read_bytes));
        Self { gap_bytes: cost.gap_bytes, max_read_bytes, max_chunks: max_chunks.max(1) }
    }
}

/// Sorts pieces by object and offset, joins neighbours where that is cheaper, and deals the reads out round-robin over the
/// objects: readers of one file wait for one another on network file systems.
pub(crate) fn coalesce<T>(mut pieces: Vec<Piece<T>>, limits: Coalescing) -> Vec<Read<T>> {
    pieces.sort_by_key(|piece| (piece.object, piece.offset, piece.len));
    let mut reads: Vec<Read<T>> = Vec::new();
    for piece in pieces {
        let end = piece.offset.saturating_add(piece.len);
        if let Some(last) = reads.last_mut()
            && joins(last, &piece, end, limits)
        {
            last.span.end = last.span.end.max(end);
            last.pieces.push(piece);
            continue;
        }
        reads.push(Read { object: piece.object, span: piece.offset..end, pieces: vec![piece] });
    }
    interleave(reads)
}

fn joins<T>(read: &Read<T>, piece: &Piece<T>, end: u64, limits: Coalescing) -> bool {
    let span = read.span.start..read.span.end.max(end);
    read.object == piece.object
        && piece.offset <= read.span.end.saturating_add(limits.gap_bytes)
        && span.end - span.start <= limits.max_read_bytes
        && read.pieces.len() < limits.max_chunks
}

/// One read of each object in turn, each object's in order of offset. O(reads).
fn interleave<T>(reads: Vec<Read<T>>) -> Vec<Read<T>> {
    let total = reads.len();
    let mut queues: VecDeque<VecDeque<Read<T>>> = VecDeque::new();
    for read in reads {
        match queues.back_mut() {
            Some(queue) if queue[0].object == read.object => queue.push_back(read),
            _ => queues.push_back(VecDeque::from([read])),
        }
    }
    let mut dealt = Vec::with_capacity(total);
    while let Some(mut queue) = queues.pop_front() {
        dealt.extend(queue.pop_front());
        if !queue.is_empty() {
            queues.push_back(queue);
        }
    }
    dealt
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece(object: usize, offset: u64, len: u64) -> Piece<(usize, u64, u64)> {
        Piece { object, offset, len, chunk: (object, offset, len) }
    }

    const LIMITS: Coalescing = Coalescing { gap_bytes: 10, max_read_bytes: 100, max_chunks: 4 };

    #[test]
    fn neighbours_and_small_gaps_join() {
        let reads = coalesce(vec![piece(0, 40, 10), piece(0, 0, 30)], LIMITS);
        assert_eq!(reads.len(), 1);
        assert_eq!(reads[0].span, 0..50);
    }

    #[test]
    fn gaps_objects_and_caps_split() {
        let reads = coalesce(vec![piece(0, 0, 30), piece(0, 41, 10), piece(1, 0, 10)], LIMITS);
        assert_eq!(reads.iter().map(|r| (r.object, r.span.clone())).collect::<Vec<_>>(), [(0, 0..30), (1, 0..10), (0, 41..51)]);
        let reads = coalesce(vec![piece(0, 0, 60), piece(0, 60, 60)], LIMITS);
        assert_eq!(reads.len(), 2);
        let reads = coalesce((0..9).map(|i| piece(0, i, 1)).collect(), LIMITS);
        assert_eq!(reads.iter().map(|r| r.pieces.len()).collect::<Vec<_>>(), [4, 4, 1]);
    }

    #[test]
    fn one_chunk_may_exceed_the_cap() {
        assert_eq!(coalesce(vec![piece(0, 0, 1000)], LIMITS)[0].span, 0..1000);
    }

    #[test]
    fn reads_take_turns_over_objects() {
        let pieces = vec![piece(0, 0, 1), piece(0, 500, 1), piece(0, 900, 1), piece(1, 0, 1), piece(1, 500, 1)];
        let order: Vec<_> = coalesce(pieces, LIMITS).iter().map(|r| (r.object, r.span.start)).collect();
        assert_eq!(order, [(0, 0), (1, 0), (0, 500), (1, 500), (0, 900)]);
    }

    proptest! {
        /// C36: whatever overlaps, whatever the caps, each chunk finds its own bytes in exactly one read.
        #[test]
        fn c36_every_chunk_finds_its_bytes_once(
            pieces in prop::collection::vec((0usize..3, 0u64..300, 1u64..80), 0..40),
            gap_bytes in 0u64..50, max_read_bytes in 1u64..400, max_chunks in 1usize..6,
        ) {
            let limits = Coalescing { gap_bytes, max_read_bytes, max_chunks };
            let byte = |object: usize, at: u64| (at.wrapping_mul(31) as u8) ^ object as u8;
            let reads = coalesce(pieces.iter().map(|&(o, at, len)| piece(o, at, len)).collect(), limits);
            let mut found = Vec::new();
            for read in &reads {
                let bytes: Vec<u8> = read.span.clone().map(|at| byte(read.object, at)).collect();
                prop_assert!(read.pieces.len() <= max_chunks);
                prop_assert!(read.span.end - read.span.start <= max_read_bytes || read.pieces.len() == 1);
                for piece in &read.pieces {
                    let at = (piece.offset - read.span.start) as usize;
                    let expected: Vec<u8> = (piece.offset..piece.offset + piece.len).map(|at| byte(piece.object, at)).collect();
                    prop_assert_eq!(&bytes[at..at + piece.len as usize], &expected[..]);
                    found.push(piece.chunk);
                }
            }
            let mut asked: Vec<_> = pieces.clone();
            asked.sort();
            found.sort();
            prop_assert_eq!(found, asked);
        }
    }
}
