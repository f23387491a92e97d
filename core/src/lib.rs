//! The lock-free primitives that Longshore is built on: slots, gates, watermarks, rings, inboxes and the words that
//! sleepers sleep on.
//!
//! The crate knows nothing of Zarr, of I/O or of GPUs. It starts no thread, keeps no hidden global state and reads no
//! clock except to count down a timed wait. Each protocol is one small module whose head shows the states, the
//! transitions and the memory orderings with what they pair with; `core/README.md` has the table from protocol to
//! invariants, models and mutants.
//!
//! | module | what it is |
//! |---|---|
//! | [`ordinal`] | numbers of batches and samples, 36 bits |
//! | [`bell`] | many ringers wake one sleeper |
//! | [`semaphore`] | a counting semaphore for a pool of workers |
//! | [`inbox`] | push-one / take-all stack of messages |
//! | [`ring`] | bounded queue from one producer to one consumer |
//! | [`lookahead`] | the ring of pushed samples, stamped in order |
//! | [`watermark`] | "every batch below this is planned" |
//! | [`gate`] | one word per batch: "all resolved, none failed?" |
//! | [`slot`] | the word of a cache slot: generation, phase, newest batch |
//! | [`epoch`] | when it is safe to destroy what a reader may hold |
//! | [`ticket`] | one operation on a device, retired by a callback on a foreign thread |
//! | [`cache`] | the prefetch cache made of the above |

pub mod bell;
pub mod cache;
pub mod epoch;
pub mod gate;
pub mod inbox;
pub mod lookahead;
pub mod ordinal;
pub mod ring;
pub mod semaphore;
pub mod slot;
pub mod sync;
pub mod ticket;
pub mod watermark;
