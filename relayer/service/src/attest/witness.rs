//! Who stands alone with a word: found by what nodes ask each other to sign, and brought to the
//! ledger that was to believe it. ADR 0010, ADR 0018.

use super::{Ends, Statement, Word};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tombolo_crypto::attested::contradict;
use tombolo_relayer_core::End;
use tombolo_types::{
    Address, Class, LaneNumber,
    attested::{AttestedProof, Deviation},
    id::LinkId,
    lane::LaneLeaf,
};

/// Accusations that wait to be brought. Each key can be accused once on either side, so a full queue
/// means that a ledger takes long; what does not fit is found again with the next lie.
const ACCUSATIONS_MAX: usize = 16;

type Signed = (LaneLeaf, AttestedProof);

/// What a node has seen others sign.
pub struct Witness {
    /// The keys with which the link's nodes were registered, by the end that each speaks of; nobody
    /// else's word is evidence.
    keys: BTreeSet<(End, Address)>,
    seen: Mutex<Seen>,
    accusations: mpsc::Sender<Accusation>,
}

#[derive(Default)]
struct Seen {
    /// The newest statement on each lane that enough nodes have signed.
    agreed: BTreeMap<(End, LaneNumber), Signed>,
    /// The newest statement of each node that this one's own chain contradicts.
    alone: BTreeMap<(End, Address, LaneNumber), Signed>,
    /// Whose word counts no more.
    convicted: BTreeSet<(End, Address)>,
}

/// Two statements that cannot both be true.
struct Accusation {
    of: End,
    signer: Address,
    evidence: Vec<u8>,
}

/// Brings what a witness finds to the other end of the link.
pub struct Accuser(mpsc::Receiver<Accusation>);

impl Witness {
    /// A witness among nodes with these keys, of which some are `suspended` already, as a side says.
    #[must_use]
    pub fn new(
        keys: BTreeSet<(End, Address)>,
        suspended: BTreeSet<(End, Address)>,
    ) -> (Self, Accuser) {
        let (accusations, found) = mpsc::channel(ACCUSATIONS_MAX);
        let seen = Mutex::new(Seen { convicted: suspended, ..Seen::default() });
        (Self { keys, seen, accusations }, Accuser(found))
    }

    /// Whether the other side counts a node's word about this end under its present keys. One that it
    /// does not count would void those beside it. Whom a quorum and a council have put in the place
    /// of another (from epoch 1 on) the other side alone knows.
    #[must_use]
    pub fn counts(&self, of: End, signer: Address, key_epoch: u32) -> bool {
        let is_registered = key_epoch > 0 || self.keys.contains(&(of, signer));
        is_registered && !self.seen().convicted.contains(&(of, signer))
    }

    /// Takes what enough nodes have signed.
    pub(super) fn agreed(&self, of: End, leaf: &LaneLeaf, proof: &AttestedProof) {
        let mut seen = self.seen();
        seen.agreed.insert((of, leaf.lane), (leaf.clone(), proof.clone()));
        let signers: Vec<Address> = seen.alone.keys().map(|(_, signer, _)| *signer).collect();
        for signer in signers {
            self.judge(&mut seen, of, signer, leaf.lane);
        }
    }

    /// Takes what a node asks others to sign and this one's own chain contradicts.
    pub(super) fn deviates(&self, statement: &Statement, by: &Word) {
        if !self.keys.contains(&(statement.of, by.signer)) || !statement.is_signed_by(by) {
            return;
        }
        let (of, lane) = (statement.of, statement.leaf.lane);
        let proof = statement.proof_by(by.signature.0.to_vec(), Vec::new());
        let mut seen = self.seen();
        seen.alone.insert((of, by.signer, lane), (statement.leaf.clone(), proof));
        self.judge(&mut seen, of, by.signer, lane);
    }

    /// Accuses a node whose newest statement contradicts what enough others have signed.
    fn judge(&self, seen: &mut Seen, of: End, signer: Address, lane: LaneNumber) {
        if seen.convicted.contains(&(of, signer)) {
            return;
        }
        let both = (seen.agreed.get(&(of, lane)), seen.alone.get(&(of, signer, lane)));
        let (Some((truth, enough)), Some((lie, alone))) = both else { return };
        if !contradict((truth, enough), (lie, alone)) {
            return;
        }
        let evidence = Deviation {
            leaf_a: truth.clone(),
            proof_a: enough.clone(),
            leaf_b: lie.clone(),
            proof_b: alone.clone(),
        };
        let accusation = Accusation { of, signer, evidence: evidence.encode() };
        if self.accusations.try_send(accusation).is_ok() {
            seen.convicted.insert((of, signer));
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accuser {
    /// Brings every accusation until cancelled. Another node may have been faster; one that was not
    /// heard is raised again by the next lie.
    pub async fn run(
        mut self,
        witness: Arc<Witness>,
        link: LinkId,
        ends: Ends,
        cancel: CancellationToken,
    ) {
        while let Some(Some(found)) = cancel.run_until_cancelled(self.0.recv()).await {
            let Accusation { of, signer, evidence } = found;
            let end = of.name();
            tracing::error!(
                link = %link, end, node = %signer,
                "a node of the link has signed what the others do not see; see to its nodes of both \
                 ledgers, and have its keys replaced"
            );
            match ends.of(of.other()).report_misbehaviour(link, evidence).await {
                Ok(_) => tracing::info!(link = %link, end, node = %signer, "evidence delivered"),
                Err(error) => {
                    tracing::warn!(link = %link, end, node = %signer, %error, "evidence not taken");
                    if error.class() == Class::Timeout {
                        witness.seen().convicted.remove(&(of, signer));
                    }
                }
            }
        }
    }
}
