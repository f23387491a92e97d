//! C35: conversions are exact where the target can hold the value, else rounded to nearest even once.

use proptest::prelude::*;

use super::exact::{BF16, Exact, F16, F32, F64, Format};
use crate::assemble::{Affine, Caster, OutputType, Region, RegionAxis};
use crate::zarr::DataType;

const OUTPUTS: [(OutputType, Format); 4] =
    [(OutputType::F16, F16), (OutputType::BF16, BF16), (OutputType::F32, F32), (OutputType::F64, F64)];

/// Casts a row of elements, and reads each result as an integer.
fn cast_row(from: DataType, to: OutputType, affine: Option<Affine>, source: &[u8], stride: usize) -> Vec<u64> {
    let caster = Caster::new(from, to, affine).unwrap();
    let extent = source.len() / from.size();
    let size = caster.target_size();
    let mut target = vec![0_u8; extent * stride * size];
    let axis = RegionAxis { extent, source_stride: 1, target_stride: stride };
    let region = Region { source_start: 0, target_start: 0, axes: smallvec::smallvec![axis] };
    // SAFETY: the target is ours alone.
    unsafe { caster.scatter(source, target.as_mut_ptr(), target.len(), &region) };
    target.chunks_exact(size * stride).map(|e| e[..size].iter().rev().fold(0, |word, &byte| word << 8 | byte as u64)).collect()
}

/// Both kernels, against `expected` of each element's raw bits.
fn check(from: DataType, source: &[u8], expected: impl Fn(Format, u64) -> u64) {
    let raw: Vec<u64> = source.chunks_exact(from.size()).map(|e| e.iter().rev().fold(0, |word, &byte| word << 8 | byte as u64)).collect();
    for (to, format) in OUTPUTS {
        for stride in [1, 2] {
            let found = cast_row(from, to, None, source, stride);
            for (&bits, found) in raw.iter().zip(found) {
                let own = own_format(from).is_some_and(|own| own.fraction == format.fraction);
                let expected = if own { bits } else { expected(format, bits) };
                assert_eq!(found, expected, "{from:?} {bits:#x} to {to:?}, stride {stride}: {found:#x}, not {expected:#x}");
            }
        }
    }
}

fn own_format(data_type: DataType) -> Option<Format> {
    match data_type {
        DataType::Float16 => Some(F16),
        DataType::BFloat16 => Some(BF16),
        DataType::Float32 => Some(F32),
        DataType::Float64 => Some(F64),
        _ => None,
    }
}

fn check_float(from: DataType, source: &[u8]) {
    let own = own_format(from).unwrap();
    check(from, source, |format, bits| format.convert(own, bits));
}

fn check_integer(from: DataType, source: &[u8]) {
    let signed = matches!(from, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64);
    let unused = 64 - 8 * from.size() as u32;
    check(from, source, |format, bits| {
        let value = if signed { ((bits << unused) as i64 >> unused) as i128 } else { bits as i128 };
        format.round(Exact { negative: value < 0, mantissa: value.unsigned_abs() as u64, exponent: 0 })
    });
}

fn all_words() -> Vec<u8> {
    (0..=u16::MAX).flat_map(u16::to_le_bytes).collect()
}

#[test]
fn c35_every_16_bit_value() {
    for from in [DataType::Int16, DataType::UInt16] {
        check_integer(from, &all_words());
    }
    for from in [DataType::Float16, DataType::BFloat16] {
        check_float(from, &all_words());
    }
}

#[test]
fn c35_every_8_bit_value() {
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    check_integer(DataType::Int8, &bytes);
    check_integer(DataType::UInt8, &bytes);
    check(DataType::Bool, &bytes, |format, bits| format.round(Exact { negative: false, mantissa: u64::from(bits != 0), exponent: 0 }));
}

/// Where a second rounding would show: ties of the narrow type that a bit far below decides.
#[test]
fn c35_no_double_rounding() {
    // 2^k + half a unit of bf16 or f16, and one more or less in the last place of a wide integer.
    let mut words = Vec::new();
    for top in 9..64_u32 {
        for half in [top.saturating_sub(8), top.saturating_sub(11), top.saturating_sub(24), top.saturating_sub(53)] {
            for odd in [0, 1] {
                let tie = (1_u64 << top) | (odd << (half + 1)) | (1 << half);
                words.extend([tie - 1, tie, tie + 1]);
            }
        }
    }
    let wide: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    check_integer(DataType::UInt64, &wide);
    check_integer(DataType::Int64, &wide);
    let negative: Vec<u8> = words.iter().flat_map(|w| w.wrapping_neg().to_le_bytes()).collect();
    check_integer(DataType::Int64, &negative);
    let narrow: Vec<u8> = words.iter().flat_map(|w| (*w as u32).to_le_bytes()).collect();
    check_integer(DataType::UInt32, &narrow);
    check_integer(DataType::Int32, &narrow);
    // The same ties as doubles, over the whole range of the targets, subnormals and overflow included.
    let mut doubles = Vec::new();
    for exponent in -160..140 {
        for tie in [1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, 1.0 + 1.0 / 2048.0, 1.0 + 3.0 / 2048.0, 1.5, 1.0] {
            let tie = f64::from_bits(((1023 + exponent) as u64) << 52) * tie;
            doubles.extend([tie, -tie, f64::from_bits(tie.to_bits() + 1), f64::from_bits(tie.to_bits() - 1)]);
        }
    }
    doubles.extend([f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, f64::MAX, 5e-324, 65519.99999999, 65520.0]);
    check_float(DataType::Float64, &doubles.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
}

#[test]
fn c35_extremes_of_f32() {
    let mut bits: Vec<u32> = vec![0, 1, 0x7f7f_ffff, 0x7f80_0000, 0x7f80_0001, 0x7fc0_0000, 0x7fff_ffff, 0x3380_0000, 0x3300_0000];
    bits.extend((0..=255_u32).flat_map(|e| [0, 1, 0xfff, 0x1000, 0x1001, 0x3000, 0x7fff, 0x8000, 0x8001, 0x7f_ffff].map(|f| e << 23 | f)));
    bits.extend(bits.clone().iter().map(|b| b | 0x8000_0000));
    check_float(DataType::Float32, &bits.iter().flat_map(|b| b.to_le_bytes()).collect::<Vec<u8>>());
}

/// Scaling is two f64 operations, then one rounding.
#[test]
fn c35_affine_rounds_once() {
    let affine = Affine { scale: 1.0 / 3.0, offset: -7.25 };
    let source = all_words();
    for (to, format) in OUTPUTS {
        let found = cast_row(DataType::UInt16, to, Some(affine), &source, 1);
        for (x, found) in (0..=u16::MAX).zip(found) {
            let exact = x as f64 * affine.scale + affine.offset;
            assert_eq!(found, format.convert(F64, exact.to_bits()), "{x} to {to:?}");
        }
    }
}

#[test]
fn c35_labels_keep_their_type() {
    let source: Vec<u8> = (0..=255).collect();
    for from in [DataType::Int8, DataType::UInt16, DataType::Int32, DataType::UInt64, DataType::Complex64, DataType::Complex128] {
        let caster = Caster::new(from, OutputType::Native(from), None).unwrap();
        let mut target = vec![0_u8; source.len()];
        let axis = RegionAxis { extent: source.len() / from.size(), source_stride: 1, target_stride: 1 };
        let region = Region { source_start: 0, target_start: 0, axes: smallvec::smallvec![axis] };
        // SAFETY: the target is ours alone.
        unsafe { caster.scatter(&source, target.as_mut_ptr(), target.len(), &region) };
        assert_eq!(target, source);
    }
}

#[test]
fn c35_refused_casts() {
    let scale = Some(Affine { scale: 2.0, offset: 0.0 });
    assert!(Caster::new(DataType::Complex64, OutputType::F32, None).is_err());
    assert!(Caster::new(DataType::UInt8, OutputType::Native(DataType::UInt16), None).is_err());
    assert!(Caster::new(DataType::UInt8, OutputType::Native(DataType::UInt8), scale).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn c35_random_words(words in proptest::collection::vec(any::<u64>(), 1..70), shifts in any::<u64>()) {
        // Small magnitudes too: a random word alone is nearly always large.
        let words: Vec<u64> = words.iter().enumerate().map(|(i, w)| w >> ((shifts >> (i % 58)) & 63)).collect();
        let wide: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let narrow: Vec<u8> = words.iter().flat_map(|w| (*w as u32).to_le_bytes()).collect();
        check_integer(DataType::UInt64, &wide);
        check_integer(DataType::Int64, &wide);
        check_float(DataType::Float64, &wide);
        check_integer(DataType::UInt32, &narrow);
        check_integer(DataType::Int32, &narrow);
        check_float(DataType::Float32, &narrow);
    }
}
