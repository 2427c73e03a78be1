//! The JSON of a pack: an array of records, each value kept as its text until its kind is known.

use super::PACK_BYTES_MAX;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, fmt};
use tombolo_types::{Class, Refusal, ensure, envelope::Decimal, refuse, schema::FieldKind};

/// The fields that RFC 8428 gives a record (cl. 4.1 to 4.3).
const KNOWN: [&str; 15] =
    ["bn", "bs", "bt", "bu", "bv", "bver", "n", "s", "t", "u", "ut", "v", "vb", "vd", "vs"];
/// Those of them that an envelope has no place for.
const WITHOUT_PLACE: [(&str, &str); 3] = [
    ("bs", "a sum has no place in an envelope"),
    ("s", "a sum has no place in an envelope"),
    ("ut", "an update time has no place in an envelope"),
];
const VALUES: [(&str, FieldKind); 4] = [
    ("v", FieldKind::Number),
    ("vs", FieldKind::Text),
    ("vb", FieldKind::Flag),
    ("vd", FieldKind::Bytes),
];

/// The SenML field that holds a value of this kind.
pub(super) fn value_label(kind: FieldKind) -> &'static str {
    VALUES.iter().find(|(_, known)| *known == kind).map_or("v", |(label, _)| label)
}

/// One record of a pack.
pub(super) struct Record<'p> {
    position: usize,
    fields: Fields<'p>,
}

struct Fields<'p>(BTreeMap<String, &'p RawValue>);

/// Reads all records and refuses what must be understood and is not.
pub(super) fn read(pack: &[u8]) -> Result<Vec<Record<'_>>, Refusal> {
    ensure!(
        pack.len() <= PACK_BYTES_MAX,
        Limit,
        "pack: {} bytes are above the maximum {PACK_BYTES_MAX}; send several",
        pack.len()
    );
    // The parser's own words may repeat what it read, which may be closed; so only the place.
    let records: Vec<Fields<'_>> = serde_json::from_slice(pack).map_err(|error| {
        Refusal::new(
            Class::Format,
            format!(
                "pack, line {} column {}: not an array of records, none with a field twice \
                 (RFC 8428 section 5)",
                error.line(),
                error.column()
            ),
        )
    })?;
    ensure!(!records.is_empty(), Format, "pack: holds no record");
    let records: Vec<Record<'_>> = records
        .into_iter()
        .enumerate()
        .map(|(position, fields)| Record { position, fields })
        .collect();
    for record in &records {
        let unknown = record.unknown().find(|label| label.ends_with('_'));
        if let Some(label) = unknown {
            refuse!(
                Version,
                "{}: must be understood (RFC 8428 section 4.4) and is not known",
                record.path(&shortened(label))
            );
        }
    }
    Ok(records)
}

impl Record<'_> {
    /// Where a field stands, as `[2].v`.
    pub(super) fn path(&self, label: &str) -> String {
        format!("[{}].{label}", self.position)
    }

    pub(super) fn is_first(&self) -> bool {
        self.position == 0
    }

    pub(super) fn has(&self, label: &str) -> bool {
        self.fields.0.contains_key(label)
    }

    fn unknown(&self) -> impl Iterator<Item = &str> {
        self.fields.0.keys().map(String::as_str).filter(|label| !KNOWN.contains(label))
    }

    /// The fields that are left out of the envelope.
    pub(super) fn lossy(&self) -> Vec<String> {
        let unknown = self.unknown().map(|label| (shortened(label), "not a field of RFC 8428"));
        let known = WITHOUT_PLACE
            .iter()
            .filter(|(label, _)| self.has(label))
            .map(|(label, why)| ((*label).to_owned(), *why));
        unknown.chain(known).map(|(label, why)| format!("{}: {why}", self.path(&label))).collect()
    }

    /// Which kind of value the record holds, if any.
    pub(super) fn value_kind(&self) -> Result<Option<FieldKind>, Refusal> {
        let mut held = VALUES.iter().filter(|(label, _)| self.has(label));
        let first = held.next();
        if let Some((label, _)) = held.next() {
            refuse!(Format, "{}: a second value; a record holds one", self.path(label));
        }
        Ok(first.map(|(_, kind)| *kind))
    }

    pub(super) fn version(&self) -> Result<Option<u64>, Refusal> {
        self.get("bver", "a whole number above 0").and_then(|version: Option<u64>| match version {
            Some(0) => refuse!(Format, "{}: must be above 0", self.path("bver")),
            other => Ok(other),
        })
    }

    pub(super) fn text(&self, label: &str) -> Result<Option<String>, Refusal> {
        self.get(label, "a text")
    }

    pub(super) fn required_text(&self, label: &str) -> Result<String, Refusal> {
        self.required(label, self.text(label)?)
    }

    pub(super) fn flag(&self, label: &str) -> Result<bool, Refusal> {
        self.required(label, self.get(label, "true or false")?)
    }

    /// Bytes in base64url without padding. Spec: RFC 8428 cl. 4.3
    pub(super) fn bytes(&self, label: &str) -> Result<Vec<u8>, Refusal> {
        BASE64_URL_SAFE_NO_PAD.decode(self.required_text(label)?).map_err(|_| {
            Refusal::new(
                Class::Format,
                format!("{}: not base64url without padding", self.path(label)),
            )
        })
    }

    /// A number, exactly as it is written.
    pub(super) fn number(&self, label: &str) -> Result<Option<Decimal>, Refusal> {
        let Some(raw) = self.fields.0.get(label) else {
            return Ok(None);
        };
        raw.get()
            .parse()
            .map(Some)
            .map_err(|error| Refusal::new(Class::Format, format!("{}: {error}", self.path(label))))
    }

    fn get<T: DeserializeOwned>(&self, label: &str, what: &str) -> Result<Option<T>, Refusal> {
        let Some(raw) = self.fields.0.get(label) else {
            return Ok(None);
        };
        serde_json::from_str(raw.get()).map(Some).map_err(|_| {
            Refusal::new(Class::Format, format!("{}: {what} expected", self.path(label)))
        })
    }

    fn required<T>(&self, label: &str, value: Option<T>) -> Result<T, Refusal> {
        value.ok_or_else(|| Refusal::new(Class::Format, format!("{}: missing", self.path(label))))
    }
}

/// A stranger's label or unit, short and in ASCII, for messages.
pub(super) fn shortened(label: &str) -> String {
    label.chars().take(16).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

impl<'de: 'p, 'p> Deserialize<'de> for Fields<'p> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((label, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if fields.insert(label, value).is_some() {
                        return Err(A::Error::custom("a field twice"));
                    }
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}
