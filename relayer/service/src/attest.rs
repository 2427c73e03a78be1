//! Attesting heads: what the nodes of a link in mode 2 or 3 do besides carrying.
//!
//! A [`Node`] holds a key on either side and signs a lane leaf once its own node of that chain says
//! the same. An [`Attested`] end of a link is a chain whose heads go out with the signatures of
//! enough nodes in place of, or beside, its own proof. Each node reads from its own node of the
//! chain: asking one endpoint n times would make one of n.
//!
//! Spec: Y.4560 cl. 10.2. Req: Y4560-10.2-3.2

mod end;
mod node;
mod page;
mod witness;

pub use end::{Attested, OwnProof};
pub use node::{Node, prove};
pub use page::{Capabilities, RemoteNode, serve_node};
pub use witness::{Accuser, Witness};

use crate::link::Chain;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use tombolo_adapter::{AdapterError, ChainHead};
use tombolo_crypto::{digest, secp256k1};
use tombolo_relayer_core::End;
use tombolo_types::{
    Address, Class, attested::AttestedProof, header::Signature, id::LinkId, lane::LaneLeaf,
};

/// What a node is asked to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The link.
    pub link: LinkId,
    /// Whose leaf it is.
    pub of: End,
    /// The leaf.
    pub leaf: LaneLeaf,
    /// The final block that commits to it.
    pub head: ChainHead,
    /// In which epoch of the nodes' keys the other side believes them.
    pub key_epoch: u32,
    /// What came with the leaf, for chains that read it from there.
    pub proof: Vec<u8>,
    /// The word of the node that asks: who has others sign what is not so has signed it first.
    pub by: Option<Word>,
}

impl Statement {
    /// Whether a word is its signer's over this very statement; one false word would void all.
    fn is_signed_by(&self, word: &Word) -> bool {
        let ChainHead { height, block_id, time, .. } = self.head;
        let leaf = digest::lane_leaf(&self.leaf);
        let digest = digest::attested_head(self.key_epoch, leaf, height, block_id, time);
        secp256k1::recover(digest, &word.signature) == Ok(word.signer)
    }

    /// As it is shown to the other side, with these signatures, ascending by signer.
    fn proof_by(&self, signatures: Vec<u8>, bound: Vec<u8>) -> AttestedProof {
        let ChainHead { height, block_id, time, .. } = self.head;
        AttestedProof { height, block_id, time, key_epoch: self.key_epoch, signatures, bound }
    }
}

/// A node's word on a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Whose.
    pub signer: Address,
    /// Over the head.
    pub signature: Signature,
}

/// Why a node gave no word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// The node's own chain does not say so, or not yet.
    #[error("node {node} does not attest: {source}")]
    Unconfirmed {
        /// Which node.
        node: String,
        /// What its chain says.
        #[source]
        source: AdapterError,
    },
    /// The node was not reached, or answered nonsense.
    #[error("node {node} gives no word: {why}")]
    NoAnswer {
        /// Which node.
        node: String,
        /// Why.
        why: String,
    },
    /// The node understood and refused.
    #[error("node {node} refuses with {class}: {message}")]
    Refused {
        /// Which node.
        node: String,
        /// The class.
        class: Class,
        /// Its sentence.
        message: String,
    },
}

/// Who may be asked to attest: a node in this process, or one elsewhere.
#[async_trait]
pub trait Attest: Send + Sync {
    /// Its name in logs.
    fn name(&self) -> &str;

    /// Its word on a statement, once its own chain confirms it.
    ///
    /// # Errors
    /// [`AttestError`].
    async fn attest(&self, statement: &Statement) -> Result<Word, AttestError>;
}

/// Which end, on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EndName {
    Hub,
    Chain,
}

impl From<End> for EndName {
    fn from(end: End) -> Self {
        match end {
            End::Hub => Self::Hub,
            End::Chain => Self::Chain,
        }
    }
}

impl From<EndName> for End {
    fn from(end: EndName) -> Self {
        match end {
            EndName::Hub => Self::Hub,
            EndName::Chain => Self::Chain,
        }
    }
}

/// Both ends of a link as a node sees them, each by its own node.
#[derive(Clone)]
pub struct Ends {
    /// The hub.
    pub hub: std::sync::Arc<dyn Chain>,
    /// The linked chain.
    pub chain: std::sync::Arc<dyn Chain>,
}

impl Ends {
    fn of(&self, end: End) -> &dyn Chain {
        match end {
            End::Hub => &*self.hub,
            End::Chain => &*self.chain,
        }
    }
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ends")
    }
}
