//! The verification of a bundle.

use std::collections::BTreeMap;
use tombolo_crypto::{
    certificate::{CertifiedHeader, certify},
    digest,
    log::verify_range,
};
use tombolo_types::{
    Class, Height, Refusal, UnixMillis,
    bundle::{BUNDLE_VERSION, Bundle},
    header::Header,
    id::{BlockId, ChainId},
};

/// What a verified bundle proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The ledger.
    pub chain_id: ChainId,
    /// Its name in the genesis document.
    pub name: String,
    /// The newest height that was proved.
    pub height: Height,
    /// The block there.
    pub block_id: BlockId,
    /// Its time.
    pub time: UnixMillis,
    /// The position of the first record.
    pub first: u64,
    /// How many records follow from there without a gap.
    pub count: u64,
    /// How many records the ledger's log holds at that height.
    pub log_size: u64,
    /// How many times the validators changed on the way.
    pub validator_changes: u64,
    /// How many records ended in each class; [`None`] is done.
    pub outcomes: BTreeMap<Option<Class>, u64>,
}

impl Report {
    /// Whether the records are all that the ledger ever recorded up to the proved height.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.first == 0 && self.count == self.log_size
    }
}

/// Why a bundle proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Not a bundle of this version, or not its only spelling.
    #[error("the file is not a bundle: {why}")]
    Format {
        /// What the decoder says.
        why: String,
    },
    /// Made by another version.
    #[error("the bundle has version {version}, this program reads {BUNDLE_VERSION}")]
    Version {
        /// The version found.
        version: u16,
    },
    /// Of another ledger than the one asked for.
    #[error("the bundle's genesis has hash {found}, not {expected}")]
    Genesis {
        /// The hash of the bundle's genesis.
        found: ChainId,
        /// The hash asked for.
        expected: ChainId,
    },
    /// The walk from genesis to the head breaks.
    #[error("the header at height {height} is not proved: {why}")]
    Header {
        /// The header's height.
        height: Height,
        /// What the check says.
        why: Refusal,
    },
    /// One record is not the one that the ledger recorded.
    #[error("record {position} was altered, dropped, repeated or moved")]
    Record {
        /// The first such position in the log.
        position: u64,
    },
    /// The range as a whole is not the one that the ledger recorded.
    #[error("records {first} to {end} are not a range of the log at height {height}: {why}")]
    Range {
        /// The first position claimed.
        first: u64,
        /// The position after the last.
        end: u64,
        /// The proving height.
        height: Height,
        /// What the check says.
        why: String,
    },
}

impl Fault {
    /// What the caller is told.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Format { .. } => Class::Format,
            Self::Version { .. } => Class::Version,
            Self::Genesis { .. } | Self::Header { .. } => Class::Proof,
            Self::Record { .. } | Self::Range { .. } => Class::Tamper,
        }
    }
}

/// Verifies a bundle against the genesis hash of the ledger it claims to be of.
///
/// Req: Y4560-7.1.2-2
///
/// # Errors
/// [`Fault`] for the first thing that is wrong, in the order: form, genesis, headers, records.
pub fn verify(bytes: &[u8], genesis: ChainId) -> Result<Report, Fault> {
    let bundle = Bundle::decode(bytes).map_err(|error| Fault::Format { why: error.to_string() })?;
    if bundle.version != BUNDLE_VERSION {
        return Err(Fault::Version { version: bundle.version });
    }
    let found = digest::chain_id(&bundle.genesis);
    if found != genesis {
        return Err(Fault::Genesis { found, expected: genesis });
    }
    let head = walk(&bundle, genesis)?;
    check_records(&bundle, head.header())?;

    let mut outcomes = BTreeMap::new();
    for salted in &bundle.records {
        let count: &mut u64 =
            outcomes.entry(Class::from_number(salted.record.outcome)).or_default();
        *count = count.saturating_add(1);
    }
    Ok(Report {
        chain_id: genesis,
        name: bundle.genesis.name,
        height: head.header().height,
        block_id: head.block_id(),
        time: head.header().time,
        first: bundle.first,
        count: bundle.records.len() as u64,
        log_size: head.header().log_size,
        validator_changes: bundle.changes.len() as u64,
        outcomes,
    })
}

/// Follows the validator sets from genesis to the head.
fn walk(bundle: &Bundle, chain: ChainId) -> Result<CertifiedHeader, Fault> {
    let at = |height| move |why: Refusal| Fault::Header { height, why };
    let refuse = |height, why: String| at(height)(Refusal::new(Class::Proof, why));
    let mut set = &bundle.genesis.validators;
    let mut before = (Height::ZERO, bundle.genesis.time);
    for change in &bundle.changes {
        let header = &change.header;
        let fault = at(header.height);
        certify(header, &change.certificate, chain, set).map_err(|error| fault(error.into()))?;
        let named = header.next_validators_root;
        if named == header.validators_root || named != digest::validators_root(&change.next) {
            let why =
                format!("it names validators root {named}, which is not that of the set after it");
            return Err(refuse(header.height, why));
        }
        if change.next.first_height != header.height.next() {
            let why = format!("the set after it begins at height {}", change.next.first_height);
            return Err(refuse(header.height, why));
        }
        change.next.check().map_err(|error| refuse(header.height, error.to_string()))?;
        check_rise(before, header).map_err(|why| refuse(header.height, why))?;
        before = (header.height, header.time);
        set = &change.next;
    }
    let head = &bundle.head;
    check_rise(before, head).map_err(|why| refuse(head.height, why))?;
    certify(head, &bundle.certificate, chain, set).map_err(|error| at(head.height)(error.into()))
}

fn check_rise(before: (Height, UnixMillis), header: &Header) -> Result<(), String> {
    let (height, time) = before;
    if header.height > height && header.time > time {
        return Ok(());
    }
    Err(format!(
        "height {} and time {} do not rise above {height} and {time}",
        header.height, header.time
    ))
}

/// Checks each record against its leaf, and the leaves against the head's log.
fn check_records(bundle: &Bundle, head: &Header) -> Result<(), Fault> {
    let first = bundle.first;
    let end = first.saturating_add(bundle.records.len() as u64);
    let range = |why: String| Fault::Range { first, end, height: head.height, why };
    for (position, (salted, leaf)) in (first..).zip(bundle.records.iter().zip(&bundle.leaves)) {
        if digest::record_leaf(salted) != *leaf {
            return Err(Fault::Record { position });
        }
    }
    if bundle.records.len() != bundle.leaves.len() {
        let shorter = bundle.records.len().min(bundle.leaves.len()) as u64;
        return Err(Fault::Record { position: first.saturating_add(shorter) });
    }
    verify_range(first, &bundle.leaves, head.log_size, head.log_root, &bundle.range)
        .map_err(|error| range(error.to_string()))?;
    Ok(())
}
