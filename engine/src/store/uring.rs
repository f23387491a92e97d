//! Metadata through io_uring: one thread, many requests in flight.
//!
//! A request goes open -> stat -> read (again where short) -> answer, one operation in the ring at a time, each step taken
//! when the one before completed. What the kernel has cached is answered without the ring. The driver does nothing else:
//! whoever gets the bytes parses them elsewhere.
//!
//! *Waking.* `bell` is `ASLEEP` while the driver sleeps in the kernel. The driver swaps in `ASLEEP`, then looks at the inbox
//! once more, then sleeps. A submitter pushes, then swaps in `AWAKE`, and writes the eventfd (which the ring is always
//! reading) if it took an `ASLEEP` away. Both swap one word: either the submitter finds `ASLEEP`, or the driver's later
//! swap synchronises with the submitter's and the look finds the request.
//!
//! *Memory that the kernel writes to* (path, stat buffer, bytes) belongs to a request's slot. A slot is emptied only when
//! none of its operations is in the ring; the driver ends only when no operation is. Should the ring itself fail, the
//! slots are leaked rather than freed, and later requests take the blocking road.

use std::collections::VecDeque;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

use crossbeam_queue::SegQueue;
use io_uring::{IoUring, Probe, opcode, squeue, types};
use rustix::io::Errno;

use super::descriptors::OpenFile;
use super::local::{Core, FetchJob};
use super::reply::FetchReply;
use super::{Fetched, ObjectKey, Span, StoreError, pool, span, sys};

/// Marks completions of the eventfd's read.
const WAKE: u64 = u64::MAX;
/// Marks completions of cancellations.
const CANCEL: u64 = u64::MAX - 1;
/// Longest single read; the kernel stops at 2 GiB.
const MAX_READ: usize = 1 << 30;

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;

/// The driver's end that submits.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    inbox: SegQueue<FetchJob>,
    bell: AtomicU32,
    closed: AtomicBool,
    /// The ring failed: take the other road.
    broken: AtomicBool,
    eventfd: OwnedFd,
}

impl Driver {
    /// Starts a driver with at most `depth` requests in flight.
    ///
    /// # Errors
    /// The kernel has no io_uring, not for us (seccomp, `io_uring_disabled`), or not the operations needed.
    pub(crate) fn start(core: &Arc<Core>, depth: usize, cached_first: bool) -> io::Result<Self> {
        let entries = u32::try_from(depth + 2).map_err(io::Error::other)?;
        let ring = IoUring::builder().setup_clamp().build(entries.next_power_of_two())?;
        check_operations(&ring)?;
        let shared = Arc::new(Shared {
            inbox: SegQueue::new(),
            bell: AtomicU32::new(AWAKE),
            closed: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            eventfd: eventfd()?,
        });
        let depth = depth.min(ring.params().sq_entries() as usize - 2);
        let work = Work::new(ring, Arc::clone(core), Arc::clone(&shared), depth, cached_first);
        let thread = std::thread::Builder::new().name("longshore-uring".into()).spawn(move || work.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Hands a request over, or back if the ring is broken.
    pub(crate) fn submit(&self, job: FetchJob) -> Result<(), FetchJob> {
        // Relaxed: a request that misses the change is answered by the driver itself.
        if self.shared.broken.load(Ordering::Relaxed) {
            return Err(job);
        }
        self.shared.inbox.push(job);
        self.shared.ring();
        Ok(())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `Work::run`.
        self.shared.closed.store(true, Ordering::Release);
        self.shared.ring();
        if let Some(thread) = self.thread.take() {
            pool::join(thread);
        }
        // What was submitted after a broken driver's last look.
        self.shared.drop_inbox();
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

impl Shared {
    fn ring(&self) {
        // AcqRel: pairs with the driver's swap (module head).
        if self.bell.swap(AWAKE, Ordering::AcqRel) == ASLEEP
            && let Err(error) = rustix::io::write(&self.eventfd, &1_u64.to_ne_bytes())
        {
            tracing::error!(%error, "waking the io_uring driver failed");
        }
    }

    fn drop_inbox(&self) {
        while let Some(job) = self.inbox.pop() {
            drop(job);
        }
    }
}

fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check_operations(ring: &IoUring) -> io::Result<()> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    for (name, code) in [("OPENAT", opcode::OpenAt::CODE), ("STATX", opcode::Statx::CODE), ("READ", opcode::Read::CODE)] {
        if !probe.is_supported(code) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, format!("io_uring without {name}")));
        }
    }
    Ok(())
}

/// A request in the ring.
struct Flight {
    key: ObjectKey,
    span: Span,
    limit: u64,
    reply: FetchReply,
    path: CString,
    stat: Box<types_statx::Buffer>,
    file: Option<OwnedFd>,
    size: u64,
    /// Where the answer begins in the object.
    offset: u64,
    bytes: Vec<u8>,
    filled: usize,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Open,
    Stat,
    Read,
}

mod types_statx {
    /// What the kernel writes a file's attributes to.
    pub(super) struct Buffer(pub(super) libc::statx);

    impl Buffer {
        pub(super) fn zeroed() -> Box<Self> {
            // SAFETY: `statx` consists of integers; all of them may be zero.
            Box::new(Self(unsafe { std::mem::zeroed() }))
        }
    }
}

/// What a completed operation leads to.
enum Next {
    Submit,
    Answer(Result<Fetched, StoreError>),
}

impl Flight {
    fn new(job: FetchJob) -> Result<Self, (FetchReply, StoreError)> {
        let FetchJob { key, span, limit, reply } = job;
        let path = span::check_request(span, limit)
            .and_then(|()| sys::check_key(&key))
            .and_then(|()| CString::new(&*key).map_err(|_| StoreError::Permanent("object key with NUL".into())));
        match path {
            Ok(path) => Ok(Self {
                key,
                span,
                limit,
                reply,
                path,
                stat: types_statx::Buffer::zeroed(),
                file: None,
                size: 0,
                offset: 0,
                bytes: Vec::new(),
                filled: 0,
                step: Step::Open,
            }),
            Err(error) => Err((reply, error)),
        }
    }

    /// The operation of the current step.
    fn operation(&mut self, root: &OwnedFd) -> squeue::Entry {
        let file = types::Fd(self.file.as_ref().map_or(-1, AsRawFd::as_raw_fd));
        match self.step {
            Step::Open => {
                opcode::OpenAt::new(types::Fd(root.as_raw_fd()), self.path.as_ptr()).flags(sys::OPEN_FLAGS.bits().cast_signed()).build()
            }
            Step::Stat => opcode::Statx::new(file, c"".as_ptr(), (&raw mut self.stat.0).cast())
                .flags(libc::AT_EMPTY_PATH)
                .mask(libc::STATX_SIZE | libc::STATX_TYPE)
                .build(),
            Step::Read => {
                let rest = &mut self.bytes[self.filled..];
                opcode::Read::new(file, rest.as_mut_ptr(), rest.len().min(MAX_READ) as u32)
                    .offset(self.offset.saturating_add(self.filled as u64))
                    .build()
            }
        }
    }

    /// Takes the result of the operation and says what comes next.
    fn advance(&mut self, result: i32) -> Next {
        if result < 0 {
            return self.failed(Errno::from_raw_os_error(-result));
        }
        match self.step {
            Step::Open => {
                // SAFETY: the kernel just made this descriptor for this request, and nobody else knows it.
                self.file = Some(unsafe { OwnedFd::from_raw_fd(result) });
                self.step = Step::Stat;
                Next::Submit
            }
            Step::Stat => match self.prepare_read() {
                Ok(()) if self.bytes.is_empty() => self.complete(),
                Ok(()) => {
                    self.step = Step::Read;
                    Next::Submit
                }
                Err(error) => Next::Answer(Err(error)),
            },
            Step::Read => {
                self.filled += result as usize;
                // Zero bytes: the object ended earlier than its size said (C32: the answer says how much there was).
                if result == 0 || self.filled == self.bytes.len() { self.complete() } else { Next::Submit }
            }
        }
    }

    fn failed(&self, errno: Errno) -> Next {
        // Interrupted, or not ready although nothing here is non-blocking for a regular file: the same again.
        if errno == Errno::INTR || (errno == Errno::AGAIN && self.step == Step::Read) {
            return Next::Submit;
        }
        let doing = match self.step {
            Step::Open => "open",
            Step::Stat => "stat",
            Step::Read => "read",
        };
        Next::Answer(Err(sys::store_error(errno, doing, &self.key)))
    }

    fn prepare_read(&mut self) -> Result<(), StoreError> {
        sys::check_regular(u32::from(self.stat.0.stx_mode), &self.key)?;
        self.size = self.stat.0.stx_size;
        let (offset, length) = span::resolve(self.span, self.size, self.limit)?;
        self.offset = offset;
        self.bytes = span::buffer(length)?;
        Ok(())
    }

    fn complete(&mut self) -> Next {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.truncate(self.filled);
        Next::Answer(Ok(Fetched { bytes, object_size: Some(self.size) }))
    }
}

/// The driver's thread.
struct Work {
    ring: IoUring,
    core: Arc<Core>,
    shared: Arc<Shared>,
    /// Look into the kernel's caches before using the ring: cached, a request needs three quick calls and no wake-ups.
    cached_first: bool,
    slots: Vec<Option<Box<Flight>>>,
    free: Vec<usize>,
    waiting: VecDeque<FetchJob>,
    /// Operations in the ring, the eventfd's read not counted.
    in_ring: usize,
    /// Where the kernel puts the eventfd's count.
    wake_count: Box<u64>,
}

impl Work {
    fn new(ring: IoUring, core: Arc<Core>, shared: Arc<Shared>, depth: usize, cached_first: bool) -> Self {
        Self {
            ring,
            core,
            shared,
            cached_first,
            slots: (0..depth).map(|_| None).collect(),
            free: (0..depth).rev().collect(),
            waiting: VecDeque::new(),
            in_ring: 0,
            wake_count: Box::new(0),
        }
    }

    fn run(mut self) {
        if let Err(error) = self.serve().and_then(|()| self.wind_up()) {
            tracing::error!(%error, "the io_uring driver failed; metadata is read by threads from here on");
            self.give_up(&error);
        }
    }

    fn serve(&mut self) -> io::Result<()> {
        self.listen()?;
        // Acquire: pairs with the Release of `Driver::drop`.
        while !self.shared.closed.load(Ordering::Acquire) {
            self.reap()?;
            while let Some(job) = self.shared.inbox.pop() {
                self.waiting.push_back(job);
            }
            self.admit()?;
            self.submit_and_sleep()?;
        }
        Ok(())
    }

    /// Submits what was prepared; sleeps until something completes, unless there is work already.
    fn submit_and_sleep(&mut self) -> io::Result<()> {
        // AcqRel: pairs with `Shared::ring` (module head). Acquire: as in `serve`.
        self.shared.bell.swap(ASLEEP, Ordering::AcqRel);
        let idle = self.ring.completion().is_empty() && self.shared.inbox.is_empty() && !self.shared.closed.load(Ordering::Acquire);
        let answer = submit(&self.ring, usize::from(idle));
        // Relaxed: it only stops ringing while this thread is awake; it reads the inbox before it sleeps again.
        self.shared.bell.store(AWAKE, Ordering::Relaxed);
        answer
    }

    /// Has the ring read the eventfd.
    fn listen(&mut self) -> io::Result<()> {
        let target = (&raw mut *self.wake_count).cast::<u8>();
        let entry = opcode::Read::new(types::Fd(self.shared.eventfd.as_raw_fd()), target, 8).build().user_data(WAKE);
        // SAFETY: `wake_count` and the eventfd live until the driver has seen this operation complete, or are leaked.
        unsafe { self.push(&entry) }
    }

    /// Starts waiting requests while there are slots.
    fn admit(&mut self) -> io::Result<()> {
        while !self.free.is_empty()
            && let Some(job) = self.waiting.pop_front()
        {
            if self.cached_first
                && let Some(answer) = self.core.fetch_now(&job.key, job.span, job.limit)
            {
                job.reply.send(answer);
                continue;
            }
            match Flight::new(job) {
                Ok(flight) => {
                    let Some(slot) = self.free.pop() else { break };
                    self.slots[slot] = Some(Box::new(flight));
                    self.start(slot)?;
                }
                Err((reply, error)) => reply.send(Err(error)),
            }
        }
        Ok(())
    }

    fn start(&mut self, slot: usize) -> io::Result<()> {
        let Some(flight) = &mut self.slots[slot] else { return Ok(()) };
        let entry = flight.operation(&self.core.root).user_data(slot as u64);
        // SAFETY: path, stat buffer and bytes belong to the slot, which stays until this operation completed.
        unsafe { self.push(&entry)? };
        self.in_ring += 1;
        Ok(())
    }

    /// # Safety
    /// What the entry points at stays valid until the operation completes.
    unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: promised by the caller.
        if unsafe { self.ring.submission().push(entry) }.is_ok() {
            return Ok(());
        }
        submit(&self.ring, 0)?;
        // SAFETY: promised by the caller.
        unsafe { self.ring.submission().push(entry) }.map_err(|_| io::Error::other("the submission queue stays full"))
    }

    fn reap(&mut self) -> io::Result<()> {
        while let Some(entry) = { self.ring.completion().next() } {
            match entry.user_data() {
                WAKE => self.listen()?,
                CANCEL => {}
                slot => {
                    self.in_ring -= 1;
                    self.completed(slot as usize, entry.result())?;
                }
            }
        }
        Ok(())
    }

    fn completed(&mut self, slot: usize, result: i32) -> io::Result<()> {
        let Some(flight) = &mut self.slots[slot] else { return Ok(()) };
        match flight.advance(result) {
            Next::Submit => self.start(slot),
            Next::Answer(answer) => {
                if let Some(flight) = self.slots[slot].take() {
                    self.free.push(slot);
                    self.answer(*flight, answer);
                }
                Ok(())
            }
        }
    }

    /// Answers, and keeps the file open for the bulk reads that follow the read of a shard's index.
    fn answer(&self, mut flight: Flight, answer: Result<Fetched, StoreError>) {
        if let Some(fd) = flight.file.take() {
            let file = OpenFile::new(&flight.key, (fd, flight.size), &self.core.counters);
            if answer.is_ok() && flight.span != Span::Whole {
                self.core.files.offer(file);
            }
        }
        flight.reply.send(answer);
    }

    /// Closing: answers everything with `Cancelled`, then waits for the kernel to let go of our memory.
    fn wind_up(&mut self) -> io::Result<()> {
        self.waiting.clear();
        self.shared.drop_inbox();
        for slot in 0..self.slots.len() {
            if self.slots[slot].is_some() {
                let entry = opcode::AsyncCancel::new(slot as u64).build().user_data(CANCEL);
                // SAFETY: a cancellation points at nothing.
                unsafe { self.push(&entry)? };
            }
        }
        rustix::io::write(&self.shared.eventfd, &1_u64.to_ne_bytes())?;
        let mut listening = true;
        while listening || self.in_ring > 0 {
            submit(&self.ring, 1)?;
            while let Some(entry) = { self.ring.completion().next() } {
                match entry.user_data() {
                    WAKE => listening = false,
                    CANCEL => {}
                    slot => {
                        self.in_ring -= 1;
                        self.abandon(slot as usize, entry.result());
                    }
                }
            }
        }
        Ok(())
    }

    /// A request's last operation completed while closing.
    fn abandon(&mut self, slot: usize, result: i32) {
        if let Some(mut flight) = self.slots[slot].take() {
            // Takes in a descriptor that was opened, so that it is closed.
            if flight.step == Step::Open {
                let _ = flight.advance(result);
            }
            self.answer(*flight, Err(StoreError::Cancelled));
        }
    }

    /// The ring failed. Answers what can be answered; what the kernel may still write to is leaked.
    fn give_up(mut self, error: &io::Error) {
        // Relaxed: a hint, see `Driver::submit`.
        self.shared.broken.store(true, Ordering::Relaxed);
        let words: Arc<str> = format!("io_uring: {error}").into();
        for flight in self.slots.iter_mut().filter_map(Option::take) {
            let Flight { reply, path, stat, bytes, file, .. } = *flight;
            std::mem::forget((path, stat, bytes, file));
            reply.send(Err(StoreError::Transient(Arc::clone(&words))));
        }
        for job in self.waiting.drain(..) {
            job.reply.send(Err(StoreError::Transient(Arc::clone(&words))));
        }
        std::mem::forget(self.wake_count);
        // Until the store goes: whoever has not yet seen `broken` still gets an answer.
        loop {
            while let Some(job) = self.shared.inbox.pop() {
                job.reply.send(Err(StoreError::Transient(Arc::clone(&words))));
            }
            // Acquire: as in `serve`.
            if self.shared.closed.load(Ordering::Acquire) {
                return;
            }
            // AcqRel: pairs with `Shared::ring` (module head).
            self.shared.bell.swap(ASLEEP, Ordering::AcqRel);
            if self.shared.inbox.is_empty() && !self.shared.closed.load(Ordering::Acquire) {
                let _ = rustix::io::read(&self.shared.eventfd, &mut [0_u8; 8]);
            }
        }
    }
}

/// Submits, and waits for `want` completions. Interruptions and a full completion queue are no errors: the caller reaps.
fn submit(ring: &IoUring, want: usize) -> io::Result<()> {
    match ring.submit_and_wait(want) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => Ok(()),
        Err(error) => Err(error),
    }
}
