//! Strict reading of RLP: the shortest spelling of each value, and nothing left over.
//!
//! `alloy-rlp` refuses lengths and single bytes that are not written in the shortest way; what it
//! leaves to its callers (bytes after the value, leading zeros of numbers) is refused here.

use alloy_rlp::{Header, PayloadView};

/// Bytes that are not the one RLP spelling of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RlpError {
    /// The decoder refuses them.
    #[error("not RLP: {0}")]
    Malformed(alloy_rlp::Error),
    /// The value ends before the bytes do.
    #[error("{left} bytes are left over after the value")]
    Surplus {
        /// How many.
        left: usize,
    },
    /// A list stands where a string belongs, or the other way round.
    #[error("found a {found}")]
    Kind {
        /// What stands there.
        found: &'static str,
    },
    /// The string has another length.
    #[error("found {found} bytes, expected {expected}")]
    Length {
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// The string is not a number of at most this many bytes without leading zeros.
    #[error("{found} bytes are not a number of at most {most} bytes without leading zeros")]
    Number {
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
}

/// The items of the list that `bytes` are, each whole, with its own header.
///
/// # Errors
/// [`RlpError`].
pub(crate) fn list(bytes: &[u8]) -> Result<Vec<&[u8]>, RlpError> {
    match whole(bytes)? {
        PayloadView::List(items) => Ok(items),
        PayloadView::String(_) => Err(RlpError::Kind { found: "string" }),
    }
}

/// The content of the string that `bytes` are.
///
/// # Errors
/// [`RlpError`].
pub(crate) fn string(bytes: &[u8]) -> Result<&[u8], RlpError> {
    match whole(bytes)? {
        PayloadView::String(content) => Ok(content),
        PayloadView::List(_) => Err(RlpError::Kind { found: "list" }),
    }
}

/// The content of the string of exactly `N` bytes that `bytes` are.
///
/// # Errors
/// [`RlpError`].
pub(crate) fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], RlpError> {
    let content = string(bytes)?;
    content.try_into().map_err(|_| RlpError::Length { found: content.len(), expected: N })
}

/// The number that `bytes` are, big-endian in `N` bytes.
///
/// # Errors
/// [`RlpError`].
pub(crate) fn number<const N: usize>(bytes: &[u8]) -> Result<[u8; N], RlpError> {
    let content = string(bytes)?;
    let refused = RlpError::Number { found: content.len(), most: N };
    if content.first() == Some(&0) {
        return Err(refused);
    }
    let mut number = [0; N];
    let zeros = N.checked_sub(content.len()).ok_or(refused)?;
    for (to, from) in number.iter_mut().skip(zeros).zip(content) {
        *to = *from;
    }
    Ok(number)
}

fn whole(bytes: &[u8]) -> Result<PayloadView<'_>, RlpError> {
    let mut rest = bytes;
    let view = Header::decode_raw(&mut rest).map_err(RlpError::Malformed)?;
    if !rest.is_empty() {
        return Err(RlpError::Surplus { left: rest.len() });
    }
    Ok(view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_spelling_alone_is_read() {
        assert_eq!(string(&[0x05]), Ok([0x05].as_slice()));
        assert_eq!(list(&[0xc2, 0x80, 0x05]), Ok(vec![[0x80].as_slice(), &[0x05]]));
        assert_eq!(number::<8>(&[0x80]), Ok([0; 8]));
        assert_eq!(number::<2>(&[0x82, 1, 2]), Ok([1, 2]));
        assert_eq!(fixed::<1>(&[0x05]), Ok([5]));
        let rows: [(&[u8], RlpError); 8] = [
            (&[0x81, 0x05], RlpError::Malformed(alloy_rlp::Error::NonCanonicalSingleByte)),
            (&[0xb8, 1, 0x90], RlpError::Malformed(alloy_rlp::Error::NonCanonicalSize)),
            (&[0xb9, 0, 60], RlpError::Malformed(alloy_rlp::Error::LeadingZero)),
            (&[0x82, 1], RlpError::Malformed(alloy_rlp::Error::InputTooShort)),
            (&[], RlpError::Malformed(alloy_rlp::Error::InputTooShort)),
            (&[0xc0], RlpError::Kind { found: "list" }),
            (&[0x05, 0x05], RlpError::Surplus { left: 1 }),
            (&[0x82, 0, 5], RlpError::Number { found: 2, most: 8 }),
        ];
        for (bytes, expected) in rows {
            assert_eq!(number::<8>(bytes), Err(expected));
        }
        assert_eq!(list(&[0x80]), Err(RlpError::Kind { found: "string" }));
        assert_eq!(number::<1>(&[0x82, 1, 2]), Err(RlpError::Number { found: 2, most: 1 }));
        assert_eq!(fixed::<3>(&[0x82, 1, 2]), Err(RlpError::Length { found: 2, expected: 3 }));
    }
}
