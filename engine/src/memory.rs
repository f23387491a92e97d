//! The memory budget: one number, accounted to the byte, by purpose.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a reservation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Batches,
    Staging,
    Decoded,
    Metadata,
}

pub(crate) const PURPOSES: usize = 4;

/// Bytes reserved of a fixed total. Clones share the account.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    account: Arc<Account>,
}

#[derive(Debug)]
struct Account {
    total: u64,
    used: AtomicU64,
    peak: AtomicU64,
    by_purpose: [AtomicU64; PURPOSES],
}

impl Budget {
    pub(crate) fn new(total: u64) -> Self {
        let account = Account { total, used: AtomicU64::new(0), peak: AtomicU64::new(0), by_purpose: Default::default() };
        Self { account: Arc::new(account) }
    }

    pub(crate) fn total(&self) -> u64 {
        self.account.total
    }

    pub(crate) fn used(&self) -> u64 {
        // Relaxed: a statistic; nothing is published through it.
        self.account.used.load(Ordering::Relaxed)
    }

    pub(crate) fn peak(&self) -> u64 {
        // Relaxed: as above.
        self.account.peak.load(Ordering::Relaxed)
    }

    pub(crate) fn used_for(&self, purpose: Purpose) -> u64 {
        // Relaxed: as above.
        self.account.by_purpose[purpose as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn available(&self) -> u64 {
        self.account.total.saturating_sub(self.used())
    }

    /// Reserves `bytes`, or nothing where they would exceed the total.
    pub(crate) fn reserve(&self, purpose: Purpose, bytes: u64) -> Option<Lease> {
        let account = &self.account;
        // Relaxed throughout: the counter alone decides, the memory it stands for is published by other means.
        let grow = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= account.total);
        let before = account.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow).ok()?;
        account.peak.fetch_max(before + bytes, Ordering::Relaxed);
        account.by_purpose[purpose as usize].fetch_add(bytes, Ordering::Relaxed);
        Some(Lease { budget: self.clone(), purpose, bytes })
    }
}

/// A reservation; dropping it gives the bytes back.
#[derive(Debug)]
pub(crate) struct Lease {
    budget: Budget,
    purpose: Purpose,
    bytes: u64,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Relaxed: see `Budget::reserve`.
        self.budget.account.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.account.by_purpose[self.purpose as usize].fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Zeroed bytes aligned for vector stores and for handing to other libraries, under a lease.
pub(crate) struct AlignedBytes {
    start: NonNull<u8>,
    len: usize,
    _lease: Lease,
}

/// Alignment of batch and chunk buffers, bytes.
pub(crate) const ALIGNMENT: usize = 64;
const HUGE_PAGE: usize = 2 << 20;

// SAFETY: `AlignedBytes` owns its allocation alone; access follows the borrow rules of `as_slice`/`as_mut_slice`,
// and `start()` hands out a pointer whose users state their own exclusion.
unsafe impl Send for AlignedBytes {}
// SAFETY: as above; a shared reference gives shared reads only.
unsafe impl Sync for AlignedBytes {}

impl AlignedBytes {
    /// Reserves and allocates; `None` where the budget has no room.
    pub(crate) fn new(budget: &Budget, purpose: Purpose, len: usize) -> Option<Self> {
        let lease = budget.reserve(purpose, len as u64)?;
        let start = if len >= MAPPED_BYTES { map(len) } else { allocate(len) };
        Some(Self { start, len, _lease: lease })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        // SAFETY: `start` is valid for `len` initialised (zeroed at birth) bytes while `self` lives.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

/// Buffers of at least this many bytes are mapped by themselves: what is freed goes back to the system, and no allocator's
/// arenas keep it beyond the budget.
const MAPPED_BYTES: usize = 64 << 10;

fn layout(len: usize) -> Layout {
    Layout::from_size_align(len.max(1), ALIGNMENT).expect("small: larger buffers are mapped")
}

fn allocate(len: usize) -> NonNull<u8> {
    let layout = layout(len);
    // SAFETY: the layout's size is at least 1.
    let start = unsafe { alloc_zeroed(layout) };
    NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Zeroed pages. Large mappings ask for huge pages: fewer faults and TLB misses on buffers that are rewritten all the time.
fn map(len: usize) -> NonNull<u8> {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
    // SAFETY: a fresh private mapping wherever the kernel likes aliases nothing.
    let mapped = unsafe { mmap_anonymous(std::ptr::null_mut(), mapped_len(len), ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
    let start = match mapped {
        Ok(start) => start,
        // As any allocation that the system refuses within the budget.
        Err(error) => panic!("mapping {len} bytes: {}", io::Error::from(error)),
    };
    #[cfg(target_os = "linux")]
    if len >= HUGE_PAGE {
        // SAFETY: the range is the mapping just made; the call only advises, and its failure is harmless.
        let _ = unsafe { madvise(start, mapped_len(len), Advice::LinuxHugepage) };
    }
    NonNull::new(start.cast()).expect("a successful mapping is not at address zero")
}

/// Huge pages need an aligned range of whole ones; the kernel aligns mappings of such lengths.
fn mapped_len(len: usize) -> usize {
    if len >= HUGE_PAGE { len.next_multiple_of(HUGE_PAGE) } else { len }
}

impl Drop for AlignedBytes {
    fn drop(&mut self) {
        if self.len >= MAPPED_BYTES {
            // SAFETY: mapped in `new` with the same length; unmapped once, here.
            let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), mapped_len(self.len)) };
        } else {
            // SAFETY: allocated in `new` with the same layout; freed once, here.
            unsafe { dealloc(self.start.as_ptr(), layout(self.len)) }
        }
    }
}

impl fmt::Debug for AlignedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBytes({} bytes)", self.len)
    }
}

/// The default budget: a quarter of what this process may use, at most 4 GiB.
pub(crate) fn default_budget() -> u64 {
    (usable_memory() / 4).min(4 << 30)
}

/// Bytes this process may use: physical memory, or the cgroup's limit where that is less.
pub(crate) fn usable_memory() -> u64 {
    let physical = meminfo_total().unwrap_or(4 << 30);
    cgroup_limits().fold(physical, u64::min)
}

fn meminfo_total() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Limits of every cgroup from ours up to the root, v2 and v1. A file that cannot be read sets no limit.
fn cgroup_limits() -> impl Iterator<Item = u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut files = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next(), parts.next().unwrap_or(""), parts.next().unwrap_or("/"));
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            c if c.split(',').any(|c| c == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        for ancestor in std::path::Path::new(path.trim_start_matches('/')).ancestors() {
            files.push(std::path::Path::new(root).join(ancestor).join(file));
        }
    }
    files.into_iter().filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok())
}

/// Cores this process may use: its affinity mask, or the cgroup's quota where that is less. At least 1.
pub(crate) fn usable_cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C41: reservations never exceed the total, and come back when dropped.
    #[test]
    fn c41_reservations_stay_within_the_total() {
        let budget = Budget::new(100);
        let first = budget.reserve(Purpose::Batches, 60).unwrap();
        assert!(budget.reserve(Purpose::Decoded, 41).is_none());
        let second = budget.reserve(Purpose::Decoded, 40).unwrap();
        assert_eq!((budget.used(), budget.available(), second.bytes), (100, 0, 40));
        drop(first);
        assert_eq!((budget.used(), budget.peak()), (40, 100));
        assert_eq!(budget.used_for(Purpose::Batches), 0);
        assert!(budget.reserve(Purpose::Decoded, u64::MAX).is_none());
    }

    #[test]
    fn aligned_bytes_are_zeroed_and_aligned() {
        let budget = Budget::new(16 << 20);
        let bytes = AlignedBytes::new(&budget, Purpose::Batches, 1000).unwrap();
        assert_eq!(bytes.start().as_ptr() as usize % ALIGNMENT, 0);
        assert!(bytes.as_slice().iter().all(|&b| b == 0) && bytes.len() == 1000);
        assert!(AlignedBytes::new(&budget, Purpose::Batches, 16 << 20).is_none());
        drop(bytes);
        assert!(AlignedBytes::new(&budget, Purpose::Batches, 16 << 20).is_some());
    }

    #[test]
    fn this_process_may_use_something() {
        assert!(usable_memory() > 64 << 20 && default_budget() <= 4 << 30 && usable_cores() >= 1);
    }
}
