//! Configurations of the bytes-to-bytes codecs. Decoding needs none of them, `inspect` shows them,
//! and a member that is not known could mean another format, so it is refused.

use super::node::{Extension, Node};
use super::{BloscCompressor, BloscShuffle, BytesToBytes, ZarrError};

impl BytesToBytes {
    /// Reads one of `zstd`, `blosc`, `gzip`, `crc32c`; the caller looked at the name.
    pub(crate) fn read(item: &Node<'_>, extension: &Extension<'_>) -> Result<Self, ZarrError> {
        match extension.name {
            "crc32c" => extension.unconfigured().map(|()| Self::Crc32c),
            "gzip" => read_gzip(&extension.configured(item)?),
            "blosc" => read_blosc(&extension.configured(item)?),
            _ => read_zstd(&extension.configured(item)?),
        }
    }
}

/// Levels are those of libzstd. `checksum` is missing where numcodecs before 0.13 wrote the document.
fn read_zstd(configuration: &Node<'_>) -> Result<BytesToBytes, ZarrError> {
    configuration.only(&["level", "checksum"])?;
    let level = configuration.required("level")?.integer(-131_072, 22)? as i32;
    let checksum = match configuration.optional("checksum")? {
        Some(checksum) => checksum.boolean()?,
        None => false,
    };
    Ok(BytesToBytes::Zstd { level, checksum })
}

fn read_gzip(configuration: &Node<'_>) -> Result<BytesToBytes, ZarrError> {
    configuration.only(&["level"])?;
    Ok(BytesToBytes::Gzip { level: configuration.required("level")?.integer(0, 9)? as u8 })
}

fn read_blosc(configuration: &Node<'_>) -> Result<BytesToBytes, ZarrError> {
    configuration.only(&["cname", "clevel", "shuffle", "typesize", "blocksize"])?;
    let compressor = read_compressor(&configuration.required("cname")?)?;
    let level = configuration.required("clevel")?.integer(0, 9)? as u8;
    let shuffle = match configuration.optional("shuffle")? {
        Some(shuffle) => read_shuffle(&shuffle)?,
        None => BloscShuffle::None,
    };
    // The specification asks for the type size only where something is shuffled.
    let typesize = match (configuration.optional("typesize")?, shuffle) {
        (None, BloscShuffle::None) => 1,
        _ => configuration.required("typesize")?.integer(1, u32::MAX.into())? as usize,
    };
    let blocksize = match configuration.optional("blocksize")? {
        Some(blocksize) => blocksize.integer(0, u32::MAX.into())? as usize,
        None => 0,
    };
    Ok(BytesToBytes::Blosc { compressor, level, shuffle, typesize, blocksize })
}

fn read_compressor(node: &Node<'_>) -> Result<BloscCompressor, ZarrError> {
    Ok(match node.string()? {
        "blosclz" => BloscCompressor::Blosclz,
        "lz4" => BloscCompressor::Lz4,
        "lz4hc" => BloscCompressor::Lz4hc,
        "snappy" => BloscCompressor::Snappy,
        "zlib" => BloscCompressor::Zlib,
        "zstd" => BloscCompressor::Zstd,
        _ => return Err(node.unexpected("blosclz, lz4, lz4hc, snappy, zlib or zstd")),
    })
}

fn read_shuffle(node: &Node<'_>) -> Result<BloscShuffle, ZarrError> {
    Ok(match node.string()? {
        "noshuffle" => BloscShuffle::None,
        "shuffle" => BloscShuffle::Byte,
        "bitshuffle" => BloscShuffle::Bit,
        _ => return Err(node.unexpected("noshuffle, shuffle or bitshuffle")),
    })
}
