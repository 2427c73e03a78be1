//! The door: where transactions come in, and where what is refused is written down.

use crate::{
    chain::Chain,
    journal::{Journal, Refused},
    metrics::Metrics,
};
use std::{
    io,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{SystemTime, UNIX_EPOCH},
};
use tombolo_crypto::digest;
use tombolo_engine::EngineHandle;
use tombolo_ledger::{Machine, Principal};
use tombolo_types::{
    Class, Refusal, UnixMillis, ensure,
    id::{IdentityId, TxId},
    transaction::{SignedTransaction, TRANSACTION_BYTES_MAX, Transaction},
};

/// Refusals that wait to be written. The disk is slower than a flood; what does not fit is counted
/// and not written, and the caller is answered all the same.
const QUEUE_MAX: usize = 1_024;

/// Who brings a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A client: what is let in is handed on to the peers.
    Client,
    /// A peer: it goes no further.
    Peer,
}

struct Line {
    refused: Refused,
    signer: Option<IdentityId>,
}

/// The way in.
#[derive(Clone)]
pub struct Door {
    engine: EngineHandle,
    journal: SyncSender<Line>,
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
        let journal = Journal::open(path)?;
        let (sender, lines) = sync_channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || keep_journal(journal, &chain, &lines))?;
        Ok((Self { engine, journal: sender, metrics }, thread))
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
            self.write_down(refusal, id, signer, caller);
        }
        result
    }

    fn write_down(
        &self,
        refusal: &Refusal,
        tx_id: Option<TxId>,
        signer: Option<IdentityId>,
        caller: String,
    ) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        let refused = Refused { at, refusal: refusal.clone(), tx_id, caller, known: false };
        if self.journal.try_send(Line { refused, signer }).is_err() {
            self.metrics.journal_dropped();
        }
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

fn keep_journal<M: Machine>(
    mut journal: Journal,
    chain: &Chain<M>,
    lines: &Receiver<Line>,
) -> io::Result<()> {
    while let Ok(Line { mut refused, signer }) = lines.recv() {
        // These classes come before or with the signature, so anybody can cause them.
        let open = matches!(
            refused.refusal.class,
            Class::Version | Class::Format | Class::Auth | Class::Ident
        );
        refused.known =
            !open && signer.is_some_and(|signer| Principal::of(chain.view(), signer).is_some());
        journal.write(&refused)?;
    }
    Ok(())
}
