//! The three fetchers: each turns one key into one request, and its answer into one value.
//!
//! They run the parse where the answer arrives, and carry by value what they need of the stage before.

use std::sync::Arc;

use crate::array::Array;
use crate::error::{Cause, Stage};
use crate::memory::{Budget, Purpose};
use crate::prefetch::values::{ChunkLayout, FetchError, Shard};
use crate::store::{Fetched, ObjectKey, Span, StoreError, Stores};
use crate::zarr::{ArrayMeta, BloscExpectation, BloscHeader, IndexLocation, MAX_DOCUMENT_BYTES, ShardIndex};

/// Independently compressed streams that a device decodes per chunk at most; more is an error of the layout stage.
const MAX_SUBSTREAMS_PER_CHUNK: u32 = 32;

/// Where an answer goes: into a cache's slot, or to one sample alone. Dropping it unanswered answers "cancelled".
pub(crate) trait Sink<V>: Send + 'static {
    fn put(self, answer: Result<V, FetchError>);
}

impl<V: Send + Sync + 'static> Sink<V> for longshore_core::cache::Completion<V, FetchError> {
    fn put(self, answer: Result<V, FetchError>) {
        match answer {
            Ok(value) => self.complete(value),
            Err(error) => self.fail(error),
        }
    }
}

/// What fetchers share.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    pub(crate) stores: Arc<Stores>,
    pub(crate) budget: Budget,
}

impl Fetcher {
    /// Reads and checks `zarr.json` of `uri`.
    pub(crate) fn array(&self, uri: Arc<str>, sink: impl Sink<Arc<Array>>) {
        let (store, prefix) = match self.stores.open(&uri) {
            Ok(opened) => opened,
            Err(error) => {
                return sink.put(Err(FetchError { stage: Stage::Admission, object: None, cause: Cause::Uri(error.to_string()) }));
            }
        };
        let key: ObjectKey = if prefix.is_empty() { "zarr.json".into() } else { format!("{prefix}/zarr.json").into() };
        let (budget, opened) = (self.budget.clone(), store.clone());
        let parse = move |answer: Result<Fetched, StoreError>| -> Result<Arc<Array>, Cause> {
            let meta = ArrayMeta::parse(&answer?.bytes)?;
            Ok(Arc::new(Array::new(uri, opened, prefix, meta, &budget)?))
        };
        let done = move |answer| sink.put(parse(answer).map_err(|cause| at(Stage::ArrayMetadata, "zarr.json", cause)));
        store.fetch(key, Span::Whole, MAX_DOCUMENT_BYTES, Box::new(done));
    }

    /// Reads and checks the index of the shard at `cell`. A shard that is not stored is a value, not an error.
    pub(crate) fn shard(&self, array: Arc<Array>, cell: &[u64], sink: impl Sink<Arc<Shard>>) {
        let shards = array.shards.as_ref().expect("asked for sharded arrays only");
        let format = shards.layout.index;
        let length = format.encoded_len();
        let key = array.object_key(cell);
        let span = match format.location {
            IndexLocation::Start => Span::Range { offset: 0, length },
            IndexLocation::End => Span::Suffix { length },
        };
        let (budget, store, object) = (self.budget.clone(), array.store.clone(), key.clone());
        let name = array.relative(&key).to_owned();
        let parse = move |answer: Result<Fetched, StoreError>| -> Result<Arc<Shard>, Cause> {
            let index = match answer {
                Ok(fetched) => Some(ShardIndex::decode(&fetched.bytes, &format, fetched.object_size)?),
                Err(StoreError::NotFound) => None,
                Err(error) => return Err(error.into()),
            };
            let bytes = index.as_ref().map_or(0, |index| 16 * index.len() as u64) + 128 + object.len() as u64;
            let lease = budget.reserve(Purpose::Metadata, bytes).ok_or(Cause::Memory {
                what: "a shard index",
                needed: bytes,
                available: budget.available(),
            })?;
            Ok(Arc::new(Shard { key: object, index, _lease: lease }))
        };
        let done = move |answer| sink.put(parse(answer).map_err(|cause| at(Stage::ShardIndex, &name, cause)));
        store.fetch(key, span, length, Box::new(done));
    }

    /// Reads and checks the 16-byte header of the chunk that `shard` stores at `(offset, length)`.
    pub(crate) fn chunk_layout(&self, array: Arc<Array>, shard: &Shard, (offset, length): (u64, u64), sink: impl Sink<ChunkLayout>) {
        let (store, key) = (array.store.clone(), shard.key.clone());
        let name = format!("{} at byte {offset}", array.relative(&key));
        let parse = move |answer: Result<Fetched, StoreError>| -> Result<ChunkLayout, Cause> {
            let decoded_bytes = Some(array.decoder.decoded_len() as u64);
            let expected = BloscExpectation { decoded_bytes, stored_bytes: Some(length), max_substreams: MAX_SUBSTREAMS_PER_CHUNK };
            let blosc = BloscHeader::parse(&answer?.bytes, expected)?;
            Ok(ChunkLayout { blosc: Some(blosc) })
        };
        let done = move |answer| sink.put(parse(answer).map_err(|cause| at(Stage::ChunkLayout, &name, cause)));
        store.fetch(key, Span::Range { offset, length: 16 }, 16, Box::new(done));
    }
}

fn at(stage: Stage, object: &str, cause: Cause) -> FetchError {
    FetchError { stage, object: Some(object.to_owned()), cause }
}
