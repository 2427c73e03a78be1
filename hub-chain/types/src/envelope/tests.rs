//! Tests of the envelope. Vectors stand in `tests/vectors/envelope.json`.

use super::*;
use crate::{
    Class,
    header::Signature,
    transaction::{SignedTransaction, Transaction},
};
use proptest::{collection, option, prelude::*};
use serde_json::Value as Json;

/// An open item of one reading, as a weak device sends it.
pub(crate) fn one_reading() -> Envelope {
    let time = UnixMillis(1_700_000_000_000);
    Envelope {
        version: ENVELOPE_VERSION,
        home: ChainId([0x11; 32]),
        owner: IdentityId([0x22; 32]),
        local_id: "station-7".to_owned(),
        item_version: 1,
        class: DataClass::Open,
        schema: SchemaId([0x33; 32]),
        device: IdentityId([0x44; 32]),
        terms: "CC-BY-4.0".to_owned(),
        policy_hash: Hash::ZERO,
        hash_algorithm: HashAlgorithm::Keccak256,
        signature_algorithm: SignatureAlgorithm::Secp256k1,
        salt: [0x55; 32],
        time,
        readings: vec![Reading { name: "co2".to_owned(), at: time, value: number("315.9") }],
        extensions: BTreeMap::new(),
    }
}

pub(crate) fn number(text: &str) -> Value {
    Value::Number(text.parse().unwrap())
}

/// Reads the vector file of this crate with that name.
pub(crate) fn vectors(file: &str) -> Json {
    let path = format!("{}/../../tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub(crate) fn bytes_of(json: &Json) -> Vec<u8> {
    hex::decode(json.as_str().unwrap().strip_prefix("0x").unwrap()).unwrap()
}

fn decimal() -> impl Strategy<Value = Decimal> {
    (prop_oneof![any::<i128>(), -1000..1000i128, any::<i64>().prop_map(i128::from)], -128..=80i32)
        .prop_map(|(mantissa, exponent)| Decimal::new(mantissa, exponent).unwrap())
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        decimal().prop_map(Value::Number),
        "\\PC{0,12}".prop_map(Value::Text),
        any::<bool>().prop_map(Value::Flag),
        collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
    ]
}

/// Any item of deterministic CBOR that extensions may hold.
fn extension() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![any::<u64>().prop_map(|n| n.to_string()), "\\PC{0,20}"].prop_flat_map(|text| {
        prop_oneof![
            Just(cbor::encode(&"", |e| e.str(&text).map(drop)).unwrap()),
            any::<u64>().prop_map(|n| cbor::encode(&"", |e| e.u64(n).map(drop)).unwrap()),
            any::<i64>().prop_map(|n| {
                cbor::encode(&"", |e| {
                    e.map(2)?.u8(1)?.i64(n)?.u8(9)?.array(1)?.bool(true).map(drop)
                })
                .unwrap()
            }),
        ]
    })
}

prop_compose! {
    pub(crate) fn envelope()(
        words in any::<([u8; 32], [u8; 32], [u8; 32], [u8; 32], [u8; 32])>(),
        local_id in "[ -~]{1,64}",
        item_version in 1..=u32::MAX,
        open in any::<bool>(),
        terms in "[ -~]{0,30}",
        policy in option::of(any::<[u8; 32]>()),
        time in any::<u64>(),
        readings in collection::btree_map((any::<u64>(), "[A-Za-z0-9][A-Za-z0-9:./_-]{0,20}"), value(), 0..8),
        extensions in collection::btree_map(64..u64::MAX, extension(), 0..4),
    ) -> Envelope {
        let mut sorted = BTreeMap::new();
        for ((at, name), value) in readings {
            let at = UnixMillis(at.min(time));
            sorted.insert((at, name.clone()), Reading { name, at, value });
        }
        Envelope {
            version: ENVELOPE_VERSION,
            home: ChainId(words.0),
            owner: IdentityId(words.1),
            local_id,
            item_version,
            class: if open { DataClass::Open } else { DataClass::Closed },
            schema: SchemaId(words.2),
            device: IdentityId(words.3),
            terms,
            policy_hash: Hash(policy.unwrap_or_default()),
            hash_algorithm: HashAlgorithm::Keccak256,
            signature_algorithm: SignatureAlgorithm::Secp256k1,
            salt: words.4,
            time: UnixMillis(time),
            readings: sorted.into_values().collect(),
            extensions,
        }
    }
}

proptest! {
    /// Req: Y4560-7.2.1-1, Y4560-7.2.1-e
    #[test]
    fn what_was_written_is_read_and_written_again(envelope in envelope()) {
        let written = envelope.clone().canonical().unwrap();
        let read = Envelope::parse(written.bytes()).unwrap();
        prop_assert_eq!(&read, &written);
        prop_assert_eq!(read.envelope(), &envelope);
    }

    #[test]
    fn a53_arbitrary_bytes_never_panic(bytes in collection::vec(any::<u8>(), 0..400)) {
        let _ = Envelope::parse(&bytes);
        let _ = cbor::check(&"bytes", &bytes);
    }

    /// One changed, lost or added byte gives either a refusal or another value with that very
    /// spelling.
    #[test]
    fn a53_a_changed_byte_never_gives_a_second_spelling(
        envelope in envelope(),
        position in any::<prop::sample::Index>(),
        with in any::<u8>(),
        how in 0..3u8,
    ) {
        let written = envelope.canonical().unwrap();
        let mut bytes = written.bytes().to_vec();
        let position = position.index(bytes.len());
        match how {
            0 => bytes[position] = with,
            1 => drop(bytes.remove(position)),
            _ => bytes.insert(position, with),
        }
        match Envelope::parse(&bytes) {
            Ok(read) => {
                prop_assert_eq!(read.envelope() == written.envelope(), bytes == written.bytes());
                let again = read.envelope().clone().canonical().unwrap();
                prop_assert_eq!(again.bytes(), bytes.as_slice());
            }
            Err(refusal) => prop_assert!(
                matches!(refusal.class, Class::Version | Class::Format | Class::Limit)
            ),
        }
    }

    /// What the walk accepts has the lengths that it declares, wherever it is cut.
    /// Req: Y4560-7.2.1-d
    #[test]
    fn every_cut_is_refused(envelope in envelope(), at in any::<prop::sample::Index>()) {
        let bytes = envelope.canonical().unwrap().into_bytes();
        let cut = &bytes[..at.index(bytes.len())];
        prop_assert_eq!(Envelope::parse(cut).unwrap_err().class, Class::Format);
    }

    #[test]
    fn decimals_survive_text(number in decimal()) {
        prop_assert_eq!(number.to_string().parse(), Ok(number));
    }

    /// The order is that of exact fractions; cross-multiplied here, in a range where that fits.
    #[test]
    fn decimals_compare_exactly(a in -9999..9999i128, b in -9999..9999i128, x in -12..12i32, y in -12..12i32) {
        let exact = |mantissa: i128, exponent: i32| mantissa * 10i128.pow((exponent + 12) as u32);
        let (left, right) = (Decimal::new(a, x).unwrap(), Decimal::new(b, y).unwrap());
        prop_assert_eq!(left.cmp(&right), exact(a, x).cmp(&exact(b, y)));
        let sum = Decimal::new(exact(a, x) + exact(b, y), -12).unwrap();
        prop_assert_eq!(left.checked_add(right), Some(sum));
        prop_assert_eq!(left.checked_mul(right), Decimal::new(a * b, x + y));
    }

    #[test]
    fn decimals_of_any_size_are_totally_ordered(a in decimal(), b in decimal(), c in decimal()) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a == b, a.cmp(&b).is_eq());
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
    }
}

fn reading_of(json: &Json) -> Reading {
    let value = if let Some(text) = json["number"].as_str() {
        number(text)
    } else if let Some(text) = json["text"].as_str() {
        Value::Text(text.to_owned())
    } else if let Some(flag) = json["flag"].as_bool() {
        Value::Flag(flag)
    } else {
        Value::Bytes(bytes_of(&json["bytes"]))
    };
    Reading {
        name: json["name"].as_str().unwrap().to_owned(),
        at: UnixMillis(json["at"].as_u64().unwrap()),
        value,
    }
}

fn envelope_of(json: &Json) -> Envelope {
    let text = |key: &str| json[key].as_str().unwrap();
    Envelope {
        version: ENVELOPE_VERSION,
        home: text("home").parse().unwrap(),
        owner: text("owner").parse().unwrap(),
        local_id: text("local_id").to_owned(),
        item_version: json["item_version"].as_u64().unwrap() as u32,
        class: if text("class") == "open" { DataClass::Open } else { DataClass::Closed },
        schema: text("schema").parse().unwrap(),
        device: text("device").parse().unwrap(),
        terms: text("terms").to_owned(),
        policy_hash: text("policy_hash").parse().unwrap(),
        hash_algorithm: HashAlgorithm::Keccak256,
        signature_algorithm: SignatureAlgorithm::Secp256k1,
        salt: bytes_of(&json["salt"]).try_into().unwrap(),
        time: UnixMillis(json["time"].as_u64().unwrap()),
        readings: json["readings"].as_array().unwrap().iter().map(reading_of).collect(),
        extensions: json["extensions"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, item)| (key.parse().unwrap(), bytes_of(item)))
            .collect(),
    }
}

/// Bytes of another encoder are ours, and each fault has its class and path.
/// Req: Y4560-7.2.1-1, Y4560-7.2.1-a, Y4560-7.2.1-b, Y4560-7.2.1-d, Y4560-7.2.1-e, Y4560-6.3-1
#[test]
fn golden_vectors_hold() {
    let vectors = vectors("envelope.json");
    for row in vectors["accepted"].as_array().unwrap() {
        let (name, bytes) = (&row["name"], bytes_of(&row["bytes"]));
        let read = Envelope::parse(&bytes).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        assert_eq!(read.envelope(), &envelope_of(&row["envelope"]), "{name}");
        let written = read.envelope().clone().canonical().unwrap();
        assert_eq!(written.bytes(), bytes, "{name}");
    }
    for row in vectors["refused"].as_array().unwrap() {
        let name = &row["name"];
        let refusal = Envelope::parse(&bytes_of(&row["bytes"])).unwrap_err();
        assert_eq!(refusal.class.code(), row["class"], "{name}: {refusal}");
        let begins = row["begins"].as_str().unwrap();
        assert!(refusal.message.starts_with(begins), "{name}: {refusal}");
    }
}

/// Req: Y4560-7.2.1-e
#[test]
fn unknown_optional_fields_survive_byte_for_byte() {
    let mut envelope = one_reading();
    let item = vec![0x82, 0x01, 0xa1, 0x61, b'k', 0x41, 0xff];
    envelope.extensions.insert(64, item.clone());
    let bytes = envelope.canonical().unwrap().into_bytes();
    let read = Envelope::parse(&bytes).unwrap();
    assert_eq!(read.envelope().extensions[&64], item);
    assert_eq!(read.envelope().clone().canonical().unwrap().bytes(), bytes);
}

/// What a program builds is held to the same rules as what a stranger sends.
#[test]
fn an_envelope_that_could_not_be_read_is_not_written() {
    let case = |change: fn(&mut Envelope), class: Class, begins: &str| {
        let mut envelope = one_reading();
        change(&mut envelope);
        let refusal = envelope.canonical().unwrap_err();
        assert_eq!(refusal.class, class, "{refusal}");
        assert!(refusal.message.starts_with(begins), "{refusal}");
    };
    case(|e| e.version = 2, Class::Version, "version: 2");
    case(|e| drop(e.extensions.insert(63, vec![1])), Class::Version, "extension 63");
    case(|e| drop(e.extensions.insert(64, vec![0x18, 1])), Class::Format, "extension 64, byte 0");
    case(|e| drop(e.extensions.insert(64, vec![1, 1])), Class::Format, "extension 64 ends");
    case(|e| drop(e.extensions.insert(64, vec![])), Class::Format, "extension 64, byte 0");
    case(|e| e.local_id.clear(), Class::Format, "local_id: must not be empty");
    case(|e| e.item_version = 0, Class::Format, "item_version: 0");
    case(|e| e.terms = "x".repeat(257), Class::Limit, "terms: 257");
    case(|e| e.terms = "\n".into(), Class::Format, "terms: byte 0");
    case(|e| e.readings[0].at.0 += 1, Class::Format, "readings[0].at");
    case(|e| e.readings.push(e.readings[0].clone()), Class::Format, "readings[1] does not");
    case(|e| e.readings[0].name = "a b".into(), Class::Format, "readings[0].name");
    case(|e| e.readings[0].name = "a".repeat(65), Class::Limit, "readings[0].name: 65");
}

/// Req: Y4560-7.2.1-d
#[test]
fn one_byte_above_the_maximum_is_refused_and_the_maximum_is_not() {
    let mut envelope = one_reading();
    envelope.readings[0].value = Value::Bytes(vec![0; 1000]);
    let overhead = envelope.clone().canonical().unwrap().bytes().len() - 1000;
    envelope.readings[0].value = Value::Bytes(vec![0; ENVELOPE_BYTES_MAX - overhead]);
    let bytes = envelope.clone().canonical().unwrap().into_bytes();
    assert_eq!(bytes.len(), ENVELOPE_BYTES_MAX);
    assert_eq!(Envelope::parse(&bytes).unwrap().envelope(), &envelope);

    envelope.readings[0].value = Value::Bytes(vec![0; ENVELOPE_BYTES_MAX - overhead + 1]);
    assert_eq!(envelope.canonical().unwrap_err().class, Class::Limit);
    let long = [bytes, vec![0]].concat();
    assert_eq!(Envelope::parse(&long).unwrap_err().class, Class::Limit);
}

#[test]
fn a53_deep_nesting_is_refused_without_deep_recursion() {
    let mut envelope = one_reading();
    envelope.extensions.insert(64, [vec![0x81; 12_000], vec![1]].concat());
    assert_eq!(envelope.canonical().unwrap_err().class, Class::Limit);
}

#[test]
fn a53_a_declared_count_costs_no_memory() {
    for head in [0x9b, 0xbb, 0x5b, 0x7b] {
        let bytes = [vec![head], vec![0xff; 8]].concat();
        assert_eq!(Envelope::parse(&bytes).unwrap_err().class, Class::Format, "head {head:#x}");
    }
}

/// One reading, signed by its device, in a transaction that is signed itself. The device's
/// signature is counted beside the transaction's, which is the dearest case.
/// Req: D35-8.2-2
#[test]
fn a_weak_devices_submission_fits_512_bytes() {
    let envelope = one_reading().canonical().unwrap();
    assert!(envelope.bytes().len() <= 300);
    // As an islet takes it: two bytes that choose the call, the envelope, the device's signature,
    // and that it is shared with nobody yet.
    let call = borsh::to_vec(&(3u8, 0u8, envelope.bytes(), Signature([1; 65]), false)).unwrap();
    let transaction = Transaction {
        chain_id: ChainId([1; 32]),
        signer: IdentityId([2; 32]),
        nonce_lane: 0,
        nonce: 7,
        expires: UnixMillis(1_700_000_060_000),
        salt: Hash([3; 32]),
        call,
    };
    let signed = SignedTransaction {
        body: borsh::to_vec(&transaction).unwrap(),
        signature: Signature([4; 65]),
    };
    let length = borsh::to_vec(&signed).unwrap().len();
    assert!(length <= 512, "{length} bytes");
}

/// The class is part of the signed bytes and of the fingerprint's preimage, and the versions of an
/// item go from class to class only as the rule says. Req: Y4560-6.3-1
#[test]
fn a46_a_class_changes_with_a_new_version_only() {
    use DataClass::{Closed, Open};
    let item = |class, item_version, signed_by_owner: bool| {
        let mut envelope = Envelope { class, item_version, ..one_reading() };
        if signed_by_owner {
            envelope.device = envelope.owner;
        }
        envelope
    };
    let table = [
        ("open stays open", Open, Open, 2, false, None),
        ("open is closed by a new version", Open, Closed, 2, false, None),
        ("closed stays closed", Closed, Closed, 2, false, None),
        ("closed is opened by its owner", Closed, Open, 2, true, None),
        ("closed is not opened by a device", Closed, Open, 2, false, Some(Class::Auth)),
        ("open is not closed in place", Open, Closed, 1, true, Some(Class::Replay)),
        ("closed is not opened in place", Closed, Open, 1, true, Some(Class::Replay)),
        ("no version is left out", Open, Open, 3, false, Some(Class::State)),
    ];
    for (sentence, from, to, version, by_owner, class) in table {
        let old = item(from, 1, false);
        let found = old.check_successor(&item(to, version, by_owner));
        assert_eq!(found.err().map(|refusal| refusal.class), class, "{sentence}");
    }
    let open = item(Open, 1, false).canonical().unwrap();
    let closed = item(Closed, 1, false).canonical().unwrap();
    assert_ne!(open.bytes(), closed.bytes());
}

/// Req: Y4560-7.2.1-c
#[test]
fn another_item_is_no_version_of_this_one() {
    let next = Envelope { item_version: 2, ..one_reading() };
    for other in [
        Envelope { home: ChainId([9; 32]), ..next.clone() },
        Envelope { owner: IdentityId([9; 32]), ..next.clone() },
        Envelope { local_id: "other".into(), ..next.clone() },
    ] {
        assert_eq!(one_reading().check_successor(&other).unwrap_err().class, Class::Format);
    }
    let last = Envelope { item_version: u32::MAX, ..one_reading() };
    assert_eq!(last.check_successor(&last.clone()).unwrap_err().class, Class::Replay);
}

/// Req: Y4560-7.2.1-b
#[test]
fn decimal_text_has_one_meaning_and_one_spelling() {
    let accepted = [
        ("12.80", 128, -1, "12.8"),
        ("-99.99", -9999, -2, "-99.99"),
        ("0", 0, 0, "0"),
        ("-0.000", 0, 0, "0"),
        ("0e2147483647", 0, 0, "0"),
        ("1500", 15, 2, "1500"),
        ("0.0012", 12, -4, "0.0012"),
        ("1.5E+3", 15, 2, "1500"),
        ("1e-128", 1, -128, "1e-128"),
        ("1e127", 1, 127, "1e127"),
        ("10e126", 1, 127, "1e127"),
        (
            "170141183460469231731687303715884105727",
            i128::MAX,
            0,
            "170141183460469231731687303715884105727",
        ),
        (
            "-170141183460469231731687303715884105728",
            i128::MIN,
            0,
            "-170141183460469231731687303715884105728",
        ),
    ];
    for (text, mantissa, exponent, shown) in accepted {
        let number: Decimal = text.parse().unwrap();
        assert_eq!((number.mantissa(), number.exponent()), (mantissa, exponent), "{text}");
        assert_eq!(number.to_string(), shown);
    }
    for text in [
        "", "-", "+1", "01", ".5", "1.", "1e", "1e+", "0x1", "NaN", "1,5", " 1", "--1", "1e1.5",
        "1.-5", "٣",
    ] {
        assert_eq!(text.parse::<Decimal>(), Err(ParseDecimalError::Form), "{text}");
    }
    for text in ["1e128", "1e-129", "1e99999999999", "170141183460469231731687303715884105729"] {
        assert_eq!(text.parse::<Decimal>(), Err(ParseDecimalError::Range), "{text}");
    }
    assert_eq!(Decimal::new(10, 127), None);
    assert_eq!(Decimal::new(1, -129), None);
}

#[test]
fn decimals_at_the_edge_compare_by_size() {
    let ascending = [
        "-1e127",
        "-170141183460469231731687303715884105728",
        "-1e-128",
        "0",
        "1e-128",
        "0.1",
        "9.99",
        "10",
        "99999999999999999999999999999999999999",
        "170141183460469231731687303715884105726",
        "170141183460469231731687303715884105727",
        "2e38",
        "9e38",
        "1e39",
    ];
    let numbers: Vec<Decimal> = ascending.iter().map(|text| text.parse().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}
