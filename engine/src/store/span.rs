//! From the span asked for to the bytes of an object of known size.

use super::{Span, StoreError};

/// Refuses a span that asks for more than `limit` bytes. Needs no I/O; `Whole` is checked by [`resolve`].
pub(crate) fn check_request(span: Span, limit: u64) -> Result<(), StoreError> {
    match span {
        Span::Range { length, .. } | Span::Suffix { length } if length > limit => {
            Err(StoreError::TooLarge { observed: length, allowed: limit })
        }
        _ => Ok(()),
    }
}

/// Offset and length of what `span` means in an object of `size` bytes: clipped to the object, never above `limit`.
pub(crate) fn resolve(span: Span, size: u64, limit: u64) -> Result<(u64, u64), StoreError> {
    check_request(span, limit)?;
    match span {
        Span::Whole if size > limit => Err(StoreError::TooLarge { observed: size, allowed: limit }),
        Span::Whole => Ok((0, size)),
        Span::Range { offset, length } => {
            let offset = offset.min(size);
            Ok((offset, length.min(size - offset)))
        }
        Span::Suffix { length } => {
            let length = length.min(size);
            Ok((size - length, length))
        }
    }
}

/// A zeroed buffer of `length` bytes, or an error where memory does not suffice: a size that a file claims must not abort.
pub(crate) fn buffer(length: u64) -> Result<Vec<u8>, StoreError> {
    let mut buffer = Vec::new();
    resize(&mut buffer, length)?;
    Ok(buffer)
}

/// As [`buffer`], reusing what `buffer` has.
pub(crate) fn resize(buffer: &mut Vec<u8>, length: u64) -> Result<(), StoreError> {
    let refused = || StoreError::Permanent(format!("no memory for {length} bytes of an object").into());
    let length = usize::try_from(length).map_err(|_| refused())?;
    buffer.try_reserve_exact(length.saturating_sub(buffer.len())).map_err(|_| refused())?;
    buffer.resize(length, 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_clipped_to_the_object() {
        let range = |offset, length| Span::Range { offset, length };
        assert_eq!(resolve(Span::Whole, 10, 10).unwrap(), (0, 10));
        assert_eq!(resolve(range(3, 4), 10, 10).unwrap(), (3, 4));
        assert_eq!(resolve(range(8, 4), 10, 10).unwrap(), (8, 2));
        assert_eq!(resolve(range(u64::MAX, u64::MAX), 10, u64::MAX).unwrap(), (10, 0));
        assert_eq!(resolve(Span::Suffix { length: 4 }, 10, 10).unwrap(), (6, 4));
        assert_eq!(resolve(Span::Suffix { length: 40 }, 10, 40).unwrap(), (0, 10));
    }

    #[test]
    fn what_is_over_the_limit_is_refused_with_both_numbers() {
        for span in [Span::Whole, Span::Range { offset: 0, length: 10 }, Span::Suffix { length: 10 }] {
            assert!(matches!(resolve(span, 10, 9), Err(StoreError::TooLarge { observed: 10, allowed: 9 })), "{span:?}");
        }
    }

    #[test]
    fn a_size_that_no_memory_can_hold_is_an_error() {
        assert!(matches!(buffer(u64::MAX), Err(StoreError::Permanent(_))));
    }
}
