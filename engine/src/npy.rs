//! NumPy's `.npy` files, version 1.0 (`numpy/lib/format.py`): magic, a Python dict in ASCII, then the elements.

use std::io::{self, Write};

use crate::zarr::DataType;

/// Header, padded so that the elements start at a multiple of this many bytes (NumPy maps such files).
const ALIGNMENT: usize = 64;
const MAGIC: &[u8; 8] = b"\x93NUMPY\x01\x00";

/// NumPy's name of a data type in native byte order. `bfloat16` is unknown to NumPy: its bits are written as `uint16`.
pub const fn descr(data_type: DataType) -> &'static str {
    const LITTLE: bool = cfg!(target_endian = "little");
    match data_type {
        DataType::Bool => "|b1",
        DataType::Int8 => "|i1",
        DataType::UInt8 => "|u1",
        DataType::Int16 => {
            if LITTLE {
                "<i2"
            } else {
                ">i2"
            }
        }
        DataType::Int32 => {
            if LITTLE {
                "<i4"
            } else {
                ">i4"
            }
        }
        DataType::Int64 => {
            if LITTLE {
                "<i8"
            } else {
                ">i8"
            }
        }
        DataType::UInt16 | DataType::BFloat16 => {
            if LITTLE {
                "<u2"
            } else {
                ">u2"
            }
        }
        DataType::UInt32 => {
            if LITTLE {
                "<u4"
            } else {
                ">u4"
            }
        }
        DataType::UInt64 => {
            if LITTLE {
                "<u8"
            } else {
                ">u8"
            }
        }
        DataType::Float16 => {
            if LITTLE {
                "<f2"
            } else {
                ">f2"
            }
        }
        DataType::Float32 => {
            if LITTLE {
                "<f4"
            } else {
                ">f4"
            }
        }
        DataType::Float64 => {
            if LITTLE {
                "<f8"
            } else {
                ">f8"
            }
        }
        DataType::Complex64 => {
            if LITTLE {
                "<c8"
            } else {
                ">c8"
            }
        }
        DataType::Complex128 => {
            if LITTLE {
                "<c16"
            } else {
                ">c16"
            }
        }
    }
}

/// The header of a C-contiguous array. Shapes of up to 33 axes stay far below version 1.0's limit of 64 KiB.
pub fn header(data_type: DataType, shape: &[usize]) -> Vec<u8> {
    let mut axes = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    if shape.len() == 1 {
        axes.push(',');
    }
    let mut dict = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({axes}), }}", descr(data_type));
    let length_bytes = 2;
    // The dict ends with a newline, which counts.
    let unpadded = MAGIC.len() + length_bytes + dict.len() + 1;
    dict.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(ALIGNMENT) - unpadded));
    dict.push('\n');
    let length = u16::try_from(dict.len()).expect("an array's rank is limited, and with it the header");
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&length.to_le_bytes());
    header.extend_from_slice(dict.as_bytes());
    header
}

/// Writes one array: `bytes` are its elements in C order, native byte order.
///
/// # Errors
/// Of the writer; `InvalidInput` if the bytes do not fill the shape.
pub fn write(mut to: impl Write, data_type: DataType, shape: &[usize], bytes: &[u8]) -> io::Result<()> {
    let expected = shape.iter().try_fold(data_type.size(), |n, &extent| n.checked_mul(extent));
    if expected != Some(bytes.len()) {
        let text = format!("{} bytes do not fill a {} array of shape {shape:?}", bytes.len(), data_type.name());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    to.write_all(&header(data_type, shape))?;
    to.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn headers_are_those_of_numpy() {
        // numpy 2.4: np.lib.format.write_array_header_1_0(f, header_data_from_array_1_0(np.zeros((2, 3), "<f4")))
        let expected = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
        let header = header(DataType::Float32, &[2, 3]);
        assert_eq!(header.len(), 128);
        assert_eq!(&header[..expected.len()], expected);
        assert!(header[expected.len()..127].iter().all(|&byte| byte == b' ') && header[127] == b'\n');
        let one = super::header(DataType::Bool, &[5]);
        assert!(one.windows(19).any(|window| window == b"'shape': (5,), }   "), "{}", String::from_utf8_lossy(&one));
    }

    #[test]
    fn every_header_is_aligned() {
        for rank in 1..=33 {
            for extent in [1, usize::MAX] {
                assert_eq!(header(DataType::Complex128, &vec![extent; rank]).len() % ALIGNMENT, 0);
            }
        }
    }

    #[test]
    fn bytes_that_do_not_fill_the_shape_are_refused() {
        let mut out = Vec::new();
        assert!(write(&mut out, DataType::UInt16, &[2, 2], &[0; 7]).is_err());
        assert!(write(&mut out, DataType::UInt16, &[usize::MAX, 2], &[0; 7]).is_err());
        assert!(out.is_empty());
        write(&mut out, DataType::UInt16, &[2, 2], &[1; 8]).unwrap();
        assert_eq!(out.len(), 128 + 8);
    }
}
