//! A ledger with one validator, driven by hand: for simulation and tests.
//!
//! No threads, no clock, no network, no randomness: the same calls give the same blocks.

use tombolo_crypto::{
    digest::{self, VoteKind},
    secp256k1::SecretKey,
};
use tombolo_types::{
    Refusal, Round, UnixMillis,
    header::{Certificate, CommitSignature},
    id::TxId,
    transaction::DecidedBlock,
};

use crate::{
    application::{Application, Fatal, Verdict},
    mempool::{Limits, Mempool},
};

/// Drives an [`Application`] whose only validator is `key`.
#[derive(Debug)]
pub struct Sequencer<A> {
    application: A,
    key: SecretKey,
    mempool: Mempool,
}

impl<A: Application> Sequencer<A> {
    /// A sequencer for a ledger whose only validator has this key.
    pub fn new(application: A, key: SecretKey) -> Self {
        Self { application, key, mempool: Mempool::new(Limits::default()) }
    }

    /// The ledger.
    pub fn application(&self) -> &A {
        &self.application
    }

    /// The ledger, to be read or prepared; blocks come from [`produce`](Self::produce) alone.
    pub fn application_mut(&mut self) -> &mut A {
        &mut self.application
    }

    /// Gives the ledger back, for a restart.
    pub fn into_application(self) -> A {
        self.application
    }

    /// How many transactions wait.
    pub fn waiting(&self) -> usize {
        self.mempool.count()
    }

    /// Hands in a transaction for the next block.
    ///
    /// # Errors
    /// What the door refuses, and `E_LIMIT` where too much waits.
    pub fn submit(&mut self, transaction: Vec<u8>) -> Result<TxId, Refusal> {
        let admitted = self.application.admit(&transaction)?;
        self.mempool.insert(admitted, transaction)?;
        Ok(admitted.id)
    }

    /// Builds, checks, certifies and commits the next block, at `now` or, where that is not
    /// later than the tip's time, one millisecond after it.
    ///
    /// # Errors
    /// [`Fatal`] from the ledger, where it calls its own block invalid, and where the key is not
    /// its only validator.
    pub fn produce(&mut self, now: UnixMillis) -> Result<DecidedBlock, Fatal> {
        let tip = self.application.tip();
        let height = tip.height.next();
        let signer = self.key.address();
        let set = self.application.validators(height);
        if !set.is_some_and(|set| matches!(&*set.validators, [only] if only.address == signer)) {
            return Err(Fatal::new(format!(
                "{signer} is not the only validator of height {height}; a sequencer cannot drive \
                 this ledger"
            )));
        }
        let time = now.max(tip.time.saturating_add(1));
        let mut offered = Vec::new();
        let mut candidates = self.mempool.candidates().map(|(id, bytes)| {
            offered.push(id);
            bytes
        });
        let block = self.application.build(time, &mut candidates, &|| false)?;
        drop(candidates);
        self.mempool.offered(&offered);
        if let Verdict::Invalid(why) = self.application.check(&block)? {
            return Err(Fatal::new(format!("the ledger refuses its own block {height}: {why}")));
        }
        let (round, block_id) = (Round(0), digest::block_id(&block.header));
        let chain = self.application.chain_id();
        let vote = digest::vote(VoteKind::Precommit, chain, height, round, Some(block_id));
        let signatures = vec![CommitSignature { signer, signature: self.key.sign(vote) }];
        let certificate = Certificate { height, round, block_id, signatures };
        let decided = DecidedBlock { block, certificate };
        let committed = self.application.commit(&decided)?;
        let application = &mut self.application;
        self.mempool.committed(&committed.transactions, committed.tip.time, |transaction| {
            application.admit(transaction).is_ok()
        });
        Ok(decided)
    }
}
