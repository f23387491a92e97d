//! What comes out: contiguous tensors, one row per sample, and where each row came from.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use half::{bf16, f16};
use longshore_core::inbox::Mailbox;
use longshore_core::ordinal::{BatchId, SampleSeq};

use crate::error::SampleError;
use crate::memory::AlignedBytes;
use crate::sample::Sample;
use crate::zarr::DataType;

/// A finished batch. It derefs to its first field's [`Tensor`]; dropping it gives its memory back to the loader.
pub struct Batch {
    pub(crate) id: BatchId,
    pub(crate) rows: Vec<Row>,
    pub(crate) skipped: Vec<Arc<SampleError>>,
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) returns: Arc<Mailbox<Storage>>,
}

/// The memory of one batch: one buffer per field.
pub(crate) type Storage = Vec<AlignedBytes>;

/// One row of a batch: the sample it came from, and how it fared.
#[derive(Clone, Debug)]
pub struct Row {
    /// Ordinal of the sample, in push order.
    pub sample: SampleSeq,
    /// The sample itself: URIs and boxes, in the loader's field order.
    pub origin: Arc<Sample>,
    /// Why the row holds fill values instead (policy [`OnError::Fill`](crate::OnError::Fill)).
    pub error: Option<Arc<SampleError>>,
}

/// One field of a batch: `[rows, ...crop]`, C-contiguous, 64-byte aligned.
pub struct Tensor {
    pub(crate) name: Arc<str>,
    pub(crate) data_type: DataType,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: usize,
    pub(crate) memory: Option<AlignedBytes>,
}

impl Batch {
    /// Ordinal: dense, in push order.
    pub fn id(&self) -> u64 {
        self.id.get()
    }

    /// Rows in this batch: the batch size, fewer in a partial last batch or where samples were skipped.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True if every sample was skipped.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Where each row came from, and how it fared.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Samples left out of the batch (policy [`OnError::Skip`](crate::OnError::Skip)), and why.
    pub fn skipped(&self) -> &[Arc<SampleError>] {
        &self.skipped
    }

    /// The fields, in the loader's order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|tensor| &*tensor.name == name)
    }
}

impl Deref for Batch {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        &self.tensors[0]
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let storage: Storage = self.tensors.iter_mut().filter_map(|tensor| tensor.memory.take()).collect();
        // A closed loader hands the buffers back: they are freed right here.
        let _ = self.returns.push(storage);
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("id", &self.id()).field("rows", &self.len()).field("tensors", &self.tensors).finish()
    }
}

impl Tensor {
    /// The field's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Element type.
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// `[rows, ...crop]`, elements.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements' bytes, native order.
    pub fn bytes(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |memory| &memory.as_slice()[..self.bytes])
    }

    /// The elements, if they are of type `T`.
    ///
    /// # Errors
    /// `WrongType` names both types.
    pub fn as_slice<T: Element>(&self) -> Result<&[T], WrongType> {
        if T::DATA_TYPE != self.data_type {
            return Err(WrongType { asked: T::DATA_TYPE.name(), is: self.data_type.name() });
        }
        let bytes = self.bytes();
        // SAFETY: the buffer is 64-byte aligned, `T` is a plain number of `data_type.size()` bytes (sealed trait), every bit
        // pattern of it is valid, and the bytes are initialised.
        Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<T>()) })
    }

    /// The elements of one row, if they are of type `T`.
    ///
    /// # Errors
    /// `WrongType` names both types.
    pub fn row<T: Element>(&self, row: usize) -> Result<&[T], WrongType> {
        let per_row: usize = self.shape[1..].iter().product();
        Ok(&self.as_slice::<T>()?[row * per_row..][..per_row])
    }

    /// An `ndarray` view, if the elements are of type `T`.
    ///
    /// # Errors
    /// `WrongType` names both types.
    #[cfg(feature = "ndarray")]
    pub fn view<T: Element>(&self) -> Result<ndarray::ArrayViewD<'_, T>, WrongType> {
        let elements = self.as_slice::<T>()?;
        Ok(ndarray::ArrayViewD::from_shape(self.shape.as_slice(), elements).expect("the buffer has the tensor's shape by construction"))
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}{:?}", &*self.name, self.data_type.name(), self.shape)
    }
}

/// A view of another type than the tensor's was asked for.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the tensor's elements are {is}, not {asked}")]
pub struct WrongType {
    /// Type asked for.
    pub asked: &'static str,
    /// Type of the tensor.
    pub is: &'static str,
}

/// Rust types that a tensor can be viewed as.
pub trait Element: sealed::Sealed + Copy + 'static {
    /// The data type it stands for.
    const DATA_TYPE: DataType;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($rust:ty => $data_type:ident),*) => {$(
        impl sealed::Sealed for $rust {}
        impl Element for $rust {
            const DATA_TYPE: DataType = DataType::$data_type;
        }
        const _: () = assert!(size_of::<$rust>() == DataType::$data_type.size());
    )*};
}

elements!(i8 => Int8, i16 => Int16, i32 => Int32, i64 => Int64, u8 => UInt8, u16 => UInt16, u32 => UInt32, u64 => UInt64,
    f16 => Float16, bf16 => BFloat16, f32 => Float32, f64 => Float64);
