//! The lock-free primitives that Longshore is built on: slots, gates, watermarks, rings, inboxes and the words that
//! sleepers sleep on.
//!
//! The crate knows nothing of Zarr, of I/O or of GPUs. It starts no thread, keeps no hidden global state and reads no
//! clock except to count down a timed wait.
//!
//! # How to read it
//!
//! Each protocol is one small module. Its head is the specification: the layout of the word, the states and who moves
//! between them, why no step can be lost, and a table of the memory orderings with what each pairs with. The code below
//! it repeats the pairing at each access. Three rules hold everywhere:
//!
//! - *Single ownership is the rule, atomics are the seams.* Whatever one thread does is a type that cannot be cloned (an
//!   owner, a producer, a completion), so misuse does not compile; whatever two threads race for is one word.
//! - *No sequentially consistent fence.* What must be seen in order goes through read-modify-writes of one word, which is
//!   also what the model checker can judge.
//! - *Every loop ends.* Each says what bounds it; an operation that may sleep has `blocking`, `timeout` or `wait` in its name or
//!   is [`Semaphore::acquire`](semaphore::Semaphore::acquire). All else is lock-free, the allocator aside.
//!
//! What was asked of a protocol and cannot be given comes back to the caller: a value that was not pushed, a ticket that
//! is not ready. Misuse (a token dropped twice, an ordinal out of range) panics; the panic's section says so, and what was
//! shared stays sound.
//!
//! `core/README.md` has the state diagrams side by side and the table from protocol to invariants, models, mutants and fuzz
//! targets.
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
