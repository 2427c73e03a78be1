//! Deterministic CBOR, the part of it that envelopes and schemas use. Spec: RFC 8949 cl. 4.2
//!
//! [`check`] walks a whole document once and leaves one spelling for each value: definite lengths,
//! shortest heads, map keys in ascending order and none twice, no float, no null, no tag but the
//! bignums 2 and 3 where 64 bits do not suffice. It allocates nothing and nests to [`DEPTH_MAX`],
//! so hostile bytes cost no more than their length. The readers below it take what was checked.

use crate::{Refusal, ensure, refuse};
use minicbor::{Decoder, data::Type};
use std::{collections::BTreeMap, convert::Infallible, fmt::Display};

/// How deep items may nest. A number of a reading stands at depth 5; the rest is for extensions.
pub(crate) const DEPTH_MAX: u32 = 8;

/// Writes to memory; cannot fail but for what the type says.
pub(crate) type Encoder<'v> = minicbor::Encoder<&'v mut Vec<u8>>;
/// What writing gives.
pub(crate) type Written = Result<(), minicbor::encode::Error<Infallible>>;

/// A map with numbers as keys: each value as its encoded item.
pub(crate) type Fields<'b> = BTreeMap<u64, &'b [u8]>;

/// Checks that `bytes` are one item in its only spelling, and nothing after it.
///
/// # Errors
/// `E_FORMAT` with the position of the first fault; `E_LIMIT` where items nest too deeply.
pub(crate) fn check(what: &dyn Display, bytes: &[u8]) -> Result<(), Refusal> {
    let mut walk = Walk { what, bytes, decoder: Decoder::new(bytes) };
    walk.item(DEPTH_MAX)?;
    let end = walk.decoder.position();
    ensure!(
        end == bytes.len(),
        Format,
        "{what} ends at byte {end}, but {} bytes were given; the lengths declared inside must add \
         up to the actual length",
        bytes.len()
    );
    Ok(())
}

struct Walk<'b> {
    what: &'b dyn Display,
    bytes: &'b [u8],
    decoder: Decoder<'b>,
}

impl Walk<'_> {
    fn item(&mut self, depth: u32) -> Result<(), Refusal> {
        let start = self.decoder.position();
        let Some(depth) = depth.checked_sub(1) else {
            refuse!(
                Limit,
                "{}, byte {start}: items nest deeper than {DEPTH_MAX}; flatten the structure",
                self.what
            );
        };
        match self.decoder.datatype().map_err(|error| self.fault(start, &error))? {
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => {
                let number = self.decoder.u64().map_err(|error| self.fault(start, &error))?;
                self.shortest(start, number, 0)
            }
            Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
                let number = self.decoder.int().map_err(|error| self.fault(start, &error))?;
                // The head holds -1 - n, which is the complement.
                let head = u64::try_from(!i128::from(number)).unwrap_or(u64::MAX);
                self.shortest(start, head, 0)
            }
            Type::Bytes => {
                let bytes = self.decoder.bytes().map_err(|error| self.fault(start, &error))?;
                self.shortest(start, bytes.len() as u64, bytes.len())
            }
            Type::String => {
                let text = self.decoder.str().map_err(|error| self.fault(start, &error))?;
                self.shortest(start, text.len() as u64, text.len())
            }
            Type::Bool => self.decoder.bool().map(drop).map_err(|error| self.fault(start, &error)),
            Type::Array => {
                let count = self.decoder.array().map_err(|error| self.fault(start, &error))?;
                // An array without a count has a type of its own and does not come here.
                let count = count.unwrap_or(0);
                self.shortest(start, count, 0)?;
                for _ in 0..count {
                    self.item(depth)?;
                }
                Ok(())
            }
            Type::Map => self.map(start, depth),
            Type::Tag => self.bignum(start, depth),
            other => refuse!(
                Format,
                "{}, byte {start}: {other} is not allowed; deterministic CBOR (RFC 8949 section \
                 4.2) holds definite lengths only, and here no float, null or other simple value",
                self.what
            ),
        }
    }

    fn map(&mut self, start: usize, depth: u32) -> Result<(), Refusal> {
        let count = self.decoder.map().map_err(|error| self.fault(start, &error))?.unwrap_or(0);
        self.shortest(start, count, 0)?;
        let mut before: &[u8] = &[];
        for _ in 0..count {
            let key_start = self.decoder.position();
            match self.decoder.datatype().map_err(|error| self.fault(key_start, &error))? {
                Type::Array | Type::Map | Type::Tag | Type::Bytes | Type::Bool => refuse!(
                    Format,
                    "{}, byte {key_start}: a map key is neither a number nor text",
                    self.what
                ),
                _ => self.item(1)?,
            }
            let key = self.bytes.get(key_start..self.decoder.position()).unwrap_or_default();
            ensure!(
                key > before,
                Format,
                "{}, byte {key_start}: the map key 0x{} does not stand after 0x{}; keys stand in \
                 ascending order of their bytes and none twice",
                self.what,
                hex::encode(key),
                hex::encode(before)
            );
            before = key;
            self.item(depth)?;
        }
        Ok(())
    }

    /// A whole number outside 64 bits; the only tags that are needed.
    fn bignum(&mut self, start: usize, depth: u32) -> Result<(), Refusal> {
        let tag = self.decoder.tag().map_err(|error| self.fault(start, &error))?.as_u64();
        ensure!(
            tag == 2 || tag == 3,
            Format,
            "{}, byte {start}: tag {tag} is not allowed, only the bignums 2 and 3",
            self.what
        );
        self.shortest(start, tag, 0)?;
        let content = self.decoder.position();
        let digits = self.decoder.probe().bytes().map_err(|error| self.fault(content, &error))?;
        ensure!(
            digits.len() > 8 && digits.first() != Some(&0),
            Format,
            "{}, byte {content}: a bignum of {} bytes is not the shortest spelling of its number",
            self.what,
            digits.len()
        );
        self.item(depth)
    }

    /// Checks that the item from `start` to here has the shortest head for `argument`.
    fn shortest(&self, start: usize, argument: u64, content: usize) -> Result<(), Refusal> {
        let head = match argument {
            0..=23 => 1,
            24..=0xff => 2,
            0x100..=0xffff => 3,
            0x1_0000..=0xffff_ffff => 5,
            _ => 9,
        };
        let found = self.decoder.position().saturating_sub(start).saturating_sub(content);
        ensure!(
            found == head,
            Format,
            "{}, byte {start}: {argument} is spelt in {found} bytes where {head} suffice; numbers \
             and lengths stand in the shortest form",
            self.what
        );
        Ok(())
    }

    fn fault(&self, start: usize, error: &minicbor::decode::Error) -> Refusal {
        let why = if error.is_end_of_input() {
            "the input ends inside an item; a declared length is above the actual one"
        } else {
            "not well-formed CBOR (RFC 8949)"
        };
        Refusal::new(crate::Class::Format, format!("{}, byte {start}: {why}", self.what))
    }
}

/// The entries of a map that was checked.
///
/// # Errors
/// `E_FORMAT` where it is none, or a key is not a whole number from 0.
pub(crate) fn fields<'b>(path: &dyn Display, item: &'b [u8]) -> Result<Fields<'b>, Refusal> {
    let mut decoder = Decoder::new(item);
    let count = decoder.map().map_err(|_| expected(path, "a map", item))?.unwrap_or(0);
    let mut fields = Fields::new();
    for _ in 0..count {
        let Ok(key) = decoder.u64() else {
            refuse!(Format, "{path}: a field key is not a whole number from 0");
        };
        fields.insert(key, next(path, &mut decoder, item)?);
    }
    Ok(fields)
}

/// The members of an array that was checked.
///
/// # Errors
/// `E_FORMAT` where it is none.
pub(crate) fn array<'b>(path: &dyn Display, item: &'b [u8]) -> Result<Vec<&'b [u8]>, Refusal> {
    let mut decoder = Decoder::new(item);
    let count = decoder.array().map_err(|_| expected(path, "an array", item))?.unwrap_or(0);
    (0..count).map(|_| next(path, &mut decoder, item)).collect()
}

fn next<'b>(
    path: &dyn Display,
    decoder: &mut Decoder<'b>,
    item: &'b [u8],
) -> Result<&'b [u8], Refusal> {
    let start = decoder.position();
    decoder.skip().map_err(|_| expected(path, "a whole item", item))?;
    Ok(item.get(start..decoder.position()).unwrap_or_default())
}

/// A whole number from 0.
///
/// # Errors
/// `E_FORMAT` where it is none, or does not fit.
pub(crate) fn unsigned<T: TryFrom<u64>>(path: &dyn Display, item: &[u8]) -> Result<T, Refusal> {
    let number =
        Decoder::new(item).u64().map_err(|_| expected(path, "a whole number from 0", item))?;
    T::try_from(number).map_err(|_| {
        Refusal::new(
            crate::Class::Format,
            format!("{path}: {number} does not fit {} bits", size_of::<T>().saturating_mul(8)),
        )
    })
}

/// A text.
///
/// # Errors
/// `E_FORMAT` where it is none.
pub(crate) fn text<'b>(path: &dyn Display, item: &'b [u8]) -> Result<&'b str, Refusal> {
    Decoder::new(item).str().map_err(|_| expected(path, "text", item))
}

/// A byte string of 32 bytes.
///
/// # Errors
/// `E_FORMAT` where it is none, or has another length.
pub(crate) fn word(path: &dyn Display, item: &[u8]) -> Result<[u8; 32], Refusal> {
    let bytes = Decoder::new(item).bytes().map_err(|_| expected(path, "32 bytes", item))?;
    <[u8; 32]>::try_from(bytes).map_err(|_| {
        Refusal::new(
            crate::Class::Format,
            format!("{path}: 32 bytes expected, found {}", bytes.len()),
        )
    })
}

/// What stands in an item, in words.
pub(crate) fn kind(item: &[u8]) -> Type {
    Decoder::new(item).datatype().unwrap_or(Type::Break)
}

/// The refusal for an item of another type.
pub(crate) fn expected(path: &dyn Display, what: &str, item: &[u8]) -> Refusal {
    Refusal::new(crate::Class::Format, format!("{path}: {what} expected, found {}", kind(item)))
}

/// Encodes with `write`.
///
/// # Errors
/// `E_FORMAT` where the writer refuses; writing to memory gives it no reason to.
pub(crate) fn encode(
    what: &dyn Display,
    write: impl FnOnce(&mut Encoder<'_>) -> Written,
) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    match write(&mut Encoder::new(&mut bytes)) {
        Ok(()) => Ok(bytes),
        Err(error) => refuse!(Format, "{what} cannot be encoded: {error}"),
    }
}
