//! The contract of hash-timelocks on an EVM chain, as parties of a swap and watchers use it.
//! docs/protocol.md sections 21 and 22.
//!
//! Where a lock stands is asked twice, and each time enough nodes must say the same: by their newest
//! blocks, for nothing may be missed, and by the newest final one; only where both say the same it is
//! final. The clock is what enough nodes have reached. So no node ends a swap alone: by hiding a lock,
//! by dating a block, or by contradicting the others. A secret is read from the contract's event by
//! whichever node shows one that fits the hash: it needs no majority, and no contradiction of nodes
//! keeps it from who must claim with it in time.
//!
//! The contract credits and does not pay; what is credited anybody may have paid out, to whom it is
//! credited.
//!
//! Deliberately absent: ERC-721 tokens (a swap is about amounts), and looking for secrets among
//! transactions that no block holds: a claim that is in no block before the deadline is none.

pub(crate) mod abi;
mod sight;

use crate::{
    config::{Finality as Final, Rpc},
    endpoints::Endpoints,
    sender::FeePolicy,
    submit::{ContractCall, Submitter},
};
use abi::{IHtlc, IToken};
use alloy::{
    eips::BlockId,
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U256},
    providers::Provider,
    rpc::types::TransactionRequest,
    signers::local::PrivateKeySigner,
    sol_types::SolCall,
};
use async_trait::async_trait;
use std::{collections::BTreeSet, num::NonZeroU64, time::Duration};
use tokio::sync::OnceCell;
use tombolo_adapter::{
    Ability, AdapterError, Consensus, Declare, Descriptor, Finality, HtlcChain, Limits, Privacy,
};
use tombolo_evm_core::follow;
use tombolo_swap::htlc::{Lock, Sight, Standing};
use tombolo_types::{
    Amount, Class, Hash, Height, Refusal, UnixMillis, ensure,
    id::{AssetId, ChainId, SecretHash, TxId},
    refuse,
    swap::{Account, Deadline, Secret},
};

/// How often the newest block is asked for while one is waited for; blocks come at seconds.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// The numbers of `lockOf`.
const LOCKED: u8 = 1;
const CLAIMED: u8 = 2;
const REFUNDED: u8 = 3;

/// A contract of hash-timelocks on one EVM chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HtlcConfig {
    /// The chain's EIP-155 id.
    pub evm_chain_id: u64,
    /// The hash of its block 0.
    pub genesis: B256,
    /// Its nodes.
    pub rpc: Rpc,
    /// When its blocks are final.
    pub finality: Final,
    /// The contract.
    pub contract: Address,
    /// The block in which it was created, or an earlier one.
    pub from_block: u64,
    /// What is paid for transactions.
    pub fees: FeePolicy,
}

impl HtlcConfig {
    /// The chain's id.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        follow::chain_id(self.evm_chain_id, Hash(self.genesis.0))
    }
}

/// Hash locks of an EVM chain, as one account sees them.
pub struct EvmHtlc {
    config: HtlcConfig,
    endpoints: Endpoints,
    descriptor: Descriptor,
    submitter: Submitter,
    /// The nodes were asked which chain they serve.
    checked: OnceCell<()>,
}

/// A lock as the contract has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    state: u8,
    recipient: Address,
    asset: Address,
    is_item: bool,
    deadline_ms: u64,
    value: U256,
}

impl Entry {
    fn of(it: &IHtlc::lockOfReturn) -> Self {
        Self {
            state: it.state,
            recipient: it.recipient,
            asset: it.asset,
            is_item: it.isToken,
            deadline_ms: it.deadline,
            value: it.value,
        }
    }

    fn standing(&self) -> Option<Standing> {
        match self.state {
            LOCKED => Some(Standing::Funded),
            CLAIMED => Some(Standing::Claimed),
            REFUNDED => Some(Standing::Refunded),
            _ => None,
        }
    }

    /// The lock in the words of a swap. What no swap can ask for, an item or more than fits, holds
    /// an amount of nothing, which no order names.
    fn lock(&self, chain: ChainId, hash: SecretHash, locker: Address) -> Lock {
        let amount = if self.is_item { None } else { self.value.try_into().ok() };
        Lock {
            hash,
            chain,
            asset: asset_id(self.asset),
            amount: amount.map_or(Amount::ZERO, Amount),
            locker: account_of(locker),
            recipient: account_of(self.recipient),
            deadline: Deadline::Time(UnixMillis(self.deadline_ms)),
        }
    }
}

fn account_of(address: Address) -> Account {
    tombolo_types::Address(address.into_array()).into()
}

/// An asset of the chain: its token's address right-aligned, zero for the native coin.
fn asset_id(token: Address) -> AssetId {
    AssetId(token.into_word().0)
}

fn token_of(asset: AssetId) -> Result<Address, Refusal> {
    let (zeros, address) = asset.0.split_at(12);
    ensure!(
        zeros.iter().all(|byte| *byte == 0),
        Format,
        "asset {asset} is no token's address, and not zero for the native coin"
    );
    Ok(Address::from_slice(address))
}

fn address_of(account: &Account) -> Result<Address, Refusal> {
    match <[u8; 20]>::try_from(account.bytes()) {
        Ok(bytes) => Ok(Address::from(bytes)),
        Err(_) => refuse!(Format, "account {account} has {} bytes, not 20", account.bytes().len()),
    }
}

fn deadline_ms_of(lock: &Lock) -> Result<u64, Refusal> {
    match lock.deadline {
        Deadline::Time(time) => Ok(time.0),
        Deadline::Height(height) => refuse!(
            Unsupported,
            "the contract has no deadlines by height, such as {height}; name a time"
        ),
    }
}

impl EvmHtlc {
    /// An adapter for the account of `signer`. No node is asked before it is needed: a party must be
    /// able to act on one chain while another is silent.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`] for an address that cannot be a node's.
    pub async fn new(config: HtlcConfig, signer: PrivateKeySigner) -> Result<Self, AdapterError> {
        let endpoints = Endpoints::new(config.chain(), &config.rpc, config.finality)?;
        let submitter = Submitter::new(signer, config.evm_chain_id, config.fees);
        let descriptor = descriptor(&config);
        Ok(Self { config, endpoints, descriptor, submitter, checked: OnceCell::new() })
    }

    /// The account for which it signs.
    #[must_use]
    pub fn account(&self) -> Address {
        self.submitter.address()
    }

    /// Pays out what an account may have of an asset, to that account.
    ///
    /// # Errors
    /// [`AdapterError::Refused`] with `E_FUNDS` where there is nothing; [`AdapterError::NoAnswer`].
    pub async fn withdraw(&self, account: &Account, asset: AssetId) -> Result<TxId, AdapterError> {
        self.check().await?;
        let account = self.sound(address_of(account))?;
        let asset = self.sound(token_of(asset))?;
        self.carry_out(IHtlc::withdrawCall { account, asset }, U256::ZERO, 1).await
    }

    fn chain(&self) -> ChainId {
        self.descriptor.chain_id
    }

    fn sound<T>(&self, checked: Result<T, Refusal>) -> Result<T, AdapterError> {
        checked.map_err(|refusal| AdapterError::Refused { chain: self.chain(), refusal })
    }

    /// Refuses nodes of another chain, and an address without the contract.
    async fn check(&self) -> Result<(), AdapterError> {
        let check = || async {
            let HtlcConfig { evm_chain_id, genesis, contract, .. } = self.config;
            self.endpoints.check_chain(evm_chain_id, genesis).await?;
            let doing = "asking for code";
            let code = self.endpoints.tips(doing, |provider, block| async move {
                provider.get_code_at(contract).hash(block).await
            });
            match code.await?.said {
                Some(code) if code.is_empty() => {
                    let what = format!("contract at {contract}");
                    Err(AdapterError::NotFound { chain: self.chain(), what })
                }
                Some(_) => Ok(()),
                None => Err(self.endpoints.no_answer(doing, "the newest blocks of nodes differ")),
            }
        };
        self.checked.get_or_try_init(check).await.copied()
    }

    fn view<C: SolCall>(&self, to: Address, call: &C) -> TransactionRequest {
        TransactionRequest::default().with_to(to).with_input(Bytes::from(call.abi_encode()))
    }

    fn read<C: SolCall>(&self, answer: &[u8]) -> Result<C::Return, AdapterError> {
        C::abi_decode_returns(answer).map_err(|error| AdapterError::Contradiction {
            chain: self.chain(),
            why: format!("{} is answered with other than its type: {error}", C::SIGNATURE),
        })
    }

    /// What a view function gives at one block, by one node.
    async fn at_block<C: SolCall>(
        &self,
        to: Address,
        call: C,
        block: B256,
    ) -> Result<C::Return, AdapterError> {
        let asked = self.endpoints.any().call(self.view(to, &call)).block(BlockId::hash(block));
        let answer = asked.await;
        let answer = answer.map_err(|error| self.endpoints.failed("reading a contract", &error))?;
        self.read::<C>(&answer)
    }

    /// Sends a call; what a block makes of it the next look sees.
    async fn carry_out<C: SolCall>(
        &self,
        call: C,
        value: U256,
        attempt: u32,
    ) -> Result<TxId, AdapterError> {
        self.send(self.config.contract, call, value, attempt).await
    }

    async fn send<C: SolCall>(
        &self,
        to: Address,
        call: C,
        value: U256,
        attempt: u32,
    ) -> Result<TxId, AdapterError> {
        let data = call.abi_encode().into();
        let call = ContractCall { to: Some(to), data, value, gas: None };
        // Nodes replace a transaction that waits only for a higher offer.
        let raises = attempt.saturating_sub(1);
        let hash = self.submitter.include(&self.endpoints, call, raises).await?;
        Ok(Hash(hash.0).into())
    }

    /// Lets the contract take tokens, where it may not yet.
    async fn approve(&self, token: Address, amount: U256, raises: u32) -> Result<(), AdapterError> {
        let (owner, spender) = (self.account(), self.config.contract);
        let tip = self.endpoints.tip().await?;
        let call = IToken::allowanceCall { owner, spender };
        if self.at_block(token, call, tip.hash).await? >= amount {
            return Ok(());
        }
        let call = IToken::approveCall { spender, amount };
        self.send(token, call, U256::ZERO, raises).await.map(drop)
    }

    /// The refusal of an end that has come already is that of a repetition.
    async fn ended(
        &self,
        refused: AdapterError,
        locker: Address,
        hash: B256,
        end: u8,
    ) -> AdapterError {
        if refused.class() != Class::State {
            return refused;
        }
        let Ok(tip) = self.endpoints.tip().await else { return refused };
        let call = IHtlc::lockOfCall { locker, hash };
        match self.at_block(self.config.contract, call, tip.hash).await {
            Ok(found) if found.state == end => {
                let refusal = Refusal::new(Class::Replay, "the lock has ended so already");
                AdapterError::Refused { chain: self.chain(), refusal }
            }
            Ok(_) | Err(_) => refused,
        }
    }
}

#[async_trait]
impl HtlcChain for EvmHtlc {
    async fn sight(&self, wanted: &Lock) -> Result<Sight, AdapterError> {
        let locker = self.sound(address_of(&wanted.locker))?;
        self.sound(deadline_ms_of(wanted))?;
        self.check().await?;
        self.look(wanted, locker).await
    }

    async fn next_block(&self, after: Height) -> Result<(), AdapterError> {
        let doing = "asking for the newest block";
        // By the clock that a look shows.
        while self.endpoints.tips(doing, |_, _| async { Ok(()) }).await?.number <= after.0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn lock(&self, lock: &Lock, attempt: u32) -> Result<TxId, AdapterError> {
        let recipient = self.sound(address_of(&lock.recipient))?;
        let deadline = self.sound(deadline_ms_of(lock))?;
        let token = self.sound(token_of(lock.asset))?;
        self.check().await?;
        let hash = B256::from(lock.hash.0);
        if token == Address::ZERO {
            let call = IHtlc::lockCoinCall { hash, recipient, deadline };
            return self.carry_out(call, U256::from(lock.amount.0), attempt).await;
        }
        self.approve(token, U256::from(lock.amount.0), attempt).await?;
        let amount = lock.amount.0;
        let call = IHtlc::lockTokensCall { hash, recipient, deadline, token, amount };
        self.carry_out(call, U256::ZERO, attempt).await
    }

    async fn claim(
        &self,
        lock: &Lock,
        secret: &Secret,
        _: &[u8],
        attempt: u32,
    ) -> Result<TxId, AdapterError> {
        let locker = self.sound(address_of(&lock.locker))?;
        self.check().await?;
        let (hash, preimage) = (B256::from(lock.hash.0), Bytes::copy_from_slice(&secret.0));
        let call = IHtlc::claimCall { locker, hash, preimage };
        match self.carry_out(call, U256::ZERO, attempt).await {
            Ok(transaction) => Ok(transaction),
            Err(refused) => Err(self.ended(refused, locker, hash, CLAIMED).await),
        }
    }

    async fn refund(&self, lock: &Lock, _: &[u8], attempt: u32) -> Result<TxId, AdapterError> {
        let locker = self.sound(address_of(&lock.locker))?;
        self.check().await?;
        let hash = B256::from(lock.hash.0);
        match self.carry_out(IHtlc::refundCall { locker, hash }, U256::ZERO, attempt).await {
            Ok(transaction) => Ok(transaction),
            Err(refused) => Err(self.ended(refused, locker, hash, REFUNDED).await),
        }
    }

    async fn pay_out(&self, lock: &Lock) -> Result<(), AdapterError> {
        let asset = self.sound(token_of(lock.asset))?;
        self.check().await?;
        let account = self.account();
        let tip = self.endpoints.tip().await?;
        let call = IHtlc::creditOfCall { account, asset };
        if self.at_block(self.config.contract, call, tip.hash).await?.is_zero() {
            return Ok(());
        }
        self.withdraw(&account_of(account), lock.asset).await.map(drop)
    }
}

fn descriptor(config: &HtlcConfig) -> Descriptor {
    Descriptor {
        kind: "evm".into(),
        chain_id: config.chain(),
        finality: match config.finality {
            Final::Tag => Finality::Checkpoint,
            Final::Depth(depth) => {
                NonZeroU64::new(depth).map_or(Finality::Instant, Finality::Depth)
            }
        },
        consensus: match config.finality {
            Final::Tag => Consensus::ProofOfStake,
            Final::Depth(_) => Consensus::CrashTolerant,
        },
        currency: Some("ETH".into()),
        privacy: Privacy::Public,
        // It carries no lanes.
        limits: Limits {
            message_bytes_max: 0,
            batch_messages_max: 0,
            batch_bytes_max: 0,
            deliveries_max: 1,
            unfinal_max: 1,
        },
        abilities: BTreeSet::from([Ability::Contracts, Ability::Hashlock]),
    }
}

impl Declare for EvmHtlc {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: ChainId = ChainId([7; 32]);
    const HASH: SecretHash = SecretHash([1; 32]);

    fn entry() -> Entry {
        Entry {
            state: LOCKED,
            recipient: Address::repeat_byte(3),
            asset: Address::repeat_byte(4),
            is_item: false,
            deadline_ms: 5_000,
            value: U256::from(300),
        }
    }

    #[test]
    fn a_lock_is_read_as_the_contract_has_it() {
        let locker = Address::repeat_byte(2);
        let found = entry().lock(CHAIN, HASH, locker);
        assert_eq!(found.amount, Amount(300));
        assert_eq!(address_of(&found.recipient), Ok(Address::repeat_byte(3)));
        assert_eq!(token_of(found.asset), Ok(Address::repeat_byte(4)));
        assert_eq!(found.deadline, Deadline::Time(UnixMillis(5_000)));
        let standings =
            [0, LOCKED, CLAIMED, REFUNDED, 4].map(|state| Entry { state, ..entry() }.standing());
        use Standing::{Claimed, Funded, Refunded};
        assert_eq!(standings, [None, Some(Funded), Some(Claimed), Some(Refunded), None]);
    }

    /// An item whose number is the amount, and more than any amount, are not what was agreed.
    #[test]
    fn a07_an_item_is_no_amount() {
        let locker = Address::repeat_byte(2);
        let item = Entry { is_item: true, ..entry() }.lock(CHAIN, HASH, locker);
        assert_eq!(item.amount, Amount::ZERO);
        let more = Entry { value: U256::from(u128::MAX) + U256::from(300), ..entry() };
        assert_eq!(more.lock(CHAIN, HASH, locker).amount, Amount::ZERO);
        let most = Entry { value: U256::from(u128::MAX), ..entry() };
        assert_eq!(most.lock(CHAIN, HASH, locker).amount, Amount(u128::MAX));
    }

    #[test]
    fn what_is_no_word_of_the_chain_is_refused() {
        assert_eq!(token_of(AssetId([0; 32])), Ok(Address::ZERO));
        let mut long = [0; 32];
        long[11] = 1;
        assert_eq!(token_of(AssetId(long)).unwrap_err().class, Class::Format);
        for bytes in [&[1; 19][..], &[1; 21]] {
            let account = Account::new(bytes).unwrap();
            assert_eq!(address_of(&account).unwrap_err().class, Class::Format);
        }
        let lock = Lock {
            deadline: Deadline::Height(Height(5)),
            ..entry().lock(CHAIN, HASH, Address::ZERO)
        };
        assert_eq!(deadline_ms_of(&lock).unwrap_err().class, Class::Unsupported);
    }
}
