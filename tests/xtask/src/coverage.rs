//! Counts requirement rows and attacks against the tests that carry their ids.
//!
//! A row is shown by a comment `Req: <id>` in a file of tests, an attack by a test function whose
//! name begins with its id, in Rust or, after `test_`, in Solidity. The tables stand in
//! `tests/coverage`.

use crate::tree;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Prints the tables; with `open`, only rows without a test.
pub(crate) fn print(root: &Path, theme: Option<u32>, open: bool) -> anyhow::Result<()> {
    let shown = Shown::collect(root)?;
    let absent = not_applicable(root)?;
    let mut per_theme: BTreeMap<u32, [usize; 3]> = BTreeMap::new();
    for row in table(root, "requirements.tsv")? {
        let [number, id, level, _, what] = row.as_slice() else { continue };
        let number: u32 = number.parse()?;
        let count = per_theme.entry(number).or_default();
        let state = if shown.rows.contains(id) {
            count[0] += 1;
            "shown"
        } else if let Some(why) = absent.get(id) {
            count[1] += 1;
            if !open && theme.is_none_or(|wanted| wanted == number) {
                println!("n/a     {number:>2}  {id:<18} {level:<8} {why}");
            }
            continue;
        } else {
            count[2] += 1;
            "OPEN"
        };
        if theme.is_none_or(|wanted| wanted == number) && (!open || state == "OPEN") {
            println!("{state:<7} {number:>2}  {id:<18} {level:<8} {what}");
        }
    }
    let mut attacks = [0; 2];
    for row in table(root, "attacks.tsv")? {
        let [id, what] = row.as_slice() else { continue };
        let is_shown = shown.attacks.contains(&id.to_lowercase());
        attacks[usize::from(!is_shown)] += 1;
        if theme.is_none() && (!open || !is_shown) {
            println!("{:<7} {id:<22}          {what}", if is_shown { "shown" } else { "OPEN" });
        }
    }
    println!();
    for (number, [done, absent, missing]) in per_theme {
        println!("theme {number:>2}: {done} shown, {absent} not applicable, {missing} open");
    }
    println!("attacks: {} shown, {} open", attacks[0], attacks[1]);
    let unknown = shown.unknown(root)?;
    anyhow::ensure!(unknown.is_empty(), "tests name rows that do not exist: {unknown:?}");
    Ok(())
}

/// The ids that tests carry.
struct Shown {
    rows: BTreeSet<String>,
    attacks: BTreeSet<String>,
}

impl Shown {
    fn collect(root: &Path) -> anyhow::Result<Self> {
        let (mut rows, mut attacks) = (BTreeSet::new(), BTreeSet::new());
        for path in [tree::files(root, ".rs")?, tree::files(root, ".t.sol")?].concat() {
            let text = tree::read(&path)?;
            let in_tests = path.components().any(|part| part.as_os_str() == "tests")
                || path.file_name().is_some_and(|name| name == "tests.rs")
                || path.extension().is_some_and(|ending| ending == "sol");
            // Ids in the product name what it implements; only those in tests count.
            let tests = if in_tests {
                text.as_str()
            } else {
                text.split_once("mod tests {").map_or("", |(_, tests)| tests)
            };
            for line in tests.lines() {
                if let Some((_, ids)) = line.split_once("Req: ") {
                    rows.extend(ids.split([',', ' ']).map(clean).filter(|id| id.contains('-')));
                }
                let name = ["fn a", "function test_a"].iter().find_map(|it| line.split_once(it));
                if let Some((_, name)) = name
                    && let Some((number, _)) = name.split_once('_')
                    && number.len() == 2
                    && number.parse::<u8>().is_ok()
                {
                    attacks.insert(format!("a{number}"));
                }
            }
        }
        Ok(Self { rows, attacks })
    }

    fn unknown(&self, root: &Path) -> anyhow::Result<Vec<String>> {
        let known: BTreeSet<String> = table(root, "requirements.tsv")?
            .into_iter()
            .filter_map(|row| row.into_iter().nth(1))
            .collect();
        Ok(self.rows.difference(&known).cloned().collect())
    }
}

fn clean(id: &str) -> String {
    id.trim_matches(|letter: char| !letter.is_ascii_alphanumeric() && letter != ')').to_owned()
}

/// Rows whose object does not exist yet, with the reason.
fn not_applicable(root: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let rows = table(root, "not-applicable.tsv")?;
    Ok(rows
        .into_iter()
        .filter_map(|row| match row.as_slice() {
            [id, why] => Some((id.clone(), why.clone())),
            _ => None,
        })
        .collect())
}

fn table(root: &Path, name: &str) -> anyhow::Result<Vec<Vec<String>>> {
    let text = tree::read(&root.join("tests/coverage").join(name))?;
    Ok(text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect())
}
