//! Files of this machine, network mounts included.
//!
//! Three ways lead to the bytes. [`Store::try_read_now`] reads what is in the page cache on the caller's thread: one hash
//! look-up, one system call. [`Store::read`] waits on an I/O thread. [`Store::fetch`] has its own road (io_uring, or its own
//! threads), so that metadata never queues behind bulk reads.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::counters::{Counters, StoreStats};
use super::descriptors::{DescriptorCache, Lease, OpenFile};
use super::pool::Pool;
use super::reply::{FetchReply, ReadReply};
#[cfg(target_os = "linux")]
use super::uring::Driver;
use super::{CostModel, FetchDone, Fetched, Now, ObjectKey, ReadDone, Span, Store, StoreError, span, sys};

/// How metadata is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetadataIo {
    /// io_uring where the kernel lets us, else threads.
    #[default]
    Auto,
    /// io_uring; an error where the kernel does not let us.
    IoUring,
    /// Threads that block.
    Pread,
}

/// Settings of a [`LocalStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalOptions {
    /// How metadata is read.
    pub metadata: MetadataIo,
    /// Most threads for bulk reads. They start as they are needed.
    pub io_threads: usize,
    /// Metadata requests in flight at most: ring entries, or threads (which start as they are needed).
    pub depth: usize,
    /// Most files kept open; `None`: half of what the process may open (`RLIMIT_NOFILE`) beyond 64, between 16 and 4096.
    pub max_descriptors: Option<usize>,
}

impl Default for LocalOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { metadata: MetadataIo::Auto, io_threads: (2 * cores).clamp(8, 64), depth: 128, max_descriptors: None }
    }
}

/// Most threads that read metadata, whatever the depth.
const MAX_METADATA_THREADS: usize = 64;
/// Largest depth: one ring entry each, and the kernel has at most 32768.
const MAX_DEPTH: usize = 16_384;

/// The file system as a store.
#[derive(Debug)]
pub struct LocalStore {
    // The roads end (and answer `Cancelled`) before what they share goes.
    metadata: Metadata,
    bulk: Pool<Job>,
    core: Arc<Core>,
    io_threads: usize,
}

#[derive(Debug)]
enum Metadata {
    Threads(Pool<Job>),
    #[cfg(target_os = "linux")]
    Ring(Driver),
}

/// What the roads share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) root: OwnedFd,
    pub(crate) files: DescriptorCache,
    pub(crate) counters: Arc<Counters>,
}

enum Job {
    Read { key: ObjectKey, offset: u64, reply: ReadReply },
    Fetch(FetchJob),
}

/// One metadata request.
pub(crate) struct FetchJob {
    pub(crate) key: ObjectKey,
    pub(crate) span: Span,
    pub(crate) limit: u64,
    pub(crate) reply: FetchReply,
}

impl LocalStore {
    /// A store whose keys are absolute paths without the leading `/`.
    ///
    /// # Errors
    /// No thread could be started; with [`MetadataIo::IoUring`], no ring could be made.
    pub fn new(options: LocalOptions) -> io::Result<Self> {
        Self::rooted(Path::new("/"), options)
    }

    /// A store whose keys are paths relative to `root`, a directory. Symbolic links are followed wherever they lead.
    ///
    /// # Errors
    /// As [`Self::new`], or `root` cannot be opened.
    pub fn rooted(root: &Path, options: LocalOptions) -> io::Result<Self> {
        Self::start(root, options, true)
    }

    /// As [`Self::rooted`]. Without `cached_first` every metadata request goes through the ring, cached or not (for tests).
    fn start(root: &Path, options: LocalOptions, cached_first: bool) -> io::Result<Self> {
        let core = Arc::new(Core {
            root: sys::open_root(root)?,
            files: DescriptorCache::new(options.max_descriptors.unwrap_or_else(sys::descriptor_budget)),
            counters: Arc::default(),
        });
        let metadata = Metadata::start(&core, &options, cached_first)?;
        let io_threads = options.io_threads.max(1);
        let bulk = core.pool("longshore-io", io_threads)?;
        Ok(Self { metadata, bulk, core, io_threads })
    }

    /// How this store reads metadata: never [`MetadataIo::Auto`].
    pub fn metadata_io(&self) -> MetadataIo {
        match self.metadata {
            Metadata::Threads(_) => MetadataIo::Pread,
            #[cfg(target_os = "linux")]
            Metadata::Ring(_) => MetadataIo::IoUring,
        }
    }

    /// Most files it keeps open. Beyond them it has open what is being read at the moment.
    pub fn max_descriptors(&self) -> usize {
        self.core.files.capacity()
    }
}

impl Metadata {
    fn start(core: &Arc<Core>, options: &LocalOptions, cached_first: bool) -> io::Result<Self> {
        let depth = options.depth.clamp(1, MAX_DEPTH);
        #[cfg(target_os = "linux")]
        if options.metadata != MetadataIo::Pread {
            match Driver::start(core, depth, cached_first) {
                Ok(driver) => return Ok(Self::Ring(driver)),
                Err(error) if options.metadata == MetadataIo::IoUring => return Err(error),
                Err(error) => tracing::info!(%error, "no io_uring here; metadata is read by threads"),
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = cached_first;
        #[cfg(not(target_os = "linux"))]
        if options.metadata == MetadataIo::IoUring {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "io_uring is Linux only"));
        }
        Ok(Self::Threads(core.pool("longshore-meta", depth.min(MAX_METADATA_THREADS))?))
    }
}

impl Store for LocalStore {
    fn fetch(&self, key: ObjectKey, span: Span, limit: u64, done: FetchDone) {
        let job = FetchJob { key, span, limit, reply: FetchReply::new(done, &self.core.counters) };
        match &self.metadata {
            Metadata::Threads(pool) => pool.submit(Job::Fetch(job)),
            #[cfg(target_os = "linux")]
            Metadata::Ring(driver) => {
                if let Err(job) = driver.submit(job) {
                    self.bulk.submit(Job::Fetch(job));
                }
            }
        }
    }

    fn read(&self, key: ObjectKey, offset: u64, into: Vec<u8>, done: ReadDone) {
        self.bulk.submit(Job::Read { key, offset, reply: ReadReply::new(into, done, &self.core.counters) });
    }

    fn try_read_now(&self, key: &ObjectKey, offset: u64, into: &mut [u8]) -> Now {
        self.core.inline(|| match self.core.lease_now(key)? {
            Some(file) => read_now(&file, offset, into),
            None => Ok(None),
        })
    }

    fn try_read_whole_now(&self, key: &ObjectKey, limit: u64, into: &mut Vec<u8>) -> Now {
        self.core.inline(|| {
            let Some(file) = self.core.lease_now(key)? else { return Ok(None) };
            let (_, length) = span::resolve(Span::Whole, file.size, limit)?;
            span::resize(into, length)?;
            let read = read_now(&file, 0, into)?;
            into.truncate(read.unwrap_or(0));
            Ok(read)
        })
    }

    fn size_now(&self, key: &ObjectKey) -> Option<Result<u64, StoreError>> {
        self.core.lease_now(key).map(|lease| lease.map(|file| file.size)).transpose()
    }

    fn cost(&self) -> CostModel {
        // A page-cached read costs about as much as copying 4 KiB, a cold one on flash as transferring 256 KiB.
        CostModel { gap_bytes: 32 << 10, max_read_bytes: 4 << 20, depth: self.io_threads }
    }

    fn stats(&self) -> StoreStats {
        self.core.counters.snapshot()
    }
}

impl Core {
    fn pool(self: &Arc<Self>, name: &'static str, threads: usize) -> io::Result<Pool<Job>> {
        let core = Arc::clone(self);
        Pool::new(name, threads, move |job| match job {
            Job::Read { key, offset, reply } => core.read(&key, offset, reply),
            Job::Fetch(FetchJob { key, span, limit, reply }) => {
                let answer = core.fetch(&key, span, limit);
                reply.send(answer);
            }
        })
    }

    fn read(&self, key: &ObjectKey, offset: u64, mut reply: ReadReply) {
        let answer = self.read_waiting(key, offset, &mut reply.buffer);
        reply.send(answer);
    }

    fn read_waiting(&self, key: &ObjectKey, offset: u64, into: &mut [u8]) -> Result<usize, StoreError> {
        let read = |file: &OpenFile, into: &mut [u8]| sys::read_full(&file.fd, offset, into);
        match read(&*self.lease(key)?, into) {
            // The server replaced what this descriptor stands for: the object under this name may be well.
            Err(Errno::STALE) => {
                self.files.forget(key);
                read(&*self.lease(key)?, into)
            }
            answer => answer,
        }
        .map_err(|errno| sys::store_error(errno, "read", key))
    }

    /// Reads metadata on the calling thread. Small objects that are read whole once are not kept open; shards, of which
    /// the index is read first, are: the bulk reads come next.
    fn fetch(&self, key: &ObjectKey, span: Span, limit: u64) -> Result<Fetched, StoreError> {
        span::check_request(span, limit)?;
        let file = match (self.files.get(key), span) {
            (Some(lease), _) => lease,
            (None, Span::Whole) => Lease::Private(Arc::new(self.open(key)?)),
            (None, _) => self.lease(key)?,
        };
        let (offset, length) = span::resolve(span, file.size, limit)?;
        let mut bytes = span::buffer(length)?;
        let read = sys::read_full(&file.fd, offset, &mut bytes).map_err(|errno| {
            self.files.forget(key);
            sys::store_error(errno, "read", key)
        })?;
        bytes.truncate(read);
        Ok(Fetched { bytes, object_size: Some(file.size) })
    }

    /// As [`Self::fetch`], from the caches of the kernel; `None`: that would wait.
    pub(crate) fn fetch_now(&self, key: &ObjectKey, span: Span, limit: u64) -> Option<Result<Fetched, StoreError>> {
        let attempt = || {
            span::check_request(span, limit)?;
            let file = match (self.files.get(key), span) {
                (Some(lease), _) => Some(lease),
                (None, Span::Whole) => self.open_now(key)?.map(|file| Lease::Private(Arc::new(file))),
                (None, _) => self.lease_now(key)?,
            };
            let Some(file) = file else { return Ok(None) };
            let (offset, length) = span::resolve(span, file.size, limit)?;
            let mut bytes = span::buffer(length)?;
            let Some(read) = read_now(&file, offset, &mut bytes)? else { return Ok(None) };
            bytes.truncate(read);
            Ok(Some(Fetched { bytes, object_size: Some(file.size) }))
        };
        attempt().transpose()
    }

    fn open_now(&self, key: &ObjectKey) -> Result<Option<OpenFile>, StoreError> {
        let opened = sys::open_cached(self.root.as_fd(), key)?;
        Ok(opened.map(|opened| OpenFile::new(key, opened, &self.counters)))
    }

    fn open(&self, key: &ObjectKey) -> Result<OpenFile, StoreError> {
        Ok(OpenFile::new(key, sys::open(self.root.as_fd(), key)?, &self.counters))
    }

    fn lease(&self, key: &ObjectKey) -> Result<Lease<'_>, StoreError> {
        self.files.get_or_open(key, || self.open(key))
    }

    #[inline]
    fn lease_now(&self, key: &ObjectKey) -> Result<Option<Lease<'_>>, StoreError> {
        self.files.try_get_or_open(key, || self.open_now(key))
    }

    /// Counts and answers an attempt at an inline read; `Ok(None)`: it would wait.
    #[inline]
    fn inline(&self, attempt: impl FnOnce() -> Result<Option<usize>, StoreError>) -> Now {
        let answer = attempt().transpose();
        match &answer {
            Some(answer) => self.counters.answered_inline(answer.as_ref().map_or(0, |bytes| *bytes)),
            None => self.counters.would_block(),
        }
        answer.map_or(Now::WouldBlock, Now::Done)
    }
}

/// Reads what is in the page cache; `None`: some of it is not.
#[inline]
fn read_now(file: &OpenFile, offset: u64, into: &mut [u8]) -> Result<Option<usize>, StoreError> {
    // Relaxed: a hint.
    if file.always_blocks.load(Ordering::Relaxed) {
        return Ok(None);
    }
    match sys::read_cached(&file.fd, offset, into) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Errno::AGAIN) => Ok(None),
        // A file system (or kernel) that cannot promise not to wait.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
            // Relaxed: a hint.
            file.always_blocks.store(true, Ordering::Relaxed);
            Ok(None)
        }
        // Whatever is wrong, the waiting read meets it too and can do something about it.
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::mpsc;

    use super::super::conformance::{self, Subject, fetch, pattern, read};
    use super::*;

    const ROADS: [MetadataIo; 3] = [MetadataIo::Pread, MetadataIo::IoUring, MetadataIo::Auto];

    /// A store rooted at `/`, or `None` where the kernel does not let us.
    fn store(options: LocalOptions) -> Option<LocalStore> {
        // Files of tests are cached: only without looking there first do they take the ring.
        match LocalStore::start(Path::new("/"), options, options.metadata != MetadataIo::IoUring) {
            Ok(store) => Some(store),
            Err(error) if options.metadata == MetadataIo::IoUring => {
                println!("no io_uring here ({error}): that road is not tested");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn options(metadata: MetadataIo) -> LocalOptions {
        LocalOptions { metadata, io_threads: 3, depth: 5, max_descriptors: Some(7) }
    }

    fn key_of(path: &Path) -> ObjectKey {
        path.to_str().unwrap().strip_prefix('/').unwrap().into()
    }

    fn subject(store: LocalStore) -> Subject {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let put_root = root.clone();
        Subject {
            store: Arc::new(store),
            put: Box::new(move |name, bytes| {
                let path = put_root.join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, bytes).unwrap();
                key_of(&path)
            }),
            key: Box::new(move |name| key_of(&root.join(name))),
            _keep: Box::new(dir),
        }
    }

    #[test]
    fn conformance_on_every_road() {
        for road in ROADS {
            if store(options(road)).is_some() {
                conformance::check(|| subject(store(options(road)).unwrap()));
            }
        }
    }

    /// Has the kernel refuse io_uring to the calling thread and those it starts, as the seccomp profiles of containers do.
    #[cfg(target_os = "linux")]
    fn forbid_io_uring() {
        let instruction = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
        let mut program = [
            // The number of the system call is the first word.
            instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_setup as u32),
            instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
            instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        // SAFETY: both calls change the calling thread only; `filter` and `program` outlive the second.
        let refused = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
                | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter)
        };
        assert_eq!(refused, 0, "{}", io::Error::last_os_error());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn where_io_uring_is_forbidden_threads_read_metadata() {
        let forbidden = || {
            forbid_io_uring();
            assert!(LocalStore::new(options(MetadataIo::IoUring)).is_err());
            let store = LocalStore::new(options(MetadataIo::Auto)).unwrap();
            assert_eq!(store.metadata_io(), MetadataIo::Pread);
            let subject = subject(store);
            let key = (subject.put)("object", b"bytes");
            assert_eq!(fetch(&*subject.store, &key, Span::Whole, 10).unwrap().bytes, b"bytes");
        };
        std::thread::spawn(forbidden).join().unwrap();
    }

    #[test]
    fn cached_bytes_are_read_at_once() {
        let subject = subject(store(options(MetadataIo::Pread)).unwrap());
        let data = pattern(50_000);
        let key = (subject.put)("object", &data);
        // Just written: in the page cache, its path in the name cache. A file system without NOWAIT would answer
        // `WouldBlock`; then the waiting read must answer.
        let mut buffer = vec![0; 60_000];
        match subject.store.try_read_now(&key, 0, &mut buffer) {
            Now::Done(answer) => {
                assert_eq!(answer.unwrap(), 50_000);
                assert_eq!(buffer[..50_000], data);
                assert_eq!(subject.store.stats().inline_reads, 1);
            }
            Now::WouldBlock => assert_eq!(read(&*subject.store, &key, 0, 50_000).unwrap(), data),
        }
    }

    #[test]
    fn what_is_no_regular_file_is_refused_by_name() {
        for road in ROADS {
            let Some(store) = store(options(road)) else { continue };
            let subject = subject(store);
            (subject.put)("dir/object", b"x");
            let fifo = (subject.key)("fifo");
            rustix::fs::mknodat(rustix::fs::CWD, format!("/{fifo}"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
            for (key, word) in [((subject.key)("dir"), "directory"), (fifo, "FIFO"), ("dev/null".into(), "device")] {
                let answers = [
                    fetch(&*subject.store, &key, Span::Whole, 100).map(|_| ()),
                    fetch(&*subject.store, &key, Span::Suffix { length: 1 }, 100).map(|_| ()),
                    read(&*subject.store, &key, 0, 4).map(|_| ()),
                ];
                for answer in answers {
                    let Err(StoreError::Permanent(words)) = answer else { panic!("{road:?} {key}: {answer:?}") };
                    assert!(words.contains(word) && words.contains(&*key), "{words}");
                }
            }
            for key in ["..", "a//b", "/etc/passwd", "a/../etc/passwd"] {
                assert!(matches!(fetch(&*subject.store, &key.into(), Span::Whole, 100), Err(StoreError::Permanent(_))));
                assert!(matches!(read(&*subject.store, &key.into(), 0, 1), Err(StoreError::Permanent(_))));
            }
        }
    }

    #[test]
    fn symbolic_links_are_followed_and_a_circle_of_them_is_permanent() {
        for road in ROADS {
            let Some(store) = store(options(road)) else { continue };
            let subject = subject(store);
            let target = (subject.put)("target", b"bytes");
            let (link, circle) = ((subject.key)("link"), (subject.key)("circle"));
            symlink(format!("/{target}"), format!("/{link}")).unwrap();
            symlink(format!("/{circle}"), format!("/{circle}")).unwrap();
            assert_eq!(fetch(&*subject.store, &link, Span::Whole, 100).unwrap().bytes, b"bytes");
            assert_eq!(read(&*subject.store, &link, 1, 3).unwrap(), b"yte");
            assert!(matches!(fetch(&*subject.store, &circle, Span::Whole, 100), Err(StoreError::Permanent(_))));
        }
    }

    #[test]
    fn c40_files_stay_bounded_are_reused_and_all_closed() {
        for road in ROADS {
            let Some(store) = store(options(road)) else { continue };
            let counters = Arc::clone(&store.core.counters);
            let subject = subject(store);
            let keys: Vec<_> = (0..100).map(|number| (subject.put)(&format!("{number}"), &pattern(100))).collect();
            for key in &keys {
                for _ in 0..3 {
                    assert_eq!(read(&*subject.store, key, 0, 100).unwrap().len(), 100);
                }
                let stats = subject.store.stats();
                assert!(stats.open_files <= 7, "{stats:?}");
            }
            assert_eq!(subject.store.stats().opens, 100, "each file is opened once for its three reads");
            for key in &keys {
                fetch(&*subject.store, key, Span::Suffix { length: 4 }, 4).unwrap();
                fetch(&*subject.store, key, Span::Whole, 100).unwrap();
            }
            drop(subject);
            let stats = counters.snapshot();
            assert_eq!(stats.opens, stats.closes);
        }
    }

    #[test]
    fn c40_a_shard_stays_open_after_its_index_was_read() {
        for road in ROADS {
            let Some(store) = store(options(road)) else { continue };
            let subject = subject(store);
            let key = (subject.put)("shard", &pattern(1000));
            fetch(&*subject.store, &key, Span::Suffix { length: 20 }, 20).unwrap();
            read(&*subject.store, &key, 0, 500).unwrap();
            assert_eq!(subject.store.stats().opens, 1);
        }
    }

    #[test]
    fn c40_a_failed_open_is_not_remembered() {
        for road in ROADS {
            let Some(store) = store(options(road)) else { continue };
            let subject = subject(store);
            let key = (subject.key)("late");
            assert!(matches!(read(&*subject.store, &key, 0, 4), Err(StoreError::NotFound)));
            assert!(matches!(fetch(&*subject.store, &key, Span::Whole, 10), Err(StoreError::NotFound)));
            (subject.put)("late", b"here");
            assert_eq!(read(&*subject.store, &key, 0, 4).unwrap(), b"here");
            assert_eq!(fetch(&*subject.store, &key, Span::Whole, 10).unwrap().bytes, b"here");
        }
    }

    #[test]
    fn metadata_does_not_queue_behind_bulk_reads() {
        for road in ROADS {
            let Some(store) = store(LocalOptions { io_threads: 1, ..options(road) }) else { continue };
            let subject = subject(store);
            let key = (subject.put)("object", &pattern(10));
            // The only bulk thread is held up; metadata comes all the same.
            let (held, holding) = mpsc::channel();
            let (release, gate) = mpsc::channel::<()>();
            let done = move |_, _| {
                held.send(()).unwrap();
                let _ = gate.recv();
            };
            subject.store.read(Arc::clone(&key), 0, vec![0; 1], Box::new(done));
            holding.recv().unwrap();
            assert_eq!(fetch(&*subject.store, &key, Span::Whole, 10).unwrap().bytes.len(), 10);
            drop(release);
        }
    }
}
