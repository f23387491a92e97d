//! Decimal text to a binary float of any of our widths, rounded once: to nearest, ties to even.
//!
//! The standard library does that for `f32` and `f64`. The narrow formats go through `f64`, which rounds twice where the text
//! stands so close to the middle of two neighbours that its `f64` *is* the middle. There the exact decimal expansion of the
//! middle is compared with the text, and the tie is broken the way the text lies.

use std::cmp::Ordering;

/// A binary interchange format of IEEE 754 (and bfloat16, its cousin).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    F16,
    BF16,
    F32,
    F64,
}

impl Format {
    /// Size, bytes.
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Bits of the fraction, the implicit one not counted.
    const fn fraction_bits(self) -> u32 {
        match self {
            Self::F16 => 10,
            Self::BF16 => 7,
            Self::F32 => 23,
            Self::F64 => 52,
        }
    }

    /// Bits of the exponent.
    const fn exponent_bits(self) -> u32 {
        8 * self.size() as u32 - 1 - self.fraction_bits()
    }

    /// The sign bit.
    pub(crate) const fn sign(self) -> u64 {
        1 << (8 * self.size() - 1)
    }

    /// Bits of positive infinity.
    pub(crate) const fn infinity(self) -> u64 {
        ((1 << self.exponent_bits()) - 1) << self.fraction_bits()
    }

    /// Bits of the NaN that the specification means by `NaN`: positive, quiet, no payload.
    pub(crate) const fn quiet_nan(self) -> u64 {
        self.infinity() | 1 << (self.fraction_bits() - 1)
    }
}

/// Bits of the float nearest to a JSON number; infinity beyond the largest, as IEEE 754 rounds. `None` for no number.
pub(crate) fn round_decimal(digits: &str, format: Format) -> Option<u64> {
    match format {
        Format::F32 => digits.parse::<f32>().ok().map(|value| value.to_bits().into()),
        Format::F64 => digits.parse::<f64>().ok().map(f64::to_bits),
        Format::F16 | Format::BF16 => digits.parse::<f64>().ok().map(|value| narrow(value, digits, format)),
    }
}

/// Rounds `value`, the `f64` nearest to `digits`, to a narrow format as if it were `digits` itself.
fn narrow(value: f64, digits: &str, format: Format) -> u64 {
    let sign = if value.is_sign_negative() { format.sign() } else { 0 };
    let magnitude = value.abs();
    if magnitude == 0.0 || magnitude.is_infinite() {
        return sign | if magnitude == 0.0 { 0 } else { format.infinity() };
    }
    let bias = (1i32 << (format.exponent_bits() - 1)) - 1;
    // Of a normal `f64`; a subnormal one is far below half of any narrow float, and `exponent` then is small enough.
    let exponent = (magnitude.to_bits() >> 52) as i32 - 1023;
    let significand = magnitude.to_bits() & ((1 << 52) - 1) | 1 << 52;
    // Units in the last place of the target below its smallest normal number stay those of that number.
    let target_exponent = exponent.max(1 - bias);
    let dropped = 52 - format.fraction_bits() as i32 + (target_exponent - exponent);
    if dropped > 54 {
        return sign;
    }
    let (kept, rest, half) = (significand >> dropped, significand & ((1 << dropped) - 1), 1u64 << (dropped - 1));
    let up = match rest.cmp(&half) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => match compare_magnitude(digits, magnitude) {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => kept & 1 == 1,
        },
    };
    // `kept` has the implicit one at `fraction_bits` where the number is normal, which adds the 1 that `biased` lacks;
    // a carry runs on into the exponent, and from the largest number into infinity.
    let biased = (target_exponent + bias - 1) as u64;
    let bits = (biased << format.fraction_bits()) + kept + u64::from(up);
    sign | bits.min(format.infinity())
}

/// Compares the absolute value of a decimal text with a finite, positive `f64`, exactly.
fn compare_magnitude(digits: &str, value: f64) -> Ordering {
    // The longest exact expansion of an f64 has 1074 digits after the point; `{:.1074}` prints it in full.
    let exact = format!("{value:.1074}");
    Decimal::of(digits).cmp(&Decimal::of(&exact))
}

/// A non-negative decimal `0.digits * 10^exponent` without zeros at either end; ordered by exponent, then digits.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Decimal {
    exponent: i64,
    digits: Vec<u8>,
}

impl Decimal {
    /// The absolute value of a JSON number that is not zero.
    fn of(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa.trim_start_matches('-'), ""));
        // An exponent beyond i64 belongs to a number that no f64 but zero and infinity stands for; those never come here.
        let saturated = if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 };
        let exponent = exponent.parse::<i64>().unwrap_or(saturated).clamp(i64::MIN / 2, i64::MAX / 2);
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let leading = all.iter().take_while(|&&digit| digit == b'0').count();
        let trailing = all[leading..].iter().rev().take_while(|&&digit| digit == b'0').count();
        Self { exponent: exponent + whole.len() as i64 - leading as i64, digits: all[leading..all.len() - trailing].to_vec() }
    }
}
