//! The scenario bench: scenario files, the data sets and crop positions they describe, the readers that are compared.
#![warn(missing_docs)]

pub mod dataset;
pub mod peer;
pub mod positions;
pub mod scenario;
