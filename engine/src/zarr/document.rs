//! `zarr.json` of an array, as the Zarr v3 core specification (3.1) lays it down.

use super::chain::Input;
use super::grid::cell_count;
use super::json::read_document;
use super::limits::{MAX_CHUNK_BYTES, MAX_EXTENT};
use super::node::{Node, quote};
use super::{ArrayMeta, Axes, ChunkKeys, CodecChain, DataType, FillValue, ZarrError};

/// Members that say what the array is. `attributes` is passed over: it is the user's.
const MEMBERS: [&str; 10] = [
    "zarr_format",
    "node_type",
    "shape",
    "data_type",
    "chunk_grid",
    "chunk_key_encoding",
    "fill_value",
    "codecs",
    "dimension_names",
    "storage_transformers",
];

impl ArrayMeta {
    /// Reads and checks an array's `zarr.json`.
    ///
    /// Everything that decides which bytes an element has is either understood or refused by name: unknown members (unless
    /// objects with `"must_understand": false`), data types, grids, key encodings, codecs, members of their configurations.
    /// Extents are at most [`MAX_EXTENT`], chunks that are decoded whole at most [`MAX_CHUNK_BYTES`].
    ///
    /// # Errors
    /// `Malformed` for what the specification forbids, `Unsupported` for what it allows and this build does not read,
    /// `NotAnArray` for groups and Zarr v2, `Limit` for what would take too much memory.
    pub fn parse(json: &[u8]) -> Result<Self, ZarrError> {
        let document = read_document(json, &MEMBERS, "attributes")?;
        let top = Node::top(&document.known);
        check_kind(&top)?;
        if let Some(name) = document.not_understood {
            return Err(ZarrError::Unsupported(format!(
                "member {} of the document (read are: {}, attributes; others only with `must_understand` false)",
                quote(&name),
                MEMBERS.join(", ")
            )));
        }
        check_storage_transformers(&top)?;
        let shape = top.required("shape")?.extents(0, MAX_EXTENT)?;
        check_dimension_names(&top, shape.len())?;
        let data_type = read_data_type(&top.required("data_type")?)?;
        let chunk_shape = read_chunk_grid(&top.required("chunk_grid")?, &shape)?;
        let fill_value = FillValue::read(&top.required("fill_value")?, data_type)?;
        let keys = ChunkKeys::read(&top.required("chunk_key_encoding")?)?;
        let input = Input { shape: &chunk_shape, data_type, sharding_depth: 0 };
        let codecs = CodecChain::read(&top.required("codecs")?, input)?;
        let meta = Self { shape, data_type, fill_value, chunk_shape, keys, codecs };
        meta.check_sizes()?;
        Ok(meta)
    }

    /// Checks the products: cells of the grid, elements of a cell, bytes of what is decoded whole.
    fn check_sizes(&self) -> Result<(), ZarrError> {
        if cell_count(&self.grid_shape()).is_none() {
            return Err(ZarrError::Limit { what: "number of cells of the chunk grid", observed: u64::MAX, allowed: u64::MAX - 1 });
        }
        let bytes_of = |shape: &[u64]| shape.iter().try_fold(self.data_type.size() as u64, |bytes, &extent| bytes.checked_mul(extent));
        let limit = |what, observed: Option<u64>, allowed| match observed {
            Some(bytes) if bytes <= allowed => Ok(()),
            _ => Err(ZarrError::Limit { what, observed: observed.unwrap_or(u64::MAX), allowed }),
        };
        limit("size of a grid cell, bytes decoded", bytes_of(&self.chunk_shape), MAX_EXTENT)?;
        limit("size of a chunk, bytes decoded", bytes_of(self.layout().chunk_shape()), MAX_CHUNK_BYTES.min(usize::MAX as u64))
    }
}

/// Tells arrays of Zarr v3 from everything else that has a `zarr.json` or is given as one.
fn check_kind(top: &Node<'_>) -> Result<(), ZarrError> {
    match top.required("zarr_format")?.integer(0, i64::MAX.into())? {
        3 => {}
        2 => return Err(ZarrError::NotAnArray("zarr_format is 2 (a Zarr v2 document)".to_owned())),
        other => return Err(ZarrError::NotAnArray(format!("zarr_format is {other}"))),
    }
    let node_type = top.required("node_type")?;
    match node_type.string()? {
        "array" => Ok(()),
        "group" => Err(ZarrError::NotAnArray("a group (node_type `group`); name an array in it".to_owned())),
        _ => Err(node_type.unexpected("`array`")),
    }
}

/// No storage transformer is known; those that must be understood change what is stored where.
fn check_storage_transformers(top: &Node<'_>) -> Result<(), ZarrError> {
    let Some(transformers) = top.optional("storage_transformers")? else {
        return Ok(());
    };
    for transformer in transformers.items()? {
        let extension = transformer.extension()?;
        if extension.must_understand {
            return Err(ZarrError::Unsupported(format!("storage transformer {}", quote(extension.name))));
        }
    }
    Ok(())
}

/// Names are of no use to a reader of boxes, yet a list of another length shows a document that contradicts itself.
/// `null` stands for no names in documents of early zarr-python 3.
fn check_dimension_names(top: &Node<'_>, rank: usize) -> Result<(), ZarrError> {
    let Some(names) = top.optional("dimension_names")?.filter(|names| !names.is_null()) else {
        return Ok(());
    };
    let items = names.items()?;
    if items.len() != rank {
        return Err(names.unexpected(format_args!("one name for each of the {rank} axes")));
    }
    for name in items {
        if !name.is_null() {
            name.string()?;
        }
    }
    Ok(())
}

fn read_data_type(node: &Node<'_>) -> Result<DataType, ZarrError> {
    let extension = node.extension()?;
    let Some(data_type) = DataType::from_name(extension.name) else {
        let names = DataType::ALL.map(DataType::name).join(", ");
        return Err(ZarrError::Unsupported(format!("data_type {} (read are: {names})", quote(extension.name))));
    };
    extension.unconfigured()?;
    Ok(data_type)
}

fn read_chunk_grid(node: &Node<'_>, shape: &[u64]) -> Result<Axes<u64>, ZarrError> {
    let extension = node.extension()?;
    if extension.name != "regular" {
        return Err(ZarrError::Unsupported(format!("chunk_grid {} (read is: regular)", quote(extension.name))));
    }
    let configuration = extension.configured(node)?;
    configuration.only(&["chunk_shape"])?;
    let chunk_shape_node = configuration.required("chunk_shape")?;
    let chunk_shape = chunk_shape_node.extents(1, MAX_EXTENT)?;
    if chunk_shape.len() != shape.len() {
        return Err(chunk_shape_node.unexpected(format_args!("{} extents, as `shape` has", shape.len())));
    }
    Ok(chunk_shape)
}
