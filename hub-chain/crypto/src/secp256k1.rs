//! ECDSA over secp256k1, in the one form that `ecrecover` takes.
//!
//! Signing is done by `k256`. Every verdict on a signature is libsecp256k1's: two libraries for
//! one replicated verdict would sooner or later differ (attack A08). The tests hold each against
//! the other.

use crate::keccak256::keccak256;
use ::secp256k1 as libsecp;
use libsecp::ecdsa::{RecoverableSignature, RecoveryId};
use std::fmt;
use tombolo_types::{Address, Class, Hash, Refusal, header::Signature};

#[cfg(test)]
mod tests;

/// Half of the group order, rounded down: the largest `s` that is accepted (EIP-2).
const S_MAX: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

/// Bytes that are no secret key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret key is a number from 1 to the order of secp256k1 less 1, big-endian")]
pub struct KeyError;

/// Why a signature or a public key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The last byte is neither 27 nor 28.
    #[error("the signature's v is {v}, not 27 or 28")]
    RecoveryByte {
        /// The byte found.
        v: u8,
    },
    /// The last byte is not 0 to 3.
    #[error("the signature's recovery id is {id}, not 0 to 3")]
    RecoveryId {
        /// The byte found.
        id: u8,
    },
    /// The twin of a signature: equally valid mathematically, so only the lower one is accepted.
    #[error("the signature's s is above half of the group order; only the lower twin is accepted")]
    HighS,
    /// `r` or `s` is zero or not below the group order.
    #[error("the signature's r or s is zero or not below the group order")]
    Range,
    /// No public key gives this signature over this digest.
    #[error("the signature recovers to no public key")]
    Unrecoverable,
    /// A valid signature of another key, or over other bytes.
    #[error("the signature recovers to {recovered}, not to {expected}")]
    Signer {
        /// Whose signature it would be.
        recovered: Address,
        /// Whose it should be.
        expected: Address,
    },
    /// Not 33 bytes that name a point of the curve.
    #[error(
        "{len} bytes are not a compressed public key: 33 bytes, the first 2 or 3, a point of the curve"
    )]
    PublicKey {
        /// How many bytes there were.
        len: usize,
    },
}

impl From<SignatureError> for Refusal {
    fn from(error: SignatureError) -> Self {
        Self::new(
            Class::Auth,
            format!(
                "{error}; sign again with the right key over the digest of exactly these bytes"
            ),
        )
    }
}

/// A secret key. It is printed nowhere.
#[derive(Clone)]
pub struct SecretKey(k256::ecdsa::SigningKey);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secret key of {}", self.address())
    }
}

impl SecretKey {
    /// The key with this number, big-endian.
    ///
    /// # Errors
    /// [`KeyError`] for zero and for numbers not below the group order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        k256::ecdsa::SigningKey::from_slice(&bytes).map(Self).map_err(|_| KeyError)
    }

    /// The number, big-endian. Closed: write it to a key store and nowhere else.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes().into()
    }

    /// Signs a digest, deterministically (RFC 6979), with low s and v 27 or 28.
    #[must_use]
    pub fn sign(&self, digest: Hash) -> Signature {
        // Signing fails only for digests shorter than half of the curve's width, and for an r or s
        // of zero, for which no digest is known. The zero signature that would then stand here is
        // refused by everybody.
        let mut bytes = [0; 65];
        if let Ok((signature, recovery)) = self.0.sign_prehash_recoverable(&digest.0) {
            let (rs, v) = bytes.split_at_mut(64);
            rs.copy_from_slice(&signature.to_bytes());
            v.fill(recovery.to_byte().saturating_add(27));
        }
        Signature(bytes)
    }

    /// The address of the public key.
    #[must_use]
    pub fn address(&self) -> Address {
        let point = self.0.verifying_key().to_encoded_point(false);
        address_of_uncompressed(point.as_bytes())
    }

    /// The public key as 33 bytes.
    #[must_use]
    pub fn public_key_compressed(&self) -> [u8; 33] {
        let point = self.0.verifying_key().to_encoded_point(true);
        let mut bytes = [0; 33];
        for (to, from) in bytes.iter_mut().zip(point.as_bytes()) {
            *to = *from;
        }
        bytes
    }
}

/// The last 20 bytes of the hash of the point without its leading 4.
fn address_of_uncompressed(point: &[u8]) -> Address {
    let hash = keccak256(point.get(1..).unwrap_or_default());
    let mut address = Address::ZERO;
    for (to, from) in address.0.iter_mut().zip(hash.0.iter().skip(12)) {
        *to = *from;
    }
    address
}

/// The address of a compressed public key.
///
/// # Errors
/// [`SignatureError::PublicKey`].
pub fn address_of_compressed(key: &[u8]) -> Result<Address, SignatureError> {
    let refused = SignatureError::PublicKey { len: key.len() };
    let bytes = <[u8; 33]>::try_from(key).map_err(|_| refused)?;
    let point = libsecp::PublicKey::from_byte_array_compressed(bytes).map_err(|_| refused)?;
    Ok(address_of_uncompressed(&point.serialize_uncompressed()))
}

/// Whose signature over `digest` this is.
///
/// # Errors
/// [`SignatureError`] for every spelling but the canonical one.
pub fn recover(digest: Hash, signature: &Signature) -> Result<Address, SignatureError> {
    let [rs @ .., v] = &signature.0;
    let recovery = match v {
        27 => RecoveryId::Zero,
        28 => RecoveryId::One,
        v => return Err(SignatureError::RecoveryByte { v: *v }),
    };
    let parsed = parse(rs, recovery)?;
    let (_, s) = rs.split_at(32);
    if s > S_MAX.as_slice() {
        return Err(SignatureError::HighS);
    }
    recover_parsed(digest, &parsed)
}

/// Whose seal over `digest` this is, on a ledger that takes either twin of a signature and writes
/// the recovery id as 0 to 3, as Clique does.
///
/// Whoever follows another ledger must believe exactly the seals that it believes: a stricter
/// verdict would let one of its members stop the follower with a seal that all others take. What is
/// sealed must then be known by a hash that covers the seal, or else one thing has two names.
///
/// # Errors
/// [`SignatureError`].
pub fn recover_either_twin(digest: Hash, seal: &[u8; 65]) -> Result<Address, SignatureError> {
    let [rs @ .., id] = seal;
    let recovery =
        RecoveryId::try_from(i32::from(*id)).map_err(|_| SignatureError::RecoveryId { id: *id })?;
    recover_parsed(digest, &parse(rs, recovery)?)
}

fn parse(rs: &[u8], recovery: RecoveryId) -> Result<RecoverableSignature, SignatureError> {
    let (r, s) = rs.split_at(32);
    // libsecp256k1 takes r and s of zero when parsing; they are refused here by name.
    if r.iter().all(|byte| *byte == 0) || s.iter().all(|byte| *byte == 0) {
        return Err(SignatureError::Range);
    }
    RecoverableSignature::from_compact(rs, recovery).map_err(|_| SignatureError::Range)
}

fn recover_parsed(digest: Hash, parsed: &RecoverableSignature) -> Result<Address, SignatureError> {
    let point = parsed
        .recover_ecdsa(libsecp::Message::from_digest(digest.0))
        .map_err(|_| SignatureError::Unrecoverable)?;
    Ok(address_of_uncompressed(&point.serialize_uncompressed()))
}

/// Checks that `expected` signed `digest`.
///
/// # Errors
/// [`SignatureError`]; the zero address signs nothing.
pub fn verify(
    digest: Hash,
    signature: &Signature,
    expected: Address,
) -> Result<(), SignatureError> {
    let recovered = recover(digest, signature)?;
    if recovered != expected {
        return Err(SignatureError::Signer { recovered, expected });
    }
    Ok(())
}
