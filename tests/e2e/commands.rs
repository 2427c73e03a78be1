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

/// What an address of a node holds besides scheme, host and port is shown to nobody.
#[test]
fn passwords_in_addresses_are_not_shown() {
    const WORDS: &str = r#"
        [[evm]]
        name = "harbour"
        ACCOUNT
        rpc = ["https://member:sesame@127.0.0.1:8545/v3/sesame"]
        evm_chain_id = 1
        from_block = 0
        genesis = "0x0000000000000000000000000000000000000000000000000000000000000003"
    "#;
    let folder = tempfile::tempdir().unwrap();
    let address = "0x0000000000000000000000000000000000000004";
    let relayer = format!("account = \"harbour\"\ngateway = \"{address}\"\nproof = \"beacon\"");
    let relayer = format!("{relayer}\nbeacon = \"https://member:sesame@127.0.0.1:9596\"");
    let swap = format!("contract = \"{address}\"");
    for (kind, account) in [("relayer", relayer), ("swap", swap)] {
        let path = folder.path().join(format!("{kind}.toml"));
        let words = WORDS.replace("ACCOUNT", &account);
        std::fs::write(&path, good(&[kind, "config", "example"]) + &words).unwrap();
        let path = path.to_str().unwrap();
        let shown = good(&[kind, "config", "show", path]);
        assert!(shown.contains("https://127.0.0.1:8545"), "{shown}");
        assert!(!shown.contains("sesame"), "{shown}");
        let wrong =
            std::fs::read_to_string(path).unwrap().replace("https://member", "htps://member");
        std::fs::write(path, wrong).unwrap();
        let fault = refused(&[kind, "config", "check", path]).to_string();
        assert!(fault.contains("rpc") && !fault.contains("sesame"), "{fault}");
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
