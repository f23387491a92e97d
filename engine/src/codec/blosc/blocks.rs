//! The blocks of a container: which are needed, and their streams.

use std::ops::Range;

use super::header::{Filter, Format, HEADER, Header};
use super::{CODEC, bitshuffle, blosclz, lz4, shuffle};
use crate::codec::coverage::push_range;
use crate::codec::scratch::{Engines, at_least};
use crate::codec::{CodecError, Coverage, Wanted};

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
    let header = Header::parse(container)?;
    CodecError::check_length(header.nbytes, out.len())?;
    if header.memcpyed {
        return copy_payload(container, out, wanted);
    }
    let starts = block_starts(container, &header)?;
    let Some(wanted) = wanted else {
        for number in 0..header.blocks() {
            decode_block(container, &header, starts, number, out, engines)?;
        }
        return Ok(Coverage::Full);
    };
    let mut covered = Vec::new();
    let mut next = 0;
    for range in wanted {
        // A block that the range before this one touched is not decoded again.
        let first = (range.start / header.blocksize).max(next);
        next = range.end.div_ceil(header.blocksize).max(next);
        for number in first..next {
            decode_block(container, &header, starts, number, out, engines)?;
            push_range(&mut covered, block_range(&header, number));
        }
    }
    Ok(Coverage::of(covered, out.len()))
}

/// The payload of a memcpyed container stands right behind the header, never shuffled, whatever the flags say.
fn copy_payload(container: &[u8], out: &mut [u8], wanted: Option<Wanted<'_>>) -> Result<Coverage, CodecError> {
    let payload = &container[HEADER..];
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

fn block_starts<'a>(container: &'a [u8], header: &Header) -> Result<&'a [[u8; 4]], CodecError> {
    let end = HEADER.saturating_add(header.blocks().saturating_mul(4));
    let Some(starts) = container.get(HEADER..end) else {
        let reason = format!("{} blocks, their starts do not fit in {} bytes", header.blocks(), container.len());
        return Err(CodecError::corrupt(CODEC, reason));
    };
    Ok(starts.as_chunks().0)
}

fn block_range(header: &Header, number: usize) -> Range<usize> {
    let start = number * header.blocksize;
    start..(start + header.blocksize).min(header.nbytes)
}

fn decode_block(
    container: &[u8],
    header: &Header,
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

fn decode_block_at(container: &[u8], header: &Header, start: usize, target: &mut [u8], engines: &mut Engines) -> Result<(), String> {
    let mut rest = container.get(start..).ok_or("starts behind the container's end")?;
    if header.filter == Filter::None {
        return decode_streams(&mut rest, header, target, engines);
    }
    // Taken out, so that the decompressors can be borrowed beside it.
    let mut buffer = std::mem::take(&mut engines.blosc.shuffled);
    let mut peek = rest;
    let stream = next_stream(&mut peek).ok().filter(|stream| stream.len() == target.len() && header.splits(target.len()) == 1);
    let result = match stream {
        // A raw block needs no copy: its shuffle is undone on the way.
        Some(raw) => Ok(raw),
        None => {
            let shuffled = at_least(&mut buffer, target.len());
            decode_streams(&mut rest, header, shuffled, engines).map(|()| &*shuffled)
        }
    };
    let result = result.map(|shuffled| match header.filter {
        Filter::Bit => bitshuffle::undo(header.typesize, shuffled, target, &mut engines.blosc.half),
        _ => shuffle::undo(header.typesize, shuffled, target),
    });
    engines.blosc.shuffled = buffer;
    result
}

/// Decodes the streams of one block into `target`.
fn decode_streams(rest: &mut &[u8], header: &Header, target: &mut [u8], engines: &mut Engines) -> Result<(), String> {
    let len = target.len() / header.splits(target.len());
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

fn decompress(format: Format, stream: &[u8], out: &mut [u8], engines: &mut Engines) -> Result<usize, String> {
    match format {
        Format::Zstd => engines.zstd.decode(stream, out).map_err(|error| error.to_string()),
        Format::Lz4 => lz4::decode(stream, out),
        Format::Snappy => engines.blosc.snappy.0.decompress(stream, out).map_err(|error| format!("snappy: {error}")),
        Format::Zlib => engines.inflater.decode_zlib(stream, out),
        Format::Blosclz => blosclz::decode(stream, out),
    }
}
