//! Data structures: what readings an envelope may hold. Spec: Y.4560 cl. 7.2.1
//!
//! A schema is an entry of the hub's registry, known by the hash of its canonical definition,
//! and reaches other ledgers on the control lane. Its encoding is deterministic CBOR, as an
//! envelope's is: `{0: format, 1: name, 2: version, 3: [field, …]}`, a field being
//! `{0: name, 1: kind, 2: unit, 3: minimum, 4: maximum, 5: longest, 6: required, 7: decimals}`
//! where what does not apply is left out.
//!
//! Deliberately absent: fields of any name. What a schema does not list, no envelope holds.

mod codec;
#[cfg(test)]
mod tests;
mod units;

pub use units::{UNITS, is_registered_unit};

use crate::{
    Class, Refusal, ensure,
    envelope::{Decimal, ENVELOPE_BYTES_MAX, Envelope, Reading, Value, check_name},
    message::{DataClass, numbered},
    refuse,
};
use std::fmt::Display;

/// The version of the encoding of schemas that this code writes and reads.
pub const SCHEMA_FORMAT: u16 = 1;
/// The largest encoded schema, in bytes: every field at its longest, with room to spare.
pub const SCHEMA_BYTES_MAX: usize = 16 * 1024;
/// How many fields a schema may have.
pub const FIELDS_MAX: usize = 64;

numbered!(
    /// What a field holds.
    FieldKind {
        /// An exact decimal number with a unit.
        Number = 1, "number";
        /// A text, UTF-8.
        Text = 2, "text";
        /// Yes or no.
        Flag = 3, "flag";
        /// Bytes.
        Bytes = 4, "bytes";
    }
);

/// A registered data structure. Req: Y4560-7.2.1-a
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// What it is called in all its versions, e.g. `air-quality`.
    pub name: String,
    /// From 1.
    pub version: u32,
    /// The fields, in strictly ascending order of name; 1 to [`FIELDS_MAX`].
    pub fields: Vec<Field>,
}

/// One field. Req: Y4560-7.2.1-b
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// What readings call it.
    pub name: String,
    /// What it holds.
    pub kind: FieldKind,
    /// A registered unit for a number (`1` for none), else empty.
    pub unit: String,
    /// The least number allowed, in the unit.
    pub minimum: Option<Decimal>,
    /// The greatest number allowed, in the unit.
    pub maximum: Option<Decimal>,
    /// The longest text or byte string, in bytes, from 1; 0 for numbers and flags.
    pub length_max: u32,
    /// Whether every envelope has a reading of it.
    pub required: bool,
    /// How many digits a number may have after the point; `None` leaves it open.
    pub decimals: Option<u8>,
}

impl Schema {
    /// Reads a definition. Only the bytes that [`Schema::encode`] gives are accepted.
    ///
    /// # Errors
    /// Each with the path of the field. `E_VERSION` for another format, an unknown key or kind;
    /// `E_FORMAT` for a definition that is malformed or contradicts itself; `E_LIMIT` above
    /// [`SCHEMA_BYTES_MAX`] or [`FIELDS_MAX`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        codec::parse(bytes)
    }

    /// The canonical definition; its hash is the schema's id.
    ///
    /// # Errors
    /// As [`Schema::parse`], where the schema is not one that could be read again.
    pub fn encode(&self) -> Result<Vec<u8>, Refusal> {
        self.check()?;
        codec::encode(self)
    }

    /// The field with this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        let found = self.fields.binary_search_by(|field| field.name.as_str().cmp(name));
        found.ok().and_then(|position| self.fields.get(position))
    }

    fn check(&self) -> Result<(), Refusal> {
        check_name(&"name", &self.name)?;
        ensure!(self.version > 0, Format, "version: 0 is no version, the first is 1");
        ensure!(!self.fields.is_empty(), Format, "fields: a schema has at least one field");
        ensure!(
            self.fields.len() <= FIELDS_MAX,
            Limit,
            "fields: {} are above the maximum {FIELDS_MAX}",
            self.fields.len()
        );
        let mut before = "";
        for (position, field) in self.fields.iter().enumerate() {
            check_name(&format_args!("fields[{position}].name"), &field.name)?;
            ensure!(
                field.name.as_str() > before,
                Format,
                "fields[{position}].name: `{}` does not stand after `{before}`; fields stand in \
                 ascending order of name and none twice",
                field.name
            );
            before = &field.name;
            field.check(position)?;
        }
        Ok(())
    }

    /// Checks the readings of an envelope: each of a field, of its kind, within its range and
    /// length, and of every required field at least one.
    ///
    /// The values of a closed item appear in no refusal, because a refusal is recorded.
    ///
    /// # Errors
    /// With the path of the reading: `E_FORMAT`, or `E_LIMIT` for what is too long; and as
    /// [`Envelope::check`].
    pub fn validate(&self, envelope: &Envelope) -> Result<(), Refusal> {
        envelope.check()?;
        for (position, reading) in envelope.readings.iter().enumerate() {
            let Some(field) = self.field(&reading.name) else {
                refuse!(
                    Format,
                    "readings[{position}].name: `{}` is not a field of schema {} version {}",
                    shown(envelope.class, &reading.name),
                    self.name,
                    self.version
                );
            };
            field.validate(position, reading, envelope.class)?;
        }
        for field in self.fields.iter().filter(|field| field.required) {
            ensure!(
                envelope.readings.iter().any(|reading| reading.name == field.name),
                Format,
                "readings.{}: missing; schema {} version {} requires it",
                field.name,
                self.name,
                self.version
            );
        }
        Ok(())
    }

    /// Checks that `next` may be registered as the version after this one: what was valid stays
    /// valid, so that a writer may move to a new version without loss.
    ///
    /// # Errors
    /// `E_REPLAY` for a version that is there already; `E_STATE` for one that leaves out a
    /// version, or takes something away.
    pub fn check_successor(&self, next: &Self) -> Result<(), Refusal> {
        ensure!(
            next.name == self.name,
            State,
            "schema `{}` is no version of `{}`; register it as a new one",
            next.name,
            self.name
        );
        ensure!(
            next.version > self.version,
            Replay,
            "schema {}: version {} is not above the present {}",
            self.name,
            next.version,
            self.version
        );
        ensure!(
            Some(next.version) == self.version.checked_add(1),
            State,
            "schema {}: version {} does not follow the present {}",
            self.name,
            next.version,
            self.version
        );
        for field in &self.fields {
            let Some(new) = next.field(&field.name) else {
                refuse!(
                    State,
                    "schema {}: field {} is gone in version {}; keep it, or choose another name",
                    self.name,
                    field.name,
                    next.version
                );
            };
            if let Some(why) = field.narrowed_by(new) {
                refuse!(
                    State,
                    "schema {}: field {} {why} in version {}; what was valid must stay valid",
                    self.name,
                    field.name,
                    next.version
                );
            }
        }
        for field in next.fields.iter().filter(|field| field.required) {
            ensure!(
                self.field(&field.name).is_some(),
                State,
                "schema {}: field {} is new and required in version {}; make it optional",
                self.name,
                field.name,
                next.version
            );
        }
        Ok(())
    }
}

impl Field {
    fn check(&self, position: usize) -> Result<(), Refusal> {
        let kind = self.kind.name();
        if self.kind == FieldKind::Number {
            ensure!(
                is_registered_unit(&self.unit),
                Format,
                "fields[{position}].unit: not a registered unit; take one of the list, `1` for none"
            );
            if let (Some(minimum), Some(maximum)) = (self.minimum, self.maximum) {
                ensure!(
                    minimum <= maximum,
                    Format,
                    "fields[{position}].minimum: {minimum} is above the maximum {maximum}"
                );
            }
        } else {
            let numeric =
                self.minimum.is_some() || self.maximum.is_some() || self.decimals.is_some();
            ensure!(
                self.unit.is_empty() && !numeric,
                Format,
                "fields[{position}]: unit, range and decimals are for numbers, not for {kind}"
            );
        }
        match self.kind {
            FieldKind::Number | FieldKind::Flag => ensure!(
                self.length_max == 0,
                Format,
                "fields[{position}].length_max: is for text and bytes, not for {kind}"
            ),
            FieldKind::Text | FieldKind::Bytes => ensure!(
                (1..=ENVELOPE_BYTES_MAX as u64).contains(&u64::from(self.length_max)),
                Format,
                "fields[{position}].length_max: {} is not within 1 and {ENVELOPE_BYTES_MAX}",
                self.length_max
            ),
        }
        Ok(())
    }

    fn validate(
        &self,
        position: usize,
        reading: &Reading,
        class: DataClass,
    ) -> Result<(), Refusal> {
        let path = format_args!("readings[{position}].{}", self.name);
        match (self.kind, &reading.value) {
            (FieldKind::Number, Value::Number(number)) => {
                self.validate_number(&path, *number, class)
            }
            (FieldKind::Text, Value::Text(text)) => self.validate_length(&path, text.len()),
            (FieldKind::Bytes, Value::Bytes(bytes)) => self.validate_length(&path, bytes.len()),
            (FieldKind::Flag, Value::Flag(_)) => Ok(()),
            (wanted, value) => Err(Refusal::new(
                Class::Format,
                format!("{path}: {} expected, found {}", wanted.name(), value.kind().name()),
            )),
        }
    }

    fn validate_number(
        &self,
        path: &dyn Display,
        number: Decimal,
        class: DataClass,
    ) -> Result<(), Refusal> {
        let unit = &self.unit;
        let gap = "leave the reading out where there is a gap";
        if let Some(minimum) = self.minimum {
            ensure!(
                number >= minimum,
                Format,
                "{path}: {} is below the minimum {minimum} {unit}; {gap}",
                shown(class, &number)
            );
        }
        if let Some(maximum) = self.maximum {
            ensure!(
                number <= maximum,
                Format,
                "{path}: {} is above the maximum {maximum} {unit}; {gap}",
                shown(class, &number)
            );
        }
        if let Some(decimals) = self.decimals {
            ensure!(
                number.decimals() <= decimals,
                Format,
                "{path}: {} has more than {decimals} digits after the point",
                shown(class, &number)
            );
        }
        Ok(())
    }

    fn validate_length(&self, path: &dyn Display, length: usize) -> Result<(), Refusal> {
        ensure!(
            length as u64 <= u64::from(self.length_max),
            Limit,
            "{path}: {length} bytes are above the maximum {}",
            self.length_max
        );
        Ok(())
    }

    /// What `next` takes away from this field, or `None` where all that was valid stays so.
    fn narrowed_by(&self, next: &Self) -> Option<&'static str> {
        // A bound that is absent allows everything.
        let lower = |old: Option<Decimal>, new: Option<Decimal>| {
            new.is_some_and(|new| old.is_none_or(|old| new > old))
        };
        let higher = |old: Option<Decimal>, new: Option<Decimal>| {
            new.is_some_and(|new| old.is_none_or(|old| new < old))
        };
        let fewer = next.decimals.is_some_and(|new| self.decimals.is_none_or(|old| new < old));
        if self.kind != next.kind {
            Some("has another kind")
        } else if self.unit != next.unit {
            Some("has another unit")
        } else if lower(self.minimum, next.minimum) {
            Some("has a higher minimum")
        } else if higher(self.maximum, next.maximum) {
            Some("has a lower maximum")
        } else if next.length_max < self.length_max {
            Some("is shorter")
        } else if fewer {
            Some("has fewer decimals")
        } else if next.required && !self.required {
            Some("becomes required")
        } else {
            None
        }
    }
}

/// A value as a refusal may show it.
fn shown(class: DataClass, value: &dyn Display) -> String {
    match class {
        DataClass::Open => value.to_string(),
        DataClass::Closed => "(closed)".to_owned(),
    }
}
