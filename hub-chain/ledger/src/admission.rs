//! The door of a block: which transactions may enter it at all.
//!
//! Admissibility is form, limit, signature, identity, nonce, rate, expiry. What is admissible
//! enters a block even if it is refused there; what is not never does.

use crate::{
    machine::{BlockInfo, Call, Machine},
    parameters::Parameters,
    principal::{Principal, Use},
};
use tombolo_crypto::{digest, secp256k1};
use tombolo_types::{
    Refusal, ensure,
    id::TxId,
    refuse,
    store::View,
    transaction::{NONCE_LANES, SignedTransaction, TRANSACTION_BYTES_MAX, Transaction},
};

/// A transaction that may enter a block on the state it was checked against.
pub struct Admitted<C> {
    /// Its id.
    pub id: TxId,
    /// Who signed it.
    pub signer: Principal,
    /// What was signed.
    pub transaction: Transaction,
    /// What it asks.
    pub call: Call<C>,
    /// What it weighs.
    pub weight: u64,
    /// What the signer has used up, this transaction included.
    pub usage: Use,
}

/// How far ahead of the signer's next nonce a transaction may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonce {
    /// It must be the next one: in a block.
    Exact,
    /// It may be a later one that waits: at the door.
    Ahead(u64),
}

/// Checks everything that admission asks, in order of precedence.
///
/// # Errors
/// `E_LIMIT` for size and rate, `E_FORMAT`, `E_AUTH` for the signature or another ledger's
/// transaction, `E_IDENT`, `E_TIMEOUT` once expired, `E_REPLAY` for a nonce that was used,
/// `E_STATE` for one that is too far ahead.
pub fn admit<M: Machine>(
    machine: &M,
    view: &dyn View,
    block: BlockInfo,
    parameters: &Parameters,
    encoded: &[u8],
    nonce: Nonce,
) -> Result<Admitted<M::Call>, Refusal> {
    ensure!(
        encoded.len() <= TRANSACTION_BYTES_MAX,
        Limit,
        "a transaction of {} bytes is above {TRANSACTION_BYTES_MAX}",
        encoded.len()
    );
    let format = |error: std::io::Error| {
        Refusal::new(
            tombolo_types::Class::Format,
            format!("the transaction does not decode: {error}"),
        )
    };
    let signed: SignedTransaction = borsh::from_slice(encoded).map_err(format)?;
    let transaction: Transaction = borsh::from_slice(&signed.body).map_err(format)?;
    let call: Call<M::Call> = borsh::from_slice(&transaction.call).map_err(format)?;
    ensure!(
        transaction.nonce_lane < NONCE_LANES,
        Format,
        "nonce lane {} is not below {NONCE_LANES}",
        transaction.nonce_lane
    );
    ensure!(
        transaction.expires.since(block.time) <= parameters.transaction_expiry_max_ms,
        Format,
        "the transaction expires {} ms ahead, at most {} ms are allowed",
        transaction.expires.since(block.time),
        parameters.transaction_expiry_max_ms
    );
    ensure!(
        transaction.chain_id == block.chain_id,
        Auth,
        "the transaction is signed for chain {}, this is {}",
        transaction.chain_id,
        block.chain_id
    );
    let id = digest::tx_id(&signed.body);
    let key = secp256k1::recover(id.into(), &signed.signature)?;
    let Some(signer) = Principal::of(view, transaction.signer) else {
        refuse!(Ident, "identity {} is not known here", transaction.signer);
    };
    ensure!(
        signer.keys.contains(&key),
        Auth,
        "key {key} is none of the present keys of identity {}",
        signer.identity
    );
    ensure!(signer.is_active(), Ident, "identity {} is {}", signer.identity, signer.status.name());
    ensure!(
        block.time < transaction.expires,
        Timeout,
        "the transaction expired at {}, it is {}",
        transaction.expires,
        block.time
    );
    let mut usage = Use::of(view, signer.identity);
    let next = usage.nonce(transaction.nonce_lane);
    ensure!(
        transaction.nonce >= next,
        Replay,
        "nonce {} of lane {} was used; the next is {next}",
        transaction.nonce,
        transaction.nonce_lane
    );
    let ahead = match nonce {
        Nonce::Exact => 0,
        Nonce::Ahead(most) => most,
    };
    ensure!(
        transaction.nonce.saturating_sub(next) <= ahead,
        State,
        "nonce {} of lane {} is ahead of the next, {next}",
        transaction.nonce,
        transaction.nonce_lane
    );
    let weight = weight_of(machine, view, &call);
    ensure!(
        usage.spend(weight, block.time, parameters),
        Limit,
        "identity {} has used its rate of {} weight per second; send less or wait",
        signer.identity,
        parameters.rate_per_second
    );
    usage.use_nonce(transaction.nonce_lane);
    Ok(Admitted { id, signer, transaction, call, weight, usage })
}

/// The weight charged to the signer. A delivery's messages are charged to their link, not to who
/// carries them.
fn weight_of<M: Machine>(machine: &M, view: &dyn View, call: &Call<M::Call>) -> u64 {
    let proof = |link, proof: &[u8]| {
        crate::lanes::link(view, link)
            .and_then(|link| machine.verifier(&link.verifier))
            .map_or(1, |verifier| verifier.weight(proof))
    };
    1u64.saturating_add(match call {
        Call::Deliver(delivery) => proof(delivery.leaf.link, &delivery.head_proof),
        Call::UpdateClient { link, update } => proof(*link, update),
        Call::Misbehaviour { link, evidence } => proof(*link, evidence).saturating_mul(2),
        Call::Own(own) => machine.weight(own),
    })
}
