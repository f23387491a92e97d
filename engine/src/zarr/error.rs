//! Why bytes of a Zarr hierarchy were refused.

use thiserror::Error;

/// Why a document, an index or a header was refused. The caller adds which object it came from.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ZarrError {
    /// Not JSON, or JSON of another shape than the specification asks for.
    #[error("malformed zarr.json: {0}")]
    Malformed(String),
    /// A Zarr hierarchy, but no v3 array.
    #[error("not a Zarr v3 array: {0}")]
    NotAnArray(String),
    /// Valid Zarr that this build does not read; names the feature.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// Valid, but beyond a limit that protects memory.
    #[error("{what} is {observed}, the limit is {allowed}")]
    Limit {
        /// What was measured.
        what: &'static str,
        /// The value found.
        observed: u64,
        /// The largest value accepted.
        allowed: u64,
    },
    /// A shard index that is truncated, has a wrong checksum or an impossible entry.
    #[error("corrupt shard index: {0}")]
    ShardIndex(String),
    /// A chunk header that contradicts itself or the array's metadata.
    #[error("corrupt blosc header: {0}")]
    Header(String),
}
