//! Ordinals: dense, monotonic numbers of batches and samples, stamped once.
//!
//! They hold 36 bits, because the slot word ([`crate::slot`]) has that much room for one: 68.7 G batches, which at a
//! thousand batches a second lasts two years. The range is asserted here, at the edge, and nowhere else.

use std::fmt;

/// The number of bits of an ordinal.
pub const ORDINAL_BITS: u32 = 36;

/// The greatest ordinal.
pub const MAX_ORDINAL: u64 = (1 << ORDINAL_BITS) - 1;

macro_rules! ordinal {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The first.
            pub const ZERO: Self = Self(0);

            /// The greatest that can be stamped.
            pub const MAX: Self = Self(MAX_ORDINAL);

            /// The ordinal `value`.
            ///
            /// # Panics
            /// If `value` exceeds [`MAX_ORDINAL`].
            #[inline]
            #[must_use]
            #[track_caller]
            pub const fn new(value: u64) -> Self {
                assert!(value <= MAX_ORDINAL, concat!("the ordinal of a ", $what, " exceeds 2^36 - 1"));
                Self(value)
            }

            /// The ordinal `value`, if it is in range.
            #[must_use]
            pub const fn try_new(value: u64) -> Option<Self> {
                if value <= MAX_ORDINAL { Some(Self(value)) } else { None }
            }

            /// The number.
            #[inline(always)]
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The one after this.
            ///
            /// # Panics
            /// If this is the greatest.
            #[must_use]
            #[track_caller]
            pub const fn next(self) -> Self {
                Self::new(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

ordinal! {
    /// The number of a batch: batches are delivered in this order, without gaps.
    BatchId, "batch"
}

ordinal! {
    /// The number of a sample, stamped when it is pushed.
    SampleSeq, "sample"
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn ordinals_hold_36_bits_and_no_more() {
        assert_eq!(BatchId::new(68_719_476_735).get(), 68_719_476_735);
        assert_eq!(BatchId::try_new(68_719_476_736), None);
        assert_eq!(SampleSeq::new(7).next(), SampleSeq::new(8));
        assert_eq!(BatchId::new(42).to_string(), "42");
        assert!(std::panic::catch_unwind(|| BatchId::new(68_719_476_736)).is_err());
        assert!(std::panic::catch_unwind(|| SampleSeq::MAX.next()).is_err());
    }
}
