//! A codec chain, compiled.

use super::coverage::grow_to_units;
use super::scratch::{Engines, at_least};
use super::shard::ShardDecoder;
use super::strides::layout;
use super::{CodecError, Coverage, Scratch, Wanted, blosc, checksum, swap};
use crate::zarr::{ArrayToBytes, Axes, BytesToBytes, CodecChain, DataType, Endian, FillValue};

/// Most shards within shards, and most bytes-to-bytes codecs in a row. Real arrays have two and three.
const MAX_DEPTH: usize = 4;
const MAX_STAGES: usize = 8;

/// Decodes the chunks of one array.
#[derive(Debug)]
pub struct ChunkDecoder {
    decoded_len: usize,
    strides: Axes<usize>,
    body: Body,
    /// Bytes to bytes, in encoding order: the last one is decoded first.
    stages: Vec<Stage>,
    max_encoded_len: usize,
}

/// What the array-to-bytes codec asks for.
#[derive(Debug)]
enum Body {
    /// Elements in C order, their units to be swapped where `swap_unit` is not 1.
    Elements { swap_unit: usize },
    /// A shard inside the chunk.
    Shard(Box<ShardDecoder>),
}

/// One bytes-to-bytes codec.
#[derive(Clone, Copy, Debug)]
struct Stage {
    kind: Kind,
    /// Most bytes that it may decode to: what the stage before it can honestly have made.
    limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Zstd,
    Blosc,
    Gzip,
    Crc32c,
}

impl ChunkDecoder {
    /// Compiles `chain` for chunks of `shape` (elements, in the array's axis order).
    ///
    /// # Errors
    /// `Unsupported` names the codec, or the shape that does not fit.
    pub fn compile(chain: &CodecChain, shape: &[u64], data_type: DataType, fill_value: FillValue) -> Result<Self, CodecError> {
        Self::compile_at(chain, shape, data_type, fill_value, 0)
    }

    /// [`Self::compile`] inside `depth` shards.
    pub(super) fn compile_at(
        chain: &CodecChain,
        shape: &[u64],
        data_type: DataType,
        fill_value: FillValue,
        depth: usize,
    ) -> Result<Self, CodecError> {
        if depth > MAX_DEPTH {
            return Err(CodecError::Unsupported(format!("sharding_indexed nested more than {MAX_DEPTH} deep")));
        }
        if chain.bytes_to_bytes.len() > MAX_STAGES {
            let found = chain.bytes_to_bytes.len();
            return Err(CodecError::Unsupported(format!("{found} bytes-to-bytes codecs in a row, the limit is {MAX_STAGES}")));
        }
        if fill_value.as_ne_bytes().len() != data_type.size() {
            let found = fill_value.as_ne_bytes().len();
            return Err(CodecError::Unsupported(format!("a fill value of {found} bytes for {}", data_type.name())));
        }
        let layout = layout(shape, &chain.array_to_array)?;
        // A slice is never longer than isize::MAX.
        let decoded_len = layout.elements.checked_mul(data_type.size()).filter(|&len| isize::try_from(len).is_ok());
        let Some(decoded_len) = decoded_len else {
            return Err(CodecError::Unsupported(format!("chunk of shape {shape:?}: too many bytes for this machine")));
        };
        let (body, mut limit) = match &chain.array_to_bytes {
            ArrayToBytes::Bytes(endian) => (Body::Elements { swap_unit: swap_unit(*endian, data_type) }, decoded_len),
            ArrayToBytes::Sharding(sharding) => {
                let shard = ShardDecoder::compile(sharding, &layout, data_type, fill_value, depth)?;
                let largest = shard.max_encoded();
                (Body::Shard(Box::new(shard)), largest)
            }
        };
        let stages = chain.bytes_to_bytes.iter().map(|codec| {
            let stage = Stage { kind: Kind::of(codec), limit };
            limit = stage.kind.max_encoded(limit);
            stage
        });
        Ok(Self { decoded_len, strides: layout.strides, body, stages: stages.collect(), max_encoded_len: limit })
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
    ///
    /// Exact for chains that do not compress; for the others an eighth more than what they decode to, and 4 KiB.
    pub fn max_encoded_len(&self) -> usize {
        self.max_encoded_len
    }

    /// True when the stored bytes are the decoded bytes (`bytes` in native order and nothing else):
    /// the caller may read straight into the output, and read only what is wanted.
    pub fn is_identity(&self) -> bool {
        self.stages.is_empty() && matches!(self.body, Body::Elements { swap_unit: 1 })
    }

    /// True when [`Self::decode`] may decode less than everything if told what is wanted: chunks whose first bytes-to-bytes
    /// codec is `zstd` (a prefix) or `blosc` (blocks), and chunks that are not compressed.
    pub fn can_decode_parts(&self) -> bool {
        let elements = matches!(self.body, Body::Elements { .. });
        elements && self.stages.first().is_none_or(|stage| matches!(stage.kind, Kind::Zstd | Kind::Blosc))
    }

    /// Decodes `encoded` into `out` (exactly [`Self::decoded_len`] bytes, possibly uninitialised rubbish before).
    /// With `wanted`, bytes outside may be left as they were or overwritten with rubbish; the answer says which bytes are good.
    ///
    /// A part of a chunk is verified as far as it is decoded: lengths and checksums of what lies behind it (a zstd frame's
    /// own checksum included) are not. A `crc32c` codec is always verified.
    ///
    /// # Errors
    /// Any stored bytes yield an error or the right answer; `out` is unspecified after an error.
    ///
    /// # Panics
    /// If `out` has another length, or `wanted` leaves it: a mistake of the caller, whatever the stored bytes are.
    pub fn decode(
        &self,
        encoded: &[u8],
        out: &mut [u8],
        wanted: Option<Wanted<'_>>,
        scratch: &mut Scratch,
    ) -> Result<Coverage, CodecError> {
        assert_eq!(out.len(), self.decoded_len, "the output must have the chunk's decoded length");
        // Taken out of the scratch, so that the engines in it can be borrowed beside them.
        let mut buffers = std::mem::take(&mut scratch.stages);
        let result = self.decode_stages(encoded, out, wanted, &mut buffers, scratch);
        scratch.stages = buffers;
        result
    }

    fn decode_stages(
        &self,
        encoded: &[u8],
        out: &mut [u8],
        wanted: Option<Wanted<'_>>,
        buffers: &mut [Vec<u8>; 2],
        scratch: &mut Scratch,
    ) -> Result<Coverage, CodecError> {
        let (mut stored, mut made) = (encoded, None);
        let [front, back] = buffers;
        let direct = usize::from(matches!(self.body, Body::Elements { .. }));
        for (number, stage) in self.stages.iter().enumerate().skip(direct).rev() {
            let input = made.map_or(stored, |len| &front[..len]);
            if stage.kind == Kind::Crc32c {
                let len = checksum::verify(input)?.len();
                match &mut made {
                    Some(made) => *made = len,
                    None => stored = &stored[..len],
                }
                continue;
            }
            let decoded = stage.kind.decode(input, at_least(back, stage.limit), &mut scratch.engines);
            made = Some(decoded.map_err(|error| self.between_stages(number, error))?);
            std::mem::swap(front, back);
        }
        let input = made.map_or(stored, |len| &front[..len]);
        match &self.body {
            Body::Elements { swap_unit } => self.decode_elements(input, out, wanted, *swap_unit, &mut scratch.engines),
            Body::Shard(shard) => shard.decode(input, out, scratch).map(|()| Coverage::Full),
        }
    }

    /// What stage `number` says of lengths, said of the chunk where that is known, else of the stage before it.
    fn between_stages(&self, number: usize, error: CodecError) -> CodecError {
        let CodecError::Length { observed, expected } = error else { return error };
        let before = &self.stages[..number];
        if matches!(self.body, Body::Elements { .. }) && before.iter().all(|stage| stage.kind == Kind::Crc32c) {
            let suffixes = (before.len() * checksum::SUFFIX) as u64;
            return CodecError::Length { observed: observed.saturating_sub(suffixes), expected: expected - suffixes };
        }
        let reason = format!("makes {observed} bytes or more, the codec before it in the chain makes at most {expected}");
        CodecError::corrupt(self.stages[number].kind.name(), reason)
    }

    /// The stage that is decoded last, straight into `out`, and the byte order.
    fn decode_elements(
        &self,
        input: &[u8],
        out: &mut [u8],
        wanted: Option<Wanted<'_>>,
        swap_unit: usize,
        engines: &mut Engines,
    ) -> Result<Coverage, CodecError> {
        let grown = wanted.map(|wanted| grow_to_units(wanted, swap_unit, out.len()));
        let wanted = grown.as_deref();
        let coverage = match (self.stages.first().map(|stage| stage.kind), wanted) {
            (None, _) => copy(input, out, wanted)?,
            (Some(Kind::Crc32c), _) => copy(checksum::verify(input)?, out, wanted)?,
            (Some(Kind::Blosc), _) => blosc::decode(input, out, wanted, engines)?,
            (Some(Kind::Zstd), Some(wanted)) => {
                let end = wanted.last().map_or(0, |range| range.end);
                let made = decode_zstd_prefix(input, out, end, engines)?;
                Coverage::of(std::iter::once(0..made).collect(), out.len())
            }
            (Some(kind), _) => {
                CodecError::check_length(kind.decode(input, out, engines)?, out.len())?;
                Coverage::Full
            }
        };
        Ok(if swap_unit > 1 { swap_covered(out, coverage, swap_unit) } else { coverage })
    }
}

/// Below this many bytes left over, decoding the whole chunk at once is cheaper than decoding block by block: a zstd block
/// has at most 128 KiB, so little would be left out.
const ZSTD_PREFIX_MARGIN: usize = 64 << 10;

fn decode_zstd_prefix(input: &[u8], out: &mut [u8], end: usize, engines: &mut Engines) -> Result<usize, CodecError> {
    if end + ZSTD_PREFIX_MARGIN < out.len() {
        return engines.zstd.decode_prefix(input, out, end);
    }
    let made = engines.zstd.decode(input, out)?;
    CodecError::check_length(made, out.len())?;
    Ok(made)
}

/// Stored elements, as they are.
fn copy(stored: &[u8], out: &mut [u8], wanted: Option<Wanted<'_>>) -> Result<Coverage, CodecError> {
    CodecError::check_length(stored.len(), out.len())?;
    let Some(wanted) = wanted else {
        out.copy_from_slice(stored);
        return Ok(Coverage::Full);
    };
    for range in wanted {
        out[range.clone()].copy_from_slice(&stored[range.clone()]);
    }
    Ok(Coverage::of(wanted.to_vec(), out.len()))
}

/// Swaps the whole units of what is covered; answers those. The end of a zstd or blosc block need not be the end of a unit, but
/// wanted ranges were grown to whole units, so nothing that is wanted is cut off.
fn swap_covered(out: &mut [u8], coverage: Coverage, unit: usize) -> Coverage {
    let Coverage::Ranges(mut ranges) = coverage else {
        swap::swap_units(out, unit);
        return Coverage::Full;
    };
    for range in &mut ranges {
        *range = range.start.next_multiple_of(unit)..range.end - range.end % unit;
    }
    ranges.retain(|range| !range.is_empty());
    for range in &ranges {
        swap::swap_units(&mut out[range.clone()], unit);
    }
    Coverage::Ranges(ranges)
}

/// Bytes of the unit to swap; 1 where the stored order is the machine's.
fn swap_unit(stored: Endian, data_type: DataType) -> usize {
    let native = if cfg!(target_endian = "big") { Endian::Big } else { Endian::Little };
    if stored == native { 1 } else { data_type.swap_unit() }
}

impl Kind {
    fn of(codec: &BytesToBytes) -> Self {
        match codec {
            BytesToBytes::Zstd { .. } => Self::Zstd,
            BytesToBytes::Blosc { .. } => Self::Blosc,
            BytesToBytes::Gzip { .. } => Self::Gzip,
            BytesToBytes::Crc32c => Self::Crc32c,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Blosc => "blosc",
            Self::Gzip => "gzip",
            Self::Crc32c => "crc32c",
        }
    }

    /// Decodes all of `input` into the front of `out`; answers how many bytes it made.
    fn decode(self, input: &[u8], out: &mut [u8], engines: &mut Engines) -> Result<usize, CodecError> {
        match self {
            Self::Zstd => engines.zstd.decode(input, out),
            Self::Gzip => engines.inflater.decode_gzip(input, out),
            Self::Blosc => {
                let (len, room) = (blosc::decoded_len(input)?, out.len());
                let target = out.get_mut(..len).ok_or_else(|| CodecError::length(len, room))?;
                blosc::decode(input, target, None, engines)?;
                Ok(len)
            }
            Self::Crc32c => {
                let (payload, room) = (checksum::verify(input)?, out.len());
                out.get_mut(..payload.len()).ok_or_else(|| CodecError::length(payload.len(), room))?.copy_from_slice(payload);
                Ok(payload.len())
            }
        }
    }

    /// Largest length that an honest encoder makes of `decoded` bytes. The compressors' own bounds are n + n / 256 + 64 (zstd),
    /// n + 16 (blosc) and n + n / 1000 + 20 (gzip); the rest is room for encoders that flush often or write several frames.
    fn max_encoded(self, decoded: usize) -> usize {
        match self {
            Self::Zstd | Self::Gzip | Self::Blosc => decoded.saturating_add(decoded / 8).saturating_add(4096),
            Self::Crc32c => decoded.saturating_add(checksum::SUFFIX),
        }
    }
}
