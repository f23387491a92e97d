//! Codec chains: their order, the shapes that pass through them, and sharding, the codec that holds chains itself.

use super::index_format::IndexFormat;
use super::limits::{MAX_CODECS, MAX_EXTENT, MAX_SHARDING_DEPTH};
use super::node::{Extension, Node, quote};
use super::{ArrayToBytes, Axes, BytesToBytes, CodecChain, DataType, Endian, IndexLocation, Sharding, Transpose, ZarrError};

/// Names of the codecs that [`CodecChain::read`] takes.
const NAMES: &str = "transpose, bytes, sharding_indexed, zstd, blosc, gzip, crc32c";

/// What a chain is given to encode.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    /// Extents, elements.
    pub(crate) shape: &'a [u64],
    pub(crate) data_type: DataType,
    /// How many shardings stand around this chain.
    pub(crate) sharding_depth: usize,
}

/// The stage of a chain that a codec belongs to.
enum Codec {
    ArrayToArray(Transpose),
    ArrayToBytes(ArrayToBytes),
    BytesToBytes(BytesToBytes),
}

impl CodecChain {
    /// Reads a list of codecs, checks their order and that each fits what reaches it.
    ///
    /// An unknown codec with `"must_understand": false` is passed over: the specification (3.1, "must_understand") allows the
    /// mark on codecs, and means by it that the bytes read the same without the codec. Any other unknown codec is refused.
    pub(crate) fn read(node: &Node<'_>, input: Input<'_>) -> Result<Self, ZarrError> {
        let items = node.items()?;
        if items.len() > MAX_CODECS {
            return Err(ZarrError::Limit { what: "number of codecs in a chain", observed: items.len() as u64, allowed: MAX_CODECS as u64 });
        }
        let mut array_to_array = Vec::new();
        let mut array_to_bytes = None;
        let mut bytes_to_bytes = Vec::new();
        let mut shape = Axes::from_slice(input.shape);
        for item in items {
            let extension = item.extension()?;
            let misplaced = |kind, why| {
                Err(ZarrError::Malformed(format!(
                    "{}: {} ({kind}) stands {why} the array-to-bytes codec",
                    item.path(),
                    quote(extension.name)
                )))
            };
            match read_codec(&item, &extension, Input { shape: &shape, ..input })? {
                None => {}
                Some(Codec::ArrayToArray(_)) if array_to_bytes.is_some() => return misplaced("array to array", "after"),
                Some(Codec::ArrayToArray(transpose)) => {
                    shape = transpose.encoded_shape(&shape);
                    array_to_array.push(transpose);
                }
                Some(Codec::ArrayToBytes(_)) if array_to_bytes.is_some() => return misplaced("array to bytes", "after"),
                Some(Codec::ArrayToBytes(codec)) => array_to_bytes = Some(codec),
                Some(Codec::BytesToBytes(_)) if array_to_bytes.is_none() => return misplaced("bytes to bytes", "before"),
                Some(Codec::BytesToBytes(codec)) => bytes_to_bytes.push(codec),
            }
        }
        match array_to_bytes {
            Some(array_to_bytes) => Ok(Self { array_to_array, array_to_bytes, bytes_to_bytes }),
            None => Err(ZarrError::Malformed(format!("{} has no array-to-bytes codec (bytes or sharding_indexed)", node.path()))),
        }
    }

    /// The decoded axis that each encoded axis is, all transposes of the chain taken together; `rank` axes.
    ///
    /// # Panics
    /// If a transpose is of another rank; no parsed chain has one.
    pub fn encoded_axes(&self, rank: usize) -> Axes<usize> {
        let identity: Axes<usize> = (0..rank).collect();
        self.array_to_array.iter().fold(identity, |axes, transpose| transpose.order.iter().map(|&axis| axes[axis]).collect())
    }

    /// The shape that reaches the array-to-bytes codec when the chain is given `shape`, elements.
    ///
    /// # Panics
    /// As [`Self::encoded_axes`].
    pub fn encoded_shape(&self, shape: &[u64]) -> Axes<u64> {
        self.encoded_axes(shape.len()).iter().map(|&axis| shape[axis]).collect()
    }
}

impl Transpose {
    /// The encoded shape of an array of `shape`, elements.
    ///
    /// # Panics
    /// If `shape` is of another rank.
    pub fn encoded_shape(&self, shape: &[u64]) -> Axes<u64> {
        self.order.iter().map(|&axis| shape[axis]).collect()
    }

    fn read(configuration: &Node<'_>, rank: usize) -> Result<Self, ZarrError> {
        configuration.only(&["order"])?;
        let order = configuration.required("order")?;
        if order.string().is_ok() {
            // "C" and "F" were dropped from the specification before version 3.0.
            return Err(ZarrError::Unsupported(format!("{} as a string; a permutation of the axes is read", order.path())));
        }
        let items = order.items()?;
        let permutation_expected = || order.unexpected(format_args!("a permutation of the axes 0 to {}", rank - 1));
        if items.len() != rank {
            return Err(permutation_expected());
        }
        let mut seen = Axes::<bool>::from_elem(false, rank);
        let mut axes = Axes::<usize>::new();
        for item in items {
            let axis = item.integer(0, rank as i128 - 1)? as usize;
            if std::mem::replace(&mut seen[axis], true) {
                return Err(permutation_expected());
            }
            axes.push(axis);
        }
        Ok(Self { order: axes })
    }
}

fn read_codec(item: &Node<'_>, extension: &Extension<'_>, input: Input<'_>) -> Result<Option<Codec>, ZarrError> {
    let codec = match extension.name {
        "transpose" => Codec::ArrayToArray(Transpose::read(&extension.configured(item)?, input.shape.len())?),
        "bytes" => Codec::ArrayToBytes(ArrayToBytes::Bytes(read_endian(item, extension, input.data_type)?)),
        "sharding_indexed" => Codec::ArrayToBytes(ArrayToBytes::Sharding(Box::new(Sharding::read(&extension.configured(item)?, input)?))),
        "zstd" | "blosc" | "gzip" | "crc32c" => Codec::BytesToBytes(BytesToBytes::read(item, extension)?),
        _ if !extension.must_understand => return Ok(None),
        other => return Err(ZarrError::Unsupported(format!("codec {} at {} (read are: {NAMES})", quote(other), item.path()))),
    };
    Ok(Some(codec))
}

fn read_endian(item: &Node<'_>, extension: &Extension<'_>, data_type: DataType) -> Result<Endian, ZarrError> {
    let endian = match &extension.configuration {
        None => None,
        Some(configuration) => {
            configuration.only(&["endian"])?;
            match configuration.optional("endian")? {
                None => None,
                Some(endian) => Some(match endian.string()? {
                    "little" => Endian::Little,
                    "big" => Endian::Big,
                    _ => return Err(endian.unexpected("`little` or `big`")),
                }),
            }
        }
    };
    match endian {
        Some(endian) => Ok(endian),
        None if data_type.size() == 1 => Ok(Endian::Little),
        None => Err(ZarrError::Malformed(format!("{}: `bytes` names no `endian`, which {} needs", item.path(), data_type.name()))),
    }
}

impl Sharding {
    fn read(configuration: &Node<'_>, input: Input<'_>) -> Result<Self, ZarrError> {
        let depth = input.sharding_depth + 1;
        if depth > MAX_SHARDING_DEPTH {
            return Err(ZarrError::Limit { what: "nesting of sharding", observed: depth as u64, allowed: MAX_SHARDING_DEPTH as u64 });
        }
        configuration.only(&["chunk_shape", "codecs", "index_codecs", "index_location"])?;
        let chunk_shape_node = configuration.required("chunk_shape")?;
        let chunk_shape = chunk_shape_node.extents(1, MAX_EXTENT)?;
        let index_location = match configuration.optional("index_location")? {
            None => IndexLocation::End,
            Some(location) => match location.string()? {
                "start" => IndexLocation::Start,
                "end" => IndexLocation::End,
                _ => return Err(location.unexpected("`start` or `end`")),
            },
        };
        // The first sight of the counts: dividing, and their product within the limit, comes before anything that trusts them.
        let counts = chunks_per_shard(input.shape, &chunk_shape)
            .map_err(|reason| ZarrError::Malformed(format!("{}: {reason}", chunk_shape_node.path())))?;
        IndexFormat::entries_of(&counts)?;
        let index_shape: Axes<u64> = counts.into_iter().chain([2]).collect();
        let index_input = Input { shape: &index_shape, data_type: DataType::UInt64, sharding_depth: depth };
        let index_codecs_node = configuration.required("index_codecs")?;
        let index_codecs = Self::read_index_codecs(&index_codecs_node, index_input)?;
        let inner_input = Input { shape: &chunk_shape, data_type: input.data_type, sharding_depth: depth };
        let codecs = CodecChain::read(&configuration.required("codecs")?, inner_input)?;
        Ok(Self { chunk_shape, codecs, index_codecs, index_location })
    }

    fn read_index_codecs(node: &Node<'_>, input: Input<'_>) -> Result<CodecChain, ZarrError> {
        let chain = CodecChain::read(node, input)?;
        IndexFormat::check(&chain).map_err(|reason| ZarrError::Unsupported(format!("{}: {reason}", node.path())))?;
        Ok(chain)
    }

    /// Inner chunks per shard along each axis, for shards of `shard_shape` (as it reaches this codec), elements.
    ///
    /// # Errors
    /// In words, where ranks differ or the inner chunks do not divide the shard.
    pub(crate) fn chunks_per_shard(&self, shard_shape: &[u64]) -> Result<Axes<u64>, String> {
        chunks_per_shard(shard_shape, &self.chunk_shape)
    }
}

fn chunks_per_shard(shard_shape: &[u64], chunk_shape: &[u64]) -> Result<Axes<u64>, String> {
    let divides = |(&shard, &chunk): (&u64, &u64)| chunk != 0 && shard.is_multiple_of(chunk);
    if shard_shape.len() != chunk_shape.len() || !shard_shape.iter().zip(chunk_shape).all(divides) {
        return Err(format!("inner chunks of {chunk_shape:?} do not divide a shard of {shard_shape:?}"));
    }
    Ok(shard_shape.iter().zip(chunk_shape).map(|(shard, chunk)| shard / chunk).collect())
}
