//! The scenario bench: the readers that are compared, on the scenario files, data sets and crop positions that `longshore bench` has.
#![warn(missing_docs)]

pub mod peer;

pub use longshore::synthetic::{dataset, positions, scenario};
