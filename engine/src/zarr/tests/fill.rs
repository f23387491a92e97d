//! C31, parse side: every spelling of `fill_value` for every data type. C35 in the decimal: one rounding.

use super::documents::typed;
use crate::zarr::{ArrayMeta, ZarrError};

fn fill(data_type: &str, value: &str) -> Result<Vec<u8>, ZarrError> {
    let document = typed(&format!("\"{data_type}\""), value);
    ArrayMeta::parse(document.as_bytes()).map(|meta| meta.fill_value.as_ne_bytes().to_vec())
}

/// Bits of a float of `size` bytes.
fn bits(data_type: &str, value: &str) -> u64 {
    let bytes = fill(data_type, value).unwrap_or_else(|error| panic!("{data_type} {value}: {error}"));
    match bytes.len() {
        2 => u16::from_ne_bytes([bytes[0], bytes[1]]).into(),
        4 => u32::from_ne_bytes(bytes.try_into().expect("4 bytes")).into(),
        _ => u64::from_ne_bytes(bytes.try_into().expect("8 bytes")),
    }
}

fn refused(data_type: &str, value: &str) {
    match fill(data_type, value) {
        Err(ZarrError::Malformed(reason)) => assert!(reason.contains("fill_value") && reason.contains("expected"), "{reason}"),
        other => panic!("{data_type} {value}: {other:?}"),
    }
}

#[test]
fn c31_integers_to_the_ends_of_their_ranges() {
    assert_eq!(fill("int8", "-128"), Ok(vec![0x80]));
    assert_eq!(fill("int16", "-32768"), Ok(i16::MIN.to_ne_bytes().to_vec()));
    assert_eq!(fill("int32", "-2147483648"), Ok(i32::MIN.to_ne_bytes().to_vec()));
    assert_eq!(fill("int64", "-9223372036854775808"), Ok(i64::MIN.to_ne_bytes().to_vec()));
    assert_eq!(fill("int64", "9223372036854775807"), Ok(i64::MAX.to_ne_bytes().to_vec()));
    assert_eq!(fill("uint8", "255"), Ok(vec![255]));
    assert_eq!(fill("uint16", "65535"), Ok(vec![255; 2]));
    assert_eq!(fill("uint32", "4294967295"), Ok(vec![255; 4]));
    // Beyond 2^53: a reader that goes through f64 loses these.
    assert_eq!(fill("uint64", "18446744073709551615"), Ok(vec![255; 8]));
    assert_eq!(fill("uint64", "9007199254740993"), Ok(9_007_199_254_740_993u64.to_ne_bytes().to_vec()));
    for (data_type, value) in [
        ("int8", "128"),
        ("int8", "-129"),
        ("uint8", "256"),
        ("uint8", "-1"),
        ("uint64", "18446744073709551616"),
        ("int64", "9223372036854775808"),
        ("uint64", "340282366920938463463374607431768211456"),
        ("uint16", "1.0"),
        ("uint16", "1e2"),
        ("uint16", "true"),
        ("uint16", "null"),
        ("uint16", "\"7\""),
    ] {
        refused(data_type, value);
    }
}

#[test]
fn c31_bool_is_true_or_false() {
    assert_eq!(fill("bool", "true"), Ok(vec![1]));
    assert_eq!(fill("bool", "false"), Ok(vec![0]));
    for value in ["0", "1", "\"true\"", "null"] {
        refused("bool", value);
    }
}

#[test]
fn c31_floats_by_name() {
    // Bit patterns as the specification gives them: NaN is positive, quiet, without payload.
    for (data_type, nan, infinity, sign) in [
        ("float16", 0x7e00, 0x7c00, 1 << 15),
        ("bfloat16", 0x7fc0, 0x7f80, 1 << 15),
        ("float32", 0x7fc0_0000, 0x7f80_0000, 1 << 31),
        ("float64", 0x7ff8_0000_0000_0000, 0x7ff0_0000_0000_0000, 1u64 << 63),
    ] {
        assert_eq!(bits(data_type, "\"NaN\""), nan);
        assert_eq!(bits(data_type, "\"Infinity\""), infinity);
        assert_eq!(bits(data_type, "\"-Infinity\""), infinity | sign);
        assert_eq!(bits(data_type, "-0.0"), sign);
        assert_eq!(bits(data_type, "0"), 0);
        assert_eq!(bits(data_type, "1e999"), infinity);
        assert_eq!(bits(data_type, "-1e999"), infinity | sign);
        assert_eq!(bits(data_type, "1e-999"), 0);
        for value in ["\"nan\"", "\"+Infinity\"", "\"inf\"", "\"1.0\"", "\"\"", "null", "true", "[1.0]"] {
            refused(data_type, value);
        }
    }
}

#[test]
fn c31_floats_by_their_bits() {
    assert_eq!(bits("float16", "\"0x7e01\""), 0x7e01);
    assert_eq!(bits("bfloat16", "\"0xFFC1\""), 0xffc1);
    assert_eq!(bits("float32", "\"0x7fc00000\""), 0x7fc0_0000);
    assert_eq!(bits("float32", "\"0xff800001\""), 0xff80_0001);
    assert_eq!(bits("float64", "\"0x7ff4000000000abc\""), 0x7ff4_0000_0000_0abc);
    for (data_type, value) in [
        ("float16", "\"0x7e0\""),
        ("float16", "\"0x7e001\""),
        ("float32", "\"0x+fc00000\""),
        ("float32", "\"0x7fc0000g\""),
        ("float32", "\"0X7fc00000\""),
        ("float64", "\"0x7fc00000\""),
        ("float32", "\"0x\""),
    ] {
        refused(data_type, value);
    }
}

#[test]
fn c31_complex_by_parts() {
    // As zarr-python writes complex(1.5, -inf) and complex(nan, 0.1).
    let expected = [1.5f64.to_ne_bytes(), f64::NEG_INFINITY.to_ne_bytes()].concat();
    assert_eq!(fill("complex128", r#"[1.5,"-Infinity"]"#), Ok(expected));
    let expected = [0x7fc0_0000u32.to_ne_bytes(), 0.1f32.to_ne_bytes()].concat();
    assert_eq!(fill("complex64", r#"["NaN",0.10000000149011612]"#), Ok(expected));
    let expected = [0xffc0_0001u32.to_ne_bytes(), 1.0f32.to_ne_bytes()].concat();
    assert_eq!(fill("complex64", r#"["0xffc00001",1]"#), Ok(expected));
    for value in ["1.5", "[1.5]", "[1,2,3]", "[1,null]", "\"NaN\"", "{}"] {
        refused("complex64", value);
    }
}

#[test]
fn c31_decimals_are_rounded_once() {
    // Where the f64 of the text is the very middle between two neighbours, going through f64 picks the even one.
    assert_eq!(bits("float16", "2049"), 0x6800);
    assert_eq!(bits("float16", "2049.0000000000000000000001"), 0x6801);
    assert_eq!(bits("float16", "-2049.0000000000000000000001"), 0xe801);
    assert_eq!(bits("float16", "2050.9999999999999999999999"), 0x6801);
    assert_eq!(bits("float16", "2051"), 0x6802);
    // The threshold to infinity, and to zero.
    assert_eq!(bits("float16", "65519.99999999999999999999"), 0x7bff);
    assert_eq!(bits("float16", "65520"), 0x7c00);
    assert_eq!(bits("float16", "2.98023223876953125e-8"), 0);
    assert_eq!(bits("float16", "298023223876953125000000000000001e-40"), 1);
    assert_eq!(bits("bfloat16", "1.00390625"), 0x3f80);
    assert_eq!(bits("bfloat16", "1.00390625000000000000000000001"), 0x3f81);
    // Through f16 by way of f32 this one becomes 1.0 (upstream's B-29); nearest is 2.0, as numpy says.
    assert_eq!(bits("float16", "1.9999"), 0x4000);
    // An f32 that rounds twice through f64: 1 + 2^-24 + 2^-60.
    assert_eq!(bits("float32", "1.000000059604644776257986737988403547205962240695953369140625"), 0x3f80_0001);
    assert_eq!(bits("float32", "1.000000059604644775390625"), 0x3f80_0000);
    assert_eq!(bits("float64", "0.1"), 0x3fb9_9999_9999_999a);
}

/// A positive decimal text, one unit less in the last place.
fn decrement(text: &str) -> String {
    let mut digits: Vec<u8> = text.bytes().collect();
    for digit in digits.iter_mut().rev().filter(|digit| **digit != b'.') {
        if *digit != b'0' {
            *digit -= 1;
            break;
        }
        *digit = b'9';
    }
    String::from_utf8(digits).expect("digits")
}

/// Walks neighbours of a 16-bit format: the middle goes to the even one, a hair beside it to the nearer one.
fn check_middles(data_type: &str, value_of: impl Fn(u16) -> f64, last_finite: u16, step: usize) {
    for low in (0..last_finite).step_by(step) {
        let (below, above) = (value_of(low), value_of(low + 1));
        // Exact: an f64 has far more bits than either neighbour.
        let middle = below / 2.0 + above / 2.0;
        let text = format!("{middle:.1080}");
        let even = low + (low & 1);
        assert_eq!(bits(data_type, &text), u64::from(even), "middle above {low:#06x}");
        assert_eq!(bits(data_type, &format!("{text}1")), u64::from(low) + 1, "right of the middle above {low:#06x}");
        assert_eq!(bits(data_type, &decrement(&text)), u64::from(low), "left of the middle above {low:#06x}");
    }
}

#[test]
fn c31_every_middle_of_float16() {
    // By the definition of the format: 5 bits of exponent with bias 15, 10 of fraction.
    let value_of = |bits: u16| match bits >> 10 {
        0 => f64::from(bits) * 2f64.powi(-24),
        exponent => f64::from((bits & 0x3ff) | 0x400) * 2f64.powi(i32::from(exponent) - 25),
    };
    check_middles("float16", value_of, 0x7bff, 5);
}

#[test]
fn c31_middles_of_bfloat16() {
    // A bfloat16 is the upper half of an f32.
    check_middles("bfloat16", |bits| f32::from_bits(u32::from(bits) << 16).into(), 0x7f7f, 13);
}
