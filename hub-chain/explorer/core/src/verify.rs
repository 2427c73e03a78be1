//! The verification of a bundle.

use std::collections::BTreeMap;
use tombolo_crypto::{
    certificate::{CertifiedHeader, certify},
    digest,
    log::verify_range,
};
use tombolo_types::{
    Class, Hash, Height, Refusal, UnixMillis,
    bundle::{BUNDLE_VERSION, Bundle},
    header::Header,
    id::{BlockId, ChainId},
};

/// How far to either side the place of a record is looked for that stands where it was not
/// recorded: about a second of hashing.
const NEAR_MAX: usize = 500_000;

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
    /// One record is not the one that the ledger recorded there.
    #[error("record {position} {tampering}")]
    Record {
        /// The first such position in the log.
        position: u64,
        /// What is wrong there.
        tampering: Tampering,
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

/// What is wrong at the first position that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Tampering {
    /// Record and leaf do not belong together.
    #[error("was altered: it is not what its leaf commits to")]
    Altered,
    /// A record of another position stands there, as after a drop, a repetition or a swap.
    #[error("was dropped or moved: record {found} stands in its place")]
    Replaced {
        /// Where the ledger recorded what stands there.
        found: u64,
    },
    /// The records or their leaves end before it.
    #[error("was dropped: the bundle says that it holds it, and ends before it")]
    Missing,
    /// The bundle says that it ends before it.
    #[error("was added: the bundle says that it ends before it")]
    Surplus,
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

/// Checks each record against its place and its leaf, and the leaves against the head's log.
///
/// A leaf commits to its position, so the first record that is not the ledger's is named as long as
/// leaf and record are not forged together. A forger who does that leaves a range that the head's
/// root refuses as a whole: a root cannot say which of its leaves is wrong.
fn check_records(bundle: &Bundle, head: &Header) -> Result<(), Fault> {
    let Bundle { first, end, records, leaves, range, .. } = bundle;
    let (first, end) = (*first, *end);
    let fault = |why: String| Fault::Range { first, end, height: head.height, why };
    if first > end {
        return Err(fault("the first lies behind the end".to_owned()));
    }
    let mut held = records.iter().zip(leaves);
    for position in first..end {
        let Some((salted, leaf)) = held.next() else {
            return Err(Fault::Record { position, tampering: Tampering::Missing });
        };
        let root = digest::record_root(salted);
        if digest::record_leaf(position, root) != *leaf {
            let tampering = tampering(bundle, head.log_size, position, root, *leaf);
            return Err(Fault::Record { position, tampering });
        }
    }
    let held = records.len().max(leaves.len()) as u64;
    if held > end.saturating_sub(first) {
        return Err(Fault::Record { position: end, tampering: Tampering::Surplus });
    }
    verify_range(first, leaves, head.log_size, head.log_root, range)
        .map_err(|error| fault(error.to_string()))?;
    Ok(())
}

/// Whether the record that stands at `position` was recorded at another one: that is where its leaf
/// belongs, which came along with it or stayed behind.
fn tampering(
    bundle: &Bundle,
    log_size: u64,
    position: u64,
    record_root: Hash,
    leaf: Hash,
) -> Tampering {
    let stayed = |at: u64| {
        let index = usize::try_from(at.checked_sub(bundle.first)?).ok()?;
        bundle.leaves.get(index).copied()
    };
    let is_of = |at: &u64| {
        let there = digest::record_leaf(*at, record_root);
        there == leaf || stayed(*at) == Some(there)
    };
    let behind = position.saturating_add(1)..log_size;
    let mut others = behind.take(NEAR_MAX).chain((0..position).rev().take(NEAR_MAX));
    others.find(is_of).map_or(Tampering::Altered, |found| Tampering::Replaced { found })
}
