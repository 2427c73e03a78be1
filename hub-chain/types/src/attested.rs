//! Heads that nodes attest: deployment modes 2 and 3. Spec: Y.4560 cl. 10.2
//!
//! A node signs what it has read from its own node of a chain. The hub believes t of n of them, and
//! so does the chain's gateway; mode 2 is n = t = 1.

use crate::{
    Address, Height, UnixMillis, abi_struct,
    header::Signature,
    id::{BlockId, ChainId},
    lane::LaneLeaf,
};

/// The most nodes of one link.
pub const NODES_MAX: usize = 32;
/// What a node must be able to do to serve a link of mode 3: the interworking function.
/// Req: Y4560-10.2-3.2
pub const INTERWORKING: u32 = 1;

abi_struct! {
    /// From what a client of attested heads starts.
    pub struct AttestedAnchor {
        /// The chain.
        pub chain: ChainId,
        /// A final height there.
        pub height: Height,
        /// The block there.
        pub block_id: BlockId,
        /// Its time.
        pub time: UnixMillis,
        /// The nodes' keys, ascending.
        pub keys: Vec<Address>,
        /// How many of them must agree.
        pub threshold: u32,
        /// The verifier that bounds the trusted node of mode 2; empty for none.
        pub bound_kind: String,
        /// What that verifier starts from.
        pub bound_anchor: Vec<u8>,
    }
}

abi_struct! {
    /// Why a lane leaf of an attested chain is to be believed.
    pub struct AttestedProof {
        /// A final height of the chain.
        pub height: Height,
        /// The block there.
        pub block_id: BlockId,
        /// Its time.
        pub time: UnixMillis,
        /// The key epoch in which it was signed.
        pub key_epoch: u32,
        /// 65 bytes each, one after the other, ascending by signer.
        pub signatures: Vec<u8>,
        /// For a bounded client: the head proof of its inner verifier. Else empty.
        pub bound: Vec<u8>,
    }
}

abi_struct! {
    /// Two statements for one lane or one height that cannot both be true.
    pub struct Deviation {
        /// The one leaf.
        pub leaf_a: LaneLeaf,
        /// Who says so, and of which block.
        pub proof_a: AttestedProof,
        /// The other leaf.
        pub leaf_b: LaneLeaf,
        /// Who says so, and of which block.
        pub proof_b: AttestedProof,
    }
}

abi_struct! {
    /// A node that serves a link, with the proof that it holds a key on either side.
    /// Req: Y4560-10.2-2.1, Y4560-10.2-3.1
    pub struct SharedNode {
        /// Its key on the hub, with which it attests what it reads from the chain.
        pub hub_key: Address,
        /// Its key on the chain, with which it attests what it reads from the hub.
        pub chain_key: Address,
        /// What it says it can do; see [`INTERWORKING`].
        pub capabilities: u32,
        /// By the hub key over the challenge that names both.
        pub hub_signature: Signature,
        /// By the chain key over the same.
        pub chain_signature: Signature,
    }
}

impl AttestedProof {
    /// The words of a statement besides the leaf, as they are signed.
    #[must_use]
    pub fn block(&self) -> (Height, BlockId, UnixMillis) {
        (self.height, self.block_id, self.time)
    }
}
