//! Certificates: more than two thirds of the voting power precommitted one block.

use crate::{
    digest::{self, VoteKind},
    secp256k1::{self, SignatureError},
};
use tombolo_types::{
    Address, Class, Hash, Height, Power, Refusal,
    header::{Certificate, HEADER_VERSION, Header, ValidatorSet, ValidatorSetError},
    id::{BlockId, ChainId},
};

#[cfg(test)]
mod tests;

/// Why a certificate certifies nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The set that should have signed is none.
    #[error(transparent)]
    Set(#[from] ValidatorSetError),
    /// Precommits for no block make no certificate.
    #[error("the certificate of height {height} names the zero block, which is a vote for none")]
    NoBlock {
        /// The certificate's height.
        height: Height,
    },
    /// More signatures than members; found before any is checked.
    #[error("{signatures} signatures are more than the set's {members} members")]
    TooMany {
        /// Signatures found.
        signatures: usize,
        /// Members of the set.
        members: usize,
    },
    /// A signer stands twice, not in ascending order, or is the zero address.
    #[error("signers are not in strictly ascending order of non-zero address at {signer}")]
    Order {
        /// The first signer out of order.
        signer: Address,
    },
    /// A signer who is no member.
    #[error("signer {signer} is no member of the validator set from height {first_height}")]
    Stranger {
        /// Who signed.
        signer: Address,
        /// Which set.
        first_height: Height,
    },
    /// One bad signature voids the certificate, however many good ones there are.
    #[error("the precommit of {signer} is not valid: {error}")]
    Signature {
        /// Whose it should be.
        signer: Address,
        /// What is wrong.
        error: SignatureError,
    },
    /// Not more than two thirds.
    #[error("signed power {signed} is not more than two thirds of {total}")]
    Power {
        /// The power that signed.
        signed: Power,
        /// The power of the set.
        total: Power,
    },
}

impl From<CertificateError> for Refusal {
    fn from(error: CertificateError) -> Self {
        Self::new(
            Class::Proof,
            format!("{error}; bring the certificate as the chain's own nodes store it"),
        )
    }
}

/// Checks a certificate of `chain` against the set that should have signed it.
///
/// Whether it belongs to a certain header is for [`certify`].
///
/// # Errors
/// [`CertificateError`] for the first fault; form and membership before any signature is checked.
pub fn verify(
    certificate: &Certificate,
    chain: ChainId,
    set: &ValidatorSet,
) -> Result<(), CertificateError> {
    let total = set.check()?;
    let signatures = certificate.signatures.len();
    let members = set.validators.len();
    if signatures > members {
        return Err(CertificateError::TooMany { signatures, members });
    }
    if certificate.block_id.is_zero() {
        return Err(CertificateError::NoBlock { height: certificate.height });
    }
    let signed = signed_power(certificate, set)?;
    if !more_than_two_thirds(signed, total) {
        return Err(CertificateError::Power { signed, total });
    }
    let digest = digest::vote(
        VoteKind::Precommit,
        chain,
        certificate.height,
        certificate.round,
        Some(certificate.block_id),
    );
    for commit in &certificate.signatures {
        secp256k1::verify(digest, &commit.signature, commit.signer)
            .map_err(|error| CertificateError::Signature { signer: commit.signer, error })?;
    }
    Ok(())
}

/// The power of the signers, each a member and named once.
fn signed_power(certificate: &Certificate, set: &ValidatorSet) -> Result<Power, CertificateError> {
    let mut before = Address::ZERO;
    let mut signed = Power::ZERO;
    for commit in &certificate.signatures {
        let signer = commit.signer;
        if signer <= before {
            return Err(CertificateError::Order { signer });
        }
        before = signer;
        let first_height = set.first_height;
        let power =
            set.power_of(signer).ok_or(CertificateError::Stranger { signer, first_height })?;
        // Members of a checked set sum up to far less than the maximum, so this never saturates.
        signed = signed.saturating_add(power.0);
    }
    Ok(signed)
}

/// Whether `signed` is more than two thirds of `total`, exactly.
fn more_than_two_thirds(signed: Power, total: Power) -> bool {
    match (u128::from(signed.0).checked_mul(3), u128::from(total.0).checked_mul(2)) {
        (Some(signed), Some(total)) => signed > total,
        _ => false,
    }
}

/// Why a header is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Another version than this code reads.
    #[error("header version {version} is not {HEADER_VERSION}")]
    Version {
        /// The version found.
        version: u32,
    },
    /// A word that is zero in this version is not, or one that never is zero is.
    #[error("the header's {word} must {rule} in version {HEADER_VERSION}")]
    Word {
        /// Which word.
        word: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// A header of another ledger.
    #[error("the header is of chain {found}, not of {expected}")]
    Chain {
        /// The chain in the header.
        found: ChainId,
        /// The chain expected.
        expected: ChainId,
    },
    /// The set at hand is not the one that the header names.
    #[error("the header names validators root {named}, the set at hand has {at_hand}")]
    Validators {
        /// The header's validators root.
        named: Hash,
        /// The root of the set at hand.
        at_hand: Hash,
    },
    /// The set certifies nothing below its first height.
    #[error("the header's height {height} is below {first_height}, the first of its validator set")]
    BeforeSet {
        /// The header's height.
        height: Height,
        /// The first height of the set.
        first_height: Height,
    },
    /// The certificate is for another height.
    #[error("the certificate is for height {certified}, the header has height {height}")]
    Height {
        /// The certificate's height.
        certified: Height,
        /// The header's height.
        height: Height,
    },
    /// The certificate is for another block.
    #[error("the certificate is for block {certified}, the header is block {block_id}")]
    Block {
        /// The certificate's block.
        certified: BlockId,
        /// The header's own id.
        block_id: BlockId,
    },
    /// The certificate itself.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Self {
        let class = match error {
            HeaderError::Version { .. } => Class::Version,
            HeaderError::Word { .. } => Class::Format,
            HeaderError::Certificate(error) => return error.into(),
            HeaderError::Chain { .. }
            | HeaderError::Validators { .. }
            | HeaderError::BeforeSet { .. }
            | HeaderError::Height { .. }
            | HeaderError::Block { .. } => Class::Proof,
        };
        Self::new(class, format!("{error}; bring the header as the chain's own nodes store it"))
    }
}

/// A header that a validator set certified.
///
/// Only [`certify`] makes one; no bytes spell it (attack A05):
/// ```compile_fail
/// fn forge(header: tombolo_types::header::Header) -> tombolo_crypto::certificate::CertifiedHeader {
///     tombolo_crypto::certificate::CertifiedHeader { block_id: header.parent, header }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedHeader {
    header: Header,
    block_id: BlockId,
}

impl CertifiedHeader {
    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its block.
    #[must_use]
    pub fn block_id(&self) -> BlockId {
        self.block_id
    }
}

/// Checks all of a header that can be checked without what else is known of its chain: form,
/// chain, that `set` is the set it names, and that the set certified exactly this block.
///
/// # Errors
/// [`HeaderError`] for the first fault.
pub fn certify(
    header: &Header,
    certificate: &Certificate,
    chain: ChainId,
    set: &ValidatorSet,
) -> Result<CertifiedHeader, HeaderError> {
    check_form(header, chain)?;
    let at_hand = digest::validators_root(set);
    if header.validators_root != at_hand {
        return Err(HeaderError::Validators { named: header.validators_root, at_hand });
    }
    let (height, first_height) = (header.height, set.first_height);
    if height < first_height {
        return Err(HeaderError::BeforeSet { height, first_height });
    }
    if certificate.height != height {
        return Err(HeaderError::Height { certified: certificate.height, height });
    }
    let block_id = digest::block_id(header);
    if certificate.block_id != block_id {
        return Err(HeaderError::Block { certified: certificate.block_id, block_id });
    }
    verify(certificate, chain, set)?;
    Ok(CertifiedHeader { header: header.clone(), block_id })
}

/// Checks the words whose value this version fixes, and the chain.
pub(crate) fn check_form(header: &Header, chain: ChainId) -> Result<(), HeaderError> {
    if header.version != HEADER_VERSION {
        return Err(HeaderError::Version { version: header.version });
    }
    let zero = [
        ("state root", header.state_root),
        ("extensions root", header.extensions_root),
        ("reserved word", header.reserved),
    ];
    if let Some((word, _)) = zero.iter().find(|(_, value)| !value.is_zero()) {
        return Err(HeaderError::Word { word, rule: "be zero" });
    }
    let never_zero = [
        ("lanes root", header.lanes_root),
        ("validators root", header.validators_root),
        ("next validators root", header.next_validators_root),
    ];
    if let Some((word, _)) = never_zero.iter().find(|(_, value)| value.is_zero()) {
        return Err(HeaderError::Word { word, rule: "not be zero" });
    }
    if header.chain_id != chain {
        return Err(HeaderError::Chain { found: header.chain_id, expected: chain });
    }
    Ok(())
}
