//! An islet's hash locks, as parties of a swap and watchers use them.

use crate::adapter::LedgerAdapter;
use async_trait::async_trait;
use serde::Deserialize;
use tokio_stream::StreamExt as _;
use tombolo_adapter::{AdapterError, HtlcChain};
use tombolo_islet_core::{IsletCall, NewHashLock};
use tombolo_ledger::Call;
use tombolo_swap::htlc::{Clock, Found, Lock, Settled, Sight, Standing};
use tombolo_types::{
    Address, Amount, Class, Height, Refusal, UnixMillis,
    id::{ChainId, SecretHash, TxId},
    swap::{Account, Deadline, Secret},
};

/// A lock as an islet's `hash-lock/<hash>-<locker>` gives it.
#[derive(Deserialize)]
struct Entry {
    hash: String,
    locker: String,
    recipient: String,
    asset: String,
    amount: String,
    deadline_ms: u64,
    standing: String,
    secret: Option<String>,
}

impl Entry {
    /// What it says; `None` where it cannot be read.
    fn read(&self, chain: ChainId) -> Option<Found> {
        let account = |text: &str| text.parse::<Address>().ok().map(Account::from);
        let lock = Lock {
            hash: self.hash.parse().ok()?,
            chain,
            asset: self.asset.parse().ok()?,
            amount: Amount(self.amount.parse().ok()?),
            locker: account(&self.locker)?,
            recipient: account(&self.recipient)?,
            deadline: Deadline::Time(UnixMillis(self.deadline_ms)),
        };
        let standing = match self.standing.as_str() {
            "open" => Standing::Funded,
            "claimed" => Standing::Claimed,
            "refunded" => Standing::Refunded,
            _ => return None,
        };
        // The secret of a claimed lock has the form of a hash; the machine checks what it is.
        let shown = self.secret.as_deref().map(str::parse::<SecretHash>).transpose().ok()?;
        // What an islet shows is in a certified block; nothing takes it back.
        let settled = Settled::Final;
        let shown = shown.map(|bytes| Secret(bytes.0));
        Some(Found { lock, funding: Vec::new(), standing, settled, shown })
    }
}

impl LedgerAdapter {
    /// An account of this ledger: exactly an address.
    fn address(&self, account: &Account) -> Result<Address, AdapterError> {
        account.bytes().try_into().map(Address).map_err(|_| AdapterError::Refused {
            chain: self.chain(),
            refusal: Refusal::new(
                Class::Format,
                format!("account {account} has {} bytes, not 20", account.bytes().len()),
            ),
        })
    }

    fn deadline(&self, lock: &Lock) -> Result<UnixMillis, AdapterError> {
        match lock.deadline {
            Deadline::Time(time) => Ok(time),
            Deadline::Height(height) => Err(AdapterError::Refused {
                chain: self.chain(),
                refusal: Refusal::new(
                    Class::Unsupported,
                    format!(
                        "this ledger has no deadlines by height, such as {height}; name a time"
                    ),
                ),
            }),
        }
    }

    async fn carry_out(&self, call: IsletCall) -> Result<TxId, AdapterError> {
        let outcome = self.submit(&Call::Own(call), None).await?;
        Ok(outcome.transaction)
    }
}

#[async_trait]
impl HtlcChain for LedgerAdapter {
    async fn sight(&self, wanted: &Lock) -> Result<Sight, AdapterError> {
        let locker = self.address(&wanted.locker)?;
        self.deadline(wanted)?;
        let doing = "asking for a hash lock";
        // By locker too: strangers may lock under the same hash as often as they like.
        let path = format!("hash-lock/{}-{locker}", wanted.hash);
        let found = match self.client().query(&path, None, 0).await {
            Ok(page) => {
                let entry = serde_json::from_str::<Entry>(&page.json)
                    .map_err(|error| self.contradiction(format!("{path}: {error}")))?;
                let found = entry.read(self.chain());
                Some(found.ok_or_else(|| self.contradiction(format!("{path} cannot be read")))?)
            }
            Err(error) if error.class() == Class::NotFound => None,
            Err(error) => return Err(self.failed(doing)(error)),
        };
        // Asked for last, so that the clock is not older than the lock.
        let newest = self.client().header(None).await.map_err(self.failed(doing))?;
        // That a lock is not there must not be said by a node of another chain.
        let chain = newest.header.chain_id;
        if chain != self.chain() {
            return Err(self.contradiction(format!("its node follows chain {chain}")));
        }
        let clock = Clock { height: newest.header.height, time: newest.header.time };
        Ok(Sight { clock, found })
    }

    async fn next_block(&self, after: Height) -> Result<(), AdapterError> {
        let failed = self.failed("watching for blocks");
        let mut blocks = self.client().watch(Some(after.next())).await.map_err(&failed)?;
        match blocks.next().await {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(failed(error)),
            None => Err(AdapterError::NoAnswer {
                chain: self.chain(),
                doing: "watching for blocks",
                why: "the stream of blocks ended".into(),
            }),
        }
    }

    async fn lock(&self, lock: &Lock, _: u32) -> Result<TxId, AdapterError> {
        let new = NewHashLock {
            hash: lock.hash,
            recipient: self.address(&lock.recipient)?,
            asset: lock.asset,
            amount: lock.amount,
            deadline: self.deadline(lock)?,
        };
        self.carry_out(IsletCall::HashLock(new)).await
    }

    async fn claim(
        &self,
        lock: &Lock,
        secret: &Secret,
        _: &[u8],
        _: u32,
    ) -> Result<TxId, AdapterError> {
        let (hash, locker) = (lock.hash, self.address(&lock.locker)?);
        self.carry_out(IsletCall::HashClaim { hash, locker, secret: secret.0.to_vec() }).await
    }

    async fn refund(&self, lock: &Lock, _: &[u8], _: u32) -> Result<TxId, AdapterError> {
        let (hash, locker) = (lock.hash, self.address(&lock.locker)?);
        self.carry_out(IsletCall::HashRefund { hash, locker }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_types::id::AssetId;

    fn entry(standing: &str, secret: Option<&str>) -> Entry {
        Entry {
            hash: format!("0x{}", "01".repeat(32)),
            locker: format!("0x{}", "02".repeat(20)),
            recipient: format!("0x{}", "03".repeat(20)),
            asset: format!("0x{}", "04".repeat(32)),
            amount: u128::MAX.to_string(),
            deadline_ms: 5,
            standing: standing.into(),
            secret: secret.map(Into::into),
        }
    }

    #[test]
    fn a_lock_is_read_as_it_is_shown() {
        let chain = ChainId([9; 32]);
        let secret = format!("0x{}", "5e".repeat(32));
        let found = entry("claimed", Some(&secret)).read(chain).unwrap();
        assert_eq!((found.standing, found.settled), (Standing::Claimed, Settled::Final));
        assert_eq!(found.shown, Some(Secret([0x5e; 32])));
        let expected = Lock {
            hash: SecretHash([1; 32]),
            chain,
            asset: AssetId([4; 32]),
            amount: Amount(u128::MAX),
            locker: Address([2; 20]).into(),
            recipient: Address([3; 20]).into(),
            deadline: Deadline::Time(UnixMillis(5)),
        };
        assert_eq!(found.lock, expected);
        assert_eq!(entry("open", None).read(chain).unwrap().standing, Standing::Funded);
        assert_eq!(entry("refunded", None).read(chain).unwrap().standing, Standing::Refunded);
    }

    #[test]
    fn what_cannot_be_read_is_no_lock() {
        let chain = ChainId([9; 32]);
        assert_eq!(entry("lost", None).read(chain), None);
        assert_eq!(entry("claimed", Some("0x5e")).read(chain), None);
        let mut spoilt = entry("open", None);
        spoilt.amount = "-1".into();
        assert_eq!(spoilt.read(chain), None);
    }
}
