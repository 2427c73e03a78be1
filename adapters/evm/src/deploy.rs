//! Creating a gateway with the contracts around it, and what else an account does on a chain without
//! a gateway's leave. docs/protocol.md section 21.
//!
//! Gateway, control, registry and vault name each other, and none can be changed: they are created
//! by one account with consecutive nonces, which fixes their addresses beforehand. A creation that
//! breaks off leaves contracts that nothing links to; begin again.

use crate::{
    adapter::{Answers, View},
    config::{Finality, Rpc},
    contract::{
        AttestedGateway, Control, ControlConfig, Gateway, GatewayConfig, IControl, IGateway,
        IVault, Registry, Vault,
    },
    convert,
    endpoints::Endpoints,
    prove::{beacon, clique},
    sender::FeePolicy,
    submit::{ContractCall, Submitter},
};
use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256},
    providers::Provider,
    rpc::types::TransactionRequest,
    signers::local::PrivateKeySigner,
    sol_types::{SolCall, SolConstructor},
};
use serde::Deserialize;
use std::time::Duration;
use tombolo_adapter::AdapterError;
use tombolo_evm_core::{beacon::BeaconAnchor, clique::CliqueAnchor, follow};
use tombolo_types::{Class, Hash, Refusal, header::Anchor, lane::CONTROL_LANE};

/// How long to wait for a block before the chain is looked at all the same.
const LOOK_AFTER: Duration = Duration::from_secs(2);

/// What the compiler made of each contract; adapters/evm/contracts/artifacts.
mod artifact {
    pub(super) const GATEWAY: &str = include_str!("../contracts/artifacts/Gateway.json");
    pub(super) const ATTESTED_GATEWAY: &str =
        include_str!("../contracts/artifacts/AttestedGateway.json");
    pub(super) const CONTROL: &str = include_str!("../contracts/artifacts/Control.json");
    pub(super) const REGISTRY: &str = include_str!("../contracts/artifacts/Registry.json");
    pub(super) const VAULT: &str = include_str!("../contracts/artifacts/Vault.json");
    pub(super) const HTLC: &str = include_str!("../contracts/artifacts/Htlc.json");
}

/// What is needed of an artifact.
#[derive(Deserialize)]
struct Artifact {
    /// The code that creates the contract; its arguments follow it.
    bytecode: Bytes,
    /// The code that it has then, but for what its arguments put in.
    #[serde(rename = "deployedBytecode")]
    deployed: Bytes,
}

impl Artifact {
    fn read(json: &str) -> Result<Self, Refusal> {
        let wrong = |error| Refusal::new(Class::Format, format!("a contract's artifact: {error}"));
        serde_json::from_str(json).map_err(wrong)
    }
}

/// The hash of the code of a contract of hash-timelocks, which takes no arguments.
///
/// # Errors
/// `E_FORMAT` where this crate was built with a damaged artifact.
pub fn htlc_code_hash() -> Result<B256, Refusal> {
    Ok(keccak256(Artifact::read(artifact::HTLC)?.deployed))
}

/// By what a new gateway believes the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Believes {
    /// By the hub's certificates: mode 1.
    Certificates,
    /// By nodes: mode 2 with one key, mode 3 with several.
    Nodes {
        /// 2 or 3.
        mode: u8,
        /// Their accounts, ascending.
        keys: Vec<Address>,
        /// How many must sign.
        threshold: u32,
    },
}

/// What a new gateway is born with; it never changes but by its council.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGateway {
    /// By what it believes the hub.
    pub believes: Believes,
    /// Where its client of the hub starts.
    pub anchor: Anchor,
    /// Tells gateways of one hub and chain apart.
    pub incarnation: u32,
    /// For how long it trusts after the newest header's time, in milliseconds.
    pub trusting_period_ms: u64,
    /// The heaviest message that it takes, in units of 100,000 gas.
    pub weight_max: u64,
    /// How many messages a lane holds before room is freed.
    pub backlog_max: u64,
    /// The council's members, ascending.
    pub council: Vec<Address>,
    /// How many of them act; more than half.
    pub council_threshold: u32,
    /// How long an act of the council is announced before it holds, in milliseconds.
    pub council_delay_ms: u64,
    /// How long the client must be lost before the council may release a lock, in milliseconds.
    pub release_period_ms: u64,
    /// How old the hub's identities may be for a Prepare, in milliseconds.
    pub identity_view_ms: u64,
    /// The hash of the policy that the operator has published; zero where there is none.
    pub policy_hash: Hash,
    /// Contracts that a `Call` may reach.
    pub callees: Vec<Address>,
}

/// Where everything stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// Lanes and client of the hub.
    pub gateway: Address,
    /// Hello, identities, council.
    pub control: Address,
    /// Open data.
    pub registry: Address,
    /// Two-phase commit.
    pub vault: Address,
    /// The hash of the gateway's code, which every head proves.
    pub code_hash: B256,
}

/// An account that creates contracts on one chain, and pays there.
pub struct Deployer {
    endpoints: Endpoints,
    submitter: Submitter,
    evm_chain_id: u64,
    genesis: B256,
}

impl Deployer {
    /// Connects, and checks that the nodes serve the chain.
    ///
    /// # Errors
    /// [`AdapterError::Refused`] with `E_PROOF` for another chain; [`AdapterError::NoAnswer`].
    pub async fn connect(
        (evm_chain_id, genesis): (u64, B256),
        rpc: &Rpc,
        finality: Finality,
        fees: FeePolicy,
        signer: PrivateKeySigner,
    ) -> Result<Self, AdapterError> {
        let chain = follow::chain_id(evm_chain_id, Hash(genesis.0));
        let endpoints = Endpoints::new(chain, rpc, finality)?;
        endpoints.check_chain(evm_chain_id, genesis).await?;
        let submitter = Submitter::new(signer, evm_chain_id, fees);
        Ok(Self { endpoints, submitter, evm_chain_id, genesis })
    }

    /// Creates a gateway, its control, registry and vault, in blocks that need not be final. It links
    /// to nothing before it has said [`Self::hello`].
    ///
    /// # Errors
    /// [`AdapterError::Refused`] where a contract refuses what it shall be born with;
    /// [`AdapterError::NoAnswer`].
    pub async fn gateway(&self, new: &NewGateway) -> Result<Deployed, AdapterError> {
        let first = self.submitter.nonce(&self.endpoints).await?;
        let account = self.submitter.address();
        let at = |place: u64| account.create(first.saturating_add(place));
        let (gateway, control, registry, vault) = (at(0), at(1), at(2), at(3));
        let config = GatewayConfig {
            genesis: self.genesis,
            incarnation: new.incarnation,
            anchor: convert::anchor(&new.anchor),
            trustingPeriodMs: new.trusting_period_ms,
            weightMax: new.weight_max,
            backlogMax: new.backlog_max,
            control,
            registry,
            vault,
        };
        let (creation, arguments) = match &new.believes {
            Believes::Certificates => {
                (artifact::GATEWAY, Gateway::constructorCall { config }.abi_encode())
            }
            Believes::Nodes { mode, keys, threshold } => {
                let (mode, keys, threshold) = (*mode, keys.clone(), *threshold);
                let call = AttestedGateway::constructorCall { config, mode, keys, threshold };
                (artifact::ATTESTED_GATEWAY, call.abi_encode())
            }
        };
        self.create(creation, arguments, gateway).await?;
        let config = ControlConfig {
            gateway,
            council: new.council.clone(),
            councilThreshold: new.council_threshold,
            councilDelayMs: new.council_delay_ms,
            releasePeriodMs: new.release_period_ms,
            identityViewMs: new.identity_view_ms,
            policyHash: B256::from(new.policy_hash.0),
        };
        let arguments = Control::constructorCall { config }.abi_encode();
        self.create(artifact::CONTROL, arguments, control).await?;
        let arguments = Registry::constructorCall { gateway }.abi_encode();
        self.create(artifact::REGISTRY, arguments, registry).await?;
        let callees = new.callees.clone();
        let arguments = Vault::constructorCall { gateway, callees }.abi_encode();
        self.create(artifact::VAULT, arguments, vault).await?;
        let code_hash = self.code_hash(gateway).await?;
        Ok(Deployed { gateway, control, registry, vault, code_hash })
    }

    /// Has a gateway say Hello where it has not, and waits until that is final.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`]; [`AdapterError::Contradiction`] where that is no gateway.
    pub async fn hello(&self, deployed: &Deployed) -> Result<(), AdapterError> {
        let (gateway, control) = (deployed.gateway, deployed.control);
        loop {
            let seen = self.endpoints.noticed();
            if self.has_greeted(gateway).await? {
                return Ok(());
            }
            if self.may_greet(gateway).await? {
                let data = IControl::helloCall {}.abi_encode().into();
                let call = ContractCall { to: Some(control), data, value: U256::ZERO, gas: None };
                match self.submitter.submit(&self.endpoints, call).await {
                    Ok(_) => return Ok(()),
                    Err(error) if self.may_greet(gateway).await? => return Err(error),
                    // That of an attempt before this one has come into a block meanwhile.
                    Err(_) => {}
                }
            }
            self.endpoints.other_block(seen, LOOK_AFTER).await?;
        }
    }

    /// Whether a gateway has said Hello in a final block.
    async fn has_greeted(&self, gateway: Address) -> Result<bool, AdapterError> {
        let (block, answers) = (self.endpoints.newest().await?, Answers::default());
        let view = View::at((&self.endpoints, &answers), gateway, &block);
        match view.get(IGateway::laneLeafCall { lane: CONTROL_LANE.0 }).await {
            Ok(leaf) => Ok(leaf.size > 0),
            Err(AdapterError::NotFinal { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the newest block of one node, final or not, has a gateway that has said nothing yet.
    async fn may_greet(&self, gateway: Address) -> Result<bool, AdapterError> {
        let call = IGateway::laneLeafCall { lane: CONTROL_LANE.0 }.abi_encode();
        let call = TransactionRequest::default().with_to(gateway).with_input(call);
        let answer = self.endpoints.any().call(call).await;
        let answer = answer.map_err(|error| self.endpoints.failed("reading a lane", &error))?;
        if answer.is_empty() {
            return Ok(false);
        }
        let leaf = IGateway::laneLeafCall::abi_decode_returns(&answer).map_err(|error| {
            let why = format!("{gateway} is no gateway: {error}");
            AdapterError::Contradiction { chain: self.endpoints.chain(), why }
        })?;
        Ok(leaf.size == 0)
    }

    /// A trusted start for the hub's client of a Clique chain with this period and epoch: the newest
    /// final block, as the RPC nodes agree.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`]; [`AdapterError::Contradiction`].
    pub async fn clique_anchor(
        &self,
        period: u64,
        epoch: u64,
    ) -> Result<CliqueAnchor, AdapterError> {
        clique::newest_anchor(&self.endpoints, self.chain(), (period, epoch)).await
    }

    /// A trusted start for the hub's client of a chain with proof of stake: the newest final block,
    /// as the consensus node at `url` says. Compare its root with what others say of its slot.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`].
    pub async fn beacon_anchor(&self, url: &str) -> Result<BeaconAnchor, AdapterError> {
        beacon::newest_anchor(url, self.endpoints.chain(), self.chain()).await
    }

    /// Where the contract will stand that the account creates after so many other transactions. The
    /// first contract of a link is its gateway.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`].
    pub async fn contract_after(&self, transactions: u64) -> Result<Address, AdapterError> {
        let nonce = self.submitter.nonce(&self.endpoints).await?;
        Ok(self.submitter.address().create(nonce.saturating_add(transactions)))
    }

    /// The account that creates and pays.
    #[must_use]
    pub fn account(&self) -> Address {
        self.submitter.address()
    }

    /// A gateway that was created before, with its mode, once that is final.
    ///
    /// # Errors
    /// [`AdapterError::NotFound`] where there is no gateway; [`AdapterError::NoAnswer`].
    pub async fn deployed(&self, gateway: Address) -> Result<(u8, Deployed), AdapterError> {
        loop {
            let seen = self.endpoints.noticed();
            match self.final_gateway(gateway).await {
                Err(AdapterError::NotFinal { .. })
                    if self.code_hash(gateway).await? != KECCAK256_EMPTY =>
                {
                    self.endpoints.other_block(seen, LOOK_AFTER).await?;
                }
                Err(
                    AdapterError::NotFinal { .. }
                    | AdapterError::Refused { .. }
                    | AdapterError::Contradiction { .. },
                ) => {
                    let what = format!("gateway at {gateway}");
                    return Err(AdapterError::NotFound { chain: self.endpoints.chain(), what });
                }
                found => return found,
            }
        }
    }

    async fn final_gateway(&self, gateway: Address) -> Result<(u8, Deployed), AdapterError> {
        let (block, answers) = (self.endpoints.newest().await?, Answers::default());
        let view = View::at((&self.endpoints, &answers), gateway, &block);
        let deployed = Deployed {
            gateway,
            control: view.get(IGateway::controlCall {}).await?,
            registry: view.get(IGateway::registryCall {}).await?,
            vault: view.get(IGateway::vaultCall {}).await?,
            code_hash: self.code_hash(gateway).await?,
        };
        Ok((view.get(IGateway::modeCall {}).await?, deployed))
    }

    /// What the account holds, in wei.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`].
    pub async fn balance(&self) -> Result<U256, AdapterError> {
        self.balance_of(self.submitter.address()).await
    }

    /// What an account holds, in wei.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`].
    pub async fn balance_of(&self, account: Address) -> Result<U256, AdapterError> {
        let balance = self.endpoints.any().get_balance(account).await;
        balance.map_err(|error| self.endpoints.failed("asking for a balance", &error))
    }

    /// The hash of the code at an address, as nodes prove it; that of no code where there is none.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`].
    pub async fn code_hash(&self, address: Address) -> Result<B256, AdapterError> {
        let found = self.endpoints.any().get_code_at(address).await;
        let found = found.map_err(|error| self.endpoints.failed("asking for code", &error))?;
        Ok(keccak256(&found))
    }

    /// The nodes of the chain.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn chain(&self) -> (u64, Hash) {
        (self.evm_chain_id, Hash(self.genesis.0))
    }

    /// Pays so many wei to another account.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`], also where it does not hold them.
    pub async fn pay(&self, to: Address, wei: U256) -> Result<(), AdapterError> {
        let call = ContractCall { to: Some(to), data: Bytes::new(), value: wei, gas: None };
        self.submitter.include_after_others(&self.endpoints, call).await.map(drop)
    }

    /// Pays so many wei into the account's own balance in a vault, for two-phase commits.
    ///
    /// # Errors
    /// [`AdapterError::Refused`] with the vault's class; [`AdapterError::NoAnswer`].
    pub async fn deposit(&self, vault: Address, wei: u128) -> Result<(), AdapterError> {
        let native = B256::ZERO;
        let data = IVault::depositCall { asset: native, amount: wei, xid: B256::ZERO }.abi_encode();
        let value = U256::from(wei);
        let call = ContractCall { to: Some(vault), data: data.into(), value, gas: None };
        self.submitter.submit(&self.endpoints, call).await.map(drop)
    }

    /// How many wei an account has in a vault.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`]; [`AdapterError::Contradiction`] where that is no vault.
    pub async fn deposited(&self, vault: Address, account: Address) -> Result<u128, AdapterError> {
        let call = IVault::balanceOfCall { account, asset: B256::ZERO }.abi_encode();
        let call = TransactionRequest::default().with_to(vault).with_input(call);
        let answer = self.endpoints.any().call(call).await;
        let answer = answer.map_err(|error| self.endpoints.failed("reading a vault", &error))?;
        IVault::balanceOfCall::abi_decode_returns(&answer).map_err(|error| {
            let why = format!("{vault} is no vault: {error}");
            AdapterError::Contradiction { chain: self.endpoints.chain(), why }
        })
    }

    /// Creates a contract of hash-timelocks, which stands alone.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`].
    pub async fn htlc(&self) -> Result<Address, AdapterError> {
        let creation = self.creation(artifact::HTLC, &[])?;
        let nonce = self.submitter.include_after_others(&self.endpoints, creation).await?;
        let address = self.account().create(nonce);
        self.ensure_created(address).await?;
        Ok(address)
    }

    /// Creates one contract, at the address that was foreseen.
    async fn create(
        &self,
        artifact: &str,
        arguments: Vec<u8>,
        address: Address,
    ) -> Result<(), AdapterError> {
        let creation = self.creation(artifact, &arguments)?;
        self.submitter.include(&self.endpoints, creation, 0).await?;
        self.ensure_created(address).await
    }

    fn creation(&self, artifact: &str, arguments: &[u8]) -> Result<ContractCall, AdapterError> {
        let chain = self.endpoints.chain();
        let artifact = Artifact::read(artifact);
        let artifact = artifact.map_err(|refusal| AdapterError::Refused { chain, refusal })?;
        let data = [artifact.bytecode.as_ref(), arguments].concat().into();
        Ok(ContractCall { to: None, data, value: U256::ZERO, gas: None })
    }

    async fn ensure_created(&self, address: Address) -> Result<(), AdapterError> {
        if self.code_hash(address).await? == KECCAK256_EMPTY {
            let why = format!("no contract at {address}; does another program use this account?");
            return Err(self.endpoints.no_answer("creating a contract", why));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
