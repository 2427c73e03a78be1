//! BLS signatures of a committee (BLS12-381, keys in G1), decided by `blst` alone.

use blst::{
    BLST_ERROR,
    min_pk::{AggregatePublicKey, Signature},
};
use tombolo_types::Hash;

/// The ciphersuite of Ethereum's consensus layer: proofs of possession were checked at deposit.
const CIPHERSUITE: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
/// The bit of a compressed point that tells it from its negative.
const SIGN_BIT: u8 = 0x20;

/// Why a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BlsError {
    /// A key is no point of the curve in its one compressed form.
    #[error("a key is no point of the curve")]
    Key,
    /// The signature is no point of the curve in its one compressed form.
    #[error("it is no point of the curve")]
    Signature,
    /// It is of other keys, or over other bytes.
    #[error("it is not of these members over this header")]
    Mismatch,
}

/// Checks a signature of all members of a committee, whose keys add up to `sum`, but those who are
/// `absent`.
///
/// Their keys are taken off by adding the negatives. That each lies in the right subgroup was
/// checked by the chain at deposit, and the committee's root holds them; so only what comes out is
/// checked for it, which also refuses the point at infinity.
pub(super) fn verify<'a>(
    sum: &[u8; 48],
    absent: impl Iterator<Item = &'a [u8; 48]>,
    message: Hash,
    signature: &[u8; 96],
) -> Result<(), BlsError> {
    let negatives: Vec<[u8; 48]> = absent.map(negative).collect();
    let keys: Vec<&[u8]> =
        std::iter::once(sum).chain(&negatives).map(<[u8; 48]>::as_slice).collect();
    let present = AggregatePublicKey::aggregate_serialized(&keys, false)
        .map_err(|_| BlsError::Key)?
        .to_public_key();
    let signature = Signature::from_bytes(signature).map_err(|_| BlsError::Signature)?;
    match signature.verify(true, &message.0, CIPHERSUITE, &[], &present, true) {
        BLST_ERROR::BLST_SUCCESS => Ok(()),
        _ => Err(BlsError::Mismatch),
    }
}

/// The point on the other side of the axis.
fn negative(key: &[u8; 48]) -> [u8; 48] {
    let [first, rest @ ..] = *key;
    let mut negative = [first ^ SIGN_BIT; 48];
    for (to, from) in negative.iter_mut().skip(1).zip(rest) {
        *to = from;
    }
    negative
}

#[cfg(test)]
mod tests {
    use super::*;
    use blst::min_pk::{AggregateSignature, SecretKey};

    fn keys(count: u8) -> Vec<SecretKey> {
        (1..=count).map(|n| SecretKey::key_gen(&[n; 32], &[]).unwrap()).collect()
    }

    fn public(key: &SecretKey) -> [u8; 48] {
        key.sk_to_pk().to_bytes()
    }

    fn sum(keys: &[SecretKey]) -> [u8; 48] {
        let public: Vec<_> = keys.iter().map(public).collect();
        let public: Vec<_> = public.iter().map(<[u8; 48]>::as_slice).collect();
        AggregatePublicKey::aggregate_serialized(&public, true).unwrap().to_public_key().to_bytes()
    }

    fn signed(keys: &[SecretKey], message: Hash) -> [u8; 96] {
        let all: Vec<_> = keys.iter().map(|key| key.sign(&message.0, CIPHERSUITE, &[])).collect();
        let all: Vec<_> = all.iter().collect();
        AggregateSignature::aggregate(&all, false).unwrap().to_signature().to_bytes()
    }

    #[test]
    fn those_who_are_absent_are_taken_off() {
        let (keys, message) = (keys(8), Hash([5; 32]));
        let all = sum(&keys);
        for absent in 0..8 {
            let signature = signed(&keys[absent..], message);
            let off: Vec<_> = keys[..absent].iter().map(public).collect();
            assert_eq!(verify(&all, off.iter(), message, &signature), Ok(()));
            // One more, one fewer, another message.
            let refused = Err(BlsError::Mismatch);
            let more = public(&keys[absent]);
            let more = off.iter().chain([&more]);
            assert_eq!(verify(&all, more, message, &signature), refused);
            assert_eq!(verify(&all, off.iter().skip(1), message, &signature).is_ok(), absent == 0);
            assert_eq!(verify(&all, off.iter(), Hash([6; 32]), &signature), refused);
        }
    }

    /// Attack A08: no signature and no key is written in two ways, and infinity signs nothing.
    #[test]
    fn a08_points_have_one_spelling() {
        let (keys, message) = (keys(2), Hash([5; 32]));
        let (all, signature) = (sum(&keys), signed(&keys, message));
        let check = |all: &[u8; 48], signature: &[u8; 96]| {
            verify(all, std::iter::empty(), message, signature)
        };
        assert_eq!(check(&all, &signature), Ok(()));
        assert_eq!(check(&negative(&all), &signature), Err(BlsError::Mismatch));
        for bit in 0..3 {
            let (mut key, mut changed) = (all, signature);
            key[0] ^= 0x80 >> bit;
            changed[0] ^= 0x80 >> bit;
            assert!(check(&key, &signature).is_err());
            assert!(check(&all, &changed).is_err());
        }
        let (mut no_key, mut no_signature) = ([0; 48], [0; 96]);
        (no_key[0], no_signature[0]) = (0xc0, 0xc0);
        assert_eq!(check(&no_key, &no_signature), Err(BlsError::Mismatch));
        assert_eq!(check(&[0; 48], &signature), Err(BlsError::Key));
        assert_eq!(check(&all, &[0; 96]), Err(BlsError::Signature));
        let off: Vec<_> = keys.iter().map(public).collect();
        let nobody = verify(&all, off.iter(), message, &no_signature);
        assert_eq!(nobody, Err(BlsError::Mismatch));
    }
}
