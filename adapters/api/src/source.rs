//! What a chain has sent, and how it proves it.

use crate::{Ability, AdapterError, ClientView, Declare};
use async_trait::async_trait;
use tombolo_crypto::{digest, tree};
use tombolo_types::{
    Epoch, Hash, Height, MessageNumber, UnixMillis,
    header::Header,
    id::{BlockId, LinkId},
    lane::{LaneKey, LaneLeaf, RangeProof},
    transaction::HeadProof,
};

/// The newest final block of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// Its height.
    pub height: Height,
    /// Its id.
    pub block_id: BlockId,
    /// Its time.
    pub time: UnixMillis,
    /// The root of the set that certifies it; zero where the chain has no such sets.
    pub validators_root: Hash,
}

/// Whether one end of a link takes what is brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Registered; takes Hello alone.
    Proposed,
    /// Takes everything.
    Open,
    /// Takes no new request; decisions and answers pass.
    Paused,
    /// Frozen or closed; takes nothing.
    Shut,
}

/// A lane leaf with what makes others believe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvedLeaf {
    /// What the chain commits to.
    pub leaf: LaneLeaf,
    /// For the link's verifier on the other side.
    pub head_proof: Vec<u8>,
    /// How many of its messages the chain knows to be taken. Not proved: it only says when a
    /// delivery without messages is worth its price.
    pub taken: u64,
    /// Time of the newest block of the other side up to which the chain has taken everything of
    /// this lane. Not proved either: it only says when a renewal is due.
    pub current_at: UnixMillis,
}

/// Confirms a leaf of a ledger that proves its leaves by a path to its own header: `own` is the
/// header that its own node has at that height.
///
/// # Errors
/// What differs.
pub fn confirm_by_header(
    own: &Header,
    head: &ChainHead,
    leaf: &LaneLeaf,
    proof: &[u8],
) -> Result<(), String> {
    let HeadProof { header, index, count, path, .. } =
        HeadProof::decode(proof).map_err(|error| error.to_string())?;
    let block_id = digest::block_id(own);
    if header != *own || (head.block_id, head.time) != (block_id, own.time) {
        return Err(format!("block {} at height {} is not {block_id}", head.block_id, own.height));
    }
    tree::verify_path(digest::lane_leaf(leaf), index, count, &path, own.lanes_root)
        .map_err(|error| error.to_string())
}

/// One end of a link as one final block commits to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkHead {
    /// The block.
    pub head: ChainHead,
    /// Where the link stands there.
    pub standing: Standing,
    /// Every lane, ascending by number.
    pub lanes: Vec<ProvedLeaf>,
}

/// Reads what a chain has sent. Nothing that is not final is ever given out.
#[async_trait]
pub trait Source: Declare {
    /// The newest final block.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`].
    async fn newest_head(&self) -> Result<ChainHead, AdapterError>;

    /// Waits until a block above `after` is final, and gives the newest.
    ///
    /// By notification, not by asking again and again. Safe to cancel: nothing is used up.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`] where the connection breaks; waiting itself has no limit.
    async fn next_head(&self, after: Height) -> Result<ChainHead, AdapterError>;

    /// The chain's end of `link`, with every lane, as one final block, the newest, commits to it,
    /// proved to the client that the other side holds.
    ///
    /// # Errors
    /// [`AdapterError::NotFound`] where there is no such link.
    async fn head(&self, link: LinkId, follower: &ClientView) -> Result<LinkHead, AdapterError>;

    /// Whether this chain's own node says the same: that it commits to `leaf` at the final block
    /// `head`. `proof` is what came with the leaf, for chains that read it from there.
    ///
    /// So a node of a link in mode 2 or 3 judges what it is asked to attest.
    ///
    /// # Errors
    /// [`AdapterError::NotFinal`] for a height that is not final here; [`AdapterError::Contradiction`]
    /// where the node says otherwise.
    async fn confirm(
        &self,
        head: &ChainHead,
        leaf: &LaneLeaf,
        proof: &[u8],
    ) -> Result<(), AdapterError>;

    /// At most `count` messages of a lane from `from` on, with proof that they stand in its log at
    /// `size`. Fewer come where the chain's limits on a batch say so, never none.
    ///
    /// # Errors
    /// [`AdapterError::NotFound`] where there is no such lane or epoch, `from` is not below `size`,
    /// or a body is kept no longer; [`AdapterError::NotFinal`] where `size` is above the final one.
    async fn messages(
        &self,
        key: LaneKey,
        epoch: Epoch,
        from: MessageNumber,
        count: u64,
        size: u64,
    ) -> Result<(Vec<Vec<u8>>, RangeProof), AdapterError>;

    /// What brings a client of this chain forward: the change of validators after the set that it
    /// holds, or else a newer header. `None` where there is neither.
    ///
    /// # Errors
    /// [`AdapterError::Unsupported`] without [`Ability::ClientUpdates`].
    async fn client_update(&self, client: &ClientView) -> Result<Option<Vec<u8>>, AdapterError> {
        let _ = client;
        self.descriptor().require(Ability::ClientUpdates)?;
        Ok(None)
    }
}
