//! The header of a container, checked.

use super::CODEC;
use crate::codec::CodecError;

/// Bytes of the header; the block starts, or the payload of a memcpyed container, follow.
pub(super) const HEADER: usize = 16;

const DO_SHUFFLE: u8 = 0x01;
const MEMCPYED: u8 = 0x02;
const DO_BITSHUFFLE: u8 = 0x04;
const DONT_SPLIT: u8 = 0x10;

/// A block is split only where its type is this small and its streams this long (c-blosc's MAX_SPLITS, MIN_BUFFERSIZE).
const MAX_SPLITS: usize = 16;
const MIN_STREAM: usize = 128;

/// What compressed the streams: the format bits of the flags. LZ4 and LZ4HC share a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Blosclz,
    Lz4,
    Snappy,
    Zlib,
    Zstd,
}

/// What was done to a block before it was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    None,
    Byte,
    Bit,
}

/// A checked header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) format: Format,
    pub(super) filter: Filter,
    pub(super) memcpyed: bool,
    may_split: bool,
    /// 1 to 255.
    pub(super) typesize: usize,
    /// Decoded length of the container, bytes.
    pub(super) nbytes: usize,
    /// Decoded length of every block but the last, bytes; at least 1, at most `nbytes` (where that is not 0).
    pub(super) blocksize: usize,
}

/// Decoded length that the container says it has.
pub(in crate::codec) fn decoded_len(container: &[u8]) -> Result<usize, CodecError> {
    Header::parse(container).map(|header| header.nbytes)
}

impl Header {
    /// Reads the header of `container`, which must be the whole container and nothing else.
    pub(super) fn parse(container: &[u8]) -> Result<Self, CodecError> {
        let bad = |reason: String| CodecError::corrupt(CODEC, reason);
        let Some(bytes) = container.first_chunk::<HEADER>() else {
            return Err(bad(format!("{} bytes stored, the header alone has {HEADER}", container.len())));
        };
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
        let (version, format_version, flags, typesize) = (bytes[0], bytes[1], bytes[2], bytes[3] as usize);
        let (nbytes, blocksize, cbytes) = (word(4), word(8), word(12));
        if !matches!(version, 1 | 2) {
            return Err(bad(format!("container version {version}, this build reads 1 and 2")));
        }
        if cbytes != container.len() {
            return Err(bad(format!("the header says {cbytes} bytes, {} are stored", container.len())));
        }
        // c-blosc uses signed 32-bit lengths.
        if nbytes > i32::MAX as usize || typesize == 0 || (nbytes > 0 && (blocksize == 0 || blocksize > nbytes)) {
            return Err(bad(format!("impossible header: nbytes {nbytes}, blocksize {blocksize}, typesize {typesize}")));
        }
        let memcpyed = flags & MEMCPYED != 0;
        let format = Format::parse(flags >> 5, format_version, memcpyed).map_err(bad)?;
        let filter = match (flags & DO_SHUFFLE != 0, flags & DO_BITSHUFFLE != 0) {
            (true, _) if typesize > 1 => Filter::Byte,
            (_, true) if typesize <= blocksize => Filter::Bit,
            _ => Filter::None,
        };
        let header = Self { format, filter, memcpyed, may_split: flags & DONT_SPLIT == 0, typesize, nbytes, blocksize };
        if header.splits(blocksize) > 1 && !blocksize.is_multiple_of(typesize) {
            return Err(bad(format!("blocks of {blocksize} bytes are split into {typesize} streams")));
        }
        Ok(header)
    }

    /// Number of blocks.
    pub(super) fn blocks(&self) -> usize {
        if self.nbytes == 0 { 0 } else { self.nbytes.div_ceil(self.blocksize) }
    }

    /// Streams of a block of `len` decoded bytes. A last block that is shorter than the others is never split.
    pub(super) fn splits(&self, len: usize) -> usize {
        let split = self.may_split && len == self.blocksize && self.typesize <= MAX_SPLITS && self.blocksize / self.typesize >= MIN_STREAM;
        if split { self.typesize } else { 1 }
    }
}

impl Format {
    /// A memcpyed container has no streams, so its format matters to nobody.
    fn parse(bits: u8, version: u8, memcpyed: bool) -> Result<Self, String> {
        let format = match bits {
            0 => Self::Blosclz,
            1 => Self::Lz4,
            2 => Self::Snappy,
            3 => Self::Zlib,
            4 => Self::Zstd,
            _ if memcpyed => Self::Blosclz,
            _ => return Err(format!("compressor format {bits}, this build reads 0 to 4")),
        };
        if version != 1 && !memcpyed {
            return Err(format!("{format:?} format version {version}, this build reads 1"));
        }
        Ok(format)
    }
}
