//! Hash locks: an amount that goes to its recipient for a secret, or back to its locker from a
//! deadline on. Weaker than two-phase commit: no hub and no other ledger has a say in it.
//!
//! A lock is known by its hash and its locker. By the hash alone a stranger could take the place of
//! a lock that an order announces; and both locks of a swap may stand on this ledger. An account
//! uses a hash once: until the deadline is as long past as a lock may last, the entry stays, so that
//! the hash is refused again and the secret of a claimed lock can be read for as long as any lock
//! under the same hash can be open.
//!
//! Balances alone are locked so: who owns a closed item is decided with the hub.

use crate::{account, identity, lock};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::digest;
use tombolo_ledger::{Context, Table};
use tombolo_types::{
    Address, Amount, Height, Refusal, UnixMillis, ensure,
    id::{AssetId, SecretHash},
    refuse,
    store::View,
    swap::{SECRET_BYTES, Secret},
};

/// What a locker asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NewHashLock {
    /// SHA-256 of the secret.
    pub hash: SecretHash,
    /// Who gets it for the secret, whoever brings that (attack A35).
    pub recipient: Address,
    /// What.
    pub asset: AssetId,
    /// How much, in the asset's smallest unit; not zero.
    pub amount: Amount,
    /// Block time from which on it is the locker's again.
    pub deadline: UnixMillis,
}

/// Where a hash lock stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum HashLockStanding {
    /// The amount is held.
    Open,
    /// The recipient has it.
    Claimed {
        /// What opened it: public from here on.
        secret: Secret,
        /// Where.
        height: Height,
    },
    /// The locker has it again.
    Refunded {
        /// Where.
        height: Height,
    },
}

/// A hash lock, open or remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HashLock {
    /// SHA-256 of the secret.
    pub hash: SecretHash,
    /// Who locked, and gets it back.
    pub locker: Address,
    /// Who gets it for the secret.
    pub recipient: Address,
    /// What.
    pub asset: AssetId,
    /// How much, in the asset's smallest unit.
    pub amount: Amount,
    /// Block time from which on it is the locker's again.
    pub deadline: UnixMillis,
    /// Where it was locked.
    pub height: Height,
    /// Where it stands.
    pub standing: HashLockStanding,
}

type Key = (SecretHash, Address);

const LOCKS: Table<Key, HashLock> = Table::new(*b"iH");
/// Ended locks by when they may be forgotten.
const ENDED: Table<(UnixMillis, SecretHash, Address), ()> = Table::new(*b"ih");

/// A hash lock, open or remembered.
pub(crate) fn lock_of(view: &dyn View, hash: SecretHash, locker: Address) -> Option<HashLock> {
    LOCKS.get(view, &(hash, locker))
}

/// All under one hash, by locker; at most `limit`.
pub(crate) fn under(view: &dyn View, hash: SecretHash, limit: usize) -> Vec<HashLock> {
    LOCKS.under(view, &hash, limit).into_iter().map(|(_, lock)| lock).collect()
}

/// At most `limit`, from this hash and locker on.
pub(crate) fn list(view: &dyn View, from: Key, limit: usize) -> Vec<HashLock> {
    LOCKS.range(view, &from, limit).into_iter().map(|(_, lock)| lock).collect()
}

/// Locks an amount of the signer's.
///
/// # Errors
/// The first in the order of rule G1: `E_FORMAT` for an amount of nothing, no hash, or a recipient
/// that is nobody or oneself; `E_LIMIT` for a deadline too far away or too many open locks;
/// `E_NOTFOUND` without an account; `E_REPLAY` for a hash that the account has used; `E_TIMEOUT`
/// for a deadline that has come; `E_FUNDS`.
///
/// Req: PRJ-5-5
pub(crate) fn open(cx: &mut Context<'_, '_>, new: &NewHashLock) -> Result<(), Refusal> {
    let NewHashLock { hash, recipient, asset, amount, deadline } = *new;
    note(cx, "hash-lock", hash);
    let locker = cx.signer.as_ref().map_or(Address::ZERO, |signer| signer.account);
    note_parties(cx, locker, recipient);
    account::check_payment(recipient, amount)?;
    ensure!(!hash.is_zero(), Format, "the lock has no hash; hash a secret of {SECRET_BYTES} bytes");
    ensure!(recipient != locker, Format, "account {locker} would lock for itself");
    let (now, longest_ms) = (cx.block.time, cx.parameters.swap_deadline_max_ms);
    ensure!(
        deadline.since(now) <= longest_ms,
        Limit,
        "the deadline {deadline} lies more than {longest_ms} ms after block time {now}; choose an \
         earlier one"
    );
    ensure!(
        !locker.is_zero(),
        NotFound,
        "identity {} has no account on this ledger; bind one on the hub",
        cx.signer_id()
    );
    lock::count_open(cx, locker)?;
    ensure!(
        lock_of(cx.state, hash, locker).is_none(),
        Replay,
        "account {locker} has used hash {hash} here; take a new secret"
    );
    ensure!(
        deadline > now,
        Timeout,
        "the deadline {deadline} has come at block time {now}; choose a later one"
    );
    account::debit(cx, locker, asset, amount)?;
    let (height, standing) = (cx.block.height, HashLockStanding::Open);
    let lock = HashLock { hash, locker, recipient, asset, amount, deadline, height, standing };
    LOCKS.put(cx.state, &(hash, locker), &lock);
    cx.record.remark = format!("locked {amount} of asset {asset} for {recipient} until {deadline}");
    Ok(())
}

/// Pays a lock out to its recipient. Anybody may bring the secret.
///
/// # Errors
/// The first in the order of rule G1: `E_NOTFOUND`; `E_REPLAY` where it is claimed; `E_STATE` where
/// it is given back; `E_TIMEOUT` from the deadline on; `E_PROOF` for a secret of another length or
/// hash.
///
/// Req: PRJ-5-6
pub(crate) fn claim(
    cx: &mut Context<'_, '_>,
    hash: SecretHash,
    locker: Address,
    secret: &[u8],
) -> Result<(), Refusal> {
    let lock = begin_end(cx, "hash-claim", hash, locker)?;
    match lock.standing {
        HashLockStanding::Open => {}
        HashLockStanding::Claimed { height, .. } => {
            refuse!(Replay, "the lock was claimed at height {height}")
        }
        HashLockStanding::Refunded { height } => {
            refuse!(State, "the lock was given back at height {height}")
        }
    }
    ensure!(
        cx.block.time < lock.deadline,
        Timeout,
        "the lock ended at {}, this block has time {}; it is the locker's again",
        lock.deadline,
        cx.block.time
    );
    let Some(secret) = Secret::of(secret) else {
        refuse!(Proof, "a secret has {SECRET_BYTES} bytes, this one {}", secret.len());
    };
    ensure!(
        digest::secret_hash(&secret) == hash,
        Proof,
        "the secret does not hash to {hash} with SHA-256"
    );
    let standing = HashLockStanding::Claimed { secret, height: cx.block.height };
    end(cx, lock, standing, lock.recipient);
    cx.record.remark = format!("claimed for {}", lock.recipient);
    Ok(())
}

/// Gives a lock back to its locker. Anybody may ask for it.
///
/// # Errors
/// The first in the order of rule G1: `E_NOTFOUND`; `E_REPLAY` where it is given back; `E_STATE`
/// where it is claimed, or before the deadline.
///
/// Req: PRJ-5-7
pub(crate) fn refund(
    cx: &mut Context<'_, '_>,
    hash: SecretHash,
    locker: Address,
) -> Result<(), Refusal> {
    let lock = begin_end(cx, "hash-refund", hash, locker)?;
    match lock.standing {
        HashLockStanding::Open => {}
        HashLockStanding::Claimed { height, .. } => {
            refuse!(State, "the lock was claimed at height {height}")
        }
        HashLockStanding::Refunded { height } => {
            refuse!(Replay, "the lock was given back at height {height}")
        }
    }
    ensure!(
        cx.block.time >= lock.deadline,
        State,
        "the lock ends at {}, this block has time {}; wait until then",
        lock.deadline,
        cx.block.time
    );
    let standing = HashLockStanding::Refunded { height: cx.block.height };
    end(cx, lock, standing, locker);
    cx.record.remark = format!("given back to {locker}");
    Ok(())
}

fn begin_end(
    cx: &mut Context<'_, '_>,
    operation: &str,
    hash: SecretHash,
    locker: Address,
) -> Result<HashLock, Refusal> {
    note(cx, operation, hash);
    let Some(lock) = lock_of(cx.state, hash, locker) else {
        refuse!(NotFound, "account {locker} has no lock under hash {hash} on this ledger");
    };
    note_parties(cx, locker, lock.recipient);
    Ok(lock)
}

/// The standing is written before anybody is credited, and both in one block: claim and refund
/// cannot both happen (attack A38).
fn end(cx: &mut Context<'_, '_>, lock: HashLock, standing: HashLockStanding, payee: Address) {
    let HashLock { hash, locker, asset, amount, deadline, .. } = lock;
    LOCKS.put(cx.state, &(hash, locker), &HashLock { standing, ..lock });
    let forget_at = deadline.saturating_add(cx.parameters.swap_deadline_max_ms);
    ENDED.put(cx.state, &(forget_at, hash, locker), &());
    lock::discount_open(cx, locker);
    account::credit(cx, payee, asset, amount);
}

/// Forgets ended locks whose time has come, at most `aborts_per_block` of them. An open one is not
/// among them.
pub(crate) fn forget(cx: &mut Context<'_, '_>) {
    let budget = usize::try_from(cx.parameters.aborts_per_block).unwrap_or(usize::MAX);
    for ((forget_at, hash, locker), ()) in ENDED.all(cx.state, budget) {
        if forget_at > cx.block.time {
            break;
        }
        LOCKS.delete(cx.state, &(hash, locker));
        ENDED.delete(cx.state, &(forget_at, hash, locker));
    }
}

fn note(cx: &mut Context<'_, '_>, operation: &str, hash: SecretHash) {
    cx.record.operation = operation.into();
    cx.record.protocol = "htlc".into();
    cx.record.global_id = digest::swap(hash);
}

/// Locker and recipient, besides who brought the call.
fn note_parties(cx: &mut Context<'_, '_>, locker: Address, recipient: Address) {
    for account in [locker, recipient] {
        if let Some(party) = identity::of_account(cx.state, account)
            && !cx.record.parties.contains(&party)
        {
            cx.record.parties.push(party);
        }
    }
}
