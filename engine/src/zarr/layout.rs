//! Chunk layout: the 16-byte header of a blosc container, which says how many blocks and streams follow.
//!
//! Format and checks are those of c-blosc 1.21 (`README_CHUNK_FORMAT.rst`, `blosc_run_decompression_with_context`), plus those
//! that an array's metadata allows: the decoded length is known, and so is the stored one.

use super::{BloscShuffle, ZarrError};

/// Length of the header, bytes.
pub const BLOSC_HEADER_BYTES: usize = 16;

/// The one container version of c-blosc 1 (`BLOSC_VERSION_FORMAT`).
const CONTAINER_VERSION: u8 = 2;

/// The one stream version of each of c-blosc's compressors.
const STREAM_VERSION: u8 = 1;

/// Largest block: `(INT_MAX - BLOSC_MAX_TYPESIZE * sizeof(int32_t)) / 3`.
const MAX_BLOCK_BYTES: u32 = (i32::MAX as u32 - 255 * 4) / 3;

/// Blocks of wider elements are never split (`MAX_SPLITS`).
const MAX_SPLITS: u32 = 16;

/// Blocks whose streams would be shorter than this are never split, bytes (`MIN_BUFFERSIZE`).
const MIN_SPLIT_BYTES: u32 = 128;

const FLAG_BYTE_SHUFFLE: u8 = 0x01;
const FLAG_MEMCPYED: u8 = 0x02;
const FLAG_BIT_SHUFFLE: u8 = 0x04;
const FLAG_RESERVED: u8 = 0x08;
const FLAG_NOT_SPLIT: u8 = 0x10;

/// Stream format inside a blosc container. `lz4` and `lz4hc` write the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "names of c-blosc")]
pub enum BloscFormat {
    Blosclz,
    Lz4,
    Snappy,
    Zlib,
    Zstd,
}

/// What is known of a container before it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BloscExpectation {
    /// Length of the decoded chunk, bytes, where known.
    pub decoded_bytes: Option<u64>,
    /// Length of the container as stored, bytes, where known.
    pub stored_bytes: Option<u64>,
    /// Most substreams that the reader takes.
    pub max_substreams: u32,
}

/// A checked header. `Copy` and 20 bytes: cheap to make for each chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BloscHeader {
    /// How streams are compressed; of no meaning where `memcpyed`.
    pub format: BloscFormat,
    /// The shuffle to undo: `None` where `memcpyed`, and for byte shuffle of one-byte elements, whatever the flags say.
    /// Bit shuffle does not apply to a block whose element count is no multiple of 8.
    pub shuffle: BloscShuffle,
    /// The decoded bytes follow the header as they are, without block table.
    pub memcpyed: bool,
    /// Whether full blocks are split into one stream per byte of an element.
    pub split: bool,
    /// Element size that shuffle and split use, bytes, non-zero.
    pub typesize: u8,
    /// Decoded length, bytes.
    pub nbytes: u32,
    /// Decoded length of every block but the last, bytes; at most `nbytes`, non-zero.
    pub blocksize: u32,
    /// Length of the container, header included, bytes.
    pub cbytes: u32,
}

impl BloscHeader {
    /// Reads the header at the start of `container` (16 bytes suffice).
    ///
    /// A header that passes has a block table and a length word per substream that fit into `cbytes`; the offsets in the table
    /// and the lengths of the streams are for the decoder to check.
    ///
    /// # Errors
    /// `Header` where it contradicts itself or `expected`, `Limit` for too many substreams.
    pub fn parse(container: &[u8], expected: BloscExpectation) -> Result<Self, ZarrError> {
        let Some(&[version, stream_version, flags, typesize, n0, n1, n2, n3, b0, b1, b2, b3, c0, c1, c2, c3]) = container.first_chunk()
        else {
            return fault(format!("{} bytes, a header takes {BLOSC_HEADER_BYTES}", container.len()));
        };
        let memcpyed = flags & FLAG_MEMCPYED != 0;
        let mut header = Self {
            format: read_format(flags)?,
            shuffle: read_shuffle(flags, typesize)?,
            memcpyed,
            split: false,
            typesize,
            nbytes: u32::from_le_bytes([n0, n1, n2, n3]),
            blocksize: u32::from_le_bytes([b0, b1, b2, b3]),
            cbytes: u32::from_le_bytes([c0, c1, c2, c3]),
        };
        check_versions(version, stream_version, flags)?;
        header.check_lengths(&expected)?;
        if memcpyed {
            header.shuffle = BloscShuffle::None;
        } else {
            let width = u32::from(typesize);
            header.split = flags & FLAG_NOT_SPLIT == 0 && width <= MAX_SPLITS && header.blocksize / width >= MIN_SPLIT_BYTES;
            header.check_blocks(expected.max_substreams)?;
        }
        Ok(header)
    }

    /// Number of blocks, at least 1.
    pub const fn nblocks(&self) -> u32 {
        self.nbytes.div_ceil(self.blocksize)
    }

    /// Decoded length of block `index`, bytes; only the last may be shorter than `blocksize`.
    ///
    /// # Panics
    /// If there is no such block.
    pub const fn block_len(&self, index: u32) -> u32 {
        assert!(index < self.nblocks(), "a block of the container");
        let rest = self.nbytes - index * self.blocksize;
        if rest < self.blocksize { rest } else { self.blocksize }
    }

    /// Number of streams of a block of `block_len` decoded bytes, each of `block_len / streams` bytes decoded.
    pub const fn streams_of(&self, block_len: u32) -> u32 {
        if self.split && block_len == self.blocksize { self.typesize as u32 } else { 1 }
    }

    /// Number of streams of the container; 0 where `memcpyed`.
    pub const fn substreams(&self) -> u64 {
        if self.memcpyed {
            return 0;
        }
        let full = (self.nbytes / self.blocksize) as u64;
        full * self.streams_of(self.blocksize) as u64 + (self.nblocks() as u64 - full)
    }

    /// Length of header and block table, bytes: streams (or, where `memcpyed`, the data) start there at the earliest.
    pub const fn preamble_len(&self) -> u64 {
        BLOSC_HEADER_BYTES as u64 + if self.memcpyed { 0 } else { 4 * self.nblocks() as u64 }
    }

    fn check_lengths(&self, expected: &BloscExpectation) -> Result<(), ZarrError> {
        let Self { typesize, nbytes, blocksize, cbytes, .. } = *self;
        if let Some(decoded) = expected.decoded_bytes.filter(|&decoded| decoded != u64::from(nbytes)) {
            return fault(format!("decodes to {nbytes} bytes, the chunk grid says {decoded}"));
        }
        if let Some(stored) = expected.stored_bytes.filter(|&stored| stored != u64::from(cbytes)) {
            return fault(format!("a container of {cbytes} bytes, {stored} are stored"));
        }
        if typesize == 0 {
            return fault("element size 0".to_owned());
        }
        if blocksize == 0 || blocksize > nbytes.min(MAX_BLOCK_BYTES) {
            return fault(format!("block size {blocksize}, allowed are 1 to {} bytes", nbytes.min(MAX_BLOCK_BYTES)));
        }
        if self.memcpyed && u64::from(cbytes) != u64::from(nbytes) + BLOSC_HEADER_BYTES as u64 {
            return fault(format!("{nbytes} bytes stored as they are take 16 more, the container says {cbytes}"));
        }
        Ok(())
    }

    fn check_blocks(&self, max_substreams: u32) -> Result<(), ZarrError> {
        if self.split && !self.blocksize.is_multiple_of(self.typesize.into()) {
            return fault(format!("blocks of {} bytes are split by {}", self.blocksize, self.typesize));
        }
        let substreams = self.substreams();
        if substreams > u64::from(max_substreams) {
            let what = "number of substreams of a blosc chunk";
            return Err(ZarrError::Limit { what, observed: substreams, allowed: max_substreams.into() });
        }
        let least = self.preamble_len() + 4 * substreams;
        if u64::from(self.cbytes) < least {
            return fault(format!("{substreams} substreams take {least} bytes and more, the container says {}", self.cbytes));
        }
        Ok(())
    }
}

fn fault<T>(reason: String) -> Result<T, ZarrError> {
    Err(ZarrError::Header(reason))
}

fn check_versions(version: u8, stream_version: u8, flags: u8) -> Result<(), ZarrError> {
    if version != CONTAINER_VERSION {
        return fault(format!("container version {version}, read is {CONTAINER_VERSION}"));
    }
    if flags & FLAG_RESERVED != 0 {
        return fault(format!("flags {flags:#04x} have the reserved bit set"));
    }
    if flags & FLAG_MEMCPYED == 0 && stream_version != STREAM_VERSION {
        return fault(format!("stream version {stream_version}, read is {STREAM_VERSION}"));
    }
    Ok(())
}

fn read_format(flags: u8) -> Result<BloscFormat, ZarrError> {
    Ok(match flags >> 5 {
        0 => BloscFormat::Blosclz,
        1 => BloscFormat::Lz4,
        2 => BloscFormat::Snappy,
        3 => BloscFormat::Zlib,
        4 => BloscFormat::Zstd,
        other => return fault(format!("compressor format {other}, read are 0 to 4")),
    })
}

fn read_shuffle(flags: u8, typesize: u8) -> Result<BloscShuffle, ZarrError> {
    match (flags & FLAG_BYTE_SHUFFLE != 0, flags & FLAG_BIT_SHUFFLE != 0) {
        (true, true) => fault(format!("flags {flags:#04x} ask for byte and bit shuffle at once")),
        (true, false) if typesize > 1 => Ok(BloscShuffle::Byte),
        (false, true) => Ok(BloscShuffle::Bit),
        _ => Ok(BloscShuffle::None),
    }
}
