//! The models, one file per protocol. See `core/README.md` for the table of invariants, models and mutants.
#![cfg(loom)]

mod bell;
mod cache;
mod cache_meets;
mod engine;
mod gate;
mod inbox;
mod lookahead;
mod rig;
mod ring;
mod semaphore;
mod slot;
mod ticket;
mod watermark;
