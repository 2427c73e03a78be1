//! The verifier of EVM heads, whatever way the chain agrees.
//!
//! How a chain comes to final blocks is its [`Consensus`]; what a client is besides (the link and
//! gateway that it serves, trusting period, freeze, recovery) and how a head is proved under a final
//! block is the same for all, and stands here once.

use crate::{
    proof::{self, AdvanceSize, EvmHeadProof, EvmMisbehaviour, EvmUpdate},
    storage,
};
use borsh::{BorshDeserialize, BorshSerialize};
use std::{fmt, marker::PhantomData};
use tombolo_crypto::{
    client::{AHEAD_MS_MAX, Frozen},
    digest::Preimage,
    keccak256::keccak256,
};
use tombolo_types::{
    Address, Class, Hash, Height, Refusal, UnixMillis, ensure,
    id::{BlockId, ChainId, LinkId},
    lane::LaneLeaf,
    refuse,
    verifier::{
        ClientStatus, ClientView, Conviction, HeadError, LinkTerms, VerifiedHead, Verifier,
    },
};

/// How many of the newest final blocks a client remembers; heads are proved under these.
pub const REMEMBERED_MAX: usize = 64;

/// A final block of an EVM chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// Its number.
    pub height: Height,
    /// Its hash.
    pub id: BlockId,
    /// Its time: seconds, times 1000.
    pub time: UnixMillis,
    /// The root of the world state after it.
    pub state_root: Hash,
}

/// Why an advance is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setback {
    /// It proves nothing; nothing changes.
    Refused(Refusal),
    /// It proves what contradicts what was proved before, which this sentence says.
    Contradiction(String),
}

impl From<Refusal> for Setback {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// How chains of one kind come to final blocks, and how far a client has followed one.
pub trait Consensus: BorshSerialize + BorshDeserialize + Clone + Send + Sync {
    /// The name under which links choose it.
    const KIND: &'static str;
    /// What moves a client, read from its canonical bytes.
    type Advance;

    /// The chain that an anchor names, and a client's part that starts from it.
    ///
    /// # Errors
    /// `E_VERSION`, `E_FORMAT`, `E_LIMIT` or `E_PROOF` where the anchor is none.
    fn start(anchor: &[u8]) -> Result<(ChainId, Self), Refusal>;

    /// The final blocks that are remembered, ascending; one at least.
    fn remembered(&self) -> impl DoubleEndedIterator<Item = &Block>;

    /// The root of the set that must vouch for what comes next, and the first position for which
    /// it does.
    fn set(&self) -> (Hash, Height);

    /// Reads an advance, and checks what needs no signature.
    ///
    /// # Errors
    /// `E_VERSION`, `E_FORMAT`, `E_LIMIT`, in this order.
    fn read(&self, advance: &[u8]) -> Result<Self::Advance, Refusal>;

    /// Moves by an advance, and gives the blocks that it proves final, lower ones that the client
    /// does not remember included. One that shows nothing new is true and moves nothing.
    ///
    /// # Errors
    /// [`Setback`]; what was moved before it is lost.
    fn advance(&mut self, advance: &Self::Advance, now: UnixMillis) -> Result<Vec<Block>, Setback>;

    /// How many signature checks an advance of this size costs.
    fn weight(advance: AdvanceSize) -> u64;
}

/// The id of an EVM chain (docs/adr/0008).
#[must_use]
pub fn chain_id(eip155: u64, genesis: Hash) -> ChainId {
    Preimage::tagged("evm-chain").number(eip155).word(genesis).finish().into()
}

/// A time in seconds as the ledgers of this protocol count it.
pub(crate) fn time_of(seconds: u64) -> UnixMillis {
    UnixMillis(seconds.saturating_mul(1000))
}

/// Refuses the time of `what` where it is further ahead of `now` than honest clocks differ.
pub(crate) fn ensure_not_ahead(
    what: fmt::Arguments<'_>,
    time: UnixMillis,
    now: UnixMillis,
) -> Result<(), Refusal> {
    ensure!(
        time.since(now) <= AHEAD_MS_MAX,
        Proof,
        "the time {time} of {what} is {} ms ahead of this ledger's {now}, more than \
         {AHEAD_MS_MAX} ms; compare both ledgers' clocks and try again later",
        time.since(now)
    );
    Ok(())
}

/// A client as it is kept in replicated state.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Client<C> {
    /// The chain.
    pub chain_id: ChainId,
    /// The link that it serves.
    pub link: LinkId,
    /// The gateway on the chain.
    pub gateway: Address,
    /// For how long after the newest final block's time it trusts, in milliseconds.
    pub trusting_period_ms: u64,
    /// Set once it has seen a contradiction.
    pub frozen: Option<Frozen>,
    /// How far it has followed the chain.
    pub consensus: C,
}

impl<C: Consensus> Client<C> {
    fn start(
        anchor: &[u8],
        link: LinkId,
        gateway: Address,
        trusting_period_ms: u64,
        now: UnixMillis,
    ) -> Result<Self, Refusal> {
        let (chain_id, consensus) = C::start(anchor)?;
        ensure!(trusting_period_ms > 0, Format, "the trusting period is zero milliseconds");
        ensure!(!gateway.is_zero(), Format, "the gateway's address is zero");
        let client = Self { chain_id, link, gateway, trusting_period_ms, frozen: None, consensus };
        let Block { height, time, .. } = client.newest()?;
        ensure_not_ahead(format_args!("block {height}"), time, now)?;
        ensure!(
            client.status(now)? != ClientStatus::Expired,
            Proof,
            "the anchor at block {height} of chain {chain_id} is {} ms old, the trusting period is \
             {trusting_period_ms} ms; take a newer block of the chain as anchor",
            now.since(time)
        );
        Ok(client)
    }

    fn encode(&self) -> Vec<u8> {
        // Borsh fails only where the writer fails or a collection has 2^32 items; here neither is.
        borsh::to_vec(self).unwrap_or_default()
    }

    /// Reads a client from replicated state.
    ///
    /// # Errors
    /// `E_FORMAT` for other bytes.
    pub fn decode(client: &[u8]) -> Result<Self, Refusal> {
        borsh::from_slice(client).map_err(|error| {
            let bytes = client.len();
            let sentence = format!("{bytes} bytes are not a client of kind `{}`: {error}", C::KIND);
            Refusal::new(Class::Format, sentence)
        })
    }

    fn newest(&self) -> Result<Block, Refusal> {
        match self.consensus.remembered().next_back() {
            Some(block) => Ok(*block),
            None => refuse!(Format, "the client of chain {} remembers no block", self.chain_id),
        }
    }

    fn status(&self, now: UnixMillis) -> Result<ClientStatus, Refusal> {
        Ok(match self.frozen {
            Some(_) => ClientStatus::Frozen,
            None => ClientStatus::by_age(self.newest()?.time, now, self.trusting_period_ms),
        })
    }

    /// Refuses a client that accepts nothing any more.
    fn ensure_usable(&self, now: UnixMillis) -> Result<(), Refusal> {
        let chain = self.chain_id;
        match self.status(now)? {
            ClientStatus::Active | ClientStatus::Expiring => Ok(()),
            ClientStatus::Expired => {
                let Block { height, time, .. } = self.newest()?;
                refuse!(
                    Proof,
                    "the client of chain {chain} has expired: its newest final block, {height}, is \
                     {} ms old, the trusting period is {} ms; recover it with a new trusted block",
                    now.since(time),
                    self.trusting_period_ms
                );
            }
            ClientStatus::Frozen => refuse!(
                Proof,
                "the client of chain {chain} is frozen by contradicting blocks; recover it with a \
                 new trusted block"
            ),
        }
    }

    /// Moves the client by an advance and gives the blocks that it proves final, or freezes the
    /// client. `evidence` is what brought the advance.
    fn advance(
        &mut self,
        advance: Option<&C::Advance>,
        now: UnixMillis,
        evidence: &[u8],
    ) -> Result<Vec<Block>, HeadError> {
        let Some(advance) = advance else { return Ok(Vec::new()) };
        let before = self.consensus.clone();
        match self.consensus.advance(advance, now) {
            Ok(proved) => Ok(proved),
            Err(Setback::Refused(refusal)) => Err(refusal.into()),
            Err(Setback::Contradiction(what)) => {
                self.consensus = before;
                self.frozen = Some(Frozen { at: now, evidence: keccak256(evidence) });
                let sentence = format!("{what}; the client of chain {} is frozen", self.chain_id);
                let refusal = Refusal::new(Class::Proof, sentence);
                Err(HeadError::Contradiction { client: self.encode(), refusal })
            }
        }
    }

    /// The final block at this height, remembered or just proved.
    fn final_block(&self, height: Height, proved: &[Block]) -> Result<Block, Refusal> {
        let mut all = self.consensus.remembered().rev().chain(proved);
        if let Some(block) = all.find(|block| block.height == height) {
            return Ok(*block);
        }
        let newest = self.newest()?.height;
        ensure!(
            height <= newest,
            Finality,
            "block {height} of chain {} is not final: the newest that is has height {newest}; wait, \
             or bring what makes it final",
            self.chain_id
        );
        refuse!(
            Proof,
            "block {height} of chain {} is not among the {REMEMBERED_MAX} newest final blocks that \
             the client remembers, up to {newest}; prove under one of these",
            self.chain_id
        )
    }

    /// Refuses an anchor that goes against what this client accepted.
    fn ensure_followed_by(&self, anchor: &Block) -> Result<(), Refusal> {
        let newest = self.newest()?;
        ensure!(
            anchor.height >= newest.height,
            Proof,
            "the anchor's height {} is below {}, the newest that was accepted",
            anchor.height,
            newest.height
        );
        ensure!(
            anchor.height > newest.height || anchor.id == newest.id,
            Proof,
            "the anchor names block {} at height {}, where {} was accepted",
            anchor.id,
            newest.height,
            newest.id
        );
        ensure!(
            anchor.height == newest.height || anchor.time > newest.time,
            Proof,
            "the anchor's time {} is not after {}, that of the newest accepted block below it",
            anchor.time,
            newest.time
        );
        Ok(())
    }

    fn verified(&self, block: Block, code_hash: Option<Hash>) -> VerifiedHead {
        VerifiedHead {
            client: self.encode(),
            height: block.height,
            block_id: block.id,
            time: block.time,
            code_hash,
        }
    }
}

/// The verifier of one kind of EVM chain. It holds nothing; the client's bytes hold all.
#[derive(Debug)]
pub struct EvmVerifier<C>(PhantomData<fn() -> C>);

impl<C> EvmVerifier<C> {
    /// The verifier.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<C> Default for EvmVerifier<C> {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads an advance; none where there are no bytes.
fn read<C: Consensus>(consensus: &C, advance: &[u8]) -> Result<Option<C::Advance>, Refusal> {
    (!advance.is_empty()).then(|| consensus.read(advance)).transpose()
}

impl<C: Consensus> Verifier for EvmVerifier<C> {
    fn kind(&self) -> &'static str {
        C::KIND
    }

    fn start(&self, anchor: &[u8], terms: &LinkTerms, now: UnixMillis) -> Result<Vec<u8>, Refusal> {
        let LinkTerms { link, gateway, trusting_period_ms, .. } = *terms;
        Ok(Client::<C>::start(anchor, link, gateway, trusting_period_ms, now)?.encode())
    }

    fn view(&self, client: &[u8], now: UnixMillis) -> Result<ClientView, Refusal> {
        let client = Client::<C>::decode(client)?;
        let newest = client.newest()?;
        let (validators_root, set_since) = client.consensus.set();
        Ok(ClientView {
            chain: client.chain_id,
            height: newest.height,
            block_id: newest.id,
            newest_time: newest.time,
            set_since,
            validators_root,
            key_epoch: 0,
            status: client.status(now)?,
            trusting_period_ms: client.trusting_period_ms,
        })
    }

    fn head(
        &self,
        client: &[u8],
        now: UnixMillis,
        proof: &[u8],
        leaf: &LaneLeaf,
    ) -> Result<VerifiedHead, HeadError> {
        let mut client = Client::<C>::decode(client)?;
        let EvmHeadProof { height, advance, nodes } =
            EvmHeadProof::decode(proof).map_err(Refusal::from)?;
        // A version that this code does not read is named as such, whatever else is wrong (rule G1).
        let advance = read(&client.consensus, &advance)?;
        client.ensure_usable(now)?;
        let proved = client.advance(advance.as_ref(), now, proof)?;
        let block = client.final_block(height, &proved)?;
        let (proved, code_hash) =
            storage::prove_lane(&nodes, block.state_root, client.gateway, client.link, leaf.lane)?;
        storage::ensure_same(&proved, leaf)?;
        Ok(client.verified(block, Some(code_hash)))
    }

    fn update(
        &self,
        client: &[u8],
        now: UnixMillis,
        update: &[u8],
    ) -> Result<VerifiedHead, HeadError> {
        let mut client = Client::<C>::decode(client)?;
        let EvmUpdate { height, advance } = EvmUpdate::decode(update).map_err(Refusal::from)?;
        let advance = read(&client.consensus, &advance)?;
        client.ensure_usable(now)?;
        let proved = client.advance(advance.as_ref(), now, update)?;
        let block = client.final_block(height, &proved)?;
        Ok(client.verified(block, None))
    }

    fn misbehaviour(
        &self,
        client: &[u8],
        now: UnixMillis,
        evidence: &[u8],
    ) -> Result<Conviction, Refusal> {
        let mut client = Client::<C>::decode(client)?;
        let EvmMisbehaviour { advance_a, advance_b } = EvmMisbehaviour::decode(evidence)?;
        let a = read(&client.consensus, &advance_a)?;
        let b = read(&client.consensus, &advance_b)?;
        client.ensure_usable(now)?;
        // A client that believes the one must contradict the other. What it is given back is the
        // client as it was, frozen: believing either of two that contradict is for a recovery.
        let mut trial = client.clone();
        for advance in [a, b] {
            match trial.advance(advance.as_ref(), now, evidence) {
                Ok(_) => {}
                Err(HeadError::Refused(refusal)) => return Err(refusal),
                Err(HeadError::Contradiction { .. }) => {
                    client.frozen = trial.frozen;
                    return Ok(Conviction::Frozen { client: client.encode() });
                }
            }
        }
        refuse!(
            Proof,
            "the evidence shows no contradiction: what it proves can stand on one chain {}; look \
             for two final blocks that cannot",
            client.chain_id
        )
    }

    fn recover(
        &self,
        client: &[u8],
        anchor: &[u8],
        now: UnixMillis,
    ) -> Result<VerifiedHead, Refusal> {
        let old = Client::<C>::decode(client)?;
        let new = Client::<C>::start(anchor, old.link, old.gateway, old.trusting_period_ms, now)?;
        ensure!(
            new.chain_id == old.chain_id,
            Proof,
            "the anchor is of chain {}, the client follows {}; another chain needs another link",
            new.chain_id,
            old.chain_id
        );
        let block = new.newest()?;
        if old.frozen.is_none() {
            old.ensure_followed_by(&block)?;
        }
        Ok(new.verified(block, None))
    }

    fn weight(&self, proof: &[u8]) -> u64 {
        proof::weight(proof, C::weight)
    }
}
