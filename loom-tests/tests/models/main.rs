//! The models, one file per protocol. See `core/README.md` for the table of invariants, models and mutants.
#![cfg(loom)]

mod bell;
mod cache;
mod gate;
mod inbox;
mod ring;
mod semaphore;
mod slot;
mod watermark;
