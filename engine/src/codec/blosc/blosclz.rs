//! BloscLZ, the FastLZ descendant of c-blosc. Format: `blosclz_decompress` in `blosclz.c` of c-blosc 1.21.
//!
//! A control byte below 32 is a run of `control + 1` literals. Any other is a match: length in its upper three bits (7 goes on
//! in further bytes, 255 at a time), distance in its lower five bits and the next byte; distance bits all ones mean that a
//! 16-bit distance follows, counted from [`MAX_DISTANCE`]. The upper bits of the very first control byte are a version.

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
            let literals = reader.take(control as usize + 1)?;
            let room = out.get_mut(made..made + literals.len()).ok_or_else(|| full(made))?;
            room.copy_from_slice(literals);
            made += literals.len();
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

fn full(made: usize) -> String {
    format!("blosclz stream makes more than fits, after {made} bytes")
}

/// Copies `length` bytes from `distance` before `at` to `at`; what was just written may be read again.
fn copy_match(out: &mut [u8], at: usize, distance: usize, length: usize) -> Result<(), String> {
    let end = at.checked_add(length).filter(|&end| end <= out.len()).ok_or_else(|| full(at))?;
    let from = at.checked_sub(distance).ok_or_else(|| format!("blosclz match {distance} bytes before byte {at}"))?;
    if distance == 1 {
        let byte = out[from];
        out[at..end].fill(byte);
    } else if distance >= length {
        out.copy_within(from..from + length, at);
    } else {
        // What lies between `from` and the write position repeats with period `distance`, and doubles with every copy.
        let mut written = at;
        while written < end {
            let piece = (written - from).min(end - written);
            out.copy_within(from..from + piece, written);
            written += piece;
        }
    }
    Ok(())
}
