//! LZ4 blocks. Format: `lz4_Block_format.md` of lz4 1.10.
//!
//! Our own decoder, because what shuffles leave is mostly runs, and lz4_flex copies those byte by byte (12 to 18 times slower
//! than liblz4 on shuffled images).

use super::matches::{copy_literals, copy_match};

/// Decodes one block into `out`; answers how many bytes it made.
///
/// A token has the number of literals in its upper four bits and the match's length less 4 in its lower four; 15 goes on in
/// further bytes, 255 at a time. The literals follow, then the match's distance (u16, little-endian). The last sequence of a
/// block ends behind its literals.
pub(super) fn decode(input: &[u8], out: &mut [u8]) -> Result<usize, String> {
    let (mut at, mut made) = (0, 0);
    loop {
        let token = *input.get(at).ok_or_else(|| cut_off(at))? as usize;
        at += 1;
        let literals = length(input, &mut at, token >> 4)?;
        copy_literals(input, at, out, made, literals)?;
        at += literals;
        made += literals;
        if at == input.len() {
            return Ok(made);
        }
        let distance = input.get(at..at + 2).ok_or_else(|| cut_off(at))?;
        let distance = u16::from_le_bytes([distance[0], distance[1]]) as usize;
        at += 2;
        let matched = length(input, &mut at, token & 15)? + 4;
        copy_match(out, made, distance, matched)?;
        made += matched;
    }
}

/// A length of four bits, and the bytes that go on from 15.
#[inline]
fn length(input: &[u8], at: &mut usize, nibble: usize) -> Result<usize, String> {
    let mut length = nibble;
    if nibble == 15 {
        loop {
            let more = *input.get(*at).ok_or_else(|| cut_off(*at))?;
            *at += 1;
            length += more as usize;
            if more != 255 {
                break;
            }
        }
    }
    Ok(length)
}

fn cut_off(at: usize) -> String {
    format!("lz4 block is cut off at byte {at}")
}
