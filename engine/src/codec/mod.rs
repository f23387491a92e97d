//! Decode chains: from the stored bytes of one chunk to its elements.
//!
//! A [`ChunkDecoder`] is compiled once per array and used by many threads, each with its own [`Scratch`].

use thiserror::Error;

use crate::zarr::{Axes, CodecChain, DataType, FillValue};

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

/// Half-open byte ranges of the decoded chunk (as laid out by [`ChunkDecoder::strides`]) that somebody needs:
/// sorted, disjoint, non-empty, in bounds.
pub type Wanted<'a> = &'a [std::ops::Range<usize>];

/// Which bytes of the output buffer hold decoded data after a decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// All of them.
    Full,
    /// These ranges only: sorted, disjoint; they include everything that was wanted.
    Ranges(Vec<std::ops::Range<usize>>),
}

/// Buffers and decompression contexts that one thread reuses from chunk to chunk.
#[derive(Debug, Default)]
pub struct Scratch {
    _private: (),
}

/// Decodes the chunks of one array.
#[derive(Debug)]
pub struct ChunkDecoder {
    decoded_len: usize,
    strides: Axes<usize>,
}

impl ChunkDecoder {
    /// Compiles `chain` for chunks of `shape` (elements, in the array's axis order).
    ///
    /// # Errors
    /// `Unsupported` names the codec.
    pub fn compile(chain: &CodecChain, shape: &[u64], data_type: DataType, fill_value: FillValue) -> Result<Self, CodecError> {
        let _ = (chain, shape, data_type, fill_value);
        Err(CodecError::Unsupported("nothing yet".into()))
    }

    /// Length of a decoded chunk, bytes.
    pub fn decoded_len(&self) -> usize {
        self.decoded_len
    }

    /// Element strides of the decoded buffer per axis *of the array*: a transposed chunk is scattered, never transposed.
    pub fn strides(&self) -> &[usize] {
        &self.strides
    }

    /// Largest stored length that a chunk of this array can honestly have, bytes. Longer ones are refused before they are read.
    pub fn max_encoded_len(&self) -> usize {
        0
    }

    /// True when the stored bytes are the decoded bytes (`bytes` in native order and nothing else):
    /// the caller may read straight into the output, and read only what is wanted.
    pub fn is_identity(&self) -> bool {
        false
    }

    /// True when [`Self::decode`] may decode less than everything if told what is wanted.
    pub fn can_decode_parts(&self) -> bool {
        false
    }

    /// Decodes `encoded` into `out` (exactly [`Self::decoded_len`] bytes, possibly uninitialised rubbish before).
    /// With `wanted`, bytes outside may be left as they were; the answer says which bytes are good.
    ///
    /// # Errors
    /// Any stored bytes yield an error or the right answer; `out` is then unspecified.
    pub fn decode(
        &self,
        encoded: &[u8],
        out: &mut [u8],
        wanted: Option<Wanted<'_>>,
        scratch: &mut Scratch,
    ) -> Result<Coverage, CodecError> {
        let _ = (encoded, out, wanted, scratch);
        Err(CodecError::Unsupported("nothing yet".into()))
    }
}
