//! The part that must be right does no IO: checks that pure crates stay so.

use crate::tree;
use anyhow::Context as _;
use std::path::Path;

/// Crates that a pure crate may not depend on.
const CRATES: [&str; 12] = [
    "tokio",
    "tonic",
    "prost",
    "sled",
    "rand",
    "getrandom",
    "chrono",
    "time",
    "axum",
    "reqwest",
    "tracing",
    "tombolo-store",
];
/// Words that a pure crate's code may not hold.
const WORDS: [&str; 9] = [
    "std::time::",
    "SystemTime",
    "Instant::now",
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "HashMap",
    "HashSet",
];

/// Checks every crate marked `pure` in its manifest.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let mut faults = Vec::new();
    let mut pure = 0;
    for manifest in tree::files(root, "Cargo.toml")? {
        let parsed: toml::Table = tree::read(&manifest)?
            .parse()
            .with_context(|| format!("parsing {}", manifest.display()))?;
        let marked = parsed
            .get("package")
            .and_then(|package| package.get("metadata")?.get("tombolo")?.get("pure")?.as_bool());
        if marked != Some(true) {
            continue;
        }
        pure += 1;
        let dependencies = parsed.get("dependencies").and_then(toml::Value::as_table);
        for name in dependencies.into_iter().flat_map(|table| table.keys()) {
            if CRATES.contains(&name.as_str()) {
                faults.push(format!("{} depends on {name}", manifest.display()));
            }
        }
        let source = manifest.with_file_name("src");
        for path in tree::files(&source, ".rs")? {
            if path.file_name().is_some_and(|name| name == "tests.rs") {
                continue;
            }
            let text = tree::read(&path)?;
            let product = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            for (line, content) in (1..).zip(product.lines()) {
                let code = content.split("//").next().unwrap_or_default();
                for word in WORDS.iter().filter(|word| code.contains(**word)) {
                    faults.push(format!("{}:{line} names {word}", path.display()));
                }
            }
        }
    }
    anyhow::ensure!(pure > 0, "no crate is marked pure: the check would check nothing");
    anyhow::ensure!(faults.is_empty(), "pure crates must do no IO:\n  {}", faults.join("\n  "));
    println!("{pure} pure crates are pure");
    Ok(())
}
