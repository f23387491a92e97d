//! The arrays, what samples of them must come to, and a store that answers when its threads come round.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_core::bell::Bell;
use longshore_core::inbox::Mailbox;
use shuttle::thread;
use shuttle_tests::{mark, pick, toss};

use crate::error::Stage;
use crate::store::{CostModel, FetchDone, Fetched, ObjectKey, ReadDone, Span, Store, StoreError, StoreStats};

/// The store's name: arrays are `memory://NAME/ARRAY`.
pub(super) const NAME: &str = "schedules";

/// Extent of every array, of its shards, and of a crop; chunks have half a shard.
pub(super) const EXTENT: i64 = 16;
const SHARD: i64 = 8;
pub(super) const CROP: u64 = 4;

/// What an array is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sharded,
    Plain,
    /// The second shard is not stored.
    HalfStored,
    /// The first shard's index is cut off, the chunks of the second have no blosc header.
    Broken,
    NoArray,
    NoJson,
}

pub(super) const KINDS: [(&str, Kind); 6] = [
    ("sharded", Kind::Sharded),
    ("plain", Kind::Plain),
    ("half", Kind::HalfStored),
    ("broken", Kind::Broken),
    ("no-array", Kind::NoArray),
    ("no-json", Kind::NoJson),
];

impl Kind {
    /// Shards that a box from `start` touches, if the array has any; by number.
    pub(super) fn shards(self, start: i64) -> Vec<u64> {
        match self {
            Self::Plain | Self::NoArray | Self::NoJson => vec![],
            _ => (start / SHARD..=(start + CROP as i64 - 1) / SHARD).map(|shard| shard as u64).collect(),
        }
    }

    /// Whether a shard is stored.
    pub(super) fn is_stored(self, shard: u64) -> bool {
        !(self == Self::HalfStored && shard == 1)
    }

    /// Where a box from `start` must fail, if it must.
    pub(super) fn failure(self, start: i64, probes: bool) -> Option<Stage> {
        if matches!(self, Self::NoArray | Self::NoJson) {
            return Some(Stage::ArrayMetadata);
        }
        if start < 0 || start + CROP as i64 > EXTENT {
            return Some(Stage::Plan);
        }
        match self {
            Self::Broken if start < SHARD => Some(Stage::ShardIndex),
            Self::Broken if probes => Some(Stage::ChunkLayout),
            _ => None,
        }
    }
}

fn document(kind: Kind) -> Vec<u8> {
    let (grid, codecs) = match kind {
        Kind::Plain => (SHARD / 2, r#"{"name":"bytes"}"#),
        _ => (
            SHARD,
            r#"{"name":"sharding_indexed","configuration":{"chunk_shape":[4],"index_location":"end",
                "codecs":[{"name":"bytes"},{"name":"blosc","configuration":
                    {"cname":"lz4","clevel":5,"shuffle":"noshuffle","typesize":1,"blocksize":0}}],
                "index_codecs":[{"name":"bytes","configuration":{"endian":"little"}}]}}"#,
        ),
    };
    format!(
        r#"{{"zarr_format":3,"node_type":"array","shape":[{EXTENT}],"data_type":"uint8","fill_value":0,
            "chunk_grid":{{"name":"regular","configuration":{{"chunk_shape":[{grid}]}}}},
            "chunk_key_encoding":{{"name":"default"}},"codecs":[{codecs}]}}"#
    )
    .into_bytes()
}

/// Two chunks, stored as they are behind a blosc header, and their index.
fn shard(header: [u8; 4]) -> Vec<u8> {
    let chunk = [&header[..], &[4, 0, 0, 0, 4, 0, 0, 0, 20, 0, 0, 0, 1, 2, 3, 4]].concat();
    let index: Vec<u8> = [0_u64, 20, 20, 20].iter().flat_map(|word| word.to_le_bytes()).collect();
    [&chunk[..], &chunk[..], &index[..]].concat()
}

fn objects() -> BTreeMap<String, Vec<u8>> {
    const STORED_AS_IT_IS: [u8; 4] = [2, 1, 2, 1];
    let mut objects = BTreeMap::new();
    for (name, kind) in KINDS {
        let mut put = |object: &str, bytes: Vec<u8>| objects.insert(format!("{name}/{object}"), bytes);
        match kind {
            Kind::NoArray => continue,
            Kind::NoJson => _ = put("zarr.json", b"{".to_vec()),
            _ => _ = put("zarr.json", document(kind)),
        }
        match kind {
            Kind::Sharded => _ = (put("c/0", shard(STORED_AS_IT_IS)), put("c/1", shard(STORED_AS_IT_IS))),
            Kind::HalfStored => _ = put("c/0", shard(STORED_AS_IT_IS)),
            Kind::Broken => _ = (put("c/0", vec![0; 20]), put("c/1", shard([0; 4]))),
            _ => {}
        }
    }
    objects
}

struct Request {
    key: ObjectKey,
    span: Span,
    done: FetchDone,
}

#[derive(Default)]
struct Books {
    /// One answer in so many is a fault.
    faults: Option<usize>,
    /// Arrays that had one.
    faulted: BTreeSet<String>,
    fetches: BTreeMap<(ObjectKey, String), usize>,
    in_flight: usize,
    stopped: bool,
    closed: bool,
}

/// Answers from the threads of its [`Answerer`]s.
pub(super) struct FakeStore {
    requests: Vec<Mailbox<Request>>,
    objects: BTreeMap<String, Vec<u8>>,
    books: Mutex<Books>,
}

impl fmt::Debug for FakeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeStore")
    }
}

impl FakeStore {
    pub(super) fn new(answerers: usize, faults: Option<usize>) -> (Arc<Self>, Vec<Answerer>) {
        let requests = (0..answerers).map(|_| Mailbox::new(Arc::new(Bell::new()))).collect();
        let books = Mutex::new(Books { faults, ..Books::default() });
        let store = Arc::new(Self { requests, objects: objects(), books });
        let answerers = (0..answerers).map(|number| Answerer { store: store.clone(), number }).collect();
        (store, answerers)
    }

    /// The books are the test's: never held across a step of what is tried.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every answer is the right one.
    pub(super) fn end_faults(&self) {
        let mut books = self.books();
        books.faults = None;
        books.faulted.clear();
    }

    /// Whether an answer about this array was a fault.
    pub(super) fn is_faulted(&self, array: &str) -> bool {
        self.books().faulted.contains(array)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.books().in_flight
    }

    /// The most requests for one span of one object.
    pub(super) fn most_fetches(&self) -> usize {
        self.books().fetches.values().copied().max().unwrap_or(0)
    }

    /// Answers that come from now on are late.
    pub(super) fn closing(&self) {
        self.books().closed = true;
    }

    /// Ends the answerers, once they have answered everything or given it up.
    pub(super) fn stop(&self) {
        self.books().stopped = true;
        for requests in &self.requests {
            drop(requests.close());
        }
    }

    /// The answer, unless it is a fault; `None` for one that never comes.
    fn answer(&self, key: &str, span: Span) -> Option<Result<Fetched, StoreError>> {
        let faults = self.books().faults;
        if let Some(one_in) = faults
            && toss(one_in)
        {
            let array = key.split('/').next().expect("a prefix").to_owned();
            self.books().faulted.insert(array);
            return match pick(3) {
                0 => None,
                1 => Some(Err(StoreError::Cancelled)),
                _ => Some(Err(StoreError::Transient("try again".into()))),
            };
        }
        let Some(object) = self.objects.get(key) else { return Some(Err(StoreError::NotFound)) };
        let size = object.len();
        let range = match span {
            Span::Whole => 0..size,
            Span::Range { offset, length } => offset as usize..((offset + length) as usize).min(size),
            Span::Suffix { length } => size.saturating_sub(length as usize)..size,
        };
        Some(Ok(Fetched { bytes: object[range].to_vec(), object_size: Some(size as u64) }))
    }
}

impl Store for FakeStore {
    fn fetch(&self, key: ObjectKey, span: Span, _limit: u64, done: FetchDone) {
        {
            let mut books = self.books();
            books.in_flight += 1;
            *books.fetches.entry((key.clone(), format!("{span:?}"))).or_default() += 1;
        }
        // A stopped store drops the request, which cancels the fetch.
        drop(self.requests[pick(self.requests.len())].push(Request { key, span, done }));
    }

    fn read(&self, _key: ObjectKey, _offset: u64, into: Vec<u8>, done: ReadDone) {
        done(into, Err(StoreError::NotFound));
    }

    fn cost(&self) -> CostModel {
        CostModel { gap_bytes: 0, max_read_bytes: u64::MAX, depth: 1 }
    }

    fn stats(&self) -> StoreStats {
        StoreStats::default()
    }
}

/// One thread of the store.
pub(super) struct Answerer {
    store: Arc<FakeStore>,
    number: usize,
}

impl Answerer {
    pub(super) fn run(self) {
        let requests = &self.store.requests[self.number];
        let mut waiting: Vec<Request> = Vec::new();
        loop {
            let ticket = requests.bell().listen();
            waiting.extend(requests.take_all());
            if waiting.is_empty() {
                if self.store.books().stopped {
                    return;
                }
                requests.bell().wait(ticket);
                continue;
            }
            let Request { key, span, done } = waiting.swap_remove(pick(waiting.len()));
            let answer = self.store.answer(&key, span);
            {
                let mut books = self.store.books();
                books.in_flight -= 1;
                if books.closed {
                    mark("late answer");
                }
            }
            match answer {
                Some(answer) => done(answer),
                None => drop(done),
            }
            (0..pick(3)).for_each(|_| thread::yield_now());
        }
    }
}
