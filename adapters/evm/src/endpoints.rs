//! Several RPC nodes of one chain, and what is believed of what they say.
//!
//! A node may lie, lag or contradict another. What can be proved is proved to the other side's
//! verifier; what cannot is believed when enough nodes say the same. Tags (`latest`, `finalized`) are
//! first pinned to a height that enough nodes have reached, for honest nodes differ there (attack
//! A24); then two hashes of one height are a contradiction, which stops the adapter and is kept
//! (attack A26). Fewer answers than must agree are no answer: a node that is away never lowers the
//! number (attack A23).

mod notice;
mod per_block;
mod tips;

pub(crate) use per_block::PerBlock;

use crate::{
    config::{Finality, Rpc},
    refusal,
    transport::{Transport, node_name},
};
use alloy::{
    eips::{BlockId, BlockNumberOrTag},
    network::Ethereum,
    primitives::B256,
    providers::{Provider, RootProvider},
    rpc::{client::ClientBuilder, types::Block},
    transports::{
        TransportError,
        layers::{RetryBackoffLayer, ThrottleLayer},
        utils::guess_local_url,
    },
};
use notice::Notice;
use std::{
    fmt::Debug,
    future::Future,
    num::NonZeroU32,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tombolo_adapter::AdapterError;
use tombolo_types::{Class, Hash, Height, Refusal, UnixMillis, id::ChainId};

/// One RPC node.
struct Endpoint {
    name: String,
    provider: RootProvider<Ethereum>,
}

/// A block as enough nodes show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenBlock {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its time, in milliseconds.
    pub time: UnixMillis,
    /// Its base fee, in wei for one gas; 0 where there is none.
    pub base_fee: u128,
    /// How much gas it may hold.
    pub gas_limit: u64,
}

impl SeenBlock {
    fn of(block: &Block) -> Self {
        let header = &block.header;
        Self {
            number: header.number,
            hash: header.hash,
            time: UnixMillis(header.timestamp.saturating_mul(1_000)),
            base_fee: u128::from(header.base_fee_per_gas.unwrap_or_default()),
            gas_limit: header.gas_limit,
        }
    }

    /// Its height as the rest of Tombolo counts.
    #[must_use]
    pub fn height(&self) -> Height {
        Height(self.number)
    }

    /// Its id as the rest of Tombolo writes it.
    #[must_use]
    pub fn id(&self) -> Hash {
        Hash(self.hash.0)
    }
}

/// All RPC nodes of one chain.
pub struct Endpoints {
    chain: ChainId,
    all: Vec<Endpoint>,
    agree: usize,
    /// The number of the first node that had the newest final block when all were last asked for it.
    answering: AtomicUsize,
    finality: Finality,
    /// The highest final height that was ever shown: one that goes back is a lagging node's.
    highest: AtomicU64,
    /// The newest final block that was ever shown: one that goes away was not final (attack A27).
    newest: Mutex<Option<SeenBlock>>,
    /// What contradicted what; once set, nothing is believed before an operator has looked.
    contradiction: Mutex<Option<String>>,
    /// New blocks, as a node that answers shows them.
    notice: Notice,
}

impl Endpoints {
    /// The ways to every node; one that cannot be reached now may answer later.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`] for an address that cannot be one.
    pub fn new(chain: ChainId, rpc: &Rpc, finality: Finality) -> Result<Self, AdapterError> {
        let answer_within = Duration::from_millis(rpc.answer_ms);
        let mut all = Vec::with_capacity(rpc.urls.len());
        for url in &rpc.urls {
            let per_second = NonZeroU32::new(rpc.requests_per_second).unwrap_or(NonZeroU32::MAX);
            let name = node_name(url);
            let node =
                Transport::to(url, answer_within).map_err(|error| AdapterError::NoAnswer {
                    chain,
                    doing: "reading the address of an RPC node",
                    why: format!("{name}: {error}"),
                })?;
            // From the outside in: how often is asked, how often again, how long each time.
            let client = ClientBuilder::default()
                .layer(ThrottleLayer::new_with_burst(per_second.get(), per_second))
                .layer(RetryBackoffLayer::new(rpc.retries, rpc.retry_first_ms, u64::MAX))
                .transport(node, guess_local_url(url));
            all.push(Endpoint { name, provider: RootProvider::new(client) });
        }
        Ok(Self {
            chain,
            agree: rpc.agree,
            answering: AtomicUsize::new(0),
            all,
            finality,
            highest: AtomicU64::new(0),
            newest: Mutex::new(None),
            contradiction: Mutex::new(None),
            notice: Notice::new(),
        })
    }

    /// The chain.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// A node that answers and has not fallen behind, as far as is known: for what is proved anyway,
    /// and for sending.
    #[must_use]
    pub fn any(&self) -> &RootProvider<Ethereum> {
        // Configuration refuses an empty list.
        &self.all[self.answering.load(Ordering::Relaxed)].provider
    }

    /// All nodes, beginning with [`Self::any`]: what is sent goes to each.
    pub fn each(&self) -> impl Iterator<Item = &RootProvider<Ethereum>> {
        let first = self.answering.load(Ordering::Relaxed);
        let all = self.all.iter().cycle().skip(first).take(self.all.len());
        all.map(|endpoint| &endpoint.provider)
    }

    /// The answer of the first node that has one, for what is proved anyway. A node that does not
    /// have it yet is passed over (attack A25).
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`] where none has.
    pub async fn first<'e, T, F>(
        &'e self,
        doing: &'static str,
        ask: impl Fn(&'e RootProvider<Ethereum>) -> F,
    ) -> Result<T, AdapterError>
    where
        F: Future<Output = Result<Option<T>, TransportError>>,
    {
        let mut silent = Silent::default();
        for Endpoint { name, provider } in &self.all {
            match ask(provider).await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => silent.says(name, "unknown"),
                Err(error) => silent.fails(name, &error),
            }
        }
        Err(silent.error(self.chain, doing, ""))
    }

    /// The first node that has a block, of those after the first `skip`, which come last.
    ///
    /// # Errors
    /// As [`Self::first`].
    pub async fn holder(
        &self,
        block: &SeenBlock,
        skip: usize,
    ) -> Result<&RootProvider<Ethereum>, AdapterError> {
        let mut silent = Silent::default();
        for Endpoint { name, provider } in self.all.iter().cycle().skip(skip).take(self.all.len()) {
            match provider.get_block(BlockId::hash(block.hash)).await {
                Ok(Some(_)) => return Ok(provider),
                Ok(None) => silent.says(name, "unknown"),
                Err(error) => silent.fails(name, &error),
            }
        }
        let doing = "looking for a node that has a block";
        Err(silent.error(self.chain, doing, &format!("{}: ", block.hash)))
    }

    /// The error of a node that gives no answer.
    #[must_use]
    pub fn no_answer(&self, doing: &'static str, why: impl std::fmt::Display) -> AdapterError {
        AdapterError::NoAnswer { chain: self.chain, doing, why: why.to_string() }
    }

    /// The error of a node where a call reverted, where it lets only others in, or where it failed.
    #[must_use]
    pub fn failed(&self, doing: &'static str, error: &TransportError) -> AdapterError {
        match refusal::of_error(error).or_else(|| refusal::of_shut_door(error)) {
            Some(refusal) => AdapterError::Refused { chain: self.chain, refusal },
            None => self.no_answer(doing, error),
        }
    }

    fn ensure_sound(&self) -> Result<(), AdapterError> {
        let found = self.contradiction.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match found {
            None => Ok(()),
            Some(why) => Err(AdapterError::Contradiction { chain: self.chain, why }),
        }
    }

    /// Keeps the evidence, and believes nothing from now on.
    fn contradict(&self, why: String) -> AdapterError {
        tracing::error!(chain = %self.chain, evidence = why, "rpc nodes contradict each other");
        let mut kept = self.contradiction.lock().unwrap_or_else(PoisonError::into_inner);
        let why = kept.get_or_insert(why).clone();
        AdapterError::Contradiction { chain: self.chain, why }
    }

    /// Asks every node, one future each, and gives the answers by node.
    async fn ask<'e, T, F>(
        &'e self,
        ask: impl Fn(&'e RootProvider<Ethereum>) -> F,
    ) -> Vec<(&'e str, Result<T, TransportError>)>
    where
        F: Future<Output = Result<T, TransportError>>,
    {
        let asked = self.all.iter().map(|endpoint| {
            let answer = ask(&endpoint.provider);
            async move { (endpoint.name.as_str(), answer.await) }
        });
        futures_util::future::join_all(asked).await
    }

    /// What at least so many nodes say as must agree. An answer that is absent (`None`) is unknown,
    /// not a word against (attack A25).
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`] where too few answer; [`AdapterError::Contradiction`] where two
    /// answers differ, which stops everything.
    pub async fn agreed<'e, T, F>(
        &'e self,
        doing: &'static str,
        ask: impl Fn(&'e RootProvider<Ethereum>) -> F,
    ) -> Result<T, AdapterError>
    where
        T: Clone + Debug + PartialEq,
        F: Future<Output = Result<Option<T>, TransportError>>,
    {
        self.ensure_sound()?;
        let (said, silent) = heard(self.ask(ask).await, "unknown");
        if let [(_, first, one), rest @ ..] = said.as_slice()
            && let Some((_, second, other)) = rest.iter().find(|(.., other)| other != one)
        {
            return Err(self.contradict(format!(
                "while {doing}, {first} says {one:?} and {second} says {other:?}"
            )));
        }
        let answer = said.len();
        match said.into_iter().next() {
            Some((.., one)) if answer >= self.agree => Ok(one),
            _ => Err(silent.error(self.chain, doing, &self.too_few(answer))),
        }
    }

    fn too_few(&self, answer: usize) -> String {
        format!("{answer} of {} nodes answer, {} must agree: ", self.all.len(), self.agree)
    }

    /// The highest height that as many nodes hold for final as must agree. Never falls.
    async fn final_height(&self) -> Result<u64, AdapterError> {
        self.ensure_sound()?;
        let doing = "asking for the newest final block";
        let (tag, depth) = match self.finality {
            Finality::Tag => (BlockNumberOrTag::Finalized, 0),
            Finality::Depth(depth) => (BlockNumberOrTag::Latest, depth),
        };
        let answers =
            self.ask(|provider| async move { provider.get_block_by_number(tag).await }).await;
        let (found, silent) = heard(answers, "no final block yet");
        let height_of = |block: Block| block.header.number.saturating_sub(depth);
        let mut heights: Vec<_> =
            found.into_iter().map(|(number, _, block)| (height_of(block), number)).collect();
        heights.sort_unstable_by(|one, other| other.cmp(one));
        match self.agree.checked_sub(1).and_then(|last| heights.get(last)) {
            Some((height, _)) => {
                let reached = heights.iter().filter(|(reached, _)| reached >= height);
                if let Some(first) = reached.map(|(_, number)| *number).min() {
                    self.answering.store(first, Ordering::Relaxed);
                }
                let before = self.highest.fetch_max(*height, Ordering::Relaxed);
                Ok(before.max(*height))
            }
            None => Err(silent.error(self.chain, doing, &self.too_few(heights.len()))),
        }
    }

    /// The newest final block. The one that was shown before it must still be there.
    ///
    /// # Errors
    /// As [`Self::agreed`]; [`AdapterError::Contradiction`], too, where a final block has gone, which
    /// stops everything.
    pub async fn newest(&self) -> Result<SeenBlock, AdapterError> {
        let height = self.final_height().await?;
        let newest = self.block(height).await?;
        let before = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let before = before.filter(|before| *before != newest);
        if let Some(before) = before {
            let again = self.block(before.number).await?;
            if again != before {
                return Err(self.contradict(format!(
                    "block {} was final with hash {} and now has hash {}",
                    before.number, before.hash, again.hash
                )));
            }
        }
        let mut kept = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|kept| kept.number < newest.number) {
            *kept = Some(newest.clone());
        }
        Ok(newest)
    }

    /// A final block by its number.
    ///
    /// # Errors
    /// [`AdapterError::NotFinal`] for one above the newest; else as [`Self::agreed`].
    pub async fn final_block(&self, number: u64) -> Result<SeenBlock, AdapterError> {
        self.ensure_sound()?;
        let shown = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(shown) = shown.filter(|shown| shown.number == number) {
            return Ok(shown);
        }
        let newest = self.final_height().await?;
        if number > newest {
            return Err(AdapterError::NotFinal {
                chain: self.chain,
                what: format!("block {number}"),
                newest: Height(newest),
            });
        }
        self.block(number).await
    }

    async fn block(&self, number: u64) -> Result<SeenBlock, AdapterError> {
        self.agreed("asking for a block", |provider| async move {
            let id = BlockId::number(number);
            Ok(provider.get_block(id).await?.map(|block| SeenBlock::of(&block)))
        })
        .await
    }

    /// The newest block of a node that answers, final or not: one node's word, for what waits.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`].
    pub async fn tip(&self) -> Result<SeenBlock, AdapterError> {
        let doing = "asking for the newest block";
        let block = self.any().get_block_by_number(BlockNumberOrTag::Latest).await;
        match block.map_err(|error| self.failed(doing, &error))? {
            Some(block) => {
                let block = SeenBlock::of(&block);
                self.notice.seen(&block);
                Ok(block)
            }
            None => Err(self.no_answer(doing, "there is none")),
        }
    }

    /// What a node says that it serves: the chain's EIP-155 id, and the hash of its block 0.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`].
    pub async fn identify(&self) -> Result<(u64, B256), AdapterError> {
        let doing = "asking for the chain's id";
        let id = self.any().get_chain_id().await;
        let id = id.map_err(|error| self.failed(doing, &error))?;
        let first = self.any().get_block(BlockId::number(0)).await;
        let first = first.map_err(|error| self.failed(doing, &error))?;
        let first = first.ok_or_else(|| self.no_answer(doing, "there is no block 0"))?;
        Ok((id, first.header.hash))
    }

    /// Refuses nodes of another chain. One that is away is not asked; should it serve another chain
    /// once it is back, its first block is a contradiction. Req: D35-I.2-1
    ///
    /// # Errors
    /// [`AdapterError::Refused`] with `E_PROOF` where one of them is; [`AdapterError::NoAnswer`] where
    /// fewer answer than must agree.
    pub async fn check_chain(&self, evm_chain_id: u64, genesis: B256) -> Result<(), AdapterError> {
        let answers = self
            .ask(|provider| async move {
                let id = provider.get_chain_id().await?;
                let block = provider.get_block(BlockId::number(0)).await?;
                Ok(Some((id, block.map(|block| block.header.hash))))
            })
            .await;
        let (found, silent) = heard(answers, "unknown");
        for (_, name, (id, found)) in &found {
            if (*id, *found) != (evm_chain_id, Some(genesis)) {
                let message = format!(
                    "{name} serves chain {id} with genesis {found:?}, not chain {evm_chain_id} with \
                     {genesis}"
                );
                let refusal = Refusal::new(Class::Proof, message);
                return Err(AdapterError::Refused { chain: self.chain, refusal });
            }
        }
        if found.len() < self.agree {
            let doing = "asking for the chain's id";
            return Err(silent.error(self.chain, doing, &self.too_few(found.len())));
        }
        if let Some((first, ..)) = found.first() {
            self.answering.store(*first, Ordering::Relaxed);
        }
        if !silent.said.is_empty() {
            let silent = silent.said.join("; ");
            tracing::warn!(chain = %self.chain, silent, "starting without some rpc nodes");
        }
        Ok(())
    }
}

/// What nodes say, each with its number and name; and who does not, or does not know.
fn heard<'e, T>(
    answers: Vec<(&'e str, Result<Option<T>, TransportError>)>,
    unknown: &str,
) -> (Vec<(usize, &'e str, T)>, Silent) {
    let (mut said, mut silent) = (Vec::new(), Silent::default());
    for (number, (name, answer)) in answers.into_iter().enumerate() {
        match answer {
            Ok(Some(answer)) => said.push((number, name, answer)),
            Ok(None) => silent.says(name, unknown),
            Err(error) => silent.fails(name, &error),
        }
    }
    (said, silent)
}

/// The nodes that did not give what was asked for.
#[derive(Default)]
struct Silent {
    /// Each with its reason.
    said: Vec<String>,
    /// What is wrong with us, where one lets only others in.
    refusal: Option<Refusal>,
}

impl Silent {
    fn says(&mut self, name: &str, what: &str) {
        self.said.push(format!("{name}: {what}"));
    }

    fn fails(&mut self, name: &str, error: &TransportError) {
        self.says(name, &error.to_string());
        self.refusal = self.refusal.take().or_else(|| refusal::of_shut_door(error));
    }

    /// Too few have an answer. Where one of the others lets only others in, that is why: waiting does
    /// not mend it.
    fn error(self, chain: ChainId, doing: &'static str, first: &str) -> AdapterError {
        let why = format!("{first}{}", self.said.join("; "));
        match self.refusal {
            None => AdapterError::NoAnswer { chain, doing, why },
            Some(Refusal { class, message }) => {
                let refusal = Refusal::new(class, format!("{message} ({doing}: {why})"));
                AdapterError::Refused { chain, refusal }
            }
        }
    }
}
