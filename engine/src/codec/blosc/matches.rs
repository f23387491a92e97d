//! Copying matches: what LZ4 and BloscLZ have in common.

/// Bytes copied at once where both sides have room for them.
const WIDE: usize = 16;

/// Copies `length` bytes from `distance` before `at` to `at`; what was just written may be read again. Bytes of `out` behind
/// the match may be overwritten too.
#[inline]
pub(super) fn copy_match(out: &mut [u8], at: usize, distance: usize, length: usize) -> Result<(), String> {
    let Some(end) = at.checked_add(length).filter(|&end| end <= out.len()) else {
        return Err(format!("a match of {length} bytes at byte {at} of {}", out.len()));
    };
    let Some(from) = at.checked_sub(distance).filter(|&from| from < at) else {
        return Err(format!("a match {distance} bytes before byte {at}"));
    };
    if distance >= WIDE && out.len() - end >= WIDE {
        for step in (0..length).step_by(WIDE) {
            copy_wide(out, from + step, at + step);
        }
    } else if distance == 1 {
        let byte = out[from];
        out[at..end].fill(byte);
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

#[inline]
fn copy_wide(out: &mut [u8], from: usize, to: usize) {
    let mut bytes = [0; WIDE];
    bytes.copy_from_slice(&out[from..from + WIDE]);
    out[to..to + WIDE].copy_from_slice(&bytes);
}

/// Copies `length` literals from `input[from..]` to `out[at..]`; bytes of `out` behind them may be overwritten too.
#[inline]
pub(super) fn copy_literals(input: &[u8], from: usize, out: &mut [u8], at: usize, length: usize) -> Result<(), String> {
    let wide = |len: usize, start: usize| len.checked_sub(start).is_some_and(|room| room >= WIDE);
    if length <= WIDE && wide(input.len(), from) && wide(out.len(), at) {
        out[at..at + WIDE].copy_from_slice(&input[from..from + WIDE]);
        return Ok(());
    }
    let literals = from.checked_add(length).and_then(|end| input.get(from..end));
    let literals = literals.ok_or_else(|| format!("{length} literals at byte {from} of a stream of {}", input.len()))?;
    let target = at.checked_add(length).and_then(|end| out.get_mut(at..end));
    let Some(target) = target else { return Err(format!("{length} literals for byte {at} of a block")) };
    target.copy_from_slice(literals);
    Ok(())
}
