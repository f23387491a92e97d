//! Stored objects: open files or maps, and shard indexes, each fetched once.

use std::collections::HashMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use longshore_benches::peer::Context;

use crate::plan::Job;

/// The objects that the batches so far have touched.
pub(crate) struct Objects {
    roots: Vec<PathBuf>,
    /// Inner chunks per shard and axis; all 1 for unsharded arrays.
    inner: Vec<u64>,
    sharded: bool,
    mmap: bool,
    open: HashMap<(usize, Vec<u64>), Option<Shard>>,
}

struct Shard {
    file: File,
    map: Option<Map>,
    /// Offset and length per inner chunk; empty for unsharded arrays.
    index: Vec<(u64, u64)>,
}

struct Map {
    start: *const u8,
    len: usize,
}

// SAFETY: the mapping is read-only and lives as long as the process; any thread may read it.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

/// Encoded bytes of one chunk: where to read them.
pub(crate) enum Stored<'a> {
    /// Not stored: fill.
    Missing,
    /// Mapped.
    Mapped(&'a [u8]),
    /// To be read from `file`.
    Range { file: &'a File, offset: u64, len: usize },
    /// A whole file, to be opened.
    Whole(PathBuf),
}

impl Objects {
    pub(crate) fn new(context: &Context, mmap: bool) -> Self {
        let arrays = &context.scenario.arrays;
        let sharded = arrays.shard_shape.is_some();
        let cell = arrays.shard_shape.as_ref().unwrap_or(&arrays.chunk_shape);
        let inner = cell.iter().zip(&arrays.chunk_shape).map(|(cell, chunk)| cell / chunk).collect();
        Self { roots: context.paths.clone(), inner, sharded, mmap, open: HashMap::new() }
    }

    /// Opens the shards of `jobs` that are not open, and reads their indexes.
    pub(crate) fn prepare(&mut self, jobs: &[Job]) -> Result<(), String> {
        if !self.sharded {
            return Ok(());
        }
        for job in jobs {
            let key = (job.array, self.shard_of(&job.chunk));
            if !self.open.contains_key(&key) {
                let shard = self.open_shard(&self.path(key.0, &key.1))?;
                self.open.insert(key, shard);
            }
        }
        Ok(())
    }

    /// Where the encoded bytes of a chunk stand.
    pub(crate) fn stored(&self, array: usize, chunk: &[u64]) -> Stored<'_> {
        if !self.sharded {
            return Stored::Whole(self.path(array, chunk));
        }
        let Some(Some(shard)) = self.open.get(&(array, self.shard_of(chunk))) else { return Stored::Missing };
        let number = chunk.iter().zip(&self.inner).fold(0, |number, (index, inner)| number * inner + index % inner);
        let (offset, len) = shard.index[number as usize];
        match &shard.map {
            _ if offset == u64::MAX => Stored::Missing,
            None => Stored::Range { file: &shard.file, offset, len: len as usize },
            Some(map) => {
                assert!(offset + len <= map.len as u64, "the index points behind the shard");
                // SAFETY: the range lies inside the mapping, which is never unmapped; the files do not change during a bench.
                Stored::Mapped(unsafe { std::slice::from_raw_parts(map.start.add(offset as usize), len as usize) })
            }
        }
    }

    fn shard_of(&self, chunk: &[u64]) -> Vec<u64> {
        chunk.iter().zip(&self.inner).map(|(index, inner)| index / inner).collect()
    }

    fn path(&self, array: usize, cell: &[u64]) -> PathBuf {
        cell.iter().fold(self.roots[array].join("c"), |path, index| path.join(index.to_string()))
    }

    fn open_shard(&self, path: &Path) -> Result<Option<Shard>, String> {
        let explain = |error: std::io::Error| format!("{}: {error}", path.display());
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(explain)?,
        };
        let len = file.metadata().map_err(explain)?.len();
        let entries = self.inner.iter().product::<u64>() as usize;
        let mut bytes = vec![0; entries * 16];
        // The index stands at the end, before its CRC-32C.
        let at = len.checked_sub(bytes.len() as u64 + 4).ok_or_else(|| format!("{}: too short for its index", path.display()))?;
        file.read_exact_at(&mut bytes, at).map_err(explain)?;
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let index = bytes.chunks_exact(16).map(|entry| (word(&entry[..8]), word(&entry[8..]))).collect();
        let map = self.mmap.then(|| Map::new(&file, len as usize)).transpose().map_err(explain)?;
        Ok(Some(Shard { file, map, index }))
    }
}

impl Map {
    fn new(file: &File, len: usize) -> std::io::Result<Self> {
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        // SAFETY: a fresh read-only mapping of an open file at an address that the kernel chooses.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, flags, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), len })
    }
}
