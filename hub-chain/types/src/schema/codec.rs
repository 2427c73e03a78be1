//! The bytes of a schema.

use super::{Field, FieldKind, SCHEMA_BYTES_MAX, SCHEMA_FORMAT, Schema};
use crate::{
    Class, Refusal,
    cbor::{self, Encoder, Fields, Written},
    ensure,
    envelope::Decimal,
    refuse,
};
use minicbor::Decoder;

const FORMAT: u64 = 0;
const NAME: u64 = 1;
const VERSION: u64 = 2;
const FIELDS: u64 = 3;

const FIELD_NAME: u64 = 0;
const KIND: u64 = 1;
const UNIT: u64 = 2;
const MINIMUM: u64 = 3;
const MAXIMUM: u64 = 4;
const LENGTH_MAX: u64 = 5;
const REQUIRED: u64 = 6;
const DECIMALS: u64 = 7;

pub(super) fn parse(bytes: &[u8]) -> Result<Schema, Refusal> {
    ensure!(
        bytes.len() <= SCHEMA_BYTES_MAX,
        Limit,
        "schema: {} bytes are above the maximum {SCHEMA_BYTES_MAX}",
        bytes.len()
    );
    cbor::check(&"schema", bytes)?;
    let entries = cbor::fields(&"schema", bytes)?;
    let format: u64 = cbor::unsigned(&"format", need(&entries, FORMAT, "format")?)?;
    ensure!(
        format == u64::from(SCHEMA_FORMAT),
        Version,
        "format: {format} is not known, only {SCHEMA_FORMAT} is"
    );
    ensure_known(&entries, FIELDS, "schema")?;
    let fields = cbor::array(&"fields", need(&entries, FIELDS, "fields")?)?;
    let schema = Schema {
        name: cbor::text(&"name", need(&entries, NAME, "name")?)?.to_owned(),
        version: cbor::unsigned(&"version", need(&entries, VERSION, "version")?)?,
        fields: fields
            .iter()
            .enumerate()
            .map(|(position, item)| {
                field(item).map_err(|refusal| {
                    let message = format!("fields[{position}].{}", refusal.message);
                    Refusal::new(refusal.class, message)
                })
            })
            .collect::<Result<_, _>>()?,
    };
    schema.check()?;
    // As for envelopes: one spelling even if a check above is ever forgotten.
    ensure!(
        encode(&schema)? == bytes,
        Format,
        "schema: not the canonical spelling of what it says; leave out what does not apply"
    );
    Ok(schema)
}

fn field(item: &[u8]) -> Result<Field, Refusal> {
    let entries = cbor::fields(&"field", item)?;
    ensure_known(&entries, DECIMALS, "field")?;
    let kind: u64 = cbor::unsigned(&"kind", need(&entries, KIND, "kind")?)?;
    let Some(kind) = u8::try_from(kind).ok().and_then(FieldKind::from_number) else {
        refuse!(Version, "kind: {kind} is not known");
    };
    let decimal =
        |key: u64, name: &str| entries.get(&key).map(|item| Decimal::read(&name, item)).transpose();
    Ok(Field {
        name: cbor::text(&"name", need(&entries, FIELD_NAME, "name")?)?.to_owned(),
        kind,
        unit: match entries.get(&UNIT) {
            Some(item) => cbor::text(&"unit", item)?.to_owned(),
            None => String::new(),
        },
        minimum: decimal(MINIMUM, "minimum")?,
        maximum: decimal(MAXIMUM, "maximum")?,
        length_max: match entries.get(&LENGTH_MAX) {
            Some(item) => cbor::unsigned(&"length_max", item)?,
            None => 0,
        },
        required: {
            let item = need(&entries, REQUIRED, "required")?;
            Decoder::new(item).bool().map_err(|_| cbor::expected(&"required", "a flag", item))?
        },
        decimals: entries
            .get(&DECIMALS)
            .map(|item| cbor::unsigned(&"decimals", item))
            .transpose()?,
    })
}

fn need<'b>(entries: &Fields<'b>, key: u64, name: &str) -> Result<&'b [u8], Refusal> {
    entries.get(&key).copied().ok_or_else(|| {
        Refusal::new(Class::Format, format!("{name}: missing; every definition states it"))
    })
}

/// A key that is not known changes what is valid, so the definition cannot be used.
fn ensure_known(entries: &Fields<'_>, last: u64, what: &str) -> Result<(), Refusal> {
    if let Some(key) = entries.keys().find(|key| **key > last) {
        refuse!(Version, "{what}: key {key} is not known in format {SCHEMA_FORMAT}");
    }
    Ok(())
}

pub(super) fn encode(schema: &Schema) -> Result<Vec<u8>, Refusal> {
    let bytes = cbor::encode(&"schema", |encoder| write(encoder, schema))?;
    ensure!(
        bytes.len() <= SCHEMA_BYTES_MAX,
        Limit,
        "schema: {} bytes are above the maximum {SCHEMA_BYTES_MAX}",
        bytes.len()
    );
    Ok(bytes)
}

fn write(encoder: &mut Encoder<'_>, schema: &Schema) -> Written {
    encoder.map(4)?;
    encoder.u64(FORMAT)?.u16(SCHEMA_FORMAT)?;
    encoder.u64(NAME)?.str(&schema.name)?;
    encoder.u64(VERSION)?.u32(schema.version)?;
    encoder.u64(FIELDS)?.array(schema.fields.len() as u64)?;
    for field in &schema.fields {
        write_field(encoder, field)?;
    }
    Ok(())
}

fn write_field(encoder: &mut Encoder<'_>, field: &Field) -> Written {
    let mandatory = 3u64;
    let optional = [
        !field.unit.is_empty(),
        field.minimum.is_some(),
        field.maximum.is_some(),
        field.length_max != 0,
        field.decimals.is_some(),
    ];
    encoder.map(mandatory.saturating_add(optional.into_iter().map(u64::from).sum()))?;
    encoder.u64(FIELD_NAME)?.str(&field.name)?;
    encoder.u64(KIND)?.u8(field.kind.number())?;
    if !field.unit.is_empty() {
        encoder.u64(UNIT)?.str(&field.unit)?;
    }
    if let Some(minimum) = field.minimum {
        minimum.write(encoder.u64(MINIMUM)?)?;
    }
    if let Some(maximum) = field.maximum {
        maximum.write(encoder.u64(MAXIMUM)?)?;
    }
    if field.length_max != 0 {
        encoder.u64(LENGTH_MAX)?.u32(field.length_max)?;
    }
    encoder.u64(REQUIRED)?.bool(field.required)?;
    if let Some(decimals) = field.decimals {
        encoder.u64(DECIMALS)?.u8(decimals)?;
    }
    Ok(())
}
