//! Metadata in words, for `inspect` and for messages.

use std::fmt;

use half::{bf16, f16};

use super::{
    ArrayToBytes, BloscCompressor, BloscFormat, BloscShuffle, BytesToBytes, ChunkKeys, CodecChain, DataType, Endian, FillValue,
    IndexFormat, IndexLocation, Layout, Separator, Sharding, Transpose,
};

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Endian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Little => "little",
            Self::Big => "big",
        })
    }
}

impl fmt::Display for IndexLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Start => "start",
            Self::End => "end",
        })
    }
}

impl fmt::Display for Separator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

/// As an example key shows: `c/0/1`.
impl fmt::Display for ChunkKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = String::new();
        self.write_key(&[0, 1], &mut key);
        f.pad(&key)
    }
}

impl fmt::Display for BloscCompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Blosclz => "blosclz",
            Self::Lz4 => "lz4",
            Self::Lz4hc => "lz4hc",
            Self::Snappy => "snappy",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
        })
    }
}

impl fmt::Display for BloscFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Blosclz => "blosclz",
            Self::Lz4 => "lz4",
            Self::Snappy => "snappy",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
        })
    }
}

impl fmt::Display for BloscShuffle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "no shuffle",
            Self::Byte => "shuffle",
            Self::Bit => "bit shuffle",
        })
    }
}

/// `zstd(level 3)`, `blosc(lz4, shuffle of 2 bytes)`.
impl fmt::Display for BytesToBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zstd { level, checksum: false } => write!(f, "zstd(level {level})"),
            Self::Zstd { level, checksum: true } => write!(f, "zstd(level {level}, checksum)"),
            Self::Blosc { compressor, level, shuffle: BloscShuffle::None, .. } => {
                write!(f, "blosc({compressor} level {level}, no shuffle)")
            }
            Self::Blosc { compressor, level, shuffle, typesize, .. } => {
                write!(f, "blosc({compressor} level {level}, {shuffle} of {typesize} bytes)")
            }
            Self::Gzip { level } => write!(f, "gzip(level {level})"),
            Self::Crc32c => f.write_str("crc32c"),
        }
    }
}

/// `transpose(2, 0, 1)`.
impl fmt::Display for Transpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order: Vec<String> = self.order.iter().map(ToString::to_string).collect();
        write!(f, "transpose({})", order.join(", "))
    }
}

/// `shards of 32x64x64 chunks(bytes(little) > zstd(level 3)), index at the end(bytes(little) > crc32c)`.
impl fmt::Display for Sharding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shape, index) = (describe_shape(&self.chunk_shape), &self.index_codecs);
        write!(f, "shards of {shape} chunks({}), index at the {}({index})", self.codecs, self.index_location)
    }
}

/// Codecs in encoding order, `>` between them.
impl fmt::Display for CodecChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for transpose in &self.array_to_array {
            write!(f, "{transpose} > ")?;
        }
        match &self.array_to_bytes {
            ArrayToBytes::Bytes(endian) => write!(f, "bytes({endian})")?,
            ArrayToBytes::Sharding(sharding) => sharding.fmt(f)?,
        }
        self.bytes_to_bytes.iter().try_for_each(|codec| write!(f, " > {codec}"))
    }
}

/// `512 entries, 8196 bytes at the end`.
impl fmt::Display for IndexFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries, {} bytes at the {}", self.entries, self.encoded_len(), self.location)
    }
}

/// What one object holds: `one chunk of 32x64x64`.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain { chunk_shape } => write!(f, "one chunk of {}", describe_shape(chunk_shape)),
            Self::Sharded(shard) => {
                let (inner, counts) = (describe_shape(&shard.inner_shape), describe_shape(&shard.inner_per_shard));
                write!(f, "{counts} chunks of {inner}, index of {}", shard.index)
            }
        }
    }
}

/// Extents in words: `32x64x64`.
pub fn describe_shape(shape: &[u64]) -> String {
    let extents: Vec<String> = shape.iter().map(ToString::to_string).collect();
    extents.join("x")
}

impl FillValue {
    /// The value in words, as an element of `data_type`: `0`, `true`, `1.5`, `-inf`, `NaN`, `1+2i`.
    /// A value of another size is shown as its bytes.
    pub fn describe(&self, data_type: DataType) -> String {
        let bytes = self.as_ne_bytes();
        if bytes.len() != data_type.size() {
            return format!("bytes {bytes:02x?}");
        }
        let half = bytes.len() / 2;
        match data_type {
            DataType::Bool => (bytes[0] != 0).to_string(),
            DataType::Complex64 => format!("{}{:+}i", f32::from_ne_bytes(low(bytes)), f32::from_ne_bytes(low(&bytes[half..]))),
            DataType::Complex128 => format!("{}{:+}i", f64::from_ne_bytes(low(bytes)), f64::from_ne_bytes(low(&bytes[half..]))),
            DataType::Float16 => f16::from_ne_bytes(low(bytes)).to_string(),
            DataType::BFloat16 => bf16::from_ne_bytes(low(bytes)).to_string(),
            DataType::Float32 => f32::from_ne_bytes(low(bytes)).to_string(),
            DataType::Float64 => f64::from_ne_bytes(low(bytes)).to_string(),
            DataType::Int8 => i8::from_ne_bytes(low(bytes)).to_string(),
            DataType::Int16 => i16::from_ne_bytes(low(bytes)).to_string(),
            DataType::Int32 => i32::from_ne_bytes(low(bytes)).to_string(),
            DataType::Int64 => i64::from_ne_bytes(low(bytes)).to_string(),
            DataType::UInt8 => u8::from_ne_bytes(low(bytes)).to_string(),
            DataType::UInt16 => u16::from_ne_bytes(low(bytes)).to_string(),
            DataType::UInt32 => u32::from_ne_bytes(low(bytes)).to_string(),
            DataType::UInt64 => u64::from_ne_bytes(low(bytes)).to_string(),
        }
    }
}

/// The first `N` bytes; the caller made sure that they are there.
fn low<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[..N]);
    array
}
