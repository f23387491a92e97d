//! Regions of any strides, against one loop over coordinates.

use proptest::prelude::*;

use crate::assemble::{Caster, OutputType, Region, RegionAxis};
use crate::zarr::{DataType, FillValue};

/// Every element of the region, one by one: source index and target index.
fn pairs(region: &Region) -> Vec<(usize, usize)> {
    let mut pairs = vec![(region.source_start, region.target_start)];
    for axis in &region.axes {
        pairs = pairs
            .iter()
            .flat_map(|&(s, t)| (0..axis.extent).map(move |i| (s + i * axis.source_stride, t + i * axis.target_stride)))
            .collect();
    }
    pairs
}

/// Bytes whose start is `past` bytes behind a multiple of 64.
fn at_offset(buffer: &mut Vec<u8>, past: usize, len: usize) -> &mut [u8] {
    buffer.resize(len + 128, 0xee);
    let start = (64 - buffer.as_ptr().addr() % 64) % 64 + past;
    &mut buffer[start..start + len]
}

/// Moves u16 to f32 and u16 to u16, and fills, at an offset, streaming or not; what is outside the region must not change.
fn check(region: &Region, past: usize, streaming: bool) {
    let pairs = pairs(region);
    let (last_source, last_target) = pairs.iter().fold((0, 0), |last, pair| (last.0.max(pair.0), last.1.max(pair.1)));
    let source: Vec<u8> = (0..=last_source).flat_map(|i| (i as u16).wrapping_mul(40503).to_le_bytes()).collect();
    let at = |i: usize| u16::from_le_bytes([source[2 * i], source[2 * i + 1]]);
    for (to, size) in [(OutputType::F32, 4), (OutputType::BF16, 2), (OutputType::Native(DataType::UInt16), 2)] {
        let caster = Caster::new(DataType::UInt16, to, None).unwrap().with_streaming(streaming);
        let encode = |x: u16| match to {
            OutputType::F32 => (x as f32).to_ne_bytes().to_vec(),
            OutputType::BF16 => half::bf16::from_f32(x as f32).to_ne_bytes().to_vec(),
            _ => x.to_ne_bytes().to_vec(),
        };
        let len = (last_target + 3) * size;
        let mut buffers = [Vec::new(), Vec::new()];
        let [moved, filled] = &mut buffers;
        let (moved, filled) = (at_offset(moved, past, len), at_offset(filled, past, len));
        let (mut expected_moved, mut expected_filled) = (moved.to_vec(), filled.to_vec());
        for &(s, t) in &pairs {
            expected_moved[t * size..][..size].copy_from_slice(&encode(at(s)));
            expected_filled[t * size..][..size].copy_from_slice(&encode(54321));
        }
        let value = FillValue::from_ne_bytes(&54321_u16.to_ne_bytes());
        // SAFETY: both targets are ours alone.
        unsafe {
            caster.scatter(&source, moved.as_mut_ptr(), len, region);
            caster.fill(value, filled.as_mut_ptr(), len, region);
        }
        assert!(moved == expected_moved, "scatter to {to:?}, {past} bytes past a line, streaming {streaming}: {region:?}");
        assert!(filled == expected_filled, "fill of {to:?}, {past} bytes past a line: {region:?}");
    }
}

fn region(axes: &[(usize, usize, usize)], source_start: usize, target_start: usize) -> Region {
    let axis = |&(extent, source_stride, target_stride)| RegionAxis { extent, source_stride, target_stride };
    Region { source_start, target_start, axes: axes.iter().map(axis).collect() }
}

#[test]
fn rows_of_every_length_and_alignment() {
    for len in 0..150 {
        for past in [0, 2, 4, 8, 60, 1] {
            for streaming in [false, true] {
                check(&region(&[(3, 160, 170), (len, 1, 1)], 1, 2), past, streaming);
            }
        }
    }
}

#[test]
fn transposed_repeated_and_merged_axes() {
    // A transposed chunk: the source's stride-1 axis is the target's slowest.
    check(&region(&[(5, 1, 600), (7, 5, 60), (33, 35, 1)], 0, 0), 0, false);
    // Edge policy: one source row, plane or element repeated.
    check(&region(&[(4, 0, 300), (6, 50, 50), (50, 1, 1)], 3, 0), 4, true);
    check(&region(&[(4, 100, 300), (6, 20, 50), (50, 0, 1)], 3, 0), 4, true);
    // All of it contiguous; rank 0; rank 6; no element.
    check(&region(&[(4, 60, 60), (3, 20, 20), (20, 1, 1)], 0, 5), 0, true);
    check(&region(&[], 2, 3), 0, false);
    check(&region(&[(2, 1000, 1), (2, 100, 2), (3, 30, 4), (2, 10, 20), (3, 3, 50), (3, 1, 200)], 0, 5), 0, false);
    check(&region(&[(4, 60, 60), (0, 20, 20), (20, 1, 1)], 0, 5), 0, true);
}

#[test]
#[should_panic(expected = "last source element")]
fn source_out_of_bounds_is_caught() {
    let caster = Caster::new(DataType::UInt16, OutputType::F32, None).unwrap();
    let mut target = [0_u8; 40];
    // SAFETY: the target is ours alone.
    unsafe { caster.scatter(&[0; 19], target.as_mut_ptr(), 40, &region(&[(10, 1, 1)], 0, 0)) };
}

#[test]
#[should_panic(expected = "last target element")]
fn target_out_of_bounds_is_caught() {
    let caster = Caster::new(DataType::UInt16, OutputType::F32, None).unwrap();
    let mut target = [0_u8; 39];
    // SAFETY: the target is ours alone.
    unsafe { caster.scatter(&[0; 20], target.as_mut_ptr(), 39, &region(&[(10, 1, 1)], 0, 0)) };
}

/// C31: a fill value keeps its NaN payload where the type is kept, and the upper bits of it in a cast; infinities stay.
#[test]
fn c31_fill_values_of_every_type() {
    use DataType::*;
    let one = region(&[(3, 7, 1)], 9, 0);
    let fill = |from: DataType, to: OutputType, value: &[u8]| {
        let caster = Caster::new(from, to, None).unwrap();
        let mut target = vec![0_u8; 3 * caster.target_size()];
        // SAFETY: the target is ours alone.
        unsafe { caster.fill(FillValue::from_ne_bytes(value), target.as_mut_ptr(), target.len(), &one) };
        let element = target[..caster.target_size()].to_vec();
        assert_eq!(target, element.repeat(3));
        element
    };
    for from in [Bool, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64, Float16, BFloat16, Float32, Float64, Complex64, Complex128]
    {
        let value: Vec<u8> = (0x81..0x81 + from.size() as u8).collect();
        assert_eq!(fill(from, OutputType::Native(from), &value), value);
    }
    let signalling = 0xff80_1234_u32.to_ne_bytes();
    assert_eq!(fill(Float32, OutputType::F32, &signalling), signalling);
    assert_eq!(fill(Float32, OutputType::BF16, &0x7fa1_2345_u32.to_ne_bytes()), 0x7fe1_u16.to_ne_bytes());
    assert_eq!(fill(Float64, OutputType::F32, &0xfff8_0000_2000_0000_u64.to_ne_bytes()), 0xffc0_0001_u32.to_ne_bytes());
    assert_eq!(fill(Float64, OutputType::F16, &f64::NEG_INFINITY.to_ne_bytes()), 0xfc00_u16.to_ne_bytes());
    assert_eq!(fill(Bool, OutputType::F32, &[1]), 1.0_f32.to_ne_bytes());
    assert_eq!(fill(Int64, OutputType::F64, &(-5_i64).to_ne_bytes()), (-5.0_f64).to_ne_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Boxes of arrays in any axis order, so that target elements never coincide.
    #[test]
    fn random_regions(
        extents in proptest::collection::vec(1_usize..9, 0..6),
        slack in proptest::collection::vec(0_usize..3, 6),
        order in any::<u64>(),
        starts in (0_usize..5, 0_usize..20),
        past in 0_usize..64,
        streaming in any::<bool>(),
    ) {
        let strides = |mut seed: u64, repeat: bool| {
            let mut axes: Vec<usize> = (0..extents.len()).collect();
            for i in (1..axes.len()).rev() {
                axes.swap(i, (seed % (i as u64 + 1)) as usize);
                seed /= i as u64 + 1;
            }
            let (mut strides, mut next) = (vec![0; extents.len()], 1);
            for (i, axis) in axes.into_iter().enumerate() {
                strides[axis] = if repeat && slack[i] == 2 { 0 } else { next };
                next *= extents[axis] + slack[i];
            }
            strides
        };
        let (source, target) = (strides(order >> 32, order & 1 == 1), strides(order & 0xffff_ffff, false));
        let axes: Vec<_> = (0..extents.len()).map(|a| (extents[a], source[a], target[a])).collect();
        check(&region(&axes, starts.0, starts.1), past, streaming);
    }
}
