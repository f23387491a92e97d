//! Values of the command line. Every error says what was found and what is allowed.

use longshore::{CropBox, Dtype, Outside};

/// Extents per axis, elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(pub Vec<u64>);

/// One `--field`. What is `None` is as given for all fields.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldSpec {
    pub name: String,
    pub crop: Option<Shape>,
    pub dtype: Option<Dtype>,
    pub outside: Option<Outside>,
}

/// `64,64,64` or `64x64x64`.
pub fn shape(text: &str) -> Result<Shape, String> {
    let extents = text.split([',', 'x']).map(|extent| match extent.trim().parse::<u64>() {
        Ok(0) => Err("an extent of 0; each must be at least 1".to_owned()),
        Ok(extent) => Ok(extent),
        Err(_) => Err(format!("{extent:?} is no extent; a shape looks like 64,64,64")),
    });
    let extents = extents.collect::<Result<Vec<_>, _>>()?;
    if extents.len() > longshore::zarr::MAX_RANK {
        return Err(format!("{} axes, at most {} are possible", extents.len(), longshore::zarr::MAX_RANK));
    }
    Ok(Shape(extents))
}

/// `0:64,0:64,-3:5`.
pub fn crop_box(text: &str) -> Result<CropBox, String> {
    let bounds = text.split(',').map(|axis| {
        let (start, end) = axis.split_once(':').ok_or_else(|| format!("{axis:?} is no START:END; a box looks like 0:64,0:64"))?;
        let number = |bound: &str| bound.trim().parse::<i64>().map_err(|_| format!("{bound:?} in {axis:?} is no 64-bit integer"));
        Ok::<_, String>((number(start)?, number(end)?))
    });
    CropBox::new(bounds.collect::<Result<Vec<_>, _>>()?)
}

pub fn dtype(text: &str) -> Result<Dtype, String> {
    match text {
        "native" => Ok(Dtype::Native),
        "f16" => Ok(Dtype::F16),
        "bf16" => Ok(Dtype::BF16),
        "f32" => Ok(Dtype::F32),
        "f64" => Ok(Dtype::F64),
        _ => Err("possible are native, f16, bf16, f32 and f64".into()),
    }
}

pub fn outside(text: &str) -> Result<Outside, String> {
    match text {
        "error" => Ok(Outside::Error),
        "fill" => Ok(Outside::Fill),
        "edge" => Ok(Outside::Edge),
        _ => text.parse().map(Outside::Constant).map_err(|_| "possible are error, fill, edge or a number".into()),
    }
}

/// `name=image,crop=64x64x64,dtype=f32,outside=fill`.
pub fn field(text: &str) -> Result<FieldSpec, String> {
    let mut spec = FieldSpec { name: String::new(), crop: None, dtype: None, outside: None };
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("name", value)) => spec.name = value.to_owned(),
            Some(("crop", value)) => spec.crop = Some(shape(value)?),
            Some(("dtype", value)) => spec.dtype = Some(dtype(value)?),
            Some(("outside", value)) => spec.outside = Some(outside(value)?),
            _ => return Err(format!("{part:?} is none of name=, crop= (with x between extents), dtype=, outside=")),
        }
    }
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    if spec.name.is_empty() || !spec.name.chars().all(plain) {
        return Err(format!("the name {:?} must consist of letters, digits, _ and -", spec.name));
    }
    Ok(spec)
}

/// A count of at least 1.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".into()),
        Ok(count) => Ok(count),
        Err(error) => Err(error.to_string()),
    }
}

/// `R/W` with `R < W`.
pub fn rank(text: &str) -> Result<(u64, u64), String> {
    let parts = text.split_once('/').and_then(|(rank, world)| Some((rank.parse().ok()?, world.parse().ok()?)));
    match parts {
        Some((rank, world)) if rank < world => Ok((rank, world)),
        Some((rank, world)) => Err(format!("rank {rank} must be below {world}")),
        None => Err("it looks like 0/8".into()),
    }
}

/// Bytes: `1073741824`, `1GiB`, `512MiB`, `1.5GB`.
pub fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1u64,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        other => return Err(format!("unknown unit {other:?}; possible are B, KiB, MiB, GiB, TiB, KB, MB, GB and TB")),
    };
    let too_many = || "more bytes than a 64-bit number holds".to_owned();
    if let Ok(whole) = digits.trim().parse::<u64>() {
        return whole.checked_mul(unit).ok_or_else(too_many);
    }
    match digits.trim().parse::<f64>() {
        Ok(number) if number >= 0.0 && number * (unit as f64) < u64::MAX as f64 => Ok((number * unit as f64) as u64),
        Ok(number) if number >= 0.0 => Err(too_many()),
        _ => Err("it looks like 1073741824 or 1GiB".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_boxes() {
        assert_eq!(shape("64,32x1").unwrap().0, [64, 32, 1]);
        assert!(["", "0", "1,,2", "-1", "a"].iter().all(|text| shape(text).is_err()));
        assert!(shape(&vec!["1"; 33].join(",")).unwrap_err().contains("32"));
        assert_eq!(crop_box("0:64,-3:5").unwrap().axes(), [(0, 64), (-3, 5)]);
        assert!(["", "5", "5:5", "1:2:3", "0:99999999999999999999"].iter().all(|text| crop_box(text).is_err()));
    }

    #[test]
    fn sizes_in_bytes() {
        for (text, expected) in [("0", 0), ("10", 10), ("1GiB", 1 << 30), ("1.5 GB", 1_500_000_000), ("2k", 2048), ("64mib", 64 << 20)] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        assert!(["", "GiB", "-1", "nan", "1XB", "99999999TiB", "1e30"].iter().all(|text| bytes(text).is_err()));
    }

    #[test]
    fn fields() {
        let spec = field("name=image,crop=8x8,dtype=f32,outside=-1").unwrap();
        assert_eq!((spec.name.as_str(), spec.crop, spec.dtype), ("image", Some(Shape(vec![8, 8])), Some(Dtype::F32)));
        assert_eq!(spec.outside, Some(Outside::Constant(-1.0)));
        // A name becomes part of a file's name.
        assert!(["", "crop=8", "name=", "name=a/b", "name=..", "name=a,what=1"].iter().all(|text| field(text).is_err()));
    }

    #[test]
    fn ranks() {
        assert_eq!(rank("3/4"), Ok((3, 4)));
        assert!(["4/4", "1", "a/b", "0/0"].iter().all(|text| rank(text).is_err()));
    }
}
