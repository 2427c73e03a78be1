//! The bytes of an envelope.

use super::{
    Canonical, Decimal, ENVELOPE_VERSION, EXTENSION_KEY_MIN, Envelope, HashAlgorithm, Reading,
    SignatureAlgorithm, Value, ensure_size,
};
use crate::{
    Class, Hash, Refusal, UnixMillis,
    cbor::{self, Encoder, Fields, Written},
    ensure,
    message::DataClass,
    refuse,
};
use minicbor::{Decoder, data::Type};
use std::fmt::Display;

const VERSION: u64 = 0;
const HOME: u64 = 1;
const OWNER: u64 = 2;
const LOCAL_ID: u64 = 3;
const ITEM_VERSION: u64 = 4;
const CLASS: u64 = 5;
const SCHEMA: u64 = 6;
const DEVICE: u64 = 7;
const TERMS: u64 = 8;
const POLICY_HASH: u64 = 9;
const HASH_ALGORITHM: u64 = 10;
const SIGNATURE_ALGORITHM: u64 = 11;
const SALT: u64 = 12;
const TIME: u64 = 13;
const READINGS: u64 = 14;

/// See [`Envelope::parse`]. Faults are found in the order of rule G1: version first; the size is
/// looked at before the rest, so that large input costs nothing.
pub(super) fn parse(bytes: &[u8]) -> Result<Canonical, Refusal> {
    if let Some(version) = peek_version(bytes) {
        ensure_version(version)?;
    }
    ensure_size(bytes.len())?;
    cbor::check(&"envelope", bytes)?;
    let fields = cbor::fields(&"envelope", bytes)?;
    for key in fields.keys() {
        ensure!(
            *key <= READINGS || *key >= EXTENSION_KEY_MIN,
            Version,
            "envelope: field {key} is not known in version {ENVELOPE_VERSION}, and fields below \
             {EXTENSION_KEY_MIN} must be understood"
        );
    }
    let hash_algorithm =
        algorithm(&fields, (HASH_ALGORITHM, "hash_algorithm"), HashAlgorithm::from_number)?;
    let signature_algorithm = algorithm(
        &fields,
        (SIGNATURE_ALGORITHM, "signature_algorithm"),
        SignatureAlgorithm::from_number,
    )?;
    let envelope = Envelope {
        version: ensure_version(cbor::unsigned(&"version", need(&fields, VERSION, "version")?)?)?,
        home: word(&fields, HOME, "home")?.into(),
        owner: word(&fields, OWNER, "owner")?.into(),
        local_id: cbor::text(&"local_id", need(&fields, LOCAL_ID, "local_id")?)?.to_owned(),
        item_version: cbor::unsigned(
            &"item_version",
            need(&fields, ITEM_VERSION, "item_version")?,
        )?,
        class: class(need(&fields, CLASS, "class")?)?,
        schema: word(&fields, SCHEMA, "schema")?.into(),
        device: word(&fields, DEVICE, "device")?.into(),
        terms: terms(&fields)?,
        policy_hash: policy_hash(&fields)?,
        hash_algorithm: present(hash_algorithm, "hash_algorithm")?,
        signature_algorithm: present(signature_algorithm, "signature_algorithm")?,
        salt: word(&fields, SALT, "salt")?.0,
        time: time(need(&fields, TIME, "time")?)?,
        readings: readings(&fields)?,
        extensions: fields
            .range(EXTENSION_KEY_MIN..)
            .map(|(key, item)| (*key, item.to_vec()))
            .collect(),
    };
    envelope.check()?;
    // The checks above leave one spelling. Should one of them ever be forgotten, this one still
    // keeps two spellings of one item from having two fingerprints.
    ensure!(
        encode(&envelope)? == bytes,
        Format,
        "envelope: not the canonical spelling of what it says"
    );
    Ok(Canonical { bytes: bytes.to_vec(), envelope })
}

fn peek_version(bytes: &[u8]) -> Option<u64> {
    let mut decoder = Decoder::new(bytes);
    decoder.map().ok()??;
    let key = decoder.u64().ok()?;
    if key == VERSION { decoder.u64().ok() } else { None }
}

fn ensure_version(version: u64) -> Result<u16, Refusal> {
    ensure!(
        version == u64::from(ENVELOPE_VERSION),
        Version,
        "version: {version} is not known, only {ENVELOPE_VERSION} is"
    );
    Ok(ENVELOPE_VERSION)
}

fn missing(name: &str) -> Refusal {
    Refusal::new(Class::Format, format!("{name}: missing; every envelope states it"))
}

fn present<T>(field: Option<T>, name: &str) -> Result<T, Refusal> {
    field.ok_or_else(|| missing(name))
}

fn need<'b>(fields: &Fields<'b>, key: u64, name: &str) -> Result<&'b [u8], Refusal> {
    present(fields.get(&key).copied(), name)
}

fn word(fields: &Fields<'_>, key: u64, name: &str) -> Result<Hash, Refusal> {
    cbor::word(&name, need(fields, key, name)?).map(Hash)
}

fn algorithm<T>(
    fields: &Fields<'_>,
    (key, name): (u64, &str),
    from_number: impl Fn(u8) -> Option<T>,
) -> Result<Option<T>, Refusal> {
    let Some(item) = fields.get(&key) else {
        return Ok(None);
    };
    let number: u64 = cbor::unsigned(&name, item)?;
    let Some(known) = u8::try_from(number).ok().and_then(from_number) else {
        refuse!(Version, "{name}: {number} is not known; 1 is");
    };
    Ok(Some(known))
}

fn class(item: &[u8]) -> Result<DataClass, Refusal> {
    let number: u64 = cbor::unsigned(&"class", item)?;
    let Some(class) = u8::try_from(number).ok().and_then(DataClass::from_number) else {
        refuse!(Format, "class: {number} is neither 1 (open) nor 2 (closed)");
    };
    Ok(class)
}

fn time(item: &[u8]) -> Result<UnixMillis, Refusal> {
    let unix = "milliseconds since 1970-01-01T00:00:00Z";
    Decoder::new(item).u64().map(UnixMillis).map_err(|_| cbor::expected(&"time", unix, item))
}

fn terms(fields: &Fields<'_>) -> Result<String, Refusal> {
    let Some(item) = fields.get(&TERMS) else {
        return Ok(String::new());
    };
    let terms = cbor::text(&"terms", item)?;
    ensure!(!terms.is_empty(), Format, "terms: empty terms are left out");
    Ok(terms.to_owned())
}

fn policy_hash(fields: &Fields<'_>) -> Result<Hash, Refusal> {
    let Some(item) = fields.get(&POLICY_HASH) else {
        return Ok(Hash::ZERO);
    };
    let hash = Hash(cbor::word(&"policy_hash", item)?);
    ensure!(!hash.is_zero(), Format, "policy_hash: a hash of zeros is left out");
    Ok(hash)
}

fn readings(fields: &Fields<'_>) -> Result<Vec<Reading>, Refusal> {
    let time = time(need(fields, TIME, "time")?)?;
    let items = cbor::array(&"readings", need(fields, READINGS, "readings")?)?;
    items.iter().enumerate().map(|(position, item)| reading(position, item, time)).collect()
}

fn reading(position: usize, item: &[u8], time: UnixMillis) -> Result<Reading, Refusal> {
    let parts = cbor::array(&format_args!("readings[{position}]"), item)?;
    let [name, age, value] = parts.as_slice() else {
        refuse!(
            Format,
            "readings[{position}]: a reading is [name, age, value], not an array of {}",
            parts.len()
        );
    };
    let age: u64 = cbor::unsigned(&format_args!("readings[{position}].at"), age)?;
    let Some(at) = time.checked_sub(age) else {
        refuse!(Format, "readings[{position}].at: {age} ms before {time} is before 1970");
    };
    Ok(Reading {
        name: cbor::text(&format_args!("readings[{position}].name"), name)?.to_owned(),
        at,
        value: read_value(&format_args!("readings[{position}].value"), value)?,
    })
}

fn read_value(path: &dyn Display, item: &[u8]) -> Result<Value, Refusal> {
    let mut decoder = Decoder::new(item);
    let wanted = "a number as [exponent, mantissa], text, a flag or bytes";
    let wrong = |_| cbor::expected(path, wanted, item);
    match cbor::kind(item) {
        Type::Array => Decimal::read(path, item).map(Value::Number),
        Type::String => decoder.str().map(|text| Value::Text(text.to_owned())).map_err(wrong),
        Type::Bool => decoder.bool().map(Value::Flag).map_err(wrong),
        Type::Bytes => decoder.bytes().map(|bytes| Value::Bytes(bytes.to_vec())).map_err(wrong),
        _ => Err(cbor::expected(path, wanted, item)),
    }
}

/// The bytes of an envelope whose fields were checked.
pub(super) fn encode(envelope: &Envelope) -> Result<Vec<u8>, Refusal> {
    cbor::encode(&"envelope", |encoder| write(encoder, envelope))
}

fn write(encoder: &mut Encoder<'_>, envelope: &Envelope) -> Written {
    let mandatory = 13u64;
    let optional = [!envelope.terms.is_empty(), !envelope.policy_hash.is_zero()];
    let count = mandatory
        .saturating_add(optional.into_iter().map(u64::from).sum())
        .saturating_add(envelope.extensions.len() as u64);
    encoder.map(count)?;
    encoder.u64(VERSION)?.u16(envelope.version)?;
    encoder.u64(HOME)?.bytes(&envelope.home.0)?;
    encoder.u64(OWNER)?.bytes(&envelope.owner.0)?;
    encoder.u64(LOCAL_ID)?.str(&envelope.local_id)?;
    encoder.u64(ITEM_VERSION)?.u32(envelope.item_version)?;
    encoder.u64(CLASS)?.u8(envelope.class.number())?;
    encoder.u64(SCHEMA)?.bytes(&envelope.schema.0)?;
    encoder.u64(DEVICE)?.bytes(&envelope.device.0)?;
    if !envelope.terms.is_empty() {
        encoder.u64(TERMS)?.str(&envelope.terms)?;
    }
    if !envelope.policy_hash.is_zero() {
        encoder.u64(POLICY_HASH)?.bytes(&envelope.policy_hash.0)?;
    }
    encoder.u64(HASH_ALGORITHM)?.u8(envelope.hash_algorithm.number())?;
    encoder.u64(SIGNATURE_ALGORITHM)?.u8(envelope.signature_algorithm.number())?;
    encoder.u64(SALT)?.bytes(&envelope.salt)?;
    encoder.u64(TIME)?.u64(envelope.time.0)?;
    encoder.u64(READINGS)?.array(envelope.readings.len() as u64)?;
    for reading in &envelope.readings {
        encoder.array(3)?.str(&reading.name)?.u64(envelope.time.since(reading.at))?;
        match &reading.value {
            Value::Number(number) => number.write(encoder)?,
            Value::Text(text) => drop(encoder.str(text)?),
            Value::Flag(flag) => drop(encoder.bool(*flag)?),
            Value::Bytes(bytes) => drop(encoder.bytes(bytes)?),
        }
    }
    for (key, item) in &envelope.extensions {
        encoder.u64(*key)?;
        encoder.writer_mut().extend_from_slice(item);
    }
    Ok(())
}
