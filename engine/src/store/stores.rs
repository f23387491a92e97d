//! The stores of a loader: one per scheme, made when first asked for.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use thiserror::Error;

use super::local::{LocalOptions, LocalStore};
use super::memory::MemoryStore;
use super::pool::lock;
use super::uri::{Location, Scheme, UriError, resolve};
use super::{Store, StoreStats};

/// Wraps each store as it is made: latency, faults, retries, or all of them.
pub type StoreLayer = Arc<dyn Fn(Arc<dyn Store>) -> io::Result<Arc<dyn Store>> + Send + Sync>;

/// Why a store could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URI names no place.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// The store (or what wraps it) could not be made: threads, rings.
    #[error("opening the store of {uri:?}: {source}")]
    Io {
        /// What was asked for.
        uri: String,
        /// Why.
        source: io::Error,
    },
}

/// One store for each scheme and root, shared by all arrays in it.
///
/// The lock is for opening: look a URI up once per array, not once per sample.
pub struct Stores {
    local: LocalOptions,
    layer: Option<StoreLayer>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    stores: HashMap<Scheme, Arc<dyn Store>>,
    memory: HashMap<String, Arc<MemoryStore>>,
}

impl Stores {
    /// No store yet. `layer` wraps each one as it is made.
    pub fn new(local: LocalOptions, layer: Option<StoreLayer>) -> Self {
        Self { local, layer, open: Mutex::default() }
    }

    /// `store` for `scheme`, and no thread of any other.
    #[cfg(all(test, shuttle))]
    pub(crate) fn of(scheme: Scheme, store: Arc<dyn Store>) -> Self {
        let open = Open { stores: HashMap::from([(scheme, store)]), ..Open::default() };
        Self { open: Mutex::new(open), ..Self::new(LocalOptions::default(), None) }
    }

    /// The store of `uri` and the prefix of its keys: an object's key is [`join_key`](super::join_key)`(prefix, relative)`.
    ///
    /// # Errors
    /// See [`OpenError`]. A failure is not remembered.
    pub fn open(&self, uri: &str) -> Result<(Arc<dyn Store>, String), OpenError> {
        let Location { scheme, prefix } = resolve(uri)?;
        let mut open = lock(&self.open);
        if let Some(store) = open.stores.get(&scheme) {
            return Ok((Arc::clone(store), prefix));
        }
        let store = self.make(&mut open, &scheme).map_err(|source| OpenError::Io { uri: uri.into(), source })?;
        open.stores.insert(scheme, Arc::clone(&store));
        Ok((store, prefix))
    }

    /// The memory store behind `memory://name`, to put objects in.
    ///
    /// # Errors
    /// Its thread could not be started.
    pub fn memory(&self, name: &str) -> io::Result<Arc<MemoryStore>> {
        lock(&self.open).memory(name)
    }

    /// Closes every open store; see [`Store::close`].
    pub fn close(&self) {
        let stores: Vec<Arc<dyn Store>> = lock(&self.open).stores.values().cloned().collect();
        // Callbacks run outside the lock.
        stores.iter().for_each(|store| store.close());
    }

    /// What the open stores have done so far.
    pub fn stats(&self) -> Vec<(Scheme, StoreStats)> {
        lock(&self.open).stores.iter().map(|(scheme, store)| (scheme.clone(), store.stats())).collect()
    }

    fn make(&self, open: &mut Open, scheme: &Scheme) -> io::Result<Arc<dyn Store>> {
        let store: Arc<dyn Store> = match scheme {
            Scheme::Local => Arc::new(LocalStore::new(self.local)?),
            Scheme::Memory(name) => open.memory(name)?,
        };
        match &self.layer {
            Some(layer) => layer(store),
            None => Ok(store),
        }
    }
}

impl Open {
    fn memory(&mut self, name: &str) -> io::Result<Arc<MemoryStore>> {
        if let Some(store) = self.memory.get(name) {
            return Ok(Arc::clone(store));
        }
        let store = Arc::new(MemoryStore::new()?);
        self.memory.insert(name.into(), Arc::clone(&store));
        Ok(store)
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open: Vec<_> = lock(&self.open).stores.keys().cloned().collect();
        f.debug_struct("Stores").field("local", &self.local).field("layer", &self.layer.is_some()).field("open", &open).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::fetch;
    use super::super::timer::Clock;
    use super::super::{Latency, LatencyScope, Span, join_key};
    use super::*;

    #[test]
    fn one_store_serves_all_places_of_a_scheme() {
        let stores = Stores::new(LocalOptions::default(), None);
        let (first, _) = stores.open("/tmp").unwrap();
        let (second, prefix) = stores.open("file:///usr/./lib/").unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(prefix, "usr/lib");
        let (memory, _) = stores.open("memory://a/x").unwrap();
        assert!(!Arc::ptr_eq(&first, &memory));
        assert!(!Arc::ptr_eq(&stores.open("memory://b").unwrap().0, &memory));
        assert_eq!(stores.stats().len(), 3);
        assert!(matches!(stores.open("s3://bucket/a"), Err(OpenError::Uri(_))));
    }

    #[test]
    fn objects_are_found_under_their_prefix() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("zarr.json"), b"{}").unwrap();
        let stores = Stores::new(LocalOptions::default(), None);
        stores.memory("m").unwrap().put("array/zarr.json", *b"{}");
        for uri in [dir.path().to_str().unwrap(), "memory://m/array/"] {
            let (store, prefix) = stores.open(uri).unwrap();
            assert_eq!(fetch(&*store, &join_key(&prefix, "zarr.json"), Span::Whole, 10).unwrap().bytes, b"{}");
        }
    }

    #[test]
    fn a_layer_wraps_each_store() {
        let layer: StoreLayer = Arc::new(|inner| {
            let model = "const:0ms".parse().map_err(io::Error::other)?;
            Ok(Arc::new(Latency::new(inner, model, LatencyScope::All, 1, Clock::Real)?))
        });
        let stores = Stores::new(LocalOptions::default(), Some(layer));
        stores.memory("m").unwrap().put("object", *b"x");
        let (store, _) = stores.open("memory://m").unwrap();
        assert!(store.size_now(&"object".into()).is_none(), "latency on all requests answers nothing at once");
        assert_eq!(fetch(&*store, &"object".into(), Span::Whole, 10).unwrap().bytes, b"x");
        let broken: StoreLayer = Arc::new(|_| Err(io::Error::other("on purpose")));
        assert!(matches!(Stores::new(LocalOptions::default(), Some(broken)).open("/"), Err(OpenError::Io { .. })));
    }
}
