use crate::run::{refused, tombolo};

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

#[test]
fn wrong_usage_has_a_status_of_its_own() {
    for words in [&["audit", "verify"][..], &["demo", "--colour", "red"], &["nothing"]] {
        assert_eq!(tombolo(words).status.code(), Some(2), "{words:?}");
    }
}
