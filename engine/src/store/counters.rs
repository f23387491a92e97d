//! Counters of a store: written on every request by many threads, read rarely.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

/// Stripes that the hot counters are spread over, so that readers on different cores do not share a cache line.
const STRIPES: usize = 16;

/// What a store has done since it was made. Counters are read one by one: under load they may disagree by the few
/// requests that came in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Metadata requests accepted.
    pub fetches: u64,
    /// Bulk reads accepted that had to wait (handed to an I/O thread).
    pub reads: u64,
    /// Reads answered at once, on the caller's thread.
    pub inline_reads: u64,
    /// Reads that could not be answered at once.
    pub would_block: u64,
    /// Bytes delivered, metadata and bulk together.
    pub bytes: u64,
    /// Requests accepted and not yet answered.
    pub in_flight: u64,
    /// Files opened.
    pub opens: u64,
    /// Files closed.
    pub closes: u64,
    /// Files open now.
    pub open_files: u64,
    /// Requests made again after a transient error.
    pub retries: u64,
    /// Faults injected on purpose.
    pub faults: u64,
}

/// The counters behind [`StoreStats`]. All orderings are Relaxed: they count, they synchronise nothing.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    stripes: [CachePadded<Stripe>; STRIPES],
    pub(crate) opens: AtomicU64,
    pub(crate) closes: AtomicU64,
    pub(crate) open_files: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) faults: AtomicU64,
}

#[derive(Debug, Default)]
struct Stripe {
    fetches: AtomicU64,
    reads: AtomicU64,
    answers: AtomicU64,
    inline_reads: AtomicU64,
    would_block: AtomicU64,
    bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn fetch_accepted(&self) {
        add(&self.stripe().fetches, 1);
    }

    pub(crate) fn read_accepted(&self) {
        add(&self.stripe().reads, 1);
    }

    pub(crate) fn answered(&self, bytes: usize) {
        let stripe = self.stripe();
        add(&stripe.bytes, bytes as u64);
        add(&stripe.answers, 1);
    }

    #[inline]
    pub(crate) fn answered_inline(&self, bytes: usize) {
        let stripe = self.stripe();
        add(&stripe.bytes, bytes as u64);
        add(&stripe.inline_reads, 1);
    }

    pub(crate) fn would_block(&self) {
        add(&self.stripe().would_block, 1);
    }

    pub(crate) fn snapshot(&self) -> StoreStats {
        let sum = |field: fn(&Stripe) -> &AtomicU64| self.stripes.iter().map(|stripe| load(field(stripe))).sum::<u64>();
        // Answers before requests: a request answered in between then shows as in flight, never as a negative number.
        let answers = sum(|stripe| &stripe.answers);
        let fetches = sum(|stripe| &stripe.fetches);
        let reads = sum(|stripe| &stripe.reads);
        StoreStats {
            fetches,
            reads,
            inline_reads: sum(|stripe| &stripe.inline_reads),
            would_block: sum(|stripe| &stripe.would_block),
            bytes: sum(|stripe| &stripe.bytes),
            in_flight: (fetches + reads).saturating_sub(answers),
            opens: load(&self.opens),
            closes: load(&self.closes),
            open_files: load(&self.open_files),
            retries: load(&self.retries),
            faults: load(&self.faults),
        }
    }

    #[inline]
    fn stripe(&self) -> &Stripe {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            // Relaxed: any number will do, it only spreads the threads.
            static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
        }
        // A thread that is being torn down has lost its local; stripe 0 counts as well as any.
        &self.stripes[MINE.try_with(|mine| *mine).unwrap_or(0)]
    }
}

/// Adds to a counter. Relaxed: see [`Counters`].
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// Reads a counter. Relaxed: see [`Counters`].
fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
