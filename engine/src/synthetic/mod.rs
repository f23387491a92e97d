//! Synthetic data sets and where a bench crops them: scenario files, a writer that shares no code with the reader, positions.

pub mod dataset;
pub mod positions;
pub mod scenario;

pub use dataset::{dataset_root, ensure_dataset};
pub use positions::{Position, positions};
pub use scenario::Scenario;
