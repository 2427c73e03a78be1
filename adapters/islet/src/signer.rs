//! Signs transactions for ledgers of this kind.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_ledger::Call;
use tombolo_types::{
    Hash, UnixMillis,
    id::{ChainId, IdentityId, TxId},
    transaction::{SignedTransaction, Transaction},
};

/// How long a signed transaction may wait for a block.
const EXPIRY: Duration = Duration::from_secs(120);

/// An identity's key and the series of nonces that it uses.
pub struct Signer {
    key: SecretKey,
    identity: IdentityId,
    nonce_lane: u8,
}

impl Signer {
    /// Signs with `key` as `identity`, on one series of nonces.
    #[must_use]
    pub fn new(key: SecretKey, identity: IdentityId, nonce_lane: u8) -> Self {
        Self { key, identity, nonce_lane }
    }

    /// Signs as the identity whose first key this is.
    #[must_use]
    pub fn first_key(key: SecretKey, nonce_lane: u8) -> Self {
        let identity = digest::identity_id(key.address());
        Self { key, identity, nonce_lane }
    }

    /// Who signs.
    #[must_use]
    pub fn identity(&self) -> IdentityId {
        self.identity
    }

    /// On which series of nonces.
    #[must_use]
    pub fn nonce_lane(&self) -> u8 {
        self.nonce_lane
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &SecretKey {
        &self.key
    }

    /// The encoded transaction that makes `call` on `chain`.
    #[must_use]
    pub fn sign_call<C: borsh::BorshSerialize>(
        &self,
        chain: ChainId,
        nonce: u64,
        call: &Call<C>,
    ) -> Vec<u8> {
        self.sign(chain, nonce, encode(call)).1
    }

    /// A transaction's id and encoding.
    #[must_use]
    pub fn sign(&self, chain: ChainId, nonce: u64, call: Vec<u8>) -> (TxId, Vec<u8>) {
        let body = encode(&Transaction {
            chain_id: chain,
            signer: self.identity,
            nonce_lane: self.nonce_lane,
            nonce,
            expires: now().saturating_add(u64::try_from(EXPIRY.as_millis()).unwrap_or(u64::MAX)),
            salt: random(),
            call,
        });
        let id = digest::tx_id(&body);
        let signature = self.key.sign(id.into());
        (id, encode(&SignedTransaction { body, signature }))
    }
}

/// The Borsh encoding. Writing to a vector cannot fail.
fn encode(value: &impl borsh::BorshSerialize) -> Vec<u8> {
    borsh::to_vec(value).unwrap_or_default()
}

/// The host's clock.
#[must_use]
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// 32 bytes from the operating system.
///
/// # Panics
/// Where the operating system has no random source: nothing can be signed safely then.
#[must_use]
pub fn random() -> Hash {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    Hash(bytes)
}
