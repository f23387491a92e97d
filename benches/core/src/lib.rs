//! longshore-core measured against every cache it could have used, and against the floor that no cache can beat.
//!
//! `benches/core.sh` runs it; `RESULTS.md` says what came out and why.

pub mod bench;
pub mod clock;
pub mod keys;
pub mod ours;
pub mod peers;
pub mod probe;
pub mod sections;
