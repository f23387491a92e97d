//! The value that elements outside an array take.

use half::{bf16, f16};

use crate::config::Outside;
use crate::zarr::{ArrayMeta, DataType, FillValue};

/// The value for a policy that fills, in the array's type; `None` for the others.
///
/// # Errors
/// A sentence, for a constant that the array's type cannot hold.
pub(crate) fn value(outside: Outside, meta: &ArrayMeta) -> Result<Option<FillValue>, String> {
    match outside {
        Outside::Error | Outside::Edge => Ok(None),
        Outside::Fill => Ok(Some(meta.fill_value)),
        Outside::Constant(value) => constant(value, meta.data_type).map(Some),
    }
}

fn constant(value: f64, data_type: DataType) -> Result<FillValue, String> {
    macro_rules! integer {
        ($type:ty) => {{
            // Casts saturate; the 128-bit comparison is exact for every value that could be in range.
            let cast = value as $type;
            if value.fract() != 0.0 || value as i128 != cast as i128 || value.is_nan() {
                return Err(format!("the outside value {value} does not fit the array's type {}", data_type.name()));
            }
            FillValue::from_ne_bytes(&cast.to_ne_bytes())
        }};
    }
    Ok(match data_type {
        DataType::Bool if value == 0.0 || value == 1.0 => FillValue::from_ne_bytes(&[value as u8]),
        DataType::Bool => return Err(format!("the outside value {value} does not fit the array's type bool (0 or 1)")),
        DataType::Int8 => integer!(i8),
        DataType::Int16 => integer!(i16),
        DataType::Int32 => integer!(i32),
        DataType::Int64 => integer!(i64),
        DataType::UInt8 => integer!(u8),
        DataType::UInt16 => integer!(u16),
        DataType::UInt32 => integer!(u32),
        DataType::UInt64 => integer!(u64),
        DataType::Float16 => FillValue::from_ne_bytes(&f16::from_f64(value).to_ne_bytes()),
        DataType::BFloat16 => FillValue::from_ne_bytes(&bf16::from_f64(value).to_ne_bytes()),
        DataType::Float32 => FillValue::from_ne_bytes(&(value as f32).to_ne_bytes()),
        DataType::Float64 => FillValue::from_ne_bytes(&value.to_ne_bytes()),
        DataType::Complex64 => FillValue::from_ne_bytes(&[(value as f32).to_ne_bytes(), 0f32.to_ne_bytes()].concat()),
        DataType::Complex128 => FillValue::from_ne_bytes(&[value.to_ne_bytes(), 0f64.to_ne_bytes()].concat()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_must_fit_the_type() {
        assert_eq!(constant(-1.0, DataType::Int16).unwrap().as_ne_bytes(), (-1i16).to_ne_bytes());
        assert_eq!(constant(0.5, DataType::Float32).unwrap().as_ne_bytes(), 0.5f32.to_ne_bytes());
        for (value, data_type) in [
            (-1.0, DataType::UInt8),
            (256.0, DataType::UInt8),
            (0.5, DataType::Int32),
            (f64::NAN, DataType::Int32),
            (2.0, DataType::Bool),
            (2f64.powi(64), DataType::UInt64),
            (2f64.powi(63), DataType::Int64),
        ] {
            assert!(constant(value, data_type).is_err(), "{value} as {data_type:?}");
        }
    }
}
