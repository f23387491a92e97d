//! Cast and scatter: from a decoded chunk into the rows of a batch, in one pass.
//!
//! A [`Caster`] is made once per field and used by many threads. A [`Region`] is normalised (axes of extent 1 dropped, axes
//! ordered by the target's strides, contiguous axes merged) and handed, three axes at a time, to a kernel chosen for the two
//! types and the machine. Source and target need no alignment.

mod caster;
mod convert;
mod kernel;
mod region;
#[cfg(test)]
mod tests;

pub use caster::Caster;
pub use region::{Region, RegionAxis};

use crate::zarr::DataType;

/// Element type of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputType {
    /// The array's own type, bytes copied as they are.
    Native(DataType),
    /// Cast to half precision.
    F16,
    /// Cast to bfloat16.
    BF16,
    /// Cast to single precision.
    F32,
    /// Cast to double precision.
    F64,
}

impl OutputType {
    /// Size of one element, bytes.
    pub const fn size(self) -> usize {
        match self {
            Self::Native(data_type) => data_type.size(),
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// `out = in * scale + offset`, computed in f64 and rounded once; integers of up to 53 bits are exact before it.
///
/// Product and sum are two f64 operations (no fused multiply-add), so that every machine yields the same bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Multiplier.
    pub scale: f64,
    /// Added after.
    pub offset: f64,
}

/// Why two types have no cast.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("no cast from {from} to {to:?}: {why}")]
pub struct NoCast {
    /// Source type.
    pub from: &'static str,
    /// Output type.
    pub to: OutputType,
    /// Reason.
    pub why: &'static str,
}
