//! Decimal fractions: what a sensor said, exactly.

use crate::{
    Class, Refusal,
    cbor::{self, Encoder, Written},
};
use minicbor::{
    Decoder,
    data::{Int, Tag, Type},
};
use std::{
    cmp::Ordering,
    fmt::{self, Display},
    str::FromStr,
};

/// A number `mantissa · 10^exponent`, in its only spelling: the mantissa does not end in 0, and
/// zero is (0, 0). Floats round, and round differently; so there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Decimal {
    mantissa: i128,
    exponent: i8,
}

/// Text that is no decimal number, or one that 128 bits and an exponent of 8 bits do not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseDecimalError {
    /// Not of the form `-12.5e-3`, as JSON writes numbers.
    #[error("not a decimal number such as -12.5 (RFC 8259 section 6)")]
    Form,
    /// Cannot be held exactly.
    #[error("more digits or a larger exponent than a decimal of 128 bits holds exactly")]
    Range,
}

impl Decimal {
    /// Nothing.
    pub const ZERO: Self = Self { mantissa: 0, exponent: 0 };

    /// The number `mantissa · 10^exponent` in its only spelling, or `None` where the exponent
    /// that this needs is outside −128 … 127.
    #[must_use]
    pub fn new(mantissa: i128, exponent: i32) -> Option<Self> {
        let mut exponent = exponent;
        let mut mantissa = mantissa;
        if mantissa == 0 {
            return Some(Self::ZERO);
        }
        while mantissa.checked_rem(10) == Some(0) {
            mantissa = mantissa.checked_div(10)?;
            exponent = exponent.checked_add(1)?;
        }
        Some(Self { mantissa, exponent: i8::try_from(exponent).ok()? })
    }

    /// The digits with their sign.
    #[must_use]
    pub fn mantissa(self) -> i128 {
        self.mantissa
    }

    /// The power of ten by which they are multiplied.
    #[must_use]
    pub fn exponent(self) -> i8 {
        self.exponent
    }

    /// How many digits stand after the point.
    #[must_use]
    pub fn decimals(self) -> u8 {
        if self.exponent < 0 { self.exponent.unsigned_abs() } else { 0 }
    }

    /// The exact sum, or `None` where it cannot be held.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if self.mantissa == 0 || other.mantissa == 0 {
            return Some(if self.mantissa == 0 { other } else { self });
        }
        let exponent = self.exponent.min(other.exponent);
        let aligned = |number: Self| {
            let up = i32::from(number.exponent).checked_sub(i32::from(exponent))?;
            number.mantissa.checked_mul(10i128.checked_pow(u32::try_from(up).ok()?)?)
        };
        Self::new(aligned(self)?.checked_add(aligned(other)?)?, i32::from(exponent))
    }

    /// The exact product, or `None` where it cannot be held.
    #[must_use]
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        let exponent = i32::from(self.exponent).checked_add(i32::from(other.exponent))?;
        Self::new(self.mantissa.checked_mul(other.mantissa)?, exponent)
    }

    /// How many decimal digits the mantissa has; none for zero.
    fn digits(self) -> i32 {
        self.mantissa
            .unsigned_abs()
            .checked_ilog10()
            .map_or(0, |log| i32::try_from(log).unwrap_or(i32::MAX).saturating_add(1))
    }

    fn magnitude_cmp(self, other: Self) -> Ordering {
        let place = |number: Self| number.digits().saturating_add(i32::from(number.exponent));
        // Equal places leave an exponent apart by at most the digits of a mantissa, so the power
        // below exists. A product that overflows is above every mantissa.
        let scaled = |number: Self, by: i32| {
            let power = u32::try_from(by).ok().and_then(|by| 10u128.checked_pow(by))?;
            number.mantissa.unsigned_abs().checked_mul(power)
        };
        place(self).cmp(&place(other)).then_with(|| {
            let apart = i32::from(self.exponent).saturating_sub(i32::from(other.exponent));
            if apart >= 0 {
                let scaled = scaled(self, apart);
                scaled.map_or(Ordering::Greater, |own| own.cmp(&other.mantissa.unsigned_abs()))
            } else {
                let scaled = scaled(other, apart.saturating_neg());
                scaled.map_or(Ordering::Less, |theirs| self.mantissa.unsigned_abs().cmp(&theirs))
            }
        })
    }

    /// Writes `[exponent, mantissa]`, the content of RFC 8949's decimal fraction (cl. 3.4.4)
    /// without its tag: where a number stands, nothing else is an array.
    pub(crate) fn write(self, encoder: &mut Encoder<'_>) -> Written {
        encoder.array(2)?.i8(self.exponent)?;
        if let Ok(int) = Int::try_from(self.mantissa) {
            encoder.int(int)?;
            return Ok(());
        }
        // A negative bignum holds -1 - n, which is the complement.
        let (tag, magnitude) = match u128::try_from(self.mantissa) {
            Ok(magnitude) => (2, magnitude),
            Err(_) => (3, (!self.mantissa).unsigned_abs()),
        };
        let bytes = magnitude.to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        encoder.tag(Tag::new(tag))?.bytes(bytes.get(zeros..).unwrap_or_default())?;
        Ok(())
    }

    /// Reads an item that was checked.
    ///
    /// # Errors
    /// `E_FORMAT` where it is no number, or one with a trailing zero.
    pub(crate) fn read(path: &dyn Display, item: &[u8]) -> Result<Self, Refusal> {
        let parts = cbor::array(path, item)?;
        let [exponent, mantissa] = parts.as_slice() else {
            return Err(Refusal::new(
                Class::Format,
                format!(
                    "{path}: a number is [exponent, mantissa], not an array of {}",
                    parts.len()
                ),
            ));
        };
        let exponent = Decoder::new(exponent)
            .i8()
            .map_err(|_| cbor::expected(path, "an exponent from -128 to 127", exponent))?;
        let mantissa = read_integer(mantissa)
            .ok_or_else(|| cbor::expected(path, "a mantissa of at most 128 bits", mantissa))?;
        match Self::new(mantissa, i32::from(exponent)) {
            Some(number) if number.mantissa == mantissa && number.exponent == exponent => {
                Ok(number)
            }
            _ => Err(Refusal::new(
                Class::Format,
                format!(
                    "{path}: the mantissa of a number ends in 0; write the digits without it and \
                     raise the exponent, zero as [0, 0]"
                ),
            )),
        }
    }
}

fn read_integer(item: &[u8]) -> Option<i128> {
    let mut decoder = Decoder::new(item);
    if cbor::kind(item) != Type::Tag {
        return decoder.int().ok().map(i128::from);
    }
    let negative = decoder.tag().ok()?.as_u64() == 3;
    let digits = decoder.bytes().ok()?;
    let mut bytes = [0; 16];
    let space = bytes.len().checked_sub(digits.len())?;
    bytes.get_mut(space..)?.copy_from_slice(digits);
    let magnitude = i128::try_from(u128::from_be_bytes(bytes)).ok()?;
    Some(if negative { !magnitude } else { magnitude })
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = self.mantissa.signum();
        sign.cmp(&other.mantissa.signum()).then_with(|| match sign {
            0 => Ordering::Equal,
            1 => self.magnitude_cmp(*other),
            _ => other.magnitude_cmp(*self),
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Decimal {
    type Err = ParseDecimalError;

    /// Reads a number as JSON writes it, exactly.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = match number.split_once('.') {
            Some((_, "")) => return Err(ParseDecimalError::Form),
            Some(parts) => parts,
            None => (number, ""),
        };
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty() || leading_zero || !is_digits(whole) || !is_digits(fraction) {
            return Err(ParseDecimalError::Form);
        }
        let all: String = [whole, fraction].concat();
        let significant = all.trim_end_matches('0');
        if significant.is_empty() {
            return Ok(Self::ZERO);
        }
        // Zeros cut at the end raise the exponent, digits after the point lower it.
        let signed = |length: usize| i64::try_from(length).map_err(|_| ParseDecimalError::Range);
        let exponent = exponent
            .checked_add(signed(all.len().saturating_sub(significant.len()))?)
            .and_then(|exponent| exponent.checked_sub(i64::try_from(fraction.len()).ok()?))
            .and_then(|exponent| i8::try_from(exponent).ok())
            .ok_or(ParseDecimalError::Range)?;
        let digits = significant.trim_start_matches('0');
        let signed = if negative { format!("-{digits}") } else { digits.to_owned() };
        let mantissa = signed.parse().map_err(|_| ParseDecimalError::Range)?;
        Ok(Self { mantissa, exponent })
    }
}

fn parse_exponent(text: &str) -> Result<i64, ParseDecimalError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseDecimalError::Form);
    }
    text.parse::<i32>().map(i64::from).map_err(|_| ParseDecimalError::Range)
}

/// The longest run of zeros that is written out; beyond it an exponent reads better.
const ZEROS_SHOWN_MAX: usize = 20;

impl Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.mantissa.unsigned_abs().to_string();
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let shift = usize::from(self.exponent.unsigned_abs());
        if self.exponent >= 0 {
            return if shift <= ZEROS_SHOWN_MAX {
                write!(f, "{sign}{digits}{}", "0".repeat(shift))
            } else {
                write!(f, "{sign}{digits}e{}", self.exponent)
            };
        }
        match digits.len().checked_sub(shift) {
            Some(point @ 1..) => {
                let (whole, fraction) = digits.split_at(point);
                write!(f, "{sign}{whole}.{fraction}")
            }
            _ => {
                let zeros = shift.saturating_sub(digits.len());
                if zeros <= ZEROS_SHOWN_MAX {
                    write!(f, "{sign}0.{}{digits}", "0".repeat(zeros))
                } else {
                    write!(f, "{sign}{digits}e{}", self.exponent)
                }
            }
        }
    }
}
