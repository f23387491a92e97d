//! Objects in memory, for `memory://` and for tests.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use super::counters::{Counters, StoreStats};
use super::pool::Pool;
use super::reply::{FetchReply, ReadReply};
use super::{CostModel, FetchDone, Fetched, Now, ObjectKey, ReadDone, Span, Store, StoreError, span};

type Objects = RwLock<HashMap<ObjectKey, Arc<[u8]>>>;

/// Objects in memory.
///
/// `fetch` and `read` answer on the store's one thread, never on the caller's: a callback that asks again does not recurse,
/// and a caller never finds itself called from within its own call. `try_read_now` answers at once, always.
#[derive(Debug)]
pub struct MemoryStore {
    pool: Pool<Job>,
    objects: Arc<Objects>,
    counters: Arc<Counters>,
}

enum Job {
    Fetch { key: ObjectKey, span: Span, limit: u64, reply: FetchReply },
    Read { key: ObjectKey, offset: u64, reply: ReadReply },
}

impl MemoryStore {
    /// An empty store. Starts a thread.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn new() -> io::Result<Self> {
        let objects = Arc::new(Objects::default());
        let its_objects = Arc::clone(&objects);
        let pool = Pool::new("longshore-mem", 1, move |job: Job| job.run(&its_objects))?;
        Ok(Self { pool, objects, counters: Arc::default() })
    }

    /// Makes or replaces an object. Requests that are under way see the old or the new one, never a mixture.
    pub fn put(&self, key: impl Into<ObjectKey>, bytes: impl Into<Arc<[u8]>>) {
        self.objects.write().unwrap_or_else(PoisonError::into_inner).insert(key.into(), bytes.into());
    }

    /// Removes an object; whether there was one.
    pub fn remove(&self, key: &str) -> bool {
        self.objects.write().unwrap_or_else(PoisonError::into_inner).remove(key).is_some()
    }
}

/// The object's bytes; the lock is held for the look-up alone.
fn get(objects: &Objects, key: &str) -> Result<Arc<[u8]>, StoreError> {
    objects.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned().ok_or(StoreError::NotFound)
}

fn copy(object: &[u8], offset: u64, into: &mut [u8]) -> usize {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(object.len());
    let length = into.len().min(object.len() - offset);
    into[..length].copy_from_slice(&object[offset..offset + length]);
    length
}

impl Job {
    fn run(self, objects: &Objects) {
        match self {
            Self::Fetch { key, span, limit, reply } => {
                let answer = fetch(objects, &key, span, limit);
                reply.send(answer);
            }
            Self::Read { key, offset, mut reply } => {
                let answer = get(objects, &key).map(|object| copy(&object, offset, &mut reply.buffer));
                reply.send(answer);
            }
        }
    }
}

fn fetch(objects: &Objects, key: &str, span: Span, limit: u64) -> Result<Fetched, StoreError> {
    span::check_request(span, limit)?;
    let object = get(objects, key)?;
    let size = object.len() as u64;
    let (offset, length) = span::resolve(span, size, limit)?;
    let mut bytes = span::buffer(length)?;
    copy(&object, offset, &mut bytes);
    Ok(Fetched { bytes, object_size: Some(size) })
}

impl Store for MemoryStore {
    fn fetch(&self, key: ObjectKey, span: Span, limit: u64, done: FetchDone) {
        self.pool.submit(Job::Fetch { key, span, limit, reply: FetchReply::new(done, &self.counters) });
    }

    fn read(&self, key: ObjectKey, offset: u64, into: Vec<u8>, done: ReadDone) {
        self.pool.submit(Job::Read { key, offset, reply: ReadReply::new(into, done, &self.counters) });
    }

    fn try_read_now(&self, key: &ObjectKey, offset: u64, into: &mut [u8]) -> Now {
        let answer = get(&self.objects, key).map(|object| copy(&object, offset, into));
        self.counters.answered_inline(answer.as_ref().map_or(0, |bytes| *bytes));
        Now::Done(answer)
    }

    fn try_read_whole_now(&self, key: &ObjectKey, limit: u64, into: &mut Vec<u8>) -> Now {
        let answer = get(&self.objects, key).and_then(|object| {
            let (_, length) = span::resolve(Span::Whole, object.len() as u64, limit)?;
            span::resize(into, length)?;
            Ok(copy(&object, 0, into))
        });
        self.counters.answered_inline(answer.as_ref().map_or(0, |bytes| *bytes));
        Now::Done(answer)
    }

    fn size_now(&self, key: &ObjectKey) -> Option<Result<u64, StoreError>> {
        Some(get(&self.objects, key).map(|object| object.len() as u64))
    }

    fn cost(&self) -> CostModel {
        CostModel { gap_bytes: 0, max_read_bytes: u64::MAX, depth: 1 }
    }

    fn stats(&self) -> StoreStats {
        self.counters.snapshot()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::conformance::{self, Subject};
    use super::*;

    /// A memory store as a subject of the conformance suite.
    pub(crate) fn subject() -> Subject {
        let store = Arc::new(MemoryStore::new().unwrap());
        let objects = Arc::downgrade(&store);
        Subject {
            store,
            put: Box::new(move |name, bytes| {
                objects.upgrade().expect("the store under test").put(name, bytes);
                name.into()
            }),
            key: Box::new(|name| name.into()),
            _keep: Box::new(()),
        }
    }

    #[test]
    fn conformance_in_memory() {
        conformance::check(subject);
    }

    #[test]
    fn objects_can_be_replaced_and_removed() {
        let store = MemoryStore::new().unwrap();
        store.put("a", *b"old");
        store.put("a", *b"newer");
        assert!(matches!(store.size_now(&"a".into()), Some(Ok(5))));
        assert!(store.remove("a") && !store.remove("a"));
        assert!(matches!(store.try_read_now(&"a".into(), 0, &mut [0]), Now::Done(Err(StoreError::NotFound))));
    }
}
