//! A draft of a two-phase commit, as a file that is passed round until all have consented.

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};
use tombolo_crypto::digest;
use tombolo_swap::two_phase::Begin;
use tombolo_types::{
    Address, Class, Refusal, UnixMillis,
    action::{Authorisation, Branch, EncodedAction, Terms},
    header::Signature,
    id::Xid,
};

/// The file. Bytes are in hexadecimal; actions are encoded as they cross ledgers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDraft {
    hub: String,
    beginner: String,
    salt: String,
    deadline_ms: u64,
    branches: Vec<RawBranch>,
    authorisations: Vec<RawAuthorisation>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBranch {
    link: String,
    actions: Vec<RawAction>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAction {
    kind: u8,
    body: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAuthorisation {
    branch: u32,
    account: String,
    signature: String,
}

/// A draft whose actions can be read.
pub(super) struct Draft {
    /// Terms, branches, and the consents that it has so far.
    pub(super) begin: Begin,
}

/// An account from which a branch takes.
pub(super) struct Giver {
    pub(super) branch: u32,
    pub(super) account: Address,
    pub(super) has_consented: bool,
}

impl Draft {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let raw: RawDraft = serde_json::from_str(&text)
            .with_context(|| format!("{} holds no draft", path.display()))?;
        let begin = raw.begin().with_context(|| format!("reading {}", path.display()))?;
        Ok(Self { begin })
    }

    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(&RawDraft::of(&self.begin))?;
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }

    pub(super) fn xid(&self) -> Xid {
        digest::xid(&self.begin.terms)
    }

    /// Whose consent it takes, each account once per branch.
    pub(super) fn givers(&self) -> anyhow::Result<Vec<Giver>> {
        let mut givers: Vec<Giver> = Vec::new();
        for (branch, body) in (0u32..).zip(&self.begin.branches) {
            for account in body.actions()?.iter().filter_map(|action| action.takes_from()) {
                if givers.iter().any(|known| (known.branch, known.account) == (branch, account)) {
                    continue;
                }
                let of =
                    |given: &&Authorisation| (given.branch, given.account) == (branch, account);
                let has_consented = self.begin.authorisations.iter().any(|given| of(&given));
                givers.push(Giver { branch, account, has_consented });
            }
        }
        Ok(givers)
    }

    /// Adds an account's consent to every branch that takes from it; one that is there is replaced.
    pub(super) fn consent(&mut self, account: Address, signature: Signature) -> anyhow::Result<()> {
        let givers = self.givers()?;
        let branches: Vec<u32> = givers
            .iter()
            .filter(|giver| giver.account == account)
            .map(|giver| giver.branch)
            .collect();
        if branches.is_empty() {
            let why = format!("the draft takes nothing from account {account}");
            return Err(Refusal::new(Class::Denied, why).into());
        }
        let given = &mut self.begin.authorisations;
        given.retain(|known| known.account != account);
        given.extend(branches.into_iter().map(|branch| Authorisation {
            branch,
            account,
            signature,
        }));
        given.sort_by_key(|given| (given.branch, given.account));
        Ok(())
    }
}

impl RawDraft {
    fn of(begin: &Begin) -> Self {
        let Begin { terms, branches, authorisations } = begin;
        let action = |it: &EncodedAction| RawAction { kind: it.kind, body: hex(&it.body) };
        let branch = |it: &Branch| RawBranch {
            link: it.link.to_string(),
            actions: it.actions.iter().map(action).collect(),
        };
        let given = |it: &Authorisation| RawAuthorisation {
            branch: it.branch,
            account: it.account.to_string(),
            signature: hex(&it.signature.0),
        };
        Self {
            hub: terms.hub.to_string(),
            beginner: terms.beginner.to_string(),
            salt: terms.salt.to_string(),
            deadline_ms: terms.deadline.0,
            branches: branches.iter().map(branch).collect(),
            authorisations: authorisations.iter().map(given).collect(),
        }
    }

    /// The hashes in the terms are those of the branches that are there.
    fn begin(&self) -> anyhow::Result<Begin> {
        let mut branches = Vec::new();
        for raw in &self.branches {
            let mut actions = Vec::new();
            for RawAction { kind, body } in &raw.actions {
                actions.push(EncodedAction { kind: *kind, body: bytes(body)? });
            }
            let branch = Branch { link: raw.link.parse()?, actions };
            branch.actions()?;
            branches.push(branch);
        }
        let mut authorisations = Vec::new();
        for raw in &self.authorisations {
            ensure!(
                usize::try_from(raw.branch).is_ok_and(|branch| branch < branches.len()),
                "there is no branch {}",
                raw.branch
            );
            authorisations.push(Authorisation {
                branch: raw.branch,
                account: raw.account.parse()?,
                signature: signature(&raw.signature)?,
            });
        }
        let terms = Terms {
            hub: self.hub.parse()?,
            beginner: self.beginner.parse()?,
            salt: self.salt.parse()?,
            deadline: UnixMillis(self.deadline_ms),
            branches: branches.iter().map(digest::branch).collect(),
        };
        Ok(Begin { terms, branches, authorisations })
    }
}

/// A signature in hexadecimal.
pub(crate) fn signature(text: &str) -> anyhow::Result<Signature> {
    match bytes(text)?.try_into() {
        Ok(signature) => Ok(Signature(signature)),
        Err(_) => bail!("`{text}` is no signature: 65 bytes in hexadecimal"),
    }
}

fn bytes(text: &str) -> anyhow::Result<Vec<u8>> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    hex::decode(digits).with_context(|| format!("`{text}` is not hexadecimal"))
}

fn hex(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}
