use crate::run::{good, refused};

/// Every configuration explains itself, and the explanation is valid.
#[test]
fn example_configurations_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["hub", "islet", "relayer", "swap"] {
        let example = good(&[kind, "config", "example"]);
        let path = folder.path().join(format!("{kind}.toml"));
        std::fs::write(&path, example).unwrap();
        let path = path.to_str().unwrap();
        good(&[kind, "config", "check", path]);
        assert!(!good(&[kind, "config", "show", path]).contains("TOMBOLO_PASSPHRASE"));
        std::fs::write(path, "colour = 1").unwrap();
        refused(&[kind, "config", "check", path]);
    }
}

/// Every command that the documents name exists.
#[test]
fn documents_name_commands_that_exist() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut named = 0;
    for document in ["README.md", "docs/runbook.md", "CONTRIBUTING.md", "SECURITY.md"] {
        let text = std::fs::read_to_string(format!("{root}/{document}")).unwrap();
        let mut in_block = false;
        for line in text.lines() {
            if line.starts_with("```") {
                in_block = !in_block && line.starts_with("```sh");
                continue;
            }
            let Some(line) = line.trim().strip_prefix("tombolo ").filter(|_| in_block) else {
                continue;
            };
            // The first command of the line, without its comment.
            let command = line.split(['#', '&', '|', '>']).next().unwrap_or_default();
            let verbs: Vec<&str> = command
                .split_whitespace()
                .take_while(|word| word.chars().all(|letter| letter.is_ascii_lowercase()))
                .take(2)
                .collect();
            let help = good(&[verbs.as_slice(), &["--help"]].concat());
            for flag in command.split_whitespace().filter(|word| word.starts_with("--")) {
                assert!(help.contains(flag), "{document}: `{command}` has no {flag}");
            }
            named += 1;
        }
    }
    assert!(named >= 5, "only {named} commands were found in the documents");
}

#[test]
fn keys_are_made_encrypted_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "a long passphrase\n").unwrap();
    let store = folder.path().join("keys");
    let store = store.to_str().unwrap();
    let secret = secret.to_str().unwrap();
    good(&["key", "new", "--keystore", store, "--name", "one", "--passphrase-file", secret]);
    assert!(good(&["key", "list", "--keystore", store]).starts_with("one "));
    refused(&["key", "new", "--keystore", store, "--name", "one", "--passphrase-file", secret]);
}

#[test]
fn completions_are_printed() {
    assert!(good(&["completions", "bash"]).contains("tombolo"));
}
