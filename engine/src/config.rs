//! What a user configures, and the checks before anything starts.

use std::sync::Arc;
use std::time::Duration;

use crate::assemble::Affine;
use crate::error::{ConfigError, Error};
use crate::loader::Loader;
use crate::sample::CropBox;
use crate::store::{LatencyModel, LatencyScope, MetadataIo, Stores};
use crate::zarr::{Axes, DataType, MAX_RANK};

/// Element type of a field in the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// The arrays' own type; all arrays of the field must share it.
    #[default]
    Native,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    BF16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

/// What a box may do that reaches outside its array.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Outside {
    /// Nothing: such a sample fails.
    #[default]
    Error,
    /// Outside elements take the array's `fill_value`.
    Fill,
    /// Outside elements take this value, in the units of the array (before scale and offset).
    Constant(f64),
    /// Outside elements repeat the nearest element of the array.
    Edge,
}

/// What becomes of a batch one of whose samples fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The batch is given up and reported; the loader goes on with the next.
    #[default]
    Fail,
    /// The sample's row takes the array's fill value (zero where it is unknown) and is flagged in [`Row::error`](crate::Row::error).
    Fill,
    /// The sample's row is left out; the batch is shorter and [`Batch::skipped`](crate::Batch::skipped) says why.
    Skip,
}

/// One tensor of the batch.
#[derive(Clone, Debug)]
pub struct Field {
    pub(crate) name: Arc<str>,
    pub(crate) crop: Axes<u64>,
    pub(crate) dtype: Dtype,
    pub(crate) affine: Option<Affine>,
    pub(crate) outside: Outside,
}

impl Field {
    /// A field called `name` of crops of shape `crop` (elements, in stored axis order). A box may have further axes of
    /// extent 1, which are squeezed away.
    pub fn new(name: impl Into<Arc<str>>, crop: impl IntoIterator<Item = u64>) -> Self {
        Self { name: name.into(), crop: crop.into_iter().collect(), dtype: Dtype::Native, affine: None, outside: Outside::Error }
    }

    /// Element type in the batch. Default: the arrays' own.
    pub fn dtype(mut self, dtype: Dtype) -> Self {
        self.dtype = dtype;
        self
    }

    /// `out = in * scale + offset`, for floating-point outputs.
    pub fn scale_offset(mut self, scale: f64, offset: f64) -> Self {
        self.affine = Some(Affine { scale, offset });
        self
    }

    /// What boxes may do outside their array. Default: fail.
    pub fn outside(mut self, outside: Outside) -> Self {
        self.outside = outside;
        self
    }
}

/// Builds a [`Loader`]. Everything but the fields and the batch size has a default that starts anywhere.
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) fields: Vec<Field>,
    pub(crate) batch: usize,
    pub(crate) lookahead: Option<usize>,
    pub(crate) memory_budget: Option<u64>,
    pub(crate) threads: Option<usize>,
    pub(crate) buffers: usize,
    pub(crate) drop_last: bool,
    pub(crate) on_error: OnError,
    pub(crate) pin_engine: Option<usize>,
    pub(crate) max_read_bytes: Option<u64>,
    pub(crate) reuse: bool,
    pub(crate) probe_layouts: bool,
    pub(crate) cache_slots: Option<usize>,
    pub(crate) io: Io,
}

/// Everything about stores that a loader can be told.
#[derive(Clone, Debug)]
pub(crate) struct Io {
    pub(crate) metadata: MetadataIo,
    pub(crate) io_threads: Option<usize>,
    pub(crate) latency: Option<(LatencyModel, LatencyScope)>,
    pub(crate) retry_deadline: Duration,
    pub(crate) seed: u64,
    pub(crate) stores: Option<Arc<Stores>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            fields: Vec::new(),
            batch: 1,
            lookahead: None,
            memory_budget: None,
            threads: None,
            buffers: 3,
            drop_last: false,
            on_error: OnError::Fail,
            pin_engine: None,
            max_read_bytes: None,
            reuse: true,
            probe_layouts: false,
            cache_slots: None,
            io: Io {
                metadata: MetadataIo::Auto,
                io_threads: None,
                latency: None,
                retry_deadline: Duration::from_secs(30),
                seed: 0,
                stores: None,
            },
        }
    }
}

impl Builder {
    /// Adds a field. A loader with one field may call it anything; its samples need no names.
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// Shorthand for one unnamed field of crops of this shape, cast to `dtype`.
    pub fn crop(self, shape: impl IntoIterator<Item = u64>, dtype: Dtype) -> Self {
        self.field(Field::new("", shape).dtype(dtype))
    }

    /// Samples per batch. Default 1.
    pub fn batch(mut self, samples: usize) -> Self {
        self.batch = samples;
        self
    }

    /// Samples that may be pushed before the first of them is being read. The deeper, the more latency is hidden and the more
    /// chunks are used twice. Default: 8 batches, at least 256.
    pub fn lookahead(mut self, samples: usize) -> Self {
        self.lookahead = Some(samples);
        self
    }

    /// Bytes for everything: batch buffers, staging, decoded chunks, metadata. Default: a quarter of what this process may use
    /// (cgroup-aware), at most 4 GiB.
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.memory_budget = Some(bytes);
        self
    }

    /// Decode threads. Default: the cores this process may use (affinity and cgroup quota).
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Batches that may be rendered or held at once. Default 3.
    pub fn buffers(mut self, buffers: usize) -> Self {
        self.buffers = buffers;
        self
    }

    /// Drops a partial last batch instead of delivering it. Default: deliver.
    pub fn drop_last(mut self, drop_last: bool) -> Self {
        self.drop_last = drop_last;
        self
    }

    /// What a failed sample does to its batch. Default: the batch fails, the loader goes on.
    pub fn on_error(mut self, policy: OnError) -> Self {
        self.on_error = policy;
        self
    }

    /// Pins the engine thread to this core. Default: not pinned.
    pub fn pin_engine(mut self, core: usize) -> Self {
        self.pin_engine = Some(core);
        self
    }

    /// Upper bound of one coalesced read, bytes. Default: what the store says.
    pub fn max_read_bytes(mut self, bytes: u64) -> Self {
        self.max_read_bytes = Some(bytes);
        self
    }

    /// Whether decoded chunks that the lookahead wants again are kept. Default true; off for measurements.
    pub fn reuse(mut self, reuse: bool) -> Self {
        self.reuse = reuse;
        self
    }

    /// Whether the prefetcher also probes a chunk header per array, as backends that decode on a device need. Default false:
    /// the host reads headers from the chunks themselves.
    pub fn probe_layouts(mut self, probe: bool) -> Self {
        self.probe_layouts = probe;
        self
    }

    /// Slots of each metadata cache: for tests that want them full. Everybody else lets them follow from lookahead and budget.
    #[doc(hidden)]
    pub fn cache_slots(mut self, slots: usize) -> Self {
        self.cache_slots = Some(slots);
        self
    }

    /// How metadata of local arrays is read. Default: whatever the kernel has.
    pub fn metadata_io(mut self, metadata: MetadataIo) -> Self {
        self.io.metadata = metadata;
        self
    }

    /// Threads that wait for the local disk. Default: the store's.
    pub fn io_threads(mut self, threads: usize) -> Self {
        self.io.io_threads = Some(threads);
        self
    }

    /// Adds this delay to every request, for measurements.
    pub fn latency(mut self, model: LatencyModel, scope: LatencyScope) -> Self {
        self.io.latency = Some((model, scope));
        self
    }

    /// How long transient errors are retried before they count. Default 30 s; zero: no retries.
    pub fn retry_deadline(mut self, deadline: Duration) -> Self {
        self.io.retry_deadline = deadline;
        self
    }

    /// Seed of everything random inside (retry jitter, injected latency). Default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.io.seed = seed;
        self
    }

    /// Reads through these stores instead of the loader's own: for tests with wrapped or in-memory stores.
    pub fn stores(mut self, stores: Arc<Stores>) -> Self {
        self.io.stores = Some(stores);
        self
    }

    /// Checks everything and starts the loader's threads.
    ///
    /// # Errors
    /// [`Error::Config`] says which value cannot work and what would; [`Error::Internal`] if a thread cannot be started.
    pub fn build(self) -> Result<Loader, Error> {
        self.check()?;
        Loader::start(self)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let fail = |text: String| Err(ConfigError(text));
        if self.fields.is_empty() {
            return fail("a loader needs at least one field: call crop(...) or field(...)".into());
        }
        if self.fields.len() > u16::MAX as usize {
            return fail(format!("{} fields, at most {} are possible", self.fields.len(), u16::MAX));
        }
        for (i, field) in self.fields.iter().enumerate() {
            field.check(self.fields[..i].iter())?;
        }
        if self.batch == 0 || self.batch > 1 << 20 {
            return fail(format!("batch is {} samples, it must be 1 to {}", self.batch, 1 << 20));
        }
        if self.buffers == 0 || self.buffers > 1024 {
            return fail(format!("buffers is {}, it must be 1 to 1024", self.buffers));
        }
        if let Some(lookahead) = self.lookahead
            && (lookahead < self.batch || lookahead > 1 << 24)
        {
            return fail(format!("lookahead is {lookahead} samples, it must be {} (one batch) to {}", self.batch, 1 << 24));
        }
        if let Some(threads) = self.threads
            && (threads == 0 || threads > 1024)
        {
            return fail(format!("threads is {threads}, it must be 1 to 1024"));
        }
        if self.max_read_bytes == Some(0) {
            return fail("max_read_bytes is 0, it must be at least 1".into());
        }
        Ok(())
    }

    /// Lookahead in samples, resolved.
    pub(crate) fn lookahead_samples(&self) -> usize {
        self.lookahead.unwrap_or_else(|| (8 * self.batch).max(256))
    }
}

impl Field {
    fn check<'a>(&self, mut others: impl Iterator<Item = &'a Self>) -> Result<(), ConfigError> {
        let fail = |text: String| Err(ConfigError(format!("field {:?}: {text}", self.name)));
        if self.crop.is_empty() || self.crop.len() > MAX_RANK {
            return fail(format!("the crop has {} axes, it must have 1 to {MAX_RANK}", self.crop.len()));
        }
        if let Some(axis) = self.crop.iter().position(|&extent| extent == 0) {
            return fail(format!("the crop's axis {axis} is 0, it must be at least 1"));
        }
        if self.elements().is_none() {
            return fail(format!("a crop of {:?} has more elements than fit in memory", self.crop.as_slice()));
        }
        if self.affine.is_some() && self.dtype == Dtype::Native {
            return fail("scale and offset need a floating-point dtype (f16, bf16, f32, f64)".into());
        }
        if others.any(|other| other.name == self.name) {
            return fail("the name is taken by another field".into());
        }
        Ok(())
    }

    /// Whether a box has the crop's extents, further axes of extent 1 aside.
    pub(crate) fn check_box(&self, crop_box: &CropBox) -> Result<(), String> {
        let mut crop = self.crop.iter().peekable();
        for extent in crop_box.shape() {
            if crop.peek() == Some(&&extent) {
                crop.next();
            } else if extent != 1 {
                let shape: Vec<u64> = crop_box.shape().collect();
                return Err(format!("the box {crop_box} has shape {shape:?}, the loader's crop is {:?}", self.crop.as_slice()));
            }
        }
        match crop.next() {
            None => Ok(()),
            Some(_) => Err(format!("the box {crop_box} has too few axes for the loader's crop {:?}", self.crop.as_slice())),
        }
    }

    /// Elements of one crop, `None` beyond 2^40.
    pub(crate) fn elements(&self) -> Option<usize> {
        let elements = self.crop.iter().try_fold(1u64, |n, &extent| n.checked_mul(extent))?;
        (elements <= 1 << 40).then_some(elements as usize)
    }

    /// Bytes per element where they are known before the first array is.
    pub(crate) fn known_type(&self) -> Option<DataType> {
        match self.dtype {
            Dtype::Native => None,
            Dtype::F16 => Some(DataType::Float16),
            Dtype::BF16 => Some(DataType::BFloat16),
            Dtype::F32 => Some(DataType::Float32),
            Dtype::F64 => Some(DataType::Float64),
        }
    }
}
