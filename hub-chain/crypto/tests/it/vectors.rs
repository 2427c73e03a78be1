//! Every file in `tests/vectors` is made again from its inputs and compared, and each is read.

use crate::{council, formats, proofs, swap};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::PathBuf};

/// Regenerating is an approval, not a repair: who sets this answers for every changed byte.
const REGENERATE: &str = "TOMBOLO_REGENERATE_VECTORS";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

/// Each file with what it must hold.
fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("bundle.json", formats::bundle()),
        ("certificate.json", formats::certificate()),
        ("council.json", council::council()),
        ("data.json", formats::data()),
        ("genesis.json", formats::genesis()),
        ("header.json", formats::header()),
        ("lane.json", formats::lane()),
        ("record.json", formats::record()),
        ("signature.json", formats::signature()),
        ("two_phase.json", formats::two_phase()),
        ("validators.json", formats::validators()),
        ("client.json", proofs::client()),
        ("log.json", proofs::log()),
        ("swap.json", swap::swap()),
    ]
}

/// Req: D35-6.3-3
/// Req: D35-7.2.2-3
#[test]
fn every_vector_is_what_this_code_gives() {
    let regenerate = std::env::var(REGENERATE).as_deref() == Ok("1");
    for (name, expected) in all() {
        let path = folder().join(name);
        if regenerate {
            let text = serde_json::to_string_pretty(&expected).unwrap();
            fs::write(&path, text + "\n").unwrap();
        }
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found: Value = serde_json::from_str(&text).unwrap();
        assert_same(name, &found, &expected);
    }
}

/// Files that tests of other crates read, with the source that names them.
const READ_ELSEWHERE: [(&str, &str); 6] = [
    ("envelope.json", "../types/src/envelope/tests.rs"),
    ("schema.json", "../types/src/schema/tests.rs"),
    ("evm/beacon.json", "../../adapters/evm/core/tests/it/recorded_beacon.rs"),
    ("evm/clique.json", "../../adapters/evm/core/tests/it/recorded_clique.rs"),
    ("evm/layouts.json", "../../adapters/evm/core/tests/it/beacon.rs"),
    ("evm/storage.json", "../../adapters/evm/core/tests/it/vectors.rs"),
];

#[test]
fn every_vector_file_is_read() {
    let crate_folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    for (name, source) in READ_ELSEWHERE {
        let text = fs::read_to_string(crate_folder.join(source)).unwrap();
        let file = name.rsplit('/').next().unwrap();
        assert!(text.contains(&format!("\"{file}\"")), "{source} does not read {name}");
    }
    let elsewhere = READ_ELSEWHERE.iter().map(|(name, _)| (*name).to_owned());
    let read: BTreeSet<String> =
        all().into_iter().map(|(name, _)| name.to_owned()).chain(elsewhere).collect();
    let there: BTreeSet<String> = files_in("")
        .into_iter()
        .chain(files_in("evm/"))
        .filter(|name| name != "README.md" && name != "evm")
        .collect();
    assert_eq!(there, read);
}

/// What stands in a folder of the vectors, by its name from there.
fn files_in(below: &str) -> Vec<String> {
    let entries = fs::read_dir(folder().join(below)).unwrap();
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    entries.map(|entry| format!("{below}{}", name(entry.unwrap()))).collect()
}

/// What other implementations read is accepted as it stands in the file.
#[test]
fn proofs_in_the_files_verify_as_they_stand() {
    for (name, verify) in [
        ("log.json", proofs::verify_log as fn(&Value)),
        ("client.json", proofs::verify_client),
        ("certificate.json", formats::verify_certificate),
        ("signature.json", formats::verify_signature),
    ] {
        let text = fs::read_to_string(folder().join(name)).unwrap();
        verify(&serde_json::from_str(&text).unwrap());
    }
}

/// Names the first place that differs, which a comparison of whole files would bury.
fn assert_same(at: &str, found: &Value, expected: &Value) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            let keys: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
            for key in keys {
                let at = format!("{at} > {key}");
                let missing = &Value::String("(missing)".to_owned());
                assert_same(
                    &at,
                    found.get(key).unwrap_or(missing),
                    expected.get(key).unwrap_or(missing),
                );
            }
        }
        (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
            for (position, (found, expected)) in found.iter().zip(expected).enumerate() {
                assert_same(&format!("{at} > {position}"), found, expected);
            }
        }
        _ => assert_eq!(found, expected, "{at}"),
    }
}
