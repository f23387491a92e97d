//! `crc32c`: the payload, then its CRC-32C (Castagnoli), four bytes little-endian.

use super::CodecError;

/// Bytes that the codec adds.
pub(super) const SUFFIX: usize = 4;

/// The payload, once its checksum is verified.
pub(super) fn verify(encoded: &[u8]) -> Result<&[u8], CodecError> {
    let Some((payload, suffix)) = encoded.split_last_chunk::<SUFFIX>() else {
        return Err(CodecError::corrupt("crc32c", format!("{} bytes stored, at least {SUFFIX} needed", encoded.len())));
    };
    let (stored, computed) = (u32::from_le_bytes(*suffix), crc32c::crc32c(payload));
    if stored != computed {
        let reason = format!("checksum of {} bytes is {computed:#010x}, {stored:#010x} is stored", payload.len());
        return Err(CodecError::corrupt("crc32c", reason));
    }
    Ok(payload)
}
