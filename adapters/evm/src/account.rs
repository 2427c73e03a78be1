//! An account that pays, from a key as Tombolo keeps it.

use alloy::signers::local::PrivateKeySigner;
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_types::{Class, Refusal};

/// The account of a key: both are of one curve, and its address is the same.
///
/// # Errors
/// `E_AUTH` for a key that the library does not take, which none of ours is.
pub fn account(key: &SecretKey) -> Result<PrivateKeySigner, Refusal> {
    PrivateKeySigner::from_slice(&key.to_bytes()[..])
        .map_err(|error| Refusal::new(Class::Auth, format!("a key that is no account's: {error}")))
}
