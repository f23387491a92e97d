//! Why a chunk was refused.

use thiserror::Error;

/// Why a chunk could not be decoded. The caller adds object, offset and chunk.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// The chain has a codec this build does not decode, or shapes that do not fit.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// The stored bytes are not what `codec` writes.
    #[error("{codec}: {reason}")]
    Corrupt {
        /// Name of the codec.
        codec: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The chunk decodes to another length than the grid says.
    #[error("decodes to {observed} bytes, the chunk grid says {expected}")]
    Length {
        /// Length found (at least this, where decoding stopped at the limit).
        observed: u64,
        /// Length that the grid asks for.
        expected: u64,
    },
}

impl CodecError {
    /// `codec` did not write these bytes, because of `reason`.
    pub(super) fn corrupt(codec: &'static str, reason: impl Into<String>) -> Self {
        Self::Corrupt { codec, reason: reason.into() }
    }

    /// A chunk of `observed` bytes where `expected` are due.
    pub(super) fn length(observed: usize, expected: usize) -> Self {
        Self::Length { observed: observed as u64, expected: expected as u64 }
    }

    /// `Ok` when both lengths are equal.
    pub(super) fn check_length(observed: usize, expected: usize) -> Result<(), Self> {
        if observed == expected { Ok(()) } else { Err(Self::length(observed, expected)) }
    }
}
