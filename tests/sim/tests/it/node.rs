//! One ledger: a process that may die at any step of a block, its disk, and its peers.
//!
//! A block goes through the steps of the engine: build, certify, write, announce. What is not
//! certified when the process dies is lost; what is certified is known to the peers and comes back
//! after the restart. A second validator executes every block on a disk of its own.

mod process;

pub(crate) use process::Process;

use borsh::BorshSerialize;
use tombolo_adapter::{ClientView, LinkHead};
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_ledger::{
    Call, Outcome,
    block::{self, Tip},
    validators,
};
use tombolo_store::Memory;
use tombolo_types::{
    Epoch, Hash, Height, MessageNumber, Refusal, UnixMillis,
    header::Anchor,
    id::{BlockId, ChainId, IdentityId, LinkId},
    lane::{LaneKey, RangeProof},
};

/// Where in a block the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrashAt {
    /// Before the block is built: what waits is lost.
    Begin,
    /// The block is built and nobody has seen it: it is lost.
    Built,
    /// The block is certified and nothing of it is written: the peers hold it.
    Certified,
    /// The disk fails before it has written anything.
    WriteFailed,
    /// The disk has written everything and says that it failed.
    Written,
    /// Everything is written; nobody has been told.
    Unannounced,
}

impl CrashAt {
    pub(crate) const ALL: [Self; 6] = [
        Self::Begin,
        Self::Built,
        Self::Certified,
        Self::WriteFailed,
        Self::Written,
        Self::Unannounced,
    ];
}

/// A block as the checker sees it.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) height: Height,
    pub(crate) id: BlockId,
    pub(crate) time: UnixMillis,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) transactions: Vec<Vec<u8>>,
}

/// A ledger, whatever its machine.
pub(crate) trait Node: Send + Sync {
    fn id(&self) -> ChainId;
    /// What has been flushed; all that anybody outside may see.
    fn disk(&self) -> &Memory;
    fn is_up(&self) -> bool;
    /// Kills the process.
    fn kill(&mut self);
    /// Starts the process again from its disk and its peers; gives the block that the peers held.
    fn restart(&mut self) -> Option<Made>;
    /// Signs a call with the identity's next nonce.
    fn sign(&self, key: &SecretKey, signer: IdentityId, call: Vec<u8>, salt: Hash) -> Vec<u8>;
    /// The door.
    fn arrive(&mut self, transaction: Vec<u8>) -> Result<(), Refusal>;
    fn waiting(&self) -> usize;
    /// Makes a block at `time`, and gives it once the disk holds it. Where the process dies before
    /// that, a certified block comes back from [`Node::restart`], and any other never.
    fn produce(&mut self, time: UnixMillis, crash: Option<CrashAt>) -> Option<Made>;
    /// Puts an older disk in place of the present one, as an operator might after a loss.
    fn roll_back(&mut self, disk: Memory);
    /// A link's end as the newest block commits to it.
    fn link_head(&self, link: LinkId) -> Option<LinkHead>;
    /// A link's client of the other end.
    fn client(&self, link: LinkId) -> Option<ClientView>;
    /// Messages with their proof, where they are still kept.
    fn messages(
        &self,
        key: LaneKey,
        epoch: Epoch,
        from: MessageNumber,
        count: u64,
        size: u64,
    ) -> Option<(Vec<Vec<u8>>, RangeProof)>;
    /// What brings a client of this ledger forward.
    fn client_update(&self, client: &ClientView) -> Option<Vec<u8>>;
    /// Has its validators certify another block at the newest height, and shows both.
    fn fork(&self) -> Vec<u8>;
    /// A copy that shares nothing with this one.
    fn boxed_clone(&self) -> Box<dyn Node>;

    fn tip(&self) -> Tip {
        block::tip(self.disk()).expect("the ledger has a genesis")
    }

    /// What another ledger's client may start from: the newest block.
    fn anchor(&self) -> Anchor {
        let tip = self.tip();
        Anchor {
            chain_id: self.id(),
            height: tip.height,
            block_id: tip.block_id,
            time: tip.time,
            validators: validators::at(self.disk(), tip.height.next()).unwrap(),
        }
    }
}

/// A call that every ledger knows, as bytes: the encoding does not depend on the machine.
pub(crate) fn common(call: &Call<()>) -> Vec<u8> {
    encode(call)
}

/// Borsh fails only where the writer does, and a vector does not.
pub(crate) fn encode(value: &impl BorshSerialize) -> Vec<u8> {
    borsh::to_vec(value).expect("a vector takes all bytes")
}
