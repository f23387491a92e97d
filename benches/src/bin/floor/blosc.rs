//! Blosc containers as the data sets have them: zstd inside, byte shuffle, blocks not split. Format: c-blosc's README_CHUNK_FORMAT.

use std::ops::Range;

use zstd_safe::DCtx;

/// One block before it is unshuffled.
#[derive(Default)]
pub(crate) struct Scratch {
    block: Vec<u8>,
}

const HEADER: usize = 16;
const SHUFFLED: u8 = 1;
const MEMCPYED: u8 = 2;

/// Decodes the blocks that hold any byte of `wanted`; the rest of `out` stays as it was.
pub(crate) fn decode(
    encoded: &[u8],
    out: &mut [u8],
    wanted: Range<usize>,
    zstd: &mut DCtx<'_>,
    scratch: &mut Scratch,
) -> Result<(), String> {
    let (flags, typesize) = (byte(encoded, 2)?, byte(encoded, 3)? as usize);
    let (len, block_len) = (word(encoded, 4)?, word(encoded, 8)?);
    if len != out.len() || block_len == 0 {
        return Err(format!("a container of {len} bytes in blocks of {block_len}, expected {} bytes", out.len()));
    }
    if flags & MEMCPYED != 0 {
        let raw = encoded.get(HEADER + wanted.start..HEADER + wanted.end).ok_or("truncated container")?;
        out[wanted].copy_from_slice(raw);
        return Ok(());
    }
    for block in wanted.start / block_len..wanted.end.div_ceil(block_len) {
        let target = &mut out[block * block_len..len.min((block + 1) * block_len)];
        let start = word(encoded, HEADER + 4 * block)?;
        let stored = word(encoded, start)?;
        let stored = encoded.get(start + 4..start + 4 + stored).ok_or("truncated block")?;
        decode_block(stored, target, flags & SHUFFLED != 0 && typesize > 1, typesize, zstd, scratch)?;
    }
    Ok(())
}

fn decode_block(
    stored: &[u8],
    target: &mut [u8],
    shuffled: bool,
    typesize: usize,
    zstd: &mut DCtx<'_>,
    scratch: &mut Scratch,
) -> Result<(), String> {
    let planes = if shuffled {
        scratch.block.resize(target.len(), 0);
        &mut scratch.block[..]
    } else {
        &mut target[..]
    };
    // A block that did not shrink is stored as it is.
    if stored.len() == planes.len() {
        planes.copy_from_slice(stored);
    } else {
        let written = zstd.decompress(planes, stored).map_err(zstd_safe::get_error_name)?;
        if written != planes.len() {
            return Err(format!("a block decodes to {written} bytes instead of {}", planes.len()));
        }
    }
    if shuffled {
        unshuffle(&scratch.block, target, typesize);
    }
    Ok(())
}

fn unshuffle(planes: &[u8], target: &mut [u8], typesize: usize) {
    let count = target.len() / typesize;
    let (whole, tail) = target.split_at_mut(count * typesize);
    match typesize {
        2 => {
            let (low, high) = (&planes[..count], &planes[count..2 * count]);
            for ((pair, low), high) in whole.chunks_exact_mut(2).zip(low).zip(high) {
                pair.copy_from_slice(&[*low, *high]);
            }
        }
        _ => {
            for (plane, bytes) in planes.chunks_exact(count).take(typesize).enumerate() {
                whole.iter_mut().skip(plane).step_by(typesize).zip(bytes).for_each(|(to, from)| *to = *from);
            }
        }
    }
    tail.copy_from_slice(&planes[count * typesize..]);
}

fn byte(encoded: &[u8], at: usize) -> Result<u8, String> {
    encoded.get(at).copied().ok_or_else(|| "truncated header".to_owned())
}

fn word(encoded: &[u8], at: usize) -> Result<usize, String> {
    let bytes = encoded.get(at..at + 4).ok_or("truncated container")?;
    Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize)
}
