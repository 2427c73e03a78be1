//! Tests of schemas. Vectors stand in `tests/vectors/schema.json`.

use super::*;
use crate::{
    UnixMillis,
    envelope::tests::{bytes_of, number, one_reading, vectors},
};
use proptest::{collection, option, prelude::*};
use serde_json::Value as Json;

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn plain(name: &str, kind: FieldKind) -> Field {
    Field {
        name: name.to_owned(),
        kind,
        unit: String::new(),
        minimum: None,
        maximum: None,
        length_max: 0,
        required: false,
        decimals: None,
    }
}

/// A station: `co2` required and within range, and one field of each other kind.
fn station() -> Schema {
    let co2 = Field {
        unit: "ppm".to_owned(),
        minimum: Some(decimal("150")),
        maximum: Some(decimal("2000")),
        required: true,
        decimals: Some(2),
        ..plain("co2", FieldKind::Number)
    };
    Schema {
        name: "station".to_owned(),
        version: 1,
        fields: vec![
            co2,
            plain("door", FieldKind::Flag),
            Field { length_max: 5, ..plain("note", FieldKind::Text) },
            Field { length_max: 2, ..plain("raw", FieldKind::Bytes) },
        ],
    }
}

fn holding(readings: &[(&str, Value)]) -> Envelope {
    let mut envelope = one_reading();
    let at = envelope.time;
    envelope.readings = readings
        .iter()
        .map(|(name, value)| Reading { name: (*name).to_owned(), at, value: value.clone() })
        .collect();
    envelope
}

/// Req: Y4560-7.2.1-a, Y4560-7.2.1-b, Y4560-7.2.1-d
#[test]
fn readings_are_held_to_the_schema() {
    use Class::{Format, Limit};
    let co2 = || ("co2", number("315.9"));
    type Row = (&'static str, Vec<(&'static str, Value)>, Option<(Class, &'static str)>);
    let table: Vec<Row> = vec![
        ("all is well", vec![co2(), ("door", Value::Flag(true))], None),
        ("the least", vec![("co2", number("150"))], None),
        ("the greatest", vec![("co2", number("2e3"))], None),
        (
            "a gap sent as a number",
            vec![("co2", number("-99.99"))],
            Some((
                Format,
                "readings[0].co2: -99.99 is below the minimum 150 ppm; leave the reading out where \
                 there is a gap",
            )),
        ),
        (
            "too much",
            vec![("co2", number("2000.01"))],
            Some((Format, "readings[0].co2: 2000.01 is above the maximum 2000 ppm")),
        ),
        (
            "too fine",
            vec![("co2", number("315.971"))],
            Some((Format, "readings[0].co2: 315.971 has more than 2 digits")),
        ),
        (
            "text in a number field",
            vec![("co2", Value::Text("315.9".into()))],
            Some((Format, "readings[0].co2: number expected, found text")),
        ),
        (
            "a number in a flag field",
            vec![co2(), ("door", number("1"))],
            Some((Format, "readings[1].door: flag expected, found number")),
        ),
        (
            "a field that nobody knows",
            vec![co2(), ("no2", number("1"))],
            Some((Format, "readings[1].name: `no2` is not a field of schema station version 1")),
        ),
        (
            "a required field is missing",
            vec![("door", Value::Flag(false))],
            Some((Format, "readings.co2: missing")),
        ),
        (
            "the longest text",
            vec![co2(), ("note", Value::Text("Grüß".into()))],
            Some((Limit, "readings[1].note: 6 bytes")),
        ),
        ("text that fits", vec![co2(), ("note", Value::Text("abcde".into()))], None),
        (
            "bytes too long",
            vec![co2(), ("raw", Value::Bytes(vec![1; 3]))],
            Some((Limit, "readings[1].raw: 3 bytes")),
        ),
        ("the same twice", vec![co2(), co2()], Some((Format, "readings[1] does not stand after"))),
    ];
    for (sentence, readings, expected) in table {
        let found = station().validate(&holding(&readings));
        match (found, expected) {
            (Ok(()), None) => {}
            (Err(refusal), Some((class, begins))) => {
                assert_eq!(refusal.class, class, "{sentence}: {refusal}");
                assert!(refusal.message.starts_with(begins), "{sentence}: {refusal}");
            }
            (found, expected) => panic!("{sentence}: {found:?}, not {expected:?}"),
        }
    }
}

#[test]
fn readings_go_up_in_time() {
    let mut envelope = holding(&[("co2", number("315")), ("co2", number("316"))]);
    envelope.readings[0].at = UnixMillis(envelope.time.0 - 5);
    assert_eq!(station().validate(&envelope), Ok(()));
    envelope.readings.swap(0, 1);
    assert_eq!(station().validate(&envelope).unwrap_err().class, Class::Format);
}

/// A refusal goes into a record that many may read.
#[test]
fn a46_closed_values_appear_in_no_refusal() {
    for readings in [
        vec![("co2", number("-7654321"))],
        vec![("co2", number("7654321"))],
        vec![("co2", number("300.7654321"))],
        vec![("x7654321", number("1"))],
        vec![("co2", Value::Text("7654321".into()))],
        vec![("co2", number("300")), ("note", Value::Text("7654321".into()))],
        vec![
            ("co2", number("300")),
            ("note", Value::Text("7654321".into())),
            ("note", number("1")),
        ],
    ] {
        let envelope = Envelope { class: DataClass::Closed, ..holding(&readings) };
        let refusal = station().validate(&envelope).unwrap_err();
        assert!(!refusal.message.contains("7654321"), "{refusal}");
    }
}

#[test]
fn units_are_sorted_so_that_they_are_found() {
    assert!(UNITS.is_sorted_by(|a, b| a < b));
    for unit in ["Cel", "mm", "m/s", "ppm", "1"] {
        assert!(is_registered_unit(unit), "{unit}");
    }
    for unit in ["", "celsius", "CEL", "furlong"] {
        assert!(!is_registered_unit(unit), "{unit}");
    }
}

#[test]
fn a_new_version_keeps_what_was_valid() {
    let old = station();
    let case = |change: fn(&mut Schema), class: Option<Class>| {
        let mut next = Schema { version: 2, ..station() };
        change(&mut next);
        let found = old.check_successor(&next).err();
        assert_eq!(found.as_ref().map(|refusal| refusal.class), class, "{next:?} {found:?}");
    };
    case(|_| {}, None);
    case(|next| next.fields.push(plain("zz", FieldKind::Flag)), None);
    case(|next| next.fields[0].minimum = None, None);
    case(|next| next.fields[0].maximum = Some(decimal("9999")), None);
    case(|next| next.fields[0].decimals = Some(3), None);
    case(|next| next.fields[0].required = false, None);
    case(|next| next.fields[2].length_max = 6, None);
    case(|next| next.name = "other".into(), Some(Class::State));
    case(|next| next.version = 1, Some(Class::Replay));
    case(|next| next.version = 3, Some(Class::State));
    case(|next| drop(next.fields.remove(1)), Some(Class::State));
    case(|next| next.fields[1] = plain("door", FieldKind::Number), Some(Class::State));
    case(|next| next.fields[0].unit = "ppb".into(), Some(Class::State));
    case(|next| next.fields[0].minimum = Some(decimal("150.1")), Some(Class::State));
    case(|next| next.fields[0].maximum = Some(decimal("1999")), Some(Class::State));
    case(|next| next.fields[0].decimals = Some(1), Some(Class::State));
    case(|next| next.fields[2].length_max = 4, Some(Class::State));
    case(|next| next.fields[1].required = true, Some(Class::State));
    case(
        |next| next.fields.push(Field { required: true, ..plain("zz", FieldKind::Flag) }),
        Some(Class::State),
    );
}

fn field() -> impl Strategy<Value = Field> {
    let bound = || option::of((-1000..1000i128, -3..3i32));
    let number = (0..UNITS.len(), bound(), bound(), option::of(any::<u8>())).prop_map(
        |(unit, low, high, decimals)| {
            let bound = |(mantissa, exponent)| Decimal::new(mantissa, exponent).unwrap();
            let (low, high) = (low.map(bound), high.map(bound));
            let (minimum, maximum) = match (low, high) {
                (Some(low), Some(high)) => (Some(low.min(high)), Some(low.max(high))),
                either => either,
            };
            let unit = UNITS[unit].to_owned();
            Field { unit, minimum, maximum, decimals, ..plain("", FieldKind::Number) }
        },
    );
    let long = (any::<bool>(), 1..=ENVELOPE_BYTES_MAX as u32).prop_map(|(text, length_max)| {
        let kind = if text { FieldKind::Text } else { FieldKind::Bytes };
        Field { length_max, ..plain("", kind) }
    });
    (prop_oneof![number, long, Just(plain("", FieldKind::Flag))], any::<bool>())
        .prop_map(|(field, required)| Field { required, ..field })
}

prop_compose! {
    fn schema()(
        name in "[A-Za-z0-9][A-Za-z0-9:./_-]{0,63}",
        version in 1..=u32::MAX,
        fields in collection::btree_map("[A-Za-z0-9][A-Za-z0-9:./_-]{0,9}", field(), 1..10),
    ) -> Schema {
        let fields = fields.into_iter().map(|(name, field)| Field { name, ..field }).collect();
        Schema { name, version, fields }
    }
}

proptest! {
    /// Req: Y4560-7.2.1-a
    #[test]
    fn what_was_written_is_read_and_written_again(schema in schema()) {
        let bytes = schema.encode().unwrap();
        prop_assert_eq!(Schema::parse(&bytes).unwrap(), schema);
    }

    #[test]
    fn a53_arbitrary_bytes_never_panic(bytes in collection::vec(any::<u8>(), 0..200)) {
        let _ = Schema::parse(&bytes);
    }

    #[test]
    fn a53_a_changed_byte_never_gives_a_second_spelling(
        schema in schema(),
        position in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let mut bytes = schema.encode().unwrap();
        let position = position.index(bytes.len());
        bytes[position] = with;
        match Schema::parse(&bytes) {
            Ok(read) => prop_assert_eq!(read.encode().unwrap(), bytes),
            Err(refusal) => prop_assert!(
                matches!(refusal.class, Class::Version | Class::Format | Class::Limit)
            ),
        }
    }

    /// The promise of `check_successor`, over random pairs and random readings.
    #[test]
    fn what_was_valid_stays_valid(
        old in field(),
        new in field(),
        mantissa in -1000..1000i128,
        exponent in -3..3i32,
        length in 0..40usize,
    ) {
        let named = |field: Field, version| Schema {
            name: "s".to_owned(),
            version,
            fields: vec![Field { name: "f".to_owned(), ..field }],
        };
        // A unit rarely agrees by chance.
        let new = if old.kind == new.kind { Field { unit: old.unit.clone(), ..new } } else { new };
        let (old, new) = (named(old, 1), named(new, 2));
        if old.check_successor(&new).is_ok() {
            for value in [
                Value::Number(Decimal::new(mantissa, exponent).unwrap()),
                Value::Text("x".repeat(length)),
                Value::Bytes(vec![0; length]),
                Value::Flag(true),
            ] {
                let envelope = holding(&[("f", value)]);
                prop_assert!(old.validate(&envelope).is_err() || new.validate(&envelope).is_ok());
            }
            let empty = holding(&[]);
            prop_assert!(old.validate(&empty).is_err() || new.validate(&empty).is_ok());
        }
    }
}

fn schema_of(json: &Json) -> Schema {
    let field = |json: &Json| Field {
        name: json["name"].as_str().unwrap().to_owned(),
        kind: (1..=4)
            .filter_map(FieldKind::from_number)
            .find(|kind| kind.name() == json["kind"])
            .unwrap(),
        unit: json["unit"].as_str().unwrap().to_owned(),
        minimum: json["minimum"].as_str().map(decimal),
        maximum: json["maximum"].as_str().map(decimal),
        length_max: json["length_max"].as_u64().unwrap() as u32,
        required: json["required"].as_bool().unwrap(),
        decimals: json["decimals"].as_u64().map(|decimals| decimals as u8),
    };
    Schema {
        name: json["name"].as_str().unwrap().to_owned(),
        version: json["version"].as_u64().unwrap() as u32,
        fields: json["fields"].as_array().unwrap().iter().map(field).collect(),
    }
}

/// Req: Y4560-7.2.1-a, Y4560-7.2.1-b
#[test]
fn golden_vectors_hold() {
    let vectors = vectors("schema.json");
    for row in vectors["accepted"].as_array().unwrap() {
        let (name, bytes) = (&row["name"], bytes_of(&row["bytes"]));
        let read = Schema::parse(&bytes).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        assert_eq!(read, schema_of(&row["schema"]), "{name}");
        assert_eq!(read.encode().unwrap(), bytes, "{name}");
    }
    for row in vectors["refused"].as_array().unwrap() {
        let name = &row["name"];
        let refusal = Schema::parse(&bytes_of(&row["bytes"])).unwrap_err();
        assert_eq!(refusal.class.code(), row["class"], "{name}: {refusal}");
        let begins = row["begins"].as_str().unwrap();
        assert!(refusal.message.starts_with(begins), "{name}: {refusal}");
    }
}

/// The bound on a schema's bytes cuts off no schema that the other bounds allow.
#[test]
fn the_largest_schema_fits() {
    let number = Field {
        unit: UNITS.iter().max_by_key(|unit| unit.len()).unwrap().to_string(),
        minimum: Decimal::new(i128::MIN, -128),
        maximum: Decimal::new(i128::MAX, 127),
        required: true,
        decimals: Some(255),
        ..plain("", FieldKind::Number)
    };
    let fields = (0..FIELDS_MAX)
        .map(|n| Field { name: format!("{n:02}{}", "x".repeat(62)), ..number.clone() })
        .collect();
    let schema = Schema { name: "x".repeat(64), version: u32::MAX, fields };
    assert_eq!(Schema::parse(&schema.encode().unwrap()), Ok(schema));
}
