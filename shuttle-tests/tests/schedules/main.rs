//! Protocols of core at the size at which they are used, under random schedules. One file per protocol, as in
//! `loom-tests`; `cache` is the whole cache with every thread that it has.
#![cfg(shuttle)]

mod cache;
mod gate;
mod inbox;
mod ring;
mod semaphore;
mod watermark;
