//! Lies, named for what they do.

use crate::{
    chain::{Final, Inner, SimChain},
    random::Random,
};
use tombolo_adapter::LinkHead;
use tombolo_crypto::{
    digest::{self, VoteKind},
    secp256k1::SecretKey,
    tree,
};
use tombolo_ledger::{Machine, lanes};
use tombolo_types::{
    Hash,
    header::{Certificate, CommitSignature, Header},
    id::ChainId,
    transaction::{HeadProof, Misbehaviour},
};

/// What an adapter makes its chain look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// All validators certify a second block at the newest final height. Who has seen the other
    /// one freezes its client; who has not cannot know, until it does.
    Equivocator,
    /// A node claims messages that were never sent, under a header that too few certified, or
    /// strangers, or nobody.
    Forger,
    /// A node shows nothing that is newer than its first lie, and no bodies at all.
    Withholder,
}

/// Two certified blocks at one height.
#[derive(Clone, Debug)]
pub struct Equivocation {
    /// The block that contradicts the one on the chain.
    pub header: Header,
    /// Its certificate, by the chain's own validators.
    pub certificate: Certificate,
    /// The encoded [`Misbehaviour`] that shows both.
    pub evidence: Vec<u8>,
}

impl<M: Machine> SimChain<M> {
    /// Has the validators certify a second block at the newest final height; `None` where there
    /// is no final block yet.
    #[must_use]
    pub fn equivocate(&self) -> Option<Equivocation> {
        self.second(&self.lock())
    }

    fn second(&self, inner: &Inner) -> Option<Equivocation> {
        let Final { header: honest, certificate: honest_certificate } = inner.finals.last()?;
        let mut header = honest.clone();
        header.log_root = Hash([0xee; 32]);
        let certificate = inner.certify(self.chain_id, &header, usize::MAX);
        let validators = inner.validators_at(header.height);
        let evidence = Misbehaviour {
            header_a: honest.clone(),
            certificate_a: honest_certificate.clone(),
            validators_a: validators.clone(),
            header_b: header.clone(),
            certificate_b: certificate.clone(),
            validators_b: validators,
        };
        Some(Equivocation { header, certificate, evidence: evidence.encode() })
    }

    /// Shows `head` under the second block instead of the one on the chain.
    pub(crate) fn equivocal(&self, head: &mut LinkHead) {
        let Some(Equivocation { header, certificate, .. }) = self.second(&self.lock()) else {
            return;
        };
        head.head = Final { header: header.clone(), certificate: certificate.clone() }.head();
        for proved in &mut head.lanes {
            proved.head_proof = change(&proved.head_proof, |proof| {
                proof.header = header.clone();
                proof.certificate = certificate.clone();
            });
        }
    }

    /// Claims one more message on each lane of `head` than there is.
    pub(crate) fn forged(&self, head: &mut LinkHead) {
        let mut inner = self.lock();
        let leaves = lanes::leaf_hashes(&inner.kept);
        for proved in &mut head.lanes {
            proved.leaf.size += 1;
            proved.leaf.root = Hash(inner.random.bytes());
            let trick = inner.random.up_to(2);
            let strangers = stranger_keys(&mut inner.random);
            proved.head_proof = change(&proved.head_proof, |proof| {
                let index = usize::try_from(proof.index).unwrap_or(usize::MAX);
                let mut claimed = leaves.clone();
                claimed[index] = digest::lane_leaf(&proved.leaf);
                proof.path = tree::lane_path(&claimed, index);
                proof.header.lanes_root = tree::lanes_root(&claimed);
                match trick {
                    0 => proof.certificate.block_id = digest::block_id(&proof.header),
                    1 => proof.certificate = inner.certify(self.chain_id, &proof.header, 1),
                    _ => proof.certificate = by(&strangers, self.chain_id, &proof.header),
                }
            });
        }
    }
}

fn change(proof: &[u8], how: impl FnOnce(&mut HeadProof)) -> Vec<u8> {
    // It comes from this very chain.
    let mut proof = HeadProof::decode(proof).expect("a head proof of our own");
    how(&mut proof);
    proof.encode()
}

fn stranger_keys(random: &mut Random) -> Vec<SecretKey> {
    let mut keys: Vec<SecretKey> =
        (0..4).filter_map(|_| SecretKey::from_bytes(random.bytes()).ok()).collect();
    keys.sort_by_key(SecretKey::address);
    keys
}

fn by(keys: &[SecretKey], chain: ChainId, header: &Header) -> Certificate {
    let (height, round) = (header.height, tombolo_types::Round::ZERO);
    let block_id = digest::block_id(header);
    let vote = digest::vote(VoteKind::Precommit, chain, height, round, Some(block_id));
    let signed =
        |key: &SecretKey| CommitSignature { signer: key.address(), signature: key.sign(vote) };
    Certificate { height, round, block_id, signatures: keys.iter().map(signed).collect() }
}
