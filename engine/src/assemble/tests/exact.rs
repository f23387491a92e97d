//! The value of a float, and rounding to nearest even, by integer arithmetic only.

/// A finite value, `sign * mantissa * 2^exponent`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exact {
    pub(super) negative: bool,
    pub(super) mantissa: u64,
    pub(super) exponent: i32,
}

/// A binary format: bits of the stored fraction and of the exponent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    pub(super) fraction: u32,
    pub(super) exponent: u32,
}

pub(super) const F16: Format = Format { fraction: 10, exponent: 5 };
pub(super) const BF16: Format = Format { fraction: 7, exponent: 8 };
pub(super) const F32: Format = Format { fraction: 23, exponent: 8 };
pub(super) const F64: Format = Format { fraction: 52, exponent: 11 };

/// What a bit pattern stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Class {
    Finite(Exact),
    Infinite(bool),
    Nan { negative: bool, payload: u64 },
}

impl Format {
    fn bias(self) -> i32 {
        (1 << (self.exponent - 1)) - 1
    }

    pub(super) fn decode(self, bits: u64) -> Class {
        let fraction = bits & ((1 << self.fraction) - 1);
        let exponent = ((bits >> self.fraction) & ((1 << self.exponent) - 1)) as i32;
        let negative = bits >> (self.fraction + self.exponent) & 1 == 1;
        match (exponent, fraction) {
            (e, 0) if e == (1 << self.exponent) - 1 => Class::Infinite(negative),
            (e, payload) if e == (1 << self.exponent) - 1 => Class::Nan { negative, payload },
            (0, mantissa) => Class::Finite(Exact { negative, mantissa, exponent: 1 - self.bias() - self.fraction as i32 }),
            (e, f) => {
                let mantissa = f | (1 << self.fraction);
                Class::Finite(Exact { negative, mantissa, exponent: e - self.bias() - self.fraction as i32 })
            }
        }
    }

    /// Nearest, ties to even, overflow to infinity.
    pub(super) fn round(self, value: Exact) -> u64 {
        let sign = (value.negative as u64) << (self.fraction + self.exponent);
        if value.mantissa == 0 {
            return sign;
        }
        let infinity = ((1 << self.exponent) - 1) << self.fraction;
        let smallest = 1 - self.bias() - self.fraction as i32;
        let width = 64 - value.mantissa.leading_zeros() as i32;
        // Exponent of one unit in the last place of the result.
        let unit = (value.exponent + width - self.fraction as i32 - 1).max(smallest);
        let shift = unit - value.exponent;
        let mantissa = value.mantissa as u128;
        let kept = if shift <= 0 {
            mantissa << -shift
        } else if shift > 100 {
            0
        } else {
            let (low, half) = (mantissa & ((1 << shift) - 1), 1_u128 << (shift - 1));
            let floor = mantissa >> shift;
            floor + u128::from(low > half || (low == half && floor & 1 == 1))
        };
        // A carry out of the fraction is a carry into the exponent; a subnormal that fills up is normal.
        let bits = (((unit - smallest) as u128) << self.fraction) + kept;
        sign | (bits.min(infinity) as u64)
    }

    /// The bits in this format of the bits of another: the NaN rule included.
    pub(super) fn convert(self, from: Format, bits: u64) -> u64 {
        let top = self.fraction + self.exponent;
        let infinity = ((1 << self.exponent) - 1) << self.fraction;
        match from.decode(bits) {
            Class::Finite(value) => self.round(value),
            Class::Infinite(negative) => (negative as u64) << top | infinity,
            Class::Nan { negative, payload } => {
                let (a, b) = (from.fraction, self.fraction);
                let payload = if a > b { payload >> (a - b) } else { payload << (b - a) };
                (negative as u64) << top | infinity | payload | 1 << (b - 1)
            }
        }
    }
}
