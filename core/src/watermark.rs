//! The watermark: every batch below it is planned, so an entry whose newest batch is below it may be evicted.
//!
//! ```text
//! mark:  0 ---- fetch_max ----> a ---- fetch_max ----> b        0 <= a <= b, whoever calls, in whatever order
//! ```
//!
//! | operation | ordering | pairs with |
//! |---|---|---|
//! | `advance_to`: fetch_max | AcqRel | `get`: whoever sees the mark sees that the batches below are done with |
//! | `get`: load | Acquire | `advance_to` |
//!
//! Advancing is one instruction, whatever the lookahead and however many entries are cached: who evicts looks at the
//! mark when it needs room.
//!
//! [`FinishRing`] turns finishes in any order into the mark. Cell `b % W` holds `b + 1` once batch `b` has finished;
//! nothing is ever cleared, since the cell's next user writes a greater number.
//!
//! ```text
//! finish(b):  swap done[b % W] = b + 1;   m = mark;   while done[m % W] == m + 1 { mark = max(mark, m + 1); m += 1 }
//! ```
//!
//! Two threads that finish neighbours must not both miss the other's cell. Each writes its own cell and then looks at
//! the other's, and both steps are AcqRel read-modify-writes: if A's look precedes B's write in the modification order
//! of B's cell, then B's write acquires A's look, and B's own look, which comes later, sees A's cell. The same argument
//! covers a stale mark: whoever moved the mark to `b` looks at cell `b` afterwards; if that look preceded the write of
//! the cell, the writer has acquired the new mark.

use crate::ordinal::BatchId;
use crate::sync::{Arc, AtomicU64, Ordering, mutant, weaken};
use crossbeam_utils::CachePadded;

/// The oldest batch that is not planned yet.
#[derive(Debug)]
pub struct Watermark {
    mark: CachePadded<AtomicU64>,
}

impl Default for Watermark {
    fn default() -> Self {
        Self::new()
    }
}

impl Watermark {
    /// A watermark at batch 0: nothing is planned.
    #[must_use]
    pub fn new() -> Self {
        Self { mark: CachePadded::new(AtomicU64::new(0)) }
    }

    /// Says that every batch below `batch` is planned. Moves forwards only; answers whether it moved, so that the
    /// caller can ring whoever waits for room.
    pub fn advance_to(&self, batch: BatchId) -> bool {
        if mutant("watermark-store") {
            // Release, as below; the mutant lets a late and lower advance undo a higher one.
            self.mark.store(batch.get(), Ordering::Release);
            return true;
        }
        // Release: pairs with the Acquire of `get`. Acquire: whoever moves the mark on has seen what moved it so far.
        let before = self.mark.fetch_max(batch.get(), weaken("watermark-advance-relaxed", Ordering::AcqRel));
        before < batch.get()
    }

    /// The oldest batch that is not planned yet.
    #[inline]
    #[must_use]
    pub fn get(&self) -> BatchId {
        // Acquire: pairs with the Release of `advance_to`.
        BatchId::new(self.mark.load(weaken("watermark-get-relaxed", Ordering::Acquire)))
    }
}

/// Moves a watermark as batches finish in any order.
#[derive(Debug)]
pub struct FinishRing {
    watermark: Arc<Watermark>,
    /// Per batch of the window: its ordinal + 1 once it has finished.
    done: Box<[AtomicU64]>,
}

impl FinishRing {
    /// A ring that moves `watermark` and admits finishes of the `window` batches from the mark on (rounded up to a
    /// power of two).
    ///
    /// # Panics
    /// If `window` is zero or exceeds 2^24.
    #[must_use]
    pub fn new(window: usize, watermark: Arc<Watermark>) -> Self {
        assert!(window > 0 && window <= 1 << 24, "a finish ring spans 1 to 2^24 batches, {window} asked");
        Self { watermark, done: (0..window.next_power_of_two()).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The batches that may be unfinished at once.
    #[must_use]
    pub fn window(&self) -> usize {
        self.done.len()
    }

    /// The watermark that is moved.
    #[must_use]
    pub fn watermark(&self) -> &Arc<Watermark> {
        &self.watermark
    }

    /// Says that `batch` is planned, and moves the watermark over every batch up to the oldest that is not. Answers
    /// whether it moved.
    ///
    /// # Panics
    /// If the batch finished before, or lies a whole window beyond the mark. Nothing has changed then.
    pub fn finish(&self, batch: BatchId) -> bool {
        self.check(batch);
        // AcqRel on the write and on each look: the argument is in the module's head. Loom runs read-modify-writes in one
        // order and cannot show what a weaker write would allow, so this ordering has no mutant.
        self.cell(batch.get()).swap(batch.get() + 1, Ordering::AcqRel);
        let mut mark = self.watermark.get().get();
        let mut moved = false;
        // Bounded: each turn passes a batch that has finished, and at most a window of them can be.
        while self.look(mark) == mark + 1 && mark < BatchId::MAX.get() {
            mark += 1;
            moved |= self.watermark.advance_to(BatchId::new(mark));
        }
        moved
    }

    fn cell(&self, ordinal: u64) -> &AtomicU64 {
        &self.done[ordinal as usize & (self.done.len() - 1)]
    }

    /// The cell's newest value: a read-modify-write, since a load could be stale.
    fn look(&self, ordinal: u64) -> u64 {
        if mutant("finish-look-load") {
            return self.cell(ordinal).load(Ordering::Acquire);
        }
        self.cell(ordinal).fetch_max(0, Ordering::AcqRel)
    }

    #[track_caller]
    fn check(&self, batch: BatchId) {
        let mut mark = self.watermark.get();
        if batch.get() >= mark.get() + self.done.len() as u64 {
            // The mark seen may be stale; a read-modify-write sees the newest. AcqRel: as `get`.
            mark = BatchId::new(self.watermark.mark.fetch_max(0, Ordering::AcqRel));
        }
        let window = self.done.len() as u64;
        assert!(batch.get() < mark.get() + window, "batch {batch} finished {window} or more batches ahead of {mark}");
        // Acquire: pairs with the swap of the finish that this would repeat.
        let done = self.cell(batch.get()).load(Ordering::Acquire);
        assert!(done <= batch.get() && batch >= mark, "batch {batch} finished twice, or the mark {mark} passed it");
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn c10_the_watermark_only_rises() {
        let watermark = Watermark::new();
        assert!(watermark.advance_to(BatchId::new(5)));
        assert!(!watermark.advance_to(BatchId::new(5)));
        assert!(!watermark.advance_to(BatchId::new(3)));
        assert_eq!(watermark.get(), BatchId::new(5));
    }

    #[test]
    fn finishes_in_any_order_move_the_mark_over_what_is_whole() {
        let ring = FinishRing::new(4, Arc::new(Watermark::new()));
        let mark = || ring.watermark().get().get();
        assert!(!ring.finish(BatchId::new(2)));
        assert!(!ring.finish(BatchId::new(1)));
        assert_eq!(mark(), 0);
        assert!(ring.finish(BatchId::new(0)));
        assert_eq!(mark(), 3);
        // Far round the ring, in an order of its own, against a plain set.
        let mut finished = std::collections::BTreeSet::new();
        for step in 0..1000_u64 {
            let base = 3 + step / 4 * 4;
            let batch = base + [2, 0, 3, 1][step as usize % 4];
            ring.finish(BatchId::new(batch));
            finished.insert(batch);
            let expected = (3..).find(|n| !finished.contains(n)).unwrap();
            assert_eq!(mark(), expected);
        }
    }

    #[test]
    fn misuse_is_refused_and_changes_nothing() {
        let ring = FinishRing::new(4, Arc::new(Watermark::new()));
        ring.finish(BatchId::new(0));
        ring.finish(BatchId::new(2));
        for batch in [0, 2, 5] {
            let finish = std::panic::AssertUnwindSafe(|| ring.finish(BatchId::new(batch)));
            assert!(std::panic::catch_unwind(finish).is_err(), "batch {batch}");
        }
        assert!(ring.finish(BatchId::new(1)));
        assert_eq!(ring.watermark().get(), BatchId::new(3));
    }

    #[test]
    fn no_finish_is_lost_between_threads() {
        const BATCHES: u64 = 20_000;
        const THREADS: u64 = 4;
        let ring = Arc::new(FinishRing::new(BATCHES as usize, Arc::new(Watermark::new())));
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let ring = ring.clone();
                std::thread::spawn(move || {
                    (thread..BATCHES).step_by(THREADS as usize).for_each(|b| _ = ring.finish(BatchId::new(b)));
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(ring.watermark().get(), BatchId::new(BATCHES));
    }
}
