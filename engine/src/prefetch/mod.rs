//! The metadata prefetch layer: one thread that walks every sample through the three caches, long before its batch is due.
//!
//! ```text
//! pushed -> admitted -> [array metadata] -> [shard index x S] -> [chunk layout] -> resolved
//!               \____________ any error: terminal; the gate's error bit set, the sample named
//! ```
//!
//! - Driven by events only: a push, an answer, a watermark, a close; each rings the thread's bell.
//! - An answer wakes exactly the samples that wait for it: O(1) each.
//! - A sample that finds a cache full of pins waits at its cursor, oldest first. The oldest unplanned batch never waits: what has
//!   no room is fetched for its sample alone.

mod batches;
pub(crate) mod fetch;
mod sample;
#[cfg(all(test, shuttle))]
mod schedules;
pub(crate) mod values;
mod walk;
pub(crate) mod work;

pub(crate) use batches::Batches;
pub(crate) use walk::{Cache, Prefetcher, PrefetcherParts};
