//! What the models of `tests/models` have in common. Empty unless built with `--cfg loom`; `run.sh` does that.
//!
//! Loom skips interleavings of a plain load that is a thread's first touch of an atomic with another thread's. So every
//! model begins its threads at a [`StartLine`], and takes a census of the outcomes it saw: a model that does not reach
//! all of them fails, as does one that reaches another.

#[cfg(loom)]
mod harness;
#[cfg(loom)]
pub use harness::{Payload, StartLine, Watch, explore};
