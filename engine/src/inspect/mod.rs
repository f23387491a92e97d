//! Looks into an array before anything is streamed from it: what it is, how it is read, what of it is stored, what is unwise.

mod advice;
mod probe;

use crate::codec::ChunkDecoder;
use crate::error::Cause;
use crate::zarr::{ArrayMeta, CodecChain, Layout};

pub use probe::Stored;

use probe::Place;

/// What is known of an array after looking at its metadata and, where asked, at its objects.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Its `zarr.json`, checked.
    pub meta: ArrayMeta,
    /// What one stored object holds.
    pub layout: Layout,
    /// Whether this build decodes its chunks; the reason where it does not.
    pub decodes: Result<Decoding, String>,
    /// What is stored of it.
    pub stored: Stored,
    /// What about its layout is bad for crops, and what would be better. Sentences; empty for a good layout.
    pub advice: Vec<String>,
}

/// How the chunks of an array are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoding {
    /// Bytes of a decoded chunk.
    pub chunk_bytes: u64,
    /// Stored bytes are elements as they are: only what a crop needs is read.
    pub is_identity: bool,
    /// Less than a whole chunk can be decoded.
    pub decodes_parts: bool,
}

/// Reads and checks the `zarr.json` of the array at `uri`. Waits for the storage.
///
/// # Errors
/// What the store answered, or why the document was refused.
pub fn read_metadata(uri: &str) -> Result<ArrayMeta, Cause> {
    Place::open(uri)?.metadata()
}

/// Looks into the array at `uri`: reads its metadata, asks for up to `most_objects` of its objects (spread evenly over the grid) and
/// reads the indexes of a few shards. Waits for the storage.
///
/// # Errors
/// What the store answered to the metadata request, or why the document was refused. Objects that cannot be read are counted.
pub fn inspect(uri: &str, most_objects: u64) -> Result<Inspection, Cause> {
    let place = Place::open(uri)?;
    let meta = place.metadata()?;
    let layout = meta.layout();
    let stored = place.probe(&meta, &layout, most_objects);
    let decodes = decoding(&meta, &layout);
    let advice = advice::advise(&meta, &layout, &stored);
    Ok(Inspection { meta, layout, decodes, stored, advice })
}

fn decoding(meta: &ArrayMeta, layout: &Layout) -> Result<Decoding, String> {
    let decoder = ChunkDecoder::compile(chain(meta, layout), layout.chunk_shape(), meta.data_type, meta.fill_value);
    let decoder = decoder.map_err(|error| error.to_string())?;
    Ok(Decoding {
        chunk_bytes: decoder.decoded_len() as u64,
        is_identity: decoder.is_identity(),
        decodes_parts: decoder.can_decode_parts(),
    })
}

/// Codecs of what is decoded whole.
fn chain<'a>(meta: &'a ArrayMeta, layout: &'a Layout) -> &'a CodecChain {
    match layout {
        Layout::Plain { .. } => &meta.codecs,
        Layout::Sharded(shard) => &shard.inner_chain,
    }
}

/// Bytes of a decoded chunk (the unit that is decoded whole).
fn chunk_bytes(meta: &ArrayMeta, layout: &Layout) -> u64 {
    bytes_of(meta, layout.chunk_shape())
}

fn bytes_of(meta: &ArrayMeta, shape: &[u64]) -> u64 {
    shape.iter().fold(meta.data_type.size() as u64, |bytes, &extent| bytes.saturating_mul(extent))
}

impl Inspection {
    /// Decoded bytes of the objects looked at, per byte stored: the compression. `None` where nothing is stored or sizes are unknown.
    pub fn compression(&self) -> Option<f64> {
        let stored = &self.stored;
        let per_object = match &self.layout {
            // Of a sharded array only the chunks that are stored count; the sampled indexes say what share that is.
            Layout::Sharded(_) if stored.index_entries > 0 => {
                self.cell_bytes() as f64 * stored.index_entries_stored as f64 / stored.index_entries as f64
            }
            _ => self.cell_bytes() as f64,
        };
        (stored.sized > 0 && stored.bytes > 0).then(|| per_object * stored.sized as f64 / stored.bytes as f64)
    }

    /// Decoded bytes of one object: a chunk, or a whole shard.
    pub fn cell_bytes(&self) -> u64 {
        bytes_of(&self.meta, &self.meta.chunk_shape)
    }
}

// The independent writer comes with the command.
#[cfg(all(test, feature = "cli"))]
mod tests {
    use std::sync::Arc;

    use zarrs::array::{ArrayBuilder, ArraySubset, codec::ZstdCodec, data_type};
    use zarrs::filesystem::FilesystemStore;

    use super::*;

    /// An array of 4x4 chunks of 8x8, of which the first two rows of chunks are written.
    fn half_written(folder: &std::path::Path) -> String {
        let store = Arc::new(FilesystemStore::new(folder).unwrap());
        let codec = Arc::new(ZstdCodec::new(3, false));
        let array = ArrayBuilder::new(vec![32, 32], vec![8, 8], data_type::uint16(), 0u16)
            .bytes_to_bytes_codecs(vec![codec])
            .build(store, "/a")
            .unwrap();
        array.store_metadata().unwrap();
        let values: Vec<u16> = (0..16 * 32).map(|i| 1 + i % 3).collect();
        array.store_array_subset(&ArraySubset::new_with_ranges(&[0..16, 0..32]), &values).unwrap();
        folder.join("a").to_str().unwrap().to_owned()
    }

    #[test]
    fn stored_objects_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let uri = half_written(folder.path());
        let found = inspect(&uri, 1000).unwrap();
        assert_eq!((found.stored.cells, found.stored.asked, found.stored.found), (16, 16, 8));
        let on_disk: u64 = (0..2)
            .flat_map(|i| (0..4).map(move |j| (i, j)))
            .map(|(i, j)| std::fs::metadata(format!("{uri}/c/{i}/{j}")).unwrap().len())
            .sum();
        assert_eq!(found.stored.bytes, on_disk);
        assert!((found.compression().unwrap() - 8.0 * 128.0 / on_disk as f64).abs() < 1e-9);
        assert_eq!(read_metadata(&uri).unwrap().shape.as_slice(), [32, 32]);
    }

    #[test]
    fn a_sample_of_a_large_grid_is_spread_over_it() {
        let folder = tempfile::tempdir().unwrap();
        let found = inspect(&half_written(folder.path()), 4).unwrap();
        assert_eq!((found.stored.asked, found.stored.found), (4, 2));
    }

    #[test]
    fn what_is_no_array_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(inspect(folder.path().to_str().unwrap(), 1), Err(Cause::Store(crate::store::StoreError::NotFound))));
        std::fs::write(folder.path().join("zarr.json"), r#"{"zarr_format": 3, "node_type": "group"}"#).unwrap();
        assert!(matches!(inspect(folder.path().to_str().unwrap(), 1), Err(Cause::Zarr(_))));
    }
}
