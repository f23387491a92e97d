//! BloscLZ, the FastLZ descendant of c-blosc. Format: `blosclz_decompress` in `blosclz.c` of c-blosc 1.21.
//!
//! A control byte below 32 is a run of `control + 1` literals. Any other is a match: length in its upper three bits (7 goes on
//! in further bytes, 255 at a time), distance in its lower five bits and the next byte; distance bits all ones mean that a
//! 16-bit distance follows, counted from [`MAX_DISTANCE`]. The upper bits of the very first control byte are a version.

use super::matches::{copy_literals, copy_match};

const MAX_DISTANCE: usize = 8191;

/// Decodes `input` into `out`; answers how many bytes it made.
pub(super) fn decode(input: &[u8], out: &mut [u8]) -> Result<usize, String> {
    let mut reader = Reader { input, at: 0 };
    let mut made = 0;
    let mut control = reader.byte()? & 31;
    loop {
        if control >= 32 {
            let (length, distance) = reader.match_of(control)?;
            copy_match(out, made, distance, length)?;
            made += length;
        } else {
            let literals = control as usize + 1;
            copy_literals(input, reader.at, out, made, literals)?;
            reader.at += literals;
            made += literals;
        }
        if reader.at == input.len() {
            return Ok(made);
        }
        control = reader.byte()?;
    }
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, String> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let bytes = self.input.get(self.at..self.at + len);
        let bytes = bytes.ok_or_else(|| format!("blosclz stream ends at byte {}", self.input.len()))?;
        self.at += len;
        Ok(bytes)
    }

    /// Length and distance of the match that begins with `control`.
    fn match_of(&mut self, control: u8) -> Result<(usize, usize), String> {
        let mut length = (control >> 5) as usize + 2;
        let high = ((control & 31) as usize) << 8;
        if length == 9 {
            loop {
                let more = self.byte()?;
                length += more as usize;
                if more != 255 {
                    break;
                }
            }
        }
        let low = self.byte()? as usize;
        if low == 255 && high == 31 << 8 {
            let far = self.take(2)?;
            return Ok((length, u16::from_be_bytes([far[0], far[1]]) as usize + MAX_DISTANCE + 1));
        }
        Ok((length, high + low + 1))
    }
}
