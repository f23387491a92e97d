//! The blocks of a container: which are needed, and their streams.

use std::ops::Range;

use super::{CODEC, bitshuffle, blosclz, lz4, shuffle};
use crate::codec::coverage::push_range;
use crate::codec::scratch::{Engines, at_least};
use crate::codec::{CodecError, Coverage, Wanted};
use crate::zarr::{BLOSC_HEADER_BYTES, BloscExpectation, BloscFormat, BloscHeader, BloscShuffle, ZarrError};

/// Buffers of one block each.
#[derive(Debug, Default)]
pub(in crate::codec) struct BlockBuffers {
    /// A block as it was before its shuffle was undone.
    shuffled: Vec<u8>,
    /// Half way through undoing a bit shuffle.
    half: Vec<u8>,
    snappy: SnappyDecoder,
}

/// `snap`'s decoder has no `Debug`.
#[derive(Default)]
struct SnappyDecoder(snap::raw::Decoder);

impl std::fmt::Debug for SnappyDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SnappyDecoder")
    }
}

/// The header of `container`, which must be the whole container and nothing else.
fn header(container: &[u8]) -> Result<BloscHeader, CodecError> {
    let expected = BloscExpectation { decoded_bytes: None, stored_bytes: Some(container.len() as u64), max_substreams: u32::MAX };
    BloscHeader::parse(container, expected).map_err(|error| match error {
        ZarrError::Header(reason) => CodecError::corrupt(CODEC, reason),
        other => CodecError::corrupt(CODEC, other.to_string()),
    })
}

/// Decoded length that the container says it has, bytes.
pub(in crate::codec) fn decoded_len(container: &[u8]) -> Result<usize, CodecError> {
    Ok(header(container)?.nbytes as usize)
}

/// Decodes `container` into `out`, or only the blocks that `wanted` touches.
///
/// # Errors
/// `Length` where the container is of another length than `out`; `Corrupt` for anything that c-blosc does not write.
pub(in crate::codec) fn decode(
    container: &[u8],
    out: &mut [u8],
    wanted: Option<Wanted<'_>>,
    engines: &mut Engines,
) -> Result<Coverage, CodecError> {
    let header = header(container)?;
    CodecError::check_length(header.nbytes as usize, out.len())?;
    if header.memcpyed {
        return copy_payload(container, out, wanted);
    }
    let starts = block_starts(container, &header)?;
    let Some(wanted) = wanted else {
        for number in 0..header.nblocks() as usize {
            decode_block(container, &header, starts, number, out, engines)?;
        }
        return Ok(Coverage::Full);
    };
    let blocksize = header.blocksize as usize;
    let mut covered = Vec::new();
    let mut next = 0;
    for range in wanted {
        // A block that the range before this one touched is not decoded again.
        let first = (range.start / blocksize).max(next);
        next = range.end.div_ceil(blocksize).max(next);
        for number in first..next {
            decode_block(container, &header, starts, number, out, engines)?;
            push_range(&mut covered, block_range(&header, number));
        }
    }
    Ok(Coverage::of(covered, out.len()))
}

/// The payload of a memcpyed container stands right behind the header, never shuffled, whatever the flags say.
fn copy_payload(container: &[u8], out: &mut [u8], wanted: Option<Wanted<'_>>) -> Result<Coverage, CodecError> {
    let payload = &container[BLOSC_HEADER_BYTES..];
    if payload.len() != out.len() {
        let reason = format!("memcpyed payload of {} bytes, the header says {}", payload.len(), out.len());
        return Err(CodecError::corrupt(CODEC, reason));
    }
    let Some(wanted) = wanted else {
        out.copy_from_slice(payload);
        return Ok(Coverage::Full);
    };
    for range in wanted {
        out[range.clone()].copy_from_slice(&payload[range.clone()]);
    }
    Ok(Coverage::of(wanted.to_vec(), out.len()))
}

fn block_starts<'a>(container: &'a [u8], header: &BloscHeader) -> Result<&'a [[u8; 4]], CodecError> {
    // The header was checked to leave room for them.
    let Some(starts) = container.get(BLOSC_HEADER_BYTES..header.preamble_len() as usize) else {
        let reason = format!("{} blocks, their starts do not fit in {} bytes", header.nblocks(), container.len());
        return Err(CodecError::corrupt(CODEC, reason));
    };
    Ok(starts.as_chunks().0)
}

fn block_range(header: &BloscHeader, number: usize) -> Range<usize> {
    let start = number * header.blocksize as usize;
    start..(start + header.blocksize as usize).min(header.nbytes as usize)
}

fn decode_block(
    container: &[u8],
    header: &BloscHeader,
    starts: &[[u8; 4]],
    number: usize,
    out: &mut [u8],
    engines: &mut Engines,
) -> Result<(), CodecError> {
    let start = u32::from_le_bytes(starts[number]) as usize;
    let target = &mut out[block_range(header, number)];
    let result = decode_block_at(container, header, start, target, engines);
    result.map_err(|reason| CodecError::corrupt(CODEC, format!("block {number} at byte {start}: {reason}")))
}

fn decode_block_at(container: &[u8], header: &BloscHeader, start: usize, target: &mut [u8], engines: &mut Engines) -> Result<(), String> {
    let mut rest = container.get(start..).ok_or("starts behind the container's end")?;
    if header.shuffle == BloscShuffle::None {
        return decode_streams(&mut rest, header, target, engines);
    }
    // Taken out, so that the decompressors can be borrowed beside it.
    let mut buffer = std::mem::take(&mut engines.blosc.shuffled);
    let mut peek = rest;
    let stream = next_stream(&mut peek).ok().filter(|stream| stream.len() == target.len() && streams_of(header, target) == 1);
    let result = match stream {
        // A raw block needs no copy: its shuffle is undone on the way.
        Some(raw) => Ok(raw),
        None => {
            let shuffled = at_least(&mut buffer, target.len());
            decode_streams(&mut rest, header, shuffled, engines).map(|()| &*shuffled)
        }
    };
    let result = result.map(|shuffled| match header.shuffle {
        BloscShuffle::Bit => bitshuffle::undo(header.typesize.into(), shuffled, target, &mut engines.blosc.half),
        _ => shuffle::undo(header.typesize.into(), shuffled, target),
    });
    engines.blosc.shuffled = buffer;
    result
}

fn streams_of(header: &BloscHeader, block: &[u8]) -> usize {
    // Blocks are shorter than 4 GiB: their lengths come from the header.
    header.streams_of(block.len() as u32) as usize
}

/// Decodes the streams of one block into `target`.
fn decode_streams(rest: &mut &[u8], header: &BloscHeader, target: &mut [u8], engines: &mut Engines) -> Result<(), String> {
    let len = target.len() / streams_of(header, target);
    for part in target.chunks_exact_mut(len) {
        let stream = next_stream(rest)?;
        if stream.len() == part.len() {
            part.copy_from_slice(stream);
            continue;
        }
        let made = decompress(header.format, stream, part, engines)?;
        if made != part.len() {
            return Err(format!("stream of {} bytes makes {made} bytes, {} are due", stream.len(), part.len()));
        }
    }
    Ok(())
}

/// The next stream: its length (i32, little-endian), then its bytes.
fn next_stream<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let Some((length, after)) = rest.split_first_chunk::<4>() else {
        return Err(format!("{} bytes left where a stream's length is due", rest.len()));
    };
    let length = i32::from_le_bytes(*length);
    let Some((stream, after)) = usize::try_from(length).ok().and_then(|length| after.split_at_checked(length)) else {
        return Err(format!("stream of {length} bytes, {} are left", after.len()));
    };
    *rest = after;
    Ok(stream)
}

fn decompress(format: BloscFormat, stream: &[u8], out: &mut [u8], engines: &mut Engines) -> Result<usize, String> {
    match format {
        BloscFormat::Zstd => engines.zstd.decode(stream, out).map_err(|error| error.to_string()),
        BloscFormat::Lz4 => lz4::decode(stream, out),
        BloscFormat::Snappy => engines.blosc.snappy.0.decompress(stream, out).map_err(|error| format!("snappy: {error}")),
        BloscFormat::Zlib => engines.inflater.decode_zlib(stream, out),
        BloscFormat::Blosclz => blosclz::decode(stream, out),
    }
}
