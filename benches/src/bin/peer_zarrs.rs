//! zarrs as a peer.
//!
//! `--mode` says how crops are read:
//! `into` straight into a buffer; `partial` through an LRU of partial decoders, which keep shard indexes; `sharded` through
//! zarrs' reader of inner chunks, which keeps them too; `decoded` through an LRU of decoded chunks (of whole shards) of `--cache` bytes.
//! `--crops N` crops are read at once, each with `threads / N` threads inside.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use longshore_benches::peer::{Context, run};
use longshore_benches::positions::Position;
use longshore_benches::scenario::StoredType;
use serde_json::json;
use unsafe_cell_slice::UnsafeCellSlice;
use zarrs::array::chunk_cache::{ChunkCache, ChunkCacheDecodedLruSizeLimit, ChunkCachePartialDecoderLruChunkLimit};
use zarrs::array::{
    Array, ArrayBytes, ArrayBytesDecodeIntoTarget, ArrayBytesFixedDisjointView, ArrayShardedReadableExt, ArrayShardedReadableExtCache,
    ArraySubset, CodecOptions,
};
use zarrs::filesystem::FilesystemStore;
use zarrs::storage::ReadableStorageTraits;

type Store = dyn ReadableStorageTraits;

/// An open array and the cache of the chosen mode.
enum Reader {
    Into(Arc<Array<Store>>),
    Partial(ChunkCachePartialDecoderLruChunkLimit),
    Sharded(Arc<Array<Store>>, ArrayShardedReadableExtCache),
    Decoded(ChunkCacheDecodedLruSizeLimit),
}

impl Reader {
    fn open(context: &Context, mode: &str, array: usize) -> Result<Self, String> {
        let store: Arc<Store> = Arc::new(FilesystemStore::new(&context.paths[array]).map_err(|error| error.to_string())?);
        let array = Arc::new(Array::open(store, "/").map_err(|error| error.to_string())?);
        match mode {
            "into" => Ok(Self::Into(array)),
            "partial" => Ok(Self::Partial(ChunkCachePartialDecoderLruChunkLimit::new(array, 4096))),
            "sharded" => {
                let cache = ArrayShardedReadableExtCache::new(&array);
                Ok(Self::Sharded(array, cache))
            }
            "decoded" => Ok(Self::Decoded(ChunkCacheDecodedLruSizeLimit::new(array, context.cache / context.paths.len() as u64))),
            _ => Err(format!("--mode {mode}: into, partial, sharded, decoded")),
        }
    }

    /// Reads a box of elements of `size` bytes and hands its bytes to `take`.
    fn read(
        &self,
        subset: &ArraySubset,
        size: usize,
        buffer: &mut Vec<u8>,
        options: &CodecOptions,
        take: impl FnOnce(&[u8]),
    ) -> Result<(), String> {
        let explain = |error: zarrs::array::ArrayError| error.to_string();
        match self {
            Self::Into(array) => {
                buffer.resize(subset.num_elements_usize() * size, 0);
                read_into(array, subset, size, buffer, options)?;
                take(buffer);
            }
            Self::Partial(cache) => {
                let bytes = cache.retrieve_array_subset_bytes(subset, options).map_err(explain)?;
                take(fixed(&bytes)?);
            }
            Self::Decoded(cache) => {
                let bytes = cache.retrieve_array_subset_bytes(subset, options).map_err(explain)?;
                take(fixed(&bytes)?);
            }
            Self::Sharded(array, cache) => {
                let bytes: ArrayBytes<'_> = array.retrieve_array_subset_sharded_opt(cache, subset, options).map_err(explain)?;
                take(fixed(&bytes)?);
            }
        }
        Ok(())
    }
}

fn fixed<'a>(bytes: &'a ArrayBytes<'_>) -> Result<&'a [u8], String> {
    match bytes {
        ArrayBytes::Fixed(bytes) => Ok(bytes),
        _ => Err("not of fixed size".into()),
    }
}

fn read_into(array: &Array<Store>, subset: &ArraySubset, size: usize, buffer: &mut [u8], options: &CodecOptions) -> Result<(), String> {
    let shape = subset.shape().to_vec();
    let whole = ArraySubset::new_with_shape(shape.clone());
    // SAFETY: this view is the only one over the buffer; zarrs divides it into disjoint parts.
    let view = unsafe { ArrayBytesFixedDisjointView::new(UnsafeCellSlice::new(buffer), size, &shape, whole) };
    let mut view = view.map_err(|error| error.to_string())?;
    array.retrieve_array_subset_into_opt(subset, ArrayBytesDecodeIntoTarget::Fixed(&mut view), options).map_err(|error| error.to_string())
}

fn cast(bytes: &[u8], dtype: StoredType, row: &mut [f32]) {
    fn each<const N: usize>(bytes: &[u8], row: &mut [f32], convert: impl Fn([u8; N]) -> f32) {
        row.iter_mut().zip(bytes.as_chunks::<N>().0).for_each(|(to, from)| *to = convert(*from));
    }
    match dtype {
        StoredType::U8 => each(bytes, row, |[byte]| f32::from(byte)),
        StoredType::U16 => each(bytes, row, |bytes| f32::from(u16::from_le_bytes(bytes))),
        StoredType::I16 => each(bytes, row, |bytes| f32::from(i16::from_le_bytes(bytes))),
        StoredType::F32 => each(bytes, row, f32::from_le_bytes),
    }
}

fn peer() -> Result<(), String> {
    let context = Context::from_arguments()?;
    let mode = context.flag("mode", if context.scenario.arrays.shard_shape.is_some() { "partial" } else { "into" });
    let at_once: usize = context.flag("crops", &context.threads.to_string()).parse().map_err(|_| "--crops: not a number")?;
    let options = CodecOptions::default().with_concurrent_target((context.threads / at_once).max(1));
    let settings = json!({ "mode": mode, "crops": at_once, "threads": context.threads, "cache": context.cache });
    let readers: Vec<OnceLock<Result<Reader, String>>> = context.paths.iter().map(|_| OnceLock::new()).collect();
    let mut buffers: Vec<Vec<u8>> = vec![Vec::new(); at_once];
    run("zarrs", &settings, &context, |crops, out| {
        let rows: Vec<Mutex<&mut [f32]>> = out.chunks_mut(context.scenario.sample_len()).map(Mutex::new).collect();
        let next = AtomicUsize::new(0);
        let work = |buffer: &mut Vec<u8>| -> Result<(), String> {
            loop {
                // Relaxed: the counter only hands out numbers; the scope's join publishes the batch.
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(Position { array, start }) = crops.get(number) else { return Ok(()) };
                let reader = readers[*array].get_or_init(|| Reader::open(&context, &mode, *array)).as_ref().map_err(Clone::clone)?;
                let dtypes = &context.scenario.arrays.dtypes;
                let dtype = dtypes[*array % dtypes.len()];
                let subset = ArraySubset::new_with_start_shape(start.clone(), context.scenario.sample_shape.clone());
                let subset = subset.map_err(|error| error.to_string())?;
                let mut row = rows[number].lock().map_err(|error| error.to_string())?;
                reader.read(&subset, dtype.size(), buffer, &options, |bytes| cast(bytes, dtype, &mut row))?;
            }
        };
        std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = buffers.iter_mut().map(|buffer| scope.spawn(move || work(buffer))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a reader panicked".to_owned())?)
        })
    })
}

fn main() -> ExitCode {
    match peer() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("peer_zarrs: {reason}");
            ExitCode::FAILURE
        }
    }
}
