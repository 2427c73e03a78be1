//! The audit bundle: a range of records that proves itself from the genesis hash alone.

use crate::{
    Hash, abi_struct,
    header::{Certificate, Genesis, Header, ValidatorSet},
    lane::RangeProof,
    record::SaltedRecord,
};

/// The bundle version that this code writes and reads.
pub const BUNDLE_VERSION: u16 = 1;

abi_struct! {
    /// One change of the validator set: a header under the old set that names the new one.
    pub struct ValidatorChange {
        /// The last header under the old set.
        pub header: Header,
        /// Its certificate.
        pub certificate: Certificate,
        /// The set that it names.
        pub next: ValidatorSet,
    }
}

abi_struct! {
    /// A contiguous range of a ledger's audit log, with all that proves it.
    pub struct Bundle {
        /// [`BUNDLE_VERSION`].
        pub version: u16,
        /// The document from which the ledger started; its hash is the chain id.
        pub genesis: Genesis,
        /// Every change of the validator set up to the head, ascending.
        pub changes: Vec<ValidatorChange>,
        /// The header whose log root proves the records.
        pub head: Header,
        /// Its certificate.
        pub certificate: Certificate,
        /// The position of the first record in the log.
        pub first: u64,
        /// The position after the last record: one that was cut off at the end is missed.
        pub end: u64,
        /// The leaf of each record: locates the first record that was tampered with.
        pub leaves: Vec<Hash>,
        /// The records, in the order of the log.
        pub records: Vec<SaltedRecord>,
        /// That the leaves stand in the head's log.
        pub range: RangeProof,
    }
}
