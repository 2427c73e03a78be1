//! Packs of RFC 8428 and packs that go wrong.

use super::*;
use proptest::{collection, prelude::*};
use tombolo_types::Class;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn field(name: &str, kind: FieldKind, unit: &str) -> Field {
    let long = matches!(kind, FieldKind::Text | FieldKind::Bytes);
    Field {
        name: name.to_owned(),
        kind,
        unit: unit.to_owned(),
        minimum: None,
        maximum: None,
        length_max: if long { 64 } else { 0 },
        required: false,
        decimals: None,
    }
}

fn schema() -> Schema {
    use FieldKind::{Bytes, Flag, Number, Text};
    let fields = vec![
        Field { minimum: "150".parse().ok(), ..field("co2", Number, "ppm") },
        field("current", Number, "A"),
        field("label", Text, ""),
        field("nfc-reader", Bytes, ""),
        field("open", Flag, ""),
        field("rain", Number, "mm"),
        field("temp", Number, "Cel"),
        field("voltage", Number, "V"),
        field("wind", Number, "m/s"),
    ];
    Schema { name: "station".to_owned(), version: 1, fields }
}

fn mapping(schema: &Schema) -> Mapping<'_> {
    Mapping {
        home: ChainId([1; 32]),
        owner: IdentityId([2; 32]),
        device: IdentityId([3; 32]),
        class: DataClass::Open,
        terms: "CC-BY-4.0",
        policy_hash: Hash::ZERO,
        schema,
        schema_id: SchemaId([4; 32]),
        naming: Naming::ItemAndField,
    }
}

fn mapped(pack: &str) -> Result<Mapped, Refusal> {
    map(pack.as_bytes(), &mapping(&schema()), NOW)
}

fn reading(name: &str, at: u64, value: Value) -> Reading {
    Reading { name: name.to_owned(), at: UnixMillis(at), value }
}

fn number(text: &str) -> Value {
    Value::Number(text.parse().unwrap())
}

fn only(mapped: Mapped) -> Item {
    let [item] = <[Item; 1]>::try_from(mapped.items).unwrap();
    item
}

/// Spec: RFC 8428 cl. 5.1.1
#[test]
fn a_single_data_point() {
    let schema = schema();
    let mapping = Mapping { naming: Naming::ItemAlone { field: "temp" }, ..mapping(&schema) };
    let pack = br#"[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]"#;
    let mapped = map(pack, &mapping, NOW).unwrap();
    assert_eq!(mapped.lossy, Vec::<String>::new());
    let item = only(mapped);
    assert_eq!(item.local_id, "urn:dev:ow:10e2073a01080063");
    assert_eq!(item.readings, [reading("temp", NOW.0, number("23.1"))]);
}

/// Spec: RFC 8428 cl. 5.1.2
#[test]
fn several_data_points_with_base_fields_and_relative_times() {
    let pack = r#"[
        {"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,
         "bu":"A","bver":5,
         "n":"voltage","u":"V","v":120.1},
        {"n":"current","t":-5,"v":1.2},
        {"n":"current","t":-4,"v":1.3},
        {"n":"current","t":-3,"v":1.4},
        {"n":"current","t":-2,"v":1.5},
        {"n":"current","t":-1,"v":1.6},
        {"n":"current","v":1.7}
    ]"#;
    let mapped = mapped(pack).unwrap();
    assert!(mapped.lossy.is_empty());
    let item = only(mapped);
    let at = 1_276_020_076_001;
    assert_eq!(item.local_id, "urn:dev:ow:10e2073a0108006");
    assert_eq!(item.time, UnixMillis(at));
    assert_eq!(
        item.readings,
        [
            reading("current", at - 5000, number("1.2")),
            reading("current", at - 4000, number("1.3")),
            reading("current", at - 3000, number("1.4")),
            reading("current", at - 2000, number("1.5")),
            reading("current", at - 1000, number("1.6")),
            reading("current", at, number("1.7")),
            reading("voltage", at, number("120.1")),
        ]
    );
}

/// Spec: RFC 8428 cl. 5.1.5
#[test]
fn several_types_of_data() {
    let pack = r#"[
        {"bn":"urn:dev:ow:10e2073a01080063:","n":"temp","u":"Cel","v":23.1},
        {"n":"label","vs":"Machine Room"},
        {"n":"open","vb":false},
        {"n":"nfc-reader","vd":"aGkgCg"}
    ]"#;
    let item = only(mapped(pack).unwrap());
    assert_eq!(
        item.readings,
        [
            reading("label", NOW.0, Value::Text("Machine Room".into())),
            reading("nfc-reader", NOW.0, Value::Bytes(b"hi \n".to_vec())),
            reading("open", NOW.0, Value::Flag(false)),
            reading("temp", NOW.0, number("23.1")),
        ]
    );
    let schema = schema();
    let envelope = item.into_envelope(&mapping(&schema), 1, [7; 32]).unwrap();
    assert_eq!(Envelope::parse(envelope.bytes()), Ok(envelope));
}

/// In SenML `%` is the plain ratio that is also called `/`; a hundredth is `/100`.
/// Spec: RFC 8428 cl. 12.1 note 1, RFC 8798 cl. 3
#[test]
fn a_percent_sign_is_no_percentage() {
    let mut schema = schema();
    schema.fields.insert(2, field("dimmed", FieldKind::Number, "/"));
    for (unit, sent, stored) in [("%", "0.5", "0.5"), ("/", "0.5", "0.5"), ("/100", "50", "0.5")] {
        let pack = format!(r#"[{{"n":"x:dimmed","u":"{unit}","v":{sent}}}]"#);
        let item = only(map(pack.as_bytes(), &mapping(&schema), NOW).unwrap());
        assert_eq!(item.readings, [reading("dimmed", NOW.0, number(stored))], "{unit}");
    }
}

#[test]
fn one_pack_may_hold_several_items() {
    let pack = r#"[{"n":"b/temp","u":"Cel","v":1},{"n":"a/temp","u":"Cel","v":2}]"#;
    let items = mapped(pack).unwrap().items;
    let names: Vec<&str> = items.iter().map(|item| item.local_id.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn base_values_are_added_and_units_converted_exactly() {
    let pack = r#"[
        {"bn":"x:","bv":1000000000000000000000,"n":"rain","u":"m","v":0.0000001},
        {"bv":0,"n":"rain","t":1700000001,"u":"cm","v":0.1e1}
    ]"#;
    let item = only(mapped(pack).unwrap());
    assert_eq!(
        item.readings,
        [
            reading("rain", NOW.0, number("1000000000000000000000000.0001")),
            reading("rain", 1_700_000_001_000, number("10")),
        ]
    );
}

/// Req: PRJ-2-1
#[test]
fn what_has_no_place_is_listed() {
    let pack = r#"[{"bn":"x:","n":"temp","u":"Cel","v":1,"s":5,"bs":1,"ut":60,"colour":"red"},
        {"n":"open","vb":true,"u":"lon","t":1700000000.0007}, {"s":7}]"#;
    assert_eq!(
        mapped(pack).unwrap().lossy,
        [
            "[0].colour: not a field of RFC 8428",
            "[0].bs: a sum has no place in an envelope",
            "[0].s: a sum has no place in an envelope",
            "[0].ut: an update time has no place in an envelope",
            "[1].u: a flag has no unit",
            "[1].t: finer than a millisecond; the rest is cut off",
            "[2].s: a sum has no place in an envelope",
        ]
    );
}

/// Req: Y4560-7.2.1-a, Y4560-7.2.1-b, Y4560-7.2.1-d
#[test]
fn faults_are_refused_with_their_place() {
    use Class::{Format, Version};
    let table = [
        ("no JSON", "[{", Format, "pack, line 1"),
        ("no array", r#"{"n":"x:temp","v":1}"#, Format, "pack, line 1"),
        ("no record", "[]", Format, "pack: holds no record"),
        ("not a record", "[1]", Format, "pack, line 1"),
        ("a field twice", r#"[{"n":"x:temp","u":"Cel","v":1,"v":2}]"#, Format, "pack, line 1"),
        ("text after the pack", "[{}] x", Format, "pack, line 1"),
        ("a later version", r#"[{"bver":11,"n":"x:temp","v":1}]"#, Version, "[0].bver: 11"),
        ("version zero", r#"[{"bver":0}]"#, Format, "[0].bver: must"),
        ("two versions", r#"[{"bver":10},{"bver":9}]"#, Format, "[1].bver: 9 differs from 10"),
        ("a version after the first record", r#"[{},{"bver":5}]"#, Format, "[1].bver: 5 differs"),
        ("must be understood", r#"[{},{"n":"x:temp","v":1,"mood_":2}]"#, Version, "[1].mood_: "),
        ("null", r#"[{"n":"x:temp","u":"Cel","v":null}]"#, Format, "[0].v: not a decimal"),
        ("text as number", r#"[{"n":"x:temp","u":"Cel","v":"1"}]"#, Format, "[0].v: not a decimal"),
        ("number as text", r#"[{"n":"x:label","vs":1}]"#, Format, "[0].vs: a text"),
        ("text in a number field", r#"[{"n":"x:temp","vs":"1"}]"#, Format, "[0].vs: field temp"),
        ("number as flag", r#"[{"n":"x:open","vb":1}]"#, Format, "[0].vb: true or false"),
        (
            "padded base64",
            r#"[{"n":"x:nfc-reader","vd":"aGkgCg=="}]"#,
            Format,
            "[0].vd: not base64",
        ),
        ("two values", r#"[{"n":"x:temp","v":1,"vb":true}]"#, Format, "[0].vb: a second value"),
        ("no value", r#"[{"n":"x:temp"}]"#, Format, "[0].v: missing"),
        ("no unit", r#"[{"n":"x:temp","v":1}]"#, Format, "[0].u: temp is measured in Cel"),
        ("another unit", r#"[{"n":"x:temp","u":"K","v":1}]"#, Format, "[0].u: temp is measured"),
        ("an inexact unit", r#"[{"n":"x:wind","u":"km/h","v":1}]"#, Format, "[0].u: wind is"),
        ("unknown field", r#"[{"n":"x:no2","u":"ppm","v":1}]"#, Format, "[0].n: not a field"),
        ("no separator", r#"[{"n":"temp","u":"Cel","v":1}]"#, Format, "[0].n: with its base name"),
        (
            "a bad name",
            r#"[{"n":"x y:temp","u":"Cel","v":1}]"#,
            Format,
            "[0].n: with its base name",
        ),
        ("no name", r#"[{"u":"Cel","v":1}]"#, Format, "[0].n: with its base name"),
        (
            "a time with a zone",
            r#"[{"n":"x:temp","u":"Cel","v":1,"t":"2023-11-14T22:13:20+02:00"}]"#,
            Format,
            "[0].t: not a decimal",
        ),
        ("before 1970", r#"[{"n":"x:temp","u":"Cel","v":1,"t":-1e10}]"#, Format, "[0].t: with its"),
        ("far off", r#"[{"n":"x:temp","u":"Cel","v":1,"t":1e17}]"#, Format, "[0].t: with its"),
        (
            "too many digits",
            r#"[{"n":"x:temp","u":"Cel","v":1e200}]"#,
            Format,
            "[0].v: more digits",
        ),
        (
            "too many digits with the base",
            r#"[{"bv":1e120,"n":"x:temp","u":"Cel","v":1e-9}]"#,
            Format,
            "[0].v: with its base value",
        ),
        (
            "the same twice",
            r#"[{"bn":"x:","n":"temp","u":"Cel","v":1},{"n":"temp","u":"Cel","v":1}]"#,
            Format,
            "[1].n: the same name and time",
        ),
    ];
    for (sentence, pack, class, begins) in table {
        let refusal = mapped(pack).unwrap_err();
        assert_eq!(refusal.class, class, "{sentence}: {refusal}");
        assert!(refusal.message.starts_with(begins), "{sentence}: {refusal}");
    }
    let long = format!("[{}]", " ".repeat(PACK_BYTES_MAX));
    assert_eq!(mapped(&long).unwrap_err().class, Class::Limit);
}

/// A station that sends −99.99 for "no value" is caught by the range, not stored as a number.
/// Req: Y4560-7.2.1-b
#[test]
fn a_gap_sent_as_a_number_is_refused() {
    let item = only(mapped(r#"[{"n":"mlo:co2","u":"ppm","v":-99.99}]"#).unwrap());
    let schema = schema();
    let refusal = item.into_envelope(&mapping(&schema), 1, [7; 32]).unwrap_err();
    assert_eq!(refusal.class, Class::Format);
    assert!(refusal.message.starts_with("readings[0].co2: -99.99 is below the minimum 150 ppm"));
}

#[test]
fn times_below_two_to_the_28_are_relative() {
    let pack = |t: &str| format!(r#"[{{"n":"x:temp","u":"Cel","v":1,"t":{t}}}]"#);
    let table = [
        ("0", NOW.0),
        ("-2.5", NOW.0 - 2500),
        ("-0.0004", NOW.0 - 1),
        ("268435455", NOW.0 + 268_435_455_000),
        ("268435456", 268_435_456_000),
        ("1e9", 1_000_000_000_000),
    ];
    for (t, at) in table {
        assert_eq!(only(mapped(&pack(t)).unwrap()).time, UnixMillis(at), "{t}");
    }
}

proptest! {
    #[test]
    fn a53_arbitrary_packs_never_panic(pack in collection::vec(any::<u8>(), 0..200)) {
        let _ = map(&pack, &mapping(&schema()), NOW);
    }

    #[test]
    fn a53_arbitrary_fields_never_panic(
        fields in collection::vec(("b?[nstuv]|v[sbd]|bver|x_?", "-?[0-9]{1,40}(\\.[0-9]{1,9})?(e-?[0-9]{1,3})?|\"[a-z:]{0,9}\"|null|true|\\[\\]"), 0..6),
    ) {
        let fields: Vec<String> =
            fields.iter().map(|(label, value)| format!("\"{label}\":{value}")).collect();
        let _ = mapped(&format!("[{{{}}}]", fields.join(",")));
    }

    /// Every decimal that a station writes arrives as that decimal. Req: Y4560-7.2.1-1
    #[test]
    fn numbers_arrive_exactly(mantissa in any::<i64>(), exponent in -20..20i32) {
        let sent = Decimal::new(i128::from(mantissa), exponent).unwrap();
        let pack = format!(r#"[{{"n":"x:temp","u":"Cel","v":{mantissa}e{exponent}}}]"#);
        let item = only(mapped(&pack).unwrap());
        prop_assert_eq!(&item.readings[0].value, &Value::Number(sent));
    }
}
