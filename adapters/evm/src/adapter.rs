//! One gateway on one EVM chain, as a relayer's account sees it.
//!
//! It decides nothing: what it says is proved to the other side's verifier, attested, or asked
//! again. What it keeps (events, validator sets) is a cache that a restart fills from the chain.

mod items;
mod read;
mod sink;
mod source;

use crate::{
    config::{Config, Finality as Final, Proof},
    contract::{IAttestedGateway, IGateway},
    endpoints::{Endpoints, PerBlock, SeenBlock},
    lanes::SentLanes,
    prove::{BeaconProver, CliqueProver, NoProver, Prover},
    sender::Included,
    sets::NamedSets,
    submit::{Submitter, receipt},
};
use alloy::{
    primitives::{B256, keccak256},
    providers::Provider as _,
    signers::local::PrivateKeySigner,
};
use async_trait::async_trait;
pub use items::{ItemStanding, ItemThere};
pub(crate) use read::{Answers, View};
use std::{collections::BTreeSet, num::NonZeroU64};
use tokio::sync::Mutex;
use tombolo_adapter::{
    Ability, AdapterError, Consensus, Declare, Descriptor, Finality, Limits, Privacy, Query,
    TransactionStatus,
};
use tombolo_types::{
    Class, Hash, Height, Refusal,
    id::{LinkId, TxId},
    lane::MESSAGE_BYTES_MAX,
};

/// The most messages in one delivery: what half of a transaction of 128 KiB holds.
const DELIVERY_MESSAGES_MAX: u64 = 150;
/// The most bytes of messages in one delivery; nodes refuse transactions above 128 KiB.
const DELIVERY_BYTES_MAX: u64 = 96 * 1024;
/// The most deliveries that stand in no block: as many transactions of one account as a node keeps at
/// any time (geth, `txpool.accountslots`).
const DELIVERIES_MAX: u32 = 16;
/// The most deliveries that are not final: what is kept of each, to send it again, is 128 KiB at the
/// most.
const UNFINAL_MAX: u32 = 256;

/// An adapter of one gateway.
pub struct EvmAdapter {
    config: Config,
    endpoints: Endpoints,
    descriptor: Descriptor,
    link: LinkId,
    mode: u8,
    threshold: usize,
    trusting_period_ms: u64,
    prover: Box<dyn Prover>,
    /// The newest height at which heads are shown.
    shown: PerBlock<Height>,
    submitter: Submitter,
    answers: Answers,
    sent: Mutex<SentLanes>,
    sets: Mutex<NamedSets>,
}

impl EvmAdapter {
    /// Connects, and checks that the nodes serve the chain and the contract is there.
    ///
    /// # Errors
    /// [`AdapterError::Refused`] with `E_PROOF` for another chain; [`AdapterError::NotFound`]
    /// where there is another contract at the address; [`AdapterError::NotFinal`] where there is
    /// none yet; [`AdapterError::NoAnswer`].
    pub async fn connect(config: Config, signer: PrivateKeySigner) -> Result<Self, AdapterError> {
        let chain = config.chain();
        let endpoints = Endpoints::new(chain, &config.rpc, config.finality)?;
        endpoints.check_chain(config.evm_chain_id, config.genesis).await?;
        let gateway = config.gateway;
        let missing = |error| match error {
            AdapterError::Refused { .. } | AdapterError::Contradiction { .. } => {
                AdapterError::NotFound { chain, what: format!("gateway at {gateway}") }
            }
            other => other,
        };
        let at = endpoints.newest().await?;
        let answers = Answers::default();
        let view = View::at((&endpoints, &answers), gateway, &at);
        let link = view.get(IGateway::linkCall {}).await.map_err(missing)?;
        let own = view.get(IGateway::chainCall {}).await.map_err(missing)?;
        if own.0 != chain.0 {
            let message = format!("the gateway at {gateway} was made for chain {own}, not {chain}");
            let refusal = Refusal::new(Class::Proof, message);
            return Err(AdapterError::Refused { chain, refusal });
        }
        let mode = view.get(IGateway::modeCall {}).await.map_err(missing)?;
        let trusting_period_ms =
            view.get(IGateway::trustingPeriodMsCall {}).await.map_err(missing)?;
        let threshold = match mode {
            1 => 0,
            _ => {
                let keys = view.get(IAttestedGateway::nodeKeysCall {}).await.map_err(missing)?;
                usize::try_from(keys.threshold).unwrap_or(usize::MAX)
            }
        };
        let link = Hash(link.0).into();
        let prover: Box<dyn Prover> = match (&config.proof, config.finality) {
            (Proof::None, _) => Box::new(NoProver),
            (Proof::Clique, Final::Depth(depth)) => Box::new(CliqueProver { depth }),
            (Proof::Clique, Final::Tag) => {
                let message = "a Clique chain marks nothing as final; give a depth of more than half of its signers";
                let refusal = Refusal::new(Class::Format, message.to_owned());
                return Err(AdapterError::Refused { chain, refusal });
            }
            (Proof::Beacon { url }, _) => Box::new(BeaconProver::connect(chain, url).await?),
        };
        Ok(Self {
            descriptor: descriptor(&config),
            submitter: Submitter::new(signer, config.evm_chain_id, config.fees),
            answers,
            sent: Mutex::new(SentLanes::new(gateway, link, config.from_block)),
            sets: Mutex::new(NamedSets::new(gateway, config.from_block)),
            endpoints,
            link,
            mode,
            threshold,
            trusting_period_ms,
            prover,
            shown: PerBlock::default(),
            config,
        })
    }

    /// The link that the gateway serves.
    #[must_use]
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// The deployment mode of the gateway, 1 to 3.
    #[must_use]
    pub fn mode(&self) -> u8 {
        self.mode
    }

    /// How many nodes must attest a head of the hub, as of the start; 0 in mode 1.
    #[must_use]
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// The hash of the gateway's code at the newest final block.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`]; [`AdapterError::Contradiction`].
    pub async fn code_hash(&self) -> Result<Hash, AdapterError> {
        let (doing, at) = ("asking for code", self.endpoints.newest().await?.hash);
        let code = self
            .endpoints
            .agreed(doing, |provider| async move {
                let code = provider.get_code_at(self.config.gateway).block_id(at.into()).await?;
                Ok(Some(code))
            })
            .await?;
        Ok(Hash(keccak256(&code).0))
    }

    /// The account that pays.
    #[must_use]
    pub fn account(&self) -> alloy::primitives::Address {
        self.submitter.address()
    }

    /// The gateway at a block.
    fn view(&self, block: &SeenBlock) -> View<'_> {
        View::at((&self.endpoints, &self.answers), self.config.gateway, block)
    }

    fn ensure_link(&self, link: LinkId) -> Result<(), AdapterError> {
        if link == self.link {
            return Ok(());
        }
        let chain = self.descriptor.chain_id;
        Err(AdapterError::NotFound { chain, what: format!("link {link}") })
    }

    fn refused(&self, refusal: Refusal) -> AdapterError {
        AdapterError::Refused { chain: self.descriptor.chain_id, refusal }
    }
}

fn descriptor(config: &Config) -> Descriptor {
    let finality = match config.finality {
        Final::Tag => Finality::Checkpoint,
        Final::Depth(depth) => NonZeroU64::new(depth).map_or(Finality::Instant, Finality::Depth),
    };
    let consensus = match config.proof {
        Proof::Clique => Consensus::CrashTolerant,
        Proof::None | Proof::Beacon { .. } => Consensus::ProofOfStake,
    };
    let mut abilities = BTreeSet::from([
        Ability::Contracts,
        Ability::Hashlock,
        Ability::ProvableLock,
        Ability::Misbehaviour,
        Ability::Query,
    ]);
    if config.proof != Proof::None {
        abilities.extend([Ability::ProvenHeads, Ability::ClientUpdates]);
    }
    Descriptor {
        kind: "evm".into(),
        chain_id: config.chain(),
        finality,
        consensus,
        currency: Some("ETH".into()),
        privacy: Privacy::Public,
        limits: Limits {
            message_bytes_max: MESSAGE_BYTES_MAX as u64,
            batch_messages_max: DELIVERY_MESSAGES_MAX,
            batch_bytes_max: DELIVERY_BYTES_MAX,
            deliveries_max: DELIVERIES_MAX,
            unfinal_max: UNFINAL_MAX,
        },
        abilities,
    }
}

impl Declare for EvmAdapter {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

#[async_trait]
impl Query for EvmAdapter {
    async fn transaction(&self, id: TxId) -> Result<TransactionStatus, AdapterError> {
        let hash = B256::from(id.0);
        let Some(Included { height, succeeded, .. }) = receipt(&self.endpoints, hash).await? else {
            return Ok(TransactionStatus::Unknown);
        };
        match self.endpoints.final_block(height).await {
            Ok(_) => {}
            Err(AdapterError::NotFinal { .. }) => return Ok(TransactionStatus::Unknown),
            Err(error) => return Err(error),
        }
        let height = Height(height);
        Ok(match succeeded {
            true => TransactionStatus::Applied { height },
            false => {
                let message = "the transaction reverted in its block";
                let refusal = Refusal::new(Class::State, message.to_owned());
                TransactionStatus::Refused { height, refusal }
            }
        })
    }
}
