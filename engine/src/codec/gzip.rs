//! `gzip` (RFC 1952): members one after another, each a header, a deflate stream, CRC-32 and length. And the bare zlib streams
//! of blosc blocks. zlib-rs inflates, from slice to slice, with one state that is reused.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::CodecError;

const CODEC: &str = "gzip";

/// Inflate states, made on first use.
#[derive(Debug, Default)]
pub(super) struct Inflater {
    raw: Option<Box<Decompress>>,
    zlib: Option<Box<Decompress>>,
}

/// How a deflate stream ended.
struct Inflated {
    used: usize,
    made: usize,
}

enum InflateError {
    /// The output is full and the stream goes on.
    Full,
    /// The stream is cut off or corrupt.
    Bad(String),
}

impl Inflater {
    /// Decodes all members of `encoded` into `out`; answers how many bytes they made.
    pub(super) fn decode_gzip(&mut self, encoded: &[u8], out: &mut [u8]) -> Result<usize, CodecError> {
        let state = self.raw.get_or_insert_with(|| Box::new(Decompress::new(false)));
        let (mut input, mut done) = (encoded, 0);
        loop {
            let body = skip_header(input)?;
            let room = out.len() - done;
            let member = inflate(state, false, body, &mut out[done..]).map_err(|error| match error {
                InflateError::Full => CodecError::length(done + room + 1, done + room),
                InflateError::Bad(reason) => CodecError::corrupt(CODEC, reason),
            })?;
            let bytes = &out[done..done + member.made];
            input = check_trailer(&body[member.used..], bytes)?;
            done += member.made;
            // Some writers pad with zeros to a block of their medium; they are no member.
            if input.iter().all(|&byte| byte == 0) {
                return Ok(done);
            }
        }
    }

    /// Decodes one zlib stream (RFC 1950), which must fill `out`.
    pub(super) fn decode_zlib(&mut self, encoded: &[u8], out: &mut [u8]) -> Result<usize, String> {
        let state = self.zlib.get_or_insert_with(|| Box::new(Decompress::new(true)));
        match inflate(state, true, encoded, out) {
            Ok(inflated) => Ok(inflated.made),
            Err(InflateError::Full) => Err(format!("zlib stream makes more than {} bytes", out.len())),
            Err(InflateError::Bad(reason)) => Err(reason),
        }
    }
}

fn inflate(state: &mut Decompress, zlib_header: bool, input: &[u8], out: &mut [u8]) -> Result<Inflated, InflateError> {
    state.reset(zlib_header);
    let status = state.decompress(input, out, FlushDecompress::Finish);
    let (used, made) = (state.total_in() as usize, state.total_out() as usize);
    match status {
        Ok(Status::StreamEnd) => Ok(Inflated { used, made }),
        Ok(Status::Ok | Status::BufError) if made == out.len() && used < input.len() => Err(InflateError::Full),
        Ok(Status::Ok | Status::BufError) => {
            Err(InflateError::Bad(format!("deflate stream is cut off after {used} bytes, which make {made}")))
        }
        Err(error) => Err(InflateError::Bad(format!("at byte {used}: {error}"))),
    }
}

/// What follows a member's header.
fn skip_header(member: &[u8]) -> Result<&[u8], CodecError> {
    const FHCRC: u8 = 2;
    const FEXTRA: u8 = 4;
    const FNAME: u8 = 8;
    const FCOMMENT: u8 = 16;
    let truncated = || CodecError::corrupt(CODEC, format!("truncated header: {} bytes left", member.len()));
    let (fixed, mut rest) = member.split_first_chunk::<10>().ok_or_else(truncated)?;
    let [id1, id2, method, flags, ..] = *fixed;
    if (id1, id2, method) != (0x1f, 0x8b, 8) || flags & 0xe0 != 0 {
        return Err(CodecError::corrupt(CODEC, format!("no gzip header: {fixed:02x?}")));
    }
    if flags & FEXTRA != 0 {
        let (len, after) = rest.split_first_chunk::<2>().ok_or_else(truncated)?;
        rest = after.get(u16::from_le_bytes(*len) as usize..).ok_or_else(truncated)?;
    }
    for flag in [FNAME, FCOMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|&byte| byte == 0).ok_or_else(truncated)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & FHCRC != 0 {
        rest = rest.get(2..).ok_or_else(truncated)?;
    }
    Ok(rest)
}

/// What follows a member's trailer, once CRC-32 and length of `decoded` are verified.
fn check_trailer<'a>(after_stream: &'a [u8], decoded: &[u8]) -> Result<&'a [u8], CodecError> {
    let Some((trailer, rest)) = after_stream.split_first_chunk::<8>() else {
        return Err(CodecError::corrupt(CODEC, format!("truncated trailer: {} bytes left", after_stream.len())));
    };
    let [c0, c1, c2, c3, l0, l1, l2, l3] = *trailer;
    let mut crc = Crc::new();
    crc.update(decoded);
    let (stored, computed) = (u32::from_le_bytes([c0, c1, c2, c3]), crc.sum());
    if stored != computed {
        return Err(CodecError::corrupt(CODEC, format!("checksum is {computed:#010x}, {stored:#010x} is stored")));
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    if length != decoded.len() as u32 {
        return Err(CodecError::corrupt(CODEC, format!("length modulo 2^32 is {}, {length} is stored", decoded.len() as u32)));
    }
    Ok(rest)
}
