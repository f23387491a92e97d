//! One element to another, rounded once.
//!
//! A value that the target can hold comes out exactly; any other is rounded to nearest, ties to even, in one step from its
//! exact value; beyond the target's range it is infinite. Where a step through a narrower type is convenient, that step rounds
//! to odd, which keeps the second rounding right (Boldo and Melquiond: safe with two more bits than the target has).
//!
//! NaNs stay NaN: sign and the upper payload bits are kept, the quiet bit is set. (f64 to and from f32 is the processor's own
//! conversion, which does that on x86-64 and AArch64.) Bytes are copied as they are, signalling NaNs included, where source
//! and target have the same type.
//!
//! Everything here is free of branches, so that loops over it vectorise.

/// An element as it stands in memory, native byte order, no alignment.
pub(super) trait Element: Copy {
    type Bytes: Copy + Default;
    fn from_bytes(bytes: Self::Bytes) -> Self;
    fn to_bytes(self) -> Self::Bytes;
}

/// A conversion rounded once.
pub(super) trait Cast<T>: Copy {
    fn cast(self) -> T;
}

/// `bool`: any byte but 0 is true.
#[derive(Clone, Copy)]
pub(super) struct Flag(u8);

/// IEEE binary16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Half(pub(super) u16);

/// bfloat16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Brain(pub(super) u16);

macro_rules! element {
    ($($t:ty),*) => {$(
        impl Element for $t {
            type Bytes = [u8; size_of::<$t>()];
            #[inline(always)]
            fn from_bytes(bytes: Self::Bytes) -> Self {
                <$t>::from_ne_bytes(bytes)
            }
            #[inline(always)]
            fn to_bytes(self) -> Self::Bytes {
                self.to_ne_bytes()
            }
        }
    )*};
}
element!(u8, u16, u32, u64, u128, i8, i16, i32, i64, f32, f64);

macro_rules! wrapper {
    ($($t:ident($inner:ty)),*) => {$(
        impl Element for $t {
            type Bytes = [u8; size_of::<$inner>()];
            #[inline(always)]
            fn from_bytes(bytes: Self::Bytes) -> Self {
                Self(<$inner>::from_ne_bytes(bytes))
            }
            #[inline(always)]
            fn to_bytes(self) -> Self::Bytes {
                self.0.to_ne_bytes()
            }
        }
    )*};
}
wrapper!(Flag(u8), Half(u16), Brain(u16));

macro_rules! cast {
    ($($from:ty => $($to:ty)|+ = |$x:ident| $value:expr;)*) => {$($(
        impl Cast<$to> for $from {
            #[inline(always)]
            fn cast(self) -> $to {
                let $x = self;
                $value
            }
        }
    )+)*};
}

// Plain copies.
cast! {
    u8 => u8 = |x| x;
    u16 => u16 = |x| x;
    u32 => u32 = |x| x;
    u64 => u64 = |x| x;
    u128 => u128 = |x| x;
}

// Integers of up to 16 bits are exact in f32, of up to 32 bits in f64; `as` rounds the others once, to nearest even.
macro_rules! integer {
    ($via:ident: $($t:ty),*) => {$(
        cast! {
            $t => f32 = |x| x as f32;
            $t => f64 = |x| x as f64;
            $t => Half | Brain = |x| $via(x).cast();
        }
    )*};
}
#[inline(always)]
fn exact_f32<T: Into<f32>>(x: T) -> f32 {
    x.into()
}
#[inline(always)]
fn exact_f64<T: Into<f64>>(x: T) -> f64 {
    x.into()
}
integer!(exact_f32: u8, i8, u16, i16);
integer!(exact_f64: u32, i32);
integer!(u64_to_odd_f64: u64);
integer!(i64_to_odd_f64: i64);

cast! {
    Flag => f32 = |x| (x.0 != 0) as u8 as f32;
    Flag => f64 = |x| (x.0 != 0) as u8 as f64;
    Flag => Half | Brain = |x| ((x.0 != 0) as u8).cast();
    Half => f32 = |x| half_to_f32(x);
    Half => f64 = |x| half_to_f32(x) as f64;
    Half => Half = |x| x;
    Half => Brain = |x| half_to_f32(x).cast();
    Brain => f32 = |x| brain_to_f32(x);
    Brain => f64 = |x| brain_to_f32(x) as f64;
    Brain => Half = |x| brain_to_f32(x).cast();
    Brain => Brain = |x| x;
    f32 => f32 = |x| x;
    f32 => f64 = |x| x as f64;
    f32 => Half = |x| f32_to_half(x);
    f32 => Brain = |x| f32_to_brain(x);
    f64 => f32 = |x| x as f32;
    f64 => f64 = |x| x;
    f64 => Half = |x| f32_to_half(f64_to_odd_f32(x));
    f64 => Brain = |x| f32_to_brain(f64_to_odd_f32(x));
}

/// Picks one of two words without a branch.
#[inline(always)]
fn select(condition: bool, yes: u32, no: u32) -> u32 {
    if condition { yes } else { no }
}

#[inline(always)]
fn half_to_f32(x: Half) -> f32 {
    let sign = (x.0 as u32 & 0x8000) << 16;
    let magnitude = x.0 as u32 & 0x7fff;
    // Shifted into place the exponent is 112 too small; a product with 2^112 is exact and normalises subnormals too.
    let scaled = (f32::from_bits(magnitude << 13) * f32::from_bits((127 + 112) << 23)).to_bits();
    let quiet = select(magnitude > 0x7c00, 0x0040_0000, 0);
    let special = 0x7f80_0000 | (magnitude << 13) | quiet;
    f32::from_bits(sign | select(magnitude >= 0x7c00, special, scaled))
}

#[inline(always)]
fn brain_to_f32(x: Brain) -> f32 {
    let bits = (x.0 as u32) << 16;
    let quiet = select(bits & 0x7fff_ffff > 0x7f80_0000, 0x0040_0000, 0);
    f32::from_bits(bits | quiet)
}

#[inline(always)]
fn f32_to_brain(x: f32) -> Brain {
    let bits = x.to_bits();
    // Half a unit, less one where the result is even: a tie goes to even, a carry runs into the exponent as it should.
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let nan = (bits >> 16) | 0x0040;
    Brain(select(bits & 0x7fff_ffff > 0x7f80_0000, nan, rounded) as u16)
}

#[inline(always)]
fn f32_to_half(x: f32) -> Half {
    const MIN_NORMAL: u32 = (127 - 14) << 23;
    const OVERFLOW: u32 = (127 + 16) << 23;
    let sign = (x.to_bits() >> 16) & 0x8000;
    let magnitude = x.to_bits() & 0x7fff_ffff;
    // Normal: as for bfloat16, with the exponent moved by 112. 65520 and more carry into infinity's pattern.
    let odd = (magnitude >> 13) & 1;
    let normal = magnitude.wrapping_sub(112 << 23).wrapping_add(0x0fff + odd) >> 13;
    // Subnormal: in the sum with 0.5 one unit in the last place is 2^-24, a half's smallest step; the sum rounds to it.
    let subnormal = (f32::from_bits(magnitude.min(MIN_NORMAL)) + 0.5).to_bits().wrapping_sub(0.5_f32.to_bits());
    let finite = select(magnitude < MIN_NORMAL, subnormal, normal);
    let nan = 0x7e00 | ((magnitude >> 13) & 0x03ff);
    let special = select(magnitude > 0x7f80_0000, nan, 0x7c00);
    Half((sign | select(magnitude >= OVERFLOW, special, finite)) as u16)
}

/// Rounds to odd: an inexact result is the neighbour whose last bit is 1.
#[inline(always)]
fn f64_to_odd_f32(x: f64) -> f32 {
    let nearest = x as f32;
    let (bits, back) = (nearest.to_bits(), nearest as f64);
    // (A NaN counts as inexact too: it stays the same NaN but for the last bit, which no target here keeps.)
    let even_inexact = back != x && bits & 1 == 0;
    let step = select(back.abs() > x.abs(), u32::MAX, 1);
    f32::from_bits(bits.wrapping_add(select(even_inexact, step, 0)))
}

/// Exact below 2^53; above, the lowest 11 bits are folded into one (42 bits or more are left).
#[inline(always)]
fn u64_to_odd_f64(x: u64) -> f64 {
    let folded = ((x >> 11) | ((x & 0x7ff) != 0) as u64) as f64 * 2048.0;
    if x < 1 << 53 { x as f64 } else { folded }
}

#[inline(always)]
fn i64_to_odd_f64(x: i64) -> f64 {
    let magnitude = u64_to_odd_f64(x.unsigned_abs());
    if x < 0 { -magnitude } else { magnitude }
}
