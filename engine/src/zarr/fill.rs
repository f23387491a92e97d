//! `fill_value`, in every spelling of the specification ("Permitted fill values").

use super::decimal::{Format, round_decimal};
use super::node::Node;
use super::{DataType, FillValue, ZarrError};

impl FillValue {
    /// Reads the fill value of an array of `data_type`.
    pub(crate) fn read(node: &Node<'_>, data_type: DataType) -> Result<Self, ZarrError> {
        let value = match data_type {
            DataType::Bool => Self::from_ne_bytes(&[u8::from(node.boolean()?)]),
            DataType::Int8 => Self::from_ne_bytes(&(node.integer(i8::MIN.into(), i8::MAX.into())? as i8).to_ne_bytes()),
            DataType::Int16 => Self::from_ne_bytes(&(node.integer(i16::MIN.into(), i16::MAX.into())? as i16).to_ne_bytes()),
            DataType::Int32 => Self::from_ne_bytes(&(node.integer(i32::MIN.into(), i32::MAX.into())? as i32).to_ne_bytes()),
            DataType::Int64 => Self::from_ne_bytes(&(node.integer(i64::MIN.into(), i64::MAX.into())? as i64).to_ne_bytes()),
            DataType::UInt8 => Self::from_ne_bytes(&(node.integer(0, u8::MAX.into())? as u8).to_ne_bytes()),
            DataType::UInt16 => Self::from_ne_bytes(&(node.integer(0, u16::MAX.into())? as u16).to_ne_bytes()),
            DataType::UInt32 => Self::from_ne_bytes(&(node.integer(0, u32::MAX.into())? as u32).to_ne_bytes()),
            DataType::UInt64 => Self::from_ne_bytes(&(node.integer(0, u64::MAX.into())? as u64).to_ne_bytes()),
            DataType::Float16 => read_float(node, Format::F16)?,
            DataType::BFloat16 => read_float(node, Format::BF16)?,
            DataType::Float32 => read_float(node, Format::F32)?,
            DataType::Float64 => read_float(node, Format::F64)?,
            DataType::Complex64 => read_complex(node, Format::F32)?,
            DataType::Complex128 => read_complex(node, Format::F64)?,
        };
        Ok(value)
    }
}

/// A number, a special value by name, or the bits in hexadecimal.
fn read_float(node: &Node<'_>, format: Format) -> Result<FillValue, ZarrError> {
    let bits = match node.digits() {
        Some(digits) => round_decimal(digits, format),
        None => node.string().ok().and_then(|text| read_special(text, format)),
    };
    match bits {
        Some(bits) => Ok(from_bits(bits, format.size())),
        None => Err(node.unexpected(format_args!(
            "a number, `NaN`, `Infinity`, `-Infinity`, or `0x` and the {} hexadecimal digits of the bits",
            2 * format.size()
        ))),
    }
}

/// Bits of a float that is spelled as a string.
fn read_special(text: &str, format: Format) -> Option<u64> {
    match text {
        "NaN" => Some(format.quiet_nan()),
        "Infinity" => Some(format.infinity()),
        "-Infinity" => Some(format.infinity() | format.sign()),
        _ => {
            let digits = text.strip_prefix("0x")?;
            // `from_str_radix` takes a sign as well.
            let plain = digits.len() == 2 * format.size() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            u64::from_str_radix(digits, 16).ok().filter(|_| plain)
        }
    }
}

/// Real and imaginary part.
fn read_complex(node: &Node<'_>, format: Format) -> Result<FillValue, ZarrError> {
    let refused = || node.unexpected("an array of two floats: the real and the imaginary part");
    let mut items = node.items().map_err(|_| refused())?;
    let (Some(real), Some(imaginary), None) = (items.next(), items.next(), items.next()) else {
        return Err(refused());
    };
    let (real, imaginary) = (read_float(&real, format)?, read_float(&imaginary, format)?);
    Ok(FillValue::from_ne_bytes(&[real.as_ne_bytes(), imaginary.as_ne_bytes()].concat()))
}

/// The low `size` bytes of `bits` as a native-endian element.
fn from_bits(bits: u64, size: usize) -> FillValue {
    match size {
        2 => FillValue::from_ne_bytes(&(bits as u16).to_ne_bytes()),
        4 => FillValue::from_ne_bytes(&(bits as u32).to_ne_bytes()),
        _ => FillValue::from_ne_bytes(&bits.to_ne_bytes()),
    }
}
