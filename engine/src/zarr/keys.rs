//! Chunk keys: the name of a grid cell's object, relative to its array.

use super::node::{Node, quote};
use super::{ChunkKeys, Separator, ZarrError};

impl Separator {
    /// The character.
    pub const fn as_char(self) -> char {
        match self {
            Self::Slash => '/',
            Self::Dot => '.',
        }
    }
}

impl ChunkKeys {
    /// Reads `chunk_key_encoding`. Without a separator `default` takes `/` and `v2` takes `.`.
    pub(crate) fn read(node: &Node<'_>) -> Result<Self, ZarrError> {
        let extension = node.extension()?;
        let (build, default): (fn(Separator) -> Self, _) = match extension.name {
            "default" => (Self::Default, Separator::Slash),
            "v2" => (Self::V2, Separator::Dot),
            other => return Err(ZarrError::Unsupported(format!("chunk_key_encoding {} (read are: default, v2)", quote(other)))),
        };
        let Some(configuration) = extension.configuration else {
            return Ok(build(default));
        };
        configuration.only(&["separator"])?;
        let Some(separator) = configuration.optional("separator")? else {
            return Ok(build(default));
        };
        match separator.string()? {
            "/" => Ok(build(Separator::Slash)),
            "." => Ok(build(Separator::Dot)),
            _ => Err(separator.unexpected("`/` or `.`")),
        }
    }

    /// The separator between coordinates.
    pub const fn separator(self) -> Separator {
        match self {
            Self::Default(separator) | Self::V2(separator) => separator,
        }
    }

    /// Appends the key of the grid cell at `coords` (one per axis) to `out`: `c/0/1/2` or `0.1.2`, without a leading `/`.
    pub fn write_key(&self, coords: &[u64], out: &mut String) {
        let separator = self.separator().as_char();
        if let Self::Default(_) = self {
            out.push('c');
        }
        for (axis, &coord) in coords.iter().enumerate() {
            if axis > 0 || matches!(self, Self::Default(_)) {
                out.push(separator);
            }
            push_decimal(coord, out);
        }
    }
}

/// Appends `value` in decimal; `write!` costs several times as much, and a key is written per cell that a sample touches.
fn push_decimal(mut value: u64, out: &mut String) {
    // u64::MAX has 20 digits.
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend(digits[start..].iter().map(|&digit| char::from(digit)));
}
