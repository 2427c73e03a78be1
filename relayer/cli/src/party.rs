//! A party with a key, and a ledger that it asks for something.

use anyhow::{Context as _, bail};
use std::{collections::BTreeMap, future::Future, time::Duration};
use tokio::{sync::Mutex, time::Instant};
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_islet::signer::Signer;
use tombolo_ledger::Call;
use tombolo_proto::client::{ClientError, LedgerClient};
use tombolo_types::{
    Address, Class, Refusal,
    id::{ChainId, IdentityId, TxId},
};

/// How long a transaction may take until it is final, on a network on one machine.
const FINAL_WITHIN: Duration = Duration::from_secs(15);

/// One ledger, under a name.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) name: String,
    pub(crate) chain: ChainId,
    pub(crate) client: LedgerClient,
}

/// A party: an identity that signs with its first key.
pub(crate) struct Party {
    pub(crate) name: String,
    signer: Signer,
    nonces: Mutex<BTreeMap<ChainId, u64>>,
}

/// A transaction that is final.
#[derive(Clone, Debug)]
pub(crate) struct Final {
    pub(crate) id: TxId,
    pub(crate) refusal: Option<Refusal>,
}

impl Party {
    pub(crate) fn new(name: &str, key: SecretKey) -> Self {
        Self::on_nonces(name, key, 0)
    }

    /// The same on another series of nonces: several processes may sign for one party at a time.
    pub(crate) fn on_nonces(name: &str, key: SecretKey, nonce_lane: u8) -> Self {
        let signer = Signer::first_key(key, nonce_lane);
        Self { name: name.to_owned(), signer, nonces: Mutex::default() }
    }

    pub(crate) fn identity(&self) -> IdentityId {
        self.signer.identity()
    }

    pub(crate) fn key(&self) -> &SecretKey {
        self.signer.key()
    }

    pub(crate) fn address(&self) -> Address {
        self.key().address()
    }

    /// Hands a call to the door. The refusal is the door's.
    pub(crate) async fn submit<C: borsh::BorshSerialize>(
        &self,
        ledger: &Ledger,
        call: C,
    ) -> Result<TxId, ClientError> {
        let call = borsh::to_vec(&Call::Own(call)).unwrap_or_default();
        let mut nonces = self.nonces.lock().await;
        for _ in 0..200 {
            let nonce = match nonces.get(&ledger.chain) {
                Some(nonce) => *nonce,
                None => {
                    let next = ledger.client.nonces(self.identity()).await?;
                    next.get(usize::from(self.signer.nonce_lane())).copied().unwrap_or(0)
                }
            };
            let (id, encoded) = self.signer.sign(ledger.chain, nonce, call.clone());
            match ledger.client.submit(encoded).await {
                Ok(_) => {
                    nonces.insert(ledger.chain, nonce + 1);
                    return Ok(id);
                }
                // The door is full: the ledger says so, and the caller waits.
                Err(error) if error.class() == Class::Limit => {
                    tokio::time::sleep(Duration::from_millis(25)).await;
                }
                Err(error) => {
                    nonces.remove(&ledger.chain);
                    return Err(error);
                }
            }
        }
        Err(ClientError::TimedOut {
            address: ledger.name.clone(),
            why: "its door stays full".into(),
        })
    }

    /// Makes a call and waits until it is final, refused or not. A refusal at the door counts.
    pub(crate) async fn attempt<C: borsh::BorshSerialize>(
        &self,
        ledger: &Ledger,
        call: C,
    ) -> anyhow::Result<Final> {
        let id = match self.submit(ledger, call).await {
            Ok(id) => id,
            Err(ClientError::Refused { refusal, .. }) => {
                return Ok(Final { id: TxId::ZERO, refusal: Some(refusal) });
            }
            Err(error) => return Err(error).context(format!("{} asks {}", self.name, ledger.name)),
        };
        ledger.wait_for(id).await
    }

    /// Makes a call that must not be refused.
    pub(crate) async fn call<C: borsh::BorshSerialize>(
        &self,
        ledger: &Ledger,
        call: C,
    ) -> anyhow::Result<Final> {
        let done = self.attempt(ledger, call).await?;
        match done.refusal {
            None => Ok(done),
            Some(refusal) => Err(refusal).context(format!("{} asks {}", self.name, ledger.name)),
        }
    }
}

impl Ledger {
    pub(crate) async fn wait_for(&self, id: TxId) -> anyhow::Result<Final> {
        let until = Instant::now() + FINAL_WITHIN;
        while Instant::now() < until {
            if let Some(receipt) = self.client.transaction(id, Duration::from_secs(5)).await? {
                return Ok(Final { id, refusal: receipt.refusal });
            }
        }
        bail!("transaction {id} is in no final block of {} after {FINAL_WITHIN:?}", self.name)
    }

    /// State as JSON; `None` where there is no such thing.
    pub(crate) async fn query(&self, path: &str) -> anyhow::Result<Option<serde_json::Value>> {
        match self.client.query(path, None, 0).await {
            Ok(page) => Ok(Some(serde_json::from_str(&page.json)?)),
            Err(error) if error.class() == Class::NotFound => Ok(None),
            Err(error) => Err(error).context(format!("asking {} for {path}", self.name)),
        }
    }
}

/// Asks until there is an answer, or `within` has passed; `what` is named then.
pub(crate) async fn until<T, F>(
    what: &str,
    within: Duration,
    mut ask: impl FnMut() -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let end = Instant::now() + within;
    loop {
        match ask().await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) if Instant::now() > end => bail!("{what}: not so after {within:?}"),
            Err(error) if Instant::now() > end => {
                return Err(error.context(format!("{what}: not so after {within:?}")));
            }
            Ok(None) | Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
