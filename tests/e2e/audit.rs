use crate::run::{good, refused, tombolo};
use serde_json::Value;

const GENESIS: &str = "0x0000000000000000000000000000000000000000000000000000000000000001";

/// What is no bundle is refused with one class, whatever it is.
///
/// Req: Y4560-7.1.5-2
#[test]
fn a53_what_is_no_bundle_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("empty", vec![]),
        ("zeros", vec![0; 100_000]),
        ("ones", vec![0xff; 100_000]),
        ("text", b"not a bundle at all".to_vec()),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let fault = refused(&["audit", "verify", path.to_str().unwrap(), "--genesis", GENESIS]);
        assert_eq!(fault["class"], "E_FORMAT", "{name}: {fault}");
    }
}

/// A byte changed anywhere in a bundle: status 1, nothing on stdout, one object that says why.
///
/// Req: Y4560-7.1.5-2, Y4560-7.1.2-2
#[test]
fn a_changed_byte_is_refused_with_one_object() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/bundle.json");
    let vector: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (genesis, text) = (vector["genesis"].as_str().unwrap(), vector["bytes"].as_str().unwrap());
    let honest: Vec<u8> = (2..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle");
    let words = ["audit", "verify", file.to_str().unwrap(), "--genesis", genesis];
    std::fs::write(&file, &honest).unwrap();
    good(&words);
    // A step that is no multiple of a word, so that every place in a word has its turn.
    for at in (0..honest.len()).step_by(101) {
        let mut bytes = honest.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&file, &bytes).unwrap();
        let output = tombolo(&words);
        assert_eq!(output.status.code(), Some(1), "byte {at}");
        assert_eq!(output.stdout, b"", "byte {at}");
        let fault: Value = serde_json::from_slice(&output.stderr).expect("one object");
        let class = fault["class"].as_str().unwrap();
        assert!(
            ["E_FORMAT", "E_VERSION", "E_PROOF", "E_TAMPER"].contains(&class),
            "byte {at}: {fault}"
        );
    }
}

#[test]
fn wrong_usage_has_a_status_of_its_own() {
    for words in [&["audit", "verify"][..], &["demo", "--colour", "red"], &["nothing"]] {
        assert_eq!(tombolo(words).status.code(), Some(2), "{words:?}");
    }
}
