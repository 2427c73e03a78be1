//! The door: where transactions come in, and where what is refused is written down.

use crate::{
    chain::Chain,
    journal::{Refused, Writer},
    metrics::Metrics,
    scribe::Scribe,
};
use std::{io, path::Path, sync::Arc, thread::JoinHandle};
use tombolo_crypto::digest;
use tombolo_engine::EngineHandle;
use tombolo_ledger::{Machine, Principal};
use tombolo_types::{
    Class, Refusal, ensure,
    id::{IdentityId, TxId},
    transaction::{SignedTransaction, TRANSACTION_BYTES_MAX, Transaction},
};

/// Who brings a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A client: what is let in is handed on to the peers.
    Client,
    /// A peer: it goes no further.
    Peer,
}

/// What is written down, and who is to be asked for in the state before.
struct Turned {
    refusal: Refusal,
    tx_id: Option<TxId>,
    signer: Option<IdentityId>,
}

/// The way in.
#[derive(Clone)]
pub struct Door {
    engine: EngineHandle,
    journal: Scribe<Turned>,
    metrics: Arc<Metrics>,
}

impl Door {
    /// A door that keeps its journal at `path`. The thread ends with the last copy of the door.
    ///
    /// # Errors
    /// Where the journal cannot be opened.
    pub fn open<M: Machine>(
        path: &Path,
        chain: Arc<Chain<M>>,
        engine: EngineHandle,
        metrics: Arc<Metrics>,
    ) -> io::Result<(Self, JoinHandle<io::Result<()>>)> {
        let (journal, thread) = Scribe::open(path, move |journal, line| {
            let Turned { refusal, tx_id, signer } = line.what;
            let writer = writer(&chain, &refusal, signer);
            journal.write(line.at, &line.caller, writer, &Refused::new(&refusal, tx_id))
        })?;
        Ok((Self { engine, journal, metrics }, thread))
    }

    /// Shows a transaction to the door.
    ///
    /// # Errors
    /// Its one refusal.
    pub async fn submit<M: Machine>(
        &self,
        chain: &Chain<M>,
        transaction: Vec<u8>,
        from: From,
        caller: String,
    ) -> Result<TxId, Refusal> {
        let read = read(&transaction);
        let result = match (check_size(&transaction), from) {
            (Err(refusal), _) => Err(refusal),
            (Ok(()), From::Client) => self.engine.submit(transaction).await,
            (Ok(()), From::Peer) => self.engine.receive(transaction).await,
        };
        let Err(refusal) = &result else { return result };
        let (id, signer) = read.unzip();
        if let (Class::Limit, Some(id)) = (refusal.class, id) {
            // It was admissible, but the mempool had no room.
            chain.waiting().remove(id);
        }
        if from == From::Client {
            self.metrics.refused(refusal.class);
            let turned = Turned { refusal: refusal.clone(), tx_id: id, signer };
            if !self.journal.write(caller, turned) {
                self.metrics.journal_dropped();
            }
        }
        result
    }
}

fn check_size(transaction: &[u8]) -> Result<(), Refusal> {
    ensure!(
        transaction.len() <= TRANSACTION_BYTES_MAX,
        Limit,
        "a transaction of {} bytes is above {TRANSACTION_BYTES_MAX}",
        transaction.len()
    );
    Ok(())
}

fn read(transaction: &[u8]) -> Option<(TxId, IdentityId)> {
    if transaction.len() > TRANSACTION_BYTES_MAX {
        return None;
    }
    let signed: SignedTransaction = borsh::from_slice(transaction).ok()?;
    let body: Transaction = borsh::from_slice(&signed.body).ok()?;
    Some((digest::tx_id(&signed.body), body.signer))
}

fn writer<M: Machine>(chain: &Chain<M>, refusal: &Refusal, signer: Option<IdentityId>) -> Writer {
    // These classes come before or with the signature, so anybody can cause them.
    let open = matches!(refusal.class, Class::Version | Class::Format | Class::Auth | Class::Ident);
    match signer.and_then(|signer| Principal::of(chain.view(), signer)) {
        Some(_) if !open => Writer::Known,
        _ => Writer::Stranger,
    }
}
