//! SenML at the door: packs of measurements (RFC 8428, JSON) become readings of an envelope.
//!
//! The mapping is done before anything is signed, and never in replicated code. It is exact:
//! numbers are read as decimals from their text, and units are converted only by a factor that
//! leaves no remainder. What SenML says and an envelope has no place for is listed in
//! [`Mapped::lossy`]; nothing is dropped in silence.
//!
//! Deliberately absent: sums (`s`, `bs`) and update times (`ut`), which say how to report and not
//! what was measured.

mod pack;
#[cfg(test)]
mod tests;
mod units;

use pack::Record;
use std::collections::BTreeMap;
use tombolo_types::{
    Hash, Refusal, UnixMillis, ensure,
    envelope::{
        Canonical, Decimal, ENVELOPE_VERSION, Envelope, HashAlgorithm, Reading, SignatureAlgorithm,
        Value,
    },
    id::{ChainId, IdentityId, SchemaId},
    message::DataClass,
    refuse,
    schema::{Field, FieldKind, Schema},
};

/// The largest pack, in bytes: four open bodies of a share, since one pack may hold several items.
pub const PACK_BYTES_MAX: usize = 64 * 1024;
/// The newest SenML version that this code understands. Spec: RFC 8428 cl. 4.4
pub const SENML_VERSION_MAX: u64 = 10;
/// Times below this many seconds are relative to now. Spec: RFC 8428 cl. 4.5.3
const RELATIVE_BELOW: i128 = 1 << 28;

/// How a resolved SenML name says which item and which field it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming<'s> {
    /// The item, then one of `:` `/`, then the field: `urn:dev:ow:10e2073a01080063:voltage`.
    ItemAndField,
    /// The item alone; every measurement is of this one field.
    ItemAlone {
        /// The field of the schema.
        field: &'s str,
    },
}

/// What a pack does not say and an envelope needs.
#[derive(Clone, Debug)]
pub struct Mapping<'s> {
    /// The ledger on which the items are written.
    pub home: ChainId,
    /// Whose they are.
    pub owner: IdentityId,
    /// Who signs the envelopes.
    pub device: IdentityId,
    /// Open or closed, as the supplier classed this source.
    pub class: DataClass,
    /// Terms of use; may be empty.
    pub terms: &'s str,
    /// The owner's policies, or zero.
    pub policy_hash: Hash,
    /// The structure that the measurements must have.
    pub schema: &'s Schema,
    /// Its id.
    pub schema_id: SchemaId,
    /// How names are read.
    pub naming: Naming<'s>,
}

/// What a pack says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Its items, by local id in ascending order.
    pub items: Vec<Item>,
    /// What had no place, each as `path: why`. Req: PRJ-2-1
    pub lossy: Vec<String>,
}

/// The measurements of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The item, by its owner's name for it.
    pub local_id: String,
    /// The time of the newest measurement.
    pub time: UnixMillis,
    /// In ascending order of time and name.
    pub readings: Vec<Reading>,
}

impl Item {
    /// The item's envelope, checked against the schema. `salt` is random and new for each.
    ///
    /// # Errors
    /// As [`Schema::validate`] and [`Envelope::canonical`].
    pub fn into_envelope(
        self,
        mapping: &Mapping<'_>,
        item_version: u32,
        salt: [u8; 32],
    ) -> Result<Canonical, Refusal> {
        let envelope = Envelope {
            version: ENVELOPE_VERSION,
            home: mapping.home,
            owner: mapping.owner,
            local_id: self.local_id,
            item_version,
            class: mapping.class,
            schema: mapping.schema_id,
            device: mapping.device,
            terms: mapping.terms.to_owned(),
            policy_hash: mapping.policy_hash,
            hash_algorithm: HashAlgorithm::Keccak256,
            signature_algorithm: SignatureAlgorithm::Secp256k1,
            salt,
            time: self.time,
            readings: self.readings,
            extensions: BTreeMap::new(),
        };
        mapping.schema.validate(&envelope)?;
        envelope.canonical()
    }
}

/// Reads a SenML pack in JSON. `now` is the door's clock, for relative times.
///
/// # Errors
/// Each with the path of the field, as `[2].v`. `E_VERSION`: a version above
/// [`SENML_VERSION_MAX`], or an unknown field that must be understood (its name ends in `_`).
/// `E_FORMAT`: malformed, a value of another kind than the schema's, a unit that cannot be
/// converted exactly, a name or time that has no meaning. `E_LIMIT`: above [`PACK_BYTES_MAX`].
pub fn map(pack: &[u8], mapping: &Mapping<'_>, now: UnixMillis) -> Result<Mapped, Refusal> {
    let records = pack::read(pack)?;
    let mut base = Base::default();
    let mut lossy = Vec::new();
    let mut items: BTreeMap<String, BTreeMap<(UnixMillis, String), Value>> = BTreeMap::new();
    for record in &records {
        base.update(record)?;
        lossy.extend(record.lossy());
        let Some(measured) = measured(record, &base, mapping, now, &mut lossy)? else {
            continue;
        };
        let Measured { local_id, name, at, value } = measured;
        let before = items.entry(local_id).or_default().insert((at, name), value);
        ensure!(
            before.is_none(),
            Format,
            "{}: the same name and time as a record before it",
            record.path("n")
        );
    }
    let items = items.into_iter().map(|(local_id, readings)| {
        let time = readings.keys().next_back().map_or(now, |(at, _)| *at);
        let readings =
            readings.into_iter().map(|((at, name), value)| Reading { name, at, value }).collect();
        Item { local_id, time, readings }
    });
    Ok(Mapped { items: items.collect(), lossy })
}

/// The base fields as the records so far have set them. Spec: RFC 8428 cl. 4.1
#[derive(Default)]
struct Base {
    name: String,
    time: Decimal,
    unit: Option<String>,
    value: Decimal,
    version: Option<u64>,
}

impl Base {
    fn update(&mut self, record: &Record<'_>) -> Result<(), Refusal> {
        if let Some(version) = record.version()? {
            ensure!(
                version <= SENML_VERSION_MAX,
                Version,
                "{}: {version} is not known, {SENML_VERSION_MAX} is the newest",
                record.path("bver")
            );
            let first = self.version.unwrap_or(if record.is_first() { version } else { 10 });
            ensure!(
                version == first,
                Format,
                "{}: {version} differs from {first} of the records before it",
                record.path("bver")
            );
            self.version = Some(version);
        }
        if let Some(name) = record.text("bn")? {
            self.name = name;
        }
        if let Some(time) = record.number("bt")? {
            self.time = time;
        }
        if let Some(unit) = record.text("bu")? {
            self.unit = Some(unit);
        }
        if let Some(value) = record.number("bv")? {
            self.value = value;
        }
        Ok(())
    }
}

struct Measured {
    local_id: String,
    name: String,
    at: UnixMillis,
    value: Value,
}

/// What one record measured, or `None` where it only sets base fields or a sum.
fn measured(
    record: &Record<'_>,
    base: &Base,
    mapping: &Mapping<'_>,
    now: UnixMillis,
    lossy: &mut Vec<String>,
) -> Result<Option<Measured>, Refusal> {
    let Some(kind) = record.value_kind()? else {
        ensure!(
            record.has("s") || !(record.has("n") || record.has("t") || record.has("u")),
            Format,
            "{}: missing; a record that names a measurement holds v, vs, vb or vd",
            record.path("v")
        );
        return Ok(None);
    };
    let resolved = format!("{}{}", base.name, record.text("n")?.unwrap_or_default());
    let (local_id, name) = split_name(record, &resolved, mapping.naming)?;
    let Some(field) = mapping.schema.field(name) else {
        refuse!(
            Format,
            "{}: not a field of schema {} version {}",
            record.path("n"),
            mapping.schema.name,
            mapping.schema.version
        );
    };
    let label = pack::value_label(kind);
    ensure!(
        field.kind == kind,
        Format,
        "{}: field {} of schema {} is a {}, not a {}",
        record.path(label),
        field.name,
        mapping.schema.name,
        field.kind.name(),
        kind.name()
    );
    let value = match kind {
        FieldKind::Number => Value::Number(number(record, base, field)?),
        FieldKind::Text => Value::Text(record.required_text(label)?),
        FieldKind::Flag => Value::Flag(record.flag(label)?),
        FieldKind::Bytes => Value::Bytes(record.bytes(label)?),
    };
    if kind != FieldKind::Number && record.has("u") {
        lossy.push(format!("{}: a {} has no unit", record.path("u"), kind.name()));
    }
    let at = time(record, base.time, now, lossy)?;
    Ok(Some(Measured { local_id: local_id.to_owned(), name: name.to_owned(), at, value }))
}

/// The item and the field that a resolved name means.
fn split_name<'n>(
    record: &Record<'_>,
    resolved: &'n str,
    naming: Naming<'n>,
) -> Result<(&'n str, &'n str), Refusal> {
    let path = record.path("n");
    // Spec: RFC 8428 cl. 4.5.1
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-:./_".contains(&byte);
    ensure!(
        resolved.starts_with(|first: char| first.is_ascii_alphanumeric())
            && resolved.bytes().all(is_allowed),
        Format,
        "{path}: with its base name it must begin with a letter or digit and hold letters, digits \
         and - : . / _ only"
    );
    match naming {
        Naming::ItemAlone { field } => Ok((resolved, field)),
        Naming::ItemAndField => match resolved.rsplit_once([':', '/']) {
            Some((item, field)) if !item.is_empty() && !field.is_empty() => Ok((item, field)),
            _ => refuse!(
                Format,
                "{path}: with its base name it must be the item, `:` or `/`, and the field"
            ),
        },
    }
}

/// The number in the schema's unit.
fn number(record: &Record<'_>, base: &Base, field: &Field) -> Result<Decimal, Refusal> {
    let path = record.path("v");
    let Some(sum) = record.number("v")?.and_then(|own| own.checked_add(base.value)) else {
        refuse!(Format, "{path}: with its base value it has more digits than a decimal holds");
    };
    let own = record.text("u")?;
    let unit = own.as_deref().or(base.unit.as_deref()).unwrap_or("1");
    let Some(factor) = units::factor(unit, &field.unit) else {
        refuse!(
            Format,
            "{}: {} is measured in {}, and {} converts to it with no exact factor; convert it \
             where it is measured",
            record.path("u"),
            field.name,
            field.unit,
            pack::shortened(unit)
        );
    };
    let Some(converted) = sum.checked_mul(factor) else {
        refuse!(Format, "{path}: in {} it has more digits than a decimal holds", field.unit);
    };
    Ok(converted)
}

/// The time in milliseconds. Spec: RFC 8428 cl. 4.5.3
fn time(
    record: &Record<'_>,
    base: Decimal,
    now: UnixMillis,
    lossy: &mut Vec<String>,
) -> Result<UnixMillis, Refusal> {
    let path = record.path("t");
    let out_of_range = || {
        Refusal::new(
            tombolo_types::Class::Format,
            format!("{path}: with its base time it lies outside the time that can be told"),
        )
    };
    let own = record.number("t")?.unwrap_or_default();
    let seconds = own.checked_add(base).ok_or_else(out_of_range)?;
    let relative = Decimal::new(RELATIVE_BELOW, 0).is_some_and(|limit| seconds < limit);
    let start = if relative { i128::from(now.0) } else { 0 };
    let exact = Decimal::new(1000, 0)
        .and_then(|thousand| seconds.checked_mul(thousand))
        .and_then(|millis| millis.checked_add(Decimal::new(start, 0)?))
        .ok_or_else(out_of_range)?;
    if exact.decimals() > 0 {
        lossy.push(format!("{path}: finer than a millisecond; the rest is cut off"));
    }
    let millis = u64::try_from(whole(exact).ok_or_else(out_of_range)?);
    millis.map(UnixMillis).map_err(|_| out_of_range())
}

/// The greatest whole number that is not above `number`.
fn whole(number: Decimal) -> Option<i128> {
    let power = |digits: u8| 10i128.checked_pow(u32::from(digits));
    if number.exponent() < 0 {
        // A power beyond 128 bits is greater than any mantissa.
        let below = if number.mantissa() < 0 { -1 } else { 0 };
        power(number.decimals())
            .map_or(Some(below), |power| number.mantissa().checked_div_euclid(power))
    } else {
        number.mantissa().checked_mul(power(number.exponent().unsigned_abs())?)
    }
}
