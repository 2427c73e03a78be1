//! A node that attests what it reads from its own nodes of both chains.

use super::{Attest, AttestError, Ends, Statement, Witness, Word};
use async_trait::async_trait;
use std::sync::Arc;
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_relayer_core::End;
use tombolo_types::{
    Address, Class,
    attested::{INTERWORKING, SharedNode},
    id::{ChainId, LinkId},
};

/// A node of one link, with a key on either side.
pub struct Node {
    name: String,
    link: LinkId,
    /// Signs what is read from the chain; the hub knows it.
    hub_key: SecretKey,
    /// Signs what is read from the hub; the chain's gateway knows it.
    chain_key: SecretKey,
    ends: Ends,
    witness: Option<Arc<Witness>>,
}

impl Node {
    /// A node of `link`.
    #[must_use]
    pub fn new(
        name: &str,
        link: LinkId,
        hub_key: SecretKey,
        chain_key: SecretKey,
        ends: Ends,
    ) -> Self {
        Self { name: name.to_owned(), link, hub_key, chain_key, ends, witness: None }
    }

    /// Tells a witness what others state and its own chain contradicts.
    #[must_use]
    pub fn witnessed_by(self, witness: Arc<Witness>) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// The link that it serves.
    #[must_use]
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// The key by which a side knows it: the hub by the one that attests the chain, and the other
    /// way.
    #[must_use]
    pub fn key_of(&self, end: End) -> Address {
        self.key(end).address()
    }

    /// Signs what is read from this end.
    fn key(&self, of: End) -> &SecretKey {
        match of {
            End::Chain => &self.hub_key,
            End::Hub => &self.chain_key,
        }
    }
}

/// The proof that one node holds both keys and runs the interworking function, for the
/// registration of its link. Req: Y4560-10.2-3.1
#[must_use]
pub fn prove(hub: ChainId, link: LinkId, on_hub: &SecretKey, on_chain: &SecretKey) -> SharedNode {
    let (hub_key, chain_key) = (on_hub.address(), on_chain.address());
    let challenge = digest::shared_node(hub, link, hub_key, chain_key, INTERWORKING);
    SharedNode {
        hub_key,
        chain_key,
        capabilities: INTERWORKING,
        hub_signature: on_hub.sign(challenge),
        chain_signature: on_chain.sign(challenge),
    }
}

#[async_trait]
impl Attest for Node {
    fn name(&self) -> &str {
        &self.name
    }

    async fn attest(&self, statement: &Statement) -> Result<Word, AttestError> {
        let Statement { link, of, leaf, head, key_epoch, proof, by } = statement;
        if *link != self.link || leaf.link != self.link {
            return Err(AttestError::Refused {
                node: self.name.clone(),
                class: Class::NotFound,
                message: format!("this node serves link {}, not {link}", self.link),
            });
        }
        let confirmed = self.ends.of(*of).confirm(head, leaf, proof).await;
        if let Err(source) = confirmed {
            let contradicts = source.class() == Class::Proof;
            if let (true, Some(witness), Some(by)) = (contradicts, &self.witness, by) {
                witness.deviates(statement, by);
            }
            return Err(AttestError::Unconfirmed { node: self.name.clone(), source });
        }
        let digest = digest::attested_head(
            *key_epoch,
            digest::lane_leaf(leaf),
            head.height,
            head.block_id,
            head.time,
        );
        let key = self.key(*of);
        Ok(Word { signer: key.address(), signature: key.sign(digest) })
    }
}
