//! Asks a store what there is of an array. All requests of a step are in flight together.

use std::sync::Arc;
use std::sync::mpsc;

use crate::error::Cause;
use crate::store::{Fetched, LocalOptions, Span, Store, StoreError, Stores, join_key};
use crate::zarr::{ArrayMeta, IndexLocation, Layout, MAX_DOCUMENT_BYTES, ShardIndex, ShardLayout, cell_count, coordinates};

/// Shards whose indexes are read.
const INDEXES: usize = 16;
/// Longest index that is read for a statistic, bytes.
const MAX_INDEX_BYTES: u64 = 64 << 20;
/// Requests in flight together.
const DEPTH: usize = 256;

/// What was found of an array's objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Cells of the grid: objects there could be.
    pub cells: u64,
    /// Cells whose object was asked for.
    pub asked: u64,
    /// Objects that are there.
    pub found: u64,
    /// Requests that failed otherwise than by "not found".
    pub failed: u64,
    /// The first such failure.
    pub first_failure: Option<String>,
    /// Objects whose size the store told.
    pub sized: u64,
    /// Sum of the sizes of these.
    pub bytes: u64,
    /// Indexes of shards that were read.
    pub indexes: u64,
    /// Entries of these indexes: chunks there could be.
    pub index_entries: u64,
    /// Entries that name a chunk.
    pub index_entries_stored: u64,
    /// Stored bytes of these chunks.
    pub index_chunk_bytes: u64,
    /// What is wrong with the first index that was refused.
    pub corrupt_index: Option<String>,
}

/// Where an array is.
pub(super) struct Place {
    store: Arc<dyn Store>,
    prefix: String,
}

impl Place {
    pub(super) fn open(uri: &str) -> Result<Self, Cause> {
        let (store, prefix) = Stores::new(LocalOptions::default(), None).open(uri).map_err(|error| Cause::Uri(error.to_string()))?;
        Ok(Self { store, prefix })
    }

    pub(super) fn metadata(&self) -> Result<ArrayMeta, Cause> {
        let answer = self.fetch_all([("zarr.json".to_owned(), Span::Whole)], MAX_DOCUMENT_BYTES).pop();
        let fetched = answer.unwrap_or(Err(StoreError::Cancelled))?;
        Ok(ArrayMeta::parse(&fetched.bytes)?)
    }

    pub(super) fn probe(&self, meta: &ArrayMeta, layout: &Layout, most: u64) -> Stored {
        let grid = meta.grid_shape();
        let cells = cell_count(&grid).unwrap_or(u64::MAX);
        let asked = cells.min(most);
        let mut stored = Stored { cells, asked, ..Stored::default() };
        let mut there = Vec::new();
        for first in (0..asked).step_by(DEPTH) {
            let numbers = first..asked.min(first + DEPTH as u64);
            // Spread evenly: the i-th of `asked` stands at i / asked of the way; the product needs 128 bits.
            let spread = |i: u64| (u128::from(i) * u128::from(cells) / u128::from(asked)) as u64;
            let keys: Vec<String> = numbers.filter_map(|i| Some(key(meta, &coordinates(spread(i), &grid)?))).collect();
            let answers = self.fetch_all(keys.iter().map(|key| (key.clone(), Span::Suffix { length: 1 })), 1);
            for (key, answer) in keys.into_iter().zip(answers) {
                if let Some(size) = stored.count(answer) {
                    there.push((key, size));
                }
            }
        }
        if let Layout::Sharded(shard) = layout
            && shard.index.encoded_len() <= MAX_INDEX_BYTES
        {
            self.probe_indexes(shard, &there, &mut stored);
        }
        stored
    }

    /// Reads the indexes of a few shards, spread evenly over those that are there.
    fn probe_indexes(&self, shard: &ShardLayout, there: &[(String, Option<u64>)], stored: &mut Stored) {
        let picks = (0..there.len().min(INDEXES)).map(|i| &there[i * there.len() / INDEXES.min(there.len())]);
        let length = shard.index.encoded_len();
        let span = match shard.index.location {
            IndexLocation::Start => Span::Range { offset: 0, length },
            IndexLocation::End => Span::Suffix { length },
        };
        // One by one: an index may be as large as `MAX_INDEX_BYTES`.
        for (key, size) in picks {
            let answer = self.fetch_all([(key.clone(), span)], length).pop().unwrap_or(Err(StoreError::Cancelled));
            let index = answer.map_err(|error| error.to_string()).and_then(|fetched| {
                ShardIndex::decode(&fetched.bytes, &shard.index, fetched.object_size.or(*size)).map_err(|error| error.to_string())
            });
            match index {
                Ok(index) => stored.count_index(&index),
                Err(reason) => {
                    stored.corrupt_index.get_or_insert(format!("{key}: {reason}"));
                }
            }
        }
    }

    /// Answers in the order of the requests. Keys are relative to the array.
    fn fetch_all(&self, requests: impl IntoIterator<Item = (String, Span)>, limit: u64) -> Vec<Result<Fetched, StoreError>> {
        let (sender, receiver) = mpsc::channel();
        let mut count = 0;
        for (number, (key, span)) in requests.into_iter().enumerate() {
            let sender = sender.clone();
            // The receiver outlives every callback that a live store calls; one after it has nobody to tell.
            let done = Box::new(move |answer| sender.send((number, answer)).unwrap_or_default());
            self.store.fetch(join_key(&self.prefix, &key), span, limit, done);
            count += 1;
        }
        drop(sender);
        let mut answers: Vec<_> = receiver.into_iter().take(count).collect();
        answers.sort_unstable_by_key(|(number, _)| *number);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }
}

impl Stored {
    /// Counts one answer; for an object that is there its size, if known.
    fn count(&mut self, answer: Result<Fetched, StoreError>) -> Option<Option<u64>> {
        match answer {
            Ok(fetched) => {
                self.found += 1;
                if let Some(size) = fetched.object_size {
                    self.sized += 1;
                    self.bytes = self.bytes.saturating_add(size);
                }
                Some(fetched.object_size)
            }
            Err(StoreError::NotFound) => None,
            Err(error) => {
                self.failed += 1;
                self.first_failure.get_or_insert(error.to_string());
                None
            }
        }
    }

    fn count_index(&mut self, index: &ShardIndex) {
        self.indexes += 1;
        self.index_entries += index.len() as u64;
        for (_, length) in (0..index.len()).filter_map(|i| index.get(i)) {
            self.index_entries_stored += 1;
            self.index_chunk_bytes = self.index_chunk_bytes.saturating_add(length);
        }
    }
}

fn key(meta: &ArrayMeta, cell: &[u64]) -> String {
    let mut key = String::new();
    meta.keys.write_key(cell, &mut key);
    key
}
