//! The system calls of the local store, and what their errors mean.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::StoreError;

/// Flags that every object is opened with. `NONBLOCK`: opening a FIFO must not wait for its writer.
pub(crate) const OPEN_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// What an errno of `doing` (a verb) on `key` means.
///
/// Transient: whatever the next try may find gone. Shortage (EMFILE, ENFILE, ENOMEM, ENOBUFS), the network under a mount
/// (ETIMEDOUT, ECONNRESET and their like), a file handle that the server replaced (ESTALE), a file that is busy (EAGAIN,
/// EBUSY, EDEADLK), interruption. Everything else is permanent, EIO included: from a disk it means lost data, and hard
/// mounts of network file systems do not report it for what passes by itself.
pub(crate) fn store_error(errno: Errno, doing: &str, key: &str) -> StoreError {
    let words = || format!("{doing} /{key}: {errno}").into();
    match errno {
        Errno::NOENT | Errno::NOTDIR => StoreError::NotFound,
        Errno::INTR
        | Errno::AGAIN
        | Errno::BUSY
        | Errno::DEADLK
        | Errno::MFILE
        | Errno::NFILE
        | Errno::NOMEM
        | Errno::NOBUFS
        | Errno::STALE
        | Errno::TIMEDOUT
        | Errno::CONNRESET
        | Errno::CONNABORTED
        | Errno::CONNREFUSED
        | Errno::NOTCONN
        | Errno::NETDOWN
        | Errno::NETUNREACH
        | Errno::NETRESET
        | Errno::HOSTDOWN
        | Errno::HOSTUNREACH => StoreError::Transient(words()),
        _ => StoreError::Permanent(words()),
    }
}

/// Refuses keys that could leave the store's root or that no file system can hold. Keys are built from checked prefixes
/// and integers; this is the second lock on the same door.
pub(crate) fn check_key(key: &str) -> Result<(), StoreError> {
    let bad = key.contains('\0') || key.split('/').any(|segment| matches!(segment, "" | "." | ".."));
    if bad {
        let words = format!("object key {key:?}: a key has no empty, `.` or `..` segment and no NUL");
        return Err(StoreError::Permanent(words.into()));
    }
    Ok(())
}

/// Opens the directory that keys are relative to.
pub(crate) fn open_root(root: &Path) -> std::io::Result<OwnedFd> {
    Ok(openat(CWD, root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens an object, waiting as long as it takes. Answers its size too.
pub(crate) fn open(root: BorrowedFd<'_>, key: &str) -> Result<(OwnedFd, u64), StoreError> {
    check_key(key)?;
    let fd = retry_interrupted(|| openat(root, key, OPEN_FLAGS, Mode::empty())).map_err(|errno| store_error(errno, "open", key))?;
    let size = regular_size(&fd, key)?;
    Ok((fd, size))
}

/// Opens an object if its path is in the kernel's name cache; `None`: that would wait.
#[cfg(target_os = "linux")]
pub(crate) fn open_cached(root: BorrowedFd<'_>, key: &str) -> Result<Option<(OwnedFd, u64)>, StoreError> {
    use rustix::fs::{ResolveFlags, openat2};
    check_key(key)?;
    match retry_interrupted(|| openat2(root, key, OPEN_FLAGS, Mode::empty(), ResolveFlags::CACHED)) {
        Ok(fd) => {
            let size = regular_size(&fd, key)?;
            Ok(Some((fd, size)))
        }
        Err(errno @ (Errno::NOENT | Errno::NOTDIR | Errno::ACCESS)) => Err(store_error(errno, "open", key)),
        // AGAIN: not cached. NOSYS, INVAL, PERM: a kernel before 5.12, a seccomp profile. All else: let `open` explain it.
        Err(_) => Ok(None),
    }
}

/// Opens nothing: this system cannot tell whether it would wait.
#[cfg(not(target_os = "linux"))]
pub(crate) fn open_cached(_root: BorrowedFd<'_>, _key: &str) -> Result<Option<(OwnedFd, u64)>, StoreError> {
    Ok(None)
}

/// Size of an open file. Refuses what is not a regular file, by name.
fn regular_size(fd: impl AsFd, key: &str) -> Result<u64, StoreError> {
    let stat = retry_interrupted(|| fstat(&fd)).map_err(|errno| store_error(errno, "stat", key))?;
    // Types of these fields differ between platforms.
    #[allow(clippy::unnecessary_cast)]
    check_regular(stat.st_mode as u32, key).map(|()| stat.st_size as u64)
}

/// Refuses what is not a regular file, by name. `mode` as in `st_mode`.
pub(crate) fn check_regular(mode: u32, key: &str) -> Result<(), StoreError> {
    #[allow(clippy::unnecessary_cast)]
    let found = match FileType::from_raw_mode(mode as rustix::fs::RawMode) {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::BlockDevice | FileType::CharacterDevice => "a device",
        _ => "no file",
    };
    Err(StoreError::Permanent(format!("/{key} is {found}, a regular file is needed").into()))
}

/// Fills `into` from `offset` on, waiting as long as it takes. Answers how much there was: less than asked for only where
/// the file ends (C32).
pub(crate) fn read_full(fd: impl AsFd, offset: u64, into: &mut [u8]) -> rustix::io::Result<usize> {
    read_until_end(offset, into, |at, rest| rustix::io::pread(&fd, rest, at))
}

/// As [`read_full`] of what is in the page cache; `Err(AGAIN)` where some of it is not.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn read_cached(fd: impl AsFd, offset: u64, into: &mut [u8]) -> rustix::io::Result<usize> {
    use rustix::io::{IoSliceMut, ReadWriteFlags, preadv2};
    read_until_end(offset, into, |at, rest| preadv2(&fd, &mut [IoSliceMut::new(rest)], at, ReadWriteFlags::NOWAIT))
}

/// Reads nothing: this system cannot tell whether it would wait.
#[cfg(not(target_os = "linux"))]
pub(crate) fn read_cached(_fd: impl AsFd, _offset: u64, _into: &mut [u8]) -> rustix::io::Result<usize> {
    Err(Errno::OPNOTSUPP)
}

/// Repeats `read` until the slice is full or the file ends. A short answer alone does not mean the end: a signal, a page
/// that is not cached and the kernel's own limit of 2 GiB shorten answers too.
#[inline]
fn read_until_end(offset: u64, into: &mut [u8], read: impl Fn(u64, &mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<usize> {
    let mut filled = 0;
    // Each turn fills at least one byte, ends, or was interrupted by a signal.
    while filled < into.len() {
        let Some(at) = offset.checked_add(filled as u64).filter(|at| i64::try_from(*at).is_ok()) else {
            break; // No file reaches that far.
        };
        match read(at, &mut into[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}

fn retry_interrupted<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            answer => return answer,
        }
    }
}

/// Descriptors a cache may hold: half of what the process may open beyond a reserve for everybody else.
pub(crate) fn descriptor_budget() -> usize {
    let soft = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    budget_of(soft)
}

fn budget_of(soft_limit: Option<u64>) -> usize {
    let half = soft_limit.unwrap_or(u64::MAX).saturating_sub(64) / 2;
    half.clamp(16, 4096) as usize
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn c40_the_descriptor_budget_follows_the_limit() {
        for (soft, budget) in [(Some(0), 16), (Some(64), 16), (Some(1024), 480), (Some(20_000), 4096), (None, 4096)] {
            assert_eq!(budget_of(soft), budget, "{soft:?}");
        }
    }

    #[test]
    fn c32_a_short_read_is_continued_and_only_zero_is_the_end() {
        // The file holds 10 bytes; the answers come in pieces, with a signal in between.
        let answers = RefCell::new(vec![Ok(3), Err(Errno::INTR), Ok(4), Ok(3), Ok(0)].into_iter());
        let asked = RefCell::new(Vec::new());
        let filled = read_until_end(100, &mut [0; 16], |at, rest| {
            asked.borrow_mut().push((at, rest.len()));
            answers.borrow_mut().next().unwrap()
        });
        assert_eq!(filled, Ok(10));
        assert_eq!(*asked.borrow(), [(100, 16), (103, 13), (103, 13), (107, 9), (110, 6)]);
    }

    #[test]
    fn c32_a_read_that_would_wait_halfway_is_no_end_of_file() {
        let answers = RefCell::new(vec![Ok(3), Err(Errno::AGAIN)].into_iter());
        let filled = read_until_end(0, &mut [0; 16], |_, _| answers.borrow_mut().next().unwrap());
        assert_eq!(filled, Err(Errno::AGAIN));
    }

    #[test]
    fn offsets_beyond_any_file_are_its_end() {
        assert_eq!(read_until_end(u64::MAX, &mut [0; 4], |_, _| unreachable!()), Ok(0));
    }

    #[test]
    fn keys_that_could_leave_the_root_are_refused() {
        for key in ["", "/a", "a/", "a//b", "a/../b", "..", "./a", "a/.", "a\0b"] {
            assert!(matches!(check_key(key), Err(StoreError::Permanent(_))), "{key:?}");
        }
        for key in ["a", "a/b", "a/..b", "a/b..", "...", "c/0/1"] {
            assert!(check_key(key).is_ok(), "{key:?}");
        }
    }
}
