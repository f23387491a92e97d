//! What `zarr.json` of an array says, checked.

use super::{Axes, DataType};

/// A checked array document.
#[derive(Clone, Debug, PartialEq)]
pub struct ArrayMeta {
    /// Extent per axis, elements. Zero is allowed, rank is 1 to [`MAX_RANK`](super::MAX_RANK).
    pub shape: Axes<u64>,
    /// Element type.
    pub data_type: DataType,
    /// Value of every element that is not stored.
    pub fill_value: FillValue,
    /// Extent of one cell of the chunk grid (one stored object: a chunk, or a shard), elements, non-zero.
    pub chunk_shape: Axes<u64>,
    /// How a grid cell's key is spelled.
    pub keys: ChunkKeys,
    /// Codecs of one grid cell.
    pub codecs: CodecChain,
}

/// One element, native-endian bytes; the first `data_type.size()` of them count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillValue {
    pub(crate) bytes: [u8; 16],
    pub(crate) len: u8,
}

impl FillValue {
    /// A fill value from the native-endian bytes of one element. Panics on more than 16 bytes.
    pub fn from_ne_bytes(element: &[u8]) -> Self {
        let mut bytes = [0; 16];
        bytes[..element.len()].copy_from_slice(element);
        Self { bytes, len: element.len() as u8 }
    }

    /// Native-endian bytes of the element.
    pub fn as_ne_bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }
}

/// Separator of the coordinates in a chunk key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "self-explanatory")]
pub enum Separator {
    Slash,
    Dot,
}

/// `chunk_key_encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkKeys {
    /// `c/0/1/2` or `c.0.1.2`.
    Default(Separator),
    /// `0.1.2` or `0/1/2`.
    V2(Separator),
}

/// A codec chain, split into its three stages.
#[derive(Clone, Debug, PartialEq)]
pub struct CodecChain {
    /// Array to array, in encoding order.
    pub array_to_array: Vec<Transpose>,
    /// The one array-to-bytes codec.
    pub array_to_bytes: ArrayToBytes,
    /// Bytes to bytes, in encoding order.
    pub bytes_to_bytes: Vec<BytesToBytes>,
}

/// `transpose`: encoded axis `i` is decoded axis `order[i]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transpose {
    /// A permutation of the axes.
    pub order: Axes<usize>,
}

/// Byte order of stored elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "self-explanatory")]
pub enum Endian {
    Little,
    Big,
}

/// The array-to-bytes codec of a chain.
#[derive(Clone, Debug, PartialEq)]
pub enum ArrayToBytes {
    /// `bytes`. One-byte types may omit the byte order; it is then `Little`.
    Bytes(Endian),
    /// `sharding_indexed`.
    Sharding(Box<Sharding>),
}

/// Where a shard keeps its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "self-explanatory")]
pub enum IndexLocation {
    Start,
    End,
}

/// `sharding_indexed`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sharding {
    /// Extent of one inner chunk, elements; divides the shard per axis (in the axis order that reaches this codec).
    pub chunk_shape: Axes<u64>,
    /// Codecs of one inner chunk.
    pub codecs: CodecChain,
    /// Codecs of the index; checked at parse time to have a fixed encoded size.
    pub index_codecs: CodecChain,
    /// Where the index stands.
    pub index_location: IndexLocation,
}

/// Compressor inside a blosc container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "names of c-blosc")]
pub enum BloscCompressor {
    Blosclz,
    Lz4,
    Lz4hc,
    Snappy,
    Zlib,
    Zstd,
}

/// Shuffle filter of a blosc container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "names of c-blosc")]
pub enum BloscShuffle {
    None,
    Byte,
    Bit,
}

/// A bytes-to-bytes codec. Levels matter to writers only; they are kept for `inspect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "members of the codecs' configurations")]
pub enum BytesToBytes {
    Zstd { level: i32, checksum: bool },
    Blosc { compressor: BloscCompressor, level: u8, shuffle: BloscShuffle, typesize: usize, blocksize: usize },
    Gzip { level: u8 },
    Crc32c,
}

impl BytesToBytes {
    /// Name in `zarr.json`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Zstd { .. } => "zstd",
            Self::Blosc { .. } => "blosc",
            Self::Gzip { .. } => "gzip",
            Self::Crc32c => "crc32c",
        }
    }
}
